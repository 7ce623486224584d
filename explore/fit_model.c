// SPDX-License-Identifier: GPL-3.0-or-later
// The model as the solver sees it: residuals over scaled parameters, and their slopes.
//
// Simulated machines count whole picoseconds, requests and blocks, so a derivative is a difference
// over a step that must be neither below their grain nor beyond their bends. Each parameter gets
// its own: starting small, the step grows until the slope over it and over three times it agree.
// And since most parameters of a SoC move few rows (no NPU parameter moves a GPU row), each is
// differentiated on the rows that it was seen to move only; fit.c looks at the others again in the
// end.
#include "explore/fit_internal.h"

#include <math.h>
#include <string.h>

// A range without an end is cut here: a factor of a million, ln 1e6.
static const double FAR = 14, ENORMOUS = 1e4, LARGEST_STEP = 0.2;

void fit_scale_init(struct fit_state *s, int i, double x)
{
    const struct fit_parameter *p = &s->p->parameter[i];
    struct fit_scale *c = &s->scale[i];
    *c = (struct fit_scale){.log = p->min >= 0 && x > 0, .unit = 1};
    if (c->log) {
        c->lo = p->min > 0 ? log(p->min) : log(x) - FAR;
        c->hi = isinf(p->max) ? log(x) + FAR : log(p->max);
    } else {
        c->unit = x != 0 ? fabs(x) : isinf(p->max - p->min) ? 1 : p->max - p->min;
        c->lo = p->min / c->unit;
        c->hi = p->max / c->unit;
    }
}

double fit_to_z(const struct fit_state *s, int i, double x)
{
    const struct fit_scale *c = &s->scale[i];
    return c->log ? log(x) : x / c->unit;
}

double fit_from_z(const struct fit_state *s, int i, double z)
{
    const struct fit_parameter *p = &s->p->parameter[i];
    const struct fit_scale *c = &s->scale[i];
    return fmin(fmax(c->log ? exp(z) : z * c->unit, p->min), p->max);
}

// --- residuals

// Square: pseudo-Huber loss, quadratic inside the knee and linear far outside.
static double flatten(const struct fit_problem *p, double v)
{
    double a = p->knee > 0 ? v / p->knee : 0;
    return a != 0 ? copysign(p->knee * sqrt(2 * (sqrt(1 + a * a) - 1)), v) : v;
}

static double residual(const struct fit_problem *p, int row, double y)
{
    const struct fit_row *r = &p->row[row];
    double v = p->residual == FIT_RELATIVE ? (y > 0 ? log(y / r->observed) : NAN) : y - r->observed;
    return isfinite(v) ? flatten(p, v / r->tolerance) : ENORMOUS;
}

int fit_residuals(struct fit_state *s, const double *x, const bool *want, double *r, struct err *e)
{
    const struct fit_problem *p = s->p;
    double whole[FIT_MAX_PARAMETERS];
    for (int i = 0; i < p->n; i++)
        whole[i] = p->parameter[i].whole ? nearbyint(x[i]) : x[i];
    if (p->stop && *p->stop)
        s->stopped = true;
    int rc = s->stopped ? -1 : p->predict(p->user, whole, want, s->y, e);
    for (int j = 0; j < p->m; j++) {
        if (!want[j])
            continue;
        r[j] = rc < 0 ? ENORMOUS : residual(p, j, s->y[j]);
        s->predictions++;
    }
    return rc;
}

double fit_cost(const struct fit_state *s, const double *r, const bool *want)
{
    double sum = 0;
    for (int j = 0; j < s->p->m; j++)
        sum += want[j] ? r[j] * r[j] : 0;
    return sum;
}

double fit_refresh(struct fit_state *s)
{
    fit_residuals(s, s->x, s->all, s->r, NULL);
    return fit_cost(s, s->r, s->all);
}

// --- slopes

// The value a step away from x[i], inside the bounds, and one apart for integers.
static double beside(const struct fit_state *s, int i, double x, double step)
{
    const struct fit_parameter *p = &s->p->parameter[i];
    const struct fit_scale *c = &s->scale[i];
    double z = fit_to_z(s, i, x) + step, at = fit_from_z(s, i, fmin(fmax(z, c->lo), c->hi));
    if (!p->whole)
        return at;
    double here = nearbyint(x), there = nearbyint(at);
    if (there == here)
        there += step < 0 ? -1 : 1;
    return there < p->min || there > p->max ? here : there;
}

