// SPDX-License-Identifier: GPL-3.0-or-later
// One model, one machine, two sets of buffers: the machine's, on which devices work, and plain
// memory, on which the reference does the same. A case fills both with the same numbers, runs one
// task on each side and compares every byte that the task could have touched, so that a device that
// writes outside its slice is caught like one that computes wrongly inside.
#ifndef TESTS_CONTRACT_RIG_H
#define TESTS_CONTRACT_RIG_H

#include "base/rng.h"
#include "engine/graph.h"
#include "engine/ref.h"
#include "tests/contract/machines.h"

enum { RIG_TOKENS = 40, RIG_CTX = 64 };

struct rig {
    struct machine *m;
    struct model *model;
    struct buffer there[BUF_COUNT], here[BUF_COUNT]; // the machine's, the reference's
    float *scratch;
    struct rng *rng;
};

// Small, with everything that can go wrong: grouped heads, biases, rows that are no multiple of any
// tile, stacked parts that end inside a tile.
static inline struct model *rig_model(const struct encoding *enc)
{
    struct model_shape s = {
        .name = "contract",
        .arch = "qwen2",
        .n_layer = 1,
        .d_model = 128,
        .n_head = 4,
        .n_head_kv = 2,
        .d_head = 32,
        .d_ff = 160,
        .n_vocab = 109,
        .n_ctx = RIG_CTX,
        .norm_eps = 1e-5,
        .qkv_bias = true,
        .rope = {.pairs = ROPE_HALVES, .dim = 32, .theta = 10000, .factor = 1},
        .weight_bits = 8.5,
    };
    struct model *m = NULL;
    struct err e = {0};
    if (enc->block > 32) { // every row in whole blocks
        s.d_model = s.d_ff = (int)enc->block;
        s.n_head = (int)enc->block / s.d_head;
    }
    if (!CHECK_OK(model_create(&s, &m, &e), &e))
        return NULL;
    CHECK_OK(model_generate(m, enc, 7, &e), &e);
    return m;
}

// As people's files are: Q4_K, with some tensors in Q6_K (Q4_K_M), so that one stacked matmul has
// parts in different encodings.
static inline struct model *rig_mixed_model(void)
{
    struct model *m = rig_model(&encoding_q4_k);
    struct tensor *finer[] = {m ? &m->layers->v : NULL, m ? &m->layers->down : NULL};
    for (int i = 0; m && i < 2; i++) {
        struct tensor *t = finer[i];
        t->enc = &encoding_q6_k;
        t->row_bytes = encoding_size(t->enc, t->cols);
        void *data = arena_alloc(&m->arena, (size_t)(t->rows * t->row_bytes));
        tensor_generate(t, 7, data);
        t->data = data;
    }
    return m;
}

static inline int64_t rig_rows(int b)
{
    return b == BUF_KCACHE || b == BUF_VCACHE ? RIG_CTX : b == BUF_LOGITS ? 1 : RIG_TOKENS;
}

static inline bool rig_open(struct rig *r, struct machine *m, struct model *model)
{
    struct err e = {0};
    *r = (struct rig){.m = m, .model = model, .rng = rng_create(11, "contract")};
    for (int b = 0; b < BUF_COUNT; b++) {
        int64_t pitch = graph_buffer_width(&model->shape, (enum buf_id)b) * 4;
        if (!CHECK_OK(m->ops->alloc(m, rig_rows(b), pitch, &r->there[b], &e), &e))
            return false;
        r->here[b] = (struct buffer){.size = rig_rows(b) * pitch, .pitch = pitch};
        r->here[b].host = calloc(1, (size_t)r->here[b].size);
    }
    r->scratch = calloc(ref_scratch(model, RIG_CTX), sizeof *r->scratch);
    return true;
}

static inline void rig_close(struct rig *r)
{
    for (int b = 0; b < BUF_COUNT; b++) {
        if (r->there[b].size)
            r->m->ops->free(r->m, &r->there[b]);
        free(r->here[b].host);
    }
    free(r->scratch);
    rng_destroy(r->rng);
}

