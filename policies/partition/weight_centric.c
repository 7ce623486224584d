// SPDX-License-Identifier: GPL-3.0-or-later
// weight_centric: every matmul is cut by rows of its weight between GPU and NPU, which work at the
// same time on all tokens.
//
// Idea: both processors read different halves of the weights, so in decode their bandwidths add up,
// and in prefill the NPU is relieved of shapes that it dislikes. The NPU's tokens are padded to a
// standard size.
// Source: row-cutting of HeteroInfer (arXiv 2501.14794) sec. 4.2.
// Loses: when one part dominates anyway, and in prefill of odd lengths, where the NPU pads.
#include "policies/partition/util.h"

struct options {
    int partner, order;
    double share;
    int64_t parts;
};

static const struct conf_row rows[] = {
    PARTNER_ROW(struct options),
    ORDER_ROW(struct options),
    BALANCE_ROWS(struct options),
};

static int choose(const struct op *op, int n, const struct machine_desc *d,
                  const struct cost_table *c, const struct partners *w, const void *options,
                  struct split *out, double *ps, struct err *e)
{
    const struct options *o = options;
    if (!split_cover_pad(&d->device[w->npu], NULL, n, out))
        return err_at(e, ERR_UNSUPPORTED, NULL, 0, op->name,
                      "policy weight_centric: %d tokens fit no standard size", n);
    *ps = split_balance(c, d, w, op, n, o->share, (int)o->parts, out);
    if (out->cut == 0 &&
        o->share == 0) // too few rows to cut, or an empty cost table: half and half
        out->cut = op->m / 64 * 32;
    return 0;
}

static int plan(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e)
{
    const struct options *o = options;
    return util_split_plan("weight_centric", g, d, c, o->partner, o->order, o, choose, out, e);
}

const struct policy_ops policy_weight_centric = {
    .name = "weight_centric",
    .doc = "matmuls cut by weight rows between GPU and NPU",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .plan = plan,
};
