// SPDX-License-Identifier: GPL-3.0-or-later
// The optimum of the cost model on simulated SoCs: nothing in its space is below it, its own plans
// have no gap, and the model is near what a simulation of the plans takes, nearer than the sums of
// the policies.
#include "explore/optimum.h"

#include "engine/profile.h"
#include "engine/session.h"
#include "tests/explore/world.h"

enum { GEN = 5 };

static const char *const policies[] = {
    "gpu_only", "npu_only",      "layer", "weight_centric",
    "padding",  "hetero_tensor", "pipe",  "hetero_tensor:solver=chain",
};
enum { POLICIES = sizeof policies / sizeof policies[0] };

// The parts of the space.
static const char *const parts[] = {"hetero_tensor:solver=chain,rest=any", "gpu_only", "cpu_only",
                                    "npu_only"};
enum { PARTS = sizeof parts / sizeof parts[0] };

// A machine, a model and a cost table under a scheme.
struct rig {
    struct world w;
    struct machine *m;
    const struct model *model;
    struct machine_desc d;
    struct cost_table *cost;
    struct arena arena;
    const struct sync_ops *sync;
    const void *sync_options;
    struct optimum_session s;
};

static bool rig_open(struct rig *r, const char *soc, const char *model, int n_prompt)
{
    struct err e = {0};
    *r = (struct rig){.cost = cost_create()};
    world_init(&r->w);
    arena_init(&r->arena);
    if (!CHECK_OK(world_open(&r->w.base, soc, NULL, NULL, 0, &r->m, &e), &e) ||
        !CHECK_OK(world_model(&r->w.base, model, NULL, &r->model, &e), &e) ||
        !CHECK_OK(session_profile(r->m, r->model, n_prompt, GEN, r->cost, &e), &e))
        return false;
    machine_describe(r->m, &r->d);
    r->s = (struct optimum_session){r->model, &r->d, r->cost, n_prompt, GEN};
    return true;
}

static bool rig_sync(struct rig *r, const char *sync)
{
    struct err e = {0};
    return CHECK_OK(sync_parse(sync, &r->arena, &r->sync, &r->sync_options, &e), &e) &&
           CHECK_OK(
               profile_sync(r->m, r->model, r->sync, r->sync_options, r->s.n_prompt, r->cost, &e),
               &e);
}

static void rig_close(struct rig *r)
{
    if (r->m)
        r->m->ops->close(r->m);
    cost_destroy(r->cost);
    arena_fini(&r->arena);
    world_fini(&r->w);
}

static bool predict(struct rig *r, const char *spec, struct optimum_times *out)
{
    const struct policy_ops *policy;
    const void *options;
    struct err e = {0};
    return CHECK_OK(policy_parse(spec, &r->arena, &policy, &options, &e), &e) &&
           CHECK_OK(optimum_predict(&r->s, policy, options, out, &e), &e);
}

static bool simulate(struct rig *r, const char *spec, struct session_result *out)
{
    struct session_request q = {.machine = r->m,
                                .model = r->model,
                                .sync = r->sync,
                                .sync_options = r->sync_options,
                                .cost = r->cost,
                                .n_prompt = r->s.n_prompt,
                                .n_gen = GEN,
                                .sampler = {.top_p = 1}};
    struct err e = {0};
    return CHECK_OK(policy_parse(spec, &r->arena, &q.policy, &q.policy_options, &e), &e) &&
           CHECK_OK(session_run(&q, out, &e), &e);
}

static void test_nothing_in_the_space_is_below(void)
{
    static const struct {
        const char *soc, *model, *sync;
        int n;
    } c[] = {{"sd8gen3", "llama3-8b", "queue_order", 256},
             {"sd8gen3", "tinyllama-1.1b", "driver", 300},
             {"sd8elite", "qwen2-1.5b", "poll", 64},
             {"a18", "llama3.2-1b", "event", 135}};
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct rig r;
        struct optimum_times best, finer, either, t;
        struct err e = {0};
        if (rig_open(&r, c[i].soc, c[i].model, c[i].n) && rig_sync(&r, c[i].sync) &&
            CHECK_OK(optimum_find(&r.s, OPTIMUM_PARTS, false, &best, &e), &e) &&
            CHECK_OK(optimum_find(&r.s, 2 * OPTIMUM_PARTS, false, &finer, &e), &e) &&
            CHECK_OK(optimum_find(&r.s, OPTIMUM_PARTS, true, &either, &e), &e)) {
            CHECK(either.prefill_ms <= best.prefill_ms && either.step_ms <= best.step_ms);
            CHECK(best.prefill_ms > 0 && best.step_ms > 0);
            CHECK(finer.prefill_ms <= best.prefill_ms * (1 + 1e-9));
            CHECK(finer.step_ms <= best.step_ms * (1 + 1e-9));
            for (int p = 0; p < POLICIES; p++)
                if (predict(&r, policies[p], &t)) {
                    if (!CHECK(optimum_gap(t.prefill_ms, best.prefill_ms) > -1e-9) ||
                        !CHECK(optimum_gap(t.step_ms, best.step_ms) > -1e-9))
                        test_note("%s on %s", policies[p], c[i].soc);
                }
            double prefill = INFINITY, step = INFINITY;
            for (int p = 0; p < PARTS; p++)
                if (predict(&r, parts[p], &t)) {
                    prefill = fmin(prefill, t.prefill_ms);
                    step = fmin(step, t.step_ms);
                }
            CHECK_NEAR(optimum_gap(prefill, best.prefill_ms), 0, 1e-9);
            CHECK_NEAR(optimum_gap(step, best.step_ms), 0, 1e-9);
            if (predict(&r, "gpu_only", &t))
                CHECK(optimum_gap(t.prefill_ms, best.prefill_ms) > 0.5);
        }
        rig_close(&r);
    }
}

