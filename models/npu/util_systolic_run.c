// SPDX-License-Identifier: GPL-3.0-or-later
// The loop nest of systolic.c as events (util*: not a plug-in itself).
//
//     DMA ---> staging ---> vector unit ---> block buffer 0 | 1 ---> arrays ---> outputs ---> DMA
//     (bursts, in order)    (decodes W4)     (double-buffered)       (tiles)     (double-buffered)
//
// The stationary operand of a panel comes first, in bursts like everything else; a panel's last
// block ends before the next panel may overwrite it. A block of streamed rows goes into one half of
// the block buffer as soon as that half is free, burst by burst, and is decoded burst by burst
// where it is quantised; it is ready when its last burst is. A burst keeps its place in the staging
// memory until it is decoded, so a slow vector unit holds up the DMA engine.
//
// Each array has a load engine and a stream engine. The tiles of all blocks of a panel form one
// sequence; an array that has room behind the tile in use loads the next one of the sequence, which
// needs no block, and streams it when its block is ready and the tile before it is through. So a
// tile costs the longer of its load and its stream, and the arrays wait for data by themselves.
//
// Invariant: the bytes moved are those of the closed form; events per tile are two.
#include "models/npu/systolic.h"

#include <stdlib.h>

enum { BURSTS = 4, OUTPUTS = 2, NONE = -1 };

struct array {
    struct sim_event load, stream;
    struct run *run;
    int64_t loading, held, running; // index in the sequence of the panel's tiles, NONE
    int64_t block;                  // of the tile held or loading
    int64_t streaming;              // block of the tile running
};

struct block {
    int64_t arrived; // bytes, decoded
    int64_t bytes;   // in all
    int64_t tiles;   // streamed
    bool ready, through;
};

struct burst {
    int64_t bytes, block; // block: NONE: of the stationary operand
};

struct run {
    const struct systolic_params *p;
    struct npu_env *v;
    struct systolic_nest n;
    enum npu_operand stationary, streamed;
    double weights_per_byte; // decoded weights of a streamed byte
    int64_t panel, tiles;    // tiles: of this panel
    int64_t next_tile, next_block;
    int64_t wait_stationary; // bytes of this panel's stationary operand that are not here yet
    // Fetching: the next burst.
    int64_t fetch_block, fetch_at; // NONE: of the stationary operand; bytes asked for already
    struct burst burst[BURSTS];
    bool used[BURSTS], writing[OUTPUTS]; // tags
    // The vector unit: bursts waiting for it, oldest first.
    struct sim_event decode;
    int queue[BURSTS], n_queue;
    struct block block[2];
    int64_t retired; // blocks of the panel whose results have been handed to the DMA engine
    struct array *array;
};

// First byte of piece i of n.
static int64_t cut(int64_t total, int64_t i, int64_t n)
{
    return (int64_t)((__int128)total * i / n);
}

static void fetch(struct run *r);
static void try_stream(struct array *a);

// --- arrays

static void try_load(struct array *a)
{
    struct run *r = a->run;
    if (a->loading != NONE || a->held != NONE || r->wait_stationary || r->next_block == r->n.blocks)
        return;
    a->loading = r->next_tile;
    a->block = r->next_block;
    if (++r->next_tile == r->tiles) {
        r->next_tile = 0;
        r->next_block++;
    }
    sim_schedule(r->v->sim, &a->load, sim_now(r->v->sim) + r->v->clock(r->v, r->n.load));
}

static void on_load(struct sim *s, struct sim_event *e)
{
    (void)s;
    struct array *a = SIM_OWNER(e, struct array, load);
    a->held = a->loading;
    a->loading = NONE;
    try_stream(a);
}

static void try_stream(struct array *a)
{
    struct run *r = a->run;
    if (a->running != NONE || a->held == NONE || a->block > r->retired + 1 ||
        !r->block[a->block % 2].ready)
        return;
    int64_t rows = cut(r->n.streamed, a->block + 1, r->n.blocks) -
                   cut(r->n.streamed, a->block, r->n.blocks) + r->p->side;
    int64_t ps = (int64_t)((double)rows / r->n.rate * 1e12 + 0.5);
    a->running = a->held;
    a->streaming = a->block;
    a->held = NONE;
    sim_schedule(r->v->sim, &a->stream, sim_now(r->v->sim) + r->v->clock(r->v, ps));
    try_load(a);
}

static void each_array(struct run *r, void (*fn)(struct array *a))
{
    for (int64_t i = 0; i < r->p->arrays; i++)
        fn(&r->array[i]);
}

// --- results

static void begin_panel(struct run *r)
{
    int64_t i = r->panel;
    r->tiles = cut(r->n.tiles, i + 1, r->n.panels) - cut(r->n.tiles, i, r->n.panels);
    r->wait_stationary =
        cut(r->n.stationary, i + 1, r->n.panels) - cut(r->n.stationary, i, r->n.panels);
    r->next_tile = r->next_block = r->retired = 0;
    r->fetch_block = NONE;
    r->fetch_at = 0;
    r->block[0] = r->block[1] = (struct block){0};
    fetch(r);
}

