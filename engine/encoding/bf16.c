// SPDX-License-Identifier: GPL-3.0-or-later
// BF16: the upper 16 bits of a single: its range, 8 bits of precision.
#include "engine/encoding.h"

#include <string.h>

static void decode(const void *src, float *dst, int64_t n)
{
    const unsigned char *p = src; // rows may start at any byte
    for (int64_t i = 0; i < n; i++) {
        uint16_t v;
        memcpy(&v, p + 2 * i, sizeof v);
        dst[i] = bf16_to_float(v);
    }
}

static void encode(const float *src, void *dst, int64_t n)
{
    unsigned char *p = dst;
    for (int64_t i = 0; i < n; i++) {
        uint16_t v = float_to_bf16(src[i]);
        memcpy(p + 2 * i, &v, sizeof v);
    }
}

const struct encoding encoding_bf16 = {
    .name = "BF16",
    .doc = "bfloat16, the upper half of a single",
    .ggml_type = 30,
    .block = 1,
    .bytes = 2,
    .decode = decode,
    .encode = encode,
};
