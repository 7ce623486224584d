// SPDX-License-Identifier: GPL-3.0-or-later
// partita profile: what a machine is like, in both worlds in one format: throughput over size,
// stages, orders, shapes, graph preparation, bandwidth, latencies. With --cost, the cost table of a
// machine for a model.
//
// The points are measured before the first is written, and a file appears under its name only when
// it is complete: whatever ends the program, there is never half a profile.
#include "cli/explore.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "explore/characterise.h"
#include "explore/plot.h"

enum { KEY_COST = 3100, KEY_PLOTS, KEY_QUICK, KEY_MAX_M, KEY_MAX_K, KEY_MAX_N, KEY_ROUNDS };
enum { MOST = 1 << 20, MOST_ROUNDS = 1000, ROUNDS_REAL = 5 };

static const char default_model[] = "tinyllama-1.1b";

struct profile_options {
    struct workload w;
    struct characterise_options grid;
    const char *out, *plots;
    int rounds; // 0: as many as the machine needs
    bool cost;
};

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0, "file to write (default: standard output)", 0},
    {"plots", KEY_PLOTS, "DIR", 0, "draw the sections as SVG files in DIR (with gnuplot)", 0},
    {"quick", KEY_QUICK, 0, 0, "a coarse grid of small shapes", 0},
    {"max-m", KEY_MAX_M, "M", 0, "no weights of more than M rows", 0},
    {"max-k", KEY_MAX_K, "K", 0, "no weights of more than K columns", 0},
    {"max-n", KEY_MAX_N, "N", 0, "no more than N tokens", 0},
    {"rounds", KEY_ROUNDS, "R", 0,
     "go through all points R times and take the middle of what each gave, so that a disturbance "
     "meets few of them (default: 5; 1 with --quick and where every measurement gives the same)",
     0},
    {"cost", KEY_COST, 0, 0,
     "instead: every operator of a model on every device, and the hand-overs of a sync scheme; the "
     "cost table that policies plan with",
     0},
    {0},
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct profile_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->w;
        break;
    case 'o':
        o->out = arg;
        break;
    case KEY_PLOTS:
        o->plots = arg;
        break;
    case KEY_QUICK:
        o->grid.quick = true;
        break;
    case KEY_MAX_M:
        o->grid.max_m = cli_whole(state, "--max-m", arg, 32, MOST);
        break;
    case KEY_MAX_K:
        o->grid.max_k = cli_whole(state, "--max-k", arg, 32, MOST);
        break;
    case KEY_MAX_N:
        o->grid.max_n = cli_whole(state, "--max-n", arg, 1, MOST);
        break;
    case KEY_ROUNDS:
        o->rounds = cli_whole(state, "--rounds", arg, 1, MOST_ROUNDS);
        break;
    case KEY_COST:
        o->cost = true;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected \"%s\" (the model is given by --model)", arg);
        break;
    case ARGP_KEY_SUCCESS:
        if (o->cost && (o->plots || o->rounds || o->grid.quick || o->grid.max_m || o->grid.max_k ||
                        o->grid.max_n))
            argp_error(state, "--plots, --quick, --rounds and --max-... do not go with --cost");
        if (!o->cost && strcmp(o->w.c.model, default_model) != 0)
            argp_error(state, "--model goes with --cost; without it, no model is measured");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    option,
    "",
    "Characterises a machine: throughput over size, stages over tokens, operand orders, shapes, "
    "graph preparation, bandwidth alone and together, latencies of submission and "
    "synchronisation. Writes CSV; on a terminal, what it says.\vExample: partita profile --soc "
    "sd8gen3 -o sd8gen3.csv --plots plots",
    workload_children,
    NULL,
    NULL};

// --- the cost table

static void row_json(void *ctx, const struct cost_row *r)
{
    struct json *j = ctx;
    json_object_begin(j, NULL);
    json_str(j, "kind", r->kind);
    json_i64(j, "device", r->device);
    json_i64(j, "order", r->order);
    json_i64(j, "k", r->k);
    json_i64(j, "n", r->n);
    json_i64(j, "x", r->x);
    json_f64(j, "ps", r->ps);
    json_object_end(j);
}

static void write_table(const struct cost_table *t, bool json, FILE *out)
{
    struct json j;
    if (!json) {
        cost_write(t, out);
        return;
    }
    json_begin(&j, out, true);
    json_object_begin(&j, NULL);
    json_array_begin(&j, "rows");
    cost_walk(t, row_json, &j);
    json_array_end(&j);
    json_object_end(&j);
    json_end(&j);
}

