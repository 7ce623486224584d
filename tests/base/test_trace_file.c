// SPDX-License-Identifier: GPL-3.0-or-later
// Files are read back by readers of their own: what a viewer would show is what was reported.
#include "tests/harness.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/rng.h"
#include "base/trace_file.h"
#include "base/trace_order.h"
#include "base/units.h"

// --- what was read

enum { MAX_TRACKS = 256, MAX_OPEN = 64 };

struct slice {
    char name[40];
    int64_t begin, end; // ns
};
struct track {
    uint64_t id, parent;
    char name[64], unit[32];
    double multiplier;
    int rank;
    struct slice *slice;
    int n_slices, open[MAX_OPEN], n_open;
    struct {
        int64_t time;
        double value;
    } * counter;
    int n_counters;
};
struct arrow {
    uint64_t id;
    int64_t from, to; // ns; -1: not seen
    int from_track, to_track;
};
struct picture {
    struct track track[MAX_TRACKS];
    int n_tracks;
    struct arrow *arrow;
    int n_arrows;
};

static struct track *add_track(struct picture *p)
{
    struct track *t = &p->track[p->n_tracks++];
    CHECK(p->n_tracks < MAX_TRACKS);
    *t = (struct track){.multiplier = 1};
    return t;
}

static struct arrow *arrow_of(struct picture *p, uint64_t id)
{
    for (int i = 0; i < p->n_arrows; i++)
        if (p->arrow[i].id == id)
            return &p->arrow[i];
    p->arrow = realloc(p->arrow, (size_t)(p->n_arrows + 1) * sizeof *p->arrow);
    p->arrow[p->n_arrows] = (struct arrow){.id = id, .from = -1, .to = -1};
    return &p->arrow[p->n_arrows++];
}

static void free_picture(struct picture *p)
{
    for (int i = 0; i < p->n_tracks; i++) {
        free(p->track[i].slice);
        free(p->track[i].counter);
    }
    free(p->arrow);
    free(p);
}

static void begin_slice(struct track *t, const char *name, int64_t time)
{
    t->slice = realloc(t->slice, (size_t)(t->n_slices + 1) * sizeof *t->slice);
    t->slice[t->n_slices] = (struct slice){.begin = time, .end = -1};
    snprintf(t->slice[t->n_slices].name, sizeof t->slice[0].name, "%s", name);
    CHECK(t->n_open < MAX_OPEN);
    t->open[t->n_open++] = t->n_slices++;
}

static void add_counter(struct track *t, int64_t time, double value)
{
    t->counter = realloc(t->counter, (size_t)(t->n_counters + 1) * sizeof *t->counter);
    t->counter[t->n_counters].time = time;
    t->counter[t->n_counters++].value = value;
}

// --- protobuf

struct field {
    unsigned number, type;
    uint64_t value; // varint and fixed
    const unsigned char *p;
    size_t n; // bytes
};

static uint64_t varint(const unsigned char **p, const unsigned char *end)
{
    uint64_t v = 0;
    for (int shift = 0; *p < end && shift < 64; shift += 7) {
        unsigned char c = *(*p)++;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80)
            return v;
    }
    CHECK_STR("a varint", "complete");
    return v;
}

static bool next(const unsigned char **p, const unsigned char *end, struct field *f)
{
    if (*p >= end)
        return false;
    uint64_t key = varint(p, end);
    *f = (struct field){.number = (unsigned)(key >> 3), .type = (unsigned)(key & 7)};
    if (f->type == 0) {
        f->value = varint(p, end);
    } else if (f->type == 1) {
        if (!CHECK(end - *p >= 8))
            return false;
        for (int i = 7; i >= 0; i--)
            f->value = f->value << 8 | (*p)[i];
        *p += 8;
    } else {
        f->n = varint(p, end);
        f->p = *p;
        if (!CHECK(f->type == 2 && (size_t)(end - *p) >= f->n))
            return false;
        *p += f->n;
    }
    return true;
}

static void text(const struct field *f, char *out, size_t size)
{
    snprintf(out, size, "%.*s", (int)f->n, (const char *)f->p);
}

