// SPDX-License-Identifier: GPL-3.0-or-later
// The few vector operations that the kernels are made of: HVX instructions on Hexagon, loops
// elsewhere. Integers only. Both give the same bits.
#ifndef ENGINE_HOST_NPU_DSP_HVX_H
#define ENGINE_HOST_NPU_DSP_HVX_H

#include <stdint.h>

// Every copy of a loop that stands for an instruction would be one more for the sanitizers'
// compiler.
#ifdef __hexagon__
#define HV_INLINE static inline __attribute__((always_inline))
#else
#define HV_INLINE static inline
#endif
#define HV_NOINLINE __attribute__((noinline))
#ifdef __clang__
#define HV_NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define HV_NO_UNROLL
#endif

#ifdef __hexagon__
#include <hexagon_protos.h>
#include <hexagon_types.h>
#include <hvx_hexagon_protos.h>

typedef HVX_Vector hv; // 32 words, or 64 halfwords, or 128 bytes

HV_INLINE hv hv_load(const void *p) // aligned, as all vectors here
{
    return *(const hv *)p;
}
HV_INLINE hv hv_load_any(const void *p) // at any address
{
    return *(const HVX_UVector *)p;
}
HV_INLINE void hv_store(void *p, hv v)
{
    *(hv *)p = v;
}
HV_INLINE void hv_store_any(void *p, hv v)
{
    *(HVX_UVector *)p = v;
}
// out[2i] = the larger of a[i], a[i + 16]; out[2i + 1] = the same of b. Signed words. Five rounds
// of it leave the largest of each of 32 vectors.
HV_INLINE hv hv_fold(hv a, hv b)
{
    const HVX_VectorPair p = Q6_W_vshuff_VVR(b, a, -4);
    return Q6_Vw_vmax_VwVw(Q6_V_lo_W(p), Q6_V_hi_W(p));
}
HV_INLINE hv hv_max(hv a, hv b) // of signed words
{
    return Q6_Vw_vmax_VwVw(a, b);
}
HV_INLINE hv hv_rotate(hv v, int words) // out[i] = v[(i + words) % 32]
{
    return Q6_V_vror_VR(v, 4 * words);
}
HV_INLINE uint32_t hv_first(hv v)
{
    return (uint32_t)Q6_R_vextract_VR(v, 0);
}
// The product of signed words in 64 bits; returns its upper word.
HV_INLINE hv hv_product(hv a, hv b, hv *low)
{
    const HVX_VectorPair p = Q6_W_vmpyoacc_WVwVh(Q6_W_vmpye_VwVuh(a, b), a, b);
    *low = Q6_V_lo_W(p);
    return Q6_V_hi_W(p);
}
HV_INLINE hv hv_multiply(hv a, hv b) // the lower 32 bits
{
    return Q6_Vw_vmpyieacc_VwVwVuh(Q6_Vw_vasl_VwR(Q6_Vw_vmpyio_VwVh(a, b), 16), a, b);
}
// The lowest bytes of the words of a, then of b, c, d.
HV_INLINE hv hv_bytes(hv a, hv b, hv c, hv d)
{
    return Q6_Vb_vpacke_VhVh(Q6_Vh_vpacke_VwVw(d, c), Q6_Vh_vpacke_VwVw(b, a));
}
HV_INLINE hv hv_sum4(hv v) // of each word's signed bytes
{
    return Q6_Vw_vrmpy_VbVb(v, Q6_V_vsplat_R(0x01010101));
}
HV_INLINE hv hv_splat(int32_t word)
{
    return Q6_V_vsplat_R(word);
}
// acc[i] += sum of the unsigned bytes of word i of w times the signed bytes of x.
HV_INLINE hv hv_dot(hv acc, hv w, int32_t x)
{
    return Q6_Vw_vrmpyacc_VwVubRb(acc, w, x);
}
// v * h / 2^15, to the nearest, halves up; h is the upper halfword of each word.
HV_INLINE hv hv_scale(hv v, hv h)
{
    return Q6_Vw_vmpyo_VwVh_s1_rnd_sat(v, h);
}
HV_INLINE hv hv_add(hv a, hv b)
{
    return Q6_Vw_vadd_VwVw(a, b);
}
HV_INLINE hv hv_and(hv a, hv b)
{
    return Q6_V_vand_VV(a, b);
}
HV_INLINE hv hv_left(hv v, int n)
{
    return Q6_Vw_vasl_VwR(v, n);
}
HV_INLINE hv hv_right(hv v, int n) // of signed words
{
    return Q6_Vw_vasr_VwR(v, n);
}
HV_INLINE hv hv_down(hv v, int n) // right, of unsigned words
{
    return Q6_Vuw_vlsr_VuwR(v, n);
}
HV_INLINE hv hv_right16(hv v, int n) // of unsigned halfwords
{
    return Q6_Vuh_vlsr_VuhR(v, n);
}
// Bytes table[2 * (v % 32)].
HV_INLINE hv hv_look(hv v, hv table)
{
    return Q6_Vb_vlut32_VbVbR_nomatch(v, table, 0);
}
HV_INLINE hv hv_sub(hv a, hv b)
{
    return Q6_Vw_vsub_VwVw(a, b);
}
HV_INLINE hv hv_or(hv a, hv b)
{
    return Q6_V_vor_VV(a, b);
}
HV_INLINE hv hv_xor(hv a, hv b)
{
    return Q6_V_vxor_VV(a, b);
}
HV_INLINE hv hv_min(hv a, hv b) // of signed words
{
    return Q6_Vw_vmin_VwVw(a, b);
}
HV_INLINE hv hv_zeros(hv v) // leading bits of each word that are 0
{
    return Q6_Vuw_vcl0_Vuw(v);
}
// Words shifted left by n in -32..31, to the right where it is negative; they are not negative.
HV_INLINE hv hv_shift(hv v, hv n)
{
    return Q6_Vw_vasl_VwVw(v, n);
}
// v where a > 0 and b > 0, else 0.
HV_INLINE hv hv_keep(hv v, hv a, hv b)
{
    const hv zero = Q6_V_vsplat_R(0);
    return Q6_V_vmux_QVV(Q6_Q_vcmp_gtand_QVwVw(Q6_Q_vcmp_gt_VwVw(a, zero), b, zero), v, zero);
}
// Asks for memory that will be read soon.
HV_INLINE void hv_prefetch(const void *p, uint32_t bytes)
{
    uint64_t box = (uint64_t)128 << 32 | 128 << 16 | (bytes / 128 < 65535 ? bytes / 128 : 65535);
    __asm__ volatile("l2fetch(%0,%1)" ::"r"(p), "r"(box));
}

