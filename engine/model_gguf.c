// SPDX-License-Identifier: GPL-3.0-or-later
// Models: from GGUF.
//
//     keys -> shape -> model_create lists the tensors -> each is looked up and compared
//
// The one idea: the file must say exactly what we compute. A missing tensor, other dimensions, and
// also a tensor or a key that would change the result but that the decoder graph does not know (an
// output bias, experts, a normalised q) are errors, because ignoring them gives plausible nonsense.
//
// Dimensions of a GGUF tensor are [K, rows], the contiguous one first.
#include "engine/model_build.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/gguf.h"

// Reads "ARCH.name" keys.
struct keys {
    const struct gguf *g;
    const char *arch;
    char key[96]; // of the last read
    struct err *e;
};

static const char *key_of(struct keys *k, const char *name)
{
    snprintf(k->key, sizeof k->key, "%s.%s", k->arch, name);
    return k->key;
}

// fallback INT_MIN: required.
static int read_int(struct keys *k, const char *name, int fallback, int max, int *out)
{
    int64_t v;
    const char *key = key_of(k, name);
    int rc = gguf_int(k->g, key, fallback, 1, max, &v, k->e);
    if (rc < 0)
        return rc;
    if (v == INT_MIN)
        return err_at(k->e, ERR_FORMAT, k->g->path, 0, key, "is missing: the model needs it");
    *out = (int)v;
    return 0;
}

static int read_real(struct keys *k, const char *name, double fallback, double *out)
{
    return gguf_real(k->g, key_of(k, name), fallback, out, k->e);
}

static int read_scaling(struct keys *k, struct rope *r)
{
    struct gguf_str type;
    int rc = gguf_string(k->g, key_of(k, "rope.scaling.type"), &type, k->e);
    if (rc < 0)
        return rc;
    r->factor = r->attn_factor = 1;
    double old_linear, yarn_attn;
    // Files of 2023 have only this key.
    if ((rc = read_real(k, "rope.scale_linear", 1, &old_linear)) < 0)
        return rc;
    if (!type.s && old_linear != 1) {
        r->scaling = ROPE_LINEAR;
        r->factor = old_linear;
        return 0;
    }
    if (!type.s || (type.n == 4 && memcmp(type.s, "none", 4) == 0))
        return 0;
    if (type.n == 6 && memcmp(type.s, "linear", 6) == 0)
        r->scaling = ROPE_LINEAR;
    else if (type.n == 4 && memcmp(type.s, "yarn", 4) == 0)
        r->scaling = ROPE_YARN;
    else
        return err_at(k->e, ERR_UNSUPPORTED, k->g->path, 0, key_of(k, "rope.scaling.type"),
                      "\"%.*s\" is not known; known: none, linear, yarn",
                      (int)(type.n < 40 ? type.n : 40), type.s);
    if ((rc = read_real(k, "rope.scaling.factor", 1, &r->factor)) < 0)
        return rc;
    if (r->scaling != ROPE_YARN)
        return 0;
    if ((rc = read_int(k, "rope.scaling.original_context_length", INT_MIN, MODEL_MAX_CTX,
                       &r->original_ctx)) < 0 ||
        (rc = read_real(k, "rope.scaling.attn_factor", 1, &r->attn_factor)) < 0 ||
        (rc = read_real(k, "rope.scaling.yarn_attn_factor", 1, &yarn_attn)) < 0 ||
        (rc = read_real(k, "rope.scaling.yarn_beta_fast", 32, &r->beta_fast)) < 0 ||
        (rc = read_real(k, "rope.scaling.yarn_beta_slow", 1, &r->beta_slow)) < 0)
        return rc;
    r->attn_factor *= yarn_attn;
    return 0;
}

