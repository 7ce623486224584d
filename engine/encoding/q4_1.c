// SPDX-License-Identifier: GPL-3.0-or-later
// Q4_1: 32 values of 4 bits with a scale and a minimum, both half; value = d * q + m, q in 0..15.
//
// The scale spreads the block's range over 15 steps: every value is within d / 2, plus what
// rounding d and m to half costs (at most 2^-11 of the block's largest magnitude, twice).
#include <math.h>
#include <string.h>
#include "engine/encoding/util.h"

enum { HALF_BLOCK = 16 };

static void unpack(const void *row, int64_t i, struct chunk *out)
{
    struct block_q4_1 b;
    memcpy(&b, (const char *)row + i * (int64_t)sizeof b, sizeof b);
    out->scale[0] = out->scale[1] = half_to_float(b.d);
    out->min = half_to_float(b.m);
    for (int j = 0; j < HALF_BLOCK; j++) {
        out->q[j] = b.q[j] & 15;
        out->q[j + HALF_BLOCK] = (int8_t)(b.q[j] >> 4);
    }
}

static void decode(const void *src, float *dst, int64_t n)
{
    chunks_decode(unpack, src, dst, n);
}

static void encode(const float *src, void *dst, int64_t n)
{
    struct block_q4_1 b;
    for (int64_t i = 0; i < n / CHUNK_VALUES; i++, src += CHUNK_VALUES) {
        float low = INFINITY, high = -INFINITY;
        for (int j = 0; j < CHUNK_VALUES; j++) {
            low = fminf(low, block_number(src[j]));
            high = fmaxf(high, block_number(src[j]));
        }
        // The unrounded scale and minimum quantise, as the tools that write such files do.
        float d = (high - low) / 15, inverse = d > 0 ? 1 / d : 0;
        b.d = float_to_half(d);
        b.m = float_to_half(low);
        for (int j = 0; j < HALF_BLOCK; j++) {
            float x = block_number(src[j]), y = block_number(src[j + HALF_BLOCK]);
            b.q[j] = (uint8_t)(block_round((x - low) * inverse, 0, 15) |
                               block_round((y - low) * inverse, 0, 15) << 4);
        }
        memcpy((char *)dst + i * (int64_t)sizeof b, &b, sizeof b);
    }
}

const struct encoding encoding_q4_1 = {
    .name = "Q4_1",
    .doc = "4-bit integers, a half scale and a half minimum per 32: 5 bits per value",
    .ggml_type = 3,
    .block = CHUNK_VALUES,
    .bytes = sizeof(struct block_q4_1),
    .minima = true,
    .decode = decode,
    .encode = encode,
    .low = 0,
    .high = 15,
    .unpack = unpack,
};
