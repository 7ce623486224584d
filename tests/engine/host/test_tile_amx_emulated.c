// SPDX-License-Identifier: GPL-3.0-or-later
// The AMX tile kernels over emulated instructions.
#ifdef __x86_64__
#include "tests/engine/host/emulate_x86.h"

#define tile_amx emulated_amx
#undef __AMX_TILE__
#undef __AMX_INT8__
#undef __AMX_BF16__
#undef __AVX512F__
#define __AMX_TILE__ 1
#define __AMX_INT8__ 1
#define __AMX_BF16__ 1
#define __AVX512F__  1
#include "engine/host/tile_amx.c"
#endif

#include "tests/engine/host/tile_cases.h"

static void test_emulated_amx_equals_generic(void)
{
#ifdef __x86_64__
    struct tile_kernels k = *emulated_amx;
    k.f32 = run_bf16; // whatever this machine has
    check_tile_table(&k);
    CHECK_INT(em_misuse, 0);
#else
    test_note("not an x86 machine");
#endif
}

TESTS(engine_host_tile_amx_emulated, T(test_emulated_amx_equals_generic))
