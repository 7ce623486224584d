// SPDX-License-Identifier: GPL-3.0-or-later
// The matmul bodies of every kernel table. kernels_ISA.c defines the vector types and a few
// primitives and includes this file and kernels_vector.inc.h once; alone it is empty.
//
//   vf                V_W floats in one register
//   v_fma(a, b, c)    a * b + c                      v_sum(v)   sum by halving: i + (i + W/2), ...
//   v_f16(p)          V_W halves to floats           half1(h)   one half to float
//   v8f, v8_set, v8_fma, v8_sum: 8 lanes, for the quantised kernels
//   v8_bytes(p)       8 int8 to floats; v8_mul(a, b); v8_pair(p): lanes 0 to 3 p[0], 4 to 7 p[1]
//   vq                32 int8 in one or two registers
//   vq_load(p), vq_pair(p, q)   32 int8; 16 from p, 16 from q
//   vq_bits(v, s, m)  (v >> s) & m per byte; s < 0 shifts left. Bits of m come from the same byte
//   vq_or(a, b), vq_minus(v, n)   per byte
//   vq_spread(p)      32 bits to 16 where set, else 0
//   vq_table(v, t)    t[v] per byte, v in 0..15
//   vq_dot(w, x)      v8f: sum of w * x, exact; each lane has four of the 32 products, always the
//                     same four, lanes 0 to 3 from the first 16; vq_udot: w in 0..127
//   vi8               8 int32: lanes 0 to 3 belong to the first 16 bytes of what made them
//   vi8_dot(w, x, v, y)   w * x + v * y, exact, in any order within a half; vi8_udot: w, v in 0..31
//   vi8_sums(a, b, c, d)  v8f: the sums of the first halves of a, b, c, d, then of the second ones
//   v8_halves(p, n)   8 halves, n bytes from one to the next, to floats
//
// Blocking: 4 weight rows by 2 or 3 tokens in 8 or 12 accumulators, which hide the latency of two
// multipliers; one token meets 8 rows of floats, or one row of integers, as memory likes it. They
// are named, not indexed: gcc 12 keeps an indexed array of vectors on the stack.
// Floating-point weights are cut into spans of SPAN values, so that the span of some dozen rows
// stays in the second cache level while the tokens pass by; the sums of the spans are added in
// order. Every output element sees the same additions in the same order whichever block computes
// it.
#ifdef V_W

#include <string.h>

enum { SPAN = 1024 };
enum weight { W_F32, W_F16, W_BF16, W_Q8, W_Q4, W_Q4_1, W_Q5, W_IQ4, W_Q4K, W_Q5K, W_Q6K };

INLINE vf v_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void v_store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

INLINE vf v_bf16(const uint16_t *p)
{
    typedef uint16_t vh __attribute__((vector_size(V_W * 2)));
    typedef uint32_t vu __attribute__((vector_size(V_W * 4)));
    vh h;
    memcpy(&h, p, sizeof h);
    return (vf)(__builtin_convertvector(h, vu) << 16);
}

// Values i .. i + n - 1 (n <= V_W) of a row, zeros behind. `type` and, but for the last vector of
// a row, n are constants where this is inlined.
INLINE vf row_load(enum weight type, const char *row, int i, int n)
{
    uint16_t half[V_W] = {0};
    float full[V_W] = {0};
    const char *p = row + (int64_t)i * (type == W_F32 ? 4 : 2);
    if (n < V_W) {
        if (type == W_F32)
            p = memcpy(full, p, (size_t)n * 4);
        else
            p = memcpy(half, p, (size_t)n * 2);
    }
    switch (type) {
    case W_F16:
        return v_f16((const uint16_t *)(const void *)p);
    case W_BF16:
        return v_bf16((const uint16_t *)(const void *)p);
    default:
        return v_load((const float *)(const void *)p);
    }
}

// The sum of one span: the first starts an output element, the others add to it.
INLINE void put(float *dst, vf acc, int k0)
{
    float s = v_sum(acc);
    *dst = k0 == 0 ? s : *dst + s;
}

