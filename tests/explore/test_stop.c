// SPDX-License-Identifier: GPL-3.0-or-later
// Stopping rules: each on both sides of its edge, and the running hypervolume against the exact
// one.
#include "explore/stop.h"
#include <stdlib.h>
#include "base/rng.h"
#include "explore/hypervolume.h"
#include "tests/harness.h"

static struct stop *open_for(struct stop_rules r, int n_objectives)
{
    const struct search_space s = {.n_objectives = n_objectives, .n_levels = 1};
    return stop_open(&r, &s);
}

static void told(struct stop *t, double a, double b)
{
    stop_told(t, &(struct search_outcome){.ok = true, .objective = {a, b}});
}

static void test_budget_and_seconds(void)
{
    struct stop *t = open_for((struct stop_rules){.budget = 10, .seconds = 2.5}, 1);
    CHECK_INT(stop_check(t, 9, 2.4), STOP_NOT);
    CHECK_INT(stop_check(t, 10, 2.4), STOP_BUDGET);
    CHECK_INT(stop_check(t, 9, 2.5), STOP_SECONDS);
    stop_close(t);
    t = open_for((struct stop_rules){0}, 1); // no rule at all
    CHECK_INT(stop_check(t, INT64_MAX, 1e9), STOP_NOT);
    stop_close(t);
    for (int i = STOP_NOT + 1; i < STOP_REASONS; i++)
        CHECK(stop_text((enum stop_reason)i)[0] != 0);
}

static void test_target(void)
{
    const struct stop_rules r = {.n_targets = 2, .target = {{0, 5}, {1, 7}}};
    struct stop *t = open_for(r, 2);
    told(t, 5, 7.1); // one each, by different points
    told(t, 5.1, 7);
    CHECK_INT(stop_check(t, 2, 0), STOP_NOT);
    stop_told(t, &(struct search_outcome){.ok = true, .violation = 1, .objective = {1, 1}});
    stop_told(t, &(struct search_outcome){.ok = false, .objective = {1, 1}});
    told(t, (double)NAN, 1);
    CHECK_INT(stop_check(t, 5, 0), STOP_NOT);
    told(t, 5, 7);
    CHECK_INT(stop_check(t, 6, 0), STOP_TARGET);
    stop_close(t);
}

static void test_patience(void)
{
    struct stop *t = open_for((struct stop_rules){.patience = 3}, 2);
    told(t, 10, 0);
    told(t, 0, 10);
    told(t, 5, 5); // grows
    told(t, 6, 6); // dominated
    told(t, 5, 5); // equal
    CHECK_INT(stop_check(t, 5, 0), STOP_NOT);
    told(t, 4, 4); // just in time
    told(t, 9, 9);
    stop_told(t, &(struct search_outcome){.ok = false});
    CHECK_INT(stop_check(t, 8, 0), STOP_NOT);
    // Violates: better, but no part of the front.
    stop_told(t, &(struct search_outcome){.ok = true, .violation = 0.1, .objective = {1, 1}});
    CHECK_INT(stop_check(t, 9, 0), STOP_PATIENCE);
    stop_close(t);
    // A worse worst value moves the reference point: the volume grows, the front does not.
    t = open_for((struct stop_rules){.patience = 3}, 2);
    told(t, 4, 0);
    told(t, 0, 4);
    told(t, 2, 2);
    told(t, 5, 5);
    told(t, 50, 50);
    CHECK_INT(stop_check(t, 5, 0), STOP_NOT);
    told(t, 500, 500);
    CHECK_INT(stop_check(t, 6, 0), STOP_PATIENCE);
    stop_close(t);
    // An objective in which all points are equal does not hide growth in the other.
    t = open_for((struct stop_rules){.patience = 2}, 2);
    for (int i = 0; i < 20; i++) {
        told(t, 100 - i, 3);
        CHECK_INT(stop_check(t, i, 0), STOP_NOT);
    }
    told(t, 100, 3);
    told(t, 100, 3);
    CHECK_INT(stop_check(t, 22, 0), STOP_PATIENCE);
    stop_close(t);
}

