// SPDX-License-Identifier: GPL-3.0-or-later
// Calls of the driver that fail. The functions that the OpenCL device calls to enqueue, to
// allocate, to flush and to ask for a state are replaced here (the program's own definitions come
// before the library's); they count, and the n-th one fails. For every n up to the calls of one
// step: an error that names the operator, no hang, nothing left behind, and a queue that failed
// stays failed.
//
// Skipped where no OpenCL device is installed.
#include "tests/engine/host/opencl_rig.h"

#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <dlfcn.h>

static int calls, fail_at; // fail_at 0: never
static cl_int failure;

static bool fails(void)
{
    return ++calls == fail_at;
}

// The library's own function.
#define NEXT(name)                                                                                 \
    static __typeof__(name) *next;                                                                 \
    if (!next)                                                                                     \
    *(void **)&next = dlsym(RTLD_NEXT, #name)

cl_int clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint dim, const size_t *offset,
                              const size_t *global, const size_t *local, cl_uint n,
                              const cl_event *wait, cl_event *ev)
{
    NEXT(clEnqueueNDRangeKernel);
    return fails() ? failure : next(q, k, dim, offset, global, local, n, wait, ev);
}

cl_mem clCreateBuffer(cl_context c, cl_mem_flags flags, size_t size, void *host, cl_int *rc)
{
    NEXT(clCreateBuffer);
    if (!fails())
        return next(c, flags, size, host, rc);
    *rc = failure;
    return NULL;
}

cl_int clFlush(cl_command_queue q)
{
    NEXT(clFlush);
    return fails() ? failure : next(q);
}

cl_int clEnqueueWriteBuffer(cl_command_queue q, cl_mem m, cl_bool blocking, size_t at, size_t size,
                            const void *from, cl_uint n, const cl_event *wait, cl_event *ev)
{
    NEXT(clEnqueueWriteBuffer);
    return fails() ? failure : next(q, m, blocking, at, size, from, n, wait, ev);
}

// How the driver answers when the device has failed: as ever; clFinish gives up at once; and
// commands seem to run for ever.
static enum { ANSWERS, GIVES_UP, HANGS } driver;

// A state that fails is the device's death: the command never completes.
cl_int clGetEventInfo(cl_event ev, cl_event_info what, size_t size, void *value, size_t *got)
{
    NEXT(clGetEventInfo);
    static const cl_int running = CL_RUNNING;
    cl_int rc = next(ev, what, size, value, got);
    if (!rc && what == CL_EVENT_COMMAND_EXECUTION_STATUS) {
        if (fails())
            memcpy(value, &failure, sizeof failure);
        else if (driver == HANGS)
            memcpy(value, &running, sizeof running);
    }
    return rc;
}

cl_int clFinish(cl_command_queue q)
{
    NEXT(clFinish);
    return driver == ANSWERS ? next(q) : failure;
}

cl_mem clCreateImage(cl_context c, cl_mem_flags flags, const cl_image_format *format,
                     const cl_image_desc *desc, void *host, cl_int *rc)
{
    NEXT(clCreateImage);
    if (!fails())
        return next(c, flags, format, desc, host, rc);
    *rc = failure;
    return NULL;
}

// A driver without profiling.
static bool unprofiled;
cl_command_queue clCreateCommandQueue(cl_context c, cl_device_id dev, cl_command_queue_properties p,
                                      cl_int *rc)
{
    NEXT(clCreateCommandQueue);
    if (!unprofiled || !(p & CL_QUEUE_PROFILING_ENABLE))
        return next(c, dev, p, rc);
    *rc = CL_INVALID_QUEUE_PROPERTIES;
    return NULL;
}

// A product, an addition and a rotation, as of layer 12.
struct step {
    struct model model;
    struct op op[3];
    struct tensor w;
    struct twin x, y, q, kv, kc, vc;
    struct task task[3];
};

