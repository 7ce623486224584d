// SPDX-License-Identifier: GPL-3.0-or-later
// Hypervolume: how much of the objective space a set of points dominates. Grows with every point
// that is added to the front, so it is one number for how far a search of several objectives got.
//
// Values come as a matrix v[i * k + j]: point i, objective j, all minimised, as in
// explore/pareto.h. A point counts only when it is better than the reference point in every
// objective; one with a NaN does not count.
//
// The reference point of a known front is its worst values plus a tenth of its range in each
// objective: then the ends of the front count too, but not more than its middle.
#ifndef EXPLORE_HYPERVOLUME_H
#define EXPLORE_HYPERVOLUME_H

#include <stdbool.h>

enum { HYPERVOLUME_MAX_OBJECTIVES = 8 };

// Volume of the union of the boxes between the points and ref[k], exact; 1 <= k <= 8. Milliseconds
// for several hundred points of three objectives, seconds of six.
double hypervolume(const double *v, int n, int k, const double *ref);

// What point p[k] adds to the hypervolume of v: the volume that only p dominates.
double hypervolume_added(const double *p, const double *v, int n, int k, const double *ref);

// The reference point of the front of the given points (see above). false: no point is complete.
// An objective in which all of the front is equal gets that value plus a tenth of its size (plus 1
// where it is 0).
bool hypervolume_reference(const double *v, int n, int k, double *ref);

// hypervolume(v) / hypervolume(whole), both against the reference point of `whole`: 1 when v has
// the same front. NaN when `whole` has no point.
double hypervolume_share(const double *v, int n, const double *whole, int n_whole, int k);

#endif
