// SPDX-License-Identifier: GPL-3.0-or-later
// The OpenCL device around its kernels: tickets, all ways to wait, the flag word, an output that
// host and device write at once, what it refuses, reloading weights, opening and closing, failing
// well.
//
// Skipped where no OpenCL device is installed.
#include "tests/engine/host/opencl_rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// A chain of additions: x += y, `n` times. The ticket's place in the queue decides the value.
struct chain {
    struct model model;
    struct op op;
    struct task task;
    struct twin x, y;
};

static void chain_open(struct device *d, struct chain *c, int width)
{
    *c = (struct chain){.op = {.kind = OP_ADD, .name = "add", .m = width, .k = width}};
    c->x = twin_new(d, 1, width, 0);
    c->y = twin_new(d, 1, width, 0);
    memset(c->x.dev.host, 0, (size_t)width * 4);
    for (int i = 0; i < width; i++)
        ((float *)c->y.dev.host)[i] = 1;
    map_all(d, &c->x, MAP_TO_DEVICE);
    map_all(d, &c->y, MAP_TO_DEVICE);
    c->task = (struct task){.op = &c->op,
                            .model = &c->model,
                            .m1 = width,
                            .n1 = 1,
                            .graph = -1,
                            .in = &c->y.dev,
                            .out = &c->x.dev};
}

static void chain_close(struct device *d, struct chain *c)
{
    twin_free(d, &c->x);
    twin_free(d, &c->y);
}

static void test_queue(void)
{
    for (int i = 0; i < CONFIGS; i++) {
        struct device *d = open_device(configs[i]);
        if (!d)
            return;
        struct err e = {0};
        struct chain c;
        uint64_t seq = 0, n = 0;
        chain_open(d, &c, 100);
        // more than the ring of tickets holds
        for (; n < 2500; n++) {
            CHECK_OK(d->ops->submit(d, &c.task, &seq, &e), &e);
            CHECK_INT((long long)seq, (long long)n + 1);
        }
        CHECK_OK(d->ops->wait(d, seq, WAIT_EVENT, &e), &e);
        map_all(d, &c.x, MAP_TO_HOST);
        CHECK_NEAR(((float *)c.x.dev.host)[99], 2500, 0);
        // old and new tickets, every way to wait
        for (int j = 0; j < 60; j++) {
            CHECK_OK(d->ops->submit(d, &c.task, &seq, &e), &e);
            int rc = 0;
            if (j % 3 == 0)
                CHECK_OK(d->ops->wait(d, seq, WAIT_FINISH, &e), &e);
            else if (j % 3 == 1)
                CHECK_OK(d->ops->wait(d, seq, WAIT_EVENT, &e), &e);
            else
                while (!(rc = d->ops->poll(d, seq, &e)))
                    ;
            CHECK(rc >= 0);
            CHECK_INT(d->ops->poll(d, seq, &e), 1);
            CHECK_INT(d->ops->poll(d, 1 + (uint64_t)j, &e), 1);
            CHECK_OK(d->ops->wait(d, 7, WAIT_EVENT, &e), &e);
            map_all(d, &c.x, MAP_TO_HOST);
            CHECK_NEAR(((float *)c.x.dev.host)[0], 2501 + j, 0);
        }
        struct device_stats s;
        d->ops->stats(d, &s);
        CHECK_INT((long long)s.tasks, 2560);
        CHECK_NEAR(s.flops, 2560 * 100, 0);
        CHECK(s.busy_ps > 0);
        d->ops->submit(d, &c.task, &seq, &e);
        d->ops->reset(d);
        d->ops->stats(d, &s);
        CHECK_INT((long long)s.tasks, 0);
        // closing with work in the queue
        for (int j = 0; j < 20; j++)
            CHECK_OK(d->ops->submit(d, &c.task, &seq, &e), &e);
        chain_close(d, &c);
        d->ops->close(d);
    }
}

