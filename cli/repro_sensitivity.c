// SPDX-License-Identifier: GPL-3.0-or-later
// partita repro --sensitivity: what a guess is worth. A parameter that no observation determines
// must not decide a result unseen; here each is varied by itself and all experiments are predicted
// again. Published values play no part in it.
//
// Keys and candidates are those of a calibration (fit.h): the numbers of the file of the
// experiments' SoC, within their option rows, as overrides. Other SoCs stay as their files say.
#include "cli/repro.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "cli/explore.h"
#include "cli/fit.h"
#include "explore/sensitivity.h"

struct sensitivity_run {
    struct fit_world world; // first: callbacks get it from the experiments
    struct fit_target target;
    struct experiments *experiments;
    const struct reproduction *rows;
    const struct repro_sensitivity *options;
    struct sensitivity_result result;
    double begun; // seconds
};

static const struct fit_key *key_of(const struct sensitivity_run *s, int i)
{
    return &s->target.key[i];
}

static double start_of(const struct sensitivity_run *s, int i)
{
    return s->target.parameter[i].start;
}

// --- the problem

static int set(void *user, int i, double x)
{
    struct sensitivity_run *s = user;
    struct machine *m = NULL;
    struct err none;
    experiments_forget(s->experiments);
    fit_world_set(&s->world, i < 0 ? NULL : key_of(s, i), x);
    int rc = s->world.w.open(&s->world.w, s->world.soc, NULL, NULL, 0, &m, &none);
    if (rc == 0)
        m->ops->close(m);
    return rc;
}

static int predict(void *user, int row, struct prediction *out, struct err *e)
{
    struct sensitivity_run *s = user;
    return experiments_predict(s->experiments, s->rows->row[row].experiment, &s->world.w, out, e);
}

