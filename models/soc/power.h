// SPDX-License-Identifier: GPL-3.0-or-later
// Power and energy per component.
#ifndef MODELS_SOC_POWER_H
#define MODELS_SOC_POWER_H

#include "engine/machine.h"
#include "models/soc/clock.h"

struct power_params {
    double rest;                           // W: what nobody else is charged for
    double control_awake;                  // W: the control core, a big one
    double control_middle, control_little; // W: on a core of these classes
    double control_asleep;                 // W: whatever the class
    double gpu_active, gpu_idle;           // W, at the fastest operating point
    double npu_active, npu_idle;           // W
    double cpu_active, cpu_idle;           // W: all computing cores
    double gpu_leakage;                    // W: what of gpu_active does not switch
    double npu_leakage, cpu_leakage;       // W
    double dram_static, dram_byte;         // W, J/byte
};
extern const struct conf_row power_rows[];
extern const size_t power_n_rows;

// What the components did since the reset.
struct power_activity {
    int64_t now;                  // ps elapsed
    int64_t spent[CORE_CLASSES];  // ps of the control plane on each class of cores
    int64_t asleep[CORE_CLASSES]; // ps of these asleep
    double bytes;                 // moved by the DRAM
    int n_devices;
    struct {
        enum device_kind kind;
        struct clock_use use;
    } device[MACHINE_MAX_DEVICES];
};
int power_check(const struct power_params *p, struct err *e);
// W at a moment: a device at its operating point; the control core on a class of cores.
double power_device(const struct power_params *p, enum device_kind k, const struct clock *c,
                    bool busy);
double power_control(const struct power_params *p, enum core_class core, bool asleep);
void power_energy(const struct power_params *p, const struct power_activity *a, struct energy *out);

#endif
