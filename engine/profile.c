// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/profile.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEW = 1, MANY = 3, LAYERS = 8, PAIR_ROUNDS = 15 };
static const int64_t BURST = 200 * PS_PER_US; // shortest burst on a real machine
static const int64_t IDLE = PS_PER_S;         // before an isolated measurement
static const int64_t WARM = 5 * PS_PER_MS;    // work before the first measurement of an operator
_Static_assert((int)PROFILE_MAX_N >= (int)DEVICE_MAX_SIZES, "one array holds either list");

struct bench {
    struct machine *m;
    const struct model *model;
    const struct profile_request *r;
    struct cost_table *t;
    struct buffer in, in2, out, kcache, vcache;
};

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static void add_n(struct profile_request *r, int n)
{
    for (int i = 0; i < r->n_n; i++)
        if (r->n[i] == n)
            return;
    if (n >= 1 && r->n_n < PROFILE_MAX_N)
        r->n[r->n_n++] = n;
}

void profile_default(const struct machine *m, int n_prompt, int n_ctx, struct profile_request *out)
{
    struct profile_request *r = out;
    *r = (struct profile_request){.row_parts = m->repeatable ? 8 : 4,
                                  .repeats = m->repeatable ? 1 : 2};
    add_n(r, 1);
    for (int n = 16; n < n_prompt && n <= 4096; n *= 2)
        add_n(r, n);
    // What is left of the prompt beside each standard size runs on dynamic-shape devices.
    for (int d = 0; d < m->n_devices; d++)
        for (int i = 0; i < m->device[d]->caps.n_sizes; i++) {
            int size = m->device[d]->caps.size[i];
            if (size > 1 && n_prompt % size && n_prompt > size)
                add_n(r, n_prompt % size);
        }
    add_n(r, n_prompt);
    r->max_n = 1;
    for (int d = 0; d < m->n_devices; d++)
        r->max_n = max_int(r->max_n, device_size_for(&m->device[d]->caps, n_prompt));
    r->max_n = max_int(r->max_n, n_prompt);
    for (int kv = n_ctx; kv >= 16 && r->n_kv < 4; kv /= 2)
        r->kv[r->n_kv++] = kv;
    if (!r->n_kv)
        r->kv[r->n_kv++] = n_ctx;
}

static int layers_of(const struct bench *b)
{
    int n = b->model->shape.n_layer;
    return n < LAYERS ? n : LAYERS;
}

// The same slice of the same operator in several layers. A running engine meets each layer's
// weights once per token; measuring one layer over and over would find them in a cache.
static int turns(const struct bench *b, const struct task *t, struct task *turn)
{
    int n = t->layer < 0 ? 1 : layers_of(b);
    for (int l = 0; l < n; l++) {
        turn[l] = *t;
        if (t->layer >= 0)
            graph_weights(l, &turn[l]);
    }
    return n;
}

// Time of so many submissions, tasks taking turns, and the wait for the last; least of the
// repetitions.
static int burst(struct machine *m, int device, const struct task *turn, int n, int count,
                 int repeats, double *ps, struct err *e)
{
    struct device *d = m->device[device];
    *ps = 0;
    for (int i = 0; i < repeats; i++) {
        int64_t begin = m->ops->now(m);
        uint64_t seq = 0;
        for (int j = 0; j < count; j++)
            if (d->ops->submit(d, &turn[j % n], &seq, e) < 0)
                return e->code;
        if (d->ops->wait(d, seq, WAIT_FINISH, e) < 0)
            return e->code;
        double took = (double)(m->ops->now(m) - begin);
        if (i == 0 || took < *ps)
            *ps = took;
    }
    return 0;
}

