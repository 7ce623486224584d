// SPDX-License-Identifier: GPL-3.0-or-later
// The profiler: on a machine whose every task takes the same known time it must fill the table with
// that time, everywhere and nowhere else; on the simulated SoC it must agree with a stopwatch.
#include "tests/engine/fake.h"
#include "tests/engine/plans.h"

#include <stdio.h>
#include "engine/profile.h"
#include "models/soc/soc.h"

// A fake device needs this long for a task, and the host this long to submit it: in a stream, both
// (its machine does one thing at a time).
enum { SUBMIT_PS = 1000, STREAMED = FAKE_TASK_PS + SUBMIT_PS };

static struct cost_table *profiled(struct fake *f, const struct model *model, int n_prompt,
                                   int n_ctx)
{
    struct cost_table *t = cost_create();
    struct profile_request r;
    struct err e = {0};
    f->m.values = false; // the times are made up anyway
    profile_default(&f->m, n_prompt, n_ctx, &r);
    CHECK_OK(profile_run(&f->m, model, &r, t, &e), &e);
    return t;
}

static void test_the_default_request(void)
{
    const enum fake_kind kinds[] = {FAKE_CPU, FAKE_NPU}; // sizes 1, 4, 8, 16
    struct fake *f = fake_open(kinds, 2, 0, 1);
    struct profile_request r;
    profile_default(&f->m, 100, 300, &r);
    // One token; powers of two below the prompt; what is left beside 8 and 16 (4 both times); all.
    const int want[] = {1, 16, 32, 64, 4, 100};
    CHECK_INT(r.n_n, 6);
    for (int i = 0; i < 6; i++)
        CHECK_INT(r.n[i], want[i]);
    CHECK_INT(r.max_n, 100);
    CHECK_INT(r.n_kv, 4);
    CHECK_INT(r.kv[0], 300);
    CHECK_INT(r.kv[3], 37);
    profile_default(&f->m, 1, 5, &r); // the smallest of all
    CHECK_INT(r.n_n, 1);
    CHECK_INT(r.n[0], 1);
    CHECK_INT(r.max_n, 1);
    CHECK_INT(r.n_kv, 1);
    CHECK_INT(r.kv[0], 5);
    profile_default(&f->m, 1 << 20, 1 << 21, &r); // the largest: lists do not overflow
    CHECK(r.n_n <= PROFILE_MAX_N && r.n_kv <= PROFILE_MAX_KV);
    fake_close(&f->m);
}

static void test_every_operator_on_every_device_is_measured(void)
{
    const enum fake_kind kinds[] = {FAKE_CPU, FAKE_GPU, FAKE_NPU};
    struct fake *f = fake_open(kinds, 3, 0, 1);
    struct model *model = plans_model(2, "llama", true);
    struct cost_table *t = profiled(f, model, 12, 20);
    struct graph g;
    graph_build(model, 12, 0, &g);
    for (int d = 0; d < 3; d++)
        for (int i = 0; i < g.n_ops; i++) {
            const struct op *o = &g.op[i];
            const int n[] = {1, o->last_only ? 1 : 12, o->last_only ? 1 : 16};
            for (int j = 0; j < 3; j++) {
                bool graph = d == 2 && o->kind == OP_MATMUL;
                if ((j == 1 && graph) || (j == 2 && !graph))
                    continue; // 12 is no standard size, 16 is one
                double ps = o->kind == OP_MATMUL
                                ? cost_matmul(t, d, ORDER_WEIGHT_STREAMED, o->k, o->m, n[j])
                                : cost_op(t, d, o->kind, o->m, n[j], 20);
                CHECK_NEAR(ps, STREAMED, 1);
            }
        }
    // Both orders where they make a difference, one elsewhere.
    const struct op *q = graph_find(&g, "q");
    CHECK_NEAR(cost_matmul(t, 2, ORDER_WEIGHT_STATIONARY, q->k, q->m, 16), STREAMED, 1);
    CHECK(cost_matmul(t, 0, ORDER_WEIGHT_STATIONARY, q->k, q->m, 1) < 0);
    // Nobody asks for a shape that the model does not have.
    CHECK(cost_matmul(t, 0, ORDER_WEIGHT_STREAMED, 17, 16, 1) < 0);
    // The machine is as if nothing had happened.
    for (int d = 0; d < 3; d++) {
        CHECK_INT(f->dev[d].stats.tasks, 0);
        CHECK_INT(f->dev[d].n_graphs, 0);
    }
    CHECK_INT(f->buffers, 0);
    cost_destroy(t);
    model_close(model);
    fake_close(&f->m);
}

// A device that cannot do an operator has no cost for it, and the rest is measured all the same.
static void test_what_a_device_cannot_do_is_left_out(void)
{
    const enum fake_kind kinds[] = {FAKE_CPU, FAKE_NPU};
    struct fake *f = fake_open(kinds, 2, 0, 1);
    struct model *model = plans_model(1, "llama", true);
    f->dev[1].base.caps.ops &= ~(1u << OP_ATTENTION | 1u << OP_EMBED);
    struct cost_table *t = profiled(f, model, 12, 20);
    CHECK(cost_op(t, 1, OP_ATTENTION, 32, 12, 20) < 0);
    CHECK(cost_op(t, 1, OP_EMBED, 16, 12, 12) < 0);
    CHECK_NEAR(cost_op(t, 0, OP_ATTENTION, 32, 12, 20), STREAMED, 1);
    CHECK_NEAR(cost_op(t, 1, OP_ADD, 16, 12, 12), STREAMED, 1);
    cost_destroy(t);
    model_close(model);
    fake_close(&f->m);
}

