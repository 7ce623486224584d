// SPDX-License-Identifier: GPL-3.0-or-later
// The step graph: the operators in order, what flows between them, and the tasks made of them.
#include "tests/engine/plans.h"

#include <string.h>

static void test_the_operators_of_a_step(void)
{
    static const struct {
        const char *name;
        enum op_kind kind;
        int m, k;
        enum buf_id in, in2, out;
    } want[] = {
        {"embed", OP_EMBED, 16, 1, BUF_TOKENS, BUF_NONE, BUF_X},
        {"attn_norm", OP_RMSNORM, 16, 16, BUF_X, BUF_NONE, BUF_H},
        {"q", OP_MATMUL, 32, 16, BUF_H, BUF_NONE, BUF_Q},
        {"kv", OP_MATMUL, 32, 16, BUF_H, BUF_NONE, BUF_KV},
        {"rope", OP_ROPE, 32, 32, BUF_Q, BUF_KV, BUF_Q},
        {"attn", OP_ATTENTION, 32, 32, BUF_Q, BUF_NONE, BUF_A},
        {"o", OP_MATMUL, 16, 32, BUF_A, BUF_NONE, BUF_T},
        {"add_attn", OP_ADD, 16, 16, BUF_T, BUF_NONE, BUF_X},
        {"ffn_norm", OP_RMSNORM, 16, 16, BUF_X, BUF_NONE, BUF_H},
        {"gate_up", OP_MATMUL, 48, 16, BUF_H, BUF_NONE, BUF_GU},
        {"swiglu", OP_SWIGLU, 24, 48, BUF_GU, BUF_NONE, BUF_F},
        {"down", OP_MATMUL, 16, 24, BUF_F, BUF_NONE, BUF_T},
        {"add_ffn", OP_ADD, 16, 16, BUF_T, BUF_NONE, BUF_X},
        {"out_norm", OP_RMSNORM, 16, 16, BUF_X, BUF_NONE, BUF_H},
        {"logits", OP_MATMUL, 37, 16, BUF_H, BUF_NONE, BUF_LOGITS},
    };
    struct model *m = plans_model(3, "llama", false);
    struct graph g;
    graph_build(m, 7, 11, &g);
    CHECK_INT(g.n_ops, sizeof want / sizeof want[0]);
    for (int i = 0; i < g.n_ops; i++) {
        CHECK_STR(g.op[i].name, want[i].name);
        CHECK_INT(g.op[i].index, i);
        CHECK_INT(g.op[i].kind, want[i].kind);
        CHECK_INT(g.op[i].m, want[i].m);
        CHECK_INT(g.op[i].k, want[i].k);
        CHECK(g.op[i].in == want[i].in && g.op[i].in2 == want[i].in2 && g.op[i].out == want[i].out);
        CHECK_INT(g.op[i].last_only, i >= g.n_ops - 2);
        CHECK(graph_find(&g, want[i].name) == &g.op[i]);
    }
    CHECK_INT(g.block_begin, 1);
    CHECK_INT(g.block_end, 13);
    CHECK(graph_find(&g, "gate") == NULL);
    // What an operator reads was written before it; the residual stream and the tokens exist.
    unsigned written = 1u << BUF_TOKENS;
    for (int i = 0; i < g.n_ops; i++) {
        CHECK(written >> g.op[i].in & 1);
        CHECK(g.op[i].in2 == BUF_NONE || written >> g.op[i].in2 & 1);
        written |= 1u << g.op[i].out;
    }
    model_close(m);
}

static void test_buffers_have_widths(void)
{
    struct model *m = plans_model(1, "llama", false);
    const int want[BUF_COUNT] = {1, 16, 16, 32, 32, 32, 16, 48, 24, 37, 16, 16};
    for (int b = 0; b < BUF_COUNT; b++)
        CHECK_INT(graph_buffer_width(&m->shape, (enum buf_id)b), want[b]);
    model_close(m);
}

static void test_tasks_carry_the_weights_of_their_layer(void)
{
    struct model *m = plans_model(2, "qwen2", true); // with biases
    struct graph g;
    graph_build(m, 7, 11, &g);
    for (int l = 0; l < 2; l++) {
        const struct layer_weights *w = &m->layers[l];
        const struct {
            const char *op;
            const struct tensor *w[2], *bias[2];
        } want[] = {
            {"attn_norm", {&w->attn_norm}, {NULL}},
            {"q", {&w->q}, {&w->q_bias}},
            {"kv", {&w->k, &w->v}, {&w->k_bias, &w->v_bias}},
            {"rope", {NULL}, {NULL}},
            {"attn", {NULL}, {NULL}},
            {"o", {&w->o}, {NULL}},
            {"ffn_norm", {&w->ffn_norm}, {NULL}},
            {"gate_up", {&w->gate, &w->up}, {NULL}},
            {"down", {&w->down}, {NULL}},
            {"embed", {&m->embed}, {NULL}},
            {"out_norm", {&m->out_norm}, {NULL}},
            {"logits", {&m->output}, {NULL}},
        };
        for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
            struct task t;
            const struct op *o = graph_find(&g, want[i].op);
            graph_task(&g, o->index, l, &t);
            CHECK(t.op == o && t.model == m);
            CHECK_INT(t.n_parts, (want[i].w[0] != NULL) + (want[i].w[1] != NULL));
            int64_t rows = 0;
            for (int p = 0; p < t.n_parts; p++) {
                CHECK(t.w[p] == want[i].w[p]);
                CHECK(t.bias[p] == want[i].bias[p]);
                rows += t.w[p]->rows;
            }
            if (o->kind == OP_MATMUL)
                CHECK_INT(rows, o->m); // the parts are all of the weight
            CHECK_INT(t.layer, o->index > 0 && o->index < g.block_end ? l : -1);
            CHECK(t.m0 == 0 && t.m1 == o->m && t.n1 == 7 && t.n_past == 11 && t.n_pad == 0);
            CHECK_INT(t.n0, o->last_only ? 6 : 0);
            CHECK_INT(t.out_n0, !strcmp(o->name, "out_norm") ? 6 : 0);
            CHECK_INT(t.graph, -1);
        }
    }
    model_close(m);
    m = plans_model(1, "llama", true); // without
    graph_build(m, 1, 0, &g);
    struct task t;
    graph_task(&g, graph_find(&g, "kv")->index, 0, &t);
    CHECK(t.bias[0] == NULL && t.bias[1] == NULL);
    model_close(m);
}

static void test_the_digest_sees_shape_and_position(void)
{
    struct model *a = plans_model(1, "llama", false), *b = plans_model(2, "llama", false);
    struct graph g;
    uint64_t seen[5];
    graph_build(a, 7, 11, &g);
    seen[0] = graph_digest(&g);
    graph_build(a, 8, 11, &g);
    seen[1] = graph_digest(&g);
    graph_build(a, 7, 12, &g);
    seen[2] = graph_digest(&g);
    graph_build(b, 7, 11, &g);
    seen[3] = graph_digest(&g);
    graph_build(a, 11, 7, &g);
    seen[4] = graph_digest(&g);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++)
            CHECK(seen[i] != seen[j]);
    graph_build(a, 7, 11, &g);
    CHECK(graph_digest(&g) == seen[0]);
    model_close(a);
    model_close(b);
}

TESTS(engine_graph, T(test_the_operators_of_a_step), T(test_buffers_have_widths),
      T(test_tasks_carry_the_weights_of_their_layer), T(test_the_digest_sees_shape_and_position))
