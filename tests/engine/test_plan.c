// SPDX-License-Identifier: GPL-3.0-or-later
// Plans as values: digested, named, printed, compared.
#include "tests/engine/fake.h"
#include "tests/engine/plans.h"

#include <stdio.h>

enum { GPU, CPU, NPU };

static struct fake *machine(struct machine_desc *d)
{
    const enum fake_kind kinds[] = {FAKE_GPU, FAKE_CPU, FAKE_NPU};
    struct fake *f = fake_open(kinds, 3, 0, 1);
    machine_describe(&f->m, d);
    return f;
}

static void test_the_digest_sees_every_field(void)
{
    struct plan p;
    struct shard s[] = {{0, 0, 8, 0, 4, 0, ORDER_WEIGHT_STREAMED},
                        {2, 8, 16, 0, 4, 4, ORDER_WEIGHT_STREAMED}};
    plan_init(&p, "digest", 4);
    plan_add_step(&p, 0, 4);
    plan_add_shard(&p, &p.step[0], 3, s[0]);
    plan_add_shard(&p, &p.step[0], 3, s[1]);
    struct shard *h = &p.step[0].op[3].shard[1];
    uint64_t seen[16];
    int n = 0;
    seen[n++] = plan_digest(&p);
#define AFTER(change, back)                                                                        \
    (change), seen[n++] = plan_digest(&p), (back), CHECK(plan_digest(&p) == seen[0])
    AFTER(p.n_tokens++, p.n_tokens--);
    AFTER(p.prepare_online = true, p.prepare_online = false);
    AFTER(p.step[0].n0++, p.step[0].n0--);
    AFTER(p.step[0].n1++, p.step[0].n1--);
    AFTER(h->device--, h->device++);
    AFTER(h->m0++, h->m0--);
    AFTER(h->m1++, h->m1--);
    AFTER(h->n0++, h->n0--);
    AFTER(h->n1++, h->n1--);
    AFTER(h->n_pad++, h->n_pad--);
    AFTER(h->order++, h->order--);
    AFTER(p.step[0].op[3].n_shards--, p.step[0].op[3].n_shards++);
    p.step[0].op[4] = p.step[0].op[3]; // another operator
    p.step[0].op[3] = (struct plan_op){0};
    seen[n++] = plan_digest(&p);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            CHECK(seen[i] != seen[j]);
    // Who made it, and what was hoped for, are not what is done.
    p.policy = "someone else";
    p.predicted_ps = 7;
    CHECK(plan_digest(&p) == seen[n - 1]);
    plan_fini(&p);
}

static void test_shards_are_kept_in_order_of_addition(void)
{
    struct plan p;
    plan_init(&p, "many", 1);
    for (int i = 0; i < 9; i++)
        plan_add_step(&p, i, i + 1);
    for (int i = 0; i < 100; i++)
        plan_add_shard(&p, &p.step[3], 5, (struct shard){.m0 = i, .m1 = i + 1});
    CHECK_INT(p.n_steps, 9);
    for (int i = 0; i < 9; i++)
        CHECK_INT(p.step[i].n0, i);
    CHECK_INT(p.step[3].op[5].n_shards, 100);
    for (int i = 0; i < 100; i++)
        CHECK_INT(p.step[3].op[5].shard[i].m0, i);
    plan_fini(&p);
}

// The strategies by the names that the header gives and the paper uses; M = 24 rows, 12 tokens.
static void test_strategies_have_names(void)
{
    static const struct {
        const char *name;
        int n;
        struct shard s[4];
    } c[] = {
        {"gpu-only", 1, {{GPU, 0, 24, 0, 12, 0, 0}}},
        {"cpu-only", 1, {{CPU, 0, 24, 0, 12, 0, 0}}},
        {"npu-only", 1, {{NPU, 0, 24, 0, 12, 12, 0}}},
        {"npu-only, padded", 1, {{NPU, 0, 24, 0, 12, 16, 0}}},
        {"npu-only", 2, {{NPU, 0, 24, 0, 8, 8, 0}, {NPU, 0, 24, 8, 12, 4, 0}}},
        {"npu-only, padded", 2, {{NPU, 0, 24, 0, 8, 8, 0}, {NPU, 0, 24, 8, 12, 8, 0}}},
        {"weight-centric 1:2", 2, {{GPU, 0, 8, 0, 12, 0, 0}, {NPU, 8, 24, 0, 12, 12, 0}}},
        {"weight-centric 2:1", 2, {{GPU, 0, 16, 0, 12, 0, 0}, {NPU, 16, 24, 0, 12, 12, 0}}},
        {"weight-centric 2:1", 2, {{NPU, 0, 8, 0, 12, 12, 0}, {GPU, 8, 24, 0, 12, 0, 0}}},
        {"activation-centric dynamic:8", 2, {{GPU, 0, 24, 8, 12, 0, 0}, {NPU, 0, 24, 0, 8, 8, 0}}},
        {"activation-centric dynamic:12",
         3,
         {{GPU, 0, 24, 11, 12, 0, 0}, {NPU, 0, 24, 0, 8, 8, 0}, {NPU, 0, 24, 8, 11, 4, 0}}},
        {"hybrid 1:2", 2, {{GPU, 0, 8, 0, 12, 0, 0}, {NPU, 8, 24, 0, 12, 16, 0}}},
        {"hybrid 4:3", // 5:4, as the nearest ratio of small numbers
         3,
         {{GPU, 0, 8, 0, 12, 0, 0}, {GPU, 8, 24, 8, 12, 0, 0}, {NPU, 8, 24, 0, 8, 8, 0}}},
        {"nobody", 0, {{0}}},
    };
    struct machine_desc d;
    struct fake *f = machine(&d);
    struct op op = {.kind = OP_MATMUL, .name = "matmul", .m = 24, .k = 16};
    char buf[64];
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct shard s[4];
        memcpy(s, c[i].s, sizeof s);
        struct plan_op po = {c[i].n, s};
        CHECK_STR(plan_strategy(&po, &op, 12, &d, PLAN_RATIO_PARTS, buf, sizeof buf), c[i].name);
    }
    // The head's one token is all of its tokens.
    op.last_only = true;
    struct shard s[] = {{GPU, 0, 8, 11, 12, 0, 0}, {NPU, 8, 24, 11, 12, 1, 0}};
    struct plan_op po = {2, s};
    CHECK_STR(plan_strategy(&po, &op, 12, &d, PLAN_RATIO_PARTS, buf, sizeof buf),
              "weight-centric 1:2");
    fake_close(&f->m);
}