struct sequence {
    int64_t time;
    uint64_t track;
    char name[4096][40];
};

static void read_track(struct picture *p, const struct field *m)
{
    const unsigned char *at = m->p, *end = m->p + m->n;
    struct track *t = add_track(p);
    for (struct field f; next(&at, end, &f);) {
        const unsigned char *in = f.p, *in_end = f.p + f.n;
        if (f.number == 1)
            t->id = f.value;
        else if (f.number == 2)
            text(&f, t->name, sizeof t->name);
        else if (f.number == 5)
            t->parent = f.value;
        else if (f.number == 12)
            t->rank = (int)f.value;
        for (struct field g; f.number == 3 && next(&in, in_end, &g);)
            if (g.number == 6)
                text(&g, t->name, sizeof t->name);
        for (struct field g; f.number == 8 && next(&in, in_end, &g);) {
            if (g.number == 6)
                text(&g, t->unit, sizeof t->unit);
            else if (g.number == 4)
                t->multiplier = (double)g.value;
        }
    }
    CHECK(t->id != 0);
    for (int i = 0; i < p->n_tracks - 1; i++)
        CHECK(p->track[i].id != t->id);
}

static void read_event(struct picture *p, struct sequence *q, const struct field *m, int64_t time)
{
    const unsigned char *at = m->p, *end = m->p + m->n;
    struct track *t = NULL;
    uint64_t type = 0, name = 0, out[64], in[64];
    int n_out = 0, n_in = 0;
    double value = -1;
    for (int i = 0; i < p->n_tracks; i++)
        if (p->track[i].id == q->track)
            t = &p->track[i];
    if (!CHECK(t != NULL))
        return;
    for (struct field f; next(&at, end, &f);) {
        if (f.number == 9)
            type = f.value;
        else if (f.number == 10)
            name = f.value;
        else if (f.number == 30)
            value = (double)f.value * t->multiplier;
        else if (f.number == 44) {
            memcpy(&value, &f.value, sizeof value);
            value *= t->multiplier;
        } else if (f.number == 47)
            out[n_out++] = f.value;
        else if (CHECK_INT(f.number, 48))
            in[n_in++] = f.value;
    }
    CHECK(type == 4 ? *t->unit && !name && !n_in && !n_out : !*t->unit);
    CHECK((n_in == 0 || type == 1) && (n_out == 0 || type == 2));
    if (type == 1) {
        CHECK(name && name < 4096 && *q->name[name]);
        begin_slice(t, q->name[name % 4096], time);
    } else if (type == 2) {
        if (CHECK(t->n_open > 0))
            t->slice[t->open[--t->n_open]].end = time;
    } else if (CHECK_INT(type, 4)) {
        add_counter(t, time, value);
    }
    for (int i = 0; i < n_out; i++) {
        struct arrow *a = arrow_of(p, out[i]);
        CHECK_INT(a->from, -1);
        a->from = time, a->from_track = (int)(t - p->track);
    }
    for (int i = 0; i < n_in; i++) {
        struct arrow *a = arrow_of(p, in[i]);
        CHECK(a->from >= 0 && a->to == -1); // its source came first in the file too
        a->to = time, a->to_track = (int)(t - p->track);
    }
}

static void read_packet(struct picture *p, struct sequence **all, const struct field *m)
{
    const unsigned char *at = m->p, *end = m->p + m->n;
    struct field event = {0}, names = {0}, defaults = {0}, clocks = {0};
    uint64_t id = 0, delta = 0, flags = 0;
    for (struct field f; next(&at, end, &f);) {
        if (f.number == 60)
            read_track(p, &f);
        else if (f.number == 8)
            delta = f.value;
        else if (f.number == 10)
            id = f.value;
        else if (f.number == 13)
            flags = f.value;
        else
            *(f.number == 11   ? &event
              : f.number == 12 ? &names
              : f.number == 59 ? &defaults
                               : &clocks) = f;
    }
    if (!id || !CHECK(id < MAX_TRACKS))
        return;
    if (!all[id]) {
        CHECK(flags == 1 && clocks.number == 6 && defaults.n);
        all[id] = calloc(1, sizeof **all);
    }
    struct sequence *q = all[id];
    at = names.p;
    for (struct field f; at && next(&at, names.p + names.n, &f);) {
        const unsigned char *in = f.p;
        uint64_t number = 0;
        CHECK_INT(f.number, 2);
        for (struct field g; next(&in, f.p + f.n, &g);) {
            if (g.number == 1)
                number = g.value;
            else
                text(&g, q->name[number % 4096], sizeof q->name[0]);
        }
    }
    at = defaults.p;
    for (struct field f; at && next(&at, defaults.p + defaults.n, &f);) {
        const unsigned char *in = f.p;
        if (f.number == 58)
            CHECK_INT(f.value, 64);
        for (struct field g; f.number == 11 && next(&in, f.p + f.n, &g);)
            q->track = g.value;
    }
    q->time += (int64_t)delta;
    if (event.p)
        read_event(p, q, &event, q->time);
}

