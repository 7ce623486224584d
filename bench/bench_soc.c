// SPDX-License-Identifier: GPL-3.0-or-later
// Speed of the flow-level machine: decode tokens of Llama-3-8B (32 layers, all on the GPU, then
// matmuls shared with the NPU), pushed through the device interface without an
// executor. Goal: 0.3 ms of CPU time per token. Prints the digest of the event trace beside it.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "bench/util.h"
#include "engine/graph.h"
#include "models/soc/soc.h"

enum { TOKENS = 300, PAST = 256 };

// The tasks of one token, ready to be submitted. With `split`, three quarters of the rows of every
// matmul but `down` are the GPU's and the rest the NPU's.
struct entry {
    struct task task;
    int device;
    bool join; // both devices before this one
};

static int build(struct machine *m, bool split, struct entry *out)
{
    static struct graph graphs[2]; // stay: tasks point at their operators
    struct graph *g = &graphs[split];
    struct err e = {0};
    int n = 0;
    graph_build(bench_llama3_8b(), 1, PAST, g);
    for (int l = 0; l < bench_llama3_8b()->shape.n_layer; l++)
        for (int o = g->block_begin; o < g->block_end; o++) {
            struct task t;
            graph_task(g, o, l, &t);
            bool both = split && t.op->kind == OP_MATMUL && t.op->k == 4096;
            out[n] = (struct entry){t, 1, false};
            if (split && o > g->block_begin && t.op->kind != OP_MATMUL)
                out[n].join = g->op[o - 1].kind == OP_MATMUL;
            if (both) {
                struct device *npu = m->device[2];
                out[n++].task.m1 = t.op->m / 4 * 3 / 32 * 32;
                t.m0 = t.op->m / 4 * 3 / 32 * 32;
                t.n_pad = 1;
                struct static_graph s = {t.op, t.m0, t.m1, 1, ORDER_WEIGHT_STREAMED};
                bench_must(npu->ops->prepare(npu, &s, &t.graph, &e), &e);
                out[n] = (struct entry){t, 2, false};
            }
            n++;
        }
    return n;
}

static void until(struct machine *m, int device, uint64_t seq)
{
    while (m->ops->flag(m, device) < seq)
        m->ops->pause(m);
}

static void bench(struct machine *m, const char *name, bool split, struct entry *entry)
{
    struct err e = {0};
    m->ops->reset(m);
    int n = build(m, split, entry);
    double begin = bench_cpu_time();
    for (int i = 0; i < TOKENS; i++) {
        uint64_t seq[MACHINE_MAX_DEVICES] = {0};
        for (int j = 0; j < n; j++) {
            struct device *d = m->device[entry[j].device];
            if (entry[j].join)
                for (int k = 1; k <= 2; k++)
                    until(m, k, seq[k]);
            bench_must(d->ops->submit(d, &entry[j].task, &seq[entry[j].device], &e), &e);
        }
        for (int k = 0; k < m->n_devices; k++)
            until(m, k, seq[k]);
    }
    double took = bench_cpu_time() - begin;
    printf("%-10s %4d tasks/token  %6.1f us/token  %5.1f ns/task  %5.2f M events/s  "
           "simulated %.2f token/s  digest %016" PRIx64 "\n",
           name, n, took / TOKENS * 1e6, took / TOKENS / n * 1e9,
           (double)machine_soc_events(m) / took / 1e6, TOKENS / ((double)m->ops->now(m) / 1e12),
           m->ops->digest(m));
}

int main(int argc, char **argv)
{
    struct conf *c;
    struct machine *m;
    struct err e = {0};
    struct entry *entry = calloc(32 * 32, sizeof *entry);
    bench_must(conf_open(argc > 1 ? argv[1] : "configs/soc/sd8gen3.cfg", &c, &e), &e);
    bench_must(machine_soc_open(c, false, &m, &e), &e);
    conf_close(c);
    bench(m, "gpu", false, entry);
    if (m->n_devices > 2)
        bench(m, "gpu+npu", true, entry);
    m->ops->close(m);
    free(entry);
    return 0;
}
