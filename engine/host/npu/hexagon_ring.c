// SPDX-License-Identifier: GPL-3.0-or-later
// Messages to the DSP and their completion (engine/host/npu/protocol.h has the rules).
//
// Three parties: the submitter stores `head`; the DSP, inside RUN, stores `done`; the service
// thread calls RUN. No wake-up is lost because each sleeper announces itself before it looks, and
// each waker acts before it looks for sleepers:
//
//   service thread   parked = 1; is there a message? no: sleep until work_epoch moves
//   submitter        head = s; work_epoch += 1; parked? wake it
//   waiter           epoch = done_epoch; wake = s; done >= s? no: sleep until done_epoch moves
//   service thread   (RUN returned) wake = 0; done_epoch += 1; waiters? wake them
//
// A waiter whose `wake` is wiped out by the last line has read an epoch from before it: its sleep
// returns at once and it stores `wake` again. Sleeps of waiters are bounded all the same, since a
// DSP may die without a word: at every end the watchdog looks whether anything moved.
#include "engine/host/npu/hexagon_ring.h"

#include <stdio.h>
#include <string.h>
#include "engine/host/futex.h"
#include "engine/host/team.h"

enum { NAP_MS = 20 };

static const char *const status_names[NPU_STATUS_COUNT] = {
    [NPU_OK] = "no error",
    [NPU_BAD_OP] = "unknown operator",
    [NPU_BAD_ARENA] = "memory that is not mapped",
    [NPU_BAD_BOUNDS] = "a tensor that leaves its memory",
    [NPU_BAD_SHAPE] = "sizes that contradict each other",
    [NPU_BAD_GRAPH] = "a graph that was not prepared for this shape",
};

// The ring is shared with another processor: plain fields there, atomic accesses here.
static uint64_t load(const uint64_t *p)
{
    return atomic_load_explicit((const _Atomic uint64_t *)p, memory_order_acquire);
}

static void store(uint64_t *p, uint64_t v)
{
    atomic_store((_Atomic uint64_t *)p, v);
}

uint64_t hexagon_flag(const struct hexagon_session *s)
{
    return load(&s->ring->done);
}

uint64_t hexagon_head(const struct hexagon_session *s)
{
    return s->ring ? load(&s->ring->head) : 0;
}

uint64_t hexagon_done(const struct hexagon_session *s)
{
    if (!s->ring)
        return 0;
    return atomic_load(&s->flag) ? hexagon_flag(s) : atomic_load(&s->returned);
}

void hexagon_announce(_Atomic uint32_t *epoch, _Atomic int *sleepers)
{
    atomic_fetch_add(epoch, 1);
    if (atomic_load(sleepers) > 0)
        futex_wake_all(epoch);
}

// ---- the service thread ----

static bool pending(struct hexagon_session *s)
{
    return atomic_load((_Atomic uint64_t *)&s->ring->head) > hexagon_flag(s);
}

// Returns false when the session is being closed.
static bool wait_for_work(struct hexagon_session *s)
{
    atomic_fetch_add(&s->parked, 1);
    for (;;) {
        uint32_t epoch = atomic_load(&s->work_epoch);
        if (pending(s) || atomic_load(&s->stop))
            break;
        futex_sleep(&s->work_epoch, epoch);
    }
    atomic_fetch_sub(&s->parked, 1);
    return !atomic_load(&s->stop);
}

static void *service_main(void *arg)
{
    struct hexagon_session *s = arg;
    team_pin(&s->opt.pin, 0);
    bool again = false;
    while (again || wait_for_work(s)) {
        struct npu_run in = {.idle_turns = atomic_load(&s->idle_turns)};
        struct npu_ran out = {0};
        union fastrpc_arg args[2] = {{.buf = {&in, sizeof in}}, {.buf = {&out, sizeof out}}};
        int rc = s->rpc.invoke(s->handle, fastrpc_scalars(METHOD_RUN, 1, 1), args);
        if (rc) {
            if (fastrpc_lost(rc))
                hexagon_fail(s, "restarted");
            else
                hexagon_fail(s, "failed (%s)", fastrpc_error(rc));
            break;
        }
        store(&s->ring->wake, 0);
        if (out.done > atomic_load(&s->returned))
            atomic_store(&s->returned, out.done);
        if (out.reason == NPU_RAN_FAILED) {
            hexagon_fail(s, "refused a message (status %u: %s)", out.status,
                         out.status < NPU_STATUS_COUNT ? status_names[out.status] : "unknown");
            break;
        }
        hexagon_announce(&s->done_epoch, &s->waiters);
        // Whoever was woken has more to submit, most likely: the DSP goes on polling.
        again = out.reason == NPU_RAN_WAKE && !atomic_load(&s->stop);
    }
    return NULL;
}

