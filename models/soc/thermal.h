// SPDX-License-Identifier: GPL-3.0-or-later
// Temperature of a SoC in its case, and the governor that bounds it.
#ifndef MODELS_SOC_THERMAL_H
#define MODELS_SOC_THERMAL_H

#include "base/conf.h"

// The group `thermal`.
struct thermal_params {
    bool enabled;
    double ambient;     // degC
    double start;       // degC at the reset
    double resistance;  // K/W, to the ambient
    double capacitance; // J/K
    double limit;       // degC
    double hysteresis;  // K
    int64_t period;     // ps between two decisions of the governor
};
extern const struct conf_row thermal_rows[];
extern const size_t thermal_n_rows;

struct thermal {
    struct thermal_params p;
    double temperature, peak; // degC, as of `since`
    double before;            // degC, at the advance before
    double joules;            // spent up to then
    int64_t since;            // ps
    int steps;                // operating points below the chosen ones
    int64_t throttled;        // ps with steps > 0, up to `since`
};

void thermal_init(struct thermal *t, const struct thermal_params *p);
// Temperature at `now`, when so much energy has been spent since the reset. Changes nothing.
double thermal_at(const struct thermal *t, int64_t now, double joules);
// The same, and the time since then is accounted for.
void thermal_advance(struct thermal *t, int64_t now, double joules);
// The governor's decision after an advance: one step more or less, within 0 and `most`. True when
// `steps` has changed.
bool thermal_govern(struct thermal *t, int most);

#endif
