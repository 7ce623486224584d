// SPDX-License-Identifier: GPL-3.0-or-later
// One loop over the schedule: make the joins, bind the step's position, submit. Everything that can
// be known before is bound at compile time (buffers, weights, graph handles, expected durations),
// because this loop runs several hundred times per token and its cost is part of what is studied.
//
// Invariant: before an entry is submitted, every entry that it depends on is either on its own
// device's queue before it or known to be complete.
#include "engine/executor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "engine/coherence.h"
#include "engine/executor_trace.h"

struct executor {
    struct machine *machine;
    const struct model *model;
    struct machine_desc desc;
    int n_ctx, max_tokens;
    struct buffer pool[BUF_KCACHE]; // step buffers, shared by all layers
    struct buffer *kcache, *vcache; // [n_layer]
    const struct sync_ops *sync;
    const void *sync_options;
    struct coherence *coherence;          // NULL when all devices are coherent
    uint64_t joined[MACHINE_MAX_DEVICES]; // tickets known to be complete
    int64_t due[MACHINE_MAX_DEVICES];     // when the queue is expected to be empty
    int64_t idle; // while somebody traces: end of the last join or submission
    struct executor_stats stats;
    int64_t memory;
};

struct step {
    struct schedule schedule;
    uint64_t *seq; // ticket of each entry
    int64_t *due;  // when each entry is expected to complete
    int n0, n1;
};

struct program {
    struct arena arena;
    int n_steps;
    struct step *step;
    bool prepare_pending; // static graphs still to be prepared, inside the measured time
};

static int alloc(struct executor *x, int64_t rows, int64_t pitch, struct buffer *b, struct err *e)
{
    if (x->machine->ops->alloc(x->machine, rows, pitch, b, e) < 0)
        return e->code;
    x->memory += rows * pitch;
    return 0;
}

int executor_create(struct machine *m, const struct model *model, int n_ctx, int max_tokens,
                    struct executor **out, struct err *e)
{
    const struct model_shape *s = &model->shape;
    if (m->values && !model->has_data)
        return err_set(e, ERR_USAGE,
                       "model %s has no weights, and machine %s computes values: use a GGUF file, "
                       "generated weights, or a timing-only machine",
                       s->name, m->name);
    struct executor *x = calloc(1, sizeof *x);
    struct buffer *caches = calloc((size_t)s->n_layer * 2, sizeof *caches);
    if (!x || !caches)
        abort();
    x->machine = m;
    x->model = model;
    x->n_ctx = n_ctx;
    x->max_tokens = max_tokens;
    x->kcache = caches;
    x->vcache = caches + s->n_layer;
    machine_describe(m, &x->desc);
    for (int b = 0; b < BUF_KCACHE; b++) {
        int64_t rows = b == BUF_LOGITS ? 1 : max_tokens;
        if (alloc(x, rows, graph_buffer_width(s, (enum buf_id)b) * 4, &x->pool[b], e) < 0)
            goto fail;
    }
    for (int l = 0; l < 2 * s->n_layer; l++)
        if (alloc(x, n_ctx, graph_buffer_width(s, BUF_KCACHE) * 4, &caches[l], e) < 0)
            goto fail;
    x->coherence = coherence_create(m);
    *out = x;
    return 0;
fail:
    executor_destroy(x);
    return e->code;
}

void executor_destroy(struct executor *x)
{
    if (!x)
        return;
    for (int b = 0; b < BUF_KCACHE; b++)
        if (x->pool[b].size)
            x->machine->ops->free(x->machine, &x->pool[b]);
    for (int l = 0; l < 2 * x->model->shape.n_layer; l++)
        if (x->kcache[l].size)
            x->machine->ops->free(x->machine, &x->kcache[l]);
    coherence_destroy(x->coherence);
    free(x->kcache);
    free(x);
}

int executor_set_sync(struct executor *x, const struct sync_ops *sync, const void *options,
                      struct err *e)
{
    if (sync->offered(&x->desc, options, e) < 0)
        return e->code;
    x->sync = sync;
    x->sync_options = options;
    return 0;
}

static struct buffer *pick(struct executor *x, enum buf_id b)
{
    return b == BUF_NONE ? NULL : &x->pool[b];
}

static void bind(struct executor *x, struct task *t)
{
    t->in = pick(x, t->op->in);
    t->in2 = pick(x, t->op->in2);
    t->out = pick(x, t->op->out);
    if (t->op->kind == OP_ROPE || t->op->kind == OP_ATTENTION) {
        t->kcache = &x->kcache[t->layer];
        t->vcache = &x->vcache[t->layer];
    }
}

