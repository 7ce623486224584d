// SPDX-License-Identifier: GPL-3.0-or-later
// out[n, m] = sum_k x[n, k] * W[m, k] + bias[m] for `rows` consecutive rows of one weight tensor.
// Two shapes of the same product:
//
// gemv: one token. Memory-bound: STREAMS rows stream at once, the token's values are loaded once for
// them, and the weights go from their encoding straight into the sum. Each stream walks through
// consecutive rows, because a prefetcher needs longer than one row to get going.
//
// gemm: several tokens. A work-group unpacks a panel of TM rows x TK columns into local memory once,
// eight rows side by side for every column (ACT 8: for every four), so that a vector holds eight
// rows and a token's value is the same for all of its lanes: no sum ever crosses lanes, and eight
// results lie side by side in the output. Micro-tiles of MR vectors x NR tokens hold their sums in
// registers. Tokens are read where they are or (X_LOCAL) from a copy beside the panel.
//
// Every sum goes through its columns in their order, whatever TM, TN, TK, MR, NR, LANES: choosing
// among variants of gemm (opencl_tune.c) changes no result. STREAMS and group_rows do not either.
//
// Rows and tokens past the edge repeat the last one and are not stored. x, bias and out are in
// floats, w in bytes from the start of the buffer. bias may be NULL. Under ACT 8, x is quantised rows
// (kernels/dot.cl) and x_off is in bytes; under ACT 16 (halves) x is floats.

#if PART
#if ACT == 16 && !HALF_IS_FLOAT
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
typedef half num;
typedef half8 num8;
#define TO_NUM(v)  convert_half(v)
#define TO_NUM8(v) convert_half8(v)
#else
typedef float num;
typedef float8 num8;
#define TO_NUM(v)  (v)
#define TO_NUM8(v) (v)
#endif

#if ACT == 8
typedef uint cell; // of the panel: four columns of one row
#define PER_CELL 4
typedef const __global char xrow;
#else
typedef num cell;
#define PER_CELL 1
typedef const __global float xrow;
#endif

// The first n of eight values, at most all.
static void put_rows(__global float *out, float8 v, int n)
{
    if (n >= 8) {
        vstore8(v, 0, out);
        return;
    }
    float t[8];
    vstore8(v, 0, t);
    for (int i = 0; i < n; i++)
        out[i] = t[i];
}

#if ACT != 8
// The product of one row with 32 columns, added to acc.
static float8 row32(float8 acc, BYTES w, int k, const float8 *x)
{
#if ACT == 16
    float8 t[4];
    num8 s = 0;
    floats32(AT(w), k, t);
    for (int i = 0; i < 4; i++)
        s = fma(TO_NUM8(t[i]), TO_NUM8(x[i]), s);
    return acc + convert_float8(s);
#elif BLOCKS == 1
    float8 zero = -(float)ZERO_POINT * ((x[0] + x[1]) + (x[2] + x[3]));
    return fma(dot32(zero, AT(w), k, x[0], x[1], x[2], x[3]), (float8)(scale1(AT(w), k)), acc);
#else
    return dot32(acc, AT(w), k, x[0], x[1], x[2], x[3]);
#endif
}
#endif

