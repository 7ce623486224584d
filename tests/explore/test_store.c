// SPDX-License-Identifier: GPL-3.0-or-later
// The store: what goes in comes out, merging is a union, older files become current ones, and every
// file that is no store says so.
#include "explore/store.h"
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/rng.h"
#include "tests/harness.h"

static const char *fresh(const char *name)
{
    static char path[8][600];
    static int turn;
    char *p = path[turn++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", test_tmpdir(), name);
    unlink(p);
    return p;
}

static struct store *open_as(const char *path, enum store_mode mode)
{
    struct store *s = NULL;
    struct err e = {0};
    return CHECK_OK(store_open(path, mode, &s, &e), &e) ? s : NULL;
}

static void close_ok(struct store *s)
{
    struct err e = {0};
    CHECK_OK(store_close(s, &e), &e);
}

static uint64_t digest_of(const char *path)
{
    struct store *s = open_as(path, STORE_READ);
    struct err e = {0};
    uint64_t d = 0;
    if (s) {
        CHECK_OK(store_digest(s, &d, &e), &e);
        close_ok(s);
    }
    return d;
}

// Row number i: metrics that no two rows share, some unknown.
static struct campaign_row row(int i)
{
    static char policy[64][40];
    snprintf(policy[i % 64], sizeof policy[0], "hetero:parts=%d", i);
    struct campaign_row r = {.key = 0x9e3779b97f4a7c15u * (uint64_t)(i + 1),
                             .config = 77u + (uint64_t)i,
                             .code = "0123456789abcdef",
                             .policy = policy[i % 64],
                             .sync = "poll",
                             .soc = i % 2 ? "dram.channels=4" : "",
                             .level = "flow",
                             .label = "it's a label, \"quoted\""};
    metrics_init(&r.m, i % 5 == 4 ? METRICS_INFEASIBLE : METRICS_OK);
    if (i % 5 == 4)
        snprintf(r.m.reason, sizeof r.m.reason, "graph of %d rows: no", i);
    r.m.value[METRIC_TTFT] = 100.0 / 3 + i;
    r.m.value[METRIC_ENERGY] = i ? 1e-300 * i : -0.0;
    r.m.value[METRIC_MEMORY] = 4e9 + i;
    r.m.plan_prefill = ~(uint64_t)i;
    r.m.plan_decode = (uint64_t)i << 63;
    r.m.digest = 0xfedcba9876543210u + (uint64_t)i;
    r.m.wall_s = 0.001 * i;
    r.m.violation = 0.25 * (i % 3);
    if (i % 7 == 3) {
        r.m.n_machines = 2;
        for (int k = 0; k < 2; k++)
            for (int m = 0; m < METRIC_COUNT; m++)
                r.m.by_machine[k][m] = m % 3 ? (double)NAN : i + 0.5 * k + m;
    }
    return r;
}

static struct store_campaign campaign(uint64_t digest)
{
    return (struct store_campaign){.digest = digest,
                                   .name = "tiny",
                                   .text = "machine = \"soc:x\";\n",
                                   .search = "random",
                                   .seed = UINT64_MAX,
                                   .machine = "soc:x",
                                   .model = "llama3-8b",
                                   .workload = "256+32",
                                   .n_objectives = 2,
                                   .objective = {METRIC_TTFT, METRIC_ENERGY},
                                   .code = "0123456789abcdef"};
}

// Rows from..to into a store, asked by a campaign.
static void fill(const char *path, uint64_t digest, int from, int to)
{
    struct store *s = open_as(path, STORE_WRITE);
    struct store_campaign c = campaign(digest);
    struct err e = {0};
    if (!s)
        return;
    bool ok = CHECK_OK(store_campaign_begin(s, &c, &e), &e);
    for (int i = from; ok && i < to; i++) {
        struct campaign_row r = row(i);
        ok = CHECK_OK(store_put(s, &r, &e), &e) && CHECK_OK(store_ask(s, c.id, i, &r, &e), &e);
    }
    CHECK_OK(store_campaign_end(s, c.id, "the budget is spent", &e), &e);
    close_ok(s);
}

static void check_same(const struct campaign_row *a, const struct campaign_row *b, bool asked)
{
    CHECK(a->key == b->key && a->config == b->config);
    CHECK_STR(a->policy, b->policy);
    CHECK_STR(a->sync, b->sync);
    CHECK_STR(a->soc, b->soc);
    CHECK_STR(a->level, b->level);
    CHECK_STR(a->label, b->label);
    CHECK_STR(a->code, b->code);
    CHECK_INT(a->m.status, b->m.status);
    CHECK_STR(a->m.reason, b->m.reason);
    CHECK(metrics_digest(0, &a->m) == metrics_digest(0, &b->m));
    CHECK(a->m.plan_prefill == b->m.plan_prefill && a->m.plan_decode == b->m.plan_decode);
    CHECK(a->m.wall_s == b->m.wall_s);
    CHECK(!asked || a->m.violation == b->m.violation);
    CHECK_INT(a->m.n_machines, b->m.n_machines);
    for (int k = 0; k < a->m.n_machines; k++)
        for (int m = 0; m < METRIC_COUNT; m++)
            CHECK(a->m.by_machine[k][m] == b->m.by_machine[k][m] ||
                  (isnan(a->m.by_machine[k][m]) && isnan(b->m.by_machine[k][m])));
}

static void test_round_trip(void)
{
    const char *path = fresh("a.db");
    struct campaign_row *rows, one, want;
    struct store_campaign *list;
    struct arena a;
    struct err e = {0};
    arena_init(&a);
    fill(path, 5, 0, 40);
    struct store *s = open_as(path, STORE_READ);
    if (!s)
        return;
    if (CHECK_INT(store_campaigns(s, &a, &list, &e), 1)) {
        struct store_campaign c = campaign(5);
        CHECK(list->digest == 5 && list->seed == UINT64_MAX);
        CHECK_STR(list->text, c.text);
        CHECK_STR(list->search, c.search);
        CHECK_STR(list->workload, c.workload);
        CHECK_STR(list->stopped, "the budget is spent");
        CHECK_INT(list->n_objectives, 2);
        CHECK_INT(list->objective[1], METRIC_ENERGY);
        CHECK_INT(list->count, 40);
        CHECK_INT(store_rows(s, list->id, &a, &rows, &e), 40);
        for (int i = 0; i < 40; i++) {
            want = row(i);
            check_same(&rows[i], &want, true);
        }
    }
    want = row(17);
    CHECK_INT(store_find(s, want.key, &a, &one, &e), 1);
    check_same(&one, &want, false);
    CHECK_INT(store_find(s, 12345, &a, &one, &e), 0);
    CHECK_INT(store_rows(s, 0, &a, &rows, &e), 40);
    CHECK_INT(store_rows(s, 99, &a, &rows, &e), 0);
    CHECK(store_put(s, &want, &e) < 0); // opened for reading
    close_ok(s);
    CHECK(access(path, F_OK) == 0);
    char side[640];
    static const char *const sides[] = {"-wal", "-shm", "-lock", "-journal"};
    for (int i = 0; i < 4; i++) { // at rest a store is one file
        snprintf(side, sizeof side, "%s%s", path, sides[i]);
        CHECK(access(side, F_OK) < 0);
    }
    arena_fini(&a);
}

static void test_put_again(void)
{
    const char *path = fresh("again.db");
    struct store *s = open_as(path, STORE_WRITE);
    struct campaign_row r = row(3), dead = row(8), got;
    struct arena a;
    struct err e = {0};
    arena_init(&a);
    CHECK_OK(store_put(s, &r, &e), &e);
    struct campaign_row other = r;
    other.m.value[METRIC_TTFT] = 1;
    CHECK_OK(store_put(s, &other, &e), &e); // stays as it was
    CHECK_INT(store_find(s, r.key, &a, &got, &e), 1);
    check_same(&got, &r, false);
    metrics_init(&dead.m, METRICS_HUNG);
    snprintf(dead.m.reason, sizeof dead.m.reason, "longer than 1 s");
    CHECK_OK(store_put(s, &dead, &e), &e);
    CHECK_INT(store_find(s, dead.key, &a, &got, &e), 1);
    CHECK_INT(got.m.status, METRICS_HUNG);
    r = row(8);
    CHECK_OK(store_put(s, &r, &e), &e); // a hung point may be tried again
    CHECK_INT(store_find(s, r.key, &a, &got, &e), 1);
    check_same(&got, &r, false);
    close_ok(s);
    arena_fini(&a);
}

static int count_rows(struct store *s, int64_t campaign)
{
    struct arena a;
    struct campaign_row *rows;
    struct err e = {0};
    arena_init(&a);
    int n = store_rows(s, campaign, &a, &rows, &e);
    CHECK_OK(n, &e);
    arena_fini(&a);
    return n;
}

// A campaign that goes another way than before forgets where it went.
static void test_asks(void)
{
    struct store *s = open_as(fresh("asks.db"), STORE_WRITE);
    struct store_campaign c = campaign(1), again = campaign(1), newer = campaign(1);
    struct err e = {0};
    CHECK_OK(store_campaign_begin(s, &c, &e), &e);
    for (int i = 0; i < 10; i++) {
        struct campaign_row r = row(i);
        CHECK_OK(store_put(s, &r, &e), &e);
        CHECK_OK(store_ask(s, c.id, i, &r, &e), &e);
        CHECK_OK(store_ask(s, c.id, i, &r, &e), &e);
    }
    CHECK_OK(store_campaign_begin(s, &again, &e), &e);
    CHECK_INT(again.id, c.id);
    CHECK_INT(again.count, 10);
    newer.code = "fedcba9876543210";
    CHECK_OK(store_campaign_begin(s, &newer, &e), &e);
    CHECK(newer.id != c.id);
    CHECK_INT(newer.count, 0);
    struct campaign_row r = row(9);
    CHECK_OK(store_ask(s, c.id, 4, &r, &e), &e);
    CHECK_INT(count_rows(s, c.id), 5);
    close_ok(s);
}

// Each half in another order, merged either way, twice: always the digest of the whole.
static void test_merge(void)
{
    const char *whole = fresh("whole.db"), *x = fresh("x.db"), *y = fresh("y.db");
    const char *xy = fresh("xy.db"), *yx = fresh("yx.db");
    struct err e = {0};
    fill(whole, 2, 0, 30);
    fill(whole, 3, 20, 50);
    fill(x, 3, 20, 50); // campaigns in another order, points of both shared
    fill(x, 2, 5, 25);
    fill(y, 2, 0, 30);
    uint64_t want = digest_of(whole);
    CHECK(digest_of(x) != want && digest_of(y) != want);
    struct store *s = open_as(xy, STORE_WRITE);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(store_merge(s, x, &e), &e);
        CHECK_OK(store_merge(s, y, &e), &e);
    }
    close_ok(s);
    s = open_as(yx, STORE_WRITE);
    CHECK_OK(store_merge(s, y, &e), &e);
    CHECK_OK(store_merge(s, x, &e), &e);
    CHECK_OK(store_merge(s, whole, &e), &e);
    close_ok(s);
    CHECK(digest_of(xy) == want);
    CHECK(digest_of(yx) == want);
    s = open_as(xy, STORE_WRITE);
    CHECK_OK(store_merge(s, xy, &e), &e); // itself
    CHECK_INT(store_merge(s, fresh("none.db"), &e), ERR_IO);
    CHECK_HAS(e.msg, "No such file");
    close_ok(s);
    CHECK(digest_of(xy) == want);
}

