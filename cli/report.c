// SPDX-License-Identifier: GPL-3.0-or-later
// partita report: the results of a campaign as one page.
#include "cli/report.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"

struct report_options {
    const char *store, *out, *title;
    int64_t campaign;
    int top;
    bool quiet;
};

enum { KEY_CAMPAIGN = 2500, KEY_TOP, KEY_TITLE, MOST_RUNS = 16 };

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0, "the page (default: RESULTS.html); -: standard output", 0},
    {"campaign", KEY_CAMPAIGN, "N", 0, "which campaign of the store (default: the last)", 0},
    {"top", KEY_TOP, "K", 0, "list the K best configurations (default 10)", 0},
    {"title", KEY_TITLE, "TEXT", 0, "title (default: space, model and machine)", 0},
    {"quiet", 'q', 0, 0, "say nothing", 0},
    {0},
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct report_options *o = state->input;
    switch (key) {
    case 'o':
        o->out = arg;
        break;
    case KEY_CAMPAIGN:
        o->campaign = cli_whole(state, "--campaign", arg, 1, INT_MAX);
        break;
    case KEY_TOP:
        o->top = cli_whole(state, "--top", arg, 1, 1000);
        break;
    case KEY_TITLE:
        o->title = arg;
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
    "Makes one self-contained page of a campaign: Pareto fronts, parallel coordinates, what each "
    "parameter matters, plans and timelines of the best configurations, validation, all points. It "
    "needs no network.\vThe best configurations are run again on the simulated machine for their "
    "plans and timelines. Example: partita report results.db -o report.html",
    NULL,
    NULL,
    NULL};

// results/hetero.db -> results/hetero.html
static const char *default_name(const char *store, struct arena *a)
{
    size_t n = strlen(store);
    n -= n > 3 && !strcmp(store + n - 3, ".db") ? 3 : 0;
    return arena_printf(a, "%.*s.html", (int)n, store);
}

// The machines behind by_machine, in their order.
static int machine_names(struct cli_results *x, const char **name)
{
    const char *list = x->campaign.machine, *value;
    int n = 0;
    while (n < METRICS_MAX_MACHINES && report_next_option(&list, ',', &x->arena, &name[n], &value))
        n++;
    return n;
}

static int write_page(const struct report *r, const char *out, struct err *e)
{
    struct file f;
    if (file_begin(&f, strcmp(out, "-") ? out : NULL, e) < 0)
        return e->code;
    report_page(r, f.f);
    return file_end(&f, 0, e);
}

static int make(const struct report_options *o, struct cli_results *x, struct err *e)
{
    const char *name[METRICS_MAX_MACHINES] = {NULL};
    struct report_run run[MOST_RUNS];
    struct report_view v;
    int row[MOST_RUNS];
    struct report r = {.title = o->title,
                       .campaign = &x->campaign,
                       .n = x->n,
                       .row = x->row,
                       .n_validations = x->n_validations,
                       .validation = x->validation,
                       .machine = name,
                       .n_machines = machine_names(x, name),
                       .top = o->top,
                       .run = run};
    report_view_make(&r, &v);
    int n = report_chosen(&v, row, MOST_RUNS);
    report_view_fini(&v);
    r.n_runs = cli_report_runs(x, row, n, run, &x->arena, &r.no_runs);
    const char *out = o->out ? o->out : default_name(o->store, &x->arena);
    int rc = write_page(&r, out, e);
    int failed = 0, differ = 0;
    for (int i = 0; i < r.n_runs; i++) {
        failed += run[i].failed[0] != 0;
        differ += run[i].differs;
    }
    if (rc == 0 && !o->quiet && strcmp(out, "-")) {
        printf("%s: %d points of campaign %lld, plans of %d configurations\n", out, x->n,
               (long long)x->campaign.id, r.n_runs - failed);
        if (r.no_runs)
            printf("%s\n", r.no_runs);
        if (differ)
            printf("%d of them ran differently than the store says: it was made by another version "
                   "or with other settings\n",
                   differ);
    }
    for (int i = 0; i < r.n_runs; i++)
        report_run_fini(&run[i]);
    return rc;
}

int cmd_report(int argc, char **argv)
{
    struct report_options o = {.top = 10};
    struct cli_results x;
    struct err e = {0};
    cli_parse(&argp, argc, argv, &o);
    if (cli_results_open(o.store, o.campaign, &x, &e) < 0)
        return cli_fail(&e);
    int rc = make(&o, &x, &e);
    cli_results_close(&x);
    return rc < 0 ? cli_fail(&e) : EXIT_OK;
}
