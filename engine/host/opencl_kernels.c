// SPDX-License-Identifier: GPL-3.0-or-later
// Programs and launches. The embedded source is built once per weight encoding that a model uses
// (ENC selects the decoder; see kernels/decode.cl), with the F32 build carrying everything that
// touches no encoded weight. A task becomes one launch, or one per piece where a row slice crosses
// from one stacked weight to the next or from one allocation to the next.
//
// The local size is always `lanes` x 1 and there is no global offset: PoCL compiles a kernel anew
// for every combination that it has not seen.
#include "engine/host/opencl_kernels.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"

extern const char opencl_source[];

static const struct encoding *const encodings[ENC_COUNT] = {
    [ENC_F32] = &encoding_f32,   [ENC_F16] = &encoding_f16,       [ENC_BF16] = &encoding_bf16,
    [ENC_Q8_0] = &encoding_q8_0, [ENC_Q4_0] = &encoding_q4_0,     [ENC_Q4_1] = &encoding_q4_1,
    [ENC_Q5_0] = &encoding_q5_0, [ENC_IQ4_NL] = &encoding_iq4_nl, [ENC_Q4_K] = &encoding_q4_k,
    [ENC_Q5_K] = &encoding_q5_k, [ENC_Q6_K] = &encoding_q6_k,
};

// As in kernels/matmul.cl and kernels/heads.cl.
enum { GEMM_ROWS = 32, GEMM_TOKENS = 48, ROPE_HEADS = 8 };

enum opencl_enc opencl_enc_of(const struct encoding *enc)
{
    for (int i = 0; i < ENC_COUNT; i++)
        if (encodings[i] == enc)
            return (enum opencl_enc)i;
    return ENC_F32;
}

static int build_error(struct opencl *d, cl_program p, cl_int rc, struct err *e)
{
    size_t size = 0;
    clGetProgramBuildInfo(p, d->dev, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
    char *log = calloc(1, size + 1);
    if (log)
        clGetProgramBuildInfo(p, d->dev, CL_PROGRAM_BUILD_LOG, size, log, NULL);
    err_set(e, ERR_DEVICE, "%s: building the kernels: %s: %s", d->name, opencl_error_name(rc),
            log ? log : "");
    if (log)
        log_warn("OpenCL build log:\n%s", log);
    free(log);
    return ERR_DEVICE;
}

int opencl_build(struct opencl *d, enum opencl_enc enc, struct err *e)
{
    struct opencl_program *p = &d->program[enc];
    if (p->program)
        return 0;
    char options[512];
    const char *source = opencl_source;
    cl_int rc;
    snprintf(options, sizeof options,
             "-cl-std=CL1.2 -DLANES=%d -DCHUNK=%d -DHALF_BITS=%d -DGEMV_ROWS=%d -DENC=%d %s",
             d->lanes, OPENCL_CHUNK, d->is_cpu, d->gemv_rows, (int)enc, d->opt.kernel_options);
    cl_program program = clCreateProgramWithSource(d->ctx, 1, &source, NULL, &rc);
    if (!program)
        return opencl_fail(d, e, rc, "creating the program");
    rc = clBuildProgram(program, 1, &d->dev, options, NULL, NULL);
    if (rc) {
        int code = build_error(d, program, rc, e);
        clReleaseProgram(program);
        return code;
    }
    p->program = program;
    struct {
        const char *name;
        cl_kernel *out;
        bool f32_only;
    } kernels[] = {
        {"embed", &p->embed, false},
        {"gemv", &p->gemv, false},
        {"gemm", &p->gemm, false},
        {"rmsnorm", &p->rmsnorm, true},
        {"swiglu", &p->swiglu, true},
        {"add", &p->add, true},
        {"rope", &p->rope, true},
        {"attention", &p->attention, true},
        {"flag_set", &p->flag_set, true},
        {"probe_write", &p->probe_write, true},
        {"probe_check", &p->probe_check, true},
        {"probe_spin", &p->probe_spin, true},
    };
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        if (kernels[i].f32_only && enc != ENC_F32)
            continue;
        *kernels[i].out = clCreateKernel(program, kernels[i].name, &rc);
        if (rc)
            return opencl_fail(d, e, rc, kernels[i].name);
    }
    return 0;
}

void opencl_programs_drop(struct opencl *d)
{
    for (int i = 0; i < ENC_COUNT; i++) {
        struct opencl_program *p = &d->program[i];
        cl_kernel k[] = {p->embed,    p->gemv,        p->gemm,        p->rmsnorm,
                         p->swiglu,   p->add,         p->rope,        p->attention,
                         p->flag_set, p->probe_write, p->probe_check, p->probe_spin};
        for (size_t j = 0; j < sizeof k / sizeof *k; j++)
            if (k[j])
                clReleaseKernel(k[j]);
        if (p->program)
            clReleaseProgram(p->program);
        *p = (struct opencl_program){0};
    }
}

