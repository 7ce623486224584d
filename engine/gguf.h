// SPDX-License-Identifier: GPL-3.0-or-later
// GGUF v2 and v3 files, mapped read-only. The file is hostile until proven otherwise: every count,
// offset, dimension and string is bounded by the file's size before it is used. Errors carry the
// file, the key or tensor at fault, and the byte offset in the message. A file that somebody cuts
// short while it is mapped still raises SIGBUS: that is not a malformed file but a lost one.
#ifndef ENGINE_GGUF_H
#define ENGINE_GGUF_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "engine/encoding.h"

enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
};

struct gguf_str {
    const char *s; // in the mapping, NOT zero-terminated
    uint64_t n;
};

struct gguf_value {
    struct gguf_str key;
    enum gguf_type type;
    enum gguf_type element; // GGUF_ARRAY: type of the elements (never an array)
    uint64_t count;         // GGUF_ARRAY: elements; else 1
    const void *data;       // little-endian, possibly unaligned; strings: first length field
};

struct gguf_tensor {
    struct gguf_str name;
    uint32_t n_dims;            // 1..4
    int64_t dim[4];             // dim[0] is the contiguous one (K of a weight); rest 1
    const struct encoding *enc; // NULL: a type that this build does not know
    uint32_t ggml_type;
    const void *data; // in the mapping
    int64_t size;     // bytes; 0 when enc is NULL
};

struct gguf {
    const char *path; // as opened
    const uint8_t *map;
    uint64_t size;
    uint32_t version;
    uint64_t n_values, n_tensors;
    struct gguf_value *values;
    struct gguf_tensor *tensors;
};

int gguf_open(const char *path, struct gguf **out, struct err *e);
// From memory (tests, fuzzing); the memory must outlive the object and be aligned to 8 bytes.
int gguf_open_memory(const char *name, const void *data, size_t size, struct gguf **out,
                     struct err *e);
void gguf_close(struct gguf *g);

const struct gguf_value *gguf_find(const struct gguf *g, const char *key);          // or NULL
const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name); // or NULL

// Typed access. Any integer type converts when the value fits; floats accept F32 and F64. A missing
// key returns `fallback`; a wrong type or a value out of [min, max] is an error naming file and
// key.
int gguf_int(const struct gguf *g, const char *key, int64_t fallback, int64_t min, int64_t max,
             int64_t *out, struct err *e);
int gguf_real(const struct gguf *g, const char *key, double fallback, double *out, struct err *e);
int gguf_bool(const struct gguf *g, const char *key, bool fallback, bool *out, struct err *e);
// Missing: *out = {NULL, 0}, returns 0.
int gguf_string(const struct gguf *g, const char *key, struct gguf_str *out, struct err *e);
// Element i of a string array must be walked in order: start with *cursor = value->data.
struct gguf_str gguf_next_string(const uint8_t **cursor);

#endif
