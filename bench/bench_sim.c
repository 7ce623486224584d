// SPDX-License-Identifier: GPL-3.0-or-later
// Speed of a whole simulation, as `partita sim --soc sd8gen3 --model llama3-8b --prompt 256 --gen
// 128` does it: open the machine, profile every operator and the hand-overs, plan both phases, run
// 128 steps of 32 layers, collect the result. Goal: 50 ms of CPU time on one core.
//
// Then a thousand runs in one process: the digest stays, and so does the memory in use. Either one
// moving is a failure; slowness is not, it is what is measured.
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include "engine/session.h"
#include "engine/profile.h"
#include "models/soc/soc.h"

enum { PROMPT = 256, GEN = 128, REPEATS = 15, MANY = 1000, WARM = 20 };

#define MODEL "configs/model/llama3-8b.cfg"
#define SOC   "configs/soc/sd8gen3.cfg"

struct times {
    double all, session; // s of CPU time
    uint64_t digest, events, submissions;
    double ttft_ms, tpot_ms;
};

static void must(int rc, const struct err *e)
{
    char text[700];
    if (rc >= 0)
        return;
    fprintf(stderr, "bench_sim: %s\n", err_text(e, text, sizeof text));
    exit(1);
}

static double cpu_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct times simulate(const char *policy, const char *sync)
{
    struct times out = {.all = cpu_time()};
    struct err e = {0};
    struct conf *c;
    struct model *model;
    struct arena arena;
    struct cost_table *cost = cost_create();
    struct session_request q = {
        .n_prompt = PROMPT, .n_gen = GEN, .cost = cost, .sampler = {.top_p = 1}};
    struct session_result r;
    arena_init(&arena);
    must(model_open(MODEL, &model, &e), &e);
    must(conf_open(SOC, &c, &e), &e);
    must(machine_soc_open(c, false, &q.machine, &e), &e);
    conf_close(c);
    must(policy_parse(policy, &arena, &q.policy, &q.policy_options, &e), &e);
    must(sync_parse(sync, &arena, &q.sync, &q.sync_options, &e), &e);
    q.model = model;
    must(session_profile(q.machine, model, PROMPT, GEN, cost, &e), &e);
    must(profile_sync(q.machine, model, q.sync, q.sync_options, 1, cost, &e), &e);
    out.session = cpu_time();
    must(session_run(&q, &r, &e), &e);
    out.session = cpu_time() - out.session;
    out.digest = r.digest;
    out.submissions = r.submissions;
    out.events = machine_soc_events(q.machine);
    out.ttft_ms = r.ttft_ms;
    out.tpot_ms = r.tpot_ms;
    session_result_fini(&r);
    q.machine->ops->close(q.machine);
    cost_destroy(cost);
    model_close(model);
    arena_fini(&arena);
    out.all = cpu_time() - out.all;
    return out;
}

static int by_time(const void *a, const void *b)
{
    const struct times *x = a, *y = b;
    return (x->all > y->all) - (x->all < y->all);
}

static bool measure(const char *policy, const char *sync)
{
    struct times t[REPEATS];
    bool same = true;
    for (int i = 0; i < REPEATS; i++) {
        t[i] = simulate(policy, sync);
        same &= t[i].digest == t[0].digest;
    }
    qsort(t, REPEATS, sizeof *t, by_time);
    const struct times *m = &t[REPEATS / 2];
    printf("%-20s %-12s %7.2f %9.2f %9" PRIu64 " %9" PRIu64 " %8.0f %8.0f  %9.2f %8.2f  %016" PRIx64
           "%s\n",
           policy, sync, m->all * 1e3, m->session * 1e3, m->submissions, m->events,
           m->session * 1e9 / (double)m->submissions, m->session * 1e9 / (double)m->events,
           m->ttft_ms, m->tpot_ms, m->digest, same ? "" : "  DIFFERENT DIGESTS");
    return same;
}

// Bytes handed out by malloc, and the most that the process ever had in memory.
static bool many(void)
{
    size_t before = 0;
    long rss = 0;
    struct rusage u;
    uint64_t digest = 0;
    bool same = true;
    double begin = cpu_time();
    for (int i = 0; i < MANY; i++) {
        struct times t = simulate("hetero_tensor", "sleep_poll");
        same &= i == 0 || t.digest == digest;
        digest = t.digest;
        if (i + 1 == WARM) {
            getrusage(RUSAGE_SELF, &u);
            before = mallinfo2().uordblks;
            rss = u.ru_maxrss;
        }
    }
    getrusage(RUSAGE_SELF, &u);
    size_t after = mallinfo2().uordblks;
    bool grows = after > before + 4096 || u.ru_maxrss > rss + 1024;
    printf("%d runs: %.1f s of CPU time; in use %zu bytes after %d runs, %zu at the end; peak "
           "memory %ld KiB, then %ld KiB%s%s\n",
           MANY, cpu_time() - begin, before, WARM, after, rss, u.ru_maxrss,
           grows ? "; IT GROWS" : "", same ? "" : "; DIFFERENT DIGESTS");
    return same && !grows;
}

int main(void)
{
    printf("Llama-3-8B, prompt %d + %d tokens, sd8gen3; median of %d; goal: 50 ms\n", PROMPT, GEN,
           REPEATS);
    printf("%-20s %-12s %7s %9s %9s %9s %8s %8s  %9s %8s  %s\n", "policy", "sync", "CPU ms",
           "of it run", "submitted", "events", "ns/subm", "ns/event", "TTFT ms", "TPOT ms",
           "digest");
    bool ok = measure("gpu_only", "queue_order");
    ok &= measure("layer", "driver");
    ok &= measure("weight_centric", "sleep_poll");
    ok &= measure("hetero_tensor", "driver");
    ok &= measure("hetero_tensor", "sleep_poll");
    ok &= measure("hetero_tensor", "queue_order");
    ok &= many();
    return ok ? 0 : 1;
}
