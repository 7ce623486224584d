// SPDX-License-Identifier: GPL-3.0-or-later
// The tile NPU: every instruction set that this machine executes, every encoding, odd shapes and
// both operand orders against the reference; and the manners of an NPU: only prepared graphs of
// standard sizes, whole tiles, a limited memory, padding that costs time.
#include "tests/engine/host/rig.h"

#include "engine/host/kernels.h"
#include "engine/host/tile.h"
#include "tests/engine/host/tile_cases.h"

static struct machine *open_tile(const char *more)
{
    char text[300];
    snprintf(text, sizeof text,
             "cpu = { enabled = false; }; gpu = { enabled = false; }; npu = { %s };", more);
    return rig_open(text);
}

static const char *const isas[] = {"generic", "avx2", "avx512", "amx", "neon", "i8mm"};
enum { ISAS = sizeof isas / sizeof isas[0] };

static struct machine *open_isa(int isa, const char *more)
{
    struct tile_kernels k;
    char text[200];
    if (tile_select((enum tile_isa)(TILE_GENERIC + isa), &k, NULL) < 0)
        return NULL;
    snprintf(text, sizeof text, "isa = \"%s\"; %s", isas[isa], more);
    return open_tile(text);
}

static int prepare(struct device *d, struct task *t, int n_pad, enum operand_order order)
{
    struct err e = {0};
    struct static_graph g = {t->op, t->m0, t->m1, n_pad, order};
    t->n_pad = n_pad;
    t->order = order;
    return CHECK_OK(d->ops->prepare(d, &g, &t->graph, &e), &e) ? 0 : -1;
}

static bool one_shape(struct machine *m, const char *isa, const struct encoding *enc, bool exact,
                      const int rows[2], int k, int n, uint32_t seed)
{
    struct device *d = m->device[0];
    struct rig_mm r;
    struct err e = {0};
    rig_mm_open(&r, m, enc, rows, rows[1] != 0, k, n, seed);
    r.quantised &= !exact;
    for (int p = 0; p < r.task.n_parts; p++)
        CHECK_OK(d->ops->load(d, &r.w[p], 0, r.w[p].rows, &e), &e);
    float *first = malloc((size_t)r.out.size);
    bool ok = true;
    for (int o = 0; o < ORDER_COUNT && ok; o++) {
        memset(r.out.host, 0, (size_t)r.out.size);
        ok = prepare(d, &r.task, device_size_for(&d->caps, n), (enum operand_order)o) == 0 &&
             rig_run(d, &r.task) == 0 && rig_mm_check(&r, isa);
        if (o == 0)
            memcpy(first, r.out.host, (size_t)r.out.size);
        else // the same products in the same order
            ok = ok && CHECK(!memcmp(first, r.out.host, (size_t)r.out.size));
    }
    free(first);
    rig_mm_close(&r);
    return ok;
}

// Every combination of sizes in one encoding; under an emulator those of the first ones of each
// kind.
static void all_shapes(struct machine *m, const char *isa, const struct encoding *enc)
{
    static const int rows[][2] = {{70, 0}, {40, 50}, {1, 0}, {32, 0}}, ks[] = {96, 256, 32};
    static const int tokens[] = {1, 33, 80, 2, 31, 32};
    const bool few = test_emulated();
    uint32_t seed = 1;
    for (int i = 0; i < (few ? 2 : 4); i++)
        for (int j = 0; j < (few ? 2 : 3); j++)
            for (int l = 0; l < (few ? 2 : 6); l++) {
                int k = ks[j];
                k -= enc->block == 1 && k > 32 ? 5 : 0; // a tail
                if (enc->minima && k == 256 && i == 0)
                    k = 1280; // more blocks than one tile of minima holds
                if (k % (int)enc->block == 0 &&
                    !one_shape(m, isa, enc, false, rows[i], k, tokens[l], seed++))
                    return;
            }
}

