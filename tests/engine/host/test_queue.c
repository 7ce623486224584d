// SPDX-License-Identifier: GPL-3.0-or-later
// The in-order queue of the host's devices: a task that fails must not pass for one that completed.
#include "tests/harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include "engine/graph.h"
#include "base/trace_memory.h"
#include "engine/host/queue.h"
#include "engine/host/trace.h"
#include "engine/machine.h"

struct device_state {
    _Atomic int ran;
    int fails_at;
};

static int run(void *ctx, const struct task *t, struct err *e)
{
    struct device_state *d = ctx;
    (void)t;
    if (atomic_fetch_add(&d->ran, 1) + 1 == d->fails_at)
        return err_set(e, ERR_DEVICE, "the planted failure");
    return 0;
}

static struct queue *open_queue(struct device_state *d)
{
    struct conf_int_list pin = {0};
    struct queue *q = NULL;
    struct err e;
    CHECK_OK(queue_create(run, d, 100, &pin, 4, &q, &e), &e);
    return q;
}

static const struct task *any_task(void)
{
    static struct model m = {.shape = {.n_head = 1,
                                       .n_head_kv = 1,
                                       .d_head = 2,
                                       .d_model = 2,
                                       .d_ff = 2,
                                       .n_vocab = 2,
                                       .n_layer = 1}};
    static struct op op = {.kind = OP_ADD, .name = "add", .m = 2, .k = 2};
    static struct task t = {.op = &op, .model = &m, .m1 = 2, .n1 = 1};
    return &t;
}

static void test_all_complete_in_order(void)
{
    struct device_state d = {.fails_at = 0};
    struct queue *q = open_queue(&d);
    struct err e;
    uint64_t seq = 0;
    for (uint64_t i = 1; i <= 1000; i++) { // more than the ring holds
        CHECK_OK(queue_submit(q, any_task(), &seq, &e), &e);
        CHECK_INT(seq, i);
    }
    CHECK_OK(queue_wait(q, seq, WAIT_EVENT, &e), &e);
    CHECK_INT(atomic_load(&d.ran), 1000);
    CHECK_INT(atomic_load(queue_flag(q)), 1000);
    queue_destroy(q);
}

