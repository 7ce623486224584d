// SPDX-License-Identifier: GPL-3.0-or-later
// Pre-tokenizers: where a byte-level text is cut into words before merging.
//
// A vocabulary was trained on words that some regular expression cut, and its file only names that
// expression. The expressions are few and simple, so each is written out by hand as a function from
// the start of a word to its end; the expression stands above the function. At a given position the
// alternatives are tried in order, as a backtracking matcher would.
//
//     split_default   what GGUF's "default" means: runs of punctuation, then gpt-2's rule inside
//     and
//                     between them, then numbers alone, then groups of three digits
//
// Invariant: every byte belongs to exactly one word, and words are not empty.
#include "engine/tokenizer_internal.h"

#include <string.h>
#include "engine/unicode.h"

// A cursor's view of the text: the code point at a position, its class, its length.
struct look {
    uint32_t cp;
    enum unicode_class class;
    size_t len; // 0 at the end, where no class matches
};

static struct look look_at(const char *text, size_t n, size_t at)
{
    struct look l = {0};
    if (at >= n)
        return l;
    l.len = unicode_decode(text + at, n - at, &l.cp);
    l.class = unicode_class(l.cp);
    return l;
}

// [^\s\p{L}\p{N}], and not the end.
static bool is_mark(struct look l)
{
    return l.len && (l.class == UNICODE_OTHER || l.class == UNICODE_PUNCTUATION);
}

// \p{L}, \p{N} or \s, and not the end.
static bool is_class(struct look l, enum unicode_class c)
{
    return l.len && l.class == c;
}

static size_t run_of(const char *text, size_t n, size_t at, enum unicode_class c)
{
    struct look l;
    while (is_class(l = look_at(text, n, at), c))
        at += l.len;
    return at;
}

static size_t run_of_marks(const char *text, size_t n, size_t at)
{
    struct look l;
    while (is_mark(l = look_at(text, n, at)))
        at += l.len;
    return at;
}

// 's|'t|'re|'ve|'m|'ll|'d at an apostrophe; 0 when there is none.
static size_t contraction(const char *text, size_t n, size_t at, bool any_case)
{
    char c[2] = {0};
    for (size_t i = 0; i < 2 && at + 1 + i < n; i++) {
        c[i] = text[at + 1 + i];
        if (any_case && c[i] >= 'A' && c[i] <= 'Z')
            c[i] = (char)(c[i] - 'A' + 'a');
    }
    if (c[0] == 's' || c[0] == 't' || c[0] == 'm' || c[0] == 'd')
        return at + 2;
    if ((c[0] == 'r' && c[1] == 'e') || (c[0] == 'v' && c[1] == 'e') ||
        (c[0] == 'l' && c[1] == 'l'))
        return at + 3;
    return 0;
}

