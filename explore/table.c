// SPDX-License-Identifier: GPL-3.0-or-later
#include "explore/table.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "base/num.h"

enum column {
    COL_POINT,
    COL_MACHINE,
    COL_MODEL,
    COL_PROMPT,
    COL_GEN,
    COL_POLICY,
    COL_SYNC,
    COL_SOC,
    COL_STATUS,
    COL_REASON,
    COL_POINT_DIGEST,
    COL_DIGEST,
    COL_METRIC, // the metrics in their order
    COL_COUNT = COL_METRIC + METRIC_COUNT,
};

static const char *const names[COL_METRIC] = {
    [COL_POINT] = "point",   [COL_MACHINE] = "machine", [COL_MODEL] = "model",
    [COL_PROMPT] = "prompt", [COL_GEN] = "gen",         [COL_POLICY] = "policy",
    [COL_SYNC] = "sync",     [COL_SOC] = "soc",         [COL_STATUS] = "status",
    [COL_REASON] = "reason", [COL_DIGEST] = "digest",   [COL_POINT_DIGEST] = "point_digest",
};

static const char *column_name(int c)
{
    return c < COL_METRIC ? names[c] : metric_rows[c - COL_METRIC].name;
}

static int flushed(FILE *f, struct err *e)
{
    if (fflush(f) == 0 && !ferror(f))
        return 0;
    return err_set(e, ERR_IO, "cannot write the results: %s", strerror(errno));
}

// --- writing

static void field(FILE *f, const char *text)
{
    bool quote = strpbrk(text, ",\"\r\n");
    if (quote)
        fputc('"', f);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', f);
        fputc(*text == '\n' || *text == '\r' ? ' ' : *text, f); // a record is a line
    }
    if (quote)
        fputc('"', f);
}

// The order of columns: what was asked, what came of it, then digests.
static const int order[] = {COL_POINT,  COL_MACHINE, COL_MODEL, COL_PROMPT, COL_GEN,
                            COL_POLICY, COL_SYNC,    COL_SOC,   COL_STATUS};

int table_write_header(FILE *f, struct err *e)
{
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        fprintf(f, "%s,", column_name(order[i]));
    for (int m = 0; m < METRIC_COUNT; m++)
        fprintf(f, "%s,", metric_rows[m].name);
    fprintf(f, "reason,point_digest,digest\n");
    return flushed(f, e);
}

int table_write_row(FILE *f, const struct space *s, int64_t index, const struct campaign_row *r,
                    struct err *e)
{
    char hex[17], number[32];
    const char *text[] = {s->machine, s->model, r->policy, r->sync, r->soc};
    fprintf(f, "%lld,", (long long)index);
    for (int i = 0; i < 5; i++) {
        field(f, text[i]);
        if (i == 1)
            fprintf(f, ",%d,%d", s->n_prompt, s->n_gen);
        fputc(',', f);
    }
    fprintf(f, "%s,", metrics_status_name(r->m.status));
    for (int m = 0; m < METRIC_COUNT; m++)
        fprintf(f, "%s,", isnan(r->m.value[m]) ? "" : num_print(r->m.value[m], number));
    field(f, r->m.reason);
    fprintf(f, ",%s", digest_text(r->key, hex));
    fprintf(f, ",%s\n", r->m.status == METRICS_OK ? digest_text(r->m.digest, hex) : "");
    return flushed(f, e);
}

// --- reading

struct reader {
    const char *path;
    FILE *f;
    int line, row; // of the next record; rows so far
    struct arena *a;
    struct err *e;
    char *text; // one record
    size_t size;
    int at[COL_COUNT]; // position of each column, -1: absent
    int n_fields;
};

enum { MAX_FIELDS = 64 };

static int fail(const struct reader *r, int column, const char *text, const char *found)
{
    return err_at(r->e, ERR_FORMAT, r->path, r->line, column < 0 ? NULL : column_name(column),
                  "%s%s%.60s%s", text, found ? ", found \"" : "", found ? found : "",
                  found ? "\"" : "");
}

// Reads one line and splits it in place; the number of fields, 0 at the end of the file, negative
// on error.
static int record(struct reader *r, char **fields)
{
    ssize_t n = getline(&r->text, &r->size, r->f);
    int count = 0;
    if (n < 0)
        return ferror(r->f) ? fail(r, -1, "cannot read", strerror(errno)) : 0;
    r->line++;
    char *p = r->text;
    for (;;) {
        if (count == MAX_FIELDS)
            return fail(r, -1, "too many columns", NULL);
        char *to = p;
        fields[count++] = p;
        if (*p == '"') {
            for (p++; *p && (*p != '"' || p[1] == '"'); p++) {
                *to++ = *p;
                p += *p == '"';
            }
            if (*p != '"')
                return fail(r, -1, "a quoted field does not end on its line", NULL);
            p++;
        } else {
            p += strcspn(p, ",\r\n");
            to = p;
        }
        char end = *p;
        *to = 0;
        if (end != ',')
            break;
        p++;
    }
    return count;
}

