// SPDX-License-Identifier: GPL-3.0-or-later
// The process that plays the DSP: it maps what the host shares, takes calls from the mailbox, and
// hands them to the skel as the FastRPC dispatcher would, each lane on a thread of its own. It is
// linked with the skel's objects, for Hexagon (run by qemu-hexagon) or for this machine.
#include "tests/hexagon/shell.h"

#include <stdbool.h>
#include <stddef.h>
#include "engine/host/npu/dsp/skel.h"
#include "engine/host/npu/protocol.h"
#include "tests/hexagon/standin.h"

enum { MAPPINGS = NPU_MAX_ARENAS + 8 };

static struct standin_box *box;
static struct mapping {
    void *base; // NULL: free
    uint64_t size;
    int fd;
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

// The skel reads the clock before and after each message: that counts messages.
uint64_t HAP_perf_get_qtimer_count(void)
{
    bool begin = clock_reads++ % 2 == 0;
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
        if (mapping[i].base)
            continue;
        void *p = shell_map(box->host, c->fd, c->size);
        if (!p)
            return NO_MEMORY;
        mapping[i] = (struct mapping){p, c->size, c->fd};
        return NPU_REMOTE_OK;
    }
    return NO_MEMORY;
}

static int unmap(const struct standin_call *c)
{
    struct mapping *m = find(c->fd);
    if (!m)
        return NPU_REMOTE_BAD_PARAMETER;
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
    if (c->scalars & 15) // a handle comes out
        c->handle = arg[buffers].h64;
    return rc;
}

static void serve(struct standin_call *c)
{
    for (;;) {
        uint32_t state = shell_load(&c->state);
        if (state != CALL_MADE) {
            shell_sleep(&c->state, state);
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
