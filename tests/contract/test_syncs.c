// SPDX-License-Identifier: GPL-3.0-or-later
// One contract for every synchronisation scheme in the registry, in both worlds: under any scheme
// that a machine offers, a program that is split between two devices gives the right logits every
// time; a scheme that a machine cannot offer says why. A new scheme is tested the moment its file
// exists. Then what follows from the schemes' definitions about their cost, on the simulated SoC.
#include "tests/contract/rig.h"

#include "base/digest.h"
#include "engine/executor.h"
#include "engine/policy.h"
#include "tests/engine/fake.h"

enum { RUNS = 50, PROMPT = 9 };
static const int32_t prompt[PROMPT] = {1, 409, 407, 261, 408, 384, 300, 261, 546};

extern const struct sync_ops sync_futex;

static struct model *stories(void)
{
    struct model *m = NULL;
    struct err e = {0};
    CHECK_OK(model_open(MACHINES_SMALL_MODEL, &m, &e), &e);
    return m;
}

// A prompt and one more token, compiled for one policy.
struct split {
    struct machine *m;
    const struct model *model;
    struct executor *x;
    struct program *prefill, *decode;
    struct arena arena;
};

static struct program *compile(struct split *s, const char *policy, int n, int n_past)
{
    const struct policy_ops *p;
    const void *options;
    struct machine_desc d;
    struct graph g;
    struct plan plan;
    struct program *out = NULL;
    struct cost_table *none = cost_create();
    struct err e = {0};
    machine_describe(s->m, &d);
    graph_build(s->model, n, n_past, &g);
    if (CHECK_OK(policy_parse(policy, &s->arena, &p, &options, &e), &e) &&
        CHECK_OK(p->plan(&g, &d, none, options, &plan, &e), &e)) {
        CHECK_OK(plan_check(&plan, &g, &d, s->m, &e), &e);
        CHECK_OK(executor_compile(s->x, &plan, &g, none, &out, &e), &e);
        plan_fini(&plan);
    }
    cost_destroy(none);
    return out;
}

static bool split_open(struct split *s, struct machine *m, const struct model *model,
                       const char *policy)
{
    struct err e = {0};
    *s = (struct split){.m = m, .model = model};
    if (!CHECK_OK(executor_create(m, model, PROMPT + 1, PROMPT, &s->x, &e), &e))
        return false;
    s->prefill = compile(s, policy, PROMPT, 0);
    s->decode = compile(s, policy, 1, PROMPT);
    return s->prefill && s->decode;
}

static void split_close(struct split *s)
{
    executor_release(s->x, s->prefill);
    executor_release(s->x, s->decode);
    executor_destroy(s->x);
    arena_fini(&s->arena);
}

// Runs both steps; logits of the second in out (may be NULL), digest of both (0 without values).
static uint64_t split_run(struct split *s, float *out)
{
    const int32_t next = 438;
    size_t n = (size_t)s->model->shape.n_vocab;
    struct err e = {0};
    uint64_t d = DIGEST_INIT;
    const float *l = executor_logits(s->x);
    if (!CHECK_OK(executor_run(s->x, s->prefill, prompt, 0, &e), &e))
        return 1;
    if (l)
        d = digest_bytes(d, l, n * sizeof *l);
    if (!CHECK_OK(executor_run(s->x, s->decode, &next, PROMPT, &e), &e))
        return 1;
    if (!l)
        return 0;
    if (out)
        memcpy(out, l, n * sizeof *l);
    return digest_bytes(d, l, n * sizeof *l);
}

static bool use(struct split *s, const char *spec)
{
    const struct sync_ops *sync;
    const void *options;
    struct err e = {0};
    return CHECK_OK(sync_parse(spec, &s->arena, &sync, &options, &e), &e) &&
           CHECK_OK(executor_set_sync(s->x, sync, options, &e), &e);
}

// The reference: one device, the driver's finish.
static void expect(struct machine *m, const struct model *model, const char *policy, float *logits,
                   uint64_t *digest)
{
    struct split s;
    if (split_open(&s, m, model, policy) && use(&s, "driver"))
        *digest = split_run(&s, logits);
    split_close(&s);
}

