// SPDX-License-Identifier: GPL-3.0-or-later
// What a trace shows of a simulated machine beside the tasks: gauges of bandwidth, power, clocks,
// temperature. Models tell it what changed while somebody traces; nobody else needs it.
#ifndef MODELS_SOC_METER_H
#define MODELS_SOC_METER_H

#include "engine/machine.h"
#include "models/soc/clock.h"
#include "models/soc/power.h"

// A counter of means over windows of equal length.
struct gauge {
    int track;
    int64_t window; // ps: begin of the current one
    int64_t since;  // ps: up to when `sum` counts
    double value;   // since then
    double sum;     // value times ps, in this window
};

struct meter {
    const struct trace_sink *sink;
    const struct power_params *power;
    int game, bandwidth, temperature, rest_watts;
    int clock[MACHINE_MAX_DEVICES];
    enum device_kind kind[MACHINE_MAX_DEVICES];
    struct gauge watts[MACHINE_MAX_DEVICES], dram_watts, control_watts;
    struct gauge bytes; // cycle level: of the bandwidth
    int64_t opened;     // ps
};

// A machine at rest at `now`. game, hot: there is one, and temperatures are followed.
void meter_open(struct meter *t, const struct machine *m, const struct power_params *p, bool game,
                bool hot, int64_t now);
// The last readings; all gauges fall to 0.
void meter_close(struct meter *t, int n_devices, int64_t now);

void meter_device(struct meter *t, int device, const struct clock *c, int64_t now, bool busy);
void meter_clock(struct meter *t, int device, const struct clock *c, int64_t now);
void meter_control(struct meter *t, enum core_class core, int64_t now, bool asleep);
void meter_temperature(struct meter *t, int64_t now, double celsius);
// Flow level: bytes/s from now on.
void meter_rate(struct meter *t, int64_t now, double rate);
// Cycle level: the DRAM served so many bytes now.
void meter_bytes(struct meter *t, int64_t now, int64_t bytes);

#endif
