// SPDX-License-Identifier: GPL-3.0-or-later
// Random valid plans: each operator's output is cut into rectangles again and again, at random rows
// and tokens, and every piece is given to a random device that can do it. Nothing that a policy
// would call sensible, and so everything that plan, schedule, coherence and executor must bear.
// And a small model to run them on.
#ifndef TESTS_ENGINE_PLANS_H
#define TESTS_ENGINE_PLANS_H

#include "base/rng.h"
#include "engine/plan.h"
#include "tests/harness.h"

static inline struct model *plans_model(int layers, const char *arch, bool data)
{
    struct model_shape s = {
        .name = "tiny",
        .arch = arch,
        .n_layer = layers,
        .d_model = 16,
        .n_head = 4,
        .n_head_kv = 2,
        .d_head = 8,
        .d_ff = 24,
        .n_vocab = 37,
        .n_ctx = 64,
        .norm_eps = 1e-5,
        .rope = {.dim = 8, .theta = 10000, .factor = 1},
        .weight_bits = 32,
    };
    struct model *m = NULL;
    struct err e = {0};
    s.qkv_bias = !strcmp(arch, "qwen2");
    s.rope.pairs = s.qkv_bias ? ROPE_HALVES : ROPE_INTERLEAVED;
    if (CHECK_OK(model_create(&s, &m, &e), &e) && data)
        CHECK_OK(model_generate(m, &encoding_f32, 3, &e), &e);
    return m;
}

struct plans {
    struct plan *p;
    struct plan_step *s;
    const struct machine_desc *d;
    struct rng *rng;
    double cut; // chance that a piece is cut again
};

static inline int plans_below(const struct plans *r, int n)
{
    return (int)rng_below(r->rng, (uint64_t)n);
}

// All row cuts in multiples of 8, the largest tile of the fake devices.
static inline void plans_piece(struct plans *r, const struct op *op, struct shard h)
{
    bool rows = op->kind == OP_MATMUL && h.m1 - h.m0 > 8, tokens = h.n1 - h.n0 > 1;
    if ((rows || tokens) && rng_uniform(r->rng) < r->cut) {
        struct shard a = h, b = h;
        if (rows && (!tokens || plans_below(r, 2)))
            a.m1 = b.m0 = h.m0 + 8 * (1 + plans_below(r, (h.m1 - h.m0 - 1) / 8));
        else
            a.n1 = b.n0 = h.n0 + 1 + plans_below(r, h.n1 - h.n0 - 1);
        plans_piece(r, op, a);
        plans_piece(r, op, b);
        return;
    }
    for (;;) {
        h.device = plans_below(r, r->d->n_devices);
        const struct device_caps *c = &r->d->device[h.device];
        if (!device_can(c, op->kind))
            continue;
        h.n_pad = 0;
        h.order = ORDER_WEIGHT_STREAMED;
        if (c->static_graphs && op->kind == OP_MATMUL) {
            h.n_pad = device_size_for(c, h.n1 - h.n0);
            h.order = (enum operand_order)plans_below(r, ORDER_COUNT);
            if (!h.n_pad)
                continue;
        }
        break;
    }
    plan_add_shard(r->p, r->s, op->index, h);
}

// `chunks`: at most so many steps. Some dynamic-shape device must be among the machine's.
static inline void plans_random(const struct graph *g, const struct machine_desc *d, int chunks,
                                double cut, struct rng *rng, struct plan *out)
{
    struct plans r = {.p = out, .d = d, .rng = rng, .cut = cut};
    plan_init(out, "random", g->n_tokens);
    for (int n0 = 0, left = chunks; n0 < g->n_tokens; left--) {
        int rest = g->n_tokens - n0, n = left > 1 ? 1 + plans_below(&r, rest) : rest;
        r.s = plan_add_step(out, n0, n0 + n);
        n0 += n;
        for (int i = 0; i < g->n_ops; i++)
            if (!g->op[i].last_only || n0 == g->n_tokens)
                plans_piece(&r, &g->op[i],
                            (struct shard){
                                .m1 = g->op[i].m, .n0 = g->op[i].last_only ? n - 1 : 0, .n1 = n});
    }
}

#endif
