// SPDX-License-Identifier: GPL-3.0-or-later
#include "policies/partition/util.h"

#include <assert.h>
#include <math.h>
#include <string.h>

int partners_find(const struct machine_desc *d, int choice, const char *policy,
                  struct partners *out, struct err *e)
{
    *out = (struct partners){.npu = d->npu};
    out->flexible = choice == PARTNER_CPU                  ? d->cpu
                    : choice == PARTNER_GPU || d->gpu >= 0 ? d->gpu
                                                           : d->cpu;
    if (out->npu < 0)
        return err_set(e, ERR_UNSUPPORTED, "policy %s needs an NPU, machine %s has none", policy,
                       d->name);
    if (out->flexible < 0)
        return err_set(e, ERR_UNSUPPORTED, "policy %s needs %s beside the NPU, machine %s has none",
                       policy, choice == PARTNER_GPU ? "a GPU" : "a GPU or a CPU", d->name);
    return 0;
}

bool util_runs(const struct graph *g, const struct op *op, int n1)
{
    return !op->last_only || n1 == g->n_tokens;
}

int util_tokens(const struct op *op, int n)
{
    return op->last_only ? 1 : n;
}

void util_place_rest(struct plan *p, struct plan_step *s, const struct graph *g,
                     const struct machine_desc *d, int device)
{
    for (int i = 0; i < g->n_ops; i++) {
        const struct op *op = &g->op[i];
        int on = device;
        if (op->kind == OP_MATMUL || !util_runs(g, op, s->n1))
            continue;
        for (int j = 0; j < d->n_devices && !device_can(&d->device[on], op->kind); j++)
            on = j;
        plan_whole(p, s, op, s->n1 - s->n0, on);
    }
}

double util_whole_cost(const struct cost_table *c, int device, const struct op *op, int n, int n_kv)
{
    if (op->kind == OP_MATMUL)
        return cost_matmul(c, device, ORDER_WEIGHT_STREAMED, op->k, op->m, util_tokens(op, n));
    return cost_op(c, device, op->kind, op->m, util_tokens(op, n), n_kv);
}

// The standard sizes that a policy may use, ascending.
static int allowed(const struct device_caps *npu, const struct conf_int_list *sizes, int *out)
{
    int n = 0;
    for (int i = 0; i < npu->n_sizes; i++) {
        bool use = !sizes || sizes->n == 0;
        for (int j = 0; sizes && j < sizes->n; j++)
            use |= sizes->v[j] == npu->size[i];
        if (use || npu->size[i] == 1) // the decode graph is always there
            out[n++] = npu->size[i];
    }
    return n;
}

static void put(struct split *s, int size, int tokens)
{
    s->size[s->n_graphs++] = size;
    s->covered += tokens;
}

void split_cover_fit(const struct device_caps *npu, const struct conf_int_list *sizes, int n,
                     bool several, struct split *s)
{
    int size[DEVICE_MAX_SIZES], count = allowed(npu, sizes, size);
    s->covered = s->n_graphs = 0;
    for (int i = count - 1; i >= 0; i--) {
        if (size[i] == 1 && n > 1)
            break; // a prompt is not fed token by token
        while (n - s->covered >= size[i] && s->n_graphs < SPLIT_MAX_GRAPHS) {
            put(s, size[i], size[i]);
            if (!several && n - s->covered < size[count - 1])
                return;
        }
    }
}

bool split_cover_pad(const struct device_caps *npu, const struct conf_int_list *sizes, int n,
                     struct split *s)
{
    int size[DEVICE_MAX_SIZES], count = allowed(npu, sizes, size);
    s->covered = s->n_graphs = 0;
    if (!count || (size[count - 1] == 1 && n > 1)) // a prompt is not fed token by token
        return false;
    int largest = size[count - 1];
    while (n - s->covered > largest) {
        if (s->n_graphs == SPLIT_MAX_GRAPHS - 1)
            return false;
        put(s, largest, largest);
    }
    int left = n - s->covered;
    for (int i = 0; i < count; i++)
        if (size[i] >= left) {
            put(s, size[i], left);
            return true;
        }
    return false;
}

bool split_cover_all(const struct device_caps *npu, const struct conf_int_list *sizes, int n,
                     struct split *s)
{
    int size[DEVICE_MAX_SIZES], count = allowed(npu, sizes, size), least = 0;
    split_cover_fit(npu, sizes, n, true, s);
    for (int i = count - 1; i >= 0; i--)
        least = size[i] > 1 || n == 1 ? size[i] : least;
    if (s->covered == n)
        return true;
    if (!least || n - s->covered > least || s->n_graphs == SPLIT_MAX_GRAPHS)
        return false;
    put(s, least, n - s->covered);
    return true;
}

static double npu_time(const struct cost_table *c, int npu, enum operand_order o,
                       const struct op *op, const struct split *s)
{
    double sum = 0;
    for (int i = 0; i < s->n_graphs; i++) {
        double t = cost_matmul(c, npu, o, op->k, op->m - s->cut, s->size[i]);
        if (t < 0)
            return -1;
        sum += t;
    }
    return sum;
}

