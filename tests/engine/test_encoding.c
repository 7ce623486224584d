// SPDX-License-Identifier: GPL-3.0-or-later
// Encodings against references that share no code with them: 16-bit floats from ldexp,
// exhaustively; blocks from bytes written out by hand; round trips within the bound that the format
// implies.
#include "tests/harness.h"

#include <math.h>
#include <string.h>
#include "base/digest.h"
#include "engine/encoding.h"
#include "engine/gguf.h"

// A float of 1 sign, `e` exponent and `m` fraction bits, by definition.
static double definition(unsigned v, int e, int m)
{
    int exponent = (int)(v >> m) & ((1 << e) - 1), bias = (1 << (e - 1)) - 1;
    double fraction = ldexp(v & ((1u << m) - 1), -m);
    double sign = v >> (e + m) & 1 ? -1 : 1;
    if (exponent == (1 << e) - 1)
        return fraction != 0 ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(1 + fraction, exponent - bias) : ldexp(fraction, 1 - bias));
}

struct format {
    int e, m;
    float (*to)(uint16_t);
    uint16_t (*from)(float);
};
static const struct format half = {5, 10, half_to_float, float_to_half};
static const struct format bf16 = {8, 7, bf16_to_float, float_to_bf16};

static int check_value(const struct format *f, unsigned v)
{
    double want = definition(v, f->e, f->m);
    float got = f->to((uint16_t)v);
    unsigned back = f->from(got), quiet = 1u << (f->m - 1);
    if (isnan(want))
        return isnan(got) && back == (v | quiet);
    return (double)got == want && !signbit(got) == !signbit(want) && back == v;
}

// Between v and its neighbour away from zero: the tie goes to even, both sides of it to their end.
static int check_gap(const struct format *f, unsigned v)
{
    double a = definition(v, f->e, f->m), b = definition(v + 1, f->e, f->m);
    if (isnan(a) || isinf(a))
        return 1;
    if (isinf(b)) // rounding treats the step beyond the largest value like the ones before
        b = a + (a - definition(v - 1, f->e, f->m));
    double exact = a / 2 + b / 2;
    float middle = (float)exact, away = copysignf(INFINITY, middle);
    if ((double)middle != exact)
        return isinf(middle); // bf16's last step lies beyond float
    return f->from(middle) == (v & 1 ? v + 1 : v) && f->from(nextafterf(middle, 0)) == v &&
           f->from(nextafterf(middle, away)) == v + 1;
}

static void check_all(const struct format *f)
{
    int bad_values = 0, bad_gaps = 0;
    for (unsigned v = 0; v < 65536; v++) {
        int value = check_value(f, v), gap = v == 0x7fff || v == 0xffff || check_gap(f, v);
        if ((!value || !gap) && bad_values + bad_gaps < 5)
            test_note("at %04x: value %d, gap %d", v, value, gap);
        bad_values += !value;
        bad_gaps += !gap;
    }
    CHECK_INT(bad_values, 0);
    CHECK_INT(bad_gaps, 0);
}

static void test_half_exhaustive(void)
{
    check_all(&half);
}

static void test_bf16_exhaustive(void)
{
    check_all(&bf16);
}

static void test_float_edges(void)
{
    CHECK_INT(float_to_half(65504), 0x7bff);
    CHECK_INT(float_to_half(65519.996f), 0x7bff);
    CHECK_INT(float_to_half(65520), 0x7c00);
    CHECK_INT(float_to_half(1e30f), 0x7c00);
    CHECK_INT(float_to_half(-INFINITY), 0xfc00);
    CHECK_INT(float_to_half(0x1p-25f), 0); // the tie between 0 and the smallest: to even
    CHECK_INT(float_to_half(nextafterf(0x1p-25f, 1)), 1);
    CHECK_INT(float_to_half(-0.0f), 0x8000);
    CHECK_INT(float_to_half(1e-45f), 0);
    CHECK_INT(float_to_bf16(3.4028235e38f), 0x7f80); // rounds up to infinity
    CHECK_INT(float_to_bf16(1e-45f), 0);
    CHECK(isnan(bf16_to_float(float_to_bf16(NAN))) && isnan(half_to_float(float_to_half(NAN))));
}

