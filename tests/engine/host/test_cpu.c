// SPDX-License-Identifier: GPL-3.0-or-later
// The CPU device: every instruction set that this machine executes, every encoding, odd shapes,
// against the reference; thread counts give equal bits; the queue keeps its promises.
#include "tests/engine/host/rig.h"

#include <stdatomic.h>
#include <time.h>

#include "engine/host/kernels.h"
#include "engine/host/queue.h"
#include "engine/host/team.h"

static const char *const isas[] = {"ref", "generic", "avx2", "avx512", "neon"};
enum { ISAS = sizeof isas / sizeof isas[0] };

// Opens a CPU-only machine; NULL when the machine does not execute the instruction set.
static struct machine *open_isa(const char *isa, int threads, const char *more)
{
    char text[300];
    struct cpu_kernels k;
    enum isa id = !strcmp(isa, "avx2")     ? ISA_AVX2
                  : !strcmp(isa, "avx512") ? ISA_AVX512
                  : !strcmp(isa, "neon")   ? ISA_NEON
                                           : ISA_GENERIC;
    if (kernels_select(id, &k, NULL) < 0)
        return NULL;
    snprintf(text, sizeof text,
             "cpu = { isa = \"%s\"; threads = %d; %s }; gpu = { enabled = false; }; npu = { "
             "enabled = false; };",
             isa, threads, more);
    return rig_open(text);
}

// All combinations of sizes; under an emulator those of the first ones of each kind.
static void matmul_shapes(struct machine *m, const char *isa, const struct encoding *enc,
                          bool exact)
{
    static const int rows[] = {5, 33, 1, 130}, tokens[] = {1, 3, 33, 2, 31, 32};
    static const int ks[] = {96, 768, 32, 1088};
    const bool few = test_emulated();
    uint32_t seed = 1;
    for (int i = 0; i < (few ? 2 : 4); i++)
        for (int j = 0; j < (few ? 2 : 4); j++)
            for (int l = 0; l < (few ? 3 : 6); l++) {
                struct rig_mm r;
                int k = ks[j];
                if (enc->block == 1 && k > 32)
                    k -= 3; // a tail
                if (k % (int)enc->block)
                    continue;
                rig_mm_open(&r, m, enc, (int[2]){rows[i], 0}, false, k, tokens[l], seed++);
                r.quantised &= !exact && strcmp(isa, "ref");
                rig_run(m->device[0], &r.task);
                bool ok = rig_mm_check(&r, isa);
                rig_mm_close(&r);
                if (!ok)
                    return;
            }
}

static void test_matmul_every_isa_and_encoding(void)
{
    for (int i = 0; i < ISAS; i++) {
        struct machine *m = open_isa(isas[i], 2, "");
        if (!m) {
            test_note("not executed here: %s", isas[i]);
            continue;
        }
        for (size_t e = 0; e < encoding_registry_count; e++)
            matmul_shapes(m, isas[i], encoding_registry[e], false);
        m->ops->close(m);
    }
}

static void test_exact_keeps_activations(void)
{
    struct machine *m = open_isa("generic", 2, "exact = true;");
    if (!m)
        return;
    matmul_shapes(m, "generic", &encoding_q8_0, true);
    matmul_shapes(m, "generic", &encoding_q4_0, true);
    m->ops->close(m);
}

// An encoding that no kernel knows: numbers stored as F32, negated.
static void negated_decode(const void *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = -((const float *)src)[i];
}

static void negated_encode(const float *src, void *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ((float *)dst)[i] = -src[i];
}

static void test_unknown_encoding_is_decoded(void)
{
    static const struct encoding negated = {.name = "NEG",
                                            .doc = "",
                                            .ggml_type = 999,
                                            .block = 1,
                                            .bytes = 4,
                                            .decode = negated_decode,
                                            .encode = negated_encode};
    struct machine *m = open_isa("generic", 3, "");
    if (!m)
        return;
    matmul_shapes(m, "generic", &negated, false);
    m->ops->close(m);
}

static void test_slices_parts_and_biases(void)
{
    static const int slice[][2] = {{0, 7}, {3, 50}, {39, 41}, {40, 90}, {17, 90}};
    struct machine *m = open_isa("generic", 2, "");
    if (!m)
        return;
    for (size_t e = 0; e < encoding_registry_count; e++)
        for (size_t i = 0; i < sizeof slice / sizeof slice[0]; i++) {
            struct rig_mm r;
            int k = (int)encoding_registry[e]->block > 64 ? (int)encoding_registry[e]->block : 64;
            rig_mm_open(&r, m, encoding_registry[e], (int[2]){40, 50}, true, k, 5, 77);
            r.task.m0 = slice[i][0], r.task.m1 = slice[i][1];
            r.task.n0 = 1, r.task.n1 = 4, r.task.out_n0 = 1;
            rig_run(m->device[0], &r.task);
            rig_mm_check(&r, "slice");
            rig_mm_close(&r);
        }
    m->ops->close(m);
}

