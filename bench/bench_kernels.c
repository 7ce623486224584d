// SPDX-License-Identifier: GPL-3.0-or-later
// Matmul speed of the CPU device and of the tile NPU, per encoding, instruction set and number of
// threads: GEMV (one token) and GEMM (32 and 256 tokens) over a 4096 x 4096 weight. Measured
// through the device seam, submission and wait included.
//
//   bench_kernels [PART-OF-NAME]     e.g. "cpu avx2 x2 Q4_0"; without: everything
//
// GEMV walks over enough copies of the weight to leave the caches (COLD bytes). A line shows the
// median of the runs, weight bytes and useful multiply-adds over that time, and a digest of the
// result, which must not change with threads or runs.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "base/log.h"
#include "engine/host/host.h"
#include "engine/host/kernels.h"
#include "engine/host/tile.h"

enum { SIZE = 4096, MOST_COPIES = 32, MOST_RUNS = 41 };
static const int64_t COLD = 192 << 20; // bytes: beyond the last-level cache of small machines
static const double ENOUGH = 0.4 * (double)PS_PER_S; // time per line

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void *need(void *p)
{
    if (!p) {
        fprintf(stderr, "bench_kernels: out of memory\n");
        exit(1);
    }
    return p;
}

static void check(int rc, const struct err *e)
{
    char text[600];
    if (rc < 0) {
        fprintf(stderr, "bench_kernels: %s\n", err_text(e, text, sizeof text));
        exit(1);
    }
}

struct weights {
    const struct encoding *enc;
    struct tensor copy[MOST_COPIES];
    int n;
};

static void make_weights(struct weights *w, const struct encoding *enc)
{
    int64_t bytes = encoding_size(enc, SIZE) * SIZE;
    uint32_t seed = 1;
    float *row = need(malloc(SIZE * sizeof *row));
    w->enc = enc;
    w->n = (int)(COLD / bytes) + 1;
    w->n = w->n < MOST_COPIES ? w->n : MOST_COPIES;
    for (int i = 0; i < w->n; i++) {
        char *data = need(malloc((size_t)bytes));
        if (i)
            memcpy(data, w->copy[0].data, (size_t)bytes);
        for (int r = 0; r < SIZE && !i; r++) {
            for (int k = 0; k < SIZE; k++) {
                seed = seed * 1664525u + 1013904223u;
                row[k] = (float)(seed >> 8) * 0x1p-24f * 2 - 1;
            }
            enc->encode(row, data + r * encoding_size(enc, SIZE), SIZE);
        }
        w->copy[i] = (struct tensor){.name = "w",
                                     .enc = enc,
                                     .rows = SIZE,
                                     .cols = SIZE,
                                     .row_bytes = encoding_size(enc, SIZE),
                                     .data = data,
                                     .id = (uint32_t)i};
    }
    free(row);
}

static void free_weights(struct weights *w)
{
    for (int i = 0; i < w->n; i++)
        free((void *)(uintptr_t)w->copy[i].data);
}

