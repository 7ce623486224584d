// SPDX-License-Identifier: GPL-3.0-or-later
// Rows in and out. The statements name every column of the struct they carry, in one order that the
// two tables below fix: texts, then numbers, then the metrics; binding and reading walk the same
// tables, so that a column cannot be written to one place and read from another.
#include "explore/store_internal.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "base/version.h"

// --- the columns of a point

enum { COL_KEY, COL_STATUS, COL_REASON, COL_WALL, COL_TEXT };

static const struct {
    const char *name;
    size_t at; // in campaign_row
} texts[] =
    {
        {"policy", offsetof(struct campaign_row, policy)},
        {"sync", offsetof(struct campaign_row, sync)},
        {"soc", offsetof(struct campaign_row, soc)},
        {"level", offsetof(struct campaign_row, level)},
        {"label", offsetof(struct campaign_row, label)},
        {"code", offsetof(struct campaign_row, code)},
},
  words[] = {
      // 64 bits; SQLite's integers have a sign, ours do not: the bits are the same
      {"config", offsetof(struct campaign_row, config)},
      {"plan_prefill", offsetof(struct campaign_row, m.plan_prefill)},
      {"plan_decode", offsetof(struct campaign_row, m.plan_decode)},
      {"digest", offsetof(struct campaign_row, m.digest)},
};

enum {
    N_TEXTS = sizeof texts / sizeof texts[0],
    N_WORDS = sizeof words / sizeof words[0],
    COL_WORD = COL_TEXT + N_TEXTS,
    COL_METRIC = COL_WORD + N_WORDS,
    COL_COUNT = COL_METRIC + METRIC_COUNT,
};

static const char *column_name(int c)
{
    static const char *const first[COL_TEXT] = {"key", "status", "reason", "wall_s"};
    return c < COL_TEXT     ? first[c]
           : c < COL_WORD   ? texts[c - COL_TEXT].name
           : c < COL_METRIC ? words[c - COL_WORD].name
                            : metric_rows[c - COL_METRIC].name;
}

enum { MAX_SQL = 4096 };

static void add(char *sql, const char *text)
{
    size_t n = strlen(sql);
    snprintf(sql + n, MAX_SQL - n, "%s", text);
}

// "a, b, c", each with a prefix and suffix
static void add_columns(char *sql, int from, int to, const char *format)
{
    char text[160];
    for (int c = from; c < to; c++) {
        snprintf(text, sizeof text, "%s%s\"%s\"", c > from ? ", " : "", format, column_name(c));
        add(sql, text);
    }
}

static void add_values(char *sql, int n)
{
    for (int i = 0; i < n; i++)
        add(sql, i ? ", ?" : "?");
}

// "SELECT <columns of point> FROM <rest>"
static const char *select_rows(char *sql, const char *more, const char *rest)
{
    strcpy(sql, "SELECT ");
    add_columns(sql, 0, COL_COUNT, "point.");
    add(sql, more);
    add(sql, rest);
    return sql;
}

