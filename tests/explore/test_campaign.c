// SPDX-License-Identifier: GPL-3.0-or-later
// The loop: every worker count gives the same campaign, crashes and hangs stay with their point,
// what was reported survives the death of the program, and a campaign that was killed or stopped
// goes on to the same end.
#include "explore/campaign.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/digest.h"
#include "explore/evaluate.h"
#include "explore/table.h"
#include "tests/explore/formula.h"
#include "tests/explore/util.h"

static const struct formula plain = {.crash_policy = -2, .refuse_sync = -2};

// Runs a campaign over `s`; the CSV text is returned when asked for (to be freed).
static bool run(const struct space *s, const char *search, int jobs, int64_t budget,
                const struct campaign_worker *w, const void *context, struct campaign *out,
                char **csv)
{
    struct arena a;
    struct err e = {0};
    size_t size = 0;
    struct campaign_request q = {.space = s,
                                 .seed = 5,
                                 .rules.budget = budget,
                                 .jobs = jobs,
                                 .worker = w,
                                 .context = context};
    arena_init(&a);
    bool ok = CHECK_OK(search_parse(search, &a, &q.search, &q.search_options, &e), &e) &&
              CHECK_OK(campaign_run(&q, out, &e), &e);
    if (ok && csv) {
        FILE *f = open_memstream(csv, &size);
        ok = CHECK_OK(table_write(f, s, out->row, out->count, &e), &e);
        fclose(f);
    }
    arena_fini(&a);
    return ok;
}

static void test_workers_do_not_matter(void)
{
    struct space *s = space_of(SMALL_SPACE);
    const struct formula slow = {.crash_policy = -2, .refuse_sync = -2, .delay_us = 500};
    static const char *const searches[] = {"exhaustive", "random"};
    for (int i = 0; i < 2; i++) {
        struct campaign here, one, three, again;
        char *a, *b, *c, *d;
        bool ok = run(s, searches[i], 0, 0, &formula_worker, &slow, &here, &a);
        ok &= run(s, searches[i], 1, 0, &formula_worker, &slow, &one, &b);
        ok &= run(s, searches[i], 3, 0, &formula_worker, &slow, &three, &c);
        ok &= run(s, searches[i], 3, 0, &formula_worker, &slow, &again, &d);
        if (!ok)
            break;
        CHECK_INT(here.count, 12);
        CHECK(here.digest == one.digest && one.digest == three.digest &&
              three.digest == again.digest);
        CHECK_STR(a, b);
        CHECK_STR(b, c);
        CHECK_STR(c, d);
        CHECK_STR(here.stopped, "every point of the space was evaluated");
        campaign_fini(&here);
        campaign_fini(&one);
        campaign_fini(&three);
        campaign_fini(&again);
        free(a);
        free(b);
        free(c);
        free(d);
    }
    space_close(s);
}

static void test_budget_and_null(void)
{
    struct space *s = space_of(SMALL_SPACE);
    struct campaign c;
    if (run(s, "exhaustive", 2, 5, &formula_worker, &plain, &c, NULL)) {
        CHECK_INT(c.count, 5);
        CHECK_STR(c.stopped, "the budget is spent");
        campaign_fini(&c);
    }
    if (run(s, "null", 2, 0, &formula_worker, &plain, &c, NULL)) {
        CHECK_INT(c.count, 0);
        CHECK_STR(c.stopped, "the searcher has nothing more to ask");
        campaign_fini(&c);
    }
    space_close(s);
}

// --- a searcher whose questions depend on the answers: it walks where the objective fell

struct search {
    struct search_space space;
    struct search_point at;
    int64_t asked, told;
    uint64_t state;
};

static struct search *walk_open(const struct search_space *sp, const void *options, uint64_t seed,
                                struct err *e)
{
    struct search *s = calloc(1, sizeof *s);
    (void)options, (void)e;
    s->space = *sp;
    s->state = seed;
    return s;
}

static bool walk_ask(struct search *s, struct search_point *out)
{
    if (s->asked - s->told > 4 || s->asked == 200) // wants to hear something first
        return false;
    // What is asked depends on everything told so far.
    for (int i = 0; i < s->space.n_params; i++)
        out->choice[i] = (int)((digest_u64(s->state, (uint64_t)(s->asked * 8 + i)) >> 20) %
                               (uint64_t)s->space.n_choices[i]);
    s->space.canonical(s->space.user, out);
    s->asked++;
    return true;
}

