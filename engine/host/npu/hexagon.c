// SPDX-License-Identifier: GPL-3.0-or-later
// The Hexagon NPU of a Snapdragon as a device: tasks become messages to the skel on the compute DSP
// (engine/host/npu/dsp), which executes every operator of engine/op.h. It behaves as the tile NPU
// does: matmuls only on prepared static graphs, whole tiles of 32 weight rows, padding is computed.
//
// A ticket is a message's number, and the flag word is the ring's `done`. (Preparing a graph is a
// message too, so tickets may leave numbers out; they ascend all the same.) When a task began and
// ended is told by the DSP's own clock, in the message.
//
// Buffers of the machine come from memory that the DSP can map (hexagon_take), so that CPU, GPU and
// DSP work on the same bytes and nothing is ever copied.
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/host/exec.h"
#include "engine/host/npu/hexagon.h"
#include "engine/host/shapes.h"
#include "engine/machine.h"

enum { GRAPHS = 16384, PS_PER_TICK = (int)(PS_PER_S / NPU_CLOCK_HZ) };

#define O(field) offsetof(struct hexagon_options, field)
const struct conf_row device_hexagon_rows[] = {
    {"enabled", CONF_BOOL, UNIT_NONE, "true", 0, 0, NULL,
     "Use the Hexagon DSP, where there is one, as the NPU instead of the tile NPU.", O(enabled)},
    {"library", CONF_STRING, UNIT_NONE, "", 0, 0, NULL,
     "Path of the DSP's driver library, which then must be there; empty: libcdsprpc.so, if it is.",
     O(library)},
    {"skel", CONF_STRING, UNIT_NONE, "libpartita_npu_skel.so", 0, 0, NULL,
     "Name of the skel library, in a folder of ADSP_LIBRARY_PATH.", O(skel)},
    {"domain", CONF_ENUM, UNIT_NONE, "cdsp", 0, 0, "adsp|mdsp|sdsp|cdsp", "Which DSP.", O(domain)},
    {"unsigned_pd", CONF_BOOL, UNIT_NONE, "true", 0, 0, NULL,
     "Ask for a process that takes a skel without a signature.", O(unsigned_pd)},
    {"flag", CONF_BOOL, UNIT_NONE, "true", 0, 0, NULL,
     "Let the host poll the DSP's flag word, if it sees it move (tried at start).", O(flag)},
    {"sizes", CONF_INT_LIST, UNIT_NONE, "[1, 32, 64, 128, 256, 512, 1024]", 1, NPU_MAX_TOKENS, NULL,
     "Standard sizes (tokens) of static graphs, ascending.", O(sizes)},
    {"exact", CONF_BOOL, UNIT_NONE, "false", 0, 0, NULL,
     "F32 tiles for quantised weights too (slower, more memory) instead of integers.", O(exact)},
    {"max_graphs", CONF_INT, UNIT_NONE, "0", 0, GRAPHS, NULL,
     "Static graphs that can be resident; 0: no limit.", O(max_graphs)},
    {"memory", CONF_INT, UNIT_SIZE, "0 B", 0, 1e15, NULL,
     "Memory for packed weights and static graphs; 0 B: no limit.", O(memory)},
    {"arena", CONF_INT, UNIT_SIZE, "256 MiB", 65536, 3e9, NULL,
     "Largest piece of memory that several weights share; a larger weight has its own.", O(arena)},
    {"window", CONF_INT, UNIT_SIZE, "0 B", 0, 1e15, NULL,
     "Bytes that may be mapped to the DSP at a time; 0 B: until its driver refuses.", O(window)},
    {"idle_turns", CONF_INT, UNIT_NONE, "20000", 0, 4e9, NULL,
     "Turns that the DSP polls for work before it sleeps; 0: for ever.", O(idle_turns)},
    {"spin", CONF_INT, UNIT_NONE, "2000", 0, 1e9, NULL,
     "Turns that an explicit finish polls before it sleeps.", O(spin)},
    {"timeout", CONF_INT, UNIT_TIME, "30 s", 1e9, 1e15, NULL,
     "Time without a completed message after which the DSP counts as lost.", O(timeout)},
    {"pin", CONF_INT_LIST, UNIT_NONE, "[]", 0, 4095, NULL,
     "CPU to pin the thread to that serves the DSP; empty: none.", O(pin)},
};
const size_t device_hexagon_n_rows = sizeof device_hexagon_rows / sizeof device_hexagon_rows[0];

struct hexagon_graph {
    struct graph_key key;
    struct hexagon_place at;
    int64_t bytes;
};

