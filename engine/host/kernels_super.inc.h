// SPDX-License-Identifier: GPL-3.0-or-later
// The quantised kernels for blocks of 256 (Q4_K, Q5_K, Q6_K), in the middle of kernels_body.inc.h
// and in its terms. Alone it is empty.
//
// A block is 8 chunks of 32: scales and minima of a block are unpacked once into floats, then each
// chunk is one integer product and one scaled addition, as in blocks of 32; Q6_K has two scales per
// chunk, one for each half of the product's lanes. The 8 minima meet the 8 sums of the activations
// in one multiplication of 8 lanes.
#ifdef V_W

INLINE int k_bytes(enum weight type)
{
    return type == W_Q4K ? 144 : type == W_Q5K ? 176 : 210;
}

struct kscales {
    float d[16]; // W_Q6K: of 16 values each; else the first 8, of 32
    v8f m;       // minima, negated
};

INLINE v8f v8_load(const float *p)
{
    v8f v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void k_scales(enum weight type, const char *p, struct kscales *s)
{
    uint16_t d, dmin;
    if (type == W_Q6K) {
        int8_t scale[16];
        memcpy(scale, p + 192, sizeof scale);
        memcpy(&d, p + 208, sizeof d);
        float unit = half1(d);
        for (int i = 0; i < 16; i++)
            s->d[i] = unit * (float)scale[i];
        return;
    }
    // Four numbers of 6 bits at a time (see engine/encoding/util.c for where they are).
    uint32_t a, b, c, scale[2], min[2];
    uint8_t bytes[16];
    float m[8];
    memcpy(&d, p, sizeof d);
    memcpy(&dmin, p + 2, sizeof dmin);
    memcpy(&a, p + 4, sizeof a);
    memcpy(&b, p + 8, sizeof b);
    memcpy(&c, p + 12, sizeof c);
    scale[0] = a & 0x3f3f3f3f;
    scale[1] = (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030);
    min[0] = b & 0x3f3f3f3f;
    min[1] = (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030);
    memcpy(bytes, scale, 8);
    memcpy(bytes + 8, min, 8);
    float unit = half1(d), unit_min = -half1(dmin);
    for (int i = 0; i < 8; i++) {
        s->d[i] = unit * (float)bytes[i];
        m[i] = unit_min * (float)bytes[8 + i];
    }
    s->m = v8_load(m);
}

// Stored numbers of chunk c.
INLINE vq k_chunk(enum weight type, const char *p, int c)
{
    if (type == W_Q4K)
        return vq_bits(vq_load(p + 16 + c / 2 * 32), c % 2 * 4, 15);
    if (type == W_Q5K)
        return vq_or(vq_bits(vq_load(p + 48 + c / 2 * 32), c % 2 * 4, 15),
                     vq_bits(vq_load(p + 16), c - 4, 16));
    int n = c / 4, h = c % 4;
    return vq_minus(vq_or(vq_bits(vq_load(p + 64 * n + h % 2 * 32), h / 2 * 4, 15),
                          vq_bits(vq_load(p + 128 + 32 * n), 2 * h - 4, 0x30)),
                    32);
}

INLINE v8f k_add(enum weight type, vq w, const struct kscales *s, int c, vq x, float dx, v8f acc)
{
    if (type == W_Q6K)
        return v8_fma(vq_dot(w, x), v8_pair(s->d[2 * c] * dx, s->d[2 * c + 1] * dx), acc);
    return v8_fma(vq_udot(w, x), v8_set(s->d[c] * dx), acc);
}

INLINE v8f k_minima(enum weight type, const struct kscales *s, const float *sums, v8f acc)
{
    return type == W_Q6K ? acc : v8_fma(s->m, v8_load(sums), acc);
}

INLINE void kblock42(enum weight type, const struct mm *a, const char *w, const char *x, float *out)
{
    const char *w1 = w + a->w_pitch, *w2 = w1 + a->w_pitch, *w3 = w2 + a->w_pitch;
    const char *y = x + a->x_pitch;
    const float *dx = act_q8_scales(x, a->k), *dy = act_q8_scales(y, a->k);
    const float *mx = act_q8_sums(x, a->k), *my = act_q8_sums(y, a->k);
    v8f a00 = {0}, a01 = {0}, a10 = {0}, a11 = {0}, a20 = {0}, a21 = {0}, a30 = {0}, a31 = {0};
    for (int b = 0; b < a->k / 256; b++) {
        int64_t at = (int64_t)b * k_bytes(type);
        const char *p = w + at, *p1 = w1 + at, *p2 = w2 + at, *p3 = w3 + at;
        struct kscales s0, s1, s2, s3;
        k_scales(type, p, &s0), k_scales(type, p1, &s1);
        k_scales(type, p2, &s2), k_scales(type, p3, &s3);
#pragma GCC unroll 8
        for (int c = 0; c < 8; c++) {
            int i = b * 8 + c;
            vq x0 = vq_load(x + i * Q8_BLOCK), x1 = vq_load(y + i * Q8_BLOCK), v;
            v = k_chunk(type, p, c);
            a00 = k_add(type, v, &s0, c, x0, dx[i], a00);
            a01 = k_add(type, v, &s0, c, x1, dy[i], a01);
            v = k_chunk(type, p1, c);
            a10 = k_add(type, v, &s1, c, x0, dx[i], a10);
            a11 = k_add(type, v, &s1, c, x1, dy[i], a11);
            v = k_chunk(type, p2, c);
            a20 = k_add(type, v, &s2, c, x0, dx[i], a20);
            a21 = k_add(type, v, &s2, c, x1, dy[i], a21);
            v = k_chunk(type, p3, c);
            a30 = k_add(type, v, &s3, c, x0, dx[i], a30);
            a31 = k_add(type, v, &s3, c, x1, dy[i], a31);
        }
        const float *m0 = mx + b * 8, *m1 = my + b * 8;
        a00 = k_minima(type, &s0, m0, a00), a01 = k_minima(type, &s0, m1, a01);
        a10 = k_minima(type, &s1, m0, a10), a11 = k_minima(type, &s1, m1, a11);
        a20 = k_minima(type, &s2, m0, a20), a21 = k_minima(type, &s2, m1, a21);
        a30 = k_minima(type, &s3, m0, a30), a31 = k_minima(type, &s3, m1, a31);
    }
    float *out1 = out + a->out_pitch;
    out[0] = v8_sum(a00), out[1] = v8_sum(a10), out[2] = v8_sum(a20), out[3] = v8_sum(a30);
    out1[0] = v8_sum(a01), out1[1] = v8_sum(a11), out1[2] = v8_sum(a21), out1[3] = v8_sum(a31);
}

// The blocks of the two rows behind these are asked for meanwhile, as in qblock21.
INLINE void kblock21(enum weight type, const struct mm *a, const char *w, const char *x, float *out)
{
    const char *w1 = w + a->w_pitch;
    const float *dx = act_q8_scales(x, a->k), *mx = act_q8_sums(x, a->k);
    v8f a0 = {0}, a1 = {0};
    for (int b = 0; b < a->k / 256; b++) {
        const char *p = w + (int64_t)b * k_bytes(type), *p1 = w1 + (int64_t)b * k_bytes(type);
        struct kscales s0, s1;
        for (int i = 0; i < k_bytes(type); i += 64) {
            __builtin_prefetch(p + 2 * a->w_pitch + i);
            __builtin_prefetch(p1 + 2 * a->w_pitch + i);
        }
        k_scales(type, p, &s0), k_scales(type, p1, &s1);
#pragma GCC unroll 8
        for (int c = 0; c < 8; c++) {
            int i = b * 8 + c;
            vq v = vq_load(x + i * Q8_BLOCK);
            a0 = k_add(type, k_chunk(type, p, c), &s0, c, v, dx[i], a0);
            a1 = k_add(type, k_chunk(type, p1, c), &s1, c, v, dx[i], a1);
        }
        a0 = k_minima(type, &s0, mx + b * 8, a0), a1 = k_minima(type, &s1, mx + b * 8, a1);
    }
    out[0] = v8_sum(a0), out[1] = v8_sum(a1);
}

INLINE void kblock11(enum weight type, const struct mm *a, const char *w, const char *x, float *out)
{
    const float *dx = act_q8_scales(x, a->k), *mx = act_q8_sums(x, a->k);
    v8f acc = {0};
    for (int b = 0; b < a->k / 256; b++) {
        const char *p = w + (int64_t)b * k_bytes(type);
        struct kscales s;
        k_scales(type, p, &s);
#pragma GCC unroll 8
        for (int c = 0; c < 8; c++) {
            int i = b * 8 + c;
            acc = k_add(type, k_chunk(type, p, c), &s, c, vq_load(x + i * Q8_BLOCK), dx[i], acc);
        }
        acc = k_minima(type, &s, mx + b * 8, acc);
    }
    *out = v8_sum(acc);
}

#endif
