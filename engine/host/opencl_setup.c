// SPDX-License-Identifier: GPL-3.0-or-later
// Opening the hardware, and the names of its errors: which platform and device, how many of its
// compute units, and what its memory can do. Nothing about memory is believed from properties; it
// is tried:
//
//   zero-copy  a kernel writes memory of the host, which reads it after clFinish without a map, and
//              the other way round; then a host thread and a kernel write alternate words at once.
//   alignment  the same for a pointer that is only 32-byte aligned, as GGUF tensors are.
//   flag       a polling host thread must see a word written by one kernel while the next one is
//              still running.
#include "engine/host/opencl_kernels.h"

#include <ctype.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/log.h"

enum { MAX_PLATFORMS = 16, MAX_DEVICES = 16, PROBE_WORDS = 16384, PAGE = 4096 };

const char *opencl_error_name(cl_int code)
{
    static const struct {
        cl_int code;
        const char *name;
    } names[] = {
#define E(x) {x, #x}
        E(CL_SUCCESS),
        E(CL_DEVICE_NOT_FOUND),
        E(CL_DEVICE_NOT_AVAILABLE),
        E(CL_COMPILER_NOT_AVAILABLE),
        E(CL_MEM_OBJECT_ALLOCATION_FAILURE),
        E(CL_OUT_OF_RESOURCES),
        E(CL_OUT_OF_HOST_MEMORY),
        E(CL_PROFILING_INFO_NOT_AVAILABLE),
        E(CL_MEM_COPY_OVERLAP),
        E(CL_BUILD_PROGRAM_FAILURE),
        E(CL_MAP_FAILURE),
        E(CL_MISALIGNED_SUB_BUFFER_OFFSET),
        E(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST),
        E(CL_COMPILE_PROGRAM_FAILURE),
        E(CL_LINKER_NOT_AVAILABLE),
        E(CL_LINK_PROGRAM_FAILURE),
        E(CL_DEVICE_PARTITION_FAILED),
        E(CL_INVALID_VALUE),
        E(CL_INVALID_DEVICE_TYPE),
        E(CL_INVALID_PLATFORM),
        E(CL_INVALID_DEVICE),
        E(CL_INVALID_CONTEXT),
        E(CL_INVALID_QUEUE_PROPERTIES),
        E(CL_INVALID_COMMAND_QUEUE),
        E(CL_INVALID_HOST_PTR),
        E(CL_INVALID_MEM_OBJECT),
        E(CL_INVALID_BINARY),
        E(CL_INVALID_BUILD_OPTIONS),
        E(CL_INVALID_PROGRAM),
        E(CL_INVALID_PROGRAM_EXECUTABLE),
        E(CL_INVALID_KERNEL_NAME),
        E(CL_INVALID_KERNEL_DEFINITION),
        E(CL_INVALID_KERNEL),
        E(CL_INVALID_ARG_INDEX),
        E(CL_INVALID_ARG_VALUE),
        E(CL_INVALID_ARG_SIZE),
        E(CL_INVALID_KERNEL_ARGS),
        E(CL_INVALID_WORK_DIMENSION),
        E(CL_INVALID_WORK_GROUP_SIZE),
        E(CL_INVALID_WORK_ITEM_SIZE),
        E(CL_INVALID_GLOBAL_OFFSET),
        E(CL_INVALID_EVENT_WAIT_LIST),
        E(CL_INVALID_EVENT),
        E(CL_INVALID_OPERATION),
        E(CL_INVALID_BUFFER_SIZE),
        E(CL_INVALID_GLOBAL_WORK_SIZE),
        E(CL_INVALID_PROPERTY),
        E(CL_INVALID_COMPILER_OPTIONS),
        E(CL_INVALID_LINKER_OPTIONS),
        E(CL_INVALID_DEVICE_PARTITION_COUNT),
        {-1001, "CL_PLATFORM_NOT_FOUND_KHR"},
#undef E
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].code == code)
            return names[i].name;
    static _Thread_local char number[24];
    snprintf(number, sizeof number, "CL error %d", code);
    return number;
}

