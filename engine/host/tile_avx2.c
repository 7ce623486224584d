// SPDX-License-Identifier: GPL-3.0-or-later
// Tiles with AVX2: 8 rows per register. Four activations are broadcast and multiplied into four
// bytes of each row by the sign trick (see kernels_avx2.c: pair sums of at most 32512 fit 16 bits).
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

INLINE __m256i broadcast(const int8_t *x)
{
    int32_t four;
    memcpy(&four, x, sizeof four);
    return _mm256_set1_epi32(four);
}

INLINE __m256i add_products(__m256i sum, __m256i w, __m256i magnitude, __m256i x)
{
    __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x, w));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

INLINE void scale_add(const struct tile_i8 *w, int r, __m256i sum, float scale, float *acc)
{
    vf d = v_load(w->scale + r) * scale;
    vf v = v_fma((vf)_mm256_cvtepi32_ps(sum), d, v_load(acc + r));
    memcpy(acc + r, &v, sizeof v);
}

static void run_i8(const struct tile_i8 *w, const int8_t *x, const float *scale, int tokens,
                   float *acc)
{
    for (int t = 0; t < tokens; t += 2, x += 2 * TILE, acc += 2 * TILE) {
        int two = t + 2 <= tokens;
        const int8_t *y = two ? x + TILE : x; // an odd last token is computed twice, kept once
        for (int r = 0; r < TILE; r += 8) {
            __m256i a = _mm256_setzero_si256(), b = a;
            for (int k = 0; k < TILE / 4; k++) {
                __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)w->q[k][r]);
                __m256i magnitude = _mm256_abs_epi8(v);
                a = add_products(a, v, magnitude, broadcast(x + 4 * k));
                b = add_products(b, v, magnitude, broadcast(y + 4 * k));
            }
            scale_add(w, r, a, scale[t], acc);
            if (two)
                scale_add(w, r, b, scale[t + 1], acc + TILE);
        }
    }
}

static const struct tile_kernels table = {"avx2", run_f32, run_i8};
const struct tile_kernels *const tile_avx2 = &table;

#else
const struct tile_kernels *const tile_avx2 = NULL;
#endif
