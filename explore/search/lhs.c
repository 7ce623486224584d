// SPDX-License-Identifier: GPL-3.0-or-later
// lhs: Latin hypercube sampling (McKay, Beckman, Conover, "A comparison of three methods for
// selecting values of input variables in the analysis of output from a computer code", 1979).
//
// Of every `points` points, each parameter takes all its choices equally often: its range is cut
// into as many strata, and each stratum is used once, in an order shuffled for each parameter
// alone. Here strata are cards of a deck per parameter that are dealt only to points to which the
// parameter applies. So each policy is tried equally often, and each option equally often among the
// points of its policy, however rare these are.
#include <stdlib.h>
#include "explore/search/util.h"

struct options {
    int64_t points;
};

static const struct conf_row rows[] = {
    {.name = "points",
     .type = CONF_INT,
     .fallback = "64",
     .min = 2,
     .max = 65536,
     .doc = "points of one hypercube: into so many strata an ordered range is cut",
     .offset = offsetof(struct options, points)},
};

struct search {
    struct util_memory m;
    struct util_deck deck;
};

static struct search *open_lhs(const struct search_space *space, const void *options, uint64_t seed,
                               struct err *e)
{
    const struct options *o = options;
    struct search *s = calloc(1, sizeof *s);
    (void)e;
    if (!s)
        abort();
    util_open(&s->m, space, seed, "search.lhs");
    util_deck_open(&s->deck, space, (int)o->points);
    return s;
}

static bool ask(struct search *s, struct search_point *out)
{
    return util_deal(&s->m, &s->deck, out);
}

static void tell(struct search *s, const struct search_point *p, const struct search_outcome *o)
{
    (void)s, (void)p, (void)o;
}

static bool done(const struct search *s)
{
    return s->m.state == UTIL_EXHAUSTED;
}

static void close_lhs(struct search *s)
{
    util_deck_close(&s->deck);
    util_close(&s->m);
    free(s);
}

const struct search_ops search_lhs = {
    .name = "lhs",
    .doc = "Latin hypercube: every choice of every parameter equally often",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .open = open_lhs,
    .ask = ask,
    .tell = tell,
    .done = done,
    .close = close_lhs,
};
