// SPDX-License-Identifier: GPL-3.0-or-later
// Token ids and logits equal the reference on the emulated Hexagon DSP, alone, and with the CPU or
// the GPU.
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

TESTS(golden_tokens_emulated, T(test_alone), T(test_split_with_the_cpu), T(test_hetero_tensor))
