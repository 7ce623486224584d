// SPDX-License-Identifier: GPL-3.0-or-later
// A hash table of regions and a pointer that only grows. An operator's several inputs are taken as
// one run of addresses: that of its only input, of the keys for attention.
// Invariant: regions do not overlap; addresses depend on the order of first touches alone.
#include "models/soc/place.h"

#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "engine/device.h"

enum { PAGE = 4096, FIRST = 64 };
enum { KEY_WEIGHT = 1, KEY_BUFFER, KEY_ROLE };

void place_init(struct place *p)
{
    *p = (struct place){.capacity = FIRST};
    p->slot = calloc(FIRST, sizeof *p->slot);
    if (!p->slot)
        abort();
}

void place_fini(struct place *p)
{
    free(p->slot);
    p->slot = NULL;
}

void place_reset(struct place *p)
{
    memset(p->slot, 0, p->capacity * sizeof *p->slot);
    p->n = 0;
    p->next = 0;
}

static struct place_region *slot_of(const struct place *p, uint64_t key)
{
    size_t i = (size_t)key & (p->capacity - 1);
    while (p->slot[i].key && p->slot[i].key != key)
        i = (i + 1) & (p->capacity - 1);
    return &p->slot[i];
}

static void grow(struct place *p)
{
    struct place_region *old = p->slot;
    size_t n = p->capacity;
    p->capacity *= 2;
    p->slot = calloc(p->capacity, sizeof *p->slot);
    if (!p->slot)
        abort();
    for (size_t i = 0; i < n; i++)
        if (old[i].key)
            *slot_of(p, old[i].key) = old[i];
    free(old);
}

// The region of `key`, of at least `bytes`.
static struct place_region *find(struct place *p, uint64_t key, int64_t bytes)
{
    key = key ? key : 1;
    struct place_region *r = slot_of(p, key);
    if (r->key && r->bytes >= bytes)
        return r;
    if (r->key)
        bytes *= 2; // moves: leave room
    else
        p->n++;
    bytes = (bytes + PAGE - 1) / PAGE * PAGE;
    *r = (struct place_region){.key = key, .address = p->next, .bytes = bytes, .stamp = -1};
    p->next += (uint64_t)bytes;
    return r;
}

static uint64_t key_of(uint64_t kind, uint64_t a, uint64_t b, uint64_t c)
{
    return digest_u64(digest_u64(digest_u64(digest_u64(DIGEST_INIT, kind), a), b), c);
}

static uint64_t buffer_key(const struct buffer *b, enum buf_id role)
{
    return b ? key_of(KEY_BUFFER, b->id, 0, 0) : key_of(KEY_ROLE, (uint64_t)(role + 1), 0, 0);
}

void place_task(struct place *p, const struct task *t, double act_bytes, int64_t weight,
                int64_t read, int64_t write, struct operands *out)
{
    const struct op *op = t->op;
    bool matmul = op->kind == OP_MATMUL, cache = op->kind == OP_ATTENTION;
    double row = t->model->shape.weight_bits / 8 * op->k; // of a matmul, which may be a shard
    int64_t whole = matmul ? (int64_t)(row * op->m) + 1 : weight;
    if (4 * (p->n + 3) > 3 * p->capacity)
        grow(p);
    uint64_t key = key_of(KEY_WEIGHT, (uint64_t)(t->layer + 1), (uint64_t)op->index,
                          (uint64_t)op->m << 32 | (uint64_t)op->k);
    out->weight = find(p, key, whole)->address + (uint64_t)(matmul ? t->m0 * row : 0);

    const struct buffer *in = cache ? t->kcache : t->in;
    uint64_t skip = cache ? 0 : (uint64_t)((double)t->n0 * op->k * act_bytes);
    out->read_region = find(p, buffer_key(in, cache ? BUF_KCACHE : op->in), (int64_t)skip + read);
    out->read = out->read_region->address + skip;

    skip = (uint64_t)((double)t->out_n0 * op->m * act_bytes);
    skip += matmul ? (uint64_t)(t->m0 * act_bytes) : 0;
    out->write_region = find(p, buffer_key(t->out, op->out), (int64_t)skip + write);
    out->write = out->write_region->address + skip;
}
