// SPDX-License-Identifier: GPL-3.0-or-later
// The table of observations. The rule that makes a calibration worth something is kept here: rows
// that a model is to be judged by must not set its parameters. So the split of a row is read before
// anything else of it, and the value of a row that is not `given` is never turned into a number,
// not even to be thrown away.
#include "explore/fit_rows.h"

#include <math.h>
#include <string.h>
#include "base/csv.h"
#include "base/num.h"
#include "base/units.h"
#include "explore/fit.h"

enum column { ID, UNIT, VALUE, SPLIT, NEEDED, SOC = NEEDED, TOLERANCE, COLUMNS };
static const char *const names[COLUMNS] = {
    [ID] = "id",       [UNIT] = "unit", [VALUE] = "value",
    [SPLIT] = "split", [SOC] = "soc",   [TOLERANCE] = "tolerance",
};

struct reader {
    struct csv csv;
    int at[COLUMNS]; // -1: absent
    int n_columns;
};

static int fail(const struct reader *r, const char *key, const char *what, const char *found)
{
    return csv_fail(&r->csv, key, "%s%s%.60s%s", what, found ? ", found \"" : "",
                    found ? found : "", found ? "\"" : "");
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
    return csv_fail(&r->csv, name,
                    "no such column%s%.40s%s; expected a table with id, unit, value, split",
                    near ? " (\"" : "", near ? near : "", near ? "\" is there)" : "");
}

static int header(struct reader *r)
{
    char *field[CSV_MAX_FIELDS];
    r->n_columns = csv_record(&r->csv, field);
    if (r->n_columns < 0)
        return r->n_columns;
    if (r->n_columns == 0 || blank(r->n_columns, field))
        return err_at(r->csv.e, ERR_FORMAT, r->csv.path, 1, NULL, "expected the names of columns");
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

int fit_input_kind(const char *path, enum fit_input *out, struct err *e)
{
    struct err local = {0};
    struct reader r;
    char *field[CSV_MAX_FIELDS];
    int rc = csv_open(&r.csv, path, e ? e : &local);
    int n = rc == 0 ? csv_record(&r.csv, field) : 0;
    if (n < 0)
        rc = n;
    bool rows = n > 0 && find(n, field, names[ID]) >= 0 && find(n, field, names[VALUE]) >= 0;
    bool profile = n > 0 && find(n, field, "section") == 0 && find(n, field, "what") == 1;
    if (rc == 0 && !rows && !profile)
        rc = err_at(r.csv.e, ERR_FORMAT, path, 1, NULL,
                    "neither a table of rows (columns id, unit, value, split) nor a profile "
                    "(section,what,order,m,k,n,value,unit)");
    csv_close(&r.csv);
    if (rc == 0)
        *out = rows ? FIT_INPUT_ROWS : FIT_INPUT_PROFILE;
    return rc;
}

// --- rows

static int other_split(const struct reader *r, const char *id, const char *split)
{
    return err_at(r->csv.e, ERR_USAGE, r->csv.path, r->csv.line, id,
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
    *g = (struct fit_given){.line = r->csv.line};
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
            return err_at(r->csv.e, ERR_FORMAT, r->csv.path, r->csv.line, g->id,
                          "is in line %d already", all[i].line);
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
    char *field[CSV_MAX_FIELDS];
    int count = 0, other = 0, rc = csv_open(&r.csv, path, e ? e : &local);
    struct fit_given *all = ARENA_NEWS(a, FIT_MAX_ROWS, struct fit_given);
    if (rc == 0)
        rc = header(&r);
    while (rc == 0 && (rc = csv_record(&r.csv, field)) > 0) {
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
        rc = err_at(r.csv.e, ERR_FORMAT, path, 0, NULL, "no row of split `given`");
    csv_close(&r.csv);
    if (rc < 0)
        return rc;
    *out = all;
    *n = count;
    *passed_over = other;
    return 0;
}
