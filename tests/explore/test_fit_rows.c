// SPDX-License-Identifier: GPL-3.0-or-later
// The table of observations: only `given` rows are ever read, and what is malformed is named with
// its line.
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>
#include "explore/fit_rows.h"

#define HEAD "id,soc,unit,value,split\n"

static const char *put(const char *text, size_t n)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/rows.csv", test_tmpdir());
    FILE *f = fopen(path, "wb");
    if (CHECK(f != NULL)) {
        fwrite(text, 1, n, f);
        fclose(f);
    }
    return path;
}

static struct arena arena;
static struct fit_given *row;
static int n_rows, passed_over;
static struct err error;

static int read(const char *text, bool only_given)
{
    return fit_rows_read(put(text, strlen(text)), only_given, &arena, &row, &n_rows, &passed_over,
                         &error);
}

static void refuses(const char *text, const char *part)
{
    char buf[700];
    error = (struct err){0};
    if (CHECK(read(text, false) < 0))
        CHECK_HAS(err_text(&error, buf, sizeof buf), part);
}

static void test_reads(void)
{
    arena_init(&arena);
    CHECK_OK(read("note,id,model,unit,value,split,tolerance\n"
                  "\"a, \"\"b\"\"\",t3.a,-,us,511,given,\r\n"
                  "\n"
                  "x,t3.b,-,\"GB/s\",4.33e1,given,2.5 %\n",
                  false),
             &error);
    CHECK_INT(n_rows, 2);
    CHECK_INT(passed_over, 0);
    CHECK_STR(row[0].id, "t3.a");
    CHECK_STR(row[0].unit, "us");
    CHECK_STR(row[0].soc, "");
    CHECK_NEAR(row[0].value, 511, 0);
    CHECK_NEAR(row[0].tolerance, 0, 0);
    CHECK_INT(row[0].line, 2);
    CHECK_NEAR(row[1].value, 43.3, 1e-12);
    CHECK_NEAR(row[1].tolerance, 0.025, 1e-12);
    CHECK_INT(row[1].line, 4);
    arena_fini(&arena);
}

// A value that is not given is not a number here, and nobody notices.
static void test_other_splits(void)
{
    static const char text[] = HEAD "a,s,us,1,given\nb,s,us,nonsense,check\nc,s,us,,blind\n"
                                    "d,s,us,1e999,\ne,s,us,2,given\n";
    arena_init(&arena);
    refuses(text, "rows.csv:3: b: is of split \"check\"");
    refuses(HEAD "a,s,us,1,given\nc,s,us,,blind\n", "rows.csv:3: c: is of split \"blind\"");
    refuses(HEAD "a,s,us,1,Given\n", "is of split \"Given\"");
    CHECK_INT(error.code, ERR_USAGE);
    CHECK_OK(read(text, true), &error);
    CHECK_INT(n_rows, 2);
    CHECK_INT(passed_over, 3);
    CHECK_STR(row[1].id, "e");
    arena_fini(&arena);
}

static void test_malformed(void)
{
    arena_init(&arena);
    refuses("", "rows.csv:1: expected the names of columns");
    refuses("\n", "rows.csv:1: expected the names of columns");
    refuses("id,unit,value\n", "rows.csv:1: split: no such column");
    refuses("id,unit,valeu,split\n", "value: no such column (\"valeu\" is there)");
    refuses("id,unit,value,split,id\n", "two columns of this name");
    refuses(HEAD, "no row of split `given`");
    refuses(HEAD "a,s,us,1\n", "rows.csv:2: another number of columns");
    refuses(HEAD "a,s,us,1,given,\n", "rows.csv:2: another number of columns");
    refuses(HEAD "a,s,us,one,given\n", "rows.csv:2: a: value: expected a number, found \"one\"");
    refuses(HEAD "a,s,us,,given\n", "a: value: expected a number");
    refuses(HEAD "a,s,us,1 us,given\n", "a: value: expected a number");
    refuses(HEAD "a,s,us,0,given\n", "above 0");
    refuses(HEAD "a,s,us,-3,given\n", "above 0");
    refuses(HEAD "a,s,us,1e999,given\n", "above 0");
    refuses(HEAD ",s,us,1,given\n", "a row without a name");
    refuses(HEAD "a,s,us,1,given\na,s,us,2,given\n", "rows.csv:3: a: is in line 2 already");
    refuses(HEAD "\"a,s,us,1,given\n", "a quoted field does not end on its line");
    refuses(HEAD "\"a\"b,s,us,1,given\n", "behind the quotes");
    refuses("id,unit,value,split,tolerance\na,us,1,given,5\n", "a: tolerance: expected a share");
    refuses("id,unit,value,split,tolerance\na,us,1,given,0 %\n", "a: tolerance: expected above 0");
    static const char zero[] = HEAD "a,s,us,1\0,given\n";
    CHECK(fit_rows_read(put(zero, sizeof zero - 1), false, &arena, &row, &n_rows, &passed_over,
                        &error) < 0);
    CHECK_HAS(error.msg, "zero byte");
    char wide[400] = "";
    for (int i = 0; i < 80; i++)
        strcat(wide, "a,");
    refuses(wide, "too many columns");
    CHECK_INT(fit_rows_read("/nowhere.csv", false, &arena, &row, &n_rows, &passed_over, &error),
              ERR_IO);
    arena_fini(&arena);
}

static void test_kinds(void)
{
    enum fit_input kind = FIT_INPUT_PROFILE;
    static const char rows[] = HEAD, points[] = "section,what,order,m,k,n,value,unit\n",
                      other[] = "point,machine,model\n";
    CHECK_OK(fit_input_kind(put(rows, strlen(rows)), &kind, &error), &error);
    CHECK_INT(kind, FIT_INPUT_ROWS);
    CHECK_OK(fit_input_kind(put(points, strlen(points)), &kind, &error), &error);
    CHECK_INT(kind, FIT_INPUT_PROFILE);
    CHECK_INT(fit_input_kind(put(other, strlen(other)), &kind, &error), ERR_FORMAT);
    CHECK_HAS(error.msg, "neither a table of rows");
    CHECK_INT(fit_input_kind(put("", 0), &kind, &error), ERR_FORMAT);
    CHECK_INT(fit_input_kind("/nowhere.csv", &kind, &error), ERR_IO);
}

TESTS(explore_fit_rows, T(test_reads), T(test_other_splits), T(test_malformed), T(test_kinds))
