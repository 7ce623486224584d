// SPDX-License-Identifier: GPL-3.0-or-later
// One loop over the schedule: make the joins, bind the step's position, submit. Everything that can
// be known before is bound at compile time (buffers, weights, graph handles, expected durations),
// because this loop runs several hundred times per token and its cost is part of what is studied.
//
// It also says what comes again: at the start of each layer what it will go by in it, and at the
// start of each pass what distinguishes this one from others. A machine that knows the rest may say
// that it is done already (struct machine_replay); the executor then moves its tickets,
// expectations and sums on as if it had done it.
//
// Invariant: before an entry is submitted, every entry that it depends on is either on its own
// device's queue before it or known to be complete.
#include "engine/executor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "engine/coherence.h"
#include "engine/executor_trace.h"
#include "engine/pace.h"

struct executor {
    struct machine *machine;
    const struct model *model;
    struct machine_desc desc;
    int n_ctx, max_tokens;
    struct buffer pool[BUF_KCACHE]; // step buffers, shared by all layers
    struct buffer *kcache, *vcache; // [n_layer]
    const struct sync_ops *sync;
    const void *sync_options;
    uint32_t sync_number;                 // of scheme and options (struct machine_replay), 0: none
    struct coherence *coherence;          // NULL when all devices are coherent
    uint64_t joined[MACHINE_MAX_DEVICES]; // tickets known to be complete
    uint64_t last[MACHINE_MAX_DEVICES];   // latest tickets
    int64_t due[MACHINE_MAX_DEVICES];     // when the queue is expected to be empty
    int64_t idle; // while somebody traces: end of the last join or submission
    int culprit;  // the device that failed, -1
    struct executor_stats stats;
    int64_t memory;
};