static void step_open(struct device *d, struct step *s)
{
    enum { K = 64, M = 48, N = 3, HEAD = 8 };
    *s = (struct step){
        .model = {.shape = {.n_head = 2,
                            .n_head_kv = 1,
                            .d_head = HEAD,
                            .weight_bits = 4.5,
                            .rope = {.dim = HEAD, .theta = 10000, .factor = 1, .attn_factor = 1}}},
        .op = {{.kind = OP_MATMUL, .name = "gate_up", .m = M, .k = K},
               {.kind = OP_ADD, .name = "add_ffn", .m = M, .k = M},
               {.kind = OP_ROPE, .name = "rope", .m = 2 * HEAD, .k = 2 * HEAD}}};
    next_id = 0;
    s->w = tensor_new(&encoding_q4_0, M, K, 0);
    s->x = twin_new(d, N, K, 0);
    s->y = twin_new(d, N, M, 0);
    s->q = twin_new(d, N, 2 * HEAD, 0);
    s->kv = twin_new(d, N, 2 * HEAD, 0);
    s->kc = twin_new(d, N, HEAD, 0);
    s->vc = twin_new(d, N, HEAD, 0);
    for (int i = 0; i < 3; i++)
        s->task[i] = (struct task){.op = &s->op[i],
                                   .model = &s->model,
                                   .layer = 12,
                                   .m1 = s->op[i].m,
                                   .n1 = N,
                                   .graph = -1,
                                   .in = i ? &s->y.dev : &s->x.dev,
                                   .out = &s->y.dev};
    s->task[0].n_parts = 1;
    s->task[0].w[0] = &s->w;
    s->task[2].in = NULL;
    s->task[2].in2 = &s->kv.dev;
    s->task[2].out = &s->q.dev;
    s->task[2].kcache = &s->kc.dev;
    s->task[2].vcache = &s->vc.dev;
}

static void step_close(struct device *d, struct step *s)
{
    struct twin *all[] = {&s->x, &s->y, &s->q, &s->kv, &s->kc, &s->vc};
    for (int i = 0; i < 6; i++)
        twin_free(d, all[i]);
    tensor_free(&s->w, 0);
}

// Runs the step; 0, or the first error.
static int step_run(struct device *d, struct step *s, enum wait_mode mode, struct err *e)
{
    uint64_t seq = 0;
    for (int i = 0; i < 3; i++) {
        int rc = d->ops->submit(d, &s->task[i], &seq, e);
        if (rc)
            return rc;
    }
    return d->ops->wait(d, seq, mode, e);
}

static void faults(const char *options, enum wait_mode mode, cl_int code, const char *name,
                   int stride)
{
    struct device *d = open_device(options);
    if (!d)
        return;
    d->ops->close(d);
    int met = 0;
    for (int n = 1; n < 200; n += stride) {
        struct step s;
        struct err e = {0}, again = {0};
        d = open_device(options);
        if (!d)
            return;
        step_open(d, &s);
        calls = 0;
        failure = code;
        fail_at = n;
        int rc = step_run(d, &s, mode, &e);
        bool reached = calls >= fail_at;
        fail_at = 0;
        if (reached && rc) {
            met++;
            CHECK_INT(rc, ERR_DEVICE);
            CHECK_HAS(e.msg, name);
            CHECK_HAS(e.msg, ": ");
            if (!strstr(e.msg, "gate_up L12") && !strstr(e.msg, "add_ffn L12") &&
                !strstr(e.msg, "rope L12")) {
                CHECK(false);
                test_note("call %d: %s", n, e.msg);
            }
            // What failed stays failed; what never began may be tried again.
            rc = step_run(d, &s, mode, &again);
            if (rc) {
                CHECK_INT(rc, ERR_DEVICE);
                CHECK_HAS(again.msg, "L12");
                uint64_t seq;
                CHECK_INT(d->ops->submit(d, &s.task[0], &seq, &again), ERR_DEVICE);
            }
        }
        step_close(d, &s);
        d->ops->close(d);
        if (!reached) {
            CHECK_INT(rc, 0);
            break;
        }
    }
    CHECK(met > 8 / stride);
    test_note("%s: %d calls of a step failed\n", name, met);
}

// Without start-up probes, which take their time, but for the last one.
#define BARE "flag = false; memory = \"copy\"; "

static void test_out_of_memory(void)
{
    faults(INT8 BARE, WAIT_FINISH, CL_MEM_OBJECT_ALLOCATION_FAILURE,
           "CL_MEM_OBJECT_ALLOCATION_FAILURE", 1);
}

static void test_device_lost(void)
{
    faults(FLOAT BARE "queue = \"out_of_order\";", WAIT_EVENT, CL_OUT_OF_RESOURCES,
           "CL_OUT_OF_RESOURCES", 1);
}

static void test_device_lost_with_a_flag(void)
{
    faults(INT8, WAIT_EVENT, CL_DEVICE_NOT_AVAILABLE, "CL_DEVICE_NOT_AVAILABLE", 5);
}

