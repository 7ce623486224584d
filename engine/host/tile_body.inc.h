// SPDX-License-Identifier: GPL-3.0-or-later
// What the tile kernels share, included by the files that define a vector type: vf with V_W lanes,
// v_fma, INLINE. Alone it is empty.
//
// The F32 kernel takes two tokens at a time: 64 sums, of which each vector of weights serves two.
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

// for each tile of a run: `tile`, and `at`, the first of its tokens in x and scale.
#define FOR_TILES(r, type)                                                                         \
    for (int64_t i = 0, at = 0; i < (r)->tiles; at = ++i / (r)->halves * (r)->step)                \
        for (const type *tile = (const type *)(r)->w + i, *end = tile + 1; tile < end; tile++)

static void run_f32(const struct tile_run *r)
{
    FOR_TILES(r, struct tile_f32)
    {
        const float *x = (const float *)r->x + at * TILE;
        int t = 0;
        for (; t + 2 <= r->tokens; t += 2)
            for (int m = 0; m < TILE; m += 4 * V_W)
                stripe2(tile, m, x + t * TILE, x + (t + 1) * TILE, r->acc + t * TILE);
        for (int m = 0; t < r->tokens && m < TILE; m += 4 * V_W)
            stripe1(tile, m, x + t * TILE, r->acc + t * TILE);
    }
}

INLINE void bytes_of(const struct tile_i4 *tile, int bias, struct tile_i8 *out)
{
    const uint8_t *q = tile->q[0][0];
    int8_t *to = out->q[0][0];
    memcpy(out->scale, tile->scale, sizeof out->scale);
    for (int i = 0; i < TILE * TILE / 2; i++) {
        to[i] = (int8_t)((q[i] & 15) - bias);
        to[i + TILE * TILE / 2] = (int8_t)((q[i] >> 4) - bias);
    }
}

#endif
