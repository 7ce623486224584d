// SPDX-License-Identifier: GPL-3.0-or-later
// The Hexagon device beyond the contract of all devices: which NPU the machine gets, memory that
// host and DSP share, weights that are there in part, graphs and their memory, and that no wake-up
// is lost however often the DSP goes to sleep.
#include "engine/host/npu/layout.h"
#include "tests/contract/rig.h"

static struct machine *machine;
static struct rig rig;

// A machine with the DSP alone and the contract's model on it; false: skipped or failed.
static bool begin(const char *more, const struct encoding *enc)
{
    machine = fixture_need(FIXTURE_NATIVE) ? machines_hexagon(FIXTURE_NATIVE, more) : NULL;
    return machine && rig_open(&rig, machine, rig_model(enc));
}

static void end(void)
{
    rig_close(&rig);
    model_close(rig.model);
    machines_close(machine);
    CHECK_INT(fixture_left(fixture_library(FIXTURE_NATIVE)), 0);
}

static void test_which_npu(void)
{
    char text[1200];
    const char *library = fixture_need(FIXTURE_NATIVE);
    if (!library)
        return;
    snprintf(text, sizeof text, "gpu = { enabled = false; }; hexagon = { library = \"%s\"; };",
             library);
    struct machine *m = machines_host(text);
    if (m) {
        CHECK_INT(m->n_devices, 2); // no tile NPU beside
        CHECK_STR(m->device[1]->caps.name, "npu");
        CHECK_STR(m->device[1]->caps.detail, "Hexagon skel on this CPU, no HVX");
        CHECK(m->device[1]->caps.flag && m->device[1]->caps.coherent && m->device[1]->caps.event);
    }
    machines_close(m);
    snprintf(text, sizeof text,
             "gpu = { enabled = false; }; hexagon = { enabled = false; library = \"%s\"; };",
             library);
    m = machines_host(text);
    if (m)
        CHECK_HAS(m->device[1]->caps.detail, "tile NPU");
    machines_close(m);
    snprintf(text, sizeof text,
             "gpu = { enabled = false; }; npu = { enabled = false; };"
             "hexagon = { library = \"%s\"; };",
             library);
    m = machines_host(text);
    if (m)
        CHECK_INT(m->n_devices, 1);
    machines_close(m);
}

