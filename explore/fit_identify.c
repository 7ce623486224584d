// SPDX-License-Identifier: GPL-3.0-or-later
// What the rows determine. The slopes at the solution, each column scaled to unit length, are
// decomposed into singular values. A direction with a value near zero is a common change of several
// parameters that no row notices: only a combination of them is determined, and its members are
// named (Belsley, Kuh and Welsch, Regression Diagnostics, 1980). Standard errors come from the same
// decomposition and from the scatter of the residuals that the fit leaves; without a degree of
// freedom there is no such scatter, and the tolerances of the rows have to stand in.
//
// Degrees of freedom are not spread evenly. A row of leverage 1 (on the diagonal of the hat matrix)
// has a parameter of its own and is met whatever it says, however many rows there are to spare
// elsewhere; a parameter that only such rows determine is calibrated, and nothing could have
// contradicted it.
#include "explore/fit_internal.h"

#include <gsl/gsl_errno.h>
#include <gsl/gsl_linalg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Of singular values; of a direction's squared length.
static const double INVISIBLE = 1e-3, HARDLY_SEEN = 3e-2, MEMBER = 0.05;
// Of the information about a parameter.
static const double BY_CONSTRUCTION = 0.01;

struct columns {
    int n, parameter[FIT_MAX_PARAMETERS]; // that move a row and are inside their bounds
    double norm[FIT_MAX_PARAMETERS];
    gsl_matrix *a, *v; // [rows][n]: scaled slopes; [n][n]: directions
    gsl_vector *s;     // [n] singular values
};

static int decompose(const struct fit_state *s, struct columns *c)
{
    int m = s->p->m, n = c->n;
    size_t rows = (size_t)(m > n ? m : n), cols = (size_t)n;
    gsl_vector *work = gsl_vector_alloc(cols);
    c->a = gsl_matrix_calloc(rows, cols);
    c->v = gsl_matrix_alloc(cols, cols);
    c->s = gsl_vector_alloc(cols);
    int rc = work && c->a && c->v && c->s ? 0 : -1;
    for (int k = 0; k < n && !rc; k++) {
        const double *slope = &s->slope[c->parameter[k] * m];
        double sum = 0;
        for (int j = 0; j < m; j++)
            sum += slope[j] * slope[j];
        c->norm[k] = sqrt(sum);
        for (int j = 0; j < m; j++)
            gsl_matrix_set(c->a, (size_t)j, (size_t)k, slope[j] / c->norm[k]);
    }
    if (!rc)
        rc = gsl_linalg_SV_decomp(c->a, c->v, c->s, work) == GSL_SUCCESS ? 0 : -1;
    gsl_vector_free(work);
    return rc;
}

static void release(struct columns *c)
{
    gsl_matrix_free(c->a);
    gsl_matrix_free(c->v);
    gsl_vector_free(c->s);
}

// --- directions

struct member {
    int column;
    double share; // of the direction, squared
};

