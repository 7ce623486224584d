// SPDX-License-Identifier: GPL-3.0-or-later
// Models: the layout that every source of weights fills in.
//
// The one idea: a shape determines the list of tensors (names, dimensions, ids) completely, so the
// list is made here once, and a loader only walks it. A GGUF file is asked for exactly these
// tensors; a generator fills exactly these.
//
//     token_embd.weight          [n_vocab, d_model]
//     output_norm.weight         [d_model]
//     output.weight              [n_vocab, d_model]            unless tied
//     per layer, "blk.N." +
//       attn_norm.weight         [d_model]
//       attn_q.weight, .bias     [n_head * d_head, d_model]    biases: [rows], when qkv_bias
//       attn_k, attn_v           [n_head_kv * d_head, d_model]
//       attn_output.weight       [d_model, n_head * d_head]
//       ffn_norm.weight          [d_model]
//       ffn_gate, ffn_up         [d_ff, d_model]
//       ffn_down.weight          [d_model, d_ff]
//
// Invariant: m->tensors[i]->id == i.
#include "engine/model_build.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "engine/gguf.h"

// GGUF stores the q and k of llama and internlm2 permuted so that rotary pairs are neighbours;
// those of qwen2 keep Hugging Face's order of halves (llama.cpp, llama_model_rope_type).
const struct model_arch model_archs[] = {
    {"llama", "LlamaForCausalLM", ROPE_INTERLEAVED, false, true},
    {"qwen2", "Qwen2ForCausalLM", ROPE_HALVES, true, true},
    {"internlm2", "InternLM2ForCausalLM", ROPE_INTERLEAVED, false, true},
    {"mistral", "MistralForCausalLM", ROPE_INTERLEAVED, false, false},
};
const size_t model_archs_count = sizeof model_archs / sizeof model_archs[0];

const struct model_arch *model_arch_find(const char *name, const char *file, const char *key,
                                         struct err *e)
{
    char known[128] = "";
    size_t n = 0;
    for (size_t i = 0; i < model_archs_count; i++) {
        if (strcmp(model_archs[i].name, name) == 0)
            return &model_archs[i];
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "",
                              model_archs[i].name);
    }
    err_at(e, ERR_UNSUPPORTED, file, 0, key, "architecture \"%.40s\" is not known; known: %s", name,
           known);
    return NULL;
}

static int check_rope(const struct rope *r, int d_head, struct err *e)
{
    if (r->dim < 2 || r->dim > d_head || r->dim % 2)
        return err_at(e, ERR_CONFIG, NULL, 0, "rope.dim",
                      "%d rotated values of %d per head: expected an even number in 2..%d", r->dim,
                      d_head, d_head);
    if (!(r->theta > 1 && isfinite(r->theta)))
        return err_at(e, ERR_CONFIG, NULL, 0, "rope.theta", "base %g is not above 1", r->theta);
    if (!(r->factor >= 1 && isfinite(r->factor)))
        return err_at(e, ERR_CONFIG, NULL, 0, "rope.factor", "factor %g is below 1", r->factor);
    if ((r->scaling == ROPE_LLAMA3 || r->scaling == ROPE_YARN) &&
        (r->original_ctx < 1 || r->original_ctx > MODEL_MAX_CTX))
        return err_at(e, ERR_CONFIG, NULL, 0, "rope.original_ctx",
                      "%d: this scaling needs the context of the original training",
                      r->original_ctx);
    if (r->scaling == ROPE_LLAMA3 && !(r->low_freq > 0 && r->high_freq > r->low_freq))
        return err_at(e, ERR_CONFIG, NULL, 0, "rope.high_freq",
                      "expected 0 < low_freq < high_freq, got %g and %g", r->low_freq,
                      r->high_freq);
    if (r->scaling == ROPE_YARN && !(r->beta_slow > 0 && r->beta_fast > r->beta_slow))
        return err_at(e, ERR_CONFIG, NULL, 0, "rope.beta_fast",
                      "expected 0 < beta_slow < beta_fast, got %g and %g", r->beta_slow,
                      r->beta_fast);
    if (r->scaling == ROPE_YARN && !(r->attn_factor > 0 && isfinite(r->attn_factor)))
        return err_at(e, ERR_CONFIG, NULL, 0, "rope.attn_factor", "%g is not above 0",
                      r->attn_factor);
    return 0;
}