// One decoder block's other operators over a small model.
struct block {
    struct machine *m;
    struct model model;
    struct graph graph;
    struct layer_weights layer;
    struct buffer b[BUF_COUNT], ref[BUF_COUNT];
};

static void block_open(struct block *k, struct machine *m, enum rope_pairs pairs, int d_head,
                       int n_head, int n_head_kv, int n, int n_past)
{
    uint32_t seed = 9;
    memset(k, 0, sizeof *k);
    k->m = m;
    int d = d_head * n_head;
    k->model.shape =
        (struct model_shape){.name = "block",
                             .n_layer = 1,
                             .d_model = d,
                             .n_head = n_head,
                             .n_head_kv = n_head_kv,
                             .d_head = d_head,
                             .d_ff = 3 * d + 5,
                             .n_vocab = 50,
                             .n_ctx = 64,
                             .norm_eps = 1e-5,
                             .weight_bits = 32,
                             .rope = {.pairs = pairs, .dim = d_head, .theta = 10000, .factor = 1}};
    k->model.has_data = true;
    k->model.layers = &k->layer;
    k->layer.attn_norm = rig_tensor(&encoding_f32, 1, d, 1, &seed);
    k->model.embed = rig_tensor(&encoding_f16, 50, d, 2, &seed);
    graph_build(&k->model, n, n_past, &k->graph);
    for (int i = 0; i < BUF_COUNT; i++) {
        int64_t rows = i == BUF_KCACHE || i == BUF_VCACHE ? 64 : n;
        int64_t width = graph_buffer_width(&k->model.shape, (enum buf_id)i);
        uint32_t same = seed;
        k->b[i] = rig_buffer(m, rows, width, &seed);
        k->ref[i] = rig_buffer(m, rows, width, &same);
    }
    for (int i = 0; i < n; i++)
        *(int32_t *)(void *)rig_row(&k->b[BUF_TOKENS], i) =
            *(int32_t *)(void *)rig_row(&k->ref[BUF_TOKENS], i) = (i * 13 + 49) % 50;
}

static void block_close(struct block *k)
{
    for (int i = 0; i < BUF_COUNT; i++) {
        k->m->ops->free(k->m, &k->b[i]);
        k->m->ops->free(k->m, &k->ref[i]);
    }
    rig_tensor_free(&k->layer.attn_norm);
    rig_tensor_free(&k->model.embed);
}

static struct task block_task(struct block *k, const struct op *op, struct buffer *b)
{
    struct task t;
    graph_task(&k->graph, op->index, 0, &t);
    t.in = &b[op->in];
    t.in2 = op->in2 == BUF_NONE ? NULL : &b[op->in2];
    t.out = &b[op->out];
    t.kcache = &b[BUF_KCACHE];
    t.vcache = &b[BUF_VCACHE];
    return t;
}

static void block_compare(struct block *k, const char *what)
{
    for (int i = BUF_X; i < BUF_COUNT; i++)
        for (int64_t j = 0; j < k->b[i].size / 4; j++) {
            double got = ((float *)k->b[i].host)[j], want = ((float *)k->ref[i].host)[j];
            if (!(fabs(got - want) <= 1e-5 * (1 + fabs(want)))) {
                test_note("%s: %s[%lld] = %.9g, expected %.9g", what, buf_name((enum buf_id)i),
                          (long long)j, got, want);
                CHECK(false);
                return;
            }
        }
}

static void run_block(struct machine *m, const char *what, int shape)
{
    static const int d_head[] = {16, 20, 64, 72}, heads[] = {4, 3, 2, 6}, kv[] = {2, 3, 1, 2};
    static const int n[] = {1, 3, 33, 20}, past[] = {0, 30, 5, 40};
    static const char *const names[] = {"embed", "attn_norm", "rope", "attn", "swiglu", "add_ffn"};
    struct block k;
    block_open(&k, m, shape % 2 ? ROPE_HALVES : ROPE_INTERLEAVED, d_head[shape], heads[shape],
               kv[shape], n[shape], past[shape]);
    float *scratch = malloc(ref_scratch(&k.model, 64) * sizeof *scratch);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct op *op = graph_find(&k.graph, names[i]);
        struct task t = block_task(&k, op, k.b), ref = block_task(&k, op, k.ref);
        rig_run(m->device[0], &t);
        ref_run(&ref, scratch);
        char text[80];
        snprintf(text, sizeof text, "%s, %s, shape %d", what, names[i], shape);
        block_compare(&k, text);
    }
    free(scratch);
    block_close(&k);
}

