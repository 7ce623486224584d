// SPDX-License-Identifier: GPL-3.0-or-later
// What a model is: its shape, and, when it was loaded from a GGUF file or generated, its weights.
// A shape without weights (configs/model/NAME.cfg, a Hugging Face config.json) is enough to plan
// and to simulate; data pointers are NULL then.
#ifndef ENGINE_MODEL_H
#define ENGINE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/err.h"
#include "engine/encoding.h"

enum rope_scaling { ROPE_NONE, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN };
enum rope_pairs { ROPE_INTERLEAVED, ROPE_HALVES }; // pairs (2i, 2i+1), or (i, i + d/2) (Qwen2)

struct rope {
    enum rope_pairs pairs;
    enum rope_scaling scaling;
    int dim;                     // rotated values per head
    double theta;                // base frequency
    double factor;               // context extension; 1 = none
    double low_freq, high_freq;  // ROPE_LLAMA3
    double beta_fast, beta_slow; // ROPE_YARN: rotations within original_ctx
    double attn_factor;   // ROPE_YARN: cos and sin are scaled by attn_factor * (1 + 0.1 ln factor)
    int original_ctx;     // ROPE_LLAMA3, ROPE_YARN
    const float *factors; // [dim / 2] divisors of the frequencies, or NULL (tensor rope_freqs)
};

struct model_shape {
    const char *name;
    const char *arch; // "llama", "qwen2", "internlm2", "mistral"
    int n_layer;
    int d_model; // residual width
    int n_head, n_head_kv, d_head;
    int d_ff;
    int n_vocab;
    int n_ctx; // trained context
    double norm_eps;
    bool qkv_bias;
    bool tied; // the output matrix is the embedding
    struct rope rope;
    double weight_bits; // of matrices, in memory (4.5 for Q4_0); from the data when there is any
};

// A matrix [rows, cols] of weights (cols = K is contiguous) or a vector (rows = 1, F32).
struct tensor {
    char name[48];              // as in GGUF: "blk.0.attn_q.weight"
    const struct encoding *enc; // without data: the one of weight_bits, or NULL if there is none
    int64_t rows, cols;
    int64_t row_bytes;
    const void *data; // NULL in a model without weights
    uint32_t id;      // unique within the model, dense from 0: devices index their copies by it
};

struct layer_weights {
    struct tensor attn_norm, q, k, v, o;
    struct tensor q_bias, k_bias, v_bias; // rows = 0 when absent
    struct tensor ffn_norm, gate, up, down;
};

struct gguf;
struct model {
    struct model_shape shape;
    struct tensor embed, out_norm, output; // tied: output is a copy of embed, with its id
    struct layer_weights *layers;          // [n_layer]
    int n_tensors;
    bool has_data;
    struct gguf *gguf; // owner of the data, or NULL
    void *generated;   // owner of generated data, or NULL
    struct arena arena;
    uint64_t digest; // of shape and, with data, of the weights' bytes (sampled for large ones)
    struct tensor **tensors; // [n_tensors], by id; a tied output is not listed twice
};

// Tensor ids: 0 embed, 1 out_norm, 2 output (unless tied), then layer by layer.

// A model without weights from a shape, which is copied. Refuses shapes that make no sense.
int model_create(const struct model_shape *shape, struct model **out, struct err *e);

// Loads shape and weights. Checks every tensor's presence and dimensions against the shape.
int model_open_gguf(const char *path, struct model **out, struct err *e);
// The same from memory, which must outlive the model and be aligned to 8 bytes.
int model_open_memory(const char *name, const void *data, size_t size, struct model **out,
                      struct err *e);
// Shape only, from configs/model/NAME.cfg (libconfig) or a Hugging Face config.json (by suffix).
int model_open_shape(const char *path, struct model **out, struct err *e);
// Either of the two by content and suffix.
int model_open(const char *path, struct model **out, struct err *e);
// Gives a shape-only model random weights (seeded, scaled so that activations stay finite) in one
// encoding; norms F32 ones. For benchmarks and hardware validation of large shapes. Sets
// shape.weight_bits and the digest; called again, it replaces the weights.
int model_generate(struct model *m, const struct encoding *enc, uint64_t seed, struct err *e);
// The same for one matrix: rows * row_bytes bytes of its encoding to dst, by seed and name.
void tensor_generate(const struct tensor *t, uint64_t seed, void *dst);
void model_close(struct model *m);

int64_t model_weight_bytes(const struct model *m); // all weights, embedding and output included
int64_t model_parameters(const struct model *m);

#endif
