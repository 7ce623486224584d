// SPDX-License-Identifier: GPL-3.0-or-later
// A GPU through OpenCL 1.2: one in-order queue, a ticket per task.
//
// Submitting enqueues and flushes; it waits only when OPENCL_RING tickets are in flight. A ticket
// keeps the events of its first and last command until it is harvested: its state is asked of the
// last one, its execution time is read from both (profiling), and WAIT_EVENT sleeps on a condition
// that the last one's callback signals. Because the queue is in order, one number says what is
// complete.
//
// Behind every task a kernel of one store publishes the ticket in the flag word, which lies in host
// memory, so that a polling thread learns of the completion without the driver. The order of the
// queue makes it later than the results.
//
// One thread drives a device; only the callbacks come from elsewhere, and they touch nothing but
// what the mutex guards.
#include "engine/host/opencl_kernels.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/log.h"

#define ROW(field, type, unit, fallback, lo, hi, choices, doc)                                     \
    {                                                                                              \
#field, type, unit, fallback, lo, hi, choices, doc, offsetof(struct opencl_options, field) \
    }

const struct conf_row device_opencl_rows[] = {
    ROW(enabled, CONF_BOOL, UNIT_NONE, "true", 0, 0, NULL, "Use this device."),
    ROW(platform, CONF_STRING, UNIT_NONE, "", 0, 0, NULL,
        "Part of the OpenCL platform's name, or its index; empty: any."),
    ROW(device, CONF_STRING, UNIT_NONE, "", 0, 0, NULL,
        "Part of the device's name, or its index; empty: a GPU, else an accelerator, else a CPU."),
    ROW(compute_units, CONF_INT, UNIT_NONE, "-1", -1, 65536, NULL,
        "Compute units to take; 0: all; -1: half of a CPU device with two or more, else all."),
    ROW(zero_copy, CONF_ENUM, UNIT_NONE, "auto", 0, 0, "auto|on|off",
        "Share the host's memory (auto: if a probe finds it coherent) or copy buffers."),
    ROW(flag, CONF_BOOL, UNIT_NONE, "true", 0, 0, NULL,
        "Publish completed tickets in a flag word, if a probe finds that the host sees it in "
        "time."),
    ROW(max_weight, CONF_INT, UNIT_SIZE, "0 B", 0, 0, NULL,
        "Weights above this size are split into several allocations; 0: the device's limit."),
    ROW(lanes, CONF_INT, UNIT_NONE, "0", 0, 256, NULL,
        "Work-items per work-group; 0: 1 on a CPU device, else 32."),
    ROW(kernel_options, CONF_STRING, UNIT_NONE, "", 0, 0, NULL,
        "Further options for the OpenCL compiler."),
};
const size_t device_opencl_n_rows = sizeof device_opencl_rows / sizeof *device_opencl_rows;

void opencl_track(struct opencl *d, cl_event ev)
{
    cl_event *slot = &d->recent[d->n_recent++ % OPENCL_RECENT];
    if (*slot)
        clReleaseEvent(*slot);
    *slot = ev;
}

// Lets go of the latest events when nobody else holds them any more, but does not insist: a driver
// may keep references for reasons of its own.
static void release_recent(struct opencl *d)
{
    int64_t give_up = host_now() + 100 * PS_PER_MS;
    for (int i = 0; i < OPENCL_RECENT; i++) {
        cl_uint count = 1;
        while (
            d->recent[i] &&
            !clGetEventInfo(d->recent[i], CL_EVENT_REFERENCE_COUNT, sizeof count, &count, NULL) &&
            count > 1 && host_now() < give_up)
            sched_yield();
        if (d->recent[i])
            clReleaseEvent(d->recent[i]);
    }
}

static struct opencl_ticket *ticket_of(struct opencl *d, uint64_t seq)
{
    return &d->ticket[seq % OPENCL_RING];
}
static cl_event last_event(const struct opencl_ticket *t)
{
    return t->last ? t->last : t->first;
}
// The event that completes the ticket.
static cl_event final_event(const struct opencl_ticket *t)
{
    return t->flag ? t->flag : last_event(t);
}

static void release_events(struct opencl_ticket *t)
{
    cl_event *all[] = {&t->first, &t->last, &t->flag};
    for (int i = 0; i < 3; i++) {
        if (*all[i])
            clReleaseEvent(*all[i]);
        *all[i] = NULL;
    }
}

// A failed queue stays failed: the order of its results is lost.
static int fail_for_good(struct opencl *d, struct err *e, cl_int rc)
{
    d->failed = rc;
    return opencl_fail(d, e, rc, "the device failed");
}

