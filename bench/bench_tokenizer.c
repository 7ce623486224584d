// SPDX-License-Identifier: GPL-3.0-or-later
// How fast text becomes ids and ids become text, on real vocabularies (shared data; what is not
// there is left out). Texts are made from a seed: English-like words, the long mixed text of the
// shared vectors, and one that never repeats. Prints MB/s and a digest of the ids, so that a faster
// run that answers something else is seen.
//
//     bench_tokenizer [FILE.gguf ...]
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/digest.h"
#include "base/rng.h"
#include "engine/gguf.h"
#include "engine/tokenizer.h"
#include "engine/unicode.h"

enum { SIZE = 1 << 20, ROUNDS = 5 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Words of a small dictionary of 4000, short ones more often, with the punctuation of prose.
static size_t prose(struct rng *r, char *out)
{
    static const char *const syllable[] = {"the", "re",  "in",  "ing",  "to", "and", "er",   "con",
                                           "ly",  "a",   "s",   "ment", "ve", "ou",  "st",   "tion",
                                           "ed",  "pro", "com", "al",   "is", "for", "ther", "be"};
    size_t n = 0;
    while (n + 64 < SIZE) {
        uint64_t word = rng_below(r, rng_below(r, 4000) + 1);
        struct rng *w = rng_create(word, "word");
        uint64_t parts = 1 + rng_below(w, word < 100 ? 2 : 4);
        for (uint64_t i = 0; i < parts; i++) {
            const char *s = syllable[rng_below(w, 24)];
            memcpy(out + n, s, strlen(s));
            n += strlen(s);
        }
        rng_destroy(w);
        uint64_t end = rng_below(r, 60);
        out[n++] = end == 0 ? '\n' : end < 5 ? '.' : end < 9 ? ',' : ' ';
        if (end > 0 && end < 9)
            out[n++] = ' ';
    }
    return n;
}

// Random letters of several scripts, digits and marks: no two words are alike.
static size_t noise(struct rng *r, char *out)
{
    static const uint32_t kinds[][2] = {{'a', 26}, {'A', 26},      {'0', 10},   {'!', 15},
                                        {' ', 1},  {0x4E00, 5000}, {0x410, 64}, {0xE0, 30}};
    size_t n = 0;
    while (n + 64 < SIZE) {
        uint64_t k = rng_below(r, 8);
        for (uint64_t i = 1 + rng_below(r, 8); i > 0; i--)
            n += unicode_encode(kinds[k][0] + (uint32_t)rng_below(r, kinds[k][1]), out + n);
        out[n++] = ' ';
    }
    return n;
}

static void measure(const struct tokenizer *t, const char *name, const char *text, size_t n,
                    int32_t *ids, char *back)
{
    double encode = 1e9, decode = 1e9;
    int count = 0;
    bool kept = true;
    for (int i = 0; i < ROUNDS; i++) {
        double start = now();
        count = tokenizer_encode(t, text, n, false, false, ids, SIZE * 2);
        double middle = now();
        int m = tokenizer_decode(t, ids, count, true, back, SIZE * 2);
        double end = now();
        kept = m == (int)n && memcmp(text, back, n) == 0;
        encode = middle - start < encode ? middle - start : encode;
        decode = end - middle < decode ? end - middle : decode;
    }
    char hex[17];
    uint64_t d = digest_bytes(DIGEST_INIT, ids, (size_t)count * sizeof *ids);
    printf("  %-6s %8zu bytes %7d ids   encode %7.1f MB/s   decode %7.1f MB/s   ids %s%s\n", name,
           n, count, (double)n / encode / 1e6, (double)n / decode / 1e6, digest_text(d, hex),
           kept ? "" : " (characters without a token)");
}

static int bench(const char *path)
{
    struct err e;
    struct gguf *g;
    struct tokenizer *t;
    char text[600];
    double start = now();
    if (gguf_open(path, &g, &e) < 0) {
        printf("%s\n", err_text(&e, text, sizeof text));
        return 1;
    }
    int rc = tokenizer_create(g, &t, &e);
    gguf_close(g);
    if (rc < 0) {
        printf("%s\n", err_text(&e, text, sizeof text));
        return 1;
    }
    printf("%s: %d tokens, opened in %.1f ms\n", path, tokenizer_vocab(t), 1e3 * (now() - start));
    char *in = malloc(SIZE), *back = malloc(SIZE * 2);
    int32_t *ids = malloc(SIZE * 2 * sizeof *ids);
    if (!in || !back || !ids)
        abort();
    struct rng *r = rng_create(1, "bench");
    measure(t, "prose", in, prose(r, in), ids, back);
    measure(t, "noise", in, noise(r, in), ids, back);
    memset(in, '-', SIZE);
    measure(t, "dashes", in, SIZE, ids, back);
    rng_destroy(r);
    free(in);
    free(back);
    free(ids);
    tokenizer_destroy(t);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const known[] = {"../shared/data/vocab/ggml-vocab-llama-spm.gguf",
                                        "../shared/data/vocab/ggml-vocab-gpt-2.gguf",
                                        "../shared/data/models/TinyStories-656K-f32.gguf"};
    int rc = 0;
    for (int i = 1; i < argc; i++)
        rc |= bench(argv[i]);
    for (size_t i = 0; argc == 1 && i < sizeof known / sizeof known[0]; i++) {
        if (access(known[i], R_OK) == 0)
            rc |= bench(known[i]);
        else
            printf("%s is not there\n", known[i]);
    }
    return rc;
}
