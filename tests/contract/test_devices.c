// SPDX-License-Identifier: GPL-3.0-or-later
// One contract for every device, real and simulated: what engine/device.h promises, through
// device_ops only. A new device is tested the moment a machine offers it.
#include "tests/contract/rig.h"

#include <stdio.h>

// Largest error of a matmul output element over the root mean square of the output. Devices may
// round activations to int8 beside block-quantised weights (one part in 254 of the largest of 32
// values each, which a dot product averages); beside float weights only the order of sums differs.
static bool exact; // the devices were told to keep activations as they are
// The embedding is gathered from packed weights, whose scales have 15 bits below a power of two
// that is up to twice the row's largest: values are off by up to 2^-15 of the row's largest, which
// may be some times the root mean square.
static bool packed;
static double tolerance(const struct task *t)
{
    if (packed && t->op->kind == OP_EMBED)
        return 2e-4;
    if (t->op->kind != OP_MATMUL)
        return 2e-5; // exp, and sums in another order
    return t->w[0]->enc->block > 1 && !exact ? 0.05 : 1e-4;
}

static struct device *device_under_test;

// Runs one task on both sides and compares all buffers.
static void compare(struct rig *r, struct task *t)
{
    struct device *d = device_under_test;
    struct task mine = *t;
    struct err e = {0};
    rig_bind(r->there, t);
    rig_bind(r->here, &mine);
    if (!CHECK_OK(d->ops->supports(d, t, &e), &e) || !rig_ready(d, t))
        return;
    rig_fill(r);
    rig_map_all(r, d, MAP_TO_DEVICE);
    rig_wait(d, rig_submit(d, t));
    rig_map_all(r, d, MAP_TO_HOST);
    ref_run(&mine, r->scratch);
    for (int b = 0; b < BUF_COUNT; b++) {
        // k is rotated on its way into the cache; what is left of it in kv is nobody's business.
        if (b == BUF_KV && t->op->kind == OP_ROPE)
            continue;
        double diff = rig_difference(r, b);
        if (!(diff <= tolerance(t))) {
            test_note("%s %s: %s (%s) rows [%d:%d] tokens [%d:%d] pad %d past %d: %s is off by %g",
                      r->m->name, d->caps.name, t->op->name, r->model->tensors[2]->enc->name, t->m0,
                      t->m1, t->n0, t->n1, t->n_pad, t->n_past, buf_name((enum buf_id)b), diff);
            CHECK(diff <= tolerance(t));
        }
    }
}

static void pad(struct task *t)
{
    if (t->n_pad)
        t->n_pad = device_size_for(&device_under_test->caps, t->n1 - t->n0);
}

// Slices of one operator instance: whole, inner tokens, and for matmuls rows at both ends and
// across the stacked parts, in each operand order that the device distinguishes.
static void slices(struct rig *r, int op, int n, int n_past)
{
    const struct device_caps *c = &device_under_test->caps;
    struct graph g;
    struct task t;
    rig_task(r, device_under_test, op, &g, n, n_past, &t);
    const struct task whole = t;
    int tile = c->tile > 1 ? c->tile : 3;
    compare(r, &t);
    if (n > 2 && !t.op->last_only) {
        t = whole;
        t.n0 = t.out_n0 = 1, t.n1 = n - 1;
        pad(&t);
        compare(r, &t);
    }
    if (t.op->kind != OP_MATMUL)
        return;
    const int cut[][2] = {{0, tile}, {tile, t.op->m}, {tile, 3 * tile}};
    for (size_t i = 0; i < sizeof cut / sizeof cut[0]; i++) {
        t = whole;
        t.m0 = cut[i][0];
        t.m1 = cut[i][1];
        t.order = c->orders >> ORDER_WEIGHT_STATIONARY & 1 && i % 2 ? ORDER_WEIGHT_STATIONARY
                                                                    : ORDER_WEIGHT_STREAMED;
        if (t.m1 > t.op->m)
            continue;
        compare(r, &t);
        if (n > 2 && !t.op->last_only) { // both cuts at once
            t.n0 = t.out_n0 = 2;
            pad(&t);
            compare(r, &t);
        }
    }
}

