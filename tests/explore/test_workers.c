// SPDX-License-Identifier: GPL-3.0-or-later
// The pool: every point that was given comes back once, whatever happens to its worker and to those
// that wait behind it.
#include "explore/workers.h"
#include <sys/wait.h>
#include <unistd.h>
#include "tests/harness.h"

enum { WELL, CRASH, HANG, EXIT }; // choice[0] of a point

static void *open_none(const void *context)
{
    return (void *)(uintptr_t)context;
}

static void run(void *state, const struct search_point *p, struct metrics *out)
{
    (void)state;
    if (p->choice[0] == CRASH)
        raise(SIGKILL);
    if (p->choice[0] == EXIT)
        _exit(7);
    while (p->choice[0] == HANG)
        pause();
    metrics_init(out, METRICS_OK);
    out->value[METRIC_TTFT] = p->choice[1];
}

static void close_none(void *state)
{
    (void)state;
}

static const struct campaign_worker ops = {open_none, run, close_none};

enum { POINTS = 60 };

// Every third point ends its worker, in three ways.
static int kind(int64_t id)
{
    return id % 3 ? WELL : id % 30 == 3 ? HANG : id % 2 ? CRASH : EXIT;
}

static void test_all_come_back(void)
{
    for (int jobs = 1; jobs <= 3; jobs++) {
        struct workers *w;
        struct err e = {0};
        struct metrics m;
        int64_t id, given = 0, back = 0, most = 0;
        bool seen[POINTS] = {false};
        if (!CHECK_OK(workers_open(jobs, 1, &ops, NULL, &w, &e), &e))
            return;
        while (back < POINTS) {
            for (; given < POINTS && workers_ready(w); given++) {
                struct search_point p = {.choice = {kind(given), (int)given}};
                CHECK_OK(workers_give(w, given, &p, &e), &e);
            }
            most = given - back > most ? given - back : most;
            int rc = workers_wait(w, -1, &id, &m, &e);
            if (!CHECK_OK(rc, &e))
                break;
            if (rc == 0)
                continue;
            back++;
            CHECK(!seen[id]);
            seen[id] = true;
            switch (kind(id)) {
            case WELL:
                CHECK_INT(m.status, METRICS_OK);
                CHECK(m.value[METRIC_TTFT] == (double)id && m.wall_s >= 0);
                break;
            case HANG:
                CHECK_INT(m.status, METRICS_HUNG);
                CHECK_STR(m.reason, "not finished within the limit of 1 s");
                CHECK(m.wall_s >= 1);
                break;
            case EXIT:
                CHECK_INT(m.status, METRICS_CRASHED);
                CHECK_HAS(m.reason, "status 7");
                break;
            default:
                CHECK_INT(m.status, METRICS_CRASHED);
                CHECK_HAS(m.reason, "Killed");
            }
        }
        CHECK(most > jobs); // quick points lie ready in the pipes
        workers_close(w);
        CHECK(waitpid(-1, NULL, WNOHANG) < 0); // nobody is left
    }
}

// A wait ends when it is told to, and nothing is lost by that.
static void test_wait_ends(void)
{
    struct workers *w;
    struct err e = {0};
    struct metrics m;
    int64_t id;
    struct search_point p = {.choice = {HANG}};
    CHECK_OK(workers_open(1, 0, &ops, NULL, &w, &e), &e);
    CHECK_OK(workers_give(w, 1, &p, &e), &e);
    CHECK_INT(workers_wait(w, 0.01, &id, &m, &e), 0);
    CHECK(!workers_ready(w)); // a slow one is not given a second point
    workers_close(w);         // not even a point that hangs holds it up
    CHECK(waitpid(-1, NULL, WNOHANG) < 0);
}

TESTS(explore_workers, T(test_all_come_back), T(test_wait_ends))
