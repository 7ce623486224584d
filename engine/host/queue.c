// SPDX-License-Identifier: GPL-3.0-or-later
// Ticket s lives in slot s % QUEUE_RING from its submission until the flag word reaches s. The flag
// word is the only truth about completion: the consumer stores it with release order after the
// task's results, so whoever sees s also sees the results of tasks 1..s.
//
// A waiter sleeps in the kernel on `done_epoch`, the word beside the flag, and says in `want` for
// which ticket: the lowest one that anybody waits for. The consumer makes a system call only when
// the flag reaches it; tasks before it wake nobody and cost one look at `want`. Lowering `want` and
// then looking at the flag on one side, storing the flag and then looking at `want` on the other,
// all four sequentially consistent: one of the two sees the other (engine/host/futex.h).
//
// Producers exclude each other by a mutex (the executor is one thread, so it is never contended);
// the consumer takes no lock to fetch a task. Statistics have a mutex of their own, taken once per
// task.
#include "engine/host/queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "engine/host/futex.h"
#include "engine/host/host.h"
#include "engine/host/team.h"
#include "engine/machine.h"

#define NOBODY UINT64_MAX

struct queue {
    queue_fn *fn;
    void *ctx;
    int spin;
    double act_bytes;
    struct conf_int_list pin;
    const struct device *owner; // NULL: nobody traces it
    pthread_t thread;
    pthread_mutex_t producer, lock;

    _Alignas(64) _Atomic uint64_t submitted; // last ticket given out
    _Atomic uint32_t submit_epoch;           // the consumer sleeps on it
    _Atomic int consumer_sleeps;
    _Atomic bool stop;

    _Alignas(64) _Atomic uint64_t flag;       // last ticket completed
    _Alignas(64) _Atomic uint32_t done_epoch; // waiters sleep on it
    _Atomic uint64_t want;                    // lowest ticket that one of them waits for, NOBODY

    _Atomic bool failed;
    struct err error;          // written before `failed`; constant afterwards
    struct device_stats stats; // under lock
    struct task ring[QUEUE_RING];
    int64_t since[QUEUE_RING]; // ps: submission, while somebody traces
};

static void announce(_Atomic uint32_t *epoch, _Atomic int *sleepers)
{
    atomic_fetch_add(epoch, 1);
    if (atomic_load(sleepers) > 0)
        futex_wake_all(epoch);
}

// Returns false when the queue is empty and is being destroyed.
static bool next_ticket(struct queue *q, uint64_t seq)
{
    for (int turn = 0; turn < q->spin; turn++) {
        if (atomic_load_explicit(&q->submitted, memory_order_acquire) >= seq)
            return true;
        poll_turn((unsigned)turn);
    }
    atomic_fetch_add(&q->consumer_sleeps, 1);
    bool there;
    for (;;) {
        uint32_t epoch = atomic_load(&q->submit_epoch);
        there = atomic_load(&q->submitted) >= seq;
        if (there || atomic_load(&q->stop))
            break;
        futex_sleep(&q->submit_epoch, epoch);
    }
    atomic_fetch_sub(&q->consumer_sleeps, 1);
    return there;
}

// NULL: nobody traces. The machine's sink changes only while the queue is empty, and whoever
// submits or fetches a task sees it.
static const struct machine *traced(const struct queue *q)
{
    return q->owner && q->owner->machine->trace ? q->owner->machine : NULL;
}

// Ticket seq began to execute, or was submitted after `begun` others had begun.
static void trace_depth(const struct machine *m, const struct device *d, int64_t now,
                        uint64_t submitted, uint64_t begun)
{
    trace_counter(m->trace, m->tracks.depth[d->index], now,
                  submitted > begun ? (double)(submitted - begun) : 0);
}

static void trace_task(const struct queue *q, const struct machine *m, uint64_t seq, int64_t start,
                       int64_t end)
{
    char label[TASK_LABEL];
    int d = q->owner->index;
    int64_t since = q->since[seq % QUEUE_RING];
    task_label(&q->ring[seq % QUEUE_RING], label);
    if (since && since < start)
        trace_slice(m->trace, m->tracks.queue[d], label, since, start, 0);
    trace_slice(m->trace, m->tracks.device[d], label, start, end, trace_id(d, seq));
}

static void execute(struct queue *q, uint64_t seq)
{
    const struct task *t = &q->ring[seq % QUEUE_RING];
    const struct machine *m = traced(q);
    struct work w = task_work(t, q->act_bytes);
    int64_t start = host_now();
    if (m)
        trace_depth(m, q->owner, start, atomic_load(&q->submitted), seq);
    if (q->fn(q->ctx, t, &q->error) < 0)
        atomic_store(&q->failed, true);
    int64_t time = host_now() - start;
    if (m)
        trace_task(q, m, seq, start, start + time);
    pthread_mutex_lock(&q->lock);
    q->stats.tasks++;
    q->stats.busy_ps += time;
    q->stats.flops += w.flops;
    q->stats.bytes += w.weight_bytes + w.read_bytes + w.write_bytes;
    pthread_mutex_unlock(&q->lock);
}

// Whoever sleeps for a later ticket says so again.
static void wake_waiters(struct queue *q, uint64_t seq)
{
    uint64_t want = atomic_load(&q->want);
    if (want == NOBODY || (want > seq && !atomic_load(&q->failed)))
        return;
    atomic_store(&q->want, NOBODY); // before the epoch: who lowers it later sees the new one
    atomic_fetch_add(&q->done_epoch, 1);
    futex_wake_all(&q->done_epoch);
}

