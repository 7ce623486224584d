// SPDX-License-Identifier: GPL-3.0-or-later
// The order of a calibration. From each start: find which rows each parameter moves; solve for what
// is inside its bounds; set what crept to a bound upon it; try what is at a bound inside again.
// Then, with the best of the starts: integers are settled one by one while the others follow,
// values get the digits that they will be written with, and the rows are predicted once more with
// exactly those. Errors and verdicts describe that place (fit_identify.c).
//
// Invariant: what is reported as "after" was predicted from the values as they are reported.
#include "explore/fit_internal.h"

#include <math.h>
#include <string.h>
#include "base/rng.h"

enum { ROUNDS = 4, PROBES = 6, LEAP = 4 };

const char *fit_verdict_name(enum fit_verdict v)
{
    static const char *const names[] = {"determined", "calibrated", "at bound",
                                        "together",   "weak",       "unmoved"};
    return names[v];
}

// --- bounds

static int at_bound(const struct fit_state *s, int i)
{
    const struct fit_parameter *p = &s->p->parameter[i];
    return s->x[i] <= p->min ? -1 : s->x[i] >= p->max ? 1 : 0;
}

// The sum of squares with parameter i at `value`; the residuals go to s->low.
static double cost_with(struct fit_state *s, int i, double value)
{
    double x[FIT_MAX_PARAMETERS];
    memcpy(x, s->x, (size_t)s->p->n * sizeof *x);
    x[i] = value;
    fit_residuals(s, x, s->all, s->low, NULL);
    return fit_cost(s, s->low, s->all);
}

static bool better(double cost, double than)
{
    return cost < than * (1 - 1e-3) - 1e-12;
}

// Sets parameters that crept up to a bound upon it. Returns the sum of squares.
static double snap(struct fit_state *s, double cost)
{
    for (int i = 0; i < s->p->n && !s->stopped; i++) {
        const struct fit_parameter *p = &s->p->parameter[i];
        const struct fit_scale *c = &s->scale[i];
        if (s->held[i] || s->step[i] <= 0)
            continue;
        // A lower bound of 0 is infinitely far on a logarithmic scale: below a ten-thousandth of
        // where it was.
        double z = fit_to_z(s, i, s->x[i]), range = c->log ? 1 : c->hi - c->lo;
        double near_lo = c->log && p->min <= 0 ? 5 : 0.01 * range, near_hi = 0.01 * range;
        double bound = z - c->lo < near_lo ? p->min : c->hi - z < near_hi ? p->max : NAN;
        if (!isfinite(bound))
            continue;
        double there = cost_with(s, i, bound);
        if (there <= cost * (1 + 1e-3) + 1e-12) {
            s->x[i] = bound;
            s->held[i] = true;
            cost = fit_refresh(s);
        }
    }
    return cost;
}

// The best place inside for a parameter whose residuals change by `slope` per unit.
static double inside(const struct fit_state *s, const double *slope, double range)
{
    double sr = 0, ss = 0;
    for (int j = 0; j < s->p->m; j++) {
        sr += slope[j] * s->r[j];
        ss += slope[j] * slope[j];
    }
    return ss > 0 ? fmin(fmax(-sr / ss, 0), range) : 0;
}

// Does a parameter at a bound serve better inside? Then it is freed there. Otherwise s->step says
// whether any row notices. Steps inwards, each a hundred times the one before, for nobody knows at
// 0 how far is far; and from each the step that a straight line asks for.
static bool probe(struct fit_state *s, int i, double cost)
{
    const struct fit_parameter *p = &s->p->parameter[i];
    double range = p->max - p->min, best = cost, value = NAN;
    double *slope = &s->slope[i * s->p->m];
    bool *sees = &s->sees[i * s->p->m];
    if (isinf(range))
        range = fmax(fabs(s->x[i]), 1);
    memset(slope, 0, (size_t)s->p->m * sizeof *slope);
    memset(sees, 0, (size_t)s->p->m * sizeof *sees);
    s->step[i] = 0;
    double side = at_bound(s, i) < 0 ? 1 : -1, from = side > 0 ? p->min : p->max;
    for (int k = 0; k < PROBES && range > 0 && isnan(value) && !s->stopped; k++) {
        double in = range * pow(10, 2 * (k - PROBES)), there = cost_with(s, i, from + side * in);
        for (int j = 0; j < s->p->m; j++) {
            double d = s->low[j] - s->r[j];
            sees[j] |= d != 0;
            slope[j] = d / in;
            s->step[i] = d != 0 ? in : s->step[i];
        }
        if (better(there, best)) {
            best = there;
            value = from + side * in;
        }
        double line = cost > 0 ? inside(s, slope, 0.9 * range) : 0;
        there = line > 0 ? cost_with(s, i, from + side * line) : INFINITY;
        if (better(there, best)) {
            best = there;
            value = from + side * line;
        }
    }
    if (isnan(value))
        return false;
    s->x[i] = value;
    s->held[i] = false;
    fit_scale_init(s, i, value);
    return true;
}