static void values_on_device(struct rig *r)
{
    static const int shape[][2] = {{1, 17}, {5, 9}, {33, 0}, {1, 0}, {4, 0}, {RIG_TOKENS, 3}};
    const struct device_caps *c = &device_under_test->caps;
    // The simulated devices all carry the reference inside: fewer shapes show that it is wired.
    int shapes = r->m->repeatable ? 3 : 6;
    struct graph g;
    graph_build(r->model, 1, 0, &g);
    for (int op = 0; op < g.n_ops; op++)
        for (int i = 0; device_can(c, g.op[op].kind) && i < shapes; i++)
            slices(r, op, shape[i][0], shape[i][1]);
}

// Takes the model over.
static void each_device_of(struct machine *m, struct model *model, void (*fn)(struct rig *r))
{
    struct rig r;
    if (model && rig_open(&r, m, model)) {
        for (int i = 0; i < m->n_devices; i++) {
            device_under_test = m->device[i];
            fn(&r);
        }
        rig_close(&r);
    }
    m->ops->reset(m);
    model_close(model);
}

static void each_device(struct machine *m, const struct encoding *enc, void (*fn)(struct rig *r))
{
    each_device_of(m, rig_model(enc), fn);
}

static void values(struct machine *m)
{
    if (m->repeatable)
        each_device(m, &encoding_q8_0, values_on_device);
    for (size_t i = 0; !m->repeatable && i < encoding_registry_count; i++)
        each_device(m, encoding_registry[i], values_on_device);
    if (!m->repeatable)
        each_device_of(m, rig_mixed_model(), values_on_device);
}

static void test_values_on_simulated_machines(void)
{
    machines_each_soc(true, values);
}

static void test_values_on_the_host(void)
{
    struct machine *m = machines_host(NULL);
    if (!m)
        return;
    if (machines_index(m, DEVICE_GPU) < 0)
        test_skip("no OpenCL device on this machine: its gpu is not tested");
    values(m);
    machines_close(m);
}

// The same host without its two shortcuts: int8 activations, and memory shared with the GPU.
static void test_values_on_the_host_without_shortcuts(void)
{
    struct machine *m = machines_host("cpu = { exact = true; }; npu = { exact = true; };"
                                      "gpu = { memory = \"copy\"; activations = \"float\"; };");
    if (!m)
        return;
    int gpu = machines_index(m, DEVICE_GPU);
    if (gpu < 0)
        test_skip("no OpenCL device on this machine: copied buffers are not tested");
    else
        CHECK(!m->device[gpu]->caps.coherent);
    exact = true;
    values(m);
    exact = false;
    machines_close(m);
}

// The skel for a Hexagon DSP, compiled for this machine, and for Hexagon under the emulator.
static void values_on_hexagon(enum fixture_kind kind, const char *more)
{
    if (!fixture_need(kind))
        return;
    struct machine *m = machines_hexagon(kind, more);
    packed = true;
    if (m)
        values(m);
    packed = false;
    machines_close(m);
    CHECK_INT(fixture_left(fixture_library(kind)), 0);
}

static void test_values_on_a_native_hexagon_skel(void)
{
    values_on_hexagon(FIXTURE_NATIVE, NULL);
}

static void test_values_on_an_exact_hexagon_skel(void)
{
    exact = true;
    values_on_hexagon(FIXTURE_NATIVE, "exact = true;");
    exact = false;
}

static void test_values_on_an_emulated_hexagon(void)
{
    values_on_hexagon(FIXTURE_EMULATED, NULL);
}

// ---- the queue ----

