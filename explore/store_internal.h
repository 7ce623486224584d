// SPDX-License-Identifier: GPL-3.0-or-later
// What the files of the store share; nobody else includes this.
//
// store_open.c    opening, closing, the schema and its migrations, errors
// store.c         points, campaigns, validations: writing and reading
// store_merge.c   two stores into one, and the digest of one
#ifndef EXPLORE_STORE_INTERNAL_H
#define EXPLORE_STORE_INTERNAL_H

#include <sqlite3.h>
#include "base/digest.h"
#include "explore/store.h"

struct store {
    sqlite3 *db;
    char path[512];
    bool write, pending; // pending: a transaction is open
    int failed;          // code of the first failed write: nothing is written after it
    int lock;            // descriptor of the writer's lock, -1: none
    char lock_path[520];
    sqlite3_stmt *put, *get, *put_machine, *drop_machines, *get_machines, *put_ask, *get_ask,
        *cut_asks;
};

// Describes what SQLite complains about; returns the code. `what`: "cannot write".
int store_fail(struct store *s, struct err *e, const char *what);
// Runs statements without results.
int store_exec(struct store *s, const char *sql, struct err *e);
// NULL on failure.
sqlite3_stmt *store_prepare(struct store *s, const char *sql, struct err *e);
// Begins a transaction unless one is open; refuses stores opened for reading.
int store_begin(struct store *s, struct err *e);
// Steps a statement that gives no rows, and resets it.
int store_step(struct store *s, sqlite3_stmt *q, const char *what, struct err *e);
// The statements of points, as columns allow.
int store_prepare_all(struct store *s, struct err *e);
void store_finalize_all(struct store *s);

// Digest of a row and its metrics: everything but wall time and violation.
uint64_t store_row_digest(const struct campaign_row *r);
// Writes a row over whatever is there.
int store_replace(struct store *s, const struct campaign_row *r, struct err *e);
// Does table `name` have the column?
bool store_has_column(struct store *s, const char *table, const char *column);

#endif
