// SPDX-License-Identifier: GPL-3.0-or-later
// The executor on fake machines: whatever the plan, whatever the moment at which devices get on
// with their work, wherever their memory is, the logits have the bits of the single-device run; and
// whatever fails is reported and leaves nothing behind.
#include "tests/engine/fake.h"
#include "tests/engine/plans.h"

#include "base/digest.h"
#include "engine/executor.h"
#include "engine/policy.h"

enum { CTX = 40, PROMPT = 13, GEN = 3 };

static const struct sync_ops *sync_of(const char *spec, struct arena *a, const void **options)
{
    const struct sync_ops *s = NULL;
    struct err e = {0};
    CHECK_OK(sync_parse(spec, a, &s, options, &e), &e);
    return s;
}

struct outcome {
    int rc;
    struct err err;
    uint64_t logits; // digest over all steps
    struct executor_stats stats;
};

// A prompt and three tokens; plans are random when rng is given, else whole on device 0.
static struct outcome run(struct fake *f, const struct model *model, const char *sync,
                          struct rng *rng, int chunks, double cut)
{
    struct outcome o = {.logits = DIGEST_INIT};
    struct err *e = &o.err;
    struct executor *x = NULL;
    struct program *p = NULL;
    struct machine_desc d;
    struct arena a = {0};
    const void *options = NULL;
    int32_t ids[PROMPT];
    const struct sync_ops *s = sync_of(sync, &a, &options);
    machine_describe(&f->m, &d);
    for (int i = 0; i < PROMPT; i++)
        ids[i] = (i * 7 + 3) % model->shape.n_vocab;
    o.rc = executor_create(&f->m, model, CTX, PROMPT, &x, e);
    if (o.rc == 0)
        o.rc = executor_set_sync(x, s, options, e);
    for (int step = 0, past = 0; step <= GEN && o.rc == 0; step++) {
        struct graph g;
        struct plan plan;
        int n = step ? 1 : PROMPT;
        graph_build(model, n, past, &g);
        if (rng) {
            plans_random(&g, &d, step ? 1 : chunks, cut, rng, &plan);
        } else {
            plan_init(&plan, "whole", n);
            struct plan_step *st = plan_add_step(&plan, 0, n);
            for (int i = 0; i < g.n_ops; i++)
                plan_whole(&plan, st, &g.op[i], n, 0);
        }
        CHECK_OK(plan_check(&plan, &g, &d, &f->m, e), e);
        o.rc = executor_compile(x, &plan, &g, NULL, &p, e);
        plan_fini(&plan);
        if (o.rc < 0)
            break;
        o.rc = executor_run(x, p, ids, past, e);
        executor_release(x, p);
        if (o.rc == 0 && f->m.values)
            o.logits = digest_bytes(o.logits, executor_logits(x),
                                    (size_t)model->shape.n_vocab * sizeof(float));
        past += n;
    }
    if (x)
        o.stats = *executor_get_stats(x);
    executor_destroy(x);
    arena_fini(&a);
    return o;
}

static uint64_t right_logits(const struct model *model)
{
    const enum fake_kind one[] = {FAKE_CPU};
    struct fake *f = fake_open(one, 1, 0, 1);
    struct outcome o = run(f, model, "driver", NULL, 1, 0);
    CHECK_OK(o.rc, &o.err);
    fake_close(&f->m);
    return o.logits;
}

static const struct fleet {
    const char *name;
    enum fake_kind kind[MACHINE_MAX_DEVICES];
    int n;
} fleets[] = {
    {"cpu", {FAKE_CPU}, 1},
    {"card", {FAKE_CARD}, 1},
    {"cpu, npu", {FAKE_CPU, FAKE_NPU}, 2},
    {"cpu, gpu, npu", {FAKE_CPU, FAKE_GPU, FAKE_NPU}, 3},
    {"card, npu", {FAKE_CARD, FAKE_NPU}, 2},
    {"cpu, card", {FAKE_CPU, FAKE_CARD}, 2},
    {"card, card, npu, cpu", {FAKE_CARD, FAKE_CARD, FAKE_NPU, FAKE_CPU}, 4},
};
enum { FLEETS = sizeof fleets / sizeof fleets[0] };

