// SPDX-License-Identifier: GPL-3.0-or-later
// Matrix products. A task becomes one launch, or one per piece where a row slice crosses from one
// stacked weight to the next or from one allocation to the next; where products are of bytes, one
// launch before them quantises the task's activations into scratch memory that all pieces read.
//
// Which variant of the kernel a piece runs on is opencl_tune.c's choice.
#include "engine/host/opencl_call.h"

// The task's activations as bytes, in scratch memory of the ticket.
static int quantise(struct opencl *d, const struct task *t, cl_mem *out, struct err *e)
{
    int64_t n = t->n1 - t->n0, k = t->op->k;
    int rc = opencl_scratch(d, n * opencl_q8_pitch(k), out, e);
    if (rc)
        return rc;
    struct call c = {.kernel = d->program[ENC_F32].quantise};
    arg_rows(&c, d, t->in, t->n0, 0);
    arg_int(&c, k);
    arg_mem(&c, *out);
    return opencl_enqueue(d, &c, groups(k, OPENCL_CHUNK), n, "quantise", e);
}

int opencl_product(struct opencl *d, const struct opencl_product *p, const struct opencl_tile *tile,
                   struct err *e)
{
    bool gemm = p->tokens > 1;
    struct call c = {.lanes = tile->lanes};
    int rc = opencl_variant_get(d, p->enc, gemm, tile, &c.kernel, e);
    if (rc)
        return rc;
    arg_mem(&c, tile->image ? p->image : p->w);
    arg_long(&c, p->w_off);
    arg_long(&c, p->row_bytes);
    arg_int(&c, p->rows);
    arg_int(&c, p->k);
    arg_mem(&c, p->x);
    arg_long(&c, p->x_off);
    if (gemm) {
        arg_int(&c, p->x_pitch);
        arg_int(&c, p->tokens);
    }
    arg_mem(&c, p->bias);
    arg_long(&c, p->bias_off);
    arg_mem(&c, p->out);
    arg_long(&c, p->out_off);
    arg_int(&c, gemm ? p->out_pitch : tile->rows);
    // No rows: still one group, which does nothing (opencl_warm).
    return opencl_enqueue(d, &c, p->rows ? groups(p->rows, tile->rows) : 1,
                          gemm ? groups(p->tokens, tile->tokens) : 1, gemm ? "gemm" : "gemv", e);
}

int opencl_matmul(struct opencl *d, const struct task *t, struct err *e)
{
    struct opencl_product p = {
        .k = t->op->k, .tokens = t->n1 - t->n0, .out = opencl_buffer_mem(d, t->out)};
    cl_mem bytes = NULL;
    int64_t part0 = 0; // output column of the part's row 0
    p.out_pitch = t->out->pitch / 4;
    for (int i = 0; i < t->n_parts; part0 += t->w[i++]->rows) {
        int64_t r0 = t->m0 > part0 ? t->m0 - part0 : 0;
        int64_t r1 = t->m1 - part0 < t->w[i]->rows ? t->m1 - part0 : t->w[i]->rows;
        if (r0 >= r1)
            continue;
        const struct opencl_weight *w, *b = NULL;
        int rc = opencl_weight_get(d, t->w[i], r0, r1, &w, e);
        if (!rc && t->bias[i])
            rc = opencl_weight_fresh(d, t->bias[i], 0, t->bias[i]->rows, &b, e);
        if (rc)
            return rc;
        p.enc = w->enc;
        if (opencl_act_of(d, w->enc) == 8) {
            if (!bytes && (rc = quantise(d, t, &bytes, e)))
                return rc;
            p.x = bytes;
            p.x_off = 0;
            p.x_pitch = opencl_q8_pitch(p.k);
        } else {
            p.x = opencl_buffer_mem(d, t->in);
            p.x_off = t->n0 * t->in->pitch / 4;
            p.x_pitch = t->in->pitch / 4;
        }
        p.bias = b ? b->slice->mem : NULL;
        for (int j = 0; !rc && j < w->n_slices; j++) {
            const struct opencl_slice *s = &w->slice[j];
            int64_t a = j * w->slice_rows, z = a + w->slice_rows;
            a = a > r0 ? a : r0;
            z = z < r1 ? z : r1;
            if (a >= z)
                continue;
            p.w = s->mem;
            p.image = s->image;
            p.w_off = s->offset + (a - s->r0) * w->row_bytes;
            p.row_bytes = w->row_bytes;
            p.rows = z - a;
            p.bias_off = b ? b->slice->offset / 4 + a : 0;
            p.out_off = t->out_n0 * t->out->pitch / 4 + part0 + a;
            struct opencl_tile tile;
            rc = opencl_tile_for(d, &p, &tile, e);
            if (!rc)
                rc = opencl_product(d, &p, &tile, e);
        }
        if (rc)
            return rc;
    }
    return 0;
}

// Builds the product kernels of an encoding and runs them on no rows, so that a driver that
// compiles at the first launch does so now and not inside the measured time.
int opencl_warm(struct opencl *d, enum opencl_enc enc, struct err *e)
{
    if (d->program[enc].warm)
        return 0;
    for (int n = 1; n <= 2; n++) {
        struct opencl_product p = {.enc = enc,
                                   .tokens = n,
                                   .w = d->flag_mem,
                                   .image = d->flag_image,
                                   .x = d->flag_mem,
                                   .out = d->flag_mem};
        struct opencl_tile tile = opencl_tile_default(d, enc, n > 1);
        p.rows = 0;
        int rc = opencl_product(d, &p, &tile, e);
        if (rc)
            return rc;
    }
    cl_int rc = clFinish(d->queue);
    if (rc)
        return opencl_fail(d, e, rc, "running a kernel for the first time");
    d->program[enc].warm = true;
    return 0;
}
