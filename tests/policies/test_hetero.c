// SPDX-License-Identifier: GPL-3.0-or-later
// The solver where the optimum is known by hand, at both sides of its margins, and against brute
// force over every candidate with an evaluation of its own.
#include "tests/policies/bench.h"

#include "base/rng.h"

// Times in units of rows times tokens; the ratio of the two devices is the case.
static double gpu_rate, npu_rate;

static double gpu_time(int m, int n, enum operand_order o)
{
    (void)o;
    return gpu_rate * m * n;
}

static double npu_time(int m, int n, enum operand_order o)
{
    return npu_rate * m * n * (o == ORDER_WEIGHT_STATIONARY ? 1 : 2);
}

static void optimum(int n, double gpu, double npu, const char *policy, const char *strategy)
{
    struct bench b;
    gpu_rate = gpu, npu_rate = npu;
    bench_open(&b, n, gpu_time, npu_time);
    const struct plan_op *po = bench_plan(&b, policy);
    if (po)
        CHECK_STR(bench_strategy(&b, po), strategy);
    for (int i = 0; po && i < po->n_shards; i++)
        if (po->shard[i].device == NPU) // the cheaper order
            CHECK_INT(po->shard[i].order, ORDER_WEIGHT_STATIONARY);
    bench_close(&b);
}

static void test_one_device_alone(void)
{
    optimum(128, 1, 1000, "hetero_tensor:margin=0 %,slack=0 %", "gpu-only");
    optimum(128, 1000, 1, "hetero_tensor:margin=0 %,slack=0 %", "npu-only");
    // 100 tokens: padded to 128 rather than 96 of them and a rest of 4 on a slow GPU.
    optimum(100, 1000, 1, "hetero_tensor:margin=0 %,slack=0 %", "npu-only, padded");
    // 96 tokens are two graphs without padding.
    optimum(96, 1000, 1, "hetero_tensor:margin=0 %,slack=0 %", "npu-only");
}

