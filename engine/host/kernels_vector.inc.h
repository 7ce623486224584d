// SPDX-License-Identifier: GPL-3.0-or-later
// The bodies of the operators that are not matmuls, behind kernels_body.inc.h in the same file and
// in its terms. Alone it is empty.
#ifdef V_W

#include <math.h>

typedef int32_t vi __attribute__((vector_size(V_W * 4)));
typedef int8_t vb __attribute__((vector_size(V_W)));

// max with the second operand's NaN kept away: blends bits by a comparison.
INLINE vf v_max(vf a, vf b)
{
    vi m = a > b;
    return (vf)((m & (vi)a) | (~m & (vi)b));
}

INLINE vf v_min(vf a, vf b)
{
    vi m = a < b;
    return (vf)((m & (vi)a) | (~m & (vi)b));
}

// e^x, relative error below 3e-7 where the result is normal; x is clamped to what floats hold.
// x = n ln 2 + r with |r| <= ln 2 / 2: a polynomial for e^r, and n goes into the exponent. Adding
// 1.5 * 2^23 rounds to an integer. Coefficients 1/i!: the remainder r^7/7! is below 1.2e-7.
INLINE vf v_exp(vf x)
{
    const vf zero = {0};
    const float big = 12582912.0f;
    x = v_min(v_max(x, zero - 87.33f), zero + 88.37f);
    vf n = v_fma(x, zero + 1.44269504f, zero + big) - big;
    vf r = v_fma(n, zero - 0.693359375f, x); // ln 2 in two parts: the first is exact in few bits
    r = v_fma(n, zero + 2.12194440e-4f, r);
    vf p = zero + 1 / 720.0f;
    p = v_fma(p, r, zero + 1 / 120.0f);
    p = v_fma(p, r, zero + 1 / 24.0f);
    p = v_fma(p, r, zero + 1 / 6.0f);
    p = v_fma(p, r, zero + 0.5f);
    p = v_fma(p, r, zero + 1.0f);
    p = v_fma(p, r, zero + 1.0f);
    return (vf)((vi)p + (__builtin_convertvector(n, vi) << 23));
}

// Where the first half of block b stands in act_q8_pairs; its second half is 32 bytes further on.
INLINE int64_t pair_at(int b)
{
    return b / 8 * (8 * Q8_BLOCK) + b % 4 * (2 * Q8_BLOCK) + b / 4 % 2 * 16;
}

static void quantise(const float *x, int k, void *row)
{
    int blocks = act_q8_blocks(k);
    int8_t *q = row, *pairs = q + (int64_t)blocks * (Q8_BLOCK + 8);
    float *scale = (float *)(void *)(q + (int64_t)blocks * Q8_BLOCK), *sums = scale + blocks;
    for (int b = 0; b < k / Q8_BLOCK; b++, x += Q8_BLOCK, q += Q8_BLOCK) {
        const vi magnitude = (vi){0} + 0x7fffffff;
        vf top = {0};
        for (int i = 0; i < Q8_BLOCK; i += V_W)
            top = v_max((vf)((vi)v_load(x + i) & magnitude), top);
        float a[V_W], most = 0;
        v_store(a, top);
        for (int i = 0; i < V_W; i++)
            most = a[i] > most ? a[i] : most;
        // Below 1e-30 the inverse could overflow; such a block counts as zeros.
        float inverse = most > 1e-30f ? 127 / most : 0;
        scale[b] = most > 1e-30f ? most / 127 : 0;
        vi total = {0};
        for (int i = 0; i < Q8_BLOCK; i += V_W) {
            // To the nearest, ties to even. 127 / most may round up: |q| stays below 127.5.
            const float big = 12582912.0f;
            vi n = __builtin_convertvector(v_load(x + i) * inverse + big - big, vi);
            vb byte = __builtin_convertvector(n, vb);
            memcpy(q + i, &byte, sizeof byte);
            total += n;
        }
        int sum = 0;
        for (int i = 0; i < V_W; i++)
            sum += total[i];
        sums[b] = scale[b] * (float)sum;
        int8_t *pair = pairs + pair_at(b);
        memcpy(pair, q, 16);
        memcpy(pair + 32, q + 16, 16);
    }
    for (int b = k / Q8_BLOCK; b < blocks; b++) {
        int8_t *pair = pairs + pair_at(b);
        memset((int8_t *)row + (int64_t)b * Q8_BLOCK, 0, Q8_BLOCK);
        memset(pair, 0, 16);
        memset(pair + 32, 0, 16);
        scale[b] = sums[b] = 0;
    }
}

INLINE vf load_n(const float *p, int n)
{
    return row_load(W_F32, (const char *)p, 0, n);
}

INLINE void store_n(float *p, vf v, int n)
{
    if (n == V_W)
        v_store(p, v);
    else
        memcpy(p, &v, (size_t)n * sizeof *p);
}

// for (i, n): a whole vector at i while there is one, then the rest of n < V_W values.
#define FOR_VECTORS(i, n, count)                                                                   \
    for (int i = 0, n; i < (count) && (n = (count)-i < V_W ? (count)-i : V_W, 1); i += V_W)

static void rmsnorm(const float *x, const float *w, float eps, int d, float *out)
{
    vf a0 = {0}, a1 = {0};
    int i = 0;
    for (; i + 2 * V_W <= d; i += 2 * V_W) {
        vf v0 = v_load(x + i), v1 = v_load(x + i + V_W);
        a0 = v_fma(v0, v0, a0), a1 = v_fma(v1, v1, a1);
    }
    for (; i < d; i += V_W) {
        vf v = load_n(x + i, d - i < V_W ? d - i : V_W);
        a0 = v_fma(v, v, a0);
    }
    float scale = 1 / sqrtf(v_sum(a0 + a1) / (float)d + eps);
    FOR_VECTORS(j, n, d)
    store_n(out + j, load_n(x + j, n) * scale * load_n(w + j, n), n);
}

