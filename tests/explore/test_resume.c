// SPDX-License-Identifier: GPL-3.0-or-later
// Campaigns with a store: one that was stopped or killed, and run again, ends as one that was not;
// what anybody evaluated is not evaluated again; a full disk loses nothing that was reported.
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/rng.h"
#include "explore/evaluate.h"
#include "explore/identity.h"
#include "explore/store.h"
#include "tests/explore/formula.h"
#include "tests/explore/util.h"

// 25 policies with their options, 21 schemes.
#define BIG_SPACE                                                                                  \
    "machine = \"soc:sd8gen3\"; model = \"qwen2-1.5b\"; prompt = 32; gen = 3;\n"                   \
    "objectives = [\"ttft_ms\", \"tpot_ms\", \"energy_j\"];\n"                                     \
    "policies = ({name = \"gpu_only\";}, {name = \"hetero_tensor\"; parts = [4, 8, 16, 32];\n"     \
    "  margin = [\"0 %\", \"1 %\", \"2 %\", \"3 %\", \"4 %\", \"5 %\"];});\n"                      \
    "syncs = ({name = \"driver\";}, {name = \"sleep_poll\";\n"                                     \
    "  margin = [\"20 us\", \"30 us\", \"40 us\", \"50 us\", \"60 us\"];\n"                        \
    "  granularity = [\"50 us\", \"60 us\", \"70 us\", \"90 us\"];});\n"
enum { BIG_POINTS = 525 };

