// SPDX-License-Identifier: GPL-3.0-or-later
// Real vocabularies (shared data): known ids, round trips, and the two shortcuts of the merging
// against the plain way. Vocabularies made for a test are in test_tokenizer_vocab.c.
#include "tests/harness.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/rng.h"
#include "engine/gguf.h"
#include "engine/tokenizer_internal.h"
#include "engine/unicode.h"

static char *read_file(const char *path, size_t *n)
{
    FILE *f = path ? fopen(path, "rb") : NULL;
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *s = malloc(*n + 1);
    *n = s ? fread(s, 1, *n, f) : 0;
    fclose(f);
    if (s)
        s[*n] = '\0';
    return s;
}

static struct tokenizer *open_vocab(const char *relative)
{
    struct err e;
    struct gguf *g;
    struct tokenizer *t = NULL;
    const char *path = test_shared(relative);
    if (!path) {
        test_skip("%s is not there", relative);
        return NULL;
    }
    if (CHECK_OK(gguf_open(path, &g, &e), &e)) {
        CHECK_OK(tokenizer_create(g, &t, &e), &e);
        gguf_close(g); // the tokenizer keeps no pointer into it
    }
    return t;
}

enum { MAX_TEXTS = 64, MAX_IDS = 4096 };
struct vectors {
    char *inp, *out;
    int n;
    const char *text[MAX_TEXTS];
    size_t len[MAX_TEXTS];
    int32_t id[MAX_TEXTS][MAX_IDS];
    int n_ids[MAX_TEXTS];
};

// Texts stand between "\n__ggml_vocab_test__\n"; what is after the last one is a text only if it is
// not empty. One line of ids per text.
static bool read_vectors(const char *name, struct vectors *v)
{
    static const char sep[] = "\n__ggml_vocab_test__\n";
    char path[128];
    size_t n, n_out;
    memset(v, 0, sizeof *v);
    snprintf(path, sizeof path, "data/vocab/ggml-vocab-%s.gguf.inp", name);
    v->inp = read_file(test_shared(path), &n);
    snprintf(path, sizeof path, "data/vocab/ggml-vocab-%s.gguf.out", name);
    v->out = read_file(test_shared(path), &n_out);
    if (!v->inp || !v->out) {
        free(v->inp);
        free(v->out);
        test_skip("the vectors of %s are not there", name);
        return false;
    }
    for (size_t at = 0; at < n && v->n < MAX_TEXTS; v->n++) {
        char *end = memmem(v->inp + at, n - at, sep, sizeof sep - 1);
        v->text[v->n] = v->inp + at;
        v->len[v->n] = end ? (size_t)(end - v->inp) - at : n - at;
        at = end ? (size_t)(end - v->inp) + sizeof sep - 1 : n;
    }
    char *line = v->out;
    for (int i = 0; i < v->n; i++) {
        for (char *end; *line && *line != '\n'; line = end) {
            long id = strtol(line, &end, 10);
            if (end == line)
                break;
            v->id[i][v->n_ids[i]++] = (int32_t)id;
            while (*end == ' ')
                end++;
        }
        line = strchr(line, '\n');
        if (!CHECK(line != NULL))
            return false;
        line++;
    }
    CHECK_INT(*line, 0); // as many lines as texts
    return true;
}

static void free_vectors(struct vectors *v)
{
    free(v->inp);
    free(v->out);
}

static void run_vectors(const char *name)
{
    static struct vectors v;
    static int32_t ids[MAX_IDS];
    char path[128];
    snprintf(path, sizeof path, "data/vocab/ggml-vocab-%s.gguf", name);
    struct tokenizer *t = open_vocab(path);
    if (!t || !read_vectors(name, &v)) {
        tokenizer_destroy(t);
        return;
    }
    int passed = 0;
    for (int i = 0; i < v.n; i++) {
        int n = tokenizer_encode(t, v.text[i], v.len[i], false, false, ids, MAX_IDS);
        bool same = n == v.n_ids[i];
        for (int j = 0; j < n && same; j++)
            same = ids[j] == v.id[i][j];
        if (!CHECK(same)) {
            test_note("%s: text %d \"%.*s\": %d ids, expected %d", name, i, (int)v.len[i],
                      v.text[i], n, v.n_ids[i]);
            for (int j = 0; j < n || j < v.n_ids[i]; j++) {
                if (j >= n || j >= v.n_ids[i] || ids[j] != v.id[i][j]) {
                    test_note("first difference at %d: %d, expected %d", j, j < n ? ids[j] : -1,
                              v.id[i][j]);
                    break;
                }
            }
        }
        passed += same;
    }
    test_note("%s: %d of %d vectors", name, passed, v.n);
    CHECK_INT(v.n, 46);
    free_vectors(&v);
    tokenizer_destroy(t);
}

