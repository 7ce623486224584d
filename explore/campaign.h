// SPDX-License-Identifier: GPL-3.0-or-later
// The campaign: ask a searcher for points, have them evaluated, tell it, keep everything.
//
// The loop is the campaign's, so evaluation can be spread over worker processes without a searcher
// or an evaluator knowing. Results do not depend on the number of workers: points are numbered as
// they are asked, told in that order, and ask i happens after exactly max(0, i - CAMPAIGN_WINDOW +
// 1) tells (fewer asks are outstanding only when the searcher itself wants to hear more first).
//
// A worker that dies takes only its point with it: the point is recorded as crashed, a new worker
// takes its place. A stop (Ctrl-C) lets running points finish and loses nothing that was reported.
#ifndef EXPLORE_CAMPAIGN_H
#define EXPLORE_CAMPAIGN_H

#include <signal.h>
#include <stdio.h>
#include "explore/metrics.h"
#include "explore/search.h"
#include "explore/space.h"

enum { CAMPAIGN_WINDOW = 64, CAMPAIGN_MAX_JOBS = 64 };

// What evaluates points. open runs in the worker process; its state lives as long as the worker.
struct campaign_worker {
    void *(*open)(const void *context);
    void (*run)(void *state, const struct search_point *p, struct metrics *out);
    void (*close)(void *state);
};

struct campaign_progress {
    int64_t done, total; // total: points that this campaign can have
    double rate, eta_s;  // points per second; NaN until known
    int64_t infeasible, crashed;
    const struct campaign_row *best; // least first objective so far, or NULL
};

struct campaign_request {
    const struct space *space;
    const struct search_ops *search;
    const void *search_options;
    uint64_t seed;
    int64_t budget; // points at most; 0: no limit
    int jobs;       // worker processes; 0: evaluate in this process
    const struct campaign_worker *worker;
    const void *context;               // for worker->open
    FILE *csv;                         // NULL, or open for writing: one row per point, flushed
    const volatile sig_atomic_t *stop; // NULL, or set to non-zero to stop
    // Called after every told point (may be NULL).
    void (*progress)(void *user, const struct campaign_progress *p);
    void *user;
};

struct campaign {
    const struct space *space;
    struct campaign_row *row; // in ask order
    int64_t count, infeasible, crashed;
    const char *stopped; // why it ended
    bool interrupted;
    uint64_t digest; // over (point, metrics) in ask order
    double seconds;  // of wall clock
    struct arena arena;
};

// Fails only when workers cannot be started or the CSV cannot be written.
int campaign_run(const struct campaign_request *q, struct campaign *out, struct err *e);
void campaign_fini(struct campaign *c);

#endif
