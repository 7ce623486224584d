// SPDX-License-Identifier: GPL-3.0-or-later
// A run with replay and one without differ in nothing but time: digests, statistics, energies and
// events, bit for bit, for every policy and scheme, several SoCs, models and lengths, random plans
// on random SoCs, fresh machines and machines that remember. And replay takes place where it can,
// and only there.
#include "base/rng.h"
#include "engine/profile.h"
#include "engine/session.h"
#include "tests/engine/plans.h"
#include "tests/models/soc_util.h"

static struct model *shape(const char *name)
{
    char path[128];
    struct model *m = NULL;
    struct err e = {0};
    snprintf(path, sizeof path, "configs/model/%s.cfg", name);
    CHECK_OK(model_open(path, &m, &e), &e);
    return m;
}

// A machine that replays and one that does not, with one cost table.
struct pair {
    struct machine *with, *without;
    struct cost_table *cost;
};

static bool pair_open(struct pair *p, const char *soc, const char *overrides)
{
    char text[2048];
    snprintf(text, sizeof text, "%s%sreplay=false", overrides ? overrides : "",
             overrides && *overrides ? ";" : "");
    *p = (struct pair){.with = soc_open(soc, overrides, false),
                       .without = soc_open(soc, text, false),
                       .cost = cost_create()};
    return p->with && p->without;
}

static void pair_close(struct pair *p)
{
    soc_close(p->with);
    soc_close(p->without);
    cost_destroy(p->cost);
}

static void same_device(const struct session_device *a, const struct session_device *b)
{
    CHECK(!memcmp(&a->stats, &b->stats, sizeof a->stats));
    CHECK(!memcmp(&a->work, &b->work, sizeof a->work));
    CHECK(a->utilisation == b->utilisation);
    CHECK(a->energy_j == b->energy_j);
}

// One session on both; false: it cannot be run, on either for the same reason.
static bool same(const struct pair *p, const struct session_request *request)
{
    struct session_request q = *request;
    struct session_result a, b;
    struct err e = {0}, f = {0};
    q.cost = p->cost;
    q.machine = p->with;
    int rc = session_run(&q, &a, &e);
    q.machine = p->without;
    CHECK_INT(session_run(&q, &b, &f), rc);
    if (rc < 0) {
        CHECK_STR(e.msg, f.msg);
        return false;
    }
    bool equal = CHECK(a.digest == b.digest);
    CHECK(a.plan_prefill == b.plan_prefill && a.plan_decode == b.plan_decode);
    CHECK(a.ttft_ms == b.ttft_ms && a.total_ms == b.total_ms);
    CHECK(a.energy_j == b.energy_j && a.energy_prefill_j == b.energy_prefill_j);
    CHECK(a.bytes_moved == b.bytes_moved && a.bytes_decode == b.bytes_decode);
    CHECK(a.submissions == b.submissions && a.joins == b.joins);
    for (int i = 0; i < a.n_devices; i++)
        same_device(&a.device[i], &b.device[i]);
    CHECK_INT(p->with->ops->now(p->with), p->without->ops->now(p->without));
    CHECK(machine_soc_events(p->with) == machine_soc_events(p->without));
    CHECK(machine_soc_dram_bytes(p->with) == machine_soc_dram_bytes(p->without));
    CHECK_INT((long long)machine_soc_replayed(p->without), 0);
    CHECK_INT((long long)machine_soc_recalled(p->without), 0);
    if (!equal)
        test_note("%s, %s, %d + %d tokens of %s", q.policy->name, q.sync->name, q.n_prompt, q.n_gen,
                  q.model->shape.name);
    session_result_fini(&a);
    session_result_fini(&b);
    return true;
}

