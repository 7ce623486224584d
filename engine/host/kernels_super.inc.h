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
    v8f d, m;         // of 8 chunks; m: minima, negated
    float halves[16]; // W_Q6K: of 16 values each
};

INLINE void k_scales(enum weight type, const char *p, struct kscales *s)
{
    uint16_t d, dmin;
    if (type == W_Q6K) {
        memcpy(&d, p + 208, sizeof d);
        v8f unit = v8_set(half1(d));
        v8f low = v8_mul(v8_bytes(p + 192), unit), high = v8_mul(v8_bytes(p + 200), unit);
        memcpy(s->halves, &low, sizeof low);
        memcpy(s->halves + 8, &high, sizeof high);
        return;
    }
    // Four numbers of 6 bits at a time (see engine/encoding/util.c for where they are).
    uint32_t a, b, c, scale[2], min[2];
    memcpy(&d, p, sizeof d);
    memcpy(&dmin, p + 2, sizeof dmin);
    memcpy(&a, p + 4, sizeof a);
    memcpy(&b, p + 8, sizeof b);
    memcpy(&c, p + 12, sizeof c);
    scale[0] = a & 0x3f3f3f3f;
    scale[1] = (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030);
    min[0] = b & 0x3f3f3f3f;
    min[1] = (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030);
    s->d = v8_mul(v8_bytes(scale), v8_set(half1(d)));
    s->m = v8_mul(v8_bytes(min), v8_set(-half1(dmin)));
}

// The scales times those of 8 activation blocks.
struct kfactors {
    float f[8];
};

INLINE struct kfactors k_factors(enum weight type, const struct kscales *s, const float *dx)
{
    struct kfactors k = {{0}};
    if (type != W_Q6K) {
        v8f f = v8_mul(s->d, v8_load(dx));
        memcpy(k.f, &f, sizeof f);
    }
    return k;
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

INLINE v8f k_add(enum weight type, vq w, const struct kscales *s, const struct kfactors *k, int c,
                 vq x, const float *dx, v8f acc)
{
    if (type == W_Q6K)
        return v8_fma(vq_dot(w, x), v8_mul(v8_pair(s->halves + 2 * c), v8_set(dx[c])), acc);
    return v8_fma(vq_udot(w, x), v8_set(k->f[c]), acc);
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
    for (int b = 0; b < a->k / 256; b++, dx += 8, dy += 8, mx += 8, my += 8) {
        int64_t at = (int64_t)b * k_bytes(type);
        const char *p = w + at, *p1 = w1 + at, *p2 = w2 + at, *p3 = w3 + at;
        struct kscales s0, s1, s2, s3;
        k_scales(type, p, &s0), k_scales(type, p1, &s1);
        k_scales(type, p2, &s2), k_scales(type, p3, &s3);
        struct kfactors f0 = k_factors(type, &s0, dx), g0 = k_factors(type, &s0, dy);
        struct kfactors f1 = k_factors(type, &s1, dx), g1 = k_factors(type, &s1, dy);
        struct kfactors f2 = k_factors(type, &s2, dx), g2 = k_factors(type, &s2, dy);
        struct kfactors f3 = k_factors(type, &s3, dx), g3 = k_factors(type, &s3, dy);
        a00 = k_minima(type, &s0, mx, a00), a01 = k_minima(type, &s0, my, a01);
        a10 = k_minima(type, &s1, mx, a10), a11 = k_minima(type, &s1, my, a11);
        a20 = k_minima(type, &s2, mx, a20), a21 = k_minima(type, &s2, my, a21);
        a30 = k_minima(type, &s3, mx, a30), a31 = k_minima(type, &s3, my, a31);
#pragma GCC unroll 8
        for (int c = 0; c < 8; c++) {
            int i = (b * 8 + c) * Q8_BLOCK;
            vq x0 = vq_load(x + i), x1 = vq_load(y + i), v;
            v = k_chunk(type, p, c);
            a00 = k_add(type, v, &s0, &f0, c, x0, dx, a00);
            a01 = k_add(type, v, &s0, &g0, c, x1, dy, a01);
            v = k_chunk(type, p1, c);
            a10 = k_add(type, v, &s1, &f1, c, x0, dx, a10);
            a11 = k_add(type, v, &s1, &g1, c, x1, dy, a11);
            v = k_chunk(type, p2, c);
            a20 = k_add(type, v, &s2, &f2, c, x0, dx, a20);
            a21 = k_add(type, v, &s2, &g2, c, x1, dy, a21);
            v = k_chunk(type, p3, c);
            a30 = k_add(type, v, &s3, &f3, c, x0, dx, a30);
            a31 = k_add(type, v, &s3, &g3, c, x1, dy, a31);
        }
    }
    float *out1 = out + a->out_pitch;
    out[0] = v8_sum(a00), out[1] = v8_sum(a10), out[2] = v8_sum(a20), out[3] = v8_sum(a30);
    out1[0] = v8_sum(a01), out1[1] = v8_sum(a11), out1[2] = v8_sum(a21), out1[3] = v8_sum(a31);
}

// The blocks of the two rows behind these are asked for meanwhile, because two short streams end
// before the hardware has learnt to run ahead.
INLINE void kblock21(enum weight type, const struct mm *a, const char *w, const char *x, float *out)
{
    const char *w1 = w + a->w_pitch;
    const float *dx = act_q8_scales(x, a->k), *mx = act_q8_sums(x, a->k);
    v8f a0 = {0}, a1 = {0};
    for (int b = 0; b < a->k / 256; b++, dx += 8, mx += 8) {
        const char *p = w + (int64_t)b * k_bytes(type), *p1 = w1 + (int64_t)b * k_bytes(type);
        struct kscales s0, s1;
        for (int i = 0; i < k_bytes(type); i += 64) {
            __builtin_prefetch(p + 2 * a->w_pitch + i);
            __builtin_prefetch(p1 + 2 * a->w_pitch + i);
        }
        k_scales(type, p, &s0), k_scales(type, p1, &s1);
        struct kfactors f0 = k_factors(type, &s0, dx), f1 = k_factors(type, &s1, dx);
        a0 = k_minima(type, &s0, mx, a0), a1 = k_minima(type, &s1, mx, a1);
#pragma GCC unroll 8
        for (int c = 0; c < 8; c++) {
            vq v = vq_load(x + (b * 8 + c) * Q8_BLOCK);
            a0 = k_add(type, k_chunk(type, p, c), &s0, &f0, c, v, dx, a0);
            a1 = k_add(type, k_chunk(type, p1, c), &s1, &f1, c, v, dx, a1);
        }
    }
    out[0] = v8_sum(a0), out[1] = v8_sum(a1);
}

INLINE void kblock11(enum weight type, const struct mm *a, const char *w, const char *x, float *out)
{
    const float *dx = act_q8_scales(x, a->k), *mx = act_q8_sums(x, a->k);
    v8f acc = {0};
    for (int b = 0; b < a->k / 256; b++, dx += 8, mx += 8) {
        const char *p = w + (int64_t)b * k_bytes(type);
        struct kscales s;
        k_scales(type, p, &s);
        struct kfactors f = k_factors(type, &s, dx);
        acc = k_minima(type, &s, mx, acc);
#pragma GCC unroll 8
        for (int c = 0; c < 8; c++)
            acc = k_add(type, k_chunk(type, p, c), &s, &f, c, vq_load(x + (b * 8 + c) * Q8_BLOCK),
                        dx, acc);
    }
    *out = v8_sum(acc);
}

#endif
