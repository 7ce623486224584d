// SPDX-License-Identifier: GPL-3.0-or-later
// Sensitivity: how far predictions move when one parameter does, and in which range around its
// value it is harmless: no number moves by more than a tolerance, no strategy changes. This is what
// has to be known of a parameter that nothing determines.
//
// The model is callbacks; nothing here knows machines.
#ifndef EXPLORE_SENSITIVITY_H
#define EXPLORE_SENSITIVITY_H

#include <signal.h>
#include "explore/experiment.h"
#include "explore/fit.h"

// What a value is multiplied with. The first and the last are the ends of what is searched for the
// harmless range.
enum { SENSITIVITY_FACTORS = 6, SENSITIVITY_NEAR = 1, SENSITIVITY_NEAR_END = 5 };
extern const double sensitivity_factors[SENSITIVITY_FACTORS]; // rising; [NEAR, NEAR_END): 0.5 to 2

struct sensitivity_move {
    enum {
        SENSITIVITY_SAME,      // a limit or rounding leaves the value as it is
        SENSITIVITY_MOVED,     // predictions were made with it
        SENSITIVITY_IMPOSSIBLE // there is no model at this value
    } state;
    double value;   // of the parameter
    double percent; // largest move of a number; INFINITY: a prediction can no longer be made
    int row;        // whose that is; -1: no number moved
    int strategies; // texts that changed
};

struct sensitivity {
    struct sensitivity_move move[SENSITIVITY_FACTORS];
    bool unmoved;           // nothing moves, also at the ends
    double low, high;       // harmless range
    bool low_end, high_end; // it reaches the end of the search, or the parameter's limit
    double percent;         // largest move within x0.5 to x2 ...
    int row, strategies;    // ... whose it is (-1: none), and the most texts that changed there
    char crashed[160];      // "": it was evaluated; else why not
};

struct sensitivity_problem {
    int n, m;
    const struct fit_parameter *parameter; // [n]
    // A move of row j is relative to its prediction, at least to scale[j]. Rows of `except` are
    // left out. [m], or NULL.
    const double *scale;
    const bool *except;
    // From now on parameter i is x, all others are as they were at the start; i = -1: all are.
    // Negative: there is no such model.
    int (*set)(void *user, int i, double x);
    int (*predict)(void *user, int row, struct prediction *out, struct err *e);
    double (*round)(void *user, int i, double x); // the value as it is written; NULL: x as it is
    // Called in the parent when another parameter is done (may be NULL).
    void (*progress)(void *user, int done, int total);
    void *user;
    double tolerance; // 0.05: 5 %
    // Worker processes, each with its own copy of what `user` points to; 0: none. The result is the
    // same.
    int jobs;
    const volatile sig_atomic_t *stop; // or NULL
};

struct sensitivity_result {
    struct sensitivity *parameter; // [n]
    int *order;                    // [n], by influence, most first; equal ones in their order
    int m, failed;                 // rows, and of these without a prediction at the start
    struct prediction *base;       // [m] at the start
    bool *known;                   // [m] it could be made, and is not left out
    bool interrupted;
    struct arena arena;
};

int sensitivity_run(const struct sensitivity_problem *p, struct sensitivity_result *out,
                    struct err *e);
void sensitivity_fini(struct sensitivity_result *r);

#endif
