// SPDX-License-Identifier: GPL-3.0-or-later
// Which points a machine is asked for: grids as in HeteroInfer (arXiv 2501.14794) sec. 3, cut to
// shapes that the machine computes in milliseconds. Only shapes are chosen here, from capabilities;
// nothing depends on which machine it is.
#include <stdlib.h>
#include <string.h>
#include "engine/sync.h"
#include "explore/characterise_internal.h"

enum { BLOCK = 32 }; // K is in whole blocks of Q4_0
enum { KERNEL_WIDTH = 256 };
enum { FLAT = 4 }; // how much flatter than square shapes get

struct grid {
    const struct machine *m;
    struct characterise_options o; // with its defaults filled in
    int stream_m, stream_k;        // weights that no cache holds, copies taking turns
    struct point *p;
    int n, room;
    bool full; // of memory
};

static int least(int a, int b)
{
    return a < b ? a : b;
}

static struct point *add(struct grid *g, enum section section, int m, int k, int n,
                         const char *unit)
{
    static struct point nowhere;
    if (g->n == g->room) {
        int room = g->room ? 2 * g->room : 256;
        struct point *grown = realloc(g->p, (size_t)room * sizeof *grown);
        if (!grown) {
            g->full = true;
            return &nowhere;
        }
        g->p = grown;
        g->room = room;
    }
    struct point *p = &g->p[g->n++];
    *p = (struct point){.m = m, .k = k, .n = n};
    snprintf(p->section, sizeof p->section, "%s", characterise_section[section]);
    snprintf(p->unit, sizeof p->unit, "%s", unit);
    return p;
}

static bool has_orders(const struct device_caps *c)
{
    return (c->orders & (c->orders - 1)) != 0;
}

// One matmul on one device, in its first or in both operand orders.
static void matmul(struct grid *g, enum section section, const struct device_caps *c,
                   const char *kind, bool both, int m, int k, int n, const char *unit)
{
    if (!device_can(c, OP_MATMUL))
        return;
    for (int o = 0; o < (both && has_orders(c) ? ORDER_COUNT : 1); o++) {
        struct point *p = add(g, section, m, k, n, unit);
        snprintf(p->what, sizeof p->what, "%s%s%s", c->name, kind ? ":" : "", kind ? kind : "");
        if (has_orders(c))
            snprintf(p->order, sizeof p->order, "%s", order_name((enum operand_order)o));
    }
}

bool characterise_is_square(const struct point *p, int max_n)
{
    return p->m == p->k && p->n == least(p->m, max_n);
}

// The weights of Llama-3-8B: q and o; gate and up; down.
static const int SHAPES[][2] = {{4096, 4096}, {28672, 4096}, {4096, 14336}};
enum { N_SHAPES = sizeof SHAPES / sizeof SHAPES[0] };

// Cut to the largest sizes; false when an earlier one has become the same.
static bool shape_at(const struct grid *g, int i, int *m, int *k)
{
    *m = least(SHAPES[i][0], g->o.max_m);
    *k = least(SHAPES[i][1], g->o.max_k) / BLOCK * BLOCK;
    for (int j = 0; j < i; j++)
        if (least(SHAPES[j][0], g->o.max_m) == *m &&
            least(SHAPES[j][1], g->o.max_k) / BLOCK * BLOCK == *k)
            return false;
    return *k > 0;
}

static void operators(struct grid *g, const struct device_caps *c)
{
    static const char *const kinds[] = {NULL, "streamed"};
    int step = g->o.quick ? 4 : 2, m, k;
    for (int t = 0; t < 2; t++) {
        for (int s = BLOCK; s <= least(g->o.max_m, g->o.max_k); s *= step)
            matmul(g, SECTION_OPERATOR, c, kinds[t], false, s, s, least(s, g->o.max_n), "GFLOP/s");
        for (int i = 0; i < (g->o.quick ? 1 : N_SHAPES); i++)
            for (int n = 1; shape_at(g, i, &m, &k) && n <= g->o.max_n; n *= step)
                matmul(g, SECTION_OPERATOR, c, kinds[t], false, m, k, n, "GFLOP/s");
    }
}

// A quick grid has the two sides of each step only; one of a real machine some in between.
static void stages(struct grid *g, const struct device_caps *c)
{
    int m = least(g->o.max_m, 4096), k = least(g->o.max_k, 4096) / BLOCK * BLOCK;
    int around = 256, near = 16;
    for (int n = 1; n <= least(g->o.max_n, around + near); n++) {
        int within = n % BLOCK;
        if (n > 100 && n < around - near)
            continue;
        if (g->o.quick && (n > 100 || (within > 1 && within < BLOCK - 1 && within != BLOCK / 2)))
            continue;
        if (g->m->values && n > 2 && within > 1 && within < BLOCK - 1 && within % 8)
            continue;
        matmul(g, SECTION_STAGE, c, "streamed", false, m, k, n, "us");
    }
}

