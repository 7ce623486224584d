// SPDX-License-Identifier: GPL-3.0-or-later
// Counters are step functions whose integrals are what the machine accounts for: that of the
// bandwidth is the bytes that the DRAM moved, that of each component's power its energy.
//
// Power is shown as a meter with a thousand readings per second shows it: the mean of each
// millisecond. That is enough to see what a phase costs, and it keeps traces small: every task
// switches its device on and off, so the steps themselves would be more than all else together.
// Bandwidth is shown as it is at flow level; at cycle level, where bytes come one request at a
// time, as means of 10 us.
//
// Readings go to the sink and nowhere else, so a run with a trace is the run without it.
// Invariant: a gauge's readings so far, and its sum, add up to the integral of its value.
#include "models/soc/meter.h"

#include <stdio.h>
#include "base/units.h"

static const int64_t POWER_WINDOW = PS_PER_MS, BYTES_WINDOW = 10 * PS_PER_US;

// --- gauges

static struct gauge gauge(int track, int64_t length, int64_t now)
{
    return (struct gauge){.track = track, .window = now / length * length, .since = now};
}

static void read_window(const struct meter *t, const struct gauge *g, int64_t length)
{
    trace_counter(t->sink, g->track, g->window, g->sum / (double)length);
}

// Counts up to now; windows that are over are read.
static void advance(const struct meter *t, struct gauge *g, int64_t length, int64_t now)
{
    if (now >= g->window + length) {
        g->sum += g->value * (double)(g->window + length - g->since);
        read_window(t, g, length);
        g->since = now / length * length;
        if (g->since > g->window + length) // and then nothing changed for a while
            trace_counter(t->sink, g->track, g->window + length, g->value);
        g->window = g->since;
        g->sum = 0;
    }
    g->sum += g->value * (double)(now - g->since);
    g->since = now;
}

static void change(const struct meter *t, struct gauge *g, int64_t now, double value)
{
    if (value == g->value)
        return;
    advance(t, g, POWER_WINDOW, now);
    g->value = value;
}

static void finish(const struct meter *t, struct gauge *g, int64_t length, int64_t now)
{
    advance(t, g, length, now);
    if (now > g->window)
        read_window(t, g, now - g->window);
    trace_counter(t->sink, g->track, now, 0);
}

// --- the machine

void meter_open(struct meter *t, const struct machine *m, const struct power_params *p, bool game,
                bool hot, int64_t now)
{
    const struct trace_sink *s = m->trace;
    *t = (struct meter){.sink = s, .power = p, .temperature = -1, .opened = now};
    if (game)
        t->game = trace_track(s, "devices", "game", NULL);
    t->bandwidth = trace_track(s, "memory", "DRAM bandwidth", "GB/s");
    t->bytes = gauge(t->bandwidth, BYTES_WINDOW, now);
    for (int i = 0; i < m->n_devices; i++) {
        t->kind[i] = m->device[i]->caps.kind;
        t->watts[i] =
            gauge(trace_track(s, "power", m->device[i]->caps.name, "W"), POWER_WINDOW, now);
    }
    t->dram_watts = gauge(trace_track(s, "power", "DRAM", "W"), POWER_WINDOW, now);
    t->control_watts = gauge(trace_track(s, "power", "control core", "W"), POWER_WINDOW, now);
    t->rest_watts = trace_track(s, "power", "rest", "W");
    for (int i = 0; hot && i < m->n_devices; i++)
        t->clock[i] = trace_track(s, "clocks", m->device[i]->caps.name, "% of the fastest");
    if (hot)
        t->temperature = trace_track(s, "temperature", "SoC", "degC");
    t->dram_watts.value = p->dram_static;
    trace_counter(s, t->rest_watts, now, p->rest);
}

void meter_close(struct meter *t, int n_devices, int64_t now)
{
    for (int i = 0; i < n_devices; i++)
        finish(t, &t->watts[i], POWER_WINDOW, now);
    finish(t, &t->dram_watts, POWER_WINDOW, now);
    finish(t, &t->control_watts, POWER_WINDOW, now);
    if (t->bytes.since > t->opened || t->bytes.sum > 0) // cycle level
        finish(t, &t->bytes, BYTES_WINDOW, now);
    trace_counter(t->sink, t->bandwidth, now, 0);
    trace_counter(t->sink, t->rest_watts, now, 0);
}

void meter_device(struct meter *t, int device, const struct clock *c, int64_t now, bool busy)
{
    change(t, &t->watts[device], now, power_device(t->power, t->kind[device], c, busy));
}

void meter_clock(struct meter *t, int device, const struct clock *c, int64_t now)
{
    if (t->temperature >= 0) // else it never changes
        trace_counter(t->sink, t->clock[device], now, c->f * 100);
}

void meter_control(struct meter *t, enum core_class core, int64_t now, bool asleep)
{
    change(t, &t->control_watts, now, power_control(t->power, core, asleep));
}

void meter_temperature(struct meter *t, int64_t now, double celsius)
{
    if (t->temperature >= 0)
        trace_counter(t->sink, t->temperature, now, celsius);
}

void meter_rate(struct meter *t, int64_t now, double rate)
{
    trace_counter(t->sink, t->bandwidth, now, rate / 1e9);
    change(t, &t->dram_watts, now, t->power->dram_static + t->power->dram_byte * rate);
}

void meter_bytes(struct meter *t, int64_t now, int64_t bytes)
{
    advance(t, &t->bytes, BYTES_WINDOW, now);
    advance(t, &t->dram_watts, POWER_WINDOW, now);
    t->bytes.sum += (double)bytes * ((double)PS_PER_S / 1e9);
    t->dram_watts.sum += t->power->dram_byte * (double)bytes * (double)PS_PER_S;
}
