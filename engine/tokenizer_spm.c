// SPDX-License-Identifier: GPL-3.0-or-later
// SentencePiece vocabularies ("llama"): every token has a score; the pair of neighbours whose
// concatenation is the best-scored token merges first.
//
// Two things are computed once per vocabulary, so that encoding looks up no text but single
// characters:
//   - every way in which a token splits into two symbols is a row of the pair table, ranked by the
//     token's score;
//   - which characters stand side by side in any token. Where two characters of a text do not, no
//     merge can ever cross, so the text falls apart into short segments that are merged alone, with
//     the same result as merging the whole. (A filter of bits: a false positive only costs time.)
//
// The vocabulary writes a space as U+2581; here tokens hold real spaces, and a U+2581 in the text
// is a space too, as it is for SentencePiece. Characters without a token become byte tokens, or the
// unknown token when the vocabulary has no bytes.
//
// Invariant: control, unknown and byte tokens never come out of plain text by merging.
#include "engine/tokenizer_internal.h"

#include <math.h>
#include <string.h>
#include "engine/unicode.h"

enum { LOWER_BLOCK = 0x2581 }; // the vocabulary's space

static uint32_t adjacent_bit(const struct tokenizer *t, int32_t a, int32_t b)
{
    uint64_t h = ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) * HASH_BASE;
    return (uint32_t)(h >> 32) & t->adjacent_mask;
}

static bool adjacent(const struct tokenizer *t, int32_t a, int32_t b)
{
    uint32_t bit = adjacent_bit(t, a, b);
    return t->adjacent[bit / 64] >> (bit % 64) & 1;
}

// Larger score, smaller rank; equal scores, equal ranks: the float's bits, made monotone.
static uint32_t rank_of(float score)
{
    uint32_t bits;
    score += 0.0f; // -0 ties with 0
    memcpy(&bits, &score, sizeof bits);
    uint32_t ascending = bits >> 31 ? ~bits : bits | 0x80000000u;
    return ~ascending;
}

// Numbers for the characters that tokens are made of, if they are not tokens themselves.
static void intern_characters(struct tokenizer *t, struct token_text x)
{
    uint32_t cp;
    for (size_t at = 0, len; at < x.n; at += len) {
        len = unicode_decode(x.s + at, x.n - at, &cp);
        symbol_intern(t, x.s + at, len, false);
    }
}

// All splits of one token; prefix and power have room for its length + 1.
static void add_splits(struct tokenizer *t, int32_t id, uint32_t rank, uint64_t *prefix,
                       const uint64_t *power)
{
    struct token_text x = t->text[id];
    for (size_t i = 0; i < x.n; i++)
        prefix[i + 1] = prefix[i] * HASH_BASE + (unsigned char)x.s[i] + 1;
    uint32_t cp;
    int32_t before = -1;
    for (size_t at = 0, len; at < x.n; at += len) {
        len = unicode_decode(x.s + at, x.n - at, &cp);
        int32_t here = symbol_find(t, x.s + at, len);
        if (at > 0) {
            uint32_t bit = adjacent_bit(t, before, here);
            t->adjacent[bit / 64] |= UINT64_C(1) << (bit % 64);
            size_t rest = x.n - at;
            int32_t left = symbol_find_hashed(t, prefix[at], x.s, at);
            int32_t right =
                symbol_find_hashed(t, prefix[x.n] - prefix[at] * power[rest], x.s + at, rest);
            if (left >= 0 && right >= 0)
                pair_add(t, left, right, rank, id);
        }
        before = here;
    }
}

