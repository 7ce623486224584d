// SPDX-License-Identifier: GPL-3.0-or-later
// Merging is the union of sets: points by key, campaigns by (digest, code), asks by (campaign,
// number), validations by their digest. Where both stores hold a key with different contents (a
// point that crashed here and not there, a time that hardware measured twice) the better status
// wins, then the smaller digest of the row: a total order, so that merging is commutative,
// associative and idempotent.
//
// Columns that this program does not know travel along.
#include "explore/store_internal.h"

#include <math.h>
#include <string.h>

uint64_t store_row_digest(const struct campaign_row *r)
{
    const char *const text[] = {r->policy, r->sync, r->soc, r->level, r->label, r->code};
    uint64_t d = digest_u64(digest_u64(DIGEST_INIT, r->key), r->config);
    for (int i = 0; i < 6; i++)
        d = digest_str(d, text[i]);
    d = metrics_digest(digest_str(d, r->m.reason), &r->m);
    d = digest_u64(digest_u64(d, r->m.plan_prefill), r->m.plan_decode);
    for (int i = 0; i < r->m.n_machines; i++)
        for (int m = 0; m < METRIC_COUNT; m++)
            d = isnan(r->m.by_machine[i][m]) ? digest_str(d, "nan")
                                             : digest_f64(d, r->m.by_machine[i][m]);
    return d;
}

// --- points, with all their columns

enum { MAX_COLUMNS = 128, MAX_SQL = 16384 };

struct copy {
    struct store *to, *from;
    sqlite3_stmt *read, *write;
    int n; // columns
};

static bool plain_name(const char *name)
{
    return *name && strlen(name) < 64 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
               strlen(name);
}

// Statements that read all rows of a table there, sorted, and add one here.
static int copy_open(struct copy *c, const char *table, const char *order, struct err *e)
{
    char sql[MAX_SQL], values[2 * MAX_COLUMNS + 1] = "";
    snprintf(sql, sizeof sql, "SELECT * FROM %s ORDER BY %s", table, order);
    if (!(c->read = store_prepare(c->from, sql, e)))
        return e->code;
    c->n = sqlite3_column_count(c->read);
    int n = snprintf(sql, sizeof sql, "INSERT INTO %s (", table);
    for (int i = 0; i < c->n; i++) {
        char alter[160];
        const char *name = sqlite3_column_name(c->read, i);
        if (c->n > MAX_COLUMNS || !plain_name(name))
            return err_at(e, ERR_FORMAT, c->from->path, 0, NULL,
                          "the store is damaged: columns of table %s", table);
        snprintf(alter, sizeof alter, "ALTER TABLE %s ADD COLUMN \"%s\"", table, name);
        if (!store_has_column(c->to, table, name) && store_exec(c->to, alter, e) < 0)
            return e->code;
        n += snprintf(sql + n, sizeof sql - (size_t)n, "%s\"%s\"", i ? ", " : "", name);
        strcat(values, i ? ",?" : "?");
    }
    snprintf(sql + n, sizeof sql - (size_t)n, ") VALUES (%s) ON CONFLICT DO NOTHING", values);
    c->write = store_prepare(c->to, sql, e);
    return c->write ? 0 : e->code;
}

static void copy_close(struct copy *c)
{
    sqlite3_finalize(c->read);
    sqlite3_finalize(c->write);
}

// The next row there: 1 read, 0 no more.
static int copy_next(struct copy *c, struct err *e)
{
    int rc = sqlite3_step(c->read);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : store_fail(c->from, e, "cannot read");
}

// Adds it here: 1 added, 0 something with its key was there.
static int copy_row(struct copy *c, struct err *e)
{
    for (int i = 0; i < c->n; i++)
        sqlite3_bind_value(c->write, i + 1, sqlite3_column_value(c->read, i));
    if (store_step(c->to, c->write, "cannot write", e) < 0)
        return e->code;
    return sqlite3_changes(c->to->db) > 0;
}

// A point that must be there: a damaged index may not find it.
static int get(struct store *s, uint64_t key, struct arena *a, struct campaign_row *out,
               struct err *e)
{
    int rc = store_find(s, key, a, out, e);
    if (rc == 0)
        return err_at(e, ERR_FORMAT, s->path, 0, NULL, "the store is damaged: a point is missing");
    return rc;
}

