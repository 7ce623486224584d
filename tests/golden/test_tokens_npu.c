// SPDX-License-Identifier: GPL-3.0-or-later
// Token ids and logits equal the reference on the tile NPU alone: every operator, padded to the
// standard sizes; with the kernels of this machine and the portable ones.
#include "tests/golden/tokens_rig.h"

#define NPU "cpu.enabled=false;gpu.enabled=false"

static void npu(const char *overrides, const char *sync, int prefill, double q8_tolerance)
{
    run_setting((struct setting){.machine = "host",
                                 .overrides = overrides,
                                 .policy = "npu_only",
                                 .sync = sync,
                                 .busy = "npu",
                                 .tolerance = {F32_TOLERANCE, q8_tolerance},
                                 .prefill = prefill,
                                 .brief = prefill > 0});
}

static void test_prompt(void)
{
    npu(NPU, "sleep_poll", 0, INT8_TOLERANCE);
}

static void test_long_prefill(void)
{
    npu(NPU, "queue_order", 33, INT8_TOLERANCE);
}

static void test_exact(void)
{
    npu(NPU ";npu.exact=true", "driver", 50, F32_TOLERANCE);
}

static void test_generic(void)
{
    npu(NPU ";npu.isa=generic", "poll", 32, INT8_TOLERANCE);
}

TESTS(golden_tokens_npu, T(test_prompt), T(test_long_prefill), T(test_exact), T(test_generic))
