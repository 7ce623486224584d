// SPDX-License-Identifier: GPL-3.0-or-later
// UTF-8 and code point classes.
//
// The decoder is strict, because a tokenizer that accepts overlong forms or surrogates gives two
// spellings of one text different ids. ASCII is answered from a small table; the rest by binary
// search in the ranges (11 steps), which is far from dominating a tokenizer's time.
//
// Invariant: unicode_decode never returns 0 and never reads past n.
#include "engine/unicode.h"

#include <stdbool.h>

// Bytes 0x80..0xBF continue a character.
static bool continues(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

size_t unicode_decode(const char *s, size_t n, uint32_t *cp)
{
    // What a lead byte promises: the length, and the smallest code point that needs that length.
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char lead = (unsigned char)s[0];
    if (lead < 0x80) {
        *cp = lead;
        return 1;
    }
    *cp = UNICODE_REPLACEMENT;
    size_t len = lead >= 0xF8 ? 0 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 0;
    if (len == 0 || len > n)
        return 1;
    uint32_t c = lead & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (!continues(s[i]))
            return 1;
        c = c << 6 | ((unsigned char)s[i] & 0x3F);
    }
    if (c < smallest[len] || c > UNICODE_MAX || (c >= 0xD800 && c <= 0xDFFF))
        return 1;
    *cp = c;
    return len;
}

size_t unicode_encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (cp & 0x3F));
        cp >>= 6;
    }
    out[0] = (char)((0xF00u >> len & 0xF0) | cp);
    return len;
}

enum unicode_class unicode_class(uint32_t cp)
{
    enum { O = UNICODE_OTHER, L = UNICODE_LETTER, N = UNICODE_NUMBER };
    enum { S = UNICODE_SPACE, P = UNICODE_PUNCTUATION };
    static const unsigned char ascii[128] = {
        O, O, O, O, O, O, O, O, O, S, S, S, S, S, O, O, // 00: tab to carriage return are space
        O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, // 10
        S, P, P, P, O, P, P, P, P, P, P, O, P, P, P, P, // 20: $ and + are symbols
        N, N, N, N, N, N, N, N, N, N, P, P, O, O, O, P, // 30: < = > are symbols
        P, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, // 40
        L, L, L, L, L, L, L, L, L, L, L, P, P, P, O, P, // 50: ^ is a symbol
        O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, // 60: ` is a symbol
        L, L, L, L, L, L, L, L, L, L, L, P, O, P, O, O, // 70: | and ~ are symbols
    };
    if (cp < 128)
        return (enum unicode_class)ascii[cp];
    if (cp > UNICODE_MAX)
        return UNICODE_OTHER;
    size_t lo = 0, hi = unicode_table_count; // table[lo] starts at or below cp, table[hi] above it
    while (hi - lo > 1) {
        size_t mid = (lo + hi) / 2;
        if (unicode_table[mid] >> 3 <= cp)
            lo = mid;
        else
            hi = mid;
    }
    return (enum unicode_class)(unicode_table[lo] & 7);
}
