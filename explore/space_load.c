// SPDX-License-Identifier: GPL-3.0-or-later
// Reading configs/space/NAME.cfg.
//
// One rule for every value: its text is handed to the owner's own parser (the rows of the policy,
// the scheme, or of the space itself) as if it came from the command line, and what that parser
// complains about is pointed at the line of the file. So limits, units and choices are those of the
// owner, and an option that a policy gains tomorrow can be explored tomorrow.
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "explore/space_internal.h"

// --- errors that point

int load_fail(const struct loader *l, const struct conf_node *n, const char *key, const char *path,
              const char *text)
{
    const char *file;
    int line;
    conf_where(n, key, &file, &line);
    return err_at(l->e, ERR_CONFIG, file, line, path, "%s", text);
}

int load_fail_why(const struct loader *l, const struct conf_node *n, const char *key,
                  const char *path, const struct err *why)
{
    return load_fail(l, n, key, path, why->msg);
}

int load_unknown(const struct loader *l, const struct conf_node *n, const char *at,
                 const char *word, const char *what, const char *const *names, int n_names)
{
    char text[320], all[160] = "";
    const char *near = err_nearest(word, names, (size_t)n_names);
    for (int i = 0; i < n_names; i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", names[i]);
    }
    if (near)
        snprintf(text, sizeof text, "unknown %s \"%.60s\"; did you mean \"%s\"?", what, word, near);
    else
        snprintf(text, sizeof text, "unknown %s \"%.60s\"; expected one of: %s", what, word, all);
    return load_fail(l, n, at, at, text);
}

bool load_has(const struct conf_node *n, const char *key)
{
    const char *keys[MAX_KEYS];
    int count = conf_keys(n, keys, MAX_KEYS);
    for (int i = 0; i < count && i < MAX_KEYS; i++)
        if (!strcmp(keys[i], key))
            return true;
    return false;
}

int load_strings(const struct loader *l, const struct conf_node *n, const char *key,
                 const char *what, const char **out, int max)
{
    char text[MAX_TEXT], why[120];
    int length = conf_length(n, key);
    bool single = !length && conf_text(n, key, -1, text, sizeof text) && text[0] != '[';
    if (!load_has(n, key))
        return 0;
    if (!single && !length) {
        snprintf(why, sizeof why, "expected at least one: %s in quotes, or an array of them", what);
        return load_fail(l, n, key, key, why);
    }
    if (length > max) {
        snprintf(why, sizeof why, "more than %d elements", max);
        return load_fail(l, n, key, key, why);
    }
    for (int i = 0; i < (single ? 1 : length); i++) {
        if (!conf_text(n, key, single ? -1 : i, text, sizeof text) || text[0] == '[') {
            snprintf(why, sizeof why, "an element is not %s in quotes", what);
            return load_fail(l, n, key, key, why);
        }
        out[i] = arena_strdup(&l->s->arena, text);
    }
    return single ? 1 : length;
}

int load_check_keys(const struct loader *l, const struct conf_node *n, const char *what,
                    const char *const *names, int n_names)
{
    const char *keys[MAX_KEYS];
    int count = conf_keys(n, keys, MAX_KEYS);
    for (int i = 0; i < count && i < MAX_KEYS; i++) {
        bool known = false;
        for (int j = 0; j < n_names && !known; j++)
            known = !strcmp(keys[i], names[j]);
        if (!known)
            return load_unknown(l, n, keys[i], keys[i], what, names, n_names);
    }
    return 0;
}

// --- the top level

static const struct conf_row top_rows[] = {
    {.name = "machine",
     .type = CONF_STRING,
     .fallback = "",
     .doc = "where points are evaluated: soc:NAME, or host",
     .offset = offsetof(struct space_top, machine)},
    {.name = "model",
     .type = CONF_STRING,
     .doc = "model by name or path",
     .offset = offsetof(struct space_top, model)},
    {.name = "prompt",
     .type = CONF_INT,
     .fallback = "256",
     .min = 1,
     .max = 1000000,
     .doc = "prompt tokens",
     .offset = offsetof(struct space_top, prompt)},
    {.name = "gen",
     .type = CONF_INT,
     .fallback = "32",
     .min = 1,
     .max = 1000000,
     .doc = "tokens to generate",
     .offset = offsetof(struct space_top, gen)},
    {.name = "aggregate",
     .type = CONF_ENUM,
     .fallback = "geomean",
     .choices = "geomean|worst",
     .doc = "how metrics of several machines become one: geometric mean, or each one's worst",
     .offset = offsetof(struct space_top, aggregate)},
    {.name = "trace",
     .type = CONF_STRING,
     .fallback = "",
     .doc = "CSV file of requests in the place of prompt and gen",
     .offset = offsetof(struct space_top, trace)},
    {.name = "trace_prompt",
     .type = CONF_STRING,
     .fallback = "",
     .doc = "its column of prompt lengths; empty: by the usual names",
     .offset = offsetof(struct space_top, trace_prompt)},
    {.name = "trace_gen",
     .type = CONF_STRING,
     .fallback = "",
     .doc = "its column of output lengths; empty: by the usual names",
     .offset = offsetof(struct space_top, trace_gen)},
    {.name = "requests",
     .type = CONF_INT,
     .fallback = "16",
     .min = 1,
     .max = SPACE_MAX_REQUESTS,
     .doc = "requests that stand for the trace",
     .offset = offsetof(struct space_top, requests)},
    {.name = "max_tokens",
     .type = CONF_INT,
     .fallback = "0",
     .min = 0,
     .max = 1000000,
     .doc = "requests of the trace that are longer are cut to it; 0: none is",
     .offset = offsetof(struct space_top, max_tokens)},
};
enum { TOP_ROWS = sizeof top_rows / sizeof top_rows[0] };

