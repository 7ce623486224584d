// SPDX-License-Identifier: GPL-3.0-or-later
// What the tests of the OpenCL device share: opening it in several configurations, a buffer and its
// twin for the reference, random weights, one matrix product against the reference.
#ifndef TESTS_ENGINE_HOST_OPENCL_RIG_H
#define TESTS_ENGINE_HOST_OPENCL_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "engine/host/host.h"
#include "engine/ref.h"
#include "tests/harness.h"

#define FLOAT "tune = \"off\"; activations = \"float\"; "
#define INT8  "tune = \"off\"; activations = \"int8\"; "
static const char *const configs[] = {
    FLOAT,
    FLOAT "memory = \"copy\"; flag = false;",
    FLOAT "lanes = 8; max_weight = \"16 KiB\";",
    FLOAT "lanes = 32; memory = \"copy\"; max_weight = \"16 KiB\"; compute_units = 0;",
};
enum { CONFIGS = sizeof configs / sizeof *configs };

static struct machine machine;
static struct rng *rng;
static float scratch[8192];

static inline void start_rng(void)
{
    if (!rng)
        rng = rng_create(1, "opencl");
}

static inline struct device *open_device(const char *options)
{
    struct conf *c = NULL;
    struct err e = {0};
    struct device *d = NULL;
    machine.name = "test";
    start_rng();
    if (CHECK_OK(conf_open_text("test", options, &c, &e), &e)) {
        int rc = device_opencl_open(conf_root(c), &machine, 0, &d, &e);
        if (rc == ERR_DEVICE && strstr(e.msg, "no OpenCL platform"))
            test_skip("%s", e.msg);
        else
            CHECK_OK(rc, &e);
    }
    conf_close(c);
    return d;
}

static inline float value(void)
{
    start_rng();
    return (float)(2 * rng_uniform(rng) - 1);
}

// A shared buffer of the device and its twin for the reference.
struct twin {
    struct buffer dev, ref;
};

static inline struct twin twin_new(struct device *d, int64_t rows, int64_t width, int64_t slack)
{
    struct err e = {0};
    struct twin t = {.dev = {.pitch = (width + slack) * 4}};
    t.dev.size = rows * t.dev.pitch;
    t.ref = t.dev;
    size_t size = ((size_t)t.dev.size + 4095) / 4096 * 4096;
    t.dev.host = aligned_alloc(4096, size);
    t.ref.host = aligned_alloc(4096, size);
    float *a = t.dev.host, *b = t.ref.host;
    for (int64_t i = 0; i < t.dev.size / 4; i++)
        a[i] = b[i] = value();
    CHECK_OK(d->ops->alloc(d, &t.dev, &e), &e);
    return t;
}

static inline void twin_free(struct device *d, struct twin *t)
{
    d->ops->free(d, &t->dev);
    free(t->dev.host);
    free(t->ref.host);
}

static inline void map_all(struct device *d, struct twin *t, enum map_dir dir)
{
    struct err e = {0};
    struct buffer *b = &t->dev;
    CHECK_OK(d->ops->map(d, b, 0, b->size / b->pitch, 0, b->pitch, dir, &e), &e);
}

// The largest difference over the whole buffer, also where nothing should have been written.
static inline double difference(struct device *d, struct twin *t)
{
    const float *a = t->dev.host, *b = t->ref.host;
    double most = 0;
    map_all(d, t, MAP_TO_HOST);
    for (int64_t i = 0; i < t->dev.size / 4; i++) {
        double diff = fabs((double)a[i] - b[i]);
        if (!(diff <= most))
            most = diff;
    }
    return most;
}

// Runs the task on both. Buffers are given as twins; NULL where there is none.
static inline void run(struct device *d, struct task t, struct twin *in, struct twin *in2,
                       struct twin *out, struct twin *kc, struct twin *vc)
{
    struct err e = {0};
    uint64_t seq = 0;
    struct twin *all[] = {in, in2, out, kc, vc};
    for (int i = 0; i < 5; i++)
        if (all[i])
            map_all(d, all[i], MAP_TO_DEVICE);
    t.in = in ? &in->dev : NULL;
    t.in2 = in2 ? &in2->dev : NULL;
    t.out = &out->dev;
    t.kcache = kc ? &kc->dev : NULL;
    t.vcache = vc ? &vc->dev : NULL;
    for (int i = 0; i < t.n_parts; i++)
        CHECK_OK(d->ops->load(d, t.w[i], 0, t.w[i]->rows, &e), &e);
    if (!CHECK_OK(d->ops->supports(d, &t, &e), &e) ||
        !CHECK_OK(d->ops->submit(d, &t, &seq, &e), &e))
        return;
    CHECK_OK(d->ops->wait(d, seq, seq % 2 ? WAIT_EVENT : WAIT_FINISH, &e), &e);
    CHECK_INT(d->ops->poll(d, seq, &e), 1);
    t.in = in ? &in->ref : NULL;
    t.in2 = in2 ? &in2->ref : NULL;
    t.out = &out->ref;
    t.kcache = kc ? &kc->ref : NULL;
    t.vcache = vc ? &vc->ref : NULL;
    ref_run(&t, scratch);
}

