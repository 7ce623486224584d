// SPDX-License-Identifier: GPL-3.0-or-later
// The step graph: what one forward pass over n_tokens new tokens does. The operators of a decoder
// block appear once and repeat n_layer times; before them stands embed, behind them out_norm and
// logits.
#ifndef ENGINE_GRAPH_H
#define ENGINE_GRAPH_H

#include "engine/op.h"

enum { GRAPH_MAX_OPS = 16 };

struct graph {
    const struct model *model;
    int n_tokens; // new tokens of this step, >= 1
    int n_past;   // tokens already in the cache
    struct op op[GRAPH_MAX_OPS];
    int n_ops;
    int block_begin, block_end; // [begin, end) repeats per layer
};

void graph_build(const struct model *m, int n_tokens, int n_past, struct graph *out);
// Width in values per token of a buffer; bytes per token on real machines are 4 times that.
int64_t graph_buffer_width(const struct model_shape *s, enum buf_id b);
// Fills model-dependent fields of a task (weights, biases, parts) for an operator and layer, with
// full slices. Buffers and graph handle are the executor's.
void graph_task(const struct graph *g, int op, int layer, struct task *out);
// Points a task (its model and op set) at the weights and biases of a layer; -1: outside the
// blocks.
void graph_weights(int layer, struct task *out);
const struct op *graph_find(const struct graph *g, const char *name); // or NULL
uint64_t graph_digest(const struct graph *g);                         // of shape, n_tokens, n_past

#endif
