// SPDX-License-Identifier: GPL-3.0-or-later
// A vocabulary from a GGUF file, whose arrays are not to be believed: lengths must agree, ids must
// exist, types must be known; every error names file and key.
//
// The one idea: a token is stored as the bytes it stands for, whatever its spelling in the file
// ("\u2581the", "Ġthe", "<0x0A>"), and it can be found by its text only when plain text may become
// it. So control, unknown and byte tokens, and spellings that no text produces, are simply not in
// the table. When two tokens have one text, the last one is found.
#include "engine/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>
#include "engine/unicode.h"

#define KEY(name) "tokenizer.ggml." name

int vocab_array(const struct gguf *g, const char *key, enum gguf_type element,
                const struct gguf_value **out, struct err *e)
{
    const struct gguf_value *v = gguf_find(g, key);
    const char *name = element == GGUF_STRING ? "strings" : element == GGUF_F32 ? "f32" : "i32";
    // Writers disagree about the sign of small numbers.
    bool is_int = element == GGUF_I32 && v && v->element == GGUF_U32;
    if (v && (v->type != GGUF_ARRAY || (v->element != element && !is_int)))
        return err_at(e, ERR_FORMAT, g->path, 0, key, "has the wrong type, expected an array of %s",
                      name);
    *out = v;
    return 0;
}

// A special token's id; a missing one is `fallback`. All ones is how writers say "none".
static int special_id(const struct tokenizer *t, const struct gguf *g, const char *key,
                      int32_t fallback, int32_t *out, struct err *e)
{
    int64_t id;
    int rc = gguf_int(g, key, fallback < t->n_vocab ? fallback : -1, -1, UINT32_MAX, &id, e);
    if (rc < 0)
        return rc;
    if (id == UINT32_MAX)
        id = -1;
    if (id >= t->n_vocab)
        return err_at(e, ERR_FORMAT, g->path, 0, key,
                      "is token %lld, but the vocabulary has only %d tokens", (long long)id,
                      t->n_vocab);
    *out = (int32_t)id;
    return 0;
}

static void add_end(struct tokenizer *t, int32_t id)
{
    if (id >= 0 && !tokenizer_is_end(t, id) && t->n_ends < TOKENIZER_ENDS)
        t->end[t->n_ends++] = id;
}

static int read_ids(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    bool spm = t->model == TOKENIZER_SPM;
    int32_t eot, eom;
    int rc;
    // SentencePiece's own defaults; byte-pair vocabularies have none.
    if ((rc = special_id(t, g, KEY("unknown_token_id"), spm ? 0 : -1, &t->unk, e)) < 0 ||
        (rc = special_id(t, g, KEY("bos_token_id"), spm ? 1 : -1, &t->bos, e)) < 0 ||
        (rc = special_id(t, g, KEY("eos_token_id"), spm ? 2 : -1, &t->eos, e)) < 0 ||
        (rc = special_id(t, g, KEY("eot_token_id"), -1, &eot, e)) < 0 ||
        (rc = special_id(t, g, KEY("eom_token_id"), -1, &eom, e)) < 0 ||
        (rc = gguf_bool(g, KEY("add_bos_token"), t->bos >= 0 && (spm || t->split == SPLIT_LLAMA3),
                        &t->add_bos, e)) < 0 ||
        (rc = gguf_bool(g, KEY("add_space_prefix"), spm, &t->space_prefix, e)) < 0)
        return rc;
    if (t->add_bos && t->bos < 0)
        return err_at(e, ERR_FORMAT, g->path, 0, KEY("add_bos_token"),
                      "is true, but there is no " KEY("bos_token_id"));
    add_end(t, t->eos);
    add_end(t, eot);
    add_end(t, eom);
    return 0;
}

static int read_types(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    const struct gguf_value *v;
    int rc = vocab_array(g, KEY("token_type"), GGUF_I32, &v, e);
    if (rc < 0)
        return rc;
    t->type = ARENA_NEWS(&t->arena, (size_t)t->n_vocab, uint8_t);
    if (!v) { // then what a file can mean is normal, but for the ids that it names
        memset(t->type, TOKEN_NORMAL, (size_t)t->n_vocab);
        for (int i = 0; i < t->n_ends; i++)
            t->type[t->end[i]] = TOKEN_CONTROL;
        if (t->bos >= 0)
            t->type[t->bos] = TOKEN_CONTROL;
        if (t->unk >= 0)
            t->type[t->unk] = TOKEN_UNKNOWN;
        return 0;
    }
    if (v->count != (uint64_t)t->n_vocab)
        return err_at(e, ERR_FORMAT, g->path, 0, KEY("token_type"), "has %llu types for %d tokens",
                      (unsigned long long)v->count, t->n_vocab);
    for (int i = 0; i < t->n_vocab; i++) {
        int32_t type;
        memcpy(&type, (const char *)v->data + (size_t)i * sizeof type, sizeof type);
        if (type < 0 || type > TOKEN_BYTE)
            return err_at(e, ERR_FORMAT, g->path, 0, KEY("token_type"),
                          "token %d has type %d, expected 0 to %d", i, type, TOKEN_BYTE);
        t->type[i] = type == TOKEN_UNDEFINED ? TOKEN_NORMAL : (uint8_t)type;
    }
    return 0;
}

