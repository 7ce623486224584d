// SPDX-License-Identifier: GPL-3.0-or-later
// Products of a row of tiles (32 weight rows) and a block of tokens, in integers.
//
// A tile times a token's 32 activations is eight vrmpy: 32 sums, one per row, each below 2^19. Then
// comes the requantisation, which HVX can only do in fixed point:
//
//   term = (sum * 2^9) * weight scale / 2^15 * activation scale / 2^15
//
// with both scales Q15 relative to powers of two W (of the row) and A (of the token) that are above
// the largest, and both multiplications rounded to the nearest in 32 bits. Eight terms fit into 32
// bits (8 * 520192 * 2^9 < 2^31); every eight tiles they are split into an upper and a lower
// halfword, which are summed exactly. The result is total * 2^-9 * W * A, made a float by the
// scalar unit.
//
// Error of one term, in units of W * A: |sum| * (2^-16 + 2^-16) for the rounded scales and 2^-10 +
// 2^-10 for the two products. The activations' own rounding costs up to half of the sum of |weight
// integers| in units of their block's scales; tests/engine/host/npu/test_dsp.c holds results to the
// sum of both bounds. Minima are terms of the same kind, of the token's block sums in 27 bits.
//
// Whatever the blocking, an output element is made of the same integers, and their sum is exact:
// the operand orders agree to the bit.
#include "engine/host/npu/dsp/products.h"

#include "engine/host/npu/dsp/hvx.h"
#include "engine/host/npu/dsp/number.h"

enum { FEW = 4 }; // tokens that are multiplied at a time

float npu_quantise(const float *x, int32_t tiles, struct npu_block *out)
{
    float most = 0; // of the blocks' scales
    for (int32_t b = 0; b < tiles; b++, x += NPU_TILE) {
        uint32_t top = 0; // magnitudes are ordered as their bits are
        for (int i = 0; i < NPU_TILE; i++) {
            const uint32_t u = number_bits(x[i]) & 0x7fffffffu;
            top = u > top ? u : top;
        }
        // Below 1e-30 the inverse could overflow; such a block counts as zeros, as on the CPU.
        float inverse = 0, scale = 0;
        if (top < 0x7f800000u && number_of(top) > 1e-30f) {
            inverse = number_divide(127.0f, number_of(top));
            scale = number_divide(number_of(top), 127.0f);
        }
        int32_t half[2] = {0, 0};
        for (int i = 0; i < NPU_TILE; i++) {
            // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
            const float v = inverse != 0 ? x[i] * inverse : 0;
            const int32_t q = (int8_t)number_bits(v + 12582912.0f);
            out[b].q[i] = (int8_t)q;
            half[i / 16] += q;
        }
        out[b].scale = (int32_t)number_bits(scale); // for now
        out[b].start[0] = -128 * half[0];
        out[b].start[1] = -128 * half[1];
        out[b].sum = half[0] + half[1];
        most = scale > most ? scale : most;
    }
    if (most == 0) {
        for (int32_t b = 0; b < tiles; b++)
            out[b].scale = out[b].sum = 0;
        return 0;
    }
    const float unit = number_unit(most);
    // 2^15 / unit; the unit is between 2^-107 and 2^122.
    const float units = number_of((254u + 15u - (number_bits(unit) >> 23)) << 23);
    for (int32_t b = 0; b < tiles; b++) {
        int32_t s = (int32_t)(number_of((uint32_t)out[b].scale) * units + 0.5f);
        s = s < 32767 ? s : 32767;
        out[b].scale = s << 16;
        out[b].sum *= s;
    }
    return unit;
}

// Eight vectors of a tile, from bytes or nibbles.
HV_INLINE void tile_load(const uint8_t *t, int nibbles, hv table, hv w[8])
{
    for (int j = 0; j < 8 && !nibbles; j++)
        w[j] = hv_load(t + j * NPU_VECTOR);
    for (int j = 0; j < 4 && nibbles; j++) {
        const hv v = hv_load(t + j * NPU_VECTOR);
        w[2 * j] = hv_look(v, table);
        w[2 * j + 1] = hv_look(hv_right16(v, 4), table);
    }
}

// Upper and lower halfwords of many sums.
HV_INLINE void split_add(hv sum, hv *high, hv *low)
{
    *high = hv_add(*high, hv_right(sum, 16));
    *low = hv_add(*low, hv_and(sum, hv_splat(0xffff)));
}

