// SPDX-License-Identifier: GPL-3.0-or-later
// One value, from text to the type that its row says.
//
// Every value, wherever it comes from (file, command line, default), becomes a pair of bare text
// and the kind it was written as, and takes one path from there: parse by the row, check the
// limits. A default is thus held to the limits of its own row. Errors carry no place; the caller
// knows it.
#include "base/conf_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// --- choices and limits

const char *conf_choice(const char *choices, int i, char *buf, size_t size)
{
    const char *p = choices;
    for (; i > 0; i--) {
        p = strchr(p, '|');
        if (!p)
            return NULL;
        p++;
    }
    snprintf(buf, size, "%.*s", (int)strcspn(p, "|"), p);
    return buf;
}

// A lower limit alone may leave max at 0; huge values mean "none", so that INFINITY and DBL_MAX do.
static bool has_max(const struct conf_row *row)
{
    return row->max >= row->min && row->max < 1e300 && (row->min != 0 || row->max != 0);
}

static bool has_min(const struct conf_row *row)
{
    return row->min > -1e300 && (row->min != 0 || row->max != 0);
}

static bool in_limits(const struct conf_row *row, double v)
{
    return (!has_min(row) || v >= row->min) && (!has_max(row) || v <= row->max);
}

const char *conf_limits(const struct conf_row *row, char *buf, size_t size)
{
    char low[64], high[64];
    unit_format(row->unit, row->min, low, sizeof low);
    unit_format(row->unit, row->max, high, sizeof high);
    buf[0] = 0;
    if (has_min(row) && has_max(row))
        snprintf(buf, size, "%s to %s", low, high);
    else if (has_min(row))
        snprintf(buf, size, "at least %s", low);
    else if (has_max(row))
        snprintf(buf, size, "at most %s", high);
    return buf;
}

void conf_join(char *list, size_t size, const char *item)
{
    if (*list)
        strncat(list, ", ", size - strlen(list) - 1);
    strncat(list, item, size - strlen(list) - 1);
}

// --- one value

const char *conf_expected(const struct conf_row *row, char *buf, size_t size)
{
    static const char *const plain[] = {
        [CONF_BOOL] = "true or false", [CONF_INT] = "an integer",
        [CONF_REAL] = "a number",      [CONF_STRING] = "a string in quotes",
        [CONF_ENUM] = "one of",        [CONF_INT_LIST] = "a list such as [1, 2, 3]",
        [CONF_GROUP] = "a group { }",  [CONF_STRING_LIST] = "a list such as [\"a\", \"b\"]",
    };
    bool list = row->type == CONF_INT_LIST;
    if (row->type == CONF_GROUP && row->choices)
        snprintf(buf, size, "a list of groups ( {}, {} )");
    else if (row->type == CONF_ENUM)
        snprintf(buf, size, "one of \"%s\"", row->choices);
    else if (row->unit == UNIT_NONE || row->type == CONF_BOOL || row->type == CONF_STRING)
        snprintf(buf, size, "%s", plain[row->type]);
    else
        snprintf(buf, size, "%s%s with its unit, in quotes (%s)", list ? "a list of " : "",
                 unit_name(row->unit), unit_spellings(row->unit));
    return buf;
}

static int wrong_type(const struct conf_row *row, enum conf_kind kind, const char *text,
                      struct err *e)
{
    char want[160];
    conf_expected(row, want, sizeof want);
    switch (kind) {
    case CONF_KIND_GROUP:
        return err_set(e, ERR_CONFIG, "expected %s, found a group", want);
    case CONF_KIND_LIST:
        return err_set(e, ERR_CONFIG, "expected %s, found a list", want);
    case CONF_KIND_STRING:
        return err_set(e, ERR_CONFIG, "expected %s, found the string \"%.60s\"", want, text);
    default:
        return err_set(e, ERR_CONFIG, "expected %s, found %.60s", want, text);
    }
}

static int out_of_range(const struct conf_row *row, const char *text, struct err *e)
{
    char limits[140];
    return err_set(e, ERR_CONFIG, "%.60s is out of range; expected %s", text,
                   conf_limits(row, limits, sizeof limits));
}

