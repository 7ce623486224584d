// SPDX-License-Identifier: GPL-3.0-or-later
// Q6_K: 256 values of 6 bits in 16 groups of 16, each with a signed scale of 8 bits in units of one
// half per block; value = (d * scale) * (q - 32).
//
// The group whose scale is largest in magnitude gets -128, so the block's half carries a sign, as
// scales do in Q4_0.
#include <math.h>
#include <string.h>
#include "engine/encoding/util.h"

enum { GROUP = 16, GROUPS = K_BLOCK / GROUP, LEVELS = 32 };

static void unpack(const void *row, int64_t i, struct chunk *out)
{
    struct block_q6_k b;
    int c = (int)(i % K_CHUNKS), n = c / 4, h = c % 4;
    memcpy(&b, (const char *)row + i / K_CHUNKS * (int64_t)sizeof b, sizeof b);
    for (int j = 0; j < 2; j++)
        out->scale[j] = half_to_float(b.d) * b.scales[2 * c + j];
    out->min = -0.0f;
    for (int j = 0; j < CHUNK_VALUES; j++) {
        int low = b.q[64 * n + 32 * (h % 2) + j] >> h / 2 * 4 & 15;
        int high = b.high[32 * n + j] >> 2 * h & 3;
        out->q[j] = (int8_t)((low | high << 4) - LEVELS);
    }
}

static void decode(const void *src, float *dst, int64_t n)
{
    chunks_decode(unpack, src, dst, n);
}

static void encode_block(const float *src, struct block_q6_k *b)
{
    float x[K_BLOCK], scale[GROUPS], largest = 0;
    for (int i = 0; i < K_BLOCK; i++)
        x[i] = block_number(src[i]);
    for (int g = 0; g < GROUPS; g++) {
        scale[g] = block_fit_scale(x + g * GROUP, GROUP, LEVELS);
        if (fabsf(scale[g]) > fabsf(largest))
            largest = scale[g];
    }
    b->d = float_to_half(largest / -128);
    float d = half_to_float(b->d);
    // The integers are chosen for the scales as they are stored.
    for (int i = 0; i < K_BLOCK; i++) {
        int c = i / 32, n = c / 4, h = c % 4, j = i % 32, q = LEVELS;
        b->scales[i / GROUP] = 0;
        if (d != 0)
            b->scales[i / GROUP] = (int8_t)block_round(scale[i / GROUP] / d, -128, 127);
        float s = d * b->scales[i / GROUP];
        if (s != 0)
            q = block_round(x[i] / s, -LEVELS, LEVELS - 1) + LEVELS;
        b->q[64 * n + 32 * (h % 2) + j] |= (uint8_t)((q & 15) << h / 2 * 4);
        b->high[32 * n + j] |= (uint8_t)((q >> 4) << 2 * h);
    }
}

static void encode(const float *src, void *dst, int64_t n)
{
    for (int64_t i = 0; i < n / K_BLOCK; i++) {
        struct block_q6_k b = {0};
        encode_block(src + i * K_BLOCK, &b);
        memcpy((char *)dst + i * (int64_t)sizeof b, &b, sizeof b);
    }
}

const struct encoding encoding_q6_k = {
    .name = "Q6_K",
    .doc = "6-bit integers, scales of 8 bits per 16, blocks of 256: 6.5625 bits per value",
    .ggml_type = 14,
    .block = K_BLOCK,
    .bytes = sizeof(struct block_q6_k),
    .halves = true,
    .decode = decode,
    .encode = encode,
    .low = -32,
    .high = 31,
    .unpack = unpack,
};
