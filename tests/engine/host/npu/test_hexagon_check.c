// SPDX-License-Identifier: GPL-3.0-or-later
// The build's look at the disassembly: planted vector floats of every kind are found, in objects
// and in libraries, and what the skel is made of (scalar floats, integer vectors) is not taken for
// them.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "tests/harness.h"

#define HEAD                                                                                       \
    "#include <hexagon_types.h>\n#include <hexagon_protos.h>\n#include <hvx_hexagon_protos.h>\n"   \
    "typedef HVX_Vector v; typedef HVX_VectorPair vv;\n"
#define COMPILE                                                                                    \
    "clang-19 --target=hexagon-unknown-elf -mcpu=hexagonv68 -mhvx -mhvx-length=128B "              \
    "-mhvx-ieee-fp -O2 -ffreestanding -fPIC"

static bool tools(void)
{
    if (system("command -v clang-19 ld.lld-19 llvm-objdump-19 >/dev/null") == 0)
        return true;
    test_skip("no Hexagon compiler: make deps-hexagon");
    return false;
}

static int shell(const char *command)
{
    int rc = system(command);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

// The check's exit status for an object with this function in it.
static int checked(const char *function, const char *link)
{
    char path[300], command[1600];
    snprintf(path, sizeof path, "%s/planted.c", test_tmpdir());
    FILE *f = fopen(path, "w");
    if (!CHECK(f != NULL))
        return -1;
    fprintf(f, "%s%s\n", HEAD, function);
    fclose(f);
    snprintf(command, sizeof command, "cd %s && %s -c planted.c -o planted.o %s", test_tmpdir(),
             COMPILE, link);
    if (!CHECK_INT(shell(command), 0))
        return -1;
    snprintf(command, sizeof command, "sh tools/hexagon_check.sh %s/planted.o 2>%s/said",
             test_tmpdir(), test_tmpdir());
    return shell(command);
}

static void test_planted_floats_are_found(void)
{
    static const char *const planted[] = {
        "v f(v a, v b) { return Q6_Vqf32_vadd_VsfVsf(a, b); }",
        "v f(v a, v b) { return Q6_Vqf16_vmpy_VhfVhf(a, b); }",
        "v f(v a, v b) { return Q6_Vsf_vadd_VsfVsf(a, b); }",
        "v f(v a) { return Q6_Vsf_equals_Vqf32(a); }",
        "v f(v a) { return Q6_Vsf_vfneg_Vsf(a); }",
        "v f(v a, v b) { return Q6_Vhf_vcvt_VsfVsf(a, b); }",
        "v f(v a) { return Q6_Vh_vcvt_Vhf(a); }",
        "v f(v a) { return Q6_Vsf_vabs_Vsf(a); }",
        "HVX_VectorPred f(v a, v b) { return Q6_Q_vcmp_gt_VsfVsf(a, b); }",
    };
    if (!tools())
        return;
    for (size_t i = 0; i < sizeof planted / sizeof planted[0]; i++) {
        char path[300];
        if (!CHECK_INT(checked(planted[i], ""), 1))
            test_note("not found: %s", planted[i]);
        snprintf(path, sizeof path, "%s/planted.o", test_tmpdir());
        CHECK(access(path, F_OK) != 0); // nobody can go on with it
    }
    CHECK_INT(checked(planted[0], "&& ld.lld-19 -shared planted.o -o l.so && mv l.so planted.o"),
              1);
}

static void test_what_the_skel_uses_is_not(void)
{
    if (!tools())
        return;
    CHECK_INT(checked("float f(float a, float b, int *c) { *c = (int)a; return a * b + a; }", ""),
              0);
    CHECK_INT(checked("v f(v a, v b, int c) { return Q6_Vw_vrmpyacc_VwVubRb(a, b, c); }", ""), 0);
    CHECK_INT(checked("v f(v a, v b) { return Q6_Vw_vmpyo_VwVh_s1_rnd_sat(a, b); }", ""), 0);
    CHECK_INT(checked("v f(v a, v b) { return Q6_Vb_vlut32_VbVbR_nomatch(a, b, 0); }", ""), 0);
}

static void test_what_cannot_be_read_is_refused(void)
{
    if (!tools())
        return;
    CHECK(shell("sh tools/hexagon_check.sh Makefile >/dev/null 2>&1") != 0);
}

TESTS(engine_host_npu_hexagon_check, T(test_planted_floats_are_found),
      T(test_what_the_skel_uses_is_not), T(test_what_cannot_be_read_is_refused))
