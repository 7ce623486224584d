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
// machine without values). On return the logits of the last token are in executor_logits.
int executor_run(struct executor *x, struct program *p, const int32_t *tokens, int n_past,
                 struct err *e);
const float *executor_logits(const struct executor *x); // [n_vocab], NULL without values
void executor_clear(struct executor *x);
const struct executor_stats *executor_get_stats(const struct executor *x);
int64_t executor_memory(const struct executor *x); // bytes of shared buffers and KV cache

#endif