static void test_overheads(void)
{
    const enum fake_kind kinds[] = {FAKE_CARD, FAKE_NPU};
    struct fake *f = fake_open(kinds, 2, 0, 1);
    struct model *model = plans_model(1, "llama", true);
    struct cost_table *t = profiled(f, model, 12, 20);
    struct arena a = {0};
    struct err e = {0};
    const struct sync_ops *sync;
    const void *options;
    CHECK_OK(sync_parse("driver", &a, &sync, &options, &e), &e);
    CHECK_OK(profile_sync(&f->m, model, sync, options, 12, t, &e), &e);
    const struct cost_overheads *o = cost_get_overheads(t);
    for (int d = 0; d < 2; d++) {
        CHECK_NEAR(o->submit[d], SUBMIT_PS, 1);
        CHECK(o->join[d] >= 0 && o->join[d] <= 4 * SUBMIT_PS); // a look at the machine or two
        // The fake machine works for whoever is waited for, so nobody is slowed down.
        CHECK_NEAR(o->together[d], 1, 0.01);
        CHECK_NEAR(o->together_many[d], 1, 0.01);
    }
    // Nor does it say when it executed what.
    CHECK(o->pair[0][1] < 0 && o->pair[1][0] < 0);
    CHECK(o->copy_bandwidth[0] > 0);
    CHECK_NEAR(o->copy_bandwidth[1], 0, 0);
    cost_destroy(t);
    arena_fini(&a);
    model_close(model);
    fake_close(&f->m);
}

static void test_failures_end_it_without_leaks(void)
{
    static const struct {
        enum fake_fault fault;
        uint64_t at;
    } bad[] = {{FAKE_REFUSES, 1},        {FAKE_REFUSES, 9},      {FAKE_IS_LOST, 5},
               {FAKE_CANNOT_LOAD, 0},    {FAKE_CANNOT_ALLOC, 1}, {FAKE_CANNOT_ALLOC, 4},
               {FAKE_CANNOT_PREPARE, 0}, {FAKE_CANNOT_MAP, 1}};
    struct model *model = plans_model(1, "llama", true);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const enum fake_kind kinds[] = {FAKE_CPU, FAKE_CARD, FAKE_NPU};
        struct fake *f = fake_open(kinds, 3, 0, 1);
        struct cost_table *t = cost_create();
        struct profile_request r;
        struct err e = {0};
        int device = bad[i].fault == FAKE_CANNOT_PREPARE ? 2 : 1;
        f->m.values = false;
        f->dev[device].fault = bad[i].fault;
        f->dev[device].at = bad[i].at;
        profile_default(&f->m, 12, 20, &r);
        int rc = profile_run(&f->m, model, &r, t, &e);
        CHECK(rc < 0 && e.code == rc && e.msg[0]);
        CHECK_INT(f->buffers, 0);
        cost_destroy(t);
        fake_close(&f->m);
    }
    model_close(model);
}

// ---- the simulated SoC ----

static double stopwatch(struct machine *m, int d, const struct task *t, int count)
{
    struct err e = {0};
    uint64_t seq = 0;
    int64_t begin = m->ops->now(m);
    for (int i = 0; i < count; i++)
        CHECK_OK(m->device[d]->ops->submit(m->device[d], t, &seq, &e), &e);
    CHECK_OK(m->device[d]->ops->wait(m->device[d], seq, WAIT_FINISH, &e), &e);
    return (double)(m->ops->now(m) - begin);
}

static void test_the_simulated_soc(void)
{
    struct conf *c;
    struct machine *m = NULL;
    struct model *model = NULL;
    struct err e = {0};
    if (!CHECK_OK(conf_open("configs/soc/sd8gen3.cfg", &c, &e), &e) ||
        !CHECK_OK(machine_soc_open(c, false, &m, &e), &e))
        return;
    conf_close(c);
    CHECK_OK(model_open("configs/model/llama3-8b.cfg", &model, &e), &e);
    uint64_t digest[2];
    for (int i = 0; i < 2; i++) { // twice the same
        struct cost_table *t = cost_create();
        struct profile_request r;
        profile_default(m, 256, 300, &r);
        CHECK_OK(profile_run(m, model, &r, t, &e), &e);
        digest[i] = cost_digest(t);
        struct graph g;
        struct task task;
        graph_build(model, 256, 0, &g);
        for (int d = 0; d < m->n_devices; d++) {
            struct device *dev = m->device[d];
            graph_task(&g, graph_find(&g, "gate_up")->index, 0, &task);
            task.n_pad = dev->caps.static_graphs ? 256 : 0;
            struct static_graph sg = {task.op, task.m0, task.m1, task.n_pad, task.order};
            if (task.n_pad)
                CHECK_OK(dev->ops->prepare(dev, &sg, &task.graph, &e), &e);
            stopwatch(m, d, &task, 3); // awake
            double streamed = (stopwatch(m, d, &task, 11) - stopwatch(m, d, &task, 1)) / 10;
            double known = cost_matmul(t, d, task.order, task.op->k, task.op->m, 256);
            CHECK_NEAR(known / streamed, 1, 0.01);
            // Alone, with its launch and its wake-up, it takes longer.
            m->ops->sleep(m, PS_PER_S);
            CHECK(profile_isolated(m, d, &task, &e) > streamed);
            m->ops->reset(m);
        }
        cost_destroy(t);
    }
    CHECK(digest[0] == digest[1]);
    model_close(model);
    m->ops->close(m);
}

TESTS(engine_profile, T(test_the_default_request),
      T(test_every_operator_on_every_device_is_measured),
      T(test_what_a_device_cannot_do_is_left_out), T(test_overheads),
      T(test_failures_end_it_without_leaks), T(test_the_simulated_soc))
