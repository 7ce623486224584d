// SPDX-License-Identifier: GPL-3.0-or-later
// The two levels of detail against each other: single operators over a grid of shapes and whole
// steps, by time; and by bytes, which must be equal.
#include <math.h>
#include <stdlib.h>
#include "models/soc/dram.h"
#include "tests/models/soc_util.h"

enum { MOST = 2048 };

// No clock ramp, no limit of graphs.
#define AWAKE "gpu.queue.ramp=0 us;npu.max_graphs=4096"

static struct machine *level(const char *detail, const char *overrides)
{
    char text[512];
    snprintf(text, sizeof text, "detail=%s%s%s", detail, overrides ? ";" : "",
             overrides ? overrides : "");
    return soc_open(SOC_DEFAULT, text, false);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Median and largest of |cycle / flow - 1|.
static void agreement(const char *what, double *error, int n, double *median, double *worst)
{
    qsort(error, (size_t)n, sizeof *error, by_size);
    *median = n % 2 ? error[n / 2] : (error[n / 2 - 1] + error[n / 2]) / 2;
    *worst = error[n - 1];
    test_note("%s: %d runs, median difference %.1f %%, largest %.1f %%", what, n, 100 * *median,
              100 * *worst);
}

// Time of a task on a device that is awake, and the bytes that it moved. Short ones are repeated:
// some meet a refresh of the DRAM, most do not.
static double busy(struct machine *m, int d, struct task *t, double *bytes)
{
    struct device_stats before, after;
    int n = 0;
    m->device[d]->ops->stats(m->device[d], &before);
    do {
        soc_until(m, d, soc_submit(m, d, t));
        m->device[d]->ops->stats(m->device[d], &after);
    } while (++n < 40 && after.busy_ps - before.busy_ps < 100 * PS_PER_US);
    *bytes = (after.bytes - before.bytes) / n;
    return (double)(after.busy_ps - before.busy_ps) / PS_PER_US / n;
}

struct grid {
    struct machine *flow, *cycle;
    double error[MOST];
    int n;
};

static void compare(struct grid *g, int d, struct task *t)
{
    double f_bytes, c_bytes;
    double f = busy(g->flow, d, t, &f_bytes), c = busy(g->cycle, d, t, &c_bytes);
    double error = fabs(c / f - 1);
    CHECK(f_bytes == c_bytes);
    if (error > 0.1)
        test_note("%s %s [%d, %d] x %d %s: flow %.1f us, cycle %.1f us, %+.1f %%",
                  g->flow->device[d]->caps.name, t->op->name, t->m1, t->op->k, t->n1,
                  order_name(t->order), f, c, 100 * (c / f - 1));
    g->error[g->n++] = error;
}

static void open_grid(struct grid *g, const char *overrides)
{
    g->flow = level("flow", overrides);
    g->cycle = level("cycle", overrides);
    g->n = 0;
    for (int d = 0; d < g->flow->n_devices; d++) { // awake from now on
        double bytes;
        busy(g->flow, d, soc_matmul(32, 32, 1, 0), &bytes);
        busy(g->cycle, d, soc_matmul(32, 32, 1, 0), &bytes);
    }
}

static void close_grid(struct grid *g)
{
    soc_close(g->flow);
    soc_close(g->cycle);
}

static void test_operators(void)
{
    static const int k[] = {512, 2048, 4096, 14336}, m[] = {512, 3072, 28672};
    static const int n[] = {1, 32, 100, 256, 1024};
    struct grid g;
    double median, worst;
    open_grid(&g, AWAKE);
    for (int d = 0; d < g.flow->n_devices; d++) {
        bool npu = g.flow->device[d]->caps.kind == DEVICE_NPU;
        for (size_t i = 0; i < 4 * 3 * 5; i++) {
            int rows = m[i / 5 % 3], cols = k[i / 15], tokens = n[i % 5];
            double work = (double)rows * cols * tokens;
            if (work > 4096.0 * 4096 * 1024 || (tokens > 1 && cols * rows > 1 << 28))
                continue; // takes long; wide and high ones are there with fewer tokens
            for (int o = 0; o <= npu; o++)
                compare(&g, d, soc_matmul(rows, cols, tokens, (enum operand_order)o));
        }
    }
    agreement("matmuls", g.error, g.n, &median, &worst);
    CHECK(g.n >= 200);
    CHECK(median <= 0.05);
    CHECK(worst <= 0.10);
    close_grid(&g);
}

// Everything in a layer that is not a matmul.
static void test_other_operators(void)
{
    struct grid g;
    double median, worst;
    open_grid(&g, AWAKE);
    for (int d = 0; d < g.flow->n_devices; d++)
        for (int n = 1; n <= 512; n *= 8) {
            struct graph graph;
            graph_build(soc_llama3_8b(), n, 256, &graph);
            for (int o = graph.block_begin; o < graph.block_end; o++) {
                struct task t;
                graph_task(&graph, o, 0, &t);
                if (t.op->kind != OP_MATMUL)
                    compare(&g, d, &t);
            }
        }
    agreement("other operators", g.error, g.n, &median, &worst);
    CHECK(median <= 0.05);
    CHECK(worst <= 0.10);
    close_grid(&g);
}

// One step of some layers as a plan would have it: matmuls shared by GPU and NPU at the same time,
// the rest on the GPU; devices wait for each other before every join. us.
static double step(struct machine *m, int n, int past, int layers, int percent)
{
    int gpu = soc_index(m, DEVICE_GPU), npu = soc_index(m, DEVICE_NPU);
    uint64_t seq[MACHINE_MAX_DEVICES] = {0};
    struct graph g;
    int64_t begin = 0;
    graph_build(soc_llama3_8b(), n, past, &g);
    for (int l = -1; l < layers; l++) { // the first one prepares the graphs and wakes
        if (l == 0)
            begin = m->ops->now(m);
        for (int o = g.block_begin; o < g.block_end; o++) {
            struct task t, part;
            graph_task(&g, o, l < 0 ? 0 : l, &t);
            for (int d = 0; d < m->n_devices; d++)
                soc_until(m, d, seq[d]);
            int cut = t.op->m * percent / 100 / 32 * 32;
            bool matmul = t.op->kind == OP_MATMUL;
            if (matmul && cut > 0) {
                part = t;
                part.m1 = cut;
                seq[npu] = soc_submit(m, npu, &part);
                t.m0 = cut;
            }
            if (!matmul || cut < t.op->m)
                seq[gpu] = soc_submit(m, gpu, &t);
        }
    }
    for (int d = 0; d < m->n_devices; d++)
        soc_until(m, d, seq[d]);
    return (double)(m->ops->now(m) - begin) / PS_PER_US;
}

static void test_steps(void)
{
    static const struct {
        int n, past, layers, percent;
    } run[] = {{128, 0, 1, 90}, {64, 0, 1, 80},  {32, 256, 1, 60},
               {1, 256, 2, 0},  {1, 256, 2, 25}, {1, 1024, 2, 40}};
    enum { RUNS = sizeof run / sizeof run[0] };
    double error[RUNS], median, worst;
    for (int i = 0; i < RUNS; i++) {
        struct machine *f = level("flow", NULL), *c = level("cycle", NULL);
        double flow = step(f, run[i].n, run[i].past, run[i].layers, run[i].percent);
        double cycle = step(c, run[i].n, run[i].past, run[i].layers, run[i].percent);
        error[i] = fabs(cycle / flow - 1);
        test_note("%d tokens after %d, %d %% of the rows on the NPU: flow %.0f us, cycle %.0f us, "
                  "%+.1f %%",
                  run[i].n, run[i].past, run[i].percent, flow, cycle, 100 * (cycle / flow - 1));
        CHECK(machine_soc_dram_bytes(f) == machine_soc_dram_bytes(c));
        soc_close(f);
        soc_close(c);
    }
    agreement("steps", error, RUNS, &median, &worst);
    CHECK(median <= 0.05);
    CHECK(worst <= 0.10);
}

// M K^2 N comes out of the events: at N = 256, 12.2 times for 3.5 times the columns, 7 times for 7
// times the rows; any dimension below a tile costs the same as one.
static void test_loop_nest(void)
{
    double bytes;
    struct machine *m = level("cycle", AWAKE);
    int npu = soc_index(m, DEVICE_NPU);
    double one = busy(m, npu, soc_matmul(4096, 4096, 256, 0), &bytes);
    double wide = busy(m, npu, soc_matmul(4096, 14336, 256, 0), &bytes);
    double high = busy(m, npu, soc_matmul(28672, 4096, 256, 0), &bytes);
    double half = busy(m, npu, soc_matmul(4096, 4096, 128, 0), &bytes);
    test_note("K x 3.5: %.2f, M x 7: %.2f, N x 2: %.2f", wide / one, high / one, one / half);
    CHECK_NEAR(wide / one, 12.25, 0.05 * 12.25);
    CHECK_NEAR(high / one, 7, 0.35);
    CHECK_NEAR(one / half, 2, 0.1);
    double padded = busy(m, npu, soc_matmul(4096, 4096, 20, 0), &bytes);
    CHECK_NEAR(padded / busy(m, npu, soc_matmul(4096, 4096, 32, 0), &bytes), 1, 0.005);
    soc_close(m);
}

// All devices at once: what they count is what the memory counts, to the byte.
static void test_conservation(void)
{
    struct machine *m = level("cycle", NULL);
    uint64_t seq[MACHINE_MAX_DEVICES] = {0};
    struct device_stats s;
    for (int i = 0; i < 12; i++)
        for (int d = 0; d < m->n_devices; d++)
            seq[d] = soc_submit(m, d, soc_matmul(32 * (i + 1), 480, 1 + 40 * (i % 3), i % 2));
    for (int d = 0; d < m->n_devices; d++)
        soc_until(m, d, seq[d]);
    double bytes = 0;
    for (int d = 0; d < m->n_devices; d++) {
        m->device[d]->ops->stats(m->device[d], &s);
        bytes += s.bytes;
        CHECK_INT((long long)s.tasks, 12);
    }
    CHECK(bytes == machine_soc_dram_bytes(m));
    soc_close(m);
}

static uint64_t shared_work(struct machine *m, int pauses)
{
    for (int i = 0; i < 3; i++)
        for (int d = 0; d < m->n_devices; d++)
            soc_submit(m, d, soc_matmul(1024, 1024, 16, i % 2));
    for (int i = 0; i < pauses; i++)
        m->ops->pause(m);
    return m->ops->digest(m);
}

static void test_repeatable(void)
{
    struct machine *a = level("cycle", NULL), *b = level("cycle", NULL);
    uint64_t first = shared_work(a, 2000);
    CHECK(shared_work(b, 2000) == first);
    for (int i = 0; i < 300; i += 23) { // a reset at any moment leaves nothing behind
        a->ops->reset(a);
        shared_work(a, i);
    }
    a->ops->reset(a);
    CHECK(shared_work(a, 2000) == first);
    soc_close(a);
    soc_close(b);
}

// --- the memory by itself

struct stream {
    struct dram_transfer t; // first
    bool done;
    int64_t when;
};

static void on_stream(struct dram_transfer *t)
{
    ((struct stream *)t)->done = true;
    ((struct stream *)t)->when = sim_now(t->port->dram->sim);
}

static void start(struct dram_port *port, struct stream *s, uint64_t address, int64_t bytes,
                  bool write, double rate)
{
    *s = (struct stream){.t = {.address = address,
                               .bytes = bytes,
                               .written = write ? bytes : 0,
                               .rate = rate,
                               .cached = true,
                               .done = on_stream}};
    dram_start(port, &s->t);
}

static struct dram_params sd8gen3_dram(void)
{
    struct dram_params p = {0};
    struct conf *c;
    struct arena a;
    struct err e = {0};
    arena_init(&a);
    CHECK_OK(conf_open(SOC_DEFAULT, &c, &e), &e);
    const struct conf_node *n = conf_child(conf_root(c), "dram");
    CHECK_OK(conf_read(n, "dram", dram_rows, dram_n_rows, &p, &a, &e), &e);
    CHECK_OK(
        conf_read(conf_child(n, "timing"), "timing", lpddr_rows, lpddr_n_rows, &p.timing, &a, &e),
        &e);
    conf_close(c);
    arena_fini(&a);
    return p;
}

// A port by Little's law, a transfer's own rate, and all bytes in the controller's books.
static void test_transfers(void)
{
    struct sim *s = sim_create();
    struct dram_params p = sd8gen3_dram();
    struct dram d;
    struct dram_port port[2];
    struct stream a, b;
    struct lpddr_stats stats;
    struct err e = {0};
    enum { BYTES = 4000001 };
    CHECK_OK(dram_open(&d, &p, DRAM_CYCLE, s, &e), &e);
    CHECK_OK(dram_port_open(&d, &port[0], 0, 104, INFINITY, &e), &e);
    CHECK_OK(dram_port_open(&d, &port[1], 1, 104, INFINITY, &e), &e);
    start(&port[0], &a, 12345, BYTES, false, INFINITY);
    while (!a.done && sim_step(s))
        ;
    double little = BYTES / ((double)a.when / PS_PER_S);
    test_note("a port of 104 lines: %.1f GB/s, by Little's law %.1f", little / 1e9,
              dram_port_rate(&port[0]) / 1e9);
    CHECK_NEAR(little, dram_port_rate(&port[0]), 0.03 * little);
    int64_t begin = sim_now(s);
    start(&port[0], &a, 1 << 30, BYTES, true, 10e9);
    start(&port[1], &b, 1 << 29, BYTES, false, INFINITY);
    while (sim_step(s))
        ;
    CHECK(a.done && b.done);
    double rate = BYTES / ((double)(a.when - begin) / PS_PER_S);
    CHECK_NEAR(rate, 10e9, 0.01 * 10e9);
    lpddr_get_stats(d.controller, &stats);
    CHECK(stats.bytes[0] == 2.0 * BYTES && stats.bytes[1] == BYTES);
    CHECK(dram_moved(&d) == 3.0 * BYTES);
    CHECK_INT(d.posted, 0);
    CHECK_INT(port[0].in_flight, 0);
    dram_port_close(&port[0]);
    dram_port_close(&port[1]);
    dram_close(&d);
    sim_destroy(s);
}

// What one device has just written, another one reads from the system-level cache if it is large
// enough; both levels count the same bytes.
static void test_system_level_cache(void)
{
    static const struct {
        const char *slc;
        bool hits;
    } size[] = {{"dram.slc=0 B", false}, {"dram.slc=1 MiB", false}, {"dram.slc=16 MiB", true}};
    double took[2][3];
    for (int i = 0; i < 3; i++)
        for (int l = 0; l < 2; l++) {
            struct machine *m = level(l ? "cycle" : "flow", size[i].slc);
            int gpu = soc_index(m, DEVICE_GPU), npu = soc_index(m, DEVICE_NPU);
            struct graph g;
            struct task t;
            struct device_stats s, n;
            graph_build(soc_llama3_8b(), 128, 0, &g);
            graph_task(&g, graph_find(&g, "swiglu")->index, 0, &t); // writes 3.7 MB
            soc_until(m, gpu, soc_submit(m, gpu, &t));
            double before = machine_soc_cached(m);
            graph_task(&g, graph_find(&g, "down")->index, 0, &t); // reads them
            soc_until(m, npu, soc_submit(m, npu, &t));
            CHECK(before == 0);
            CHECK_NEAR(machine_soc_cached(m), size[i].hits ? 128 * 14336 * 2 : 0, 0);
            m->device[gpu]->ops->stats(m->device[gpu], &s);
            m->device[npu]->ops->stats(m->device[npu], &n);
            CHECK(s.bytes + n.bytes == machine_soc_dram_bytes(m));
            took[l][i] = (double)n.busy_ps;
            soc_close(m);
        }
    for (int l = 0; l < 2; l++)
        CHECK(took[l][2] <= took[l][0]);
}

TESTS(models_cycle, T(test_operators), T(test_other_operators), T(test_steps), T(test_loop_nest),
      T(test_conservation), T(test_repeatable), T(test_transfers), T(test_system_level_cache))