static int header(struct reader *r)
{
    char *fields[MAX_FIELDS];
    r->n_fields = record(r, fields);
    if (r->n_fields <= 0)
        return r->n_fields < 0 ? -1 : fail(r, -1, "empty file; expected results of explore", NULL);
    for (int c = 0; c < COL_COUNT; c++) {
        r->at[c] = -1;
        for (int i = 0; i < r->n_fields; i++)
            if (!strcmp(fields[i], column_name(c)))
                r->at[c] = i;
    }
    static const int needed[] = {COL_MODEL, COL_PROMPT, COL_GEN, COL_POLICY, COL_SYNC, COL_STATUS};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (r->at[needed[i]] < 0)
            return fail(r, needed[i], "no such column; expected results of partita explore", NULL);
    return 0;
}

static const char *get(const struct reader *r, char **fields, int column)
{
    return r->at[column] < 0 ? "" : arena_strdup(r->a, fields[r->at[column]]);
}

static int whole(const struct reader *r, char **fields, int column, int *out)
{
    const char *text = get(r, fields, column);
    char *end;
    long v = strtol(text, &end, 10);
    if (end == text || *end || v < 1 || v > 1000000)
        return fail(r, column, "expected a whole number from 1 to 1000000", text);
    *out = (int)v;
    return 0;
}

static int status(const struct reader *r, const char *text, enum metrics_status *out)
{
    for (int s = METRICS_OK; s < METRICS_STATUSES; s++)
        if (!strcmp(text, metrics_status_name((enum metrics_status)s))) {
            *out = (enum metrics_status)s;
            return 0;
        }
    return fail(r, COL_STATUS, "expected ok, infeasible, crashed or hung", text);
}

static int parse(const struct reader *r, char **fields, struct campaign_row *out)
{
    enum metrics_status st = METRICS_OK;
    if (status(r, get(r, fields, COL_STATUS), &st) < 0)
        return -1;
    metrics_init(&out->m, st);
    out->policy = get(r, fields, COL_POLICY);
    out->sync = get(r, fields, COL_SYNC);
    out->soc = get(r, fields, COL_SOC);
    out->level = "";
    out->label =
        arena_printf(r->a, "%s + %s%s%s", out->policy, out->sync, *out->soc ? ", " : "", out->soc);
    out->key = strtoull(get(r, fields, COL_POINT_DIGEST), NULL, 16);
    out->m.digest = strtoull(get(r, fields, COL_DIGEST), NULL, 16);
    snprintf(out->m.reason, sizeof out->m.reason, "%s", get(r, fields, COL_REASON));
    for (int m = 0; m < METRIC_COUNT; m++) {
        const char *text = get(r, fields, COL_METRIC + m);
        if (*text && num_span(text) != strlen(text))
            return fail(r, COL_METRIC + m, "expected a number", text);
        if (*text)
            out->m.value[m] = num_parse(text);
    }
    return 0;
}

static int read_rows(struct reader *r, struct table *out)
{
    char *fields[MAX_FIELDS];
    struct campaign_row *rows = NULL;
    int n, room = 0;
    if (header(r) < 0)
        return -1;
    while ((n = record(r, fields)) > 0) {
        if (n == 1 && !*fields[0])
            continue;
        if (n != r->n_fields) {
            fail(r, -1, "a row with another number of columns than the header", NULL);
            goto release;
        }
        if (r->row == room) {
            room = room ? room * 2 : 256;
            rows = realloc(rows, (size_t)room * sizeof *rows);
            if (!rows)
                abort();
        }
        if (parse(r, fields, &rows[r->row]) < 0)
            goto release;
        if (r->row == 0) {
            out->machine = get(r, fields, COL_MACHINE);
            out->model = get(r, fields, COL_MODEL);
            if (whole(r, fields, COL_PROMPT, &out->n_prompt) < 0 ||
                whole(r, fields, COL_GEN, &out->n_gen) < 0)
                goto release;
        }
        r->row++;
    }
    if (n < 0)
        goto release;
    if (!r->row) {
        fail(r, -1, "no rows", NULL);
        goto release;
    }
    out->n = r->row;
    out->row = ARENA_NEWS(r->a, (size_t)r->row, struct campaign_row);
    memcpy(out->row, rows, (size_t)r->row * sizeof *rows);
    free(rows);
    return 0;
release:
    free(rows);
    return -1;
}

int table_read(const char *path, struct arena *a, struct table *out, struct err *e)
{
    struct err local = {0};
    struct table t = {0};
    struct reader r = {.path = path, .a = a, .e = e ? e : &local};
    r.f = fopen(path, "r");
    if (!r.f)
        return err_at(e, ERR_IO, path, 0, NULL, "%s", strerror(errno));
    int rc = read_rows(&r, &t);
    fclose(r.f);
    free(r.text);
    if (rc < 0)
        return r.e->code;
    *out = t;
    return 0;
}