static void test_random_plans_give_the_same_bits(void)
{
    static const char *const sync[] = {"driver", "event", "poll", "sleep_poll", "queue_order"};
    static const char *const arch[] = {"llama", "qwen2"};
    static const double eager[] = {0, 0.05, 0.5};
    for (int a = 0; a < 2; a++) {
        struct model *model = plans_model(3, arch[a], true);
        uint64_t right = right_logits(model);
        for (int seed = 0; seed < 30; seed++)
            for (int f = 0; f < FLEETS; f++)
                for (int s = 0; s < 5; s++) {
                    struct rng *rng = rng_create((uint64_t)seed, "plans");
                    struct fake *m = fake_open(fleets[f].kind, fleets[f].n, eager[(seed + s) % 3],
                                               (uint64_t)seed);
                    struct outcome o =
                        run(m, model, sync[s], rng, 1 + seed % 3, 0.2 + 0.05 * (seed % 10));
                    int64_t mapped = 0;
                    int early = 0;
                    for (int i = 0; i < fleets[f].n; i++) {
                        mapped += m->dev[i].mapped;
                        early += m->dev[i].early_maps;
                    }
                    if (o.rc < 0 || o.logits != right || early)
                        test_note("%s on %s, %s, seed %d: rc %d, %s, %d early copies", arch[a],
                                  fleets[f].name, sync[s], seed, o.rc,
                                  o.logits == right ? "right" : "wrong", early);
                    CHECK_OK(o.rc, &o.err);
                    CHECK(o.logits == right);
                    CHECK_INT(early, 0); // the seam: copy only what is complete
                    CHECK_INT(o.stats.map_bytes, mapped);
                    fake_close(&m->m);
                    rng_destroy(rng);
                }
        model_close(model);
    }
}

// What it hands out is the model's work, however it is cut.
static void test_work_is_conserved(void)
{
    struct model *model = plans_model(2, "llama", true);
    struct fake *one = fake_open(fleets[0].kind, 1, 0, 1);
    struct fake *many = fake_open(fleets[3].kind, 3, 0.1, 1);
    struct rng *rng = rng_create(5, "plans");
    struct outcome a = run(one, model, "poll", NULL, 1, 0);
    struct outcome b = run(many, model, "poll", rng, 1, 0.6);
    double sum = 0, reported = 0;
    for (int i = 0; i < 3; i++) {
        sum += b.stats.work[i].flops;
        reported += many->dev[i].stats.flops;
    }
    CHECK_NEAR(sum / a.stats.work[0].flops, 1, 1e-12);
    CHECK_NEAR(reported / sum, 1, 1e-12);
    CHECK_INT(a.stats.submissions, (GEN + 1) * (2 * 12 + 3));
    CHECK_INT(a.stats.joins, GEN + 1); // one device: only for the logits
    CHECK(b.stats.submissions > a.stats.submissions && b.stats.joins > a.stats.joins);
    CHECK_INT(a.stats.map_bytes, 0);
    rng_destroy(rng);
    fake_close(&one->m);
    fake_close(&many->m);
    model_close(model);
}

// A device with its own memory that does everything: tokens in, logits out, nothing else.
static void test_copies_are_the_least(void)
{
    struct model *model = plans_model(2, "llama", true);
    struct fake *f = fake_open(fleets[1].kind, 1, 0, 1);
    struct outcome o = run(f, model, "driver", NULL, 1, 0);
    CHECK_INT(o.stats.map_bytes, (PROMPT + GEN) * 4 + (GEN + 1) * model->shape.n_vocab * 4);
    fake_close(&f->m);
    model_close(model);
}

// A scheme that joins per shard lets a device queue its shard behind its own work while another
// device's shard of the same operator still waits: queues get deeper.
static void test_per_shard_schemes_submit_ahead(void)
{
    struct model *model = plans_model(2, "llama", true);
    uint64_t right = right_logits(model), deepest[2] = {0, 0};
    for (int i = 0; i < 2; i++)
        for (uint64_t seed = 0; seed < 10; seed++) {
            struct fake *f = fake_open(fleets[3].kind, 3, 0, 1);
            struct rng *rng = rng_create(seed, "plans");
            struct outcome o = run(f, model, i ? "queue_order" : "poll", rng, 1, 0.5);
            CHECK(o.logits == right);
            for (int d = 0; d < 3; d++)
                deepest[i] += f->dev[d].deepest;
            rng_destroy(rng);
            fake_close(&f->m);
        }
    CHECK(deepest[1] > deepest[0]);
    model_close(model);
}

