// SPDX-License-Identifier: GPL-3.0-or-later
// Per buffer a short list of rectangles: who wrote it, and in whose memory it is valid. Devices
// that are coherent share the host's memory and count as "the host" (bit HOST). Neighbouring
// rectangles of one history are merged, so a KV cache that one device writes stays one rectangle
// however long the context grows.
#include "engine/coherence.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { HOST = MACHINE_MAX_DEVICES, MAX_RECTS = 24 };

struct rect {
    int64_t row0, row1, col0, col1; // rows, bytes
    int owner;                      // who wrote it: a device that is not coherent, or HOST
    unsigned valid;                 // bit per device, bit HOST
};

struct state {
    int n;
    struct rect rect[MAX_RECTS];
};

struct coherence {
    struct machine *m;
    struct state **buffer; // by buffer id
    uint32_t room;
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
    return c;
}

void coherence_destroy(struct coherence *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->room; i++)
        free(c->buffer[i]);
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
    return d->ops->map(d, b, r->row0, r->row1, r->col0, r->col1, dir, e);
}

// Makes rows [row0, row1) of b valid at `where`.
static int bring(struct coherence *c, struct buffer *b, int64_t row0, int64_t row1, int where,
                 int64_t *moved, struct err *e)
{
    struct state *s = state_of(c, b);
    for (int i = 0; i < s->n; i++) {
        struct rect *r = &s->rect[i];
        if (r->valid >> where & 1 || r->row0 >= row1 || r->row1 <= row0)
            continue;
        if (!(r->valid >> HOST & 1)) {
            if (map(c, b, r, r->owner, MAP_TO_HOST, moved, e) < 0)
                return ERR_DEVICE;
            r->valid |= 1u << HOST;
        }
        if (where != HOST) {
            if (map(c, b, r, where, MAP_TO_DEVICE, moved, e) < 0)
                return ERR_DEVICE;
            r->valid |= 1u << where;
        }
    }
    return 0;
}

static bool merge(struct rect *a, const struct rect *b)
{
    if (a->owner != b->owner || a->valid != b->valid)
        return false;
    if (a->col0 == b->col0 && a->col1 == b->col1 && a->row1 == b->row0) {
        a->row1 = b->row1;
        return true;
    }
    return false;
}

static void wrote(struct coherence *c, struct buffer *b, int device, struct rect r)
{
    struct state *s = state_of(c, b);
    r.owner = place(c, device);
    r.valid = 1u << r.owner;
    // Older rectangles inside the new one are gone; partial overlaps keep their uncovered rows.
    int n = 0;
    for (int i = 0; i < s->n; i++) {
        struct rect *o = &s->rect[i];
        bool cols = o->col0 < r.col1 && r.col0 < o->col1;
        if (cols && o->row0 < r.row1 && r.row0 < o->row1) {
            bool inside = r.col0 <= o->col0 && o->col1 <= r.col1;
            if (inside && o->row0 >= r.row0 && o->row1 <= r.row1)
                continue;
            if (inside && o->row0 < r.row0)
                o->row1 = r.row0;
            else if (inside)
                o->row0 = r.row1;
        }
        s->rect[n++] = *o;
    }
    s->n = n;
    if (s->n && merge(&s->rect[s->n - 1], &r))
        return;
    // Two that became equal by copies may be merged now.
    for (int i = 1; i < s->n;)
        if (merge(&s->rect[i - 1], &s->rect[i]))
            memmove(&s->rect[i], &s->rect[i + 1], (size_t)(--s->n - i) * sizeof *s->rect);
        else
            i++;
    assert(s->n < MAX_RECTS);
    s->rect[s->n++] = r;
}

void coherence_host_wrote(struct coherence *c, struct buffer *b, int64_t row0, int64_t row1)
{
    if (c)
        wrote(c, b, HOST, (struct rect){.row0 = row0, .row1 = row1, .col1 = b->pitch});
}

int coherence_before(struct coherence *c, const struct task *t, int device, bool split,
                     int64_t *moved, struct err *e)
{
    int where = place(c, device);
    bool in_place = t->op->kind == OP_ADD || t->op->kind == OP_ROPE;
    // An in-place operator on several devices: the first write would orphan what the others still
    // have to read, so the old content goes to the host first.
    if (in_place && split && bring(c, t->out, 0, INT64_MAX, HOST, moved, e) < 0)
        return ERR_DEVICE;
    struct buffer *use[] = {t->in, t->in2, in_place ? t->out : NULL};
    for (size_t i = 0; i < sizeof use / sizeof use[0]; i++)
        if (use[i] && bring(c, use[i], t->n0, t->n1, where, moved, e) < 0)
            return ERR_DEVICE;
    if (t->op->kind == OP_ATTENTION &&
        (bring(c, t->kcache, 0, t->n_past + t->n1, where, moved, e) < 0 ||
         bring(c, t->vcache, 0, t->n_past + t->n1, where, moved, e) < 0))
        return ERR_DEVICE;
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
