// SPDX-License-Identifier: GPL-3.0-or-later
// The in-order queue of the host's devices: a task that fails must not pass for one that completed.
#include "tests/harness.h"

#include <stdatomic.h>
#include <string.h>
#include "engine/graph.h"
#include "engine/host/queue.h"

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

TESTS(host_queue, T(test_all_complete_in_order), T(test_failure_stops_the_flag),
      T(test_failure_frees_a_full_ring))
