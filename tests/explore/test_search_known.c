// SPDX-License-Identifier: GPL-3.0-or-later
// What searchers find, where the optimum is known: conditional spaces with one best point, the
// benchmark problems ZDT (Zitzler, Deb, Thiele, "Comparison of multiobjective evolutionary
// algorithms: empirical results", 2000) and DTLZ (Deb, Thiele, Laumanns, Zitzler, "Scalable
// multi-objective optimization test problems", 2002) on a grid, and levels of detail.
#include <math.h>
#include <stdio.h>
#include "explore/hypervolume.h"
#include "tests/explore/searching.h"

enum { SEEDS = 11 };

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, ascending);
    return v[n / 2];
}

// --- one best point in a conditional space

// Six policies (unordered) of three options each: two ordered of 9 and an unordered of 4; a scheme
// (4) with an ordered option of 9 in its schemes 1 and 3; a clock of 7. Canonical points:
// 6 * 9 * 9 * 4 * (1 + 9 + 1 + 9) * 7 = 272160.
enum { POLICIES = 6, SCHEME = 1 + 3 * POLICIES, CLOCK = SCHEME + 3 };

static bool options_of(const void *user, struct search_point *p)
{
    (void)user;
    for (int i = 0; i < POLICIES; i++)
        for (int j = 0; j < 3 && p->choice[0] != i; j++)
            p->choice[1 + 3 * i + j] = SEARCH_UNUSED;
    if (p->choice[SCHEME] != 1)
        p->choice[SCHEME + 1] = SEARCH_UNUSED;
    if (p->choice[SCHEME] != 3)
        p->choice[SCHEME + 2] = SEARCH_UNUSED;
    return true;
}

static double bowl(int at, int n, double low)
{
    double x = (double)at / (n - 1) - low;
    return x * x;
}

// Objective 0 is least (1) for policy 4 with options (6, 2, 1), scheme 3 with 5, clock 5; every
// part counts. Objective 1 likes slow clocks. Clocks above 5 violate a constraint, policy 2 fails.
static void configuration(const struct problem *b, const struct search_point *p,
                          struct search_outcome *o)
{
    static const double of_policy[POLICIES] = {3, 1.5, 0, 1.4, 1, 2};
    const int *c = p->choice, *own = &p->choice[1 + 3 * p->choice[0]];
    (void)b;
    *o = (struct search_outcome){.ok = c[0] != 2, .violation = c[CLOCK] > 5 ? c[CLOCK] - 5 : 0};
    double v = of_policy[c[0]];
    v += bowl(own[0], 9, 0.125 + 0.125 * c[0] + 0.125 * (c[0] == 4)) + bowl(own[1], 9, 0.25);
    v += own[2] == 1 ? 0 : 0.3;
    v += c[SCHEME] == 0 ? 0.4 : c[SCHEME] == 2 ? 0.6 : 0;
    v += c[SCHEME] == 1 ? 0.2 + bowl(c[SCHEME + 1], 9, 0.5) : 0;
    v += c[SCHEME] == 3 ? bowl(c[SCHEME + 2], 9, 0.625) : 0;
    o->objective[0] = v + 0.1 * (5 - c[CLOCK] > 0 ? 5 - c[CLOCK] : 0);
    o->objective[1] = 1 + v / 4 + 0.2 * c[CLOCK];
}

static struct problem configuration_problem(int n_objectives)
{
    struct problem b = {.view = {.n_params = CLOCK + 1,
                                 .n_objectives = n_objectives,
                                 .n_levels = 1,
                                 .canonical = options_of},
                        .evaluate = configuration};
    b.view.n_choices[0] = POLICIES;
    for (int i = 1; i < SCHEME; i++) {
        b.view.n_choices[i] = i % 3 ? 9 : 4;
        b.view.ordered[i] = i % 3;
    }
    b.view.n_choices[SCHEME] = 4;
    b.view.n_choices[SCHEME + 1] = b.view.n_choices[SCHEME + 2] = 9;
    b.view.n_choices[CLOCK] = 7;
    b.view.ordered[SCHEME + 1] = b.view.ordered[SCHEME + 2] = b.view.ordered[CLOCK] = true;
    return b;
}

static double median_least(const struct problem *b, const char *spec, int budget, int j, int seeds)
{
    double best[SEEDS];
    for (int i = 0; i < seeds; i++) {
        struct trial t = search_problem(b, spec, (uint64_t)i, 64, budget);
        best[i] = least(b, &t, budget, j);
        trial_fini(&t);
    }
    return median(best, seeds);
}

