// SPDX-License-Identifier: GPL-3.0-or-later
// nsga2: the genetic algorithm of Deb, Pratap, Agarwal, Meyarivan ("A fast and elitist
// multiobjective genetic algorithm: NSGA-II", 2002) for several objectives and constraints: parents
// win tournaments by front, then by crowding distance; of parents and children the best by the same
// order survive.
//
// Steady state: each child joins the population as soon as it is heard, instead of a whole
// generation at once (Durillo, Nebro, Luna, Alba, "On the effect of the steady-state selection
// scheme in multi-objective genetic algorithms", 2009). That needs fewer evaluations, and few are
// what a search by simulation can afford.
//
// Points are mixed and conditional: a child is built from the first parameter to the last, so that
// only what applies to it is chosen. A parameter comes from either parent that has it; where
// neither has (the policy has just mutated), from a member of the population that has it, else at
// random. Unordered parameters mutate to any other choice, ordered ones mostly to a near one. The
// first population is dealt evenly (see lhs). No point is made twice: a child that is known mutates
// on.
#include <stdlib.h>
#include <string.h>
#include "explore/search/util.h"

struct options {
    int64_t population, ahead;
    double crossover, mutation;
};

static const struct conf_row rows[] = {
    {.name = "population",
     .type = CONF_INT,
     .fallback = "40",
     .min = 4,
     .max = 10000,
     .doc = "points that may become parents, and points dealt at the beginning",
     .offset = offsetof(struct options, population)},
    {.name = "crossover",
     .type = CONF_REAL,
     .unit = UNIT_PERCENT,
     .fallback = "50 %",
     .min = 0,
     .max = 1,
     .doc = "of children that have two parents, each parameter from either",
     .offset = offsetof(struct options, crossover)},
    {.name = "mutation",
     .type = CONF_REAL,
     .fallback = "1",
     .min = 0,
     .max = 64,
     .doc = "parameters of a child that mutate, on average",
     .offset = offsetof(struct options, mutation)},
    UTIL_AHEAD_ROW(struct options, "8"),
};

enum { TRIES = 40 }; // children that may be known before a point is dealt instead

struct search {
    struct util_memory m;
    struct util_deck deck;
    struct options o;
    int64_t left;    // points still to be dealt
    int64_t *member; // [population + 1] records, the best first
    int n;
};

static struct search *open_nsga2(const struct search_space *space, const void *options,
                                 uint64_t seed, struct err *e)
{
    struct search *s = calloc(1, sizeof *s);
    (void)e;
    if (!s)
        abort();
    s->o = *(const struct options *)options;
    s->left = s->o.population;
    s->member = calloc((size_t)s->o.population + 1, sizeof *s->member);
    if (!s->member)
        abort();
    util_open(&s->m, space, seed, "search.nsga2");
    util_deck_open(&s->deck, space, (int)s->o.population);
    return s;
}

static void hear(struct search *s, int64_t i)
{
    s->member[s->n++] = i;
    util_sort(&s->m, s->member, s->n);
    if (s->n > s->o.population)
        s->n--;
}

static int64_t tournament(struct search *s)
{
    uint64_t a = rng_below(s->m.rng, (uint64_t)s->n), b = rng_below(s->m.rng, (uint64_t)s->n);
    return s->member[a < b ? a : b];
}

struct mating {
    struct search *s;
    struct search_point parent[2];
    double mix, rate; // shares of parameters from the second parent, and that mutate
};

static int mutate(struct search *s, int i, int c)
{
    int n = s->m.space.n_choices[i], step = 1;
    if (!s->m.space.ordered[i]) {
        int other = (int)rng_below(s->m.rng, (uint64_t)n - 1);
        return other + (other >= c);
    }
    while (step < n && rng_below(s->m.rng, 2)) // half go one step, a quarter two to three, ..
        step *= 2;
    step = step > 1 ? step / 2 + (int)rng_below(s->m.rng, (uint64_t)step / 2 + 1) : 1;
    bool up = rng_below(s->m.rng, 2);
    if (up ? c + step >= n : c - step < 0)
        up = !up;
    c += up ? step : -step;
    return c < 0 ? 0 : c >= n ? n - 1 : c;
}

static int inherit(void *user, int i, const struct search_point *so_far)
{
    struct mating *g = user;
    struct search *s = g->s;
    int n = s->m.space.n_choices[i], c = SEARCH_UNUSED;
    (void)so_far;
    if (n == 1)
        return 0;
    int first = g->mix > 0 && rng_uniform(s->m.rng) < g->mix;
    c = g->parent[first].choice[i];
    if (c == SEARCH_UNUSED)
        c = g->parent[!first].choice[i];
    uint64_t from = c == SEARCH_UNUSED ? rng_below(s->m.rng, (uint64_t)s->n) : 0;
    for (int k = 0; k < s->n && c == SEARCH_UNUSED; k++)
        c = util_point(&s->m, s->member[(from + (uint64_t)k) % (uint64_t)s->n]).choice[i];
    if (c == SEARCH_UNUSED)
        return (int)rng_below(s->m.rng, (uint64_t)n);
    return rng_uniform(s->m.rng) < g->rate ? mutate(s, i, c) : c;
}

// A new child; its parents anew for each try, and after half of them more and more mutation.
static bool child(struct search *s, struct search_point *out)
{
    const struct search_space *space = &s->m.space;
    for (int t = 0; t < TRIES && s->n > 0; t++) {
        struct mating g = {.s = s};
        g.parent[0] = util_point(&s->m, tournament(s));
        g.parent[1] = util_point(&s->m, tournament(s));
        g.mix = rng_uniform(s->m.rng) < s->o.crossover ? 0.5 : 0;
        int free = 0; // parameters that can mutate
        for (int i = 0; i < space->n_params; i++)
            free += g.parent[0].choice[i] != SEARCH_UNUSED && space->n_choices[i] > 1;
        double more = t < TRIES / 2 ? 1 : 1 + 4.0 * (t - TRIES / 2) / TRIES;
        g.rate = free ? more * s->o.mutation / free : 0;
        if (util_build(space, s->m.level, inherit, &g, out) && util_ask(&s->m, out))
            return true;
    }
    return false;
}

static bool ask(struct search *s, struct search_point *out)
{
    int64_t i;
    while ((i = util_hear(&s->m, s->o.ahead)) >= 0)
        hear(s, i);
    if (i == UTIL_WAIT)
        return false;
    if (s->left > 0) {
        s->left--;
        return util_deal(&s->m, &s->deck, out);
    }
    return child(s, out) || util_deal(&s->m, &s->deck, out);
}

static void tell(struct search *s, const struct search_point *p, const struct search_outcome *o)
{
    util_tell(&s->m, p, o);
}

static bool done(const struct search *s)
{
    return s->m.state == UTIL_EXHAUSTED;
}

static void close_nsga2(struct search *s)
{
    util_deck_close(&s->deck);
    util_close(&s->m);
    free(s->member);
    free(s);
}

const struct search_ops search_nsga2 = {
    .name = "nsga2",
    .doc = "NSGA-II, a genetic algorithm: the front of several objectives, with constraints",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .adaptive = true,
    .open = open_nsga2,
    .ask = ask,
    .tell = tell,
    .done = done,
    .close = close_nsga2,
};
