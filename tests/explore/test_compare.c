// SPDX-License-Identifier: GPL-3.0-or-later
// Differences solved by hand: what is only on one side, what moved and by how much, both edges of a
// tolerance, who entered and left the front.
#include "explore/compare.h"
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

static struct campaign_row row(const char *policy, const char *soc, double ttft, double rate,
                               double energy)
{
    struct campaign_row r = {.policy = policy, .sync = "poll", .soc = soc, .level = ""};
    r.label = policy;
    metrics_init(&r.m, METRICS_OK);
    r.m.value[METRIC_TTFT] = ttft;
    r.m.value[METRIC_DECODE_RATE] = rate;
    r.m.value[METRIC_ENERGY] = energy;
    return r;
}

static struct compare_side side(const struct campaign_row *r, int n)
{
    return (struct compare_side){.machine = "soc:x",
                                 .settings = "",
                                 .model = "m",
                                 .workload = "8+2",
                                 .n_objectives = 2,
                                 .objective = {METRIC_TTFT, METRIC_ENERGY},
                                 .n = n,
                                 .row = r};
}

static const double *tolerance(double t)
{
    static double all[METRIC_COUNT];
    for (int m = 0; m < METRIC_COUNT; m++)
        all[m] = t;
    return all;
}

static struct compare compare(const struct campaign_row *a, int na, const struct campaign_row *b,
                              int nb, double t)
{
    struct compare c;
    struct compare_side sa = side(a, na), sb = side(b, nb);
    compare_make(&sa, &sb, tolerance(t), &c);
    return c;
}

static void test_same(void)
{
    struct campaign_row a[] = {row("p", "", 10, 5, 3), row("q", "", 12, 5, 1)};
    struct campaign_row b[] = {a[1], a[0]}; // the order of evaluation says nothing
    struct compare c = compare(a, 2, b, 2, 0);
    CHECK_INT(c.n, 2);
    CHECK_INT(c.both, 2);
    CHECK_INT(c.better + c.worse + c.moved + c.only_a + c.only_b + c.gained + c.lost, 0);
    CHECK_INT(c.plans + c.digests, 0);
    CHECK_INT(c.front_a, 2);
    CHECK_INT(c.n_objectives, 2);
    CHECK_INT(c.best[0].a, 0);
    CHECK_INT(c.best[0].b, 1);
    CHECK_NEAR(c.best[0].change, 0, 0);
    CHECK_INT(c.metric[METRIC_TTFT].n, 2);
    CHECK_NEAR(c.metric[METRIC_TTFT].highest, 0, 0);
    CHECK_INT(c.metric[METRIC_TPOT].n, 0); // nobody knows it
    CHECK(isnan(c.metric[METRIC_TPOT].lowest));
    compare_fini(&c);
}

static void test_only_one_side(void)
{
    struct campaign_row a[] = {row("p", "", 10, 5, 3), row("q", "", 12, 5, 1)};
    struct campaign_row b[] = {row("p", "k=1", 10, 5, 3), row("q", "", 12, 5, 1)};
    struct compare c = compare(a, 2, b, 2, 0);
    CHECK_INT(c.n, 3);
    CHECK_INT(c.both, 1);
    CHECK_INT(c.only_a, 1);
    CHECK_INT(c.only_b, 1);
    CHECK_INT(c.point[0].a, 0); // what is missing comes before what is equal
    CHECK_INT(c.point[0].b, -1);
    CHECK_INT(c.point[1].a, -1);
    CHECK_INT(c.point[2].b, 1);
    CHECK_INT(c.gained, 1);
    CHECK_INT(c.lost, 1);
    compare_fini(&c);
    c = compare(a, 2, NULL, 0, 0);
    CHECK_INT(c.only_a, 2);
    CHECK_INT(c.lost, 2);
    CHECK_INT(c.best[0].b, -1);
    CHECK(isnan(c.best[0].change));
    compare_fini(&c);
}

// The same change is a movement just beyond the tolerance and none at it.
static void test_tolerance(void)
{
    struct campaign_row a[] = {row("p", "", 100, 50, 4)}, b[] = {row("p", "", 100.5, 50, 4)};
    struct compare c = compare(a, 1, b, 1, 0.005);
    CHECK_INT(c.worse, 0);
    CHECK_INT(c.point[0].n_moves, 0);
    CHECK_NEAR(c.metric[METRIC_TTFT].highest, 0.005, 1e-12); // still told
    compare_fini(&c);
    c = compare(a, 1, b, 1, 0.00499);
    CHECK_INT(c.worse, 1);
    CHECK_INT(c.point[0].n_moves, 1);
    CHECK_INT(c.point[0].move[0].metric, METRIC_TTFT);
    CHECK_NEAR(c.point[0].move[0].change, 0.005, 1e-12);
    CHECK_INT(c.metric[METRIC_TTFT].worse, 1);
    CHECK_INT(c.metric[METRIC_ENERGY].worse, 0);
    compare_fini(&c);
}

