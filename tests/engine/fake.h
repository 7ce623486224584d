// SPDX-License-Identifier: GPL-3.0-or-later
// A machine for tests of the engine: devices that compute with the reference operators, some on
// memory of their own, and that are as late or as early as the contract allows. Pending tasks run
// at seeded random moments, or only when somebody waits for them, so a join or a copy that is
// missing shows as wrong numbers. On request a device lies in its statistics, forgets work, refuses
// a task or is lost.
#ifndef TESTS_ENGINE_FAKE_H
#define TESTS_ENGINE_FAKE_H

#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "engine/machine.h"
#include "engine/ref.h"
#include "tests/harness.h"

enum { FAKE_QUEUE = 4096, FAKE_GRAPHS = 512, FAKE_TASK_PS = 1000000 };

enum fake_kind { FAKE_GPU, FAKE_CPU, FAKE_NPU, FAKE_CARD }; // card: a GPU with its own memory

enum fake_fault {
    FAKE_HONEST,
    FAKE_OVER_BUSY,   // reports twice the time it worked
    FAKE_LOSES_BYTES, // reports half of what it moved
    FAKE_SKIPS,       // leaves out every tenth task, and does not report it
    FAKE_REFUSES,     // submit fails from task `at` on
    FAKE_IS_LOST,     // nothing completes from task `at` on; poll and wait say so
    FAKE_CANNOT_MAP,  // map fails from call `at` on
    FAKE_CANNOT_LOAD, // load fails
    FAKE_CANNOT_PREPARE,
    FAKE_CANNOT_ALLOC // alloc fails from buffer `at` on
};

struct fake_device {
    struct device base; // first
    enum fake_fault fault;
    uint64_t at, maps, allocs;
    struct task task[FAKE_QUEUE];
    uint64_t submitted, done, deepest; // deepest: tasks pending at a submission, at most
    struct device_stats stats;
    struct static_graph graph[FAKE_GRAPHS];
    struct op graph_op[FAKE_GRAPHS];
    int n_graphs;
    int64_t mapped; // bytes
    int early_maps; // maps of rectangles that a pending task still works on
};

struct fake {
    struct machine m; // first
    struct fake_device dev[MACHINE_MAX_DEVICES];
    struct rng *rng;
    double eager; // chance that a device runs a task when the machine is looked at; 0: never early
    int64_t now;
    int buffers; // alive
    uint32_t ids;
    float *scratch;
    size_t n_scratch;
};

static inline struct fake *fake_of(const struct device *d)
{
    return (struct fake *)d->machine;
}

static inline struct buffer *fake_view(const struct fake_device *f, struct buffer *b,
                                       struct buffer *view)
{
    if (!b)
        return NULL;
    *view = *b;
    if (!f->base.caps.coherent)
        view->host = b->priv[f->base.index];
    return view;
}

static inline void fake_compute(struct fake_device *f, const struct task *t)
{
    struct fake *m = fake_of(&f->base);
    struct buffer v[5];
    struct task mine = *t;
    size_t need = ref_scratch(t->model, t->n_past + t->n1) + (size_t)t->op->k;
    if (need > m->n_scratch) {
        m->scratch = realloc(m->scratch, need * sizeof *m->scratch);
        m->n_scratch = need;
    }
    mine.in = fake_view(f, t->in, &v[0]);
    mine.in2 = fake_view(f, t->in2, &v[1]);
    mine.out = fake_view(f, t->out, &v[2]);
    mine.kcache = fake_view(f, t->kcache, &v[3]);
    mine.vcache = fake_view(f, t->vcache, &v[4]);
    ref_run(&mine, m->scratch);
}

// Runs the task at the head of the queue; false when there is none, or the device is lost.
static inline bool fake_turn(struct fake_device *f)
{
    if (f->done == f->submitted || (f->fault == FAKE_IS_LOST && f->done + 1 >= f->at))
        return false;
    const struct task *t = &f->task[f->done % FAKE_QUEUE];
    struct fake *m = fake_of(&f->base);
    f->done++;
    m->now += FAKE_TASK_PS;
    if (f->fault == FAKE_SKIPS && f->done % 10 == 0)
        return true;
    if (m->m.values)
        fake_compute(f, t);
    struct work w = task_work(t, f->base.caps.act_bytes);
    f->stats.tasks++;
    f->stats.busy_ps += FAKE_TASK_PS;
    f->stats.flops += w.flops;
    f->stats.bytes += w.weight_bytes + w.read_bytes + w.write_bytes;
    return true;
}

