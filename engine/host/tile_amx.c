// SPDX-License-Identifier: GPL-3.0-or-later
// Tiles with AMX int8: up to 16 tokens by 16 rows per instruction, over the 32 values of a tile.
// The packed layout [k / 4][row][4] is what the instruction takes as its second operand. Sums leave
// the tile registers as int32 and are scaled by AVX-512. F32 tiles are left to AVX-512's kernel.
//
// Registers: 0 = sums [tokens][16] int32, 1 = activations [tokens][32] int8, 2 = weights [8][64].
// The configurations are constants: gcc 12 drops stores to a local one before _tile_loadconfig.
#include <stddef.h>
#include "engine/host/tile.h"

#if defined __AMX_TILE__ && defined __AMX_INT8__ && defined __AVX512F__

#include <immintrin.h>

struct tile_config { // as LDTILECFG reads it
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
};
_Static_assert(sizeof(struct tile_config) == 64, "LDTILECFG operand");

#define CONFIG(n)                                                                                  \
    {                                                                                              \
        .palette = 1, .colsb = {64, 32, 64}, .rows = { n, n, 8 }                                   \
    }
static const _Alignas(64) struct tile_config config[16] = {
    CONFIG(1), CONFIG(2),  CONFIG(3),  CONFIG(4),  CONFIG(5),  CONFIG(6),  CONFIG(7),  CONFIG(8),
    CONFIG(9), CONFIG(10), CONFIG(11), CONFIG(12), CONFIG(13), CONFIG(14), CONFIG(15), CONFIG(16),
};

static void some_tokens(const struct tile_i8 *w, const int8_t *x, const float *scale, int tokens,
                        float *acc)
{
    _Alignas(64) int32_t sum[16][16];
    _tile_loadconfig(&config[tokens - 1]);
    _tile_loadd(1, x, TILE);
    for (int r = 0; r < TILE; r += 16) {
        _tile_zero(0);
        _tile_loadd(2, w->q[0][r], sizeof w->q[0]);
        _tile_dpbssd(0, 1, 2);
        _tile_stored(0, sum, sizeof sum[0]);
        __asm__ volatile("" ::: "memory"); // the store is seen before the sums are read
        __m512 d = _mm512_loadu_ps(w->scale + r);
        for (int t = 0; t < tokens; t++) {
            float *out = acc + t * TILE + r;
            __m512 v = _mm512_cvtepi32_ps(_mm512_load_si512(sum[t]));
            v = _mm512_fmadd_ps(v, _mm512_mul_ps(d, _mm512_set1_ps(scale[t])),
                                _mm512_loadu_ps(out));
            _mm512_storeu_ps(out, v);
        }
    }
}

static void run_i8(const struct tile_i8 *w, const int8_t *x, const float *scale, int tokens,
                   float *acc)
{
    for (int t = 0; t < tokens; t += 16) {
        int n = tokens - t < 16 ? tokens - t : 16;
        some_tokens(w, x + t * TILE, scale + t, n, acc + t * TILE);
    }
    _tile_release();
}

static void run_f32(const struct tile_f32 *w, const float *x, int tokens, float *acc)
{
    (tile_avx512 ? tile_avx512->f32 : tile_generic.f32)(w, x, tokens, acc);
}

static const struct tile_kernels table = {"amx", run_f32, run_i8};
const struct tile_kernels *const tile_amx = &table;

#else
const struct tile_kernels *const tile_amx = NULL;
#endif