static void *consumer_main(void *arg)
{
    struct queue *q = arg;
    team_pin(&q->pin, 0);
    for (uint64_t seq = 1; next_ticket(q, seq); seq++) {
        // After a failure nothing completes any more: a flag that went on would pass for results.
        if (!atomic_load(&q->failed))
            execute(q, seq);
        if (!atomic_load(&q->failed))
            atomic_store(&q->flag, seq); // release, and before the look at `want`
        wake_waiters(q, seq);
    }
    return NULL;
}

// Until ticket seq is complete or the queue has failed.
static void sleep_until(struct queue *q, uint64_t seq)
{
    for (;;) {
        uint32_t epoch = atomic_load(&q->done_epoch);
        uint64_t want = atomic_load(&q->want);
        while (want > seq && !atomic_compare_exchange_weak(&q->want, &want, seq))
            ;
        if (atomic_load(&q->flag) >= seq || atomic_load(&q->failed))
            return; // `want` may stay behind: it costs one wake-up of nobody
        futex_sleep(&q->done_epoch, epoch);
    }
}

int queue_create(queue_fn *fn, void *ctx, int spin, const struct conf_int_list *pin,
                 double act_bytes, struct queue **out, struct err *e)
{
    struct queue *q = aligned_alloc(64, sizeof *q);
    if (!q)
        return err_set(e, ERR_MEMORY, "no memory for a device queue");
    memset(q, 0, sizeof *q);
    q->fn = fn;
    q->ctx = ctx;
    q->spin = spin;
    q->pin = *pin;
    q->act_bytes = act_bytes;
    atomic_init(&q->want, NOBODY);
    pthread_mutex_init(&q->producer, NULL);
    pthread_mutex_init(&q->lock, NULL);
    int rc = pthread_create(&q->thread, NULL, consumer_main, q);
    if (rc) {
        pthread_mutex_destroy(&q->lock);
        pthread_mutex_destroy(&q->producer);
        free(q);
        return err_set(e, ERR_DEVICE, "thread of a device queue: %s", strerror(rc));
    }
    *out = q;
    return 0;
}

void queue_owner(struct queue *q, const struct device *owner)
{
    q->owner = owner;
}

void queue_destroy(struct queue *q)
{
    if (!q)
        return;
    atomic_store(&q->stop, true);
    announce(&q->submit_epoch, &q->consumer_sleeps);
    pthread_join(q->thread, NULL);
    pthread_mutex_destroy(&q->lock);
    pthread_mutex_destroy(&q->producer);
    free(q);
}

static int failure(struct queue *q, struct err *e)
{
    if (!atomic_load(&q->failed))
        return 0;
    if (e)
        *e = q->error;
    return q->error.code;
}

int queue_submit(struct queue *q, const struct task *t, uint64_t *seq, struct err *e)
{
    int rc = failure(q, e);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&q->producer);
    uint64_t s = atomic_load_explicit(&q->submitted, memory_order_relaxed) + 1;
    if (s > QUEUE_RING)
        sleep_until(q, s - QUEUE_RING);
    rc = failure(q, e);
    if (rc < 0) {
        pthread_mutex_unlock(&q->producer);
        return rc;
    }
    const struct machine *m = traced(q);
    q->ring[s % QUEUE_RING] = *t;
    q->since[s % QUEUE_RING] = m ? host_now() : 0;
    if (m)
        trace_depth(m, q->owner, q->since[s % QUEUE_RING], s, atomic_load(&q->flag));
    atomic_store(&q->submitted, s);
    pthread_mutex_unlock(&q->producer);
    announce(&q->submit_epoch, &q->consumer_sleeps);
    *seq = s;
    return 0;
}

int queue_poll(struct queue *q, uint64_t seq, struct err *e)
{
    int rc = failure(q, e);
    if (rc < 0)
        return rc;
    return atomic_load_explicit(&q->flag, memory_order_acquire) >= seq;
}

int queue_wait(struct queue *q, uint64_t seq, enum wait_mode mode, struct err *e)
{
    if (seq > atomic_load(&q->submitted))
        return err_set(e, ERR_USAGE, "wait for ticket %llu, which was not submitted",
                       (unsigned long long)seq);
    // The explicit finish of a driver polls a little before it sleeps. Callback and futex are one
    // and the same here: no driver stands between the thread that completes and the one that waits.
    int turns = mode == WAIT_FINISH ? q->spin : 0;
    for (int turn = 0; turn < turns; turn++) {
        if (atomic_load_explicit(&q->flag, memory_order_acquire) >= seq)
            return failure(q, e);
        poll_turn((unsigned)turn);
    }
    sleep_until(q, seq);
    return failure(q, e);
}

void queue_drain(struct queue *q)
{
    sleep_until(q, atomic_load(&q->submitted));
}

_Atomic uint64_t *queue_flag(struct queue *q)
{
    return &q->flag;
}

void queue_stats(struct queue *q, struct device_stats *out)
{
    pthread_mutex_lock(&q->lock);
    out->tasks = q->stats.tasks;
    out->busy_ps = q->stats.busy_ps;
    out->flops = q->stats.flops;
    out->bytes = q->stats.bytes;
    pthread_mutex_unlock(&q->lock);
}

void queue_reset(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->stats = (struct device_stats){0};
    pthread_mutex_unlock(&q->lock);
}
