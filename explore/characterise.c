// SPDX-License-Identifier: GPL-3.0-or-later
// Measuring one point. Everything goes through the machine seam, with the profiler's own steps
// (engine/profile.h), so the same lines characterise a phone, this computer and a model.
//
// Times of operators are either isolated (the device has been idle; published tables) or streamed
// (the difference of two bursts on a device that is awake; what a running model pays).
//
// Bandwidth is taken in a steady state: every device in the group is fed with matmuls of one token,
// a few always queued, until all have been awake for a while; then each device's rate is the bytes
// between the first and the last of its completions inside the same window. Whole operators between
// their own end points: nothing is cut off, and no device is counted while another one has not
// begun or has finished.
//
// Invariant: a measurement begins with the machine's reset and owns its weights and buffers, so a
// point's value depends on the machine and the point, never on what was measured before. A machine
// that computes values gets weights by the generator of the models, a few copies that take turns.
#include "explore/characterise_internal.h"

#include <assert.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics.h>
#include <stdlib.h>
#include <string.h>
#include "base/units.h"
#include "engine/profile.h"
#include "engine/sync.h"

enum { COPIES = 4, ROUNDS = 9, LEAST_ROUNDS = 3, CALLS = 16 };
enum { IN_FLIGHT = 4, WINDOW = 8 };                 // tasks queued per device; completions to see
enum { SHORT_WIDTH = 1024, LATENCY_MATRIX = 2048 }; // of the operators behind latencies
static const int64_t BUDGET = 60 * PS_PER_MS;       // repetitions of one point on a real machine
static const int64_t IDLE = PS_PER_S;               // longer than any idle timer
static const int64_t IDLE_REAL = 2 * PS_PER_MS;     // threads that poll for work have gone to sleep
static const int64_t AWAKE = 20 * PS_PER_MS;        // of streaming, before the window opens
static const int64_t TURN_REAL = 200 * PS_PER_US;   // between two looks, each of which takes a core
static const int64_t WINDOW_REAL = 100 * PS_PER_MS; // that the window lasts at least
static const int64_t PATIENCE = 4 * PS_PER_S;       // of streaming on a real machine

struct weights {
    struct tensor tensor[COPIES];
    void *data;
};

// One operator on up to all devices.
struct rig {
    struct machine *m;
    struct model model; // only the width of its weights
    struct op op;
    struct weights weights;
    int copies;
    struct buffer in, out[MACHINE_MAX_DEVICES];
};

static int rig_weights(struct rig *r, struct err *e)
{
    const struct encoding *enc = &encoding_q4_0;
    struct weights *w = &r->weights;
    if (r->op.k % (int)enc->block)
        return err_set(e, ERR_USAGE, "K = %d is no whole number of %s blocks of %u", r->op.k,
                       enc->name, (unsigned)enc->block);
    r->copies = r->m->values ? COPIES : 1;
    int64_t row = encoding_size(enc, r->op.k), size = row * r->op.m;
    int64_t padded = (size + 63) / 64 * 64;
    // Aligned to pages: what devices that share the host's memory ask for.
    if (r->m->values &&
        !(w->data = aligned_alloc(4096, (size_t)(padded * COPIES + 4095) / 4096 * 4096)))
        return err_set(e, ERR_MEMORY, "no memory for weights of %d x %d", r->op.m, r->op.k);
    for (int i = 0; i < r->copies; i++) {
        struct tensor *t = &w->tensor[i];
        *t = (struct tensor){
            .enc = enc, .rows = r->op.m, .cols = r->op.k, .row_bytes = row, .id = (uint32_t)i};
        snprintf(t->name, sizeof t->name, "weight %d x %d, %d", r->op.m, r->op.k, i);
        if (!w->data)
            continue;
        t->data = (char *)w->data + padded * i;
        tensor_generate(t, 0, (char *)w->data + padded * i);
    }
    return 0;
}

// Tokens of the smallest graph that holds n: whole tiles, or a standard size where that is smaller.
static int graph_size(const struct device_caps *c, int n)
{
    int tile = c->tile > 1 ? c->tile : 1, tiles = (n + tile - 1) / tile * tile;
    int standard = device_size_for(c, n);
    return standard && (standard < tiles || tile == 1) ? standard : tiles;
}

