// SPDX-License-Identifier: GPL-3.0-or-later
// Two devices never meet in this model but through the host and through memory, so a step is a loop
// over the schedule with a clock per party. The graph repeats, so hazards are a mask of operators
// per operator, worked out once: the latest task of each of them on each device is all that can be
// waited for. A ticket is represented by its completion time, which is enough in an in-order queue.
//
// Layers are alike: after a few of them each adds the same time, and the rest is multiplication.
#include "engine/predict.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { LAYERS = 4 }; // that are gone through; the others add what the last one added

static uint32_t bit(int i)
{
    return (uint32_t)1 << i;
}

static int lowest(uint32_t bits)
{
    return __builtin_ctz(bits);
}

// Buffers that an operator reads and writes, as engine/schedule.c has them.
static void touches(const struct op *o, uint32_t *read, uint32_t *write)
{
    uint32_t cache = bit(BUF_KCACHE) | bit(BUF_VCACHE);
    *read = bit(o->in) | (o->in2 != BUF_NONE ? bit(o->in2) : 0);
    *write = bit(o->out);
    if (o->kind == OP_ADD)
        *read |= bit(o->out);
    if (o->kind == OP_ROPE)
        *write |= cache;
    if (o->kind == OP_ATTENTION)
        *read |= cache;
}

// The operator at a position of: embed, block, block, block, head.
static int unrolled(const struct graph *g, int at)
{
    int block = g->block_end - g->block_begin;
    return at < g->block_end                 ? at
           : at < g->block_begin + 3 * block ? g->block_begin + (at - g->block_begin) % block
                                             : at - 2 * block;
}

// Of every pair of operators of three layers, is the later one behind the earlier one by a chain of
// hazards? If not, neither is a cut.
static void find_cuts(struct predict *p)
{
    const struct graph *g = p->graph;
    enum { MOST = 3 * GRAPH_MAX_OPS };
    uint64_t before[MOST];
    _Static_assert(MOST <= 64, "one word holds the positions");
    int n = g->n_ops + 2 * (g->block_end - g->block_begin);
    for (int i = 0; i < g->n_ops; i++)
        p->cut[i] = true;
    for (int a = 0; a < n; a++) {
        before[a] = 0;
        for (int b = 0; b < a; b++)
            if (p->needs[unrolled(g, a)] & bit(unrolled(g, b)))
                before[a] |= before[b] | (uint64_t)1 << b;
        for (int b = 0; b < a; b++)
            if (!(before[a] >> b & 1))
                p->cut[unrolled(g, a)] = p->cut[unrolled(g, b)] = false;
    }
}

void predict_init(struct predict *p, const struct graph *g, const struct machine_desc *d,
                  const struct cost_table *c)
{
    const struct cost_overheads *o = cost_get_overheads(c);
    uint32_t read[GRAPH_MAX_OPS], write[GRAPH_MAX_OPS];
    *p = (struct predict){.graph = g,
                          .cost = c,
                          .n_devices = d->n_devices,
                          .beside = {o->together, o->together_many},
                          .copy = o->copy_bandwidth};
    for (int i = 0; i < d->n_devices; i++) {
        p->submit[i] = fmin(o->submit[i], o->join[i]);
        p->seen[i] = o->join[i] - p->submit[i];
        p->ahead |= o->ahead[i] > 0;
    }
    for (int a = 0; a < d->n_devices; a++)
        for (int b = 0; b < d->n_devices; b++)
            p->late[a][b] = o->pair[a][b] >= 0 ? o->pair[a][b] - p->seen[a] - p->submit[b] : 0;
    for (int i = 0; i < g->n_ops; i++)
        touches(&g->op[i], &read[i], &write[i]);
    for (int i = 0; i < g->n_ops; i++)
        for (int j = 0; j < g->n_ops; j++)
            if ((read[i] & write[j]) | (write[i] & (read[j] | write[j])))
                p->needs[i] |= bit(j);
    find_cuts(p);
}

