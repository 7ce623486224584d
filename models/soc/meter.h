// SPDX-License-Identifier: GPL-3.0-or-later
// What a trace shows of a simulated machine beside the tasks: gauges of bandwidth, power, clocks,
// temperature. Models tell it what changed while somebody traces; nobody else needs it.
#ifndef MODELS_SOC_METER_H
#define MODELS_SOC_METER_H

#include "engine/machine.h"
#include "models/soc/clock.h"
#include "models/soc/power.h"

enum { METER_WINDOW = 10 * 1000 * 1000 }; // ps: at cycle level bandwidth is a mean over 10 us

struct meter {
    const struct trace_sink *sink;
    const struct power_params *power;
    int game, bandwidth, temperature;
    int watts[MACHINE_MAX_DEVICES], clock[MACHINE_MAX_DEVICES], dram_watts, control_watts,
        rest_watts;
    enum device_kind kind[MACHINE_MAX_DEVICES];
    int64_t window; // cycle level: when the current one began
    double bytes;   // in it so far
};

// All gauges of an idle machine; `game` and `hot`: there is one, and temperatures are followed.
void meter_open(struct meter *t, const struct machine *m, const struct power_params *p, bool game,
                bool hot);
// The last readings; the gauges fall to 0.
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
