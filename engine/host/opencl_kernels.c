// SPDX-License-Identifier: GPL-3.0-or-later
// Launches of everything but matrix products (opencl_matmul.c). A task becomes one launch, or one
// per piece where the embedding table lies in several allocations.
//
// The local size is `lanes` x 1 and there is no global offset: PoCL compiles a kernel anew for
// every combination that it has not seen.
#include "engine/host/opencl_call.h"

#include <math.h>
#include <string.h>

// As in kernels/heads.cl.
enum { ROPE_HEADS = 8 };

static int run_embed(struct opencl *d, const struct task *t, struct err *e)
{
    const struct opencl_weight *w;
    int rc = opencl_weight_get(d, t->w[0], 0, t->w[0]->rows, &w, e);
    if (!rc)
        rc = opencl_build(d, w->enc, e);
    for (int i = 0; !rc && i < w->n_slices; i++) {
        const struct opencl_slice *s = &w->slice[i];
        struct call c = {.kernel = d->program[w->enc].embed};
        arg_rows(&c, d, t->in, t->n0, 0);
        arg_mem(&c, s->mem);
        arg_long(&c, s->offset);
        arg_long(&c, w->row_bytes);
        arg_int(&c, s->r0);
        arg_int(&c, s->r1 - s->r0);
        arg_rows(&c, d, t->out, t->n0, 0);
        arg_int(&c, t->op->m);
        rc = opencl_enqueue(d, &c, groups(t->op->m, OPENCL_CHUNK), t->n1 - t->n0, "embed", e);
    }
    return rc;
}

static int run_rmsnorm(struct opencl *d, const struct task *t, struct err *e)
{
    const struct opencl_weight *w;
    int rc = opencl_weight_get(d, t->w[0], 0, t->w[0]->rows, &w, e);
    if (rc)
        return rc;
    struct call c = {.kernel = d->program[ENC_F32].rmsnorm};
    arg_rows(&c, d, t->in, t->n0, 0);
    arg_mem(&c, w->slice->mem);
    arg_long(&c, w->slice->offset / 4);
    arg_rows(&c, d, t->out, t->n0, 0);
    arg_int(&c, t->op->m);
    arg_float(&c, (float)t->model->shape.norm_eps);
    return opencl_enqueue(d, &c, 1, t->n1 - t->n0, "rmsnorm", e);
}

// swiglu and add: in, out, width.
static int run_elementwise(struct opencl *d, const struct task *t, cl_kernel k, struct err *e)
{
    struct call c = {.kernel = k};
    arg_rows(&c, d, t->in, t->n0, 0);
    arg_rows(&c, d, t->out, t->n0, 0);
    arg_int(&c, t->op->m);
    return opencl_enqueue(d, &c, groups(t->op->m, OPENCL_CHUNK), t->n1 - t->n0, t->op->name, e);
}

static int run_rope(struct opencl *d, const struct task *t, struct err *e)
{
    const struct model_shape *s = &t->model->shape;
    int rc = opencl_angles(d, &s->rope, t->n_past + t->n1, e);
    if (rc)
        return rc;
    struct call c = {.kernel = d->program[ENC_F32].rope};
    arg_rows(&c, d, t->out, t->n0, 0);
    arg_rows(&c, d, t->in2, t->n0, 0);
    arg_mem(&c, opencl_buffer_mem(d, t->kcache));
    arg_mem(&c, opencl_buffer_mem(d, t->vcache));
    arg_int(&c, t->kcache->pitch / 4);
    arg_int(&c, t->n_past + t->n0);
    arg_int(&c, s->n_head);
    arg_int(&c, s->n_head_kv);
    arg_int(&c, s->d_head);
    arg_int(&c, s->rope.dim);
    arg_int(&c, s->rope.pairs == ROPE_HALVES);
    arg_mem(&c, d->angle_mem);
    return opencl_enqueue(d, &c, groups(s->n_head + s->n_head_kv, ROPE_HEADS), t->n1 - t->n0,
                          "rope", e);
}

