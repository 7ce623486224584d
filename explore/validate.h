// SPDX-License-Identifier: GPL-3.0-or-later
// Do predictions hold on a real machine? Configurations of an exploration are run there, beside
// what was predicted: by their plans, from a cost table measured on that machine by the same
// profiler that the exploration used, or by the exploration itself.
//
// The configurations take turns (A B C A B C ..), so that drift of the machine (clocks, heat, other
// load) hits all alike; one round warms up and is not counted; medians are reported, each with an
// interval.
#ifndef EXPLORE_VALIDATE_H
#define EXPLORE_VALIDATE_H

#include <signal.h>
#include "explore/campaign.h"

enum { VALIDATE_MAX = 64, VALIDATE_MAX_REPEATS = 101 };
#define VALIDATE_LEVEL 0.95 // what an interval shall cover, where there are rounds enough
#define VALIDATE_ALIKE 0.01 // times that are nearer than 1 % are no order worth a claim

enum validate_metric { VALIDATE_TTFT, VALIDATE_TPOT, VALIDATE_TOTAL, VALIDATE_METRICS };
extern const char *const validate_metric_names[VALIDATE_METRICS];  // "ttft", "tpot", "total"
extern const char *const validate_metric_titles[VALIDATE_METRICS]; // "TTFT", "TPOT", "total"

// --- which configurations

// The first n distinct (policy, sync) pairs of rows in ranked order, feasible ones only: places in
// `order`, as pareto_rank gives it, rising; returns how many there are. Of pairs whose predicted
// times are all nearer than `alike` (a share; 0: each for itself) the first stands for the others.
// per_policy: of each policy only its best, so that the policies are compared and not the options
// of the winner; alike or not.
int validate_pick(const struct campaign_row *row, const int *order, int count, int n,
                  bool per_policy, double alike, int *place);

// Adds n pairs that stand for the rest to the n_picked of validate_pick: the other pairs that are
// distinct and not alike, in ranked order, are cut into n parts of one length, and each part gives
// the one whose policy (whatever its options) was taken least often so far; of several that, the
// one nearest to the middle of its part. Returns n_picked plus how many there are.
int validate_spread(const struct campaign_row *row, const int *order, int count, int n,
                    int n_picked, double alike, int *place);

// --- running them

struct validate_request {
    const struct machine_factory *factory;
    // The machine, with the same devices, whose profile the plans are made from; NULL: the machine
    // itself. With the simulated SoC of an exploration, its plans are what runs.
    const struct machine_factory *planner;
    const struct model *model; // with weights on a machine with values
    const int32_t *prompt;     // [n_prompt], or NULL on a machine without values
    int n_prompt, n_gen;
    int repeats; // 1 .. VALIDATE_MAX_REPEATS
    uint64_t seed;
    double alike; // a share: times that are nearer are ties for tau
    int n;        // configurations, 1 .. VALIDATE_MAX
    const char *policy[VALIDATE_MAX], *sync[VALIDATE_MAX]; // specs
    // What was predicted, in ms [n][VALIDATE_METRICS]; NULL: what the plans predict.
    const double (*predicted)[VALIDATE_METRICS];
    const volatile sig_atomic_t *stop; // or NULL
    // Before the first and after every run; may be NULL.
    void (*progress)(void *user, int done, int total);
    void *user;
};

struct validate_value { // in ms; NaN: unknown
    double predicted, measured;
    double low, high; // interval of the median; NaN with one round
    double error;     // predicted / measured - 1
    double spread;    // (maximum - minimum) / median of the rounds
};

struct validate_row {
    bool ok;
    char reason[240]; // why the machine cannot do it
    struct validate_value v[VALIDATE_METRICS];
};

// One metric over all configurations that ran.
struct validate_summary {
    int n;                              // how many have both values
    double median_error, largest_error; // of |error|
    double tau;                         // Kendall's, of predicted and measured order; NaN: too few
    int told;         // pairs that the measurement tells apart: their intervals do not meet
    int right;        // of them, those that are predicted in the measured order
    int choice, best; // rows of the least predicted and the least measured value (the first of
                      // equals), -1: none
    double regret;    // measured(choice) / measured(best) - 1: what trusting the prediction costs
    bool apart;       // the intervals of choice and best do not meet
};

struct validate_result {
    char machine[96];
    int n, repeats;  // rounds that were completed; fewer than asked when stopped
    double coverage; // with what probability an interval holds the true median
    struct validate_row row[VALIDATE_MAX];
    struct validate_summary summary[VALIDATE_METRICS];
};

int validate_run(const struct validate_request *q, struct validate_result *out, struct err *e);

// --- statistics

// Median of v[n] and the shortest symmetric interval of order statistics, [k-th least, k-th
// largest], that covers the median of the distribution with at least VALIDATE_LEVEL, or minimum and
// maximum where there are too few values (n < 6). Free of assumptions on the distribution; values
// must be independent. Returns the coverage, 1 - 2^(1-n) * sum over i < k of C(n, i). Sorts v.
// All NaN and 0 where a value is NaN or n is 0; no interval (NaN, 0) where n is 1.
double validate_median(double *v, int n, struct validate_value *out);

// Of row[n]: needs predicted, measured, low and high; fills error of every row. Values nearer than
// `alike` are ties.
void validate_summarise(struct validate_row *row, int n, enum validate_metric m, double alike,
                        struct validate_summary *out);

// --- limits, for CI

struct validate_limits { // as shares (0.15 is 15 %); NaN: none
    double max_error;    // of the median error
    double min_tau, max_regret;
};

enum validate_limit { LIMIT_ERROR, LIMIT_TAU, LIMIT_REGRET, LIMIT_COUNT };

struct validate_verdict {
    const char *name; // "max_error", "min_tau", "max_regret"
    enum validate_metric metric;
    double limit, value; // NaN: it could not be told, which misses the limit
    bool ok;
    char text[160]; // in a sentence
};

// Every limit on every metric with metrics[m]: their count. TPOT is left out where no second token
// was generated (nobody measured it).
int validate_judge(const struct validate_result *r, const struct validate_limits *limits,
                   const bool metrics[VALIDATE_METRICS],
                   struct validate_verdict out[VALIDATE_METRICS * LIMIT_COUNT]);

#endif
