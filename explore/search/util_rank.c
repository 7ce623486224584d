// SPDX-License-Identifier: GPL-3.0-or-later
// Orders of outcomes. Constraints come first, after Deb ("An efficient constraint handling method
// for genetic algorithms", 2000): any feasible point is better than any that misses a constraint;
// of two that miss, the one that misses by less. What failed is worst of all.
//
// Fronts are found by efficient non-dominated sort (Zhang, Tian, Cheng, Jin, "An efficient approach
// to nondominated sorting for evolutionary multiobjective optimization", 2015): in lexicographic
// order a point can only be dominated by one before it, so it belongs to the first front of which
// no member dominates it. The result is that of the fast non-dominated sort of NSGA-II.
#include <math.h>
#include <stdlib.h>
#include "explore/search/util.h"

int util_check_objective(const struct search_space *s, const char *name, int objective,
                         struct err *e)
{
    static const char *const place[] = {"first", "second", "third", "fourth", "fifth", "sixth"};
    if (objective == UTIL_SCORE || objective < s->n_objectives)
        return 0;
    return err_set(e, ERR_USAGE, "%s: objective=%s, but the space has %d objective%s", name,
                   place[objective], s->n_objectives, s->n_objectives == 1 ? "" : "s");
}

static int class_of(const struct search_outcome *o)
{
    return !o->ok ? 2 : o->violation > 0;
}

// The mean logarithm of the ratio to the best; objectives that can be 0 have no ratio and are left
// out.
static double score(const struct util_memory *m, const struct search_outcome *o)
{
    double sum = 0;
    int n = 0;
    for (int j = 0; j < m->space.n_objectives; j++)
        if (m->best[j] > 0) { // false for a NaN
            sum += log(o->objective[j] / m->best[j]);
            n++;
        }
    return n ? sum / n : (double)NAN;
}

struct util_merit util_merit(const struct util_memory *m, int64_t i, int objective)
{
    const struct search_outcome *o = &m->outcome[i];
    struct util_merit a = {.class = class_of(o)};
    if (a.class == 1)
        a.value = o->violation;
    else if (a.class == 0)
        a.value = objective == UTIL_SCORE ? score(m, o) : o->objective[objective];
    return isnan(a.value) ? (struct util_merit){.class = 2} : a;
}

bool util_better(struct util_merit a, struct util_merit b)
{
    return a.class != b.class ? a.class < b.class : a.value < b.value;
}

void util_guide_open(struct util_guide *g, const struct search_space *s)
{
    *g = (struct util_guide){0};
    for (int i = 0; i < s->n_params; i++)
        g->like.choice[i] = SEARCH_UNUSED;
}

void util_guide_hear(struct util_guide *g, const struct util_memory *m, int64_t i, int objective)
{
    const struct search_point p = util_point(m, i);
    struct util_merit a = util_merit(m, i, objective);
    for (int j = 0; j < m->space.n_params; j++) {
        if (p.choice[j] == SEARCH_UNUSED ||
            (g->like.choice[j] != SEARCH_UNUSED && !util_better(a, g->merit[j])))
            continue;
        g->like.choice[j] = p.choice[j];
        g->merit[j] = a;
    }
}

// --- fronts

struct key {
    int class, at; // at: place in the caller's list
    int64_t index;
    int k;
    double value[SEARCH_MAX_OBJECTIVES]; // class 1: the violation alone
};

static struct key *keys_of(const struct util_memory *m, const int64_t *index, int n)
{
    struct key *key = calloc((size_t)n + 1, sizeof *key);
    if (!key)
        abort();
    for (int i = 0; i < n; i++) {
        const struct search_outcome *o = &m->outcome[index[i]];
        key[i] = (struct key){.class = class_of(o), .at = i, .index = index[i]};
        if (key[i].class == 0)
            key[i].k = m->space.n_objectives;
        else if (key[i].class == 1)
            key[i].k = 1;
        for (int j = 0; j < key[i].k; j++) {
            double v = key[i].class ? o->violation : o->objective[j];
            key[i].value[j] = isnan(v) ? (double)INFINITY : v;
        }
    }
    return key;
}

