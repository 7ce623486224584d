// SPDX-License-Identifier: GPL-3.0-or-later
// Statistics that models keep while they run: constant memory, no second pass.
//
// A level adds value * duration whenever it changes, so its integral is exact for the step function
// it describes. A tally follows Welford (Technometrics 4(3), 1962): the running mean and the sum of
// squared differences from it, which does not cancel as the sum of squares does.
#include "sim/stat.h"

#include <assert.h>
#include <math.h>

void sim_level_init(struct sim_level *l, int64_t now, double value)
{
    *l = (struct sim_level){.value = value, .max = value, .since = now};
}

void sim_level_set(struct sim_level *l, int64_t now, double value)
{
    assert(now >= l->since);
    l->integral += l->value * (double)(now - l->since);
    l->since = now;
    l->value = value;
    if (value > l->max)
        l->max = value;
}

double sim_level_integral(const struct sim_level *l, int64_t now)
{
    return l->integral + l->value * (double)(now - l->since);
}

void sim_tally_init(struct sim_tally *t)
{
    *t = (struct sim_tally){0};
}

void sim_tally_add(struct sim_tally *t, double x)
{
    t->n++;
    double d = x - t->mean;
    t->mean += d / (double)t->n;
    t->m2 += d * (x - t->mean);
    if (t->n == 1 || x < t->min)
        t->min = x;
    if (t->n == 1 || x > t->max)
        t->max = x;
}

// Of the sample (n - 1); 0 for fewer than two observations.
double sim_tally_deviation(const struct sim_tally *t)
{
    return t->n < 2 ? 0 : sqrt(t->m2 / (double)(t->n - 1));
}
