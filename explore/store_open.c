// SPDX-License-Identifier: GPL-3.0-or-later
// The file: who may write, what it looks like, how an older one becomes a current one.
//
// A new store is an empty one that is migrated: every step of the schema is taken by every store,
// so no step can be right for old files and wrong for new ones. Metrics are no steps: each row of
// metric_rows is a column by its name, added where it is missing; columns that this program does
// not know stay.
//
// The writer's lock is a POSIX lock on FILE-lock. It ends with its process however that ends, and
// forked workers do not inherit it, which no lock in the database offers. While a store is written
// it is in WAL mode: a commit costs no fsync and survives the death of the process. When the writer
// closes it, the log is folded in and the store is one plain file that can be copied.
#include "explore/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { APPLICATION_ID = 0x50525441 }; // "PRTA", see PRAGMA application_id

static const char *const steps[STORE_SCHEMA] = {
    // 0 -> 1
    "CREATE TABLE point (key INTEGER NOT NULL UNIQUE, policy TEXT, sync TEXT, soc TEXT, level TEXT,"
    " label TEXT, status TEXT, reason TEXT, plan_prefill INTEGER, plan_decode INTEGER,"
    " digest INTEGER, config INTEGER, code TEXT, wall_s REAL);"
    "CREATE TABLE campaign (id INTEGER PRIMARY KEY, digest INTEGER, code TEXT, name TEXT,"
    " text TEXT, search TEXT, seed INTEGER, machine TEXT, model TEXT, workload TEXT,"
    " objectives TEXT, stopped TEXT, begun TEXT DEFAULT CURRENT_TIMESTAMP,"
    " UNIQUE (digest, code));"
    "CREATE TABLE ask (campaign INTEGER, number INTEGER, key INTEGER, violation REAL,"
    " PRIMARY KEY (campaign, number)) WITHOUT ROWID;",
    // 1 -> 2: points on several machines; what hardware measured
    "CREATE TABLE machine (key INTEGER, number INTEGER, PRIMARY KEY (key, number)) WITHOUT ROWID;"
    "CREATE TABLE validation (digest INTEGER PRIMARY KEY, campaign INTEGER, key INTEGER,"
    " policy TEXT, sync TEXT, machine TEXT, model TEXT, prompt INTEGER, gen INTEGER,"
    " repeats INTEGER, predicted_ttft_ms REAL, ttft_ms REAL, ttft_spread REAL,"
    " predicted_tpot_ms REAL, tpot_ms REAL, tpot_spread REAL);",
    // 2 -> 3: overrides of the machines' keys that are not the space's
    "ALTER TABLE campaign ADD COLUMN settings TEXT DEFAULT '';",
};

// --- errors

static int fail_io(struct store *s, struct err *e, const char *what, int rc)
{
    int os = sqlite3_system_errno(s->db);
    const char *why = rc == SQLITE_FULL || os == ENOSPC ? "the disk is full"
                      : os                              ? strerror(os)
                                                        : "input/output error (is the disk full?)";
    return err_at(
        e, ERR_IO, s->path, 0, NULL,
        "%s: %s; what was stored before is safe: make room and run the same command again", what,
        why);
}

int store_fail(struct store *s, struct err *e, const char *what)
{
    int rc = sqlite3_errcode(s->db) & 0xff, os = sqlite3_system_errno(s->db);
    const char *why = sqlite3_errmsg(s->db);
    switch (rc) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
        return fail_io(s, e, what, rc);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_at(e, ERR_IO, s->path, 0, NULL,
                      "%s: another program keeps the database locked (an open sqlite3 shell?); "
                      "close it and try again",
                      what);
    case SQLITE_NOTADB:
        return err_at(e, ERR_FORMAT, s->path, 0, NULL,
                      "this is no store of partita explore (no SQLite database)");
    case SQLITE_CORRUPT:
        return err_at(e, ERR_FORMAT, s->path, 0, NULL,
                      "%s: the store is damaged (%s); the sqlite3 program's .recover may save "
                      "what is left",
                      what, why);
    case SQLITE_READONLY:
        return err_at(e, ERR_IO, s->path, 0, NULL, "%s: the file or its folder is read-only", what);
    case SQLITE_CANTOPEN:
        return err_at(e, ERR_IO, s->path, 0, NULL, "%s: %s", what, os ? strerror(os) : why);
    default:
        return err_at(e, ERR_FORMAT, s->path, 0, NULL, "%s: %s", what, why);
    }
}

int store_exec(struct store *s, const char *sql, struct err *e)
{
    if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    return store_fail(s, e, s->write ? "cannot write" : "cannot read");
}

