// SPDX-License-Identifier: GPL-3.0-or-later
// The two tables behind every merge: text -> symbol, and pair of symbols -> merged symbol.
//
// Both are open addressing with linear probing in the tokenizer's arena, kept at most half full; a
// table that grows leaves its old half behind in the arena, at most as much again. The hash of a
// text is a polynomial, so that building the SentencePiece table knows the hash of every prefix and
// suffix of a token after one pass over it: O(1) per split instead of O(length).
//
// Invariant: a text is in the table at most once, and a pair too.
#include "engine/tokenizer_internal.h"

#include <string.h>

uint64_t symbol_hash(const char *s, size_t n)
{
    uint64_t h = 0;
    for (size_t i = 0; i < n; i++)
        h = h * HASH_BASE + (unsigned char)s[i] + 1; // + 1: leading zeros must count
    return h;
}

// The polynomial's low bits know little of its high bits; the tables index by the low ones.
static uint32_t mix(uint64_t h)
{
    h ^= h >> 29;
    h *= UINT64_C(0xBF58476D1CE4E5B9); // odd, from the finaliser of splitmix64 (Steele et al. 2014)
    return (uint32_t)(h >> 32);
}

static struct symbol_slot *symbol_slot(const struct tokenizer *t, uint32_t tag, const char *s,
                                       size_t n)
{
    const struct symbol_table *b = &t->symbols;
    for (uint32_t i = tag;; i++) {
        struct symbol_slot *slot = &b->slot[i & b->mask];
        if (slot->symbol < 0)
            return slot;
        const struct token_text *x = &t->text[slot->symbol];
        if (slot->tag == tag && x->n == n && memcmp(x->s, s, n) == 0)
            return slot;
    }
}

int32_t symbol_find_hashed(const struct tokenizer *t, uint64_t h, const char *s, size_t n)
{
    return symbol_slot(t, mix(h), s, n)->symbol;
}

int32_t symbol_find(const struct tokenizer *t, const char *s, size_t n)
{
    return symbol_find_hashed(t, symbol_hash(s, n), s, n);
}

static void symbols_grow(struct tokenizer *t)
{
    struct symbol_table *b = &t->symbols, old = *b;
    uint32_t size = old.slot ? (old.mask + 1) * 2 : 1024;
    while (size < 2 * (uint32_t)t->n_vocab) // at first: room for every token
        size *= 2;
    b->slot = ARENA_NEWS(&t->arena, size, struct symbol_slot);
    b->mask = size - 1;
    for (uint32_t i = 0; i < size; i++)
        b->slot[i].symbol = -1;
    for (uint32_t i = 0; old.slot && i <= old.mask; i++) {
        if (old.slot[i].symbol < 0)
            continue;
        uint32_t j = old.slot[i].tag;
        while (b->slot[j & b->mask].symbol >= 0)
            j++;
        b->slot[j & b->mask] = old.slot[i];
    }
}

void symbol_set(struct tokenizer *t, int32_t symbol)
{
    if (t->symbols.used > t->symbols.mask / 2)
        symbols_grow(t);
    const struct token_text *x = &t->text[symbol];
    uint32_t tag = mix(symbol_hash(x->s, x->n));
    struct symbol_slot *slot = symbol_slot(t, tag, x->s, x->n);
    t->symbols.used += slot->symbol < 0;
    *slot = (struct symbol_slot){.tag = tag, .symbol = symbol};
}

int32_t symbol_intern(struct tokenizer *t, const char *s, size_t n, bool copy)
{
    int32_t found = symbol_find(t, s, n);
    if (found >= 0)
        return found;
    if (t->n_symbols == t->cap_symbols) {
        int cap = t->cap_symbols * 2;
        struct token_text *text = ARENA_NEWS(&t->arena, (size_t)cap, struct token_text);
        memcpy(text, t->text, (size_t)t->n_symbols * sizeof *text);
        t->text = text;
        t->cap_symbols = cap;
    }
    if (copy)
        s = memcpy(arena_alloc(&t->arena, n), s, n);
    int32_t symbol = t->n_symbols++;
    t->text[symbol] = (struct token_text){.s = s, .n = (uint32_t)n};
    symbol_set(t, symbol);
    return symbol;
}

static uint64_t pair_key(int32_t left, int32_t right)
{
    return (uint64_t)((uint32_t)left + 1) << 32 | (uint32_t)right;
}

static struct pair *pair_slot(const struct pair_table *p, uint64_t key)
{
    for (uint32_t i = mix(key * HASH_BASE);; i++) {
        struct pair *slot = &p->slot[i & p->mask];
        if (slot->key == key || slot->key == 0)
            return slot;
    }
}

const struct pair *pair_find(const struct tokenizer *t, int32_t left, int32_t right)
{
    const struct pair *p = pair_slot(&t->pairs, pair_key(left, right));
    return p->key ? p : NULL;
}

static void pairs_grow(struct tokenizer *t)
{
    struct pair_table *p = &t->pairs, old = *p;
    uint32_t size = old.slot ? (old.mask + 1) * 2 : 1024;
    p->slot = ARENA_NEWS(&t->arena, size, struct pair);
    p->mask = size - 1;
    for (uint32_t i = 0; old.slot && i <= old.mask; i++) {
        if (old.slot[i].key)
            *pair_slot(p, old.slot[i].key) = old.slot[i];
    }
}

void pair_add(struct tokenizer *t, int32_t left, int32_t right, uint32_t rank, int32_t merged)
{
    if (t->pairs.used > t->pairs.mask / 2)
        pairs_grow(t);
    uint64_t key = pair_key(left, right);
    struct pair *slot = pair_slot(&t->pairs, key);
    if (slot->key) // a list of merges that names a pair twice means the first
        return;
    *slot = (struct pair){.key = key, .rank = rank, .merged = merged};
    t->pairs.used++;
}

void symbols_init(struct tokenizer *t)
{
    symbols_grow(t);
    pairs_grow(t);
}
