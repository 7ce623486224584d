// SPDX-License-Identifier: GPL-3.0-or-later
// Slices are reported when they end, flows when their target is submitted, counters of different
// tracks each in their own time: nearly in the order of time, but not quite. So a window of them is
// held back; when it has doubled, what is older than the window is sorted and handed on. Memory is
// bounded by the window, not by the trace.
//
// Slices are placed by their begin: on the first lane of their track on which nothing is open, or
// on which they lie inside what is open. An end is handed on before whatever begins at its time,
// and inner ends before outer ones, so on each lane begins and ends match like brackets.
//
// A flow is handed on as a number: with the end of its source, then with the begin of its target. A
// source whose target is known not to come after it keeps its flow to itself, so that no arrow
// points nowhere.
//
// Invariant: times handed on never go back; a target's flow has been handed on with its source.
#include "base/trace_order.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct lane {
    struct trace_lane l; // first
    int next;            // of the same track; -1: none
    int64_t *open;       // ends of what is open, the innermost last
    int n_open, room;
};

// A slice that has begun.
struct open {
    struct trace_slice s;
    int lane;
    uint64_t seq; // order of begins
};

enum flow_state { FLOW_NEW, FLOW_SENT, FLOW_DONE };
struct flow {
    uint64_t number;
    int64_t arrives; // begin of its target; INT64_MAX: not seen yet
    enum flow_state state;
};

struct trace_order {
    struct trace_memory m; // what is held back
    struct trace_sink sink;
    const struct trace_format *format;
    void *to;
    size_t window;
    int64_t reached; // ps: everything before has been handed on
    struct lane *lane;
    int n_lanes, room_lanes;
    int *first; // lane of a track, [m.n_tracks]; -1: none
    size_t n_first;
    struct open *open; // the next to end last
    size_t n_open, room_open;
    uint64_t begun, flows;
    struct flow *flow; // of m.flow
    size_t n_flow;
    // Ends of flows by id: end 2 f is the source of flow f, 2 f + 1 its target.
    uint32_t *bucket, *next; // 0: none, else end + 1
    size_t n_buckets;
    uint64_t *number; // of the flows of one slice
    size_t room_numbers;
    bool last; // nothing more will come
};

static void *resize(void *p, size_t n, size_t size)
{
    p = realloc(p, (n ? n : 1) * size);
    if (!p)
        abort();
    return p;
}

// --- lanes

static int add_lane(struct trace_order *o, int track, int number)
{
    if (o->n_lanes == o->room_lanes) {
        o->room_lanes = o->room_lanes ? 2 * o->room_lanes : 16;
        o->lane = resize(o->lane, (size_t)o->room_lanes, sizeof *o->lane);
    }
    int i = o->n_lanes++;
    o->lane[i] = (struct lane){.l = {i, track, number}, .next = -1};
    o->format->lane(o->to, &o->lane[i].l);
    return i;
}

static int first_lane(struct trace_order *o, int track)
{
    if (o->n_first < o->m.n_tracks) {
        o->first = resize(o->first, o->m.n_tracks, sizeof *o->first);
        while (o->n_first < o->m.n_tracks)
            o->first[o->n_first++] = -1;
    }
    if (o->first[track] < 0)
        o->first[track] = add_lane(o, track, 0);
    return o->first[track];
}

static bool fits(struct lane *l, const struct trace_slice *s)
{
    while (l->n_open && l->open[l->n_open - 1] <= s->begin)
        l->n_open--;
    return !l->n_open || l->open[l->n_open - 1] >= s->end;
}

static int place(struct trace_order *o, const struct trace_slice *s)
{
    int i = first_lane(o, s->track);
    while (!fits(&o->lane[i], s)) {
        if (o->lane[i].next < 0) {
            int more = add_lane(o, s->track, o->lane[i].l.number + 1);
            o->lane[i].next = more;
        }
        i = o->lane[i].next;
    }
    struct lane *l = &o->lane[i];
    if (l->n_open == l->room) {
        l->room = l->room ? 2 * l->room : 4;
        l->open = resize(l->open, (size_t)l->room, sizeof *l->open);
    }
    l->open[l->n_open++] = s->end;
    return i;
}

// --- flows

static uint64_t id_of(const struct trace_order *o, size_t end)
{
    const struct trace_flow *f = &o->m.flow[end / 2];
    return end & 1 ? f->to : f->from;
}