// What is remembered of a message until it is complete.
struct pending {
    bool task;
    double flops, bytes;
    int64_t since; // ps: submission, while somebody traces
    char label[TASK_LABEL];
};

struct hexagon {
    struct host_device host; // first
    struct hexagon_session session;
    struct hexagon_weights *weights;
    struct hexagon_pool graphs;
    struct hexagon_graph *graph;
    int n_graphs, room;
    int64_t resident;
    uint64_t accounted; // messages whose times are in `stats`
    int64_t epoch;      // ps on the host's clock when the DSP's was 0, as far as can be told
    struct pending pending[NPU_SLOTS];
    struct device_stats stats;
    struct arena strings;
    char detail[64];
};

static struct hexagon *self(const struct device *d)
{
    return (struct hexagon *)d;
}

// ---- statistics ----

static const struct machine *traced(const struct hexagon *u)
{
    return u->host.base.machine->trace ? u->host.base.machine : NULL;
}

static void account_one(struct hexagon *u, uint64_t seq)
{
    const struct npu_message *m = &u->session.message[seq % NPU_SLOTS];
    const struct pending *p = &u->pending[seq % NPU_SLOTS];
    int64_t begin = (int64_t)m->began * PS_PER_TICK, end = (int64_t)m->ended * PS_PER_TICK;
    if (!p->task)
        return;
    u->stats.tasks++;
    u->stats.busy_ps += end > begin ? end - begin : 0;
    u->stats.flops += p->flops;
    u->stats.bytes += p->bytes;
    const struct machine *t = traced(u);
    if (!t || !p->since)
        return;
    int d = u->host.base.index;
    begin += u->epoch;
    end += u->epoch;
    begin = begin > p->since ? begin : p->since;
    if (begin > p->since)
        trace_slice(t->trace, t->tracks.queue[d], p->label, p->since, begin, 0);
    trace_slice(t->trace, t->tracks.device[d], p->label, begin, end > begin ? end : begin,
                trace_id(d, seq));
}

static void account(struct hexagon *u)
{
    uint64_t done = hexagon_done(&u->session);
    while (u->accounted < done)
        account_one(u, ++u->accounted);
}

// The slot of the next message is free, and what it held is in the statistics.
static int next_message(struct hexagon *u, struct npu_message **out, struct err *e)
{
    uint64_t seq = u->session.head + 1;
    int rc = hexagon_failure(&u->session, e);
    if (rc == 0 && seq > NPU_SLOTS)
        rc = hexagon_wait(&u->session, seq - NPU_SLOTS, 0, e);
    account(u);
    return rc < 0 ? rc : hexagon_message(&u->session, out, e);
}

// ---- buffers ----

static void *hexagon_take(struct host_device *d, int64_t size, int *fd)
{
    struct hexagon_session *s = &((struct hexagon *)d)->session;
    void *p = hexagon_memory(s, size);
    int its = p ? s->rpc.rpcmem_to_fd(p) : -1;
    *fd = its > 0 ? its : 0;
    return p;
}

static void hexagon_give(struct host_device *d, void *p)
{
    ((struct hexagon *)d)->session.rpc.rpcmem_free(p);
}

static int hexagon_alloc(struct device *d, struct buffer *b, struct err *e)
{
    struct hexagon_session *s = &self(d)->session;
    uint32_t id;
    if (b->pitch > UINT32_MAX || b->size > UINT32_MAX)
        return err_set(e, ERR_MEMORY, "npu: a buffer of %lld bytes; the DSP has 32-bit addresses",
                       (long long)b->size);
    int rc = hexagon_arena_adopt(s, b->host, b->size, &id, e);
    if (rc < 0)
        return rc;
    rc = hexagon_arena_map(s, id, e);
    if (rc < 0) {
        hexagon_arena_drop(s, id, false);
        return rc;
    }
    s->arena[id].pinned = true;
    b->priv[d->index] = (void *)(uintptr_t)(id + 1);
    return 0;
}

static void hexagon_free(struct device *d, struct buffer *b)
{
    uintptr_t id = (uintptr_t)b->priv[d->index];
    if (id)
        hexagon_arena_drop(&self(d)->session, (uint32_t)(id - 1), false);
    b->priv[d->index] = NULL;
}

static int hexagon_map(struct device *d, struct buffer *b, int64_t row0, int64_t row1, int64_t col0,
                       int64_t col1, enum map_dir dir, struct err *e)
{
    (void)d, (void)b, (void)row0, (void)row1, (void)col0, (void)col1, (void)dir, (void)e;
    return 0;
}

// ---- tasks ----

