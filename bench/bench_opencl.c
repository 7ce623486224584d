// SPDX-License-Identifier: GPL-3.0-or-later
// Microbenchmarks of the OpenCL device: what a matrix product of each encoding reaches, and what
// launching, finishing and hearing of the end cost. Medians (in parentheses: the best run); the
// machine should be idle.
//
//   bench_opencl ["option=value;..." [ENCODING]]    options of the gpu group, e.g. compute_units=0;
//                                                   one encoding's products only
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "engine/host/host.h"

enum { RUNS = 15, LATENCIES = 301, DIM = 4096, COPIES = 4 };

static struct machine machine;
static struct device *dev;
static struct rng *rng;
static struct err err;

static void check(int rc)
{
    char text[600];
    if (rc >= 0)
        return;
    fprintf(stderr, "bench_opencl: %s\n", err_text(&err, text, sizeof text));
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[n / 2];
}

static struct buffer buffer_new(int64_t rows, int64_t width)
{
    struct buffer b = {.pitch = width * 4, .size = rows * width * 4};
    b.host = aligned_alloc(4096, ((size_t)b.size + 4095) / 4096 * 4096);
    for (int64_t i = 0; i < rows * width; i++)
        ((float *)b.host)[i] = (float)(rng_uniform(rng) - 0.5);
    check(dev->ops->alloc(dev, &b, &err));
    return b;
}

static void buffer_free(struct buffer *b)
{
    dev->ops->free(dev, b);
    free(b->host);
}

// Several copies of the matrix take turns, so that a last-level cache does not play DRAM.
static void bench_matmul(const struct encoding *enc)
{
    static const int tokens[] = {1, 4, 32, 256};
    struct tensor w[COPIES];
    int64_t row_bytes = encoding_size(enc, DIM);
    float row[DIM];
    for (int c = 0; c < COPIES; c++) {
        char *data = aligned_alloc(4096, (size_t)(DIM * row_bytes));
        for (int i = 0; i < DIM; i++)
            row[i] = (float)(rng_uniform(rng) - 0.5);
        for (int r = 0; r < DIM; r++) // equal rows are as slow as different ones
            if (r)
                memcpy(data + r * row_bytes, data, (size_t)row_bytes);
            else
                enc->encode(row, data, DIM);
        w[c] = (struct tensor){"w", enc, DIM, DIM, row_bytes, data, (uint32_t)c};
    }
    struct buffer in = buffer_new(256, DIM), out = buffer_new(256, DIM);
    struct model model = {.shape = {.weight_bits = 8.0 * (double)row_bytes / DIM}};
    struct op op = {.kind = OP_MATMUL, .name = "product", .m = DIM, .k = DIM};
    printf("%-5s", enc->name);
    for (int i = 0; i < 4; i++) {
        int n = tokens[i], runs = n > 32 ? 5 : RUNS;
        double s[RUNS] = {0};
        struct task t = {.op = &op,
                         .model = &model,
                         .m1 = DIM,
                         .n1 = n,
                         .graph = -1,
                         .n_parts = 1,
                         .in = &in,
                         .out = &out};
        for (int r = -COPIES; r < runs; r++) {
            uint64_t seq;
            t.w[0] = &w[(r + COPIES) % COPIES];
            check(dev->ops->load(dev, t.w[0], 0, DIM, &err));
            int64_t begin = host_now();
            check(dev->ops->submit(dev, &t, &seq, &err));
            check(dev->ops->wait(dev, seq, WAIT_FINISH, &err));
            if (r >= 0)
                s[r] = (double)(host_now() - begin) / 1e12;
        }
        double sec = median(s, runs);
        if (n == 1)
            printf("  n=1 %6.2f (%.2f) GB/s", (double)(DIM * row_bytes) / sec / 1e9,
                   (double)(DIM * row_bytes) / s[0] / 1e9);
        else
            printf("  n=%d %6.1f (%.1f) GFLOP/s", n, 2.0 * DIM * DIM * n / sec / 1e9,
                   2.0 * DIM * DIM * n / s[0] / 1e9);
        fflush(stdout);
    }
    printf("\n");
    buffer_free(&in);
    buffer_free(&out);
    for (int c = 0; c < COPIES; c++)
        free((void *)(uintptr_t)w[c].data);
}