struct step {
    struct schedule schedule;
    uint64_t *seq;     // ticket of each entry
    int64_t *due;      // when each entry is expected to complete
    struct work *work; // of each entry
    struct pace pace; // of tasks against what is expected; on a machine that does not repeat itself
    int n0, n1;
    // Layers that pass alike, and passes (struct machine_replay).
    bool periodic;
    int old[MACHINE_MAX_DEVICES];   // latest entry before the layer before that layers wait for
    int tasks[MACHINE_MAX_DEVICES]; // of one layer
    int announced;                  // layers, in this run
    struct executor_stats *begun;   // statistics at the start of each announced layer
    int64_t *state;                 // for announce
    uint32_t number;                // of what is done in a pass; 0: none
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

static void free_pool(struct executor *x)
{
    for (int b = 0; b < BUF_KCACHE; b++)
        if (x->pool[b].size) {
            x->memory -= x->pool[b].size;
            x->machine->ops->free(x->machine, &x->pool[b]);
        }
}

int executor_reserve(struct executor *x, int max_tokens, struct err *e)
{
    if (max_tokens <= x->max_tokens)
        return 0;
    free_pool(x);
    x->max_tokens = 0;
    for (int b = 0; b < BUF_KCACHE; b++) {
        int64_t rows = b == BUF_LOGITS ? 1 : max_tokens;
        if (alloc(x, rows, graph_buffer_width(&x->model->shape, (enum buf_id)b) * 4, &x->pool[b],
                  e) < 0)
            return e->code;
    }
    x->max_tokens = max_tokens;
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
    x->culprit = -1;
    x->kcache = caches;
    x->vcache = caches + s->n_layer;
    machine_describe(m, &x->desc);
    if (executor_reserve(x, max_tokens, e) < 0)
        goto fail;
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
    free_pool(x);
    for (int l = 0; l < 2 * x->model->shape.n_layer; l++)
        if (x->kcache[l].size)
            x->machine->ops->free(x->machine, &x->kcache[l]);
    coherence_destroy(x->coherence);
    free(x->kcache);
    free(x);
}

// Options are compared by their bytes, so there must be no pointer among them.
static uint32_t number_sync(const struct executor *x)
{
    const struct machine_replay *replay = x->machine->ops->replay;
    for (size_t i = 0; i < x->sync->n_rows; i++)
        if (x->sync->rows[i].type == CONF_STRING)
            return 0;
    return replay ? replay->number(x->machine, x->sync_options, x->sync->options_size) : 0;
}

int executor_set_sync(struct executor *x, const struct sync_ops *sync, const void *options,
                      struct err *e)
{
    if (sync->offered(&x->desc, options, e) < 0)
        return e->code;
    x->sync = sync;
    x->sync_options = options;
    x->sync_number = number_sync(x);
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

// --- a device that fails

// The error of a device that failed, with its name and the task (NULL: unknown) in front.
static int blame(struct executor *x, int device, const struct task *t, struct err *e)
{
    char why[sizeof e->msg + sizeof e->key + 2], label[TASK_LABEL];
    if (e->code != ERR_DEVICE)
        return e->code;
    x->culprit = device;
    if (t)
        task_label(t, label);
    err_text(e, why, sizeof why);
    return err_set(e, ERR_DEVICE, "%s failed%s%s: %.240s", x->machine->device[device]->caps.name,
                   t ? " at " : "", t ? label : "", why);
}

// The task of a step that a device did not complete: the first after its flag word, where it has
// one, else the one that was waited for.
static const struct task *stopped_at(const struct executor *x, const struct step *s, int upto,
                                     const struct ticket *t)
{
    bool flag = x->machine->device[t->device]->caps.flag;
    uint64_t seq = flag ? x->machine->ops->flag(x->machine, t->device) + 1 : t->seq;
    const struct task *asked = NULL;
    for (int i = 0; i < upto; i++) {
        const struct schedule_entry *n = &s->schedule.entry[i];
        if (n->device == t->device && s->seq[i] == seq)
            return &n->task;
        if (n->device == t->device && s->seq[i] == t->seq)
            asked = &n->task;
    }
    return asked;
}

// A join failed: a device that has failed says so when it is asked again.
static int blame_join(struct executor *x, const struct step *s, int upto, const struct ticket *t,
                      int n, struct err *e)
{
    struct err again = {0};
    for (int i = 0; i < n && e->code == ERR_DEVICE; i++) {
        struct device *d = x->machine->device[t[i].device];
        if (n == 1 || d->ops->poll(d, t[i].seq, &again) < 0)
            return blame(x, t[i].device, stopped_at(x, s, upto, &t[i]), e);
    }
    return e->code;
}

// When something begins that a trace shows; -1: nobody traces.
static int64_t mark(const struct executor *x)
{
    return x->machine->trace ? x->machine->ops->now(x->machine) : -1;
}

// An entry that is a copy of the one a layer before it, but for weights and caches.
static bool repeats(const struct schedule *c, int i)
{
    return i >= c->block + 2 * c->layer && i < c->block + c->n_layers * c->layer;
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
            if (repeats(&p->step[i].schedule, j))
                s->task.graph = s[-p->step[i].schedule.layer].task.graph;
            else if (s->task.n_pad && d->ops->prepare(d, &g, &s->task.graph, e) < 0)
                return blame(x, s->device, &s->task, e);
        }
    if (begin >= 0 && x->machine->ops->now(x->machine) > begin)
        machine_trace_control(x->machine, "prepare graphs", begin);
    return 0;
}

// What announce needs to know of a step.
static void find_period(const struct executor *x, struct program *p, struct step *s)
{
    const struct schedule *c = &s->schedule;
    s->periodic = !x->coherence && x->machine->ops->replay;
    if (!s->periodic)
        return;
    s->begun = ARENA_NEWS(&p->arena, (size_t)c->n_layers, struct executor_stats);
    s->state = ARENA_NEWS(&p->arena, (size_t)(2 * MACHINE_MAX_DEVICES + c->layer), int64_t);
    for (int d = 0; d < MACHINE_MAX_DEVICES; d++)
        s->old[d] = -1;
    for (int i = c->block; i < c->block + c->layer; i++)
        s->tasks[c->entry[i].device]++;
    for (int i = c->block + c->layer; i < c->n && i < c->block + 2 * c->layer; i++)
        for (int d = 0; d < MACHINE_MAX_DEVICES; d++) {
            int join = c->entry[i].join[d];
            s->old[d] = join < c->block && join > s->old[d] ? join : s->old[d];
        }
}

// What an entry does, and what it costs on any machine: all that the executor and a model of a
// device can see of it, joins as distances.
struct description {
    int device, first_of_op, kind, m, k, m0, m1, n0, n1, out_n0, n_pad, order, graph;
    int spare; // no padding: descriptions are compared by their bytes
    int join[MACHINE_MAX_DEVICES];
    double expect_ps;
};

static void describe(const struct schedule *c, int i, struct description *out)
{
    const struct schedule_entry *n = &c->entry[i];
    const struct task *t = &n->task;
    *out = (struct description){
        .device = n->device,
        .first_of_op = n->first_of_op,
        .kind = (int)t->op->kind,
        .m = t->op->m,
        .k = t->op->k,
        .m0 = t->m0,
        .m1 = t->m1,
        .n0 = t->n0,
        .n1 = t->n1,
        .out_n0 = t->out_n0,
        .n_pad = t->n_pad,
        .order = (int)t->order,
        .graph = t->graph >= 0, // a handle is a name for what is said above
        .expect_ps = n->expect_ps,
    };
    for (int d = 0; d < MACHINE_MAX_DEVICES; d++)
        out->join[d] = n->join[d] < 0 ? 0 : i - n->join[d];
}

// Gives a step its number: from the model's shape (in a description's fields, whatever their names)
// and its entries, of which the layers from the third on repeat the second.
static void number_step(struct executor *x, struct step *s)
{
    const struct schedule *c = &s->schedule;
    const struct model_shape *m = &x->model->shape;
    int n = 0;
    s->number = 0;
    if (!s->periodic)
        return;
    struct description *d = calloc((size_t)c->n + 1, sizeof *d);
    if (!d)
        abort();
    d[n++] = (struct description){m->n_layer, m->n_head, m->n_head_kv, m->d_head,
                                  m->d_model, m->d_ff,   m->n_vocab,   .expect_ps = m->weight_bits};
    for (int i = 0; i < c->n; i++)
        if (!repeats(c, i))
            describe(c, i, &d[n++]);
    s->number = x->machine->ops->replay->number(x->machine, d, (size_t)n * sizeof *d);
    free(d);
}

int executor_compile(struct executor *x, const struct plan *p, const struct graph *g,
                     const struct cost_table *cost, struct program **out, struct err *e)
{
    struct program *r = calloc(1, sizeof *r);
    if (!r)
        abort();
    x->culprit = -1;
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
        s->work = ARENA_NEWS(&r->arena, (size_t)s->schedule.n, struct work);
        find_period(x, r, s);
        pace_init(&s->pace, x->machine);
        for (int j = 0; j < s->schedule.n; j++) {
            struct schedule_entry *n = &s->schedule.entry[j];
            bind(x, &n->task);
            n->expect_ps =
                repeats(&s->schedule, j) ? n[-s->schedule.layer].expect_ps : expected(cost, n);
            s->pace.expected[n->device] += n->expect_ps;
            if (device_load(x->machine->device[n->device], &n->task, e) < 0) {
                blame(x, n->device, &n->task, e);
                goto fail;
            }
        }
    }
    r->prepare_pending = p->prepare_online;
    if (!r->prepare_pending && prepare(x, r, e) < 0)
        goto fail;
    for (int i = 0; i < r->n_steps && !r->prepare_pending; i++)
        number_step(x, &r->step[i]);
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

// A ticket was complete earlier or later than expected, and so will be what is queued behind it.
// Equal runs of a model take equal times; there the profile is all there is to know.
static void correct(struct executor *x, const struct ticket *t)
{
    int64_t now = x->machine->ops->now(x->machine), *due = &x->due[t->device];
    *due += now - t->due;
    if (*due < now || t->seq == x->last[t->device])
        *due = now;
}

// Joins the given entries (index per device, -1: none) unless they are known to be complete. `upto`
// entries have been submitted.
static int join(struct executor *x, const struct step *s, int upto, const int *entry, struct err *e)
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
        return blame_join(x, s, upto, t, n, e);
    for (int i = 0; i < n; i++) {
        x->joined[t[i].device] = t[i].seq;
        if (!x->machine->repeatable)
            correct(x, &t[i]);
    }
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
        return blame(x, coherence_culprit(x->coherence), &n->task, e);
    // The device may begin before submit returns: the thread that computes for it may take the very
    // core of this one, and be done by then.
    int64_t begun = x->machine->ops->now(x->machine);
    if (d->ops->submit(d, &n->task, &s->seq[i], e) < 0)
        return blame(x, n->device, &n->task, e);
    x->last[n->device] = s->seq[i];
    if (x->coherence)
        coherence_after(x->coherence, &n->task, n->device);
    if (x->machine->trace) {
        int64_t now = x->machine->ops->now(x->machine);
        executor_trace_submit(x->machine, &s->schedule, s->seq, i, x->idle, now);
        x->idle = now;
    }
    int64_t from = x->due[n->device] > begun ? x->due[n->device] : begun;
    s->due[i] = x->due[n->device] = from + (int64_t)(n->expect_ps * s->pace.factor[n->device]);
    struct work w = s->work[i] = repeats(&s->schedule, i) ? s->work[i - s->schedule.layer]
                                                          : task_work(&n->task, d->caps.act_bytes);
    struct work *sum = &x->stats.work[n->device];
    sum->flops += w.flops;
    sum->weight_bytes += w.weight_bytes;
    sum->read_bytes += w.read_bytes;
    sum->write_bytes += w.write_bytes;
    x->stats.submissions++;
    return 0;
}

