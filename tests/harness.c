// SPDX-License-Identifier: GPL-3.0-or-later
// The suite's result goes to stdout as CUnit prints it, then one line "RESULT suite passed failed
// skipped" for tests/run.sh, which adds the suites up.
#include "tests/harness.h"

#include <CUnit/Basic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static CU_pTest skipped[512]; // tests that asked to be skipped
static unsigned n_skipped;
static char tmpdir[64];

static void remove_tmpdir(void)
{
    char cmd[96];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", tmpdir);
    if (tmpdir[0] && system(cmd) != 0)
        fprintf(stderr, "cannot remove %s\n", tmpdir);
}

const char *test_tmpdir(void)
{
    if (!tmpdir[0]) {
        snprintf(tmpdir, sizeof tmpdir, "%s", "/tmp/partita-test-XXXXXX");
        if (!mkdtemp(tmpdir)) {
            perror("mkdtemp");
            exit(1);
        }
        atexit(remove_tmpdir);
    }
    return tmpdir;
}

const char *test_shared(const char *relative)
{
    static char path[4][512];
    static unsigned next;
    const char *root = getenv("PARTITA_SHARED");
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", root ? root : "../shared", relative);
    return access(p, R_OK) == 0 ? p : NULL;
}

bool test_emulated(void)
{
    const char *runner = getenv("TEST_RUNNER");
    return runner && runner[0];
}

void test_skip(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("  [skipped: ");
    vprintf(fmt, ap);
    printf("] ");
    va_end(ap);
    CU_pTest now = CU_get_current_test();
    if ((!n_skipped || skipped[n_skipped - 1] != now) && n_skipped < 512)
        skipped[n_skipped++] = now;
}

void test_note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("\n    ");
    vprintf(fmt, ap);
    va_end(ap);
}

bool test_check(bool ok, const char *expr, const char *f, int l)
{
    CU_assertImplementation(ok, (unsigned)l, expr, f, "", CU_FALSE);
    return ok;
}

static bool verdict(bool ok, const char *text, const char *f, int l)
{
    return test_check(ok, text, f, l);
}

bool test_check_int(long long a, long long b, const char *ea, const char *eb, const char *f, int l)
{
    char text[400];
    snprintf(text, sizeof text, "%s = %lld, expected %s = %lld", ea, a, eb, b);
    return verdict(a == b, text, f, l);
}

bool test_check_near(double a, double b, double tol, const char *ea, const char *f, int l)
{
    char text[400];
    snprintf(text, sizeof text, "%s = %.9g, expected %.9g +- %.3g", ea, a, b, tol);
    return verdict(fabs(a - b) <= tol, text, f, l);
}

bool test_check_str(const char *a, const char *b, const char *ea, const char *f, int l)
{
    char text[1200];
    snprintf(text, sizeof text, "%s = \"%.500s\", expected \"%.500s\"", ea, a ? a : "(null)",
             b ? b : "(null)");
    return verdict(a && b && strcmp(a, b) == 0, text, f, l);
}

bool test_check_has(const char *t, const char *part, const char *f, int l)
{
    char text[1200];
    snprintf(text, sizeof text, "\"%.800s\" has \"%.200s\"", t ? t : "(null)", part);
    return verdict(t && strstr(t, part), text, f, l);
}

bool test_check_ok(int rc, const struct err *e, const char *expr, const char *f, int l)
{
    char text[1200], msg[700] = "";
    if (rc < 0 && e)
        err_text(e, msg, sizeof msg);
    snprintf(text, sizeof text, "%.300s = %d %s", expr, rc, msg);
    return verdict(rc >= 0, text, f, l);
}

int test_main(const char *suite, const struct test_case *cases, size_t n, int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite(suite, NULL, NULL);
    unsigned chosen = 0;
    for (size_t i = 0; i < n; i++) {
        if (argc > 1 && !strstr(cases[i].name, argv[1]))
            continue;
        CU_add_test(s, cases[i].name, cases[i].run);
        chosen++;
    }
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_tests_failed();
    for (CU_pFailureRecord r = CU_get_failure_list(); r; r = r->pNext)
        for (unsigned i = 0; i < n_skipped; i++)
            if (skipped[i] == r->pTest)
                skipped[i] = skipped[--n_skipped]; // failed before it was skipped
    printf("RESULT %s %u %u %u\n", suite, chosen - failed - n_skipped, failed, n_skipped);
    CU_cleanup_registry();
    return failed != 0;
}
