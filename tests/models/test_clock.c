// SPDX-License-Identifier: GPL-3.0-or-later
// Operating points, heat, and what both do to speed and energy: hand-solved sums, the analytic step
// response, and that leaving everything alone changes nothing.
#include "models/soc/clock.h"
#include "models/soc/thermal.h"
#include "base/trace_memory.h"
#include "tests/models/soc_util.h"

static const struct clock_params three = {.frequencies = {3, {1000000000, 500000000, 250000000}},
                                          .millivolts = {3, {1000, 800, 500}}};

static void test_weights(void)
{
    struct clock c;
    clock_init(&c, &three);
    CHECK(c.f == 1 && c.v == 1 && clock_levels(&three) == 3);
    CHECK_INT(clock_stretch(&c, 12345), 12345);
    struct clock_use u = clock_used(&c, 100, 40);
    CHECK(u.dynamic == 40 && u.busy == 40 && u.all == 100);
    clock_set(&c, 1, 100, 40);
    CHECK_INT(clock_stretch(&c, 1000), 2000);
    u = clock_used(&c, 200, 90); // 50 ps of work at f = 1/2, V = 0.8
    CHECK_NEAR(u.dynamic, 40 + 50 * 0.5 * 0.64, 1e-9);
    CHECK_NEAR(u.busy, 40 + 50 * 0.8, 1e-9);
    CHECK_NEAR(u.all, 100 + 100 * 0.8, 1e-9);
    clock_set(&c, 9, 200, 90); // no such point: the slowest
    CHECK_INT(c.level, 2);
    CHECK_INT(clock_stretch(&c, 1000), 4000);
    u = clock_used(&c, 300, 100);
    CHECK_NEAR(u.dynamic, 40 + 16 + 10 * 0.25 * 0.25, 1e-9);
    CHECK_NEAR(u.busy, 80 + 10 * 0.5, 1e-9);
    CHECK_NEAR(u.all, 180 + 100 * 0.5, 1e-9);
    struct clock_params none = {.level = 0};
    clock_init(&c, &none);
    CHECK(c.f == 1 && c.v == 1 && clock_levels(&none) == 1);
}

// A task limited by computing takes as much longer as the clock is slower; one limited by memory
// does not.
static void test_speed(void)
{
    struct task *compute = soc_matmul(4096, 4096, 256, 0), *memory = soc_matmul(128256, 4096, 1, 0);
    double us[2][3];
    static const char *const set[3] = {NULL, "gpu.clock.level=4", "gpu.clock.level=11"};
    static const double f[3] = {1, 680.0 / 903, 231.0 / 903};
    for (int i = 0; i < 3; i++) {
        struct machine *m = soc_open(SOC_DEFAULT, set[i], false);
        int gpu = soc_index(m, DEVICE_GPU);
        us[0][i] = soc_streamed(m, gpu, compute, 20);
        us[1][i] = soc_streamed(m, gpu, memory, 20);
        soc_close(m);
    }
    const double launch = 4;
    for (int i = 1; i < 3; i++)
        CHECK_NEAR((us[0][i] - launch) / (us[0][0] - launch), 1 / f[i], 1e-3);
    CHECK_NEAR(us[1][1] / us[1][0], 1, 1e-3);
    // The low clock after waking is a cap: at a point below it waking makes no difference.
    struct machine *m = soc_open(SOC_DEFAULT, "gpu.clock.level=11", false);
    double isolated = soc_isolated(m, soc_index(m, DEVICE_GPU), compute);
    CHECK_NEAR(isolated, us[0][2] + 95 + 30, 2); // wake and restart
    soc_close(m);
}

// The first level is what a configuration without operating points is, to the last event.
static void test_first_level_changes_nothing(void)
{
    static const char *const set[] = {NULL, "gpu.clock.level=0;npu.clock.level=0;cpu.clock.level=0",
                                      "gpu.clock.frequencies=[];gpu.clock.millivolts=[];"
                                      "npu.clock.frequencies=[];npu.clock.millivolts=[]",
                                      "power.gpu_leakage=1 W;power.npu_leakage=1 W"};
    uint64_t digest[4];
    struct energy e[4];
    for (int i = 0; i < 4; i++) {
        struct machine *m = soc_open(SOC_DEFAULT, set[i], false);
        for (int d = 0; d < m->n_devices; d++)
            for (int k = 0; k < 5; k++)
                soc_until(m, d, soc_submit(m, d, soc_matmul(4096, 4096, 64, 0)));
        digest[i] = m->ops->digest(m);
        m->ops->energy(m, &e[i]);
        CHECK(digest[i] == digest[0]);
        CHECK(e[i].total == e[0].total); // exactly
        CHECK(isnan(e[i].temperature) && e[i].throttled == 0);
        soc_close(m);
    }
}

