// SPDX-License-Identifier: GPL-3.0-or-later
// The AVX-512 and AMX instructions that the tile kernels use, in C, from Intel's description of the
// operations: the kernels are compiled over these on a machine that does not execute the real ones.
// AMX registers are checked for their configured shape. Floats are rounded once per addition of a
// bf16 pair, which is one of the orders that the instruction may be given; the tests of float
// kernels have a tolerance.
#ifndef TESTS_ENGINE_HOST_EMULATE_X86_H
#define TESTS_ENGINE_HOST_EMULATE_X86_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wpsabi"

typedef struct {
    int32_t i[16];
} em_i;
typedef struct {
    float f[16];
} em_f;
typedef struct {
    uint16_t h[16];
} em_h;
#define EACH(n) for (int n = 0; n < 16; n++)
#define EM      static inline __attribute__((unused))

EM em_i em_set1_epi32(int32_t v)
{
    em_i r;
    EACH(n) r.i[n] = v;
    return r;
}
EM em_i em_set1_epi8(char v)
{
    em_i r;
    memset(&r, v, sizeof r);
    return r;
}
EM em_i em_loadu(const void *p)
{
    em_i r;
    memcpy(&r, p, sizeof r);
    return r;
}
EM void em_storeu(void *p, em_i v)
{
    memcpy(p, &v, sizeof v);
}
EM em_i em_sub(em_i a, em_i b)
{
    EACH(n) a.i[n] = (int32_t)((uint32_t)a.i[n] - (uint32_t)b.i[n]);
    return a;
}
EM em_i em_and(em_i a, em_i b)
{
    EACH(n) a.i[n] &= b.i[n];
    return a;
}
EM em_i em_or(em_i a, em_i b)
{
    EACH(n) a.i[n] |= b.i[n];
    return a;
}
EM em_i em_srli(em_i a, int by)
{
    EACH(n) a.i[n] = (int32_t)((uint32_t)a.i[n] >> by);
    return a;
}
EM int32_t em_four(int32_t c, const uint8_t *a, const int8_t *b)
{
    for (int k = 0; k < 4; k++)
        c += a[k] * b[k];
    return c;
}
EM em_i em_dpbusd(em_i c, em_i a, em_i b)
{
    EACH(n)
    c.i[n] = em_four(c.i[n], (const uint8_t *)&a.i[n], (const int8_t *)&b.i[n]);
    return c;
}
EM em_f em_set1_ps(float v)
{
    em_f r;
    EACH(n) r.f[n] = v;
    return r;
}
EM em_f em_loadu_ps(const float *p)
{
    em_f r;
    memcpy(&r, p, sizeof r);
    return r;
}
EM void em_storeu_ps(float *p, em_f v)
{
    memcpy(p, &v, sizeof v);
}
EM em_f em_mul_ps(em_f a, em_f b)
{
    EACH(n) a.f[n] *= b.f[n];
    return a;
}
EM em_f em_sub_ps(em_f a, em_f b)
{
    EACH(n) a.f[n] -= b.f[n];
    return a;
}
EM em_f em_fmadd_ps(em_f a, em_f b, em_f c)
{
    EACH(n) a.f[n] = fmaf(a.f[n], b.f[n], c.f[n]);
    return a;
}
EM em_f em_cvtepi32_ps(em_i v)
{
    em_f r;
    EACH(n) r.f[n] = (float)v.i[n];
    return r;
}
EM em_i em_castps(em_f v)
{
    em_i r;
    memcpy(&r, &v, sizeof r);
    return r;
}
EM em_f em_castsi(em_i v)
{
    em_f r;
    memcpy(&r, &v, sizeof r);
    return r;
}
EM em_h em_cvtepi32_epi16(em_i v)
{
    em_h r;
    EACH(n) r.h[n] = (uint16_t)v.i[n];
    return r;
}
typedef float em_v8 __attribute__((vector_size(32)));
static inline __attribute__((always_inline)) em_v8 em_fma8(em_v8 a, em_v8 b, em_v8 c)
{
    for (int n = 0; n < 8; n++)
        a[n] = fmaf(a[n], b[n], c[n]);
    return a;
}

