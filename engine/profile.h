// SPDX-License-Identifier: GPL-3.0-or-later
// The profiler: fills a cost table by measuring operators through the machine seam, the same way on
// hardware and on models.
//
// The streamed time of an operator is (T(b) - T(a)) / (b - a), where T(r) is the time from the
// first submission to the end of the wait for r operators in a row: constant costs of submission,
// wake-up and waiting cancel. On hardware each T is the least of several repetitions.
//
// A profile is of a machine that nobody else uses and that is cool (machine.quiet): it is taken
// once, when an engine is deployed, and not again while somebody plays.
#ifndef ENGINE_PROFILE_H
#define ENGINE_PROFILE_H

#include "engine/cost.h"
#include "engine/graph.h"
#include "engine/sync.h"

enum { PROFILE_MAX_N = 32, PROFILE_MAX_KV = 8 };

struct profile_request {
    int n[PROFILE_MAX_N]; // token counts for dynamic-shape devices (static ones: their sizes)
    int n_n;
    int kv[PROFILE_MAX_KV]; // cached rows for attention
    int n_kv;
    int row_parts; // matmuls are measured at 1/parts, 2/parts, .. of their rows, in tiles
    int repeats;   // 1 on a machine without noise
    int max_n;     // static sizes above this are left out (0: all)
    bool isolated; // operators alone on a device that was idle, instead of streamed
};

// A request for prompts of n_prompt tokens and up to n_ctx cached rows.
void profile_default(const struct machine *m, int n_prompt, int n_ctx, struct profile_request *out);

// Measures every operator kind and matmul shape of the model on every device that supports it.
int profile_run(struct machine *m, const struct model *model, const struct profile_request *r,
                struct cost_table *t, struct err *e);
// Measures what a sync scheme costs (cost_overheads.join, .submit, and on hardware .pair) and how
// much devices that work at the same time slow each other down while the host waits by it
// (.together, .together_many, .split for steps of n tokens).
int profile_sync(struct machine *m, const struct model *model, const struct sync_ops *sync,
                 const void *options, int n, struct cost_table *t, struct err *e);

// The steps of a measurement, for those who choose the tasks themselves. `turn` holds n tasks that
// are equal but for their weights and are submitted in turn, so that no weight is found in a cache
// because it was just used; `repeats` is 1 on a machine without noise.
//
// Loads the weights and prepares the static graph; 0 with *able = false when the device cannot run
// the first of them.
int profile_ready(struct machine *m, int device, struct task *turn, int n, bool *able,
                  struct err *e);
// Keeps the device busy until it is awake and clocked up.
int profile_warm(struct machine *m, int device, const struct task *turn, int n, int repeats,
                 struct err *e);
// The streamed time of one task (ps).
int profile_streamed(struct machine *m, int device, const struct task *turn, int n, int repeats,
                     double *ps, struct err *e);
// What a hand-over costs: rounds of submission to an idle queue and join. *join: the time of a
// round less `alone` (the streamed time of the task), *submit: the host's part in it (ps).
int profile_hand_over(struct machine *m, int device, const struct task *task, double alone,
                      const struct sync_ops *sync, const void *options, double *join,
                      double *submit, struct err *e);
// One end of a hand-over: a task that is ready on its device, and its streamed time (ps).
struct profile_leg {
    int device;
    const struct task *task;
    double alone;
};
// From the end of a task on one device to the begin of one on the other (or the same), which is
// submitted when the scheme's join has returned: ps[*n] in order of measurement, *n <= rounds. On a
// device with a clock of its own (OpenCL) a value can be off by the time of an enqueue, and even be
// negative. *n = 0: one of the devices does not report when it executes what, or somebody traces
// the machine already. Queues are empty.
int profile_pair(struct machine *m, const struct profile_leg *from, const struct profile_leg *to,
                 const struct sync_ops *sync, const void *options, int rounds, double *ps, int *n,
                 struct err *e);
// Orders the n >= 1 values and returns the middle one.
double profile_median(double *v, int n);

// One isolated measurement: the time from submission to an idle device until the device reports
// completion (ps); negative on error. It contains the wake-up and the clock's ramp.
double profile_isolated(struct machine *m, int device, const struct task *task, struct err *e);

#endif