static double expected(const struct cost_table *c, const struct schedule_entry *e)
{
    const struct task *t = &e->task;
    double ps;
    int n = t->n_pad ? t->n_pad : t->n1 - t->n0;
    if (!c)
        return 0;
    if (t->op->kind == OP_MATMUL)
        ps = cost_matmul(c, e->device, t->order, t->op->k, t->m1 - t->m0, n);
    else
        ps = cost_op(c, e->device, t->op->kind, t->op->m, n, t->n_past + t->n1);
    return ps > 0 ? ps : 0;
}

// When something begins that a trace shows; -1: nobody traces.
static int64_t mark(const struct executor *x)
{
    return x->machine->trace ? x->machine->ops->now(x->machine) : -1;
}

static int prepare(struct executor *x, struct program *p, struct err *e)
{
    int64_t begin = mark(x);
    for (int i = 0; i < p->n_steps; i++)
        for (int j = 0; j < p->step[i].schedule.n; j++) {
            struct schedule_entry *s = &p->step[i].schedule.entry[j];
            struct device *d = x->machine->device[s->device];
            struct static_graph g = {s->task.op, s->task.m0, s->task.m1, s->task.n_pad,
                                     s->task.order};
            if (s->task.n_pad && d->ops->prepare(d, &g, &s->task.graph, e) < 0)
                return e->code;
        }
    if (begin >= 0 && x->machine->ops->now(x->machine) > begin)
        machine_trace_control(x->machine, "prepare graphs", begin);
    return 0;
}

int executor_compile(struct executor *x, const struct plan *p, const struct graph *g,
                     const struct cost_table *cost, struct program **out, struct err *e)
{
    struct program *r = calloc(1, sizeof *r);
    if (!r)
        abort();
    if (p->n_tokens > x->n_ctx) {
        err_set(e, ERR_USAGE, "%d tokens do not fit the context of %d", p->n_tokens, x->n_ctx);
        goto fail;
    }
    r->n_steps = p->n_steps;
    r->step = ARENA_NEWS(&r->arena, (size_t)p->n_steps, struct step);
    for (int i = 0; i < p->n_steps; i++) {
        struct step *s = &r->step[i];
        // The graph lives as long as its tasks, which point at its operators.
        struct graph *sub = ARENA_NEW(&r->arena, struct graph);
        s->n0 = p->step[i].n0;
        s->n1 = p->step[i].n1;
        graph_build(g->model, s->n1 - s->n0, g->n_past + s->n0, sub);
        if (s->n1 - s->n0 > x->max_tokens) {
            err_set(e, ERR_USAGE, "a step of %d tokens does not fit the buffers for %d",
                    s->n1 - s->n0, x->max_tokens);
            goto fail;
        }
        schedule_build(p, i, sub, &r->arena, &s->schedule);
        s->seq = ARENA_NEWS(&r->arena, (size_t)s->schedule.n, uint64_t);
        s->due = ARENA_NEWS(&r->arena, (size_t)s->schedule.n, int64_t);
        for (int j = 0; j < s->schedule.n; j++) {
            struct schedule_entry *n = &s->schedule.entry[j];
            bind(x, &n->task);
            n->expect_ps = expected(cost, n);
            if (device_load(x->machine->device[n->device], &n->task, e) < 0)
                goto fail;
        }
    }
    r->prepare_pending = p->prepare_online;
    if (!r->prepare_pending && prepare(x, r, e) < 0)
        goto fail;
    *out = r;
    return 0;
fail:
    executor_release(x, r);
    return e->code;
}

void executor_release(struct executor *x, struct program *p)
{
    (void)x;
    if (!p)
        return;
    arena_fini(&p->arena);
    free(p);
}

const struct schedule *program_schedule(const struct program *p, int step)
{
    return &p->step[step].schedule;
}

static __attribute__((cold, noinline)) int join_traced(struct executor *x, const struct ticket *t,
                                                       int n, struct err *e)
{
    int64_t begin = mark(x);
    if (x->sync->join(x->machine, x->sync_options, t, n, e) < 0)
        return e->code;
    executor_trace_join(x->machine, x->sync->name, t, n, begin);
    x->idle = x->machine->ops->now(x->machine);
    return 0;
}

// Joins the given entries (index per device, -1: none) unless they are known to be complete.
static int join(struct executor *x, const struct step *s, const int *entry, struct err *e)
{
    struct ticket t[MACHINE_MAX_DEVICES];
    int n = 0;
    for (int d = 0; d < x->desc.n_devices; d++)
        if (entry[d] >= 0 && s->seq[entry[d]] > x->joined[d])
            t[n++] = (struct ticket){d, s->seq[entry[d]], s->due[entry[d]]};
    if (!n)
        return 0;
    x->stats.joins++;
    int rc = x->machine->trace ? join_traced(x, t, n, e)
                               : x->sync->join(x->machine, x->sync_options, t, n, e);
    if (rc < 0)
        return e->code;
    for (int i = 0; i < n; i++)
        x->joined[t[i].device] = t[i].seq;
    return 0;
}

