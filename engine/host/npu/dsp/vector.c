// SPDX-License-Identifier: GPL-3.0-or-later
// The thin float layer: everything that is not a matmul, in scalar floats. HVX has no IEEE floats
// before v68 and the emulator has none at all, and these operators are a few percent of a layer.
//
// Sums of products run in four accumulators, which are added in a fixed order.
#include "engine/host/npu/dsp/dsp.h"
#include "engine/host/npu/dsp/number.h"

#define TRY(x)                                                                                     \
    do {                                                                                           \
        enum npu_status try_status = (x);                                                          \
        if (try_status != NPU_OK)                                                                  \
            return try_status;                                                                     \
    } while (0)

static float *row(uint8_t *base, const struct npu_tensor *t, int64_t r)
{
    return (float *)(void *)(base + (uint64_t)r * t->pitch);
}

static enum npu_status floats(const struct npu_tensor *t, int64_t r0, int64_t r1, uint64_t width,
                              uint8_t **out)
{
    return npu_rows(t, r0, r1, 0, width * 4, 4, out);
}

static float dot(const float *a, const float *b, int n)
{
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        s0 += a[i] * b[i];
        s1 += a[i + 1] * b[i + 1];
        s2 += a[i + 2] * b[i + 2];
        s3 += a[i + 3] * b[i + 3];
    }
    for (; i < n; i++)
        s0 += a[i] * b[i];
    return (s0 + s1) + (s2 + s3);
}

// One value of a packed row, in float: what the integers mean. `tile`: the row of tiles.
static float packed(const uint8_t *tile, const struct npu_row *l, uint32_t weights, uint32_t halves,
                    uint32_t minima, int r, int i)
{
    const int kt = i / NPU_TILE, c = i % NPU_TILE;
    const uint8_t *t = tile + l->tiles + (uint64_t)kt * l->tile_bytes;
    if (weights == NPU_W_F32)
        return ((const float *)(const void *)t)[c * NPU_TILE + r];
    const struct npu_head *head = (const struct npu_head *)(const void *)tile;
    const int16_t *scale = (const int16_t *)(const void *)(tile + l->scales);
    const int16_t *minimum = (const int16_t *)(const void *)(tile + l->minima);
    const int at = c / 4, byte = r * 4 + c % 4; // vector of the tile, byte of it
    const uint32_t s = (uint32_t)kt * halves + (halves == 2 ? (uint32_t)c / 16 : 0);
    int32_t q;
    if (weights == NPU_W_I8)
        q = t[at * NPU_VECTOR + byte];
    else
        q = head->table[2 * (t[at / 2 * NPU_VECTOR + byte] >> at % 2 * 4 & 15)];
    float v = (float)((q - 128) * scale[(s / 2 * NPU_TILE + (uint32_t)r) * 2 + s % 2]) *
              (head->scale[r] * 0x1p-6f);
    if (minima)
        v += (float)minimum[(kt / 2 * NPU_TILE + r) * 2 + kt % 2] * head->minimum[r];
    return v;
}

enum npu_status npu_embed(const struct npu_message *m)
{
    uint8_t *in, *out, *w;
    if (m->weights[0] >= NPU_W_CLASSES || m->halves[0] < 1 || m->halves[0] > 2 || m->m < 1)
        return NPU_BAD_SHAPE;
    const struct npu_row l = npu_row(m->weights[0], m->halves[0], m->minima[0], m->m);
    if (m->weights[0] != NPU_W_F32 && m->m % NPU_TILE)
        return NPU_BAD_SHAPE;
    TRY(floats(&m->in, m->n0, m->n1, 1, &in));
    TRY(floats(&m->out, m->n0, m->n1, (uint64_t)m->m, &out));
    for (int n = m->n0; n < m->n1; n++) {
        const int32_t id = *(const int32_t *)(const void *)row(in, &m->in, n);
        if (id < 0 || (uint32_t)id >= m->w[0].rows)
            return NPU_BAD_BOUNDS;
        struct npu_tensor tiles = m->w[0]; // in rows of tiles
        tiles.rows = (tiles.rows - 1) / NPU_TILE + 1;
        TRY(npu_rows(&tiles, id / NPU_TILE, id / NPU_TILE + 1, 0, l.bytes, NPU_VECTOR, &w));
        w += (uint64_t)(id / NPU_TILE) * tiles.pitch;
        for (int i = 0; i < m->m; i++)
            row(out, &m->out, n)[i] =
                packed(w, &l, m->weights[0], m->halves[0], m->minima[0], id % NPU_TILE, i);
    }
    return NPU_OK;
}

