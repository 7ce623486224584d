// SPDX-License-Identifier: GPL-3.0-or-later
// Values exchanged in a text: only what was asked changes, byte for byte; the result reads back; a
// change that would break the file is refused.
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/conf.h"
#include "base/conf_edit.h"

static struct conf_edit *opened(const char *text)
{
    struct err e;
    struct conf_edit *x = NULL;
    CHECK_OK(conf_edit_open_text("x.cfg", text, &x, &e), &e);
    return x;
}

static void becomes(const char *before, const char *key, const char *value, const char *comment,
                    const char *after)
{
    struct err e = {0};
    struct conf_edit *x = opened(before);
    if (!x)
        return;
    CHECK_OK(conf_edit_set(x, key, value, comment, &e), &e);
    CHECK_STR(conf_edit_text(x), after);
    conf_edit_close(x);
}

static void test_values(void)
{
    becomes("a = 1;\nb = 2;\n", "b", "3", NULL, "a = 1;\nb = 3;\n");
    becomes("a = \"1 us\";", "a", "\"22 us\"", NULL, "a = \"22 us\";");
    becomes("a=1.5;b : 2", "b", "7", NULL, "a=1.5;b : 7");
    becomes("g = { a = 1; h = { a = 2; }; }; a = 3;", "g.h.a", "9", NULL,
            "g = { a = 1; h = { a = 9; }; }; a = 3;");
    becomes("g = { a = 1; h = { a = 2; }; }; a = 3;", "a", "9", NULL,
            "g = { a = 1; h = { a = 2; }; }; a = 9;");
    becomes("l = ( { k = \"x\"; f = 1.0; },\n { k = \"y\"; f = 2.0; } );", "l[1].f", "2.5", NULL,
            "l = ( { k = \"x\"; f = 1.0; },\n { k = \"y\"; f = 2.5; } );");
    becomes("s = [1, 2, 3]; a = true;", "s[2]", "5", NULL, "s = [1, 2, 5]; a = true;");
    becomes("s = \"a\" /* - */ \"b\"; t = 1;", "s", "\"c\"", NULL, "s = \"c\"; t = 1;");
}

// What looks like a key or a comment but is none.
static void test_disguises(void)
{
    becomes("s = \"a = 5; // b\"; a = 1; // a = 7\n", "a", "2", NULL,
            "s = \"a = 5; // b\"; a = 2; // a = 7\n");
    becomes("/* a = 5; { */ # a = 6; }\n// a = 4\na = 1;", "a", "2", NULL,
            "/* a = 5; { */ # a = 6; }\n// a = 4\na = 2;");
    becomes("s = \"\\\" a = 3;\"; a = 1;", "a", "2", NULL, "s = \"\\\" a = 3;\"; a = 2;");
    becomes("aa = 1; a-b = 2; a = 3;", "a", "4", NULL, "aa = 1; a-b = 2; a = 4;");
    becomes("a \f=\"a = A\"; #", "a", "4", NULL, "a \f=4;       #"); // a form feed is blank, too
}

static void test_comments(void)
{
    // The column stays when the value leaves room, and one blank is left when it does not.
    becomes("a = 1;      // guess\n", "a", "1000", NULL, "a = 1000;   // guess\n");
    becomes("a = 1000;   // guess\n", "a", "1", NULL, "a = 1;      // guess\n");
    becomes("a = 1; // guess\n", "a", "1000", NULL, "a = 1000; // guess\n");
    becomes("a = 1; # guess: old\nb = 2;\n", "a", NULL, "fitted (r): new",
            "a = 1; # fitted (r): new\nb = 2;\n");
    becomes("a = 1;\nb = 2;\n", "a", "3", "new", "a = 3; // new\nb = 2;\n");
    becomes("a = 1;\r\nb = 2;\r\n", "a", "3", "new", "a = 3; // new\r\nb = 2;\r\n");
    becomes("a = 1; // old\r\nb = 2;\r\n", "a", "3", "new", "a = 3; // new\r\nb = 2;\r\n");
    becomes("a = 1; // old", "a", "3", "new", "a = 3; // new");
    becomes("a = 1; // old\n", "a", NULL, "", "a = 1;\n");
    becomes("l = ({ f = 1.0; }, // old\n { f = 2.0; } // other\n);", "l[0].f", "3.0", "new",
            "l = ({ f = 3.0; }, // new\n { f = 2.0; } // other\n);");
    becomes("a = 1; /* two\nlines */ b = 2;", "a", "3", "new", "a = 3; /* two\nlines */ b = 2;");
    becomes("a = 1;  \n", "a", "3", NULL, "a = 3;  \n");
    becomes("a = 1; // x\n", "a", NULL, "no\nnew = 2; line", "a = 1; // no new = 2; line\n");

    char buf[64];
    struct conf_edit *x = opened("a = \"//\"; //  guess: why \nb = 2;\nc = 1; # x\n");
    CHECK_STR(conf_edit_comment(x, "a", buf, sizeof buf), "guess: why");
    CHECK_STR(conf_edit_comment(x, "b", buf, sizeof buf), "");
    CHECK_STR(conf_edit_comment(x, "c", buf, sizeof buf), "x");
    CHECK_STR(conf_edit_comment(x, "d", buf, sizeof buf), "");
    conf_edit_close(x);
}