int store_prepare_all(struct store *s, struct err *e)
{
    char sql[MAX_SQL];
    s->get = store_prepare(s, select_rows(sql, "", " FROM point WHERE key = ?"), e);
    strcpy(sql, "SELECT ");
    add_columns(sql, COL_METRIC, COL_COUNT, "");
    add(sql, " FROM machine WHERE key = ? ORDER BY number");
    s->get_machines = s->get ? store_prepare(s, sql, e) : NULL;
    if (!s->get_machines)
        return ERR_FORMAT;
    if (!s->write)
        return 0;
    strcpy(sql, "INSERT INTO point (");
    add_columns(sql, 0, COL_COUNT, "");
    add(sql, ") VALUES (");
    add_values(sql, COL_COUNT);
    add(sql, ") ON CONFLICT (key) DO NOTHING");
    s->put = store_prepare(s, sql, e);
    strcpy(sql, "INSERT INTO machine (key, number, ");
    add_columns(sql, COL_METRIC, COL_COUNT, "");
    add(sql, ") VALUES (");
    add_values(sql, 2 + METRIC_COUNT);
    add(sql, ")");
    s->put_machine = store_prepare(s, sql, e);
    s->drop_machines = store_prepare(s, "DELETE FROM machine WHERE key = ?", e);
    s->put_ask = store_prepare(s,
                               "INSERT INTO ask (campaign, number, key, violation)"
                               " VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                               e);
    s->get_ask =
        store_prepare(s, "SELECT key, violation FROM ask WHERE campaign = ? AND number = ?", e);
    s->cut_asks = store_prepare(s, "DELETE FROM ask WHERE campaign = ? AND number >= ?", e);
    return s->put && s->put_machine && s->drop_machines && s->put_ask && s->get_ask && s->cut_asks
               ? 0
               : ERR_FORMAT;
}

void store_finalize_all(struct store *s)
{
    sqlite3_stmt *all[] = {s->put,          s->get,     s->put_machine, s->drop_machines,
                           s->get_machines, s->put_ask, s->get_ask,     s->cut_asks};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        sqlite3_finalize(all[i]);
}

// --- writing points

static void bind_text(sqlite3_stmt *q, int at, const char *text)
{
    sqlite3_bind_text(q, at, text ? text : "", -1, SQLITE_STATIC);
}

// NaN becomes NULL, as SQLite does it.
static void bind_metrics(sqlite3_stmt *q, int at, const double *value)
{
    for (int m = 0; m < METRIC_COUNT; m++)
        sqlite3_bind_double(q, at + m, value[m]);
}

static void bind_row(sqlite3_stmt *q, const struct campaign_row *r)
{
    const char *base = (const char *)r;
    sqlite3_bind_int64(q, 1 + COL_KEY, (int64_t)r->key);
    bind_text(q, 1 + COL_STATUS, metrics_status_name(r->m.status));
    bind_text(q, 1 + COL_REASON, r->m.reason);
    sqlite3_bind_double(q, 1 + COL_WALL, r->m.wall_s);
    for (int i = 0; i < N_TEXTS; i++)
        bind_text(q, 1 + COL_TEXT + i, *(const char *const *)(base + texts[i].at));
    for (int i = 0; i < N_WORDS; i++)
        sqlite3_bind_int64(q, 1 + COL_WORD + i, (int64_t) * (const uint64_t *)(base + words[i].at));
    bind_metrics(q, 1 + COL_METRIC, r->m.value);
}

static int put_machines(struct store *s, const struct campaign_row *r, struct err *e)
{
    for (int i = 0; i < r->m.n_machines; i++) {
        sqlite3_bind_int64(s->put_machine, 1, (int64_t)r->key);
        sqlite3_bind_int(s->put_machine, 2, i);
        bind_metrics(s->put_machine, 3, r->m.by_machine[i]);
        if (store_step(s, s->put_machine, "cannot write a point", e) < 0)
            return s->failed;
    }
    return 0;
}

// 1: it was not there and is now; 0: it was there.
static int insert(struct store *s, const struct campaign_row *r, struct err *e)
{
    bind_row(s->put, r);
    if (store_step(s, s->put, "cannot write a point", e) < 0)
        return s->failed;
    if (!sqlite3_changes(s->db))
        return 0;
    return put_machines(s, r, e) < 0 ? s->failed : 1;
}

int store_replace(struct store *s, const struct campaign_row *r, struct err *e)
{
    char sql[96];
    if (store_begin(s, e) < 0)
        return ERR_IO;
    snprintf(sql, sizeof sql, "DELETE FROM point WHERE key = %lld", (long long)r->key);
    sqlite3_bind_int64(s->drop_machines, 1, (int64_t)r->key);
    if (store_step(s, s->drop_machines, "cannot write a point", e) < 0)
        return s->failed;
    if (store_exec(s, sql, e) < 0)
        return s->failed = ERR_IO;
    return insert(s, r, e) < 0 ? s->failed : 0;
}

int store_put(struct store *s, const struct campaign_row *r, struct err *e)
{
    struct arena a;
    struct campaign_row old;
    if (store_begin(s, e) < 0)
        return ERR_IO;
    int rc = insert(s, r, e);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    arena_init(&a);
    rc = store_find(s, r->key, &a, &old, e);
    if (rc == 1 && (old.m.status == METRICS_CRASHED || old.m.status == METRICS_HUNG))
        rc = store_replace(s, r, e);
    arena_fini(&a);
    return rc < 0 ? rc : 0;
}

// --- reading points

static const char *text_of(sqlite3_stmt *q, int column)
{
    const char *t = (const char *)sqlite3_column_text(q, column);
    return t ? t : "";
}

static double double_of(sqlite3_stmt *q, int column)
{
    return sqlite3_column_type(q, column) == SQLITE_NULL ? (double)NAN
                                                         : sqlite3_column_double(q, column);
}

static int read_machines(struct store *s, struct campaign_row *r, struct err *e)
{
    int rc;
    sqlite3_bind_int64(s->get_machines, 1, (int64_t)r->key);
    while ((rc = sqlite3_step(s->get_machines)) == SQLITE_ROW &&
           r->m.n_machines < METRICS_MAX_MACHINES) {
        double *to = r->m.by_machine[r->m.n_machines++];
        for (int m = 0; m < METRIC_COUNT; m++)
            to[m] = double_of(s->get_machines, m);
    }
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        rc = store_fail(s, e, "cannot read a point");
    else
        rc = 0;
    sqlite3_reset(s->get_machines);
    return rc;
}

// The point that a statement stands at.
static int read_row(struct store *s, sqlite3_stmt *q, struct arena *a, struct campaign_row *out,
                    struct err *e)
{
    char *base = (char *)out;
    const char *name = text_of(q, COL_STATUS);
    int status = METRICS_OK;
    while (status < METRICS_STATUSES &&
           strcmp(name, metrics_status_name((enum metrics_status)status)))
        status++;
    if (status == METRICS_STATUSES)
        return err_at(e, ERR_FORMAT, s->path, 0, NULL,
                      "the store is damaged: a point has status \"%.40s\"", name);
    *out = (struct campaign_row){.key = (uint64_t)sqlite3_column_int64(q, COL_KEY)};
    metrics_init(&out->m, (enum metrics_status)status);
    snprintf(out->m.reason, sizeof out->m.reason, "%s", text_of(q, COL_REASON));
    out->m.wall_s = double_of(q, COL_WALL);
    for (int i = 0; i < N_TEXTS; i++)
        *(const char **)(base + texts[i].at) = arena_strdup(a, text_of(q, COL_TEXT + i));
    for (int i = 0; i < N_WORDS; i++)
        *(uint64_t *)(base + words[i].at) = (uint64_t)sqlite3_column_int64(q, COL_WORD + i);
    for (int m = 0; m < METRIC_COUNT; m++)
        out->m.value[m] = double_of(q, COL_METRIC + m);
    return read_machines(s, out, e);
}

int store_find(struct store *s, uint64_t key, struct arena *a, struct campaign_row *out,
               struct err *e)
{
    sqlite3_bind_int64(s->get, 1, (int64_t)key);
    int rc = sqlite3_step(s->get);
    if (rc == SQLITE_ROW)
        rc = read_row(s, s->get, a, out, e) < 0 ? ERR_FORMAT : 1;
    else
        rc = rc == SQLITE_DONE ? 0 : store_fail(s, e, "cannot read a point");
    sqlite3_reset(s->get);
    return rc;
}

struct rows {
    struct campaign_row *row;
    int64_t n, room;
};

static struct campaign_row *more_rows(struct rows *r)
{
    if (r->n == r->room) {
        r->room = r->room ? r->room * 2 : 256;
        r->row = realloc(r->row, (size_t)r->room * sizeof *r->row);
        if (!r->row)
            abort();
    }
    return &r->row[r->n++];
}

int store_rows(struct store *s, int64_t campaign, struct arena *a, struct campaign_row **out,
               struct err *e)
{
    char sql[MAX_SQL];
    struct rows r = {0};
    int rc;
    sqlite3_stmt *q = store_prepare(
        s,
        campaign ? select_rows(sql, ", ask.violation",
                               " FROM ask JOIN point ON point.key = ask.key WHERE campaign = ?"
                               " ORDER BY ask.number")
                 : select_rows(sql, ", 0.0", " FROM point ORDER BY key"),
        e);
    if (!q)
        return ERR_FORMAT;
    if (campaign)
        sqlite3_bind_int64(q, 1, campaign);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct campaign_row *row = more_rows(&r);
        if (read_row(s, q, a, row, e) < 0)
            break;
        row->m.violation = sqlite3_column_double(q, COL_COUNT);
    }
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        store_fail(s, e, "cannot read the points");
    sqlite3_finalize(q);
    if (rc == SQLITE_DONE) {
        *out = ARENA_NEWS(a, (size_t)r.n, struct campaign_row);
        if (r.n)
            memcpy(*out, r.row, (size_t)r.n * sizeof *r.row);
    }
    free(r.row);
    return rc == SQLITE_DONE ? (int)r.n : ERR_FORMAT;
}

