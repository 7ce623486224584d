// SPDX-License-Identifier: GPL-3.0-or-later
// Weight encodings inside kernels: everything the other files know of one is here. ENC is one of
// the numbers below (engine/host/opencl_kernels.c has the same list).
//
//   dot32(acc, row, k, x0..x3)  acc + partial sums of row[k..k+32) * x; if BLOCKS is 1, the sum of
//                               the stored numbers, without their scale and zero point
//   BLOCKS 1: scale1(row, k)   the scale of the block at k
//             ZERO_POINT       what is to be subtracted from a block's stored numbers
//   BLOCKS 2: dot32 does all that itself
//   floats32(row, k, to)        to[i][j] = row[k + 8 i + j], i < 4
//   decode1(row, k)             one value; for the last K % 32 of the encodings without blocks
//
// k is a multiple of 32 but for decode1. Arithmetic is F32 throughout; a block's scale is applied
// once to the block's sum, so only the order of rounding differs from decoding first.

#define ENC_F32  0
#define ENC_F16  1
#define ENC_BF16 2
#define ENC_Q8_0 3
#define ENC_Q4_0 4
#define ENC_Q4_1 5
#define ENC_Q5_0 6
#define ENC_IQ4_NL 7
#define ENC_Q4_K 8
#define ENC_Q5_K 9
#define ENC_Q6_K 10

#if ENC == ENC_F32
static float decode1(BYTES row, int k)
{
    return float_at(AT(row + 4 * k));
}
static float8 decode8(BYTES row, int k)
{
    return floats_at(AT(row + 4 * k));
}
#elif ENC == ENC_F16
static float decode1(BYTES row, int k)
{
    return half_at(AT(row + 2 * k));
}
static float8 decode8(BYTES row, int k)
{
    return halves_at(AT(row + 2 * k));
}
#elif ENC == ENC_BF16
static float decode1(BYTES row, int k)
{
    return as_float((uint)short_at(AT(row + 2 * k)) << 16);
}
static float8 decode8(BYTES row, int k)
{
    return as_float8(convert_uint8(shorts_at(AT(row + 2 * k))) << 16);
}
#endif

#if ENC <= ENC_BF16
#define BLOCKS 0
static float8 dot32(float8 acc, BYTES row, int k, float8 x0, float8 x1, float8 x2, float8 x3)
{
    acc = fma(decode8(AT(row), k), x0, acc);
    acc = fma(decode8(AT(row), k + 8), x1, acc);
    acc = fma(decode8(AT(row), k + 16), x2, acc);
    return fma(decode8(AT(row), k + 24), x3, acc);
}
static void floats32(BYTES row, int k, float8 *to)
{
    for (int i = 0; i < 4; i++)
        to[i] = decode8(AT(row), k + 8 * i);
}
#elif ENC <= ENC_Q4_0
#define BLOCKS 1
#define BLOCK_BYTES (ENC == ENC_Q8_0 ? 34 : 18)
#define ZERO_POINT  (ENC == ENC_Q8_0 ? 0 : 8)
static float scale1(BYTES row, int k)
{
    return half_at(AT(row + k / 32 * BLOCK_BYTES));
}
#endif

#if ENC == ENC_Q8_0
static float decode1(BYTES row, int k)
{
    bytes b = row + k / 32 * 34;
    return half_at(AT(b)) * (float)(char)byte_at(AT(b + 2 + k % 32));
}
static float8 dot32(float8 acc, BYTES row, int k, float8 x0, float8 x1, float8 x2, float8 x3)
{
    bytes q = row + k / 32 * 34 + 2;
    float8 t = fma(convert_float8(as_char8(load8(AT(q)))), x0, acc);
    t = fma(convert_float8(as_char8(load8(AT(q + 8)))), x1, t);
    t = fma(convert_float8(as_char8(load8(AT(q + 16)))), x2, t);
    return fma(convert_float8(as_char8(load8(AT(q + 24)))), x3, t);
}
static void floats32(BYTES row, int k, float8 *to)
{
    bytes b = row + k / 32 * 34;
    float d = half_at(AT(b));
    for (int i = 0; i < 4; i++)
        to[i] = convert_float8(as_char8(load8(AT(b + 2 + 8 * i)))) * d;
}
#endif

#if ENC == ENC_Q4_0
static float decode1(BYTES row, int k)
{
    bytes b = row + k / 32 * 18;
    int q = byte_at(AT(b + 2 + k % 16));
    return half_at(AT(b)) * (float)((k % 32 < 16 ? q & 15 : q >> 4) - 8);
}
static float8 dot32(float8 acc, BYTES row, int k, float8 x0, float8 x1, float8 x2, float8 x3)
{
    bytes b = row + k / 32 * 18 + 2;
    int8 p = convert_int8(load8(AT(b))), q = convert_int8(load8(AT(b + 8)));
    float8 t = fma(convert_float8(p & 15), x0, acc);
    t = fma(convert_float8(q & 15), x1, t);
    t = fma(convert_float8(p >> 4), x2, t);
    return fma(convert_float8(q >> 4), x3, t);
}
static void floats32(BYTES row, int k, float8 *to)
{
    bytes b = row + k / 32 * 18 + 2;
    int8 p = convert_int8(load8(AT(b))), q = convert_int8(load8(AT(b + 8)));
    float8 d = half_at(AT(b - 2)), zero = -8 * d;
    to[0] = fma(convert_float8(p & 15), d, zero);
    to[1] = fma(convert_float8(q & 15), d, zero);
    to[2] = fma(convert_float8(p >> 4), d, zero);
    to[3] = fma(convert_float8(q >> 4), d, zero);
}
#endif

