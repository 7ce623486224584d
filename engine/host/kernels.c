// SPDX-License-Identifier: GPL-3.0-or-later
// Which kernels run: what the machine executes, what was asked for, and whether each one computes
// what the generic one computes. A kernel that this build could not be tested with (AVX-512 on a
// machine without it) is thereby tested on the first machine that can run it, before its first use.
#include "engine/host/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/log.h"

#if defined __x86_64__
#include <cpuid.h>

static uint64_t saved_registers(void) // XCR0: what the operating system saves
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static void probe(struct cpu_features *f)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1))
        return;
    int fma = c >> 12 & 1, f16c = c >> 29 & 1;
    uint64_t saved = saved_registers();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return;
    int avx2 = b >> 5 & 1;
    int avx512 = (b >> 16 & 1) && (b >> 17 & 1) && (b >> 30 & 1) && (b >> 31 & 1); // F DQ BW VL
    int vnni = c >> 11 & 1, amx_tile = d >> 24 & 1, amx_int8 = d >> 25 & 1;
    f->avx2 = avx2 && fma && f16c && (saved & 0x6) == 0x6;
    f->avx512_vnni = f->avx2 && avx512 && vnni && (saved & 0xe6) == 0xe6;
    f->amx_int8 = f->avx512_vnni && amx_tile && amx_int8 && (saved & 0x60000) == 0x60000;
    f->amx_bf16 = f->amx_int8 && (d >> 22 & 1);
}
#elif defined __aarch64__
#include <sys/auxv.h>

static void probe(struct cpu_features *f)
{
    f->neon = 1;
    f->dotprod = getauxval(AT_HWCAP) >> 20 & 1;               // HWCAP_ASIMDDP
    f->i8mm = f->dotprod && (getauxval(AT_HWCAP2) >> 13 & 1); // HWCAP2_I8MM
}
#else
static void probe(struct cpu_features *f)
{
    (void)f;
}
#endif

const struct cpu_features *cpu_features(void)
{
    // Computed anew by whoever asks first or concurrently: always the same values, so callers get
    // a thread-local copy and need no lock.
    static _Thread_local struct cpu_features f;
    static _Thread_local int known;
    if (!known) {
        probe(&f);
        known = 1;
    }
    return &f;
}

int cpu_runs_neon(void)
{
    return cpu_features()->neon && (cpu_features()->dotprod || !kernels_neon_dotprod);
}

int cpu_amx_permission(void)
{
#if defined __x86_64__ && defined SYS_arch_prctl
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 ? 0 : -1;
#else
    return -1;
#endif
}

// A small odd case for each kernel: 5 rows, 3 tokens, k with a tail where the encoding allows it.
enum { ROWS = 5, TOKENS = 3, K = 1088, K_ODD = 1077, MAX_ROW = K * 4 };
enum { MOST_Q8 = 2 * K + K / 4 + 8 * (2 * Q8_BLOCK + 8) };

struct check {
    uint32_t seed;
    int replaced;
    float x[TOKENS * K], w[ROWS * K], want[4 * K], got[4 * K];
    unsigned char encoded[ROWS * MAX_ROW];
    unsigned char quantised[TOKENS * MOST_Q8], other[MOST_Q8];
};

static float noise(struct check *c)
{
    c->seed = c->seed * 1664525u + 1013904223u; // Numerical Recipes' generator; any would do
    return (float)(c->seed >> 8) * 0x1p-24f * 2 - 1;
}

// Results differ by the order of additions and by fusing: a few hundred roundings of values below
// about 30.
static int near(const float *a, const float *b, int n)
{
    for (int i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= 1e-4f + 1e-5f * fabsf(b[i])))
            return 0;
    return 1;
}

static int disagree(struct check *c, const char *table, const char *kernel)
{
    log_warn("kernel %s of %s disagrees with the generic one on this machine and is not used",
             kernel, table);
    c->replaced++;
    return 1;
}

mm_fn **kernels_matmul(struct cpu_kernels *k, const struct encoding *enc)
{
    struct {
        const struct encoding *enc;
        mm_fn **fn;
    } all[] = {
        {&encoding_f32, &k->f32},   {&encoding_f16, &k->f16},       {&encoding_bf16, &k->bf16},
        {&encoding_q8_0, &k->q8_0}, {&encoding_q4_0, &k->q4_0},     {&encoding_q4_1, &k->q4_1},
        {&encoding_q5_0, &k->q5_0}, {&encoding_iq4_nl, &k->iq4_nl}, {&encoding_q4_k, &k->q4_k},
        {&encoding_q5_k, &k->q5_k}, {&encoding_q6_k, &k->q6_k},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].enc == enc)
            return all[i].fn;
    return NULL;
}

