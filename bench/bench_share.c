// SPDX-License-Identifier: GPL-3.0-or-later
// The shared-bandwidth model under its usual load: a few initiators, each of which starts a new
// flow of its own size when the last one has ended. Reports the cost of one flow, start and end.
//
//     bench_share [flows per run [runs]]
//
// "wide": the capacity exceeds the sum of the limits, no rate ever changes. "tight": it does not,
// so a flow that ends gives its bandwidth to the others; a quarter of the initiators rests between
// flows, so rates do change. The digest covers who ended when.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/digest.h"
#include "base/units.h"
#include "sim/share.h"

enum { MAX_CLIENTS = 16, MAX_RUNS = 99 };

struct client {
    struct sim_flow flow;
    struct sim_event rest;
    struct sim_share *share;
    int id;
    bool rests;
    double amount, limit;
    uint64_t started;
};

static uint64_t digest;

static void on_done(struct sim *s, struct sim_flow *f);

static void start(struct client *c)
{
    // Sizes vary, so that the clients' ends drift against each other.
    double amount = c->amount * (double)(8 + (c->started++ * 5 + (uint64_t)c->id) % 9);
    sim_flow_start(c->share, &c->flow, c->id, amount, c->limit, 1, on_done);
}

static void on_rest(struct sim *s, struct sim_event *e)
{
    (void)s;
    start(SIM_OWNER(e, struct client, rest));
}

static void on_done(struct sim *s, struct sim_flow *f)
{
    struct client *c = SIM_OWNER(f, struct client, flow);
    digest = digest_u64(digest, (uint64_t)sim_now(s) + (uint64_t)c->id);
    if (c->rests)
        sim_schedule(s, &c->rest, sim_now(s) + 300 * PS_PER_NS);
    else
        start(c);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int bench(int clients, bool tight, bool rests, uint64_t flows, int runs)
{
    struct sim *s = sim_create();
    double ns[MAX_RUNS];
    uint64_t first = 0, solves = 0;
    int bad = 0;
    for (int run = 0; run < runs; run++) {
        struct client c[MAX_CLIENTS] = {0};
        struct sim_share share;
        sim_reset(s);
        sim_share_init(&share, s, tight ? 25e9 * clients : 50e9 * clients);
        digest = DIGEST_INIT;
        for (int i = 0; i < clients; i++) {
            c[i] = (struct client){.share = &share,
                                   .id = i,
                                   .rests = rests && i % 4 == 0,
                                   .amount = 4096 + 512 * i,
                                   .limit = 20e9 + 20e9 * (i % 2)};
            sim_event_init(&c[i].rest, on_rest);
            start(&c[i]);
        }
        uint64_t ended = 0;
        double begin = seconds();
        while (ended < flows) {
            for (int i = 0; i < 1000; i++)
                sim_step(s);
            ended = 0;
            for (int i = 0; i < clients; i++)
                ended += c[i].started;
        }
        ns[run] = (seconds() - begin) * 1e9 / (double)ended;
        if (run == 0)
            first = digest;
        bad |= digest != first;
        solves = share.solves * 1000 / ended;
    }
    qsort(ns, (size_t)runs, sizeof ns[0], ascending);
    char text[17];
    printf("share: %2d initiators, %s%s: median %6.1f ns per flow (%.1f to %.1f), "
           "%llu.%03llu solves per flow, digest %s%s\n",
           clients, tight ? "tight" : "wide ", rests ? ", resting" : "         ", ns[runs / 2],
           ns[0], ns[runs - 1], (unsigned long long)solves / 1000,
           (unsigned long long)solves % 1000, digest_text(first, text), bad ? ", RUNS DIFFER" : "");
    sim_destroy(s);
    return bad;
}

int main(int argc, char **argv)
{
    uint64_t flows = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint64_t runs = argc > 2 ? strtoull(argv[2], NULL, 10) : 5;
    if (flows < 1 || runs < 1 || runs > MAX_RUNS) {
        fprintf(stderr, "usage: bench_share [flows [runs]]\n");
        return 2;
    }
    int bad = 0;
    static const int counts[] = {1, 2, 3, 4, 16};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (int kind = 0; kind < 4; kind++)
            bad |= bench(counts[i], kind & 1, kind & 2, flows, (int)runs);
    return bad;
}