sqlite3_stmt *store_prepare(struct store *s, const char *sql, struct err *e)
{
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK)
        store_fail(s, e, "cannot read");
    return q;
}

// A number that a statement gives; `none` when it fails.
static int64_t number(struct store *s, const char *sql, int64_t none)
{
    sqlite3_stmt *q = store_prepare(s, sql, NULL);
    int64_t v = q && sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : none;
    sqlite3_finalize(q);
    return v;
}

// --- the writer's lock

// Who locks the file now; 0: somebody on another machine.
static long holder(int fd)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK ? (long)l.l_pid : 0;
}

static int lock(struct store *s, struct err *e)
{
    struct stat mine, there;
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    snprintf(s->lock_path, sizeof s->lock_path, "%s-lock", s->path);
    for (;;) {
        s->lock = open(s->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (s->lock < 0)
            return err_at(e, ERR_IO, s->path, 0, NULL, "cannot write here: %s%s", strerror(errno),
                          errno == ENOENT ? " (make the folder first)" : "");
        if (fcntl(s->lock, F_SETLK, &l) < 0) {
            long pid = holder(s->lock);
            close(s->lock);
            s->lock = -1;
            return err_at(e, ERR_IO, s->path, 0, NULL,
                          "process %ld is writing to this store; wait for it, or write to another "
                          "file and use partita merge",
                          pid);
        }
        // The last owner may have removed the file between our open and our lock.
        if (fstat(s->lock, &mine) == 0 && stat(s->lock_path, &there) == 0 &&
            mine.st_ino == there.st_ino)
            return 0;
        close(s->lock);
    }
}

static void unlock(struct store *s)
{
    if (s->lock < 0)
        return;
    unlink(s->lock_path);
    close(s->lock);
    s->lock = -1;
}

// --- the schema

bool store_has_column(struct store *s, const char *table, const char *column)
{
    sqlite3_stmt *q = store_prepare(s, "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2", NULL);
    sqlite3_bind_text(q, 1, table, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 2, column, -1, SQLITE_STATIC);
    bool found = q && sqlite3_step(q) == SQLITE_ROW;
    sqlite3_finalize(q);
    return found;
}

static int64_t version(struct store *s)
{
    return number(s, "PRAGMA user_version", -1);
}

static bool current(struct store *s)
{
    if (version(s) != STORE_SCHEMA)
        return false;
    for (int m = 0; m < METRIC_COUNT; m++)
        if (!store_has_column(s, "point", metric_rows[m].name) ||
            !store_has_column(s, "machine", metric_rows[m].name))
            return false;
    return true;
}

static int add_metrics(struct store *s, const char *table, struct err *e)
{
    char sql[160];
    for (int m = 0; m < METRIC_COUNT; m++) {
        if (store_has_column(s, table, metric_rows[m].name))
            continue;
        snprintf(sql, sizeof sql, "ALTER TABLE %s ADD COLUMN \"%s\" REAL", table,
                 metric_rows[m].name);
        if (store_exec(s, sql, e) < 0)
            return e->code;
    }
    return 0;
}

// Views for people: keys and digests as 16 hex digits, a campaign's points in order.
static int make_views(struct store *s, struct err *e)
{
    char sql[4096] = "";
    int n = snprintf(sql, sizeof sql,
                     "DROP VIEW IF EXISTS points; DROP VIEW IF EXISTS asks;"
                     "CREATE VIEW points AS SELECT printf('%%016x', key) AS point, label, status,"
                     " reason");
    for (int m = 0; m < METRIC_COUNT; m++)
        n += snprintf(sql + n, sizeof sql - (size_t)n, ", \"%s\"", metric_rows[m].name);
    snprintf(sql + n, sizeof sql - (size_t)n,
             ", policy, sync, soc, level, printf('%%016x', plan_prefill) AS prefill_plan,"
             " printf('%%016x', plan_decode) AS decode_plan, printf('%%016x', digest) AS trace,"
             " printf('%%016x', config) AS configuration, code, wall_s FROM point;"
             "CREATE VIEW asks AS SELECT ask.campaign, ask.number, ask.violation, points.*"
             " FROM ask JOIN points ON points.point = printf('%%016x', ask.key)");
    return store_exec(s, sql, e);
}

static int migrate(struct store *s, struct err *e)
{
    char sql[96];
    if (store_exec(s, "BEGIN IMMEDIATE", e) < 0)
        return e->code;
    for (int64_t v = version(s); v < STORE_SCHEMA; v++)
        if (store_exec(s, steps[v], e) < 0)
            return e->code;
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d; PRAGMA application_id = %d", STORE_SCHEMA,
             APPLICATION_ID);
    if (add_metrics(s, "point", e) < 0 || add_metrics(s, "machine", e) < 0 ||
        make_views(s, e) < 0 || store_exec(s, sql, e) < 0 || store_exec(s, "COMMIT", e) < 0)
        return e->code;
    return 0;
}

