// SPDX-License-Identifier: GPL-3.0-or-later
// The characterisation must show what the configuration says and the publication describes: on the
// simulated SoC each section against what its parameters imply, with parameters changed so that no
// number can be built in; on every machine that what is asked can be measured.
#include "explore/characterise_internal.h"

#include <unistd.h>
#include "base/units.h"
#include "explore/plot.h"
#include "models/soc/soc.h"
#include "tests/contract/machines.h"
#include "tests/explore/util.h"

// sd8gen3 with "key=value" overrides, NULL-terminated.
static struct machine *soc(const char *const *overrides)
{
    struct test_factory f = test_factory();
    struct machine *m = NULL;
    struct err e = {0};
    int n = 0;
    while (overrides && overrides[n])
        n++;
    CHECK_OK(f.base.open(&f.base, overrides, n, &m, &e), &e);
    return m;
}

static struct point point(const char *section, const char *what, const char *order, int m, int k,
                          int n, const char *unit)
{
    struct point p = {.m = m, .k = k, .n = n};
    snprintf(p.section, sizeof p.section, "%s", section);
    snprintf(p.what, sizeof p.what, "%s", what);
    snprintf(p.order, sizeof p.order, "%s", order);
    snprintf(p.unit, sizeof p.unit, "%s", unit);
    return p;
}

static double value(struct machine *m, const char *section, const char *what, const char *order,
                    int rows, int k, int n, const char *unit)
{
    struct point p = point(section, what, order, rows, k, n, unit);
    struct err e = {0};
    if (m)
        CHECK_OK(characterise_measure(m, &p, &e), &e);
    return m ? p.value : NAN;
}

static double rate(struct machine *m, const char *what, int size)
{
    return value(m, "operator", what, "", size, size, size, "GFLOP/s");
}

// Small operators last as long as a launch, so throughput grows with the work; large ones are all
// at the kernel's rate, which the configuration states.
static void test_gpu_is_linear_then_flat(void)
{
    static const char *const slow[] = {"gpu.gemm=800 GFLOP/s", NULL};
    struct machine *m = soc(NULL), *slower = soc(slow);
    CHECK_NEAR(rate(m, "gpu:streamed", 64) / rate(m, "gpu:streamed", 32), 8, 4.5);
    CHECK(rate(m, "gpu", 128) / rate(m, "gpu", 64) > 6);
    for (int s = 32; s < 4096; s *= 2)
        CHECK(rate(m, "gpu:streamed", 2 * s) >= rate(m, "gpu:streamed", s));
    CHECK_NEAR(rate(m, "gpu:streamed", 8192) / rate(m, "gpu:streamed", 4096), 1, 0.05);
    CHECK_NEAR(rate(m, "gpu:streamed", 8192), 1066, 0.05 * 1066); // less the decoding of weights
    CHECK_NEAR(rate(slower, "gpu:streamed", 8192), 800, 0.05 * 800);
    // The isolated operator pays for the wake-up as well.
    CHECK(rate(m, "gpu", 512) < rate(m, "gpu:streamed", 512));
    machines_close(m);
    machines_close(slower);
}

static void staircase(struct machine *m, int side)
{
    double last = 0;
    for (int n = 2; n <= 3 * side + 1; n++) {
        double t = value(m, "stage", "npu:streamed", "", 4096, 4096, n, "us");
        if (n == 2 || n % side == 1)
            CHECK(t > 1.2 * last);
        else
            CHECK_NEAR(t, last, 1e-9 * t);
        last = t;
    }
}

// Steps of an array, whatever its side; none on the GPU.
static void test_stages(void)
{
    static const char *const small[] = {"npu.arch.side=16", NULL};
    struct machine *m = soc(NULL), *other = soc(small);
    CHECK_INT(machine_find(m, "npu")->caps.tile, 32);
    staircase(m, 32);
    CHECK_INT(machine_find(other, "npu")->caps.tile, 16);
    staircase(other, 16);
    double before = value(m, "stage", "gpu:streamed", "", 4096, 4096, 40, "us");
    for (int n = 41; n <= 70; n++) {
        double t = value(m, "stage", "gpu:streamed", "", 4096, 4096, n, "us");
        CHECK(t > before);
        before = t;
    }
    machines_close(m);
    machines_close(other);
}

