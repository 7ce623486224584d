// SPDX-License-Identifier: GPL-3.0-or-later
// The trace hook: models report slices and counters on named tracks; whoever asked for a trace
// (sim_set_trace) receives them. Without a sink the calls cost one branch.
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include <stdint.h>
#include "sim/sim.h"

struct sim_trace_sink {
    void *user;
    void (*slice)(void *user, const char *track, const char *name, int64_t begin, int64_t end);
    void (*counter)(void *user, const char *track, int64_t time, double value);
};

// For models that would have to compute a name or a value first.
static inline bool sim_tracing(const struct sim *s)
{
    return s->trace != NULL;
}
// Something named lasted from `begin` to `end` (ps) on a track; the strings are the caller's.
static inline void sim_trace_slice(const struct sim *s, const char *track, const char *name,
                                   int64_t begin, int64_t end)
{
    if (s->trace)
        s->trace->slice(s->trace->user, track, name, begin, end);
}
// A counter has a new value from now on.
static inline void sim_trace_counter(const struct sim *s, const char *track, double value)
{
    if (s->trace)
        s->trace->counter(s->trace->user, track, s->now, value);
}

#endif