// Bursts are long enough for the clock and the scheduler of a real machine; a model has no noise.
// The first one does not count: preparing the task's graph took long enough for the device to fall
// asleep, and the wake-up would make the short burst longer but not the long one after it.
int profile_streamed(struct machine *m, int device, const struct task *turn, int n, int repeats,
                     double *ps, struct err *e)
{
    double few, many, first = 0;
    int c = 1;
    if (burst(m, device, turn, n, 1, repeats, &first, e) < 0)
        return e->code;
    while (!m->repeatable && c < 16 && first * c < (double)BURST)
        c *= 2;
    if (burst(m, device, turn, n, FEW * c, repeats, &few, e) < 0 ||
        burst(m, device, turn, n, MANY * c, repeats, &many, e) < 0)
        return e->code;
    *ps = (many - few) / ((MANY - FEW) * c);
    if (*ps <= 0) // noise on hardware: the average is an upper bound
        *ps = many / (MANY * c);
    return 0;
}

// A device that was idle clocks up over milliseconds, and the times of a running engine are those
// of a device that is awake.
int profile_warm(struct machine *m, int device, const struct task *turn, int n, int repeats,
                 struct err *e)
{
    int64_t begin = m->ops->now(m);
    double ps;
    for (int count = 1; m->ops->now(m) - begin < WARM && count <= 2048; count *= 2)
        if (burst(m, device, turn, n, count, repeats, &ps, e) < 0)
            return e->code;
    return 0;
}

int profile_ready(struct machine *m, int device, struct task *turn, int n, bool *able,
                  struct err *e)
{
    struct device *d = m->device[device];
    struct err no;
    *able = device_can(&d->caps, turn->op->kind) && d->ops->supports(d, turn, &no) >= 0;
    if (!*able)
        return 0;
    for (int i = 0; i < n; i++)
        if (device_load(d, &turn[i], e) < 0)
            return e->code;
    struct static_graph g = {turn->op, turn->m0, turn->m1, turn->n_pad, turn->order};
    if (turn->n_pad && d->ops->prepare(d, &g, &turn->graph, e) < 0)
        return e->code;
    for (int i = 1; i < n; i++)
        turn[i].graph = turn->graph;
    return 0;
}

static void bind(struct bench *b, struct task *t)
{
    t->in = &b->in;
    t->in2 = t->op->in2 == BUF_NONE ? NULL : &b->in2;
    t->out = &b->out;
    t->kcache = &b->kcache;
    t->vcache = &b->vcache;
}

static int ready(struct bench *b, int device, struct task *t, struct task *turn, int *n, bool *able,
                 struct err *e)
{
    bind(b, t);
    *n = turns(b, t, turn);
    if (profile_ready(b->m, device, turn, *n, able, e) < 0)
        return e->code;
    t->graph = turn->graph;
    return 0;
}

static int one(struct bench *b, int device, struct task *t, bool *able, double *ps, struct err *e)
{
    struct task turn[LAYERS];
    int n;
    if (ready(b, device, t, turn, &n, able, e) < 0)
        return e->code;
    if (*able && b->r->isolated) {
        b->m->ops->sleep(b->m, IDLE);
        *ps = profile_isolated(b->m, device, turn, e);
        return *ps < 0 ? e->code : 0;
    }
    return *able ? profile_streamed(b->m, device, turn, n, b->r->repeats, ps, e) : 0;
}

// Keeps a device busy with whole operators until it is awake.
static int warm_up(struct bench *b, int device, int op, int n, struct err *e)
{
    const struct device_caps *c = &b->m->device[device]->caps;
    struct graph g;
    struct task t, turn[LAYERS];
    int turn_n;
    bool able = false;
    graph_build(b->model, 1, 0, &g);
    if (!g.op[op].last_only)
        graph_build(b->model, n, 0, &g);
    graph_task(&g, op, op >= g.block_begin && op < g.block_end ? 0 : -1, &t);
    t.n_pad = t.op->kind == OP_MATMUL && c->static_graphs ? device_size_for(c, t.n1 - t.n0) : 0;
    if (ready(b, device, &t, turn, &turn_n, &able, e) < 0)
        return e->code;
    return able ? profile_warm(b->m, device, turn, turn_n, b->r->repeats, e) : 0;
}

