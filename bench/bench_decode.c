// SPDX-License-Identifier: GPL-3.0-or-later
// How much of the memory's bandwidth decoding uses: a plain read of READ bytes by as many threads
// (which asks ahead as the kernels do), and matmuls of one token through the CPU device, over
// copies of one weight that no cache holds. All lines of a number of threads take turns, so that
// whatever slows the machine slows all of them.
//
//   bench_decode [ROUNDS [ENCODING]]     (default: 7, all)
//
// A line has the median of the rounds in weight bytes per second, its share of the plain read, the
// tokens per second of a model of 1.1 G weights at that speed, and a digest of the result, which
// must not change with threads or rounds. Threads are pinned.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "base/digest.h"
#include "bench/util.h"
#include "engine/host/host.h"
#include "engine/host/team.h"

enum { M = 5632, K = 2048, MOST_ROUNDS = 99, MOST_THREADS = 2, CHUNKS = 512, AHEAD = 3072 };
static const int64_t READ = 256 << 20; // bytes: far beyond the last-level cache
static const double WEIGHTS = 1.034e9; // of TinyLlama-1.1B that are read per token: no embedding

static const struct encoding *const encodings[] = {&encoding_f16,  &encoding_q8_0, &encoding_q4_0,
                                                   &encoding_q4_1, &encoding_q5_0, &encoding_iq4_nl,
                                                   &encoding_q4_k, &encoding_q5_k, &encoding_q6_k};
enum { ENCODINGS = sizeof encodings / sizeof encodings[0] };

struct weights {
    char *data;
    int copies;
};

// The sums keep the compiler from leaving the reads out.
struct reading {
    const char *data;
    uint64_t sum[CHUNKS];
};

static void read_chunk(void *ctx, int chunk, int worker)
{
    typedef uint64_t v4 __attribute__((vector_size(32)));
    struct reading *r = ctx;
    const v4 *p = (const v4 *)(const void *)(r->data + READ / CHUNKS * chunk);
    v4 a = {0}, b = {0};
    (void)worker;
    for (int64_t i = 0; i < READ / CHUNKS / (int64_t)sizeof *p; i += 4) {
        __builtin_prefetch((const char *)(p + i) + AHEAD);
        __builtin_prefetch((const char *)(p + i) + AHEAD + 64);
        a ^= p[i] ^ p[i + 1];
        b ^= p[i + 2] ^ p[i + 3];
    }
    a ^= b;
    r->sum[chunk] = a[0] ^ a[1] ^ a[2] ^ a[3];
}

static char *big(int64_t bytes)
{
    char *p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        fprintf(stderr, "bench_decode: out of memory\n");
        exit(1);
    }
    madvise(p, (size_t)bytes, MADV_HUGEPAGE);
    return p;
}

static void make_weights(struct weights *w, const struct encoding *enc)
{
    static float row[K];
    int64_t row_bytes = encoding_size(enc, K), bytes = row_bytes * M;
    uint32_t seed = 1;
    w->copies = (int)(READ / bytes) + 1;
    w->data = big(bytes * w->copies);
    for (int r = 0; r < M; r++) {
        for (int k = 0; k < K; k++) {
            seed = seed * 1664525u + 1013904223u;
            row[k] = (float)(seed >> 8) * 0x1p-24f * 2 - 1;
        }
        enc->encode(row, w->data + r * row_bytes, K);
    }
    for (int i = 1; i < w->copies; i++)
        memcpy(w->data + i * bytes, w->data, (size_t)bytes);
}

struct rig {
    struct machine *machine;
    struct team *team;
    struct buffer in, out;
};

static void rig_open(struct rig *r, int threads)
{
    char text[160];
    struct conf *c;
    struct err e = {0};
    struct conf_int_list pin = {.n = MOST_THREADS, .v = {0, 1}};
    snprintf(text, sizeof text,
             "cpu = { threads = %d; pin = [0, 1]; }; gpu = { enabled = false; }; npu = { enabled = "
             "false; };",
             threads);
    bench_must(conf_open_text("bench", text, &c, &e), &e);
    bench_must(machine_host_open(c, &r->machine, &e), &e);
    conf_close(c);
    bench_must(team_create(threads, 2000, &pin, &r->team, &e), &e);
    bench_must(r->machine->ops->alloc(r->machine, 1, K * 4, &r->in, &e), &e);
    bench_must(r->machine->ops->alloc(r->machine, 1, M * 4, &r->out, &e), &e);
    for (int i = 0; i < K; i++)
        ((float *)r->in.host)[i] = (float)(i * 37 % 101 - 50) / 50;
}

