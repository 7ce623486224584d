// SPDX-License-Identifier: GPL-3.0-or-later
// The weight store of the tile NPU: copies of weight rows in tile order, 32 rows at a time, indexed
// by tensor id. Slices that overlap share the rows of tiles that they have in common.
//
// A model may be closed and another one opened at the same addresses with the same ids; the store
// is never told. So store_load compares samples of the source with those it packed, and packs again
// what changed. The table is read by the NPU's thread: entries do not move, and a mutex guards the
// array of entries.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "engine/host/tile.h"

struct store {
    pthread_mutex_t lock;
    struct packed **tensor; // by id; NULL: nothing loaded
    uint32_t n;
    bool exact; // F32 tiles for every encoding
    int64_t *resident, limit;
};

struct store *store_create(bool exact, int64_t *resident, int64_t limit)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    s->exact = exact;
    s->resident = resident;
    s->limit = limit;
    return s;
}

int64_t packed_minima(const struct packed *p)
{
    static const int64_t size[] = {sizeof(struct tile_f32), sizeof(struct tile_i8),
                                   sizeof(struct tile_i4)};
    return p->k_tiles * p->halves * size[p->kind];
}

static int64_t row_bytes(const struct packed *p)
{
    return packed_minima(p) + p->min_tiles * (int64_t)sizeof(struct tile_f32);
}

static int64_t row_tiles(const struct packed *p)
{
    return (p->rows + TILE - 1) / TILE;
}

static void forget(struct store *s, struct packed *p)
{
    if (!p)
        return;
    for (int64_t i = 0; i < row_tiles(p); i++) {
        if (p->row[i].tiles)
            *s->resident -= row_bytes(p);
        free(p->row[i].tiles);
    }
    free(p->row);
    free(p);
}

void store_destroy(struct store *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->n; i++)
        forget(s, s->tensor[i]);
    free(s->tensor);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

// Head, middle and tail of each source row.
static uint64_t fingerprint(const struct tensor *w, int64_t r0, int64_t r1)
{
    uint64_t h = UINT64_C(0x9e3779b97f4a7c15);
    for (int64_t r = r0; r < r1; r++) {
        const unsigned char *row = (const unsigned char *)w->data + r * w->row_bytes;
        int64_t n = w->row_bytes < 8 ? w->row_bytes : 8;
        const int64_t at[] = {0, (w->row_bytes - n) / 3, (w->row_bytes - n) / 2, w->row_bytes - n};
        for (int i = 0; i < 4; i++) {
            uint64_t v = 0;
            memcpy(&v, row + at[i], (size_t)n);
            h = (h ^ v) * UINT64_C(0xff51afd7ed558ccd); // multiply and fold, as hash tables do
            h ^= h >> 32;
        }
    }
    return h;
}

static bool same_tensor(const struct packed *p, const struct tensor *w)
{
    return p && p->data == w->data && p->enc == w->enc && p->rows == w->rows && p->cols == w->cols;
}

static struct packed *entry(struct store *s, const struct tensor *w)
{
    return w->id < s->n && same_tensor(s->tensor[w->id], w) ? s->tensor[w->id] : NULL;
}

// The entry of a tensor, made or made anew when it was another tensor's; NULL: no memory.
static struct packed *make_entry(struct store *s, const struct tensor *w)
{
    struct packed *p = entry(s, w);
    if (p)
        return p;
    if (w->id >= s->n) {
        uint32_t n = w->id + w->id / 2 + 16;
        struct packed **grown = realloc(s->tensor, n * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + s->n, 0, (n - s->n) * sizeof *grown);
        s->tensor = grown;
        s->n = n;
    }
    p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    *p = (struct packed){.data = w->data, .enc = w->enc, .rows = w->rows, .cols = w->cols};
    bool integer = !s->exact && w->enc->unpack, four = w->enc->high - w->enc->low < 16;
    p->kind = !integer ? TILES_F32 : four && !w->enc->halves ? TILES_I4 : TILES_I8;
    p->bias = -w->enc->low;
    p->k_tiles = (int)((w->cols + TILE - 1) / TILE);
    p->halves = integer && w->enc->halves ? 2 : 1;
    p->min_tiles = integer && w->enc->minima ? (p->k_tiles + TILE - 1) / TILE : 0;
    p->row = calloc((size_t)row_tiles(p), sizeof *p->row);
    if (!p->row) {
        free(p);
        return NULL;
    }
    forget(s, s->tensor[w->id]);
    s->tensor[w->id] = p;
    return p;
}

static void pack_f32(const struct packed *p, const float *row, int r, struct tile_f32 *out)
{
    for (int64_t k = 0; k < p->cols; k++)
        out[k / TILE].w[k % TILE][r] = row[k];
}

