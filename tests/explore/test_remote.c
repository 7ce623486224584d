// SPDX-License-Identifier: GPL-3.0-or-later
// Campaigns evaluated by tasks: whatever happens to tasks, the result is that of a local run. The
// scheduler here starts processes and kills some of them.
#include "explore/remote.h"
#include <dirent.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/digest.h"
#include "explore/store.h"
#include "tests/explore/util.h"

// --- metrics by formula; one point may kill the process that evaluates it

struct formula {
    int killer_policy, killer_sync; // -1: none
};

static void *formula_open(const void *context)
{
    return (void *)(uintptr_t)context;
}

static int evaluations; // in this process

static void formula_run(void *state, const struct search_point *p, struct metrics *out)
{
    const struct formula *f = state;
    if (p->choice[0] == f->killer_policy && p->choice[2] == f->killer_sync)
        raise(SIGKILL);
    evaluations++;
    metrics_init(out, METRICS_OK);
    out->value[METRIC_TTFT] = 100 + 10 * p->choice[0] + p->choice[1] + 0.1 * p->choice[3];
    out->value[METRIC_TPOT] = 50 - p->choice[1];
    out->value[METRIC_ENERGY] = 5 + p->choice[2];
    out->digest = digest_bytes(DIGEST_INIT, p->choice, 4 * sizeof p->choice[0]);
}

static void formula_close(void *state)
{
    (void)state;
}

static const struct campaign_worker formula_worker = {formula_open, formula_run, formula_close};
static const struct formula plain = {-1, -1};

// --- a searcher whose every question depends on every answer before it

struct search {
    struct search_space space;
    uint64_t heard;
    int64_t n, out; // points left; asked and not told
    struct search_point left[64];
};

static struct search *curious_open(const struct search_space *space, const void *options,
                                   uint64_t seed, struct err *e)
{
    struct search *s = calloc(1, sizeof *s);
    (void)options, (void)e;
    s->space = *space;
    s->heard = seed;
    for (bool more = search_first(space, &s->left[0]); more && s->n < 63;) {
        s->left[s->n + 1] = s->left[s->n];
        more = search_next(space, &s->left[++s->n]);
    }
    return s;
}

static bool curious_ask(struct search *s, struct search_point *out)
{
    if (!s->n || s->out == 3)
        return false;
    int64_t i = (int64_t)(digest_u64(s->heard, 1) % (uint64_t)s->n);
    *out = s->left[i];
    s->left[i] = s->left[--s->n];
    s->out++;
    return true;
}

static void curious_tell(struct search *s, const struct search_point *p,
                         const struct search_outcome *o)
{
    (void)p;
    s->out--;
    s->heard = digest_f64(s->heard, o->ok ? o->objective[0] : -1);
}

static bool curious_done(const struct search *s)
{
    return !s->n;
}

static void curious_close(struct search *s)
{
    free(s);
}

static const struct search_ops curious = {
    "curious",    "",           NULL,         0, 0, true, curious_open, curious_ask,
    curious_tell, curious_done, curious_close};

// --- a scheduler of processes

enum { MAX_TASKS = 64 };

struct processes {
    const struct campaign_request *q;
    pid_t pid[MAX_TASKS];
    int kill_after; // a task dies after so many points, in the first `kill_rounds` rounds; -1: none
    int kill_rounds;
    int rounds, tasks, most; // seen: rounds, tasks in all, most points of a task
    bool refuse;
    volatile sig_atomic_t *stop_in_round; // set while the first round runs
    int notes;
};

// A worker that dies after so many evaluations.
static int fuse;

static void fuse_run(void *state, const struct search_point *p, struct metrics *out)
{
    if (fuse-- == 0)
        raise(SIGKILL);
    usleep(51000); // long enough that the campaign commits after every point
    formula_run(state, p, out);
}

static const struct campaign_worker fuse_worker = {formula_open, fuse_run, formula_close};

