// SPDX-License-Identifier: GPL-3.0-or-later
// F32: the values themselves, little-endian.
#include "engine/encoding.h"

#include <string.h>

static void decode(const void *src, float *dst, int64_t n)
{
    memcpy(dst, src, (size_t)n * sizeof *dst);
}

static void encode(const float *src, void *dst, int64_t n)
{
    memcpy(dst, src, (size_t)n * sizeof *src);
}

const struct encoding encoding_f32 = {
    .name = "F32",
    .doc = "IEEE single precision",
    .ggml_type = 0,
    .block = 1,
    .bytes = 4,
    .decode = decode,
    .encode = encode,
};