// What the rows do not read: lists.
static const char *const lists[] = {"machines", "levels", "constraints", "objectives",
                                    "policies", "syncs",  "soc"};
enum { LISTS = sizeof lists / sizeof lists[0] };

// One scalar by its row.
static int read_scalar(const struct loader *l, const struct conf_node *root,
                       const struct conf_row *row, struct space_top *out)
{
    char text[MAX_TEXT];
    struct err why = {0};
    const char *value = conf_text(root, row->name, -1, text, sizeof text);
    const char *file;
    int line;
    conf_where(root, row->name, &file, &line);
    if (!value && line)
        return load_fail(l, root, row->name, row->name,
                         "expected a value, found a group or a long text");
    if (value && value[0] == '[')
        return load_fail(l, root, row->name, row->name, "expected a single value, found a list");
    if (value)
        value = arena_printf(&l->s->arena, "%s=\"%s\"", row->name, value);
    if (conf_read_text(value, "the space", row, 1, out, &l->s->arena, &why) < 0)
        return load_fail_why(l, root, value ? row->name : NULL, row->name, &why);
    return 0;
}

static int check_top_keys(const struct loader *l, const struct conf_node *root)
{
    const char *names[TOP_ROWS + LISTS], *keys[MAX_KEYS];
    int n = 0, n_keys = conf_keys(root, keys, MAX_KEYS);
    for (int i = 0; i < TOP_ROWS; i++)
        names[n++] = top_rows[i].name;
    for (int i = 0; i < LISTS; i++)
        names[n++] = lists[i];
    for (int k = 0; k < n_keys && k < MAX_KEYS; k++) {
        bool known = false;
        for (int i = 0; i < n && !known; i++)
            known = !strcmp(keys[k], names[i]);
        if (!known && load_misplaced(l, root, SPACE_POLICY, keys[k]) < 0)
            return -1;
    }
    return load_check_keys(l, root, "key", names, n);
}

static int read_top(const struct loader *l, const struct conf_node *root)
{
    struct space_top t = {0};
    if (check_top_keys(l, root) < 0)
        return -1;
    if (!load_has(root, "machine") && !load_has(root, "machines"))
        return load_fail(l, root, NULL, "the space",
                         "missing required key 'machine' (or 'machines', for several)");
    for (int i = 0; i < TOP_ROWS; i++)
        if (read_scalar(l, root, &top_rows[i], &t) < 0)
            return -1;
    l->s->model = t.model;
    if (load_machines(l, root, &t) < 0)
        return -1;
    return load_requests(l, root, &t);
}

static int add_objective(const struct loader *l, const struct conf_node *root, const char *name)
{
    struct space *s = l->s;
    const char *names[METRIC_COUNT];
    int n = 0, m = metric_find(name);
    if (m < 0 || !metric_rows[m].objective) {
        for (int i = 0; i < METRIC_COUNT; i++)
            if (metric_rows[i].objective)
                names[n++] = metric_rows[i].name;
        return load_unknown(l, root, "objectives", name, "objective", names, n);
    }
    for (int i = 0; i < s->n_objectives; i++)
        if (s->objective[i] == (enum metric)m)
            return load_fail(l, root, "objectives", "objectives", "an objective is listed twice");
    if (s->n_gen < 2 && (m == METRIC_TPOT || m == METRIC_DECODE_RATE))
        return load_fail(l, root, s->trace ? "trace" : "gen", s->trace ? "trace" : "gen",
                         "the decode rate needs at least 2 generated tokens");
    if (s->n_objectives == SEARCH_MAX_OBJECTIVES)
        return load_fail(l, root, "objectives", "objectives", "more than 6 objectives");
    if (load_known(l, root, "objectives", (enum metric)m) < 0)
        return -1;
    s->objective[s->n_objectives++] = (enum metric)m;
    return 0;
}

static int read_objectives(const struct loader *l, const struct conf_node *root)
{
    static const char *const usual[] = {"ttft_ms", "tpot_ms", "energy_j"};
    const char *names[METRIC_COUNT];
    int n = load_strings(l, root, "objectives", "an objective", names, METRIC_COUNT);
    if (n < 0)
        return n;
    for (int i = 0; !n && i < 3; i++) {
        enum metric m = (enum metric)metric_find(usual[i]);
        if ((l->s->n_gen > 1 || m != METRIC_TPOT) && !load_unknown_to(l->s, m) &&
            add_objective(l, root, usual[i]) < 0)
            return -1;
    }
    for (int i = 0; i < n; i++)
        if (add_objective(l, root, names[i]) < 0)
            return -1;
    return 0;
}