static int read_sizes(struct keys *k, struct model_shape *s)
{
    int rc, d_value;
    if ((rc = read_int(k, "block_count", INT_MIN, MODEL_MAX_LAYER, &s->n_layer)) < 0 ||
        (rc = read_int(k, "context_length", INT_MIN, MODEL_MAX_CTX, &s->n_ctx)) < 0 ||
        (rc = read_int(k, "embedding_length", INT_MIN, MODEL_MAX_WIDTH, &s->d_model)) < 0 ||
        (rc = read_int(k, "feed_forward_length", INT_MIN, MODEL_MAX_FF, &s->d_ff)) < 0 ||
        (rc = read_int(k, "attention.head_count", INT_MIN, MODEL_MAX_WIDTH, &s->n_head)) < 0 ||
        (rc = read_int(k, "attention.head_count_kv", s->n_head, MODEL_MAX_WIDTH, &s->n_head_kv)) <
            0)
        return rc;
    int d_head = s->d_model % s->n_head ? INT_MIN : s->d_model / s->n_head;
    if ((rc = read_int(k, "attention.key_length", d_head, MODEL_MAX_WIDTH, &s->d_head)) < 0 ||
        (rc = read_int(k, "attention.value_length", s->d_head, MODEL_MAX_WIDTH, &d_value)) < 0)
        return rc;
    if (d_value != s->d_head)
        return err_at(k->e, ERR_UNSUPPORTED, k->g->path, 0, k->key,
                      "values of %d per head beside keys of %d", d_value, s->d_head);
    if ((rc = read_int(k, "rope.dimension_count", s->d_head, MODEL_MAX_WIDTH, &s->rope.dim)) < 0 ||
        (rc = read_real(k, "rope.freq_base", 10000, &s->rope.theta)) < 0 ||
        (rc = read_real(k, "attention.layer_norm_rms_epsilon", -1, &s->norm_eps)) < 0)
        return rc;
    if (s->norm_eps < 0)
        return err_at(k->e, ERR_FORMAT, k->g->path, 0, k->key,
                      "is missing or negative: the model needs it");
    return 0;
}

// Keys that announce what the decoder graph cannot do.
static int refuse_foreign(struct keys *k)
{
    static const char *const zero[] = {"expert_count", "nextn_predict_layers"};
    static const char *const absent[] = {"attention.scale",
                                         "logit_scale",
                                         "residual_scale",
                                         "embedding_scale",
                                         "attention.clamp_kqv",
                                         "rope.scaling.yarn_ext_factor",
                                         "rope.scaling.yarn_log_multiplier"};
    const struct gguf *g = k->g;
    int64_t v;
    for (size_t i = 0; i < sizeof zero / sizeof zero[0]; i++) {
        int rc = gguf_int(g, key_of(k, zero[i]), 0, INT64_MIN, INT64_MAX, &v, k->e);
        if (rc < 0)
            return rc;
        if (v != 0)
            return err_at(k->e, ERR_UNSUPPORTED, g->path, 0, k->key,
                          "is %" PRId64 "; only dense decoders are supported", v);
    }
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        if (gguf_find(g, key_of(k, absent[i])))
            return err_at(k->e, ERR_UNSUPPORTED, g->path, 0, k->key,
                          "is not supported: the decoder has no such factor");
    int rc = gguf_int(g, "split.count", 1, 0, INT64_MAX, &v, k->e);
    if (rc < 0)
        return rc;
    if (v > 1)
        return err_at(k->e, ERR_UNSUPPORTED, g->path, 0, "split.count",
                      "one of %" PRId64 " parts; join them first (llama-gguf-split --merge)", v);
    return 0;
}

// The number of tokens is what the embedding holds; the other places that state it must agree.
static int read_vocab(struct keys *k, struct model_shape *s)
{
    const struct gguf *g = k->g;
    const struct gguf_tensor *t = gguf_find_tensor(g, "token_embd.weight");
    if (!t)
        return err_at(k->e, ERR_FORMAT, g->path, 0, "token_embd.weight", "the tensor is missing");
    if (t->dim[1] > MODEL_MAX_VOCAB)
        return err_at(k->e, ERR_FORMAT, g->path, 0, "token_embd.weight",
                      "%" PRId64 " tokens are more than %d", t->dim[1], MODEL_MAX_VOCAB);
    s->n_vocab = (int)t->dim[1];
    int stated, rc = read_int(k, "vocab_size", s->n_vocab, INT_MAX, &stated);
    if (rc < 0)
        return rc;
    if (stated != s->n_vocab)
        return err_at(k->e, ERR_FORMAT, g->path, 0, k->key,
                      "states %d tokens, but token_embd.weight holds %d", stated, s->n_vocab);
    const struct gguf_value *v = gguf_find(g, "tokenizer.ggml.tokens");
    if (v && v->type == GGUF_ARRAY && v->count > (uint64_t)s->n_vocab)
        return err_at(k->e, ERR_FORMAT, g->path, 0, "tokenizer.ggml.tokens",
                      "%" PRIu64 " tokens, but token_embd.weight holds %d", v->count, s->n_vocab);
    return 0;
}

