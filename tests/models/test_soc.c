// SPDX-License-Identifier: GPL-3.0-or-later
// The assembled machine: every shipped SoC opens, configurations are strict, runs are repeatable,
// time behaves, values are the reference's.
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include "engine/profile.h"
#include "tests/models/soc_util.h"

static const char *const socs[] = {"configs/soc/sd8gen3.cfg", "configs/soc/sd8elite.cfg",
                                   "configs/soc/dimensity9300.cfg", "configs/soc/a18.cfg",
                                   "configs/soc/orin.cfg"};
enum { SOCS = sizeof socs / sizeof socs[0] };

// One layer with joins between devices: matmuls where the NPU is if there is one, the rest on the
// GPU, every third operator by another way of waiting.
static uint64_t run_layer(struct machine *m, int n, int layer)
{
    int gpu = soc_index(m, DEVICE_GPU), npu = soc_index(m, DEVICE_NPU), last = -1;
    struct graph g;
    struct err e = {0};
    uint64_t seq = 0;
    graph_build(soc_llama3_8b(), n, 0, &g);
    for (int o = g.block_begin; o < g.block_end; o++) {
        struct task t;
        graph_task(&g, o, layer, &t);
        int d = t.op->kind == OP_MATMUL && npu >= 0 ? npu : gpu;
        if (last >= 0 && d != last) {
            if (o % 3 == 0)
                CHECK_OK(m->device[last]->ops->wait(m->device[last], seq, WAIT_FINISH, &e), &e);
            else if (o % 3 == 1)
                soc_until(m, last, seq);
            while (o % 3 == 2 && m->device[last]->ops->poll(m->device[last], seq, &e) == 0)
                m->ops->sleep(m, 1);
        }
        seq = soc_submit(m, d, &t);
        last = d;
    }
    soc_until(m, last, seq);
    return m->ops->digest(m);
}

static void test_all_open_and_run(void)
{
    uint64_t seen[SOCS];
    for (int i = 0; i < SOCS; i++) {
        struct machine *m = soc_open(socs[i], NULL, false);
        if (!m)
            continue;
        CHECK(m->repeatable && m->n_devices >= 2 && m->memory > 0);
        CHECK_HAS(m->name, "soc:");
        for (int d = 0; d < m->n_devices; d++)
            CHECK(machine_find(m, m->device[d]->caps.name) == m->device[d]);
        seen[i] = run_layer(m, 128, 0);
        test_note("%-18s layer of 128 tokens: %.2f ms", m->name,
                  (double)m->ops->now(m) / PS_PER_MS);
        for (int j = 0; j < i; j++)
            CHECK(seen[i] != seen[j]);
        soc_close(m);
    }
    struct machine *m = soc_open("configs/soc/orin.cfg", NULL, false);
    CHECK_INT(soc_index(m, DEVICE_NPU), -1);
    soc_close(m);
}

static void test_same_run_same_digest(void)
{
    struct machine *a = soc_open(SOC_DEFAULT, NULL, false), *b = soc_open(SOC_DEFAULT, NULL, false);
    uint64_t first = run_layer(a, 64, 0);
    int64_t took = a->ops->now(a);
    CHECK(first == run_layer(b, 64, 0));
    uint64_t longer = run_layer(b, 64, 1);
    CHECK(longer != first);
    a->ops->reset(a);
    CHECK_INT(a->ops->now(a), 0);
    CHECK(a->ops->digest(a) != first);
    CHECK(run_layer(a, 64, 0) == first);
    CHECK_INT(a->ops->now(a), took);
    soc_close(a);
    soc_close(b);
}

static size_t heap(void)
{
    struct mallinfo2 i = mallinfo2();
    return i.uordblks + i.hblkhd;
}

static void test_thousand_runs_do_not_grow(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    size_t before = 0;
    for (int i = 0; i < 1000; i++) {
        if (i == 10)
            before = heap();
        m->ops->reset(m);
        run_layer(m, 32, 0);
    }
    test_note("%zu bytes", heap());
    CHECK(heap() <= before);
    soc_close(m);
}

static void test_reset_with_work_under_way(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    uint64_t clean = run_layer(m, 32, 0);
    m->ops->reset(m);
    for (int d = 0; d < m->n_devices; d++)
        for (int i = 0; i < 5; i++)
            soc_submit(m, d, soc_matmul(4096, 4096, 1, 0));
    for (int i = 0; i < 3; i++)
        m->ops->pause(m);
    m->ops->reset(m);
    CHECK(run_layer(m, 32, 0) == clean);
    soc_close(m);
}

