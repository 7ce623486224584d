// SPDX-License-Identifier: GPL-3.0-or-later
// Choosing requests that stand for a trace.
//
// Groups come from repeated division: of all groups the one whose members differ most from their
// mean (sum of squared distances) is cut in two, by prompt or by output length, where that lowers
// the sum most. So groups are rectangles in the plane of the two lengths, many where requests are
// many and different, and a rare long request gets a small group instead of being averaged away.
// Lengths are divided by their standard deviation in the trace; otherwise the prompts, ten times as
// long, would decide alone.
//
// The representative is the member nearest to its group's mean. In squared distance this is the
// medoid: the member from which the others are least far. It is a request that really occurred.
//
// The error: metrics that are linear in the lengths are off by the distance of the representatives
// from the means (trace_summary has both), curved ones (attention) in proportion to the variance
// within the groups as well, of which trace_summary.unexplained is the share.
//
// Invariant: the choice depends on the multiset of requests only, not on their order.
#include "explore/requests.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

struct group {
    int64_t begin, end; // in the trace's array
    double mean[2];     // prompt, gen
    double square[2];   // sum of squared distances from the mean, in variances
};

static double length(const struct trace_request *r, int side)
{
    return side ? r->n_gen : r->n_prompt;
}

// scale: 1 / variance of each side; 0 where all are equal.
static void measure(const struct trace *t, const double *scale, struct group *g)
{
    double n = (double)(g->end - g->begin);
    for (int s = 0; s < 2; s++) {
        double sum = 0, square = 0;
        for (int64_t i = g->begin; i < g->end; i++)
            sum += length(&t->request[i], s);
        g->mean[s] = sum / n;
        for (int64_t i = g->begin; i < g->end; i++) {
            double d = length(&t->request[i], s) - g->mean[s];
            square += d * d;
        }
        g->square[s] = square * scale[s];
    }
}

static int by_prompt(const void *x, const void *y)
{
    const struct trace_request *a = x, *b = y;
    if (a->n_prompt != b->n_prompt)
        return a->n_prompt < b->n_prompt ? -1 : 1;
    return (a->n_gen > b->n_gen) - (a->n_gen < b->n_gen);
}

static int by_gen(const void *x, const void *y)
{
    const struct trace_request *a = x, *b = y;
    if (a->n_gen != b->n_gen)
        return a->n_gen < b->n_gen ? -1 : 1;
    return (a->n_prompt > b->n_prompt) - (a->n_prompt < b->n_prompt);
}

static void sort(struct trace *t, const struct group *g, int side)
{
    qsort(t->request + g->begin, (size_t)(g->end - g->begin), sizeof *t->request,
          side ? by_gen : by_prompt);
}

// The best cut of a group that is sorted by `side`: the first index of the right part, and by how
// much it lowers the sum of squares; 0 when all its members are equal on that side.
static int64_t best_cut(const struct trace *t, const struct group *g, int side, const double *scale,
                        double *gain)
{
    double left[2] = {0, 0};
    int64_t at = 0;
    *gain = 0;
    for (int64_t i = g->begin; i + 1 < g->end; i++) {
        double n = (double)(i + 1 - g->begin), rest = (double)(g->end - i - 1), sum = 0;
        for (int s = 0; s < 2; s++) {
            // Lengths as distances from the group's mean, so that the parts' sums are opposite.
            left[s] += length(&t->request[i], s) - g->mean[s];
            sum += left[s] * left[s] * (1 / n + 1 / rest) * scale[s];
        }
        if (sum > *gain && length(&t->request[i], side) < length(&t->request[i + 1], side)) {
            *gain = sum;
            at = i + 1;
        }
    }
    return at;
}

static bool divide(struct trace *t, struct group *g, struct group *right, const double *scale)
{
    double gain[2];
    int64_t cut[2];
    for (int s = 1; s >= 0; s--) { // leaves the group sorted by prompt
        sort(t, g, s);
        cut[s] = best_cut(t, g, s, scale, &gain[s]);
    }
    int side = gain[1] > gain[0];
    if (!(gain[side] > 0))
        return false;
    if (side)
        sort(t, g, side);
    *right = (struct group){.begin = cut[side], .end = g->end};
    g->end = cut[side];
    measure(t, scale, g);
    measure(t, scale, right);
    return true;
}

static struct space_request medoid(const struct trace *t, const struct group *g,
                                   const double *scale)
{
    const struct trace_request *best = NULL;
    double nearest = INFINITY;
    for (int64_t i = g->begin; i < g->end; i++) {
        const struct trace_request *r = &t->request[i];
        double distance = 0;
        for (int s = 0; s < 2; s++) {
            double d = length(r, s) - g->mean[s];
            distance += d * d * scale[s];
        }
        if (distance < nearest || (distance == nearest && by_prompt(r, best) < 0)) {
            nearest = distance;
            best = r;
        }
    }
    assert(best); // a group has a member
    return (struct space_request){best->n_prompt, best->n_gen,
                                  (double)(g->end - g->begin) / (double)t->n};
}

static int by_lengths(const void *x, const void *y)
{
    const struct space_request *a = x, *b = y;
    if (a->n_prompt != b->n_prompt)
        return a->n_prompt < b->n_prompt ? -1 : 1;
    return (a->n_gen > b->n_gen) - (a->n_gen < b->n_gen);
}

static int widest(const struct group *g, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (g[i].square[0] + g[i].square[1] > g[best].square[0] + g[best].square[1])
            best = i;
    return best;
}

int requests_choose(struct trace *t, int n, struct space_request *out, struct trace_summary *sum)
{
    const double ones[2] = {1, 1};
    double scale[2] = {0, 0}, total = 0, left = 0;
    struct group *g = calloc((size_t)n, sizeof *g);
    int count = 1;
    if (!g)
        abort();
    g[0] = (struct group){.end = t->n};
    sort(t, &g[0], 0); // sums in one order, whatever the trace's
    measure(t, ones, &g[0]);
    for (int s = 0; s < 2; s++)
        scale[s] = g[0].square[s] > 0 ? (double)t->n / g[0].square[s] : 0;
    measure(t, scale, &g[0]);
    *sum = (struct trace_summary){
        .n = t->n, .clipped = sum->clipped, .prompt = g[0].mean[0], .gen = g[0].mean[1]};
    total = g[0].square[0] + g[0].square[1];
    while (count < n && divide(t, &g[widest(g, count)], &g[count], scale))
        count++;
    for (int i = 0; i < count; i++) {
        out[i] = medoid(t, &g[i], scale);
        sum->chosen_prompt += out[i].weight * out[i].n_prompt;
        sum->chosen_gen += out[i].weight * out[i].n_gen;
        left += g[i].square[0] + g[i].square[1];
    }
    sum->unexplained = total > 0 ? left / total : 0;
    qsort(out, (size_t)count, sizeof *out, by_lengths);
    free(g);
    return count;
}

int64_t trace_clip(struct trace *t, int max_tokens)
{
    int64_t n = 0;
    for (int64_t i = 0; i < t->n; i++) {
        struct trace_request *r = &t->request[i];
        if (r->n_prompt <= max_tokens - r->n_gen)
            continue;
        r->n_gen = r->n_gen < max_tokens ? r->n_gen : max_tokens - 1;
        r->n_prompt = max_tokens - r->n_gen;
        n++;
    }
    return n;
}

void trace_fini(struct trace *t)
{
    free(t->request);
    *t = (struct trace){0};
}
