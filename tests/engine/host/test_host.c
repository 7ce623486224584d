// SPDX-License-Identifier: GPL-3.0-or-later
// The host machine: clock, sleep, buffers, opening and refusing; and CPU and NPU at work at the
// same time on disjoint slices of one buffer.
#include "tests/engine/host/rig.h"

#include <sys/prctl.h>

static const char both[] = "cpu = { threads = 2; spin = 100; }; gpu = { enabled = false; }; "
                           "npu = { spin = 100; sizes = [1, 4, 32]; };";

static void test_clock_and_sleep(void)
{
    struct machine *m = rig_open(both);
    if (!m)
        return;
    int64_t a = m->ops->now(m), b = m->ops->now(m);
    CHECK(b >= a);
    a = m->ops->now(m);
    m->ops->sleep(m, 2 * PS_PER_MS);
    CHECK(m->ops->now(m) - a >= 2 * PS_PER_MS);
    m->ops->sleep(m, 0);
    m->ops->sleep(m, -5);
    for (int i = 0; i < 2000; i++)
        m->ops->pause(m);
    struct energy e;
    m->ops->energy(m, &e);
    CHECK(isnan(e.total) && isnan(e.device[0]) && isnan(e.dram));
    CHECK_INT(m->ops->digest(m), 0);
    CHECK(m->memory > 0);
    CHECK(m->values && !m->repeatable);
    CHECK_STR(m->ops->name, "host");
    m->ops->close(m);
}

// The kernel keeps it per thread, and hands it on to threads that are made later: devices have not
// been touched, because they were there before.
static void test_timer_slack(void)
{
    int before = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    struct machine *m = rig_open("gpu = { enabled = false; }; timer_slack = \"7 us\";");
    CHECK_INT(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 7000);
    if (m)
        m->ops->close(m);
    m = rig_open("gpu = { enabled = false; }; timer_slack = \"0 us\";"); // leaves it alone
    CHECK_INT(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 7000);
    if (m)
        m->ops->close(m);
    m = rig_open("gpu = { enabled = false; };");
    CHECK_INT(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 1000);
    if (m)
        m->ops->close(m);
    prctl(PR_SET_TIMERSLACK, (unsigned long)before, 0, 0, 0);
}

static void test_buffers(void)
{
    struct machine *m = rig_open(both);
    if (!m)
        return;
    struct buffer a, b;
    struct err e = {0};
    CHECK_OK(m->ops->alloc(m, 3, 40, &a, &e), &e);
    CHECK_OK(m->ops->alloc(m, 1, 1, &b, &e), &e);
    CHECK((uintptr_t)a.host % 4096 == 0);
    CHECK_INT(a.size, 120);
    CHECK_INT(a.pitch, 40);
    CHECK(a.id != b.id);
    CHECK_INT(((char *)a.host)[119], 0);
    m->ops->free(m, &a);
    m->ops->free(m, &a); // nothing left to free
    m->ops->free(m, &b);
    CHECK_INT(m->ops->alloc(m, INT64_MAX / 2, 4, &a, &e), ERR_USAGE);
    CHECK_INT(m->ops->alloc(m, 0, 4, &a, &e), ERR_USAGE);
    m->ops->close(m);
}