static struct picture *read_perfetto(const unsigned char *data, size_t n)
{
    struct picture *p = calloc(1, sizeof *p);
    struct sequence *all[MAX_TRACKS] = {NULL};
    const unsigned char *at = data;
    for (struct field f; next(&at, data + n, &f);)
        if (CHECK(f.number == 1 && f.type == 2))
            read_packet(p, all, &f);
    for (int i = 0; i < MAX_TRACKS; i++)
        free(all[i]);
    return p;
}

// --- JSON

static int64_t ps(const json_t *e, const char *key)
{
    return (int64_t)llround(json_number_value(json_object_get(e, key)) * 1e6);
}

static const char *str(const json_t *e, const char *key)
{
    const char *s = json_string_value(json_object_get(e, key));
    return s ? s : "";
}

static struct track *thread_of(struct picture *p, const json_t *e)
{
    uint64_t id = (uint64_t)json_integer_value(json_object_get(e, "tid"));
    for (int i = 0; i < p->n_tracks; i++)
        if (p->track[i].id == id)
            return &p->track[i];
    struct track *t = add_track(p);
    t->id = id;
    return t;
}

static void read_json_event(struct picture *p, const json_t *e)
{
    struct track *t = thread_of(p, e);
    const char *ph = str(e, "ph");
    const json_t *args = json_object_get(e, "args");
    uint64_t id = (uint64_t)json_integer_value(json_object_get(e, "id"));
    int64_t time = ps(e, "ts") / PS_PER_NS, end = (ps(e, "ts") + ps(e, "dur")) / PS_PER_NS;
    if (!strcmp(ph, "M")) {
        if (!strcmp(str(e, "name"), "thread_name"))
            snprintf(t->name, sizeof t->name, "%s", str(args, "name"));
    } else if (!strcmp(ph, "X")) {
        while (t->n_open && t->slice[t->open[t->n_open - 1]].end <= time)
            t->n_open--;
        if (t->n_open) // nested
            CHECK(end <= t->slice[t->open[t->n_open - 1]].end);
        begin_slice(t, str(e, "name"), time);
        t->slice[t->n_slices - 1].end = end;
    } else if (!strcmp(ph, "C")) {
        add_counter(
            t, time,
            json_number_value(json_object_iter_value(json_object_iter((json_t *)(uintptr_t)args))));
    } else if (!strcmp(ph, "s")) {
        arrow_of(p, id)->from = time, arrow_of(p, id)->from_track = (int)(t - p->track);
    } else if (CHECK_STR(ph, "f")) {
        CHECK_STR(str(e, "bp"), "e");
        arrow_of(p, id)->to = time, arrow_of(p, id)->to_track = (int)(t - p->track);
    }
}

static struct picture *read_chrome(const unsigned char *data, size_t n)
{
    struct picture *p = calloc(1, sizeof *p);
    json_error_t why;
    json_t *j = json_loadb((const char *)data, n, 0, &why);
    size_t i;
    json_t *e;
    if (!CHECK(j != NULL))
        test_note("%s at %d", why.text, why.position);
    json_array_foreach(json_object_get(j, "traceEvents"), i, e) read_json_event(p, e);
    for (int t = 0; t < p->n_tracks; t++)
        p->track[t].n_open = 0;
    json_decref(j);
    return p;
}