// The prediction adds up the operators: here q, kv, o, gate_up and down of one layer, and the
// logits of one token; the table knows nothing of the others.
static void test_the_prediction_adds_up(void)
{
    struct bench b;
    gpu_rate = 3, npu_rate = 1000;
    bench_open(&b, 128, gpu_time, npu_time);
    if (bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %"))
        CHECK_NEAR(b.plan.predicted_ps, 3 * (128.0 * (256 + 512 + 256 + ROWS + 256) + 512), 1);
    bench_close(&b);
}

// GPU takes k/8 of the rows in the time in which the NPU takes the others.
static void test_every_ratio_by_rows(void)
{
    for (int k = 1; k < PARTS; k++) {
        struct bench b;
        gpu_rate = PARTS - k, npu_rate = k;
        bench_open(&b, 128, gpu_time, npu_time);
        const struct plan_op *po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %");
        if (po) {
            CHECK_INT(po->n_shards, 2);
            CHECK_INT(bench_cut(po), ROWS * k / PARTS);
            CHECK_INT(po->shard[1].n_pad, 128);
            CHECK_HAS(bench_strategy(&b, po), "weight-centric");
        }
        bench_close(&b);
    }
    // Coarser parts only know coarser cuts: 3/8 becomes 1/2 or 1/4.
    struct bench b;
    gpu_rate = 5, npu_rate = 3;
    bench_open(&b, 128, gpu_time, npu_time);
    const struct plan_op *po = bench_plan(&b, "hetero_tensor:margin=0 %,parts=2");
    if (po)
        CHECK_INT(bench_cut(po), ROWS / 2);
    po = bench_plan(&b, "hetero_tensor:margin=0 %,parts=16");
    if (po)
        CHECK_INT(bench_cut(po), ROWS * 6 / 16);
    bench_close(&b);
}

// 132 tokens, the GPU 10 times slower: 128 on the NPU and a rest of 4 (40 beside 128), where
// padding costs 256 and any cut by rows gives the GPU more than it can do.
static void test_by_tokens(void)
{
    optimum(132, 10, 1, "hetero_tensor:margin=0 %,slack=0 %", "activation-centric dynamic:128");
}

// 4 times slower: an eighth of the rows is worth giving away (112 beside 80), not a quarter (144).
static void test_hybrid(void)
{
    struct bench b;
    gpu_rate = 4, npu_rate = 1;
    bench_open(&b, 132, gpu_time, npu_time);
    const struct plan_op *po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %");
    if (po) {
        CHECK_INT(po->n_shards, 3);
        CHECK_INT(bench_cut(po), ROWS / 8);
        CHECK_HAS(bench_strategy(&b, po), "hybrid");
    }
    bench_close(&b);
}

// The best whole placement is the NPU with graphs of 128 and 32, the second padded: 160. The hybrid
// takes 112, the cut by tokens 128. The margin is against the whole one, whatever other splits
// there are.
static void test_margins(void)
{
    optimum(132, 4, 1, "hetero_tensor:margin=20 %", "hybrid 1:6");
    optimum(132, 4, 1, "hetero_tensor:margin=29.9 %", "hybrid 1:6");       // 160 * 0.701 = 112.2
    optimum(132, 4, 1, "hetero_tensor:margin=30.1 %", "npu-only, padded"); // 111.8
    optimum(132, 4, 1, "hetero_tensor:margin=100 %", "npu-only, padded");
    // Rows in the ratio 1:1 save exactly half.
    optimum(128, 1, 1, "hetero_tensor:margin=49.9 %", "weight-centric 1:1");
    optimum(128, 1, 1, "hetero_tensor:margin=50.1 %", "gpu-only");
    // Two graphs are no split: they need no margin.
    optimum(96, 1000, 1, "hetero_tensor:margin=100 %", "npu-only");
}

// Of cuts that are nearly as good as the best, the simplest ratio.
static void test_slack(void)
{
    struct bench b;
    gpu_rate = 4, npu_rate = 2.55; // GPU : NPU = 3:5 takes 12.75, 1:1 takes 16, 1:3 takes 15.3
    bench_open(&b, 128, gpu_time, npu_time);
    const struct plan_op *po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=19 %");
    if (po)
        CHECK_INT(bench_cut(po), ROWS * 3 / 8);
    po = bench_plan(
        &b, "hetero_tensor:margin=0 %,slack=21 %"); // a quarter is simpler than three eighths
    if (po)
        CHECK_INT(bench_cut(po), ROWS * 2 / 8);
    po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=26 %"); // and a half simpler than a quarter
    if (po)
        CHECK_INT(bench_cut(po), ROWS / 2);
    bench_close(&b);
}

// What a chain of shared operators costs counts for one token, once it was measured.
static void test_chained(void)
{
    struct bench b;
    gpu_rate = npu_rate = 1;
    bench_open(&b, 1, gpu_time, npu_time);
    struct cost_overheads *o = cost_overheads(b.cost);
    o->join[GPU] = o->join[NPU] = ROWS; // two hand-overs cost more than the split saves
    const struct plan_op *po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %");
    if (po)
        CHECK_STR(bench_strategy(&b, po), "gpu-only");
    o->split[GPU] = o->split[NPU] = ROWS / 2 * 0.99;
    po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %");
    if (po)
        CHECK_STR(bench_strategy(&b, po), "weight-centric 1:1");
    o->split[GPU] = o->split[NPU] = ROWS / 2 * 1.01;
    po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %");
    if (po)
        CHECK_STR(bench_strategy(&b, po), "gpu-only");
    bench_close(&b);
}

// What a hand-over costs decides between a split and one device alone.
static void test_overheads_are_weighed(void)
{
    struct bench b;
    gpu_rate = npu_rate = 1;
    bench_open(&b, 128, gpu_time, npu_time);
    double alone = 128.0 * ROWS, together = alone / 2;
    struct cost_overheads *o = cost_overheads(b.cost);
    o->join[GPU] = o->join[NPU] = (alone - together) / 2 * 0.99;
    const struct plan_op *po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %");
    if (po)
        CHECK_STR(bench_strategy(&b, po), "weight-centric 1:1");
    o->join[GPU] = o->join[NPU] = (alone - together) / 2 * 1.01;
    po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %");
    if (po)
        CHECK_STR(bench_strategy(&b, po), "gpu-only");
    // Copies: the NPU keeps its own memory; 128 tokens of 256 + 1024 values of 4 bytes.
    o->join[GPU] = o->join[NPU] = 0;
    double bytes = 4.0 * 128 * (256 + ROWS / 2);
    o->copy_bandwidth[NPU] = bytes / ((alone - together) * 0.99) * (double)PS_PER_S;
    po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %");
    if (po)
        CHECK_STR(bench_strategy(&b, po), "weight-centric 1:1");
    o->copy_bandwidth[NPU] = bytes / ((alone - together) * 1.5) * (double)PS_PER_S;
    po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %");
    if (po)
        CHECK_STR(bench_strategy(&b, po), "gpu-only");
    // Contention: both twice as slow together is worth nothing any more.
    o->copy_bandwidth[NPU] = 0;
    o->together_many[GPU] = o->together_many[NPU] = 1.9;
    po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %");
    if (po)
        CHECK_STR(bench_strategy(&b, po), "weight-centric 1:1");
    o->together_many[GPU] = o->together_many[NPU] = 2.1;
    po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %");
    if (po)
        CHECK_STR(bench_strategy(&b, po), "gpu-only");
    bench_close(&b);
    // Of one token, the other factor counts.
    bench_open(&b, 1, gpu_time, npu_time);
    o = cost_overheads(b.cost);
    o->together_many[GPU] = o->together_many[NPU] = 100;
    po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %");
    if (po)
        CHECK_STR(bench_strategy(&b, po), "weight-centric 1:1");
    o->together[GPU] = o->together[NPU] = 2.1;
    po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %");
    if (po)
        CHECK_STR(bench_strategy(&b, po), "gpu-only");
    bench_close(&b);
}

static void test_an_empty_table_leaves_it_to_the_flexible_one(void)
{
    struct bench b;
    bench_open(&b, 128, NULL, NULL);
    const struct plan_op *po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %");
    if (po)
        CHECK_STR(bench_strategy(&b, po), "gpu-only");
    CHECK_NEAR(b.plan.predicted_ps, 0, 0);
    bench_close(&b);
}

// ---- brute force ----

static struct rng *noise;

static double noisy_gpu(int m, int n, enum operand_order o)
{
    return gpu_time(m, n, o) * (0.5 + rng_uniform(noise)) + 1000 * rng_uniform(noise);
}

static double noisy_npu(int m, int n, enum operand_order o)
{
    return npu_time(m, n, o) * (0.5 + rng_uniform(noise)) + 1000 * rng_uniform(noise);
}

// Predicted time of one operator's shards, from the definition of the objective.
static double evaluate(const struct bench *b, const struct shard *s, int n_shards)
{
    const struct cost_overheads *o = cost_get_overheads(b->cost);
    double t[2] = {0, 0}, copy = 0;
    for (int i = 0; i < n_shards; i++) {
        int rows = s[i].m1 - s[i].m0, n = s[i].n1 - s[i].n0;
        t[s[i].device] +=
            cost_matmul(b->cost, s[i].device, s[i].order, COLS, rows, s[i].n_pad ? s[i].n_pad : n);
        for (int d = 0; d < 2 && s[i].device == NPU; d++)
            if (o->copy_bandwidth[d] > 0)
                copy += 4.0 * n * (COLS + rows) / o->copy_bandwidth[d] * (double)PS_PER_S;
    }
    if (t[NPU] <= 0)
        return t[GPU];
    const double *f = b->g.n_tokens == 1 ? o->together : o->together_many;
    if (t[GPU] > 0)
        t[GPU] *= f[GPU], t[NPU] *= f[NPU];
    return fmax(t[GPU], t[NPU]) + o->join[GPU] + o->join[NPU] + copy;
}

// Tokens covered by graphs: 0 the largest ones and a padded one that holds the rest, 1 as many
// whole ones as fit, 2 these and the smallest one, padded. Returns the count.
static int cover(int n, int how, int *size, int *tokens)
{
    static const int sizes[] = {256, 128, 64, 32, 1}; // 1: never for all of a prompt
    int count = 0, left = n;
    if (n == 1) {
        size[0] = tokens[0] = 1;
        return 1;
    }
    for (int i = 0; how >= 1 && i < 4; i++)
        while (left >= sizes[i]) {
            size[count] = tokens[count] = sizes[i];
            left -= sizes[i];
            count++;
        }
    if (how == 2 && left > 0)
        size[count] = 32, tokens[count] = left, count++;
    if (how >= 1)
        return count;
    for (; left > 256; left -= 256)
        size[count] = tokens[count] = 256, count++;
    for (int i = 4; i >= 0; i--)
        if (sizes[i] >= left) {
            size[count] = sizes[i], tokens[count] = left;
            return count + 1;
        }
    return 0;
}

static double least(const struct bench *b)
{
    struct shard s[64] = {{.device = GPU, .m1 = ROWS, .n1 = b->g.n_tokens}};
    int n = b->g.n_tokens, size[16], tokens[16];
    double best = evaluate(b, s, 1);
    for (int how = 0; how < 3; how++)
        for (int cut = 0; cut < PARTS; cut++)
            for (int order = 0; order < ORDER_COUNT; order++) {
                int m = ROWS * cut / PARTS, count = cover(n, how, size, tokens), at = 0, k = 0;
                if (!count)
                    continue;
                for (int i = 0; i < count; at += tokens[i++])
                    s[k++] = (struct shard){
                        NPU, m, ROWS, at, at + tokens[i], size[i], (enum operand_order)order};
                if (at < n)
                    s[k++] = (struct shard){.device = GPU, .m0 = m, .m1 = ROWS, .n0 = at, .n1 = n};
                if (m)
                    s[k++] = (struct shard){.device = GPU, .m1 = m, .n1 = n};
                best = fmin(best, evaluate(b, s, k));
            }
    return best;
}

static void test_nothing_is_better_by_brute_force(void)
{
    static const int length[] = {1, 31, 32, 33, 100, 128, 132, 255, 256, 257, 300};
    int strategies[5] = {0, 0, 0, 0, 0};
    noise = rng_create(1, "hetero");
    for (int i = 0; i < 60; i++) {
        struct bench b;
        gpu_rate = 10 * exp(2 * rng_normal(noise)), npu_rate = 10;
        bench_open(&b, length[i % 11], noisy_gpu, noisy_npu);
        struct cost_overheads *o = cost_overheads(b.cost);
        double scale = 10.0 * ROWS * b.g.n_tokens;
        for (int d = 0; d < 2; d++) {
            o->join[d] = i % 3 ? 0.05 * scale * rng_uniform(noise) : 0;
            o->together[d] = 1 + rng_uniform(noise);
            o->together_many[d] = 1 + 0.3 * rng_uniform(noise);
            o->copy_bandwidth[d] = i % 4 == d ? 1e12 * rng_uniform(noise) : 0;
        }
        const struct plan_op *po = bench_plan(&b, "hetero_tensor:margin=0 %,slack=0 %");
        if (po) {
            double found = evaluate(&b, po->shard, po->n_shards), best = least(&b);
            if (fabs(found - best) > 1e-9 * best)
                test_note("%d tokens: chose %s, %.9g, there is %.9g", b.g.n_tokens,
                          bench_strategy(&b, po), found, best);
            CHECK_NEAR(found / best, 1, 1e-9);
            const char *t = bench_strategy(&b, po);
            strategies[!strncmp(t, "gpu", 3)      ? 0
                       : !strncmp(t, "npu", 3)    ? 1
                       : !strncmp(t, "weight", 6) ? 2
                       : !strncmp(t, "act", 3)    ? 3
                                                  : 4]++;
        }
        bench_close(&b);
    }
    rng_destroy(noise);
    for (int i = 0; i < 5; i++)
        CHECK(strategies[i] > 0); // the cases are not all of one kind
}

TESTS(policies_hetero, T(test_slack), T(test_chained), T(test_one_device_alone),
      T(test_the_prediction_adds_up), T(test_every_ratio_by_rows), T(test_by_tokens),
      T(test_hybrid), T(test_margins), T(test_overheads_are_weighed),
      T(test_an_empty_table_leaves_it_to_the_flexible_one),
      T(test_nothing_is_better_by_brute_force))
