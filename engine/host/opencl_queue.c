// SPDX-License-Identifier: GPL-3.0-or-later
// The queue: a ticket per task.
//
// Submitting enqueues and flushes; it waits only when OPENCL_RING tickets are in flight. A ticket
// keeps the events of its first and last command until it is harvested: its state is asked of the
// last one, its execution time is read from both (profiling), and WAIT_EVENT sleeps on a condition
// that the last one's callback signals. One number says what is complete.
//
// Behind every task a kernel of one store publishes the ticket in the flag word, which lies in host
// memory, so that a polling thread learns of the completion without the driver.
//
// An out-of-order queue (option `queue`) starts a task when those are complete that write what it
// touches or touch what it writes; its commands among themselves keep their order. The flag (or,
// without one, a marker) of a ticket waits for the task and for the flag before it, so that a
// ticket still means: this task, and all before it.
//
// A failed queue stays failed, with an error that names the operator that failed first. Nobody is
// told of a failure before all that the device was given has ended: whoever goes on without it
// writes the same memory.
//
// One thread drives a device; only the callbacks come from elsewhere, and they touch nothing but
// what the mutex guards.
#include "engine/host/opencl_call.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/log.h"

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

// Whether a command has ended, well or not, or does so before `give_up`. An event whose state
// cannot be asked has not been seen to end.
static bool ended(cl_event ev, int64_t give_up)
{
    cl_int status = CL_COMPLETE;
    while (ev) {
        if (clGetEventInfo(ev, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL))
            return false;
        if (status <= CL_COMPLETE)
            break;
        if (host_now() > give_up)
            return false;
        sched_yield();
    }
    return true;
}

// Whether nothing of the device's runs any more: the queue says so, or else, as one that failed may
// say nothing, every command that is not accounted for.
static bool at_rest(struct opencl *d)
{
    if (!clFinish(d->queue))
        return true;
    int64_t give_up = host_now() + d->opt.patience;
    bool rest = true;
    for (int i = 0; rest && i < OPENCL_RECENT; i++)
        rest = ended(d->recent[i], give_up);
    for (uint64_t seq = d->completed + 1; rest && seq <= d->submitted; seq++) {
        const struct opencl_ticket *t = ticket_of(d, seq);
        rest = ended(t->first, give_up) && ended(t->last, give_up) && ended(t->flag, give_up);
    }
    return rest;
}

int opencl_stop(struct opencl *d, int rc, struct err *e)
{
    if (rc != ERR_DEVICE || at_rest(d))
        return rc;
    char why[224];
    snprintf(why, sizeof why, "%.220s", e ? e->msg : d->name);
    log_warn("%s: commands of the failed device do not end", d->name);
    d->running = true;
    if (!d->failed) {
        d->failed = CL_OUT_OF_RESOURCES;
        snprintf(d->failed_name, sizeof d->failed_name, "%s", d->current ? d->current->name : "");
    }
    return err_set(e, ERR_IO, "%s; what it was given does not end and may still write", why);
}

// A failed queue stays failed: the order of its results is lost. seq: who noticed; the first ticket
// with an error is the one to name.
static int fail_for_good(struct opencl *d, struct err *e, cl_int rc, uint64_t seq)
{
    if (!d->failed) {
        const char *name = d->current ? d->current->name : "";
        for (uint64_t s = d->completed + 1; s <= seq; s++) {
            cl_int status = CL_QUEUED;
            struct opencl_ticket *t = ticket_of(d, s);
            if (s == seq ||
                clGetEventInfo(final_event(t), CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status,
                               &status, NULL) ||
                status < 0) {
                name = t->name;
                break;
            }
        }
        snprintf(d->failed_name, sizeof d->failed_name, "%s", name);
        d->failed = rc;
        opencl_stop(d, ERR_DEVICE, NULL);
    }
    return err_set(e, d->running ? ERR_IO : ERR_DEVICE, "%s: %s: %s: the device failed%s", d->name,
                   d->failed_name, opencl_error_name(d->failed),
                   d->running ? "; what it was given does not end and may still write" : "");
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

int opencl_poll(struct device *dev, uint64_t seq, struct err *e)
{
    struct opencl *d = (struct opencl *)dev;
    assert(seq <= d->submitted);
    if (d->failed)
        return fail_for_good(d, e, d->failed, seq);
    if (seq <= d->completed)
        return 1;
    cl_int status = CL_QUEUED;
    cl_int rc = clGetEventInfo(final_event(ticket_of(d, seq)), CL_EVENT_COMMAND_EXECUTION_STATUS,
                               sizeof status, &status, NULL);
    if (rc || status < 0)
        return fail_for_good(d, e, rc ? rc : status, seq);
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
        return fail_for_good(d, e, rc, seq);
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

int opencl_wait(struct device *dev, uint64_t seq, enum wait_mode mode, struct err *e)
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
            return fail_for_good(d, e, code, seq);
    }
    // Complete by now, but a driver may publish the status a moment after the callback.
    int64_t give_up = host_now() + 10 * PS_PER_S;
    while ((rc = opencl_poll(dev, seq, e)) == 0)
        if (host_now() > give_up)
            return fail_for_good(d, e, CL_OUT_OF_RESOURCES, seq);
    return rc < 0 ? rc : 0;
}

