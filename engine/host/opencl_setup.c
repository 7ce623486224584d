// SPDX-License-Identifier: GPL-3.0-or-later
// Opening the hardware, and the names of its errors: which platform and device, and how many of its
// compute units.
#include "engine/host/opencl_kernels.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/log.h"

enum { MAX_PLATFORMS = 16, MAX_DEVICES = 16 };

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
        E(CL_IMAGE_FORMAT_MISMATCH),
        E(CL_IMAGE_FORMAT_NOT_SUPPORTED),
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
        E(CL_INVALID_IMAGE_FORMAT_DESCRIPTOR),
        E(CL_INVALID_IMAGE_DESCRIPTOR),
        E(CL_INVALID_IMAGE_SIZE),
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
    const char *task = d->current ? d->current->name : "";
    return err_set(e, ERR_DEVICE, "%s: %s%s%s: %s", d->name, task, *task ? ": " : "", what,
                   opencl_error_name(code));
}

bool opencl_has(const struct opencl *d, const char *extension)
{
    size_t size = 0, length = strlen(extension);
    clGetDeviceInfo(d->root, CL_DEVICE_EXTENSIONS, 0, NULL, &size);
    char *all = calloc(1, size + 1);
    bool found = false;
    if (all && !clGetDeviceInfo(d->root, CL_DEVICE_EXTENSIONS, size, all, NULL))
        for (const char *p = all; !found && (p = strstr(p, extension)); p += length)
            found = (p == all || p[-1] == ' ') && (!p[length] || p[length] == ' ');
    free(all);
    return found;
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

// cl_qcom_perf_hint; the public headers do not have it. HIGH, NORMAL, LOW count up.
enum { CONTEXT_PERF_HINT_QCOM = 0x40C2, PERF_HINT_LOW_QCOM = 0x40C5 };

// A queue with the hints that were asked for and that the device knows. A hint changes no result,
// so that one that is not known is a line in the log and no error.
static cl_command_queue create_queue(struct opencl *d, cl_command_queue_properties flags,
                                     cl_int *rc)
{
    cl_queue_properties p[7] = {CL_QUEUE_PROPERTIES, flags};
    int n = 2;
    if (d->opt.priority && opencl_has(d, "cl_khr_priority_hints")) {
        p[n++] = CL_QUEUE_PRIORITY_KHR; // high, medium, low: bits 0, 1, 2
        p[n++] = 1 << (HINT_HIGH - d->opt.priority);
    } else if (d->opt.priority) {
        log_warn("%s: no cl_khr_priority_hints: priority is without effect", d->name);
    }
    if (d->opt.perf_hint && opencl_has(d, "cl_khr_throttle_hints")) {
        p[n++] = CL_QUEUE_THROTTLE_KHR; // the same bits; high is full throttle
        p[n++] = 1 << (HINT_HIGH - d->opt.perf_hint);
    } else if (d->opt.perf_hint && !opencl_has(d, "cl_qcom_perf_hint")) {
        log_warn("%s: neither cl_qcom_perf_hint nor cl_khr_throttle_hints: perf_hint is without "
                 "effect",
                 d->name);
    }
    return n == 2 ? clCreateCommandQueue(d->ctx, d->dev, flags, rc)
                  : clCreateCommandQueueWithProperties(d->ctx, d->dev, p, rc);
}

// Halves where a GPU has them. A CPU's are no faster than floats.
static int choose_precision(struct opencl *d, struct err *e)
{
    bool has = opencl_has(d, "cl_khr_fp16");
    d->half_is_float = strstr(d->opt.kernel_options, "-DHALF_IS_FLOAT=1") != NULL;
    d->half = d->opt.precision == PRECISION_FP16 ||
              (d->opt.precision == PRECISION_AUTO && has && !d->is_cpu);
    if (d->half && !has && !d->half_is_float)
        return err_set(e, ERR_DEVICE, "%s: precision = fp16, but the device has no cl_khr_fp16",
                       d->name);
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
    code = choose_precision(d, e);
    if (!code)
        code = partition(d, e);
    if (code)
        return code;
    size_t group = 1;
    clGetDeviceInfo(d->dev, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof group, &group, NULL);
    d->lanes = d->opt.lanes ? (int)d->opt.lanes : d->is_cpu ? 1 : 32;
    if ((size_t)d->lanes > group)
        d->lanes = (int)group;
    d->max_lanes = (int)group;
    clGetDeviceInfo(d->dev, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof d->units, &d->units, NULL);
    cl_ulong local = 0;
    clGetDeviceInfo(d->dev, CL_DEVICE_LOCAL_MEM_SIZE, sizeof local, &local, NULL);
    d->local_memory = (size_t)local;
    d->dot_product = opencl_has(d, "cl_khr_integer_dot_product");
#ifdef CL_DEVICE_INTEGER_DOT_PRODUCT_ACCELERATION_PROPERTIES_8BIT_KHR
    cl_device_integer_dot_product_acceleration_properties_khr fast = {0};
    if (d->dot_product &&
        !clGetDeviceInfo(d->root, CL_DEVICE_INTEGER_DOT_PRODUCT_ACCELERATION_PROPERTIES_8BIT_KHR,
                         sizeof fast, &fast, NULL))
        d->dot_accelerated = fast.signed_accelerated && fast.mixed_signedness_accelerated;
#endif
    clGetDeviceInfo(d->dev, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof d->max_alloc, &d->max_alloc, NULL);
    d->max_weight = d->max_alloc;
    if (d->opt.max_weight && (cl_ulong)d->opt.max_weight < d->max_alloc)
        d->max_weight = (cl_ulong)d->opt.max_weight;
    cl_int rc;
    cl_context_properties hints[3] = {0};
    if (d->opt.perf_hint && opencl_has(d, "cl_qcom_perf_hint")) {
        hints[0] = CONTEXT_PERF_HINT_QCOM;
        hints[1] = PERF_HINT_LOW_QCOM - (d->opt.perf_hint - HINT_LOW);
    }
    d->ctx = clCreateContext(hints[0] ? hints : NULL, 1, &d->dev, NULL, NULL, &rc);
    if (rc)
        return opencl_fail(d, e, rc, "creating the context");
    cl_command_queue_properties can = 0, want;
    clGetDeviceInfo(d->dev, CL_DEVICE_QUEUE_PROPERTIES, sizeof can, &can, NULL);
    d->out_of_order = d->opt.queue && (can & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
    if (d->opt.queue && !d->out_of_order)
        return err_set(e, ERR_DEVICE, "%s: queue = out_of_order, but the device has none", d->name);
    want = d->out_of_order ? CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE : 0;
    d->profiling = true;
    d->queue = create_queue(d, want | CL_QUEUE_PROFILING_ENABLE, &rc);
    if (rc == CL_INVALID_QUEUE_PROPERTIES) {
        d->profiling = false;
        d->queue = create_queue(d, want, &rc);
    }
    return rc ? opencl_fail(d, e, rc, "creating the queue") : 0;
}
