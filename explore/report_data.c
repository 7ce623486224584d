// SPDX-License-Identifier: GPL-3.0-or-later
// Points, effects and validation as JSON. Points are written by columns, and texts that repeat as
// indices into lists: five thousand points take about a megabyte.
#include <math.h>
#include <string.h>
#include "explore/effects.h"
#include "explore/pareto.h"
#include "explore/report_internal.h"
#include "explore/validate.h"

enum { PERCENT = 100 };

static const char *const kinds[] = {"policy",      "policy option", "sync",
                                    "sync option", "soc",           "level"};

// --- points

static bool known(const struct report_view *v, int metric)
{
    for (int i = 0; i < v->r->n; i++)
        if (!isnan(v->r->row[i].m.value[metric]))
            return true;
    return false;
}

static void metric_columns(struct json *j, const struct report_view *v)
{
    json_array_begin(j, "metrics");
    for (int m = 0; m < METRIC_COUNT; m++) {
        if (!known(v, m))
            continue;
        json_object_begin(j, NULL);
        json_str(j, "name", metric_rows[m].name);
        json_str(j, "title", metric_rows[m].title);
        json_str(j, "unit", metric_rows[m].unit);
        json_bool(j, "rate", metric_rows[m].rate);
        json_bool(j, "objective", metric_rows[m].objective);
        json_array_begin(j, "value");
        for (int i = 0; i < v->r->n; i++)
            report_number(j, NULL, v->r->row[i].m.value[m]);
        json_array_end(j);
        json_object_end(j);
    }
    json_array_end(j);
}

static void param_columns(struct json *j, const struct report_view *v)
{
    json_array_begin(j, "params");
    for (int i = 0; i < v->params.n; i++) {
        const struct report_param *p = &v->params.param[i];
        json_object_begin(j, NULL);
        json_str(j, "name", p->name);
        json_str(j, "kind", kinds[p->kind]);
        json_str(j, "owner", p->owner);
        json_bool(j, "ordered", p->ordered);
        json_array_begin(j, "choices");
        for (int c = 0; c < p->n; c++)
            json_str(j, NULL, p->choice[c]);
        json_array_end(j);
        json_array_begin(j, "value");
        for (int r = 0; r < v->r->n; r++)
            json_i64(j, NULL, p->value[r]);
        json_array_end(j);
        json_object_end(j);
    }
    json_array_end(j);
}

// A column of texts as a list of different ones, in the order of first use, and indices into it.
// Searched backwards: a text often stands just before.
static void text_column(struct json *j, const struct report_view *v, const char *key,
                        const char *(*text)(const struct report_view *v, int i))
{
    struct arena a;
    arena_init(&a);
    const char **list = ARENA_NEWS(&a, (size_t)v->r->n, const char *);
    int *index = ARENA_NEWS(&a, (size_t)v->r->n, int), n = 0;
    for (int i = 0; i < v->r->n; i++) {
        const char *s = text(v, i);
        int c = n;
        while (c > 0 && strcmp(list[c - 1], s))
            c--;
        if (!c) {
            list[n++] = s;
            c = n;
        }
        index[i] = c - 1;
    }
    json_object_begin(j, key);
    json_array_begin(j, "list");
    for (int i = 0; i < n; i++)
        json_str(j, NULL, list[i]);
    json_array_end(j);
    json_array_begin(j, "at");
    for (int i = 0; i < v->r->n; i++)
        json_i64(j, NULL, index[i]);
    json_array_end(j);
    json_object_end(j);
    arena_fini(&a);
}

static const char *policy_of(const struct report_view *v, int i)
{
    return v->r->row[i].policy;
}
static const char *sync_of(const struct report_view *v, int i)
{
    return v->r->row[i].sync;
}
static const char *soc_of(const struct report_view *v, int i)
{
    return v->r->row[i].soc ? v->r->row[i].soc : "";
}
static const char *level_of(const struct report_view *v, int i)
{
    return v->r->row[i].level ? v->r->row[i].level : "";
}
static const char *status_of(const struct report_view *v, int i)
{
    const struct metrics *m = &v->r->row[i].m;
    return v->coarse[i]                                  ? "coarse"
           : m->status == METRICS_OK && m->violation > 0 ? "violated"
                                                         : metrics_status_name(m->status);
}
static const char *reason_of(const struct report_view *v, int i)
{
    return v->r->row[i].m.reason;
}

// Values per machine, of points that were evaluated on several.
static void machines_json(struct json *j, const struct report_view *v)
{
    json_array_begin(j, "machines");
    for (int k = 0; k < v->r->n_machines; k++) {
        json_object_begin(j, NULL);
        json_str(j, "name", v->r->machine[k]);
        for (int o = 0; o < v->ranking.n_objectives; o++) {
            enum metric m = v->ranking.objective[o];
            json_array_begin(j, metric_rows[m].name);
            for (int i = 0; i < v->r->n; i++) {
                const struct metrics *x = &v->r->row[i].m;
                bool there = x->status == METRICS_OK && !v->coarse[i] && k < x->n_machines;
                report_number(j, NULL, there ? x->by_machine[k][m] : (double)NAN);
            }
            json_array_end(j);
        }
        json_object_end(j);
    }
    json_array_end(j);
}

void report_points(struct json *j, const struct report_view *v)
{
    json_object_begin(j, "points");
    json_i64(j, "n", v->r->n);
    text_column(j, v, "policy", policy_of);
    text_column(j, v, "sync", sync_of);
    text_column(j, v, "soc", soc_of);
    text_column(j, v, "level", level_of);
    text_column(j, v, "status", status_of);
    text_column(j, v, "reason", reason_of);
    json_array_begin(j, "front");
    for (int i = 0; i < v->r->n; i++)
        json_i64(j, NULL, v->ranking.front[i]);
    json_array_end(j);
    json_array_begin(j, "score");
    for (int i = 0; i < v->r->n; i++)
        report_number(j, NULL, v->ranking.score[i]);
    json_array_end(j);
    metric_columns(j, v);
    param_columns(j, v);
    machines_json(j, v);
    json_object_end(j);
}

