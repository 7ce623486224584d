// SPDX-License-Identifier: GPL-3.0-or-later
// A better part never makes a phone slower: more memory bandwidth, more arrays, a faster GPU, a
// larger on-chip buffer, cheaper synchronisation; for TTFT and TPOT under every policy of the
// publication, with fast and with driver synchronisation.
//
// Tolerance: the solver decides operator by operator from a cost table that describes operators
// alone, in whole tiles and eighths of the rows. A better part may tip a choice that costs
// something again.
#include "tests/explore/world.h"

static const double TOLERANCE = 0.02; // the largest seen is 1.5 %

static const struct {
    const char *set;
    bool idle; // may change nothing for this SoC and model
} better[] = {
    {"dram.timing.transfer_rate=9.6 GHz", false},
    {"dram.timing.channels=8", false},
    {"dram.fabric=40 ns", false},
    {"dram.timing.rcd=10 ns", true}, // rows are long: little waits for them
    {"gpu.gemm=1.5 TFLOP/s", false},
    {"gpu.gemv=450 GFLOP/s", true},       // decode is limited by the memory
    {"gpu.queue.outstanding=1024", true}, // the link is the limit
    {"gpu.queue.link=60 GB/s", false},
    {"gpu.queue.finish=100 us", false},
    {"gpu.queue.restart=10 us", false},
    {"gpu.queue.launch=1 us", false},
    {"gpu.queue.submit=2 us", false},
    {"npu.queue.finish=30 us", false},
    {"npu.queue.launch=3 us", false},
    {"npu.queue.outstanding=150", false},
    {"npu.arch.arrays=16", false},
    {"npu.arch.clock=1.3 GHz", true}, // tiles are limited by the stall
    {"npu.arch.tcm=16 MiB", true},    // what is resident fits already
    {"npu.arch.buffer=2 MiB", false},
    {"npu.arch.stall=300 ns", false},
    {"control.pause=200 ns", false},
};
enum { BETTER = sizeof better / sizeof better[0] };

static const char *const policies[] = {"gpu_only", "npu_only", "layer", "hetero_tensor"};
static const char *const syncs[] = {"queue_order", "driver"};
enum { POLICIES = 4, SYNCS = 2, PROMPTS = 4, METRICS = 2, ALL = POLICIES * SYNCS * METRICS };

// One experiment per policy, scheme and metric.
static struct experiments *open_all(int prompt)
{
    static char text[8192];
    size_t at = (size_t)snprintf(text, sizeof text,
                                 "defaults = { soc = \"sd8gen3\"; model = \"llama3-8b\"; prompt = "
                                 "[%d]; gen = 3; };\nexperiment = (\n",
                                 prompt);
    for (int i = 0; i < ALL; i++)
        at += (size_t)snprintf(text + at, sizeof text - at,
                               "{ id = \"%s %s %s\"; unit = \"ms\"; kind = \"session\"; policy = "
                               "\"%s\"; sync = \"%s\"; metric = \"%s\"; }%s\n",
                               policies[i / 4], syncs[i / 2 % 2], i % 2 ? "tpot_ms" : "ttft_ms",
                               policies[i / 4], syncs[i / 2 % 2], i % 2 ? "tpot_ms" : "ttft_ms",
                               i + 1 < ALL ? "," : " );");
    return experiments_of(text);
}

static void predict_all(struct experiments *x, const struct world *w, double *out)
{
    for (int i = 0; i < ALL; i++)
        out[i] = predicted(x, experiments_id(x, i), w);
}

static void test_never_slower(void)
{
    static const int prompts[PROMPTS] = {64, 250, 256, 525};
    double worst = 0;
    for (int p = 0; p < PROMPTS; p++) {
        struct world w;
        double base[ALL], now[ALL], gained[BETTER] = {0};
        struct experiments *x = open_all(prompts[p]);
        if (!x)
            return;
        world_init(&w);
        predict_all(x, &w, base);
        for (int b = 0; b < BETTER; b++) {
            experiments_forget(x);
            w.set[0] = better[b].set;
            w.n_set = 1;
            predict_all(x, &w, now);
            for (int i = 0; i < ALL; i++) {
                double slower = now[i] / base[i] - 1;
                if (!CHECK(slower <= TOLERANCE))
                    test_note("prompt %d, %s: %s from %g to %g ms (%+.2f %%)", prompts[p],
                              better[b].set, experiments_id(x, i), base[i], now[i], 100 * slower);
                worst = fmax(worst, slower);
                gained[b] = fmax(gained[b], -slower);
            }
        }
        // And each of them matters to somebody, or it would not be tested at all.
        for (int b = 0; b < BETTER && prompts[p] == 525; b++)
            if (!CHECK(better[b].idle || gained[b] > 0))
                test_note("%s gains %.2f %%", better[b].set, 100 * gained[b]);
        experiments_close(x);
        world_fini(&w);
    }
    test_note("worst: %+.2f %% ", 100 * worst);
}

TESTS(explore_monotone, T(test_never_slower))
