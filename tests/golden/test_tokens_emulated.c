// SPDX-License-Identifier: GPL-3.0-or-later
// Token ids and logits equal the reference on the emulated Hexagon DSP, alone and with the GPU.
#include "tests/golden/hexagon_rig.h"

static void test_alone(void)
{
    hexagon_setting(FIXTURE_EMULATED, false, NULL, "npu_only", "sleep_poll", 33, 0);
}

static void test_hetero_tensor(void)
{
    hexagon_setting(FIXTURE_EMULATED, true, NULL, "hetero_tensor:partner=gpu", "sleep_poll", 50, 0);
}

TESTS(golden_tokens_emulated, T(test_alone), T(test_hetero_tensor))
