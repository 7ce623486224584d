// SPDX-License-Identifier: GPL-3.0-or-later
// Validation, with a simulated machine in the role of the real one: it has no noise, so predictions
// must hold closely and in the right order. Statistics on rows whose answers were worked out by
// hand.
#include "explore/validate.h"
#include "explore/evaluate.h"
#include "explore/ranking.h"
#include <math.h>
#include "base/rng.h"
#include "tests/explore/util.h"

static struct validate_result result;

static void test_predictions_hold(void)
{
    struct test_factory f = test_factory();
    struct model *m = small_model();
    struct err e = {0};
    struct validate_request q = {
        .factory = &f.base,
        .model = m,
        .n_prompt = 64,
        .n_gen = 4,
        .repeats = 2,
        .n = 4,
        .policy = {"gpu_only", "hetero_tensor", "hetero_tensor:parts=4", "npu_only"},
        .sync = {"driver", "poll", "sleep_poll:margin=50 us", "event"}};
    if (CHECK_OK(validate_run(&q, &result, &e), &e)) {
        CHECK_INT(result.n, 4);
        CHECK_INT(result.repeats, 2);
        CHECK_INT(f.opened, 1);
        CHECK(strstr(result.machine, "sd8gen3") != NULL);
        for (int i = 0; i < 4; i++) {
            const struct validate_row *r = &result.row[i];
            const struct validate_value *first = &r->v[VALIDATE_TTFT];
            CHECK(r->ok);
            CHECK_NEAR(first->error, 0, 0.2);
            CHECK_NEAR(first->error, first->predicted / first->measured - 1, 1e-12);
            CHECK(r->v[VALIDATE_TPOT].measured > 0 && r->v[VALIDATE_TPOT].predicted > 0);
            CHECK_NEAR(first->spread, 0, 1e-9); // two equal runs
            CHECK_NEAR(first->low, first->measured, 1e-12);
            CHECK_NEAR(first->high, first->measured, 1e-12);
            CHECK_NEAR(r->v[VALIDATE_TOTAL].measured,
                       first->measured + 3 * r->v[VALIDATE_TPOT].measured, 1e-6 * first->measured);
            CHECK_NEAR(r->v[VALIDATE_TOTAL].predicted,
                       first->predicted + 3 * r->v[VALIDATE_TPOT].predicted, 1e-9);
        }
        CHECK(result.row[1].v[VALIDATE_TTFT].measured < result.row[0].v[VALIDATE_TTFT].measured);
        CHECK(result.summary[VALIDATE_TTFT].tau > 0.3);
        CHECK_NEAR(result.coverage, 0.5, 1e-15);
    }
    model_close(m);
}

static void test_impossible_ones_are_said(void)
{
    struct test_factory f = test_factory();
    struct model *m = small_model();
    struct err e = {0};
    struct validate_request q = {.factory = &f.base,
                                 .model = m,
                                 .n_prompt = 32,
                                 .n_gen = 1,
                                 .repeats = 1,
                                 .n = 3,
                                 .policy = {"gpu_only", "gpu_only", "gpu_olny"},
                                 .sync = {"poll", "driver", "driver"}};
    f.no_flag = true;
    if (CHECK_OK(validate_run(&q, &result, &e), &e)) {
        CHECK(!result.row[0].ok);
        CHECK_HAS(result.row[0].reason, "poll");
        CHECK(isnan(result.row[0].v[VALIDATE_TTFT].measured));
        CHECK(result.row[1].ok);
        CHECK(result.row[1].v[VALIDATE_TTFT].measured > 0);
        CHECK(isnan(
            result.row[1].v[VALIDATE_TPOT].measured)); // one token has no time per further token
        CHECK(!result.row[2].ok);
        CHECK_HAS(result.row[2].reason, "did you mean \"gpu_only\"?");
        const struct validate_summary *t = &result.summary[VALIDATE_TTFT];
        CHECK(isnan(t->tau));
        CHECK_INT(t->n, 1);
        CHECK_INT(t->choice, 1);
        CHECK_INT(t->best, 1);
        CHECK_INT(result.summary[VALIDATE_TPOT].n, 0);
        CHECK_INT(result.summary[VALIDATE_TPOT].choice, -1);
        CHECK(result.coverage == 0); // one round
    }
    model_close(m);
}