static int read_shape(const struct gguf *g, struct model_shape *s, char name[64], char arch[41],
                      struct err *e)
{
    struct gguf_str text;
    int rc = gguf_string(g, "general.architecture", &text, e);
    if (rc < 0)
        return rc;
    if (!text.s)
        return err_at(e, ERR_FORMAT, g->path, 0, "general.architecture", "is missing");
    snprintf(arch, 41, "%.*s", (int)(text.n < 40 ? text.n : 40), text.s);
    // Said before the architecture is judged: a vocabulary of any architecture is a vocabulary.
    if (g->n_tensors == 0)
        return err_at(e, ERR_UNSUPPORTED, g->path, 0, NULL,
                      "a vocabulary without weights: it can tokenize, but not run");
    const struct model_arch *a = model_arch_find(arch, g->path, "general.architecture", e);
    if (!a)
        return ERR_UNSUPPORTED;
    if (!a->in_gguf)
        return err_at(e, ERR_UNSUPPORTED, g->path, 0, "general.architecture",
                      "\"%s\" is not an architecture of GGUF files (they say \"llama\")", arch);
    if ((rc = gguf_string(g, "general.name", &text, e)) < 0)
        return rc;
    const char *slash = strrchr(g->path, '/');
    if (text.s && text.n)
        snprintf(name, 64, "%.*s", (int)(text.n < 63 ? text.n : 63), text.s);
    else
        snprintf(name, 64, "%.63s", slash ? slash + 1 : g->path);
    struct keys k = {.g = g, .arch = arch, .e = e};
    *s = (struct model_shape){
        .name = name,
        .arch = arch,
        .qkv_bias = a->qkv_bias || gguf_find_tensor(g, "blk.0.attn_q.bias"),
        .tied = !gguf_find_tensor(g, "output.weight"),
        .rope.pairs = a->pairs,
        .weight_bits = 32, // until the weights are known
    };
    if ((rc = read_sizes(&k, s)) < 0 || (rc = read_scaling(&k, &s->rope)) < 0 ||
        (rc = refuse_foreign(&k)) < 0 || (rc = read_vocab(&k, s)) < 0)
        return rc;
    // Before model_create takes memory for the layers: a layer has at least nine tensors.
    if ((uint64_t)s->n_layer > g->n_tensors / 9)
        return err_at(e, ERR_FORMAT, g->path, 0, key_of(&k, "block_count"),
                      "%d layers do not come from %" PRIu64 " tensors", s->n_layer, g->n_tensors);
    return 0;
}

static int bind(const struct gguf *g, struct tensor *t, struct err *e)
{
    const struct gguf_tensor *f = gguf_find_tensor(g, t->name);
    bool vector = t->rows == 1;
    if (!f)
        return err_at(e, ERR_FORMAT, g->path, 0, t->name,
                      "the tensor is missing; the shape asks for [%" PRId64 ", %" PRId64 "]",
                      t->cols, t->rows);
    if (f->dim[0] != t->cols || f->dim[1] != t->rows || f->dim[2] != 1 || f->dim[3] != 1)
        return err_at(e, ERR_FORMAT, g->path, 0, t->name,
                      "is [%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64
                      "], the shape asks for [%" PRId64 ", %" PRId64 "]",
                      f->dim[0], f->dim[1], f->dim[2], f->dim[3], t->cols, t->rows);
    if (!f->enc) {
        char known[128] = "";
        size_t n = 0;
        for (size_t i = 0; i < encoding_registry_count && n < sizeof known; i++)
            n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "",
                                  encoding_registry[i]->name);
        return err_at(e, ERR_UNSUPPORTED, g->path, 0, t->name,
                      "is of type %" PRIu32 " (%s), which this build cannot read; it reads %s",
                      f->ggml_type, encoding_type_name(f->ggml_type), known);
    }
    if (vector && f->enc != &encoding_f32)
        return err_at(e, ERR_UNSUPPORTED, g->path, 0, t->name, "is %s; vectors must be F32",
                      f->enc->name);
    t->enc = f->enc;
    t->row_bytes = encoding_size(f->enc, t->cols);
    t->data = f->data;
    return 0;
}