static void add_work(struct work *sum, const struct work *a, const struct work *b, int times)
{
    sum->flops += times * (b->flops - a->flops);
    sum->weight_bytes += times * (b->weight_bytes - a->weight_bytes);
    sum->read_bytes += times * (b->read_bytes - a->read_bytes);
    sum->write_bytes += times * (b->write_bytes - a->write_bytes);
}

// sum + times * (b - a)
static void add_stats(struct executor_stats *sum, const struct executor_stats *a,
                      const struct executor_stats *b, int times)
{
    for (int d = 0; d < MACHINE_MAX_DEVICES; d++)
        add_work(&sum->work[d], &a->work[d], &b->work[d], times);
    sum->submissions += (uint64_t)times * (b->submissions - a->submissions);
    sum->joins += (uint64_t)times * (b->joins - a->joins);
}

// --- equal layers

// What the executor goes by in a layer, apart from the schedule: which tickets are still to be
// joined, when queues are expected to be empty, when the tasks of the layer before were expected
// to complete if they are still to be joined. Relative to now and to the latest tickets.
static size_t relative_state(const struct executor *x, const struct step *s, int first)
{
    int64_t now = x->machine->ops->now(x->machine), *out = s->state;
    size_t n = 0;
    for (int d = 0; d < x->desc.n_devices; d++) {
        out[n++] = (int64_t)(x->last[d] - x->joined[d]);
        out[n++] = x->due[d] > now ? x->due[d] - now : 0;
    }
    for (int i = first - s->schedule.layer; i < first; i++)
        out[n++] = s->seq[i] > x->joined[s->schedule.entry[i].device] ? s->due[i] - now : 0;
    return n * sizeof *out;
}