// The union of what the shards of one operator instance wait for.
static void gather(const struct schedule *s, int first, int *need)
{
    for (int d = 0; d < MACHINE_MAX_DEVICES; d++)
        need[d] = -1;
    for (int i = first; i < s->n && (i == first || !s->entry[i].first_of_op); i++)
        for (int d = 0; d < MACHINE_MAX_DEVICES; d++)
            if (s->entry[i].join[d] > need[d])
                need[d] = s->entry[i].join[d];
}

static int submit(struct executor *x, struct step *s, int i, int n_past, struct err *e)
{
    struct schedule_entry *n = &s->schedule.entry[i];
    struct device *d = x->machine->device[n->device];
    n->task.n_past = n_past;
    if (x->coherence &&
        coherence_before(x->coherence, &n->task, n->device, &x->stats.map_bytes, e) < 0)
        return e->code;
    if (d->ops->submit(d, &n->task, &s->seq[i], e) < 0)
        return e->code;
    if (x->coherence)
        coherence_after(x->coherence, &n->task, n->device);
    int64_t now = x->machine->ops->now(x->machine);
    if (x->machine->trace) {
        executor_trace_submit(x->machine, &s->schedule, s->seq, i, x->idle, now);
        x->idle = now;
    }
    int64_t from = x->due[n->device] > now ? x->due[n->device] : now;
    s->due[i] = x->due[n->device] = from + (int64_t)n->expect_ps;
    struct work w = task_work(&n->task, d->caps.act_bytes);
    struct work *sum = &x->stats.work[n->device];
    sum->flops += w.flops;
    sum->weight_bytes += w.weight_bytes;
    sum->read_bytes += w.read_bytes;
    sum->write_bytes += w.write_bytes;
    x->stats.submissions++;
    return 0;
}

static int run_step(struct executor *x, struct step *s, const int32_t *tokens, int n_past,
                    struct err *e)
{
    int n = s->n1 - s->n0, need[MACHINE_MAX_DEVICES];
    if (tokens && x->pool[BUF_TOKENS].host) {
        int32_t *dst = x->pool[BUF_TOKENS].host;
        memcpy(dst, tokens, (size_t)n * sizeof *dst);
        coherence_host_wrote(x->coherence, &x->pool[BUF_TOKENS], 0, n);
    }
    for (int i = 0; i < s->schedule.n; i++) {
        const struct schedule_entry *entry = &s->schedule.entry[i];
        if (x->sync->per_shard) {
            if (join(x, s, entry->join, e) < 0)
                return e->code;
        } else if (entry->first_of_op) {
            gather(&s->schedule, i, need);
            if (join(x, s, need, e) < 0)
                return e->code;
        }
        if (submit(x, s, i, n_past, e) < 0)
            return e->code;
    }
    // The host is about to read the logits, or to overwrite the tokens.
    return join(x, s, s->schedule.last, e);
}

int executor_run(struct executor *x, struct program *p, const int32_t *tokens, int n_past,
                 struct err *e)
{
    assert(x->sync);
    int total = p->step[p->n_steps - 1].n1;
    if (n_past + total > x->n_ctx)
        return err_set(e, ERR_USAGE, "%d tokens after %d do not fit the context of %d", total,
                       n_past, x->n_ctx);
    if (p->prepare_pending) {
        if (prepare(x, p, e) < 0)
            return e->code;
        p->prepare_pending = false;
    }
    for (int i = 0; i < p->n_steps; i++) {
        struct step *s = &p->step[i];
        int64_t begin = x->idle = mark(x);
        if (run_step(x, s, tokens ? tokens + s->n0 : NULL, n_past + s->n0, e) < 0)
            return e->code;
        if (begin >= 0)
            executor_trace_step(x->machine, s->n1 - s->n0, n_past + s->n0, begin);
    }
    return coherence_to_host(x->coherence, &x->pool[BUF_LOGITS], &x->stats.map_bytes, e);
}

const float *executor_logits(const struct executor *x)
{
    return x->pool[BUF_LOGITS].host;
}

void executor_clear(struct executor *x)
{
    x->stats = (struct executor_stats){0};
    memset(x->joined, 0, sizeof x->joined);
    memset(x->due, 0, sizeof x->due);
}

const struct executor_stats *executor_get_stats(const struct executor *x)
{
    return &x->stats;
}

int64_t executor_memory(const struct executor *x)
{
    return x->memory;
}
