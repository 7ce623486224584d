// SPDX-License-Identifier: GPL-3.0-or-later
// Each partition policy does what its essay says, on a machine and a cost table made by hand: which
// device gets which rows and tokens, on which graphs.
#include "tests/policies/bench.h"

static double same(int m, int n, enum operand_order o)
{
    (void)o;
    return (double)m * n;
}

// The strategy of the largest matmul under one policy.
static void does(int n, const char *policy, const char *strategy)
{
    struct bench b;
    bench_open(&b, n, same, same);
    const struct plan_op *po = bench_plan(&b, policy);
    if (po)
        CHECK_STR(bench_strategy(&b, po), strategy);
    bench_close(&b);
}

static void graphs(int n, const char *policy, const int *sizes, int count)
{
    struct bench b;
    bench_open(&b, n, same, same);
    const struct plan_op *po = bench_plan(&b, policy);
    int k = 0;
    for (int i = 0; po && i < po->n_shards; i++)
        if (po->shard[i].device == NPU && k < count)
            CHECK_INT(po->shard[i].n_pad, sizes[k++]);
    CHECK_INT(k, count);
    bench_close(&b);
}

static void test_whole_placements(void)
{
    does(100, "gpu_only", "gpu-only");
    does(100, "null", "gpu-only");
    does(100, "npu_only", "npu-only, padded");
    does(128, "npu_only", "npu-only");
    does(1, "npu_only", "npu-only");
    does(100, "layer", "npu-only, padded");
    does(1, "layer:decode=npu", "npu-only");
    does(1, "layer:decode=flexible", "gpu-only");
    does(300, "layer:decode=flexible", "npu-only, padded"); // decode is about one token
    does(100, "online_prepare", "npu-only, padded");
    does(96, "online_prepare", "npu-only");
}

static void test_covers(void)
{
    const int pad[] = {128}, several[] = {128, 64, 32}, one[] = {128}, pipe[] = {128, 64, 32, 32};
    const int tail[] = {256, 64}, online[] = {96};
    graphs(100, "padding:sizes=[]", pad, 1);
    graphs(231, "activation_centric", several, 3); // 224, a rest of 7 on the GPU
    graphs(231, "activation_centric:several=false", one, 1);
    graphs(231, "pipe", pipe, 4); // the rest padded
    graphs(300, "padding:sizes=[]", tail, 2);
    graphs(70, "online_prepare", online, 1);
    does(231, "activation_centric", "activation-centric dynamic:224");
    does(231, "activation_centric:several=false", "activation-centric dynamic:128");
    does(31, "activation_centric", "gpu-only"); // less than the smallest size
    does(32, "activation_centric", "npu-only");
    does(1, "activation_centric", "gpu-only");
    does(231, "activation_centric:sizes=[64]", "activation-centric dynamic:192");
    does(231, "activation_centric:sizes=[7]", "gpu-only"); // the device has no such size
}

// A share that was asked for is done, to the nearest tile, whatever the table knows.
static void test_shares(void)
{
    static const struct {
        const char *text;
        int cut;
    } share[] = {{"25 %", ROWS / 4}, {"75 %", ROWS * 3 / 4}, {"100 %", ROWS},
                 {"99.9 %", ROWS},   {"0.1 %", 0},           {"1 %", 32}};
    static const char *const policy[] = {"weight_centric", "hybrid:rest=pad,", "hybrid"};
    for (int table = 0; table < 2; table++)
        for (int p = 0; p < 3; p++)
            for (size_t i = 0; i < sizeof share / sizeof share[0]; i++) {
                struct bench b;
                char spec[96];
                const char *end = policy[p] + strlen(policy[p]) - 1;
                snprintf(spec, sizeof spec, "%s%sshare=%s", policy[p], *end == ',' ? "" : ":",
                         share[i].text);
                bench_open(&b, 128, table ? same : NULL, same);
                const struct plan_op *po = bench_plan(&b, spec);
                if (po)
                    CHECK_INT(bench_cut(po), share[i].cut);
                bench_close(&b);
            }
    struct bench b;
    bench_open(&b, 128, NULL, NULL);
    const struct plan_op *po = bench_plan(&b, "template:npu_share=75 %");
    if (po)
        CHECK_INT(bench_cut(po), ROWS / 4);
    po = bench_plan(&b, "template:npu_share=0 %");
    if (po)
        CHECK_INT(bench_cut(po), ROWS);
    po = bench_plan(&b, "template:npu_share=100 %");
    if (po)
        CHECK_INT(bench_cut(po), 0);
    po = bench_plan(&b, "weight_centric"); // nothing known, nothing asked: half and half
    if (po)
        CHECK_INT(bench_cut(po), ROWS / 2);
    bench_close(&b);
}

static void test_what_is_no_matmul_is_on_the_flexible_device(void)
{
    static const char *const policy[] = {"layer",          "weight_centric", "activation_centric",
                                         "hybrid",         "padding",        "pipe",
                                         "online_prepare", "chunked",        "hetero_tensor"};
    for (size_t i = 0; i < sizeof policy / sizeof policy[0]; i++) {
        struct bench b;
        bench_open(&b, 100, same, same);
        if (bench_plan(&b, policy[i]))
            for (int o = 0; o < b.g.n_ops; o++) {
                const struct plan_op *po = &b.plan.step[0].op[o];
                if (b.g.op[o].kind != OP_MATMUL)
                    for (int j = 0; j < po->n_shards; j++)
                        CHECK_INT(po->shard[j].device, GPU);
            }
        bench_close(&b);
    }
    // npu_only keeps it on the NPU, but for what the NPU cannot do.
    struct bench b;
    bench_open(&b, 100, same, same);
    b.d.device[NPU].ops &= ~(1u << OP_ATTENTION);
    if (bench_plan(&b, "npu_only"))
        for (int o = 0; o < b.g.n_ops; o++)
            CHECK_INT(b.plan.step[0].op[o].shard[0].device,
                      b.g.op[o].kind == OP_ATTENTION ? GPU : NPU);
    bench_close(&b);
}