#if PART == 1
GROUP __kernel void gemv(WEIGHTS, ulong w_off, ulong row_bytes, int rows, int n_k, xrow *x,
                         ulong x_off, const __global float *bias, ulong bias_off,
                         __global float *out, ulong out_off, int group_rows)
{
    __local float scratch[LANES];
    int begin = get_group_id(0) * group_rows, end = min(begin + group_rows, rows);
    int stream = (end - begin + STREAMS - 1) / STREAMS; // rows of each stream
    x += x_off;
    out += out_off;
    bytes w = START + w_off;
    for (int r = begin; r < begin + stream; r++) {
        bytes from[STREAMS];
        float8 acc[STREAMS];
#pragma unroll
        for (int i = 0; i < STREAMS; i++) {
            from[i] = w + (ulong)min(r + i * stream, end - 1) * row_bytes;
            acc[i] = 0;
        }
#if ACT == 8
        const __global float *scale = (const __global float *)(x + n_k), *sum = scale + n_k / 32;
        float least[STREAMS];
        for (int i = 0; i < STREAMS; i++)
            least[i] = 0;
        for (int k = LANE * 32; k + 32 <= n_k; k += LANES * 32) {
            uint8 v = vload8(0, (const __global uint *)(x + k));
            float dx = scale[k / 32];
#if LEAST
            float sx = sum[k / 32];
#endif
#pragma unroll
            for (int i = 0; i < STREAMS; i++) {
                uint8 q;
                float2 d;
                float m;
                quants32(AT(from[i]), k, &q, &d, &m);
                d *= dx;
                float8 p = convert_float8(sum_total(sum_add((SUM)(0), q, v)));
                acc[i] = fma(p, (float8)((float4)(d.x), (float4)(d.y)), acc[i]);
#if LEAST
                least[i] = fma(m, sx, least[i]);
#endif
            }
        }
#else
        for (int k = LANE * 32; k + 32 <= n_k; k += LANES * 32) {
            float8 v[4];
            for (int i = 0; i < 4; i++)
                v[i] = vload8(i, x + k);
#pragma unroll
            for (int i = 0; i < STREAMS; i++)
                acc[i] = row32(acc[i], AT(from[i]), k, v);
        }
#endif
        for (int i = 0; i < STREAMS; i++) {
            float s = sum8(acc[i]);
#if ACT == 8 && LEAST
            s += least[i];
#endif
#if ACT != 8 && !BLOCKS
            if (LANE == 0)
                for (int k = n_k & ~31; k < n_k; k++)
                    s = fma(decode1(AT(from[i]), k), x[k], s);
#endif
            s = lane_sum(s, scratch);
            int row = r + i * stream;
            if (LANE == 0 && row < end)
                out[row] = s + (bias ? bias[bias_off + row] : 0.0f);
        }
    }
}

#endif

#if PART == 2
#define TILE_ROWS (8 * MR)
#define ROW_TILES (TM / TILE_ROWS)
#define TILES     (ROW_TILES * (TN / NR))
#define PER_LANE  ((TILES + LANES - 1) / LANES)
// A GPU's lane has one or two tiles, whose sums must be registers; a CPU's has many.
#if LANES > 8
#define UNROLL PER_LANE
#else
#define UNROLL 1
#endif
#if X_LOCAL
#define XMEM __local
#else
#define XMEM __global
#endif

// 32 columns of one row, or of eight, to the panel: block b of it, from row[k0 + 32 b] on.
#if ACT == 8
static void pack1(BYTES row, int k0, int b, __local uint *panel, __local float *scale,
                  __local float *least)
{
    uint8 v;
    float2 d;
    float m;
    uint q[8];
    quants32(AT(row), k0 + b * 32, &v, &d, &m);
    vstore8(v, 0, q);
    for (int j = 0; j < 8; j++)
        panel[(b * 8 + j) * TM] = q[j];
    scale[b * HALVES * TM] = d.x;
    if (HALVES == 2)
        scale[(b * HALVES + 1) * TM] = d.y;
    least[b * TM] = m;
}
#else
static void pack1(BYTES row, int k0, int b, __local num *panel)
{
    float8 t[4];
    floats32(AT(row), k0 + b * 32, t);
    for (int j = 0; j < 4; j++) {
        num v[8];
        vstore8(TO_NUM8(t[j]), 0, v);
        for (int c = 0; c < 8; c++)
            panel[(b * 32 + j * 8 + c) * TM] = v[c];
    }
}
#endif

#if LANES == 1
#define LOW2(a, b)  (uint8)(a.s0, b.s0, a.s1, b.s1, a.s4, b.s4, a.s5, b.s5)
#define HIGH2(a, b) (uint8)(a.s2, b.s2, a.s3, b.s3, a.s6, b.s6, a.s7, b.s7)
#define LOW4(a, b)  (uint8)(a.s01, b.s01, a.s45, b.s45)
#define HIGH4(a, b) (uint8)(a.s23, b.s23, a.s67, b.s67)

