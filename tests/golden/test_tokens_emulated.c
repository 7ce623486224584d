// SPDX-License-Identifier: GPL-3.0-or-later
// Token ids and logits equal the reference on the emulated Hexagon DSP, alone, with the CPU, with
// the GPU: by default in some settings, with PARTITA_PAIRS=every (make test-long) in all of them:
// each policy that cuts work between GPU and NPU, and npu_only, under each scheme that the machine
// offers, on the project's model and TinyStories-656K.
#include "engine/policy.h"
#include "tests/golden/hexagon_rig.h"

static void test_alone(void)
{
    hexagon_setting(FIXTURE_EMULATED, false, NULL, "npu_only", "sleep_poll", 33, 0);
}

// Where the program itself runs in an emulator there is no OpenCL device, but always a CPU.
static void test_split_with_the_cpu(void)
{
    char overrides[1000];
    const char *library = fixture_need(FIXTURE_EMULATED);
    if (!library)
        return;
    snprintf(overrides, sizeof overrides,
             "gpu.enabled=false;cpu.threads=1;cpu.spin=100;hexagon.library=%s;"
             "hexagon.idle_turns=2000;hexagon.spin=100;hexagon.timeout=600 s",
             library);
    run_setting((struct setting){.machine = "host",
                                 .overrides = overrides,
                                 .policy = "weight_centric:share=50 %,partner=cpu",
                                 .sync = "queue_order",
                                 .busy = "cpu npu",
                                 .tolerance = {F32_TOLERANCE, INT8_TOLERANCE},
                                 .prefill = 50,
                                 .brief = true,
                                 .models = 1});
    CHECK_INT(fixture_left(library), 0);
}

static void test_hetero_tensor(void)
{
    hexagon_setting(FIXTURE_EMULATED, true, NULL, "hetero_tensor:partner=gpu", "sleep_poll", 50, 0);
}

static bool has(const struct policy_ops *p, const char *option)
{
    for (size_t i = 0; i < p->n_rows; i++)
        if (!strcmp(p->rows[i].name, option))
            return true;
    return false;
}

// With both partners at work: halves where a policy has a share, and the matmuls of single tokens
// on the NPU where it can be told.
static const char *spec_of(const struct policy_ops *p)
{
    static char spec[120];
    snprintf(spec, sizeof spec, "%s:partner=gpu%s%s%s", p->name,
             has(p, "decode") ? ",decode=npu" : "", has(p, "share") ? ",share=50 %" : "",
             has(p, "chunk") ? ",chunk=32" : "");
    return spec;
}

static bool offers(const struct machine *m, const struct sync_ops *sync)
{
    struct arena a;
    struct machine_desc d;
    struct err e = {0};
    const void *options = NULL;
    arena_init(&a);
    machine_describe(m, &d);
    bool ok = CHECK_OK(sync_parse(sync->name, &a, &sync, &options, &e), &e) &&
              sync->offered(&d, options, &e) == 0;
    arena_fini(&a);
    return ok;
}

static bool every(void)
{
    const char *s = getenv("PARTITA_PAIRS");
    return s && !strcmp(s, "every");
}

// One policy (NULL: npu_only, without the GPU) under every scheme on one of the references.
static int schemes(const struct policy_ops *policy, int model)
{
    int n = 0;
    struct reference *ref = reference_get(model);
    struct setting s = {.machine = "host",
                        .overrides = hexagon_machine(FIXTURE_EMULATED, policy, NULL),
                        .policy = policy ? spec_of(policy) : "npu_only",
                        .busy = policy ? "gpu npu" : "npu",
                        .tolerance = {F32_TOLERANCE, INT8_TOLERANCE},
                        .prefill = policy ? 50 : 33,
                        .brief = true,
                        .positions = 56};
    struct machine *m = ref ? rig_machine(s.machine, s.overrides) : NULL;
    bool offered[32] = {false};
    for (size_t i = 0; m && CHECK(sync_registry_count <= 32) && i < sync_registry_count; i++)
        offered[i] = offers(m, sync_registry[i]);
    if (m)
        m->ops->close(m);
    for (size_t i = 0; i < sync_registry_count; i++) {
        if (!offered[i])
            continue;
        s.sync = sync_registry[i]->name;
        run_reference(&s, ref);
        n++;
    }
    CHECK_INT(fixture_left(fixture_library(FIXTURE_EMULATED)), 0);
    if (ref)
        CHECK_INT(n, HEXAGON_SCHEMES); // not futex: neither device has a thread to wake the host
    reference_close(ref);
    return n;
}

static void test_every_pair(void)
{
    static const int models[] = {0, 2};
    int pairs = 0, policies = 0;
    if (!every()) {
        test_note("every policy under every scheme: PARTITA_PAIRS=every");
        return;
    }
    if (!fixture_need(FIXTURE_EMULATED) || gpu_absent())
        return;
    for (size_t i = 0; i < policy_registry_count; i++)
        if (has(policy_registry[i], "partner")) {
            policies++;
            for (int m = 0; m < 2; m++)
                pairs += schemes(policy_registry[i], models[m]);
        }
    for (int m = 0; m < 2; m++)
        pairs += schemes(NULL, models[m]);
    CHECK(policies >= 10);
    test_note("%d combinations of a model, one of %d policies or npu_only, and a scheme", pairs,
              policies);
}

TESTS(golden_tokens_emulated, T(test_alone), T(test_split_with_the_cpu), T(test_hetero_tensor),
      T(test_every_pair))