// Divisors of the rotary frequencies (Llama 3.1 and later). Counts itself in *used.
static int bind_factors(const struct gguf *g, struct rope *r, uint64_t *used, struct err *e)
{
    const struct gguf_tensor *f = gguf_find_tensor(g, "rope_freqs.weight");
    if (!f)
        return 0;
    if (f->enc != &encoding_f32 || f->dim[0] != r->dim / 2 || f->size != 4 * f->dim[0])
        return err_at(e, ERR_FORMAT, g->path, 0, "rope_freqs.weight",
                      "expected %d values of F32, one per rotated pair", r->dim / 2);
    const float *factors = f->data;
    for (int i = 0; i < r->dim / 2; i++)
        if (!(factors[i] > 0 && isfinite(factors[i])))
            return err_at(e, ERR_FORMAT, g->path, 0, "rope_freqs.weight",
                          "value %d is %g, expected a positive divisor", i, (double)factors[i]);
    r->factors = factors;
    ++*used;
    return 0;
}

static int compare_ids(const void *key, const void *tensor)
{
    return strcmp(key, (*(struct tensor *const *)tensor)->name);
}

static int compare_tensors(const void *a, const void *b)
{
    return strcmp((*(struct tensor *const *)a)->name, (*(struct tensor *const *)b)->name);
}

// There are more tensors than the model uses: names the first stranger.
static int refuse_strangers(const struct gguf *g, struct model *m, struct err *e)
{
    struct arena_mark mark = arena_mark(&m->arena);
    size_t n = (size_t)m->n_tensors;
    struct tensor **sorted = ARENA_NEWS(&m->arena, n, struct tensor *);
    memcpy(sorted, m->tensors, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_tensors);
    char name[80] = "";
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_str *s = &g->tensors[i].name;
        snprintf(name, sizeof name, "%.*s", (int)s->n, s->s);
        if (strcmp(name, "rope_freqs.weight") != 0 &&
            !bsearch(name, sorted, n, sizeof *sorted, compare_ids))
            break;
    }
    arena_rewind(&m->arena, mark);
    return err_at(e, ERR_UNSUPPORTED, g->path, 0, name,
                  "the tensor is no part of a %s model of %d layers as this build computes it",
                  m->shape.arch, m->shape.n_layer);
}

static int fill(const struct gguf *g, struct model *m, struct err *e)
{
    uint64_t used = (uint64_t)m->n_tensors;
    int rc;
    for (int i = 0; i < m->n_tensors; i++)
        if ((rc = bind(g, m->tensors[i], e)) < 0)
            return rc;
    if ((rc = bind_factors(g, &m->shape.rope, &used, e)) < 0)
        return rc;
    if (g->n_tensors != used)
        return refuse_strangers(g, m, e);
    m->has_data = true;
    model_finish(m);
    return 0;
}

// Takes the file over, also on failure.
static int from_gguf(struct gguf *g, struct model **out, struct err *e)
{
    struct model_shape shape;
    struct model *m = NULL;
    char name[64], arch[41];
    int rc = read_shape(g, &shape, name, arch, e);
    if (rc < 0)
        goto close_gguf;
    if ((rc = model_create(&shape, &m, e)) < 0) {
        // What is a wrong value in a configuration is a malformed file here.
        rc = rc == ERR_CONFIG ? ERR_FORMAT : rc;
        if (e)
            e->code = rc;
        err_locate(e, g->path, 0);
        goto close_gguf;
    }
    if ((rc = fill(g, m, e)) < 0)
        goto close_model;
    m->gguf = g;
    *out = m;
    return 0;
close_model:
    model_close(m);
close_gguf:
    gguf_close(g);
    return rc;
}

int model_open_gguf(const char *path, struct model **out, struct err *e)
{
    struct gguf *g;
    int rc = gguf_open(path, &g, e);
    return rc < 0 ? rc : from_gguf(g, out, e);
}

int model_open_memory(const char *name, const void *data, size_t size, struct model **out,
                      struct err *e)
{
    struct gguf *g;
    int rc = gguf_open_memory(name, data, size, &g, e);
    return rc < 0 ? rc : from_gguf(g, out, e);
}