// \s+(?!\S)|\s+ : white space gives its last character to the word that follows, if it has more
// than one.
static size_t split_space(const char *text, size_t n, size_t at)
{
    size_t last = at, end = at;
    struct look l;
    while (is_class(l = look_at(text, n, end), UNICODE_SPACE)) {
        last = end;
        end += l.len;
    }
    return end < n && last > at ? last : end;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
static size_t split_gpt2(const char *text, size_t n, size_t at)
{
    size_t end;
    if (text[at] == '\'' && (end = contraction(text, n, at, false)))
        return end;
    size_t word = at + (text[at] == ' ');
    struct look l = look_at(text, n, word);
    if (is_class(l, UNICODE_LETTER) || is_class(l, UNICODE_NUMBER))
        return run_of(text, n, word, l.class);
    if (is_mark(l))
        return run_of_marks(text, n, word);
    return split_space(text, n, at);
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,DIGITS}|
//  ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
static size_t split_llama3(const char *text, size_t n, size_t at, int digits)
{
    size_t end;
    if (text[at] == '\'' && (end = contraction(text, n, at, true)))
        return end;
    struct look l = look_at(text, n, at);
    if (l.class == UNICODE_LETTER)
        return run_of(text, n, at, UNICODE_LETTER);
    if (l.class == UNICODE_NUMBER) {
        for (end = at; digits > 0 && is_class(l, UNICODE_NUMBER); digits--) {
            end += l.len;
            l = look_at(text, n, end);
        }
        return end;
    }
    if (l.cp != '\r' && l.cp != '\n' && is_class(look_at(text, n, at + l.len), UNICODE_LETTER))
        return run_of(text, n, at + l.len, UNICODE_LETTER);
    size_t word = at + (l.cp == ' ');
    if (is_mark(look_at(text, n, word))) {
        end = run_of_marks(text, n, word);
        while (end < n && (text[end] == '\r' || text[end] == '\n'))
            end++;
        return end;
    }
    size_t line = 0; // after the last line break of the white space
    for (end = at; is_class(l = look_at(text, n, end), UNICODE_SPACE); end += l.len) {
        if (l.cp == '\r' || l.cp == '\n')
            line = end + 1;
    }
    return line ? line : split_space(text, n, at);
}

// [\p{P}$+<=>^~|]
static bool is_default_mark(struct look l)
{
    return l.len &&
           (l.class == UNICODE_PUNCTUATION ||
            (l.class == UNICODE_OTHER && l.cp && l.cp < 128 && strchr("$+<=>^~|", (int)l.cp)));
}

// In a run of numbers: [0-9][0-9][0-9] where it begins, or all that is before the first such place.
static size_t split_digits(const char *text, size_t at, size_t end)
{
    int row = 0;
    for (size_t i = at; i < end; i++) {
        row = text[i] >= '0' && text[i] <= '9' ? row + 1 : 0;
        if (row == 3)
            return i - 2 > at ? i - 2 : at + 3;
    }
    return end;
}

static size_t split_default(struct splitter *s, size_t at)
{
    if (at >= s->piece_end) {
        bool marks = is_default_mark(look_at(s->text, s->n, at));
        struct look l;
        s->piece_end = at;
        while ((l = look_at(s->text, s->n, s->piece_end)).len && is_default_mark(l) == marks)
            s->piece_end += l.len;
    }
    size_t end = split_gpt2(s->text, s->piece_end, at);
    bool space = s->text[at] == ' ';
    if (!is_class(look_at(s->text, end, at + space), UNICODE_NUMBER))
        return end;
    return space ? at + 1 : split_digits(s->text, at, end);
}

size_t split_next(struct splitter *s, size_t at)
{
    switch (s->rule) {
    case SPLIT_GPT2:
        return split_gpt2(s->text, s->n, at);
    case SPLIT_LLAMA3:
        return split_llama3(s->text, s->n, at, 3);
    case SPLIT_QWEN2:
        return split_llama3(s->text, s->n, at, 1);
    case SPLIT_DEFAULT:
        break;
    }
    return split_default(s, at);
}

int split_rule_find(const struct gguf *g, enum split_rule *out, struct err *e)
{
    static const struct {
        const char *name;
        enum split_rule rule;
    } known[] = {
        {"default", SPLIT_DEFAULT}, {"gpt-2", SPLIT_GPT2},
        {"gpt2", SPLIT_GPT2},       {"llama-bpe", SPLIT_LLAMA3},
        {"llama3", SPLIT_LLAMA3},   {"llama-v3", SPLIT_LLAMA3},
        {"qwen2", SPLIT_QWEN2},     {"deepseek-r1-qwen", SPLIT_QWEN2},
    };
    enum { KNOWN = sizeof known / sizeof known[0] };
    static const char key[] = "tokenizer.ggml.pre";
    const char *names[KNOWN];
    struct gguf_str pre;
    int rc = gguf_string(g, key, &pre, e);
    if (rc < 0)
        return rc;
    if (!pre.s) { // files from before the key existed
        *out = SPLIT_DEFAULT;
        return 0;
    }
    for (size_t i = 0; i < KNOWN; i++) {
        names[i] = known[i].name;
        if (strlen(names[i]) == pre.n && memcmp(names[i], pre.s, pre.n) == 0) {
            *out = known[i].rule;
            return 0;
        }
    }
    char word[64];
    size_t n = pre.n < sizeof word - 1 ? (size_t)pre.n : sizeof word - 1;
    memcpy(word, pre.s, n);
    word[n] = '\0';
    const char *near = err_nearest(word, names, KNOWN);
    return err_at(e, ERR_UNSUPPORTED, g->path, 0, key,
                  "unknown pre-tokenizer '%s'%s%s%s; known: default, gpt-2 (gpt2), llama-bpe "
                  "(llama3, llama-v3), qwen2 (deepseek-r1-qwen)",
                  word, near ? ", did you mean '" : "", near ? near : "", near ? "'" : "");
}
