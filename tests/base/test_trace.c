// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/harness.h"

#include <stdio.h>
#include "base/rng.h"
#include "base/trace_memory.h"

static void test_tracks_and_names_are_kept_once(void)
{
    struct trace_memory t;
    char name[32];
    trace_memory_init(&t);
    int gpu = trace_track(&t.sink, "devices", "gpu", NULL);
    CHECK_INT(trace_track(&t.sink, "power", "gpu", "W"), gpu + 1);
    CHECK_INT(trace_track(&t.sink, "devices", "gpu", NULL), gpu);
    CHECK_INT(t.n_tracks, 2);
    CHECK(t.track[0].unit == NULL);
    CHECK_STR(t.track[1].unit, "W");
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "op %d", i % 1000);
        trace_slice(&t.sink, gpu, name, i, i + 1, 0);
    }
    CHECK_INT(t.n_names, 1000);
    CHECK_INT(t.n_slices, 5000);
    CHECK_STR(t.name[t.slice[3999].name], "op 999");
    trace_memory_fini(&t);
}

static void test_counters_are_step_functions(void)
{
    static const struct {
        int track;
        int64_t time;
        double value;
    } told[] = {{0, 0, 0}, {0, 5, 0}, {0, 7, 1}, {1, 7, 1}, {0, 9, 0},
                {0, 9, 1}, {0, 9, 2}, {1, 9, 3}, {1, 9, 1}, {0, 11, 2}},
      kept[] = {{0, 0, 0}, {0, 7, 1}, {1, 7, 1}, {0, 9, 2}};
    struct trace_memory t;
    trace_memory_init(&t);
    trace_track(&t.sink, "", "a", "");
    trace_track(&t.sink, "", "b", "");
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
        trace_counter(&t.sink, told[i].track, told[i].time, told[i].value);
    CHECK_INT(t.n_counters, sizeof kept / sizeof kept[0]);
    for (size_t i = 0; i < t.n_counters && i < sizeof kept / sizeof kept[0]; i++) {
        CHECK_INT(t.counter[i].track, kept[i].track);
        CHECK_INT(t.counter[i].time, kept[i].time);
        CHECK_NEAR(t.counter[i].value, kept[i].value, 0);
    }
    trace_memory_fini(&t);
}

static void test_order_of_slices(void)
{
    struct trace_memory t;
    struct rng *r = rng_create(7, "slices");
    trace_memory_init(&t);
    trace_track(&t.sink, "", "a", NULL);
    trace_track(&t.sink, "", "b", "");
    for (int i = 0; i < 10000; i++) {
        int64_t begin = (int64_t)(rng_uniform(r) * 900);
        trace_slice(&t.sink, 0, "x", begin, begin + (int64_t)(rng_uniform(r) * 9), (uint64_t)i + 1);
    }
    trace_memory_sort(&t);
    for (size_t i = 1; i < t.n_slices; i++) {
        const struct trace_slice *a = &t.slice[i - 1], *b = &t.slice[i];
        bool ok = a->begin != b->begin ? a->begin < b->begin
                  : a->end != b->end   ? a->end > b->end
                                       : a->id > b->id;
        if (!CHECK(ok))
            break;
    }
    rng_destroy(r);
    trace_memory_fini(&t);
}

TESTS(base_trace, T(test_tracks_and_names_are_kept_once), T(test_counters_are_step_functions),
      T(test_order_of_slices))
