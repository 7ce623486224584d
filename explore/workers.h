// SPDX-License-Identifier: GPL-3.0-or-later
// A pool of worker processes, each with a pipe in and a pipe out. For campaign.c.
#ifndef EXPLORE_WORKERS_H
#define EXPLORE_WORKERS_H

#include "explore/campaign.h"

struct workers;
// jobs = 0: no processes; workers_wait evaluates here. timeout_s: a point that takes longer is hung
// and its worker is killed; 0: no limit (and none for jobs = 0).
int workers_open(int jobs, double timeout_s, const struct campaign_worker *w, const void *context,
                 struct workers **out, struct err *e);
// Is there a worker that should get a point? One without any; while points take little time also
// one that is busy, so that the next point is there when it has finished.
bool workers_ready(const struct workers *w);
// Gives point number `id` to such a worker.
int workers_give(struct workers *w, int64_t id, const struct search_point *p, struct err *e);
// Waits, at most wait_s (negative: for ever), until a point is evaluated, or its worker died
// (METRICS_CRASHED) or was killed (METRICS_HUNG); 1 with *id and *out, 0 when time or a signal
// ended the wait, negative on failure. At least one point must be out.
int workers_wait(struct workers *w, double wait_s, int64_t *id, struct metrics *out, struct err *e);
void workers_close(struct workers *w);

#endif
