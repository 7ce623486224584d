// SPDX-License-Identifier: GPL-3.0-or-later
// Bad GGUF files, of three kinds: made by hand (one lie each; code, place and message are checked),
// cut at every byte, and mutated at random (no crash, and an error that names the file).
#include "tests/harness.h"

#include "engine/gguf.h"
#include "engine/model.h"
#include "tests/engine/gguf_files.h"

static const struct bad {
    const char *text;
    int code;
    const char *key, *message;
} bad[] = {
    {"", ERR_FORMAT, "", "the file ends inside the magic number"},
    {"'GGU'", ERR_FORMAT, "", "the file ends inside the magic number"},
    {"'GGML' 4:3 z16", ERR_FORMAT, "", "not a GGUF file: it begins with 47 47 4d 4c (at byte 0)"},
    {"'FUGG' 4:3 z16", ERR_FORMAT, "", "not a GGUF file"},
    {"'GGUF' 4:0 z16", ERR_UNSUPPORTED, "", "GGUF version 0"},
    {"'GGUF' 4:1 z16", ERR_UNSUPPORTED, "", "GGUF version 1; this build reads 2 and 3 (at byte 4)"},
    {"'GGUF' 4:4 z16", ERR_UNSUPPORTED, "", "GGUF version 4"},
    {"'GGUF' 4:0x03000000 z16", ERR_UNSUPPORTED, "", "big-endian"},
    {"'GGUF' 4:0xffffffff z16", ERR_UNSUPPORTED, "", "GGUF version 4294967295"},
    {HEAD(9223372036854775808, 0), ERR_FORMAT, "",
     "9223372036854775808 tensors do not fit into 24 bytes (at byte 8)"},
    {HEAD(18446744073709551615, 0) "z64", ERR_FORMAT, "", "tensors do not fit"},
    {HEAD(0, 18446744073709551615) "z64", ERR_FORMAT, "", "keys do not fit into 88 bytes"},
    {HEAD(0, 9223372036854775808) "z64", ERR_FORMAT, "", "keys do not fit"},
    {HEAD(3, 0) "z64", ERR_FORMAT, "", "3 tensors do not fit"},
    {HEAD(0, 1) "8:" MAX64 " 'key' z32", ERR_FORMAT, "",
     "a key claims " MAX64 " letters, but the file has 35 bytes left (at byte 24)"},
    {HEAD(0, 1) "8:0x8000000000000000 z32", ERR_FORMAT, "", "a key claims 9223372036854775808"},
    {HEAD(0, 1) "8:33 z32", ERR_FORMAT, "", "a key claims 33 letters"},
    {HEAD(0, 1) "8:0 4:0 1:1 z8", ERR_FORMAT, "", "a key has 0 letters, 1 to 65535"},
    {HEAD(0, 1) "8:65536 z65536 z64", ERR_FORMAT, "", "a key has 65536 letters"},
    {HEAD(0, 1) "8:3 'a' 1:0 'b' 4:0 1:1", ERR_FORMAT, "a?b", "control character"},
    {HEAD(0, 1) "8:4 'a' 1:27 '[2' 4:0 1:1", ERR_FORMAT, "a?[2", "control character"},
    {HEAD(0, 1) "s'key' 4:13 z32", ERR_FORMAT, "key", "value type 13 is not one of GGUF's"},
    {HEAD(0, 1) "s'key' 4:0xffffffff z32", ERR_FORMAT, "key", "value type 4294967295"},
    {HEAD(0, 1) "s'key' 4:8 8:" MAX64 " z9", ERR_FORMAT, "key", "the string claims " MAX64},
    {HEAD(0, 1) "s'key' 4:8 8:0xfffffffffffffff8 z9", ERR_FORMAT, "key", "the string claims"},
    {HEAD(0, 1) "s'key' 4:12 4:1", ERR_FORMAT, "key", "do not fit into the 4 bytes left"},
    {HEAD(0, 1) "s'key' 4:9 4:9 8:1 4:0 8:1 1:1", ERR_FORMAT, "key", "an array of arrays"},
    {HEAD(0, 1) "s'key' 4:9 4:77 8:1 z8", ERR_FORMAT, "key", "value type 77"},
    {HEAD(0, 1) "s'key' 4:9 4:0 8:" MAX64 " z8", ERR_FORMAT, "key",
     MAX64 " elements of at least 1 bytes do not fit into the 8 bytes left (at byte 51)"},
    // 2^61 elements of 8 bytes: the product wraps to 0.
    {HEAD(0, 1) "s'key' 4:9 4:10 8:0x2000000000000000 z8", ERR_FORMAT, "key", "do not fit"},
    {HEAD(0, 1) "s'key' 4:9 4:4 8:0x4000000000000001 z8", ERR_FORMAT, "key", "do not fit"},
    {HEAD(0, 1) "s'key' 4:9 4:8 8:0x2000000000000000 z8", ERR_FORMAT, "key", "do not fit"},
    {HEAD(0, 1) "s'key' 4:9 4:8 8:2 8:1 'a' 8:1", ERR_FORMAT, "key", "a string of the array"},
    {HEAD(0, 2) "s'key' 4:0 1:1 s'key' 4:0 1:2", ERR_FORMAT, "key",
     "the key appears twice (at byte 48)"},
    {HEAD(0, 1) "s'general.alignment' 4:4 4:0", ERR_FORMAT, "general.alignment",
     "0 is not a power of two"},
    {HEAD(0, 1) "s'general.alignment' 4:4 4:3", ERR_FORMAT, "general.alignment",
     "3 is not a power of two from 8 to 1048576"},
    {HEAD(0, 1) "s'general.alignment' 4:4 4:1", ERR_FORMAT, "general.alignment", "1 is not"},
    {HEAD(0, 1) "s'general.alignment' 4:4 4:0x80000000", ERR_FORMAT, "general.alignment",
     "2147483648 is not"},
    {HEAD(0, 1) "s'general.alignment' 4:10 8:" MAX64, ERR_FORMAT, "general.alignment",
     "out of range"},
    {HEAD(0, 1) "s'general.alignment' 4:11 8:" MAX64, ERR_FORMAT, "general.alignment",
     "-1 is out of range"},
    {HEAD(0, 1) "s'general.alignment' 4:8 s'32'", ERR_FORMAT, "general.alignment",
     "is of type string, expected an integer"},
    {HEAD(1, 0) "8:0 4:1 8:1 4:0 8:0 z64", ERR_FORMAT, "", "a tensor name has 0 letters"},
    {HEAD(1, 0) "8:65 z65 z64", ERR_FORMAT, "", "a tensor name has 65 letters, 1 to 64"},
    {HEAD(1, 0) "8:" MAX64 " z64", ERR_FORMAT, "", "a tensor name claims " MAX64},
    {HEAD(1, 0) "s'w' 4:0 8:1 4:0 8:0 z64", ERR_FORMAT, "w", "0 dimensions, 1 to 4"},
    {HEAD(1, 0) "s'w' 4:5 8:1 8:1 8:1 8:1 8:1 4:0 8:0 z64", ERR_FORMAT, "w",
     "5 dimensions, 1 to 4 are allowed (at byte 33)"},
    {HEAD(1, 0) "s'w' 4:0xffffffff z64", ERR_FORMAT, "w", "4294967295 dimensions"},
    {HEAD(1, 0) "s'w' 4:2 8:4 8:0 4:0 8:0 z64", ERR_FORMAT, "w", "dimension 1 is 0 (at byte 45)"},
    // 2^32 * 2^32 wraps to 0; 2^63 * 2; (2^64 - 1) as one dimension; four of 2^16.
    {HEAD(1, 0) "s'w' 4:2 8:0x100000000 8:0x100000000 4:0 8:0 z64", ERR_FORMAT, "w",
     "the dimensions' product overflows"},
    {HEAD(1, 0) "s'w' 4:2 8:0x8000000000000000 8:2 4:0 8:0 z64", ERR_FORMAT, "w", "overflows"},
    {HEAD(1, 0) "s'w' 4:1 8:" MAX64 " 4:0 8:0 z64", ERR_FORMAT, "w", "overflows"},
    {HEAD(1, 0) "s'w' 4:4 8:65536 8:65536 8:65536 8:65536 4:0 8:0 z64", ERR_FORMAT, "w",
     "overflows"},
    // 2^62 values of 4 bytes: the size wraps to 0.
    {HEAD(1, 0) "s'w' 4:1 8:0x4000000000000000 4:0 8:0 z64", ERR_FORMAT, "w", "overflows"},
    // The largest size that is computed at all: 2^60 values, 2^62 bytes.
    {HEAD(1, 0) "s'w' 4:1 8:0x1000000000000000 4:0 8:0 p32 z64", ERR_FORMAT, "w",
     "4611686018427387904 bytes at offset 0 end behind the file"},
    {HEAD(1, 0) "s'w' 4:1 8:33 4:8 8:0 p32 z64", ERR_FORMAT, "w",
     "rows of 33 values are no whole Q8_0 blocks of 32"},
    {HEAD(1, 0) "s'w' 4:2 8:16 8:2 4:2 8:0 p32 z64", ERR_FORMAT, "w", "no whole Q4_0 blocks"},
    {HEAD(1, 0) "s'w' 4:1 8:288 4:12 8:0 p32 z288", ERR_FORMAT, "w",
     "rows of 288 values are no whole Q4_K blocks of 256"},
    {HEAD(1, 0) "s'w' 4:1 8:512 4:14 8:0 p32 z419", ERR_FORMAT, "w",
     "420 bytes at offset 0 end behind the file"},
    {HEAD(1, 0) "s'w' 4:1 8:1 4:0 8:4 p32 z64", ERR_FORMAT, "w",
     "offset 4 is not a multiple of 32 (at byte 49)"},
    {HEAD(1, 1) "s'general.alignment' 4:4 4:64 s'w' 4:1 8:1 4:0 8:32 p64 z64", ERR_FORMAT, "w",
     "offset 32 is not a multiple of 64"},
    {HEAD(1, 0) "s'w' 4:1 8:1 4:0 8:0xffffffffffffffe0 p32 z64", ERR_FORMAT, "w",
     "4 bytes at offset 18446744073709551584 end behind the file, which has 64 bytes of data"},
    {HEAD(1, 0) "s'w' 4:1 8:8 4:0 8:0xffffffffffffffe0 p32 z64", ERR_FORMAT, "w", "end behind"},
    {HEAD(1, 0) "s'w' 4:1 8:1 4:0 8:64 p32 z64", ERR_FORMAT, "w", "end behind the file"},
    {HEAD(1, 0) "s'w' 4:1 8:17 4:0 8:0 p32 z64", ERR_FORMAT, "w", "68 bytes at offset 0 end"},
    {HEAD(1, 0) "s'w' 4:1 8:1 4:0 8:0 p32", ERR_FORMAT, "w", "which has 0 bytes of data"},
    // The header ends at 57 and the data would begin at 64, behind the end of the file.
    {HEAD(1, 0) "s'w' 4:1 8:1 4:0 8:0", ERR_FORMAT, "w", "which has 0 bytes of data"},
    // An unknown type has no size, but its offset is held to the same limits.
    {HEAD(1, 0) "s'w' 4:1 8:256 4:11 8:96 p32 z64", ERR_FORMAT, "w", "end behind the file"},
    {HEAD(1, 0) "s'w' 4:2 8:0x100000000 8:0x100000000 4:11 8:0 p32 z64", ERR_FORMAT, "w",
     "overflows"},
    {HEAD(2, 0) "s'w' 4:1 8:1 4:0 8:0 s'w' 4:1 8:1 4:0 8:32 p32 z64", ERR_FORMAT, "w",
     "the tensor appears twice (at byte 65)"},
};

