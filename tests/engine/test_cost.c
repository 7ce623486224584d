// SPDX-License-Identifier: GPL-3.0-or-later
// The cost table: interpolation by hand, both sides of every edge, and a CSV that reads back to the
// last bit or says which line is wrong.
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "engine/cost.h"

static const enum operand_order S = ORDER_WEIGHT_STREAMED, W = ORDER_WEIGHT_STATIONARY;

// Device 1, K = 64: 10 + rows + 1000 n at rows 32, 64, 128 and n = 1, 4; a plane, so that the
// interpolation is exact between the points.
static struct cost_table *plane(void)
{
    static const int m[] = {128, 32, 64}, n[] = {4, 1}; // in no order
    struct cost_table *t = cost_create();
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 2; j++)
            cost_add_matmul(t, 1, S, 64, m[i], n[j], 10.0 + m[i] + 1000.0 * n[j]);
    return t;
}

static void test_an_empty_table_knows_nothing(void)
{
    struct cost_table *t = cost_create();
    CHECK(cost_matmul(t, 0, S, 64, 32, 1) < 0);
    CHECK(cost_op(t, 0, OP_ADD, 64, 1, 1) < 0);
    const struct cost_overheads *o = cost_get_overheads(t);
    for (int d = 0; d < MACHINE_MAX_DEVICES; d++) {
        CHECK_NEAR(o->together[d], 1, 0);
        CHECK_NEAR(o->together_many[d], 1, 0);
        CHECK_NEAR(o->join[d] + o->submit[d] + o->copy_bandwidth[d], 0, 0);
    }
    cost_destroy(t);
    cost_destroy(NULL);
}

static void test_points_are_exact(void)
{
    struct cost_table *t = plane();
    CHECK_NEAR(cost_matmul(t, 1, S, 64, 32, 1), 1042, 0);
    CHECK_NEAR(cost_matmul(t, 1, S, 64, 64, 1), 1074, 0);
    CHECK_NEAR(cost_matmul(t, 1, S, 64, 128, 4), 4138, 0);
    // Everything else is another curve.
    CHECK(cost_matmul(t, 0, S, 64, 32, 1) < 0);
    CHECK(cost_matmul(t, 1, W, 64, 32, 1) < 0);
    CHECK(cost_matmul(t, 1, S, 65, 32, 1) < 0);
    CHECK(cost_op(t, 1, OP_ADD, 64, 1, 1) < 0);
    cost_add_matmul(t, 1, S, 64, 32, 1, 7); // measured again: the last counts
    CHECK_NEAR(cost_matmul(t, 1, S, 64, 32, 1), 7, 0);
    cost_destroy(t);
}

static void test_between_and_beyond(void)
{
    struct cost_table *t = plane();
    for (int m = 32; m <= 128; m++)
        for (int n = 1; n <= 4; n++)
            CHECK_NEAR(cost_matmul(t, 1, S, 64, m, n), 10 + m + 1000 * n, 1e-9);
    // Fewer rows than measured: the first point's time. More: in proportion to the last point.
    CHECK_NEAR(cost_matmul(t, 1, S, 64, 31, 1), 1042, 0);
    CHECK_NEAR(cost_matmul(t, 1, S, 64, 1, 1), 1042, 0);
    CHECK_NEAR(cost_matmul(t, 1, S, 64, 129, 1), 1138.0 * 129 / 128, 1e-9);
    CHECK_NEAR(cost_matmul(t, 1, S, 64, 256, 1), 2 * 1138, 1e-9);
    // More tokens: in proportion to the last column, and both at once.
    CHECK_NEAR(cost_matmul(t, 1, S, 64, 64, 5), 4074.0 * 5 / 4, 1e-9);
    CHECK_NEAR(cost_matmul(t, 1, S, 64, 256, 8), 4 * 4138, 1e-9);
    cost_destroy(t);
    // Fewer tokens than measured: the first column's.
    t = cost_create();
    cost_add_matmul(t, 0, S, 8, 16, 4, 100);
    CHECK_NEAR(cost_matmul(t, 0, S, 8, 16, 3), 100, 0);
    CHECK_NEAR(cost_matmul(t, 0, S, 8, 16, 4), 100, 0);
    CHECK_NEAR(cost_matmul(t, 0, S, 8, 16, 5), 125, 1e-12);
    CHECK_NEAR(cost_matmul(t, 0, S, 8, 8, 4), 100, 0);
    CHECK_NEAR(cost_matmul(t, 0, S, 8, 32, 4), 200, 1e-12);
    cost_destroy(t);
    // Columns with rows of their own: each is interpolated by itself, then between them.
    t = cost_create();
    cost_add_matmul(t, 0, S, 8, 10, 2, 100);
    cost_add_matmul(t, 0, S, 8, 30, 2, 300);
    cost_add_matmul(t, 0, S, 8, 20, 6, 1000);
    CHECK_NEAR(cost_matmul(t, 0, S, 8, 20, 3), 0.75 * 200 + 0.25 * 1000, 1e-9);
    cost_destroy(t);
}