// Rows that the buffers need: the largest graph among the devices.
static int padded_rows(const struct machine *m, int n)
{
    int rows = n;
    for (int d = 0; d < m->n_devices; d++)
        if (m->device[d]->caps.static_graphs && graph_size(&m->device[d]->caps, n) > rows)
            rows = graph_size(&m->device[d]->caps, n);
    return rows;
}

static int rig_open(struct rig *r, struct machine *m, enum op_kind kind, int rows, int k, int n,
                    struct err *e)
{
    bool matmul = kind == OP_MATMUL;
    *r = (struct rig){.m = m};
    r->model.shape =
        (struct model_shape){.name = "characterisation",
                             .n_layer = 1,
                             .n_head = 1,
                             .n_head_kv = 1,
                             .d_head = 64,
                             .weight_bits = 8.0 * encoding_q4_0.bytes / encoding_q4_0.block};
    r->model.has_data = m->values;
    r->op = (struct op){.kind = kind,
                        .name = op_kind_name(kind),
                        .m = rows,
                        .k = k,
                        .in = matmul ? BUF_H : BUF_T,
                        .in2 = BUF_NONE,
                        .out = matmul ? BUF_T : BUF_X};
    m->ops->reset(m);
    int width = rows > k ? rows : k;
    if (rows < 1 || k < 1 || n < 1)
        return err_set(e, ERR_USAGE, "a matmul of %d x %d on %d tokens", rows, k, n);
    if ((matmul && rig_weights(r, e) < 0) ||
        m->ops->alloc(m, padded_rows(m, n), (int64_t)width * 4, &r->in, e) < 0)
        return e->code;
    for (int d = 0; d < m->n_devices; d++)
        if (m->ops->alloc(m, padded_rows(m, n), (int64_t)rows * 4, &r->out[d], e) < 0)
            return e->code;
    return 0;
}

static void rig_close(struct rig *r)
{
    r->m->ops->reset(r->m); // nothing is left in a queue that uses the buffers
    if (r->in.size)
        r->m->ops->free(r->m, &r->in);
    for (int d = 0; d < r->m->n_devices; d++)
        if (r->out[d].size)
            r->m->ops->free(r->m, &r->out[d]);
    free(r->weights.data);
}

// The rig's operator as tasks of one device, which take turns; loaded and prepared.
static int tasks(struct rig *r, int device, int n, enum operand_order order, struct task *turn,
                 struct err *e)
{
    struct device *d = r->m->device[device];
    bool matmul = r->op.kind == OP_MATMUL, able;
    int count = matmul ? r->copies : 1;
    for (int i = 0; i < count; i++)
        turn[i] = (struct task){
            .op = &r->op,
            .model = &r->model,
            .layer = matmul ? i : 0,
            .m1 = r->op.m,
            .n1 = n,
            .n_pad = matmul && d->caps.static_graphs ? graph_size(&d->caps, n) : 0,
            .order = order,
            .graph = -1,
            .n_parts = matmul,
            .w = {matmul ? &r->weights.tensor[i] : NULL},
            .in = &r->in,
            .out = &r->out[device],
        };
    if (profile_ready(r->m, device, turn, count, &able, e) < 0)
        return e->code;
    if (!able) // says why
        return d->ops->supports(d, turn, e) < 0
                   ? e->code
                   : err_set(e, ERR_UNSUPPORTED, "%s does not run %s", d->caps.name, r->op.name);
    return count;
}

// --- operators

static void be_idle(struct machine *m)
{
    m->ops->sleep(m, m->repeatable ? IDLE : IDLE_REAL);
}

// Enough of them? One on a machine without noise; else some, and more as long as there is time.
static bool enough(struct machine *m, int rounds, int64_t begin)
{
    return m->repeatable || rounds == ROUNDS ||
           (rounds >= LEAST_ROUNDS && m->ops->now(m) - begin > BUDGET);
}

static int isolated(struct machine *m, int device, const struct task *turn, int n, double *ps,
                    struct err *e)
{
    double took[ROUNDS];
    int64_t begin = m->ops->now(m);
    int i = 0;
    do {
        be_idle(m);
        took[i] = profile_isolated(m, device, &turn[i % n], e);
        if (took[i] < 0)
            return e->code;
        i++;
    } while (!enough(m, i, begin));
    *ps = profile_median(took, i);
    return 0;
}