// --- campaigns

static const char *objectives_text(const struct store_campaign *c, char *buf, size_t size)
{
    size_t n = 0;
    buf[0] = 0;
    for (int i = 0; i < c->n_objectives && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s%s", i ? "," : "",
                              metric_rows[c->objective[i]].name);
    return buf;
}

static int64_t count_asks(struct store *s, int64_t campaign)
{
    sqlite3_stmt *q = store_prepare(s, "SELECT count(*) FROM ask WHERE campaign = ?", NULL);
    sqlite3_bind_int64(q, 1, campaign);
    int64_t n = q && sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
    sqlite3_finalize(q);
    return n;
}

int store_campaign_begin(struct store *s, struct store_campaign *c, struct err *e)
{
    char objectives[512];
    if (store_begin(s, e) < 0)
        return ERR_IO;
    sqlite3_stmt *q = store_prepare(
        s,
        "INSERT INTO campaign (digest, code, name, text, search, seed, machine, model, workload,"
        " objectives, settings, stopped) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '')"
        " ON CONFLICT (digest, code) DO UPDATE SET stopped = '' RETURNING id",
        e);
    if (!q)
        return s->failed = ERR_FORMAT;
    const char *const text[] = {c->name, c->text, c->search};
    const char *const more[] = {c->machine, c->model, c->workload,
                                objectives_text(c, objectives, sizeof objectives),
                                c->settings ? c->settings : ""};
    sqlite3_bind_int64(q, 1, (int64_t)c->digest);
    bind_text(q, 2, c->code);
    for (int i = 0; i < 3; i++)
        bind_text(q, 3 + i, text[i]);
    sqlite3_bind_int64(q, 6, (int64_t)c->seed);
    for (int i = 0; i < 5; i++)
        bind_text(q, 7 + i, more[i]);
    int rc = sqlite3_step(q) == SQLITE_ROW ? 0 : ERR_IO;
    if (rc == 0)
        c->id = sqlite3_column_int64(q, 0);
    if (rc < 0 || sqlite3_step(q) != SQLITE_DONE)
        rc = s->failed = store_fail(s, e, "cannot write a campaign");
    sqlite3_finalize(q);
    c->count = rc < 0 ? 0 : count_asks(s, c->id);
    return rc;
}

