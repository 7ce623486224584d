// SPDX-License-Identifier: GPL-3.0-or-later
// Energy is a pure function of what was counted: each component has a power at rest, and a higher
// one while it works; memory pays per byte on top. So there is no energy state to keep in step with
// the events, and the parts always add up to the total.
//
// A device's powers are those at its fastest operating point. At another one the part that switches
// goes as f V^2, leakage and the power at rest go as V (models/soc/clock.c weights the times):
//
//     working   leakage V + (active - leakage) f V^2
//     at rest   idle V
//
// Source: Rabaey, Chandrakasan, Nikolic, Digital Integrated Circuits, ch. 5 (switching power; over
// the small range of supply voltages leakage current is taken as constant).
#include "models/soc/power.h"

#include <assert.h>
#include <math.h>

#define ROW(field, u, hi, text) CONF_ROW(struct power_params, field, CONF_REAL, u, 0, hi, text)

#define LEAKAGE(device, text)                                                                      \
    {                                                                                              \
        .name = #device "_leakage", .type = CONF_REAL, .unit = UNIT_POWER, .fallback = "0 W",      \
        .max = 1e4, .doc = text, .offset = offsetof(struct power_params, device##_leakage)         \
    }

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
    LEAKAGE(gpu, "what of gpu_active is leakage, which goes with the voltage alone"),
    LEAKAGE(npu, "the same of npu_active"),
    LEAKAGE(cpu, "the same of cpu_active"),
    ROW(dram_static, UNIT_POWER, 1e4, "memory and its controllers, always"),
    ROW(dram_byte, UNIT_ENERGY_BYTE, 1e-6, "memory, per byte moved"),
};
const size_t power_n_rows = sizeof power_rows / sizeof power_rows[0];

static double weighted(double ps)
{
    return ps / (double)PS_PER_S;
}

static double seconds(int64_t ps)
{
    return weighted((double)ps);
}

int power_check(const struct power_params *p, struct err *e)
{
    const struct {
        const char *key;
        double leakage, active;
    } all[] = {{"power.gpu_leakage", p->gpu_leakage, p->gpu_active},
               {"power.npu_leakage", p->npu_leakage, p->npu_active},
               {"power.cpu_leakage", p->cpu_leakage, p->cpu_active}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].leakage > all[i].active)
            return err_at(e, ERR_CONFIG, NULL, 0, all[i].key, "%g W of %g W active", all[i].leakage,
                          all[i].active);
    return 0;
}

static void lookup(const struct power_params *p, enum device_kind k, double *active, double *idle,
                   double *leakage)
{
    switch (k) {
    case DEVICE_CPU:
        *active = p->cpu_active, *idle = p->cpu_idle, *leakage = p->cpu_leakage;
        break;
    case DEVICE_GPU:
        *active = p->gpu_active, *idle = p->gpu_idle, *leakage = p->gpu_leakage;
        break;
    case DEVICE_NPU:
        *active = p->npu_active, *idle = p->npu_idle, *leakage = p->npu_leakage;
        break;
    }
}

double power_device(const struct power_params *p, enum device_kind k, const struct clock *c,
                    bool busy)
{
    double active = 0, idle = 0, leakage = 0;
    lookup(p, k, &active, &idle, &leakage);
    return busy ? leakage * c->v + (active - leakage) * c->f * c->v * c->v : idle * c->v;
}

double power_control(const struct power_params *p, enum core_class core, bool asleep)
{
    return asleep                ? p->control_asleep
           : core == CORE_LITTLE ? p->control_little
           : core == CORE_MIDDLE ? p->control_middle
                                 : p->control_awake;
}

void power_energy(const struct power_params *p, const struct power_activity *a, struct energy *out)
{
    double now = seconds(a->now);
    *out = (struct energy){.temperature = NAN};
    for (int i = 0; i < a->n_devices; i++) {
        const struct clock_use *u = &a->device[i].use;
        double active = 0, idle = 0, leakage = 0, busy = weighted(u->busy);
        lookup(p, a->device[i].kind, &active, &idle, &leakage);
        double dynamic = weighted(u->dynamic);
        out->device[i] =
            active * dynamic + leakage * (busy - dynamic) + idle * (weighted(u->all) - busy);
        out->total += out->device[i];
    }
    for (int i = 0; i < CORE_CLASSES; i++) {
        assert(a->asleep[i] <= a->spent[i]);
        out->control +=
            power_control(p, (enum core_class)i, false) * seconds(a->spent[i] - a->asleep[i]) +
            power_control(p, (enum core_class)i, true) * seconds(a->asleep[i]);
    }
    out->dram = p->dram_static * now + p->dram_byte * a->bytes;
    out->rest = p->rest * now;
    out->total += out->control + out->dram + out->rest;
}