// Times and energies are better when less, rates when more; predictions are neither.
static void test_direction(void)
{
    struct campaign_row a[] = {row("p", "", 100, 50, 4)}, b[] = {row("p", "", 90, 40, 5)};
    struct compare c = compare(a, 1, b, 1, 0.01);
    CHECK_INT(c.point[0].n_moves, 3); // -10 %, -20 %, +25 %: the largest first
    CHECK_INT(c.point[0].move[0].metric, METRIC_ENERGY);
    CHECK_INT(c.point[0].move[0].verdict, COMPARE_WORSE);
    CHECK_NEAR(c.point[0].move[0].change, 0.25, 1e-12);
    CHECK_INT(c.point[0].move[1].metric, METRIC_DECODE_RATE);
    CHECK_INT(c.point[0].move[1].verdict, COMPARE_WORSE);
    CHECK_INT(c.point[0].move[2].verdict, COMPARE_BETTER);
    CHECK_INT(c.point[0].verdict, COMPARE_WORSE);
    CHECK_NEAR(c.point[0].change, 0.25, 1e-12);
    compare_fini(&c);
    b[0] = a[0];
    a[0].m.value[METRIC_PREDICTED_PREFILL] = 8;
    b[0].m.value[METRIC_PREDICTED_PREFILL] = 9;
    c = compare(a, 1, b, 1, 0.01);
    CHECK_INT(c.point[0].verdict, COMPARE_MOVED);
    CHECK_INT(c.moved, 1);
    CHECK_INT(c.worse, 0);
    compare_fini(&c);
}

static void test_from_nothing(void)
{
    struct campaign_row a[] = {row("p", "", 1, 1, 1)}, b[] = {row("p", "", 1, 1, 1)};
    a[0].m.value[METRIC_FRAMES_DROPPED] = 0;
    b[0].m.value[METRIC_FRAMES_DROPPED] = 1;
    struct compare c = compare(a, 1, b, 1, 1e9);
    CHECK_INT(c.worse, 1);
    CHECK(isinf(c.point[0].change));
    compare_fini(&c);
    b[0].m.value[METRIC_FRAMES_DROPPED] = NAN; // known on one side only
    c = compare(a, 1, b, 1, 1e9);
    CHECK_INT(c.moved, 1);
    CHECK(isnan(c.point[0].move[0].change));
    compare_fini(&c);
}

static void test_status(void)
{
    struct campaign_row a[] = {row("p", "", 1, 1, 1), row("q", "", 2, 1, 2), row("r", "", 3, 1, 3)};
    struct campaign_row b[] = {a[0], a[1], a[2]};
    metrics_init(&b[0].m, METRICS_CRASHED);
    metrics_init(&a[1].m, METRICS_INFEASIBLE);
    metrics_init(&a[2].m, METRICS_INFEASIBLE);
    metrics_init(&b[2].m, METRICS_INFEASIBLE);
    struct compare c = compare(a, 3, b, 3, 0.1);
    CHECK_INT(c.worse, 1);
    CHECK_INT(c.better, 1);
    CHECK(c.point[0].status && c.point[1].status);
    CHECK_INT(c.point[2].verdict, COMPARE_SAME);
    CHECK_INT(c.front_a, 1);
    compare_fini(&c);
    a[1] = b[1];
    b[1].m.violation = 0.5;
    c = compare(a, 3, b, 3, 0.1);
    CHECK_INT(c.worse, 2);
    CHECK(c.point[1].constraints);
    CHECK_INT(c.front_b, 0); // one crashed, one breaks a constraint, one cannot run
    compare_fini(&c);
}

static void test_plans(void)
{
    struct campaign_row a[] = {row("p", "", 1, 1, 1), row("q", "", 1, 1, 1)};
    struct campaign_row b[] = {a[0], a[1]};
    b[1].m.plan_decode = 7;
    b[1].m.digest = 9;
    struct compare c = compare(a, 2, b, 2, 0.005);
    CHECK_INT(c.plans, 1);
    CHECK_INT(c.digests, 1);
    CHECK_INT(c.point[0].a, 1); // news before no news
    CHECK(c.point[0].plan_decode && !c.point[0].plan_prefill);
    CHECK_INT(c.point[0].verdict, COMPARE_SAME);
    compare_fini(&c);
}

static void test_front(void)
{
    // (ttft, energy): p and q on the front, r behind q. Then r overtakes q in both.
    struct campaign_row a[] = {row("p", "", 10, 1, 3), row("q", "", 12, 1, 1),
                               row("r", "", 13, 1, 2)};
    struct campaign_row b[] = {a[0], a[1], row("r", "", 11, 1, 0.5)};
    struct compare c = compare(a, 3, b, 3, 0.005);
    CHECK_INT(c.front_a, 2);
    CHECK_INT(c.front_b, 2);
    CHECK_INT(c.gained, 1);
    CHECK_INT(c.gained_row[0], 2);
    CHECK_INT(c.lost, 1);
    CHECK_INT(c.lost_row[0], 1);
    CHECK_INT(c.best[1].a, 1);
    CHECK_INT(c.best[1].b, 2);
    CHECK_NEAR(c.best[1].change, -0.5, 1e-12);
    compare_fini(&c);
}

// Only the level that counts is on the front, and levels are different points.
static void test_levels(void)
{
    struct campaign_row a[] = {row("p", "", 10, 1, 3), row("p", "", 1, 1, 1)};
    a[0].level = "flow";
    a[1].level = "estimate";
    struct compare c;
    struct compare_side s = side(a, 2);
    s.level = "flow";
    compare_make(&s, &s, tolerance(0), &c);
    CHECK_INT(c.both, 2);
    CHECK_INT(c.front_a, 1);
    CHECK_INT(c.best[0].a, 0);
    compare_fini(&c);
}

TESTS(explore_compare, T(test_same), T(test_only_one_side), T(test_tolerance), T(test_direction),
      T(test_from_nothing), T(test_status), T(test_plans), T(test_front), T(test_levels))