static void test_vectors_spm(void)
{
    run_vectors("llama-spm");
}

static void test_vectors_gpt2(void)
{
    run_vectors("gpt-2");
}

static void test_vectors_llama_bpe(void)
{
    run_vectors("llama-bpe");
}

static void test_vectors_qwen2(void)
{
    run_vectors("qwen2");
}

// Without the vocabulary the vectors still bound the words: a word has at least one id, so that a
// text has no more words than ids.
static void test_words_of_vectors(void)
{
    static const struct {
        const char *name;
        enum split_rule rule;
    } k[] = {{"llama-bpe", SPLIT_LLAMA3}, {"qwen2", SPLIT_QWEN2}, {"gpt-2", SPLIT_GPT2}};
    static struct vectors v;
    for (size_t c = 0; c < 3; c++) {
        if (!read_vectors(k[c].name, &v))
            return;
        for (int i = 0; i < v.n; i++) {
            struct splitter s = {.rule = k[c].rule, .text = v.text[i], .n = v.len[i]};
            int words = 0;
            for (size_t at = 0; at < v.len[i]; words++)
                at = split_next(&s, at);
            if (!CHECK(words <= v.n_ids[i]))
                test_note("%s: text %d has %d words, %d ids", k[c].name, i, words, v.n_ids[i]);
        }
        free_vectors(&v);
    }
}

// The traces of the two story models: prompts with their ids, and decoded continuations.
static void check_stories(const char *model, const char *traces)
{
    static int32_t ids[MAX_IDS];
    static char text[1 << 16];
    struct tokenizer *t = open_vocab(model);
    const char *path = test_shared(traces);
    FILE *f = path ? fopen(path, "r") : NULL;
    if (!t || !f) {
        tokenizer_destroy(t);
        return;
    }
    json_t *j;
    int lines = 0;
    while ((j = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL))) {
        const char *prompt = json_string_value(json_object_get(j, "prompt"));
        json_t *want = json_object_get(j, "prompt_ids"), *next = json_object_get(j, "next_ids");
        int n = tokenizer_encode(t, prompt, strlen(prompt), true, false, ids, MAX_IDS);
        CHECK_INT(n, json_array_size(want));
        for (int i = 0; i < n; i++)
            CHECK_INT(ids[i], json_integer_value(json_array_get(want, (size_t)i)));
        n = (int)json_array_size(next);
        for (int i = 0; i < n; i++)
            ids[i] = (int32_t)json_integer_value(json_array_get(next, (size_t)i));
        n = tokenizer_decode(t, ids, n, true, text, sizeof text - 1);
        text[n] = '\0';
        const char *expected = json_string_value(json_object_get(j, "text"));
        if (!strstr(expected, "<|")) // those texts spell control tokens out
            CHECK_STR(text, expected);
        json_decref(j);
        lines++;
    }
    fclose(f);
    tokenizer_destroy(t);
    test_note("%s: %d prompts", model, lines);
    CHECK(lines >= 4);
}

static void test_stories(void)
{
    check_stories("data/models/stories260K.gguf", "data/models/stories260K.greedy.json");
    check_stories("data/models/TinyStories-656K-f32.gguf",
                  "data/models/TinyStories-656K.greedy.json");
}

// Random valid UTF-8: runs of one kind, so that long words, digits and spaces all occur.
static size_t random_text(struct rng *r, char *out, size_t max)
{
    static const uint32_t kinds[][2] = {{'a', 26},    {'0', 10},     {' ', 1},      {0, 128},
                                        {0xC0, 64},   {0x410, 64},   {0x4E00, 500}, {0x1F600, 80},
                                        {0x300, 32},  {'e', 1},      {'\n', 1},     {0, 0x10FFFF},
                                        {0xAC00, 99}, {0x2000, 600}, {'\'', 1}};
    size_t n = 0;
    while (n + 8 < max) {
        uint64_t k = rng_below(r, sizeof kinds / sizeof kinds[0]);
        uint64_t run = 1 + rng_below(r, rng_below(r, 20) ? 8 : 200);
        for (uint64_t i = 0; i < run && n + 8 < max; i++) {
            uint32_t cp = kinds[k][0] + (uint32_t)rng_below(r, kinds[k][1]);
            if ((cp >= 0xD800 && cp <= 0xDFFF) || cp == 0x2581)
                cp = '?';
            n += unicode_encode(cp, out + n);
        }
    }
    return n;
}