// A stationary weight is loaded tile by tile for few tokens: the ratio falls with N. A stall for
// decoding is paid in one order only.
static void test_orders(void)
{
    static const char *const stall[] = {"npu.arch.stall_decode=0 us", NULL};
    struct machine *m = soc(NULL), *free_decode = soc(stall);
    double last = INFINITY, ratio[2] = {0};
    struct machine *both[] = {m, free_decode};
    for (int i = 0; i < 2; i++)
        ratio[i] = value(both[i], "order", "npu", "weight-stationary", 14336, 4096, 32, "us") /
                   value(both[i], "order", "npu", "weight-streamed", 14336, 4096, 32, "us");
    CHECK_NEAR(ratio[0], 6, 0.3); // given: npu.order_ratio
    CHECK(ratio[1] < 0.9 * ratio[0]);
    for (int n = 32; n <= 1024; n *= 2) {
        double r = value(m, "order", "npu", "weight-stationary", 14336, 4096, n, "us") /
                   value(m, "order", "npu", "weight-streamed", 14336, 4096, n, "us");
        CHECK(r >= 1 && r <= last * 1.01);
        last = r;
    }
    machines_close(m);
    machines_close(free_decode);
}

// Wide K: blocks get short, and time goes as M K^2 N. With a buffer that is large enough for whole
// rows, as M K N.
static void test_shapes(void)
{
    static const char *const large[] = {"npu.arch.buffer=8 MiB", "npu.arch.tcm=32 MiB", NULL};
    struct machine *m = soc(NULL), *roomy = soc(large);
    double base = value(m, "shape", "npu", "", 4096, 8192, 256, "us");
    CHECK_NEAR(value(m, "shape", "npu", "", 4096, 16384, 256, "us") / base, 4, 0.4);
    CHECK_NEAR(value(m, "shape", "npu", "", 8192, 8192, 256, "us") / base, 2, 0.1);
    CHECK_NEAR(value(m, "shape", "npu", "", 4096, 8192, 512, "us") / base, 2, 0.1);
    CHECK_NEAR(value(m, "shape", "npu", "", 2048, 16384, 256, "us") / base, 2, 0.2);
    base = value(roomy, "shape", "npu", "", 4096, 8192, 256, "us");
    CHECK(value(roomy, "shape", "npu", "", 2048, 16384, 256, "us") / base < 1.5);
    machines_close(m);
    machines_close(roomy);
}

static double gbs(struct machine *m, const char *what)
{
    return value(m, "bandwidth", what, "", 28672, 4096, 1, "GB/s");
}

static void test_bandwidth(void)
{
    struct machine *m = soc(NULL);
    double gpu = gbs(m, "gpu"), npu = gbs(m, "npu"), cpu = gbs(m, "cpu"), both = gbs(m, "gpu+cpu");
    CHECK(both > 1.2 * gpu && both > 1.2 * cpu);
    CHECK(gbs(m, "gpu+npu") > 1.2 * gpu && gbs(m, "gpu+npu") > 1.2 * npu);
    CHECK_NEAR(both, 61.9, 0.02 * 61.9); // given: dram.achievable
    CHECK(gbs(m, "cpu+gpu+npu") <= 68.3 * 0.92);
    CHECK_NEAR(gbs(m, "gpu@gpu+cpu") + gbs(m, "cpu@gpu+cpu"), both, 1e-9 * both);
    CHECK(gbs(m, "cpu@gpu+cpu") < 0.9 * cpu); // it has less in flight than the GPU
    // A link of 44.14 GB/s, but for the launches; 103 lines of 64 bytes per 150 ns.
    CHECK(gpu <= 44.14 && gpu > 0.98 * 44.14);
    CHECK_NEAR(cpu, 103 * 64 / 150.0, 0.01 * cpu);
    machines_close(m);
}

