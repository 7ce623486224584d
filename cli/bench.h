// SPDX-License-Identifier: GPL-3.0-or-later
// A benchmark: prompt and generation speed of one model on one machine, for every combination of
// policy, sync scheme and test. See bench_measure.c for what a test is.
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "cli/cli.h"

enum { BENCH_MAX_SPECS = 32, BENCH_MAX_TESTS = 32, BENCH_MAX_REPEATS = 1000 };

// "pp512": a prompt of 512 tokens and nothing else. "tg128": 128 tokens after a prompt of one.
struct bench_test {
    int n_prompt, n_gen; // one of them is 0
};

struct bench_request {
    const struct cli_factory *factory;
    const struct model *model; // with weights on a machine with values
    const char *policy[BENCH_MAX_SPECS], *sync[BENCH_MAX_SPECS];
    int n_policies, n_syncs; // 0: what the machine has
    struct bench_test test[BENCH_MAX_TESTS];
    int n_tests; // >= 1
    int repeats; // 0: 5, or 1 on a machine that repeats itself exactly
    uint64_t seed;
    enum session_on_loss on_loss; // stop: no further runs; continue: those without the device
    // Before every run, and once with total = 0 while the machine is profiled. May be NULL.
    void (*progress)(const char *what, int done, int total);
};

struct bench_row {
    const char *policy, *sync;
    struct bench_test test;
    char reason[240];            // why the machine cannot do it; "": it can
    int n;                       // runs that were completed, without the warm-up
    double *rate;                // [n] token/s
    double predicted;            // by the plan, token/s; NaN: unknown
    double mean, stddev, median; // of `rate`, token/s; NaN: too few runs
    uint64_t digest, logits;     // of the first run, as in a session's result
    bool same;                   // every run had these
};

struct bench_skip {
    const char *sync;
    char reason[240];
};

struct bench_result {
    struct arena arena; // owns what the rows point to
    char machine[96];
    int n_devices;
    char device[MACHINE_MAX_DEVICES][16], detail[MACHINE_MAX_DEVICES][128];
    int threads;     // of the CPU device; 0: unknown
    bool repeatable; // equal runs take equal times
    int repeats;     // as asked for, or the default
    struct bench_row *row;
    int n_rows;
    struct bench_skip skip[BENCH_MAX_SPECS]; // schemes that the machine does not offer
    int n_skips;
    struct err lost; // a device failed and ended it; code 0: none did
};

// Ctrl-C ends it after the run in progress, with what there is (cli_stop).
int bench_run(const struct bench_request *q, struct bench_result *out, struct err *e);
void bench_result_fini(struct bench_result *r);
// "pp512" or "tg128".
const char *bench_test_name(struct bench_test t, char buf[24]);

void bench_print(FILE *f, const struct bench_request *q, const struct bench_result *r);
void bench_json(FILE *f, const struct bench_request *q, const struct bench_result *r);
void bench_csv(FILE *f, const struct bench_request *q, const struct bench_result *r);

#endif
