// SPDX-License-Identifier: GPL-3.0-or-later
// One kernel of the DSP as a case, for counting what it costs.
#ifndef TESTS_ENGINE_HOST_NPU_DSP_KERNEL_H
#define TESTS_ENGINE_HOST_NPU_DSP_KERNEL_H

#include "tests/engine/host/npu/dsp_case.h"

struct dsp_kernel {
    const char *name;
    enum npu_op op;
    const struct encoding *enc; // MATMUL only
    int m, k, n;
};

static uint32_t dsp_seed; // the same numbers for a kernel each time

static inline float dsp_noise(void)
{
    dsp_seed = dsp_seed * 1664525u + 1013904223u;
    return (float)(dsp_seed >> 8) * 0x1p-24f * 2 - 1;
}

static inline struct npu_tensor dsp_filled(struct dsp_case *c, int rows, int width)
{
    struct npu_tensor t = dsp_tensor(c, (uint64_t)rows, (uint64_t)width * 4);
    for (int i = 0; i < rows * width; i++)
        dsp_row(c, &t, 0)[i] = dsp_noise();
    return t;
}

static inline void dsp_kernel_weights(struct dsp_case *c, struct npu_message *m,
                                      const struct dsp_kernel *k)
{
    const struct npu_packing p = npu_packing(k->enc, k->m, k->k, false);
    const int64_t pitch = encoding_size(k->enc, k->k);
    char *data = malloc((size_t)(k->m * pitch));
    float *row = malloc((size_t)k->k * sizeof *row);
    for (int r = 0; r < k->m; r++) {
        for (int i = 0; i < k->k; i++)
            row[i] = dsp_noise();
        k->enc->encode(row, data + r * pitch, k->k);
    }
    dsp_weights(c, m, 0, &p, data, pitch);
    free(row);
    free(data);
}

// Opens the case and sends a matmul's PREPARE; the result is the message to count.
static inline struct npu_message dsp_kernel(struct dsp_case *c, const struct dsp_kernel *k)
{
    struct npu_message m = dsp_message(k->op);
    dsp_seed = 1;
    dsp_open(c, (uint64_t)32 << 20);
    m.m = m.m1 = k->m, m.k = k->k, m.n1 = m.n_pad = k->n;
    m.n_head = 32, m.n_head_kv = 4, m.d_head = 64, m.scale = 0.125f;
    m.order = 1;
    m.n_parts = 1;
    m.in = dsp_filled(c, k->n, k->op == NPU_MATMUL ? k->k : 2 * k->m);
    m.out = dsp_filled(c, k->n, k->m);
    if (k->op == NPU_ATTENTION) {
        m.n_past = 255;
        m.kcache = dsp_filled(c, 256, 256);
        m.vcache = dsp_filled(c, 256, 256);
    } else if (k->enc) {
        dsp_kernel_weights(c, &m, k);
        dsp_graph(c, &m, false);
    } else {
        m.w[0] = dsp_filled(c, 1, k->m);
    }
    c->size = c->used;
    return m;
}

#endif
