// SPDX-License-Identifier: GPL-3.0-or-later
// The process that plays the DSP: it maps what the host shares, takes calls from the mailbox, and
// hands them to the skel as the FastRPC dispatcher would, each lane on a thread of its own. It is
// linked with the skel's objects, for Hexagon (run by qemu-hexagon) or for this machine.
//
// `stale` plays a DSP behind a cache that nobody else looks into. The skel works on copies; what
// the host writes comes in, what the skel writes goes out only when RUN returns. Each word of the
// ring has one writer, so these are moved by writer: the host's by the idle lane, all the time,
// the DSP's by RUN's. Elsewhere a word goes where it differs from what both sides last agreed on,
// in before each message and out at the end, both by RUN's lane. Copies are never given back, since
// the other lane may be looking at them.
#include "tests/hexagon/shell.h"

#include <stdbool.h>
#include <stddef.h>
#include "engine/host/npu/dsp/skel.h"
#include "engine/host/npu/dsp/sync.h"
#include "engine/host/npu/protocol.h"
#include "tests/hexagon/standin.h"

enum { MAPPINGS = NPU_MAX_ARENAS + 8 };

static struct standin_box *box;
static struct mapping {
    void *base; // what the skel gets; NULL: free
    uint64_t size;
    int fd;
    uint64_t *memory, *agreed; // stale: what the host sees; NULL: base is that
} mapping[MAPPINGS];
static uint32_t clock_reads;

static struct mapping *find(int fd)
{
    for (int i = 0; i < MAPPINGS; i++)
        if (mapping[i].base && mapping[i].fd == fd)
            return &mapping[i];
    return NULL;
}

int HAP_mmap_get(int fd, void **address, uint64_t *physical)
{
    struct mapping *m = find(fd);
    if (!m)
        return NPU_REMOTE_FAILED;
    *address = m->base;
    *physical = 0;
    return NPU_REMOTE_OK;
}

int HAP_mmap_put(int fd)
{
    return find(fd) ? NPU_REMOTE_OK : NPU_REMOTE_FAILED;
}

// ---- stale ----

static bool is_ring(const struct mapping *m)
{
    return ((const struct npu_ring *)(const void *)m->memory)->magic == NPU_MAGIC;
}

static void copy_in(struct mapping *m, void *memory)
{
    uint64_t *from = memory, *base = shell_memory(m->size);
    m->agreed = shell_memory(m->size);
    for (uint64_t i = 0; base && m->agreed && i < m->size / 8; i++)
        base[i] = m->agreed[i] = from[i];
    m->base = m->agreed ? base : NULL;
    m->memory = from;
}

// The host's words of the ring, `head` last.
static void ring_in(void)
{
    for (int i = 0; i < MAPPINGS; i++) {
        struct mapping *m = &mapping[i];
        if (!m->base || !m->memory || !is_ring(m))
            continue;
        const struct npu_ring *from = (const struct npu_ring *)(const void *)m->memory;
        struct npu_ring *to = m->base;
        const uint64_t head = npu_load_acquire(&from->head);
        for (uint64_t s = to->head + 1; s <= head; s++) {
            const uint64_t slot = s % NPU_SLOTS * (NPU_MESSAGE_BYTES / 8);
            const uint64_t *message = (const uint64_t *)(const void *)(from + 1) + slot;
            uint64_t *copy = (uint64_t *)(void *)(to + 1) + slot;
            for (size_t w = 0; w < offsetof(struct npu_message, began) / 8; w++)
                copy[w] = message[w];
        }
        to->stop = npu_load_acquire32(&from->stop);
        npu_store_release(&to->wake, npu_load_acquire(&from->wake));
        npu_store_release(&to->head, head);
    }
}

static void data_in(void)
{
    for (struct mapping *m = mapping; m < mapping + MAPPINGS; m++)
        for (uint64_t i = 0; m->base && m->memory && !is_ring(m) && i < m->size / 8; i++)
            if (m->memory[i] != m->agreed[i])
                ((uint64_t *)m->base)[i] = m->agreed[i] = m->memory[i];
}

