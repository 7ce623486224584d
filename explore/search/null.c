// SPDX-License-Identifier: GPL-3.0-or-later
// null: asks nothing. For testing the harness, and for checking a space without running it.
#include <stddef.h>
#include "explore/search.h"

struct search {
    char unused;
};

static struct search *open_null(const struct search_space *s, const void *options, uint64_t seed,
                                struct err *e)
{
    static struct search none;
    (void)s, (void)options, (void)seed, (void)e;
    return &none;
}

static bool ask(struct search *s, struct search_point *out)
{
    (void)s, (void)out;
    return false;
}

static void tell(struct search *s, const struct search_point *p, const struct search_outcome *o)
{
    (void)s, (void)p, (void)o;
}

static bool done(const struct search *s)
{
    (void)s;
    return true;
}

static void close_null(struct search *s)
{
    (void)s;
}

const struct search_ops search_null = {
    .name = "null",
    .doc = "asks nothing; for testing the harness",
    .open = open_null,
    .ask = ask,
    .tell = tell,
    .done = done,
    .close = close_null,
};
