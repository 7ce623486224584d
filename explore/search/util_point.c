// SPDX-License-Identifier: GPL-3.0-or-later
// Points of a conditional space. Whether a parameter applies depends only on those before it, so a
// point is built from the first parameter to the last, and only what applies is ever chosen.
#include <stdlib.h>
#include "explore/search/util.h"

bool util_build(const struct search_space *s, int level, util_pick_fn *pick, void *user,
                struct search_point *out)
{
    struct search_point p = {.level = level}; // what was picked, then the first choices
    struct search_point q = p;                // the same, canonical
    bool feasible = s->canonical(s->user, &q);
    for (int i = 0; i < s->n_params; i++) {
        if (q.choice[i] == SEARCH_UNUSED)
            continue;
        p.choice[i] = pick(user, i, &q);
        if (p.choice[i] == 0)
            continue; // as it was
        q = p;
        feasible = s->canonical(s->user, &q);
    }
    *out = q;
    return feasible;
}

// --- dealing

void util_deck_open(struct util_deck *d, const struct search_space *s, int points)
{
    *d = (struct util_deck){.points = points};
    for (int i = 0; i < s->n_params; i++) {
        d->size[i] = s->n_choices[i] < points ? s->n_choices[i] : points;
        d->card[i] = calloc((size_t)d->size[i], sizeof *d->card[i]);
        if (!d->card[i])
            abort();
    }
}

void util_deck_close(struct util_deck *d)
{
    for (int i = 0; i < SEARCH_MAX_PARAMS; i++)
        free(d->card[i]);
}

struct dealing {
    struct util_memory *m;
    struct util_deck *d;
};

static int deal(void *user, int i, const struct search_point *so_far)
{
    const struct dealing *g = user;
    struct util_deck *d = g->d;
    struct rng *rng = g->m->rng;
    (void)so_far;
    if (d->left[i] == 0) {
        for (int c = 0; c < d->size[i]; c++) { // shuffled from the inside out
            int at = (int)rng_below(rng, (uint64_t)c + 1);
            d->card[i][c] = d->card[i][at];
            d->card[i][at] = c;
        }
        d->left[i] = d->size[i];
    }
    int64_t stratum = d->card[i][--d->left[i]], n = g->m->space.n_choices[i];
    // A stratum is a run of choices; where there are as many strata as choices, exactly one.
    int64_t from = stratum * n / d->size[i], to = (stratum + 1) * n / d->size[i];
    return (int)(to - from > 1 ? from + (int64_t)rng_below(rng, (uint64_t)(to - from)) : from);
}

bool util_deal(struct util_memory *m, struct util_deck *d, struct search_point *out)
{
    enum { TRIES = 20 };
    struct dealing g = {m, d};
    for (int i = 0; i < TRIES && m->state == UTIL_DRAWING; i++)
        if (util_build(&m->space, m->level, deal, &g, out) && util_ask(m, out))
            return true;
    return util_new(m, out);
}

// --- neighbours

struct change {
    struct util_memory *m;
    const struct search_point *p, *like;
    int param, choice;
};

static int changed(void *user, int i, const struct search_point *so_far)
{
    const struct change *c = user;
    (void)so_far;
    if (i == c->param)
        return c->choice;
    if (c->p->choice[i] != SEARCH_UNUSED)
        return c->p->choice[i];
    if (c->like && c->like->choice[i] != SEARCH_UNUSED)
        return c->like->choice[i];
    return (int)rng_below(c->m->rng, (uint64_t)c->m->space.n_choices[i]);
}

bool util_change(struct util_memory *m, const struct search_point *p, int i, int c,
                 const struct search_point *like, struct search_point *out)
{
    struct change change = {m, p, like, i, c};
    return util_build(&m->space, p->level, changed, &change, out);
}

int util_max_steps(const struct search_space *s)
{
    int n = 0;
    for (int i = 0; i < s->n_params; i++)
        n += s->ordered[i] ? 2 : s->n_choices[i] - 1;
    return n;
}

int util_steps(struct util_memory *m, const struct search_point *p, struct util_step *out)
{
    const struct search_space *s = &m->space;
    int n = 0;
    for (int i = 0; i < s->n_params; i++) {
        int at = p->choice[i];
        for (int c = 0; c < s->n_choices[i] && at != SEARCH_UNUSED; c++)
            if (c != at && (!s->ordered[i] || abs(c - at) == 1))
                out[n++] = (struct util_step){i, c};
    }
    for (int i = n - 1; i > 0; i--) {
        int j = (int)rng_below(m->rng, (uint64_t)i + 1);
        struct util_step t = out[i];
        out[i] = out[j];
        out[j] = t;
    }
    return n;
}
