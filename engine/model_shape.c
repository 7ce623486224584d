// SPDX-License-Identifier: GPL-3.0-or-later
// Models: shapes from configs/model/NAME.cfg, and the choice between the kinds of model files.
//
//     name, arch, n_layer, d_model, n_head, n_head_kv, d_head, d_ff, n_vocab, n_ctx,
//     norm_eps, qkv_bias, tied, weight_bits, rope = { theta, dim, scaling, factor, ... }
//
// A shape has no weights; it is enough to plan and to simulate. Files of Hugging Face are read by
// model_hf.c.
//
// Invariant: a key that is missing is an error unless its row has a default that is true of every
// model (no bias, not tied, rotation without scaling).
#include "engine/model_build.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "base/conf.h"

struct shape_conf {
    const char *name, *arch;
    int64_t n_layer, d_model, n_head, n_head_kv, d_head, d_ff, n_vocab, n_ctx;
    double norm_eps, weight_bits;
    bool qkv_bias, tied;
};

struct rope_conf {
    double theta, factor, low_freq, high_freq, beta_fast, beta_slow, attn_factor;
    int64_t dim, original_ctx;
    int scaling;
};

#define SHAPE(field)    .name = #field, .offset = offsetof(struct shape_conf, field)
#define ROPE(field)     .name = #field, .offset = offsetof(struct rope_conf, field)
#define INT(low, high)  .type = CONF_INT, .min = low, .max = high
#define REAL(low, high) .type = CONF_REAL, .min = low, .max = high
#define ELSE(text)      .fallback = text

// clang-format off
static const struct conf_row shape_rows[] = {
    {SHAPE(name), .type = CONF_STRING, ELSE(""),
     .doc = "what reports call the model; the file's name when empty"},
    {SHAPE(arch), .type = CONF_STRING, .doc = "llama, qwen2, internlm2 or mistral"},
    {SHAPE(n_layer), INT(1, MODEL_MAX_LAYER), .doc = "decoder blocks"},
    {SHAPE(d_model), INT(2, MODEL_MAX_WIDTH), .doc = "width of the residual stream"},
    {SHAPE(n_head), INT(1, MODEL_MAX_WIDTH), .doc = "query heads"},
    {SHAPE(n_head_kv), INT(1, MODEL_MAX_WIDTH), .doc = "key-value heads"},
    {SHAPE(d_head), INT(2, MODEL_MAX_WIDTH), .doc = "values per head"},
    {SHAPE(d_ff), INT(2, MODEL_MAX_FF), .doc = "width of the feed-forward network"},
    {SHAPE(n_vocab), INT(2, MODEL_MAX_VOCAB), .doc = "tokens in the vocabulary"},
    {SHAPE(n_ctx), INT(1, MODEL_MAX_CTX), .doc = "longest context of the training, tokens"},
    {SHAPE(norm_eps), REAL(1e-12, 0.1), .doc = "epsilon of the RMS normalisation"},
    {SHAPE(qkv_bias), .type = CONF_BOOL, ELSE("false"),
     .doc = "the query, key and value projections have biases"},
    {SHAPE(tied), .type = CONF_BOOL, ELSE("false"), .doc = "the output matrix is the embedding"},
    {SHAPE(weight_bits), REAL(1, 32), ELSE("4.5"),
     .doc = "bits per weight in memory, scales included"},
    {.name = "rope", .type = CONF_GROUP, .doc = "rotary position embedding"},
};

static const struct conf_row rope_rows[] = {
    {ROPE(theta), REAL(2, 1e12), .doc = "base of the frequencies"},
    {ROPE(dim), INT(0, MODEL_MAX_WIDTH), ELSE("0"), .doc = "rotated values per head; 0: all"},
    {ROPE(scaling), .type = CONF_ENUM, .choices = "none|linear|llama3|yarn", ELSE("none"),
     .doc = "how frequencies change for long contexts"},
    {ROPE(factor), REAL(1, 1e6), ELSE("1"), .doc = "context extension"},
    {ROPE(low_freq), REAL(1e-6, 1e6), ELSE("1"),
     .doc = "llama3: fewer turns than this are divided by factor"},
    {ROPE(high_freq), REAL(1e-6, 1e6), ELSE("4"),
     .doc = "llama3: more turns than this stay as they are"},
    {ROPE(beta_fast), REAL(1e-6, 1e6), ELSE("32"),
     .doc = "yarn: more turns than this stay as they are"},
    {ROPE(beta_slow), REAL(1e-6, 1e6), ELSE("1"),
     .doc = "yarn: fewer turns than this are divided by factor"},
    {ROPE(attn_factor), REAL(1e-6, 1e6), ELSE("1"),
     .doc = "yarn: scales cos and sin, times 1 + 0.1 ln factor"},
    {ROPE(original_ctx), INT(0, MODEL_MAX_CTX), ELSE("0"),
     .doc = "llama3, yarn: context before the extension, tokens"},
};
// clang-format on

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

