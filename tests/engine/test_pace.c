// SPDX-License-Identifier: GPL-3.0-or-later
// What is expected of the next run of a step, from what devices said of the last ones.
#include "engine/pace.h"
#include "tests/harness.h"

struct fake {
    struct device base; // first
    int64_t busy;
};

static void stats(struct device *d, struct device_stats *out)
{
    *out = (struct device_stats){.busy_ps = ((struct fake *)d)->busy};
}

static const struct device_ops ops = {.name = "fake", .stats = stats};

// The factor after runs that the table says take 100.
static double after(bool repeatable, const int64_t *took, int n)
{
    struct fake f = {.base = {.ops = &ops}};
    struct machine m = {.n_devices = 1, .device = {&f.base}, .repeatable = repeatable};
    struct pace p;
    pace_init(&p, &m);
    p.expected[0] = 100;
    for (int i = 0; i < n; i++) {
        pace_begin(&p, &m);
        f.busy += took[i];
        pace_end(&p, &m);
    }
    return p.factor[0];
}

static void test_factors(void)
{
    const int64_t runs[] = {120, 80}, slow[] = {10, 130}, nothing[] = {0, 150};
    CHECK_NEAR(after(true, runs, 0), 1, 0);
    CHECK_NEAR(after(false, runs, 0), 0.5, 0);
    CHECK_NEAR(after(false, runs, 1), 1.2, 1e-12);
    CHECK_NEAR(after(false, runs, 2), 1.0, 1e-12);
    CHECK_NEAR(after(false, slow, 1), 0.1, 1e-12); // a table may be far too slow
    CHECK_NEAR(after(false, slow, 2), 0.7, 1e-12);
    CHECK_NEAR(after(false, nothing, 1), 0.5, 0); // unused, or it cannot tell
}

// Stopped for a while in the middle of a task: no reason to sleep as long again.
static void test_a_stopped_process(void)
{
    const int64_t stopped[] = {100, 2000000, 100, 100};
    CHECK_NEAR(after(false, stopped, 1), 1, 1e-12);
    CHECK_NEAR(after(false, stopped, 2), 1.5, 1e-12);
    CHECK_NEAR(after(false, stopped, 4), 1.125, 1e-12);
    CHECK_NEAR(after(false, stopped + 1, 1), 2, 1e-12);
}

TESTS(engine_pace, T(test_factors), T(test_a_stopped_process))
