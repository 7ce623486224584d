// SPDX-License-Identifier: GPL-3.0-or-later
// Shared by the block encodings.
//
// Finding a scale. For given integers q the best scale (and minimum) is a linear least-squares
// problem with a closed form; for a given scale the best integers are the nearest ones. The search
// starts from a row of scales around the one that just covers the values (a little smaller clips
// the extremes and serves the rest better), takes the integers of each, solves for the scale, and
// keeps the pair with the smallest error. Files made by other tools were searched in other ways;
// any scale makes a valid block, and how good it is shows in the error only.
//
// Packed scales. Twelve bytes hold 8 scales s and 8 minima m of 6 bits: bytes 0 to 3 have s0..s3,
// bytes 4 to 7 m0..m3, each with two more bits on top; bytes 8 to 11 have the low nibbles of s4..s7
// (low) and of m4..m7 (high), whose upper two bits are those on top of bytes 0 to 3 and 4 to 7.
#include "engine/encoding/util.h"

#include <math.h>
#include <string.h>

static const float HALF_MAX = 65504.0f;
enum { STEPS = 10 }; // on each side of the covering scale, each a tenth of a level

void chunks_decode(void (*unpack)(const void *row, int64_t i, struct chunk *out), const void *row,
                   float *dst, int64_t n)
{
    struct chunk c;
    for (int64_t i = 0; i < n / CHUNK_VALUES; i++) {
        unpack(row, i, &c);
        for (int j = 0; j < CHUNK_VALUES; j++)
            *dst++ = c.scale[j / 16] * c.q[j] + c.min;
    }
}

float block_number(float v)
{
    return isnan(v) ? 0 : fmaxf(fminf(v, HALF_MAX), -HALF_MAX);
}

int block_round(float v, int low, int high)
{
    if (isnan(v))
        return low > 0 ? low : 0;
    float r = floorf(v + 0.5f);
    return r <= (float)low ? low : r >= (float)high ? high : (int)r;
}

float block_fit_scale(const float *x, int n, int levels)
{
    float largest = 0, best = 0; // with its sign
    double least = INFINITY;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(largest))
            largest = x[i];
    if (largest == 0)
        return 0;
    for (int step = -STEPS; step <= STEPS; step++) {
        float inverse = -((float)levels + 0.1f * (float)step) / largest;
        if (!isfinite(inverse)) // of a subnormal: nothing that a half can scale
            return 0;
        double xq = 0, qq = 0, error = 0;
        for (int i = 0; i < n; i++) {
            double q = block_round(x[i] * inverse, -levels, levels - 1);
            xq += x[i] * q;
            qq += q * q;
        }
        float scale = (float)(xq / qq); // qq > 0: the largest value is not 0
        for (int i = 0; i < n; i++) {
            double off = x[i] - (double)scale * block_round(x[i] * inverse, -levels, levels - 1);
            error += off * off;
        }
        if (error < least) {
            least = error;
            best = scale;
        }
    }
    return best;
}

// Least squares of scale * q - min over the integers of one candidate; returns the squared error.
static double fit_line(const float *x, const int *q, int n, double *scale, double *min)
{
    double sx = 0, sq = 0, sxq = 0, sqq = 0, error = 0;
    for (int i = 0; i < n; i++) {
        sx += x[i];
        sq += q[i];
        sxq += (double)x[i] * q[i];
        sqq += (double)q[i] * q[i];
    }
    double det = n * sqq - sq * sq;
    *scale = det > 0 ? (n * sxq - sq * sx) / det : 0;
    *min = (*scale * sq - sx) / n;
    if (*min < 0 || det <= 0) { // through zero
        *min = 0;
        *scale = sqq > 0 ? sxq / sqq : 0;
    }
    for (int i = 0; i < n; i++) {
        double off = x[i] - (*scale * q[i] - *min);
        error += off * off;
    }
    return error;
}

void block_fit_range(const float *x, int n, int levels, float *scale, float *min)
{
    float low = 0, high = 0; // zero is always in the range: the minimum cannot be above it
    double least = INFINITY;
    for (int i = 0; i < n; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
    }
    *scale = *min = 0;
    for (int step = -STEPS; step <= STEPS && high > low; step++) {
        float inverse = ((float)(levels - 1) + 0.1f * (float)step) / (high - low);
        if (!isfinite(inverse))
            return;
        int q[CHUNK_VALUES];
        double s, m;
        for (int i = 0; i < n; i++)
            q[i] = block_round((x[i] - low) * inverse, 0, levels - 1);
        double error = fit_line(x, q, n, &s, &m);
        if (error < least && s >= 0) {
            least = error;
            *scale = (float)s;
            *min = (float)m;
        }
    }
}

void k_scales_pack(const uint8_t scale[K_CHUNKS], const uint8_t min[K_CHUNKS], uint8_t out[12])
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(scale[i] | scale[i + 4] >> 4 << 6);
        out[i + 4] = (uint8_t)(min[i] | min[i + 4] >> 4 << 6);
        out[i + 8] = (uint8_t)((scale[i + 4] & 15) | min[i + 4] << 4);
    }
}

void k_scale_unpack(const uint8_t packed[12], int i, unsigned *scale, unsigned *min)
{
    int j = i % 4;
    if (i < 4) {
        *scale = packed[j] & 63;
        *min = packed[j + 4] & 63;
    } else {
        *scale = (packed[j + 8] & 15) | packed[j] >> 6 << 4;
        *min = packed[j + 8] >> 4 | packed[j + 4] >> 6 << 4;
    }
}

void k_encode(const float *x, int levels, uint16_t *d, uint16_t *dmin, uint8_t scales[12],
              uint8_t q[K_BLOCK])
{
    float v[K_BLOCK], scale[K_CHUNKS], min[K_CHUNKS], top_scale = 0, top_min = 0;
    uint8_t s6[K_CHUNKS], m6[K_CHUNKS];
    for (int i = 0; i < K_BLOCK; i++)
        v[i] = block_number(x[i]);
    for (int c = 0; c < K_CHUNKS; c++) {
        block_fit_range(v + c * CHUNK_VALUES, CHUNK_VALUES, levels, &scale[c], &min[c]);
        top_scale = fmaxf(top_scale, scale[c]);
        top_min = fmaxf(top_min, min[c]);
    }
    *d = float_to_half(top_scale / 63);
    *dmin = float_to_half(top_min / 63);
    // The integers are chosen for the scales as they are stored.
    float unit = half_to_float(*d), unit_min = half_to_float(*dmin);
    for (int c = 0; c < K_CHUNKS; c++) {
        s6[c] = unit > 0 ? (uint8_t)block_round(scale[c] / unit, 0, 63) : 0;
        m6[c] = unit_min > 0 ? (uint8_t)block_round(min[c] / unit_min, 0, 63) : 0;
        float s = unit * s6[c], m = unit_min * m6[c];
        for (int i = c * CHUNK_VALUES; i < (c + 1) * CHUNK_VALUES; i++)
            q[i] = s > 0 ? (uint8_t)block_round((v[i] + m) / s, 0, levels - 1) : 0;
    }
    k_scales_pack(s6, m6, scales);
}
