// SPDX-License-Identifier: GPL-3.0-or-later
// Operators, tasks and what they cost in arithmetic and bytes.
//
// An operator is one node of the step graph (engine/graph.h). A task is one shard of one operator
// on one device: a slice of the output rows of the weight [m0, m1) and of the tokens of the step
// [n0, n1). Devices receive tasks; they never see plans.
//
// Shapes: activations are row-major F32 [tokens, width] on real machines; a weight is [rows M,
// columns K]; MATMUL computes out[n, m] = sum_k in[n, k] * W[m, k] (+ bias[m]). The weight of one
// MATMUL may be several tensors stacked by rows ("parts": k over v, gate over up).
#ifndef ENGINE_OP_H
#define ENGINE_OP_H

#include <stdbool.h>
#include <stdint.h>
#include "engine/model.h"

enum op_kind {
    OP_EMBED,     // x[n] = embed[token[n]]
    OP_RMSNORM,   // out[n] = in[n] / rms(in[n]) * w
    OP_MATMUL,    // out[n, m] = in[n, :] . W[m, :] + bias[m]
    OP_ROPE,      // rotates q in place and the k half of kv, then appends k and v to the cache
    OP_ATTENTION, // out = softmax(q K^T / sqrt(d), causal) V, grouped queries, over the cache
    OP_SWIGLU,    // out[n, f] = silu(in[n, f]) * in[n, F + f]
    OP_ADD,       // out[n] += in[n]
    OP_KINDS
};

// Buffers of a step. Widths in values per token: d = d_model, a = n_head * d_head, kv = n_head_kv *
// d_head, F = d_ff, V = n_vocab.
enum buf_id {
    BUF_TOKENS, // int32, 1
    BUF_X,      // residual stream, d
    BUF_H,      // normalised input of the matmuls, d
    BUF_Q,      // a
    BUF_KV,     // 2 kv: k then v
    BUF_A,      // attention output, a
    BUF_T,      // projection output, d
    BUF_GU,     // 2 F: gate then up
    BUF_F,      // F
    BUF_LOGITS, // V, one row
    BUF_KCACHE, // per layer: [n_ctx, kv]
    BUF_VCACHE, // per layer: [n_ctx, kv]
    BUF_COUNT,
    BUF_NONE = -1
};

// Which operand stays in the NPU's arrays while the other is streamed through (the same numbers
// come out; the time differs). Other devices ignore it.
enum operand_order {
    ORDER_WEIGHT_STREAMED,   // activation stationary, weight rows streamed
    ORDER_WEIGHT_STATIONARY, // weight tiles stationary, activation rows streamed
    ORDER_COUNT
};

struct op {
    enum op_kind kind;
    const char *name; // "attn_norm", "q", "kv", "rope", "attn", "o", "add_attn", "ffn_norm",
                      // "gate_up", "swiglu", "down", "add_ffn", "embed", "out_norm", "logits"
    int index;        // position in graph.op
    int m;            // output values per token (MATMUL: weight rows)
    int k;            // input values per token (MATMUL: weight columns)
    enum buf_id in, in2, out;
    bool last_only; // computed for the last token of the step only (out_norm, logits)
};

enum { OP_MAX_PARTS = 2 };

struct buffer;

struct task {
    const struct op *op;
    const struct model *model;
    int layer;  // 0-based; -1 outside the blocks
    int m0, m1; // output columns; [0, op->m) except for MATMUL
    int n0, n1; // tokens of the step
    int n_pad;  // tokens of the static graph that it runs on (>= n1 - n0); 0: dynamic shape
    int out_n0; // row of `out` that token n0 goes to (n0, except for logits: 0)
    int n_past; // tokens in the KV cache before this step
    enum operand_order order;
    int graph; // handle from device prepare(), -1 when the device has no static graphs
    int n_parts;
    const struct tensor *w[OP_MAX_PARTS];    // MATMUL, RMSNORM, EMBED
    const struct tensor *bias[OP_MAX_PARTS]; // or NULL; bias vectors have rows = 1, cols = length
    struct buffer *in, *in2, *out, *kcache, *vcache; // NULL where the operator has none
};

// What a task costs wherever it runs: the models' input and the audit's reference.
struct work {
    double flops;        // multiply and add count as two
    double weight_bytes; // read from the weights, in their encoding
    double read_bytes;   // activations and cache read, act_bytes per value
    double write_bytes;  // activations and cache written
};
struct work task_work(const struct task *t, double act_bytes);

// What traces call a task: "L12 gate_up 8192:28672 n256" (layer, operator, rows of the weight if
// not all, tokens, "n200/256" on a graph of 256).
enum { TASK_LABEL = 96 };
void task_label(const struct task *t, char out[TASK_LABEL]);

const char *op_kind_name(enum op_kind k);
const char *order_name(enum operand_order o);
const char *buf_name(enum buf_id b);

#endif
