// SPDX-License-Identifier: GPL-3.0-or-later
// What measured times say about predicted ones: medians with intervals, error, order, regret, and
// whether limits were kept.
//
// The interval of a median comes from order statistics (for instance David and Nagaraja, Order
// Statistics, 3rd edition, section 7.1): the number of n independent values below the median of
// their distribution is binomial (n, 1/2), whatever the distribution, so that the k-th least and
// the k-th largest hold the median between them unless fewer than k values fell on one side. Three
// rounds can so promise 75 % and no more, six 96.9 %: the coverage is reported and not assumed.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "explore/pareto.h"
#include "explore/validate.h"

const char *const validate_metric_names[VALIDATE_METRICS] = {"ttft", "tpot", "total"};
const char *const validate_metric_titles[VALIDATE_METRICS] = {"TTFT", "TPOT", "total"};

static int by_value(const void *x, const void *y)
{
    const double *a = x, *b = y;
    return (*a > *b) - (*a < *b);
}

static double middle(const double *sorted, int n)
{
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

// The largest k whose interval covers enough, at least 1; its coverage.
static int rank_of_interval(int n, double *coverage)
{
    double term = ldexp(1, -n), below = term; // P(X = i), P(X <= i) of a binomial (n, 1/2)
    int k = 1;
    *coverage = 1 - 2 * below;
    for (int i = 1; 2 * (i + 1) <= n; i++) {
        term *= (double)(n - i + 1) / i;
        below += term;
        if (1 - 2 * below < VALIDATE_LEVEL)
            break;
        k = i + 1;
        *coverage = 1 - 2 * below;
    }
    return k;
}

double validate_median(double *v, int n, struct validate_value *out)
{
    double coverage = 0;
    out->measured = out->low = out->high = out->spread = NAN;
    for (int i = 0; i < n; i++)
        if (isnan(v[i]))
            return 0;
    if (n < 1)
        return 0;
    qsort(v, (size_t)n, sizeof *v, by_value);
    out->measured = middle(v, n);
    out->spread = (v[n - 1] - v[0]) / out->measured;
    if (n > 1) {
        int k = rank_of_interval(n, &coverage);
        out->low = v[k - 1];
        out->high = v[n - k];
    }
    return coverage;
}

// Of two configurations, which the measurement says is faster: -1 the first, 1 the second, 0: it
// cannot tell.
static int told_apart(const struct validate_value *a, const struct validate_value *b)
{
    return a->high < b->low ? -1 : b->high < a->low ? 1 : 0;
}

// Of every two configurations that ran; a prediction of the same for both is not right.
static void count_order(const struct validate_row *row, int n, enum validate_metric m,
                        struct validate_summary *out)
{
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++) {
            const struct validate_value *a = &row[i].v[m], *b = &row[j].v[m];
            int order = row[i].ok && row[j].ok ? told_apart(a, b) : 0;
            out->told += order != 0;
            out->right += (order < 0 && a->predicted < b->predicted) ||
                          (order > 0 && b->predicted < a->predicted);
        }
}

void validate_summarise(struct validate_row *row, int n, enum validate_metric m, double alike,
                        struct validate_summary *out)
{
    double predicted[VALIDATE_MAX] = {0}, measured[VALIDATE_MAX] = {0}, error[VALIDATE_MAX];
    *out = (struct validate_summary){
        .choice = -1, .best = -1, .median_error = NAN, .largest_error = NAN, .regret = NAN};
    for (int i = 0; i < n; i++) {
        struct validate_value *v = &row[i].v[m];
        v->error = row[i].ok ? v->predicted / v->measured - 1 : (double)NAN;
        bool known = row[i].ok && !isnan(v->error);
        predicted[i] = known ? v->predicted : (double)NAN;
        measured[i] = known ? v->measured : (double)NAN;
        if (known)
            error[out->n++] = fabs(v->error);
    }
    out->tau = pareto_kendall(predicted, measured, n, alike);
    count_order(row, n, m, out);
    if (!out->n)
        return;
    qsort(error, (size_t)out->n, sizeof *error, by_value);
    out->median_error = middle(error, out->n);
    out->largest_error = error[out->n - 1];
    out->choice = pareto_best(predicted, n, 1, 0);
    out->best = pareto_best(measured, n, 1, 0);
    out->regret = measured[out->choice] / measured[out->best] - 1;
    out->apart = row[out->choice].v[m].low > row[out->best].v[m].high;
}

static const char *const limit_names[LIMIT_COUNT] = {"max_error", "min_tau", "max_regret"};

static void judge(enum validate_limit kind, enum validate_metric m, double limit, double value,
                  struct validate_verdict *out)
{
    const char *what = validate_metric_titles[m];
    *out = (struct validate_verdict){
        .name = limit_names[kind], .metric = m, .limit = limit, .value = value};
    out->ok = kind == LIMIT_TAU ? value >= limit : value <= limit; // false for a NaN
    if (isnan(value))
        snprintf(out->text, sizeof out->text,
                 "%s: %s cannot be told: %s; so its limit counts as missed", what,
                 kind == LIMIT_TAU ? "Kendall's tau" : "it",
                 kind == LIMIT_TAU ? "too few different values" : "no configuration ran");
    else if (kind == LIMIT_TAU)
        snprintf(out->text, sizeof out->text, "%s: Kendall's tau is %.3f, %s %.3f", what, value,
                 out->ok ? "at least" : "below the limit of", limit);
    else
        snprintf(out->text, sizeof out->text, "%s: the %s is %.2f %%, %s %.2f %%", what,
                 kind == LIMIT_ERROR ? "median error" : "regret", value * 100,
                 out->ok ? "at most" : "above the limit of", limit * 100);
}

int validate_judge(const struct validate_result *r, const struct validate_limits *limits,
                   const bool metrics[VALIDATE_METRICS],
                   struct validate_verdict out[VALIDATE_METRICS * LIMIT_COUNT])
{
    int n = 0;
    for (int m = 0; m < VALIDATE_METRICS; m++) {
        const struct validate_summary *s = &r->summary[m];
        const double limit[LIMIT_COUNT] = {limits->max_error, limits->min_tau, limits->max_regret};
        const double value[LIMIT_COUNT] = {s->median_error, s->tau, s->regret};
        bool measured = m != VALIDATE_TPOT || s->n || !r->summary[VALIDATE_TTFT].n;
        for (int k = 0; k < LIMIT_COUNT && metrics[m] && measured; k++)
            if (!isnan(limit[k]))
                judge((enum validate_limit)k, (enum validate_metric)m, limit[k], value[k],
                      &out[n++]);
    }
    return n;
}
