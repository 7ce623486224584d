// SPDX-License-Identifier: GPL-3.0-or-later
// Statistics that models keep: a time-weighted level (queue length, power state) and a tally.
#ifndef SIM_STAT_H
#define SIM_STAT_H

#include <stdint.h>

// The integral of a step function over time: utilisation, energy of a state, mean queue length.
struct sim_level {
    double value;
    double integral; // value * ps
    double max;
    int64_t since;
};
void sim_level_init(struct sim_level *l, int64_t now, double value);
void sim_level_set(struct sim_level *l, int64_t now, double value);
double sim_level_integral(const struct sim_level *l, int64_t now); // value * ps up to now

// Count, mean, variance (Welford), least and greatest of single observations.
struct sim_tally {
    uint64_t n;
    double mean, m2, min, max;
};
void sim_tally_init(struct sim_tally *t);
void sim_tally_add(struct sim_tally *t, double x);
double sim_tally_deviation(const struct sim_tally *t);

#endif
