// SPDX-License-Identifier: GPL-3.0-or-later
// Reading tables in CSV, record by record. A record is one line; a field in double quotes may hold
// commas and, doubled, quotes. What the columns mean is the caller's. Errors name file and line.
#ifndef BASE_CSV_H
#define BASE_CSV_H

#include <stdio.h>
#include "base/err.h"

enum { CSV_MAX_FIELDS = 64 };

struct csv {
    const char *path; // for messages
    FILE *f;
    struct err *e;
    int line;   // of the last record, from 1
    char *text; // it, changed by csv_record
    size_t size;
};

// `e` is where errors go (not NULL); `path` stays the caller's. csv_close is due even on failure.
int csv_open(struct csv *c, const char *path, struct err *e);
void csv_use(struct csv *c, FILE *f, const char *name, struct err *e); // takes over an open file
void csv_close(struct csv *c);

// 1: the next line is in c->text, without its end. 0: the end of the file. Negative: an error.
int csv_line(struct csv *c);
// The next line as fields, field[CSV_MAX_FIELDS], valid until the next call. Returns their number
// (an empty line is one empty field), 0 at the end of the file, negative on error.
int csv_record(struct csv *c, char **field);
// An ERR_FORMAT about the last line; returns its code. `key` may be NULL.
int csv_fail(const struct csv *c, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// Writes a field, in quotes if it needs them. It holds no end of line.
void csv_put(FILE *f, const char *text);

#endif
