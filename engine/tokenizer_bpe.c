// SPDX-License-Identifier: GPL-3.0-or-later
// Byte-level byte-pair encoding ("gpt2"): the text is cut into words (tokenizer_split.c), a word
// starts as one symbol per byte, and the list of merges says which neighbours merge, in its order.
//
// A vocabulary file writes bytes as printable characters (bytes that are printable as themselves,
// the other 68 as U+0100 and up). Tokens and merges are translated back to bytes when they are
// loaded, so that nothing is translated while encoding. A merge whose result is no token is still
// made, as the rule says; if it survives to the end, it is written as its bytes.
//
// Invariant: every byte has a symbol, so that every text has an encoding.
#include "engine/tokenizer_internal.h"

#include <string.h>
#include "engine/unicode.h"

int bpe_char_to_byte(uint32_t cp)
{
    if ((cp >= 0x21 && cp <= 0x7E) || (cp >= 0xA1 && cp <= 0xFF && cp != 0xAD))
        return (int)cp;
    if (cp >= 0x100 && cp <= 0x120) // 00..20
        return (int)(cp - 0x100);
    if (cp >= 0x121 && cp <= 0x142) // 7F..A0
        return (int)(cp - 0x121 + 0x7F);
    return cp == 0x143 ? 0xAD : -1;
}

// The bytes that s spells, into out (no longer than s); -1 when s is not spelt in that alphabet.
static int64_t to_bytes(const char *s, size_t n, char *out)
{
    size_t count = 0;
    for (size_t at = 0; at < n;) {
        uint32_t cp;
        at += unicode_decode(s + at, n - at, &cp);
        int byte = bpe_char_to_byte(cp);
        if (byte < 0)
            return -1;
        out[count++] = (char)byte;
    }
    return (int64_t)count;
}

// Merge number i: two spellings with a space between.
static int add_merge(struct tokenizer *t, const struct gguf *g, uint32_t i, struct gguf_str line,
                     char *bytes, struct err *e)
{
    const char *space = line.n > 1 ? memchr(line.s + 1, ' ', (size_t)line.n - 1) : NULL;
    size_t left = space ? (size_t)(space - line.s) : 0;
    size_t right = space ? (size_t)line.n - left - 1 : 0;
    if (right == 0 || left > TOKEN_BYTES_MAX || right > TOKEN_BYTES_MAX)
        return err_at(e, ERR_FORMAT, g->path, 0, "tokenizer.ggml.merges",
                      "merge %u is '%.*s', expected two parts with a space between", i,
                      line.n < 60 ? (int)line.n : 60, line.s);
    int64_t n = to_bytes(line.s, left, bytes);
    int64_t rest = n < 0 ? -1 : to_bytes(space + 1, right, bytes + n);
    if (rest < 0) // no text can ever contain it
        return 0;
    int32_t a = symbol_intern(t, bytes, (size_t)n, true);
    int32_t b = symbol_intern(t, bytes + n, (size_t)rest, true);
    pair_add(t, a, b, i, symbol_intern(t, bytes, (size_t)(n + rest), true));
    return 0;
}

int bpe_build(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    static const char key[] = "tokenizer.ggml.merges";
    const struct gguf_value *merges;
    int rc = vocab_array(g, key, GGUF_STRING, &merges, e);
    if (rc < 0)
        return rc;
    if (!merges)
        return err_at(e, ERR_FORMAT, g->path, 0, key,
                      "is missing; a byte-pair vocabulary needs its list of merges");
    if (merges->count > TOKENS_MAX)
        return err_at(e, ERR_FORMAT, g->path, 0, key, "has %llu merges, expected at most %d",
                      (unsigned long long)merges->count, TOKENS_MAX);
    // Llama 3's own tokenizer looks a word up before it merges; the key is an exception to that.
    rc = gguf_bool(g, "tokenizer.ggml.ignore_merges", t->split == SPLIT_LLAMA3, &t->ignore_merges,
                   e);
    if (rc < 0)
        return rc;
    for (int c = 0; c < 256; c++)
        t->byte_symbol[c] = symbol_intern(t, &(char){(char)c}, 1, true);
    struct arena scratch;
    arena_init(&scratch);
    char *bytes = arena_alloc(&scratch, 2 * TOKEN_BYTES_MAX);
    const uint8_t *cursor = merges->data;
    for (uint32_t i = 0; i < merges->count && rc == 0; i++)
        rc = add_merge(t, g, i, gguf_next_string(&cursor), bytes, e);
    arena_fini(&scratch);
    return rc;
}

// A byte that has no token is written as the unknown token, or not at all: there is nothing else.
static void put_byte(const struct tokenizer *t, unsigned char byte, struct token_sink *out)
{
    int32_t id = t->byte_token[byte] >= 0 ? t->byte_token[byte] : t->unk;
    if (id >= 0)
        token_put(out, id);
}

static void encode_word(const struct tokenizer *t, struct merge_scratch *m, const char *word,
                        size_t n, struct token_sink *out)
{
    if (t->ignore_merges) {
        int32_t id = symbol_find(t, word, n);
        if (id >= 0 && id < t->n_vocab) {
            token_put(out, id);
            return;
        }
    }
    if (!merge_reserve(m, n))
        return;
    for (size_t i = 0; i < n; i++)
        m->sym[i] =
            (struct symbol){.id = t->byte_symbol[(unsigned char)word[i]], .at = (uint32_t)i};
    int count = merge_run(t, m, (int)n);
    m->sym[count].at = (uint32_t)n;
    for (int i = 0; i < count; i++) {
        const struct symbol *x = &m->sym[i];
        if (x->id < t->n_vocab) {
            token_put(out, x->id);
            continue;
        }
        for (uint32_t at = x[0].at; at < x[1].at; at++)
            put_byte(t, (unsigned char)word[at], out);
    }
}

void bpe_encode(const struct tokenizer *t, struct merge_scratch *m, const char *text, size_t n,
                struct token_sink *out)
{
    struct splitter s = {.rule = t->split, .text = text, .n = n};
    for (size_t at = 0, end; at < n && !m->failed; at = end) {
        end = split_next(&s, at);
        encode_word(t, m, text + at, end - at, out);
    }
}