// A plain integer; exact over all of int64_t, unlike the way through a double. An L is tolerated,
// because the configuration file demands it for large numbers.
static int parse_plain_int(const struct conf_row *row, const char *text, int64_t *out,
                           struct err *e)
{
    char *end;
    size_t sign = text[0] == '-' || text[0] == '+';
    size_t digits = strspn(text + sign, "0123456789"), rest = strspn(text + sign + digits, "L");
    if (!digits || rest > 2 || text[sign + digits + rest])
        return wrong_type(row, CONF_KIND_ANY, text, e);
    errno = 0;
    *out = strtoll(text, &end, 10);
    if (errno == ERANGE)
        return err_set(e, ERR_CONFIG, "%.60s does not fit into 64 bits", text);
    return 0;
}

static int parse_int(const struct conf_row *row, const char *text, int64_t *out, struct err *e)
{
    double v = 0;
    int rc = 0;
    if (row->unit == UNIT_NONE) {
        rc = parse_plain_int(row, text, out, e);
    } else {
        rc = unit_parse(row->unit, text, &v, e);
        if (!rc && (v != floor(v) || fabs(v) >= 0x1p63))
            rc = err_set(e, ERR_CONFIG, "%.60s is not a whole number of %s", text,
                         row->unit == UNIT_TIME   ? "picoseconds"
                         : row->unit == UNIT_SIZE ? "bytes"
                                                  : "base units");
        if (!rc)
            *out = (int64_t)v;
    }
    if (!rc && !in_limits(row, (double)*out))
        rc = out_of_range(row, text, e);
    return rc;
}