static int matmul_shapes(struct bench *b, int device, int op, int n, struct err *e)
{
    const struct device_caps *c = &b->m->device[device]->caps;
    struct graph g;
    graph_build(b->model, n, 0, &g);
    const struct op *o = &g.op[op];
    if (o->last_only && n > 1)
        return 0;
    int layer = op >= g.block_begin && op < g.block_end ? 0 : -1;
    int tile = max_int(c->tile, 32);
    for (int order = 0; order < ORDER_COUNT; order++) {
        if (order && !(c->orders >> order & 1))
            continue;
        int last = 0;
        for (int i = 1; i <= b->r->row_parts; i++) {
            int rows = (int)((int64_t)o->m * i / b->r->row_parts);
            rows = i == b->r->row_parts ? o->m : rows / tile * tile;
            if (rows <= last)
                continue;
            last = rows;
            struct task t;
            bool able = false;
            double ps;
            graph_task(&g, op, layer, &t);
            t.m1 = rows;
            t.n_pad = c->static_graphs ? n : 0;
            t.order = (enum operand_order)order;
            if (one(b, device, &t, &able, &ps, e) < 0)
                return e->code;
            if (!able)
                return 0;
            cost_add_matmul(b->t, device, t.order, o->k, rows, n, ps);
        }
    }
    return 0;
}

static int other_shapes(struct bench *b, int device, int op, int n, struct err *e)
{
    struct graph g;
    graph_build(b->model, n, 0, &g);
    const struct op *o = &g.op[op];
    if (o->last_only)
        return 0; // out_norm: the same shape as attn_norm
    int layer = op >= g.block_begin && op < g.block_end ? 0 : -1;
    int points = o->kind == OP_ATTENTION ? b->r->n_kv : 1;
    for (int i = 0; i < points; i++) {
        struct task t;
        bool able = false;
        double ps;
        graph_task(&g, op, layer, &t);
        int kv = o->kind == OP_ATTENTION ? max_int(b->r->kv[i], n) : n;
        t.n_past = kv - n;
        if (one(b, device, &t, &able, &ps, e) < 0)
            return e->code;
        if (able)
            cost_add_op(b->t, device, o->kind, o->m, n, kv, ps);
    }
    return 0;
}

// Has an earlier operator the same shape? Matmuls are all measured: those of equal K give further
// row counts to one curve.
static bool redundant(const struct graph *g, int op)
{
    const struct op *o = &g->op[op];
    for (int i = 0; i < op && o->kind != OP_MATMUL; i++) {
        const struct op *p = &g->op[i];
        if (p->kind == o->kind && p->last_only == o->last_only && p->m == o->m)
            return true;
    }
    return false;
}

static int buffers(struct bench *b, struct err *e)
{
    const struct model_shape *s = &b->model->shape;
    int64_t widest = 1, rows = 1, kv = 1;
    for (int i = 0; i < BUF_KCACHE; i++) {
        int64_t w = graph_buffer_width(s, (enum buf_id)i);
        widest = i != BUF_LOGITS && w > widest ? w : widest;
    }
    for (int i = 0; i < b->r->n_n; i++)
        rows = b->r->n[i] > rows ? b->r->n[i] : rows;
    for (int d = 0; d < b->m->n_devices; d++)
        for (int i = 0; i < b->m->device[d]->caps.n_sizes; i++)
            if (b->m->device[d]->caps.size[i] <= b->r->max_n &&
                b->m->device[d]->caps.size[i] > rows)
                rows = b->m->device[d]->caps.size[i];
    for (int i = 0; i < b->r->n_kv; i++)
        kv = b->r->kv[i] > kv ? b->r->kv[i] : kv;
    kv = kv > rows ? kv : rows;
    // The logits are one row, but may be wider than all the rest.
    int64_t out = widest * rows > s->n_vocab ? widest : s->n_vocab;
    struct machine *m = b->m;
    if (m->ops->alloc(m, rows, widest * 4, &b->in, e) < 0 ||
        m->ops->alloc(m, rows, widest * 4, &b->in2, e) < 0 ||
        m->ops->alloc(m, rows, out * 4, &b->out, e) < 0 ||
        m->ops->alloc(m, kv, graph_buffer_width(s, BUF_KCACHE) * 4, &b->kcache, e) < 0 ||
        m->ops->alloc(m, kv, graph_buffer_width(s, BUF_VCACHE) * 4, &b->vcache, e) < 0)
        return e->code;
    return 0;
}

