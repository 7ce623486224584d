// SPDX-License-Identifier: GPL-3.0-or-later
// Sessions: the right tokens whatever the policy, the same digest every time, numbers that agree
// with one another, an audit that catches machines that lie, and no growth over a thousand runs.
#include "tests/engine/fake.h"
#include "tests/engine/plans.h"

#include <malloc.h>
#include <stdio.h>
#include "engine/session.h"
#include "models/soc/soc.h"

// The first line of data/partita-stories.greedy.json, computed in float64.
static const int32_t story[] = {409, 407, 261, 408, 384, 300, 261, 546, 438, 402,
                                321, 715, 343, 346, 295, 261, 458, 358, 262, 347};
enum { STORY = sizeof story / sizeof story[0] };

static struct machine *soc_open(bool values)
{
    struct conf *c;
    struct machine *m = NULL;
    struct err e = {0};
    if (!CHECK_OK(conf_open("configs/soc/sd8gen3.cfg", &c, &e), &e))
        return NULL;
    CHECK_OK(machine_soc_open(c, values, &m, &e), &e);
    conf_close(c);
    return m;
}

static struct model *model_of(const char *path)
{
    struct model *m = NULL;
    struct err e = {0};
    CHECK_OK(model_open(path, &m, &e), &e);
    return m;
}

// A request with everything but a prompt; the arena owns the options.
static struct session_request request(struct machine *m, const struct model *model,
                                      const char *policy, const char *sync,
                                      const struct cost_table *cost, struct arena *a)
{
    struct session_request q = {.machine = m,
                                .model = model,
                                .cost = cost,
                                .n_prompt = 1,
                                .n_gen = STORY,
                                .sampler = {.top_p = 1}};
    struct err e = {0};
    CHECK_OK(policy_parse(policy, a, &q.policy, &q.policy_options, &e), &e);
    CHECK_OK(sync_parse(sync, a, &q.sync, &q.sync_options, &e), &e);
    return q;
}

static void test_tokens_do_not_depend_on_the_policy(void)
{
    struct machine *m = soc_open(true);
    struct model *model = model_of("data/partita-stories.gguf");
    struct cost_table *cost = cost_create();
    struct arena a = {0};
    struct err e = {0};
    const int32_t bos = 1;
    uint64_t logits = 0;
    CHECK_OK(session_profile(m, model, 1, STORY, cost, &e), &e);
    for (size_t i = 0; i < policy_registry_count; i++) {
        struct session_request q =
            request(m, model, policy_registry[i]->name, "sleep_poll", cost, &a);
        struct session_result r, again;
        q.prompt = &bos;
        if (!CHECK_OK(session_run(&q, &r, &e), &e))
            continue;
        CHECK_OK(session_audit(&q, &r, &e), &e);
        CHECK_INT(r.n_gen, STORY);
        for (int t = 0; t < STORY; t++)
            CHECK_INT(r.tokens[t], story[t]);
        logits = logits ? logits : r.logits_digest;
        CHECK(r.logits_digest == logits); // to the last bit
        CHECK_OK(session_run(&q, &again, &e), &e);
        CHECK(again.digest == r.digest);
        CHECK(again.total_ms == r.total_ms && again.energy_j == r.energy_j);
        session_result_fini(&again);
        session_result_fini(&r);
    }
    arena_fini(&a);
    cost_destroy(cost);
    model_close(model);
    m->ops->close(m);
}

static void test_timing_only_sessions_pass_the_audit(void)
{
    static const int prompt[] = {1, 33, 256, 300};
    struct model *model = model_of("configs/model/llama3-8b.cfg");
    struct machine *m = soc_open(false), *fresh = soc_open(false);
    struct cost_table *cost = cost_create();
    struct arena a = {0};
    struct err e = {0};
    CHECK_OK(session_profile(m, model, 300, 4, cost, &e), &e);
    for (size_t i = 0; i < policy_registry_count; i++)
        for (int p = 0; p < 4; p++) {
            struct session_request q =
                request(m, model, policy_registry[i]->name, "poll", cost, &a);
            struct session_result r, s;
            q.n_prompt = prompt[p];
            q.n_gen = 3;
            if (!CHECK_OK(session_run(&q, &r, &e), &e))
                continue;
            CHECK_OK(session_audit(&q, &r, &e), &e);
            CHECK(r.tokens == NULL);
            CHECK_INT(r.logits_digest, 0);
            CHECK_NEAR(r.total_ms, r.ttft_ms + 2 * r.tpot_ms, 1e-9 * r.total_ms);
            CHECK_NEAR(r.prefill_tok_s * r.ttft_ms, 1e3 * prompt[p], 1e-6 * 1e3 * prompt[p]);
            CHECK_NEAR(r.decode_tok_s * r.tpot_ms, 1e3, 1e-6);
            CHECK(r.energy_prefill_j > 0 && r.energy_prefill_j < r.energy_j);
            CHECK(r.bytes_decode > 0 && r.bytes_decode < r.bytes_moved);
            CHECK(r.bytes_moved >=
                  (double)model_weight_bytes(model)); // three times, less embedding
            CHECK(r.memory_bytes >= (double)model_weight_bytes(model));
            CHECK_NEAR(r.copied_bytes, 0, 0);
            CHECK(r.submissions > 0 && r.joins > 0);
            q.machine = fresh; // nothing of the past is in a digest
            CHECK_OK(session_run(&q, &s, &e), &e);
            CHECK(s.digest == r.digest);
            session_result_fini(&s);
            session_result_fini(&r);
        }
    // Different inputs, different digests.
    struct session_request q = request(m, model, "gpu_only", "poll", cost, &a);
    struct session_result r[3];
    for (int i = 0; i < 3; i++) {
        q.n_prompt = i == 1 ? 17 : 16;
        q.n_gen = i == 2 ? 5 : 4;
        CHECK_OK(session_run(&q, &r[i], &e), &e);
    }
    CHECK(r[0].digest != r[1].digest && r[0].digest != r[2].digest);
    for (int i = 0; i < 3; i++)
        session_result_fini(&r[i]);
    arena_fini(&a);
    cost_destroy(cost);
    m->ops->close(m);
    fresh->ops->close(fresh);
    model_close(model);
}

