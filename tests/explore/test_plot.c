// SPDX-License-Identifier: GPL-3.0-or-later
// Pictures: what must be in them, that no text of the caller becomes a command, and that nothing is
// left behind when there is no picture. Without gnuplot only its absence is tested.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "explore/plot.h"
#include "tests/harness.h"

static const double X[] = {1, 2, 4, 8, 16, 32}, Y[] = {3, 6, 12, 24, 25, 26};

static char *read_file(const char *name, size_t *size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", test_tmpdir(), name);
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);
    *size = 0;
    if (f) {
        *size = fread(text, 1, (1 << 20) - 1, f);
        fclose(f);
    }
    return text;
}

static int draw(const struct plot *p, const char *name, struct err *e)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", test_tmpdir(), name);
    return plot_write(p, path, e);
}

static bool exists(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", test_tmpdir(), name);
    return access(path, F_OK) == 0;
}

static bool there(void)
{
    if (plot_available())
        return true;
    test_skip("no gnuplot");
    return false;
}

static struct plot lines(const struct plot_series *s, int n)
{
    return (struct plot){.title = "Throughput of it",
                         .xlabel = "tokens",
                         .ylabel = "rate (GFLOP/s)",
                         .series = s,
                         .n_series = n};
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        n++;
    return n;
}

static void test_a_picture_of_lines(void)
{
    struct plot_series s[] = {{"measured", X, Y, 6, false}, {"published", X, X, 6, true}};
    struct plot p = lines(s, 2);
    struct err e = {0};
    size_t size;
    if (!there())
        return;
    CHECK_OK(draw(&p, "a.svg", &e), &e);
    char *svg = read_file("a.svg", &size);
    CHECK_HAS(svg, "<svg");
    CHECK_HAS(svg, "</svg>");
    CHECK_HAS(svg, "Throughput of it");
    CHECK_HAS(svg, "rate (GFLOP/s)");
    CHECK_HAS(svg, "measured");
    CHECK_HAS(svg, "published");
    CHECK(!exists("a.svg.part"));
    CHECK_OK(draw(&p, "b.svg", &e), &e); // the same picture, byte for byte
    size_t again;
    char *twin = read_file("b.svg", &again);
    CHECK(size == again && !memcmp(svg, twin, size));
    free(svg);
    free(twin);
    p.log_x = p.log_y = true;
    CHECK_OK(draw(&p, "a.png", &e), &e);
    char *png = read_file("a.png", &size);
    CHECK(size > 1000 && !memcmp(png, "\x89PNG\r\n\x1a\n", 8));
    free(png);
}

// A gap is one more move of the pen within the line.
static void test_a_nan_leaves_a_gap(void)
{
    double gap[6];
    size_t size;
    struct err e = {0};
    memcpy(gap, Y, sizeof gap);
    struct plot_series s = {"line", X, gap, 6, false};
    struct plot p = lines(&s, 1);
    if (!there())
        return;
    CHECK_OK(draw(&p, "whole.svg", &e), &e);
    gap[3] = NAN;
    CHECK_OK(draw(&p, "gap.svg", &e), &e);
    char *whole = read_file("whole.svg", &size), *broken = read_file("gap.svg", &size);
    // The line's path is the only one of its colour with as many points.
    CHECK_INT(count(broken, "M") - count(whole, "M"), 1);
    free(whole);
    free(broken);
}

static void test_bars(void)
{
    static const char *const label[] = {"cpu", "gpu \"fast\"", "npu_1"};
    double a[] = {1, 2, 3}, b[] = {3, NAN, 1};
    struct plot_series s[] = {{"alone", NULL, a, 0, false}, {"together", NULL, b, 0, false}};
    struct plot p = lines(s, 2);
    struct err e = {0};
    size_t size;
    p.label = label;
    p.n_bars = 3;
    if (!there())
        return;
    CHECK_OK(draw(&p, "bars.svg", &e), &e);
    char *svg = read_file("bars.svg", &size);
    CHECK_HAS(svg, "npu_1"); // no subscript
    CHECK_HAS(svg, "together");
    free(svg);
    p.log_y = true;
    CHECK_OK(draw(&p, "bars.png", &e), &e);
}