static void check_mm(struct check *c, struct cpu_kernels *k, const struct encoding *enc)
{
    struct cpu_kernels g = kernels_generic;
    mm_fn **fast = kernels_matmul(k, enc), **good = kernels_matmul(&g, enc);
    if (!fast)
        return;
    bool quantised = enc->unpack != NULL;
    int cols = quantised ? K / (int)enc->block * (int)enc->block : K_ODD;
    int64_t row = encoding_size(enc, cols);
    for (int r = 0; r < ROWS; r++)
        enc->encode(c->w + r * K, c->encoded + r * row, cols);
    for (int t = 0; t < TOKENS && quantised; t++)
        kernels_generic.quantise(c->x + t * K, cols, c->quantised + t * act_q8_bytes(cols));
    struct mm a = {.w = c->encoded,
                   .w_pitch = row,
                   .rows = ROWS,
                   .tokens = TOKENS,
                   .k = cols,
                   .out_pitch = ROWS};
    a.x = quantised ? (const void *)c->quantised : c->x;
    a.x_pitch = quantised ? act_q8_bytes(cols) : K * 4;
    a.out = c->want;
    (*good)(&a);
    a.out = c->got;
    (*fast)(&a);
    if (!near(c->got, c->want, ROWS * TOKENS) && disagree(c, k->name, enc->name))
        *fast = *good;
}

static void check_vectors(struct check *c, struct cpu_kernels *k)
{
    const struct cpu_kernels *g = &kernels_generic;
    memset(c->other, 0, sizeof c->other);
    g->quantise(c->x, K, c->quantised);
    k->quantise(c->x, K, c->other);
    int same = !memcmp(c->other, c->quantised, K);
    same &= !memcmp(act_q8_pairs(c->other, K), act_q8_pairs(c->quantised, K),
                    (size_t)act_q8_blocks(K) * Q8_BLOCK);
    same &= near(act_q8_scales(c->other, K), act_q8_scales(c->quantised, K), K / Q8_BLOCK);
    same &= near(act_q8_sums(c->other, K), act_q8_sums(c->quantised, K), K / Q8_BLOCK);
    if (!same && disagree(c, k->name, "quantise"))
        k->quantise = g->quantise;

    g->rmsnorm(c->x, c->w, 1e-5f, K_ODD, c->want);
    k->rmsnorm(c->x, c->w, 1e-5f, K_ODD, c->got);
    if (!near(c->got, c->want, K_ODD) && disagree(c, k->name, "rmsnorm"))
        k->rmsnorm = g->rmsnorm;

    g->swiglu(c->x, c->w, K_ODD, c->want);
    k->swiglu(c->x, c->w, K_ODD, c->got);
    if (!near(c->got, c->want, K_ODD) && disagree(c, k->name, "swiglu"))
        k->swiglu = g->swiglu;

    memcpy(c->want, c->x, sizeof c->x);
    memcpy(c->got, c->x, sizeof c->x);
    g->add(c->want, c->w, K_ODD);
    k->add(c->got, c->w, K_ODD);
    if (!near(c->got, c->want, K_ODD) && disagree(c, k->name, "add"))
        k->add = g->add;

    float score[2 * 9];
    struct attend a = {.q = c->x,
                       .k = c->w,
                       .v = c->w + 80,
                       .pitch = 160,
                       .rows = 9,
                       .group = 2,
                       .d = 72,
                       .scale = 0.25f,
                       .score = score,
                       .out = c->want};
    g->attend(&a);
    a.out = c->got;
    k->attend(&a);
    if (!near(c->got, c->want, 2 * 72) && disagree(c, k->name, "attend"))
        k->attend = g->attend;
}

int kernels_self_check(struct cpu_kernels *k)
{
    const struct cpu_kernels *g = &kernels_generic;
    struct check *c = calloc(1, sizeof *c);
    if (!c) { // nothing can be proven: nothing is used
        const char *name = k->name;
        *k = *g;
        k->name = name;
        return -1;
    }
    c->seed = 1;
    for (int i = 0; i < TOKENS * K; i++)
        c->x[i] = noise(c) * 3;
    for (int i = 0; i < ROWS * K; i++)
        c->w[i] = noise(c);
    for (size_t i = 0; i < encoding_registry_count; i++)
        check_mm(c, k, encoding_registry[i]);
    check_vectors(c, k);
    int replaced = c->replaced;
    free(c);
    return replaced;
}

int kernels_select(enum isa isa, struct cpu_kernels *out, struct err *e)
{
    const struct cpu_features *f = cpu_features();
    const struct cpu_kernels *table = NULL;
    if (isa == ISA_AUTO)
        isa = f->avx512_vnni && kernels_avx512  ? ISA_AVX512
              : f->avx2 && kernels_avx2         ? ISA_AVX2
              : cpu_runs_neon() && kernels_neon ? ISA_NEON
                                                : ISA_GENERIC;
    const char *name = "generic";
    switch (isa) {
    case ISA_AVX2:
        name = "avx2";
        table = f->avx2 ? kernels_avx2 : NULL;
        break;
    case ISA_AVX512:
        name = "avx512 (with VNNI)";
        table = f->avx512_vnni ? kernels_avx512 : NULL;
        break;
    case ISA_NEON:
        name = "neon";
        table = cpu_runs_neon() ? kernels_neon : NULL;
        break;
    default:
        table = &kernels_generic;
        break;
    }
    if (!table)
        return err_at(e, ERR_UNSUPPORTED, NULL, 0, "isa", "this machine does not execute %s", name);
    *out = *table;
    if (table != &kernels_generic)
        kernels_self_check(out);
    return 0;
}
