// SPDX-License-Identifier: GPL-3.0-or-later
// Per buffer a short list of disjoint rectangles: who has it, and in whose memory it is valid.
// Devices that are coherent share the host's memory and count as "the host" (bit HOST). A write
// cuts what it covers out of older rectangles, a copy cuts out what it copies; neighbours with one
// history are merged again, so a KV cache that one device writes stays one rectangle however long
// the context grows.
//
// Invariant: the rectangles of a buffer never overlap, so no copy can carry old values over new
// ones.
#include "engine/coherence.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { HOST = MACHINE_MAX_DEVICES };

struct rect {
    int64_t row0, row1, col0, col1; // rows, bytes
    int owner;                      // HOST where it is valid there, else the device that wrote it
    unsigned valid;                 // bit per device, bit HOST
};

struct state {
    int n, room;
    struct rect *rect;
};

struct coherence {
    struct machine *m;
    struct state **buffer; // by buffer id
    uint32_t room;
    int culprit;
};

struct coherence *coherence_create(struct machine *m)
{
    bool needed = false;
    for (int i = 0; i < m->n_devices; i++)
        needed |= !m->device[i]->caps.coherent;
    if (!needed)
        return NULL;
    struct coherence *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->m = m;
    c->culprit = -1;
    return c;
}

void coherence_destroy(struct coherence *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->room; i++)
        if (c->buffer[i]) {
            free(c->buffer[i]->rect);
            free(c->buffer[i]);
        }
    free(c->buffer);
    free(c);
}

static struct state *state_of(struct coherence *c, const struct buffer *b)
{
    if (b->id >= c->room) { // ids only grow while a machine lives
        uint32_t room = b->id + 64;
        c->buffer = realloc(c->buffer, room * sizeof(struct state *));
        if (!c->buffer)
            abort();
        memset(c->buffer + c->room, 0, (room - c->room) * sizeof(struct state *));
        c->room = room;
    }
    struct state **s = &c->buffer[b->id];
    if (!*s && !(*s = calloc(1, sizeof **s)))
        abort();
    return *s;
}

static int place(const struct coherence *c, int device)
{
    return device == HOST || c->m->device[device]->caps.coherent ? HOST : device;
}

static int map(struct coherence *c, struct buffer *b, const struct rect *r, int device,
               enum map_dir dir, int64_t *moved, struct err *e)
{
    struct device *d = c->m->device[device];
    *moved += (r->row1 - r->row0) * (r->col1 - r->col0);
    int rc = d->ops->map(d, b, r->row0, r->row1, r->col0, r->col1, dir, e);
    if (rc < 0)
        c->culprit = device;
    return rc;
}