static void test_bad_files(void)
{
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct bytes b = assembled(bad[i].text);
        struct gguf *g = NULL;
        struct err e = {0};
        char text[600];
        int rc = open_exact(b.p, b.n, &g, &e);
        if (!CHECK_INT(rc, bad[i].code))
            test_note("case %zu: %s", i, bad[i].text);
        CHECK(g == NULL);
        CHECK_INT(e.code, bad[i].code);
        CHECK_STR(e.file, "bad.gguf");
        CHECK_STR(e.key, bad[i].key);
        CHECK_HAS(err_text(&e, text, sizeof text), bad[i].message);
        CHECK_HAS(text, "(at byte ");
        // The error may be thrown away.
        CHECK_INT(open_exact(b.p, b.n, &g, NULL), bad[i].code);
        if (rc == 0)
            close_exact(g);
        bytes_free(&b);
    }
    test_note("%zu hand-made files", sizeof bad / sizeof bad[0]);
}

// The other side of the same edges.
static void test_tight_files(void)
{
    static const char *const tight[] = {
        HEAD(1, 0) "s'w' 4:1 8:512 4:14 8:0 p32 z420", // two blocks of Q6_K
        HEAD(1, 0) "s'w' 4:1 8:16 4:0 8:0 p32 z64",
        HEAD(1, 0) "s'w' 4:1 8:8 4:0 8:32 p32 z64",
        HEAD(1, 0) "s'w' 4:1 8:256 4:11 8:64 p32 z64", // unknown type, no bytes claimed
        HEAD(1, 0) "s'w' 4:1 8:256 4:4096 8:64 p32 z64",
        HEAD(1, 1) "s'general.alignment' 4:4 4:8 s'w' 4:1 8:1 4:0 8:8 p8 z12",
        HEAD(1, 1) "s'general.alignment' 4:4 4:64 s'w' 4:1 8:1 4:0 8:64 p64 z68",
        HEAD(0, 1) "s'key' 4:9 4:0 8:0",
        HEAD(0, 1) "s'key' 4:9 4:8 8:0",
        HEAD(0, 1) "s'key' 4:9 4:0 8:8 z8",
        HEAD(0, 0),
    };
    for (size_t i = 0; i < sizeof tight / sizeof tight[0]; i++) {
        struct bytes b = assembled(tight[i]);
        struct gguf *g;
        struct err e;
        if (CHECK_OK(open_exact(b.p, b.n, &g, &e), &e))
            close_exact(g);
        bytes_free(&b);
    }
}

