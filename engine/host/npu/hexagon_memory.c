// SPDX-License-Identifier: GPL-3.0-or-later
// Memory that host and DSP share: arenas, and which of them the DSP reaches now.
//
// A DSP has 32-bit addresses, and a session maps some 3.5 GB at most: large models do not fit. So
// mapping is separate from allocation. A message names arenas, and these must be mapped from its
// submission to its completion; each arena remembers the last message that named it. When the
// driver (or the limit `window`) refuses a mapping, the arena that was named longest ago is taken
// from the DSP, after its last message, and the mapping is tried again. What the machine itself
// needs all the time (ring, buffers, graphs) is pinned.
//
// Invariant: `mapped` counts the bytes of the arenas whose `mapped` is set.
#include <assert.h>
#include <string.h>
#include "engine/host/npu/hexagon_ring.h"

enum { PAGE = 4096 };

static int64_t whole_pages(int64_t size)
{
    return (size + PAGE - 1) / PAGE * PAGE;
}

void *hexagon_memory(struct hexagon_session *s, int64_t size)
{
    return fastrpc_alloc(&s->rpc, whole_pages(size)); // of a kernel: zeroed
}

int hexagon_arena_adopt(struct hexagon_session *s, void *base, int64_t size, uint32_t *id,
                        struct err *e)
{
    uint32_t i = 0;
    while (i < NPU_MAX_ARENAS && s->arena[i].base)
        i++;
    if (i == NPU_MAX_ARENAS)
        return err_set(e, ERR_MEMORY, "npu: all %d pieces of shared memory are in use",
                       NPU_MAX_ARENAS);
    int fd = s->rpc.rpcmem_to_fd(base);
    if (fd < 0)
        return err_set(e, ERR_DEVICE, "npu: shared memory without a file descriptor");
    s->arena[i] = (struct hexagon_arena){.base = base, .fd = fd, .size = whole_pages(size)};
    *id = i;
    return 0;
}

int hexagon_arena_new(struct hexagon_session *s, int64_t size, bool pinned, uint32_t *id,
                      struct err *e)
{
    void *base = hexagon_memory(s, size);
    if (!base)
        return err_set(e, ERR_MEMORY, "npu: no shared memory for %.1f MB", (double)size / 1e6);
    int rc = hexagon_arena_adopt(s, base, size, id, e);
    if (rc < 0)
        s->rpc.rpcmem_free(base);
    else
        s->arena[*id].pinned = pinned;
    return rc;
}

static void unmap(struct hexagon_session *s, uint32_t id)
{
    struct hexagon_arena *a = &s->arena[id];
    if (!a->mapped)
        return;
    union fastrpc_arg arg = {.buf = {&id, sizeof id}};
    // Of a DSP that is gone there is nothing to be undone but the driver's own half.
    if (!atomic_load(&s->failed))
        s->rpc.invoke(s->handle, fastrpc_scalars(METHOD_UNMAP, 1, 0), &arg);
    s->rpc.munmap(s->opt.domain, a->fd, a->base, (size_t)a->size);
    a->mapped = false;
    s->mapped -= a->size;
}

// Takes the arena that was named longest ago from the DSP. False: there is none to take.
static int evict(struct hexagon_session *s, bool *taken, struct err *e)
{
    uint32_t oldest = NPU_MAX_ARENAS;
    for (uint32_t i = 0; i < NPU_MAX_ARENAS; i++) {
        const struct hexagon_arena *a = &s->arena[i];
        if (a->base && a->mapped && !a->pinned && a->last <= s->head &&
            (oldest == NPU_MAX_ARENAS || a->last < s->arena[oldest].last))
            oldest = i;
    }
    *taken = oldest < NPU_MAX_ARENAS;
    if (!*taken)
        return 0;
    int rc = hexagon_wait(s, s->arena[oldest].last, 0, e);
    if (rc == 0)
        unmap(s, oldest);
    return rc;
}

