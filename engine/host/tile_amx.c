// SPDX-License-Identifier: GPL-3.0-or-later
// Tiles with AMX: 32 tokens by 32 rows at a time, two tile registers of activations by two of
// weights into four of sums, so that a loaded register is used twice.
//
// Integers: activations are unsigned, 128 + x, and the sums start with -128 times the sums of the
// weights. A block of 32 columns is half of what the instruction could take; but each has its own
// scale, so the sums leave as int32 after every block and are scaled by AVX-512, one block behind
// the multiplications, which go on meanwhile.
//
// Floats: a float is the sum of three bfloat16 of 8 bits each, obtained by cutting off. Of their
// nine products six count (the others are below 2^-24 of the largest), and weights of few bits have
// fewer pieces: BF16 one, halves and decoded block encodings two.
//
// Operands in memory are handed to instructions that the compiler knows nothing of: hence `fence`.
// The configurations are constants: gcc 12 drops stores to a local one before _tile_loadconfig.
#include <stddef.h>
#include "engine/host/kernels.h"
#include "engine/host/tile.h"

#if defined __AMX_TILE__ && defined __AMX_INT8__ && defined __AMX_BF16__ && defined __AVX512F__

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { HALF = TILE / 2 }; // rows of a tile register

struct tile_config { // as LDTILECFG reads it
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
};
_Static_assert(sizeof(struct tile_config) == 64, "LDTILECFG operand");

// Registers: 0 to 3 sums [16 tokens][16 rows], 4 and 5 activations, 6 and 7 weights [k][16 rows].
static const _Alignas(64) struct tile_config for_bytes = {.palette = 1,
                                                          .colsb = {64, 64, 64, 64, 32, 32, 64, 64},
                                                          .rows = {16, 16, 16, 16, 16, 16, 8, 8}};