static uint32_t next_id;
static bool coarse; // activations of products are such that int8 holds them exactly

// Random weights; `offset` bytes past an aligned address, to try what cannot be used in place.
static inline struct tensor tensor_new(const struct encoding *enc, int64_t rows, int64_t cols,
                                       int offset)
{
    struct tensor t = {.enc = enc, .rows = rows, .cols = cols, .id = next_id++};
    snprintf(t.name, sizeof t.name, "w%u", t.id);
    t.row_bytes = encoding_size(enc, cols);
    char *data = aligned_alloc(64, ((size_t)(rows * t.row_bytes) + (size_t)offset + 63) / 64 * 64);
    float *row = malloc((size_t)cols * sizeof *row);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < cols; i++)
            row[i] = value();
        enc->encode(row, data + offset + r * t.row_bytes, cols);
    }
    free(row);
    t.data = data + offset;
    return t;
}

static inline void tensor_free(struct tensor *t, int offset)
{
    free((char *)(uintptr_t)t->data - offset);
}

// F32 sums in another order: the error of one output is a small part of sum |w x| <= k.
static inline double tolerance(int k)
{
    return 1e-6 + 2e-7 * k;
}

// One product [n, k] x [rows of one or two tensors], rows [m0, m1), input row n0, with biases.
static inline void matmul_case(struct device *d, const struct encoding *enc, int k, int rows0,
                               int rows1, int m0, int m1, int n, bool bias, bool logits)
{
    struct model model = {.shape = {.weight_bits = 8}};
    struct op op = {
        .kind = OP_MATMUL, .name = "product", .m = rows0 + rows1, .k = k, .last_only = logits};
    int offset = (int)rng_below(rng, 2) * 4, n0 = (int)rng_below(rng, 3);
    next_id = 0;
    struct tensor w[2] = {tensor_new(enc, rows0, k, offset),
                          tensor_new(enc, rows1 ? rows1 : 1, k, offset)};
    struct tensor b[2] = {tensor_new(&encoding_f32, 1, rows0, 0),
                          tensor_new(&encoding_f32, 1, rows1 ? rows1 : 1, 0)};
    struct task t = {.op = &op,
                     .model = &model,
                     .m0 = m0,
                     .m1 = m1,
                     .n0 = n0,
                     .n1 = n0 + n,
                     .out_n0 = logits ? 0 : n0,
                     .graph = -1,
                     .n_parts = rows1 ? 2 : 1,
                     .w = {&w[0], &w[1]}};
    if (bias)
        t.bias[0] = &b[0], t.bias[1] = &b[1];
    struct twin in = twin_new(d, n0 + n, k, (int)rng_below(rng, 2) * 3);
    for (int64_t i = 0; coarse && i < in.dev.size / 4; i++) {
        int64_t column = i % (in.dev.pitch / 4);
        float v = column % 32 == 5 ? 127 / 64.0f : floorf((float)rng_below(rng, 255) - 127) / 64;
        ((float *)in.dev.host)[i] = ((float *)in.ref.host)[i] = v;
    }
    if (coarse)
        map_all(d, &in, MAP_TO_DEVICE);
    struct twin out = twin_new(d, n0 + n, op.m, (int)rng_below(rng, 2) * 5);
    run(d, t, &in, NULL, &out, NULL, NULL);
    double diff = difference(d, &out);
    if (!CHECK_NEAR(diff, 0, tolerance(k)))
        test_note("%s k=%d rows=%d+%d [%d,%d) n=%d n0=%d bias=%d", enc->name, k, rows0, rows1, m0,
                  m1, n, n0, bias);
    twin_free(d, &in);
    twin_free(d, &out);
    for (int i = 0; i < 2; i++) {
        tensor_free(&w[i], offset);
        tensor_free(&b[i], 0);
    }
}

#endif