// The first event of a task and the last one are kept in its ticket. Out of order, a command waits
// for what d->wait says and then stands for it.
int opencl_enqueue(struct opencl *d, struct call *c, int64_t x, int64_t y, const char *what,
                   struct err *e)
{
    size_t lanes = (size_t)(c->lanes ? c->lanes : d->lanes);
    size_t local[2] = {lanes, 1}, global[2] = {(size_t)x * lanes, (size_t)y};
    cl_event ev = NULL;
    cl_int rc = c->rc;
    if (!rc)
        rc = clEnqueueNDRangeKernel(d->queue, c->kernel, 2, NULL, global, local, (cl_uint)d->n_wait,
                                    d->n_wait ? d->wait : NULL, &ev);
    if (rc)
        return opencl_fail(d, e, rc, what);
    opencl_track(d, ev);
    if (d->out_of_order) {
        clRetainEvent(ev);
        if (d->chain)
            clReleaseEvent(d->chain);
        d->wait[0] = d->chain = ev;
        d->n_wait = 1;
    }
    struct opencl_ticket *t = d->current;
    if (!t)
        return 0;
    clRetainEvent(ev);
    if (!t->first) {
        t->first = ev;
    } else {
        if (t->last)
            clReleaseEvent(t->last);
        t->last = ev;
    }
    return 0;
}

// Who a task shares memory with.
static void touched(struct opencl *d, const struct task *t, struct opencl_ticket *k)
{
    int dev = d->host.base.index, r = 0, w = 0;
    bool rope = t->op->kind == OP_ROPE, cache = rope || t->op->kind == OP_ATTENTION;
    const struct buffer *in[] = {t->in, t->in2, cache && !rope ? t->kcache : NULL,
                                 cache && !rope ? t->vcache : NULL};
    const struct buffer *out[] = {t->out, rope ? t->kcache : NULL, rope ? t->vcache : NULL};
    memset(k->reads, 0, sizeof k->reads);
    memset(k->writes, 0, sizeof k->writes);
    for (int i = 0; i < 4; i++)
        if (in[i])
            k->reads[r++] = in[i]->priv[dev];
    for (int i = 0; i < 3; i++)
        if (out[i])
            k->writes[w++] = out[i]->priv[dev];
    k->writes[w] = &d->scratch[(d->submitted + 1) % OPENCL_SCRATCH];
}

static bool meet(const void *const *a, int n, const void *const *b, int m)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++)
            if (a[i] && a[i] == b[j])
                return true;
    return false;
}

// What the first command of ticket `seq` waits for: the tickets in flight that it conflicts with.
// Only the latest are looked at; the one before them stands for itself and all older ones.
static void wait_for_conflicts(struct opencl *d, struct opencl_ticket *k, uint64_t seq)
{
    uint64_t oldest = d->completed + 1;
    d->n_wait = 0;
    if (seq > OPENCL_WINDOW && seq - OPENCL_WINDOW > oldest) {
        oldest = seq - OPENCL_WINDOW;
        d->wait[d->n_wait++] = final_event(ticket_of(d, oldest - 1));
    }
    for (uint64_t s = oldest; s < seq; s++) {
        const struct opencl_ticket *t = ticket_of(d, s);
        if (meet(k->writes, 4, t->writes, 4) || meet(k->writes, 4, t->reads, 4) ||
            meet(k->reads, 4, t->writes, 4))
            d->wait[d->n_wait++] = last_event(t);
    }
}

