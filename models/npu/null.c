// SPDX-License-Identifier: GPL-3.0-or-later
// The NPU that takes no time: arrays of infinite speed, every operand moved exactly once. It tests
// the harness around it (what remains is queue, wake-up and DRAM) and bounds what any better NPU
// could bring.
#include "models/npu/npu.h"

#include <math.h>

struct params {
    int64_t side;
};

static const struct conf_row rows[] = {
    {.name = "side",
     .type = CONF_INT,
     .fallback = "32",
     .min = 1,
     .max = 1024,
     .doc = "granule of weight rows",
     .offset = offsetof(struct params, side)},
};

static int check(const void *params, struct err *e)
{
    (void)params, (void)e;
    return 0;
}

static int tile(const void *params)
{
    return (int)((const struct params *)params)->side;
}

static void peak(const void *params, struct npu_peak *out)
{
    (void)params;
    *out = (struct npu_peak){INFINITY, INFINITY};
}

static void matmul(const void *params, const struct npu_matmul *s, struct npu_cost *out)
{
    (void)params;
    double acts = ((double)s->m + s->k) * s->n * s->act_bytes;
    *out = (struct npu_cost){.bytes = s->weight_bytes + acts,
                             .written = (double)s->m * s->n * s->act_bytes,
                             .blocks = 1,
                             .panels = 1};
}

static double vector(const void *params, enum op_kind kind, double flops)
{
    (void)params, (void)kind, (void)flops;
    return 0;
}

const struct npu_model_ops npu_null = {
    .name = "null",
    .doc = "takes no time beyond moving every operand once",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .params_size = sizeof(struct params),
    .check = check,
    .tile = tile,
    .peak = peak,
    .matmul = matmul,
    .vector = vector,
};