// --- parameters

int load_add_param(const struct loader *l, const struct conf_node *n, const char *at,
                   struct space_param p)
{
    struct space *s = l->s;
    if (s->n_params == SEARCH_MAX_PARAMS)
        return load_fail(l, n, at, p.name, "the space has too many parameters (64)");
    conf_where(n, at, &p.file, &p.line);
    s->param[s->n_params++] = p;
    return 0;
}

static int read_soc(const struct loader *l, const struct conf_node *root)
{
    static const char *const keys[] = {"key", "values"};
    struct space *s = l->s;
    const char *file;
    int line, n = conf_count(root, "soc");
    conf_where(root, "soc", &file, &line);
    char text[MAX_TEXT];
    if (line && n < 1)
        return load_fail(l, root, "soc", "soc",
                         "expected a list of groups ( {key = ..; values = ..;} )");
    if (n > SPACE_MAX_SOC)
        return load_fail(l, root, "soc", "soc", "more than 16 keys");
    for (int i = 0; i < n; i++) {
        const struct conf_node *g = conf_element(root, "soc", i);
        struct space_param p = {.kind = SPACE_SOC};
        bool scalar;
        if (!g)
            return load_fail(l, root, "soc", "soc", "an element is not a group { }");
        if (load_check_keys(l, g, "key", keys, 2) < 0)
            return -1;
        if (!conf_text(g, "key", -1, text, sizeof text))
            return load_fail(l, g, NULL, "soc", "missing required key \"key\"");
        p.name = p.key = arena_strdup(&s->arena, text);
        if (!strcmp(text, "detail") && s->kind[0] != LEVEL_OWN)
            return load_fail(l, g, "key", p.key, "is what `levels` chooses");
        conf_where(g, "values", &file, &line);
        if (!line)
            return load_fail(l, g, NULL, p.key, "missing required key \"values\"");
        if (load_choices(l, g, "values", p.key, false, &p, &scalar) < 0)
            return -1;
        for (int j = 0; j < s->n_params; j++)
            if (!strcmp(s->param[j].key, p.key))
                return load_fail(l, g, "key", p.key, "is listed twice; give it an array of values");
        for (int j = 1; j < p.n; j++)
            for (int k = 0; k < j; k++)
                if (!strcmp(p.choice[j], p.choice[k]))
                    return load_fail(l, g, "values", p.key, "a value is listed twice");
        if (load_add_param(l, g, "values", p) < 0)
            return -1;
    }
    return 0;
}

// --- the whole

static void digest(struct space *s)
{
    uint64_t d = space_work_digest(DIGEST_INIT, s);
    for (int i = 0; i < s->n_levels; i++)
        d = digest_str(d, s->level[i]);
    for (int i = 0; i < s->n_constraints; i++) {
        const struct space_constraint *c = &s->constraint[i];
        d = digest_str(digest_u64(d, c->at_least), metric_rows[c->metric].name);
        d = digest_f64(d, c->limit);
    }
    for (int i = 0; i < s->n_objectives; i++)
        d = digest_str(d, metric_rows[s->objective[i]].name);
    for (int i = 0; i < s->n_params; i++) {
        d = digest_str(d, s->param[i].name);
        for (int c = 0; c < s->param[i].n; c++)
            d = digest_str(d, s->param[i].choice[c]);
    }
    for (int i = 0; i < s->n_policies; i++)
        d = digest_str(d, s->policy[i].fixed);
    for (int i = 0; i < s->n_syncs; i++)
        d = digest_str(d, s->sync[i].fixed);
    s->digest = d;
}

static int load(struct conf *c, struct space **out, struct err *e)
{
    struct err local;
    struct space *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    arena_init(&s->arena);
    s->conf = c;
    s->path = conf_path(c);
    const char *base = strrchr(s->path, '/');
    base = base ? base + 1 : s->path;
    size_t n = strlen(base);
    n -= n > 4 && !strcmp(base + n - 4, ".cfg") ? 4 : 0;
    s->name = arena_printf(&s->arena, "%.*s", (int)n, base);
    struct loader l = {s, e ? e : &local};
    const struct conf_node *root = conf_root(c);
    if (read_top(&l, root) < 0 || load_levels(&l, root) < 0 || read_objectives(&l, root) < 0 ||
        load_constraints(&l, root) < 0 || read_soc(&l, root) < 0 ||
        load_plugs(&l, root, SPACE_POLICY) < 0 || load_plugs(&l, root, SPACE_SYNC) < 0) {
        space_close(s);
        return l.e->code;
    }
    digest(s);
    *out = s;
    return 0;
}

int space_open(const char *path, struct space **out, struct err *e)
{
    struct conf *c;
    int rc = conf_open(path, &c, e);
    return rc < 0 ? rc : load(c, out, e);
}

int space_open_text(const char *name, const char *text, struct space **out, struct err *e)
{
    struct conf *c;
    int rc = conf_open_text(name, text, &c, e);
    return rc < 0 ? rc : load(c, out, e);
}
