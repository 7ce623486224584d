// SPDX-License-Identifier: GPL-3.0-or-later
// What a calibration is held against: rows of a table, each predicted by the experiment of its name
// (configs/repro), or points of a profile, each measured again. Either way a candidate is a set of
// overrides on the file that is calibrated, and what it predicts comes from the same code that
// measures in earnest.
//
// A row says something about the parameters of the file only if its experiment uses the file: rows
// about other SoCs are left out, and so are, when a SoC is calibrated, those that measure another
// engine (their factors were fitted on top of that very SoC), and, when an engine is, all others.
// Which engine a row measures shows in what its experiment asks the world for.
#include "cli/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "models/soc/soc.h"

static struct fit_world *world_of(const struct experiment_world *w)
{
    return (struct fit_world *)(uintptr_t)w;
}

// "sd8gen3" of "configs/soc/sd8gen3.cfg"; true when it fits.
static bool stem(const char *path, char *out, size_t size)
{
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    const char *dot = strrchr(base, '.');
    int n = dot && dot > base ? (int)(dot - base) : (int)strlen(base);
    return snprintf(out, size, "%.*s", n, base) < (int)size;
}

// --- a world of candidates

// An engine whose profile changes nothing of the SoC (only policy, scheme, width of the weights) is
// the one that the SoC itself describes.
static bool changes_kernels(struct fit_world *x, const char *engine)
{
    char path[512];
    struct engine profile;
    struct err none;
    if (strcmp(engine, x->seen)) {
        snprintf(x->seen, sizeof x->seen, "%s", engine);
        x->changes = cli_find_config("engine", engine, path, sizeof path, &none) < 0 ||
                     engine_open(path, &profile, &none) < 0 || profile.n_set + profile.n_scale > 0;
    }
    return x->changes;
}

static void ask(struct fit_world *x, const char *engine)
{
    if (engine && changes_kernels(x, engine))
        snprintf(x->asked, sizeof x->asked, "%s", engine);
}

static bool ours(const struct fit_world *x, const char *engine)
{
    return engine && *x->engine && !strcmp(engine, x->engine);
}

static int open_candidate(const struct experiment_world *w, const char *soc, const char *engine,
                          const char *const *overrides, int n, struct machine **out, struct err *e)
{
    struct fit_world *x = world_of(w);
    bool base = !strcmp(soc, x->soc);
    int n_set = x->cli.n_set;
    ask(x, engine);
    soc = base ? x->soc_path : soc;
    if (ours(x, engine)) {
        struct cli_factory f = {.soc = true, .engine = &x->profile};
        struct conf *c = NULL;
        f.set = x->set;
        f.n_set = base ? n_set : 0;
        if (cli_find_config("soc", soc, f.path, sizeof f.path, e) < 0)
            return e->code;
        int rc = cli_conf_open(&f, overrides, n, &c, e);
        if (rc == 0)
            rc = machine_soc_open(c, false, out, e);
        conf_close(c);
        return rc;
    }
    x->cli.n_set = base ? n_set : 0; // another SoC is as its file says
    int rc = x->cli.base.open(&x->cli.base, soc, engine, overrides, n, out, e);
    x->cli.n_set = n_set;
    return rc;
}

static int model(const struct experiment_world *w, const char *name, const char *engine,
                 const struct model **out, struct err *e)
{
    struct fit_world *x = world_of(w);
    ask(x, engine);
    return x->cli.base.model(&x->cli.base, name, ours(x, engine) ? x->engine_path : engine, out, e);
}

static int engine_names(const struct experiment_world *w, const char *engine, const char **policy,
                        const char **sync, struct err *e)
{
    struct fit_world *x = world_of(w);
    ask(x, engine);
    return x->cli.base.engine(&x->cli.base, ours(x, engine) ? x->engine_path : engine, policy, sync,
                              e);
}

static int specification(const struct experiment_world *w, const char *soc, const char *what,
                         double *out, struct err *e)
{
    struct fit_world *x = world_of(w);
    bool base = !strcmp(soc, x->soc);
    int n_set = x->cli.n_set;
    x->cli.n_set = base ? n_set : 0;
    int rc = x->cli.base.specification(&x->cli.base, base ? x->soc_path : soc, what, out, e);
    x->cli.n_set = n_set;
    return rc;
}

