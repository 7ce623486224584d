// SPDX-License-Identifier: GPL-3.0-or-later
// Weights as images (option `weights`). Some GPUs, Adreno above all, read images through a texture
// cache that buffers do not go through. An image of a buffer (image1d_buffer_t) is the buffer's own
// memory under another kind of address, so that nothing is copied; its texels are four words here,
// and kernels/common.cl takes a weight's bytes from them wherever they lie.
//
// That images work is tried, not believed: a kernel compares the texels of an image with what the
// host wrote, over memory as weights will have it, at the least alignment that is used in place
// (CL_DEVICE_IMAGE_BASE_ADDRESS_ALIGNMENT is promised for other kinds of images only).
//
// An image has at most CL_DEVICE_IMAGE_MAX_BUFFER_SIZE texels, and the kernels count its bytes in
// 32 bits. With weights = image a larger matrix is cut into several allocations, as one is that is
// above the largest allocation; with auto it stays a buffer.
#include "engine/host/opencl_call.h"

#include <stdlib.h>
#include <string.h>
#include "base/log.h"

enum { PAGE = 4096, PROBE_BYTES = 8192 };

cl_mem opencl_image_new(struct opencl *d, cl_mem buffer, size_t size, cl_int *rc)
{
    cl_image_format format = {CL_RGBA, CL_UNSIGNED_INT32};
    cl_image_desc desc = {.image_type = CL_MEM_OBJECT_IMAGE1D_BUFFER,
                          .image_width = (size + OPENCL_TEXEL - 1) / OPENCL_TEXEL,
                          .buffer = buffer};
    return clCreateImage(d->ctx, CL_MEM_READ_ONLY, &format, &desc, NULL, rc);
}

// Whether the kernel finds in an image of `m` what the host wrote there. Negative: error.
static int legible(struct opencl *d, cl_mem m, const cl_uint *host, struct err *e)
{
    cl_uint zero = 0, wrong = 1;
    cl_int rc;
    cl_mem found = NULL, copy = NULL, image = opencl_image_new(d, m, PROBE_BYTES, &rc);
    cl_kernel k = rc ? NULL : clCreateKernel(d->program[ENC_F32].program, "probe_image", &rc);
    if (!rc)
        copy = clCreateBuffer(d->ctx, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, PROBE_BYTES,
                              (void *)(uintptr_t)host, &rc);
    if (!rc)
        found = clCreateBuffer(d->ctx, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, sizeof zero, &zero,
                               &rc);
    int code = 0;
    if (!rc) {
        struct call c = {.kernel = k};
        arg_mem(&c, image);
        arg_mem(&c, copy);
        arg_int(&c, PROBE_BYTES / OPENCL_TEXEL);
        arg_mem(&c, found);
        code = opencl_enqueue(d, &c, 1, 1, "probe_image", e);
    }
    if (!rc && !code)
        rc = clEnqueueReadBuffer(d->queue, found, CL_TRUE, 0, sizeof wrong, &wrong, 0, NULL, NULL);
    cl_mem all[] = {found, copy, image};
    for (int i = 0; i < 3; i++)
        if (all[i])
            clReleaseMemObject(all[i]);
    if (k)
        clReleaseKernel(k);
    return code ? code : !rc && wrong == 0;
}

// 1: images of buffers like those of weights are legible, 0: not, negative: error.
static int probe(struct opencl *d, struct err *e)
{
    char *page = NULL;
    if (posix_memalign((void **)&page, PAGE, 2 * PAGE + PROBE_BYTES))
        return err_set(e, ERR_MEMORY, "%s: out of memory in the start-up probe", d->name);
    bool shared = d->sharing == SHARE_HOST_PTR;
    cl_uint *host = (cl_uint *)(void *)(page + d->align);
    for (cl_uint i = 0; i < PROBE_BYTES / sizeof *host; i++)
        host[i] = i * 2654435761u + 1;
    cl_int rc;
    cl_mem m = clCreateBuffer(
        d->ctx, CL_MEM_READ_ONLY | (shared ? CL_MEM_USE_HOST_PTR : CL_MEM_COPY_HOST_PTR),
        PROBE_BYTES, host, &rc);
    int ok = rc ? 0 : legible(d, m, host, e);
    if (m)
        clReleaseMemObject(m);
    free(page);
    return ok;
}

int opencl_image_open(struct opencl *d, struct err *e)
{
    bool must = d->opt.weights == WEIGHTS_IMAGE;
    d->weights = WEIGHTS_BUFFER;
    // A device that is a CPU has no texture cache; an image costs it a call for every word.
    if (d->opt.weights == WEIGHTS_BUFFER || (!must && d->is_cpu && d->lanes == 1))
        return 0;
    cl_bool has = CL_FALSE;
    size_t texels = 0;
    clGetDeviceInfo(d->dev, CL_DEVICE_IMAGE_SUPPORT, sizeof has, &has, NULL);
    clGetDeviceInfo(d->dev, CL_DEVICE_IMAGE_MAX_BUFFER_SIZE, sizeof texels, &texels, NULL);
    int ok = has && texels ? probe(d, e) : 0;
    if (ok < 0)
        return ok;
    if (!ok && must)
        return err_set(e, ERR_DEVICE, "%s: weights = image, but %s", d->name,
                       has && texels ? "kernels do not read from an image what the host wrote"
                                     : "the device has no images");
    if (!ok) {
        log_info("%s: no images of buffers: weights are buffers", d->name);
        return 0;
    }
    const cl_ulong most = (UINT64_C(1) << 32) - 2 * OPENCL_TEXEL;
    d->max_image = texels < most / OPENCL_TEXEL ? texels * OPENCL_TEXEL : most;
    if (d->opt.max_image && (cl_ulong)d->opt.max_image < d->max_image)
        d->max_image = (cl_ulong)d->opt.max_image;
    d->weights = must ? WEIGHTS_IMAGE : WEIGHTS_AUTO;
    if (must && d->max_image < d->max_weight)
        d->max_weight = d->max_image;
    cl_int rc;
    d->flag_image = opencl_image_new(d, d->flag_mem, PAGE, &rc);
    return rc ? opencl_fail(d, e, rc, "creating an image") : 0;
}
