// SPDX-License-Identifier: GPL-3.0-or-later
// Float arithmetic that the scalar unit has no instruction for, from additions, multiplications and
// integers: the same bits on every machine. (`-ffp-contract=off` sees to it that no compiler
// fuses.)
#ifndef ENGINE_HOST_NPU_DSP_NUMBER_H
#define ENGINE_HOST_NPU_DSP_NUMBER_H

#include <stdint.h>

static inline uint32_t number_bits(float f)
{
    union {
        float f;
        uint32_t u;
    } v = {f};
    return v.u;
}

static inline float number_of(uint32_t u)
{
    union {
        uint32_t u;
        float f;
    } v = {u};
    return v.f;
}

// a / b, rounded to the nearest, ties to even, for normal a, b and quotient. Zeros and subnormals
// count as zeros; what is too large or not a number becomes infinity or not a number.
static inline float number_divide(float a, float b)
{
    const uint32_t ua = number_bits(a), ub = number_bits(b), sign = (ua ^ ub) & 0x80000000u;
    const int32_t ea = (int32_t)(ua >> 23 & 255), eb = (int32_t)(ub >> 23 & 255);
    if (ea == 255 || eb == 0) { // infinite or not a number; by zero
        const int bad = (ua & 0x7fffffffu) > 0x7f800000u || eb == 255 || (eb == 0 && ea == 0);
        return number_of(bad ? 0x7fc00000u : sign | 0x7f800000u);
    }
    if (eb == 255 && ub << 9)
        return number_of(0x7fc00000u);
    if (ea == 0 || eb == 255)
        return number_of(sign);
    // Fractions in [2^23, 2^24): the quotient of them, with two more bits, by a reciprocal of
    // which three Newton steps leave an error of some 2^-23; the remainder corrects it.
    const uint32_t ma = (ua & 0x7fffffu) | 0x800000u, mb = (ub & 0x7fffffu) | 0x800000u;
    const int less = ma < mb;
    const uint64_t top = (uint64_t)ma << (less ? 26 : 25); // quotient in [2^25, 2^26)
    const float y = (float)mb;
    float r = number_of(0x7ef311c7u - number_bits(y));
    r = r * (2.0f - y * r);
    r = r * (2.0f - y * r);
    r = r * (2.0f - y * r);
    uint32_t q = (uint32_t)(int32_t)((float)ma * r * (less ? 0x1p26f : 0x1p25f));
    int64_t rest = (int64_t)(top - (uint64_t)q * mb);
    const int32_t off = (int32_t)((float)rest * r);
    q += (uint32_t)off;
    rest -= (int64_t)off * (int64_t)mb;
    while (rest < 0) {
        rest += mb;
        q--;
    }
    while (rest >= (int64_t)mb) {
        rest -= mb;
        q++;
    }
    q |= rest != 0; // sticky: below the two bits that rounding looks at
    int32_t e = ea - eb + 127 - less;
    uint32_t m = (q >> 2) + ((q & 3) > 2 || ((q & 3) == 2 && (q >> 2 & 1)));
    if (m >> 24) {
        m >>= 1;
        e++;
    }
    if (e <= 0)
        return number_of(sign);
    if (e >= 255)
        return number_of(sign | 0x7f800000u);
    return number_of(sign | (uint32_t)e << 23 | (m & 0x7fffffu));
}

// 1 / sqrt(x) for normal positive x, within 2 units in the last place: four Newton steps from a
// first guess by the exponent.
static inline float number_rsqrt(float x)
{
    float r = number_of(0x5f375a86u - (number_bits(x) >> 1));
    for (int i = 0; i < 4; i++)
        r = r * (1.5f - 0.5f * x * r * r);
    return r;
}

// e^x, relative error below 4e-7 where the result is normal; x is clamped to what floats hold, and
// what is not a number counts as the lower end.
static inline float number_exp(float x)
{
    const float big = 12582912.0f; // adding it leaves the nearest integer in the low bits
    x = x > -87.33f ? x : -87.33f;
    x = x < 88.37f ? x : 88.37f;
    const float n = x * 1.44269504f + big, whole = n - big;
    const float r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
    float p = 1 / 720.0f;
    p = p * r + 1 / 120.0f;
    p = p * r + 1 / 24.0f;
    p = p * r + 1 / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return number_of(number_bits(p) + (number_bits(n) << 23));
}

// The power of two above |x| (x normal or 0: then the smallest normal), as a float.
static inline float number_unit(float x)
{
    return number_of(((number_bits(x) >> 23 & 255) + 1) << 23);
}

#endif
