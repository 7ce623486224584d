// SPDX-License-Identifier: GPL-3.0-or-later
// The DSP's kernels in the emulator: packets, which are the same in every run, and time, which says
// how fast this machine emulates and nothing about a phone. Needs `make hexagon`.
//
//   bench_hexagon [PART-OF-NAME]
#include <stdio.h>
#include <unistd.h>
#include "tests/engine/host/npu/dsp_case.h"
#include "tests/engine/host/npu/dsp_emulator.h"

static const struct kernel {
    const char *name;
    enum npu_op op;
    const struct encoding *enc;
    int m, k, n;
} kernels[] = {
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

static float noise(void)
{
    static uint32_t seed = 1;
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) * 0x1p-24f * 2 - 1;
}

static struct npu_tensor filled(struct dsp_case *c, int rows, int width)
{
    struct npu_tensor t = dsp_tensor(c, (uint64_t)rows, (uint64_t)width * 4);
    for (int i = 0; i < rows * width; i++)
        dsp_row(c, &t, 0)[i] = noise();
    return t;
}

static void weights(struct dsp_case *c, struct npu_message *m, const struct kernel *k)
{
    const struct npu_packing p = npu_packing(k->enc, k->m, k->k, false);
    const int64_t pitch = encoding_size(k->enc, k->k);
    char *data = malloc((size_t)(k->m * pitch));
    float *row = malloc((size_t)k->k * sizeof *row);
    for (int r = 0; r < k->m; r++) {
        for (int i = 0; i < k->k; i++)
            row[i] = noise();
        k->enc->encode(row, data + r * pitch, k->k);
    }
    dsp_weights(c, m, 0, &p, data, pitch);
    free(row);
    free(data);
}

static int run(const struct kernel *k)
{
    struct dsp_case c;
    struct dsp_result r;
    struct npu_message m = dsp_message(k->op);
    dsp_open(&c, (uint64_t)32 << 20);
    m.m = m.m1 = k->m, m.k = k->k, m.n1 = m.n_pad = k->n;
    m.n_head = 32, m.n_head_kv = 4, m.d_head = 64, m.scale = 0.125f;
    m.order = 1;
    m.n_parts = 1;
    m.in = filled(&c, k->n, k->op == NPU_MATMUL ? k->k : 2 * k->m);
    m.out = filled(&c, k->n, k->m);
    if (k->op == NPU_ATTENTION) {
        m.n_past = 255;
        m.kcache = filled(&c, 256, 256);
        m.vcache = filled(&c, 256, 256);
    } else if (k->enc) {
        weights(&c, &m, k);
        dsp_graph(&c, &m, false);
    } else {
        m.w[0] = filled(&c, 1, k->m);
    }
    // PREPARE's packets are not counted: it runs in a case of its own.
    c.size = c.used;
    if (k->enc && dsp_emulate(&c, &r) < 0)
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
