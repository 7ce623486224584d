// SPDX-License-Identifier: GPL-3.0-or-later
// The executor: runs plans on a machine. It owns the pool of shared buffers (one set, reused by
// every layer) and the KV cache, binds schedules to them, submits, and joins through the sync
// scheme. It is the same code in both worlds.
#ifndef ENGINE_EXECUTOR_H
#define ENGINE_EXECUTOR_H

#include "engine/cost.h"
#include "engine/plan.h"
#include "engine/sync.h"

struct executor;
struct program; // a plan made ready: schedules, loaded weights, prepared graphs

// What the executor did since executor_clear: the audit compares it with what the devices report.
struct executor_stats {
    uint64_t submissions, joins;
    struct work work[MACHINE_MAX_DEVICES]; // useful work handed to each device
    int64_t map_bytes;                     // copied for devices that are not coherent
};

// n_ctx: rows of the KV cache; max_tokens: largest step. Buffers come from the machine.
int executor_create(struct machine *m, const struct model *model, int n_ctx, int max_tokens,
                    struct executor **out, struct err *e);
void executor_destroy(struct executor *x);

// The scheme must be offered by the machine.
int executor_set_sync(struct executor *x, const struct sync_ops *sync, const void *options,
                      struct err *e);

// Compiles a plan for steps of g (its n_tokens; n_past may differ at run time). Loads weights and,
// unless the plan prepares online, prepares static graphs: both outside the measured time.
// `cost` (may be NULL) gives the expected duration of each task to the sync scheme.
int executor_compile(struct executor *x, const struct plan *p, const struct graph *g,
                     const struct cost_table *cost, struct program **out, struct err *e);
void executor_release(struct executor *x, struct program *p);
const struct schedule *program_schedule(const struct program *p, int step);

// Runs all steps over the plan's n_tokens tokens after n_past cached ones (tokens may be NULL on a
// machine without values). On return the logits of the last token are in executor_logits. No device
// is at work when it returns, also after an error.
int executor_run(struct executor *x, struct program *p, const int32_t *tokens, int n_past,
                 struct err *e);

// Which device was it? After compile, run or salvage returned ERR_DEVICE: the index of the device
// that failed, -1 when none admits it. The error then names the device and, where it is known, the
// task ("npu failed at L3 gate_up 0:512 n1: ...").
int executor_culprit(const struct executor *x);
// After the machine has lost a device (machine.lost) in a run over tokens after n_past cached ones:
// waits for the other devices, forgets what the lost one held and finds out what is left. *rows is
// the number of leading rows of the KV cache, at most n_past, that are whole; a run over the tokens
// from there on goes on as if nothing had happened. Programs that use the device are void, and the
// sync scheme is to be set again. An error: another device has failed.
int executor_salvage(struct executor *x, int n_past, int *rows, struct err *e);
// Makes room for steps of so many tokens. What the step buffers hold is lost.
int executor_reserve(struct executor *x, int max_tokens, struct err *e);

const float *executor_logits(const struct executor *x); // [n_vocab], NULL without values
void executor_clear(struct executor *x);
const struct executor_stats *executor_get_stats(const struct executor *x);
int64_t executor_memory(const struct executor *x); // bytes of shared buffers and KV cache

#endif
