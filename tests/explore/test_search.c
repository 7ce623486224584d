// SPDX-License-Identifier: GPL-3.0-or-later
// The contract that every registered searcher keeps, on spaces of all shapes and with outcomes of
// all kinds.
#include "explore/search.h"
#include <stdio.h>
#include "tests/explore/searching.h"

enum { MOST = 500 };

// --- spaces

// a in {0,1,2}; b (4 choices) only for a = 1; c (3) only for a = 2; d (2) always; and the point
// a = 0, d = 1 is infeasible. Canonical: a=0: 1; a=1: 4 * 2; a=2: 3 * 2 = 15.
static bool conditional(const void *user, struct search_point *p)
{
    (void)user;
    if (p->choice[0] != 1)
        p->choice[1] = SEARCH_UNUSED;
    if (p->choice[0] != 2)
        p->choice[2] = SEARCH_UNUSED;
    return !(p->choice[0] == 0 && p->choice[3] == 1);
}

static bool anything(const void *user, struct search_point *p)
{
    (void)user, (void)p;
    return true;
}

static bool nothing(const void *user, struct search_point *p)
{
    (void)user, (void)p;
    return false;
}

static bool every_seventh(const void *user, struct search_point *p)
{
    const struct problem *b = user;
    int sum = 0;
    for (int i = 0; i < b->view.n_params; i++)
        sum += p->choice[i] * (i + 1);
    return sum % 7 == 3;
}

// --- outcomes

static double formula(const struct problem *b, const struct search_point *p, int j)
{
    double sum = 1;
    for (int i = 0; i < b->view.n_params; i++)
        sum += (1 + (i + j) % 3) * fabs(p->choice[i] - 0.3 * (i + 1) - j);
    return sum + 0.01 * p->level;
}

static void good(const struct problem *b, const struct search_point *p, struct search_outcome *o)
{
    *o = (struct search_outcome){.ok = true};
    for (int j = 0; j < b->view.n_objectives; j++)
        o->objective[j] = formula(b, p, j);
}

static void failed(const struct problem *b, const struct search_point *p, struct search_outcome *o)
{
    (void)b, (void)p;
    *o = (struct search_outcome){.ok = false};
    for (int j = 0; j < SEARCH_MAX_OBJECTIVES; j++)
        o->objective[j] = (double)NAN;
}

static void violated(const struct problem *b, const struct search_point *p,
                     struct search_outcome *o)
{
    good(b, p, o);
    o->violation = formula(b, p, 1);
}

static void unknown(const struct problem *b, const struct search_point *p, struct search_outcome *o)
{
    failed(b, p, o);
    o->ok = true;
}

static void all_zero(const struct problem *b, const struct search_point *p,
                     struct search_outcome *o)
{
    (void)b, (void)p;
    *o = (struct search_outcome){.ok = true};
}

static void mixed(const struct problem *b, const struct search_point *p, struct search_outcome *o)
{
    int which = 0;
    for (int i = 0; i < b->view.n_params; i++)
        which += (i + 2) * (p->choice[i] + 1);
    good(b, p, o);
    if (which % 5 == 0)
        failed(b, p, o);
    else if (which % 5 == 1)
        o->violation = which;
    else if (which % 5 == 2)
        o->objective[0] = (double)NAN;
}

static const struct {
    const char *name;
    void (*evaluate)(const struct problem *b, const struct search_point *p,
                     struct search_outcome *o);
} outcomes[] = {{"good", good},       {"failed", failed},     {"violated", violated},
                {"unknown", unknown}, {"all zero", all_zero}, {"mixed", mixed}};
enum { OUTCOMES = sizeof outcomes / sizeof outcomes[0] };

static const struct {
    const char *name;
    int points; // 0: too many to count
    struct search_space view;
} spaces[] = {
    {"conditional", 15, {4, {3, 4, 3, 2}, {false}, 1, 1, conditional, NULL}},
    {"one objective, ordered", 30, {2, {10, 3}, {true, true}, 1, 1, anything, NULL}},
    {"one parameter", 7, {1, {7}, {true}, 2, 1, anything, NULL}},
    {"one point", 1, {1, {1}, {false}, 3, 1, anything, NULL}},
    {"no feasible point", 0, {3, {4, 4, 4}, {false}, 2, 1, nothing, NULL}},
    {"sparse", 64, {4, {6, 5, 5, 3}, {true, false, true}, 3, 1, every_seventh, NULL}},
    {"two levels", 15, {4, {3, 4, 3, 2}, {false}, 2, 2, conditional, NULL}},
    {"four levels", 100, {2, {20, 5}, {true}, 2, 4, anything, NULL}},
};
enum { SPACES = sizeof spaces / sizeof spaces[0] };

