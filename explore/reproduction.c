// SPDX-License-Identifier: GPL-3.0-or-later
// Predictions beside published values: see reproduction.h. Both files are small tables with a
// header; columns are found by name, and every error points to its line.
#include "explore/reproduction.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/csv.h"

const char *const split_names[SPLITS] = {"given", "check", "blind"};

// --- CSV

enum { MAX_WANTED = 8 };

struct reader {
    struct csv csv;
    int n_columns;
    int at[MAX_WANTED]; // position of each column that is wanted
    int n_wanted;
    char *field[MAX_WANTED]; // of the record, in the order of `wanted`
};

static int fail(const struct reader *r, const char *key, const char *text, const char *found)
{
    return csv_fail(&r->csv, key, "%s%s%.60s%s", text, found ? " \"" : "", found ? found : "",
                    found ? "\"" : "");
}

static int open_table(struct reader *r, const char *path, const char *const *wanted, int n_wanted,
                      struct err *e)
{
    char *name[CSV_MAX_FIELDS];
    *r = (struct reader){.n_wanted = n_wanted};
    if (csv_open(&r->csv, path, e) < 0)
        return e->code;
    r->n_columns = csv_record(&r->csv, name);
    if (r->n_columns <= 0)
        return r->n_columns < 0 ? e->code : fail(r, NULL, "the file is empty", NULL);
    for (int i = 0; i < n_wanted; i++) {
        r->at[i] = -1;
        for (int j = 0; j < r->n_columns; j++)
            if (!strcmp(name[j], wanted[i])) {
                if (r->at[i] >= 0)
                    return fail(r, wanted[i], "the column is there twice", NULL);
                r->at[i] = j;
            }
        if (r->at[i] < 0)
            return fail(r, wanted[i], "no such column in the header", NULL);
    }
    return 0;
}

// 1: a record; 0: the end.
static int next(struct reader *r)
{
    char *all[CSV_MAX_FIELDS];
    int n = csv_record(&r->csv, all);
    if (n <= 0)
        return n;
    if (n != r->n_columns)
        return csv_fail(&r->csv, NULL, "%d columns, the header has %d", n, r->n_columns);
    for (int i = 0; i < r->n_wanted; i++)
        r->field[i] = all[r->at[i]];
    return 1;
}

static bool number(const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return *text && !*end && isfinite(*out);
}

// --- the published table

enum { ID, UNIT, VALUE, SPLIT, PUBLISHED_COLUMNS };
static const char *const published_columns[] = {"id", "unit", "value", "split"};

static bool is_text(const struct reproduced *y)
{
    return !strcmp(y->unit, "-");
}

static int read_row(const struct reader *r, const struct experiments *x, struct reproduction *out)
{
    struct reproduced *y = &out->row[out->n];
    const char *id = r->field[ID], *unit = r->field[UNIT], *value = r->field[VALUE];
    struct err why;
    int split = 0, i = experiments_find(x, id, &why);
    if (i < 0)
        return csv_fail(&r->csv, id, "%s", why.msg);
    while (split < SPLITS && strcmp(r->field[SPLIT], split_names[split]))
        split++;
    if (split == SPLITS)
        return fail(r, id, "the split is given, check or blind, not", r->field[SPLIT]);
    if (strcmp(unit, experiments_unit(x, i)))
        return csv_fail(&r->csv, id, "the unit is \"%.20s\", that of the experiment \"%.20s\"",
                        unit, experiments_unit(x, i));
    for (int j = 0; j < out->n; j++)
        if (out->row[j].experiment == i)
            return fail(r, id, "this row is there twice", NULL);
    *y = (struct reproduced){.id = experiments_id(x, i),
                             .unit = experiments_unit(x, i),
                             .split = (enum split)split,
                             .experiment = i,
                             .published = *value,
                             .error = NAN};
    if (!*value && split != SPLIT_BLIND)
        return fail(r, id, "no published value; only a blind row may be without", NULL);
    if (*value && !is_text(y) && !number(value, &y->value))
        return fail(r, id, "not a number:", value);
    if (is_text(y) && strlen(value) >= sizeof y->text)
        return fail(r, id, "the text is too long:", value);
    if (is_text(y))
        snprintf(y->text, sizeof y->text, "%s", value);
    out->n++;
    return 0;
}

int reproduction_open(const struct experiments *x, const char *published, struct reproduction *out,
                      struct err *e)
{
    struct reader r;
    int n = experiments_count(x), rc;
    *out = (struct reproduction){.n = 0};
    arena_init(&out->arena);
    out->row = ARENA_NEWS(&out->arena, (size_t)n + 1, struct reproduced);
    rc = open_table(&r, published, published_columns, PUBLISHED_COLUMNS, e);
    while (rc == 0 && (rc = next(&r)) > 0)
        rc = read_row(&r, x, out);
    csv_close(&r.csv);
    for (int i = 0; rc == 0 && i < n; i++) {
        bool found = false;
        for (int j = 0; j < out->n; j++)
            found |= out->row[j].experiment == i;
        const char *file;
        int line;
        experiments_where(x, i, &file, &line);
        if (!found)
            rc = err_at(e, ERR_CONFIG, file, line, experiments_id(x, i), "no row of this id in %s",
                        published);
    }
    if (rc < 0)
        reproduction_close(out);
    return rc;
}

void reproduction_close(struct reproduction *r)
{
    arena_fini(&r->arena);
    *r = (struct reproduction){0};
}

