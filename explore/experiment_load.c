// SPDX-License-Identifier: GPL-3.0-or-later
// Reading configs/repro/NAME.cfg:
//
//     defaults = { soc = "..."; model = "..."; policy = "..."; sync = "..."; ... };
//     experiment = (
//         { id = "a.row"; unit = "us"; kind = "operator"; device = "gpu"; m = [4096]; ... },
//         { id = "another"; unit = "x"; kind = "session"; metric = "ttft_ms"; form = "speedup";
//           over = { policy = "layer"; }; } );
//
// Keys are option rows: those of every experiment, those of a setup (which machine, which run), and
// those of the kind. Inheritance is by key: what is written wins, else the experiment's (in
// `over`), else the default. One rule goes beyond: who names an engine also takes its policy and
// scheme, unless it writes its own.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "explore/experiment_internal.h"

#define TEXT_ROW(field, text)                                                                      \
    {                                                                                              \
        .name = #field, .type = CONF_STRING, .fallback = "", .doc = text,                          \
        .offset = offsetof(struct setup, field)                                                    \
    }

enum { MACHINE_ROWS = 4 }; // of the setup rows, those that every kind has

static const struct conf_row setup_rows[] = {
    TEXT_ROW(soc, "simulated SoC, a name of configs/soc"),
    TEXT_ROW(engine, "engine profile, a name of configs/engine; empty: ours"),
    {.name = "set",
     .type = CONF_STRING_LIST,
     .fallback = "[]",
     .doc = "overrides \"key=value\" of the SoC",
     .offset = offsetof(struct setup, set)},
    {.name = "model",
     .type = CONF_STRING_LIST,
     .fallback = "[]",
     .doc = "models, names of configs/model; of one operator only the width of weights matters",
     .offset = offsetof(struct setup, model)},
    TEXT_ROW(policy, "partition policy, with options"),
    TEXT_ROW(sync, "synchronisation scheme, with options"),
    TEXT_ROW(plan_sync, "scheme whose costs the policy plans with; empty: those of sync"),
    {.name = "prompt",
     .type = CONF_INT_LIST,
     .fallback = "[]",
     .min = 1,
     .max = 65536,
     .doc = "prompt lengths (tokens)",
     .offset = offsetof(struct setup, prompt)},
    {.name = "gen",
     .type = CONF_INT,
     .fallback = "2",
     .min = 1,
     .max = 65536,
     .doc = "tokens to generate",
     .offset = offsetof(struct setup, gen)},
};
enum { SETUP_ROWS = sizeof setup_rows / sizeof setup_rows[0] };

#define OWN_ROW(field, kind_of, text)                                                              \
    {                                                                                              \
        .name = #field, .type = kind_of, .doc = text, .offset = offsetof(struct experiment, field) \
    }

static const struct conf_row own_rows[] = {
    OWN_ROW(id, CONF_STRING, "name of the row in the table of published values"),
    OWN_ROW(unit, CONF_STRING, "unit of the prediction and of the published value"),
    {.name = "kind",
     .type = CONF_STRING,
     .doc = "how it is measured",
     .offset = offsetof(struct experiment, kind_name)},
    {.name = "scale",
     .type = CONF_REAL,
     .fallback = "0",
     .doc = "in `unit`: what an error is relative to where the published value is 0",
     .offset = offsetof(struct experiment, scale)},
};
enum { OWN_ROWS = sizeof own_rows / sizeof own_rows[0], MAX_ROWS = 32, MAX_KEYS = 64 };

// --- units

static const struct unit_row {
    const char *name;
    enum dimension dimension;
    double factor; // base units
} units[] = {
    {"-", DIM_TEXT, 1},
    {"PE", DIM_COUNT, 1},
    {"x", DIM_RATIO, 1},
    {"%", DIM_RATIO, 0.01},
    {"TFLOP/s", DIM_COMPUTE, 1e12},
    {"TOP/s", DIM_COMPUTE, 1e12},
    {"GFLOP/s", DIM_COMPUTE, 1e9},
    {"GB/s", DIM_BANDWIDTH, 1e9},
    {"us", DIM_TIME, (double)PS_PER_US},
    {"ms", DIM_TIME, (double)PS_PER_MS},
    {"s", DIM_TIME, (double)PS_PER_S},
    {"W", DIM_POWER, 1},
    {"J", DIM_ENERGY, 1},
    {"token/s", DIM_TOKENS, 1},
    {"fps", DIM_FRAMES, 1},
};
enum { UNITS = sizeof units / sizeof units[0] };

// --- errors that point

struct place {
    const struct conf_node *node;
    struct err *e;
};

static int point(const struct place *p, const char *key, int code, const char *text)
{
    const char *file;
    int line;
    conf_where(p->node, key, &file, &line);
    if (!line)
        conf_where(p->node, NULL, &file, &line);
    return err_at(p->e, code, file, line, key, "%s", text);
}

