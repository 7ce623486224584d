// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/op.h"

#include <assert.h>
#include <stdio.h>

const char *op_kind_name(enum op_kind k)
{
    static const char *const name[OP_KINDS] = {"embed",     "rmsnorm", "matmul", "rope",
                                               "attention", "swiglu",  "add"};
    return name[k];
}

const char *order_name(enum operand_order o)
{
    return o == ORDER_WEIGHT_STREAMED ? "weight-streamed" : "weight-stationary";
}

const char *buf_name(enum buf_id b)
{
    static const char *const name[BUF_COUNT] = {
        "tokens", "x", "h", "q", "kv", "a", "t", "gu", "f", "logits", "k_cache", "v_cache"};
    return b == BUF_NONE ? "-" : name[b];
}

// Sum over the tokens [n0, n1) of the cache rows that each one attends to.
static double attended(const struct task *t)
{
    double n = t->n1 - t->n0;
    double first = (double)t->n_past + t->n0 + 1;
    return n * first + n * (n - 1) / 2;
}

struct work task_work(const struct task *t, double act_bytes)
{
    const struct model_shape *s = &t->model->shape;
    double n = t->n1 - t->n0, m = t->m1 - t->m0, k = t->op->k;
    double kv = (double)s->n_head_kv * s->d_head;
    struct work w = {0};
    switch (t->op->kind) {
    case OP_EMBED:
        w.weight_bytes = n * m * s->weight_bits / 8;
        w.write_bytes = n * m * act_bytes;
        break;
    case OP_RMSNORM:
        w.flops = 4 * n * m;
        w.weight_bytes = m * 4;
        w.read_bytes = w.write_bytes = n * m * act_bytes;
        break;
    case OP_MATMUL:
        w.flops = 2 * n * m * k;
        w.weight_bytes = m * k * s->weight_bits / 8;
        w.read_bytes = n * k * act_bytes;
        w.write_bytes = n * m * act_bytes;
        break;
    case OP_ROPE: // rotate q and k (6 flops per pair), append k and v
        w.flops = 3 * n * (m + kv);
        w.read_bytes = w.write_bytes = n * (m + 2 * kv) * act_bytes;
        break;
    case OP_ATTENTION: // q.k and p.v for every head and attended row; softmax about 5 per score
        w.flops = attended(t) * s->n_head * (4.0 * s->d_head + 5);
        w.read_bytes = (n * m + 2 * kv * ((double)t->n_past + t->n1)) * act_bytes;
        w.write_bytes = n * m * act_bytes;
        break;
    case OP_SWIGLU:
        w.flops = 6 * n * m;
        w.read_bytes = 2 * n * m * act_bytes;
        w.write_bytes = n * m * act_bytes;
        break;
    case OP_ADD:
        w.flops = n * m;
        w.read_bytes = 2 * n * m * act_bytes;
        w.write_bytes = n * m * act_bytes;
        break;
    case OP_KINDS:
        assert(0);
    }
    return w;
}

void task_label(const struct task *t, char out[TASK_LABEL])
{
    char layer[16] = "", rows[32] = "", pad[16] = "";
    if (t->layer >= 0)
        snprintf(layer, sizeof layer, "L%d ", t->layer);
    if (t->m0 || t->m1 != t->op->m)
        snprintf(rows, sizeof rows, "%d:%d ", t->m0, t->m1);
    if (t->n_pad && t->n_pad != t->n1 - t->n0)
        snprintf(pad, sizeof pad, "/%d", t->n_pad);
    snprintf(out, TASK_LABEL, "%s%.20s %sn%d%s", layer, t->op->name, rows, t->n1 - t->n0, pad);
}