static void add(struct state *s, struct rect r)
{
    if (r.row0 >= r.row1 || r.col0 >= r.col1)
        return;
    if (s->n == s->room) {
        s->room = s->room ? 2 * s->room : 8;
        s->rect = realloc(s->rect, (size_t)s->room * sizeof *s->rect);
        if (!s->rect)
            abort();
    }
    s->rect[s->n++] = r;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

// Takes the part of rectangle i inside `hole` out of the list and returns it; what is above, below,
// left and right of it stays. Empty: nothing of it is inside.
static struct rect cut(struct state *s, int i, const struct rect *hole)
{
    struct rect o = s->rect[i], in = o;
    in.row0 = most(o.row0, hole->row0), in.row1 = least(o.row1, hole->row1);
    in.col0 = most(o.col0, hole->col0), in.col1 = least(o.col1, hole->col1);
    if (in.row0 >= in.row1 || in.col0 >= in.col1)
        return (struct rect){0};
    s->rect[i] = s->rect[--s->n];
    struct rect above = o, below = o, left = in, right = in;
    above.row1 = in.row0, below.row0 = in.row1;
    left.col0 = o.col0, left.col1 = in.col0;
    right.col0 = in.col1, right.col1 = o.col1;
    add(s, above), add(s, below), add(s, left), add(s, right);
    return in;
}

static bool join_two(struct rect *a, const struct rect *b)
{
    if (a->owner != b->owner || a->valid != b->valid)
        return false;
    bool cols = a->col0 == b->col0 && a->col1 == b->col1;
    bool rows = a->row0 == b->row0 && a->row1 == b->row1;
    if (!(cols && (a->row1 == b->row0 || b->row1 == a->row0)) &&
        !(rows && (a->col1 == b->col0 || b->col1 == a->col0)))
        return false;
    a->row0 = least(a->row0, b->row0), a->row1 = most(a->row1, b->row1);
    a->col0 = least(a->col0, b->col0), a->col1 = most(a->col1, b->col1);
    return true;
}

static void merge(struct state *s)
{
    for (int i = 0; i < s->n; i++)
        for (int j = i + 1; j < s->n; j++)
            if (join_two(&s->rect[i], &s->rect[j])) {
                s->rect[j] = s->rect[--s->n];
                j = i; // the larger one may have a neighbour among those already seen
            }
}

// Makes rows [row0, row1) of b valid at `where`.
static int bring(struct coherence *c, struct buffer *b, int64_t row0, int64_t row1, int where,
                 int64_t *moved, struct err *e)
{
    struct state *s = state_of(c, b);
    const struct rect want = {.row0 = row0, .row1 = row1, .col1 = b->pitch};
    bool changed = false;
    for (int i = 0; i < s->n; i++) {
        if (s->rect[i].valid >> where & 1 || s->rect[i].row0 >= row1 || s->rect[i].row1 <= row0)
            continue;
        struct rect r = cut(s, i--, &want); // another one is at i now
        int rc = 0;
        if (r.owner != HOST)
            rc = map(c, b, &r, r.owner, MAP_TO_HOST, moved, e);
        if (rc == 0) {
            r.owner = HOST;
            r.valid |= 1u << HOST;
        }
        if (rc == 0 && where != HOST)
            rc = map(c, b, &r, where, MAP_TO_DEVICE, moved, e);
        if (rc == 0)
            r.valid |= 1u << where;
        add(s, r);
        if (rc < 0)
            return rc;
        changed = true;
    }
    if (changed)
        merge(s);
    return 0;
}

static void wrote(struct coherence *c, struct buffer *b, int device, struct rect r)
{
    struct state *s = state_of(c, b);
    r.owner = place(c, device);
    r.valid = 1u << r.owner;
    for (int i = 0; i < s->n; i++)
        if (cut(s, i, &r).valid)
            i--;
    add(s, r);
    merge(s);
}

void coherence_host_wrote(struct coherence *c, struct buffer *b, int64_t row0, int64_t row1)
{
    if (c)
        wrote(c, b, HOST, (struct rect){.row0 = row0, .row1 = row1, .col1 = b->pitch});
}

int coherence_before(struct coherence *c, const struct task *t, int device, int64_t *moved,
                     struct err *e)
{
    int where = place(c, device);
    bool in_place = t->op->kind == OP_ADD || t->op->kind == OP_ROPE;
    struct buffer *use[] = {t->in, t->in2, in_place ? t->out : NULL};
    for (size_t i = 0; i < sizeof use / sizeof use[0]; i++)
        if (use[i] && bring(c, use[i], t->n0, t->n1, where, moved, e) < 0)
            return e->code;
    if (t->op->kind == OP_ATTENTION &&
        (bring(c, t->kcache, 0, t->n_past + t->n1, where, moved, e) < 0 ||
         bring(c, t->vcache, 0, t->n_past + t->n1, where, moved, e) < 0))
        return e->code;
    return 0;
}

void coherence_after(struct coherence *c, const struct task *t, int device)
{
    struct rect r = {.row0 = t->out_n0,
                     .row1 = t->out_n0 + t->n1 - t->n0,
                     .col0 = (int64_t)t->m0 * 4,
                     .col1 = (int64_t)t->m1 * 4};
    wrote(c, t->out, device, r);
    if (t->op->kind == OP_ROPE) {
        struct rect rows = {
            .row0 = t->n_past + t->n0, .row1 = t->n_past + t->n1, .col1 = t->kcache->pitch};
        wrote(c, t->kcache, device, rows);
        wrote(c, t->vcache, device, rows);
    }
}

int coherence_to_host(struct coherence *c, struct buffer *b, int64_t *moved, struct err *e)
{
    return c ? bring(c, b, 0, INT64_MAX, HOST, moved, e) : 0;
}

int coherence_culprit(const struct coherence *c)
{
    return c ? c->culprit : -1;
}

int64_t coherence_lose(struct coherence *c, struct buffer *b, int device)
{
    int64_t gone = INT64_MAX;
    if (!c)
        return gone;
    struct state *s = state_of(c, b);
    for (int i = 0; i < s->n; i++) {
        struct rect *r = &s->rect[i];
        r->valid &= ~(1u << device);
        if (r->owner != device)
            continue;
        gone = least(gone, r->row0);
        s->rect[i--] = s->rect[--s->n];
    }
    merge(s);
    return gone;
}
