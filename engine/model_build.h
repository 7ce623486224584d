// SPDX-License-Identifier: GPL-3.0-or-later
// What the files that build models share: model.c lays a model out, model_gguf.c, model_shape.c and
// model_generate.c fill it.
#ifndef ENGINE_MODEL_BUILD_H
#define ENGINE_MODEL_BUILD_H

#include "engine/model.h"

// Architectures that the decoder graph covers, and how their rotary pairs lie in GGUF weights.
struct model_arch {
    const char *name; // "general.architecture" of GGUF, `arch` of a shape
    const char *hf;   // "architectures" of a Hugging Face config.json
    enum rope_pairs pairs;
    bool qkv_bias; // q, k and v always have biases
    bool in_gguf;  // false: its GGUF files call themselves by another name
};
extern const struct model_arch model_archs[];
extern const size_t model_archs_count;

// By `name`, or NULL with an error that lists the known ones.
const struct model_arch *model_arch_find(const char *name, const char *file, const char *key,
                                         struct err *e);

// Limits of one dimension; with them no product of sizes reaches 2^62.
enum {
    MODEL_MAX_LAYER = 4096,
    MODEL_MAX_WIDTH = 1 << 18,
    MODEL_MAX_FF = 1 << 20,
    MODEL_MAX_VOCAB = 1 << 24,
    MODEL_MAX_CTX = 1 << 28,
};

// After the data pointers changed: weight_bits (from the data, if there is any), the copy in
// `output` when tied, and the digest.
void model_finish(struct model *m);

// Frees what model_generate made, if anything.
void model_discard_generated(struct model *m);

// Shape only, from a Hugging Face config.json.
int model_open_hf(const char *path, struct model **out, struct err *e);

#endif
