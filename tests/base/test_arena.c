// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/harness.h"

#include <string.h>
#include "base/arena.h"

static void test_alloc_is_zeroed_and_aligned(void)
{
    struct arena a;
    arena_init(&a);
    for (int i = 1; i < 3000; i += 7) {
        unsigned char *p = arena_alloc(&a, (size_t)i);
        CHECK((uintptr_t)p % 16 == 0);
        CHECK(p[0] == 0 && p[i - 1] == 0);
        memset(p, 0xff, (size_t)i);
    }
    arena_fini(&a);
    CHECK_INT(a.total, 0);
}

static void test_rewind_gives_memory_back(void)
{
    struct arena a;
    arena_init(&a);
    char *keep = arena_strdup(&a, "keep");
    struct arena_mark m = arena_mark(&a);
    size_t before = a.total;
    for (int i = 0; i < 1000; i++) {
        arena_alloc(&a, 100000);
        arena_rewind(&a, m);
    }
    CHECK_INT(a.total, before);
    unsigned char *p = arena_alloc(&a, 64);
    CHECK_INT(p[0], 0); // zeroed again after the rewind
    CHECK_STR(keep, "keep");
    CHECK_STR(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    arena_fini(&a);
}

TESTS(base_arena, T(test_alloc_is_zeroed_and_aligned), T(test_rewind_gives_memory_back))