static int check_shape(const struct model_shape *s, struct err *e)
{
    const struct {
        const char *key;
        int value, min, max;
    } sizes[] = {
        // At least 2 where a matrix has that many rows: one row means a vector.
        {"n_layer", s->n_layer, 1, MODEL_MAX_LAYER},
        {"d_model", s->d_model, 2, MODEL_MAX_WIDTH},
        {"n_head", s->n_head, 1, MODEL_MAX_WIDTH},
        {"n_head_kv", s->n_head_kv, 1, MODEL_MAX_WIDTH},
        {"d_head", s->d_head, 2, MODEL_MAX_WIDTH},
        {"d_ff", s->d_ff, 2, MODEL_MAX_FF},
        {"n_vocab", s->n_vocab, 2, MODEL_MAX_VOCAB},
        {"n_ctx", s->n_ctx, 1, MODEL_MAX_CTX},
    };
    if (!model_arch_find(s->arch, NULL, "arch", e))
        return ERR_UNSUPPORTED;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i].value < sizes[i].min || sizes[i].value > sizes[i].max)
            return err_at(e, ERR_CONFIG, NULL, 0, sizes[i].key, "%d is out of range %d..%d",
                          sizes[i].value, sizes[i].min, sizes[i].max);
    if ((int64_t)s->n_head * s->d_head > MODEL_MAX_WIDTH)
        return err_at(e, ERR_CONFIG, NULL, 0, "n_head", "%d heads of %d are wider than %d",
                      s->n_head, s->d_head, MODEL_MAX_WIDTH);
    if (s->n_head_kv > s->n_head || s->n_head % s->n_head_kv)
        return err_at(e, ERR_CONFIG, NULL, 0, "n_head_kv",
                      "%d query heads cannot share %d key-value heads evenly", s->n_head,
                      s->n_head_kv);
    if (!(s->norm_eps >= 0 && s->norm_eps < 1))
        return err_at(e, ERR_CONFIG, NULL, 0, "norm_eps", "%g is out of range 0..1", s->norm_eps);
    if (!(s->weight_bits >= 1 && s->weight_bits <= 32))
        return err_at(e, ERR_CONFIG, NULL, 0, "weight_bits", "%g is out of range 1..32",
                      s->weight_bits);
    return check_rope(&s->rope, s->d_head, e);
}

// The encoding whose blocks cost exactly `bits` per value; of several, the plainest, which is the
// oldest: F16 before BF16, Q4_0 before Q4_K and IQ4_NL.
static const struct encoding *encoding_of_bits(double bits, int64_t cols)
{
    const struct encoding *best = NULL;
    for (size_t i = 0; i < encoding_registry_count; i++) {
        const struct encoding *enc = encoding_registry[i];
        if (enc->bytes * 8.0 / enc->block == bits && cols % enc->block == 0 &&
            (!best || enc->ggml_type < best->ggml_type))
            best = enc;
    }
    return best;
}

static __attribute__((format(printf, 5, 6))) void
add(struct model *m, struct tensor *t, int64_t rows, int64_t cols, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->name, sizeof t->name, fmt, ap);
    va_end(ap);
    t->rows = rows;
    t->cols = cols;
    if (rows == 1) {
        t->enc = &encoding_f32;
        t->row_bytes = cols * 4;
    } else {
        t->enc = encoding_of_bits(m->shape.weight_bits, cols);
        t->row_bytes = (int64_t)ceil((double)cols * m->shape.weight_bits / 8);
    }
    t->id = (uint32_t)m->n_tensors;
    m->tensors[m->n_tensors++] = t;
}

static void add_layer(struct model *m, int i)
{
    const struct model_shape *s = &m->shape;
    struct layer_weights *w = &m->layers[i];
    int64_t d = s->d_model, q = (int64_t)s->n_head * s->d_head,
            kv = (int64_t)s->n_head_kv * s->d_head;
    add(m, &w->attn_norm, 1, d, "blk.%d.attn_norm.weight", i);
    add(m, &w->q, q, d, "blk.%d.attn_q.weight", i);
    add(m, &w->k, kv, d, "blk.%d.attn_k.weight", i);
    add(m, &w->v, kv, d, "blk.%d.attn_v.weight", i);
    add(m, &w->o, d, q, "blk.%d.attn_output.weight", i);
    if (s->qkv_bias) {
        add(m, &w->q_bias, 1, q, "blk.%d.attn_q.bias", i);
        add(m, &w->k_bias, 1, kv, "blk.%d.attn_k.bias", i);
        add(m, &w->v_bias, 1, kv, "blk.%d.attn_v.bias", i);
    }
    add(m, &w->ffn_norm, 1, d, "blk.%d.ffn_norm.weight", i);
    add(m, &w->gate, s->d_ff, d, "blk.%d.ffn_gate.weight", i);
    add(m, &w->up, s->d_ff, d, "blk.%d.ffn_up.weight", i);
    add(m, &w->down, d, s->d_ff, "blk.%d.ffn_down.weight", i);
}