static void free_buffers(struct bench *b)
{
    struct buffer *all[] = {&b->in, &b->in2, &b->out, &b->kcache, &b->vcache};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i]->size)
            b->m->ops->free(b->m, all[i]);
}

static int sizes_of(const struct bench *b, int device, int *n)
{
    const struct device_caps *c = &b->m->device[device]->caps;
    int count = 0;
    if (!c->static_graphs) {
        memcpy(n, b->r->n, (size_t)b->r->n_n * sizeof *n);
        return b->r->n_n;
    }
    for (int i = 0; i < c->n_sizes; i++)
        if (!b->r->max_n || c->size[i] <= b->r->max_n)
            n[count++] = c->size[i];
    return count;
}

// Time of about `length` ps of one device's tasks while all others are kept busy for longer;
// *expected is what they would take alone. The least of the repetitions.
static int beside(struct bench *b, int device, const struct task *task, const double *alone,
                  double length, const struct sync_ops *sync, const void *options, double *took,
                  double *expected, struct err *e)
{
    enum { LONGER = 3 };
    struct machine *m = b->m;
    for (int rep = 0; rep < b->r->repeats; rep++) {
        struct ticket k[MACHINE_MAX_DEVICES];
        int n = 1;
        int64_t begin = 0;
        for (int i = 0; i < m->n_devices; i++) { // the others first, the device last
            int d = (device + 1 + i) % m->n_devices;
            // Submitting the others' tasks takes host time in proportion to the length, too.
            begin = m->ops->now(m);
            int count = alone[d] > 0 ? (int)(length / alone[d] + 0.5) : 0;
            struct ticket *t = d == device ? &k[0] : &k[n++];
            *t = (struct ticket){.device = d, .due = begin + (int64_t)length};
            for (int j = 0; j < (d == device ? count : LONGER * count); j++)
                if (m->device[d]->ops->submit(m->device[d], &task[d], &t->seq, e) < 0)
                    return e->code;
            n -= d != device && !count;
            *expected = d == device ? count * alone[d] : *expected;
        }
        if (sync->join(m, options, &k[0], 1, e) < 0)
            return e->code;
        double ps = (double)(m->ops->now(m) - begin);
        *took = rep == 0 || ps < *took ? ps : *took;
        if (sync->join(m, options, &k[1], n - 1, e) < 0)
            return e->code;
    }
    return 0;
}

// How much slower matmuls of n tokens get when all devices run them at once.
static int contention(struct bench *b, int n, const struct sync_ops *sync, const void *options,
                      double *factors, struct err *e)
{
    struct graph g;
    struct task task[MACHINE_MAX_DEVICES];
    double alone[MACHINE_MAX_DEVICES] = {0}, longest = 0;
    int used = 0;
    graph_build(b->model, n, 0, &g);
    int op = graph_find(&g, "gate_up")->index;
    // The CPU stays out: while GPU and NPU work, it is the control plane.
    for (int d = 0; d < b->m->n_devices; d++) {
        const struct device_caps *c = &b->m->device[d]->caps;
        bool able = false;
        if (c->kind == DEVICE_CPU && b->m->n_devices > 2)
            continue;
        if (warm_up(b, d, op, n, e) < 0)
            return e->code;
        graph_task(&g, op, 0, &task[d]);
        task[d].n_pad = c->static_graphs ? device_size_for(c, n) : 0;
        if (one(b, d, &task[d], &able, &alone[d], e) < 0)
            return e->code;
        if (!able)
            alone[d] = 0;
        used += alone[d] > 0;
        longest = alone[d] > longest ? alone[d] : longest;
    }
    if (used < 2)
        return 0;
    for (int d = 0; d < b->m->n_devices; d++) {
        double took[2] = {0}, expected[2] = {0};
        for (int r = 0; r < 2 && alone[d] > 0; r++) // again a short and a long burst
            if (beside(b, d, task, alone, (r + 1) * 4 * longest, sync, options, &took[r],
                       &expected[r], e) < 0)
                return e->code;
        if (alone[d] > 0)
            factors[d] = fmax(1, (took[1] - took[0]) / (expected[1] - expected[0]));
    }
    return 0;
}

