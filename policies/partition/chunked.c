// SPDX-License-Identifier: GPL-3.0-or-later
// chunked: the prompt goes through the whole model in chunks of one standard size; within a chunk
// matmuls are on the NPU, the rest on the GPU.
//
// Idea: one graph size serves every prompt, buffers stay small, and only the last chunk is padded.
// Source: chunked prefill (Sarathi, arXiv 2308.16369; llm.npu, arXiv 2407.05858).
// Loses: the weights are streamed once per chunk, and each chunk pays all hand-overs of all layers.
#include "policies/partition/util.h"

struct options {
    int partner, decode, order;
    int64_t chunk;
};

static const struct conf_row rows[] = {
    PARTNER_ROW(struct options),
    ORDER_ROW(struct options),
    DECODE_ROW(struct options),
    {.name = "chunk",
     .type = CONF_INT,
     .fallback = "256",
     .min = 1,
     .max = 65536,
     .doc = "tokens per chunk",
     .offset = offsetof(struct options, chunk)},
};

static int plan_chunk(const struct graph *g, const struct machine_desc *d,
                      const struct cost_table *c, const struct partners *w, int decode, int n0,
                      int n1, struct plan *p, struct err *e)
{
    struct plan_step *st = plan_add_step(p, n0, n1);
    int n = n1 - n0;
    util_place_rest(p, st, g, d, w->flexible);
    for (int i = 0; i < g->n_ops; i++) {
        const struct op *op = &g->op[i];
        int times = i >= g->block_begin && i < g->block_end ? g->model->shape.n_layer : 1;
        struct split s = {0};
        double ps;
        if (!util_runs(g, op, n1))
            continue;
        if (op->kind == OP_MATMUL) {
            split_cover_pad(&d->device[w->npu], NULL, util_tokens(op, n), &s);
            if (util_npu_or_flexible("chunked", op, util_tokens(op, n), d, c, w, decode, &s, &ps,
                                     e) < 0)
                return e->code;
            split_emit(p, st, op, n, w, &s);
        } else {
            ps = util_whole_cost(c, w->flexible, op, n, g->n_past + n1);
        }
        p->predicted_ps += ps > 0 ? ps * times : 0;
    }
    return 0;
}

static int plan(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e)
{
    const struct options *o = options;
    struct partners w;
    int chunk = (int)o->chunk;
    if (partners_find(d, o->partner, "chunked", &w, e) < 0)
        return e->code;
    w.order = o->order;
    plan_init(out, "chunked", g->n_tokens);
    for (int n0 = 0; n0 < g->n_tokens; n0 += chunk) {
        int n1 = n0 + chunk < g->n_tokens ? n0 + chunk : g->n_tokens;
        if (plan_chunk(g, d, c, &w, o->decode, n0, n1, out, e) < 0) {
            plan_fini(out);
            return e->code;
        }
    }
    return 0;
}

const struct policy_ops policy_chunked = {
    .name = "chunked",
    .doc = "prefill in chunks of one standard size, matmuls on the NPU",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .plan = plan,
};