static void test_no_image(void)
{
    faults(INT8 BARE "weights = \"image\";", WAIT_FINISH, CL_MEM_OBJECT_ALLOCATION_FAILURE,
           "CL_MEM_OBJECT_ALLOCATION_FAILURE", 1);
}

// A device that dies with a long queue writes its buffers until the queue is empty. Whoever is told
// of the death goes on with that memory, so that it must not be told before.
static void test_at_rest_before_it_says_so(void)
{
    enum { WIDTH = 100000, TASKS = 300 };
    static const char *const how[] = {FLOAT "patience = \"50 ms\";",
                                      FLOAT "patience = \"10 s\"; queue = \"out_of_order\";"};
    for (int i = 0; i < 6; i++) {
        char options[160];
        snprintf(options, sizeof options, "%s",
                 i / 3            ? how[1]
                 : i % 3 == HANGS ? how[0]
                                  : FLOAT "patience = \"10 s\";");
        if (i / 3 && i % 3 == HANGS)
            continue;
        struct device *d = open_device(options);
        if (!d)
            return;
        if (!d->caps.coherent) {
            d->ops->close(d);
            test_skip("buffers are copied: nothing is shared with the host");
            return;
        }
        struct model model = {0};
        struct op op = {.kind = OP_ADD, .name = "add_ffn", .m = WIDTH, .k = WIDTH};
        struct twin x = twin_new(d, 1, WIDTH, 0), y = twin_new(d, 1, WIDTH, 0);
        volatile float *a = x.dev.host;
        for (int j = 0; j < WIDTH; j++)
            ((float *)x.dev.host)[j] = 0, ((float *)y.dev.host)[j] = 1;
        struct task t = {.op = &op,
                         .model = &model,
                         .layer = 12,
                         .m1 = WIDTH,
                         .n1 = 1,
                         .graph = -1,
                         .in = &y.dev,
                         .out = &x.dev};
        struct err e = {0}, again = {0};
        uint64_t seq = 0;
        for (int j = 0; j < TASKS; j++)
            CHECK_OK(d->ops->submit(d, &t, &seq, &e), &e);
        driver = i % 3;
        failure = CL_OUT_OF_RESOURCES;
        calls = 0;
        fail_at = 1;
        int rc = d->ops->poll(d, seq, &e);
        fail_at = 0;
        CHECK_HAS(e.msg, "add_ffn L12: CL_OUT_OF_RESOURCES: the device failed");
        if (driver == HANGS) { // not a loss that anybody may go on after
            CHECK_INT(rc, ERR_IO);
            CHECK_HAS(e.msg, "may still write");
            CHECK_INT(d->ops->wait(d, seq, WAIT_FINISH, &again), ERR_IO);
            CHECK_INT(d->ops->submit(d, &t, &seq, &again), ERR_IO);
            CHECK_HAS(again.msg, "may still write");
        } else {
            CHECK_INT(rc, ERR_DEVICE);
            CHECK_NEAR(a[0], TASKS, 0);
            CHECK_NEAR(a[WIDTH - 1], TASKS, 0);
            CHECK_INT(d->ops->submit(d, &t, &seq, &again), ERR_DEVICE);
        }
        driver = ANSWERS;
        twin_free(d, &x);
        twin_free(d, &y);
        d->ops->close(d);
    }
}

// Without profiling events times are the host's, and everything else is as ever.
static void test_without_profiling(void)
{
    for (int i = 0; i < 2; i++) {
        unprofiled = i;
        struct device *d = open_device(INT8 BARE);
        unprofiled = false;
        if (!d)
            return;
        struct step s;
        struct err e = {0};
        struct device_stats stats;
        step_open(d, &s);
        CHECK_OK(step_run(d, &s, WAIT_EVENT, &e), &e);
        d->ops->stats(d, &stats);
        CHECK_INT((long long)stats.tasks, 3);
        CHECK(stats.busy_ps > 0);
        step_close(d, &s);
        coarse = true;
        matmul_case(d, &encoding_q4_0, 64, 40, 0, 3, 40, 5, true, false);
        coarse = false;
        d->ops->close(d);
    }
}

TESTS(engine_host_opencl_faults, T(test_out_of_memory), T(test_no_image), T(test_device_lost),
      T(test_device_lost_with_a_flag), T(test_at_rest_before_it_says_so), T(test_without_profiling))
