// SPDX-License-Identifier: GPL-3.0-or-later
// partita plot: figures of a campaign for papers, through gnuplot.
#include "cli/report.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "explore/report_plot.h"

struct plot_options {
    const char *store, *out, *kind, *x, *y, *title;
    int64_t campaign;
    bool all, keep, quiet;
};

enum { KEY_CAMPAIGN = 2600, KEY_KIND, KEY_X, KEY_Y, KEY_TITLE, KEY_ALL, KEY_KEEP };

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0, "the figure: .svg, .pdf or .png (required)", 0},
    {"kind", KEY_KIND, "KIND", 0, "pareto (default), effects, convergence, validation", 0},
    {"x", KEY_X, "METRIC", 0, "of pareto: across (default: the first objective)", 0},
    {"y", KEY_Y, "METRIC", 0, "of pareto: up (default: the second objective)", 0},
    {"all", KEY_ALL, 0, 0, "of pareto: all points, not only those around the front", 0},
    {"title", KEY_TITLE, "TEXT", 0, "title (default: space, model, machine, workload)", 0},
    {"campaign", KEY_CAMPAIGN, "N", 0, "which campaign of the store (default: the last)", 0},
    {"keep", KEY_KEEP, 0, 0,
     "also write FILE.gp, gnuplot script and data in one: gnuplot FILE.gp >FILE", 0},
    {"quiet", 'q', 0, 0, "say nothing", 0},
    {0},
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct plot_options *o = state->input;
    switch (key) {
    case 'o':
        o->out = arg;
        break;
    case KEY_KIND:
        o->kind = arg;
        break;
    case KEY_X:
        o->x = arg;
        break;
    case KEY_Y:
        o->y = arg;
        break;
    case KEY_ALL:
        o->all = true;
        break;
    case KEY_TITLE:
        o->title = arg;
        break;
    case KEY_CAMPAIGN:
        o->campaign = cli_whole(state, "--campaign", arg, 1, INT_MAX);
        break;
    case KEY_KEEP:
        o->keep = true;
        break;
    case 'q':
        o->quiet = true;
        break;
    case ARGP_KEY_ARG:
        if (o->store)
            argp_error(state, "one store at a time: found \"%s\" and \"%s\"", o->store, arg);
        o->store = arg;
        break;
    case ARGP_KEY_END:
        if (!o->store)
            argp_error(state, "which results? partita explore writes them");
        if (!o->out)
            argp_error(state, "where to? -o FILE.svg, FILE.pdf or FILE.png");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    option,
    "RESULTS.db",
    "Draws a figure of a campaign: the Pareto front of two metrics, what each parameter matters, "
    "how the search converged, or prediction against measurement.\vExample: partita plot "
    "results.db "
    "-o front.pdf --x ttft_ms --y energy_j",
    NULL,
    NULL,
    NULL};

static int unknown(const char *what, const char *word, const char *const *names, int n,
                   struct err *e)
{
    const char *near = err_nearest(word, names, (size_t)n);
    char all[400] = "";
    for (int i = 0; i < n && !near; i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", names[i]);
    }
    if (near)
        return err_set(e, ERR_USAGE, "unknown %s \"%s\"; did you mean \"%s\"?", what, word, near);
    return err_set(e, ERR_USAGE, "unknown %s \"%s\"; expected one of: %s", what, word, all);
}

static int choose_metric(const char *name, enum metric usual, enum metric *out, struct err *e)
{
    const char *names[METRIC_COUNT];
    int m = name ? metric_find(name) : (int)usual;
    for (int i = 0; i < METRIC_COUNT; i++)
        names[i] = metric_rows[i].name;
    if (m < 0)
        return unknown("metric", name, names, METRIC_COUNT, e);
    *out = (enum metric)m;
    return 0;
}

static int choose(const struct plot_options *o, const struct store_campaign *c,
                  struct report_figure_options *out, struct err *e)
{
    *out = (struct report_figure_options){.all = o->all};
    int k = 0;
    while (o->kind && k < REPORT_FIGURES && strcmp(o->kind, report_figure_names[k]))
        k++;
    if (k == REPORT_FIGURES)
        return unknown("kind of figure", o->kind, report_figure_names, REPORT_FIGURES, e);
    out->figure = (enum report_figure)k;
    if (out->figure != FIGURE_PARETO && (o->x || o->y || o->all))
        return err_set(e, ERR_USAGE, "--x, --y and --all are for --kind pareto");
    enum metric first = c->n_objectives ? c->objective[0] : METRIC_TTFT;
    if (choose_metric(o->x, first, &out->x, e) < 0)
        return e->code;
    // The first objective that is not across.
    enum metric other = c->n_objectives > 1 ? c->objective[c->objective[0] == out->x] : METRIC_TPOT;
    return choose_metric(o->y, other, &out->y, e);
}

static int keep(const struct plot *p, const char *out, struct err *e)
{
    struct arena a;
    struct file f;
    arena_init(&a);
    int rc = file_begin(&f, arena_printf(&a, "%s.gp", out), e);
    if (rc >= 0)
        rc = file_end(&f, plot_script(p, out, f.f, e), e);
    arena_fini(&a);
    return rc;
}

int cli_plot_write(const struct plot *p, const char *out, bool script, struct err *e)
{
    struct err own;
    int rc = plot_write(p, out, e);
    if ((rc == ERR_UNSUPPORTED || (rc == 0 && script)) && keep(p, out, &own) < 0) {
        *e = own;
        return own.code;
    }
    if (rc == ERR_UNSUPPORTED) {
        // Not the user's mistake, and there is something to go on with: no failed run.
        char text[600];
        fprintf(stderr, "partita: %s; its script is %s.gp\n", err_text(e, text, sizeof text), out);
        return 1;
    }
    return rc;
}

static int make(const struct plot_options *o, struct cli_results *x, struct err *e)
{
    struct report r = {.title = o->title,
                       .campaign = &x->campaign,
                       .n = x->n,
                       .row = x->row,
                       .n_validations = x->n_validations,
                       .validation = x->validation};
    struct report_figure_options f;
    struct report_view v;
    struct plot p;
    if (choose(o, &x->campaign, &f, e) < 0)
        return e->code;
    report_view_make(&r, &v);
    int rc = report_plot(&v, &f, &v.arena, &p, e);
    if (rc == 0)
        rc = cli_plot_write(&p, o->out, o->keep, e);
    report_view_fini(&v);
    return rc;
}

int cmd_plot(int argc, char **argv)
{
    struct plot_options o = {.campaign = 0};
    struct cli_results x;
    struct err e = {0};
    cli_parse(&argp, argc, argv, &o);
    if (cli_results_open(o.store, o.campaign, &x, &e) < 0)
        return cli_fail(&e);
    int rc = make(&o, &x, &e);
    cli_results_close(&x);
    if (rc == 0 && !o.quiet)
        printf("%s\n", o.out);
    return rc < 0 ? cli_fail(&e) : EXIT_OK;
}