// Rows to columns.
static void transpose(uint8 *v)
{
    uint8 p[8], q[8];
#pragma unroll
    for (int i = 0; i < 8; i += 2) {
        p[i] = LOW2(v[i], v[i + 1]);
        p[i + 1] = HIGH2(v[i], v[i + 1]);
    }
#pragma unroll
    for (int i = 0; i < 8; i += 4) {
        q[i] = LOW4(p[i], p[i + 2]);
        q[i + 1] = HIGH4(p[i], p[i + 2]);
        q[i + 2] = LOW4(p[i + 1], p[i + 3]);
        q[i + 3] = HIGH4(p[i + 1], p[i + 3]);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[i] = (uint8)(q[i].lo, q[i + 4].lo);
        v[i + 4] = (uint8)(q[i].hi, q[i + 4].hi);
    }
}

#if ACT == 8
static void pack8(BYTES *row, int k0, int b, __local uint *panel, __local float *scale,
                  __local float *least)
{
    uint8 v[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float2 d;
        float m;
        quants32(AT(row[i]), k0 + b * 32, &v[i], &d, &m);
        scale[b * HALVES * TM + i] = d.x;
        if (HALVES == 2)
            scale[(b * HALVES + 1) * TM + i] = d.y;
        least[b * TM + i] = m;
    }
    transpose(v);
#pragma unroll
    for (int i = 0; i < 8; i++)
        vstore8(v[i], 0, panel + (b * 8 + i) * TM);
}
#else
static void pack8(BYTES *row, int k0, int b, __local num *panel)
{
    float8 t[8][4];
#pragma unroll
    for (int i = 0; i < 8; i++)
        floats32(AT(row[i]), k0 + b * 32, t[i]);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        uint8 v[8];
#pragma unroll
        for (int i = 0; i < 8; i++)
            v[i] = as_uint8(t[i][j]);
        transpose(v);
#pragma unroll
        for (int i = 0; i < 8; i++)
            vstore8(TO_NUM8(as_float8(v[i])), 0, panel + (b * 32 + j * 8 + i) * TM);
    }
}
#endif
#endif

