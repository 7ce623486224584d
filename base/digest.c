// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/digest.h"

#include <stdio.h>
#include <string.h>

uint64_t digest_bytes(uint64_t d, const void *data, size_t size)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++)
        d = (d ^ p[i]) * DIGEST_PRIME;
    return d;
}

uint64_t digest_str(uint64_t d, const char *s)
{
    return digest_bytes(d, s, strlen(s) + 1);
}

uint64_t digest_f64(uint64_t d, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    if (bits == UINT64_C(0x8000000000000000))
        bits = 0;
    return digest_u64(d, bits);
}

const char *digest_text(uint64_t d, char buf[17])
{
    snprintf(buf, 17, "%016llx", (unsigned long long)d);
    return buf;
}