// The same key with two results: whoever is merged first, one result wins.
static void test_merge_conflicts(void)
{
    const char *x = fresh("cx.db"), *y = fresh("cy.db"), *xy = fresh("cxy.db"),
               *yx = fresh("cyx.db");
    struct err e = {0};
    struct store *s[2] = {open_as(x, STORE_WRITE), open_as(y, STORE_WRITE)};
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 20; i++) {
            struct campaign_row r = row(i);
            if (i % 2 == k) { // crashed in one store only
                metrics_init(&r.m, METRICS_CRASHED);
                snprintf(r.m.reason, sizeof r.m.reason, "Killed");
            } else if (i > 10) {
                r.m.value[METRIC_TTFT] += k;
            }
            CHECK_OK(store_put(s[k], &r, &e), &e);
        }
        struct campaign_row r = row(30); // measured twice
        r.m.value[METRIC_TTFT] = 10 + k;
        CHECK_OK(store_put(s[k], &r, &e), &e);
        close_ok(s[k]);
    }
    for (int k = 0; k < 2; k++) {
        s[k] = open_as(k ? yx : xy, STORE_WRITE);
        CHECK_OK(store_merge(s[k], k ? y : x, &e), &e);
        CHECK_OK(store_merge(s[k], k ? x : y, &e), &e);
        struct arena a;
        struct campaign_row *rows;
        arena_init(&a);
        CHECK_INT(store_rows(s[k], 0, &a, &rows, &e), 21);
        for (int i = 0; i < 21; i++)
            CHECK(rows[i].m.status != METRICS_CRASHED);
        arena_fini(&a);
        close_ok(s[k]);
    }
    CHECK(digest_of(xy) == digest_of(yx));
}

