// SPDX-License-Identifier: GPL-3.0-or-later
// The characterisation of a machine: how each device behaves over size, shape, operand order and
// company, and what synchronisation costs; the measurements of HeteroInfer (arXiv 2501.14794)
// sec. 3, made through the machine seam and so the same on hardware and on models.
//
// A point is one measurement and says completely what is measured: `characterise_measure` on
// another machine repeats it. A profile is a list of points with values (CSV).
//
//   section    what                  m,k,n      value
//   operator   DEV, DEV:streamed     a matmul   its time, or its rate
//   stage      the same              the same   over n in steps of 1
//   order      the same              the same   in both operand orders
//   shape      the same              the same   over k, with m * k fixed
//   prepare    DEV                   a matmul   time to build its static graph
//   kernel     DEV:OP                values    streamed time of an operator that is no matmul:
//                                    per token,  attention over k cached rows, swiglu, add
//                                    k, n
//   bandwidth  DEV, DEV+DEV, ...     a matmul   bytes per second of all that stream it together
//              DEV@DEV+DEV           the same   the part that one of them gets
//   latency    DEV:submit-empty      -          host time to submit to an idle device
//              DEV:submit-nonempty              to a device that has work
//              DEV:finish                       the driver's finish when nothing is left to do
//              DEV:event                        the callback, later than the flag or query
//              DEV:flag                         shortest operator, submission to visible flag
//              DEV:query                        asking the driver about a complete ticket
//              DEV:join-SCHEME                  a hand-over under a scheme with default options
//              control:sleep, control:pause     the smallest sleep; one turn of a polling loop
//   join       DEV>DEV:SCHEME        -          end of the shortest operator on one device to the
//                                               begin of one on the other (or the same) that the
//                                               host submits when the scheme's join has returned
//
// A matmul is of M weight rows, K columns and N tokens; weights are Q4_0. A device with static
// graphs runs it on the smallest graph of whole tiles that holds N. DEV alone is the isolated time:
// from submission to the idle device to completion, as published tables of operators have it;
// DEV:streamed is what it adds to a queue that is never empty.
#ifndef EXPLORE_CHARACTERISE_H
#define EXPLORE_CHARACTERISE_H

#include <stdio.h>
#include "engine/machine.h"

enum { POINT_WHAT = 24 };

struct point {
    char section[16]; // "operator", "stage", "order", "shape", "prepare", "kernel", "bandwidth",
                      // "latency", "join"
    char what[POINT_WHAT]; // device or devices ("gpu", "gpu+npu"); of a latency, device:kind
    char order[24];        // operand order of a matmul, "" where it makes no difference
    int m, k, n;           // shape; 0 where it has no meaning
    double value;
    char unit[12]; // us, ms, GFLOP/s of a time; GB/s of a bandwidth
};

struct characterise_options {
    bool quick; // a coarse grid, seconds instead of a minute on hardware
    // Largest shapes; 0: as in the publication on a machine that computes no values, what takes
    // milliseconds on one that does.
    int max_m, max_k, max_n;
};

// The points that a machine can be asked for; values are 0. *out is malloc'ed.
int characterise_points(const struct machine *m, const struct characterise_options *o,
                        struct point **out, int *n, struct err *e);
// Measures one point; sets p->value, in p->unit. Resets the machine first, so that on a simulated
// one equal points give equal numbers, whatever was measured before.
int characterise_measure(struct machine *m, struct point *p, struct err *e);
// Sets p->value to the middle of what it was in n rounds (which are reordered): the interquartile
// mean of the times. Unlike a median it moves little when a machine has two speeds, one of them
// about half of the time (a neighbour on the other half of a core), and unlike a mean it forgets
// outliers.
void characterise_combine(struct point *p, double *value, int n);

// CSV: section,what,order,m,k,n,value,unit. Reads back exactly; a row that is malformed is an error
// with its line.
void characterise_write(const struct point *p, int n, FILE *f);
int characterise_read(const char *path, struct point **out, int *n, struct err *e);

// What the points say, in a few lines per section.
void characterise_summary(const struct point *p, int n, FILE *f);
// One plot per section as DIR/SECTION.ENDING ("svg" or "png"); the folder is made.
int characterise_plots(const struct point *p, int n, const char *dir, const char *ending,
                       struct err *e);

#endif
