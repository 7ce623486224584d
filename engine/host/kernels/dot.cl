// SPDX-License-Identifier: GPL-3.0-or-later
// Integer products of weights that are numbers times a scale (ACT == 8): the numbers stay bytes, the
// activations are bytes too (kernel `quantise`), and four products and their sum are one step of the
// hardware. Within the columns that share a scale the sum is exact, so neither the order nor the
// width of the steps shows in a result.
//
//   quants32(row, k, q, d, m)  row[k + 4 i + j] = byte j of q[i] * (i < 4 ? d.x : d.y) + m; bytes are
//                              signed where SIGNED. The zero point is part of m
//   HALVES                     scales per 32 columns that differ: 1 or 2
//   LEAST                      m is not 0
//   SUM, sum_add, sum_total    lanes of sums: add the four products of each lane; read as int8.
//                              DEPTH of them may be added before they are read
//
// A quantised row of n_k values: n_k bytes, then n_k / 32 scales, then n_k / 32 sums of a block's
// bytes times its scale (F32). Q8_PITCH bytes apart.

#define Q8_PITCH(n_k) (((ulong)(n_k) + (n_k) / 32 * 8 + 63) / 64 * 64)

// The instruction that the products use, if there is one.
#if PLAIN_DOT || !defined(__has_builtin)
#elif defined(__AVX2__)
#if __has_builtin(__builtin_ia32_pmaddubsw256) && __has_builtin(__builtin_ia32_psignb256)
#define DOT_AVX2 1
#endif
#endif
#if !PLAIN_DOT && !DOT_AVX2 && defined(__opencl_c_integer_dot_product_input_4x8bit_packed)
#define DOT_PACKED 1
#endif

#if ACT == 8
#if ENC == ENC_Q8_0 || ENC == ENC_IQ4_NL || ENC == ENC_Q6_K
#define SIGNED 1
#define LEAST  0
#else
#define SIGNED 0
#define LEAST  1
#endif
#define HALVES (ENC == ENC_Q6_K ? 2 : 1)

static uint8 both_nibbles(BYTES p)
{
    uint4 u = load16(AT(p));
    return (uint8)(u & 0x0f0f0f0fu, u >> 4 & 0x0f0f0f0fu);
}

#if ENC == ENC_Q8_0
static void quants32(BYTES row, int k, uint8 *q, float2 *d, float *m)
{
    bytes b = row + k / 32 * 34;
    *q = (uint8)(load16(AT(b + 2)), load16(AT(b + 18)));
    *d = half_at(AT(b));
    *m = 0;
}
#elif ENC == ENC_Q4_0
static void quants32(BYTES row, int k, uint8 *q, float2 *d, float *m)
{
    bytes b = row + k / 32 * 18;
    float scale = half_at(AT(b));
    *q = both_nibbles(AT(b + 2));
    *d = scale;
    *m = -8 * scale;
}
#elif ENC == ENC_Q4_1
static void quants32(BYTES row, int k, uint8 *q, float2 *d, float *m)
{
    bytes b = row + k / 32 * 20;
    *q = both_nibbles(AT(b + 4));
    *d = half_at(AT(b));
    *m = half_at(AT(b + 2));
}
#elif ENC == ENC_Q5_0
static void quants32(BYTES row, int k, uint8 *q, float2 *d, float *m)
{
    bytes b = row + k / 32 * 22;
    uint high = short_at(AT(b + 2)) | (uint)short_at(AT(b + 4)) << 16;
    float scale = half_at(AT(b));
    // Four bits at a time to the fifth bit of four bytes: the product moves bit i by 7 i.
    uint8 four = (uint8)(high) >> (uint8)(0, 4, 8, 12, 16, 20, 24, 28) & 15u;
    *q = both_nibbles(AT(b + 6)) | (four * 0x00204081u & 0x01010101u) << 4;
    *d = scale;
    *m = -16 * scale;
}
#elif ENC == ENC_IQ4_NL
__constant char iq4_nl_bytes[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                    1,    13,   25,  38,  53,  69,  89,  113};
static void quants32(BYTES row, int k, uint8 *q, float2 *d, float *m)
{
    bytes b = row + k / 32 * 18;
    union {
        char c[32];
        uint u[8];
    } t;
    uchar v[16];
    vstore16(as_uchar16(load16(AT(b + 2))), 0, v);
    for (int i = 0; i < 16; i++) {
        t.c[i] = iq4_nl_bytes[v[i] & 15];
        t.c[16 + i] = iq4_nl_bytes[v[i] >> 4];
    }
    *q = vload8(0, t.u);
    *d = half_at(AT(b));
    *m = 0;
}
#elif ENC == ENC_Q4_K || ENC == ENC_Q5_K
static void quants32(BYTES row, int k, uint8 *q, float2 *d, float *m)
{
    int c = k / 32 % 8;
    bytes b = row + k / 256 * (ENC == ENC_Q4_K ? 144 : 176), s = b + 4;
    int first = byte_at(AT(s + c)), second = byte_at(AT(s + c + 4));
    int scale = c < 4 ? first & 63 : (second & 15) | byte_at(AT(s + c - 4)) >> 6 << 4;
    int min = c < 4 ? second & 63 : second >> 4 | first >> 6 << 4;
    bytes n = b + (ENC == ENC_Q4_K ? 16 : 48) + c / 2 * 32;
    *q = (uint8)(load16(AT(n)), load16(AT(n + 16))) >> (uint)(c % 2 * 4) & 0x0f0f0f0fu;
#if ENC == ENC_Q5_K
    *q |= ((uint8)(load16(AT(b + 16)), load16(AT(b + 32))) >> (uint)c & 0x01010101u) << 4;
#endif
    *d = half_at(AT(b)) * scale;
    *m = -(half_at(AT(b + 2)) * min);
}
#elif ENC == ENC_Q6_K
static void quants32(BYTES row, int k, uint8 *q, float2 *d, float *m)
{
    int c = k / 32 % 8, n = c / 4, h = c % 4;
    bytes b = row + k / 256 * 210, low = b + 64 * n + h % 2 * 32, high = b + 128 + 32 * n;
    uint8 v = (uint8)(load16(AT(low)), load16(AT(low + 16))) >> (uint)(h / 2 * 4) & 0x0f0f0f0fu;
    v |= ((uint8)(load16(AT(high)), load16(AT(high + 16))) >> (uint)(2 * h) & 0x03030303u) << 4;
    *q = ((v | 0x80808080u) - 0x20202020u) ^ 0x80808080u; // each byte less 32, without borrows
    float unit = half_at(AT(b + 208));
    *d = unit * (float2)((char)byte_at(AT(b + 192 + 2 * c)), (char)byte_at(AT(b + 193 + 2 * c)));
    *m = 0;
}
#endif