static const char *fresh(const char *name)
{
    static char path[8][600];
    static int turn;
    char *p = path[turn++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", test_tmpdir(), name);
    unlink(p);
    return p;
}

// Counters that workers share with us.
static int *shared_int(void)
{
    int *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        abort();
    *p = 0;
    return p;
}

static uint64_t digest_of(const char *path)
{
    struct store *s;
    struct err e = {0};
    uint64_t d = 0;
    if (CHECK_OK(store_open(path, STORE_READ, &s, &e), &e)) {
        CHECK_OK(store_digest(s, &d, &e), &e);
        store_close(s, NULL);
    }
    return d;
}

static int64_t points_of(const char *path)
{
    struct store *s;
    struct err e = {0};
    int64_t points = -1, campaigns;
    if (CHECK_OK(store_open(path, STORE_READ, &s, &e), &e)) {
        CHECK_OK(store_count(s, &points, &campaigns, &e), &e);
        store_close(s, NULL);
    }
    return points;
}

// Runs q with a searcher by name on the store; the caller finishes *out.
static int run_on(const char *path, const char *search, struct campaign_request q,
                  struct campaign *out, struct err *e)
{
    struct arena a;
    arena_init(&a);
    q.worker = q.worker ? q.worker : &formula_worker;
    int rc = search_parse(search, &a, &q.search, &q.search_options, e);
    if (rc >= 0)
        rc = store_open(path, STORE_WRITE, &q.store, e);
    if (rc >= 0) {
        struct err late = {0};
        rc = campaign_run(&q, out, e);
        if (store_close(q.store, rc < 0 ? &late : e) < 0 && rc >= 0) {
            campaign_fini(out);
            rc = e->code;
        }
    }
    arena_fini(&a);
    return rc;
}

static bool run_ok(const char *path, const char *search, struct campaign_request q,
                   struct campaign *out)
{
    struct err e = {0};
    return CHECK_OK(run_on(path, search, q, out, &e), &e);
}

struct stopper {
    volatile sig_atomic_t stop;
    int64_t at;
};

static void stop_at(void *user, const struct campaign_progress *p)
{
    struct stopper *s = user;
    s->stop = s->stop || p->done >= s->at;
}

static const char *const searches[] = {"exhaustive", "random", "nsga2:population=20", "hill"};
enum { SEARCHES = sizeof searches / sizeof searches[0], BUDGET = 300 };

// Stopped in the middle, with another number of workers, and gone on: the same store, the same
// rows, and no point evaluated twice.
static void test_stopped_and_resumed(void)
{
    struct space *s = space_of(BIG_SPACE);
    int *evaluated = shared_int();
    const struct formula f = {
        .crash_policy = -2, .refuse_sync = 3, .delay_us = 100, .evaluated = evaluated};
    for (int i = 0; i < SEARCHES; i++) {
        struct campaign whole, first, rest;
        const char *a = fresh("whole.db"), *b = fresh("parts.db");
        struct stopper stop = {.at = 100};
        struct campaign_request q = {
            .space = s, .seed = 3, .jobs = 2, .context = &f, .rules.budget = BUDGET};
        *evaluated = 0;
        if (!run_ok(a, searches[i], q, &whole))
            continue;
        CHECK_INT(*evaluated, whole.count - whole.cached);
        int needed = *evaluated;
        q.jobs = 0;
        q.stop = &stop.stop;
        q.progress = stop_at;
        q.user = &stop;
        *evaluated = 0;
        if (!run_ok(b, searches[i], q, &first)) {
            campaign_fini(&whole);
            continue;
        }
        CHECK(first.interrupted && first.count >= 100 && first.count < whole.count);
        CHECK(digest_of(a) != digest_of(b));
        stop.stop = 0;
        stop.at = INT64_MAX;
        q.jobs = 3;
        if (run_ok(b, searches[i], q, &rest)) {
            test_note("%s: %lld points, %lld from the store", searches[i], (long long)rest.count,
                      (long long)rest.cached);
            CHECK_INT(*evaluated, needed);
            CHECK(rest.cached >= first.count);
            CHECK(rest.digest == whole.digest);
            CHECK_INT(rest.count, whole.count);
            CHECK_STR(rest.stopped, whole.stopped);
            CHECK(digest_of(a) == digest_of(b));
            campaign_fini(&rest);
        }
        campaign_fini(&first);
        campaign_fini(&whole);
    }
    munmap(evaluated, sizeof *evaluated);
    space_close(s);
}

// --- kill -9

struct reporter {
    int fd; // gets every reported count
};

static void report_to(void *user, const struct campaign_progress *p)
{
    const struct reporter *r = user;
    if (write(r->fd, &p->done, sizeof p->done) != sizeof p->done)
        _exit(3);
}

// A process that runs the campaign and tells what it reported as done.
static pid_t start_campaign(const char *path, const char *search, const struct space *s,
                            const struct formula *f, int jobs, int *reports)
{
    int fd[2];
    if (pipe(fd) < 0)
        abort();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct reporter r = {fd[1]};
        struct campaign c;
        struct err e = {0};
        struct campaign_request q = {.space = s,
                                     .seed = 3,
                                     .jobs = jobs,
                                     .context = f,
                                     .rules.budget = BUDGET,
                                     .progress = report_to,
                                     .user = &r};
        close(fd[0]);
        int rc = run_on(path, search, q, &c, &e);
        if (rc < 0)
            fprintf(stderr, "%s\n", e.msg);
        _exit(rc < 0 ? 2 : 0);
    }
    close(fd[1]);
    *reports = fd[0];
    return pid;
}

static int64_t last_report(int fd)
{
    int64_t done = 0, n;
    while (read(fd, &n, sizeof n) == sizeof n)
        done = n;
    close(fd);
    return done;
}

// Asks that the store holds of its only campaign.
static int64_t asks_of(const char *path)
{
    struct store *s;
    struct store_campaign *c;
    struct err e = {0};
    struct arena a;
    int64_t n = 0;
    if (access(path, F_OK) < 0)
        return 0;
    arena_init(&a);
    if (CHECK_OK(store_open(path, STORE_WRITE, &s, &e), &e)) {
        if (store_campaigns(s, &a, &c, &e) == 1)
            n = c->count;
        store_close(s, NULL);
    }
    arena_fini(&a);
    return n;
}