static size_t bucket_of(const struct trace_order *o, uint64_t id)
{
    return (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (o->n_buckets - 1);
}

static void index_flows(struct trace_order *o)
{
    size_t n = 2 * o->m.n_flows;
    o->flow = resize(o->flow, o->m.n_flows, sizeof *o->flow);
    for (; o->n_flow < o->m.n_flows; o->n_flow++)
        o->flow[o->n_flow] = (struct flow){.number = ++o->flows, .arrives = INT64_MAX};
    for (o->n_buckets = 64; o->n_buckets < n; o->n_buckets *= 2)
        ;
    o->bucket = resize(o->bucket, o->n_buckets, sizeof *o->bucket);
    memset(o->bucket, 0, o->n_buckets * sizeof *o->bucket);
    o->next = resize(o->next, n, sizeof *o->next);
    for (size_t i = n; i-- > 0;) { // so that a chain is in the order of the flows
        uint32_t *b = &o->bucket[bucket_of(o, id_of(o, i))];
        o->next[i] = *b;
        *b = (uint32_t)i + 1;
    }
}

// The ends at a slice: for (size_t i = ends(o, id, 0); i; i = ends(o, id, i)), ends + 1.
static size_t ends(const struct trace_order *o, uint64_t id, size_t after)
{
    size_t i = !id ? 0 : after ? o->next[after - 1] : o->bucket[bucket_of(o, id)];
    while (i && id_of(o, i - 1) != id)
        i = o->next[i - 1];
    return i;
}

static void find_targets(struct trace_order *o)
{
    for (size_t s = 0; s < o->m.n_slices; s++)
        for (size_t i = ends(o, o->m.slice[s].id, 0); i; i = ends(o, o->m.slice[s].id, i))
            if ((i - 1) & 1)
                o->flow[(i - 1) / 2].arrives = o->m.slice[s].begin;
}

static void note(struct trace_order *o, size_t n, uint64_t number)
{
    if (n == o->room_numbers) {
        o->room_numbers = n ? 2 * n : 16;
        o->number = resize(o->number, o->room_numbers, sizeof *o->number);
    }
    o->number[n] = number;
}

// Numbers of the flows that arrive at a slice which begins.
static size_t arriving(struct trace_order *o, const struct trace_slice *s)
{
    size_t n = 0;
    for (size_t i = ends(o, s->id, 0); i; i = ends(o, s->id, i)) {
        struct flow *f = &o->flow[(i - 1) / 2];
        if (!((i - 1) & 1) || f->state == FLOW_DONE)
            continue;
        if (f->state == FLOW_SENT)
            note(o, n++, f->number);
        f->state = FLOW_DONE;
    }
    return n;
}

// Numbers of the flows that leave a slice which ends.
static size_t leaving(struct trace_order *o, const struct trace_slice *s)
{
    size_t n = 0;
    for (size_t i = ends(o, s->id, 0); i; i = ends(o, s->id, i)) {
        struct flow *f = &o->flow[(i - 1) / 2];
        if ((i - 1) & 1 || f->state != FLOW_NEW)
            continue;
        bool comes = f->arrives == INT64_MAX ? !o->last : f->arrives >= s->end;
        if (comes)
            note(o, n++, f->number);
        f->state = comes ? FLOW_SENT : FLOW_DONE;
    }
    return n;
}

static void drop_done_flows(struct trace_order *o)
{
    size_t kept = 0;
    for (size_t i = 0; i < o->m.n_flows; i++)
        if (o->flow[i].state != FLOW_DONE) {
            o->flow[kept] = o->flow[i];
            o->m.flow[kept++] = o->m.flow[i];
        }
    o->m.n_flows = o->n_flow = kept;
}

// --- events in order

static bool ends_before(const struct open *a, const struct open *b)
{
    return a->s.end != b->s.end ? a->s.end < b->s.end : a->seq > b->seq;
}

// Ends of slices up to and including `time`.
static void close_until(struct trace_order *o, int64_t time)
{
    while (o->n_open && o->open[o->n_open - 1].s.end <= time) {
        const struct open *x = &o->open[--o->n_open];
        size_t n = leaving(o, &x->s);
        o->format->end(o->to, &o->lane[x->lane].l, &x->s, o->number, n);
    }
}

static void begin(struct trace_order *o, const struct trace_slice *s)
{
    close_until(o, s->begin);
    struct open x = {.s = *s, .lane = place(o, s), .seq = o->begun++};
    size_t n = arriving(o, s), at = o->n_open;
    o->format->begin(o->to, &o->lane[x.lane].l, s, o->number, n);
    if (o->n_open == o->room_open) {
        o->room_open = o->room_open ? 2 * o->room_open : 64;
        o->open = resize(o->open, o->room_open, sizeof *o->open);
    }
    for (; at > 0 && ends_before(&o->open[at - 1], &x); at--)
        o->open[at] = o->open[at - 1];
    o->open[at] = x;
    o->n_open++;
}

static void count(struct trace_order *o, const struct trace_count *c)
{
    int lane = first_lane(o, c->track); // which may move the lanes
    close_until(o, c->time);
    o->format->counter(o->to, &o->lane[lane].l, c);
}

// What came too late happens now.
static void clip(struct trace_order *o)
{
    for (size_t i = 0; i < o->m.n_slices; i++) {
        struct trace_slice *s = &o->m.slice[i];
        s->begin = s->begin < o->reached ? o->reached : s->begin;
        s->end = s->end < s->begin ? s->begin : s->end;
    }
    for (size_t i = 0; i < o->m.n_counters; i++) {
        struct trace_count *c = &o->m.counter[i];
        c->time = c->time < o->reached ? o->reached : c->time;
    }
}

static void shift(void *array, size_t *n, size_t done, size_t size)
{
    *n -= done;
    if (done)
        memmove(array, (char *)array + done * size, *n * size);
}

// Hands on all but the youngest `keep` slices and what happened since the first of these.
static void hand_on(struct trace_order *o, size_t keep)
{
    struct trace_memory *m = &o->m;
    size_t s = 0, c = 0;
    clip(o);
    trace_memory_sort(m);
    index_flows(o);
    find_targets(o);
    o->last = !keep;
    int64_t until = keep ? m->slice[m->n_slices - keep].begin : INT64_MAX;
    for (;;) {
        bool slice = s < m->n_slices && m->slice[s].begin < until;
        bool counter = c < m->n_counters && m->counter[c].time < until;
        if (counter && (!slice || m->counter[c].time <= m->slice[s].begin))
            count(o, &m->counter[c++]);
        else if (slice)
            begin(o, &m->slice[s++]);
        else
            break;
    }
    close_until(o, keep ? until - 1 : INT64_MAX);
    shift(m->slice, &m->n_slices, s, sizeof *m->slice);
    shift(m->counter, &m->n_counters, c, sizeof *m->counter);
    drop_done_flows(o);
    o->reached = until;
}

// --- the sink

static int on_track(void *user, const char *group, const char *name, const char *unit)
{
    struct trace_order *o = user;
    return trace_track(&o->m.sink, group, name, unit);
}

static void on_slice(void *user, int track, const char *name, int64_t begins, int64_t end,
                     uint64_t id)
{
    struct trace_order *o = user;
    trace_slice(&o->m.sink, track, name, begins, end, id);
    if (o->m.n_slices >= 2 * o->window)
        hand_on(o, o->window);
}

static void on_counter(void *user, int track, int64_t time, double value)
{
    struct trace_order *o = user;
    trace_counter(&o->m.sink, track, time, value);
}

static void on_flow(void *user, uint64_t from, uint64_t to)
{
    struct trace_order *o = user;
    trace_flow(&o->m.sink, from, to);
}

struct trace_order *trace_order_create(const struct trace_format *f, FILE *to, const char *title,
                                       size_t window)
{
    struct trace_order *o = calloc(1, sizeof *o);
    void *state = calloc(1, f->size);
    if (!o || !state)
        abort();
    trace_memory_init(&o->m);
    o->sink = (struct trace_sink){o, on_track, on_slice, on_counter, on_flow};
    o->format = f;
    o->to = state;
    o->window = window;
    o->reached = INT64_MIN;
    f->open(state, to, title, &o->m);
    return o;
}

const struct trace_sink *trace_order_sink(struct trace_order *o)
{
    return &o->sink;
}

void trace_order_destroy(struct trace_order *o)
{
    hand_on(o, 0);
    o->format->close(o->to);
    for (int i = 0; i < o->n_lanes; i++)
        free(o->lane[i].open);
    free(o->lane);
    free(o->first);
    free(o->open);
    free(o->flow);
    free(o->bucket);
    free(o->next);
    free(o->number);
    free(o->to);
    trace_memory_fini(&o->m);
    free(o);
}
