// SPDX-License-Identifier: GPL-3.0-or-later
// Calls of the driver that fail. The functions that the OpenCL device calls to enqueue, to
// allocate, to flush and to ask for a state are replaced here (the program's own definitions come
// before the library's); they count, and the n-th one fails. For every n up to the calls of one
// step: an error that names the operator, no hang, nothing left behind, and a queue that failed
// stays failed.
//
// Skipped where no OpenCL device is installed.
#include "tests/engine/host/opencl_rig.h"

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

// A state that fails is the device's death: the command never completes.
cl_int clGetEventInfo(cl_event ev, cl_event_info what, size_t size, void *value, size_t *got)
{
    NEXT(clGetEventInfo);
    cl_int rc = next(ev, what, size, value, got);
    if (!rc && what == CL_EVENT_COMMAND_EXECUTION_STATUS && fails())
        memcpy(value, &failure, sizeof failure);
    return rc;
}

cl_int clSetKernelArg(cl_kernel k, cl_uint i, size_t size, const void *value)
{
    NEXT(clSetKernelArg);
    return fails() ? failure : next(k, i, size, value);
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

static void faults(const char *options, enum wait_mode mode, cl_int code, const char *name)
{
    struct device *d = open_device(options);
    if (!d)
        return;
    d->ops->close(d);
    int met = 0;
    for (int n = 1; n < 200; n++) {
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
    CHECK(met > 20);
    test_note("%s: %d calls of a step failed\n", name, met);
}

static void test_out_of_memory(void)
{
    faults(INT8 "compute_units = 1;", WAIT_FINISH, CL_MEM_OBJECT_ALLOCATION_FAILURE,
           "CL_MEM_OBJECT_ALLOCATION_FAILURE");
}

static void test_device_lost(void)
{
    faults(FLOAT "flag = false; zero_copy = \"off\";", WAIT_EVENT, CL_OUT_OF_RESOURCES,
           "CL_OUT_OF_RESOURCES");
}

static void test_device_lost_out_of_order(void)
{
    faults(INT8 "queue = \"out_of_order\";", WAIT_EVENT, CL_OUT_OF_RESOURCES,
           "CL_OUT_OF_RESOURCES");
}

TESTS(engine_host_opencl_faults, T(test_out_of_memory), T(test_device_lost),
      T(test_device_lost_out_of_order))
