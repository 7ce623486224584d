// SPDX-License-Identifier: GPL-3.0-or-later
// template: a policy to copy. It gives a fixed share of every matmul's rows to the NPU.
//
// A policy is this one file: an options struct with its rows, a pure plan function, and the
// exported const struct named policy_ + file name. The generated registry finds it; `partita list
// policies`,
// --policy, spaces and the contract tests know it from the next build on. On top belong the idea,
// its source, and when it loses. This one loses almost always: a fixed share fits no two shapes.
//
// plan() sees the graph (engine/graph.h), what the machine can do (struct machine_desc) and the
// cost table. It may not measure, read files or keep state: equal inputs give equal plans.
// plan_check verifies whatever it returns.
#include "policies/partition/util.h"

struct options {
    int partner;      // see PARTNER_ROW
    double npu_share; // 0..1
};

static const struct conf_row rows[] = {
    PARTNER_ROW(struct options),
    // Every option has a unit where it has one, a default, limits and a sentence; --help, strict
    // parsing and the search space come from here.
    {.name = "npu_share",
     .type = CONF_REAL,
     .unit = UNIT_PERCENT,
     .fallback = "50 %",
     .max = 1,
     .doc = "rows of every matmul that the NPU takes",
     .offset = offsetof(struct options, npu_share)},
};

// Called for every matmul. A split describes who computes what (policies/partition/util.h draws
// it).
static int choose(const struct op *op, int n, const struct machine_desc *d,
                  const struct cost_table *c, const struct partners *w, const void *options,
                  struct split *out, double *ps, struct err *e)
{
    const struct options *o = options;
    int tile = d->device[w->npu].tile > 1 ? d->device[w->npu].tile : 1;
    // Tokens: one static graph that holds all n of them, padded.
    if (!split_cover_pad(&d->device[w->npu], NULL, n, out))
        return err_at(e, ERR_UNSUPPORTED, NULL, 0, op->name,
                      "policy template: %d tokens fit no standard size", n);
    // Rows: the NPU gets the last ones, in whole tiles.
    int tiles = (op->m + tile - 1) / tile;
    out->cut = (int)((1 - o->npu_share) * tiles + 0.5) * tile;
    if (out->cut > op->m) // the last tile may be a part of one
        out->cut = op->m;
    // What the table predicts for it, for `partita sim --plan` and sleeping schemes.
    struct split_cost t;
    *ps = split_estimate(c, d, w, op, n, out, &t) ? split_total(c, w, op, n, out, &t) : -1;
    return 0;
}

static int plan(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e)
{
    const struct options *o = options;
    return util_split_plan("template", g, d, c, o->partner, ORDER_CHOICE_BEST, o, choose, out, e);
}

const struct policy_ops policy_template = {
    .name = "template",
    .doc = "an example to copy: a fixed share of the rows on the NPU",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .plan = plan,
};
