// SPDX-License-Identifier: GPL-3.0-or-later
// What the tests of the host devices share: a model made by hand (random weights in any encoding,
// odd shapes), tasks over its buffers, and the comparison against the reference with derived
// bounds.
#ifndef TESTS_ENGINE_HOST_RIG_H
#define TESTS_ENGINE_HOST_RIG_H

#include <stdlib.h>
#include <string.h>
#include "engine/graph.h"
#include "engine/host/host.h"
#include "engine/ref.h"
#include "tests/harness.h"

// A host machine from configuration text; NULL (and a failed check) when it does not open.
static inline struct machine *rig_open(const char *text)
{
    struct conf *c;
    struct machine *m = NULL;
    struct err e = {0};
    if (!CHECK_OK(conf_open_text("test", text, &c, &e), &e))
        return NULL;
    int rc = machine_host_open(c, &m, &e);
    conf_close(c);
    return CHECK_OK(rc, &e) ? m : NULL;
}

static inline float rig_noise(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) * 0x1p-24f * 2 - 1;
}

static inline struct buffer rig_buffer(struct machine *m, int64_t rows, int64_t width,
                                       uint32_t *seed)
{
    struct buffer b = {0};
    struct err e = {0};
    if (CHECK_OK(m->ops->alloc(m, rows, width * 4, &b, &e), &e) && seed)
        for (int64_t i = 0; i < rows * width; i++)
            ((float *)b.host)[i] = rig_noise(seed);
    return b;
}

static inline float *rig_row(const struct buffer *b, int64_t r)
{
    return (float *)(void *)((char *)b->host + r * b->pitch);
}

static inline struct tensor rig_tensor(const struct encoding *enc, int64_t rows, int64_t cols,
                                       uint32_t id, uint32_t *seed)
{
    struct tensor t = {.enc = enc, .rows = rows, .cols = cols, .id = id};
    t.row_bytes = encoding_size(enc, cols);
    char *data = malloc((size_t)(rows * t.row_bytes));
    float *row = malloc((size_t)cols * sizeof *row);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < cols; i++)
            row[i] = rig_noise(seed);
        enc->encode(row, data + r * t.row_bytes, cols);
    }
    free(row);
    t.data = data;
    snprintf(t.name, sizeof t.name, "t%u", id);
    return t;
}

static inline void rig_tensor_free(struct tensor *t)
{
    free((void *)(uintptr_t)t->data);
    t->data = NULL;
}

// Submits and waits.
static inline int rig_run(struct device *d, const struct task *t)
{
    struct err e = {0};
    uint64_t seq = 0;
    if (!CHECK_OK(d->ops->supports(d, t, &e), &e) || !CHECK_OK(d->ops->submit(d, t, &seq, &e), &e))
        return -1;
    return CHECK_OK(d->ops->wait(d, seq, WAIT_FINISH, &e), &e) ? 0 : -1;
}

// One matmul: parts, weights, operands, the reference's result.
struct rig_mm {
    struct machine *machine;
    struct model model;
    struct op op;
    struct task task;
    struct tensor w[OP_MAX_PARTS], bias[OP_MAX_PARTS];
    struct buffer in, out, want;
    bool quantised; // the device rounds activations to int8
};