static void walk_tell(struct search *s, const struct search_point *p,
                      const struct search_outcome *o)
{
    s->state = digest_u64(digest_bytes(s->state, p->choice, sizeof p->choice[0]), o->ok);
    s->state = o->ok ? digest_f64(s->state, o->objective[0]) : s->state;
    s->told++;
}

static bool walk_done(const struct search *s)
{
    return s->asked == 200;
}

static void walk_close(struct search *s)
{
    free(s);
}

static const struct search_ops walk = {.name = "walk",
                                       .open = walk_open,
                                       .ask = walk_ask,
                                       .tell = walk_tell,
                                       .done = walk_done,
                                       .close = walk_close};

static void test_adaptive_searcher(void)
{
    struct space *s = space_of(SMALL_SPACE);
    const struct formula f = {1, 2, -2, 200, false, NULL}; // slow and crashing
    uint64_t digest[3];
    for (int i = 0; i < 3; i++) {
        struct campaign c;
        struct err e = {0};
        struct campaign_request q = {.space = s,
                                     .search = &walk,
                                     .seed = 1,
                                     .jobs = 1 + 2 * i,
                                     .worker = &formula_worker,
                                     .context = &f};
        if (!CHECK_OK(campaign_run(&q, &c, &e), &e))
            break;
        CHECK_INT(c.count, 200);
        CHECK(c.crashed > 0);
        CHECK_STR(c.stopped, "the searcher has nothing more to ask");
        digest[i] = c.digest;
        campaign_fini(&c);
    }
    CHECK(digest[0] == digest[1] && digest[1] == digest[2]);
    space_close(s);
}

// --- crashes, refusals, stops

static void test_crash_isolation(void)
{
    struct space *s = space_of(SMALL_SPACE);
    const struct formula f = {1, 1,     -2,
                              0, false, NULL}; // hetero_tensor:parts=8, under all 3 schemes
    for (int jobs = 1; jobs <= 3; jobs += 2) {
        struct campaign c;
        if (!run(s, "exhaustive", jobs, 0, &formula_worker, &f, &c, NULL))
            break;
        CHECK_INT(c.count, 12);
        CHECK_INT(c.crashed, 3);
        for (int i = 0; i < 12; i++) {
            bool dies = strstr(c.row[i].policy, "parts=8") != NULL;
            CHECK_INT(c.row[i].m.status, dies ? METRICS_CRASHED : METRICS_OK);
            if (dies)
                CHECK_HAS(c.row[i].m.reason, "Killed");
        }
        campaign_fini(&c);
    }
    space_close(s);
}

static void test_infeasible_and_csv(void)
{
    struct space *s = space_of(SMALL_SPACE);
    const struct formula f = {-2, -2, 0, 0, false, NULL}; // refuses scheme driver
    struct campaign c;
    char *csv;
    if (!run(s, "exhaustive", 1, 0, &formula_worker, &f, &c, &csv))
        return;
    CHECK_INT(c.infeasible, 4);
    CHECK_INT(c.count, 12);
    CHECK_HAS(csv, "point,machine,model,prompt,gen,policy,sync,soc,level,status,ttft_ms,tpot_ms,");
    CHECK_HAS(csv, "violation,reason,point_digest,digest\n");
    CHECK_HAS(csv, "\n0,soc:sd8gen3,qwen2-1.5b,32,3,gpu_only,driver,,,infeasible,,,");
    CHECK_HAS(csv, ",\"refused, \"\"as asked\"\"\",");
    CHECK_HAS(csv, "\n1,soc:sd8gen3,qwen2-1.5b,32,3,gpu_only,sleep_poll:margin=50 us,,,ok,99,51,");
    CHECK_HAS(csv, "\"hetero_tensor:margin=5 %,parts=4\",sleep_poll:margin=100 us,,,ok,110.1,50,");
    struct err e = {0};
    FILE *full = fopen("/dev/full", "w");
    if (full) {
        CHECK_INT(table_write(full, s, c.row, c.count, &e), ERR_IO);
        CHECK_HAS(e.msg, "No space left on device");
        fclose(full);
    }
    campaign_fini(&c);
    free(csv);
    space_close(s);
}