static const _Alignas(64) struct tile_config for_floats = {
    .palette = 1,
    .colsb = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

INLINE void fence(void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

// Sums that are still to be scaled: those of one tile for up to 32 tokens.
struct sums {
    _Alignas(64) int32_t v[TILE][TILE]; // [token][row]
    const float *w_scale, *x_scale;
    float *acc;
    int tokens;
};

INLINE void scale_add(const struct sums *s)
{
    __m512 w[2] = {_mm512_loadu_ps(s->w_scale), _mm512_loadu_ps(s->w_scale + HALF)};
    for (int t = 0; t < s->tokens; t++)
        for (int h = 0; h < 2; h++) {
            float *acc = s->acc + t * TILE + h * HALF;
            __m512 v = _mm512_cvtepi32_ps(_mm512_loadu_si512(s->v[t] + h * HALF));
            __m512 scale = _mm512_mul_ps(w[h], _mm512_set1_ps(s->x_scale[t]));
            _mm512_storeu_ps(acc, _mm512_fmadd_ps(v, scale, _mm512_loadu_ps(acc)));
        }
}

// What the sums start with, per row.
INLINE void make_start(const int8_t (*q)[TILE][4], int32_t *start)
{
    for (int h = 0; h < 2; h++) {
        __m512i sum = _mm512_setzero_si512();
        for (int k = 0; k < TILE / 4; k++)
            sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8((char)128),
                                      _mm512_loadu_si512(q[k][h * HALF]));
        _mm512_storeu_si512(start + h * HALF, _mm512_sub_epi32(_mm512_setzero_si512(), sum));
    }
}

// 32 or fewer tokens against the tile whose weights are in registers 6 and 7.
INLINE void multiply(const uint8_t *x, int tokens, const int32_t *start, struct sums *out)
{
    uint8_t whole[TILE][TILE];
    if (tokens % HALF) { // an operand register is always read in full
        memset(whole, 0, sizeof whole);
        x = memcpy(whole, x, (size_t)tokens * TILE);
        fence(whole);
    }
    _tile_loadd(4, x, TILE);
    _tile_loadd(0, start, 0); // every token starts alike
    _tile_loadd(1, start + HALF, 0);
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_stored(0, out->v[0], TILE * 4);
    _tile_stored(1, out->v[0] + HALF, TILE * 4);
    if (tokens > HALF) {
        _tile_loadd(5, x + HALF * TILE, TILE);
        _tile_loadd(2, start, 0);
        _tile_loadd(3, start + HALF, 0);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
        _tile_stored(2, out->v[HALF], TILE * 4);
        _tile_stored(3, out->v[HALF] + HALF, TILE * 4);
    }
    fence(out);
}

INLINE void unpack_nibbles(const struct tile_i4 *tile, int bias, int8_t (*q)[TILE][4])
{
    for (int k = 0; k < TILE / 8; k++)
        for (int r = 0; r < TILE; r++)
            for (int i = 0; i < 4; i++) {
                q[k][r][i] = (int8_t)((tile->q[k][r][i] & 15) - bias);
                q[k + TILE / 8][r][i] = (int8_t)((tile->q[k][r][i] >> 4) - bias);
            }
}

INLINE void run_integers(const struct tile_run *r, bool nibbles)
{
    struct sums sums[2];
    _Alignas(64) int8_t bytes[TILE / 4][TILE][4];
    _Alignas(64) int32_t start[TILE];
    int turn = 0;
    sums[1].tokens = 0;
    _tile_loadconfig(&for_bytes);
    for (int i = 0; i < r->tiles; i++) {
        int64_t at = (int64_t)(i / r->halves) * r->step;
        const struct tile_i4 *four = (const struct tile_i4 *)r->w + i;
        const struct tile_i8 *eight = (const struct tile_i8 *)r->w + i;
        const int8_t(*q)[TILE][4] = eight->q;
        if (nibbles) {
            unpack_nibbles(four, r->bias, bytes);
            q = (const int8_t(*)[TILE][4])bytes;
            fence(bytes);
        }
        make_start(q, start);
        fence(start);
        _tile_loadd(6, q[0][0], sizeof q[0]);
        _tile_loadd(7, q[0][HALF], sizeof q[0]);
        for (int t = 0; t < r->tokens; t += TILE, turn ^= 1) {
            struct sums *now = &sums[turn], *before = &sums[!turn];
            now->w_scale = nibbles ? four->scale : eight->scale;
            now->x_scale = r->scale + at + t;
            now->acc = r->acc + t * TILE;
            now->tokens = r->tokens - t < TILE ? r->tokens - t : TILE;
            multiply((const uint8_t *)r->x + (at + t) * TILE, now->tokens, start, now);
            if (before->tokens)
                scale_add(before);
        }
    }
    scale_add(&sums[!turn]);
    _tile_release();
}

static void run_i8(const struct tile_run *r)
{
    run_integers(r, false);
}

static void run_i4(const struct tile_run *r)
{
    run_integers(r, true);
}

enum { PIECES = 3 };

// Cuts 16 floats: the piece of the highest 8 bits in the upper half of each lane; what is left.
INLINE __m512i cut(__m512 *v)
{
    __m512i piece =
        _mm512_and_si512(_mm512_castps_si512(*v), _mm512_set1_epi32((int32_t)0xffff0000));
    *v = _mm512_sub_ps(*v, _mm512_castsi512_ps(piece));
    return piece;
}

// Pairs of k side by side, as the instruction takes them. Returns how many pieces are not zero.
INLINE int cut_weights(const struct tile_f32 *tile, uint32_t (*out)[2][HALF][HALF])
{
    __m512i any[PIECES];
    for (int p = 0; p < PIECES; p++)
        any[p] = _mm512_setzero_si512();
    for (int k = 0; k < TILE; k += 2)
        for (int h = 0; h < 2; h++) {
            __m512 u = _mm512_loadu_ps(tile->w[k] + h * HALF);
            __m512 v = _mm512_loadu_ps(tile->w[k + 1] + h * HALF);
            for (int p = 0; p < PIECES; p++) {
                __m512i pair = _mm512_or_si512(_mm512_srli_epi32(cut(&u), 16), cut(&v));
                any[p] = _mm512_or_si512(any[p], pair);
                _mm512_storeu_si512(out[p][h][k / 2], pair);
            }
        }
    int pieces = PIECES;
    while (pieces > 1) {
        uint32_t bits[HALF], all = 0;
        _mm512_storeu_si512(bits, any[pieces - 1]);
        for (int i = 0; i < HALF; i++)
            all |= bits[i] & 0x7fff7fff; // a zero may be negative
        if (all)
            break;
        pieces--;
    }
    return pieces;
}

INLINE void cut_activations(const float *x, int tokens, uint16_t (*out)[TILE][TILE])
{
    for (int t = 0; t < tokens; t++)
        for (int h = 0; h < 2; h++) {
            __m512 v = _mm512_loadu_ps(x + t * TILE + h * HALF);
            for (int p = 0; p < PIECES; p++) {
                __m256i half = _mm512_cvtepi32_epi16(_mm512_srli_epi32(cut(&v), 16));
                memcpy(out[p][t] + h * HALF, &half, sizeof half);
            }
        }
}

static void run_bf16(const struct tile_run *r)
{
    _Alignas(64) uint32_t w[PIECES][2][HALF][HALF];
    _Alignas(64) uint16_t x[PIECES][TILE][TILE];
    _Alignas(64) float last[TILE][TILE];
    memset(x, 0, sizeof x);
    memset(last, 0, sizeof last);
    _tile_loadconfig(&for_floats);
    for (int i = 0; i < r->tiles; i++) {
        int64_t at = (int64_t)(i / r->halves) * r->step;
        int pieces = cut_weights((const struct tile_f32 *)r->w + i, w);
        fence(w);
        for (int t = 0; t < r->tokens; t += TILE) {
            int n = r->tokens - t < TILE ? r->tokens - t : TILE;
            float *acc = r->acc + t * TILE;
            cut_activations((const float *)r->x + (at + t) * TILE, n, x);
            fence(x);
            if (n < TILE) {
                acc = memcpy(last, acc, (size_t)n * sizeof *last);
                fence(last);
            }
            _tile_loadd(0, acc, TILE * 4);
            _tile_loadd(1, acc + HALF, TILE * 4);
            _tile_loadd(2, acc + HALF * TILE, TILE * 4);
            _tile_loadd(3, acc + HALF * TILE + HALF, TILE * 4);
            for (int b = 0; b < pieces; b++) {
                _tile_loadd(6, w[b][0][0], 64);
                _tile_loadd(7, w[b][1][0], 64);
                for (int a = 0; a + b < PIECES; a++) {
                    _tile_loadd(4, x[a][0], 64);
                    _tile_loadd(5, x[a][HALF], 64);
                    _tile_dpbf16ps(0, 4, 6);
                    _tile_dpbf16ps(1, 4, 7);
                    _tile_dpbf16ps(2, 5, 6);
                    _tile_dpbf16ps(3, 5, 7);
                }
            }
            _tile_stored(0, acc, TILE * 4);
            _tile_stored(1, acc + HALF, TILE * 4);
            _tile_stored(2, acc + HALF * TILE, TILE * 4);
            _tile_stored(3, acc + HALF * TILE + HALF, TILE * 4);
            fence(acc);
            if (n < TILE)
                memcpy(r->acc + t * TILE, last, (size_t)n * sizeof *last);
        }
    }
    _tile_release();
}

static void run_f32(const struct tile_run *r)
{
    if (cpu_features()->amx_bf16)
        run_bf16(r);
    else
        (tile_avx512 ? tile_avx512->f32 : tile_generic.f32)(r);
}

static const struct tile_kernels table = {"amx", run_f32, run_i8, run_i4};
const struct tile_kernels *const tile_amx = &table;

#else
const struct tile_kernels *const tile_amx = NULL;
#endif
