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
// table is wrong (contention, throttling).
//
// Two solvers. `greedy` is the published one: operator by operator, as if neighbours did not know
// of each other. `chain` looks at the whole step: of all combinations of the same candidates it
// keeps the one with the least time by engine/predict.h, exactly. It sees what greedy cannot: two
// neighbours on the NPU share a hand-over, q and kv run side by side on two devices, a queue that
// still holds work is not held up. With `rest = any` it also chooses where the operators run that
// are no matmuls, so that a chain of operators may stay on the NPU.
#include <string.h>
#include "policies/partition/util.h"
#include "policies/partition/util_chain.h"

enum { SOLVER_GREEDY, SOLVER_CHAIN };
enum { REST_FLEXIBLE, REST_ANY };

struct options {
    int partner, order, solver, rest;
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
    {.name = "solver",
     .type = CONF_ENUM,
     .fallback = "greedy",
     .choices = "greedy|chain",
     .doc = "greedy: operator by operator; chain: the least predicted time of the whole step, "
            "without slack and margin",
     .offset = offsetof(struct options, solver)},
    {.name = "rest",
     .type = CONF_ENUM,
     .fallback = "flexible",
     .choices = "flexible|any",
     .doc = "who computes what is no matmul: the flexible partner, or with solver=chain and "
            "coherent devices whichever of the two makes the step faster",
     .offset = offsetof(struct options, rest)},
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

// The ways to cover n tokens with graphs.
enum { COVERS = 3 };
static void covers(const struct device_caps *npu, const struct conf_int_list *sizes, int n,
                   struct split *cover, bool *usable)
{
    for (int i = 0; i < COVERS; i++)
        cover[i] = (struct split){0};
    usable[0] = split_cover_pad(npu, sizes, n, &cover[0]);
    usable[1] = split_cover_all(npu, sizes, n, &cover[1]);
    split_cover_fit(npu, sizes, n, true, &cover[2]);
    usable[2] = cover[2].covered > 0;
}

static int choose(const struct op *op, int n, const struct machine_desc *d,
                  const struct cost_table *c, const struct partners *w, const void *options,
                  struct split *out, double *ps, struct err *e)
{
    const struct options *o = options;
    struct split cover[COVERS];
    bool usable[COVERS];
    (void)e;
    *out = split_flexible(op);
    *ps = -1;
    covers(&d->device[w->npu], &o->sizes, n, cover, usable);
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

// --- the chain

struct chain {
    const struct graph *g;
    const struct machine_desc *d;
    const struct cost_table *c;
    const struct options *o;
    struct partners w;
    struct predict p;
    struct arena arena;
    struct chain_op op[GRAPH_MAX_OPS];
    struct split *split[GRAPH_MAX_OPS]; // behind each candidate of a matmul
};

// Appends a split with its times. `unknown`: even if the table does not know them.
static void offer(struct chain *x, const struct op *op, struct split s, bool unknown)
{
    struct shard shard[SPLIT_MAX_SHARDS];
    struct split_cost t;
    struct chain_op *to = &x->op[op->index];
    int n = x->g->n_tokens;
    if (!split_estimate(x->c, x->d, &x->w, op, util_tokens(op, n), &s, &t) && !unknown)
        return; // it has also set the operand order
    int count = split_shards(op, n, &x->w, &s, shard);
    struct predict_shard *h = ARENA_NEWS(&x->arena, (size_t)count, struct predict_shard);
    for (int i = 0; i < count; i++)
        predict_time(&x->p, op, n, x->w.flexible, &shard[i], &h[i]);
    x->split[op->index][to->n] = s;
    to->candidate[to->n++] = (struct chain_candidate){count, h};
}

static bool same_cover(const struct split *a, const struct split *b)
{
    return a->covered == b->covered && a->n_graphs == b->n_graphs &&
           !memcmp(a->size, b->size, (size_t)a->n_graphs * sizeof *a->size);
}

// Everything that `choose` looks at.
static void offer_matmul(struct chain *x, const struct op *op)
{
    const struct device_caps *npu = &x->d->device[x->w.npu];
    int tile = npu->tile > 1 ? npu->tile : 1, parts = (int)x->o->balance.parts;
    int n = util_tokens(op, x->g->n_tokens);
    struct split cover[COVERS];
    bool usable[COVERS];
    size_t most = 1 + (size_t)COVERS * (size_t)parts;
    x->op[op->index].candidate = ARENA_NEWS(&x->arena, most, struct chain_candidate);
    x->split[op->index] = ARENA_NEWS(&x->arena, most, struct split);
    covers(npu, &x->o->sizes, n, cover, usable);
    offer(x, op, split_flexible(op), false);
    for (int i = 0; i < COVERS; i++) {
        for (int j = 0; j < i; j++)
            usable[i] &= !usable[j] || !same_cover(&cover[i], &cover[j]);
        for (int j = 0, last = -1; j < parts && usable[i]; j++) {
            struct split s = cover[i];
            s.cut = split_cut(op, j, parts, tile);
            if (s.cut > last && s.cut < op->m)
                offer(x, op, s, false);
            last = s.cut;
        }
    }
    if (!x->op[op->index].n)
        offer(x, op, split_flexible(op), true);
}

// The flexible partner or the first device that can do it, as util_place_rest has it, and perhaps
// the NPU.
static void offer_rest(struct chain *x, const struct op *op)
{
    const struct cost_overheads *over = cost_get_overheads(x->c);
    struct chain_op *to = &x->op[op->index];
    int device[] = {x->w.flexible, x->w.npu}, n = x->g->n_tokens;
    bool any = x->o->rest == REST_ANY && over->copy_bandwidth[device[0]] <= 0 &&
               over->copy_bandwidth[device[1]] <= 0;
    for (int i = 0; i < x->d->n_devices && !device_can(&x->d->device[device[0]], op->kind); i++)
        device[0] = i;
    to->candidate = ARENA_NEWS(&x->arena, 2, struct chain_candidate);
    for (int i = 0; i < 2; i++) {
        struct shard s = {.device = device[i], .n1 = util_tokens(op, n), .m1 = op->m};
        struct predict_shard *h = ARENA_NEW(&x->arena, struct predict_shard);
        if (i == 1 &&
            (!any || device[1] == device[0] || !device_can(&x->d->device[device[1]], op->kind) ||
             util_whole_cost(x->c, device[1], op, n, x->g->n_past + n) < 0))
            continue;
        predict_time(&x->p, op, n, -1, &s, h);
        to->candidate[to->n++] = (struct chain_candidate){1, h};
    }
}

static int plan_chain(const struct graph *g, const struct machine_desc *d,
                      const struct cost_table *c, const struct options *o, struct plan *out,
                      struct err *e)
{
    struct chain x = {.g = g, .d = d, .c = c, .o = o};
    int pick[GRAPH_MAX_OPS], n = g->n_tokens;
    if (partners_find(d, o->partner, "hetero_tensor", &x.w, e) < 0)
        return e->code;
    x.w.order = o->order;
    predict_init(&x.p, g, d, c);
    arena_init(&x.arena);
    for (int i = 0; i < g->n_ops; i++)
        if (g->op[i].kind == OP_MATMUL)
            offer_matmul(&x, &g->op[i]);
        else
            offer_rest(&x, &g->op[i]);
    plan_init(out, "hetero_tensor", n);
    struct plan_step *st = plan_add_step(out, 0, n);
    out->predicted_ps = chain_solve(&x.p, x.op, pick);
    for (int i = 0; i < g->n_ops; i++)
        if (g->op[i].kind == OP_MATMUL)
            split_emit(out, st, &g->op[i], n, &x.w, &x.split[i][pick[i]]);
        else
            plan_whole(out, st, &g->op[i], n, x.op[i].candidate[pick[i]].shard[0].device);
    arena_fini(&x.arena);
    return 0;
}

static int plan(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e)
{
    const struct options *o = options;
    if (o->solver == SOLVER_CHAIN)
        return plan_chain(g, d, c, o, out, e);
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