// On a machine whose profile says that its NPU is a thousand times slower, everything would be on
// the GPU. The plans of the other one are what runs, and what predicts.
static void test_plans_from_elsewhere(void)
{
    struct test_factory f = test_factory(), planner = test_factory();
    struct model *m = small_model();
    struct err e = {0};
    struct validate_request q = {.factory = &f.base,
                                 .planner = &planner.base,
                                 .model = m,
                                 .n_prompt = 256,
                                 .n_gen = 1,
                                 .repeats = 1,
                                 .n = 1,
                                 .policy = {"hetero_tensor"},
                                 .sync = {"poll"}};
    double slow[2], predicted[2];
    f.slow_npu = true;
    for (int i = 0; i < 2; i++) {
        planner.slow_npu = i == 0;
        if (CHECK_OK(validate_run(&q, &result, &e), &e) && CHECK(result.row[0].ok)) {
            slow[i] = result.row[0].v[VALIDATE_TTFT].measured;
            predicted[i] = result.row[0].v[VALIDATE_TTFT].predicted;
        }
    }
    CHECK_INT(f.opened, 2);
    CHECK_INT(planner.opened, 2);
    CHECK(slow[1] > 20 * slow[0]); // the NPU was given work
    CHECK(predicted[1] < predicted[0]);
    q.planner = NULL;
    if (CHECK_OK(validate_run(&q, &result, &e), &e))
        CHECK_NEAR(result.row[0].v[VALIDATE_TTFT].measured, slow[0], 1e-9);
    model_close(m);
}

static void count_runs(void *user, int done, int total)
{
    volatile sig_atomic_t *stop = user;
    CHECK_INT(total, 2 * 4);
    if (done == 5) // in the second counted round
        *stop = 1;
}

static void test_stop(void)
{
    struct test_factory f = test_factory();
    struct model *m = small_model();
    struct err e = {0};
    volatile sig_atomic_t stop = 0;
    struct validate_request q = {.factory = &f.base,
                                 .model = m,
                                 .n_prompt = 32,
                                 .n_gen = 2,
                                 .repeats = 3,
                                 .n = 2,
                                 .policy = {"gpu_only", "npu_only"},
                                 .sync = {"driver", "driver"},
                                 .stop = &stop,
                                 .progress = count_runs,
                                 .user = (void *)(uintptr_t)&stop};
    if (CHECK_OK(validate_run(&q, &result, &e), &e)) {
        CHECK_INT(result.repeats, 1); // only whole rounds count
        CHECK(result.row[1].v[VALIDATE_TTFT].measured > 0);
    }
    model_close(m);
}

// What an exploration of a simulated machine says, that machine does, to the last bit.
static void test_an_exploration_of_the_same_machine(void)
{
    struct test_factory f = test_factory();
    struct model *m = small_model();
    struct space *s = space_of(SMALL_SPACE);
    struct evaluate_context c = {.space = s, .factory = &f.base, .model = m};
    struct campaign_request cq = {.space = s, .worker = &evaluate_worker, .context = &c};
    struct arena a;
    struct campaign done;
    struct ranking rank;
    struct err e = {0};
    static double ms[VALIDATE_MAX][VALIDATE_METRICS];
    int place[VALIDATE_MAX];
    arena_init(&a);
    CHECK_OK(search_parse("exhaustive", &a, &cq.search, &cq.search_options, &e), &e);
    if (!CHECK_OK(campaign_run(&cq, &done, &e), &e))
        return;
    ranking_make(done.row, (int)done.count, s->objective, s->n_objectives, &rank);
    struct validate_request q = {.factory = &f.base,
                                 .model = m,
                                 .n_prompt = 32,
                                 .n_gen = 3,
                                 .repeats = 3,
                                 .predicted = (const double(*)[VALIDATE_METRICS])ms};
    q.n = validate_pick(done.row, rank.order, rank.n, 3, false, 0, place);
    q.n = validate_spread(done.row, rank.order, rank.n, 3, q.n, 0, place);
    CHECK_INT(q.n, 6);
    for (int i = 0; i < q.n; i++) {
        const struct campaign_row *r = &done.row[rank.order[place[i]]];
        q.policy[i] = r->policy;
        q.sync[i] = r->sync;
        ms[i][VALIDATE_TTFT] = r->m.value[METRIC_TTFT];
        ms[i][VALIDATE_TPOT] = r->m.value[METRIC_TPOT];
        ms[i][VALIDATE_TOTAL] = r->m.value[METRIC_TOTAL];
    }
    if (CHECK_OK(validate_run(&q, &result, &e), &e)) {
        CHECK_NEAR(result.coverage, 0.75, 1e-15);
        for (int k = 0; k < VALIDATE_METRICS; k++) {
            const struct validate_summary *t = &result.summary[k];
            CHECK_INT(t->n, 6);
            CHECK(t->largest_error == 0 && t->regret == 0 && !t->apart);
            CHECK_INT(t->choice, t->best);
            CHECK(t->tau == 1);
            for (int i = 0; i < q.n; i++)
                CHECK(result.row[i].v[k].low == result.row[i].v[k].high);
        }
        // A prediction that takes the worst for the best, and puts the rest in reverse as well.
        for (int i = 0; i < q.n; i++)
            ms[i][VALIDATE_TTFT] = 1e4 / ms[i][VALIDATE_TTFT];
        CHECK_OK(validate_run(&q, &result, &e), &e);
        const struct validate_summary *t = &result.summary[VALIDATE_TTFT];
        double least = INFINITY, most = 0;
        for (int i = 0; i < q.n; i++) {
            least = fmin(least, result.row[i].v[VALIDATE_TTFT].measured);
            most = fmax(most, result.row[i].v[VALIDATE_TTFT].measured);
        }
        CHECK(t->tau == -1 && t->apart);
        CHECK_NEAR(t->regret, most / least - 1, 1e-12);
        CHECK(t->regret > 0.01);
        CHECK(result.summary[VALIDATE_TPOT].tau == 1);
    }
    ranking_fini(&rank);
    campaign_fini(&done);
    arena_fini(&a);
    space_close(s);
    model_close(m);
}

