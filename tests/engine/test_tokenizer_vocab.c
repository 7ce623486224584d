// SPDX-License-Identifier: GPL-3.0-or-later
// Small vocabularies made for the test: merging solved by hand, special tokens, and files that
// contradict themselves.
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>
#include "tests/engine/vocab_text.h"

#define KEY(name)  "tokenizer.ggml." name
#define COUNT(a)   (sizeof(a) / sizeof(a)[0])
#define UTF8_SPACE "\xE2\x96\x81"
#define NORMAL     1
#define UNKNOWN    2
#define CONTROL    3
#define USER       4
#define BYTE       6

// Ids as text, so that a failure shows all of them.
static const char *encoded(const struct tokenizer *t, const char *text, bool special)
{
    static char out[400];
    int32_t ids[64];
    int n = tokenizer_encode(t, text, strlen(text), false, special, ids, 64);
    out[0] = '\0';
    for (int i = 0; i < n && i < 64; i++)
        snprintf(out + strlen(out), sizeof out - strlen(out), "%s%d", i ? " " : "", ids[i]);
    return out;
}

static const char *decoded(const struct tokenizer *t, const int32_t *ids, int n, bool strip)
{
    static char out[400];
    int m = tokenizer_decode(t, ids, n, strip, out, sizeof out - 1);
    out[m < 0 ? 0 : m] = '\0';
    return m < 0 ? "(refused)" : out;
}

struct token_row {
    const char *text;
    float score;
    int32_t type;
};

static void add_rows(struct vocab_file *f, const struct token_row *row, size_t n, bool scores)
{
    const char *text[64];
    float score[64];
    int32_t type[64];
    for (size_t i = 0; i < n; i++) {
        text[i] = row[i].text;
        score[i] = row[i].score;
        type[i] = row[i].type;
    }
    vocab_strings(f, KEY("tokens"), text, n);
    if (scores)
        vocab_f32s(f, KEY("scores"), score, n);
    vocab_i32s(f, KEY("token_type"), type, n);
}

static struct tokenizer *open_rows(struct vocab_file *f)
{
    struct err e;
    struct tokenizer *t = NULL;
    CHECK_OK(vocab_open(f, &t, &e), &e);
    vocab_free(f);
    return t;
}

static const struct token_row spm_rows[] = {
    {"<unk>", 0, UNKNOWN},
    {"<s>", 0, CONTROL},
    {"</s>", 0, CONTROL},
    {"<0xC3>", 0, BYTE},
    {"<0xA4>", 0, BYTE},
    {UTF8_SPACE, -9, NORMAL}, // 5
    {"a", -9, NORMAL},
    {"b", -9, NORMAL},
    {"c", -9, NORMAL},
    {"ab", -2, NORMAL},
    {"bc", -1, NORMAL},
    {"aa", -3, NORMAL}, // 11
    {UTF8_SPACE "a", -4, NORMAL},
    {"<", -9, NORMAL},
    {"s", -9, NORMAL},
    {">", -9, NORMAL},
    {"<s", -5, NORMAL},
    {"[a]", 0, USER}, // 17
    {"[a][b]", 0, USER},
    {"ca", -2, NORMAL},
    {"[" UTF8_SPACE "]", 0, USER},
    {"xy", -1, NORMAL}, // 21
    {"a b", 0, NORMAL},
    {"<|im_end|>", 0, CONTROL},
};

static struct tokenizer *open_spm(bool prefix)
{
    struct vocab_file f = {0};
    vocab_str(&f, KEY("model"), "llama");
    vocab_bool(&f, KEY("add_space_prefix"), prefix);
    add_rows(&f, spm_rows, COUNT(spm_rows), true);
    return open_rows(&f);
}