// A difference of two bursts can be far off in either direction when somebody else needs the
// machine, so it is measured several times as well.
int characterise_streamed(struct machine *m, int device, const struct task *turn, int n, double *ps,
                          struct err *e)
{
    double took[ROUNDS];
    if (profile_warm(m, device, turn, n, 1, e) < 0)
        return e->code;
    int64_t begin = m->ops->now(m);
    int i = 0;
    do {
        if (profile_streamed(m, device, turn, n, 1, &took[i], e) < 0)
            return e->code;
        i++;
    } while (!enough(m, i, begin));
    *ps = profile_median(took, i);
    return 0;
}

static int operator_time(struct rig *r, const struct point *p, int device, const char *kind,
                         enum operand_order order, double *ps, struct err *e)
{
    struct task turn[COPIES];
    int n = tasks(r, device, p->n, order, turn, e);
    if (n < 0)
        return n;
    if (!kind)
        return isolated(r->m, device, turn, n, ps, e);
    if (!strcmp(kind, "streamed"))
        return characterise_streamed(r->m, device, turn, n, ps, e);
    return err_set(e, ERR_USAGE, "unknown kind of time \"%s\": expected streamed, or none", kind);
}

static int prepare_time(struct rig *r, const struct point *p, int device, enum operand_order order,
                        double *ps, struct err *e)
{
    struct machine *m = r->m;
    struct device *d = m->device[device];
    double took[ROUNDS];
    if (!d->caps.static_graphs)
        return err_set(e, ERR_UNSUPPORTED, "%s has no static graphs", d->caps.name);
    struct static_graph g = {&r->op, 0, r->op.m, graph_size(&d->caps, p->n), order};
    int64_t spent = 0;
    int i = 0, handle;
    do {
        m->ops->reset(m); // forgets the graph
        int64_t begin = m->ops->now(m);
        if (d->ops->prepare(d, &g, &handle, e) < 0)
            return e->code;
        took[i] = (double)(m->ops->now(m) - begin);
        spent += (int64_t)took[i++];
    } while (!m->repeatable && i < ROUNDS && (i < LEAST_ROUNDS || spent < BUDGET));
    *ps = profile_median(took, i);
    return 0;
}

// --- bandwidth

struct stream {
    int device, n_turns;
    struct task turn[COPIES];
    uint64_t first, submitted, done; // tickets
    uint64_t base;                   // the ticket that opened the window, 0: none yet
    int64_t base_at, last_at;
};

static int look(struct machine *m, struct stream *s, struct err *e)
{
    struct device *d = m->device[s->device];
    uint64_t before = s->done;
    if (d->caps.flag) {
        s->done = m->ops->flag(m, s->device);
    } else {
        int rc = 0;
        while (s->done < s->submitted && (rc = d->ops->poll(d, s->done + 1, e)) > 0)
            s->done++;
        if (rc < 0)
            return rc;
    }
    if (s->done > before)
        s->last_at = m->ops->now(m);
    return s->done > before;
}

static int feed(struct machine *m, struct stream *s, struct err *e)
{
    struct device *d = m->device[s->device];
    while (s->submitted - s->done < IN_FLIGHT) {
        if (d->ops->submit(d, &s->turn[s->submitted % (uint64_t)s->n_turns], &s->submitted, e) < 0)
            return e->code;
    }
    return 0;
}

static int stream_all(struct machine *m, struct stream *s, int n, struct err *e)
{
    int64_t begin = m->ops->now(m);
    for (bool more = true; more;) {
        int64_t now = m->ops->now(m);
        bool open = now - begin >= AWAKE;
        more = false;
        for (int i = 0; i < n; i++)
            open &= s[i].done >= 2;
        for (int i = 0; i < n; i++) {
            if (feed(m, &s[i], e) < 0)
                return e->code;
            int rc = look(m, &s[i], e);
            if (rc < 0)
                return rc;
            if (rc && open && !s[i].base) {
                s[i].base = s[i].done;
                s[i].base_at = s[i].last_at;
            }
            more |= !s[i].base || s[i].done < s[i].base + WINDOW ||
                    (!m->repeatable && s[i].last_at - s[i].base_at < WINDOW_REAL);
        }
        if (!m->repeatable && now - begin > PATIENCE)
            break;
        if (m->repeatable)
            m->ops->pause(m);
        else
            m->ops->sleep(m, TURN_REAL); // a polling thread would take a core from the devices
    }
    for (int i = 0; i < n; i++) {
        struct device *d = m->device[s[i].device];
        if (d->ops->wait(d, s[i].submitted, WAIT_FINISH, e) < 0)
            return e->code;
        if (!s[i].base || s[i].done == s[i].base)
            return err_set(e, ERR_DEVICE, "%s completed no operator in %d s beside the others",
                           d->caps.name, (int)(PATIENCE / PS_PER_S));
    }
    return 0;
}

