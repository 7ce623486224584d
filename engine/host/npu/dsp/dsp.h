// SPDX-License-Identifier: GPL-3.0-or-later
// Inside the skel. Freestanding C that compiles for Hexagon and for any host: no library, no
// division by a variable in an inner loop, no pointer in shared memory.
//
// Whatever a message says is believed only after a check, and nothing that decides where memory is
// written is read from shared memory twice: messages and graph headers are copied first.
#ifndef ENGINE_HOST_NPU_DSP_DSP_H
#define ENGINE_HOST_NPU_DSP_DSP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/host/npu/layout.h"
#include "engine/host/npu/protocol.h"

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);

struct npu_arena {
    uint8_t *base; // NULL: not mapped
    uint64_t size;
    int32_t fd;
};

// All of the skel's state.
struct npu_engine {
    bool open;
    uint32_t status; // of the message that was refused
    uint64_t done, packets;
    struct npu_arena arena[NPU_MAX_ARENAS];
};
extern struct npu_engine npu_engine;

// One message, checked and executed.
enum npu_status npu_execute(const struct npu_message *m);

// Rows [r0, r1) of a tensor, of which `width` bytes are touched from byte `at` of each row on: *out
// is row 0 (which need not be in the arena itself). Rows begin at multiples of `align` bytes.
enum npu_status npu_rows(const struct npu_tensor *t, int64_t r0, int64_t r1, uint64_t at,
                         uint64_t width, uint32_t align, uint8_t **out);

// The operators (vector.c, matmul.c).
enum npu_status npu_embed(const struct npu_message *m);
enum npu_status npu_rmsnorm(const struct npu_message *m);
enum npu_status npu_rope(const struct npu_message *m);
enum npu_status npu_attention(const struct npu_message *m);
enum npu_status npu_swiglu(const struct npu_message *m);
enum npu_status npu_add(const struct npu_message *m);
enum npu_status npu_prepare(const struct npu_message *m);
enum npu_status npu_matmul(const struct npu_message *m);

#endif
