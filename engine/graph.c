// SPDX-License-Identifier: GPL-3.0-or-later
// One builder serves the whole Llama family: the members differ in shape, rotation, bias and tying,
// not in the order of operators. The projections are grouped as the accelerators see them: q, k
// over v, o, gate over up, down.
#include "engine/graph.h"

#include <assert.h>
#include <string.h>
#include "base/digest.h"

int64_t graph_buffer_width(const struct model_shape *s, enum buf_id b)
{
    int64_t a = (int64_t)s->n_head * s->d_head, kv = (int64_t)s->n_head_kv * s->d_head;
    switch (b) {
    case BUF_TOKENS:
        return 1;
    case BUF_X:
    case BUF_H:
    case BUF_T:
        return s->d_model;
    case BUF_Q:
    case BUF_A:
        return a;
    case BUF_KV:
        return 2 * kv;
    case BUF_GU:
        return 2 * (int64_t)s->d_ff;
    case BUF_F:
        return s->d_ff;
    case BUF_LOGITS:
        return s->n_vocab;
    case BUF_KCACHE:
    case BUF_VCACHE:
        return kv;
    case BUF_COUNT:
    case BUF_NONE:
        break;
    }
    assert(0);
    return 0;
}

static void add(struct graph *g, enum op_kind kind, const char *name, enum buf_id in,
                enum buf_id in2, enum buf_id out)
{
    const struct model_shape *s = &g->model->shape;
    struct op *o = &g->op[g->n_ops];
    *o = (struct op){
        .kind = kind, .name = name, .index = g->n_ops, .in = in, .in2 = in2, .out = out};
    o->m = (int)graph_buffer_width(s, out);
    o->k = (int)graph_buffer_width(s, in);
    g->n_ops++;
}

void graph_build(const struct model *m, int n_tokens, int n_past, struct graph *out)
{
    struct graph *g = out;
    *g = (struct graph){.model = m, .n_tokens = n_tokens, .n_past = n_past};
    add(g, OP_EMBED, "embed", BUF_TOKENS, BUF_NONE, BUF_X);
    g->block_begin = g->n_ops;
    add(g, OP_RMSNORM, "attn_norm", BUF_X, BUF_NONE, BUF_H);
    add(g, OP_MATMUL, "q", BUF_H, BUF_NONE, BUF_Q);
    add(g, OP_MATMUL, "kv", BUF_H, BUF_NONE, BUF_KV);
    add(g, OP_ROPE, "rope", BUF_Q, BUF_KV, BUF_Q);
    add(g, OP_ATTENTION, "attn", BUF_Q, BUF_NONE, BUF_A);
    add(g, OP_MATMUL, "o", BUF_A, BUF_NONE, BUF_T);
    add(g, OP_ADD, "add_attn", BUF_T, BUF_NONE, BUF_X);
    add(g, OP_RMSNORM, "ffn_norm", BUF_X, BUF_NONE, BUF_H);
    add(g, OP_MATMUL, "gate_up", BUF_H, BUF_NONE, BUF_GU);
    add(g, OP_SWIGLU, "swiglu", BUF_GU, BUF_NONE, BUF_F);
    add(g, OP_MATMUL, "down", BUF_F, BUF_NONE, BUF_T);
    add(g, OP_ADD, "add_ffn", BUF_T, BUF_NONE, BUF_X);
    g->block_end = g->n_ops;
    add(g, OP_RMSNORM, "out_norm", BUF_X, BUF_NONE, BUF_H);
    add(g, OP_MATMUL, "logits", BUF_H, BUF_NONE, BUF_LOGITS);
    g->op[g->n_ops - 2].last_only = g->op[g->n_ops - 1].last_only = true;
    assert(g->n_ops <= GRAPH_MAX_OPS);
}

const struct op *graph_find(const struct graph *g, const char *name)
{
    for (int i = 0; i < g->n_ops; i++)
        if (!strcmp(g->op[i].name, name))
            return &g->op[i];
    return NULL;
}

static void part(struct task *t, const struct tensor *w, const struct tensor *bias)
{
    t->bias[t->n_parts] = bias && bias->rows ? bias : NULL;
    t->w[t->n_parts++] = w;
}

void graph_weights(int layer, struct task *out)
{
    struct task *t = out;
    const struct model *m = t->model;
    const struct op *o = t->op;
    const struct layer_weights *l = layer < 0 ? NULL : &m->layers[layer];
    t->layer = layer;
    t->n_parts = 0;
    if (!strcmp(o->name, "embed"))
        part(t, &m->embed, NULL);
    else if (!strcmp(o->name, "attn_norm"))
        part(t, &l->attn_norm, NULL);
    else if (!strcmp(o->name, "q"))
        part(t, &l->q, &l->q_bias);
    else if (!strcmp(o->name, "kv"))
        part(t, &l->k, &l->k_bias), part(t, &l->v, &l->v_bias);
    else if (!strcmp(o->name, "o"))
        part(t, &l->o, NULL);
    else if (!strcmp(o->name, "ffn_norm"))
        part(t, &l->ffn_norm, NULL);
    else if (!strcmp(o->name, "gate_up"))
        part(t, &l->gate, NULL), part(t, &l->up, NULL);
    else if (!strcmp(o->name, "down"))
        part(t, &l->down, NULL);
    else if (!strcmp(o->name, "out_norm"))
        part(t, &m->out_norm, NULL);
    else if (!strcmp(o->name, "logits"))
        part(t, &m->output, NULL);
}

void graph_task(const struct graph *g, int op, int layer, struct task *out)
{
    const struct op *o = &g->op[op];
    bool block = op >= g->block_begin && op < g->block_end;
    struct task *t = out;
    *t = (struct task){.op = o, .model = g->model, .m1 = o->m, .graph = -1};
    t->n0 = o->last_only ? g->n_tokens - 1 : 0;
    t->n1 = g->n_tokens;
    t->out_n0 = o->out == BUF_LOGITS ? 0 : t->n0;
    t->n_past = g->n_past;
    graph_weights(block ? layer : -1, t);
}

uint64_t graph_digest(const struct graph *g)
{
    uint64_t d = digest_str(DIGEST_INIT, g->model->shape.name);
    d = digest_u64(d, g->model->digest);
    d = digest_u64(d, (uint64_t)g->n_tokens);
    return digest_u64(d, (uint64_t)g->n_past);
}
