// SPDX-License-Identifier: GPL-3.0-or-later
// The GPU and what all agents share: queue, host costs, idle state, roofline.
#include "tests/models/soc_util.h"

static double submit_us(struct machine *m, int d, struct task *t, uint64_t *seq)
{
    int64_t begin = m->ops->now(m);
    *seq = soc_submit(m, d, t);
    return (double)(m->ops->now(m) - begin) / (double)PS_PER_US;
}

static void test_submission_costs(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    int gpu = soc_index(m, DEVICE_GPU);
    struct task *t = soc_matmul(4096, 4096, 1, 0);
    uint64_t seq;
    CHECK_NEAR(submit_us(m, gpu, t, &seq), 30, 1e-9); // empty queue
    CHECK_NEAR(submit_us(m, gpu, t, &seq), 5, 1e-9);
    CHECK_NEAR(submit_us(m, gpu, t, &seq), 5, 1e-9);
    CHECK_INT((long long)seq, 3);
    soc_until(m, gpu, seq);
    CHECK_NEAR(submit_us(m, gpu, t, &seq), 30, 1e-9); // drained
    soc_close(m);
}

static void test_driver_costs(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    int gpu = soc_index(m, DEVICE_GPU);
    struct device *d = m->device[gpu];
    struct err e = {0};
    uint64_t seq = soc_submit(m, gpu, soc_matmul(64, 64, 1, 0));
    int64_t at = m->ops->now(m);
    CHECK_INT(d->ops->poll(d, seq, &e), 0);
    CHECK_INT(m->ops->now(m) - at, 2 * PS_PER_US);
    soc_until(m, gpu, seq);
    at = m->ops->now(m);
    CHECK_INT(d->ops->poll(d, seq, &e), 1);
    CHECK_INT(d->ops->wait(d, seq, WAIT_EVENT, &e), 0);
    CHECK_INT(m->ops->now(m) - at, 62 * PS_PER_US);
    CHECK_INT(d->ops->wait(d, seq, WAIT_FINISH, &e), 0);
    CHECK_INT(m->ops->now(m) - at, 462 * PS_PER_US);
    CHECK(d->ops->wait(d, seq + 1, WAIT_EVENT, &e) < 0);
    CHECK_HAS(e.msg, "never given out");
    CHECK(d->ops->poll(d, seq + 1, &e) < 0);
    soc_close(m);
}

// 1 ms of arithmetic: 4096 rows in 64 waves of 64 lanes on 64 slots; no tail, no costs.
#define PLAIN                                                                                      \
    "gpu.slots=64;gpu.wave=64;gpu.tail=0;gpu.gemv=33.554432 GFLOP/s;gpu.gemm=33.554432 GFLOP/s;"   \
    "gpu.gemm_outputs=64;gpu.queue.restart=0 us;gpu.queue.launch=0 us;gpu.queue.wake=0 us;"        \
    "gpu.queue.ramp=0 us;gpu.queue.ramp_clock=50 %;control.pause=1 ns"

// us for the first data's way in and the last results' way out.
#define WAY 0.7

static double one(const char *overrides, int rows, int k, int n)
{
    struct machine *m = soc_open(SOC_DEFAULT, overrides, false);
    double us = soc_isolated(m, soc_index(m, DEVICE_GPU), soc_matmul(rows, k, n, 0));
    soc_close(m);
    return us;
}

static void test_roofline(void)
{
    CHECK_NEAR(one(PLAIN, 4096, 4096, 1), 1000, WAY);
    CHECK_NEAR(one(PLAIN, 8192, 4096, 1), 2000, WAY);
    // The tail: half a round of 64 * 64 rows, whatever the number of rows.
    CHECK_NEAR(one(PLAIN ";gpu.tail=0.5", 4096, 4096, 1), 1500, WAY);
    CHECK_NEAR(one(PLAIN ";gpu.tail=0.5", 8192, 4096, 1), 2500, WAY);
    // Memory-bound: 9,453,568 bytes (4.5 bit weights, activations) at 40 GB/s.
    CHECK_NEAR(one(PLAIN ";gpu.gemv=1000 TFLOP/s;" SOC_ROUND_DRAM, 4096, 4096, 1), 9453568 / 40e3,
               0.3);
}

// Half of the work at half the clock during a ramp of 1 ms, the rest at full clock.
static void test_ramp(void)
{
    CHECK_NEAR(one(PLAIN ";gpu.queue.ramp=1 ms", 4096, 4096, 1), 1500, WAY);
    CHECK_NEAR(one(PLAIN ";gpu.queue.ramp=5 ms", 4096, 4096, 1), 2000, WAY); // all of it
    CHECK_NEAR(one(PLAIN ";gpu.queue.ramp=5 ms;gpu.queue.ramp_clock=25 %", 4096, 4096, 1), 4000,
               WAY);
    CHECK_NEAR(one(PLAIN ";gpu.queue.wake=100 us", 4096, 4096, 1), 1100, WAY);
}