static double us(struct machine *m, const char *what)
{
    return value(m, "latency", what, "", 0, 0, 0, "us");
}

static void test_latencies_are_the_configuration(void)
{
    static const char *const set[] = {"gpu.queue.submit=13 us",
                                      "gpu.queue.restart=77 us",
                                      "gpu.queue.finish=333 us",
                                      "gpu.queue.event=41 us",
                                      "gpu.queue.query=3 us",
                                      "npu.queue.submit=6 us",
                                      "npu.queue.restart=21 us",
                                      "control.granularity=50 us",
                                      "control.wake=7 us",
                                      "control.pause=500 ns",
                                      NULL};
    struct machine *m = soc(set);
    CHECK_NEAR(us(m, "gpu:submit-empty"), 77, 1e-9);
    CHECK_NEAR(us(m, "gpu:submit-nonempty"), 13, 1e-9);
    CHECK_NEAR(us(m, "npu:submit-empty"), 21, 1e-9);
    CHECK_NEAR(us(m, "npu:submit-nonempty"), 6, 1e-9);
    CHECK_NEAR(us(m, "gpu:finish"), 333, 1e-9);
    CHECK_NEAR(us(m, "gpu:event"), 41, 1); // less up to a turn of the loop that saw the flag
    CHECK_NEAR(us(m, "gpu:query"), 3, 1e-9);
    CHECK_NEAR(us(m, "control:sleep"), 57, 1e-9);
    CHECK_NEAR(us(m, "control:pause"), 0.5, 1e-9);
    // The driver's hand-over has its finish in it, the flag's has not.
    CHECK(us(m, "gpu:join-driver") > 333 && us(m, "gpu:join-poll") < 120);
    machines_close(m);
    m = soc(NULL);
    CHECK_NEAR(us(m, "gpu:submit-empty"), 30, 1e-9); // given: sync.submit
    CHECK_NEAR(us(m, "gpu:finish"), 400, 1e-9);      // given: sync.clfinish
    CHECK_NEAR(us(m, "control:sleep"), 90, 1e-9);    // given: sync.usleep
    machines_close(m);
}

static double join(struct machine *m, const char *what)
{
    return value(m, "join", what, "", 0, 0, 0, "us");
}

// What the host learns of the producer's end by its scheme, and what it takes to start the
// consumer; on its own queue a task follows at once where nobody joins it.
static void test_joins_are_the_configuration(void)
{
    static const char *const set[] = {"gpu.queue.restart=77 us", "gpu.queue.finish=333 us",
                                      "gpu.queue.event=41 us",   "npu.queue.restart=21 us",
                                      "npu.queue.finish=111 us", "npu.queue.event=43 us",
                                      "control.pause=500 ns",    NULL};
    struct machine *m = soc(set);
    CHECK_NEAR(join(m, "gpu>npu:driver"), 333 + 21, 1e-9);
    CHECK_NEAR(join(m, "gpu>npu:event"), 41 + 21, 1e-9);
    CHECK_NEAR(join(m, "npu>gpu:driver"), 111 + 77, 1e-9);
    CHECK_NEAR(join(m, "npu>gpu:event"), 43 + 77, 1e-9);
    CHECK_NEAR(join(m, "gpu>gpu:driver"), 333 + 77, 1e-9);
    CHECK_NEAR(join(m, "gpu>npu:poll"), 21, 0.500001); // and up to a turn
    CHECK_NEAR(join(m, "npu>gpu:sleep_poll"), 77, 0.500001);
    CHECK_NEAR(join(m, "gpu>npu:queue_order"), 21, 0.500001);
    CHECK(join(m, "gpu>gpu:queue_order") < 1);
    CHECK(join(m, "npu>npu:queue_order") < 1);
    machines_close(m);
    // A device that sleeps by then is woken first; one that has just ended does not sleep.
    static const char *const sleepy[] = {"npu.queue.restart=21 us", "npu.queue.idle=40 us",
                                         "npu.queue.wake=50 us",    "npu.queue.finish=11 us",
                                         "gpu.queue.finish=333 us", NULL};
    m = soc(sleepy);
    CHECK_NEAR(join(m, "gpu>npu:driver"), 333 + 21 + 50, 1e-9);
    CHECK_NEAR(join(m, "npu>npu:driver"), 11 + 21, 1e-9);
    machines_close(m);
}

