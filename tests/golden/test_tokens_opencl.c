// SPDX-License-Identifier: GPL-3.0-or-later
// Token ids and logits equal the reference on the OpenCL device alone: generated from the prompt,
// and after a long prefill, with shared and with copied buffers.
#include "tests/golden/tokens_rig.h"

#define GPU "cpu.enabled=false;npu.enabled=false"

static void gpu(const char *overrides, const char *sync, int prefill)
{
    if (gpu_absent())
        return;
    run_setting((struct setting){.machine = "host",
                                 .overrides = overrides,
                                 .policy = "gpu_only",
                                 .sync = sync,
                                 .busy = "gpu",
                                 .tolerance = {F32_TOLERANCE, F32_TOLERANCE},
                                 .prefill = prefill,
                                 .brief = prefill > 0});
}

static void test_prompt(void)
{
    gpu(GPU, "queue_order", 0);
}

static void test_long_prefill(void)
{
    gpu(GPU, "sleep_poll", 50);
}

static void test_copied_buffers(void)
{
    gpu(GPU ";gpu.zero_copy=off", "driver", 37);
}

TESTS(golden_tokens_opencl, T(test_prompt), T(test_long_prefill), T(test_copied_buffers))
