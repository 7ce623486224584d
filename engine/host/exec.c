// SPDX-License-Identifier: GPL-3.0-or-later
// The operators, split over a team. Chunks are tokens, or (token, key/value head) pairs for the
// attention: each is computed by one thread from inputs that no other chunk of the task writes, so
// the result does not depend on the number of threads. exec_matmul.c has the matmul.
#include "engine/host/exec.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/ref.h"

// Tokens per chunk, so that a chunk is worth handing to another thread (some microseconds).
static int tokens_per_chunk(int width)
{
    int n = 8192 / (width > 0 ? width : 1);
    return n > 1 ? n : 1;
}

struct job {
    struct exec *x;
    const struct task *t;
    int per_chunk;
};

static void run_tokens(struct exec *x, const struct task *t, team_fn *fn, int width)
{
    struct job j = {x, t, tokens_per_chunk(width)};
    team_run(x->team, fn, &j, (t->n1 - t->n0 + j.per_chunk - 1) / j.per_chunk);
}

#define FOR_TOKENS(j, chunk, n)                                                                    \
    for (int n = (j)->t->n0 + (chunk) * (j)->per_chunk,                                            \
             n##_end = n + (j)->per_chunk < (j)->t->n1 ? n + (j)->per_chunk : (j)->t->n1;          \
         n < n##_end; n++)

static void embed(void *ctx, int chunk, int worker)
{
    const struct job *j = ctx;
    const struct tensor *w = j->t->w[0];
    (void)worker;
    FOR_TOKENS(j, chunk, n)
    {
        int32_t id = *(const int32_t *)(const void *)exec_row(j->t->in, n);
        assert(id >= 0 && id < w->rows);
        w->enc->decode((const char *)w->data + id * w->row_bytes, exec_row(j->t->out, n), w->cols);
    }
}

static void rmsnorm(void *ctx, int chunk, int worker)
{
    const struct job *j = ctx;
    float eps = (float)j->t->model->shape.norm_eps;
    (void)worker;
    FOR_TOKENS(j, chunk, n)
    j->x->kernel.rmsnorm(exec_row(j->t->in, n), j->t->w[0]->data, eps, j->t->op->m,
                         exec_row(j->t->out, n));
}

static void swiglu(void *ctx, int chunk, int worker)
{
    const struct job *j = ctx;
    int f = j->t->op->m;
    (void)worker;
    FOR_TOKENS(j, chunk, n)
    {
        const float *x = exec_row(j->t->in, n);
        j->x->kernel.swiglu(x, x + f, f, exec_row(j->t->out, n));
    }
}

static void add(void *ctx, int chunk, int worker)
{
    const struct job *j = ctx;
    (void)worker;
    FOR_TOKENS(j, chunk, n)
    j->x->kernel.add(exec_row(j->t->out, n), exec_row(j->t->in, n), j->t->op->m);
}

static void rotate(const struct rope *r, const float *angle, const float *in, float *out)
{
    int half = r->dim / 2;
    for (int i = 0; i < half; i++) {
        int a = r->pairs == ROPE_INTERLEAVED ? 2 * i : i;
        int b = r->pairs == ROPE_INTERLEAVED ? a + 1 : a + half;
        float c = angle[2 * i], s = angle[2 * i + 1], p = in[a], q = in[b];
        out[a] = p * c - q * s;
        out[b] = p * s + q * c;
    }
}

static void rope(void *ctx, int chunk, int worker)
{
    const struct job *j = ctx;
    const struct task *t = j->t;
    const struct model_shape *s = &t->model->shape;
    const struct rope *r = &s->rope;
    size_t kv = (size_t)s->n_head_kv * (size_t)s->d_head;
    (void)worker;
    FOR_TOKENS(j, chunk, n)
    {
        int pos = t->n_past + n;
        const float *angle = j->x->angle + (int64_t)pos * r->dim;
        float *q = exec_row(t->out, n), *k = exec_row(t->kcache, pos);
        const float *in = exec_row(t->in2, n);
        memcpy(k, in, kv * sizeof *k);
        memcpy(exec_row(t->vcache, pos), in + kv, kv * sizeof *k);
        for (int h = 0; h < s->n_head; h++)
            rotate(r, angle, q + h * s->d_head, q + h * s->d_head);
        for (int h = 0; h < s->n_head_kv; h++)
            rotate(r, angle, in + h * s->d_head, k + h * s->d_head);
    }
}

// The angles are the same for all layers and cost transcendental functions: kept per position.
static int make_angles(struct exec *x, const struct task *t, struct err *e)
{
    const struct rope *r = &t->model->shape.rope;
    int want = t->n_past + t->n1;
    bool same = x->rope_model == t->model->digest && x->rope.pairs == r->pairs &&
                x->rope.scaling == r->scaling && x->rope.dim == r->dim &&
                x->rope.theta == r->theta && x->rope.factor == r->factor &&
                x->rope.low_freq == r->low_freq && x->rope.high_freq == r->high_freq &&
                x->rope.beta_fast == r->beta_fast && x->rope.beta_slow == r->beta_slow &&
                x->rope.attn_factor == r->attn_factor && x->rope.original_ctx == r->original_ctx &&
                x->rope.factors == r->factors;
    if (!same || !x->angle) {
        free(x->angle);
        x->angle = NULL;
        x->positions = x->capacity = 0;
        x->rope = *r;
        x->rope_model = t->model->digest;
    }
    if (want > x->capacity) {
        int capacity = want + want / 2 + 64;
        float *grown = realloc(x->angle, (size_t)capacity * (size_t)r->dim * sizeof *grown);
        if (!grown)
            return err_set(e, ERR_MEMORY, "no memory for the rotations of %d positions", capacity);
        x->angle = grown;
        x->capacity = capacity;
    }
    for (; x->positions < want; x->positions++)
        for (int i = 0; i < r->dim / 2; i++) {
            float *a = x->angle + (int64_t)x->positions * r->dim + 2 * i;
            rope_angle(r, x->positions, i, a, a + 1);
        }
    return 0;
}

static void attention(void *ctx, int chunk, int worker)
{
    const struct job *j = ctx;
    const struct task *t = j->t;
    const struct model_shape *s = &t->model->shape;
    // Late tokens see more rows: they come first, so that the last chunks are the short ones.
    int n = t->n1 - 1 - chunk / s->n_head_kv, h = chunk % s->n_head_kv;
    int group = s->n_head / s->n_head_kv, at = h * group * s->d_head;
    struct attend a = {
        .q = exec_row(t->in, n) + at,
        .k = exec_row(t->kcache, 0) + h * s->d_head,
        .v = exec_row(t->vcache, 0) + h * s->d_head,
        .pitch = t->kcache->pitch / 4,
        .rows = t->n_past + n + 1,
        .group = group,
        .d = s->d_head,
        .scale = (float)(1 / sqrt(s->d_head)),
        .score = (float *)(void *)((char *)j->x->own + worker * j->x->own_size),
        .out = exec_row(t->out, n) + at,
    };
    j->x->kernel.attend(&a);
}

static int run_attention(struct exec *x, const struct task *t, struct err *e)
{
    const struct model_shape *s = &t->model->shape;
    int64_t scores = (int64_t)(s->n_head / s->n_head_kv) * (t->n_past + t->n1) * 4;
    assert(t->kcache->pitch == t->vcache->pitch);
    if (exec_scratch(x, 0, scores, e) < 0)
        return ERR_MEMORY;
    struct job j = {x, t, 1};
    team_run(x->team, attention, &j, (t->n1 - t->n0) * s->n_head_kv);
    return 0;
}

int exec_run(struct exec *x, const struct task *t, struct err *e)
{
    const struct model_shape *s = &t->model->shape;
    switch (t->op->kind) {
    case OP_EMBED:
        run_tokens(x, t, embed, t->op->m);
        return 0;
    case OP_RMSNORM:
        run_tokens(x, t, rmsnorm, t->op->m);
        return 0;
    case OP_MATMUL:
        return exec_matmul(x, t, e);
    case OP_ROPE:
        if (make_angles(x, t, e) < 0)
            return ERR_MEMORY;
        run_tokens(x, t, rope, (s->n_head + s->n_head_kv) * s->d_head);
        return 0;
    case OP_ATTENTION:
        return run_attention(x, t, e);
    case OP_SWIGLU:
        run_tokens(x, t, swiglu, t->op->m);
        return 0;
    case OP_ADD:
        run_tokens(x, t, add, t->op->m);
        return 0;
    case OP_KINDS:
        break;
    }
    assert(0);
    return ERR_USAGE;
}

// 64-byte aligned; contents are lost when it grows.
static int grow(void **p, int64_t *size, int64_t want, int64_t copies, struct err *e)
{
    if (want <= *size)
        return 0;
    want = (want + want / 4 + 63) / 64 * 64;
    void *fresh = aligned_alloc(64, (size_t)(want * copies));
    if (!fresh)
        return err_set(e, ERR_MEMORY, "no memory for %lld bytes of scratch",
                       (long long)(want * copies));
    free(*p);
    *p = fresh;
    *size = want;
    return 0;
}

int exec_scratch(struct exec *x, int64_t shared, int64_t own, struct err *e)
{
    int rc = grow(&x->shared, &x->shared_size, shared, 1, e);
    return rc < 0 ? rc : grow(&x->own, &x->own_size, own, team_threads(x->team), e);
}

void exec_fini(struct exec *x)
{
    free(x->shared);
    free(x->own);
    free(x->angle);
    *x = (struct exec){0};
}

static int refuse(const struct task *t, struct err *e, const char *why)
{
    return err_at(e, ERR_UNSUPPORTED, NULL, 0, t->op->name, "%s: %s", op_kind_name(t->op->kind),
                  why);
}

static int check_matmul(const struct task *t, struct err *e)
{
    int64_t rows = 0;
    for (int i = 0; i < t->n_parts; i++) {
        const struct tensor *w = t->w[i];
        if (w->cols != t->op->k || w->cols % w->enc->block)
            return refuse(t, e, "the weight's columns do not match the operator");
        if (t->bias[i] && (t->bias[i]->cols != w->rows || t->bias[i]->enc != &encoding_f32))
            return refuse(t, e, "a bias must be F32 and as long as the weight has rows");
        rows += w->rows;
    }
    if (t->m0 < 0 || t->m0 >= t->m1 || t->m1 > t->op->m || rows != t->op->m)
        return refuse(t, e, "the slice of rows is outside the weight");
    return 0;
}

int exec_supports(const struct task *t, struct err *e)
{
    const struct model_shape *s = &t->model->shape;
    if (t->n0 < 0 || t->n0 >= t->n1)
        return refuse(t, e, "no tokens");
    for (int i = 0; i < t->n_parts; i++)
        if (!t->w[i]->data)
            return refuse(t, e, "the model has no weights");
    switch (t->op->kind) {
    case OP_MATMUL:
        return check_matmul(t, e);
    case OP_RMSNORM:
        if (t->w[0]->enc != &encoding_f32)
            return refuse(t, e, "the norm's weight must be F32");
        return 0;
    case OP_ATTENTION:
    case OP_ROPE:
        if (s->n_head % s->n_head_kv || s->rope.dim > s->d_head || s->rope.dim % 2)
            return refuse(t, e, "heads do not group, or the rotation is wider than a head");
        return 0;
    default:
        return 0;
    }
}
