// SPDX-License-Identifier: GPL-3.0-or-later
// The proof obligation of every plan, whatever policy made it:
//   - the steps tile the tokens, and in each step the shards of each operator tile its output:
//     pairwise disjoint rectangles inside the output whose areas add up to the whole;
//   - each device supports its shards (operator, standard size, row tile);
//   - weights, static graphs and buffers fit the device's and the machine's memory.
#include "engine/plan.h"

#include <assert.h>

struct where {
    const struct plan *p;
    const struct graph *g;
    int step, op;
};

static int fail(const struct where *w, struct err *e, const char *what)
{
    return err_at(e, ERR_CHECK, NULL, 0, w->g->op[w->op].name, "plan of policy %s, step %d: %s",
                  w->p->policy, w->step, what);
}

static bool overlap(const struct shard *a, const struct shard *b)
{
    return a->m0 < b->m1 && b->m0 < a->m1 && a->n0 < b->n1 && b->n0 < a->n1;
}

static int check_shape(const struct where *w, const struct shard *h, const struct machine_desc *d,
                       struct err *e)
{
    const struct op *op = &w->g->op[w->op];
    char text[200];
    if (h->device < 0 || h->device >= d->n_devices)
        return fail(w, e, "a shard names a device that the machine does not have");
    const struct device_caps *c = &d->device[h->device];
    if (!device_can(c, op->kind)) {
        snprintf(text, sizeof text, "device %s does not do %s", c->name, op_kind_name(op->kind));
        return fail(w, e, text);
    }
    if (op->kind != OP_MATMUL)
        return 0;
    if ((h->m0 % c->tile && c->tile > 1) || (c->tile > 1 && h->m1 % c->tile && h->m1 != op->m)) {
        snprintf(text, sizeof text, "rows [%d:%d] are not in tiles of %d of device %s", h->m0,
                 h->m1, c->tile, c->name);
        return fail(w, e, text);
    }
    if (!c->static_graphs)
        return h->n_pad ? fail(w, e, "a dynamic-shape device was given a static graph") : 0;
    // Graphs made at run time may have any length in whole tiles.
    bool standard = w->p->prepare_online && c->tile > 0 && h->n_pad % c->tile == 0;
    for (int i = 0; i < c->n_sizes; i++)
        standard |= c->size[i] == h->n_pad;
    if (!standard || h->n_pad < h->n1 - h->n0) {
        snprintf(text, sizeof text, "%d tokens on a graph of %d: not a standard size of device %s",
                 h->n1 - h->n0, h->n_pad, c->name);
        return fail(w, e, text);
    }
    return 0;
}

static int check_op(const struct where *w, const struct machine_desc *d, const struct machine *live,
                    struct err *e)
{
    const struct plan_step *s = &w->p->step[w->step];
    const struct op *op = &w->g->op[w->op];
    const struct plan_op *po = &s->op[w->op];
    int n = s->n1 - s->n0, first = op->last_only ? n - 1 : 0;
    char text[200];
    int64_t area = 0;
    for (int i = 0; i < po->n_shards; i++) {
        const struct shard *h = &po->shard[i];
        bool inside = h->m0 >= 0 && h->m0 < h->m1 && h->m1 <= op->m && h->n0 >= first &&
                      h->n0 < h->n1 && h->n1 <= n;
        if (!inside || (op->kind != OP_MATMUL && (h->m0 != 0 || h->m1 != op->m))) {
            snprintf(text, sizeof text,
                     "shard rows [%d:%d] tokens [%d:%d] is not inside rows [0:%d] tokens [%d:%d]",
                     h->m0, h->m1, h->n0, h->n1, op->m, first, n);
            return fail(w, e, text);
        }
        for (int j = 0; j < i; j++)
            if (overlap(h, &po->shard[j]))
                return fail(w, e, "two shards compute the same output");
        area += (int64_t)(h->m1 - h->m0) * (h->n1 - h->n0);
        if (check_shape(w, h, d, e) < 0)
            return ERR_CHECK;
        if (live) {
            struct graph step = *w->g;
            struct task t;
            step.n_tokens = n;
            step.n_past = w->g->n_past + s->n0;
            graph_task(&step, w->op, 0, &t);
            t.m0 = h->m0, t.m1 = h->m1, t.n0 = h->n0, t.n1 = h->n1, t.n_pad = h->n_pad;
            t.order = h->order;
            const struct device *dev = live->device[h->device];
            if (dev->ops->supports(dev, &t, e) < 0)
                return ERR_CHECK;
        }
    }
    bool needed = !op->last_only || w->step == w->p->n_steps - 1; // only the last chunk has a head
    int64_t whole = needed ? (int64_t)op->m * (n - first) : 0;
    if (area != whole) {
        snprintf(text, sizeof text, "%lld of %lld output elements are computed", (long long)area,
                 (long long)whole);
        return fail(w, e, text);
    }
    return 0;
}

