// SPDX-License-Identifier: GPL-3.0-or-later
// partita repro: every experiment of a publication, prediction beside published value.
//
// configs/repro/NAME.cfg says what was measured, configs/repro/NAME.csv what came out there, and
// results/repro/NAME.csv what this program predicts: kept in the repository, so that a change which
// moves a prediction shows in its diff. `--check` is for CI.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/units.h"
#include "cli/explore.h"
#include "cli/repro.h"
#include "cli/world.h"
#include "explore/plot.h"
#include "explore/reproduction.h"

enum {
    KEY_ONLY = 4000,
    KEY_SPLIT,
    KEY_CHECK,
    KEY_PLOTS,
    KEY_PUBLISHED,
    KEY_KINDS,
    KEY_SENSITIVITY,
    KEY_TOLERANCE,
    KEY_JOBS,
    MAX_ONLY = 64
};
static const double TOLERANCE = 0.01; // of a prediction against the written one

struct repro_options {
    const char *name, *check, *out, *plots, *published;
    const char *only[MAX_ONLY];
    int n_only;
    int split; // SPLITS: all
    const char *set[64];
    int n_set;
    bool json, quiet, kinds;
    bool sensitivity;
    struct repro_sensitivity s; // patterns, tolerance (0: not given), jobs
};

