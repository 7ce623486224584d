// SPDX-License-Identifier: GPL-3.0-or-later
// Inside the matmul: graph objects (graph.c) and the products of tiles (products.c).
#ifndef ENGINE_HOST_NPU_DSP_PRODUCTS_H
#define ENGINE_HOST_NPU_DSP_PRODUCTS_H

#include "engine/host/npu/dsp/dsp.h"

// A row of tiles against the tokens of a block.
struct npu_product {
    const uint8_t *tiles; // the row: head, scales, minima, tiles
    struct npu_row row;
    uint32_t weights, halves, minima;
    int32_t tiles_k, tokens;
    uint8_t *graph; // the object's memory
    struct npu_scratch at;
};

// One token's values as blocks of 32 integers; its unit (see struct npu_block) is the result.
// Rounding is the CPU kernels': scale = largest / 127, integers to the nearest, ties to even. A
// block with a value that is infinite or not a number counts as zeros.
float npu_quantise(const float *x, int32_t tiles, struct npu_block *out);

// Fills the sums of the scratch, for every token of the block and every row of the tiles.
void npu_products(const struct npu_product *p);
// What they come to: rows [a, b) of the tile for one token.
void npu_results(const struct npu_product *p, int32_t token, int a, int b, float *out);

#endif