// Did an earlier shard of the same operator, in this step or one before, need the same weight rows
// on the same device, or even the same static graph?
struct used {
    bool weight, graph;
};

static struct used used_before(const struct plan *p, int step, int op, int shard)
{
    const struct shard *h = &p->step[step].op[op].shard[shard];
    struct used u = {false, false};
    for (int i = 0; i <= step && !u.graph; i++)
        for (int j = 0; j < (i == step ? shard : p->step[i].op[op].n_shards); j++) {
            const struct shard *q = &p->step[i].op[op].shard[j];
            if (q->device != h->device || q->m0 != h->m0 || q->m1 != h->m1)
                continue;
            u.weight = true;
            u.graph |= q->n_pad == h->n_pad && q->order == h->order;
        }
    return u;
}

static int largest_step(const struct plan *p)
{
    int n = 0;
    for (int i = 0; i < p->n_steps; i++)
        n = p->step[i].n1 - p->step[i].n0 > n ? p->step[i].n1 - p->step[i].n0 : n;
    return n;
}

// Each device: its weights once, the buffers of the largest step, its distinct static graphs. The
// machine: all weights, KV cache, buffers.
static int check_memory(const struct plan *p, const struct graph *g, const struct machine_desc *d,
                        struct err *e)
{
    const struct model_shape *m = &g->model->shape;
    double act = 0, rows = g->n_past + p->n_tokens;
    for (int dev = 0; dev < d->n_devices; dev++)
        act = d->device[dev].act_bytes > act ? d->device[dev].act_bytes : act;
    double cache = rows * 2 * m->n_head_kv * m->d_head * m->n_layer * act;
    double buffers = largest_step(p) * (4.0 * m->d_model + 3.0 * m->d_ff) * act;
    double total = (double)model_weight_bytes(g->model) + cache + buffers;
    for (int dev = 0; dev < d->n_devices; dev++) {
        const struct device_caps *c = &d->device[dev];
        double bytes = 0;
        int graphs = 0;
        for (int i = 0; i < p->n_steps; i++)
            for (int o = 0; o < g->n_ops; o++)
                for (int j = 0; j < p->step[i].op[o].n_shards; j++) {
                    const struct shard *h = &p->step[i].op[o].shard[j];
                    if (h->device != dev || g->op[o].kind != OP_MATMUL)
                        continue;
                    bool block = o >= g->block_begin && o < g->block_end;
                    struct used u = used_before(p, i, o, j);
                    if (!u.weight)
                        bytes += (double)(h->m1 - h->m0) * g->op[o].k * m->weight_bits / 8 *
                                 (block ? m->n_layer : 1);
                    graphs += h->n_pad != 0 && !u.graph;
                }
        bytes += buffers;
        if (c->memory && bytes > (double)c->memory)
            return err_at(e, ERR_CHECK, NULL, 0, c->name,
                          "plan of policy %s needs %.0f MB on this device, which has %.0f MB",
                          p->policy, bytes / 1e6, (double)c->memory / 1e6);
        if (c->max_graphs && graphs > c->max_graphs)
            return err_at(e, ERR_CHECK, NULL, 0, c->name,
                          "plan of policy %s needs %d static graphs, the device keeps %d",
                          p->policy, graphs, c->max_graphs);
    }
    if (d->memory && total > (double)d->memory)
        return err_at(e, ERR_CHECK, NULL, 0, m->name,
                      "weights, a KV cache of %.0f rows and buffers of %.1f MB do not fit the "
                      "%.1f MB of machine %s",
                      rows, total / 1e6, (double)d->memory / 1e6, d->name);
    return 0;
}

int plan_check(const struct plan *p, const struct graph *g, const struct machine_desc *d,
               const struct machine *live, struct err *e)
{
    int at = 0;
    if (p->n_tokens != g->n_tokens)
        return err_set(e, ERR_CHECK, "plan of policy %s is for %d tokens, the graph has %d",
                       p->policy, p->n_tokens, g->n_tokens);
    for (int i = 0; i < p->n_steps; i++) {
        const struct plan_step *s = &p->step[i];
        if (s->n0 != at || s->n1 <= s->n0)
            return err_set(e, ERR_CHECK,
                           "plan of policy %s: step %d is [%d:%d], expected to start at %d",
                           p->policy, i, s->n0, s->n1, at);
        at = s->n1;
        for (int o = 0; o < g->n_ops; o++) {
            struct where w = {p, g, i, o};
            if (check_op(&w, d, live, e) < 0)
                return ERR_CHECK;
        }
    }
    if (at != p->n_tokens)
        return err_set(e, ERR_CHECK, "plan of policy %s: the steps cover %d of %d tokens",
                       p->policy, at, p->n_tokens);
    return check_memory(p, g, d, e);
}
