// SPDX-License-Identifier: GPL-3.0-or-later
// Schedules of random plans: every hazard between two devices is covered, and no join can be left
// out. "Covered" is asked of schedule_check and of an oracle of the test's own, which replays the
// schedule in the order that a careless machine could choose.
#include "tests/engine/fake.h"
#include "tests/engine/plans.h"

struct bench {
    struct fake *f;
    struct machine_desc d;
    struct model *model;
    struct graph g;
    struct arena a;
};

static void bench_open(struct bench *b, int devices, int layers)
{
    static const enum fake_kind kinds[] = {FAKE_GPU, FAKE_CPU, FAKE_NPU, FAKE_CARD};
    *b = (struct bench){.f = fake_open(kinds, devices, 0, 1)};
    machine_describe(&b->f->m, &b->d);
    b->model = plans_model(layers, "llama", false);
}

static void bench_close(struct bench *b)
{
    arena_fini(&b->a);
    model_close(b->model);
    fake_close(&b->f->m);
}

static void random_schedule(struct bench *b, struct rng *rng, double cut, struct schedule *out)
{
    struct plan p;
    graph_build(b->model, 1 + (int)rng_below(rng, 12), 0, &b->g);
    plans_random(&b->g, &b->d, 1, cut, rng, &p);
    schedule_build(&p, 0, &b->g, &b->a, out);
    plan_fini(&p);
}

// Buffers that a task reads and writes, from the operators' definitions in engine/op.h.
static unsigned reads(const struct task *t)
{
    unsigned r = 1u << t->op->in;
    if (t->op->kind == OP_ROPE)
        r |= 1u << BUF_KV | 1u << BUF_Q;
    if (t->op->kind == OP_ADD)
        r |= 1u << t->op->out;
    if (t->op->kind == OP_ATTENTION)
        r |= 1u << BUF_KCACHE | 1u << BUF_VCACHE;
    return r;
}

static unsigned writes(const struct task *t)
{
    unsigned w = 1u << t->op->out;
    if (t->op->kind == OP_ROPE)
        w |= 1u << BUF_KCACHE | 1u << BUF_VCACHE;
    return w;
}

// What is known to be complete on each device when entry i is submitted, having made the joins of
// entries 0 to i. Returns the number of pairs that could run in the wrong order.
static int uncovered(const struct schedule *s)
{
    int done[MACHINE_MAX_DEVICES] = {-1, -1, -1, -1}, bad = 0, instance = 0;
    for (int i = 0; i < s->n; i++) {
        const struct schedule_entry *y = &s->entry[i];
        if (y->first_of_op)
            instance = i;
        for (int d = 0; d < MACHINE_MAX_DEVICES; d++)
            if (y->join[d] > done[d])
                done[d] = y->join[d];
        for (int j = 0; j < instance; j++) {
            const struct schedule_entry *x = &s->entry[j];
            if (x->device == y->device || done[x->device] >= j)
                continue;
            const struct task *a = &x->task, *b = &y->task;
            bad += (writes(a) & (reads(b) | writes(b))) || (reads(a) & writes(b));
        }
    }
    return bad;
}

static void test_random_schedules_have_no_race(void)
{
    struct err e = {0};
    for (int devices = 1; devices <= 4; devices++) {
        struct bench b;
        struct rng *rng = rng_create((uint64_t)devices, "schedule");
        bench_open(&b, devices, 5);
        for (int i = 0; i < 60; i++) {
            struct schedule s;
            random_schedule(&b, rng, 0.1 * (i % 8), &s);
            CHECK_OK(schedule_check(&s, devices, &e), &e);
            CHECK_INT(uncovered(&s), 0);
            for (int j = 0; j < s.n; j++)
                for (int d = 0; d < MACHINE_MAX_DEVICES; d++) {
                    int k = s.entry[j].join[d];
                    CHECK(k < j);
                    if (k >= 0) // a join names an entry of that other device
                        CHECK(s.entry[k].device == d && d != s.entry[j].device);
                }
        }
        bench_close(&b);
        rng_destroy(rng);
    }
}