// "<0x0A>" -> 10, or -1.
static int parse_byte(struct gguf_str s)
{
    if (s.n != 6 || memcmp(s.s, "<0x", 3) != 0 || s.s[5] != '>')
        return -1;
    int v = 0;
    for (int i = 3; i < 5; i++) {
        char c = s.s[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        v = v * 16 + digit;
    }
    return v;
}

// Translates a normal token's spelling into bytes; false when no text can become this token.
static bool translate(const struct tokenizer *t, struct gguf_str in, char *out, uint32_t *n)
{
    bool reachable = in.n > 0;
    uint32_t cp, count = 0;
    for (size_t at = 0, len; at < in.n; at += len) {
        len = unicode_decode(in.s + at, (size_t)in.n - at, &cp);
        int byte = t->model == TOKENIZER_BPE ? bpe_char_to_byte(cp) : cp == 0x2581 ? ' ' : -1;
        if (byte >= 0) {
            out[count++] = (char)byte;
            continue;
        }
        memcpy(out + count, in.s + at, len);
        count += (uint32_t)len;
        // A byte-level alphabet has no other characters; SentencePiece has no bare space.
        reachable &= t->model == TOKENIZER_SPM && cp != ' ';
    }
    *n = count;
    return reachable;
}

static bool is_end_name(struct token_text x)
{
    static const char *const names[] = {"<|eot_id|>",   "<|im_end|>",    "<|end|>",
                                        "<|eom_id|>",   "<|endoftext|>", "<|end_of_text|>",
                                        "<end_of_turn>"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (x.n == strlen(names[i]) && memcmp(x.s, names[i], x.n) == 0)
            return true;
    }
    return false;
}

static int read_token(struct tokenizer *t, const struct gguf *g, int32_t id, struct gguf_str s,
                      char *out, struct err *e)
{
    struct token_text *x = &t->text[id];
    bool findable = false;
    x->s = out;
    int byte = parse_byte(s);
    switch ((enum token_type)t->type[id]) {
    case TOKEN_BYTE:
        if (byte < 0)
            return err_at(e, ERR_FORMAT, g->path, 0, KEY("tokens"),
                          "token %d is of type byte, but is '%.*s', expected <0x00> to <0xFF>", id,
                          (int)(s.n < 60 ? s.n : 60), s.s);
        out[0] = (char)byte;
        x->n = 1;
        t->byte_token[byte] = id;
        break;
    case TOKEN_USER_DEFINED:
        if (t->model == TOKENIZER_SPM) {
            translate(t, s, out, &x->n);
            break;
        } // fall through
    case TOKEN_CONTROL:
    case TOKEN_UNKNOWN:
        memcpy(out, s.s, (size_t)s.n);
        x->n = (uint32_t)s.n;
        if (is_end_name(*x))
            add_end(t, id);
        break;
    case TOKEN_UNDEFINED:
    case TOKEN_NORMAL:
    case TOKEN_UNUSED:
        findable = translate(t, s, out, &x->n);
        break;
    }
    if (findable)
        symbol_set(t, id);
    return 0;
}

static int read_tokens(struct tokenizer *t, const struct gguf *g, const struct gguf_value *tokens,
                       struct err *e)
{
    uint64_t total = 0;
    const uint8_t *cursor = tokens->data;
    for (int i = 0; i < t->n_vocab; i++) {
        struct gguf_str s = gguf_next_string(&cursor);
        if (s.n > TOKEN_BYTES_MAX)
            return err_at(e, ERR_FORMAT, g->path, 0, KEY("tokens"),
                          "token %d has %llu bytes, expected at most %d", i,
                          (unsigned long long)s.n, TOKEN_BYTES_MAX);
        total += s.n;
    }
    t->cap_symbols = t->n_vocab + 512; // the characters or bytes that are no tokens
    t->text = ARENA_NEWS(&t->arena, (size_t)t->cap_symbols, struct token_text);
    t->n_symbols = t->n_vocab;
    symbols_init(t);
    char *out = arena_alloc(&t->arena, (size_t)total + 1); // translation never lengthens
    memset(t->byte_token, 0xFF, sizeof t->byte_token);
    memset(t->byte_symbol, 0xFF, sizeof t->byte_symbol);
    cursor = tokens->data;
    for (int i = 0; i < t->n_vocab; i++) {
        int rc = read_token(t, g, i, gguf_next_string(&cursor), out, e);
        if (rc < 0)
            return rc;
        out += t->text[i].n;
    }
    for (int c = 0; c < 256; c++) {
        if (t->byte_token[c] < 0) // a vocabulary without byte tokens may still have the character
            t->byte_token[c] = symbol_find(t, &(char){(char)c}, 1);
    }
    return 0;
}

struct by_text {
    struct token_text x;
    int32_t id;
};

static int compare_text(const void *pa, const void *pb)
{
    const struct by_text *a = pa, *b = pb;
    int c = memcmp(a->x.s, b->x.s, a->x.n < b->x.n ? a->x.n : b->x.n);
    if (c == 0)
        c = (a->x.n > b->x.n) - (a->x.n < b->x.n);
    return c ? c : (a->id > b->id) - (a->id < b->id);
}

static void list_special(struct tokenizer *t, bool user_only, struct special_list *out)
{
    struct arena scratch;
    arena_init(&scratch);
    struct by_text *found = ARENA_NEWS(&scratch, (size_t)t->n_vocab, struct by_text);
    int n = 0;
    for (int i = 0; i < t->n_vocab; i++) {
        bool special = t->type[i] == TOKEN_CONTROL || t->type[i] == TOKEN_UNKNOWN;
        if (t->text[i].n && (t->type[i] == TOKEN_USER_DEFINED || (special && !user_only)))
            found[n++] = (struct by_text){t->text[i], i};
    }
    qsort(found, (size_t)n, sizeof *found, compare_text);
    int32_t *id = ARENA_NEWS(&t->arena, (size_t)n, int32_t);
    for (int i = 0; i < n; i++) {
        out->first[(unsigned char)found[i].x.s[0]] = true;
        id[i] = found[i].id;
    }
    out->id = id;
    out->n = n;
    arena_fini(&scratch);
}

static int read_model(const struct gguf *g, enum tokenizer_model *out, struct err *e)
{
    struct gguf_str s;
    int rc = gguf_string(g, KEY("model"), &s, e);
    if (rc < 0)
        return rc;
    if (!s.s)
        return err_at(e, ERR_FORMAT, g->path, 0, KEY("model"),
                      "is missing: the file has no vocabulary");
    if (s.n == 5 && memcmp(s.s, "llama", 5) == 0)
        *out = TOKENIZER_SPM;
    else if (s.n == 4 && memcmp(s.s, "gpt2", 4) == 0)
        *out = TOKENIZER_BPE;
    else
        return err_at(e, ERR_UNSUPPORTED, g->path, 0, KEY("model"),
                      "unknown kind of vocabulary '%.*s'; known: llama (SentencePiece), gpt2 "
                      "(byte-pair encoding)",
                      (int)(s.n < 60 ? s.n : 60), s.s);
    return 0;
}

static int load(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    const struct gguf_value *tokens;
    int rc;
    if ((rc = read_model(g, &t->model, e)) < 0 ||
        (t->model == TOKENIZER_BPE && (rc = split_rule_find(g, &t->split, e)) < 0) ||
        (rc = vocab_array(g, KEY("tokens"), GGUF_STRING, &tokens, e)) < 0)
        return rc;
    if (!tokens || tokens->count == 0 || tokens->count > TOKENS_MAX)
        return err_at(e, ERR_FORMAT, g->path, 0, KEY("tokens"), "%s, expected 1 to %d tokens",
                      !tokens              ? "is missing"
                      : tokens->count == 0 ? "is empty"
                                           : "is too long",
                      TOKENS_MAX);
    t->n_vocab = (int)tokens->count;
    if ((rc = read_ids(t, g, e)) < 0 || (rc = read_types(t, g, e)) < 0 ||
        (rc = read_tokens(t, g, tokens, e)) < 0)
        return rc;
    list_special(t, true, &t->user);
    list_special(t, false, &t->special);
    return t->model == TOKENIZER_SPM ? spm_build(t, g, e) : bpe_build(t, g, e);
}

int tokenizer_create(const struct gguf *g, struct tokenizer **out, struct err *e)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, ERR_MEMORY, "no memory for a tokenizer");
    arena_init(&t->arena);
    int rc = load(t, g, e);
    if (rc < 0) {
        tokenizer_destroy(t);
        return rc;
    }
    *out = t;
    return 0;
}

void tokenizer_destroy(struct tokenizer *t)
{
    if (!t)
        return;
    arena_fini(&t->arena);
    free(t);
}