static void queue_on_device(struct rig *r)
{
    struct device *d = device_under_test;
    enum { TASKS = 12 };
    struct graph g;
    struct task t;
    struct err e = {0};
    uint64_t seq[TASKS];
    rig_task(r, d, 2, &g, 4, 0, &t); // q
    rig_bind(r->there, &t);
    if (!rig_ready(d, &t))
        return;
    if (r->m->values)
        rig_fill(r);
    for (int i = 0; i < TASKS; i++) {
        seq[i] = rig_submit(d, &t);
        CHECK_INT(seq[i], seq[0] + (uint64_t)i); // ascending without gaps
    }
    CHECK(seq[0] >= 1);
    int late = d->ops->poll(d, seq[TASKS - 1], &e); // 1 or 0, never an error
    CHECK(late == 0 || late == 1);
    CHECK_OK(d->ops->wait(d, seq[4], WAIT_FINISH, &e), &e);
    for (int i = 0; i <= 4; i++) // when a ticket is complete, so are all before it
        CHECK_INT(d->ops->poll(d, seq[i], &e), 1);
    CHECK_OK(d->ops->wait(d, seq[2], WAIT_FINISH, &e), &e); // an old ticket returns
    if (d->caps.flag)
        CHECK(r->m->ops->flag(r->m, d->index) >= seq[4]);
    if (d->caps.event) {
        CHECK_OK(d->ops->wait(d, seq[7], WAIT_EVENT, &e), &e);
        CHECK_INT(d->ops->poll(d, seq[7], &e), 1);
        CHECK_OK(d->ops->wait(d, seq[7], WAIT_EVENT, &e), &e);
    }
    if (d->caps.wake) { // who sleeps on the flag word is there to see it
        CHECK(d->caps.flag);
        CHECK_OK(d->ops->wait(d, seq[8], WAIT_FUTEX, &e), &e);
        CHECK(r->m->ops->flag(r->m, d->index) >= seq[8]);
        CHECK_OK(d->ops->wait(d, seq[8], WAIT_FUTEX, &e), &e);
    }
    if (d->caps.flag) { // polling alone is enough to see the end
        uint64_t last = 0, now;
        while ((now = r->m->ops->flag(r->m, d->index)) < seq[TASKS - 1]) {
            CHECK(now >= last);
            last = now;
            r->m->ops->pause(r->m);
        }
    }
    while (d->ops->poll(d, seq[TASKS - 1], &e) == 0)
        r->m->ops->pause(r->m);
    CHECK_INT(d->ops->poll(d, seq[TASKS - 1], &e), 1);
}

static void queue(struct machine *m)
{
    each_device(m, &encoding_f32, queue_on_device);
}

static void test_tickets_polls_waits_and_flags(void)
{
    machines_each(queue);
}

// ---- refusals ----

static void refused(const struct device *d, const struct task *t, const char *what)
{
    struct err e = {0};
    int rc = d->ops->supports(d, t, &e);
    if (rc >= 0 || !e.msg[0] || e.code != rc)
        test_note("%s: %s: rc %d, code %d, \"%s\"", d->caps.name, what, rc, e.code, e.msg);
    CHECK(rc < 0);
    CHECK_INT(e.code, rc);
    CHECK(e.msg[0] != 0);
}

static void refusals_on_device(struct rig *r)
{
    const struct device *d = device_under_test;
    const struct device_caps *c = &d->caps;
    struct graph g;
    struct task t;
    rig_task(r, d, 2, &g, 4, 0, &t);
    rig_bind(r->there, &t);
    struct err e = {0};
    CHECK_OK(d->ops->supports(d, &t, &e), &e);
    if (!c->static_graphs) {
        t.n_pad = 32;
        refused(d, &t, "a static graph on a device of dynamic shapes");
        return;
    }
    CHECK(c->n_sizes >= 1);
    for (int i = 1; i < c->n_sizes; i++)
        CHECK(c->size[i] > c->size[i - 1]);
    const struct task good = t;
    t.n_pad = 0;
    refused(d, &t, "a dynamic shape on a device of static graphs");
    t.n_pad = c->size[c->n_sizes - 1] - 1;
    refused(d, &t, "a size that is not a standard one");
    t = good;
    t.n_pad = c->size[0];
    if (t.n_pad < 4)
        refused(d, &t, "more tokens than the graph has");
    if (c->tile > 1) {
        t = good;
        t.m0 = 1;
        refused(d, &t, "rows that begin inside a tile");
        t = good;
        t.m1 = c->tile + 1;
        refused(d, &t, "rows that end inside a tile");
    }
    struct static_graph sg = {good.op, 0, good.op->m, c->size[c->n_sizes - 1] - 1, 0};
    int handle = -7;
    CHECK(d->ops->prepare((struct device *)d, &sg, &handle, &e) < 0);
    CHECK(e.msg[0] != 0);
    CHECK_INT(handle, -7); // outputs are written only on success
}

