// SPDX-License-Identifier: GPL-3.0-or-later
// Fronts, scores, ranks and Kendall's tau against cases solved by hand, and against the definition.
#include "explore/pareto.h"
#include <string.h>
#include "base/rng.h"
#include "explore/ranking.h"
#include "tests/harness.h"

static void check_front(const double *v, int n, int k, const char *expected)
{
    bool front[64];
    char text[65] = "";
    pareto_front(v, n, k, front);
    for (int i = 0; i < n; i++)
        text[i] = front[i] ? '*' : '.';
    CHECK_STR(text, expected);
}

static void test_front_by_hand(void)
{
    // Two objectives: (1,5) (2,3) (3,3) (4,1) (4,4). (3,3) loses to (2,3), (4,4) to three of them.
    check_front((const double[]){1, 5, 2, 3, 3, 3, 4, 1, 4, 4}, 5, 2, "**.*.");
    // Three objectives: each best in one; the fourth dominated by the first.
    check_front((const double[]){1, 2, 2, 2, 1, 2, 2, 2, 1, 1, 3, 2}, 4, 3, "***.");
    check_front((const double[]){3, 1, 2}, 3, 1, ".*.");
    check_front((const double[]){7, 7}, 1, 2, "*");
}

static void test_front_equal_points(void)
{
    check_front((const double[]){1, 2, 1, 2, 0, 3, 1, 3}, 4, 2, "***.");
}

static void test_front_nan(void)
{
    // A NaN loses, even if the rest is the best; an objective that nobody knows does not count.
    check_front((const double[]){0, NAN, 2, 3, 3, 2}, 3, 2, ".**");
    check_front((const double[]){1, NAN, 2, NAN}, 2, 2, "*.");
    check_front((const double[]){NAN, NAN, NAN, NAN}, 2, 2, "..");
}

static void test_front_by_definition(void)
{
    struct rng *r = rng_create(3, "test");
    for (int round = 0; round < 200; round++) {
        enum { N = 40, K = 3 };
        double v[N * K];
        bool front[N];
        for (int i = 0; i < N * K; i++)
            v[i] = (double)rng_below(r, 6); // few values: many ties
        pareto_front(v, N, K, front);
        for (int i = 0; i < N; i++) {
            bool dominated = false;
            for (int j = 0; j < N; j++) {
                bool no_worse = true, better = false;
                for (int o = 0; o < K; o++) {
                    no_worse &= v[j * K + o] <= v[i * K + o];
                    better |= v[j * K + o] < v[i * K + o];
                }
                dominated |= no_worse && better;
            }
            if (front[i] == dominated) {
                CHECK_INT(front[i], !dominated);
                goto out;
            }
        }
    }
out:
    rng_destroy(r);
}

static void test_score(void)
{
    double score[4];
    int order[4];
    // Best are 2 and 10: ratios (1, 4), (2, 1), (3, 3): means 2, sqrt 2, 3.
    pareto_score((const double[]){2, 40, 4, 10, 6, 30}, 3, 2, score);
    CHECK_NEAR(score[0], 2, 1e-12);
    CHECK_NEAR(score[1], sqrt(2), 1e-12);
    CHECK_NEAR(score[2], 3, 1e-12);
    pareto_rank(score, 3, order);
    CHECK_INT(order[0], 1);
    CHECK_INT(order[1], 0);
    CHECK_INT(order[2], 2);
    // Units do not matter.
    pareto_score((const double[]){2e-3, 40, 4e-3, 10, 6e-3, 30}, 3, 2, score);
    CHECK_NEAR(score[1], sqrt(2), 1e-12);
    // An unknown objective is left out; a point without a known one has no score and is last.
    pareto_score((const double[]){NAN, 8, NAN, NAN, NAN, 4}, 3, 2, score);
    CHECK_NEAR(score[0], 2, 1e-12);
    CHECK(isnan(score[1]));
    pareto_rank(score, 3, order);
    CHECK_INT(order[0], 2);
    CHECK_INT(order[1], 0);
    CHECK_INT(order[2], 1);
    // Ties by index.
    pareto_rank((const double[]){1, 0.5, 1, 0.5}, 4, order);
    CHECK_INT(order[0], 1);
    CHECK_INT(order[1], 3);
    CHECK_INT(order[2], 0);
    CHECK_INT(order[3], 2);
}