int fit_world_open(struct fit_world *x, const char *soc, const char *engine, struct err *e)
{
    if (cli_find_config("soc", soc, x->soc_path, sizeof x->soc_path, e) < 0 ||
        (engine &&
         (cli_find_config("engine", engine, x->engine_path, sizeof x->engine_path, e) < 0 ||
          engine_open(x->engine_path, &x->profile, e) < 0)))
        return e->code;
    if (!stem(x->soc_path, x->soc, sizeof x->soc) ||
        (engine && !stem(x->engine_path, x->engine, sizeof x->engine)))
        return err_at(e, ERR_USAGE, soc, 0, NULL, "a name that is too long");
    cli_world_open(&x->cli, x->set, 0);
    x->w = (struct experiment_world){open_candidate, model, engine_names, specification};
    return 0;
}

void fit_world_close(struct fit_world *x)
{
    if (x->cli.state)
        cli_world_close(&x->cli);
}

// --- rows of a table

// The experiments beside the table, then those of its name, then those of HeteroInfer.
static int find_experiments(const struct fit_given_options *o, char *path, size_t size,
                            struct err *e)
{
    char name[256], beside[512];
    const char *dot = strrchr(o->given, '.');
    if (o->experiments)
        return cli_find_config("repro", o->experiments, path, size, e);
    snprintf(beside, sizeof beside, "%.*s.cfg", (int)(dot ? dot - o->given : 0), o->given);
    if (dot && access(beside, R_OK) == 0)
        return cli_find_config("repro", beside, path, size, e);
    if (stem(o->given, name, sizeof name) && cli_find_config("repro", name, path, size, e) == 0)
        return 0;
    return cli_find_config("repro", "heteroinfer", path, size, e);
}

// Rows call the SoC by a name; if the file has another one, it stands for the only SoC there is.
static int name_soc(struct fit_observations *x, const struct fit_given *g, int n, struct err *e)
{
    const char *only = NULL, *other = NULL;
    for (int i = 0; i < n; i++) {
        if (!strcmp(g[i].soc, x->world.soc))
            return 0;
        if (*g[i].soc && !only)
            only = g[i].soc;
        else if (*g[i].soc && strcmp(g[i].soc, only) != 0)
            other = g[i].soc;
    }
    if (other)
        return err_at(e, ERR_USAGE, x->path, 0, "soc",
                      "rows about %.40s and %.40s; name the file after the one that it describes",
                      only, other);
    if (only)
        snprintf(x->world.soc, sizeof x->world.soc, "%s", only);
    return 0;
}

static void leave_out(struct fit_observations *x, const char *name, const char *why)
{
    x->unused[x->n_unused] = name;
    x->why[x->n_unused++] = why;
}

// Why a row does not serve, or NULL; it is predicted once, by the file as it is.
static int judge(struct fit_observations *x, const struct fit_given *g, int experiment,
                 const char **why, struct err *e)
{
    struct prediction p;
    struct fit_world *w = &x->world;
    *why = NULL;
    if (*g->soc && strcmp(g->soc, w->soc) != 0) {
        *why = arena_printf(&x->arena, "is about %s", g->soc);
        return 0;
    }
    w->asked[0] = 0;
    experiments_forget(x->experiments);
    int rc = experiments_predict(x->experiments, experiment, &w->w, &p, e);
    if (rc < 0)
        return rc;
    if (p.is_text)
        *why = "is no number";
    else if (*w->engine && strcmp(w->asked, w->engine) != 0)
        *why = arena_printf(&x->arena, "does not measure %s", w->engine);
    else if (!*w->engine && *w->asked)
        *why = arena_printf(&x->arena, "measures another engine, %s", w->asked);
    return 0;
}

static int use_row(struct fit_observations *x, const struct fit_given *g, double tolerance,
                   struct err *e)
{
    struct err why = {0};
    const char *reason;
    int i = experiments_find(x->experiments, g->id, &why);
    if (i < 0)
        return err_at(e, ERR_USAGE, x->path, g->line, NULL, "%s", why.msg);
    const char *unit = experiments_unit(x->experiments, i);
    if (strcmp(unit, g->unit) != 0)
        return err_at(e, ERR_USAGE, x->path, g->line, g->id, "is in %.20s, its experiment in %.20s",
                      g->unit, unit);
    if (judge(x, g, i, &reason, e) < 0)
        return e->code;
    if (reason) {
        leave_out(x, g->id, reason);
        return 0;
    }
    x->row[x->m] = (struct fit_row){g->id, g->value, g->tolerance > 0 ? g->tolerance : tolerance};
    x->unit[x->m] = g->unit;
    x->experiment[x->m++] = i;
    return 0;
}

