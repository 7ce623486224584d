// SPDX-License-Identifier: GPL-3.0-or-later
// Which configurations are worth a run on hardware. The best ones, because one of them is to be
// used; and some of the rest, because among the best ones predictions are so close that their order
// says little, and because a simulator that is wrong about a whole policy shows it only there.
//
// Pure functions of the ranking: the same store gives the same configurations.
#include <stdlib.h>
#include <string.h>
#include "explore/pareto.h"
#include "explore/validate.h"

// Is it the same policy, whatever the options?
static bool same_policy(const struct campaign_row *a, const struct campaign_row *b)
{
    size_t n = strcspn(a->policy, ":");
    return n == strcspn(b->policy, ":") && !memcmp(a->policy, b->policy, n);
}

static bool same_pair(const struct campaign_row *a, const struct campaign_row *b)
{
    return !strcmp(a->policy, b->policy) && !strcmp(a->sync, b->sync);
}

// Does the prediction say the same of both?
static bool alike_rows(const struct campaign_row *a, const struct campaign_row *b, double alike)
{
    static const enum metric of[] = {METRIC_TTFT, METRIC_TPOT, METRIC_TOTAL};
    bool same = alike > 0;
    for (size_t i = 0; same && i < sizeof of / sizeof of[0]; i++)
        same = pareto_alike(a->m.value[of[i]], b->m.value[of[i]], alike);
    return same;
}

int validate_pick(const struct campaign_row *row, const int *order, int count, int n,
                  bool per_policy, double alike, int *place)
{
    int found = 0;
    for (int i = 0; i < count && found < n; i++) {
        const struct campaign_row *r = &row[order[i]];
        bool seen = !metrics_feasible(&r->m);
        for (int j = 0; j < found && !seen; j++) {
            const struct campaign_row *o = &row[order[place[j]]];
            seen = per_policy ? same_policy(o, r) : same_pair(o, r) || alike_rows(o, r, alike);
        }
        if (!seen)
            place[found++] = i;
    }
    return found;
}

// How many of those taken have the policy of the row.
static int taken(const struct campaign_row *row, const int *order, const int *place, int n,
                 const struct campaign_row *r)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        count += same_policy(&row[order[place[i]]], r);
    return count;
}

struct pair {
    const struct campaign_row *row;
    int place;
};

static int by_pair(const void *x, const void *y)
{
    const struct pair *a = x, *b = y;
    int c = strcmp(a->row->policy, b->row->policy);
    c = c ? c : strcmp(a->row->sync, b->row->sync);
    return c ? c : (a->place > b->place) - (a->place < b->place);
}

// The best places of the feasible pairs that are neither among those picked nor alike to one that
// is, or to one before, rising, in rest[count]; how many.
static int rest_of(const struct campaign_row *row, const int *order, int count, const int *place,
                   int n_picked, double alike, int *rest)
{
    struct pair *all = calloc((size_t)count + 1, sizeof *all);
    bool *wanted = calloc((size_t)count + 1, sizeof *wanted);
    int n = 0, n_rest = 0;
    if (!all || !wanted)
        abort();
    for (int i = 0; i < count; i++)
        if (metrics_feasible(&row[order[i]].m))
            all[n++] = (struct pair){&row[order[i]], i};
    qsort(all, (size_t)n, sizeof *all, by_pair);
    for (int i = 0; i < n; i++)
        wanted[all[i].place] = !i || !same_pair(all[i - 1].row, all[i].row);
    for (int j = 0; j < n_picked; j++)
        wanted[place[j]] = false;
    for (int i = 0; i < count; i++) {
        const struct campaign_row *r = &row[order[i]];
        bool known = !wanted[i];
        for (int j = 0; j < n_picked && !known; j++)
            known = alike_rows(&row[order[place[j]]], r, alike);
        for (int j = 0; j < n_rest && !known; j++)
            known = alike_rows(&row[order[rest[j]]], r, alike);
        if (!known)
            rest[n_rest++] = i;
    }
    free(all);
    free(wanted);
    return n_rest;
}

int validate_spread(const struct campaign_row *row, const int *order, int count, int n,
                    int n_picked, double alike, int *place)
{
    int *rest = calloc((size_t)count + 1, sizeof *rest), found = n_picked;
    if (!rest)
        abort();
    int n_rest = rest_of(row, order, count, place, n_picked, alike, rest);
    n = n < n_rest ? n : n_rest;
    for (int part = 0; part < n; part++) {
        int first = (int)((int64_t)n_rest * part / n);
        int last = (int)((int64_t)n_rest * (part + 1) / n) - 1;
        int best = -1, best_uses = 0, best_off = 0;
        for (int k = first; k <= last; k++) {
            int uses = taken(row, order, place, found, &row[order[rest[k]]]);
            int off = abs(2 * k - first - last); // twice the way to the middle
            if (best < 0 || uses < best_uses || (uses == best_uses && off < best_off)) {
                best = rest[k];
                best_uses = uses;
                best_off = off;
            }
        }
        place[found++] = best;
    }
    free(rest);
    return found;
}