static void test_matmul_every_isa_encoding_and_order(void)
{
    for (int i = 0; i < ISAS; i++) {
        struct machine *m = open_isa(i, "sizes = [1, 2, 32, 50, 128];");
        if (!m) {
            test_note("not executed here: %s", isas[i]);
            continue;
        }
        for (size_t e = 0; e < encoding_registry_count; e++)
            all_shapes(m, isas[i], encoding_registry[e]);
        m->ops->close(m);
    }
}

static void test_kernels_of_every_isa_equal_the_generic_ones(void)
{
    for (int isa = TILE_GENERIC; isa < TILE_ISAS; isa++) {
        struct tile_kernels k;
        if (tile_select((enum tile_isa)isa, &k, NULL) == 0)
            check_tile_table(&k);
    }
}

// The same bits whichever instructions, block encodings all.
static void test_every_isa_gives_the_same_bits(void)
{
    for (size_t e = 0; e < encoding_registry_count; e++) {
        const struct encoding *enc = encoding_registry[e];
        float first[9 * 70] = {0};
        for (int i = 0; enc->unpack && !enc->minima && i < ISAS; i++) {
            struct machine *m = open_isa(i, "sizes = [32];");
            struct rig_mm r;
            if (!m)
                continue;
            rig_mm_open(&r, m, enc, (int[2]){70, 0}, false, 256, 9, 11);
            if (prepare(m->device[0], &r.task, 32, ORDER_WEIGHT_STATIONARY) == 0)
                rig_run(m->device[0], &r.task);
            for (int n = 0; n < 9; n++) {
                if (i == 0)
                    memcpy(first + n * 70, rig_row(&r.out, n), 70 * sizeof *first);
                CHECK(!memcmp(first + n * 70, rig_row(&r.out, n), 70 * sizeof *first));
            }
            rig_mm_close(&r);
            m->ops->close(m);
        }
    }
}

static void test_exact_keeps_activations(void)
{
    struct machine *m = open_tile("exact = true;");
    if (!m)
        return;
    one_shape(m, "exact", &encoding_q8_0, true, (int[2]){70, 0}, 256, 33, 5);
    one_shape(m, "exact", &encoding_q4_0, true, (int[2]){70, 0}, 256, 1, 6);
    one_shape(m, "exact", &encoding_q4_k, true, (int[2]){70, 0}, 256, 3, 7);
    one_shape(m, "exact", &encoding_q6_k, true, (int[2]){70, 0}, 256, 3, 8);
    m->ops->close(m);
}

static void test_slices_of_stacked_weights(void)
{
    static const int slice[][2] = {{0, 32}, {32, 64}, {64, 90}, {0, 90}, {32, 90}};
    struct machine *m = open_tile("");
    if (!m)
        return;
    for (int s = 0; s < 5; s++) {
        struct rig_mm r;
        rig_mm_open(&r, m, &encoding_q8_0, (int[2]){40, 50}, true, 64, 9, 4);
        r.task.m0 = slice[s][0], r.task.m1 = slice[s][1];
        r.task.n0 = 2, r.task.n1 = 8, r.task.out_n0 = 2;
        if (prepare(m->device[0], &r.task, 32, ORDER_WEIGHT_STREAMED) == 0)
            rig_run(m->device[0], &r.task); // loads what is missing by itself
        rig_mm_check(&r, "slice");
        rig_mm_close(&r);
    }
    m->ops->close(m);
}

