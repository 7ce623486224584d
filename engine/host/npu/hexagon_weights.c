// SPDX-License-Identifier: GPL-3.0-or-later
// What the DSP reads besides buffers: packed weights, vectors, rotation angles.
//
// A weight is one piece of consecutive rows of tiles: those that were asked for, and what lies
// between, since a message has one address per weight. A split gives the NPU one slice of a weight,
// mostly the same one; when another is asked for, the piece is made anew and covers both.
//
// A model may be closed and another one opened at the same addresses with the same ids; nobody is
// told. So samples of the source are compared, for weights when they are loaded, and for vectors,
// which nobody loads, whenever they are used.
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "engine/host/npu/hexagon.h"
#include "engine/host/npu/pack.h"
#include "engine/ref.h"

struct entry {
    const void *data;
    struct npu_packing packing; // of a vector: not used
    int64_t t0, t1;             // rows of tiles that are there; of a vector: 0, 1
    struct hexagon_place at;
    int64_t bytes;
    uint64_t sample;
};

struct hexagon_weights {
    struct hexagon_session *session;
    struct hexagon_pool pool;
    struct entry **tensor; // by id; NULL: nothing there
    uint32_t n;
    int64_t *resident, limit;

    // Rotations: an arena of their own.
    struct rope rope; // whose they are
    bool angles_there;
    uint32_t angles;
    int positions, capacity;
};

struct hexagon_weights *hexagon_weights_create(struct hexagon_session *s, int64_t *resident,
                                               int64_t limit)
{
    struct hexagon_weights *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->session = s;
    w->resident = resident;
    w->limit = limit;
    return w;
}

static void forget(struct hexagon_weights *w, uint32_t id)
{
    struct entry *p = w->tensor[id];
    if (!p)
        return;
    if (p->bytes) {
        hexagon_pool_give(w->session, &w->pool, &p->at, p->bytes);
        *w->resident -= p->bytes;
    }
    free(p);
    w->tensor[id] = NULL;
}

void hexagon_weights_destroy(struct hexagon_weights *w)
{
    if (!w)
        return;
    for (uint32_t i = 0; i < w->n; i++)
        forget(w, i);
    free(w->tensor);
    free(w);
}

// Eight bytes at each of some places of the rows [r0, r1).
static uint64_t sample(const struct tensor *t, int64_t r0, int64_t r1)
{
    enum { PLACES = 128 };
    const char *from = (const char *)t->data + r0 * t->row_bytes;
    int64_t size = (r1 - r0) * t->row_bytes, n = size < 8 ? size : 8;
    uint64_t d = DIGEST_INIT;
    if (size <= 8 * PLACES)
        return digest_bytes(d, from, (size_t)size);
    for (int i = 0; i < PLACES; i++)
        d = digest_bytes(d, from + (size - n) / (PLACES - 1) * i, (size_t)n);
    return d;
}

static int64_t end_row(const struct entry *p, int64_t tile)
{
    return tile * NPU_TILE < p->packing.rows ? tile * NPU_TILE : p->packing.rows;
}

// The entry of a tensor; made anew when the id was another tensor's.
static int entry_of(struct hexagon_weights *w, const struct tensor *t, struct entry **out,
                    struct err *e)
{
    if (t->id >= w->n) {
        uint32_t n = t->id + t->id / 2 + 16;
        struct entry **grown = realloc(w->tensor, n * sizeof *grown);
        if (!grown)
            return err_at(e, ERR_MEMORY, NULL, 0, t->name, "no memory to keep this weight");
        memset(grown + w->n, 0, (n - w->n) * sizeof *grown);
        w->tensor = grown;
        w->n = n;
    }
    struct entry *p = w->tensor[t->id];
    const struct npu_packing *k = p ? &p->packing : NULL;
    if (p && (p->data != t->data || k->enc != t->enc || k->rows != t->rows || k->cols != t->cols)) {
        int rc = hexagon_drain(w->session, e);
        if (rc < 0)
            return rc;
        forget(w, t->id);
    }
    if (!w->tensor[t->id]) {
        p = calloc(1, sizeof *p);
        if (!p)
            return err_at(e, ERR_MEMORY, NULL, 0, t->name, "no memory to keep this weight");
        p->data = t->data;
        p->packing = npu_packing(t->enc, t->rows, t->cols, w->session->opt.exact);
        w->tensor[t->id] = p;
    }
    *out = w->tensor[t->id];
    return 0;
}

// Room for `bytes`; what was there before is given back.
static int make_room(struct hexagon_weights *w, const struct tensor *t, struct entry *p,
                     int64_t bytes, struct err *e)
{
    if (w->limit && *w->resident - p->bytes + bytes > w->limit)
        return err_at(e, ERR_MEMORY, NULL, 0, t->name, "the NPU's memory of %.1f MB is full",
                      (double)w->limit / 1e6);
    if (p->bytes)
        hexagon_pool_give(w->session, &w->pool, &p->at, p->bytes);
    *w->resident -= p->bytes;
    p->bytes = 0;
    int rc = hexagon_pool_take(w->session, &w->pool, bytes, &p->at, e);
    if (rc == 0) {
        p->bytes = bytes;
        *w->resident += bytes;
    }
    return rc;
}

static char *address(const struct hexagon_weights *w, const struct entry *p)
{
    return w->session->arena[p->at.id].base + p->at.offset;
}

