// SPDX-License-Identifier: GPL-3.0-or-later
// Coherence against an oracle: random devices write random rectangles and read random rows; every
// value that a device reads must be the last one written, wherever that was. And the cases that
// were once wrong, by hand.
#include "tests/engine/fake.h"

#include "engine/coherence.h"

enum { ROWS = 12, WIDTH = 16, BUFFERS = 3 };

// Buffers of a machine and what they should hold.
struct bench {
    struct fake *f;
    struct coherence *c;
    struct buffer b[BUFFERS];
    float oracle[BUFFERS][ROWS][WIDTH];
    float stamp;
    int64_t moved;
    struct op matmul, add;
};

static void bench_open(struct bench *x, const enum fake_kind *kinds, int n)
{
    struct err e = {0};
    memset(x, 0, sizeof *x);
    x->f = fake_open(kinds, n, 0, 1);
    x->c = coherence_create(&x->f->m);
    x->matmul = (struct op){.kind = OP_MATMUL, .name = "matmul", .m = WIDTH, .k = WIDTH};
    x->add = (struct op){.kind = OP_ADD, .name = "add", .m = WIDTH, .k = WIDTH};
    for (int i = 0; i < BUFFERS; i++) {
        CHECK_OK(x->f->m.ops->alloc(&x->f->m, ROWS, WIDTH * 4, &x->b[i], &e), &e);
        coherence_host_wrote(x->c, &x->b[i], 0, ROWS); // zeroes
    }
}

static void bench_close(struct bench *x)
{
    for (int i = 0; i < BUFFERS; i++)
        x->f->m.ops->free(&x->f->m, &x->b[i]);
    coherence_destroy(x->c);
    fake_close(&x->f->m);
}

static float *memory_of(struct bench *x, int device, int b)
{
    return x->f->dev[device].base.caps.coherent ? x->b[b].host : x->b[b].priv[device];
}

static int wrong_rows(struct bench *x, const float *m, int b, int row0, int row1)
{
    int wrong = 0;
    for (int r = row0; r < row1; r++)
        for (int i = 0; i < WIDTH; i++)
            wrong += m[r * WIDTH + i] != x->oracle[b][r][i];
    return wrong;
}

// One task: reads rows [n0, n1) of `in` (and of `out` when in place), writes a rectangle of `out`.
// Returns the bytes copied for it.
static int64_t task(struct bench *x, int device, bool in_place, int in, int out, int m0, int m1,
                    int n0, int n1)
{
    struct task t = {.op = in_place ? &x->add : &x->matmul,
                     .m0 = in_place ? 0 : m0,
                     .m1 = in_place ? WIDTH : m1,
                     .n0 = n0,
                     .n1 = n1,
                     .out_n0 = n0,
                     .in = &x->b[in],
                     .out = &x->b[out]};
    struct err e = {0};
    int64_t before = x->moved;
    CHECK_OK(coherence_before(x->c, &t, device, &x->moved, &e), &e);
    CHECK_INT(wrong_rows(x, memory_of(x, device, in), in, n0, n1), 0);
    if (in_place)
        CHECK_INT(wrong_rows(x, memory_of(x, device, out), out, n0, n1), 0);
    for (int r = n0; r < n1; r++)
        for (int i = t.m0; i < t.m1; i++)
            memory_of(x, device, out)[r * WIDTH + i] = x->oracle[out][r][i] = ++x->stamp;
    coherence_after(x->c, &t, device);
    return x->moved - before;
}

static void test_random_accesses_read_the_last_write(void)
{
    static const enum fake_kind kinds[][4] = {
        {FAKE_CARD, FAKE_CPU}, {FAKE_CARD, FAKE_CARD}, {FAKE_CARD, FAKE_CPU, FAKE_CARD, FAKE_NPU}};
    static const int n[] = {2, 2, 4};
    for (int k = 0; k < 3; k++) {
        struct bench x;
        struct rng *rng = rng_create((uint64_t)k, "coherence");
        struct err e = {0};
        bench_open(&x, kinds[k], n[k]);
        for (int i = 0; i < 4000; i++) {
            int in = (int)rng_below(rng, BUFFERS);
            int out = (in + 1 + (int)rng_below(rng, BUFFERS - 1)) % BUFFERS;
            int m0 = (int)rng_below(rng, WIDTH), n0 = (int)rng_below(rng, ROWS);
            int m1 = m0 + 1 + (int)rng_below(rng, (uint64_t)(WIDTH - m0));
            int n1 = n0 + 1 + (int)rng_below(rng, (uint64_t)(ROWS - n0));
            switch (rng_below(rng, 12)) {
            case 0: // the host writes
                for (int r = n0; r < n1; r++)
                    for (int j = 0; j < WIDTH; j++)
                        ((float *)x.b[out].host)[r * WIDTH + j] = x.oracle[out][r][j] = ++x.stamp;
                coherence_host_wrote(x.c, &x.b[out], n0, n1);
                break;
            case 1: // the host reads
                CHECK_OK(coherence_to_host(x.c, &x.b[in], &x.moved, &e), &e);
                CHECK_INT(wrong_rows(&x, x.b[in].host, in, 0, ROWS), 0);
                break;
            default:
                task(&x, (int)rng_below(rng, (uint64_t)n[k]), rng_below(rng, 3) == 0, in, out, m0,
                     m1, n0, n1);
            }
        }
        int64_t mapped = 0;
        for (int d = 0; d < n[k]; d++)
            mapped += x.f->dev[d].mapped;
        CHECK_INT(x.moved, mapped);
        bench_close(&x);
        rng_destroy(rng);
    }
}