static void test_spm_by_hand(void)
{
    struct tokenizer *t = open_spm(false);
    if (!t)
        return;
    CHECK_STR(encoded(t, "abc", false), "6 10"); // bc (-1) before ab (-2)
    CHECK_STR(encoded(t, "aaa", false), "11 6"); // leftmost of equals
    CHECK_STR(encoded(t, "aaaa", false), "11 11");
    CHECK_STR(encoded(t, "cab", false), "19 7"); // ca and ab tie: leftmost
    CHECK_STR(encoded(t, "a a", false), "6 12");
    CHECK_STR(encoded(t, "xy", false), "21");        // its characters are no tokens
    CHECK_STR(encoded(t, "xx", false), "0 0");       // no bytes for x: unknown, one per character
    CHECK_STR(encoded(t, "\xC3\xA4", false), "3 4"); // bytes
    CHECK_STR(encoded(t, "\xC3\xA5", false), "0");   // only one of the two bytes has a token
    CHECK_STR(encoded(t, "\xC3", false), "3");       // not UTF-8: a byte
    CHECK_STR(encoded(t, "a b", false), "6 5 7");    // a token with a bare space is not reachable
    CHECK_STR(encoded(t, "<s>", false), "16 15");    // plain text never becomes a control token
    CHECK_STR(encoded(t, "<0xC3>", false), "13 0 0 0 0 15");
    CHECK_STR(decoded(t, (int32_t[]){1, 12, 3, 4, 2}, 5, false), " a\xC3\xA4");
    CHECK_STR(decoded(t, (int32_t[]){12}, 1, true), " a"); // no prefix was put in front
    tokenizer_destroy(t);

    t = open_spm(true);
    CHECK_STR(encoded(t, "a", false), "12");
    CHECK_STR(encoded(t, "", false), "");
    CHECK_STR(encoded(t, "b", false), "5 7");
    CHECK_STR(encoded(t, " b", false), "5 5 7");
    CHECK_STR(decoded(t, (int32_t[]){1, 12, 12}, 3, true), "a a"); // bos does not use the prefix up
    CHECK_STR(decoded(t, (int32_t[]){6, 12}, 2, true), "a a");
    CHECK(tokenizer_is_end(t, 2) && tokenizer_is_end(t, 23)); // </s>, and one known by its name
    tokenizer_destroy(t);
}

static void test_special_tokens(void)
{
    struct tokenizer *t = open_spm(false);
    if (!t)
        return;
    CHECK_STR(encoded(t, "a<s>b", true), "6 1 7");
    CHECK_STR(encoded(t, "<s></s><unk>", true), "1 2 0");
    CHECK_STR(encoded(t, "<s<s>", true), "16 1");    // a false start is plain text
    CHECK_STR(encoded(t, "b[a]b", false), "7 17 7"); // user-defined: always
    CHECK_STR(encoded(t, "[a][b]", false), "18");    // the longest
    CHECK_STR(encoded(t, "[a][a]", false), "17 17");
    CHECK_STR(encoded(t, "[a][b", false), "17 0 7"); // the longest that is there
    CHECK_STR(encoded(t, "[ ]", false), "20");       // spelt with U+2581 in the vocabulary
    CHECK_STR(decoded(t, (int32_t[]){17, 20}, 2, false), "[a][ ]");
    tokenizer_destroy(t);
    t = open_spm(true); // a prefix in front of each stretch of plain text
    CHECK_STR(encoded(t, "a<s>a", true), "12 1 12");
    CHECK_STR(encoded(t, "<s>", true), "1");
    int32_t ids[2];
    CHECK_INT(tokenizer_encode(t, "a", 1, true, false, ids, 2), 2);
    CHECK_INT(ids[0], 1);
    tokenizer_destroy(t);
}

static const struct token_row bpe_rows[] = {
    {"a", 0, NORMAL},
    {"b", 0, NORMAL},
    {"c", 0, NORMAL},
    {"\xC4\xA0", 0, NORMAL}, // 3
    {"ab", 0, NORMAL},
    {"abc", 0, NORMAL},
    {"\xC4\xA0"
     "a",
     0, NORMAL},
    {"\xC3\xAF", 0, NORMAL},
    {"\xC2\xBF", 0, NORMAL},
    {"\xC2\xBD", 0, NORMAL}, // 7..9: EF BF BD
    {"cab", 0, NORMAL},
    {"<|eot|>", 0, CONTROL},
    {"cc", 0, NORMAL},           // 12
    {"\xE2\x82\xAC", 0, NORMAL}, // not of the alphabet
};
static const char *const bpe_merges[] = {"b c", "a b", "ab c", "\xC4\xA0 a", "c c", "b c"};

static struct tokenizer *open_bpe(const char *pre, const char *const *merges, size_t n)
{
    struct vocab_file f = {0};
    vocab_str(&f, KEY("model"), "gpt2");
    if (pre)
        vocab_str(&f, KEY("pre"), pre);
    add_rows(&f, bpe_rows, COUNT(bpe_rows), false);
    vocab_strings(&f, KEY("merges"), merges, n);
    vocab_u32(&f, KEY("eot_token_id"), 11);
    return open_rows(&f);
}