// Up to NPU_GROUP tiles against `few` tokens, whose blocks begin `pitch` apart; adds to sums of
// [token][4]. `scales` is the vector of the group's first scale. The last three are constants where
// this is inlined.
HV_INLINE void group(const uint8_t *tiles, const uint8_t *scales, int n, const struct npu_block *x,
                     int32_t pitch, hv table, hv *sums, int few, int halves, int nibbles)
{
    hv acc[FEW], w[8];
    for (int t = 0; t < few; t++)
        acc[t] = hv_splat(0);
    for (int i = 0; i < n; i++) {
        tile_load(tiles, nibbles, table, w);
        tiles += nibbles ? 4 * NPU_VECTOR : 8 * NPU_VECTOR;
        hv s = hv_load(scales + (halves == 2 ? i : i / 2) * NPU_VECTOR);
        const hv s0 = hv_left(s, 16);
        if (halves == 1 && i % 2 == 0)
            s = s0;
        for (int t = 0; t < few; t++) {
            const struct npu_block *b = x + (int64_t)t * pitch + i;
            const int32_t *q = (const int32_t *)(const void *)b->q;
            hv p;
            if (halves == 1) {
                p = hv_splat(b->start[0] + b->start[1]);
                for (int j = 0; j < 8; j++)
                    p = hv_dot(p, w[j], q[j]);
                p = hv_scale(hv_left(p, NPU_FRACTION), s);
            } else {
                hv u = hv_splat(b->start[0]), v = hv_splat(b->start[1]);
                for (int j = 0; j < 4; j++) {
                    u = hv_dot(u, w[j], q[j]);
                    v = hv_dot(v, w[4 + j], q[4 + j]);
                }
                p = hv_add(hv_scale(hv_left(u, NPU_FRACTION), s0),
                           hv_scale(hv_left(v, NPU_FRACTION), s));
            }
            acc[t] = hv_add(acc[t], hv_scale(p, hv_splat(b->scale)));
        }
    }
    for (int t = 0; t < few; t++)
        split_add(acc[t], sums + t * 4, sums + t * 4 + 1);
}

HV_INLINE void tokens(const struct npu_product *p, const uint8_t *tiles, int32_t k0, int n,
                      int halves, int nibbles)
{
    const uint8_t *scales = p->tiles + p->row.scales + (uint64_t)(k0 * halves / 2) * NPU_VECTOR;
    const struct npu_block *x =
        (const struct npu_block *)(const void *)(p->graph + p->at.blocks) + k0;
    hv *sums = (hv *)(void *)(p->graph + p->at.sums);
    const hv table = hv_load(((const struct npu_head *)(const void *)p->tiles)->table);
    int32_t t = 0;
    for (; !nibbles && t + FEW <= p->tokens; t += FEW)
        group(tiles, scales, n, x + (int64_t)t * p->tiles_k, p->tiles_k, table, sums + t * 4, FEW,
              halves, 0);
    for (; t < p->tokens; t++)
        group(tiles, scales, n, x + (int64_t)t * p->tiles_k, p->tiles_k, table, sums + t * 4, 1,
              halves, nibbles);
}

static void bytes_1(const struct npu_product *p, const uint8_t *tiles, int32_t k0, int n)
{
    tokens(p, tiles, k0, n, 1, 0);
}
static void bytes_2(const struct npu_product *p, const uint8_t *tiles, int32_t k0, int n)
{
    tokens(p, tiles, k0, n, 2, 0);
}
static void nibbles_1(const struct npu_product *p, const uint8_t *tiles, int32_t k0, int n)
{
    tokens(p, tiles, k0, n, 1, 1);
}
static void nibbles_2(const struct npu_product *p, const uint8_t *tiles, int32_t k0, int n)
{
    tokens(p, tiles, k0, n, 2, 1);
}

// Several tokens share the work of unpacking nibbles.
static const uint8_t *unpack(const struct npu_product *p, const uint8_t *tiles, int n)
{
    uint8_t *to = p->graph + p->at.group;
    const hv table = hv_load(((const struct npu_head *)(const void *)p->tiles)->table);
    for (int i = 0; i < n; i++) {
        hv w[8];
        tile_load(tiles + i * 4 * NPU_VECTOR, 1, table, w);
        for (int j = 0; j < 8; j++)
            hv_store(to + (i * 8 + j) * NPU_VECTOR, w[j]);
    }
    return to;
}