static void make_room(struct fit_observations *x, int n)
{
    size_t room = (size_t)n + 1;
    x->row = ARENA_NEWS(&x->arena, room, struct fit_row);
    x->unit = ARENA_NEWS(&x->arena, room, const char *);
    x->experiment = ARENA_NEWS(&x->arena, room, int);
    x->unused = ARENA_NEWS(&x->arena, room, const char *);
    x->why = ARENA_NEWS(&x->arena, room, const char *);
}

static int open_rows(struct fit_observations *x, const struct fit_given_options *o, struct err *e)
{
    struct fit_given *g = NULL;
    char path[512];
    int n = 0;
    if (fit_world_open(&x->world, o->soc ? o->soc : "sd8gen3", o->engine, e) < 0 ||
        fit_rows_read(o->given, o->only_given, &x->arena, &g, &n, &x->passed_over, e) < 0 ||
        find_experiments(o, path, sizeof path, e) < 0 ||
        experiments_open(path, &x->experiments, e) < 0 || name_soc(x, g, n, e) < 0)
        return e->code;
    make_room(x, n);
    for (int i = 0; i < n; i++)
        if (use_row(x, &g[i], o->tolerance, e) < 0)
            return e->code;
    if (x->m == 0)
        return err_at(e, ERR_USAGE, x->path, 0, NULL, "no row serves here: %s %s", x->unused[0],
                      x->why[0]);
    return 0;
}

// --- points of a profile

enum { NEAREST_POINTS = 100 };

// A machine that has not what a point is about (a device, a scheme) cannot be asked for it;
// anything else that is wrong with a point is an error.
static bool has_not(const struct err *e)
{
    return e->code == ERR_UNSUPPORTED || e->code == ERR_DEVICE;
}

// How far a SoC as it stands is from the profile: the mean of |ln(prediction / observation)| over
// some of the points. What it has not is as bad as a factor of ten.
static int distance(struct fit_observations *x, const char *soc, double *out, struct err *e)
{
    struct machine *m = NULL;
    double sum = 0;
    int n = 0, stride = x->m / NEAREST_POINTS + 1;
    if (fit_world_open(&x->world, soc, NULL, e) < 0)
        return e->code;
    int rc = x->world.w.open(&x->world.w, x->world.soc, NULL, NULL, 0, &m, e);
    for (int j = 0; j < x->m && rc == 0; j += stride, n++) {
        struct point p = x->point[x->experiment[j]];
        rc = characterise_measure(m, &p, e);
        sum += rc < 0 || p.value <= 0 ? log(10) : fabs(log(p.value / x->row[j].observed));
        rc = rc < 0 && has_not(e) ? 0 : rc;
        if (rc < 0)
            err_locate(e, x->path, x->experiment[j] + 2); // below the header
    }
    if (m)
        m->ops->close(m);
    fit_world_close(&x->world);
    *out = sum / n;
    return rc;
}

// Leaves out the points that the base cannot be asked for.
static int drop_unknown(struct fit_observations *x, struct err *e)
{
    struct machine *m = NULL;
    int rc = x->world.w.open(&x->world.w, x->world.soc, NULL, NULL, 0, &m, e), n = 0;
    for (int j = 0; j < x->m && rc == 0; j++) {
        struct point p = x->point[x->experiment[j]];
        rc = characterise_measure(m, &p, e);
        bool lacks = rc < 0 && has_not(e);
        if (lacks || (rc == 0 && p.value <= 0)) { // a factor of 0 has no logarithm
            leave_out(x, x->row[j].name,
                      lacks ? "is of something that this SoC has not" : "is 0 on this SoC");
            rc = 0;
            continue;
        }
        if (rc < 0)
            err_locate(e, x->path, x->experiment[j] + 2);
        x->row[n] = x->row[j];
        x->unit[n] = x->unit[j];
        x->experiment[n++] = x->experiment[j];
    }
    if (m)
        m->ops->close(m);
    x->m = rc == 0 ? n : x->m;
    if (rc == 0 && n == 0)
        rc = err_at(e, ERR_USAGE, x->path, 0, NULL, "this SoC has nothing that it is about");
    return rc;
}

// The SoC that is calibrated: the one that was named, or of all the nearest.
static int open_base(struct fit_observations *x, const char *soc, struct err *e)
{
    static char names[128][64];
    int n = soc ? 0 : cli_list_configs("soc", names, 128);
    x->apart = INFINITY;
    for (int i = 0; i < n; i++) {
        double apart = INFINITY;
        if (distance(x, names[i], &apart, e) < 0)
            return e->code;
        if (apart < x->apart) {
            x->apart = apart;
            memcpy(x->nearest, names[i], sizeof x->nearest);
        }
    }
    if (!soc && !*x->nearest)
        return err_set(e, ERR_USAGE, "no SoC to calibrate; name one with --soc");
    if (fit_world_open(&x->world, soc ? soc : x->nearest, NULL, e) < 0)
        return e->code;
    return drop_unknown(x, e);
}

