// SPDX-License-Identifier: GPL-3.0-or-later
// From values to text, by rows: help, the resolved dump, the digest. What is printed reads back:
// conf_dump writes a configuration file, conf_value_text an option of conf_read_text.
#include "base/conf_internal.h"

#include <inttypes.h>
#include <string.h>
#include "base/digest.h"
#include "base/num.h"

// A growing piece of text in a fixed buffer; what does not fit is cut.
struct text {
    char *buf;
    size_t size, at;
};

static void add(struct text *t, const char *s)
{
    size_t n = strlen(s), room = t->size - t->at;
    if (n >= room)
        n = room ? room - 1 : 0;
    memcpy(t->buf + t->at, s, n);
    t->at += n;
    if (t->size)
        t->buf[t->at] = 0;
}

// Quoted for libconfig (`file`) or for conf_read_text, which only knows \" and \\.
static void add_quoted(struct text *t, const char *s, bool file)
{
    char one[8];
    add(t, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            snprintf(one, sizeof one, "\\%c", c);
        else if (file && (c < 32 || c == 127))
            snprintf(one, sizeof one, "\\x%02x", c);
        else
            snprintf(one, sizeof one, "%c", c);
        add(t, one);
    }
    add(t, "\"");
}

static void add_int(struct text *t, const struct conf_row *row, int64_t v, bool file)
{
    char buf[96];
    if (row->unit == UNIT_NONE)
        snprintf(buf, sizeof buf, "%" PRId64 "%s", v,
                 file && (v > INT32_MAX || v < INT32_MIN) ? "L" : "");
    else
        unit_format(row->unit, (double)v, buf, sizeof buf);
    if (row->unit != UNIT_NONE && file)
        add_quoted(t, buf, file);
    else
        add(t, buf);
}

// A plain number in a file keeps a point, or a large one would be read as an integer.
static void add_real(struct text *t, const struct conf_row *row, double v, bool file)
{
    char buf[96];
    unit_format(row->unit, v, buf, sizeof buf - 4);
    if (row->unit == UNIT_NONE && file && !strpbrk(buf, ".e"))
        strcat(buf, ".0");
    if (row->unit != UNIT_NONE && file)
        add_quoted(t, buf, file);
    else
        add(t, buf);
}

static void add_list(struct text *t, const struct conf_row *row, const struct conf_int_list *l,
                     bool file)
{
    add(t, "[");
    for (int i = 0; i < l->n; i++) {
        add(t, i == 0 ? "" : file ? ", " : ",");
        add_int(t, row, l->v[i], file);
    }
    add(t, "]");
}

static void add_string(struct text *t, const char *s, bool file)
{
    s = s ? s : "";
    if (file || !*s || strpbrk(s, " \t\r\n\v\f,=[]\"\\"))
        add_quoted(t, s, file);
    else
        add(t, s);
}

static void add_strings(struct text *t, const struct conf_string_list *l, bool file)
{
    add(t, "[");
    for (int i = 0; i < l->n; i++) {
        add(t, i == 0 ? "" : file ? ", " : ",");
        add_string(t, l->v[i], file);
    }
    add(t, "]");
}

static void add_value(struct text *t, const struct conf_row *row, const void *values, bool file)
{
    const void *at = (const char *)values + row->offset;
    char choice[48] = "";
    switch (row->type) {
    case CONF_BOOL:
        add(t, *(const bool *)at ? "true" : "false");
        break;
    case CONF_INT:
        add_int(t, row, *(const int64_t *)at, file);
        break;
    case CONF_REAL:
        add_real(t, row, *(const double *)at, file);
        break;
    case CONF_STRING:
        add_string(t, *(const char *const *)at, file);
        break;
    case CONF_ENUM:
        conf_choice(row->choices, *(const int *)at, choice, sizeof choice);
        add_string(t, choice, file);
        break;
    case CONF_INT_LIST:
        add_list(t, row, at, file);
        break;
    case CONF_STRING_LIST:
        add_strings(t, at, file);
        break;
    case CONF_GROUP:
        break;
    }
}

const char *conf_value_text(const struct conf_row *row, const void *values, char *buf, size_t size)
{
    struct text t = {buf, size, 0};
    if (size)
        buf[0] = 0;
    add_value(&t, row, values, false);
    return buf;
}

// --- dump

