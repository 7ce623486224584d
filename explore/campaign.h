// SPDX-License-Identifier: GPL-3.0-or-later
// The campaign: ask a searcher for points, have them evaluated, tell it, keep everything.
//
// The loop is the campaign's, so evaluation can be spread over worker processes without a searcher
// or an evaluator knowing. Results do not depend on the number of workers: points are numbered as
// they are asked, told in that order, and ask i happens after exactly max(0, i - window + 1) tells
// (fewer asks are outstanding only when the searcher itself wants to hear more first).
//
// With a store, a point that anybody has evaluated before is told without being evaluated. So a
// campaign resumes by being run again: the searcher hears the same answers and asks the same
// points, until it comes to one that nobody knows.
//
// A worker that dies or hangs takes only its point with it: the point is recorded as such, a new
// worker takes its place. A stop (Ctrl-C) lets running points finish and loses nothing that was
// reported.
#ifndef EXPLORE_CAMPAIGN_H
#define EXPLORE_CAMPAIGN_H

#include <signal.h>
#include <stdio.h>
#include "explore/metrics.h"
#include "explore/search.h"
#include "explore/space.h"
#include "explore/stop.h"

enum { CAMPAIGN_WINDOW = 64, CAMPAIGN_MAX_WINDOW = 65536, CAMPAIGN_MAX_JOBS = 64 };

// What evaluates points. open runs in the worker process; its state lives as long as the worker.
struct campaign_worker {
    void *(*open)(const void *context);
    void (*run)(void *state, const struct search_point *p, struct metrics *out);
    void (*close)(void *state);
};

struct campaign_progress {
    int64_t done, total; // total: points that this campaign can have
    double seconds;      // since it began
    double rate, eta_s;  // evaluated points per second, time left; NaN until known
    int64_t infeasible, crashed, hung;
    int64_t cached;                  // of `done`: told from the store
    double hypervolume;              // see stop_hypervolume
    const struct campaign_row *best; // least first objective so far, or NULL
};

struct store;
struct identity;

struct campaign_request {
    const struct space *space;
    const struct search_ops *search;
    const void *search_options;
    uint64_t seed;
    struct stop_rules rules;
    int window;       // points between ask and tell at most; 0: CAMPAIGN_WINDOW
    int jobs;         // worker processes; 0: evaluate in this process
    double timeout_s; // longer is hung; 0: no limit. Needs jobs > 0
    const struct campaign_worker *worker;
    const void *context;       // for worker->open
    struct store *store;       // NULL, or open for writing: every point is kept there
    struct identity *identity; // of points; NULL: by their texts (tests)
    const char *settings;      // overrides of the machines' keys beside the space's, or NULL
    const char *text;          // the space's file, for the store; may be NULL
    const char *model;         // its name, for the store; NULL: the space's
    bool retry;                // evaluate again what crashed or hung in the store
    bool points_only;          // the store keeps the points and does not hear of a campaign
    bool ask_only; // evaluate nothing: what is not in the store is collected in `missing`
    const volatile sig_atomic_t *stop; // NULL, or set to non-zero to stop
    // Called after points were told and, with a store, committed (may be NULL).
    void (*progress)(void *user, const struct campaign_progress *p);
    void *user;
};

// A point that was asked and that the store does not know.
struct campaign_missing {
    struct search_point p;
    struct campaign_row row; // its key and words
};

struct campaign {
    const struct space *space;
    struct campaign_row *row; // in ask order
    int64_t count, infeasible, crashed, hung;
    int64_t cached;                   // of `count`: told from the store, not evaluated
    int64_t id;                       // in the store
    struct campaign_missing *missing; // with ask_only; none: the campaign is complete
    int64_t n_missing;
    enum stop_reason reason; // why it ended
    const char *stopped;     // the same in words
    bool interrupted;
    uint64_t digest; // over (configuration, metrics) in ask order
    double seconds;  // of wall clock
    struct arena arena;
};

// Fails only when workers cannot be started or the store cannot be written.
int campaign_run(const struct campaign_request *q, struct campaign *out, struct err *e);
void campaign_fini(struct campaign *c);

#endif
