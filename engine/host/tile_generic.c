// SPDX-License-Identifier: GPL-3.0-or-later
// The generic tile kernels: vectors of 4 floats. They exist always, and the others are checked
// against them.
#include "engine/host/tile.h"

#include <math.h>

#define INLINE static inline __attribute__((always_inline))
#define V_W    4

typedef float vf __attribute__((vector_size(16)));

INLINE vf v_fma(vf a, vf b, vf c)
{
    return a * b + c;
}

#include "engine/host/tile_body.inc.h"

// Integers as floats: the products of a tile sum up to less than 2^20, so F32 holds them exactly,
// and a machine without integer products of bytes does not need any.
static void tile_by_tokens(const struct tile_i8 *tile, const uint8_t *x, const float *scale,
                           int tokens, float *acc)
{
    _Alignas(64) struct tile_f32 whole;
    for (int k = 0; k < TILE; k++)
        for (int r = 0; r < TILE; r++)
            whole.w[k][r] = tile->q[k / 4][r][k % 4];
    for (int t = 0; t < tokens; t++, x += TILE, acc += TILE) {
        float sum[TILE] = {0}, value[TILE];
        for (int k = 0; k < TILE; k++)
            value[k] = (float)(x[k] - 128);
        for (int m = 0; m < TILE; m += 4 * V_W)
            stripe1(&whole, m, value, sum);
        for (int r = 0; r < TILE; r++)
            acc[r] = fmaf(sum[r], tile->scale[r] * scale[t], acc[r]);
    }
}

static void run_i8(const struct tile_run *r)
{
    FOR_TILES(r, struct tile_i8)
    tile_by_tokens(tile, (const uint8_t *)r->x + at * TILE, r->scale + at, r->tokens, r->acc);
}

static void run_i4(const struct tile_run *r)
{
    struct tile_i8 whole;
    FOR_TILES(r, struct tile_i4)
    {
        bytes_of(tile, r->bias, &whole);
        tile_by_tokens(&whole, (const uint8_t *)r->x + at * TILE, r->scale + at, r->tokens, r->acc);
    }
}

const struct tile_kernels tile_generic = {"generic", run_f32, run_i8, run_i4};