// Where the best is 0 there is no ratio to it: 0 counts as 1, the usual non-zero value as 2.
static void test_score_zero(void)
{
    double score[5];
    // Second objective: 0, 6, 30, 6, 0; the median of 6, 6, 30 is 6.
    pareto_score((const double[]){1, 0, 1, 6, 1, 30, 4, 6, 4, 0}, 5, 2, score);
    CHECK_NEAR(score[0], 1, 1e-12);
    CHECK_NEAR(score[1], sqrt(2), 1e-12);
    CHECK_NEAR(score[2], sqrt(6), 1e-12);
    CHECK_NEAR(score[3], sqrt(8), 1e-12);
    CHECK_NEAR(score[4], 2, 1e-12);
    // Units do not matter here either; an objective that is 0 for all says nothing.
    pareto_score((const double[]){1, 0, 1, 6e3, 1, 30e3, 4, 6e3, 4, 0}, 5, 2, score);
    CHECK_NEAR(score[3], sqrt(8), 1e-12);
    pareto_score((const double[]){2, 0, 1, 0}, 2, 2, score);
    CHECK_NEAR(score[0], 2, 1e-12);
}

static void test_best(void)
{
    const double v[] = {NAN, 3, 5, 1, 4, 1};
    CHECK_INT(pareto_best(v, 3, 2, 0), 2);
    CHECK_INT(pareto_best(v, 3, 2, 1), 1); // the first of equals
    CHECK_INT(pareto_best((const double[]){NAN, NAN}, 2, 1, 0), -1);
}

static void test_kendall(void)
{
    const double a[] = {1, 2, 3, 4};
    CHECK_NEAR(pareto_kendall(a, (const double[]){10, 20, 30, 40}, 4, 0), 1, 1e-12);
    CHECK_NEAR(pareto_kendall(a, (const double[]){4, 3, 2, 1}, 4, 0), -1, 1e-12);
    // One neighbouring pair swapped: 5 of 6 agree, 1 does not.
    CHECK_NEAR(pareto_kendall(a, (const double[]){1, 3, 2, 4}, 4, 0), 4.0 / 6, 1e-12);
    // Ties (tau-b): b has one tied pair: 5 agree, none against, sqrt(6 * 5).
    CHECK_NEAR(pareto_kendall(a, (const double[]){1, 2, 2, 4}, 4, 0), 5 / sqrt(30), 1e-12);
    // Values that are alike are ties of either list.
    CHECK(pareto_alike(1, 1.009, 0.01) && pareto_alike(1.009, 1, 0.01) && pareto_alike(3, 3, 0));
    CHECK(!pareto_alike(1, 1.01, 0.01) && !pareto_alike(1, 1.0001, 0) && !pareto_alike(1, NAN, 9));
    CHECK_NEAR(pareto_kendall(a, (const double[]){1, 2.01, 2, 4}, 4, 0.01), 5 / sqrt(30), 1e-12);
    CHECK_NEAR(pareto_kendall((const double[]){1, 2.01, 2, 4}, a, 4, 0.01), 5 / sqrt(30), 1e-12);
    CHECK(isnan(pareto_kendall(a, (const double[]){7, 7, 7, 7}, 4, 0)));
    CHECK(isnan(pareto_kendall(a, a, 1, 0)));
    // Pairs with a NaN are left out.
    CHECK_NEAR(pareto_kendall((const double[]){1, NAN, 3, 4}, (const double[]){1, 2, NAN, 4}, 4, 0),
               1, 1e-12);
}