// Time passes: every device may get on with its work.
static inline void fake_glance(struct fake *m)
{
    m->now += 1000;
    for (int i = 0; i < m->m.n_devices; i++)
        while (m->eager > 0 && rng_uniform(m->rng) < m->eager && fake_turn(&m->dev[i]))
            ;
}

static inline int fake_supports(const struct device *d, const struct task *t, struct err *e)
{
    const struct device_caps *c = &d->caps;
    bool standard = false;
    for (int i = 0; i < c->n_sizes; i++)
        standard |= c->size[i] == t->n_pad;
    bool graph = c->static_graphs && t->op->kind == OP_MATMUL;
    if (graph ? !standard || t->n_pad < t->n1 - t->n0 : t->n_pad != 0)
        return err_set(e, ERR_UNSUPPORTED, "%s: graph of %d", c->name, t->n_pad);
    return 0;
}

static inline int fake_alloc(struct device *d, struct buffer *b, struct err *e)
{
    struct fake_device *f = (struct fake_device *)d;
    if (f->fault == FAKE_CANNOT_ALLOC && ++f->allocs >= f->at)
        return err_set(e, ERR_MEMORY, "%s has no memory", d->caps.name);
    if (!d->caps.coherent && b->host) { // not zeroes: what was never copied must not look right
        b->priv[d->index] = malloc((size_t)b->size);
        for (int64_t i = 0; i < b->size / 4; i++)
            ((float *)b->priv[d->index])[i] = b->pitch == 4 ? 0 : -1e6f;
    }
    return 0;
}

static inline void fake_free(struct device *d, struct buffer *b)
{
    free(b->priv[d->index]);
    b->priv[d->index] = NULL;
}

struct fake_rect {
    int64_t row0, row1, col0, col1; // rows, bytes
};

static inline bool fake_meet(const struct fake_rect *a, int64_t row0, int64_t row1, int64_t col0,
                             int64_t col1)
{
    return row0 < a->row1 && a->row0 < row1 && col0 < a->col1 && a->col0 < col1;
}

// Does a pending task write (or, on request, read) some of that rectangle?
static inline bool fake_uses(const struct task *t, const struct buffer *b, bool reads,
                             const struct fake_rect *r)
{
    bool used = false;
    int64_t cache = t->n_past;
    if (t->out->id == b->id)
        used |= fake_meet(r, t->out_n0, t->out_n0 + t->n1 - t->n0, t->m0 * 4, t->m1 * 4);
    if (t->kcache && (t->kcache->id == b->id || t->vcache->id == b->id)) {
        if (t->op->kind == OP_ROPE)
            used |= fake_meet(r, cache + t->n0, cache + t->n1, 0, b->pitch);
        else if (reads)
            used |= fake_meet(r, 0, cache + t->n1, 0, b->pitch);
    }
    if (reads && ((t->in && t->in->id == b->id) || (t->in2 && t->in2->id == b->id)))
        used |= fake_meet(r, t->n0, t->n1, 0, b->pitch);
    return used;
}

static inline int fake_map(struct device *d, struct buffer *b, int64_t row0, int64_t row1,
                           int64_t col0, int64_t col1, enum map_dir dir, struct err *e)
{
    struct fake_device *f = (struct fake_device *)d;
    if (f->fault == FAKE_CANNOT_MAP && ++f->maps >= f->at)
        return err_set(e, ERR_DEVICE, "%s cannot copy", d->caps.name);
    if (d->caps.coherent || !b->host)
        return 0;
    CHECK(row0 >= 0 && row1 <= b->size / b->pitch && col0 >= 0 && col1 <= b->pitch);
    const struct fake_rect rect = {row0, row1, col0, col1};
    bool busy = false;
    for (uint64_t i = f->done; i < f->submitted; i++)
        busy |= fake_uses(&f->task[i % FAKE_QUEUE], b, dir == MAP_TO_DEVICE, &rect);
    f->early_maps += busy;
    for (int64_t r = row0; r < row1; r++) {
        char *there = (char *)b->priv[d->index] + r * b->pitch + col0;
        char *here = (char *)b->host + r * b->pitch + col0;
        memcpy(dir == MAP_TO_HOST ? here : there, dir == MAP_TO_HOST ? there : here,
               (size_t)(col1 - col0));
    }
    f->mapped += (row1 - row0) * (col1 - col0);
    return 0;
}