static int open_text(const char *from, const char *to, struct err *e)
{
    static char text[32768], changed[32768];
    struct conf *c;
    struct machine *m = NULL;
    FILE *f = fopen(SOC_DEFAULT, "r");
    if (!CHECK(f != NULL))
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    char *at = strstr(text, from);
    if (!CHECK(at != NULL))
        return 0;
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    *e = (struct err){0};
    if (conf_open_text("test.cfg", changed, &c, e) < 0)
        return e->code;
    int rc = machine_soc_open(c, false, &m, e);
    conf_close(c);
    if (rc == 0)
        soc_close(m);
    return rc;
}

static void test_strict(void)
{
    static const struct {
        const char *from, *to, *says, *key;
    } bad[] = {
        {"tail = 0.4314", "tial = 0.4314", "tail", "tial"},
        {"tail = 0.4314", "tail = -1.0", "", "tail"},
        {"submit = \"5 us\"", "submit = \"5\"", "unit", "submit"},
        {"submit = \"5 us\"", "submit = \"5 GB/s\"", "", "submit"},
        {"channels = 4;", "", "", "channels"},
        {"channels = 4;", "channels = 4; channels = 4;", "", "channels"},
        {"model = \"systolic\"", "model = \"sistolic\"", "did you mean 'systolic'", "model"},
        {"[1, 32, 64,", "[1, 64, 32,", "not ascending", "sizes"},
        {"buffer = \"1 MiB\"", "buffer = \"4 MiB\"", "stationary operand", "buffer"},
        {"gpu = {", "gpo = {", "gpu", "gpo"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err e;
        char text[640];
        int rc = open_text(bad[i].from, bad[i].to, &e);
        CHECK(rc < 0);
        err_text(&e, text, sizeof text);
        CHECK_HAS(text, bad[i].says);
        CHECK_HAS(text, bad[i].key);
        CHECK_HAS(text, "test.cfg");
    }
    struct err e;
    CHECK_INT(open_text("tail = 0.4314", "tail = 0.5", &e), 0);
}

// What is printed reads back as the same configuration, for every SoC.
static void test_dump_reads_back(void)
{
    for (int i = 0; i < SOCS; i++) {
        struct conf *c, *again;
        struct err e = {0};
        uint64_t d0 = 0, d1 = 1;
        char *text = NULL;
        size_t size;
        if (!CHECK_OK(conf_open(socs[i], &c, &e), &e))
            continue;
        FILE *f = open_memstream(&text, &size);
        CHECK_OK(machine_soc_dump(f, c, &e), &e);
        fclose(f);
        CHECK_HAS(text, "guess");
        CHECK_OK(machine_soc_config_digest(c, &d0, &e), &e);
        if (CHECK_OK(conf_open_text("dump", text, &again, &e), &e)) {
            CHECK_OK(machine_soc_config_digest(again, &d1, &e), &e);
            CHECK(d0 == d1);
            CHECK_OK(conf_override(again, "gpu.tail", "0.7", &e), &e);
            CHECK_OK(machine_soc_config_digest(again, &d1, &e), &e);
            CHECK(d0 != d1);
            conf_close(again);
        }
        conf_close(c);
        free(text);
    }
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    machine_soc_help(f);
    fclose(f);
    CHECK_HAS(text, "granularity");
    CHECK_HAS(text, "stall_integer");
    free(text);
}

// Every number says where it comes from.
static void test_sources(void)
{
    for (int i = 0; i < SOCS; i++) {
        char line[512];
        FILE *f = fopen(socs[i], "r");
        if (!CHECK(f != NULL))
            continue;
        for (int n = 1; fgets(line, sizeof line, f); n++) {
            bool number =
                strchr(line, '=') && strpbrk(line, "0123456789") && strncmp(line, "//", 2);
            bool text = strstr(line, "name =") != NULL;
            if (number && !text && !CHECK(strstr(line, "// ") != NULL))
                test_note("%s:%d: %s", socs[i], n, line);
        }
        fclose(f);
    }
}

static void test_sleeping(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    const int64_t us = PS_PER_US, in[] = {1, 80 * us, 80 * us + 1, 400 * us};
    const int64_t out[] = {90 * us, 90 * us, 170 * us, 410 * us};
    for (int i = 0; i < 4; i++) {
        int64_t begin = m->ops->now(m);
        m->ops->sleep(m, in[i]);
        CHECK_INT(m->ops->now(m) - begin, out[i]);
    }
    int64_t begin = m->ops->now(m);
    m->ops->sleep(m, 0);
    CHECK_INT(m->ops->now(m), begin);
    m->ops->pause(m); // nothing is going on: one turn
    CHECK_INT(m->ops->now(m) - begin, us);
    soc_close(m);
}

// A pause may stand for many turns, but never sees the flag later than turn by turn polling would.
static void test_pauses_are_turns(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, "control.pause=7 us", false);
    int gpu = soc_index(m, DEVICE_GPU);
    uint64_t seq = soc_submit(m, gpu, soc_matmul(4096, 4096, 1, 0));
    int64_t begin = m->ops->now(m), before = begin;
    while (m->ops->flag(m, gpu) < seq) {
        before = m->ops->now(m);
        m->ops->pause(m);
    }
    int64_t polled = m->ops->now(m);
    CHECK_INT((polled - begin) % (7 * PS_PER_US), 0);
    CHECK(before < polled);
    struct device_stats s;
    m->device[gpu]->ops->stats(m->device[gpu], &s);
    int64_t done = begin + s.busy_ps; // it began when submit returned
    CHECK(polled >= done && polled - done < 7 * PS_PER_US);
    soc_close(m);
}

