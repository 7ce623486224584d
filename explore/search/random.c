// SPDX-License-Identifier: GPL-3.0-or-later
// random: seeded, without repeats. Every parameter is drawn uniformly and then made canonical, so
// that each policy is as likely as any other, however many options it has.
//
// The baseline that any cleverer searcher has to beat. Where almost all points have been drawn and
// luck no longer finds a new one, the rest is walked through in order, so that a small space is
// covered completely.
#include <stdlib.h>
#include "explore/search/util.h"

struct search {
    struct util_memory m;
};

static struct search *open_random(const struct search_space *space, const void *options,
                                  uint64_t seed, struct err *e)
{
    struct search *s = calloc(1, sizeof *s);
    (void)options, (void)e;
    if (!s)
        abort();
    util_open(&s->m, space, seed, "search.random");
    return s;
}

static bool ask(struct search *s, struct search_point *out)
{
    return util_new(&s->m, out);
}

static void tell(struct search *s, const struct search_point *p, const struct search_outcome *o)
{
    (void)s, (void)p, (void)o;
}

static bool done(const struct search *s)
{
    return s->m.state == UTIL_EXHAUSTED;
}

static void close_random(struct search *s)
{
    util_close(&s->m);
    free(s);
}

const struct search_ops search_random = {
    .name = "random",
    .doc = "points drawn at random, without repeats",
    .open = open_random,
    .ask = ask,
    .tell = tell,
    .done = done,
    .close = close_random,
};