static int64_t profiled(cl_event ev, cl_profiling_info what)
{
    cl_ulong ns = 0;
    return clGetEventProfilingInfo(ev, what, sizeof ns, &ns, NULL) ? -1 : (int64_t)ns * 1000;
}

// The device's clock need not be the host's: the moment of submission, read from both, ties them.
static void trace_task(struct opencl *d, uint64_t seq, int64_t begin, int64_t end)
{
    const struct device *dev = &d->host.base;
    const struct machine *m = dev->machine;
    const struct opencl_ticket *t = ticket_of(d, seq);
    if (!m->trace || !t->label[0] || begin < 0 || end <= begin)
        return;
    int64_t queued = d->profiling ? profiled(t->first, CL_PROFILING_COMMAND_QUEUED) : -1;
    int64_t shift = queued < 0 ? 0 : t->submitted - queued;
    begin += shift, end += shift;
    uint64_t waiting = 0; // when this one began
    while (seq + waiting < d->submitted && ticket_of(d, seq + waiting + 1)->submitted <= begin)
        waiting++;
    trace_counter(m->trace, m->tracks.depth[dev->index], begin, (double)waiting);
    if (begin > t->submitted)
        trace_slice(m->trace, m->tracks.queue[dev->index], t->label, t->submitted, begin, 0);
    trace_slice(m->trace, m->tracks.device[dev->index], t->label, begin, end,
                trace_id(dev->index, seq));
}

// Accounts for the tickets up to `seq`, which are complete, and lets go of their events.
static void harvest(struct opencl *d, uint64_t seq)
{
    while (d->completed < seq) {
        struct opencl_ticket *t = ticket_of(d, ++d->completed);
        int64_t begin = -1, end = -1;
        if (d->profiling) {
            begin = profiled(t->first, CL_PROFILING_COMMAND_START);
            end = profiled(last_event(t), CL_PROFILING_COMMAND_END);
        } else { // from submission, or the end of the task before, to when we noticed
            end = host_now();
            begin = t->submitted > d->last_end ? t->submitted : d->last_end;
            d->last_end = end;
        }
        if (begin >= 0 && end > begin)
            d->stats.busy_ps += end - begin;
        trace_task(d, d->completed, begin, end);
        d->stats.tasks++;
        d->stats.flops += t->work.flops;
        d->stats.bytes += t->work.weight_bytes + t->work.read_bytes + t->work.write_bytes;
        release_events(t);
    }
}

static int opencl_poll(struct device *dev, uint64_t seq, struct err *e)
{
    struct opencl *d = (struct opencl *)dev;
    assert(seq <= d->submitted);
    if (d->failed)
        return fail_for_good(d, e, d->failed);
    if (seq <= d->completed)
        return 1;
    cl_int status = CL_QUEUED;
    cl_int rc = clGetEventInfo(final_event(ticket_of(d, seq)), CL_EVENT_COMMAND_EXECUTION_STATUS,
                               sizeof status, &status, NULL);
    if (rc || status < 0)
        return fail_for_good(d, e, rc ? rc : status);
    if (status != CL_COMPLETE)
        return 0;
    harvest(d, seq);
    return 1;
}

// The device is published with release and taken with acquire: the driver's locks order the two,
// but not where ThreadSanitizer sees it.
struct callback {
    uint64_t seq;
    _Atomic(struct opencl *) device;
};

static void CL_CALLBACK on_complete(cl_event ev, cl_int status, void *user)
{
    (void)ev, (void)status; // the waiter asks for the status itself
    struct callback *c = user;
    struct opencl *d = atomic_load_explicit(&c->device, memory_order_acquire);
    pthread_mutex_lock(&d->mutex);
    ticket_of(d, c->seq)->fired = true;
    d->callbacks--;
    pthread_cond_broadcast(&d->fired);
    pthread_mutex_unlock(&d->mutex);
    free(c);
}

// Sleeps until the callback of a ticket ran. A driver that loses a callback must not hang the host:
// after each second the event is asked as well.
static int wait_event(struct opencl *d, uint64_t seq, struct err *e)
{
    struct opencl_ticket *t = ticket_of(d, seq);
    struct callback *c = malloc(sizeof *c);
    assert(c);
    c->seq = seq;
    atomic_store_explicit(&c->device, d, memory_order_release);
    pthread_mutex_lock(&d->mutex);
    t->fired = false;
    d->callbacks++;
    pthread_mutex_unlock(&d->mutex);
    cl_int rc = clSetEventCallback(final_event(t), CL_COMPLETE, on_complete, c);
    if (rc) {
        pthread_mutex_lock(&d->mutex);
        d->callbacks--;
        pthread_mutex_unlock(&d->mutex);
        free(c);
        return fail_for_good(d, e, rc);
    }
    for (bool fired = false; !fired;) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        pthread_mutex_lock(&d->mutex);
        int timeout = 0;
        while (!t->fired && !timeout)
            timeout = pthread_cond_timedwait(&d->fired, &d->mutex, &until);
        fired = t->fired;
        pthread_mutex_unlock(&d->mutex);
        if (!fired && (rc = opencl_poll(&d->host.base, seq, e)))
            return rc < 0 ? rc : 0;
    }
    return 0;
}