static void test_registry(void)
{
    const struct {
        const struct encoding *e;
        const char *name;
        int type, block, bytes;
    } want[] = {
        {&encoding_f32, "F32", 0, 1, 4},        {&encoding_f16, "F16", 1, 1, 2},
        {&encoding_bf16, "BF16", 30, 1, 2},     {&encoding_q8_0, "Q8_0", 8, 32, 34},
        {&encoding_q4_0, "Q4_0", 2, 32, 18},    {&encoding_q4_1, "Q4_1", 3, 32, 20},
        {&encoding_q5_0, "Q5_0", 6, 32, 22},    {&encoding_iq4_nl, "IQ4_NL", 20, 32, 18},
        {&encoding_q4_k, "Q4_K", 12, 256, 144}, {&encoding_q5_k, "Q5_K", 13, 256, 176},
        {&encoding_q6_k, "Q6_K", 14, 256, 210},
    };
    CHECK_INT(encoding_registry_count, sizeof want / sizeof want[0]);
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        CHECK(encoding_find(want[i].name) == want[i].e);
        CHECK(encoding_find_type((uint32_t)want[i].type) == want[i].e);
        CHECK_STR(want[i].e->name, want[i].name);
        CHECK_STR(encoding_type_name((uint32_t)want[i].type), want[i].name);
        CHECK_INT(want[i].e->block, want[i].block);
        CHECK_INT(want[i].e->bytes, want[i].bytes);
        CHECK_INT(encoding_size(want[i].e, 512), 512 / want[i].block * want[i].bytes);
        for (size_t j = 0; j < i; j++)
            CHECK(want[i].e->ggml_type != want[j].e->ggml_type);
    }
    CHECK(encoding_find("q8_0") == &encoding_q8_0);
    CHECK(encoding_find("Q8_") == NULL && encoding_find_type(11) == NULL);
    CHECK_STR(encoding_type_name(12), "Q4_K");
    CHECK_STR(encoding_type_name(4), "unknown");
    CHECK_STR(encoding_type_name(UINT32_MAX), "unknown");
    CHECK(encoding_registry[encoding_registry_count] == NULL);
}

static uint64_t seed = 1;
static double uniform(void) // [-1, 1)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(int64_t)(seed ^ seed >> 32) * 0x1p-63;
}

static void test_q8_0_layout(void)
{
    unsigned char raw[3 + 2 * 34] = {0}; // at an odd address, two blocks
    float out[64];
    unsigned char *p = raw + 3;
    for (int b = 0; b < 2; b++) {
        p[b * 34 + 1] = b ? 0xc0 : 0x3c; // -2.0 and 1.0 as halves
        for (int i = 0; i < 32; i++)
            p[b * 34 + 2 + i] = (unsigned char)(i == 31 ? 128 : i * 7 - 100);
    }
    encoding_q8_0.decode(p, out, 64);
    for (int i = 0; i < 64; i++) {
        double q = i % 32 == 31 ? -128 : i % 32 * 7 - 100;
        CHECK_NEAR(out[i], i < 32 ? q : -2 * q, 0);
    }
}

static void test_q4_0_layout(void)
{
    unsigned char raw[1 + 2 * 18] = {0};
    float out[64];
    unsigned char *p = raw + 1;
    for (int b = 0; b < 2; b++) {
        p[b * 18 + 1] = b ? 0xb8 : 0x40; // -0.5 and 2.0
        for (int i = 0; i < 16; i++)
            p[b * 18 + 2 + i] = (unsigned char)(i | (15 - i) << 4);
    }
    encoding_q4_0.decode(p, out, 64);
    for (int i = 0; i < 64; i++) {
        int j = i % 32;
        double q = (j < 16 ? j : 31 - j) - 8;
        CHECK_NEAR(out[i], i < 32 ? 2 * q : -0.5 * q, 0);
    }
}

// Puts the low `bits` bits of v at bit `at` of the bytes.
static void put_bits(unsigned char *bytes, int at, int bits, unsigned v)
{
    for (int i = 0; i < bits; i++)
        if (v >> i & 1)
            bytes[(at + i) / 8] |= (unsigned char)(1 << (at + i) % 8);
}

static void put_half(unsigned char *bytes, uint16_t h)
{
    put_bits(bytes, 0, 16, h);
}

enum { ONE = 0x3c00, MINUS_TWO = 0xc000, QUARTER = 0x3400, FIVE = 0x4500 }; // halves

