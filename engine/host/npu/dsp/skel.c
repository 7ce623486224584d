// SPDX-License-Identifier: GPL-3.0-or-later
// The skel: methods, arenas, and the loop over the ring. There is one session and one struct with
// all of its state.
//
// Invariant: `done` is stored in one piece and only after the barrier behind a message's results;
// a refused message is the last one of the session.
#include "engine/host/npu/dsp/skel.h"

#include "engine/host/npu/dsp/dsp.h"
#include "engine/host/npu/dsp/sync.h"

struct npu_engine npu_engine;

#ifdef __hexagon__
#define ARCH __HEXAGON_ARCH__
#else
#define ARCH 0
#endif

// The emulator counts packets in a register of its own; a DSP has none that a user may read.
static uint32_t packets(void)
{
#ifdef NPU_EMULATED
    register uint32_t n __asm__("r0");
    __asm__ volatile(".word 0x6a14c000" : "=r"(n)); // r0 = c20, which the assembler has no name for
    return n;
#else
    return 0;
#endif
}

static int open_session(union npu_remote_arg *handle)
{
    if (npu_engine.open)
        return NPU_REMOTE_FAILED;
    memset(&npu_engine, 0, sizeof npu_engine);
    npu_engine.open = true;
    handle->h64 = 1;
    return NPU_REMOTE_OK;
}

static int close_session(void)
{
    for (int i = 0; i < NPU_MAX_ARENAS; i++)
        if (npu_engine.arena[i].base)
            HAP_mmap_put(npu_engine.arena[i].fd);
    memset(&npu_engine, 0, sizeof npu_engine);
    return NPU_REMOTE_OK;
}

static void info(struct npu_info *out)
{
    *out = (struct npu_info){.version = NPU_VERSION, .arch = ARCH, .hvx_bytes = ARCH ? 128 : 0};
}

static bool ring_fits(const struct npu_arena *a)
{
    const struct npu_ring *r = (const struct npu_ring *)a->base;
    if (a->size < NPU_RING_BYTES)
        return false;
    return r->magic == NPU_MAGIC && r->version == NPU_VERSION && r->slots == NPU_SLOTS &&
           r->message_bytes == NPU_MESSAGE_BYTES;
}

static int map(const struct npu_map *in)
{
    void *base = NULL;
    uint64_t physical = 0;
    if (in->id >= NPU_MAX_ARENAS || !in->size || npu_engine.arena[in->id].base)
        return NPU_REMOTE_BAD_PARAMETER;
    if (HAP_mmap_get(in->fd, &base, &physical) != 0 || !base)
        return NPU_REMOTE_FAILED;
    const struct npu_arena a = {base, in->size, in->fd};
    if ((uintptr_t)base % NPU_VECTOR || in->size > UINTPTR_MAX - (uintptr_t)base ||
        (in->id == 0 && !ring_fits(&a))) {
        HAP_mmap_put(in->fd);
        return NPU_REMOTE_BAD_PARAMETER;
    }
    npu_engine.arena[in->id] = a;
    return NPU_REMOTE_OK;
}

static int unmap(uint32_t id)
{
    if (id >= NPU_MAX_ARENAS || !npu_engine.arena[id].base)
        return NPU_REMOTE_BAD_PARAMETER;
    HAP_mmap_put(npu_engine.arena[id].fd);
    npu_engine.arena[id] = (struct npu_arena){0};
    return NPU_REMOTE_OK;
}

static enum npu_reason refuse(struct npu_ring *ring, enum npu_status status)
{
    npu_engine.status = status;
    ring->status = status;
    npu_store_release(&ring->done, npu_engine.done); // status before whatever RUN's return says
    return NPU_RAN_FAILED;
}

