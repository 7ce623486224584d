// SPDX-License-Identifier: GPL-3.0-or-later
// bayes: Bayesian optimisation with a tree-structured Parzen estimator (Bergstra, Bardenet, Bengio,
// Kegl, "Algorithms for hyper-parameter optimization", 2011), for evaluations so expensive that it
// pays to think long about each.
//
// What was heard is split into a good and a bad share. Each share gives a density over points: a
// mixture of one kernel per point heard and a uniform one. The next point is, of many drawn from
// the good density, the one with the largest ratio good to bad, which is the one with the largest
// expected improvement.
//
// A kernel is the product over the parameters (Falkner, Klein, Hutter, "BOHB", 2018), so what goes
// well together stays together. Unordered: the kernel's own choice with weight 1 - blur, any with
// blur. Ordered: falling exponentially with the distance, over a sixteenth of the range. Trees: a
// parameter that the kernel's point does not have is uniform, and only what applies is drawn.
//
// Several objectives: good means early by front, then by crowding distance (after Ozaki et al.,
// "Multiobjective tree-structured Parzen estimator", 2022, who break ties by hypervolume).
// Constraints come first, as everywhere. Points that are asked but not heard count as bad, so that
// points asked together lie apart.
#include <math.h>
#include <stdlib.h>
#include "explore/search/util.h"

struct options {
    int objective;
    int64_t starts, candidates, ahead;
    double good, blur;
};

static const struct conf_row rows[] = {
    UTIL_AIM_ROW(struct options),
    {.name = "starts",
     .type = CONF_INT,
     .fallback = "24",
     .min = 2,
     .max = 65536,
     .doc = "points dealt evenly before the first estimate",
     .offset = offsetof(struct options, starts)},
    {.name = "good",
     .type = CONF_REAL,
     .unit = UNIT_PERCENT,
     .fallback = "10 %",
     .min = 0.001,
     .max = 0.9,
     .doc = "share of the points heard that count as good",
     .offset = offsetof(struct options, good)},
    {.name = "blur",
     .type = CONF_REAL,
     .unit = UNIT_PERCENT,
     .fallback = "20 %",
     .min = 0.001,
     .max = 1,
     .doc = "weight of the uniform part of a kernel",
     .offset = offsetof(struct options, blur)},
    {.name = "candidates",
     .type = CONF_INT,
     .fallback = "64",
     .min = 1,
     .max = 65536,
     .doc = "points drawn for each that is asked",
     .offset = offsetof(struct options, candidates)},
    UTIL_AHEAD_ROW(struct options, "4"),
};

enum { MOST = 512 }; // kernels of a density; of more points every so manieth is used

struct density {
    int n;
    struct search_point *kernel; // [n]
};

struct search {
    struct util_memory m;
    struct util_deck deck;
    struct options o;
    int64_t left;   // points still to be dealt
    int64_t *order; // of the records heard, the best first
    int64_t sorted, room;
    struct density good, bad;
    double *fall[SEARCH_MAX_PARAMS]; // ordered: a kernel's weight by distance
    double *norm[SEARCH_MAX_PARAMS]; // ordered: sum of a kernel's weights, by its own choice
};

static double reach(int n) // of an ordered kernel, in choices
{
    return fmax(n / 16.0, 0.5);
}

static void *array(int64_t n, size_t size)
{
    void *p = calloc((size_t)n + 1, size);
    if (!p)
        abort();
    return p;
}

static struct search *open_bayes(const struct search_space *space, const void *options,
                                 uint64_t seed, struct err *e)
{
    const struct options *o = options;
    if (o->objective != UTIL_AIM_FRONT &&
        util_check_objective(space, "bayes", o->objective - 1, e) < 0)
        return NULL;
    struct search *s = array(1, sizeof *s);
    s->o = *o;
    s->left = o->starts;
    s->good.kernel = array(MOST, sizeof *s->good.kernel);
    s->bad.kernel = array(MOST + SEARCH_MAX_PARAMS, sizeof *s->bad.kernel);
    for (int i = 0; i < space->n_params; i++) {
        int n = space->n_choices[i];
        s->norm[i] = array(n, sizeof *s->norm[i]);
        s->fall[i] = array(n, sizeof *s->fall[i]);
        for (int c = 0; c < n; c++)
            s->fall[i][c] = exp(-c / reach(n));
        for (int c = 0; c < n; c++)
            for (int k = 0; k < n; k++)
                s->norm[i][c] += s->fall[i][abs(k - c)];
    }
    util_open(&s->m, space, seed, "search.bayes");
    util_deck_open(&s->deck, space, 64);
    return s;
}

// --- densities

