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
// halfword, which are summed exactly. The result is total * 2^-9 * W * A, put together as a float's
// bits.
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
struct group {
    const uint8_t *tiles, *scales;
    int n;
    const struct npu_block *x;
    int32_t pitch;
    hv *sums;
    const uint8_t *table;
};
HV_INLINE void group(const struct group *g, int few, int halves, int nibbles)
{
    const uint8_t *tile = g->tiles, *scales = g->scales;
    const struct npu_block *x[FEW];
    const hv table = hv_load(g->table);
    hv acc[FEW], w[8];
    for (int t = 0; t < few; t++) {
        acc[t] = hv_splat(0);
        x[t] = g->x + (int64_t)t * g->pitch;
    }
    HV_NO_UNROLL
    for (int i = 0; i < g->n; i++) {
        tile_load(tile, nibbles, table, w);
        tile += nibbles ? 4 * NPU_VECTOR : 8 * NPU_VECTOR;
        const hv pair = hv_load(scales);
        const hv s0 = hv_left(pair, halves == 2 ? 16 : i % 2 ? 0 : 16), s1 = pair;
        scales += halves == 2 || i % 2 ? NPU_VECTOR : 0;
        for (int t = 0; t < few; t++) {
            const struct npu_block *b = x[t]++;
            const int32_t *q = (const int32_t *)(const void *)b->q;
            hv p;
            if (halves == 1) {
                p = hv_splat(b->start[0] + b->start[1]);
                for (int j = 0; j < 8; j++)
                    p = hv_dot(p, w[j], q[j]);
                p = hv_scale(hv_left(p, NPU_FRACTION), s0);
            } else {
                hv u = hv_splat(b->start[0]), v = hv_splat(b->start[1]);
                for (int j = 0; j < 4; j++) {
                    u = hv_dot(u, w[j], q[j]);
                    v = hv_dot(v, w[4 + j], q[4 + j]);
                }
                p = hv_add(hv_scale(hv_left(u, NPU_FRACTION), s0),
                           hv_scale(hv_left(v, NPU_FRACTION), s1));
            }
            acc[t] = hv_add(acc[t], hv_scale(p, hv_splat(b->scale)));
        }
    }
    for (int t = 0; t < few; t++)
        split_add(acc[t], g->sums + t * 4, g->sums + t * 4 + 1);
}

// Not inlined: each keeps the registers to itself.
#define GROUP(NAME, FEW_, HALVES, NIBBLES)                                                         \
    static HV_NOINLINE void NAME(const struct group *g)                                            \
    {                                                                                              \
        group(g, FEW_, HALVES, NIBBLES);                                                           \
    }
GROUP(bytes_whole_few, FEW, 1, 0)
GROUP(bytes_whole_one, 1, 1, 0)
GROUP(bytes_halves_few, FEW, 2, 0)
GROUP(bytes_halves_one, 1, 2, 0)
GROUP(nibbles_whole_one, 1, 1, 1)
GROUP(nibbles_halves_one, 1, 2, 1)

// Several tokens share the work of unpacking nibbles.
static HV_NOINLINE const uint8_t *unpack(const struct npu_product *p, const uint8_t *tiles, int n)
{
    uint8_t *to = p->graph + p->at.group;
    const hv table = hv_load(((const struct npu_head *)(const void *)p->tiles)->table);
    HV_NO_UNROLL
    for (int i = 0; i < n; i++) {
        hv w[8];
        tile_load(tiles + i * 4 * NPU_VECTOR, 1, table, w);
        for (int j = 0; j < 8; j++)
            hv_store(to + (i * 8 + j) * NPU_VECTOR, w[j]);
    }
    return to;
}

