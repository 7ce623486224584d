// SPDX-License-Identifier: GPL-3.0-or-later
// A thin layer over CUnit: one suite per file, one process per suite (an abort ends only its own).
//
//     static void test_something(void) { CHECK_INT(1 + 1, 2); }
//     TESTS(base_arena, T(test_something), T(test_other))
//
// Values are printed on failure. test_skip(why) counts the running test as skipped and says so.
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <CUnit/CUnit.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct test_case {
    const char *name;
    void (*run)(void);
};

int test_main(const char *suite, const struct test_case *cases, size_t n, int argc, char **argv);
void test_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void test_note(const char *fmt, ...) __attribute__((format(printf, 1, 2))); // shown on failure too

// Path of a file in the shared data folder (../shared or $PARTITA_SHARED), or NULL when it is not
// there. The string lives until the next call but three.
const char *test_shared(const char *relative);
// Whether an emulator runs this program (TEST_RUNNER of tests/run.sh is set), where each operation
// takes some fifty. Suites of kernels then try fewer sizes, but every kernel all the same.
bool test_emulated(void);
// A fresh folder for this process's files, removed at exit.
const char *test_tmpdir(void);

bool test_check_int(long long a, long long b, const char *ea, const char *eb, const char *f, int l);
bool test_check_near(double a, double b, double tol, const char *ea, const char *f, int l);
bool test_check_str(const char *a, const char *b, const char *ea, const char *f, int l);
bool test_check_has(const char *text, const char *part, const char *f, int l);
bool test_check(bool ok, const char *expr, const char *f, int l);
bool test_check_ok(int rc, const struct err *e, const char *expr, const char *f, int l);

#define CHECK(x)              test_check((x), #x, __FILE__, __LINE__)
#define CHECK_INT(a, b)       test_check_int((a), (b), #a, #b, __FILE__, __LINE__)
#define CHECK_NEAR(a, b, tol) test_check_near((a), (b), (tol), #a, __FILE__, __LINE__)
#define CHECK_STR(a, b)       test_check_str((a), (b), #a, __FILE__, __LINE__)
#define CHECK_HAS(text, part) test_check_has((text), (part), __FILE__, __LINE__) // substring
#define CHECK_OK(rc, e)       test_check_ok((rc), (e), #rc, __FILE__, __LINE__)  // prints the error

#define T(f)                                                                                       \
    {                                                                                              \
#f, f                                                                                      \
    }
#define TESTS(suite, ...)                                                                          \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        static const struct test_case cases[] = {__VA_ARGS__};                                     \
        return test_main(#suite, cases, sizeof cases / sizeof cases[0], argc, argv);               \
    }

#endif