static void test_refuses_what_an_npu_refuses(void)
{
    struct machine *m = open_tile("max_graphs = 2; sizes = [1, 32];");
    if (!m)
        return;
    struct device *d = m->device[0];
    struct rig_mm r;
    struct err e = {0};
    uint64_t seq;
    int h, again;
    rig_mm_open(&r, m, &encoding_f32, (int[2]){100, 0}, false, 64, 20, 4);
    CHECK_INT(d->ops->supports(d, &r.task, &e), ERR_UNSUPPORTED); // no static graph named
    r.task.n_pad = 20;
    CHECK_INT(d->ops->supports(d, &r.task, &e), ERR_UNSUPPORTED);
    CHECK_HAS(e.msg, "standard size");
    r.task.n_pad = 1;
    CHECK_INT(d->ops->supports(d, &r.task, &e), ERR_UNSUPPORTED);
    CHECK_HAS(e.msg, "do not fit");
    r.task.n_pad = 32;
    CHECK_OK(d->ops->supports(d, &r.task, &e), &e);
    CHECK_INT(d->ops->submit(d, &r.task, &seq, &e), ERR_USAGE);
    CHECK_HAS(e.msg, "no static graph was prepared");
    r.task.m1 = 50;
    CHECK_INT(d->ops->supports(d, &r.task, &e), ERR_UNSUPPORTED);
    CHECK_HAS(e.msg, "tiles");
    r.task.m0 = 64, r.task.m1 = 100; // the rest is allowed
    CHECK_OK(d->ops->supports(d, &r.task, &e), &e);

    struct static_graph g = {&r.op, 0, 100, 33, ORDER_WEIGHT_STREAMED};
    CHECK_INT(d->ops->prepare(d, &g, &h, &e), ERR_UNSUPPORTED);
    g.n = 32;
    CHECK_OK(d->ops->prepare(d, &g, &h, &e), &e);
    CHECK_OK(d->ops->prepare(d, &g, &again, &e), &e);
    CHECK_INT(h, again);
    r.task.graph = h; // prepared for [0:100], the task is [64:100]
    CHECK_INT(d->ops->submit(d, &r.task, &seq, &e), ERR_USAGE);
    g.n = 1;
    CHECK_OK(d->ops->prepare(d, &g, &again, &e), &e);
    CHECK(h != again);
    g.order = ORDER_WEIGHT_STATIONARY;
    CHECK_INT(d->ops->prepare(d, &g, &again, &e), ERR_MEMORY);
    struct device_stats s;
    d->ops->stats(d, &s);
    CHECK_INT(s.graphs, 2);
    CHECK(s.prepare_ps > 0);
    // Activations (F32), their scales and block sums, results, and one quantised row each.
    CHECK_INT(s.resident, (32 + 1) * (64 * 4 + 64 / 32 * 4 + 2 * TILE * 4) + 2 * act_q8_bytes(64));
    rig_mm_close(&r);
    m->ops->close(m);
}

static void test_memory_is_counted_and_limited(void)
{
    struct machine *m = open_tile("memory = \"20 kB\";");
    if (!m)
        return;
    struct device *d = m->device[0];
    struct rig_mm r;
    struct err e = {0};
    struct device_stats s;
    rig_mm_open(&r, m, &encoding_q8_0, (int[2]){128, 0}, false, 128, 1, 4);
    // A row of tiles is 4 tiles of 1152 bytes; overlapping slices share rows of tiles.
    CHECK_OK(d->ops->load(d, &r.w[0], 0, 33, &e), &e);
    CHECK_OK(d->ops->load(d, &r.w[0], 20, 64, &e), &e);
    d->ops->stats(d, &s);
    CHECK_INT(s.resident, 2 * 4 * 1152);
    CHECK_OK(d->ops->load(d, &r.w[0], 0, 128, &e), &e);
    struct static_graph g = {&r.op, 0, 128, 1024, ORDER_WEIGHT_STATIONARY};
    int h;
    CHECK_INT(d->ops->prepare(d, &g, &h, &e), ERR_MEMORY);
    CHECK_HAS(e.msg, "no room");
    struct rig_mm more;
    rig_mm_open(&more, m, &encoding_q8_0, (int[2]){32, 0}, false, 128, 1, 4);
    more.w[0].id = 5;
    CHECK_INT(d->ops->load(d, &more.w[0], 0, 32, &e), ERR_MEMORY);
    rig_mm_close(&more);
    rig_mm_close(&r);
    m->ops->close(m);
}

