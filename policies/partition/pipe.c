// SPDX-License-Identifier: GPL-3.0-or-later
// pipe: matmuls on the NPU as a sequence of standard graphs that fit the prompt.
//
// Idea: 525 tokens = 512 + 32 with only the last graph padded: less waste than one large graph.
// Source: the NPU-pipe baseline of HeteroInfer (arXiv 2501.14794) sec. 5.3.2.
// Loses: small graphs use the arrays badly (weights are streamed again for each), and the GPU idles
// meanwhile; activation_centric gives it the rest instead.
#include "policies/partition/util.h"

struct options {
    int partner, decode, order;
    struct conf_int_list sizes;
};

static const struct conf_row rows[] = {
    PARTNER_ROW(struct options),
    ORDER_ROW(struct options),
    DECODE_ROW(struct options),
    SIZES_ROW(struct options, "[]"),
};

static int choose(const struct op *op, int n, const struct machine_desc *d,
                  const struct cost_table *c, const struct partners *w, const void *options,
                  struct split *out, double *ps, struct err *e)
{
    const struct options *o = options;
    split_cover_fit(&d->device[w->npu], &o->sizes, n, true, out);
    if (out->covered < n) { // what is less than the smallest size is padded to it
        struct split tail = {0};
        if (split_cover_pad(&d->device[w->npu], &o->sizes, n - out->covered, &tail) &&
            out->n_graphs < SPLIT_MAX_GRAPHS) {
            out->size[out->n_graphs++] = tail.size[0];
            out->covered = n;
        }
    }
    return util_npu_or_flexible("pipe", op, n, d, c, w, o->decode, out, ps, e);
}

static int plan(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e)
{
    const struct options *o = options;
    return util_split_plan("pipe", g, d, c, o->partner, o->order, o, choose, out, e);
}

const struct policy_ops policy_pipe = {
    .name = "pipe",
    .doc = "matmuls on the NPU as a sequence of standard graphs; the rest on the GPU",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .plan = plan,
};
