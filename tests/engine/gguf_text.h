// SPDX-License-Identifier: GPL-3.0-or-later
// An assembler for small binary files in tests: a printf format of words that become bytes.
//
//     'GGUF'      these letters             1:7 4:3 8:0x10   little-endian integers of 1, 4, 8
//     bytes s'name'     u64 length, then letters  f:1.5            a float p32         zeros up to
//     a multiple    z128             128 zeros
//
// A word that is none of these is a mistake in the test and aborts.
#ifndef TESTS_ENGINE_GGUF_TEXT_H
#define TESTS_ENGINE_GGUF_TEXT_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    unsigned char *p;
    size_t n, room;
};

static inline void bytes_add(struct bytes *b, const void *data, size_t n)
{
    if (b->n + n > b->room) {
        b->room = (b->n + n) * 2;
        b->p = realloc(b->p, b->room);
        if (!b->p)
            abort();
    }
    if (data)
        memcpy(b->p + b->n, data, n);
    else
        memset(b->p + b->n, 0, n);
    b->n += n;
}

static inline void bytes_add_int(struct bytes *b, uint64_t v, size_t n)
{
    bytes_add(b, &v, n);
}

static inline void bytes_add_word(struct bytes *b, const char *w, size_t n)
{
    if (*w == '\'' && n >= 2) {
        bytes_add(b, w + 1, n - 2);
    } else if (*w == 's' && n >= 3) {
        bytes_add_int(b, n - 3, 8);
        bytes_add(b, w + 2, n - 3);
    } else if (*w == 'f' && w[1] == ':') {
        float f = strtof(w + 2, NULL);
        bytes_add(b, &f, 4);
    } else if (*w == 'z') {
        bytes_add(b, NULL, strtoul(w + 1, NULL, 10));
    } else if (*w == 'p') {
        size_t a = strtoul(w + 1, NULL, 10);
        bytes_add(b, NULL, (a - b->n % a) % a);
    } else if (n > 2 && w[1] == ':') {
        bytes_add_int(b, strtoull(w + 2, NULL, 0), (size_t)(*w - '0'));
    } else {
        fprintf(stderr, "gguf_text: \"%.*s\" is no word\n", (int)n, w);
        abort();
    }
}

static inline __attribute__((format(printf, 2, 3))) void bytes_text(struct bytes *b,
                                                                    const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (const char *w = text + strspn(text, " "); *w; w += strspn(w, " ")) {
        size_t n = strcspn(w, " ");
        bytes_add_word(b, w, n);
        w += n;
    }
}

static inline void bytes_free(struct bytes *b)
{
    free(b->p);
    *b = (struct bytes){0};
}

#endif
