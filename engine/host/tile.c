// SPDX-License-Identifier: GPL-3.0-or-later
// The tile NPU: a software NPU on one thread that behaves as the NPU of a phone does, so that plans
// for NPUs can be executed, and their synchronisation measured, on any machine. It multiplies
// matrices only on prepared static graphs of standard sizes, in tiles of 32 x 32, from weights that
// were repacked at loading; padding is computed. Its vector unit (the CPU kernels, on its thread)
// does the other operators.
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/host/exec.h"
#include "engine/host/host.h"
#include "engine/host/queue.h"
#include "engine/host/shapes.h"
#include "engine/host/tile.h"

enum { GRAPHS = 16384 }; // handles; more than any plan prepares

struct tile_options {
    bool enabled, exact;
    int isa;
    struct conf_int_list sizes, pin;
    int64_t max_graphs, memory, spin;
};

#define O(field) offsetof(struct tile_options, field)
const struct conf_row device_tile_rows[] = {
    {"enabled", CONF_BOOL, UNIT_NONE, "true", 0, 0, NULL, "Open this device.", O(enabled)},
    {"isa", CONF_ENUM, UNIT_NONE, "auto", 0, 0, TILE_ISA_CHOICES,
     "Instruction set of the tile kernels.", O(isa)},
    {"sizes", CONF_INT_LIST, UNIT_NONE, "[1, 32, 64, 128, 256, 512, 1024]", 1, 65536, NULL,
     "Standard sizes (tokens) of static graphs, ascending.", O(sizes)},
    {"exact", CONF_BOOL, UNIT_NONE, "false", 0, 0, NULL,
     "F32 tiles for quantised weights too (slower, more memory) instead of int8.", O(exact)},
    {"max_graphs", CONF_INT, UNIT_NONE, "0", 0, GRAPHS, NULL,
     "Static graphs that can be resident; 0: no limit.", O(max_graphs)},
    {"memory", CONF_INT, UNIT_SIZE, "0 B", 0, 1e15, NULL,
     "Memory for packed weights and static graphs; 0 B: no limit.", O(memory)},
    {"spin", CONF_INT, UNIT_NONE, "500", 0, 1e9, NULL,
     "Turns that the thread polls for work before it sleeps.", O(spin)},
    {"pin", CONF_INT_LIST, UNIT_NONE, "[]", 0, 4095, NULL, "CPU to pin the thread to; empty: none.",
     O(pin)},
};
const size_t device_tile_n_rows = sizeof device_tile_rows / sizeof device_tile_rows[0];

struct tile {
    struct host_device host; // first
    struct exec vector;      // the vector unit
    struct tile_kernels kernel;
    struct queue *queue;
    struct store *store;
    struct tile_graph *graph[GRAPHS]; // written before a task names them; never replaced
    int graphs;
    uint64_t prepared; // since the reset
    int64_t prepare_ps;
    int64_t resident; // bytes of weights and graphs
    char detail[64];
};

static struct tile *self(const struct device *d)
{
    return (struct tile *)d;
}

static int run(void *ctx, const struct task *t, struct err *e)
{
    struct tile *u = ctx;
    if (t->op->kind != OP_MATMUL)
        return exec_run(&u->vector, t, e);
    tile_matmul(&u->kernel, &u->vector.kernel, u->store, u->graph[t->graph], t);
    return 0;
}

static int tile_supports(const struct device *d, const struct task *t, struct err *e)
{
    return shapes_supports(d, t, INT_MAX, e);
}

static int tile_alloc(struct device *d, struct buffer *b, struct err *e)
{
    (void)d, (void)b, (void)e;
    return 0;
}

static void tile_free(struct device *d, struct buffer *b)
{
    (void)d, (void)b;
}

static int tile_map(struct device *d, struct buffer *b, int64_t row0, int64_t row1, int64_t col0,
                    int64_t col1, enum map_dir dir, struct err *e)
{
    (void)d, (void)b, (void)row0, (void)row1, (void)col0, (void)col1, (void)dir, (void)e;
    return 0;
}

static int tile_load(struct device *d, const struct tensor *w, int64_t m0, int64_t m1,
                     struct err *e)
{
    struct tile *u = self(d);
    int rc = shapes_rows(w, m0, m1, e);
    if (rc < 0 || w->rows == 1) // a norm's vector, most likely: the vector unit reads it in place
        return rc;
    queue_drain(u->queue); // rows that changed are packed again in place
    return store_load(u->store, w, m0, m1, e);
}

static int tile_prepare(struct device *d, const struct static_graph *g, int *handle, struct err *e)
{
    struct tile *u = self(d);
    if (g->op->kind != OP_MATMUL)
        return err_at(e, ERR_UNSUPPORTED, NULL, 0, g->op->name, "only matmuls have static graphs");
    for (int i = 0; i < u->graphs; i++)
        if (graph_key_is(&u->graph[i]->key, g)) {
            *handle = i;
            return 0;
        }
    int rc = shapes_admit(d, g, INT_MAX, u->graphs, GRAPHS, u->resident, tile_graph_bytes(g), e);
    if (rc < 0)
        return rc;
    int64_t start = host_now();
    struct tile_graph *made = tile_graph_create(g, e);
    if (!made)
        return ERR_MEMORY;
    u->prepare_ps += host_now() - start;
    u->prepared++;
    u->resident += made->bytes;
    *handle = u->graphs;
    u->graph[u->graphs++] = made;
    return 0;
}