// --- effects

// Of the logarithm: "20 % slower" counts the same for fast and for slow configurations, and a few
// that are very slow do not hide everything else. An average of logarithms is a geometric mean.
// An objective that can be 0 (frames dropped) has no logarithm and is taken as it is.
bool report_effect(const struct report_view *v, const struct report_param *p, enum metric m,
                   struct arena *a, struct effect_choice *c, struct effect *e)
{
    double *y = ARENA_NEWS(a, (size_t)v->r->n, double);
    bool positive = true;
    for (int i = 0; i < v->r->n; i++) {
        y[i] = v->row[i].m.status == METRICS_OK ? metric_objective(m, v->row[i].m.value[m])
                                                : (double)NAN;
        positive &= isnan(y[i]) || y[i] > 0;
    }
    for (int i = 0; positive && i < v->r->n; i++)
        y[i] = log(y[i]);
    effect_of(y, p->value, v->r->n, p->n, c, e);
    return positive;
}

static void effect_json(struct json *j, const struct report_view *v, const struct report_param *p,
                        enum metric m, struct arena *a)
{
    struct effect e;
    struct effect_choice *c = ARENA_NEWS(a, (size_t)p->n, struct effect_choice);
    bool logs = report_effect(v, p, m, a, c, &e);
    json_object_begin(j, NULL);
    json_str(j, "metric", metric_rows[m].name);
    json_bool(j, "log", logs);
    json_i64(j, "n", e.n);
    report_number(j, "share", e.share);
    // The worst choice over the best, on average.
    report_number(j, "ratio", logs ? exp(e.spread) : (double)NAN);
    json_i64(j, "best", e.best);
    json_array_begin(j, "choices");
    for (int k = 0; k < p->n; k++) {
        json_object_begin(j, NULL);
        json_i64(j, "n", c[k].n);
        report_number(j, "mean", metric_objective(m, logs ? exp(c[k].mean) : c[k].mean));
        json_i64(j, "best", c[k].best_at);
        json_object_end(j);
    }
    json_array_end(j);
    json_object_end(j);
}

void report_effects(struct json *j, const struct report_view *v)
{
    struct arena a;
    json_array_begin(j, "effects");
    for (int i = 0; i < v->params.n; i++) {
        const struct report_param *p = &v->params.param[i];
        if (p->n < 2)
            continue;
        arena_init(&a);
        json_object_begin(j, NULL);
        json_i64(j, "param", i);
        json_array_begin(j, "on");
        for (int o = 0; o < v->ranking.n_objectives; o++)
            effect_json(j, v, p, v->ranking.objective[o], &a);
        json_array_end(j);
        json_object_end(j);
        arena_fini(&a);
    }
    json_array_end(j);
}

// --- validation

struct pairs {
    double *predicted, *measured;
    int n;
};

static void pairs_json(struct json *j, const char *key, const struct pairs *p)
{
    double sum = 0, worst = 0;
    int n = 0;
    json_object_begin(j, key);
    for (int i = 0; i < p->n; i++) {
        double e = (p->predicted[i] / p->measured[i] - 1) * PERCENT;
        if (!isfinite(e))
            continue;
        n++;
        sum += fabs(e);
        worst = fabs(e) > fabs(worst) ? e : worst;
    }
    json_i64(j, "n", n);
    report_number(j, "tau", pareto_kendall(p->predicted, p->measured, p->n, VALIDATE_ALIKE));
    report_number(j, "mean_error_percent", n ? sum / n : (double)NAN);
    report_number(j, "worst_error_percent", n ? worst : (double)NAN);
    json_object_end(j);
}

void report_validation(struct json *j, const struct report_view *v)
{
    struct arena a;
    const int n = v->r->n_validations;
    arena_init(&a);
    struct pairs p[2];
    for (int k = 0; k < 2; k++)
        p[k] =
            (struct pairs){ARENA_NEWS(&a, (size_t)n, double), ARENA_NEWS(&a, (size_t)n, double), n};
    json_object_begin(j, "validation");
    json_array_begin(j, "rows");
    for (int i = 0; i < n; i++) {
        const struct store_validation *x = &v->r->validation[i];
        p[0].predicted[i] = x->predicted_ttft_ms;
        p[0].measured[i] = x->ttft_ms;
        p[1].predicted[i] = x->predicted_tpot_ms;
        p[1].measured[i] = x->tpot_ms;
        json_object_begin(j, NULL);
        json_str(j, "policy", x->policy);
        json_str(j, "sync", x->sync);
        json_str(j, "machine", x->machine);
        json_str(j, "model", x->model);
        json_i64(j, "n_prompt", x->n_prompt);
        json_i64(j, "n_gen", x->n_gen);
        json_i64(j, "repeats", x->repeats);
        report_number(j, "predicted_ttft_ms", x->predicted_ttft_ms);
        report_number(j, "ttft_ms", x->ttft_ms);
        report_number(j, "ttft_spread", x->ttft_spread);
        report_number(j, "predicted_tpot_ms", x->predicted_tpot_ms);
        report_number(j, "tpot_ms", x->tpot_ms);
        report_number(j, "tpot_spread", x->tpot_spread);
        json_object_end(j);
    }
    json_array_end(j);
    pairs_json(j, "ttft", &p[0]);
    pairs_json(j, "tpot", &p[1]);
    json_object_end(j);
    arena_fini(&a);
}
