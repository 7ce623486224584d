// SPDX-License-Identifier: GPL-3.0-or-later
// A sink that keeps what it is told, in arrays.
//
//     struct trace_memory t;
//     trace_memory_init(&t);
//     m->ops->trace(m, &t.sink);
//     ... run ...
//     m->ops->trace(m, NULL);
//     trace_memory_sort(&t);
//     for (size_t i = 0; i < t.n_slices; i++)
//         draw(t.track[t.slice[i].track].name, t.name[t.slice[i].name], t.slice[i].begin, ...);
#ifndef BASE_TRACE_MEMORY_H
#define BASE_TRACE_MEMORY_H

#include <stddef.h>
#include "base/arena.h"
#include "base/trace.h"

struct trace_track {
    const char *group, *name;
    const char *unit; // of a counter; NULL: a track of slices
};
struct trace_slice {
    int64_t begin, end; // ps, begin <= end
    uint64_t id;        // 0: none
    int track, name;    // indices
    uint64_t reported;  // order of the reports
};
struct trace_count {
    int64_t time; // ps
    double value; // from then on
    int track;
};
struct trace_flow {
    uint64_t from, to; // ids of slices
};

struct trace_memory {
    struct trace_sink sink; // to be handed out; points at this struct, which must not move
    struct trace_track *track;
    const char **name; // interned names of slices
    struct trace_slice *slice;
    struct trace_count *counter; // no two of one track at one time, none without a change
    struct trace_flow *flow;
    size_t n_tracks, n_names, n_slices, n_counters, n_flows;
    // Private.
    struct arena arena;
    uint64_t reported;
    struct trace_last *last; // [n_tracks]
    uint32_t *table;         // of names, by hash; 0: free, else index + 1
    size_t table_size, room_tracks, room_names, room_slices, room_counters, room_flows;
};

void trace_memory_init(struct trace_memory *t);
void trace_memory_fini(struct trace_memory *t);
// Slices by begin, of two that begin together the longer one first, of two that also end together
// the one that was reported later, because what is inside is over first; counters by time.
void trace_memory_sort(struct trace_memory *t);

#endif