// Submits `count` operators that a flexible device (0) and the NPU (1) share, joined as the
// executor joins them, and waits for the last: every operator needs both parts of the one before
// it.
static int chain(struct bench *b, const int *device, const struct task *task, const double *alone,
                 int count, const struct sync_ops *sync, const void *options, double *ps,
                 struct err *e)
{
    struct machine *m = b->m;
    struct ticket k[2] = {{0}, {0}};
    int64_t begin = m->ops->now(m);
    for (int i = 0; i <= count; i++) {
        struct ticket need[2] = {k[0], k[1]};
        bool each = sync->per_shard && i < count;
        if (i > 0 && !each && sync->join(m, options, need, 2, e) < 0)
            return e->code;
        for (int s = 0; s < 2 && i < count; s++) {
            struct device *dev = m->device[device[s]];
            if (i > 0 && each && sync->join(m, options, &need[1 - s], 1, e) < 0)
                return e->code;
            k[s].device = device[s];
            if (dev->ops->submit(dev, &task[s], &k[s].seq, e) < 0)
                return e->code;
            k[s].due = m->ops->now(m) + (int64_t)alone[s];
        }
    }
    *ps = (double)(m->ops->now(m) - begin);
    return 0;
}

// Extra ps per operator of a chain over the part of side `s`, which is the longer one.
static int chain_extra(struct bench *b, const int *device, const struct task *task,
                       const double *alone, int s, const struct sync_ops *sync, const void *options,
                       double *extra, struct err *e)
{
    enum { SHORT = 4, LONG = 12 };
    double took[2] = {0}, ps = 0;
    for (int i = 0; i < 2; i++) // preparing the graphs of other cuts took time: wake both
        if (burst(b->m, device[i], &task[i], 1, 1, 1, &ps, e) < 0)
            return e->code;
    for (int r = 0; r < 2; r++)
        for (int rep = 0; rep < b->r->repeats; rep++) {
            if (chain(b, device, task, alone, r ? LONG : SHORT, sync, options, &ps, e) < 0)
                return e->code;
            took[r] = rep == 0 || ps < took[r] ? ps : took[r];
        }
    double longer = alone[s] * cost_overheads(b->t)->together[device[s]];
    *extra = fmax(0, (took[1] - took[0]) / (LONG - SHORT) - longer);
    return 0;
}

