// SPDX-License-Identifier: GPL-3.0-or-later
// The coordinator knows nothing that is not in the main store, but for how often a point was lost;
// so it may die at any moment, and whoever starts it again goes on where it was.
//
// A task evaluates its points in order and keeps each in its own store. When it dies (its node is
// gone, memory ran out, the time limit) some points are missing: they are asked again, in smaller
// parts every time, until at the last try every point has a task of its own. So only a point that
// kills its task itself is given up: it is recorded as crashed, as a local run would, and the
// campaign goes on.
#include "explore/remote.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "explore/store.h"

// How often a point was lost.
struct loss {
    uint64_t key;
    int times;
};

struct coordinator {
    const struct remote_request *q;
    struct store *store;
    struct remote_round round;
    struct remote_points asked; // of this round
    uint64_t *key;              // [asked.n]
    struct loss *loss;          // by key
    int64_t n_losses, room;
    int64_t finished, ever; // points that the last round, and all rounds, gave
};

// More points than this that all kill their tasks: it is not the points.
enum { MANY = 16 };

// Of a round with lost points, whose parts are small. Slurm's arrays end at 1001 unless told else.
enum { MAX_TASKS = 1000 };

void remote_shard_path(const struct remote_round *r, int task, char *buf, size_t size)
{
    snprintf(buf, size, "%s/shard-%d-%d.db", r->folder, r->number, task);
}

// --- losses

static int *times_lost(struct coordinator *c, uint64_t key, bool add)
{
    for (int64_t i = 0; i < c->n_losses; i++)
        if (c->loss[i].key == key)
            return &c->loss[i].times;
    if (!add)
        return NULL;
    if (c->n_losses == c->room) {
        c->room = c->room ? c->room * 2 : 64;
        c->loss = realloc(c->loss, (size_t)c->room * sizeof *c->loss);
        if (!c->loss)
            abort();
    }
    c->loss[c->n_losses] = (struct loss){key, 0};
    return &c->loss[c->n_losses++].times;
}

static int losses(struct coordinator *c, uint64_t key)
{
    const int *n = times_lost(c, key, false);
    return n ? *n : 0;
}

// --- merging

static bool is_shard(const char *name)
{
    size_t n = strlen(name);
    return !strncmp(name, "shard-", 6) && n > 3 && !strcmp(name + n - 3, ".db");
}

static void remove_store(const char *path)
{
    static const char *const more[] = {"", "-wal", "-shm", "-journal", "-lock"};
    char text[1100];
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        snprintf(text, sizeof text, "%s%s", path, more[i]);
        unlink(text);
    }
}

// Opened as a writer first: that brings a store which was being written when its task died back
// into order, and fails where the task still lives.
static int recover(const char *path, struct err *e)
{
    struct store *s;
    int rc = store_open(path, STORE_WRITE, &s, e);
    return rc < 0 ? rc : store_close(s, e);
}

static void note(const struct coordinator *c, const char *name, const struct err *why)
{
    char text[800], buf[600];
    snprintf(text, sizeof text, "%.100s is left %s: %s", name,
             why->code == ERR_IO ? "for later" : "out", err_text(why, buf, sizeof buf));
    c->q->scheduler->note(c->q->scheduler->user, text);
}

// Takes everything that tasks left. A shard that cannot be read (its machine went down while it was
// written) is dropped, one that is still being written stays for later: their points are asked
// again.
static int merge_shards(struct coordinator *c, struct err *e)
{
    struct dirent *d;
    int rc = 0;
    DIR *dir = opendir(c->q->folder);
    if (!dir)
        return err_at(e, ERR_IO, c->q->folder, 0, NULL, "%s", strerror(errno));
    while (rc == 0 && (d = readdir(dir))) {
        char path[1024];
        struct err why = {0};
        if (!is_shard(d->d_name))
            continue;
        snprintf(path, sizeof path, "%s/%s", c->q->folder, d->d_name);
        if (recover(path, &why) < 0 || store_merge(c->store, path, &why) < 0)
            note(c, d->d_name, &why);
        // Only what is safe in the main store may go.
        rc = store_commit(c->store, e);
        if (rc == 0 && why.code != ERR_IO)
            remove_store(path);
    }
    closedir(dir);
    return rc;
}

// --- one round

// A point that was lost with a task of its own, after it was lost before.
static int give_up(struct coordinator *c, const struct campaign_missing *m, struct err *e)
{
    struct campaign_row r = m->row;
    metrics_init(&r.m, METRICS_CRASHED);
    snprintf(r.m.reason, sizeof r.m.reason,
             "its task ended without a result %d times, the last time alone", c->q->tries);
    return store_put(c->store, &r, e);
}

// Points per task. The more often something was lost, the smaller the parts, to one at last.
static int64_t chunk_of(const struct remote_request *q, int64_t n, int lost)
{
    int64_t chunk = (n + q->tasks - 1) / q->tasks;
    if (q->chunk && chunk > q->chunk)
        chunk = q->chunk;
    for (int i = 0; i < lost; i++)
        chunk = (chunk + 7) / 8;
    return lost && lost >= q->tries - 1 ? 1 : chunk;
}