// PARTITA_KILLS: how many, default 10. The more there are, the longer a campaign takes, so that
// most find it at work.
static void test_kills(void)
{
    const char *text = getenv("PARTITA_KILLS");
    int kills = text ? atoi(text) : 10, late = 0;
    struct space *s = space_of(BIG_SPACE);
    int *evaluated = shared_int();
    const struct formula f = {
        .crash_policy = -2, .refuse_sync = 3, .delay_us = 100 * kills, .evaluated = evaluated};
    struct rng *rng = rng_create((uint64_t)time(NULL), "kills"); // moments are to differ
    prctl(PR_SET_CHILD_SUBREAPER, 1);                            // orphaned workers become ours
    for (int i = 0; i < SEARCHES; i++) {
        const char *a = fresh("undisturbed.db"), *b = fresh("killed.db");
        struct campaign c;
        struct campaign_request q = {
            .space = s, .seed = 3, .jobs = 2, .context = &f, .rules.budget = BUDGET};
        if (!run_ok(a, searches[i], q, &c))
            continue;
        int64_t needed = c.count - c.cached;
        campaign_fini(&c);
        *evaluated = 0;
        for (int k = 0; k < (kills + SEARCHES - 1) / SEARCHES; k++) {
            int reports, status;
            pid_t pid = start_campaign(b, searches[i], s, &f, 1 + k % 3, &reports);
            usleep((useconds_t)rng_below(rng, 150000));
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            late += !WIFSIGNALED(status);
            int64_t reported = last_report(reports); // its end: workers hold no copy of ours
            while (waitpid(-1, NULL, 0) > 0)
                ; // every worker ends; this would hang else
            CHECK_INT(errno, ECHILD);
            CHECK(asks_of(b) >= reported);
        }
        int wasted = *evaluated;
        if (!run_ok(b, searches[i], q, &c))
            continue;
        CHECK(digest_of(a) == digest_of(b));
        // Evaluated twice is only what had not been committed when the kill came.
        test_note("%s: %d + %lld evaluations for %lld points", searches[i], wasted,
                  (long long)(c.count - c.cached), (long long)needed);
        CHECK(wasted + c.count - c.cached <= needed + 200 * (kills + 3) / SEARCHES);
        campaign_fini(&c);
    }
    test_note("%d kills, %d came too late", kills, late);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    rng_destroy(rng);
    munmap(evaluated, sizeof *evaluated);
    space_close(s);
}

// --- one store, several campaigns

static void test_points_are_shared(void)
{
    struct space *s = space_of(BIG_SPACE), *small = space_of(SMALL_SPACE);
    const char *path = fresh("shared.db");
    int *evaluated = shared_int();
    const struct formula f = {.crash_policy = -2, .refuse_sync = -2, .evaluated = evaluated};
    struct campaign c;
    struct campaign_request q = {.space = s, .jobs = 2, .context = &f};
    if (run_ok(path, "exhaustive", q, &c)) {
        CHECK_INT(c.count, BIG_POINTS);
        CHECK_INT(*evaluated, BIG_POINTS);
        CHECK_INT(c.id, 1);
        campaign_fini(&c);
    }
    if (run_ok(path, "random", q, &c)) { // another order, nothing new
        CHECK_INT(c.cached, BIG_POINTS);
        CHECK_INT(c.id, 2);
        campaign_fini(&c);
    }
    q.space = small; // shares 4 policies under 2 schemes (one has its granularity by default)
    if (run_ok(path, "exhaustive", q, &c)) {
        CHECK_INT(c.count, 12);
        CHECK_INT(c.cached, 8);
        CHECK_INT(*evaluated, BIG_POINTS + 4);
        CHECK_INT(c.id, 3);
        campaign_fini(&c);
    }
    CHECK_INT(points_of(path), BIG_POINTS + 4);
    munmap(evaluated, sizeof *evaluated);
    space_close(s);
    space_close(small);
}

