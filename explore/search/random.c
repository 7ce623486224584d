// SPDX-License-Identifier: GPL-3.0-or-later
// random: seeded, without repeats. Every parameter is drawn uniformly and then made canonical, so
// that each policy is as likely as any other, however many options it has.
//
// The baseline that any cleverer searcher has to beat. Where almost all points have been drawn and
// luck no longer finds a new one, the rest is walked through in order, so that a small space is
// covered completely.
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "base/rng.h"
#include "explore/search.h"

enum { TRIES = 200 }; // draws in a row that may be old before the walk begins

struct search {
    struct search_space space;
    struct rng *rng;
    struct search_point *seen; // open addressing; choice[0] is EMPTY in a free slot
    size_t room;               // a power of two
    int64_t count;
    struct search_point walk;
    enum { DRAWING, WALKING, DONE } state;
};

enum { EMPTY = -2 };

static struct search_point *slot(const struct search *s, const struct search_point *p)
{
    size_t bytes = (size_t)s->space.n_params * sizeof p->choice[0];
    size_t i = (size_t)digest_bytes(DIGEST_INIT, p->choice, bytes) & (s->room - 1);
    while (s->seen[i].choice[0] != EMPTY && memcmp(s->seen[i].choice, p->choice, bytes))
        i = (i + 1) & (s->room - 1);
    return &s->seen[i];
}

static void make_room(struct search *s)
{
    struct search_point *old = s->seen;
    size_t n = s->room;
    s->room = n ? n * 2 : 256;
    s->seen = malloc(s->room * sizeof *s->seen);
    if (!s->seen)
        abort();
    for (size_t i = 0; i < s->room; i++)
        s->seen[i].choice[0] = EMPTY;
    for (size_t i = 0; i < n; i++)
        if (old[i].choice[0] != EMPTY)
            *slot(s, &old[i]) = old[i];
    free(old);
}

// True when the point is new; it is remembered.
static bool remember(struct search *s, const struct search_point *p)
{
    if ((size_t)s->count * 2 >= s->room)
        make_room(s);
    struct search_point *at = slot(s, p);
    if (at->choice[0] != EMPTY)
        return false;
    *at = *p;
    s->count++;
    return true;
}

static struct search *open_random(const struct search_space *space, const void *options,
                                  uint64_t seed, struct err *e)
{
    struct search *s = calloc(1, sizeof *s);
    (void)options, (void)e;
    if (!s)
        abort();
    s->space = *space;
    s->rng = rng_create(seed, "search.random");
    make_room(s);
    return s;
}

static bool draw(struct search *s, struct search_point *p)
{
    for (int i = 0; i < TRIES; i++) {
        *p = (struct search_point){.level = s->space.n_levels - 1};
        for (int j = 0; j < s->space.n_params; j++)
            p->choice[j] = (int)rng_below(s->rng, (uint64_t)s->space.n_choices[j]);
        if (s->space.canonical(s->space.user, p) && remember(s, p))
            return true;
    }
    return false;
}

static bool ask(struct search *s, struct search_point *out)
{
    if (s->state == DRAWING) {
        if (draw(s, out))
            return true;
        s->state = search_first(&s->space, &s->walk) ? WALKING : DONE;
    }
    while (s->state == WALKING) {
        *out = s->walk;
        if (!search_next(&s->space, &s->walk))
            s->state = DONE;
        if (remember(s, out))
            return true;
    }
    return false;
}

static void tell(struct search *s, const struct search_point *p, const struct search_outcome *o)
{
    (void)s, (void)p, (void)o;
}

static bool done(const struct search *s)
{
    return s->state == DONE;
}

static void close_random(struct search *s)
{
    rng_destroy(s->rng);
    free(s->seen);
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