static void test_best_point(void)
{
    static const struct {
        const char *spec;
        int budget;
        double at_most;
    } t[] = {
        {"coordinate", 200, 1}, {"hill", 300, 1},     {"anneal", 1000, 1},
        {"bayes", 250, 1.05},   {"nsga2", 600, 1.05}, // of 272160 points
    };
    struct problem b = configuration_problem(1);
    double random = median_least(&b, "random", 1000, 0, SEEDS);
    test_note("random %g", random);
    CHECK(random > 1.1);
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        double v = median_least(&b, t[i].spec, t[i].budget, 0, SEEDS);
        test_note("%s: %g after %d", t[i].spec, v, t[i].budget);
        CHECK(v >= 1 - 1e-12 && v <= t[i].at_most + 1e-12);
    }
}

// The second of two objectives, and the best compromise.
static void test_aims(void)
{
    struct problem b = configuration_problem(2);
    static const char *const name[] = {"coordinate", "hill", "anneal", "bayes"};
    for (int i = 0; i < 4; i++) {
        char second[64], score[64];
        snprintf(second, sizeof second, "%s:objective=second", name[i]);
        snprintf(score, sizeof score, "%s:objective=score", name[i]);
        const double least_second = 1.25; // the best configuration at clock 0
        double a = median_least(&b, second, 300, 1, 3);
        test_note("%s: %g", second, a);
        CHECK(a < least_second * 1.05);
        // With the score neither objective is as good as alone, and neither is given up.
        double s0 = median_least(&b, score, 300, 0, 3), s1 = median_least(&b, score, 300, 1, 3);
        test_note("%s: %g %g", score, s0, s1);
        CHECK(s0 < 1.6 && s1 < least_second * 1.3);
    }
}

// --- ZDT and DTLZ

enum { GRID = 21, GRID4 = 41 };

static double x_of(const struct problem *b, const struct search_point *p, int i)
{
    return (double)p->choice[i] / (b->view.n_choices[i] - 1);
}

static double mean_rest(const struct problem *b, const struct search_point *p)
{
    double sum = 0;
    for (int i = 1; i < b->view.n_params; i++)
        sum += x_of(b, p, i);
    return sum / (b->view.n_params - 1);
}

static void zdt1(const struct problem *b, const struct search_point *p, struct search_outcome *o)
{
    double x = x_of(b, p, 0), g = 1 + 9 * mean_rest(b, p);
    *o = (struct search_outcome){.ok = true, .objective = {x, g * (1 - sqrt(x / g))}};
}

static void zdt2(const struct problem *b, const struct search_point *p, struct search_outcome *o)
{
    double x = x_of(b, p, 0), g = 1 + 9 * mean_rest(b, p);
    *o = (struct search_outcome){.ok = true, .objective = {x, g * (1 - x / g * (x / g))}};
}

static void zdt3(const struct problem *b, const struct search_point *p, struct search_outcome *o)
{
    double x = x_of(b, p, 0), g = 1 + 9 * mean_rest(b, p);
    double h = 1 - sqrt(x / g) - x / g * sin(10 * M_PI * x);
    *o = (struct search_outcome){.ok = true, .objective = {x, g * h}};
}

// Many local fronts: the grid has the hills (multiples of 0.25 in -5 .. 5) as well as the valleys.
static void zdt4(const struct problem *b, const struct search_point *p, struct search_outcome *o)
{
    double x = x_of(b, p, 0), g = 1 + 10 * (b->view.n_params - 1);
    for (int i = 1; i < b->view.n_params; i++) {
        double y = 10 * x_of(b, p, i) - 5;
        g += y * y - 10 * cos(4 * M_PI * y);
    }
    *o = (struct search_outcome){.ok = true, .objective = {x, g * (1 - sqrt(x / g))}};
}

static void zdt6(const struct problem *b, const struct search_point *p, struct search_outcome *o)
{
    double x = x_of(b, p, 0), g = 1 + 9 * pow(mean_rest(b, p), 0.25);
    double f = 1 - exp(-4 * x) * pow(sin(6 * M_PI * x), 6);
    *o = (struct search_outcome){.ok = true, .objective = {f, g * (1 - f / g * (f / g))}};
}

static void dtlz1(const struct problem *b, const struct search_point *p, struct search_outcome *o)
{
    double x = x_of(b, p, 0), y = x_of(b, p, 1), g = b->view.n_params - 2;
    for (int i = 2; i < b->view.n_params; i++) {
        double z = x_of(b, p, i) - 0.5;
        g += z * z - cos(20 * M_PI * z);
    }
    g = 0.5 * (1 + 100 * g);
    *o =
        (struct search_outcome){.ok = true, .objective = {g * x * y, g * x * (1 - y), g * (1 - x)}};
}

