// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/harness.h"

#include <string.h>

static void test_set_returns_the_code(void)
{
    struct err e;
    CHECK_INT(err_set(&e, ERR_IO, "cannot read %s", "x"), ERR_IO);
    CHECK_INT(e.code, ERR_IO);
    CHECK_STR(e.msg, "cannot read x");
    CHECK_STR(e.file, "");
    CHECK_INT(err_set(NULL, ERR_USAGE, "nobody listens"), ERR_USAGE);
    CHECK_INT(err_at(NULL, ERR_CHECK, "f", 1, "k", "nobody"), ERR_CHECK);
}

static void test_text_shows_what_is_known(void)
{
    struct err e;
    char buf[600];
    err_at(&e, ERR_CONFIG, "a.cfg", 12, "gpu.freq", "out of range");
    CHECK_STR(err_text(&e, buf, sizeof buf), "a.cfg:12: gpu.freq: out of range");
    err_at(&e, ERR_CONFIG, "a.cfg", 0, NULL, "gone");
    CHECK_STR(err_text(&e, buf, sizeof buf), "a.cfg: gone");
    err_set(&e, ERR_CONFIG, "bare");
    CHECK_STR(err_text(&e, buf, sizeof buf), "bare");
}

static void test_long_texts_are_cut(void)
{
    struct err e;
    char word[1000], small[8];
    memset(word, 'w', sizeof word);
    word[999] = 0;
    err_at(&e, ERR_CONFIG, word, 1, word, "%s", word);
    CHECK_INT(strlen(e.file), sizeof e.file - 1);
    CHECK_INT(strlen(e.key), sizeof e.key - 1);
    CHECK_INT(strlen(e.msg), sizeof e.msg - 1);
    CHECK_INT(strlen(err_text(&e, small, sizeof small)), 7);
}

static void test_locate_does_not_overwrite(void)
{
    struct err e;
    err_set(&e, ERR_FORMAT, "bad");
    err_locate(&e, "first", 1);
    err_locate(&e, "second", 2);
    CHECK_STR(e.file, "first");
    CHECK_INT(e.line, 1);
    err_locate(NULL, "x", 1);
}

static const char *nearest(const char *word)
{
    static const char *const names[] = {"channels", "bandwidth", "latency", "banks", "x"};
    return err_nearest(word, names, sizeof names / sizeof names[0]);
}

static void test_nearest(void)
{
    CHECK_STR(nearest("chanels"), "channels");
    CHECK_STR(nearest("bandwith"), "bandwidth");
    CHECK_STR(nearest("latnecy"), "latency"); // neighbours swapped: one step
    CHECK_STR(nearest("banks"), "banks");
    CHECK(nearest("temperature") == NULL);
    CHECK(err_nearest("a", NULL, 0) == NULL);
    char word[200];
    memset(word, 'w', sizeof word);
    word[199] = 0;
    CHECK(nearest(word) == NULL || strlen(nearest(word)) > 0); // must not overrun its table
}

TESTS(base_err, T(test_set_returns_the_code), T(test_text_shows_what_is_known),
      T(test_long_texts_are_cut), T(test_locate_does_not_overwrite), T(test_nearest))
