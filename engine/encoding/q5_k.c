// SPDX-License-Identifier: GPL-3.0-or-later
// Q5_K: as Q4_K, with a fifth bit per value in 32 bytes of their own.
#include <string.h>
#include "engine/encoding/util.h"

static void unpack(const void *row, int64_t i, struct chunk *out)
{
    struct block_q5_k b;
    unsigned scale, min;
    int c = (int)(i % K_CHUNKS);
    memcpy(&b, (const char *)row + i / K_CHUNKS * (int64_t)sizeof b, sizeof b);
    k_scale_unpack(b.scales, c, &scale, &min);
    out->scale[0] = out->scale[1] = half_to_float(b.d) * (float)scale;
    out->min = -(half_to_float(b.dmin) * (float)min);
    for (int j = 0; j < CHUNK_VALUES; j++)
        out->q[j] = (int8_t)((b.q[c / 2 * 32 + j] >> c % 2 * 4 & 15) | (b.high[j] >> c & 1) << 4);
}

static void decode(const void *src, float *dst, int64_t n)
{
    chunks_decode(unpack, src, dst, n);
}

static void encode(const float *src, void *dst, int64_t n)
{
    uint8_t q[K_BLOCK];
    for (int64_t i = 0; i < n / K_BLOCK; i++) {
        struct block_q5_k b = {0};
        k_encode(src + i * K_BLOCK, 32, &b.d, &b.dmin, b.scales, q);
        for (int j = 0; j < K_BLOCK; j++) {
            b.q[j / 64 * 32 + j % 32] |= (uint8_t)((q[j] & 15) << j / 32 % 2 * 4);
            b.high[j % 32] |= (uint8_t)((q[j] >> 4) << j / 32);
        }
        memcpy((char *)dst + i * (int64_t)sizeof b, &b, sizeof b);
    }
}

const struct encoding encoding_q5_k = {
    .name = "Q5_K",
    .doc = "5-bit integers, scales and minima of 6 bits per 32, blocks of 256: 5.5 bits per value",
    .ggml_type = 13,
    .block = K_BLOCK,
    .bytes = sizeof(struct block_q5_k),
    .minima = true,
    .decode = decode,
    .encode = encode,
    .low = 0,
    .high = 31,
    .unpack = unpack,
};