// --- one start

static void scan_all(struct fit_state *s)
{
    for (int i = 0; i < s->p->n && !s->stopped; i++)
        if (!s->held[i])
            fit_scan(s, i);
}

// Scans again; true when a parameter moves a row that the solver did not look at.
static bool sees_more(struct fit_state *s)
{
    size_t size = (size_t)s->p->n * (size_t)s->p->m;
    struct arena_mark before = arena_mark(s->a);
    bool *old = ARENA_NEWS(s->a, size, bool), more = false;
    memcpy(old, s->sees, size * sizeof *old);
    scan_all(s);
    for (int i = 0; i < s->p->n; i++)
        for (int j = 0; j < s->p->m; j++)
            more |= !s->held[i] && s->sees[i * s->p->m + j] && !old[i * s->p->m + j];
    arena_rewind(s->a, before);
    return more;
}

// Where a model takes the faster of two ways, a parameter may end on the wrong side of the switch,
// where no row feels it: differences look too near to see that it would serve better elsewhere.
// Moves each parameter to the best of a few places further away, up to a factor of LEAP each way.
// True when any moved.
static bool leap(struct fit_state *s, double *cost)
{
    static const double by[] = {-1, -0.5, 0.5, 1};
    bool any = false;
    for (int i = 0; i < s->p->n; i++) {
        const struct fit_scale *c = &s->scale[i];
        double best = *cost, value = NAN, z = fit_to_z(s, i, s->x[i]);
        if (s->held[i] || s->p->parameter[i].whole)
            continue;
        for (size_t k = 0; k < sizeof by / sizeof by[0] && !s->stopped; k++) {
            double to = z + by[k] * (c->log ? log(LEAP) : 1), there = INFINITY;
            if (to > c->lo && to < c->hi)
                there = cost_with(s, i, fit_from_z(s, i, to));
            if (better(there, best)) {
                best = there;
                value = fit_from_z(s, i, to);
            }
        }
        if (isnan(value))
            continue;
        any = true;
        s->x[i] = value;
        fit_scale_init(s, i, value);
        *cost = fit_refresh(s);
    }
    return any;
}

// From s->x to the least sum of squares nearby.
static double descend(struct fit_state *s)
{
    for (int i = 0; i < s->p->n; i++) {
        s->held[i] = at_bound(s, i) != 0;
        if (!s->held[i])
            fit_scale_init(s, i, s->x[i]);
    }
    double cost = fit_refresh(s);
    scan_all(s);
    for (int round = 0; round < ROUNDS && !s->stopped; round++) {
        bool again = false, more = false;
        double before = cost;
        cost = snap(s, fit_solve(s));
        bool settled = s->p->gain > 0 && round > 0 && before - cost < s->p->gain * before;
        if (!settled) {
            for (int i = 0; i < s->p->n && !s->stopped; i++)
                if (s->held[i])
                    again |= probe(s, i, cost);
            if (again)
                cost = fit_refresh(s);
            more = (again || !(s->p->gain > 0)) && sees_more(s);
        }
        if (more || again)
            continue;
        if (round == ROUNDS - 1 || !leap(s, &cost))
            break;
        scan_all(s);
    }
    return cost;
}

static void scatter(struct fit_state *s, struct rng *rng)
{
    for (int i = 0; i < s->p->n; i++) {
        const struct fit_parameter *p = &s->p->parameter[i];
        const struct fit_scale *c = &s->scale[i];
        double by = 2 * rng_uniform(rng) - 1; // drawn for every parameter, moved or not
        s->x[i] = p->start;
        if (at_bound(s, i))
            continue;
        fit_scale_init(s, i, p->start);
        double z = fit_to_z(s, i, p->start) + by * (c->log ? log(3) : 1);
        double inset = isfinite(c->hi - c->lo) ? 0.02 * (c->hi - c->lo) : 0;
        s->x[i] = fit_from_z(s, i, fmin(fmax(z, c->lo + inset), c->hi - inset));
    }
}

