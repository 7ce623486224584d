// SPDX-License-Identifier: GPL-3.0-or-later
// Energy: hand-solved sums, and that the parts of a running machine add up.
#include "models/soc/power.h"
#include "tests/models/soc_util.h"

static void test_hand_solved(void)
{
    struct power_params p = {.rest = 1,
                             .control_awake = 2,
                             .control_asleep = 0.5,
                             .gpu_active = 10,
                             .gpu_idle = 1,
                             .npu_active = 4,
                             .npu_idle = 0.25,
                             .dram_static = 0.5,
                             .dram_byte = 1e-10};
    struct power_activity a = {.now = 2 * PS_PER_S,
                               .spent = {[CORE_BIG] = 2 * PS_PER_S},
                               .asleep = {[CORE_BIG] = PS_PER_S / 2},
                               .bytes = 1e10,
                               .n_devices = 2,
                               .device = {{DEVICE_GPU, {PS_PER_S, PS_PER_S, 2 * PS_PER_S}},
                                          {DEVICE_NPU, {0, 0, 2 * PS_PER_S}}}};
    struct energy e;
    power_energy(&p, &a, &e);
    CHECK_NEAR(e.device[0], 10 + 1, 1e-12);
    CHECK_NEAR(e.device[1], 0.5, 1e-12);
    CHECK_NEAR(e.control, 2 * 1.5 + 0.25, 1e-12);
    CHECK_NEAR(e.dram, 1 + 1, 1e-12);
    CHECK_NEAR(e.rest, 2, 1e-12);
    CHECK_NEAR(e.total, 11 + 0.5 + 3.25 + 2 + 2, 1e-12);
    // The GPU at half the clock and 0.8 of the voltage, 2 of its 10 W leakage.
    p.gpu_leakage = 2;
    a.device[0].use = (struct clock_use){0.32 * PS_PER_S, 0.8 * PS_PER_S, 1.6 * PS_PER_S};
    power_energy(&p, &a, &e);
    CHECK_NEAR(e.device[0], 8 * 0.32 + 2 * 0.8 + 1 * 0.8, 1e-12);
}

static double sum(const struct machine *m, const struct energy *e)
{
    double s = e->dram + e->control + e->rest;
    for (int i = 0; i < m->n_devices; i++)
        s += e->device[i];
    return s;
}

// The same second costs more awake than asleep, and more with the GPU working.
static void test_machine(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    struct energy asleep, awake, busy;
    m->ops->sleep(m, PS_PER_S - 10 * PS_PER_US); // a multiple of 80 us, and 10 us to wake up
    m->ops->energy(m, &asleep);
    CHECK_NEAR(asleep.total, sum(m, &asleep), 1e-12);
    m->ops->reset(m);
    m->ops->energy(m, &awake);
    CHECK(awake.total == 0);
    while (m->ops->now(m) < PS_PER_S)
        m->ops->pause(m);
    m->ops->energy(m, &awake);
    CHECK_NEAR(awake.control, 0.45, 1e-3);
    CHECK_NEAR(asleep.control, 0.02, 1e-3);
    CHECK(awake.total > asleep.total);
    m->ops->reset(m);
    int gpu = soc_index(m, DEVICE_GPU);
    soc_until(m, gpu, soc_submit(m, gpu, soc_matmul(28672, 14336, 256, 0)));
    m->ops->energy(m, &busy);
    CHECK_NEAR(busy.total, sum(m, &busy), 1e-12);
    double s = (double)m->ops->now(m) / PS_PER_S;
    CHECK(busy.total / s > 3.5 && busy.total / s < 5);
    soc_close(m);
}

// Waiting for a callback lets the core sleep; polling does not.
static void test_waiting_is_cheaper_than_polling(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    int gpu = soc_index(m, DEVICE_GPU);
    struct device *d = m->device[gpu];
    struct task *t = soc_matmul(4096, 4096, 256, 0);
    struct energy e[2];
    struct err err = {0};
    for (int poll = 0; poll < 2; poll++) {
        m->ops->reset(m);
        uint64_t seq = soc_submit(m, gpu, t);
        if (poll)
            soc_until(m, gpu, seq);
        else
            CHECK_OK(d->ops->wait(d, seq, WAIT_EVENT, &err), &err);
        m->ops->energy(m, &e[poll]);
    }
    CHECK(e[1].control > 5 * e[0].control);
    soc_close(m);
}

TESTS(models_power, T(test_hand_solved), T(test_machine), T(test_waiting_is_cheaper_than_polling))