static void test_validations(void)
{
    const char *path = fresh("v.db"), *other = fresh("v2.db");
    struct store_campaign c = campaign(6);
    struct store_validation *list, v = {.key = 9,
                                        .policy = "p",
                                        .sync = "s",
                                        .machine = "host",
                                        .model = "m",
                                        .n_prompt = 4,
                                        .n_gen = 2,
                                        .repeats = 3,
                                        .predicted_ttft_ms = 1.5,
                                        .ttft_ms = 2,
                                        .ttft_spread = 0.1,
                                        .predicted_tpot_ms = NAN,
                                        .tpot_ms = 3,
                                        .tpot_spread = NAN};
    struct arena a;
    struct err e = {0};
    arena_init(&a);
    struct store *s = open_as(path, STORE_WRITE);
    CHECK_OK(store_campaign_begin(s, &c, &e), &e);
    for (int i = 0; i < 2; i++)
        CHECK_OK(store_add_validation(s, c.id, &v, &e), &e);
    close_ok(s);
    s = open_as(other, STORE_WRITE);
    for (int i = 0; i < 2; i++)
        CHECK_OK(store_merge(s, path, &e), &e);
    if (CHECK_INT(store_validations(s, 1, &a, &list, &e), 1)) {
        CHECK_STR(list->machine, "host");
        CHECK_INT(list->repeats, 3);
        CHECK(list->predicted_ttft_ms == 1.5 && isnan(list->predicted_tpot_ms));
    }
    close_ok(s);
    arena_fini(&a);
}

