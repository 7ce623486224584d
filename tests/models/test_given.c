// SPDX-License-Identifier: GPL-3.0-or-later
// The published rows of split `given` that concern the SoC alone, against configs/soc/sd8gen3.cfg,
// measured through the device interface. Latencies are the isolated profile of soc_util.h. Every
// row must be met within 5 % (the issue asks for 15 %), specifications within 1 %.
//
// A copy of the values stands here so that the test needs no other file; rows of the splits `check`
// and `blind` are not looked at.
#include "tests/models/soc_util.h"

enum what {
    PEAK,
    BEST,
    ORDER,
    ACHIEVABLE,
    DECODE,
    FINISH,
    SLEEP,
    SUBMIT,
    T3,
    PREPARE,
    POWER,
    SIDE
};

static const struct given {
    const char *id;
    double value;
    const char *unit;
    enum what what;
    enum device_kind device;
    int m, k, n;
} given[] = {
    {"gpu.peak_fp16", 2.8, "TFLOP/s", PEAK, DEVICE_GPU, 0, 0, 0},
    {"gpu.practical_fp16", 1.0, "TFLOP/s", BEST, DEVICE_GPU, 0, 0, 0},
    {"npu.peak_fp16", 17, "TFLOP/s", PEAK, DEVICE_NPU, 0, 0, 0},
    {"npu.peak_int8", 34, "TOP/s", PEAK, DEVICE_NPU, 0, 0, 8},
    {"npu.practical_fp16", 10, "TFLOP/s", BEST, DEVICE_NPU, 0, 0, 0},
    {"npu.array", 32, "PE", SIDE, DEVICE_NPU, 0, 0, 0},
    {"npu.order_ratio", 6, "x", ORDER, DEVICE_NPU, 14336, 4096, 0},
    {"dram.peak", 68, "GB/s", PEAK, DEVICE_CPU, 0, 0, 0},
    {"dram.achievable", 61.9, "GB/s", ACHIEVABLE, DEVICE_GPU, 0, 0, 0},
    {"dram.gpu_decode", 43.3, "GB/s", DECODE, DEVICE_GPU, 0, 0, 0},
    {"sync.clfinish", 400, "us", FINISH, DEVICE_GPU, 0, 0, 0},
    {"sync.usleep", 90, "us", SLEEP, DEVICE_CPU, 0, 0, 0},
    {"sync.submit", 30, "us", SUBMIT, DEVICE_GPU, 0, 0, 0},
    {"t3.gpu.4096x4096.n1", 511, "us", T3, DEVICE_GPU, 4096, 4096, 1},
    {"t3.npu.4096x4096.n1", 693, "us", T3, DEVICE_NPU, 4096, 4096, 1},
    {"t3.gpu.28672x4096.n1", 1903, "us", T3, DEVICE_GPU, 28672, 4096, 1},
    {"t3.npu.28672x4096.n1", 3886, "us", T3, DEVICE_NPU, 28672, 4096, 1},
    {"t3.gpu.4096x14336.n1", 1467, "us", T3, DEVICE_GPU, 4096, 14336, 1},
    {"t3.npu.4096x14336.n1", 6506, "us", T3, DEVICE_NPU, 4096, 14336, 1},
    {"t3.gpu.4096x4096.n128", 7306, "us", T3, DEVICE_GPU, 4096, 4096, 128},
    {"t3.npu.4096x4096.n128", 912, "us", T3, DEVICE_NPU, 4096, 4096, 128},
    {"t3.gpu.4096x4096.n256", 10841, "us", T3, DEVICE_GPU, 4096, 4096, 256},
    {"t3.npu.4096x4096.n256", 1884, "us", T3, DEVICE_NPU, 4096, 4096, 256},
    {"t3.gpu.4096x14336.n256", 35231, "us", T3, DEVICE_GPU, 4096, 14336, 256},
    {"t3.npu.4096x14336.n256", 23445, "us", T3, DEVICE_NPU, 4096, 14336, 256},
    {"graph.prepare.n1000", 2050, "ms", PREPARE, DEVICE_NPU, 0, 0, 1000},
    {"power.prefill.layer", 2.23, "W", POWER, DEVICE_NPU, 0, 0, 256},
};