static void test_ranking(void)
{
    struct campaign_row row[4] = {{0}};
    const enum metric objective[] = {METRIC_TTFT, METRIC_DECODE_RATE};
    const double ttft[] = {100, 50, 10, 200}, rate[] = {10, 10, 99, 20};
    struct ranking r;
    for (int i = 0; i < 4; i++) {
        metrics_init(&row[i].m, i == 2 ? METRICS_INFEASIBLE : METRICS_OK);
        row[i].m.value[METRIC_TTFT] = ttft[i];
        row[i].m.value[METRIC_DECODE_RATE] = rate[i]; // more is better
    }
    ranking_make(row, 4, objective, 2, &r);
    CHECK_INT(r.n_ok, 3);
    CHECK_INT(r.n_front, 2);
    CHECK(!r.front[0] && r.front[1] && !r.front[2] && r.front[3]);
    CHECK_INT(r.order[0], 1); // ratios 1 and 2: 1.41
    CHECK_INT(r.order[1], 0); // 2 and 2; and 4 and 1 for row 3: equal, by index
    CHECK_INT(r.order[2], 3);
    CHECK_INT(r.order[3], 2);
    CHECK_INT(r.best[0], 1);
    CHECK_INT(r.best[1], 3);
    ranking_fini(&r);
}

// Rows that miss constraints are on no front and best in nothing; behind the feasible ones they
// stand by how much they miss.
static void test_violations(void)
{
    static const enum metric objective[] = {METRIC_TTFT};
    static const double ttft[] = {5, 1, 7, 2, 6, 3}, violation[] = {0, 0.5, 0, 0.1, 0, 0};
    static const int order[] = {0, 4, 2, 3, 1, 5};
    struct campaign_row row[6];
    struct ranking r;
    memset(row, 0, sizeof row);
    for (int i = 0; i < 6; i++) {
        metrics_init(&row[i].m, i == 5 ? METRICS_INFEASIBLE : METRICS_OK);
        row[i].m.value[METRIC_TTFT] = ttft[i];
        row[i].m.violation = violation[i];
    }
    ranking_make(row, 6, objective, 1, &r);
    CHECK_INT(r.n_ok, 3);
    CHECK_INT(r.n_violating, 2);
    CHECK_INT(r.n_front, 1);
    CHECK_INT(r.best[0], 0);
    for (int i = 0; i < 6; i++)
        CHECK_INT(r.order[i], order[i]);
    CHECK_NEAR(r.score[4], 6.0 / 5, 1e-12);
    CHECK(isnan(r.score[1]) && isnan(r.score[5]));
    CHECK(isnan(r.regret[0])); // one machine
    ranking_fini(&r);
}

// Two machines: A is best on the first and 50 % off on the second, B the other way round with 20 %,
// C is 10 % off on both: of all it costs its unluckiest machine least.
static void test_regret(void)
{
    static const enum metric objective[] = {METRIC_TTFT};
    static const double ttft[3][2] = {{100, 30}, {120, 20}, {110, 22}};
    struct campaign_row row[3];
    struct ranking r;
    memset(row, 0, sizeof row);
    for (int i = 0; i < 3; i++) {
        struct metrics m[2];
        for (int j = 0; j < 2; j++) {
            metrics_init(&m[j], METRICS_OK);
            m[j].value[METRIC_TTFT] = ttft[i][j];
        }
        metrics_of_machines(m, 2, AGGREGATE_GEOMEAN, &row[i].m);
    }
    ranking_make(row, 3, objective, 1, &r);
    CHECK_NEAR(r.regret[0], 1.5, 1e-12);
    CHECK_NEAR(r.regret[1], 1.2, 1e-12);
    CHECK_NEAR(r.regret[2], 1.1, 1e-12);
    ranking_fini(&r);
}

TESTS(explore_pareto, T(test_front_by_hand), T(test_front_equal_points), T(test_front_nan),
      T(test_front_by_definition), T(test_score), T(test_score_zero), T(test_violations),
      T(test_regret), T(test_best), T(test_kendall), T(test_ranking))