int opencl_fail(const struct opencl *d, struct err *e, cl_int code, const char *what)
{
    return err_set(e, ERR_DEVICE, "%s: %s: %s", d->name, what, opencl_error_name(code));
}

// The name matches when `want` is empty, its index as a number, or a part of it.
static bool matches(const char *want, const char *name, cl_uint index)
{
    if (!*want)
        return true;
    if (isdigit((unsigned char)*want) && strspn(want, "0123456789") == strlen(want))
        return strtoul(want, NULL, 10) == index;
    return strcasestr(name, want) != NULL;
}

// CPU devices come last, whatever their order.
static int preference(cl_device_id dev)
{
    cl_device_type type = 0;
    clGetDeviceInfo(dev, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    return type & CL_DEVICE_TYPE_GPU ? 3 : type & CL_DEVICE_TYPE_ACCELERATOR ? 2 : 1;
}

static int choose_device(struct opencl *d, struct err *e)
{
    cl_platform_id platform[MAX_PLATFORMS];
    cl_uint n_platforms = 0;
    cl_int rc = clGetPlatformIDs(MAX_PLATFORMS, platform, &n_platforms);
    if (rc || !n_platforms)
        return err_set(e, ERR_DEVICE,
                       "no OpenCL platform (%s): install an OpenCL driver (pocl-opencl-icd runs "
                       "on a CPU)",
                       opencl_error_name(rc));
    char seen[200] = "";
    size_t used = 0;
    int best = 0;
    n_platforms = n_platforms < MAX_PLATFORMS ? n_platforms : MAX_PLATFORMS;
    for (cl_uint i = 0; i < n_platforms; i++) {
        char pname[80] = "", dname[80];
        cl_device_id dev[MAX_DEVICES];
        cl_uint n = 0;
        clGetPlatformInfo(platform[i], CL_PLATFORM_NAME, sizeof pname - 1, pname, NULL);
        if (clGetDeviceIDs(platform[i], CL_DEVICE_TYPE_ALL, MAX_DEVICES, dev, &n))
            n = 0;
        for (cl_uint j = 0; j < n && j < MAX_DEVICES; j++) {
            dname[0] = 0;
            clGetDeviceInfo(dev[j], CL_DEVICE_NAME, sizeof dname, dname, NULL);
            if (used < sizeof seen - 1)
                used += (size_t)snprintf(seen + used, sizeof seen - used, "%s%s: %s",
                                         used ? ", " : "", pname, dname);
            if (!matches(d->opt.platform, pname, i) || !matches(d->opt.device, dname, j) ||
                preference(dev[j]) <= best)
                continue;
            best = preference(dev[j]);
            d->platform = platform[i];
            d->root = d->dev = dev[j];
            d->name = arena_printf(&d->arena, "%s: %s", pname, dname);
        }
    }
    if (best)
        return 0;
    if (!*seen)
        return err_set(e, ERR_DEVICE, "the OpenCL platforms have no device");
    return err_set(e, ERR_DEVICE,
                   "no OpenCL device matches platform \"%s\", device \"%s\"; found %s",
                   d->opt.platform, d->opt.device, seen);
}

// Takes only some of the compute units, so that a CPU device leaves cores to the other devices of
// the machine. Automatic: half of the units of a CPU device that has two or more.
static int partition(struct opencl *d, struct err *e)
{
    cl_uint units = 1;
    clGetDeviceInfo(d->root, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    int64_t want = d->opt.compute_units;
    if (want > units)
        return err_set(e, ERR_DEVICE, "%s: compute_units = %lld, but the device has %u", d->name,
                       (long long)want, units);
    if (want < 0)
        want = d->is_cpu && units >= 2 ? units / 2 : 0;
    if (want == 0 || want == units)
        return 0;
    cl_device_partition_property p[] = {CL_DEVICE_PARTITION_BY_COUNTS, want,
                                        CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
    cl_device_id sub = NULL;
    cl_int rc = clCreateSubDevices(d->root, p, 1, &sub, NULL);
    if (rc && d->opt.compute_units < 0) {
        log_info("%s: not divisible by counts (%s): all compute units are used", d->name,
                 opencl_error_name(rc));
        return 0;
    }
    if (rc)
        return opencl_fail(d, e, rc, "taking some of the compute units");
    d->dev = sub;
    return 0;
}

int opencl_choose(struct opencl *d, struct err *e)
{
    int code = choose_device(d, e);
    if (code)
        return code;
    cl_device_type type = 0;
    clGetDeviceInfo(d->root, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    d->is_cpu = (type & CL_DEVICE_TYPE_CPU) != 0;
    cl_bool available = CL_FALSE, compiler = CL_FALSE;
    clGetDeviceInfo(d->root, CL_DEVICE_AVAILABLE, sizeof available, &available, NULL);
    clGetDeviceInfo(d->root, CL_DEVICE_COMPILER_AVAILABLE, sizeof compiler, &compiler, NULL);
    if (!available || !compiler)
        return err_set(e, ERR_DEVICE, "%s: the device %s", d->name,
                       available ? "has no compiler" : "is not available");
    code = partition(d, e);
    if (code)
        return code;
    size_t group = 1;
    clGetDeviceInfo(d->dev, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof group, &group, NULL);
    d->lanes = d->opt.lanes ? (int)d->opt.lanes : d->is_cpu ? 1 : 32;
    if ((size_t)d->lanes > group)
        d->lanes = (int)group;
    d->gemv_rows = d->lanes == 1 ? 64 : 16;
    clGetDeviceInfo(d->dev, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof d->max_alloc, &d->max_alloc, NULL);
    d->max_weight = d->max_alloc;
    if (d->opt.max_weight && (cl_ulong)d->opt.max_weight < d->max_alloc)
        d->max_weight = (cl_ulong)d->opt.max_weight;
    cl_int rc;
    d->ctx = clCreateContext(NULL, 1, &d->dev, NULL, NULL, &rc);
    if (rc)
        return opencl_fail(d, e, rc, "creating the context");
    d->profiling = true;
    d->queue = clCreateCommandQueue(d->ctx, d->dev, CL_QUEUE_PROFILING_ENABLE, &rc);
    if (rc == CL_INVALID_QUEUE_PROPERTIES) {
        d->profiling = false;
        d->queue = clCreateCommandQueue(d->ctx, d->dev, 0, &rc);
    }
    return rc ? opencl_fail(d, e, rc, "creating the queue") : 0;
}

static cl_uint pattern(cl_uint i, cl_uint seed)
{
    return i * 2654435761u + seed;
}

// The host's half of a concurrent write: every odd word, again and again until told to stop.
struct writer {
    volatile cl_uint *p;
    cl_uint seed;
    atomic_bool stop;
};
static void *write_odd(void *arg)
{
    struct writer *w = arg;
    do
        for (cl_uint i = 1; i < PROBE_WORDS; i += 2)
            w->p[i] = pattern(i, w->seed);
    while (!atomic_load(&w->stop));
    return NULL;
}

static bool intact(const volatile cl_uint *p, cl_uint seed)
{
    cl_uint bad = 0;
    for (cl_uint i = 0; i < PROBE_WORDS; i++)
        bad += p[i] != pattern(i, seed);
    return !bad;
}

// One round on memory `host` behind `m`. 1: everything was seen, 0: not, negative: error.
static int coherent_round(struct opencl *d, volatile cl_uint *host, cl_mem m, cl_mem wrong,
                          cl_uint seed, struct err *e)
{
    int code = opencl_launch_probe_write(d, m, PROBE_WORDS, 1, seed, e);
    if (code)
        return code;
    if (clFinish(d->queue) || !intact(host, seed))
        return 0;
    for (cl_uint i = 0; i < PROBE_WORDS; i++)
        host[i] = pattern(i, ~seed);
    cl_uint bad = 0;
    cl_event ev = NULL;
    if (clEnqueueWriteBuffer(d->queue, wrong, CL_TRUE, 0, sizeof bad, &bad, 0, NULL, &ev))
        return 0;
    opencl_track(d, ev);
    code = opencl_launch_probe_check(d, m, PROBE_WORDS, ~seed, wrong, e);
    if (code)
        return code;
    if (clEnqueueReadBuffer(d->queue, wrong, CL_TRUE, 0, sizeof bad, &bad, 0, NULL, &ev))
        return 0;
    opencl_track(d, ev);
    if (bad)
        return 0;
    struct writer w = {.p = host, .seed = seed + 1};
    pthread_t thread;
    if (pthread_create(&thread, NULL, write_odd, &w))
        return 0;
    for (int i = 0; i < 4 && !code; i++)
        code = opencl_launch_probe_write(d, m, PROBE_WORDS, 2, seed + 1, e);
    cl_int rc = clFinish(d->queue);
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    return code ? code : !rc && intact(host, seed + 1);
}

static int coherent(struct opencl *d, char *host, struct err *e)
{
    cl_int rc, rc2;
    cl_mem m = clCreateBuffer(d->ctx, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR,
                              PROBE_WORDS * sizeof(cl_uint), host, &rc);
    cl_mem wrong = clCreateBuffer(d->ctx, CL_MEM_READ_WRITE, sizeof(cl_uint), NULL, &rc2);
    int ok = !rc && !rc2;
    for (cl_uint seed = 1; ok > 0 && seed <= 3; seed++)
        ok = coherent_round(d, (volatile cl_uint *)(void *)host, m, wrong, seed * 77777u, e);
    if (m)
        clReleaseMemObject(m);
    if (wrong)
        clReleaseMemObject(wrong);
    return ok;
}

static int probe_zero_copy(struct opencl *d, struct err *e)
{
    if (d->opt.zero_copy == ZERO_COPY_OFF)
        return 0;
    char *page = NULL;
    if (posix_memalign((void **)&page, PAGE, PROBE_WORDS * sizeof(cl_uint) + PAGE))
        return err_set(e, ERR_MEMORY, "%s: out of memory in the start-up probe", d->name);
    d->align = 32;
    int ok = coherent(d, page + 32, e);
    if (!ok) {
        d->align = PAGE;
        ok = coherent(d, page, e);
    }
    free(page);
    if (ok < 0)
        return ok;
    d->zero_copy = ok;
    if (!ok && d->opt.zero_copy == ZERO_COPY_ON)
        return err_set(e, ERR_DEVICE,
                       "%s: zero_copy = on, but host and device do not see each other's writes",
                       d->name);
    if (!ok)
        log_info("%s: memory is not coherent: buffers are copied", d->name);
    return 0;
}

// Is the flag word, set by one kernel, visible while the next one runs? A busy host may miss the
// moment; the second kernel runs longer at every attempt.
static int probe_flag(struct opencl *d, struct err *e)
{
    cl_int rc, v = 0;
    cl_mem sink =
        clCreateBuffer(d->ctx, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, sizeof v, &v, &rc);
    if (rc)
        return opencl_fail(d, e, rc, "creating a buffer for the start-up probe");
    volatile _Atomic uint64_t *flag = d->flag_page;
    int code = 0;
    bool seen = false;
    cl_uint turns = 200 * 1000;
    for (uint64_t i = 1; !seen && !code && i <= 6; i++, turns *= 4) {
        cl_event ev = NULL;
        cl_int status = CL_QUEUED;
        // the number has both halves set, so that a torn word does not pass
        uint64_t want = i << 32 | i;
        code = opencl_launch_flag(d, want, e);
        if (!code)
            code = opencl_launch_probe_spin(d, sink, turns, &ev, e);
        if (code)
            break;
        clFlush(d->queue);
        while (!seen && status > CL_COMPLETE) {
            bool now = atomic_load_explicit(flag, memory_order_acquire) == want;
            clGetEventInfo(ev, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL);
            seen = now && status > CL_COMPLETE;
            if (!seen)
                sched_yield();
        }
        clFinish(d->queue);
        clReleaseEvent(ev);
    }
    clReleaseMemObject(sink);
    atomic_store((_Atomic uint64_t *)d->flag_page, 0);
    if (seen)
        d->host.flag = d->flag_page;
    else if (!code)
        log_info("%s: the host does not see a flag word before the kernel ends", d->name);
    return code;
}

int opencl_probe(struct opencl *d, struct err *e)
{
    int code = probe_zero_copy(d, e);
    if (code || !d->opt.flag)
        return code;
    return probe_flag(d, e);
}