// The constraints of a space are no part of a point: the store answers, the space judges.
static void test_constraints_are_the_space_s(void)
{
    struct space *s = space_of(SMALL_SPACE),
                 *strict = space_of(SMALL_SPACE "constraints = [\"tpot_ms <= 49.5\"];");
    const char *path = fresh("strict.db");
    const struct formula f = {.crash_policy = -2, .refuse_sync = -2};
    struct campaign c;
    struct campaign_request q = {.space = s, .context = &f};
    if (run_ok(path, "exhaustive", q, &c))
        campaign_fini(&c);
    q.space = strict;
    if (run_ok(path, "exhaustive", q, &c)) {
        int64_t missed = 0;
        CHECK_INT(c.cached, 12);
        for (int i = 0; i < c.count; i++) {
            CHECK((c.row[i].m.violation > 0) == (c.row[i].m.value[METRIC_TPOT] > 49.5));
            missed += c.row[i].m.violation > 0;
        }
        CHECK(missed > 0 && missed < 12);
        struct store *st;
        struct campaign_row *rows;
        struct arena a;
        struct err e = {0};
        arena_init(&a);
        if (CHECK_OK(store_open(path, STORE_READ, &st, &e), &e)) {
            CHECK_INT(store_rows(st, c.id, &a, &rows, &e), 12);
            for (int i = 0; i < 12; i++)
                CHECK(rows[i].m.violation == c.row[i].m.violation);
            CHECK_INT(store_rows(st, 1, &a, &rows, &e), 12);
            for (int i = 0; i < 12; i++)
                CHECK(rows[i].m.violation == 0);
            store_close(st, NULL);
        }
        arena_fini(&a);
        campaign_fini(&c);
    }
    space_close(s);
    space_close(strict);
}

// --- points that crash or hang

static void test_hung_and_crashed(void)
{
    struct space *s = space_of(SMALL_SPACE);
    int *evaluated = shared_int();
    for (int hang = 0; hang < 2; hang++) {
        const char *path = fresh(hang ? "hung.db" : "crashed.db");
        struct formula f = {1, 1, -2, 0, hang, evaluated}; // hetero_tensor:parts=8
        struct campaign c;
        struct campaign_request q = {.space = s, .jobs = 2, .timeout_s = 0.5, .context = &f};
        *evaluated = 0;
        if (!run_ok(path, "exhaustive", q, &c))
            continue;
        CHECK_INT(c.count, 12);
        CHECK_INT(hang ? c.hung : c.crashed, 3);
        CHECK_INT(hang ? c.crashed : c.hung, 0);
        for (int i = 0; i < 12; i++) {
            bool bad = strstr(c.row[i].policy, "parts=8") != NULL;
            CHECK_INT(c.row[i].m.status, !bad ? METRICS_OK : hang ? METRICS_HUNG : METRICS_CRASHED);
            if (bad)
                CHECK_HAS(c.row[i].m.reason, hang ? "limit of 0.5 s" : "Killed");
        }
        campaign_fini(&c);
        int before = *evaluated;
        if (run_ok(path, "exhaustive", q, &c)) { // known to be bad
            CHECK_INT(*evaluated, before);
            CHECK_INT(c.cached, 12);
            campaign_fini(&c);
        }
        f.crash_policy = -2; // repaired
        q.retry = true;
        if (run_ok(path, "exhaustive", q, &c)) {
            CHECK_INT(*evaluated, before + 3);
            CHECK_INT(c.cached, 9);
            CHECK_INT(c.hung + c.crashed, 0);
            campaign_fini(&c);
        }
        q.retry = false;
        if (run_ok(path, "exhaustive", q, &c)) {
            CHECK_INT(c.hung + c.crashed, 0);
            CHECK_INT(c.cached, 12);
            campaign_fini(&c);
        }
    }
    munmap(evaluated, sizeof *evaluated);
    space_close(s);
}

// --- a full disk

// Runs the campaign in a process whose files may not grow beyond `limit` bytes (0: as they like);
// its exit status, and the error it met.
static int run_limited(const char *path, const struct space *s, rlim_t limit, char *says,
                       size_t size)
{
    int fd[2], status;
    if (pipe(fd) < 0)
        abort();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        static const struct formula f = {.crash_policy = -2, .refuse_sync = -2};
        struct campaign c;
        struct err e = {0};
        struct campaign_request q = {.space = s, .context = &f, .jobs = 1};
        struct rlimit r = {limit, limit};
        signal(SIGXFSZ, SIG_IGN);
        if (limit)
            setrlimit(RLIMIT_FSIZE, &r);
        if (run_on(path, "exhaustive", q, &c, &e) >= 0)
            _exit(0);
        if (write(fd[1], e.msg, strlen(e.msg)) < 0)
            _exit(3);
        _exit(1);
    }
    close(fd[1]);
    ssize_t n = read(fd[0], says, size - 1);
    says[n > 0 ? n : 0] = 0;
    close(fd[0]);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check_full(const char *path, const char *whole, const struct space *s, rlim_t limit)
{
    char says[400];
    CHECK_INT(run_limited(path, s, limit, says, sizeof says), 1);
    test_note("%lld bytes: %s", (long long)limit, says);
    CHECK_HAS(says, "what was stored before is safe");
    // With room again it opens and goes on to the same end.
    CHECK_INT(run_limited(path, s, 0, says, sizeof says), 0);
    CHECK(digest_of(path) == digest_of(whole));
    unlink(path);
}

