// SPDX-License-Identifier: GPL-3.0-or-later
#include "explore/ranking.h"

#include <math.h>
#include <stdlib.h>
#include "explore/pareto.h"

static void *array(int n, size_t size)
{
    void *p = calloc((size_t)n + 1, size);
    if (!p)
        abort();
    return p;
}

// Feasible rows by score, then violating ones by violation, then the rest; ties by index.
struct place {
    int class, index;
    double value;
};

static int by_place(const void *x, const void *y)
{
    const struct place *a = x, *b = y;
    if (a->class != b->class)
        return a->class - b->class;
    if (isnan(a->value) != isnan(b->value))
        return isnan(a->value) ? 1 : -1;
    if (!isnan(a->value) && a->value != b->value)
        return a->value < b->value ? -1 : 1;
    return a->index - b->index;
}

static void put_in_order(const struct campaign_row *row, int n, const double *score, int *order)
{
    struct place *p = array(n, sizeof *p);
    for (int i = 0; i < n; i++) {
        bool ran = row[i].m.status == METRICS_OK, feasible = metrics_feasible(&row[i].m);
        p[i] = (struct place){.class = feasible ? 0
                                       : ran    ? 1
                                                : 2,
                              .index = i,
                              .value = feasible ? score[i]
                                       : ran    ? row[i].m.violation
                                                : 0};
    }
    qsort(p, (size_t)n, sizeof *p, by_place);
    for (int i = 0; i < n; i++)
        order[i] = p[i].index;
    free(p);
}

// The objectives of all rows, NaN for those that are not feasible; machine -1: all together.
static void fill(const struct campaign_row *row, int n, const enum metric *objective, int k,
                 int machine, double *v)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < k; j++) {
            const double *value = machine < 0 ? row[i].m.value : row[i].m.by_machine[machine];
            v[i * k + j] = metrics_feasible(&row[i].m)
                               ? metric_objective(objective[j], value[objective[j]])
                               : (double)NAN;
        }
}

static void regrets(const struct campaign_row *row, int n, const enum metric *objective, int k,
                    double *v, double *regret)
{
    double *score = array(n, sizeof *score);
    int machines = 0;
    for (int i = 0; i < n; i++) {
        regret[i] = NAN;
        machines = row[i].m.n_machines > machines ? row[i].m.n_machines : machines;
    }
    for (int m = 0; m < machines; m++) {
        fill(row, n, objective, k, m, v);
        pareto_score(v, n, k, score);
        for (int i = 0; i < n; i++)
            if (!(regret[i] >= score[i]))
                regret[i] = score[i];
    }
    free(score);
}

void ranking_make(const struct campaign_row *row, int n, const enum metric *objective,
                  int n_objectives, struct ranking *out)
{
    const int k = n_objectives;
    double *v = array(n * k, sizeof *v);
    *out = (struct ranking){.n = n, .n_objectives = k};
    out->order = array(n, sizeof *out->order);
    out->score = array(n, sizeof *out->score);
    out->regret = array(n, sizeof *out->regret);
    out->front = array(n, sizeof *out->front);
    for (int i = 0; i < n; i++) {
        out->n_ok += metrics_feasible(&row[i].m);
        out->n_violating += row[i].m.status == METRICS_OK && !metrics_feasible(&row[i].m);
    }
    regrets(row, n, objective, k, v, out->regret);
    fill(row, n, objective, k, -1, v);
    pareto_front(v, n, k, out->front);
    pareto_score(v, n, k, out->score);
    put_in_order(row, n, out->score, out->order);
    for (int i = 0; i < n; i++)
        out->n_front += out->front[i];
    for (int j = 0; j < k; j++) {
        out->objective[j] = objective[j];
        out->best[j] = pareto_best(v, n, k, j);
    }
    free(v);
}

void ranking_fini(struct ranking *r)
{
    free(r->order);
    free(r->score);
    free(r->regret);
    free(r->front);
    *r = (struct ranking){0};
}
