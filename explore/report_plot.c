// SPDX-License-Identifier: GPL-3.0-or-later
// Four figures. Each turns the rows of a campaign into series or bars, and leaves the drawing to
// explore/plot.c.
#include "explore/report_plot.h"

#include <math.h>
#include <string.h>
#include "explore/hypervolume.h"
#include "explore/pareto.h"
#include "explore/report_internal.h"

enum { MOST_BARS = 12, CHECKPOINTS = 120 };
#define NEAR  1.6 // how far beyond the front a figure reaches
#define SLACK 1.03
#define WIDE  20 // a range of more than that is drawn on a logarithmic axis

const char *const report_figure_names[REPORT_FIGURES] = {"pareto", "effects", "convergence",
                                                         "validation"};

static int nothing(struct err *e, const char *why)
{
    return err_set(e, ERR_USAGE, "nothing to plot: %s", why);
}

static bool ok(const struct report_view *v, int i)
{
    return v->row[i].m.status == METRICS_OK;
}

static double value(const struct report_view *v, int i, enum metric m)
{
    // A byte count is shown in GB.
    double by = !strcmp(metric_rows[m].unit, "bytes") ? 1e9 : 1;
    return v->row[i].m.value[m] / by;
}

static const char *axis(enum metric m, struct arena *a)
{
    const char *unit = !strcmp(metric_rows[m].unit, "bytes") ? "GB" : metric_rows[m].unit;
    return arena_printf(a, *unit ? "%s (%s)" : "%s%s", metric_rows[m].title, unit);
}

static const char *title(const struct report_view *v, struct arena *a)
{
    const struct store_campaign *c = v->r->campaign;
    return v->r->title
               ? v->r->title
               : arena_printf(a, "%s: %s on %s, %s", c->name, c->model, c->machine, c->workload);
}

// --- the front

// Rows on the front of two metrics, from the least x (or the highest rate) on; their number.
static int front_of(const struct report_view *v, enum metric x, enum metric y, int *row,
                    struct arena *a)
{
    const int n = v->r->n;
    double *pair = ARENA_NEWS(a, (size_t)(2 * n), double);
    bool *front = ARENA_NEWS(a, (size_t)n, bool);
    int count = 0;
    for (int i = 0; i < n; i++) {
        bool there = ok(v, i);
        pair[2 * i] = there ? metric_objective(x, v->row[i].m.value[x]) : (double)NAN;
        pair[2 * i + 1] = there ? metric_objective(y, v->row[i].m.value[y]) : (double)NAN;
    }
    pareto_front(pair, n, 2, front);
    for (int i = 0; i < n; i++) {
        int at = count;
        if (!front[i])
            continue;
        for (; at > 0 && value(v, row[at - 1], x) > value(v, i, x); at--)
            row[at] = row[at - 1];
        row[at] = i;
        count++;
    }
    return count;
}

// The range in which the points matter that are on the front over all objectives or this one.
static void near_range(const struct report_view *v, const int *front, int n, enum metric m,
                       double out[2])
{
    double least = INFINITY, most = -INFINITY;
    for (int k = 0; k < n; k++) {
        least = fmin(least, value(v, front[k], m));
        most = fmax(most, value(v, front[k], m));
    }
    for (int i = 0; i < v->r->n; i++)
        if (v->ranking.front[i] && !isnan(value(v, i, m))) {
            least = fmin(least, value(v, i, m));
            most = fmax(most, value(v, i, m));
        }
    out[0] = metric_rows[m].rate ? least / NEAR : least / SLACK;
    out[1] = metric_rows[m].rate ? most * SLACK : most * NEAR;
}

// What is reached between two points of the front is what the better one of them in x reaches.
static struct plot_series staircase(const struct report_view *v, const int *front, int n,
                                    const struct report_figure_options *o, struct arena *a)
{
    double *x = ARENA_NEWS(a, (size_t)(2 * n), double), *y = ARENA_NEWS(a, (size_t)(2 * n), double);
    int at = 0;
    for (int k = 0; k < n; k++) {
        bool rate = metric_rows[o->x].rate;
        if (k) {
            x[at] = value(v, front[rate ? k - 1 : k], o->x);
            y[at++] = value(v, front[rate ? k : k - 1], o->y);
        }
        x[at] = value(v, front[k], o->x);
        y[at++] = value(v, front[k], o->y);
    }
    return (struct plot_series){
        .title = "Pareto front", .x = x, .y = y, .n = at, .look = PLOT_PLAIN};
}