static int run_attention(struct opencl *d, const struct task *t, struct err *e)
{
    const struct model_shape *s = &t->model->shape;
    struct call c = {.kernel = d->program[ENC_F32].attention};
    arg_rows(&c, d, t->in, t->n0, 0);
    arg_mem(&c, opencl_buffer_mem(d, t->kcache));
    arg_mem(&c, opencl_buffer_mem(d, t->vcache));
    arg_int(&c, t->kcache->pitch / 4);
    arg_rows(&c, d, t->out, t->n0, 0);
    arg_int(&c, t->n_past + t->n0);
    arg_int(&c, s->n_head / s->n_head_kv);
    arg_int(&c, s->d_head);
    arg_float(&c, (float)(1 / sqrt(s->d_head)));
    return opencl_enqueue(d, &c, s->n_head, t->n1 - t->n0, "attention", e);
}

int opencl_launch_task(struct opencl *d, const struct task *t, struct err *e)
{
    switch (t->op->kind) {
    case OP_EMBED:
        return run_embed(d, t, e);
    case OP_RMSNORM:
        return run_rmsnorm(d, t, e);
    case OP_MATMUL:
        return opencl_matmul(d, t, e);
    case OP_ROPE:
        return run_rope(d, t, e);
    case OP_ATTENTION:
        return run_attention(d, t, e);
    case OP_SWIGLU:
        return run_elementwise(d, t, d->program[ENC_F32].swiglu, e);
    case OP_ADD:
        return run_elementwise(d, t, d->program[ENC_F32].add, e);
    case OP_KINDS:
        break;
    }
    assert(0);
    return err_set(e, ERR_UNSUPPORTED, "%s: unknown operator", d->name);
}

int opencl_launch_flag(struct opencl *d, uint64_t seq, struct err *e)
{
    struct call c = {.kernel = d->program[ENC_F32].flag_set};
    arg_mem(&c, d->flag_mem);
    arg_uint(&c, (cl_uint)seq);
    arg_uint(&c, (cl_uint)(seq >> 32));
    struct opencl_ticket *t = d->current, own = {0};
    if (t)
        memcpy(own.name, t->name, sizeof own.name);
    d->current = &own;
    int rc = opencl_enqueue(d, &c, 1, 1, "flag_set", e);
    d->current = t;
    if (t)
        t->flag = own.first;
    else if (own.first)
        clReleaseEvent(own.first);
    return rc;
}

int opencl_launch_probe_write(struct opencl *d, cl_mem p, cl_uint n, cl_uint step, cl_uint seed,
                              struct err *e)
{
    struct call c = {.kernel = d->program[ENC_F32].probe_write};
    arg_mem(&c, p);
    arg_uint(&c, n);
    arg_uint(&c, step);
    arg_uint(&c, seed);
    return opencl_enqueue(d, &c, 4, 1, "probe_write", e);
}

int opencl_launch_probe_check(struct opencl *d, cl_mem p, cl_uint n, cl_uint seed, cl_mem wrong,
                              struct err *e)
{
    struct call c = {.kernel = d->program[ENC_F32].probe_check};
    arg_mem(&c, p);
    arg_uint(&c, n);
    arg_uint(&c, seed);
    arg_mem(&c, wrong);
    return opencl_enqueue(d, &c, 4, 1, "probe_check", e);
}

int opencl_launch_probe_spin(struct opencl *d, cl_mem sink, cl_uint turns, cl_event *ev,
                             struct err *e)
{
    struct opencl_ticket t = {0};
    struct call c = {.kernel = d->program[ENC_F32].probe_spin};
    arg_mem(&c, sink);
    arg_uint(&c, turns);
    d->current = &t;
    int rc = opencl_enqueue(d, &c, 1, 1, "probe_spin", e);
    d->current = NULL;
    *ev = t.first;
    return rc;
}

int opencl_launch_probe_dot(struct opencl *d, cl_mem out, struct err *e)
{
    struct call c = {.kernel = d->program[ENC_F32].probe_dot};
    arg_mem(&c, out);
    return opencl_enqueue(d, &c, 1, 1, "probe_dot", e);
}
