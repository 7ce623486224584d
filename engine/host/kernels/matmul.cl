// SPDX-License-Identifier: GPL-3.0-or-later
// out[n, m] = sum_k x[n, k] * W[m, k] + bias[m] for `rows` consecutive rows of one weight tensor.
// Two shapes of the same product:
//
// gemv: one token. Memory-bound: four rows stream at once, the token's values are loaded once for
// them, and the weights go from their encoding straight into the sum. Each of the four streams walks
// through consecutive rows, because a prefetcher needs longer than one row to get going.
//
// gemm: several tokens. A work-group decodes a panel of TM rows x TK columns into local memory once,
// copies the same columns of up to TN tokens beside it (rows of a power of two bytes would meet in
// few cache sets), and multiplies them in micro-tiles of 4 rows x 3 tokens, which fill the sixteen
// vector registers of an AVX2 core: 12 sums, 3 activations, 1 weight. Rows and tokens past the edge
// repeat the last one and are not stored.
//
// x, bias and out are in floats, w in bytes from the start of the buffer. bias may be NULL.

#define TM 32
#define TN 48
#if LANES > 1
#define TK 64 // 20 KiB of local memory: every GPU has 32
#else
#define TK 512
#endif
#define TILES (TM / 4 * (TN / 3))
#define TILES_PER_LANE ((TILES + LANES - 1) / LANES)

GROUP __kernel void gemv(bytes w, ulong w_off, ulong row_bytes, int rows, int n_k,
                         const __global float *x, ulong x_off, const __global float *bias,
                         ulong bias_off, __global float *out, ulong out_off)
{
    __local float scratch[LANES];
    int begin = get_group_id(0) * GEMV_ROWS, end = min(begin + GEMV_ROWS, rows);
    int stream = (end - begin + 3) / 4; // rows of each stream
    x += x_off;
    out += out_off;
    for (int r = begin; r < begin + stream; r++) {
        bytes w0 = w + w_off + (ulong)r * row_bytes;
        bytes w1 = w + w_off + (ulong)min(r + stream, end - 1) * row_bytes;
        bytes w2 = w + w_off + (ulong)min(r + 2 * stream, end - 1) * row_bytes;
        bytes w3 = w + w_off + (ulong)min(r + 3 * stream, end - 1) * row_bytes;
        float8 a0 = 0, a1 = 0, a2 = 0, a3 = 0;
        for (int k = LANE * 32; k + 32 <= n_k; k += LANES * 32) {
            float8 x0 = vload8(0, x + k), x1 = vload8(1, x + k);
            float8 x2 = vload8(2, x + k), x3 = vload8(3, x + k);
#if BLOCKS == 1
            float4 d = scale4(w0, w1, w2, w3, k);
            float8 zero = -(float)ZERO_POINT * ((x0 + x1) + (x2 + x3));
            a0 = fma(dot32(zero, w0, k, x0, x1, x2, x3), (float8)(d.x), a0);
            a1 = fma(dot32(zero, w1, k, x0, x1, x2, x3), (float8)(d.y), a1);
            a2 = fma(dot32(zero, w2, k, x0, x1, x2, x3), (float8)(d.z), a2);
            a3 = fma(dot32(zero, w3, k, x0, x1, x2, x3), (float8)(d.w), a3);
#else
            a0 = dot32(a0, w0, k, x0, x1, x2, x3);
            a1 = dot32(a1, w1, k, x0, x1, x2, x3);
            a2 = dot32(a2, w2, k, x0, x1, x2, x3);
            a3 = dot32(a3, w3, k, x0, x1, x2, x3);
#endif
        }
        float4 s = (float4)(sum8(a0), sum8(a1), sum8(a2), sum8(a3));
#if !BLOCKS
        if (LANE == 0)
            for (int k = n_k & ~31; k < n_k; k++)
                s = fma((float4)(decode1(w0, k), decode1(w1, k), decode1(w2, k), decode1(w3, k)),
                        (float4)(x[k]), s);
#endif
        s.x = lane_sum(s.x, scratch);
        s.y = lane_sum(s.y, scratch);
        s.z = lane_sum(s.z, scratch);
        s.w = lane_sum(s.w, scratch);
        if (LANE)
            continue;
        float v[4] = {s.x, s.y, s.z, s.w};
        for (int i = 0, row = r; i < 4 && row < end; i++, row += stream)
            out[row] = v[i] + (bias ? bias[bias_off + row] : 0.0f);
    }
}

