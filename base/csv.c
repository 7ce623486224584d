// SPDX-License-Identifier: GPL-3.0-or-later
// One line at a time, split in place: unquoting only ever shortens a field, so it is written over
// itself and its end is marked once the character behind it has been looked at.
#include "base/csv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

void csv_use(struct csv *c, FILE *f, const char *name, struct err *e)
{
    *c = (struct csv){.path = name, .f = f, .e = e};
}

int csv_open(struct csv *c, const char *path, struct err *e)
{
    csv_use(c, fopen(path, "r"), path, e);
    return c->f ? 0 : err_at(e, ERR_IO, path, 0, NULL, "cannot read: %s", strerror(errno));
}

void csv_close(struct csv *c)
{
    if (c->f)
        fclose(c->f);
    free(c->text);
    *c = (struct csv){.path = c->path, .e = c->e};
}

int csv_fail(const struct csv *c, const char *key, const char *fmt, ...)
{
    char text[sizeof c->e->msg];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_at(c->e, ERR_FORMAT, c->path, c->line, key, "%s", text);
}

int csv_line(struct csv *c)
{
    ssize_t n = getline(&c->text, &c->size, c->f);
    if (n < 0 && ferror(c->f))
        return err_at(c->e, ERR_IO, c->path, 0, NULL, "cannot read: %s", strerror(errno));
    if (n < 0)
        return 0;
    c->line++;
    if (strlen(c->text) != (size_t)n)
        return csv_fail(c, NULL, "contains a zero byte: not a text file");
    c->text[strcspn(c->text, "\r\n")] = 0;
    return 1;
}

int csv_record(struct csv *c, char **field)
{
    int count = 0, rc = csv_line(c);
    if (rc <= 0)
        return rc;
    for (char *p = c->text;; p++) {
        char *to = p;
        if (count == CSV_MAX_FIELDS)
            return csv_fail(c, NULL, "too many columns, at most %d", CSV_MAX_FIELDS);
        field[count++] = p;
        if (*p == '"') {
            for (p++; *p && (*p != '"' || p[1] == '"'); p++) {
                p += *p == '"';
                *to++ = *p;
            }
            if (*p != '"')
                return csv_fail(c, NULL, "a quoted field does not end on its line");
            p++;
            if (*p && *p != ',')
                return csv_fail(c, NULL,
                                "text behind a quoted field: a comma was expected behind the "
                                "quotes, found \"%.60s\"",
                                p);
        } else {
            p += strcspn(p, ",");
            to = p;
        }
        bool more = *p == ',';
        *to = 0;
        if (!more)
            return count;
    }
}

void csv_put(FILE *f, const char *text)
{
    bool quote = strpbrk(text, ",\"");
    if (!quote) {
        fputs(text, f);
        return;
    }
    fputc('"', f);
    for (; *text; text++)
        fprintf(f, *text == '"' ? "\"\"" : "%c", *text);
    fputc('"', f);
}
