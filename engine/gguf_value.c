// SPDX-License-Identifier: GPL-3.0-or-later
// GGUF: typed access to keys. Writers disagree about integer widths and signs (a count may be U32,
// I32 or U64), so any integer type is accepted as long as the value fits; everything else is an
// error that names the file, the key and the type that was found.
//
// The values were bounded when the file was opened; here they are only copied out, because the
// format does not align them.
#include "engine/gguf.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char *type_name(enum gguf_type type)
{
    static const char *const names[] = {
        [GGUF_U8] = "u8",         [GGUF_I8] = "i8",       [GGUF_U16] = "u16", [GGUF_I16] = "i16",
        [GGUF_U32] = "u32",       [GGUF_I32] = "i32",     [GGUF_F32] = "f32", [GGUF_BOOL] = "bool",
        [GGUF_STRING] = "string", [GGUF_ARRAY] = "array", [GGUF_U64] = "u64", [GGUF_I64] = "i64",
        [GGUF_F64] = "f64",
    };
    return names[type];
}

static int wrong_type(const struct gguf *g, const struct gguf_value *v, const char *key,
                      const char *expected, struct err *e)
{
    const uint8_t *at = v->data;
    return err_at(e, ERR_FORMAT, g->path, 0, key,
                  "is of type %s, expected %s (at byte %" PRIu64 ")", type_name(v->type), expected,
                  (uint64_t)(at - g->map));
}

#define LOAD(type, v) (*(type *)memcpy(&(type){0}, (v)->data, sizeof(type)))

// The value as an i64, or as a u64 above INT64_MAX (*huge). False: not an integer.
static bool load_int(const struct gguf_value *v, int64_t *out, bool *huge)
{
    *huge = false;
    switch (v->type) {
    case GGUF_U8:
        *out = LOAD(uint8_t, v);
        return true;
    case GGUF_I8:
        *out = LOAD(int8_t, v);
        return true;
    case GGUF_U16:
        *out = LOAD(uint16_t, v);
        return true;
    case GGUF_I16:
        *out = LOAD(int16_t, v);
        return true;
    case GGUF_U32:
        *out = LOAD(uint32_t, v);
        return true;
    case GGUF_I32:
        *out = LOAD(int32_t, v);
        return true;
    case GGUF_I64:
        *out = LOAD(int64_t, v);
        return true;
    case GGUF_U64: {
        uint64_t u = LOAD(uint64_t, v);
        *huge = u > INT64_MAX;
        *out = *huge ? INT64_MAX : (int64_t)u;
        return true;
    }
    case GGUF_F32:
    case GGUF_F64:
    case GGUF_BOOL:
    case GGUF_STRING:
    case GGUF_ARRAY:
        break;
    }
    return false;
}

int gguf_int(const struct gguf *g, const char *key, int64_t fallback, int64_t min, int64_t max,
             int64_t *out, struct err *e)
{
    const struct gguf_value *v = gguf_find(g, key);
    int64_t value;
    bool huge;
    if (!v) {
        *out = fallback;
        return 0;
    }
    if (!load_int(v, &value, &huge))
        return wrong_type(g, v, key, "an integer", e);
    if (huge || value < min || value > max) {
        uint64_t at = (uint64_t)((const uint8_t *)v->data - g->map);
        if (huge)
            return err_at(e, ERR_FORMAT, g->path, 0, key,
                          "%" PRIu64 " is out of range %" PRId64 "..%" PRId64 " (at byte %" PRIu64
                          ")",
                          LOAD(uint64_t, v), min, max, at);
        return err_at(e, ERR_FORMAT, g->path, 0, key,
                      "%" PRId64 " is out of range %" PRId64 "..%" PRId64 " (at byte %" PRIu64 ")",
                      value, min, max, at);
    }
    *out = value;
    return 0;
}

int gguf_real(const struct gguf *g, const char *key, double fallback, double *out, struct err *e)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v) {
        *out = fallback;
        return 0;
    }
    if (v->type != GGUF_F32 && v->type != GGUF_F64)
        return wrong_type(g, v, key, "f32 or f64", e);
    double value = v->type == GGUF_F32 ? (double)LOAD(float, v) : LOAD(double, v);
    if (!isfinite(value))
        return err_at(e, ERR_FORMAT, g->path, 0, key,
                      "is not a finite number (at byte %" PRIu64 ")",
                      (uint64_t)((const uint8_t *)v->data - g->map));
    *out = value;
    return 0;
}

int gguf_bool(const struct gguf *g, const char *key, bool fallback, bool *out, struct err *e)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v) {
        *out = fallback;
        return 0;
    }
    if (v->type != GGUF_BOOL)
        return wrong_type(g, v, key, "bool", e);
    uint8_t value = LOAD(uint8_t, v);
    if (value > 1)
        return err_at(e, ERR_FORMAT, g->path, 0, key,
                      "a bool is 0 or 1, not %u (at byte %" PRIu64 ")", value,
                      (uint64_t)((const uint8_t *)v->data - g->map));
    *out = value;
    return 0;
}

int gguf_string(const struct gguf *g, const char *key, struct gguf_str *out, struct err *e)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v) {
        *out = (struct gguf_str){NULL, 0};
        return 0;
    }
    if (v->type != GGUF_STRING)
        return wrong_type(g, v, key, "string", e);
    const uint8_t *cursor = v->data;
    *out = gguf_next_string(&cursor);
    return 0;
}

struct gguf_str gguf_next_string(const uint8_t **cursor)
{
    struct gguf_str s;
    memcpy(&s.n, *cursor, sizeof s.n);
    s.s = (const char *)*cursor + sizeof s.n;
    *cursor += sizeof s.n + s.n;
    return s;
}
