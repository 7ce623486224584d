// SPDX-License-Identifier: GPL-3.0-or-later
// The configuration tree: open, look up, override.
//
// The tree is libconfig's; a conf_node is one of its settings. An override becomes a setting too:
// its value is the bare text (a string, or a list of strings), and its hook marks it, so that the
// reader takes the text for whatever type the row wants and errors say "command line".
#include "base/conf_internal.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "base/num.h"

static const char COMMAND_LINE[] = "command line";
static char override_mark; // its address in a setting's hook marks an override

// --- open, close

struct conf *conf_create(const char *path)
{
    struct conf *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    arena_init(&c->arena);
    config_init(&c->lib);
    c->path = arena_strdup(&c->arena, path);
    return c;
}

void conf_close(struct conf *c)
{
    if (!c)
        return;
    config_destroy(&c->lib);
    arena_fini(&c->arena);
    free(c);
}

// libconfig's own complaint, with the source line it is about.
static int parse_failed(const struct conf *c, struct err *e)
{
    int line = config_error_line(&c->lib);
    if (line > c->n_lines)
        line = c->n_lines; // "unexpected end" is reported behind the last line
    if (line < 1)
        return err_at(e, ERR_CONFIG, c->path, 0, NULL, "%s", config_error_text(&c->lib));
    const struct conf_line *at = &c->lines[line - 1];
    const char *p = at->text + strspn(at->text, " \t");
    int n = (int)strcspn(p, "\r\n");
    return err_at(e, ERR_CONFIG, at->file, at->line, NULL, "%s near '%.*s'",
                  config_error_text(&c->lib), n < 60 ? n : 60, p);
}

static int open_any(const char *path, const char *text, struct conf **out, struct err *e)
{
    struct conf *c = conf_create(path);
    if (!c)
        return err_at(e, ERR_MEMORY, path, 0, NULL, "no memory for the configuration");
    int rc = conf_load(c, path, text, e);
    if (!rc && !config_read_string(&c->lib, c->text))
        rc = parse_failed(c, e);
    if (rc)
        conf_close(c);
    else
        *out = c;
    return rc;
}

int conf_open(const char *path, struct conf **out, struct err *e)
{
    return open_any(path, NULL, out, e);
}

int conf_open_text(const char *name, const char *text, struct conf **out, struct err *e)
{
    return open_any(name, text, out, e);
}

const char *conf_path(const struct conf *c)
{
    return c->path;
}

// --- look up

const struct conf_node *conf_root(const struct conf *c)
{
    return conf_node_of(config_root_setting(&c->lib));
}

const config_setting_t *conf_member(const config_setting_t *group, const char *name)
{
    if (!group || !config_setting_is_group(group))
        return NULL;
    return config_setting_get_member(group, name);
}

const struct conf_node *conf_child(const struct conf_node *n, const char *path)
{
    const config_setting_t *s = conf_setting(n);
    while (s && *path) {
        char name[80];
        size_t len = strcspn(path, ".");
        if (len >= sizeof name)
            return NULL;
        snprintf(name, sizeof name, "%.*s", (int)len, path);
        s = conf_member(s, name);
        path += len + (path[len] == '.');
    }
    return s && config_setting_is_group(s) ? conf_node_of(s) : NULL;
}

int conf_count(const struct conf_node *n, const char *list)
{
    const config_setting_t *s = conf_member(conf_setting(n), list);
    if (!s)
        return 0;
    if (config_setting_is_group(s))
        return 1; // one group without the parentheses
    return config_setting_is_list(s) ? config_setting_length(s) : 0;
}

const struct conf_node *conf_element(const struct conf_node *n, const char *list, int i)
{
    const config_setting_t *s = conf_member(conf_setting(n), list);
    if (s && config_setting_is_list(s))
        s = i < 0 ? NULL : config_setting_get_elem(s, (unsigned)i);
    else if (i != 0)
        s = NULL;
    return s && config_setting_is_group(s) ? conf_node_of(s) : NULL;
}

int conf_keys(const struct conf_node *n, const char **names, int max)
{
    const config_setting_t *s = conf_setting(n);
    int count = s && config_setting_is_group(s) ? config_setting_length(s) : 0;
    for (int i = 0; i < count && i < max; i++)
        names[i] = config_setting_name(config_setting_get_elem(s, (unsigned)i));
    return count;
}

int conf_length(const struct conf_node *n, const char *key)
{
    const config_setting_t *s = conf_member(conf_setting(n), key);
    return s && conf_kind(s) == CONF_KIND_LIST ? config_setting_length(s) : 0;
}

