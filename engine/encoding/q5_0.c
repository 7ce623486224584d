// SPDX-License-Identifier: GPL-3.0-or-later
// Q5_0: 32 values of 5 bits that share one half-precision scale; value = d * (q - 16), q in 0..31.
// As Q4_0 (the scale carries the sign of the largest value, which maps to -16), with the fifth bits
// of the block in four bytes of their own.
#include <math.h>
#include <string.h>
#include "engine/encoding/util.h"

enum { HALF_BLOCK = 16 };

static void unpack(const void *row, int64_t i, struct chunk *out)
{
    struct block_q5_0 b;
    memcpy(&b, (const char *)row + i * (int64_t)sizeof b, sizeof b);
    out->scale[0] = out->scale[1] = half_to_float(b.d);
    out->min = -0.0f;
    for (int j = 0; j < CHUNK_VALUES; j++) {
        int low = j < HALF_BLOCK ? b.q[j] & 15 : b.q[j - HALF_BLOCK] >> 4;
        out->q[j] = (int8_t)((low | (b.high[j / 8] >> j % 8 & 1) << 4) - 16);
    }
}

static void decode(const void *src, float *dst, int64_t n)
{
    chunks_decode(unpack, src, dst, n);
}

static void encode(const float *src, void *dst, int64_t n)
{
    for (int64_t i = 0; i < n / CHUNK_VALUES; i++, src += CHUNK_VALUES) {
        struct block_q5_0 b = {0};
        float largest = 0; // with its sign
        for (int j = 0; j < CHUNK_VALUES; j++)
            if (fabsf(block_number(src[j])) > fabsf(largest))
                largest = block_number(src[j]);
        // The unrounded scale quantises, as the tools that write such files do.
        float d = largest / -16, inverse = d != 0 ? 1 / d : 0;
        b.d = float_to_half(d);
        for (int j = 0; j < CHUNK_VALUES; j++) {
            float shifted = floorf(block_number(src[j]) * inverse + 16.5f);
            int q = shifted >= 31 ? 31 : shifted >= 0 ? (int)shifted : 0;
            b.q[j % HALF_BLOCK] |= (uint8_t)((q & 15) << (j < HALF_BLOCK ? 0 : 4));
            b.high[j / 8] |= (uint8_t)((q >> 4) << j % 8);
        }
        memcpy((char *)dst + i * (int64_t)sizeof b, &b, sizeof b);
    }
}

const struct encoding encoding_q5_0 = {
    .name = "Q5_0",
    .doc = "5-bit integers, one half scale per 32: 5.5 bits per value",
    .ggml_type = 6,
    .block = CHUNK_VALUES,
    .bytes = sizeof(struct block_q5_0),
    .decode = decode,
    .encode = encode,
    .low = -16,
    .high = 15,
    .unpack = unpack,
};