static void make_rows(struct campaign_row *row, const char *const *policy, const char *const *sync,
                      int n)
{
    for (int i = 0; i < n; i++) {
        row[i] = (struct campaign_row){.policy = policy[i], .sync = sync[i], .soc = ""};
        metrics_init(&row[i].m, METRICS_OK);
    }
}

static void test_pick(void)
{
    static const char *const policy[] = {"a", "b:x=1", "b:x=2", "a", "c", "ab"};
    static const char *const sync[] = {"s", "s", "s", "s", "s", "t"};
    const int order[] = {3, 0, 2, 4, 1, 5};
    struct campaign_row row[6];
    int p[6] = {0};
    make_rows(row, policy, sync, 6);
    row[4].m.status = METRICS_CRASHED;
    CHECK_INT(validate_pick(row, order, 6, 6, false, 0, p), 4);
    CHECK_INT(p[0], 0); // row 3; row 0 is the same pair
    CHECK_INT(p[1], 2);
    CHECK_INT(p[2], 4);
    CHECK_INT(p[3], 5);
    CHECK_INT(validate_pick(row, order, 6, 2, false, 0, p), 2);
    CHECK_INT(validate_pick(row, order, 6, 6, true, 0, p), 3);
    CHECK_INT(p[1], 2);
    CHECK_INT(p[2], 5);
}

static void set_times(struct campaign_row *row, double ttft, double tpot)
{
    row->m.value[METRIC_TTFT] = ttft;
    row->m.value[METRIC_TPOT] = tpot;
    row->m.value[METRIC_TOTAL] = ttft + 9 * tpot;
}

// Configurations that the simulator cannot tell apart: one of them runs.
static void test_alike(void)
{
    static const char *const policy[] = {"a", "b", "c", "d", "e", "f"};
    static const char *const sync[] = {"s", "s", "s", "s", "s", "s"};
    const int order[] = {0, 1, 2, 3, 4, 5};
    struct campaign_row row[6];
    int p[6] = {0};
    make_rows(row, policy, sync, 6);
    set_times(&row[0], 100, 10);
    set_times(&row[1], 100.9, 10); // as a
    set_times(&row[2], 100, 10.2); // another time per token
    set_times(&row[3], 102, (double)NAN);
    set_times(&row[4], 102.5, (double)NAN); // as d
    set_times(&row[5], 102, 10);
    CHECK_INT(validate_pick(row, order, 6, 6, false, 0.01, p), 4);
    CHECK_INT(p[1], 2);
    CHECK_INT(p[2], 3);
    CHECK_INT(p[3], 5);
    CHECK_INT(validate_pick(row, order, 6, 6, true, 0.01, p), 6); // every policy
    CHECK_INT(validate_pick(row, order, 6, 1, false, 0.01, p), 1);
    CHECK_INT(validate_spread(row, order, 6, 5, 1, 0.01, p), 4);
    CHECK_INT(p[1], 2);
    CHECK_INT(p[3], 5);
    CHECK_INT(validate_pick(row, order, 6, 6, false, 0, p), 6);
}