static void refuses(const char *key, const char *value, const char *part)
{
    static const char text[] = "g = { a = 1; l = [1, 2]; };\n";
    struct err e = {0};
    char buf[700];
    struct conf_edit *x = opened(text);
    CHECK(conf_edit_set(x, key, value, NULL, &e) < 0);
    CHECK_HAS(err_text(&e, buf, sizeof buf), part);
    CHECK_STR(conf_edit_text(x), text);
    conf_edit_close(x);
}

static void test_refusals(void)
{
    refuses("g.b", "1", "x.cfg: g.b: is not a value of this file");
    refuses("g", "1", "is not a value");
    refuses("g.l", "1", "is not a value");
    refuses("g.l[2]", "1", "is not a value");
    refuses("", "1", "is not a value");
    refuses("g.a", "", "x.cfg:1");
    refuses("g.a", "1; a = 2", "x.cfg:1");
    refuses("g.a", "5 us", "x.cfg:1");
    struct conf_edit *x = NULL;
    struct err e = {0};
    CHECK(conf_edit_open_text("x.cfg", "a = ;", &x, &e) < 0);
    CHECK(conf_edit_open("/nowhere/x.cfg", &x, &e) < 0);
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    if (CHECK(f != NULL)) {
        fputs(text, f);
        fclose(f);
    }
}

static void test_files(void)
{
    char base[300], part[300], out[300], text[64] = "";
    struct err e = {0};
    struct conf_edit *x = NULL;
    snprintf(base, sizeof base, "%s/base.cfg", test_tmpdir());
    snprintf(part, sizeof part, "%s/part.cfg", test_tmpdir());
    snprintf(out, sizeof out, "%s/out.cfg", test_tmpdir());
    put(part, "b = 2;\n");
    put(base, "a = 1;\ng = {\n@include \"part.cfg\"\nc = 3;\n};\n");
    CHECK_OK(conf_edit_open(base, &x, &e), &e);
    CHECK(conf_edit_has(x, "g.c") && !conf_edit_has(x, "g.b"));
    CHECK(conf_edit_set(x, "g.b", "5", NULL, &e) < 0); // says where it is
    CHECK_HAS(e.msg, "part.cfg, line 1");
    CHECK_OK(conf_edit_set(x, "g.c", "4", NULL, &e), &e);
    CHECK_OK(conf_edit_write(x, out, &e), &e);
    FILE *f = fopen(out, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    CHECK_STR(text, "a = 1;\ng = {\n@include \"part.cfg\"\nc = 4;\n};\n");
    CHECK(conf_edit_write(x, "/nowhere/out.cfg", &e) < 0);
    CHECK_HAS(e.file, "/nowhere/out.cfg");
    conf_edit_close(x);
}

// Every scalar of the shipped configurations can be found and set to what it is: nothing changes.
static void walk(struct conf_edit *x, const struct conf_node *n, const char *prefix, int *count)
{
    const char *names[64];
    int total = conf_keys(n, names, 64);
    for (int i = 0; i < total; i++) {
        char key[128], text[256];
        const struct conf_node *child = conf_child(n, names[i]);
        snprintf(key, sizeof key, "%s%s%s", prefix, *prefix ? "." : "", names[i]);
        if (child)
            walk(x, child, key, count);
        else if (conf_text(n, names[i], -1, text, sizeof text) && *text != '[')
            *count += CHECK(conf_edit_has(x, key));
    }
}

static void test_shipped(void)
{
    static const char path[] = "configs/soc/sd8gen3.cfg";
    struct conf_edit *x = NULL;
    struct conf *c = NULL;
    struct err e = {0};
    char comment[200];
    int count = 0;
    if (!CHECK_OK(conf_edit_open(path, &x, &e), &e) || !CHECK_OK(conf_open(path, &c, &e), &e))
        return;
    char *before = strdup(conf_edit_text(x));
    walk(x, conf_root(c), "", &count);
    CHECK(count > 80);
    CHECK_HAS(conf_edit_comment(x, "gpu.queue.wake", comment, sizeof comment), "fitted (");
    CHECK_OK(conf_edit_set(x, "gpu.gemm", "\"2 TFLOP/s\"", NULL, &e), &e);
    CHECK(strcmp(before, conf_edit_text(x)) != 0);
    char was[64] = "", *gemm = strstr(before, "    gemm = ");
    if (CHECK(gemm != NULL))
        sscanf(gemm, "    gemm = %63[^;]", was);
    CHECK_OK(conf_edit_set(x, "gpu.gemm", was, NULL, &e), &e);
    CHECK_STR(conf_edit_text(x), before);
    free(before);
    conf_edit_close(x);
    conf_close(c);
}

TESTS(base_conf_edit, T(test_values), T(test_disguises), T(test_comments), T(test_refusals),
      T(test_files), T(test_shipped))
