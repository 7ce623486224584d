// SPDX-License-Identifier: GPL-3.0-or-later
// The table of observations. The rule that makes a calibration worth something is kept here: rows
// that a model is to be judged by must not set its parameters. So the split of a row is read before
// anything else of it, and the value of a row that is not `given` is never turned into a number,
// not even to be thrown away.
#include "explore/fit_rows.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/num.h"
#include "base/units.h"
#include "explore/fit.h"

enum { MAX_COLUMNS = 64 };

enum column { ID, UNIT, VALUE, SPLIT, NEEDED, SOC = NEEDED, TOLERANCE, COLUMNS };
static const char *const names[COLUMNS] = {
    [ID] = "id",       [UNIT] = "unit", [VALUE] = "value",
    [SPLIT] = "split", [SOC] = "soc",   [TOLERANCE] = "tolerance",
};

struct reader {
    const char *path;
    FILE *f;
    char *text; // one line
    size_t size;
    int line;
    int at[COLUMNS]; // -1: absent
    int n_columns;
    struct err *e;
};

static int fail(const struct reader *r, const char *key, const char *what, const char *found)
{
    return err_at(r->e, ERR_FORMAT, r->path, r->line, key, "%s%s%.60s%s", what,
                  found ? ", found \"" : "", found ? found : "", found ? "\"" : "");
}

// One record, split in place: the number of fields, 0 at the end of the file, negative on error.
static int record(struct reader *r, char **field)
{
    ssize_t n = getline(&r->text, &r->size, r->f);
    int count = 0;
    if (n < 0)
        return ferror(r->f) ? err_at(r->e, ERR_IO, r->path, 0, NULL, "%s", strerror(errno)) : 0;
    r->line++;
    if (strlen(r->text) != (size_t)n)
        return fail(r, NULL, "contains a zero byte: not a text file", NULL);
    for (char *p = r->text;; p++) {
        char *to = p;
        if (count == MAX_COLUMNS)
            return fail(r, NULL, "too many columns", NULL);
        field[count++] = p;
        if (*p == '"') {
            for (p++; *p && (*p != '"' || p[1] == '"'); p++) {
                p += *p == '"';
                *to++ = *p;
            }
            if (*p != '"')
                return fail(r, NULL, "a quoted field does not end on its line", NULL);
            p++;
            if (*p && !strchr(",\r\n", *p))
                return fail(r, NULL, "text behind the quotes of a field", p);
        } else {
            p += strcspn(p, ",\r\n");
            to = p;
        }
        bool more = *p == ',';
        *to = 0;
        if (!more)
            return count;
    }
}

static bool blank(int n, char **field)
{
    return n == 1 && !*field[0];
}

// --- header

static int find(int n, char **field, const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(field[i], name))
            return i;
    return -1;
}

static int missing(const struct reader *r, int n, char **field, const char *name)
{
    const char *near = err_nearest(name, (const char *const *)field, (size_t)n);
    return err_at(r->e, ERR_FORMAT, r->path, r->line, name,
                  "no such column%s%.40s%s; expected a table with id, unit, value, split",
                  near ? " (\"" : "", near ? near : "", near ? "\" is there)" : "");
}

static int header(struct reader *r)
{
    char *field[MAX_COLUMNS];
    r->n_columns = record(r, field);
    if (r->n_columns < 0)
        return r->n_columns;
    if (r->n_columns == 0 || blank(r->n_columns, field))
        return err_at(r->e, ERR_FORMAT, r->path, 1, NULL, "expected the names of columns");
    for (int c = 0; c < COLUMNS; c++) {
        r->at[c] = find(r->n_columns, field, names[c]);
        if (c < NEEDED && r->at[c] < 0)
            return missing(r, r->n_columns, field, names[c]);
    }
    for (int i = 0; i < r->n_columns; i++)
        if (find(i, field, field[i]) >= 0)
            return fail(r, field[i], "two columns of this name", NULL);
    return 0;
}

static int open_reader(const char *path, struct reader *r, struct err *e)
{
    *r = (struct reader){.path = path, .e = e, .f = fopen(path, "r")};
    return r->f ? 0 : err_at(e, ERR_IO, path, 0, NULL, "%s", strerror(errno));
}

static void close_reader(struct reader *r)
{
    if (r->f)
        fclose(r->f);
    free(r->text);
}

