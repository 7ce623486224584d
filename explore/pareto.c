// SPDX-License-Identifier: GPL-3.0-or-later
// Fronts are found by sorting on the first objective: a point can then only be dominated by one
// before it, and it is enough to compare with those that are still on the front.
#include "explore/pareto.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { MAX_OBJECTIVES = 16 };

static void *array(int n, size_t size)
{
    void *p = calloc((size_t)n + 1, size);
    if (!p)
        abort();
    return p;
}

// Objectives that at least one point knows.
static int live_objectives(const double *v, int n, int k, int *live)
{
    int count = 0;
    assert(k <= MAX_OBJECTIVES);
    for (int j = 0; j < k; j++)
        for (int i = 0; i < n; i++)
            if (!isnan(v[i * k + j])) {
                live[count++] = j;
                break;
            }
    return count;
}

static bool complete(const double *p, const int *live, int n_live)
{
    for (int l = 0; l < n_live; l++)
        if (isnan(p[live[l]]))
            return false;
    return n_live > 0;
}

static bool dominates(const double *a, const double *b, const int *live, int n_live)
{
    bool better = false;
    for (int l = 0; l < n_live; l++) {
        if (a[live[l]] > b[live[l]])
            return false;
        better |= a[live[l]] < b[live[l]];
    }
    return better;
}

struct key {
    const double *p;
    const int *live;
    int n_live, index;
};

static int by_values(const void *x, const void *y)
{
    const struct key *a = x, *b = y;
    for (int l = 0; l < a->n_live; l++) {
        double u = a->p[a->live[l]], w = b->p[b->live[l]];
        if (u != w)
            return u < w ? -1 : 1;
    }
    return a->index - b->index;
}

void pareto_front(const double *v, int n, int k, bool *front)
{
    int live[MAX_OBJECTIVES], n_live = live_objectives(v, n, k, live);
    struct key *key = array(n, sizeof *key);
    int count = 0, kept = 0;
    for (int i = 0; i < n; i++) {
        front[i] = false;
        if (complete(v + i * k, live, n_live))
            key[count++] = (struct key){v + i * k, live, n_live, i};
    }
    qsort(key, (size_t)count, sizeof *key, by_values);
    for (int i = 0; i < count; i++) { // key[0, kept) is the front so far
        bool dominated = false;
        for (int f = 0; f < kept && !dominated; f++)
            dominated = dominates(key[f].p, key[i].p, live, n_live);
        if (!dominated) {
            key[kept++] = key[i];
            front[key[i].index] = true;
        }
    }
    free(key);
}

static int by_number(const void *x, const void *y)
{
    const double *a = x, *b = y;
    return (*a > *b) - (*a < *b);
}

// The (lower) median of the values above 0 of objective j; 0 when there is none.
static double usual(const double *v, int n, int k, int j)
{
    double *above = array(n, sizeof *above), median = 0;
    int count = 0;
    for (int i = 0; i < n; i++)
        if (v[i * k + j] > 0)
            above[count++] = v[i * k + j];
    qsort(above, (size_t)count, sizeof *above, by_number);
    if (count)
        median = above[(count - 1) / 2];
    free(above);
    return median;
}

void pareto_score(const double *v, int n, int k, double *score)
{
    int live[MAX_OBJECTIVES], n_live = live_objectives(v, n, k, live), used = 0;
    for (int i = 0; i < n; i++)
        score[i] = 0;
    for (int l = 0; l < n_live; l++) {
        int j = live[l];
        double best = v[pareto_best(v, n, k, j) * k + j];
        double shift = best == 0 ? usual(v, n, k, j) : 0;
        if (!(best + shift > 0))
            continue;
        used++;
        for (int i = 0; i < n; i++)
            score[i] += log((v[i * k + j] + shift) / (best + shift));
    }
    for (int i = 0; i < n; i++)
        score[i] = used ? exp(score[i] / used) : (double)NAN;
}

static int by_score(const void *x, const void *y)
{
    const struct {
        double score;
        int index;
    } *a = x, *b = y;
    if (isnan(a->score) != isnan(b->score))
        return isnan(a->score) ? 1 : -1;
    if (!isnan(a->score) && a->score != b->score)
        return a->score < b->score ? -1 : 1;
    return a->index - b->index;
}

void pareto_rank(const double *score, int n, int *order)
{
    struct {
        double score;
        int index;
    } *key = array(n, sizeof *key);
    for (int i = 0; i < n; i++) {
        key[i].score = score[i];
        key[i].index = i;
    }
    qsort(key, (size_t)n, sizeof *key, by_score);
    for (int i = 0; i < n; i++)
        order[i] = key[i].index;
    free(key);
}

int pareto_best(const double *v, int n, int k, int j)
{
    int best = -1;
    for (int i = 0; i < n; i++)
        if (!isnan(v[i * k + j]) && (best < 0 || v[i * k + j] < v[best * k + j]))
            best = i;
    return best;
}

bool pareto_alike(double x, double y, double alike)
{
    if (isnan(x) || isnan(y))
        return isnan(x) && isnan(y);
    return x == y || fabs(x - y) < alike * fmin(fabs(x), fabs(y));
}

double pareto_kendall(const double *a, const double *b, int n, double alike)
{
    double agree = 0, pairs_a = 0, pairs_b = 0; // the latter: pairs not tied in that list
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++) {
            if (isnan(a[i]) || isnan(b[i]) || isnan(a[j]) || isnan(b[j]))
                continue;
            int x = pareto_alike(a[i], a[j], alike) ? 0 : a[i] > a[j] ? 1 : -1;
            int y = pareto_alike(b[i], b[j], alike) ? 0 : b[i] > b[j] ? 1 : -1;
            agree += x * y;
            pairs_a += x != 0;
            pairs_b += y != 0;
        }
    return pairs_a > 0 && pairs_b > 0 ? agree / sqrt(pairs_a * pairs_b) : (double)NAN;
}
