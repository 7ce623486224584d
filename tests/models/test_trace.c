// SPDX-License-Identifier: GPL-3.0-or-later
// What a trace shows is what the machine accounts for: slices add up to busy time, gauges to bytes
// and energy, and nobody who traces changes the run.
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>
#include "base/trace_memory.h"
#include "engine/session.h"
#include "tests/models/soc_util.h"

static int find(const struct trace_memory *t, const char *group, const char *name)
{
    for (size_t i = 0; i < t->n_tracks; i++)
        if (!strcmp(t->track[i].group, group) && !strcmp(t->track[i].name, name))
            return (int)i;
    return -1;
}

// Value times s.
static double integral(const struct trace_memory *t, int track)
{
    double sum = 0, value = 0;
    int64_t since = 0;
    for (size_t i = 0; i < t->n_counters; i++)
        if (t->counter[i].track == track) {
            sum += value * (double)(t->counter[i].time - since) / (double)PS_PER_S;
            value = t->counter[i].value;
            since = t->counter[i].time;
        }
    CHECK_NEAR(value, 0, 0); // it ends
    return sum;
}

static int64_t lasted(const struct trace_memory *t, int track)
{
    int64_t sum = 0;
    for (size_t i = 0; i < t->n_slices; i++)
        if (t->slice[i].track == track)
            sum += t->slice[i].end - t->slice[i].begin;
    return sum;
}

static void check_gauges(const struct trace_memory *t, struct machine *m)
{
    struct energy e;
    m->ops->energy(m, &e);
    double bytes = machine_soc_dram_bytes(m) - machine_soc_cached(m);
    CHECK_NEAR(integral(t, find(t, "memory", "DRAM bandwidth")) * 1e9, bytes, 1e-6 * bytes);
    CHECK_NEAR(integral(t, find(t, "power", "DRAM")), e.dram, 1e-6 * e.dram);
    CHECK_NEAR(integral(t, find(t, "power", "control core")), e.control, 1e-6 * e.control);
    CHECK_NEAR(integral(t, find(t, "power", "rest")), e.rest, 1e-6 * e.rest);
    for (int i = 0; i < m->n_devices; i++)
        CHECK_NEAR(integral(t, find(t, "power", m->device[i]->caps.name)), e.device[i],
                   1e-6 * e.device[i]);
}

static void check_tasks(const struct trace_memory *t, struct machine *m, bool wakes)
{
    for (int i = 0; i < m->n_devices; i++) {
        struct device_stats s;
        uint64_t n = 0;
        int64_t before = 0;
        m->device[i]->ops->stats(m->device[i], &s);
        if (wakes) // part of busy, but in a trace the task waits meanwhile
            CHECK(lasted(t, m->tracks.device[i]) <= s.busy_ps);
        else
            CHECK_INT(lasted(t, m->tracks.device[i]), s.busy_ps);
        for (size_t j = 0; j < t->n_slices; j++) {
            if (t->slice[j].track != m->tracks.device[i])
                continue;
            CHECK(t->slice[j].begin >= before); // in order, one at a time
            before = t->slice[j].end;
            CHECK_INT((long long)t->slice[j].id, (long long)trace_id(i, ++n));
        }
        CHECK_INT((long long)n, (long long)s.tasks);
    }
}

static const char no_wake[] =
    "gpu.queue.wake=0 us;npu.queue.wake=0 us;npu.wake_integer=0 us;cpu.queue.wake=0 us";

struct outcome {
    uint64_t digest;
    double total_ms, energy_j;
};

static struct outcome session(const char *set, const char *policy, const char *sync,
                              struct trace_memory *t)
{
    struct outcome o = {0};
    struct err e = {0};
    struct arena a;
    struct model *model;
    struct cost_table *cost = cost_create();
    struct machine *twin = soc_open(SOC_DEFAULT, NULL, false),
                   *m = soc_open(SOC_DEFAULT, set, false);
    struct session_request q = {
        .machine = m, .cost = cost, .n_prompt = 48, .n_gen = 3, .sampler = {.top_p = 1}};
    struct session_result r;
    arena_init(&a);
    if (t)
        q.trace = &t->sink;
    CHECK_OK(model_open("configs/model/internlm2-1.8b.cfg", &model, &e), &e);
    q.model = model;
    CHECK_OK(policy_parse(policy, &a, &q.policy, &q.policy_options, &e), &e);
    CHECK_OK(sync_parse(sync, &a, &q.sync, &q.sync_options, &e), &e);
    CHECK_OK(session_profile(twin, model, 48, 3, cost, &e), &e);
    if (CHECK_OK(session_run(&q, &r, &e), &e)) {
        o = (struct outcome){r.digest, r.total_ms, r.energy_j};
        session_result_fini(&r);
    }
    CHECK(m->trace == NULL);
    if (t) {
        check_gauges(t, m);
        check_tasks(t, m, set != no_wake);
    }
    soc_close(m);
    soc_close(twin);
    model_close(model);
    cost_destroy(cost);
    arena_fini(&a);
    return o;
}