enum npu_status npu_rmsnorm(const struct npu_message *m)
{
    uint8_t *in, *out, *w;
    if (m->m < 1 || m->weights[0] != NPU_W_F32)
        return NPU_BAD_SHAPE;
    TRY(floats(&m->in, m->n0, m->n1, (uint64_t)m->m, &in));
    TRY(floats(&m->out, m->n0, m->n1, (uint64_t)m->m, &out));
    TRY(floats(&m->w[0], 0, 1, (uint64_t)m->m, &w));
    const float each = number_divide(1.0f, (float)m->m);
    for (int n = m->n0; n < m->n1; n++) {
        const float *x = row(in, &m->in, n), *gain = row(w, &m->w[0], 0);
        float *y = row(out, &m->out, n);
        const float scale = number_rsqrt(dot(x, x, m->m) * each + m->eps);
        for (int i = 0; i < m->m; i++)
            y[i] = x[i] * scale * gain[i];
    }
    return NPU_OK;
}

// In and out may be the same.
static void rotate(const struct npu_message *m, const float *angle, const float *in, float *out)
{
    const int half = m->rope_dim / 2;
    for (int i = 0; i < half; i++) {
        const int a = m->rope_halves ? i : 2 * i, b = m->rope_halves ? i + half : a + 1;
        const float c = angle[2 * i], s = angle[2 * i + 1], p = in[a], q = in[b];
        out[a] = p * c - q * s;
        out[b] = p * s + q * c;
    }
}

static enum npu_status check_heads(const struct npu_message *m)
{
    enum { MOST = 1 << 16 };
    if (m->n_head < 1 || m->n_head > MOST || m->n_head_kv < 1 || m->n_head_kv > m->n_head ||
        m->d_head < 1 || m->d_head > MOST || m->n_head % m->n_head_kv)
        return NPU_BAD_SHAPE;
    return NPU_OK;
}

enum npu_status npu_rope(const struct npu_message *m)
{
    uint8_t *out, *in, *k, *v, *angles;
    TRY(check_heads(m));
    if (m->rope_dim < 2 || m->rope_dim > m->d_head || m->rope_dim % 2)
        return NPU_BAD_SHAPE;
    const int64_t p0 = (int64_t)m->n_past + m->n0, p1 = (int64_t)m->n_past + m->n1;
    const uint64_t kv = (uint64_t)m->n_head_kv * (uint64_t)m->d_head;
    TRY(floats(&m->out, m->n0, m->n1, (uint64_t)m->n_head * (uint64_t)m->d_head, &out));
    TRY(floats(&m->in2, m->n0, m->n1, 2 * kv, &in));
    TRY(floats(&m->kcache, p0, p1, kv, &k));
    TRY(floats(&m->vcache, p0, p1, kv, &v));
    TRY(floats(&m->angles, p0, p1, (uint64_t)m->rope_dim, &angles));
    for (int n = m->n0; n < m->n1; n++) {
        const int64_t p = (int64_t)m->n_past + n;
        const float *angle = row(angles, &m->angles, p), *from = row(in, &m->in2, n);
        float *q = row(out, &m->out, n), *to = row(k, &m->kcache, p);
        memmove(to, from, kv * 4);
        memmove(row(v, &m->vcache, p), from + kv, kv * 4);
        for (int h = 0; h < m->n_head; h++)
            rotate(m, angle, q + (int64_t)h * m->d_head, q + (int64_t)h * m->d_head);
        for (int h = 0; h < m->n_head_kv; h++)
            rotate(m, angle, to + (int64_t)h * m->d_head, to + (int64_t)h * m->d_head);
    }
    return NPU_OK;
}

// One query head against `rows` rows of the cache, a piece at a time: sums that were made with an
// earlier maximum are scaled down when a larger one appears.
struct attend {
    const float *q, *k, *v;
    uint64_t k_pitch, v_pitch; // bytes
    int64_t rows;
    int d;
    float scale;
    float *out;
};