static void test_buffers(void)
{
    struct err e = {0};
    for (int values = 0; values < 2; values++) {
        struct machine *m = soc_open(SOC_DEFAULT, NULL, values);
        struct buffer a, b;
        CHECK_OK(m->ops->alloc(m, 3, 40, &a, &e), &e);
        CHECK_OK(m->ops->alloc(m, 1, 4, &b, &e), &e);
        CHECK_INT(a.size, 120);
        CHECK((a.host != NULL) == values && a.id != b.id);
        CHECK_INT(m->device[0]->caps.values, values);
        m->ops->free(m, &a);
        m->ops->free(m, &b);
        CHECK(m->ops->alloc(m, INT64_MAX / 2, 4, &a, &e) < 0);
        soc_close(m);
    }
}

// A matmul in two shards, one on the GPU and one on the NPU, against the products by hand.
static void test_values(void)
{
    enum { M = 64, K = 32, N = 2 };
    struct machine *m = soc_open(SOC_DEFAULT, NULL, true);
    struct err e = {0};
    struct buffer in, out;
    float weight[M * K];
    for (int i = 0; i < M * K; i++)
        weight[i] = (float)(i % 7 - 3);
    struct tensor w = {
        .enc = &encoding_f32, .rows = M, .cols = K, .row_bytes = 4 * K, .data = weight};
    CHECK_OK(m->ops->alloc(m, N, 4 * K, &in, &e), &e);
    CHECK_OK(m->ops->alloc(m, N, 4 * M, &out, &e), &e);
    for (int i = 0; i < N * K; i++)
        ((float *)in.host)[i] = (float)(i % 5 - 2);
    const int device[2] = {soc_index(m, DEVICE_GPU), soc_index(m, DEVICE_NPU)};
    uint64_t seq[2];
    for (int i = 0; i < 2; i++) {
        struct task *t = soc_matmul(M, K, N, 0);
        t->m0 = i * M / 2, t->m1 = (i + 1) * M / 2;
        t->w[0] = &w, t->n_parts = 1, t->in = &in, t->out = &out;
        seq[i] = soc_submit(m, device[i], t);
        t->in = NULL;                            // the device has its own copy of the task
        CHECK(i || ((float *)out.host)[0] == 0); // not yet complete
    }
    for (int i = 0; i < 2; i++)
        soc_until(m, device[i], seq[i]);
    for (int n = 0; n < N; n++)
        for (int i = 0; i < M; i++) {
            double sum = 0;
            for (int k = 0; k < K; k++)
                sum += weight[i * K + k] * (float)((n * K + k) % 5 - 2);
            CHECK_NEAR(((float *)out.host)[n * M + i], sum, 1e-4);
        }
    m->ops->free(m, &in);
    m->ops->free(m, &out);
    soc_close(m);
}

// The NPU's wake-up is in the isolated profile of a decode operator, not in a running decode.
static void test_isolated_is_not_streamed(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    int gpu = soc_index(m, DEVICE_GPU), npu = soc_index(m, DEVICE_NPU);
    struct task *t = soc_matmul(4096, 4096, 1, 0);
    double alone = soc_isolated(m, npu, t), streamed = soc_streamed(m, npu, t, 50);
    test_note("npu: isolated %.0f us, streamed %.0f us", alone, streamed);
    CHECK(alone - streamed > 100);
    alone = soc_isolated(m, gpu, t), streamed = soc_streamed(m, gpu, t, 50);
    test_note("gpu: isolated %.0f us, streamed %.0f us", alone, streamed);
    CHECK(alone > 2 * streamed);
    soc_close(m);
}

