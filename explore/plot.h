// SPDX-License-Identifier: GPL-3.0-or-later
// Plots through gnuplot: lines or points over x, and bars with labels, as SVG, PNG or PDF (by the
// name's ending). The file appears under its name only when it is complete. Without gnuplot on the
// machine: ERR_UNSUPPORTED with a message that says what to install; nothing is written.
#ifndef EXPLORE_PLOT_H
#define EXPLORE_PLOT_H

#include <stdbool.h>
#include <stdio.h>
#include "base/err.h"

struct plot_series {
    const char *title;
    const double *x, *y; // [n]; a NaN in y leaves a gap
    int n;
    enum plot_look {
        PLOT_MARKED, // a line with marks
        PLOT_POINTS, // marks without a line
        PLOT_STEPS,  // a line without marks, level up to the next x
        PLOT_PLAIN,  // a thin black line without marks
    } look;
};

struct plot {
    const char *title, *xlabel, *ylabel;
    bool log_x, log_y;
    bool near;                     // axes need not show the zero
    double x_range[2], y_range[2]; // both 0: as large as needed
    const struct plot_series *series;
    int n_series;
    // Bars instead of series: label[i] with one value per group.
    const char *const *label; // [n_bars], NULL: no bars
    int n_bars;
};

bool plot_available(void);
// Can a plot of that name be drawn (.svg, .png, .pdf)? To be asked before long work.
int plot_check_path(const char *path, struct err *e);
// The script alone, complete in itself: `gnuplot FILE.gp >FILE.svg`. `path` tells the format.
int plot_script(const struct plot *p, const char *path, FILE *f, struct err *e);
// Series: x, y. Bars: series[g].y[i] is the bar of group g at label i; x is not used.
int plot_write(const struct plot *p, const char *path, struct err *e);

#endif