#else
#include <string.h>

typedef struct {
    int32_t w[32];
} hv;

// v >> n of signed words without what the language leaves to the compiler.
HV_INLINE int32_t hv_word_right(int32_t v, int n)
{
    return (int32_t)(v < 0 ? ~(~(uint32_t)v >> n) : (uint32_t)v >> n);
}

HV_INLINE hv hv_load(const void *p)
{
    hv v;
    memcpy(&v, p, sizeof v);
    return v;
}
HV_INLINE hv hv_load_any(const void *p)
{
    return hv_load(p);
}
HV_INLINE void hv_store(void *p, hv v)
{
    memcpy(p, &v, sizeof v);
}
HV_INLINE void hv_store_any(void *p, hv v)
{
    hv_store(p, v);
}
HV_INLINE hv hv_max(hv a, hv b)
{
    for (int i = 0; i < 32; i++)
        a.w[i] = a.w[i] > b.w[i] ? a.w[i] : b.w[i];
    return a;
}
HV_INLINE hv hv_fold(hv a, hv b)
{
    hv v;
    for (int i = 0; i < 16; i++) {
        v.w[2 * i] = a.w[i] > a.w[i + 16] ? a.w[i] : a.w[i + 16];
        v.w[2 * i + 1] = b.w[i] > b.w[i + 16] ? b.w[i] : b.w[i + 16];
    }
    return v;
}
HV_INLINE hv hv_rotate(hv v, int words)
{
    hv r;
    for (int i = 0; i < 32; i++)
        r.w[i] = v.w[(i + words) & 31];
    return r;
}
HV_INLINE uint32_t hv_first(hv v)
{
    return (uint32_t)v.w[0];
}
HV_INLINE hv hv_product(hv a, hv b, hv *low)
{
    for (int i = 0; i < 32; i++) {
        const uint64_t p = (uint64_t)((int64_t)a.w[i] * b.w[i]);
        low->w[i] = (int32_t)(uint32_t)p;
        a.w[i] = (int32_t)(uint32_t)(p >> 32);
    }
    return a;
}
HV_INLINE hv hv_multiply(hv a, hv b)
{
    for (int i = 0; i < 32; i++)
        a.w[i] = (int32_t)((uint32_t)a.w[i] * (uint32_t)b.w[i]);
    return a;
}
HV_INLINE hv hv_bytes(hv a, hv b, hv c, hv d)
{
    uint8_t byte[128];
    for (int i = 0; i < 32; i++) {
        byte[i] = (uint8_t)a.w[i];
        byte[32 + i] = (uint8_t)b.w[i];
        byte[64 + i] = (uint8_t)c.w[i];
        byte[96 + i] = (uint8_t)d.w[i];
    }
    return hv_load(byte);
}
HV_INLINE hv hv_sum4(hv v)
{
    int8_t byte[128];
    memcpy(byte, &v, sizeof byte);
    for (int i = 0; i < 32; i++)
        v.w[i] = byte[4 * i] + byte[4 * i + 1] + byte[4 * i + 2] + byte[4 * i + 3];
    return v;
}
HV_INLINE hv hv_splat(int32_t word)
{
    hv v;
    for (int i = 0; i < 32; i++)
        v.w[i] = word;
    return v;
}
HV_INLINE hv hv_dot(hv acc, hv w, int32_t x)
{
    const int32_t x0 = (int8_t)x, x1 = (int8_t)(x >> 8), x2 = (int8_t)(x >> 16), x3 = x >> 24;
    for (int i = 0; i < 32; i++) {
        const uint32_t u = (uint32_t)w.w[i];
        acc.w[i] += (int32_t)(u & 255) * x0 + (int32_t)(u >> 8 & 255) * x1 +
                    (int32_t)(u >> 16 & 255) * x2 + (int32_t)(u >> 24) * x3;
    }
    return acc;
}
HV_INLINE hv hv_scale(hv v, hv h)
{
    for (int i = 0; i < 32; i++) {
        const int64_t p = ((int64_t)v.w[i] * (h.w[i] >> 16) + (1 << 14)) >> 15;
        v.w[i] = p > INT32_MAX ? INT32_MAX : (int32_t)p;
    }
    return v;
}
HV_INLINE hv hv_add(hv a, hv b)
{
    for (int i = 0; i < 32; i++)
        a.w[i] = (int32_t)((uint32_t)a.w[i] + (uint32_t)b.w[i]);
    return a;
}
HV_INLINE hv hv_and(hv a, hv b)
{
    for (int i = 0; i < 32; i++)
        a.w[i] &= b.w[i];
    return a;
}
HV_INLINE hv hv_left(hv v, int n)
{
    for (int i = 0; i < 32; i++)
        v.w[i] = (int32_t)((uint32_t)v.w[i] << n);
    return v;
}
HV_INLINE hv hv_right(hv v, int n)
{
    for (int i = 0; i < 32; i++)
        v.w[i] = hv_word_right(v.w[i], n);
    return v;
}
HV_INLINE hv hv_down(hv v, int n)
{
    for (int i = 0; i < 32; i++)
        v.w[i] = (int32_t)((uint32_t)v.w[i] >> n);
    return v;
}
HV_INLINE hv hv_right16(hv v, int n)
{
    const uint32_t keep = 0xffffu >> n;
    for (int i = 0; i < 32; i++)
        v.w[i] = (int32_t)((uint32_t)v.w[i] >> n & (keep << 16 | keep));
    return v;
}
HV_INLINE hv hv_look(hv v, hv table)
{
    uint8_t index[128], entry[128];
    memcpy(index, &v, sizeof index);
    memcpy(entry, &table, sizeof entry);
    for (int i = 0; i < 128; i++)
        index[i] = entry[2 * (index[i] & 31)];
    memcpy(&v, index, sizeof v);
    return v;
}
HV_INLINE hv hv_sub(hv a, hv b)
{
    for (int i = 0; i < 32; i++)
        a.w[i] = (int32_t)((uint32_t)a.w[i] - (uint32_t)b.w[i]);
    return a;
}
HV_INLINE hv hv_or(hv a, hv b)
{
    for (int i = 0; i < 32; i++)
        a.w[i] |= b.w[i];
    return a;
}
HV_INLINE hv hv_xor(hv a, hv b)
{
    for (int i = 0; i < 32; i++)
        a.w[i] ^= b.w[i];
    return a;
}
HV_INLINE hv hv_min(hv a, hv b)
{
    for (int i = 0; i < 32; i++)
        a.w[i] = a.w[i] < b.w[i] ? a.w[i] : b.w[i];
    return a;
}
HV_INLINE hv hv_zeros(hv v)
{
    for (int i = 0; i < 32; i++)
        v.w[i] = v.w[i] ? __builtin_clz((uint32_t)v.w[i]) : 32;
    return v;
}
HV_INLINE hv hv_shift(hv v, hv n)
{
    for (int i = 0; i < 32; i++) {
        const int left = (int)(((uint32_t)n.w[i] & 63) ^ 32) - 32; // of six bits, with a sign
        v.w[i] = left >= 0 ? (int32_t)((uint32_t)v.w[i] << left)
                           : hv_word_right(v.w[i], left > -32 ? -left : 31);
    }
    return v;
}
HV_INLINE hv hv_keep(hv v, hv a, hv b)
{
    for (int i = 0; i < 32; i++)
        v.w[i] = a.w[i] > 0 && b.w[i] > 0 ? v.w[i] : 0;
    return v;
}
HV_INLINE void hv_prefetch(const void *p, uint32_t bytes)
{
    (void)p;
    (void)bytes;
}
#endif

#endif
