// SPDX-License-Identifier: GPL-3.0-or-later
// Token ids and logits equal the reference when two real devices share every operator: CPU + NPU
// and GPU + NPU, under each splitting policy. Prefills of 50 tokens: one static graph of 32 and a
// rest of 18.
#include "tests/golden/tokens_rig.h"

// Short spins: there may be fewer cores than threads.
#define CPU_NPU "gpu.enabled=false;cpu.threads=1;cpu.spin=100;npu.spin=100"
#define GPU_NPU "cpu.enabled=false;npu.spin=100"

static void split(bool gpu, const char *extra, const char *policy, const char *sync,
                  double q8_tolerance)
{
    char overrides[160], spec[160];
    if (gpu && gpu_absent())
        return;
    snprintf(overrides, sizeof overrides, "%s%s", gpu ? GPU_NPU : CPU_NPU, extra);
    snprintf(spec, sizeof spec, "%s%spartner=%s", policy, strchr(policy, ':') ? "," : ":",
             gpu ? "gpu" : "cpu");
    run_setting((struct setting){.machine = "host",
                                 .overrides = overrides,
                                 .policy = spec,
                                 .sync = sync,
                                 .busy = gpu ? "gpu npu" : "cpu npu",
                                 .tolerance = {F32_TOLERANCE, q8_tolerance},
                                 .prefill = 50,
                                 .brief = true});
}

static void test_cpu_weight_centric(void)
{
    split(false, "", "weight_centric:share=50 %", "sleep_poll", INT8_TOLERANCE);
}

static void test_cpu_activation_centric(void)
{
    split(false, "", "activation_centric", "driver", INT8_TOLERANCE);
}

static void test_cpu_hybrid(void)
{
    split(false, "", "hybrid:rest=flexible,share=40 %", "queue_order", INT8_TOLERANCE);
}

static void test_cpu_hetero_tensor(void)
{
    split(false, "", "hetero_tensor", "event", INT8_TOLERANCE);
}

static void test_cpu_exact(void)
{
    split(false, ";cpu.exact=true;npu.exact=true", "hybrid:rest=pad,share=60 %", "poll",
          F32_TOLERANCE);
}

static void test_gpu_weight_centric(void)
{
    split(true, "", "weight_centric:share=50 %", "queue_order", INT8_TOLERANCE);
}

static void test_gpu_activation_centric(void)
{
    split(true, "", "activation_centric", "sleep_poll", INT8_TOLERANCE);
}

static void test_gpu_hybrid(void)
{
    split(true, "", "hybrid:rest=flexible,share=40 %", "event", INT8_TOLERANCE);
}

static void test_gpu_hetero_tensor(void)
{
    split(true, "", "hetero_tensor", "sleep_poll", INT8_TOLERANCE);
}

// Buffers are copied between the devices' memories.
static void test_gpu_copied_exact(void)
{
    split(true, ";gpu.memory=copy;gpu.activations=float;npu.exact=true", "hetero_tensor", "driver",
          F32_TOLERANCE);
}

TESTS(golden_tokens_split, T(test_cpu_weight_centric), T(test_cpu_activation_centric),
      T(test_cpu_hybrid), T(test_cpu_hetero_tensor), T(test_cpu_exact), T(test_gpu_weight_centric),
      T(test_gpu_activation_centric), T(test_gpu_hybrid), T(test_gpu_hetero_tensor),
      T(test_gpu_copied_exact))
