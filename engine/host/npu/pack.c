// SPDX-License-Identifier: GPL-3.0-or-later
// Weights in the DSP's order. Every block encoding is integers, scales and minima (struct chunk in
// engine/encoding.h); the integers are kept as they are, and scales and minima become Q15 relative
// to a power of two of their row (layout.h says with what error). Integers of four bits stay
// nibbles: indices into a table of the sixteen values that the encoding knows.
//
// A scale that is infinite or not a number, which no encoder writes, counts as zero: fixed point
// has no place for it.
#include "engine/host/npu/pack.h"

#include <assert.h>
#include <math.h>
#include <string.h>

// The sixteen integers of an encoding of four bits; NULL: there are more.
static const int8_t *alphabet(const struct encoding *enc)
{
    static const int8_t centred[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
    static const int8_t counted[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    if (enc == &encoding_q4_0)
        return centred;
    if (enc == &encoding_q4_1 || enc == &encoding_q4_k)
        return counted;
    return enc == &encoding_iq4_nl ? iq4_nl_values : NULL;
}

struct npu_packing npu_packing(const struct encoding *enc, int64_t rows, int64_t cols, bool exact)
{
    struct npu_packing p = {
        .enc = enc, .rows = rows, .cols = cols, .weights = NPU_W_F32, .halves = 1};
    assert(cols > 0 && cols <= INT32_MAX);
    if (enc->unpack && !exact) {
        p.weights = alphabet(enc) ? NPU_W_I4 : NPU_W_I8;
        p.halves = enc->halves ? 2 : 1;
        p.minima = enc->minima;
    }
    p.row = npu_row(p.weights, p.halves, p.minima, (int32_t)cols);
    return p;
}

static float number(float v)
{
    return isfinite(v) ? v : 0;
}

// The power of two above v > 0; 0 for 0.
static float unit_above(float v)
{
    return v > 0 ? ldexpf(1, ilogbf(v) + 1) : 0;
}

static int16_t fixed(float v, float unit)
{
    double s = unit > 0 ? nearbyint(number(v) * 32768.0 / unit) : 0;
    return (int16_t)fmax(fmin(s, 32767), -32767);
}

// Where value number n of row r is in vectors of [row][2].
static int64_t pair(int64_t n, int r)
{
    return (n / 2 * NPU_TILE + r) * 2 + n % 2;
}

static uint8_t index_of(const int8_t *values, int8_t q)
{
    uint8_t i = 0;
    while (i < 15 && values[i] != q)
        i++;
    return i;
}

// Weight row r of a row of tiles.
static void pack_integers(const struct npu_packing *p, const void *row, int r, uint8_t *out)
{
    const int8_t *values = alphabet(p->enc);
    const int64_t tiles = (int64_t)npu_tiles((int32_t)p->cols);
    struct npu_head *head = (struct npu_head *)(void *)out;
    int16_t *scale = (int16_t *)(void *)(out + p->row.scales);
    int16_t *minimum = (int16_t *)(void *)(out + p->row.minima);
    float most = 0, lowest = 0;
    struct chunk c;
    for (int64_t kt = 0; kt < tiles; kt++) {
        p->enc->unpack(row, kt, &c);
        for (uint32_t h = 0; h < p->halves; h++)
            most = fmaxf(most, fabsf(number(c.scale[h])));
        lowest = fmaxf(lowest, fabsf(number(c.min)));
    }
    const float unit = unit_above(most), min_unit = unit_above(lowest);
    head->scale[r] = ldexpf(unit, -NPU_FRACTION);
    head->minimum[r] = ldexpf(min_unit, -15);
    for (int64_t kt = 0; kt < tiles; kt++) {
        uint8_t *tile = out + p->row.tiles + kt * p->row.tile_bytes;
        p->enc->unpack(row, kt, &c);
        for (uint32_t h = 0; h < p->halves; h++)
            scale[pair(kt * p->halves + h, r)] = fixed(c.scale[h], unit);
        if (p->minima)
            minimum[pair(kt, r)] = fixed(c.min, min_unit);
        for (int k = 0; k < NPU_TILE; k++) {
            const int v = k / 4, at = r * 4 + k % 4;
            if (values)
                tile[v / 2 * NPU_VECTOR + at] |=
                    (uint8_t)(index_of(values, c.q[k]) << (v % 2 ? 4 : 0));
            else
                tile[v * NPU_VECTOR + at] = (uint8_t)(c.q[k] + 128);
        }
    }
}

static void pack_floats(const struct npu_packing *p, const void *row, int r, uint8_t *out)
{
    float *to = (float *)(void *)out, values[256];
    const int64_t step = p->enc->block > 1 ? (int64_t)p->enc->block : 256;
    assert(step <= 256);
    for (int64_t k = 0; k < p->cols; k += step) {
        const int64_t n = p->cols - k < step ? p->cols - k : step;
        p->enc->decode((const char *)row + encoding_size(p->enc, k), values, n);
        for (int64_t i = 0; i < n; i++)
            to[(k + i) * NPU_TILE + r] = values[i];
    }
}

void npu_pack(const struct npu_packing *p, const void *data, int64_t pitch, int64_t t0, int64_t t1,
              void *out)
{
    uint8_t *to = out;
    memset(out, 0, (size_t)npu_packed_bytes(p, t0, t1));
    for (int64_t t = t0; t < t1; t++, to += p->row.bytes) {
        const int8_t *values = alphabet(p->enc);
        struct npu_head *head = (struct npu_head *)(void *)to;
        for (int i = 0; p->weights == NPU_W_I4 && i < NPU_TILE; i++)
            head->table[2 * i] = (uint8_t)(values[i % 16] + 128);
        for (int r = 0; r < NPU_TILE && t * NPU_TILE + r < p->rows; r++) {
            const char *row = (const char *)data + (t * NPU_TILE + r) * pitch;
            if (p->weights == NPU_W_F32)
                pack_floats(p, row, r, to);
            else
                pack_integers(p, row, r, to);
        }
    }
}