static void test_layouts_of_32(void)
{
    unsigned char raw[1 + 22] = {0}, *p = raw + 1; // at an odd address
    float out[32];
    put_half(p, QUARTER), put_half(p + 2, FIVE);
    for (int i = 0; i < 32; i++)
        put_bits(p, 8 * (4 + i % 16) + (i < 16 ? 0 : 4), 4, (unsigned)(i * 5 % 16));
    encoding_q4_1.decode(p, out, 32);
    for (int i = 0; i < 32; i++)
        CHECK_NEAR(out[i], 0.25 * (i * 5 % 16) + 5, 0);

    memset(raw, 0, sizeof raw);
    put_half(p, MINUS_TWO);
    for (int i = 0; i < 32; i++) { // q = 7 i mod 32: every value once
        put_bits(p, 8 * (6 + i % 16) + (i < 16 ? 0 : 4), 4, (unsigned)(i * 7 % 32));
        put_bits(p, 8 * 2 + i, 1, (unsigned)(i * 7 % 32) >> 4);
    }
    encoding_q5_0.decode(p, out, 32);
    for (int i = 0; i < 32; i++)
        CHECK_NEAR(out[i], -2.0 * (i * 7 % 32 - 16), 0);

    static const int table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};
    memset(raw, 0, sizeof raw);
    put_half(p, QUARTER);
    for (int i = 0; i < 32; i++)
        put_bits(p, 8 * (2 + i % 16) + (i < 16 ? 0 : 4), 4, (unsigned)(i * 3 % 16));
    encoding_iq4_nl.decode(p, out, 32);
    for (int i = 0; i < 32; i++)
        CHECK_NEAR(out[i], 0.25 * table[i * 3 % 16], 0);
}

// Q4_K and Q5_K bit by bit. Scale and minimum of chunk c: 6 bits; the first four of each lie whole
// in the low bits of bytes 0 to 7, the others have 4 bits in bytes 8 to 11 and 2 on top of 0 to 7.
static void layout_k(const struct encoding *e, int bits)
{
    unsigned char raw[1 + 176] = {0}, *p = raw + 1, *s = p + 4;
    int high = 16, low = bits == 5 ? 48 : 16;
    float out[256];
    put_half(p, QUARTER), put_half(p + 2, MINUS_TWO);
    for (int c = 0; c < 8; c++) {
        unsigned scale = (unsigned)(c * 37 + 5) % 64, min = (unsigned)(c * 23 + 50) % 64;
        put_bits(s, c < 4 ? c * 8 : (c + 4) * 8, c < 4 ? 6 : 4, scale);
        put_bits(s, c < 4 ? (c + 4) * 8 : (c + 4) * 8 + 4, c < 4 ? 6 : 4, min);
        if (c >= 4) {
            put_bits(s, (c - 4) * 8 + 6, 2, scale >> 4);
            put_bits(s, c * 8 + 6, 2, min >> 4);
        }
    }
    for (int i = 0; i < 256; i++) {
        unsigned q = (unsigned)(i * 11 + i / 32) % (1u << bits);
        put_bits(p + low, (i / 64 * 32 + i % 32) * 8 + i / 32 % 2 * 4, 4, q);
        if (bits == 5)
            put_bits(p + high, i % 32 * 8 + i / 32, 1, q >> 4);
    }
    e->decode(p, out, 256);
    for (int i = 0; i < 256; i++) {
        int c = i / 32, scale = (c * 37 + 5) % 64, min = (c * 23 + 50) % 64;
        CHECK_NEAR(out[i], 0.25 * scale * ((i * 11 + c) % (1 << bits)) + 2.0 * min, 0);
    }
}

static void test_layouts_of_256(void)
{
    layout_k(&encoding_q4_k, 4);
    layout_k(&encoding_q5_k, 5);
    unsigned char raw[1 + 210] = {0}, *p = raw + 1;
    float out[256];
    put_half(p + 208, MINUS_TWO);
    for (int g = 0; g < 16; g++)
        put_bits(p + 192, g * 8, 8, (unsigned)(g * 17 - 128));
    for (int i = 0; i < 256; i++) {
        int n = i / 128, l = i % 128; // low nibbles for the first 64 values of each 128
        unsigned q = (unsigned)(i * 13 + i / 64) % 64;
        put_bits(p, (64 * n + l % 64) * 8 + (l < 64 ? 0 : 4), 4, q);
        put_bits(p + 128, (32 * n + l % 32) * 8 + l / 32 * 2, 2, q >> 4);
    }
    encoding_q6_k.decode(p, out, 256);
    for (int i = 0; i < 256; i++)
        CHECK_NEAR(out[i], -2.0 * (i / 16 * 17 - 128) * ((i * 13 + i / 64) % 64 - 32), 0);
}

