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

void ranking_make(const struct campaign_row *row, int n, const enum metric *objective,
                  int n_objectives, struct ranking *out)
{
    const int k = n_objectives;
    double *v = array(n * k, sizeof *v);
    *out = (struct ranking){.n = n, .n_objectives = k};
    out->order = array(n, sizeof *out->order);
    out->score = array(n, sizeof *out->score);
    out->front = array(n, sizeof *out->front);
    for (int i = 0; i < n; i++) {
        bool ok = row[i].m.status == METRICS_OK;
        out->n_ok += ok;
        for (int j = 0; j < k; j++) {
            double x = row[i].m.value[objective[j]];
            v[i * k + j] = ok ? metric_objective(objective[j], x) : (double)NAN;
        }
    }
    pareto_front(v, n, k, out->front);
    pareto_score(v, n, k, out->score);
    pareto_rank(out->score, n, out->order);
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
    free(r->front);
    *r = (struct ranking){0};
}
