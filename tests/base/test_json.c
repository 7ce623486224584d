// SPDX-License-Identifier: GPL-3.0-or-later
// What the writer writes is read back by jansson, which did not write it.
#include "tests/harness.h"

#include <float.h>
#include <jansson.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/rng.h"

struct sink {
    struct json j;
    FILE *f;
    char *text;
    size_t size;
};

static void sink_open(struct sink *s, bool pretty)
{
    s->f = open_memstream(&s->text, &s->size);
    json_begin(&s->j, s->f, pretty);
}

static void sink_close(struct sink *s)
{
    json_end(&s->j);
    fclose(s->f);
}

static json_t *sink_load(struct sink *s)
{
    json_error_t why;
    sink_close(s);
    json_t *root = json_loadb(s->text, s->size, JSON_DECODE_ANY, &why);
    if (!root)
        test_note("%s in %s", why.text, s->text);
    CHECK(root != NULL);
    free(s->text);
    return root;
}

static void write_sample(struct json *j)
{
    json_object_begin(j, NULL);
    json_i64(j, "a", 1);
    json_array_begin(j, "b");
    json_f64(j, NULL, 0.5);
    json_none(j, NULL);
    json_bool(j, NULL, true);
    json_object_begin(j, NULL);
    json_object_end(j);
    json_array_end(j);
    json_str(j, "c", NULL);
    json_object_end(j);
}

static void test_exact_text(void)
{
    struct sink s;
    sink_open(&s, false);
    write_sample(&s.j);
    sink_close(&s);
    CHECK_STR(s.text, "{\"a\":1,\"b\":[0.5,null,true,{}],\"c\":null}\n");
    free(s.text);
    sink_open(&s, true);
    write_sample(&s.j);
    sink_close(&s);
    CHECK_STR(s.text, "{\n  \"a\": 1,\n  \"b\": [\n    0.5,\n    null,\n    true,\n    {}\n  ],\n"
                      "  \"c\": null\n}\n");
    free(s.text);
}

static void test_integers_are_exact(void)
{
    static const int64_t v[] = {0, -1, INT64_MAX, INT64_MIN, (INT64_C(1) << 53) + 1};
    struct sink s;
    sink_open(&s, false);
    json_array_begin(&s.j, NULL);
    for (int i = 0; i < 5; i++)
        json_i64(&s.j, NULL, v[i]);
    json_array_end(&s.j);
    json_t *root = sink_load(&s);
    for (size_t i = 0; i < 5; i++)
        CHECK_INT(json_integer_value(json_array_get(root, i)), v[i]);
    json_decref(root);
}

static void test_doubles_read_back(void)
{
    enum { N = 2000 };
    static double v[N] = {0.1, 1.0 / 3, DBL_MAX, DBL_MIN, 1e22, 123456789012345680.0, -2.5, 1e-7};
    struct rng *r = rng_create(1, "json");
    for (int i = 8; i < N; i++)
        v[i] = ldexp(rng_uniform(r) - 0.5, (int)rng_below(r, 600) - 300);
    rng_destroy(r);
    struct sink s;
    setlocale(LC_ALL, "de_DE.UTF-8"); // a decimal comma, where the locale exists
    sink_open(&s, false);
    json_array_begin(&s.j, NULL);
    for (int i = 0; i < N; i++)
        json_f64(&s.j, NULL, v[i]);
    json_array_end(&s.j);
    setlocale(LC_ALL, "C");
    json_t *root = sink_load(&s);
    for (size_t i = 0; i < N; i++)
        CHECK_NEAR(json_number_value(json_array_get(root, i)), v[i], 0);
    json_decref(root);
}

static void test_what_json_cannot_say_is_null(void)
{
    struct sink s;
    sink_open(&s, false);
    json_array_begin(&s.j, NULL);
    json_f64(&s.j, NULL, NAN);
    json_f64(&s.j, NULL, INFINITY);
    json_f64(&s.j, NULL, -INFINITY);
    json_array_end(&s.j);
    sink_close(&s);
    CHECK_STR(s.text, "[null,null,null]\n");
    free(s.text);
}

static void test_every_ascii_character_survives(void)
{
    char all[128];
    for (int i = 0; i < 127; i++)
        all[i] = (char)(i + 1);
    all[127] = 0;
    struct sink s;
    sink_open(&s, true);
    json_object_begin(&s.j, NULL);
    json_str(&s.j, all, all);
    json_object_end(&s.j);
    json_t *root = sink_load(&s);
    CHECK_STR(json_string_value(json_object_get(root, all)), all);
    json_decref(root);
}

static void check_string(const char *in, size_t n, const char *out)
{
    struct sink s;
    sink_open(&s, false);
    json_str_n(&s.j, NULL, in, n);
    json_t *root = sink_load(&s);
    CHECK_STR(json_string_value(root), out);
    json_decref(root);
}

#define BAD "\xef\xbf\xbd" // U+FFFD
static void test_utf8(void)
{
    static const char *const good[] = {"\xc2\x80",        "\xdf\xbf",     "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",    "\xee\x80\x80", "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        check_string(good[i], strlen(good[i]), good[i]);
    check_string("a\xff"
                 "b",
                 3, "a" BAD "b");
    check_string("\xc0\x80", 2, BAD BAD);                 // overlong
    check_string("\xe0\x9f\xbf", 3, BAD BAD BAD);         // overlong
    check_string("\xed\xa0\x80", 3, BAD BAD BAD);         // a surrogate
    check_string("\xf4\x90\x80\x80", 4, BAD BAD BAD BAD); // past U+10FFFF
    check_string("\xe2\x82", 2, BAD BAD);                 // cut short
    check_string("x\xf0\x9f\x98", 4, "x" BAD BAD BAD);
}

static void test_random_bytes_stay_valid(void)
{
    struct rng *r = rng_create(2, "json bytes");
    char bytes[64];
    for (int round = 0; round < 500; round++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)(1 + rng_below(r, 255));
        struct sink s;
        sink_open(&s, false);
        json_str_n(&s.j, NULL, bytes, sizeof bytes);
        json_decref(sink_load(&s));
    }
    rng_destroy(r);
}

static void test_deepest_level(void)
{
    struct sink s;
    sink_open(&s, false);
    for (int i = 0; i < 31; i++)
        json_array_begin(&s.j, NULL);
    for (int i = 0; i < 31; i++)
        json_array_end(&s.j);
    json_decref(sink_load(&s));
}

TESTS(base_json, T(test_exact_text), T(test_integers_are_exact), T(test_doubles_read_back),
      T(test_what_json_cannot_say_is_null), T(test_every_ascii_character_survives), T(test_utf8),
      T(test_random_bytes_stay_valid), T(test_deepest_level))
