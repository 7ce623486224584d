// SPDX-License-Identifier: GPL-3.0-or-later
// A 64-bit digest of what matters in a run. FNV-1a over little-endian bytes: not cryptographic, but
// equal on every machine and compiler, and cheap enough to keep running over an event trace.
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_INIT  UINT64_C(0xcbf29ce484222325)
#define DIGEST_PRIME UINT64_C(0x100000001b3)

uint64_t digest_bytes(uint64_t d, const void *data, size_t size);
// One multiply per word instead of eight: the event trace calls this millions of times. The shift
// lets high bits reach low ones, which a lone FNV step does not.
static inline uint64_t digest_u64(uint64_t d, uint64_t v)
{
    d = (d ^ v) * DIGEST_PRIME;
    return d ^ (d >> 29);
}
uint64_t digest_str(uint64_t d, const char *s); // includes the terminating zero
uint64_t digest_f64(uint64_t d, double v);      // the bit pattern; -0 counts as 0

// 16 hex digits and a zero.
const char *digest_text(uint64_t d, char buf[17]);

#endif
