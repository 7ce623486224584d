// SPDX-License-Identifier: GPL-3.0-or-later
#include "explore/stop.h"

#include <math.h>
#include <stdlib.h>

struct stop {
    struct stop_rules rules;
    int n_objectives;
    bool target; // reached
};

const char *stop_text(enum stop_reason r)
{
    static const char *const text[STOP_REASONS] = {
        [STOP_NOT] = "",
        [STOP_DONE] = "the searcher has nothing more to ask",
        [STOP_BUDGET] = "the budget is spent",
        [STOP_SECONDS] = "the time is up",
        [STOP_PATIENCE] = "the front has not grown for a while",
        [STOP_TARGET] = "the target is reached",
        [STOP_INTERRUPTED] = "interrupted",
    };
    return text[r];
}

struct stop *stop_open(const struct stop_rules *r, const struct search_space *s)
{
    struct stop *t = calloc(1, sizeof *t);
    if (!t)
        abort();
    t->rules = *r;
    t->n_objectives = s->n_objectives;
    return t;
}

void stop_told(struct stop *t, const struct search_outcome *o)
{
    bool all = t->rules.n_targets > 0 && o->ok && !(o->violation > 0);
    for (int i = 0; i < t->rules.n_targets; i++)
        all &= o->objective[t->rules.target[i].objective] <= t->rules.target[i].value;
    t->target |= all;
}

enum stop_reason stop_check(const struct stop *t, int64_t asked, double seconds)
{
    if (t->target)
        return STOP_TARGET;
    if (t->rules.budget && asked >= t->rules.budget)
        return STOP_BUDGET;
    if (t->rules.seconds > 0 && seconds >= t->rules.seconds)
        return STOP_SECONDS;
    return STOP_NOT;
}

double stop_hypervolume(const struct stop *t)
{
    (void)t;
    return (double)NAN;
}

void stop_close(struct stop *t)
{
    free(t);
}
