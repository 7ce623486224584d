// SPDX-License-Identifier: GPL-3.0-or-later
// What the device can do. Nothing about memory is believed from properties; it is tried:
//
//   memory     a kernel writes shared memory, which the host reads after clFinish without a map,
//   and
//              the other way round; then a host thread and a kernel write alternate words at once.
//              Tried for every kind (opencl_share.c) until one works.
//   alignment  the same for a pointer that is only 32-byte aligned, as GGUF tensors are.
//   flag       a polling host thread must see a word written by one kernel while the next one is
//              still running.
//   bytes      the kernel compiler says whether it has an instruction that multiplies bytes.
#include "engine/host/opencl_kernels.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"

enum { PROBE_WORDS = 16384, PAGE = 4096 };

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

static int coherent(struct opencl *d, char *host, int fd, struct err *e)
{
    cl_int rc, rc2;
    cl_mem m = opencl_share(d, host, PROBE_WORDS * sizeof(cl_uint), fd, &rc);
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

// 1: memory of this kind is shared and coherent, 0: not, negative: error.
static int probe_kind(struct opencl *d, enum opencl_sharing kind, struct err *e)
{
    d->sharing = kind;
    d->align = kind == SHARE_SVM ? 64 : PAGE; // the device's own memory is as it likes it
    if (!opencl_can_share(d, kind))
        return 0;
    if (kind != SHARE_HOST_PTR) {
        int fd = 0;
        void *own = opencl_memory_new(&d->host, PROBE_WORDS * sizeof(cl_uint), &fd);
        int ok = own ? coherent(d, own, fd, e) : 0;
        if (own)
            opencl_memory_free(&d->host, own);
        return ok;
    }
    char *page = NULL;
    if (posix_memalign((void **)&page, PAGE, PROBE_WORDS * sizeof(cl_uint) + PAGE))
        return err_set(e, ERR_MEMORY, "%s: out of memory in the start-up probe", d->name);
    d->align = 32;
    int ok = coherent(d, page + 32, 0, e);
    if (!ok) {
        d->align = PAGE;
        ok = coherent(d, page, 0, e);
    }
    free(page);
    return ok;
}

// The first kind of shared memory that works, of all or of the one that the options name.
static int probe_memory(struct opencl *d, struct err *e)
{
    static const char *const names[] = {"auto", "host_ptr", "svm", "import", "copy"};
    int want = d->opt.memory, ok = 0;
    if (want == SHARE_AUTO)
        for (int kind = SHARE_HOST_PTR; !ok && kind < SHARE_COPY; kind++)
            ok = probe_kind(d, (enum opencl_sharing)kind, e);
    else if (want != SHARE_COPY)
        ok = probe_kind(d, (enum opencl_sharing)want, e);
    if (ok < 0)
        return ok;
    d->zero_copy = ok > 0;
    if (d->zero_copy && d->sharing != SHARE_HOST_PTR) {
        d->host.take = opencl_memory_new;
        d->host.give = opencl_memory_free;
    }
    if (d->zero_copy)
        return 0;
    d->sharing = SHARE_COPY;
    if (want != SHARE_AUTO && want != SHARE_COPY)
        return err_set(e, ERR_DEVICE,
                       "%s: memory = %s, but host and device do not see each other's writes there",
                       d->name, names[want]);
    if (want != SHARE_COPY)
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

// Whether bytes are multiplied: as the options say, else where that is one instruction.
static int probe_dot(struct opencl *d, struct err *e)
{
    d->int8 = d->opt.activations == ACTIVATIONS_INT8;
    if (d->opt.activations != ACTIVATIONS_AUTO)
        return 0;
    cl_int rc;
    cl_int fast = 0;
    cl_mem m = clCreateBuffer(d->ctx, CL_MEM_READ_WRITE, sizeof fast, NULL, &rc);
    if (rc)
        return opencl_fail(d, e, rc, "creating a buffer for the start-up probe");
    cl_event ev = NULL;
    int code = opencl_launch_probe_dot(d, m, e);
    if (!code) {
        rc = clEnqueueReadBuffer(d->queue, m, CL_TRUE, 0, sizeof fast, &fast, 0, NULL, &ev);
        opencl_track(d, ev);
        if (rc)
            code = opencl_fail(d, e, rc, "reading what the start-up probe wrote");
    }
    clReleaseMemObject(m);
    d->int8 = fast == 1 || (fast == 2 && d->dot_accelerated);
    return code;
}

int opencl_probe(struct opencl *d, struct err *e)
{
    int code = probe_dot(d, e);
    if (!code)
        code = probe_memory(d, e);
    if (code || !d->opt.flag)
        return code;
    return probe_flag(d, e);
}
