// SPDX-License-Identifier: GPL-3.0-or-later
// The 256-bit half of the kernels' vocabulary, for every x86 instruction set that has it: AVX2, and
// AVX-512 where 32 bytes are a block. What multiplies bytes stays with each.
//
// Included after INLINE, v8f, vq and vi8 are defined.

INLINE v8f v8_set(float f)
{
    return (v8f)_mm256_set1_ps(f);
}

INLINE v8f v8_fma(v8f a, v8f b, v8f c)
{
    return (v8f)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

INLINE float v8_sum(v8f v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
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

INLINE float half1(uint16_t h)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
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

INLINE v8f vi8_sums(vi8 a, vi8 b, vi8 c, vi8 d)
{
    __m256i v = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return (v8f)_mm256_cvtepi32_ps(v);
}
