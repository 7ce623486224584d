// SPDX-License-Identifier: GPL-3.0-or-later
// Profiles as CSV. Fields are words and numbers without commas or quotes; numbers are written as
// short as reads back exactly, in any locale. The reader takes nothing that the writer could not
// have written, but for the order of rows, and names line and field of what it does not take.
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/num.h"
#include "engine/op.h"
#include "explore/characterise_internal.h"

static const char HEADER[] = "section,what,order,m,k,n,value,unit";
enum { FIELDS = 8, LINE = 256 };

const char *const characterise_section[CHARACTERISE_SECTIONS] = {
    [SECTION_OPERATOR] = "operator", [SECTION_STAGE] = "stage",
    [SECTION_ORDER] = "order",       [SECTION_SHAPE] = "shape",
    [SECTION_PREPARE] = "prepare",   [SECTION_BANDWIDTH] = "bandwidth",
    [SECTION_LATENCY] = "latency",   [SECTION_JOIN] = "join",
};

static const char *const UNITS[] = {"us", "ms", "GFLOP/s", "GB/s"};

int characterise_section_of(const struct point *p)
{
    for (int i = 0; i < CHARACTERISE_SECTIONS; i++)
        if (!strcmp(p->section, characterise_section[i]))
            return i;
    return -1;
}

void characterise_write(const struct point *p, int n, FILE *f)
{
    char number[32];
    fprintf(f, "%s\n", HEADER);
    for (int i = 0; i < n; i++)
        fprintf(f, "%s,%s,%s,%d,%d,%d,%s,%s\n", p[i].section, p[i].what, p[i].order, p[i].m, p[i].k,
                p[i].n, num_print(p[i].value, number), p[i].unit);
}

struct reader {
    const char *path;
    int line;
    struct err *e;
};

static int bad(const struct reader *r, const char *field, const char *expected, const char *found)
{
    return err_at(r->e, ERR_FORMAT, r->path, r->line, field, "expected %s, found \"%.80s\"",
                  expected, found);
}

// One of the names, or an error with the nearest.
static int one_of(const struct reader *r, const char *field, const char *text,
                  const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(names[i], text))
            return 0;
    const char *near = err_nearest(text, names, n);
    return err_at(r->e, ERR_FORMAT, r->path, r->line, field, "unknown %s \"%.40s\"%s%s", field,
                  text, near ? ", did you mean " : "", near ? near : "");
}

static int whole(const struct reader *r, const char *field, const char *text, int *out)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || v > INT_MAX)
        return bad(r, field, "a whole number", text);
    *out = (int)v;
    return 0;
}

static int word(const struct reader *r, const char *field, const char *text, char *out, size_t size)
{
    for (const char *c = text; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == '"')
            return bad(r, field, "a word", text);
    if (strlen(text) >= size)
        return bad(r, field, "a shorter word", text);
    snprintf(out, size, "%s", text);
    return 0;
}

static int read_row(const struct reader *r, char *row, struct point *p)
{
    const char *orders[ORDER_COUNT + 1] = {""};
    char *field[FIELDS];
    int n = 0;
    for (char *s = row; n <= FIELDS; s += strlen(s) + 1) {
        char *comma = strchr(s, ',');
        if (n < FIELDS)
            field[n] = s;
        n++;
        if (!comma)
            break;
        *comma = 0;
    }
    if (n != FIELDS)
        return err_at(r->e, ERR_FORMAT, r->path, r->line, NULL, "expected the %d fields %s", FIELDS,
                      HEADER);
    for (int o = 0; o < ORDER_COUNT; o++)
        orders[o + 1] = order_name((enum operand_order)o);
    if (one_of(r, "section", field[0], characterise_section, CHARACTERISE_SECTIONS) < 0 ||
        one_of(r, "order", field[2], orders, ORDER_COUNT + 1) < 0 ||
        one_of(r, "unit", field[7], UNITS, sizeof UNITS / sizeof UNITS[0]) < 0 ||
        word(r, "what", field[1], p->what, sizeof p->what) < 0 ||
        whole(r, "m", field[3], &p->m) < 0 || whole(r, "k", field[4], &p->k) < 0 ||
        whole(r, "n", field[5], &p->n) < 0)
        return r->e->code;
    if (!*p->what)
        return bad(r, "what", "a device", "");
    snprintf(p->section, sizeof p->section, "%s", field[0]);
    snprintf(p->order, sizeof p->order, "%s", field[2]);
    snprintf(p->unit, sizeof p->unit, "%s", field[7]);
    size_t span = num_span(field[6]);
    p->value = span && !field[6][span] ? num_parse(field[6]) : -1;
    if (!isfinite(p->value) || p->value < 0)
        return bad(r, "value", "a number from 0", field[6]);
    return 0;
}

static int read_all(struct reader *r, FILE *f, struct point **out, int *n)
{
    char row[LINE];
    int room = 0;
    while (fgets(row, sizeof row, f)) {
        size_t len = strlen(row);
        r->line++;
        if (len && row[len - 1] != '\n' && !feof(f))
            return bad(r, NULL, "a shorter line", row);
        row[strcspn(row, "\r\n")] = 0;
        if (r->line == 1 && strcmp(row, HEADER))
            return bad(r, NULL, HEADER, row);
        if (r->line == 1)
            continue;
        if (*n == room) {
            room = room ? 2 * room : 64;
            struct point *grown = realloc(*out, (size_t)room * sizeof **out);
            if (!grown)
                return err_at(r->e, ERR_MEMORY, r->path, r->line, NULL, "out of memory");
            *out = grown;
        }
        (*out)[*n] = (struct point){0};
        if (read_row(r, row, &(*out)[*n]) < 0)
            return r->e->code;
        ++*n;
    }
    if (ferror(f))
        return err_at(r->e, ERR_IO, r->path, r->line, NULL, "%s", strerror(errno));
    if (!r->line)
        return err_at(r->e, ERR_FORMAT, r->path, 0, NULL, "empty file");
    return 0;
}

int characterise_read_stream(FILE *f, const char *name, struct point **out, int *n, struct err *e)
{
    struct err own = {0}; // callers may not want to know
    struct reader r = {.path = name, .e = e ? e : &own};
    *out = NULL;
    *n = 0;
    int rc = read_all(&r, f, out, n);
    if (rc < 0) {
        free(*out);
        *out = NULL;
        *n = 0;
    }
    return rc;
}

int characterise_read(const char *path, struct point **out, int *n, struct err *e)
{
    *out = NULL;
    *n = 0;
    FILE *f = fopen(path, "r");
    if (!f)
        return err_at(e, ERR_IO, path, 0, NULL, "%s", strerror(errno));
    int rc = characterise_read_stream(f, path, out, n, e);
    fclose(f);
    return rc;
}