// The profiler prepares graphs between its measurements, and meanwhile devices fall asleep: their
// wake-up must not end up in the streamed times.
static void test_profile_is_awake(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    struct cost_table *t = cost_create();
    struct profile_request r = {
        .n = {1}, .n_n = 1, .kv = {16}, .n_kv = 1, .row_parts = 8, .repeats = 1, .max_n = 1};
    struct err e = {0};
    CHECK_OK(profile_run(m, soc_llama3_8b(), &r, t, &e), &e);
    for (int d = 0; d < m->n_devices; d++)
        for (int rows = 1024; rows <= 4096; rows += 512) {
            double less = cost_matmul(t, d, 0, 4096, rows - 512, 1);
            double more = cost_matmul(t, d, 0, 4096, rows, 1);
            CHECK(less > 0 && more > less);
        }
    int npu = soc_index(m, DEVICE_NPU);
    double whole = soc_streamed(m, npu, soc_matmul(4096, 4096, 1, 0), 50);
    CHECK_NEAR(cost_matmul(t, npu, 0, 4096, 4096, 1) / PS_PER_US, whole, 0.01 * whole);
    // Isolated, all of it is there.
    struct cost_table *alone = cost_create();
    r.isolated = true;
    CHECK_OK(profile_run(m, soc_llama3_8b(), &r, alone, &e), &e);
    double isolated = soc_isolated(m, npu, soc_matmul(4096, 4096, 1, 0));
    CHECK_NEAR(cost_matmul(alone, npu, 0, 4096, 4096, 1) / PS_PER_US, isolated, 0.01 * isolated);
    cost_destroy(alone);
    cost_destroy(t);
    soc_close(m);
}

// Sharing an operator costs least where the GPU's queue never runs dry, most with the driver.
static void test_profile_of_sharing(void)
{
    static const char *const scheme[] = {"queue_order", "sleep_poll", "driver"};
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    struct err e = {0};
    double last = -1;
    for (int i = 0; i < 3; i++) {
        struct arena a;
        struct cost_table *t = cost_create();
        const struct sync_ops *s;
        const void *options;
        arena_init(&a);
        CHECK_OK(sync_parse(scheme[i], &a, &s, &options, &e), &e);
        CHECK_OK(profile_sync(m, soc_llama3_8b(), s, options, 1, t, &e), &e);
        double gpu = cost_overheads(t)->split[soc_index(m, DEVICE_GPU)];
        double npu = cost_overheads(t)->split[soc_index(m, DEVICE_NPU)];
        test_note("%s: %.1f us if the GPU takes longer, %.1f us if the NPU does", scheme[i],
                  gpu / PS_PER_US, npu / PS_PER_US);
        CHECK(gpu > last && npu > 0);
        last = gpu;
        cost_destroy(t);
        arena_fini(&a);
    }
    CHECK(last > 400 * (double)PS_PER_US);
    soc_close(m);
}

// Each device's own slow-down: an NPU of twice the arrays wants more than what the GPU, which keeps
// more in flight, leaves of the memory.
static void test_profile_of_company(void)
{
    for (int twice = 0; twice < 2; twice++) {
        struct machine *m = soc_open(SOC_DEFAULT, twice ? "npu.arch.arrays=16" : NULL, false);
        struct cost_table *t = cost_create();
        struct arena a;
        struct err e = {0};
        const struct sync_ops *s;
        const void *options;
        arena_init(&a);
        CHECK_OK(sync_parse("queue_order", &a, &s, &options, &e), &e);
        CHECK_OK(profile_sync(m, soc_llama3_8b(), s, options, 1, t, &e), &e);
        double gpu = cost_overheads(t)->together[soc_index(m, DEVICE_GPU)];
        double npu = cost_overheads(t)->together[soc_index(m, DEVICE_NPU)];
        test_note("%d arrays: gpu x %.3f, npu x %.3f", twice ? 16 : 8, gpu, npu);
        CHECK(gpu >= 1 && gpu < 1.05);
        CHECK(twice ? npu > 1.3 : npu < 1.15);
        cost_destroy(t);
        arena_fini(&a);
        soc_close(m);
    }
}

TESTS(models_soc, T(test_all_open_and_run), T(test_same_run_same_digest),
      T(test_thousand_runs_do_not_grow), T(test_reset_with_work_under_way), T(test_strict),
      T(test_dump_reads_back), T(test_sources), T(test_sleeping), T(test_pauses_are_turns),
      T(test_buffers), T(test_values), T(test_profile_is_awake), T(test_profile_of_sharing),
      T(test_profile_of_company), T(test_isolated_is_not_streamed))
