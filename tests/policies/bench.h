// SPDX-License-Identifier: GPL-3.0-or-later
// A machine description, a model and a cost table made by hand, for policies: they see nothing
// else. A GPU and an NPU whose times are any function of rows and tokens.
#ifndef TESTS_POLICIES_BENCH_H
#define TESTS_POLICIES_BENCH_H

#include <string.h>
#include "engine/policy.h"
#include "tests/harness.h"

enum { GPU, NPU, ROWS = 2048, COLS = 256, PARTS = 8 };

// Picoseconds for m rows and n tokens; o: operand order (the GPU has one).
typedef double time_fn(int m, int n, enum operand_order o);

struct bench {
    struct machine_desc d;
    struct model *model;
    struct cost_table *cost;
    struct graph g;
    struct plan plan;
    struct arena arena;
};

static inline void bench_table(struct bench *b, int n, time_fn *gpu, time_fn *npu)
{
    struct graph g;
    graph_build(b->model, 1, 0, &g);
    for (int i = 0; i < g.n_ops; i++) {
        const struct op *o = &g.op[i];
        if (o->kind != OP_MATMUL)
            continue;
        for (int m = 32; m <= o->m; m += 32) {
            for (int t = 1; t <= n; t++)
                cost_add_matmul(b->cost, GPU, ORDER_WEIGHT_STREAMED, o->k, m, t,
                                gpu(m, t, ORDER_WEIGHT_STREAMED));
            for (int s = 0; s < b->d.device[NPU].n_sizes; s++)
                for (int order = 0; order < ORDER_COUNT; order++)
                    cost_add_matmul(b->cost, NPU, (enum operand_order)order, o->k, m,
                                    b->d.device[NPU].size[s],
                                    npu(m, b->d.device[NPU].size[s], (enum operand_order)order));
        }
    }
}

// n tokens; gpu NULL: an empty table.
static inline void bench_open(struct bench *b, int n, time_fn *gpu, time_fn *npu)
{
    struct model_shape s = {.name = "bench",
                            .arch = "llama",
                            .n_layer = 1,
                            .d_model = COLS,
                            .n_head = 8,
                            .n_head_kv = 8,
                            .d_head = 32,
                            .d_ff = ROWS / 2,
                            .n_vocab = 512,
                            .n_ctx = 2048,
                            .norm_eps = 1e-5,
                            .rope = {.dim = 32, .theta = 1e4, .factor = 1},
                            .weight_bits = 8.5};
    struct err e = {0};
    *b = (struct bench){.d = {.name = "bench", .n_devices = 2, .cpu = -1, .gpu = GPU, .npu = NPU}};
    b->d.device[GPU] = (struct device_caps){
        .name = "gpu", .kind = DEVICE_GPU, .ops = (1u << OP_KINDS) - 1, .tile = 1, .act_bytes = 2};
    b->d.device[NPU] = (struct device_caps){.name = "npu",
                                            .kind = DEVICE_NPU,
                                            .ops = (1u << OP_KINDS) - 1,
                                            .tile = 32,
                                            .act_bytes = 2,
                                            .static_graphs = true,
                                            .n_sizes = 5,
                                            .size = {1, 32, 64, 128, 256},
                                            .orders = 3};
    arena_init(&b->arena);
    CHECK_OK(model_create(&s, &b->model, &e), &e);
    b->cost = cost_create();
    graph_build(b->model, n, 0, &b->g);
    if (gpu)
        bench_table(b, n, gpu, npu);
}

static inline void bench_close(struct bench *b)
{
    plan_fini(&b->plan);
    cost_destroy(b->cost);
    model_close(b->model);
    arena_fini(&b->arena);
}

// Plans by a policy; the operator "gate_up" (ROWS x COLS), or NULL when it was refused.
static inline const struct plan_op *bench_plan(struct bench *b, const char *policy)
{
    const struct policy_ops *p;
    const void *o;
    struct err e = {0};
    plan_fini(&b->plan);
    if (!CHECK_OK(policy_parse(policy, &b->arena, &p, &o, &e), &e) ||
        !CHECK_OK(p->plan(&b->g, &b->d, b->cost, o, &b->plan, &e), &e) ||
        !CHECK_OK(plan_check(&b->plan, &b->g, &b->d, NULL, &e), &e))
        return NULL;
    return &b->plan.step[0].op[graph_find(&b->g, "gate_up")->index];
}

static inline const char *bench_strategy(const struct bench *b, const struct plan_op *po)
{
    static char text[64];
    return plan_strategy(po, graph_find(&b->g, "gate_up"), b->g.n_tokens, &b->d, PLAN_RATIO_PARTS,
                         text, sizeof text);
}

// First row of the NPU's part, ROWS when it has none.
static inline int bench_cut(const struct plan_op *po)
{
    for (int i = 0; i < po->n_shards; i++)
        if (po->shard[i].device == NPU)
            return po->shard[i].m0;
    return ROWS;
}

#endif
