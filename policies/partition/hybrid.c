// SPDX-License-Identifier: GPL-3.0-or-later
// hybrid: cut by rows and by tokens: the NPU takes some rows of the tokens that fit standard sizes,
// the GPU the other rows of all tokens and all rows of the rest.
//
// Idea: weight-centric for odd lengths. Both ends of the cut are free, so an NPU that is slow on a
// shape can be relieved without padding; alternatively the rest is padded (rest = pad).
// Source: hybrid cutting of HeteroInfer (arXiv 2501.14794) sec. 4.2, Table 3.
// Loses: against its two parents where one of them already balances; it has two GPU kernels per
// operator.
#include "policies/partition/util.h"

enum { REST_BEST, REST_FLEXIBLE, REST_PAD };

struct options {
    int partner, rest, order;
    double share;
    int64_t parts;
};

static const struct conf_row rows[] = {
    PARTNER_ROW(struct options),
    ORDER_ROW(struct options),
    {.name = "rest",
     .type = CONF_ENUM,
     .fallback = "best",
     .choices = "best|flexible|pad",
     .doc = "tokens beyond the standard sizes: to the flexible partner, or padded on the NPU",
     .offset = offsetof(struct options, rest)},
    BALANCE_ROWS(struct options),
};

static int choose(const struct op *op, int n, const struct machine_desc *d,
                  const struct cost_table *c, const struct partners *w, const void *options,
                  struct split *out, double *ps, struct err *e)
{
    const struct options *o = options;
    const struct device_caps *npu = &d->device[w->npu];
    struct split pad = {0}, rest = {0};
    double tp = -1, tr = -1;
    (void)e;
    if (o->rest != REST_FLEXIBLE && split_cover_pad(npu, NULL, n, &pad))
        tp = split_balance(c, d, w, op, n, o->share, (int)o->parts, &pad);
    if (o->rest != REST_PAD) {
        split_cover_fit(npu, NULL, n, true, &rest);
        if (rest.covered)
            tr = split_balance(c, d, w, op, n, o->share, (int)o->parts, &rest);
    }
    bool use_pad = tp >= 0 && (tr < 0 || tp < tr);
    *ps = use_pad ? tp : tr;
    if (*ps < 0 &&
        o->share > 0) // asked for, and the table knows nothing: the first that is possible
        use_pad = pad.covered == n;
    const struct split *s = use_pad ? &pad : &rest;
    *out = s->covered && (*ps >= 0 || o->share > 0) ? *s : split_flexible(op);
    return 0;
}

static int plan(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e)
{
    const struct options *o = options;
    return util_split_plan("hybrid", g, d, c, o->partner, o->order, o, choose, out, e);
}

const struct policy_ops policy_hybrid = {
    .name = "hybrid",
    .doc = "matmuls cut by rows and tokens between GPU and NPU",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .plan = plan,
};