static void dtlz2(const struct problem *b, const struct search_point *p, struct search_outcome *o)
{
    double x = x_of(b, p, 0) * M_PI / 2, y = x_of(b, p, 1) * M_PI / 2, g = 1;
    for (int i = 2; i < b->view.n_params; i++)
        g += (x_of(b, p, i) - 0.5) * (x_of(b, p, i) - 0.5);
    *o = (struct search_outcome){
        .ok = true, .objective = {g * cos(x) * cos(y), g * cos(x) * sin(y), g * sin(x)}};
}

static bool anything(const void *user, struct search_point *p)
{
    (void)user, (void)p;
    return true;
}

static const struct {
    const char *name;
    void (*evaluate)(const struct problem *b, const struct search_point *p,
                     struct search_outcome *o);
    int n_params, n_choices, free, rest; // free parameters of the front, choice of the others there
    int budget;
    double share; // of the front's hypervolume that is reached
    double
        pagmo; // hypervolume of the whole front by PaGMO 2.18.0, of its points within the reference
} benchmark[] = {
    {"ZDT1", zdt1, 30, GRID, 1, 0, 5000, 0.95, 0.84944659142664203},
    {"ZDT2", zdt2, 30, GRID, 1, 0, 5000, 0.95, 0.51875000000000016},
    {"ZDT3", zdt3, 30, GRID, 1, 0, 5000, 0.95, 1.0493668984428171},
    {"ZDT4", zdt4, 10, GRID4, 1, GRID4 / 2, 4000, 0.95, 0.86337096567353122},
    {"ZDT6", zdt6, 10, GRID, 1, 0, 3000, 0.95, 0.20865579969762527},
    {"DTLZ1", dtlz1, 7, GRID, 2, GRID / 2, 5000, 0.95, 0.14283203125000007},
    {"DTLZ2", dtlz2, 12, GRID, 2, GRID / 2, 3000, 0.95, 0.77434941034016991},
};

static double share_of(const struct problem *b, const char *spec, int budget, const double *front,
                       int n_front)
{
    double *v = calloc((size_t)budget * 3, sizeof *v), share[3];
    for (int seed = 0; seed < 3; seed++) {
        struct trial t = search_problem(b, spec, (uint64_t)seed, 64, budget);
        int n = values(b, &t, v);
        share[seed] = hypervolume_share(v, n, front, n_front, b->view.n_objectives);
        trial_fini(&t);
    }
    free(v);
    return median(share, 3);
}

static void test_benchmarks(void)
{
    static double front[GRID * GRID * 3];
    for (size_t i = 0; i < sizeof benchmark / sizeof benchmark[0]; i++) {
        struct problem b = {.view = {.n_params = benchmark[i].n_params,
                                     .n_objectives = 1 + benchmark[i].free,
                                     .n_levels = 1,
                                     .canonical = anything},
                            .evaluate = benchmark[i].evaluate};
        int k = b.view.n_objectives, m = benchmark[i].n_choices, n = m;
        for (int j = 0; j < b.view.n_params; j++) {
            b.view.n_choices[j] = m;
            b.view.ordered[j] = true;
        }
        n = benchmark[i].free == 2 ? n * m : n;
        for (int f = 0; f < n; f++) { // of the grid, all that can be on the front
            struct search_point p = {.choice = {f % m, f / m}};
            struct search_outcome o;
            for (int j = benchmark[i].free; j < b.view.n_params; j++)
                p.choice[j] = benchmark[i].rest;
            b.evaluate(&b, &p, &o);
            memcpy(front + f * k, o.objective, (size_t)k * sizeof *front);
        }
        double ref[3], share = share_of(&b, "nsga2", benchmark[i].budget, front, n);
        double random = share_of(&b, "random", benchmark[i].budget, front, n);
        CHECK(hypervolume_reference(front, n, k, ref));
        double whole = hypervolume(front, n, k, ref);
        test_note("%s: nsga2 %.4f, random %.4f; whole %.17g", benchmark[i].name, share, random,
                  whole);
        CHECK_NEAR(whole, benchmark[i].pagmo, 1e-12);
        CHECK(share >= benchmark[i].share);
        CHECK(share <= 1 + 1e-12);
        CHECK(random < share - 0.1);
    }
}

// Both objectives of the conditional space: a front over clocks, with a constraint and failures.
static void test_conditional_front(void)
{
    enum { BUDGET = 1500 };
    static double all[6 * 2];
    struct problem b = configuration_problem(2);
    for (int clock = 0; clock <= 5; clock++) {
        struct search_point p = {.choice = {4, [13] = 6, 2, 1, [SCHEME] = 3, 0, 5, clock}};
        struct search_outcome o;
        CHECK(options_of(NULL, &p));
        configuration(&b, &p, &o);
        memcpy(all + 2 * clock, o.objective, sizeof o.objective[0] * 2);
    }
    double nsga2 = share_of(&b, "nsga2", BUDGET, all, 6),
           bayes = share_of(&b, "bayes", 300, all, 6);
    double random = share_of(&b, "random", BUDGET, all, 6);
    test_note("nsga2 %.4f, bayes %.4f, random %.4f", nsga2, bayes, random);
    CHECK(nsga2 >= 0.97);
    CHECK(bayes >= 0.9);
    CHECK(random < 0.5);
}