// --- comparison

static const struct track *track_named(const struct picture *p, const char *name, int number)
{
    char other[80];
    snprintf(other, sizeof other, "%s (%d)", name, number + 1);
    for (int i = 0; i < p->n_tracks; i++) {
        bool same = !strcmp(p->track[i].name, name);
        if (same ? number-- == 0 : !strcmp(p->track[i].name, other))
            return &p->track[i];
    }
    return NULL;
}

// Every slice that was reported is there, once, on some lane of its track.
static void compare_slices(const struct trace_memory *t, const struct picture *p)
{
    size_t n = 0;
    for (int i = 0; i < p->n_tracks; i++) {
        n += (size_t)p->track[i].n_slices;
        CHECK_INT(p->track[i].n_open, 0);
        for (int s = 0; s < p->track[i].n_slices; s++)
            CHECK(p->track[i].slice[s].end >= p->track[i].slice[s].begin);
    }
    CHECK_INT(n, t->n_slices);
    for (size_t i = 0; i < t->n_slices; i++) {
        const struct trace_slice *s = &t->slice[i];
        const struct track *lane;
        bool found = false;
        for (int k = 0; !found && (lane = track_named(p, t->track[s->track].name, k)); k++)
            for (int j = 0; j < lane->n_slices; j++)
                found |= lane->slice[j].begin == s->begin / PS_PER_NS &&
                         lane->slice[j].end == s->end / PS_PER_NS &&
                         !strcmp(lane->slice[j].name, t->name[s->name]);
        if (!CHECK(found))
            break;
    }
}

static void compare_counters(const struct trace_memory *t, const struct picture *p, double unit)
{
    for (size_t k = 0; k < t->n_tracks; k++) {
        const struct track *lane = t->track[k].unit ? track_named(p, t->track[k].name, 0) : NULL;
        double scale = lane && !strcmp(t->track[k].unit, "GB/s") ? unit : 1;
        int at = 0;
        for (size_t i = 0; lane && i < t->n_counters; i++) {
            if (t->counter[i].track != (int)k || !CHECK(at < lane->n_counters))
                continue;
            CHECK_INT(lane->counter[at].time, t->counter[i].time / PS_PER_NS);
            CHECK_NEAR(lane->counter[at].value, t->counter[i].value * scale,
                       scale > 1 ? 500.001 : 0);
            at++;
        }
        if (lane)
            CHECK_INT(lane->n_counters, at);
    }
}

static const struct trace_slice *with_id(const struct trace_memory *t, uint64_t id)
{
    for (size_t i = 0; i < t->n_slices; i++)
        if (t->slice[i].id == id)
            return &t->slice[i];
    return NULL;
}

// All arrows have two ends, the right ones; those that point back in time are left out.
static void compare_flows(const struct trace_memory *t, const struct picture *p, int slack)
{
    int expected = 0;
    for (size_t f = 0; f < t->n_flows; f++) {
        const struct trace_slice *from = with_id(t, t->flow[f].from), *to;
        to = with_id(t, t->flow[f].to);
        if (!from || !to || to->begin < from->end)
            continue;
        expected++;
        bool found = false;
        for (int i = 0; !found && i < p->n_arrows; i++)
            found = llabs(p->arrow[i].from - from->end / PS_PER_NS) <= slack &&
                    p->arrow[i].to == to->begin / PS_PER_NS;
        if (!CHECK(found))
            break;
    }
    CHECK_INT(p->n_arrows, expected);
    for (int i = 0; i < p->n_arrows; i++)
        CHECK(p->arrow[i].from >= 0 && p->arrow[i].to >= p->arrow[i].from);
    test_note("%d arrows", expected);
}

// --- what is reported

static void both(struct trace_memory *t, const struct trace_sink *s, int track, const char *name,
                 int64_t begin, int64_t end, uint64_t id)
{
    trace_slice(&t->sink, track, name, begin, end, id);
    trace_slice(s, track, name, begin, end, id);
}

