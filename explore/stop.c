// SPDX-License-Identifier: GPL-3.0-or-later
// The rules need two things of what was told: whether one point has reached all targets, and how
// much the front has grown.
//
// Only the front is kept (feasible points that no other dominates), so a point that does not enter
// costs one pass over it, and most do not. Its hypervolume is measured against the worst values
// seen so far in each objective. That reference point moves outwards as worse points turn up, which
// happens ever more rarely; then the volume is computed anew, otherwise what a new point adds is
// added. With up to EXACT objectives it is exact; with more it is the share of fixed sampled points
// of the box that are dominated, because an exact volume of a large front would cost more than the
// search. The samples are the same in every run.
//
// Patience compares volumes against the same reference point: when that moves, the volume which the
// front had to beat is scaled by what the move made of the current front. Growth by less than
// GROWTH in all since the last time counts as none: on a rich front there is always one more point
// to be squeezed in.
//
// An objective that the first feasible point does not know is left out (energy on real hardware).
#include "explore/stop.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "explore/hypervolume.h"

enum { EXACT = 3, SAMPLES = 4096 };
#define GROWTH 1e-4

struct stop {
    struct stop_rules rules;
    int n_objectives;
    bool target; // reached
    int n_live, live[SEARCH_MAX_OBJECTIVES];
    double best[SEARCH_MAX_OBJECTIVES], worst[SEARCH_MAX_OBJECTIVES];
    double ref[SEARCH_MAX_OBJECTIVES]; // the reference point
    double *front;                     // [n * n_live]
    int n, room;
    double volume;  // of the front exact, or as samples that it dominates
    double mark;    // what must be beaten
    int64_t waited; // told points since it was beaten
    double *sample; // [SAMPLES * n_live] in the unit box; NULL: exact
    bool *covered;  // [SAMPLES]
};

const char *stop_text(enum stop_reason r)
{
    static const char *const text[STOP_REASONS] = {
        [STOP_NOT] = "",
        [STOP_EXHAUSTED] = "every point of the space was evaluated",
        [STOP_DONE] = "the searcher has nothing more to ask",
        [STOP_BUDGET] = "the budget is spent",
        [STOP_SECONDS] = "the time is up",
        [STOP_PATIENCE] = "the front has not grown for a while",
        [STOP_TARGET] = "the target is reached",
        [STOP_INTERRUPTED] = "interrupted",
    };
    return text[r];
}

struct stop *stop_open(const struct stop_rules *r, const struct search_space *s)
{
    struct stop *t = calloc(1, sizeof *t);
    if (!t)
        abort();
    t->rules = *r;
    t->n_objectives = s->n_objectives;
    return t;
}

static void first_point(struct stop *t, const double *v)
{
    for (int j = 0; j < t->n_objectives; j++)
        if (isfinite(v[j])) {
            t->best[t->n_live] = t->worst[t->n_live] = v[j];
            t->ref[t->n_live] = v[j] + 1;
            t->live[t->n_live++] = j;
        }
    if (t->n_live <= EXACT)
        return;
    struct rng *rng = rng_create(0, "stop.hypervolume");
    t->sample = calloc((size_t)SAMPLES * (size_t)t->n_live, sizeof *t->sample);
    t->covered = calloc(SAMPLES, sizeof *t->covered);
    if (!t->sample || !t->covered)
        abort();
    for (int i = 0; i < SAMPLES * t->n_live; i++)
        t->sample[i] = rng_uniform(rng);
    rng_destroy(rng);
}

static bool no_worse(const double *a, const double *b, int k)
{
    for (int j = 0; j < k; j++)
        if (a[j] > b[j])
            return false;
    return true;
}

static double cover(struct stop *t, const double *p)
{
    double count = 0;
    for (int i = 0; i < SAMPLES; i++) {
        double at[SEARCH_MAX_OBJECTIVES];
        if (t->covered[i])
            continue;
        for (int j = 0; j < t->n_live; j++)
            at[j] = t->best[j] + t->sample[i * t->n_live + j] * (t->ref[j] - t->best[j]);
        t->covered[i] = no_worse(p, at, t->n_live);
        count += t->covered[i];
    }
    return count;
}