static void test_disk_full(void)
{
    struct space *s = space_of(BIG_SPACE);
    const char *whole = fresh("roomy.db");
    char says[400];
    CHECK_INT(run_limited(whole, s, 0, says, sizeof says), 0);
    static const rlim_t limits[] = {5000, 20000, 60000, 100000, 150000, 200000};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        check_full(fresh("full.db"), whole, s, limits[i]);
    space_close(s);
}

static void test_small_disk(void)
{
    struct space *s = space_of(BIG_SPACE);
    const char *whole = fresh("roomy.db");
    char folder[560], path[600], filler[600], says[400];
    snprintf(folder, sizeof folder, "%s/disk", test_tmpdir());
    snprintf(path, sizeof path, "%s/full.db", folder);
    snprintf(filler, sizeof filler, "%s/filler", folder);
    if (mkdir(folder, 0700) < 0 || mount("tmpfs", folder, "tmpfs", 0, "size=2m") < 0) {
        test_skip("no file system of our own: %s", strerror(errno));
        space_close(s);
        return;
    }
    CHECK_INT(run_limited(whole, s, 0, says, sizeof says), 0);
    for (int kb = 1800; kb < 2048; kb += 60) {
        static const char zeros[1024];
        FILE *f = fopen(filler, "w");
        for (int i = 0; i < kb; i++)
            fwrite(zeros, 1, sizeof zeros, f);
        fclose(f);
        CHECK_INT(run_limited(path, s, 0, says, sizeof says), 1);
        test_note("%d kB left: %s", 2048 - kb, says);
        CHECK_HAS(says, "make room");
        unlink(filler);
        CHECK_INT(run_limited(path, s, 0, says, sizeof says), 0);
        CHECK(digest_of(path) == digest_of(whole));
        unlink(path);
    }
    CHECK_INT(umount(folder), 0);
    space_close(s);
}

// --- real evaluations

static void test_evaluated(void)
{
    struct space *s =
        space_of(SMALL_SPACE "soc = ({key = \"npu.arch.arrays\"; values = [4, 8];});");
    struct model *m = small_model();
    struct test_factory factory = test_factory();
    struct evaluate_context x = {.space = s, .factory = &factory.base, .model = m};
    const char *a = fresh("real.db"), *b = fresh("real-3.db");
    struct campaign here, three, again;
    struct campaign_request q = {
        .space = s, .worker = &evaluate_worker, .context = &x, .identity = identity_create(&x)};
    if (run_ok(a, "exhaustive", q, &here)) {
        q.jobs = 3;
        if (run_ok(b, "exhaustive", q, &three)) {
            CHECK(here.digest == three.digest);
            CHECK(digest_of(a) == digest_of(b));
            for (int i = 0; i < three.count; i++)
                CHECK(three.row[i].m.wall_s > 0 && three.row[i].config != 0);
            campaign_fini(&three);
        }
        if (run_ok(a, "exhaustive", q, &again)) {
            CHECK_INT(again.cached, 24);
            CHECK(again.digest == here.digest);
            campaign_fini(&again);
        }
        campaign_fini(&here);
    }
    identity_destroy(q.identity);
    model_close(m);
    space_close(s);
}

TESTS(explore_resume, T(test_stopped_and_resumed), T(test_kills), T(test_points_are_shared),
      T(test_constraints_are_the_space_s), T(test_hung_and_crashed), T(test_disk_full),
      T(test_small_disk), T(test_evaluated))
