// SPDX-License-Identifier: GPL-3.0-or-later
// Encodings: look-up, and the two 16-bit float formats in plain integer arithmetic.
//
// The one idea: a float is 1 sign bit, e exponent bits and m fraction bits, and reading
// (exponent, fraction) as one unsigned number keeps the order of magnitudes. Rounding can therefore
// work on that number: a carry out of the fraction moves to the next exponent, and from the largest
// finite value to infinity, without a special case.
//
// Invariant: no hardware conversion and no rounding mode takes part, so every machine and compiler
// gives the same bits. Kernels may use hardware; their tests compare against these.
#include "engine/encoding.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

static uint32_t float_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float bits_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

// v / 2^shift to the nearest integer, ties to even; 1 <= shift <= 31.
static uint32_t shift_round(uint32_t v, unsigned shift)
{
    uint32_t kept = v >> shift, rest = v & ((1u << shift) - 1), half = 1u << (shift - 1);
    return kept + (rest > half || (rest == half && (kept & 1)));
}

// Half: 5 exponent bits (bias 15), 10 fraction bits.
float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 0x3ff;
    if (exponent == 31) // infinity, or NaN with its payload
        return bits_float(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) { // subnormal: fraction * 2^-24, exact in float
        float magnitude = (float)fraction * 0x1p-24f;
        return bits_float(sign | float_bits(magnitude));
    }
    return bits_float(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t float_to_half(float f)
{
    uint32_t u = float_bits(f), sign = u >> 16 & 0x8000, magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) // NaN: keep the upper payload, set the quiet bit
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000u) // 65520 and above round to infinity
        return (uint16_t)(sign | 0x7c00);
    uint32_t exponent = magnitude >> 23;
    if (exponent >= 113) // normal in half: move the bias, round away 13 fraction bits
        return (uint16_t)(sign | shift_round(magnitude - (112u << 23), 13));
    if (exponent < 102) // below half of the smallest subnormal
        return (uint16_t)sign;
    // Subnormal in half: the whole significand counts units of 2^-24.
    return (uint16_t)(sign | shift_round((magnitude & 0x7fffff) | 0x800000, 126 - exponent));
}

// bfloat16 is the upper half of a float.
float bf16_to_float(uint16_t b)
{
    return bits_float((uint32_t)b << 16);
}

uint16_t float_to_bf16(float f)
{
    uint32_t u = float_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) // truncation could turn a NaN into infinity
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)shift_round(u, 16);
}

const struct encoding *encoding_find(const char *name)
{
    for (size_t i = 0; i < encoding_registry_count; i++)
        if (strcasecmp(encoding_registry[i]->name, name) == 0)
            return encoding_registry[i];
    return NULL;
}

const struct encoding *encoding_find_type(uint32_t ggml_type)
{
    for (size_t i = 0; i < encoding_registry_count; i++)
        if (encoding_registry[i]->ggml_type == ggml_type)
            return encoding_registry[i];
    return NULL;
}

int64_t encoding_size(const struct encoding *e, int64_t values)
{
    assert(values >= 0 && values % e->block == 0);
    return values / e->block * e->bytes;
}

const char *encoding_type_name(uint32_t ggml_type)
{
    // Numbers as the GGUF specification lists them (ggml/docs/gguf.md, enum ggml_type). The gaps
    // were types that were removed.
    static const char *const names[] = {
        [0] = "F32",     [1] = "F16",      [2] = "Q4_0",   [3] = "Q4_1",    [6] = "Q5_0",
        [7] = "Q5_1",    [8] = "Q8_0",     [9] = "Q8_1",   [10] = "Q2_K",   [11] = "Q3_K",
        [12] = "Q4_K",   [13] = "Q5_K",    [14] = "Q6_K",  [15] = "Q8_K",   [16] = "IQ2_XXS",
        [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S", [20] = "IQ4_NL", [21] = "IQ3_S",
        [22] = "IQ2_S",  [23] = "IQ4_XS",  [24] = "I8",    [25] = "I16",    [26] = "I32",
        [27] = "I64",    [28] = "F64",     [29] = "IQ1_M", [30] = "BF16",   [34] = "TQ1_0",
        [35] = "TQ2_0",  [39] = "MXFP4",
    };
    if (ggml_type < sizeof names / sizeof names[0] && names[ggml_type])
        return names[ggml_type];
    return "unknown";
}
