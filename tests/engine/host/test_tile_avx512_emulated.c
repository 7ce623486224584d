// SPDX-License-Identifier: GPL-3.0-or-later
// The AVX-512 tile kernels over emulated instructions.
#ifdef __x86_64__
#include "tests/engine/host/emulate_x86.h"

#define tile_avx512 emulated_avx512
#undef __AVX512F__
#undef __AVX512BW__
#undef __AVX512VNNI__
#define __AVX512F__    1
#define __AVX512BW__   1
#define __AVX512VNNI__ 1
#include "engine/host/tile_avx512.c"
#endif

#include "tests/engine/host/tile_cases.h"

static void test_emulated_avx512_equals_generic(void)
{
#ifdef __x86_64__
    check_tile_table(emulated_avx512);
#else
    test_note("not an x86 machine");
#endif
}

TESTS(engine_host_tile_avx512_emulated, T(test_emulated_avx512_equals_generic))
