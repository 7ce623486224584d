// SPDX-License-Identifier: GPL-3.0-or-later
// Q4_K: 256 values of 4 bits in 8 chunks of 32, each with a scale and a minimum of 6 bits, in units
// of two halves per block; value = (d * scale) * q - dmin * minimum.
#include <string.h>
#include "engine/encoding/util.h"

static void unpack(const void *row, int64_t i, struct chunk *out)
{
    struct block_q4_k b;
    unsigned scale, min;
    int c = (int)(i % K_CHUNKS);
    memcpy(&b, (const char *)row + i / K_CHUNKS * (int64_t)sizeof b, sizeof b);
    k_scale_unpack(b.scales, c, &scale, &min);
    out->scale[0] = out->scale[1] = half_to_float(b.d) * (float)scale;
    out->min = -(half_to_float(b.dmin) * (float)min);
    for (int j = 0; j < CHUNK_VALUES; j++)
        out->q[j] = (int8_t)(b.q[c / 2 * 32 + j] >> c % 2 * 4 & 15);
}

static void decode(const void *src, float *dst, int64_t n)
{
    chunks_decode(unpack, src, dst, n);
}

static void encode(const float *src, void *dst, int64_t n)
{
    uint8_t q[K_BLOCK];
    for (int64_t i = 0; i < n / K_BLOCK; i++) {
        struct block_q4_k b = {0};
        k_encode(src + i * K_BLOCK, 16, &b.d, &b.dmin, b.scales, q);
        for (int j = 0; j < K_BLOCK; j++)
            b.q[j / 64 * 32 + j % 32] |= (uint8_t)(q[j] << j / 32 % 2 * 4);
        memcpy((char *)dst + i * (int64_t)sizeof b, &b, sizeof b);
    }
}

const struct encoding encoding_q4_k = {
    .name = "Q4_K",
    .doc = "4-bit integers, scales and minima of 6 bits per 32, blocks of 256: 4.5 bits per value",
    .ggml_type = 12,
    .block = K_BLOCK,
    .bytes = sizeof(struct block_q4_k),
    .minima = true,
    .decode = decode,
    .encode = encode,
    .low = 0,
    .high = 15,
    .unpack = unpack,
};
