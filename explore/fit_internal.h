// SPDX-License-Identifier: GPL-3.0-or-later
// What the files of the calibration share; nobody else includes this.
//
// fit.c           the order of things: starts, bounds, integers, rounding, the result
// fit_model.c     the model as residuals over scaled parameters, and its differences
// fit_solve.c     the iteration (GSL)
// fit_identify.c  what the rows determine: singular values, standard errors, verdicts
#ifndef EXPLORE_FIT_INTERNAL_H
#define EXPLORE_FIT_INTERNAL_H

#include "explore/fit.h"

#define FIT_STEP 0.005 // of the differences, to begin with

// The scale on which a parameter moves: z = ln x where x cannot be negative, else z = x / unit. A
// step of dz is then a relative change.
struct fit_scale {
    bool log;
    double unit;
    double lo, hi; // of z; finite for log
};

struct fit_state {
    const struct fit_problem *p;
    struct arena *a;
    struct fit_scale *scale; // [n]
    double *x;               // [n] the present values
    bool *held;              // [n] not moved: at a bound, or an integer that is settled
    double *step;            // [n] of z; 0: no row moves at any step
    bool *sees;              // [n][m] parameter i moves row j
    double *slope;           // [n][m] d r / d z, as last measured
    bool *all, *active;      // [m] true; moved by a parameter that is not held
    double *r;               // [m] weighted residuals at x, of all rows
    double *y;               // [m] room for predictions
    double *low, *high;      // [m] room for residuals
    int64_t predictions;
    int start, iteration;
    int most; // iterations of one solution; 0: as the problem says
    bool stopped;
    const char *reason;
    bool converged;
};

// --- fit_model.c
void fit_scale_init(struct fit_state *s, int i, double x); // x: inside the bounds
double fit_to_z(const struct fit_state *s, int i, double x);
double fit_from_z(const struct fit_state *s, int i, double z);
// Residuals r[] of the rows with want[]; those where there is no model are enormous. Negative: no
// model there, or stopped.
int fit_residuals(struct fit_state *s, const double *x, const bool *want, double *r, struct err *e);
double fit_cost(const struct fit_state *s, const double *r, const bool *want); // sum of squares
// Residuals at s->x of all rows into s->r; the sum of squares.
double fit_refresh(struct fit_state *s);
// d r / d z of parameter i at x, on the rows with want[]; r are the residuals there.
int fit_difference(struct fit_state *s, const double *x, const double *r, int i, double step,
                   const bool *want, double *slope);
// Measures, at s->x, which rows parameter i moves, with a step that its model bears.
void fit_scan(struct fit_state *s, int i);
void fit_mark_active(struct fit_state *s);

// --- fit_solve.c
// Moves the parameters that are not held to the least sum of squares. Returns it.
double fit_solve(struct fit_state *s);

// --- fit_identify.c
// Fills estimates (but value and at), directions, rank, freedom, scatter from s->slope and s->r.
void fit_identify(struct fit_state *s, struct fit_result *out);

#endif