static inline int fake_load(struct device *d, const struct tensor *w, int64_t m0, int64_t m1,
                            struct err *e)
{
    CHECK(m0 >= 0 && m0 < m1 && m1 <= w->rows);
    if (((struct fake_device *)d)->fault == FAKE_CANNOT_LOAD)
        return err_set(e, ERR_MEMORY, "%s has no room for weights", d->caps.name);
    return 0;
}

static inline int fake_prepare(struct device *d, const struct static_graph *g, int *handle,
                               struct err *e)
{
    struct fake_device *f = (struct fake_device *)d;
    if (f->fault == FAKE_CANNOT_PREPARE)
        return err_set(e, ERR_DEVICE, "%s cannot prepare", d->caps.name);
    int i = 0;
    while (i < f->n_graphs &&
           !(f->graph[i].m0 == g->m0 && f->graph[i].m1 == g->m1 && f->graph[i].n == g->n &&
             f->graph[i].order == g->order && !strcmp(f->graph[i].op->name, g->op->name)))
        i++;
    if (i == FAKE_GRAPHS)
        return err_set(e, ERR_MEMORY, "%s: too many graphs", d->caps.name);
    if (i == f->n_graphs) {
        // The operator belongs to the caller: keep what identifies it.
        f->graph_op[i] = *g->op;
        f->graph[i] = *g;
        f->graph[i].op = &f->graph_op[i];
        f->n_graphs++;
        f->stats.graphs++;
    }
    *handle = i;
    return 0;
}

static inline int fake_submit(struct device *d, const struct task *t, uint64_t *seq, struct err *e)
{
    struct fake_device *f = (struct fake_device *)d;
    if (f->fault == FAKE_REFUSES && f->submitted + 1 >= f->at)
        return err_set(e, ERR_DEVICE, "%s refuses", d->caps.name);
    if (d->caps.static_graphs && t->op->kind == OP_MATMUL) {
        const struct static_graph *g = &f->graph[t->graph];
        CHECK(t->graph >= 0 && t->graph < f->n_graphs);
        CHECK(g->m0 == t->m0 && g->m1 == t->m1 && g->n == t->n_pad && g->order == t->order);
    }
    while (f->submitted - f->done == FAKE_QUEUE)
        if (!fake_turn(f))
            return err_set(e, ERR_DEVICE, "%s stands still", d->caps.name);
    f->task[f->submitted % FAKE_QUEUE] = *t;
    *seq = ++f->submitted;
    if (f->submitted - f->done > f->deepest)
        f->deepest = f->submitted - f->done;
    fake_glance(fake_of(d));
    return 0;
}

static inline int fake_lost(const struct fake_device *f, uint64_t seq, struct err *e)
{
    return f->fault == FAKE_IS_LOST && seq >= f->at
               ? err_set(e, ERR_DEVICE, "%s is lost", f->base.caps.name)
               : 0;
}

static inline int fake_poll(struct device *d, uint64_t seq, struct err *e)
{
    struct fake_device *f = (struct fake_device *)d;
    fake_glance(fake_of(d));
    if (fake_of(d)->eager <= 0)
        fake_turn(f);
    return fake_lost(f, seq, e) < 0 ? ERR_DEVICE : f->done >= seq;
}

static inline int fake_wait(struct device *d, uint64_t seq, enum wait_mode mode, struct err *e)
{
    struct fake_device *f = (struct fake_device *)d;
    (void)mode;
    fake_glance(fake_of(d));
    while (f->done < seq && fake_turn(f))
        ;
    return fake_lost(f, seq, e);
}

static inline void fake_stats(struct device *d, struct device_stats *out)
{
    struct fake_device *f = (struct fake_device *)d;
    *out = f->stats;
    if (f->fault == FAKE_OVER_BUSY)
        out->busy_ps = 2 * fake_of(d)->now;
    if (f->fault == FAKE_LOSES_BYTES)
        out->bytes /= 2;
}

static inline void fake_reset_device(struct device *d)
{
    struct fake_device *f = (struct fake_device *)d;
    f->stats = (struct device_stats){0};
    f->n_graphs = 0;
    f->submitted = f->done = 0;
    f->maps = f->allocs = 0;
    f->mapped = f->early_maps = 0;
}

static inline void fake_close_device(struct device *d)
{
    (void)d;
}

static inline int64_t fake_now(struct machine *m)
{
    return ((struct fake *)m)->now;
}

static inline void fake_sleep(struct machine *m, int64_t ps)
{
    ((struct fake *)m)->now += ps;
    fake_glance((struct fake *)m);
}

static inline void fake_pause(struct machine *m)
{
    fake_glance((struct fake *)m);
}