static void orders(struct grid *g, const struct device_caps *c)
{
    int m = least(14336, g->o.max_m), k = least(4096, g->o.max_k) / BLOCK * BLOCK;
    for (int n = BLOCK; has_orders(c) && n <= g->o.max_n; n *= g->o.quick ? 4 : 2)
        matmul(g, SECTION_ORDER, c, NULL, true, m, k, n, "us");
}

// From wide to tall at one amount of arithmetic.
static void shapes(struct grid *g, const struct device_caps *c)
{
    int side = BLOCK;
    while (2 * side <= least(g->o.max_m, g->o.max_k) / FLAT)
        side *= 2;
    int64_t area = (int64_t)side * side;
    for (int k = BLOCK; k <= g->o.max_k; k *= g->o.quick ? 4 : 2)
        if (area / k <= g->o.max_m && area / k >= BLOCK)
            matmul(g, SECTION_SHAPE, c, NULL, true, (int)(area / k), k, least(256, g->o.max_n),
                   "us");
}

static void preparations(struct grid *g, const struct device_caps *c)
{
    int m, k;
    for (int i = 0; c->static_graphs && i < (g->o.quick ? 1 : N_SHAPES); i++)
        for (int s = 0; shape_at(g, i, &m, &k) && s < c->n_sizes; s++)
            if (c->size[s] <= g->o.max_n)
                matmul(g, SECTION_PREPARE, c, NULL, false, m, k, c->size[s], "ms");
}

// As wide as the largest matrices and a quarter of it; for few and many tokens, and attention over
// short and long contexts.
static void kernels(struct grid *g, const struct device_caps *c)
{
    int widest = least(4096, g->o.max_m) / KERNEL_WIDTH * KERNEL_WIDTH;
    static const enum op_kind of[] = {OP_ATTENTION, OP_SWIGLU, OP_ADD};
    for (int i = 0; characterise_kernels[i]; i++)
        for (int n = 1; device_can(c, of[i]) && n <= g->o.max_n; n *= 64)
            for (int m = widest; m >= KERNEL_WIDTH && m >= widest / 4; m /= 4)
                for (int kv = 64; kv <= least(1024, g->o.max_k); kv *= 16) {
                    bool attention = of[i] == OP_ATTENTION;
                    if (attention ? kv < n : kv > 64)
                        continue;
                    struct point *p = add(g, SECTION_KERNEL, m, attention ? kv : 0, n, "us");
                    snprintf(p->what, sizeof p->what, "%s:%s", c->name, characterise_kernels[i]);
                }
}

// Every set of devices, and in each of more than one what each of them gets.
static void bandwidths(struct grid *g)
{
    int m = g->stream_m, k = g->stream_k / BLOCK * BLOCK;
    for (unsigned set = 1; set < 1u << g->m->n_devices; set++) {
        char name[POINT_WHAT] = "";
        bool able = true;
        for (int d = 0; d < g->m->n_devices; d++) {
            const struct device_caps *c = &g->m->device[d]->caps;
            size_t len = strlen(name);
            if (!(set >> d & 1))
                continue;
            able &= device_can(c, OP_MATMUL);
            snprintf(name + len, sizeof name - len, "%s%s", len ? "+" : "", c->name);
        }
        if (!able)
            continue;
        struct point *p = add(g, SECTION_BANDWIDTH, m, k, 1, "GB/s");
        snprintf(p->what, sizeof p->what, "%s", name);
        for (int d = 0; set & (set - 1) && d < g->m->n_devices; d++)
            if (set >> d & 1) {
                p = add(g, SECTION_BANDWIDTH, m, k, 1, "GB/s");
                size_t len =
                    (size_t)snprintf(p->what, sizeof p->what, "%s@", g->m->device[d]->caps.name);
                snprintf(p->what + len, sizeof p->what - len, "%s", name);
            }
    }
}

static void latency(struct grid *g, const char *who, const char *kind, const char *more)
{
    struct point *p = add(g, SECTION_LATENCY, 0, 0, 0, "us");
    snprintf(p->what, sizeof p->what, "%s:%s%s", who, kind, more);
}