static int hexagon_supports(const struct device *d, const struct task *t, struct err *e)
{
    return shapes_supports(d, t, NPU_MAX_TOKENS, e);
}

static int hexagon_load(struct device *d, const struct tensor *w, int64_t m0, int64_t m1,
                        struct err *e)
{
    int rc = shapes_rows(w, m0, m1, e);
    if (rc < 0 || w->rows == 1 || m0 == m1) // a norm's vector, most likely: looked at when used
        return rc;
    return hexagon_weights_load(self(d)->weights, w, m0, m1, e);
}

static struct npu_tensor place_tensor(const struct hexagon_graph *g)
{
    return (struct npu_tensor){g->at.id, (uint32_t)g->at.offset, (uint32_t)g->bytes, 1};
}

// The DSP builds the object; that it did so is waited for, so that the time is the time it took.
static int build_graph(struct hexagon *u, const struct hexagon_graph *g, struct err *e)
{
    struct npu_message *m;
    char label[40];
    int rc = next_message(u, &m, e);
    if (rc == 0)
        rc = hexagon_arena_map(&u->session, g->at.id, e);
    if (rc < 0)
        return rc;
    m->op = NPU_PREPARE;
    m->layer = -1;
    m->m = g->key.m;
    m->k = g->key.k;
    m->m0 = g->key.m0;
    m->m1 = g->key.m1;
    m->n_pad = g->key.n;
    m->order = g->key.order;
    m->graph = place_tensor(g);
    snprintf(label, sizeof label, "graph of %s", g->key.name);
    u->pending[(u->session.head + 1) % NPU_SLOTS] = (struct pending){0};
    return hexagon_wait(&u->session, hexagon_submit(&u->session, label), 0, e);
}

static int hexagon_prepare(struct device *d, const struct static_graph *g, int *handle,
                           struct err *e)
{
    struct hexagon *u = self(d);
    if (g->op->kind != OP_MATMUL)
        return err_at(e, ERR_UNSUPPORTED, NULL, 0, g->op->name, "only matmuls have static graphs");
    for (int i = 0; i < u->n_graphs; i++)
        if (graph_key_is(&u->graph[i].key, g)) {
            *handle = i;
            return 0;
        }
    struct hexagon_graph new = {.key = graph_key(g)};
    // A graph does not know whose weights it will meet: room for every form of activations.
    new.bytes = (int64_t)npu_graph_bytes(NPU_FORM_F32 | NPU_FORM_I8, g->order, g->op->k, g->n);
    int rc = shapes_admit(d, g, NPU_MAX_TOKENS, u->n_graphs, GRAPHS, u->resident, new.bytes, e);
    if (rc < 0)
        return rc;
    if (u->n_graphs == u->room) {
        int room = u->room ? 2 * u->room : 64;
        struct hexagon_graph *grown = realloc(u->graph, (size_t)room * sizeof *grown);
        if (!grown)
            return err_at(e, ERR_MEMORY, NULL, 0, g->op->name, "no memory for static graphs");
        u->graph = grown;
        u->room = room;
    }
    int64_t start = host_now();
    rc = hexagon_pool_take(&u->session, &u->graphs, new.bytes, &new.at, e);
    if (rc < 0)
        return rc;
    rc = build_graph(u, &new, e);
    if (rc < 0) {
        hexagon_pool_give(&u->session, &u->graphs, &new.at, new.bytes);
        return rc;
    }
    u->stats.prepare_ps += host_now() - start;
    u->stats.graphs++;
    u->resident += new.bytes;
    *handle = u->n_graphs;
    u->graph[u->n_graphs++] = new;
    return 0;
}

static struct npu_tensor buffer_tensor(const struct device *d, const struct buffer *b)
{
    if (!b)
        return (struct npu_tensor){.arena = NPU_NO_TENSOR};
    return (struct npu_tensor){.arena = (uint32_t)((uintptr_t)b->priv[d->index] - 1),
                               .pitch = (uint32_t)b->pitch,
                               .rows = (uint32_t)(b->size / b->pitch)};
}

