// SPDX-License-Identifier: GPL-3.0-or-later
// Gauges are step functions whose integrals are what the machine accounts for: that of the
// bandwidth is the bytes that the DRAM moved, that of each component's power its energy. At flow
// level the steps are those of the model itself. At cycle level bytes come one request at a time,
// and the gauge shows the mean of each window; power follows it.
//
// Readings go to the sink and nowhere else, so a run with a trace is the run without it.
#include "models/soc/meter.h"

#include <stdio.h>
#include "base/units.h"

void meter_open(struct meter *t, const struct machine *m, const struct power_params *p, bool game,
                bool hot)
{
    const struct trace_sink *s = m->trace;
    *t = (struct meter){.sink = s, .power = p, .game = -1, .temperature = -1};
    if (game)
        t->game = trace_track(s, "devices", "game", NULL);
    t->bandwidth = trace_track(s, "memory", "DRAM bandwidth", "GB/s");
    for (int i = 0; i < m->n_devices; i++) {
        t->kind[i] = m->device[i]->caps.kind;
        t->watts[i] = trace_track(s, "power", m->device[i]->caps.name, "W");
    }
    t->dram_watts = trace_track(s, "power", "DRAM", "W");
    t->control_watts = trace_track(s, "power", "control core", "W");
    t->rest_watts = trace_track(s, "power", "rest", "W");
    for (int i = 0; i < m->n_devices; i++)
        t->clock[i] = trace_track(s, "clocks", m->device[i]->caps.name, "% of the fastest");
    if (hot)
        t->temperature = trace_track(s, "temperature", "SoC", "degC");
}

void meter_close(struct meter *t, int n_devices, int64_t now)
{
    if (t->bytes > 0) { // the window that the end cuts short
        meter_bytes(t, now, 0);
        if (now > t->window)
            meter_rate(t, t->window, t->bytes * (double)PS_PER_S / (double)(now - t->window));
    }
    meter_rate(t, now, 0);
    for (int i = 0; i < n_devices; i++)
        trace_counter(t->sink, t->watts[i], now, 0);
    trace_counter(t->sink, t->dram_watts, now, 0);
    trace_counter(t->sink, t->control_watts, now, 0);
    trace_counter(t->sink, t->rest_watts, now, 0);
}

void meter_device(struct meter *t, int device, const struct clock *c, int64_t now, bool busy)
{
    trace_counter(t->sink, t->watts[device], now, power_device(t->power, t->kind[device], c, busy));
}

void meter_clock(struct meter *t, int device, const struct clock *c, int64_t now)
{
    trace_counter(t->sink, t->clock[device], now, c->f * 100);
}

void meter_control(struct meter *t, enum core_class core, int64_t now, bool asleep)
{
    trace_counter(t->sink, t->control_watts, now, power_control(t->power, core, asleep));
}

void meter_temperature(struct meter *t, int64_t now, double celsius)
{
    if (t->temperature >= 0)
        trace_counter(t->sink, t->temperature, now, celsius);
}

void meter_rate(struct meter *t, int64_t now, double rate)
{
    trace_counter(t->sink, t->bandwidth, now, rate / 1e9);
    trace_counter(t->sink, t->dram_watts, now, t->power->dram_static + t->power->dram_byte * rate);
}

void meter_bytes(struct meter *t, int64_t now, int64_t bytes)
{
    if (now >= t->window + METER_WINDOW) {
        meter_rate(t, t->window, t->bytes * (double)PS_PER_S / METER_WINDOW);
        t->window += METER_WINDOW;
        t->bytes = 0;
        if (now >= t->window + METER_WINDOW) { // and then nothing for a while
            meter_rate(t, t->window, 0);
            t->window = now / METER_WINDOW * METER_WINDOW;
        }
    }
    t->bytes += (double)bytes;
}
