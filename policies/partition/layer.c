// SPDX-License-Identifier: GPL-3.0-or-later
// layer: matrix multiplications on the NPU, everything else on the GPU.
//
// Idea: each operator goes to the processor that was built for it. Prompts are padded to the next
// standard graph size. A single token's matmuls are no work for a systolic array: by default they
// go where the cost table says they are faster.
// Source: hetero-layer of HeteroInfer (arXiv 2501.14794) sec. 4.1.
// Loses: the GPU idles during matmuls and the NPU during the rest, every operator boundary is a
// hand-over, and shapes that the NPU dislikes (long rows, odd lengths) stay on it.
#include "policies/partition/util.h"

struct options {
    int partner, decode, order;
};

static const struct conf_row rows[] = {
    PARTNER_ROW(struct options),
    ORDER_ROW(struct options),
    DECODE_ROW(struct options),
};

static int choose(const struct op *op, int n, const struct machine_desc *d,
                  const struct cost_table *c, const struct partners *w, const void *options,
                  struct split *out, double *ps, struct err *e)
{
    const struct options *o = options;
    split_cover_pad(&d->device[w->npu], NULL, n, out);
    return util_npu_or_flexible("layer", op, n, d, c, w, o->decode, out, ps, e);
}

static int plan(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e)
{
    const struct options *o = options;
    return util_split_plan("layer", g, d, c, o->partner, o->order, o, choose, out, e);
}

const struct policy_ops policy_layer = {
    .name = "layer",
    .doc = "matmuls on the NPU (padded), the rest on the GPU",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .plan = plan,
};