// --- levels of detail

// The estimate of a lower level is off by up to 8 % (level 0) and 2 % (level 1), in a way that
// looks like chance.
static void estimated(const struct problem *b, const struct search_point *p,
                      struct search_outcome *o)
{
    static const double off[] = {0.08, 0.02, 0};
    uint64_t mix = 88172645463325252u;
    for (int i = 0; i < b->view.n_params; i++) {
        mix = (mix ^ (uint64_t)(p->choice[i] + 2)) * 6364136223846793005u;
        mix ^= mix >> 29;
    }
    configuration(b, p, o);
    double error = off[p->level + (3 - b->view.n_levels)];
    for (int j = 0; j < 2; j++, mix = mix * 6364136223846793005u + 1)
        o->objective[j] *= 1 + error * ((double)(mix >> 40) / (1 << 23) - 1);
}

static void test_levels(void)
{
    enum { ALL = 6 * 3 * 3 * 2 * 8 * 7 };
    for (int levels = 2; levels <= 3; levels++) {
        struct problem b = configuration_problem(2);
        b.evaluate = estimated;
        b.view.n_levels = levels;
        for (int i = 1; i < SCHEME; i++)
            b.view.n_choices[i] = i % 3 ? 3 : 2;
        b.view.n_choices[SCHEME + 1] = b.view.n_choices[SCHEME + 2] = 3;
        struct trial whole = search_problem(&b, "exhaustive", 0, 64, ALL);
        CHECK_INT(whole.n, ALL);
        double best = least(&b, &whole, ALL, 0);
        trial_fini(&whole);
        for (int seed = 0; seed < 3; seed++) {
            struct trial t =
                search_problem(&b, "halving:objective=first", (uint64_t)seed, 64, 3 * ALL);
            int at[3] = {0}, early = 0;
            bool below = true; // each point of a level was asked at the level below before
            for (int i = 0; i < t.n; i++) {
                bool seen = t.p[i].level == 0;
                for (int j = 0; j < i && !seen; j++)
                    seen = t.p[j].level == t.p[i].level - 1 &&
                           !memcmp(t.p[i].choice, t.p[j].choice, sizeof t.p[i].choice);
                below &= seen;
                at[t.p[i].level]++;
                early += i < 200 && t.p[i].level == levels - 1;
            }
            test_note("%d levels: %d, %d, %d points; least %g of %g", levels, at[0], at[1], at[2],
                      least(&b, &t, t.n, 0), best);
            CHECK(t.done);
            CHECK(below);
            CHECK_INT(at[0], ALL);
            CHECK(at[levels - 1] > 0 && at[levels - 1] <= ALL / 10);
            CHECK_NEAR(least(&b, &t, t.n, 0), best, 0);
            CHECK(early > 0); // a small budget reaches the last level
            trial_fini(&t);
        }
    }
}

static void half_blind(const struct problem *b, const struct search_point *p,
                       struct search_outcome *o)
{
    estimated(b, p, o);
    if (p->level == 0)
        o->objective[1] = (double)NAN;
}

// The lowest level does not know the second objective; its best points are found all the same.
static void test_blind_level(void)
{
    struct problem b = configuration_problem(2);
    b.view.n_levels = 3;
    for (int i = 1; i < SCHEME; i++)
        b.view.n_choices[i] = i % 3 ? 3 : 2;
    b.view.n_choices[SCHEME + 1] = b.view.n_choices[SCHEME + 2] = 3;
    b.evaluate = estimated;
    struct trial whole = search_problem(&b, "exhaustive", 0, 64, 6048);
    double best[2] = {least(&b, &whole, whole.n, 0), least(&b, &whole, whole.n, 1)};
    trial_fini(&whole);
    b.evaluate = half_blind;
    struct trial t = search_problem(&b, "halving", 1, 64, 3 * 6048);
    double found[2] = {least(&b, &t, t.n, 0), least(&b, &t, t.n, 1)};
    test_note("found %g %g, best %g %g", found[0], found[1], best[0], best[1]);
    CHECK_NEAR(found[0], best[0], 0);
    CHECK(found[1] <= best[1] * 1.02);
    trial_fini(&t);
}

TESTS(explore_search_known, T(test_best_point), T(test_aims), T(test_benchmarks),
      T(test_conditional_front), T(test_levels), T(test_blind_level))
