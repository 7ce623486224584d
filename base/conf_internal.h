// SPDX-License-Identifier: GPL-3.0-or-later
// What the five files of the configuration reader share; nobody else includes this.
//
// conf_load.c   source text: @include, token checks, line map, comments -> one text for libconfig
// conf.c        the tree: open, look up, override
// conf_value.c  one value: from text to the row's type
// conf_read.c   rows: groups of values, options of the command line
// conf_print.c  rows: from values to text (help, dump, digest)
#ifndef BASE_CONF_INTERNAL_H
#define BASE_CONF_INTERNAL_H

#include <libconfig.h>
#include "base/conf.h"

// One line of the text that libconfig parses, and where it came from.
struct conf_line {
    const char *file, *text; // text: not terminated, ends at the newline
    int line;
};

struct conf {
    config_t lib;        // first: a setting's config pointer is a pointer to this
    struct arena arena;  // path, files, text, lines
    const char *path;    // as given to conf_open
    const char *options; // conf_read_text: the group's name, a prefix of every key; else NULL
    const char *text;    // all files, includes expanded
    struct conf_line *lines;
    int n_lines;
};

// A conf_node is a libconfig setting under an opaque name.
static inline const config_setting_t *conf_setting(const struct conf_node *n)
{
    return (const config_setting_t *)(const void *)n;
}
static inline const struct conf_node *conf_node_of(const config_setting_t *s)
{
    return (const struct conf_node *)(const void *)s;
}
static inline const struct conf *conf_of(const config_setting_t *s)
{
    return (const struct conf *)(const void *)s->config;
}

// --- conf_load.c
// Fills text, lines. Reads `path` when `text` is NULL.
int conf_load(struct conf *c, const char *path, const char *text, struct err *e);
// The comment behind the value on line `line` of the merged text ("" when there is none).
const char *conf_comment(const struct conf *c, unsigned line, char *buf, size_t size);

// --- conf.c
// How a scalar was written. ANY: on the command line or as a row's default, where a bare word may
// be any type.
enum conf_kind {
    CONF_KIND_ANY,
    CONF_KIND_BOOL,
    CONF_KIND_INT,
    CONF_KIND_REAL,
    CONF_KIND_STRING,
    CONF_KIND_LIST,
    CONF_KIND_GROUP,
};
enum conf_kind conf_kind(const config_setting_t *s);
// Text of a scalar, in buf or in the tree.
const char *conf_scalar(const config_setting_t *s, char *buf, size_t size);
bool conf_is_override(const config_setting_t *s);
void conf_place(const config_setting_t *s, const char **file, int *line);
// Dotted path of a setting, with [i] for elements.
const char *conf_key_path(const config_setting_t *s, char *buf, size_t size);
const config_setting_t *conf_member(const config_setting_t *group, const char *name);
// An empty configuration that conf_override fills.
struct conf *conf_create(const char *path);
// The bare text of a value on the command line: quotes removed. In the arena of c.
const char *conf_unquote(struct conf *c, const char *text, size_t n);

// --- conf_value.c
// The field of a row, in the type that the row says.
union conf_field {
    bool b;
    int64_t i;
    int choice;
    double r;
    const char *s;
    struct conf_int_list list;
    struct conf_string_list strings;
};

// Copies choice i of "a|b|c"; returns NULL past the last one.
const char *conf_choice(const char *choices, int i, char *buf, size_t size);
// "1 us to 5 ms", "at least 1", "" without limits.
const char *conf_limits(const struct conf_row *row, char *buf, size_t size);
// What a row wants, for messages: "a number", "time with its unit, in quotes (ps, ...)".
const char *conf_expected(const struct conf_row *row, char *buf, size_t size);
// Appends ", item", cutting what does not fit.
void conf_join(char *list, size_t size, const char *item);
// Strings stay where they are; a group has no field and is only checked.
int conf_read_setting(const struct conf_row *row, const config_setting_t *s, union conf_field *v,
                      struct err *e);
int conf_read_default(const struct conf_row *row, union conf_field *v, struct err *e);

#endif