static int parse_choice(const struct conf_row *row, const char *text, int *out, struct err *e)
{
    enum { MAX = 64 };
    char name[MAX][48], all[200] = "";
    const char *names[MAX];
    int n = 0;
    for (; n < MAX && conf_choice(row->choices, n, name[n], sizeof name[n]); n++) {
        names[n] = name[n];
        if (!strcmp(text, name[n])) {
            *out = n;
            return 0;
        }
        conf_join(all, sizeof all, name[n]);
    }
    const char *near = err_nearest(text, names, (size_t)n);
    return err_set(e, ERR_CONFIG, "'%.60s' is not one of %s%s%s%s", text, all,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

// Whether a scalar that was written as `kind` may become what the row wants.
static bool kind_fits(const struct conf_row *row, enum conf_kind kind)
{
    if (kind == CONF_KIND_ANY)
        return true;
    switch (row->type) {
    case CONF_BOOL:
        return kind == CONF_KIND_BOOL;
    case CONF_INT:
    case CONF_INT_LIST:
        return kind == (row->unit == UNIT_NONE ? CONF_KIND_INT : CONF_KIND_STRING);
    case CONF_REAL:
        if (row->unit == UNIT_NONE)
            return kind == CONF_KIND_INT || kind == CONF_KIND_REAL;
        return kind == CONF_KIND_STRING;
    default:
        return kind == CONF_KIND_STRING;
    }
}

static int parse_scalar(const struct conf_row *row, enum conf_kind kind, const char *text,
                        union conf_field *out, struct err *e)
{
    bool number = kind == CONF_KIND_INT || kind == CONF_KIND_REAL;
    int rc = 0;
    if (number && row->unit != UNIT_NONE && (row->type == CONF_INT || row->type == CONF_REAL)) {
        char want[160];
        return err_set(e, ERR_CONFIG, "%.40s has no unit; expected %s", text,
                       conf_expected(row, want, sizeof want));
    }
    if (!kind_fits(row, kind))
        return wrong_type(row, kind, text, e);
    switch (row->type) {
    case CONF_BOOL:
        out->b = !strcasecmp(text, "true");
        return out->b || !strcasecmp(text, "false") ? 0 : wrong_type(row, kind, text, e);
    case CONF_INT:
        return parse_int(row, text, &out->i, e);
    case CONF_REAL:
        rc = unit_parse(row->unit, text, &out->r, e);
        return rc || in_limits(row, out->r) ? rc : out_of_range(row, text, e);
    case CONF_STRING:
        out->s = text;
        return 0;
    case CONF_STRING_LIST:
        out->strings = (struct conf_string_list){.n = 1, .v = {text}};
        return 0;
    case CONF_ENUM:
        return parse_choice(row, text, &out->choice, e);
    default:
        return wrong_type(row, kind, text, e);
    }
}

// --- lists

static int list_too_long(struct err *e)
{
    return err_set(e, ERR_CONFIG, "more than %zu elements",
                   sizeof((struct conf_int_list *)0)->v / sizeof(int64_t));
}

static bool list_is_full(const struct conf_int_list *l)
{
    return l->n == (int)(sizeof l->v / sizeof l->v[0]);
}

static int read_list(const struct conf_row *row, const config_setting_t *s,
                     struct conf_int_list *out, struct err *e)
{
    char buf[40];
    int n = config_setting_length(s);
    *out = (struct conf_int_list){0};
    for (int i = 0; i < n; i++) {
        const config_setting_t *element = config_setting_get_elem(s, (unsigned)i);
        enum conf_kind kind = conf_kind(element);
        const char *text = conf_scalar(element, buf, sizeof buf);
        if (list_is_full(out))
            return list_too_long(e);
        if (!text || !kind_fits(row, kind))
            return wrong_type(row, kind, text, e);
        int rc = parse_int(row, text, &out->v[out->n++], e);
        if (rc)
            return rc;
    }
    return 0;
}

static int read_strings(const struct conf_row *row, const config_setting_t *s,
                        struct conf_string_list *out, struct err *e)
{
    *out = (struct conf_string_list){0};
    for (int i = 0; i < config_setting_length(s); i++) {
        const config_setting_t *element = config_setting_get_elem(s, (unsigned)i);
        if (out->n == (int)(sizeof out->v / sizeof out->v[0]))
            return list_too_long(e);
        enum conf_kind kind = conf_kind(element);
        if (!config_setting_get_string(element) || !kind_fits(row, kind))
            return wrong_type(row, kind, conf_scalar(element, (char[40]){0}, 40), e);
        out->v[out->n++] = config_setting_get_string(element);
    }
    return 0;
}

// "[1,2,3]", the default of a row.
static int parse_list(const struct conf_row *row, const char *text, struct conf_int_list *out,
                      struct err *e)
{
    char element[64];
    const char *p = text + 1, *end = text + strlen(text);
    *out = (struct conf_int_list){0};
    if (*text != '[' || end[-1] != ']')
        return wrong_type(row, CONF_KIND_ANY, text, e);
    end--;
    while (p < end) {
        p += strspn(p, " ");
        size_t n = strcspn(p, ",]"), bare = n;
        while (bare && p[bare - 1] == ' ')
            bare--;
        if (p == end)
            return 0;
        if (list_is_full(out))
            return list_too_long(e);
        snprintf(element, sizeof element, "%.*s", (int)(bare < 63 ? bare : 63), p);
        int rc = parse_int(row, element, &out->v[out->n++], e);
        if (rc)
            return rc;
        p += n + 1;
    }
    return 0;
}

// --- one row

static int check_group(const struct conf_row *row, const config_setting_t *s, struct err *e)
{
    bool list_allowed = row->choices && !strcmp(row->choices, "list");
    if (config_setting_is_group(s))
        return 0;
    if (!config_setting_is_list(s) || !list_allowed)
        return wrong_type(row, conf_kind(s), conf_scalar(s, (char[40]){0}, 40), e);
    for (int i = 0; i < config_setting_length(s); i++)
        if (!config_setting_is_group(config_setting_get_elem(s, (unsigned)i)))
            return err_set(e, ERR_CONFIG, "element %d of the list is not a group { }", i);
    return 0;
}

int conf_read_setting(const struct conf_row *row, const config_setting_t *s, union conf_field *v,
                      struct err *e)
{
    char buf[40];
    enum conf_kind kind = conf_kind(s);
    if (row->type == CONF_GROUP)
        return check_group(row, s, e);
    if (row->type == CONF_INT_LIST && kind == CONF_KIND_LIST)
        return read_list(row, s, &v->list, e);
    if (row->type == CONF_STRING_LIST && kind == CONF_KIND_LIST)
        return read_strings(row, s, &v->strings, e);
    const char *text = conf_scalar(s, buf, sizeof buf);
    if (!text)
        return wrong_type(row, kind, NULL, e);
    return parse_scalar(row, kind, text, v, e);
}

int conf_read_default(const struct conf_row *row, union conf_field *v, struct err *e)
{
    if (row->type == CONF_INT_LIST)
        return parse_list(row, row->fallback, &v->list, e);
    if (row->type == CONF_STRING_LIST && !strcmp(row->fallback, "[]")) {
        v->strings = (struct conf_string_list){0};
        return 0;
    }
    return parse_scalar(row, CONF_KIND_ANY, row->fallback, v, e);
}