static const char *const policies[] = {
    "gpu_only",
    "npu_only",
    "cpu_only",
    "layer:decode=npu",
    "layer:decode=flexible,partner=cpu",
    "weight_centric",
    "weight_centric:share=30 %",
    "activation_centric",
    "hybrid",
    "padding",
    "pipe:decode=npu",
    "online_prepare",
    "chunked:chunk=32",
    "hetero_tensor",
    "hetero_tensor:margin=0 %,partner=cpu,parts=32",
    "null",
};
static const char *const syncs[] = {
    "driver",
    "event",
    "poll:core=little",
    "poll:ask=1",
    "sleep_poll",
    "sleep_poll:margin=20 us,granularity=1 us,core=middle",
    "queue_order:margin=50 us",
};
enum {
    POLICIES = sizeof policies / sizeof policies[0],
    SYNCS = sizeof syncs / sizeof syncs[0],
};

struct tally {
    int sessions;
    uint64_t layers, passes;
};

// Every policy under every scheme, scheme by scheme, so that decode passes come again.
static void all_sessions(struct pair *p, const struct model *model, int prompt, int gen,
                         struct tally *t)
{
    struct err e = {0};
    struct arena a;
    arena_init(&a);
    struct session_request q = {
        .model = model, .n_prompt = prompt, .n_gen = gen, .sampler = {.top_p = 1}};
    if (!CHECK_OK(session_profile(p->without, model, prompt, gen, p->cost, &e), &e))
        return;
    for (int s = 0; s < SYNCS; s++) {
        if (!CHECK_OK(sync_parse(syncs[s], &a, &q.sync, &q.sync_options, &e), &e))
            continue;
        CHECK_OK(profile_sync(p->without, model, q.sync, q.sync_options, prompt, p->cost, &e), &e);
        for (int i = 0; i < POLICIES; i++) {
            if (!CHECK_OK(policy_parse(policies[i], &a, &q.policy, &q.policy_options, &e), &e) ||
                !same(p, &q))
                continue;
            t->sessions++;
            t->layers += machine_soc_replayed(p->with);
            t->passes += machine_soc_recalled(p->with);
        }
    }
    arena_fini(&a);
}

static void test_every_policy_and_scheme(void)
{
    static const struct {
        const char *soc, *overrides, *model;
        int prompt, gen;
    } world[] = {
        {"sd8gen3", NULL, "llama3-8b", 256, 4},
        {"sd8gen3", "gpu.queue.depth=8;npu.queue.depth=3", "qwen2-1.5b", 135, 3},
        {"sd8gen3", "cpu.clock.level=2;gpu.clock.level=3", "llama3.2-1b", 1, 5},
        {"dimensity9300", NULL, "llama3.2-3b", 300, 3},
        {"a18", "npu.arithmetic=int8", "tinyllama-1.1b", 64, 3},
        {"orin", NULL, "llama3-8b", 700, 2},
        {"sd8elite", NULL, "internlm2-1.8b", 33, 3},
    };
    struct tally t = {0};
    for (size_t i = 0; i < sizeof world / sizeof world[0]; i++) {
        char path[128];
        struct pair p;
        struct model *model = shape(world[i].model);
        snprintf(path, sizeof path, "configs/soc/%s.cfg", world[i].soc);
        if (model && pair_open(&p, path, world[i].overrides)) {
            all_sessions(&p, model, world[i].prompt, world[i].gen, &t);
            pair_close(&p);
        }
        model_close(model);
    }
    CHECK(t.sessions > 500);
    CHECK(t.layers > 20 * (uint64_t)t.sessions); // of up to 32 in each of 2 to 40 passes
    CHECK(t.passes > (uint64_t)t.sessions / 4);
    test_note("%d sessions, %.1f layers and %.2f passes of each not simulated", t.sessions,
              (double)t.layers / t.sessions, (double)t.passes / t.sessions);
}

// --- random plans on random SoCs

static struct rng *dice;

static int random_plan(const struct graph *g, const struct machine_desc *d,
                       const struct cost_table *c, const void *options, struct plan *out,
                       struct err *e)
{
    (void)c, (void)e;
    const uint64_t *seed = options;
    struct rng *rng = rng_create(*seed, "plan");
    plans_random(g, d, g->n_tokens > 1 ? 3 : 1, 0.3, rng, out);
    rng_destroy(rng);
    return 0;
}

static const struct policy_ops policy_random = {.name = "random", .plan = random_plan};