static void bench_attention(void)
{
    enum { HEADS = 32, KV = 8, D = 128, CTX = 1024 };
    struct model model = {.shape = {.n_head = HEADS, .n_head_kv = KV, .d_head = D}};
    struct op op = {.kind = OP_ATTENTION, .name = "attn", .m = HEADS * D, .k = HEADS * D};
    struct buffer q = buffer_new(64, HEADS * D), out = buffer_new(64, HEADS * D);
    struct buffer kc = buffer_new(CTX, KV * D), vc = buffer_new(CTX, KV * D);
    for (int n = 1; n <= 64; n *= 64) {
        struct task t = {.op = &op,
                         .model = &model,
                         .m1 = op.m,
                         .n1 = n,
                         .graph = -1,
                         .n_past = CTX - n,
                         .in = &q,
                         .out = &out,
                         .kcache = &kc,
                         .vcache = &vc};
        double s[RUNS] = {0};
        for (int r = 0; r < RUNS; r++) {
            uint64_t seq;
            int64_t begin = host_now();
            check(dev->ops->submit(dev, &t, &seq, &err));
            check(dev->ops->wait(dev, seq, WAIT_FINISH, &err));
            s[r] = (double)(host_now() - begin) / 1e12;
        }
        double sec = median(s, RUNS);
        printf("attention 32/8 heads of 128, 1024 rows, n=%d: %.1f (%.1f) GFLOP/s\n", n,
               task_work(&t, 4).flops / sec / 1e9, task_work(&t, 4).flops / s[0] / 1e9);
    }
    struct buffer *all[] = {&q, &out, &kc, &vc};
    for (int i = 0; i < 4; i++)
        buffer_free(all[i]);
}

// The smallest task, waited for in every way.
static void bench_latency(void)
{
    struct model model = {0};
    struct op op = {.kind = OP_ADD, .name = "add", .m = 8, .k = 8};
    struct buffer in = buffer_new(1, 8), out = buffer_new(1, 8);
    struct task t = {
        .op = &op, .model = &model, .m1 = 8, .n1 = 1, .graph = -1, .in = &in, .out = &out};
    struct host_device *h = (struct host_device *)dev;
    static const char *const ways[] = {"finish", "event", "poll", "flag"};
    double us[LATENCIES], submit[LATENCIES];
    uint64_t seq = 0;
    for (int way = 0; way < (dev->caps.flag ? 4 : 3); way++) {
        for (int i = 0; i < LATENCIES; i++) {
            int64_t begin = host_now(), mid;
            check(dev->ops->submit(dev, &t, &seq, &err));
            mid = host_now();
            if (way < 2)
                check(dev->ops->wait(dev, seq, way ? WAIT_EVENT : WAIT_FINISH, &err));
            else if (way == 2)
                while (!dev->ops->poll(dev, seq, &err))
                    ;
            else
                while (atomic_load_explicit(h->flag, memory_order_acquire) < seq)
                    ;
            us[i] = (double)(host_now() - begin) / 1e6;
            submit[i] = (double)(mid - begin) / 1e6;
            check(dev->ops->wait(dev, seq, WAIT_FINISH, &err));
        }
        printf("empty task, %-6s  submit %6.1f us, submit to known %6.1f us\n", ways[way],
               median(submit, LATENCIES), median(us, LATENCIES));
    }
    for (int i = 0; i < RUNS; i++) {
        int64_t begin = host_now();
        for (int j = 0; j < 200; j++)
            check(dev->ops->submit(dev, &t, &seq, &err));
        check(dev->ops->wait(dev, seq, WAIT_FINISH, &err));
        us[i] = (double)(host_now() - begin) / 1e6 / 200;
    }
    printf("empty task in a batch of 200: %.1f us\n", median(us, RUNS));
    buffer_free(&in);
    buffer_free(&out);
}

int main(int argc, char **argv)
{
    char text[512] = "";
    if (argc > 1)
        snprintf(text, sizeof text, "%s;", argv[1]);
    struct conf *c = NULL;
    rng = rng_create(1, "bench");
    check(conf_open_text("options", text, &c, &err));
    int64_t begin = host_now();
    int rc = device_opencl_open(conf_root(c), &machine, 0, &dev, &err);
    conf_close(c);
    if (rc == ERR_DEVICE) {
        printf("skipped: %s\n", err.msg);
        rng_destroy(rng);
        return 0;
    }
    check(rc);
    printf("%s, coherent %d, flag %d, opened in %.0f ms\n", dev->caps.detail, dev->caps.coherent,
           dev->caps.flag, (double)(host_now() - begin) / 1e9);
    if (argc < 3)
        bench_latency();
    printf("%d x %d product, one of %d matrices in turn\n", DIM, DIM, COPIES);
    for (size_t i = 0; i < encoding_registry_count; i++)
        if (argc < 3 || !strcmp(argv[2], encoding_registry[i]->name))
            bench_matmul(encoding_registry[i]);
    if (argc < 3)
        bench_attention();
    dev->ops->close(dev);
    rng_destroy(rng);
    return 0;
}