int fit_difference(struct fit_state *s, const double *x, const double *r, int i, double step,
                   const bool *want, double *slope)
{
    double at[FIT_MAX_PARAMETERS], z[2];
    double *side[2] = {s->low, s->high};
    memcpy(at, x, (size_t)s->p->n * sizeof *at);
    for (int k = 0; k < 2; k++) {
        at[i] = beside(s, i, x[i], k ? step : -step);
        // At a bound, or where there is no model on one side, the difference is one-sided.
        if (at[i] == x[i] || fit_residuals(s, at, want, side[k], NULL) < 0) {
            at[i] = s->p->parameter[i].whole ? nearbyint(x[i]) : x[i];
            memcpy(side[k], r, (size_t)s->p->m * sizeof *r);
        }
        z[k] = fit_to_z(s, i, at[i]);
    }
    for (int j = 0; j < s->p->m; j++)
        if (want[j])
            slope[j] = z[1] > z[0] ? (side[1][j] - side[0][j]) / (z[1] - z[0]) : 0;
    return s->stopped ? -1 : 0;
}

// Marks the rows that a slope moves; false when there is none.
static bool mark(struct fit_state *s, int i)
{
    const double *d = &s->slope[(size_t)i * (size_t)s->p->m];
    bool *sees = &s->sees[(size_t)i * (size_t)s->p->m];
    double most = 0;
    for (int j = 0; j < s->p->m; j++)
        most = fmax(most, fabs(d[j]));
    for (int j = 0; j < s->p->m; j++)
        sees[j] = most > 0 && fabs(d[j]) > 1e-7 * most;
    return most > 0;
}

// How much the slopes over two steps differ, as a share of the larger one.
static double disagreement(const struct fit_state *s, const bool *sees, const double *a,
                           const double *b)
{
    double apart = 0, na = 0, nb = 0;
    for (int j = 0; j < s->p->m; j++) {
        if (!sees[j])
            continue;
        apart += (a[j] - b[j]) * (a[j] - b[j]);
        na += a[j] * a[j];
        nb += b[j] * b[j];
    }
    return fmax(na, nb) > 0 ? sqrt(apart / fmax(na, nb)) : 0;
}

void fit_scan(struct fit_state *s, int i)
{
    size_t m = (size_t)s->p->m;
    double *slope = &s->slope[(size_t)i * m], first = s->p->step > 0 ? s->p->step : FIT_STEP;
    bool *sees = &s->sees[(size_t)i * m];
    double step = first;
    s->step[i] = 0;
    for (; step <= LARGEST_STEP; step *= 10) { // until anything moves
        fit_difference(s, s->x, s->r, i, step, s->all, slope);
        if (mark(s, i))
            break;
    }
    if (step > LARGEST_STEP || s->stopped)
        return;
    struct arena_mark before = arena_mark(s->a);
    double *wide = ARENA_NEWS(s->a, m, double);
    double bears = step;
    for (; 3 * bears <= LARGEST_STEP; bears *= 3) { // until the slope is one of the model
        fit_difference(s, s->x, s->r, i, 3 * bears, sees, wide);
        if (disagreement(s, sees, slope, wide) < 0.05)
            break;
        for (size_t j = 0; j < m; j++)
            slope[j] = sees[j] ? wide[j] : slope[j];
    }
    arena_rewind(s->a, before);
    s->step[i] = bears;
    if (bears > step) { // a wide step may move rows that a narrow one left alone
        fit_difference(s, s->x, s->r, i, bears, s->all, slope);
        mark(s, i);
    }
}

void fit_mark_active(struct fit_state *s)
{
    for (int j = 0; j < s->p->m; j++) {
        s->active[j] = false;
        for (int i = 0; i < s->p->n; i++)
            s->active[j] |= !s->held[i] && s->step[i] > 0 && s->sees[i * s->p->m + j];
    }
}