static double round_value(void *user, int i, double x)
{
    return fit_round_value(key_of(user, i), x);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void progress(void *user, int done, int total)
{
    const struct sensitivity_run *s = user;
    double rate = done / (seconds() - s->begun);
    fprintf(stderr, "\r\033[K%d of %d parameters, %.2f/s, %.0f s left", done, total, rate,
            (total - done) / rate);
    fflush(stderr);
}

static int vary(struct sensitivity_run *s, const bool *wanted, struct err *e)
{
    const struct common quiet = {.quiet = s->options->quiet};
    bool visible = cli_show_progress(&quiet);
    size_t m = (size_t)s->rows->n + 1;
    double *scale = calloc(m, sizeof *scale);
    bool *except = calloc(m, sizeof *except);
    if (!scale || !except)
        abort();
    for (int j = 0; j < s->rows->n; j++) {
        scale[j] = experiments_scale(s->experiments, s->rows->row[j].experiment);
        except[j] = !wanted[j];
    }
    struct sensitivity_problem p = {
        .n = s->target.n,
        .m = s->rows->n,
        .parameter = s->target.parameter,
        .scale = scale,
        .except = except,
        .set = set,
        .predict = predict,
        .round = round_value,
        .progress = visible ? progress : NULL,
        .user = s,
        .tolerance = s->options->tolerance,
        .jobs = s->options->jobs ? s->options->jobs : (int)sysconf(_SC_NPROCESSORS_ONLN),
        .stop = &cli_stop,
    };
    s->begun = seconds();
    cli_catch_stop();
    if (visible)
        fprintf(stderr, "0 of %d parameters", p.n);
    int rc = sensitivity_run(&p, &s->result, e);
    if (visible)
        fprintf(stderr, "\r\033[K");
    free(scale);
    free(except);
    return rc;
}

// --- as text

enum class { CLASS_MOVES, CLASS_UNMOVED, CLASS_ZERO, CLASS_CRASHED };

static enum class class_of(const struct sensitivity_run *s, int i) {
    const struct sensitivity *y = &s->result.parameter[i]; if (*y->crashed) return CLASS_CRASHED;
    return start_of(s, i) == 0 ? CLASS_ZERO
           : y->unmoved        ? CLASS_UNMOVED
                               : CLASS_MOVES;
}

static const char *id_of(const struct sensitivity_run *s, int row)
{
    return row < 0 ? "" : s->rows->row[row].id;
}

static const char *percent_text(double percent, char buf[24])
{
    if (isinf(percent))
        snprintf(buf, 24, "fails");
    else
        snprintf(buf, 24, "%.*f %%", percent >= 99.95 ? 0 : 1, percent);
    return buf;
}

static const char *cell(const struct sensitivity_move *m, char buf[24])
{
    if (m->state == SENSITIVITY_MOVED)
        return percent_text(m->percent, buf);
    return m->state == SENSITIVITY_SAME ? "-" : "invalid";
}

// The row that moves most; where none does nearby, at the ends.
static int row_of(const struct sensitivity *y)
{
    const struct sensitivity_move *a = &y->move[0], *b = &y->move[SENSITIVITY_FACTORS - 1];
    if (y->row >= 0)
        return y->row;
    return b->percent > a->percent ? b->row : a->row;
}

static void print_parameter(FILE *f, const struct sensitivity_run *s, int i, int wide)
{
    const struct sensitivity *y = &s->result.parameter[i];
    const struct fit_key *k = key_of(s, i);
    char text[FIT_TEXT], range[3 * FIT_TEXT], buf[24], count[16] = "";
    fprintf(f, "%-*s %12.40s", wide, k->name, k->written);
    for (int c = 0; c < SENSITIVITY_FACTORS; c++)
        fprintf(f, " %8s", cell(&y->move[c], buf));
    int n = snprintf(range, sizeof range, "%s%s .. ", fit_value_text(k, y->low, text),
                     y->low_end ? "*" : "");
    snprintf(range + n, sizeof range - (size_t)n, "%s%s", fit_value_text(k, y->high, text),
             y->high_end ? "*" : "");
    if (y->strategies)
        snprintf(count, sizeof count, "%d", y->strategies);
    fprintf(f, " %6s  %-30s %s\n", count, range, id_of(s, row_of(y)));
}

// Another name of a list that is wrapped; *at: column, 0: none yet.
static void print_item(FILE *f, int *at, const char *title, const char *name)
{
    *at += *at ? fprintf(f, ",") : fprintf(f, "\n%s:", title) - 1;
    if (*at + (int)strlen(name) > 98)
        *at = fprintf(f, "\n   ") - 1;
    *at += fprintf(f, " %s", name);
}

static void print_list(FILE *f, const struct sensitivity_run *s, enum class class,
                       const char *title)
{
    int at = 0;
    for (int k = 0; k < s->target.n; k++) {
        int i = s->result.order[k];
        if (class_of(s, i) == class)
            print_item(f, &at, title, key_of(s, i)->name);
    }
    fprintf(f, at ? "\n" : "");
}

static void print(FILE *f, const struct sensitivity_run *s)
{
    const struct sensitivity_result *r = &s->result;
    int wide = 9, known = 0;
    for (int i = 0; i < s->target.n; i++) {
        int length = (int)strlen(key_of(s, i)->name);
        if (class_of(s, i) == CLASS_MOVES && length > wide)
            wide = length;
    }
    for (int j = 0; j < r->m; j++)
        known += r->known[j];
    fprintf(f,
            "%d predictions; parameters of %s, one at a time. Largest move of a number at each "
            "factor;\nmost strategies that change (str.) and what moves most, for x0.5 to x2.\n",
            known, s->target.path);
    if (r->failed)
        fprintf(f, "%d experiments fail as it is and are left out.\n", r->failed);
    fprintf(f,
            "harmless: no number moves by more than %g %%, no strategy changes; *: as far as x/8 "
            "or x8, or the\nlimit of the parameter\n\n",
            100 * s->options->tolerance);
    fprintf(f, "%-*s %12s", wide, "parameter", "value");
    for (int c = 0; c < SENSITIVITY_FACTORS; c++) {
        char head[16];
        snprintf(head, sizeof head, "x%.4g", sensitivity_factors[c]);
        fprintf(f, " %8s", head);
    }
    fprintf(f, " %6s  %-30s %s\n", "str.", "harmless", "moves most");
    for (int k = 0; k < s->target.n; k++)
        if (class_of(s, r->order[k]) == CLASS_MOVES)
            print_parameter(f, s, r->order[k], wide);
    print_list(f, s, CLASS_UNMOVED, "move nothing");
    print_list(f, s, CLASS_ZERO, "not varied, 0 times a factor is 0");
    int at = 0;
    for (int k = 0; k < s->target.n_skipped; k++)
        print_item(f, &at, "not varied, not a number", s->target.skipped[k]);
    fprintf(f, at ? "\n" : "");
    for (int i = 0; i < s->target.n; i++)
        if (class_of(s, i) == CLASS_CRASHED)
            fprintf(f, "\n%s: not known: %s\n", key_of(s, i)->name, r->parameter[i].crashed);
}

// --- as data

// Values are in the unit that the file writes.
static void write_csv(const void *what, FILE *f)
{
    const struct sensitivity_run *s = what;
    fprintf(f, "key,value,unit,low,high,largest_percent,id\n");
    for (int k = 0; k < s->target.n; k++) {
        int i = s->result.order[k];
        const struct sensitivity *y = &s->result.parameter[i];
        const char *unit;
        double scale = fit_key_unit(key_of(s, i), &unit);
        fprintf(f, "%s,%.6g,%s,", key_of(s, i)->name, start_of(s, i) / scale, unit);
        if (class_of(s, i) == CLASS_CRASHED || class_of(s, i) == CLASS_ZERO)
            fprintf(f, ",,,\n");
        else
            fprintf(f, "%.6g,%.6g,%.4g,%s\n", y->low / scale, y->high / scale, y->percent,
                    id_of(s, y->row));
    }
}

static void json_move(struct json *j, const struct sensitivity_run *s, int f, double scale,
                      const struct sensitivity_move *m)
{
    static const char *const states[] = {"same", "moved", "invalid"};
    bool fails = isinf(m->percent);
    json_object_begin(j, NULL);
    json_f64(j, "factor", sensitivity_factors[f]);
    json_f64(j, "value", m->value / scale);
    json_str(j, "state", fails ? "fails" : states[m->state]);
    json_f64(j, "percent", m->percent);
    json_str(j, "id", m->row < 0 ? NULL : id_of(s, m->row));
    json_i64(j, "strategies", m->strategies);
    json_object_end(j);
}

static void json_parameter(struct json *j, const struct sensitivity_run *s, int i)
{
    const struct sensitivity *y = &s->result.parameter[i];
    const char *unit;
    double scale = fit_key_unit(key_of(s, i), &unit);
    enum class class = class_of(s, i);
    bool varied = class == CLASS_MOVES || class == CLASS_UNMOVED;
    json_object_begin(j, NULL);
    json_str(j, "key", key_of(s, i)->name);
    json_f64(j, "value", start_of(s, i) / scale);
    json_str(j, "unit", unit);
    json_f64(j, "low", varied ? y->low / scale : (double)NAN);
    json_bool(j, "low_is_end", varied && y->low_end);
    json_f64(j, "high", varied ? y->high / scale : (double)NAN);
    json_bool(j, "high_is_end", varied && y->high_end);
    json_f64(j, "largest_percent", varied ? y->percent : (double)NAN);
    json_str(j, "id", y->row < 0 ? NULL : id_of(s, y->row));
    json_i64(j, "strategies", y->strategies);
    json_str(j, "crashed", *y->crashed ? y->crashed : NULL);
    json_array_begin(j, "moves");
    for (int f = 0; varied && f < SENSITIVITY_FACTORS; f++)
        json_move(j, s, f, scale, &y->move[f]);
    json_array_end(j);
    json_object_end(j);
}

static void print_json(FILE *f, const struct sensitivity_run *s)
{
    struct json j;
    int known = 0;
    for (int k = 0; k < s->result.m; k++)
        known += s->result.known[k];
    json_begin(&j, f, true);
    json_object_begin(&j, NULL);
    json_str(&j, "file", s->target.path);
    json_f64(&j, "tolerance_percent", 100 * s->options->tolerance);
    json_i64(&j, "predictions", known);
    json_i64(&j, "failed", s->result.failed);
    json_array_begin(&j, "parameters");
    for (int k = 0; k < s->target.n; k++)
        json_parameter(&j, s, s->result.order[k]);
    json_array_end(&j);
    json_array_begin(&j, "skipped");
    for (int k = 0; k < s->target.n_skipped; k++)
        json_str(&j, NULL, s->target.skipped[k]);
    json_array_end(&j);
    json_object_end(&j);
    json_end(&j);
}

// --- all

static int open_run(struct sensitivity_run *s, struct err *e)
{
    const char *soc = experiments_soc(s->experiments);
    const struct fit_selection select = {.free = s->options->patterns, .vary = true};
    int rc = fit_world_open(&s->world, soc, NULL, e);
    if (rc == 0 && strlen(soc) >= sizeof s->world.soc)
        rc = err_set(e, ERR_USAGE, "%.60s...: a name that is too long", soc);
    if (rc == 0) {
        snprintf(s->world.soc, sizeof s->world.soc, "%s", soc); // as the experiments have it
        rc = fit_target_open(s->world.soc_path, false, &select, &s->target, e);
    }
    return rc;
}

int repro_sensitivity(const struct repro_sensitivity *o, const struct reproduction *r,
                      const bool *wanted, struct experiments *x, struct err *e)
{
    struct sensitivity_run *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->options = o;
    s->rows = r;
    s->experiments = x;
    int rc = open_run(s, e), crashed = 0;
    bool opened = rc == 0;
    if (rc == 0)
        rc = vary(s, wanted, e);
    bool stopped = rc == 0 && s->result.interrupted;
    if (rc == 0 && !stopped) {
        (o->json ? print_json : print)(stdout, s);
        rc = o->out ? repro_write(o->out, write_csv, s, e) : 0;
        for (int i = 0; i < s->target.n; i++)
            crashed += class_of(s, i) == CLASS_CRASHED;
        if (rc == 0 && crashed)
            rc = err_set(e, ERR_CHECK, "%d parameter%s could not be varied", crashed,
                         crashed == 1 ? "" : "s");
    }
    sensitivity_fini(&s->result);
    experiments_forget(x); // its machines came from this world
    if (opened)
        fit_target_close(&s->target);
    fit_world_close(&s->world);
    free(s);
    return rc < 0 ? rc : stopped;
}