// Without a join that something needs, schedule_check fails; it agrees with the oracle on which
// those are.
static void test_no_needed_join_can_be_left_out(void)
{
    struct bench b;
    struct err e = {0};
    struct rng *rng = rng_create(17, "schedule");
    int needed = 0, spare = 0;
    bench_open(&b, 3, 2);
    for (int i = 0; i < 25; i++) {
        struct schedule s;
        random_schedule(&b, rng, 0.3, &s);
        for (int j = 0; j < s.n; j++)
            for (int d = 0; d < 3; d++) {
                int keep = s.entry[j].join[d];
                if (keep < 0)
                    continue;
                s.entry[j].join[d] = keep ? keep - 1 : -1; // one entry too early
                bool race = uncovered(&s) > 0;
                CHECK_INT(schedule_check(&s, 3, &e), race ? ERR_CHECK : 0);
                if (race)
                    CHECK_HAS(e.msg, "does not wait for entry");
                needed += race, spare += !race;
                s.entry[j].join[d] = -1;
                CHECK_INT(schedule_check(&s, 3, &e) < 0, uncovered(&s) > 0);
                s.entry[j].join[d] = keep;
            }
    }
    CHECK(needed > 500 && spare > 0); // spare: implied by an earlier join
    bench_close(&b);
    rng_destroy(rng);
}

static int entry_of(const struct schedule *s, const char *op, int layer, int shard)
{
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->entry[i].task.op->name, op) && s->entry[i].task.layer == layer &&
            shard-- == 0)
            return i;
    return -1;
}

// By hand: the CPU computes the norms, the GPU everything else.
static void test_reads_after_writes_and_writes_after_reads(void)
{
    enum { GPU, CPU };
    struct bench b;
    struct schedule s;
    struct plan p;
    struct err e = {0};
    bench_open(&b, 2, 2);
    graph_build(b.model, 4, 0, &b.g);
    plan_init(&p, "norms", 4);
    struct plan_step *st = plan_add_step(&p, 0, 4);
    for (int i = 0; i < b.g.n_ops; i++)
        plan_whole(&p, st, &b.g.op[i], 4, b.g.op[i].kind == OP_RMSNORM ? CPU : GPU);
    schedule_build(&p, 0, &b.g, &b.a, &s);
    CHECK_INT(s.n, 3 + 2 * 12);
    int embed = entry_of(&s, "embed", -1, 0), norm = entry_of(&s, "attn_norm", 0, 0);
    int kv = entry_of(&s, "kv", 0, 0), q = entry_of(&s, "q", 0, 0);
    int add = entry_of(&s, "add_attn", 0, 0), ffn = entry_of(&s, "ffn_norm", 0, 0);
    CHECK_INT(s.entry[norm].join[GPU], embed); // reads x after it was written
    CHECK_INT(s.entry[q].join[CPU], norm);     // reads h
    CHECK_INT(s.entry[kv].join[CPU], norm);
    // The next norm overwrites h after q and kv have read it, and reads x after the addition: the
    // later of the two stands for both.
    CHECK_INT(s.entry[ffn].join[GPU], add);
    CHECK_INT(s.entry[ffn].join[CPU], -1);   // its own queue
    CHECK_INT(s.entry[add].join[CPU], norm); // writes x, which the norm read
    CHECK_INT(s.last[CPU], entry_of(&s, "out_norm", -1, 0));
    CHECK_INT(s.last[GPU], s.n - 1);
    CHECK_INT(s.last[2], -1);
    // A pure write-after-read: without the x dependency only h is left.
    int o = entry_of(&s, "o", 0, 0);
    CHECK_INT(s.entry[o].join[CPU], -1); // t was not touched by the CPU, nor was a
    s.entry[add].join[CPU] = -1;
    CHECK_OK(schedule_check(&s, 2, &e), &e); // q has joined that norm before
    s.entry[q].join[CPU] = s.entry[kv].join[CPU] = -1;
    CHECK_INT(schedule_check(&s, 2, &e), ERR_CHECK);
    CHECK_STR(e.key, "q");
    plan_fini(&p);
    bench_close(&b);
}

// Shards of one operator do not wait for each other; the next layer's writers wait for the last
// layer's readers.
static void test_shards_and_layers(void)
{
    struct bench b;
    struct schedule s;
    struct plan p;
    struct err e = {0};
    bench_open(&b, 3, 2);
    graph_build(b.model, 6, 0, &b.g);
    plan_init(&p, "thirds", 6);
    struct plan_step *st = plan_add_step(&p, 0, 6);
    for (int i = 0; i < b.g.n_ops; i++)
        for (int d = 0; d < (b.g.op[i].last_only ? 1 : 2); d++) // by tokens, GPU and CPU
            plan_add_shard(&p, st, i,
                           (struct shard){.device = d,
                                          .m1 = b.g.op[i].m,
                                          .n0 = b.g.op[i].last_only ? 5 : 3 * d,
                                          .n1 = b.g.op[i].last_only ? 6 : 3 * d + 3});
    schedule_build(&p, 0, &b.g, &b.a, &s);
    CHECK_OK(schedule_check(&s, 3, &e), &e);
    for (int i = 0; i < s.n; i++) {
        const struct schedule_entry *y = &s.entry[i];
        bool head = y->task.op->last_only;
        CHECK_INT(y->first_of_op, head || i % 2 == 0);
        if (!y->first_of_op)
            CHECK(y->join[0] < i - 1); // not its sibling
        CHECK_INT(y->task.out_n0, y->task.op->out == BUF_LOGITS ? 0 : y->task.n0);
        CHECK_INT(y->task.graph, -1);
    }
    int k1 = entry_of(&s, "rope", 1, 0), attn0 = entry_of(&s, "attn", 0, 1);
    CHECK(s.entry[k1].join[1] >= attn0);
    plan_fini(&p);
    bench_close(&b);
}