#if ENC > ENC_Q4_0
// The other block encodings: 32 values are numbers q, a scale for each half, and a minimum:
// row[k + 8 i + j] = q[i][j] * (i < 2 ? d.x : d.y) + m. Products q * d are exact in F32, so that fma
// gives the very values of the reference.
#define BLOCKS 2

#if ENC == ENC_Q4_1 || ENC == ENC_Q5_0 || ENC == ENC_IQ4_NL
static void nibbles(BYTES b, int8 *q)
{
    int8 p = convert_int8(load8(AT(b))), r = convert_int8(load8(AT(b + 8)));
    q[0] = p & 15;
    q[1] = r & 15;
    q[2] = p >> 4;
    q[3] = r >> 4;
}
#endif

#if ENC == ENC_Q4_1
static void chunk32(BYTES row, int k, float8 *q, float2 *d, float *m)
{
    bytes b = row + k / 32 * 20;
    int8 v[4];
    nibbles(AT(b + 4), v);
    for (int i = 0; i < 4; i++)
        q[i] = convert_float8(v[i]);
    *d = (float2)(half_at(AT(b)));
    *m = half_at(AT(b + 2));
}
#elif ENC == ENC_Q5_0
static void chunk32(BYTES row, int k, float8 *q, float2 *d, float *m)
{
    bytes b = row + k / 32 * 22;
    int8 v[4];
    nibbles(AT(b + 6), v);
    for (int i = 0; i < 4; i++) { // bit j of byte i of the four is the fifth bit of value 8 i + j
        int8 high = (int8)(byte_at(AT(b + 2 + i))) >> (int8)(0, 1, 2, 3, 4, 5, 6, 7) & 1;
        q[i] = convert_float8((v[i] | high << 4) - 16);
    }
    *d = (float2)(half_at(AT(b)));
    *m = 0;
}
#elif ENC == ENC_IQ4_NL
__constant float iq4_nl_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
static void chunk32(BYTES row, int k, float8 *q, float2 *d, float *m)
{
    bytes b = row + k / 32 * 18;
    int8 v[4];
    nibbles(AT(b + 2), v);
    for (int i = 0; i < 4; i++)
        q[i] = (float8)(iq4_nl_values[v[i].s0], iq4_nl_values[v[i].s1], iq4_nl_values[v[i].s2],
                        iq4_nl_values[v[i].s3], iq4_nl_values[v[i].s4], iq4_nl_values[v[i].s5],
                        iq4_nl_values[v[i].s6], iq4_nl_values[v[i].s7]);
    *d = (float2)(half_at(AT(b)));
    *m = 0;
}
#elif ENC == ENC_Q4_K || ENC == ENC_Q5_K
// Chunk c of a block: see struct block_q4_k in engine/encoding.h and engine/encoding/util.c.
static void chunk32(BYTES row, int k, float8 *q, float2 *d, float *m)
{
    int c = k / 32 % 8, shift = c % 2 * 4;
    bytes b = row + k / 256 * (ENC == ENC_Q4_K ? 144 : 176), s = b + 4;
    int first = byte_at(AT(s + c)), second = byte_at(AT(s + c + 4));
    int scale = c < 4 ? first & 63 : (second & 15) | byte_at(AT(s + c - 4)) >> 6 << 4;
    int min = c < 4 ? second & 63 : second >> 4 | first >> 6 << 4;
    for (int i = 0; i < 4; i++) {
        bytes at = b + (ENC == ENC_Q4_K ? 16 : 48) + c / 2 * 32 + 8 * i;
        int8 v = convert_int8(load8(AT(at))) >> shift & 15;
#if ENC == ENC_Q5_K
        v |= (convert_int8(load8(AT(b + 16 + 8 * i))) >> c & 1) << 4;
#endif
        q[i] = convert_float8(v);
    }
    *d = (float2)(half_at(AT(b)) * scale);
    *m = -(half_at(AT(b + 2)) * min);
}
#elif ENC == ENC_Q6_K
static void chunk32(BYTES row, int k, float8 *q, float2 *d, float *m)
{
    int c = k / 32 % 8, n = c / 4, h = c % 4;
    bytes b = row + k / 256 * 210;
    for (int i = 0; i < 4; i++) {
        int8 low = convert_int8(load8(AT(b + 64 * n + h % 2 * 32 + 8 * i))) >> (h / 2 * 4) & 15;
        int8 high = convert_int8(load8(AT(b + 128 + 32 * n + 8 * i))) >> (2 * h) & 3;
        q[i] = convert_float8((low | high << 4) - 32);
    }
    float unit = half_at(AT(b + 208));
    *d = unit * (float2)((char)byte_at(AT(b + 192 + 2 * c)), (char)byte_at(AT(b + 193 + 2 * c)));
    *m = 0;
}
#endif

static float8 dot32(float8 acc, BYTES row, int k, float8 x0, float8 x1, float8 x2, float8 x3)
{
    float8 q[4];
    float2 d;
    float m;
    chunk32(AT(row), k, q, &d, &m);
    acc = fma(fma(q[1], x1, q[0] * x0), (float8)(d.x), acc);
    acc = fma(fma(q[3], x3, q[2] * x2), (float8)(d.y), acc);
#if ENC == ENC_Q4_1 || ENC == ENC_Q4_K || ENC == ENC_Q5_K
    acc = fma((x0 + x1) + (x2 + x3), (float8)(m), acc);
#endif
    return acc;
}
static void floats32(BYTES row, int k, float8 *to)
{
    float8 q[4];
    float2 d;
    float m;
    chunk32(AT(row), k, q, &d, &m);
    for (int i = 0; i < 4; i++)
        to[i] = fma(q[i], (float8)(i < 2 ? d.x : d.y), (float8)(m));
}
#endif