void predict_begin(const struct predict *p, struct predict_state *s)
{
    s->now = 0;
    for (int d = 0; d < p->n_devices; d++) {
        s->dry[d] = 0;
        s->from[d] = INFINITY;
        s->known[d] = true;
        s->open[d] = 0;
    }
}

void predict_behind(const struct predict *p, int op, int device, struct predict_state *s)
{
    predict_begin(p, s);
    s->known[device] = false;
    s->open[device] = bit(op);
    s->end[op][device] = 0;
    s->now = -INFINITY; // the host has been ahead since it submitted this
}

// The host waits for the device's tasks up to `time`.
static void join(const struct predict *p, struct predict_state *s, int device, double time)
{
    s->now = fmax(s->now, time) + p->seen[device];
    for (uint32_t b = s->open[device]; b; b &= b - 1)
        if (s->end[lowest(b)][device] <= time)
            s->open[device] &= ~bit(lowest(b));
    s->known[device] = time >= s->dry[device];
}

// A matmul of `*ps` at `start` on device d beside those of device o: while both run, d takes
// factor[d] times as long and o factor[o] times. Moves what o has not finished.
static void share(struct predict_state *s, int d, int o, double start, const double *factor,
                  double *ps)
{
    double both = fmax(start, s->from[o]), fd = factor[d], fo = factor[o];
    double mine = *ps - (both - start), theirs = s->dry[o] - both;
    if (mine <= 0 || theirs <= 0 || (fd <= 1 && fo <= 1))
        return;
    double together = fmin(mine * fd, theirs * fo), late = together * (1 - 1 / fo);
    *ps += together * (1 - 1 / fd);
    for (uint32_t b = s->open[o]; b; b &= b - 1) {
        double *end = &s->end[lowest(b)][o];
        if (*end > both)
            *end += fmin((*end - both) * (fo - 1), late);
    }
    s->dry[o] += late;
}

// `from`: the device for which the host waited last before it submits this; -1: for none.
static void run(const struct predict *p, struct predict_state *s, const struct op *op,
                const struct predict_shard *h, int from)
{
    int d = h->device;
    s->now += h->copy;
    double start = s->dry[d], ps = h->ps;
    if (s->known[d] || start < s->now) { // its queue is empty
        s->now += p->submit[d];
        start = from < 0 ? s->now : fmax(start, s->now + p->late[from][d]);
        s->from[d] = INFINITY;
    }
    if (op->kind == OP_MATMUL) {
        const double *factor = p->beside[p->graph->n_tokens > 1 && !op->last_only];
        s->from[d] = fmin(s->from[d], start);
        for (int o = 0; o < p->n_devices; o++)
            if (o != d)
                share(s, d, o, start, factor, &ps);
    } else {
        s->from[d] = INFINITY;
    }
    s->dry[d] = start + ps;
    s->known[d] = false;
}

void predict_op(const struct predict *p, struct predict_state *s, int op,
                const struct predict_shard *shard, int n)
{
    double latest[MACHINE_MAX_DEVICES];
    bool wait[MACHINE_MAX_DEVICES], others = false;
    for (int d = 0; d < p->n_devices; d++) {
        wait[d] = false;
        for (uint32_t b = s->open[d] & p->needs[op]; b; b &= b - 1) {
            double end = s->end[lowest(b)][d];
            latest[d] = wait[d] ? fmax(latest[d], end) : end;
            wait[d] = true;
        }
    }
    for (int i = 1; i < n; i++)
        others |= shard[i].device != shard[0].device;
    int from = -1;
    for (int i = 0; i < n; i++) {
        for (int d = 0; d < p->n_devices; d++)
            if (wait[d] && (d != shard[i].device || (others && !p->ahead))) {
                from = from < 0 || latest[d] >= s->now ? d : from;
                join(p, s, d, latest[d]);
                wait[d] = false;
            }
        run(p, s, &p->graph->op[op], &shard[i], from);
    }
    for (int i = 0; i < n; i++) { // their ends, once all of them have slowed each other down
        s->open[shard[i].device] |= bit(op);
        s->end[op][shard[i].device] = s->dry[shard[i].device];
    }
}