// A queue may hold a few points more than were told when the stop comes.
enum { QUEUE = 5 };

struct stopper {
    volatile sig_atomic_t stop;
    int64_t at, seen;
};

static void stop_at(void *user, const struct campaign_progress *p)
{
    struct stopper *s = user;
    s->seen = p->done;
    CHECK_INT(p->total, 12);
    if (p->done >= s->at)
        s->stop = 1;
}

static void test_stop(void)
{
    struct space *s = space_of(SMALL_SPACE);
    for (int jobs = 0; jobs <= 3; jobs++) {
        struct stopper stop = {.at = 4};
        struct campaign c;
        struct err e = {0};
        struct campaign_request q = {.space = s,
                                     .jobs = jobs,
                                     .worker = &formula_worker,
                                     .context = &plain,
                                     .stop = &stop.stop,
                                     .progress = stop_at,
                                     .user = &stop};
        struct arena a;
        arena_init(&a);
        search_parse("exhaustive", &a, &q.search, &q.search_options, &e);
        if (CHECK_OK(campaign_run(&q, &c, &e), &e)) {
            // With workers, later points may have been running or waiting to be told.
            CHECK(c.count >= 4);
            test_note("%d jobs: %lld points", jobs, (long long)c.count);
            CHECK(c.count <= 4 + (jobs ? QUEUE * jobs : 1));
            CHECK_INT(c.interrupted, c.count < 12);
            CHECK_STR(c.stopped,
                      c.count < 12 ? "interrupted" : "every point of the space was evaluated");
            CHECK_INT(c.reason, c.count < 12 ? STOP_INTERRUPTED : STOP_EXHAUSTED);
            CHECK_INT(c.count, stop.seen);
            campaign_fini(&c);
        }
        arena_fini(&a);
    }
    space_close(s);
}

static void test_target(void)
{
    struct space *s = space_of(SMALL_SPACE);
    for (int jobs = 0; jobs <= 3; jobs++) {
        struct campaign c;
        struct err e = {0};
        struct arena a;
        struct campaign_request q = {
            .space = s, .jobs = jobs, .window = 2, .worker = &formula_worker, .context = &plain};
        q.rules.n_targets = 1;
        q.rules.target[0].objective = 1; // TPOT; the ask that reaches it is number 6
        q.rules.target[0].value = 49;
        arena_init(&a);
        search_parse("exhaustive", &a, &q.search, &q.search_options, &e);
        if (CHECK_OK(campaign_run(&q, &c, &e), &e)) {
            CHECK_INT(c.reason, STOP_TARGET);
            CHECK_INT(c.count, 8); // the window had one more
            CHECK(!c.interrupted);
            campaign_fini(&c);
        }
        arena_fini(&a);
    }
    space_close(s);
}

// --- real evaluations on the simulated SoC

static void test_evaluated(void)
{
    struct space *s =
        space_of(SMALL_SPACE "soc = ({key = \"npu.arch.arrays\"; values = [4, 8];});");
    struct model *m = small_model();
    struct test_factory f = test_factory();
    struct evaluate_context c = {.space = s, .factory = &f.base, .model = m};
    struct campaign one, three, mixed;
    if (!run(s, "exhaustive", 0, 0, &evaluate_worker, &c, &one, NULL) ||
        !run(s, "exhaustive", 3, 0, &evaluate_worker, &c, &three, NULL) ||
        !run(s, "random", 1, 0, &evaluate_worker, &c, &mixed, NULL))
        return;
    CHECK_INT(one.count, 24);
    CHECK_INT(one.infeasible + one.crashed, 0);
    CHECK(one.digest == three.digest);
    CHECK_INT(f.opened, 2); // one machine per set of overrides in this process
    // Metrics belong to the point, whatever was evaluated before it.
    for (int i = 0; i < 24; i++)
        for (int j = 0; j < 24; j++)
            if (one.row[i].key == mixed.row[j].key)
                CHECK(metrics_digest(0, &one.row[i].m) == metrics_digest(0, &mixed.row[j].m));
    for (int i = 0; i < 24; i++) {
        CHECK(one.row[i].m.value[METRIC_TTFT] > 0);
        CHECK(one.row[i].m.value[METRIC_ENERGY] > 0);
        CHECK(one.row[i].m.value[METRIC_MEMORY] > 0);
        CHECK(one.row[i].m.digest != 0);
    }
    campaign_fini(&one);
    campaign_fini(&three);
    campaign_fini(&mixed);
    model_close(m);
    space_close(s);
}

