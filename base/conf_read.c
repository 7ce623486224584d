// SPDX-License-Identifier: GPL-3.0-or-later
// Groups of values, by rows: unknown keys, missing keys, and where an error points.
//
// Invariant: a group is read twice, first to check, then to store, so that a failed read leaves the
// owner's struct untouched.
#include "base/conf_internal.h"

#include <assert.h>
#include <string.h>

static void store(const struct conf_row *row, const union conf_field *v, void *out, struct arena *a)
{
    void *to = (char *)out + row->offset;
    switch (row->type) {
    case CONF_BOOL:
        *(bool *)to = v->b;
        break;
    case CONF_INT:
        *(int64_t *)to = v->i;
        break;
    case CONF_REAL:
        *(double *)to = v->r;
        break;
    case CONF_STRING:
        *(const char **)to = arena_strdup(a, v->s);
        break;
    case CONF_ENUM:
        *(int *)to = v->choice;
        break;
    case CONF_INT_LIST:
        *(struct conf_int_list *)to = v->list;
        break;
    case CONF_STRING_LIST: {
        struct conf_string_list *list = to;
        *list = v->strings;
        for (int i = 0; i < list->n; i++)
            list->v[i] = arena_strdup(a, list->v[i]);
        break;
    }
    case CONF_GROUP:
        break;
    }
}

// --- a group

struct group {
    const config_setting_t *s; // NULL: everything takes its default
    const char *name;
    const struct conf_row *rows;
    size_t n_rows;
    struct err *e;
};

// Gives the error `why` its place: the setting at fault, or the group when it has none.
static int point(const struct group *g, const config_setting_t *at, const char *key,
                 const struct err *why)
{
    char path[80] = "";
    const char *file = NULL;
    int line = 0;
    if (at)
        conf_key_path(at, path, sizeof path);
    else if (g->s)
        conf_key_path(g->s, path, sizeof path);
    else
        snprintf(path, sizeof path, "%s", g->name ? g->name : "");
    if (!at) {
        size_t n = strlen(path);
        snprintf(path + n, sizeof path - n, "%s%s", n ? "." : "", key);
    }
    if (at || g->s)
        conf_place(at ? at : g->s, &file, &line);
    return err_at(g->e, why->code, file, line, path, "%s", why->msg);
}

static int unknown_key(const struct group *g, const config_setting_t *s)
{
    const char *names[128], *name = config_setting_name(s);
    char all[200] = "";
    struct err why;
    size_t n = 0;
    for (; n < g->n_rows && n < 128; n++) {
        names[n] = g->rows[n].name;
        conf_join(all, sizeof all, names[n]);
    }
    const char *near = err_nearest(name, names, n), *group = g->name ? g->name : "";
    if (near)
        err_set(&why, ERR_CONFIG, "unknown key '%.60s'%s%s; did you mean '%s'?", name,
                *group ? " in " : "", group, near);
    else
        err_set(&why, ERR_CONFIG, "unknown key '%.60s'%s%s; expected one of: %s", name,
                *group ? " in " : "", group, all);
    return point(g, s, name, &why);
}

static int check_keys(const struct group *g)
{
    int n = g->s ? config_setting_length(g->s) : 0;
    for (int i = 0; i < n; i++) {
        const config_setting_t *s = config_setting_get_elem(g->s, (unsigned)i);
        bool known = false;
        for (size_t r = 0; r < g->n_rows && !known; r++)
            known = !strcmp(g->rows[r].name, config_setting_name(s));
        if (!known)
            return unknown_key(g, s);
    }
    return 0;
}

static int read_row(const struct group *g, const struct conf_row *row, union conf_field *v)
{
    const config_setting_t *s = conf_member(g->s, row->name);
    struct err why;
    if (s)
        return conf_read_setting(row, s, v, &why) ? point(g, s, row->name, &why) : 0;
    if (row->type == CONF_GROUP)
        return 0;
    if (row->fallback) {
        struct err wrong;
        if (!conf_read_default(row, v, &wrong))
            return 0;
        err_set(&why, ERR_CONFIG, "the default of this row is wrong: %s", wrong.msg);
        return point(g, NULL, row->name, &why);
    }
    char want[160];
    err_set(&why, ERR_CONFIG, "missing required key '%s'%s%s; expected %s", row->name,
            g->name && *g->name ? " in " : "", g->name ? g->name : "",
            conf_expected(row, want, sizeof want));
    return point(g, NULL, row->name, &why);
}

int conf_read(const struct conf_node *n, const char *group, const struct conf_row *rows,
              size_t n_rows, void *out, struct arena *a, struct err *e)
{
    struct group g = {conf_setting(n), group, rows, n_rows, e};
    union conf_field v;
    assert(!g.s || config_setting_is_group(g.s));
    int rc = check_keys(&g);
    for (size_t i = 0; i < n_rows && !rc; i++)
        rc = read_row(&g, &rows[i], &v);
    if (rc)
        return rc;
    for (size_t i = 0; i < n_rows; i++) {
        rc = read_row(&g, &rows[i], &v);
        assert(!rc);
        store(&rows[i], &v, out, a);
    }
    return 0;
}

// --- "key=value,key=value"

// Length of one option's value: up to a comma outside quotes and brackets.
static size_t value_span(const char *p)
{
    bool quoted = false;
    int depth = 0;
    size_t i = 0;
    for (; p[i]; i++) {
        if (quoted && p[i] == '\\' && p[i + 1])
            i++;
        else if (p[i] == '"')
            quoted = !quoted;
        else if (!quoted && p[i] == '[')
            depth++;
        else if (!quoted && p[i] == ']')
            depth--;
        else if (!quoted && depth <= 0 && p[i] == ',')
            break;
    }
    return i;
}

static int set_option(struct conf *c, const char *p, size_t n, struct err *e)
{
    size_t name = strcspn(p, "=,");
    char *key = arena_printf(&c->arena, "%.*s", (int)(name < n ? name : n), p);
    if (name >= n || p[name] != '=')
        return err_at(e, ERR_CONFIG, c->path, 0, c->options, "'%.60s': expected key=value", key);
    if (strcspn(key, ".[") != strlen(key))
        return err_at(e, ERR_CONFIG, c->path, 0, c->options, "'%.60s' is not a key", key);
    if (conf_member(config_root_setting(&c->lib), key))
        return err_at(e, ERR_CONFIG, c->path, 0, key, "is given twice");
    char *value = arena_printf(&c->arena, "%.*s", (int)(n - name - 1), p + name + 1);
    return conf_override(c, key, value, e);
}

int conf_read_text(const char *text, const char *group, const struct conf_row *rows, size_t n_rows,
                   void *out, struct arena *a, struct err *e)
{
    struct conf *c = conf_create("command line");
    if (!c)
        return err_set(e, ERR_MEMORY, "no memory for the options");
    c->options = group ? group : "";
    int rc = 0;
    const char *p = text ? text : "";
    while (*p && !rc) {
        size_t n = value_span(p);
        rc = set_option(c, p, n, e);
        p += n;
        if (!rc && *p == ',' && !*++p)
            rc = err_at(e, ERR_CONFIG, c->path, 0, c->options, "a comma ends the options");
    }
    if (!rc)
        rc = conf_read(conf_root(c), group, rows, n_rows, out, a, e);
    conf_close(c);
    return rc;
}
