// SPDX-License-Identifier: GPL-3.0-or-later
// What the tokenizer's files share. Not for anyone else (except the tests of the splitter).
//
// Both kinds of vocabulary run on one machine: a text is cut into segments that no merge can cross,
// a segment is a row of symbols, and the best-ranked pair of neighbours is merged until no pair is
// in the table. SentencePiece ranks a pair by the score of the token it makes, byte-pair encoding
// by its line in the list of merges. A symbol is a token, or a piece of text that is only a step on
// the way to one; its number is the token's id, or comes after all ids.
#ifndef ENGINE_TOKENIZER_INTERNAL_H
#define ENGINE_TOKENIZER_INTERNAL_H

#include "base/arena.h"
#include "engine/gguf.h"
#include "engine/tokenizer.h"

// GGUF's numbers for tokenizer.ggml.token_type.
enum token_type {
    TOKEN_UNDEFINED, // counts as normal
    TOKEN_NORMAL,
    TOKEN_UNKNOWN,
    TOKEN_CONTROL,
    TOKEN_USER_DEFINED,
    TOKEN_UNUSED,
    TOKEN_BYTE,
};

enum tokenizer_model { TOKENIZER_SPM, TOKENIZER_BPE };
enum split_rule { SPLIT_DEFAULT, SPLIT_GPT2, SPLIT_LLAMA3, SPLIT_QWEN2 };

struct token_text {
    const char *s; // the bytes that the token stands for, not the vocabulary's spelling of them
    uint32_t n;
};

// Text of a symbol -> its number. Open addressing, a power of two, at most half full.
struct symbol_slot {
    uint32_t tag;
    int32_t symbol; // -1: free
};
struct symbol_table {
    struct symbol_slot *slot;
    uint32_t mask, used;
};

// Pair of neighbours -> what they become, and how urgently. The same kind of table.
struct pair {
    uint64_t key;  // (left + 1) << 32 | right; 0: free
    uint32_t rank; // smaller merges first
    int32_t merged;
};
struct pair_table {
    struct pair *slot;
    uint32_t mask, used;
};

// Tokens that are recognised in the text before anything is merged, sorted by their bytes.
struct special_list {
    const int32_t *id;
    int n;
    bool first[256]; // does any of them begin with this byte?
};

enum { TOKENIZER_ENDS = 16 };

struct tokenizer {
    struct arena arena;
    enum tokenizer_model model;
    enum split_rule split;      // BPE
    bool add_bos, space_prefix; // space_prefix: SPM
    bool ignore_merges;         // BPE: a word that is a token is that token
    int n_vocab;
    int32_t bos, eos, unk; // -1: none
    int32_t end[TOKENIZER_ENDS];
    int n_ends;

    uint8_t *type;           // [n_vocab] enum token_type
    struct token_text *text; // [n_symbols]
    int n_symbols, cap_symbols;
    struct symbol_table symbols;
    struct pair_table pairs;
    int32_t byte_token[256];  // the token for one byte, or -1
    int32_t byte_symbol[256]; // the symbol of a byte (BPE), of an ASCII character (SPM), or -1
    uint64_t *adjacent; // SPM: a bit per hash of two characters that some token has side by side
    uint32_t adjacent_mask;
    struct special_list user, special; // user-defined; user-defined, control and unknown
};

// One symbol of a segment while it is being merged.
struct symbol {
    int32_t id;         // -1: not in the vocabulary (or merged away)
    uint32_t at;        // where its text begins
    int32_t prev, next; // used for long segments only
};

struct merge_entry;
struct merge_scratch {
    struct symbol *sym; // [cap + 1]: one more for the end of the last one
    size_t cap;
    struct merge_entry *heap;
    size_t heap_cap;
    bool failed; // out of memory
};

struct token_sink {
    int32_t *ids;
    int max;
    int64_t n; // may pass max; what does not fit is counted only
};

static inline void token_put(struct token_sink *out, int32_t id)
{
    if (out->n < out->max)
        out->ids[out->n] = id;
    out->n++;
}

// tokenizer_symbols.c
void symbols_init(struct tokenizer *t);        // empty tables for n_vocab tokens
#define HASH_BASE UINT64_C(0x9E3779B97F4A7C15) // any odd number; 2^64 / the golden ratio
uint64_t symbol_hash(const char *s,
                     size_t n); // polynomial in HASH_BASE, so that substrings are cheap
int32_t symbol_find_hashed(const struct tokenizer *t, uint64_t h, const char *s, size_t n);
int32_t symbol_find(const struct tokenizer *t, const char *s, size_t n); // or -1
void symbol_set(struct tokenizer *t, int32_t symbol); // makes its text findable; the last one wins
// The symbol of a text, a new one if needed; `s` must live as long as the tokenizer, or be copied.
int32_t symbol_intern(struct tokenizer *t, const char *s, size_t n, bool copy);
const struct pair *pair_find(const struct tokenizer *t, int32_t left, int32_t right); // or NULL
void pair_add(struct tokenizer *t, int32_t left, int32_t right, uint32_t rank, int32_t merged);

// tokenizer_merge.c
enum { MERGE_SHORT = 40 }; // up to this many symbols a scan beats a heap
bool merge_reserve(struct merge_scratch *m, size_t symbols); // keeps what is there
void merge_free(struct merge_scratch *m);
// Merges sym[0..n) until nothing merges; returns how many are left, in front. Where the last one
// ends is the caller's knowledge.
int merge_run(const struct tokenizer *t, struct merge_scratch *m, int n);
int merge_short(const struct tokenizer *t, struct symbol *sym, int n);
int merge_long(const struct tokenizer *t, struct merge_scratch *m, int n);

// tokenizer_vocab.c
enum { TOKEN_BYTES_MAX = 65535, TOKENS_MAX = 1 << 24 };
int vocab_array(const struct gguf *g, const char *key, enum gguf_type element,
                const struct gguf_value **out, struct err *e); // NULL when missing

// tokenizer_spm.c
int spm_build(struct tokenizer *t, const struct gguf *g, struct err *e);
void spm_encode(const struct tokenizer *t, struct merge_scratch *m, const char *text, size_t n,
                bool prefix, struct token_sink *out);

// tokenizer_bpe.c
int bpe_build(struct tokenizer *t, const struct gguf *g, struct err *e);
void bpe_encode(const struct tokenizer *t, struct merge_scratch *m, const char *text, size_t n,
                struct token_sink *out);
// The byte that a character of a byte-level vocabulary stands for, or -1.
int bpe_char_to_byte(uint32_t cp);

// tokenizer_split.c
struct splitter {
    enum split_rule rule;
    const char *text;
    size_t n;
    size_t piece_end; // SPLIT_DEFAULT: end of the run that the first rule made
};
int split_rule_find(const struct gguf *g, enum split_rule *out, struct err *e);
size_t split_next(struct splitter *s, size_t at); // the end of the word that begins at `at` < n

#endif