static void swiglu(const float *gate, const float *up, int count, float *out)
{
    const vf zero = {0};
    FOR_VECTORS(i, n, count)
    {
        vf g = load_n(gate + i, n);
        store_n(out + i, g / (v_exp(zero - g) + 1.0f) * load_n(up + i, n), n);
    }
}

static void add(float *x, const float *y, int count)
{
    FOR_VECTORS(i, n, count)
    store_n(x + i, load_n(x + i, n) + load_n(y + i, n), n);
}

INLINE float dot(const float *a, const float *b, int d)
{
    vf s = {0};
    FOR_VECTORS(i, n, d)
    s = v_fma(load_n(a + i, n), load_n(b + i, n), s);
    return v_sum(s);
}

// Four keys at once, each with the additions of dot().
INLINE void score4(const float *q, const float *k, int64_t pitch, int d, float scale, float *out)
{
    const float *k1 = k + pitch, *k2 = k1 + pitch, *k3 = k2 + pitch;
    vf s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    int i = 0;
    for (; i + V_W <= d; i += V_W) {
        vf v = v_load(q + i);
        s0 = v_fma(v, v_load(k + i), s0), s1 = v_fma(v, v_load(k1 + i), s1);
        s2 = v_fma(v, v_load(k2 + i), s2), s3 = v_fma(v, v_load(k3 + i), s3);
    }
    if (i < d) {
        vf v = load_n(q + i, d - i);
        s0 = v_fma(v, load_n(k + i, d - i), s0), s1 = v_fma(v, load_n(k1 + i, d - i), s1);
        s2 = v_fma(v, load_n(k2 + i, d - i), s2), s3 = v_fma(v, load_n(k3 + i, d - i), s3);
    }
    out[0] = v_sum(s0) * scale, out[1] = v_sum(s1) * scale;
    out[2] = v_sum(s2) * scale, out[3] = v_sum(s3) * scale;
}

// e^(s - max) in place; returns their sum.
static float softmax_weights(float *s, int rows)
{
    float max = s[0];
    for (int j = 1; j < rows; j++)
        max = s[j] > max ? s[j] : max;
    vf sum = {0};
    FOR_VECTORS(i, n, rows)
    {
        vf v = v_exp(load_n(s + i, n) - max);
        store_n(s + i, v, n);
        sum += n == V_W ? v : load_n(s + i, n); // lanes behind the end count nothing
    }
    return v_sum(sum);
}

// Two passes over the cache: each key row is read once for all heads of the group; the values are
// summed in stripes of 4 vectors, whose accumulators stay in registers.
static void attend(const struct attend *a)
{
    int whole = a->rows / 4 * 4;
    for (int j = 0; j < whole; j += 4)
        for (int g = 0; g < a->group; g++)
            score4(a->q + g * a->d, a->k + j * a->pitch, a->pitch, a->d, a->scale,
                   a->score + (int64_t)g * a->rows + j);
    for (int j = whole; j < a->rows; j++)
        for (int g = 0; g < a->group; g++)
            a->score[(int64_t)g * a->rows + j] =
                dot(a->q + g * a->d, a->k + j * a->pitch, a->d) * a->scale;
    for (int g = 0; g < a->group; g++) {
        float *s = a->score + (int64_t)g * a->rows, *out = a->out + g * a->d;
        float inverse = 1 / softmax_weights(s, a->rows);
        int i = 0;
        for (; i + 4 * V_W <= a->d; i += 4 * V_W) {
            vf a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0};
            for (int j = 0; j < a->rows; j++) {
                const float *v = a->v + j * a->pitch + i;
                vf p = (vf){0} + s[j];
                a0 = v_fma(p, v_load(v), a0), a1 = v_fma(p, v_load(v + V_W), a1);
                a2 = v_fma(p, v_load(v + 2 * V_W), a2), a3 = v_fma(p, v_load(v + 3 * V_W), a3);
            }
            v_store(out + i, a0 * inverse), v_store(out + i + V_W, a1 * inverse);
            v_store(out + i + 2 * V_W, a2 * inverse), v_store(out + i + 3 * V_W, a3 * inverse);
        }
        for (; i < a->d; i += V_W) {
            int n = a->d - i < V_W ? a->d - i : V_W;
            vf acc = {0};
            for (int j = 0; j < a->rows; j++)
                acc = v_fma((vf){0} + s[j], load_n(a->v + j * a->pitch + i, n), acc);
            store_n(out + i, acc * inverse, n);
        }
    }
}

#define KERNEL_TABLE(NAME)                                                                         \
    {                                                                                              \
        .name = NAME, .f32 = mm_f32, .f16 = mm_f16, .bf16 = mm_bf16, .q8_0 = mm_q8_0,              \
        .q4_0 = mm_q4_0, .q4_1 = mm_q4_1, .q5_0 = mm_q5_0, .iq4_nl = mm_iq4_nl, .q4_k = mm_q4_k,   \
        .q5_k = mm_q5_k, .q6_k = mm_q6_k, .quantise = quantise, .rmsnorm = rmsnorm,                \
        .attend = attend, .swiglu = swiglu, .add = add                                             \
    }

#endif
