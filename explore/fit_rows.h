// SPDX-License-Identifier: GPL-3.0-or-later
// Observations to calibrate with: the rows of split `given` of a table of published measurements.
#ifndef EXPLORE_FIT_ROWS_H
#define EXPLORE_FIT_ROWS_H

#include <stdbool.h>
#include "base/arena.h"
#include "base/err.h"

struct fit_given {
    const char *id, *soc, *unit; // soc: "" where the table does not say
    double value;                // in the unit; above 0
    double tolerance;            // one standard deviation over the value; 0: the table does not say
    int line;
};

// A table of rows (columns id, unit, value, split; optional soc, tolerance; others are ignored), or
// the profile of a machine (explore/characterise.h)? Told by the first line.
enum fit_input { FIT_INPUT_ROWS, FIT_INPUT_PROFILE };
int fit_input_kind(const char *path, enum fit_input *out, struct err *e);

// Reads a table. A row of another split than `given` is an error that names it, or, with
// `only_given`, is passed over and counted; in neither case is its value looked at.
int fit_rows_read(const char *path, bool only_given, struct arena *a, struct fit_given **out,
                  int *n, int *passed_over, struct err *e);

#endif