int hexagon_ring_start(struct hexagon_session *s, struct err *e)
{
    uint32_t id;
    int64_t size = (int64_t)sizeof(struct npu_ring) + NPU_SLOTS * NPU_MESSAGE_BYTES;
    int rc = hexagon_arena_new(s, size, true, &id, e);
    if (rc < 0)
        return rc;
    struct npu_ring *r = (struct npu_ring *)(void *)s->arena[id].base;
    r->magic = NPU_MAGIC;
    r->version = NPU_VERSION;
    r->slots = NPU_SLOTS;
    r->message_bytes = NPU_MESSAGE_BYTES;
    s->ring = r;
    s->message = (struct npu_message *)(void *)(r + 1);
    rc = hexagon_arena_map(s, id, e);
    if (rc < 0)
        return rc;
    atomic_store(&s->progress, host_now());
    rc = pthread_create(&s->thread, NULL, service_main, s);
    if (rc)
        return err_set(e, ERR_DEVICE, "npu: the thread that serves the DSP: %s", strerror(rc));
    s->running = true;
    return 0;
}

void hexagon_ring_stop(struct hexagon_session *s)
{
    if (!s->running)
        return;
    hexagon_drain(s, NULL);
    atomic_store(&s->stop, true);
    atomic_store((_Atomic uint32_t *)&s->ring->stop, 1);
    hexagon_announce(&s->work_epoch, &s->parked);
    pthread_join(s->thread, NULL);
    s->running = false;
}

// ---- messages ----

int hexagon_message(struct hexagon_session *s, struct npu_message **out, struct err *e)
{
    int rc = hexagon_failure(s, e);
    if (rc == 0 && s->head >= NPU_SLOTS)
        rc = hexagon_wait(s, s->head + 1 - NPU_SLOTS, 0, e);
    if (rc < 0)
        return rc;
    *out = &s->message[(s->head + 1) % NPU_SLOTS];
    memset(*out, 0, sizeof **out);
    struct npu_message *m = *out;
    struct npu_tensor *const none[] = {&m->in,      &m->in2,    &m->out,  &m->kcache,
                                       &m->vcache,  &m->w[0],   &m->w[1], &m->bias[0],
                                       &m->bias[1], &m->angles, &m->graph};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        none[i]->arena = NPU_NO_TENSOR;
    return 0;
}

uint64_t hexagon_submit(struct hexagon_session *s, const char *label)
{
    uint64_t seq = s->head + 1;
    snprintf(s->label[seq % NPU_SLOTS], sizeof s->label[0], "%s", label);
    if (hexagon_done(s) == s->head)
        atomic_store(&s->progress, host_now()); // the watchdog starts anew with the first message
    s->head = seq;
    if (!atomic_load(&s->flag)) // only a return of RUN tells that something is complete
        store(&s->ring->wake, seq);
    store(&s->ring->head, seq);
    hexagon_announce(&s->work_epoch, &s->parked);
    return seq;
}

void hexagon_arm(struct hexagon_session *s, uint64_t seq)
{
    _Atomic uint64_t *wake = (_Atomic uint64_t *)&s->ring->wake;
    uint64_t now = atomic_load(wake);
    while ((now == 0 || now > seq) && !atomic_compare_exchange_weak(wake, &now, seq))
        ;
}

int hexagon_wait(struct hexagon_session *s, uint64_t seq, int turns, struct err *e)
{
    if (seq > s->head)
        return err_set(e, ERR_USAGE, "wait for ticket %llu, which was not submitted",
                       (unsigned long long)seq);
    for (int i = 0; i < turns && hexagon_done(s) < seq && !atomic_load(&s->failed); i++)
        poll_turn((unsigned)i);
    if (hexagon_done(s) >= seq)
        return hexagon_failure(s, e);
    atomic_fetch_add(&s->waiters, 1);
    for (;;) {
        uint32_t epoch = atomic_load(&s->done_epoch);
        hexagon_arm(s, seq);
        if (hexagon_done(s) >= seq || hexagon_watch(s, NULL) < 0)
            break;
        futex_sleep_for(&s->done_epoch, epoch, NAP_MS);
    }
    atomic_fetch_sub(&s->waiters, 1);
    return hexagon_failure(s, e);
}

int hexagon_drain(struct hexagon_session *s, struct err *e)
{
    return hexagon_wait(s, s->head, 0, e);
}
