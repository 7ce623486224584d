// SPDX-License-Identifier: GPL-3.0-or-later
// A worker for tests of campaigns: metrics by formula, and points that crash, hang or are refused.
#ifndef TESTS_EXPLORE_FORMULA_H
#define TESTS_EXPLORE_FORMULA_H

#include <signal.h>
#include <unistd.h>
#include "base/digest.h"
#include "explore/campaign.h"

struct formula {
    int crash_policy, crash_part; // the point that kills its worker; -2: none
    int refuse_sync;              // infeasible points
    int delay_us;                 // of even points, so that answers come out of order
    bool hang;                    // the crashing point hangs instead
    int *evaluated;               // shared counter of evaluations, or NULL
};

static inline void *formula_open(const void *context)
{
    return (void *)(uintptr_t)context;
}

static inline void formula_run(void *state, const struct search_point *p, struct metrics *out)
{
    const struct formula *f = state;
    metrics_init(out, METRICS_OK);
    if (f->evaluated)
        __atomic_add_fetch(f->evaluated, 1, __ATOMIC_RELAXED);
    if (p->choice[0] == f->crash_policy && p->choice[1] == f->crash_part) {
        while (f->hang)
            pause();
        raise(SIGKILL);
    }
    if (p->choice[2] == f->refuse_sync) {
        metrics_init(out, METRICS_INFEASIBLE);
        snprintf(out->reason, sizeof out->reason, "refused, \"as asked\"");
        return;
    }
    if (f->delay_us && (p->choice[1] + p->choice[3]) % 2 == 0)
        usleep((useconds_t)f->delay_us);
    out->value[METRIC_TTFT] = 100 + 10 * p->choice[0] + p->choice[1] + 0.1 * p->choice[3];
    out->value[METRIC_TPOT] = 50 - p->choice[1];
    out->value[METRIC_ENERGY] = 1 + p->choice[2] + p->choice[4] * p->choice[5];
    out->digest = digest_bytes(DIGEST_INIT, p->choice, 8 * sizeof p->choice[0]);
}

static inline void formula_close(void *state)
{
    (void)state;
}

static const struct campaign_worker formula_worker = {formula_open, formula_run, formula_close};

#endif
