// SPDX-License-Identifier: GPL-3.0-or-later
// A roofline by kernel class, with waves.
//
// A kernel is cut into waves; `slots` of them are resident at a time. They start and end one by
// one, so the device fills and drains once per kernel instead of computing whole rounds: a kernel
// of w waves takes w / slots + tail rounds. A few waves (a narrow weight, few tokens) pay the tail
// in full, many hide it. That is the rise of throughput with N, and with M at N = 1.
//
// A matrix-vector wave computes one output per lane; a matrix-matrix wave a tile of outputs, and so
// many more flops per byte; quantised weights are decoded for it first, which takes time in
// proportion to M K whatever N is, and so is felt at small N. The library takes the faster of the
// two kernels, which decides at small N. Attention is two such products, causal, batched over the
// heads; a kernel that is no such library's has a rate of its own (`attention`). Operators that
// only move data are limited by the memory and the launch.
//
// Sources: arXiv 2501.14794 sec. 3.1 (linear, then flat) and Table 3.
// Invariant: more rows, more tokens or a slower class never make a task faster.
#include "models/soc/gpu.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include "engine/machine.h"

#define ROW(...) CONF_ROW(struct gpu_params, __VA_ARGS__)

const struct conf_row gpu_rows[] = {
    ROW(name, CONF_STRING, UNIT_NONE, 0, 0, "what the device is called"),
    ROW(peak, CONF_REAL, UNIT_THROUGHPUT, 1e6, 1e18, "FP16 peak of the data sheet, for reports"),
    ROW(wave, CONF_INT, UNIT_NONE, 1, 1024, "lanes of a wave: rows of a matrix-vector wave"),
    ROW(slots, CONF_INT, UNIT_NONE, 1, 1e6, "waves resident at a time"),
    ROW(gemm_outputs, CONF_INT, UNIT_NONE, 1, 1e6, "outputs of a matrix-matrix wave"),
    ROW(tail, CONF_REAL, UNIT_NONE, 0, 100, "rounds of waves lost to filling and draining"),
    ROW(gemv, CONF_REAL, UNIT_THROUGHPUT, 1e6, 1e18, "matrix-vector kernels, all slots busy"),
    ROW(gemm, CONF_REAL, UNIT_THROUGHPUT, 1e6, 1e18, "matrix-matrix kernels, all slots busy"),
    ROW(decode, CONF_REAL, UNIT_THROUGHPUT, 1e6, 1e18, "quantised weights decoded for gemm, per s"),
    ROW(vector, CONF_REAL, UNIT_THROUGHPUT, 1e6, 1e18, "element-wise kernels"),
    {.name = "attention",
     .type = CONF_REAL,
     .unit = UNIT_THROUGHPUT,
     .fallback = "0 GFLOP/s",
     .max = 1e18,
     .doc = "attention kernels of several tokens; 0: as fast as their two products",
     .offset = offsetof(struct gpu_params, attention)},
    {.name = "queue", .type = CONF_GROUP, .doc = "command queue, driver and idle state"},
    {.name = "clock", .type = CONF_GROUP, .doc = "operating points"},
    {.name = "game", .type = CONF_GROUP, .doc = "a game that uses the GPU too"},
};
const size_t gpu_n_rows = sizeof gpu_rows / sizeof gpu_rows[0];

// s for `outputs` results of 2 k flops each, `per_wave` of them in a wave.
static double waves_time(const struct gpu_params *p, double outputs, double k, int64_t per_wave,
                         double rate)
{
    double round = (double)(per_wave * p->slots);
    return (outputs + p->tail * round) * 2 * k / rate;
}

// s for n tokens of m outputs each, by the faster of the two kernels. Quantised weights are decoded
// by the matrix-vector kernel as it goes, for the matrix-matrix kernel once for all tokens.
static double product_time(const struct gpu_params *p, double m, double n, double k, bool quantised)
{
    double vectors = waves_time(p, m * n, k, p->wave, p->gemv);
    double matrix = waves_time(p, m * n, k, p->gemm_outputs, p->gemm);
    return fmin(vectors, matrix + (quantised ? m * k / p->decode : 0));
}

// Two products for all heads at once: scores (d_head long, one per token and cached row that it
// attends to), and their weighted sum of the cached values. The exponentials go to the vector rate.
static double attention_time(const struct gpu_params *p, const struct task *t)
{
    const struct model_shape *s = &t->model->shape;
    double n = t->n1 - t->n0, rows = (double)t->n_past + t->n0 + (n + 1) / 2; // on average
    double heads = s->n_head, d = s->d_head;
    double products = p->attention > 0 && n > 1 ? 4 * heads * d * rows * n / p->attention
                                                : product_time(p, heads * rows, n, d, false) +
                                                      product_time(p, heads * d, n, rows, false);
    return products + 5 * heads * rows * n / p->vector;
}

static void cost(const struct agent *a, const struct task *t, struct agent_cost *out)
{
    const struct gpu_params *p = &((const struct gpu *)a)->p;
    struct work w = task_work(t, a->base.caps.act_bytes);
    double m = t->m1 - t->m0, n = t->n1 - t->n0, k = t->op->k;
    *out = (struct agent_cost){.flops = w.flops};
    agent_traffic(&w, out);
    if (t->op->kind == OP_MATMUL)
        out->compute = product_time(p, m, n, k, t->model->shape.weight_bits < 16);
    else
        out->compute = t->op->kind == OP_ATTENTION ? attention_time(p, t) : w.flops / p->vector;
}

int gpu_open(const struct gpu_params *p, const struct queue_params *q, struct machine *m, int index,
             struct control *host, struct dram *dram, struct device **out, struct err *e)
{
    struct gpu *g = calloc(1, sizeof *g);
    if (!g)
        return err_set(e, ERR_MEMORY, "no memory for the GPU");
    g->p = *p;
    return agent_open(&g->agent, DEVICE_GPU, p->name, cost, q, m, index, host, dram, out, e);
}
