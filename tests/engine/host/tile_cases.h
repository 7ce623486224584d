// SPDX-License-Identifier: GPL-3.0-or-later
// What the tests of tile kernels that this machine may not execute share: a table against the
// generic one, for many numbers of tokens, tiles with halves, both biases. Integer kernels to the
// bit.
#ifndef TESTS_ENGINE_HOST_TILE_CASES_H
#define TESTS_ENGINE_HOST_TILE_CASES_H

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/host/tile.h"
#include "tests/harness.h"

enum { CASE_TILES = 6, CASE_STEP = 70, CASE_GUARD = 7 };

struct tile_case {
    _Alignas(64) char w[CASE_TILES * sizeof(struct tile_f32)];
    _Alignas(64) float xf[CASE_TILES * CASE_STEP * TILE];
    _Alignas(64) uint8_t xq[CASE_TILES * CASE_STEP * TILE];
    _Alignas(64) float want[(CASE_STEP + CASE_GUARD) * TILE], got[(CASE_STEP + CASE_GUARD) * TILE];
    float scale[CASE_TILES * CASE_STEP];
    uint32_t seed;
};

static inline float case_noise(struct tile_case *c)
{
    c->seed = c->seed * 1664525u + 1013904223u;
    return (float)(c->seed >> 8) * 0x1p-24f * 2 - 1;
}

// Every kind of number that a table must multiply alike: `bits` of the mantissa of F32 weights.
static inline void case_fill(struct tile_case *c, int kind, int bits)
{
    for (int i = 0; i < CASE_TILES; i++)
        for (int k = 0; k < TILE; k++)
            for (int r = 0; r < TILE; r++) {
                float v = case_noise(c);
                struct tile_i8 *eight = (struct tile_i8 *)(void *)c->w + i;
                struct tile_i4 *four = (struct tile_i4 *)(void *)c->w + i;
                if (kind == TILES_F32)
                    ((struct tile_f32 *)(void *)c->w)[i].w[k][r] =
                        ldexpf(truncf(ldexpf(v, bits)), -bits);
                else if (kind == TILES_I8)
                    eight->q[k / 4][r][k % 4] = (int8_t)(r > 1 ? v * 128 : r ? 127 : -128);
                else if (k < TILE / 2)
                    four->q[k / 4][r][k % 4] = (uint8_t)(r > 1 ? 128 + v * 128 : r ? 255 : 0);
                *(kind == TILES_I4 ? &four->scale[r] : &eight->scale[r]) =
                    kind == TILES_F32 ? eight->scale[r] : v;
            }
    for (int i = 0; i < CASE_TILES * CASE_STEP; i++) {
        c->scale[i] = case_noise(c) * 0.01f;
        for (int k = 0; k < TILE; k++) {
            float v = case_noise(c);
            c->xf[i * TILE + k] = v;
            c->xq[i * TILE + k] = (uint8_t)(i % 5 ? 128 + v * 127 : i % 2 ? 255 : 1);
        }
    }
}

static inline bool case_run(struct tile_case *c, int kind, tile_fn *good, tile_fn *fast, int tokens,
                            int halves, int bias)
{
    for (int i = 0; i < (CASE_STEP + CASE_GUARD) * TILE; i++)
        c->want[i] = c->got[i] = case_noise(c);
    struct tile_run r = {.w = c->w,
                         .tiles = CASE_TILES,
                         .halves = halves,
                         .bias = bias,
                         .x = kind == TILES_F32 ? (const void *)c->xf : c->xq,
                         .scale = kind == TILES_F32 ? NULL : c->scale,
                         .step = CASE_STEP,
                         .tokens = tokens,
                         .acc = c->want};
    good(&r);
    r.acc = c->got;
    fast(&r);
    if (kind != TILES_F32)
        return !memcmp(c->got, c->want, sizeof c->got); // what lies behind included
    for (int i = 0; i < (CASE_STEP + CASE_GUARD) * TILE; i++)
        if (!(fabsf(c->got[i] - c->want[i]) <=
              (i < tokens * TILE ? 2e-5f + 1e-6f * fabsf(c->want[i]) : 0)))
            return false;
    return true;
}

static inline void check_tile_table(const struct tile_kernels *k)
{
    static const int tokens[] = {1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 47, 48, 50, 64, 70};
    static const int bits[] = {7, 10, 14, 23};
    struct tile_case *c = calloc(1, sizeof *c + 64);
    struct tile_case *at = (struct tile_case *)(void *)(((uintptr_t)c + 63) / 64 * 64);
    at->seed = 3;
    for (int kind = TILES_F32; kind <= TILES_I4; kind++)
        for (int i = 0; i < 64; i++) {
            int n = tokens[i / 4], halves = 1 + i % 2, bias = i / 2 % 2 * 8;
            tile_fn *good = kind == TILES_F32  ? tile_generic.f32
                            : kind == TILES_I8 ? tile_generic.i8
                                               : tile_generic.i4;
            tile_fn *fast = kind == TILES_F32 ? k->f32 : kind == TILES_I8 ? k->i8 : k->i4;
            case_fill(at, kind, bits[i % 4]);
            if (!CHECK(case_run(at, kind, good, fast, n, halves, bias)))
                test_note("%s: kind %d, %d tokens, %d halves, bias %d", k->name, kind, n, halves,
                          bias);
        }
    free(c);
}

#endif
