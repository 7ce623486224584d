// SPDX-License-Identifier: GPL-3.0-or-later
// The DSP's kernels in the emulator: packets, which are the same in every run, and processor time,
// which says how fast this machine emulates and nothing about a phone. Needs `make hexagon`.
//
//   bench_hexagon [PART-OF-NAME]
#include "tests/engine/host/npu/dsp_emulator.h"
#include "tests/engine/host/npu/dsp_kernel.h"

static const struct dsp_kernel kernels[] = {
    {"W8A8 GEMV 2048x2048", NPU_MATMUL, &encoding_q8_0, 2048, 2048, 1},
    {"W4A8 GEMV 2048x2048", NPU_MATMUL, &encoding_q4_0, 2048, 2048, 1},
    {"W4A8 GEMV 2048x2048 Q4_K", NPU_MATMUL, &encoding_q4_k, 2048, 2048, 1},
    {"W8A8 GEMV 2048x2048 Q6_K", NPU_MATMUL, &encoding_q6_k, 2048, 2048, 1},
    {"W8A8 GEMM 256x256x256", NPU_MATMUL, &encoding_q8_0, 256, 256, 256},
    {"W4A8 GEMM 256x256x256", NPU_MATMUL, &encoding_q4_0, 256, 256, 256},
    {"W4A8 GEMM 256x256x256 Q4_K", NPU_MATMUL, &encoding_q4_k, 256, 256, 256},
    {"W8A8 GEMM 256x256x256 Q6_K", NPU_MATMUL, &encoding_q6_k, 256, 256, 256},
    {"F32 GEMV 256x256", NPU_MATMUL, &encoding_f32, 256, 256, 1},
    {"RMSNORM 2048", NPU_RMSNORM, NULL, 2048, 2048, 1},
    {"SWIGLU 5632", NPU_SWIGLU, NULL, 5632, 0, 1},
    {"ADD 2048", NPU_ADD, NULL, 2048, 0, 1},
    {"ATTENTION 32 heads of 64, 256 rows", NPU_ATTENTION, NULL, 2048, 0, 1},
};

static int run(const struct dsp_kernel *k)
{
    struct dsp_case c;
    struct dsp_result r;
    const struct npu_message m = dsp_kernel(&c, k);
    if (k->enc && dsp_emulate(&c, &r) < 0) // PREPARE, in a case of its own
        return -1;
    dsp_ring(&c)->head = dsp_ring(&c)->done = dsp_ring(&c)->packets = 0;
    // The first one also pays for the emulator's translation: time is the others'.
    enum { MORE = 10 };
    dsp_send(&c, &m);
    if (dsp_emulate(&c, &r) < 0 || r.ran.status != NPU_OK)
        return -1;
    const uint64_t packets = dsp_ring(&c)->packets, first = r.ns;
    dsp_ring(&c)->head = dsp_ring(&c)->done = dsp_ring(&c)->packets = 0;
    for (int i = 0; i <= MORE; i++)
        dsp_send(&c, &m);
    if (dsp_emulate(&c, &r) < 0 || r.ran.status != NPU_OK)
        return -1;
    const double ms = ((double)r.ns - (double)first) / 1e6 / MORE;
    const double macs = (double)k->m * k->k * k->n;
    printf("%-36s %10llu packets %8.2f ms", k->name, (unsigned long long)packets, ms);
    if (k->op == NPU_MATMUL)
        printf("  %6.1f MAC/packet %6.2f GMAC/s", macs / (double)packets, macs / ms / 1e6);
    puts("");
    dsp_close(&c);
    return 0;
}

int main(int argc, char **argv)
{
    if (!dsp_emulator_there()) {
        puts("no emulated DSP: make deps-hexagon hexagon");
        return 0;
    }
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
        if ((argc < 2 || strstr(kernels[i].name, argv[1])) && run(&kernels[i]) < 0) {
            fprintf(stderr, "bench_hexagon: %s failed\n", kernels[i].name);
            return 1;
        }
    return 0;
}