static char *text_of(const struct plan *p, const struct graph *g, const struct machine_desc *d)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    plan_print(p, g, d, f);
    fclose(f);
    return text;
}

static void test_plans_are_printed(void)
{
    struct machine_desc d;
    struct fake *f = machine(&d);
    struct model *m = plans_model(1, "llama", false);
    struct graph g;
    struct plan p;
    graph_build(m, 12, 0, &g);
    plan_init(&p, "mine", 12);
    struct plan_step *s = plan_add_step(&p, 0, 12);
    for (int i = 0; i < g.n_ops; i++)
        if (strcmp(g.op[i].name, "gate_up"))
            plan_whole(&p, s, &g.op[i], 12, GPU);
    int gu = graph_find(&g, "gate_up")->index;
    plan_add_shard(&p, s, gu, (struct shard){GPU, 0, 16, 0, 12, 0, 0});
    plan_add_shard(&p, s, gu, (struct shard){NPU, 16, 48, 0, 12, 16, ORDER_WEIGHT_STATIONARY});
    char *text = text_of(&p, &g, &d);
    CHECK_HAS(text, "plan mine: 12 tokens in 1 step\n");
    CHECK_HAS(text, "hybrid 1:2");
    CHECK_HAS(text, "gpu rows[0:16], npu rows[16:48] graph=16 weight-stationary");
    CHECK_HAS(text, "logits");
    free(text);
    p.prepare_online = true;
    text = text_of(&p, &g, &d);
    CHECK_HAS(text, "graphs prepared at run time");
    free(text);
    plan_fini(&p);
    model_close(m);
    fake_close(&f->m);
}

static int difference(const struct plan *a, const struct plan *b, const struct graph *g,
                      const struct machine_desc *d, const char *says)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    int n = plan_diff(a, b, g, d, f), lines = 0;
    fclose(f);
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    CHECK_INT(lines, n); // one line each
    if (says)
        CHECK_HAS(text, says);
    free(text);
    return n;
}

static void whole(struct plan *p, const struct graph *g, int device)
{
    plan_init(p, "whole", g->n_tokens);
    struct plan_step *s = plan_add_step(p, 0, g->n_tokens);
    for (int i = 0; i < g->n_ops; i++)
        plan_whole(p, s, &g->op[i], g->n_tokens, device);
}

static void test_plans_are_compared(void)
{
    struct machine_desc d;
    struct fake *f = machine(&d);
    struct model *m = plans_model(1, "llama", false);
    struct graph g;
    struct plan a, b;
    graph_build(m, 12, 0, &g);
    whole(&a, &g, GPU);
    whole(&b, &g, GPU);
    CHECK_INT(difference(&a, &b, &g, &d, NULL), 0);
    b.step[0].op[3].shard[0].device = CPU;
    CHECK_INT(difference(&a, &b, &g, &d, "step 0 kv: gpu-only against cpu-only"), 1);
    struct shard *h = &b.step[0].op[6].shard[0];
    h->order = ORDER_WEIGHT_STATIONARY; // seen even where no name shows it
    CHECK_INT(difference(&a, &b, &g, &d, "step 0 o:"), 2);
    b.prepare_online = true;
    CHECK_INT(difference(&a, &b, &g, &d, "ahead against online"), 3);
    plan_add_step(&b, 12, 13);
    CHECK_INT(difference(&a, &b, &g, &d, "steps: 1 against 2"), 4);
    plan_fini(&a);
    plan_fini(&b);
    model_close(m);
    fake_close(&f->m);
}

TESTS(engine_plan, T(test_the_digest_sees_every_field),
      T(test_shards_are_kept_in_order_of_addition), T(test_strategies_have_names),
      T(test_plans_are_printed), T(test_plans_are_compared))
