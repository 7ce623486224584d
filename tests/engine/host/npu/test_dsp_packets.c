// SPDX-License-Identifier: GPL-3.0-or-later
// What the DSP's kernels cost, in packets: the emulator counts the same number in every run, so a
// kernel that became slower is seen without measuring time. The numbers belong to clang 19; where a
// change is meant, take the new ones from this test's output.
#include "tests/engine/host/npu/dsp_emulator.h"
#include "tests/engine/host/npu/dsp_kernel.h"
#include "tests/harness.h"

static const struct {
    struct dsp_kernel kernel;
    uint64_t packets;
} kernels[] = {
    {{"W8A8 GEMV", NPU_MATMUL, &encoding_q8_0, 512, 1024, 1}, 13802},
    {{"W4A8 GEMV", NPU_MATMUL, &encoding_q4_0, 512, 1024, 1}, 14943},
    {{"W4A8 GEMV Q4_K", NPU_MATMUL, &encoding_q4_k, 512, 1024, 1}, 19055},
    {{"W8A8 GEMV Q6_K", NPU_MATMUL, &encoding_q6_k, 512, 1024, 1}, 13610},
    {{"W8A8 GEMM", NPU_MATMUL, &encoding_q8_0, 128, 512, 32}, 51022},
    {{"W4A8 GEMM", NPU_MATMUL, &encoding_q4_0, 128, 512, 32}, 51800},
    {{"F32 GEMV", NPU_MATMUL, &encoding_f32, 64, 128, 1}, 10977},
    {{"RMSNORM", NPU_RMSNORM, NULL, 2048, 0, 1}, 9006},
    {{"SWIGLU", NPU_SWIGLU, NULL, 512, 0, 1}, 51130},
    {{"ADD", NPU_ADD, NULL, 2048, 0, 1}, 4975},
};

static uint64_t count(const struct dsp_kernel *k)
{
    struct dsp_case c;
    struct dsp_result r = {.ns = 0};
    const struct npu_message m = dsp_kernel(&c, k);
    uint64_t packets = 0;
    if (!k->enc || CHECK_INT(dsp_emulate(&c, &r), 0)) {
        dsp_ring(&c)->head = dsp_ring(&c)->done = dsp_ring(&c)->packets = 0;
        dsp_send(&c, &m);
        if (CHECK_INT(dsp_emulate(&c, &r), 0) && CHECK_INT(r.ran.status, NPU_OK))
            packets = dsp_ring(&c)->packets;
    }
    dsp_close(&c);
    return packets;
}

static void test_packets(void)
{
    if (!dsp_emulator_there()) {
        test_skip("no emulated DSP: make deps-hexagon hexagon");
        return;
    }
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        const uint64_t packets = count(&kernels[i].kernel);
        if (!CHECK(fabs((double)packets - (double)kernels[i].packets) <=
                   0.01 * (double)kernels[i].packets))
            test_note("%s: %llu packets, expected %llu", kernels[i].kernel.name,
                      (unsigned long long)packets, (unsigned long long)kernels[i].packets);
    }
    CHECK_INT(count(&kernels[0].kernel), count(&kernels[0].kernel)); // the counter itself
}

TESTS(engine_host_npu_dsp_packets, T(test_packets))
