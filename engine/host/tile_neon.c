// SPDX-License-Identifier: GPL-3.0-or-later
// Tiles on ARM64. The packed layout [k / 4][row][4] is the operand of sdot by lane: four rows times
// four activations of one token. Without the dot-product extension the plain loop serves.
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
static void run_i8(const struct tile_i8 *w, const int8_t *x, const float *scale, int tokens,
                   float *acc)
{
    for (int t = 0; t < tokens; t++, x += TILE, acc += TILE) {
        int8x16_t x0 = vld1q_s8(x), x1 = vld1q_s8(x + 16);
        for (int r = 0; r < TILE; r += 4) {
            int32x4_t sum = vdupq_n_s32(0);
            sum = vdotq_laneq_s32(sum, vld1q_s8(w->q[0][r]), x0, 0);
            sum = vdotq_laneq_s32(sum, vld1q_s8(w->q[1][r]), x0, 1);
            sum = vdotq_laneq_s32(sum, vld1q_s8(w->q[2][r]), x0, 2);
            sum = vdotq_laneq_s32(sum, vld1q_s8(w->q[3][r]), x0, 3);
            sum = vdotq_laneq_s32(sum, vld1q_s8(w->q[4][r]), x1, 0);
            sum = vdotq_laneq_s32(sum, vld1q_s8(w->q[5][r]), x1, 1);
            sum = vdotq_laneq_s32(sum, vld1q_s8(w->q[6][r]), x1, 2);
            sum = vdotq_laneq_s32(sum, vld1q_s8(w->q[7][r]), x1, 3);
            float32x4_t d = vmulq_n_f32(vld1q_f32(w->scale + r), scale[t]);
            vst1q_f32(acc + r, vfmaq_f32(vld1q_f32(acc + r), vcvtq_f32_s32(sum), d));
        }
    }
}
#else
static void run_i8(const struct tile_i8 *w, const int8_t *x, const float *scale, int tokens,
                   float *acc)
{
    tile_generic.i8(w, x, scale, tokens, acc);
}
#endif

static const struct tile_kernels table = {"neon", run_f32, run_i8};
const struct tile_kernels *const tile_neon = &table;

#else
const struct tile_kernels *const tile_neon = NULL;
#endif