static void test_hypervolume_by_hand(void)
{
    struct stop *t = open_for((struct stop_rules){0}, 2);
    CHECK(isnan(stop_hypervolume(t)));
    told(t, 10, 0);
    CHECK(isnan(stop_hypervolume(t)));
    told(t, 0, 10);
    CHECK_NEAR(stop_hypervolume(t), 0, 0); // both on the edges of the box
    told(t, 5, 5);
    CHECK_NEAR(stop_hypervolume(t), 0.25, 1e-15);
    told(t, 2, 6); // 8 x 4 more, 5 x 4 of it shared
    CHECK_NEAR(stop_hypervolume(t), 0.37, 1e-15);
    told(t, 0, 0);
    CHECK_NEAR(stop_hypervolume(t), 1, 1e-15);
    told(t, 20, 20); // the box grows, the best point still covers it
    CHECK_NEAR(stop_hypervolume(t), 1, 1e-15);
    stop_close(t);
    // The third objective is unknown: the other two count.
    const struct search_space s = {.n_objectives = 3, .n_levels = 1};
    t = stop_open(&(struct stop_rules){0}, &s);
    static const double p[][2] = {{10, 0}, {0, 10}, {5, 5}};
    for (int i = 0; i < 3; i++)
        stop_told(
            t, &(struct search_outcome){.ok = true, .objective = {p[i][0], p[i][1], (double)NAN}});
    CHECK_NEAR(stop_hypervolume(t), 0.25, 1e-15);
    stop_close(t);
}

// Random points, told one by one: the same as the exact volume of all of them at the end, up to
// three objectives to the last digit, above within the error of the samples.
static void test_running(void)
{
    enum { N = 2000 };
    for (int k = 1; k <= 5; k++) {
        struct rng *rng = rng_create((uint64_t)k, "test.stop");
        struct stop *t = open_for((struct stop_rules){.patience = N}, k);
        double *v = calloc((size_t)N * (size_t)k, sizeof *v), low[6], high[6], box = 1;
        for (int i = 0; i < N; i++) {
            struct search_outcome o = {.ok = true};
            double x[6], sum = 0, far = 1 + rng_uniform(rng) / 2; // times a plane
            for (int j = 0; j < k; j++)
                sum += x[j] = rng_uniform(rng);
            for (int j = 0; j < k; j++) {
                double y = o.objective[j] = v[i * k + j] = 100 * j + 10 * far * x[j] / sum;
                low[j] = i ? fmin(low[j], y) : y;
                high[j] = i ? fmax(high[j], y) : y;
            }
            stop_told(t, &o);
        }
        for (int j = 0; j < k; j++)
            box *= high[j] - low[j];
        double exact = hypervolume(v, N, k, high) / box;
        test_note("k %d: %g", k, exact);
        // Samples: three deviations of 4096 of them.
        double sigma = sqrt(exact * (1 - exact) / 4096);
        CHECK_NEAR(stop_hypervolume(t), exact, k <= 3 ? 1e-12 : 3 * sigma);
        free(v);
        stop_close(t);
        rng_destroy(rng);
    }
}

// A large archive: what is on the front stays the front.
static void test_large(void)
{
    struct rng *rng = rng_create(1, "test.stop.large");
    struct stop *t = open_for((struct stop_rules){.patience = 1000}, 3);
    for (int i = 0; i < 20000; i++) {
        double a = rng_uniform(rng) * 1.5, b = rng_uniform(rng) * 1.5, c = 1 + rng_uniform(rng);
        struct search_outcome o = {
            .ok = true, .objective = {c * cos(a) * cos(b), c * cos(a) * sin(b), c * sin(a)}};
        stop_told(t, &o);
    }
    CHECK(stop_hypervolume(t) > 0.5 && stop_hypervolume(t) < 1);
    CHECK_INT(stop_check(t, 20000, 0), STOP_NOT);
    stop_close(t);
    rng_destroy(rng);
}

TESTS(explore_stop, T(test_budget_and_seconds), T(test_target), T(test_patience),
      T(test_hypervolume_by_hand), T(test_running), T(test_large))