static void every_scheme(struct machine *m, const char *policy, const float *right,
                         const uint64_t *digest, double tolerance)
{
    struct model *model = stories();
    struct machine_desc d;
    struct split s;
    int n = model->shape.n_vocab, offered = 0;
    float *got = calloc((size_t)n, sizeof *got);
    machine_describe(m, &d);
    if (split_open(&s, m, model, policy)) {
        uint64_t first = digest ? *digest : 0;
        for (size_t i = 0; i < sync_registry_count; i++) {
            const char *name = sync_registry[i]->name;
            const struct sync_ops *sync;
            const void *options;
            struct err e = {0};
            CHECK_OK(sync_parse(name, &s.arena, &sync, &options, &e), &e);
            if (sync->offered(&d, options, &e) < 0) {
                CHECK_HAS(e.msg, name);
                CHECK(executor_set_sync(s.x, sync, options, &e) < 0);
                continue;
            }
            offered++;
            if (!use(&s, name))
                continue;
            int wrong = 0;
            for (int r = 0; r < RUNS; r++) {
                uint64_t now = split_run(&s, got);
                first = first ? first : now; // the same plan gives the same bits every time
                wrong += now != first;
                for (int k = 0; right && k < n; k++)
                    wrong += !(fabsf(got[k] - right[k]) <= tolerance);
            }
            if (wrong)
                test_note("%s, %s, %s: wrong %d times", m->name, policy, name, wrong);
            CHECK_INT(wrong, 0);
        }
        CHECK(offered >= 1);
        CHECK(executor_get_stats(s.x)->joins > 0 && executor_get_stats(s.x)->work[d.npu].flops > 0);
    }
    split_close(&s);
    free(got);
    model_close(model);
}

static void on_soc(struct machine *m)
{
    struct model *model = stories();
    float *right = calloc((size_t)model->shape.n_vocab, sizeof *right);
    uint64_t digest = 0;
    expect(m, model, "null", right, &digest);
    // The simulated devices carry the reference: slices add up to the same bits.
    static const char *const policy[] = {"weight_centric:partner=cpu", "weight_centric:partner=gpu",
                                         "template:npu_share=25 %"};
    int gpu = machines_index(m, DEVICE_GPU);
    for (int i = 0; i < 3; i++)
        if (i != 1 || gpu >= 0)
            every_scheme(m, policy[i], right, &digest, 0);
    free(right);
    model_close(model);
}

static void test_simulated_machines_with_values(void)
{
    struct machine *m = machines_soc("configs/soc/sd8gen3.cfg", true);
    if (m)
        on_soc(m);
    machines_close(m);
}

static void timing(struct machine *m)
{
    if (machines_index(m, DEVICE_NPU) >= 0)
        every_scheme(m, "weight_centric", NULL, NULL, 0);
}

static void test_simulated_machines_without_values(void)
{
    machines_each_soc(false, timing);
}

// Real threads. `exact` keeps activations in F32, so that the devices agree closely and what is
// left of a difference would be a race.
static void on_host(enum device_kind partner, const char *policy)
{
    struct machine *m = machines_host("cpu = { exact = true; }; npu = { exact = true; };"
                                      "gpu = { activations = \"float\"; };");
    if (!m)
        return;
    struct model *model = stories();
    float *right = calloc((size_t)model->shape.n_vocab, sizeof *right);
    uint64_t ignored;
    expect(m, model, "cpu_only", right, &ignored);
    if (machines_index(m, partner) < 0)
        test_skip("this host has no %s", device_kind_name(partner));
    else
        every_scheme(m, policy, right, NULL, 2e-3);
    free(right);
    model_close(model);
    machines_close(m);
}

static void test_host_cpu_and_npu(void)
{
    on_host(DEVICE_CPU, "weight_centric:partner=cpu");
}

static void test_host_gpu_and_npu(void)
{
    on_host(DEVICE_GPU, "weight_centric:partner=gpu");
}

// ---- what machines cannot offer ----

static void test_schemes_say_what_they_miss(void)
{
    struct machine *m = machines_soc("configs/soc/sd8gen3.cfg", false);
    struct machine_desc all;
    struct arena a = {0};
    if (!m)
        return;
    machine_describe(m, &all);
    for (size_t i = 0; i < sync_registry_count; i++) {
        const struct sync_ops *s;
        const void *options;
        struct err e = {0};
        const char *name = sync_registry[i]->name;
        CHECK_OK(sync_parse(name, &a, &s, &options, &e), &e);
        if (!strcmp(name, "futex"))
            continue;
        CHECK_OK(s->offered(&all, options, &e), &e); // this SoC has flags and callbacks
        bool flags =
            !strcmp(name, "poll") || !strcmp(name, "sleep_poll") || !strcmp(name, "queue_order");
        for (int d = 0; d < all.n_devices; d++)
            for (int what = 0; what < 2; what++) {
                struct machine_desc less = all;
                *(what ? &less.device[d].event : &less.device[d].flag) = false;
                bool lost = what ? !strcmp(name, "event") : flags;
                e = (struct err){0};
                int rc = s->offered(&less, options, &e);
                CHECK_INT(rc, lost ? ERR_UNSUPPORTED : 0);
                if (lost) {
                    CHECK_STR(e.key, all.device[d].name);
                    CHECK_HAS(e.msg, name);
                }
            }
    }
    arena_fini(&a);
    machines_close(m);
}