// --- running

static double error_of(const struct reproduced *y, double scale)
{
    if (!y->published)
        return NAN;
    if (is_text(y))
        return strcmp(y->p.text, y->text) ? 100 : 0;
    double relative_to = y->value != 0 ? fabs(y->value) : scale;
    return relative_to > 0 ? 100 * (y->p.value - y->value) / relative_to : NAN;
}

void reproduction_run(struct reproduction *r, int row, struct experiments *x,
                      const struct experiment_world *w)
{
    struct reproduced *y = &r->row[row];
    struct err e = {0};
    if (experiments_predict(x, y->experiment, w, &y->p, &e) < 0) {
        y->state = REPRODUCED_FAILED;
        snprintf(y->why, sizeof y->why, "%.239s", e.msg);
        return;
    }
    y->state = REPRODUCED_OK;
    y->error = error_of(y, experiments_scale(x, y->experiment));
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void reproduction_total(const struct reproduction *r, enum split s, struct reproduction_total *out)
{
    double *all = calloc((size_t)r->n + 1, sizeof *all);
    if (!all)
        abort();
    *out = (struct reproduction_total){.median = NAN, .largest = NAN};
    for (int i = 0; i < r->n; i++) {
        const struct reproduced *y = &r->row[i];
        if (y->split != s || y->state == REPRODUCED_NOT)
            continue;
        out->n++;
        out->failed += y->state == REPRODUCED_FAILED;
        if (isnan(y->error))
            continue;
        all[out->compared++] = fabs(y->error);
        if (!(fabs(y->error) <= out->largest)) {
            out->largest = fabs(y->error);
            out->worst = y->id;
        }
    }
    int n = out->compared;
    qsort(all, (size_t)n, sizeof *all, by_value);
    if (n)
        out->median = (all[(n - 1) / 2] + all[n / 2]) / 2;
    free(all);
}

// --- the result

const char *reproduction_text(const struct reproduced *r, bool published, char *buf, size_t size)
{
    bool known = published ? r->published : r->state == REPRODUCED_OK;
    if (!known)
        snprintf(buf, size, "%s", "");
    else if (is_text(r))
        snprintf(buf, size, "%s", published ? r->text : r->p.text);
    else
        snprintf(buf, size, "%.6g", published ? r->value : r->p.value);
    return buf;
}

enum { R_ID, R_PREDICTION, R_UNIT, RESULT_COLUMNS };
static const char *const result_columns[] = {"id", "prediction", "unit"};

void reproduction_write(const struct reproduction *r, FILE *f)
{
    char text[EXPERIMENT_TEXT];
    fprintf(f, "id,split,prediction,published,unit,error_percent\n");
    for (int i = 0; i < r->n; i++) {
        const struct reproduced *y = &r->row[i];
        if (y->state == REPRODUCED_NOT)
            continue;
        csv_put(f, y->id);
        fprintf(f, ",%s,", split_names[y->split]);
        csv_put(f, reproduction_text(y, false, text, sizeof text));
        fputc(',', f);
        csv_put(f, reproduction_text(y, true, text, sizeof text));
        fputc(',', f);
        csv_put(f, y->unit);
        if (isnan(y->error))
            fprintf(f, ",\n");
        else
            fprintf(f, ",%.2f\n", y->error + 0.0);
    }
}

// Is `now` what the file says?
static bool holds(const struct reproduced *y, const char *was, double tolerance)
{
    double before;
    if (y->state != REPRODUCED_OK)
        return !*was;
    if (is_text(y))
        return !strcmp(was, y->p.text);
    return number(was, &before) && fabs(y->p.value - before) <= tolerance * fabs(before);
}

int reproduction_compare(const struct reproduction *r, const char *path, double tolerance,
                         void (*moved)(void *user, const char *id, const char *was,
                                       const char *now),
                         void *user, struct err *e)
{
    struct reader t;
    char now[EXPERIMENT_TEXT];
    bool *seen = calloc((size_t)r->n + 1, sizeof *seen);
    int count = 0;
    if (!seen)
        abort();
    int rc = open_table(&t, path, result_columns, RESULT_COLUMNS, e);
    while (rc == 0 && (rc = next(&t)) > 0) {
        int i = 0;
        rc = 0;
        while (i < r->n && strcmp(r->row[i].id, t.field[R_ID]))
            i++;
        if (i == r->n) {
            moved(user, t.field[R_ID], t.field[R_PREDICTION], "no such experiment");
            count++;
            continue;
        }
        const struct reproduced *y = &r->row[i];
        if (seen[i])
            rc = fail(&t, y->id, "this row is there twice", NULL);
        seen[i] = true;
        if (rc == 0 && y->state != REPRODUCED_NOT &&
            (strcmp(y->unit, t.field[R_UNIT]) || !holds(y, t.field[R_PREDICTION], tolerance))) {
            const char *text = y->state == REPRODUCED_FAILED
                                   ? "failed"
                                   : reproduction_text(y, false, now, sizeof now);
            moved(user, y->id, t.field[R_PREDICTION], text);
            count++;
        }
    }
    csv_close(&t.csv);
    for (int i = 0; rc == 0 && i < r->n; i++)
        if (!seen[i] && r->row[i].state != REPRODUCED_NOT) {
            moved(user, r->row[i].id, "not there",
                  reproduction_text(&r->row[i], false, now, sizeof now));
            count++;
        }
    free(seen);
    return rc < 0 ? rc : count;
}
