// SPDX-License-Identifier: GPL-3.0-or-later
// What the result of partita validate looks like: as a table, as JSON, as a figure.
#ifndef CLI_VALIDATE_H
#define CLI_VALIDATE_H

#include "cli/cli.h"
#include "explore/validate.h"

struct cli_validation {
    const struct validate_request *q;
    const struct validate_result *r;
    int n_best;                 // the first of them are the best, the others stand for the rest
    const int *rank;            // [r->n] in the exploration, from 1
    const char *predicted_by;   // "plan" or "exploration"
    int asked;                  // rounds
    struct validate_verdict *v; // [n_verdicts]
    int n_verdicts;
};

void cli_validation_print(const struct cli_validation *x);
void cli_validation_json(const struct cli_validation *x);
// Predicted over measured with intervals. Without gnuplot: its script; the result is 1.
int cli_validation_plot(const struct cli_validation *x, const char *path, struct err *e);
// A sentence on standard error for every limit that was missed; EXIT_OK or EXIT_CHECK.
int cli_validation_limits(const struct cli_validation *x);

#endif