static void line(struct machine *m, const char *name, const struct weights *w, int n)
{
    struct device *d = m->device[0];
    struct model model = {.shape = {.n_head_kv = 1, .weight_bits = 8}};
    struct op op = {.kind = OP_MATMUL, .name = "mm", .m = SIZE, .k = SIZE};
    struct task t = {.op = &op, .model = &model, .m1 = SIZE, .n1 = n, .graph = -1, .n_parts = 1};
    struct buffer in, out;
    struct err e = {0};
    char text[17];
    double time[MOST_RUNS], total = 0;
    int runs = 0, copies = n == 1 ? w->n : 1;
    check(m->ops->alloc(m, n, SIZE * 4, &in, &e), &e);
    check(m->ops->alloc(m, n, SIZE * 4, &out, &e), &e);
    for (int i = 0; i < n * SIZE; i++)
        ((float *)in.host)[i] = (float)(i * 37 % 101 - 50) / 50;
    t.in = &in;
    t.out = &out;
    if (d->caps.static_graphs) {
        struct static_graph g = {&op, 0, SIZE, n, ORDER_WEIGHT_STATIONARY};
        t.n_pad = n;
        t.order = g.order;
        check(d->ops->prepare(d, &g, &t.graph, &e), &e);
        for (int i = 0; i < copies; i++)
            check(d->ops->load(d, &w->copy[i], 0, SIZE, &e), &e);
    }
    while (runs < MOST_RUNS && (runs < 3 || total < ENOUGH)) {
        uint64_t seq;
        t.w[0] = &w->copy[runs % copies];
        int64_t start = host_now();
        check(d->ops->submit(d, &t, &seq, &e), &e);
        check(d->ops->wait(d, seq, WAIT_FINISH, &e), &e);
        time[runs] = (double)(host_now() - start);
        total += time[runs++];
    }
    qsort(time, (size_t)runs, sizeof time[0], by_value);
    double s = time[runs / 2] / (double)PS_PER_S;
    double bytes = (double)encoding_size(w->enc, SIZE) * SIZE;
    printf("%-18s %-6s n=%-4d %9.3f ms %7.2f GB/s %7.1f GMAC/s  %s\n", name, w->enc->name, n,
           s * 1e3, bytes / s / 1e9, 1.0 * SIZE * SIZE * n / s / 1e9,
           digest_text(digest_bytes(DIGEST_INIT, out.host, (size_t)out.size), text));
    fflush(stdout);
    m->ops->free(m, &in);
    m->ops->free(m, &out);
}

static void device(const char *name, const char *conf, const struct weights *w, const char *only)
{
    struct conf *c;
    struct machine *m;
    struct err e = {0};
    char full[80];
    snprintf(full, sizeof full, "%s %s", name, w->enc->name);
    if (only && !strstr(full, only))
        return;
    check(conf_open_text("bench", conf, &c, &e), &e);
    check(machine_host_open(c, &m, &e), &e);
    conf_close(c);
    line(m, name, w, 1);
    line(m, name, w, 32);
    line(m, name, w, 256);
    m->ops->close(m);
}

int main(int argc, char **argv)
{
    static const char *const cpu_isa[] = {"generic", "avx2", "avx512", "neon"};
    static const char *const tile_isa[] = {"generic", "avx2", "avx512", "amx", "neon", "i8mm"};
    const char *only = argc > 1 ? argv[1] : NULL;
    char name[40], conf[200];
    log_open(stderr, LOG_WARN);
    for (size_t e = 0; e < encoding_registry_count; e++) {
        struct weights w;
        make_weights(&w, encoding_registry[e]);
        for (int i = 0; i < 4; i++) {
            struct cpu_kernels k;
            if (kernels_select((enum isa)(ISA_GENERIC + i), &k, NULL) < 0)
                continue;
            for (int threads = 1; threads <= 2; threads++) {
                snprintf(name, sizeof name, "cpu %s x%d", cpu_isa[i], threads);
                snprintf(conf, sizeof conf,
                         "cpu = { isa = \"%s\"; threads = %d; }; gpu = { enabled = false; }; "
                         "npu = { enabled = false; };",
                         cpu_isa[i], threads);
                device(name, conf, &w, only);
            }
        }
        for (int i = 0; i < 6; i++) {
            struct tile_kernels k;
            if (tile_select((enum tile_isa)(TILE_GENERIC + i), &k, NULL) < 0)
                continue;
            snprintf(name, sizeof name, "npu %s", tile_isa[i]);
            snprintf(conf, sizeof conf,
                     "cpu = { enabled = false; }; gpu = { enabled = false; }; "
                     "npu = { isa = \"%s\"; };",
                     tile_isa[i]);
            device(name, conf, &w, only);
        }
        free_weights(&w);
    }
    return 0;
}
