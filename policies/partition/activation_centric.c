// SPDX-License-Identifier: GPL-3.0-or-later
// activation_centric: matmuls are cut by tokens: the NPU takes standard sizes, the GPU the dynamic
// rest, at the same time.
//
// Idea: static graphs need standard lengths, prompts have any; the GPU does not care. No padding,
// no graph preparation at run time. `several` allows 512 + 256 + 32; otherwise one size (repeated
// while it fits) is used.
// Source: sequence-length cutting of HeteroInfer (arXiv 2501.14794) sec. 4.2.
// Loses: when the rest is long (the GPU then dominates), and in decode, where there is nothing to
// cut: a single token goes wholly to the GPU.
#include "policies/partition/util.h"

struct options {
    int partner, order;
    bool several;
    struct conf_int_list sizes;
};

static const struct conf_row rows[] = {
    PARTNER_ROW(struct options),
    ORDER_ROW(struct options),
    {.name = "several",
     .type = CONF_BOOL,
     .fallback = "true",
     .doc = "use several standard sizes in one operator",
     .offset = offsetof(struct options, several)},
    SIZES_ROW(struct options, "[]"),
};

static int choose(const struct op *op, int n, const struct machine_desc *d,
                  const struct cost_table *c, const struct partners *w, const void *options,
                  struct split *out, double *ps, struct err *e)
{
    const struct options *o = options;
    struct split_cost t;
    (void)e;
    if (n == 1)
        *out = split_flexible(op);
    else
        split_cover_fit(&d->device[w->npu], &o->sizes, n, o->several, out);
    if (out->covered == 0)
        *out = split_flexible(op);
    *ps = split_estimate(c, d, w, op, n, out, &t) ? split_total(c, w, op, n, out, &t) : -1;
    return 0;
}

static int plan(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e)
{
    const struct options *o = options;
    return util_split_plan("activation_centric", g, d, c, o->partner, o->order, o, choose, out, e);
}

const struct policy_ops policy_activation_centric = {
    .name = "activation_centric",
    .doc = "matmuls cut by tokens: standard sizes on the NPU, the rest on the GPU",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .plan = plan,
};