int store_campaign_end(struct store *s, int64_t id, const char *stopped, struct err *e)
{
    if (store_begin(s, e) < 0)
        return ERR_IO;
    sqlite3_stmt *q = store_prepare(s, "UPDATE campaign SET stopped = ? WHERE id = ?", e);
    if (!q)
        return s->failed = ERR_FORMAT;
    bind_text(q, 1, stopped);
    sqlite3_bind_int64(q, 2, id);
    int rc = store_step(s, q, "cannot write a campaign", e);
    sqlite3_finalize(q);
    return rc;
}

// Is exactly this ask there?
static bool asked(struct store *s, int64_t campaign, int64_t index, const struct campaign_row *r)
{
    sqlite3_bind_int64(s->get_ask, 1, campaign);
    sqlite3_bind_int64(s->get_ask, 2, index);
    bool same = sqlite3_step(s->get_ask) == SQLITE_ROW &&
                (uint64_t)sqlite3_column_int64(s->get_ask, 0) == r->key &&
                sqlite3_column_double(s->get_ask, 1) == r->m.violation;
    sqlite3_reset(s->get_ask);
    return same;
}

int store_ask(struct store *s, int64_t campaign, int64_t index, const struct campaign_row *r,
              struct err *e)
{
    if (store_begin(s, e) < 0)
        return ERR_IO;
    for (int again = 0; again < 2; again++) {
        sqlite3_bind_int64(s->put_ask, 1, campaign);
        sqlite3_bind_int64(s->put_ask, 2, index);
        sqlite3_bind_int64(s->put_ask, 3, (int64_t)r->key);
        sqlite3_bind_double(s->put_ask, 4, r->m.violation);
        if (store_step(s, s->put_ask, "cannot write", e) < 0)
            return s->failed;
        if (sqlite3_changes(s->db) || asked(s, campaign, index, r))
            break;
        sqlite3_bind_int64(s->cut_asks, 1, campaign);
        sqlite3_bind_int64(s->cut_asks, 2, index);
        if (store_step(s, s->cut_asks, "cannot write", e) < 0)
            return s->failed;
    }
    return 0;
}