static void round_trips(const char *vocab, uint64_t seed)
{
    static char text[3000], back[sizeof text + 16], pieces[sizeof back];
    static int32_t ids[sizeof text + 16];
    struct tokenizer *t = open_vocab(vocab);
    if (!t)
        return;
    struct rng *r = rng_create(seed, "texts");
    int bad = 0;
    for (int i = 0; i < 400 && bad < 3; i++) {
        size_t n = random_text(r, text, 10 + rng_below(r, sizeof text - 10));
        int k = tokenizer_encode(t, text, n, i & 1, false, ids, sizeof text + 16);
        int m = tokenizer_decode(t, ids, k, true, back, sizeof back);
        // Piece by piece, as a stream is shown; half a character may be in a piece.
        int all = tokenizer_decode(t, ids, k, false, back + 0, 0), sum = 0;
        for (int j = 0; j < k; j++)
            sum += tokenizer_piece(t, ids[j], pieces + sum, (int)sizeof pieces - sum);
        bool ok = m == (int)n && memcmp(text, back, n) == 0 && all == sum && sum >= m &&
                  memcmp(pieces + (sum - m), back, (size_t)m) == 0;
        if (!CHECK(ok)) {
            test_note("round trip %d: %zu bytes, %d ids, %d back, %d in pieces", i, n, k, m, sum);
            bad++;
        }
    }
    rng_destroy(r);
    tokenizer_destroy(t);
}

static void test_round_trips(void)
{
    round_trips("data/vocab/ggml-vocab-llama-spm.gguf", 1);
    round_trips("data/vocab/ggml-vocab-gpt-2.gguf", 2);
    round_trips("data/models/stories260K.gguf", 3);
}

// merge_short and merge_long agree on every row of symbols, whatever the ranks.
static void test_heap_equals_scan(void)
{
    const char *const vocab[] = {"data/vocab/ggml-vocab-llama-spm.gguf",
                                 "data/vocab/ggml-vocab-gpt-2.gguf"};
    for (int v = 0; v < 2; v++) {
        struct tokenizer *t = open_vocab(vocab[v]);
        if (!t)
            return;
        struct rng *r = rng_create(5, "rows");
        struct merge_scratch m = {0};
        CHECK(merge_reserve(&m, 512));
        int merges = 0;
        for (int i = 0; i < 20000; i++) {
            struct symbol row[MERGE_SHORT + 1];
            int n = 1 + (int)rng_below(r, MERGE_SHORT);
            int letters = 1 + (int)rng_below(r, 26); // few letters: many ties
            for (int j = 0; j < n; j++) {
                char c = (char)(rng_below(r, 6) ? 'a' + (int)rng_below(r, (uint64_t)letters) : ' ');
                row[j] = (struct symbol){.id = t->byte_symbol[(int)c], .at = (uint32_t)j};
                m.sym[j] = row[j];
            }
            int a = merge_short(t, row, n), b = merge_long(t, &m, n);
            bool same = a == b;
            for (int j = 0; j < a && same; j++)
                same = row[j].id == m.sym[j].id && row[j].at == m.sym[j].at;
            if (!CHECK(same))
                test_note("vocabulary %d, row %d: %d and %d symbols", v, i, a, b);
            merges += n - a;
        }
        CHECK(merges > 50000);
        merge_free(&m);
        rng_destroy(r);
        tokenizer_destroy(t);
    }
}

// Cutting a SentencePiece text where no token has the two characters side by side changes nothing.
static void test_segments_change_nothing(void)
{
    const char *const vocab[] = {"data/vocab/ggml-vocab-llama-spm.gguf",
                                 "data/models/TinyStories-656K-f32.gguf"};
    static char text[3000];
    static int32_t whole[3100], cut[3100];
    for (int v = 0; v < 2; v++) {
        struct tokenizer *t = open_vocab(vocab[v]);
        if (!t)
            return;
        size_t bytes = ((size_t)t->adjacent_mask + 1) / 8;
        uint64_t *filter = malloc(bytes), *own = t->adjacent;
        memset(filter, 0xFF, bytes);
        struct rng *r = rng_create(9, "texts");
        for (int i = 0; i < 200; i++) {
            size_t n = random_text(r, text, 10 + rng_below(r, sizeof text - 10));
            t->adjacent = own;
            int a = tokenizer_encode(t, text, n, false, false, cut, 3100);
            t->adjacent = filter; // only characters that no token knows end a segment
            int b = tokenizer_encode(t, text, n, false, false, whole, 3100);
            CHECK_INT(a, b);
            CHECK(a == b && memcmp(whole, cut, (size_t)a * sizeof *cut) == 0);
        }
        rng_destroy(r);
        free(filter);
        tokenizer_destroy(t);
    }
}

