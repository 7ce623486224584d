// SPDX-License-Identifier: GPL-3.0-or-later
// Token ids and logits equal the reference on the Hexagon skel: alone, and sharing every operator
// with the GPU under each splitting policy, under every synchronisation scheme. Here the skel is
// compiled for this machine; test_tokens_emulated.c has the emulated DSP. The project's model takes
// every pair of policy and scheme, the other references one scheme per policy.
#include "tests/golden/hexagon_rig.h"

static void test_alone(void)
{
    for (int s = 0; s < HEXAGON_SCHEMES; s++)
        hexagon_setting(FIXTURE_NATIVE, false, NULL, "npu_only", hexagon_schemes[s], 33, 0);
}

static void split(const char *policy, int all)
{
    for (int s = 0; s < HEXAGON_SCHEMES; s++)
        hexagon_setting(FIXTURE_NATIVE, true, NULL, policy, hexagon_schemes[s], 50,
                        s == all ? 0 : 1);
}

static void test_weight_centric(void)
{
    split("weight_centric:share=50 %,partner=gpu", 1);
}

static void test_activation_centric(void)
{
    split("activation_centric:partner=gpu", 2);
}

static void test_hybrid(void)
{
    split("hybrid:rest=flexible,share=40 %,partner=gpu", 3);
}

static void test_hetero_tensor(void)
{
    split("hetero_tensor:partner=gpu", 4);
}

// Room for one arena of weights at a time, more or less: they come and go all the time.
static void test_tiny_window(void)
{
    hexagon_setting(FIXTURE_NATIVE, false, "hexagon.arena=64 KiB;hexagon.window=2 MB", "npu_only",
                    "queue_order", 33, 0);
}

// A host that cannot see the flag word: the schemes that wait for the driver.
static void test_without_flag(void)
{
    hexagon_setting(FIXTURE_NATIVE, true, "hexagon.flag=false", "hetero_tensor:partner=gpu",
                    "driver", 50, 1);
    hexagon_setting(FIXTURE_NATIVE, false, "hexagon.flag=false", "npu_only", "event", 33, 0);
}

// A host that sees nothing of what the DSP writes before a call returns: the probe finds out, the
// schemes that look at the flag word are refused, the others go by the calls.
static void test_not_coherent(void)
{
    static const char *const looking[] = {"poll", "sleep_poll", "queue_order"};
    const char *library = fixture_need(FIXTURE_NATIVE);
    if (!library)
        return;
    fixture_fault("STANDIN_STALE", "1");
    struct machine *m = rig_machine("host", hexagon_machine(FIXTURE_NATIVE, false, NULL));
    if (m) {
        struct machine_desc d;
        machine_describe(m, &d);
        CHECK(!m->device[0]->caps.flag && m->device[0]->caps.event);
        for (int i = 0; i < 3; i++) {
            struct err e = {0};
            struct arena a;
            const struct sync_ops *sync;
            const void *options;
            arena_init(&a);
            CHECK_OK(sync_parse(looking[i], &a, &sync, &options, &e), &e);
            CHECK_INT(sync->offered(&d, options, &e), ERR_UNSUPPORTED);
            CHECK_HAS(e.msg, "the device sets no flag word that the host can see");
            arena_fini(&a);
        }
        m->ops->close(m);
    }
    // Copies make a call slow: few positions.
    struct setting s = {.machine = "host",
                        .overrides = hexagon_machine(FIXTURE_NATIVE, false, NULL),
                        .policy = "npu_only",
                        .sync = "event",
                        .busy = "npu",
                        .tolerance = {F32_TOLERANCE, INT8_TOLERANCE},
                        .prefill = 33,
                        .brief = true,
                        .positions = 40,
                        .models = 1};
    run_setting(s);
    if (!gpu_absent()) {
        s.overrides = hexagon_machine(FIXTURE_NATIVE, true, NULL);
        s.policy = "hetero_tensor:partner=gpu", s.sync = "driver", s.busy = "gpu npu";
        run_setting(s);
        s.policy = "weight_centric:share=50 %,partner=gpu", s.sync = "event";
        run_setting(s);
    }
    CHECK_INT(fixture_left(library), 0);
    fixture_fault(NULL, NULL);
}

TESTS(golden_tokens_hexagon, T(test_alone), T(test_weight_centric), T(test_activation_centric),
      T(test_hybrid), T(test_hetero_tensor), T(test_tiny_window), T(test_without_flag),
      T(test_not_coherent))