static void test_float_rows(void)
{
    const float in[4] = {1.5f, -0.25f, 65504, 3};
    float out[4];
    unsigned char raw[17];
    const struct encoding *all[] = {&encoding_f32, &encoding_f16};
    for (int e = 0; e < 2; e++) {
        all[e]->encode(in, raw + 1, 4);
        all[e]->decode(raw + 1, out, 4);
        CHECK(memcmp(in, out, sizeof in) == 0);
    }
    encoding_f16.encode(in, raw, 1);
    CHECK(raw[0] == 0x00 && raw[1] == 0x3e);
    encoding_bf16.encode(in, raw, 1);
    CHECK(raw[0] == 0xc0 && raw[1] == 0x3f);
}

// Largest error of a block in units of its largest magnitude, over many kinds of blocks.
static double worst_error(const struct encoding *e)
{
    double worst = 0;
    int n = e->block > 32 ? (int)e->block : 32;
    for (int trial = 0; trial < (n > 32 ? 1000 : 20000); trial++) {
        float in[256], out[256], largest = 0;
        unsigned char raw[256];
        double scale = ldexp(1, trial % 14), offset = trial % 3 ? 0 : 2 * uniform();
        for (int i = 0; i < n; i++) {
            in[i] = (float)(scale * (trial % 5 ? uniform() + offset : pow(uniform(), 9)));
            largest = fmaxf(largest, fabsf(in[i]));
        }
        e->encode(in, raw, n);
        e->decode(raw, out, n);
        for (int i = 0; i < n; i++)
            worst = fmax(worst, fabs((double)in[i] - out[i]) / largest);
    }
    return worst;
}

static void test_round_trip_bounds(void)
{
    // Half a step, plus what rounding the scale to half costs.
    double half_ulp = ldexp(1, -11);
    double q8 = worst_error(&encoding_q8_0), q4 = worst_error(&encoding_q4_0);
    CHECK(q8 <= 0.5 / 127 + half_ulp * 1.01 && q8 > 0.49 / 127);
    // A full step at the mirror of the largest value, half a step elsewhere.
    CHECK(q4 <= 1.0 / 8 + half_ulp && q4 > 0.9 / 8);
    CHECK(worst_error(&encoding_f16) <= half_ulp);
    CHECK(worst_error(&encoding_bf16) <= ldexp(1, -8));
    CHECK_NEAR(worst_error(&encoding_f32), 0, 0);
    test_note("worst error / largest: Q8_0 %.5f, Q4_0 %.5f", q8, q4);
    // The range, at most twice the largest value, in 15 steps; scale and minimum are rounded.
    double q41 = worst_error(&encoding_q4_1), q50 = worst_error(&encoding_q5_0);
    CHECK(q41 <= 0.5 * 2 / 15 + 3 * half_ulp && q41 > 0.9 / 15);
    CHECK(q50 <= 1.0 / 16 + half_ulp && q50 > 0.9 / 16);
    // The search for a scale may clip the extremes by a level or two.
    double nl = worst_error(&encoding_iq4_nl), q4k = worst_error(&encoding_q4_k);
    double q5k = worst_error(&encoding_q5_k), q6k = worst_error(&encoding_q6_k);
    CHECK(nl <= 2 * 24.0 / 127 && q4k <= 2 * 2.0 / 15 && q5k <= 2 * 2.0 / 31 && q6k <= 2.0 / 32);
    test_note("Q4_1 %.5f, Q5_0 %.5f, IQ4_NL %.5f, Q4_K %.5f, Q5_K %.5f, Q6_K %.5f", q41, q50, nl,
              q4k, q5k, q6k);
}

// Blocks so small that the scale is a subnormal half: its absolute error is 2^-25.
static void test_tiny_blocks(void)
{
    double worst = 0;
    for (int trial = 0; trial < 2000; trial++) {
        float in[32], out[32];
        unsigned char raw[34];
        double scale = ldexp(127, -14 - trial % 14);
        for (int i = 0; i < 32; i++)
            in[i] = (float)(scale * uniform());
        encoding_q8_0.encode(in, raw, 32);
        encoding_q8_0.decode(raw, out, 32);
        for (int i = 0; i < 32; i++)
            worst = fmax(worst, fabs((double)in[i] - out[i]) - scale / 127 / 2);
    }
    CHECK(worst <= ldexp(127, -25));
}

