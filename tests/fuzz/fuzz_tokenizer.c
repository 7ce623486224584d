// SPDX-License-Identifier: GPL-3.0-or-later
// Fuzzes encoding and decoding on a small fixed vocabulary of each kind.
//
// The first byte chooses the vocabulary and the flags; the rest is the text. What must hold for any
// bytes: the count does not depend on the room given, every id exists, and the text comes back
// (byte-pair: with U+FFFD for what is not UTF-8; where special tokens were parsed out, the decoder
// leaves them away, so only the bounds are checked).
//
// Two more choices damage a vocabulary first: 16 bytes say where and how. It is then refused, or
// works within the same bounds.
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "engine/unicode.h"
#include "tests/engine/vocab_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_TOKENS = 400, MAX_TEXT = 1 << 16 };

static void demand(bool ok)
{
    if (!ok)
        abort();
}

static struct vocab_file damaged; // a vocabulary to be damaged, instead of opened

static struct tokenizer *open_fixed(struct vocab_file *f, bool keep)
{
    if (keep) {
        damaged = *f;
        return NULL;
    }
    struct err e;
    struct tokenizer *t = NULL;
    demand(vocab_open(f, &t, &e) == 0);
    vocab_free(f);
    return t;
}

// All bytes, a few words with scores that tie, user-defined and control tokens.
static struct tokenizer *make_spm(bool keep)
{
    static const char *const words[] = {"\xE2\x96\x81",
                                        "a",
                                        "b",
                                        "aa",
                                        "ab",
                                        "ba",
                                        "aab",
                                        "\xE2\x96\x81\x61",
                                        "\xC3\xA4",
                                        "\xC3\xA4\x61",
                                        "\xF0\x9F\xA6\x99",
                                        "aaaa",
                                        "b\xE2\x96\x81",
                                        "1",
                                        "11",
                                        "\n"};
    static char spelling[256][8];
    const char *token[MAX_TOKENS] = {"<unk>", "<s>", "</s>"};
    float score[MAX_TOKENS] = {0};
    int32_t type[MAX_TOKENS] = {2, 3, 3};
    size_t n = 3;
    for (int i = 0; i < 256; i++, n++) {
        snprintf(spelling[i], sizeof spelling[i], "<0x%02X>", (unsigned)i);
        token[n] = spelling[i];
        type[n] = 6;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++, n++) {
        token[n] = words[i];
        score[n] = -(float)(i % 5);
        type[n] = 1;
    }
    token[n] = "[x]";
    type[n++] = 4;
    token[n] = "[x][x]";
    type[n++] = 4;
    struct vocab_file f = {0};
    vocab_str(&f, "tokenizer.ggml.model", "llama");
    vocab_strings(&f, "tokenizer.ggml.tokens", token, n);
    vocab_f32s(&f, "tokenizer.ggml.scores", score, n);
    vocab_i32s(&f, "tokenizer.ggml.token_type", type, n);
    return open_fixed(&f, keep);
}

// The 256 bytes as the alphabet spells them, and merges over a, b, space and one that no token has.
static struct tokenizer *make_bpe(const char *pre, bool keep)
{
    static const char *const merges[] = {"a b",
                                         "b a",
                                         "a a",
                                         "aa aa",
                                         "\xC4\xA0 a",
                                         "1 1",
                                         "ab ab",
                                         "\xC3\x83 \xC2\xA4",
                                         "\xC4\xA0 \xC4\xA0"};
    static const char *const results[] = {
        "ab", "aa", "aaaa", "\xC4\xA0\x61", "11", "abab", "\xC4\xA0\xC4\xA0"}; // "ba" is no token
    static char spelling[256][4];
    const char *token[MAX_TOKENS];
    int32_t type[MAX_TOKENS];
    size_t n = 0;
    uint32_t next = 0x100;
    for (uint32_t i = 0; i < 256; i++, n++) {
        bool printable = (i >= 0x21 && i <= 0x7E) || (i >= 0xA1 && i != 0xAD);
        size_t len = unicode_encode(printable ? i : next++, spelling[i]);
        spelling[i][len] = '\0';
        token[n] = spelling[i];
        type[n] = 1;
    }
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++, n++) {
        token[n] = results[i];
        type[n] = 1;
    }
    token[n] = "<s>";
    type[n++] = 3;
    token[n] = "[x]";
    type[n++] = 4;
    struct vocab_file f = {0};
    vocab_str(&f, "tokenizer.ggml.model", "gpt2");
    vocab_str(&f, "tokenizer.ggml.pre", pre);
    vocab_strings(&f, "tokenizer.ggml.tokens", token, n);
    vocab_i32s(&f, "tokenizer.ggml.token_type", type, n);
    vocab_strings(&f, "tokenizer.ggml.merges", merges, sizeof merges / sizeof merges[0]);
    return open_fixed(&f, keep);
}

