// SPDX-License-Identifier: GPL-3.0-or-later
// The quantised kernels for blocks of 32 (Q8_0, Q4_0, Q4_1, Q5_0, IQ4_NL), in the middle of
// kernels_body.inc.h and in its terms. Alone it is empty.
//
// Eight blocks at a time, so that what is done per block becomes one vector operation per eight:
// their scales are converted together, and their integer sums are brought into the eight lanes of
// one register (lane i: block i), where one multiplication by scale times scale finishes them. Two
// blocks share a register, 0 with 4, 1 with 5 and so on: the order in which pairwise additions put
// the sums into their lanes. The activations lie in that order in memory (act_q8_pairs).
//
// Stored numbers stay unsigned where they are; what is subtracted from them (8, 16, or a minimum)
// meets the sums of the activations, again for eight blocks at once.
//
// The last blocks of a row that is not a multiple of eight are copied beside zeros.
#ifdef V_W

enum { OCTET = 8, MOST_Q_BYTES = 34 };

INLINE int q_bytes(enum weight type)
{
    return type == W_Q8 ? 34 : type == W_Q4_1 ? 20 : type == W_Q5 ? 22 : 18;
}

INLINE v8f v8_load(const float *p)
{
    v8f v;
    memcpy(&v, p, sizeof v);
    return v;
}

// The stored numbers of blocks i and i + 4 of an octet at p: their first and second halves.
struct pair {
    vq first, second;
};

INLINE struct pair pair_load(enum weight type, const char *p, int i)
{
    const char *a = p + i * q_bytes(type), *b = a + 4 * q_bytes(type);
    if (type == W_Q8)
        return (struct pair){vq_pair(a + 2, b + 2), vq_pair(a + 18, b + 18)};
    int at = q_bytes(type) - 16;
    vq v = vq_pair(a + at, b + at);
    struct pair q = {vq_bits(v, 0, 15), vq_bits(v, 4, 15)};
    if (type == W_IQ4)
        return (struct pair){vq_table(q.first, iq4_nl_values), vq_table(q.second, iq4_nl_values)};
    if (type == W_Q5) {
        uint32_t high[2], of[2];
        memcpy(&high[0], a + 2, 4);
        memcpy(&high[1], b + 2, 4);
        of[0] = (high[0] & 0xffff) | high[1] << 16;
        of[1] = high[0] >> 16 | (high[1] & 0xffff0000);
        q.first = vq_or(q.first, vq_spread(&of[0]));
        q.second = vq_or(q.second, vq_spread(&of[1]));
    }
    return q;
}

INLINE vi8 pair_dot(enum weight type, const struct pair *w, const char *x)
{
    if (type == W_Q8 || type == W_IQ4)
        return vi8_dot(w->first, vq_load(x), w->second, vq_load(x + Q8_BLOCK));
    return vi8_udot(w->first, vq_load(x), w->second, vq_load(x + Q8_BLOCK));
}

// Eight blocks of one weight row. low: what meets the sums of the activations.
struct octet {
    struct pair p0, p1, p2, p3;
    v8f scale, low;
};

INLINE struct octet octet_load(enum weight type, const char *p)
{
    struct octet o = {.p0 = pair_load(type, p, 0),
                      .p1 = pair_load(type, p, 1),
                      .p2 = pair_load(type, p, 2),
                      .p3 = pair_load(type, p, 3),
                      .scale = v8_halves(p, q_bytes(type))};
    o.low = type == W_Q4_1 ? v8_halves(p + 2, q_bytes(type))
                           : v8_mul(o.scale, v8_set(type == W_Q5 ? -16 : -8));
    return o;
}

// One activation row: what octet b needs of it.
struct xrow {
    const char *pairs;
    const float *scale, *sum;
};

INLINE struct xrow xrow_of(const struct mm *a, int t)
{
    const char *x = (const char *)a->x + t * a->x_pitch;
    return (struct xrow){act_q8_pairs(x, a->k), act_q8_scales(x, a->k), act_q8_sums(x, a->k)};
}