static struct problem problem_of(int space, int outcome)
{
    return (struct problem){.view = spaces[space].view, .evaluate = outcomes[outcome].evaluate};
}

// Every asked point is canonical, feasible, of a level that there is, and new.
static void check_points(const struct problem *b, const struct trial *t)
{
    int bad = 0, twice = 0, n = b->view.n_params;
    for (int i = 0; i < t->n; i++) {
        struct search_point q = t->p[i];
        bad += !b->view.canonical(b, &q) || !same_point(&q, &t->p[i], n);
        bad += q.level < 0 || q.level >= b->view.n_levels;
        for (int j = 0; j < n; j++)
            bad += q.choice[j] >= b->view.n_choices[j];
        for (int j = 0; j < i; j++)
            twice += same_point(&t->p[i], &t->p[j], n);
    }
    CHECK_INT(bad, 0);
    CHECK_INT(twice, 0);
}

static void test_every_searcher(void)
{
    for (size_t i = 0; i < search_registry_count; i++) {
        const char *name = search_registry[i]->name;
        for (int s = 0; s < SPACES; s++)
            for (int o = 0; o < OUTCOMES; o++) {
                struct problem b = problem_of(s, o);
                struct trial t = search_problem(&b, name, 1, 64, MOST);
                test_note("%s, %s, %s: %d points", name, spaces[s].name, outcomes[o].name, t.n);
                check_points(&b, &t);
                if (t.refused) {
                    CHECK(t.why[0] != 0);
                    CHECK(!strcmp(name, "halving") && b.view.n_levels == 1);
                } else {
                    CHECK(t.done); // all these spaces end
                }
                int last = 0;
                for (int k = 0; k < t.n; k++)
                    last += t.p[k].level == b.view.n_levels - 1;
                if (strcmp(name, "null") && strcmp(name, "halving"))
                    CHECK_INT(last, spaces[s].points); // none is left out
                trial_fini(&t);
            }
    }
}

// What is asked depends on the seed and on what was told, not on when it was told.
static void test_windows_and_seeds(void)
{
    static const int windows[] = {1, 3, 17};
    for (size_t i = 0; i < search_registry_count; i++)
        for (int s = 0; s < SPACES; s++) {
            struct problem b = problem_of(s, OUTCOMES - 1);
            const char *name = search_registry[i]->name;
            struct trial t = search_problem(&b, name, 5, 64, MOST), u;
            test_note("%s, %s", name, spaces[s].name);
            for (int w = 0; w < 3; w++) {
                u = search_problem(&b, name, 5, windows[w], MOST);
                CHECK(same_trial(&t, &u, b.view.n_params));
                trial_fini(&u);
            }
            u = search_problem(&b, name, 6, 64, MOST);
            bool other = !same_trial(&t, &u, b.view.n_params);
            if (t.n >= 30 && strcmp(name, "exhaustive"))
                CHECK(other);
            trial_fini(&u);
            trial_fini(&t);
        }
}

// 64 parameters of three choices: more points than there are atoms in a stone.
static void test_many_parameters(void)
{
    struct problem b = {.view = {.n_params = SEARCH_MAX_PARAMS,
                                 .n_objectives = 2,
                                 .n_levels = 2,
                                 .canonical = anything},
                        .evaluate = mixed};
    for (int i = 0; i < SEARCH_MAX_PARAMS; i++) {
        b.view.n_choices[i] = 3;
        b.view.ordered[i] = i % 2;
    }
    for (size_t i = 0; i < search_registry_count; i++) {
        const char *name = search_registry[i]->name;
        struct trial t = search_problem(&b, name, 2, 64, 400);
        test_note("%s: %d points", name, t.n);
        if (!strcmp(name, "sobol")) { // GSL would return zeros beyond 40 dimensions
            CHECK(t.refused);
            CHECK_HAS(t.why, "up to 64 parameters, the sequence has 40 dimensions");
        } else {
            CHECK(!t.refused);
            CHECK_INT(t.n, strcmp(name, "null") ? 400 : 0);
        }
        check_points(&b, &t);
        trial_fini(&t);
    }
    // As many options, but of policies that exclude each other: they share dimensions.
    b.view.canonical = conditional;
    for (int i = 40; i < SEARCH_MAX_PARAMS; i++)
        b.view.n_choices[i] = 1;
    b.view.n_choices[40] = 2; // 41 parameters, of which any point has at most 40
    struct trial t = search_problem(&b, "sobol", 2, 64, 400);
    CHECK(!t.refused);
    CHECK_INT(t.n, 400);
    trial_fini(&t);
}