// rows[p] = 0 ends the parts. n tokens.
static inline void rig_mm_open(struct rig_mm *r, struct machine *m, const struct encoding *enc,
                               const int rows[OP_MAX_PARTS], bool bias, int k, int n, uint32_t seed)
{
    memset(r, 0, sizeof *r);
    r->machine = m;
    r->quantised = enc->block > 1;
    r->model.has_data = true;
    r->model.shape = (struct model_shape){.name = "rig",
                                          .n_layer = 1,
                                          .d_model = k,
                                          .n_head = 1,
                                          .n_head_kv = 1,
                                          .d_head = k,
                                          .d_ff = k,
                                          .weight_bits = 8};
    r->op = (struct op){
        .kind = OP_MATMUL, .name = "mm", .k = k, .in = BUF_H, .in2 = BUF_NONE, .out = BUF_T};
    r->task = (struct task){.op = &r->op, .model = &r->model, .graph = -1, .n1 = n};
    for (int p = 0; p < OP_MAX_PARTS && rows[p]; p++) {
        r->w[p] = rig_tensor(enc, rows[p], k, (uint32_t)p, &seed);
        r->task.w[p] = &r->w[p];
        if (bias) {
            r->bias[p] = rig_tensor(&encoding_f32, 1, rows[p], 8 + (uint32_t)p, &seed);
            r->task.bias[p] = &r->bias[p];
        }
        r->op.m += rows[p];
        r->task.n_parts++;
    }
    r->task.m1 = r->op.m;
    r->in = rig_buffer(m, n, k, &seed);
    r->out = rig_buffer(m, n, r->op.m, NULL);
    r->want = rig_buffer(m, n, r->op.m, NULL);
    float *scratch = malloc(ref_scratch(&r->model, k) * sizeof *scratch);
    r->task.in = &r->in;
    r->task.out = &r->want;
    ref_run(&r->task, scratch);
    r->task.out = &r->out;
    free(scratch);
}

static inline void rig_mm_close(struct rig_mm *r)
{
    for (int p = 0; p < OP_MAX_PARTS; p++) {
        rig_tensor_free(&r->w[p]);
        rig_tensor_free(&r->bias[p]);
    }
    r->machine->ops->free(r->machine, &r->in);
    r->machine->ops->free(r->machine, &r->out);
    r->machine->ops->free(r->machine, &r->want);
}

// Bound on |got - want| of one output element. F32 sums: 1e-5 of the sum of magnitudes. An int8
// activation block of largest value a is rounded by at most half a step, a / 254, so each weight of
// the block contributes at most |w| a / 254 more.
static inline double rig_mm_bound(const struct rig_mm *r, int m, int n, float *row)
{
    int p = 0, k = r->op.k;
    while (m >= r->w[p].rows)
        m -= (int)r->w[p++].rows;
    const struct tensor *w = &r->w[p];
    const float *x = rig_row(&r->in, n);
    double bound = 0;
    w->enc->decode((const char *)w->data + m * w->row_bytes, row, k);
    for (int b = 0; b < k; b += 32) {
        double a = 0;
        for (int i = b; i < b + 32 && i < k; i++)
            a = fmax(a, fabs(x[i]));
        for (int i = b; i < b + 32 && i < k; i++)
            bound += fabs(row[i]) * (1e-5 * fabs(x[i]) + (r->quantised ? a / 254 : 0));
    }
    return bound + 1e-6;
}

// Compares the task's slice with the reference and checks that nothing else was written.
static inline bool rig_mm_check(const struct rig_mm *r, const char *what)
{
    const struct task *t = &r->task;
    float *row = malloc((size_t)r->op.k * sizeof *row);
    bool ok = true;
    for (int n = 0; n < r->want.size / r->want.pitch && ok; n++)
        for (int m = 0; m < r->op.m && ok; m++) {
            bool inside = n >= t->n0 && n < t->n1 && m >= t->m0 && m < t->m1;
            double got = rig_row(&r->out, n)[m], want = inside ? rig_row(&r->want, n)[m] : 0;
            double bound = inside ? rig_mm_bound(r, m, n, row) : 0;
            if (!(fabs(got - want) <= bound)) {
                test_note("%s: %s m=%d k=%d slice [%d:%d] tokens [%d:%d]: out[%d][%d] = %.9g, "
                          "expected %.9g +- %.2g",
                          what, r->w[0].enc->name, r->op.m, r->op.k, t->m0, t->m1, t->n0, t->n1, n,
                          m, got, want, bound);
                ok = CHECK(false);
            }
        }
    free(row);
    return CHECK(ok);
}

#endif