// Without an NPU, the best device alone; without any device that can do it, the reason.
static void test_machines_without_a_pair(void)
{
    struct rig r;
    struct optimum_times best, t, u;
    struct err e = {0};
    if (rig_open(&r, "sd8gen3", "tinyllama-1.1b", 64) && rig_sync(&r, "poll")) {
        r.d.npu = -1;
        if (CHECK_OK(optimum_find(&r.s, OPTIMUM_PARTS, false, &best, &e), &e) &&
            predict(&r, "gpu_only", &t) && predict(&r, "cpu_only", &u)) {
            CHECK_NEAR(best.prefill_ms, fmin(t.prefill_ms, u.prefill_ms), 1e-9);
            CHECK_NEAR(best.step_ms, fmin(t.step_ms, u.step_ms), 1e-9);
        }
        r.d.gpu = r.d.cpu = -1;
        CHECK_INT(optimum_find(&r.s, OPTIMUM_PARTS, false, &best, &e), ERR_UNSUPPORTED);
        CHECK_HAS(e.msg, "needs");
    }
    rig_close(&r);
}

// Whether a scheme lets a queue go on while the other device is waited for.
static void test_the_table_knows_the_scheme(void)
{
    static const char *const sync[] = {"driver", "event", "poll", "sleep_poll", "queue_order"};
    struct rig r;
    struct optimum_times t, before = {0};
    if (rig_open(&r, "sd8gen3", "llama3-8b", 64))
        for (int i = 0; i < 5 && rig_sync(&r, sync[i]); i++) {
            for (int d = 0; d < r.d.n_devices; d++)
                CHECK_NEAR(cost_get_overheads(r.cost)->ahead[d], i == 4, 0);
            if (predict(&r, "weight_centric", &t) && i == 4) // against sleep_poll
                CHECK(t.step_ms < before.step_ms * 0.99);
            before = t;
        }
    rig_close(&r);
}

// Over plans of every policy, mean relative errors of both phases: of the model, and of what the
// policies add up themselves. Measured: 1.0 % against 2.7 %, the largest 21 % (weight_centric on
// the small model, for which the profile has NPU and GPU slow each other down too much).
static void test_near_the_simulation(void)
{
    static const char *const sync[] = {"driver", "event", "poll", "sleep_poll", "queue_order"};
    static const char *const model[] = {"llama3-8b", "tinyllama-1.1b"};
    static const int prompt[] = {64, 300};
    double error = 0, sums = 0, largest = 0;
    int n = 0;
    for (int i = 0; i < 2 * 2 * 5; i++) {
        static struct rig r;
        if (i % 5 == 0 && !rig_open(&r, "sd8gen3", model[i / 10], prompt[i / 5 % 2]))
            return;
        for (int p = 0; p < POLICIES && rig_sync(&r, sync[i % 5]); p++) {
            struct session_result s;
            struct optimum_times t;
            if (!predict(&r, policies[p], &t) || !simulate(&r, policies[p], &s))
                continue;
            const double model_ms[] = {t.prefill_ms, t.step_ms};
            const double policy_ms[] = {s.predicted_prefill_ms, s.predicted_decode_ms};
            const double ms[] = {s.ttft_ms, s.tpot_ms};
            for (int j = 0; j < 2; j++) {
                double x = fabs(model_ms[j] / ms[j] - 1);
                error += x;
                sums += fabs(policy_ms[j] / ms[j] - 1);
                largest = fmax(largest, x);
                n++;
            }
            session_result_fini(&s);
        }
        if (i % 5 == 4)
            rig_close(&r);
    }
    CHECK_INT(n, 2 * 2 * 5 * POLICIES * 2);
    CHECK(error / n < 0.02);
    CHECK(error < 0.5 * sums);
    CHECK(largest < 0.3);
}

// In simulated time: the exact plan of a step is not slower than the greedy one where hand-overs
// are dear, or where q and kv gain from running side by side.
static void test_exact_is_faster_in_simulation(void)
{
    static const struct {
        const char *soc, *model, *sync;
        int n;
        double prefill, step; // at least so much faster; seen: 0.3 %, 0.5 %; 0.7 %, 0; 0, 8.2 %
    } c[] = {{"sd8gen3", "llama3-8b", "queue_order", 256, 0.002, 0.004},
             {"sd8gen3", "tinyllama-1.1b", "driver", 64, 0.005, 0},
             {"sd8elite", "llama3.2-1b", "queue_order", 64, 0, 0.07}};
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct rig r;
        struct session_result greedy, chain;
        if (rig_open(&r, c[i].soc, c[i].model, c[i].n) && rig_sync(&r, c[i].sync) &&
            simulate(&r, "hetero_tensor", &greedy) &&
            simulate(&r, "hetero_tensor:solver=chain", &chain)) {
            CHECK(chain.ttft_ms <= greedy.ttft_ms * (1 - c[i].prefill) * (1 + 1e-9));
            CHECK(chain.tpot_ms <= greedy.tpot_ms * (1 - c[i].step) * (1 + 1e-9));
        }
        rig_close(&r);
    }
}

TESTS(explore_optimum, T(test_nothing_in_the_space_is_below), T(test_machines_without_a_pair),
      T(test_the_table_knows_the_scheme), T(test_near_the_simulation),
      T(test_exact_is_faster_in_simulation))