// --- integers, digits

// Prepares s for s->x as the last word of a start: what is at a bound or settled is held.
static void settle_in(struct fit_state *s, const bool *settled)
{
    for (int i = 0; i < s->p->n; i++) {
        int at = at_bound(s, i);
        if (!at)
            fit_scale_init(s, i, s->x[i]);
        s->held[i] = at || settled[i];
    }
    fit_refresh(s);
    for (int i = 0; i < s->p->n && !s->stopped; i++)
        if (!at_bound(s, i))
            fit_scan(s, i);
        else
            probe(s, i, 0); // only to see which rows it moves: nothing is better than 0
}

// Integers become what they are, the coarse ones after a look at their neighbours, and the others
// follow.
static void settle_integers(struct fit_state *s, double cost)
{
    const struct fit_problem *p = s->p;
    bool settled[FIT_MAX_PARAMETERS] = {false};
    double x[FIT_MAX_PARAMETERS];
    bool any = false;
    for (int i = 0; i < p->n; i++)
        if (p->parameter[i].whole) {
            s->x[i] = nearbyint(s->x[i]);
            settled[i] = any = true;
        }
    if (!any || s->stopped)
        return;
    settle_in(s, settled);
    cost = fit_solve(s);
    for (int i = 0; i < p->n && !s->stopped; i++) {
        if (!settled[i] || s->step[i] <= 0 || at_bound(s, i) || fabs(s->x[i]) > 500)
            continue;
        for (int by = -1; by <= 1 && !s->stopped; by += 2) {
            double next = s->x[i] + by;
            if (next < p->parameter[i].min || next > p->parameter[i].max)
                continue;
            memcpy(x, s->x, (size_t)p->n * sizeof *x);
            s->x[i] = next;
            fit_refresh(s);
            double there = fit_solve(s);
            if (better(there, cost)) {
                cost = there;
                break;
            }
            memcpy(s->x, x, (size_t)p->n * sizeof *x);
        }
    }
    fit_refresh(s);
}

static void round_all(struct fit_state *s)
{
    const struct fit_problem *p = s->p;
    for (int i = 0; i < p->n; i++) {
        const struct fit_parameter *q = &p->parameter[i];
        if (p->round && s->x[i] != q->start)
            s->x[i] = fmin(fmax(p->round(p->user, i, s->x[i]), q->min), q->max);
    }
}

// The best of all starts in s->x, with the digits that it will be written with: where the model has
// dents, the best place may not survive them.
static void run_starts(struct fit_state *s, struct fit_result *out)
{
    const struct fit_problem *p = s->p;
    int starts = p->starts > 1 ? p->starts : 1;
    double best = INFINITY;
    double *cost = ARENA_NEWS(s->a, (size_t)starts, double);
    double x[FIT_MAX_PARAMETERS] = {0};
    struct rng *rng = rng_create(p->seed, "fit");
    for (int k = 0; k < starts; k++) {
        s->start = k;
        s->iteration = 0;
        if (k)
            scatter(s, rng);
        cost[k] = INFINITY;
        if (fit_residuals(s, s->x, s->all, s->r, NULL) < 0)
            continue; // no model there
        settle_integers(s, descend(s));
        round_all(s);
        cost[k] = fit_refresh(s);
        out->starts++;
        if (cost[k] < best || k == 0) {
            best = cost[k];
            memcpy(x, s->x, (size_t)p->n * sizeof *x);
            out->iterations = s->iteration;
            out->reason = s->reason;
            out->converged = s->converged;
        }
        if (s->stopped)
            break;
    }
    for (int k = 0; k < out->starts; k++)
        out->agreed += cost[k] <= best * 1.01 + 1e-12;
    rng_destroy(rng);
    memcpy(s->x, x, (size_t)p->n * sizeof *x);
}

static int finish(struct fit_state *s, struct fit_result *out, struct err *e)
{
    const struct fit_problem *p = s->p;
    static const bool none[FIT_MAX_PARAMETERS];
    if (fit_residuals(s, s->x, s->all, s->r, e) < 0 && !s->stopped)
        return e->code;
    for (int j = 0; j < p->m; j++)
        out->row[j].after = s->y[j];
    settle_in(s, none);
    for (int i = 0; i < p->n; i++) {
        out->estimate[i].value = s->x[i];
        out->estimate[i].at = at_bound(s, i);
    }
    fit_identify(s, out);
    return 0;
}

