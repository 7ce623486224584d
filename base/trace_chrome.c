// SPDX-License-Identifier: GPL-3.0-or-later
// The JSON of Chrome's about:tracing, which many viewers read (catapult's trace viewer, speedscope,
// Perfetto): one array of events. Times are microseconds, printed exactly.
//
// A group is a process and a lane a thread, with sort indices, because viewers know no other order.
// A slice is a complete event (X) on its lane. An arrow binds to the slice around its time, so it
// leaves one nanosecond before its source ends.
// Source of the format: Trace Event Format, Google document, 2016 (phases X, C, s, f, M).
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/trace_order.h"
#include "base/units.h"

struct chrome {
    struct json j;
    const struct trace_memory *m;
};

// The process of a track: that of its group's first track.
static int process(const struct chrome *w, int track)
{
    int i = 0;
    while (strcmp(w->m->track[i].group, w->m->track[track].group) != 0)
        i++;
    return i + 1;
}

static void start(struct chrome *w, const char *phase, const char *name, const struct trace_lane *l)
{
    json_object_begin(&w->j, NULL);
    json_str(&w->j, "ph", phase);
    json_str(&w->j, "name", name);
    json_i64(&w->j, "pid", process(w, l->track));
    json_i64(&w->j, "tid", l->index + 1);
}

static void put_time(struct chrome *w, const char *key, int64_t ps)
{
    json_fixed(&w->j, key, ps, 6); // us
}

static void meta(struct chrome *w, const struct trace_lane *l, const char *what, const char *text,
                 int index)
{
    start(w, "M", what, l);
    json_object_begin(&w->j, "args");
    if (text)
        json_str(&w->j, "name", text);
    else
        json_i64(&w->j, "sort_index", index);
    json_object_end(&w->j);
    json_object_end(&w->j);
}

static void open_trace(void *state, FILE *f, const char *title, const struct trace_memory *m)
{
    struct chrome *w = state;
    w->m = m;
    json_begin(&w->j, f, false);
    json_object_begin(&w->j, NULL);
    json_str(&w->j, "displayTimeUnit", "ns");
    json_object_begin(&w->j, "otherData");
    json_str(&w->j, "title", title);
    json_object_end(&w->j);
    json_array_begin(&w->j, "traceEvents");
}

static void open_lane(void *state, const struct trace_lane *l)
{
    struct chrome *w = state;
    const struct trace_track *t = &w->m->track[l->track];
    char name[128];
    meta(w, l, "process_name", t->group, 0);
    meta(w, l, "process_sort_index", NULL, process(w, l->track));
    if (l->number)
        snprintf(name, sizeof name, "%.100s (%d)", t->name, l->number + 1);
    else
        snprintf(name, sizeof name, "%.100s", t->name);
    meta(w, l, "thread_name", name, 0);
    meta(w, l, "thread_sort_index", NULL, l->track * 1000 + l->number);
}

static void arrows(struct chrome *w, const char *phase, const struct trace_lane *l, int64_t time,
                   const uint64_t *flows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        start(w, phase, "dependency", l);
        json_str(&w->j, "cat", "flow");
        json_i64(&w->j, "id", (int64_t)flows[i]);
        put_time(w, "ts", time);
        if (*phase == 'f')
            json_str(&w->j, "bp", "e");
        json_object_end(&w->j);
    }
}

static void begin(void *state, const struct trace_lane *l, const struct trace_slice *s,
                  const uint64_t *flows, size_t n)
{
    struct chrome *w = state;
    start(w, "X", w->m->name[s->name], l);
    put_time(w, "ts", s->begin);
    put_time(w, "dur", s->end - s->begin);
    json_object_end(&w->j);
    arrows(w, "f", l, s->begin, flows, n);
}

static void end(void *state, const struct trace_lane *l, const struct trace_slice *s,
                const uint64_t *flows, size_t n)
{
    int64_t inside = s->end - PS_PER_NS;
    arrows(state, "s", l, inside > s->begin ? inside : s->begin, flows, n);
}

static void counter(void *state, const struct trace_lane *l, const struct trace_count *c)
{
    struct chrome *w = state;
    const struct trace_track *t = &w->m->track[l->track];
    start(w, "C", t->name, l);
    put_time(w, "ts", c->time);
    json_object_begin(&w->j, "args");
    json_f64(&w->j, *t->unit ? t->unit : "value", c->value);
    json_object_end(&w->j);
    json_object_end(&w->j);
}

static void close_trace(void *state)
{
    struct chrome *w = state;
    json_array_end(&w->j);
    json_object_end(&w->j);
    json_end(&w->j);
}

const struct trace_format trace_chrome = {
    .ending = ".json",
    .doc = "for Chrome's about:tracing and other viewers",
    .size = sizeof(struct chrome),
    .open = open_trace,
    .lane = open_lane,
    .begin = begin,
    .end = end,
    .counter = counter,
    .close = close_trace,
};
