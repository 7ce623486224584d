// SPDX-License-Identifier: GPL-3.0-or-later
// A device fails somewhere in a short generation, in every way that a device can fail (at every
// call of it with PARTITA_LOSSES=every, else at every third to seventeenth): with on_loss =
// continue the tokens are those of the run without a failure, with stop the error names the device,
// and what was generated before has been handed out. On the host (CPU, OpenCL, tile NPU), on the
// host with a GPU that works on copies, and on a simulated SoC with values.
//
// Tokens are drawn at a temperature, so that they hang on the whole vector of logits and on the
// sampler's state, and not only on which logit is the largest.
#include "tests/contract/faults.h"

#include <CL/cl.h>
#include <dlfcn.h>
#include "base/log.h"
#include "engine/session.h"

enum { PROMPT = 5, GEN = 5 };
static const int32_t prompt[PROMPT] = {3, 99, 41, 7, 64};

static struct model *small(void)
{
    struct model_shape s = {
        .name = "loss",
        .arch = "llama",
        .n_layer = 2,
        .d_model = 64,
        .n_head = 4,
        .n_head_kv = 2,
        .d_head = 16,
        .d_ff = 96,
        .n_vocab = 109,
        .n_ctx = 64,
        .norm_eps = 1e-5,
        .rope = {.dim = 16, .theta = 10000, .factor = 1},
        .weight_bits = 8.5,
    };
    struct model *m = NULL;
    struct err e = {0};
    if (!CHECK_OK(model_create(&s, &m, &e), &e))
        return NULL;
    CHECK_OK(model_generate(m, &encoding_q8_0, 5, &e), &e);
    return m;
}

struct bed {
    struct machine *m;
    struct model *model;
    struct cost_table *none;
    struct arena arena;
    int32_t right[GEN];
    uint64_t logits; // of the run without a failure
    int handed_out;  // by on_token, in the last run
    int losses;      // seen, for the summary
};

static int on_token(void *user, int32_t id)
{
    struct bed *b = user;
    CHECK_INT(id, b->right[b->handed_out]);
    b->handed_out++;
    return 0;
}

static struct session_request request(struct bed *b, const char *policy, const char *sync)
{
    struct err e = {0};
    struct session_request q = {.machine = b->m,
                                .model = b->model,
                                .cost = b->none,
                                .prompt = prompt,
                                .n_prompt = PROMPT,
                                .n_gen = GEN,
                                .sampler = {.temperature = 1, .top_p = 1, .seed = 9},
                                .user = b};
    CHECK_OK(policy_parse(policy, &b->arena, &q.policy, &q.policy_options, &e), &e);
    CHECK_OK(sync_parse(sync, &b->arena, &q.sync, &q.sync_options, &e), &e);
    return q;
}

static bool open_bed(struct bed *b, struct machine *m)
{
    struct session_result r;
    struct err e = {0};
    *b = (struct bed){.m = m, .model = small(), .none = cost_create()};
    if (!m || !b->model)
        return false;
    log_open(stderr, LOG_ERROR); // each loss is a warning
    struct session_request q = request(b, "null", "driver");
    bool ok = CHECK_OK(session_run(&q, &r, &e), &e);
    int different = 0;
    for (int i = 0; ok && i < GEN; i++) {
        b->right[i] = r.tokens[i];
        for (int j = 0; j < i; j++)
            different += r.tokens[i] != r.tokens[j];
    }
    CHECK(different >=
          GEN * (GEN - 1) / 2 - 1); // a model that says the same all the time is no test
    b->logits = r.logits_digest;
    session_result_fini(&r);
    faults_install(m);
    return ok;
}

static void close_bed(struct bed *b)
{
    if (b->m)
        faults_remove(b->m);
    machines_close(b->m);
    model_close(b->model);
    cost_destroy(b->none);
    arena_fini(&b->arena);
}

