// SPDX-License-Identifier: GPL-3.0-or-later
// The Perfetto format: a protobuf message Trace, which is a row of packets.
//
// Protobuf: a field is its number and wire type as a varint, then a varint, 8 bytes, or a length
// and so many bytes; that is all that is needed to write it. Numbers and meaning of the fields:
// protos/perfetto/trace of github.com/google/perfetto (trace_packet.proto, clock_snapshot.proto,
// interned_data.proto, track_event/*.proto).
//
// Most of a trace are begins and ends of slices, so those are small. Every lane is a packet
// sequence of its own: its packets inherit the track and need not name it, their times are the
// nanoseconds since the sequence's last packet, names are sent once per sequence and then referred
// to by number. Counters whose value is a whole number send it as a varint; so do bandwidths, which
// are sent in kB/s with a multiplier (the viewer puts prefixes to units itself).
//
// Tracks: the machine is a process; groups are its children, and what is in a group their children;
// ranks keep the order of their first mention.
//
// Invariant: on every sequence times never go back, and each begin has its end.
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/trace_order.h"
#include "base/units.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2 };

// Numbers of fields, by message.
enum {
    TRACE_PACKET = 1,
    PACKET_CLOCKS = 6,
    PACKET_TIME = 8,
    PACKET_SEQUENCE = 10,
    PACKET_EVENT = 11,
    PACKET_NAMES = 12,
    PACKET_FLAGS = 13,
    PACKET_DEFAULTS = 59,
    PACKET_TRACK = 60,
    CLOCKS_CLOCK = 1,
    CLOCK_ID = 1,
    CLOCK_TIME = 2,
    CLOCK_INCREMENTAL = 3,
    DEFAULTS_CLOCK = 58,
    DEFAULTS_EVENT = 11,
    EVENT_TYPE = 9,
    EVENT_NAME = 10,
    EVENT_TRACK = 11,
    EVENT_COUNTER = 30,
    EVENT_REAL_COUNTER = 44,
    EVENT_FLOWS = 47,
    EVENT_LAST_FLOWS = 48,
    NAMES_EVENT = 2,
    NAME_ID = 1,
    NAME_TEXT = 2,
    TRACK_ID = 1,
    TRACK_NAME = 2,
    TRACK_PROCESS = 3,
    TRACK_PARENT = 5,
    TRACK_COUNTER = 8,
    TRACK_ORDERING = 11,
    TRACK_RANK = 12,
    PROCESS_ID = 1,
    PROCESS_NAME = 6,
    COUNTER_MULTIPLIER = 4,
    COUNTER_UNIT = 6,
};
// Values.
enum {
    TYPE_BEGIN = 1,
    TYPE_END = 2,
    TYPE_COUNTER = 4,
    STATE_CLEARED = 1, // sequence flags
    ORDERING_BY_RANK = 3,
    CLOCK_BOOT = 6,   // the trace's
    CLOCK_DELTA = 64, // the first that is a sequence's own
};
enum { MACHINE = 1, FIRST_GROUP = 2, FIRST_LANE = 1 << 20 }; // ids of tracks

// A unit that is sent as whole numbers of a smaller one.
static const struct whole {
    const char *unit, *sent_as;
    double steps;        // per unit
    uint64_t multiplier; // of a step, in the unit that is shown
} wholes[] = {{"GB/s", "B/s", 1e6, 1000}};

struct bytes {
    unsigned char *p;
    size_t n, room;
};

struct sequence {
    int64_t time; // ns, of its last packet
    const struct whole *whole;
    uint32_t *name_id; // of a name on this sequence; 0: not sent yet
    size_t n_names, sent;
};

struct perfetto {
    FILE *f;
    const struct trace_memory *m;
    struct bytes packet, event, inner; // being assembled
    struct sequence *sequence;         // of a lane
    int n_sequences;
    size_t groups; // tracks before this one have their groups announced
};

// --- protobuf

static unsigned char *room(struct bytes *b, size_t n)
{
    if (b->n + n > b->room) {
        b->room = 2 * (b->n + n);
        b->p = realloc(b->p, b->room);
        if (!b->p)
            abort();
    }
    return b->p + b->n;
}

static void put(struct bytes *b, uint64_t v)
{
    unsigned char *p = room(b, 10), *begin = p;
    for (; v >= 0x80; v >>= 7)
        *p++ = (unsigned char)(v | 0x80);
    *p++ = (unsigned char)v;
    b->n += (size_t)(p - begin);
}

