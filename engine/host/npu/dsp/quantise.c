// SPDX-License-Identifier: GPL-3.0-or-later
// Activations as blocks of 32 integers: what the CPU kernels compute in floats (scale = largest /
// 127, integers = x * (127 / largest) to the nearest), from the floats' bits in integer vectors.
//
// A vector is one block, or one number for each of 32 blocks. Floats are taken apart into fraction
// (24 bits, the hidden one included) and exponent; every step gives the bits that the float
// operation gives, which rounds to the nearest, ties to even:
//
//   largest       magnitudes are ordered as their bits are
//   127 / largest quotient of fractions in 25 bits, of which the last one rounds. (No quotient of
//                 two floats lies in the middle between two floats.) By Newton's reciprocal, whose
//                 estimate is off by one at most; the remainder says so.
//   largest / 127 the same, 128 * f + floor(128 * f / 127) halves
//   x * inverse   the upper 30 bits of the product of fractions, the last one set if anything is
//                 lost below ("round to odd"): enough to round twice after it
//   to integers   the product would be rounded to 24 bits, then to an integer. Rounding twice
//                 differs from rounding once where the product is within half of a last bit h of
//                 the middle between n and n + 1: there the even one results. So what is added
//                 before cutting off the fraction is one half plus h where n is odd, minus h and
//                 the last of the 30 bits where it is even.
#include "engine/host/npu/dsp/hvx.h"
#include "engine/host/npu/dsp/number.h"
#include "engine/host/npu/dsp/products.h"

enum { BATCH = 32, INFINITE = 0x7f800000, LEAST = 0x0da24260 /* 1e-30 */ };

// Of each block of a batch.
struct factors {
    _Alignas(NPU_VECTOR) int32_t inverse[BATCH]; // fraction of 127 / largest, times 2^7
    int32_t up[BATCH];    // with x's exponent: how far a product's point lies above bit 31
    int32_t scale[BATCH]; // largest / 127, as a float's bits
};

static int32_t least(int32_t n)
{
    return n < BATCH ? n : BATCH;
}

HV_INLINE hv high(hv a, hv b)
{
    hv low;
    return hv_product(a, b, &low);
}

// Largest magnitudes of n blocks, as bits; lanes from n on repeat blocks.
static hv largest(const float *x, int32_t n)
{
    const hv magnitude = hv_splat(0x7fffffff);
    hv v[BATCH];
    int32_t room = 1;
    while (room < n)
        room *= 2;
    HV_NO_UNROLL
    for (int32_t i = 0; i < room; i++)
        v[i] = hv_and(hv_load_any(x + (i < n ? i : 0) * NPU_TILE), magnitude);
    for (int32_t half = room / 2; half > 0; half /= 2) {
        HV_NO_UNROLL
        for (int32_t i = 0; i < half; i++)
            v[i] = hv_fold(v[i], v[i + half]);
    }
    for (int32_t lanes = room; lanes < BATCH; lanes *= 2)
        v[0] = hv_max(v[0], hv_rotate(v[0], lanes));
    return v[0];
}

static HV_NOINLINE void factors(hv top, struct factors *f)
{
    const hv zero = hv_splat(0), one = hv_splat(1), hidden = hv_splat(0x800000);
    const hv fraction = hv_or(hv_and(top, hv_splat(0x7fffff)), hidden),
             exponent = hv_right(top, 23);
    // Below 1e-30 the inverse could overflow; such a block counts as zeros, as on the CPU.
    const hv small = hv_sub(top, hv_splat(LEAST)), large = hv_sub(hv_splat(INFINITE), top);

    // 2^60 / d, from the line through the reciprocal of which no point is off by more than 1 / 17.
    const hv d = hv_left(fraction, 7);
    hv r = hv_sub(hv_splat(0x5a5a5a5a), high(d, hv_splat(0x78787878)));
    for (int i = 0; i < 3; i++)
        r = hv_add(r, high(r, hv_left(hv_sub(hv_splat(1 << 28), high(d, r)), 4)));
    // 127's fraction * 2^24 / fraction, or * 2^25 where that would be below 2^24.
    const hv less = hv_right(hv_sub(hv_splat(127 << 17), fraction), 31);
    hv q = hv_shift(high(hv_splat(127 << 24), r), hv_sub(hv_splat(-4), less));
    const hv rest = hv_sub(zero, hv_multiply(q, fraction)); // the dividend's lower 32 bits are 0
    q = hv_add(q, hv_right(rest, 31));
    q = hv_sub(q, hv_right(hv_sub(hv_sub(fraction, one), rest), 31));
    const hv inverse = hv_left(hv_right(hv_add(q, one), 1), 7);
    hv_store(f->inverse, hv_keep(inverse, small, large));
    hv_store(f->up, hv_add(hv_sub(hv_splat(9), exponent), less));

    // 2 * fraction / 127 by a reciprocal of 33 bits.
    const hv twice = hv_add(fraction, fraction);
    const hv halves = hv_add(twice, high(twice, hv_splat(33818641)));
    const hv over = hv_right(halves, 25); // 1: one bit more
    const hv rounded = hv_shift(hv_add(halves, hv_add(one, over)), hv_sub(hv_splat(-1), over));
    const hv power = hv_left(hv_add(hv_sub(exponent, hv_splat(7)), over), 23);
    hv_store(f->scale, hv_keep(hv_add(power, hv_sub(rounded, hidden)), small, large));
}