// May the NPU's graphs have this order?
static bool allowed_order(const struct device_caps *npu, int choice, int order)
{
    if (order && !(npu->orders >> order & 1))
        return false;
    int wanted = choice == ORDER_CHOICE_STATIONARY && npu->orders >> ORDER_WEIGHT_STATIONARY & 1
                     ? ORDER_WEIGHT_STATIONARY
                     : ORDER_WEIGHT_STREAMED;
    return choice == ORDER_CHOICE_BEST || order == wanted;
}

bool split_estimate(const struct cost_table *c, const struct machine_desc *d,
                    const struct partners *w, const struct op *op, int n, struct split *s,
                    struct split_cost *out)
{
    *out = (struct split_cost){0};
    if (s->cut < op->m && s->covered > 0) {
        double best = -1;
        for (int o = 0; o < ORDER_COUNT; o++) {
            if (!allowed_order(&d->device[w->npu], w->order, o))
                continue;
            if (w->order) // asked for, even where the table knows nothing
                s->order = (enum operand_order)o;
            double t = npu_time(c, w->npu, (enum operand_order)o, op, s);
            if (t >= 0 && (best < 0 || t < best)) {
                best = t;
                s->order = (enum operand_order)o;
            }
        }
        if (best < 0)
            return false;
        out->npu = best;
    }
    const int rows[] = {s->cut, op->m - s->cut}, tokens[] = {n, n - s->covered};
    for (int i = 0; i < 2; i++) {
        if (!rows[i] || !tokens[i])
            continue;
        double t = cost_matmul(c, w->flexible, ORDER_WEIGHT_STREAMED, op->k, rows[i], tokens[i]);
        if (t < 0)
            return false;
        out->flexible += t;
    }
    return true;
}

double split_total(const struct cost_table *c, const struct partners *w, const struct op *op, int n,
                   const struct split *s, const struct split_cost *t)
{
    const struct cost_overheads *o = cost_get_overheads(c);
    double flexible = t->flexible, npu = t->npu;
    if (npu <= 0)
        return flexible;
    if (flexible > 0) { // the two share the memory, and perhaps cores
        const double *together = n == 1 ? o->together : o->together_many;
        flexible *= together[w->flexible];
        npu *= together[w->npu];
    }
    // The NPU's input comes from the flexible side and its output goes back there: two hand-overs,
    // and copies where a device keeps its own memory.
    double copy = 0;
    const int side[] = {w->flexible, w->npu};
    for (int i = 0; i < 2; i++)
        if (o->copy_bandwidth[side[i]] > 0) {
            double bytes = 4.0 * s->covered * ((double)op->k + (op->m - s->cut));
            copy += bytes / o->copy_bandwidth[side[i]] * PS_PER_S;
        }
    // Parts of a one-token operator overlap with each other's hand-overs; the profiler knows.
    const double *split = o->split;
    if (n == 1 && flexible > 0 && split[w->flexible] >= 0 && split[w->npu] >= 0)
        return fmax(flexible + split[w->flexible], npu + split[w->npu]) + copy;
    double there = o->pair[w->flexible][w->npu], back = o->pair[w->npu][w->flexible];
    double join = there >= 0 && back >= 0 ? there + back : o->join[w->npu] + o->join[w->flexible];
    return fmax(flexible, npu) + join + copy;
}

// Sum of the terms of the ratio part : whole - part: 2 for halves, 4 for quarters, 8 for eighths.
static int terms(int part, int whole)
{
    int a = part, b = whole;
    while (b) {
        int rest = a % b;
        a = b;
        b = rest;
    }
    return whole / a;
}

int split_cut(const struct op *op, int part, int parts, int tile)
{
    return (int)((double)part / parts * op->m / tile + 0.5) * tile;
}

double split_balance(const struct cost_table *c, const struct machine_desc *d,
                     const struct partners *w, const struct op *op, int n,
                     const struct balance *how, struct split *s)
{
    int tile = d->device[w->npu].tile > 1 ? d->device[w->npu].tile : 1, parts = (int)how->parts;
    struct split best = *s;
    double total[BALANCE_MAX_PARTS], least = -1, best_time = -1;
    if (how->share > 0) { // asked for: done even if the table knows nothing about it
        struct split_cost t;
        int cut = (int)(how->share * op->m / tile + 0.5) * tile;
        s->cut = cut < op->m ? cut : op->m;
        return split_estimate(c, d, w, op, n, s, &t) ? split_total(c, w, op, n, s, &t) : -1;
    }
    for (int round = 0; round < 2; round++) // the least time, then the simplest ratio near it
        for (int i = 1, simplest = parts + 1; i < parts; i++) {
            struct split try = *s;
            struct split_cost t;
            try.cut = split_cut(op, i, parts, tile);
            if (round == 0) {
                bool known =
                    try.cut > 0 && try.cut < op->m && split_estimate(c, d, w, op, n, &try, &t);
                total[i] = known ? split_total(c, w, op, n, &try, &t) : -1;
                least = known && (least < 0 || total[i] < least) ? total[i] : least;
                continue;
            }
            if (total[i] < 0 || total[i] > least * (1 + how->slack))
                continue;
            int sum = terms(i, parts);
            if (sum < simplest || (sum == simplest && total[i] < best_time)) {
                simplest = sum;
                best_time = total[i];
                best.cut = try.cut;
            }
        }
    if (best_time >= 0) { // its operand order, too
        struct split_cost t;
        split_estimate(c, d, w, op, n, &best, &t);
    }
    *s = best;
    return best_time;
}