static void test_spread(void)
{
    // Of the ranking a a b b | b b b | c a a | d, the first is picked. Crashed: the last of c.
    static const char *const policy[] = {"a:1", "a:2", "b:1", "b:2", "b:3", "b:4",
                                         "b:1", "c",   "a:3", "a:4", "d",   "d:2"};
    static const char *const sync[] = {"s", "s", "s", "s", "s", "s", "s", "s", "s", "s", "s", "s"};
    const int order[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    struct campaign_row row[12];
    int p[12] = {0};
    make_rows(row, policy, sync, 12);
    row[11].m.status = METRICS_CRASHED;
    CHECK_INT(validate_pick(row, order, 12, 1, false, 0, p), 1);
    // The rest is 1 2 3 | 4 5 7 | 8 9 10 (6 is the pair of 2, 11 crashed).
    CHECK_INT(validate_spread(row, order, 12, 3, 1, 0, p), 4);
    CHECK_INT(p[0], 0);
    CHECK_INT(p[1], 2);  // a new policy, in the middle
    CHECK_INT(p[2], 7);  // c is new, b was there
    CHECK_INT(p[3], 10); // d is new, a was there
    CHECK_INT(validate_spread(row, order, 12, 1, 1, 0, p), 2);
    CHECK_INT(p[1], 5); // the middle one of 1 2 3 4 5 7 8 9 10
    CHECK_INT(validate_spread(row, order, 12, 0, 1, 0, p), 1);   // none wanted
    CHECK_INT(validate_spread(row, order, 12, 11, 1, 0, p), 10); // all there are
    for (int i = 1; i < 10; i++)
        CHECK_INT(p[i], i < 6 ? i : i + 1); // each once, in ranked order
}

static void test_intervals(void)
{
    struct validate_value v;
    double one[] = {7}, two[] = {3, 1}, five[] = {5, 1, 4, 2, 3}, six[] = {6, 1, 5, 2, 4, 3};
    double nine[] = {9, 1, 8, 2, 7, 3, 6, 4, 5}, gap[] = {1, NAN}, many[101];
    CHECK(validate_median(one, 0, &v) == 0 && isnan(v.measured));
    CHECK(validate_median(gap, 2, &v) == 0 && isnan(v.measured) && isnan(v.low));
    CHECK(validate_median(one, 1, &v) == 0 && v.measured == 7 && isnan(v.low) && isnan(v.high));
    CHECK(validate_median(two, 2, &v) == 0.5);
    CHECK(v.measured == 2 && v.low == 1 && v.high == 3 && v.spread == 1);
    CHECK(validate_median(five, 5, &v) == 0.9375); // 1 - 2 / 32: the most that five can give
    CHECK(v.measured == 3 && v.low == 1 && v.high == 5);
    CHECK(validate_median(six, 6, &v) == 0.96875); // 1 - 2 / 64
    CHECK(v.measured == 3.5 && v.low == 1 && v.high == 6);
    // 1 - 2 (1 + 9) / 512; one rank further in, 1 - 2 (1 + 9 + 36) / 512 = 0.82, is too little.
    CHECK(validate_median(nine, 9, &v) == 0.9609375);
    CHECK(v.measured == 5 && v.low == 2 && v.high == 8);
    for (int i = 0; i < 101; i++)
        many[i] = 101 - i;
    double c = validate_median(many, 101, &v); // the table values for n = 101: ranks 41 and 61
    CHECK(c >= VALIDATE_LEVEL && c < 0.97);
    CHECK(v.measured == 51 && v.low == 41 && v.high == 61);
}

// Of a thousand samples of n = 7 from a skewed distribution, about as many intervals as promised
// hold its median.
static void test_coverage_is_as_promised(void)
{
    struct rng *r = rng_create(1, "test coverage");
    int held = 0;
    double promised = 0;
    for (int i = 0; i < 4000; i++) {
        double x[7];
        struct validate_value v;
        for (int j = 0; j < 7; j++)
            x[j] = -log(1 - rng_uniform(r));
        promised = validate_median(x, 7, &v);
        held += v.low <= log(2) && log(2) <= v.high;
    }
    CHECK_NEAR(promised, 1 - 2. / 128, 1e-15);
    CHECK_NEAR(held / 4000., promised, 0.008); // four standard deviations
    rng_destroy(r);
}

static void set_value(struct validate_row *r, double predicted, double measured, double half)
{
    r->ok = true;
    r->v[VALIDATE_TTFT] = (struct validate_value){.predicted = predicted,
                                                  .measured = measured,
                                                  .low = measured - half,
                                                  .high = measured + half};
}

static void test_summary(void)
{
    static struct validate_row row[5];
    struct validate_summary s;
    set_value(&row[0], 11, 10, 1);  // +10 %
    set_value(&row[1], 9, 12, 0.5); // -25 %, predicted best
    set_value(&row[2], 20, 20, 1);  // 0
    set_value(&row[3], 60, 40, 1);  // +50 %
    set_value(&row[4], 1, 1, 0);
    row[4].ok = false; // does not count, however good
    validate_summarise(row, 5, VALIDATE_TTFT, 0, &s);
    CHECK_INT(s.n, 4);
    CHECK_NEAR(s.median_error, (0.10 + 0.25) / 2, 1e-12);
    CHECK_NEAR(s.largest_error, 0.5, 1e-12);
    CHECK_NEAR(row[1].v[VALIDATE_TTFT].error, -0.25, 1e-12);
    CHECK(isnan(row[4].v[VALIDATE_TTFT].error));
    CHECK_NEAR(s.tau, 4. / 6, 1e-12); // 5 pairs agree, 1 does not
    CHECK_INT(s.choice, 1);
    CHECK_INT(s.best, 0);
    CHECK_NEAR(s.regret, 0.2, 1e-12);
    CHECK(s.apart);       // 11.5 .. and .. 11
    CHECK_INT(s.told, 6); // every two of the four
    CHECK_INT(s.right, 5);
    set_value(&row[1], 9, 12, 1);
    validate_summarise(row, 5, VALIDATE_TTFT, 0, &s);
    CHECK(!s.apart); // both reach 11
    CHECK_INT(s.told, 5);
    CHECK_INT(s.right, 5);
    CHECK_NEAR(s.tau, 4. / 6, 1e-12);
    validate_summarise(row, 5, VALIDATE_TTFT, 0.3, &s); // 11 and 9 are a tie of the prediction,
    CHECK_NEAR(s.tau, 5 / sqrt(5 * 5), 1e-12);          // 10 and 12 of the measurement
    set_value(&row[0], 9, 10, 1);
    validate_summarise(row, 5, VALIDATE_TTFT, 0, &s);
    CHECK_INT(s.choice, 0); // the better ranked of equals
    CHECK(s.regret == 0);
}

static void test_limits(void)
{
    static struct validate_result r;
    const bool all[VALIDATE_METRICS] = {true, true, true};
    const bool first[VALIDATE_METRICS] = {true, false, false};
    const struct validate_limits none = {NAN, NAN, NAN}, exact = {0.125, 0.5, 0.25};
    struct validate_verdict v[VALIDATE_METRICS * LIMIT_COUNT];
    for (int m = 0; m < VALIDATE_METRICS; m++)
        r.summary[m] =
            (struct validate_summary){.n = 3, .median_error = 0.125, .tau = 0.5, .regret = 0.25};
    CHECK_INT(validate_judge(&r, &none, all, v), 0);
    CHECK_INT(validate_judge(&r, &exact, all, v), 9);
    for (int i = 0; i < 9; i++)
        CHECK(v[i].ok); // a limit that is just met is kept
    r.summary[VALIDATE_TTFT].median_error = 0.126;
    r.summary[VALIDATE_TTFT].tau = 0.499;
    r.summary[VALIDATE_TTFT].regret = 0.251;
    CHECK_INT(validate_judge(&r, &exact, first, v), 3);
    CHECK(!v[0].ok && !v[1].ok && !v[2].ok);
    CHECK_STR(v[0].name, "max_error");
    CHECK_HAS(v[0].text, "TTFT: the median error is 12.60 %, above the limit of 12.50 %");
    CHECK_HAS(v[1].text, "tau is 0.499, below the limit of 0.500");
    CHECK_HAS(v[2].text, "regret is 25.10 %, above the limit of 25.00 %");
    r.summary[VALIDATE_TTFT].tau = NAN; // a limit that nobody can check is not kept
    CHECK_INT(validate_judge(&r, &exact, first, v), 3);
    CHECK(!v[1].ok);
    CHECK_HAS(v[1].text, "cannot be told");
    r.summary[VALIDATE_TPOT] = (struct validate_summary){
        .median_error = NAN, .tau = NAN, .regret = NAN, .choice = -1, .best = -1};
    CHECK_INT(validate_judge(&r, &exact, all, v), 6); // one token has no TPOT
    r.summary[VALIDATE_TTFT] = r.summary[VALIDATE_TOTAL] = r.summary[VALIDATE_TPOT];
    CHECK_INT(validate_judge(&r, &exact, all, v), 9); // nothing ran: all are missed
    for (int i = 0; i < 9; i++)
        CHECK(!v[i].ok);
}

TESTS(explore_validate, T(test_predictions_hold), T(test_impossible_ones_are_said),
      T(test_plans_from_elsewhere), T(test_stop), T(test_an_exploration_of_the_same_machine),
      T(test_pick), T(test_alike), T(test_spread), T(test_intervals),
      T(test_coverage_is_as_promised), T(test_summary), T(test_limits))
