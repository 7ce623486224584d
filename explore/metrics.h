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
    METRIC_COUNT,
};

struct metric_row {
    const char *name;  // key and CSV column: "ttft_ms"
    const char *title; // for people: "TTFT"
    const char *unit;  // "ms"; "" for none
    bool objective;    // always positive, so that a ranking may use it
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
};
const char *metrics_status_name(enum metrics_status s);

struct metrics {
    enum metrics_status status;
    char reason[240];           // "" when ok
    double value[METRIC_COUNT]; // NaN: unknown
    uint64_t digest;            // of the session (0 unless ok)
};

void metrics_init(struct metrics *m, enum metrics_status status); // all unknown
void metrics_from(struct metrics *m, const struct session_result *r);
uint64_t metrics_digest(uint64_t d, const struct metrics *m); // status, values, session digest

#endif
