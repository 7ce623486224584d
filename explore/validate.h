// SPDX-License-Identifier: GPL-3.0-or-later
// Do predictions hold on a real machine? The best configurations of an exploration are run there,
// beside what their plans predict from a cost table measured on that machine by the same profiler
// that the exploration used.
//
// The configurations take turns (A B C A B C ..), so that drift of the machine (clocks, heat, other
// load) hits all alike; one round warms up and is not counted; medians are reported.
#ifndef EXPLORE_VALIDATE_H
#define EXPLORE_VALIDATE_H

#include <signal.h>
#include "explore/campaign.h"

enum { VALIDATE_MAX = 64, VALIDATE_MAX_REPEATS = 101 };

struct validate_request {
    const struct machine_factory *factory;
    const struct model *model; // with weights on a machine with values
    const int32_t *prompt;     // [n_prompt], or NULL on a machine without values
    int n_prompt, n_gen;
    int repeats; // 1 .. VALIDATE_MAX_REPEATS
    uint64_t seed;
    int n;                                                 // configurations, 1 .. VALIDATE_MAX
    const char *policy[VALIDATE_MAX], *sync[VALIDATE_MAX]; // specs
    const volatile sig_atomic_t *stop;                     // or NULL
    void (*progress)(void *user, int done, int total);     // after every run; may be NULL
    void *user;
};

struct validate_row {
    bool ok;
    char reason[240];                              // why the machine cannot do it
    double predicted_ttft_ms, ttft_ms, ttft_error; // error: predicted / measured - 1; NaN: unknown
    double predicted_tpot_ms, tpot_ms, tpot_error;
    double ttft_spread, tpot_spread; // (maximum - minimum) / median of the repetitions
};

struct validate_result {
    char machine[96];
    int n, repeats; // rounds that were completed; fewer than asked when stopped
    struct validate_row row[VALIDATE_MAX];
    double ttft_tau, tpot_tau; // Kendall's tau of predicted and measured order; NaN: too few
};

int validate_run(const struct validate_request *q, struct validate_result *out, struct err *e);

// The first n distinct (policy, sync) pairs of rows in ranked order, feasible ones only; returns
// how many there are. `order` as pareto_rank gives it. per_policy: of each policy only its best, so
// that the policies are compared and not the options of the winner.
int validate_pick(const struct campaign_row *row, const int *order, int count, int n,
                  bool per_policy, const char **policy, const char **sync);

#endif
