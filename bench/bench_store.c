// SPDX-License-Identifier: GPL-3.0-or-later
// What a campaign costs besides evaluating: points whose metrics are made up at once, so that all
// that is left is asking, identifying, two pipes, and the store. Prints microseconds of processor
// time per point in the parent (its worker's are not counted), and rows per second of the store.
//
//     bench_store [FILE]        (default: a temporary file in the working directory)
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "base/digest.h"
#include "engine/model.h"
#include "explore/campaign.h"
#include "explore/identity.h"
#include "explore/store.h"
#include "models/soc/soc.h"

static const char SPACE[] =
    "machine = \"soc:sd8gen3\"; model = \"llama3-8b\"; prompt = 256; gen = 32;\n"
    "objectives = [\"ttft_ms\", \"tpot_ms\", \"energy_j\"];\n"
    "policies = ({name = \"gpu_only\";},\n"
    "  {name = \"weight_centric\"; share = [\"0 %\", \"10 %\", \"20 %\", \"30 %\", \"40 %\"];},\n"
    "  {name = \"hetero_tensor\"; parts = [4, 8, 16, 32]; margin = [\"0 %\", \"5 %\", \"9 "
    "%\"];});\n"
    "syncs = ({name = \"driver\";}, {name = \"poll\";},\n"
    "  {name = \"sleep_poll\"; margin = [\"20 us\", \"50 us\", \"100 us\", \"200 us\"];\n"
    "                        granularity = [\"50 us\", \"90 us\"];});\n"
    "soc = ({key = \"npu.arch.arrays\"; values = [2, 4, 8, 16];},\n"
    "  {key = \"gpu.queue.restart\"; values = [\"10 us\", \"20 us\", \"30 us\", \"50 us\"];},\n"
    "  {key = \"npu.arch.tcm\"; values = [\"4 MiB\", \"8 MiB\"];});\n";

static double seconds(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// --- a machine that is never opened

static int open_none(const struct machine_factory *f, const char *const *overrides, int n,
                     struct machine **out, struct err *e)
{
    (void)f, (void)overrides, (void)n, (void)out;
    return err_set(e, ERR_UNSUPPORTED, "not in this benchmark");
}

static int digest_soc(const struct machine_factory *f, const char *const *overrides, int n,
                      uint64_t *out, struct err *e)
{
    struct conf *c = NULL;
    char key[128];
    (void)f;
    int rc = conf_open("configs/soc/sd8gen3.cfg", &c, e);
    for (int i = 0; rc >= 0 && i < n; i++) {
        snprintf(key, sizeof key, "%.*s", (int)strcspn(overrides[i], "="), overrides[i]);
        rc = conf_override(c, key, strchr(overrides[i], '=') + 1, e);
    }
    if (rc >= 0)
        rc = machine_soc_config_digest(c, out, e);
    conf_close(c);
    return rc;
}

// --- points without work

static void *worker_open(const void *context)
{
    return (void *)(uintptr_t)context;
}

static void worker_run(void *state, const struct search_point *p, struct metrics *out)
{
    (void)state;
    metrics_init(out, METRICS_OK);
    for (int m = 0; m < METRIC_COUNT; m++)
        out->value[m] = 100.0 / 3 + m + p->choice[0] + 0.01 * p->choice[1];
}

static void worker_close(void *state)
{
    (void)state;
}

static const struct campaign_worker worker = {worker_open, worker_run, worker_close};

static int run(const char *what, const struct campaign_request *q, struct err *e)
{
    struct campaign c;
    double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), wall = seconds(CLOCK_MONOTONIC);
    if (campaign_run(q, &c, e) < 0)
        return e->code;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = seconds(CLOCK_MONOTONIC) - wall;
    printf("%-40s %8lld points  %6.1f us/point of the parent  %8.0f points/s\n", what,
           (long long)c.count, cpu / (double)c.count * 1e6, (double)c.count / wall);
    campaign_fini(&c);
    return 0;
}

static int put_rows(struct store *s, int n, struct err *e)
{
    struct campaign_row r = {.policy = "hetero_tensor:margin=5 %,parts=8",
                             .sync = "sleep_poll:granularity=90 us,margin=50 us",
                             .soc = "npu.arch.arrays=8; gpu.queue.restart=20 us",
                             .level = "",
                             .label = "hetero_tensor:margin=5 %,parts=8 + sleep_poll",
                             .code = "0123456789abcdef"};
    struct search_point p = {.choice = {1}};
    double wall = seconds(CLOCK_MONOTONIC);
    worker_run(NULL, &p, &r.m);
    for (int i = 0; i < n; i++) {
        r.key = digest_u64(DIGEST_INIT, (uint64_t)i);
        if (store_put(s, &r, e) < 0 || (i % 64 == 63 && store_commit(s, e) < 0))
            return e->code;
    }
    if (store_commit(s, e) < 0)
        return e->code;
    printf("%-40s %8d rows    %8.0f rows/s\n", "store, 64 rows a commit", n,
           n / (seconds(CLOCK_MONOTONIC) - wall));
    return 0;
}

static int bench(const char *path, struct err *e)
{
    struct space *s = NULL;
    struct model *m = NULL;
    struct machine_factory f = {.open = open_none, .digest = digest_soc, .spec = "soc:sd8gen3"};
    struct evaluate_context c = {.factory = &f};
    struct arena a;
    struct campaign_request q = {.jobs = 1, .worker = &worker};
    if (space_open_text("bench.cfg", SPACE, &s, e) < 0 ||
        model_open("configs/model/llama3-8b.cfg", &m, e) < 0)
        return e->code;
    c.space = q.space = s;
    c.model = m;
    arena_init(&a);
    q.identity = identity_create(&c);
    int rc = search_parse("exhaustive", &a, &q.search, &q.search_options, e);
    if (rc >= 0)
        rc = run("exhaustive, no store", &q, e);
    if (rc >= 0)
        rc = store_open(path, STORE_WRITE, &q.store, e);
    if (rc >= 0)
        rc = run("exhaustive, a new store", &q, e);
    if (rc >= 0)
        rc = run("exhaustive, all in the store", &q, e);
    if (rc >= 0)
        rc = put_rows(q.store, 200000, e);
    if (q.store)
        store_close(q.store, NULL);
    identity_destroy(q.identity);
    arena_fini(&a);
    model_close(m);
    space_close(s);
    return rc;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    char text[400], path[64] = "bench-store.db";
    snprintf(path, sizeof path, "bench-store-%d.db", (int)getpid());
    const char *to = argc > 1 ? argv[1] : path;
    int rc = bench(to, &e);
    if (rc < 0)
        fprintf(stderr, "%s\n", err_text(&e, text, sizeof text));
    if (argc < 2)
        unlink(path);
    return rc < 0;
}