static void test_preparation(void)
{
    static const char *const set[] = {"npu.prepare=7 ms", "npu.prepare_kib=20 us", NULL};
    struct machine *m = soc(set);
    // (4096 + 28672) activations of two bytes per token.
    for (int n = 32; n <= 1024; n *= 2)
        CHECK_NEAR(value(m, "prepare", "npu", "", 28672, 4096, n, "ms"), 7 + 64.0 * n * 20 / 1000,
                   1e-6);
    machines_close(m);
}

// --- every point, everywhere

// Each is measurable, positive, and the same again after all others were measured.
static void all_points(struct machine *m)
{
    struct characterise_options o = {.quick = true};
    struct point *p = NULL;
    struct err e = {0};
    int n = 0;
    bool seen[CHARACTERISE_SECTIONS] = {false};
    CHECK_OK(characterise_points(m, &o, &p, &n, &e), &e);
    if (machine_soc_cycle(m)) { // event by event: only what is short
        int few = 0;
        for (int i = 0; i < n; i++)
            if ((double)p[i].m * p[i].k * p[i].n <= 1 << 20)
                p[few++] = p[i];
        n = few;
    }
    for (int i = 0; i < n; i++) {
        if (!CHECK_OK(characterise_measure(m, &p[i], &e), &e))
            test_note("%s: %s %s %d %d %d", m->name, p[i].section, p[i].what, p[i].m, p[i].k,
                      p[i].n);
        bool gap = !strcmp(p[i].section, "join"); // of a queue; may be none
        CHECK(isfinite(p[i].value) && (p[i].value > 0 || (gap && p[i].value == 0)));
        seen[characterise_section_of(&p[i])] = true;
    }
    for (int i = n - 1; i >= 0; i--) {
        struct point again = p[i];
        again.value = 0;
        CHECK_OK(characterise_measure(m, &again, &e), &e);
        CHECK(again.value == p[i].value);
    }
    for (int s = 0; s < CHARACTERISE_SECTIONS && !machine_soc_cycle(m); s++)
        CHECK(seen[s] || s == SECTION_ORDER || s == SECTION_PREPARE);
    CHECK(n > (machine_soc_cycle(m) ? 10 : 100));
    free(p);
}

static void test_every_soc(void)
{
    machines_each_soc(false, all_points);
}

static void test_the_full_grid(void)
{
    struct characterise_options quick = {.quick = true}, full = {.quick = false},
                                cut = {.max_m = 256, .max_k = 128, .max_n = 40};
    struct machine *m = soc(NULL);
    struct point *p, *q, *r;
    struct err e = {0};
    int n, few, small;
    CHECK_OK(characterise_points(m, &full, &p, &n, &e), &e);
    CHECK_OK(characterise_points(m, &quick, &q, &few, &e), &e);
    CHECK_OK(characterise_points(m, &cut, &r, &small, &e), &e);
    CHECK(few < n / 2);
    for (int i = 0; i < n; i++) {
        CHECK_OK(characterise_measure(m, &p[i], &e), &e);
        for (int j = 0; j < i; j++)
            CHECK(strcmp(p[i].section, p[j].section) || strcmp(p[i].what, p[j].what) ||
                  strcmp(p[i].order, p[j].order) || p[i].m != p[j].m || p[i].k != p[j].k ||
                  p[i].n != p[j].n);
    }
    for (int i = 0; i < small; i++) {
        CHECK(r[i].m <= 256 && r[i].k <= 128 && r[i].n <= 40);
        CHECK_OK(characterise_measure(m, &r[i], &e), &e);
    }
    cut.max_k = 31;
    struct point *none = NULL;
    CHECK_INT(characterise_points(m, &cut, &none, &small, &e), ERR_USAGE);
    CHECK_HAS(e.msg, "32 columns");
    free(p);
    free(q);
    free(r);
    machines_close(m);
}

