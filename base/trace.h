// SPDX-License-Identifier: GPL-3.0-or-later
// The trace seam: whoever does something reports slices, counters and flows to a sink; whoever
// wants a trace provides one. Nobody asked: the sink is NULL, and a report costs one branch.
//
// A trace is one run: times are ps on the machine's clock and do not start again.
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <stdint.h>

struct trace_sink {
    void *user;
    // The handle of a track; the same group and name again give the same handle. Tracks are shown
    // in the order of their first mention, group by group. unit: of a counter ("GB/s", "" for pure
    // numbers); NULL: a track of slices.
    int (*track)(void *user, const char *group, const char *name, const char *unit);
    // Something lasted from begin to end. id: what flows call it; 0: nothing flows from or to it.
    // Slices may come in any order and overlap; those that nest are shown nested.
    void (*slice)(void *user, int track, const char *name, int64_t begin, int64_t end, uint64_t id);
    // The counter has this value from now on. The times of one counter never go back.
    void (*counter)(void *user, int track, int64_t time, double value);
    // What the slice `to` did could not begin before the slice `from` had ended. Both may be
    // reported before or after this.
    void (*flow)(void *user, uint64_t from, uint64_t to);
};

// The id of a ticket: of the slice in which a device executed it.
static inline uint64_t trace_id(int device, uint64_t ticket)
{
    return (uint64_t)(device + 1) << 48 | ticket;
}

static inline int trace_track(const struct trace_sink *t, const char *group, const char *name,
                              const char *unit)
{
    return t->track(t->user, group, name, unit);
}
static inline void trace_slice(const struct trace_sink *t, int track, const char *name,
                               int64_t begin, int64_t end, uint64_t id)
{
    t->slice(t->user, track, name, begin, end, id);
}
static inline void trace_counter(const struct trace_sink *t, int track, int64_t time, double value)
{
    t->counter(t->user, track, time, value);
}
static inline void trace_flow(const struct trace_sink *t, uint64_t from, uint64_t to)
{
    t->flow(t->user, from, to);
}

#endif
