// SPDX-License-Identifier: GPL-3.0-or-later
// What all kernels share. The files of this folder are joined in alphabetical order into one source
// (common, decode, dot, elementwise, heads, matmul, probe) and built once per weight encoding.
//
// One shape fits a real GPU and a CPU that plays one: a work-group is LANES work-items that share a
// piece of the output. On a GPU (LANES = 32) neighbouring lanes read neighbouring values and meet in
// local memory; on a CPU device LANES is 1, every work-item is a plain vector loop, and the barriers
// vanish. The local size is a constant, because a new one costs a compilation.
//
// Vectors are loaded by vload8: rows start anywhere, and a misaligned vector pointer faults. The
// host sets LANES, CHUNK, HALF_BITS, ENC, ACT (in how many bits products take activations: 8, 16,
// 32) and PART: 0 for everything but the products, 1 for gemv, 2 for gemm, whose tile sizes it sets
// too, and W_IMAGE if they read weights as an image.

// For tests: the loads that a GPU's build uses, on a device that is a CPU.
#if LOAD_HALF
#undef HALF_BITS
#endif

#define GROUP __attribute__((reqd_work_group_size(LANES, 1, 1)))
#define LANE  ((int)get_local_id(0))

#if LANES > 1
#define SYNC() barrier(CLK_LOCAL_MEM_FENCE)
#else
#define SYNC()
#endif

// Weights in their encoding are read by the functions from here to halves_at only, at a place that
// is an address or, in an image (W_IMAGE), the number of a byte. An image can be kept in no variable:
// it goes along as an argument, so that a function has a parameter BYTES p and is given AT(p).
#if W_IMAGE
typedef uint bytes;
#define WEIGHTS read_only image1d_buffer_t image // of a kernel
#define START   0u                               // the place of its first byte
#define BYTES   read_only image1d_buffer_t image, bytes
#define AT(p)   image, p

// n <= 16 bytes from p on. A texel has 16, so that they are in two at most; the second one that is
// read is never past the last byte that was asked for.
static uint4 load_n(BYTES p, uint n)
{
    uint4 a = read_imageui(image, (int)(p >> 4)), b = read_imageui(image, (int)((p + n - 1) >> 4));
    uint4 c = p & 8 ? (uint4)(a.zw, b.xy) : a;
    uint2 d = p & 8 ? b.zw : b.xy;
    uint4 low = p & 4 ? (uint4)(c.yzw, d.x) : c;
    uint next = p & 4 ? d.y : d.x, bits = (p & 3) * 8;
    return low >> bits | (uint4)(low.yzw, next) << 1 << (31 - bits);
}
static uint4 load16(BYTES p)
{
    return load_n(AT(p), 16);
}
static uchar8 load8(BYTES p)
{
    return as_uchar8(load_n(AT(p), 8).xy);
}
static uint word_at(BYTES p) // p is a multiple of 4; below, of 2
{
    uint4 t = read_imageui(image, (int)(p >> 4));
    uint2 h = p & 8 ? t.zw : t.xy;
    return p & 4 ? h.y : h.x;
}
static ushort short_at(BYTES p)
{
    return (ushort)(word_at(AT(p & ~3u)) >> (p & 2) * 8);
}
static uchar byte_at(BYTES p)
{
    return (uchar)(word_at(AT(p & ~3u)) >> (p & 3) * 8);
}
static ushort8 shorts_at(BYTES p)
{
    return as_ushort8(load16(AT(p)));
}
static float float_at(BYTES p)
{
    return as_float(word_at(AT(p)));
}
static float8 floats_at(BYTES p)
{
    return (float8)(as_float4(load16(AT(p))), as_float4(load16(AT(p + 16))));
}
#else
typedef const __global uchar *bytes;
#define WEIGHTS bytes start
#define START   start
#define BYTES   bytes
#define AT(p)   p

static uint4 load16(BYTES p)
{
    return as_uint4(vload16(0, p));
}
static uchar8 load8(BYTES p)
{
    return vload8(0, p);
}
static uchar byte_at(BYTES p)
{
    return *p;
}
static ushort short_at(BYTES p)
{
    return *(const __global ushort *)p;
}
static ushort8 shorts_at(BYTES p)
{
    return vload8(0, (const __global ushort *)p);
}
static float float_at(BYTES p)
{
    return *(const __global float *)p;
}
static float8 floats_at(BYTES p)
{
    return vload8(0, (const __global float *)p);
}
#endif

static float sum8(float8 v)
{
    float4 a = v.lo + v.hi;
    float2 b = a.lo + a.hi;
    return b.x + b.y;
}

// The sum of v over the lanes of the work-group, in every lane. `scratch` has LANES values.
static float lane_sum(float v, __local float *scratch)
{
#if LANES > 1
    SYNC();
    scratch[LANE] = v;
    SYNC();
    v = 0;
    for (int i = 0; i < LANES; i++)
        v += scratch[i];
#endif
    return v;
}

// IEEE half to float. Devices that are GPUs have an instruction behind vload_half; a CPU device may
// call a function per value, so there the bits are moved by hand: exponent and mantissa shifted into
// place, then the bias corrected by a multiplication, which is exact for subnormals too. Infinities
// and NaNs do not occur in weights. Where the compiler offers the x86 instruction, that is used.
#if HALF_BITS && defined(__F16C__) && defined(__has_builtin)
#if __has_builtin(__builtin_ia32_vcvtph2ps256)
#define HALF8_F16C 1
#endif
#endif

#if HALF_BITS
static float half_at(BYTES p)
{
    ushort v = short_at(AT(p));
#if HALF8_F16C
    return as_float8(__builtin_ia32_vcvtph2ps256((short8)((short)v))).s0;
#else
    uint h = v;
    return as_float((h & 0x8000u) << 16 | as_uint(as_float((h & 0x7fffu) << 13) * 0x1p112f));
#endif
}
static float8 halves_at(BYTES p)
{
#if HALF8_F16C
    return __builtin_ia32_vcvtph2ps256(as_short8(shorts_at(AT(p))));
#else
    uint8 h = convert_uint8(shorts_at(AT(p)));
    float8 f = as_float8((h & 0x7fffu) << 13) * 0x1p112f;
    return as_float8(as_uint8(f) | (h & 0x8000u) << 16);
#endif
}
#elif W_IMAGE
static float half_at(BYTES p)
{
    ushort v = short_at(AT(p));
    return vload_half(0, (const half *)&v);
}
static float8 halves_at(BYTES p)
{
    ushort8 v = shorts_at(AT(p));
    return vload_half8(0, (const half *)&v);
}
#else
static float half_at(BYTES p)
{
    return vload_half(0, (const __global half *)p);
}
static float8 halves_at(BYTES p)
{
    return vload_half8(0, (const __global half *)p);
}
#endif
