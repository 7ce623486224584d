// SPDX-License-Identifier: GPL-3.0-or-later
// Tiles on ARM64 with the int8 matrix multiplication: smmla multiplies two rows of 8 by two columns
// of 8, twice the products of sdot. Its operand is 8 consecutive columns of a row pair, which zips
// make of the packed [k / 4][row][4]; once per tile, for all tokens. 8 rows by 8 tokens are sixteen
// accumulators of 2 x 2. Floats are NEON's.
#include <stddef.h>
#include "engine/host/tile.h"

#if defined __aarch64__ && defined __ARM_FEATURE_MATMUL_INT8

#include <arm_neon.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { GROUPS = TILE / 8, PAIRS = TILE / 2 };

// A tile's weights, [k / 8][row pair] of 2 x 8.
struct zipped {
    int8x16_t w[GROUPS][PAIRS];
};

INLINE void zip(int8x16_t a, int8x16_t b, int8x16_t *out) // four rows, columns 0 to 3 and 4 to 7
{
    int32x4_t u = vreinterpretq_s32_s8(a), v = vreinterpretq_s32_s8(b);
    out[0] = vreinterpretq_s8_s32(vzip1q_s32(u, v));
    out[1] = vreinterpretq_s8_s32(vzip2q_s32(u, v));
}

INLINE void scale_add(int32x4_t sum, float32x4_t w_scale, float x_scale, float *acc)
{
    float32x4_t scale = vmulq_n_f32(w_scale, x_scale);
    vst1q_f32(acc, vfmaq_f32(vld1q_f32(acc), vcvtq_f32_s32(sum), scale));
}

// Two row pairs (rows r to r + 3), two tokens; a, b: [row][token] of either pair.
INLINE void finish(int32x4_t a, int32x4_t b, float32x4_t w_scale, const float *x_scale, int tokens,
                   float *acc)
{
    scale_add(vuzp1q_s32(a, b), w_scale, x_scale[0], acc);
    if (tokens > 1)
        scale_add(vuzp2q_s32(a, b), w_scale, x_scale[1], acc + TILE);
}

// Up to 8 tokens: x[k / 8][token pair].
INLINE void eight_tokens(const struct zipped *z, const float *w_scale, const int8x16_t x[GROUPS][4],
                         const float *scale, int tokens, float *acc)
{
    for (int p = 0; p < PAIRS; p += 4) {
        int32x4_t s[4][4]; // [row pair][token pair]
        memset(s, 0, sizeof s);
#pragma GCC unroll 4
        for (int k = 0; k < GROUPS; k++) {
            const int8x16_t *w = &z->w[k][p], *v = x[k];
#define ROWS(i)                                                                                    \
    s[i][0] = vmmlaq_s32(s[i][0], w[i], v[0]), s[i][1] = vmmlaq_s32(s[i][1], w[i], v[1]),          \
    s[i][2] = vmmlaq_s32(s[i][2], w[i], v[2]), s[i][3] = vmmlaq_s32(s[i][3], w[i], v[3])
            ROWS(0), ROWS(1), ROWS(2), ROWS(3);
#undef ROWS
        }
        float32x4_t low = vld1q_f32(w_scale + 2 * p), high = vld1q_f32(w_scale + 2 * p + 4);
#pragma GCC unroll 4
        for (int t = 0; t < 4; t++) {
            if (2 * t >= tokens)
                break;
            float *out = acc + 2 * t * TILE + 2 * p;
            finish(s[0][t], s[1][t], low, scale + 2 * t, tokens - 2 * t, out);
            finish(s[2][t], s[3][t], high, scale + 2 * t, tokens - 2 * t, out + 4);
        }
    }
}

// Token t and the next one; behind the last one: itself again, not used.
INLINE int8x16_t token_pair(const uint8_t *x, int t, int tokens, int k)
{
    const uint8_t *a = x + (t < tokens ? t : 0) * TILE, *b = t + 1 < tokens ? a + TILE : a;
    uint8x16_t v = vcombine_u8(vld1_u8(a + 8 * k), vld1_u8(b + 8 * k));
    return vreinterpretq_s8_u8(veorq_u8(v, vdupq_n_u8(128)));
}

INLINE void all_tokens(const struct zipped *z, const float *w_scale, const uint8_t *x,
                       const float *scale, int tokens, float *acc)
{
    for (int t = 0; t < tokens; t += 8) {
        int n = tokens - t < 8 ? tokens - t : 8;
        int8x16_t v[GROUPS][4];
        for (int k = 0; k < GROUPS; k++)
            for (int i = 0; i < 4; i++)
                v[k][i] = token_pair(x + t * TILE, 2 * i, n, k);
        eight_tokens(z, w_scale, v, scale + t, n, acc + t * TILE);
    }
}

static void run_i8(const struct tile_run *r)
{
    struct zipped z;
    for (int i = 0; i < r->tiles; i++) {
        const struct tile_i8 *tile = (const struct tile_i8 *)r->w + i;
        int64_t at = (int64_t)(i / r->halves) * r->step;
        for (int k = 0; k < GROUPS; k++)
            for (int m = 0; m < TILE; m += 4)
                zip(vld1q_s8(tile->q[2 * k][m]), vld1q_s8(tile->q[2 * k + 1][m]), &z.w[k][m / 2]);
        all_tokens(&z, tile->scale, (const uint8_t *)r->x + at * TILE, r->scale + at, r->tokens,
                   r->acc);
    }
}

static void run_i4(const struct tile_run *r)
{
    struct zipped z;
    const uint8x16_t nibble = vdupq_n_u8(15), bias = vdupq_n_u8((uint8_t)r->bias);
    for (int i = 0; i < r->tiles; i++) {
        const struct tile_i4 *tile = (const struct tile_i4 *)r->w + i;
        int64_t at = (int64_t)(i / r->halves) * r->step;
        for (int k = 0; k < GROUPS / 2; k++)
            for (int m = 0; m < TILE; m += 4) {
                uint8x16_t a = vld1q_u8(tile->q[2 * k][m]), b = vld1q_u8(tile->q[2 * k + 1][m]);
                zip(vreinterpretq_s8_u8(vsubq_u8(vandq_u8(a, nibble), bias)),
                    vreinterpretq_s8_u8(vsubq_u8(vandq_u8(b, nibble), bias)), &z.w[k][m / 2]);
                zip(vreinterpretq_s8_u8(vsubq_u8(vshrq_n_u8(a, 4), bias)),
                    vreinterpretq_s8_u8(vsubq_u8(vshrq_n_u8(b, 4), bias)),
                    &z.w[k + GROUPS / 2][m / 2]);
            }
        all_tokens(&z, tile->scale, (const uint8_t *)r->x + at * TILE, r->scale + at, r->tokens,
                   r->acc);
    }
}

static void run_f32(const struct tile_run *r)
{
    tile_neon->f32(r);
}

static const struct tile_kernels table = {"i8mm", run_f32, run_i8, run_i4};
const struct tile_kernels *const tile_i8mm = &table;

#else
const struct tile_kernels *const tile_i8mm = NULL;
#endif