// Four weight rows times three tokens: a weight that was converted serves three.
INLINE void block43(enum weight type, const struct mm *a, const char *w, const char *x, int k0,
                    int k1, float *out)
{
    const char *w1 = w + a->w_pitch, *w2 = w1 + a->w_pitch, *w3 = w2 + a->w_pitch;
    const char *y = x + a->x_pitch, *z = y + a->x_pitch;
    vf a00 = {0}, a01 = {0}, a02 = {0}, a10 = {0}, a11 = {0}, a12 = {0};
    vf a20 = {0}, a21 = {0}, a22 = {0}, a30 = {0}, a31 = {0}, a32 = {0};
#define ROW(r, row)                                                                                \
    {                                                                                              \
        vf v = row_load(type, row, i, n);                                                          \
        a##r##0 = v_fma(v, b0, a##r##0), a##r##1 = v_fma(v, b1, a##r##1);                          \
        a##r##2 = v_fma(v, b2, a##r##2);                                                           \
    }
#define STEP                                                                                       \
    vf b0 = row_load(W_F32, x, i, n), b1 = row_load(W_F32, y, i, n),                               \
       b2 = row_load(W_F32, z, i, n);                                                              \
    ROW(0, w) ROW(1, w1) ROW(2, w2) ROW(3, w3)
    int i = k0;
    for (; i + V_W <= k1; i += V_W) {
        enum { n = V_W };
        STEP
    }
    if (i < k1) {
        const int n = k1 - i;
        STEP
    }
#undef STEP
#undef ROW
    float *out1 = out + a->out_pitch, *out2 = out1 + a->out_pitch;
    put(out, a00, k0), put(out + 1, a10, k0), put(out + 2, a20, k0), put(out + 3, a30, k0);
    put(out1, a01, k0), put(out1 + 1, a11, k0), put(out1 + 2, a21, k0), put(out1 + 3, a31, k0);
    put(out2, a02, k0), put(out2 + 1, a12, k0), put(out2 + 2, a22, k0), put(out2 + 3, a32, k0);
}

INLINE void block42(enum weight type, const struct mm *a, const char *w, const char *x, int k0,
                    int k1, float *out)
{
    const char *w1 = w + a->w_pitch, *w2 = w1 + a->w_pitch, *w3 = w2 + a->w_pitch;
    const char *y = x + a->x_pitch;
    vf a00 = {0}, a01 = {0}, a10 = {0}, a11 = {0}, a20 = {0}, a21 = {0}, a30 = {0}, a31 = {0};
#define STEP(n)                                                                                    \
    {                                                                                              \
        vf b0 = row_load(W_F32, x, i, n), b1 = row_load(W_F32, y, i, n), v;                        \
        v = row_load(type, w, i, n), a00 = v_fma(v, b0, a00), a01 = v_fma(v, b1, a01);             \
        v = row_load(type, w1, i, n), a10 = v_fma(v, b0, a10), a11 = v_fma(v, b1, a11);            \
        v = row_load(type, w2, i, n), a20 = v_fma(v, b0, a20), a21 = v_fma(v, b1, a21);            \
        v = row_load(type, w3, i, n), a30 = v_fma(v, b0, a30), a31 = v_fma(v, b1, a31);            \
    }
    int i = k0;
    for (; i + V_W <= k1; i += V_W)
        STEP(V_W)
    if (i < k1)
        STEP(k1 - i)
#undef STEP
    float *out1 = out + a->out_pitch;
    put(out, a00, k0), put(out + 1, a10, k0), put(out + 2, a20, k0), put(out + 3, a30, k0);
    put(out1, a01, k0), put(out1 + 1, a11, k0), put(out1 + 2, a21, k0), put(out1 + 3, a31, k0);
}

// Eight weight rows times one token: memory answers eight streams faster than four.
INLINE void block81(enum weight type, const struct mm *a, const char *w, const char *x, int k0,
                    int k1, float *out)
{
    const int64_t p = a->w_pitch;
    const char *v = w + 4 * p;
    vf a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0}, a4 = {0}, a5 = {0}, a6 = {0}, a7 = {0};
#define ROW(acc, row) acc = v_fma(row_load(type, row, i, n), b, acc)
#define STEP                                                                                       \
    vf b = row_load(W_F32, x, i, n);                                                               \
    ROW(a0, w), ROW(a1, w + p), ROW(a2, w + 2 * p), ROW(a3, w + 3 * p);                            \
    ROW(a4, v), ROW(a5, v + p), ROW(a6, v + 2 * p), ROW(a7, v + 3 * p);
    int i = k0;
    for (; i + V_W <= k1; i += V_W) {
        enum { n = V_W };
        STEP
    }
    if (i < k1) {
        const int n = k1 - i;
        STEP
    }
#undef STEP
#undef ROW
    put(out, a0, k0), put(out + 1, a1, k0), put(out + 2, a2, k0), put(out + 3, a3, k0);
    put(out + 4, a4, k0), put(out + 5, a5, k0), put(out + 6, a6, k0), put(out + 7, a7, k0);
}

INLINE void block41(enum weight type, const struct mm *a, const char *w, const char *x, int k0,
                    int k1, float *out)
{
    const char *w1 = w + a->w_pitch, *w2 = w1 + a->w_pitch, *w3 = w2 + a->w_pitch;
    vf a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0};