static double isolated(struct machine *m, int d, int rows, int k, int n, enum operand_order o)
{
    return soc_isolated(m, d, soc_matmul(rows, k, n, o));
}

// Largest throughput over shapes as they occur in language models, in TFLOP/s.
static double best_throughput(struct machine *m, int d)
{
    double best = 0;
    for (int k = 512; k <= 8192; k *= 2)
        for (int n = 256; n <= 1024; n *= 2)
            best = fmax(best, 2.0 * 14336 * k * n / isolated(m, d, 14336, k, n, 0) / 1e6);
    return best;
}

static double order_ratio(struct machine *m, int d, int rows, int k)
{
    double best = 0;
    for (int n = 32; n <= 1024; n *= 2)
        best = fmax(best, isolated(m, d, rows, k, n, ORDER_WEIGHT_STATIONARY) /
                              isolated(m, d, rows, k, n, ORDER_WEIGHT_STREAMED));
    return best;
}

// GB/s of GPU and CPU together, reading large weights.
static double together(struct machine *m)
{
    int gpu = soc_index(m, DEVICE_GPU), cpu = soc_index(m, DEVICE_CPU);
    struct task *t = soc_matmul(28672, 4096, 1, 0);
    for (int i = 0; i < 100; i++) {
        soc_submit(m, gpu, t);
        soc_submit(m, cpu, t);
    }
    soc_until(m, gpu, 20);
    int64_t begin = m->ops->now(m);
    double bytes = machine_soc_dram_bytes(m);
    soc_until(m, gpu, 60);
    return (machine_soc_dram_bytes(m) - bytes) / ((double)(m->ops->now(m) - begin) / PS_PER_S) /
           1e9;
}

static double gpu_decode(struct machine *m)
{
    int gpu = soc_index(m, DEVICE_GPU);
    double bytes = 0, took = 1;
    for (int token = 0; token < 3; token++) { // the first one wakes the GPU
        struct graph g;
        uint64_t seq = 0;
        struct task t;
        int64_t begin = m->ops->now(m);
        bytes = machine_soc_dram_bytes(m);
        graph_build(soc_llama3_8b(), 1, 256 + token, &g);
        for (int layer = 0; layer < 32; layer++)
            for (int o = g.block_begin; o < g.block_end; o++) {
                graph_task(&g, o, layer, &t);
                seq = soc_submit(m, gpu, &t);
            }
        for (int o = g.block_end; o < g.n_ops; o++) {
            graph_task(&g, o, -1, &t);
            seq = soc_submit(m, gpu, &t);
        }
        soc_until(m, gpu, seq);
        bytes = machine_soc_dram_bytes(m) - bytes;
        took = (double)(m->ops->now(m) - begin) / PS_PER_S;
    }
    return bytes / took / 1e9;
}

// The four graphs of a block (q and o are one) at the standard size of the prompt, in ms.
static double prepare(struct machine *m, int d, int n)
{
    struct graph g;
    struct err e = {0};
    graph_build(soc_llama3_8b(), n, 0, &g);
    int64_t begin = m->ops->now(m);
    for (int o = g.block_begin; o < g.block_end; o++) {
        struct task t;
        int handle;
        graph_task(&g, o, 0, &t);
        if (t.op->kind != OP_MATMUL)
            continue;
        struct device *dev = m->device[d];
        struct static_graph s = {t.op, t.m0, t.m1, device_size_for(&dev->caps, n), 0};
        CHECK_OK(dev->ops->prepare(dev, &s, &handle, &e), &e);
    }
    return (double)(m->ops->now(m) - begin) / PS_PER_MS;
}

