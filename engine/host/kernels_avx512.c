// SPDX-License-Identifier: GPL-3.0-or-later
// AVX-512 with VNNI: vectors of 16 floats; the integer product of 32 int8 is one dpbusd on 256
// bits, with the sign trick of the AVX2 kernels (dpbusd multiplies unsigned by signed, sums four
// products into 32 bits and cannot saturate).
#include "engine/host/kernels.h"

#if defined __AVX512F__ && defined __AVX512VL__ && defined __AVX512VNNI__ && defined __F16C__

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define V_W    16

typedef float vf __attribute__((vector_size(64)));
typedef float v8f __attribute__((vector_size(32)));
typedef __m256i vq, vi8;

#include "engine/host/kernels_ymm.inc.h"

INLINE vf v_fma(vf a, vf b, vf c)
{
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

INLINE float v_sum(vf v)
{
    __m256d high = _mm512_extractf64x4_pd((__m512d)v, 1);
    return v8_sum((v8f)_mm512_castps512_ps256((__m512)v) + (v8f)high);
}

INLINE vf v_f16(const uint16_t *p)
{
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

INLINE v8f vq_dot(vq w, vq x)
{
    return (v8f)_mm256_cvtepi32_ps(
        _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_abs_epi8(w), _mm256_sign_epi8(x, w)));
}

INLINE v8f vq_udot(vq w, vq x)
{
    return (v8f)_mm256_cvtepi32_ps(_mm256_dpbusd_epi32(_mm256_setzero_si256(), w, x));
}

INLINE vi8 vi8_udot(vq w, vq x, vq v, vq y)
{
    return _mm256_dpbusd_epi32(_mm256_dpbusd_epi32(_mm256_setzero_si256(), w, x), v, y);
}

INLINE vi8 vi8_dot(vq w, vq x, vq v, vq y)
{
    return vi8_udot(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w), _mm256_abs_epi8(v),
                    _mm256_sign_epi8(y, v));
}

#include "engine/host/kernels_body.inc.h"
#include "engine/host/kernels_vector.inc.h"

static const struct cpu_kernels table = KERNEL_TABLE("avx512");
const struct cpu_kernels *const kernels_avx512 = &table;

#else
const struct cpu_kernels *const kernels_avx512 = NULL;
#endif