// 4 rows of the panel times 3 tokens over n_k columns, added to sum[row * 3 + token].
static void micro(const __local float *w, const __local float *x, int n_k, float *sum)
{
    float8 a[12];
#pragma unroll
    for (int i = 0; i < 12; i++)
        a[i] = 0;
    int k = 0;
    for (; k + 8 <= n_k; k += 8) {
        float8 x0 = vload8(0, x + k), x1 = vload8(0, x + TK + k), x2 = vload8(0, x + 2 * TK + k);
#pragma unroll
        for (int r = 0; r < 4; r++) {
            float8 v = vload8(0, w + r * TK + k);
            a[r * 3] = fma(v, x0, a[r * 3]);
            a[r * 3 + 1] = fma(v, x1, a[r * 3 + 1]);
            a[r * 3 + 2] = fma(v, x2, a[r * 3 + 2]);
        }
    }
#pragma unroll
    for (int i = 0; i < 12; i++)
        sum[i] += sum8(a[i]);
    for (; k < n_k; k++)
        for (int i = 0; i < 12; i++)
            sum[i] = fma(w[i / 3 * TK + k], x[i % 3 * TK + k], sum[i]);
}

GROUP __kernel void gemm(bytes w, ulong w_off, ulong row_bytes, int rows, int n_k,
                         const __global float *x, ulong x_off, int x_pitch, int tokens,
                         const __global float *bias, ulong bias_off, __global float *out,
                         ulong out_off, int out_pitch)
{
    __local float panel[TM * TK], token[TN * TK];
    float sum[TILES_PER_LANE * 12];
    int r0 = get_group_id(0) * TM, n0 = get_group_id(1) * TN;
    int n_rows = min(TM, rows - r0), n_tokens = min(TN, tokens - n0);
    int triples = (n_tokens + 2) / 3, tiles = (n_rows + 3) / 4 * triples;
    for (int i = 0; i < TILES_PER_LANE * 12; i++)
        sum[i] = 0;
    for (int k0 = 0; k0 < n_k; k0 += TK) {
        int n = min(TK, n_k - k0), blocks = n / 32;
        SYNC();
        for (int i = LANE; i < TM * blocks; i += LANES) {
            int r = i / blocks, k = i % blocks * 32;
            decode32(w + w_off + (ulong)(r0 + min(r, n_rows - 1)) * row_bytes, k0 + k,
                     panel + r * TK + k);
        }
#if !BLOCKS
        for (int r = LANE; r < TM; r += LANES)
            for (int k = blocks * 32; k < n; k++)
                panel[r * TK + k] =
                    decode1(w + w_off + (ulong)(r0 + min(r, n_rows - 1)) * row_bytes, k0 + k);
#endif
        for (int t = LANE; t < triples * 3; t += LANES) {
            const __global float *from = x + x_off + (ulong)(n0 + min(t, n_tokens - 1)) * x_pitch;
            int k = 0;
            for (; k + 8 <= n; k += 8)
                vstore8(vload8(0, from + k0 + k), 0, token + t * TK + k);
            for (; k < n; k++)
                token[t * TK + k] = from[k0 + k];
        }
        SYNC();
        for (int i = LANE, at = 0; i < tiles; i += LANES, at += 12)
            micro(panel + i / triples * 4 * TK, token + i % triples * 3 * TK, n, sum + at);
    }
    for (int i = LANE, at = 0; i < tiles; i += LANES, at += 12)
        for (int j = 0; j < 12; j++) {
            int r = i / triples * 4 + j / 3, t = i % triples * 3 + j % 3;
            if (r < n_rows && t < n_tokens)
                out[out_off + (ulong)(n0 + t) * out_pitch + r0 + r] =
                    sum[at + j] + (bias ? bias[bias_off + r0 + r] : 0.0f);
        }
}
