// SPDX-License-Identifier: GPL-3.0-or-later
// Searchers on a small conditional space whose canonical points can be counted by hand, and the
// contract that every registered searcher keeps.
#include "explore/search.h"
#include <stdlib.h>
#include <string.h>
#include "tests/harness.h"

// a in {0,1,2}; b (4 choices) only for a = 1; c (3) only for a = 2; d (2) always; and the point
// a = 0, d = 1 is infeasible. Canonical: a=0: 1; a=1: 4 * 2; a=2: 3 * 2 = 15.
enum { POINTS = 15, N = 4 };

static bool canonical(const void *user, struct search_point *p)
{
    (void)user;
    if (p->choice[0] != 1)
        p->choice[1] = SEARCH_UNUSED;
    if (p->choice[0] != 2)
        p->choice[2] = SEARCH_UNUSED;
    return !(p->choice[0] == 0 && p->choice[3] == 1);
}

static const struct search_space space = {.n_params = N,
                                          .n_choices = {3, 4, 3, 2},
                                          .n_objectives = 1,
                                          .n_levels = 1,
                                          .canonical = canonical};

static bool same(const struct search_point *a, const struct search_point *b)
{
    return !memcmp(a->choice, b->choice, N * sizeof a->choice[0]);
}

// Runs a searcher to its end, telling each point at once; checks that every point is canonical and
// new. Returns the count.
static int run(const char *spec, uint64_t seed, struct search_point *out)
{
    const struct search_ops *ops;
    const void *options;
    struct arena a;
    struct err e = {0};
    int n = 0;
    arena_init(&a);
    if (CHECK_OK(search_parse(spec, &a, &ops, &options, &e), &e)) {
        struct search *s = ops->open(&space, options, seed, &e);
        while (n < 100 && ops->ask(s, &out[n])) {
            struct search_point q = out[n];
            struct search_outcome o = {.ok = true, .objective = {q.choice[0]}};
            CHECK(canonical(NULL, &q));
            CHECK(same(&q, &out[n]));
            for (int i = 0; i < n; i++)
                CHECK(!same(&out[i], &out[n]));
            ops->tell(s, &out[n++], &o);
        }
        CHECK(ops->done(s));
        ops->close(s);
    }
    arena_fini(&a);
    return n;
}

static void test_exhaustive(void)
{
    struct search_point p[101];
    CHECK_INT(run("exhaustive", 0, p), POINTS);
    // Against all vectors made canonical: each one is there.
    for (int i = 0; i < 3 * 4 * 3 * 2; i++) {
        struct search_point q = {.choice = {i % 3, i / 3 % 4, i / 12 % 3, i / 36}};
        bool found = !canonical(NULL, &q);
        for (int j = 0; j < POINTS && !found; j++)
            found = same(&p[j], &q);
        CHECK(found);
    }
}

static void test_random(void)
{
    struct search_point a[101], b[101], c[101];
    int n = run("random", 7, a);
    CHECK_INT(n, POINTS); // the whole space, in the end
    CHECK_INT(run("random", 7, b), POINTS);
    CHECK_INT(run("random", 8, c), POINTS);
    bool equal = true, other = false;
    for (int i = 0; i < n; i++) {
        equal &= same(&a[i], &b[i]);
        other |= !same(&a[i], &c[i]);
    }
    CHECK(equal); // the same seed: the same points in the same order
    CHECK(other);
}

static void test_null(void)
{
    struct search_point p[101];
    CHECK_INT(run("null", 0, p), 0);
}

static void test_every_searcher(void)
{
    struct search_point p[101];
    for (size_t i = 0; i < search_registry_count; i++) {
        test_note("%s", search_registry[i]->name);
        CHECK(run(search_registry[i]->name, 1, p) <= POINTS);
    }
}

// All points asked before the first is told, as a campaign with many workers does.
static void test_ask_before_tell(void)
{
    for (size_t i = 0; i < search_registry_count; i++) {
        const struct search_ops *ops;
        const void *options;
        struct search_point p[64], more;
        struct arena a;
        struct err e = {0};
        int n = 0;
        arena_init(&a);
        search_parse(search_registry[i]->name, &a, &ops, &options, &e);
        struct search *s = ops->open(&space, options, 1, &e);
        while (n < 64 && ops->ask(s, &p[n]))
            n++;
        CHECK(n <= POINTS);
        for (int j = 0; j < n; j++)
            ops->tell(s, &p[j], &(struct search_outcome){.ok = j % 2, .objective = {j}});
        while (ops->ask(s, &more))
            CHECK(++n <= POINTS);
        ops->close(s);
        arena_fini(&a);
    }
}

static void test_parse_errors(void)
{
    static const struct {
        const char *spec, *says;
    } bad[] = {
        {"exhaustve", "did you mean \"exhaustive\"?"},
        {"zzz", "unknown searcher \"zzz\"; see `partita list searchers`"},
        {"exhaustive:budget=3", "unknown key 'budget'"},
    };
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct search_ops *ops;
        const void *options;
        struct err e = {0};
        CHECK(search_parse(bad[i].spec, &a, &ops, &options, &e) < 0);
        CHECK_HAS(e.msg, bad[i].says);
    }
    arena_fini(&a);
}

TESTS(explore_search, T(test_exhaustive), T(test_random), T(test_null), T(test_every_searcher),
      T(test_ask_before_tell), T(test_parse_errors))