static int opencl_wait(struct device *dev, uint64_t seq, enum wait_mode mode, struct err *e)
{
    struct opencl *d = (struct opencl *)dev;
    int rc = opencl_poll(dev, seq, e);
    if (rc)
        return rc < 0 ? rc : 0;
    if (mode == WAIT_EVENT) {
        rc = wait_event(d, seq, e);
        if (rc)
            return rc;
    } else {
        cl_int code = clFinish(d->queue);
        if (code)
            return fail_for_good(d, e, code);
    }
    // Complete by now, but a driver may publish the status a moment after the callback.
    while ((rc = opencl_poll(dev, seq, e)) == 0)
        ;
    return rc < 0 ? rc : 0;
}

static int opencl_submit(struct device *dev, const struct task *t, uint64_t *seq, struct err *e)
{
    struct opencl *d = (struct opencl *)dev;
    if (d->failed)
        return fail_for_good(d, e, d->failed);
    uint64_t next = d->submitted + 1;
    if (next > OPENCL_RING && d->completed < next - OPENCL_RING) {
        int rc = opencl_wait(dev, next - OPENCL_RING, WAIT_EVENT, e);
        if (rc)
            return rc;
    }
    struct opencl_ticket *k = ticket_of(d, next);
    k->work = task_work(t, dev->caps.act_bytes);
    bool traced = dev->machine->trace != NULL;
    k->submitted = d->profiling && !traced ? 0 : host_now();
    k->label[0] = 0;
    if (traced)
        task_label(t, k->label);
    d->current = k;
    int rc = opencl_launch_task(d, t, e);
    if (!rc && d->host.flag)
        rc = opencl_launch_flag(d, next, e);
    d->current = NULL;
    cl_int code = rc ? 0 : clFlush(d->queue);
    if (rc || code) {
        bool started = k->first != NULL;
        clFinish(d->queue);
        release_events(k);
        if (code)
            return fail_for_good(d, e, code);
        if (started) // half a task has run: what is in the buffers is anyone's guess
            d->failed = CL_OUT_OF_RESOURCES;
        return rc;
    }
    *seq = d->submitted = next;
    return 0;
}

static int opencl_supports(const struct device *dev, const struct task *t, struct err *e)
{
    const struct opencl *d = (const struct opencl *)dev;
    const struct op *o = t->op;
    const struct model_shape *s = &t->model->shape;
    if (t->n0 < 0 || t->n0 >= t->n1)
        return err_set(e, ERR_UNSUPPORTED, "%s: no tokens [%d, %d)", o->name, t->n0, t->n1);
    if (t->m0 < 0 || t->m0 >= t->m1 || t->m1 > o->m)
        return err_set(e, ERR_UNSUPPORTED, "%s: rows [%d, %d) of %d", o->name, t->m0, t->m1, o->m);
    if (o->kind != OP_MATMUL && (t->m0 || t->m1 != o->m))
        return err_set(e, ERR_UNSUPPORTED, "%s: only a matmul can be sliced by rows", o->name);
    if (t->n_pad)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: the gpu has no static graphs, but the task names one of %d tokens",
                       o->name, t->n_pad);
    for (int i = 0; i < t->n_parts; i++) {
        const struct tensor *w = t->w[i];
        int64_t row = opencl_enc_of(w->enc) == ENC_F32 ? w->cols * 4 : w->row_bytes;
        if (w->cols % w->enc->block)
            return err_at(e, ERR_UNSUPPORTED, NULL, 0, w->name, "%lld columns in blocks of %u",
                          (long long)w->cols, w->enc->block);
        if ((cl_ulong)row > d->max_weight)
            return err_at(e, ERR_UNSUPPORTED, NULL, 0, w->name,
                          "%s: one row of %lld bytes; the largest allocation is %llu", d->name,
                          (long long)row, (unsigned long long)d->max_weight);
    }
    if (o->kind == OP_ATTENTION && s->d_head > OPENCL_MAX_HEAD)
        return err_set(e, ERR_UNSUPPORTED, "%s: heads of %d values; at most %d", o->name, s->d_head,
                       OPENCL_MAX_HEAD);
    if ((o->kind == OP_ATTENTION || o->kind == OP_ROPE) && s->n_head % s->n_head_kv)
        return err_set(e, ERR_UNSUPPORTED, "%s: %d heads over %d key-value heads", o->name,
                       s->n_head, s->n_head_kv);
    return 0;
}