static void add_minima(const struct npu_product *p, int32_t k0, int n)
{
    const uint8_t *minima = p->tiles + p->row.minima + (uint64_t)(k0 / 2) * NPU_VECTOR;
    hv *sums = (hv *)(void *)(p->graph + p->at.sums);
    for (int32_t t = 0; t < p->tokens; t++, sums += 4) {
        const struct npu_block *b =
            (const struct npu_block *)(const void *)(p->graph + p->at.blocks) +
            (int64_t)t * p->tiles_k + k0;
        hv acc = hv_splat(0);
        for (int i = 0; i < n; i++) {
            hv s = hv_load(minima + i / 2 * NPU_VECTOR);
            if (i % 2 == 0)
                s = hv_left(s, 16);
            acc = hv_add(acc, hv_scale(hv_splat(b[i].sum), s));
        }
        split_add(acc, sums + 2, sums + 3);
    }
}

static void integers(const struct npu_product *p)
{
    const uint8_t *tiles = p->tiles + p->row.tiles;
    memset(p->graph + p->at.sums, 0, (size_t)p->tokens * 4 * NPU_VECTOR);
    for (int32_t k0 = 0; k0 < p->tiles_k; k0 += NPU_GROUP) {
        const int n = p->tiles_k - k0 < NPU_GROUP ? p->tiles_k - k0 : NPU_GROUP;
        const uint8_t *next = tiles + (uint32_t)n * p->row.tile_bytes;
        int bytes = p->weights == NPU_W_I8;
        if (k0 + n < p->tiles_k)
            hv_prefetch(next, NPU_GROUP * p->row.tile_bytes);
        if (!bytes && p->tokens > 1) {
            tiles = unpack(p, tiles, n);
            bytes = 1;
        }
        if (bytes && p->halves == 1)
            bytes_1(p, tiles, k0, n);
        else if (bytes)
            bytes_2(p, tiles, k0, n);
        else if (p->halves == 1)
            nibbles_1(p, tiles, k0, n);
        else
            nibbles_2(p, tiles, k0, n);
        if (p->minima)
            add_minima(p, k0, n);
        tiles = next;
    }
}

// Floating-point weights in the scalar unit; each tile's sum is made by itself, then added.
static void floats(const struct npu_product *p)
{
    const float *x = (const float *)(const void *)(p->graph + p->at.values);
    float *sums = (float *)(void *)(p->graph + p->at.sums);
    memset(sums, 0, (size_t)p->tokens * NPU_VECTOR);
    for (int32_t kt = 0; kt < p->tiles_k; kt++) {
        const float *w = (const float *)(const void *)(p->tiles + (uint64_t)kt * p->row.tile_bytes);
        for (int32_t t = 0; t < p->tokens; t++) {
            const float *v = x + ((int64_t)t * p->tiles_k + kt) * NPU_TILE;
            for (int r = 0; r < NPU_TILE; r += 4) {
                float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
                for (int k = 0; k < NPU_TILE; k++) {
                    s0 += w[k * NPU_TILE + r] * v[k];
                    s1 += w[k * NPU_TILE + r + 1] * v[k];
                    s2 += w[k * NPU_TILE + r + 2] * v[k];
                    s3 += w[k * NPU_TILE + r + 3] * v[k];
                }
                float *sum = sums + (int64_t)t * NPU_TILE + r;
                sum[0] += s0;
                sum[1] += s1;
                sum[2] += s2;
                sum[3] += s3;
            }
        }
    }
}

void npu_products(const struct npu_product *p)
{
    if (p->weights == NPU_W_F32)
        floats(p);
    else
        integers(p);
}

void npu_results(const struct npu_product *p, int32_t token, int a, int b, float *out)
{
    if (p->weights == NPU_W_F32) {
        const float *sums = (const float *)(const void *)(p->graph + p->at.sums);
        memcpy(out, sums + (int64_t)token * NPU_TILE + a, (size_t)(b - a) * 4);
        return;
    }
    const struct npu_head *head = (const struct npu_head *)(const void *)p->tiles;
    const int32_t *sums =
        (const int32_t *)(const void *)(p->graph + p->at.sums) + (int64_t)token * 4 * NPU_TILE;
    const float unit = ((const float *)(const void *)(p->graph + p->at.units))[token];
    for (int r = a; r < b; r++) {
        const int64_t total = (int64_t)sums[r] * 65536 + sums[NPU_TILE + r];
        float v = (float)total * head->scale[r] * unit;
        if (p->minima) {
            const int64_t least = (int64_t)sums[2 * NPU_TILE + r] * 65536 + sums[3 * NPU_TILE + r];
            v += (float)least * head->minimum[r] * unit;
        }
        out[r - a] = v;
    }
}
