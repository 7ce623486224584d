// SPDX-License-Identifier: GPL-3.0-or-later
// A campaign out of a store: what report and plot share.
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "cli/cli.h"
#include "explore/report.h"

struct cli_results {
    struct arena arena;
    struct store_campaign campaign;
    struct campaign_row *row; // in the order of asking
    int n;
    struct store_validation *validation;
    int n_validations;
};
// Reads a campaign; id 0: the last one that has points. Everything lives in the arena.
int cli_results_open(const char *path, int64_t id, struct cli_results *out, struct err *e);
void cli_results_close(struct cli_results *r);

// Runs the chosen configurations of a report again on the machine that the campaign names. Returns
// how many of `run` are filled; a configuration that does not run says so in its `failed`. When no
// machine can be opened none is filled, and *why says why.
int cli_report_runs(const struct cli_results *x, const int *row, int n, struct report_run *run,
                    struct arena *a, const char **why);

// Draws a figure; with `script` also FILE.gp, its gnuplot script. Without gnuplot the script is all
// there is, standard error says so, and the result is 1.
struct plot;
int cli_plot_write(const struct plot *p, const char *out, bool script, struct err *e);

#endif