// Two devices whose tasks wait in queues (where they overlap), a control plane that nests,
// counters, and flows, some of them impossible, reported at the times at which a machine does.
static void play(int tasks, struct trace_memory *t, const struct trace_sink *s)
{
    static const char *const names[][3] = {
        {"control", "sync", NULL},       {"devices", "gpu", NULL},
        {"devices", "npu", NULL},        {"queues", "gpu waiting", NULL},
        {"queues", "npu waiting", NULL}, {"memory", "DRAM", "GB/s"},
        {"power", "all", "W"},           {"queues", "depth", "tasks"}};
    struct rng *r = rng_create(11, "trace");
    int64_t now = 5, busy[2] = {0, 0};
    uint64_t ticket[2] = {0, 0};
    for (int i = 0; i < 8; i++)
        CHECK_INT(trace_track(s, names[i][0], names[i][1], names[i][2]),
                  trace_track(&t->sink, names[i][0], names[i][1], names[i][2]));
    for (int i = 0; i < tasks; i++) {
        int d = (int)rng_below(r, 2);
        char name[32];
        snprintf(name, sizeof name, "op %d", (int)rng_below(r, 40));
        int64_t submitted = now, begin = busy[d] > now ? busy[d] : now;
        bool waits = ticket[!d] > 0 && rng_below(r, 3) == 0; // for the other device's last task
        if (waits && rng_below(r, 10) > 0 && begin < busy[!d])
            begin = busy[!d];
        int64_t end = begin + (int64_t)rng_below(r, 9000000);
        busy[d] = end;
        if (begin > submitted)
            both(t, s, 3 + d, name, submitted, begin, 0);
        both(t, s, 1 + d, name, begin, end, trace_id(d, ++ticket[d]));
        if (waits) {
            trace_flow(&t->sink, trace_id(!d, ticket[!d]), trace_id(d, ticket[d]));
            trace_flow(s, trace_id(!d, ticket[!d]), trace_id(d, ticket[d]));
        }
        int64_t woke = now + (int64_t)rng_below(r, 3000000);
        int64_t done = woke + (int64_t)rng_below(r, 3000000);
        both(t, s, 0, "sleep", now, woke, 0);
        both(t, s, 0, "poll", woke, done, 0);
        both(t, s, 0, "join", now, done, 0);
        double values[3] = {rng_uniform(r) * 60, rng_uniform(r) * 5, (double)rng_below(r, 4)};
        for (int c = 0; c < 3; c++) {
            trace_counter(&t->sink, 5 + c, now, values[c]);
            trace_counter(s, 5 + c, now, values[c]);
        }
        now = done;
    }
    // A flow to what never happened.
    trace_flow(&t->sink, trace_id(0, ticket[0]), trace_id(1, ticket[1] + 1));
    trace_flow(s, trace_id(0, ticket[0]), trace_id(1, ticket[1] + 1));
    rng_destroy(r);
}

static void round_trip(const struct trace_format *format, size_t window, int tasks)
{
    struct trace_memory t;
    FILE *f = tmpfile();
    trace_memory_init(&t);
    struct trace_order *o = trace_order_create(format, f, "title", window);
    play(tasks, &t, trace_order_sink(o));
    trace_order_destroy(o);
    size_t n = (size_t)ftell(f);
    unsigned char *data = malloc(n + 1);
    rewind(f);
    CHECK_INT(fread(data, 1, n, f), n);
    fclose(f);
    bool json = format == &trace_chrome;
    struct picture *p = json ? read_chrome(data, n) : read_perfetto(data, n);
    compare_slices(&t, p);
    compare_counters(&t, p, json ? 1 : 1e9);
    compare_flows(&t, p, json);
    free_picture(p);
    free(data);
    trace_memory_fini(&t);
}

static void test_perfetto(void)
{
    round_trip(&trace_perfetto, TRACE_WINDOW, 300);
    round_trip(&trace_perfetto, 150, 600); // handed on bit by bit
}

static void test_chrome(void)
{
    round_trip(&trace_chrome, TRACE_WINDOW, 300);
    round_trip(&trace_chrome, 150, 600);
}

