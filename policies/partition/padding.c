// SPDX-License-Identifier: GPL-3.0-or-later
// padding: as `layer`, on one graph of the next standard size.
//
// Idea: any prompt fits a graph that was prepared ahead, at the price of computing the padding.
// Source: the Padding baseline of HeteroInfer (arXiv 2501.14794) sec. 5.3.2 (sizes 128 to 1024).
// Loses: right above a standard size: 525 tokens cost as much as 1024.
#include "policies/partition/util.h"

struct options {
    int partner, decode, order;
    struct conf_int_list sizes;
};

static const struct conf_row rows[] = {
    PARTNER_ROW(struct options),
    ORDER_ROW(struct options),
    DECODE_ROW(struct options),
    SIZES_ROW(struct options, "[128, 256, 512, 1024]"),
};

static int choose(const struct op *op, int n, const struct machine_desc *d,
                  const struct cost_table *c, const struct partners *w, const void *options,
                  struct split *out, double *ps, struct err *e)
{
    const struct options *o = options;
    split_cover_pad(&d->device[w->npu], &o->sizes, n, out);
    return util_npu_or_flexible("padding", op, n, d, c, w, o->decode, out, ps, e);
}

static int plan(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e)
{
    const struct options *o = options;
    return util_split_plan("padding", g, d, c, o->partner, o->order, o, choose, out, e);
}

const struct policy_ops policy_padding = {
    .name = "padding",
    .doc = "matmuls on the NPU, padded to one standard size; the rest on the GPU",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .plan = plan,
};