// Two tasks and nothing else, on two devices: each kind of hazard needs its join.
static void test_each_hazard_alone(void)
{
    static const struct {
        enum op_kind kind[2];
        enum buf_id in[2], out[2];
        bool hazard;
    } c[] = {
        {{OP_MATMUL, OP_MATMUL}, {BUF_H, BUF_Q}, {BUF_Q, BUF_A}, true},   // read after write
        {{OP_MATMUL, OP_RMSNORM}, {BUF_H, BUF_X}, {BUF_Q, BUF_H}, true},  // write after read
        {{OP_MATMUL, OP_MATMUL}, {BUF_A, BUF_F}, {BUF_T, BUF_T}, true},   // write after write
        {{OP_MATMUL, OP_MATMUL}, {BUF_H, BUF_H}, {BUF_Q, BUF_KV}, false}, // two readers
        {{OP_RMSNORM, OP_ADD}, {BUF_X, BUF_T}, {BUF_H, BUF_X}, true},     // in place: x is written
        {{OP_ADD, OP_RMSNORM}, {BUF_T, BUF_X}, {BUF_X, BUF_H}, true},     //
        {{OP_ADD, OP_MATMUL}, {BUF_T, BUF_A}, {BUF_X, BUF_T}, true},      // t was read
        {{OP_ROPE, OP_ATTENTION}, {BUF_Q, BUF_TOKENS}, {BUF_Q, BUF_A}, true}, // by the cache alone
        {{OP_ATTENTION, OP_ROPE}, {BUF_TOKENS, BUF_Q}, {BUF_A, BUF_Q}, true}, //
        {{OP_ATTENTION, OP_ATTENTION}, {BUF_Q, BUF_Q}, {BUF_A, BUF_T}, false},
        {{OP_MATMUL, OP_SWIGLU}, {BUF_H, BUF_GU}, {BUF_Q, BUF_F}, false},
    };
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct op op[2];
        struct schedule_entry entry[2];
        struct schedule s = {.n = 2, .entry = entry};
        struct err e = {0};
        for (int j = 0; j < 2; j++) {
            op[j] = (struct op){.kind = c[i].kind[j],
                                .name = j ? "second" : "first",
                                .in = c[i].in[j],
                                .in2 = BUF_NONE,
                                .out = c[i].out[j]};
            entry[j] = (struct schedule_entry){
                .task.op = &op[j], .device = j, .join = {-1, -1, -1, -1}, .first_of_op = true};
        }
        CHECK_INT(schedule_check(&s, 2, &e), c[i].hazard ? ERR_CHECK : 0);
        if (c[i].hazard)
            CHECK_STR(e.key, "second");
        entry[1].join[0] = 0; // having waited
        CHECK_OK(schedule_check(&s, 2, &e), &e);
        entry[1].join[0] = -1;
        entry[1].device = 0; // in one queue
        CHECK_OK(schedule_check(&s, 2, &e), &e);
        entry[1].device = 1;
        entry[1].first_of_op = false; // shards of one operator
        CHECK_OK(schedule_check(&s, 2, &e), &e);
    }
}

static void test_a_join_with_the_future_is_refused(void)
{
    struct bench b;
    struct schedule s;
    struct err e = {0};
    struct rng *rng = rng_create(3, "schedule");
    bench_open(&b, 2, 1);
    random_schedule(&b, rng, 0.2, &s);
    s.entry[2].join[1] = 2;
    CHECK_INT(schedule_check(&s, 2, &e), ERR_CHECK);
    CHECK_HAS(e.msg, "waits for a later one");
    bench_close(&b);
    rng_destroy(rng);
}

TESTS(engine_schedule, T(test_random_schedules_have_no_race),
      T(test_no_needed_join_can_be_left_out), T(test_reads_after_writes_and_writes_after_reads),
      T(test_shards_and_layers), T(test_each_hazard_alone),
      T(test_a_join_with_the_future_is_refused))
