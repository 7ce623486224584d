// SPDX-License-Identifier: GPL-3.0-or-later
// Memory by lifetime. An arena hands out zeroed memory that lives until the arena is destroyed or
// rolled back to a mark; single objects are never freed. Lifetimes: process, model, plan, run.
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct arena_chunk;
struct arena {
    struct arena_chunk *top; // the chunk that is being filled
    size_t total;            // bytes obtained from malloc
};
struct arena_mark {
    struct arena_chunk *top;
    size_t used;
};

void arena_init(struct arena *a);
void arena_fini(struct arena *a); // frees everything; the arena may be used again

// Zeroed, aligned to 16 bytes. Never returns NULL: exhausting the machine's memory on small objects
// aborts with a message. Large, user-sized memory (weights, KV cache) does not come from arenas.
void *arena_alloc(struct arena *a, size_t size);
// n * size with an overflow check.
void *arena_array(struct arena *a, size_t n, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark m);

#define ARENA_NEW(a, type)     ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_NEWS(a, n, type) ((type *)arena_array((a), (n), sizeof(type)))

#endif