static const struct argp_option options[] = {
    {"only", KEY_ONLY, "ID", 0, "run this row only (may be repeated)", 0},
    {"split", KEY_SPLIT, "SPLIT", 0, "run the rows of one split only: given, check or blind", 0},
    {"check", KEY_CHECK, "FILE", 0,
     "compare with a result that was written before; exit code 1 when a prediction moved by more "
     "than 1 % or a row came or went",
     0},
    {"output", 'o', "FILE", 0, "write the result as CSV", 0},
    {"plots", KEY_PLOTS, "DIR", 0, "draw plots into this folder (needs gnuplot)", 0},
    {"published", KEY_PUBLISHED, "FILE", 0,
     "table of published values (default: the .csv beside the experiments)", 0},
    {"kinds", KEY_KINDS, 0, 0, "explain what an experiment can be, and stop", 0},
    {"set", 's', "KEY=VALUE", 0, "override a key of every SoC, to see what it moves", 0},
    {"sensitivity", KEY_SENSITIVITY, "KEY,KEY...", OPTION_ARG_OPTIONAL,
     "instead of comparing: vary each of these keys of the SoC by itself (patterns such as "
     "gpu.queue.* are allowed; default: all that are marked `guess`), and say how far the "
     "predictions move and in which range they do not; -o writes that as CSV",
     0},
    {"tolerance", KEY_TOLERANCE, "PERCENT", 0,
     "with --sensitivity: a move that is still harmless (default \"5 %\")", 0},
    {"jobs", KEY_JOBS, "N", 0,
     "with --sensitivity: worker processes (default: one per core); the result is the same", 0},
    {"json", 'j', 0, 0, "print the result as JSON", 0},
    {"quiet", 'q', 0, 0, "no progress", 0},
    {0},
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct repro_options *o = state->input;
    switch (key) {
    case KEY_ONLY:
        if (o->n_only == MAX_ONLY)
            argp_error(state, "too many --only");
        o->only[o->n_only++] = arg;
        break;
    case KEY_SPLIT:
        for (o->split = 0; o->split < SPLITS && strcmp(arg, split_names[o->split]);)
            o->split++;
        if (o->split == SPLITS)
            argp_error(state, "--split is given, check or blind, not \"%s\"", arg);
        break;
    case KEY_CHECK:
        o->check = arg;
        break;
    case 'o':
        o->out = arg;
        break;
    case KEY_PLOTS:
        o->plots = arg;
        break;
    case KEY_KINDS:
        o->kinds = true;
        break;
    case KEY_PUBLISHED:
        o->published = arg;
        break;
    case 's':
        if (!strchr(arg, '='))
            argp_error(state, "--set wants KEY=VALUE, found \"%s\"", arg);
        if (o->n_set == 64)
            argp_error(state, "too many --set");
        o->set[o->n_set++] = arg;
        break;
    case 'j':
        o->json = true;
        break;
    case 'q':
        o->quiet = true;
        break;
    case KEY_SENSITIVITY:
        o->sensitivity = true;
        o->s.patterns = arg;
        break;
    case KEY_TOLERANCE:
        if (unit_parse(UNIT_PERCENT, arg, &o->s.tolerance, NULL) < 0 || o->s.tolerance <= 0 ||
            o->s.tolerance > 10)
            argp_error(state, "--tolerance wants a share such as \"5 %%\", found \"%s\"", arg);
        break;
    case KEY_JOBS:
        o->s.jobs = cli_whole(state, "--jobs", arg, 1, CAMPAIGN_MAX_JOBS);
        break;
    case ARGP_KEY_ARG:
        if (o->name)
            argp_error(state, "one publication at a time, found \"%s\" too", arg);
        o->name = arg;
        break;
    case ARGP_KEY_END:
        if (!o->name && !o->kinds)
            argp_error(state, "which publication? (a name of configs/repro, or a path)");
        if (!o->sensitivity && (o->s.tolerance > 0 || o->s.jobs))
            argp_error(state, "--tolerance and --jobs go with --sensitivity");
        if (o->sensitivity && (o->check || o->plots || o->n_set))
            argp_error(state, "--sensitivity varies the SoC as its file has it, and compares with "
                              "nothing: it goes without --check, --plots and --set");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    option,
    "NAME|FILE.cfg",
    "Runs the experiments of a publication on simulated SoCs and prints each prediction beside the "
    "published value. Rows of split `given` may have set parameters, those of `check` are compared "
    "only, those of `blind` have no value here.\v"
    "Examples:\n"
    "  partita repro heteroinfer --check results/repro/heteroinfer.csv\n"
    "  partita repro heteroinfer --sensitivity=gpu.queue.*,npu.queue.*\n"
    "`make repro` rewrites the committed result and its plots.",
    NULL,
    NULL,
    NULL};

// --- printing

static int width_of(const struct reproduction *r, bool published)
{
    char text[EXPERIMENT_TEXT];
    size_t width = 10, most = 34; // a list of strategies may stand out
    for (int i = 0; i < r->n; i++) {
        size_t n = strlen(reproduction_text(&r->row[i], published, text, sizeof text));
        if (r->row[i].state != REPRODUCED_NOT && n > width && n <= most)
            width = n;
    }
    return (int)width;
}

static void print_row(FILE *f, const struct reproduced *y, int wide_p, int wide_v)
{
    char p[EXPERIMENT_TEXT], v[EXPERIMENT_TEXT], error[24] = "";
    reproduction_text(y, false, p, sizeof p);
    reproduction_text(y, true, v, sizeof v);
    if (!isnan(y->error))
        snprintf(error, sizeof error, "%+.1f %%", y->error);
    if (y->state == REPRODUCED_FAILED)
        fprintf(f, "%-34s %-6s %*s %*s %-8s %9s  %s\n", y->id, split_names[y->split], wide_p,
                "failed", wide_v, v, y->unit, "", y->why);
    else
        fprintf(f, "%-34s %-6s %*s %*s %-8s %9s\n", y->id, split_names[y->split], wide_p, p, wide_v,
                v, y->unit, error);
}

static void print(FILE *f, const struct reproduction *r)
{
    int wide_p = width_of(r, false), wide_v = width_of(r, true);
    fprintf(f, "%-34s %-6s %*s %*s %-8s %9s\n", "experiment", "split", wide_p, "prediction", wide_v,
            "published", "unit", "error");
    for (int i = 0; i < r->n; i++)
        if (r->row[i].state != REPRODUCED_NOT)
            print_row(f, &r->row[i], wide_p, wide_v);
    fputc('\n', f);
    for (int s = 0; s < SPLITS; s++) {
        struct reproduction_total t;
        reproduction_total(r, (enum split)s, &t);
        if (!t.n)
            continue;
        fprintf(f, "%-6s %3d rows, %d compared", split_names[s], t.n, t.compared);
        if (t.compared)
            fprintf(f, ": median error %.1f %%, largest %.1f %% (%s)", t.median, t.largest,
                    t.worst);
        if (t.failed)
            fprintf(f, "; %d failed", t.failed);
        fputc('\n', f);
    }
}

static void print_json(FILE *f, const struct reproduction *r)
{
    struct json j;
    char text[EXPERIMENT_TEXT];
    json_begin(&j, f, true);
    json_object_begin(&j, NULL);
    json_array_begin(&j, "rows");
    for (int i = 0; i < r->n; i++) {
        const struct reproduced *y = &r->row[i];
        bool words = !strcmp(y->unit, "-"), ok = y->state == REPRODUCED_OK;
        if (y->state == REPRODUCED_NOT)
            continue;
        json_object_begin(&j, NULL);
        json_str(&j, "id", y->id);
        json_str(&j, "split", split_names[y->split]);
        for (int side = 0; side < 2; side++) {
            const char *key = side ? "published" : "prediction";
            if (!(side ? y->published : ok))
                json_none(&j, key);
            else if (words)
                json_str(&j, key, reproduction_text(y, side, text, sizeof text));
            else
                json_f64(&j, key, side ? y->value : y->p.value);
        }
        json_str(&j, "unit", y->unit);
        json_f64(&j, "error_percent", y->error);
        json_str(&j, "failed", ok ? NULL : y->why);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_object_begin(&j, "totals");
    for (int s = 0; s < SPLITS; s++) {
        struct reproduction_total t;
        reproduction_total(r, (enum split)s, &t);
        json_object_begin(&j, split_names[s]);
        json_i64(&j, "rows", t.n);
        json_i64(&j, "compared", t.compared);
        json_i64(&j, "failed", t.failed);
        json_f64(&j, "median_error_percent", t.median);
        json_f64(&j, "largest_error_percent", t.largest);
        json_object_end(&j);
    }
    json_object_end(&j);
    json_object_end(&j);
    json_end(&j);
}

// --- plots

struct curve {
    double *x, *y;
    int n;
};

static struct curve curve(struct arena *a, int n)
{
    size_t room = (size_t)n + 2;
    return (struct curve){ARENA_NEWS(a, room, double), ARENA_NEWS(a, room, double), 0};
}

static int draw(const struct plot *p, const char *dir, const char *name, struct err *e)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return plot_write(p, path, e);
}

static bool comparable(const struct reproduced *y)
{
    return y->state == REPRODUCED_OK && y->published && strcmp(y->unit, "-");
}

static int plot_scatter(const struct reproduction *r, const char *dir, struct arena *a,
                        struct err *e)
{
    struct plot_series s[SPLITS + 1];
    struct curve line = curve(a, 2);
    int n = 0;
    double low = INFINITY, high = 0;
    for (int split = 0; split < SPLITS; split++) {
        struct curve c = curve(a, r->n);
        for (int i = 0; i < r->n; i++) {
            const struct reproduced *y = &r->row[i];
            if ((int)y->split != split || !comparable(y) || y->value <= 0 || y->p.value <= 0)
                continue;
            c.x[c.n] = y->value;
            c.y[c.n++] = y->p.value;
            low = fmin(low, y->value);
            high = fmax(high, y->value);
        }
        if (c.n)
            s[n++] = (struct plot_series){split_names[split], c.x, c.y, c.n, true};
    }
    if (!n)
        return 0;
    line.x[0] = line.y[0] = low;
    line.x[1] = line.y[1] = high;
    s[n++] = (struct plot_series){"equal", line.x, line.y, 2, false};
    return draw(&(struct plot){.title = "Predicted and published, each in its unit",
                               .xlabel = "published",
                               .ylabel = "predicted",
                               .log_x = true,
                               .log_y = true,
                               .series = s,
                               .n_series = n},
                dir, "predicted.svg", e);
}

static int plot_errors(const struct reproduction *r, const char *dir, struct arena *a,
                       struct err *e)
{
    struct plot_series s[SPLITS];
    const char **label = ARENA_NEWS(a, (size_t)r->n + 1, const char *);
    int n = 0, bars = 0;
    for (int i = 0; i < r->n; i++)
        if (comparable(&r->row[i]) && !isnan(r->row[i].error))
            label[bars++] = r->row[i].id;
    if (!bars)
        return 0;
    for (int split = 0; split < SPLITS; split++) {
        struct curve c = curve(a, bars);
        bool any = false;
        for (int i = 0; i < r->n; i++)
            if (comparable(&r->row[i]) && !isnan(r->row[i].error)) {
                bool mine = (int)r->row[i].split == split;
                c.y[c.n++] = mine ? r->row[i].error : (double)NAN;
                any |= mine;
            }
        if (any)
            s[n++] = (struct plot_series){split_names[split], c.x, c.y, c.n, false};
    }
    return draw(&(struct plot){.title = "Error of each prediction",
                               .xlabel = "",
                               .ylabel = "error (%)",
                               .series = s,
                               .n_series = n,
                               .label = label,
                               .n_bars = bars},
                dir, "errors.svg", e);
}

static int plot_operators(const struct reproduction *r, const struct experiments *x,
                          const char *dir, struct arena *a, struct err *e)
{
    struct curve p = curve(a, r->n), v = curve(a, r->n);
    const char **label = ARENA_NEWS(a, (size_t)r->n + 1, const char *);
    for (int i = 0; i < r->n; i++) {
        const struct reproduced *y = &r->row[i];
        if (!comparable(y) || strcmp(experiments_kind(x, y->experiment), "operator"))
            continue;
        label[p.n] = y->id;
        p.y[p.n++] = y->p.value;
        v.y[v.n++] = y->value;
    }
    struct plot_series s[] = {{"published", v.x, v.y, v.n, false},
                              {"predicted", p.x, p.y, p.n, false}};
    return p.n ? draw(&(struct plot){.title = "Isolated latency of operators",
                                     .xlabel = "",
                                     .ylabel = "latency (us)",
                                     .log_y = true,
                                     .series = s,
                                     .n_series = 2,
                                     .label = label,
                                     .n_bars = p.n},
                      dir, "operators.svg", e)
               : 0;
}

static int plots(const struct reproduction *r, const struct experiments *x, const char *dir,
                 struct err *e)
{
    struct arena a;
    if (mkdir(dir, 0777) < 0 && errno != EEXIST)
        return err_at(e, ERR_IO, dir, 0, NULL, "cannot make the folder: %s", strerror(errno));
    arena_init(&a);
    int rc = plot_scatter(r, dir, &a, e);
    if (rc == 0)
        rc = plot_errors(r, dir, &a, e);
    if (rc == 0)
        rc = plot_operators(r, x, dir, &a, e);
    arena_fini(&a);
    return rc;
}

// --- the files

int repro_write(const char *path, void (*write)(const void *what, FILE *f), const void *what,
                struct err *e)
{
    struct file out;
    if (file_begin(&out, path, e) < 0)
        return ERR_IO;
    write(what, out.f);
    return file_end(&out, 0, e);
}

static void write_result(const void *what, FILE *f)
{
    reproduction_write(what, f);
}

static void moved(void *user, const char *id, const char *was, const char *now)
{
    (void)user;
    fprintf(stderr, "partita: %s moved: %s, was %s\n", id, *now ? now : "no prediction",
            *was ? was : "without prediction");
}

static int check(const struct reproduction *r, const char *path, struct err *e)
{
    int n = reproduction_compare(r, path, TOLERANCE, moved, NULL, e);
    if (n <= 0)
        return n;
    return err_at(e, ERR_CHECK, path, 0, NULL,
                  "%d prediction%s moved by more than 1 %%; if that is intended, `make repro` "
                  "writes the new ones",
                  n, n == 1 ? "" : "s");
}

// --- running

static bool wanted(const struct repro_options *o, const struct reproduced *y)
{
    bool named = o->n_only == 0;
    for (int i = 0; i < o->n_only; i++)
        named |= !strcmp(o->only[i], y->id);
    return named && (o->split == SPLITS || o->split == (int)y->split);
}

// 0, or 1 when stopped by Ctrl-C.
static int run_all(const struct repro_options *o, struct reproduction *r, struct experiments *x,
                   const struct experiment_world *w)
{
    const struct common quiet = {.quiet = o->quiet};
    bool visible = cli_show_progress(&quiet);
    cli_catch_stop();
    for (int i = 0; i < r->n && !cli_stop; i++) {
        if (!wanted(o, &r->row[i]))
            continue;
        if (visible)
            fprintf(stderr, "\r\033[K%d of %d: %s", i + 1, r->n, r->row[i].id);
        reproduction_run(r, i, x, w);
    }
    if (visible)
        fprintf(stderr, "\r\033[K");
    return cli_stop ? 1 : 0;
}

static int report(const struct repro_options *o, const struct reproduction *r,
                  const struct experiments *x, struct err *e)
{
    int failed = 0, rc = 0;
    for (int i = 0; i < r->n; i++)
        failed += r->row[i].state == REPRODUCED_FAILED;
    if (o->json)
        print_json(stdout, r);
    else
        print(stdout, r);
    if (o->out)
        rc = repro_write(o->out, write_result, r, e);
    if (rc == 0 && o->plots)
        rc = plots(r, x, o->plots, e);
    if (rc == 0 && o->check)
        rc = check(r, o->check, e);
    if (rc == 0 && failed)
        rc = err_set(e, ERR_CHECK, "%d experiment%s failed", failed, failed == 1 ? "" : "s");
    return rc;
}

static int sensitivity(const struct repro_options *o, const struct reproduction *r,
                       struct experiments *x, struct err *e)
{
    struct repro_sensitivity s = o->s;
    bool *rows = calloc((size_t)r->n + 1, sizeof *rows);
    if (!rows)
        abort();
    for (int i = 0; i < r->n; i++)
        rows[i] = wanted(o, &r->row[i]);
    s.tolerance = s.tolerance > 0 ? s.tolerance : 0.05;
    s.out = o->out;
    s.json = o->json;
    s.quiet = o->quiet;
    int rc = repro_sensitivity(&s, r, rows, x, e);
    free(rows);
    return rc;
}

// The published values stand beside the experiments.
static int published_beside(const char *cfg, char *buf, size_t size, struct err *e)
{
    size_t n = strlen(cfg);
    if (n < 4 || strcmp(cfg + n - 4, ".cfg") || n + 1 > size)
        return err_set(e, ERR_USAGE, "%s: the experiments are a .cfg; --published names the table",
                       cfg);
    snprintf(buf, size, "%.*s.csv", (int)n - 4, cfg);
    return 0;
}

int cmd_repro(int argc, char **argv)
{
    struct repro_options o = {.split = SPLITS};
    struct experiments *x = NULL;
    struct reproduction r = {.n = 0};
    struct cli_world w;
    char path[512], table[512];
    struct err e = {0}, no;
    cli_parse(&argp, argc, argv, &o);
    if (o.kinds) {
        experiments_help(stdout);
        return EXIT_OK;
    }
    cli_world_open(&w, o.set, o.n_set);
    int rc = cli_find_config("repro", o.name, path, sizeof path, &e);
    if (rc == 0 && !o.published) {
        rc = published_beside(path, table, sizeof table, &e);
        o.published = table;
    }
    if (rc == 0)
        rc = experiments_open(path, &x, &e);
    for (int i = 0; rc == 0 && i < o.n_only; i++)
        if (experiments_find(x, o.only[i], &no) < 0) {
            e = no;
            rc = e.code;
        }
    bool stopped = false;
    if (rc == 0 && (rc = reproduction_open(x, o.published, &r, &e)) == 0) {
        if (o.sensitivity) {
            rc = sensitivity(&o, &r, x, &e);
            stopped = rc > 0;
        } else if (!(stopped = run_all(&o, &r, x, &w.base) != 0)) {
            rc = report(&o, &r, x, &e);
        }
        reproduction_close(&r);
    }
    experiments_close(x);
    cli_world_close(&w);
    if (stopped)
        return cli_error(EXIT_INTERRUPT, "interrupted; nothing is written");
    return rc < 0 ? cli_fail(&e) : EXIT_OK;
}
