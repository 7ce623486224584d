// SPDX-License-Identifier: GPL-3.0-or-later
// The generic kernels: vectors of 4 floats, which every compiler lowers to what the machine has,
// and no fused multiply-add, so they give the same bits on every machine. They exist always, and
// every other table is checked against them.
#include "engine/host/kernels.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define V_W    4

typedef float vf __attribute__((vector_size(16)));
typedef uint32_t u32x4 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));
typedef int16_t i16x8 __attribute__((vector_size(16)));
typedef int16_t i16x4 __attribute__((vector_size(8)));
typedef int8_t i8x8 __attribute__((vector_size(8)));
typedef uint8_t u8x16 __attribute__((vector_size(16)));
typedef struct {
    vf low, high;
} v8f;
typedef struct {
    int8_t v[32];
} vq;
typedef struct {
    i32x4 low, high;
} vi8;

INLINE vf v_fma(vf a, vf b, vf c)
{
    return a * b + c;
}

INLINE float v_sum(vf v)
{
    return (v[0] + v[2]) + (v[1] + v[3]);
}

// A half's bits, moved to where a float has them, make a float whose exponent is 112 too small; the
// multiplication puts that right, for subnormal halves too. Infinities and NaN keep their exponent.
INLINE vf v_half(u32x4 h)
{
    u32x4 bits = (h & 0x7fff) << 13;
    vf f = (vf)bits * 0x1p112f;
    u32x4 special = (u32x4)(bits >= 31u << 23) & 0x7f800000;
    return (vf)((u32x4)f | special | (h & 0x8000) << 16);
}

INLINE float half1(uint16_t h)
{
    return v_half((u32x4){h})[0];
}

INLINE vf v_f16(const uint16_t *p)
{
    return v_half((u32x4){p[0], p[1], p[2], p[3]});
}

INLINE v8f v8_set(float f)
{
    return (v8f){(vf){0} + f, (vf){0} + f};
}

INLINE v8f v8_fma(v8f a, v8f b, v8f c)
{
    return (v8f){v_fma(a.low, b.low, c.low), v_fma(a.high, b.high, c.high)};
}

INLINE float v8_sum(v8f v)
{
    return v_sum(v.low + v.high);
}

INLINE vq vq_load(const void *p)
{
    vq v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE v8f v8_mul(v8f a, v8f b)
{
    return (v8f){a.low * b.low, a.high * b.high};
}

INLINE v8f v8_bytes(const void *p)
{
    typedef int8_t i8x4 __attribute__((vector_size(4)));
    i8x4 b[2];
    memcpy(b, p, sizeof b);
    return (v8f){__builtin_convertvector(b[0], vf), __builtin_convertvector(b[1], vf)};
}

INLINE v8f v8_pair(const float *p)
{
    return (v8f){(vf){0} + p[0], (vf){0} + p[1]};
}

INLINE u8x16 bytes_of(const vq *v, int half)
{
    u8x16 b;
    memcpy(&b, v->v + 16 * half, sizeof b);
    return b;
}

INLINE vq vq_pack(u8x16 low, u8x16 high)
{
    vq v;
    memcpy(v.v, &low, sizeof low);
    memcpy(v.v + 16, &high, sizeof high);
    return v;
}

INLINE vq vq_pair(const void *p, const void *q)
{
    vq v;
    memcpy(v.v, p, 16);
    memcpy(v.v + 16, q, 16);
    return v;
}

INLINE vf four_halves(const char *p, int step)
{
    uint16_t h[4];
    for (int i = 0; i < 4; i++)
        memcpy(&h[i], p + i * step, sizeof h[i]);
    return v_f16(h);
}

INLINE v8f v8_halves(const char *p, int step)
{
    return (v8f){four_halves(p, step), four_halves(p + 4 * step, step)};
}

INLINE u8x16 bits16(u8x16 b, int shift, int mask)
{
    return (shift < 0 ? b << -shift : b >> shift) & (uint8_t)mask;
}

INLINE vq vq_bits(vq v, int shift, int mask)
{
    return vq_pack(bits16(bytes_of(&v, 0), shift, mask), bits16(bytes_of(&v, 1), shift, mask));
}

INLINE vq vq_or(vq a, vq b)
{
    return vq_pack(bytes_of(&a, 0) | bytes_of(&b, 0), bytes_of(&a, 1) | bytes_of(&b, 1));
}

INLINE vq vq_minus(vq v, int n)
{
    return vq_pack(bytes_of(&v, 0) - (uint8_t)n, bytes_of(&v, 1) - (uint8_t)n);
}

INLINE vq vq_spread(const void *p)
{
    vq v;
    uint8_t bits[4];
    memcpy(bits, p, sizeof bits);
    for (int i = 0; i < 32; i++)
        v.v[i] = (int8_t)((bits[i / 8] >> i % 8 & 1) << 4);
    return v;
}

INLINE vq vq_table(vq v, const int8_t *table)
{
    for (int i = 0; i < 32; i++)
        v.v[i] = table[v.v[i]];
    return v;
}

INLINE i16x8 products(const int8_t *w, const int8_t *x)
{
    i8x8 a, b;
    memcpy(&a, w, sizeof a);
    memcpy(&b, x, sizeof b);
    return __builtin_convertvector(a, i16x8) * __builtin_convertvector(b, i16x8);
}

// Lane i sums the values i, i + 4, i + 8, i + 12 of a half. Two products of int8 fit into 16 bits
// (at most 2 * 128 * 127).
INLINE i32x4 dot16(const int8_t *w, const int8_t *x)
{
    i16x8 a = products(w, x) + products(w + 8, x + 8);
    i16x4 half[2];
    memcpy(half, &a, sizeof a);
    return __builtin_convertvector(half[0], i32x4) + __builtin_convertvector(half[1], i32x4);
}

INLINE v8f vq_dot(vq w, vq x)
{
    return (v8f){__builtin_convertvector(dot16(w.v, x.v), vf),
                 __builtin_convertvector(dot16(w.v + 16, x.v + 16), vf)};
}

INLINE vi8 vi8_dot(vq w, vq x, vq v, vq y)
{
    return (vi8){dot16(w.v, x.v) + dot16(v.v, y.v),
                 dot16(w.v + 16, x.v + 16) + dot16(v.v + 16, y.v + 16)};
}

INLINE vi8 vi8_udot(vq w, vq x, vq v, vq y)
{
    return vi8_dot(w, x, v, y);
}

INLINE vf four_sums(i32x4 a, i32x4 b, i32x4 c, i32x4 d)
{
    i32x4 s = {a[0] + a[1] + a[2] + a[3], b[0] + b[1] + b[2] + b[3], c[0] + c[1] + c[2] + c[3],
               d[0] + d[1] + d[2] + d[3]};
    return __builtin_convertvector(s, vf);
}

INLINE v8f vi8_sums(vi8 a, vi8 b, vi8 c, vi8 d)
{
    return (v8f){four_sums(a.low, b.low, c.low, d.low), four_sums(a.high, b.high, c.high, d.high)};
}

INLINE v8f vq_udot(vq w, vq x)
{
    return vq_dot(w, x);
}

#include "engine/host/kernels_body.inc.h"
#include "engine/host/kernels_vector.inc.h"

const struct cpu_kernels kernels_generic = KERNEL_TABLE("generic");