static int by_share(const void *a, const void *b)
{
    double x = ((const struct member *)a)->share, y = ((const struct member *)b)->share;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void describe(const struct columns *c, int k, struct fit_direction *out)
{
    struct member member[FIT_MAX_PARAMETERS] = {{0}};
    double most = 0;
    for (int i = 0; i < c->n; i++) {
        double v = gsl_matrix_get(c->v, (size_t)i, (size_t)k);
        member[i] = (struct member){i, v * v};
    }
    qsort(member, (size_t)c->n, sizeof *member, by_share);
    *out = (struct fit_direction){.seen = gsl_vector_get(c->s, (size_t)k)};
    for (int i = 0; i < c->n && i < FIT_MEMBERS && member[i].share > MEMBER; i++) {
        int at = member[i].column;
        double change = gsl_matrix_get(c->v, (size_t)at, (size_t)k) / c->norm[at];
        out->parameter[i] = c->parameter[at];
        out->weight[i] = change;
        most = fabs(change) > fabs(most) ? change : most;
        out->n++;
    }
    for (int i = 0; i < out->n; i++)
        out->weight[i] /= most;
}

// --- estimates

static void find_top(const struct fit_state *s, int i, struct fit_estimate *e)
{
    const struct fit_problem *p = s->p;
    const double *slope = &s->slope[i * p->m];
    double all = 0, named = 0;
    for (int j = 0; j < p->m; j++) {
        all += slope[j] * slope[j];
        e->n_rows += s->sees[i * p->m + j];
    }
    while (e->n_top < FIT_TOP && e->n_top < e->n_rows && named < 0.9 * all) {
        int best = -1;
        for (int j = 0; j < p->m; j++) {
            bool taken = !s->sees[i * p->m + j];
            for (int t = 0; t < e->n_top; t++)
                taken |= e->top[t] == j;
            if (!taken && (best < 0 || fabs(slope[j]) > fabs(slope[best])))
                best = j;
        }
        named += slope[best] * slope[best];
        e->pull[e->n_top] = slope[best] * p->row[best].tolerance;
        e->top[e->n_top++] = best;
    }
}

// Of the z of two columns, in squared tolerances.
static double covariance(const struct columns *c, int k, int l)
{
    double sum = 0;
    for (int d = 0; d < c->n; d++) {
        double seen = fmax(gsl_vector_get(c->s, (size_t)d), 1e-9);
        sum += gsl_matrix_get(c->v, (size_t)k, (size_t)d) *
               gsl_matrix_get(c->v, (size_t)l, (size_t)d) / (seen * seen);
    }
    return sum / (c->norm[k] * c->norm[l]);
}

// The diagonal of the hat matrix.
static void find_leverage(const struct fit_state *s, const struct columns *c, struct fit_result *r)
{
    for (int j = 0; j < s->p->m; j++) {
        double sum = 0;
        for (int d = 0; d < c->n; d++) {
            double u = gsl_matrix_get(c->a, (size_t)j, (size_t)d);
            sum += gsl_vector_get(c->s, (size_t)d) < INVISIBLE ? 0 : u * u;
        }
        r->row[j].leverage = fmin(sum, 1);
    }
}

static double spare(const struct fit_state *s, const struct fit_result *r, int i)
{
    const double *slope = &s->slope[i * s->p->m];
    double all = 0, free = 0;
    for (int j = 0; j < s->p->m; j++) {
        all += slope[j] * slope[j];
        free += slope[j] * slope[j] * (1 - r->row[j].leverage);
    }
    return all > 0 ? free / all : 0;
}

static void estimate(const struct fit_state *s, const struct columns *c, struct fit_result *r)
{
    double threshold = s->p->threshold > 0 ? s->p->threshold : 0.25;
    double scatter = isnan(r->scatter) ? 1 : r->scatter;
    for (int k = 0; k < c->n; k++) {
        int i = c->parameter[k];
        struct fit_estimate *e = &r->estimate[i];
        double dx = scatter * sqrt(covariance(c, k, k)); // of z
        if (!s->scale[i].log)
            dx *= s->scale[i].unit / fabs(s->x[i]);
        e->error = dx;
        e->spare = spare(s, r, i);
        e->verdict = dx > threshold               ? FIT_WEAK
                     : e->spare < BY_CONSTRUCTION ? FIT_CALIBRATED
                                                  : FIT_DETERMINED;
        find_top(s, i, e);
    }
}

// Names the directions that matter: those that no row sees, and those whose members are not
// determined.
static void judge_directions(const struct fit_state *s, struct fit_result *r)
{
    double threshold = s->p->threshold > 0 ? s->p->threshold : 0.25;
    int kept = 0;
    for (int d = 0; d < r->n_directions; d++) {
        struct fit_direction *at = &r->direction[d];
        bool invisible = at->seen < INVISIBLE, weak = false;
        for (int k = 0; k < at->n; k++) {
            struct fit_estimate *e = &r->estimate[at->parameter[k]];
            if (at->n > 1 && (invisible || e->error > threshold)) {
                e->verdict = FIT_TOGETHER;
                weak = true;
            }
        }
        if (weak)
            r->direction[kept++] = *at;
    }
    r->n_directions = kept;
}

// --- beyond slopes

static double relative(const struct fit_state *s, int i, double dz, double x)
{
    return dz * (s->scale[i].log ? 1 : s->scale[i].unit / fabs(x));
}

// The sum of squares with column k moved by dz and all others as it suits them. s->x moves.
static double profile(struct fit_state *s, const struct columns *c, int k, double dz)
{
    int i = c->parameter[k];
    double var = covariance(c, k, k);
    for (int l = 0; l < c->n; l++) { // where the slopes say that it suits them
        int at = c->parameter[l];
        double z = fit_to_z(s, at, s->x[at]) + dz * (l == k ? 1 : covariance(c, k, l) / var);
        const struct fit_scale *q = &s->scale[at];
        s->x[at] = fit_from_z(s, at, fmin(fmax(z, q->lo), q->hi));
    }
    s->held[i] = true;
    double cost = fit_solve(s);
    s->held[i] = false;
    return cost;
}

static bool same_members(const struct fit_direction *a, const struct fit_direction *b)
{
    int common = 0;
    for (int i = 0; i < a->n; i++)
        for (int j = 0; j < b->n; j++)
            common += a->parameter[i] == b->parameter[j];
    return a->n == b->n && common == a->n;
}

// Column k is not determined; what changes with it, by `change` (relative) of each column?
static void open_direction(const struct columns *c, int k, const double *change,
                           struct fit_result *r)
{
    struct member member[FIT_MAX_PARAMETERS] = {{0}};
    struct fit_direction d = {.seen = NAN};
    double own = change[k];
    for (int l = 0; l < c->n; l++)
        member[l] = (struct member){l, change[l] * change[l]};
    member[k].share = INFINITY; // itself first
    qsort(member, (size_t)c->n, sizeof *member, by_share);
    for (int l = 0; l < c->n && l < FIT_MEMBERS; l++) {
        int at = member[l].column;
        if (fabs(change[at]) < 0.3 * fabs(own))
            break;
        d.parameter[d.n] = c->parameter[at];
        d.weight[d.n++] = change[at] / own;
    }
    r->estimate[c->parameter[k]].verdict = d.n > 1 ? FIT_TOGETHER : FIT_WEAK;
    bool told = d.n < 2;
    for (int l = 0; l < r->n_directions && !told; l++)
        told = same_members(&r->direction[l], &d);
    if (!told)
        r->direction[r->n_directions++] = d;
}

// A large standard error that comes of company: others follow the parameter closely.
static void name_company(const struct fit_state *s, const struct columns *c, struct fit_result *r)
{
    for (int k = 0; k < c->n; k++) {
        double change[FIT_MAX_PARAMETERS] = {0}, own = covariance(c, k, k);
        if (r->estimate[c->parameter[k]].verdict != FIT_WEAK)
            continue;
        for (int l = 0; l < c->n; l++) {
            int at = c->parameter[l];
            double both = covariance(c, k, l), other = covariance(c, l, l);
            bool close = fabs(both) > 0.9 * sqrt(own * other);
            change[l] = close ? relative(s, at, both / own, s->x[at]) : 0;
        }
        open_direction(c, k, change, r);
    }
}

// Slopes speak of the neighbourhood only. Where the model has steps (whole blocks, whole waves) it
// may be a dent in a long valley. So a parameter that the slopes call known, but not very well, is
// moved as far as it may be unknown and still count as determined, and the others follow. If the
// sum of squares rises by less than one deviation of the residuals, it is not determined (profile
// likelihood).
static void check_profiles(struct fit_state *s, const struct columns *c, struct fit_result *r)
{
    const struct fit_problem *p = s->p;
    double threshold = p->threshold > 0 ? p->threshold : 0.25, best[FIT_MAX_PARAMETERS];
    double limit = fit_cost(s, s->r, s->all) + (isnan(r->scatter) ? 1 : r->scatter * r->scatter);
    const char *reason = s->reason;
    memcpy(best, s->x, (size_t)p->n * sizeof *best);
    s->most = 6;
    for (int k = 0; k < c->n && !s->stopped; k++) {
        int i = c->parameter[k];
        struct fit_estimate *e = &r->estimate[i];
        bool known = e->verdict == FIT_DETERMINED || e->verdict == FIT_CALIBRATED;
        if (!known || p->parameter[i].whole || e->error < 0.25 * threshold)
            continue;
        double dz = threshold / relative(s, i, 1, best[i]);
        for (int side = -1; side <= 1 && known && !s->stopped; side += 2) {
            memcpy(s->x, best, (size_t)p->n * sizeof *best);
            known = profile(s, c, k, side * dz) >= limit;
            if (known)
                continue;
            double change[FIT_MAX_PARAMETERS] = {0};
            for (int l = 0; l < c->n; l++) {
                int at = c->parameter[l];
                double went = fit_to_z(s, at, s->x[at]) - fit_to_z(s, at, best[at]);
                change[l] = relative(s, at, went, best[at]);
            }
            e->error = fmax(e->error, threshold);
            open_direction(c, k, change, r);
        }
    }
    s->most = 0;
    s->reason = reason;
    memcpy(s->x, best, (size_t)p->n * sizeof *best);
}

void fit_identify(struct fit_state *s, struct fit_result *r)
{
    const struct fit_problem *p = s->p;
    struct columns c = {0};
    for (int i = 0; i < p->n; i++) {
        struct fit_estimate *e = &r->estimate[i];
        e->verdict = s->step[i] <= 0 ? FIT_UNMOVED : e->at ? FIT_AT_BOUND : FIT_WEAK;
        e->error = NAN;
        if (e->verdict == FIT_WEAK)
            c.parameter[c.n++] = i;
        else if (e->verdict == FIT_AT_BOUND)
            find_top(s, i, e);
    }
    r->n_moved = 0;
    double sum = 0;
    for (int j = 0; j < p->m; j++) {
        r->row[j].moved = false;
        for (int k = 0; k < c.n; k++)
            r->row[j].moved |= s->sees[c.parameter[k] * p->m + j];
        r->n_moved += r->row[j].moved;
        sum += r->row[j].moved ? s->r[j] * s->r[j] : 0;
    }
    r->scatter = NAN;
    r->direction = ARENA_NEWS(&r->arena, 3 * (size_t)c.n + 1, struct fit_direction);
    if (c.n && decompose(s, &c) == 0) {
        for (int k = 0; k < c.n; k++)
            if (gsl_vector_get(c.s, (size_t)k) < HARDLY_SEEN)
                describe(&c, k, &r->direction[r->n_directions++]);
        r->rank = c.n;
        for (int d = 0; d < r->n_directions; d++)
            r->rank -= r->direction[d].seen < INVISIBLE;
        r->freedom = r->n_moved - r->rank;
        if (r->freedom > 0)
            r->scatter = sqrt(sum / r->freedom);
        find_leverage(s, &c, r);
        estimate(s, &c, r);
        judge_directions(s, r);
        name_company(s, &c, r);
        check_profiles(s, &c, r);
    }
    release(&c);
}