static int fill_matmul(struct hexagon *u, const struct task *t, struct npu_message *m,
                       struct err *e)
{
    int64_t at = 0;
    struct static_graph want = {t->op, t->m0, t->m1, t->n_pad, t->order};
    if (t->graph < 0 || t->graph >= u->n_graphs)
        return err_at(e, ERR_USAGE, NULL, 0, t->op->name,
                      "no static graph was prepared for this matmul of %d tokens", t->n_pad);
    const struct hexagon_graph *g = &u->graph[t->graph];
    if (!graph_key_is(&g->key, &want) || t->n1 - t->n0 > t->n_pad)
        return err_at(e, ERR_USAGE, NULL, 0, t->op->name,
                      "static graph %d was prepared for something else", t->graph);
    for (int i = 0; i < t->n_parts; at += t->w[i++]->rows) {
        const struct tensor *w = t->w[i];
        int64_t r0 = t->m0 > at ? t->m0 - at : 0;
        int64_t r1 = t->m1 - at < w->rows ? t->m1 - at : w->rows;
        int rc = hexagon_weights_use(u->weights, w, r0, r1, m, i, e);
        if (rc == 0 && t->bias[i])
            rc = hexagon_weights_vector(u->weights, t->bias[i], &m->bias[i], e);
        if (rc < 0)
            return rc;
    }
    m->graph = place_tensor(g);
    return hexagon_arena_map(&u->session, g->at.id, e);
}

// What the operator needs besides buffers.
static int fill_weights(struct hexagon *u, const struct task *t, struct npu_message *m,
                        struct err *e)
{
    switch (t->op->kind) {
    case OP_EMBED:
        return hexagon_weights_use(u->weights, t->w[0], 0, t->w[0]->rows, m, 0, e);
    case OP_RMSNORM:
        return hexagon_weights_vector(u->weights, t->w[0], &m->w[0], e);
    case OP_MATMUL:
        return fill_matmul(u, t, m, e);
    case OP_ROPE:
        return hexagon_weights_angles(u->weights, t->model, t->n_past + t->n1, &m->angles, e);
    default:
        return 0;
    }
}

static int fill(struct hexagon *u, const struct task *t, struct npu_message *m, struct err *e)
{
    static const uint32_t ops[OP_KINDS] = {
        [OP_EMBED] = NPU_EMBED, [OP_RMSNORM] = NPU_RMSNORM,     [OP_MATMUL] = NPU_MATMUL,
        [OP_ROPE] = NPU_ROPE,   [OP_ATTENTION] = NPU_ATTENTION, [OP_SWIGLU] = NPU_SWIGLU,
        [OP_ADD] = NPU_ADD,
    };
    const struct device *d = &u->host.base;
    const struct model_shape *s = &t->model->shape;
    m->op = ops[t->op->kind];
    m->layer = t->layer;
    m->m = t->op->m;
    m->k = t->op->k;
    m->m0 = t->m0;
    m->m1 = t->m1;
    m->n0 = t->n0;
    m->n1 = t->n1;
    m->n_pad = t->n_pad;
    m->out_n0 = t->out_n0;
    m->n_past = t->n_past;
    m->order = t->order;
    m->n_parts = t->n_parts;
    m->n_head = s->n_head;
    m->n_head_kv = s->n_head_kv;
    m->d_head = s->d_head;
    m->rope_dim = s->rope.dim;
    m->rope_halves = s->rope.pairs == ROPE_HALVES;
    m->eps = (float)s->norm_eps;
    m->scale = (float)(1 / sqrt(s->d_head));
    m->in = buffer_tensor(d, t->in);
    m->in2 = buffer_tensor(d, t->in2);
    m->out = buffer_tensor(d, t->out);
    m->kcache = buffer_tensor(d, t->kcache);
    m->vcache = buffer_tensor(d, t->vcache);
    return fill_weights(u, t, m, e);
}

static int hexagon_submit_task(struct device *d, const struct task *t, uint64_t *seq, struct err *e)
{
    struct hexagon *u = self(d);
    struct npu_message *m;
    char label[40];
    int rc = next_message(u, &m, e);
    if (rc == 0)
        rc = fill(u, t, m, e);
    if (rc < 0)
        return rc;
    struct work w = task_work(t, d->caps.act_bytes);
    struct pending *p = &u->pending[(u->session.head + 1) % NPU_SLOTS];
    *p = (struct pending){
        .task = true, .flops = w.flops, .bytes = w.weight_bytes + w.read_bytes + w.write_bytes};
    if (traced(u)) {
        p->since = host_now();
        task_label(t, p->label);
    }
    if (t->layer < 0)
        snprintf(label, sizeof label, "%s", t->op->name);
    else
        snprintf(label, sizeof label, "L%d %s", t->layer, t->op->name);
    *seq = hexagon_submit(&u->session, label);
    return 0;
}

static int hexagon_poll(struct device *d, uint64_t seq, struct err *e)
{
    int rc = hexagon_watch(&self(d)->session, e);
    return rc < 0 ? rc : hexagon_done(&self(d)->session) >= seq;
}

