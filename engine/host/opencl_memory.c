// SPDX-License-Identifier: GPL-3.0-or-later
// Memory of the OpenCL device: shared buffers, weights, the table of rotation angles.
//
// With zero-copy (the start-up probe decides, opencl_setup.c) a buffer is the host's memory under
// CL_MEM_USE_HOST_PTR and nothing ever moves. Without it, a buffer is memory of the device's own,
// and map() copies rectangles.
//
// Weights are one allocation per tensor, more where the largest allocation is too small. They are
// the file's bytes in place under zero-copy, else a copy of the rows that were asked for. An
// encoding that has no kernel is decoded to F32 here, so that a new encoding works with one file.
#include "engine/host/opencl_kernels.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "base/log.h"
#include "engine/ref.h"

cl_mem opencl_buffer_mem(const struct opencl *d, const struct buffer *b)
{
    assert(b && b->priv[d->host.base.index]);
    return b->priv[d->host.base.index];
}

int opencl_alloc(struct device *dev, struct buffer *b, struct err *e)
{
    struct opencl *d = (struct opencl *)dev;
    if ((cl_ulong)b->size > d->max_alloc)
        return err_set(e, ERR_MEMORY, "%s: a buffer of %lld bytes; the largest allocation is %llu",
                       d->name, (long long)b->size, (unsigned long long)d->max_alloc);
    if (b->pitch % 4)
        return err_set(e, ERR_UNSUPPORTED, "%s: a pitch of %lld bytes is not a multiple of 4",
                       d->name, (long long)b->pitch);
    cl_int rc;
    if (d->zero_copy && (uintptr_t)b->host % d->align)
        return err_set(e, ERR_UNSUPPORTED, "%s: shared memory must be aligned to %zu bytes",
                       d->name, d->align);
    cl_mem m =
        d->zero_copy && b->host
            ? opencl_share(d, b->host, (size_t)b->size, b->fd, &rc)
            : clCreateBuffer(d->ctx, CL_MEM_READ_WRITE | (b->host ? CL_MEM_COPY_HOST_PTR : 0),
                             (size_t)b->size, b->host, &rc);
    if (rc)
        return opencl_fail(d, e, rc,
                           d->sharing == SHARE_SVM && rc == CL_INVALID_HOST_PTR
                               ? "sharing memory that another device provides (try memory = copy)"
                               : "creating a shared buffer");
    b->priv[dev->index] = m;
    return 0;
}

void opencl_free(struct device *dev, struct buffer *b)
{
    struct opencl *d = (struct opencl *)dev;
    cl_mem m = b->priv[dev->index];
    if (m) {
        clFinish(d->queue); // the host's memory goes next, and a task may still write it
        clReleaseMemObject(m);
    }
    b->priv[dev->index] = NULL;
}

int opencl_map(struct device *dev, struct buffer *b, int64_t row0, int64_t row1, int64_t col0,
               int64_t col1, enum map_dir dir, struct err *e)
{
    struct opencl *d = (struct opencl *)dev;
    if (d->zero_copy || row0 >= row1 || col0 >= col1)
        return 0;
    size_t origin[3] = {(size_t)col0, (size_t)row0, 0};
    size_t region[3] = {(size_t)(col1 - col0), (size_t)(row1 - row0), 1};
    size_t pitch = (size_t)b->pitch;
    cl_mem m = opencl_buffer_mem(d, b);
    cl_event ev = NULL;
    cl_int rc = dir == MAP_TO_HOST
                    ? clEnqueueReadBufferRect(d->queue, m, CL_TRUE, origin, origin, region, pitch,
                                              0, pitch, 0, b->host, 0, NULL, &ev)
                    : clEnqueueWriteBufferRect(d->queue, m, CL_TRUE, origin, origin, region, pitch,
                                               0, pitch, 0, b->host, 0, NULL, &ev);
    opencl_track(d, ev);
    return rc ? opencl_stop(d, opencl_fail(d, e, rc, "copying a shared buffer"), e) : 0;
}

// A few bytes of a tensor, to notice that the memory behind an id has been given other contents
// (another model at the same address). Looked at when a weight is loaded, not at every task;
// biases, which nobody loads, are looked at every time.
static uint64_t sample(const struct tensor *w)
{
    int64_t size = w->rows * w->row_bytes;
    uint64_t s = DIGEST_INIT;
    for (int i = 0; i < 16; i++) {
        int64_t at = (size - 1) / 15 * i, n = size - at < 16 ? size - at : 16;
        s = digest_bytes(s, (const char *)w->data + at, (size_t)n);
    }
    return s;
}

