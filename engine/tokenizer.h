// SPDX-License-Identifier: GPL-3.0-or-later
// Text to token ids and back, from the vocabulary inside a GGUF file: SentencePiece ("llama") and
// byte-level byte-pair encoding ("gpt2") with the pre-tokenizer rules of gpt-2, llama-bpe and
// qwen2.
#ifndef ENGINE_TOKENIZER_H
#define ENGINE_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct gguf;
struct tokenizer;

int tokenizer_create(const struct gguf *g, struct tokenizer **out, struct err *e);
void tokenizer_destroy(struct tokenizer *t);

int tokenizer_vocab(const struct tokenizer *t);   // number of tokens
int32_t tokenizer_bos(const struct tokenizer *t); // -1 when there is none
int32_t tokenizer_eos(const struct tokenizer *t);
bool tokenizer_adds_bos(const struct tokenizer *t);
bool tokenizer_is_end(const struct tokenizer *t, int32_t id); // eos, eot, eom

// Encodes n bytes (any bytes; invalid UTF-8 becomes byte tokens or U+FFFD as the vocabulary's own
// tokenizer does). Fills at most `max` ids, returns how many the text has (so a return above max
// means: call again with room). parse_special recognises control tokens written out in the text;
// user-defined tokens always are. A text above TOKENIZER_TEXT_MAX, or no memory, gives -1.
#define TOKENIZER_TEXT_MAX ((size_t)16 << 20)
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, bool add_bos,
                     bool parse_special, int32_t *ids, int max);

// The bytes of one token (a control token gives none); returns the length, at most `max` are
// written. An id outside the vocabulary gives -1.
int tokenizer_piece(const struct tokenizer *t, int32_t id, char *buf, int max);
// Decodes ids; drops the space that the encoder put in front when `strip_prefix`. Returns the
// length of the text, of which at most `max` bytes are written (no terminating zero). An id outside
// the vocabulary, or a text above INT_MAX bytes, gives -1.
int tokenizer_decode(const struct tokenizer *t, const int32_t *ids, int n, bool strip_prefix,
                     char *buf, int max);

#endif