// A flow's ends are there, on different devices, and in time.
static void check_flows(struct trace_memory *t)
{
    CHECK(t->n_flows > 0);
    for (size_t f = 0; f < t->n_flows; f++) {
        const struct trace_slice *from = NULL, *to = NULL;
        for (size_t i = 0; i < t->n_slices; i++) {
            from = t->slice[i].id == t->flow[f].from ? &t->slice[i] : from;
            to = t->slice[i].id == t->flow[f].to ? &t->slice[i] : to;
        }
        if (!CHECK(from && to && from->track != to->track && from->end <= to->begin))
            break;
    }
}

static void test_session(void)
{
    static const struct {
        const char *set, *policy, *sync;
    } all[] = {
        {NULL, "hetero_tensor", "sleep_poll"},
        {no_wake, "hetero_tensor", "sleep_poll"},
        {no_wake, "layer", "event"},
        {NULL, "hetero_tensor", "driver"},
        {NULL, "layer", "event"},
        {NULL, "hetero_tensor", "queue_order:core=little"},
        {"gpu.game.rate=60.0;thermal.enabled=true;thermal.capacitance=0.01;thermal.limit=30 degC;"
         "thermal.period=1 ms",
         "hetero_tensor", "sleep_poll"},
        {"dram.slc=8 MiB", "hetero_tensor", "poll"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct trace_memory t;
        trace_memory_init(&t);
        struct outcome with = session(all[i].set, all[i].policy, all[i].sync, &t);
        struct outcome without = session(all[i].set, all[i].policy, all[i].sync, NULL);
        CHECK(with.digest == without.digest && with.total_ms == without.total_ms &&
              with.energy_j == without.energy_j);
        check_flows(&t);
        test_note("%s %s %s: %zu slices, %zu counters, %zu flows, %zu names", all[i].policy,
                  all[i].sync, all[i].set ? all[i].set : "", t.n_slices, t.n_counters, t.n_flows,
                  t.n_names);
        trace_memory_fini(&t);
    }
}

static void test_control_plane(void)
{
    struct trace_memory t;
    trace_memory_init(&t);
    session(NULL, "hetero_tensor", "sleep_poll", &t);
    int steps = find(&t, "control plane", "steps"), sync = find(&t, "control plane", "sync");
    int n = 0, polls = 0, sleeps = 0, joins = 0, submits = 0;
    for (size_t i = 0; i < t.n_slices; i++) {
        const char *name = t.name[t.slice[i].name];
        n += t.slice[i].track == steps;
        if (t.slice[i].track != sync)
            continue;
        polls += !strcmp(name, "poll");
        sleeps += !strcmp(name, "sleep");
        joins += !strncmp(name, "join sleep_poll ", 16);
        submits += !strncmp(name, "submit ", 7);
    }
    CHECK_INT(n, 3);
    CHECK(joins > 0 && polls == joins && sleeps > 0 && sleeps <= joins && submits > joins);
    // Joins, sleeps and polls nest: nothing crosses.
    trace_memory_sort(&t);
    int64_t open[8];
    int depth = 0;
    for (size_t i = 0; i < t.n_slices; i++) {
        if (t.slice[i].track != sync)
            continue;
        while (depth && open[depth - 1] <= t.slice[i].begin)
            depth--;
        CHECK((!depth || t.slice[i].end <= open[depth - 1]) && depth < 2);
        open[depth++] = t.slice[i].end;
    }
    trace_memory_fini(&t);
}

// Whoever traces at cycle level sees the same totals.
static void test_cycle(void)
{
    struct trace_memory t;
    trace_memory_init(&t);
    struct machine *m = soc_open(SOC_DEFAULT, "detail=cycle;dram.slc=8 MiB", false);
    m->ops->trace(m, &t.sink);
    uint64_t last[MACHINE_MAX_DEVICES] = {0};
    for (int i = 0; i < 3; i++)
        for (int d = 0; d < m->n_devices; d++)
            last[d] = soc_submit(m, d, soc_matmul(256, 256, 32, 0));
    for (int d = 0; d < m->n_devices; d++)
        soc_until(m, d, last[d]);
    m->ops->sleep(m, PS_PER_MS); // posted writes
    m->ops->trace(m, NULL);
    check_gauges(&t, m);
    check_tasks(&t, m, true);
    trace_memory_fini(&t);
    soc_close(m);
}

static void test_labels(void)
{
    char text[TASK_LABEL];
    struct task t = *soc_matmul(28672, 4096, 256, 0);
    struct op op = *t.op;
    op.name = "gate_up";
    t.op = &op;
    t.layer = 12, t.m0 = 8192;
    task_label(&t, text);
    CHECK_STR(text, "L12 gate_up 8192:28672 n256");
    t.layer = -1, t.m0 = 0, t.n1 = 200, t.n_pad = 256;
    task_label(&t, text);
    CHECK_STR(text, "gate_up n200/256");
}

TESTS(models_trace, T(test_session), T(test_control_plane), T(test_cycle), T(test_labels))
