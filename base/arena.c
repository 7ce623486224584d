// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 16, CHUNK = 64 * 1024 };

struct arena_chunk {
    struct arena_chunk *below;
    size_t size, used;
    _Alignas(ALIGN) unsigned char data[];
};

void arena_init(struct arena *a)
{
    *a = (struct arena){0};
}

static void pop(struct arena *a)
{
    struct arena_chunk *c = a->top;
    a->top = c->below;
    a->total -= c->size;
    free(c);
}

void arena_fini(struct arena *a)
{
    while (a->top)
        pop(a);
}

static void out_of_memory(size_t size)
{
    fprintf(stderr, "partita: out of memory (%zu bytes)\n", size);
    abort();
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2)
        out_of_memory(size);
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    struct arena_chunk *c = a->top;
    if (!c || c->size - c->used < size) {
        size_t want = size > CHUNK ? size : CHUNK;
        c = malloc(sizeof *c + want);
        if (!c)
            out_of_memory(size);
        c->below = a->top;
        c->size = want;
        c->used = 0;
        a->top = c;
        a->total += want;
    }
    void *p = c->data + c->used;
    c->used += size;
    return memset(p, 0, size);
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
    if (size && n > SIZE_MAX / 2 / size)
        out_of_memory(SIZE_MAX);
    return arena_alloc(a, n * size);
}

char *arena_strdup(struct arena *a, const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(arena_alloc(a, n), s, n);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    char *s = arena_alloc(a, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(s, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return s;
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){a->top, a->top ? a->top->used : 0};
}

void arena_rewind(struct arena *a, struct arena_mark m)
{
    while (a->top != m.top)
        pop(a);
    if (a->top)
        a->top->used = m.used;
}