static void test_attention_by_cached_rows(void)
{
    struct cost_table *t = cost_create();
    cost_add_op(t, 2, OP_ATTENTION, 64, 1, 100, 1000);
    cost_add_op(t, 2, OP_ATTENTION, 64, 1, 200, 1500);
    CHECK_NEAR(cost_op(t, 2, OP_ATTENTION, 64, 1, 150), 1250, 1e-9);
    CHECK_NEAR(cost_op(t, 2, OP_ATTENTION, 64, 1, 50), 1000, 0);
    CHECK_NEAR(cost_op(t, 2, OP_ATTENTION, 64, 1, 400), 3000, 1e-9);
    // The cache matters to no other operator.
    cost_add_op(t, 2, OP_ADD, 64, 4, 100, 40);
    CHECK_NEAR(cost_op(t, 2, OP_ADD, 64, 4, 7), 40, 0);
    CHECK_NEAR(cost_op(t, 2, OP_ADD, 64, 4, 70000), 40, 0);
    CHECK_NEAR(cost_op(t, 2, OP_ADD, 64, 8, 1), 80, 1e-12);
    CHECK(cost_op(t, 2, OP_SWIGLU, 64, 4, 100) < 0);
    cost_destroy(t);
}

// ---- files ----

static const char *file_with(const char *text, size_t size)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/cost.csv", test_tmpdir());
    FILE *f = fopen(path, "w");
    CHECK(f && fwrite(text, 1, size, f) == size);
    if (f)
        fclose(f);
    return path;
}

static char *written(const struct cost_table *t)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    cost_write(t, f);
    fclose(f);
    return text;
}

// A table of before there were pairs is the same table, and one that knows a pair is another.
static void test_pairs(void)
{
    struct cost_table *t = plane(), *u = plane();
    for (int a = 0; a < MACHINE_MAX_DEVICES; a++)
        for (int b = 0; b < MACHINE_MAX_DEVICES; b++)
            CHECK(cost_get_overheads(t)->pair[a][b] < 0);
    char *text = written(t);
    CHECK(!strstr(text, "pair"));
    cost_overheads(t)->pair[2][1] = 0;
    CHECK(cost_digest(t) != cost_digest(u));
    free(text);
    text = written(t);
    CHECK_HAS(text, "\npair,2,0,0,0,1,0\n");
    cost_overheads(t)->pair[2][1] = -1;
    CHECK(cost_digest(t) == cost_digest(u));
    cost_overheads(u)->pair[1][2] = 0;
    cost_overheads(t)->pair[2][1] = 0;
    CHECK(cost_digest(t) != cost_digest(u));
    free(text);
    cost_destroy(t);
    cost_destroy(u);
}