static void slice_drop(struct opencl *d, const struct opencl_weight *w, struct opencl_slice *s)
{
    if (!s->mem)
        return;
    if (s->image)
        clReleaseMemObject(s->image);
    clReleaseMemObject(s->mem); // the runtime keeps it until queued kernels are done
    d->resident -= (s->r1 - s->r0) * w->row_bytes;
    *s = (struct opencl_slice){0};
}

static void weight_drop(struct opencl *d, struct opencl_weight *w)
{
    if (!w)
        return;
    for (int i = 0; i < w->n_slices; i++)
        slice_drop(d, w, &w->slice[i]);
    free(w->slice);
    free(w);
}

void opencl_weights_drop(struct opencl *d)
{
    for (uint32_t i = 0; i < d->n_weights; i++)
        weight_drop(d, d->weight[i]);
    free(d->weight);
    d->weight = NULL;
    d->n_weights = 0;
    if (d->angle_mem)
        clReleaseMemObject(d->angle_mem);
    free(d->angle);
    d->angle_mem = NULL;
    d->angle = NULL;
}

static int weight_new(struct opencl *d, const struct tensor *t, struct opencl_weight **out,
                      struct err *e)
{
    struct opencl_weight *w = calloc(1, sizeof *w);
    assert(w);
    // Vectors (norms, biases) are F32 on the device whatever they are in the file.
    w->enc = t->rows == 1 ? ENC_F32 : opencl_enc_of(t->enc);
    w->row_bytes = w->enc == ENC_F32 ? t->cols * 4 : t->row_bytes;
    w->data = t->data;
    w->rows = t->rows;
    w->cols = t->cols;
    w->sample = sample(t);
    if ((cl_ulong)w->row_bytes > d->max_weight) {
        free(w);
        return err_at(e, ERR_MEMORY, NULL, 0, t->name,
                      "%s: one row of %lld bytes; the largest allocation%s is %llu", d->name,
                      (long long)t->row_bytes, d->weights == WEIGHTS_IMAGE ? " or image" : "",
                      (unsigned long long)d->max_weight);
    }
    w->slice_rows = (int64_t)(d->max_weight / (cl_ulong)w->row_bytes);
    if (w->slice_rows > w->rows)
        w->slice_rows = w->rows;
    w->n_slices = (int)((w->rows + w->slice_rows - 1) / w->slice_rows);
    w->slice = calloc((size_t)w->n_slices, sizeof *w->slice);
    assert(w->slice);
    if (w->enc == ENC_F32 && t->enc != &encoding_f32)
        log_info("%s: %s: no kernel for %s: decoded to F32", d->name, t->name, t->enc->name);
    *out = w;
    return 0;
}

// Uploads rows [r0, r1) as they are, or decoded through a small window.
static cl_int upload(struct opencl *d, const struct tensor *t, const struct opencl_weight *w,
                     struct opencl_slice *s)
{
    const char *src = (const char *)t->data + s->r0 * t->row_bytes;
    size_t rows = (size_t)(s->r1 - s->r0), size = rows * (size_t)w->row_bytes;
    cl_event ev = NULL;
    cl_int rc = 0;
    if (w->enc != ENC_F32 || t->enc == &encoding_f32) {
        rc = clEnqueueWriteBuffer(d->queue, s->mem, CL_TRUE, 0, size, src, 0, NULL, &ev);
        opencl_track(d, ev);
        return rc;
    }
    float *row = malloc((size_t)w->row_bytes);
    assert(row);
    for (size_t i = 0; !rc && i < rows; i++) {
        t->enc->decode(src + (int64_t)i * t->row_bytes, row, t->cols);
        rc = clEnqueueWriteBuffer(d->queue, s->mem, CL_TRUE, i * (size_t)w->row_bytes,
                                  (size_t)w->row_bytes, row, 0, NULL, &ev);
        opencl_track(d, ev);
    }
    free(row);
    return rc;
}