static const char *pick(const char *const *choices, size_t n)
{
    return choices[rng_below(dice, n)];
}

static void random_overrides(char *out, size_t size)
{
    static const char *const key[] = {
        "gpu.queue.submit", "gpu.queue.restart", "gpu.queue.launch", "gpu.queue.finish",
        "gpu.queue.idle",   "gpu.queue.wake",    "gpu.queue.ramp",   "npu.queue.submit",
        "npu.queue.launch", "npu.queue.idle",    "npu.queue.wake",   "npu.queue.ramp",
        "cpu.queue.launch", "cpu.queue.idle",    "cpu.queue.event",  "control.wake",
        "dram.fabric",
    };
    static const char *const time[] = {"0 us", "1 us", "7 us", "40 us", "313 us", "1 ms"};
    static const char *const depth[] = {"1", "2", "5", "64"};
    static const char *const pause[] = {"1 ns", "123 ns", "5 us"};
    static const char *const link[] = {"3 GB/s", "20 GB/s", "80 GB/s"};
    size_t at = 0;
    for (size_t i = 0; i < sizeof key / sizeof key[0]; i++)
        if (rng_below(dice, 2))
            at += (size_t)snprintf(out + at, size - at, "%s=%s;", key[i],
                                   strcmp(key[i], "dram.fabric") ? pick(time, 6) : "90 ns");
    snprintf(out + at, size - at,
             "gpu.queue.depth=%s;npu.queue.depth=%s;cpu.queue.depth=%s;control.pause=%s;"
             "gpu.queue.link=%s;npu.queue.link=%s;npu.arch.side=8",
             pick(depth, 4), pick(depth, 4), pick(depth, 4), pick(pause, 3), pick(link, 3),
             pick(link, 3));
}

static void test_random_plans_on_random_socs(void)
{
    enum { SOCS = 120, PLANS = 6 };
    struct model_shape s = {.name = "narrow",
                            .arch = "llama",
                            .n_layer = 9,
                            .d_model = 64,
                            .n_head = 4,
                            .n_head_kv = 2,
                            .d_head = 16,
                            .d_ff = 96,
                            .n_vocab = 64,
                            .n_ctx = 256,
                            .norm_eps = 1e-5,
                            .weight_bits = 4.5};
    struct model *model = NULL;
    struct err e = {0};
    uint64_t layers = 0, passes = 0;
    int sessions = 0;
    s.rope = (struct rope){.dim = 16, .theta = 10000, .factor = 1};
    if (!CHECK_OK(model_create(&s, &model, &e), &e))
        return;
    dice = rng_create(5, "socs");
    // What the unchanged SoC takes: on the others expectations are wrong, in both directions.
    struct pair usual;
    if (!pair_open(&usual, SOC_DEFAULT, "npu.arch.side=8") ||
        !CHECK_OK(session_profile(usual.with, model, 40, 4, usual.cost, &e), &e))
        return;
    for (int i = 0; i < SOCS; i++) {
        char text[2048];
        struct pair p;
        struct arena a;
        uint64_t seed;
        arena_init(&a);
        random_overrides(text, sizeof text);
        if (!pair_open(&p, SOC_DEFAULT, text))
            break;
        for (int j = 0; j < PLANS; j++) {
            struct session_request q = {.model = model,
                                        .policy = &policy_random,
                                        .policy_options = &seed,
                                        .n_prompt = 1 + (int)rng_below(dice, 40),
                                        .n_gen = 4,
                                        .sampler = {.top_p = 1}};
            seed = rng_below(dice, 1000);
            CHECK_OK(sync_parse(syncs[rng_below(dice, SYNCS)], &a, &q.sync, &q.sync_options, &e),
                     &e);
            // Without expectations, with, from memory; all of it on machines that remember others'.
            for (int turn = 0; turn < 3; turn++) {
                const struct pair use = {p.with, p.without, turn ? usual.cost : p.cost};
                if (!CHECK(same(&use, &q)))
                    test_note("%s", text);
                sessions++;
                layers += machine_soc_replayed(p.with);
                passes += machine_soc_recalled(p.with);
            }
        }
        pair_close(&p);
        arena_fini(&a);
    }
    CHECK(layers > (uint64_t)sessions);
    CHECK(passes >= (uint64_t)sessions);
    test_note("%d sessions, %.1f layers and %.2f passes of each not simulated", sessions,
              (double)layers / sessions, (double)passes / sessions);
    pair_close(&usual);
    rng_destroy(dice);
    model_close(model);
}