static void test_bpe_by_hand(void)
{
    struct tokenizer *t = open_bpe("gpt-2", bpe_merges, COUNT(bpe_merges));
    if (!t)
        return;
    CHECK_STR(encoded(t, "ab", false), "4");
    CHECK_STR(encoded(t, "abc", false), "0 1 2"); // "b c" is first; its result is no token: bytes
    CHECK_STR(encoded(t, "ccc", false), "12 2");  // leftmost
    CHECK_STR(encoded(t, "a a ab", false), "0 6 3 4"); // in " ab", "a b" comes first
    CHECK_STR(encoded(t, "x", false), "");             // no byte, no unknown token
    CHECK_STR(encoded(t, "\xFF", false), "7 8 9");     // U+FFFD
    CHECK_STR(encoded(t, "a\xC3", false), "0 7 8 9");
    CHECK_STR(encoded(t, "\xEF\xBF\xBD", false), "7 8 9");
    CHECK_STR(encoded(t, "a<|eot|>b", true), "0 11 1");
    CHECK_STR(decoded(t, (int32_t[]){6, 7, 8, 9, 11, 13}, 6, true), " a\xEF\xBF\xBD\xE2\x82\xAC");
    CHECK_INT(tokenizer_bos(t), -1);
    CHECK(!tokenizer_adds_bos(t));
    CHECK(tokenizer_is_end(t, 11));
    CHECK_STR(encoded(t, "cab", false), "2 4");
    tokenizer_destroy(t);
    t = open_bpe("llama-bpe", bpe_merges,
                 COUNT(bpe_merges)); // a word that is a token is that token
    CHECK_STR(encoded(t, "cab", false), "10");
    CHECK_STR(encoded(t, "abc cab", false), "5 3 2 4");
    tokenizer_destroy(t);
    t = open_bpe(NULL, bpe_merges + 1, 2); // no name: "default"
    CHECK_STR(encoded(t, "abc-ab", false), "5 4");
    tokenizer_destroy(t);
}

// Breaks one thing of a good vocabulary.
struct hostile {
    const char *what, *key, *message;
};

static int open_broken(const char *what, struct err *e)
{
    struct vocab_file f = {0};
    struct tokenizer *t = NULL;
    static const char *const tok[] = {"<unk>", "<s>", "</s>", "a", "b", "ab"};
    static const char *const merge[] = {"a b"};
    float score[6] = {0, 0, 0, -1, -1, -2};
    int32_t type[6] = {UNKNOWN, CONTROL, CONTROL, NORMAL, NORMAL, NORMAL};
#define IS(x) (strcmp(what, x) == 0)
    bool bpe = strncmp(what, "bpe", 3) == 0;
    if (IS("model is a number"))
        vocab_u32(&f, KEY("model"), 7);
    else if (!IS("no model"))
        vocab_str(&f, KEY("model"), IS("model bert") ? "bert" : bpe ? "gpt2" : "llama");
    if (bpe)
        vocab_str(&f, KEY("pre"), IS("bpe pre") ? "lama-bpe" : "gpt-2");
    if (IS("tokens are numbers"))
        vocab_i32s(&f, KEY("tokens"), type, 6);
    else if (IS("tokens is a string"))
        vocab_str(&f, KEY("tokens"), "a");
    else if (!IS("no tokens"))
        vocab_strings(&f, KEY("tokens"), tok, IS("0 tokens") ? 0 : 6);
    if (IS("score NaN"))
        score[4] = NAN;
    if (IS("scores are i32"))
        vocab_i32s(&f, KEY("scores"), type, 6);
    else if (!IS("no scores") && !bpe)
        vocab_f32s(&f, KEY("scores"), score, IS("5 scores") ? 5 : 6);
    if (IS("type 7"))
        type[3] = 7;
    if (IS("type -1"))
        type[3] = -1;
    if (IS("byte a"))
        type[3] = BYTE;
    vocab_i32s(&f, KEY("token_type"), type, IS("7 types") ? 5 : 6);
    if (IS("bos 6"))
        vocab_u32(&f, KEY("bos_token_id"), 6);
    if (IS("eot is a string"))
        vocab_str(&f, KEY("eot_token_id"), "x");
    if (IS("bos none but added")) {
        vocab_u32(&f, KEY("bos_token_id"), UINT32_MAX);
        vocab_bool(&f, KEY("add_bos_token"), true);
    }
    if (IS("add_bos is a number"))
        vocab_u32(&f, KEY("add_bos_token"), 1);
    if (IS("bpe merge without a space") || IS("bpe merge without a left"))
        vocab_strings(&f, KEY("merges"),
                      (const char *[]){"a b", IS("bpe merge without a space") ? "ab" : " b"}, 2);
    else if (IS("bpe merge without a right"))
        vocab_strings(&f, KEY("merges"), (const char *[]){"a b", "a "}, 2);
    else if (IS("bpe merge empty"))
        vocab_strings(&f, KEY("merges"), (const char *[]){"a b", ""}, 2);
    else if (IS("bpe merges are numbers"))
        vocab_i32s(&f, KEY("merges"), type, 6);
    else if (bpe && !IS("bpe no merges"))
        vocab_strings(&f, KEY("merges"), merge, 1);
    if (IS("bpe ignore_merges is a number"))
        vocab_u32(&f, KEY("ignore_merges"), 1);
#undef IS
    int rc = vocab_open(&f, &t, e);
    if (rc >= 0)
        tokenizer_destroy(t);
    vocab_free(&f);
    return rc;
}

