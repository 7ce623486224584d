// SPDX-License-Identifier: GPL-3.0-or-later
// A streaming JSON writer: no tree, no allocation, correct escaping (also of invalid UTF-8), nulls
// for NaN. Reading JSON is jansson's job.
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
    FILE *f;
    int depth;
    bool first[32]; // is the next element of this level the first?
    bool pretty;
};

void json_begin(struct json *j, FILE *f, bool pretty);
void json_end(struct json *j); // closes with a newline; asserts that all levels are closed

// key is NULL inside arrays and at the top. (json_object, json_array and json_null are jansson's.)
void json_object_begin(struct json *j, const char *key);
void json_object_end(struct json *j);
void json_array_begin(struct json *j, const char *key);
void json_array_end(struct json *j);
void json_str(struct json *j, const char *key, const char *s); // NULL writes null
void json_str_n(struct json *j, const char *key, const char *s, size_t n);
void json_i64(struct json *j, const char *key, int64_t v);
void json_fixed(struct json *j, const char *key, int64_t v, int decimals); // v / 10^decimals, exact
void json_f64(struct json *j, const char *key, double v); // shortest that reads back; NaN: null
void json_bool(struct json *j, const char *key, bool v);
void json_none(struct json *j, const char *key); // writes null

#endif