INLINE v8f octet_add(enum weight type, const struct octet *w, const struct xrow *x, int b, v8f acc)
{
    const char *p = x->pairs + (int64_t)b * (OCTET * Q8_BLOCK);
    v8f sums = vi8_sums(pair_dot(type, &w->p0, p), pair_dot(type, &w->p1, p + 2 * Q8_BLOCK),
                        pair_dot(type, &w->p2, p + 4 * Q8_BLOCK),
                        pair_dot(type, &w->p3, p + 6 * Q8_BLOCK));
    acc = v8_fma(sums, v8_mul(w->scale, v8_load(x->scale + b * OCTET)), acc);
    if (type == W_Q8 || type == W_IQ4)
        return acc;
    return v8_fma(w->low, v8_load(x->sum + b * OCTET), acc);
}

// Octet b of a weight row; where the row ends within it, a copy in `room`.
INLINE const char *octet_at(enum weight type, const struct mm *a, const char *w, int b, char *room)
{
    int bytes = q_bytes(type), left = a->k / Q8_BLOCK - b * OCTET;
    w += (int64_t)b * OCTET * bytes;
    if (left >= OCTET)
        return w;
    memset(room, 0, OCTET * MOST_Q_BYTES);
    return memcpy(room, w, (size_t)(left * bytes));
}

// One weight row times one token. Rows follow each other in memory and are read once: what lies
// AHEAD is asked for meanwhile, because a page's end stops the hardware from running ahead.
INLINE float octets11(enum weight type, const struct mm *a, const char *w, const struct xrow *x)
{
    enum { AHEAD = 3072, LINE = 64 };
    char room[OCTET * MOST_Q_BYTES];
    v8f acc = {0};
    for (int b = 0; b < act_q8_blocks(a->k) / OCTET; b++) {
        const char *p = octet_at(type, a, w, b, room);
        for (int i = 0; i < OCTET * q_bytes(type); i += LINE)
            __builtin_prefetch(p + AHEAD + i);
        struct octet o = octet_load(type, p);
        acc = octet_add(type, &o, x, b, acc);
    }
    return v8_sum(acc);
}

// One weight row times 4 tokens: the stored numbers are unpacked once.
INLINE void octets14(enum weight type, const struct mm *a, const char *w, const struct xrow *x,
                     float *out)
{
    char room[OCTET * MOST_Q_BYTES];
    v8f a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0};
    for (int b = 0; b < act_q8_blocks(a->k) / OCTET; b++) {
        struct octet o = octet_load(type, octet_at(type, a, w, b, room));
        a0 = octet_add(type, &o, &x[0], b, a0), a1 = octet_add(type, &o, &x[1], b, a1);
        a2 = octet_add(type, &o, &x[2], b, a2), a3 = octet_add(type, &o, &x[3], b, a3);
    }
    out[0] = v8_sum(a0), out[a->out_pitch] = v8_sum(a1);
    out[2 * a->out_pitch] = v8_sum(a2), out[3 * a->out_pitch] = v8_sum(a3);
}

INLINE void mm_octets(enum weight type, const struct mm *a)
{
    const char *w = a->w;
    int t = 0;
    for (; t + 4 <= a->tokens; t += 4) {
        struct xrow x[4] = {xrow_of(a, t), xrow_of(a, t + 1), xrow_of(a, t + 2), xrow_of(a, t + 3)};
        for (int r = 0; r < a->rows; r++)
            octets14(type, a, w + r * a->w_pitch, x, a->out + t * a->out_pitch + r);
    }
    for (; t < a->tokens; t++) {
        struct xrow x = xrow_of(a, t);
        for (int r = 0; r < a->rows; r++)
            a->out[t * a->out_pitch + r] = octets11(type, a, w + r * a->w_pitch, &x);
    }
}

#endif
