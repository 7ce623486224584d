// SPDX-License-Identifier: GPL-3.0-or-later
// GGUF files: what a good one gives, by every kind of access. Bad ones are in test_gguf_bad.c.
#include "tests/harness.h"

#include "engine/gguf.h"
#include "tests/engine/gguf_files.h"

static void check_good(const struct gguf *g)
{
    struct err e;
    struct gguf_str s;
    int64_t v;
    double d;
    bool b;
    CHECK_INT(g->n_values, 9);
    CHECK_INT(g->n_tensors, 2);
    CHECK_OK(gguf_int(g, "i", 0, -1, 0, &v, &e), &e);
    CHECK_INT(v, -1);
    CHECK_OK(gguf_int(g, "small", 0, 200, 200, &v, &e), &e);
    CHECK_INT(v, 200);
    CHECK_OK(gguf_int(g, "absent", 42, 0, 1, &v, &e), &e);
    CHECK_INT(v, 42);
    CHECK_OK(gguf_real(g, "f", 0, &d, &e), &e);
    CHECK_NEAR(d, 1.5, 0);
    CHECK_OK(gguf_real(g, "absent", 2.5, &d, &e), &e);
    CHECK_NEAR(d, 2.5, 0);
    CHECK(gguf_bool(g, "b", false, &b, &e) == 0 && b);
    CHECK(gguf_bool(g, "absent", true, &b, &e) == 0 && b);
    CHECK(gguf_string(g, "t", &s, &e) == 0 && s.n == 4 && memcmp(s.s, "text", 4) == 0);
    CHECK(gguf_string(g, "absent", &s, &e) == 0 && !s.s && !s.n);
    const struct gguf_value *list = gguf_find(g, "list");
    if (CHECK(list && list->type == GGUF_ARRAY && list->element == GGUF_STRING)) {
        const uint8_t *cursor = list->data;
        CHECK_INT(list->count, 3);
        CHECK_INT(gguf_next_string(&cursor).n, 1);
        CHECK_INT(gguf_next_string(&cursor).n, 0);
        CHECK(memcmp(gguf_next_string(&cursor).s, "ccc", 3) == 0);
    }
    const struct gguf_value *nums = gguf_find(g, "nums");
    CHECK(nums && nums->element == GGUF_U16 && nums->count == 2 &&
          *(const uint8_t *)nums->data == 7);
    CHECK(!gguf_find(g, "lis") && !gguf_find(g, "list.") && !gguf_find(g, ""));
    const struct gguf_tensor *m = gguf_find_tensor(g, "m"), *q = gguf_find_tensor(g, "q");
    if (!CHECK(m && q))
        return;
    CHECK(m->n_dims == 2 && m->dim[0] == 4 && m->dim[1] == 2 && m->dim[2] == 1 && m->dim[3] == 1);
    CHECK(m->enc == &encoding_f32 && m->size == 32 && ((const float *)m->data)[7] == 8);
    CHECK(q->enc == &encoding_q8_0 && q->size == 34 && ((const int8_t *)q->data)[33] == 9);
    CHECK(gguf_find_tensor(g, "i") == NULL);
}

static void test_good_file(void)
{
    struct err e;
    struct gguf *g;
    struct bytes b = assembled(GOOD);
    for (int version = 2; version <= 3; version++) {
        b.p[4] = (unsigned char)version;
        if (CHECK_OK(open_exact(b.p, b.n, &g, &e), &e)) {
            CHECK_INT(g->version, version);
            CHECK_STR(g->path, "bad.gguf");
            check_good(g);
            close_exact(g);
        }
    }
    char path[200];
    snprintf(path, sizeof path, "%s/good.gguf", test_tmpdir());
    FILE *f = fopen(path, "wb");
    fwrite(b.p, 1, b.n, f);
    fclose(f);
    if (CHECK_OK(gguf_open(path, &g, &e), &e)) {
        CHECK_STR(g->path, path);
        check_good(g);
        gguf_close(g);
    }
    // No tensors: the header may end anywhere, and nothing is padded.
    bytes_free(&b);
    b = assembled(HEAD(0, 1) "s'a' 4:0 1:1");
    if (CHECK_OK(open_exact(b.p, b.n, &g, &e), &e)) {
        CHECK_INT(g->n_tensors, 0);
        close_exact(g);
    }
    bytes_free(&b);
    gguf_close(NULL);
}

static void test_typed_access_refuses(void)
{
    struct err e;
    struct gguf *g;
    struct gguf_str s;
    int64_t v = 7;
    double d = 7;
    bool flag = true;
    struct bytes b = assembled(GOOD);
    if (!CHECK_OK(open_exact(b.p, b.n, &g, &e), &e))
        goto free_bytes;
    CHECK_INT(gguf_int(g, "i", 0, 0, 10, &v, &e), ERR_FORMAT);
    CHECK_HAS(e.msg, "-1 is out of range 0..10 (at byte ");
    CHECK_STR(e.key, "i");
    CHECK_STR(e.file, "bad.gguf");
    CHECK_INT(gguf_int(g, "small", 0, 0, 199, &v, &e), ERR_FORMAT);
    CHECK_INT(gguf_int(g, "u", 0, INT64_MIN, INT64_MAX, &v, &e), ERR_FORMAT);
    CHECK_HAS(e.msg, MAX64 " is out of range");
    CHECK_INT(gguf_int(g, "f", 0, 0, 10, &v, &e), ERR_FORMAT);
    CHECK_HAS(e.msg, "is of type f32, expected an integer");
    CHECK_INT(gguf_int(g, "b", 0, 0, 10, &v, &e), ERR_FORMAT);
    CHECK_INT(gguf_int(g, "list", 0, 0, 10, &v, &e), ERR_FORMAT);
    CHECK_INT(gguf_real(g, "i", 0, &d, &e), ERR_FORMAT);
    CHECK_HAS(e.msg, "is of type i32, expected f32 or f64");
    CHECK_INT(gguf_string(g, "list", &s, &e), ERR_FORMAT);
    CHECK_HAS(e.msg, "is of type array, expected string");
    CHECK_INT(gguf_bool(g, "small", false, &flag, &e), ERR_FORMAT);
    CHECK_INT(gguf_bool(g, "bad", false, &flag, &e), ERR_FORMAT);
    CHECK_HAS(e.msg, "a bool is 0 or 1, not 2");
    CHECK(v == 7 && d == 7 && flag); // outputs are written only on success
    close_exact(g);
free_bytes:
    bytes_free(&b);
}