static _Noreturn void task(const struct processes *t, const struct remote_round *r, int i)
{
    struct campaign_request q = *t->q;
    struct remote_points l;
    struct campaign c;
    struct err e = {0};
    char path[600];
    int rc = remote_points_read(r->points_path, q.space, &l, &e);
    remote_shard_path(r, i, path, sizeof path);
    if (rc >= 0)
        rc = store_open(path, STORE_WRITE, &q.store, &e);
    remote_points_part(&l, i, r->tasks);
    q.search = &remote_list;
    q.search_options = &l;
    q.rules = (struct stop_rules){0};
    q.points_only = true;
    q.stop = NULL;
    if (t->kill_after >= 0 && r->number <= t->kill_rounds) {
        q.worker = &fuse_worker;
        fuse = t->kill_after + i;
    }
    if (rc >= 0 && campaign_run(&q, &c, &e) >= 0)
        store_close(q.store, &e);
    _exit(0);
}

static int submit(void *user, const struct remote_round *r, struct err *e)
{
    struct processes *t = user;
    if (t->refuse)
        return err_set(e, ERR_DEVICE, "no such partition");
    t->rounds++;
    t->tasks += r->tasks;
    int64_t points = (r->points + r->tasks - 1) / r->tasks;
    t->most = points > t->most ? (int)points : t->most;
    fflush(NULL);
    for (int i = 0; i < r->tasks; i++)
        if ((t->pid[i] = fork()) == 0)
            task(t, r, i);
    if (t->stop_in_round && t->rounds == 1)
        *t->stop_in_round = 1;
    return 0;
}

static int wait_all(void *user, const struct remote_round *r, struct err *e)
{
    struct processes *t = user;
    (void)e;
    for (int i = 0; i < r->tasks; i++)
        waitpid(t->pid[i], NULL, 0);
    return 0;
}

static void cancel(void *user, const struct remote_round *r)
{
    wait_all(user, r, NULL);
}

static void note(void *user, const char *text)
{
    (void)text;
    ((struct processes *)user)->notes++;
}

// --- both ways

struct result {
    uint64_t digest, store;
    int64_t count, crashed;
    bool interrupted;
    struct processes seen;
};

static struct campaign_request request(const struct space *s, const struct search_ops *search,
                                       const struct formula *f, int window)
{
    return (struct campaign_request){.space = s,
                                     .search = search,
                                     .seed = 5,
                                     .window = window,
                                     .worker = &formula_worker,
                                     .context = f};
}

static const char *fresh(const char *name)
{
    static char path[4][300];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", test_tmpdir(), name);
    return p;
}

static struct result finish(struct campaign_request *q, struct campaign *c)
{
    struct err e = {0};
    struct result r = {.digest = c->digest,
                       .count = c->count,
                       .crashed = c->crashed,
                       .interrupted = c->interrupted};
    CHECK_INT(c->n_missing > 0, c->interrupted);
    CHECK_OK(store_digest(q->store, &r.store, &e), &e);
    CHECK_OK(store_close(q->store, &e), &e);
    campaign_fini(c);
    return r;
}

static struct result locally(struct campaign_request q, const char *store)
{
    struct campaign c;
    struct err e = {0};
    q.jobs = 1;
    unlink(store);
    CHECK_OK(store_open(store, STORE_WRITE, &q.store, &e), &e);
    if (!CHECK_OK(campaign_run(&q, &c, &e), &e))
        return (struct result){0};
    return finish(&q, &c);
}

// In tasks; goes on with a store that is there.
static int in_tasks(struct campaign_request q, const char *store, int tasks, struct processes *t,
                    struct result *out, struct err *e)
{
    struct remote_scheduler ops = {submit, wait_all, cancel, note, t};
    struct remote_request r = {
        .scheduler = &ops, .folder = fresh("shards"), .tasks = tasks, .first = 1, .tries = 3};
    struct campaign c;
    struct err late = {0};
    mkdir(r.folder, 0777);
    t->q = &r.campaign;
    CHECK_OK(store_open(store, STORE_WRITE, &q.store, &late), &late);
    r.campaign = q;
    evaluations = 0;
    int rc = remote_run(&r, &c, e);
    CHECK_INT(evaluations, 0); // nothing is evaluated by the coordinator
    if (rc >= 0) {
        *out = finish(&q, &c);
        out->seen = *t;
    } else {
        store_close(q.store, &late);
    }
    return rc;
}

