// SPDX-License-Identifier: GPL-3.0-or-later
// IQ4_NL: 32 values of 4 bits that share one half-precision scale, on a scale that is finer near
// zero, where weights are: value = d * table[q]. The sixteen table values are integers of 8 bits
// and part of the format.
//
// The encoder tries scales around the one that maps the largest magnitude to the table's end, takes
// the nearest entry of each value, and solves for the scale by least squares.
#include <math.h>
#include <string.h>
#include "engine/encoding/util.h"

enum { HALF_BLOCK = 16, STEPS = 8 };

const int8_t iq4_nl_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};

static void unpack(const void *row, int64_t i, struct chunk *out)
{
    struct block_iq4_nl b;
    memcpy(&b, (const char *)row + i * (int64_t)sizeof b, sizeof b);
    out->scale[0] = out->scale[1] = half_to_float(b.d);
    out->min = -0.0f;
    for (int j = 0; j < HALF_BLOCK; j++) {
        out->q[j] = iq4_nl_values[b.q[j] & 15];
        out->q[j + HALF_BLOCK] = iq4_nl_values[b.q[j] >> 4];
    }
}

static void decode(const void *src, float *dst, int64_t n)
{
    chunks_decode(unpack, src, dst, n);
}

static int nearest(float v)
{
    int i = 0;
    while (i < 15 && v * 2 > (float)(iq4_nl_values[i] + iq4_nl_values[i + 1]))
        i++;
    return i;
}

static float fit(const float *x, float largest)
{
    float best = 0;
    double least = INFINITY;
    for (int step = -STEPS; step <= STEPS; step++) {
        float inverse = ((float)iq4_nl_values[0] + 2 * (float)step) / largest;
        double xw = 0, ww = 0, error = 0;
        if (!isfinite(inverse)) // of a subnormal: nothing that a half can scale
            return 0;
        for (int j = 0; j < CHUNK_VALUES; j++) {
            double w = iq4_nl_values[nearest(x[j] * inverse)];
            xw += x[j] * w;
            ww += w * w; // never 0: the table has no zero
        }
        float d = (float)(xw / ww);
        for (int j = 0; j < CHUNK_VALUES; j++) {
            double off = x[j] - (double)d * iq4_nl_values[nearest(x[j] * inverse)];
            error += off * off;
        }
        if (error < least) {
            least = error;
            best = d;
        }
    }
    return best;
}

static void encode(const float *src, void *dst, int64_t n)
{
    for (int64_t i = 0; i < n / CHUNK_VALUES; i++, src += CHUNK_VALUES) {
        struct block_iq4_nl b = {0};
        float x[CHUNK_VALUES], largest = 0; // with its sign
        for (int j = 0; j < CHUNK_VALUES; j++) {
            x[j] = block_number(src[j]);
            if (fabsf(x[j]) > fabsf(largest))
                largest = x[j];
        }
        b.d = largest != 0 ? float_to_half(fit(x, largest)) : 0;
        // The integers are chosen for the scale as it is stored.
        float d = half_to_float(b.d), inverse = d != 0 ? 1 / d : 0;
        for (int j = 0; j < HALF_BLOCK; j++)
            b.q[j] = (uint8_t)(nearest(x[j] * inverse) | nearest(x[j + HALF_BLOCK] * inverse) << 4);
        memcpy((char *)dst + i * (int64_t)sizeof b, &b, sizeof b);
    }
}

const struct encoding encoding_iq4_nl = {
    .name = "IQ4_NL",
    .doc = "4-bit indices into 16 uneven steps, one half scale per 32: 4.5 bits per value",
    .ggml_type = 20,
    .block = CHUNK_VALUES,
    .bytes = sizeof(struct block_iq4_nl),
    .decode = decode,
    .encode = encode,
    .low = -127,
    .high = 113,
    .unpack = unpack,
};
