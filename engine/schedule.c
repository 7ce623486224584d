// SPDX-License-Identifier: GPL-3.0-or-later
// From a plan to the order of submission. The host submits entries one after another; each device
// runs its own in order. What remains to be said are the joins: which task of another device must
// be complete first. They follow from the buffers alone: reads after writes, writes after reads and
// writes after writes between different operator instances. Shards of one instance write disjoint
// slices (plan_check proves it) and never wait for each other.
#include "engine/plan.h"

#include <assert.h>
#include <string.h>

struct access {
    enum buf_id read[4], write[3];
    int reads, writes;
};

static struct access accesses(const struct op *o)
{
    struct access a = {{o->in}, {o->out}, 1, 1};
    if (o->in2 != BUF_NONE)
        a.read[a.reads++] = o->in2;
    if (o->kind == OP_ADD) // in place
        a.read[a.reads++] = o->out;
    if (o->kind == OP_ROPE) {
        a.write[a.writes++] = BUF_KCACHE;
        a.write[a.writes++] = BUF_VCACHE;
    }
    if (o->kind == OP_ATTENTION) {
        a.read[a.reads++] = BUF_KCACHE;
        a.read[a.reads++] = BUF_VCACHE;
    }
    return a;
}

// The latest entry of each device that read or wrote each buffer, as of the start of the current
// operator instance.
struct history {
    int read[BUF_COUNT][MACHINE_MAX_DEVICES];
    int write[BUF_COUNT][MACHINE_MAX_DEVICES];
};

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static void find_joins(const struct access *a, const struct history *h, struct schedule_entry *e)
{
    for (int d = 0; d < MACHINE_MAX_DEVICES; d++) {
        int latest = -1;
        for (int i = 0; i < a->reads; i++)
            latest = max_int(latest, h->write[a->read[i]][d]);
        for (int i = 0; i < a->writes; i++) {
            latest = max_int(latest, h->write[a->write[i]][d]);
            latest = max_int(latest, h->read[a->write[i]][d]);
        }
        e->join[d] = d == e->device ? -1 : latest;
    }
}

static void add_instance(const struct plan_op *po, const struct graph *g, int op, int layer,
                         struct history *h, struct schedule *s)
{
    struct access a = accesses(&g->op[op]);
    int first = s->n;
    for (int i = 0; i < po->n_shards; i++) {
        const struct shard *sh = &po->shard[i];
        struct schedule_entry *e = &s->entry[s->n++];
        graph_task(g, op, layer, &e->task);
        e->task.m0 = sh->m0, e->task.m1 = sh->m1;
        e->task.out_n0 += sh->n0 - e->task.n0;
        e->task.n0 = sh->n0, e->task.n1 = sh->n1;
        e->task.n_pad = sh->n_pad;
        e->task.order = sh->order;
        e->device = sh->device;
        e->first_of_op = i == 0;
        find_joins(&a, h, e);
    }
    for (int i = first; i < s->n; i++) {
        int d = s->entry[i].device;
        for (int j = 0; j < a.reads; j++)
            h->read[a.read[j]][d] = i;
        for (int j = 0; j < a.writes; j++)
            h->write[a.write[j]][d] = i;
        s->last[d] = i;
    }
}

// What a layer waits for lies in itself, in the one before, or in front of all layers: every buffer
// that a layer touches the next one touches too. So from the third layer on (the second is the
// first with a layer before it) entries are copies with their joins moved.
static void copy_layer(struct schedule *s)
{
    int first = s->n, reach = first - 2 * s->layer; // of the layer that is copied
    for (int i = first; i < first + s->layer; i++) {
        struct schedule_entry *e = &s->entry[s->n++];
        *e = s->entry[i - s->layer];
        for (int d = 0; d < MACHINE_MAX_DEVICES; d++)
            e->join[d] += e->join[d] >= reach ? s->layer : 0;
        if (e->task.n_parts)
            graph_weights(e->task.layer + 1, &e->task);
        else
            e->task.layer++;
    }
}

// Moves what was remembered of the second layer on to the last one.
static void move_history(struct history *h, struct schedule *s, int second, int by)
{
    for (int d = 0; d < MACHINE_MAX_DEVICES; d++) {
        for (int b = 0; b < BUF_COUNT; b++) {
            h->read[b][d] += h->read[b][d] >= second ? by : 0;
            h->write[b][d] += h->write[b][d] >= second ? by : 0;
        }
        s->last[d] += s->last[d] >= second ? by : 0;
    }
}

void schedule_build(const struct plan *p, int step, const struct graph *g, struct arena *a,
                    struct schedule *out)
{
    const struct plan_step *ps = &p->step[step];
    struct schedule *s = out;
    struct history h;
    int n = 0, layers = g->model->shape.n_layer;
    memset(&h, 0xff, sizeof h); // all -1
    for (int o = 0; o < g->n_ops; o++)
        n += ps->op[o].n_shards * (o >= g->block_begin && o < g->block_end ? layers : 1);
    *s = (struct schedule){.entry = ARENA_NEWS(a, (size_t)n, struct schedule_entry),
                           .n_layers = layers};
    for (int d = 0; d < MACHINE_MAX_DEVICES; d++)
        s->last[d] = -1;
    for (int o = 0; o < g->block_begin; o++)
        add_instance(&ps->op[o], g, o, -1, &h, s);
    s->block = s->n;
    for (int l = 0; l < layers && l < 2; l++)
        for (int o = g->block_begin; o < g->block_end; o++)
            add_instance(&ps->op[o], g, o, l, &h, s);
    s->layer = (s->n - s->block) / (layers < 2 ? 1 : 2);
    for (int l = 2; l < layers; l++)
        copy_layer(s);
    if (layers > 2)
        move_history(&h, s, s->block + s->layer, (layers - 2) * s->layer);
    for (int o = g->block_end; o < g->n_ops; o++)
        add_instance(&ps->op[o], g, o, -1, &h, s);
    assert(s->n == n);
}

static bool conflict(const struct schedule_entry *x, const struct schedule_entry *y)
{
    struct access a = accesses(x->task.op), b = accesses(y->task.op);
    for (int i = 0; i < a.writes; i++) {
        for (int j = 0; j < b.reads; j++)
            if (a.write[i] == b.read[j])
                return true;
        for (int j = 0; j < b.writes; j++)
            if (a.write[i] == b.write[j])
                return true;
    }
    for (int i = 0; i < a.reads; i++)
        for (int j = 0; j < b.writes; j++)
            if (a.read[i] == b.write[j])
                return true;
    return false;
}

int schedule_check(const struct schedule *s, int n_devices, struct err *e)
{
    int joined[MACHINE_MAX_DEVICES];
    for (int d = 0; d < MACHINE_MAX_DEVICES; d++)
        joined[d] = -1;
    for (int i = 0, instance = 0; i < s->n; i++) {
        const struct schedule_entry *y = &s->entry[i];
        if (y->first_of_op)
            instance = i;
        for (int d = 0; d < n_devices; d++) {
            if (y->join[d] >= i)
                return err_set(e, ERR_CHECK, "entry %d (%s) waits for a later one", i,
                               y->task.op->name);
            joined[d] = max_int(joined[d], y->join[d]);
        }
        for (int j = 0; j < instance; j++) {
            const struct schedule_entry *x = &s->entry[j];
            if (x->device != y->device && joined[x->device] < j && conflict(x, y))
                return err_at(e, ERR_CHECK, NULL, 0, y->task.op->name,
                              "entry %d on device %d does not wait for entry %d (%s) on device %d",
                              i, y->device, j, x->task.op->name, x->device);
        }
    }
    return 0;
}
