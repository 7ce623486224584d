// SPDX-License-Identifier: GPL-3.0-or-later
// Searchers on a real space, small enough to be evaluated whole: how much of what there is do they
// find with a tenth of the evaluations? bench/bench_search.c asks the same of larger spaces.
#include <math.h>
#include <stdlib.h>
#include "explore/evaluate.h"
#include "explore/hypervolume.h"
#include "explore/pareto.h"
#include "tests/explore/searching.h"
#include "tests/explore/util.h"

#define SPACE                                                                                      \
    "machine = \"soc:sd8gen3\"; model = \"qwen2-1.5b\"; prompt = 96; gen = 3;\n"                   \
    "objectives = [\"ttft_ms\", \"tpot_ms\", \"energy_j\"];\n"                                     \
    "policies = ({name = \"gpu_only\";}, {name = \"npu_only\";}, {name = \"cpu_only\";},\n"        \
    "  {name = \"layer\"; decode = [\"npu\", \"flexible\"];},\n"                                   \
    "  {name = \"weight_centric\"; partner = [\"gpu\", \"cpu\"];\n"                                \
    "   share = [\"0 %\", \"10 %\", \"20 %\", \"30 %\", \"40 %\"];},\n"                            \
    "  {name = \"activation_centric\"; partner = [\"gpu\", \"cpu\"]; several = [true, false];},\n" \
    "  {name = \"pipe\"; decode = [\"npu\", \"flexible\"]; sizes = ([32], [64], [128], "           \
    "[256]);},\n"                                                                                  \
    "  {name = \"chunked\"; decode = [\"npu\", \"flexible\"]; chunk = [32, 64];},\n"               \
    "  {name = \"hetero_tensor\"; parts = [4, 8, 16]; slack = [\"0 %\", \"3 %\", \"10 %\"]; "      \
    "margin = [\"0 %\", \"5 %\", \"10 %\"];});\n"                                                  \
    "syncs = ({name = \"driver\";}, {name = \"event\";},\n"                                        \
    "  {name = \"poll\"; core = [\"big\", \"little\"];},\n"                                        \
    "  {name = \"sleep_poll\"; margin = [\"20 us\", \"50 us\", \"100 us\", \"200 us\"];\n"         \
    "   granularity = [\"20 us\", \"50 us\", \"90 us\"]; core = [\"big\", \"little\"];},\n"        \
    "  {name = \"queue_order\"; margin = [\"20 us\", \"100 us\"]; core = [\"big\", "               \
    "\"little\"];});\n"

enum { MOST = 4000, SEEDS = 11 };

static struct {
    struct problem problem;
    int n, k;
    struct search_point p[MOST];
    struct search_outcome o[MOST];
    double v[MOST * SEARCH_MAX_OBJECTIVES];
} all;

// The walk of all points is in this order.
static int by_choice(const void *x, const void *y)
{
    const struct search_point *a = x, *b = y;
    for (int i = 0; i < SEARCH_MAX_PARAMS; i++)
        if (a->choice[i] != b->choice[i])
            return a->choice[i] - b->choice[i];
    return 0;
}

static void look_up(const struct problem *b, const struct search_point *p, struct search_outcome *o)
{
    const struct search_point *at = bsearch(p, all.p, (size_t)all.n, sizeof *p, by_choice);
    (void)b;
    if (CHECK(at != NULL))
        *o = all.o[at - all.p];
}

// The space's own test of points, whatever `user` a problem is searched with.
static const struct search_space *inner;
static bool canonical(const void *user, struct search_point *p)
{
    (void)user;
    return inner->canonical(inner->user, p);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, SEEDS, sizeof *v, ascending);
    return v[SEEDS / 2];
}

static double median_share(const char *spec, int budget)
{
    double share[SEEDS], *v = calloc((size_t)budget * (size_t)all.k, sizeof *v);
    for (int seed = 0; seed < SEEDS; seed++) {
        struct trial t = search_problem(&all.problem, spec, (uint64_t)seed, 64, budget);
        CHECK_INT(t.n, budget);
        share[seed] = hypervolume_share(v, values(&all.problem, &t, v), all.v, all.n, all.k);
        trial_fini(&t);
    }
    free(v);
    return median(share);
}

static double median_regret(const char *spec, int budget, int j)
{
    double regret[SEEDS], best = all.v[pareto_best(all.v, all.n, all.k, j) * all.k + j];
    for (int seed = 0; seed < SEEDS; seed++) {
        struct trial t = search_problem(&all.problem, spec, (uint64_t)seed, 64, budget);
        regret[seed] = least(&all.problem, &t, budget, j) / best - 1;
        trial_fini(&t);
    }
    return median(regret);
}

static void test_real_space(void)
{
    static const char *const place[] = {"first", "second", "third"};
    struct space *s = space_of(SPACE);
    struct test_factory f = test_factory();
    struct model *m = small_model();
    if (!s || !m)
        return;
    const struct evaluate_context c = {.space = s, .factory = &f.base, .model = m};
    struct evaluator *v = evaluator_create(&c);
    struct search_space view;
    struct search_point p;
    space_search(s, &view);
    inner = &view;
    all.problem = (struct problem){.view = view, .evaluate = look_up};
    all.problem.view.canonical = canonical;
    all.k = view.n_objectives;
    for (bool more = search_first(&view, &p); more && all.n < MOST; more = search_next(&view, &p)) {
        struct metrics got;
        evaluator_run(v, &p, &got);
        all.p[all.n] = p;
        all.o[all.n] = (struct search_outcome){.ok = got.status == METRICS_OK};
        for (int j = 0; j < all.k; j++)
            all.o[all.n].objective[j] = all.v[all.n * all.k + j] =
                metric_objective(s->objective[j], got.value[s->objective[j]]);
        all.n++;
    }
    evaluator_destroy(v);
    CHECK_INT(all.n, space_count(s));

    double share = median_share("nsga2", all.n / 10), random = median_share("random", all.n / 10);
    test_note("%d points; nsga2 %.4f of the hypervolume, random %.4f", all.n, share, random);
    CHECK(share >= 0.97); // the larger the space, the more: 99.9 % of 8000 points
    CHECK(random < share - 0.02);
    double more = median_share("nsga2", all.n / 5);
    test_note("with a fifth %.4f", more);
    CHECK(more >= 0.99);
    for (int j = 0; j < all.k; j++) {
        char spec[64];
        snprintf(spec, sizeof spec, "bayes:objective=%s", place[j]);
        double regret = median_regret(spec, all.n / 20, j);
        test_note("%s: %.4f above the best after %d", spec, regret, all.n / 20);
        CHECK(regret >= 0 && regret <= 0.01);
    }
    model_close(m);
    space_close(s);
}

TESTS(explore_search_space, T(test_real_space))
