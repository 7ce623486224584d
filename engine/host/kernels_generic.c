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

INLINE vq vq_nibbles(const void *p)
{
    vq v;
    u8x16 q, low, high;
    memcpy(&q, p, sizeof q);
    low = (q & 15) - 8, high = (q >> 4) - 8;
    memcpy(v.v, &low, sizeof low);
    memcpy(v.v + 16, &high, sizeof high);
    return v;
}

INLINE i16x8 products(const int8_t *w, const int8_t *x)
{
    i8x8 a, b;
    memcpy(&a, w, sizeof a);
    memcpy(&b, x, sizeof b);
    return __builtin_convertvector(a, i16x8) * __builtin_convertvector(b, i16x8);
}

// Lane i sums the values i, i + 8, i + 16, i + 24: which four share a lane does not matter as long
// as it is always the same ones. Two products of int8 fit into 16 bits (at most 2 * 128 * 127).
INLINE v8f vq_dot(vq w, vq x)
{
    i16x8 a = products(w.v, x.v) + products(w.v + 8, x.v + 8);
    i16x8 b = products(w.v + 16, x.v + 16) + products(w.v + 24, x.v + 24);
    i16x4 half[4];
    memcpy(half, &a, sizeof a);
    memcpy(half + 2, &b, sizeof b);
    i32x4 low = __builtin_convertvector(half[0], i32x4) + __builtin_convertvector(half[2], i32x4);
    i32x4 high = __builtin_convertvector(half[1], i32x4) + __builtin_convertvector(half[3], i32x4);
    return (v8f){__builtin_convertvector(low, vf), __builtin_convertvector(high, vf)};
}

#include "engine/host/kernels_body.inc.h"
#include "engine/host/kernels_vector.inc.h"

const struct cpu_kernels kernels_generic = KERNEL_TABLE("generic");