double predict_latest(const struct predict *p, const struct predict_state *s)
{
    double t = s->now;
    for (int d = 0; d < p->n_devices; d++)
        t = s->open[d] ? fmax(t, s->dry[d]) : t;
    return t;
}

double predict_end(const struct predict *p, struct predict_state *s)
{
    for (int d = 0; d < p->n_devices; d++)
        if (s->open[d])
            join(p, s, d, s->dry[d]);
    return s->now;
}

bool predict_time(const struct predict *p, const struct op *op, int n, int home,
                  const struct shard *sh, struct predict_shard *out)
{
    int tokens = sh->n1 - sh->n0, rows = sh->m1 - sh->m0, of = sh->n_pad ? sh->n_pad : tokens;
    bool matmul = op->kind == OP_MATMUL;
    double ps, bytes = 4.0 * tokens * ((double)op->k + (matmul ? rows : 0));
    if (matmul)
        ps = cost_matmul(p->cost, sh->device, sh->order, op->k, rows, of);
    else
        ps = cost_op(p->cost, sh->device, op->kind, op->m, of, p->graph->n_past + n);
    *out = (struct predict_shard){.device = sh->device, .ps = fmax(ps, 0)};
    if (home >= 0 && home != sh->device)
        for (int i = 0; i < 2; i++) {
            double rate = p->copy[i ? home : sh->device];
            out->copy += rate > 0 ? bytes / rate * PS_PER_S : 0;
        }
    return ps >= 0 || !matmul;
}

// The operators from one position to another, one instance each.
static void go(const struct predict *p, const struct predict_ops *t, int from, int to,
               struct predict_state *s)
{
    for (int i = from; i < to; i++)
        if (t->n[i])
            predict_op(p, s, i, t->shard[i], t->n[i]);
}

double predict_step(const struct predict *p, const struct predict_ops *t)
{
    const struct graph *g = p->graph;
    int layers = g->model->shape.n_layer;
    struct predict_state s;
    double at = 0, added = 0;
    predict_begin(p, &s);
    go(p, t, 0, g->block_begin, &s);
    for (int l = 0; l < layers && l < LAYERS; l++) {
        at = predict_latest(p, &s);
        go(p, t, g->block_begin, g->block_end, &s);
        added = predict_latest(p, &s) - at;
    }
    go(p, t, g->block_end, g->n_ops, &s);
    return predict_end(p, &s) + (layers > LAYERS ? (layers - LAYERS) * added : 0);
}

// The shards of one step with their times; false when one is unknown.
static bool timed(const struct predict *p, const struct plan_step *st, struct arena *a,
                  struct predict_ops *out)
{
    int home = -1; // of the last operator that is no matmul
    for (int i = 0; i < p->graph->n_ops; i++) {
        const struct plan_op *po = &st->op[i];
        const struct op *op = &p->graph->op[i];
        struct predict_shard *h = ARENA_NEWS(a, (size_t)po->n_shards, struct predict_shard);
        for (int j = 0; j < po->n_shards; j++)
            if (!predict_time(p, op, p->graph->n_tokens, home, &po->shard[j], &h[j]))
                return false;
        out->n[i] = po->n_shards;
        out->shard[i] = h;
        if (op->kind != OP_MATMUL && po->n_shards)
            home = po->shard[0].device;
    }
    return true;
}

double predict_plan(const struct plan *plan, const struct graph *g, const struct machine_desc *d,
                    const struct cost_table *c)
{
    struct arena a;
    double sum = 0;
    arena_init(&a);
    for (int i = 0; i < plan->n_steps && sum >= 0; i++) {
        const struct plan_step *st = &plan->step[i];
        struct graph part;
        struct predict p;
        struct predict_ops t = {.n = {0}};
        graph_build(g->model, st->n1 - st->n0, g->n_past + st->n0, &part);
        predict_init(&p, &part, d, c);
        sum = timed(&p, st, &a, &t) ? sum + predict_step(&p, &t) : -1;
    }
    arena_fini(&a);
    return sum;
}
