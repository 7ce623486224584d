// SPDX-License-Identifier: GPL-3.0-or-later
// What stands around the arrays. A matmul runs only on a static graph of a standard number of
// tokens; building one takes long and more so for larger activations (the weights are inputs of the
// graph, so one graph serves all layers, and all operators of equal shape). A graph is known by its
// shape and order; asking for it again costs nothing. A reset of the machine forgets them, so that
// equal runs cost the same.
//
// Other operators run on the vector unit with any number of tokens.
//
// A decode graph (one token) of quantised weights uses the integer path, which sleeps on its own:
// in the isolated profile N = 1 has a constant that N = 128 and 256 do not show.
//
// At cycle level the device is the environment of a run: it gives its DMA engine a way to the
// memory and its arrays a clock (struct npu_env).
//
// Sources: arXiv 2501.14794 sec. 3.2 (static graphs), 5.3.2 (preparation).
#include "models/soc/npu.h"

#include <math.h>
#include <stdlib.h>
#include "engine/machine.h"

#define ROW(...) CONF_ROW(struct npu_params, __VA_ARGS__)

const struct conf_row npu_rows[] = {
    ROW(name, CONF_STRING, UNIT_NONE, 0, 0, "what the device is called"),
    ROW(model, CONF_STRING, UNIT_NONE, 0, 0, "micro-architecture: a file of models/npu"),
    ROW(sizes, CONF_INT_LIST, UNIT_NONE, 1, 65536, "standard graph sizes in tokens, ascending"),
    ROW(max_graphs, CONF_INT, UNIT_NONE, 1, 65536, "resident static graphs"),
    ROW(memory, CONF_INT, UNIT_SIZE, 0, 1e15, "memory that it can address (0 B: all)"),
    ROW(prepare, CONF_INT, UNIT_TIME, 0, 1e15, "building a static graph, whatever its size"),
    ROW(prepare_kib, CONF_INT, UNIT_TIME, 0, 1e12, "more per KiB of the graph's activations"),
    {.name = "arithmetic",
     .type = CONF_ENUM,
     .fallback = "fp16",
     .choices = "fp16|int8",
     .doc = "of matmuls of several tokens; one token of quantised weights is always integer",
     .offset = offsetof(struct npu_params, arithmetic)},
    ROW(wake_integer, CONF_INT, UNIT_TIME, 0, 1e12,
        "waking the integer path, on top of queue.wake"),
    {.name = "integer_bits",
     .type = CONF_INT,
     .fallback = "16",
     .min = 4,
     .max = 32,
     .doc = "of an activation on the integer path of one token: 16 is W4A16; decides quality "
            "(activation_bits), not time",
     .offset = offsetof(struct npu_params, integer_bits)},
    {.name = "queue", .type = CONF_GROUP, .doc = "remote-call queue and idle state"},
    {.name = "clock", .type = CONF_GROUP, .doc = "operating points"},
    {.name = "arch", .type = CONF_GROUP, .doc = "rows of the micro-architecture"},
};
const size_t npu_n_rows = sizeof npu_rows / sizeof npu_rows[0];

// The matmul as the micro-architecture sees it: padded, the weight's bytes whole.
static struct npu_matmul matmul(const struct agent *a, const struct task *t)
{
    double act_bytes = a->base.caps.act_bytes, bits = t->model->shape.weight_bits;
    bool int8 = ((const struct npu *)a)->p.arithmetic == NPU_INT8 && bits <= 8 && t->n_pad > 1;
    struct npu_matmul s = {
        .m = t->m1 - t->m0,
        .k = t->op->k,
        .n = t->n_pad,
        .order = t->order,
        .weight_bytes = ceil(task_work(t, act_bytes).weight_bytes),
        .act_bytes = act_bytes,
        .port = dram_port_rate(&a->port),
        .drain = dram_drain_rate(&a->port),
        .quantised = bits < (int8 ? 8 : 16),
        .operand_bytes = int8 ? 1 : 2,
    };
    s.integer = int8 || (s.quantised && s.n == 1);
    return s;
}

static void cost(const struct agent *a, const struct task *t, struct agent_cost *out)
{
    const struct npu *d = (const struct npu *)a;
    struct work w = task_work(t, a->base.caps.act_bytes);
    *out = (struct agent_cost){.flops = w.flops};
    if (t->op->kind != OP_MATMUL) {
        agent_traffic(&w, out);
        out->compute = d->model->vector(d->params, t->op->kind, w.flops);
        return;
    }
    struct npu_matmul s = matmul(a, t);
    struct npu_cost c;
    d->model->matmul(d->params, &s, &c);
    out->compute = c.compute;
    bool streamed = s.order == ORDER_WEIGHT_STREAMED; // and so read again for every panel
    out->weight = (int64_t)(s.weight_bytes * (streamed ? c.panels : 1));
    out->written = (int64_t)c.written;
    out->read = (int64_t)c.bytes - out->weight - out->written;
    out->wake = s.integer && s.n == 1 ? d->p.wake_integer : 0;
}

