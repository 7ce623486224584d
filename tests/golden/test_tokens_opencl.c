// SPDX-License-Identifier: GPL-3.0-or-later
// Token ids and logits equal the reference on the OpenCL device alone: generated from the prompt,
// and after a long prefill, with shared and with copied buffers.
#include "tests/golden/tokens_rig.h"

#define GPU   "cpu.enabled=false;npu.enabled=false"
#define FLOAT GPU ";gpu.activations=float"

static void gpu(const char *overrides, const char *sync, int prefill, double q8_tolerance)
{
    if (gpu_absent())
        return;
    run_setting((struct setting){.machine = "host",
                                 .overrides = overrides,
                                 .policy = "gpu_only",
                                 .sync = sync,
                                 .busy = "gpu",
                                 .tolerance = {F32_TOLERANCE, q8_tolerance},
                                 .prefill = prefill,
                                 .brief = prefill > 0});
}

static void test_prompt(void)
{
    gpu(FLOAT, "queue_order", 0, F32_TOLERANCE);
}

static void test_long_prefill(void)
{
    gpu(FLOAT, "sleep_poll", 50, F32_TOLERANCE);
}

static void test_copied_buffers(void)
{
    gpu(FLOAT ";gpu.memory=copy", "driver", 37, F32_TOLERANCE);
}

static void test_int8(void)
{
    gpu(GPU ";gpu.activations=int8", "event", 0, INT8_TOLERANCE);
}

static void test_int8_out_of_order(void)
{
    gpu(GPU ";gpu.activations=int8;gpu.queue=out_of_order", "sleep_poll", 50, INT8_TOLERANCE);
}

static void test_shared_virtual_memory(void)
{
    gpu(FLOAT ";gpu.memory=svm;gpu.queue=out_of_order", "driver", 37, F32_TOLERANCE);
}

static void test_host_memory(void)
{
    gpu(FLOAT ";gpu.memory=host_ptr;gpu.precision=fp32", "queue_order", 37, F32_TOLERANCE);
}

// The path of halves, with floats in their place: PoCL 3.1 has no cl_khr_fp16.
static void test_halves(void)
{
    gpu(FLOAT ";gpu.precision=fp16;gpu.kernel_options=-DHALF_IS_FLOAT=1", "driver", 37,
        F32_TOLERANCE);
}

static void test_images(void)
{
    gpu(FLOAT ";gpu.weights=image", "driver", 37, F32_TOLERANCE);
}

static void test_images_int8(void)
{
    gpu(GPU ";gpu.activations=int8;gpu.weights=image;gpu.memory=copy", "event", 37, INT8_TOLERANCE);
}

TESTS(golden_tokens_opencl, T(test_prompt), T(test_long_prefill), T(test_copied_buffers),
      T(test_host_memory), T(test_halves), T(test_images), T(test_images_int8), T(test_int8),
      T(test_int8_out_of_order), T(test_shared_virtual_memory))