// Between tickets a command waits for the latest one; whatever else was waited for may be gone.
static void wait_for_chain(struct opencl *d)
{
    d->wait[0] = d->chain;
    d->n_wait = d->chain ? 1 : 0;
}

// The flag or the marker that completes the ticket.
static int complete(struct opencl *d, struct opencl_ticket *k, uint64_t seq, struct err *e)
{
    if (d->out_of_order) {
        d->n_wait = 0;
        if (last_event(k))
            d->wait[d->n_wait++] = last_event(k);
        if (seq - 1 > d->completed)
            d->wait[d->n_wait++] = final_event(ticket_of(d, seq - 1));
    }
    if (d->host.flag)
        return opencl_launch_flag(d, seq, e);
    if (!d->out_of_order)
        return 0;
    cl_int rc = clEnqueueMarkerWithWaitList(d->queue, (cl_uint)d->n_wait,
                                            d->n_wait ? d->wait : NULL, &k->flag);
    return rc ? opencl_fail(d, e, rc, "enqueueing a marker") : 0;
}

int opencl_submit(struct device *dev, const struct task *t, uint64_t *seq, struct err *e)
{
    struct opencl *d = (struct opencl *)dev;
    uint64_t next = d->submitted + 1;
    if (d->failed)
        return fail_for_good(d, e, d->failed, 0);
    if (next > OPENCL_RING && d->completed < next - OPENCL_RING) {
        int rc = opencl_wait(dev, next - OPENCL_RING, WAIT_EVENT, e);
        if (rc)
            return rc;
    }
    struct opencl_ticket *k = ticket_of(d, next);
    k->work = task_work(t, dev->caps.act_bytes);
    if (t->layer >= 0)
        snprintf(k->name, sizeof k->name, "%.24s L%d", t->op->name, t->layer);
    else
        snprintf(k->name, sizeof k->name, "%.24s", t->op->name);
    bool traced = dev->machine->trace != NULL;
    k->submitted = d->profiling && !traced ? 0 : host_now();
    k->label[0] = 0;
    if (traced)
        task_label(t, k->label);
    if (d->out_of_order) {
        touched(d, t, k);
        wait_for_conflicts(d, k, next);
    }
    d->current = k;
    int rc = opencl_launch_task(d, t, e);
    if (!rc)
        rc = complete(d, k, next, e);
    cl_int code = rc ? 0 : clFlush(d->queue);
    if (rc || code) {
        bool started = k->first != NULL;
        if (code)
            rc = fail_for_good(d, e, code, 0);
        else
            rc = opencl_stop(d, rc, e);
        if (started) // half a task has run: what is in the buffers is anyone's guess
            fail_for_good(d, NULL, CL_OUT_OF_RESOURCES, 0);
        release_events(k);
        wait_for_chain(d);
        d->current = NULL;
        return rc;
    }
    wait_for_chain(d);
    d->current = NULL;
    *seq = d->submitted = next;
    return 0;
}

void opencl_stats(struct device *dev, struct device_stats *out)
{
    struct opencl *d = (struct opencl *)dev;
    for (uint64_t seq = d->completed + 1; seq <= d->submitted; seq++)
        if (opencl_poll(dev, seq, NULL) != 1)
            break;
    *out = d->stats;
    out->resident = d->resident;
}

void opencl_reset(struct device *dev)
{
    struct opencl *d = (struct opencl *)dev;
    if (d->submitted > d->completed)
        opencl_wait(dev, d->submitted, WAIT_FINISH, NULL);
    d->stats = (struct device_stats){0};
}

bool opencl_queue_drop(struct opencl *d)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 5;
    pthread_mutex_lock(&d->mutex);
    int rc = 0;
    while (d->callbacks > 0 && !rc)
        rc = d->failed ? pthread_cond_timedwait(&d->fired, &d->mutex, &until)
                       : pthread_cond_wait(&d->fired, &d->mutex);
    pthread_mutex_unlock(&d->mutex);
    if (rc)
        return false;
    for (int i = 0; i < OPENCL_RING; i++)
        release_events(&d->ticket[i]);
    if (d->chain)
        clReleaseEvent(d->chain);
    release_recent(d);
    return true;
}
