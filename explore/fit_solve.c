// SPDX-License-Identifier: GPL-3.0-or-later
// The iteration: Levenberg-Marquardt in a trust region (gsl_multifit_nlinear), with bounds.
//
// GSL knows no bounds, so it moves u instead of z: where a parameter has two ends, z = lo + (hi -
// lo) / (1 + e^-u), which no u leaves. A parameter that wants beyond a bound creeps towards it and
// is set on it afterwards (fit.c).
//
// Where the model is bumpy the end of the iteration is not a small gradient but that no step
// reduces the sum any more.
#include "explore/fit_internal.h"

#include <gsl/gsl_blas.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_multifit_nlinear.h>
#include <math.h>
#include <string.h>

struct solver {
    struct fit_state *s;
    int n, m; // of what moves
    int parameter[FIT_MAX_PARAMETERS];
    int *row;                      // [m]
    double at[FIT_MAX_PARAMETERS]; // all parameters of the residuals in `r`
    double *r;                     // [all rows]
    double *slope;                 // [all rows]
};

static bool bounded(const struct fit_scale *c)
{
    return isfinite(c->lo) && isfinite(c->hi);
}

static double z_of(const struct fit_scale *c, double u)
{
    return bounded(c) ? c->lo + (c->hi - c->lo) / (1 + exp(-u)) : u;
}

static double u_of(const struct fit_scale *c, double z)
{
    if (!bounded(c))
        return z;
    double t = fmin(fmax((z - c->lo) / (c->hi - c->lo), 1e-6), 1 - 1e-6);
    return log(t / (1 - t));
}

static double dz_du(const struct fit_scale *c, double u)
{
    if (!bounded(c))
        return 1;
    double t = 1 / (1 + exp(-u));
    return (c->hi - c->lo) * t * (1 - t);
}

static void place(const struct solver *v, const gsl_vector *u, double *x)
{
    memcpy(x, v->s->x, (size_t)v->s->p->n * sizeof *x);
    for (int i = 0; i < v->n; i++) {
        int k = v->parameter[i];
        x[k] = fit_from_z(v->s, k, z_of(&v->s->scale[k], gsl_vector_get(u, (size_t)i)));
    }
}

// Residuals at u in v->r; measured once for each place.
static int measure(struct solver *v, const gsl_vector *u)
{
    double x[FIT_MAX_PARAMETERS];
    size_t size = (size_t)v->s->p->n * sizeof *x;
    place(v, u, x);
    if (memcmp(x, v->at, size) != 0) {
        memcpy(v->at, x, size);
        fit_residuals(v->s, x, v->s->active, v->r, NULL); // without a model: enormous, so refused
    }
    return v->s->stopped ? GSL_EFAILED : GSL_SUCCESS;
}

static int f(const gsl_vector *u, void *user, gsl_vector *out)
{
    struct solver *v = user;
    int rc = measure(v, u);
    gsl_vector_set_zero(out);
    for (int j = 0; j < v->m; j++)
        gsl_vector_set(out, (size_t)j, v->r[v->row[j]]);
    return rc;
}

static int df(const gsl_vector *u, void *user, gsl_matrix *out)
{
    struct solver *v = user;
    struct fit_state *s = v->s;
    int rc = measure(v, u);
    gsl_matrix_set_zero(out);
    for (int i = 0; i < v->n && !rc; i++) {
        int k = v->parameter[i];
        const bool *sees = &s->sees[k * s->p->m];
        double scale = dz_du(&s->scale[k], gsl_vector_get(u, (size_t)i));
        rc = fit_difference(s, v->at, v->r, k, s->step[k], sees, v->slope) ? GSL_EFAILED : 0;
        for (int j = 0; j < v->m; j++)
            if (sees[v->row[j]])
                gsl_matrix_set(out, (size_t)j, (size_t)i, v->slope[v->row[j]] * scale);
    }
    return rc;
}

// Largest change of a z since `last`, which becomes the present place.
static double moved(const struct solver *v, const gsl_vector *u, double *last)
{
    double most = 0;
    for (int i = 0; i < v->n; i++) {
        double z = z_of(&v->s->scale[v->parameter[i]], gsl_vector_get(u, (size_t)i));
        most = fmax(most, fabs(z - last[i]));
        last[i] = z;
    }
    return most;
}

