// SPDX-License-Identifier: GPL-3.0-or-later
// Small GGUF files for tests, as text for gguf_text.h.
#ifndef TESTS_ENGINE_GGUF_FILES_H
#define TESTS_ENGINE_GGUF_FILES_H

#include "engine/gguf.h"
#include "tests/engine/gguf_text.h"

#define HEAD(tensors, keys) "'GGUF' 4:3 8:" #tensors " 8:" #keys " "
#define MAX64               "18446744073709551615"
// Seven keys and two tensors: F32 [4, 2] at 0, Q8_0 [32] at 32.
#define GOOD                                                                                       \
    HEAD(2, 9)                                                                                     \
    "s'i' 4:5 4:0xffffffff s'u' 4:10 8:" MAX64 " s'f' 4:6 f:1.5 s'b' 4:7 1:1 s't' 4:8 s'text' "    \
    "s'list' 4:9 4:8 8:3 s'a' s'' s'ccc' s'nums' 4:9 4:2 8:2 2:7 2:8 s'small' 4:0 1:200 "          \
    "s'bad' 4:7 1:2 "                                                                              \
    "s'm' 4:2 8:4 8:2 4:0 8:0 s'q' 4:1 8:32 4:8 8:32 p32 f:1 f:2 f:3 f:4 f:5 f:6 f:7 f:8 "         \
    "2:0x3c00 z31 1:9"

static inline struct bytes assembled(const char *text)
{
    struct bytes b = {0};
    bytes_text(&b, "%s", text);
    return b;
}

// From a copy of exactly n bytes, so that a sanitizer sees every byte too far.
static inline int open_exact(const void *data, size_t n, struct gguf **g, struct err *e)
{
    void *copy = malloc(n ? n : 1);
    if (n)
        memcpy(copy, data, n);
    int rc = gguf_open_memory("bad.gguf", copy, n, g, e);
    if (rc < 0) {
        free(copy);
        return rc;
    }
    return 0;
}

static inline void close_exact(struct gguf *g)
{
    void *copy = (void *)(uintptr_t)g->map;
    gguf_close(g);
    free(copy);
}

#endif
