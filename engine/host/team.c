// SPDX-License-Identifier: GPL-3.0-or-later
// Fork-join without locks.
//
// A job is published by opening a gate. A helper counts itself in, looks at the gate, and only
// behind an open gate reads the job; the caller closes the gate when no chunk is left, and waits
// until nobody is inside. So a helper that wakes late finds the gate closed and never sees a job
// that is being replaced: this is the whole correctness argument, and it needs only that "count in,
// then look" and "close, then count" are sequentially consistent.
//
// Chunks are dealt out in one run per worker, because neighbours in number are mostly neighbours in
// memory, and a core that reads on where it was reads faster. Who has finished its own run takes
// from the others' runs.
#include "engine/host/team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "engine/host/futex.h"

struct helper {
    struct team *team;
    pthread_t thread;
    int worker;
};

// A worker's chunks [next, end): next is the first that nobody took, or beyond the end.
struct run {
    _Alignas(64) _Atomic int next;
    int end;
};

struct team {
    // The job: written by the caller while the gate is closed and nobody is inside.
    team_fn *fn;
    void *ctx;

    struct run run[TEAM_MAX];
    _Alignas(64) _Atomic bool open;       // the gate
    _Alignas(64) _Atomic uint32_t inside; // helpers that counted themselves in
    _Atomic bool caller_sleeps;           // on `inside`
    _Alignas(64) _Atomic uint32_t epoch;  // jobs published; helpers sleep on it
    _Atomic int sleepers;
    _Atomic bool stop;

    int threads, spin;
    struct conf_int_list pin;
    struct helper helper[TEAM_MAX];
};

static void work(struct team *t, int worker)
{
    for (int i = 0; i < t->threads; i++) {
        struct run *r = &t->run[(worker + i) % t->threads];
        int c;
        while ((c = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed)) < r->end)
            t->fn(t->ctx, c, worker);
    }
}

static void enter(struct team *t, int worker)
{
    atomic_fetch_add(&t->inside, 1);
    if (atomic_load(&t->open))
        work(t, worker);
    if (atomic_fetch_sub(&t->inside, 1) == 1 && atomic_load(&t->caller_sleeps))
        futex_wake_all(&t->inside);
}

static void *helper_main(void *arg)
{
    struct helper *h = arg;
    struct team *t = h->team;
    uint32_t seen = 0;
    team_pin(&t->pin, h->worker);
    for (;;) {
        int turn = 0;
        while (atomic_load(&t->epoch) == seen && turn++ < t->spin)
            poll_turn((unsigned)turn);
        if (atomic_load(&t->epoch) == seen) {
            atomic_fetch_add(&t->sleepers, 1);
            while (atomic_load(&t->epoch) == seen)
                futex_sleep(&t->epoch, seen);
            atomic_fetch_sub(&t->sleepers, 1);
        }
        seen = atomic_load(&t->epoch);
        if (atomic_load(&t->stop))
            return NULL;
        enter(t, h->worker);
    }
}

static void publish(struct team *t)
{
    atomic_fetch_add(&t->epoch, 1);
    if (atomic_load(&t->sleepers) > 0)
        futex_wake_all(&t->epoch);
}

static void wait_until_empty(struct team *t)
{
    uint32_t n;
    for (int turn = 0; turn < t->spin; turn++) {
        if (atomic_load(&t->inside) == 0)
            return;
        poll_turn((unsigned)turn);
    }
    atomic_store(&t->caller_sleeps, true);
    while ((n = atomic_load(&t->inside)) != 0)
        futex_sleep(&t->inside, n);
    atomic_store(&t->caller_sleeps, false);
}

void team_run(struct team *t, team_fn *fn, void *ctx, int chunks)
{
    if (!t || t->threads == 1 || chunks <= 1) {
        for (int c = 0; c < chunks; c++)
            fn(ctx, c, 0);
        return;
    }
    t->fn = fn;
    t->ctx = ctx;
    for (int i = 0; i < t->threads; i++) {
        int begin = (int)((int64_t)chunks * i / t->threads);
        t->run[i].end = (int)((int64_t)chunks * (i + 1) / t->threads);
        atomic_store_explicit(&t->run[i].next, begin, memory_order_relaxed);
    }
    atomic_store(&t->open, true);
    publish(t);
    work(t, 0);
    atomic_store(&t->open, false);
    wait_until_empty(t);
}

int team_create(int threads, int spin, const struct conf_int_list *pin, struct team **out,
                struct err *e)
{
    struct team *t = aligned_alloc(64, sizeof *t);
    if (!t)
        return err_set(e, ERR_MEMORY, "no memory for a team of %d threads", threads);
    memset(t, 0, sizeof *t);
    t->spin = spin;
    t->pin = *pin;
    t->threads = 1;
    while (t->threads < threads && t->threads < TEAM_MAX) {
        struct helper *h = &t->helper[t->threads];
        *h = (struct helper){.team = t, .worker = t->threads};
        int rc = pthread_create(&h->thread, NULL, helper_main, h);
        if (rc) {
            err_set(e, ERR_DEVICE, "thread %d of %d: %s", h->worker, threads, strerror(rc));
            team_destroy(t);
            return ERR_DEVICE;
        }
        t->threads++;
    }
    *out = t;
    return 0;
}

void team_destroy(struct team *t)
{
    if (!t)
        return;
    atomic_store(&t->stop, true);
    publish(t);
    for (int i = 1; i < t->threads; i++)
        pthread_join(t->helper[i].thread, NULL);
    free(t);
}

int team_threads(const struct team *t)
{
    return t ? t->threads : 1;
}

void team_pin(const struct conf_int_list *pin, int thread)
{
    if (pin->n == 0)
        return;
    int64_t cpu = pin->v[thread % pin->n];
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu >= 0 && cpu < CPU_SETSIZE)
        CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set)) // the calling thread
        log_info("cannot pin thread %d to CPU %lld", thread, (long long)cpu);
}