static void test_cut_at_every_byte(void)
{
    struct bytes b = assembled(GOOD);
    for (size_t n = 0; n < b.n; n++) {
        struct gguf *g = NULL;
        struct err e = {0};
        if (!CHECK_INT(open_exact(b.p, n, &g, &e), ERR_FORMAT))
            test_note("%zu of %zu bytes", n, b.n);
        CHECK_STR(e.file, "bad.gguf");
        CHECK(e.msg[0] != 0);
    }
    bytes_free(&b);
}

static uint64_t state = 2024;
static uint64_t draw(uint64_t n)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (state >> 33) % n;
}

static void mutate(unsigned char *p, size_t header)
{
    static const uint64_t values[] = {
        0, 1, UINT64_MAX, INT64_MAX, UINT64_C(1) << 63, UINT32_MAX, 0x80000000, 12};
    for (uint64_t k = 1 + draw(3); k > 0; k--) {
        size_t at = draw(header - 8);
        switch (draw(4)) {
        case 0:
            p[at] ^= (unsigned char)(1 << draw(8));
            break;
        case 1:
            p[at] = (unsigned char)draw(256);
            break;
        case 2:
            memcpy(p + at, &values[draw(8)], 8);
            break;
        case 3:
            memcpy(p + at, &values[draw(8)], 4);
            break;
        }
    }
}