// Bytes per second of one device of the group, or (-1) of all.
static int bandwidth(struct rig *r, const int *device, int n, int of, double *rate, struct err *e)
{
    struct stream s[MACHINE_MAX_DEVICES] = {{0}};
    for (int i = 0; i < n; i++) {
        s[i].device = device[i];
        s[i].n_turns = tasks(r, device[i], 1, ORDER_WEIGHT_STREAMED, s[i].turn, e);
        if (s[i].n_turns < 0)
            return e->code;
    }
    if (stream_all(r->m, s, n, e) < 0)
        return e->code;
    *rate = 0;
    for (int i = 0; i < n; i++) {
        struct work w = task_work(s[i].turn, r->m->device[s[i].device]->caps.act_bytes);
        double bytes = w.weight_bytes + w.read_bytes + w.write_bytes;
        if (of < 0 || of == s[i].device)
            *rate += bytes * (double)(s[i].done - s[i].base) * PS_PER_S /
                     (double)(s[i].last_at - s[i].base_at);
    }
    return 0;
}

// --- latencies

// Submission to an idle device, or right behind two others.
static int submit_time(struct machine *m, int device, const struct task *t, bool empty, double *ps,
                       struct err *e)
{
    struct device *d = m->device[device];
    double took[ROUNDS];
    int64_t start = m->ops->now(m);
    int i = 0;
    do {
        uint64_t seq;
        be_idle(m);
        for (int j = 0; !empty && j < 2; j++)
            if (d->ops->submit(d, t, &seq, e) < 0)
                return e->code;
        int64_t begin = m->ops->now(m);
        if (d->ops->submit(d, t, &seq, e) < 0)
            return e->code;
        took[i++] = (double)(m->ops->now(m) - begin);
        if (d->ops->wait(d, seq, WAIT_FINISH, e) < 0)
            return e->code;
    } while (!enough(m, i, start));
    *ps = profile_median(took, i);
    return 0;
}

// What the driver's finish costs when everything is complete, or how much later than a look at the
// device its callback wakes the host.
static int wait_time(struct machine *m, int device, const struct task *t, enum wait_mode mode,
                     double *ps, struct err *e)
{
    struct device *d = m->device[device];
    double took[ROUNDS], seen = 0;
    int64_t start = m->ops->now(m);
    int i = 0;
    if (mode == WAIT_EVENT && isolated(m, device, t, 1, &seen, e) < 0)
        return e->code;
    do {
        uint64_t seq;
        be_idle(m);
        int64_t begin = m->ops->now(m);
        if (d->ops->submit(d, t, &seq, e) < 0)
            return e->code;
        if (mode == WAIT_FINISH) {
            int done;
            while ((done = d->caps.flag ? m->ops->flag(m, device) >= seq
                                        : d->ops->poll(d, seq, e)) == 0)
                m->ops->pause(m);
            if (done < 0)
                return done;
            begin = m->ops->now(m);
        }
        if (d->ops->wait(d, seq, mode, e) < 0)
            return e->code;
        took[i++] = (double)(m->ops->now(m) - begin);
    } while (!enough(m, i, start));
    *ps = profile_median(took, i) - seen;
    *ps = *ps > 0 ? *ps : 0;
    return 0;
}

static int query_time(struct machine *m, int device, const struct task *t, double *ps,
                      struct err *e)
{
    struct device *d = m->device[device];
    uint64_t seq;
    if (d->ops->submit(d, t, &seq, e) < 0 || d->ops->wait(d, seq, WAIT_FINISH, e) < 0)
        return e->code;
    int64_t begin = m->ops->now(m);
    for (int i = 0; i < CALLS; i++)
        if (d->ops->poll(d, seq, e) < 0)
            return e->code;
    *ps = (double)(m->ops->now(m) - begin) / CALLS;
    return 0;
}