// Who reports by far too late is moved, not lost, and nothing goes back in time.
static void test_late(void)
{
    FILE *f = tmpfile();
    struct trace_order *o = trace_order_create(&trace_perfetto, f, "late", 4);
    const struct trace_sink *s = trace_order_sink(o);
    int a = trace_track(s, "g", "a", NULL), b = trace_track(s, "g", "b", NULL);
    for (int i = 0; i < 40; i++)
        trace_slice(s, a, "x", i * 10000, i * 10000 + 5000, 0);
    trace_slice(s, b, "late", 1000, 2000, 0);
    trace_order_destroy(o);
    unsigned char data[8192];
    rewind(f);
    size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    struct picture *p = read_perfetto(data, n);
    const struct track *t = track_named(p, "b", 0);
    if (CHECK(t && t->n_slices == 1))
        CHECK(t->slice[0].begin > 100 && t->slice[0].end >= t->slice[0].begin);
    t = track_named(p, "a", 0);
    CHECK(t && t->n_slices == 40);
    free_picture(p);
}

// Tracks have their group as parent, groups the machine, and ranks follow the first mention.
static void test_tree(void)
{
    FILE *f = tmpfile();
    struct trace_order *o = trace_order_create(&trace_perfetto, f, "soc:x", 100);
    const struct trace_sink *s = trace_order_sink(o);
    int gpu = trace_track(s, "devices", "gpu", NULL), w = trace_track(s, "power", "gpu", "W");
    int npu = trace_track(s, "devices", "npu", NULL);
    trace_counter(s, w, 0, 1.25);
    trace_slice(s, npu, "x", 0, 10, 0);
    trace_slice(s, gpu, "y", 5, 10, 0);
    trace_order_destroy(o);
    unsigned char data[4096];
    rewind(f);
    size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    struct picture *p = read_perfetto(data, n);
    const struct track *devices = track_named(p, "devices", 0), *power = track_named(p, "power", 0),
                       *machine = track_named(p, "soc:x", 0);
    if (CHECK(devices && power && machine)) {
        CHECK(devices->parent == machine->id && power->parent == machine->id);
        CHECK(devices->rank < power->rank);
        const struct track *x = track_named(p, "npu", 0);
        CHECK(x && x->parent == devices->id);
        for (int i = 0; i < 2; i++) {
            x = track_named(p, "gpu", i);
            CHECK(x && x->parent == (*x->unit ? power : devices)->id);
            CHECK(x && x->rank == (*x->unit ? w : gpu));
            if (x && *x->unit)
                CHECK(x->n_counters == 1 && x->counter[0].value == 1.25);
        }
    }
    free_picture(p);
}

static void test_names_of_files(void)
{
    struct err e = {0};
    struct trace_file *t;
    char path[300];
    CHECK_INT(trace_file_open("x.pftrac", "t", &t, &e), ERR_USAGE);
    CHECK_HAS(e.msg, "ends in .pftrace");
    CHECK_HAS(e.msg, "did you mean .pftrace?");
    CHECK_INT(trace_file_open("a.json/x", "t", &t, &e), ERR_USAGE);
    snprintf(path, sizeof path, "%s/none/x.json", test_tmpdir());
    CHECK_INT(trace_file_open(path, "t", &t, &e), ERR_IO);
    CHECK_HAS(e.msg, "cannot write");
    // Given up: nothing stays.
    snprintf(path, sizeof path, "%s/x.json", test_tmpdir());
    CHECK_OK(trace_file_open(path, "t", &t, &e), &e);
    CHECK_INT(trace_file_close(t, -3, &e), -3);
    CHECK(access(path, F_OK) != 0);
    // A full disk.
    char full[300];
    snprintf(full, sizeof full, "%s/full.pftrace", test_tmpdir());
    if (access("/dev/full", W_OK) == 0 && CHECK_INT(symlink("/dev/full", full), 0)) {
        CHECK_OK(trace_file_open(full, "t", &t, &e), &e);
        CHECK_INT(trace_file_close(t, 0, &e), ERR_IO);
        CHECK_HAS(e.msg, "No space left");
    }
}

TESTS(base_trace_file, T(test_perfetto), T(test_chrome), T(test_late), T(test_tree),
      T(test_names_of_files))