// Layers from entry `first` on have passed as those `period` layers before them, over `ps`.
static void catch_up(struct executor *x, struct step *s, int first, int layers, int period,
                     int64_t ps)
{
    const struct schedule *c = &s->schedule;
    const struct executor_stats now = x->stats;
    int times = layers / period;
    for (int i = first; i < first + layers * c->layer; i++) {
        int before = i - period * c->layer;
        s->seq[i] = s->seq[before] + (uint64_t)(period * s->tasks[c->entry[i].device]);
        s->due[i] = s->due[before] + ps / times;
        s->work[i] = s->work[before];
    }
    for (int d = 0; d < x->desc.n_devices; d++) {
        int64_t tasks = (int64_t)layers * s->tasks[d];
        x->last[d] += (uint64_t)tasks;
        x->joined[d] += (uint64_t)tasks;
        x->due[d] += tasks ? ps : 0;
    }
    add_stats(&x->stats, &s->begun[s->announced - 1 - period], &now, times);
}

// The layers of a step differ in their weights and caches only. So at the start of each the machine
// is told what the executor will go by; it may carry out layers at once (struct machine_replay).
// Returns the number of entries that are done.
static int announce(struct executor *x, struct step *s, int i)
{
    const struct schedule *c = &s->schedule;
    int layer = (i - c->block) / c->layer, period = 0;
    if (layer < 1 || layer >= c->n_layers || (i - c->block) % c->layer)
        return 0;
    for (int d = 0; d < x->desc.n_devices; d++)
        if (s->old[d] >= 0 && s->seq[s->old[d]] > x->joined[d])
            return 0;
    s->begun[s->announced] = x->stats;
    size_t size = relative_state(x, s, i);
    int64_t begin = x->machine->ops->now(x->machine);
    int done = x->machine->ops->replay->section(x->machine, s->announced++, c->n_layers - layer,
                                                s->state, size, &period);
    if (done)
        catch_up(x, s, i, done, period, x->machine->ops->now(x->machine) - begin);
    return done * c->layer;
}

