// SPDX-License-Identifier: GPL-3.0-or-later
// Points per second of the evaluator, in one process and in the order of the exhaustive searcher:
// all points of a space with replay (models/soc/replay.h), then every 40th with and without. Each
// is the median of several runs by evaluators of their own, profiling included. How much of a pass
// comes again depends on what else is evaluated, so a part of a space gains less than all of it.
// Prints the digest of all metrics beside it and fails if it depends on replay. Goal: 1,500
// points/s for all of configs/space/hetero.cfg.
//
//     bench_explore [-p] [space [runs]]     -p: per policy as well
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/digest.h"
#include "engine/model.h"
#include "explore/evaluate.h"
#include "models/soc/soc.h"

enum { MAX_RUNS = 15, PART = 40 };

static bool with_replay;
static const struct machine *machine; // opened last

static void must(int rc, const struct err *e)
{
    char text[640];
    if (rc >= 0)
        return;
    fprintf(stderr, "%s\n", err_text(e, text, sizeof text));
    exit(1);
}

static double cpu_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int open_machine(const struct machine_factory *f, const char *const *overrides, int n,
                        struct machine **out, struct err *e)
{
    struct conf *c;
    int rc = conf_open(f->path, &c, e);
    if (rc < 0)
        return rc;
    rc = conf_override(c, "replay", with_replay ? "true" : "false", e);
    for (int i = 0; rc >= 0 && i < n; i++) {
        char key[128];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(overrides[i], "="), overrides[i]);
        rc = conf_override(c, key, strchr(overrides[i], '=') + 1, e);
    }
    if (rc >= 0)
        rc = machine_soc_open(c, false, out, e);
    conf_close(c);
    machine = rc < 0 ? NULL : *out;
    return rc;
}

struct policy_time {
    char name[32];
    double seconds;
    int points;
    uint64_t layers, passes;
};

static void book(struct policy_time *all, const char *policy, double seconds)
{
    size_t n = strcspn(policy, ":");
    while (all->points && (strncmp(all->name, policy, n) != 0 || all->name[n]))
        all++;
    snprintf(all->name, sizeof all->name, "%.*s", (int)n, policy);
    all->seconds += seconds;
    all->points++;
    all->layers += machine ? machine_soc_replayed(machine) : 0;
    all->passes += machine ? machine_soc_recalled(machine) : 0;
}

struct outcome {
    double seconds;
    int points, feasible;
    uint64_t digest, layers, passes; // the last two: not simulated
    struct policy_time policy[SPACE_MAX_PLUGS + 1];
};

static void run(const struct evaluate_context *c, int stride, struct outcome *out)
{
    struct search_space view;
    struct search_point p;
    struct space_config g;
    struct metrics m;
    struct arena a;
    double begin = cpu_time();
    struct evaluator *v = evaluator_create(c);
    *out = (struct outcome){.digest = DIGEST_INIT};
    arena_init(&a);
    space_search(c->space, &view);
    int i = 0;
    for (bool more = search_first(&view, &p); more; more = search_next(&view, &p)) {
        if (i++ % stride)
            continue;
        double t = cpu_time();
        struct arena_mark mark = arena_mark(&a);
        evaluator_run(v, &p, &m);
        space_resolve(c->space, &p, &a, &g);
        book(out->policy, g.policy, cpu_time() - t);
        arena_rewind(&a, mark);
        out->points++;
        out->layers += machine ? machine_soc_replayed(machine) : 0;
        out->passes += machine ? machine_soc_recalled(machine) : 0;
        out->feasible += m.status == METRICS_OK;
        out->digest = metrics_digest(out->digest, &m);
    }
    evaluator_destroy(v);
    arena_fini(&a);
    out->seconds = cpu_time() - begin;
}

static int by_seconds(const void *a, const void *b)
{
    double x = ((const struct outcome *)a)->seconds, y = ((const struct outcome *)b)->seconds;
    return (x > y) - (x < y);
}

static uint64_t measure(const struct evaluate_context *c, bool replay, int stride, int runs,
                        bool policies)
{
    static struct outcome out[MAX_RUNS];
    with_replay = replay;
    for (int i = 0; i < runs; i++)
        run(c, stride, &out[i]);
    qsort(out, (size_t)runs, sizeof out[0], by_seconds);
    const struct outcome *o = &out[runs / 2];
    printf("replay %-3s  %5d points  %5d feasible  %7.0f points/s  per point %.0f layers and %.1f "
           "passes not simulated  digest %016" PRIx64 "\n",
           replay ? "on" : "off", o->points, o->feasible, o->points / o->seconds,
           (double)o->layers / o->points, (double)o->passes / o->points, o->digest);
    for (const struct policy_time *p = o->policy; policies && p->points; p++)
        printf("  %-20s %5d points  %7.0f us/point  %5.0f layers  %4.1f passes\n", p->name,
               p->points, p->seconds / p->points * 1e6, (double)p->layers / p->points,
               (double)p->passes / p->points);
    return o->digest;
}

int main(int argc, char **argv)
{
    bool policies = argc > 1 && !strcmp(argv[1], "-p");
    argc -= policies, argv += policies;
    const char *path = argc > 1 ? argv[1] : "configs/space/hetero.cfg";
    int runs = argc > 2 ? atoi(argv[2]) : 3;
    char file[256];
    struct space *s;
    struct model *model;
    struct err e = {0};
    must(space_open(path, &s, &e), &e);
    snprintf(file, sizeof file, "configs/model/%s.cfg", s->model);
    must(model_open(file, &model, &e), &e);
    snprintf(file, sizeof file, "configs/soc/%s.cfg", strchr(s->machine, ':') + 1);
    struct machine_factory f = {.open = open_machine, .spec = s->machine, .path = file};
    struct evaluate_context c = {.space = s, .factory = &f, .model = model};
    runs = runs < 1 ? 1 : runs > MAX_RUNS ? MAX_RUNS : runs;
    measure(&c, true, 1, runs, policies);
    uint64_t with = measure(&c, true, PART, runs, false);
    uint64_t without = measure(&c, false, PART, runs, false);
    model_close(model);
    space_close(s);
    if (with != without)
        fprintf(stderr, "the digests differ\n");
    return with != without;
}