static void test_other_operators(void)
{
    for (int i = 0; i < ISAS; i++) {
        struct machine *m = open_isa(isas[i], 2, "");
        for (int shape = 0; m && shape < 4; shape++)
            run_block(m, isas[i], shape);
        if (m)
            m->ops->close(m);
    }
}

static void test_threads_give_equal_bits(void)
{
    struct rig_mm r[4];
    struct block k[4];
    struct machine *m[4];
    for (int i = 0; i < 4; i++) {
        m[i] = open_isa(cpu_features()->avx2 ? "avx2" : "generic", i + 1, "");
        if (!m[i])
            return;
        rig_mm_open(&r[i], m[i], &encoding_q4_0, (int[2]){200, 77}, true, 512, 7, 3);
        rig_run(m[i]->device[0], &r[i].task);
        CHECK(!memcmp(r[i].out.host, r[0].out.host, (size_t)r[0].out.size));
        block_open(&k[i], m[i], ROPE_INTERLEAVED, 64, 4, 2, 20, 10);
        struct task t = block_task(&k[i], graph_find(&k[i].graph, "rope"), k[i].b);
        rig_run(m[i]->device[0], &t);
        t = block_task(&k[i], graph_find(&k[i].graph, "attn"), k[i].b);
        rig_run(m[i]->device[0], &t);
        CHECK(!memcmp(k[i].b[BUF_A].host, k[0].b[BUF_A].host, (size_t)k[0].b[BUF_A].size));
    }
    for (int i = 0; i < 4; i++) {
        rig_mm_close(&r[i]);
        block_close(&k[i]);
        m[i]->ops->close(m[i]);
    }
}

// However tokens are grouped, each gets the same bits.
static void check_groups(struct machine *m, const char *isa, const struct encoding *enc)
{
    enum { TOKENS = 8, ROWS = 77 };
    struct rig_mm r;
    int k = enc->block == 1 ? 1085 : enc->block > 32 ? 1024 : 1088;
    rig_mm_open(&r, m, enc, (int[2]){ROWS, 0}, false, k, TOKENS, 11);
    char *all = malloc((size_t)r.out.size);
    rig_run(m->device[0], &r.task);
    memcpy(all, r.out.host, (size_t)r.out.size);
    for (int group = 1; group <= 4; group++) {
        memset(r.out.host, 0, (size_t)r.out.size);
        for (int n = 0; n < TOKENS; n += group) {
            r.task.n0 = r.task.out_n0 = n;
            r.task.n1 = n + group < TOKENS ? n + group : TOKENS;
            rig_run(m->device[0], &r.task);
        }
        if (!CHECK(!memcmp(all, r.out.host, (size_t)r.out.size)))
            test_note("%s %s: groups of %d tokens", isa, enc->name, group);
    }
    free(all);
    rig_mm_close(&r);
}

static void test_groups_of_tokens_give_equal_bits(void)
{
    for (int i = 1; i < ISAS; i++) {
        struct machine *m = open_isa(isas[i], 1, "");
        for (size_t e = 0; m && e < encoding_registry_count; e++)
            check_groups(m, isas[i], encoding_registry[e]);
        if (m)
            m->ops->close(m);
    }
}

struct counted {
    _Atomic int times[300];
    _Atomic int bad_worker;
    int threads;
};

static void count(void *ctx, int chunk, int worker)
{
    struct counted *c = ctx;
    atomic_fetch_add(&c->times[chunk], 1);
    if (worker < 0 || worker >= c->threads)
        atomic_fetch_add(&c->bad_worker, 1);
    if (chunk == 0) // whose run this begins falls behind: the others finish it
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

static void test_team_does_every_chunk_once(void)
{
    static const int chunks[] = {0, 1, 2, 3, 7, 64, 300};
    struct conf_int_list pin = {0};
    for (int threads = 1; threads <= 5; threads++) {
        struct team *t;
        CHECK_INT(team_create(threads, threads % 2 ? 0 : 2000, &pin, &t, NULL), 0);
        for (int round = 0; round < 20; round++)
            for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
                struct counted c = {.threads = threads};
                team_run(t, count, &c, chunks[i]);
                int wrong = 0;
                for (int j = 0; j < 300; j++)
                    wrong += c.times[j] != (j < chunks[i]);
                CHECK_INT(wrong, 0);
                CHECK_INT(c.bad_worker, 0);
            }
        team_destroy(t);
    }
}