// --- expectations

struct scaled {
    struct cost_table *table;
    double factor;
};

static void scale_row(void *ctx, const struct cost_row *r)
{
    struct scaled *s = ctx;
    enum op_kind kind = OP_EMBED;
    if (!strcmp(r->kind, op_kind_name(OP_MATMUL)))
        cost_add_matmul(s->table, r->device, (enum operand_order)r->order, r->k, r->x, r->n,
                        r->ps * s->factor);
    else
        for (; kind < OP_KINDS; kind++)
            if (!strcmp(r->kind, op_kind_name(kind)))
                cost_add_op(s->table, r->device, kind, r->k, r->n, r->x, r->ps * s->factor);
}

// Tasks are expected to take 3 % longer than they do, and nobody sleeps before it has added up to 5
// ms. Until then the machine is in the same state again and again; only expectations differ.
static void test_expectations_that_run_away(void)
{
    static const char *const schemes[] = {"sleep_poll:margin=5 ms", "queue_order:margin=5 ms",
                                          "sleep_poll:margin=9 ms"};
    struct pair p;
    struct err e = {0};
    struct arena a;
    arena_init(&a);
    if (!pair_open(&p, SOC_DEFAULT, NULL) ||
        !CHECK_OK(session_profile(p.with, soc_llama3_8b(), 64, 6, p.cost, &e), &e))
        return;
    struct scaled longer = {cost_create(), 1.03};
    cost_walk(p.cost, scale_row, &longer);
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        const struct pair use = {p.with, p.without, longer.table};
        struct session_request q = {
            .model = soc_llama3_8b(), .n_prompt = 64, .n_gen = 6, .sampler = {.top_p = 1}};
        CHECK_OK(sync_parse(schemes[i], &a, &q.sync, &q.sync_options, &e), &e);
        CHECK_OK(policy_parse("weight_centric:share=60 %", &a, &q.policy, &q.policy_options, &e),
                 &e);
        CHECK(same(&use, &q));
    }
    cost_destroy(longer.table);
    pair_close(&p);
    arena_fini(&a);
}

// --- when it takes place

static uint64_t digest_of(struct machine *m, const struct model *model, const char *sync)
{
    struct session_result r;
    struct err e = {0};
    struct arena a;
    const int32_t prompt[64] = {0};
    uint64_t d = 0;
    struct cost_table *empty = cost_create();
    arena_init(&a);
    struct session_request q = {.machine = m,
                                .model = model,
                                .cost = empty,
                                .n_prompt = 64,
                                .n_gen = 3,
                                .prompt = prompt,
                                .sampler = {.top_p = 1}};
    if (CHECK_OK(policy_parse("weight_centric:share=30 %", &a, &q.policy, &q.policy_options, &e),
                 &e) &&
        CHECK_OK(sync_parse(sync, &a, &q.sync, &q.sync_options, &e), &e) &&
        CHECK_OK(session_run(&q, &r, &e), &e)) {
        d = r.digest;
        session_result_fini(&r);
    }
    arena_fini(&a);
    cost_destroy(empty);
    return d;
}

static void test_most_layers_are_replayed(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    uint64_t d = digest_of(m, soc_llama3_8b(), "event");
    // Three passes of 32 layers, of which at least the first two are simulated.
    CHECK(machine_soc_replayed(m) > 3 * 25 && machine_soc_replayed(m) <= 3 * 30);
    CHECK_INT((long long)machine_soc_recalled(m), 0);
    CHECK(digest_of(m, soc_llama3_8b(), "event") == d);
    CHECK_INT((long long)machine_soc_recalled(m), 3);
    CHECK(digest_of(m, soc_llama3_8b(), "driver") != d);
    CHECK_INT((long long)machine_soc_recalled(m), 0);
    m->ops->reset(m);
    CHECK_INT((long long)machine_soc_replayed(m), 0);
    soc_close(m);
}