// Three chains over buffers of their own and a fourth over all of them, many tickets in flight: the
// values tell whether conflicting tasks kept their order, with the flag and with markers.
static void test_out_of_order(void)
{
    static const char *const how[] = {
        INT8 "queue = \"out_of_order\"; compute_units = 0;",
        FLOAT "queue = \"out_of_order\"; compute_units = 0; flag = false; memory = \"copy\";"};
    for (int i = 0; i < 2; i++) {
        struct device *d = open_device(how[i]);
        if (!d)
            return;
        struct err e = {0};
        struct chain c[3];
        uint64_t seq = 0;
        for (int j = 0; j < 3; j++)
            chain_open(d, &c[j], 300 + 4000 * j);
        struct task join = c[0].task; // the first 300 values of a longer chain
        for (int n = 1; n <= 700; n++) {
            for (int j = 0; j < 3; j++)
                CHECK_OK(d->ops->submit(d, &c[j].task, &seq, &e), &e);
            if (n % 7 == 0) { // x0 += x1, x1 += y1: reads what was written, is overwritten after
                join.in = &c[1].x.dev;
                CHECK_OK(d->ops->submit(d, &join, &seq, &e), &e);
                CHECK_OK(d->ops->submit(d, &c[1].task, &seq, &e), &e);
            }
            if (n % 97 == 0) {
                CHECK_OK(d->ops->wait(d, seq, n % 2 ? WAIT_EVENT : WAIT_FINISH, &e), &e);
                struct host_device *h = (struct host_device *)d;
                if (h->flag)
                    CHECK_INT((long long)atomic_load(h->flag), (long long)seq);
            }
        }
        CHECK_OK(d->ops->wait(d, seq, WAIT_EVENT, &e), &e);
        double x0 = 0, x1 = 0;
        for (int n = 1; n <= 700; n++) {
            x0++, x1++;
            if (n % 7 == 0)
                x0 += x1, x1++;
        }
        for (int j = 0; j < 3; j++)
            map_all(d, &c[j].x, MAP_TO_HOST);
        CHECK_NEAR(((float *)c[0].x.dev.host)[299], x0, 0);
        CHECK_NEAR(((float *)c[1].x.dev.host)[4299], x1, 0);
        CHECK_NEAR(((float *)c[2].x.dev.host)[8299], 700, 0);
        coarse = true; // products share scratch memory
        for (int n = 0; n < 6; n++)
            matmul_case(d, &encoding_q4_0, 64, 40, 0, 3, 40, 1 + n, true, false);
        coarse = false;
        for (int j = 0; j < 3; j++)
            chain_close(d, &c[j]);
        d->ops->close(d);
    }
}

// A machine whose buffers are the device's shared virtual memory, and hints that nobody heeds.
static void test_shared_virtual_memory(void)
{
    struct device *d = open_device(FLOAT);
    if (!d)
        return;
    d->ops->close(d);
    struct conf *c = NULL;
    struct machine *m = NULL;
    struct err e = {0};
    CHECK_OK(
        conf_open_text("test",
                       "npu = { enabled = false; }; gpu_required = true; cpu = { threads = 1; };"
                       "gpu = { memory = \"svm\"; tune = \"off\"; priority = \"high\"; "
                       "perf_hint = \"low\"; };",
                       &c, &e),
        &e);
    int rc = machine_host_open(c, &m, &e);
    conf_close(c);
    if (rc == ERR_DEVICE && strstr(e.msg, "memory = svm")) {
        test_skip("%s", e.msg);
        return;
    }
    if (!CHECK_OK(rc, &e))
        return;
    struct buffer x, y;
    CHECK_OK(m->ops->alloc(m, 3, 4000, &x, &e), &e);
    CHECK_OK(m->ops->alloc(m, 3, 4000, &y, &e), &e);
    struct op op = {.kind = OP_ADD, .name = "add", .m = 1000, .k = 1000};
    struct model model = {0};
    struct task t = {
        .op = &op, .model = &model, .m1 = 1000, .n1 = 3, .graph = -1, .in = &y, .out = &x};
    float *a = x.host, *b = y.host;
    for (int i = 0; i < 3000; i++)
        a[i] = (float)i, b[i] = 0.5f;
    for (int i = 0; i < m->n_devices; i++) {
        uint64_t seq = 0;
        CHECK(m->device[i]->caps.coherent);
        CHECK_OK(m->device[i]->ops->submit(m->device[i], &t, &seq, &e), &e);
        CHECK_OK(m->device[i]->ops->wait(m->device[i], seq, WAIT_FINISH, &e), &e);
    }
    CHECK_NEAR(a[2999], 2999 + 0.5 * m->n_devices, 0);
    m->ops->free(m, &x);
    m->ops->free(m, &y);
    m->ops->close(m);
}

// When the flag word shows a ticket, its result is there, and all results before it.
static void test_flag(void)
{
    struct device *d = open_device(FLOAT);
    if (!d)
        return;
    struct host_device *h = (struct host_device *)d;
    CHECK(d->caps.flag == (h->flag != NULL));
    if (!d->caps.flag) {
        test_skip("%s: no flag word", d->caps.detail);
        d->ops->close(d);
        return;
    }
    struct err e = {0};
    struct chain c;
    uint64_t seq = 0, last = 0;
    int bad = 0, backwards = 0;
    chain_open(d, &c, 5000);
    for (int i = 0; i < 300; i++)
        CHECK_OK(d->ops->submit(d, &c.task, &seq, &e), &e);
    volatile float *x = c.x.dev.host;
    time_t end = time(NULL) + 60;
    while (last < seq && time(NULL) < end) {
        uint64_t now = atomic_load_explicit(h->flag, memory_order_acquire);
        backwards += now < last;
        if (d->caps.coherent)
            bad += x[0] < (float)now || x[4999] < (float)now;
        last = now;
    }
    CHECK_INT((long long)last, (long long)seq);
    CHECK_INT(backwards, 0);
    CHECK_INT(bad, 0);
    CHECK_OK(d->ops->wait(d, seq, WAIT_FINISH, &e), &e);
    chain_close(d, &c);
    d->ops->close(d);
}