static int pareto(const struct report_view *v, const struct report_figure_options *o,
                  struct arena *a, struct plot *out, struct err *e)
{
    const struct report_param *policy = NULL;
    const int n = v->r->n;
    int *front = ARENA_NEWS(a, (size_t)n, int), n_front = front_of(v, o->x, o->y, front, a);
    if (!n_front)
        return nothing(e, "no feasible point has both metrics");
    for (int p = 0; p < v->params.n; p++)
        if (v->params.param[p].kind == REPORT_POLICY)
            policy = &v->params.param[p];
    struct plot_series *s = ARENA_NEWS(a, (size_t)policy->n + 1, struct plot_series);
    if (!o->all) {
        near_range(v, front, n_front, o->x, out->x_range);
        near_range(v, front, n_front, o->y, out->y_range);
    }
    for (int c = 0; c < policy->n; c++) {
        double *x = ARENA_NEWS(a, (size_t)n, double), *y = ARENA_NEWS(a, (size_t)n, double);
        struct plot_series *q = &s[out->n_series];
        *q = (struct plot_series){.title = policy->choice[c], .x = x, .y = y, .look = PLOT_POINTS};
        for (int i = 0; i < n; i++) {
            if (policy->value[i] != c || !ok(v, i))
                continue;
            x[q->n] = value(v, i, o->x);
            y[q->n] = value(v, i, o->y);
            bool in = o->all || (x[q->n] >= out->x_range[0] && x[q->n] <= out->x_range[1] &&
                                 y[q->n] >= out->y_range[0] && y[q->n] <= out->y_range[1]);
            q->n += in && !isnan(x[q->n]) && !isnan(y[q->n]);
        }
        out->n_series += q->n > 0;
    }
    if (n_front > 1)
        s[out->n_series++] = staircase(v, front, n_front, o, a);
    out->series = s;
    out->xlabel = axis(o->x, a);
    out->ylabel = axis(o->y, a);
    out->near = true;
    return 0;
}

// --- effects

// The largest share of a parameter over the objectives.
static double largest(const double *share, int k)
{
    double most = -1;
    for (int o = 0; o < k; o++)
        most = fmax(most, share[o]);
    return most;
}

static int effects(const struct report_view *v, struct arena *a, struct plot *out, struct err *e)
{
    const int k = v->ranking.n_objectives;
    int bars = 0, *param = ARENA_NEWS(a, (size_t)v->params.n, int);
    double **share = ARENA_NEWS(a, (size_t)v->params.n, double *);
    for (int p = 0; p < v->params.n; p++) {
        const struct report_param *q = &v->params.param[p];
        struct effect_choice *c = ARENA_NEWS(a, (size_t)q->n, struct effect_choice);
        double *mine = ARENA_NEWS(a, (size_t)k, double);
        for (int o = 0; o < k; o++) {
            struct effect f;
            enum metric m = v->ranking.objective[o];
            report_effect(v, q, m, a, c, &f);
            mine[o] = 100 * f.share;
        }
        if (q->n < 2 || !(largest(mine, k) >= 0))
            continue;
        int at = bars++;
        for (; at > 0 && largest(share[at - 1], k) < largest(mine, k); at--) {
            share[at] = share[at - 1];
            param[at] = param[at - 1];
        }
        share[at] = mine;
        param[at] = p;
    }
    if (!bars)
        return nothing(e, "no parameter varies among feasible points");
    bars = bars > MOST_BARS ? MOST_BARS : bars;
    const char **label = ARENA_NEWS(a, (size_t)bars, const char *);
    struct plot_series *s = ARENA_NEWS(a, (size_t)k, struct plot_series);
    for (int b = 0; b < bars; b++)
        label[b] = v->params.param[param[b]].name;
    for (int o = 0; o < k; o++) {
        double *column = ARENA_NEWS(a, (size_t)bars, double);
        for (int b = 0; b < bars; b++)
            column[b] = share[b][o];
        s[o] = (struct plot_series){
            .title = metric_rows[v->ranking.objective[o]].title, .y = column, .n = bars};
    }
    out->series = s;
    out->n_series = k;
    out->label = label;
    out->n_bars = bars;
    out->xlabel = "";
    out->ylabel = "share of variance explained (%)";
    return 0;
}

// --- convergence

// Per cent of the final value, of the best so far in each objective and of the hypervolume.
static int convergence(const struct report_view *v, struct arena *a, struct plot *out,
                       struct err *e)
{
    const int n = v->r->n, k = v->ranking.n_objectives;
    double *cost = ARENA_NEWS(a, (size_t)(n * k), double);
    struct plot_series *s = ARENA_NEWS(a, (size_t)k + 1, struct plot_series);
    double *x = ARENA_NEWS(a, (size_t)n, double);
    if (!v->ranking.n_ok)
        return nothing(e, "no point is feasible");
    for (int i = 0; i < n; i++) {
        x[i] = i + 1;
        for (int o = 0; o < k; o++) {
            enum metric m = v->ranking.objective[o];
            cost[i * k + o] = ok(v, i) ? metric_objective(m, v->row[i].m.value[m]) : (double)NAN;
        }
    }
    for (int o = 0; o < k; o++) {
        double best = INFINITY, *y = ARENA_NEWS(a, (size_t)n, double);
        int last = v->ranking.best[o];
        if (last < 0)
            continue;
        for (int i = 0; i < n; i++) {
            best = fmin(best, cost[i * k + o]);
            // Equal also where both are 0.
            double final = cost[last * k + o], share = best > final ? 100 * final / best : 100;
            y[i] = isfinite(best) ? share : (double)NAN;
        }
        s[out->n_series++] = (struct plot_series){
            .title = arena_printf(a, "best %s", metric_rows[v->ranking.objective[o]].title),
            .x = x,
            .y = y,
            .n = n,
            .look = PLOT_STEPS};
    }
    // The hypervolume costs more, so it is taken at some of the points.
    double *hx = ARENA_NEWS(a, CHECKPOINTS + 1, double),
           *hy = ARENA_NEWS(a, CHECKPOINTS + 1, double);
    int checks = 0;
    for (int c = 1; k > 1 && c <= CHECKPOINTS; c++) {
        int upto = (int)((int64_t)n * c / CHECKPOINTS);
        if (!upto || (checks && hx[checks - 1] == upto))
            continue;
        hx[checks] = upto;
        hy[checks++] = 100 * hypervolume_share(cost, upto, cost, n, k);
    }
    if (checks)
        s[out->n_series++] = (struct plot_series){
            .title = "hypervolume", .x = hx, .y = hy, .n = checks, .look = PLOT_STEPS};
    out->series = s;
    out->xlabel = "points asked";
    out->ylabel = "reached, per cent of the final value";
    return 0;
}