// A scheme with its default options, if this machine offers it.
static int scheme_of(const struct machine *m, const char *name, struct arena *a,
                     const struct sync_ops **sync, const void **options, struct err *e)
{
    struct machine_desc desc;
    machine_describe(m, &desc);
    int rc = sync_parse(name, a, sync, options, e);
    return rc >= 0 ? (*sync)->offered(&desc, *options, e) : rc;
}

static int join_time(struct machine *m, int device, const struct task *t, const char *scheme,
                     double *ps, struct err *e)
{
    const struct sync_ops *sync;
    const void *options;
    struct arena a;
    double alone, submit;
    arena_init(&a);
    int rc = scheme_of(m, scheme, &a, &sync, &options, e);
    if (rc >= 0)
        rc = characterise_streamed(m, device, t, 1, &alone, e);
    if (rc >= 0)
        rc = profile_hand_over(m, device, t, alone, sync, options, ps, &submit, e);
    arena_fini(&a);
    return rc;
}

// From the end of the shortest operator on one device to the begin of one on the other.
static int pair_time(struct machine *m, const int *device, const char *scheme, double *ps,
                     struct err *e)
{
    enum { PAIR_ROUNDS = 31 };
    bool add = device_can(&m->device[device[0]]->caps, OP_ADD) &&
               device_can(&m->device[device[1]]->caps, OP_ADD);
    double took[PAIR_ROUNDS];
    struct profile_leg leg[2] = {{0}};
    struct task t[2][COPIES];
    const struct sync_ops *sync;
    const void *options;
    struct arena a;
    struct rig r;
    int n = 0;
    arena_init(&a);
    int rc = rig_open(&r, m, add ? OP_ADD : OP_MATMUL, SHORT_WIDTH, SHORT_WIDTH, 1, e);
    if (rc >= 0)
        rc = scheme_of(m, scheme, &a, &sync, &options, e);
    for (int i = 0; i < 2 && rc >= 0; i++) {
        leg[i] = (struct profile_leg){.device = device[i], .task = t[i]};
        rc = tasks(&r, device[i], 1, ORDER_WEIGHT_STREAMED, t[i], e);
        if (rc >= 0)
            rc = characterise_streamed(m, device[i], t[i], 1, &leg[i].alone, e);
    }
    if (rc >= 0)
        rc = profile_pair(m, &leg[0], &leg[1], sync, options, m->repeatable ? 1 : PAIR_ROUNDS, took,
                          &n, e);
    if (rc >= 0 && n == 0)
        rc = err_set(e, ERR_UNSUPPORTED, "%s does not report when its devices execute what",
                     m->name);
    if (rc >= 0)
        *ps = profile_median(took, n);
    *ps = rc >= 0 && *ps > 0 ? *ps : 0;
    rig_close(&r);
    arena_fini(&a);
    return rc < 0 ? rc : 0;
}

static int control_time(struct machine *m, const char *kind, double *ps, struct err *e)
{
    double took[ROUNDS];
    m->ops->reset(m);
    bool sleeps = !strcmp(kind, "sleep");
    if (!sleeps && strcmp(kind, "pause"))
        return err_set(e, ERR_USAGE, "control:%s: expected sleep or pause", kind);
    for (int i = 0; i < ROUNDS; i++) {
        int64_t begin = m->ops->now(m);
        for (int j = 0; j < (sleeps ? 1 : CALLS); j++)
            if (sleeps)
                m->ops->sleep(m, PS_PER_US);
            else
                m->ops->pause(m);
        took[i] = (double)(m->ops->now(m) - begin) / (sleeps ? 1 : CALLS);
    }
    *ps = profile_median(took, ROUNDS);
    return 0;
}