// futex needs one device whose own thread wakes the host; the others need a callback at least.
static void test_futex_needs_a_thread(void)
{
    struct machine *m = machines_soc("configs/soc/sd8gen3.cfg", false);
    struct machine_desc d;
    struct err e = {0};
    if (!m)
        return;
    machine_describe(m, &d); // a phone: nobody but drivers
    CHECK_INT(sync_futex.offered(&d, NULL, &e), ERR_UNSUPPORTED);
    CHECK_HAS(e.msg, "futex");
    CHECK_HAS(e.msg, "event"); // what to use
    d.device[d.cpu].wake = true;
    CHECK_OK(sync_futex.offered(&d, NULL, &e), &e);
    d.device[d.npu].event = false;
    CHECK_INT(sync_futex.offered(&d, NULL, &e), ERR_UNSUPPORTED);
    CHECK_STR(e.key, "npu");
    d.device[d.npu].wake = true; // a thread of its own is enough
    CHECK_OK(sync_futex.offered(&d, NULL, &e), &e);
    machines_close(m);
}

// ---- a device that reports nothing before its driver's finish ----

// A machine where a flag word is never seen must not be offered what polls it, whoever asks.
static void test_no_flag_before_finish(void)
{
    const enum fake_kind kinds[] = {FAKE_GPU, FAKE_NPU};
    struct fake *f = fake_open(kinds, 2, 0.5, 1);
    struct model *model = stories();
    struct split s;
    f->dev[0].base.caps.flag = false;
    f->dev[0].base.caps.event = false;
    if (split_open(&s, &f->m, model, "weight_centric:partner=gpu")) {
        int offered = 0;
        for (size_t i = 0; i < sync_registry_count; i++) {
            const struct sync_ops *sync;
            const void *options;
            struct err e = {0};
            CHECK_OK(sync_parse(sync_registry[i]->name, &s.arena, &sync, &options, &e), &e);
            if (executor_set_sync(s.x, sync, options, &e) < 0) {
                CHECK_STR(e.key, "gpu"); // who it is
                continue;
            }
            offered++;
            CHECK_STR(sync->name, "driver");
            split_run(&s, NULL);
        }
        CHECK_INT(offered, 1);
    }
    split_close(&s);
    model_close(model);
    fake_close(&f->m);
}

// Every way of waiting that a join uses on a machine of two devices, one with a thread that wakes.
static enum wait_mode waited[MACHINE_MAX_DEVICES][8];
static int waits[MACHINE_MAX_DEVICES], first_to_last[8], n_waits;

static int spy_wait(struct device *d, uint64_t seq, enum wait_mode mode, struct err *e)
{
    waited[d->index][waits[d->index]++] = mode;
    first_to_last[n_waits++] = d->index;
    return fake_wait(d, seq, mode, e);
}

static void test_futex_waits_for_the_last_one_first(void)
{
    const enum fake_kind kinds[] = {FAKE_CPU, FAKE_GPU};
    struct fake *f = fake_open(kinds, 2, 0, 1);
    struct device_ops spy = *f->dev[0].base.ops;
    struct arena a = {0};
    const struct sync_ops *sync;
    const void *options;
    struct err e = {0};
    spy.wait = spy_wait;
    f->dev[0].base.ops = f->dev[1].base.ops = &spy;
    f->dev[0].base.caps.wake = true;
    f->dev[1].base.caps.flag = false; // nothing to see: it is not polled
    CHECK_OK(sync_parse("futex:spin=0 us", &a, &sync, &options, &e), &e);
    const struct ticket t[] = {{0, 0, 100}, {1, 0, 900}};
    CHECK_OK(sync->join(&f->m, options, t, 2, &e), &e);
    CHECK_INT(n_waits, 2);
    CHECK_INT(first_to_last[0], 1);
    CHECK_INT(first_to_last[1], 0);
    CHECK_INT(waited[0][0], WAIT_FUTEX);
    CHECK_INT(waited[1][0], WAIT_EVENT);
    CHECK_OK(sync->join(&f->m, options, t, 0, &e), &e); // nothing to wait for
    CHECK_INT(n_waits, 2);
    arena_fini(&a);
    fake_close(&f->m);
}