// ---- machines that lie ----

static void test_the_audit_catches_lies(void)
{
    static const struct {
        enum fake_fault fault;
        const char *says;
    } lies[] = {{FAKE_HONEST, NULL},
                {FAKE_OVER_BUSY, "busy for"},
                {FAKE_LOSES_BYTES, "bytes"},
                {FAKE_SKIPS, "flop"}};
    const enum fake_kind kinds[] = {FAKE_GPU, FAKE_CPU, FAKE_NPU};
    const int32_t ids[] = {1, 2, 3, 4, 5, 6};
    struct model *model = plans_model(2, "llama", true);
    struct cost_table *cost = cost_create();
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++)
        for (int device = 0; device < 3; device += 2) {
            struct fake *f = fake_open(kinds, 3, 0.1, 1);
            struct arena a = {0};
            struct err e = {0};
            struct session_result r;
            struct session_request q =
                request(&f->m, model, "weight_centric:share=50 %", "poll", cost, &a);
            q.prompt = ids;
            q.n_prompt = 6;
            q.n_gen = 8;
            f->dev[device].fault = lies[i].fault;
            if (CHECK_OK(session_run(&q, &r, &e), &e)) {
                int rc = session_audit(&q, &r, &e);
                CHECK_INT(rc, lies[i].says ? ERR_CHECK : 0);
                if (lies[i].says) {
                    CHECK_HAS(e.msg, lies[i].says);
                    CHECK_STR(e.key, device ? "npu" : "gpu");
                }
                // And what the executor itself would have left out.
                r.device[0].work.flops /= 2;
                r.device[0].stats.flops = r.device[0].work.flops;
                if (!lies[i].says) {
                    CHECK_INT(session_audit(&q, &r, &e), ERR_CHECK);
                    CHECK_HAS(e.msg, "the model has");
                }
                session_result_fini(&r);
            }
            arena_fini(&a);
            fake_close(&f->m);
        }
    cost_destroy(cost);
    model_close(model);
}

// A device that dies in the middle ends the session with its error and nothing left behind.
static void test_a_lost_device_ends_the_session(void)
{
    const enum fake_kind kinds[] = {FAKE_CARD, FAKE_NPU};
    const int32_t ids[] = {1, 2, 3, 4};
    struct model *model = plans_model(2, "llama", true);
    struct cost_table *cost = cost_create();
    for (uint64_t at = 1; at < 100; at += 7) {
        struct fake *f = fake_open(kinds, 2, 0, 1);
        struct arena a = {0};
        struct err e = {0};
        struct session_result r;
        struct session_request q =
            request(&f->m, model, "weight_centric:share=50 %", "poll:ask=2", cost, &a);
        q.prompt = ids;
        q.n_prompt = 4;
        q.n_gen = 6;
        f->dev[0].fault = FAKE_IS_LOST;
        f->dev[0].at = at;
        CHECK_INT(session_run(&q, &r, &e), ERR_DEVICE);
        CHECK_HAS(e.msg, "lost");
        CHECK(r.tokens == NULL);
        arena_fini(&a);
        fake_close(&f->m);
    }
    cost_destroy(cost);
    model_close(model);
}

// ---- limits ----

static int stop_after;
static int on_token(void *user, int32_t id)
{
    (void)id;
    return ++*(int *)user == stop_after;
}

static bool is_end(void *user, int32_t id)
{
    (void)user;
    return id == story[4];
}