// Shares a short matmul of one token, so that contention does not hide what is sought, once such
// that the flexible side takes clearly longer and once such that the NPU does, and measures what a
// chain of such operators costs over the longer part.
static int split_overhead(struct bench *b, const struct sync_ops *sync, const void *options,
                          struct err *e)
{
    enum { PARTS = 8 };
    int device[2] = {-1, -1};
    for (int d = 0; d < b->m->n_devices; d++) {
        enum device_kind kind = b->m->device[d]->caps.kind;
        if (kind == DEVICE_NPU)
            device[1] = d;
        else if (kind == DEVICE_GPU || device[0] < 0)
            device[0] = d;
    }
    if (device[0] < 0 || device[1] < 0)
        return 0;
    struct graph g;
    graph_build(b->model, 1, 0, &g);
    const struct op *op = graph_find(&g, "o");
    int tile = max_int(b->m->device[device[1]]->caps.tile, 1);
    double extra[2] = {-1, -1}, clear = 1.25;
    for (int i = PARTS - 1; i > 0 && extra[1] < 0; i--) { // from a small part of the NPU up
        int at = (int)((int64_t)op->m * i / PARTS) / tile * tile;
        struct task t[2];
        double ps[2] = {0};
        for (int s = 0; s < 2 && at > 0; s++) {
            bool able = false;
            graph_task(&g, op->index, 0, &t[s]);
            t[s].m0 = s ? at : 0;
            t[s].m1 = s ? op->m : at;
            t[s].n_pad = b->m->device[device[s]]->caps.static_graphs ? 1 : 0;
            if (one(b, device[s], &t[s], &able, &ps[s], e) < 0)
                return e->code;
            if (!able)
                return 0;
        }
        for (int s = 0; s < 2 && at > 0; s++) // of the flexible side the last, of the NPU the first
            if (ps[s] > clear * ps[1 - s] &&
                chain_extra(b, device, t, ps, s, sync, options, &extra[s], e) < 0)
                return e->code;
    }
    for (int s = 0; s < 2; s++)
        cost_overheads(b->t)->split[device[s]] = extra[s];
    return 0;
}

static int copies(struct bench *b, struct err *e)
{
    for (int d = 0; d < b->m->n_devices; d++) {
        struct device *dev = b->m->device[d];
        if (dev->caps.coherent)
            continue;
        double best = 0;
        for (int i = 0; i < b->r->repeats + 1; i++) { // the first one warms up
            int64_t begin = b->m->ops->now(b->m);
            int64_t rows = b->in.size / b->in.pitch;
            if (dev->ops->map(dev, &b->in, 0, rows, 0, b->in.pitch, MAP_TO_DEVICE, e) < 0)
                return e->code;
            double rate =
                (double)b->in.size * PS_PER_S / (double)(b->m->ops->now(b->m) - begin + 1);
            best = rate > best ? rate : best;
        }
        cost_overheads(b->t)->copy_bandwidth[d] = best;
    }
    return 0;
}

int profile_run(struct machine *m, const struct model *model, const struct profile_request *r,
                struct cost_table *t, struct err *e)
{
    struct bench b = {.m = m, .model = model, .r = r, .t = t};
    struct graph g;
    int rc = buffers(&b, e);
    m->quiet = true; // as of the first reset below
    graph_build(model, 1, 0, &g);
    for (int d = 0; rc == 0 && d < m->n_devices; d++) {
        int n[PROFILE_MAX_N]; // at least DEVICE_MAX_SIZES
        int count = sizes_of(&b, d, n);
        for (int op = 0; rc == 0 && op < g.n_ops; op++) {
            if (redundant(&g, op))
                continue;
            m->ops->reset(m); // static graphs of other operators make room
            rc = warm_up(&b, d, op, n[count - 1], e);
            bool matmul = g.op[op].kind == OP_MATMUL;
            // A static-graph device runs its other operators with dynamic shapes.
            int all = matmul ? count : r->n_n;
            for (int i = 0; rc == 0 && i < all; i++)
                rc = matmul ? matmul_shapes(&b, d, op, n[i], e)
                            : other_shapes(&b, d, op, r->n[i], e);
        }
    }
    if (rc == 0)
        rc = copies(&b, e);
    free_buffers(&b);
    m->quiet = false;
    m->ops->reset(m);
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double profile_median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[n / 2];
}