// --- files that are older, newer, foreign, damaged, in use

// Statements on a file, past the store.
static void sql(const char *path, const char *text)
{
    sqlite3 *db;
    char *why = NULL;
    CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK)
        CHECK_STR(why, "");
    sqlite3_free(why);
    sqlite3_close(db);
}

// A store as schema 1 was: no machines, no validations, few metrics, and one metric that this
// program does not know.
static const char *older(const char *name)
{
    const char *path = fresh(name);
    sql(path,
        "CREATE TABLE point (key INTEGER NOT NULL UNIQUE, policy TEXT, sync TEXT, soc TEXT,"
        " level TEXT, label TEXT, status TEXT, reason TEXT, plan_prefill INTEGER,"
        " plan_decode INTEGER, digest INTEGER, config INTEGER, code TEXT, wall_s REAL,"
        " ttft_ms REAL, beauty REAL);"
        "CREATE TABLE campaign (id INTEGER PRIMARY KEY, digest INTEGER, code TEXT, name TEXT,"
        " text TEXT, search TEXT, seed INTEGER, machine TEXT, model TEXT, workload TEXT,"
        " objectives TEXT, stopped TEXT, begun TEXT DEFAULT CURRENT_TIMESTAMP,"
        " UNIQUE (digest, code));"
        "CREATE TABLE ask (campaign INTEGER, number INTEGER, key INTEGER, violation REAL,"
        " PRIMARY KEY (campaign, number)) WITHOUT ROWID;"
        "INSERT INTO point VALUES (-5, 'p', 's', '', '', 'p + s', 'ok', '', 1, 2, 3, 4, 'c', 0.5,"
        " 12.25, 7), (6, 'p2', 's', '', '', 'p2 + s', 'ok', '', 1, 2, 3, 4, 'c', 0.5, 13, 8);"
        "INSERT INTO campaign (id, digest, code, name, text, search, seed, machine, model,"
        " workload, objectives, stopped) VALUES (1, 9, 'c', 'n', 't', 'random', 0, 'm', 'm',"
        " '1+2', 'ttft_ms,beauty', 'done');"
        "INSERT INTO ask VALUES (1, 0, 6, 0), (1, 1, -5, 0.5);"
        "PRAGMA user_version = 1; PRAGMA application_id = 1347572801");
    return path;
}

