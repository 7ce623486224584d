// SPDX-License-Identifier: GPL-3.0-or-later
// What the compiler calls without being told: block moves and integer division. There is no
// run-time library for this target here. On the host the C library has all of it, and this file is
// empty.
#ifdef __hexagon__

#include <stddef.h>
#include <stdint.h>
#include "engine/host/npu/dsp/hvx.h"

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
void __hexagon_memcpy_likely_aligned_min32bytes_mult8bytes(void *to, const void *from, size_t n);
uint32_t __hexagon_udivsi3(uint32_t a, uint32_t b);
uint32_t __hexagon_umodsi3(uint32_t a, uint32_t b);
int32_t __hexagon_divsi3(int32_t a, int32_t b);
int32_t __hexagon_modsi3(int32_t a, int32_t b);
uint64_t __hexagon_udivdi3(uint64_t a, uint64_t b);
uint64_t __hexagon_umoddi3(uint64_t a, uint64_t b);
int64_t __hexagon_divdi3(int64_t a, int64_t b);
int64_t __hexagon_moddi3(int64_t a, int64_t b);

// Eight bytes at a time where both sides allow it.
void *memcpy(void *to, const void *from, size_t n)
{
    uint8_t *d = to;
    const uint8_t *s = from;
    if (((uintptr_t)d | (uintptr_t)s) % 8 == 0)
        for (; n >= 8; n -= 8, d += 8, s += 8)
            *(uint64_t *)d = *(const uint64_t *)s;
    for (; n; n--)
        *d++ = *s++;
    return to;
}

void __hexagon_memcpy_likely_aligned_min32bytes_mult8bytes(void *to, const void *from, size_t n)
{
    memcpy(to, from, n);
}

void *memmove(void *to, const void *from, size_t n)
{
    uint8_t *d = to;
    const uint8_t *s = from;
    if ((uintptr_t)d - (uintptr_t)s >= n)
        return memcpy(to, from, n);
    while (n--)
        d[n] = s[n];
    return to;
}

void *memset(void *to, int byte, size_t n)
{
    uint8_t *d = to;
    const uint64_t eight = 0x0101010101010101u * (uint64_t)(uint8_t)byte;
    const hv vector = hv_splat((int32_t)(uint32_t)eight);
    for (; n && (uintptr_t)d % 8; n--)
        *d++ = (uint8_t)byte;
    for (; n >= 8 && (uintptr_t)d % sizeof vector; n -= 8, d += 8)
        *(uint64_t *)d = eight;
    for (; n >= sizeof vector; n -= sizeof vector, d += sizeof vector)
        hv_store(d, vector);
    for (; n >= 8; n -= 8, d += 8)
        *(uint64_t *)d = eight;
    for (; n; n--)
        *d++ = (uint8_t)byte;
    return to;
}

// Long division, bit by bit from the highest that the dividend has. Division by zero gives zero and
// the dividend, whatever that is worth.
static uint64_t divide(uint64_t a, uint64_t b, uint64_t *rest)
{
    uint64_t q = 0, r = 0;
    for (int i = a && b ? 63 - __builtin_clzll(a) : -1; i >= 0; i--) {
        uint64_t carry = r >> 63;
        r = r << 1 | (a >> i & 1);
        if (carry || r >= b) {
            r -= b;
            q |= (uint64_t)1 << i;
        }
    }
    *rest = b ? r : a;
    return q;
}

uint64_t __hexagon_udivdi3(uint64_t a, uint64_t b)
{
    uint64_t rest;
    return divide(a, b, &rest);
}

uint64_t __hexagon_umoddi3(uint64_t a, uint64_t b)
{
    uint64_t rest;
    divide(a, b, &rest);
    return rest;
}

static uint64_t magnitude(int64_t v)
{
    return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

int64_t __hexagon_divdi3(int64_t a, int64_t b)
{
    uint64_t rest, q = divide(magnitude(a), magnitude(b), &rest);
    return (int64_t)((a < 0) != (b < 0) ? 0 - q : q);
}

int64_t __hexagon_moddi3(int64_t a, int64_t b)
{
    uint64_t rest;
    divide(magnitude(a), magnitude(b), &rest);
    return (int64_t)(a < 0 ? 0 - rest : rest);
}

uint32_t __hexagon_udivsi3(uint32_t a, uint32_t b)
{
    return (uint32_t)__hexagon_udivdi3(a, b);
}

uint32_t __hexagon_umodsi3(uint32_t a, uint32_t b)
{
    return (uint32_t)__hexagon_umoddi3(a, b);
}

int32_t __hexagon_divsi3(int32_t a, int32_t b)
{
    return (int32_t)__hexagon_divdi3(a, b);
}

int32_t __hexagon_modsi3(int32_t a, int32_t b)
{
    return (int32_t)__hexagon_moddi3(a, b);
}

#else
typedef int npu_runtime_is_the_hosts;
#endif
