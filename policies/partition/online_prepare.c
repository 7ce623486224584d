// SPDX-License-Identifier: GPL-3.0-or-later
// online_prepare: matmuls on the NPU with graphs generated for exactly this prompt, at run time.
//
// Idea: no padding and no set of standard sizes; the price is paid in time to first token. The
// length is only rounded up to the array's side.
// Source: the Online-prepare baseline of HeteroInfer (arXiv 2501.14794) sec. 5.3.2.
// Loses: almost always; preparing graphs costs more than the prompt itself. Worth it when the same
// odd length comes back often.
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
    int tile = d->device[w->npu].tile > 1 ? d->device[w->npu].tile : 1;
    if (n == 1) {
        split_cover_pad(&d->device[w->npu], NULL, n, out);
        return util_npu_or_flexible("online_prepare", op, n, d, c, w, o->decode, out, ps, e);
    }
    *out = (struct split){.covered = n, .n_graphs = 1, .size = {(n + tile - 1) / tile * tile}};
    struct split_cost t; // odd sizes are between grid points of the table
    *ps = split_estimate(c, d, w, op, n, out, &t) ? split_total(c, w, op, n, out, &t) : -1;
    return 0;
}

static int plan(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e)
{
    const struct options *o = options;
    if (util_split_plan("online_prepare", g, d, c, o->partner, o->order, o, choose, out, e) < 0)
        return e->code;
    out->prepare_online = g->n_tokens > 1;
    return 0;
}

const struct policy_ops policy_online_prepare = {
    .name = "online_prepare",
    .doc = "matmuls on NPU graphs generated at run time for this length",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .plan = plan,
};
