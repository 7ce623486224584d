// SPDX-License-Identifier: GPL-3.0-or-later
// Inside the tile NPU: its arithmetic (one table of kernels per instruction set), its weight store,
// its static graphs.
//
// Everything happens in tiles of 32 weight rows by 32 columns (k). A row of tiles is kept in one
// piece, tile after tile along k: F32 tiles are [k][row], so that one activation multiplies 32 rows
// at once; int8 tiles are [k / 4][row][4], the order in which AMX and the dot-product instructions
// of AVX-512 and ARM take the operand, with one F32 scale per row.
//
// Any block encoding becomes int8 tiles without loss (its integers and scales, see struct chunk).
// Two things that an int8 tile has no place for are kept beside: scales per 16 columns (Q6_K) make
// two tiles of 32 columns, each with the other's half zero; minima (Q4_K) are a matrix of their
// own, [rows][k / 32] in F32 tiles, which multiplies the sums of the activations' blocks.
#ifndef ENGINE_HOST_TILE_H
#define ENGINE_HOST_TILE_H

#include <stdbool.h>
#include "engine/device.h"

enum { TILE = 32 };

struct tile_f32 {
    float w[TILE][TILE]; // [k][row]
};
struct tile_i8 {
    int8_t q[TILE / 4][TILE][4]; // value (row, k) at q[k / 4][row][k % 4]
    float scale[TILE];           // per row
};
_Static_assert(sizeof(struct tile_i8) % 64 == 0, "tiles keep their alignment in a row");

// acc[t][row] += x[t] . w[row] over one tile, for t in [0, tokens). Activations are in tile order
// too: the 32 values of a tile's columns, token after token; acc is [tokens][TILE].
struct tile_kernels {
    const char *name;
    void (*f32)(const struct tile_f32 *w, const float *x, int tokens, float *acc);
    // scale: one per token.
    void (*i8)(const struct tile_i8 *w, const int8_t *x, const float *scale, int tokens,
               float *acc);
};

enum tile_isa {
    TILE_AUTO,
    TILE_GENERIC,
    TILE_AVX2,
    TILE_AVX512,
    TILE_AMX,
    TILE_NEON,
};
#define TILE_ISA_CHOICES "auto|generic|avx2|avx512|amx|neon"

extern const struct tile_kernels tile_generic;
// NULL where the build has none.
extern const struct tile_kernels *const tile_avx2, *const tile_avx512, *const tile_amx,
                                                                           *const tile_neon;

// As kernels_select: checked against the generic table, replaced on a mismatch.
int tile_select(enum tile_isa isa, struct tile_kernels *out, struct err *e);
int tile_self_check(struct tile_kernels *k);

// The weight store: tensors by id, each a table of packed rows of tiles.
struct packed {
    const void *data; // whose copy this is
    const struct encoding *enc;
    int64_t rows, cols;
    bool int8;
    int k_tiles;
    int halves;    // int8 tiles per tile of columns: 1 or 2
    int min_tiles; // F32 tiles of minima, behind the int8 tiles; 0: none
    struct packed_row {
        void *tiles;          // k_tiles of struct tile_f32 or tile_i8; NULL: not loaded
        uint64_t fingerprint; // of the source rows
    } * row;                  // [ceil(rows / TILE)]
};

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
    char name[24]; // of the operator
    int m, k, m0, m1, n;
    enum operand_order order;
    int block;    // tokens that stay in the arrays at a time: all (weight-stationary) or one tile
    void *x;      // activations in tile order: [k / TILE][block][TILE], F32 or int8
    float *scale; // of int8 activations: [k / TILE][block]
    float *sums;  // of the blocks of int8 activations, in tile order: [k / TILE^2][block][TILE]
    char *row;    // one quantised row
    float *acc;   // [block][TILE]
    int64_t bytes;
};
struct tile_graph *tile_graph_create(const struct static_graph *g, struct err *e);
void tile_graph_destroy(struct tile_graph *g);
int64_t tile_graph_bytes(const struct static_graph *g);
bool tile_graph_is(const struct tile_graph *g, const struct static_graph *s);

struct cpu_kernels;
// Runs a matmul on its graph; all tokens of the graph are computed, padding included.
void tile_matmul(const struct tile_kernels *k, const struct cpu_kernels *vector, struct store *s,
                 const struct tile_graph *g, const struct task *t);

#endif