_Static_assert((int)TILE == (int)CHUNK_VALUES, "a chunk is a row of a tile");

static void pack_i8(const struct packed *p, const struct chunk *c, int b, int r, void *tiles)
{
    struct tile_i8 *out = (struct tile_i8 *)tiles + b * p->halves;
    for (int h = 0; h < p->halves; h++)
        out[h].scale[r] = c->scale[h];
    for (int k = 0; k < TILE; k++)
        out[k * p->halves / TILE].q[k / 4][r][k % 4] = c->q[k];
}

static void pack_i4(const struct packed *p, const struct chunk *c, int b, int r, void *tiles)
{
    struct tile_i4 *out = (struct tile_i4 *)tiles + b;
    out->scale[r] = c->scale[0];
    for (int k = 0; k < TILE / 2; k++)
        out->q[k / 4][r][k % 4] =
            (uint8_t)((c->q[k] + p->bias) | (c->q[k + TILE / 2] + p->bias) << 4);
}

static void pack_integers(const struct packed *p, const char *row, int r, void *out)
{
    struct tile_f32 *minima = (struct tile_f32 *)(void *)((char *)out + packed_minima(p));
    for (int b = 0; b < p->k_tiles; b++) {
        struct chunk c;
        p->enc->unpack(row, b, &c);
        (p->kind == TILES_I4 ? pack_i4 : pack_i8)(p, &c, b, r, out);
        if (p->min_tiles)
            minima[b / TILE].w[b % TILE][r] = c.min;
    }
}

// One row of tiles; rows behind the tensor's last one are zeros.
static void pack(const struct packed *p, int64_t tile, float *scratch, void *out)
{
    memset(out, 0, (size_t)row_bytes(p));
    for (int r = 0; r < TILE && tile * TILE + r < p->rows; r++) {
        int64_t source = encoding_size(p->enc, p->cols);
        const char *row = (const char *)p->data + (tile * TILE + r) * source;
        if (p->kind != TILES_F32) {
            pack_integers(p, row, r, out);
        } else {
            p->enc->decode(row, scratch, p->cols);
            pack_f32(p, scratch, r, out);
        }
    }
}

static int load_locked(struct store *s, const struct tensor *w, int64_t m0, int64_t m1, float *row,
                       struct err *e)
{
    struct packed *p = make_entry(s, w);
    if (!p)
        return err_at(e, ERR_MEMORY, NULL, 0, w->name, "no memory to pack this weight");
    for (int64_t i = m0 / TILE; i * TILE < m1; i++) {
        int64_t end = (i + 1) * TILE < w->rows ? (i + 1) * TILE : w->rows;
        uint64_t print = fingerprint(w, i * TILE, end);
        if (p->row[i].tiles && p->row[i].fingerprint == print)
            continue;
        if (!p->row[i].tiles) {
            if (s->limit && *s->resident + row_bytes(p) > s->limit)
                return err_at(e, ERR_MEMORY, NULL, 0, w->name,
                              "the NPU's memory of %.1f MB is full", (double)s->limit / 1e6);
            p->row[i].tiles = aligned_alloc(64, (size_t)row_bytes(p));
            if (!p->row[i].tiles)
                return err_at(e, ERR_MEMORY, NULL, 0, w->name, "no memory to pack this weight");
            *s->resident += row_bytes(p);
        }
        pack(p, i, row, p->row[i].tiles);
        p->row[i].fingerprint = print;
    }
    return 0;
}

int store_load(struct store *s, const struct tensor *w, int64_t m0, int64_t m1, struct err *e)
{
    float *row = malloc((size_t)w->cols * sizeof *row);
    if (!row)
        return err_at(e, ERR_MEMORY, NULL, 0, w->name, "no memory to pack this weight");
    pthread_mutex_lock(&s->lock);
    int rc = load_locked(s, w, m0, m1, row, e);
    pthread_mutex_unlock(&s->lock);
    free(row);
    return rc;
}

bool store_has(struct store *s, const struct tensor *w, int64_t m0, int64_t m1)
{
    pthread_mutex_lock(&s->lock);
    const struct packed *p = entry(s, w);
    bool all = p != NULL;
    for (int64_t i = m0 / TILE; all && i * TILE < m1; i++)
        all = p->row[i].tiles != NULL;
    pthread_mutex_unlock(&s->lock);
    return all;
}

const struct packed *store_get(struct store *s, const struct tensor *w)
{
    pthread_mutex_lock(&s->lock);
    const struct packed *p = entry(s, w);
    pthread_mutex_unlock(&s->lock);
    return p;
}
