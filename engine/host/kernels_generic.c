// SPDX-License-Identifier: GPL-3.0-or-later
// The generic kernels: vectors of 4 floats, which every compiler lowers to what the machine has, and
// no fused multiply-add, so they give the same bits on every machine. They exist always, and every
// other table is checked against them.
#include "engine/host/kernels.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define V_W    4

typedef float vf __attribute__((vector_size(16)));
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

INLINE float half1(uint16_t h)
{
    return half_to_float(h);
}

INLINE vf v_f16(const uint16_t *p)
{
    return (vf){half1(p[0]), half1(p[1]), half1(p[2]), half1(p[3])};
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
    const uint8_t *q = p;
    vq v;
    for (int i = 0; i < 16; i++) {
        v.v[i] = (int8_t)((q[i] & 15) - 8);
        v.v[i + 16] = (int8_t)((q[i] >> 4) - 8);
    }
    return v;
}

INLINE float dot4(const int8_t *w, const int8_t *x)
{
    return (float)(w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + w[3] * x[3]);
}

INLINE v8f vq_dot(vq w, vq x)
{
    const int8_t *a = w.v, *b = x.v;
    return (v8f){
        {dot4(a, b), dot4(a + 4, b + 4), dot4(a + 8, b + 8), dot4(a + 12, b + 12)},
        {dot4(a + 16, b + 16), dot4(a + 20, b + 20), dot4(a + 24, b + 24), dot4(a + 28, b + 28)}};
}

#include "engine/host/kernels_body.inc.h"
#include "engine/host/kernels_vector.inc.h"

const struct cpu_kernels kernels_generic = KERNEL_TABLE("generic");
