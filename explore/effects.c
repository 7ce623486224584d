// SPDX-License-Identifier: GPL-3.0-or-later
// Two passes: means first, then squares of differences from them, so that nothing large cancels.
#include "explore/effects.h"

#include <math.h>
#include <stdbool.h>

static bool counts(const double *y, const int *choice, int i, int n_choices)
{
    return choice[i] >= 0 && choice[i] < n_choices && !isnan(y[i]);
}

static double mean_of(double sum, int n)
{
    return n ? sum / n : (double)NAN;
}

void effect_of(const double *y, const int *choice, int n, int n_choices,
               struct effect_choice *by_choice, struct effect *out)
{
    double sum = 0, between = 0, total = 0, least = INFINITY, most = -INFINITY;
    *out = (struct effect){.best = -1};
    for (int c = 0; c < n_choices; c++)
        by_choice[c] = (struct effect_choice){.best = (double)NAN, .best_at = -1};
    for (int i = 0; i < n; i++) {
        if (!counts(y, choice, i, n_choices))
            continue;
        struct effect_choice *g = &by_choice[choice[i]];
        g->n++;
        g->mean += y[i];
        sum += y[i];
        out->n++;
        if (g->best_at < 0 || y[i] < g->best) {
            g->best = y[i];
            g->best_at = i;
        }
    }
    out->mean = mean_of(sum, out->n);
    for (int c = 0; c < n_choices; c++) {
        struct effect_choice *g = &by_choice[c];
        g->mean = mean_of(g->mean, g->n);
        if (!g->n)
            continue;
        out->groups++;
        between += g->n * (g->mean - out->mean) * (g->mean - out->mean);
        least = fmin(least, g->mean);
        most = fmax(most, g->mean);
        if (out->best < 0 || g->best < by_choice[out->best].best)
            out->best = c;
    }
    for (int i = 0; i < n; i++)
        if (counts(y, choice, i, n_choices))
            total += (y[i] - out->mean) * (y[i] - out->mean);
    out->spread = out->n ? most - least : (double)NAN;
    // Rounding leaves a little where all values are equal.
    bool varies = total > 1e-24 * out->n * (1 + out->mean * out->mean);
    out->share = out->groups > 1 && varies ? fmin(between / total, 1) : (double)NAN;
}
