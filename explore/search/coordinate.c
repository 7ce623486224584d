// SPDX-License-Identifier: GPL-3.0-or-later
// coordinate: coordinate descent with restarts. From the best of a handful of evenly dealt points,
// one parameter after the other is set to its best choice while all others stay. When a whole sweep
// changes nothing, the descent starts again elsewhere. Never ends before the space does.
//
// Along a line, an unordered parameter tries every choice; an ordered one the choices 1, 2, 4, ..
// away on both sides, which the next sweep refines. Parameters are swept in their own order, the
// general (policy) before what depends on it. All points of a line are independent of each other
// and can be evaluated in parallel.
#include <stdlib.h>
#include "explore/search/util.h"

struct options {
    int objective;
    int64_t starts;
};

static const struct conf_row rows[] = {
    UTIL_OBJECTIVE_ROW(struct options),
    {.name = "starts",
     .type = CONF_INT,
     .fallback = "12",
     .min = 1,
     .max = 65536,
     .doc = "points dealt before each descent, which begins at the best of them",
     .offset = offsetof(struct options, starts)},
};

enum { WINDOW = 64 }; // of a campaign: at most so many are unanswered in any case

struct search {
    struct util_memory m;
    struct util_deck deck;
    struct util_guide guide;
    struct options o;
    int64_t left;    // points still to be dealt before the descent
    int64_t current; // record, -1: none yet
    int64_t best;    // of the line, or of the points dealt
    int param;       // of the line
    int unchanged;   // lines in a row that changed nothing
    int offset;      // along the line: 1, -1, 2, -2, ..; unordered: the choice
};

static struct search *open_coordinate(const struct search_space *space, const void *options,
                                      uint64_t seed, struct err *e)
{
    const struct options *o = options;
    if (util_check_objective(space, "coordinate", o->objective, e) < 0)
        return NULL;
    struct search *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->o = *o;
    s->left = o->starts;
    s->current = s->best = -1;
    util_open(&s->m, space, seed, "search.coordinate");
    util_deck_open(&s->deck, space, 64);
    util_guide_open(&s->guide, space);
    return s;
}

static void consider(struct search *s, int64_t i)
{
    if (s->best < 0 || util_better(util_merit(&s->m, i, s->o.objective),
                                   util_merit(&s->m, s->best, s->o.objective)))
        s->best = i;
}

static void begin_line(struct search *s, int param)
{
    s->param = param;
    s->offset = s->m.space.ordered[param] ? 1 : 0;
}

// The next choice of the line other than that of p; -1: the line is done.
static int next_choice(struct search *s, const struct search_point *p)
{
    int n = s->m.space.n_choices[s->param], at = p->choice[s->param];
    if (at == SEARCH_UNUSED)
        return -1;
    if (!s->m.space.ordered[s->param]) {
        s->offset += s->offset == at;
        return s->offset < n ? s->offset++ : -1;
    }
    while (abs(s->offset) < n) {
        int c = at + s->offset;
        s->offset = s->offset > 0 ? -s->offset : -s->offset * 2;
        if (c >= 0 && c < n)
            return c;
    }
    return -1;
}

// A point of the line that was not asked yet; known ones are considered.
static bool along(struct search *s, struct search_point *out)
{
    const struct search_point p = util_point(&s->m, s->current);
    int c;
    while ((c = next_choice(s, &p)) >= 0) {
        if (!util_change(&s->m, &p, s->param, c, &s->guide.like, out))
            continue;
        if (util_ask(&s->m, out))
            return true;
        int64_t known = util_find(&s->m, out);
        if (known < s->m.heard)
            consider(s, known);
    }
    return false;
}

// All of the line is heard: goes to its best point and on to the next line. false: nothing has
// changed for a whole sweep.
static bool turn(struct search *s)
{
    s->unchanged = s->best == s->current ? s->unchanged + 1 : 0;
    s->current = s->best;
    begin_line(s, (s->param + 1) % s->m.space.n_params);
    return s->unchanged < s->m.space.n_params;
}

static void hear(struct search *s, int64_t i)
{
    util_guide_hear(&s->guide, &s->m, i, s->o.objective);
    consider(s, i);
}

static bool ask(struct search *s, struct search_point *out)
{
    for (;;) {
        int64_t i;
        while ((i = util_hear(&s->m, WINDOW)) >= 0)
            hear(s, i);
        if (i == UTIL_WAIT)
            return false;
        if (s->left > 0) {
            s->left--;
            return util_deal(&s->m, &s->deck, out);
        }
        if (s->current >= 0 && along(s, out))
            return true;
        while ((i = util_hear(&s->m, 1)) >= 0)
            hear(s, i);
        if (i == UTIL_WAIT)
            return false;
        if (s->current < 0) { // all starting points are heard
            s->current = s->best;
            s->unchanged = 0;
            begin_line(s, 0);
        } else if (!turn(s)) {
            s->left = s->o.starts;
            s->current = s->best = -1;
        }
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

static void close_coordinate(struct search *s)
{
    util_deck_close(&s->deck);
    util_close(&s->m);
    free(s);
}

const struct search_ops search_coordinate = {
    .name = "coordinate",
    .doc = "coordinate descent with restarts: the best choice of one parameter after the other",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .adaptive = true,
    .open = open_coordinate,
    .ask = ask,
    .tell = tell,
    .done = done,
    .close = close_coordinate,
};