static int open_profile(struct fit_observations *x, const struct fit_given_options *o,
                        struct err *e)
{
    int n = 0;
    x->profile = true;
    if (o->engine)
        return err_at(e, ERR_USAGE, o->given, 1, NULL,
                      "a profile measures kernels of ours; an engine's factors need rows");
    if (characterise_read(o->given, &x->point, &n, e) < 0)
        return e->code;
    make_room(x, n);
    for (int i = 0; i < n; i++) {
        const struct point *p = &x->point[i];
        const char *name = arena_printf(&x->arena, "%s %s%s%s", p->section, p->what,
                                        *p->order ? " " : "", p->order);
        if (p->m > 0)
            name = arena_printf(&x->arena, "%s %dx%dx%d", name, p->m, p->k, p->n);
        if (!isfinite(p->value) || p->value <= 0) {
            leave_out(x, name, "is not above 0");
            continue;
        }
        x->row[x->m] = (struct fit_row){name, p->value, o->tolerance};
        x->unit[x->m] = p->unit;
        x->experiment[x->m++] = i;
    }
    if (x->m == 0 || x->m > FIT_MAX_ROWS)
        return err_at(e, ERR_FORMAT, o->given, 0, NULL, "%d points to fit to; expected 1 to %d",
                      x->m, (int)FIT_MAX_ROWS);
    return open_base(x, o->soc, e);
}

// --- all

int fit_observations_open(const struct fit_given_options *o, struct fit_observations *out,
                          struct err *e)
{
    enum fit_input kind = FIT_INPUT_ROWS;
    struct fit_observations *x = out;
    *x = (struct fit_observations){.path = o->given};
    arena_init(&x->arena);
    int rc = fit_input_kind(o->given, &kind, e);
    if (rc == 0)
        rc = kind == FIT_INPUT_ROWS ? open_rows(x, o, e) : open_profile(x, o, e);
    if (rc < 0)
        fit_observations_close(x);
    return rc;
}

void fit_observations_close(struct fit_observations *x)
{
    experiments_close(x->experiments);
    fit_world_close(&x->world);
    free(x->point);
    arena_fini(&x->arena);
    *x = (struct fit_observations){0};
}

static void set_candidate(struct fit_world *w, const struct fit_target *t, const double *values)
{
    for (int i = 0; i < t->n; i++) {
        const struct fit_key *k = &t->key[i];
        char text[FIT_TEXT];
        int item = 0;
        if (t->engine && sscanf(k->key, "scale[%d]", &item) == 1) {
            w->profile.scale[item].factor = values[i];
            continue;
        }
        snprintf(w->text[i], sizeof w->text[i], "%s=%s", k->key,
                 fit_exact_text(k, values[i], text));
        w->set[i] = w->text[i];
    }
    w->cli.set = w->set;
    w->cli.n_set = t->engine ? 0 : t->n;
}

void fit_world_set(struct fit_world *w, const struct fit_key *k, double value)
{
    char text[FIT_TEXT];
    w->cli.n_set = k != NULL;
    if (k)
        snprintf(w->text[0], sizeof w->text[0], "%s=%s", k->key, fit_exact_text(k, value, text));
    w->set[0] = w->text[0];
}

static int measure(struct fit_observations *x, const bool *want, double *y, struct err *e)
{
    struct machine *m = NULL;
    int rc = x->world.w.open(&x->world.w, x->world.soc, NULL, NULL, 0, &m, e);
    for (int j = 0; j < x->m && rc == 0; j++) {
        if (!want[j])
            continue;
        struct point p = x->point[x->experiment[j]];
        rc = characterise_measure(m, &p, e);
        y[j] = p.value;
    }
    if (m)
        m->ops->close(m);
    return rc;
}

int fit_predict(struct fit_observations *x, const struct fit_target *t, const double *values,
                const bool *want, double *y, struct err *e)
{
    struct err local = {0};
    e = e ? e : &local;
    set_candidate(&x->world, t, values);
    if (x->profile)
        return measure(x, want, y, e);
    experiments_forget(x->experiments);
    for (int j = 0; j < x->m; j++) {
        struct prediction p;
        if (!want[j])
            continue;
        int rc = experiments_predict(x->experiments, x->experiment[j], &x->world.w, &p, e);
        if (rc < 0)
            return rc;
        y[j] = p.value;
    }
    return 0;
}