static int make_step(struct executor *x, struct step *s, const int32_t *tokens, int n_past,
                     struct err *e)
{
    int n = s->n1 - s->n0, need[MACHINE_MAX_DEVICES];
    if (tokens && x->pool[BUF_TOKENS].host) {
        int32_t *dst = x->pool[BUF_TOKENS].host;
        memcpy(dst, tokens, (size_t)n * sizeof *dst);
        coherence_host_wrote(x->coherence, &x->pool[BUF_TOKENS], 0, n);
    }
    s->announced = 0;
    for (int i = 0; i < s->schedule.n; i++) {
        if (s->periodic && (i += announce(x, s, i)) == s->schedule.n)
            break;
        const struct schedule_entry *entry = &s->schedule.entry[i];
        if (x->sync->per_shard) {
            if (join(x, s, i, entry->join, e) < 0)
                return e->code;
        } else if (entry->first_of_op) {
            gather(&s->schedule, i, need);
            if (join(x, s, i, need, e) < 0)
                return e->code;
        }
        if (submit(x, s, i, n_past, e) < 0)
            return e->code;
    }
    // The host is about to read the logits, or to overwrite the tokens.
    return join(x, s, s->schedule.n, s->schedule.last, e);
}

// --- equal passes

// What a pass follows from besides the machine.
struct pass {
    const struct sync_ops *sync;
    uint32_t sync_number, step_number;
    int64_t n_past;
    int64_t unjoined[MACHINE_MAX_DEVICES], due[MACHINE_MAX_DEVICES];
};

// What is left of it.
struct passed {
    uint64_t tasks[MACHINE_MAX_DEVICES];
    int64_t unjoined[MACHINE_MAX_DEVICES], due[MACHINE_MAX_DEVICES];
    struct executor_stats sum;
};

static void relative(const struct executor *x, int64_t *unjoined, int64_t *due)
{
    int64_t now = x->machine->ops->now(x->machine);
    for (int d = 0; d < x->desc.n_devices; d++) {
        unjoined[d] = (int64_t)(x->last[d] - x->joined[d]);
        due[d] = x->due[d] > now ? x->due[d] - now : 0;
    }
}

static void take_over(struct executor *x, const struct passed *p)
{
    static const struct executor_stats none;
    int64_t now = x->machine->ops->now(x->machine);
    for (int d = 0; d < x->desc.n_devices; d++) {
        x->last[d] += p->tasks[d];
        x->joined[d] = x->last[d] - (uint64_t)p->unjoined[d];
        x->due[d] = now + p->due[d];
    }
    add_stats(&x->stats, &none, &p->sum, 1);
}

// A pass whose like the machine has made before need not be made.
static int run_step(struct executor *x, struct step *s, const int32_t *tokens, int n_past,
                    struct err *e)
{
    const struct machine_replay *replay = x->machine->ops->replay;
    if (!x->machine->repeatable) {
        pace_begin(&s->pace, x->machine);
        if (make_step(x, s, tokens, n_past, e) < 0)
            return e->code;
        pace_end(&s->pace, x->machine);
        return 0;
    }
    if (!s->number || !x->sync_number)
        return make_step(x, s, tokens, n_past, e);
    struct pass key;
    struct passed p;
    memset(&key, 0, sizeof key);
    key.sync = x->sync;
    key.sync_number = x->sync_number;
    key.step_number = s->number;
    key.n_past = n_past;
    relative(x, key.unjoined, key.due);
    if (replay->recall(x->machine, &key, sizeof key, &p, sizeof p)) {
        take_over(x, &p);
        return 0;
    }
    const struct executor_stats before = x->stats;
    memset(&p, 0, sizeof p);
    for (int d = 0; d < x->desc.n_devices; d++)
        p.tasks[d] = x->last[d];
    if (make_step(x, s, tokens, n_past, e) < 0)
        return e->code;
    for (int d = 0; d < x->desc.n_devices; d++)
        p.tasks[d] = x->last[d] - p.tasks[d];
    relative(x, p.unjoined, p.due);
    add_stats(&p.sum, &before, &x->stats, 1);
    replay->learn(x->machine, &p, sizeof p);
    return 0;
}

