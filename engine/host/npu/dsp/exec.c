// SPDX-License-Identifier: GPL-3.0-or-later
// From a message to an operator, and the one check through which every address in shared memory is
// made.
#include "engine/host/npu/dsp/dsp.h"

enum npu_status npu_rows(const struct npu_tensor *t, int64_t r0, int64_t r1, uint64_t at,
                         uint64_t width, uint32_t align, uint8_t **out)
{
    if (t->arena >= NPU_MAX_ARENAS || !npu_engine.arena[t->arena].base)
        return NPU_BAD_ARENA;
    const struct npu_arena *a = &npu_engine.arena[t->arena];
    if (t->arena == 0 && t->offset < NPU_RING_BYTES) // a message may not rewrite messages
        return NPU_BAD_BOUNDS;
    if (r0 < 0 || r0 > r1 || r1 > (int64_t)t->rows || width > UINT32_MAX || at > UINT32_MAX)
        return NPU_BAD_BOUNDS;
    if (t->offset % align || (r1 - r0 > 1 && (t->pitch % align || at + width > t->pitch)))
        return NPU_BAD_SHAPE;
    // Rows are below 2^32, as are pitches and offsets: nothing here exceeds 2^64.
    uint64_t first = (uint64_t)r0 * t->pitch;
    uint64_t last = r1 > r0 ? (uint64_t)(r1 - 1) * t->pitch : first;
    if (first % align || last > UINT64_MAX - ((uint64_t)t->offset + at + width))
        return NPU_BAD_BOUNDS;
    if (t->offset + last + at + width > a->size)
        return NPU_BAD_BOUNDS;
    *out = a->base + t->offset;
    return NPU_OK;
}

enum npu_status npu_execute(const struct npu_message *m)
{
    // Sizes that no shape reaches: products of three of them and a size of a number stay in 64
    // bits.
    enum { MOST = 1 << 20 };
    if (m->m < 0 || m->m > MOST || m->k < 0 || m->k > MOST || m->n0 < 0 || m->n1 < m->n0 ||
        m->n1 > MOST || m->n_past < 0 || m->n_past > MOST || m->out_n0 < 0 || m->out_n0 > MOST ||
        m->n_pad < 0 || m->n_pad > NPU_MAX_TOKENS)
        return m->op < NPU_OPS ? NPU_BAD_SHAPE : NPU_BAD_OP;
    switch (m->op) {
    case NPU_NOP:
        return NPU_OK;
    case NPU_PREPARE:
        return npu_prepare(m);
    case NPU_EMBED:
        return npu_embed(m);
    case NPU_RMSNORM:
        return npu_rmsnorm(m);
    case NPU_MATMUL:
        return npu_matmul(m);
    case NPU_ROPE:
        return npu_rope(m);
    case NPU_ATTENTION:
        return npu_attention(m);
    case NPU_SWIGLU:
        return npu_swiglu(m);
    case NPU_ADD:
        return npu_add(m);
    default:
        return NPU_BAD_OP;
    }
}
