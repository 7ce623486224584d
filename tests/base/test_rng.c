// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/harness.h"

#include <gsl/gsl_errno.h>
#include <gsl/gsl_sf_log.h>
#include "base/rng.h"

static void test_same_seed_same_numbers(void)
{
    struct rng *a = rng_create(42, "load"), *b = rng_create(42, "load");
    for (int i = 0; i < 1000; i++) {
        CHECK(rng_below(a, UINT64_MAX) == rng_below(b, UINT64_MAX));
        CHECK(rng_uniform(a) == rng_uniform(b));
    }
    rng_destroy(a);
    rng_destroy(b);
    rng_destroy(NULL);
}

static int agreements(uint64_t s1, const char *n1, uint64_t s2, const char *n2)
{
    struct rng *a = rng_create(s1, n1), *b = rng_create(s2, n2);
    int equal = 0;
    for (int i = 0; i < 1000; i++)
        equal += rng_below(a, UINT64_MAX) == rng_below(b, UINT64_MAX);
    rng_destroy(a);
    rng_destroy(b);
    return equal;
}

static void test_streams_are_independent(void)
{
    CHECK_INT(agreements(1, "load", 1, "search"), 0);
    CHECK_INT(agreements(1, "load", 2, "load"), 0);
    CHECK_INT(agreements(1, "load", UINT64_C(1) << 32 | 1, "load"), 0); // high bits count
    CHECK_INT(agreements(1, "load", 1, "load"), 1000);
}

// Pinned: a change here changes every stored result that used randomness.
static void test_pinned_numbers(void)
{
    struct rng *r = rng_create(1, "pinned");
    uint64_t first = rng_below(r, UINT64_MAX);
    CHECK(first == UINT64_C(0xbd99745c2d8069bd));
    rng_destroy(r);
}

static void test_ranges(void)
{
    struct rng *r = rng_create(7, "ranges");
    int seen[6] = {0};
    for (int i = 0; i < 6000; i++) {
        double u = rng_uniform(r);
        CHECK(u >= 0 && u < 1);
        uint64_t v = rng_below(r, 6);
        CHECK(v < 6);
        seen[v]++;
        CHECK_INT(rng_below(r, 1), 0);
    }
    for (int i = 0; i < 6; i++)
        CHECK(seen[i] > 850 && seen[i] < 1150); // 1000 +- 5 deviations of 29
    for (int i = 0; i < 100; i++)
        CHECK(rng_below(r, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
    rng_destroy(r);
}

static void test_normal_moments(void)
{
    enum { N = 100000 };
    struct rng *r = rng_create(3, "normal");
    double sum = 0, square = 0;
    for (int i = 0; i < N; i++) {
        double v = rng_normal(r);
        sum += v;
        square += v * v;
    }
    CHECK_NEAR(sum / N, 0, 0.016);    // 5 / sqrt(N)
    CHECK_NEAR(square / N, 1, 0.023); // 5 * sqrt(2 / N)
    rng_destroy(r);
}

static void test_gsl_errors_do_not_abort(void)
{
    rng_destroy(rng_create(1, "x"));
    gsl_sf_result result;
    CHECK_INT(gsl_sf_log_e(-1, &result), GSL_EDOM); // would abort under GSL's own handler
}

TESTS(base_rng, T(test_same_seed_same_numbers), T(test_streams_are_independent),
      T(test_pinned_numbers), T(test_ranges), T(test_normal_moments),
      T(test_gsl_errors_do_not_abort))