static int by_values(const void *x, const void *y)
{
    const struct key *a = x, *b = y;
    if (a->class != b->class)
        return a->class - b->class;
    for (int j = 0; j < a->k; j++)
        if (a->value[j] != b->value[j])
            return a->value[j] < b->value[j] ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static bool dominates(const struct key *a, const struct key *b)
{
    bool better = false;
    if (a->class != b->class)
        return a->class < b->class;
    for (int j = 0; j < a->k; j++) {
        if (a->value[j] > b->value[j])
            return false;
        better |= a->value[j] < b->value[j];
    }
    return better;
}

int util_fronts(const struct util_memory *m, const int64_t *index, int n, int *rank)
{
    struct key *key = keys_of(m, index, n);
    int *last = calloc((size_t)n + 1, sizeof *last);     // of each front: its latest member
    int *before = calloc((size_t)n + 1, sizeof *before); // of each member: the one before it, or -1
    int fronts = 0;
    if (!last || !before)
        abort();
    qsort(key, (size_t)n, sizeof *key, by_values);
    for (int i = 0; i < n; i++) {
        int f = 0;
        for (; f < fronts; f++) {
            int g = last[f]; // the latest is the likeliest to dominate
            while (g >= 0 && !dominates(&key[g], &key[i]))
                g = before[g];
            if (g < 0)
                break;
        }
        before[i] = f == fronts ? -1 : last[f];
        last[f] = i;
        fronts += f == fronts;
        rank[key[i].at] = f;
    }
    free(before);
    free(last);
    free(key);
    return fronts;
}

struct along {
    int rank, at;
    double value;
};

static int by_rank_value(const void *x, const void *y)
{
    const struct along *a = x, *b = y;
    if (a->rank != b->rank)
        return a->rank - b->rank;
    if (a->value != b->value)
        return a->value < b->value ? -1 : 1;
    return a->at - b->at;
}

void util_crowding(const struct util_memory *m, const int64_t *index, int n, const int *rank,
                   double *crowding)
{
    struct along *a = calloc((size_t)n + 1, sizeof *a);
    if (!a)
        abort();
    for (int i = 0; i < n; i++)
        crowding[i] = 0;
    for (int j = 0; j < m->space.n_objectives; j++) {
        for (int i = 0; i < n; i++) {
            double v = m->outcome[index[i]].objective[j];
            a[i] = (struct along){rank[i], i, isnan(v) ? (double)INFINITY : v};
        }
        qsort(a, (size_t)n, sizeof *a, by_rank_value);
        for (int begin = 0, end; begin < n; begin = end) {
            for (end = begin; end < n && a[end].rank == a[begin].rank;)
                end++;
            double range = a[end - 1].value - a[begin].value;
            if (!(range > 0) || isinf(range))
                continue; // all equal: no end is an end
            crowding[a[begin].at] = crowding[a[end - 1].at] = (double)INFINITY;
            for (int i = begin + 1; i + 1 < end; i++)
                crowding[a[i].at] += (a[i + 1].value - a[i - 1].value) / range;
        }
    }
    free(a);
}

struct place {
    int rank;
    double crowding;
    int64_t index;
};

static int by_place(const void *x, const void *y)
{
    const struct place *a = x, *b = y;
    if (a->rank != b->rank)
        return a->rank - b->rank;
    if (a->crowding != b->crowding)
        return a->crowding > b->crowding ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

void util_sort(const struct util_memory *m, int64_t *index, int n)
{
    int *rank = calloc((size_t)n + 1, sizeof *rank);
    double *crowding = calloc((size_t)n + 1, sizeof *crowding);
    struct place *p = calloc((size_t)n + 1, sizeof *p);
    if (!rank || !crowding || !p)
        abort();
    util_fronts(m, index, n, rank);
    util_crowding(m, index, n, rank, crowding);
    for (int i = 0; i < n; i++)
        p[i] = (struct place){rank[i], crowding[i], index[i]};
    qsort(p, (size_t)n, sizeof *p, by_place);
    for (int i = 0; i < n; i++)
        index[i] = p[i].index;
    free(p);
    free(crowding);
    free(rank);
}

struct standing {
    struct util_merit merit;
    int64_t index;
};

static int by_merit(const void *x, const void *y)
{
    const struct standing *a = x, *b = y;
    if (util_better(a->merit, b->merit))
        return -1;
    if (util_better(b->merit, a->merit))
        return 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

void util_sort_aim(const struct util_memory *m, int64_t *index, int n, int aim)
{
    if (aim == UTIL_AIM_FRONT) {
        util_sort(m, index, n);
        return;
    }
    struct standing *p = calloc((size_t)n + 1, sizeof *p);
    if (!p)
        abort();
    for (int i = 0; i < n; i++)
        p[i] = (struct standing){util_merit(m, index[i], aim - 1), index[i]};
    qsort(p, (size_t)n, sizeof *p, by_merit);
    for (int i = 0; i < n; i++)
        index[i] = p[i].index;
    free(p);
}