static double weight(const struct search *s, int i, int own, int c)
{
    int n = s->m.space.n_choices[i];
    if (own == SEARCH_UNUSED)
        return 1.0 / n;
    double peak = s->m.space.ordered[i] ? s->fall[i][abs(c - own)] / s->norm[i][own] : c == own;
    return (1 - s->o.blur) * peak + s->o.blur / n;
}

static double density(const struct search *s, const struct density *d, const struct search_point *p)
{
    double sum = 0, uniform = 1;
    for (int i = 0; i < s->m.space.n_params; i++)
        uniform /= p->choice[i] == SEARCH_UNUSED ? 1 : s->m.space.n_choices[i];
    for (int k = 0; k < d->n; k++) {
        double product = 1;
        for (int i = 0; i < s->m.space.n_params; i++)
            if (p->choice[i] != SEARCH_UNUSED)
                product *= weight(s, i, d->kernel[k].choice[i], p->choice[i]);
        sum += product;
    }
    return (sum + uniform) / (d->n + 1);
}

struct drawing {
    struct search *s;
    const struct search_point *kernel; // NULL: the uniform one
};

static int draw(void *user, int i, const struct search_point *so_far)
{
    const struct drawing *g = user;
    struct search *s = g->s;
    int n = s->m.space.n_choices[i], own = g->kernel ? g->kernel->choice[i] : SEARCH_UNUSED;
    (void)so_far;
    if (n == 1)
        return 0;
    double at = rng_uniform(s->m.rng);
    for (int c = 0; c < n; c++) {
        at -= weight(s, i, own, c);
        if (at < 0)
            return c;
    }
    return n - 1;
}

// --- asking

// Kernels from order[from, to), evenly thinned to MOST.
static void fill(struct search *s, struct density *d, int64_t from, int64_t to)
{
    int64_t n = to - from < MOST ? to - from : MOST;
    for (d->n = 0; d->n < n; d->n++)
        d->kernel[d->n] = util_point(&s->m, s->order[from + d->n * (to - from) / n]);
}

static void estimate(struct search *s)
{
    int64_t n = s->m.heard;
    if (n > s->room) {
        s->room = n * 2;
        free(s->order);
        s->order = array(s->room, sizeof *s->order);
    }
    if (n != s->sorted) {
        for (int64_t i = 0; i < n; i++)
            s->order[i] = i;
        util_sort_aim(&s->m, s->order, (int)n, s->o.objective);
        s->sorted = n;
        int64_t good = (int64_t)ceil((double)n * s->o.good);
        fill(s, &s->good, 0, good);
        fill(s, &s->bad, good, n);
    }
}

static bool propose(struct search *s, struct search_point *out)
{
    const struct search_space *space = &s->m.space;
    double best = 0;
    bool found = false;
    estimate(s);
    int heard = s->bad.n;
    for (int64_t i = s->m.heard; i < s->m.asked; i++)
        s->bad.kernel[s->bad.n++] = util_point(&s->m, i);
    for (int64_t k = 0; k < s->o.candidates; k++) {
        uint64_t which = rng_below(s->m.rng, (uint64_t)s->good.n + 1);
        struct drawing g = {s, which < (uint64_t)s->good.n ? &s->good.kernel[which] : NULL};
        struct search_point p;
        if (!util_build(space, s->m.level, draw, &g, &p) || util_find(&s->m, &p) >= 0)
            continue;
        double ratio = density(s, &s->good, &p) / density(s, &s->bad, &p);
        if (!found || ratio > best) {
            best = ratio;
            *out = p;
            found = true;
        }
    }
    s->bad.n = heard;
    return found && util_ask(&s->m, out);
}

static bool ask(struct search *s, struct search_point *out)
{
    int64_t i;
    while ((i = util_hear(&s->m, s->o.ahead)) >= 0)
        ;
    if (i == UTIL_WAIT)
        return false;
    if (s->left > 0) {
        s->left--;
        return util_deal(&s->m, &s->deck, out);
    }
    return propose(s, out) || util_deal(&s->m, &s->deck, out);
}

static void tell(struct search *s, const struct search_point *p, const struct search_outcome *o)
{
    util_tell(&s->m, p, o);
}

static bool done(const struct search *s)
{
    return s->m.state == UTIL_EXHAUSTED;
}

static void close_bayes(struct search *s)
{
    for (int i = 0; i < s->m.space.n_params; i++) {
        free(s->fall[i]);
        free(s->norm[i]);
    }
    free(s->good.kernel);
    free(s->bad.kernel);
    free(s->order);
    util_deck_close(&s->deck);
    util_close(&s->m);
    free(s);
}

const struct search_ops search_bayes = {
    .name = "bayes",
    .doc = "Bayesian optimisation (tree-structured Parzen): few, expensive evaluations",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .adaptive = true,
    .open = open_bayes,
    .ask = ask,
    .tell = tell,
    .done = done,
    .close = close_bayes,
};