static void test_queue_order_flag_and_waits(void)
{
    struct machine *m = open_isa("generic", 2, "spin = 50;");
    if (!m)
        return;
    struct device *d = m->device[0];
    struct rig_mm r;
    struct err e = {0};
    rig_mm_open(&r, m, &encoding_f32, (int[2]){64, 0}, false, 64, 4, 5);
    CHECK_INT(m->ops->flag(m, 0), 0);
    uint64_t seq = 0;
    // Three times the ring: submission must wait for room and lose nothing.
    for (uint64_t i = 1; i <= 3 * QUEUE_RING; i++) {
        CHECK_OK(d->ops->submit(d, &r.task, &seq, &e), &e);
        CHECK_INT(seq, i);
        CHECK(m->ops->flag(m, 0) <= i);
    }
    uint64_t half = seq / 2;
    CHECK_OK(d->ops->wait(d, half, WAIT_EVENT, &e), &e);
    CHECK(m->ops->flag(m, 0) >= half);
    CHECK_INT(d->ops->poll(d, half, &e), 1);
    CHECK_OK(d->ops->wait(d, seq, WAIT_FINISH, &e), &e);
    CHECK_INT(m->ops->flag(m, 0), seq);
    CHECK_INT(d->ops->poll(d, seq + 1, &e), 0);
    CHECK_INT(d->ops->wait(d, seq + 1, WAIT_EVENT, &e), ERR_USAGE);
    rig_mm_check(&r, "queue");
    struct device_stats s;
    d->ops->stats(d, &s);
    CHECK_INT(s.tasks, 3 * QUEUE_RING);
    CHECK_NEAR(s.flops, 3.0 * QUEUE_RING * 2 * 64 * 64 * 4, 1);
    CHECK(s.busy_ps > 0);
    m->ops->reset(m);
    d->ops->stats(d, &s);
    CHECK_INT(s.tasks, 0);
    CHECK_INT(m->ops->flag(m, 0), seq); // tickets go on
    // Polling the flag alone, as a scheme without a driver call does.
    for (int i = 0; i < 200; i++) {
        memset(r.out.host, 0, (size_t)r.out.size);
        CHECK_OK(d->ops->submit(d, &r.task, &seq, &e), &e);
        while (m->ops->flag(m, 0) < seq)
            m->ops->pause(m);
        CHECK(rig_row(&r.out, 3)[63] != 0);
    }
    rig_mm_close(&r);
    m->ops->close(m);
}

static void wrong_f32(const struct mm *a)
{
    kernels_generic.f32(a);
    a->out[a->out_pitch] += 0.1f;
}

static void test_self_check_replaces_a_wrong_kernel(void)
{
    struct cpu_kernels k = kernels_generic;
    CHECK_INT(kernels_self_check(&k), 0);
    k.f32 = wrong_f32;
    CHECK_INT(kernels_self_check(&k), 1);
    CHECK(k.f32 == kernels_generic.f32);
}

static void test_refusals(void)
{
    struct machine *m = open_isa("generic", 1, "");
    if (!m)
        return;
    struct device *d = m->device[0];
    struct rig_mm r;
    struct err e = {0};
    rig_mm_open(&r, m, &encoding_f32, (int[2]){64, 0}, false, 64, 4, 5);
    struct task t = r.task;
    t.n_pad = 32;
    CHECK_INT(d->ops->supports(d, &t, &e), ERR_UNSUPPORTED);
    t = r.task;
    t.m1 = 65;
    CHECK_INT(d->ops->supports(d, &t, &e), ERR_UNSUPPORTED);
    struct static_graph g = {.op = &r.op, .m1 = 64, .n = 32};
    int handle;
    CHECK_INT(d->ops->prepare(d, &g, &handle, &e), ERR_UNSUPPORTED);
    CHECK_INT(d->ops->load(d, &r.w[0], 0, 65, &e), ERR_USAGE);
    rig_mm_close(&r);
    m->ops->close(m);

    struct conf *c;
    struct machine *none;
    CHECK_OK(
        conf_open_text("test", "cpu = { isa = \"neon\"; }; gpu = { enabled = false; };", &c, &e),
        &e);
#ifndef __aarch64__
    CHECK_INT(machine_host_open(c, &none, &e), ERR_UNSUPPORTED);
    CHECK_HAS(e.msg, "neon");
#else
    (void)none;
#endif
    conf_close(c);
}

TESTS(engine_host_cpu, T(test_matmul_every_isa_and_encoding), T(test_exact_keeps_activations),
      T(test_unknown_encoding_is_decoded), T(test_slices_parts_and_biases), T(test_other_operators),
      T(test_threads_give_equal_bits), T(test_groups_of_tokens_give_equal_bits),
      T(test_team_does_every_chunk_once), T(test_queue_order_flag_and_waits),
      T(test_self_check_replaces_a_wrong_kernel), T(test_refusals))