static void print_origin(FILE *f, const config_setting_t *s)
{
    const char *file;
    char comment[400];
    int line;
    if (!s) {
        fputs("default", f);
        return;
    }
    conf_place(s, &file, &line);
    fputs(file, f);
    if (line)
        fprintf(f, ":%d", line);
    if (!conf_is_override(s) &&
        *conf_comment(conf_of(s), config_setting_source_line(s), comment, sizeof comment))
        fprintf(f, "; %s", comment);
}

void conf_dump(FILE *f, const struct conf_node *n, const struct conf_row *rows, size_t n_rows,
               const void *values, int indent)
{
    char buf[4096];
    for (size_t i = 0; i < n_rows; i++) {
        const struct conf_row *row = &rows[i];
        struct text t = {buf, sizeof buf, 0};
        if (row->type == CONF_GROUP)
            continue; // its owner prints it
        buf[0] = 0;
        add_value(&t, row, values, true);
        fprintf(f, "%*s%s = %s;  # %s [", indent, "", row->name, buf, row->doc ? row->doc : "");
        print_origin(f, conf_member(conf_setting(n), row->name));
        fputs("]\n", f);
    }
}

// --- help

static void type_text(const struct conf_row *row, char *buf, size_t size)
{
    static const char *const names[] = {
        [CONF_BOOL] = "true|false",     [CONF_INT] = "integer",       [CONF_REAL] = "number",
        [CONF_STRING] = "string",       [CONF_INT_LIST] = "integers", [CONF_GROUP] = "group",
        [CONF_STRING_LIST] = "strings",
    };
    bool list = row->type == CONF_INT_LIST;
    if (row->type == CONF_ENUM)
        snprintf(buf, size, "%s", row->choices);
    else if (row->type == CONF_GROUP && row->choices)
        snprintf(buf, size, "list of groups");
    else if (row->unit == UNIT_NONE)
        snprintf(buf, size, "%s", names[row->type]);
    else
        snprintf(buf, size, "%s%s (%s)", list ? "list of " : "", unit_name(row->unit),
                 unit_spellings(row->unit));
}

void conf_help(FILE *f, const struct conf_row *rows, size_t n_rows, int indent)
{
    int width = 0;
    for (size_t i = 0; i < n_rows; i++)
        if ((int)strlen(rows[i].name) > width)
            width = (int)strlen(rows[i].name);
    for (size_t i = 0; i < n_rows; i++) {
        const struct conf_row *row = &rows[i];
        char type[200], limits[140];
        type_text(row, type, sizeof type);
        conf_limits(row, limits, sizeof limits);
        fprintf(f, "%*s%-*s  %s", indent, "", width, row->name, type);
        if (row->fallback)
            fprintf(f, ", default %s", *row->fallback ? row->fallback : "empty");
        else
            fputs(row->type == CONF_GROUP ? ", optional" : ", required", f);
        fprintf(f, "%s%s: %s\n", *limits ? ", " : "", limits, row->doc ? row->doc : "");
    }
}

// --- digest

static uint64_t digest_value(uint64_t d, const struct conf_row *row, const void *values)
{
    const void *at = (const char *)values + row->offset;
    const struct conf_int_list *list = at;
    const struct conf_string_list *strings = at;
    char choice[48] = "";
    const char *s;
    switch (row->type) {
    case CONF_BOOL:
        return digest_u64(d, *(const bool *)at);
    case CONF_INT:
        return digest_u64(d, (uint64_t) * (const int64_t *)at);
    case CONF_REAL:
        return digest_f64(d, *(const double *)at);
    case CONF_STRING:
        s = *(const char *const *)at;
        return digest_str(d, s ? s : "");
    case CONF_ENUM:
        conf_choice(row->choices, *(const int *)at, choice, sizeof choice);
        return digest_str(d, choice);
    case CONF_INT_LIST:
        d = digest_u64(d, (uint64_t)list->n);
        for (int i = 0; i < list->n; i++)
            d = digest_u64(d, (uint64_t)list->v[i]);
        return d;
    case CONF_STRING_LIST:
        d = digest_u64(d, (uint64_t)strings->n);
        for (int i = 0; i < strings->n; i++)
            d = digest_str(d, strings->v[i]);
        return d;
    default:
        return d;
    }
}

// The rows' own digests are added up, so that moving a row in its table changes nothing.
uint64_t conf_digest(uint64_t d, const struct conf_row *rows, size_t n_rows, const void *values)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n_rows; i++)
        if (rows[i].type != CONF_GROUP)
            sum += digest_value(digest_str(DIGEST_INIT, rows[i].name), &rows[i], values);
    return digest_u64(d, sum);
}