static void test_exhaustive(void)
{
    struct problem b = problem_of(0, 0);
    struct trial t = search_problem(&b, "exhaustive", 0, 64, MOST);
    // Against all vectors made canonical: each one is there.
    for (int i = 0; i < 3 * 4 * 3 * 2; i++) {
        struct search_point q = {.choice = {i % 3, i / 3 % 4, i / 12 % 3, i / 36}};
        bool found = !conditional(NULL, &q);
        for (int j = 0; j < t.n && !found; j++)
            found = same_point(&t.p[j], &q, 4);
        CHECK(found);
    }
    trial_fini(&t);
}

// Latin hypercube: every stratum of an ordered parameter once in each hypercube, every choice of
// the others equally often in each run of 12 points.
static void test_lhs_is_even(void)
{
    struct problem b = {.view = {.n_params = 3,
                                 .n_choices = {3, 4, 10000},
                                 .ordered = {false, false, true},
                                 .n_objectives = 1,
                                 .n_levels = 1,
                                 .canonical = anything},
                        .evaluate = good};
    struct trial t = search_problem(&b, "lhs:points=20", 3, 64, 60);
    for (int begin = 0; begin < 60; begin += 20) {
        int count[3][20] = {{0}};
        for (int i = begin; i < begin + 20; i++)
            count[2][t.p[i].choice[2] / 500]++;
        for (int k = 0; k < 20; k++)
            CHECK_INT(count[2][k], 1); // every stratum once
    }
    for (int begin = 0; begin < 60; begin += 12) {
        int count[2][4] = {{0}};
        for (int i = begin; i < begin + 12; i++) {
            count[0][t.p[i].choice[0]]++;
            count[1][t.p[i].choice[1]]++;
        }
        for (int k = 0; k < 4; k++) {
            CHECK_INT(count[1][k], 3);
            CHECK_INT(count[0][k], k < 3 ? 4 : 0);
        }
    }
    trial_fini(&t);
}

// Sobol: 64 points of a plane lie one in each cell of an 8 x 8 grid, whatever the seed; as many
// random ones leave about a third of the cells empty.
static void test_sobol_is_even(void)
{
    struct problem b = {.view = {.n_params = 2,
                                 .n_choices = {1024, 1024},
                                 .ordered = {true, true},
                                 .n_objectives = 1,
                                 .n_levels = 1,
                                 .canonical = anything},
                        .evaluate = good};
    static const char *const name[] = {"sobol", "random"};
    int filled[2] = {0};
    for (int k = 0; k < 2; k++) {
        bool cell[64] = {false};
        struct trial t = search_problem(&b, name[k], 3, 64, 64);
        for (int i = 0; i < t.n; i++)
            cell[t.p[i].choice[0] / 128 * 8 + t.p[i].choice[1] / 128] = true;
        for (int i = 0; i < 64; i++)
            filled[k] += cell[i];
        trial_fini(&t);
    }
    test_note("filled: sobol %d, random %d", filled[0], filled[1]);
    CHECK_INT(filled[0], 64);
    CHECK(filled[1] < 50);
}

static void test_errors(void)
{
    static const struct {
        const char *spec, *says;
    } bad[] = {
        {"exhaustve", "did you mean \"exhaustive\"?"},
        {"zzz", "unknown searcher \"zzz\"; see `partita list searchers`"},
        {"exhaustive:budget=3", "unknown key 'budget'"},
        {"nsga2:population=3", "population"},
        {"hill:objective=best", "objective"},
    };
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct search_ops *ops;
        const void *options;
        struct err e = {0};
        char text[600];
        CHECK(search_parse(bad[i].spec, &a, &ops, &options, &e) < 0);
        CHECK_HAS(err_text(&e, text, sizeof text), bad[i].says);
    }
    arena_fini(&a);
    // Objectives that the space does not have; a space without levels.
    static const char *const one_value[] = {"hill", "coordinate", "anneal", "bayes"};
    struct problem b = problem_of(0, 0);
    for (size_t i = 0; i < sizeof one_value / sizeof one_value[0]; i++) {
        char spec[64];
        snprintf(spec, sizeof spec, "%s:objective=second", one_value[i]);
        struct trial t = search_problem(&b, spec, 0, 64, 10);
        CHECK(t.refused);
        CHECK_HAS(t.why, "objective=second, but the space has 1 objective");
        trial_fini(&t);
    }
    struct trial t = search_problem(&b, "halving", 0, 64, 10);
    CHECK(t.refused);
    CHECK_HAS(t.why, "one level of detail");
    trial_fini(&t);
}

TESTS(explore_search, T(test_exhaustive), T(test_every_searcher), T(test_windows_and_seeds),
      T(test_many_parameters), T(test_lhs_is_even), T(test_sobol_is_even), T(test_errors))
