// SPDX-License-Identifier: GPL-3.0-or-later
// Runs the program as a user does: arguments, standard input, and what came back. It runs in a
// fresh folder, so that nothing depends on the working directory, with its outputs in files (not a
// terminal).
#ifndef TESTS_CLI_UTIL_H
#define TESTS_CLI_UTIL_H

#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/harness.h"

struct ran {
    int code; // exit status; 128 + signal
    char *out, *err;
    size_t n_out;
};

static inline const char *program(void)
{
    static char path[4096];
    const char *p = getenv("PARTITA");
    if (!path[0] && !realpath(p ? p : "build/release/partita", path))
        path[0] = 0;
    return path[0] ? path : NULL;
}

// Absolute path of a file of the repository; lives until the next call but three.
static inline const char *here(const char *relative)
{
    static char path[4][4096];
    static unsigned next;
    char *p = path[next++ % 4];
    return realpath(relative, p) ? p : relative;
}

static inline char *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    char *s = NULL;
    size_t size = 0;
    if (f && fseek(f, 0, SEEK_END) == 0 && (size = (size_t)ftell(f)) + 1 &&
        fseek(f, 0, SEEK_SET) == 0 && (s = malloc(size + 1)))
        size = fread(s, 1, size, f);
    if (f)
        fclose(f);
    if (s)
        s[size] = 0;
    if (n)
        *n = s ? size : 0;
    return s;
}

static inline bool spill(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(data, 1, n, f) == n;
    return f && fclose(f) == 0 && ok;
}

static inline const char *in_tmp(const char *name)
{
    static char path[4][256];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", test_tmpdir(), name);
    return p;
}

static inline void redirect(const char *path, int flags, int to)
{
    int fd = open(path, flags, 0600);
    if (fd < 0 || dup2(fd, to) < 0)
        _exit(99);
}

// argv without the program's name. `out` is where standard output goes; NULL: it is captured.
static inline struct ran run_to(const char *out, const char *input, size_t n_input, char **argv)
{
    struct ran r = {.code = -1};
    if (!program()) {
        CHECK_STR("the program", "found: set PARTITA");
        return r;
    }
    spill(in_tmp("stdin"), input ? input : "", input ? n_input : 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        redirect(in_tmp("stdin"), O_RDONLY, 0);
        redirect(out ? out : in_tmp("stdout"), O_WRONLY | O_CREAT | O_TRUNC, 1);
        redirect(in_tmp("stderr"), O_WRONLY | O_CREAT | O_TRUNC, 2);
        if (chdir(test_tmpdir()) == 0)
            execv(program(), argv);
        _exit(99);
    }
    int status = 0;
    if (pid > 0 && waitpid(pid, &status, 0) == pid)
        r.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    r.out = slurp(in_tmp("stdout"), &r.n_out);
    r.err = slurp(in_tmp("stderr"), NULL);
    return r;
}

static inline void ran_free(struct ran *r)
{
    free(r->out);
    free(r->err);
    *r = (struct ran){0};
}

// Runs a line of words; a word may be quoted with '...'.
static inline struct ran run_line(const char *line, const char *input)
{
    char text[8192], *argv[64] = {(char *)"partita"}, *s = text;
    int n = 1;
    snprintf(text, sizeof text, "%s", line);
    while (*(s += strspn(s, " ")) && n < 63) {
        char end = *s == '\'' ? '\'' : ' ';
        s += end == '\'';
        argv[n++] = s;
        s = strchr(s, end) ? strchr(s, end) : s + strlen(s);
        if (*s)
            *s++ = 0;
    }
    argv[n] = NULL;
    return run_to(NULL, input, input ? strlen(input) : 0, argv);
}

__attribute__((format(printf, 1, 2))) static inline struct ran run(const char *fmt, ...)
{
    char line[8192];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    return run_line(line, NULL);
}

// A command that must fail: this code, nothing on standard output, one message with `part`.
static inline void fails(int code, const char *part, const char *line)
{
    struct ran r = run_line(line, NULL);
    bool ok = CHECK_INT(r.code, code);
    ok &= CHECK_STR(r.out, "");
    ok &= CHECK_HAS(r.err, part);
    ok &= CHECK_HAS(r.err, "partita");
    if (!ok)
        test_note("partita %s", line);
    ran_free(&r);
}

// A command that must succeed and say nothing on standard error.
static inline struct ran works(const char *line, const char *input)
{
    struct ran r = run_line(line, input);
    bool ok = CHECK_INT(r.code, 0);
    ok &= CHECK_STR(r.err, "");
    if (!ok)
        test_note("partita %s", line);
    return r;
}

static inline json_t *works_json(const char *line)
{
    json_error_t e;
    struct ran r = works(line, NULL);
    json_t *j = json_loads(r.out ? r.out : "", JSON_REJECT_DUPLICATES, &e);
    if (!CHECK(j != NULL))
        test_note("partita %s: %s at line %d", line, e.text, e.line);
    ran_free(&r);
    return j;
}

#endif