// Four bits per value and a scale per 32, in tiles of 640 bytes; minima are F32 tiles behind them.
static void test_four_bits_take_half_the_memory(void)
{
    struct machine *m = open_tile("");
    if (!m)
        return;
    const struct encoding *enc[] = {&encoding_q4_0, &encoding_q4_k, &encoding_q5_0};
    const int64_t want[] = {8 * 640, 8 * 640 + 4096, 8 * 1152};
    int64_t before = 0;
    for (int i = 0; i < 3; i++) {
        struct rig_mm r;
        struct err e = {0};
        struct device_stats s;
        rig_mm_open(&r, m, enc[i], (int[2]){32, 0}, false, 256, 1, 4);
        r.w[0].id = (uint32_t)i;
        CHECK_OK(m->device[0]->ops->load(m->device[0], &r.w[0], 0, 32, &e), &e);
        m->device[0]->ops->stats(m->device[0], &s);
        CHECK_INT(s.resident - before, want[i]);
        before = s.resident;
        rig_mm_close(&r);
    }
    m->ops->close(m);
}

// Another model at the same address, with the same tensor id.
static void test_changed_weights_are_packed_again(void)
{
    struct machine *m = open_tile("");
    if (!m)
        return;
    struct device *d = m->device[0];
    struct rig_mm r, s;
    struct err e = {0};
    rig_mm_open(&r, m, &encoding_q4_0, (int[2]){64, 0}, false, 64, 3, 4);
    rig_mm_open(&s, m, &encoding_q4_0, (int[2]){64, 0}, false, 64, 3, 5);
    CHECK_OK(d->ops->load(d, &r.w[0], 0, 64, &e), &e);
    memcpy((void *)(uintptr_t)r.w[0].data, s.w[0].data, (size_t)(64 * r.w[0].row_bytes));
    memcpy(r.in.host, s.in.host, (size_t)r.in.size);
    memcpy(r.want.host, s.want.host, (size_t)r.want.size);
    CHECK_OK(d->ops->load(d, &r.w[0], 0, 64, &e), &e);
    prepare(d, &r.task, 32, ORDER_WEIGHT_STREAMED);
    rig_run(d, &r.task);
    rig_mm_check(&r, "changed");
    rig_mm_close(&r);
    rig_mm_close(&s);
    m->ops->close(m);
}

static void wrong_i4(const struct tile_run *r)
{
    tile_generic.i4(r);
    r->acc[TILE * r->tokens - 1] += 1;
}

static void test_self_check_replaces_a_wrong_kernel(void)
{
    struct tile_kernels k = tile_generic;
    CHECK_INT(tile_self_check(&k), 0);
    k.i4 = wrong_i4;
    CHECK_INT(tile_self_check(&k), 1);
    CHECK(k.i4 == tile_generic.i4);
}

static void test_bad_sizes_are_refused(void)
{
    static const char *const bad[] = {"[]", "[32, 1]", "[0, 32]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[200];
        struct conf *c;
        struct machine *m;
        struct err e = {0};
        snprintf(text, sizeof text, "gpu = { enabled = false; }; npu = { sizes = %s; };", bad[i]);
        CHECK_OK(conf_open_text("test", text, &c, &e), &e);
        CHECK_INT(machine_host_open(c, &m, &e), ERR_CONFIG);
        CHECK_HAS(e.key, "sizes");
        conf_close(c);
    }
}

TESTS(engine_host_tile, T(test_matmul_every_isa_encoding_and_order),
      T(test_kernels_of_every_isa_equal_the_generic_ones), T(test_every_isa_gives_the_same_bits),
      T(test_exact_keeps_activations), T(test_slices_of_stacked_weights),
      T(test_refuses_what_an_npu_refuses), T(test_memory_is_counted_and_limited),
      T(test_four_bits_take_half_the_memory), T(test_changed_weights_are_packed_again),
      T(test_self_check_replaces_a_wrong_kernel), T(test_bad_sizes_are_refused))