// Chooses what this round evaluates; 1: something, 0: all of it was given up.
static int choose(struct coordinator *c, const struct campaign *known, struct err *e)
{
    int lost = 0;
    int64_t hopeless = 0;
    for (int64_t i = 0; i < known->n_missing; i++)
        hopeless += losses(c, known->missing[i].row.key) >= c->q->tries;
    if (hopeless && (!c->ever || (!c->finished && hopeless > MANY)))
        return err_at(e, ERR_DEVICE, c->q->folder, 0, NULL,
                      "no task of the last round has left a result; see their logs here");
    c->asked.n = 0;
    for (int64_t i = 0; i < known->n_missing; i++) {
        const struct campaign_missing *m = &known->missing[i];
        int n = losses(c, m->row.key);
        if (n >= c->q->tries) {
            if (give_up(c, m, e) < 0)
                return e->code;
            continue;
        }
        lost = n > lost ? n : lost;
        remote_points_add(&c->asked, &m->p);
        c->key = realloc(c->key, (size_t)c->asked.room * sizeof *c->key);
        if (!c->key)
            abort();
        c->key[c->asked.n - 1] = m->row.key;
    }
    if (!c->asked.n)
        return store_commit(c->store, e);
    int64_t chunk = chunk_of(c->q, c->asked.n, lost);
    int64_t tasks = lost && c->q->tasks < MAX_TASKS ? MAX_TASKS : c->q->tasks;
    if (c->asked.n > chunk * tasks)
        c->asked.n = chunk * tasks; // the rest is asked in the next round
    c->round.tasks = (int)((c->asked.n + chunk - 1) / chunk);
    c->round.points = c->asked.n;
    return 1;
}

static bool stopping(const struct coordinator *c)
{
    return c->q->campaign.stop && *c->q->campaign.stop;
}

static int count_losses(struct coordinator *c, struct err *e)
{
    struct arena a;
    struct campaign_row r;
    int rc = 0;
    c->finished = 0;
    arena_init(&a);
    for (int64_t i = 0; rc >= 0 && i < c->asked.n; i++) {
        struct arena_mark mark = arena_mark(&a);
        rc = store_find(c->store, c->key[i], &a, &r, e);
        if (rc == 0)
            ++*times_lost(c, c->key[i], true);
        c->finished += rc > 0;
        arena_rewind(&a, mark);
    }
    arena_fini(&a);
    c->ever += c->finished;
    return rc < 0 ? rc : 0;
}

static int evaluate(struct coordinator *c, struct err *e)
{
    const struct remote_scheduler *s = c->q->scheduler;
    c->round.number++;
    c->round.folder = c->q->folder;
    snprintf(c->round.points_path, sizeof c->round.points_path, "%.400s/points-%d.txt",
             c->q->folder, c->round.number);
    if (remote_points_write(c->round.points_path, c->q->campaign.space, &c->asked, e) < 0)
        return e->code;
    int rc = s->submit(s->user, &c->round, e);
    while (rc >= 0 && !stopping(c) && (rc = s->wait(s->user, &c->round, e)) > 0)
        ;
    if (rc < 0 || stopping(c))
        s->cancel(s->user, &c->round);
    // Whatever went wrong, what is finished is kept.
    struct err merge = {0};
    int merged = merge_shards(c, &merge);
    unlink(c->round.points_path);
    if (rc < 0)
        return rc;
    if (merged < 0) {
        *e = merge;
        return merged;
    }
    return stopping(c) ? 0 : count_losses(c, e);
}

int remote_run(const struct remote_request *q, struct campaign *out, struct err *e)
{
    struct coordinator c = {.q = q, .store = q->campaign.store};
    struct campaign_request ask = q->campaign;
    ask.ask_only = true;
    ask.jobs = 0;
    c.round.number = q->first - 1;
    int rc = merge_shards(&c, e);
    while (rc >= 0) {
        bool last = stopping(&c);
        ask.stop = last ? NULL : q->campaign.stop; // a last look at what is known
        rc = campaign_run(&ask, out, e);
        if (rc >= 0 && last && out->n_missing) {
            out->interrupted = true;
            out->reason = STOP_INTERRUPTED;
            out->stopped = stop_text(STOP_INTERRUPTED);
        }
        if (rc < 0 || last || (!out->n_missing && !out->interrupted))
            break;
        if (out->interrupted) {
            campaign_fini(out);
            continue;
        }
        rc = choose(&c, out, e);
        if (rc > 0)
            rc = evaluate(&c, e);
        campaign_fini(out);
        ask.retry = false; // once
    }
    // Tasks that were late: their points are known by now, their stores need not stay.
    struct err late = {0};
    if (rc >= 0 && merge_shards(&c, &late) < 0) {
        *e = late;
        rc = late.code;
        campaign_fini(out);
    }
    remote_points_fini(&c.asked);
    free(c.key);
    free(c.loss);
    return rc < 0 ? rc : 0;
}