static void attend(const struct attend *a)
{
    enum { PIECE = 64 };
    float score[PIECE];
    float most = 0, sum = 0;
    for (int64_t j0 = 0; j0 < a->rows; j0 += PIECE) {
        const int n = a->rows - j0 < PIECE ? (int)(a->rows - j0) : PIECE;
        const uint8_t *k = (const uint8_t *)a->k + (uint64_t)j0 * a->k_pitch;
        const uint8_t *v = (const uint8_t *)a->v + (uint64_t)j0 * a->v_pitch;
        float top = most;
        for (int j = 0; j < n; j++) {
            score[j] = dot(a->q, (const float *)(const void *)(k + (uint64_t)j * a->k_pitch), a->d);
            score[j] *= a->scale;
            if ((j0 == 0 && j == 0) || score[j] > top)
                top = score[j];
        }
        const float keep = j0 == 0 ? 0 : number_exp(most - top);
        sum *= keep;
        for (int i = 0; i < a->d; i++)
            a->out[i] = j0 == 0 ? 0 : a->out[i] * keep;
        for (int j = 0; j < n; j++) {
            const float p = number_exp(score[j] - top);
            const float *value = (const float *)(const void *)(v + (uint64_t)j * a->v_pitch);
            sum += p;
            for (int i = 0; i < a->d; i++)
                a->out[i] += p * value[i];
        }
        most = top;
    }
    const float inverse = number_divide(1.0f, sum);
    for (int i = 0; i < a->d; i++)
        a->out[i] *= inverse;
}

enum npu_status npu_attention(const struct npu_message *m)
{
    uint8_t *in, *out, *k, *v;
    TRY(check_heads(m));
    const int64_t p1 = (int64_t)m->n_past + m->n1;
    const uint64_t width = (uint64_t)m->n_head * (uint64_t)m->d_head;
    const uint64_t kv = (uint64_t)m->n_head_kv * (uint64_t)m->d_head;
    TRY(floats(&m->in, m->n0, m->n1, width, &in));
    TRY(floats(&m->out, m->n0, m->n1, width, &out));
    TRY(floats(&m->kcache, 0, p1, kv, &k));
    TRY(floats(&m->vcache, 0, p1, kv, &v));
    const int group = m->n_head / m->n_head_kv;
    for (int n = m->n0; n < m->n1; n++)
        for (int h = 0; h < m->n_head; h++) {
            const int64_t at = (int64_t)h * m->d_head, kv_at = (int64_t)(h / group) * m->d_head;
            const struct attend a = {
                .q = row(in, &m->in, n) + at,
                .k = row(k, &m->kcache, 0) + kv_at,
                .v = row(v, &m->vcache, 0) + kv_at,
                .k_pitch = m->kcache.pitch,
                .v_pitch = m->vcache.pitch,
                .rows = (int64_t)m->n_past + n + 1,
                .d = m->d_head,
                .scale = m->scale,
                .out = row(out, &m->out, n) + at,
            };
            attend(&a);
        }
    return NPU_OK;
}

enum npu_status npu_swiglu(const struct npu_message *m)
{
    uint8_t *in, *out;
    if (m->m < 1)
        return NPU_BAD_SHAPE;
    TRY(floats(&m->in, m->n0, m->n1, 2 * (uint64_t)m->m, &in));
    TRY(floats(&m->out, m->n0, m->n1, (uint64_t)m->m, &out));
    for (int n = m->n0; n < m->n1; n++) {
        const float *x = row(in, &m->in, n);
        float *y = row(out, &m->out, n);
        for (int i = 0; i < m->m; i++)
            y[i] = number_divide(x[i], number_exp(-x[i]) + 1.0f) * x[m->m + i];
    }
    return NPU_OK;
}

enum npu_status npu_add(const struct npu_message *m)
{
    uint8_t *in, *out;
    if (m->m < 1)
        return NPU_BAD_SHAPE;
    TRY(floats(&m->in, m->n0, m->n1, (uint64_t)m->m, &in));
    TRY(floats(&m->out, m->n0, m->n1, (uint64_t)m->m, &out));
    for (int n = m->n0; n < m->n1; n++) {
        const float *x = row(in, &m->in, n);
        float *y = row(out, &m->out, n);
        for (int i = 0; i < m->m; i++)
            y[i] += x[i];
    }
    return NPU_OK;
}
