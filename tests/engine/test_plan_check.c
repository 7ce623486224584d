// SPDX-License-Identifier: GPL-3.0-or-later
// plan_check: valid plans of every shape pass, and each way in which a plan can be wrong is caught
// with a message that says which operator and what.
#include "tests/engine/fake.h"
#include "tests/engine/plans.h"

enum { GPU, CPU, NPU };

// A machine, a model, and a good plan of 12 tokens to damage: every matmul is cut by rows at 8
// between GPU and NPU, on graphs of 16 tokens.
struct bench {
    struct fake *f;
    struct model *model;
    struct machine_desc d;
    struct graph g;
    struct plan p;
};

static void cut_by_rows(struct plan *p, struct plan_step *s, const struct graph *g, int n)
{
    for (int i = 0; i < g->n_ops; i++) {
        const struct op *o = &g->op[i];
        int first = o->last_only ? n - 1 : 0;
        if (o->kind != OP_MATMUL) {
            plan_whole(p, s, o, n, GPU);
            continue;
        }
        plan_add_shard(p, s, i, (struct shard){.device = GPU, .m1 = 8, .n0 = first, .n1 = n});
        plan_add_shard(p, s, i,
                       (struct shard){.device = NPU,
                                      .m0 = 8,
                                      .m1 = o->m,
                                      .n0 = first,
                                      .n1 = n,
                                      .n_pad = o->last_only ? 1 : 16});
    }
}

static void bench_open(struct bench *b)
{
    const enum fake_kind kinds[] = {FAKE_GPU, FAKE_CPU, FAKE_NPU};
    b->f = fake_open(kinds, 3, 0, 1);
    b->model = plans_model(2, "llama", false);
    machine_describe(&b->f->m, &b->d);
    graph_build(b->model, 12, 0, &b->g);
    plan_init(&b->p, "planted", 12);
    cut_by_rows(&b->p, plan_add_step(&b->p, 0, 12), &b->g, 12);
}

static void bench_close(struct bench *b)
{
    plan_fini(&b->p);
    model_close(b->model);
    fake_close(&b->f->m);
}

static struct plan_op *po(struct bench *b, const char *op)
{
    return &b->p.step[0].op[graph_find(&b->g, op)->index];
}

// The plan is refused, with these words, about this operator (or device; NULL: none).
static void caught(struct bench *b, const char *key, const char *says)
{
    struct err e = {0};
    CHECK_INT(plan_check(&b->p, &b->g, &b->d, NULL, &e), ERR_CHECK);
    CHECK_INT(e.code, ERR_CHECK);
    CHECK_HAS(e.msg, says);
    CHECK_HAS(e.msg, key && !strcmp(key, "tiny") ? "MB" : "plan of policy planted");
    CHECK_STR(e.key, key ? key : "");
}

static void test_a_good_plan_passes(void)
{
    struct bench b;
    struct err e = {0};
    bench_open(&b);
    CHECK_OK(plan_check(&b.p, &b.g, &b.d, NULL, &e), &e);
    CHECK_OK(plan_check(&b.p, &b.g, &b.d, &b.f->m, &e), &e);
    bench_close(&b);
}

static void test_random_plans_pass(void)
{
    struct bench b;
    struct err e = {0};
    struct rng *rng = rng_create(9, "plans");
    bench_open(&b);
    for (int i = 0; i < 500; i++) {
        struct graph g;
        struct plan p;
        graph_build(b.model, 1 + i % 30, i % 7, &g);
        plans_random(&g, &b.d, 1 + i % 4, 0.1 * (i % 9), rng, &p);
        CHECK_OK(plan_check(&p, &g, &b.d, &b.f->m, &e), &e);
        plan_fini(&p);
    }
    rng_destroy(rng);
    bench_close(&b);
}