static int count_files(const char *folder)
{
    struct dirent *d;
    int n = 0;
    DIR *dir = opendir(folder);
    while (dir && (d = readdir(dir)))
        n += d->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

static void same(const struct result *a, const struct result *b)
{
    CHECK_INT(a->count, b->count);
    CHECK(a->digest == b->digest);
    CHECK(a->store == b->store);
}

static const struct search_ops *find(const char *name)
{
    for (size_t i = 0; i < search_registry_count; i++)
        if (!strcmp(search_registry[i]->name, name))
            return search_registry[i];
    return NULL;
}

// --- tests

static void test_as_locally(void)
{
    struct space *s = space_of(SMALL_SPACE);
    const struct search_ops *const search[] = {find("exhaustive"), &curious};
    for (int i = 0; i < 2; i++)
        for (int tasks = 1; tasks <= 4; tasks += 3) {
            struct err e = {0};
            struct processes t = {.kill_after = -1};
            struct campaign_request q = request(s, search[i], &plain, i ? 5 : 0);
            struct result a = locally(q, fresh("local.db")), b = {0};
            unlink(fresh("tasks.db"));
            CHECK_OK(in_tasks(q, fresh("tasks.db"), tasks, &t, &b, &e), &e);
            CHECK_INT(a.count, 12);
            same(&a, &b);
            // One array when questions do not depend on answers; rounds of three else.
            CHECK_INT(b.seen.rounds, i ? 4 : 1);
            CHECK_INT(count_files(fresh("shards")), 0);
            // And again: everything is known.
            t = (struct processes){.kill_after = -1};
            CHECK_OK(in_tasks(q, fresh("tasks.db"), tasks, &t, &b, &e), &e);
            CHECK_INT(b.seen.rounds, 0);
            same(&a, &b);
        }
    space_close(s);
}

// The answers matter: this searcher asks in another order when they are others.
static void test_budget(void)
{
    struct space *s = space_of(SMALL_SPACE);
    struct processes t = {.kill_after = -1};
    struct err e = {0};
    struct campaign_request q = request(s, find("random"), &plain, 0);
    q.rules.budget = 7;
    struct result a = locally(q, fresh("local.db")), b = {0};
    unlink(fresh("tasks.db"));
    CHECK_OK(in_tasks(q, fresh("tasks.db"), 3, &t, &b, &e), &e);
    CHECK_INT(b.count, 7); // and not a point more in the store
    same(&a, &b);
    space_close(s);
}

// Every task of the first round dies after 0, 1, 2, .. points: these are kept, the rest is asked
// again.
static void test_lost_tasks(void)
{
    struct space *s = space_of(SMALL_SPACE);
    const struct search_ops *const search[] = {find("exhaustive"), &curious};
    for (int i = 0; i < 2; i++) {
        struct processes t = {.kill_after = 0, .kill_rounds = 1};
        struct err e = {0};
        struct campaign_request q = request(s, search[i], &plain, 0);
        struct result a = locally(q, fresh("local.db")), b = {0};
        unlink(fresh("tasks.db"));
        CHECK_OK(in_tasks(q, fresh("tasks.db"), 3, &t, &b, &e), &e);
        same(&a, &b);
        CHECK_INT(b.seen.rounds, i ? 5 : 2);
        if (i == 0) // 3 tasks finish 0, 1 and 2 of their 4 points; 9 remain, one by one
            CHECK_INT(b.seen.tasks, 3 + 9);
        CHECK_INT(b.seen.notes, 0);
    }
    space_close(s);
}

// A point that kills whoever evaluates it is given up after three tries, the last one alone; its
// neighbours are not. A local run, where only a worker dies, says the same.
static void test_killer(void)
{
    struct space *s = space_of(SMALL_SPACE);
    const struct formula killer = {0, 0}; // gpu_only with driver
    struct processes t = {.kill_after = -1};
    struct err e = {0};
    struct campaign_request q = request(s, find("exhaustive"), &killer, 0);
    struct result a = locally(q, fresh("local.db")), b = {0};
    unlink(fresh("tasks.db"));
    CHECK_OK(in_tasks(q, fresh("tasks.db"), 2, &t, &b, &e), &e);
    CHECK_INT(a.crashed, 1);
    CHECK_INT(b.crashed, 1);
    CHECK_INT(b.count, 12);
    CHECK(a.digest == b.digest);
    CHECK_INT(b.seen.rounds, 3);
    struct store *store;
    struct campaign_row *row;
    struct arena arena;
    arena_init(&arena);
    CHECK_OK(store_open(fresh("tasks.db"), STORE_READ, &store, &e), &e);
    int n = store_rows(store, 1, &arena, &row, &e);
    CHECK_INT(n, 12);
    for (int i = 0; i < n; i++)
        if (row[i].m.status == METRICS_CRASHED)
            CHECK_HAS(row[i].m.reason, "3 times");
    store_close(store, NULL);
    arena_fini(&arena);
    space_close(s);
}

// Tasks that never give anything: the fault is not the points', and nothing is recorded.
static void test_nothing_works(void)
{
    struct space *s = space_of(SMALL_SPACE);
    struct processes t = {.kill_after = 0, .kill_rounds = 100};
    struct err e = {0};
    struct result b = {0};
    struct campaign_request q = request(s, find("exhaustive"), &plain, 0);
    unlink(fresh("tasks.db"));
    q.rules.budget = 1; // one task, which dies at its first point
    CHECK_INT(in_tasks(q, fresh("tasks.db"), 1, &t, &b, &e), ERR_DEVICE);
    CHECK_HAS(e.msg, "no task");
    CHECK_INT(t.rounds, 3);
    t = (struct processes){.refuse = true};
    CHECK_INT(in_tasks(q, fresh("tasks.db"), 1, &t, &b, &e), ERR_DEVICE);
    CHECK_HAS(e.msg, "no such partition");
    t = (struct processes){.kill_after = -1}; // and goes on when it works again
    struct result a = locally(q, fresh("local.db"));
    CHECK_OK(in_tasks(q, fresh("tasks.db"), 1, &t, &b, &e), &e);
    same(&a, &b);
    space_close(s);
}

// A stop keeps what was finished; the next run takes what tasks left, also damaged files.
static void test_stop_and_leftovers(void)
{
    struct space *s = space_of(SMALL_SPACE);
    volatile sig_atomic_t stop = 0;
    struct processes t = {.kill_after = 1, .kill_rounds = 1, .stop_in_round = &stop};
    struct err e = {0};
    struct campaign_request q = request(s, find("exhaustive"), &plain, 0);
    struct result a = locally(q, fresh("local.db")), b = {0};
    unlink(fresh("tasks.db"));
    q.stop = &stop;
    CHECK_OK(in_tasks(q, fresh("tasks.db"), 3, &t, &b, &e), &e);
    CHECK(b.interrupted);
    CHECK_INT(b.count, 1); // a gapless beginning of what is known
    stop = 0;
    // As a coordinator leaves it that was killed: shards that nobody merged, one of them damaged.
    struct store *shard;
    char path[600];
    snprintf(path, sizeof path, "%s/shard-7-0.db", fresh("shards"));
    CHECK_OK(store_open(path, STORE_WRITE, &shard, &e), &e);
    struct campaign_request one = q;
    struct campaign c;
    one.store = shard;
    one.points_only = true;
    one.rules.budget = 11;
    CHECK_OK(campaign_run(&one, &c, &e), &e);
    campaign_fini(&c);
    CHECK_OK(store_close(shard, &e), &e);
    snprintf(path, sizeof path, "%s/shard-7-1.db", fresh("shards"));
    FILE *f = fopen(path, "w");
    if (CHECK(f != NULL)) {
        fprintf(f, "not a store, but the disk was full and so this is what is left of it");
        fclose(f);
    }
    t = (struct processes){.kill_after = -1};
    CHECK_OK(in_tasks(q, fresh("tasks.db"), 3, &t, &b, &e), &e);
    CHECK_INT(b.seen.notes, 1);
    CHECK_INT(b.seen.tasks, 1); // only the twelfth point was missing
    same(&a, &b);
    space_close(s);
}

// Each point is in exactly one part, whatever the number of parts.
static void test_parts(void)
{
    for (int n = 1; n <= 9; n++)
        for (int total = 0; total <= 13; total++) {
            int next = 0;
            for (int i = 0; i < n; i++) {
                struct remote_points l = {0};
                for (int k = 0; k < total; k++)
                    remote_points_add(&l, &(struct search_point){.choice = {k}});
                remote_points_part(&l, i, n);
                CHECK(l.n == total / n || l.n == total / n + 1);
                for (int64_t k = 0; k < l.n; k++)
                    CHECK_INT(l.p[k].choice[0], next++);
                remote_points_fini(&l);
            }
            CHECK_INT(next, total);
        }
}

static void refuses(const struct space *s, const char *text, int line, const char *part)
{
    struct remote_points l;
    struct err e = {0};
    FILE *f = fopen(fresh("bad.txt"), "w");
    if (!CHECK(f != NULL))
        return;
    fputs(text, f);
    fclose(f);
    CHECK_INT(remote_points_read(fresh("bad.txt"), s, &l, &e), ERR_FORMAT);
    CHECK_INT(e.line, line);
    CHECK_HAS(e.msg, part);
}

static void test_points_file(void)
{
    struct space *s = space_of(SMALL_SPACE), *other = space_of(SMALL_SPACE "objectives = "
                                                                           "[\"ttft_ms\"];");
    struct search_space view;
    struct search_point p;
    struct remote_points l = {0}, back;
    struct err e = {0};
    char *text = NULL, line[600];
    size_t room = 0;
    space_search(s, &view);
    for (bool more = search_first(&view, &p); more; more = search_next(&view, &p))
        remote_points_add(&l, &p);
    CHECK_OK(remote_points_write(fresh("points.txt"), s, &l, &e), &e);
    CHECK_OK(remote_points_read(fresh("points.txt"), s, &back, &e), &e);
    CHECK_INT(back.n, 12);
    for (int64_t i = 0; i < back.n; i++)
        CHECK(!memcmp(&back.p[i], &l.p[i], sizeof l.p[0]));
    remote_points_fini(&back);
    CHECK_INT(remote_points_read(fresh("points.txt"), other, &back, &e), ERR_FORMAT);
    CHECK_HAS(e.msg, "another space");
    FILE *f = fopen(fresh("points.txt"), "r");
    CHECK(f && getline(&text, &room, f) > 0);
    static const char *const bad[] = {"0 . 0 @0",
                                      "0 . 0 . @0 1",
                                      "0 . 0 . @1",
                                      "9 . 0 . @0",
                                      "-1 . 0 . @0",
                                      "0 1 0 . @0",
                                      "0 . 0 .",
                                      "",
                                      "0 . 0 . @0x",
                                      ". . 0 . @0",
                                      "1 . 0 . @0",
                                      "0  . 0 . @0",
                                      "99999999999999999999 . 0 . @0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(line, sizeof line, "%s0 . 0 . @0\n%s\n", text, bad[i]);
        refuses(s, line, 3, "no point of");
    }
    refuses(s, "", 1, "--ask");
    refuses(s, "partita points 1 0000000000000000 0123456789abcdef 4\n", 1, "another version");
    CHECK_INT(remote_points_read("nowhere.txt", s, &back, &e), ERR_IO);
    CHECK_INT(remote_points_write("/nowhere/x.txt", s, &l, &e), ERR_IO);
    if (f)
        fclose(f);
    free(text);
    remote_points_fini(&l);
    space_close(s);
    space_close(other);
}

TESTS(explore_remote, T(test_as_locally), T(test_budget), T(test_lost_tasks), T(test_killer),
      T(test_nothing_works), T(test_stop_and_leftovers), T(test_parts), T(test_points_file))
