// SPDX-License-Identifier: GPL-3.0-or-later
// ARM64: vectors of 4 floats with fused multiply-add; the integer product by sdot where the
// compiler may assume it (-march=armv8.2-a+dotprod), else by widening multiplies.
#include "engine/host/kernels.h"

#ifdef __ARM_FEATURE_DOTPROD
const int kernels_neon_dotprod = 1;
#else
const int kernels_neon_dotprod = 0;
#endif

#ifdef __aarch64__

#include <arm_neon.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define V_W    4

typedef float vf __attribute__((vector_size(16)));
typedef float32x4x2_t v8f;
typedef int8x16x2_t vq;
typedef int32x4x2_t vi8;

INLINE vf v_fma(vf a, vf b, vf c)
{
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}

INLINE float v_sum(vf v)
{
    return (v[0] + v[2]) + (v[1] + v[3]);
}

INLINE float half1(uint16_t h)
{
    __fp16 f;
    memcpy(&f, &h, sizeof f);
    return (float)f;
}

INLINE vf v_f16(const uint16_t *p)
{
    return (vf)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

INLINE v8f v8_set(float f)
{
    return (v8f){{vdupq_n_f32(f), vdupq_n_f32(f)}};
}

INLINE v8f v8_fma(v8f a, v8f b, v8f c)
{
    return (v8f){
        {vfmaq_f32(c.val[0], a.val[0], b.val[0]), vfmaq_f32(c.val[1], a.val[1], b.val[1])}};
}

INLINE float v8_sum(v8f v)
{
    return v_sum((vf)vaddq_f32(v.val[0], v.val[1]));
}

INLINE vq vq_load(const void *p)
{
    const int8_t *q = p;
    return (vq){{vld1q_s8(q), vld1q_s8(q + 16)}};
}

INLINE v8f v8_mul(v8f a, v8f b)
{
    return (v8f){{vmulq_f32(a.val[0], b.val[0]), vmulq_f32(a.val[1], b.val[1])}};
}

INLINE v8f v8_bytes(const void *p)
{
    int16x8_t v = vmovl_s8(vld1_s8(p));
    return (v8f){{vcvtq_f32_s32(vmovl_s16(vget_low_s16(v))), vcvtq_f32_s32(vmovl_high_s16(v))}};
}

INLINE v8f v8_pair(const float *p)
{
    return (v8f){{vdupq_n_f32(p[0]), vdupq_n_f32(p[1])}};
}

INLINE vq vq_pair(const void *p, const void *q)
{
    return (vq){{vld1q_s8(p), vld1q_s8(q)}};
}

INLINE float32x4_t four_halves(const char *p, int step)
{
    uint16_t h[4];
    for (int i = 0; i < 4; i++)
        memcpy(&h[i], p + i * step, sizeof h[i]);
    return (float32x4_t)v_f16(h);
}

INLINE v8f v8_halves(const char *p, int step)
{
    return (v8f){{four_halves(p, step), four_halves(p + 4 * step, step)}};
}

INLINE int8x16_t bits16(int8x16_t v, int shift, int mask)
{
    uint8x16_t b = vshlq_u8(vreinterpretq_u8_s8(v), vdupq_n_s8((int8_t)-shift));
    return vreinterpretq_s8_u8(vandq_u8(b, vdupq_n_u8((uint8_t)mask)));
}

INLINE vq vq_bits(vq v, int shift, int mask)
{
    return (vq){{bits16(v.val[0], shift, mask), bits16(v.val[1], shift, mask)}};
}

INLINE vq vq_or(vq a, vq b)
{
    return (vq){{vorrq_s8(a.val[0], b.val[0]), vorrq_s8(a.val[1], b.val[1])}};
}

INLINE vq vq_minus(vq v, int n)
{
    int8x16_t m = vdupq_n_s8((int8_t)n);
    return (vq){{vsubq_s8(v.val[0], m), vsubq_s8(v.val[1], m)}};
}

// A byte in 8 lanes, each of which keeps its own bit.
INLINE int8x16_t spread16(const uint8_t *p)
{
    uint8x16_t own = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
    uint8x16_t set = vtstq_u8(vcombine_u8(vdup_n_u8(p[0]), vdup_n_u8(p[1])), own);
    return vreinterpretq_s8_u8(vandq_u8(set, vdupq_n_u8(16)));
}

INLINE vq vq_spread(const void *p)
{
    const uint8_t *bits = p;
    return (vq){{spread16(bits), spread16(bits + 2)}};
}

INLINE vq vq_table(vq v, const int8_t *table)
{
    int8x16_t t = vld1q_s8(table);
    return (vq){{vqtbl1q_s8(t, vreinterpretq_u8_s8(v.val[0])),
                 vqtbl1q_s8(t, vreinterpretq_u8_s8(v.val[1]))}};
}

// Lane i of the result: the four products 4i .. 4i + 3 added to sum.
INLINE int32x4_t dot4(int32x4_t sum, int8x16_t w, int8x16_t x)
{
#ifdef __ARM_FEATURE_DOTPROD
    return vdotq_s32(sum, w, x);
#else
    int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x)), high = vmull_high_s8(w, x);
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
}

INLINE v8f vq_dot(vq w, vq x)
{
    const int32x4_t zero = vdupq_n_s32(0);
    return (v8f){{vcvtq_f32_s32(dot4(zero, w.val[0], x.val[0])),
                  vcvtq_f32_s32(dot4(zero, w.val[1], x.val[1]))}};
}

INLINE v8f vq_udot(vq w, vq x)
{
    return vq_dot(w, x);
}

INLINE vi8 vi8_dot(vq w, vq x, vq v, vq y)
{
    const int32x4_t zero = vdupq_n_s32(0);
    return (vi8){{dot4(dot4(zero, w.val[0], x.val[0]), v.val[0], y.val[0]),
                  dot4(dot4(zero, w.val[1], x.val[1]), v.val[1], y.val[1])}};
}

INLINE vi8 vi8_udot(vq w, vq x, vq v, vq y)
{
    return vi8_dot(w, x, v, y);
}

INLINE float32x4_t four_sums(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d)
{
    return vcvtq_f32_s32(vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)));
}

INLINE v8f vi8_sums(vi8 a, vi8 b, vi8 c, vi8 d)
{
    return (v8f){{four_sums(a.val[0], b.val[0], c.val[0], d.val[0]),
                  four_sums(a.val[1], b.val[1], c.val[1], d.val[1])}};
}

#include "engine/host/kernels_body.inc.h"
#include "engine/host/kernels_vector.inc.h"

static const struct cpu_kernels table = KERNEL_TABLE("neon");
const struct cpu_kernels *const kernels_neon = &table;

#else
const struct cpu_kernels *const kernels_neon = NULL;
#endif