// W of a prefill with matmuls on the NPU and the rest on the GPU, waiting for callbacks.
static double layer_power(struct machine *m, int n)
{
    int gpu = soc_index(m, DEVICE_GPU), npu = soc_index(m, DEVICE_NPU), last = -1;
    struct graph g;
    struct energy before, after;
    struct err e = {0};
    uint64_t seq = 0;
    int64_t begin = 0;
    graph_build(soc_llama3_8b(), n, 0, &g);
    for (int layer = -1; layer < 8; layer++) { // the first round prepares the graphs and wakes
        if (layer == 0) {
            m->ops->energy(m, &before);
            begin = m->ops->now(m);
        }
        for (int o = g.block_begin; o < g.block_end; o++) {
            struct task t;
            graph_task(&g, o, layer < 0 ? 0 : layer, &t);
            int d = t.op->kind == OP_MATMUL ? npu : gpu;
            if (last >= 0 && d != last) {
                struct device *dev = m->device[last];
                CHECK_OK(dev->ops->wait(dev, seq, WAIT_EVENT, &e), &e);
            }
            seq = soc_submit(m, d, &t);
            last = d;
        }
    }
    CHECK_OK(m->device[last]->ops->wait(m->device[last], seq, WAIT_EVENT, &e), &e);
    m->ops->energy(m, &after);
    return (after.total - before.total) / ((double)(m->ops->now(m) - begin) / PS_PER_S);
}

static double predict(struct machine *m, const struct given *r)
{
    struct soc_peaks p;
    struct err e = {0};
    int d = soc_index(m, r->device);
    struct device *dev = m->device[d];
    machine_soc_peaks(m, &p);
    int64_t begin = m->ops->now(m);
    switch (r->what) {
    case PEAK:
        return r->device == DEVICE_GPU   ? p.gpu_flops / 1e12
               : r->device == DEVICE_CPU ? p.dram / 1e9
                                         : (r->n == 8 ? p.npu_ops : p.npu_flops) / 1e12;
    case BEST:
        return best_throughput(m, d);
    case ORDER:
        return order_ratio(m, d, r->m, r->k);
    case ACHIEVABLE:
        return together(m);
    case DECODE:
        return gpu_decode(m);
    case FINISH: {
        uint64_t seq = soc_submit(m, d, soc_matmul(4096, 4096, 1, 0));
        soc_until(m, d, seq);
        begin = m->ops->now(m);
        CHECK_OK(dev->ops->wait(dev, seq, WAIT_FINISH, &e), &e);
        break;
    }
    case SLEEP:
        m->ops->sleep(m, PS_PER_US);
        break;
    case SUBMIT:
        soc_submit(m, d, soc_matmul(4096, 4096, 1, 0));
        break;
    case T3:
        return isolated(m, d, r->m, r->k, r->n, ORDER_WEIGHT_STREAMED);
    case PREPARE:
        return prepare(m, d, r->n);
    case POWER:
        return layer_power(m, r->n);
    case SIDE:
        return dev->caps.tile;
    }
    return (double)(m->ops->now(m) - begin) / PS_PER_US;
}

static void test_given_rows(void)
{
    double worst = 0;
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        const struct given *r = &given[i];
        struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
        if (!m)
            return;
        double got = predict(m, r), error = got / r->value - 1;
        double tol = r->what == PEAK || r->what == SIDE ? 0.01 : 0.05;
        test_note("%-22s %9.2f published %9.2f %-7s %+5.1f %%", r->id, got, r->value, r->unit,
                  100 * error);
        CHECK(fabs(error) <= tol);
        worst = fmax(worst, fabs(error));
        soc_close(m);
    }
    test_note("largest error %.1f %% ", 100 * worst);
}

// The NPU's wake-up is in the isolated profile of a decode operator, not in a running decode.
static void test_isolated_is_not_streamed(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    int gpu = soc_index(m, DEVICE_GPU), npu = soc_index(m, DEVICE_NPU);
    struct task *t = soc_matmul(4096, 4096, 1, 0);
    double alone = soc_isolated(m, npu, t), streamed = soc_streamed(m, npu, t, 50);
    test_note("npu: isolated %.0f us, streamed %.0f us", alone, streamed);
    CHECK(alone - streamed > 100);
    alone = soc_isolated(m, gpu, t), streamed = soc_streamed(m, gpu, t, 50);
    test_note("gpu: isolated %.0f us, streamed %.0f us", alone, streamed);
    CHECK(alone > 2 * streamed);
    soc_close(m);
}

TESTS(models_given, T(test_given_rows), T(test_isolated_is_not_streamed))
