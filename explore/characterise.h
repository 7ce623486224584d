// SPDX-License-Identifier: GPL-3.0-or-later
// The characterisation of a machine: how each device behaves over size, shape, operand order and
// company, and what synchronisation costs; the measurements of HeteroInfer (arXiv 2501.14794)
// sec. 3, made through the machine seam and so the same on hardware and on models.
//
// A point is one measurement and says completely what is measured: `characterise_measure` on
// another machine repeats it. A profile is a list of points with values (CSV).
#ifndef EXPLORE_CHARACTERISE_H
#define EXPLORE_CHARACTERISE_H

#include <stdio.h>
#include "engine/machine.h"

struct point {
    char section[16]; // "operator", "stage", "order", "shape", "prepare", "bandwidth", "latency"
    char what[24];    // device or devices ("gpu", "gpu+npu"); of a latency, device:kind
    char order[24];   // operand order of a matmul, "" where it makes no difference
    int m, k, n;      // shape; 0 where it has no meaning
    double value;
    char unit[12]; // "us", "GB/s", "GFLOP/s", "ms"
};

struct characterise_options {
    bool quick;              // a coarse grid, seconds instead of a minute on hardware
    int max_m, max_k, max_n; // largest shapes; 0: as in the publication
};

// The points that a machine can be asked for; values are 0. *out is malloc'ed.
int characterise_points(const struct machine *m, const struct characterise_options *o,
                        struct point **out, int *n, struct err *e);
// Measures one point; sets p->value.
int characterise_measure(struct machine *m, struct point *p, struct err *e);

// CSV: section,what,order,m,k,n,value,unit
void characterise_write(const struct point *p, int n, FILE *f);
int characterise_read(const char *path, struct point **out, int *n, struct err *e);

#endif
