// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as messages to the DSP: up to eight of them, and the rest as what the tensors hold. No
// byte outside the arena is read or written, and the session ends in a reason and a status.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "engine/host/npu/dsp/skel.h"
#include "engine/host/npu/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES = 8, DATA = 24 << 10 };
static uint8_t *arena;

int HAP_mmap_get(int fd, void **address, uint64_t *physical)
{
    *address = arena;
    *physical = 0;
    return fd != 0;
}

int HAP_mmap_put(int fd)
{
    return fd != 0;
}

uint64_t HAP_perf_get_qtimer_count(void)
{
    return 0;
}

static void must(int ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint64_t bytes = NPU_RING_BYTES + DATA;
    if (!arena)
        arena = aligned_alloc(NPU_VECTOR, bytes);
    must(arena != NULL);
    memset(arena, 0, bytes);
    struct npu_ring *ring = (struct npu_ring *)(void *)arena;
    struct npu_message *slot = (struct npu_message *)(void *)(ring + 1);
    ring->magic = NPU_MAGIC;
    ring->version = NPU_VERSION;
    ring->slots = NPU_SLOTS;
    ring->message_bytes = NPU_MESSAGE_BYTES;
    while (ring->head < MESSAGES && size >= sizeof *slot) {
        memcpy(slot + ++ring->head, data, sizeof *slot);
        slot[ring->head].op %= NPU_OPS + 1;
        data += sizeof *slot;
        size -= sizeof *slot;
    }
    memcpy(arena + NPU_RING_BYTES, data, size < DATA ? size : DATA);

    const uint64_t head = ring->head;
    struct npu_map map = {.size = bytes};
    struct npu_run run = {.idle_turns = 1};
    struct npu_ran ran = {0};
    union npu_remote_arg arg[3] = {{{NULL, 0}}};
    must(partita_npu_skel_handle_invoke(0, NPU_SCALARS(METHOD_OPEN, 2, 0, 0, 1), arg) == 0);
    arg[0].buf.pv = &map;
    arg[0].buf.n = sizeof map;
    must(partita_npu_skel_handle_invoke(1, NPU_SCALARS(METHOD_MAP, 1, 0, 0, 0), arg) == 0);
    arg[0].buf.pv = &run;
    arg[0].buf.n = sizeof run;
    arg[1].buf.pv = &ran;
    arg[1].buf.n = sizeof ran;
    must(partita_npu_skel_handle_invoke(1, NPU_SCALARS(METHOD_RUN, 1, 1, 0, 0), arg) == 0);
    must(ring->head == head && ring->magic == NPU_MAGIC); // nobody writes the ring but the loop
    must(ran.status < NPU_STATUS_COUNT && ring->done == ran.done);
    must(ran.status ? ran.reason == NPU_RAN_FAILED && ran.done < head
                    : ran.reason == NPU_RAN_IDLE && ran.done == head);
    must(partita_npu_skel_handle_invoke(1, NPU_SCALARS(METHOD_CLOSE, 0, 0, 1, 0), arg) == 0);
    return 0;
}
