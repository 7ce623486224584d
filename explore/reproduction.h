// SPDX-License-Identifier: GPL-3.0-or-later
// Predictions beside published values. The table of published values and the experiments meet here
// and nowhere else: a prediction is complete before its published value is looked at.
//
//     published   id, unit, value, split (given, check, blind; other columns are for people)
//     result      id, split, prediction, published, unit, error_percent
#ifndef EXPLORE_REPRODUCTION_H
#define EXPLORE_REPRODUCTION_H

#include <stdio.h>
#include "base/arena.h"
#include "explore/experiment.h"

enum split { SPLIT_GIVEN, SPLIT_CHECK, SPLIT_BLIND, SPLITS };
extern const char *const split_names[SPLITS];

struct reproduced {
    const char *id, *unit;
    enum split split;
    int experiment;             // index into the experiments
    bool published;             // the value is known: a blind one is not
    double value;               // published, in `unit`
    char text[EXPERIMENT_TEXT]; // published, where the unit is "-"
    enum { REPRODUCED_NOT, REPRODUCED_OK, REPRODUCED_FAILED } state;
    struct prediction p;
    double error;  // percent, signed; of a text 0 or 100; NaN: unknown
    char why[240]; // it failed
};

struct reproduction {
    struct arena arena;
    int n;
    struct reproduced *row; // in the table's order
};

// Joins a table with experiments: exactly one of each for every id, with equal units.
int reproduction_open(const struct experiments *x, const char *published, struct reproduction *out,
                      struct err *e);
void reproduction_close(struct reproduction *r);

// Runs one row; a failing experiment is a state of the row.
void reproduction_run(struct reproduction *r, int row, struct experiments *x,
                      const struct experiment_world *w);

struct reproduction_total {
    int n, failed;          // rows that were run, and of these without a prediction
    int compared;           // with a published value
    double median, largest; // absolute error, percent; NaN without
    const char *worst;      // id of the largest
};
void reproduction_total(const struct reproduction *r, enum split s, struct reproduction_total *out);

// The result as CSV. A prediction has six digits.
void reproduction_write(const struct reproduction *r, FILE *f);

// How the rows that were run differ from a written result: a prediction that moved by more than
// `tolerance` (0.01: 1 %), another text, a row that one side lacks. Calls `moved` for each, with
// what the file says and what came out now, and returns their number; negative: cannot be read.
int reproduction_compare(const struct reproduction *r, const char *path, double tolerance,
                         void (*moved)(void *user, const char *id, const char *was,
                                       const char *now),
                         void *user, struct err *e);

// A value as the result file and the terminal show it.
const char *reproduction_text(const struct reproduced *r, bool published, char *buf, size_t size);

#endif
