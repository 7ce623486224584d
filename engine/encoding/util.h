// SPDX-License-Identifier: GPL-3.0-or-later
// What encodings share: decoding by chunks, numbers that a block can hold, and the search for a
// scale.
#ifndef ENGINE_ENCODING_UTIL_H
#define ENGINE_ENCODING_UTIL_H

#include "engine/encoding.h"

// n values of a row (a multiple of 32) by its encoding's unpack.
void chunks_decode(void (*unpack)(const void *row, int64_t i, struct chunk *out), const void *row,
                   float *dst, int64_t n);

// v within [-65504, 65504], the range of a half; 0 for NaN: a block stays finite whatever goes in.
float block_number(float v);
// v rounded to the nearest integer, halves up, within [low, high]; 0 or the nearest bound for NaN.
int block_round(float v, int low, int high);

// The scale for which scale * q, q in [-levels, levels - 1], is nearest to the n values of x in the
// least-squares sense, among some twenty around "the largest magnitude is -levels"; it has the sign
// that this needs. 0 when all are 0.
float block_fit_scale(const float *x, int n, int levels);
// The same for scale * q - min, q in [0, levels - 1], scale and min not negative.
void block_fit_range(const float *x, int n, int levels, float *scale, float *min);

// Scales and minima of Q4_K and Q5_K: 8 of each, 6 bits, in 12 bytes.
enum { K_BLOCK = 256, K_CHUNKS = 8 };
void k_scales_pack(const uint8_t scale[K_CHUNKS], const uint8_t min[K_CHUNKS], uint8_t out[12]);
void k_scale_unpack(const uint8_t packed[12], int i, unsigned *scale, unsigned *min);
// Encodes 256 values to `levels` steps per chunk: halves, packed scales, and q of every value.
void k_encode(const float *x, int levels, uint16_t *d, uint16_t *dmin, uint8_t scales[12],
              uint8_t q[K_BLOCK]);

#endif
