// SPDX-License-Identifier: GPL-3.0-or-later
// halving: successive halving over levels of detail (Jamieson, Talwalkar, "Non-stochastic best arm
// identification and hyperparameter optimization", 2016; Li et al., "Hyperband", 2018): many points
// by the cheap estimate, the best of them at the next level, and so on; few at the last.
//
// Rounds: the first estimates `points` points, each further one doubles the number, until the space
// is exhausted. In every round each level promotes the best eta-th of all its points so far, unless
// they were promoted before. So a small budget already reaches the last level, a large one ends
// with the whole space estimated, and what later rounds find better is promoted too. As the number
// of points doubles, the last level sees at most twice the share of one round.
//
// The best: by front and crowding distance, or by one objective; points that miss a constraint only
// when there are too few that keep all, points that failed never.
#include <math.h>
#include <stdlib.h>
#include "explore/search/util.h"

struct options {
    int objective;
    int64_t points;
    double keep;
};

static const struct conf_row rows[] = {
    UTIL_AIM_ROW(struct options),
    {.name = "points",
     .type = CONF_INT,
     .fallback = "64",
     .min = 1,
     .max = 1000000000,
     .doc = "points of the first round at the lowest level; each round doubles them",
     .offset = offsetof(struct options, points)},
    {.name = "keep",
     .type = CONF_REAL,
     .unit = UNIT_PERCENT,
     .fallback = "4 %",
     .min = 1e-6,
     .max = 1,
     .doc = "share of a round's points that reach the last level, by equal shares from level to "
            "level",
     .offset = offsetof(struct options, keep)},
};

enum { WINDOW = 64 }; // of a campaign: at most so many are unanswered in any case

struct search {
    struct util_memory m;
    struct util_deck deck;
    struct options o;
    int64_t round;                 // points at level 0 by the end of this round
    int64_t at[SEARCH_MAX_LEVELS]; // points asked at each level
    int stage;                     // level that is being asked
    int64_t *list;                 // stage > 0: records below it to promote, the best first
    int64_t n, next;
    bool over;
};

static struct search *open_halving(const struct search_space *space, const void *options,
                                   uint64_t seed, struct err *e)
{
    const struct options *o = options;
    if (o->objective != UTIL_AIM_FRONT &&
        util_check_objective(space, "halving", o->objective - 1, e) < 0)
        return NULL;
    if (space->n_levels < 2) {
        err_set(e, ERR_USAGE,
                "halving: the space has one level of detail only, there is nothing to promote to");
        return NULL;
    }
    struct search *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->o = *o;
    s->round = o->points;
    util_open(&s->m, space, seed, "search.halving");
    util_deck_open(&s->deck, space, 64);
    s->m.level = 0;
    return s;
}

// Points that a level may have had by the end of this round.
static int64_t quota(const struct search *s, int level)
{
    double share = pow(s->o.keep, (double)level / (s->m.space.n_levels - 1));
    return (int64_t)ceil((double)s->at[0] * share - 1e-9);
}

// The best of the level below `stage`, as many as its quota; failures are left out.
static void choose(struct search *s)
{
    s->n = s->next = 0;
    free(s->list);
    s->list = calloc((size_t)s->at[s->stage - 1] + 1, sizeof *s->list);
    if (!s->list)
        abort();
    for (int64_t i = 0; i < s->m.heard; i++)
        if (util_point(&s->m, i).level == s->stage - 1 && s->m.outcome[i].ok)
            s->list[s->n++] = i;
    util_sort_aim(&s->m, s->list, (int)s->n, s->o.objective);
    int64_t most = quota(s, s->stage);
    s->n = s->n < most ? s->n : most;
}

static bool more(struct search *s, struct search_point *out)
{
    if (s->stage == 0)
        return s->at[0] < s->round && util_deal(&s->m, &s->deck, out);
    while (s->next < s->n) {
        *out = util_point(&s->m, s->list[s->next++]);
        out->level = s->stage;
        if (util_ask(&s->m, out))
            return true;
    }
    return false;
}

// The next level, or the next round.
static void advance(struct search *s)
{
    if (++s->stage < s->m.space.n_levels) {
        choose(s);
        return;
    }
    s->stage = 0;
    s->round *= 2;
    s->over = s->m.state == UTIL_EXHAUSTED;
}

static bool ask(struct search *s, struct search_point *out)
{
    while (!s->over) {
        int64_t i;
        while ((i = util_hear(&s->m, WINDOW)) >= 0)
            ;
        if (i == UTIL_WAIT)
            return false;
        if (more(s, out)) {
            s->at[s->stage]++;
            return true;
        }
        while ((i = util_hear(&s->m, 1)) >= 0) // a level is judged when all of it is known
            ;
        if (i == UTIL_WAIT)
            return false;
        advance(s);
    }
    return false;
}

static void tell(struct search *s, const struct search_point *p, const struct search_outcome *o)
{
    util_tell(&s->m, p, o);
}

static bool done(const struct search *s)
{
    return s->over;
}

static void close_halving(struct search *s)
{
    util_deck_close(&s->deck);
    util_close(&s->m);
    free(s->list);
    free(s);
}

const struct search_ops search_halving = {
    .name = "halving",
    .doc = "successive halving over levels of detail: few points reach the expensive last one",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .adaptive = true,
    .open = open_halving,
    .ask = ask,
    .tell = tell,
    .done = done,
    .close = close_halving,
};