static void refusals(struct machine *m)
{
    each_device(m, &encoding_q8_0, refusals_on_device);
}

static void test_refusals_say_why(void)
{
    machines_each(refusals);
}

// ---- static graphs ----

static void graphs_on_device(struct rig *r)
{
    struct device *d = device_under_test;
    struct device_stats s;
    struct err e = {0};
    struct graph g;
    int a = -1, b = -1, c = -1;
    if (!d->caps.static_graphs)
        return;
    graph_build(r->model, 4, 0, &g);
    r->m->ops->reset(r->m);
    const struct op *q = graph_find(&g, "q");
    struct static_graph x = {q, 0, q->m, d->caps.size[0], 0}, y = x;
    y.m1 = d->caps.tile;
    CHECK_OK(d->ops->prepare(d, &x, &a, &e), &e);
    CHECK_OK(d->ops->prepare(d, &y, &b, &e), &e);
    CHECK_OK(d->ops->prepare(d, &x, &c, &e), &e);
    CHECK(a >= 0 && b >= 0 && a != b);
    CHECK_INT(c, a); // the same graph is the same handle
    d->ops->stats(d, &s);
    CHECK_INT(s.graphs, 2);
    CHECK(s.prepare_ps > 0);
    r->m->ops->reset(r->m);
    d->ops->stats(d, &s);
    CHECK_INT(s.graphs, 0);
    CHECK_INT(s.prepare_ps, 0);
}

static void graphs(struct machine *m)
{
    each_device(m, &encoding_f32, graphs_on_device);
}

static void test_static_graphs_are_prepared_once(void)
{
    machines_each(graphs);
}

// ---- statistics ----

static void stats_on_device(struct rig *r)
{
    struct device *d = device_under_test;
    struct device_stats s;
    double flops = 0, bytes = 0;
    uint64_t seq = 0, tasks = 0;
    // A graph of its own for each task: rig_task builds it, and the tasks before are still running.
    struct graph g[3][GRAPH_MAX_OPS];
    r->m->ops->reset(r->m);
    int64_t begin = r->m->ops->now(r->m);
    for (int round = 0; round < 3; round++) {
        struct graph all;
        graph_build(r->model, 4 + round, round, &all);
        for (int op = 0; op < all.n_ops; op++) {
            struct task t;
            if (!device_can(&d->caps, all.op[op].kind))
                continue;
            rig_task(r, d, op, &g[round][op], 4 + round, round, &t);
            rig_bind(r->there, &t);
            if (!rig_ready(d, &t))
                return;
            seq = rig_submit(d, &t);
            struct work w = task_work(&t, d->caps.act_bytes);
            flops += w.flops;
            bytes += w.weight_bytes + w.read_bytes + w.write_bytes;
            tasks++;
        }
    }
    rig_wait(d, seq);
    int64_t elapsed = r->m->ops->now(r->m) - begin;
    d->ops->stats(d, &s);
    CHECK_INT(s.tasks, tasks);
    CHECK_NEAR(s.flops / flops, 1, 1e-12); // no work is lost, none invented
    CHECK(s.bytes >= bytes * (1 - 1e-12)); // reloads may add
    CHECK(s.busy_ps > 0 && s.busy_ps <= elapsed);
    r->m->ops->reset(r->m);
    d->ops->stats(d, &s);
    CHECK_INT(s.tasks, 0);
    CHECK_INT(s.busy_ps, 0);
    CHECK_NEAR(s.flops, 0, 0);
    CHECK_NEAR(s.bytes, 0, 0);
    struct task t; // and it works on
    struct graph h;
    rig_task(r, d, 2, &h, 4, 0, &t);
    rig_bind(r->there, &t);
    if (rig_ready(d, &t))
        rig_wait(d, rig_submit(d, &t));
}

