// SPDX-License-Identifier: GPL-3.0-or-later
// MATMUL on a team: the weight rows of the task are cut into chunks whose borders lie on cache
// lines of the output, so that no two threads write one line. Weights that the kernels do not know
// are decoded chunk by chunk and multiplied in F32: a new encoding needs no kernel to work.
#include "engine/host/exec.h"

#include <assert.h>

enum { LINE = 16 }; // floats of a cache line

struct plan {
    struct exec *x;
    const struct task *t;
    int m_begin; // chunk c is stacked rows [m_begin + c * rows, ...) cut to [m0, m1)
    int rows;
    const char *q8; // quantised activations of tokens n0.., or NULL
    int64_t q8_pitch;
};

struct segment exec_segment(const struct task *t, int m, int m1)
{
    struct segment s = {.m0 = m, .m1 = m1, .r0 = m};
    while (s.r0 >= t->w[s.part]->rows) {
        s.r0 -= t->w[s.part]->rows;
        s.part++;
    }
    int64_t left = t->w[s.part]->rows - s.r0;
    if (s.m1 - s.m0 > left)
        s.m1 = s.m0 + (int)left;
    return s;
}

void exec_add_bias(const struct task *t, const struct segment *s)
{
    if (!t->bias[s->part])
        return;
    const float *bias = (const float *)t->bias[s->part]->data + s->r0;
    for (int n = t->n0; n < t->n1; n++) {
        float *out = exec_row(t->out, n - t->n0 + t->out_n0) + s->m0;
        for (int i = 0; i < s->m1 - s->m0; i++)
            out[i] += bias[i];
    }
}

// The kernel for a weight; NULL: its rows are decoded.
static mm_fn *kernel_of(struct exec *x, const struct tensor *w)
{
    mm_fn **fn = kernels_matmul(&x->kernel, w->enc);
    return fn && !(x->exact && w->enc->unpack) ? *fn : NULL;
}

static void multiply(const struct plan *p, const struct segment *s, int worker)
{
    const struct task *t = p->t;
    const struct tensor *w = t->w[s->part];
    struct mm a = {
        .w = (const char *)w->data + s->r0 * w->row_bytes,
        .w_pitch = w->row_bytes,
        .rows = s->m1 - s->m0,
        .x = exec_row(t->in, t->n0),
        .x_pitch = t->in->pitch,
        .tokens = t->n1 - t->n0,
        .k = t->op->k,
        .out = exec_row(t->out, t->out_n0) + s->m0,
        .out_pitch = t->out->pitch / 4,
    };
    mm_fn *fn = kernel_of(p->x, w);
    if (fn && w->enc->unpack) {
        a.x = p->q8;
        a.x_pitch = p->q8_pitch;
    } else if (!fn) {
        float *rows = (float *)(void *)((char *)p->x->own + worker * p->x->own_size);
        for (int r = 0; r < a.rows; r++)
            w->enc->decode((const char *)a.w + r * a.w_pitch, rows + (int64_t)r * a.k, a.k);
        a.w = rows;
        a.w_pitch = (int64_t)a.k * 4;
        fn = p->x->kernel.f32;
    }
    fn(&a);
    exec_add_bias(t, s);
}

static void chunk_rows(void *ctx, int chunk, int worker)
{
    const struct plan *p = ctx;
    int m = p->m_begin + chunk * p->rows, m1 = m + p->rows;
    m = m > p->t->m0 ? m : p->t->m0;
    m1 = m1 < p->t->m1 ? m1 : p->t->m1;
    while (m < m1) {
        struct segment s = exec_segment(p->t, m, m1);
        multiply(p, &s, worker);
        m = s.m1;
    }
}

static void chunk_quantise(void *ctx, int chunk, int worker)
{
    const struct plan *p = ctx;
    (void)worker;
    p->x->kernel.quantise(exec_row(p->t->in, p->t->n0 + chunk), p->t->op->k,
                          (char *)p->x->shared + chunk * p->q8_pitch);
}

int exec_matmul(struct exec *x, const struct task *t, struct err *e)
{
    // Large enough to be worth a fork, small enough that the last chunk keeps nobody waiting.
    struct plan p = {.x = x, .t = t, .rows = t->op->k >= 2048 ? 32 : 64};
    bool any = false, decode = false;
    for (int i = 0; i < t->n_parts; i++) {
        mm_fn *fn = kernel_of(x, t->w[i]);
        any |= fn && t->w[i]->enc->unpack;
        decode |= !fn;
    }
    p.q8_pitch = act_q8_bytes(t->op->k);
    int64_t shared = any ? p.q8_pitch * (t->n1 - t->n0) : 0;
    if (exec_scratch(x, shared, decode ? (int64_t)p.rows * t->op->k * 4 : 0, e) < 0)
        return ERR_MEMORY;
    if (any) {
        team_run(x->team, chunk_quantise, &p, t->n1 - t->n0);
        p.q8 = x->shared;
    }
    p.m_begin = t->m0 / LINE * LINE;
    team_run(x->team, chunk_rows, &p, (t->m1 - p.m_begin + p.rows - 1) / p.rows);
    return 0;
}