// Where the control plane waits is an option of all of them.
static enum core_class placed;
static void spy_place(struct machine *m, enum core_class core)
{
    (void)m;
    placed = core;
}

static void test_every_scheme_has_a_core(void)
{
    const enum fake_kind kinds[] = {FAKE_CPU, FAKE_GPU};
    struct fake *f = fake_open(kinds, 2, 0.5, 1);
    struct machine_ops spy = *f->m.ops;
    struct arena a = {0};
    spy.place = spy_place;
    f->m.ops = &spy;
    for (size_t i = 0; i < sync_registry_count; i++) {
        char spec[64];
        const struct sync_ops *sync;
        const void *options;
        struct err e = {0};
        const struct ticket t[] = {{0, 0, 0}, {1, 0, 0}};
        snprintf(spec, sizeof spec, "%s:core=little", sync_registry[i]->name);
        CHECK_OK(sync_parse(spec, &a, &sync, &options, &e), &e);
        placed = CORE_ANY;
        CHECK_OK(sync->join(&f->m, options, t, 2, &e), &e);
        CHECK_INT(placed, CORE_LITTLE);
        placed = CORE_ANY; // not asked for
        CHECK_OK(sync_parse(sync->name, &a, &sync, &options, &e), &e);
        CHECK_OK(sync->join(&f->m, options, t, 2, &e), &e);
        CHECK_INT(placed, CORE_ANY);
    }
    arena_fini(&a);
    fake_close(&f->m);
}

// ---- what they cost, by hand ----

struct cost {
    double us;      // from the submission to the return of the join
    double queued;  // of that, the submission
    double control; // J of the control core
};

// One long task on an awake device, joined by a scheme. `due`: predicted length, us.
static struct cost one_join(struct machine *m, int device, const char *spec, double due)
{
    struct model *model = rig_model(&encoding_q8_0);
    struct device *d = m->device[device];
    const struct sync_ops *s;
    const void *options;
    struct arena a = {0};
    struct cost out = {0, 0, 0};
    struct rig r;
    struct graph g;
    struct task t;
    struct err e = {0};
    if (!model || !rig_open(&r, m, model))
        return out;
    m->ops->reset(m);
    CHECK_OK(sync_parse(spec, &a, &s, &options, &e), &e);
    rig_task(&r, d, 9, &g, 33, 0, &t); // gate_up
    rig_bind(r.there, &t);
    // Long enough to sleep in: a wide operator of the model, many times over.
    static struct op wide;
    wide = *t.op;
    wide.m = 1 << 15;
    wide.k = 1 << 12;
    t.op = &wide;
    t.m1 = wide.m;
    struct static_graph sg = {&wide, 0, wide.m, t.n_pad, 0};
    if (t.n_pad)
        CHECK_OK(d->ops->prepare(d, &sg, &t.graph, &e), &e);
    for (int i = 0; i < 3; i++)
        rig_wait(d, rig_submit(d, &t));
    struct energy before, after;
    m->ops->energy(m, &before);
    int64_t begin = m->ops->now(m);
    struct ticket k = {.device = device};
    k.seq = rig_submit(d, &t);
    out.queued = (double)(m->ops->now(m) - begin) / (double)PS_PER_US;
    k.due = begin + (int64_t)(due * (double)PS_PER_US);
    CHECK_OK(s->join(m, options, &k, 1, &e), &e);
    out.us = (double)(m->ops->now(m) - begin) / (double)PS_PER_US;
    m->ops->energy(m, &after);
    out.control = after.control - before.control;
    CHECK_INT(d->ops->poll(d, k.seq, &e), 1);
    rig_close(&r);
    arena_fini(&a);
    model_close(model);
    return out;
}