static void test_hostile_vocabularies(void)
{
    static const struct hostile k[] = {
        {"no model", KEY("model"), "is missing"},
        {"model bert", KEY("model"), "'bert'; known: llama (SentencePiece), gpt2"},
        {"model is a number", KEY("model"), "string"},
        {"no tokens", KEY("tokens"), "is missing"},
        {"0 tokens", KEY("tokens"), "is empty"},
        {"tokens are numbers", KEY("tokens"), "array of strings"},
        {"tokens is a string", KEY("tokens"), "array of strings"},
        {"no scores", KEY("scores"), "is missing"},
        {"5 scores", KEY("scores"), "5 scores for 6 tokens"},
        {"scores are i32", KEY("scores"), "array of f32"},
        {"score NaN", KEY("scores"), "token 4 is not a number"},
        {"7 types", KEY("token_type"), "5 types for 6 tokens"},
        {"type 7", KEY("token_type"), "token 3 has type 7"},
        {"type -1", KEY("token_type"), "token 3 has type -1"},
        {"byte a", KEY("tokens"), "token 3 is of type byte, but is 'a'"},
        {"bos 6", KEY("bos_token_id"), "token 6, but the vocabulary has only 6"},
        {"eot is a string", KEY("eot_token_id"), "string"},
        {"bos none but added", KEY("add_bos_token"), "no tokenizer.ggml.bos_token_id"},
        {"add_bos is a number", KEY("add_bos_token"), "bool"},
        {"bpe pre", KEY("pre"), "'lama-bpe', did you mean 'llama-bpe'; known: default, gpt-2"},
        {"bpe no merges", KEY("merges"), "is missing"},
        {"bpe merges are numbers", KEY("merges"), "array of strings"},
        {"bpe merge without a space", KEY("merges"), "merge 1 is 'ab'"},
        {"bpe merge without a left", KEY("merges"), "merge 1 is ' b'"},
        {"bpe merge without a right", KEY("merges"), "merge 1 is 'a '"},
        {"bpe merge empty", KEY("merges"), "merge 1 is ''"},
        {"bpe ignore_merges is a number", KEY("ignore_merges"), "bool"},
    };
    struct err e;
    CHECK_OK(open_broken("nothing", &e), &e);
    CHECK_OK(open_broken("bpe nothing", &e), &e);
    for (size_t i = 0; i < COUNT(k); i++) {
        memset(&e, 0, sizeof e);
        if (!CHECK(open_broken(k[i].what, &e) < 0))
            test_note("%s was accepted", k[i].what);
        CHECK_STR(e.file, "vocab");
        CHECK_STR(e.key, k[i].key);
        CHECK_HAS(e.msg, k[i].message);
    }
    CHECK_INT(open_broken("bpe pre", &e), ERR_UNSUPPORTED);
    CHECK_INT(open_broken("5 scores", &e), ERR_FORMAT);
}

static void test_long_tokens(void)
{
    enum { MAX = 65535 };
    char *token = malloc(MAX + 2), *back = malloc(MAX + 2);
    for (size_t n = MAX; n <= MAX + 1; n++) {
        struct vocab_file f = {0};
        struct tokenizer *t = NULL;
        struct err e;
        memset(token, 'a', n);
        token[n] = '\0';
        const char *tok[] = {"<unk>", "<s>", "</s>", "a", "aa", token};
        vocab_str(&f, KEY("model"), "llama");
        vocab_bool(&f, KEY("add_space_prefix"), false);
        vocab_strings(&f, KEY("tokens"), tok, 6);
        vocab_f32s(&f, KEY("scores"), (float[]){0, 0, 0, 0, -1, -2}, 6);
        int rc = vocab_open(&f, &t, &e);
        if (n > MAX) {
            CHECK_INT(rc, ERR_FORMAT);
            CHECK_HAS(e.msg, "token 5 has 65536 bytes");
        } else if (CHECK_OK(rc, &e)) {
            // No pair makes the long one, so it is not reached, and costs nothing.
            CHECK_INT(tokenizer_encode(t, token, n, false, false, NULL, 0), MAX / 2 + 1);
            CHECK_INT(tokenizer_piece(t, 5, back, MAX), MAX);
            CHECK(memcmp(token, back, MAX) == 0);
            CHECK_INT(tokenizer_bos(t), 1); // SentencePiece's default
            tokenizer_destroy(t);
        }
        vocab_free(&f);
    }
    free(token);
    free(back);
}

TESTS(engine_tokenizer_vocab, T(test_spm_by_hand), T(test_special_tokens), T(test_bpe_by_hand),
      T(test_hostile_vocabularies), T(test_long_tokens))