// Numbers in the buffers and weights in memory change no time.
static void test_values_change_nothing(void)
{
    struct machine *timing = soc(NULL), *values = machines_soc("configs/soc/sd8gen3.cfg", true);
    static const char *const what[] = {"gpu", "npu:streamed"};
    for (int i = 0; i < 2; i++)
        CHECK(value(timing, "operator", what[i], "", 128, 64, 20, "us") ==
              value(values, "operator", what[i], "", 128, 64, 20, "us"));
    CHECK(value(timing, "bandwidth", "gpu+npu", "", 256, 64, 1, "GB/s") ==
          value(values, "bandwidth", "gpu+npu", "", 256, 64, 1, "GB/s"));
    machines_close(timing);
    machines_close(values);
}

// One of each kind of point on the real machine, tiny. Without an OpenCL device, without it.
static void test_the_host(void)
{
    struct machine *m = machines_host(NULL);
    struct characterise_options o = {.quick = true, .max_m = 64, .max_k = 64, .max_n = 33};
    struct point *p = NULL;
    struct err e = {0};
    int n = 0, measured = 0;
    if (!m)
        return;
    if (!machine_find(m, "gpu"))
        test_note("no OpenCL device: the others only");
    CHECK_OK(characterise_points(m, &o, &p, &n, &e), &e);
    for (int i = 0; i < n; i++) {
        bool seen = !strcmp(p[i].section, "bandwidth") && strchr(p[i].what, '@');
        for (int j = 0; j < i; j++)
            seen |= !strcmp(p[i].section, p[j].section) && !strcmp(p[i].what, p[j].what);
        if (seen)
            continue;
        if (!CHECK_OK(characterise_measure(m, &p[i], &e), &e))
            test_note("%s %s", p[i].section, p[i].what);
        // A difference of two noisy times may be nothing.
        CHECK(isfinite(p[i].value) && p[i].value >= 0);
        CHECK(p[i].value > 0 || !strcmp(p[i].section, "latency") || !strcmp(p[i].section, "join"));
        measured++;
    }
    CHECK(measured > 12);
    free(p);
    machines_close(m);
}

static void refused(struct machine *m, struct point p, int code, const char *why)
{
    struct err e = {0};
    CHECK_INT(characterise_measure(m, &p, &e), code);
    CHECK_HAS(e.msg, why);
}