static void test_limits_and_callbacks(void)
{
    struct machine *m = soc_open(true);
    struct model *model = model_of("data/partita-stories.gguf");
    struct cost_table *cost = cost_create();
    struct arena a = {0};
    struct err e = {0};
    struct session_result r;
    const int32_t bos = 1, outside = 768, negative = -1;
    const struct session_request good = request(m, model, "cpu_only", "driver", cost, &a);
    struct session_request q = good;
    q.prompt = &bos;
    q.n_gen = 1; // no further token: no time per token
    CHECK_OK(session_run(&q, &r, &e), &e);
    CHECK_INT(r.n_gen, 1);
    CHECK_INT(r.tokens[0], story[0]);
    CHECK(isnan(r.tpot_ms) && isnan(r.decode_tok_s) && isnan(r.decode_gb_s));
    CHECK(r.ttft_ms > 0 && r.total_ms == r.ttft_ms);
    CHECK_NEAR(r.bytes_decode, 0, 0);
    CHECK_OK(session_audit(&q, &r, &e), &e);
    session_result_fini(&r);

    int seen = 0;
    stop_after = 3;
    q.n_gen = 10;
    q.on_token = on_token;
    q.user = &seen;
    CHECK_OK(session_run(&q, &r, &e), &e);
    CHECK_INT(r.n_gen, 3);
    CHECK_INT(seen, 3);
    CHECK_OK(session_audit(&q, &r, &e), &e);
    session_result_fini(&r);

    q = good;
    q.prompt = &bos;
    q.is_end = is_end;
    CHECK_OK(session_run(&q, &r, &e), &e);
    CHECK_INT(r.n_gen, 5);
    session_result_fini(&r);

    struct {
        struct session_request q;
        const char *says;
    } bad[7] = {{good, "at least one prompt token"},
                {good, "at least one prompt token"},
                {good, "context of 20"},
                {good, "needs prompt tokens"},
                {good, "token 768"},
                {good, "token -1"},
                {good, "top_p"}};
    for (int i = 0; i < 7; i++)
        bad[i].q.prompt = &bos;
    bad[0].q.n_prompt = 0;
    bad[1].q.n_gen = 0;
    bad[2].q.n_ctx = STORY; // one too few
    bad[3].q.prompt = NULL;
    bad[4].q.prompt = &outside;
    bad[5].q.prompt = &negative;
    bad[6].q.sampler.top_p = 0;
    for (int i = 0; i < 7; i++) {
        e = (struct err){0};
        int rc = session_run(&bad[i].q, &r, &e);
        CHECK(rc < 0 && rc == e.code);
        char text[700];
        CHECK_HAS(err_text(&e, text, sizeof text), bad[i].says);
        CHECK(r.tokens == NULL);
    }
    q = good;
    q.prompt = &bos;
    q.n_ctx = STORY + 1; // both sides of the edge
    CHECK_OK(session_run(&q, &r, &e), &e);
    session_result_fini(&r);
    arena_fini(&a);
    cost_destroy(cost);
    model_close(model);
    m->ops->close(m);
}

static void test_plans_are_printed(void)
{
    struct machine *m = soc_open(false);
    struct model *model = model_of("configs/model/llama3-8b.cfg");
    struct cost_table *cost = cost_create();
    struct arena a = {0};
    struct err e = {0};
    struct session_request q = request(m, model, "gpu_only", "driver", cost, &a);
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    q.n_prompt = 256;
    CHECK_OK(session_print_plans(&q, f, &e), &e);
    fclose(f);
    CHECK_HAS(text, "prefill: plan gpu_only: 256 tokens");
    CHECK_HAS(text, "decode: plan gpu_only: 1 tokens");
    CHECK_HAS(text, "gate_up");
    free(text);
    arena_fini(&a);
    cost_destroy(cost);
    model_close(model);
    m->ops->close(m);
}

// ---- a thousand runs ----

static bool allocator_is_real(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return false;
#else
    return true;
#endif
#else
    return true;
#endif
}

static void test_a_thousand_runs_do_not_grow(void)
{
    struct machine *m = soc_open(false);
    struct model *model = model_of("data/partita-stories.gguf");
    struct cost_table *cost = cost_create();
    struct arena a = {0};
    struct err e = {0};
    size_t warm = 0;
    uint64_t digest = 0;
    int different = 0;
    CHECK_OK(session_profile(m, model, 33, 2, cost, &e), &e);
    struct session_request q = request(m, model, "hetero_tensor", "sleep_poll", cost, &a);
    q.n_prompt = 33;
    q.n_gen = 2;
    for (int i = 0; i < 1000; i++) {
        struct session_result r;
        if (!CHECK_OK(session_run(&q, &r, &e), &e))
            break;
        digest = digest ? digest : r.digest;
        different += r.digest != digest;
        session_result_fini(&r);
        if (i == 20)
            warm = mallinfo2().uordblks;
    }
    CHECK_INT(different, 0);
    if (allocator_is_real())
        CHECK_INT(mallinfo2().uordblks, warm);
    arena_fini(&a);
    cost_destroy(cost);
    model_close(model);
    m->ops->close(m);
}

TESTS(engine_session, T(test_tokens_do_not_depend_on_the_policy),
      T(test_timing_only_sessions_pass_the_audit), T(test_the_audit_catches_lies),
      T(test_a_lost_device_ends_the_session), T(test_limits_and_callbacks),
      T(test_plans_are_printed), T(test_a_thousand_runs_do_not_grow))
