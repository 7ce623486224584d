// SPDX-License-Identifier: GPL-3.0-or-later
// Speed of the cycle-level memory (LPDDR5X-8533, four channels of 16 bits, bursts of 32 bytes)
// under closed loops of requests, and the bandwidth that each pattern reaches.
//
//     bench_dram [MiB per run [runs]]
//
// Time is CPU time of one core, median of the runs. The digest covers every train's end; it must be
// the same in every run.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "tests/dram/lpddr_util.h"

enum { MAX_RUNS = 99 };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct pattern {
    const char *name;
    int outstanding;
    int64_t bytes, stride;
    double writes;
};

static int bench(const struct lpddr_params *p, const struct pattern *q, int64_t bytes, int runs)
{
    static struct stream t;
    struct sim *s = sim_create();
    struct lpddr *d;
    struct err e = {0};
    if (lpddr_create(p, s, &d, &e) < 0)
        return 1;
    double time[MAX_RUNS];
    uint64_t digest = 0;
    int bad = 0;
    struct lpddr_stats n = {0};
    for (int i = 0; i < runs; i++) {
        sim_reset(s);
        lpddr_reset(d);
        t = (struct stream){.d = d,
                            .outstanding = q->outstanding,
                            .limit = bytes / q->bytes,
                            .bytes = q->bytes,
                            .stride = q->stride,
                            .writes = q->writes,
                            .base = {0, UINT64_C(1) << 32}};
        double begin = seconds();
        stream_start(&t);
        while (sim_step(s))
            ;
        time[i] = seconds() - begin;
        bad |= i && sim_digest(s) != digest;
        digest = sim_digest(s);
        lpddr_get_stats(d, &n);
    }
    qsort(time, (size_t)runs, sizeof *time, ascending);
    double m = time[runs / 2];
    printf("%-24s %9.2f %9.2f %9.2f %8.2f %7.2f %7.3f  %016" PRIx64 "%s\n", q->name,
           (double)n.bursts / m * 1e-6, (double)n.trains / m * 1e-6,
           (double)n.bursts / (double)n.trains, (double)sim_fired(s) / (double)n.trains,
           stream_bandwidth(&t) * 1e-9, stream_bandwidth(&t) / lpddr_peak(p), digest,
           bad ? "  DIFFERENT DIGESTS" : "");
    lpddr_destroy(d);
    sim_destroy(s);
    return bad;
}

int main(int argc, char **argv)
{
    int64_t bytes = (argc > 1 ? atoi(argv[1]) : 64) * INT64_C(1048576);
    int runs = argc > 2 ? atoi(argv[2]) : 9;
    struct lpddr_params p;
    struct err e = {0};
    char text[700];
    if (runs < 1 || runs > MAX_RUNS || bytes <= 0 || !lpddr_example(0, &p, &e)) {
        fprintf(stderr, "bench_dram: %s\n", err_text(&e, text, sizeof text));
        return 1;
    }
    static const struct pattern pattern[] = {
        {"read, 16 KiB", 16, 16384, 16384, 0},
        {"read, 1 KiB", 128, 1024, 1024, 0},
        {"read, 64 B", 512, 64, 64, 0},
        {"write, 1 KiB", 128, 1024, 1024, 1},
        {"mixed 25 % writes, 1 KiB", 128, 1024, 1024, 0.25},
        {"mixed 50 % writes, 1 KiB", 128, 1024, 1024, 0.5},
        {"strided 256 B of 4 KiB", 256, 256, 4096, 0},
        {"random, 1 KiB", 128, 1024, 0, 0},
        {"random, 64 B", 512, 64, 0, 0},
        {"random, 64 B, half writes", 512, 64, 0, 0.5},
    };
    printf("%-24s %9s %9s %9s %8s %7s %7s  %s\n", "pattern", "Mburst/s", "Mtrain/s", "burst/trn",
           "evts/trn", "GB/s", "of peak", "digest");
    int bad = 0;
    for (size_t i = 0; i < sizeof pattern / sizeof pattern[0]; i++)
        bad |= bench(&p, &pattern[i], bytes, runs);
    return bad;
}