// Volume of the box; 0 before two points differ.
static double box(const struct stop *t)
{
    double v = 1;
    bool differ = false;
    for (int j = 0; j < t->n_live; j++) {
        v *= t->ref[j] - t->best[j];
        differ |= t->worst[j] > t->best[j];
    }
    return differ ? v : 0;
}

static double measure(struct stop *t)
{
    double count = 0;
    if (!t->sample)
        return hypervolume(t->front, t->n, t->n_live, t->ref);
    memset(t->covered, 0, SAMPLES * sizeof *t->covered);
    for (int i = 0; i < t->n; i++)
        count += cover(t, t->front + i * t->n_live);
    return count;
}

// The box between best and worst grows to hold p; volumes follow it.
static void grow_box(struct stop *t, const double *p)
{
    bool moved = false;
    for (int j = 0; j < t->n_live; j++) {
        // The samples live in the box, so they see a better best too.
        moved |= t->sample && p[j] < t->best[j];
        t->worst[j] = fmax(t->worst[j], p[j]);
        t->best[j] = fmin(t->best[j], p[j]);
        // An objective in which all points are equal so far counts as one unit wide: the others
        // still have a volume.
        double ref = t->worst[j] > t->best[j] ? t->worst[j] : t->best[j] + 1;
        moved |= ref != t->ref[j];
        t->ref[j] = ref;
    }
    if (!moved)
        return;
    double before = t->volume;
    t->volume = measure(t);
    t->mark = before > 0 ? t->mark * (t->volume / before) : t->volume;
}

static bool enter(struct stop *t, const double *p)
{
    int k = t->n_live, kept = 0;
    for (int i = 0; i < t->n; i++)
        if (no_worse(t->front + i * k, p, k))
            return false;
    t->volume += t->sample ? cover(t, p) : hypervolume_added(p, t->front, t->n, k, t->ref);
    for (int i = 0; i < t->n; i++) {
        if (!no_worse(p, t->front + i * k, k)) {
            memmove(t->front + kept * k, t->front + i * k, (size_t)k * sizeof *t->front);
            kept++;
        }
    }
    t->n = kept;
    if (t->n == t->room) {
        t->room = t->room ? t->room * 2 : 64;
        t->front = realloc(t->front, (size_t)t->room * (size_t)k * sizeof *t->front);
        if (!t->front)
            abort();
    }
    memcpy(t->front + t->n++ * k, p, (size_t)k * sizeof *p);
    return true;
}

static void hear_feasible(struct stop *t, const double *v)
{
    double p[SEARCH_MAX_OBJECTIVES];
    bool first = t->n_live == 0;
    if (first)
        first_point(t, v);
    if (t->n_live == 0)
        return;
    for (int j = 0; j < t->n_live; j++) {
        p[j] = v[t->live[j]];
        if (!isfinite(p[j]))
            return;
    }
    grow_box(t, p);
    if (!enter(t, p))
        return;
    if (first || t->volume > t->mark * (1 + GROWTH)) {
        t->mark = t->volume;
        t->waited = 0;
    }
}

void stop_told(struct stop *t, const struct search_outcome *o)
{
    bool feasible = o->ok && !(o->violation > 0), all = t->rules.n_targets > 0 && feasible;
    for (int i = 0; i < t->rules.n_targets; i++)
        all &= o->objective[t->rules.target[i].objective] <= t->rules.target[i].value;
    t->target |= all;
    t->waited++;
    if (feasible)
        hear_feasible(t, o->objective);
}

enum stop_reason stop_check(const struct stop *t, int64_t asked, double seconds)
{
    if (t->target)
        return STOP_TARGET;
    if (t->rules.budget && asked >= t->rules.budget)
        return STOP_BUDGET;
    if (t->rules.patience && t->waited >= t->rules.patience)
        return STOP_PATIENCE;
    if (t->rules.seconds > 0 && seconds >= t->rules.seconds)
        return STOP_SECONDS;
    return STOP_NOT;
}

double stop_hypervolume(const struct stop *t)
{
    double whole = box(t);
    whole = t->sample && whole > 0 ? SAMPLES : whole;
    return t->n_live && whole > 0 ? t->volume / whole : (double)NAN;
}

void stop_close(struct stop *t)
{
    if (!t)
        return;
    free(t->front);
    free(t->sample);
    free(t->covered);
    free(t);
}
