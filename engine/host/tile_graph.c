// SPDX-License-Identifier: GPL-3.0-or-later
// Static graphs of the tile NPU, and how one is run.
//
// A graph is a matmul with every size fixed: slice of rows, tokens, operand order. It owns the
// memory for its operands, which is why preparing one takes time and room. The two orders are one
// loop nest with a different block of tokens:
//
//   weight-stationary  all n tokens stay; each weight tile is brought in once and meets all tokens
//   weight-streamed    one tile of 32 tokens stays; all weights stream past it, once per token tile
//
// Per output element both add the same products in the same order along k, so the numbers are equal
// to the bit. Tokens up to n that the task does not have are zeros, and are multiplied all the
// same.
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "engine/host/exec.h"
#include "engine/host/tile.h"

enum { PASS = 128 }; // tokens; their sums of a row of tiles are 16 KiB, half of a first level

static int64_t round_up(int64_t v, int64_t to)
{
    return (v + to - 1) / to * to;
}

static int64_t k_tiles(int k)
{
    return (k + TILE - 1) / TILE;
}

static int64_t min_tiles(int k)
{
    return (k_tiles(k) + TILE - 1) / TILE;
}

static int block_of(const struct static_graph *g)
{
    return g->order == ORDER_WEIGHT_STATIONARY || g->n < TILE ? g->n : TILE;
}

int64_t tile_graph_bytes(const struct static_graph *g)
{
    int64_t n = block_of(g), tiles = k_tiles(g->op->k);
    return n * tiles * TILE * 4 + n * tiles * 4 + n * min_tiles(g->op->k) * TILE * 4 +
           act_q8_bytes(g->op->k) + n * TILE * 4;
}

// Touched now, so that the first run pays no page faults.
static void *zeroed(int64_t bytes)
{
    void *p = aligned_alloc(64, (size_t)round_up(bytes, 64));
    return p ? memset(p, 0, (size_t)bytes) : NULL;
}

struct tile_graph *tile_graph_create(const struct static_graph *s, struct err *e)
{
    struct tile_graph *g = calloc(1, sizeof *g);
    if (!g)
        goto no_memory;
    g->key = graph_key(s);
    g->block = block_of(s);
    g->bytes = tile_graph_bytes(s);
    int64_t tiles = k_tiles(g->key.k) * g->block;
    g->x = zeroed(tiles * TILE * 4);
    g->scale = zeroed(tiles * 4);
    g->sums = zeroed(min_tiles(g->key.k) * g->block * TILE * 4);
    g->row = zeroed(act_q8_bytes(g->key.k));
    g->acc = zeroed(g->block * TILE * 4);
    if (!g->x || !g->scale || !g->sums || !g->row || !g->acc)
        goto no_memory;
    return g;
no_memory:
    tile_graph_destroy(g);
    err_at(e, ERR_MEMORY, NULL, 0, s->op->name, "no memory for a static graph of %d tokens", s->n);
    return NULL;
}

void tile_graph_destroy(struct tile_graph *g)
{
    if (!g)
        return;
    free(g->x);
    free(g->scale);
    free(g->sums);
    free(g->row);
    free(g->acc);
    free(g);
}

struct run {
    const struct tile_kernels *k;
    const struct cpu_kernels *vector;
    const struct tile_graph *g;
    const struct task *t;
    int n;      // first token of the block, relative to t->n0
    int tokens; // of the block, padding included
    int real;   // of them, those that the task has
    int form;   // what g->x holds: 0 F32, 1 integers, -1 nothing yet
};

static void unsigned_bytes(const char *from, uint8_t *to)
{
    for (int i = 0; i < TILE; i += 8) {
        uint64_t v;
        memcpy(&v, from + i, sizeof v);
        v ^= UINT64_C(0x8080808080808080);
        memcpy(to + i, &v, sizeof v);
    }
}