// "configs/model/llama3-8b.cfg" -> "llama3-8b"
static const char *stem(struct arena *a, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return arena_printf(a, "%.*s", dot ? (int)(dot - name) : (int)strlen(name), name);
}

static struct rope rope_of(const struct rope_conf *r, const struct shape_conf *s,
                           enum rope_pairs pairs)
{
    _Static_assert(ROPE_NONE == 0 && ROPE_LINEAR == 1 && ROPE_LLAMA3 == 2 && ROPE_YARN == 3,
                   "the choices of the row `scaling` are in this order");
    return (struct rope){
        .pairs = pairs,
        .scaling = (enum rope_scaling)r->scaling,
        .dim = (int)(r->dim ? r->dim : s->d_head),
        .theta = r->theta,
        .factor = r->factor,
        .low_freq = r->low_freq,
        .high_freq = r->high_freq,
        .beta_fast = r->beta_fast,
        .beta_slow = r->beta_slow,
        .attn_factor = r->attn_factor,
        .original_ctx = (int)r->original_ctx,
    };
}

// Gives an error of model_create, which knows only keys, its line.
static void locate(const struct conf *c, struct err *e)
{
    const char *file = NULL;
    int line = 0;
    const struct conf_node *n = conf_root(c);
    const char *key = e ? e->key : "";
    if (strncmp(key, "rope.", 5) == 0 && conf_child(n, "rope")) {
        n = conf_child(n, "rope");
        key += 5;
    }
    conf_where(n, key, &file, &line);
    err_locate(e, file ? file : conf_path(c), line);
}

static int create_from_conf(const struct conf *c, struct arena *a, struct model **out,
                            struct err *e)
{
    struct shape_conf s;
    struct rope_conf r;
    const struct conf_node *root = conf_root(c);
    int rc;
    if ((rc = conf_read(root, "", shape_rows, COUNT(shape_rows), &s, a, e)) < 0)
        return rc;
    const struct model_arch *arch = model_arch_find(s.arch, NULL, "arch", e);
    if (!arch) {
        locate(c, e);
        return ERR_UNSUPPORTED;
    }
    if ((rc = conf_read(conf_child(root, "rope"), "rope", rope_rows, COUNT(rope_rows), &r, a, e)) <
        0) {
        err_locate(e, conf_path(c), 0);
        return rc;
    }
    const struct model_shape shape = {
        .name = s.name[0] ? s.name : stem(a, conf_path(c)),
        .arch = arch->name,
        .n_layer = (int)s.n_layer,
        .d_model = (int)s.d_model,
        .n_head = (int)s.n_head,
        .n_head_kv = (int)s.n_head_kv,
        .d_head = (int)s.d_head,
        .d_ff = (int)s.d_ff,
        .n_vocab = (int)s.n_vocab,
        .n_ctx = (int)s.n_ctx,
        .norm_eps = s.norm_eps,
        .qkv_bias = s.qkv_bias,
        .tied = s.tied,
        .rope = rope_of(&r, &s, arch->pairs),
        .weight_bits = s.weight_bits,
    };
    if ((rc = model_create(&shape, out, e)) < 0)
        locate(c, e);
    return rc;
}

static int open_conf(const char *path, struct model **out, struct err *e)
{
    struct conf *c;
    struct arena a;
    int rc = conf_open(path, &c, e);
    if (rc < 0)
        return rc;
    arena_init(&a);
    rc = create_from_conf(c, &a, out, e);
    arena_fini(&a);
    conf_close(c);
    return rc;
}

static bool has_suffix(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && strcasecmp(path + n - m, suffix) == 0;
}

int model_open_shape(const char *path, struct model **out, struct err *e)
{
    if (has_suffix(path, ".json"))
        return model_open_hf(path, out, e);
    return open_conf(path, out, e);
}

int model_open(const char *path, struct model **out, struct err *e)
{
    char magic[4] = "";
    FILE *f = fopen(path, "rb");
    if (!f)
        return err_at(e, ERR_IO, path, 0, NULL, "cannot open: %s", strerror(errno));
    size_t n = fread(magic, 1, sizeof magic, f);
    fclose(f);
    if ((n == 4 && memcmp(magic, "GGUF", 4) == 0) || has_suffix(path, ".gguf"))
        return model_open_gguf(path, out, e);
    if (has_suffix(path, ".cfg") || has_suffix(path, ".json"))
        return model_open_shape(path, out, e);
    return err_at(e, ERR_USAGE, path, 0, NULL,
                  "is no model: expected a GGUF file, a shape (.cfg) or a config.json");
}
