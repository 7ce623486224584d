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

struct metric_row {
    const char *name;  // key and CSV column: "ttft_ms"
    const char *title; // for people: "TTFT"
    const char *unit;  // "ms"; "" for none
    bool objective;    // can be minimised (or, a rate, maximised)
    bool rate;         // more is better
};
extern const struct metric_row metric_rows[METRIC_COUNT];

// Index of the metric, or -1.
int metric_find(const char *name);
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

void metrics_init(struct metrics *m, enum metrics_status status); // all unknown
void metrics_from(struct metrics *m, const struct session_result *r);
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
