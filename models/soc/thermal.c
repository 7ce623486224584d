// SPDX-License-Identifier: GPL-3.0-or-later
// One node: all power heats one capacity, which loses heat to the ambient through one resistance.
//
//     C dT/dt = P - (T - ambient) / R
//
// For constant P the temperature goes exponentially, with time constant R C, to ambient + P R. The
// governor looks every `period` and advances by the mean power since, which is exact for constant
// power whatever the period. Above the limit and still rising it takes one operating point away
// from every device, below limit - hysteresis it gives one back: the step_wise governor of Linux
// (Documentation/driver-api/thermal/sysfs-api), which waits for a step to show its effect.
//
// One node is the case of a phone, seconds to minutes; hot spots on the die settle within
// milliseconds and are not modelled. Invariant: between ambient and ambient + R * (highest mean
// power), if it starts there.
#include "models/soc/thermal.h"

#include <math.h>

#define ROW(field, kind, u, lo, hi, def, text)                                                     \
    {                                                                                              \
        .name = #field, .type = kind, .unit = u, .min = lo, .max = hi, .fallback = def,            \
        .doc = text, .offset = offsetof(struct thermal_params, field)                              \
    }

const struct conf_row thermal_rows[] = {
    ROW(enabled, CONF_BOOL, UNIT_NONE, 0, 0, "false", "follow the temperature and throttle"),
    ROW(ambient, CONF_REAL, UNIT_TEMPERATURE, -50, 100, "25 degC", "temperature of the air"),
    ROW(start, CONF_REAL, UNIT_TEMPERATURE, -50, 200, "25 degC", "temperature at the beginning"),
    ROW(resistance, CONF_REAL, UNIT_NONE, 1e-3, 1e3, "5.0", "to the ambient, in K/W"),
    ROW(capacitance, CONF_REAL, UNIT_NONE, 1e-3, 1e6, "150.0", "heat capacity, in J/K"),
    ROW(limit, CONF_REAL, UNIT_TEMPERATURE, -50, 200, "43 degC", "above it the governor throttles"),
    ROW(hysteresis, CONF_REAL, UNIT_NONE, 0, 100, "1.0",
        "so many K below the limit it speeds up again"),
    ROW(period, CONF_INT, UNIT_TIME, 1e6, 1e13, "100 ms", "between two decisions of the governor"),
};
const size_t thermal_n_rows = sizeof thermal_rows / sizeof thermal_rows[0];

void thermal_init(struct thermal *t, const struct thermal_params *p)
{
    *t = (struct thermal){.p = *p, .temperature = p->start, .peak = p->start, .before = p->start};
}

double thermal_at(const struct thermal *t, int64_t now, double joules)
{
    if (now <= t->since)
        return t->temperature;
    double s = (double)(now - t->since) / (double)PS_PER_S;
    double goal = t->p.ambient + (joules - t->joules) / s * t->p.resistance;
    return goal + (t->temperature - goal) * exp(-s / (t->p.resistance * t->p.capacitance));
}

void thermal_advance(struct thermal *t, int64_t now, double joules)
{
    t->before = t->temperature;
    t->temperature = thermal_at(t, now, joules);
    t->peak = fmax(t->peak, t->temperature);
    t->throttled += t->steps ? now - t->since : 0;
    t->joules = joules;
    t->since = now;
}

bool thermal_govern(struct thermal *t, int most)
{
    if (t->temperature > t->p.limit && t->temperature > t->before && t->steps < most) {
        t->steps++;
        return true;
    }
    if (t->temperature < t->p.limit - t->p.hysteresis && t->steps > 0) {
        t->steps--;
        return true;
    }
    return false;
}