static void check_loss(const struct session_loss *l, const struct device *d)
{
    CHECK_STR(l->device, d->caps.name);
    CHECK_HAS(l->why, d->caps.name);
    CHECK_HAS(l->why, "planted failure");
    CHECK(l->policy != NULL);
    CHECK(l->token >= 0 && l->token < GEN);
    CHECK_INT(l->kept + l->redone, PROMPT + l->token);
    CHECK(l->redone >= 1);
    CHECK(l->lost_ms >= 0 && l->recovery_ms >= 0);
}

// One run with a failure planted; false: it was not reached.
static bool survive(struct bed *b, const char *policy, const char *sync, int device,
                    enum fault_kind kind, uint64_t at)
{
    struct session_request q = request(b, policy, sync);
    struct session_result r;
    struct err e = {0};
    faults_heal(b->m);
    faults_plant(device, kind, at);
    q.on_loss = SESSION_CONTINUE;
    int rc = session_run(&q, &r, &e);
    bool fired = faults[device].fired;
    bool ok = CHECK_OK(rc, &e) && CHECK_INT(r.n_gen, GEN);
    for (int i = 0; ok && i < GEN; i++)
        ok &= CHECK_INT(r.tokens[i], b->right[i]);
    if (rc == 0) {
        // One that fails after its last ticket was seen complete is not missed.
        ok &= CHECK_INT(r.n_losses, b->m->lost[device]);
        if (r.n_losses) {
            check_loss(&r.loss[0], b->m->device[device]);
            b->losses++;
            CHECK(fired);
        }
        ok &= CHECK_OK(session_audit(&q, &r, &e), &e);
        if (b->m->repeatable) // all simulated devices compute with the reference operators
            ok &= CHECK(r.logits_digest == b->logits);
        session_result_fini(&r);
    }
    if (!ok)
        test_note("%s, %s, %s: %s fails in way %d at %llu", b->m->name, policy, sync,
                  b->m->device[device]->caps.name, (int)kind, (unsigned long long)at);
    return fired;
}

// At every call, or every step-th where time matters, until the run ends before it.
static void everywhere(struct bed *b, const char *policy, const char *sync, int device,
                       enum fault_kind kind, uint64_t step)
{
    enum { FAR = 5000 };
    const bool every = getenv("PARTITA_LOSSES") != NULL;
    uint64_t at = 1;
    if (device < 0)
        return;
    while (at < FAR && survive(b, policy, sync, device, kind, at))
        at += every ? 1 : step;
    CHECK(at < FAR);
    faults_heal(b->m);
}

// Who takes part in each policy, so that its loss is noticed.
static void every_device(struct bed *b, const char *sync, enum fault_kind kind, uint64_t step)
{
    static const struct {
        const char *policy;
        enum device_kind kind;
    } who[] = {
        {"weight_centric:share=50 %,partner=gpu", DEVICE_NPU},
        {"weight_centric:share=50 %,partner=gpu", DEVICE_GPU},
        {"weight_centric:share=50 %,partner=cpu", DEVICE_CPU},
        {"npu_only", DEVICE_NPU},
    };
    struct session_request q = request(b, "npu_only", sync);
    struct machine_desc d;
    machine_describe(b->m, &d);
    if (q.sync->offered(&d, q.sync_options, &(struct err){0}) < 0)
        return;
    for (size_t i = 0; i < sizeof who / sizeof who[0]; i++)
        if (machines_index(b->m, DEVICE_GPU) >= 0 || !strstr(who[i].policy, "gpu"))
            everywhere(b, who[i].policy, sync, machines_index(b->m, who[i].kind), kind, step);
}

static void every_way(struct machine *m)
{
    struct bed b;
    if (open_bed(&b, m)) {
        every_device(&b, "driver", FAULT_CALL, 3);
        every_device(&b, "event", FAULT_SILENT, 11);
        every_device(&b, "poll:ask=5", FAULT_SILENT, 13);
        every_device(&b, "futex", FAULT_SILENT, 13);
        every_device(&b, "queue_order:ask=5", FAULT_SILENT, 11);
        every_device(&b, "queue_order:ask=5", FAULT_SUBMIT, 17);
        every_device(&b, "sleep_poll:ask=5", FAULT_LOAD, 7);
        every_device(&b, "poll:ask=5", FAULT_PREPARE, 5);
        test_note("%s: %d losses survived", b.m->name, b.losses);
        CHECK(b.losses > 200);
    }
    close_bed(&b);
}

