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

struct top {
    const char *machine, *model;
    int64_t prompt, gen;
};

static const struct conf_row top_rows[] = {
    {.name = "machine",
     .type = CONF_STRING,
     .doc = "where points are evaluated: soc:NAME, or host",
     .offset = offsetof(struct top, machine)},
    {.name = "model",
     .type = CONF_STRING,
     .doc = "model by name or path",
     .offset = offsetof(struct top, model)},
    {.name = "prompt",
     .type = CONF_INT,
     .fallback = "256",
     .min = 1,
     .max = 1000000,
     .doc = "prompt tokens",
     .offset = offsetof(struct top, prompt)},
    {.name = "gen",
     .type = CONF_INT,
     .fallback = "32",
     .min = 1,
     .max = 1000000,
     .doc = "tokens to generate",
     .offset = offsetof(struct top, gen)},
};
enum { TOP_ROWS = sizeof top_rows / sizeof top_rows[0] };

static const char *const top_keys[] = {"machine",    "model",    "prompt", "gen",
                                       "objectives", "policies", "syncs",  "soc"};

// One scalar by its row.
static int read_scalar(const struct loader *l, const struct conf_node *root,
                       const struct conf_row *row, struct top *out)
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

static int read_top(const struct loader *l, const struct conf_node *root)
{
    struct top t = {0};
    struct space *s = l->s;
    if (load_check_keys(l, root, "key", top_keys, sizeof top_keys / sizeof top_keys[0]) < 0)
        return -1;
    for (int i = 0; i < TOP_ROWS; i++)
        if (read_scalar(l, root, &top_rows[i], &t) < 0)
            return -1;
    s->machine = t.machine;
    s->model = t.model;
    s->n_prompt = (int)t.prompt;
    s->n_gen = (int)t.gen;
    s->n_machines = s->n_requests = s->n_levels = 1;
    s->machines[0] = s->machine;
    s->request[0] = (struct space_request){s->n_prompt, s->n_gen, 1};
    s->level[0] = "";
    if (strcmp(s->machine, "host") && strncmp(s->machine, "soc:", 4))
        return load_fail(l, root, "machine", "machine", "expected \"host\" or \"soc:NAME\"");
    return 0;
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
        return load_fail(l, root, "gen", "gen",
                         "the decode rate needs at least 2 generated tokens");
    if (s->n_objectives == SEARCH_MAX_OBJECTIVES)
        return load_fail(l, root, "objectives", "objectives", "more than 4 objectives");
    s->objective[s->n_objectives++] = (enum metric)m;
    return 0;
}

static int read_objectives(const struct loader *l, const struct conf_node *root)
{
    static const char *const usual[] = {"ttft_ms", "tpot_ms", "energy_j"};
    char text[MAX_TEXT];
    int n = conf_length(root, "objectives");
    if (!conf_text(root, "objectives", -1, text, sizeof text)) {
        for (int i = 0; i < 3; i++)
            if ((i != 1 || l->s->n_gen > 1) && add_objective(l, root, usual[i]) < 0)
                return -1;
        return 0;
    }
    if (n == 0 && text[0] == '[')
        return load_fail(l, root, "objectives", "objectives",
                         "a space needs at least one objective");
    if (n == 0)
        return add_objective(l, root, text);
    for (int i = 0; i < n; i++) {
        conf_text(root, "objectives", i, text, sizeof text);
        if (add_objective(l, root, text) < 0)
            return -1;
    }
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

// The choices of a key: its elements when it is an array, else the one value.
int load_choices(const struct loader *l, const struct conf_node *n, const char *key,
                 const char *path, bool list_value, struct space_param *p, bool *scalar)
{
    struct arena *a = &l->s->arena;
    char text[MAX_TEXT];
    int length = conf_length(n, key);
    const char *whole = conf_text(n, key, -1, text, sizeof text);
    if (!whole)
        return load_fail(l, n, key, path, "expected a value or an array of values, found a group");
    bool array = whole[0] == '[';
    if (array && list_value) { // of lists, or the list itself?
        char first[MAX_TEXT];
        array = length > 0 && conf_text(n, key, 0, first, sizeof first) && first[0] == '[';
    }
    if (array && !length)
        return load_fail(l, n, key, path, "an empty array leaves nothing to choose");
    p->n = array ? length : 1;
    p->choice = ARENA_NEWS(a, (size_t)p->n, const char *);
    for (int i = 0; i < p->n; i++) {
        if (!conf_text(n, key, array ? i : -1, text, sizeof text))
            return load_fail(l, n, key, path, "expected a value, found a group or a long text");
        bool quote = text[0] != '[' && strpbrk(text, ",\"");
        p->choice[i] = arena_printf(a, quote ? "\"%s\"" : "%s", text);
    }
    *scalar = !array;
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
    uint64_t d = digest_str(digest_str(DIGEST_INIT, s->machine), s->model);
    d = digest_u64(digest_u64(d, (uint64_t)s->n_prompt), (uint64_t)s->n_gen);
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
    if (read_top(&l, root) < 0 || read_objectives(&l, root) < 0 || read_soc(&l, root) < 0 ||
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
