// SPDX-License-Identifier: GPL-3.0-or-later
// Programs. All kernels are one source, embedded at build time, from which parts are built when
// they are first needed: per weight encoding the embedding (the F32 build carries everything that
// touches no encoded weight), and per encoding and set of tile sizes one matrix product,
// specialised by defines (a variant).
#include "engine/host/opencl_kernels.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "base/log.h"

extern const char opencl_source[];

static const struct encoding *const encodings[ENC_COUNT] = {
    [ENC_F32] = &encoding_f32,   [ENC_F16] = &encoding_f16,       [ENC_BF16] = &encoding_bf16,
    [ENC_Q8_0] = &encoding_q8_0, [ENC_Q4_0] = &encoding_q4_0,     [ENC_Q4_1] = &encoding_q4_1,
    [ENC_Q5_0] = &encoding_q5_0, [ENC_IQ4_NL] = &encoding_iq4_nl, [ENC_Q4_K] = &encoding_q4_k,
    [ENC_Q5_K] = &encoding_q5_k, [ENC_Q6_K] = &encoding_q6_k,
};

// PART in kernels/.
enum { PART_REST, PART_GEMV, PART_GEMM };

enum opencl_enc opencl_enc_of(const struct encoding *enc)
{
    for (int i = 0; i < ENC_COUNT; i++)
        if (encodings[i] == enc)
            return (enum opencl_enc)i;
    return ENC_F32;
}

const char *opencl_enc_name(enum opencl_enc enc)
{
    return encodings[enc]->name;
}

uint64_t opencl_source_digest(void)
{
    return digest_str(DIGEST_INIT, opencl_source);
}

int opencl_act_of(const struct opencl *d, enum opencl_enc enc)
{
    return enc > ENC_BF16 && d->int8 ? 8 : d->half ? 16 : 32;
}

void opencl_took(struct opencl *d, int64_t begin)
{
    bool before = d->preparing > PS_PER_S;
    d->preparing += host_now() - begin;
    if (!before && d->preparing > PS_PER_S)
        log_progress("%s: compiling and timing kernels; what is found is kept for the next time",
                     d->name);
}

