// SPDX-License-Identifier: GPL-3.0-or-later
// A team of threads for fork-join inside one task: the caller and its helpers take numbered chunks
// until none is left. Which thread takes which chunk varies; a result that depends only on the
// chunk number does not.
#ifndef ENGINE_HOST_TEAM_H
#define ENGINE_HOST_TEAM_H

#include "base/conf.h"
#include "base/err.h"

enum { TEAM_MAX = 64 };

// Work on chunk `chunk`; `worker` is in [0, threads) and names the scratch that may be used.
typedef void team_fn(void *ctx, int chunk, int worker);

struct team;
// threads >= 1 counts the caller. `spin` is the number of polling turns before a helper sleeps.
// Helper i is pinned to pin->v[i % n] when the list is not empty.
int team_create(int threads, int spin, const struct conf_int_list *pin, struct team **out,
                struct err *e);
void team_destroy(struct team *t);
int team_threads(const struct team *t); // 1 for NULL
// Runs fn(ctx, c, worker) for every c in [0, chunks); returns when all are done. One caller at a
// time; t may be NULL (the caller does all the work).
void team_run(struct team *t, team_fn *fn, void *ctx, int chunks);

// Pins the calling thread to one CPU; a CPU that is not there is logged and ignored.
void team_pin(const struct conf_int_list *pin, int thread);

#endif