static void test_sleeps_when_idle(void)
{
    struct machine *m =
        soc_open(SOC_DEFAULT, PLAIN ";gpu.queue.wake=100 us;gpu.queue.idle=2 ms", false);
    int gpu = soc_index(m, DEVICE_GPU);
    struct task *t = soc_matmul(4096, 4096, 1, 0);
    const struct {
        int64_t pause_us;
        double expect;
    } edge[] = {{0, 1100}, {1000, 1000}, {1910, 1000}, {1990, 1100}, {5000, 1100}};
    for (size_t i = 0; i < sizeof edge / sizeof edge[0]; i++) { // a sleep takes up to 90 us more
        m->ops->sleep(m, edge[i].pause_us * PS_PER_US);
        int64_t begin = m->ops->now(m);
        soc_until(m, gpu, soc_submit(m, gpu, t));
        CHECK_NEAR((double)(m->ops->now(m) - begin) / (double)PS_PER_US, edge[i].expect, WAY);
    }
    soc_close(m);
}

// us of n tokens that attend to themselves, after `past` others.
static double attention(const char *overrides, int past, int n)
{
    struct op op = {.kind = OP_ATTENTION, .name = "attn", .m = 4096, .k = 4096, .in2 = BUF_NONE};
    struct task t = {
        .op = &op, .model = soc_llama3_8b(), .m1 = op.m, .n1 = n, .n_past = past, .graph = -1};
    struct machine *m = soc_open(SOC_DEFAULT, overrides, false);
    double us = soc_isolated(m, soc_index(m, DEVICE_GPU), &t);
    soc_close(m);
    return us;
}

// Two products of 32 heads, 128 long, for 64 tokens with 32.5 rows on average: 34.08 MFLOP.
static void test_attention_rate(void)
{
    double slow = attention("gpu.attention=1 GFLOP/s;gpu.queue.ramp=0 us", 0, 64);
    double fast = attention("gpu.attention=2 GFLOP/s;gpu.queue.ramp=0 us", 0, 64);
    CHECK_NEAR(slow - fast, 34078.72 / 2, 2); // a turn of polling
    CHECK_NEAR(attention("gpu.attention=0 GFLOP/s", 0, 64), attention(NULL, 0, 64), 0);
    // One token is not what it is about.
    CHECK_NEAR(attention("gpu.attention=1 GFLOP/s", 99, 1), attention(NULL, 99, 1), 0);
}

static void test_monotone(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    int gpu = soc_index(m, DEVICE_GPU);
    for (int n = 1; n <= 1024; n *= 4) {
        double last = 0;
        for (int rows = 32; rows <= 28672; rows = rows * 5 / 4) {
            double t = soc_isolated(m, gpu, soc_matmul(rows, 4096, n, 0));
            CHECK(t >= last);
            last = t;
        }
    }
    double last = 0;
    for (int n = 1; n <= 1024; n += 7) {
        double t = soc_isolated(m, gpu, soc_matmul(4096, 4096, n, 0));
        CHECK(t >= last);
        last = t;
    }
    soc_close(m);
    static const char *const faster[][2] = {
        {"gpu.gemm=500 GFLOP/s", "gpu.gemm=2 TFLOP/s"},
        {"gpu.gemv=100 GFLOP/s", "gpu.gemv=1 TFLOP/s"},
        {"gpu.tail=2", "gpu.tail=0"},
        {"gpu.queue.restart=60 us", "gpu.queue.restart=0 us"},
        {"gpu.queue.launch=60 us", "gpu.queue.launch=0 us"},
        {"gpu.queue.outstanding=50", "gpu.queue.outstanding=200"},
        {"gpu.queue.ramp=9 ms", "gpu.queue.ramp=0 ms"},
    };
    for (size_t i = 0; i < sizeof faster / sizeof faster[0]; i++)
        for (int n = 1; n <= 256; n *= 16)
            CHECK(one(faster[i][0], 4096, 4096, n) >= one(faster[i][1], 4096, 4096, n));
}

static void test_full_queue_blocks(void)
{
    struct machine *m =
        soc_open(SOC_DEFAULT, PLAIN ";gpu.queue.depth=2;gpu.queue.submit=0 us", false);
    int gpu = soc_index(m, DEVICE_GPU);
    struct task *t = soc_matmul(4096, 4096, 1, 0);
    uint64_t seq;
    CHECK_NEAR(submit_us(m, gpu, t, &seq), 0, 1e-9);
    CHECK_NEAR(submit_us(m, gpu, t, &seq), 0, 1e-9);
    CHECK_NEAR(submit_us(m, gpu, t, &seq), 1000, WAY); // until the first is done
    CHECK_INT((long long)m->ops->flag(m, gpu), 1);
    soc_until(m, gpu, seq);
    CHECK_INT((long long)seq, 3);
    soc_close(m);
}

static void test_no_static_graphs(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    struct device *d = m->device[soc_index(m, DEVICE_GPU)];
    struct task *t = soc_matmul(4096, 4096, 20, 0);
    struct err e = {0};
    CHECK_OK(d->ops->supports(d, t, &e), &e);
    t->n_pad = 32;
    CHECK_INT(d->ops->supports(d, t, &e), ERR_UNSUPPORTED);
    CHECK_HAS(e.msg, "no static graphs");
    soc_close(m);
}

TESTS(models_gpu, T(test_submission_costs), T(test_driver_costs), T(test_roofline), T(test_ramp),
      T(test_sleeps_when_idle), T(test_attention_rate), T(test_monotone), T(test_full_queue_blocks),
      T(test_no_static_graphs))