// Some compilers have macros of these names.
#undef _mm512_setzero_si512
#undef _mm512_set1_epi32
#undef _mm512_set1_epi8
#undef _mm512_loadu_si512
#undef _mm512_storeu_si512
#undef _mm512_sub_epi32
#undef _mm512_and_si512
#undef _mm512_or_si512
#undef _mm512_srli_epi32
#undef _mm512_dpbusd_epi32
#undef _mm512_set1_ps
#undef _mm512_loadu_ps
#undef _mm512_storeu_ps
#undef _mm512_mul_ps
#undef _mm512_sub_ps
#undef _mm512_fmadd_ps
#undef _mm512_cvtepi32_ps
#undef _mm512_castps_si512
#undef _mm512_castsi512_ps
#undef _mm512_cvtepi32_epi16
#undef _mm256_fmadd_ps
#undef _tile_loadconfig
#undef _tile_release
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbusd
#undef _tile_dpbf16ps
#define __m512i                      em_i
#define __m512                       em_f
#define _mm512_setzero_si512()       em_set1_epi32(0)
#define _mm512_set1_epi32(v)         em_set1_epi32(v)
#define _mm512_set1_epi8(v)          em_set1_epi8(v)
#define _mm512_loadu_si512(p)        em_loadu(p)
#define _mm512_storeu_si512(p, v)    em_storeu(p, v)
#define _mm512_sub_epi32(a, b)       em_sub(a, b)
#define _mm512_and_si512(a, b)       em_and(a, b)
#define _mm512_or_si512(a, b)        em_or(a, b)
#define _mm512_srli_epi32(a, n)      em_srli(a, n)
#define _mm512_dpbusd_epi32(c, a, b) em_dpbusd(c, a, b)
#define _mm512_set1_ps(v)            em_set1_ps(v)
#define _mm512_loadu_ps(p)           em_loadu_ps(p)
#define _mm512_storeu_ps(p, v)       em_storeu_ps(p, v)
#define _mm512_mul_ps(a, b)          em_mul_ps(a, b)
#define _mm512_sub_ps(a, b)          em_sub_ps(a, b)
#define _mm512_fmadd_ps(a, b, c)     em_fmadd_ps(a, b, c)
#define _mm512_cvtepi32_ps(v)        em_cvtepi32_ps(v)
#define _mm512_castps_si512(v)       em_castps(v)
#define _mm512_castsi512_ps(v)       em_castsi(v)
#define _mm512_cvtepi32_epi16(v)     em_cvtepi32_epi16(v)
#define _mm256_fmadd_ps(a, b, c)     em_fma8((em_v8)(a), (em_v8)(b), (em_v8)(c))
#define __m256                       em_v8
#define __m256i                      em_h

// AMX: what LDTILECFG loaded, and eight registers of 16 rows by 64 bytes.
struct em_amx {
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
};
static struct em_amx em_config;
static unsigned char em_tile[8][16][64];
static int em_misuse; // operands whose shapes do not fit, or no configuration

EM void em_loadconfig(const void *p)
{
    memcpy(&em_config, p, sizeof em_config);
    memset(em_tile, 0, sizeof em_tile);
    em_misuse += em_config.palette != 1;
    for (int t = 0; t < 8; t++)
        em_misuse += em_config.rows[t] > 16 || em_config.colsb[t] > 64;
}
EM void em_release(void)
{
    memset(&em_config, 0, sizeof em_config);
}
EM void em_loadd(int t, const void *p, int64_t stride)
{
    em_misuse += em_config.palette != 1;
    memset(em_tile[t], 0, sizeof em_tile[t]);
    for (int r = 0; r < em_config.rows[t]; r++)
        memcpy(em_tile[t][r], (const char *)p + r * stride, em_config.colsb[t]);
}
EM void em_stored(int t, void *p, int64_t stride)
{
    em_misuse += em_config.palette != 1;
    for (int r = 0; r < em_config.rows[t]; r++)
        memcpy((char *)p + r * stride, em_tile[t][r], em_config.colsb[t]);
}
EM void em_shapes(int c, int a, int b)
{
    const struct em_amx *g = &em_config;
    em_misuse += g->palette != 1 || g->rows[c] != g->rows[a] || g->colsb[a] != 4 * g->rows[b] ||
                 g->colsb[c] != g->colsb[b];
}
EM void em_tile_dpbusd(int c, int a, int b)
{
    em_shapes(c, a, b);
    for (int m = 0; m < em_config.rows[c]; m++)
        for (int k = 0; k < em_config.rows[b]; k++)
            for (int n = 0; n < em_config.colsb[c] / 4; n++) {
                int32_t v;
                memcpy(&v, em_tile[c][m] + 4 * n, sizeof v);
                v = em_four(v, em_tile[a][m] + 4 * k, (const int8_t *)em_tile[b][k] + 4 * n);
                memcpy(em_tile[c][m] + 4 * n, &v, sizeof v);
            }
}
EM float em_bf16(const unsigned char *p)
{
    uint32_t bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 24;
    float f;
    memcpy(&f, &bits, sizeof f);
    return fpclassify(f) == FP_SUBNORMAL ? 0 : f;
}
EM void em_dpbf16ps(int c, int a, int b)
{
    em_shapes(c, a, b);
    for (int m = 0; m < em_config.rows[c]; m++)
        for (int k = 0; k < em_config.rows[b]; k++)
            for (int n = 0; n < em_config.colsb[c] / 4; n++) {
                const unsigned char *x = em_tile[a][m] + 4 * k, *w = em_tile[b][k] + 4 * n;
                float v;
                memcpy(&v, em_tile[c][m] + 4 * n, sizeof v);
                v += em_bf16(x) * em_bf16(w) + em_bf16(x + 2) * em_bf16(w + 2);
                memcpy(em_tile[c][m] + 4 * n, &v, sizeof v);
            }
}
#define _tile_loadconfig(p)     em_loadconfig(p)
#define _tile_release()         em_release()
#define _tile_loadd(t, p, s)    em_loadd(t, p, s)
#define _tile_stored(t, p, s)   em_stored(t, p, s)
#define _tile_dpbusd(c, a, b)   em_tile_dpbusd(c, a, b)
#define _tile_dpbf16ps(c, a, b) em_dpbf16ps(c, a, b)

#endif