static double rms_of(const struct fit_problem *p, const struct fit_result *r, bool after)
{
    double sum = 0;
    for (int j = 0; j < p->m; j++) {
        double y = after ? r->row[j].after : r->row[j].before;
        double d =
            p->residual == FIT_RELATIVE ? log(y / p->row[j].observed) : y - p->row[j].observed;
        sum += r->row[j].moved ? d * d : 0;
    }
    return r->n_moved ? sqrt(sum / r->n_moved) : 0;
}

// --- the whole

static int check(const struct fit_problem *p, struct err *e)
{
    if (p->n < 1 || p->n > FIT_MAX_PARAMETERS)
        return err_set(e, ERR_USAGE, "%d parameters to fit; expected 1 to %d", p->n,
                       (int)FIT_MAX_PARAMETERS);
    if (p->m < 1 || p->m > FIT_MAX_ROWS)
        return err_set(e, ERR_USAGE, "%d rows to fit to; expected 1 to %d", p->m,
                       (int)FIT_MAX_ROWS);
    for (int i = 0; i < p->n; i++) {
        const struct fit_parameter *q = &p->parameter[i];
        if (!isfinite(q->start) || !(q->min <= q->start) || !(q->start <= q->max))
            return err_at(e, ERR_USAGE, NULL, 0, q->name, "%g is not within %g to %g", q->start,
                          q->min, q->max);
    }
    for (int j = 0; j < p->m; j++) {
        const struct fit_row *r = &p->row[j];
        bool positive = p->residual != FIT_RELATIVE || r->observed > 0;
        if (!isfinite(r->observed) || !positive)
            return err_at(e, ERR_USAGE, NULL, 0, r->name,
                          "a relative residual needs a value above 0, found %g", r->observed);
        if (!isfinite(r->tolerance) || r->tolerance <= 0)
            return err_at(e, ERR_USAGE, NULL, 0, r->name, "a tolerance of %g; expected above 0",
                          r->tolerance);
    }
    return 0;
}

static void prepare(struct fit_state *s, struct fit_result *r)
{
    size_t n = (size_t)s->p->n, m = (size_t)s->p->m;
    s->a = &r->arena;
    s->scale = ARENA_NEWS(s->a, n, struct fit_scale);
    s->x = ARENA_NEWS(s->a, n, double);
    s->held = ARENA_NEWS(s->a, n, bool);
    s->step = ARENA_NEWS(s->a, n, double);
    s->sees = ARENA_NEWS(s->a, n * m, bool);
    s->slope = ARENA_NEWS(s->a, n * m, double);
    s->all = ARENA_NEWS(s->a, m, bool);
    s->active = ARENA_NEWS(s->a, m, bool);
    s->r = ARENA_NEWS(s->a, m, double);
    s->y = ARENA_NEWS(s->a, m, double);
    s->low = ARENA_NEWS(s->a, m, double);
    s->high = ARENA_NEWS(s->a, m, double);
    r->estimate = ARENA_NEWS(s->a, n, struct fit_estimate);
    r->row = ARENA_NEWS(s->a, m, struct fit_fitted_row);
    for (size_t i = 0; i < n; i++)
        s->x[i] = s->p->parameter[i].start;
    for (size_t j = 0; j < m; j++)
        s->all[j] = true;
}

int fit_run(const struct fit_problem *p, struct fit_result *out, struct err *e)
{
    struct err local = {0};
    struct fit_state s = {.p = p};
    struct fit_result r = {.reason = "", .scatter = NAN};
    e = e ? e : &local;
    int rc = check(p, e);
    if (rc < 0)
        return rc;
    arena_init(&r.arena);
    prepare(&s, &r);
    rc = fit_residuals(&s, s.x, s.all, s.r, e);
    if (rc < 0 && !s.stopped)
        goto fail;
    for (int j = 0; j < p->m; j++)
        r.row[j].before = s.y[j];
    if (!s.stopped)
        run_starts(&s, &r);
    rc = s.stopped ? 0 : finish(&s, &r, e);
    if (rc < 0)
        goto fail;
    r.predictions = s.predictions;
    r.interrupted = s.stopped;
    if (s.stopped)
        r.reason = "interrupted";
    r.rms_before = rms_of(p, &r, false);
    r.rms = rms_of(p, &r, true);
    *out = r;
    return 0;
fail:
    arena_fini(&r.arena);
    return rc;
}

void fit_fini(struct fit_result *r)
{
    arena_fini(&r->arena);
    *r = (struct fit_result){0};
}
