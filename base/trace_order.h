// SPDX-License-Identifier: GPL-3.0-or-later
// Between the sink and a file format: events in the order of time, on lanes on which they nest.
#ifndef BASE_TRACE_ORDER_H
#define BASE_TRACE_ORDER_H

#include <stdio.h>
#include "base/trace_memory.h"

// Where a format is told something: a lane is a track, or one of several where what happens on the
// track overlaps without nesting.
struct trace_lane {
    int index;  // counts all lanes, from 0
    int track;  // in trace_memory.track
    int number; // among the lanes of its track, from 0
};
struct trace_format {
    const char *ending; // of file names
    const char *doc;
    size_t size; // of its state, zeroed
    void (*open)(void *state, FILE *f, const char *title, const struct trace_memory *m);
    void (*lane)(void *state, const struct trace_lane *l); // before anything on it
    // flows: numbers of those that arrive at a slice when it begins, and leave it when it ends.
    void (*begin)(void *state, const struct trace_lane *l, const struct trace_slice *s,
                  const uint64_t *flows, size_t n);
    void (*end)(void *state, const struct trace_lane *l, const struct trace_slice *s,
                const uint64_t *flows, size_t n);
    void (*counter)(void *state, const struct trace_lane *l, const struct trace_count *c);
    void (*close)(void *state);
};
extern const struct trace_format trace_perfetto, trace_chrome;

struct trace_order;
enum { TRACE_WINDOW = 1 << 16 }; // slices that are held back, at least

// Events that come later than `window` slices after their time are moved to the time that has been
// reached; flows that come that late are left out.
struct trace_order *trace_order_create(const struct trace_format *f, FILE *to, const char *title,
                                       size_t window);
const struct trace_sink *trace_order_sink(struct trace_order *o);
void trace_order_destroy(struct trace_order *o); // hands on what is left

#endif