static unsigned sum; // of the bytes that were touched, so that they are

// Opens as a file and as a model; walks what was promised to be inside.
static int survive(const unsigned char *p, size_t n)
{
    struct gguf *g = NULL;
    struct model *m = NULL;
    struct err e = {0};
    int rc = open_exact(p, n, &g, &e);
    if (rc < 0) {
        CHECK(rc == e.code && strcmp(e.file, "bad.gguf") == 0 && e.msg[0]);
        return 0;
    }
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const unsigned char *d = g->tensors[i].data;
        if (g->tensors[i].size)
            sum += d[0] + d[g->tensors[i].size - 1];
    }
    for (uint64_t i = 0; i < g->n_values; i++) {
        const struct gguf_value *v = &g->values[i];
        const uint8_t *cursor = v->data;
        for (uint64_t j = 0; v->element == GGUF_STRING && j < v->count; j++) {
            struct gguf_str s = gguf_next_string(&cursor);
            sum += s.n ? (unsigned char)s.s[s.n - 1] : 0;
        }
    }
    memset(&e, 0, sizeof e);
    rc = model_open_memory("bad.gguf", g->map, g->size, &m, &e);
    if (rc < 0)
        CHECK(rc == e.code && strcmp(e.file, "bad.gguf") == 0 && e.msg[0]);
    else
        model_close(m);
    close_exact(g);
    return 1;
}

static void test_mutations(void)
{
    struct bytes b = assembled(GOOD);
    unsigned char *copy = malloc(b.n);
    int opened = 0, tried = 2000;
    for (int i = 0; i < tried; i++) {
        memcpy(copy, b.p, b.n);
        mutate(copy, b.n);
        opened += survive(copy, b.n);
    }
    test_note("%d mutations of a small file, %d still open", tried, opened);
    CHECK(opened > 0 && opened < tried);
    free(copy);
    bytes_free(&b);
}

static unsigned char *read_all(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *p = malloc(*n);
    if (fread(p, 1, *n, f) != *n)
        *n = 0;
    fclose(f);
    return p;
}

static void test_mutations_of_a_real_header(void)
{
    const char *path = test_shared("data/models/stories260K.gguf");
    size_t n;
    unsigned char *p = path ? read_all(path, &n) : NULL;
    if (!p) {
        test_skip("no stories260K.gguf");
        return;
    }
    enum { HEADER = 14152, TOKENS_END = 11000 }; // the first 11 kB are the vocabulary
    unsigned char *copy = malloc(n);
    int opened = 0, tried = 600;
    for (int i = 0; i < tried; i++) {
        size_t from = i % 2 ? TOKENS_END : 0;
        memcpy(copy, p, n);
        mutate(copy + from, HEADER - from);
        opened += survive(copy, n);
    }
    test_note("%d mutations of stories260K, %d still open", tried, opened);
    CHECK(opened > 0 && opened < tried);
    for (size_t cut = 0; cut < HEADER; cut += 1 + cut / 100) {
        struct gguf *g;
        struct err e;
        CHECK_INT(open_exact(p, cut, &g, &e), ERR_FORMAT);
    }
    free(copy);
    free(p);
}

TESTS(engine_gguf_bad, T(test_bad_files), T(test_tight_files), T(test_cut_at_every_byte),
      T(test_mutations), T(test_mutations_of_a_real_header))