// --- values as text

bool conf_is_override(const config_setting_t *s)
{
    return config_setting_get_hook(s) == &override_mark;
}

enum conf_kind conf_kind(const config_setting_t *s)
{
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_GROUP:
        return CONF_KIND_GROUP;
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        return CONF_KIND_INT;
    case CONFIG_TYPE_FLOAT:
        return CONF_KIND_REAL;
    case CONFIG_TYPE_STRING:
        return conf_is_override(s) ? CONF_KIND_ANY : CONF_KIND_STRING;
    case CONFIG_TYPE_BOOL:
        return CONF_KIND_BOOL;
    default:
        return CONF_KIND_LIST;
    }
}

const char *conf_scalar(const config_setting_t *s, char *buf, size_t size)
{
    char number[32];
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_INT:
        snprintf(buf, size, "%d", config_setting_get_int(s));
        return buf;
    case CONFIG_TYPE_INT64:
        snprintf(buf, size, "%lld", config_setting_get_int64(s));
        return buf;
    case CONFIG_TYPE_FLOAT:
        snprintf(buf, size, "%s", num_print(config_setting_get_float(s), number));
        return buf;
    case CONFIG_TYPE_BOOL:
        return config_setting_get_bool(s) ? "true" : "false";
    case CONFIG_TYPE_STRING: {
        const char *text = config_setting_get_string(s);
        return text ? text : "";
    }
    default:
        return NULL;
    }
}

// Appends "text" to buf; false when it does not fit.
static bool append(char *buf, size_t size, size_t *at, const char *text)
{
    size_t n = strlen(text);
    if (n >= size - *at)
        return false;
    memcpy(buf + *at, text, n + 1);
    *at += n;
    return true;
}

// Scalars bare, lists as [a,b,c]; false for groups and for what does not fit.
static bool write_value(const config_setting_t *s, char *buf, size_t size, size_t *at)
{
    char number[40];
    if (conf_kind(s) == CONF_KIND_GROUP)
        return false;
    if (conf_kind(s) != CONF_KIND_LIST)
        return append(buf, size, at, conf_scalar(s, number, sizeof number));
    int n = config_setting_length(s);
    bool ok = append(buf, size, at, "[");
    for (int i = 0; ok && i < n; i++)
        ok = (i == 0 || append(buf, size, at, ",")) &&
             write_value(config_setting_get_elem(s, (unsigned)i), buf, size, at);
    return ok && append(buf, size, at, "]");
}

const char *conf_text(const struct conf_node *n, const char *key, int i, char *buf, size_t size)
{
    const config_setting_t *s = conf_member(conf_setting(n), key);
    if (s && i >= 0)
        s = conf_kind(s) == CONF_KIND_LIST ? config_setting_get_elem(s, (unsigned)i) : NULL;
    size_t at = 0;
    return s && size && write_value(s, buf, size, &at) ? buf : NULL;
}

// --- places

void conf_place(const config_setting_t *s, const char **file, int *line)
{
    const struct conf *c = conf_of(s);
    unsigned at = config_setting_source_line(s);
    *line = 0;
    *file = c->path;
    if (conf_is_override(s)) {
        *file = COMMAND_LINE;
    } else if (at > 0 && at <= (unsigned)c->n_lines && !config_setting_is_root(s)) {
        *file = c->lines[at - 1].file;
        *line = c->lines[at - 1].line;
    }
}

void conf_where(const struct conf_node *n, const char *key, const char **file, int *line)
{
    const config_setting_t *group = conf_setting(n);
    const config_setting_t *s = key ? conf_member(group, key) : group;
    *file = group ? conf_of(group)->path : "default";
    *line = 0;
    if (s)
        conf_place(s, file, line);
}

const char *conf_key_path(const config_setting_t *s, char *buf, size_t size)
{
    const config_setting_t *parent = config_setting_parent(s);
    if (!parent) {
        const char *prefix = conf_of(s)->options;
        snprintf(buf, size, "%s", prefix ? prefix : "");
        return buf;
    }
    conf_key_path(parent, buf, size);
    size_t at = strlen(buf);
    const char *name = config_setting_name(s);
    if (name)
        snprintf(buf + at, size - at, "%s%s", at ? "." : "", name);
    else
        snprintf(buf + at, size - at, "[%d]", config_setting_index(s));
    return buf;
}

// --- overrides

