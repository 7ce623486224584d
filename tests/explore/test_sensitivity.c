// SPDX-License-Identifier: GPL-3.0-or-later
// Sensitivity of a model that is a formula, so that every move and every harmless range is known.
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "explore/sensitivity.h"

enum { LINEAR, SWITCH, NOTHING, POWER, SHARE, BREAKS, CLIFF, ZERO, CRASH, PARAMETERS };
enum { ROWS = 5 };

static const struct fit_parameter parameters[PARAMETERS] = {
    [LINEAR] = {.name = "linear", .start = 10, .max = INFINITY},
    [SWITCH] = {.name = "switch", .start = 2, .max = INFINITY},
    [NOTHING] = {.name = "nothing", .start = 7, .max = INFINITY},
    [POWER] = {.name = "power", .start = 64, .max = 4096, .whole = true}, // powers of two only
    [SHARE] = {.name = "share", .start = 0.9, .max = 1},
    [BREAKS] = {.name = "breaks", .start = 5, .max = INFINITY}, // no prediction above 17
    [CLIFF] = {.name = "cliff", .start = 100, .max = INFINITY}, // harm between 150 and 300 only
    [ZERO] = {.name = "zero", .start = 0, .max = 100},
    [CRASH] = {.name = "crash", .start = 1, .max = INFINITY}, // the process ends above 4
};

struct formula {
    double at[PARAMETERS];
    int sets, crash;
};

static int set(void *user, int i, double x)
{
    struct formula *m = user;
    m->sets++;
    for (int k = 0; k < PARAMETERS; k++)
        m->at[k] = k == i ? x : parameters[k].start;
    return fmod(log2(m->at[POWER]), 1) != 0 ? -1 : 0;
}

static int predict(void *user, int row, struct prediction *out, struct err *e)
{
    const struct formula *m = user;
    const double *at = m->at;
    *out = (struct prediction){.value = 1};
    if (m->crash && at[CRASH] > 4)
        _exit(3);
    switch (row) {
    case 0:
        out->value = 50 + 5 * at[LINEAR]; // half of it, so +-10 % of the parameter is +-5 %
        break;
    case 1:
        out->is_text = true;
        snprintf(out->text, sizeof out->text, at[SWITCH] < 3.1 ? "gpu-only" : "npu-only");
        break;
    case 2:
        out->value = 0.001 * (at[SHARE] - 0.9) + (at[POWER] > 200 ? 1 : 0); // of a scale of 1
        break;
    case 3:
        if (at[BREAKS] > 17)
            return err_set(e, ERR_UNSUPPORTED, "too much");
        out->value = at[CLIFF] > 150 && at[CLIFF] < 300 ? 2 : 1 + 1e-5 * (at[CLIFF] - 100);
        break;
    default:
        return err_set(e, ERR_UNSUPPORTED, "never");
    }
    return 0;
}

static struct sensitivity_result run(int jobs, struct formula *m, int n, const bool *except)
{
    static const double scale[ROWS] = {0, 0, 1, 0, 0};
    struct err e = {0};
    struct sensitivity_result r;
    struct sensitivity_problem p = {.n = n,
                                    .m = ROWS,
                                    .parameter = parameters,
                                    .scale = scale,
                                    .except = except,
                                    .set = set,
                                    .predict = predict,
                                    .user = m,
                                    .tolerance = 0.05,
                                    .jobs = jobs};
    CHECK_OK(sensitivity_run(&p, &r, &e), &e);
    return r;
}

static void within(double x, double low, double high)
{
    if (!CHECK(x >= low && x <= high))
        test_note("%.6g, expected %.6g to %.6g", x, low, high);
}

static void test_moves(void)
{
    struct formula m = {0};
    struct sensitivity_result r = run(0, &m, CRASH, NULL);
    static const double linear[] = {43.75, 25, 10, 12.5, 50, 350}; // percent of 100
    for (int f = 0; f < SENSITIVITY_FACTORS; f++) {
        const struct sensitivity *y = r.parameter;
        CHECK_NEAR(y[LINEAR].move[f].percent, linear[f], 1e-9);
        CHECK_INT(y[LINEAR].move[f].row, 0);
        CHECK_INT(y[LINEAR].move[f].strategies, 0);
        CHECK_INT(y[SWITCH].move[f].strategies, f >= 4);
        CHECK_NEAR(y[SWITCH].move[f].percent, 0, 0);
        CHECK_INT(y[SWITCH].move[f].row, -1);
        CHECK_INT(y[ZERO].move[f].state, SENSITIVITY_SAME);
    }
    CHECK_NEAR(r.parameter[LINEAR].percent, 50, 1e-9); // within x0.5 to x2
    CHECK_INT(r.parameter[LINEAR].row, 0);
    CHECK(isinf(r.parameter[BREAKS].move[5].percent));
    CHECK_INT(r.parameter[BREAKS].move[5].row, 3);
    CHECK_NEAR(r.parameter[BREAKS].percent, 0, 0);
    CHECK(r.parameter[NOTHING].unmoved && r.parameter[ZERO].unmoved);
    CHECK(!r.parameter[SWITCH].unmoved && !r.parameter[BREAKS].unmoved);
    // Row 4 never has a prediction: it takes part in nothing.
    CHECK_INT(r.failed, 1);
    CHECK(r.known[0] && !r.known[4]);
    CHECK_NEAR(r.base[0].value, 100, 0);
    sensitivity_fini(&r);
}

