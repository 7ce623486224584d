// SPDX-License-Identifier: GPL-3.0-or-later
// Validation, with a simulated machine in the role of the real one: it has no noise, so predictions
// must hold closely and in the right order.
#include "explore/validate.h"
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
            CHECK(r->ok);
            CHECK_NEAR(r->ttft_error, 0, 0.2);
            CHECK_NEAR(r->ttft_error, r->predicted_ttft_ms / r->ttft_ms - 1, 1e-12);
            CHECK(r->tpot_ms > 0 && r->predicted_tpot_ms > 0);
            CHECK_NEAR(r->ttft_spread, 0, 1e-9); // two equal runs
        }
        CHECK(result.row[1].ttft_ms < result.row[0].ttft_ms);
        CHECK(result.ttft_tau > 0.3);
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
        CHECK(isnan(result.row[0].ttft_ms));
        CHECK(result.row[1].ok);
        CHECK(result.row[1].ttft_ms > 0);
        CHECK(isnan(result.row[1].tpot_ms)); // one token has no time per further token
        CHECK(!result.row[2].ok);
        CHECK_HAS(result.row[2].reason, "did you mean \"gpu_only\"?");
        CHECK(isnan(result.ttft_tau));
    }
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
        CHECK(result.row[1].ttft_ms > 0);
    }
    model_close(m);
}

static void test_pick(void)
{
    static const char *const policy[] = {"a", "b:x=1", "b:x=2", "a", "c", "ab"};
    static const char *const sync[] = {"s", "s", "s", "s", "s", "t"};
    const int order[] = {3, 0, 2, 4, 1, 5};
    struct campaign_row row[6];
    const char *p[6], *s[6];
    for (int i = 0; i < 6; i++) {
        row[i] = (struct campaign_row){.policy = policy[i], .sync = sync[i], .soc = ""};
        metrics_init(&row[i].m, i == 4 ? METRICS_CRASHED : METRICS_OK);
    }
    CHECK_INT(validate_pick(row, order, 6, 6, false, p, s), 4);
    CHECK_STR(p[0], "a");
    CHECK_STR(p[1], "b:x=2");
    CHECK_STR(p[2], "b:x=1");
    CHECK_STR(s[3], "t");
    CHECK_INT(validate_pick(row, order, 6, 2, false, p, s), 2);
    CHECK_INT(validate_pick(row, order, 6, 6, true, p, s), 3);
    CHECK_STR(p[1], "b:x=2");
    CHECK_STR(p[2], "ab");
}

TESTS(explore_validate, T(test_predictions_hold), T(test_impossible_ones_are_said), T(test_stop),
      T(test_pick))