static void test_points_that_make_no_sense(void)
{
    struct machine *m = soc(NULL);
    refused(m, point("operatr", "gpu", "", 64, 64, 1, "us"), ERR_USAGE, "did you mean operator");
    refused(m, point("operator", "gpuu", "", 64, 64, 1, "us"), ERR_DEVICE, "did you mean gpu");
    refused(m, point("operator", "gpu:strea", "", 64, 64, 1, "us"), ERR_USAGE, "streamed");
    refused(m, point("operator", "gpu", "weight-stat", 64, 64, 1, "us"), ERR_USAGE,
            "weight-stationary");
    refused(m, point("operator", "gpu", "", 64, 64, 1, "furlong"), ERR_USAGE, "furlong");
    refused(m, point("operator", "gpu", "", 64, 33, 1, "us"), ERR_USAGE, "Q4_0");
    refused(m, point("operator", "gpu", "", 0, 64, 1, "us"), ERR_USAGE, "0 x 64");
    refused(m, point("operator", "gpu", "", 64, 64, -1, "us"), ERR_USAGE, "-1 tokens");
    refused(m, point("prepare", "gpu", "", 64, 64, 1, "ms"), ERR_UNSUPPORTED, "no static graphs");
    refused(m, point("bandwidth", "gpu+gpu", "", 64, 64, 1, "GB/s"), ERR_USAGE, "twice");
    refused(m, point("bandwidth", "cpu@gpu+npu", "", 64, 64, 1, "GB/s"), ERR_USAGE, "not in");
    refused(m, point("bandwidth", "gpu", "", 64, 64, 1, "us"), ERR_USAGE, "GB/s");
    refused(m, point("bandwidth", "gpu", "", 64, 64, 2, "GB/s"), ERR_USAGE, "one token");
    refused(m, point("latency", "gpu", "", 0, 0, 0, "us"), ERR_USAGE, "DEVICE:KIND");
    refused(m, point("latency", "gpu:finnish", "", 0, 0, 0, "us"), ERR_USAGE, "finish");
    refused(m, point("latency", "gpu:join-sleep_pol", "", 0, 0, 0, "us"), ERR_USAGE, "sleep_poll");
    refused(m, point("join", "gpu:poll", "", 0, 0, 0, "us"), ERR_USAGE, "DEVICE>DEVICE:SCHEME");
    refused(m, point("join", "gpu>npu", "", 0, 0, 0, "us"), ERR_USAGE, "DEVICE>DEVICE:SCHEME");
    refused(m, point("join", "gpu>npv:poll", "", 0, 0, 0, "us"), ERR_DEVICE, "did you mean npu");
    refused(m, point("join", "gqu>npu:poll", "", 0, 0, 0, "us"), ERR_DEVICE, "did you mean gpu");
    refused(m, point("join", "gpu>npu:pol", "", 0, 0, 0, "us"), ERR_USAGE, "poll");
    refused(m, point("join", "gpu>npu:futex", "", 0, 0, 0, "us"), ERR_UNSUPPORTED, "thread");
    refused(m, point("join", "gpu>npu:poll", "", 0, 0, 0, "GB/s"), ERR_USAGE, "GB/s");
    refused(m, point("latency", "control:nap", "", 0, 0, 0, "us"), ERR_USAGE, "sleep or pause");
    machines_close(m);
}

// --- files

static struct point *some(int *n)
{
    static struct point p[4];
    p[0] = point("operator", "cpu:streamed", "", 32, 64, 1, "GFLOP/s");
    p[0].value = 1.0 / 3;
    p[1] = point("bandwidth", "gpu@gpu+npu", "", 28672, 4096, 1, "GB/s");
    p[1].value = 5e-324;
    p[2] = point("order", "npu", "weight-stationary", 2147483647, 32, 7, "us");
    p[2].value = 1.7976931348623157e308;
    p[3] = point("latency", "control:sleep", "", 0, 0, 0, "us");
    *n = 4;
    return p;
}

static const char *file_of(const char *text)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/points.csv", test_tmpdir());
    FILE *f = fopen(path, "w");
    if (CHECK(f != NULL)) {
        fputs(text, f);
        fclose(f);
    }
    return path;
}

static void test_csv_round_trip(void)
{
    char *text = NULL, *again = NULL;
    size_t size;
    struct point *back;
    struct err e = {0};
    int n, m;
    const struct point *p = some(&n);
    FILE *f = open_memstream(&text, &size);
    characterise_write(p, n, f);
    fclose(f);
    CHECK_OK(characterise_read(file_of(text), &back, &m, &e), &e);
    CHECK_INT(m, n);
    for (int i = 0; i < n && i < m; i++)
        CHECK(!memcmp(&p[i], &back[i], sizeof *p));
    f = open_memstream(&again, &size);
    characterise_write(back, m, f);
    fclose(f);
    CHECK_STR(again, text);
    free(back);
    free(text);
    free(again);
    CHECK_OK(characterise_read(file_of("section,what,order,m,k,n,value,unit\r\n"
                                       "stage,gpu,,1,32,1,2.5,us\r\n"),
                               &back, &m, &e),
             &e); // as another system wrote it
    CHECK_INT(m, 1);
    CHECK_NEAR(back->value, 2.5, 0);
    free(back);
}