static HV_NOINLINE void add_minima(const struct npu_product *p, int32_t k0, int n)
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
    const int32_t step = p->halves == 2 ? NPU_VECTOR : NPU_VECTOR / 2; // of scales, per tile
    const uint8_t *tiles = p->tiles + p->row.tiles;
    memset(p->graph + p->at.sums, 0, (size_t)p->tokens * 4 * NPU_VECTOR);
    for (int32_t k0 = 0; k0 < p->tiles_k; k0 += NPU_GROUP) {
        struct group g = {.scales = p->tiles + p->row.scales + (uint64_t)k0 * (uint32_t)step,
                          .n = p->tiles_k - k0 < NPU_GROUP ? p->tiles_k - k0 : NPU_GROUP,
                          .x = (struct npu_block *)(void *)(p->graph + p->at.blocks) + k0,
                          .pitch = p->tiles_k,
                          .sums = (hv *)(void *)(p->graph + p->at.sums),
                          .table = ((const struct npu_head *)(const void *)p->tiles)->table};
        const uint8_t *next = tiles + (uint32_t)g.n * p->row.tile_bytes;
        int nibbles = p->weights == NPU_W_I4;
        int32_t t = 0;
        if (k0 + g.n < p->tiles_k)
            hv_prefetch(next, NPU_GROUP * p->row.tile_bytes);
        if (nibbles && p->tokens > 1) {
            tiles = unpack(p, tiles, g.n);
            nibbles = 0;
        }
        g.tiles = tiles;
        for (; t + FEW <= p->tokens; t += FEW, g.x += (int64_t)FEW * g.pitch, g.sums += FEW * 4)
            (p->halves == 1 ? bytes_whole_few : bytes_halves_few)(&g);
        for (; t < p->tokens; t++, g.x += g.pitch, g.sums += 4)
            if (nibbles)
                (p->halves == 1 ? nibbles_whole_one : nibbles_halves_one)(&g);
            else
                (p->halves == 1 ? bytes_whole_one : bytes_halves_one)(&g);
        if (p->minima)
            add_minima(p, k0, g.n);
        tiles = next;
    }
}

// Floating-point weights in the scalar unit; each tile's sum is made by itself, then added.
static HV_NOINLINE void floats(const struct npu_product *p)
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

// The two vectors of split_add, times scale (per row) and unit, as floats: all of these are powers
// of two, or 0. The sum's magnitude is cut to its 31 highest bits, which are rounded to 24, halves
// up; what exceeds floats saturates, what is below the normal ones is 0.
HV_INLINE hv floats_of(const hv *sums, const float *scale, uint32_t unit)
{
    const hv low16 = hv_splat(0xffff);
    hv high = hv_load(sums), low = hv_load(sums + 1);
    high = hv_add(high, hv_right(low, 16));
    low = hv_and(low, low16);
    const hv sign = hv_right(high, 31);
    high = hv_xor(high, sign);
    low = hv_sub(hv_and(hv_xor(low, sign), low16), sign);
    high = hv_add(high, hv_right(low, 16));
    low = hv_and(low, low16);
    // The highest one goes to bit 30: by the upper word's, then by the lower one's if that was 0.
    hv left = hv_sub(hv_zeros(high), hv_splat(1));
    hv top = hv_or(hv_shift(high, left), hv_shift(low, hv_sub(left, hv_splat(16))));
    const hv more = hv_sub(hv_zeros(top), hv_splat(1));
    top = hv_shift(top, more);
    left = hv_add(left, more);
    const hv fraction = hv_right(hv_add(top, hv_splat(64)), 7);
    const hv scales = hv_and(hv_right(hv_load(scale), 23), hv_splat(255));
    // 2^30 * 2^16 of the shifts before; the fraction brings one of the exponent itself.
    const int32_t bias = 30 + 16 + (int32_t)(unit >> 23) - 127 - 1;
    const hv exponent = hv_min(hv_sub(hv_add(scales, hv_splat(bias)), left), hv_splat(253));
    const hv bits = hv_add(hv_left(exponent, 23), fraction);
    return hv_or(hv_keep(bits, exponent, hv_min(top, scales)), hv_left(sign, 31));
}

void npu_results(const struct npu_product *p, int32_t token, int a, int b, float *out)
{
    if (p->weights == NPU_W_F32) {
        const float *sums = (const float *)(const void *)(p->graph + p->at.sums);
        memcpy(out, sums + (int64_t)token * NPU_TILE + a, (size_t)(b - a) * 4);
        return;
    }
    // All 32 at once, into memory that nothing else points to.
    const struct npu_head *head = (const struct npu_head *)(const void *)p->tiles;
    const hv *sums = (const hv *)(const void *)(p->graph + p->at.sums) + (int64_t)token * 4;
    const uint32_t unit =
        number_bits(((const float *)(const void *)(p->graph + p->at.units))[token]) & 0x7f800000u;
    union {
        hv v;
        float f[NPU_TILE];
    } scaled, least;
    if (unit == 0) {
        memset(out, 0, (size_t)(b - a) * 4);
        return;
    }
    scaled.v = floats_of(sums, head->scale, unit);
    if (p->minima) {
        least.v = floats_of(sums + 2, head->minimum, unit);
        for (int r = 0; r < NPU_TILE; r++)
            scaled.f[r] += least.f[r];
    }
    if (b - a == NPU_TILE)
        hv_store_any(out, scaled.v);
    else
        memcpy(out, scaled.f + a, (size_t)(b - a) * 4);
}