int split_shards(const struct op *op, int n, const struct partners *w, const struct split *s,
                 struct shard *out)
{
    int first = op->last_only ? n - 1 : 0, tokens = util_tokens(op, n), at = 0, count = 0;
    // The flexible part first: its inputs are usually on its own queue already.
    if (s->cut > 0)
        out[count++] =
            (struct shard){.device = w->flexible, .m1 = s->cut, .n0 = first, .n1 = first + tokens};
    if (s->cut < op->m && s->covered < tokens)
        out[count++] = (struct shard){.device = w->flexible,
                                      .m0 = s->cut,
                                      .m1 = op->m,
                                      .n0 = first + s->covered,
                                      .n1 = first + tokens};
    for (int i = 0; i < s->n_graphs && s->cut < op->m; i++) {
        int covers = s->covered - at < s->size[i] ? s->covered - at : s->size[i];
        out[count++] = (struct shard){.device = w->npu,
                                      .m0 = s->cut,
                                      .m1 = op->m,
                                      .n0 = first + at,
                                      .n1 = first + at + covers,
                                      .n_pad = s->size[i],
                                      .order = s->order};
        at += covers;
    }
    return count;
}

void split_emit(struct plan *p, struct plan_step *st, const struct op *op, int n,
                const struct partners *w, const struct split *s)
{
    struct shard shard[SPLIT_MAX_SHARDS];
    int count = split_shards(op, n, w, s, shard);
    for (int i = 0; i < count; i++)
        plan_add_shard(p, st, op->index, shard[i]);
}

int util_single_plan(const char *policy, const struct graph *g, const struct machine_desc *d,
                     const struct cost_table *c, int device, const char *what, struct plan *out,
                     struct err *e)
{
    int n = g->n_tokens;
    if (device < 0)
        return err_set(e, ERR_UNSUPPORTED, "policy %s needs %s, machine %s has none", policy, what,
                       d->name);
    plan_init(out, policy, n);
    struct plan_step *s = plan_add_step(out, 0, n);
    for (int i = 0; i < g->n_ops; i++) {
        int times = i >= g->block_begin && i < g->block_end ? g->model->shape.n_layer : 1;
        double ps = util_whole_cost(c, device, &g->op[i], n, g->n_past + n);
        plan_whole(out, s, &g->op[i], n, device);
        out->predicted_ps += ps > 0 ? ps * times : 0;
    }
    return 0;
}

int util_split_plan(const char *policy, const struct graph *g, const struct machine_desc *d,
                    const struct cost_table *c, int partner, int order, const void *options,
                    split_choose_fn *choose, struct plan *out, struct err *e)
{
    struct partners w;
    int n = g->n_tokens, layers = g->model->shape.n_layer;
    if (partners_find(d, partner, policy, &w, e) < 0)
        return e->code;
    w.order = order;
    plan_init(out, policy, n);
    struct plan_step *st = plan_add_step(out, 0, n);
    util_place_rest(out, st, g, d, w.flexible);
    for (int i = 0; i < g->n_ops; i++) {
        const struct op *op = &g->op[i];
        int times = i >= g->block_begin && i < g->block_end ? layers : 1;
        double ps = 0;
        if (op->kind == OP_MATMUL) {
            struct split s = {0};
            if (choose(op, util_tokens(op, n), d, c, &w, options, &s, &ps, e) < 0) {
                plan_fini(out);
                return e->code;
            }
            split_emit(out, st, op, n, &w, &s);
        } else {
            ps = util_whole_cost(c, w.flexible, op, n, g->n_past + n);
        }
        out->predicted_ps += ps > 0 ? ps * times : 0;
    }
    return 0;
}

struct split split_flexible(const struct op *op)
{
    return (struct split){.cut = op->m};
}

int util_npu_or_flexible(const char *policy, const struct op *op, int n,
                         const struct machine_desc *d, const struct cost_table *c,
                         const struct partners *w, int decode, struct split *s, double *ps,
                         struct err *e)
{
    struct split flexible = split_flexible(op);
    struct split_cost t;
    if (s->covered != n)
        return err_at(e, ERR_UNSUPPORTED, NULL, 0, op->name,
                      "policy %s: %d tokens do not fit the standard graph sizes of device %s",
                      policy, n, d->device[w->npu].name);
    double npu = split_estimate(c, d, w, op, n, s, &t) ? split_total(c, w, op, n, s, &t) : -1;
    double other = split_estimate(c, d, w, op, n, &flexible, &t) ? t.flexible : -1;
    bool leave = n == 1 && (decode == DECODE_FLEXIBLE ||
                            (decode == DECODE_BEST && other >= 0 && (npu < 0 || other < npu)));
    if (leave)
        *s = flexible;
    *ps = leave ? other : npu;
    return 0;
}
