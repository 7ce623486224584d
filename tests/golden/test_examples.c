// SPDX-License-Identifier: GPL-3.0-or-later
// Examples are tests: tests/golden/examples/NAME.cmd prints exactly NAME.out. They run in virtual
// time only, so every number repeats. After an intended change: sh tests/golden/update.sh.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/harness.h"

#define FOLDER "tests/golden/examples"

static char *read_stream(FILE *f)
{
    char *s = NULL, buf[4096];
    size_t n = 0, got;
    if (!f)
        return NULL;
    while ((got = fread(buf, 1, sizeof buf, f)) > 0) {
        char *t = realloc(s, n + got + 1);
        if (!t)
            break;
        s = t;
        memcpy(s + n, buf, got);
        s[n += got] = 0;
    }
    return s;
}

// The first line in which they differ.
static void show_difference(const char *name, const char *got, const char *expected)
{
    int line = 1;
    while (*got && *got == *expected) {
        line += *got == '\n';
        got++;
        expected++;
    }
    test_note("%s.out:%d: from here on expected \"%.*s\", got \"%.*s\"", name, line,
              (int)strcspn(expected, "\n"), expected, (int)strcspn(got, "\n"), got);
}

static void example(const char *name)
{
    char path[400], cmd[500];
    snprintf(path, sizeof path, FOLDER "/%s.out", name);
    FILE *f = fopen(path, "r");
    char *expected = read_stream(f), *got;
    if (f)
        fclose(f);
    snprintf(cmd, sizeof cmd, "sh tests/golden/example.sh " FOLDER "/%s.cmd", name);
    f = popen(cmd, "r");
    got = read_stream(f);
    if (f)
        pclose(f);
    if (!CHECK(expected != NULL))
        test_note("%s.out is missing: sh tests/golden/update.sh %s", name, name);
    else if (!CHECK(got && !strcmp(got, expected)))
        show_difference(name, got ? got : "", expected);
    free(expected);
    free(got);
}

static void test_examples(void)
{
    struct dirent **entry;
    int n = scandir(FOLDER, &entry, NULL, alphasort), count = 0;
    for (int i = 0; i < n; i++) {
        char name[256];
        size_t len = strlen(entry[i]->d_name);
        if (len > 4 && !strcmp(entry[i]->d_name + len - 4, ".cmd")) {
            snprintf(name, sizeof name, "%.*s", (int)len - 4, entry[i]->d_name);
            example(name);
            count++;
        }
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
    test_note("%d examples", count);
    CHECK(count >= 10);
}

TESTS(golden_examples, T(test_examples))