static void test_failures_travel_up_and_leave_nothing(void)
{
    static const struct {
        enum fake_fault fault;
        uint64_t at;
        int code;
        const char *says;
    } bad[] = {
        {FAKE_REFUSES, 1, ERR_DEVICE, "refuses"},
        {FAKE_REFUSES, 30, ERR_DEVICE, "refuses"},
        {FAKE_IS_LOST, 1, ERR_DEVICE, "lost"},
        {FAKE_IS_LOST, 40, ERR_DEVICE, "lost"},
        {FAKE_CANNOT_MAP, 1, ERR_DEVICE, "cannot copy"},
        {FAKE_CANNOT_MAP, 9, ERR_DEVICE, "cannot copy"},
        {FAKE_CANNOT_LOAD, 0, ERR_MEMORY, "no room"},
        {FAKE_CANNOT_ALLOC, 1, ERR_MEMORY, "no memory"},
        {FAKE_CANNOT_ALLOC, 12, ERR_MEMORY, "no memory"},
        {FAKE_CANNOT_PREPARE, 0, ERR_DEVICE, "cannot prepare"},
    };
    static const char *const sync[] = {"driver", "event", "poll:ask=3", "sleep_poll:ask=3",
                                       "queue_order:ask=3"};
    struct model *model = plans_model(2, "llama", true);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (int s = 0; s < 5; s++) {
            const enum fake_kind kind[] = {FAKE_CPU, FAKE_CARD, FAKE_NPU};
            int device = bad[i].fault == FAKE_CANNOT_PREPARE ? 2 : 1;
            struct fake *f = fake_open(kind, 3, s % 2 ? 0.2 : 0, 1);
            struct rng *rng = rng_create(4, "plans");
            f->dev[device].fault = bad[i].fault;
            f->dev[device].at = bad[i].at;
            struct outcome o = run(f, model, sync[s], rng, 2, 0.5);
            CHECK_INT(o.rc, bad[i].code);
            CHECK_INT(o.err.code, bad[i].code);
            CHECK_HAS(o.err.msg, bad[i].says);
            rng_destroy(rng);
            fake_close(&f->m); // checks that every buffer was given back
        }
    model_close(model);
}

static void test_it_refuses_what_cannot_be(void)
{
    struct model *with = plans_model(1, "llama", true), *without = plans_model(1, "llama", false);
    struct fake *f = fake_open(fleets[2].kind, 2, 0, 1);
    struct executor *x = NULL;
    struct program *p = NULL;
    struct err e = {0};
    struct arena a = {0};
    const void *options;
    struct graph g;
    struct plan plan;
    // Values without weights.
    CHECK_INT(executor_create(&f->m, without, 8, 8, &x, &e), ERR_USAGE);
    CHECK_HAS(e.msg, "tiny");
    CHECK(x == NULL);
    CHECK_OK(executor_create(&f->m, with, 8, 4, &x, &e), &e);
    // A scheme that the machine does not offer.
    const struct sync_ops *poll = sync_of("poll", &a, &options);
    f->dev[1].base.caps.flag = false;
    struct executor *y = NULL;
    CHECK_OK(executor_create(&f->m, with, 8, 4, &y, &e), &e);
    CHECK_INT(executor_set_sync(y, poll, options, &e), ERR_UNSUPPORTED);
    CHECK_STR(e.key, "npu");
    executor_destroy(y);
    CHECK_OK(executor_set_sync(x, sync_of("driver", &a, &options), options, &e), &e);
    // A step larger than the buffers, a plan larger than the context.
    const int n[] = {5, 9};
    for (int i = 0; i < 2; i++) {
        graph_build(with, n[i], 0, &g);
        plan_init(&plan, "whole", n[i]);
        struct plan_step *s = plan_add_step(&plan, 0, n[i]);
        for (int o = 0; o < g.n_ops; o++)
            plan_whole(&plan, s, &g.op[o], n[i], 0);
        CHECK_INT(executor_compile(x, &plan, &g, NULL, &p, &e), ERR_USAGE);
        CHECK_HAS(e.msg, i ? "context of 8" : "buffers for 4");
        CHECK(p == NULL);
        plan_fini(&plan);
    }
    // Too much after what is cached already.
    const int32_t ids[4] = {1, 2, 3, 4};
    graph_build(with, 4, 0, &g);
    plan_init(&plan, "whole", 4);
    struct plan_step *s = plan_add_step(&plan, 0, 4);
    for (int o = 0; o < g.n_ops; o++)
        plan_whole(&plan, s, &g.op[o], 4, 0);
    CHECK_OK(executor_compile(x, &plan, &g, NULL, &p, &e), &e);
    CHECK_OK(executor_run(x, p, ids, 0, &e), &e);
    CHECK_OK(executor_run(x, p, ids, 4, &e), &e);
    CHECK_INT(executor_run(x, p, ids, 5, &e), ERR_USAGE);
    CHECK_HAS(e.msg, "context of 8");
    executor_release(x, p);
    plan_fini(&plan);
    executor_destroy(x);
    arena_fini(&a);
    fake_close(&f->m);
    model_close(with);
    model_close(without);
}

// ---- when tasks are expected to complete ----

