// SPDX-License-Identifier: GPL-3.0-or-later
// Energy is a pure function of what was counted: each component has a power at rest, and a higher
// one while it works; memory pays per byte on top. So there is no energy state to keep in step with
// the events, and the parts always add up to the total.
#include "models/soc/power.h"

#include <assert.h>

#define ROW(field, u, hi, text) CONF_ROW(struct power_params, field, CONF_REAL, u, 0, hi, text)

const struct conf_row power_rows[] = {
    ROW(rest, UNIT_POWER, 1e4, "everything that is not listed below, always"),
    ROW(control_awake, UNIT_POWER, 1e4, "the control core while it executes or polls"),
    ROW(control_middle, UNIT_POWER, 1e4, "the same on a middle core"),
    ROW(control_little, UNIT_POWER, 1e4, "the same on a little core"),
    ROW(control_asleep, UNIT_POWER, 1e4, "the control core while it sleeps or waits"),
    ROW(gpu_active, UNIT_POWER, 1e4, "the GPU while a task executes"),
    ROW(gpu_idle, UNIT_POWER, 1e4, "the GPU otherwise"),
    ROW(npu_active, UNIT_POWER, 1e4, "the NPU while a task executes"),
    ROW(npu_idle, UNIT_POWER, 1e4, "the NPU otherwise"),
    ROW(cpu_active, UNIT_POWER, 1e4, "the computing cores while a task executes"),
    ROW(cpu_idle, UNIT_POWER, 1e4, "the computing cores otherwise"),
    ROW(dram_static, UNIT_POWER, 1e4, "memory and its controllers, always"),
    ROW(dram_byte, UNIT_ENERGY_BYTE, 1e-6, "memory, per byte moved"),
};
const size_t power_n_rows = sizeof power_rows / sizeof power_rows[0];

static double seconds(int64_t ps)
{
    return (double)ps / (double)PS_PER_S;
}

void power_energy(const struct power_params *p, const struct power_activity *a, struct energy *out)
{
    double now = seconds(a->now);
    const double awake[CORE_CLASSES] = {[CORE_ANY] = p->control_awake,
                                        [CORE_BIG] = p->control_awake,
                                        [CORE_MIDDLE] = p->control_middle,
                                        [CORE_LITTLE] = p->control_little};
    *out = (struct energy){0};
    for (int i = 0; i < a->n_devices; i++) {
        double active = 0, idle = 0, busy = seconds(a->device[i].busy);
        switch (a->device[i].kind) {
        case DEVICE_CPU:
            active = p->cpu_active, idle = p->cpu_idle;
            break;
        case DEVICE_GPU:
            active = p->gpu_active, idle = p->gpu_idle;
            break;
        case DEVICE_NPU:
            active = p->npu_active, idle = p->npu_idle;
            break;
        }
        assert(a->device[i].busy <= a->now);
        out->device[i] = active * busy + idle * (now - busy);
        out->total += out->device[i];
    }
    for (int i = 0; i < CORE_CLASSES; i++) {
        assert(a->asleep[i] <= a->spent[i]);
        out->control += awake[i] * seconds(a->spent[i] - a->asleep[i]) +
                        p->control_asleep * seconds(a->asleep[i]);
    }
    out->dram = p->dram_static * now + p->dram_byte * a->bytes;
    out->rest = p->rest * now;
    out->total += out->control + out->dram + out->rest;
}
