// SPDX-License-Identifier: GPL-3.0-or-later
// Operators on attention heads: rotation with cache append, and attention over the F32 cache.
// Offsets and pitches are in floats.
#if PART == 0 && ENC == ENC_F32

#define HEADS 8  // heads per work-group of rope
#define BLOCK 64 // cache rows per turn of attention
#if LANES > 1    // values of the output that a lane keeps in registers
#define WIDE 8
#else
#define WIDE 64
#endif

// One rotated pair. `angle` holds cos and sin alternating.
static float2 turn(float x, float y, const __global float *angle)
{
    return (float2)(x * angle[0] - y * angle[1], x * angle[1] + y * angle[0]);
}

// Rotates `dim` of the d values of a head from src to dst (which may be the same) and copies the
// rest. halves: pairs (i, i + dim/2), else (2i, 2i + 1).
static void rotate_head(const __global float *src, __global float *dst, int d, int dim, int halves,
                        const __global float *angle)
{
    for (int i = LANE; i < dim / 2; i += LANES) {
        int a = halves ? i : 2 * i, b = halves ? i + dim / 2 : 2 * i + 1;
        float2 r = turn(src[a], src[b], angle + 2 * i);
        dst[a] = r.x;
        dst[b] = r.y;
    }
    if (src != dst)
        for (int i = dim + LANE; i < d; i += LANES)
            dst[i] = src[i];
}

// Rotates q in place; writes the rotated k and v to rows pos0 + n of the caches. Work-groups:
// (HEADS heads of q, then of kv, token). angle: [position][dim].
GROUP __kernel void rope(__global float *q, ulong q_off, int q_pitch, const __global float *kv,
                         ulong kv_off, int kv_pitch, __global float *kcache,
                         __global float *vcache, int cache_pitch, int pos0, int n_head,
                         int n_head_kv, int d, int dim, int halves, const __global float *angle)
{
    int n = get_group_id(1), pos = pos0 + n;
    const __global float *a = angle + (ulong)pos * dim;
    const __global float *k = kv + kv_off + (ulong)n * kv_pitch, *v = k + n_head_kv * d;
    q += q_off + (ulong)n * q_pitch;
    kcache += (ulong)pos * cache_pitch;
    vcache += (ulong)pos * cache_pitch;
    int begin = get_group_id(0) * HEADS, end = min(begin + HEADS, n_head + n_head_kv);
    for (int h = begin; h < end; h++) {
        if (h < n_head) {
            rotate_head(q + h * d, q + h * d, d, dim, halves, a);
            continue;
        }
        int at = (h - n_head) * d;
        rotate_head(k + at, kcache + at, d, dim, halves, a);
        for (int i = LANE; i < d; i += LANES)
            vcache[at + i] = v[at + i];
    }
}

// out = softmax(q K^T * scale, causal) V with grouped queries. One work-group per (head, token); the
// cache is read BLOCK rows at a time under an online softmax: when a block raises the maximum, what
// was accumulated is scaled down. d <= 256.
GROUP __kernel void attention(const __global float *q, ulong q_off, int q_pitch,
                              const __global float *kcache, const __global float *vcache,
                              int cache_pitch, __global float *out, ulong out_off, int out_pitch,
                              int pos0, int heads_per_kv, int d, float scale)
{
    __local float s[BLOCK], acc[256];
    int h = get_group_id(0), n = get_group_id(1), rows = pos0 + n + 1;
    int at = h / heads_per_kv * d, body = d & ~7;
    q += q_off + (ulong)n * q_pitch + h * d;
    __global float *o = out + out_off + (ulong)n * out_pitch + h * d;
    float most = -INFINITY, sum = 0;
    for (int i = LANE; i < d; i += LANES)
        acc[i] = 0;
    for (int first = 0; first < rows; first += BLOCK) {
        int count = min(BLOCK, rows - first);
        const __global float *k = kcache + (ulong)first * cache_pitch + at;
        const __global float *v = vcache + (ulong)first * cache_pitch + at;
        SYNC();
        for (int j = LANE * 4; j < BLOCK; j += LANES * 4) { // four rows at a time share q
            const __global float *r0 = k + (ulong)min(j, count - 1) * cache_pitch;
            const __global float *r1 = k + (ulong)min(j + 1, count - 1) * cache_pitch;
            const __global float *r2 = k + (ulong)min(j + 2, count - 1) * cache_pitch;
            const __global float *r3 = k + (ulong)min(j + 3, count - 1) * cache_pitch;
            float8 t0 = 0, t1 = 0, t2 = 0, t3 = 0;
            if (j < count)
                for (int i = 0; i < body; i += 8) {
                    float8 x = vload8(0, q + i);
                    t0 = fma(x, vload8(0, r0 + i), t0);
                    t1 = fma(x, vload8(0, r1 + i), t1);
                    t2 = fma(x, vload8(0, r2 + i), t2);
                    t3 = fma(x, vload8(0, r3 + i), t3);
                }
            float4 dot = (float4)(sum8(t0), sum8(t1), sum8(t2), sum8(t3));
            for (int i = body; i < d; i++)
                dot = fma((float4)(q[i]), (float4)(r0[i], r1[i], r2[i], r3[i]), dot);
            int4 row = (int4)(j, j + 1, j + 2, j + 3);
            vstore4(select((float4)(-INFINITY), dot * scale, row < (int4)(count)), 0, s + j);
        }
        SYNC();
        float8 m8 = vload8(0, s);
        for (int j = 8; j < BLOCK; j += 8)
            m8 = fmax(m8, vload8(0, s + j));
        float4 m4 = fmax(m8.lo, m8.hi);
        float2 m2 = fmax(m4.lo, m4.hi);
        float next = fmax(most, fmax(m2.x, m2.y)), shrink = exp(most - next);
        SYNC();
        for (int j = LANE * 8; j < BLOCK; j += LANES * 8)
            vstore8(exp(vload8(0, s + j) - next), 0, s + j); // exp(-inf) = 0 past the last row
        SYNC();
        float8 s8 = 0;
        for (int j = 0; j < BLOCK; j += 8)
            s8 += vload8(0, s + j);
        sum = sum * shrink + sum8(s8);
        most = next;
        int i = LANE * WIDE;
        for (; i + WIDE <= body; i += LANES * WIDE) {
            float8 t[WIDE / 8];
#pragma unroll
            for (int c = 0; c < WIDE / 8; c++)
                t[c] = vload8(c, acc + i) * shrink;
            for (int j = 0; j < count; j++) {
                const __global float *row = v + (ulong)j * cache_pitch + i;
                float8 p = s[j];
#pragma unroll
                for (int c = 0; c < WIDE / 8; c++)
                    t[c] = fma(p, vload8(c, row), t[c]);
            }
#pragma unroll
            for (int c = 0; c < WIDE / 8; c++)
                vstore8(t[c], c, acc + i);
        }
#if WIDE > 8
        for (; i < body; i += 8) {
            float8 t = vload8(0, acc + i) * shrink;
            for (int j = 0; j < count; j++)
                t = fma((float8)(s[j]), vload8(0, v + (ulong)j * cache_pitch + i), t);
            vstore8(t, 0, acc + i);
        }
#endif
        for (i = body + LANE; i < d; i += LANES) {
            float t = acc[i] * shrink;
            for (int j = 0; j < count; j++)
                t = fma(s[j], v[(ulong)j * cache_pitch + i], t);
            acc[i] = t;
        }
    }
    SYNC();
    for (int i = LANE; i < d; i += LANES)
        o[i] = acc[i] / sum;
}
#endif
