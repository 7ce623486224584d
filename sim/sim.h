// SPDX-License-Identifier: GPL-3.0-or-later
// The event kernel: a virtual clock and a heap of events that live in their owners.
//
// Time is int64_t picoseconds (106 days fit). Events fire in the order (time, sequence): two events
// of one instant fire in the order in which they were scheduled, so a run is the same on every
// machine. Scheduling allocates nothing but the heap's own array, which grows by doubling.
//
//     struct server { struct sim_event done; ... };
//     sim_event_init(&s->done, on_done);
//     sim_schedule(sim, &s->done, sim_now(sim) + service);
//
// An event must be idle when its owner's memory goes away; sim_reset visits pending events,
// sim_destroy does not.
//
// Invariant: an event is in the heap exactly when its `slot` is not SIM_IDLE; the clock never
// goes back.
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

#define SIM_NEVER INT64_MAX
#define SIM_IDLE  UINT32_MAX

struct sim;
struct sim_event;
struct sim_settle;
struct sim_trace_sink;
// Called when the event's time has come. The event is idle again and may be rescheduled.
typedef void sim_event_fn(struct sim *s, struct sim_event *e);
typedef void sim_settle_fn(struct sim *s, struct sim_settle *t);

struct sim_event {
    int64_t time;  // ps
    uint64_t seq;  // tie-break, set by sim_schedule
    uint32_t slot; // position in the heap, SIM_IDLE outside it
    sim_event_fn *fire;
};

// Work that is due once before the clock moves on, however often it was asked for in this instant:
// solving the rates of a shared resource after several of its flows started or ended. It runs after
// the last event of the instant, in the order of the first requests; it may schedule events, also
// for this very instant, and request further settling.
struct sim_settle {
    struct sim_settle *next;
    sim_settle_fn *run;
    bool due;
};

// The owner of an embedded event.
#define SIM_OWNER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

// Open only so that the clock and the trace hook can be read inline: the fields belong to sim.c.
struct sim {
    int64_t now;
    const struct sim_trace_sink *trace; // NULL: nobody asked
    struct sim_settle *settle, **settle_end;
    int64_t *time;            // heap order; entries past n are later than everything
    struct sim_event **event; // parallel to time
    uint32_t n, capacity;
    uint32_t hole; // 1: the root is vacant, its event is firing
    uint64_t seq, fired, digest;
};

struct sim *sim_create(void);
void sim_destroy(struct sim *s);
// Clock to 0, all events idle, counters and digest cleared; memory and the trace sink are kept.
// Servers and shares must be initialised again.
void sim_reset(struct sim *s);

static inline int64_t sim_now(const struct sim *s) // ps
{
    return s->now;
}
static inline void sim_event_init(struct sim_event *e, sim_event_fn *fire)
{
    e->time = 0;
    e->seq = 0;
    e->slot = SIM_IDLE;
    e->fire = fire;
}
static inline bool sim_pending(const struct sim_event *e)
{
    return e->slot != SIM_IDLE;
}

// Puts an idle event in the heap, or moves a pending one (with a new sequence number). `time` must
// not be in the past and must be before SIM_NEVER.
void sim_schedule(struct sim *s, struct sim_event *e, int64_t time);
void sim_cancel(struct sim *s, struct sim_event *e); // idle events stay idle

static inline void sim_settle_init(struct sim_settle *t, sim_settle_fn *run)
{
    t->next = NULL;
    t->run = run;
    t->due = false;
}
// Requests t->run before the clock moves on; once per instant, further requests are free.
static inline void sim_settle(struct sim *s, struct sim_settle *t)
{
    if (!t->due) {
        t->due = true;
        t->next = NULL;
        *s->settle_end = t;
        s->settle_end = &t->next;
    }
}

// Time of the next event, SIM_NEVER when there is none. Settles if that is not now.
int64_t sim_next(const struct sim *s);
// Fires the next event; false when there is none. May be called from inside a handler.
bool sim_step(struct sim *s);
// Fires all events up to and including `time`, then moves the clock to `time`.
void sim_run_until(struct sim *s, int64_t time);

uint64_t sim_fired(const struct sim *s);  // events fired since the reset
uint32_t sim_length(const struct sim *s); // pending events
// Running digest over what models put in with sim_note (kind, time, value): the run's fingerprint.
uint64_t sim_digest(const struct sim *s);
void sim_note(struct sim *s, uint32_t kind, uint64_t value); // adds (now, kind, value)

// The same for something that happened at `time`, in the order of the times.
void sim_note_at(struct sim *s, int64_t time, uint32_t kind, uint64_t value);

// Moves the clock and all pending events on by so much, as if what fires in between had come and
// gone and left everything as it is now; `fired` counts those events. Only for whoever can prove it
// (models/soc/replay.c). Work to be settled stays to be settled.
void sim_leap(struct sim *s, int64_t ps, uint64_t fired);

// Whoever wants a trace sets a sink (NULL: none again); models report through sim/trace.h.
void sim_set_trace(struct sim *s, const struct sim_trace_sink *sink);

#endif