// --- cycle level

static int64_t env_clock(struct npu_env *v, int64_t ps)
{
    return agent_at_clock(&((struct npu_run *)v)->npu->agent, ps);
}

static void on_moved(struct dram_transfer *t)
{
    struct npu_move *m = (struct npu_move *)t;
    m->run->env.arrived(&m->run->env, m->tag);
}

static void env_transfer(struct npu_env *v, const struct npu_dma *t)
{
    struct npu_run *r = (struct npu_run *)v;
    struct npu_move *m = &r->move[t->tag];
    m->run = r;
    m->tag = t->tag;
    m->t.address = r->address[t->operand] + (uint64_t)t->offset;
    m->t.bytes = t->bytes;
    m->t.written = t->operand == NPU_OUTPUT ? t->bytes : 0;
    m->t.rate = t->rate;
    m->t.cached = t->operand != NPU_WEIGHT;
    m->t.done = on_moved;
    dram_start(&r->npu->agent.port, &m->t);
}

static void env_done(struct npu_env *v)
{
    agent_complete(&((struct npu_run *)v)->npu->agent);
}

static void run_task(struct agent *a, const struct task *t)
{
    struct npu *d = (struct npu *)a;
    struct npu_run *r = &d->run;
    if (t->op->kind != OP_MATMUL || !r->state) {
        agent_pipe(a, t);
        return;
    }
    struct npu_matmul s = matmul(a, t);
    struct operands o;
    int64_t in = (int64_t)((double)s.n * s.k * s.act_bytes);
    int64_t result = (int64_t)((double)s.n * s.m * s.act_bytes);
    place_task(&a->dram->place, t, s.act_bytes, (int64_t)s.weight_bytes, in, result, &o);
    r->address[NPU_WEIGHT] = o.weight;
    r->address[NPU_INPUT] = o.read;
    r->address[NPU_OUTPUT] = o.write;
    r->env = (struct npu_env){
        .sim = a->host->sim, .clock = env_clock, .transfer = env_transfer, .done = env_done};
    d->model->start(r->state, &s, &r->env);
}

// A standard size, or whole tiles of tokens: what a graph made at run time may have.
static bool fits_arrays(const struct device_caps *c, int n)
{
    return n > 0 && (device_size_for(c, n) == n || n % c->tile == 0);
}

static int supports(const struct device *d, const struct task *t, struct err *e)
{
    const struct device_caps *c = &d->caps;
    if (t->op->kind != OP_MATMUL)
        return 0;
    int n = t->n1 - t->n0, next = device_size_for(c, n);
    if (!t->n_pad)
        return err_set(e, ERR_UNSUPPORTED, "%s runs %s only on a static graph, not on %d tokens",
                       c->name, t->op->name, n);
    if (t->n_pad < n || !fits_arrays(c, t->n_pad)) {
        if (!next)
            return err_set(e, ERR_UNSUPPORTED,
                           "%s has no standard graph for the %d tokens of %s; the largest is %d",
                           c->name, n, t->op->name, c->size[c->n_sizes - 1]);
        return err_set(e, ERR_UNSUPPORTED,
                       "%d is not a standard graph size of %s for the %d tokens of %s; %d is",
                       t->n_pad, c->name, n, t->op->name, next);
    }
    if (t->m0 % c->tile || (t->m1 % c->tile && t->m1 != t->op->m))
        return err_set(e, ERR_UNSUPPORTED, "rows [%d, %d) of %s are not whole tiles of %d on %s",
                       t->m0, t->m1, t->op->name, c->tile, c->name);
    return 0;
}

static int find_graph(const struct npu *d, const struct npu_graph *g)
{
    for (int i = 0; i < d->n_graphs; i++) {
        const struct npu_graph *h = &d->graph[i];
        if (h->rows == g->rows && h->k == g->k && h->n == g->n && h->order == g->order)
            return i;
    }
    return -1;
}

static int prepare(struct device *dev, const struct static_graph *g, int *handle, struct err *e)
{
    struct npu *d = (struct npu *)dev;
    const struct device_caps *c = &dev->caps;
    struct npu_graph key = {g->m1 - g->m0, g->op->k, g->n, g->order};
    int found = find_graph(d, &key);
    if (found >= 0) {
        *handle = found;
        return 0;
    }
    if (g->op->kind != OP_MATMUL)
        return err_set(e, ERR_UNSUPPORTED, "%s builds static graphs for matmuls only, not for %s",
                       c->name, g->op->name);
    if (!fits_arrays(c, g->n))
        return err_set(e, ERR_UNSUPPORTED, "%d is not a graph size of %s", g->n, c->name);
    if (d->n_graphs == c->max_graphs)
        return err_set(e, ERR_MEMORY, "%s holds its %d static graphs already", c->name,
                       c->max_graphs);
    int64_t bytes = (int64_t)((double)g->n * ((double)key.rows + key.k) * c->act_bytes);
    int64_t took = d->p.prepare + (int64_t)((double)d->p.prepare_kib * (double)bytes / 1024);
    control_work(d->agent.host, took);
    d->agent.stats.graphs++;
    d->agent.stats.prepare_ps += took;
    d->agent.stats.resident += bytes;
    d->graph[d->n_graphs] = key;
    *handle = d->n_graphs++;
    return 0;
}