static double
    latest; // (due - now) of what was joined since it was last cleared: the most, in tasks

static int spy_offered(const struct machine_desc *d, const void *options, struct err *e)
{
    (void)d, (void)options, (void)e;
    return 0;
}

static int spy_join(struct machine *m, const void *options, const struct ticket *t, int n,
                    struct err *e)
{
    (void)options;
    for (int i = 0; i < n; i++)
        latest = fmax(latest, (double)(t[i].due - m->ops->now(m)) / FAKE_TASK_PS);
    for (int i = 0; i < n; i++)
        if (m->device[t[i].device]->ops->wait(m->device[t[i].device], t[i].seq, WAIT_FINISH, e) < 0)
            return e->code;
    return 0;
}

static const struct sync_ops spy = {.name = "spy", .offered = spy_offered, .join = spy_join};

// Every task takes FAKE_TASK_PS; the table says `wrong` times that. Every third operator is on the
// second device, if `two`. Returns what was expected at the latest in each of two runs.
// at_once: a task is done when its submission returns.
static void expectations(double wrong, bool two, bool repeatable, bool at_once, double *out)
{
    const enum fake_kind kinds[] = {FAKE_CPU, FAKE_GPU};
    struct fake *f = fake_open(kinds, 2, at_once, 1);
    struct model *model = plans_model(4, "llama", true);
    struct cost_table *t = cost_create();
    struct executor *x = NULL;
    struct program *p = NULL;
    struct err e = {0};
    struct graph g;
    struct plan plan;
    f->m.repeatable = repeatable;
    CHECK_OK(executor_create(&f->m, model, 8, 4, &x, &e), &e);
    CHECK_OK(executor_set_sync(x, &spy, NULL, &e), &e);
    graph_build(model, 4, 0, &g);
    plan_init(&plan, "by hand", 4);
    struct plan_step *s = plan_add_step(&plan, 0, 4);
    for (int i = 0; i < g.n_ops; i++) {
        const struct op *op = &g.op[i];
        for (int d = 0; d < 2; d++)
            for (int n = 1; n <= 4; n += 3) // out_norm and the head are of one token
                if (op->kind == OP_MATMUL)
                    cost_add_matmul(t, d, 0, op->k, op->m, n, wrong * FAKE_TASK_PS);
                else
                    cost_add_op(t, d, op->kind, op->m, n, 4, wrong * FAKE_TASK_PS);
        plan_whole(&plan, s, op, 4, two && i % 3 == 2);
    }
    const int32_t ids[4] = {1, 2, 3, 4};
    CHECK_OK(executor_compile(x, &plan, &g, t, &p, &e), &e);
    for (int i = 0; i < 2; i++) {
        latest = 0;
        CHECK_OK(executor_run(x, p, ids, 0, &e), &e);
        out[i] = latest;
    }
    executor_release(x, p);
    plan_fini(&plan);
    executor_destroy(x);
    cost_destroy(t);
    model_close(model);
    fake_close(&f->m);
}

static void test_expectations_follow_what_was_seen(void)
{
    static const double wrong[] = {0.5, 1, 2, 10};
    for (int i = 0; i < 4; i++) {
        double real[2], model[2], split[2];
        // One device: joined once, at the end. The second run knows what the first one took.
        expectations(wrong[i], false, false, false, real);
        expectations(wrong[i], false, true, false, model);
        CHECK(real[1] > 30);
        CHECK_NEAR(model[0] / real[1], wrong[i], 0.01 * wrong[i]);
        CHECK_NEAR(real[0] / model[0], 0.5, 0.01); // half of it is believed at first
        CHECK(model[1] >= model[0]);               // a model takes the time that its profile says
        // Two: no more than the two or three tasks between two joins are still to come, however
        // many were over sooner than expected.
        expectations(wrong[i], true, false, false, split);
        CHECK(split[0] <= 4 * wrong[i] * 0.5 + 0.1);
        CHECK(split[1] <= 4 + 0.1);
    }
}

// A device whose thread took the core of the host: nothing is still to come.
static void test_expectations_count_from_before_submission(void)
{
    double once[2];
    expectations(1, true, true, true, once);
    CHECK_NEAR(once[0], 0, 0.01);
    CHECK_NEAR(once[1], 0, 0.01);
}

TESTS(engine_executor, T(test_random_plans_give_the_same_bits), T(test_work_is_conserved),
      T(test_copies_are_the_least), T(test_per_shard_schemes_submit_ahead),
      T(test_expectations_follow_what_was_seen), T(test_expectations_count_from_before_submission),
      T(test_failures_travel_up_and_leave_nothing), T(test_it_refuses_what_cannot_be))
