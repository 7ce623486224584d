// SPDX-License-Identifier: GPL-3.0-or-later
// The model of a step by hand: every matmul takes 1000 on the GPU and 700 on the NPU, whatever its
// shape, everything else takes 10 on either; what neighbours add is counted per layer.
#include "engine/predict.h"

#include "tests/policies/bench.h"

enum { MATMULS = 6, OTHERS = 9, BLOCK_MATMULS = 5, BLOCK_OTHERS = 7 };
static const double G = 1000, N = 700, REST = 10;

static double gpu_time(int m, int n, enum operand_order o)
{
    (void)m, (void)n, (void)o;
    return G;
}

static double npu_time(int m, int n, enum operand_order o)
{
    (void)m, (void)n, (void)o;
    return N;
}

static void open_layers(struct bench *b, int n, int layers)
{
    bench_open(b, n, gpu_time, npu_time);
    b->model->shape.n_layer = layers;
    plan_init(&b->plan, "by hand", n);
    struct plan_step *s = plan_add_step(&b->plan, 0, n);
    for (int i = 0; i < b->g.n_ops; i++) {
        const struct op *op = &b->g.op[i];
        for (int d = 0; d < 2 && op->kind != OP_MATMUL; d++)
            cost_add_op(b->cost, d, op->kind, op->m, n, n, REST);
        plan_whole(&b->plan, s, op, n, GPU);
    }
    struct cost_overheads *o = cost_overheads(b->cost);
    o->submit[GPU] = 30, o->submit[NPU] = 20;
    o->join[GPU] = 30 + 7, o->join[NPU] = 20 + 5; // a join returns 7 and 5 after completion
}

// The operator on the NPU, or all but its first 32 rows.
static void on_npu(struct bench *b, const char *name, bool shared)
{
    const struct op *op = graph_find(&b->g, name);
    struct plan_op *po = &b->plan.step[0].op[op->index];
    po->n_shards = 0;
    int m0 = shared ? 32 : 0, n = b->g.n_tokens;
    if (shared)
        plan_add_shard(&b->plan, b->plan.step, op->index,
                       (struct shard){.device = GPU, .m1 = 32, .n1 = n});
    plan_add_shard(
        &b->plan, b->plan.step, op->index,
        (struct shard){
            .device = NPU, .m0 = m0, .m1 = op->m, .n1 = n, .n_pad = op->kind == OP_MATMUL ? n : 0});
}

static double predicted(const struct bench *b)
{
    return predict_plan(&b->plan, &b->g, &b->d, b->cost);
}

// One device: streamed times, the first submission, the last join.
static double alone(int layers)
{
    return 30 + 7 + G + 2 * REST + layers * (BLOCK_MATMULS * G + BLOCK_OTHERS * REST);
}

static void test_one_device_streams(void)
{
    for (int layers = 1; layers <= 40; layers += 3) {
        struct bench b;
        open_layers(&b, 32, layers);
        CHECK_NEAR(predicted(&b), alone(layers), 1e-6);
        bench_close(&b);
    }
}

// attn ends + 7, submit 20, o on the NPU, + 5, submit 30: per layer.
static void test_a_hand_over_costs_both_ways(void)
{
    for (int layers = 1; layers <= 9; layers += 4) {
        struct bench b;
        open_layers(&b, 32, layers);
        on_npu(&b, "o", false);
        CHECK_NEAR(predicted(&b), alone(layers) + layers * (N - G + 7 + 20 + 5 + 30), 1e-6);
        bench_close(&b);
    }
}