static int latencies(struct grid *g, struct err *e)
{
    struct machine_desc desc;
    struct arena a;
    int rc = 0;
    machine_describe(g->m, &desc);
    latency(g, "control", "sleep", "");
    latency(g, "control", "pause", "");
    arena_init(&a);
    for (int d = 0; d < g->m->n_devices; d++) {
        const struct device_caps *c = &g->m->device[d]->caps;
        if (!device_can(c, OP_MATMUL))
            continue;
        latency(g, c->name, "submit-empty", "");
        latency(g, c->name, "submit-nonempty", "");
        latency(g, c->name, "finish", "");
        if (c->event)
            latency(g, c->name, "event", "");
        if (c->flag)
            latency(g, c->name, "flag", "");
        latency(g, c->name, "query", "");
        for (size_t s = 0; rc >= 0 && s < sync_registry_count; s++) {
            const struct sync_ops *sync;
            const void *options;
            rc = sync_parse(sync_registry[s]->name, &a, &sync, &options, e);
            if (rc >= 0 && sync->offered(&desc, options, NULL) >= 0)
                latency(g, c->name, "join-", sync->name);
        }
    }
    arena_fini(&a);
    return rc < 0 ? rc : 0;
}

// Every scheme that the machine offers, for every ordered pair of devices.
static int joins(struct grid *g, struct err *e)
{
    const struct machine *m = g->m;
    struct machine_desc desc;
    struct arena a;
    int rc = 0;
    machine_describe(m, &desc);
    arena_init(&a);
    for (size_t s = 0; rc >= 0 && s < sync_registry_count; s++) {
        const struct sync_ops *sync;
        const void *options;
        rc = sync_parse(sync_registry[s]->name, &a, &sync, &options, e);
        if (rc < 0 || sync->offered(&desc, options, NULL) < 0)
            continue;
        for (int from = 0; from < m->n_devices; from++)
            for (int to = 0; to < m->n_devices; to++) {
                const struct device_caps *c[] = {&m->device[from]->caps, &m->device[to]->caps};
                if (!device_can(c[0], OP_MATMUL) || !device_can(c[1], OP_MATMUL))
                    continue;
                struct point *p = add(g, SECTION_JOIN, 0, 0, 0, "us");
                snprintf(p->what, sizeof p->what, "%s>%s:%s", c[0]->name, c[1]->name, sync->name);
            }
    }
    arena_fini(&a);
    return rc < 0 ? rc : 0;
}

// Grids meet in some points.
static void drop_repeated(struct grid *g)
{
    int n = 0;
    for (int i = 0; i < g->n; i++) {
        const struct point *p = &g->p[i];
        bool seen = false;
        for (int j = 0; j < n && !seen; j++) {
            const struct point *q = &g->p[j];
            seen = p->m == q->m && p->k == q->k && p->n == q->n && !strcmp(p->what, q->what) &&
                   !strcmp(p->section, q->section) && !strcmp(p->order, q->order);
        }
        if (!seen)
            g->p[n++] = *p;
    }
    g->n = n;
}

int characterise_points(const struct machine *m, const struct characterise_options *o,
                        struct point **out, int *n, struct err *e)
{
    struct grid g = {.m = m, .o = *o};
    // A real machine here computes some GFLOP/s, and has a few minutes.
    int real_m = o->quick ? 512 : 1024, real_n = o->quick ? 128 : 256;
    g.stream_m = m->values ? 4 * real_m : 28672;
    g.stream_k = m->values ? 4 * real_m : 4096;
    g.stream_m = o->max_m ? least(o->max_m, g.stream_m) : g.stream_m;
    g.stream_k = o->max_k ? least(o->max_k, g.stream_k) : g.stream_k;
    if (!g.o.max_m)
        g.o.max_m = m->values ? real_m : 32768;
    if (!g.o.max_k)
        g.o.max_k = m->values ? real_m : 16384;
    if (!g.o.max_n)
        g.o.max_n = m->values ? real_n : 1024;
    if (g.o.max_m < BLOCK || g.o.max_k < BLOCK || g.o.max_n < 1)
        return err_set(e, ERR_USAGE, "the largest shape has at least %d rows, %d columns, 1 token",
                       BLOCK, BLOCK);
    for (int s = SECTION_OPERATOR; s <= SECTION_KERNEL; s++)
        for (int d = 0; d < m->n_devices; d++) {
            static void (*const grids[])(struct grid *, const struct device_caps *) = {
                operators, stages, orders, shapes, preparations, kernels};
            grids[s](&g, &m->device[d]->caps);
        }
    bandwidths(&g);
    int rc = latencies(&g, e);
    if (rc >= 0)
        rc = joins(&g, e);
    if (rc >= 0 && g.full)
        rc = err_set(e, ERR_MEMORY, "out of memory");
    if (rc < 0) {
        free(g.p);
        return rc;
    }
    drop_repeated(&g);
    *out = g.p;
    *n = g.n;
    return 0;
}