// The image of a slice of a matrix, where products may want one. `whole`: the buffer's memory is
// whole texels.
static cl_int slice_image(struct opencl *d, const struct tensor *t, struct opencl_slice *s,
                          size_t size, bool whole)
{
    if (d->weights == WEIGHTS_BUFFER || t->rows == 1)
        return 0;
    cl_int rc = CL_INVALID_IMAGE_SIZE;
    if (whole && size <= d->max_image)
        s->image = opencl_image_new(d, s->mem, size, &rc);
    if (!rc || d->weights == WEIGHTS_IMAGE)
        return rc;
    log_info("%s: %s: no image of %zu bytes (%s): read as a buffer", d->name, t->name, size,
             opencl_error_name(rc));
    return 0;
}

// Makes slice i hold at least rows [r0, r1), which lie inside it.
static int slice_load(struct opencl *d, const struct tensor *t, struct opencl_weight *w, int i,
                      int64_t r0, int64_t r1, struct err *e)
{
    struct opencl_slice *s = &w->slice[i];
    if (s->mem && s->r0 <= r0 && r1 <= s->r1)
        return 0;
    int64_t begin = i * w->slice_rows, end = begin + w->slice_rows;
    end = end < w->rows ? end : w->rows;
    char *src = (char *)(uintptr_t)t->data + begin * t->row_bytes;
    bool as_is = w->enc != ENC_F32 || t->enc == &encoding_f32;
    bool shared = d->sharing == SHARE_HOST_PTR && as_is && (uintptr_t)src % d->align == 0;
    // What must be an image needs whole texels, and a copy can be padded.
    if (d->weights == WEIGHTS_IMAGE && t->rows > 1 && (end - begin) * w->row_bytes % OPENCL_TEXEL)
        shared = false;
    struct opencl_slice new = {.r0 = begin, .r1 = end};
    if (!shared) {
        new.r0 = s->mem && s->r0 < r0 ? s->r0 : r0;
        new.r1 = s->mem && s->r1 > r1 ? s->r1 : r1;
    }
    size_t size = (size_t)((new.r1 - new.r0) * w->row_bytes);
    cl_int rc;
    size_t room = shared ? size : (size + OPENCL_TEXEL - 1) / OPENCL_TEXEL * OPENCL_TEXEL;
    new.mem = clCreateBuffer(d->ctx, CL_MEM_READ_ONLY | (shared ? CL_MEM_USE_HOST_PTR : 0), room,
                             shared ? src : NULL, &rc);
    if (!rc && !shared)
        rc = upload(d, t, w, &new);
    if (!rc)
        rc = slice_image(d, t, &new, size, room % OPENCL_TEXEL == 0);
    if (rc) {
        if (new.mem)
            clReleaseMemObject(new.mem);
        char what[160];
        snprintf(what, sizeof what, "loading %s (%zu bytes)", t->name, size);
        return opencl_fail(d, e, rc, what);
    }
    slice_drop(d, w, s);
    *s = new;
    d->resident += (int64_t)size;
    return 0;
}

int opencl_weight_get(struct opencl *d, const struct tensor *t, int64_t m0, int64_t m1,
                      const struct opencl_weight **out, struct err *e)
{
    if (!t->data)
        return err_at(e, ERR_UNSUPPORTED, NULL, 0, t->name, "%s: the model has no weights",
                      d->name);
    if (t->id >= d->n_weights) {
        uint32_t n = t->id + 64;
        d->weight = realloc(d->weight, n * sizeof *d->weight);
        assert(d->weight);
        memset(d->weight + d->n_weights, 0, (n - d->n_weights) * sizeof *d->weight);
        d->n_weights = n;
    }
    struct opencl_weight *w = d->weight[t->id];
    if (w && (w->data != t->data || w->rows != t->rows || w->cols != t->cols)) {
        weight_drop(d, w);
        w = d->weight[t->id] = NULL;
    }
    if (!w) {
        int rc = weight_new(d, t, &w, e);
        if (rc)
            return rc;
        d->weight[t->id] = w;
    }
    for (int64_t i = m0 / w->slice_rows; i * w->slice_rows < m1; i++) {
        int64_t a = i * w->slice_rows, z = a + w->slice_rows;
        int rc = slice_load(d, t, w, (int)i, a > m0 ? a : m0, z < m1 ? z : m1, e);
        if (rc)
            return rc;
    }
    *out = w;
    return 0;
}

