// SPDX-License-Identifier: GPL-3.0-or-later
// What searchers share: finding one by name, and the walk over all canonical points.
//
// The walk is an odometer that skips the wheels that do not apply. Because the use of a parameter
// depends only on those before it, canonical points come out in strictly rising lexicographic
// order, so each comes out exactly once, without ever forming the product of parameters that
// exclude each other.
#include "explore/search.h"

#include <string.h>

int search_parse(const char *spec, struct arena *a, const struct search_ops **out,
                 const void **options, struct err *e)
{
    const char *names[64], *colon = strchr(spec, ':');
    size_t n = colon ? (size_t)(colon - spec) : strlen(spec), count = 0;
    const struct search_ops *ops = NULL;
    for (; count < search_registry_count && count < 64; count++) {
        names[count] = search_registry[count]->name;
        if (strlen(names[count]) == n && !memcmp(names[count], spec, n))
            ops = search_registry[count];
    }
    if (!ops) {
        const char *name = arena_printf(a, "%.*s", (int)n, spec);
        const char *near = err_nearest(name, names, count);
        return err_set(e, ERR_USAGE, "unknown searcher \"%s\"%s%s%s; see `partita list searchers`",
                       name, near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    void *o = arena_alloc(a, ops->options_size ? ops->options_size : 1);
    *out = ops;
    *options = o;
    return conf_read_text(colon ? colon + 1 : NULL, ops->name, ops->rows, ops->n_rows, o, a, e);
}

// Moves to the next vector; false at the end. The result is canonical, but perhaps infeasible.
static bool advance(const struct search_space *s, struct search_point *p, bool *feasible)
{
    for (int i = s->n_params - 1; i >= 0; i--) {
        if (p->choice[i] == SEARCH_UNUSED || p->choice[i] + 1 >= s->n_choices[i])
            continue;
        p->choice[i]++;
        for (int j = i + 1; j < s->n_params; j++)
            p->choice[j] = 0;
        *feasible = s->canonical(s->user, p);
        return true;
    }
    return false;
}

bool search_next(const struct search_space *s, struct search_point *p)
{
    bool feasible;
    while (advance(s, p, &feasible))
        if (feasible)
            return true;
    return false;
}

bool search_first(const struct search_space *s, struct search_point *p)
{
    *p = (struct search_point){.level = s->n_levels - 1};
    return s->canonical(s->user, p) || search_next(s, p);
}
