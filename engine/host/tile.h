// SPDX-License-Identifier: GPL-3.0-or-later
// Inside the tile NPU: its arithmetic (one table of kernels per instruction set), its weight store,
// its static graphs.
//
// Everything happens in tiles of 32 weight rows by 32 columns (k). A row of tiles is kept in one
// piece, tile after tile along k: F32 tiles are [k][row], so that one activation multiplies 32 rows
// at once; integer tiles are [k / 4][row][4], the order in which AMX and the dot-product
// instructions of AVX-512 and ARM take the operand, with one F32 scale per row. There are two kinds
// of them: of bytes, and of nibbles for encodings whose integers have 4 bits, which halves the
// bytes that come from memory and tells the kernels that sums stay small.
//
// Any block encoding becomes integer tiles without loss (its integers and scales, see struct
// chunk). Two things that an integer tile has no place for are kept beside: scales per 16 columns
// (Q6_K) make two tiles of 32 columns, each with the other's half zero; minima (Q4_K) are a matrix
// of their own, [rows][k / 32] in F32 tiles, which multiplies the sums of the activations' blocks.
#ifndef ENGINE_HOST_TILE_H
#define ENGINE_HOST_TILE_H

#include <stdbool.h>
#include "engine/device.h"
#include "engine/host/shapes.h"

enum { TILE = 32 };

struct tile_f32 {
    float w[TILE][TILE]; // [k][row]
};
struct tile_i8 {
    int8_t q[TILE / 4][TILE][4]; // value (row, k) at q[k / 4][row][k % 4]
    float scale[TILE];           // per row
};
struct tile_i4 {
    // Value (row, k) plus a bias that all tiles of a tensor share: for k < 16 the low nibble of
    // q[k / 4][row][k % 4], above the high nibble of q[k / 4 - 4][row][k % 4].
    uint8_t q[TILE / 8][TILE][4];
    float scale[TILE]; // per row
};
_Static_assert(sizeof(struct tile_i8) % 64 == 0 && sizeof(struct tile_i4) % 64 == 0,
               "tiles keep their alignment in a row");

// One row of tiles against some tokens: acc[t][row] += x[t] . w[row]. Activations are in tile order
// too, the 32 values of a tile's columns, token after token. Those of the integer kernels are
// bytes, 128 + q with |q| <= 127, and have a scale per token and tile.
struct tile_run {
    const void *w;      // tiles of the kernel's kind, 64-byte aligned, one behind the other along k
    int tiles, halves;  // tile i holds columns of TILE * (i / halves) to TILE * (i / halves + 1)
    int bias;           // of nibbles
    const void *x;      // [tiles / halves][step][TILE]
    const float *scale; // [tiles / halves][step]; NULL for floats
    int step;           // tokens from one tile of x to the next
    int tokens;         // of them, how many to compute
    float *acc;         // [tokens][TILE], 64-byte aligned
};
// The integer kernels of all instruction sets give the same bits: the sum of 32 products is exact,
// then acc = fma(sum, scale of the row * scale of the token, acc), in the order of the tiles.
typedef void tile_fn(const struct tile_run *r);
struct tile_kernels {
    const char *name;
    tile_fn *f32, *i8, *i4;
};

enum tile_isa {
    TILE_AUTO,
    TILE_GENERIC,
    TILE_AVX2,
    TILE_AVX512,
    TILE_AMX,
    TILE_NEON,
    TILE_I8MM,
    TILE_ISAS
};
#define TILE_ISA_CHOICES "auto|generic|avx2|avx512|amx|neon|i8mm"

extern const struct tile_kernels tile_generic;
// NULL where the build has none.
extern const struct tile_kernels *const tile_avx2, *const tile_avx512, *const tile_amx;
extern const struct tile_kernels *const tile_neon, *const tile_i8mm;

// As kernels_select: checked against the generic table, replaced on a mismatch.
int tile_select(enum tile_isa isa, struct tile_kernels *out, struct err *e);
int tile_self_check(struct tile_kernels *k);

// The weight store: tensors by id, each a table of packed rows of tiles.
struct packed {
    const void *data; // whose copy this is
    const struct encoding *enc;
    int64_t rows, cols;
    enum tile_kind { TILES_F32, TILES_I8, TILES_I4 } kind;
    int bias; // of nibbles
    int k_tiles;
    int halves;    // integer tiles per tile of columns: 1 or 2
    int min_tiles; // F32 tiles of minima, behind the integer tiles; 0: none
    struct packed_row {
        void *tiles;          // k_tiles * halves of the kind's struct; NULL: not loaded
        uint64_t fingerprint; // of the source rows
    } * row;                  // [ceil(rows / TILE)]
};
// Bytes from the start of a row of tiles to its minima.
int64_t packed_minima(const struct packed *p);

struct store;
struct store *store_create(bool exact, int64_t *resident, int64_t limit); // NULL: no memory
void store_destroy(struct store *s);
// Packs rows [m0, m1) of a tensor; rows that are packed already are compared with their source (by
// samples) and packed again when they changed. Nobody may be using them.
int store_load(struct store *s, const struct tensor *w, int64_t m0, int64_t m1, struct err *e);
bool store_has(struct store *s, const struct tensor *w, int64_t m0, int64_t m1);
const struct packed *store_get(struct store *s, const struct tensor *w); // loaded before

// A static graph with its memory.
struct tile_graph {
    struct graph_key key;
    int block;    // tokens that stay in the arrays at a time: all (weight-stationary) or one tile
    void *x;      // activations in tile order: [k / TILE][block][TILE], F32 or bytes
    float *scale; // of int8 activations: [k / TILE][block]
    float *sums;  // of the blocks of int8 activations, in tile order: [k / TILE^2][block][TILE]
    char *row;    // one quantised row
    float *acc;   // [block][TILE]
    int64_t bytes;
};
struct tile_graph *tile_graph_create(const struct static_graph *g, struct err *e);
void tile_graph_destroy(struct tile_graph *g);
int64_t tile_graph_bytes(const struct static_graph *g);

struct cpu_kernels;
// Runs a matmul on its graph; all tokens of the graph are computed, padding included.
void tile_matmul(const struct tile_kernels *k, const struct cpu_kernels *vector, struct store *s,
                 const struct tile_graph *g, const struct task *t);

#endif
