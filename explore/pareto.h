// SPDX-License-Identifier: GPL-3.0-or-later
// Ordering points that have several objectives: the Pareto front, one overall score, agreement of
// two orders.
//
// Values come as a matrix v[i * k + j]: point i, objective j, all minimised. An objective that no
// point knows (NaN everywhere, such as energy on real hardware) is left out; apart from that a
// point with a NaN counts as dominated and is ranked last.
#ifndef EXPLORE_PARETO_H
#define EXPLORE_PARETO_H

#include <stdbool.h>

// front[i]: no other point is at least as good in every objective and better in one. Equal points
// do not dominate each other.
void pareto_front(const double *v, int n, int k, bool *front);

// score[i]: the geometric mean over the objectives of value / (best value seen). 1 is a point that
// is best in everything; 1.2 is on average (in the sense of ratios) 20 % worse than the best seen.
// A ratio and not a difference, so that the score does not depend on units. Where the best is 0
// (dropped frames, prepared graphs) there is no ratio to it: the factor is 1 + value / s, s being
// the median of the values above 0, so 1 for the best and 2 for one that is as bad as is usual
// among the bad. An objective with a negative best, or that is 0 everywhere, is left out. NaN where
// the point lacks an objective.
void pareto_score(const double *v, int n, int k, double *score);

// order[r]: the point of rank r, by rising score; ties by index; NaN last.
void pareto_rank(const double *score, int n, int *order);

// The point with the least value of objective j; the first of equals; -1 when all are NaN.
int pareto_best(const double *v, int n, int k, int j);

// Whether two values are nearer than `alike` of the smaller one (0.01 is 1 %), or equal, or both
// NaN.
bool pareto_alike(double x, double y, double alike);

// Kendall's tau-b of two lists: 1 the same order, 0 unrelated, -1 reversed. Values of a list that
// are alike are tied. Pairs with a NaN in either list are left out. NaN when one list is constant
// or fewer than two pairs are left.
double pareto_kendall(const double *a, const double *b, int n, double alike);

#endif