// Quotes, commands, escapes, markup: all of it is text.
static void test_texts_are_no_commands(void)
{
    static const char evil[] = "it's '; set output 'owned.txt'; print 'x' #\n\"`touch owned`\" \\n";
    static const char *const label[] = {evil, evil};
    struct plot_series s = {evil, X, Y, 2, false};
    struct plot p = lines(&s, 1);
    struct err e = {0};
    size_t size;
    p.title = p.xlabel = p.ylabel = evil;
    if (!there())
        return;
    CHECK_OK(draw(&p, "evil.svg", &e), &e);
    char *svg = read_file("evil.svg", &size);
    CHECK(count(svg, "set output") >= 4); // title, both labels, key
    free(svg);
    p.label = label;
    p.n_bars = 2;
    CHECK_OK(draw(&p, "evil-bars.svg", &e), &e);
    CHECK(access("owned", F_OK) < 0 && access("owned.txt", F_OK) < 0);
}

static void fails(const struct plot *p, const char *name, int code, const char *why)
{
    struct err e = {0};
    char part[64];
    CHECK_INT(draw(p, name, &e), code);
    CHECK_HAS(e.msg, why);
    CHECK_HAS(e.file, name);
    snprintf(part, sizeof part, "%s.part", name);
    CHECK(!exists(name) && !exists(part));
}

static void test_pdf_has_no_date(void)
{
    struct plot_series s = {"line", X, Y, 6, PLOT_STEPS};
    struct plot p = lines(&s, 1);
    struct err e = {0};
    size_t n;
    if (!there())
        return;
    p.near = true;
    p.y_range[0] = 2;
    p.y_range[1] = 30;
    CHECK_OK(draw(&p, "a.pdf", &e), &e);
    char *pdf = read_file("a.pdf", &n);
    bool found = false, dated = false;
    static const char mark[] = "/CreationDate (D:", epoch[] = "19700101000000";
    for (size_t i = 0; i + sizeof mark + sizeof epoch < n; i++)
        if (!memcmp(pdf + i, mark, sizeof mark - 1)) {
            found = true;
            dated |= memcmp(pdf + i + sizeof mark - 1, epoch, sizeof epoch - 1) != 0;
        }
    CHECK(n > 4 && !memcmp(pdf, "%PDF", 4));
    CHECK(found && !dated);
    free(pdf);
}

static void test_the_script_draws_the_same(void)
{
    struct plot_series s[] = {{"steps", X, Y, 6, PLOT_STEPS}, {"plain", X, X, 6, PLOT_PLAIN}};
    struct plot p = lines(s, 2);
    struct err e = {0};
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    p.x_range[0] = 1;
    p.x_range[1] = 40;
    CHECK_OK(plot_script(&p, "a.svg", f, &e), &e);
    fclose(f);
    CHECK_HAS(text, "set terminal svg");
    CHECK_HAS(text, "set xrange [1:40]");
    CHECK_HAS(text, "using 1:2 with steps");
    CHECK_HAS(text, "using 1:2 with lines lw 1.2 lc rgb '#000000'");
    free(text);
}

static void test_refusals(void)
{
    double none[] = {NAN, -1};
    struct plot_series s = {"line", X, Y, 6, false}, empty = {"line", X, none, 2, false};
    struct plot p = lines(&s, 1), q = lines(&empty, 1), r = lines(NULL, 0);
    fails(&p, "x.gif", ERR_USAGE, "ends in .svg, .png or .pdf");

    fails(&p, "no/folder/x.svg", ERR_IO, "No such file");
    q.log_y = true; // -1 cannot be drawn there
    fails(&q, "x.svg", ERR_USAGE, "nothing to plot");
    fails(&r, "x.svg", ERR_USAGE, "nothing to plot");
}

// As on a machine without it.
static void test_without_gnuplot(void)
{
    struct plot_series s = {"line", X, Y, 6, false};
    struct plot p = lines(&s, 1);
    char *path = strdup(getenv("PATH") ? getenv("PATH") : "");
    setenv("PATH", test_tmpdir(), 1);
    CHECK(!plot_available());
    fails(&p, "missing.svg", ERR_UNSUPPORTED, "gnuplot-nox");
    setenv("PATH", path, 1);
    free(path);
}

TESTS(explore_plot, T(test_a_picture_of_lines), T(test_a_nan_leaves_a_gap), T(test_bars),
      T(test_texts_are_no_commands), T(test_pdf_has_no_date), T(test_the_script_draws_the_same),
      T(test_refusals), T(test_without_gnuplot))