static void check_older(struct store *s)
{
    struct campaign_row *rows;
    struct store_campaign *list;
    struct store_validation *v;
    struct arena a;
    struct err e = {0};
    arena_init(&a);
    if (CHECK_INT(store_rows(s, 1, &a, &rows, &e), 2)) {
        CHECK_STR(rows[0].policy, "p2");
        CHECK(rows[1].key == (uint64_t)-5 && rows[1].m.value[METRIC_TTFT] == 12.25);
        CHECK(isnan(rows[1].m.value[METRIC_ENERGY]));
        CHECK(rows[1].m.violation == 0.5);
    }
    CHECK_INT(store_validations(s, 1, &a, &v, &e), 0);
    if (CHECK_INT(store_campaigns(s, &a, &list, &e), 1))
        CHECK_INT(list->n_objectives, 1); // beauty is nothing that we know
    arena_fini(&a);
}

static void test_older(void)
{
    const char *path = older("old.db"), *merged = fresh("new.db");
    struct campaign_row r = row(3);
    struct err e = {0};
    struct store *s = open_as(path, STORE_READ); // in memory
    uint64_t before = 0;
    if (s) {
        check_older(s);
        CHECK_OK(store_digest(s, &before, &e), &e);
        close_ok(s);
    }
    sql(path, "SELECT beauty FROM point");
    if ((s = open_as(path, STORE_WRITE))) { // in the file
        check_older(s);
        CHECK_OK(store_put(s, &r, &e), &e);
        close_ok(s);
    }
    sql(path, "SELECT energy_j, beauty FROM point; SELECT * FROM points; SELECT * FROM asks;"
              "SELECT * FROM validation; SELECT energy_j FROM machine");
    if ((s = open_as(merged, STORE_WRITE))) { // into another: what we do not know travels along
        CHECK_OK(store_merge(s, older("old2.db"), &e), &e);
        check_older(s);
        uint64_t after = 1;
        CHECK_OK(store_digest(s, &after, &e), &e);
        CHECK(after == before);
        close_ok(s);
    }
    sqlite3 *db;
    sqlite3_stmt *q;
    sqlite3_open(merged, &db);
    sqlite3_prepare_v2(db, "SELECT sum(beauty) FROM point", -1, &q, NULL);
    CHECK_INT(sqlite3_step(q), SQLITE_ROW);
    CHECK_INT(sqlite3_column_int(q, 0), 15);
    sqlite3_finalize(q);
    sqlite3_close(db);
}

