// SPDX-License-Identifier: GPL-3.0-or-later
// Predictions beside published values: errors and totals by hand, and that no damaged table or file
// of experiments does more than give an error.
#include "explore/reproduction.h"
#include <stdlib.h>
#include "base/rng.h"
#include "tests/explore/world.h"

static const char cfg[] =
    "defaults = { soc = \"sd8gen3\"; model = \"llama3.2-1b\"; policy = \"layer\"; sync = \"poll\"; "
    "prompt = [32]; };\n"
    "experiment = (\n"
    "{ id = \"a\"; unit = \"us\"; kind = \"latency\"; what = \"sleep\"; },\n"              // 90
    "{ id = \"b\"; unit = \"us\"; kind = \"latency\"; what = \"finish\"; },\n"             // 400
    "{ id = \"c\"; unit = \"us\"; kind = \"latency\"; what = \"submit\"; scale = 60; },\n" // 30
    "{ id = \"d\"; unit = \"us\"; kind = \"latency\"; what = \"sleep\"; device = \"tpu\"; },\n"
    "{ id = \"e\"; unit = \"-\"; kind = \"strategy\"; operator = \"down\"; n = [32]; } );\n";

static const char *table_file(const char *text, size_t n)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/x.csv", test_tmpdir());
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(text, 1, n, f) == n && fclose(f) == 0);
    return path;
}

static const char table[] = "id,value,unit,split\n"
                            "a,100,us,given\n"  // -10 %
                            "b,-320,us,given\n" // +225 %, of the absolute value
                            "c,0,us,given\n"    // +50 % of the scale
                            "d,1,us,given\n"    // no such device
                            "e,gpu-only,-,check\n";

static void ignore(void *user, const char *id, const char *was, const char *now)
{
    (void)was;
    (void)now;
    strcat(user, id);
}

static void test_by_hand(void)
{
    struct world w;
    struct reproduction r;
    struct reproduction_total t;
    struct err e = {0};
    char text[600] = "", ids[64] = "";
    struct experiments *x = experiments_of(cfg);
    if (!x || !CHECK_OK(reproduction_open(x, table_file(table, sizeof table - 1), &r, &e), &e))
        return;
    world_init(&w);
    reproduction_total(&r, SPLIT_GIVEN, &t);
    CHECK_INT(t.n, 0); // nothing was run
    CHECK(isnan(t.median) && isnan(t.largest));
    for (int i = 0; i < r.n; i++)
        reproduction_run(&r, i, x, &w.base);
    CHECK_NEAR(r.row[0].error, -10, 1e-9);
    CHECK_NEAR(r.row[1].error, 225, 1e-9);
    CHECK_NEAR(r.row[2].error, 50, 1e-9);
    CHECK_INT(r.row[3].state, REPRODUCED_FAILED);
    CHECK_HAS(r.row[3].why, "no device \"tpu\"");
    CHECK_NEAR(r.row[4].error, 100, 0); // another text
    reproduction_total(&r, SPLIT_GIVEN, &t);
    CHECK_INT(t.n, 4);
    CHECK_INT(t.compared, 3);
    CHECK_INT(t.failed, 1);
    CHECK_NEAR(t.median, 50, 1e-9);
    CHECK_NEAR(t.largest, 225, 1e-9);
    CHECK_STR(t.worst, "b");
    r.row[2].state = REPRODUCED_NOT; // an even count: the mean of the middle two
    reproduction_total(&r, SPLIT_GIVEN, &t);
    CHECK_NEAR(t.median, (10 + 225) / 2.0, 1e-9);
    r.row[2].state = REPRODUCED_OK;
    FILE *f = fmemopen(text, sizeof text, "w");
    reproduction_write(&r, f);
    fclose(f);
    CHECK_STR(text, "id,split,prediction,published,unit,error_percent\n"
                    "a,given,90,100,us,-10.00\n"
                    "b,given,400,-320,us,225.00\n"
                    "c,given,30,0,us,50.00\n"
                    "d,given,,1,us,\n"
                    "e,check,npu-only,gpu-only,-,100.00\n");
    const char *kept = table_file(text, strlen(text));
    CHECK_INT(reproduction_compare(&r, kept, 0.01, ignore, ids, &e), 0);
    r.row[0].p.value = 90.95; // 1.06 %
    r.row[1].p.value = 403.9; // 0.98 %
    r.row[3].state = REPRODUCED_OK;
    snprintf(r.row[4].p.text, sizeof r.row[4].p.text, "gpu-only");
    CHECK_INT(reproduction_compare(&r, kept, 0.01, ignore, ids, &e), 3);
    CHECK_STR(ids, "ade");
    reproduction_close(&r);
    experiments_close(x);
    world_fini(&w);
}

// Changes up to four bytes of a text at random, or cuts it.
static size_t damage(struct rng *g, const char *text, size_t n, char *out)
{
    static const char likely[] = ",\"\n\r0-.e[](){};=\\ab";
    memcpy(out, text, n);
    for (uint64_t i = rng_below(g, 4) + 1; i > 0; i--)
        out[rng_below(g, n)] =
            rng_below(g, 4) ? likely[rng_below(g, sizeof likely)] : (char)rng_below(g, 256);
    return rng_below(g, 8) ? n : rng_below(g, n + 1);
}

static void test_damaged(void)
{
    enum { ROUNDS = 1500 };
    struct rng *g = rng_create(7, "damage");
    struct experiments *x = experiments_of(cfg);
    char text[2048];
    int refused = 0;
    for (int i = 0; x && i < ROUNDS; i++) {
        struct reproduction r;
        struct err e = {0};
        size_t n = damage(g, table, sizeof table - 1, text);
        if (reproduction_open(x, table_file(text, n), &r, &e) < 0) {
            refused += CHECK(e.msg[0] && e.file[0]);
            continue;
        }
        reproduction_close(&r);
    }
    for (int i = 0; i < ROUNDS; i++) {
        struct experiments *y = NULL;
        struct err e = {0};
        size_t n = damage(g, cfg, sizeof cfg - 1, text);
        if (experiments_open(table_file(text, n), &y, &e) < 0)
            refused += CHECK(e.msg[0] && e.file[0]);
        else
            experiments_close(y);
    }
    CHECK(refused > ROUNDS);
    test_note("%d of %d refused ", refused, 2 * ROUNDS);
    experiments_close(x);
    rng_destroy(g);
}

TESTS(explore_reproduction, T(test_by_hand), T(test_damaged))
