// SPDX-License-Identifier: GPL-3.0-or-later
// Cases for the skel: one arena with a ring, messages and tensors. The image of the arena is all
// that a run needs, here or in the emulator, and the image afterwards is all that it leaves.
#ifndef TESTS_ENGINE_HOST_NPU_DSP_CASE_H
#define TESTS_ENGINE_HOST_NPU_DSP_CASE_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "engine/host/npu/layout.h"
#include "engine/host/npu/pack.h"
#include "engine/host/npu/protocol.h"

struct dsp_case {
    uint8_t *mem;
    uint64_t size, used;
};

static inline struct npu_ring *dsp_ring(const struct dsp_case *c)
{
    return (struct npu_ring *)(void *)c->mem;
}

static inline void dsp_open(struct dsp_case *c, uint64_t size)
{
    c->used = npu_vectors(sizeof(struct npu_ring) + NPU_SLOTS * sizeof(struct npu_message));
    c->size = npu_vectors(c->used + size);
    c->mem = aligned_alloc(4096, (c->size + 4095) / 4096 * 4096);
    assert(c->mem);
    memset(c->mem, 0, c->size);
    struct npu_ring *r = dsp_ring(c);
    r->magic = NPU_MAGIC;
    r->version = NPU_VERSION;
    r->slots = NPU_SLOTS;
    r->message_bytes = NPU_MESSAGE_BYTES;
}

static inline void dsp_close(struct dsp_case *c)
{
    free(c->mem);
    c->mem = NULL;
}

static inline struct npu_tensor dsp_tensor(struct dsp_case *c, uint64_t rows, uint64_t pitch)
{
    struct npu_tensor t = {0, (uint32_t)c->used, (uint32_t)pitch, (uint32_t)rows};
    c->used = npu_vectors(c->used + rows * pitch);
    assert(c->used <= c->size);
    return t;
}

static inline float *dsp_row(const struct dsp_case *c, const struct npu_tensor *t, uint64_t r)
{
    return (float *)(void *)(c->mem + t->offset + r * t->pitch);
}

// Packed weights as part p of a message.
static inline void dsp_weights(struct dsp_case *c, struct npu_message *m, int p,
                               const struct npu_packing *w, const void *data, int64_t pitch)
{
    m->w[p] = dsp_tensor(c, (uint64_t)npu_packed_rows(w), w->row.bytes);
    m->w[p].rows = (uint32_t)w->rows;
    m->weights[p] = w->weights;
    m->halves[p] = w->halves;
    m->minima[p] = w->minima;
    npu_pack(w, data, pitch, 0, npu_packed_rows(w), c->mem + m->w[p].offset);
}

static inline struct npu_message dsp_message(enum npu_op op)
{
    struct npu_message m;
    memset(&m, 0, sizeof m);
    m.op = op;
    m.halves[0] = m.halves[1] = 1;
    m.in.arena = m.in2.arena = m.out.arena = m.kcache.arena = m.vcache.arena = NPU_NO_TENSOR;
    m.w[0].arena = m.w[1].arena = m.bias[0].arena = m.bias[1].arena = NPU_NO_TENSOR;
    m.angles.arena = m.graph.arena = NPU_NO_TENSOR;
    return m;
}

static inline struct npu_message *dsp_slot(const struct dsp_case *c, uint64_t s)
{
    return (struct npu_message *)(void *)(dsp_ring(c) + 1) + s % NPU_SLOTS;
}

static inline void dsp_send(struct dsp_case *c, const struct npu_message *m)
{
    *dsp_slot(c, ++dsp_ring(c)->head) = *m;
}

// A graph object for a matmul, prepared without knowing the weights when `any`.
static inline void dsp_graph(struct dsp_case *c, struct npu_message *m, bool any)
{
    const uint32_t forms = npu_forms(m->weights, any ? 0 : m->n_parts);
    m->graph = dsp_tensor(c, 1, npu_graph_bytes(forms, m->order, m->k, m->n_pad));
    struct npu_message prepare = *m;
    prepare.op = NPU_PREPARE;
    if (any)
        prepare.n_parts = 0;
    dsp_send(c, &prepare);
}

// What the runner reads: the size, the image. What it writes: this, the image.
struct dsp_result {
    struct npu_ran ran;
    uint64_t ns; // of processor time in RUN
};

#endif
