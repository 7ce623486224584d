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

INLINE float half1(uint16_t h)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
}

INLINE vf v_f16(const uint16_t *p)
{
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

INLINE v8f v8_set(float f)
{
    return (v8f)_mm256_set1_ps(f);
}

INLINE v8f v8_fma(v8f a, v8f b, v8f c)
{
    return v_fma(a, b, c);
}

INLINE float v8_sum(v8f v)
{
    return v_sum(v);
}

INLINE v8f v8_mul(v8f a, v8f b)
{
    return a * b;
}

INLINE v8f v8_bytes(const void *p)
{
    return (v8f)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p)));
}

INLINE v8f v8_pair(const float *p)
{
    return (v8f)_mm256_set_m128(_mm_broadcast_ss(p + 1), _mm_broadcast_ss(p));
}

INLINE vq vq_load(const void *p)
{
    return _mm256_loadu_si256(p);
}

INLINE vq vq_pair(const void *p, const void *q)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(p)), _mm_loadu_si128(q),
                                   1);
}

INLINE uint64_t four_halves(const char *p, int step)
{
    uint16_t h[4];
    for (int i = 0; i < 4; i++)
        __builtin_memcpy(&h[i], p + i * step, sizeof h[i]);
    return h[0] | (uint64_t)h[1] << 16 | (uint64_t)h[2] << 32 | (uint64_t)h[3] << 48;
}

INLINE v8f v8_halves(const char *p, int step)
{
    return (v8f)_mm256_cvtph_ps(
        _mm_set_epi64x((int64_t)four_halves(p + 4 * step, step), (int64_t)four_halves(p, step)));
}

INLINE vq vq_bits(vq v, int shift, int mask)
{
    v = shift < 0 ? _mm256_slli_epi16(v, -shift) : _mm256_srli_epi16(v, shift);
    return _mm256_and_si256(v, _mm256_set1_epi8((char)mask));
}

INLINE vq vq_or(vq a, vq b)
{
    return _mm256_or_si256(a, b);
}

INLINE vq vq_minus(vq v, int n)
{
    return _mm256_sub_epi8(v, _mm256_set1_epi8((char)n));
}

// Byte i of the bits to lanes 8i .. 8i + 7, each of which keeps its own bit.
INLINE vq vq_spread(const void *p)
{
    int32_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    const __m256i from =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i own = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    __m256i v = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), from), own);
    return _mm256_and_si256(_mm256_cmpeq_epi8(v, own), _mm256_set1_epi8(16));
}

INLINE vq vq_table(vq v, const int8_t *table)
{
    __m128i t = _mm_loadu_si128((const __m128i *)(const void *)table);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(t), v);
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

INLINE v8f vi8_sums(vi8 a, vi8 b, vi8 c, vi8 d)
{
    __m256i v = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return (v8f)_mm256_cvtepi32_ps(v);
}

#include "engine/host/kernels_body.inc.h"
#include "engine/host/kernels_vector.inc.h"

static const struct cpu_kernels table = KERNEL_TABLE("avx2");
const struct cpu_kernels *const kernels_avx2 = &table;

#else
const struct cpu_kernels *const kernels_avx2 = NULL;
#endif
