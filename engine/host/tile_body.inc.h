// SPDX-License-Identifier: GPL-3.0-or-later
// The F32 tile kernel, included by the files that define a vector type: vf with V_W lanes, v_fma,
// INLINE. Two tokens at a time: 64 sums, of which each vector of weights serves two. Alone it is
// empty.
#ifdef V_W

#include <string.h>

INLINE vf v_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void v_add_to(float *p, vf v)
{
    v += v_load(p);
    memcpy(p, &v, sizeof v);
}

// Four vectors of rows from `r` on, for tokens x and y.
INLINE void stripe2(const struct tile_f32 *w, int r, const float *x, const float *y, float *acc)
{
    vf a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0}, b0 = {0}, b1 = {0}, b2 = {0}, b3 = {0};
    for (int k = 0; k < TILE; k++) {
        const float *p = &w->w[k][r];
        vf u = (vf){0} + x[k], v = (vf){0} + y[k], s;
        s = v_load(p), a0 = v_fma(s, u, a0), b0 = v_fma(s, v, b0);
        s = v_load(p + V_W), a1 = v_fma(s, u, a1), b1 = v_fma(s, v, b1);
        s = v_load(p + 2 * V_W), a2 = v_fma(s, u, a2), b2 = v_fma(s, v, b2);
        s = v_load(p + 3 * V_W), a3 = v_fma(s, u, a3), b3 = v_fma(s, v, b3);
    }
    acc += r;
    v_add_to(acc, a0), v_add_to(acc + V_W, a1);
    v_add_to(acc + 2 * V_W, a2), v_add_to(acc + 3 * V_W, a3);
    acc += TILE;
    v_add_to(acc, b0), v_add_to(acc + V_W, b1);
    v_add_to(acc + 2 * V_W, b2), v_add_to(acc + 3 * V_W, b3);
}

INLINE void stripe1(const struct tile_f32 *w, int r, const float *x, float *acc)
{
    vf a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0};
    for (int k = 0; k < TILE; k++) {
        const float *p = &w->w[k][r];
        vf u = (vf){0} + x[k];
        a0 = v_fma(v_load(p), u, a0), a1 = v_fma(v_load(p + V_W), u, a1);
        a2 = v_fma(v_load(p + 2 * V_W), u, a2), a3 = v_fma(v_load(p + 3 * V_W), u, a3);
    }
    acc += r;
    v_add_to(acc, a0), v_add_to(acc + V_W, a1);
    v_add_to(acc + 2 * V_W, a2), v_add_to(acc + 3 * V_W, a3);
}

static void run_f32(const struct tile_f32 *w, const float *x, int tokens, float *acc)
{
    int t = 0;
    for (; t + 2 <= tokens; t += 2)
        for (int r = 0; r < TILE; r += 4 * V_W)
            stripe2(w, r, x + t * TILE, x + (t + 1) * TILE, acc + t * TILE);
    if (t < tokens)
        for (int r = 0; r < TILE; r += 4 * V_W)
            stripe1(w, r, x + t * TILE, acc + t * TILE);
}

#endif
