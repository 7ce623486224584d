// SPDX-License-Identifier: GPL-3.0-or-later
// Tiles with AVX2, which multiplies bytes only as unsigned times signed and adds two products into
// 16 bits that saturate. Everything here serves to add in 16 bits: an addition there is one
// instruction for 32 products, while widening to 32 bits takes another multiplier.
//
// A weight of 4 bits times 128 + x, summed over the 16 columns that meet in one lane, leaves 16
// bits, but only for a while: additions wrap, and the sum that remains when 128 times the sum of
// the weights has been taken off (the accumulator starts with it) is at most 15 * 127 * 16 = 30480.
// The products themselves, 2 * 15 * 255 at most, do not saturate. So a block of 32 columns is
// widened once. A weight of 8 bits is a pair of such planes, 16 * high + low.
//
// Blocking: two registers of weights (8 rows each, or two planes of 8 rows) by four tokens are
// eight accumulators; six loads feed sixteen arithmetic instructions, four of which the machine may
// start in a cycle.
#include <stddef.h>
#include "engine/host/tile.h"

#if defined __AVX2__ && defined __FMA__

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define V_W    8

typedef float vf __attribute__((vector_size(32)));

INLINE vf v_fma(vf a, vf b, vf c)
{
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

#include "engine/host/tile_body.inc.h"

enum { GROUPS = TILE / 4 }; // of four columns

// 8 rows of a tile with integers in -8..15.
struct plane {
    __m256i w[GROUPS];
    __m256i start; // -128 times their sums, in 16-bit lanes
};

INLINE __m256i load(const void *p)
{
    return _mm256_load_si256(p);
}

INLINE void finish_plane(struct plane *p)
{
    __m256i sum = _mm256_setzero_si256();
    for (int k = 0; k < GROUPS; k++)
        sum = _mm256_sub_epi16(sum, _mm256_maddubs_epi16(_mm256_set1_epi8((char)128), p->w[k]));
    p->start = sum;
}

INLINE __m256i broadcast(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, sizeof four);
    return _mm256_set1_epi32(four);
}

INLINE __m256i add_products(__m256i sum, __m256i x, __m256i w)
{
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(x, w));
}

INLINE __m256i widen(__m256i sum, int factor)
{
    return _mm256_madd_epi16(sum, _mm256_set1_epi16((short)factor));
}

// acc[8 rows] += sum * scales.
INLINE void scale_add(__m256i sum, vf w_scale, float x_scale, float *acc)
{
    vf v = v_fma((vf)_mm256_cvtepi32_ps(sum), w_scale * x_scale, v_load(acc));
    memcpy(acc, &v, sizeof v);
}

// Two planes are 16 rows (`pair`: not) or the low and the high half of 8 rows (`pair`).
INLINE void finish(bool pair, __m256i a, __m256i b, vf scale_a, vf scale_b, float x, float *acc)
{
    if (pair) {
        scale_add(_mm256_add_epi32(widen(a, 1), widen(b, 16)), scale_a, x, acc);
    } else {
        scale_add(widen(a, 1), scale_a, x, acc);
        scale_add(widen(b, 1), scale_b, x, acc + 8);
    }
}