#define EXACT                                                                                      \
    "cpu = { exact = true; threads = 1; spin = 100; }; npu = { exact = true; spin = 100; };"

static void test_every_call_on_the_soc(void)
{
    every_way(machines_soc("configs/soc/sd8gen3.cfg", true));
}

static void test_every_call_on_the_host(void)
{
    every_way(machines_host(EXACT));
}

// A GPU with memory of its own takes rows of the KV cache with it that nobody else has read.
static void test_rows_that_only_the_lost_device_had(void)
{
    struct bed b;
    struct machine *m = machines_host(EXACT "gpu = { memory = \"copy\"; };");
    int gpu = m ? machines_index(m, DEVICE_GPU) : -1;
    if (gpu < 0) {
        test_skip("no OpenCL device");
        machines_close(m);
        return;
    }
    if (open_bed(&b, m)) {
        everywhere(&b, "gpu_only", "driver", gpu, FAULT_CALL, 5);
        everywhere(&b, "weight_centric:share=50 %", "driver", gpu, FAULT_MAP, 5);
        everywhere(&b, "weight_centric:share=50 %", "poll:ask=5", gpu, FAULT_SILENT, 11);
        everywhere(&b, "weight_centric:share=50 %", "driver", machines_index(m, DEVICE_NPU),
                   FAULT_SILENT, 11);
        // The whole cache is gone, the prompt's rows too.
        struct session_request q = request(&b, "gpu_only", "driver");
        struct session_result r;
        struct err e = {0};
        q.on_loss = SESSION_CONTINUE;
        faults_plant(gpu, FAULT_SILENT, 100); // in one of the later passes
        if (CHECK_OK(session_run(&q, &r, &e), &e)) {
            CHECK_INT(r.n_losses, 1);
            CHECK(r.loss[0].token > 0);
            CHECK_INT(r.loss[0].kept, 0);
            CHECK_INT(r.loss[0].redone, PROMPT + r.loss[0].token);
            session_result_fini(&r);
        }
    }
    close_bed(&b);
}

// One after the other, also while the first loss is being made good, down to the last device.
static void several(struct machine *m)
{
    struct bed b;
    if (open_bed(&b, m)) {
        int gpu = machines_index(m, DEVICE_GPU), npu = machines_index(m, DEVICE_NPU),
            cpu = machines_index(m, DEVICE_CPU), first = gpu >= 0 ? gpu : cpu, both = 0;
        for (uint64_t i = 1; i < 120; i += 17)
            for (uint64_t j = 1; j < 90; j += 13) {
                struct session_request q = request(&b, "weight_centric:share=50 %", "driver");
                struct session_result r;
                struct err e = {0};
                faults_heal(m);
                faults_plant(first, FAULT_CALL, i);
                faults_plant(npu, FAULT_SILENT, j);
                q.on_loss = SESSION_CONTINUE;
                int rc = session_run(&q, &r, &e);
                if (first == cpu) { // nothing is left where there is no GPU
                    CHECK(rc == 0 || rc == ERR_DEVICE);
                } else if (CHECK_OK(rc, &e)) {
                    for (int t = 0; t < GEN; t++)
                        CHECK_INT(r.tokens[t], b.right[t]);
                    CHECK_OK(session_audit(&q, &r, &e), &e);
                    both += r.n_losses == 2;
                    for (int l = 0; l < r.n_losses; l++)
                        CHECK(r.loss[l].policy && r.loss[l].recovery_ms >= 0);
                    if (r.n_losses == 2)
                        CHECK_STR(r.loss[1].policy, "cpu_only");
                }
                if (rc == 0)
                    session_result_fini(&r);
            }
        CHECK(gpu < 0 || both > 10);
        // All of them.
        struct session_request q = request(&b, "weight_centric:share=50 %", "driver");
        struct session_result r;
        struct err e = {0};
        faults_heal(m);
        for (int d = 0; d < m->n_devices; d++)
            faults_plant(d, FAULT_SUBMIT, 20);
        q.on_loss = SESSION_CONTINUE;
        CHECK_INT(session_run(&q, &r, &e), ERR_DEVICE);
        CHECK_HAS(e.msg, "nothing is left");
        CHECK(r.tokens == NULL);
    }
    close_bed(&b);
}

