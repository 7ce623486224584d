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
// too.

#define GROUP __attribute__((reqd_work_group_size(LANES, 1, 1)))
#define LANE  ((int)get_local_id(0))

#if LANES > 1
#define SYNC() barrier(CLK_LOCAL_MEM_FENCE)
#else
#define SYNC()
#endif

typedef const __global uchar *bytes; // a row of a weight in its encoding

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
static float half_at(const __global ushort *p)
{
#if HALF8_F16C
    return as_float8(__builtin_ia32_vcvtph2ps256((short8)((short)*p))).s0;
#else
    uint h = *p;
    return as_float((h & 0x8000u) << 16 | as_uint(as_float((h & 0x7fffu) << 13) * 0x1p112f));
#endif
}
static float8 halves_at(const __global ushort *p)
{
#if HALF8_F16C
    return __builtin_ia32_vcvtph2ps256(as_short8(vload8(0, p)));
#else
    uint8 h = convert_uint8(vload8(0, p));
    float8 f = as_float8((h & 0x7fffu) << 13) * 0x1p112f;
    return as_float8(as_uint8(f) | (h & 0x8000u) << 16);
#endif
}
#else
static float half_at(const __global ushort *p)
{
    return vload_half(0, (const __global half *)p);
}
static float8 halves_at(const __global ushort *p)
{
    return vload_half8(0, (const __global half *)p);
}
#endif
