// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/harness.h"

#include "sim/stat.h"

static void test_level_is_the_integral_of_a_step_function(void)
{
    struct sim_level l;
    sim_level_init(&l, 10, 2);
    CHECK_NEAR(sim_level_integral(&l, 10), 0, 0);
    CHECK_NEAR(sim_level_integral(&l, 15), 10, 0);
    sim_level_set(&l, 20, 5);   // 2 * 10
    sim_level_set(&l, 20, 3);   // 5 for no time: counts for the greatest, not for the integral
    sim_level_set(&l, 30, 0);   // 3 * 10
    sim_level_set(&l, 130, -1); // 0 * 100
    CHECK_NEAR(sim_level_integral(&l, 130), 50, 0);
    CHECK_NEAR(sim_level_integral(&l, 140), 40, 0);
    CHECK_NEAR(l.max, 5, 0);
    CHECK_NEAR(l.value, -1, 0);
    sim_level_init(&l, 0, -3); // the first value is the greatest so far
    CHECK_NEAR(l.max, -3, 0);
}

static void test_tally(void)
{
    struct sim_tally t;
    sim_tally_init(&t);
    CHECK_NEAR(sim_tally_deviation(&t), 0, 0);
    sim_tally_add(&t, -4);
    CHECK_NEAR(t.min, -4, 0);
    CHECK_NEAR(t.max, -4, 0);
    CHECK_NEAR(sim_tally_deviation(&t), 0, 0);
    sim_tally_init(&t);
    static const double x[] = {2, 4, 4, 4, 5, 5, 7, 9};
    for (int i = 0; i < 8; i++)
        sim_tally_add(&t, x[i]);
    CHECK_INT(t.n, 8);
    CHECK_NEAR(t.mean, 5, 1e-15);
    CHECK_NEAR(t.m2, 32, 1e-13);
    CHECK_NEAR(sim_tally_deviation(&t), sqrt(32.0 / 7), 1e-14);
    CHECK_NEAR(t.min, 2, 0);
    CHECK_NEAR(t.max, 9, 0);
}

// A sum of squares would lose all digits here.
static void test_tally_of_large_close_values(void)
{
    struct sim_tally t;
    sim_tally_init(&t);
    for (int i = 0; i < 1000; i++)
        sim_tally_add(&t, 1e12 + i % 2);
    CHECK_NEAR(t.mean, 1e12 + 0.5, 1e-3);
    CHECK_NEAR(sim_tally_deviation(&t), sqrt(0.25 * 1000 / 999), 1e-6);
}

TESTS(sim_stat, T(test_level_is_the_integral_of_a_step_function), T(test_tally),
      T(test_tally_of_large_close_values))
