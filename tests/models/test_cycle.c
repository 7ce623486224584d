// SPDX-License-Identifier: GPL-3.0-or-later
// The two levels of detail against each other: single operators over a grid of shapes and whole
// steps, by time; and by bytes, which must be equal.
#include <math.h>
#include <stdlib.h>
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

TESTS(models_cycle, T(test_operators), T(test_other_operators), T(test_steps))
