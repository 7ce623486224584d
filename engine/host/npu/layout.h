// SPDX-License-Identifier: GPL-3.0-or-later
// How weights and graph objects lie in shared memory: what the host packs (pack.c) and the DSP
// reads. Every piece begins at a multiple of a vector, 128 bytes.
//
// Weights are kept in rows of tiles of 32 weight rows by 32 columns (k). A row of F32 tiles is the
// tiles and nothing else, [k][row]. A row of integer tiles is, in this order:
//
//   head      scale and minimum unit of each of the 32 rows, and the table that nibbles mean
//   scales    int16, 1 or 2 per row and tile (`halves`: 2 when they differ per 16 columns)
//   minima    int16, one per row and tile; only where the encoding has them (`minima` = 1)
//   tiles     [k / 4][row][4]: eight vectors of bytes, or four of nibbles
//
// Scales and minima are vectors of [row][2], for two consecutive ones: number 2v in the lower
// halfwords of vector v, 2v + 1 in the upper ones. A byte of a tile is the integer plus 128 (the
// DSP multiplies unsigned by signed bytes, and takes the 128 out again by the sum of the
// activations). The low nibbles of packed vector v are tile vector 2v, the high nibbles 2v + 1.
//
// Number format. The scale of a row's block is scale[row] * 2^9 * s / 2^15 with |s| < 2^15: Q15
// relative to a power of two that is above every scale of the row. A scale that is a half within a
// factor of 16 of the largest is exact; any other is off by at most 2^-16 of that power.
#ifndef ENGINE_HOST_NPU_LAYOUT_H
#define ENGINE_HOST_NPU_LAYOUT_H

#include "engine/host/npu/protocol.h"

enum {
    NPU_TILE = 32,         // rows, columns
    NPU_VECTOR = 128,      // bytes
    NPU_MAX_TOKENS = 4096, // of a graph
    NPU_GROUP = 8,         // tiles whose products are summed in 32 bits
    NPU_FRACTION = 9,      // bits behind the point of such a sum
};

// What arena 0 begins with: the ring and its slots. No tensor may begin there.
#define NPU_RING_BYTES (sizeof(struct npu_ring) + NPU_SLOTS * sizeof(struct npu_message))
NPU_ASSERT(NPU_RING_BYTES % NPU_VECTOR == 0);

struct npu_head {
    float scale[NPU_TILE];     // 2^e / 2^9
    float minimum[NPU_TILE];   // 2^e / 2^15
    uint8_t table[NPU_VECTOR]; // entry n (0..31, n and n + 16 alike) at byte 2n: integer + 128
};
NPU_ASSERT(sizeof(struct npu_head) == 3 * NPU_VECTOR);

static inline uint64_t npu_tiles(int32_t k)
{
    return ((uint64_t)(uint32_t)k + NPU_TILE - 1) / NPU_TILE;
}

static inline uint64_t npu_vectors(uint64_t bytes)
{
    return (bytes + NPU_VECTOR - 1) / NPU_VECTOR * NPU_VECTOR;
}

// The parts of a row of tiles: offsets, and `bytes` of the whole.
struct npu_row {
    uint64_t scales, minima, tiles, bytes;
    uint32_t tile_bytes;
};
static inline struct npu_row npu_row(uint32_t weights, uint32_t halves, uint32_t minima, int32_t k)
{
    const uint64_t n = npu_tiles(k);
    struct npu_row r = {0, 0, 0, 0, NPU_TILE * NPU_TILE * 4};
    if (weights != NPU_W_F32) {
        r.tile_bytes = NPU_TILE * NPU_TILE / (weights == NPU_W_I4 ? 2 : 1);
        r.scales = sizeof(struct npu_head);
        r.minima = r.scales + (n * halves + 1) / 2 * NPU_VECTOR;
        r.tiles = r.minima + (minima ? (n + 1) / 2 * NPU_VECTOR : 0);
    }
    r.bytes = r.tiles + n * r.tile_bytes;
    return r;
}

// A graph object: this header, then its scratch. The schedule is one of blocks of tokens: all of
// them (weight-stationary), or 32 at a time (weight-streamed), every row of tiles once per block.
enum { NPU_GRAPH_MAGIC = 0x48505247 };
enum npu_form { NPU_FORM_F32 = 1, NPU_FORM_I8 = 2 }; // bit mask: how activations are kept
struct npu_graph {
    uint32_t magic, forms;
    int32_t m0, m1, k, n_pad;
    uint32_t order;
    int32_t block;  // tokens at a time
    int32_t blocks; // times
    uint32_t pad[23];
};
NPU_ASSERT(sizeof(struct npu_graph) == NPU_VECTOR);

// 32 activations of one token as integers, and what the kernel needs of them beside.
struct npu_block {
    int8_t q[NPU_TILE];
    int32_t scale;    // Q15 relative to the token's unit, in the upper halfword
    int32_t start[2]; // -128 * sum of q[0..15], of q[16..31]
    int32_t sum;      // sum of q times scale, in units of 2^-15: what a minimum multiplies
};
NPU_ASSERT(sizeof(struct npu_block) == 48);

struct npu_scratch {
    uint64_t values; // F32: [block][k rounded up to tiles]
    uint64_t blocks; // I8: struct npu_block [block][tiles]
    uint64_t units;  // I8: float [block]: the power of two that scales are relative to
    uint64_t sums;   // I8: int32 [block][4][32]; F32: float [block][32]
    uint64_t group;  // I8: NPU_GROUP tiles of bytes, unpacked from nibbles
    uint64_t bytes;  // of the whole object
};
static inline int32_t npu_graph_block(uint32_t order, int32_t n_pad)
{
    return order == 1 || n_pad < NPU_TILE ? n_pad : NPU_TILE; // 1: ORDER_WEIGHT_STATIONARY
}
static inline struct npu_scratch npu_scratch(uint32_t forms, uint32_t order, int32_t k,
                                             int32_t n_pad)
{
    const uint64_t n = (uint64_t)npu_graph_block(order, n_pad), tiles = npu_tiles(k);
    struct npu_scratch s;
    s.values = sizeof(struct npu_graph);
    s.blocks = s.values + (forms & NPU_FORM_F32 ? n * tiles * NPU_TILE * 4 : 0);
    s.units = s.blocks + (forms & NPU_FORM_I8 ? npu_vectors(n * tiles * 48) : 0);
    s.sums = s.units + npu_vectors(n * 4);
    s.group = s.sums + n * 4 * NPU_VECTOR;
    s.bytes = s.group + NPU_GROUP * NPU_TILE * NPU_TILE;
    return s;
}

// The forms that a matmul by these classes of weights needs; 0: not known, so both.
static inline uint32_t npu_forms(const uint32_t weights[2], int32_t n_parts)
{
    uint32_t forms = 0;
    for (int32_t i = 0; i < n_parts && i < 2; i++)
        forms |= weights[i] == NPU_W_F32 ? NPU_FORM_F32 : NPU_FORM_I8;
    return forms ? forms : NPU_FORM_F32 | NPU_FORM_I8;
}

// Bytes of a graph object: what the tensor `graph` of PREPARE and MATMUL must have.
static inline uint64_t npu_graph_bytes(uint32_t forms, uint32_t order, int32_t k, int32_t n_pad)
{
    return npu_scratch(forms, order, k, n_pad).bytes;
}

#endif