static int build_error(struct opencl *d, cl_program p, cl_int rc, struct err *e)
{
    size_t size = 0;
    clGetProgramBuildInfo(p, d->dev, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
    char *log = calloc(1, size + 1);
    if (log)
        clGetProgramBuildInfo(p, d->dev, CL_PROGRAM_BUILD_LOG, size, log, NULL);
    opencl_fail(d, e, rc, "building the kernels");
    if (e && log)
        err_set(e, ERR_DEVICE, "%s: building the kernels: %s: %s", d->name, opencl_error_name(rc),
                log);
    if (log)
        log_warn("OpenCL build log:\n%s", log);
    free(log);
    return ERR_DEVICE;
}

static int build(struct opencl *d, enum opencl_enc enc, int part, int lanes, const char *defines,
                 cl_program *out, struct err *e)
{
    char options[768];
    const char *source = opencl_source;
    cl_int rc;
    snprintf(options, sizeof options,
             "-cl-std=%s -DPART=%d -DLANES=%d -DCHUNK=%d -DHALF_BITS=%d -DENC=%d -DACT=%d%s %s",
             d->dot_product ? "CL3.0" : "CL1.2", part, lanes, OPENCL_CHUNK, d->is_cpu, (int)enc,
             part ? opencl_act_of(d, enc) : 32, defines, d->opt.kernel_options);
    cl_program program = clCreateProgramWithSource(d->ctx, 1, &source, NULL, &rc);
    if (!program)
        return opencl_fail(d, e, rc, "creating the program");
    int64_t begin = host_now();
    rc = clBuildProgram(program, 1, &d->dev, options, NULL, NULL);
    opencl_took(d, begin);
    if (rc) {
        int code = build_error(d, program, rc, e);
        clReleaseProgram(program);
        return code;
    }
    *out = program;
    return 0;
}

int opencl_build(struct opencl *d, enum opencl_enc enc, struct err *e)
{
    struct opencl_program *p = &d->program[enc];
    if (p->program)
        return 0;
    cl_program program = NULL;
    int code = build(d, enc, PART_REST, d->lanes, "", &program, e);
    if (code)
        return code;
    p->program = program;
    struct {
        const char *name;
        cl_kernel *out;
    } kernels[] = {
        {"embed", &p->embed}, // the only one of the other encodings
        {"rmsnorm", &p->rmsnorm},
        {"swiglu", &p->swiglu},
        {"add", &p->add},
        {"rope", &p->rope},
        {"attention", &p->attention},
        {"quantise", &p->quantise},
        {"flag_set", &p->flag_set},
        {"probe_write", &p->probe_write},
        {"probe_check", &p->probe_check},
        {"probe_spin", &p->probe_spin},
        {"probe_dot", &p->probe_dot},
    };
    size_t n = enc == ENC_F32 ? sizeof kernels / sizeof *kernels : 1;
    for (size_t i = 0; i < n; i++) {
        cl_int rc;
        *kernels[i].out = clCreateKernel(program, kernels[i].name, &rc);
        if (rc)
            return opencl_fail(d, e, rc, kernels[i].name);
    }
    return 0;
}

bool opencl_tile_equal(const struct opencl_tile *a, const struct opencl_tile *b)
{
    return a->lanes == b->lanes && a->rows == b->rows && a->tokens == b->tokens &&
           a->columns == b->columns && a->vectors == b->vectors && a->width == b->width &&
           a->local == b->local && a->image == b->image;
}

int opencl_variant_get(struct opencl *d, enum opencl_enc enc, bool gemm,
                       const struct opencl_tile *tile, cl_kernel *out, struct err *e)
{
    struct opencl_tile key = *tile, *t = &key;
    if (!gemm)
        key.rows = 0; // an argument of the kernel
    for (int i = 0; i < d->n_variants; i++) {
        const struct opencl_variant *v = &d->variant[i];
        if (v->enc == enc && v->gemm == gemm && opencl_tile_equal(&v->tile, t)) {
            *out = v->kernel;
            return 0;
        }
    }
    char defines[180];
    if (gemm)
        snprintf(defines, sizeof defines,
                 " -DW_IMAGE=%d -DTM=%d -DTN=%d -DTK=%d -DMR=%d -DNR=%d -DX_LOCAL=%d", t->image,
                 t->rows, t->tokens, t->columns, t->vectors, t->width, t->local);
    else
        snprintf(defines, sizeof defines, " -DW_IMAGE=%d -DSTREAMS=%d", t->image, t->width);
    struct opencl_variant v = {.enc = enc, .gemm = gemm, .tile = *t};
    int code = build(d, enc, gemm ? PART_GEMM : PART_GEMV, t->lanes, defines, &v.program, e);
    if (code)
        return code;
    cl_int rc;
    v.kernel = clCreateKernel(v.program, gemm ? "gemm" : "gemv", &rc);
    if (rc) {
        clReleaseProgram(v.program);
        return opencl_fail(d, e, rc, gemm ? "gemm" : "gemv");
    }
    struct opencl_variant *grown =
        realloc(d->variant, (size_t)(d->n_variants + 1) * sizeof *d->variant);
    assert(grown);
    d->variant = grown;
    d->variant[d->n_variants++] = v;
    *out = v.kernel;
    return 0;
}

void opencl_programs_drop(struct opencl *d)
{
    for (int i = 0; i < ENC_COUNT; i++) {
        struct opencl_program *p = &d->program[i];
        cl_kernel k[] = {p->embed,       p->rmsnorm,     p->swiglu,     p->add,
                         p->rope,        p->attention,   p->quantise,   p->flag_set,
                         p->probe_write, p->probe_check, p->probe_spin, p->probe_dot};
        for (size_t j = 0; j < sizeof k / sizeof *k; j++)
            if (k[j])
                clReleaseKernel(k[j]);
        if (p->program)
            clReleaseProgram(p->program);
        *p = (struct opencl_program){0};
    }
    for (int i = 0; i < d->n_variants; i++) {
        clReleaseKernel(d->variant[i].kernel);
        clReleaseProgram(d->variant[i].program);
    }
    free(d->variant);
    d->variant = NULL;
    d->n_variants = 0;
}
