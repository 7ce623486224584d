// SPDX-License-Identifier: GPL-3.0-or-later
// Tiles with AVX-512 and VNNI: 16 rows per register, one dpbusd for 64 products of unsigned by
// signed bytes. The activations are unsigned, 128 + x; the accumulators start with -128 times the
// sums of the weights, computed per tile. A tile's weights are 16 registers; four tokens make eight
// accumulators, as many as hide the latency of two multipliers.
#include <stddef.h>
#include "engine/host/tile.h"

#if defined __AVX512F__ && defined __AVX512BW__ && defined __AVX512VNNI__

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define V_W    8

typedef float vf __attribute__((vector_size(32))); // 4 x 8 lanes make a tile; 16 would need 2 x 16

INLINE vf v_fma(vf a, vf b, vf c)
{
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

#include "engine/host/tile_body.inc.h"

enum { GROUPS = TILE / 4 }; // of four columns

INLINE __m512i broadcast(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, sizeof four);
    return _mm512_set1_epi32(four);
}

INLINE void scale_add(__m512i sum, __m512 w_scale, float x_scale, float *acc)
{
    __m512 scale = _mm512_mul_ps(w_scale, _mm512_set1_ps(x_scale));
    _mm512_storeu_ps(acc, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, _mm512_loadu_ps(acc)));
}

INLINE void i8(const struct tile_i8 *tile, const uint8_t *x, const float *scale, int tokens,
               float *acc)
{
    __m512i v[GROUPS], w[GROUPS], v_start = _mm512_setzero_si512(), w_start = v_start;
    const __m512i shift = _mm512_set1_epi8((char)128);
    for (int k = 0; k < GROUPS; k++) {
        v[k] = _mm512_loadu_si512(tile->q[k][0]);
        w[k] = _mm512_loadu_si512(tile->q[k][16]);
        v_start = _mm512_dpbusd_epi32(v_start, shift, v[k]);
        w_start = _mm512_dpbusd_epi32(w_start, shift, w[k]);
    }
    v_start = _mm512_sub_epi32(_mm512_setzero_si512(), v_start);
    w_start = _mm512_sub_epi32(_mm512_setzero_si512(), w_start);
    __m512 v_scale = _mm512_loadu_ps(tile->scale), w_scale = _mm512_loadu_ps(tile->scale + 16);
#define TOKEN(n)                                                                                   \
    b = broadcast(x + (n)*TILE + 4 * k), v##n = _mm512_dpbusd_epi32(v##n, b, v[k]),                \
    w##n = _mm512_dpbusd_epi32(w##n, b, w[k])
#define FINISH(n)                                                                                  \
    scale_add(v##n, v_scale, scale[t + (n)], acc + (n)*TILE),                                      \
        scale_add(w##n, w_scale, scale[t + (n)], acc + (n)*TILE + 16)
    int t = 0;
    for (; t + 4 <= tokens; t += 4, x += 4 * TILE, acc += 4 * TILE) {
        __m512i v0 = v_start, v1 = v0, v2 = v0, v3 = v0, w0 = w_start, w1 = w0, w2 = w0, w3 = w0;
#pragma GCC unroll 8
        for (int k = 0; k < GROUPS; k++) {
            __m512i b;
            TOKEN(0), TOKEN(1), TOKEN(2), TOKEN(3);
        }
        FINISH(0), FINISH(1), FINISH(2), FINISH(3);
    }
    for (; t < tokens; t++, x += TILE, acc += TILE) {
        __m512i v0 = v_start, w0 = w_start;
#pragma GCC unroll 8
        for (int k = 0; k < GROUPS; k++) {
            __m512i b;
            TOKEN(0);
        }
        FINISH(0);
    }
#undef TOKEN
#undef FINISH
}

static void run_i8(const struct tile_run *r)
{
    FOR_TILES(r, struct tile_i8)
    i8(tile, (const uint8_t *)r->x + at * TILE, r->scale + at, r->tokens, r->acc);
}

static void run_i4(const struct tile_run *r)
{
    _Alignas(64) struct tile_i8 whole;
    FOR_TILES(r, struct tile_i4)
    {
        bytes_of(tile, r->bias, &whole);
        i8(&whole, (const uint8_t *)r->x + at * TILE, r->scale + at, r->tokens, r->acc);
    }
}

static const struct tile_kernels table = {"avx512", run_f32, run_i8, run_i4};
const struct tile_kernels *const tile_avx512 = &table;

#else
const struct tile_kernels *const tile_avx512 = NULL;
#endif