// Brings the block's activations in, in tile order and in the form that the weight needs. Padding
// and columns behind k are zeros; the zero of integers is 128.
static void bring_in(struct run *r, bool integer)
{
    const struct task *t = r->t;
    int k = r->g->key.k;
    int64_t step = (int64_t)r->tokens * TILE; // values from a tile to the next along k
    if (r->form == (int)integer)
        return;
    r->form = integer;
    for (int i = 0; i < r->tokens; i++) {
        const float *x = i < r->real ? exec_row(t->in, t->n0 + r->n + i) : NULL;
        const float *scale = act_q8_scales(r->g->row, k), *sum = act_q8_sums(r->g->row, k);
        if (integer && x)
            r->vector->quantise(x, k, r->g->row);
        for (int kt = 0; kt < k_tiles(k); kt++) {
            int n = k - kt * TILE < TILE ? k - kt * TILE : TILE;
            uint8_t *q = (uint8_t *)r->g->x + kt * step + i * TILE;
            float *f = (float *)r->g->x + kt * step + i * TILE;
            if (integer && x)
                unsigned_bytes(r->g->row + kt * TILE, q);
            else if (integer)
                memset(q, 128, TILE);
            else if (x)
                memcpy(f, x + kt * TILE, (size_t)n * 4);
            if (!integer)
                memset(x ? f + n : f, 0, (size_t)(x ? TILE - n : TILE) * 4);
            if (integer) {
                r->g->scale[kt * r->tokens + i] = x ? scale[kt] : 0;
                r->g->sums[kt / TILE * step + i * TILE + kt % TILE] = x ? sum[kt] : 0;
            }
        }
    }
}

// One row of tiles against tokens [t0, t1) of the block; the sums are in g->acc afterwards.
static void some_tokens(const struct run *r, const struct packed *p, const char *tiles, int t0,
                        int t1)
{
    const struct tile_graph *g = r->g;
    bool integer = p->kind != TILES_F32;
    struct tile_run a = {
        .w = tiles,
        .tiles = p->k_tiles * p->halves,
        .halves = p->halves,
        .bias = p->bias,
        .x = (const char *)g->x + (int64_t)t0 * TILE * (integer ? 1 : 4),
        .scale = integer ? g->scale + t0 : NULL,
        .step = r->tokens,
        .tokens = t1 - t0,
        .acc = g->acc + t0 * TILE,
    };
    memset(a.acc, 0, (size_t)a.tokens * TILE * sizeof *a.acc);
    (p->kind == TILES_I4 ? r->k->i4 : p->kind == TILES_I8 ? r->k->i8 : r->k->f32)(&a);
    if (!p->min_tiles)
        return;
    a.w = tiles + packed_minima(p);
    a.tiles = p->min_tiles;
    a.halves = 1;
    a.x = g->sums + (int64_t)t0 * TILE;
    a.scale = NULL;
    r->k->f32(&a);
}

// Tokens in passes of a few, so that their sums stay in the first cache level while the row of
// tiles comes from the second.
static void row_of_tiles(const struct run *r, const struct packed *p, int64_t tile)
{
    for (int t = 0; t < r->tokens; t += PASS)
        some_tokens(r, p, p->row[tile].tiles, t, t + PASS < r->tokens ? t + PASS : r->tokens);
}

static void run_segment(struct run *r, const struct packed *p, const struct segment *s)
{
    int64_t r1 = s->r0 + s->m1 - s->m0;
    bring_in(r, p->kind != TILES_F32);
    for (int64_t tile = s->r0 / TILE; tile * TILE < r1; tile++) {
        int64_t a = tile * TILE > s->r0 ? tile * TILE : s->r0;
        int64_t b = (tile + 1) * TILE < r1 ? (tile + 1) * TILE : r1;
        row_of_tiles(r, p, tile);
        for (int i = 0; i < r->real; i++)
            memcpy(exec_row(r->t->out, r->t->out_n0 + r->n + i) + s->m0 + (a - s->r0),
                   r->g->acc + i * TILE + (a - tile * TILE), (size_t)(b - a) * 4);
    }
}

void tile_matmul(const struct tile_kernels *k, const struct cpu_kernels *vector, struct store *s,
                 const struct tile_graph *g, const struct task *t)
{
    int tokens = t->n1 - t->n0;
    for (int n = 0; n < g->key.n; n += g->block) {
        struct run r = {.k = k, .vector = vector, .g = g, .t = t, .n = n, .form = -1};
        r.tokens = g->key.n - n < g->block ? g->key.n - n : g->block;
        r.real = tokens - n < r.tokens ? tokens - n : r.tokens;
        r.real = r.real > 0 ? r.real : 0;
        for (int m = t->m0; m < t->m1;) {
            struct segment seg = exec_segment(t, m, t->m1);
            const struct packed *p = store_get(s, t->w[seg.part]);
            assert(p);
            run_segment(&r, p, &seg);
            m = seg.m1;
        }
    }
    for (int m = t->m0; m < t->m1;) {
        struct segment seg = exec_segment(t, m, t->m1);
        exec_add_bias(t, &seg);
        m = seg.m1;
    }
}
