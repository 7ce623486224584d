// SPDX-License-Identifier: GPL-3.0-or-later
// Q8_0: 32 signed bytes that share one half-precision scale; value = d * q.
//
// The scale maps the largest magnitude of the block to 127, so |error| <= d / 2 plus what rounding
// the scale to half costs (127 * d * 2^-11). Numbers that cannot be expressed are kept finite: a
// NaN becomes 0, an infinity the largest value that a block can hold.
#include <math.h>
#include <string.h>
#include "engine/encoding/util.h"

enum { BLOCK = 32 };
static const float HALF_MAX = 65504.0f;

static void unpack(const void *row, int64_t i, struct chunk *out)
{
    struct block_q8_0 b;
    memcpy(&b, (const char *)row + i * (int64_t)sizeof b, sizeof b); // rows start at any byte
    out->scale[0] = out->scale[1] = half_to_float(b.d);
    out->min = -0.0f;
    memcpy(out->q, b.q, sizeof out->q);
}

static void decode(const void *src, float *dst, int64_t n)
{
    chunks_decode(unpack, src, dst, n);
}

static int8_t quantise(float v)
{
    if (isnan(v))
        return 0;
    return (int8_t)(v >= 127 ? 127 : v <= -127 ? -127 : roundf(v));
}

static void encode(const float *src, void *dst, int64_t n)
{
    unsigned char *p = dst;
    for (int64_t b = 0; b < n / BLOCK; b++) {
        const float *x = src + b * BLOCK;
        float largest = 0;
        for (int i = 0; i < BLOCK; i++)
            if (fabsf(x[i]) > largest) // false for NaN
                largest = fabsf(x[i]);
        float d = fminf(largest / 127, HALF_MAX);
        // The unrounded scale quantises, as the tools that write such files do.
        float inverse = d > 0 ? 1 / d : 0;
        struct block_q8_0 q = {.d = float_to_half(d)};
        for (int i = 0; i < BLOCK; i++)
            q.q[i] = quantise(x[i] * inverse);
        memcpy(p + b * (int64_t)sizeof q, &q, sizeof q);
    }
}

const struct encoding encoding_q8_0 = {
    .name = "Q8_0",
    .doc = "8-bit integers, one half scale per 32: 8.5 bits per value",
    .ggml_type = 8,
    .block = BLOCK,
    .bytes = sizeof(struct block_q8_0),
    .decode = decode,
    .encode = encode,
    .low = -128,
    .high = 127,
    .unpack = unpack,
};