static int hexagon_wait_ticket(struct device *d, uint64_t seq, enum wait_mode mode, struct err *e)
{
    struct hexagon *u = self(d);
    // The explicit finish polls a little before it sleeps; a callback always sleeps.
    return hexagon_wait(&u->session, seq, mode == WAIT_FINISH ? (int)u->session.opt.spin : 0, e);
}

static void hexagon_stats(struct device *d, struct device_stats *out)
{
    struct hexagon *u = self(d);
    account(u);
    *out = u->stats;
    out->resident = u->resident;
}

static void forget_graphs(struct hexagon *u)
{
    while (u->n_graphs > 0) {
        const struct hexagon_graph *g = &u->graph[--u->n_graphs];
        hexagon_pool_give(&u->session, &u->graphs, &g->at, g->bytes);
        u->resident -= g->bytes;
    }
}

static void hexagon_reset(struct device *d)
{
    struct hexagon *u = self(d);
    hexagon_drain(&u->session, NULL);
    account(u);
    forget_graphs(u);
    u->stats = (struct device_stats){0};
}

static void hexagon_close_device(struct device *d)
{
    struct hexagon *u = self(d);
    hexagon_drain(&u->session, NULL);
    forget_graphs(u);
    free(u->graph);
    hexagon_weights_destroy(u->weights);
    hexagon_close(&u->session);
    arena_fini(&u->strings);
    free(u);
}

static const struct device_ops hexagon_ops = {
    .name = "hexagon",
    .supports = hexagon_supports,
    .alloc = hexagon_alloc,
    .free = hexagon_free,
    .map = hexagon_map,
    .load = hexagon_load,
    .prepare = hexagon_prepare,
    .submit = hexagon_submit_task,
    .poll = hexagon_poll,
    .wait = hexagon_wait_ticket,
    .stats = hexagon_stats,
    .reset = hexagon_reset,
    .close = hexagon_close_device,
};

static void describe(struct hexagon *u)
{
    const struct hexagon_options *o = &u->session.opt;
    struct device_caps *k = &u->host.base.caps, sizes = *k;
    if (u->session.info.arch)
        snprintf(u->detail, sizeof u->detail, "Hexagon v%u, HVX", u->session.info.arch);
    else
        snprintf(u->detail, sizeof u->detail, "Hexagon skel on this CPU, no HVX");
    *k = (struct device_caps){
        .name = "npu",
        .detail = u->detail,
        .kind = DEVICE_NPU,
        .ops = (1u << OP_KINDS) - 1,
        .values = true,
        .static_graphs = true,
        .tile = NPU_TILE,
        .max_graphs = (int)o->max_graphs,
        .memory = o->memory,
        .act_bytes = 4,
        .activation_bits = {32, o->exact ? 32 : 8, o->exact ? 32 : 8},
        .orders = 1u << ORDER_WEIGHT_STREAMED | 1u << ORDER_WEIGHT_STATIONARY,
        .coherent = true,
        .flag = u->session.flag,
        .event = true,
    };
    k->n_sizes = sizes.n_sizes;
    memcpy(k->size, sizes.size, sizeof k->size);
}

int device_hexagon_open(const struct conf_node *n, struct machine *m, int index,
                        struct device **out, struct err *e)
{
    struct hexagon *u = calloc(1, sizeof *u);
    if (!u)
        return err_set(e, ERR_MEMORY, "no memory for the NPU");
    arena_init(&u->strings);
    struct hexagon_options o;
    int rc =
        conf_read(n, "hexagon", device_hexagon_rows, device_hexagon_n_rows, &o, &u->strings, e);
    if (rc == 0)
        rc = shapes_sizes(&o.sizes, "hexagon.sizes", &u->host.base.caps, e);
    if (rc == 0)
        rc = hexagon_open(&o, &u->session, e);
    if (rc < 0)
        goto fail;
    u->weights = hexagon_weights_create(&u->session, &u->resident, o.memory);
    if (!u->weights) {
        rc = err_set(e, ERR_MEMORY, "no memory for the NPU");
        hexagon_close(&u->session);
        goto fail;
    }
    // The probe's last message has just ended: now, on both clocks.
    uint64_t last = u->session.head;
    u->epoch = host_now() - (int64_t)u->session.message[last % NPU_SLOTS].ended * PS_PER_TICK;
    u->accounted = last;
    u->host.base.ops = &hexagon_ops;
    u->host.base.machine = m;
    u->host.base.index = index;
    u->host.take = hexagon_take;
    u->host.give = hexagon_give;
    describe(u);
    if (u->session.flag)
        u->host.flag = (_Atomic uint64_t *)&u->session.ring->done;
    *out = &u->host.base;
    return 0;
fail:
    arena_fini(&u->strings);
    free(u);
    return rc;
}
