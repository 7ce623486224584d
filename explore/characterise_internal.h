// SPDX-License-Identifier: GPL-3.0-or-later
// What the files of the characterisation share.
#ifndef EXPLORE_CHARACTERISE_INTERNAL_H
#define EXPLORE_CHARACTERISE_INTERNAL_H

#include "explore/characterise.h"

enum section {
    SECTION_OPERATOR,
    SECTION_STAGE,
    SECTION_ORDER,
    SECTION_SHAPE,
    SECTION_PREPARE,
    SECTION_KERNEL,
    SECTION_BANDWIDTH,
    SECTION_LATENCY,
    SECTION_JOIN,
    CHARACTERISE_SECTIONS,
};
extern const char *const characterise_section[CHARACTERISE_SECTIONS];
int characterise_section_of(const struct point *p); // -1: none
// One of the matmuls over size: M = K, and as many tokens unless that is more than max_n.
bool characterise_is_square(const struct point *p, int max_n);
// The streamed time of n tasks of a device that take turns (ps), as robust as time allows.
int characterise_streamed(struct machine *m, int device, const struct task *turn, int n, double *ps,
                          struct err *e);
extern const char *const characterise_kernels[]; // that are no matmul; ends with NULL
// Streamed time (ps) of one of them on one device: p->m values per token, p->n tokens, p->k cached
// rows (those of the tokens included; attention only).
int characterise_kernel(struct machine *m, int device, const char *kind, const struct point *p,
                        double *ps, struct err *e);
// characterise_read of an open file; `name` is for messages.
int characterise_read_stream(FILE *f, const char *name, struct point **out, int *n, struct err *e);

#endif
