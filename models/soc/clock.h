// SPDX-License-Identifier: GPL-3.0-or-later
// Operating points of a device: pairs of clock and voltage, the fastest first.
#ifndef MODELS_SOC_CLOCK_H
#define MODELS_SOC_CLOCK_H

#include "base/conf.h"

// The group `clock` of each device.
struct clock_params {
    struct conf_int_list frequencies; // Hz, descending; empty: one point only
    struct conf_int_list millivolts;  // of each
    int64_t level;                    // the point to run at; 0: the fastest
};
extern const struct conf_row clock_rows[];
extern const size_t clock_n_rows;

// Time weighted with what power goes with: ps that would have cost as much at the fastest point.
struct clock_use {
    double dynamic; // busy time, times f V^2
    double busy;    // busy time, times V
    double all;     // all time, times V
};

struct clock {
    struct clock_params p;
    int level;
    double f, v;            // relative to the fastest point
    struct clock_use use;   // up to the last change of level
    int64_t since, counted; // ps: the last change, and how long the device was busy until then
};

int clock_check(const struct clock_params *p, const char *group, struct err *e);
int clock_levels(const struct clock_params *p);
void clock_init(struct clock *c, const struct clock_params *p);
// From now on at this level, clipped to those there are. busy: ps of work so far.
void clock_set(struct clock *c, int level, int64_t now, int64_t busy);
// What power has to pay for up to now.
struct clock_use clock_used(const struct clock *c, int64_t now, int64_t busy);
// How long takes what takes `ps` at the fastest point.
int64_t clock_stretch(const struct clock *c, int64_t ps);

#endif
