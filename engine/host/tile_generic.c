// SPDX-License-Identifier: GPL-3.0-or-later
// The generic tile kernels: vectors of 4 floats and plain integer loops. They exist always, and the
// others are checked against them.
#include "engine/host/tile.h"

#define INLINE static inline __attribute__((always_inline))
#define V_W    4

typedef float vf __attribute__((vector_size(16)));

INLINE vf v_fma(vf a, vf b, vf c)
{
    return a * b + c;
}

#include "engine/host/tile_body.inc.h"

static void run_i8(const struct tile_i8 *w, const int8_t *x, const float *scale, int64_t pitch,
                   int tokens, float *acc)
{
    for (int t = 0; t < tokens; t++, acc += TILE) {
        int32_t sum[TILE] = {0};
        for (int k = 0; k < TILE; k++)
            for (int r = 0; r < TILE; r++)
                sum[r] += w->q[k / 4][r][k % 4] * x[k];
        for (int r = 0; r < TILE; r++)
            acc[r] += (float)sum[r] * (w->scale[r] * *scale);
        x += pitch;
        scale = (const float *)(const void *)((const char *)scale + pitch);
    }
}

const struct tile_kernels tile_generic = {"generic", run_f32, run_i8};