static void rig_close(struct rig *r)
{
    r->machine->ops->free(r->machine, &r->in);
    r->machine->ops->free(r->machine, &r->out);
    team_destroy(r->team);
    r->machine->ops->close(r->machine);
}

static double read_speed(const struct rig *r, struct reading *reading)
{
    int64_t start = host_now();
    team_run(r->team, read_chunk, reading, CHUNKS);
    return (double)READ * PS_PER_S / (double)(host_now() - start);
}

// One token by all copies, submitted back to back.
static double decode_speed(const struct rig *r, const struct weights *w, const struct encoding *enc)
{
    struct device *d = r->machine->device[0];
    struct model model = {.shape = {.n_head_kv = 1, .weight_bits = 8}};
    struct op op = {.kind = OP_MATMUL, .name = "mm", .m = M, .k = K};
    struct tensor tensor = {
        .name = "w", .enc = enc, .rows = M, .cols = K, .row_bytes = encoding_size(enc, K)};
    struct task t = {.op = &op,
                     .model = &model,
                     .m1 = M,
                     .n1 = 1,
                     .graph = -1,
                     .n_parts = 1,
                     .in = (struct buffer *)(uintptr_t)&r->in,
                     .out = (struct buffer *)(uintptr_t)&r->out};
    struct tensor copy[256];
    struct err e = {0};
    uint64_t seq = 0;
    int64_t start = host_now();
    for (int i = 0; i < w->copies; i++) {
        copy[i] = tensor;
        copy[i].data = w->data + tensor.row_bytes * M * i;
        t.w[0] = &copy[i];
        bench_must(d->ops->submit(d, &t, &seq, &e), &e);
    }
    bench_must(d->ops->wait(d, seq, WAIT_FINISH, &e), &e);
    return (double)(tensor.row_bytes * M * w->copies) * PS_PER_S / (double)(host_now() - start);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[n / 2];
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 7;
    rounds = rounds < 1 ? 1 : rounds > MOST_ROUNDS ? MOST_ROUNDS : rounds;
    const char *only = argc > 2 ? argv[2] : NULL;
    static struct weights w[ENCODINGS];
    static double speed[ENCODINGS + 1][MOST_ROUNDS];
    static struct reading reading;
    reading.data = memset(big(READ), 1, (size_t)READ);
    for (int i = 0; i < ENCODINGS; i++)
        if (!only || !strcmp(only, encodings[i]->name))
            make_weights(&w[i], encodings[i]);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct rig r;
        uint64_t digest[ENCODINGS] = {0};
        rig_open(&r, threads);
        for (int i = -1; i < rounds; i++) { // the first warms up
            int at = i < 0 ? 0 : i;
            speed[ENCODINGS][at] = read_speed(&r, &reading);
            for (int e = 0; e < ENCODINGS; e++) {
                if (!w[e].data)
                    continue;
                speed[e][at] = decode_speed(&r, &w[e], encodings[e]);
                digest[e] = digest_bytes(DIGEST_INIT, r.out.host, (size_t)r.out.size);
            }
        }
        double read = median(speed[ENCODINGS], rounds);
        printf("x%d read   %6.2f GB/s\n", threads, read / 1e9);
        for (int e = 0; e < ENCODINGS; e++) {
            char text[17];
            if (!w[e].data)
                continue;
            double v = median(speed[e], rounds);
            printf("x%d %-6s %6.2f GB/s %4.0f %% %7.1f token/s  %s\n", threads, encodings[e]->name,
                   v / 1e9, 100 * v / read,
                   v / (WEIGHTS * (double)encoding_size(encodings[e], K) / K),
                   digest_text(digest[e], text));
        }
        fflush(stdout);
        rig_close(&r);
    }
    for (int i = 0; i < ENCODINGS; i++)
        if (w[i].data)
            munmap(w[i].data, (size_t)(encoding_size(encodings[i], K) * M * w[i].copies));
    munmap((void *)(uintptr_t)reading.data, (size_t)READ);
    return 0;
}