// One damaged shard of a random plan is never taken for a good plan, whichever it is.
static void test_any_damage_to_a_random_plan_is_caught(void)
{
    struct bench b;
    struct err e = {0};
    struct rng *rng = rng_create(10, "plans");
    bench_open(&b);
    for (int i = 0; i < 2000; i++) {
        struct graph g;
        struct plan p;
        graph_build(b.model, 2 + i % 20, 0, &g);
        plans_random(&g, &b.d, 1 + i % 3, 0.5, rng, &p);
        struct plan_step *s = &p.step[rng_below(rng, (uint64_t)p.n_steps)];
        int op = (int)rng_below(rng, (uint64_t)g.block_end);
        struct plan_op *o = &s->op[op];
        struct shard *h = &o->shard[rng_below(rng, (uint64_t)o->n_shards)];
        int what = i % 6;
        h->m0 += what == 0, h->m1 -= what == 1;
        h->n0 += what == 2, h->n1 -= what == 3;
        h->n1 += what == 4;
        if (what == 5)
            *h = o->shard[--o->n_shards];
        CHECK_INT(plan_check(&p, &g, &b.d, NULL, &e), ERR_CHECK);
        plan_fini(&p);
    }
    rng_destroy(rng);
    bench_close(&b);
}

static void test_gaps_and_overlaps(void)
{
    struct bench b;
    bench_open(&b);
    po(&b, "gate_up")->shard[1].m1 -= 8;
    caught(&b, "gate_up", "480 of 576 output elements");
    bench_close(&b);
    bench_open(&b);
    po(&b, "q")->shard[0].m1 += 8; // both compute rows 8 to 16
    caught(&b, "q", "two shards compute the same output");
    bench_close(&b);
    bench_open(&b);
    po(&b, "swiglu")->n_shards = 0;
    caught(&b, "swiglu", "0 of 288 output elements");
    bench_close(&b);
    bench_open(&b);
    plan_whole(&b.p, &b.p.step[0], graph_find(&b.g, "add_ffn"), 12, CPU);
    caught(&b, "add_ffn", "two shards");
    bench_close(&b);
    bench_open(&b);
    po(&b, "attn")->shard[0].n1 = 11;
    caught(&b, "attn", "352 of 384");
    bench_close(&b);
}

static void test_the_outside_of_an_output(void)
{
    static const int change[][4] = {{-8, 0, 0, 0}, {0, 8, 0, 0}, {0, 0, -1, 0}, {0, 0, 0, 1}};
    for (int i = 0; i < 4; i++) {
        struct bench b;
        bench_open(&b);
        struct shard *h = &po(&b, "down")->shard[i ? 1 : 0];
        h->m0 += change[i][0], h->m1 += change[i][1];
        h->n0 += change[i][2], h->n1 += change[i][3];
        caught(&b, "down", "is not inside rows [0:16] tokens [0:12]");
        bench_close(&b);
    }
    struct bench b;
    bench_open(&b);
    po(&b, "down")->shard[1].m1 = 8; // an empty rectangle
    caught(&b, "down", "is not inside");
    bench_close(&b);
    bench_open(&b);
    po(&b, "swiglu")->shard[0].m1 = 8; // only matmuls are cut by rows
    caught(&b, "swiglu", "is not inside");
    bench_close(&b);
    bench_open(&b);
    po(&b, "logits")->shard[0].n0 = 0; // the head computes the last token only
    caught(&b, "logits", "is not inside rows [0:37] tokens [11:12]");
    bench_close(&b);
}

static void test_the_head(void)
{
    struct bench b;
    struct err e = {0};
    bench_open(&b);
    po(&b, "logits")->n_shards = 0;
    caught(&b, "logits", "0 of 37 output elements");
    bench_close(&b);
    bench_open(&b);
    po(&b, "out_norm")->n_shards = 0;
    caught(&b, "out_norm", "0 of 16 output elements");
    bench_close(&b);
    // Two chunks: the head belongs to the last one, and to no other.
    for (int wrong = 0; wrong < 2; wrong++) {
        bench_open(&b);
        plan_fini(&b.p);
        plan_init(&b.p, "planted", 12);
        for (int i = 0; i < 2; i++) {
            struct plan_step *s = plan_add_step(&b.p, i ? 5 : 0, i ? 12 : 5);
            for (int o = 0; o < b.g.n_ops; o++)
                if (i == 1 || wrong || !b.g.op[o].last_only)
                    plan_whole(&b.p, s, &b.g.op[o], i ? 7 : 5, CPU);
        }
        if (wrong)
            caught(&b, "out_norm", "step 0: 16 of 0 output elements");
        else
            CHECK_OK(plan_check(&b.p, &b.g, &b.d, &b.f->m, &e), &e);
        bench_close(&b);
    }
}