static void test_bad_configurations(void)
{
    static const struct {
        const char *text, *key, *message;
    } bad[] = {
        {"hexagon = { sizes = [32, 1]; };", "hexagon.sizes", "sizes must ascend"},
        {"hexagon = { sizes = []; };", "hexagon.sizes", "1 to 16 sizes expected, 0 given"},
        {"hexagon = { windov = \"1 MB\"; };", "hexagon.windov", "window"},
        {"hexagon = { domain = \"gdsp\"; };", "hexagon.domain", "cdsp"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct machine *m = NULL;
        struct conf *c;
        struct err e = {0};
        CHECK_OK(conf_open_text("test", bad[i].text, &c, &e), &e);
        CHECK_INT(machine_host_open(c, &m, &e), ERR_CONFIG);
        CHECK_STR(e.key, bad[i].key);
        CHECK_HAS(e.msg, bad[i].message);
        conf_close(c);
    }
}

// One task against the reference; its weights are loaded by whoever calls, or at submission.
static double run_one(const char *name, int m0, int m1, enum wait_mode mode)
{
    struct device *d = machine->device[0];
    struct graph g;
    struct task t, mine;
    struct err e = {0};
    uint64_t seq = 0;
    graph_build(rig.model, 4, 0, &g);
    rig_task(&rig, d, graph_find(&g, name)->index, &g, 4, 0, &t);
    t.m0 = m0;
    t.m1 = m1;
    mine = t;
    rig_bind(rig.there, &t);
    rig_bind(rig.here, &mine);
    rig_fill(&rig);
    struct static_graph s = {t.op, t.m0, t.m1, t.n_pad, t.order};
    if (!CHECK_OK(d->ops->prepare(d, &s, &t.graph, &e), &e) ||
        !CHECK_OK(d->ops->submit(d, &t, &seq, &e), &e) ||
        !CHECK_OK(d->ops->wait(d, seq, mode, &e), &e))
        return NAN;
    mine.graph = t.graph;
    ref_run(&mine, rig.scratch);
    return rig_difference(&rig, t.op->out);
}

// Slices of a weight that come one after another: the piece in the DSP's memory grows, down and up.
static void test_weights_in_part(void)
{
    if (!begin("exact = true;", &encoding_q4_0))
        return;
    static const int slice[][2] = {{128, 160}, {160, 192}, {0, 32}, {32, 320}, {0, 320}};
    struct device_stats s;
    int64_t resident = -1;
    for (int i = 0; i < 5; i++) {
        CHECK(run_one("gate_up", slice[i][0], slice[i][1], WAIT_EVENT) < 1e-4);
        machine->device[0]->ops->stats(machine->device[0], &s);
        CHECK(s.resident > resident); // of graphs too
        resident = s.resident;
    }
    end();
}

// Another model at the same addresses: what was packed for the first one is noticed to be stale.
static void test_weights_that_change(void)
{
    if (!begin("exact = true;", &encoding_f32))
        return;
    struct tensor *gate = &rig.model->layers->gate;
    struct device *d = machine->device[0];
    struct err e = {0};
    CHECK(run_one("gate_up", 0, 160, WAIT_FINISH) < 1e-4);
    float *data = (float *)(uintptr_t)gate->data;
    for (int64_t i = 0; i < gate->rows * gate->cols; i++)
        data[i] = -data[i];
    CHECK_OK(d->ops->load(d, gate, 0, gate->rows, &e), &e);
    CHECK(run_one("gate_up", 0, 160, WAIT_FINISH) < 1e-4);
    end();
}

static void test_memory_limit(void)
{
    struct err e = {0};
    if (!begin("memory = \"100 kB\";", &encoding_f32))
        return;
    struct device *d = machine->device[0];
    const struct tensor *gate = &rig.model->layers->gate;
    CHECK_OK(d->ops->load(d, gate, 0, 96, &e), &e);
    CHECK_INT(d->ops->load(d, &rig.model->layers->down, 0, 128, &e), ERR_MEMORY);
    CHECK_HAS(e.msg, "the NPU's memory of 0.1 MB is full");
    struct graph g;
    graph_build(rig.model, 4, 0, &g);
    const struct op *op = graph_find(&g, "gate_up");
    struct static_graph s = {op, 0, op->m, 1024, 0};
    int handle = -1;
    s.order = ORDER_WEIGHT_STATIONARY;
    CHECK_INT(d->ops->prepare(d, &s, &handle, &e), ERR_MEMORY);
    CHECK_HAS(e.msg, "has no room for a graph of");
    CHECK_INT(handle, -1);
    end();
}

// Graphs are objects in the DSP's memory: what they take is told, and given back.
static void test_graphs_have_a_size(void)
{
    if (!begin(NULL, &encoding_q8_0))
        return;
    struct device *d = machine->device[0];
    struct device_stats before, with, after;
    struct err e = {0};
    struct graph g;
    graph_build(rig.model, 4, 0, &g);
    const struct op *op = graph_find(&g, "down");
    d->ops->stats(d, &before);
    int64_t sum = 0;
    for (int order = 0; order < ORDER_COUNT; order++)
        for (int i = 0; i < d->caps.n_sizes; i++) {
            struct static_graph s = {op, 0, op->m, d->caps.size[i], (enum operand_order)order};
            int handle;
            CHECK_OK(d->ops->prepare(d, &s, &handle, &e), &e);
            sum += (int64_t)npu_graph_bytes(NPU_FORM_F32 | NPU_FORM_I8, (uint32_t)order, op->k,
                                            d->caps.size[i]);
        }
    d->ops->stats(d, &with);
    CHECK_INT(with.resident - before.resident, sum);
    CHECK_INT(with.graphs, ORDER_COUNT * (uint64_t)d->caps.n_sizes);
    machine->ops->reset(machine);
    d->ops->stats(d, &after);
    CHECK_INT(after.resident, before.resident);
    CHECK(run_one("down", 0, op->m, WAIT_FINISH) < 0.05);
    end();
}

// Buffers of the machine are memory of the DSP's driver, and come and go.
static void test_buffers_come_and_go(void)
{
    if (!begin(NULL, &encoding_q8_0))
        return;
    int before = fixture_left(fixture_library(FIXTURE_NATIVE));
    for (int i = 0; i < 600; i++) { // more than there are names for arenas
        struct buffer b;
        struct err e = {0};
        if (!CHECK_OK(machine->ops->alloc(machine, 3, 4000, &b, &e), &e))
            break;
        CHECK(((char *)b.host)[11999] == 0);
        ((char *)b.host)[11999] = 1;
        machine->ops->free(machine, &b);
    }
    CHECK_INT(fixture_left(fixture_library(FIXTURE_NATIVE)), before);
    CHECK(run_one("gate_up", 0, 320, WAIT_FINISH) < 0.05);
    end();
}

// Thousands of messages with a DSP that goes to sleep after one turn: any lost wake-up of the
// service thread or of a waiter is a hang (and the watchdog's error).
static void wake_ups(const char *more)
{
    struct graph g;
    struct task t;
    struct err e = {0};
    if (!begin(more, &encoding_q8_0))
        return;
    struct device *d = machine->device[0];
    rig_task(&rig, d, 0, &g, 4, 0, &t);
    for (int op = 0; op < g.n_ops; op++)
        if (g.op[op].kind == OP_ADD)
            rig_task(&rig, d, op, &g, 4, 0, &t);
    rig_bind(rig.there, &t);
    struct rng *r = rng_create(3, "wake-ups");
    for (int i = 0; i < 3000; i++) {
        uint64_t seq = 0, n = 1 + rng_below(r, 4);
        for (uint64_t k = 0; k < n; k++)
            seq = rig_submit(d, &t);
        uint64_t want = seq - rng_below(r, n);
        if (rng_below(r, 8) == 0) { // late: the DSP is asleep by then
            machine->ops->sleep(machine, (int64_t)rng_below(r, 100) * PS_PER_US);
        }
        if (!CHECK_OK(d->ops->wait(d, want, rng_below(r, 2) ? WAIT_EVENT : WAIT_FINISH, &e), &e))
            break;
        CHECK_INT(d->ops->poll(d, want, &e), 1);
    }
    rng_destroy(r);
    end();
}

static void test_no_wake_up_is_lost(void)
{
    wake_ups("idle_turns = 1; spin = 0; timeout = \"20 s\";");
    wake_ups("idle_turns = 300; spin = 50; timeout = \"20 s\";");
    wake_ups("idle_turns = 1; flag = false; timeout = \"20 s\";");
}

TESTS(hexagon_device, T(test_which_npu), T(test_bad_configurations), T(test_weights_in_part),
      T(test_weights_that_change), T(test_memory_limit), T(test_graphs_have_a_size),
      T(test_buffers_come_and_go), T(test_no_wake_up_is_lost))