static int cost_table(struct profile_options *o, struct model *m, struct err *e)
{
    struct cli_factory f;
    struct cli_session s;
    struct file out;
    if (cli_factory_open(o->w.c.machine, &o->w.c, false, &f, e) < 0 ||
        (!f.soc && !m->has_data && cli_generate_weights(m, o->w.encoding, o->w.c.seed, e) < 0) ||
        file_begin(&out, o->out, e) < 0)
        return e->code;
    int rc = cli_session_open(&f, &o->w.c, m, o->w.prompt, o->w.gen, &s, e);
    if (rc >= 0) {
        write_table(s.cost, o->w.c.json, out.f);
        cli_session_close(&s);
    }
    return file_end(&out, rc < 0 ? rc : 0, e);
}

// --- the characterisation

static void points_json(const struct machine *m, const struct point *p, int n, FILE *out)
{
    struct json j;
    json_begin(&j, out, true);
    json_object_begin(&j, NULL);
    json_str(&j, "machine", m->name);
    json_array_begin(&j, "points");
    for (int i = 0; i < n; i++) {
        json_object_begin(&j, NULL);
        json_str(&j, "section", p[i].section);
        json_str(&j, "what", p[i].what);
        json_str(&j, "order", p[i].order);
        json_i64(&j, "m", p[i].m);
        json_i64(&j, "k", p[i].k);
        json_i64(&j, "n", p[i].n);
        json_f64(&j, "value", p[i].value);
        json_str(&j, "unit", p[i].unit);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_object_end(&j);
    json_end(&j);
}

// 1 when interrupted. The rounds follow each other as a whole, so that what disturbs the machine
// for a second meets a few points in one round, and not all repetitions of one point.
static int measure(struct machine *m, struct point *p, int n, int rounds, bool progress,
                   struct err *e)
{
    double *seen = malloc((size_t)n * (size_t)rounds * sizeof *seen);
    int rc = seen ? 0 : err_set(e, ERR_MEMORY, "no memory for %d rounds of %d points", rounds, n);
    for (int r = 0; r < rounds && rc == 0 && !cli_stop; r++)
        for (int i = 0; i < n && rc == 0 && !cli_stop; i++) {
            if (progress)
                fprintf(stderr, "\r\033[Kround %d of %d, %d of %d: %s %s", r + 1, rounds, i + 1, n,
                        p[i].section, p[i].what);
            rc = characterise_measure(m, &p[i], e);
            seen[i * rounds + r] = p[i].value;
        }
    for (int i = 0; i < n && rc == 0 && !cli_stop; i++)
        characterise_combine(&p[i], &seen[i * rounds], rounds);
    if (progress)
        fprintf(stderr, "\r\033[K");
    free(seen);
    return rc < 0 ? rc : cli_stop;
}

static int report(const struct profile_options *o, const struct machine *m, const struct point *p,
                  int n, struct file *out, struct err *e)
{
    bool terminal = !o->out && !o->w.c.json && isatty(STDOUT_FILENO);
    if (o->plots && characterise_plots(p, n, o->plots, "svg", e) < 0)
        return e->code;
    if (o->w.c.json)
        points_json(m, p, n, out->f);
    else if (!terminal)
        characterise_write(p, n, out->f);
    if (terminal || (o->out && !o->w.c.quiet)) {
        printf("%s\n", m->name);
        characterise_summary(p, n, stdout);
    }
    return 0;
}

static int characterise(struct profile_options *o, struct err *e)
{
    struct machine *m = NULL;
    struct point *p = NULL;
    struct cli_factory f;
    struct file out;
    int n = 0;
    if (o->plots && !plot_available())
        return err_set(e, ERR_UNSUPPORTED,
                       "gnuplot draws the plots and is not installed (Debian: gnuplot-nox)");
    if (cli_factory_open(o->w.c.machine, &o->w.c, false, &f, e) < 0 ||
        file_begin(&out, o->out, e) < 0)
        return e->code;
    cli_catch_stop();
    int rc = cli_machine_open(&f, &m, e);
    if (rc >= 0)
        rc = characterise_points(m, &o->grid, &p, &n, e);
    int rounds = o->rounds ? o->rounds : m && !m->repeatable && !o->grid.quick ? ROUNDS_REAL : 1;
    if (rc >= 0)
        rc = measure(m, p, n, rounds, cli_show_progress(&o->w.c), e);
    if (rc == 0)
        rc = report(o, m, p, n, &out, e);
    rc = file_end(&out, rc, e);
    free(p);
    if (m)
        m->ops->close(m);
    return rc;
}

int cmd_profile(int argc, char **argv)
{
    struct profile_options o = {.out = NULL};
    struct model *m = NULL;
    struct err e;
    workload_init(&o.w, "host", default_model, 256, 32);
    cli_parse(&argp, argc, argv, &o);
    int rc = o.cost ? cli_model_open(o.w.c.model, &m, &e) : characterise(&o, &e);
    if (o.cost && rc >= 0)
        rc = cost_table(&o, m, &e);
    if (m)
        model_close(m);
    return rc < 0 ? cli_fail(&e) : rc > 0 ? EXIT_INTERRUPT : EXIT_OK;
}