#if ACT == 8
// MR vectors of rows times NR tokens over `blocks` times 32 columns. w, scale, least: the panel at
// the tile's first row; x: the tokens' bytes; xs, xm: their scales and sums.
static void micro(const __local cell *w, const __local float *scale, const __local float *least,
                  const XMEM uint *const *x, const XMEM float *const *xs,
                  const XMEM float *const *xm, int blocks, float8 *sum)
{
    float8 s[MR * NR];
#pragma unroll
    for (int i = 0; i < MR * NR; i++)
        s[i] = sum[i];
    for (int b = 0; b < blocks; b++) {
#pragma unroll
        for (int h = 0; h < HALVES; h++) {
            int8 t[MR * NR];
#pragma unroll
            for (int i = 0; i < MR * NR; i++)
                t[i] = 0;
#pragma unroll
            for (int g = 0; g < 8 / HALVES; g += DEPTH < 8 / HALVES ? DEPTH : 8 / HALVES) {
                SUM part[MR * NR];
#pragma unroll
                for (int i = 0; i < MR * NR; i++)
                    part[i] = 0;
#pragma unroll
                for (int j = 0; j < DEPTH && j < 8 / HALVES; j++) {
                    int at = b * 8 + h * 4 + g + j;
#pragma unroll
                    for (int r = 0; r < MR; r++) {
                        uint8 v = vload8(r, w + at * TM);
#pragma unroll
                        for (int n = 0; n < NR; n++)
                            part[r * NR + n] =
                                sum_add(part[r * NR + n], v, (uint8)(x[n][at]));
                    }
                }
#pragma unroll
                for (int i = 0; i < MR * NR; i++)
                    t[i] += sum_total(part[i]);
            }
#pragma unroll
            for (int r = 0; r < MR; r++) {
                float8 d = vload8(r, scale + (b * HALVES + h) * TM);
#pragma unroll
                for (int n = 0; n < NR; n++)
                    s[r * NR + n] =
                        fma(convert_float8(t[r * NR + n]), d * xs[n][b], s[r * NR + n]);
            }
        }
#if LEAST
#pragma unroll
        for (int r = 0; r < MR; r++) {
            float8 m = vload8(r, least + b * TM);
#pragma unroll
            for (int n = 0; n < NR; n++)
                s[r * NR + n] = fma(m, (float8)(xm[n][b]), s[r * NR + n]);
        }
#endif
    }
#pragma unroll
    for (int i = 0; i < MR * NR; i++)
        sum[i] = s[i];
}
#else
// The same with numbers: n columns. Under ACT 16, halves are summed over 32 columns, floats beyond.
static void micro(const __local cell *w, const XMEM float *const *x, int n_k, float8 *sum)
{
    num8 s[MR * NR];
#if ACT == 16
    for (int k0 = 0; k0 < n_k; k0 += 32) {
        int begin = k0, end = min(k0 + 32, n_k);
#pragma unroll
        for (int i = 0; i < MR * NR; i++)
            s[i] = 0;
#else
    {
        int begin = 0, end = n_k;
#pragma unroll
        for (int i = 0; i < MR * NR; i++)
            s[i] = sum[i];
#endif
        for (int k = begin; k < end; k++) {
#pragma unroll
            for (int r = 0; r < MR; r++) {
                num8 v = vload8(r, w + k * TM);
#pragma unroll
                for (int n = 0; n < NR; n++)
                    s[r * NR + n] = fma(v, (num8)(TO_NUM(x[n][k])), s[r * NR + n]);
            }
        }
#pragma unroll
        for (int i = 0; i < MR * NR; i++)
#if ACT == 16
            sum[i] += convert_float8(s[i]);
#else
            sum[i] = s[i];
#endif
    }
}
#endif

GROUP __kernel void gemm(WEIGHTS, ulong w_off, ulong row_bytes, int rows, int n_k, xrow *x,
                         ulong x_off, int x_pitch, int tokens, const __global float *bias,
                         ulong bias_off, __global float *out, ulong out_off, int out_pitch)
{
    __local cell panel[TM * TK / PER_CELL] __attribute__((aligned(32)));
#if ACT == 8
    __local float scale[TM * TK / 32 * HALVES] __attribute__((aligned(32)));
    __local float least[TM * TK / 32] __attribute__((aligned(32)));
#endif
#if X_LOCAL && ACT == 8
    __local uint token[TN * TK / 4];
    __local float token_scale[TN * TK / 32], token_sum[TN * TK / 32];
#elif X_LOCAL
    __local float token[TN * TK];
#endif
    float8 sum[PER_LANE * MR * NR];
    int r0 = get_group_id(0) * TM, n0 = get_group_id(1) * TN;
    int n_rows = min(TM, rows - r0), n_tokens = min(TN, tokens - n0);
    int row_tiles = (n_rows + TILE_ROWS - 1) / TILE_ROWS;
    int tiles = row_tiles * ((n_tokens + NR - 1) / NR);
    bytes w = START + w_off + (ulong)r0 * row_bytes;
    x += x_off + (ulong)n0 * x_pitch;
    for (int i = 0; i < PER_LANE * MR * NR; i++)
        sum[i] = 0;
    for (int k0 = 0; k0 < n_k; k0 += TK) {
        int n = min(TK, n_k - k0), blocks = n / 32;
        SYNC();
#if LANES == 1 // eight rows at a time, along the rows
        for (int r = 0; r < row_tiles * TILE_ROWS; r += 8)
            for (int b = 0; b < blocks; b++) {
                bytes from[8];
                for (int c = 0; c < 8; c++)
                    from[c] = w + (ulong)min(r + c, n_rows - 1) * row_bytes;
#if ACT == 8
                pack8(AT(from), k0, b, panel + r, scale + r, least + r);
#else
                pack8(AT(from), k0, b, panel + r);
#endif
            }
#else // neighbouring lanes store neighbouring rows
        for (int i = LANE; i < TM * blocks; i += LANES) {
            int r = i % TM, b = i / TM;
            bytes from = w + (ulong)min(r, n_rows - 1) * row_bytes;
#if ACT == 8
            pack1(AT(from), k0, b, panel + r, scale + r, least + r);
#else
            pack1(AT(from), k0, b, panel + r);
#endif
        }
#endif
#if ACT != 8 && !BLOCKS
        for (int r = LANE; r < row_tiles * TILE_ROWS; r += LANES)
            for (int k = blocks * 32; k < n; k++)
                panel[k * TM + r] =
                    TO_NUM(decode1(AT(w + (ulong)min(r, n_rows - 1) * row_bytes), k0 + k));
#endif
#if X_LOCAL
        for (int i = LANE; i < n_tokens * (n / PER_CELL); i += LANES) {
            int t = i / (n / PER_CELL), k = i % (n / PER_CELL);
            xrow *from = x + (ulong)t * x_pitch;
#if ACT == 8
            token[t * (TK / 4) + k] = ((const __global uint *)(from + k0))[k];
#else
            token[t * TK + k] = from[k0 + k];
#endif
        }
#if ACT == 8
        for (int i = LANE; i < n_tokens * blocks; i += LANES) {
            int t = i / blocks, b = i % blocks;
            const __global float *from = (const __global float *)(x + (ulong)t * x_pitch + n_k);
            token_scale[t * (TK / 32) + b] = from[k0 / 32 + b];
            token_sum[t * (TK / 32) + b] = from[n_k / 32 + k0 / 32 + b];
        }
#endif
#endif
        SYNC();
#pragma unroll UNROLL
        for (int j = 0; j < PER_LANE; j++) {
            int i = j * LANES + LANE;
            if (i >= tiles)
                break;
            int r = i % row_tiles * TILE_ROWS, first = i / row_tiles * NR;
#if ACT == 8
            const XMEM uint *xr[NR];
            const XMEM float *xs[NR], *xm[NR];
            for (int t = 0; t < NR; t++) {
                int at = min(first + t, n_tokens - 1);
#if X_LOCAL
                xr[t] = token + at * (TK / 4);
                xs[t] = token_scale + at * (TK / 32);
                xm[t] = token_sum + at * (TK / 32);
#else
                const __global char *from = x + (ulong)at * x_pitch;
                xr[t] = (const __global uint *)(from + k0);
                xs[t] = (const __global float *)(from + n_k) + k0 / 32;
                xm[t] = xs[t] + n_k / 32;
#endif
            }
            micro(panel + r, scale + r, least + r, xr, xs, xm, blocks, sum + j * MR * NR);
#else
            const XMEM float *xr[NR];
            for (int t = 0; t < NR; t++) {
                int at = min(first + t, n_tokens - 1);
#if X_LOCAL
                xr[t] = token + at * TK;
#else
                xr[t] = x + (ulong)at * x_pitch + k0;
#endif
            }
            micro(panel + r, xr, n, sum + j * MR * NR);
#endif
        }
    }
#pragma unroll UNROLL
    for (int j = 0; j < PER_LANE; j++) {
        int i = j * LANES + LANE;
        if (i >= tiles)
            break;
        for (int v = 0; v < MR; v++) {
            int r = i % row_tiles * TILE_ROWS + v * 8, left = n_rows - r;
            if (left <= 0)
                break;
            float8 add = 0;
            if (bias) {
                float b[8];
                for (int c = 0; c < 8; c++)
                    b[c] = bias[bias_off + r0 + r + min(c, left - 1)];
                add = vload8(0, b);
            }
            for (int t = 0; t < NR; t++) {
                int at = i / row_tiles * NR + t;
                if (at < n_tokens)
                    put_rows(out + out_off + (ulong)(n0 + at) * out_pitch + r0 + r,
                             sum[j * MR * NR + v * NR + t] + add, left);
            }
        }
    }
}
#endif
#endif