// Rows of tiles [t0, t1) at least, as the source is now.
static int load_tiles(struct hexagon_weights *w, const struct tensor *t, int64_t t0, int64_t t1,
                      struct err *e)
{
    struct entry *p;
    int rc = entry_of(w, t, &p, e);
    if (rc < 0)
        return rc;
    bool there = p->bytes && p->t0 <= t0 && t1 <= p->t1;
    if (there && p->sample == sample(t, end_row(p, p->t0), end_row(p, p->t1)))
        return 0;
    rc = hexagon_drain(w->session, e); // nobody reads what is packed again
    if (rc < 0)
        return rc;
    if (!there) {
        if (p->bytes) {
            t0 = p->t0 < t0 ? p->t0 : t0;
            t1 = p->t1 > t1 ? p->t1 : t1;
        }
        rc = make_room(w, t, p, npu_packed_bytes(&p->packing, t0, t1), e);
        if (rc < 0)
            return rc;
        p->t0 = t0;
        p->t1 = t1;
    }
    npu_pack(&p->packing, t->data, t->row_bytes, p->t0, p->t1, address(w, p));
    p->sample = sample(t, end_row(p, p->t0), end_row(p, p->t1));
    return 0;
}

int hexagon_weights_load(struct hexagon_weights *w, const struct tensor *t, int64_t m0, int64_t m1,
                         struct err *e)
{
    return load_tiles(w, t, m0 / NPU_TILE, (m1 + NPU_TILE - 1) / NPU_TILE, e);
}

int hexagon_weights_use(struct hexagon_weights *w, const struct tensor *t, int64_t m0, int64_t m1,
                        struct npu_message *m, int i, struct err *e)
{
    struct entry *p;
    int rc = entry_of(w, t, &p, e);
    if (rc < 0)
        return rc;
    const struct npu_packing *k = &p->packing;
    m->weights[i] = k->weights;
    m->halves[i] = k->halves;
    m->minima[i] = k->minima;
    m->w[i].rows = (uint32_t)t->rows;
    m->w[i].pitch = (uint32_t)k->row.bytes;
    if (m0 >= m1)
        return 0;
    int64_t t0 = m0 / NPU_TILE, t1 = (m1 + NPU_TILE - 1) / NPU_TILE;
    if (!p->bytes || t0 < p->t0 || t1 > p->t1 || t->rows == 1) {
        rc = load_tiles(w, t, t0, t1, e);
        if (rc < 0)
            return rc;
    }
    m->w[i].arena = p->at.id;
    m->w[i].offset = (uint32_t)p->at.offset;
    m->first[i] = (int32_t)(p->t0 * NPU_TILE);
    return hexagon_arena_map(w->session, p->at.id, e);
}

int hexagon_weights_vector(struct hexagon_weights *w, const struct tensor *t,
                           struct npu_tensor *out, struct err *e)
{
    struct entry *p;
    int rc = entry_of(w, t, &p, e);
    if (rc < 0)
        return rc;
    uint64_t now = sample(t, 0, t->rows);
    int64_t n = t->rows * t->cols;
    if (!p->bytes || p->sample != now) {
        rc = hexagon_drain(w->session, e);
        if (rc == 0 && !p->bytes)
            rc = make_room(w, t, p, n * 4, e);
        if (rc < 0)
            return rc;
        t->enc->decode(t->data, (float *)(void *)address(w, p), n);
        p->t1 = 1;
        p->sample = now;
    }
    *out = (struct npu_tensor){p->at.id, (uint32_t)p->at.offset, (uint32_t)(n * 4), 1};
    return hexagon_arena_map(w->session, p->at.id, e);
}

// ---- angles ----

static bool same_rope(const struct rope *a, const struct rope *b)
{
    return a->pairs == b->pairs && a->scaling == b->scaling && a->dim == b->dim &&
           a->theta == b->theta && a->factor == b->factor && a->low_freq == b->low_freq &&
           a->high_freq == b->high_freq && a->beta_fast == b->beta_fast &&
           a->beta_slow == b->beta_slow && a->attn_factor == b->attn_factor &&
           a->original_ctx == b->original_ctx && a->factors == b->factors;
}

// The table grows by doubling, which waits for the DSP; rows behind what is in use are written
// while it works.
int hexagon_weights_angles(struct hexagon_weights *w, const struct model *model, int n,
                           struct npu_tensor *out, struct err *e)
{
    struct hexagon_session *s = w->session;
    const struct rope *r = &model->shape.rope;
    int64_t pitch = (int64_t)r->dim * 4;
    bool same = same_rope(r, &w->rope);
    if (w->angles_there && (!same || n > w->capacity)) {
        int rc = hexagon_drain(s, e);
        if (rc < 0)
            return rc;
        hexagon_arena_drop(s, w->angles, true);
        w->angles_there = false;
    }
    if (!w->angles_there) {
        enum { LEAST = 512 };
        int capacity = n > LEAST / 2 ? 2 * n : LEAST;
        int rc = hexagon_arena_new(s, capacity * pitch, false, &w->angles, e);
        if (rc < 0)
            return rc;
        w->angles_there = true;
        w->capacity = capacity;
        w->positions = 0;
        w->rope = *r;
    }
    float *at = (float *)(void *)s->arena[w->angles].base;
    for (; w->positions < n; w->positions++)
        for (int i = 0; i < r->dim / 2; i++) {
            float *a = at + (int64_t)w->positions * r->dim + 2 * i;
            rope_angle(r, w->positions, i, a, a + 1);
        }
    *out = (struct npu_tensor){w->angles, 0, (uint32_t)pitch, (uint32_t)w->capacity};
    return hexagon_arena_map(s, w->angles, e);
}
