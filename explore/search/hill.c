// SPDX-License-Identifier: GPL-3.0-or-later
// hill: hill climbing with restarts. From the best of a handful of evenly dealt points, single
// parameters are changed in random order; the first change that is better is kept at once (first
// improvement). Where no single change is better, the climb starts again elsewhere. Never ends
// before the space does.
//
// A change of policy takes for the new policy's options what the best point of that policy had.
//
// While the outcome of one change is awaited, others are tried, all from the best point known then.
#include <stdlib.h>
#include "explore/search/util.h"

struct options {
    int objective;
    int64_t starts, ahead;
};

static const struct conf_row rows[] = {
    UTIL_OBJECTIVE_ROW(struct options),
    {.name = "starts",
     .type = CONF_INT,
     .fallback = "16",
     .min = 1,
     .max = 65536,
     .doc = "points dealt before each climb, which begins at the best of them",
     .offset = offsetof(struct options, starts)},
    UTIL_AHEAD_ROW(struct options, "4"),
};

struct search {
    struct util_memory m;
    struct util_deck deck;
    struct util_guide guide;
    struct options o;
    int64_t left;    // points still to be dealt before the climb
    int64_t current; // record, -1: none yet
    struct util_step *step;
    int n_steps, next;
};

static struct search *open_hill(const struct search_space *space, const void *options,
                                uint64_t seed, struct err *e)
{
    const struct options *o = options;
    if (util_check_objective(space, "hill", o->objective, e) < 0)
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
    util_open(&s->m, space, seed, "search.hill");
    util_deck_open(&s->deck, space, 64);
    util_guide_open(&s->guide, space);
    return s;
}

static bool better(const struct search *s, int64_t a, int64_t b)
{
    return b < 0 ||
           util_better(util_merit(&s->m, a, s->o.objective), util_merit(&s->m, b, s->o.objective));
}

static void move(struct search *s, int64_t i)
{
    const struct search_point p = util_point(&s->m, i);
    s->current = i;
    s->n_steps = util_steps(&s->m, &p, s->step);
    s->next = 0;
}

static void hear(struct search *s, int64_t i)
{
    util_guide_hear(&s->guide, &s->m, i, s->o.objective);
    if (better(s, i, s->current))
        move(s, i);
}

// A neighbour of the current point that was not asked yet; better ones that are known are moved to.
static bool neighbour(struct search *s, struct search_point *out)
{
    while (s->current >= 0 && s->next < s->n_steps) {
        const struct search_point p = util_point(&s->m, s->current);
        const struct util_step t = s->step[s->next++];
        if (!util_change(&s->m, &p, t.param, t.choice, &s->guide.like, out))
            continue;
        if (util_ask(&s->m, out))
            return true;
        int64_t known = util_find(&s->m, out);
        if (known < s->m.heard && better(s, known, s->current))
            move(s, known);
    }
    return false;
}

static bool ask(struct search *s, struct search_point *out)
{
    for (;;) {
        int64_t i;
        while ((i = util_hear(&s->m, s->o.ahead)) >= 0)
            hear(s, i);
        if (i == UTIL_WAIT)
            return false;
        if (s->left > 0) {
            s->left--;
            return util_deal(&s->m, &s->deck, out);
        }
        if (neighbour(s, out))
            return true;
        i = util_hear(&s->m, 1); // a change that is still awaited may be better
        if (i == UTIL_WAIT)
            return false;
        if (i >= 0) {
            hear(s, i);
            continue;
        }
        s->left = s->o.starts;
        s->current = -1;
    }
}

static void tell(struct search *s, const struct search_point *p, const struct search_outcome *o)
{
    util_tell(&s->m, p, o);
}

static bool done(const struct search *s)
{
    return s->m.state == UTIL_EXHAUSTED;
}

static void close_hill(struct search *s)
{
    util_deck_close(&s->deck);
    util_close(&s->m);
    free(s->step);
    free(s);
}

const struct search_ops search_hill = {
    .name = "hill",
    .doc = "hill climbing with restarts: keeps the first single change that is better",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .adaptive = true,
    .open = open_hill,
    .ask = ask,
    .tell = tell,
    .done = done,
    .close = close_hill,
};