// What the text is after a round trip.
static size_t expected(bool spm, const char *s, size_t n, char *out)
{
    size_t to = 0;
    for (size_t at = 0, len; at < n; at += len) {
        uint32_t cp;
        len = unicode_decode(s + at, n - at, &cp);
        if (spm && cp == 0x2581) { // a space is spelt so
            out[to++] = ' ';
        } else if (!spm && cp == UNICODE_REPLACEMENT) {
            to += unicode_encode(cp, out + to);
        } else {
            memcpy(out + to, s + at, len);
            to += len;
        }
    }
    return to;
}

// Flips the bits of one byte per four of `how`: three say where.
static struct tokenizer *make_damaged(bool spm, const uint8_t *how)
{
    struct err e;
    struct tokenizer *t = NULL;
    if (spm)
        make_spm(true);
    else
        make_bpe("llama-bpe", true);
    for (int i = 0; i < 4; i++) {
        size_t at = (size_t)how[4 * i] << 16 | (size_t)how[4 * i + 1] << 8 | how[4 * i + 2];
        damaged.keys.p[at % damaged.keys.n] ^= how[4 * i + 3];
    }
    bool ok = vocab_open(&damaged, &t, &e) == 0;
    vocab_free(&damaged);
    return ok ? t : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokenizer *t[5];
    static int32_t ids[MAX_TEXT + 8], again[8];
    static char text[MAX_TEXT * 3], back[MAX_TEXT * 3 + 8];
    if (!t[0]) {
        t[0] = make_spm(false);
        t[1] = make_bpe("gpt-2", false);
        t[2] = make_bpe("llama-bpe", false);
        t[3] = make_bpe("qwen2", false);
        t[4] = make_bpe("default", false);
    }
    if (size < 1 || size > MAX_TEXT / 3)
        return 0;
    int which = data[0] % 7;
    bool special = data[0] & 0x80;
    const char *s = (const char *)data + 1;
    size_t n = size - 1;
    struct tokenizer *broken = NULL;
    if (which >= 5) {
        if (n < 16 || !(broken = make_damaged(which == 5, data + 1)))
            return 0;
        s += 16;
        n -= 16;
    }
    const struct tokenizer *v = broken ? broken : t[which];
    int count = tokenizer_encode(v, s, n, false, special, ids, MAX_TEXT + 8);
    demand(count >= 0 && count <= MAX_TEXT);
    demand(tokenizer_encode(v, s, n, false, special, again, 8) == count);
    demand(memcmp(ids, again, (size_t)(count < 8 ? count : 8) * sizeof *ids) == 0);
    for (int i = 0; i < count; i++)
        demand(tokenizer_piece(v, ids[i], NULL, 0) >= 0);
    int m = tokenizer_decode(v, ids, count, true, back, sizeof back);
    demand(m >= 0 && (broken || m <= (int)sizeof back));
    // Each stretch of plain text between user-defined tokens has a prefix of its own.
    bool stretches = special || (which == 0 && memmem(s, n, "[x]", 3));
    if (!broken && !stretches) {
        size_t want = expected(which == 0, s, n, text);
        demand((size_t)m == want && memcmp(text, back, want) == 0);
    }
    tokenizer_destroy(broken);
    return 0;
}
