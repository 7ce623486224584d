// SPDX-License-Identifier: GPL-3.0-or-later
// Operators on rows of activations: embedding, normalisation, SwiGLU, addition. Activations are F32;
// offsets and pitches are in floats. Work-groups: (piece of the row, token).

#if PART == 0
// out[n] = table[token[n]]. The table holds rows [row0, row0 + rows) of the embedding (a slice when
// one allocation cannot hold it); tokens of other slices are left to other calls.
GROUP __kernel void embed(const __global int *token, ulong token_off, int token_pitch,
                          bytes table, ulong table_off, ulong row_bytes, int row0, int rows,
                          __global float *out, ulong out_off, int out_pitch, int width)
{
    int n = get_group_id(1), id = token[token_off + (ulong)n * token_pitch] - row0;
    if (id < 0 || id >= rows)
        return;
    bytes row = table + table_off + (ulong)id * row_bytes;
    __global float *o = out + out_off + (ulong)n * out_pitch;
    int begin = get_group_id(0) * CHUNK, end = min(begin + CHUNK, width);
#if !BLOCKS
    int k = begin + LANE * 8;
    for (; k + 8 <= end; k += LANES * 8)
        vstore8(decode8(AT(row), k), 0, o + k);
    for (; k < end; k++)
        o[k] = decode1(AT(row), k);
#else
    for (int k = begin + LANE * 32; k < end; k += LANES * 32) {
        float8 t[4];
        floats32(AT(row), k, t);
        for (int i = 0; i < 4; i++)
            vstore8(t[i], i, o + k);
    }
#endif
}
#endif

#if PART == 0 && ENC == ENC_F32
// out[n] = in[n] / rms(in[n]) * w. One work-group per token.
GROUP __kernel void rmsnorm(const __global float *in, ulong in_off, int in_pitch,
                            const __global float *w, ulong w_off, __global float *out,
                            ulong out_off, int out_pitch, int width, float eps)
{
    __local float scratch[LANES];
    int n = get_group_id(1), body = width & ~7;
    const __global float *x = in + in_off + (ulong)n * in_pitch;
    __global float *o = out + out_off + (ulong)n * out_pitch;
    w += w_off;
    float8 s0 = 0, s1 = 0; // two chains hide the latency of the addition
    for (int i = LANE * 16; i < body; i += LANES * 16) {
        float8 a = vload8(0, x + i), b = i + 8 < body ? vload8(0, x + i + 8) : (float8)(0);
        s0 = fma(a, a, s0);
        s1 = fma(b, b, s1);
    }
    float s = sum8(s0 + s1);
    if (LANE == 0)
        for (int i = body; i < width; i++)
            s = fma(x[i], x[i], s);
    s = lane_sum(s, scratch);
    float scale = 1 / sqrt(s / width + eps);
    for (int i = LANE * 8; i < body; i += LANES * 8)
        vstore8(vload8(0, x + i) * scale * vload8(0, w + i), 0, o + i);
    if (LANE == 0)
        for (int i = body; i < width; i++)
            o[i] = x[i] * scale * w[i];
}

// out[n, f] = silu(in[n, f]) * in[n, F + f]
GROUP __kernel void swiglu(const __global float *in, ulong in_off, int in_pitch,
                           __global float *out, ulong out_off, int out_pitch, int width)
{
    int n = get_group_id(1);
    const __global float *g = in + in_off + (ulong)n * in_pitch, *u = g + width;
    __global float *o = out + out_off + (ulong)n * out_pitch;
    int begin = get_group_id(0) * CHUNK, end = min(begin + CHUNK, width);
    int i = begin + LANE * 8;
    for (; i + 8 <= end; i += LANES * 8) {
        float8 x = vload8(0, g + i);
        vstore8(x / (1 + exp(-x)) * vload8(0, u + i), 0, o + i);
    }
    for (; i < end; i++)
        o[i] = g[i] / (1 + exp(-g[i])) * u[i];
}

// out[n] += in[n]
GROUP __kernel void add(const __global float *in, ulong in_off, int in_pitch,
                        __global float *out, ulong out_off, int out_pitch, int width)
{
    int n = get_group_id(1);
    const __global float *x = in + in_off + (ulong)n * in_pitch;
    __global float *o = out + out_off + (ulong)n * out_pitch;
    int begin = get_group_id(0) * CHUNK, end = min(begin + CHUNK, width);
    int i = begin + LANE * 8;
    for (; i + 8 <= end; i += LANES * 8)
        vstore8(vload8(0, o + i) + vload8(0, x + i), 0, o + i);
    for (; i < end; i++)
        o[i] += x[i];
}
#endif
