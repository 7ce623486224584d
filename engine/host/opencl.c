// SPDX-License-Identifier: GPL-3.0-or-later
// A GPU through OpenCL 1.2, 2 and 3: a queue with a ticket per task (opencl_queue.c), memory
// (opencl_memory.c), programs and launches. Here: its options, what it supports, opening and
// closing.
#include "engine/host/opencl_kernels.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"

#define ROW(field, type, unit, fallback, lo, hi, choices, doc)                                     \
    {                                                                                              \
#field, type, unit, fallback, lo, hi, choices, doc, offsetof(struct opencl_options, field) \
    }

const struct conf_row device_opencl_rows[] = {
    ROW(enabled, CONF_BOOL, UNIT_NONE, "true", 0, 0, NULL, "Use this device."),
    ROW(platform, CONF_STRING, UNIT_NONE, "", 0, 0, NULL,
        "Part of the OpenCL platform's name, or its index; empty: any."),
    ROW(device, CONF_STRING, UNIT_NONE, "", 0, 0, NULL,
        "Part of the device's name, or its index; empty: a GPU, else an accelerator, else a CPU."),
    ROW(compute_units, CONF_INT, UNIT_NONE, "-1", -1, 65536, NULL,
        "Compute units to take; 0: all; -1: half of a CPU device with two or more, else all."),
    ROW(memory, CONF_ENUM, UNIT_NONE, "auto", 0, 0, "auto|host_ptr|svm|import|copy",
        "Buffers are the host's memory, fine-grained shared virtual memory, a DMA heap's (Qualcomm "
        "drivers), or copies; auto: the first that a probe finds coherent."),
    ROW(flag, CONF_BOOL, UNIT_NONE, "true", 0, 0, NULL,
        "Publish completed tickets in a flag word, if a probe finds that the host sees it in "
        "time."),
    ROW(max_weight, CONF_INT, UNIT_SIZE, "0 B", 0, 0, NULL,
        "Weights above this size are split into several allocations; 0: the device's limit."),
    ROW(weights, CONF_ENUM, UNIT_NONE, "auto", 0, 0, "auto|buffer|image",
        "Read weights from buffers or from images of them; auto: as the tuner finds faster, on a "
        "CPU device from buffers."),
    ROW(max_image, CONF_INT, UNIT_SIZE, "0 B", 0, 0, NULL,
        "Weights above this size are not read as one image: split with weights = image, else "
        "buffers; 0: the device's limit."),
    ROW(lanes, CONF_INT, UNIT_NONE, "0", 0, 256, NULL,
        "Work-items per work-group; 0: 1 on a CPU device, else 32."),
    ROW(priority, CONF_ENUM, UNIT_NONE, "none", 0, 0, "none|low|normal|high",
        "Priority of the queue (cl_khr_priority_hints); without effect where the device has none."),
    ROW(perf_hint, CONF_ENUM, UNIT_NONE, "none", 0, 0, "none|low|normal|high",
        "How eager the clocks should be (cl_qcom_perf_hint, cl_khr_throttle_hints); without effect "
        "where the device has none."),
    ROW(queue, CONF_ENUM, UNIT_NONE, "in_order", 0, 0, "in_order|out_of_order",
        "Tasks one after another, or as soon as their buffers allow (where the device can)."),
    ROW(activations, CONF_ENUM, UNIT_NONE, "auto", 0, 0, "auto|float|int8",
        "What quantised weights are multiplied with: int8 quantises activations in blocks of 32 "
        "(auto: where the device has an instruction for it)."),
    ROW(precision, CONF_ENUM, UNIT_NONE, "auto", 0, 0, "auto|fp16|fp32",
        "What float products are computed in; sums over more than 32 columns are F32 (auto: fp16 "
        "where a GPU has it)."),
    ROW(tune, CONF_ENUM, UNIT_NONE, "auto", 0, 0, "auto|off|force",
        "Choose tile sizes by timing at the first product of a size (auto: unless a cached choice "
        "is there; force: anew)."),
    ROW(tune_cache, CONF_STRING, UNIT_NONE, "", 0, 0, NULL,
        "File to keep the choices in; empty: partita/opencl-ID.txt in the user's cache directory."),
    ROW(gemm_tile, CONF_INT_LIST, UNIT_NONE, "[]", 0, 4096, NULL,
        "Tile sizes of products of several tokens in place of a choice: rows, tokens, columns, "
        "vectors of 8 rows and tokens of a micro-tile, lanes, 1 to copy tokens to local memory."),
    ROW(gemv_tile, CONF_INT_LIST, UNIT_NONE, "[]", 0, 4096, NULL,
        "Tile sizes of products of one token in place of a choice: rows, rows at once."),
    ROW(patience, CONF_INT, UNIT_TIME, "10 s", 0, 1e15, NULL,
        "When the device has failed and its driver does not finish: how long to wait until all "
        "that "
        "it was given has ended, before the loss is called one that nothing can go on after."),
    ROW(kernel_options, CONF_STRING, UNIT_NONE, "", 0, 0, NULL,
        "Further options for the OpenCL compiler."),
};
const size_t device_opencl_n_rows = sizeof device_opencl_rows / sizeof *device_opencl_rows;