// Weights that were not loaded are loaded now, in the submitter's time. (One-row weights always:
// tile_load leaves them alone.)
static int load_missing(struct device *d, const struct task *t, struct err *e)
{
    for (int m = t->m0; m < t->m1;) {
        struct segment s = exec_segment(t, m, t->m1);
        int64_t r1 = s.r0 + s.m1 - s.m0;
        if (t->w[s.part]->rows == 1 || !store_has(self(d)->store, t->w[s.part], s.r0, r1)) {
            queue_drain(self(d)->queue);
            int rc = store_load(self(d)->store, t->w[s.part], s.r0, r1, e);
            if (rc < 0)
                return rc;
        }
        m = s.m1;
    }
    return 0;
}

static int tile_submit(struct device *d, const struct task *t, uint64_t *seq, struct err *e)
{
    struct tile *u = self(d);
    if (t->op->kind == OP_MATMUL) {
        struct static_graph want = {t->op, t->m0, t->m1, t->n_pad, t->order};
        if (t->graph < 0 || t->graph >= u->graphs)
            return err_at(e, ERR_USAGE, NULL, 0, t->op->name,
                          "no static graph was prepared for this matmul of %d tokens", t->n_pad);
        if (!graph_key_is(&u->graph[t->graph]->key, &want) || t->n1 - t->n0 > t->n_pad)
            return err_at(e, ERR_USAGE, NULL, 0, t->op->name,
                          "static graph %d was prepared for something else", t->graph);
        int rc = load_missing(d, t, e);
        if (rc < 0)
            return rc;
    }
    return queue_submit(u->queue, t, seq, e);
}

static int tile_poll(struct device *d, uint64_t seq, struct err *e)
{
    return queue_poll(self(d)->queue, seq, e);
}

static int tile_wait(struct device *d, uint64_t seq, enum wait_mode mode, struct err *e)
{
    return queue_wait(self(d)->queue, seq, mode, e);
}

static void tile_stats(struct device *d, struct device_stats *out)
{
    struct tile *u = self(d);
    *out = (struct device_stats){
        .graphs = u->prepared, .prepare_ps = u->prepare_ps, .resident = u->resident};
    queue_stats(u->queue, out);
}

static void forget_graphs(struct tile *u)
{
    while (u->graphs > 0) {
        struct tile_graph *g = u->graph[--u->graphs];
        u->resident -= g->bytes;
        tile_graph_destroy(g);
    }
}

static void tile_reset(struct device *d)
{
    struct tile *u = self(d);
    queue_drain(u->queue);
    queue_reset(u->queue);
    forget_graphs(u);
    u->prepared = 0;
    u->prepare_ps = 0;
}

static void tile_close(struct device *d)
{
    struct tile *u = self(d);
    queue_destroy(u->queue);
    forget_graphs(u);
    store_destroy(u->store);
    exec_fini(&u->vector);
    free(u);
}

static const struct device_ops tile_ops = {
    .name = "tile",
    .supports = tile_supports,
    .alloc = tile_alloc,
    .free = tile_free,
    .map = tile_map,
    .load = tile_load,
    .prepare = tile_prepare,
    .submit = tile_submit,
    .poll = tile_poll,
    .wait = tile_wait,
    .stats = tile_stats,
    .reset = tile_reset,
    .close = tile_close,
};

static int describe(struct tile *u, const struct tile_options *o, struct err *e)
{
    struct device_caps *k = &u->host.base.caps;
    snprintf(u->detail, sizeof u->detail, "tile NPU, %s%s, 1 thread", u->kernel.name,
             o->exact ? ", exact" : "");
    *k = (struct device_caps){
        .name = "npu",
        .detail = u->detail,
        .kind = DEVICE_NPU,
        .ops = (1u << OP_KINDS) - 1,
        .values = true,
        .static_graphs = true,
        .tile = TILE,
        .max_graphs = (int)o->max_graphs,
        .memory = o->memory,
        .act_bytes = 4,
        .activation_bits = {32, o->exact ? 32 : 8, o->exact ? 32 : 8},
        .orders = 1u << ORDER_WEIGHT_STREAMED | 1u << ORDER_WEIGHT_STATIONARY,
        .coherent = true,
        .flag = true,
        .event = true,
        .wake = true,
    };
    return shapes_sizes(&o->sizes, "npu.sizes", k, e);
}

int device_tile_open(const struct conf_node *n, struct machine *m, int index, struct device **out,
                     struct err *e)
{
    struct tile_options o;
    struct arena a;
    arena_init(&a);
    int rc = conf_read(n, "npu", device_tile_rows, device_tile_n_rows, &o, &a, e);
    arena_fini(&a); // the options hold no strings
    if (rc < 0)
        return rc;
    struct tile *u = calloc(1, sizeof *u);
    if (!u)
        return err_set(e, ERR_MEMORY, "no memory for the NPU");
    u->vector.exact = o.exact;
    rc = tile_select((enum tile_isa)o.isa, &u->kernel, e);
    if (rc == 0)
        rc = kernels_select(o.isa == TILE_GENERIC ? ISA_GENERIC : ISA_AUTO, &u->vector.kernel, e);
    if (rc == 0)
        rc = describe(u, &o, e);
    if (rc < 0)
        goto free_tile;
    u->store = store_create(o.exact, &u->resident, o.memory);
    if (!u->store) {
        rc = err_set(e, ERR_MEMORY, "no memory for the NPU");
        goto free_tile;
    }
    rc = queue_create(run, u, (int)o.spin, &o.pin, 4, &u->queue, e);
    if (rc < 0)
        goto destroy_store;
    u->host.base.ops = &tile_ops;
    u->host.base.machine = m;
    u->host.base.index = index;
    u->host.flag = queue_flag(u->queue);
    queue_owner(u->queue, &u->host.base);
    *out = &u->host.base;
    return 0;
destroy_store:
    store_destroy(u->store);
free_tile:
    free(u);
    return rc;
}
