// SPDX-License-Identifier: GPL-3.0-or-later
// Text to ids and ids to text: what both kinds of vocabulary have in common.
//
// Encoding walks once over the text. Where a special token is written out, the longest one that
// matches there is taken; what lies between is plain text for the vocabulary's own algorithm. A
// tokenizer is not changed by encoding, so that threads may share one; scratch memory belongs to
// the call.
//
// Bytes that are not UTF-8 keep their value in a SentencePiece vocabulary (byte tokens); a
// byte-pair vocabulary was trained on well-formed text, so there each of them becomes U+FFFD.
#include "engine/tokenizer_internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "engine/unicode.h"

int tokenizer_vocab(const struct tokenizer *t)
{
    return t->n_vocab;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
    return t->eos;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return t->add_bos;
}

bool tokenizer_is_end(const struct tokenizer *t, int32_t id)
{
    for (int i = 0; i < t->n_ends; i++) {
        if (t->end[i] == id)
            return true;
    }
    return false;
}

// First index in [lo, hi) whose token has a byte >= `byte` at `depth`; all in the range agree on
// what comes before and are longer than depth.
static int lower(const struct tokenizer *t, const struct special_list *l, int lo, int hi,
                 size_t depth, int byte)
{
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if ((unsigned char)t->text[l->id[mid]].s[depth] < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

// The longest token of the list that the text begins with, or -1. The list is sorted, so that the
// tokens which agree with the first bytes of the text are a range that narrows byte by byte.
static int32_t match_special(const struct tokenizer *t, const struct special_list *l,
                             const char *text, size_t n)
{
    int lo = 0, hi = l->n;
    int32_t found = -1;
    for (size_t depth = 0; lo < hi && depth < n; depth++) {
        unsigned char byte = (unsigned char)text[depth];
        lo = lower(t, l, lo, hi, depth, byte);
        hi = lower(t, l, lo, hi, depth, byte + 1);
        if (lo < hi && t->text[l->id[lo]].n == depth + 1) {
            found = l->id[lo];
            while (lo < hi && t->text[l->id[lo]].n == depth + 1)
                lo++; // they are as long as what was read: they cannot match longer
        }
    }
    return found;
}

static void encode_plain(const struct tokenizer *t, struct merge_scratch *m, const char *text,
                         size_t n, bool prefix, struct token_sink *out)
{
    if (n == 0)
        return;
    if (t->model == TOKENIZER_SPM)
        spm_encode(t, m, text, n, prefix && t->space_prefix, out);
    else
        bpe_encode(t, m, text, n, out);
}

static void encode(const struct tokenizer *t, struct merge_scratch *m, const char *text, size_t n,
                   bool parse_special, struct token_sink *out)
{
    const struct special_list *l = parse_special ? &t->special : &t->user;
    size_t plain = 0;   // where the text that is not written yet begins
    bool prefix = true; // SentencePiece puts a space in front of it
    for (size_t at = 0; l->n && at < n;) {
        int32_t id = -1;
        if (l->first[(unsigned char)text[at]])
            id = match_special(t, l, text + at, n - at);
        if (id < 0) {
            at++;
            continue;
        }
        encode_plain(t, m, text + plain, at - plain, prefix, out);
        token_put(out, id);
        at += t->text[id].n;
        plain = at;
        prefix = true;
    }
    encode_plain(t, m, text + plain, n - plain, prefix, out);
}

// A copy in which each byte that is not UTF-8 is U+FFFD; NULL without an error when there is none.
static char *repair(const char *text, size_t n, size_t *repaired, bool *failed)
{
    size_t bad = 0;
    uint32_t cp;
    for (size_t at = 0, len; at < n; at += len) {
        len = unicode_decode(text + at, n - at, &cp);
        bad += len == 1 && cp == UNICODE_REPLACEMENT;
    }
    if (!bad)
        return NULL;
    char *copy = malloc(n + 2 * bad);
    *failed = !copy;
    size_t to = 0;
    for (size_t at = 0, len; copy && at < n; at += len) {
        len = unicode_decode(text + at, n - at, &cp);
        if (cp == UNICODE_REPLACEMENT)
            to += unicode_encode(cp, copy + to);
        else {
            memcpy(copy + to, text + at, len);
            to += len;
        }
    }
    *repaired = to;
    return copy;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, bool add_bos,
                     bool parse_special, int32_t *ids, int max)
{
    if (n > TOKENIZER_TEXT_MAX)
        return -1;
    struct token_sink out = {.ids = ids, .max = max};
    struct merge_scratch m = {0};
    char *copy = NULL;
    if (t->model == TOKENIZER_BPE)
        copy = repair(text, n, &n, &m.failed);
    if (add_bos && t->bos >= 0)
        token_put(&out, t->bos);
    if (!m.failed)
        encode(t, &m, copy ? copy : text, n, parse_special, &out);
    free(copy);
    merge_free(&m);
    return m.failed ? -1 : (int)out.n;
}

// What a token adds to a text: nothing for control and unknown tokens.
static struct token_text piece(const struct tokenizer *t, int32_t id)
{
    if (t->type[id] == TOKEN_CONTROL || t->type[id] == TOKEN_UNKNOWN)
        return (struct token_text){"", 0};
    return t->text[id];
}

int tokenizer_piece(const struct tokenizer *t, int32_t id, char *buf, int max)
{
    if (id < 0 || id >= t->n_vocab)
        return -1;
    struct token_text x = piece(t, id);
    if (x.n && max > 0)
        memcpy(buf, x.s, x.n < (uint32_t)max ? x.n : (size_t)max);
    return (int)x.n;
}

int tokenizer_decode(const struct tokenizer *t, const int32_t *ids, int n, bool strip_prefix,
                     char *buf, int max)
{
    int64_t length = 0;
    bool strip = strip_prefix && t->model == TOKENIZER_SPM && t->space_prefix;
    for (int i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= t->n_vocab)
            return -1;
        struct token_text x = piece(t, ids[i]);
        if (x.n == 0)
            continue;
        if (strip && x.s[0] == ' ') {
            x.s++;
            x.n--;
        }
        strip = false;
        if (length < max)
            memcpy(buf + length, x.s, x.n < max - length ? x.n : (size_t)(max - length));
        length += x.n;
    }
    return length > INT_MAX ? -1 : (int)length;
}