static void edges(const struct encoding *e, double levels)
{
    const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f, 1e-38f};
    int n = (int)e->block;
    float in[256] = {0}, out[256];
    unsigned char raw[256];
    e->encode(in, raw, n);
    e->decode(raw, out, n);
    for (int i = 0; i < n; i++)
        CHECK(out[i] == 0);
    for (size_t a = 0; a < sizeof odd / sizeof odd[0]; a++)
        for (size_t b = 0; b < sizeof odd / sizeof odd[0]; b++) {
            in[3] = odd[a];
            in[n - 2] = odd[b];
            in[5] = 1;
            e->encode(in, raw, n);
            e->decode(raw, out, n);
            int finite = 1;
            for (int i = 0; i < n; i++)
                finite &= isfinite(out[i]) != 0;
            CHECK(finite);
            if (isnan(odd[a]) && !e->minima && e != &encoding_iq4_nl) // the others have no exact 0
                CHECK(out[3] == 0);
            if (isinf(odd[a]) && levels > 0) // saturates at the largest number of a block
                CHECK_NEAR(out[3], copysign(65504.0 * levels, odd[a]), 0);
            if (isinf(odd[a]) && levels == 0)
                CHECK_NEAR(out[3], copysign(65504.0, odd[a]), 65504 * 0.2);
        }
}

static void test_block_edges(void)
{
    edges(&encoding_q8_0, 127);
    edges(&encoding_q4_0, 8);
    for (size_t i = 0; i < encoding_registry_count; i++) {
        const struct encoding *e = encoding_registry[i];
        if (e->block > 1 && e != &encoding_q8_0 && e != &encoding_q4_0)
            edges(e, 0);
    }
}

// The same model in four encodings: decoded weights agree with the F32 ones within the bound, and
// our encoder writes the very bytes that the tools wrote.
static void compare_file(const struct encoding *e, const char *file, double bound)
{
    const char *base = test_shared("data/models/TinyStories-656K-f32.gguf");
    const char *other = test_shared(file);
    struct gguf *f = NULL, *q = NULL;
    struct err err;
    if (!base || !other) {
        test_skip("no %s", file);
        return;
    }
    int64_t blocks = 0, same = 0;
    double worst = 0;
    if (!CHECK_OK(gguf_open(base, &f, &err), &err) || !CHECK_OK(gguf_open(other, &q, &err), &err))
        goto close;
    for (uint64_t i = 0; i < q->n_tensors; i++) {
        char name[80];
        const struct gguf_tensor *t = &q->tensors[i];
        snprintf(name, sizeof name, "%.*s", (int)t->name.n, t->name.s);
        const struct gguf_tensor *x = gguf_find_tensor(f, name);
        if (!CHECK(x != NULL) || t->enc != e)
            continue;
        const float *want = x->data;
        for (int64_t j = 0; j < x->size / 4; j += 32) {
            float got[32], largest = 0;
            unsigned char raw[128];
            int64_t n = encoding_size(e, 32);
            const unsigned char *bytes = (const unsigned char *)t->data + j / 32 * n;
            e->decode(bytes, got, 32);
            e->encode(want + j, raw, 32);
            for (int k = 0; k < 32; k++)
                largest = fmaxf(largest, fabsf(want[j + k]));
            for (int k = 0; k < 32; k++)
                worst = fmax(worst, fabs((double)got[k] - want[j + k]) / largest);
            same += memcmp(raw, bytes, (size_t)n) == 0;
            blocks++;
        }
    }
    test_note("%s: %lld of %lld blocks of 32 equal, worst error / largest %.5f", e->name,
              (long long)same, (long long)blocks, worst);
    CHECK(blocks > 10000 && worst <= bound);
    CHECK_INT(same, blocks);
close:
    gguf_close(f);
    gguf_close(q);
}

static void test_real_files(void)
{
    compare_file(&encoding_f16, "data/models/TinyStories-656K-F16.gguf", ldexp(1, -11));
    compare_file(&encoding_q8_0, "data/models/TinyStories-656K-Q8_0.gguf", 0.0045);
    compare_file(&encoding_q4_0, "data/models/TinyStories-656K-Q4_0.gguf", 0.126);
}

// Against the decoders and encoders of llama.cpp, commit c392e5094dea (ggml-quants.c, functions
// dequantize_row_* and quantize_row_*_ref), run once on the very bytes and numbers that are drawn
// here. `digest`: of its decoded floats over 16 rows of 4096 values in random blocks; `error`: RMS
// error over RMS of 200 rows of normal values that it encoded.
static uint32_t lcg_state;
static uint32_t lcg(void)
{
    lcg_state = lcg_state * 1664525u + 1013904223u;
    return lcg_state >> 8;
}