static void test_malformed_files(void)
{
    static const char header[] = "section,what,order,m,k,n,value,unit\n",
                      good[] = "stage,gpu,,1,32,1,2.5,us\n";
    static const struct {
        const char *row, *key, *why;
    } bad[] = {
        {"stage,gpu,,1,32,1,2.5", "", "8 fields"},
        {"stage,gpu,,1,32,1,2.5,us,", "", "8 fields"},
        {"", "", "8 fields"},
        {"stag,gpu,,1,32,1,2.5,us", "section", "did you mean stage"},
        {"stage,,,1,32,1,2.5,us", "what", "a device"},
        {"stage,g pu,,1,32,1,2.5,us", "what", "a word"},
        {"stage,abcdefghijklmnopqrstuvwxyz,,1,32,1,2.5,us", "what", "shorter"},
        {"stage,gpu,weight-streaming,1,32,1,2.5,us", "order", "did you mean weight-streamed"},
        {"stage,gpu,,x,32,1,2.5,us", "m", "whole number"},
        {"stage,gpu,,1,-32,1,2.5,us", "k", "whole number"},
        {"stage,gpu,,1,32,99999999999,2.5,us", "n", "whole number"},
        {"stage,gpu,,1,32,1 ,2.5,us", "n", "whole number"},
        {"stage,gpu,,1,32,1,,us", "value", "number"},
        {"stage,gpu,,1,32,1,nan,us", "value", "number"},
        {"stage,gpu,,1,32,1,1e999,us", "value", "number"},
        {"stage,gpu,,1,32,1,-2,us", "value", "number"},
        {"stage,gpu,,1,32,1,0x2,us", "value", "number"},
        {"stage,gpu,,1,32,1,2.5,s", "unit", "unknown unit"},
    };
    struct point *p;
    struct err e = {0};
    int n;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[400];
        snprintf(text, sizeof text, "%s%s%s\n%s", header, good, bad[i].row, good);
        const char *path = file_of(text);
        CHECK_INT(characterise_read(path, &p, &n, &e), ERR_FORMAT);
        CHECK_INT(e.line, 3);
        CHECK_STR(e.file, path);
        CHECK_STR(e.key, bad[i].key);
        CHECK_HAS(e.msg, bad[i].why);
        CHECK(!p && !n);
    }
    CHECK_INT(characterise_read(file_of("kind,device\n"), &p, &n, &e), ERR_FORMAT);
    CHECK_INT(e.line, 1);
    CHECK_INT(characterise_read(file_of(""), &p, &n, &e), ERR_FORMAT);
    CHECK_HAS(e.msg, "empty");
    char *wide = calloc(1, 2000);
    memset(wide, 'x', 1999);
    CHECK_INT(characterise_read(file_of(wide), &p, &n, &e), ERR_FORMAT);
    CHECK_INT(e.line, 1);
    free(wide);
    CHECK_INT(characterise_read("/nonexistent/p.csv", &p, &n, &e), ERR_IO);
    CHECK_INT(characterise_read(file_of("kind\n"), &p, &n, NULL), ERR_FORMAT);
}

// --- what is made of them

static struct point *measured(const char *const *overrides, int *n)
{
    struct machine *m = soc(overrides);
    struct characterise_options o = {.quick = true};
    struct point *p = NULL;
    struct err e = {0};
    CHECK_OK(characterise_points(m, &o, &p, n, &e), &e);
    for (int i = 0; i < *n; i++)
        CHECK_OK(characterise_measure(m, &p[i], &e), &e);
    machines_close(m);
    return p;
}

static char *summary(const struct point *p, int n)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    characterise_summary(p, n, f);
    fclose(f);
    return text;
}