static void check_refused(const char *path, enum store_mode mode, int code, const char *says)
{
    struct store *s = NULL;
    struct err e = {0};
    CHECK_INT(store_open(path, mode, &s, &e), code);
    test_note("%s", e.msg);
    CHECK_HAS(e.msg, says);
    CHECK_STR(e.file, path);
}

static void test_foreign(void)
{
    const char *path = fresh("f.db"), *missing = fresh("missing.db");
    fill(path, 1, 0, 3);
    sql(path, "PRAGMA user_version = 99");
    for (int mode = STORE_READ; mode <= STORE_WRITE; mode++)
        check_refused(path, (enum store_mode)mode, ERR_FORMAT, "a newer partita wrote this store");
    path = fresh("text.csv");
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        fprintf(f, "point,%d\n", i);
    fclose(f);
    for (int mode = STORE_READ; mode <= STORE_WRITE; mode++)
        check_refused(path, (enum store_mode)mode, ERR_FORMAT, "this is no store");
    struct stat st;
    CHECK(stat(path, &st) == 0 && st.st_size > 5000); // untouched
    path = fresh("other.db");
    sql(path, "CREATE TABLE songs (title TEXT)");
    for (int mode = STORE_READ; mode <= STORE_WRITE; mode++)
        check_refused(path, (enum store_mode)mode, ERR_FORMAT, "no store of partita");
    check_refused(missing, STORE_READ, ERR_IO, "No such file");
    check_refused("/nonexistent/x.db", STORE_WRITE, ERR_IO, "make the folder first");
    check_refused(test_tmpdir(), STORE_READ, ERR_IO, "a folder");
    check_refused(test_tmpdir(), STORE_WRITE, ERR_IO, "");
    path = fresh("empty.db");
    fclose(fopen(path, "w"));
    check_refused(path, STORE_READ, ERR_FORMAT, "the store is empty");
    fill(path, 1, 0, 3); // an empty file may become one
    CHECK(digest_of(path) != 0);
}

static void test_one_writer(void)
{
    const char *path = fresh("w.db");
    int status;
    char says[64];
    fill(path, 1, 0, 3);
    struct store *s = open_as(path, STORE_WRITE);
    struct campaign_row r = row(10);
    struct err e = {0};
    snprintf(says, sizeof says, "process %ld is writing to this store", (long)getpid());
    CHECK_OK(store_put(s, &r, &e), &e); // a transaction is open
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct store *other;
        bool ok = store_open(path, STORE_WRITE, &other, &e) == ERR_IO && strstr(e.msg, says);
        ok = ok && store_open(path, STORE_READ, &other, &e) == 0; // readers may
        struct arena a;
        struct campaign_row *rows;
        arena_init(&a);
        ok = ok && store_rows(other, 0, &a, &rows, &e) == 3; // what was committed
        _exit(ok ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close_ok(s);
    fill(path, 1, 0, 3); // free again
    pid = fork();        // a writer that is killed leaves no lock
    if (pid == 0) {
        if (store_open(path, STORE_WRITE, &s, &e) == 0)
            raise(SIGKILL);
        _exit(1);
    }
    waitpid(pid, &status, 0);
    CHECK(WIFSIGNALED(status));
    fill(path, 1, 0, 3);
}

// Makes a store whose writer was killed: its log is not folded in.
static void leave_log(const char *path)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct store *s;
        struct campaign_row r = row(40);
        if (store_open(path, STORE_WRITE, &s, NULL) == 0 && store_put(s, &r, NULL) == 0 &&
            store_commit(s, NULL) == 0)
            raise(SIGKILL);
        _exit(1);
    }
    waitpid(pid, &status, 0);
    CHECK(WIFSIGNALED(status));
}