// "ttft_ms,tpot_ms"; metrics that this program does not know are left out.
static void parse_objectives(const char *text, struct store_campaign *c)
{
    char name[64];
    while (*text && c->n_objectives < (int)(sizeof c->objective / sizeof c->objective[0])) {
        size_t n = strcspn(text, ",");
        snprintf(name, sizeof name, "%.*s", (int)n, text);
        int m = metric_find(name);
        if (m >= 0)
            c->objective[c->n_objectives++] = (enum metric)m;
        text += n + (text[n] == ',');
    }
}

int store_campaigns(struct store *s, struct arena *a, struct store_campaign **out, struct err *e)
{
    int n = 0, room = 0, rc;
    struct store_campaign *list = NULL;
    sqlite3_stmt *q = store_prepare(
        s,
        "SELECT id, digest, seed, name, text, search, machine, model, workload, code, stopped,"
        " settings, objectives FROM campaign ORDER BY id",
        e);
    if (!q)
        return ERR_FORMAT;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        if (n == room) {
            room = room ? room * 2 : 16;
            list = realloc(list, (size_t)room * sizeof *list);
            if (!list)
                abort();
        }
        struct store_campaign *c = &list[n++];
        *c = (struct store_campaign){.id = sqlite3_column_int64(q, 0),
                                     .digest = (uint64_t)sqlite3_column_int64(q, 1),
                                     .seed = (uint64_t)sqlite3_column_int64(q, 2)};
        const char **const text[] = {&c->name,     &c->text, &c->search,  &c->machine, &c->model,
                                     &c->workload, &c->code, &c->stopped, &c->settings};
        for (int i = 0; i < 9; i++)
            *text[i] = arena_strdup(a, text_of(q, 3 + i));
        parse_objectives(text_of(q, 12), c);
        c->count = count_asks(s, c->id);
    }
    if (rc == SQLITE_DONE) {
        *out = ARENA_NEWS(a, (size_t)n, struct store_campaign);
        if (n)
            memcpy(*out, list, (size_t)n * sizeof *list);
    } else {
        store_fail(s, e, "cannot read the campaigns");
    }
    sqlite3_finalize(q);
    free(list);
    return rc == SQLITE_DONE ? n : ERR_FORMAT;
}

int store_count(struct store *s, int64_t *points, int64_t *campaigns, struct err *e)
{
    sqlite3_stmt *q =
        store_prepare(s, "SELECT (SELECT count(*) FROM point), (SELECT count(*) FROM campaign)", e);
    int rc = q && sqlite3_step(q) == SQLITE_ROW ? 0 : store_fail(s, e, "cannot read");
    if (rc == 0) {
        *points = sqlite3_column_int64(q, 0);
        *campaigns = sqlite3_column_int64(q, 1);
    }
    sqlite3_finalize(q);
    return rc;
}

// --- validations

static uint64_t validation_digest(uint64_t campaign, const struct store_validation *v)
{
    const char *const text[] = {v->policy, v->sync, v->machine, v->model};
    const int whole[] = {v->n_prompt, v->n_gen, v->repeats};
    const double number[] = {v->predicted_ttft_ms, v->ttft_ms, v->ttft_spread,
                             v->predicted_tpot_ms, v->tpot_ms, v->tpot_spread};
    uint64_t d = digest_u64(digest_u64(DIGEST_INIT, campaign), v->key);
    for (int i = 0; i < 4; i++)
        d = digest_str(d, text[i]);
    for (int i = 0; i < 3; i++)
        d = digest_u64(d, (uint64_t)whole[i]);
    for (int i = 0; i < 6; i++)
        d = isnan(number[i]) ? digest_str(d, "nan") : digest_f64(d, number[i]);
    return d;
}