int spm_build(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    static const char key[] = "tokenizer.ggml.scores";
    const struct gguf_value *scores;
    int rc = vocab_array(g, key, GGUF_F32, &scores, e);
    if (rc < 0)
        return rc;
    if (!scores)
        return err_at(
            e, ERR_FORMAT, g->path, 0, key,
            "is missing; a SentencePiece vocabulary needs a score for each of its %d tokens",
            t->n_vocab);
    if (scores->count != (uint64_t)t->n_vocab)
        return err_at(e, ERR_FORMAT, g->path, 0, key, "has %llu scores for %d tokens",
                      (unsigned long long)scores->count, t->n_vocab);
    uint32_t bits = 1 << 14;
    while (bits < 8u * (uint32_t)t->n_vocab) // about one bit in eight set: most boundaries are seen
        bits *= 2;
    t->adjacent = ARENA_NEWS(&t->arena, bits / 64, uint64_t);
    t->adjacent_mask = bits - 1;

    size_t longest = 0;
    for (int i = 0; i < t->n_vocab; i++) {
        struct token_text x = t->text[i];
        if (symbol_find(t, x.s, x.n) != i)
            continue;
        intern_characters(t, x);
        if (x.n > longest)
            longest = x.n;
    }
    for (int c = 0; c < 128; c++)
        t->byte_symbol[c] = symbol_find(t, &(char){(char)c}, 1);

    struct arena scratch;
    arena_init(&scratch);
    uint64_t *prefix = ARENA_NEWS(&scratch, longest + 1, uint64_t);
    uint64_t *power = ARENA_NEWS(&scratch, longest + 1, uint64_t);
    power[0] = 1;
    for (size_t i = 0; i < longest; i++)
        power[i + 1] = power[i] * HASH_BASE;
    for (int i = 0; i < t->n_vocab && rc == 0; i++) {
        float score;
        memcpy(&score, (const char *)scores->data + (size_t)i * sizeof score, sizeof score);
        if (isnan(score))
            rc = err_at(e, ERR_FORMAT, g->path, 0, key, "score of token %d is not a number", i);
        else if (symbol_find(t, t->text[i].s, t->text[i].n) == i)
            add_splits(t, i, rank_of(score), prefix, power);
    }
    arena_fini(&scratch);
    return rc;
}

static void put_bytes(const struct tokenizer *t, const char *s, size_t n, struct token_sink *out)
{
    for (size_t i = 0; i < n; i++) {
        if (t->byte_token[(unsigned char)s[i]] < 0) {
            if (t->unk >= 0)
                token_put(out, t->unk);
            return;
        }
    }
    for (size_t i = 0; i < n; i++)
        token_put(out, t->byte_token[(unsigned char)s[i]]);
}

// Merges and writes sym[0..count), a segment that ends at `end`.
static void flush(const struct tokenizer *t, struct merge_scratch *m, int count, const char *text,
                  size_t end, struct token_sink *out)
{
    count = merge_run(t, m, count);
    m->sym[count].at = (uint32_t)end;
    for (int i = 0; i < count; i++) {
        const struct symbol *x = &m->sym[i];
        size_t n = x[1].at - x[0].at;
        if (x->id >= 0 && x->id < t->n_vocab)
            token_put(out, x->id);
        else if (n == 0) // the prefix, which is not in the text
            put_bytes(t, " ", 1, out);
        else
            put_bytes(t, text + x->at, n, out);
    }
}

void spm_encode(const struct tokenizer *t, struct merge_scratch *m, const char *text, size_t n,
                bool prefix, struct token_sink *out)
{
    int count = 0;
    if (!merge_reserve(m, 1))
        return;
    if (prefix)
        m->sym[count++] = (struct symbol){.id = t->byte_symbol[' '], .at = 0};
    for (size_t at = 0, len; at < n; at += len) {
        uint32_t cp;
        len = unicode_decode(text + at, n - at, &cp);
        int32_t id;
        if (cp < 128)
            id = t->byte_symbol[cp];
        else
            id = cp == LOWER_BLOCK ? t->byte_symbol[' '] : symbol_find(t, text + at, len);
        if (count > 0 &&
            (id < 0 || m->sym[count - 1].id < 0 || !adjacent(t, m->sym[count - 1].id, id))) {
            flush(t, m, count, text, at, out);
            count = 0;
        }
        if (m->failed || !merge_reserve(m, (size_t)count + 1))
            return;
        m->sym[count++] = (struct symbol){.id = id, .at = (uint32_t)at};
    }
    if (count > 0)
        flush(t, m, count, text, n, out);
}
