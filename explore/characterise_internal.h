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
    SECTION_BANDWIDTH,
    SECTION_LATENCY,
    SECTION_JOIN,
    CHARACTERISE_SECTIONS,
};
extern const char *const characterise_section[CHARACTERISE_SECTIONS];
int characterise_section_of(const struct point *p); // -1: none
// One of the matmuls over size: M = K, and as many tokens unless that is more than max_n.
bool characterise_is_square(const struct point *p, int max_n);
// characterise_read of an open file; `name` is for messages.
int characterise_read_stream(FILE *f, const char *name, struct point **out, int *n, struct err *e);

#endif