static void test_the_file_reads_back_to_the_last_bit(void)
{
    struct rng *r = rng_create(1, "cost");
    struct cost_table *t = cost_create(), *u = cost_create();
    struct err e = {0};
    for (int i = 0; i < 400; i++) { // odd numbers, in no order
        double ps = rng_uniform(r) * 1e12 / 3;
        int d = (int)rng_below(r, 4), n = 1 + (int)rng_below(r, 300);
        if (i % 2)
            cost_add_matmul(t, d, (enum operand_order)rng_below(r, 2), 64, 1 + i * 7 % 500, n, ps);
        else
            cost_add_op(t, d, (enum op_kind)rng_below(r, OP_KINDS), 96, n, i, ps);
    }
    double *o = (double *)cost_overheads(t);
    for (size_t i = 0; i < sizeof *cost_overheads(t) / sizeof *o; i++)
        o[i] = 1 + rng_uniform(r) / 3;
    char *text = written(t);
    CHECK_OK(cost_read(u, file_with(text, strlen(text)), &e), &e);
    CHECK(cost_digest(t) == cost_digest(u));
    char *again = written(u);
    CHECK_STR(again, text);
    // One bit of one number is another table.
    cost_add_matmul(u, 0, S, 64, 1000, 1, 5);
    uint64_t five = cost_digest(u);
    CHECK(five != cost_digest(t));
    cost_add_matmul(u, 0, S, 64, 1000, 1, nextafter(5, 6));
    CHECK(cost_digest(u) != five);
    cost_overheads(u)->join[3] += 1;
    CHECK(cost_digest(u) != five);
    free(text);
    free(again);
    cost_destroy(t);
    cost_destroy(u);
    rng_destroy(r);
}

#define H   "kind,device,order,k,n,x,ps\n"
#define ROW "matmul,0,0,64,1,32,100\n"