// Where the pair was measured, it is that; the other direction stays what the two devices say.
static void test_a_hand_over_by_pair(void)
{
    static const double pair[] = {3, 27, 90}; // less than submit, the same, more
    for (int i = 0; i < 3; i++) {
        struct bench b;
        open_layers(&b, 32, 6);
        on_npu(&b, "o", false);
        struct cost_overheads *o = cost_overheads(b.cost);
        o->pair[GPU][NPU] = pair[i];
        CHECK_NEAR(predicted(&b), alone(6) + 6 * (N - G + pair[i] + 5 + 30), 1e-6);
        o->pair[NPU][GPU] = 200;
        CHECK_NEAR(predicted(&b), alone(6) + 6 * (N - G + pair[i] + 200), 1e-6);
        // Two operators in a row are one hand-over there and one back.
        on_npu(&b, "add_attn", false);
        CHECK_NEAR(predicted(&b), alone(6) + 6 * (N - G + pair[i] + 200), 1e-6);
        bench_close(&b);
    }
}

// q and kv, and a run of operators of any kind.
static void test_neighbours_share_a_hand_over(void)
{
    struct bench b;
    open_layers(&b, 32, 6);
    on_npu(&b, "q", false);
    on_npu(&b, "kv", false);
    CHECK_NEAR(predicted(&b), alone(6) + 6 * (2 * (N - G) + 7 + 20 + 5 + 30), 1e-6);
    bench_close(&b);
    open_layers(&b, 32, 6);
    static const char *const run[] = {"ffn_norm", "gate_up", "swiglu", "down", "add_ffn"};
    for (int i = 0; i < 5; i++)
        on_npu(&b, run[i], false);
    CHECK_NEAR(predicted(&b), alone(6) + 6 * (2 * (N - G) + 7 + 20 + 5 + 30), 1e-6);
    bench_close(&b);
}

// q on the NPU while the GPU goes on with kv, which does not need it: rope waits for the later one.
static void test_q_and_kv_run_side_by_side(void)
{
    struct bench b;
    open_layers(&b, 32, 6);
    on_npu(&b, "q", false);
    // attn_norm ends at 0. NPU: 7 + 20 + 700. GPU: kv is behind attn_norm, whose queue has run dry
    // when the host, which had waited for it, comes: 7 + 20 + 30 + 1000.
    CHECK_NEAR(predicted(&b), alone(6) + 6 * (7 + 20 + 30 + G - 2 * G), 1e-6);
    bench_close(&b);
    open_layers(&b, 32, 6);
    on_npu(&b, "kv", false);
    // The host joins attn_norm before it submits kv, and has put q behind it before that. q ends at
    // 1000, kv at 7 + 20 + 700; rope is submitted at 732, when the queue still holds q.
    CHECK_NEAR(predicted(&b), alone(6) + 6 * -G, 1e-6);
    bench_close(&b);
}

// The GPU's part of a shared operator is the longer one. Joined as a whole, its queue runs dry
// before it and the host submits to both; joined per shard it goes on as if it were alone.
static void test_shared_by_two(void)
{
    for (int ahead = 0; ahead < 2; ahead++) {
        struct bench b;
        open_layers(&b, 32, 6);
        struct cost_overheads *o = cost_overheads(b.cost);
        o->ahead[GPU] = o->ahead[NPU] = ahead;
        on_npu(&b, "o", true);
        CHECK_NEAR(predicted(&b), alone(6) + 6 * (ahead ? 0 : 7 + 30), 1e-6);
        bench_close(&b);
    }
}

// The NPU's part is the longer one: it starts when the host has seen attn complete and has
// submitted to the GPU (which is free if its queue still holds attn), and the host comes back 5
// later to an empty queue of the GPU.
static void test_shared_the_other_way_round(void)
{
    for (int ahead = 0; ahead < 2; ahead++) {
        struct bench b;
        open_layers(&b, 32, 6);
        struct cost_overheads *o = cost_overheads(b.cost);
        o->ahead[GPU] = o->ahead[NPU] = ahead;
        const struct op *op = graph_find(&b.g, "o");
        for (int m = 32; m <= op->m; m += 32)
            cost_add_matmul(b.cost, NPU, ORDER_WEIGHT_STREAMED, op->k, m, 32, 3 * G);
        on_npu(&b, "o", true);
        double o_takes = 7 + (ahead ? 0 : 30) + 20 + 3 * G + 5 + 30;
        CHECK_NEAR(predicted(&b), alone(6) + 6 * (o_takes - G), 1e-6);
        bench_close(&b);
    }
}

