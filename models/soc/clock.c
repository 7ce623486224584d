// SPDX-License-Identifier: GPL-3.0-or-later
// Dynamic voltage and frequency scaling. Everything that a device's configuration says about its
// speed holds at its fastest point; at another one, computing takes as much longer as the clock is
// slower, while memory, driver and control core have clocks of their own. Switching power goes as
// f V^2, leakage as V, over the time for which each point was in force. Weighted that way, times of
// different points can be added, so energy stays a function of a few sums (models/soc/power.c).
//
// A kernel that is executing ends at the speed at which it began.
//
// Invariant: at the fastest point every weight is exactly 1.
#include "models/soc/clock.h"

#include <assert.h>

#define ROW(field, kind, u, lo, hi, def, text)                                                     \
    {                                                                                              \
        .name = #field, .type = kind, .unit = u, .min = lo, .max = hi, .fallback = def,            \
        .doc = text, .offset = offsetof(struct clock_params, field)                                \
    }

const struct conf_row clock_rows[] = {
    ROW(frequencies, CONF_INT_LIST, UNIT_FREQUENCY, 1, 1e12, "[]",
        "operating points, descending; the first is the one that all rates are for"),
    ROW(millivolts, CONF_INT_LIST, UNIT_NONE, 1, 10000, "[]", "voltage of each of them, in mV"),
    ROW(level, CONF_INT, UNIT_NONE, 0, 31, "0", "operating point to run at; 0 is the first"),
};
const size_t clock_n_rows = sizeof clock_rows / sizeof clock_rows[0];

int clock_levels(const struct clock_params *p)
{
    return p->frequencies.n ? p->frequencies.n : 1;
}

int clock_check(const struct clock_params *p, const char *group, struct err *e)
{
    char key[64];
    const struct conf_int_list *f = &p->frequencies, *v = &p->millivolts;
    snprintf(key, sizeof key, "%s.millivolts", group);
    if (f->n != v->n)
        return err_at(e, ERR_CONFIG, NULL, 0, key, "%d voltages for %d frequencies", v->n, f->n);
    for (int i = 1; i < v->n; i++)
        if (v->v[i] > v->v[i - 1])
            return err_at(e, ERR_CONFIG, NULL, 0, key,
                          "%lld after %lld: a slower point needs no "
                          "higher voltage",
                          (long long)v->v[i], (long long)v->v[i - 1]);
    snprintf(key, sizeof key, "%s.frequencies", group);
    for (int i = 1; i < f->n; i++)
        if (f->v[i] >= f->v[i - 1])
            return err_at(e, ERR_CONFIG, NULL, 0, key, "%lld Hz after %lld Hz: not descending",
                          (long long)f->v[i], (long long)f->v[i - 1]);
    snprintf(key, sizeof key, "%s.level", group);
    if (p->level >= clock_levels(p))
        return err_at(e, ERR_CONFIG, NULL, 0, key, "%lld of %d operating points; expected 0 to %d",
                      (long long)p->level, clock_levels(p), clock_levels(p) - 1);
    return 0;
}

static void enter(struct clock *c, int level)
{
    const struct conf_int_list *f = &c->p.frequencies, *v = &c->p.millivolts;
    c->level = level;
    c->f = level ? (double)f->v[level] / (double)f->v[0] : 1;
    c->v = level ? (double)v->v[level] / (double)v->v[0] : 1;
}

void clock_init(struct clock *c, const struct clock_params *p)
{
    *c = (struct clock){.p = *p};
    enter(c, (int)p->level);
}

struct clock_use clock_used(const struct clock *c, int64_t now, int64_t busy)
{
    assert(busy >= c->counted && busy - c->counted <= now - c->since);
    double work = (double)(busy - c->counted), time = (double)(now - c->since);
    return (struct clock_use){
        .dynamic = c->use.dynamic + work * c->f * c->v * c->v,
        .busy = c->use.busy + work * c->v,
        .all = c->use.all + time * c->v,
    };
}

void clock_set(struct clock *c, int level, int64_t now, int64_t busy)
{
    int last = clock_levels(&c->p) - 1;
    level = level > last ? last : level;
    if (level == c->level)
        return;
    c->use = clock_used(c, now, busy);
    c->since = now;
    c->counted = busy;
    enter(c, level);
}

int64_t clock_stretch(const struct clock *c, int64_t ps)
{
    return c->level ? (int64_t)((double)ps / c->f + 0.5) : ps;
}