int opencl_weight_fresh(struct opencl *d, const struct tensor *t, int64_t m0, int64_t m1,
                        const struct opencl_weight **out, struct err *e)
{
    if (t->data && t->id < d->n_weights && d->weight[t->id] &&
        d->weight[t->id]->sample != sample(t)) {
        weight_drop(d, d->weight[t->id]);
        d->weight[t->id] = NULL;
    }
    return opencl_weight_get(d, t, m0, m1, out, e);
}

int opencl_scratch(struct opencl *d, int64_t size, cl_mem *out, struct err *e)
{
    int i = (int)((d->submitted + 1) % OPENCL_SCRATCH);
    if (d->scratch_size[i] < (size_t)size) {
        cl_int rc;
        cl_mem m = clCreateBuffer(d->ctx, CL_MEM_READ_WRITE, (size_t)size, NULL, &rc);
        if (rc)
            return opencl_fail(d, e, rc, "creating scratch memory");
        if (d->scratch[i])
            clReleaseMemObject(d->scratch[i]); // the runtime keeps it until queued kernels are done
        d->scratch[i] = m;
        d->scratch_size[i] = (size_t)size;
    }
    *out = d->scratch[i];
    return 0;
}

void opencl_scratch_drop(struct opencl *d)
{
    for (int i = 0; i < OPENCL_SCRATCH; i++)
        if (d->scratch[i])
            clReleaseMemObject(d->scratch[i]);
}

int opencl_load(struct device *dev, const struct tensor *t, int64_t m0, int64_t m1, struct err *e)
{
    struct opencl *d = (struct opencl *)dev;
    const struct opencl_weight *w;
    int rc = opencl_weight_fresh(d, t, m0, m1, &w, e);
    if (!rc && t->rows > 1) // vectors have no product
        rc = opencl_warm(d, w->enc, e);
    return rc ? opencl_stop(d, rc, e) : 0;
}

static bool same_rope(const struct rope *a, const struct rope *b)
{
    return a->pairs == b->pairs && a->scaling == b->scaling && a->dim == b->dim &&
           a->theta == b->theta && a->factor == b->factor && a->low_freq == b->low_freq &&
           a->high_freq == b->high_freq && a->beta_fast == b->beta_fast &&
           a->beta_slow == b->beta_slow && a->attn_factor == b->attn_factor &&
           a->original_ctx == b->original_ctx && a->factors == b->factors;
}

// The table grows by doubling, which waits for the queue; otherwise new rows are copied behind the
// tasks in flight, which read older ones, and submit does not wait.
int opencl_angles(struct opencl *d, const struct rope *r, int rows, struct err *e)
{
    enum { STEP = 64, FIRST = 512 };
    bool same = same_rope(r, &d->rope), grow;
    if (same && rows <= d->angle_filled)
        return 0;
    rows = (rows + STEP - 1) / STEP * STEP;
    size_t row_bytes = (size_t)r->dim * sizeof(float);
    grow = rows > d->angle_rows || r->dim != d->rope.dim;
    if (grow) {
        int n = 2 * d->angle_rows;
        n = n > FIRST ? n : FIRST;
        n = n > rows ? n : rows;
        cl_int rc = clFinish(d->queue); // a copy from the old table may be under way
        cl_mem m = NULL;
        if (!rc)
            m = clCreateBuffer(d->ctx, CL_MEM_READ_ONLY, (size_t)n * row_bytes, NULL, &rc);
        if (rc)
            return opencl_fail(d, e, rc, "creating the table of rotation angles");
        d->angle = realloc(d->angle, (size_t)n * row_bytes);
        assert(d->angle);
        if (d->angle_mem)
            clReleaseMemObject(d->angle_mem);
        d->angle_mem = m;
        d->angle_rows = n;
    } else if (!same) {
        clFinish(d->queue);
    }
    int from = same && !grow ? d->angle_filled : 0;
    d->angle_filled = 0;
    d->rope = *r;
    for (int pos = from; pos < rows; pos++)
        for (int i = 0; i < r->dim / 2; i++) {
            float *a = d->angle + (size_t)pos * (size_t)r->dim + 2 * i;
            rope_angle(r, pos, i, a, a + 1);
        }
    size_t at = (size_t)from * row_bytes;
    cl_int rc =
        clEnqueueWriteBuffer(d->queue, d->angle_mem, d->out_of_order, at,
                             (size_t)rows * row_bytes - at, (char *)d->angle + at, 0, NULL, NULL);
    if (rc)
        return opencl_fail(d, e, rc, "writing the table of rotation angles");
    d->angle_filled = rows;
    return 0;
}