static int run(struct executor *x, struct program *p, const int32_t *tokens, int n_past,
               struct err *e)
{
    assert(x->sync);
    int total = p->step[p->n_steps - 1].n1;
    x->culprit = -1;
    if (n_past + total > x->n_ctx)
        return err_set(e, ERR_USAGE, "%d tokens after %d do not fit the context of %d", total,
                       n_past, x->n_ctx);
    if (p->prepare_pending) {
        if (prepare(x, p, e) < 0)
            return e->code;
        p->prepare_pending = false;
        for (int i = 0; i < p->n_steps; i++)
            number_step(x, &p->step[i]);
    }
    for (int i = 0; i < p->n_steps; i++) {
        struct step *s = &p->step[i];
        int64_t begin = x->idle = mark(x);
        if (run_step(x, s, tokens ? tokens + s->n0 : NULL, n_past + s->n0, e) < 0)
            return e->code;
        if (begin >= 0)
            executor_trace_step(x->machine, s->n1 - s->n0, n_past + s->n0, begin);
    }
    if (coherence_to_host(x->coherence, &x->pool[BUF_LOGITS], &x->stats.map_bytes, e) < 0)
        return blame(x, coherence_culprit(x->coherence), NULL, e);
    return 0;
}

// Waits until a device has done what it was given. Nothing is joined when it fails.
static int settle(struct executor *x, int device, struct err *e)
{
    struct device *d = x->machine->device[device];
    if (x->last[device] > x->joined[device] && d->ops->wait(d, x->last[device], WAIT_FINISH, e) < 0)
        return e->code;
    x->joined[device] = x->last[device];
    return 0;
}

// Tasks point into programs and buffers, which the caller may drop after an error: so those that
// are still on their way to other devices are waited for. A second device that fails in this is the
// next caller's business: its tickets stay unjoined.
int executor_run(struct executor *x, struct program *p, const int32_t *tokens, int n_past,
                 struct err *e)
{
    int rc = run(x, p, tokens, n_past, e);
    for (int d = 0; rc < 0 && d < x->machine->n_devices; d++)
        settle(x, d, &(struct err){0});
    return rc;
}

int executor_culprit(const struct executor *x)
{
    return x->culprit;
}

// Rows of the KV cache that a copying device had to itself are gone with it; in shared memory every
// row of a completed run is whole, and so are those that were brought there before.
int executor_salvage(struct executor *x, int n_past, int *rows, struct err *e)
{
    struct machine *m = x->machine;
    int64_t whole = n_past;
    x->culprit = -1;
    for (int d = 0; d < m->n_devices; d++) {
        if (!m->lost[d] && settle(x, d, e) < 0)
            return blame(x, d, NULL, e);
        x->joined[d] = x->last[d];
        x->due[d] = 0;
        for (int b = 0; m->lost[d] && b < BUF_KCACHE; b++)
            coherence_lose(x->coherence, &x->pool[b], d);
        for (int l = 0; m->lost[d] && l < 2 * x->model->shape.n_layer; l++) {
            int64_t gone = coherence_lose(x->coherence, &x->kcache[l], d);
            whole = gone < whole ? gone : whole;
        }
    }
    machine_describe(m, &x->desc);
    *rows = (int)whole;
    return 0;
}

const float *executor_logits(const struct executor *x)
{
    return x->pool[BUF_LOGITS].host;
}

void executor_clear(struct executor *x)
{
    x->stats = (struct executor_stats){0};
    memset(x->joined, 0, sizeof x->joined);
    memset(x->last, 0, sizeof x->last);
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
