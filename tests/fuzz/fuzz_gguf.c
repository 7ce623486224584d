// SPDX-License-Identifier: GPL-3.0-or-later
// Fuzzes GGUF files: opens the input as a file, touches everything that the reader promised to be
// inside, asks for keys by every type, and builds a model from it.
//
// Its seeds are small: a header, and files of a few hundred bytes find more than real ones.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "engine/gguf.h"
#include "engine/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink;

static void touch(const struct gguf *g)
{
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        const uint8_t *p = t->data;
        if (t->size)
            sink = p[0] + (unsigned)p[t->size - 1];
    }
    for (uint64_t i = 0; i < g->n_values; i++) {
        const struct gguf_value *v = &g->values[i];
        const uint8_t *cursor = v->data;
        char key[128];
        struct gguf_str s;
        struct err e;
        int64_t n;
        double d;
        bool b;
        for (uint64_t j = 0; v->element == GGUF_STRING && j < v->count; j++) {
            s = gguf_next_string(&cursor);
            sink = s.n ? (unsigned char)s.s[s.n - 1] : 0;
        }
        if (v->key.n >= sizeof key)
            continue;
        memcpy(key, v->key.s, v->key.n);
        key[v->key.n] = 0;
        if (gguf_find(g, key) != v)
            abort();
        gguf_int(g, key, 0, INT64_MIN, INT64_MAX, &n, &e);
        gguf_real(g, key, 0, &d, &e);
        gguf_bool(g, key, false, &b, &e);
        gguf_string(g, key, &s, &e);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf *g;
    struct model *m;
    struct err e;
    uint8_t *copy = malloc(size ? size : 1); // aligned, and not a byte more
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    if (gguf_open_memory("fuzz", copy, size, &g, &e) == 0) {
        touch(g);
        gguf_close(g);
        if (model_open_memory("fuzz", copy, size, &m, &e) == 0)
            model_close(m);
    }
    free(copy);
    return 0;
}
