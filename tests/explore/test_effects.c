// SPDX-License-Identifier: GPL-3.0-or-later
// Shares of variance against values that were computed by hand.
#include "explore/effects.h"
#include <math.h>
#include "tests/harness.h"

static void test_two_choices(void)
{
    // Mean 4; means of the choices 2 and 6: between 2*4 + 2*4 = 16, total 9 + 1 + 1 + 9 = 20.
    double y[] = {1, 3, 5, 7};
    int c[] = {0, 0, 1, 1};
    struct effect_choice by[2];
    struct effect e;
    effect_of(y, c, 4, 2, by, &e);
    CHECK_NEAR(e.share, 0.8, 1e-15);
    CHECK_NEAR(e.mean, 4, 0);
    CHECK_NEAR(e.spread, 4, 0);
    CHECK_INT(e.n, 4);
    CHECK_INT(e.groups, 2);
    CHECK_INT(e.best, 0);
    CHECK_NEAR(by[0].mean, 2, 0);
    CHECK_NEAR(by[1].mean, 6, 0);
    CHECK_NEAR(by[1].best, 5, 0);
    CHECK_INT(by[1].best_at, 2);
}

static void test_unequal_groups(void)
{
    // {1, 2, 3}, {4, 5}, {9}: mean 4, means 2, 4.5, 9; between 3*4 + 2*0.25 + 25 = 37.5, total 9 +
    // 4 + 1 + 0 + 1 + 25 = 40.
    double y[] = {9, 1, 4, 2, 5, 3};
    int c[] = {2, 0, 1, 0, 1, 0};
    struct effect_choice by[4];
    struct effect e;
    effect_of(y, c, 6, 4, by, &e);
    CHECK_NEAR(e.share, 0.9375, 1e-15);
    CHECK_NEAR(e.spread, 7, 1e-15);
    CHECK_INT(e.groups, 3);
    CHECK_INT(by[3].n, 0); // a choice that nobody made
    CHECK(isnan(by[3].mean) && isnan(by[3].best));
    CHECK_INT(by[3].best_at, -1);
}

// Where the parameter does not apply, and where nothing is known, a point does not count.
static void test_left_out(void)
{
    double y[] = {1, 3, 5, 7, 1000, NAN, -50};
    int c[] = {0, 0, 1, 1, -1, 0, -1};
    struct effect_choice by[2];
    struct effect e;
    effect_of(y, c, 7, 2, by, &e);
    CHECK_INT(e.n, 4);
    CHECK_NEAR(e.share, 0.8, 1e-15);
    CHECK_NEAR(by[0].best, 1, 0);
}

static void test_all_and_nothing(void)
{
    double apart[] = {2, 2, 3, 3}, same[] = {0.1, 0.1, 0.1, 0.1}, crossed[] = {1, 2, 1, 2};
    int c[] = {0, 0, 1, 1}, one[] = {1, 1, 1, 1}, none[] = {-1, -1, -1, -1};
    struct effect_choice by[2];
    struct effect e;
    effect_of(apart, c, 4, 2, by, &e);
    CHECK_NEAR(e.share, 1, 1e-15);
    effect_of(crossed, c, 4, 2, by, &e);
    CHECK_NEAR(e.share, 0, 1e-15);
    effect_of(same, c, 4, 2, by, &e);
    CHECK(isnan(e.share)); // nothing varies
    CHECK_NEAR(e.spread, 0, 1e-15);
    effect_of(apart, one, 4, 2, by, &e);
    CHECK(isnan(e.share)); // one choice explains nothing
    CHECK_INT(e.best, 1);
    effect_of(apart, none, 4, 2, by, &e);
    CHECK(isnan(e.share) && isnan(e.mean) && isnan(e.spread));
    CHECK_INT(e.best, -1);
}

// The first of equal points is best, so that the order of points decides and nothing else.
static void test_ties(void)
{
    double y[] = {4, 1, 1, 1};
    int c[] = {0, 1, 0, 1};
    struct effect_choice by[2];
    struct effect e;
    effect_of(y, c, 4, 2, by, &e);
    CHECK_INT(e.best, 0);
    CHECK_INT(by[0].best_at, 2);
    CHECK_INT(by[1].best_at, 1);
}

TESTS(explore_effects, T(test_two_choices), T(test_unequal_groups), T(test_left_out),
      T(test_all_and_nothing), T(test_ties))