static void put_varint(struct bytes *b, unsigned field, uint64_t v)
{
    put(b, field << 3 | VARINT);
    put(b, v);
}

static void put_fixed(struct bytes *b, unsigned field, uint64_t v)
{
    put(b, field << 3 | FIXED64);
    unsigned char *p = room(b, 8);
    for (int i = 0; i < 8; i++)
        p[i] = (unsigned char)(v >> 8 * i);
    b->n += 8;
}

static void put_real(struct bytes *b, unsigned field, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_fixed(b, field, bits);
}

static void put_bytes(struct bytes *b, unsigned field, const void *p, size_t n)
{
    put(b, field << 3 | BYTES);
    put(b, n);
    memcpy(room(b, n), p, n);
    b->n += n;
}

static void put_text(struct bytes *b, unsigned field, const char *s)
{
    put_bytes(b, field, s, strlen(s));
}

// Puts what was assembled in `from` and empties it.
static void put_message(struct bytes *b, unsigned field, struct bytes *from)
{
    put_bytes(b, field, from->p, from->n);
    from->n = 0;
}

// --- packets

static void send(struct perfetto *w)
{
    unsigned char head[11] = {TRACE_PACKET << 3 | BYTES};
    struct bytes h = {head, 1, sizeof head};
    put(&h, w->packet.n);
    fwrite(head, 1, h.n, w->f);
    fwrite(w->packet.p, 1, w->packet.n, w->f);
    w->packet.n = 0;
}

static void send_track(struct perfetto *w, uint64_t id, uint64_t parent, const char *name,
                       size_t rank, bool has_children)
{
    put_varint(&w->event, TRACK_ID, id);
    put_varint(&w->event, TRACK_PARENT, parent);
    put_text(&w->event, TRACK_NAME, name);
    put_varint(&w->event, TRACK_RANK, rank);
    if (has_children)
        put_varint(&w->event, TRACK_ORDERING, ORDERING_BY_RANK);
    put_message(&w->packet, PACKET_TRACK, &w->event);
    send(w);
}

static void open_trace(void *state, FILE *f, const char *title, const struct trace_memory *m)
{
    struct perfetto *w = state;
    w->f = f;
    w->m = m;
    put_varint(&w->inner, PROCESS_ID, 1);
    put_text(&w->inner, PROCESS_NAME, title);
    put_varint(&w->event, TRACK_ID, MACHINE);
    put_message(&w->event, TRACK_PROCESS, &w->inner);
    put_varint(&w->event, TRACK_ORDERING, ORDERING_BY_RANK);
    put_message(&w->packet, PACKET_TRACK, &w->event);
    send(w);
}

// The track of a group: its id counts the tracks up to its first one.
static uint64_t group(struct perfetto *w, int track)
{
    size_t first = 0;
    while (strcmp(w->m->track[first].group, w->m->track[track].group) != 0)
        first++;
    for (; w->groups < w->m->n_tracks; w->groups++) {
        const char *name = w->m->track[w->groups].group;
        size_t i = 0;
        while (strcmp(w->m->track[i].group, name) != 0)
            i++;
        if (i == w->groups)
            send_track(w, FIRST_GROUP + i, MACHINE, name, i, true);
    }
    return FIRST_GROUP + first;
}

static void put_clock(struct bytes *to, struct bytes *b, uint64_t id, bool incremental)
{
    put_varint(b, CLOCK_ID, id);
    put_varint(b, CLOCK_TIME, 0);
    if (incremental)
        put_varint(b, CLOCK_INCREMENTAL, 1);
    put_message(to, CLOCKS_CLOCK, b);
}

static void open_lane(void *state, const struct trace_lane *l)
{
    struct perfetto *w = state;
    const struct trace_track *t = &w->m->track[l->track];
    uint64_t parent = group(w, l->track), id = FIRST_LANE + (uint64_t)l->index;
    w->sequence = realloc(w->sequence, (size_t)(l->index + 1) * sizeof *w->sequence);
    if (!w->sequence)
        abort();
    w->n_sequences = l->index + 1;
    w->sequence[l->index] = (struct sequence){.time = 0};
    if (t->unit) {
        const struct whole *whole = NULL;
        for (size_t i = 0; i < sizeof wholes / sizeof wholes[0]; i++)
            whole = strcmp(t->unit, wholes[i].unit) ? whole : &wholes[i];
        w->sequence[l->index].whole = whole;
        if (whole)
            put_varint(&w->inner, COUNTER_MULTIPLIER, whole->multiplier);
        put_text(&w->inner, COUNTER_UNIT, whole ? whole->sent_as : t->unit);
        put_message(&w->event, TRACK_COUNTER, &w->inner);
    }
    send_track(w, id, parent, t->name, (size_t)l->track, false);
    // The sequence: its clock and its track.
    put_varint(&w->packet, PACKET_SEQUENCE, (uint64_t)l->index + 1);
    put_varint(&w->packet, PACKET_FLAGS, STATE_CLEARED);
    put_varint(&w->inner, EVENT_TRACK, id);
    put_varint(&w->event, DEFAULTS_CLOCK, CLOCK_DELTA);
    put_message(&w->event, DEFAULTS_EVENT, &w->inner);
    put_message(&w->packet, PACKET_DEFAULTS, &w->event);
    put_clock(&w->event, &w->inner, CLOCK_BOOT, false);
    put_clock(&w->event, &w->inner, CLOCK_DELTA, true);
    put_message(&w->packet, PACKET_CLOCKS, &w->event);
    send(w);
}

