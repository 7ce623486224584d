// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"

static const char *in_tmp(const char *name)
{
    static char path[4][300];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", test_tmpdir(), name);
    return p;
}

static void check_text(const char *name, const char *expected)
{
    char text[64] = "";
    FILE *f = fopen(name, "r");
    if (f) {
        CHECK(fread(text, 1, sizeof text - 1, f) < sizeof text);
        fclose(f);
    }
    CHECK_STR(f ? text : "(none)", expected);
}

static int put(const char *name, const char *text, int rc, struct err *e)
{
    struct file out;
    int opened = file_begin(&out, name, e);
    if (opened < 0)
        return opened;
    fputs(text, out.f);
    return file_end(&out, rc, e);
}

static void test_whole_or_not_at_all(void)
{
    struct err e = {0};
    const char *name = in_tmp("a");
    CHECK_INT(put(name, "lost", -7, &e), -7);
    check_text(name, "(none)");
    CHECK_INT(put(name, "interrupted", 1, &e), 1); // whatever is not 0
    check_text(name, "(none)");
    CHECK_OK(put(name, "first", 0, &e), &e);
    check_text(name, "first");
    CHECK_INT(put(name, "second", -7, &e), -7);
    check_text(name, "first");
    CHECK_OK(put(name, "third", 0, &e), &e);
    check_text(name, "third");
    CHECK(access(in_tmp("a.part"), F_OK) != 0);
}

static void test_until_the_end_there_is_a_part(void)
{
    struct err e = {0};
    struct file out;
    const char *name = in_tmp("b");
    CHECK_OK(put(name, "old", 0, &e), &e);
    CHECK_OK(file_begin(&out, name, &e), &e);
    fputs("new", out.f);
    fflush(out.f);
    check_text(name, "old");
    check_text(in_tmp("b.part"), "new");
    CHECK_OK(file_end(&out, 0, &e), &e);
    check_text(name, "new");
}

static void test_errors(void)
{
    struct err e = {0};
    CHECK_INT(put(in_tmp("none/x"), "x", 0, &e), ERR_IO);
    CHECK_HAS(e.msg, "cannot write: No such file");
    CHECK_HAS(e.file, "none/x");
    CHECK(mkdir(in_tmp("folder"), 0700) == 0);
    CHECK_INT(put(in_tmp("folder"), "x", 0, &e), ERR_IO);
    CHECK_HAS(e.msg, "cannot write: Is a directory");
    if (access("/dev/full", W_OK) == 0) {
        CHECK_INT(put("/dev/full", "x", 0, &e), ERR_IO);
        CHECK_HAS(e.msg, "cannot write: No space left");
    }
}

static void test_pipes_are_written_to(void)
{
    struct err e = {0};
    struct stat st;
    char text[8] = "";
    const char *name = in_tmp("pipe");
    CHECK_INT(mkfifo(name, 0600), 0);
    int fd = open(name, O_RDWR | O_NONBLOCK); // so that opening it does not block
    CHECK_OK(put(name, "here", 0, &e), &e);
    CHECK_INT(read(fd, text, sizeof text - 1), 4);
    CHECK_STR(text, "here");
    CHECK(stat(name, &st) == 0 && S_ISFIFO(st.st_mode));
    close(fd);
}

TESTS(base_file, T(test_whole_or_not_at_all), T(test_until_the_end_there_is_a_part), T(test_errors),
      T(test_pipes_are_written_to))
