// SPDX-License-Identifier: GPL-3.0-or-later
// What a task costs, by hand: operations and bytes of one small shape, and the sums over slices.
#include "tests/engine/plans.h"

#include <string.h>

enum { D = 16, A = 32, KV = 16, F = 24, V = 37 }; // the shape of plans_model

static struct work cost_of(const struct graph *g, const char *op, double act)
{
    struct task t;
    graph_task(g, graph_find(g, op)->index, 0, &t);
    return task_work(&t, act);
}

static void is(struct work w, double flops, double weights, double read, double written)
{
    CHECK_NEAR(w.flops, flops, 1e-9);
    CHECK_NEAR(w.weight_bytes, weights, 1e-9);
    CHECK_NEAR(w.read_bytes, read, 1e-9);
    CHECK_NEAR(w.write_bytes, written, 1e-9);
}

static void test_work_by_hand(void)
{
    struct model *m = plans_model(1, "llama", false); // 32 bits per weight
    struct graph g;
    const int n = 3, past = 5;
    graph_build(m, n, past, &g);
    is(cost_of(&g, "embed", 2), 0, n * D * 4, 0, n * D * 2);
    is(cost_of(&g, "attn_norm", 2), 4 * n * D, D * 4, n * D * 2, n * D * 2);
    is(cost_of(&g, "q", 2), 2.0 * n * A * D, A * D * 4, n * D * 2, n * A * 2);
    is(cost_of(&g, "kv", 4), 2.0 * n * 2 * KV * D, 2 * KV * D * 4, n * D * 4, n * 2 * KV * 4);
    is(cost_of(&g, "down", 2), 2.0 * n * D * F, D * F * 4, n * F * 2, n * D * 2);
    // q and k are rotated, k and v appended.
    is(cost_of(&g, "rope", 2), 3.0 * n * (A + KV), 0, n * (A + 2 * KV) * 2, n * (A + 2 * KV) * 2);
    // 6 + 7 + 8 rows are attended to by 4 heads of width 8; all 8 rows of k and v are read once.
    is(cost_of(&g, "attn", 2), (6 + 7 + 8) * 4 * (4.0 * 8 + 5), 0, (n * A + 2 * KV * 8) * 2,
       n * A * 2);
    is(cost_of(&g, "swiglu", 2), 6 * n * F, 0, 2 * n * F * 2, n * F * 2);
    is(cost_of(&g, "add_ffn", 2), n * D, 0, 2 * n * D * 2, n * D * 2);
    // The head computes one token.
    is(cost_of(&g, "out_norm", 2), 4 * D, D * 4, D * 2, D * 2);
    is(cost_of(&g, "logits", 2), 2.0 * V * D, V * D * 4, D * 2, V * 2);
    m->shape.weight_bits = 4.5;
    CHECK_NEAR(cost_of(&g, "q", 2).weight_bytes, A * D * 4.5 / 8, 1e-9);
    CHECK_NEAR(cost_of(&g, "attn_norm", 2).weight_bytes, D * 4, 1e-9); // norms stay F32
    model_close(m);
}

// Operations of the slices of an operator add up to the operator's, by rows and by tokens; the
// weights of row slices do too.
static void test_slices_add_up(void)
{
    struct model *m = plans_model(1, "llama", false);
    struct graph g;
    graph_build(m, 13, 4, &g);
    for (int op = 0; op < g.n_ops; op++) {
        struct task whole, t;
        graph_task(&g, op, 0, &whole);
        struct work w = task_work(&whole, 2);
        double flops = 0, written = 0, weights = 0;
        for (int n = whole.n0; n < whole.n1; n++) {
            t = whole;
            t.n0 = n, t.n1 = n + 1;
            flops += task_work(&t, 2).flops;
            written += task_work(&t, 2).write_bytes;
        }
        CHECK_NEAR(flops, w.flops, 1e-9 * w.flops);
        CHECK_NEAR(written, w.write_bytes, 1e-9 * written);
        if (g.op[op].kind != OP_MATMUL)
            continue;
        flops = 0;
        for (int r = 0; r < g.op[op].m; r++) {
            t = whole;
            t.m0 = r, t.m1 = r + 1;
            flops += task_work(&t, 2).flops;
            weights += task_work(&t, 2).weight_bytes;
        }
        CHECK_NEAR(flops, w.flops, 1e-9 * w.flops);
        CHECK_NEAR(weights, w.weight_bytes, 1e-9 * weights);
    }
    model_close(m);
}

static void test_names(void)
{
    for (int i = 0; i < OP_KINDS; i++)
        for (int j = 0; j < i; j++)
            CHECK(strcmp(op_kind_name((enum op_kind)i), op_kind_name((enum op_kind)j)) != 0);
    for (int i = 0; i < BUF_COUNT; i++)
        for (int j = 0; j < i; j++)
            CHECK(strcmp(buf_name((enum buf_id)i), buf_name((enum buf_id)j)) != 0);
    CHECK_STR(op_kind_name(OP_MATMUL), "matmul");
    CHECK_STR(buf_name(BUF_NONE), "-");
    CHECK_STR(order_name(ORDER_WEIGHT_STREAMED), "weight-streamed");
    CHECK_STR(order_name(ORDER_WEIGHT_STATIONARY), "weight-stationary");
}

TESTS(engine_op, T(test_work_by_hand), T(test_slices_add_up), T(test_names))
