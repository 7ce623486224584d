// SPDX-License-Identifier: GPL-3.0-or-later
// Weight encodings inside kernels: everything the other files know of one is here. ENC is one of
// the numbers below (engine/host/opencl_kernels.c has the same list).
//
//   dot32(acc, row, k, x0..x3)  acc + partial sums of row[k..k+32) * x; of a block, the sum of the
//                               stored numbers, without its scale and zero point
//   scale4(row a..d, k)         the scales of the blocks at k of four rows
//   ZERO_POINT                  what is to be subtracted from a block's stored numbers
//   decode32(row, k, dst)       dst[0..32) = row[k..k+32)
//   decode1(row, k)             one value; for the last K % 32 of the encodings without blocks
//
// k is a multiple of 32 but for decode1. Arithmetic is F32 throughout; a block's scale is applied
// once to the block's sum, so only the order of rounding differs from decoding first.

#define ENC_F32  0
#define ENC_F16  1
#define ENC_BF16 2
#define ENC_Q8_0 3
#define ENC_Q4_0 4

#if ENC == ENC_F32
static float decode1(bytes row, int k)
{
    return ((const __global float *)row)[k];
}
static float8 decode8(bytes row, int k)
{
    return vload8(0, (const __global float *)row + k);
}
#elif ENC == ENC_F16
static float decode1(bytes row, int k)
{
    return half1((const __global ushort *)row + k);
}
static float8 decode8(bytes row, int k)
{
    return half8((const __global ushort *)row + k);
}
#elif ENC == ENC_BF16
static float decode1(bytes row, int k)
{
    return as_float((uint)((const __global ushort *)row)[k] << 16);
}
static float8 decode8(bytes row, int k)
{
    return as_float8(convert_uint8(vload8(0, (const __global ushort *)row + k)) << 16);
}
#endif

#if ENC <= ENC_BF16
#define BLOCKS 0
static float8 dot32(float8 acc, bytes row, int k, float8 x0, float8 x1, float8 x2, float8 x3)
{
    acc = fma(decode8(row, k), x0, acc);
    acc = fma(decode8(row, k + 8), x1, acc);
    acc = fma(decode8(row, k + 16), x2, acc);
    return fma(decode8(row, k + 24), x3, acc);
}
static void decode32(bytes row, int k, __local float *dst)
{
    for (int i = 0; i < 32; i += 8)
        vstore8(decode8(row, k + i), 0, dst + i);
}
#else
#define BLOCKS 1
#define BLOCK_BYTES (ENC == ENC_Q8_0 ? 34 : 18)
#define ZERO_POINT  (ENC == ENC_Q8_0 ? 0 : 8)
static float4 scale4(bytes a, bytes b, bytes c, bytes d, int k)
{
    int at = k / 32 * BLOCK_BYTES;
    return half4(a + at, b + at, c + at, d + at);
}
#endif

#if ENC == ENC_Q8_0
static float decode1(bytes row, int k)
{
    bytes b = row + k / 32 * 34;
    return half1((const __global ushort *)b) * (float)(char)b[2 + k % 32];
}
static float8 dot32(float8 acc, bytes row, int k, float8 x0, float8 x1, float8 x2, float8 x3)
{
    const __global char *q = (const __global char *)row + k / 32 * 34 + 2;
    float8 t = fma(convert_float8(vload8(0, q)), x0, acc);
    t = fma(convert_float8(vload8(1, q)), x1, t);
    t = fma(convert_float8(vload8(2, q)), x2, t);
    return fma(convert_float8(vload8(3, q)), x3, t);
}
static void decode32(bytes row, int k, __local float *dst)
{
    bytes b = row + k / 32 * 34;
    const __global char *q = (const __global char *)b + 2;
    float d = half1((const __global ushort *)b);
    for (int i = 0; i < 4; i++)
        vstore8(convert_float8(vload8(i, q)) * d, i, dst);
}
#endif

#if ENC == ENC_Q4_0
static float decode1(bytes row, int k)
{
    bytes b = row + k / 32 * 18;
    int q = b[2 + k % 16];
    return half1((const __global ushort *)b) * (float)((k % 32 < 16 ? q & 15 : q >> 4) - 8);
}
static float8 dot32(float8 acc, bytes row, int k, float8 x0, float8 x1, float8 x2, float8 x3)
{
    const __global uchar *b = row + k / 32 * 18 + 2;
    int8 p = convert_int8(vload8(0, b)), q = convert_int8(vload8(1, b));
    float8 t = fma(convert_float8(p & 15), x0, acc);
    t = fma(convert_float8(q & 15), x1, t);
    t = fma(convert_float8(p >> 4), x2, t);
    return fma(convert_float8(q >> 4), x3, t);
}
static void decode32(bytes row, int k, __local float *dst)
{
    const __global uchar *b = row + k / 32 * 18 + 2;
    int8 p = convert_int8(vload8(0, b)), q = convert_int8(vload8(1, b));
    float8 d = half1((const __global ushort *)(b - 2)), zero = -8 * d;
    vstore8(fma(convert_float8(p & 15), d, zero), 0, dst);
    vstore8(fma(convert_float8(q & 15), d, zero), 1, dst);
    vstore8(fma(convert_float8(p >> 4), d, zero), 2, dst);
    vstore8(fma(convert_float8(q >> 4), d, zero), 3, dst);
}
#endif
