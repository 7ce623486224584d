// SPDX-License-Identifier: GPL-3.0-or-later
// Memory as seen through the devices: the limit of a port, the ceiling of all, who gets what.
#include "tests/models/soc_util.h"

// 64 GB/s in all, 40 GB/s for each: numbers for mental arithmetic. No costs but the memory.
#define PLAIN                                                                                      \
    SOC_ROUND_DRAM                                                                                 \
    ";gpu.gemv=1000 TFLOP/s;gpu.gemm=1000 TFLOP/s;cpu.gemv=1000 TFLOP/s;cpu.gemm=1000 TFLOP/s;"    \
    "gpu.queue.submit=0 us;gpu.queue.restart=0 us;gpu.queue.launch=0 us;gpu.queue.wake=0 us;"      \
    "gpu.queue.ramp=0 us;cpu.queue.submit=0 us;cpu.queue.restart=0 us;cpu.queue.launch=0 us;"      \
    "cpu.queue.wake=0 us"

static double us_since(struct machine *m, int64_t begin)
{
    return (double)(m->ops->now(m) - begin) / (double)PS_PER_US;
}

static double task_bytes(const struct task *t)
{
    struct work w = task_work(t, 2);
    return w.weight_bytes + w.read_bytes + w.write_bytes;
}

static void test_alone_and_together(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, PLAIN, false);
    int gpu = soc_index(m, DEVICE_GPU), cpu = soc_index(m, DEVICE_CPU);
    struct task *t = soc_matmul(4096, 4096, 1, 0);
    double bytes = task_bytes(t);
    int64_t begin = m->ops->now(m);
    soc_until(m, gpu, soc_submit(m, gpu, t));
    CHECK_NEAR(us_since(m, begin), bytes / 40e9 * 1e6,
               1.5); // its port, to a turn of polling and the latency
    begin = m->ops->now(m);
    uint64_t a = soc_submit(m, gpu, t), b = soc_submit(m, cpu, t);
    soc_until(m, gpu, a);
    soc_until(m, cpu, b);
    CHECK_NEAR(us_since(m, begin), bytes / 32e9 * 1e6, 1.5); // half of the ceiling each
    soc_close(m);
}

// A short flow beside a long one: shared until it ends, then the port is the limit.
static void test_one_leaves(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, PLAIN, false);
    int gpu = soc_index(m, DEVICE_GPU), cpu = soc_index(m, DEVICE_CPU);
    struct task *large = soc_matmul(16384, 4096, 1, 0), *small = soc_matmul(4096, 4096, 1, 0);
    double shared = task_bytes(small) / 32e9;
    int64_t begin = m->ops->now(m);
    uint64_t a = soc_submit(m, gpu, large);
    soc_submit(m, cpu, small);
    soc_until(m, gpu, a);
    double rest = task_bytes(large) - shared * 32e9;
    CHECK_NEAR(us_since(m, begin), (shared + rest / 40e9) * 1e6, 1.5);
    soc_close(m);
}

// A compute-bound task asks for little and gets it, but in bursts: 9.45 GB/s of 32 while it asks,
// so for three tenths of the time; in these the other one has 32 GB/s, else the 40 of its port.
static void test_small_demand_is_met(void)
{
    // The GPU needs 1 ms: 4096 * 4096 * 2 flop at 33.554432 Gflop/s (tail 0, all slots).
    struct machine *m =
        soc_open(SOC_DEFAULT,
                 PLAIN ";gpu.gemv=33.554432 GFLOP/s;gpu.gemm=33.554432 GFLOP/s;gpu.tail=0", false);
    int gpu = soc_index(m, DEVICE_GPU), cpu = soc_index(m, DEVICE_CPU);
    struct task *t = soc_matmul(4096, 4096, 1, 0);
    int64_t begin = m->ops->now(m);
    uint64_t a = soc_submit(m, gpu, t), b = soc_submit(m, cpu, t);
    soc_until(m, cpu, b);
    double asks = task_bytes(t) / 1e-3 / 32e9;
    CHECK_NEAR(us_since(m, begin), task_bytes(t) / (asks * 32e9 + (1 - asks) * 40e9) * 1e6, 1.5);
    soc_until(m, gpu, a);
    CHECK_NEAR(us_since(m, begin), 1000, 1);
    soc_close(m);
}

static void test_conservation(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    struct device_stats s;
    uint64_t seq[MACHINE_MAX_DEVICES] = {0};
    for (int i = 0; i < 50; i++)
        for (int d = 0; d < m->n_devices; d++)
            seq[d] = soc_submit(m, d, soc_matmul(32 * (i + 1), 4096, 1 + i % 3, 0));
    for (int d = 0; d < m->n_devices; d++)
        soc_until(m, d, seq[d]);
    double bytes = 0;
    for (int d = 0; d < m->n_devices; d++) {
        m->device[d]->ops->stats(m->device[d], &s);
        bytes += s.bytes;
        CHECK(s.busy_ps <= m->ops->now(m));
        CHECK_INT((long long)s.tasks, 50);
    }
    CHECK(bytes == machine_soc_dram_bytes(m));
    struct soc_peaks p;
    machine_soc_peaks(m, &p);
    CHECK(bytes <= p.dram_achievable * (double)m->ops->now(m) / PS_PER_S);
    soc_close(m);
}

static void test_more_bandwidth_is_not_slower(void)
{
    double last = INFINITY;
    for (int i = 4; i <= 24; i += 4) {
        char text[128];
        snprintf(text, sizeof text, "dram.timing.transfer_rate=%d GHz;gpu.queue.outstanding=%d", i,
                 20 * i);
        struct machine *m = soc_open(SOC_DEFAULT, text, false);
        double t = soc_streamed(m, soc_index(m, DEVICE_GPU), soc_matmul(28672, 4096, 1, 0), 5);
        CHECK(t <= last);
        last = t;
        soc_close(m);
    }
}

TESTS(models_dram, T(test_alone_and_together), T(test_one_leaves), T(test_small_demand_is_met),
      T(test_conservation), T(test_more_bandwidth_is_not_slower))