static void test_what_goes_on_changing_is_not_replayed(void)
{
    static const char *const overrides[] = {"gpu.game.rate=30.0", "thermal.enabled=true",
                                            "dram.slc=6 MiB", "replay=false"};
    for (size_t i = 0; i < sizeof overrides / sizeof overrides[0]; i++) {
        struct machine *m = soc_open(SOC_DEFAULT, overrides[i], false);
        for (int again = 0; m && again < 2; again++) {
            CHECK(digest_of(m, soc_llama3_8b(), "event") != 0);
            CHECK_INT((long long)machine_soc_replayed(m), 0);
            CHECK_INT((long long)machine_soc_recalled(m), 0);
        }
        soc_close(m);
    }
}

static void count_slice(void *user, const char *track, const char *name, int64_t begin, int64_t end)
{
    (void)track, (void)name, (void)begin, (void)end;
    ++*(int *)user;
}

static void ignore_counter(void *user, const char *track, int64_t time, double value)
{
    (void)user, (void)track, (void)time, (void)value;
}

static void test_a_trace_shows_every_task(void)
{
    int slices = 0;
    const struct sim_trace_sink sink = {&slices, count_slice, ignore_counter};
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    uint64_t d = digest_of(m, soc_llama3_8b(), "event");
    machine_soc_trace(m, &sink);
    CHECK(digest_of(m, soc_llama3_8b(), "event") == d);
    CHECK_INT((long long)machine_soc_replayed(m), 0);
    CHECK_INT((long long)machine_soc_recalled(m), 0);
    CHECK(slices > 3 * 32 * 12);
    machine_soc_trace(m, NULL);
    CHECK(digest_of(m, soc_llama3_8b(), "event") == d);
    CHECK_INT((long long)machine_soc_recalled(m), 3); // remembered from before the trace
    soc_close(m);
}

static void test_values_and_cycles_are_not_replayed(void)
{
    struct err e = {0};
    struct model *model = shape("demo-60m");
    if (!model)
        return;
    model->shape.n_layer = 6;
    struct machine *cycle = soc_open(SOC_DEFAULT, "detail=cycle", false);
    digest_of(cycle, model, "event");
    CHECK_INT((long long)machine_soc_replayed(cycle), 0);
    soc_close(cycle);
    struct model *tiny = plans_model(4, "llama", true);
    struct machine *values = soc_open(SOC_DEFAULT, NULL, true);
    struct cost_table *empty = cost_create();
    struct session_result r;
    struct arena a;
    arena_init(&a);
    const int32_t prompt[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct session_request q = {.machine = values,
                                .model = tiny,
                                .cost = empty,
                                .n_prompt = 8,
                                .n_gen = 3,
                                .prompt = prompt,
                                .sampler = {.top_p = 1}};
    if (CHECK_OK(policy_parse("gpu_only", &a, &q.policy, &q.policy_options, &e), &e) &&
        CHECK_OK(sync_parse("event", &a, &q.sync, &q.sync_options, &e), &e) &&
        CHECK_OK(session_run(&q, &r, &e), &e)) {
        CHECK_INT((long long)machine_soc_replayed(values), 0);
        CHECK_INT((long long)machine_soc_recalled(values), 0);
        session_result_fini(&r);
    }
    arena_fini(&a);
    cost_destroy(empty);
    soc_close(values);
    model_close(tiny);
    model_close(model);
}

TESTS(models_replay, T(test_every_policy_and_scheme), T(test_random_plans_on_random_socs),
      T(test_expectations_that_run_away), T(test_most_layers_are_replayed),
      T(test_what_goes_on_changing_is_not_replayed), T(test_a_trace_shows_every_task),
      T(test_values_and_cycles_are_not_replayed))