static int run_slowly(void *ctx, const struct task *t, struct err *e)
{
    (void)ctx, (void)t, (void)e;
    return nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

// A sleeping waiter is woken for its own ticket and not for those before it.
static void test_a_wake_up_for_the_ticket_only(void)
{
    enum { TASKS = 100 };
    static const struct conf_int_list anywhere;
    struct queue *q = NULL;
    struct rusage before, after;
    struct err e;
    uint64_t seq = 0;
    if (!CHECK_OK(queue_create(run_slowly, NULL, 0, &anywhere, 4, &q, &e), &e))
        return;
    for (int i = 0; i < TASKS; i++)
        CHECK_OK(queue_submit(q, any_task(), &seq, &e), &e);
    getrusage(RUSAGE_THREAD, &before);
    CHECK_OK(queue_wait(q, seq, WAIT_FUTEX, &e), &e);
    getrusage(RUSAGE_THREAD, &after);
    CHECK(after.ru_nvcsw - before.ru_nvcsw <= TASKS / 10);
    queue_destroy(q);
}

struct waiter {
    struct queue *q;
    pthread_t thread;
    uint64_t seq, seen;
    int rc;
};

static void *waiter_main(void *arg)
{
    struct waiter *w = arg;
    struct err e;
    w->rc = queue_wait(w->q, w->seq, WAIT_FUTEX, &e);
    w->seen = atomic_load(queue_flag(w->q));
    return NULL;
}

// Each returns for its own, whoever sleeps first.
static void test_many_wait_for_different_tickets(void)
{
    enum { WAITERS = 6, TASKS = 30 };
    static const struct conf_int_list anywhere;
    struct waiter w[WAITERS];
    struct queue *q = NULL;
    struct err e;
    uint64_t seq;
    if (!CHECK_OK(queue_create(run_slowly, NULL, 0, &anywhere, 4, &q, &e), &e))
        return;
    for (int i = 0; i < TASKS; i++)
        CHECK_OK(queue_submit(q, any_task(), &seq, &e), &e);
    for (int i = 0; i < WAITERS; i++) {
        w[i] = (struct waiter){.q = q, .seq = (uint64_t)(TASKS - i * 5)};
        CHECK_INT(pthread_create(&w[i].thread, NULL, waiter_main, &w[i]), 0);
    }
    for (int i = 0; i < WAITERS; i++) {
        pthread_join(w[i].thread, NULL);
        CHECK_INT(w[i].rc, 0);
        CHECK(w[i].seen >= w[i].seq);
    }
    queue_destroy(q);
}

static void test_failure_stops_the_flag(void)
{
    struct device_state d = {.fails_at = 3};
    struct queue *q = open_queue(&d);
    struct err e;
    uint64_t seq = 0, last = 0;
    for (int i = 0; i < 8; i++)
        if (queue_submit(q, any_task(), &seq, &e) >= 0)
            last = seq;
    CHECK(last >= 3);
    CHECK_INT(queue_wait(q, last, WAIT_FINISH, &e), ERR_DEVICE);
    CHECK_HAS(e.msg, "planted");
    CHECK_INT(queue_wait(q, last, WAIT_EVENT, &e), ERR_DEVICE);
    CHECK_INT(queue_wait(q, last, WAIT_FUTEX, &e), ERR_DEVICE);
    CHECK_INT(queue_poll(q, last, &e), ERR_DEVICE);
    CHECK_INT(atomic_load(queue_flag(q)), 2); // what completed before
    CHECK_INT(atomic_load(&d.ran), 3);        // and nothing runs behind
    CHECK_INT(queue_submit(q, any_task(), &seq, &e), ERR_DEVICE);
    queue_drain(q); // returns
    queue_destroy(q);
}

static void test_failure_frees_a_full_ring(void)
{
    struct device_state d = {.fails_at = 1};
    struct queue *q = open_queue(&d);
    struct err e;
    uint64_t seq;
    int refused = 0;
    for (int i = 0; i < 3 * QUEUE_RING; i++)
        refused += queue_submit(q, any_task(), &seq, &e) == ERR_DEVICE;
    CHECK(refused > 0); // and no submission waits for ever
    queue_destroy(q);
}

// Every task is a slice, in order, and they add up to the busy time; two queues report to one sink.
static void test_trace(void)
{
    struct machine m = {.n_devices = 2};
    struct device dev[2] = {{.machine = &m, .caps = {.name = "cpu"}},
                            {.machine = &m, .index = 1, .caps = {.name = "npu"}}};
    struct device_state d[2] = {{.fails_at = 0}, {.fails_at = 0}};
    struct queue *q[2];
    struct trace_memory t;
    struct host_trace lock;
    struct err e;
    uint64_t seq = 0;
    trace_memory_init(&t);
    host_trace_init(&lock);
    lock.to = &t.sink;
    for (int k = 0; k < 2; k++) {
        m.device[k] = &dev[k];
        q[k] = open_queue(&d[k]);
        queue_owner(q[k], &dev[k]);
        CHECK_OK(queue_submit(q[k], any_task(), &seq, &e), &e); // before anybody traces
        CHECK_OK(queue_wait(q[k], seq, WAIT_FINISH, &e), &e);
        queue_reset(q[k]);
    }
    machine_set_trace(&m, &lock.sink);
    machine_trace_queues(&m);
    for (int i = 0; i < 700; i++)
        for (int k = 0; k < 2; k++)
            CHECK_OK(queue_submit(q[k], any_task(), &seq, &e), &e);
    for (int k = 0; k < 2; k++)
        CHECK_OK(queue_wait(q[k], seq, WAIT_FINISH, &e), &e);
    machine_set_trace(&m, NULL);
    CHECK_OK(queue_submit(q[0], any_task(), &seq, &e), &e); // to nobody
    CHECK_OK(queue_wait(q[0], seq, WAIT_FINISH, &e), &e);
    for (int k = 0; k < 2; k++) {
        struct device_stats s;
        int64_t busy = 0, before = 0, waited = 0;
        uint64_t n = 1;
        queue_stats(q[k], &s);
        for (size_t i = 0; i < t.n_slices; i++) {
            const struct trace_slice *x = &t.slice[i];
            waited += x->track == m.tracks.queue[k] ? x->end - x->begin : 0;
            if (x->track != m.tracks.device[k])
                continue;
            CHECK(x->begin >= before && x->id == trace_id(k, ++n));
            CHECK_STR(t.name[x->name], "L0 add n1");
            busy += x->end - x->begin;
            before = x->end;
        }
        CHECK_INT(n, 701);
        CHECK(waited > 0);
        if (k == 1)
            CHECK_INT(busy, s.busy_ps);
    }
    for (int k = 0; k < 2; k++)
        queue_destroy(q[k]);
    host_trace_fini(&lock);
    trace_memory_fini(&t);
}

TESTS(host_queue, T(test_all_complete_in_order), T(test_a_wake_up_for_the_ticket_only),
      T(test_many_wait_for_different_tickets), T(test_failure_stops_the_flag),
      T(test_failure_frees_a_full_ring), T(test_trace))