// A kernel whose arguments are being set in order. The first error sticks.
struct call {
    cl_kernel kernel;
    cl_uint n;
    cl_int rc;
};

static void arg(struct call *c, size_t size, const void *value)
{
    if (!c->rc)
        c->rc = clSetKernelArg(c->kernel, c->n++, size, value);
}
static void arg_mem(struct call *c, cl_mem m)
{
    arg(c, sizeof m, &m);
}
static void arg_int(struct call *c, int64_t v)
{
    cl_int i = (cl_int)v;
    assert(v == i);
    arg(c, sizeof i, &i);
}
static void arg_uint(struct call *c, cl_uint v)
{
    arg(c, sizeof v, &v);
}
static void arg_long(struct call *c, int64_t v)
{
    cl_ulong l = (cl_ulong)v;
    arg(c, sizeof l, &l);
}
static void arg_float(struct call *c, float v)
{
    arg(c, sizeof v, &v);
}
// A buffer from row `row`, column `col` on, as the kernels take it: memory, offset, pitch in
// floats.
static void arg_rows(struct call *c, const struct opencl *d, const struct buffer *b, int64_t row,
                     int64_t col)
{
    arg_mem(c, opencl_buffer_mem(d, b));
    arg_long(c, row * b->pitch / 4 + col);
    arg_int(c, b->pitch / 4);
}

// Enqueues x * y work-groups. The first event of a task and the last one are kept in its ticket.
static int enqueue(struct opencl *d, struct call *c, int64_t x, int64_t y, const char *what,
                   struct err *e)
{
    size_t local[2] = {(size_t)d->lanes, 1}, global[2] = {(size_t)x * (size_t)d->lanes, (size_t)y};
    cl_event ev = NULL;
    cl_int rc = c->rc;
    if (!rc)
        rc = clEnqueueNDRangeKernel(d->queue, c->kernel, 2, NULL, global, local, 0, NULL, &ev);
    if (rc)
        return opencl_fail(d, e, rc, what);
    opencl_track(d, ev);
    struct opencl_ticket *t = d->current;
    if (!t)
        return 0;
    clRetainEvent(ev);
    if (!t->first) {
        t->first = ev;
    } else {
        if (t->last)
            clReleaseEvent(t->last);
        t->last = ev;
    }
    return 0;
}

static int64_t groups(int64_t n, int64_t per)
{
    return (n + per - 1) / per;
}

static int run_embed(struct opencl *d, const struct task *t, struct err *e)
{
    const struct opencl_weight *w;
    int rc = opencl_weight_get(d, t->w[0], 0, t->w[0]->rows, &w, e);
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
        rc = enqueue(d, &c, groups(t->op->m, OPENCL_CHUNK), t->n1 - t->n0, "embed", e);
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
    return enqueue(d, &c, 1, t->n1 - t->n0, "rmsnorm", e);
}

// swiglu and add: in, out, width.
static int run_elementwise(struct opencl *d, const struct task *t, cl_kernel k, struct err *e)
{
    struct call c = {.kernel = k};
    arg_rows(&c, d, t->in, t->n0, 0);
    arg_rows(&c, d, t->out, t->n0, 0);
    arg_int(&c, t->op->m);
    return enqueue(d, &c, groups(t->op->m, OPENCL_CHUNK), t->n1 - t->n0, t->op->name, e);
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
    return enqueue(d, &c, groups(s->n_head + s->n_head_kv, ROPE_HEADS), t->n1 - t->n0, "rope", e);
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
    return enqueue(d, &c, s->n_head, t->n1 - t->n0, "attention", e);
}

// Arguments that gemv and gemm begin with.
static void args_weight(struct call *c, const struct opencl_weight *w, const struct opencl_slice *s,
                        int64_t r0, int64_t r1)
{
    arg_mem(c, s->mem);
    arg_long(c, s->offset + (r0 - s->r0) * w->row_bytes);
    arg_long(c, w->row_bytes);
    arg_int(c, r1 - r0);
    arg_int(c, w->cols);
}

// Rows [r0, r1) of one slice of one weight; they are output columns from `col` on.
static int run_rows(struct opencl *d, const struct task *t, const struct opencl_weight *w,
                    const struct opencl_slice *s, int64_t r0, int64_t r1, int64_t col, cl_mem bias,
                    int64_t bias_off, struct err *e)
{
    int n = t->n1 - t->n0;
    struct call c = {.kernel = n == 1 ? d->program[w->enc].gemv : d->program[w->enc].gemm};
    args_weight(&c, w, s, r0, r1);
    arg_mem(&c, opencl_buffer_mem(d, t->in));
    arg_long(&c, t->n0 * t->in->pitch / 4);
    if (n > 1) {
        arg_int(&c, t->in->pitch / 4);
        arg_int(&c, n);
    }
    arg_mem(&c, bias);
    arg_long(&c, bias_off + r0);
    arg_mem(&c, opencl_buffer_mem(d, t->out));
    arg_long(&c, t->out_n0 * t->out->pitch / 4 + col);
    if (n > 1)
        arg_int(&c, t->out->pitch / 4);
    return n == 1 ? enqueue(d, &c, groups(r1 - r0, d->gemv_rows), 1, "gemv", e)
                  : enqueue(d, &c, groups(r1 - r0, GEMM_ROWS), groups(n, GEMM_TOKENS), "gemm", e);
}

