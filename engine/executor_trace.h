// SPDX-License-Identifier: GPL-3.0-or-later
// What the executor reports of a run: its own slices and who waits for whom. Only with a sink.
#ifndef ENGINE_EXECUTOR_TRACE_H
#define ENGINE_EXECUTOR_TRACE_H

#include "engine/plan.h"
#include "engine/sync.h"

// Entry i was submitted, which took from `begin` to `end`; seq: the tickets of the entries.
void executor_trace_submit(struct machine *m, const struct schedule *s, const uint64_t *seq, int i,
                           int64_t begin, int64_t end);
// These tickets were joined.
void executor_trace_join(struct machine *m, const char *scheme, const struct ticket *t, int n,
                         int64_t begin);
// A step of n tokens after n_past was run.
void executor_trace_step(struct machine *m, int n, int n_past, int64_t begin);

#endif
