// SPDX-License-Identifier: GPL-3.0-or-later
// F16: IEEE half precision. Values above 65504 become infinity when encoded.
#include "engine/encoding.h"

#include <string.h>

static void decode(const void *src, float *dst, int64_t n)
{
    const unsigned char *p = src; // rows may start at any byte
    for (int64_t i = 0; i < n; i++) {
        uint16_t v;
        memcpy(&v, p + 2 * i, sizeof v);
        dst[i] = half_to_float(v);
    }
}

static void encode(const float *src, void *dst, int64_t n)
{
    unsigned char *p = dst;
    for (int64_t i = 0; i < n; i++) {
        uint16_t v = float_to_half(src[i]);
        memcpy(p + 2 * i, &v, sizeof v);
    }
}

const struct encoding encoding_f16 = {
    .name = "F16",
    .doc = "IEEE half precision",
    .ggml_type = 1,
    .block = 1,
    .bytes = 2,
    .decode = decode,
    .encode = encode,
};