static int run_matmul(struct opencl *d, const struct task *t, struct err *e)
{
    int64_t part0 = 0; // output column of the part's row 0
    for (int p = 0; p < t->n_parts; part0 += t->w[p++]->rows) {
        int64_t r0 = t->m0 > part0 ? t->m0 - part0 : 0;
        int64_t r1 = t->m1 - part0 < t->w[p]->rows ? t->m1 - part0 : t->w[p]->rows;
        if (r0 >= r1)
            continue;
        const struct opencl_weight *w, *b = NULL;
        int rc = opencl_weight_get(d, t->w[p], r0, r1, &w, e);
        cl_mem bias = NULL;
        int64_t bias_off = 0;
        if (!rc && t->bias[p]) {
            rc = opencl_weight_fresh(d, t->bias[p], 0, t->bias[p]->rows, &b, e);
            if (!rc) {
                bias = b->slice->mem;
                bias_off = b->slice->offset / 4;
            }
        }
        for (int i = 0; !rc && i < w->n_slices; i++) {
            const struct opencl_slice *s = &w->slice[i];
            int64_t a = i * w->slice_rows, z = a + w->slice_rows;
            a = a > r0 ? a : r0;
            z = z < r1 ? z : r1;
            if (a < z)
                rc = run_rows(d, t, w, s, a, z, part0 + a, bias, bias_off, e);
        }
        if (rc)
            return rc;
    }
    return 0;
}

int opencl_launch_task(struct opencl *d, const struct task *t, struct err *e)
{
    switch (t->op->kind) {
    case OP_EMBED:
        return run_embed(d, t, e);
    case OP_RMSNORM:
        return run_rmsnorm(d, t, e);
    case OP_MATMUL:
        return run_matmul(d, t, e);
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

// Runs the matrix kernels of an encoding on no rows, so that a driver that compiles at the first
// launch does so now and not inside the measured time.
int opencl_warm(struct opencl *d, enum opencl_enc enc, struct err *e)
{
    struct opencl_program *p = &d->program[enc];
    if (p->warm)
        return 0;
    for (int n = 1; n <= 2; n++) {
        struct call c = {.kernel = n == 1 ? p->gemv : p->gemm};
        arg_mem(&c, d->flag_mem);
        arg_long(&c, 0);
        arg_long(&c, 0);
        arg_int(&c, 0);
        arg_int(&c, 0);
        arg_mem(&c, d->flag_mem);
        arg_long(&c, 0);
        if (n > 1) {
            arg_int(&c, 0);
            arg_int(&c, 0);
        }
        arg_mem(&c, NULL);
        arg_long(&c, 0);
        arg_mem(&c, d->flag_mem);
        arg_long(&c, 0);
        if (n > 1)
            arg_int(&c, 0);
        int rc = enqueue(d, &c, 1, 1, n == 1 ? "gemv" : "gemm", e);
        if (rc)
            return rc;
    }
    cl_int rc = clFinish(d->queue);
    if (rc)
        return opencl_fail(d, e, rc, "running a kernel for the first time");
    p->warm = true;
    return 0;
}

int opencl_launch_flag(struct opencl *d, uint64_t seq, struct err *e)
{
    struct call c = {.kernel = d->program[ENC_F32].flag_set};
    arg_mem(&c, d->flag_mem);
    arg_uint(&c, (cl_uint)seq);
    arg_uint(&c, (cl_uint)(seq >> 32));
    struct opencl_ticket *t = d->current, own = {0};
    d->current = &own;
    int rc = enqueue(d, &c, 1, 1, "flag_set", e);
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
    return enqueue(d, &c, 4, 1, "probe_write", e);
}

int opencl_launch_probe_check(struct opencl *d, cl_mem p, cl_uint n, cl_uint seed, cl_mem wrong,
                              struct err *e)
{
    struct call c = {.kernel = d->program[ENC_F32].probe_check};
    arg_mem(&c, p);
    arg_uint(&c, n);
    arg_uint(&c, seed);
    arg_mem(&c, wrong);
    return enqueue(d, &c, 4, 1, "probe_check", e);
}

int opencl_launch_probe_spin(struct opencl *d, cl_mem sink, cl_uint turns, cl_event *ev,
                             struct err *e)
{
    struct opencl_ticket t = {0};
    struct call c = {.kernel = d->program[ENC_F32].probe_spin};
    arg_mem(&c, sink);
    arg_uint(&c, turns);
    d->current = &t;
    int rc = enqueue(d, &c, 1, 1, "probe_spin", e);
    d->current = NULL;
    *ev = t.first;
    return rc;
}