static int latency(struct machine *m, int device, const char *kind, double *ps, struct err *e)
{
    static const char *const kinds[] = {"submit-empty", "submit-nonempty", "finish", "event",
                                        "flag",         "query",           "join-"};
    const struct device_caps *c = &m->device[device]->caps;
    bool submit = !strncmp(kind, "submit-", 7), add = !submit && device_can(c, OP_ADD);
    int width = submit ? LATENCY_MATRIX : SHORT_WIDTH;
    struct rig r;
    struct task t[COPIES];
    int rc = rig_open(&r, m, add ? OP_ADD : OP_MATMUL, width, width, 1, e);
    if (rc >= 0)
        rc = tasks(&r, device, 1, ORDER_WEIGHT_STREAMED, t, e);
    if (rc < 0)
        ;
    else if (!strcmp(kind, "submit-empty") || !strcmp(kind, "submit-nonempty"))
        rc = submit_time(m, device, t, kind[7] == 'e', ps, e);
    else if (!strcmp(kind, "finish"))
        rc = wait_time(m, device, t, WAIT_FINISH, ps, e);
    else if (!strcmp(kind, "event"))
        rc = c->event ? wait_time(m, device, t, WAIT_EVENT, ps, e)
                      : err_set(e, ERR_UNSUPPORTED, "%s has no completion callback", c->name);
    else if (!strcmp(kind, "flag"))
        rc = c->flag ? isolated(m, device, t, 1, ps, e)
                     : err_set(e, ERR_UNSUPPORTED, "%s sets no flag word", c->name);
    else if (!strcmp(kind, "query"))
        rc = query_time(m, device, t, ps, e);
    else if (!strncmp(kind, "join-", 5))
        rc = join_time(m, device, t, kind + 5, ps, e);
    else {
        const char *near = err_nearest(kind, kinds, sizeof kinds / sizeof kinds[0]);
        rc = err_set(e, ERR_USAGE, "unknown latency \"%s\"%s%s", kind,
                     near ? ", did you mean " : "", near ? near : "");
    }
    rig_close(&r);
    return rc < 0 ? rc : 0;
}

// --- points

static int find_device(const struct machine *m, const char *name, size_t len, struct err *e)
{
    const char *names[MACHINE_MAX_DEVICES] = {NULL};
    char word[POINT_WHAT];
    snprintf(word, sizeof word, "%.*s", (int)len, name);
    for (int d = 0; d < m->n_devices; d++) {
        names[d] = m->device[d]->caps.name;
        if (!strcmp(names[d], word))
            return d;
    }
    const char *near = err_nearest(word, names, (size_t)m->n_devices);
    return err_set(e, ERR_DEVICE, "%s has no device \"%s\"%s%s", m->name, word,
                   near ? ", did you mean " : "", near ? near : "");
}

// "gpu+npu", "gpu@gpu+npu".
static int find_group(const struct machine *m, const char *what, int *device, int *of,
                      struct err *e)
{
    const char *at = strchr(what, '@');
    int n = 0;
    *of = at ? find_device(m, what, (size_t)(at - what), e) : -1;
    if (at && *of < 0)
        return *of;
    bool inside = !at;
    for (const char *s = at ? at + 1 : what;; s++) {
        size_t len = strcspn(s, "+");
        int d = find_device(m, s, len, e);
        if (d < 0)
            return d;
        for (int i = 0; i < n; i++)
            if (device[i] == d)
                return err_set(e, ERR_USAGE, "%s: a device is named twice", what);
        device[n++] = d;
        inside |= d == *of;
        s += len;
        if (!*s)
            break;
    }
    return inside ? n : err_set(e, ERR_USAGE, "%s: the device is not in its group", what);
}

static int find_order(const char *text, enum operand_order *out, struct err *e)
{
    const char *names[ORDER_COUNT];
    *out = ORDER_WEIGHT_STREAMED;
    for (int o = 0; o < ORDER_COUNT; o++) {
        names[o] = order_name((enum operand_order)o);
        if (!strcmp(names[o], text))
            *out = (enum operand_order)o;
    }
    if (!*text || !strcmp(names[*out], text))
        return 0;
    const char *near = err_nearest(text, names, ORDER_COUNT);
    return err_set(e, ERR_USAGE, "unknown operand order \"%s\"%s%s", text,
                   near ? ", did you mean " : "", near ? near : "");
}

// A time as what the point asks for.
static int convert(struct point *p, double ps, struct err *e)
{
    double flops = 2.0 * p->m * p->k * p->n;
    if (!strcmp(p->unit, "us"))
        p->value = ps / (double)PS_PER_US;
    else if (!strcmp(p->unit, "ms"))
        p->value = ps / (double)PS_PER_MS;
    else if (!strcmp(p->unit, "GFLOP/s") && flops > 0)
        p->value = flops / ps * 1000;
    else
        return err_set(e, ERR_USAGE, "unknown unit \"%s\" of a %s: expected us, ms or GFLOP/s",
                       p->unit, p->section);
    return 0;
}