static void test_long_words(void)
{
    const char *const vocab[] = {"data/vocab/ggml-vocab-llama-spm.gguf",
                                 "data/vocab/ggml-vocab-gpt-2.gguf"};
    enum { N = 1 << 20 };
    char *text = malloc(N + 1);
    int32_t *ids = malloc((N + 8) * sizeof *ids);
    for (int v = 0; v < 2; v++) {
        struct tokenizer *t = open_vocab(vocab[v]);
        if (!t)
            break;
        for (int c = 0; c < 3; c++) {
            memset(text, "a= "[c], N);
            struct timespec a, b;
            clock_gettime(CLOCK_MONOTONIC, &a);
            int n = tokenizer_encode(t, text, N, false, false, ids, N + 8);
            clock_gettime(CLOCK_MONOTONIC, &b);
            double s = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
            test_note("a word of %d '%c': %d ids in %.2f s", N, "a= "[c], n, s);
            CHECK(n > 0 && n <= N); // gpt-2 has no token of two spaces
            CHECK(s < 30);          // a quadratic way takes hours
            CHECK_INT(tokenizer_decode(t, ids, n, true, text, N), N);
        }
        tokenizer_destroy(t);
    }
    free(text);
    free(ids);
}

static void test_text_limit(void)
{
    struct tokenizer *t = open_vocab("data/vocab/ggml-vocab-gpt-2.gguf");
    if (!t)
        return;
    char *text = malloc(TOKENIZER_TEXT_MAX + 1);
    for (size_t i = 0; i <= TOKENIZER_TEXT_MAX; i++)
        text[i] = i % 4 ? '!' : ' ';
    int n = tokenizer_encode(t, text, TOKENIZER_TEXT_MAX, false, false, NULL, 0);
    CHECK_INT(n, (int)(TOKENIZER_TEXT_MAX / 2)); // " !", "!!"
    CHECK_INT(tokenizer_encode(t, text, TOKENIZER_TEXT_MAX + 1, false, false, NULL, 0), -1);
    free(text);
    tokenizer_destroy(t);
}

static void test_properties(void)
{
    struct tokenizer *t = open_vocab("data/vocab/ggml-vocab-llama-spm.gguf");
    if (!t)
        return;
    char buf[8] = "unused";
    int32_t ids[4];
    CHECK_INT(tokenizer_vocab(t), 32000);
    CHECK_INT(tokenizer_bos(t), 1);
    CHECK_INT(tokenizer_eos(t), 2);
    CHECK(tokenizer_adds_bos(t));
    CHECK(tokenizer_is_end(t, 2) && !tokenizer_is_end(t, 1) && !tokenizer_is_end(t, -1));
    CHECK_INT(tokenizer_piece(t, -1, buf, 8), -1);
    CHECK_INT(tokenizer_piece(t, 32000, buf, 8), -1);
    CHECK_INT(tokenizer_piece(t, 1, buf, 8), 0); // a control token
    CHECK_INT(tokenizer_piece(t, 3 + 0xE2, buf, 8), 1);
    CHECK_INT((unsigned char)buf[0], 0xE2);
    CHECK_INT(tokenizer_piece(t, 15043, buf, 3), 6); // " Hello", of which 3 fit
    CHECK(memcmp(buf, " He", 3) == 0);
    CHECK_INT(tokenizer_decode(t, (int32_t[]){15043, 32000}, 2, true, buf, 8), -1);
    // The empty text has no prefix; a count above max says how much room is needed.
    CHECK_INT(tokenizer_encode(t, "", 0, true, false, ids, 4), 1);
    CHECK_INT(tokenizer_encode(t, "Hello world", 11, true, false, ids, 2), 3);
    CHECK_INT(ids[1], 15043);
    // U+2581 is how the vocabulary spells a space.
    CHECK_INT(tokenizer_encode(t, "Hello\xE2\x96\x81world", 13, false, false, ids, 4), 2);
    CHECK_INT(ids[1], 3186);
    tokenizer_destroy(t);
}

TESTS(engine_tokenizer, T(test_vectors_spm), T(test_vectors_gpt2), T(test_vectors_llama_bpe),
      T(test_vectors_qwen2), T(test_words_of_vectors), T(test_stories), T(test_round_trips),
      T(test_heap_equals_scan), T(test_segments_change_nothing), T(test_long_words),
      T(test_text_limit), T(test_properties))
