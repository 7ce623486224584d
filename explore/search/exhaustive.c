// SPDX-License-Identifier: GPL-3.0-or-later
// exhaustive: every canonical point once, in lexicographic order (SoC parameters change slowest, so
// machines and their profiles are reused longest).
//
// The reference for all other searchers: on a space that is small enough, nothing is better.
#include <stdlib.h>
#include "explore/search.h"

struct search {
    struct search_space space;
    struct search_point next;
    bool left; // `next` has not been asked
};

static struct search *open_walk(const struct search_space *s, const void *options, uint64_t seed,
                                struct err *e)
{
    struct search *w = calloc(1, sizeof *w);
    (void)options, (void)seed, (void)e;
    if (!w)
        abort();
    w->space = *s;
    w->left = search_first(s, &w->next);
    return w;
}

static bool ask(struct search *w, struct search_point *out)
{
    if (!w->left)
        return false;
    *out = w->next;
    w->left = search_next(&w->space, &w->next);
    return true;
}

static void tell(struct search *w, const struct search_point *p, const struct search_outcome *o)
{
    (void)w, (void)p, (void)o;
}

static bool done(const struct search *w)
{
    return !w->left;
}

static void close_walk(struct search *w)
{
    free(w);
}

const struct search_ops search_exhaustive = {
    .name = "exhaustive",
    .doc = "every point of the space once",
    .open = open_walk,
    .ask = ask,
    .tell = tell,
    .done = done,
    .close = close_walk,
};
