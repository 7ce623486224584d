// SPDX-License-Identifier: GPL-3.0-or-later
// The control plane on cores of each class: its own work takes longer on a smaller core, sleeping
// does not, and time and energy are booked on the class that spent them.
#include "tests/models/soc_util.h"

static const struct {
    enum core_class core;
    double slow, awake; // of configs/soc/sd8gen3.cfg; W
} classes[] = {{CORE_BIG, 1, 0.45}, {CORE_MIDDLE, 1.5, 0.25}, {CORE_LITTLE, 3, 0.09}};

static double control_joules(struct machine *m)
{
    struct energy e;
    m->ops->energy(m, &e);
    return e.control;
}

static void test_classes(void)
{
    const int64_t us = PS_PER_US;
    for (int i = 0; i < 3; i++) {
        struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
        int gpu = soc_index(m, DEVICE_GPU);
        double slow = classes[i].slow;
        m->ops->place(m, classes[i].core);
        m->ops->pause(m); // one turn of 1 us
        CHECK_INT(m->ops->now(m), (int64_t)(slow * us));
        int64_t begin = m->ops->now(m);
        m->ops->sleep(m, 100 * us); // 160 us in steps of 80, and 10 us to wake up
        CHECK_INT(m->ops->now(m) - begin, 160 * us + (int64_t)(slow * 10 * us));
        begin = m->ops->now(m);
        uint64_t seq = soc_submit(m, gpu, soc_matmul(4096, 4096, 256, 0)); // restart: 30 us
        CHECK_INT(m->ops->now(m) - begin, (int64_t)(slow * 30 * us));
        CHECK_NEAR(control_joules(m), classes[i].awake * slow * 41e-6 + 0.02 * 160e-6, 1e-12);
        double before = control_joules(m);
        begin = m->ops->now(m);
        soc_until(m, gpu, seq); // polls: awake all the time, in turns of `slow` us
        double s = (double)(m->ops->now(m) - begin) / PS_PER_S;
        CHECK_NEAR(control_joules(m) - before, classes[i].awake * s, 1e-12);
        CHECK_INT((m->ops->now(m) - begin) % (int64_t)(slow * us), 0);
        soc_close(m);
    }
}

// Moving between classes splits the time, it costs none.
static void test_moving(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    double expected = 0;
    for (int i = 0; i < 30; i++) {
        m->ops->place(m, classes[i % 3].core);
        for (int k = 0; k <= i; k++)
            m->ops->pause(m);
        expected += (i + 1) * 1e-6 * classes[i % 3].slow * classes[i % 3].awake;
        if (i % 4 == 0) {
            m->ops->sleep(m, 1);
            expected += 80e-6 * 0.02 + 10e-6 * classes[i % 3].slow * classes[i % 3].awake;
        }
    }
    CHECK_NEAR(control_joules(m), expected, 1e-12);
    int64_t now = m->ops->now(m);
    m->ops->place(m, CORE_ANY); // a big one
    CHECK_INT(m->ops->now(m), now);
    m->ops->pause(m);
    CHECK_INT(m->ops->now(m) - now, PS_PER_US);
    soc_close(m);
}

TESTS(models_control, T(test_classes), T(test_moving))