HV_INLINE hv integers(const float *x, int32_t inverse, int32_t up)
{
    const hv bits = hv_load_any(x), one = hv_splat(1);
    const hv fraction = hv_or(hv_and(hv_left(bits, 7), hv_splat(0x3fffff80)), hv_splat(0x40000000));
    hv low, product = hv_product(fraction, hv_splat(inverse), &low);
    product = hv_or(product, hv_min(hv_down(low, 1), one)); // its last bits are 0
    // The point is at bit 31 - above.
    const hv above = hv_max(hv_add(hv_down(hv_left(bits, 1), 24), hv_splat(up)), hv_splat(0));
    const hv even = hv_sub(hv_splat(-17), hv_and(hv_right(product, 25), hv_splat(16))); // -h - 1
    const hv odd = hv_right(hv_shift(product, above), 31);                              // or 0
    const hv half = hv_shift(hv_splat(1 << 30), hv_sub(hv_splat(0), above));
    const hv sum = hv_add(hv_add(product, half), hv_xor(even, odd));
    const hv n = hv_shift(sum, hv_sub(above, hv_splat(31))), sign = hv_right(bits, 31);
    return hv_sub(hv_xor(n, sign), sign);
}

// Blocks [0, n) of a batch, four at a time; `most` is the largest of the token's scales, as bits.
static HV_NOINLINE void convert(const float *x, int32_t n, const struct factors *f, uint32_t most,
                                struct npu_block *out)
{
    _Alignas(NPU_VECTOR) uint64_t q[BATCH][NPU_TILE / 8];
    _Alignas(NPU_VECTOR) int32_t sum[BATCH][8], scale[BATCH];
    HV_NO_UNROLL
    for (int32_t b = 0; b < n; b += 4) {
        hv v[4];
        for (int i = 0; i < 4; i++) {
            const int32_t at = b + i < n ? b + i : b;
            v[i] = integers(x + at * NPU_TILE, f->inverse[at], f->up[at]);
        }
        const hv bytes = hv_bytes(v[0], v[1], v[2], v[3]);
        hv sums = hv_sum4(bytes);
        sums = hv_add(sums, hv_rotate(sums, 1));
        sums = hv_add(sums, hv_rotate(sums, 2)); // words 0 and 4 of a block: of 16 bytes each
        hv_store(q[b], bytes);
        hv_store(sum[b], sums);
    }
    // Q15 relative to the power of two above the largest, to the nearest, halves up.
    const hv bits = hv_load(f->scale), fraction = hv_splat(0x7fffff);
    const hv cut = hv_sub(hv_splat(9 + (int32_t)(most >> 23)), hv_right(bits, 23));
    const hv down = hv_sub(hv_splat(1), hv_min(cut, hv_splat(31)));
    const hv whole = hv_or(hv_and(bits, fraction), hv_sub(fraction, hv_splat(-1)));
    const hv q15 = hv_right(hv_add(hv_shift(whole, down), hv_splat(1)), 1);
    hv_store(scale, hv_keep(hv_min(q15, hv_splat(32767)), bits, bits));
    HV_NO_UNROLL
    for (int32_t b = 0; b < n; b++, out++) {
        const int32_t first = sum[b][0], second = sum[b][4];
        uint64_t *to = (uint64_t *)(void *)out->q;
        for (int i = 0; i < NPU_TILE / 8; i++)
            to[i] = q[b][i];
        out->scale = scale[b] << 16;
        out->start[0] = -128 * first;
        out->start[1] = -128 * second;
        out->sum = (first + second) * scale[b];
    }
}

float npu_quantise(const float *x, int32_t tiles, struct npu_block *out)
{
    struct factors f;
    hv all = hv_splat(0);
    for (int32_t b = 0; b < tiles; b += BATCH) {
        factors(largest(x + (int64_t)b * NPU_TILE, least(tiles - b)), &f);
        all = hv_max(all, hv_load(f.scale));
    }
    for (int32_t lanes = 1; lanes < BATCH; lanes *= 2)
        all = hv_max(all, hv_rotate(all, lanes));
    const uint32_t most = hv_first(all);
    for (int32_t b = 0; b < tiles; b += BATCH) {
        const float *from = x + (int64_t)b * NPU_TILE;
        if (tiles > BATCH) // else they are still there
            factors(largest(from, least(tiles - b)), &f);
        convert(from, least(tiles - b), &f, most, out + b);
    }
    return most ? number_unit(number_of(most)) : 0;
}