const char *conf_unquote(struct conf *c, const char *text, size_t n)
{
    while (n && isspace((unsigned char)text[0])) {
        text++;
        n--;
    }
    while (n && isspace((unsigned char)text[n - 1]))
        n--;
    char *out = arena_alloc(&c->arena, n + 1);
    if (n < 2 || text[0] != '"' || text[n - 1] != '"')
        return memcpy(out, text, n);
    size_t at = 0;
    for (size_t i = 1; i + 1 < n; i++) {
        if (text[i] == '\\' && i + 2 < n && (text[i + 1] == '"' || text[i + 1] == '\\'))
            i++;
        out[at++] = text[i];
    }
    return out;
}

// Length of the value at `text`, up to the next comma outside quotes.
static size_t element_span(const char *text, size_t n)
{
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (text[i] == ',' && !quoted)
            return i;
    }
    return n;
}

static void add_string(struct conf *c, config_setting_t *list, const char *text, size_t n)
{
    config_setting_t *s = config_setting_set_string_elem(list, -1, conf_unquote(c, text, n));
    if (s)
        config_setting_set_hook(s, &override_mark);
}

static void fill_list(struct conf *c, config_setting_t *list, const char *text, size_t n)
{
    if (strspn(text, " \t") >= n)
        return; // []
    for (size_t at = 0; at <= n;) {
        size_t span = element_span(text + at, n - at);
        add_string(c, list, text + at, span);
        at += span + 1;
    }
}

// The existing or new group `name` below `s`; "[2]" selects an element of a list. NULL: impossible.
static config_setting_t *descend(config_setting_t *s, const char *name)
{
    if (name[0] == '[') {
        char *end;
        unsigned long i = strtoul(name + 1, &end, 10);
        bool ok = isdigit((unsigned char)name[1]) && !strcmp(end, "]") && i < 1000000;
        s = ok && config_setting_is_list(s) ? config_setting_get_elem(s, (unsigned)i) : NULL;
        return s && config_setting_is_group(s) ? s : NULL;
    }
    config_setting_t *child = (config_setting_t *)conf_member(s, name);
    if (child)
        return config_setting_is_scalar(child) ? NULL : child;
    child = config_setting_is_group(s) ? config_setting_add(s, name, CONFIG_TYPE_GROUP) : NULL;
    if (child)
        config_setting_set_hook(child, &override_mark);
    return child;
}

// Splits off the first part of "a.b[2].c" into name; returns the rest ("" at the end), or NULL.
static const char *split_key(const char *key, char *name, size_t size)
{
    size_t n = key[0] == '[' ? strcspn(key, "]") + 1 : strcspn(key, ".[");
    if (n == 0 || n >= size || n > strlen(key))
        return NULL;
    snprintf(name, size, "%.*s", (int)n, key);
    if (key[n] == '.' && !key[n + 1])
        return NULL;
    return key + n + (key[n] == '.');
}

static int set_value(struct conf *c, config_setting_t *group, const char *name, const char *key,
                     const char *value, struct err *e)
{
    size_t n = strlen(value);
    bool list = n >= 2 && value[0] == '[' && value[n - 1] == ']';
    const config_setting_t *old = conf_member(group, name);
    if (old && config_setting_is_group(old))
        return err_at(e, ERR_CONFIG, COMMAND_LINE, 0, key, "is a group; set one of its keys");
    if (old)
        config_setting_remove(group, name);
    config_setting_t *s =
        config_setting_is_group(group)
            ? config_setting_add(group, name, list ? CONFIG_TYPE_LIST : CONFIG_TYPE_STRING)
            : NULL;
    if (!s)
        return err_at(e, ERR_CONFIG, COMMAND_LINE, 0, key, "'%s' cannot be a key here", name);
    config_setting_set_hook(s, &override_mark);
    if (list)
        fill_list(c, s, value + 1, n - 2);
    else
        config_setting_set_string(s, conf_unquote(c, value, n));
    return 0;
}

int conf_override(struct conf *c, const char *key, const char *value, struct err *e)
{
    config_setting_t *s = config_root_setting(&c->lib);
    const char *rest = key;
    char name[80];
    for (;;) {
        rest = split_key(rest, name, sizeof name);
        if (!rest)
            return err_at(e, ERR_CONFIG, COMMAND_LINE, 0, key,
                          "'%s' is not a dotted key such as dram.channels", key);
        if (!*rest && name[0] != '[')
            return set_value(c, s, name, key, value, e);
        s = descend(s, name);
        if (!s || !*rest)
            return err_at(e, ERR_CONFIG, COMMAND_LINE, 0, key, "'%s' is not a group here", name);
    }
}
