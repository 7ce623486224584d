// SPDX-License-Identifier: GPL-3.0-or-later
// hetero_tensor: the solver. For every operator and phase it enumerates the feasible strategies and
// ratios over the cost table and keeps the one with the least predicted time.
//
// Idea: no strategy wins everywhere. For each matmul the candidates are: the flexible partner
// alone; the NPU alone (one padded size, or several, the last padded); cut by rows (weight-centric)
// at every multiple of 1/parts; cut by tokens (activation-centric); both (hybrid); each in the
// better operand order. The objective is max(T_flexible, T_npu) + T_sync + T_copy against
// T_flexible alone; T_sync is what the profiler measured for a hand-over under the sync scheme in
// force. Source: hetero-tensor of HeteroInfer (arXiv 2501.14794) sec. 4.2 and 4.4. Loses: when the
// table is wrong (contention, throttling); it is greedy per operator, so it cannot see that two
// neighbours on the NPU would share a hand-over.
#include "policies/partition/util.h"

struct options {
    int partner, order;
    struct conf_int_list sizes;
    struct balance balance;
    double margin;
};

static const struct conf_row rows[] = {
    PARTNER_ROW(struct options),
    ORDER_ROW(struct options),
    SIZES_ROW(struct options, "[]"),
    BALANCE_PARTS_ROWS(struct options, balance),
    {.name = "margin",
     .type = CONF_REAL,
     .unit = UNIT_PERCENT,
     .fallback = "5 %",
     .max = 1,
     .doc = "a split must be this much faster than the best whole placement to be chosen",
     .offset = offsetof(struct options, margin)},
};

// Keeps the better of two splits; the newcomer must also stay below `limit` (negative: none).
static void consider(const struct split *s, double ps, double limit, struct split *best,
                     double *best_ps)
{
    if (ps >= 0 && (limit < 0 || ps < limit) && (*best_ps < 0 || ps < *best_ps)) {
        *best = *s;
        *best_ps = ps;
    }
}

// A split as it is, without moving its cut.
static void consider_fixed(const struct op *op, int n, const struct machine_desc *d,
                           const struct cost_table *c, const struct partners *w, struct split s,
                           double limit, struct split *best, double *best_ps)
{
    struct split_cost t;
    if (split_estimate(c, d, w, op, n, &s, &t))
        consider(&s, split_total(c, w, op, n, &s, &t), limit, best, best_ps);
}

static int choose(const struct op *op, int n, const struct machine_desc *d,
                  const struct cost_table *c, const struct partners *w, const void *options,
                  struct split *out, double *ps, struct err *e)
{
    const struct options *o = options;
    const struct device_caps *npu = &d->device[w->npu];
    enum { COVERS = 3 };
    struct split cover[COVERS] = {{0}, {0}, {0}};
    bool usable[COVERS];
    (void)e;
    *out = split_flexible(op);
    *ps = -1;
    usable[0] = split_cover_pad(npu, &o->sizes, n, &cover[0]);
    usable[1] = split_cover_all(npu, &o->sizes, n, &cover[1]);
    split_cover_fit(npu, &o->sizes, n, true, &cover[2]);
    usable[2] = cover[2].covered > 0;
    consider_fixed(op, n, d, c, w, *out, -1, out, ps);
    for (int i = 0; i < COVERS; i++) // the NPU alone
        if (usable[i] && cover[i].covered == n)
            consider_fixed(op, n, d, c, w, cover[i], -1, out, ps);
    double limit = *ps >= 0 ? *ps * (1 - o->margin) : -1;
    for (int i = 0; i < COVERS; i++) // activation-centric
        if (usable[i] && cover[i].covered < n)
            consider_fixed(op, n, d, c, w, cover[i], limit, out, ps);
    for (int i = 0; i < COVERS; i++) { // weight-centric and hybrid
        struct split s = cover[i];
        if (!usable[i])
            continue;
        double t = split_balance(c, d, w, op, n, &o->balance, &s);
        consider(&s, t, limit, out, ps);
    }
    if (*ps < 0)
        *ps = 0; // an empty table: the flexible partner alone
    return 0;
}

static int plan(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e)
{
    const struct options *o = options;
    return util_split_plan("hetero_tensor", g, d, c, o->partner, o->order, o, choose, out, e);
}

const struct policy_ops policy_hetero_tensor = {
    .name = "hetero_tensor",
    .doc = "the solver: best strategy and ratio for every operator over the cost table",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .plan = plan,
};