static void test_a_malformed_file_is_refused_with_its_line(void)
{
    static const struct {
        const char *text;
        int line;
        const char *says;
    } bad[] = {
        {"", 0, "empty"},
        {"\n", 1, "header"},
        {ROW, 1, "header"},
        {"kind,device,order,k,n,x\n", 1, "header"},
        {"KIND,device,order,k,n,x,ps\n", 1, "header"},
        {H "\n", 2, "malformed"},
        {H ROW "\n" ROW, 3, "malformed"},
        {H "matmul\n", 2, "malformed"},
        {H "matmul,0,0,64,1,32\n", 2, "malformed"},
        {H "matmul,0,0,64,1,32,\n", 2, "malformed"},
        {H "matmul,0,0,64,1,32,100,7\n", 2, "malformed"},
        {H "matmul,0,0,64,1,32,100 us\n", 2, "malformed"},
        {H "matmul,0,0,64,,32,100\n", 2, "malformed"},
        {H "matmul;0;0;64;1;32;100\n", 2, "malformed"},
        {H "matmul,0x1,0,64,1,32,100\n", 2, "malformed"},
        {H "matmul,1.5,0,64,1,32,100\n", 2, "malformed"},
        {H "matmul,4,0,64,1,32,100\n", 2, "malformed"},
        {H "matmul,-1,0,64,1,32,100\n", 2, "malformed"},
        {H "matmul,0,2,64,1,32,100\n", 2, "malformed"},
        {H "matmul,0,-1,64,1,32,100\n", 2, "malformed"},
        {H "matmul,0,0,-64,1,32,100\n", 2, "malformed"},
        {H "matmul,0,0,64,1,-32,100\n", 2, "malformed"},
        {H "matmul,0,0,64,1,4294967328,100\n", 2, "malformed"},
        {H "matmul,0,0,99999999999999999999,1,32,100\n", 2, "malformed"},
        {H "matmul,0,0,64,1,32,-1\n", 2, "malformed"},
        {H "matmul,0,0,64,1,32,nan\n", 2, "malformed"},
        {H "matmul,0,0,64,1,32,inf\n", 2, "malformed"},
        {H "matmul,0,0,64,1,32,1e999\n", 2, "malformed"},
        {H "matmul,0,0,64,1,32,many\n", 2, "malformed"},
        {H "matmul,0,0,64,0,32,100\n", 2, "at least 1"},
        {H "matmul,0,0,0,1,32,100\n", 2, "at least 1"},
        {H "matmuls,0,0,64,1,32,100\n", 2, "unknown kind"},
        {H "mat,0,0,64,1,32,100\n", 2, "unknown kind"},
        {H ",0,0,64,1,32,100\n", 2, "unknown kind"},
        {H " matmul,0,0,64,1,32,100\n", 2, "unknown kind"},
        {H ROW ROW, 3, "twice"},
        {H "join,0,0,0,0,0,1\njoin,1,0,0,0,0,1\njoin,0,0,0,0,0,2\n", 4, "twice"},
        {H "join,0,0,64,0,0,1\n", 2, "must be 0"},
        {H "pair,0,0,0,0,1,1\npair,1,0,0,0,0,1\npair,0,0,0,0,1,2\n", 4, "twice"},
        {H "pair,0,0,0,1,1,1\n", 2, "must be 0"},
        {H "pair,0,0,0,0,4,1\n", 2, "x a device"},
        {H "together,0,0,0,0,0,0.5\n", 2, "below 1"},
        {H "together_many,0,0,0,0,0,0\n", 2, "below 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cost_table *t = cost_create();
        struct err e = {0};
        const char *path = file_with(bad[i].text, strlen(bad[i].text));
        int rc = cost_read(t, path, &e);
        if (rc >= 0)
            test_note("accepted: %s", bad[i].text);
        CHECK_INT(rc, ERR_FORMAT);
        CHECK_INT(e.line, bad[i].line);
        CHECK_STR(e.file, path);
        CHECK_HAS(e.msg, bad[i].says);
        cost_destroy(t);
    }
}

static void test_what_files_may_look_like(void)
{
    static const char *const good[] = {H,
                                       H ROW,
                                       "kind,device,order,k,n,x,ps\r\nmatmul,0,0,64,1,32,100\r\n",
                                       H "matmul,0,0,64,1,32,100",
                                       H "matmul,3,1,1,1,0,0\n",
                                       H "submit,3,0,0,0,0,1e-3\ntogether,0,0,0,0,0,1\n"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct cost_table *t = cost_create();
        struct err e = {0};
        CHECK_OK(cost_read(t, file_with(good[i], strlen(good[i])), &e), &e);
        if (i >= 1 && i <= 3)
            CHECK_NEAR(cost_matmul(t, 0, S, 64, 32, 1), 100, 0);
        cost_destroy(t);
    }
}

static void test_strange_files(void)
{
    struct cost_table *t = cost_create();
    struct err e = {0};
    CHECK_INT(cost_read(t, "/nonexistent/cost.csv", &e), ERR_IO);
    CHECK_STR(e.file, "/nonexistent/cost.csv");
    CHECK(cost_read(t, test_tmpdir(), &e) < 0); // a folder
    // A line without end, and bytes that are no text.
    char text[4096];
    memset(text, '1', sizeof text);
    memcpy(text, H, strlen(H));
    CHECK_INT(cost_read(t, file_with(text, sizeof text), &e), ERR_FORMAT);
    CHECK_INT(e.line, 2);
    struct rng *r = rng_create(2, "bytes");
    for (int i = 0; i < 200; i++) {
        size_t head = i % 2 ? strlen(H) : 0;
        for (size_t j = head; j < 300; j++)
            text[j] = (char)rng_below(r, 256);
        CHECK(cost_read(t, file_with(text, 300), &e) < 0);
    }
    // A good file with one character changed is refused or read, and never crashes.
    static const char sane[] = H ROW "attention,1,0,64,1,256,77.25\nsubmit,2,0,0,0,0,5000\n";
    for (int i = 0; i < 500; i++) {
        struct cost_table *u = cost_create();
        memcpy(text, sane, sizeof sane);
        text[rng_below(r, sizeof sane - 1)] = (char)rng_below(r, 128);
        e = (struct err){0};
        int rc = cost_read(u, file_with(text, sizeof sane - 1), &e);
        CHECK(rc == 0 || (rc == ERR_FORMAT && e.msg[0] && e.line >= 1));
        cost_destroy(u);
    }
    rng_destroy(r);
    cost_destroy(t);
}

TESTS(engine_cost, T(test_an_empty_table_knows_nothing), T(test_pairs), T(test_points_are_exact),
      T(test_between_and_beyond), T(test_attention_by_cached_rows),
      T(test_the_file_reads_back_to_the_last_bit),
      T(test_a_malformed_file_is_refused_with_its_line), T(test_what_files_may_look_like),
      T(test_strange_files))
