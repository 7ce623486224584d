// SPDX-License-Identifier: GPL-3.0-or-later
// What is known about one evaluated point: a flat value that travels through pipes and files.
//
// One table names every metric, so that spaces, CSV files, rankings and reports mean the same by
// "ttft_ms". Every metric can be an objective: times, energies and sizes are minimised as they are,
// a rate by its inverse.
#ifndef EXPLORE_METRICS_H
#define EXPLORE_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include "engine/session.h"

enum metric {
    METRIC_TTFT,
    METRIC_TPOT,
    METRIC_PREFILL_RATE,
    METRIC_DECODE_RATE,
    METRIC_TOTAL,
    METRIC_ENERGY,
    METRIC_POWER_PREFILL,
    METRIC_BYTES_MOVED,
    METRIC_MEMORY,
    METRIC_PREPARE,
    METRIC_PREDICTED_PREFILL,
    METRIC_PREDICTED_DECODE,
    METRIC_FPS_PREFILL,
    METRIC_FPS_DECODE,
    METRIC_FRAMES_DROPPED,
    METRIC_ACTIVATION_BITS,
    METRIC_COUNT,
};

// How one metric of several requests, or of several machines, becomes one.
enum metric_mean {
    MEAN_REQUEST, // requests: mean by weight; machines: as the space says
    MEAN_TOKEN,   // requests: mean by weight and generated tokens after the first
    MEAN_PREFILL, // requests: mean by weight and time to first token
    MEAN_DECODE,  // requests: mean by weight and time after it
    MEAN_RATE,    // requests: tokens over time, both added up by weight
    MEAN_COUNT,   // requests: mean by weight; machines: arithmetic mean (may be 0)
    MEAN_MOST,    // the largest
    MEAN_LEAST,   // the least
};

struct metric_row {
    const char *name;  // key and CSV column: "ttft_ms"
    const char *title; // for people: "TTFT"
    const char *unit;  // "ms"; "" for none
    bool objective;    // can be minimised (or, a rate, maximised)
    bool rate;         // more is better
    enum metric_mean mean;
    enum unit unit_kind; // constraints may be written in it; UNIT_NONE: plain numbers only
    double base;         // one `unit` in base units of unit_kind (1 ms = 1e9 ps)
};
extern const struct metric_row metric_rows[METRIC_COUNT];

// Index of the metric, or -1.
int metric_find(const char *name);
// Is it known before anything runs, from the plans alone (level "estimate")?
bool metric_estimated(enum metric m);
// What is minimised for this metric: the value, or the inverse of a rate.
double metric_objective(enum metric m, double value);

enum metrics_status {
    METRICS_OK,
    METRICS_INFEASIBLE, // this configuration cannot be planned or run; the reason says why
    METRICS_CRASHED,    // the worker process died of it
    METRICS_HUNG,       // it took longer than the campaign's limit
    METRICS_STATUSES,
};
const char *metrics_status_name(enum metrics_status s);

// The most machines that one point is evaluated on.
enum { METRICS_MAX_MACHINES = 8 };

// How metrics of several machines become one value.
enum metrics_aggregate {
    AGGREGATE_GEOMEAN, // geometric mean: a ratio on one machine counts as much as on another
    AGGREGATE_WORST,   // of each metric by itself the worst
};

struct metrics {
    enum metrics_status status;
    char reason[240];                   // "" when ok
    double value[METRIC_COUNT];         // NaN: unknown
    double violation;                   // of the space's constraints; 0: all hold
    uint64_t plan_prefill, plan_decode; // digests (of all sessions, when there are several)
    uint64_t digest;                    // of the session or sessions (0 unless ok)
    double wall_s;                      // what the evaluation took; no part of any digest
    int n_machines;                     // on how many it was evaluated; 0: one, as in `value`
    double by_machine[METRICS_MAX_MACHINES][METRIC_COUNT];
};

// It ran and keeps the constraints.
bool metrics_feasible(const struct metrics *m);
void metrics_init(struct metrics *m, enum metrics_status status); // all unknown
void metrics_from(struct metrics *m, const struct session_result *r);
// The plan's own predictions in the place of what they predict: ttft_ms, tpot_ms, total_ms, rates.
void metrics_estimate(struct metrics *m, int n_prompt, int n_gen);

// One request of a workload: a prompt and its generation. Weights add up to 1.
struct space_request {
    int n_prompt, n_gen;
    double weight;
};
// Metrics of the requests as those of the workload (see enum metric_mean); one request: as it is.
void metrics_of_requests(const struct metrics *m, const struct space_request *r, int n,
                         struct metrics *out);
// Metrics of n machines as one, each also in by_machine; one machine: as it is.
void metrics_of_machines(const struct metrics *m, int n, enum metrics_aggregate how,
                         struct metrics *out);

uint64_t metrics_digest(uint64_t d, const struct metrics *m); // status, values, session digest

// An evaluated point in words: what campaign, store, ranking and report hand each other.
struct campaign_row {
    uint64_t key;                    // identity of the evaluation, see explore/identity.h
    uint64_t config;                 // digest of the resolved options and machine; 0: unknown
    const char *code;                // version of the program that evaluated it
    const char *policy, *sync, *soc; // specs, as in space_config
    const char *level;               // of detail: "flow", ..; "" where the space has only one
    const char *label;               // all of it in one line
    struct metrics m;
};

#endif