static void test_only_what_is_needed_is_copied(void)
{
    enum { ROW = WIDTH * 4 };
    const enum fake_kind kinds[] = {FAKE_CARD, FAKE_CPU, FAKE_CARD};
    struct bench x;
    bench_open(&x, kinds, 3);
    CHECK_INT(task(&x, 0, false, 0, 1, 0, WIDTH, 2, 5), 3 * ROW); // three rows of the host's
    CHECK_INT(task(&x, 0, false, 0, 1, 0, WIDTH, 2, 5), 0);       // they are there now
    CHECK_INT(task(&x, 0, false, 0, 1, 0, WIDTH, 0, 6), 3 * ROW); // the other three
    CHECK_INT(task(&x, 0, false, 1, 2, 0, WIDTH, 0, 6), 0);       // its own result
    CHECK_INT(task(&x, 1, false, 2, 0, 0, WIDTH, 0, 1), ROW);     // one row to the host
    CHECK_INT(task(&x, 2, false, 2, 0, 0, WIDTH, 0, 1), ROW);     // and on to the other card
    CHECK_INT(task(&x, 2, false, 2, 0, 0, WIDTH, 1, 2), 2 * ROW); // card to card: through the host
    CHECK_INT(task(&x, 1, false, 1, 0, 0, WIDTH, 6, 12), 0);      // never left the host
    bench_close(&x);
}

// A cut by rows in the prompt, another cut in the next token, read on the host's side: the old
// rectangle of the card must not be copied over what the CPU has written since.
static void test_old_rectangles_do_not_cover_new_ones(void)
{
    const enum fake_kind kinds[] = {FAKE_CARD, FAKE_CPU};
    struct bench x;
    bench_open(&x, kinds, 2);
    task(&x, 0, false, 0, 1, 0, WIDTH, 0, ROWS); // all of it by the card, never read elsewhere
    task(&x, 1, false, 0, 1, 0, 4, 0, 1);        // a corner by the CPU
    task(&x, 1, false, 1, 2, 0, WIDTH, 0, 3);
    task(&x, 0, false, 0, 1, 4, WIDTH, 0, 1);
    task(&x, 1, false, 1, 2, 0, WIDTH, 0, ROWS);
    bench_close(&x);
}

// An in-place operator in the middle of a rectangle leaves both of its ends.
static void test_a_write_in_the_middle_keeps_both_ends(void)
{
    const enum fake_kind kinds[] = {FAKE_CARD, FAKE_CPU};
    struct bench x;
    bench_open(&x, kinds, 2);
    task(&x, 1, false, 0, 1, 0, WIDTH, 0, ROWS);
    task(&x, 0, true, 0, 1, 0, 0, 4, 6);
    task(&x, 0, false, 1, 2, 0, WIDTH, 8, ROWS);
    task(&x, 0, false, 1, 2, 0, WIDTH, 0, 4);
    task(&x, 1, false, 1, 2, 0, WIDTH, 0, ROWS);
    bench_close(&x);
}

static void test_coherent_machines_have_none(void)
{
    const enum fake_kind kinds[] = {FAKE_CPU, FAKE_GPU, FAKE_NPU};
    struct fake *f = fake_open(kinds, 3, 0, 1);
    CHECK(coherence_create(&f->m) == NULL);
    struct buffer b = {0};
    int64_t moved = 0;
    struct err e = {0};
    coherence_host_wrote(NULL, &b, 0, 1); // and the calls bear it
    CHECK_OK(coherence_to_host(NULL, &b, &moved, &e), &e);
    CHECK_INT(moved, 0);
    coherence_destroy(NULL);
    fake_close(&f->m);
}

// Thousands of sessions on one machine: buffer ids grow for as long as it lives.
static void test_buffer_ids_may_be_large(void)
{
    const enum fake_kind kinds[] = {FAKE_CARD, FAKE_CPU};
    struct bench x;
    bench_open(&x, kinds, 2);
    x.b[0].id = 1000000, x.b[1].id = 70000;
    coherence_host_wrote(x.c, &x.b[0], 0, ROWS);
    coherence_host_wrote(x.c, &x.b[1], 0, ROWS);
    task(&x, 0, false, 0, 1, 0, WIDTH, 0, ROWS);
    task(&x, 1, false, 1, 0, 0, WIDTH, 0, ROWS);
    bench_close(&x);
}

TESTS(engine_coherence, T(test_random_accesses_read_the_last_write),
      T(test_only_what_is_needed_is_copied), T(test_old_rectangles_do_not_cover_new_ones),
      T(test_a_write_in_the_middle_keeps_both_ends), T(test_coherent_machines_have_none),
      T(test_buffer_ids_may_be_large))
