// SPDX-License-Identifier: GPL-3.0-or-later
// Figures of a campaign, for papers: what explore/plot.h draws.
#ifndef EXPLORE_REPORT_PLOT_H
#define EXPLORE_REPORT_PLOT_H

#include "explore/plot.h"
#include "explore/report.h"

enum report_figure {
    FIGURE_PARETO,      // two metrics, points by policy, and the front
    FIGURE_EFFECTS,     // share of variance per parameter and objective
    FIGURE_CONVERGENCE, // what was reached over points asked
    FIGURE_VALIDATION,  // predicted over measured
    REPORT_FIGURES,
};
extern const char *const report_figure_names[REPORT_FIGURES];

struct report_figure_options {
    enum report_figure figure;
    enum metric x, y; // of the Pareto front
    bool all;         // all points, not only those around the front
};

// Fills a plot whose arrays live in the arena. ERR_USAGE when there is nothing to show, with why.
int report_plot(const struct report_view *v, const struct report_figure_options *o, struct arena *a,
                struct plot *out, struct err *e);

// The validation figure alone: of TTFT and TPOT, each predicted over measured, with intervals of
// the measured values where they are known (low and high NULL: none are). In ms; NaN: unknown.
struct report_validation {
    const double *measured, *predicted, *low, *high; // [n]
    int n;
};
int report_validation_plot(const struct report_validation p[2], struct arena *a, struct plot *out,
                           struct err *e);

#endif
