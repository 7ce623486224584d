// SPDX-License-Identifier: GPL-3.0-or-later
// Weight encodings: how a row of numbers is stored. One encoding = one file in engine/encoding/
// that exports one `const struct encoding encoding_NAME`; the registry is generated.
//
// A row of K values is K / block blocks of `bytes` bytes each; K is a multiple of `block`.
// The functions here are the slow, obvious reference; devices have fast kernels of their own for
// the encodings they like and fall back to `decode` for the rest.
#ifndef ENGINE_ENCODING_H
#define ENGINE_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// 32 consecutive values of a block encoding as integers: value i = scale[i / 16] * q[i] + min, in
// float, each operation rounded. This is exact: devices that multiply integers repack from here.
enum { CHUNK_VALUES = 32 };
struct chunk {
    int8_t q[CHUNK_VALUES];
    float scale[2];
    float min; // -0.0 in encodings without minima: adding it changes nothing
};

struct encoding {
    const char *name; // "Q8_0", as GGUF tools print it
    const char *doc;
    uint32_t ggml_type; // GGUF tensor type number
    uint32_t block;     // values per block
    uint32_t bytes;     // bytes per block
    bool halves;        // the two scales of a chunk differ
    bool minima;        // chunks have a minimum
    int8_t low, high;   // the range of a chunk's integers
    // n is a multiple of block.
    void (*decode)(const void *src, float *dst, int64_t n);
    void (*encode)(const float *src, void *dst, int64_t n);
    // Chunk i of a row, counted from the row's start; NULL: a floating-point encoding.
    void (*unpack)(const void *row, int64_t i, struct chunk *out);
};

extern const struct encoding *const encoding_registry[];
extern const size_t encoding_registry_count;

// The ones that kernels name.
extern const struct encoding encoding_f32, encoding_f16, encoding_bf16, encoding_q8_0,
    encoding_q4_0, encoding_q4_1, encoding_q5_0, encoding_iq4_nl, encoding_q4_k, encoding_q5_k,
    encoding_q6_k;

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

// Block layouts, shared with kernels. Scales and minima are halves. Blocks of 32: value i is in the
// low nibble of q[i], value i + 16 in the high nibble.
struct block_q8_0 {
    uint16_t d;
    int8_t q[32]; // value = d * q
};
struct block_q4_0 {
    uint16_t d;
    uint8_t q[16]; // value = d * (q - 8)
};
struct block_q4_1 {
    uint16_t d, m;
    uint8_t q[16]; // value = d * q + m
};
struct block_q5_0 {
    uint16_t d;
    uint8_t high[4]; // bit 4 of value i is bit i, the first byte has values 0 to 7
    uint8_t q[16];   // value = d * (q - 16)
};
struct block_iq4_nl {
    uint16_t d;
    uint8_t q[16]; // value = d * iq4_nl_values[q]
};
extern const int8_t iq4_nl_values[16];

// Blocks of 256. Q4_K and Q5_K: 8 chunks of 32 with scales and minima of 6 bits, packed into 12
// bytes (see engine/encoding/util.c); chunks 2j and 2j + 1 are the low and the high nibbles of
// q[32 j .. 32 j + 32). value = d * scale * q - dmin * minimum.
struct block_q4_k {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t q[128];
};
struct block_q5_k {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t high[32]; // bit 4 of value i of chunk c is bit c of high[i]
    uint8_t q[128];
};
// Q6_K: two halves of 128 values, each of four chunks of 32. Chunk h of half n has its low 4 bits
// in q[64 n + 32 (h % 2) ..], low nibbles for h < 2, and its upper 2 in bits 2h, 2h + 1 of
// high[32 n ..]. value = d * scale[i / 16] * (q - 32).
struct block_q6_k {
    uint8_t q[128];
    uint8_t high[64];
    int8_t scales[16];
    uint16_t d;
};
_Static_assert(sizeof(struct block_q8_0) == 34, "GGUF Q8_0 layout");
_Static_assert(sizeof(struct block_q4_0) == 18, "GGUF Q4_0 layout");
_Static_assert(sizeof(struct block_q4_1) == 20, "GGUF Q4_1 layout");
_Static_assert(sizeof(struct block_q5_0) == 22, "GGUF Q5_0 layout");
_Static_assert(sizeof(struct block_iq4_nl) == 18, "GGUF IQ4_NL layout");
_Static_assert(sizeof(struct block_q4_k) == 144, "GGUF Q4_K layout");
_Static_assert(sizeof(struct block_q5_k) == 176, "GGUF Q5_K layout");
_Static_assert(sizeof(struct block_q6_k) == 210, "GGUF Q6_K layout");

#endif