int fit_input_kind(const char *path, enum fit_input *out, struct err *e)
{
    struct err local = {0};
    struct reader r;
    char *field[MAX_COLUMNS];
    int rc = open_reader(path, &r, e ? e : &local);
    int n = rc == 0 ? record(&r, field) : 0;
    if (n < 0)
        rc = n;
    bool rows = n > 0 && find(n, field, names[ID]) >= 0 && find(n, field, names[VALUE]) >= 0;
    bool profile = n > 0 && find(n, field, "section") == 0 && find(n, field, "what") == 1;
    if (rc == 0 && !rows && !profile)
        rc = err_at(r.e, ERR_FORMAT, path, 1, NULL,
                    "neither a table of rows (columns id, unit, value, split) nor a profile "
                    "(section,what,order,m,k,n,value,unit)");
    close_reader(&r);
    if (rc == 0)
        *out = rows ? FIT_INPUT_ROWS : FIT_INPUT_PROFILE;
    return rc;
}

// --- rows

static int other_split(const struct reader *r, const char *id, const char *split)
{
    return err_at(r->e, ERR_USAGE, r->path, r->line, id,
                  "is of split \"%.20s\": only `given` rows may set a parameter. --only-given "
                  "takes those and ignores the others",
                  split);
}

static int read_number(const struct reader *r, const char *id, const char *text, double *out)
{
    size_t n = strlen(text);
    if (!n || num_span(text) != n)
        return fail(r, id, "value: expected a number", text);
    *out = num_parse(text);
    if (!isfinite(*out) || *out <= 0)
        return fail(r, id, "value: expected a number above 0, for relative errors", text);
    return 0;
}

static int read_tolerance(const struct reader *r, const char *id, const char *text, double *out)
{
    struct err why;
    if (!*text)
        return 0;
    if (unit_parse(UNIT_PERCENT, text, out, &why) < 0)
        return fail(r, id, "tolerance: expected a share such as \"5 %\"", text);
    if (*out <= 0 || *out > 10)
        return fail(r, id, "tolerance: expected above 0 and at most 1000 %", text);
    return 0;
}

// A given row. The fields are still in the line.
static int read_given(const struct reader *r, char **field, struct arena *a, struct fit_given *g)
{
    *g = (struct fit_given){.line = r->line};
    g->id = arena_strdup(a, field[r->at[ID]]);
    g->unit = arena_strdup(a, field[r->at[UNIT]]);
    g->soc = arena_strdup(a, r->at[SOC] < 0 ? "" : field[r->at[SOC]]);
    if (!*g->id)
        return fail(r, "id", "a row without a name", NULL);
    int rc = read_number(r, g->id, field[r->at[VALUE]], &g->value);
    if (rc == 0 && r->at[TOLERANCE] >= 0)
        rc = read_tolerance(r, g->id, field[r->at[TOLERANCE]], &g->tolerance);
    return rc;
}

static int add(const struct reader *r, const struct fit_given *g, struct fit_given *all, int *n)
{
    for (int i = 0; i < *n; i++)
        if (!strcmp(all[i].id, g->id))
            return err_at(r->e, ERR_FORMAT, r->path, r->line, g->id, "is in line %d already",
                          all[i].line);
    if (*n == FIT_MAX_ROWS)
        return fail(r, NULL, "too many rows", NULL);
    all[(*n)++] = *g;
    return 0;
}

int fit_rows_read(const char *path, bool only_given, struct arena *a, struct fit_given **out,
                  int *n, int *passed_over, struct err *e)
{
    struct err local = {0};
    struct reader r;
    char *field[MAX_COLUMNS];
    int count = 0, other = 0, rc = open_reader(path, &r, e ? e : &local);
    struct fit_given *all = ARENA_NEWS(a, FIT_MAX_ROWS, struct fit_given);
    if (rc == 0)
        rc = header(&r);
    while (rc == 0 && (rc = record(&r, field)) > 0) {
        int columns = rc;
        rc = 0;
        if (blank(columns, field))
            continue;
        if (columns != r.n_columns) {
            rc = fail(&r, NULL, "another number of columns than the header", NULL);
        } else if (strcmp(field[r.at[SPLIT]], "given") != 0) {
            rc = only_given ? 0 : other_split(&r, field[r.at[ID]], field[r.at[SPLIT]]);
            other++;
        } else {
            struct fit_given g;
            rc = read_given(&r, field, a, &g);
            if (rc == 0)
                rc = add(&r, &g, all, &count);
        }
    }
    if (rc == 0 && count == 0)
        rc = err_at(r.e, ERR_FORMAT, path, 0, NULL, "no row of split `given`");
    close_reader(&r);
    if (rc < 0)
        return rc;
    *out = all;
    *n = count;
    *passed_over = other;
    return 0;
}