// acc: of the first of the rows.
INLINE void two_planes(bool pair, const struct plane *p, const struct plane *q, vf scale_p,
                       vf scale_q, const uint8_t *x, const float *scale, int tokens, float *acc)
{
    int t = 0;
    for (; t + 4 <= tokens; t += 4, x += 4 * TILE, acc += 4 * TILE) {
        __m256i a0 = p->start, a1 = a0, a2 = a0, a3 = a0, b0 = q->start, b1 = b0, b2 = b0, b3 = b0;
        // In this order, four multiplications and their additions at a time: gcc would multiply
        // everything first and spill the products.
#define TOKENS(n, m)                                                                               \
    v = broadcast(x + (n)*TILE + 4 * k), u = broadcast(x + (m)*TILE + 4 * k);                      \
    vp = _mm256_maddubs_epi16(v, wp), vq = _mm256_maddubs_epi16(v, wq);                            \
    up = _mm256_maddubs_epi16(u, wp), uq = _mm256_maddubs_epi16(u, wq);                            \
    __asm__("" : "+x"(vp), "+x"(vq), "+x"(up), "+x"(uq));                                          \
    a##n = _mm256_add_epi16(a##n, vp), b##n = _mm256_add_epi16(b##n, vq);                          \
    a##m = _mm256_add_epi16(a##m, up), b##m = _mm256_add_epi16(b##m, uq);                          \
    __asm__("" : "+x"(a##n), "+x"(b##n), "+x"(a##m), "+x"(b##m))
#pragma GCC unroll 8
        for (int k = 0; k < GROUPS; k++) {
            __m256i wp = load(&p->w[k]), wq = load(&q->w[k]), v, u, vp, vq, up, uq;
            TOKENS(0, 1);
            TOKENS(2, 3);
        }
#undef TOKENS
        finish(pair, a0, b0, scale_p, scale_q, scale[t], acc);
        finish(pair, a1, b1, scale_p, scale_q, scale[t + 1], acc + TILE);
        finish(pair, a2, b2, scale_p, scale_q, scale[t + 2], acc + 2 * TILE);
        finish(pair, a3, b3, scale_p, scale_q, scale[t + 3], acc + 3 * TILE);
    }
    for (; t < tokens; t++, x += TILE, acc += TILE) {
        __m256i a = p->start, b = q->start;
        for (int k = 0; k < GROUPS; k++) {
            __m256i v = broadcast(x + 4 * k);
            a = add_products(a, v, load(&p->w[k]));
            b = add_products(b, v, load(&q->w[k]));
        }
        finish(pair, a, b, scale_p, scale_q, scale[t], acc);
    }
}

INLINE void i4(const struct tile_i4 *w, int bias, const uint8_t *x, const float *scale, int tokens,
               float *acc)
{
    const __m256i nibble = _mm256_set1_epi8(15), minus = _mm256_set1_epi8((char)bias);
    for (int r = 0; r < TILE; r += 16) {
        struct plane p[2];
        for (int h = 0; h < 2; h++) {
            for (int k = 0; k < GROUPS / 2; k++) {
                __m256i v = load(w->q[k][r + 8 * h]);
                __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
                p[h].w[k] = _mm256_sub_epi8(_mm256_and_si256(v, nibble), minus);
                p[h].w[k + GROUPS / 2] = _mm256_sub_epi8(high, minus);
            }
            finish_plane(&p[h]);
        }
        two_planes(false, &p[0], &p[1], v_load(w->scale + r), v_load(w->scale + r + 8), x, scale,
                   tokens, acc + r);
    }
}

INLINE void i8(const struct tile_i8 *w, const uint8_t *x, const float *scale, int tokens,
               float *acc)
{
    const __m256i nibble = _mm256_set1_epi8(15), eight = _mm256_set1_epi8(8);
    for (int r = 0; r < TILE; r += 8) {
        struct plane low, high;
        for (int k = 0; k < GROUPS; k++) {
            __m256i v = load(w->q[k][r]);
            __m256i top = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
            low.w[k] = _mm256_and_si256(v, nibble);
            high.w[k] = _mm256_sub_epi8(_mm256_xor_si256(top, eight), eight); // extends the sign
        }
        finish_plane(&low);
        finish_plane(&high);
        vf s = v_load(w->scale + r);
        two_planes(true, &low, &high, s, s, x, scale, tokens, acc + r);
    }
}

static void run_i8(const struct tile_run *r)
{
    FOR_TILES(r, struct tile_i8)
    i8(tile, (const uint8_t *)r->x + at * TILE, r->scale + at, r->tokens, r->acc);
}

static void run_i4(const struct tile_run *r)
{
    FOR_TILES(r, struct tile_i4)
    i4(tile, r->bias, (const uint8_t *)r->x + at * TILE, r->scale + at, r->tokens, r->acc);
}

static const struct tile_kernels table = {"avx2", run_f32, run_i8, run_i4};
const struct tile_kernels *const tile_avx2 = &table;

#else
const struct tile_kernels *const tile_avx2 = NULL;
#endif
