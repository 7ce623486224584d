// SPDX-License-Identifier: GPL-3.0-or-later
// npu_only: every operator on the NPU, which the vector unit beside the arrays makes possible.
//
// Idea: no hand-overs at all. Prompts are padded to the next standard size.
// Source: NPU-only engines (PowerInfer-2's FP16 mode, QNN) as HeteroInfer (arXiv 2501.14794)
// compares them in sec. 5.
// Loses: in decode (an array computes 32 columns for one token), on shapes with long rows, and on
// attention, which the vector unit does slowly. Operators that the NPU lacks go to another device.
#include "policies/partition/util.h"

static int plan(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e)
{
    struct partners w = {.flexible = d->npu, .npu = d->npu};
    int n = g->n_tokens;
    (void)options;
    if (d->npu < 0)
        return err_set(e, ERR_UNSUPPORTED, "policy npu_only needs an NPU, machine %s has none",
                       d->name);
    plan_init(out, "npu_only", n);
    struct plan_step *st = plan_add_step(out, 0, n);
    util_place_rest(out, st, g, d, d->npu);
    for (int i = 0; i < g->n_ops; i++) {
        const struct op *op = &g->op[i];
        int times = i >= g->block_begin && i < g->block_end ? g->model->shape.n_layer : 1;
        struct split s = {0};
        struct split_cost t = {0};
        double ps = 0;
        if (op->kind != OP_MATMUL) {
            ps = util_whole_cost(c, d->npu, op, n, g->n_past + n);
        } else if (split_cover_pad(&d->device[d->npu], NULL, util_tokens(op, n), &s)) {
            ps = split_estimate(c, d, &w, op, util_tokens(op, n), &s, &t) ? t.npu : 0;
            split_emit(out, st, op, n, &w, &s);
        } else {
            plan_fini(out);
            return err_at(e, ERR_UNSUPPORTED, NULL, 0, op->name,
                          "policy npu_only: %d tokens fit no standard size", n);
        }
        out->predicted_ps += ps > 0 ? ps * times : 0;
    }
    return 0;
}

const struct policy_ops policy_npu_only = {
    .name = "npu_only",
    .doc = "every operator on the NPU, padded to a standard size",
    .plan = plan,
};