static int opencl_prepare(struct device *dev, const struct static_graph *g, int *handle,
                          struct err *e)
{
    (void)dev, (void)g, (void)handle;
    return err_set(e, ERR_UNSUPPORTED, "gpu: has no static graphs");
}

static void opencl_stats(struct device *dev, struct device_stats *out)
{
    struct opencl *d = (struct opencl *)dev;
    for (uint64_t seq = d->completed + 1; seq <= d->submitted; seq++)
        if (opencl_poll(dev, seq, NULL) != 1)
            break;
    *out = d->stats;
    out->resident = d->resident;
}

static void opencl_reset(struct device *dev)
{
    struct opencl *d = (struct opencl *)dev;
    if (d->submitted > d->completed)
        opencl_wait(dev, d->submitted, WAIT_FINISH, NULL);
    d->stats = (struct device_stats){0};
}

static void opencl_close(struct device *dev)
{
    struct opencl *d = (struct opencl *)dev;
    if (d->queue)
        clFinish(d->queue);
    pthread_mutex_lock(&d->mutex);
    while (d->callbacks > 0)
        pthread_cond_wait(&d->fired, &d->mutex);
    pthread_mutex_unlock(&d->mutex);
    for (int i = 0; i < OPENCL_RING; i++)
        release_events(&d->ticket[i]);
    release_recent(d);
    opencl_weights_drop(d);
    opencl_programs_drop(d);
    if (d->flag_mem)
        clReleaseMemObject(d->flag_mem);
    if (d->queue)
        clReleaseCommandQueue(d->queue);
    if (d->ctx)
        clReleaseContext(d->ctx);
    if (d->dev != d->root)
        clReleaseDevice(d->dev);
    free(d->flag_page);
    pthread_cond_destroy(&d->fired);
    pthread_mutex_destroy(&d->mutex);
    arena_fini(&d->arena);
    free(d);
}

static const struct device_ops ops = {
    .name = "opencl",
    .supports = opencl_supports,
    .alloc = opencl_alloc,
    .free = opencl_free,
    .map = opencl_map,
    .load = opencl_load,
    .prepare = opencl_prepare,
    .submit = opencl_submit,
    .poll = opencl_poll,
    .wait = opencl_wait,
    .stats = opencl_stats,
    .reset = opencl_reset,
    .close = opencl_close,
};

// The word that flags are written to; also what kernels are warmed up on.
static int open_flag_page(struct opencl *d, struct err *e)
{
    enum { PAGE = 4096 };
    cl_int rc;
    if (posix_memalign(&d->flag_page, PAGE, PAGE))
        return err_set(e, ERR_MEMORY, "%s: out of memory", d->name);
    memset(d->flag_page, 0, PAGE);
    d->flag_mem =
        clCreateBuffer(d->ctx, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, PAGE, d->flag_page, &rc);
    return rc ? opencl_fail(d, e, rc, "creating the flag word") : 0;
}

int device_opencl_open(const struct conf_node *n, struct machine *m, int index, struct device **out,
                       struct err *e)
{
    struct opencl *d = calloc(1, sizeof *d);
    assert(d);
    d->host.base = (struct device){.ops = &ops, .machine = m, .index = index};
    arena_init(&d->arena);
    pthread_mutex_init(&d->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&d->fired, &attr);
    pthread_condattr_destroy(&attr);

    int rc = conf_read(n, "gpu", device_opencl_rows, device_opencl_n_rows, &d->opt, &d->arena, e);
    if (!rc)
        rc = opencl_choose(d, e);
    if (!rc)
        rc = opencl_build(d, ENC_F32, e);
    if (!rc)
        rc = open_flag_page(d, e);
    if (!rc)
        rc = opencl_probe(d, e);
    if (rc) {
        opencl_close(&d->host.base);
        return rc;
    }
    cl_uint units = 0;
    clGetDeviceInfo(d->dev, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    d->host.base.caps = (struct device_caps){
        .name = "gpu",
        .detail = arena_printf(&d->arena, "%s (%u compute units%s)", d->name, units,
                               d->zero_copy ? "" : ", copied buffers"),
        .kind = DEVICE_GPU,
        .ops = (1u << OP_KINDS) - 1,
        .values = true,
        .tile = 1,
        .act_bytes = 4,
        .activation_bits = {32, 32, 32}, // weights are decoded, products are F32
        .coherent = d->zero_copy,
        .flag = d->host.flag != NULL,
        .event = true,
    };
    *out = &d->host.base;
    return 0;
}
