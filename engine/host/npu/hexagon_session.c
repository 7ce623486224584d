// SPDX-License-Identifier: GPL-3.0-or-later
// The session with the DSP: opening and closing, and what happens when it fails. Memory and
// messages have files of their own (hexagon_memory.c, hexagon_ring.c).
//
// What is believed of the hardware is tried first: the DSP adds numbers in shared memory that the
// host wrote just before, and the host reads the sums as soon as it sees the flag word move. If the
// sums are wrong, host and DSP do not see one memory, and the device is refused. If the word only
// moves when the call returns, there is no flag to poll, and the device says so.
//
// A failure is for good: the DSP's process is gone, or its state is unknown. Whoever asks
// afterwards gets the same error, which names the operator that was under way.
#include "engine/host/npu/hexagon.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "engine/host/futex.h"
#include "engine/host/npu/hexagon_ring.h"

static const char *const domains[] = {"adsp", "mdsp", "sdsp", "cdsp"};

void hexagon_fail(struct hexagon_session *s, const char *fmt, ...)
{
    va_list ap;
    char text[240];
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&s->fail_lock);
    if (!atomic_load(&s->failed)) {
        uint64_t at = hexagon_done(s) + 1;
        const char *label = at <= hexagon_head(s) ? s->label[at % NPU_SLOTS] : "";
        err_set(&s->error, ERR_DEVICE, "npu: Hexagon DSP %s%s%s", text,
                *label ? " while executing " : "", label);
        atomic_store(&s->failed, true);
    }
    pthread_mutex_unlock(&s->fail_lock);
    hexagon_announce(&s->done_epoch, &s->waiters);
}

int hexagon_failure(struct hexagon_session *s, struct err *e)
{
    if (!atomic_load(&s->failed))
        return 0;
    if (e)
        *e = s->error;
    return s->error.code;
}

// The DSP's process is ended, so that the call in which the service thread sits returns.
void hexagon_kill(struct hexagon_session *s)
{
    struct fastrpc_domain d = {s->opt.domain};
    s->rpc.session_control(FASTRPC_SESSION_KILL, &d, sizeof d);
}

int hexagon_watch(struct hexagon_session *s, struct err *e)
{
    enum { UNWATCHED = 8 };
    uint64_t done = hexagon_done(s);
    int64_t now = host_now(), unwatched = now - atomic_exchange(&s->looked, now);
    // Who waits asks every few milliseconds. A long time in which nobody did is no silence of the
    // DSP: the process was stopped, and perhaps the DSP with it.
    if (unwatched > s->opt.timeout / UNWATCHED)
        atomic_fetch_add(&s->progress, unwatched);
    if (!atomic_load(&s->flag) && done < s->head) // only a return of RUN can tell
        hexagon_arm(s, s->head);
    if (done >= s->head || done != atomic_load(&s->seen)) {
        atomic_store(&s->seen, done);
        atomic_store(&s->progress, now);
    } else if (now - atomic_load(&s->progress) > s->opt.timeout && !atomic_load(&s->failed)) {
        hexagon_fail(s, "did not answer for %.3g s", (double)s->opt.timeout / PS_PER_S);
        hexagon_kill(s);
    }
    return hexagon_failure(s, e);
}

static uint32_t attribute(const struct hexagon_session *s, uint32_t which)
{
    struct fastrpc_capability c = {.domain = (uint32_t)s->opt.domain, .attribute = which};
    return s->rpc.control(FASTRPC_CONTROL_DSP_INFO, &c, sizeof c) == 0 ? c.value : 0;
}

static int open_handle(struct hexagon_session *s, struct err *e)
{
    const char *domain = domains[s->opt.domain];
    if (s->opt.unsigned_pd) {
        struct fastrpc_unsigned u = {s->opt.domain, 1};
        int rc = s->rpc.session_control(FASTRPC_SESSION_UNSIGNED, &u, sizeof u);
        if (rc)
            return err_set(e, ERR_DEVICE,
                           "npu: the %s refuses unsigned modules: %s; sign the skel and say "
                           "unsigned_pd = false",
                           domain, fastrpc_error(rc));
    }
    char uri[300];
    snprintf(uri, sizeof uri, "file:///%s?partita_npu_skel_handle_invoke&_modver=1.0&_dom=%s",
             s->opt.skel, domain);
    int rc = s->rpc.open(uri, &s->handle);
    if (rc) {
        s->handle = 0;
        return err_set(e, ERR_DEVICE,
                       "npu: no session with the %s (Hexagon v%x): %s; is %s in a folder of "
                       "ADSP_LIBRARY_PATH?",
                       domain, attribute(s, FASTRPC_ATTRIBUTE_ARCH) & 0xff, fastrpc_error(rc),
                       s->opt.skel);
    }
    // Asked for, not needed: an older driver does not know it.
    struct fastrpc_latency l = {FASTRPC_LATENCY_POLL, 1000};
    s->rpc.handle_control(s->handle, FASTRPC_CONTROL_LATENCY, &l, sizeof l);
    union fastrpc_arg arg = {.buf = {&s->info, sizeof s->info}};
    rc = s->rpc.invoke(s->handle, fastrpc_scalars(METHOD_INFO, 0, 1), &arg);
    if (rc)
        return err_set(e, ERR_DEVICE, "npu: the skel does not answer: %s", fastrpc_error(rc));
    if (s->info.version != NPU_VERSION)
        return err_set(e, ERR_DEVICE,
                       "npu: %s speaks version %u of the protocol, expected %d: push the one of "
                       "this build",
                       s->opt.skel, s->info.version, NPU_VERSION);
    return 0;
}