static int opencl_supports(const struct device *dev, const struct task *t, struct err *e)
{
    const struct opencl *d = (const struct opencl *)dev;
    const struct op *o = t->op;
    const struct model_shape *s = &t->model->shape;
    if (t->n0 < 0 || t->n0 >= t->n1)
        return err_set(e, ERR_UNSUPPORTED, "%s: no tokens [%d, %d)", o->name, t->n0, t->n1);
    if (t->m0 < 0 || t->m0 >= t->m1 || t->m1 > o->m)
        return err_set(e, ERR_UNSUPPORTED, "%s: rows [%d, %d) of %d", o->name, t->m0, t->m1, o->m);
    if (o->kind != OP_MATMUL && (t->m0 || t->m1 != o->m))
        return err_set(e, ERR_UNSUPPORTED, "%s: only a matmul can be sliced by rows", o->name);
    if (t->n_pad)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: the gpu has no static graphs, but the task names one of %d tokens",
                       o->name, t->n_pad);
    for (int i = 0; i < t->n_parts; i++) {
        const struct tensor *w = t->w[i];
        int64_t row = opencl_enc_of(w->enc) == ENC_F32 ? w->cols * 4 : w->row_bytes;
        if (w->cols % w->enc->block)
            return err_at(e, ERR_UNSUPPORTED, NULL, 0, w->name, "%lld columns in blocks of %u",
                          (long long)w->cols, w->enc->block);
        if ((cl_ulong)row > d->max_weight)
            return err_at(e, ERR_UNSUPPORTED, NULL, 0, w->name,
                          "%s: one row of %lld bytes; the largest allocation is %llu", d->name,
                          (long long)row, (unsigned long long)d->max_weight);
    }
    if (o->kind == OP_ATTENTION && s->d_head > OPENCL_MAX_HEAD)
        return err_set(e, ERR_UNSUPPORTED, "%s: heads of %d values; at most %d", o->name, s->d_head,
                       OPENCL_MAX_HEAD);
    if ((o->kind == OP_ATTENTION || o->kind == OP_ROPE) && s->n_head % s->n_head_kv)
        return err_set(e, ERR_UNSUPPORTED, "%s: %d heads over %d key-value heads", o->name,
                       s->n_head, s->n_head_kv);
    return 0;
}

static int opencl_prepare(struct device *dev, const struct static_graph *g, int *handle,
                          struct err *e)
{
    (void)dev, (void)g, (void)handle;
    return err_set(e, ERR_UNSUPPORTED, "gpu: has no static graphs");
}

static void opencl_close(struct device *dev)
{
    struct opencl *d = (struct opencl *)dev;
    if (d->queue)
        clFinish(d->queue);
    if (!opencl_queue_drop(d)) {
        log_warn("%s: the failed device never answered: its memory is not freed", d->name);
        return;
    }
    opencl_weights_drop(d);
    opencl_programs_drop(d);
    opencl_scratch_drop(d);
    if (d->flag_image)
        clReleaseMemObject(d->flag_image);
    if (d->flag_mem)
        clReleaseMemObject(d->flag_mem);
    if (d->queue)
        clReleaseCommandQueue(d->queue);
    if (d->ctx)
        clReleaseContext(d->ctx);
    if (d->dev != d->root)
        clReleaseDevice(d->dev);
    free(d->flag_page);
    pthread_cond_destroy(&d->fired);
    pthread_mutex_destroy(&d->mutex);
    arena_fini(&d->arena);
    free(d);
}