// "gpu>npu:poll".
static int measure_pair(struct machine *m, struct point *p, struct err *e)
{
    size_t from = strcspn(p->what, ">"), all = strcspn(p->what, ":");
    double ps = 0;
    if (from >= all || !p->what[all])
        return err_set(e, ERR_USAGE, "a join is DEVICE>DEVICE:SCHEME, found \"%s\"", p->what);
    int device[2] = {find_device(m, p->what, from, e), 0};
    if (device[0] < 0 || (device[1] = find_device(m, p->what + from + 1, all - from - 1, e)) < 0 ||
        pair_time(m, device, p->what + all + 1, &ps, e) < 0)
        return e->code;
    return convert(p, ps, e);
}

static int measure_time(struct machine *m, struct point *p, struct err *e)
{
    size_t len = strcspn(p->what, ":");
    const char *kind = p->what[len] ? p->what + len + 1 : NULL;
    bool prepare = !strcmp(p->section, "prepare");
    double ps = 0;
    if (!strcmp(p->section, "latency")) {
        if (!kind)
            return err_set(e, ERR_USAGE, "a latency is DEVICE:KIND, found \"%s\"", p->what);
        int d = strncmp(p->what, "control:", 8) ? find_device(m, p->what, len, e) : 0;
        int rc = d < 0                              ? d
                 : !strncmp(p->what, "control:", 8) ? control_time(m, kind, &ps, e)
                                                    : latency(m, d, kind, &ps, e);
        return rc < 0 ? rc : convert(p, ps, e);
    }
    if (!strcmp(p->section, characterise_section[SECTION_KERNEL])) {
        int d = find_device(m, p->what, len, e);
        int rc = d < 0 ? d : characterise_kernel(m, d, kind, p, &ps, e);
        return rc < 0 ? rc : convert(p, ps, e);
    }
    struct rig r;
    enum operand_order order;
    int d = find_device(m, p->what, len, e);
    if (d < 0 || find_order(p->order, &order, e) < 0)
        return e->code;
    int rc = rig_open(&r, m, OP_MATMUL, p->m, p->k, p->n, e);
    if (rc >= 0)
        rc = prepare ? prepare_time(&r, p, d, order, &ps, e)
                     : operator_time(&r, p, d, kind, order, &ps, e);
    rig_close(&r);
    return rc < 0 ? rc : convert(p, ps, e);
}

static int measure_bandwidth(struct machine *m, struct point *p, struct err *e)
{
    int device[MACHINE_MAX_DEVICES], of;
    struct rig r;
    double rate = 0;
    int n = find_group(m, p->what, device, &of, e);
    if (n < 0)
        return n;
    if (strcmp(p->unit, "GB/s") || p->n != 1)
        return err_set(e, ERR_USAGE, "a bandwidth is in GB/s and of one token, found %s and %d",
                       p->unit, p->n);
    int rc = rig_open(&r, m, OP_MATMUL, p->m, p->k, 1, e);
    if (rc >= 0)
        rc = bandwidth(&r, device, n, of, &rate, e);
    rig_close(&r);
    if (rc < 0)
        return rc;
    p->value = rate / 1e9;
    return 0;
}

int characterise_measure(struct machine *m, struct point *p, struct err *e)
{
    for (int i = 0; i < CHARACTERISE_SECTIONS; i++)
        if (!strcmp(p->section, characterise_section[i]))
            return i == SECTION_BANDWIDTH ? measure_bandwidth(m, p, e)
                   : i == SECTION_JOIN    ? measure_pair(m, p, e)
                                          : measure_time(m, p, e);
    const char *near = err_nearest(p->section, characterise_section, CHARACTERISE_SECTIONS);
    return err_set(e, ERR_USAGE, "unknown section \"%s\"%s%s", p->section,
                   near ? ", did you mean " : "", near ? near : "");
}

void characterise_combine(struct point *p, double *value, int n)
{
    bool rate = strchr(p->unit, '/') != NULL; // of equal work, so its inverse is what adds up
    for (int i = 0; i < n; i++)
        value[i] = rate && value[i] > 0 ? 1 / value[i] : value[i];
    gsl_sort(value, 1, (size_t)n);
    double middle = gsl_stats_trmean_from_sorted_data(0.25, value, 1, (size_t)n);
    p->value = rate && middle > 0 ? 1 / middle : middle;
}