static double gpu_joules(const char *set, double *s)
{
    struct machine *m = soc_open(SOC_DEFAULT, set, false);
    int gpu = soc_index(m, DEVICE_GPU);
    struct energy e;
    struct device_stats st;
    for (int k = 0; k < 20; k++)
        soc_until(m, gpu, soc_submit(m, gpu, soc_matmul(4096, 4096, 256, 0)));
    m->ops->energy(m, &e);
    m->device[gpu]->ops->stats(m->device[gpu], &st);
    *s = (double)st.busy_ps / PS_PER_S;
    double idle = (double)m->ops->now(m) / PS_PER_S - *s;
    soc_close(m);
    return e.device[gpu] - 0.020 * idle * (set ? 750.0 / 900 : 1);
}

// 680 MHz at 750 mV over 903 MHz at 900 mV; 350 mW of the 3.5 W are leakage.
static void test_power(void)
{
    double fast, slow;
    double a = gpu_joules(NULL, &fast), b = gpu_joules("gpu.clock.level=4", &slow);
    CHECK_NEAR(a / fast, 3.5, 1e-9);
    double v = 750.0 / 900, f = 680.0 / 903;
    CHECK_NEAR(b / slow, 0.35 * v + 3.15 * f * v * v, 1e-9);
    CHECK(slow > fast && b < a); // slower, and cheaper for the same work
}

