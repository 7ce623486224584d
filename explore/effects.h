// SPDX-License-Identifier: GPL-3.0-or-later
// What a parameter matters, over points that have already been evaluated: the one-way analysis of
// variance (Fisher 1925; eta squared: Pearson 1905) of one result over the choices of one
// parameter.
//
// share = sum over choices of n_c (mean_c - mean)^2 / sum over points of (y - mean)^2: how much of
// the variance is explained when only this parameter is known. The shares of several parameters do
// not add up to 1: parameters act together, and points that a searcher chose are no balanced
// design.
#ifndef EXPLORE_EFFECTS_H
#define EXPLORE_EFFECTS_H

struct effect_choice {
    int n;       // points with this choice
    double mean; // of y over them; NaN without
    double best; // the least y; NaN without
    int best_at; // whose it is: the first of equals; -1
};
struct effect {
    int n, groups; // points that have a choice and a value; choices that occur among them
    double mean;   // of all of them; NaN without
    double share;  // 0 to 1; NaN: fewer than two choices occur, or nothing varies
    double spread; // largest mean of a choice minus the least; NaN without points
    int best;      // the choice that has the least y; -1
};

// y[n]: results, less is better; NaN: left out. choice[n]: 0 to n_choices - 1, or -1 where the
// parameter does not apply. by_choice[n_choices] is filled.
void effect_of(const double *y, const int *choice, int n, int n_choices,
               struct effect_choice *by_choice, struct effect *out);

#endif
