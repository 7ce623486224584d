// SPDX-License-Identifier: GPL-3.0-or-later
// A layer adds up: one decoder layer of Llama-3-8B at 256 tokens, solved by hand.
//
// The cost table holds four published latencies (HeteroInfer, arXiv 2501.14794v2, Table 3, N = 256,
// rows of split `given`), in proportion to the rows of the weight, and no overheads:
//
//                     rows x columns    NPU (ms)              GPU (ms)
//     q               4096 x 4096       1.884                 10.841
//     kv              2048 x 4096       1.884 / 2 = 0.942      5.42
//     o               4096 x 4096       1.884                 10.841
//     gate_up        28672 x 4096       1.884 * 7 = 13.188    75.9
//     down            4096 x 14336     23.445                 35.231
//
// NPU alone: 41.343 ms per layer. Cut in fifths, only `down` gains from the GPU: 2:3 takes
// max(0.4 * 35.231, 0.6 * 23.445) = 14.092 ms, and the layer 31.99 ms. One fifth of the others
// would keep the GPU busy for longer than the NPU needs for the whole.
#include "tests/policies/bench.h"

static const double US = 1e6; // ps

static void open_layers(struct bench *b, int n_layer)
{
    struct model_shape s = {.name = "llama3-8b",
                            .arch = "llama",
                            .n_layer = n_layer,
                            .d_model = 4096,
                            .n_head = 32,
                            .n_head_kv = 8,
                            .d_head = 128,
                            .d_ff = 14336,
                            .n_vocab = 128256,
                            .n_ctx = 8192,
                            .norm_eps = 1e-5,
                            .rope = {.dim = 128, .theta = 5e5, .factor = 1},
                            .weight_bits = 4.5};
    struct err e = {0};
    bench_open(b, 256, NULL, NULL);
    model_close(b->model);
    CHECK_OK(model_create(&s, &b->model, &e), &e);
    graph_build(b->model, 256, 0, &b->g);
    for (int m = 32; m <= 28672; m += 32) { // in proportion to the rows
        double part = m / 4096.0 * US;
        cost_add_matmul(b->cost, GPU, ORDER_WEIGHT_STREAMED, 4096, m, 256, 10841 * part);
        cost_add_matmul(b->cost, NPU, ORDER_WEIGHT_STREAMED, 4096, m, 256, 1884 * part);
        if (m > 4096)
            continue;
        cost_add_matmul(b->cost, GPU, ORDER_WEIGHT_STREAMED, 14336, m, 256, 35231 * part);
        cost_add_matmul(b->cost, NPU, ORDER_WEIGHT_STREAMED, 14336, m, 256, 23445 * part);
    }
}

static const char *strategy(const struct bench *b, const char *name)
{
    static char text[64];
    const struct op *op = graph_find(&b->g, name);
    return plan_strategy(&b->plan.step[0].op[op->index], op, 256, &b->d, text, sizeof text);
}

// What one layer more adds to the prediction, in ms: the head cancels.
static double layer_ms(const char *policy)
{
    double ps[2];
    for (int i = 0; i < 2; i++) {
        struct bench b;
        open_layers(&b, 1 + i);
        bench_plan(&b, policy);
        ps[i] = b.plan.predicted_ps;
        bench_close(&b);
    }
    return (ps[1] - ps[0]) / 1e9;
}

static void test_npu_alone(void)
{
    CHECK_NEAR(layer_ms("layer"), 1.884 + 0.942 + 1.884 + 13.188 + 23.445, 1e-6); // 41.343
    CHECK_NEAR(layer_ms("layer"), 41.3, 0.05);
    CHECK_NEAR(layer_ms("gpu_only"), 10.841 * (1 + 0.5 + 1 + 7) + 35.231, 1e-6);
}

static void test_down_split(void)
{
    struct bench b;
    open_layers(&b, 1);
    if (CHECK(bench_plan(&b, "hetero_tensor:parts=5") != NULL)) {
        static const char *const whole[] = {"q", "kv", "o", "gate_up"};
        for (int i = 0; i < 4; i++)
            CHECK_STR(strategy(&b, whole[i]), "npu-only");
        CHECK_STR(strategy(&b, "down"), "weight-centric 2:3");
    }
    bench_close(&b);
    // Cuts are made in whole tiles of 32 rows: 1632 of 4096 rows, not 1638.4.
    double gpu = 35.231 * 1632 / 4096, npu = 23.445 * (4096 - 1632) / 4096;
    CHECK_NEAR(layer_ms("hetero_tensor:parts=5"), 17.898 + fmax(gpu, npu), 1e-6);
    CHECK_NEAR(layer_ms("hetero_tensor:parts=5"), 32.0, 0.05);
}

// In eighths, the small ones gain a little too: 1:7 takes max(0.125 * GPU, 0.875 * NPU).
static void test_eighths(void)
{
    struct bench b;
    open_layers(&b, 1);
    if (CHECK(bench_plan(&b, "hetero_tensor") != NULL)) {
        CHECK_STR(strategy(&b, "q"), "weight-centric 1:7");
        CHECK_STR(strategy(&b, "gate_up"), "weight-centric 1:7");
        CHECK_STR(strategy(&b, "down"), "weight-centric 3:5");
    }
    bench_close(&b);
    CHECK_NEAR(layer_ms("hetero_tensor"), 0.875 * 17.898 + 0.625 * 23.445, 1e-6);
}

TESTS(policies_layer_sum, T(test_npu_alone), T(test_down_split), T(test_eighths))