// Of a campaign in whatever store: its digest and code.
static uint64_t campaign_name(struct store *s, int64_t id)
{
    sqlite3_stmt *q = store_prepare(s, "SELECT digest, code FROM campaign WHERE id = ?", NULL);
    uint64_t d = 0;
    sqlite3_bind_int64(q, 1, id);
    if (q && sqlite3_step(q) == SQLITE_ROW)
        d = digest_str(digest_u64(DIGEST_INIT, (uint64_t)sqlite3_column_int64(q, 0)),
                       text_of(q, 1));
    sqlite3_finalize(q);
    return d;
}

int store_add_validation(struct store *s, int64_t campaign, const struct store_validation *v,
                         struct err *e)
{
    if (store_begin(s, e) < 0)
        return ERR_IO;
    sqlite3_stmt *q = store_prepare(
        s,
        "INSERT INTO validation (digest, campaign, key, policy, sync, machine, model, prompt,"
        " gen, repeats, predicted_ttft_ms, ttft_ms, ttft_spread, predicted_tpot_ms, tpot_ms,"
        " tpot_spread) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (digest) DO NOTHING",
        e);
    if (!q)
        return s->failed = ERR_FORMAT;
    const char *const text[] = {v->policy, v->sync, v->machine, v->model};
    const double number[] = {v->predicted_ttft_ms, v->ttft_ms, v->ttft_spread,
                             v->predicted_tpot_ms, v->tpot_ms, v->tpot_spread};
    sqlite3_bind_int64(q, 1, (int64_t)validation_digest(campaign_name(s, campaign), v));
    sqlite3_bind_int64(q, 2, campaign);
    sqlite3_bind_int64(q, 3, (int64_t)v->key);
    for (int i = 0; i < 4; i++)
        bind_text(q, 4 + i, text[i]);
    sqlite3_bind_int(q, 8, v->n_prompt);
    sqlite3_bind_int(q, 9, v->n_gen);
    sqlite3_bind_int(q, 10, v->repeats);
    for (int i = 0; i < 6; i++)
        sqlite3_bind_double(q, 11 + i, number[i]);
    int rc = store_step(s, q, "cannot write a validation", e);
    sqlite3_finalize(q);
    return rc;
}

int store_validations(struct store *s, int64_t campaign, struct arena *a,
                      struct store_validation **out, struct err *e)
{
    int n = 0, room = 0, rc;
    struct store_validation *list = NULL;
    sqlite3_stmt *q = store_prepare(
        s,
        "SELECT key, policy, sync, machine, model, prompt, gen, repeats, predicted_ttft_ms,"
        " ttft_ms, ttft_spread, predicted_tpot_ms, tpot_ms, tpot_spread FROM validation"
        " WHERE campaign = ? ORDER BY machine, model, prompt, gen, policy, sync, digest",
        e);
    if (!q)
        return ERR_FORMAT;
    sqlite3_bind_int64(q, 1, campaign);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        if (n == room) {
            room = room ? room * 2 : 16;
            list = realloc(list, (size_t)room * sizeof *list);
            if (!list)
                abort();
        }
        struct store_validation *v = &list[n++];
        *v = (struct store_validation){.key = (uint64_t)sqlite3_column_int64(q, 0),
                                       .n_prompt = sqlite3_column_int(q, 5),
                                       .n_gen = sqlite3_column_int(q, 6),
                                       .repeats = sqlite3_column_int(q, 7)};
        const char **const text[] = {&v->policy, &v->sync, &v->machine, &v->model};
        double *const number[] = {&v->predicted_ttft_ms, &v->ttft_ms, &v->ttft_spread,
                                  &v->predicted_tpot_ms, &v->tpot_ms, &v->tpot_spread};
        for (int i = 0; i < 4; i++)
            *text[i] = arena_strdup(a, text_of(q, 1 + i));
        for (int i = 0; i < 6; i++)
            *number[i] = double_of(q, 8 + i);
    }
    if (rc == SQLITE_DONE) {
        *out = ARENA_NEWS(a, (size_t)n, struct store_validation);
        if (n)
            memcpy(*out, list, (size_t)n * sizeof *list);
    } else {
        store_fail(s, e, "cannot read the validations");
    }
    sqlite3_finalize(q);
    free(list);
    return rc == SQLITE_DONE ? n : ERR_FORMAT;
}