// A game is a key of the SoC like any other: its metrics are there when it is.
static void test_game_metrics(void)
{
    struct space *s =
        space_of("machine = \"soc:sd8gen3\"; model = \"qwen2-1.5b\"; prompt = 32; gen = 3;\n"
                 "policies = ({name = \"gpu_only\";}); syncs = ({name = \"poll\";});\n"
                 "soc = ({key = \"gpu.game.rate\"; values = [0.0, 60.0];});");
    struct model *m = small_model();
    struct test_factory f = test_factory();
    struct campaign r;
    struct evaluate_context c = {.space = s, .factory = &f.base, .model = m};
    if (run(s, "exhaustive", 1, 0, &evaluate_worker, &c, &r, NULL) && CHECK_INT(r.count, 2)) {
        const double *alone = r.row[0].m.value, *game = r.row[1].m.value;
        CHECK(r.row[0].m.status == METRICS_OK && r.row[1].m.status == METRICS_OK);
        CHECK(isnan(alone[METRIC_FPS_PREFILL]) && isnan(alone[METRIC_FPS_DECODE]));
        CHECK(isnan(alone[METRIC_FRAMES_DROPPED]));
        CHECK(game[METRIC_FPS_PREFILL] < 10); // the prefill is enqueued at once
        CHECK(game[METRIC_FPS_DECODE] > 10 && game[METRIC_FPS_DECODE] < 75);
        CHECK(game[METRIC_FRAMES_DROPPED] > 0);
        CHECK(game[METRIC_TPOT] > alone[METRIC_TPOT]);
        CHECK(game[METRIC_PREDICTED_DECODE] == alone[METRIC_PREDICTED_DECODE]);
        campaign_fini(&r);
    }
    space_close(s);
    model_close(m);
}

static void test_infeasible_machine(void)
{
    // Without flag words poll and its kin are not offered; driver still is.
    struct space *s = space_of(SMALL_SPACE);
    struct model *m = small_model();
    struct test_factory f = test_factory();
    struct evaluate_context c = {.space = s, .factory = &f.base, .model = m};
    struct campaign r;
    f.no_flag = true;
    if (run(s, "exhaustive", 1, 0, &evaluate_worker, &c, &r, NULL)) {
        CHECK_INT(r.infeasible, 8);
        for (int i = 0; i < r.count; i++) {
            bool poll = strncmp(r.row[i].sync, "driver", 6) != 0;
            CHECK_INT(r.row[i].m.status, poll ? METRICS_INFEASIBLE : METRICS_OK);
            if (poll)
                CHECK_HAS(r.row[i].m.reason, "sleep_poll");
        }
        campaign_fini(&r);
    }
    space_close(s);
    // A machine with too little memory for the weights: no plan is accepted there, but elsewhere.
    s = space_of(SMALL_SPACE "soc = ({key = \"dram.size\"; values = [\"64 MiB\", \"16 GiB\"];});");
    f = test_factory();
    c.space = s;
    if (run(s, "exhaustive", 1, 0, &evaluate_worker, &c, &r, NULL)) {
        CHECK_INT(r.count, 24);
        CHECK_INT(r.infeasible, 12);
        test_note("%s", r.row[0].m.reason);
        CHECK_INT(r.row[0].m.status, METRICS_INFEASIBLE);
        CHECK(strlen(r.row[0].m.reason) > 10);
        CHECK_INT(r.row[23].m.status, METRICS_OK);
        campaign_fini(&r);
    }
    model_close(m);
    space_close(s);
}

TESTS(explore_campaign, T(test_workers_do_not_matter), T(test_budget_and_null),
      T(test_adaptive_searcher), T(test_crash_isolation), T(test_infeasible_and_csv), T(test_stop),
      T(test_target), T(test_evaluated), T(test_game_metrics), T(test_infeasible_machine))