static inline void fake_place(struct machine *m, enum core_class core)
{
    (void)m, (void)core;
}

static inline uint64_t fake_flag(struct machine *m, int device)
{
    struct fake *f = (struct fake *)m;
    fake_glance(f);
    if (f->eager <= 0)
        fake_turn(&f->dev[device]);
    return f->dev[device].done;
}

static inline void fake_free_buffer(struct machine *m, struct buffer *b)
{
    struct fake *f = (struct fake *)m;
    for (int i = 0; i < m->n_devices; i++)
        m->device[i]->ops->free(m->device[i], b);
    free(b->host);
    *b = (struct buffer){0};
    f->buffers--;
}

static inline int fake_alloc_buffer(struct machine *m, int64_t rows, int64_t pitch,
                                    struct buffer *out, struct err *e)
{
    struct fake *f = (struct fake *)m;
    struct buffer b = {.size = rows * pitch, .pitch = pitch, .id = f->ids++};
    b.host = m->values ? calloc((size_t)rows, (size_t)pitch) : NULL;
    f->buffers++;
    for (int i = 0; i < m->n_devices; i++)
        if (m->device[i]->ops->alloc(m->device[i], &b, e) < 0) {
            fake_free_buffer(m, &b);
            return e->code;
        }
    *out = b;
    return 0;
}

static inline void fake_frames(struct machine *m, struct frames *out)
{
    (void)m;
    *out = (struct frames){0};
}

static inline void fake_energy(struct machine *m, struct energy *out)
{
    (void)m;
    *out = (struct energy){.total = NAN, .device = {NAN, NAN, NAN, NAN}, .temperature = NAN};
}

static inline uint64_t fake_digest(struct machine *m)
{
    (void)m;
    return 0;
}

static inline void fake_reset(struct machine *m)
{
    ((struct fake *)m)->now = 0;
    for (int i = 0; i < m->n_devices; i++)
        m->device[i]->ops->reset(m->device[i]);
}

static inline void fake_close(struct machine *m)
{
    struct fake *f = (struct fake *)m;
    CHECK_INT(f->buffers, 0);
    rng_destroy(f->rng);
    free(f->scratch);
    free(f);
}

// kinds: a list of n devices. eager: see above.
static inline struct fake *fake_open(const enum fake_kind *kinds, int n, double eager,
                                     uint64_t seed)
{
    static const struct device_ops ops = {
        "fake",     fake_supports,     fake_alloc,       fake_free, fake_map,
        fake_load,  fake_prepare,      fake_submit,      fake_poll, fake_wait,
        fake_stats, fake_reset_device, fake_close_device};
    static const struct machine_ops machine = {.name = "fake",
                                               .doc = "for tests",
                                               .now = fake_now,
                                               .sleep = fake_sleep,
                                               .pause = fake_pause,
                                               .place = fake_place,
                                               .flag = fake_flag,
                                               .alloc = fake_alloc_buffer,
                                               .free = fake_free_buffer,
                                               .energy = fake_energy,
                                               .frames = fake_frames,
                                               .digest = fake_digest,
                                               .trace = machine_set_trace,
                                               .reset = fake_reset,
                                               .close = fake_close};
    static const char *const name[] = {"gpu", "cpu", "npu", "card"};
    struct fake *f = calloc(1, sizeof *f);
    f->m = (struct machine){
        .ops = &machine, .name = "fake", .repeatable = true, .values = true, .n_devices = n};
    f->eager = eager;
    f->rng = rng_create(seed, "fake");
    for (int i = 0; i < n; i++) {
        bool npu = kinds[i] == FAKE_NPU;
        f->dev[i].base = (struct device){.ops = &ops, .machine = &f->m, .index = i};
        f->dev[i].base.caps = (struct device_caps){
            .name = name[kinds[i]],
            .detail = "fake",
            .kind = npu                    ? DEVICE_NPU
                    : kinds[i] == FAKE_CPU ? DEVICE_CPU
                                           : DEVICE_GPU,
            .ops = (1u << OP_KINDS) - 1,
            .values = true,
            .static_graphs = npu,
            .n_sizes = npu ? 4 : 0,
            .size = {1, 4, 8, 16},
            .tile = npu ? 8 : 1,
            .act_bytes = 4,
            .orders = npu ? 3 : 0,
            .coherent = kinds[i] != FAKE_CARD,
            .flag = true,
            .event = true,
        };
        f->m.device[i] = &f->dev[i].base;
    }
    return f;
}

#endif