static void all_out(void)
{
    for (struct mapping *m = mapping; m < mapping + MAPPINGS; m++) {
        if (!m->base || !m->memory)
            continue;
        const uint64_t *from = m->base;
        for (uint64_t i = 0; !is_ring(m) && i < m->size / 8; i++)
            if (from[i] != m->agreed[i])
                m->memory[i] = m->agreed[i] = from[i];
        if (!is_ring(m))
            continue;
        struct npu_ring *ring = (struct npu_ring *)(void *)m->memory;
        const struct npu_ring *mine = m->base;
        for (int s = 0; s < NPU_SLOTS; s++) {
            ((struct npu_message *)(ring + 1))[s].began =
                ((struct npu_message *)(mine + 1))[s].began;
            ((struct npu_message *)(ring + 1))[s].ended =
                ((struct npu_message *)(mine + 1))[s].ended;
        }
        ring->packets = mine->packets;
        ring->status = mine->status;
        npu_store_release(&ring->done, mine->done);
    }
}

// ---- calls ----

// The skel reads the clock before and after each message: that counts messages.
uint64_t HAP_perf_get_qtimer_count(void)
{
    bool begin = clock_reads++ % 2 == 0;
    if (begin && box->stale)
        data_in();
    box->messages = clock_reads / 2;
    if (box->die_at && clock_reads / 2 == box->die_at - begin) {
        if (!box->die_after && !begin)
            shell_die();
        if (box->die_after && begin)
            shell_die_in(box->die_after);
    }
    return shell_ns() * 12 / 625; // 19.2 MHz: fits for 48 years
}

static int map(const struct standin_call *c)
{
    enum { NO_MEMORY = 2, ALREADY = 26 };
    if (find(c->fd))
        return ALREADY;
    for (int i = 0; i < MAPPINGS; i++) {
        if (mapping[i].base || mapping[i].memory)
            continue;
        void *p = shell_map(box->host, c->fd, c->size);
        if (!p)
            return NO_MEMORY;
        mapping[i] = (struct mapping){.size = c->size, .fd = c->fd};
        if (box->stale)
            copy_in(&mapping[i], p);
        else
            mapping[i].base = p;
        return mapping[i].base ? NPU_REMOTE_OK : NO_MEMORY;
    }
    return NO_MEMORY;
}

static int unmap(const struct standin_call *c)
{
    struct mapping *m = find(c->fd);
    if (!m)
        return NPU_REMOTE_BAD_PARAMETER;
    if (!m->memory)
        shell_unmap(m->base, m->size);
    m->base = NULL;
    return NPU_REMOTE_OK;
}

static int invoke(struct standin_call *c)
{
    union npu_remote_arg arg[STANDIN_BUFFERS + 1] = {0};
    uint32_t buffers = (c->scalars >> 16 & 255) + (c->scalars >> 8 & 255), at = 0;
    for (uint32_t i = 0; i < buffers; i++) {
        arg[i].buf.pv = c->data + at;
        arg[i].buf.n = c->bytes[i];
        at += (c->bytes[i] + 7) / 8 * 8;
    }
    arg[buffers].h64 = c->handle;
    int rc = partita_npu_skel_handle_invoke(c->handle, c->scalars, arg);
    if (box->stale && c == &box->lane[LANE_RUN])
        all_out();
    if (c->scalars & 15) // a handle comes out
        c->handle = arg[buffers].h64;
    return rc;
}

static void serve(struct standin_call *c)
{
    for (;;) {
        uint32_t state = shell_load(&c->state);
        if (state != CALL_MADE) {
            const bool idle = box->stale && c == &box->lane[LANE_OTHERS];
            if (idle)
                ring_in();
            shell_sleep(&c->state, state, idle ? 20 : 500000);
            if (shell_parent() != box->host)
                shell_leave();
            continue;
        }
        if (c->kind == CALL_LEAVE)
            shell_leave();
        c->rc = c->kind == CALL_MAP ? map(c) : c->kind == CALL_UNMAP ? unmap(c) : invoke(c);
        shell_store(&c->state, CALL_ANSWERED);
        shell_wake(&c->state);
    }
}

static void serve_others(void)
{
    serve(&box->lane[LANE_OTHERS]);
}

void shell_main(void)
{
    box = shell_map(0, STANDIN_FD, sizeof *box);
    if (!box || box->magic != STANDIN_MAGIC)
        shell_leave();
    shell_thread(serve_others);
    serve(&box->lane[LANE_RUN]);
}