// Executes the message after `done`.
static enum npu_status step(struct npu_ring *ring)
{
    struct npu_message *slot = (struct npu_message *)(ring + 1) + (npu_engine.done + 1) % NPU_SLOTS;
    struct npu_message m;
    memcpy(&m, slot, sizeof m);
    slot->began = HAP_perf_get_qtimer_count();
    uint32_t before = packets();
    enum npu_status status = npu_execute(&m);
    npu_engine.packets += packets() - before;
    if (status != NPU_OK)
        return status;
    slot->ended = HAP_perf_get_qtimer_count();
    ring->packets = npu_engine.packets;
    npu_store_release(&ring->done, ++npu_engine.done);
    return NPU_OK;
}

static enum npu_reason run_ring(struct npu_ring *ring, uint32_t idle_turns)
{
    uint32_t idle = 0;
    if (npu_engine.status)
        return NPU_RAN_FAILED;
    for (;;) {
        if (npu_load_acquire32(&ring->stop))
            return NPU_RAN_STOP;
        uint64_t wake = npu_load_acquire(&ring->wake);
        if (wake && npu_engine.done >= wake)
            return NPU_RAN_WAKE;
        uint64_t head = npu_load_acquire(&ring->head);
        if (head == npu_engine.done) {
            if (idle_turns && ++idle >= idle_turns)
                return NPU_RAN_IDLE;
            npu_pause();
            continue;
        }
        idle = 0;
        if (head - npu_engine.done > NPU_SLOTS) // behind what was done, or too far ahead
            return refuse(ring, NPU_BAD_SHAPE);
        enum npu_status status = step(ring);
        if (status != NPU_OK)
            return refuse(ring, status);
    }
}

static int run(const struct npu_run *in, struct npu_ran *out)
{
    if (!npu_engine.arena[0].base)
        return NPU_REMOTE_BAD_PARAMETER;
    struct npu_ran ran = {
        .reason = run_ring((struct npu_ring *)npu_engine.arena[0].base, in->idle_turns)};
    ran.status = npu_engine.status;
    ran.done = npu_engine.done;
    *out = ran;
    return NPU_REMOTE_OK;
}

int partita_npu_skel_handle_invoke(uint64_t handle, uint32_t scalars, union npu_remote_arg *arg)
{
    static const struct {
        uint32_t scalars, bytes[2];
    } method[] = {
        [METHOD_INFO] = {NPU_SCALARS(METHOD_INFO, 0, 1, 0, 0), {sizeof(struct npu_info)}},
        [METHOD_MAP] = {NPU_SCALARS(METHOD_MAP, 1, 0, 0, 0), {sizeof(struct npu_map)}},
        [METHOD_UNMAP] = {NPU_SCALARS(METHOD_UNMAP, 1, 0, 0, 0), {sizeof(uint32_t)}},
        [METHOD_RUN] = {NPU_SCALARS(METHOD_RUN, 1, 1, 0, 0),
                        {sizeof(struct npu_run), sizeof(struct npu_ran)}},
    };
    uint32_t which = scalars >> 24 & 31;
    (void)handle;
    if (scalars == NPU_SCALARS(METHOD_OPEN, 2, 0, 0, 1)) // length of the URI, URI; handle
        return open_session(arg + 2);
    if (which == METHOD_OPEN || which > METHOD_RUN)
        return NPU_REMOTE_UNSUPPORTED;
    if (!npu_engine.open)
        return NPU_REMOTE_BAD_PARAMETER;
    if (which == METHOD_CLOSE)
        return close_session();
    if (scalars != method[which].scalars)
        return NPU_REMOTE_BAD_PARAMETER;
    for (int i = 0; i < 2 && method[which].bytes[i]; i++)
        if (!arg[i].buf.pv || arg[i].buf.n < method[which].bytes[i])
            return NPU_REMOTE_BAD_PARAMETER;
    switch (which) {
    case METHOD_INFO:
        info(arg[0].buf.pv);
        return NPU_REMOTE_OK;
    case METHOD_MAP:
        return map(arg[0].buf.pv);
    case METHOD_UNMAP:
        return unmap(*(const uint32_t *)arg[0].buf.pv);
    default:
        return run(arg[0].buf.pv, arg[1].buf.pv);
    }
}