// The same random contents on both sides; tokens are valid ids. Drawn once: a case takes a piece of
// the pool from a random place.
static inline void rig_fill(struct rig *r)
{
    enum { POOL = 1 << 15 };
    static float pool[POOL];
    for (int i = 0; i < POOL && pool[POOL - 1] == 0; i++)
        pool[i] = (float)rng_normal(r->rng);
    for (int b = 0; b < BUF_COUNT; b++) {
        int64_t n = r->here[b].size / 4;
        if (b == BUF_TOKENS)
            for (int64_t i = 0; i < n; i++)
                ((int32_t *)r->here[b].host)[i] =
                    (int32_t)rng_below(r->rng, (uint64_t)r->model->shape.n_vocab);
        else
            memcpy(r->here[b].host, pool + rng_below(r->rng, (uint64_t)(POOL - n)),
                   (size_t)n * sizeof *pool);
        if (r->there[b].host)
            memcpy(r->there[b].host, r->here[b].host, (size_t)r->here[b].size);
    }
}

static inline void rig_bind(struct buffer *set, struct task *t)
{
    t->in = &set[t->op->in];
    t->in2 = t->op->in2 == BUF_NONE ? NULL : &set[t->op->in2];
    t->out = &set[t->op->out];
    t->kcache = t->vcache = NULL;
    if (t->op->kind == OP_ROPE || t->op->kind == OP_ATTENTION) {
        t->kcache = &set[BUF_KCACHE];
        t->vcache = &set[BUF_VCACHE];
    }
}

// Task of an operator over n tokens after n_past, whole, in the shape that the device wants. The
// graph must outlive the task.
static inline void rig_task(const struct rig *r, const struct device *d, int op, struct graph *g,
                            int n, int n_past, struct task *t)
{
    graph_build(r->model, n, n_past, g);
    graph_task(g, op, 0, t);
    if (d->caps.static_graphs && t->op->kind == OP_MATMUL)
        t->n_pad = device_size_for(&d->caps, t->n1 - t->n0);
}

// Loads the weights that the task reads and prepares its graph.
static inline bool rig_ready(struct device *d, struct task *t)
{
    struct err e = {0};
    int64_t at = 0;
    for (int p = 0; p < t->n_parts; at += t->w[p++]->rows) {
        bool matmul = t->op->kind == OP_MATMUL;
        int64_t m0 = matmul && t->m0 > at ? t->m0 - at : 0;
        int64_t m1 = matmul && t->m1 - at < t->w[p]->rows ? t->m1 - at : t->w[p]->rows;
        if (m0 < m1 && !CHECK_OK(d->ops->load(d, t->w[p], m0, m1, &e), &e))
            return false;
    }
    struct static_graph g = {t->op, t->m0, t->m1, t->n_pad, t->order};
    return !t->n_pad || CHECK_OK(d->ops->prepare(d, &g, &t->graph, &e), &e);
}

static inline void rig_map_all(struct rig *r, struct device *d, enum map_dir dir)
{
    struct err e = {0};
    for (int b = 0; b < BUF_COUNT; b++)
        CHECK_OK(d->ops->map(d, &r->there[b], 0, rig_rows(b), 0, r->there[b].pitch, dir, &e), &e);
}

static inline uint64_t rig_submit(struct device *d, const struct task *t)
{
    struct err e = {0};
    uint64_t seq = 0;
    CHECK_OK(d->ops->submit(d, t, &seq, &e), &e);
    return seq;
}

static inline void rig_wait(struct device *d, uint64_t seq)
{
    struct err e = {0};
    CHECK_OK(d->ops->wait(d, seq, WAIT_FINISH, &e), &e);
}

// Largest difference over the root mean square of what was expected, over one buffer.
static inline double rig_difference(const struct rig *r, int b)
{
    const float *x = r->there[b].host, *y = r->here[b].host;
    int64_t n = r->here[b].size / 4;
    double worst = 0, sum = 0;
    if (!memcmp(x, y, (size_t)r->here[b].size))
        return 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)x[i] - y[i]);
        worst = d > worst || d != d ? d : worst;
        sum += (double)y[i] * y[i];
    }
    return worst / (sqrt(sum / (double)n) + 1e-30);
}

#endif