// One sum over shared memory. *moved: let it be looked whether the flag word moves while RUN has
// not returned; if it was seen to.
static int probe_once(struct hexagon_session *s, uint32_t id, float seed, bool *moved,
                      struct err *e)
{
    enum { N = 1024 };
    float *x = (float *)(void *)s->arena[id].base, *y = x + N;
    for (int i = 0; i < N; i++)
        x[i] = seed + (float)i, y[i] = 2 * seed;
    struct npu_message *m;
    int rc = hexagon_arena_map(s, id, e);
    if (rc == 0)
        rc = hexagon_message(s, &m, e);
    if (rc < 0)
        return rc;
    m->op = NPU_ADD;
    m->m = m->m1 = N;
    m->n1 = 1;
    m->in = (struct npu_tensor){id, 0, N * 4, 1};
    m->out = (struct npu_tensor){id, N * 4, N * 4, 1};
    uint64_t seq = hexagon_submit(s, "start-up probe");
    int64_t end = host_now() + PS_PER_S;
    while (*moved && hexagon_flag(s) < seq && !atomic_load(&s->failed) && host_now() < end)
        sched_yield();
    *moved = *moved && hexagon_flag(s) >= seq;
    // A word that was late may be early next time, before the results: then only the return counts.
    atomic_store(&s->flag, *moved);
    if (!*moved)
        hexagon_arm(s, seq);
    rc = hexagon_wait(s, seq, 0, e);
    if (rc < 0)
        return rc;
    for (int i = 0; i < N; i++)
        if (y[i] != 3 * seed + (float)i)
            return err_set(e, ERR_DEVICE,
                           "npu: the host does not see what the Hexagon DSP wrote (word %d of the "
                           "start-up probe): shared memory is not coherent here",
                           i);
    return 0;
}

// While it lasts, RUN returns only when asked to: what is seen is seen before that.
static int probe(struct hexagon_session *s, struct err *e)
{
    uint32_t id;
    int rc = hexagon_arena_new(s, 8192, true, &id, e);
    bool all = s->opt.flag;
    atomic_store(&s->flag, true);
    for (int i = 0; rc == 0 && i < 4; i++)
        rc = probe_once(s, id, (float)(3 * i + 1), &all, e);
    if (rc < 0)
        return rc;
    atomic_store(&s->idle_turns, (uint32_t)s->opt.idle_turns);
    atomic_store(&s->flag, all);
    hexagon_arm(s, s->head);
    hexagon_arena_drop(s, id, true);
    if (s->opt.flag && !all)
        log_info("npu: the host does not see the DSP's flag word before the call returns");
    return 0;
}

int hexagon_open(const struct hexagon_options *o, struct hexagon_session *s, struct err *e)
{
    s->opt = *o;
    pthread_mutex_init(&s->fail_lock, NULL);
    int rc = fastrpc_load(o->library, &s->rpc, e);
    if (rc == 0)
        rc = open_handle(s, e);
    if (rc == 0)
        rc = hexagon_ring_start(s, e);
    if (rc == 0)
        rc = probe(s, e);
    if (rc < 0)
        hexagon_close(s);
    return rc;
}

void hexagon_close(struct hexagon_session *s)
{
    if (s->rpc.library) {
        hexagon_ring_stop(s);
        for (uint32_t i = 0; i < NPU_MAX_ARENAS; i++)
            if (s->arena[i].base)
                hexagon_arena_drop(s, i, true);
        if (s->handle)
            s->rpc.close(s->handle);
        fastrpc_unload(&s->rpc);
    }
    pthread_mutex_destroy(&s->fail_lock);
}