static const struct device_ops ops = {
    .name = "opencl",
    .supports = opencl_supports,
    .alloc = opencl_alloc,
    .free = opencl_free,
    .map = opencl_map,
    .load = opencl_load,
    .prepare = opencl_prepare,
    .submit = opencl_submit,
    .poll = opencl_poll,
    .wait = opencl_wait,
    .stats = opencl_stats,
    .reset = opencl_reset,
    .close = opencl_close,
};

// The word that flags are written to; also what kernels are warmed up on.
static int open_flag_page(struct opencl *d, struct err *e)
{
    enum { PAGE = 4096 };
    cl_int rc;
    if (posix_memalign(&d->flag_page, PAGE, PAGE))
        return err_set(e, ERR_MEMORY, "%s: out of memory", d->name);
    memset(d->flag_page, 0, PAGE);
    d->flag_mem =
        clCreateBuffer(d->ctx, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, PAGE, d->flag_page, &rc);
    return rc ? opencl_fail(d, e, rc, "creating the flag word") : 0;
}

// Tile sizes given by hand must be such that tiles are whole.
static int check_tiles(const struct opencl *d, struct err *e)
{
    const struct conf_int_list *m = &d->opt.gemm_tile, *v = &d->opt.gemv_tile;
    if (m->n && (m->n != 7 || m->v[3] < 1 || m->v[4] < 1 || m->v[0] < 8 || m->v[1] < 1 ||
                 m->v[2] < 32 || m->v[0] % (8 * m->v[3]) || m->v[1] % m->v[4] || m->v[2] % 32 ||
                 m->v[5] < 1 || m->v[6] > 1))
        return err_at(e, ERR_CONFIG, NULL, 0, "gpu.gemm_tile",
                      "7 numbers: rows (a multiple of 8 x vectors), tokens (a multiple of the "
                      "micro-tile's), columns (a multiple of 32), vectors, tokens of a micro-tile, "
                      "lanes, 0 or 1");
    if (v->n && (v->n != 2 || v->v[0] < 1 || v->v[1] < 1))
        return err_at(e, ERR_CONFIG, NULL, 0, "gpu.gemv_tile", "2 numbers: rows, rows at once");
    return 0;
}

int device_opencl_open(const struct conf_node *n, struct machine *m, int index, struct device **out,
                       struct err *e)
{
    struct opencl *d = calloc(1, sizeof *d);
    assert(d);
    d->host.base = (struct device){.ops = &ops, .machine = m, .index = index};
    arena_init(&d->arena);
    pthread_mutex_init(&d->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&d->fired, &attr);
    pthread_condattr_destroy(&attr);

    int rc = conf_read(n, "gpu", device_opencl_rows, device_opencl_n_rows, &d->opt, &d->arena, e);
    if (!rc)
        rc = check_tiles(d, e);
    if (!rc)
        rc = opencl_choose(d, e);
    if (!rc)
        rc = opencl_build(d, ENC_F32, e);
    if (!rc)
        rc = open_flag_page(d, e);
    if (!rc)
        rc = opencl_probe(d, e);
    if (!rc)
        rc = opencl_image_open(d, e);
    if (rc) {
        opencl_close(&d->host.base);
        return rc;
    }
    opencl_tune_open(d);
    int plain = opencl_act_of(d, ENC_F32), quantised = opencl_act_of(d, ENC_Q4_0);
    d->host.base.caps = (struct device_caps){
        .name = "gpu",
        .detail = arena_printf(&d->arena, "%s (%u compute units%s)", d->name, d->units,
                               d->zero_copy ? "" : ", copied buffers"),
        .kind = DEVICE_GPU,
        .ops = (1u << OP_KINDS) - 1,
        .values = true,
        .tile = 1,
        .act_bytes = 4,
        .activation_bits = {plain, quantised, quantised},
        .coherent = d->zero_copy,
        .flag = d->host.flag != NULL,
        .event = true,
    };
    *out = &d->host.base;
    return 0;
}
