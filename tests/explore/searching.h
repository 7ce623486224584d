// SPDX-License-Identifier: GPL-3.0-or-later
// Runs searchers on problems given by formula, the way a campaign does.
#ifndef TESTS_EXPLORE_SEARCHING_H
#define TESTS_EXPLORE_SEARCHING_H

#include <stdlib.h>
#include <string.h>
#include "explore/search.h"
#include "tests/harness.h"

struct problem {
    struct search_space view; // view.user: this problem
    void (*evaluate)(const struct problem *b, const struct search_point *p,
                     struct search_outcome *o);
    const double *table; // for evaluate
};

struct trial {
    struct search_point *p;
    struct search_outcome *o;
    int n;
    bool refused, done; // open said no; nothing is left to ask
    char why[320];
};

static inline void trial_fini(struct trial *t)
{
    free(t->p);
    free(t->o);
}

static inline bool same_point(const struct search_point *a, const struct search_point *b, int n)
{
    return a->level == b->level && !memcmp(a->choice, b->choice, (size_t)n * sizeof a->choice[0]);
}

static inline bool same_trial(const struct trial *a, const struct trial *b, int n_params)
{
    bool same = a->n == b->n;
    for (int i = 0; same && i < a->n; i++)
        same = same_point(&a->p[i], &b->p[i], n_params);
    return same;
}

// At most `window` points asked and not told, at most `budget` in all.
static inline struct trial search_problem(const struct problem *b, const char *spec, uint64_t seed,
                                          int window, int budget)
{
    struct search_space view = b->view;
    struct trial t = {.p = calloc((size_t)budget + 1, sizeof *t.p),
                      .o = calloc((size_t)budget + 1, sizeof *t.o)};
    const struct search_ops *ops;
    const void *options;
    struct arena a;
    struct err e = {0};
    int told = 0;
    arena_init(&a);
    view.user = b;
    if (!t.p || !t.o)
        abort();
    if (CHECK_OK(search_parse(spec, &a, &ops, &options, &e), &e)) {
        struct search *s = ops->open(&view, options, seed, &e);
        t.refused = !s;
        memcpy(t.why, e.msg, sizeof t.why);
        while (s) {
            while (t.n < budget && t.n - told < window && ops->ask(s, &t.p[t.n])) {
                b->evaluate(b, &t.p[t.n], &t.o[t.n]);
                t.n++;
            }
            if (told == t.n)
                break;
            ops->tell(s, &t.p[told], &t.o[told]);
            told++;
        }
        if (s) {
            t.done = ops->done(s);
            ops->close(s);
        }
    }
    arena_fini(&a);
    return t;
}

// Least value of objective j among points of the last level that keep all constraints, in the first
// n; infinite: none.
static inline double least(const struct problem *b, const struct trial *t, int n, int j)
{
    double best = (double)INFINITY;
    for (int i = 0; i < n && i < t->n; i++)
        if (t->p[i].level == b->view.n_levels - 1 && t->o[i].ok && !(t->o[i].violation > 0))
            best = fmin(best, t->o[i].objective[j]);
    return best;
}

// Objectives of the same points as a matrix; the count.
static inline int values(const struct problem *b, const struct trial *t, double *v)
{
    int n = 0, k = b->view.n_objectives;
    for (int i = 0; i < t->n; i++)
        if (t->p[i].level == b->view.n_levels - 1 && t->o[i].ok && !(t->o[i].violation > 0))
            memcpy(v + n++ * k, t->o[i].objective, (size_t)k * sizeof *v);
    return n;
}

#endif