// x86: unsigned bytes times signed ones, summed in pairs to 16 bits. Numbers of b bits allow so many
// steps before 16 bits overflow: 2 * 15 * 127 * 8 = 30480.
#if DOT_AVX2
typedef char char32v __attribute__((ext_vector_type(32)));
#define SUM short16
#define DEPTH                                                                                      \
    (ENC == ENC_Q4_0 || ENC == ENC_Q4_1 || ENC == ENC_Q4_K ? 8                                     \
     : ENC == ENC_Q5_0 || ENC == ENC_Q5_K || ENC == ENC_Q6_K ? 4 : 1)
static short16 sum_add(short16 sum, uint8 w, uint8 x)
{
    char32v a = __builtin_astype(w, char32v), b = __builtin_astype(x, char32v);
#if SIGNED
    b = __builtin_ia32_psignb256(b, a);
    a = __builtin_ia32_psignb256(a, a);
#endif
    return sum + __builtin_astype(__builtin_ia32_pmaddubsw256(a, b), short16);
}
static int8 sum_total(short16 sum)
{
    return __builtin_astype(__builtin_ia32_pmaddwd256(sum, (short16)(1)), int8);
}
#elif DOT_PACKED
#define SUM   int8
#define DEPTH 8
#if SIGNED
#define DOT4(w, x) dot_4x8packed_ss_int(w, x)
#else
#define DOT4(w, x) dot_4x8packed_us_int(w, x)
#endif
static int8 sum_add(int8 sum, uint8 w, uint8 x)
{
    return sum + (int8)(DOT4(w.s0, x.s0), DOT4(w.s1, x.s1), DOT4(w.s2, x.s2), DOT4(w.s3, x.s3),
                        DOT4(w.s4, x.s4), DOT4(w.s5, x.s5), DOT4(w.s6, x.s6), DOT4(w.s7, x.s7));
}
static int8 sum_total(int8 sum)
{
    return sum;
}
#else
#define SUM   int8
#define DEPTH 8
#if SIGNED
#define BYTE(w, i) (as_int8((w) << (24 - 8 * (i))) >> 24)
#else
#define BYTE(w, i) as_int8((w) >> (8 * (i)) & 255u)
#endif
#define XBYTE(x, i) (as_int8((x) << (24 - 8 * (i))) >> 24)
static int8 sum_add(int8 sum, uint8 w, uint8 x)
{
    return sum + BYTE(w, 0) * XBYTE(x, 0) + BYTE(w, 1) * XBYTE(x, 1) + BYTE(w, 2) * XBYTE(x, 2) +
           BYTE(w, 3) * XBYTE(x, 3);
}
static int8 sum_total(int8 sum)
{
    return sum;
}
#endif
#endif

#if PART == 0 && ENC == ENC_F32
// Rows of activations to quantised rows. Work-groups: (CHUNK values, token); n_k is a multiple of 32.
GROUP __kernel void quantise(const __global float *x, ulong x_off, int x_pitch, int n_k,
                             __global char *out)
{
    int n = get_group_id(1), end = min(((int)get_group_id(0) + 1) * CHUNK, n_k);
    x += x_off + (ulong)n * x_pitch;
    out += n * Q8_PITCH(n_k);
    __global float *scale = (__global float *)(out + n_k);
    for (int k = get_group_id(0) * CHUNK + LANE * 32; k < end; k += LANES * 32) {
        float8 v[4], most = 0;
        for (int i = 0; i < 4; i++) {
            v[i] = vload8(i, x + k);
            most = fmax(most, fabs(v[i]));
        }
        float4 m4 = fmax(most.lo, most.hi);
        float2 m2 = fmax(m4.lo, m4.hi);
        float top = fmax(m2.x, m2.y), inverse = top > 0 ? 127 / top : 0;
        int8 sum = 0;
        for (int i = 0; i < 4; i++) {
            int8 q = convert_int8(rint(v[i] * inverse));
            sum += q;
            vstore8(convert_char8(q), i, out + k);
        }
        int4 s4 = sum.lo + sum.hi;
        int2 s2 = s4.lo + s4.hi;
        scale[k / 32] = top / 127;
        scale[(n_k + k) / 32] = top / 127 * (float)(s2.x + s2.y);
    }
}
#endif