static float normal(void) // nearly: the sum of twelve uniform numbers
{
    double s = 0;
    for (int i = 0; i < 12; i++)
        s += (double)lcg() / 16777216;
    return (float)(s - 6);
}

enum { ROW = 4096 };
static const struct {
    const struct encoding *e;
    int half[2]; // where halves are in a block; -1: none
    const char *digest;
    double error;
} reference[] = {
    {&encoding_q4_0, {0, -1}, "5b28d63da95c2b93", 0.08466},
    {&encoding_q8_0, {0, -1}, "e5ba1a078154ef5f", 0.00526},
    {&encoding_q4_1, {0, 2}, "c6f4c567962e1fb7", 0.07740},
    {&encoding_q5_0, {0, -1}, "d657201b204f1c2c", 0.04199},
    {&encoding_iq4_nl, {0, -1}, "d04a43da8eb15d64", 0.07806},
    {&encoding_q4_k, {0, 2}, "ee29a1c3e56f0c05", 0.07051},
    {&encoding_q5_k, {0, 2}, "59012759367a8bb1", 0.03569},
    {&encoding_q6_k, {208, -1}, "af2adb8ca22bb769", 0.01749},
};

static void test_decoded_as_by_the_reference(void)
{
    static unsigned char raw[ROW * 2];
    static float out[ROW];
    for (size_t i = 0; i < sizeof reference / sizeof reference[0]; i++) {
        const struct encoding *e = reference[i].e;
        int blocks = ROW / (int)e->block, bytes = (int)e->bytes;
        uint64_t digest = DIGEST_INIT;
        char text[17];
        for (uint32_t trial = 0; trial < 16; trial++) {
            lcg_state = trial + 1;
            for (int j = 0; j < blocks * bytes; j++)
                raw[j] = (unsigned char)(lcg() >> 8);
            for (int b = 0; b < blocks; b++)
                for (int h = 0; h < 2 && reference[i].half[h] >= 0; h++) {
                    unsigned char *top = raw + b * bytes + reference[i].half[h] + 1;
                    if ((*top & 0x7c) == 0x7c) // neither infinity nor NaN
                        *top &= 0xbf;
                }
            e->decode(raw, out, ROW);
            digest = digest_bytes(digest, out, sizeof out);
            for (int64_t c = 0; c < ROW / CHUNK_VALUES; c++) { // what devices rely on
                struct chunk k;
                e->unpack(raw, c, &k);
                if (!e->halves)
                    CHECK(k.scale[0] == k.scale[1]);
                if (!e->minima)
                    CHECK(k.min == 0 && signbit(k.min));
            }
        }
        CHECK_STR(digest_text(digest, text), reference[i].digest);
    }
}

static void test_encoded_as_well_as_by_the_reference(void)
{
    static unsigned char raw[ROW * 2];
    static float in[ROW], out[ROW];
    for (size_t i = 0; i < sizeof reference / sizeof reference[0]; i++) {
        double error = 0, sum = 0;
        for (uint32_t trial = 0; trial < 200; trial++) {
            lcg_state = trial + 77;
            for (int j = 0; j < ROW; j++)
                in[j] = normal();
            reference[i].e->encode(in, raw, ROW);
            reference[i].e->decode(raw, out, ROW);
            for (int j = 0; j < ROW; j++) {
                error += pow(out[j] - in[j], 2);
                sum += pow(in[j], 2);
            }
        }
        error = sqrt(error / sum);
        test_note("%-6s relative RMS error %.5f, reference %.5f", reference[i].e->name, error,
                  reference[i].error);
        CHECK(error <= reference[i].error + 1e-5); // the reference's is rounded to 5 digits
        CHECK(error >= reference[i].error * 0.9);  // nobody is that much better
    }
}

TESTS(engine_encoding, T(test_half_exhaustive), T(test_bf16_exhaustive), T(test_float_edges),
      T(test_registry), T(test_q8_0_layout), T(test_q4_0_layout), T(test_layouts_of_32),
      T(test_layouts_of_256), T(test_float_rows), T(test_round_trip_bounds), T(test_tiny_blocks),
      T(test_block_edges), T(test_real_files), T(test_decoded_as_by_the_reference),
      T(test_encoded_as_well_as_by_the_reference))