static int unknown(const struct place *p, const char *key, const char *word, const char *what,
                   const char *const *names, int n)
{
    char text[320];
    const char *near = err_nearest(word, names, (size_t)n);
    size_t at = (size_t)snprintf(text, sizeof text, "unknown %s \"%.60s\"", what, word);
    if (near)
        snprintf(text + at, sizeof text - at, "; did you mean \"%s\"?", near);
    for (int i = 0; !near && i < n && at < sizeof text; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s",
                               i ? ", " : "; expected one of: ", names[i]);
    return point(p, key, ERR_CONFIG, text);
}

// --- setups

static bool written(const struct conf_node *n, const char *key)
{
    const char *keys[MAX_KEYS];
    int count = n ? conf_keys(n, keys, MAX_KEYS) : 0;
    for (int i = 0; i < count && i < MAX_KEYS; i++)
        if (!strcmp(keys[i], key))
            return true;
    return false;
}

static int check_setup(const struct place *p, const struct setup *s)
{
    struct arena a;
    struct err why = {0};
    const struct policy_ops *policy;
    const struct sync_ops *sync;
    const void *options;
    const char *bad = NULL;
    arena_init(&a);
    if (*s->policy && policy_parse(s->policy, &a, &policy, &options, &why) < 0)
        bad = "policy";
    else if (*s->sync && sync_parse(s->sync, &a, &sync, &options, &why) < 0)
        bad = "sync";
    else if (*s->plan_sync && sync_parse(s->plan_sync, &a, &sync, &options, &why) < 0)
        bad = "plan_sync";
    arena_fini(&a);
    if (bad)
        return point(p, bad, ERR_CONFIG, why.msg);
    for (int i = 0; i < s->set.n; i++)
        if (!strchr(s->set.v[i], '='))
            return point(p, "set", ERR_CONFIG, "an override is written \"key=value\"");
    return 0;
}

// What node n does not write comes from `from`.
static void inherit(struct setup *s, const struct conf_node *n, const struct setup *from)
{
    bool engine = written(n, "engine");
    if (!written(n, "soc"))
        s->soc = from->soc;
    if (!engine)
        s->engine = from->engine;
    if (!written(n, "set"))
        s->set = from->set;
    if (!written(n, "model"))
        s->model = from->model;
    if (!written(n, "policy"))
        s->policy = engine && *s->engine ? "" : from->policy;
    if (!written(n, "sync"))
        s->sync = engine && *s->engine ? "" : from->sync;
    if (!written(n, "plan_sync"))
        s->plan_sync = from->plan_sync;
    if (!written(n, "prompt"))
        s->prompt = from->prompt;
    if (!written(n, "gen"))
        s->gen = from->gen;
}

static int read_over(const struct place *p, struct experiment *y, struct experiments *x)
{
    int n = conf_count(p->node, "over");
    if (n > EXPERIMENT_MAX_OVER)
        return point(p, "over", ERR_CONFIG, "more than 4 runs to compare with");
    y->n_over = n;
    for (int i = 0; i < n; i++) {
        struct place at = {conf_element(p->node, "over", i), p->e};
        int rc = conf_read(at.node, "over", setup_rows, SETUP_ROWS, &y->over[i], &x->arena, p->e);
        if (rc < 0 || (rc = check_setup(&at, &y->over[i])) < 0)
            return rc;
        // The same prompts and models on both sides: a comparison is made per prompt and model.
        if (written(at.node, "prompt"))
            return point(&at, "prompt", ERR_CONFIG, "the prompts are those of the experiment");
        if (y->over[i].model.n > 1)
            return point(&at, "model", ERR_CONFIG, "a run to compare with has one model");
        bool own_model = written(at.node, "model");
        inherit(&y->over[i], at.node, &y->at);
        if (!own_model)
            y->over[i].model.n = 0; // that of the run
    }
    return 0;
}

// --- one experiment

static int find_kind(const struct place *p)
{
    char text[64];
    const char *names[16];
    const char *word = conf_text(p->node, "kind", -1, text, sizeof text);
    for (int i = 0; i < experiment_n_kinds; i++) {
        names[i] = experiment_kinds[i]->name;
        if (word && !strcmp(word, names[i]))
            return i;
    }
    if (!word)
        return point(p, written(p->node, "kind") ? "kind" : NULL, ERR_CONFIG,
                     "an experiment needs a kind, a string");
    return unknown(p, "kind", word, "kind", names, experiment_n_kinds);
}

static int find_unit(const struct place *p, struct experiment *y)
{
    const char *names[UNITS];
    struct err why = {0};
    int dimension = experiment_kinds[y->kind]->dimension(y, &why);
    if (dimension < 0)
        return point(p, why.key[0] ? why.key : NULL, ERR_CONFIG, why.msg);
    for (int i = 0; i < UNITS; i++) {
        names[i] = units[i].name;
        if (strcmp(names[i], y->unit))
            continue;
        if ((int)units[i].dimension != dimension)
            return point(p, "unit", ERR_CONFIG, "the experiment does not yield this unit");
        y->factor = units[i].factor;
        return 0;
    }
    return unknown(p, "unit", y->unit, "unit", names, UNITS);
}

