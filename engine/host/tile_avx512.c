// SPDX-License-Identifier: GPL-3.0-or-later
// Tiles with AVX-512 and VNNI: 16 rows per register, one dpbusd for 64 products. dpbusd multiplies
// unsigned by signed: the activations become unsigned by adding 128, which is taken off again as
// 128 times the sum of the weights of each row (computed per tile, shared by all tokens).
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

// tokens x 16 rows from r on.
INLINE void half_tile(const struct tile_i8 *w, int r, const int8_t *x, const float *scale,
                      int tokens, float *acc)
{
    __m512i v[TILE / 4], offset = _mm512_setzero_si512();
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    for (int k = 0; k < TILE / 4; k++) {
        v[k] = _mm512_loadu_si512(w->q[k][r]);
        offset = _mm512_dpbusd_epi32(offset, sign, v[k]); // 128 unsigned times w
    }
    __m512 d = _mm512_loadu_ps(w->scale + r);
    for (int t = 0; t < tokens; t++, x += TILE, acc += TILE) {
        __m512i sum = _mm512_sub_epi32(_mm512_setzero_si512(), offset);
        for (int k = 0; k < TILE / 4; k++) {
            int32_t four;
            memcpy(&four, x + 4 * k, sizeof four);
            sum = _mm512_dpbusd_epi32(sum, _mm512_xor_si512(_mm512_set1_epi32(four), sign), v[k]);
        }
        __m512 scaled = _mm512_mul_ps(d, _mm512_set1_ps(scale[t]));
        __m512 out = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scaled, _mm512_loadu_ps(acc + r));
        _mm512_storeu_ps(acc + r, out);
    }
}

static void run_i8(const struct tile_i8 *w, const int8_t *x, const float *scale, int tokens,
                   float *acc)
{
    half_tile(w, 0, x, scale, tokens, acc);
    half_tile(w, 16, x, scale, tokens, acc);
}

static const struct tile_kernels table = {"avx512", run_f32, run_i8};
const struct tile_kernels *const tile_avx512 = &table;

#else
const struct tile_kernels *const tile_avx512 = NULL;
#endif
