// SPDX-License-Identifier: GPL-3.0-or-later
// AVX2 with FMA and F16C: vectors of 8 floats. The integer product of 32 int8 uses the one
// instruction that multiplies bytes, unsigned by signed: |w| times x with the sign of w. Its pair
// sums are at most 2 * 128 * 127 = 32512, so 16 bits never saturate.
#include "engine/host/kernels.h"

#if defined __AVX2__ && defined __FMA__ && defined __F16C__

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define V_W    8

typedef float vf __attribute__((vector_size(32)));
typedef vf v8f;
typedef __m256i vq, vi8;

#include "engine/host/kernels_ymm.inc.h"

INLINE vf v_fma(vf a, vf b, vf c)
{
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

INLINE float v_sum(vf v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

INLINE vf v_f16(const uint16_t *p)
{
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

INLINE v8f vq_dot(vq w, vq x)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return (v8f)_mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

INLINE v8f vq_udot(vq w, vq x)
{
    __m256i pairs = _mm256_maddubs_epi16(w, x);
    return (v8f)_mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

// Pair sums of two unsigned numbers below 32 still fit into 16 bits together.
INLINE vi8 vi8_udot(vq w, vq x, vq v, vq y)
{
    __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(w, x), _mm256_maddubs_epi16(v, y));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

INLINE vi8 vi8_dot(vq w, vq x, vq v, vq y)
{
    const __m256i one = _mm256_set1_epi16(1);
    __m256i a = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    __m256i b = _mm256_maddubs_epi16(_mm256_abs_epi8(v), _mm256_sign_epi8(y, v));
    return _mm256_add_epi32(_mm256_madd_epi16(a, one), _mm256_madd_epi16(b, one));
}

#include "engine/host/kernels_body.inc.h"
#include "engine/host/kernels_vector.inc.h"

static const struct cpu_kernels table = KERNEL_TABLE("avx2");
const struct cpu_kernels *const kernels_avx2 = &table;

#else
const struct cpu_kernels *const kernels_avx2 = NULL;
#endif