// Both have the key.
static int settle(struct store *to, struct store *from, uint64_t key, struct err *e)
{
    struct arena a;
    struct campaign_row mine, theirs;
    arena_init(&a);
    int rc = get(to, key, &a, &mine, e);
    if (rc >= 0)
        rc = get(from, key, &a, &theirs, e);
    if (rc >= 0 &&
        (theirs.m.status != mine.m.status ? theirs.m.status < mine.m.status
                                          : store_row_digest(&theirs) < store_row_digest(&mine)))
        rc = store_replace(to, &theirs, e);
    arena_fini(&a);
    return rc < 0 ? rc : 0;
}

static int merge_points(struct store *to, struct store *from, struct err *e)
{
    struct copy c = {.to = to, .from = from}, m = {.to = to, .from = from};
    int rc = copy_open(&c, "point", "key", e);
    if (rc >= 0)
        rc = copy_open(&m, "machine", "key, number", e);
    // A point that is new here brings its machines, in one sweep through two sorted tables.
    int more = rc >= 0 ? copy_next(&m, e) : rc;
    while (rc >= 0 && more >= 0 && (rc = copy_next(&c, e)) > 0) {
        int64_t key = sqlite3_column_int64(c.read, 0);
        int added = copy_row(&c, e);
        for (; added >= 0 && more > 0 && sqlite3_column_int64(m.read, 0) <= key;
             more = copy_next(&m, e))
            if (added > 0 && sqlite3_column_int64(m.read, 0) == key && copy_row(&m, e) < 0)
                added = e->code;
        rc = added > 0 ? 1 : added < 0 ? added : settle(to, from, (uint64_t)key, e);
    }
    copy_close(&c);
    copy_close(&m);
    return rc < 0 || more < 0 ? e->code : 0;
}

// --- campaigns, asks, validations

// How it ended, as it stands here.
static void find_stopped(struct store *s, const struct store_campaign *c, char *buf, size_t size)
{
    sqlite3_stmt *q =
        store_prepare(s, "SELECT stopped FROM campaign WHERE digest = ? AND code = ?", NULL);
    sqlite3_bind_int64(q, 1, (int64_t)c->digest);
    sqlite3_bind_text(q, 2, c->code, -1, SQLITE_STATIC);
    const char *text =
        q && sqlite3_step(q) == SQLITE_ROW ? (const char *)sqlite3_column_text(q, 0) : NULL;
    snprintf(buf, size, "%s", text ? text : "");
    sqlite3_finalize(q);
}

// Objectives may be metrics that this program does not know: their text travels as it is.
static int copy_objectives(struct store *to, int64_t mine, struct store *from, int64_t theirs,
                           struct err *e)
{
    int rc = 0;
    sqlite3_stmt *q = store_prepare(from, "SELECT objectives FROM campaign WHERE id = ?", e);
    sqlite3_stmt *set = store_prepare(to, "UPDATE campaign SET objectives = ? WHERE id = ?", e);
    sqlite3_bind_int64(q, 1, theirs);
    if (!q || !set || sqlite3_step(q) != SQLITE_ROW) {
        rc = store_fail(from, e, "cannot read");
    } else {
        sqlite3_bind_value(set, 1, sqlite3_column_value(q, 0));
        sqlite3_bind_int64(set, 2, mine);
        rc = store_step(to, set, "cannot write a campaign", e);
    }
    sqlite3_finalize(q);
    sqlite3_finalize(set);
    return rc;
}

static int merge_asks(struct store *to, int64_t mine, struct store *from, int64_t theirs,
                      struct err *e)
{
    int rc = 0;
    sqlite3_stmt *put,
        *q = store_prepare(
            from, "SELECT number, key, violation FROM ask WHERE campaign = ? ORDER BY number", e);
    put = store_prepare(to,
                        "INSERT INTO ask (campaign, number, key, violation) VALUES (?, ?, ?, ?)"
                        " ON CONFLICT DO UPDATE SET key = excluded.key,"
                        " violation = excluded.violation WHERE excluded.key < key",
                        e);
    if (!q || !put)
        rc = ERR_FORMAT;
    sqlite3_bind_int64(q, 1, theirs);
    sqlite3_bind_int64(put, 1, mine);
    while (rc >= 0 && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        for (int i = 0; i < 3; i++)
            sqlite3_bind_value(put, i + 2, sqlite3_column_value(q, i));
        rc = store_step(to, put, "cannot write", e);
    }
    if (rc > 0 && rc != SQLITE_DONE)
        rc = store_fail(from, e, "cannot read");
    sqlite3_finalize(q);
    sqlite3_finalize(put);
    return rc < 0 ? rc : 0;
}