static void test_opening(void)
{
    static const struct {
        const char *text;
        int rc;
        const char *has;
    } cases[] = {
        {"cpu = { enabled = false; }; gpu = { enabled = false; }; npu = { enabled = false; };",
         ERR_DEVICE, "no enabled device"},
        {"cpu = { thread = 2; };", ERR_CONFIG, "threads"},
        {"npv = { };", ERR_CONFIG, "npu"},
        {"cpu = { isa = \"sse9\"; };", ERR_CONFIG, "avx2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct conf *c;
        struct machine *m;
        struct err e = {0};
        char text[700];
        CHECK_OK(conf_open_text("test", cases[i].text, &c, &e), &e);
        CHECK_INT(machine_host_open(c, &m, &e), cases[i].rc);
        CHECK_HAS(err_text(&e, text, sizeof text), cases[i].has);
        conf_close(c);
    }
    struct machine *m = rig_open(both);
    if (!m)
        return;
    struct machine_desc d;
    machine_describe(m, &d);
    CHECK_INT(d.n_devices, 2);
    CHECK_INT(d.cpu, 0);
    CHECK_INT(d.npu, 1);
    CHECK_INT(d.gpu, -1);
    CHECK_STR(d.device[1].name, "npu");
    m->ops->close(m);
}

static void test_dump_is_the_resolved_configuration(void)
{
    struct conf *c;
    struct err e = {0};
    char *text = NULL;
    size_t size = 0;
    CHECK_OK(conf_open_text("test", "npu = { max_graphs = 7; };", &c, &e), &e);
    FILE *f = open_memstream(&text, &size);
    CHECK_OK(machine_host_dump(f, c, &e), &e);
    fclose(f);
    conf_close(c);
    CHECK_HAS(text, "max_graphs = 7");
    CHECK_HAS(text, "isa = \"auto\"");
    CHECK_OK(conf_open_text("dump", text, &c, &e), &e); // and reads back
    free(text);
    conf_close(c);
}

static void test_help_lists_every_group(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    machine_host_help(f);
    fclose(f);
    CHECK_HAS(text, "cpu:");
    CHECK_HAS(text, "threads");
    CHECK_HAS(text, "gpu:");
    CHECK_HAS(text, "npu:");
    CHECK_HAS(text, "max_graphs");
    free(text);
}

// The NPU computes rows [0, split) and the CPU the rest, both from the same input, into the same
// output, round after round; sometimes also split by tokens. Every third round polls the flags.
static void test_disjoint_slices_at_the_same_time(void)
{
    struct machine *m = rig_open(both);
    if (!m)
        return;
    struct device *cpu = m->device[0], *npu = m->device[1];
    struct rig_mm r;
    struct err e = {0};
    uint32_t random = 12345;
    rig_mm_open(&r, m, &encoding_q8_0, (int[2]){64, 96}, true, 96, 4, 11);
    CHECK_OK(npu->ops->load(npu, &r.w[0], 0, 64, &e), &e);
    CHECK_OK(npu->ops->load(npu, &r.w[1], 0, 96, &e), &e);
    for (int i = 0; i < 1000; i++) {
        uint64_t seq[2];
        struct task a = r.task, b = r.task;
        random = random * 1664525u + 1013904223u;
        a.m1 = b.m0 = (int)(random >> 16) % 4 * 32 + 32;
        a.n_pad = random >> 30 ? 4 : 32;
        a.order = (enum operand_order)(random >> 29 & 1);
        struct static_graph g = {a.op, a.m0, a.m1, a.n_pad, a.order};
        memset(r.out.host, 0, (size_t)r.out.size);
        CHECK_OK(npu->ops->prepare(npu, &g, &a.graph, &e), &e);
        CHECK_OK(npu->ops->submit(npu, &a, &seq[0], &e), &e);
        if (random >> 28 & 1) { // the CPU's share as two tasks, one per pair of tokens
            b.n1 = 2;
            CHECK_OK(cpu->ops->submit(cpu, &b, &seq[1], &e), &e);
            b.n0 = b.out_n0 = 2, b.n1 = 4;
        }
        CHECK_OK(cpu->ops->submit(cpu, &b, &seq[1], &e), &e);
        if (i % 4 == 0) {
            while (m->ops->flag(m, 0) < seq[1] || m->ops->flag(m, 1) < seq[0])
                m->ops->pause(m);
        } else {
            enum wait_mode mode = i % 4 == 1 ? WAIT_EVENT : i % 4 == 2 ? WAIT_FUTEX : WAIT_FINISH;
            CHECK_OK(npu->ops->wait(npu, seq[0], mode, &e), &e);
            CHECK_OK(cpu->ops->wait(cpu, seq[1], mode, &e), &e);
        }
        if (!rig_mm_check(&r, "concurrent"))
            break;
    }
    struct device_stats s;
    npu->ops->stats(npu, &s);
    CHECK_INT(s.tasks, 1000);
    rig_mm_close(&r);
    m->ops->close(m);
}

TESTS(engine_host_host, T(test_clock_and_sleep), T(test_timer_slack), T(test_buffers),
      T(test_opening), T(test_dump_is_the_resolved_configuration), T(test_help_lists_every_group),
      T(test_disjoint_slices_at_the_same_time))
