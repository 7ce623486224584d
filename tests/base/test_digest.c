// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/harness.h"

#include <stdlib.h>
#include "base/digest.h"

static void test_known_values(void)
{
    char buf[17];
    // FNV-1a, from the test vectors of its authors (isthe.com/chongo/tech/comp/fnv).
    CHECK_STR(digest_text(digest_bytes(DIGEST_INIT, "", 0), buf), "cbf29ce484222325");
    CHECK_STR(digest_text(digest_bytes(DIGEST_INIT, "a", 1), buf), "af63dc4c8601ec8c");
    CHECK_STR(digest_text(digest_bytes(DIGEST_INIT, "foobar", 6), buf), "85944171f73967e8");
}

static void test_parts_equal_the_whole(void)
{
    uint64_t whole = digest_bytes(DIGEST_INIT, "foobar", 6);
    uint64_t parts = digest_bytes(digest_bytes(DIGEST_INIT, "foo", 3), "bar", 3);
    CHECK(whole == parts);
}

static void test_boundaries_of_strings_count(void)
{
    uint64_t a = digest_str(digest_str(DIGEST_INIT, "ab"), "c");
    uint64_t b = digest_str(digest_str(DIGEST_INIT, "a"), "bc");
    CHECK(a != b);
}

static void test_order_and_zero(void)
{
    uint64_t a = digest_u64(digest_u64(DIGEST_INIT, 1), 2);
    uint64_t b = digest_u64(digest_u64(DIGEST_INIT, 2), 1);
    CHECK(a != b);
    CHECK(digest_f64(DIGEST_INIT, -0.0) == digest_f64(DIGEST_INIT, 0.0));
    CHECK(digest_f64(DIGEST_INIT, 1) != digest_f64(DIGEST_INIT, -1));
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

// Values that differ in one high bit or by one must not collide.
static void test_no_collision_among_neighbours(void)
{
    enum { N = 4096 };
    static uint64_t d[N + 64];
    for (uint64_t i = 0; i < N; i++)
        d[i] = digest_u64(DIGEST_INIT, i);
    for (int i = 12; i < 64; i++)
        d[N + i] = digest_u64(DIGEST_INIT, UINT64_C(1) << i);
    for (int i = 0; i < 12; i++)
        d[N + i] = digest_u64(DIGEST_INIT, ~(uint64_t)i);
    qsort(d, N + 64, sizeof d[0], compare);
    int equal = 0;
    for (int i = 1; i < N + 64; i++)
        equal += d[i] == d[i - 1];
    CHECK_INT(equal, 0);
}

TESTS(base_digest, T(test_known_values), T(test_parts_equal_the_whole),
      T(test_boundaries_of_strings_count), T(test_order_and_zero),
      T(test_no_collision_among_neighbours))
