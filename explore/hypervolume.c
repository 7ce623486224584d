// SPDX-License-Identifier: GPL-3.0-or-later
// Exact hypervolume by the WFG recursion (While, Bradstreet, Barone, "A fast way of calculating
// exact hypervolumes", IEEE Trans. Evol. Comp. 16(1), 2012).
//
// The volume of a set is the sum over its points of what each adds to those after it. What p adds
// to a set S is its own box minus the volume of S seen from p: every point of S is moved into p's
// box (the worse of the two in each objective), after which most are dominated by others and drop
// out.
//
// Points are sorted by falling last objective, worst first. Then all of S are at least as good as p
// in that objective, so that seen from p they are all equal in it: the difference is a volume of
// one dimension less, times p's height. The recursion ends in two dimensions, where a sweep is
// enough.
//
// Everything is turned into g = ref - v first (larger is better, boxes start at 0).
#include "explore/hypervolume.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "explore/pareto.h"

enum { MAX_K = HYPERVOLUME_MAX_OBJECTIVES };

struct gain {
    double g[MAX_K]; // > 0 in every objective that counts, 0 in those that no longer do
};

static struct gain *gains(int n)
{
    struct gain *p = calloc((size_t)n + 1, sizeof *p);
    if (!p)
        abort();
    return p;
}

static bool covers(const struct gain *a, const struct gain *b, int k)
{
    for (int j = 0; j < k; j++)
        if (a->g[j] < b->g[j])
            return false;
    return true;
}

// Keeps the points that no other covers (of equal ones the first). Returns their count.
static int keep_front(struct gain *s, int n, int k)
{
    int kept = 0;
    for (int i = 0; i < n; i++) {
        bool covered = false;
        for (int f = 0; f < kept && !covered; f++)
            covered = covers(&s[f], &s[i], k);
        if (covered)
            continue;
        const struct gain new = s[i];
        int left = 0;
        for (int f = 0; f < kept; f++)
            if (!covers(&new, &s[f], k))
                s[left++] = s[f];
        s[left++] = new;
        kept = left;
    }
    return kept;
}

static int by_last(const void *x, const void *y)
{
    const struct gain *a = x, *b = y;
    for (int j = MAX_K - 1; j >= 0; j--)
        if (a->g[j] != b->g[j])
            return a->g[j] < b->g[j] ? -1 : 1;
    return 0;
}

// Volume of a set in which no point covers another; the order of s is changed.
static double volume(struct gain *s, int n, int k);

// Of p's box, what no point of s covers; all points of s are at least as good in objective k - 1.
static double added(const struct gain *p, const struct gain *s, int n, int k)
{
    double box = 1;
    for (int j = 0; j < k - 1; j++)
        box *= p->g[j];
    struct gain *seen = gains(n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < k - 1; j++)
            seen[i].g[j] = fmin(s[i].g[j], p->g[j]);
    n = keep_front(seen, n, k - 1);
    double v = (box - volume(seen, n, k - 1)) * p->g[k - 1];
    free(seen);
    return v;
}

static double volume(struct gain *s, int n, int k)
{
    double sum = 0;
    if (n == 0)
        return 0;
    qsort(s, (size_t)n, sizeof *s, by_last);
    if (k == 1)
        return s[n - 1].g[0];
    if (k == 2) { // rising in objective 1, so falling in objective 0
        for (int i = 0; i < n; i++)
            sum += s[i].g[0] * (s[i].g[1] - (i ? s[i - 1].g[1] : 0));
        return sum;
    }
    for (int i = 0; i < n; i++)
        sum += added(&s[i], s + i + 1, n - i - 1, k);
    return sum;
}

// The points that count, as gains. Returns their count.
static int turn(const double *v, int n, int k, const double *ref, struct gain *out)
{
    int count = 0;
    for (int i = 0; i < n; i++) {
        bool counts = true;
        for (int j = 0; j < k; j++) {
            out[count].g[j] = ref[j] - v[i * k + j];
            counts &= out[count].g[j] > 0 && isfinite(out[count].g[j]); // false for a NaN
        }
        count += counts;
    }
    return count;
}

double hypervolume(const double *v, int n, int k, const double *ref)
{
    assert(k >= 1 && k <= MAX_K);
    struct gain *s = gains(n);
    int count = keep_front(s, turn(v, n, k, ref, s), k);
    double sum = volume(s, count, k);
    free(s);
    return sum;
}

double hypervolume_added(const double *p, const double *v, int n, int k, const double *ref)
{
    assert(k >= 1 && k <= MAX_K);
    struct gain own, *s = gains(n);
    double sum = 0;
    if (turn(p, 1, k, ref, &own)) {
        int count = turn(v, n, k, ref, s);
        sum = 1;
        for (int j = 0; j < k; j++)
            sum *= own.g[j];
        for (int i = 0; i < count; i++)
            for (int j = 0; j < k; j++)
                s[i].g[j] = fmin(s[i].g[j], own.g[j]);
        count = keep_front(s, count, k);
        sum -= volume(s, count, k);
    }
    free(s);
    return sum;
}

bool hypervolume_reference(const double *v, int n, int k, double *ref)
{
    double best[MAX_K];
    bool any = false, *front = calloc((size_t)n + 1, sizeof *front);
    assert(k >= 1 && k <= MAX_K);
    if (!front)
        abort();
    pareto_front(v, n, k, front);
    for (int i = 0; i < n; i++) {
        bool complete = front[i];
        for (int j = 0; j < k; j++)
            complete &= !isnan(v[i * k + j]);
        for (int j = 0; j < k && complete; j++) {
            double x = v[i * k + j];
            ref[j] = any ? fmax(ref[j], x) : x;
            best[j] = any ? fmin(best[j], x) : x;
        }
        any |= complete;
    }
    for (int j = 0; j < k && any; j++) {
        double range = ref[j] - best[j];
        range = range > 0 ? range : fabs(ref[j]);
        ref[j] += range > 0 ? 0.1 * range : 1;
    }
    free(front);
    return any;
}

double hypervolume_share(const double *v, int n, const double *whole, int n_whole, int k)
{
    double ref[MAX_K];
    if (!hypervolume_reference(whole, n_whole, k, ref))
        return (double)NAN;
    return hypervolume(v, n, k, ref) / hypervolume(whole, n_whole, k, ref);
}