// The device computes columns [0, 37) of the output while a host thread computes [37, 80).
struct half {
    struct task task;
    float scratch[256];
    int turns;
};
static void *host_half(void *arg)
{
    struct half *h = arg;
    for (int i = 0; i < h->turns; i++)
        ref_run(&h->task, h->scratch);
    return NULL;
}

static void test_shared_output(void)
{
    for (int cfg = 0; cfg < 2; cfg++) {
        struct device *d = open_device(configs[cfg]);
        if (!d)
            return;
        enum { K = 64, M = 80, CUT = 37, N = 20 };
        struct model model = {.shape = {.weight_bits = 4.5}};
        struct op op = {.kind = OP_MATMUL, .name = "product", .m = M, .k = K};
        next_id = 0;
        struct tensor w = tensor_new(&encoding_q4_0, M, K, 0);
        struct task t = {
            .op = &op, .model = &model, .m1 = M, .n1 = N, .graph = -1, .n_parts = 1, .w = {&w}};
        struct twin in = twin_new(d, N, K, 0), out = twin_new(d, N, M, 0);
        run(d, t, &in, NULL, &out, NULL, NULL); // loads, and fills the reference
        memset(out.dev.host, 0, (size_t)out.dev.size);
        map_all(d, &out, MAP_TO_DEVICE);
        struct half h = {.turns = 20};
        struct err e = {0};
        uint64_t seq = 0;
        t.in = &in.dev;
        t.out = &out.dev;
        h.task = t;
        h.task.m0 = CUT;
        t.m1 = CUT;
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, host_half, &h), 0);
        for (int i = 0; i < 200; i++)
            CHECK_OK(d->ops->submit(d, &t, &seq, &e), &e);
        CHECK_OK(d->ops->wait(d, seq, WAIT_EVENT, &e), &e);
        pthread_join(thread, NULL);
        if (!d->caps.coherent) // only the device's columns: the others are the host's
            CHECK_OK(d->ops->map(d, &out.dev, 0, N, 0, CUT * 4, MAP_TO_HOST, &e), &e);
        const float *a = out.dev.host, *b = out.ref.host;
        double most = 0;
        for (int i = 0; i < N * M; i++)
            most = fmax(most, fabs((double)a[i] - b[i]));
        CHECK_NEAR(most, 0, tolerance(K));
        twin_free(d, &in);
        twin_free(d, &out);
        tensor_free(&w, 0);
        d->ops->close(d);
    }
}

static void test_supports(void)
{
    struct device *d = open_device(FLOAT "max_weight = \"64 KiB\";");
    if (!d)
        return;
    struct err e = {0};
    struct model model = {.shape = {.n_head = 4, .n_head_kv = 2, .d_head = 512}};
    struct op op = {.kind = OP_MATMUL, .name = "product", .m = 4, .k = 48};
    struct tensor w = {.name = "odd", .enc = &encoding_q4_0, .rows = 4, .cols = 48};
    struct task t = {.op = &op, .model = &model, .m1 = 4, .n1 = 1, .n_parts = 1, .w = {&w}};
    CHECK_INT(d->ops->supports(d, &t, &e), ERR_UNSUPPORTED);
    CHECK_HAS(e.msg, "48 columns in blocks of 32");
    w.cols = 1 << 20;
    w.row_bytes = encoding_size(w.enc, w.cols);
    CHECK_INT(d->ops->supports(d, &t, &e), ERR_UNSUPPORTED);
    CHECK_HAS(e.msg, "largest allocation is 65536");
    w.cols = 64;
    w.row_bytes = encoding_size(w.enc, w.cols);
    CHECK_OK(d->ops->supports(d, &t, &e), &e);
    CHECK_INT(d->ops->load(d, &w, 0, 4, &e), ERR_UNSUPPORTED); // no data
    t.n_pad = 32;
    CHECK_INT(d->ops->supports(d, &t, &e), ERR_UNSUPPORTED);
    CHECK_HAS(e.msg, "no static graphs");
    t.n_pad = 0;
    t.m1 = 5;
    CHECK_INT(d->ops->supports(d, &t, &e), ERR_UNSUPPORTED);
    t.m1 = 4;
    op.kind = OP_ATTENTION;
    CHECK_INT(d->ops->supports(d, &t, &e), ERR_UNSUPPORTED);
    CHECK_HAS(e.msg, "heads of 512 values; at most 256");
    struct buffer big = {.size = INT64_C(1) << 50, .pitch = 4};
    CHECK_INT(d->ops->alloc(d, &big, &e), ERR_MEMORY);
    int handle;
    CHECK_INT(d->ops->prepare(d, NULL, &handle, &e), ERR_UNSUPPORTED);
    CHECK_INT(d->caps.tile, 1);
    CHECK(d->caps.values && d->caps.event && !d->caps.static_graphs);
    CHECK_STR(d->caps.name, "gpu");
    d->ops->close(d);
}

