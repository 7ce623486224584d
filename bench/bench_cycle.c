// SPDX-License-Identifier: GPL-3.0-or-later
// Speed of the cycle-level machine: one decoder layer of Llama-3-8B with a prompt of 256 (nine
// tenths of the rows of every matmul on the NPU, the rest and all other operators on the GPU), and
// one layer of decode. Goal: 2 s of CPU time for the first. Prints the digest of the trace beside.
#include <inttypes.h>
#include <stdio.h>
#include "bench/util.h"
#include "engine/graph.h"
#include "models/soc/soc.h"

static void until(struct machine *m, int device, uint64_t seq)
{
    while (m->ops->flag(m, device) < seq)
        m->ops->pause(m);
}

// The NPU gets `percent` of the rows of every matmul.
static void layer(struct machine *m, int n, int past, int percent)
{
    enum { GPU = 1, NPU = 2 };
    uint64_t seq[MACHINE_MAX_DEVICES] = {0};
    struct graph g;
    struct err e = {0};
    struct device *npu = m->device[NPU], *gpu = m->device[GPU];
    graph_build(bench_llama3_8b(), n, past, &g);
    for (int o = g.block_begin; o < g.block_end; o++) {
        struct task t, part;
        graph_task(&g, o, 0, &t);
        for (int d = GPU; d <= NPU; d++)
            until(m, d, seq[d]);
        if (t.op->kind == OP_MATMUL) {
            part = t;
            part.m1 = t.m0 = t.op->m * percent / 100 / 32 * 32;
            part.n_pad = n;
            struct static_graph s = {t.op, part.m0, part.m1, n, ORDER_WEIGHT_STREAMED};
            bench_must(npu->ops->prepare(npu, &s, &part.graph, &e), &e);
            bench_must(npu->ops->submit(npu, &part, &seq[NPU], &e), &e);
        }
        bench_must(gpu->ops->submit(gpu, &t, &seq[GPU], &e), &e);
    }
    for (int d = GPU; d <= NPU; d++)
        until(m, d, seq[d]);
}

static void bench(struct machine *m, const char *name, int n, int past, int percent)
{
    m->ops->reset(m);
    double begin = bench_cpu_time();
    layer(m, n, past, percent);
    double took = bench_cpu_time() - begin;
    printf("%-8s %6.3f s/layer  %5.2f M events  %5.2f M events/s  simulated %.2f ms  digest "
           "%016" PRIx64 "\n",
           name, took, (double)machine_soc_events(m) / 1e6,
           (double)machine_soc_events(m) / took / 1e6, (double)m->ops->now(m) / 1e9,
           m->ops->digest(m));
}

int main(int argc, char **argv)
{
    struct conf *c;
    struct machine *m;
    struct err e = {0};
    bench_must(conf_open(argc > 1 ? argv[1] : "configs/soc/sd8gen3.cfg", &c, &e), &e);
    bench_must(conf_override(c, "detail", "cycle", &e), &e);
    bench_must(machine_soc_open(c, false, &m, &e), &e);
    conf_close(c);
    bench(m, "prefill", 256, 0, 90);
    bench(m, "decode", 1, 256, 25);
    m->ops->close(m);
    return 0;
}
