// SPDX-License-Identifier: GPL-3.0-or-later
// anneal: simulated annealing (Kirkpatrick, Gelatt, Vecchi, "Optimization by simulated annealing",
// 1983) with the rule of Metropolis: a change for the better is always taken, one for the worse
// with probability exp(-difference / temperature).
//
// Differences are measured in the spread of the points dealt at the beginning (their mean less the
// best of them), so that a temperature means the same on every space. The temperature halves every
// `half` points; when it has fallen a thousandfold nothing for the worse is taken any more, and the
// walk starts again, as warm as at first, from the best of newly dealt points. An outcome of a
// worse class (a constraint missed, a failure) is never taken for a better one.
//
// A step that leads to a known point costs no evaluation; as many are made as it takes to reach a
// new one, within a limit.
#include <math.h>
#include <stdlib.h>
#include "explore/search/util.h"

struct options {
    int objective;
    int64_t starts, ahead;
    double temperature;
    int64_t half;
};

static const struct conf_row rows[] = {
    UTIL_OBJECTIVE_ROW(struct options),
    {.name = "starts",
     .type = CONF_INT,
     .fallback = "16",
     .min = 1,
     .max = 65536,
     .doc = "points dealt before each walk, which begins at the best of them",
     .offset = offsetof(struct options, starts)},
    {.name = "temperature",
     .type = CONF_REAL,
     .unit = UNIT_PERCENT,
     .fallback = "20 %",
     .min = 0,
     .max = 100,
     .doc = "at the beginning of a walk, as a share of the spread of the points dealt",
     .offset = offsetof(struct options, temperature)},
    {.name = "half",
     .type = CONF_INT,
     .fallback = "20",
     .min = 1,
     .max = 1000000000,
     .doc = "points after which the temperature has halved",
     .offset = offsetof(struct options, half)},
    UTIL_AHEAD_ROW(struct options, "4"),
};

enum { COLD = 10, STEPS = 200 }; // halvings until a walk ends; steps over known points per ask

struct search {
    struct util_memory m;
    struct util_deck deck;
    struct util_guide guide;
    struct options o;
    int64_t left;    // points still to be dealt before the walk
    int64_t begun;   // records before this belong to earlier walks
    int64_t walked;  // points heard since the walk began
    int64_t current; // record, -1: none yet
    double spread;   // of the points dealt; 0: not known yet
    struct util_step *step;
};

static struct search *open_anneal(const struct search_space *space, const void *options,
                                  uint64_t seed, struct err *e)
{
    const struct options *o = options;
    if (util_check_objective(space, "anneal", o->objective, e) < 0)
        return NULL;
    struct search *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->o = *o;
    s->left = o->starts;
    s->current = -1;
    s->step = calloc((size_t)util_max_steps(space) + 1, sizeof *s->step);
    if (!s->step)
        abort();
    util_open(&s->m, space, seed, "search.anneal");
    util_deck_open(&s->deck, space, 64);
    util_guide_open(&s->guide, space);
    return s;
}

static void take(struct search *s, int64_t i)
{
    const struct util_merit new = util_merit(&s->m, i, s->o.objective);
    if (s->current >= 0) {
        const struct util_merit old = util_merit(&s->m, s->current, s->o.objective);
        double t = s->o.temperature * s->spread * exp2(-(double)s->walked / (double)s->o.half);
        double by = new.value - old.value;
        if (new.class != old.class ? new.class > old.class
                                   : by > 0 && !(rng_uniform(s->m.rng) < exp(-by / t)))
            return;
    }
    s->current = i;
}

// Mean less best of the points of this walk that are of the best class.
static void measure(struct search *s)
{
    struct util_merit best = {.class = 3};
    double sum = 0;
    int64_t n = 0;
    for (int64_t i = s->begun; i < s->m.heard; i++) {
        const struct util_merit a = util_merit(&s->m, i, s->o.objective);
        best = util_better(a, best) ? a : best;
    }
    for (int64_t i = s->begun; i < s->m.heard; i++) {
        const struct util_merit a = util_merit(&s->m, i, s->o.objective);
        sum += a.class == best.class ? a.value : 0;
        n += a.class == best.class;
    }
    s->spread = n ? sum / (double)n - best.value : 0;
}

static void hear(struct search *s, int64_t i)
{
    util_guide_hear(&s->guide, &s->m, i, s->o.objective);
    if (i < s->begun + s->o.starts) { // of a walk's beginning only the best is taken
        if (s->current < 0 || util_better(util_merit(&s->m, i, s->o.objective),
                                          util_merit(&s->m, s->current, s->o.objective)))
            s->current = i;
        measure(s);
        return;
    }
    s->walked++;
    take(s, i);
}

// A neighbour of the current point that was not asked yet, walking over known ones.
static bool neighbour(struct search *s, struct search_point *out)
{
    for (int i = 0; i < STEPS && s->current >= 0; i++) {
        const struct search_point p = util_point(&s->m, s->current);
        if (!util_steps(&s->m, &p, s->step))
            return false;
        if (!util_change(&s->m, &p, s->step[0].param, s->step[0].choice, &s->guide.like, out))
            continue;
        if (util_ask(&s->m, out))
            return true;
        int64_t known = util_find(&s->m, out);
        if (known < s->m.heard)
            take(s, known);
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
    if (s->left == 0 && s->walked >= COLD * s->o.half) {
        while ((i = util_hear(&s->m, 1)) >= 0)
            util_guide_hear(&s->guide, &s->m, i, s->o.objective);
        if (i == UTIL_WAIT)
            return false;
        s->left = s->o.starts;
        s->begun = s->m.asked;
        s->walked = 0;
        s->current = -1;
    }
    if (s->left > 0) {
        s->left--;
        return util_deal(&s->m, &s->deck, out);
    }
    return neighbour(s, out) || util_deal(&s->m, &s->deck, out);
}

static void tell(struct search *s, const struct search_point *p, const struct search_outcome *o)
{
    util_tell(&s->m, p, o);
}

static bool done(const struct search *s)
{
    return s->m.state == UTIL_EXHAUSTED;
}

static void close_anneal(struct search *s)
{
    util_deck_close(&s->deck);
    util_close(&s->m);
    free(s->step);
    free(s);
}

const struct search_ops search_anneal = {
    .name = "anneal",
    .doc = "simulated annealing: changes for the worse are taken too, ever more rarely",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .adaptive = true,
    .open = open_anneal,
    .ask = ask,
    .tell = tell,
    .done = done,
    .close = close_anneal,
};