// Another model's tensor under the same id, at the same address.
static void test_reload(void)
{
    for (int c = 0; c < 2; c++) {
        struct device *d = open_device(configs[c]);
        if (!d)
            return;
        struct err e = {0};
        struct device_stats s;
        for (int i = 0; i < 3; i++)
            matmul_case(d, &encoding_f32, 40 + i, 20, 0, 0, 20, 2, false, false);
        next_id = 0;
        struct tensor w = tensor_new(&encoding_f16, 64, 32, 0);
        CHECK_OK(d->ops->load(d, &w, 0, 16, &e), &e);
        CHECK_OK(d->ops->load(d, &w, 32, 40, &e), &e); // the rows between come along
        CHECK_OK(d->ops->load(d, &w, 8, 30, &e), &e);
        d->ops->stats(d, &s);
        CHECK(s.resident >= (c ? 40 : 64) * w.row_bytes);
        tensor_free(&w, 0);
        d->ops->close(d);
    }
}

static void test_errors(void)
{
    struct device *d = open_device(FLOAT);
    if (!d)
        return;
    d->ops->close(d);
    static const struct {
        const char *options, *says;
    } bad[] = {
        {"platform = \"no such\";", "no OpenCL device matches platform \"no such\""},
        {"device = \"99\";", "device \"99\"; found "},
        {"compute_units = 60000;", "compute_units = 60000, but the device has"},
        {"kernel_options = \"-DLANES=nothing\";", "building the kernels: CL_"},
        {"zero_cpy = \"on\";", "zero_c"},
        {"memory = \"import\";", "memory = import, but host and device"},
        {"precision = \"fp16\";", "precision = fp16, but the device has no cl_khr_fp16"},
        {"gemm_tile = [32, 48];", "gpu.gemm_tile: 7 numbers"},
        {"gemm_tile = [12, 4, 32, 1, 4, 1, 0];", "gpu.gemm_tile: 7 numbers"},
        {"gemv_tile = [0, 4];", "gpu.gemv_tile: 2 numbers"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct conf *c = NULL;
        struct err e = {0};
        char text[512];
        d = NULL;
        CHECK_OK(conf_open_text("test", bad[i].options, &c, &e), &e);
        int rc = device_opencl_open(conf_root(c), &machine, 0, &d, &e);
        CHECK(rc == ERR_DEVICE || rc == ERR_CONFIG);
        CHECK_HAS(err_text(&e, text, sizeof text), bad[i].says);
        CHECK(d == NULL);
        conf_close(c);
    }
}

// In a process of its own, because the loader looks for drivers once. This runs first.
static void test_no_driver(void)
{
    pid_t child = fork();
    if (child == 0) {
        struct err e = {0};
        struct device *d = NULL;
        setenv("OCL_ICD_VENDORS", "/nonexistent", 1);
        int rc = device_opencl_open(NULL, &machine, 0, &d, &e);
        _exit(rc == ERR_DEVICE && strstr(e.msg, "no OpenCL platform (CL_PLATFORM_NOT_FOUND_KHR)")
                  ? 0
                  : 1);
    }
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_INT(status, 0);
}

static long resident_kib(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void test_reopen(void)
{
    long before = 0;
    for (int i = 0; i < 30; i++) {
        struct device *d = open_device(FLOAT);
        if (!d)
            return;
        matmul_case(d, &encoding_f32, 64, 32, 0, 0, 32, 1 + i % 2, true, false);
        d->ops->close(d);
        if (i == 9)
            before = resident_kib();
    }
    long grown = resident_kib() - before;
    test_note("20 more devices: %ld KiB\n", grown);
    CHECK(grown < 20 * 400);
}

TESTS(engine_host_opencl_queue, T(test_no_driver), T(test_queue), T(test_out_of_order),
      T(test_shared_virtual_memory), T(test_flag), T(test_shared_output), T(test_supports),
      T(test_reload), T(test_errors), T(test_reopen))