static void test_ranges(void)
{
    struct formula m = {0};
    struct sensitivity_result r = run(0, &m, CRASH, NULL);
    const struct sensitivity *y = r.parameter;
    within(y[LINEAR].low, 9, 9 * 1.05);
    within(y[LINEAR].high, 11 / 1.05, 11);
    within(y[SWITCH].low, 0.25, 0.25);
    within(y[SWITCH].high, 3.1 / 1.05, 3.1);
    within(y[BREAKS].high, 17 / 1.05, 17);
    within(y[CLIFF].high, 150 / 1.05, 150); // what is harmless again behind it does not count
    CHECK(y[SWITCH].low_end && !y[SWITCH].high_end && !y[LINEAR].low_end);
    CHECK(y[NOTHING].low_end && y[NOTHING].high_end);
    CHECK_NEAR(y[NOTHING].low, 7.0 / 8, 0);
    CHECK_NEAR(y[NOTHING].high, 56, 0);
    sensitivity_fini(&r);
}

// A limit of the parameter is kept; a value without a model is passed over.
static void test_limits(void)
{
    struct formula m = {0};
    struct sensitivity_result r = run(0, &m, CRASH, NULL);
    const struct sensitivity *y = r.parameter;
    CHECK_NEAR(y[SHARE].move[5].value, 1, 0);
    CHECK_NEAR(y[SHARE].move[5].percent, 0.01, 1e-9); // relative to the scale
    CHECK_NEAR(y[SHARE].high, 1, 0);
    CHECK(y[SHARE].high_end);
    CHECK_INT(y[POWER].move[2].state, SENSITIVITY_IMPOSSIBLE);
    CHECK_INT(y[POWER].move[3].state, SENSITIVITY_IMPOSSIBLE);
    CHECK_NEAR(y[POWER].move[4].value, 128, 0);
    CHECK_NEAR(y[POWER].move[4].percent, 0, 0);
    CHECK_NEAR(y[POWER].low, 8, 0);
    CHECK_NEAR(y[POWER].high, 128, 0); // 256 does harm
    CHECK(!y[POWER].high_end);
    sensitivity_fini(&r);
}

static void test_order(void)
{
    struct formula m = {0};
    struct sensitivity_result r = run(0, &m, CRASH, NULL);
    static const int order[] = {CLIFF, LINEAR, SHARE, SWITCH, BREAKS, POWER, NOTHING, ZERO};
    for (int k = 0; k < CRASH; k++)
        CHECK_INT(r.order[k], order[k]);
    sensitivity_fini(&r);
}

// What moves nothing at the ends is not looked at between.
static void test_cost(void)
{
    struct formula m = {0};
    bool except[ROWS] = {true, true, false, true, false};
    struct sensitivity_result r = run(0, &m, 3, except);
    CHECK_INT(m.sets, 1 + 3 * 2);
    CHECK(r.parameter[LINEAR].unmoved); // its row is left out
    CHECK(!r.known[0] && r.known[2]);
    sensitivity_fini(&r);
}

static void test_workers(void)
{
    struct formula m = {0};
    struct sensitivity_result a = run(0, &m, CRASH, NULL), b = run(3, &m, CRASH, NULL);
    for (int i = 0; i < CRASH; i++) {
        const struct sensitivity *x = &a.parameter[i], *y = &b.parameter[i];
        CHECK_INT(a.order[i], b.order[i]);
        CHECK(x->low == y->low && x->high == y->high && x->percent == y->percent);
        for (int f = 0; f < SENSITIVITY_FACTORS; f++)
            CHECK(x->move[f].percent == y->move[f].percent && x->move[f].row == y->move[f].row);
    }
    sensitivity_fini(&a);
    sensitivity_fini(&b);
    m.crash = 1;
    a = run(2, &m, PARAMETERS, NULL);
    CHECK_HAS(a.parameter[CRASH].crashed, "status 3");
    CHECK_STR(a.parameter[LINEAR].crashed, "");
    CHECK_NEAR(a.parameter[LINEAR].percent, 50, 1e-9);
    sensitivity_fini(&a);
}

static void test_stop(void)
{
    volatile sig_atomic_t stop = 1;
    struct formula m = {0};
    struct err e = {0};
    struct sensitivity_result r;
    struct sensitivity_problem p = {.n = 2,
                                    .m = ROWS,
                                    .parameter = parameters,
                                    .set = set,
                                    .predict = predict,
                                    .user = &m,
                                    .tolerance = 0.05,
                                    .jobs = 2,
                                    .stop = &stop};
    CHECK_OK(sensitivity_run(&p, &r, &e), &e);
    CHECK(r.interrupted);
    sensitivity_fini(&r);
}

TESTS(explore_sensitivity, T(test_moves), T(test_ranges), T(test_limits), T(test_order),
      T(test_cost), T(test_workers), T(test_stop))
