// SPDX-License-Identifier: GPL-3.0-or-later
// Calibration: which values of some parameters make a model predict what was observed, and which of
// them do the observations determine at all? Bounded nonlinear least squares (GSL), for models that
// are piecewise smooth: whole picoseconds, whole requests, whole blocks.
//
// The model is a callback; nothing here knows machines.
#ifndef EXPLORE_FIT_H
#define EXPLORE_FIT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/err.h"

enum { FIT_MAX_PARAMETERS = 128, FIT_MAX_ROWS = 4096, FIT_TOP = 3, FIT_MEMBERS = 8 };

struct fit_parameter {
    const char *name;
    double start, min, max; // min <= start <= max; infinite: no bound
    bool whole;             // takes integers only
};

struct fit_row {
    const char *name;
    double observed;  // > 0 with FIT_RELATIVE
    double tolerance; // > 0: one standard deviation; rows weigh 1 / tolerance
};

enum fit_residual {
    FIT_RELATIVE, // ln(prediction / observed): a factor too much counts as a factor too little
    FIT_ABSOLUTE, // prediction - observed
};

struct fit_problem {
    int n, m;
    const struct fit_parameter *parameter; // [n]
    const struct fit_row *row;             // [m]
    enum fit_residual residual;
    // In tolerances: a residual beyond counts by less than its square, so that a few observations
    // that somebody disturbed do not rule the rest. 0: all count by their squares.
    double knee;
    // Predictions y[i] of the rows with want[i], at x[n]; other y stay as they are. A negative
    // return value: there is no model at x, which ends the fit only if x is the start.
    int (*predict)(void *user, const double *x, const bool *want, double *y, struct err *e);
    // The value that parameter i will be written as; NULL: x as it is.
    double (*round)(void *user, int i, double x);
    void (*progress)(void *user, int start, int iteration, double rms); // may be NULL
    void *user;

    double step;      // relative step of the differences; 0: 0.005. Grown where the model is bumpy
    double precision; // relative change of the parameters that ends the iteration; 0: 1e-5
    double gain;      // ends it too: a step lowers the sum of squares by a smaller share; 0: never
    double threshold; // largest relative standard error of a determined parameter; 0: 0.25
    int iterations;   // at most, per solution; 0: 60
    int starts;       // 0, 1: from `start` only; more: also from random values around it
    uint64_t seed;    // of those
    const volatile sig_atomic_t *stop; // or NULL
};

enum fit_verdict {
    FIT_DETERMINED, // by rows that could also contradict it
    FIT_CALIBRATED, // only by rows that are met whatever they say: agreement is no evidence
    FIT_AT_BOUND,   // the rows push it against a bound
    FIT_TOGETHER,   // only a combination with others is determined
    FIT_WEAK,       // its standard error is above the threshold
    FIT_UNMOVED,    // no row depends on it
};
const char *fit_verdict_name(enum fit_verdict v); // "determined", "calibrated", ...

struct fit_estimate {
    double value;
    double error; // standard error over |value|; NaN: none
    enum fit_verdict verdict;
    int at;       // -1 at its lower bound, 1 at its upper, 0 inside
    double spare; // share of what it is known by that rows tell which are not met by construction
    int n_top;    // rows that move it most, up to FIT_TOP
    int top[FIT_TOP];     // their indices
    double pull[FIT_TOP]; // d ln prediction / d ln parameter there (FIT_ABSOLUTE: of prediction)
    int n_rows;           // rows that it moves
};

// Parameters whose common change in these proportions no row sees.
struct fit_direction {
    int n, parameter[FIT_MEMBERS];
    double weight[FIT_MEMBERS]; // of relative changes
    // Singular value, over that of a parameter alone: 0 is invisible. NaN: the first member is not
    // determined, and the others follow it in these proportions.
    double seen;
};

struct fit_fitted_row {
    double before, after; // prediction at the start, and at the values as they will be written
    bool moved;           // by any parameter
    double leverage;      // d fitted / d observed: at 1 the row is met whatever it says
};

struct fit_result {
    struct arena arena;
    struct fit_estimate *estimate; // [n]
    struct fit_fitted_row *row;    // [m]
    int n_directions;
    struct fit_direction *direction;
    double rms_before, rms; // of the residuals of moved rows, unweighted
    double scatter;         // standard deviation of the residuals in tolerances; NaN: no freedom
    int n_moved;            // rows that any parameter moves
    int rank, freedom;      // n_moved - rank
    int iterations;         // of the best start
    int64_t predictions;    // of single rows, in all
    int starts, agreed;     // agreed: ended within 1 % of the smallest sum of squares
    bool interrupted, converged;
    const char *reason; // why the iteration ended, in words
};

int fit_run(const struct fit_problem *p, struct fit_result *out, struct err *e);
void fit_fini(struct fit_result *r);

#endif