// What it takes from the end of a task on one device to the begin of the next on each. A model has
// no need of it: its hand-overs are the sum of what both devices are charged.
static int pairs(struct machine *m, const struct profile_leg *leg, const struct sync_ops *sync,
                 const void *options, struct cost_overheads *o, struct err *e)
{
    for (int a = 0; a < m->n_devices; a++)
        for (int b = 0; b < m->n_devices; b++) {
            double ps[PAIR_ROUNDS];
            int n = 0;
            if (!leg[a].task || !leg[b].task || m->repeatable)
                continue;
            if (profile_pair(m, &leg[a], &leg[b], sync, options, PAIR_ROUNDS, ps, &n, e) < 0)
                return e->code;
            o->pair[a][b] = n ? fmax(0, profile_median(ps, n)) : -1;
        }
    return 0;
}

int profile_sync(struct machine *m, const struct model *model, const struct sync_ops *sync,
                 const void *options, int n, struct cost_table *t, struct err *e)
{
    // Steps longer than what every device takes at once tell nothing new about contention.
    for (int d = 0; d < m->n_devices; d++) {
        const struct device_caps *c = &m->device[d]->caps;
        if (c->static_graphs && c->n_sizes && n > c->size[c->n_sizes - 1])
            n = c->size[c->n_sizes - 1];
    }
    int size = n;
    for (int d = 0; d < m->n_devices; d++)
        if (m->device[d]->caps.static_graphs && device_size_for(&m->device[d]->caps, n) > size)
            size = device_size_for(&m->device[d]->caps, n);
    struct profile_request r = {.n = {1, size},
                                .n_n = 2,
                                .kv = {16},
                                .n_kv = 1,
                                .repeats = m->repeatable ? 1 : 3,
                                .max_n = size};
    struct bench b = {.m = m, .model = model, .r = &r, .t = t};
    struct cost_overheads *o = cost_overheads(t);
    struct profile_leg leg[MACHINE_MAX_DEVICES] = {{0}};
    struct task task[MACHINE_MAX_DEVICES];
    struct graph g;
    m->quiet = true;
    m->ops->reset(m);
    int rc = buffers(&b, e);
    graph_build(model, 1, 0, &g);
    for (int d = 0; rc == 0 && d < m->n_devices; d++) {
        const struct device_caps *c = &m->device[d]->caps;
        bool able = false;
        double alone;
        o->ahead[d] = sync->per_shard;
        for (int to = 0; to < m->n_devices; to++)
            o->pair[d][to] = -1; // of this scheme
        bool adds = device_can(c, OP_ADD);
        graph_task(&g, graph_find(&g, adds ? "add_attn" : "down")->index, 0, &task[d]);
        task[d].n_pad = !adds && c->static_graphs ? device_size_for(c, 1) : 0;
        rc = warm_up(&b, d, graph_find(&g, "down")->index, 1, e);
        if (rc == 0)
            rc = one(&b, d, &task[d], &able, &alone, e);
        if (rc == 0 && able) {
            leg[d] = (struct profile_leg){d, &task[d], alone};
            rc = profile_hand_over(m, d, &task[d], alone, sync, options, &o->join[d], &o->submit[d],
                                   e);
        }
    }
    if (rc == 0)
        rc = pairs(m, leg, sync, options, o, e);
    if (rc == 0)
        rc = contention(&b, 1, sync, options, o->together, e);
    if (rc == 0)
        rc = split_overhead(&b, sync, options, e);
    if (rc == 0 && n > 1)
        rc = contention(&b, n, sync, options, o->together_many, e);
    free_buffers(&b);
    m->quiet = false;
    m->ops->reset(m);
    return rc < 0 ? rc : 0;
}

double profile_isolated(struct machine *m, int device, const struct task *task, struct err *e)
{
    struct device *d = m->device[device];
    uint64_t seq;
    int done = 0;
    int64_t begin = m->ops->now(m);
    if (d->ops->submit(d, task, &seq, e) < 0)
        return -1;
    while (!done) {
        m->ops->pause(m);
        done = d->caps.flag ? m->ops->flag(m, device) >= seq : d->ops->poll(d, seq, e);
        if (done < 0)
            return -1;
    }
    return (double)(m->ops->now(m) - begin);
}
