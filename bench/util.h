// SPDX-License-Identifier: GPL-3.0-or-later
// What the benchmarks of the simulated machine share: a model of published shape, errors that end
// the program, and CPU time.
#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "engine/model.h"

// Llama-3-8B by its published shape, weights of 4.5 bit (Q4_0), timing only.
static inline const struct model *bench_llama3_8b(void)
{
    static struct layer_weights layers[32];
    static const struct model m = {
        .shape = {.name = "llama3-8b",
                  .n_layer = 32,
                  .d_model = 4096,
                  .n_head = 32,
                  .n_head_kv = 8,
                  .d_head = 128,
                  .d_ff = 14336,
                  .n_vocab = 128256,
                  .n_ctx = 8192,
                  .weight_bits = 4.5},
        .layers = layers,
    };
    return &m;
}

static inline void bench_must(int rc, const struct err *e)
{
    char text[640];
    if (rc >= 0)
        return;
    fprintf(stderr, "%s\n", err_text(e, text, sizeof text));
    exit(1);
}

static inline double bench_cpu_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#endif
