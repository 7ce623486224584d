// SPDX-License-Identifier: GPL-3.0-or-later
// Assembles a GGUF file without tensors in memory, key by key, for tests of vocabularies.
//
//     struct vocab_file f = {0};
//     vocab_str(&f, "tokenizer.ggml.model", "llama");
//     vocab_strings(&f, "tokenizer.ggml.tokens", tokens, 4);
//     rc = vocab_open(&f, &t, &e);      // gguf_open_memory + tokenizer_create
//     vocab_free(&f);                   // the tokenizer outlives its file
#ifndef TESTS_ENGINE_VOCAB_TEXT_H
#define TESTS_ENGINE_VOCAB_TEXT_H

#include "engine/gguf.h"
#include "engine/tokenizer.h"
#include "tests/engine/gguf_text.h"

struct vocab_file {
    struct bytes keys;
    uint64_t n_keys;
};

static inline void vocab_add_str(struct bytes *b, const char *s)
{
    bytes_add_int(b, strlen(s), 8);
    bytes_add(b, s, strlen(s));
}

static inline void vocab_key(struct vocab_file *f, const char *key, enum gguf_type type)
{
    vocab_add_str(&f->keys, key);
    bytes_add_int(&f->keys, type, 4);
    f->n_keys++;
}

static inline void vocab_array_key(struct vocab_file *f, const char *key, enum gguf_type element,
                                   size_t n)
{
    vocab_key(f, key, GGUF_ARRAY);
    bytes_add_int(&f->keys, element, 4);
    bytes_add_int(&f->keys, n, 8);
}

static inline void vocab_str(struct vocab_file *f, const char *key, const char *value)
{
    vocab_key(f, key, GGUF_STRING);
    vocab_add_str(&f->keys, value);
}

static inline void vocab_u32(struct vocab_file *f, const char *key, uint32_t value)
{
    vocab_key(f, key, GGUF_U32);
    bytes_add_int(&f->keys, value, 4);
}

static inline void vocab_bool(struct vocab_file *f, const char *key, bool value)
{
    vocab_key(f, key, GGUF_BOOL);
    bytes_add_int(&f->keys, value, 1);
}

static inline void vocab_strings(struct vocab_file *f, const char *key, const char *const *s,
                                 size_t n)
{
    vocab_array_key(f, key, GGUF_STRING, n);
    for (size_t i = 0; i < n; i++)
        vocab_add_str(&f->keys, s[i]);
}

static inline void vocab_f32s(struct vocab_file *f, const char *key, const float *v, size_t n)
{
    vocab_array_key(f, key, GGUF_F32, n);
    if (n)
        bytes_add(&f->keys, v, n * sizeof *v);
}

static inline void vocab_i32s(struct vocab_file *f, const char *key, const int32_t *v, size_t n)
{
    vocab_array_key(f, key, GGUF_I32, n);
    if (n)
        bytes_add(&f->keys, v, n * sizeof *v);
}

static inline int vocab_open(const struct vocab_file *f, struct tokenizer **out, struct err *e)
{
    struct bytes b = {0};
    struct gguf *g;
    bytes_text(&b, "'GGUF' 4:3 8:0 8:%llu", (unsigned long long)f->n_keys);
    if (f->keys.n)
        bytes_add(&b, f->keys.p, f->keys.n);
    int rc = gguf_open_memory("vocab", b.p, b.n, &g, e);
    if (rc == 0) {
        rc = tokenizer_create(g, out, e);
        gguf_close(g);
    }
    bytes_free(&b);
    return rc;
}

static inline void vocab_free(struct vocab_file *f)
{
    bytes_free(&f->keys);
    f->n_keys = 0;
}

#endif
