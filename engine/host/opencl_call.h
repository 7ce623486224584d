// SPDX-License-Identifier: GPL-3.0-or-later
// A kernel whose arguments are being set in order. The first error sticks; opencl_enqueue reports
// it.
#ifndef ENGINE_HOST_OPENCL_CALL_H
#define ENGINE_HOST_OPENCL_CALL_H

#include <assert.h>
#include "engine/host/opencl_kernels.h"

struct call {
    cl_kernel kernel;
    int lanes; // work-items of a work-group
    cl_uint n;
    cl_int rc;
};

static inline void arg(struct call *c, size_t size, const void *value)
{
    if (!c->rc)
        c->rc = clSetKernelArg(c->kernel, c->n++, size, value);
}
static inline void arg_mem(struct call *c, cl_mem m)
{
    arg(c, sizeof m, &m);
}
static inline void arg_int(struct call *c, int64_t v)
{
    cl_int i = (cl_int)v;
    assert(v == i);
    arg(c, sizeof i, &i);
}
static inline void arg_uint(struct call *c, cl_uint v)
{
    arg(c, sizeof v, &v);
}
static inline void arg_long(struct call *c, int64_t v)
{
    cl_ulong l = (cl_ulong)v;
    arg(c, sizeof l, &l);
}
static inline void arg_float(struct call *c, float v)
{
    arg(c, sizeof v, &v);
}
// A buffer from row `row`, column `col` on, as the kernels take it: memory, offset, pitch in
// floats.
static inline void arg_rows(struct call *c, const struct opencl *d, const struct buffer *b,
                            int64_t row, int64_t col)
{
    arg_mem(c, opencl_buffer_mem(d, b));
    arg_long(c, row * b->pitch / 4 + col);
    arg_int(c, b->pitch / 4);
}

static inline int64_t groups(int64_t n, int64_t per)
{
    return (n + per - 1) / per;
}

// Enqueues x * y work-groups as part of the current ticket, if there is one.
int opencl_enqueue(struct opencl *d, struct call *c, int64_t x, int64_t y, const char *what,
                   struct err *e);

#endif