int model_create(const struct model_shape *shape, struct model **out, struct err *e)
{
    int rc = check_shape(shape, e);
    if (rc < 0)
        return rc;
    struct model *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, ERR_MEMORY, "no memory for a model");
    arena_init(&m->arena);
    m->shape = *shape;
    m->shape.name = arena_strdup(&m->arena, shape->name ? shape->name : "");
    m->shape.arch = arena_strdup(&m->arena, shape->arch);
    size_t most = 3 + sizeof *m->layers / sizeof(struct tensor) * (size_t)shape->n_layer;
    m->tensors = ARENA_NEWS(&m->arena, most, struct tensor *);
    m->layers = ARENA_NEWS(&m->arena, (size_t)shape->n_layer, struct layer_weights);
    add(m, &m->embed, shape->n_vocab, shape->d_model, "token_embd.weight");
    add(m, &m->out_norm, 1, shape->d_model, "output_norm.weight");
    if (!shape->tied)
        add(m, &m->output, shape->n_vocab, shape->d_model, "output.weight");
    for (int i = 0; i < shape->n_layer; i++)
        add_layer(m, i);
    model_finish(m);
    *out = m;
    return 0;
}

// Large tensors are sampled, so that opening a model of some GB does not read all of it.
static uint64_t digest_data(uint64_t d, const struct tensor *t)
{
    enum { WHOLE = 64 * 1024, SAMPLES = 16, SAMPLE = 256 };
    const unsigned char *p = t->data;
    int64_t size = t->rows * t->row_bytes;
    d = digest_str(d, t->enc->name);
    if (size <= WHOLE)
        return digest_bytes(d, p, (size_t)size);
    for (int64_t i = 0; i < SAMPLES; i++) // the first bytes, the last bytes, and evenly between
        d = digest_bytes(d, p + (size - SAMPLE) / (SAMPLES - 1) * i, SAMPLE);
    return digest_bytes(d, p + size - SAMPLE, SAMPLE);
}

// The name is left out: the same weights under two names are the same model.
static uint64_t digest_model(const struct model *m)
{
    const struct model_shape *s = &m->shape;
    const struct rope *r = &s->rope;
    const int ints[] = {s->n_layer,    s->d_model,      s->n_head, s->n_head_kv,   s->d_head,
                        s->d_ff,       s->n_vocab,      s->n_ctx,  s->qkv_bias,    s->tied,
                        (int)r->pairs, (int)r->scaling, r->dim,    r->original_ctx};
    const double reals[] = {s->norm_eps,  r->theta,     r->factor,      r->low_freq,   r->high_freq,
                            r->beta_fast, r->beta_slow, r->attn_factor, s->weight_bits};
    uint64_t d = digest_str(DIGEST_INIT, s->arch);
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++)
        d = digest_u64(d, (uint64_t)ints[i]);
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++)
        d = digest_f64(d, reals[i]);
    if (r->factors)
        d = digest_bytes(d, r->factors, (size_t)(r->dim / 2) * sizeof *r->factors);
    for (int i = 0; m->has_data && i < m->n_tensors; i++)
        d = digest_data(d, m->tensors[i]);
    return d;
}

void model_finish(struct model *m)
{
    if (m->has_data) {
        int64_t bytes = 0, values = 0;
        for (int i = 0; i < m->n_tensors; i++)
            if (m->tensors[i]->rows > 1) {
                bytes += m->tensors[i]->rows * m->tensors[i]->row_bytes;
                values += m->tensors[i]->rows * m->tensors[i]->cols;
            }
        m->shape.weight_bits = 8.0 * (double)bytes / (double)values;
    }
    if (m->shape.tied)
        m->output = m->embed;
    m->digest = digest_model(m);
}

void model_close(struct model *m)
{
    if (!m)
        return;
    model_discard_generated(m);
    gguf_close(m->gguf);
    arena_fini(&m->arena);
    free(m);
}

int64_t model_weight_bytes(const struct model *m)
{
    int64_t bytes = 0;
    for (int i = 0; i < m->n_tensors; i++)
        bytes += m->tensors[i]->rows * m->tensors[i]->row_bytes;
    return bytes;
}

int64_t model_parameters(const struct model *m)
{
    int64_t values = 0;
    for (int i = 0; i < m->n_tensors; i++)
        values += m->tensors[i]->rows * m->tensors[i]->cols;
    return values;
}