static int submit(struct device *dev, const struct task *t, uint64_t *seq, struct err *e)
{
    const struct npu *d = (const struct npu *)dev;
    if (t->op->kind == OP_MATMUL) {
        struct npu_graph key = {t->m1 - t->m0, t->op->k, t->n_pad, t->order};
        const struct npu_graph *g =
            t->graph >= 0 && t->graph < d->n_graphs ? &d->graph[t->graph] : NULL;
        if (!g || g->rows != key.rows || g->k != key.k || g->n != key.n || g->order != key.order)
            return err_set(e, ERR_USAGE,
                           "%s got %s [%d, %d] x %d tokens with graph handle %d, which was not "
                           "prepared for it",
                           dev->caps.name, t->op->name, key.rows, key.k, key.n, t->graph);
    }
    return agent_submit(dev, t, seq, e);
}

static void reset_npu(struct device *d)
{
    ((struct npu *)d)->n_graphs = 0;
}

static void free_npu(struct npu *d)
{
    if (d->run.state)
        d->model->destroy(d->run.state);
    free(d->graph);
    agent_fini(&d->agent);
    free(d);
}

static void close_npu(struct device *d)
{
    free_npu((struct npu *)d);
}

static const struct device_ops ops = {
    .name = "soc-npu",
    .supports = supports,
    .alloc = agent_alloc,
    .free = agent_free,
    .map = agent_map,
    .load = agent_load,
    .prepare = prepare,
    .submit = submit,
    .poll = agent_poll,
    .wait = agent_wait,
    .stats = agent_stats,
    .reset = reset_npu,
    .close = close_npu,
};

static int check_sizes(const struct conf_int_list *s, struct err *e)
{
    if (s->n < 1 || s->n > DEVICE_MAX_SIZES)
        return err_at(e, ERR_CONFIG, NULL, 0, "npu.sizes", "%d sizes; expected 1 to %d", s->n,
                      DEVICE_MAX_SIZES);
    for (int i = 1; i < s->n; i++)
        if (s->v[i] <= s->v[i - 1])
            return err_at(e, ERR_CONFIG, NULL, 0, "npu.sizes", "%lld after %lld: not ascending",
                          (long long)s->v[i], (long long)s->v[i - 1]);
    return 0;
}

int npu_open(const struct npu_params *p, const struct npu_model_ops *model, const void *params,
             const struct queue_params *q, struct machine *m, int index, struct control *host,
             struct dram *dram, struct device **out, struct err *e)
{
    struct err local = {0};
    bool int8 = p->arithmetic == NPU_INT8;
    e = e ? e : &local;
    if (check_sizes(&p->sizes, e) < 0 || model->check(params, e) < 0)
        return e->code;
    struct npu *d = calloc(1, sizeof *d);
    if (!d)
        return err_set(e, ERR_MEMORY, "no memory for the NPU");
    d->p = *p;
    d->model = model;
    d->params = params;
    d->agent.base.ops = &ops;
    d->agent.base.caps = (struct device_caps){
        .name = "npu",
        .detail = p->name,
        .kind = DEVICE_NPU,
        .ops = (1u << OP_KINDS) - 1,
        .values = m->values,
        .static_graphs = true,
        .n_sizes = p->sizes.n,
        .tile = model->tile(params),
        .max_graphs = (int)p->max_graphs,
        .memory = p->memory,
        .act_bytes = 2, // FP16
        .activation_bits = {16, int8 ? 8 : 16, int8 ? 8 : (int)p->integer_bits},
        .orders = 1u << ORDER_WEIGHT_STREAMED | 1u << ORDER_WEIGHT_STATIONARY,
        .coherent = true,
        .flag = true,
        .event = true,
    };
    for (int i = 0; i < p->sizes.n; i++)
        d->agent.base.caps.size[i] = (int)p->sizes.v[i];
    d->agent.cost = cost;
    d->graph = calloc((size_t)p->max_graphs, sizeof *d->graph);
    if (!d->graph) {
        err_set(e, ERR_MEMORY, "no memory for %lld static graphs", (long long)p->max_graphs);
        goto fail;
    }
    d->run.npu = d;
    d->agent.run = run_task;
    if (dram->detail == DRAM_CYCLE && model->create && !(d->run.state = model->create(params))) {
        err_set(e, ERR_MEMORY, "no memory for the arrays of the NPU");
        goto fail;
    }
    if (agent_init(&d->agent, m, index, q, host, dram, e) < 0)
        goto fail;
    *out = &d->agent.base;
    return 0;
fail:
    free_npu(d);
    return e->code;
}