static void test_devices_and_operators(void)
{
    struct bench b;
    bench_open(&b);
    po(&b, "rope")->shard[0].device = 3;
    caught(&b, "rope", "does not have");
    po(&b, "rope")->shard[0].device = -1;
    caught(&b, "rope", "does not have");
    bench_close(&b);
    bench_open(&b);
    b.d.device[GPU].ops &= ~(1u << OP_ATTENTION);
    caught(&b, "attn", "device gpu does not do attention");
    bench_close(&b);
}

static void test_static_graphs(void)
{
    struct bench b;
    struct err e = {0};
    bench_open(&b);
    po(&b, "o")->shard[1].n_pad = 13;
    caught(&b, "o", "12 tokens on a graph of 13: not a standard size of device npu");
    po(&b, "o")->shard[1].n_pad = 8; // standard, but smaller than the shard
    caught(&b, "o", "12 tokens on a graph of 8");
    po(&b, "o")->shard[1].n_pad = 0;
    caught(&b, "o", "not a standard size");
    po(&b, "o")->shard[1].n_pad = 16;
    CHECK_OK(plan_check(&b.p, &b.g, &b.d, &b.f->m, &e), &e);
    po(&b, "o")->shard[0].n_pad = 16;
    caught(&b, "o", "a dynamic-shape device was given a static graph");
    bench_close(&b);
    // Graphs made at run time: any number of whole tiles, but still not too few.
    bench_open(&b);
    b.p.prepare_online = true;
    po(&b, "o")->shard[1].n_pad = 24;
    CHECK_OK(plan_check(&b.p, &b.g, &b.d, NULL, &e), &e);
    po(&b, "o")->shard[1].n_pad = 20;
    caught(&b, "o", "not a standard size");
    po(&b, "o")->shard[1].n_pad = 8;
    caught(&b, "o", "12 tokens on a graph of 8");
    // A live device may know better: this one takes its standard sizes only.
    po(&b, "o")->shard[1].n_pad = 24;
    CHECK_INT(plan_check(&b.p, &b.g, &b.d, &b.f->m, &e), ERR_CHECK);
    bench_close(&b);
}

static void test_tiles(void)
{
    struct bench b;
    struct err e = {0};
    bench_open(&b);
    for (int i = 0; i < 2; i++) { // the border of both shards moves off the tile
        po(&b, "gate_up")->shard[0].m1 += 3;
        po(&b, "gate_up")->shard[1].m0 += 3;
        caught(&b, "gate_up", "are not in tiles of 8 of device npu");
    }
    bench_close(&b);
    bench_open(&b); // 37 rows of the head: the last tile is a part of one
    CHECK_INT(po(&b, "logits")->shard[1].m1, 37);
    CHECK_OK(plan_check(&b.p, &b.g, &b.d, NULL, &e), &e);
    po(&b, "logits")->shard[1].m1 = 36;
    caught(&b, "logits", "[8:36] are not in tiles of 8");
    bench_close(&b);
}

static void test_steps_tile_the_tokens(void)
{
    struct bench b;
    bench_open(&b);
    b.p.step[0].n1 = 11;
    struct plan_step *s = &b.p.step[0];
    for (int o = 0; o < b.g.n_ops; o++)
        for (int j = 0; j < s->op[o].n_shards; j++) {
            s->op[o].shard[j].n1--;
            s->op[o].shard[j].n0 -= b.g.op[o].last_only;
        }
    caught(&b, NULL, "the steps cover 11 of 12 tokens");
    b.p.step[0].n0 = 1;
    caught(&b, NULL, "step 0 is [1:11], expected to start at 0");
    b.p.step[0].n0 = 0, b.p.step[0].n1 = 0;
    caught(&b, NULL, "step 0 is [0:0]");
    b.p.n_steps = 0;
    caught(&b, NULL, "the steps cover 0 of 12 tokens");
    b.p.n_tokens = 13;
    caught(&b, NULL, "is for 13 tokens, the graph has 12");
    bench_close(&b);
}