static size_t add_rows(struct conf_row *rows, size_t n, const struct conf_row *more, size_t n_more)
{
    memcpy(rows + n, more, n_more * sizeof *rows);
    return n + n_more;
}

static int read_one(struct experiments *x, const struct setup *defaults,
                    const struct conf_node *node, struct experiment *y, struct err *e)
{
    const struct place p = {node, e};
    struct conf_row rows[MAX_ROWS];
    int kind = find_kind(&p);
    if (kind < 0)
        return kind;
    const struct experiment_kind *k = experiment_kinds[kind];
    size_t n = add_rows(rows, 0, own_rows, OWN_ROWS);
    n = add_rows(rows, n, setup_rows, k->runs ? SETUP_ROWS : MACHINE_ROWS);
    n = add_rows(rows, n, k->rows, k->n_rows);
    y->at = (struct setup){.policy = "", .sync = "", .plan_sync = ""}; // not every kind has them
    int rc = conf_read(node, k->name, rows, n, y, &x->arena, e);
    if (rc < 0)
        return rc;
    y->kind = kind;
    conf_where(node, NULL, &y->file, &y->line);
    y->file = arena_strdup(&x->arena, y->file);
    if ((rc = check_setup(&p, &y->at)) < 0)
        return rc;
    inherit(&y->at, node, defaults);
    if (k->runs && (rc = read_over(&p, y, x)) < 0)
        return rc;
    if (!*y->id)
        return point(&p, "id", ERR_CONFIG, "an experiment needs a name");
    if (!*y->at.soc)
        return point(&p, NULL, ERR_CONFIG, "no soc, neither here nor in defaults");
    for (int i = 0; i < x->n; i++)
        if (!strcmp(x->experiment[i].id, y->id))
            return point(&p, "id", ERR_CONFIG, "there is another experiment of this id");
    return find_unit(&p, y);
}

// --- the file

static const struct conf_row top_rows[] = {
    {.name = "defaults", .type = CONF_GROUP, .doc = "setup of experiments that have no own"},
    {.name = "experiment", .type = CONF_GROUP, .choices = "list", .doc = "one per published row"},
};

static int read_file(struct experiments *x, const struct conf_node *root, struct err *e)
{
    struct setup defaults = {0};
    const struct place p = {conf_child(root, "defaults"), e};
    int rc = conf_read(root, "experiments", top_rows, 2, &defaults, &x->arena, e);
    if (rc == 0)
        rc = conf_read(p.node, "defaults", setup_rows, SETUP_ROWS, &defaults, &x->arena, e);
    if (rc == 0 && p.node)
        rc = check_setup(&p, &defaults);
    if (rc < 0)
        return rc;
    int n = conf_count(root, "experiment");
    if (n == 0) {
        const struct place top = {root, e};
        return point(&top, NULL, ERR_CONFIG, "no experiments: a list `experiment` is expected");
    }
    x->experiment = ARENA_NEWS(&x->arena, (size_t)n, struct experiment);
    for (; x->n < n; x->n++) {
        rc =
            read_one(x, &defaults, conf_element(root, "experiment", x->n), &x->experiment[x->n], e);
        if (rc < 0)
            return rc;
    }
    x->soc = defaults.soc && *defaults.soc ? defaults.soc : x->experiment[0].at.soc;
    return 0;
}

int experiments_load(const char *path, struct experiments *x, struct err *e)
{
    struct conf *c = NULL;
    int rc = conf_open(path, &c, e);
    if (rc == 0)
        rc = read_file(x, conf_root(c), e);
    conf_close(c);
    return rc;
}

void experiments_help(FILE *f)
{
    fprintf(f, "keys of every experiment:\n");
    conf_help(f, own_rows, OWN_ROWS, 2);
    fprintf(f, "which machine and which run, here or in defaults (policy and what follows only "
               "where whole "
               "sessions are planned or run):\n");
    conf_help(f, setup_rows, SETUP_ROWS, 2);
    for (int i = 0; i < experiment_n_kinds; i++) {
        const struct experiment_kind *k = experiment_kinds[i];
        fprintf(f, "kind = \"%s\": %s\n", k->name, k->doc);
        conf_help(f, k->rows, k->n_rows, 2);
    }
    fprintf(f, "metrics:");
    for (int i = 0; i < session_n_metrics; i++)
        fprintf(f, "%s%s", i ? ", " : " ", session_metrics[i].name);
    fprintf(f, "\nunits:");
    for (int i = 0; i < UNITS; i++)
        fprintf(f, "%s%s", i ? ", " : " ", units[i].name);
    fputc('\n', f);
}
