// SPDX-License-Identifier: GPL-3.0-or-later
// Threads over panels of rows: each core takes `panel` rows at a time, so the task is as long as
// the core with the most panels. `cores` counts equivalents of one big core; a mix of big and
// middle cores that share work dynamically behaves like that. Matrix-vector kernels decode the
// weights as they go and reuse nothing; matrix-matrix kernels decode a panel once for all tokens.
// The faster of the two is taken.
//
// The control plane is another core (models/soc/control.c): computing here does not delay it.
#include "models/soc/cpu.h"

#include <math.h>
#include <stdlib.h>
#include "engine/machine.h"

#define ROW(...) CONF_ROW(struct cpu_params, __VA_ARGS__)

const struct conf_row cpu_rows[] = {
    ROW(name, CONF_STRING, UNIT_NONE, 0, 0, "what the device is called"),
    ROW(cores, CONF_INT, UNIT_NONE, 1, 1024, "computing cores, in equivalents of a big one"),
    ROW(panel, CONF_INT, UNIT_NONE, 1, 4096, "weight rows that a core takes at a time"),
    ROW(gemv, CONF_REAL, UNIT_THROUGHPUT, 1e6, 1e18, "matrix-vector kernels, per core"),
    ROW(gemm, CONF_REAL, UNIT_THROUGHPUT, 1e6, 1e18, "matrix-matrix kernels, per core"),
    ROW(attention, CONF_REAL, UNIT_THROUGHPUT, 1e6, 1e18, "attention, per core"),
    ROW(vector, CONF_REAL, UNIT_THROUGHPUT, 1e6, 1e18, "element-wise operators, per core"),
    {.name = "queue", .type = CONF_GROUP, .doc = "thread pool hand-over and idle state"},
    {.name = "clock", .type = CONF_GROUP, .doc = "operating points"},
};
const size_t cpu_n_rows = sizeof cpu_rows / sizeof cpu_rows[0];

static void cost(const struct agent *a, const struct task *t, struct agent_cost *out)
{
    const struct cpu_params *p = &((const struct cpu *)a)->p;
    struct work w = task_work(t, a->base.caps.act_bytes);
    double cores = (double)p->cores;
    *out = (struct agent_cost){.flops = w.flops};
    out->bytes = w.weight_bytes + w.read_bytes + w.write_bytes;
    if (t->op->kind == OP_MATMUL) {
        double n = t->n1 - t->n0, k = t->op->k;
        double panels = ceil((double)(t->m1 - t->m0) / (double)p->panel);
        double rows = ceil(panels / cores) * (double)p->panel; // of the core with the most
        out->compute = rows * n * 2 * k / fmax(p->gemv, n > 1 ? p->gemm : 0);
    } else {
        out->compute = w.flops / cores / (t->op->kind == OP_ATTENTION ? p->attention : p->vector);
    }
}

int cpu_open(const struct cpu_params *p, const struct queue_params *q, struct machine *m, int index,
             struct control *host, struct dram *dram, struct device **out, struct err *e)
{
    struct cpu *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, ERR_MEMORY, "no memory for the CPU");
    c->p = *p;
    return agent_open(&c->agent, DEVICE_CPU, p->name, cost, q, m, index, host, dram, out, e);
}
