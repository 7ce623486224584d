// SPDX-License-Identifier: GPL-3.0-or-later
// A pool of worker processes, each with a pipe in and a pipe out, one point at a time. For
// campaign.c.
#ifndef EXPLORE_WORKERS_H
#define EXPLORE_WORKERS_H

#include "explore/campaign.h"

struct workers;
// jobs = 0: no processes; workers_wait evaluates here.
int workers_open(int jobs, const struct campaign_worker *w, const void *context,
                 struct workers **out, struct err *e);
// Is a worker without a point?
bool workers_idle(const struct workers *w);
// Gives point number `id` to an idle worker.
int workers_give(struct workers *w, int64_t id, const struct search_point *p, struct err *e);
// Waits until a point is evaluated, or its worker died (METRICS_CRASHED); 1 with *id and *out, 0
// when a signal interrupted the wait, negative on failure. At least one point must be out.
int workers_wait(struct workers *w, int64_t *id, struct metrics *out, struct err *e);
void workers_close(struct workers *w);

#endif