// Both parts 1000 at the start, the GPU 1.5 and the NPU 1.2 times slower side by side.
static void test_contention_while_both_work(void)
{
    for (int n = 1; n <= 32; n += 31) {
        struct bench b;
        open_layers(&b, n, 6);
        struct cost_overheads *o = cost_overheads(b.cost);
        double *factor = n == 1 ? o->together : o->together_many;
        for (int d = 0; d < 2; d++)
            o->submit[d] = o->join[d] = 0;
        factor[GPU] = 1.5, factor[NPU] = 1.2;
        on_npu(&b, "o", true);
        // The NPU's 700 last 840, in which the GPU does 560; the other 440 it does alone.
        double base = alone(6) - 30 - 7;
        CHECK_NEAR(predicted(&b), base + 6 * (840 + 440 - G), 1e-6);
        factor[NPU] = 2.4;
        // 1680, but the GPU is done after 1500; then the NPU, which has done 625, has 75 to do.
        CHECK_NEAR(predicted(&b), base + 6 * (1500 + 75 - G), 1e-6);
        bench_close(&b);
    }
}

static void test_copies_are_the_hosts(void)
{
    struct bench b;
    open_layers(&b, 32, 6);
    struct cost_overheads *o = cost_overheads(b.cost);
    const struct op *op = graph_find(&b.g, "o");
    double bytes = 4.0 * 32 * (op->k + op->m);
    on_npu(&b, "o", false);
    double without = predicted(&b);
    o->copy_bandwidth[NPU] = bytes / 100 * (double)PS_PER_S;
    CHECK_NEAR(predicted(&b), without + 6 * 100, 1e-6);
    o->copy_bandwidth[GPU] = bytes / 50 * (double)PS_PER_S;
    CHECK_NEAR(predicted(&b), without + 6 * 150, 1e-6);
    bench_close(&b);
}

static void test_unknown(void)
{
    struct bench b;
    open_layers(&b, 32, 2);
    cost_destroy(b.cost);
    b.cost = cost_create();
    CHECK(predicted(&b) < 0);
    bench_close(&b);
}

// Chunks add up: each is a step that begins with idle queues.
static void test_steps_add_up(void)
{
    struct bench b;
    open_layers(&b, 64, 3);
    if (bench_plan(&b, "chunked:chunk=32")) {
        double both = predicted(&b);
        CHECK_INT(b.plan.n_steps, 2);
        b.plan.n_steps = 1;
        double first = predicted(&b);
        b.plan.n_steps = 2;
        CHECK(first > 0);
        CHECK(both - first > first); // the second has the head
    }
    bench_close(&b);
}

// Only q and kv stand side by side.
static void test_cuts(void)
{
    struct bench b;
    struct predict p;
    open_layers(&b, 32, 2);
    predict_init(&p, &b.g, &b.d, b.cost);
    for (int i = 0; i < b.g.n_ops; i++)
        CHECK_INT(p.cut[i], strcmp(b.g.op[i].name, "q") != 0 && strcmp(b.g.op[i].name, "kv") != 0);
    bench_close(&b);
}

TESTS(engine_predict, T(test_one_device_streams), T(test_a_hand_over_costs_both_ways),
      T(test_a_hand_over_by_pair), T(test_neighbours_share_a_hand_over),
      T(test_q_and_kv_run_side_by_side), T(test_shared_by_two), T(test_shared_the_other_way_round),
      T(test_contention_while_both_work), T(test_copies_are_the_hosts), T(test_unknown),
      T(test_steps_add_up), T(test_cuts))
