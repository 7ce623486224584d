// SPDX-License-Identifier: GPL-3.0-or-later
// The hold model (Jones, CACM 29(4), 1986): a constant number of pending events, each of which
// reschedules itself an exponential-like time ahead when it fires. It measures nothing but the
// event kernel.
//
//     bench_hold [pending [events [runs]]]
//
// The handler checks the order law, (time, sequence) strictly increasing, on every event and folds
// what fired when into a digest. The digest depends on the order law only: not on the heap's shape,
// the compiler or the level of optimisation. The increments come from a table made by integer
// arithmetic, and one cursor walks it for all events, so a single event out of order changes all
// that follows.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/digest.h"
#include "sim/sim.h"

enum { TABLE = 4096, MAX_RUNS = 99 };

struct hold {
    struct sim_event event;
    uint64_t id;
};

static int64_t table[TABLE];
static uint32_t cursor;
static uint64_t digest, last_seq, violations;
static int64_t last_time;

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

// -log2 of a uniform number with 20 binary digits, linear between powers of two.
static int64_t increment(uint64_t u)
{
    u |= 1u << 20;
    int zeros = __builtin_clzll(u);
    int64_t fraction = (int64_t)((u << zeros << 1) >> 44);
    return ((int64_t)(zeros + 1) << 20) - fraction;
}

static void on_fire(struct sim *s, struct sim_event *e)
{
    struct hold *h = SIM_OWNER(e, struct hold, event);
    violations += !((e->time > last_time) | ((e->time == last_time) & (e->seq > last_seq)));
    last_time = e->time;
    last_seq = e->seq;
    digest = digest_u64(digest, (uint64_t)e->time + h->id);
    sim_schedule(s, e, e->time + table[cursor++ % TABLE]);
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

static int bench(uint32_t pending, uint64_t events, int runs)
{
    struct sim *s = sim_create();
    struct hold *h = calloc(pending, sizeof *h);
    if (!h) {
        fprintf(stderr, "bench_hold: out of memory for %u events\n", pending);
        return 1;
    }
    double rate[MAX_RUNS];
    uint64_t first = 0;
    int bad = 0;
    for (int run = 0; run < runs; run++) {
        sim_reset(s);
        cursor = 0;
        digest = DIGEST_INIT;
        last_time = -1;
        last_seq = violations = 0;
        for (uint32_t i = 0; i < pending; i++) {
            h[i].id = i;
            sim_event_init(&h[i].event, on_fire);
            sim_schedule(s, &h[i].event, table[cursor++ % TABLE]);
        }
        for (uint32_t i = 0; i < pending; i++) // warm: the steady state, not the filling
            sim_step(s);
        double begin = seconds();
        for (uint64_t i = 0; i < events; i++)
            sim_step(s);
        rate[run] = (double)events / (seconds() - begin);
        if (run == 0)
            first = digest;
        bad |= digest != first || violations || sim_length(s) != pending;
    }
    qsort(rate, (size_t)runs, sizeof rate[0], ascending);
    char text[17];
    printf("hold: %7u pending, %llu events x %d: median %6.2f M events/s (%.2f to %.2f), "
           "digest %s, %s\n",
           pending, (unsigned long long)events, runs, rate[runs / 2] * 1e-6, rate[0] * 1e-6,
           rate[runs - 1] * 1e-6, digest_text(first, text), bad ? "OUT OF ORDER" : "in order");
    free(h);
    sim_destroy(s);
    return bad;
}

int main(int argc, char **argv)
{
    uint64_t state = 1;
    for (int i = 0; i < TABLE; i++)
        table[i] = increment(splitmix(&state));
    uint64_t pending = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    uint64_t events = argc > 2 ? strtoull(argv[2], NULL, 10) : 4000000;
    uint64_t runs = argc > 3 ? strtoull(argv[3], NULL, 10) : 7;
    if (runs < 1 || runs > MAX_RUNS || pending > 100000000 || (argc > 1 && pending == 0)) {
        fprintf(stderr, "usage: bench_hold [pending [events [runs]]]\n");
        return 2;
    }
    if (pending)
        return bench((uint32_t)pending, events, (int)runs);
    return bench(10, events, (int)runs) | bench(1000, events, (int)runs) |
           bench(100000, events, (int)runs);
}
