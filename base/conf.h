// SPDX-License-Identifier: GPL-3.0-or-later
// Configuration: libconfig files behind option rows.
//
// An option is a row: name, type, unit, default (or required), limits, doc, and where its value
// goes in the owner's struct. Parsing, printing, --help and the resolved-configuration dump all
// come from the same row. Reading is strict: an unknown key, a duplicate, a missing required key, a
// missing unit, a value out of range are errors with file, line and the nearest valid name.
//
// Invariant: after conf_read succeeded, every field that a row names has a value.
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/units.h"

enum conf_type {
    CONF_BOOL,        // bool
    CONF_INT,         // int64_t; with UNIT_SIZE written "8 MiB", with UNIT_TIME "400 us"
    CONF_REAL,        // double, in the row's unit
    CONF_STRING,      // const char *, in the arena
    CONF_ENUM,        // int: index into `choices` ("a|b|c")
    CONF_INT_LIST,    // struct conf_int_list
    CONF_STRING_LIST, // struct conf_string_list; a single string is a list of one
    CONF_GROUP,       // a nested group, read by its owner through conf_child; has no field. A list
                      // of groups (conf_count, conf_element) is allowed where choices is "list"
};

struct conf_int_list {
    int n;
    int64_t v[32];
};

struct conf_string_list {
    int n;
    const char *v[32]; // in the arena
};

struct conf_row {
    const char *name;
    enum conf_type type;
    enum unit unit;
    const char *fallback; // default, as it would be written; NULL: required (groups: optional)
    double min, max;      // in base units, inclusive; both 0: no limit; max < min: no maximum
    const char *choices;  // CONF_ENUM: "a|b|c"; CONF_GROUP: NULL or "list"
    const char *doc;      // one sentence
    size_t offset;        // offsetof(struct owner, field)
};

// A required row named like its field, on one line; files with many of them wrap it for their
// struct.
#define CONF_ROW(owner, field, kind, u, lo, hi, text)                                              \
    {                                                                                              \
        .name = #field, .type = kind, .unit = u, .min = lo, .max = hi, .doc = text,                \
        .offset = offsetof(owner, field)                                                           \
    }

struct conf;      // one resolved configuration: a file plus overrides
struct conf_node; // a group inside it

// Parses a libconfig file. @include resolves relative to the including file. Integers that
// libconfig would wrap silently are refused.
int conf_open(const char *path, struct conf **out, struct err *e);
// The same from memory; `name` stands in for the file in errors.
int conf_open_text(const char *name, const char *text, struct conf **out, struct err *e);
void conf_close(struct conf *c);
const char *conf_path(const struct conf *c);

const struct conf_node *conf_root(const struct conf *c);
// A child group, or NULL. `path` is dotted. The rows of the parent must list it as CONF_GROUP.
const struct conf_node *conf_child(const struct conf_node *n, const char *path);
// Elements of a list of groups `( {..}, {..} )`: count, then each. A single group without the
// parentheses counts as a list of one.
int conf_count(const struct conf_node *n, const char *list);
const struct conf_node *conf_element(const struct conf_node *n, const char *list, int i);
// Names of the keys of a group, for owners that interpret keys themselves (search spaces). Returns
// the count; fills at most `max`.
int conf_keys(const struct conf_node *n, const char **names, int max);
// The raw text of a scalar value, or of element i of an array/list (i = -1: the scalar itself), as
// it would be written but without quotes, into buf (conf_override takes it back); arrays as
// "[1,2,3]". NULL when absent, a group, or longer than the buffer.
const char *conf_text(const struct conf_node *n, const char *key, int i, char *buf, size_t size);
int conf_length(const struct conf_node *n, const char *key); // elements of an array; 0 for a scalar
// Where a key was written: file and line (0 for a default or an override). key NULL: the group.
void conf_where(const struct conf_node *n, const char *key, const char **file, int *line);

// Overrides "a.b.c" = "value" (as on the command line: quotes optional); reading sees it as if
// written in the file, with origin "command line". Unknown keys surface when the group is read.
// "list[2].key" reaches into a list of groups; a value "[1,2,3]" is a list.
int conf_override(struct conf *c, const char *key, const char *value, struct err *e);

// Reads one group by its rows into `out`. `n` may be NULL: then all rows take their defaults (a
// required one is an error naming `group`). Strings live in `a`.
int conf_read(const struct conf_node *n, const char *group, const struct conf_row *rows,
              size_t n_rows, void *out, struct arena *a, struct err *e);

// Sets options from "key=value,key=value" (the part after the colon of --policy NAME:...); missing
// keys take their defaults. Lists are written [1,2,3]. `text` may be NULL.
int conf_read_text(const char *text, const char *group, const struct conf_row *rows, size_t n_rows,
                   void *out, struct arena *a, struct err *e);

// --help text of rows: one line each with name, type, unit, default, limits, doc.
void conf_help(FILE *f, const struct conf_row *rows, size_t n_rows, int indent);
// One resolved line "name = value;  # doc [origin; source comment of that line]" per row.
void conf_dump(FILE *f, const struct conf_node *n, const struct conf_row *rows, size_t n_rows,
               const void *values, int indent);
// Digest of the resolved values (names and canonical values, independent of spelling and order).
uint64_t conf_digest(uint64_t d, const struct conf_row *rows, size_t n_rows, const void *values);
// Writes one resolved value as text that conf_read_text reads back.
const char *conf_value_text(const struct conf_row *row, const void *values, char *buf, size_t size);

#endif