static void test_one_after_the_other(void)
{
    several(machines_soc("configs/soc/sd8gen3.cfg", true));
    several(machines_host(EXACT));
}

// stop: an error with the device and the task in it, and the tokens before it.
static void stops(struct machine *m)
{
    struct bed b;
    if (open_bed(&b, m)) {
        static const char *const sync[] = {"driver", "event", "poll:ask=5", "queue_order:ask=5"};
        int partial = 0;
        for (int s = 0; s < 4; s++)
            for (uint64_t at = 1; at < 400; at += 21) {
                struct session_request q = request(&b, "weight_centric:share=50 %", sync[s]);
                struct session_result r;
                struct err e = {0};
                int npu = machines_index(m, DEVICE_NPU);
                faults_heal(m);
                faults_plant(npu, at % 2 ? FAULT_SUBMIT : FAULT_SILENT, at);
                q.on_token = on_token;
                b.handed_out = 0;
                int rc = session_run(&q, &r, &e);
                if (!faults[npu].fired) {
                    CHECK_OK(rc, &e);
                    CHECK_INT(b.handed_out, GEN);
                    session_result_fini(&r);
                    continue;
                }
                CHECK_INT(rc, ERR_DEVICE);
                CHECK_HAS(e.msg, "npu failed at ");
                CHECK_HAS(e.msg, "planted failure");
                CHECK(strstr(e.msg, " at L") || strstr(e.msg, "logits"));
                CHECK(!m->lost[npu]); // nobody decided to go on without it
                CHECK(r.tokens == NULL && b.handed_out < GEN);
                partial += b.handed_out > 0;
            }
        CHECK(partial > 4);
    }
    close_bed(&b);
}

static void test_stop_names_the_device_and_the_task(void)
{
    stops(machines_soc("configs/soc/sd8gen3.cfg", true));
    stops(machines_host(EXACT));
}

// The project's model tells its story to the end, whoever is lost where. The note says what it
// took.
static void story_goes_on(struct machine *m)
{
    // The first line of data/partita-stories.greedy.json.
    static const int32_t story[] = {409, 407, 261, 408, 384, 300, 261, 546, 438, 402,
                                    321, 715, 343, 346, 295, 261, 458, 358, 262, 347};
    enum { STORY = sizeof story / sizeof story[0] };
    const int32_t bos = 1;
    struct bed b = {.m = m, .none = cost_create()};
    struct err e = {0};
    if (!m || !CHECK_OK(model_open(MACHINES_SMALL_MODEL, &b.model, &e), &e))
        return;
    log_open(stderr, LOG_ERROR);
    faults_install(m);
    for (int d = 0; d < m->n_devices; d++) {
        enum device_kind kind = m->device[d]->caps.kind;
        struct session_request q =
            request(&b,
                    kind == DEVICE_CPU ? "weight_centric:share=50 %,partner=cpu"
                                       : "weight_centric:share=50 %",
                    "driver");
        struct session_result r;
        q.prompt = &bos;
        q.n_prompt = 1;
        q.n_gen = STORY;
        q.sampler = (struct sampler_options){.top_p = 1};
        q.on_loss = SESSION_CONTINUE;
        faults_heal(m);
        faults_plant(d, FAULT_SILENT, kind == DEVICE_NPU ? 150 : 700); // somewhere in the middle
        if (!CHECK_OK(session_run(&q, &r, &e), &e))
            continue;
        for (int i = 0; i < STORY; i++)
            CHECK_INT(r.tokens[i], story[i]);
        if (CHECK_INT(r.n_losses, 1))
            test_note("%s: %s after %d tokens: %.3f ms lost, %.3f ms to recover with %s, %.3f ms "
                      "per token",
                      m->name, r.loss[0].device, r.loss[0].token, r.loss[0].lost_ms,
                      r.loss[0].recovery_ms, r.loss[0].policy, r.tpot_ms);
        session_result_fini(&r);
    }
    close_bed(&b);
}