static void test_memory(void)
{
    struct bench b;
    struct err e = {0};
    bench_open(&b);
    // What the NPU holds: rows from 8 on of each matmul, 4 bytes per weight, twice (two layers) but
    // for the head; and activations.
    double weights = 0;
    for (int i = 0; i < b.g.n_ops; i++)
        if (b.g.op[i].kind == OP_MATMUL)
            weights += 4.0 * (b.g.op[i].m - 8) * b.g.op[i].k * (i < b.g.block_end ? 2 : 1);
    double acts = 12 * 4 * (4.0 * 16 + 3.0 * 24);
    b.d.device[NPU].memory = (int64_t)(weights + acts);
    CHECK_OK(plan_check(&b.p, &b.g, &b.d, NULL, &e), &e);
    b.d.device[NPU].memory--;
    caught(&b, "npu", "MB on this device, which has");
    b.d.device[NPU].memory = 0;
    // The machine: all weights, 12 rows of k and v of 16 values in both layers, and the buffers.
    b.d.memory = model_weight_bytes(b.model) + 12 * 2 * 16 * 2 * 4 + (int64_t)acts;
    CHECK_OK(plan_check(&b.p, &b.g, &b.d, NULL, &e), &e);
    b.d.memory--;
    caught(&b, "tiny", "a KV cache of 12 rows and buffers of");
    bench_close(&b);
}

// Several graphs over the same rows need the weights once and a graph each; the same graph again
// needs nothing.
static void test_graphs_and_weights_are_counted_once(void)
{
    struct bench b;
    struct err e = {0};
    bench_open(&b);
    b.d.device[NPU].max_graphs = 6; // q, kv, o, gate_up, down, logits
    CHECK_OK(plan_check(&b.p, &b.g, &b.d, NULL, &e), &e);
    b.d.device[NPU].max_graphs = 5;
    caught(&b, "npu", "needs 6 static graphs, the device keeps 5");
    double before = 0;
    for (int round = 0; round < 2; round++) { // down: 12 tokens as 8 + 4, or 4 + 4 + 4
        struct plan_op *o = po(&b, "down");
        o->n_shards = 1;
        for (int n = 0; n < 12;) {
            int size = round || n ? 4 : 8;
            plan_add_shard(
                &b.p, &b.p.step[0], graph_find(&b.g, "down")->index,
                (struct shard){
                    .device = NPU, .m0 = 8, .m1 = 16, .n0 = n, .n1 = n + size, .n_pad = size});
            n += size;
        }
        b.d.device[NPU].max_graphs = 7 - round;
        CHECK_OK(plan_check(&b.p, &b.g, &b.d, NULL, &e), &e);
        b.d.device[NPU].max_graphs--;
        caught(&b, "npu", round ? "needs 6 static graphs" : "needs 7 static graphs");
        b.d.device[NPU].max_graphs = 0;
        // Least memory that is enough, by bisection: the same as for one graph.
        int64_t low = 0, high = 1 << 20;
        while (low < high) {
            b.d.device[NPU].memory = (low + high) / 2 ? (low + high) / 2 : 1;
            if (plan_check(&b.p, &b.g, &b.d, NULL, &e) < 0)
                low = (low + high) / 2 + 1;
            else
                high = (low + high) / 2;
        }
        b.d.device[NPU].memory = 0;
        before = before > 0 ? before : (double)low;
        CHECK_NEAR((double)low, before, 0);
    }
    bench_close(&b);
}

TESTS(engine_plan_check, T(test_a_good_plan_passes), T(test_random_plans_pass),
      T(test_any_damage_to_a_random_plan_is_caught), T(test_gaps_and_overlaps),
      T(test_the_outside_of_an_output), T(test_the_head), T(test_devices_and_operators),
      T(test_static_graphs), T(test_tiles), T(test_steps_tile_the_tokens), T(test_memory),
      T(test_graphs_and_weights_are_counted_once))
