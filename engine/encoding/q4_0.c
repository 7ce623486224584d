// SPDX-License-Identifier: GPL-3.0-or-later
// Q4_0: 32 values of 4 bits that share one half-precision scale; value = d * (q - 8), q in 0..15.
//
// The range is lopsided (-8..7), so the scale carries a sign: the value of largest magnitude maps
// to -8 exactly, and its mirror, if there is one, saturates at +7 with an error of |d|. Everything
// else is within |d| / 2. The low nibbles hold the first 16 values of the block, the high nibbles
// the last 16, which lets a kernel unpack with one mask and one shift.
#include <math.h>
#include <string.h>
#include "engine/encoding/util.h"

enum { BLOCK = 32, HALF_BLOCK = 16 };
static const float HALF_MAX = 65504.0f;

static void unpack(const void *row, int64_t i, struct chunk *out)
{
    struct block_q4_0 b;
    memcpy(&b, (const char *)row + i * (int64_t)sizeof b, sizeof b); // rows start at any byte
    out->scale[0] = out->scale[1] = half_to_float(b.d);
    out->min = -0.0f;
    for (int j = 0; j < HALF_BLOCK; j++) {
        out->q[j] = (int8_t)((b.q[j] & 15) - 8);
        out->q[j + HALF_BLOCK] = (int8_t)((b.q[j] >> 4) - 8);
    }
}

static void decode(const void *src, float *dst, int64_t n)
{
    chunks_decode(unpack, src, dst, n);
}

// v is in units of the scale; NaN becomes 0.
static unsigned quantise(float v)
{
    if (isnan(v))
        return 8;
    float shifted = floorf(v + 8.5f);
    return shifted >= 15 ? 15 : shifted <= 0 ? 0 : (unsigned)shifted;
}

static void encode(const float *src, void *dst, int64_t n)
{
    unsigned char *p = dst;
    for (int64_t b = 0; b < n / BLOCK; b++) {
        const float *x = src + b * BLOCK;
        float largest = 0; // with its sign
        for (int i = 0; i < BLOCK; i++)
            if (fabsf(x[i]) > fabsf(largest))
                largest = x[i];
        float d = fmaxf(fminf(largest / -8, HALF_MAX), -HALF_MAX);
        // The unrounded scale quantises, as the tools that write such files do.
        float inverse = d != 0 ? 1 / d : 0;
        struct block_q4_0 q = {.d = float_to_half(d)};
        for (int i = 0; i < HALF_BLOCK; i++) {
            unsigned low = quantise(x[i] * inverse);
            unsigned high = quantise(x[i + HALF_BLOCK] * inverse);
            q.q[i] = (uint8_t)(low | high << 4);
        }
        memcpy(p + b * (int64_t)sizeof q, &q, sizeof q);
    }
}

const struct encoding encoding_q4_0 = {
    .name = "Q4_0",
    .doc = "4-bit integers, one half scale per 32: 4.5 bits per value",
    .ggml_type = 2,
    .block = BLOCK,
    .bytes = sizeof(struct block_q4_0),
    .decode = decode,
    .encode = encode,
    .low = -8,
    .high = 7,
    .unpack = unpack,
};