static void test_integer_types(void)
{
    // Types 0..5, 10, 11 with their largest and smallest values.
    static const struct {
        const char *text;
        int64_t want;
    } cases[] = {
        {"4:0 1:255", 255},
        {"4:1 1:0x80", -128},
        {"4:2 2:65535", 65535},
        {"4:3 2:0x8000", -32768},
        {"4:4 4:0xffffffff", 4294967295},
        {"4:5 4:0x80000000", -2147483648LL},
        {"4:10 8:0x7fffffffffffffff", INT64_MAX},
        {"4:11 8:0x8000000000000000", INT64_MIN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes b = {0};
        struct err e;
        struct gguf *g;
        int64_t v;
        bytes_text(&b, HEAD(0, 1) "s'k' %s", cases[i].text);
        if (CHECK_OK(open_exact(b.p, b.n, &g, &e), &e)) {
            CHECK_OK(gguf_int(g, "k", 0, INT64_MIN, INT64_MAX, &v, &e), &e);
            CHECK_INT(v, cases[i].want);
            close_exact(g);
        }
        bytes_free(&b);
    }
}

static void test_files_that_are_none(void)
{
    struct gguf *g = NULL;
    struct err e;
    char path[200];
    CHECK_INT(gguf_open("/nonexistent/x.gguf", &g, &e), ERR_IO);
    CHECK_STR(e.file, "/nonexistent/x.gguf");
    CHECK_HAS(e.msg, "No such file");
    CHECK_INT(gguf_open("/tmp", &g, &e), ERR_IO);
    CHECK_HAS(e.msg, "not a regular file");
    snprintf(path, sizeof path, "%s/empty.gguf", test_tmpdir());
    fclose(fopen(path, "wb"));
    CHECK_INT(gguf_open(path, &g, &e), ERR_FORMAT);
    CHECK_HAS(e.msg, "it is empty");
    _Alignas(8) static const char odd[40] = " GGUF";
    CHECK_INT(gguf_open_memory("odd", odd + 1, 32, &g, &e), ERR_USAGE);
    CHECK_HAS(e.msg, "aligned to 8");
    CHECK(g == NULL);
}

// Many names, forwards in the file, found one by one: an index that compares wrongly loses some.
static void test_many_keys(void)
{
    enum { N = 3000 };
    struct bytes b = {0};
    struct gguf *g;
    struct err e;
    bytes_text(&b, "'GGUF' 4:3 8:0 8:%d", N);
    for (int i = 0; i < N; i++)
        bytes_text(&b, "s'k%d' 4:5 4:%d", i * 7919 % N, i * 7919 % N);
    if (CHECK_OK(open_exact(b.p, b.n, &g, &e), &e)) {
        int found = 0;
        for (int i = 0; i < N; i++) {
            char key[16];
            int64_t v = -1;
            snprintf(key, sizeof key, "k%d", i);
            gguf_int(g, key, -1, 0, N, &v, &e);
            found += v == i;
        }
        CHECK_INT(found, N);
        CHECK(!gguf_find(g, "k3000") && !gguf_find(g, "k") && !gguf_find(g, "l"));
        close_exact(g);
    }
    bytes_free(&b);
}

static void test_real_files(void)
{
    static const struct {
        const char *file;
        int values, tensors;
        const char *tokens_of;
        int tokens;
    } files[] = {
        {"data/models/stories260K.gguf", 19, 48, "llama", 512},
        {"data/models/TinyStories-656K-f32.gguf", 26, 20, "llama", 2048},
        {"data/models/TinyStories-656K-Q4_0.gguf", 27, 20, "llama", 2048},
        {"data/vocab/ggml-vocab-gpt-2.gguf", 16, 0, "gpt2", 50257},
        {"data/vocab/ggml-vocab-llama-spm.gguf", 22, 0, "llama", 32000},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *path = test_shared(files[i].file);
        struct gguf *g;
        struct gguf_str s;
        struct err e;
        if (!path) {
            test_skip("no %s", files[i].file);
            continue;
        }
        if (!CHECK_OK(gguf_open(path, &g, &e), &e))
            continue;
        CHECK_INT(g->n_values, files[i].values);
        CHECK_INT(g->n_tensors, files[i].tensors);
        CHECK_OK(gguf_string(g, "tokenizer.ggml.model", &s, &e), &e);
        CHECK(s.n == strlen(files[i].tokens_of) && memcmp(s.s, files[i].tokens_of, s.n) == 0);
        const struct gguf_value *v = gguf_find(g, "tokenizer.ggml.tokens");
        CHECK(v && v->element == GGUF_STRING && v->count == (uint64_t)files[i].tokens);
        gguf_close(g);
    }
}

TESTS(engine_gguf, T(test_good_file), T(test_typed_access_refuses), T(test_integer_types),
      T(test_files_that_are_none), T(test_many_keys), T(test_real_files))