// --- validation

// Horizontal strokes from low to high, apart by gaps, of both metrics.
static struct plot_series intervals(const struct report_validation p[2], struct arena *a)
{
    const size_t room = 3 * (size_t)(p[0].n + p[1].n);
    double *x = ARENA_NEWS(a, room, double), *y = ARENA_NEWS(a, room, double);
    struct plot_series s = {.title = "interval of the median", .x = x, .y = y, .look = PLOT_PLAIN};
    for (int k = 0; k < 2; k++)
        for (int i = 0; p[k].low && p[k].high && i < p[k].n; i++) {
            if (!(p[k].low[i] > 0 && p[k].predicted[i] > 0))
                continue;
            const double end[3] = {p[k].low[i], p[k].high[i], NAN};
            for (int j = 0; j < 3; j++) {
                x[s.n] = end[j];
                y[s.n++] = p[k].predicted[i];
            }
        }
    return s;
}

int report_validation_plot(const struct report_validation p[2], struct arena *a, struct plot *out,
                           struct err *e)
{
    struct plot_series *s = ARENA_NEWS(a, 4, struct plot_series), bars = intervals(p, a);
    double *end = ARENA_NEWS(a, 2, double), least = INFINITY, most = 0;
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < p[k].n; i++)
            if (p[k].measured[i] > 0 && p[k].predicted[i] > 0) {
                least = fmin(least, fmin(p[k].measured[i], p[k].predicted[i]));
                most = fmax(most, fmax(p[k].measured[i], p[k].predicted[i]));
            }
        s[k] = (struct plot_series){.title = k ? "TPOT" : "TTFT",
                                    .x = p[k].measured,
                                    .y = p[k].predicted,
                                    .n = p[k].n,
                                    .look = PLOT_POINTS};
    }
    if (!(most > 0))
        return nothing(e,
                       "the store holds no measurement on hardware; partita validate makes some");
    for (int i = 0; i < bars.n; i++)
        if (!isnan(bars.x[i])) {
            least = fmin(least, bars.x[i]);
            most = fmax(most, bars.x[i]);
        }
    end[0] = least / SLACK;
    end[1] = most * SLACK;
    s[2] = (struct plot_series){.title = "equal", .x = end, .y = end, .n = 2, .look = PLOT_PLAIN};
    s[3] = bars;
    out->series = s;
    out->n_series = bars.n ? 4 : 3;
    out->log_x = out->log_y = most > WIDE * least;
    out->near = true;
    out->xlabel = "measured (ms)";
    out->ylabel = "predicted (ms)";
    return 0;
}

static int validation(const struct report_view *v, struct arena *a, struct plot *out, struct err *e)
{
    const int n = v->r->n_validations;
    struct report_validation p[2];
    for (int k = 0; k < 2; k++) {
        double *x = ARENA_NEWS(a, (size_t)n, double), *y = ARENA_NEWS(a, (size_t)n, double);
        for (int i = 0; i < n; i++) {
            const struct store_validation *w = &v->r->validation[i];
            x[i] = k ? w->tpot_ms : w->ttft_ms;
            y[i] = k ? w->predicted_tpot_ms : w->predicted_ttft_ms;
        }
        p[k] = (struct report_validation){.measured = x, .predicted = y, .n = n};
    }
    return report_validation_plot(p, a, out, e);
}

int report_plot(const struct report_view *v, const struct report_figure_options *o, struct arena *a,
                struct plot *out, struct err *e)
{
    *out = (struct plot){.title = title(v, a)};
    switch (o->figure) {
    case FIGURE_PARETO:
        return pareto(v, o, a, out, e);
    case FIGURE_EFFECTS:
        return effects(v, a, out, e);
    case FIGURE_CONVERGENCE:
        return convergence(v, a, out, e);
    default:
        return validation(v, a, out, e);
    }
}