#define STEP(n)                                                                                    \
    {                                                                                              \
        vf b = row_load(W_F32, x, i, n);                                                           \
        a0 = v_fma(row_load(type, w, i, n), b, a0), a1 = v_fma(row_load(type, w1, i, n), b, a1);   \
        a2 = v_fma(row_load(type, w2, i, n), b, a2), a3 = v_fma(row_load(type, w3, i, n), b, a3);  \
    }
    int i = k0;
    for (; i + V_W <= k1; i += V_W)
        STEP(V_W)
    if (i < k1)
        STEP(k1 - i)
#undef STEP
    put(out, a0, k0), put(out + 1, a1, k0), put(out + 2, a2, k0), put(out + 3, a3, k0);
}

INLINE void block11(enum weight type, const char *w, const char *x, int k0, int k1, float *out)
{
    vf acc = {0};
    int i = k0;
    for (; i + V_W <= k1; i += V_W)
        acc = v_fma(row_load(type, w, i, V_W), row_load(W_F32, x, i, V_W), acc);
    if (i < k1)
        acc = v_fma(row_load(type, w, i, k1 - i), row_load(W_F32, x, i, k1 - i), acc);
    put(out, acc, k0);
}

// Rows [r0, r1) times all tokens over one span.
INLINE void span(enum weight type, const struct mm *a, int r0, int r1, int k0, int k1)
{
    for (int t = 0, n; t < a->tokens; t += n) {
        const char *x = (const char *)a->x + t * a->x_pitch, *w = (const char *)a->w;
        float *out = a->out + t * a->out_pitch;
        int left = a->tokens - t, r = r0;
        n = left == 1 ? 1 : left == 2 || left == 4 ? 2 : 3; // 4: two and two
        for (; n == 1 && r + 8 <= r1; r += 8)
            block81(type, a, w + r * a->w_pitch, x, k0, k1, out + r);
        for (; r + 4 <= r1; r += 4)
            if (n == 3)
                block43(type, a, w + r * a->w_pitch, x, k0, k1, out + r);
            else if (n == 2)
                block42(type, a, w + r * a->w_pitch, x, k0, k1, out + r);
            else
                block41(type, a, w + r * a->w_pitch, x, k0, k1, out + r);
        for (; r < r1; r++)
            for (int i = 0; i < n; i++)
                block11(type, w + r * a->w_pitch, x + i * a->x_pitch, k0, k1,
                        out + i * a->out_pitch + r);
    }
}

// Few tokens: read each eight weight rows from end to end, as memory likes it. Many tokens: keep
// a span of all rows in the cache.
INLINE void mm_float(enum weight type, const struct mm *a)
{
    int step = a->tokens <= 2 ? 8 : a->rows;
    for (int r = 0; r < a->rows; r += step)
        for (int k = 0; k < a->k; k += SPAN)
            span(type, a, r, r + step < a->rows ? r + step : a->rows, k,
                 k + SPAN < a->k ? k + SPAN : a->k);
}

static void mm_f32(const struct mm *a)
{
    mm_float(W_F32, a);
}

static void mm_f16(const struct mm *a)
{
    mm_float(W_F16, a);
}

static void mm_bf16(const struct mm *a)
{
    mm_float(W_BF16, a);
}

#include "engine/host/kernels_octet.inc.h"
#include "engine/host/kernels_super.inc.h"

INLINE void mm_super(enum weight type, const struct mm *a)
{
    for (int t = 0; t < a->tokens;) {
        const char *x = (const char *)a->x + t * a->x_pitch;
        float *out = a->out + t * a->out_pitch;
        int two = t + 2 <= a->tokens, r = 0;
        for (; two && r + 4 <= a->rows; r += 4)
            kblock42(type, a, (const char *)a->w + r * a->w_pitch, x, out + r);
        for (; !two && r + 2 <= a->rows; r += 2)
            kblock21(type, a, (const char *)a->w + r * a->w_pitch, x, out + r);
        for (; r < a->rows; r++)
            for (int i = 0; i <= two; i++)
                kblock11(type, a, (const char *)a->w + r * a->w_pitch, x + i * a->x_pitch,
                         out + i * a->out_pitch + r);
        t += two ? 2 : 1;
    }
}

#define MM_QUANTISED(NAME, TYPE, BODY)                                                             \
    static void NAME(const struct mm *a)                                                           \
    {                                                                                              \
        BODY(TYPE, a);                                                                             \
    }
MM_QUANTISED(mm_q8_0, W_Q8, mm_octets)
MM_QUANTISED(mm_q4_0, W_Q4, mm_octets)
MM_QUANTISED(mm_q4_1, W_Q4_1, mm_octets)
MM_QUANTISED(mm_q5_0, W_Q5, mm_octets)
MM_QUANTISED(mm_iq4_nl, W_IQ4, mm_octets)
MM_QUANTISED(mm_q4_k, W_Q4K, mm_super)
MM_QUANTISED(mm_q5_k, W_Q5K, mm_super)
MM_QUANTISED(mm_q6_k, W_Q6K, mm_super)

#endif