static int merge_validations(struct store *to, int64_t mine, struct store *from, int64_t theirs,
                             struct err *e)
{
    struct arena a;
    struct store_validation *v;
    arena_init(&a);
    int n = store_validations(from, theirs, &a, &v, e), rc = n;
    for (int i = 0; rc >= 0 && i < n; i++)
        rc = store_add_validation(to, mine, &v[i], e);
    arena_fini(&a);
    return rc < 0 ? rc : 0;
}

static int merge_campaigns(struct store *to, struct store *from, struct err *e)
{
    struct arena a;
    struct store_campaign *c;
    arena_init(&a);
    int n = store_campaigns(from, &a, &c, e), rc = n;
    for (int i = 0; rc >= 0 && i < n; i++) {
        char stopped[128];
        int64_t theirs = c[i].id;
        find_stopped(to, &c[i], stopped, sizeof stopped);
        rc = store_campaign_begin(to, &c[i], e);
        // The greater text of the two, so that the order of merging does not matter.
        if (rc >= 0)
            rc = store_campaign_end(to, c[i].id,
                                    strcmp(c[i].stopped, stopped) > 0 ? c[i].stopped : stopped, e);
        if (rc >= 0)
            rc = copy_objectives(to, c[i].id, from, theirs, e);
        if (rc >= 0)
            rc = merge_asks(to, c[i].id, from, theirs, e);
        if (rc >= 0)
            rc = merge_validations(to, c[i].id, from, theirs, e);
    }
    arena_fini(&a);
    return rc < 0 ? rc : merge_validations(to, 0, from, 0, e);
}

int store_merge(struct store *to, const char *path, struct err *e)
{
    struct err local = {0};
    struct store *from;
    e = e ? e : &local;
    if (store_open(path, STORE_READ, &from, e) < 0)
        return e->code;
    int rc = store_commit(to, e);
    if (rc >= 0)
        rc = store_begin(to, e);
    if (rc >= 0)
        rc = merge_points(to, from, e);
    if (rc >= 0)
        rc = merge_campaigns(to, from, e);
    if (rc >= 0)
        rc = store_commit(to, e);
    else if (!to->failed) // all of it or nothing
        to->failed = rc;
    store_close(from, NULL);
    return rc;
}

// --- the digest

static int digest_points(struct store *s, uint64_t *d, struct err *e)
{
    int rc;
    struct arena a;
    struct campaign_row r;
    sqlite3_stmt *q = store_prepare(s, "SELECT key FROM point ORDER BY key", e);
    if (!q)
        return e->code;
    arena_init(&a);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct arena_mark mark = arena_mark(&a);
        if (get(s, (uint64_t)sqlite3_column_int64(q, 0), &a, &r, e) < 0)
            break;
        *d = digest_u64(*d, store_row_digest(&r));
        arena_rewind(&a, mark);
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        store_fail(s, e, "cannot read the points");
    arena_fini(&a);
    sqlite3_finalize(q);
    return rc == SQLITE_DONE ? 0 : e->code;
}

// All columns of a statement: numbers and texts.
static int digest_query(struct store *s, const char *sql, uint64_t *d, struct err *e)
{
    int rc;
    sqlite3_stmt *q = store_prepare(s, sql, e);
    if (!q)
        return e->code;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(q); i++) {
            const char *text = (const char *)sqlite3_column_text(q, i);
            *d = digest_str(*d, text ? text : "");
        }
    if (rc != SQLITE_DONE)
        rc = store_fail(s, e, "cannot read the campaigns");
    sqlite3_finalize(q);
    return rc < 0 ? rc : 0;
}

int store_digest(struct store *s, uint64_t *out, struct err *e)
{
    struct err local = {0};
    uint64_t d = DIGEST_INIT;
    e = e ? e : &local;
    if (digest_points(s, &d, e) < 0 ||
        digest_query(s,
                     "SELECT digest, code, name, text, search, seed, machine, model, workload,"
                     " settings, objectives FROM campaign ORDER BY digest, code",
                     &d, e) < 0 ||
        digest_query(s,
                     "SELECT c.digest, c.code, number, key, violation FROM ask JOIN campaign c"
                     " ON c.id = campaign ORDER BY c.digest, c.code, number",
                     &d, e) < 0)
        return e->code;
    *out = d;
    return 0;
}