static void test_chunks(void)
{
    static const struct {
        int n, chunk, steps, last;
    } c[] = {{256, 128, 2, 128}, {257, 128, 3, 1}, {100, 128, 1, 100}, {5, 1, 5, 1}, {1, 64, 1, 1}};
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct bench b;
        char spec[32];
        snprintf(spec, sizeof spec, "chunked:chunk=%d", c[i].chunk);
        bench_open(&b, c[i].n, same, same);
        if (bench_plan(&b, spec)) {
            CHECK_INT(b.plan.n_steps, c[i].steps);
            const struct plan_step *s = &b.plan.step[b.plan.n_steps - 1];
            CHECK_INT(s->n1 - s->n0, c[i].last);
            int logits = graph_find(&b.g, "logits")->index;
            for (int j = 0; j < b.plan.n_steps; j++)
                CHECK_INT(b.plan.step[j].op[logits].n_shards > 0, j == b.plan.n_steps - 1);
        }
        bench_close(&b);
    }
}

static void test_online_graphs_are_prepared_online(void)
{
    struct bench b;
    bench_open(&b, 100, same, same);
    if (bench_plan(&b, "online_prepare"))
        CHECK(b.plan.prepare_online);
    bench_close(&b);
    bench_open(&b, 1, same, same); // the decode graph is there from the start
    if (bench_plan(&b, "online_prepare"))
        CHECK(!b.plan.prepare_online);
    bench_close(&b);
}

// The operand order of the NPU's graphs: the better one by the table, or the one that was asked
// for, which needs no table; a device that knows one order only keeps it.
static double prefers_stationary(int m, int n, enum operand_order o)
{
    return (o == ORDER_WEIGHT_STATIONARY ? 0.5 : 1.0) * m * n;
}

static void order_is(const char *policy, time_fn *npu, uint32_t orders, enum operand_order want)
{
    struct bench b;
    bench_open(&b, 128, npu ? same : NULL, npu);
    b.d.device[NPU].orders = orders;
    const struct plan_op *po = bench_plan(&b, policy);
    int seen = 0;
    for (int i = 0; po && i < po->n_shards; i++)
        if (po->shard[i].device == NPU) {
            if (!CHECK_INT(po->shard[i].order, want))
                test_note("%s", policy);
            seen++;
        }
    CHECK(seen > 0);
    bench_close(&b);
}

static void test_orders(void)
{
    static const char *const policy[] = {"layer",   "weight_centric", "activation_centric",
                                         "hybrid",  "padding",        "pipe",
                                         "chunked", "online_prepare", "hetero_tensor"};
    for (size_t i = 0; i < sizeof policy / sizeof policy[0]; i++) {
        char spec[64];
        order_is(policy[i], prefers_stationary, 3, ORDER_WEIGHT_STATIONARY);
        order_is(policy[i], prefers_stationary, 1, ORDER_WEIGHT_STREAMED);
        snprintf(spec, sizeof spec, "%s:order=streamed", policy[i]);
        order_is(spec, prefers_stationary, 3, ORDER_WEIGHT_STREAMED);
        snprintf(spec, sizeof spec, "%s:order=stationary", policy[i]);
        order_is(spec, same, 3, ORDER_WEIGHT_STATIONARY);
        order_is(spec, same, 1, ORDER_WEIGHT_STREAMED);
    }
    order_is("layer:order=stationary", NULL, 3, ORDER_WEIGHT_STATIONARY);
    order_is("online_prepare:order=stationary", NULL, 3, ORDER_WEIGHT_STATIONARY);
}

static void refuses(int n, const char *policy, const char *says)
{
    struct bench b;
    const struct policy_ops *p;
    const void *o;
    struct err e = {0};
    bench_open(&b, n, NULL, NULL); // not a question of time
    CHECK_OK(policy_parse(policy, &b.arena, &p, &o, &e), &e);
    CHECK_INT(p->plan(&b.g, &b.d, b.cost, o, &b.plan, &e), ERR_UNSUPPORTED);
    CHECK_HAS(e.msg, says);
    b.plan = (struct plan){0}; // only valid on success
    bench_close(&b);
}

static void test_refusals(void)
{
    refuses(31, "padding:sizes=[7]", "do not fit the standard graph sizes");
    refuses(31, "padding:sizes=[1]", "do not fit the standard graph sizes");
    refuses(31, "pipe:sizes=[7]", "do not fit the standard graph sizes");
    refuses(20000, "npu_only", "fit no standard size"); // more graphs than a split holds
    refuses(20000, "weight_centric", "fit no standard size");
    refuses(20000, "pipe", "do not fit");
    refuses(100, "layer:partner=cpu", "a GPU or a CPU"); // this machine has no CPU
    refuses(100, "cpu_only", "needs a CPU");
}

TESTS(policies_partition, T(test_whole_placements), T(test_covers), T(test_shares),
      T(test_what_is_no_matmul_is_on_the_flexible_device), T(test_chunks),
      T(test_online_graphs_are_prepared_online), T(test_orders), T(test_refusals))
