// SPDX-License-Identifier: GPL-3.0-or-later
// The memory of a searcher: a growing list of records in the order of asking, and a hash table that
// finds the record of a point. A point at another level of detail is another point.
#include "explore/search/util.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"

enum { TRIES = 200 }; // draws in a row that may be old before the walk begins

void util_open(struct util_memory *m, const struct search_space *s, uint64_t seed,
               const char *stream)
{
    *m = (struct util_memory){.space = *s, .level = s->n_levels - 1};
    m->rng = rng_create(seed, stream);
    for (int j = 0; j < SEARCH_MAX_OBJECTIVES; j++)
        m->best[j] = (double)NAN;
}

void util_close(struct util_memory *m)
{
    rng_destroy(m->rng);
    free(m->choice);
    free(m->outcome);
    free(m->slot);
}

static size_t width(const struct util_memory *m)
{
    return (size_t)m->space.n_params;
}

static const int *record(const struct util_memory *m, int64_t i)
{
    return m->choice + (size_t)i * (width(m) + 1);
}

struct search_point util_point(const struct util_memory *m, int64_t i)
{
    struct search_point p = {.level = record(m, i)[width(m)]};
    memcpy(p.choice, record(m, i), width(m) * sizeof p.choice[0]);
    return p;
}

// Where a point is, or would be.
static size_t place(const struct util_memory *m, const int *choice, int level)
{
    size_t bytes = width(m) * sizeof *choice;
    uint64_t d = digest_u64(digest_bytes(DIGEST_INIT, choice, bytes), (uint64_t)level);
    size_t at = (size_t)(d ^ d >> 32) & (m->n_slots - 1);
    while (m->slot[at] >= 0) {
        const int *r = record(m, m->slot[at]);
        if (r[width(m)] == level && !memcmp(r, choice, bytes))
            break;
        at = (at + 1) & (m->n_slots - 1);
    }
    return at;
}

int64_t util_find(const struct util_memory *m, const struct search_point *p)
{
    return m->n_slots ? m->slot[place(m, p->choice, p->level)] : -1;
}

static void *grow(void *p, size_t n, size_t size)
{
    p = realloc(p, n * size);
    if (!p)
        abort();
    return p;
}

static void make_room(struct util_memory *m)
{
    if (m->asked == m->room) {
        m->room = m->room ? m->room * 2 : 256;
        m->choice = grow(m->choice, (size_t)m->room, (width(m) + 1) * sizeof *m->choice);
        m->outcome = grow(m->outcome, (size_t)m->room, sizeof *m->outcome);
    }
    if ((size_t)m->asked * 2 < m->n_slots)
        return;
    m->n_slots = m->n_slots ? m->n_slots * 2 : 512;
    m->slot = grow(m->slot, m->n_slots, sizeof *m->slot);
    for (size_t i = 0; i < m->n_slots; i++)
        m->slot[i] = -1;
    for (int64_t i = 0; i < m->asked; i++)
        m->slot[place(m, record(m, i), record(m, i)[width(m)])] = i;
}

bool util_ask(struct util_memory *m, const struct search_point *p)
{
    make_room(m);
    size_t at = place(m, p->choice, p->level);
    if (m->slot[at] >= 0)
        return false;
    m->slot[at] = m->asked;
    int *r = m->choice + (size_t)m->asked++ * (width(m) + 1);
    memcpy(r, p->choice, width(m) * sizeof *r);
    r[width(m)] = p->level;
    return true;
}

void util_tell(struct util_memory *m, const struct search_point *p, const struct search_outcome *o)
{
    assert(m->told < m->asked && util_find(m, p) == m->told);
    (void)p;
    m->outcome[m->told++] = *o;
}

bool util_new(struct util_memory *m, struct search_point *out)
{
    const struct search_space *s = &m->space;
    for (int i = 0; i < TRIES && m->state == UTIL_DRAWING; i++) {
        *out = (struct search_point){.level = m->level};
        for (int j = 0; j < s->n_params; j++)
            out->choice[j] = (int)rng_below(m->rng, (uint64_t)s->n_choices[j]);
        if (s->canonical(s->user, out) && util_ask(m, out))
            return true;
    }
    if (m->state == UTIL_DRAWING)
        m->state = search_first(s, &m->walk) ? UTIL_WALKING : UTIL_EXHAUSTED;
    while (m->state == UTIL_WALKING) {
        *out = m->walk;
        out->level = m->level;
        if (!search_next(s, &m->walk))
            m->state = UTIL_EXHAUSTED;
        if (util_ask(m, out))
            return true;
    }
    return false;
}

int64_t util_hear(struct util_memory *m, int64_t ahead)
{
    if (m->asked - m->heard < ahead)
        return UTIL_READY;
    if (m->heard == m->told)
        return UTIL_WAIT;
    const struct search_outcome *o = &m->outcome[m->heard];
    for (int j = 0; j < m->space.n_objectives && o->ok && !(o->violation > 0); j++)
        m->best[j] = fmin(m->best[j], o->objective[j]); // a NaN loses
    return m->heard++;
}