// The packet of the event that is assembled.
static void send_event(struct perfetto *w, const struct trace_lane *l, int64_t time)
{
    struct sequence *q = &w->sequence[l->index];
    int64_t ns = time / PS_PER_NS;
    put_varint(&w->packet, PACKET_TIME, (uint64_t)(ns - q->time));
    put_varint(&w->packet, PACKET_SEQUENCE, (uint64_t)l->index + 1);
    put_message(&w->packet, PACKET_EVENT, &w->event);
    q->time = ns;
    send(w);
}

// The number of a name on a sequence; it is sent with its first use.
static uint32_t name_id(struct perfetto *w, struct sequence *q, int name)
{
    if ((size_t)name >= q->n_names) {
        size_t n = 2 * (size_t)name + 64;
        q->name_id = realloc(q->name_id, n * sizeof *q->name_id);
        if (!q->name_id)
            abort();
        memset(q->name_id + q->n_names, 0, (n - q->n_names) * sizeof *q->name_id);
        q->n_names = n;
    }
    if (!q->name_id[name]) {
        q->name_id[name] = (uint32_t)++q->sent;
        put_varint(&w->inner, NAME_ID, q->sent);
        put_text(&w->inner, NAME_TEXT, w->m->name[name]);
        put_message(&w->event, NAMES_EVENT, &w->inner);
        put_message(&w->packet, PACKET_NAMES, &w->event);
    }
    return q->name_id[name];
}

static void begin(void *state, const struct trace_lane *l, const struct trace_slice *s,
                  const uint64_t *flows, size_t n)
{
    struct perfetto *w = state;
    uint32_t name = name_id(w, &w->sequence[l->index], s->name);
    put_varint(&w->event, EVENT_TYPE, TYPE_BEGIN);
    put_varint(&w->event, EVENT_NAME, name);
    for (size_t i = 0; i < n; i++)
        put_fixed(&w->event, EVENT_LAST_FLOWS, flows[i]);
    send_event(w, l, s->begin);
}

static void end(void *state, const struct trace_lane *l, const struct trace_slice *s,
                const uint64_t *flows, size_t n)
{
    struct perfetto *w = state;
    put_varint(&w->event, EVENT_TYPE, TYPE_END);
    for (size_t i = 0; i < n; i++)
        put_fixed(&w->event, EVENT_FLOWS, flows[i]);
    send_event(w, l, s->end);
}

static void counter(void *state, const struct trace_lane *l, const struct trace_count *c)
{
    struct perfetto *w = state;
    const struct whole *whole = w->sequence[l->index].whole;
    double v = whole ? floor(c->value * whole->steps + 0.5) : c->value;
    put_varint(&w->event, EVENT_TYPE, TYPE_COUNTER);
    if (v >= 0 && v < 1e15 && floor(v) == v)
        put_varint(&w->event, EVENT_COUNTER, (uint64_t)v);
    else
        put_real(&w->event, EVENT_REAL_COUNTER, v);
    send_event(w, l, c->time);
}

static void close_trace(void *state)
{
    struct perfetto *w = state;
    for (int i = 0; i < w->n_sequences; i++)
        free(w->sequence[i].name_id);
    free(w->sequence);
    free(w->packet.p);
    free(w->event.p);
    free(w->inner.p);
}

const struct trace_format trace_perfetto = {
    .ending = ".pftrace",
    .doc = "for ui.perfetto.dev",
    .size = sizeof(struct perfetto),
    .open = open_trace,
    .lane = open_lane,
    .begin = begin,
    .end = end,
    .counter = counter,
    .close = close_trace,
};