static void test_the_story_goes_on(void)
{
    story_goes_on(machines_soc("configs/soc/sd8gen3.cfg", true));
    story_goes_on(machines_host(EXACT));
}

// The OpenCL driver below the real device: the n-th question for a command's state is answered by
// an error, and clFinish then gives up at once, while the device works on. This program's own
// definitions come before the library's.
static uint64_t driver_fails_at, driver_asked;
static bool driver_failed(void)
{
    return driver_fails_at && driver_asked >= driver_fails_at;
}

cl_int clGetEventInfo(cl_event ev, cl_event_info what, size_t size, void *value, size_t *got)
{
    static __typeof__(clGetEventInfo) *next;
    static const cl_int lost = CL_OUT_OF_RESOURCES;
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "clGetEventInfo");
    cl_int rc = next(ev, what, size, value, got);
    if (!rc && what == CL_EVENT_COMMAND_EXECUTION_STATUS && ++driver_asked == driver_fails_at)
        memcpy(value, &lost, sizeof lost);
    return rc;
}

cl_int clFinish(cl_command_queue q)
{
    static __typeof__(clFinish) *next;
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "clFinish");
    return driver_failed() ? CL_OUT_OF_RESOURCES : next(q);
}

// Nothing here says how a failed device ends what it was given: that is the device's own business,
// and the others compute in the same buffers a moment later.
static void test_the_driver_fails(void)
{
    int losses = 0;
    for (uint64_t at = 1; at < 400; at += at / 2 + 1) {
        struct bed b;
        struct machine *m = machines_host(EXACT);
        int gpu = m ? machines_index(m, DEVICE_GPU) : -1;
        if (gpu < 0) {
            test_skip("no OpenCL device");
            machines_close(m);
            return;
        }
        if (open_bed(&b, m)) {
            struct session_request q =
                request(&b, "weight_centric:share=50 %,partner=gpu", "driver");
            struct session_result r;
            struct err e = {0};
            q.on_loss = SESSION_CONTINUE;
            driver_asked = 0;
            driver_fails_at = at;
            int rc = session_run(&q, &r, &e);
            bool reached = driver_failed();
            driver_fails_at = 0;
            if (CHECK_OK(rc, &e)) {
                for (int i = 0; i < GEN; i++)
                    CHECK_INT(r.tokens[i], b.right[i]);
                if (reached && CHECK_INT(r.n_losses, 1)) {
                    CHECK_STR(r.loss[0].device, m->device[gpu]->caps.name);
                    CHECK_HAS(r.loss[0].why, "the device failed");
                    losses++;
                }
                session_result_fini(&r);
            }
        }
        close_bed(&b);
    }
    CHECK(losses > 3);
    test_note("%d losses survived", losses);
}

// A machine that has lost a device describes itself as one without it, under the same indices.
static void test_a_lost_device_is_not_described(void)
{
    struct machine *m = machines_soc("configs/soc/sd8gen3.cfg", true);
    struct machine_desc before, after;
    if (!m)
        return;
    machine_describe(m, &before);
    m->lost[before.npu] = true;
    machine_describe(m, &after);
    CHECK_INT(after.npu, -1);
    CHECK_INT(after.gpu, before.gpu);
    CHECK_INT(after.n_devices, before.n_devices);
    for (int op = 0; op < OP_KINDS; op++)
        CHECK(!device_can(&after.device[before.npu], (enum op_kind)op));
    machines_close(m);
}

TESTS(contract_device_loss, T(test_a_lost_device_is_not_described), T(test_every_call_on_the_soc),
      T(test_every_call_on_the_host), T(test_rows_that_only_the_lost_device_had),
      T(test_one_after_the_other), T(test_the_driver_fails), T(test_the_story_goes_on),
      T(test_stop_names_the_device_and_the_task))