// --- opening

// Is it ours, and do we understand it? An empty database is ours to fill.
static int check_kind(struct store *s, struct err *e)
{
    int64_t tables = number(s, "SELECT count(*) FROM sqlite_master", -1);
    if (tables < 0)
        return store_fail(s, e, "cannot read");
    if (tables == 0 && s->write)
        return 0;
    if (tables == 0)
        return err_at(e, ERR_FORMAT, s->path, 0, NULL, "the store is empty: nothing was explored");
    if (number(s, "PRAGMA application_id", 0) != APPLICATION_ID)
        return err_at(e, ERR_FORMAT, s->path, 0, NULL,
                      "this SQLite database is no store of partita explore");
    if (version(s) > STORE_SCHEMA)
        return err_at(e, ERR_FORMAT, s->path, 0, NULL,
                      "a newer partita wrote this store (schema %lld, this program knows %d); "
                      "update the program",
                      (long long)version(s), STORE_SCHEMA);
    if (version(s) < 1)
        return err_at(e, ERR_FORMAT, s->path, 0, NULL, "the store is damaged (schema %lld)",
                      (long long)version(s));
    return 0;
}

// On a file system that several machines share, WAL's shared memory does not work.
static bool local(const char *path)
{
    static const unsigned long shared[] = {
        0x6969,     // NFS
        0x517b,     // SMB
        0xff534d42, // CIFS
        0xfe534d42, // SMB2
        0x01021997, // 9P
        0x0bd00bd0, // Lustre
        0x47504653, // GPFS
        0x19830326, // BeeGFS
        0x00c36400, // Ceph
        0x5346414f, // AFS
        0x65735546, // FUSE: sshfs and its like
    };
    struct statfs f;
    if (statfs(path, &f) < 0)
        return true;
    for (size_t i = 0; i < sizeof shared / sizeof shared[0]; i++)
        if (((unsigned long)f.f_type & 0xffffffff) == shared[i])
            return false;
    return true;
}

static int set_journal(struct store *s, struct err *e)
{
    sqlite3_stmt *q;
    bool wal = local(s->path);
    if (wal) {
        if (!(q = store_prepare(s, "PRAGMA journal_mode = WAL", e)))
            return e->code;
        int rc = sqlite3_step(q);
        wal = rc == SQLITE_ROW && !strcmp((const char *)sqlite3_column_text(q, 0), "wal");
        sqlite3_finalize(q);
        if (rc != SQLITE_ROW && (rc & 0xff) != SQLITE_IOERR && (rc & 0xff) != SQLITE_CANTOPEN)
            return store_fail(s, e, "cannot write");
    }
    // Without WAL a commit is one fsync or two: slower, as safe.
    return store_exec(s,
                      wal ? "PRAGMA synchronous = NORMAL"
                          : "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL",
                      e);
}