// The driver's code; 0: mapped.
static int try_map(struct hexagon_session *s, uint32_t id)
{
    struct hexagon_arena *a = &s->arena[id];
    int rc = s->rpc.mmap(s->opt.domain, a->fd, a->base, 0, (size_t)a->size, FASTRPC_MAP_FD);
    if (rc)
        return rc;
    struct npu_map in = {.id = id, .fd = a->fd, .size = (uint64_t)a->size};
    union fastrpc_arg arg = {.buf = {&in, sizeof in}};
    rc = s->rpc.invoke(s->handle, fastrpc_scalars(METHOD_MAP, 1, 0), &arg);
    if (rc)
        s->rpc.munmap(s->opt.domain, a->fd, a->base, (size_t)a->size);
    return rc;
}

int hexagon_arena_map(struct hexagon_session *s, uint32_t id, struct err *e)
{
    struct hexagon_arena *a = &s->arena[id];
    assert(id < NPU_MAX_ARENAS && a->base);
    a->last = s->head + 1; // the message that is being made
    while (!a->mapped) {
        int rc = hexagon_failure(s, e);
        if (rc < 0)
            return rc;
        bool full = s->opt.window && s->mapped + a->size > s->opt.window, taken = false;
        rc = full ? 0 : try_map(s, id);
        if (rc == 0 && !full) {
            a->mapped = true;
            s->mapped += a->size;
            break;
        }
        if (fastrpc_lost(rc)) {
            hexagon_fail(s, "restarted");
            return hexagon_failure(s, e);
        }
        if (!full && !fastrpc_full(rc))
            return err_set(e, ERR_DEVICE, "npu: %.1f MB cannot be mapped to the Hexagon DSP: %s",
                           (double)a->size / 1e6, fastrpc_error(rc));
        int failed = evict(s, &taken, e);
        if (failed < 0)
            return failed;
        if (!taken)
            return err_set(e, ERR_MEMORY,
                           "npu: the Hexagon DSP's %.1f MB of mappings leave no room for another "
                           "%.1f MB%s%s",
                           (double)s->mapped / 1e6, (double)a->size / 1e6, full ? "" : ": ",
                           full ? " (hexagon.window)" : fastrpc_error(rc));
    }
    return 0;
}

void hexagon_arena_drop(struct hexagon_session *s, uint32_t id, bool release)
{
    struct hexagon_arena *a = &s->arena[id];
    if (s->running && a->mapped)
        hexagon_wait(s, a->last < s->head ? a->last : s->head, 0, NULL);
    unmap(s, id);
    if (release)
        s->rpc.rpcmem_free(a->base);
    *a = (struct hexagon_arena){0};
}

// ---- pools ----

// Arenas of one kind (weights, graphs) grow from small to the configured size, so that a small
// model takes little and a large one few.
static int64_t next_size(const struct hexagon_session *s, const struct hexagon_pool *p,
                         int64_t want)
{
    enum { FIRST = 1 << 20 };
    int64_t size = FIRST;
    for (int i = 0; i < p->n && size < s->opt.arena; i++)
        size *= 2;
    size = size < s->opt.arena ? size : s->opt.arena;
    return size > want ? size : want;
}

int hexagon_pool_take(struct hexagon_session *s, struct hexagon_pool *p, int64_t size,
                      struct hexagon_place *out, struct err *e)
{
    size = hexagon_pool_bytes(size);
    int i = 0;
    while (i < p->n && p->piece[i].used + size > s->arena[p->piece[i].id].size)
        i++;
    if (i == p->n) {
        if (p->n == HEXAGON_PIECES)
            return err_set(e, ERR_MEMORY, "npu: more than %d pieces of shared memory",
                           HEXAGON_PIECES);
        uint32_t id;
        int rc = hexagon_arena_new(s, next_size(s, p, size), false, &id, e);
        if (rc < 0)
            return rc;
        p->piece[p->n++] = (struct hexagon_piece){.id = id};
    }
    *out = (struct hexagon_place){p->piece[i].id, p->piece[i].used};
    p->piece[i].used += size;
    p->piece[i].live += size;
    return 0;
}

// A piece of which nothing is left goes back to the system.
void hexagon_pool_give(struct hexagon_session *s, struct hexagon_pool *p,
                       const struct hexagon_place *at, int64_t size)
{
    int i = 0;
    while (i < p->n && p->piece[i].id != at->id)
        i++;
    assert(i < p->n);
    p->piece[i].live -= hexagon_pool_bytes(size);
    if (p->piece[i].live > 0)
        return;
    hexagon_arena_drop(s, at->id, true);
    p->piece[i] = p->piece[--p->n];
}