static void test_read_only(void)
{
    char folder[560], clean[600], killed[600];
    snprintf(folder, sizeof folder, "%s/disk", test_tmpdir());
    snprintf(clean, sizeof clean, "%s/clean 100%%?.db", folder);
    snprintf(killed, sizeof killed, "%s/killed.db", folder);
    if (mkdir(folder, 0700) < 0 || mount("tmpfs", folder, "tmpfs", 0, "size=4m") < 0) {
        test_skip("no file system of our own");
        return;
    }
    fill(clean, 1, 0, 10);
    fill(killed, 1, 0, 10);
    uint64_t before = digest_of(clean);
    leave_log(killed);
    struct store *s = open_as(killed, STORE_READ); // where one may write, the log is read
    CHECK_INT(count_rows(s, 0), 11);
    close_ok(s);
    CHECK_INT(mount("tmpfs", folder, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), 0);
    CHECK(digest_of(clean) == before);
    check_refused(clean, STORE_WRITE, ERR_IO, "Read-only file system");
    // Its log is either read in whole or missed aloud.
    struct err e = {0};
    if (store_open(killed, STORE_READ, &s, &e) >= 0) {
        CHECK_INT(count_rows(s, 0), 11);
        close_ok(s);
    } else {
        CHECK_HAS(e.msg, "its writer was killed");
    }
    CHECK_INT(umount(folder), 0);
}

// Another program holds the database: the store waits a while, then says so.
static void test_locked(void)
{
    const char *path = fresh("l.db");
    struct campaign_row r = row(1);
    struct err e = {0};
    sqlite3 *db;
    struct store *s = open_as(path, STORE_WRITE);
    sqlite3_open(path, &db);
    CHECK_INT(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    store_patience(s, 1);
    CHECK_INT(store_put(s, &r, &e), ERR_IO);
    CHECK_HAS(e.msg, "another program keeps the database locked");
    CHECK(store_commit(s, &e) < 0); // a store that failed once does not pretend
    sqlite3_close(db);
    CHECK_INT(store_close(s, &e), 0);
}

// Bytes of a store are changed: an error or an answer, never worse. (Run it with config=asan.)
enum { DAMAGES = 100 };

static void test_damaged(void)
{
    const char *path = fresh("d.db"), *bad = fresh("bad.db");
    fill(path, 1, 0, 200);
    FILE *f = fopen(path, "rb");
    static unsigned char good[1 << 20], data[1 << 20];
    size_t n = fread(good, 1, sizeof good, f);
    fclose(f);
    struct rng *rng = rng_create(1, "damage");
    int refused = 0;
    for (int i = 0; i < DAMAGES; i++) {
        struct store *s = NULL;
        struct err e = {0};
        struct arena a;
        struct campaign_row *rows;
        struct store_campaign *list;
        size_t size = i % 10 == 0 ? (size_t)rng_below(rng, n) : n;
        memcpy(data, good, n);
        for (int k = 0; k <= i % 20; k++)
            data[rng_below(rng, i % 3 ? n : 4096)] = (unsigned char)rng_below(rng, 256);
        f = fopen(bad, "wb");
        fwrite(data, 1, size, f);
        fclose(f);
        arena_init(&a);
        uint64_t d;
        int rc = store_open(bad, STORE_READ, &s, &e);
        if (rc >= 0) {
            if ((rc = store_campaigns(s, &a, &list, &e)) >= 0 &&
                (rc = store_rows(s, 1, &a, &rows, &e)) >= 0)
                rc = store_digest(s, &d, &e);
            store_close(s, NULL);
        }
        if (rc < 0) {
            refused++;
            CHECK(e.msg[0] != 0);
        }
        if (store_open(bad, STORE_WRITE, &s, &e) >= 0) {
            struct campaign_row r = row(1000);
            if (store_put(s, &r, &e) >= 0)
                store_merge(s, path, &e);
            store_close(s, &e);
        }
        arena_fini(&a);
    }
    test_note("%d of %d were refused", refused, DAMAGES);
    CHECK(refused > DAMAGES / 10);
    rng_destroy(rng);
}

TESTS(explore_store, T(test_round_trip), T(test_put_again), T(test_asks), T(test_merge),
      T(test_merge_conflicts), T(test_validations), T(test_older), T(test_foreign),
      T(test_one_writer), T(test_read_only), T(test_locked), T(test_damaged))