// Hands the results of finished blocks to the DMA engine and frees their halves of the buffer.
static void retire(struct run *r)
{
    while (r->retired < r->n.blocks && r->block[r->retired % 2].through) {
        int to = 0;
        while (to < OUTPUTS && r->writing[to])
            to++;
        if (to == OUTPUTS)
            return;
        int64_t at = r->panel * r->n.blocks + r->retired, all = r->n.panels * r->n.blocks;
        int64_t begin = cut(r->n.output, at, all), end = cut(r->n.output, at + 1, all);
        r->block[r->retired % 2] = (struct block){0};
        r->retired++;
        if (end > begin) {
            r->writing[to] = true;
            r->v->transfer(
                r->v, &(struct npu_dma){BURSTS + to, NPU_OUTPUT, begin, end - begin, r->p->dma});
        }
        fetch(r);
    }
    if (r->retired < r->n.blocks)
        return;
    if (r->panel + 1 < r->n.panels) {
        r->panel++;
        begin_panel(r);
        return;
    }
    for (int i = 0; i < OUTPUTS; i++)
        if (r->writing[i])
            return;
    r->retired = INT64_MAX; // only once
    r->v->done(r->v);
}

static void on_stream(struct sim *s, struct sim_event *e)
{
    (void)s;
    struct array *a = SIM_OWNER(e, struct array, stream);
    struct run *r = a->run;
    struct block *b = &r->block[a->streaming % 2];
    a->running = NONE;
    try_stream(a);
    if (++b->tiles == r->tiles) {
        b->through = true;
        retire(r);
    }
}

// --- data

static int64_t block_bytes(const struct run *r, int64_t block)
{
    return cut(r->n.stream, block + 1, r->n.blocks) - cut(r->n.stream, block, r->n.blocks);
}

static void fetch(struct run *r)
{
    for (;;) {
        int64_t i = r->fetch_block, begin, bytes;
        bool stationary = i == NONE;
        if (!stationary && (i == r->n.blocks || i > r->retired + 1))
            return;
        if (stationary) {
            begin = cut(r->n.stationary, r->panel, r->n.panels);
            bytes = cut(r->n.stationary, r->panel + 1, r->n.panels) - begin;
        } else {
            begin = cut(r->n.stream, i, r->n.blocks);
            bytes = block_bytes(r, i);
            r->block[i % 2].bytes = bytes;
        }
        int tag = 0;
        while (tag < BURSTS && r->used[tag])
            tag++;
        if (tag == BURSTS)
            return;
        int64_t left = bytes - r->fetch_at, n = left < SYSTOLIC_BURST ? left : SYSTOLIC_BURST;
        struct npu_dma t = {tag, stationary ? r->stationary : r->streamed, begin + r->fetch_at, n,
                            r->p->dma};
        r->used[tag] = true;
        r->burst[tag] = (struct burst){n, i};
        r->fetch_at += n;
        if (r->fetch_at == bytes) {
            r->fetch_block++;
            r->fetch_at = 0;
        }
        r->v->transfer(r->v, &t);
    }
}

// A burst is where the arrays can use it.
static void usable(struct run *r, int tag)
{
    struct burst u = r->burst[tag];
    r->used[tag] = false;
    if (u.block == NONE) {
        r->wait_stationary -= u.bytes;
        if (!r->wait_stationary)
            each_array(r, try_load);
    } else {
        struct block *b = &r->block[u.block % 2];
        b->arrived += u.bytes;
        b->ready = b->arrived == b->bytes;
        if (b->ready)
            each_array(r, try_stream);
    }
    fetch(r);
}

static void decode_next(struct run *r)
{
    double weights = (double)r->burst[r->queue[0]].bytes * r->weights_per_byte;
    int64_t ps = r->v->clock(r->v, (int64_t)(weights / r->p->decode * 1e12 + 0.5));
    sim_schedule(r->v->sim, &r->decode, sim_now(r->v->sim) + ps);
}

static void on_decode(struct sim *s, struct sim_event *e)
{
    (void)s;
    struct run *r = SIM_OWNER(e, struct run, decode);
    int tag = r->queue[0];
    for (int i = 1; i < r->n_queue; i++)
        r->queue[i - 1] = r->queue[i];
    if (--r->n_queue)
        decode_next(r);
    usable(r, tag);
}

static void burst_arrived(struct run *r, int tag)
{
    if (r->burst[tag].block == NONE || !r->n.bulk) {
        usable(r, tag);
        return;
    }
    r->queue[r->n_queue++] = tag;
    if (r->n_queue == 1)
        decode_next(r);
}

static void arrived(struct npu_env *v, int tag)
{
    struct run *r = v->run;
    if (tag < BURSTS) {
        burst_arrived(r, tag);
        return;
    }
    r->writing[tag % OUTPUTS] = false; // BURSTS is a multiple of OUTPUTS
    retire(r);
}

// --- life

void *systolic_create(const void *params)
{
    const struct systolic_params *p = params;
    struct run *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->p = p;
    r->array = calloc((size_t)p->arrays, sizeof *r->array);
    if (!r->array) {
        free(r);
        return NULL;
    }
    return r;
}

void systolic_destroy(void *run)
{
    struct run *r = run;
    if (r)
        free(r->array);
    free(r);
}

void systolic_start(void *run, const struct npu_matmul *s, struct npu_env *v)
{
    struct run *r = run;
    bool streamed_weight = s->order == ORDER_WEIGHT_STREAMED;
    *r = (struct run){.p = r->p, .array = r->array, .v = v};
    systolic_nest(r->p, s, &r->n);
    r->stationary = streamed_weight ? NPU_INPUT : NPU_WEIGHT;
    r->streamed = streamed_weight ? NPU_WEIGHT : NPU_INPUT;
    r->weights_per_byte = (double)s->m * s->k / (double)r->n.stream;
    v->run = r;
    v->arrived = arrived;
    sim_event_init(&r->decode, on_decode);
    for (int64_t i = 0; i < r->p->arrays; i++) {
        struct array *a = &r->array[i];
        *a = (struct array){.run = r, .loading = NONE, .held = NONE, .running = NONE};
        sim_event_init(&a->load, on_load);
        sim_event_init(&a->stream, on_stream);
    }
    begin_panel(r);
}