static void stats(struct machine *m)
{
    each_device(m, &encoding_q8_0, stats_on_device);
}

static void test_statistics_conserve_work(void)
{
    machines_each(stats);
    machines_each_soc(false, stats);
}

// ---- timing only ----

static void timing_only_on_device(struct rig *r)
{
    CHECK(!r->m->values);
    CHECK(!device_under_test->caps.values);
    for (int b = 0; b < BUF_COUNT; b++)
        CHECK(!r->there[b].host);
    queue_on_device(r);
}

static void timing_only(struct machine *m)
{
    each_device(m, &encoding_f32, timing_only_on_device);
}

static void test_timing_only_machines_compute_nothing(void)
{
    machines_each_soc(false, timing_only);
}

// With and without values the clock shows the same.
static void test_values_do_not_change_the_clock(void)
{
    int64_t end[2];
    uint64_t digest[2];
    struct model *model = rig_model(&encoding_q4_0);
    for (int v = 0; v < 2; v++) {
        struct machine *m = machines_soc("configs/soc/sd8gen3.cfg", v);
        struct rig r;
        struct graph g;
        struct task t;
        if (!m || !model || !rig_open(&r, m, model))
            return;
        if (v)
            rig_fill(&r);
        for (int i = 0; i < m->n_devices; i++) {
            uint64_t seq = 0;
            rig_task(&r, m->device[i], 2, &g, 30, 0, &t);
            rig_bind(r.there, &t);
            if (rig_ready(m->device[i], &t))
                seq = rig_submit(m->device[i], &t);
            rig_wait(m->device[i], seq);
        }
        end[v] = m->ops->now(m);
        digest[v] = m->ops->digest(m);
        rig_close(&r);
        machines_close(m);
    }
    CHECK_INT(end[0], end[1]);
    CHECK(digest[0] == digest[1]);
    model_close(model);
}

// Names are unique, indices are places, descriptions name the first of each kind.
static void describe(struct machine *m)
{
    struct machine_desc d;
    machine_describe(m, &d);
    CHECK(m->n_devices >= 1 && m->n_devices <= MACHINE_MAX_DEVICES);
    CHECK_INT(d.n_devices, m->n_devices);
    for (int i = 0; i < m->n_devices; i++) {
        const struct device_caps *c = &m->device[i]->caps;
        CHECK_INT(m->device[i]->index, i);
        CHECK(m->device[i]->machine == m);
        CHECK(machine_find(m, c->name) == m->device[i]);
        CHECK(c->detail && c->detail[0]);
        CHECK(c->act_bytes > 0 && c->ops != 0 && c->tile >= 1);
    }
    CHECK(d.cpu == machines_index(m, DEVICE_CPU) && d.gpu == machines_index(m, DEVICE_GPU) &&
          d.npu == machines_index(m, DEVICE_NPU));
    CHECK(machine_find(m, "no such device") == NULL);
}

static void test_machines_describe_their_devices(void)
{
    machines_each(describe);
}

TESTS(contract_devices, T(test_machines_describe_their_devices),
      T(test_values_on_simulated_machines), T(test_values_on_the_host),
      T(test_values_on_the_host_without_shortcuts), T(test_values_on_a_native_hexagon_skel),
      T(test_values_on_an_exact_hexagon_skel), T(test_values_on_an_emulated_hexagon),
      T(test_tickets_polls_waits_and_flags), T(test_refusals_say_why),
      T(test_static_graphs_are_prepared_once), T(test_statistics_conserve_work),
      T(test_timing_only_machines_compute_nothing), T(test_values_do_not_change_the_clock))