static void test_summary(void)
{
    static const char *const wide[] = {"npu.arch.side=64", "npu.sizes=[1,64,128,256,512,1024]",
                                       "gpu.queue.finish=123 us", NULL};
    int n;
    struct point *p = measured(NULL, &n);
    char *text = summary(p, n);
    CHECK_HAS(text, "npu:streamed   stages of 32 tokens");
    CHECK_HAS(text, "gpu:streamed   no stages");
    CHECK_HAS(text, "weight-stationary takes up to 6");
    CHECK_HAS(text, "finish 400");
    CHECK_HAS(text, "gpu+npu");
    CHECK_HAS(text, "slowed down: ");
    CHECK_HAS(text, "hand-over: driver");
    free(text);
    free(p);
    p = measured(wide, &n);
    text = summary(p, n);
    CHECK_HAS(text, "npu:streamed   stages of 64 tokens");
    CHECK_HAS(text, "finish 123");
    free(text);
    text = summary(p, 0);
    CHECK_STR(text ? text : "", "");
    free(text);
    free(p);
}

static void test_pictures(void)
{
    static const char *const names[] = {"operator-size", "operator-tokens", "stage",
                                        "order",         "shape",           "prepare",
                                        "bandwidth",     "latency",         "join"};
    char dir[300], path[400];
    struct err e = {0};
    int n;
    if (!plot_available()) {
        test_skip("no gnuplot");
        return;
    }
    struct point *p = measured(NULL, &n);
    snprintf(dir, sizeof dir, "%s/pictures", test_tmpdir());
    CHECK_OK(characterise_plots(p, n, dir, "svg", &e), &e);
    CHECK_OK(characterise_plots(p, n, dir, "svg", &e), &e); // the folder is there already
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s.svg", dir, names[i]);
        CHECK(access(path, R_OK) == 0);
        unlink(path);
    }
    CHECK_OK(rmdir(dir), NULL); // nothing else was left
    CHECK_INT(characterise_plots(p, n, "/nonexistent/x", "svg", &e), ERR_IO);
    CHECK_INT(characterise_plots(p, n, dir, "bmp", &e), ERR_USAGE);
    rmdir(dir);
    free(p);
}

static double combined(const char *unit, double *v, int n)
{
    struct point p = {.value = -1};
    snprintf(p.unit, sizeof p.unit, "%s", unit);
    characterise_combine(&p, v, n);
    return p.value;
}

static void test_rounds(void)
{
    double one[] = {7}, outlier[] = {10, 1000, 11, 9, 10}, zero[] = {0, 0, 0};
    CHECK_NEAR(combined("us", one, 1), 7, 0);
    CHECK_NEAR(combined("us", outlier, 5), 31.0 / 3, 1e-12);
    CHECK_NEAR(combined("GFLOP/s", zero, 3), 0, 0);
    // Two speeds: one round more at the lower one moves the middle by a part of their distance.
    double four[] = {10, 20, 10, 20, 10, 20, 10, 20}, five[] = {10, 20, 10, 20, 10, 20, 20, 20};
    CHECK_NEAR(combined("us", four, 8), 15, 1e-12);
    CHECK_NEAR(combined("us", five, 8), 17.5, 1e-12);
    // Of rates, the times: half of the rounds at half of the speed take 1.5 times as long.
    double rates[] = {60, 30, 60, 30, 60, 30, 60, 30};
    CHECK_NEAR(combined("GFLOP/s", rates, 8), 40, 1e-12);
}

TESTS(explore_characterise, T(test_gpu_is_linear_then_flat), T(test_stages), T(test_orders),
      T(test_shapes), T(test_bandwidth), T(test_latencies_are_the_configuration),
      T(test_joins_are_the_configuration), T(test_preparation), T(test_every_soc),
      T(test_the_full_grid), T(test_values_change_nothing), T(test_the_host),
      T(test_points_that_make_no_sense), T(test_csv_round_trip), T(test_malformed_files),
      T(test_summary), T(test_pictures), T(test_rounds))
