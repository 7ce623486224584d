// SPDX-License-Identifier: GPL-3.0-or-later
// Weight encodings: how a row of numbers is stored. One encoding = one file in engine/encoding/
// that exports one `const struct encoding encoding_NAME`; the registry is generated.
//
// A row of K values is K / block blocks of `bytes` bytes each; K is a multiple of `block`.
// The functions here are the slow, obvious reference; devices have fast kernels of their own for
// the encodings they like and fall back to `decode` for the rest.
#ifndef ENGINE_ENCODING_H
#define ENGINE_ENCODING_H

#include <stddef.h>
#include <stdint.h>

struct encoding {
    const char *name; // "Q8_0", as GGUF tools print it
    const char *doc;
    uint32_t ggml_type; // GGUF tensor type number
    uint32_t block;     // values per block
    uint32_t bytes;     // bytes per block
    // n is a multiple of block.
    void (*decode)(const void *src, float *dst, int64_t n);
    void (*encode)(const float *src, void *dst, int64_t n);
};

extern const struct encoding *const encoding_registry[];
extern const size_t encoding_registry_count;

// The ones that kernels name.
extern const struct encoding encoding_f32, encoding_f16, encoding_bf16, encoding_q8_0,
    encoding_q4_0;

const struct encoding *encoding_find(const char *name);          // case does not matter; or NULL
const struct encoding *encoding_find_type(uint32_t ggml_type);   // or NULL
int64_t encoding_size(const struct encoding *e, int64_t values); // bytes of a row
// "Q4_K" for 12: for messages about types that this build cannot read; "unknown" beyond the list.
const char *encoding_type_name(uint32_t ggml_type);

// IEEE half and bfloat16, without hardware, exact, round to nearest even.
float half_to_float(uint16_t h);
uint16_t float_to_half(float f);
float bf16_to_float(uint16_t b);
uint16_t float_to_bf16(float f);

// Block layouts, shared with kernels.
struct block_q8_0 {
    uint16_t d; // scale, half
    int8_t q[32];
};
struct block_q4_0 {
    uint16_t d;    // scale, half
    uint8_t q[16]; // value i in the low nibble of q[i], value i + 16 in the high one; minus 8
};
_Static_assert(sizeof(struct block_q8_0) == 34, "GGUF Q8_0 layout");
_Static_assert(sizeof(struct block_q4_0) == 18, "GGUF Q4_0 layout");

#endif