// The costs of the configuration, pinned here so that a new calibration does not move the test.
static struct machine *pinned(void)
{
    static const char *const set[][2] = {
        {"gpu.queue.finish", "400 us"},   {"gpu.queue.event", "60 us"},
        {"npu.queue.finish", "100 us"},   {"npu.queue.event", "60 us"},
        {"control.pause", "1 us"},        {"control.granularity", "80 us"},
        {"control.wake", "10 us"},        {"gpu.queue.ramp", "0 us"},
        {"gpu.queue.ramp_clock", "100 %"}};
    struct conf *c;
    struct machine *m = NULL;
    struct err e = {0};
    if (!CHECK_OK(conf_open("configs/soc/sd8gen3.cfg", &c, &e), &e))
        return NULL;
    for (size_t i = 0; i < sizeof set / sizeof set[0]; i++)
        CHECK_OK(conf_override(c, set[i][0], set[i][1], &e), &e);
    CHECK_OK(machine_soc_open(c, false, &m, &e), &e);
    conf_close(c);
    return m;
}

static void test_costs_follow_from_the_definitions(void)
{
    struct machine *m = pinned();
    if (!m)
        return;
    const enum device_kind kind[] = {DEVICE_GPU, DEVICE_NPU};
    const double finish[] = {400, 100};
    for (int i = 0; i < 2; i++) {
        int d = machines_index(m, kind[i]);
        struct cost poll = one_join(m, d, "poll", 0);
        struct cost driver = one_join(m, d, "driver", 0);
        struct cost event = one_join(m, d, "event", 0);
        struct cost sleepy = one_join(m, d, "sleep_poll", poll.us);
        struct cost blind = one_join(m, d, "sleep_poll", 0);
        struct cost late = one_join(m, d, "sleep_poll", poll.us + 500);
        CHECK(poll.us > 1000); // worth sleeping for
        // A polled flag is seen within one turn; the driver and the callback come later by their
        // own cost.
        CHECK_NEAR(driver.us - poll.us, finish[i], 1.001);
        CHECK_NEAR(event.us - poll.us, 60, 1.001);
        CHECK(poll.us <= event.us && event.us <= driver.us);
        // A good prediction costs nothing in time and saves most of the energy; none is polling;
        // a bad one wakes up late: whole granules of sleep until 100 us (the margin) before the
        // predicted end, and the wake-up.
        CHECK_NEAR(sleepy.us, poll.us, 1.001);
        CHECK(sleepy.control < 0.5 * poll.control);
        CHECK_NEAR(blind.us, poll.us, 1e-9);
        CHECK_NEAR(blind.control, poll.control, 1e-12);
        double nap = ceil((poll.us + 500 - 100 - late.queued) / 80) * 80;
        CHECK_NEAR(late.us, late.queued + nap + 10, 1.001);
        CHECK(event.control < 0.2 * poll.control);
    }
    machines_close(m);
}

static double whole_run(struct machine *m, const struct model *model, const char *sync)
{
    struct split s;
    double us = -1;
    m->ops->reset(m);
    if (split_open(&s, m, model, "weight_centric:partner=gpu") && use(&s, sync)) {
        split_run(&s, NULL);
        split_run(&s, NULL); // all awake
        int64_t begin = m->ops->now(m);
        split_run(&s, NULL);
        us = (double)(m->ops->now(m) - begin) / (double)PS_PER_US;
    }
    split_close(&s);
    return us;
}

static void test_schemes_rank_in_a_whole_run(void)
{
    struct machine *m = pinned();
    struct model *model = stories();
    if (!m)
        return;
    double driver = whole_run(m, model, "driver"), event = whole_run(m, model, "event");
    double poll = whole_run(m, model, "poll"), order = whole_run(m, model, "queue_order");
    // Every matmul of four layers and the head is handed over twice per step, two steps: each
    // hand-over to the driver costs at least the NPU's 100 us more than polling.
    double handovers = 2 * (4 * 5 + 1) * 2;
    CHECK(driver - poll >= handovers / 2 * 100);
    CHECK(event > poll && event < driver);
    CHECK(order > 0 && order <= poll); // never waits for more than poll does
    model_close(model);
    machines_close(m);
}

TESTS(contract_syncs, T(test_simulated_machines_with_values),
      T(test_simulated_machines_without_values), T(test_host_cpu_and_npu), T(test_host_gpu_and_npu),
      T(test_schemes_say_what_they_miss), T(test_futex_needs_a_thread),
      T(test_no_flag_before_finish), T(test_futex_waits_for_the_last_one_first),
      T(test_every_scheme_has_a_core), T(test_costs_follow_from_the_definitions),
      T(test_schemes_rank_in_a_whole_run))