static void test_bad_points(void)
{
    static const struct {
        const char *set, *key;
    } bad[] = {
        {"gpu.clock.level=12", "gpu.clock.level"},
        {"npu.clock.frequencies=[1 GHz, 2 GHz, 500 MHz, 400 MHz, 300 MHz]",
         "npu.clock.frequencies"},
        {"cpu.clock.millivolts=[900, 1000, 780, 700, 640]", "cpu.clock.millivolts"},
        {"gpu.clock.millivolts=[900]", "gpu.clock.millivolts"},
        {"power.gpu_leakage=4 W", "power.gpu_leakage"},
        {"thermal.limit=43", "thermal.limit"},
        {"thermal.resistance=0.0", "thermal.resistance"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct conf *c;
        struct machine *m = NULL;
        struct err e = {0};
        char text[700], key[200];
        snprintf(key, sizeof key, "%s", bad[i].set);
        char *value = strchr(key, '=');
        *value++ = 0;
        CHECK_OK(conf_open(SOC_DEFAULT, &c, &e), &e);
        CHECK_OK(conf_override(c, key, value, &e), &e);
        CHECK(machine_soc_open(c, false, &m, &e) < 0);
        CHECK_HAS(err_text(&e, text, sizeof text), bad[i].key);
        conf_close(c);
    }
}

// Constant power: exactly the exponential, however often one looks.
static void test_step_response(void)
{
    static const struct thermal_params p = {
        .ambient = 25, .start = 30, .resistance = 5, .capacitance = 2, .limit = 1000};
    struct thermal t;
    thermal_init(&t, &p);
    const double watts = 4;
    for (int i = 1; i <= 400; i++) {
        int64_t now = i * 100 * PS_PER_MS + i % 7; // not quite regular
        double s = (double)now / PS_PER_S;
        double exact = 25 + 20 + (30 - 45) * exp(-s / 10);
        CHECK_NEAR(thermal_at(&t, now, watts * s), exact, 1e-9);
        if (i % 3 == 0)
            thermal_advance(&t, now, watts * s);
        CHECK(!thermal_govern(&t, 5));
    }
    CHECK_NEAR(t.peak, t.temperature, 1e-12);
    CHECK(t.temperature > 44 && t.temperature < 45);
    thermal_advance(&t, t.since + 100 * PS_PER_S, t.joules); // no power: cools down to the ambient
    CHECK_NEAR(t.temperature, 25, 1e-2);
    CHECK(t.peak > 44);
}

// Down while it rises above the limit, up below limit - hysteresis, nothing in between.
static void test_governor(void)
{
    static const struct thermal_params p = {
        .limit = 40, .hysteresis = 2, .resistance = 1, .capacitance = 1};
    static const struct {
        double temperature;
        int steps;
    } seen[] = {{39, 0},   {41, 1},   {42, 2},   {41.5, 2}, {41.6, 3}, {42, 3}, {39, 3},
                {38.1, 3}, {37.9, 2}, {38.5, 2}, {37, 1},   {36, 0},   {30, 0}};
    struct thermal t;
    thermal_init(&t, &p);
    for (size_t i = 0; i < sizeof seen / sizeof seen[0]; i++) {
        t.before = t.temperature;
        t.temperature = seen[i].temperature;
        thermal_govern(&t, 3);
        CHECK_INT(t.steps, seen[i].steps);
    }
}

struct heat {
    double took, temperature, throttled, total; // s, degC, share, J
    uint64_t digest;
};

static double hottest;
static int64_t first_at;
static int counted;

// The governor's readings in a trace, without that of the machine at rest.
static void look(const struct trace_memory *t)
{
    counted = 0, hottest = 0;
    for (size_t i = 0; i < t->n_counters; i++) {
        const struct trace_count *c = &t->counter[i];
        if (strcmp(t->track[c->track].group, "temperature") != 0 || !c->time)
            continue;
        if (!counted++)
            first_at = c->time;
        hottest = c->value > hottest ? c->value : hottest;
    }
}

static struct heat work(const char *set)
{
    struct trace_memory trace;
    struct machine *m = soc_open(SOC_DEFAULT, set, false);
    int gpu = soc_index(m, DEVICE_GPU);
    struct task *t = soc_matmul(4096, 4096, 256, 0);
    struct energy e;
    trace_memory_init(&trace);
    m->ops->trace(m, &trace.sink);
    uint64_t seq = 0;
    for (int i = 0; i < 1500; i++)
        seq = soc_submit(m, gpu, t);
    soc_until(m, gpu, seq);
    m->ops->energy(m, &e);
    struct heat h = {(double)m->ops->now(m) / PS_PER_S, e.temperature, e.throttled, e.total,
                     m->ops->digest(m)};
    test_note("%s: %.2f s, %.1f J, %.2f degC, throttled %.0f %%", set ? set : "-", h.took, h.total,
              h.temperature, h.throttled * 100);
    m->ops->trace(m, NULL);
    look(&trace);
    trace_memory_fini(&trace);
    soc_close(m);
    return h;
}

#define SMALL "thermal.enabled=true;thermal.capacitance=0.5" // 2.5 s instead of minutes

static void test_throttling(void)
{
    struct heat off = work(NULL), cool = work("thermal.enabled=true");
    CHECK(isnan(off.temperature) && off.throttled == 0);
    // Followed, but far from the limit: the same run.
    CHECK(cool.digest == off.digest && cool.took == off.took && cool.total == off.total);
    CHECK(cool.throttled == 0);
    CHECK_INT(counted, (int)(cool.took * 10));
    CHECK_NEAR(cool.temperature,
               25 + 5.1 * cool.total / cool.took * (1 - exp(-cool.took / (5.1 * 150))), 0.02);
    struct heat open = work(SMALL ";thermal.limit=200 degC");
    CHECK(open.digest == off.digest && open.throttled == 0);
    CHECK(open.temperature > 45);
    CHECK_INT(first_at, 100 * PS_PER_MS);
    struct heat bound = work(SMALL ";thermal.limit=40 degC");
    CHECK(bound.digest != off.digest);
    CHECK(bound.took > 1.05 * off.took);
    CHECK(bound.temperature < 41.5 && bound.temperature > 40);
    CHECK_NEAR(hottest, bound.temperature, 0.3);
    CHECK(bound.throttled > 0.5 && bound.throttled < 1);
    CHECK(bound.total < off.total); // f V^2
    struct heat again = work(SMALL ";thermal.limit=40 degC");
    CHECK(again.digest == bound.digest && again.temperature == bound.temperature);
    struct heat quick = work(SMALL ";thermal.limit=40 degC;thermal.period=1 ms");
    CHECK(quick.temperature < bound.temperature);
}

// Nobody throttles the profiler, and the governor alone keeps no one waiting.
static void test_quiet(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, "thermal.enabled=true;gpu.game.rate=60.0", false);
    struct energy e;
    struct frames f;
    m->quiet = true;
    m->ops->reset(m);
    m->ops->sleep(m, PS_PER_S);
    m->ops->energy(m, &e);
    m->ops->frames(m, &f);
    CHECK(isnan(e.temperature) && f.rate == 0 && f.shown == 0);
    CHECK_INT((long long)machine_soc_events(m), 0);
    m->quiet = false;
    m->ops->reset(m);
    m->ops->sleep(m, PS_PER_S);
    m->ops->energy(m, &e);
    m->ops->frames(m, &f);
    CHECK(e.temperature > 25 && f.shown == 60);
    soc_close(m);
}

TESTS(models_clock, T(test_weights), T(test_speed), T(test_first_level_changes_nothing),
      T(test_power), T(test_bad_points), T(test_step_response), T(test_governor),
      T(test_throttling), T(test_quiet))
