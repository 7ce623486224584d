// SPDX-License-Identifier: GPL-3.0-or-later
// Tiles on ARM64. The packed layout [k / 4][row][4] is the operand of sdot by lane: four rows times
// four activations of one token. 16 rows by 4 tokens are sixteen accumulators; each loaded weight
// serves four tokens. Without the dot-product extension the generic integer kernels serve.
#include <stddef.h>
#include "engine/host/tile.h"

#ifdef __aarch64__

#include <arm_neon.h>

#define INLINE static inline __attribute__((always_inline))
#define V_W    4

typedef float vf __attribute__((vector_size(16)));

INLINE vf v_fma(vf a, vf b, vf c)
{
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}

#include "engine/host/tile_body.inc.h"

#ifdef __ARM_FEATURE_DOTPROD
INLINE int8x16_t signed_bytes(const uint8_t *x)
{
    return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(x), vdupq_n_u8(128)));
}

INLINE void scale_add(int32x4_t sum, float32x4_t w_scale, float x_scale, float *acc)
{
    float32x4_t scale = vmulq_n_f32(w_scale, x_scale);
    vst1q_f32(acc, vfmaq_f32(vld1q_f32(acc), vcvtq_f32_s32(sum), scale));
}

// One k group of four rows against a token: x holds four groups.
#define DOT(sum, w, x, k) sum = vdotq_laneq_s32(sum, w, x, k)

INLINE void one_token(const struct tile_i8 *w, const uint8_t *x, float scale, float *acc)
{
    int8x16_t x0 = signed_bytes(x), x1 = signed_bytes(x + 16);
    for (int r = 0; r < TILE; r += 4) {
        int32x4_t a = vdupq_n_s32(0), b = a; // two chains
        DOT(a, vld1q_s8(w->q[0][r]), x0, 0), DOT(b, vld1q_s8(w->q[4][r]), x1, 0);
        DOT(a, vld1q_s8(w->q[1][r]), x0, 1), DOT(b, vld1q_s8(w->q[5][r]), x1, 1);
        DOT(a, vld1q_s8(w->q[2][r]), x0, 2), DOT(b, vld1q_s8(w->q[6][r]), x1, 2);
        DOT(a, vld1q_s8(w->q[3][r]), x0, 3), DOT(b, vld1q_s8(w->q[7][r]), x1, 3);
        scale_add(vaddq_s32(a, b), vld1q_f32(w->scale + r), scale, acc + r);
    }
}

// Half of the columns (four groups), 16 rows from r on, four tokens; s: [token][row / 4].
INLINE void half_block(const struct tile_i8 *w, int k, int r, const int8x16_t x[4],
                       int32x4_t s[4][4])
{
#define GROUP(j)                                                                                   \
    for (int i = 0; i < 4; i++) {                                                                  \
        int8x16_t v = vld1q_s8(w->q[k + (j)][r + 4 * i]);                                          \
        DOT(s[0][i], v, x[0], j), DOT(s[1][i], v, x[1], j);                                        \
        DOT(s[2][i], v, x[2], j), DOT(s[3][i], v, x[3], j);                                        \
    }
    _Pragma("GCC unroll 4") GROUP(0) _Pragma("GCC unroll 4") GROUP(1) _Pragma("GCC unroll 4")
        GROUP(2) _Pragma("GCC unroll 4") GROUP(3)
#undef GROUP
}

INLINE void four_tokens(const struct tile_i8 *w, const uint8_t *x, const float *scale, float *acc)
{
    const int8x16_t low[4] = {signed_bytes(x), signed_bytes(x + TILE), signed_bytes(x + 2 * TILE),
                              signed_bytes(x + 3 * TILE)};
    const int8x16_t high[4] = {signed_bytes(x + 16), signed_bytes(x + TILE + 16),
                               signed_bytes(x + 2 * TILE + 16), signed_bytes(x + 3 * TILE + 16)};
    for (int r = 0; r < TILE; r += 16) {
        int32x4_t s[4][4];
        memset(s, 0, sizeof s);
        half_block(w, 0, r, low, s);
        half_block(w, 4, r, high, s);
        for (int t = 0; t < 4; t++)
            for (int i = 0; i < 4; i++)
                scale_add(s[t][i], vld1q_f32(w->scale + r + 4 * i), scale[t],
                          acc + t * TILE + r + 4 * i);
    }
}

INLINE void i8(const struct tile_i8 *w, const uint8_t *x, const float *scale, int tokens,
               float *acc)
{
    int t = 0;
    for (; t + 4 <= tokens; t += 4)
        four_tokens(w, x + t * TILE, scale + t, acc + t * TILE);
    for (; t < tokens; t++)
        one_token(w, x + t * TILE, scale[t], acc + t * TILE);
}

static void run_i8(const struct tile_run *r)
{
    FOR_TILES(r, struct tile_i8)
    i8(tile, (const uint8_t *)r->x + at * TILE, r->scale + at, r->tokens, r->acc);
}

static void run_i4(const struct tile_run *r)
{
    struct tile_i8 whole;
    FOR_TILES(r, struct tile_i4)
    {
        bytes_of(tile, r->bias, &whole);
        i8(&whole, (const uint8_t *)r->x + at * TILE, r->scale + at, r->tokens, r->acc);
    }
}
#else
static void run_i8(const struct tile_run *r)
{
    tile_generic.i8(r);
}

static void run_i4(const struct tile_run *r)
{
    tile_generic.i4(r);
}
#endif

static const struct tile_kernels table = {"neon", run_f32, run_i8, run_i4};
const struct tile_kernels *const tile_neon = &table;

#else
const struct tile_kernels *const tile_neon = NULL;
#endif