static double rms(const struct solver *v)
{
    double sum = 0;
    for (int j = 0; j < v->m; j++) {
        double r = v->r[v->row[j]] * v->s->p->row[v->row[j]].tolerance;
        sum += r * r;
    }
    return sqrt(sum / v->m);
}

static void iterate(struct solver *v, gsl_multifit_nlinear_workspace *w)
{
    struct fit_state *s = v->s;
    const struct fit_problem *p = s->p;
    double precision = p->precision > 0 ? p->precision : 1e-5, last[FIT_MAX_PARAMETERS] = {0};
    int most = s->most > 0 ? s->most : p->iterations > 0 ? p->iterations : 60;
    double after = INFINITY;
    moved(v, gsl_multifit_nlinear_position(w), last);
    s->converged = false;
    s->reason = "the limit of iterations";
    for (int k = 0; k < most && !s->converged; k++) {
        int rc = gsl_multifit_nlinear_iterate(w), info = 0;
        if (s->stopped) {
            s->reason = "interrupted";
            return;
        }
        s->iteration++;
        if (p->progress)
            p->progress(p->user, s->start, s->iteration, rms(v));
        if (rc != GSL_SUCCESS) {
            s->converged = rc == GSL_ENOPROG;
            s->reason = s->converged ? "no step reduces the residuals" : gsl_strerror(rc);
            return;
        }
        double before = after;
        gsl_blas_ddot(gsl_multifit_nlinear_residual(w), gsl_multifit_nlinear_residual(w), &after);
        if (moved(v, gsl_multifit_nlinear_position(w), last) < precision) {
            s->converged = true;
            s->reason = "the parameters have settled";
        } else if (p->gain > 0 && isfinite(before) && before - after < p->gain * before) {
            s->converged = true;
            s->reason = "the residuals hardly fall any more";
        } else if (gsl_multifit_nlinear_test(0, 1e-12, 0, &info, w) == GSL_SUCCESS && info == 2) {
            s->converged = true;
            s->reason = "the gradient is zero";
        }
    }
}

double fit_solve(struct fit_state *s)
{
    const struct fit_problem *p = s->p;
    struct arena_mark before = arena_mark(s->a);
    struct solver v = {.s = s};
    fit_mark_active(s);
    v.row = ARENA_NEWS(s->a, (size_t)p->m, int);
    v.r = ARENA_NEWS(s->a, (size_t)p->m, double);
    v.slope = ARENA_NEWS(s->a, (size_t)p->m, double);
    for (int i = 0; i < p->n; i++)
        if (!s->held[i] && s->step[i] > 0)
            v.parameter[v.n++] = i;
    for (int j = 0; j < p->m; j++)
        if (s->active[j])
            v.row[v.m++] = j;
    v.at[0] = NAN; // nothing is measured yet
    if (!v.n) {
        s->reason = "nothing to move";
        s->converged = true;
        arena_rewind(s->a, before);
        return fit_refresh(s);
    }

    gsl_set_error_handler_off();
    gsl_multifit_nlinear_parameters o = gsl_multifit_nlinear_default_parameters();
    o.trs = gsl_multifit_nlinear_trs_lm;
    o.solver = gsl_multifit_nlinear_solver_svd; // bears parameters that cannot be told apart
    // GSL wants as many rows as parameters; the missing ones are empty.
    size_t rows = (size_t)(v.m > v.n ? v.m : v.n), n = (size_t)v.n;
    gsl_multifit_nlinear_workspace *w =
        gsl_multifit_nlinear_alloc(gsl_multifit_nlinear_trust, &o, rows, n);
    gsl_vector *u = gsl_vector_alloc(n);
    if (w && u) {
        gsl_multifit_nlinear_fdf fdf = {.f = f, .df = df, .n = rows, .p = n, .params = &v};
        for (int i = 0; i < v.n; i++) {
            int k = v.parameter[i];
            gsl_vector_set(u, (size_t)i, u_of(&s->scale[k], fit_to_z(s, k, s->x[k])));
        }
        if (gsl_multifit_nlinear_init(u, &fdf, w) == GSL_SUCCESS) {
            iterate(&v, w);
            place(&v, gsl_multifit_nlinear_position(w), v.at);
            memcpy(s->x, v.at, (size_t)p->n * sizeof *v.at);
        }
    } else {
        s->reason = "no memory";
    }
    gsl_vector_free(u);
    gsl_multifit_nlinear_free(w);
    arena_rewind(s->a, before);
    return fit_refresh(s);
}