static int open_write(struct store *s, struct err *e)
{
    if (lock(s, e) < 0)
        return e->code;
    int rc = sqlite3_open_v2(
        s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return store_fail(s, e, "cannot open");
    sqlite3_busy_timeout(s->db, 10000);
    if (sqlite3_db_readonly(s->db, "main") == 1)
        return err_at(e, ERR_IO, s->path, 0, NULL, "the file is read-only");
    if (check_kind(s, e) < 0 || set_journal(s, e) < 0 ||
        store_exec(s, "PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 4000", e) < 0 ||
        (!current(s) && migrate(s, e) < 0))
        return e->code;
    return 0;
}

// What is older is migrated in a copy in memory, so that whoever reads knows one schema only.
static int migrate_copy(struct store *s, struct err *e)
{
    sqlite3 *file = s->db, *copy = NULL;
    sqlite3_backup *b = NULL;
    if (sqlite3_open(":memory:", &copy) == SQLITE_OK)
        b = sqlite3_backup_init(copy, "main", file, "main");
    if (b)
        sqlite3_backup_step(b, -1);
    int rc = b ? sqlite3_backup_finish(b) : SQLITE_ERROR;
    s->db = copy;
    if (rc != SQLITE_OK)
        rc = store_fail(s, e, "cannot read");
    else
        rc = migrate(s, e);
    sqlite3_close(file);
    return rc;
}

// Did a writer that was killed leave a log that is not folded in?
static bool has_log(const struct store *s)
{
    struct stat st;
    char log[sizeof s->path + 8];
    snprintf(log, sizeof log, "%s-wal", s->path);
    return stat(log, &st) == 0 && st.st_size > 0;
}

// A file in a folder that cannot be written to: nobody else can change it either.
static int open_immutable(struct store *s)
{
    char uri[3 * sizeof s->path + 32], *p = uri + sprintf(uri, "file:");
    for (const char *c = s->path; *c; c++)
        if (strchr("?#%", *c))
            p += sprintf(p, "%%%02x", (unsigned char)*c);
        else
            *p++ = *c;
    strcpy(p, "?immutable=1");
    sqlite3_close(s->db);
    return sqlite3_open_v2(uri, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
}

static int open_read(struct store *s, struct err *e)
{
    struct stat st;
    if (stat(s->path, &st) < 0)
        return err_at(e, ERR_IO, s->path, 0, NULL, "%s", strerror(errno));
    if (S_ISDIR(st.st_mode))
        return err_at(e, ERR_IO, s->path, 0, NULL, "a folder, expected a store");
    int rc = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(s->db, 10000);
        if (number(s, "SELECT count(*) FROM sqlite_master", -1) < 0 &&
            ((rc = sqlite3_errcode(s->db)) == SQLITE_CANTOPEN || rc == SQLITE_READONLY)) {
            if (has_log(s))
                return err_at(e, ERR_IO, s->path, 0, NULL,
                              "its writer was killed and the folder is read-only: copy %s* to a "
                              "folder where the log can be folded in",
                              s->path);
            rc = open_immutable(s);
        } else
            rc = SQLITE_OK;
    }
    if (rc != SQLITE_OK)
        return store_fail(s, e, "cannot open");
    if (check_kind(s, e) < 0)
        return e->code;
    return current(s) ? 0 : migrate_copy(s, e);
}

int store_open(const char *path, enum store_mode mode, struct store **out, struct err *e)
{
    struct err local_err = {0};
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    e = e ? e : &local_err;
    s->lock = -1;
    s->write = mode == STORE_WRITE;
    if (snprintf(s->path, sizeof s->path, "%s", path) >= (int)sizeof s->path) {
        free(s);
        return err_set(e, ERR_IO, "the name of the store is too long");
    }
    int rc = s->write ? open_write(s, e) : open_read(s, e);
    // A file from elsewhere may be damaged on purpose.
    if (rc >= 0)
        rc = store_exec(s, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON", e);
    if (rc >= 0)
        rc = store_prepare_all(s, e);
    if (rc < 0) {
        store_finalize_all(s);
        sqlite3_close(s->db);
        unlock(s);
        free(s);
        return e->code;
    }
    *out = s;
    return 0;
}

// --- transactions

void store_patience(struct store *s, int ms)
{
    sqlite3_busy_timeout(s->db, ms);
}

int store_begin(struct store *s, struct err *e)
{
    if (!s->write)
        return err_at(e, ERR_USAGE, s->path, 0, NULL, "the store was opened for reading");
    if (s->failed)
        return err_at(e, s->failed, s->path, 0, NULL, "an earlier write has failed");
    if (s->pending)
        return 0;
    if (store_exec(s, "BEGIN IMMEDIATE", e) < 0)
        return s->failed = ERR_IO;
    s->pending = true;
    return 0;
}

int store_step(struct store *s, sqlite3_stmt *q, const char *what, struct err *e)
{
    int rc = sqlite3_step(q);
    if (rc == SQLITE_DONE || rc == SQLITE_ROW) {
        sqlite3_reset(q);
        return 0;
    }
    s->failed = store_fail(s, e, what);
    sqlite3_reset(q);
    return s->failed;
}

int store_commit(struct store *s, struct err *e)
{
    if (s->failed)
        return err_at(e, s->failed, s->path, 0, NULL, "an earlier write has failed");
    if (!s->pending)
        return 0;
    s->pending = false;
    if (sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    s->failed = store_fail(s, e, "cannot write");
    return s->failed;
}

int store_close(struct store *s, struct err *e)
{
    if (!s)
        return 0;
    int rc = s->pending && !s->failed ? store_commit(s, e) : 0;
    store_finalize_all(s);
    if (!sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    if (s->write) // one plain file again, unless somebody is reading
        sqlite3_exec(s->db, "PRAGMA busy_timeout = 0; PRAGMA journal_mode = DELETE", NULL, NULL,
                     NULL);
    sqlite3_close(s->db);
    unlock(s);
    free(s);
    return rc;
}
