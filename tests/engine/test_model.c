// SPDX-License-Identifier: GPL-3.0-or-later
// Models from GGUF: files made here, each wrong in one way, and real ones.
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>
#include "engine/gguf.h"
#include "engine/model.h"
#include "tests/engine/gguf_text.h"

// --- a small GGUF model, as text that a test can bend

enum { D = 32, HEADS = 4, KV = 2, FF = 64, VOCAB = 40, LAYERS = 2 };

struct item {
    char name[64];
    char text[80]; // a key: type and value; a tensor: dimensions ("2 8:32 8:40") and type
    int values;
    int type;
};

struct recipe {
    struct item keys[40], tensors[60];
    int n_keys, n_tensors;
};

static void key(struct recipe *r, const char *name, const char *text)
{
    struct item *i = &r->keys[r->n_keys++];
    snprintf(i->name, sizeof i->name, "%s", name);
    snprintf(i->text, sizeof i->text, "%s", text);
}

static void arch_key(struct recipe *r, const char *arch, const char *name, const char *text)
{
    char full[64];
    snprintf(full, sizeof full, "%s.%s", arch, name);
    key(r, full, text);
}

static void tensor(struct recipe *r, const char *name, int type, int cols, int rows)
{
    struct item *i = &r->tensors[r->n_tensors++];
    snprintf(i->name, sizeof i->name, "%s", name);
    if (rows)
        snprintf(i->text, sizeof i->text, "4:2 8:%d 8:%d", cols, rows);
    else
        snprintf(i->text, sizeof i->text, "4:1 8:%d", cols);
    i->values = cols * (rows ? rows : 1);
    i->type = type;
}

static struct item *find(struct item *items, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(items[i].name, name) == 0)
            return &items[i];
    fprintf(stderr, "test_model: no %s\n", name);
    abort();
}

static void drop(struct item *items, int *n, const char *name)
{
    struct item *i = find(items, *n, name);
    *i = items[--*n];
}

static void set_key(struct recipe *r, const char *name, const char *text)
{
    snprintf(find(r->keys, r->n_keys, name)->text, sizeof r->keys->text, "%s", text);
}

static struct recipe recipe(const char *arch, int type, bool biases)
{
    struct recipe r = {0};
    char text[64];
    snprintf(text, sizeof text, "4:8 s'%s'", arch);
    key(&r, "general.architecture", text);
    key(&r, "general.name", "4:8 s'tiny'");
    arch_key(&r, arch, "block_count", "4:4 4:2");
    arch_key(&r, arch, "context_length", "4:4 4:128");
    arch_key(&r, arch, "embedding_length", "4:4 4:32");
    arch_key(&r, arch, "feed_forward_length", "4:4 4:64");
    arch_key(&r, arch, "attention.head_count", "4:4 4:4");
    arch_key(&r, arch, "attention.head_count_kv", "4:4 4:2");
    arch_key(&r, arch, "attention.layer_norm_rms_epsilon", "4:6 f:1e-5");
    arch_key(&r, arch, "rope.freq_base", "4:6 f:20000");
    tensor(&r, "token_embd.weight", type, D, VOCAB);
    tensor(&r, "output_norm.weight", 0, D, 0);
    tensor(&r, "output.weight", type, D, VOCAB);
    for (int i = 0; i < LAYERS; i++) {
        const struct {
            const char *name;
            int cols, rows;
        } list[] = {
            {"attn_norm.weight", D, 0},  {"attn_q.weight", D, D},      {"attn_k.weight", D, D / 2},
            {"attn_v.weight", D, D / 2}, {"attn_output.weight", D, D}, {"ffn_norm.weight", D, 0},
            {"ffn_gate.weight", D, FF},  {"ffn_up.weight", D, FF},     {"ffn_down.weight", FF, D},
            {"attn_q.bias", D, 0},       {"attn_k.bias", D / 2, 0},    {"attn_v.bias", D / 2, 0},
        };
        for (int j = 0; j < (biases ? 12 : 9); j++) {
            snprintf(text, sizeof text, "blk.%d.%s", i, list[j].name);
            tensor(&r, text, list[j].rows ? type : 0, list[j].cols, list[j].rows);
        }
    }
    return r;
}

static struct bytes assemble(const struct recipe *r)
{
    struct bytes b = {0};
    int64_t offset = 0;
    bytes_text(&b, "'GGUF' 4:3 8:%d 8:%d", r->n_tensors, r->n_keys);
    for (int i = 0; i < r->n_keys; i++)
        bytes_text(&b, "s'%s' %s", r->keys[i].name, r->keys[i].text);
    for (int i = 0; i < r->n_tensors; i++) {
        const struct item *t = &r->tensors[i];
        const struct encoding *e = encoding_find_type((uint32_t)t->type);
        bytes_text(&b, "s'%s' %s 4:%d 8:%lld", t->name, t->text, t->type, (long long)offset);
        // Whole blocks only, as dimensions may be wrong on purpose.
        int64_t size = e ? t->values / e->block * e->bytes : 0;
        offset += (size + 31) / 32 * 32;
    }
    bytes_text(&b, "p32");
    for (int64_t i = 0; i < offset; i++) {
        unsigned char v = i % 4 == 3 ? 0x3c : (unsigned char)(i * 37); // floats near 0.01
        bytes_add(&b, &v, 1);
    }
    return b;
}

static int open_recipe(const struct recipe *r, struct model **m, struct bytes *b, struct err *e)
{
    *b = assemble(r);
    *m = NULL;
    memset(e, 0, sizeof *e);
    return model_open_memory("tiny.gguf", b->p, b->n, m, e);
}

static void check_refused(const struct recipe *r, int code, const char *at, const char *message)
{
    struct bytes b;
    struct model *m;
    struct err e;
    int rc = open_recipe(r, &m, &b, &e);
    char text[600];
    CHECK_INT(rc, code);
    CHECK_INT(e.code, code);
    CHECK_STR(e.file, "tiny.gguf");
    CHECK_STR(e.key, at);
    CHECK_HAS(err_text(&e, text, sizeof text), message);
    CHECK(m == NULL);
    if (rc == 0)
        model_close(m);
    bytes_free(&b);
}

// --- tests

static void check_ids(const struct model *m)
{
    for (int i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = m->tensors[i];
        CHECK_INT(t->id, i);
        CHECK(t->enc != NULL && t->row_bytes == encoding_size(t->enc, t->cols));
        CHECK((t->data != NULL) == m->has_data);
    }
}

static void test_tiny_model(void)
{
    const int types[] = {0, 1, 30, 8, 2};
    for (int i = 0; i < 5; i++) {
        struct recipe r = recipe("llama", types[i], false);
        struct bytes b;
        struct model *m;
        struct err e;
        if (CHECK_OK(open_recipe(&r, &m, &b, &e), &e)) {
            const struct model_shape *s = &m->shape;
            CHECK_STR(s->name, "tiny");
            CHECK_STR(s->arch, "llama");
            CHECK(s->n_layer == LAYERS && s->d_model == D && s->n_head == HEADS &&
                  s->n_head_kv == KV && s->d_head == D / HEADS && s->d_ff == FF &&
                  s->n_vocab == VOCAB && s->n_ctx == 128);
            CHECK_NEAR(s->norm_eps, 1e-5, 1e-12);
            CHECK(!s->qkv_bias && !s->tied);
            CHECK(s->rope.pairs == ROPE_INTERLEAVED && s->rope.scaling == ROPE_NONE &&
                  s->rope.dim == 8 && s->rope.theta == 20000 && s->rope.factor == 1);
            const struct encoding *enc = encoding_find_type((uint32_t)types[i]);
            CHECK_NEAR(s->weight_bits, 8.0 * enc->bytes / enc->block, 0);
            CHECK_INT(m->n_tensors, 3 + 9 * LAYERS);
            CHECK(m->layers[1].down.enc == enc && m->layers[1].down.cols == FF &&
                  m->layers[1].down.rows == D);
            CHECK_STR(m->layers[1].down.name, "blk.1.ffn_down.weight");
            CHECK(m->layers[0].q_bias.rows == 0);
            CHECK_INT(model_parameters(m),
                      2 * D * VOCAB + D + LAYERS * (2 * D + 3 * D * D + 3 * D * FF));
            CHECK_INT(model_weight_bytes(m),
                      (model_parameters(m) - 5 * D) * enc->bytes / enc->block + 5 * D * 4);
            check_ids(m);
            model_close(m);
        }
        bytes_free(&b);
    }
    model_close(NULL);
}

static void test_tied_output(void)
{
    struct recipe r = recipe("llama", 8, false);
    struct bytes b;
    struct model *m;
    struct err e;
    drop(r.tensors, &r.n_tensors, "output.weight");
    if (CHECK_OK(open_recipe(&r, &m, &b, &e), &e)) {
        CHECK(m->shape.tied && m->output.data == m->embed.data && m->output.id == m->embed.id);
        CHECK_INT(m->n_tensors, 2 + 9 * LAYERS);
        check_ids(m);
        model_close(m);
    }
    bytes_free(&b);
}

static void test_qwen2_and_internlm2(void)
{
    struct recipe r = recipe("qwen2", 1, true);
    struct bytes b;
    struct model *m;
    struct err e;
    if (CHECK_OK(open_recipe(&r, &m, &b, &e), &e)) {
        CHECK(m->shape.qkv_bias && m->shape.rope.pairs == ROPE_HALVES);
        CHECK(m->layers[0].k_bias.cols == D / 2 && m->layers[0].k_bias.rows == 1);
        CHECK_INT(m->n_tensors, 3 + 12 * LAYERS);
        check_ids(m);
        model_close(m);
    }
    bytes_free(&b);
    r = recipe("internlm2", 1, false);
    if (CHECK_OK(open_recipe(&r, &m, &b, &e), &e)) {
        CHECK(!m->shape.qkv_bias && m->shape.rope.pairs == ROPE_INTERLEAVED);
        CHECK_STR(m->shape.arch, "internlm2");
        model_close(m);
    }
    bytes_free(&b);
    r = recipe("qwen2", 1, false);
    check_refused(&r, ERR_FORMAT, "blk.0.attn_q.bias", "the tensor is missing");
    r = recipe("qwen2", 1, true);
    drop(r.tensors, &r.n_tensors, "blk.1.attn_v.bias");
    check_refused(&r, ERR_FORMAT, "blk.1.attn_v.bias", "the tensor is missing");
}

static void test_rope(void)
{
    struct recipe r = recipe("llama", 0, false);
    struct bytes b;
    struct model *m;
    struct err e;
    key(&r, "llama.rope.dimension_count", "4:4 4:6");
    key(&r, "llama.rope.scaling.type", "4:8 s'linear'");
    key(&r, "llama.rope.scaling.factor", "4:6 f:4");
    tensor(&r, "rope_freqs.weight", 0, 3, 0);
    if (CHECK_OK(open_recipe(&r, &m, &b, &e), &e)) {
        CHECK(m->shape.rope.dim == 6 && m->shape.rope.scaling == ROPE_LINEAR &&
              m->shape.rope.factor == 4 && m->shape.rope.factors != NULL);
        model_close(m);
    }
    bytes_free(&b);
    set_key(&r, "llama.rope.scaling.type", "4:8 s'yarn'");
    check_refused(&r, ERR_FORMAT, "llama.rope.scaling.original_context_length", "is missing");
    key(&r, "llama.rope.scaling.original_context_length", "4:4 4:32");
    key(&r, "llama.rope.scaling.attn_factor", "4:6 f:0.5");
    if (CHECK_OK(open_recipe(&r, &m, &b, &e), &e)) {
        const struct rope *p = &m->shape.rope;
        CHECK(p->scaling == ROPE_YARN && p->original_ctx == 32 && p->attn_factor == 0.5 &&
              p->beta_fast == 32 && p->beta_slow == 1);
        model_close(m);
    }
    bytes_free(&b);
    struct recipe bad = r;
    set_key(&bad, "llama.rope.scaling.type", "4:8 s'longrope'");
    check_refused(&bad, ERR_UNSUPPORTED, "llama.rope.scaling.type", "known: none, linear, yarn");
    bad = r;
    set_key(&bad, "llama.rope.scaling.factor", "4:6 f:0.5");
    check_refused(&bad, ERR_FORMAT, "rope.factor", "factor 0.5 is below 1");
    bad = r;
    set_key(&bad, "llama.rope.dimension_count", "4:4 4:8");
    check_refused(&bad, ERR_FORMAT, "rope_freqs.weight", "expected 4 values");
    bad = r;
    set_key(&bad, "llama.rope.dimension_count", "4:4 4:10");
    check_refused(&bad, ERR_FORMAT, "rope.dim", "10 rotated values of 8");
    bad = r;
    set_key(&bad, "llama.rope.freq_base", "4:6 f:0");
    check_refused(&bad, ERR_FORMAT, "rope.theta", "is not above 1");
    bad = r;
    set_key(&bad, "llama.rope.freq_base", "4:6 4:0x7fc00000");
    check_refused(&bad, ERR_FORMAT, "llama.rope.freq_base", "is not a finite number");
}

static void test_wrong_keys(void)
{
    static const struct {
        const char *key, *text; // text NULL: the key is missing
        int code;
        const char *at, *message;
    } cases[] = {
        {"general.architecture", NULL, ERR_FORMAT, "", "is missing"},
        {"general.architecture", "4:8 s'gpt2'", ERR_UNSUPPORTED, "",
         "architecture \"gpt2\" is not known; known: llama, qwen2, internlm2"},
        {"general.architecture", "4:8 s'mistral'", ERR_UNSUPPORTED, "", "they say \"llama\""},
        {"general.architecture", "4:4 4:1", ERR_FORMAT, "", "is of type u32, expected string"},
        {"llama.block_count", NULL, ERR_FORMAT, "", "is missing: the model needs it"},
        {"llama.block_count", "4:4 4:0", ERR_FORMAT, "", "0 is out of range"},
        {"llama.block_count", "4:4 4:4096", ERR_FORMAT, "", "4096 layers do not come from 21"},
        {"llama.block_count", "4:10 8:0xffffffffffffffff", ERR_FORMAT, "", "is out of range"},
        {"llama.context_length", NULL, ERR_FORMAT, "", "is missing"},
        {"llama.embedding_length", "4:5 4:0xffffffff", ERR_FORMAT, "", "-1 is out of range"},
        {"llama.embedding_length", "4:4 4:64", ERR_FORMAT, "token_embd.weight",
         "is [32, 40, 1, 1], the shape asks for [64, 40]"},
        {"llama.feed_forward_length", "4:4 4:65", ERR_FORMAT, "blk.0.ffn_gate.weight",
         "the shape asks for [32, 65]"},
        {"llama.feed_forward_length", "4:9 4:4 8:2 4:64 4:64", ERR_FORMAT, "",
         "is of type array, expected an integer"},
        {"llama.attention.head_count", "4:4 4:8", ERR_FORMAT, "blk.0.attn_k.weight",
         "the shape asks for [32, 8]"},
        {"llama.attention.head_count", "4:4 4:5", ERR_FORMAT, "llama.attention.key_length",
         "is missing"},
        {"llama.attention.head_count", "4:4 4:32", ERR_FORMAT, "d_head", "1 is out of range"},
        {"llama.attention.head_count_kv", "4:4 4:3", ERR_FORMAT, "n_head_kv",
         "4 query heads cannot share 3 key-value heads evenly"},
        {"llama.attention.head_count_kv", "4:4 4:8", ERR_FORMAT, "n_head_kv", "cannot share"},
        {"llama.attention.head_count_kv", NULL, ERR_FORMAT, "blk.0.attn_k.weight", "[32, 32]"},
        {"llama.attention.layer_norm_rms_epsilon", NULL, ERR_FORMAT, "", "is missing"},
        {"llama.attention.layer_norm_rms_epsilon", "4:6 f:2", ERR_FORMAT, "norm_eps", "range"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct recipe r = recipe("llama", 0, false);
        if (cases[i].text)
            set_key(&r, cases[i].key, cases[i].text);
        else
            drop(r.keys, &r.n_keys, cases[i].key);
        check_refused(&r, cases[i].code, cases[i].at[0] ? cases[i].at : cases[i].key,
                      cases[i].message);
    }
}

static void test_foreign_keys(void)
{
    static const struct {
        const char *key, *text;
        int code;
        const char *message;
    } cases[] = {
        {"llama.expert_count", "4:4 4:8", ERR_UNSUPPORTED, "only dense decoders"},
        {"llama.attention.value_length", "4:4 4:16", ERR_UNSUPPORTED, "values of 16 per head"},
        {"llama.logit_scale", "4:6 f:2", ERR_UNSUPPORTED, "has no such factor"},
        {"split.count", "4:2 2:3", ERR_UNSUPPORTED, "one of 3 parts"},
        {"llama.vocab_size", "4:4 4:41", ERR_FORMAT, "states 41 tokens"},
        {"tokenizer.ggml.tokens", "4:9 4:0 8:41 z41", ERR_FORMAT, "41 tokens, but"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct recipe r = recipe("llama", 0, false);
        key(&r, cases[i].key, cases[i].text);
        check_refused(&r, cases[i].code, cases[i].key, cases[i].message);
    }
    struct recipe r = recipe("llama", 0, false);
    struct bytes b;
    struct model *m;
    struct err e;
    key(&r, "llama.expert_count", "4:4 4:0"); // says that there are none
    key(&r, "llama.vocab_size", "4:4 4:40");
    key(&r, "tokenizer.ggml.tokens", "4:9 4:0 8:39 z39"); // fewer: the embedding is padded
    if (CHECK_OK(open_recipe(&r, &m, &b, &e), &e))
        model_close(m);
    bytes_free(&b);
}

static void test_wrong_tensors(void)
{
    // Every tensor, missing, and (where it has other axes) transposed.
    struct recipe good = recipe("llama", 0, false);
    for (int i = 0; i < good.n_tensors; i++) {
        struct recipe r = good;
        const char *name = good.tensors[i].name;
        if (strcmp(name, "output.weight") != 0) {
            drop(r.tensors, &r.n_tensors, name);
            check_refused(&r, ERR_FORMAT, name, "is missing");
        }
        r = good;
        struct item *t = find(r.tensors, r.n_tensors, name);
        snprintf(t->text, sizeof t->text, "4:3 8:2 8:%d 8:1", t->values / 2);
        check_refused(&r, ERR_FORMAT, name, "the shape asks for");
    }
    struct recipe r = good;
    find(r.tensors, r.n_tensors, "blk.1.ffn_up.weight")->type = 11;
    check_refused(&r, ERR_UNSUPPORTED, "blk.1.ffn_up.weight",
                  "is of type 11 (Q3_K), which this build cannot read; it reads BF16, F16, F32");
    r = good;
    find(r.tensors, r.n_tensors, "blk.1.ffn_norm.weight")->type = 1;
    check_refused(&r, ERR_UNSUPPORTED, "blk.1.ffn_norm.weight", "is F16; vectors must be F32");
    r = good;
    tensor(&r, "blk.0.attn_output.bias", 0, D, 0);
    check_refused(&r, ERR_UNSUPPORTED, "blk.0.attn_output.bias", "is no part of a llama model");
    r = good;
    tensor(&r, "blk.2.attn_norm.weight", 0, D, 0);
    check_refused(&r, ERR_UNSUPPORTED, "blk.2.attn_norm.weight", "of 2 layers");
    r = good;
    r.n_tensors = 0;
    check_refused(&r, ERR_UNSUPPORTED, "", "a vocabulary without weights");
}

static void test_digest(void)
{
    struct recipe r = recipe("llama", 8, false);
    struct bytes a, b;
    struct model *m, *n;
    struct err e;
    if (!CHECK_OK(open_recipe(&r, &m, &a, &e), &e) || !CHECK_OK(open_recipe(&r, &n, &b, &e), &e))
        return;
    CHECK(m->digest == n->digest);
    model_close(n);
    b.p[b.n - 40] ^= 1; // one bit of one weight
    CHECK_OK(model_open_memory("x", b.p, b.n, &n, &e), &e);
    CHECK(m->digest != n->digest);
    model_close(n);
    bytes_free(&b);
    set_key(&r, "general.name", "4:8 s'another'");
    CHECK_OK(open_recipe(&r, &n, &b, &e), &e);
    CHECK(m->digest == n->digest); // a name is not the model
    model_close(n);
    bytes_free(&b);
    set_key(&r, "llama.rope.freq_base", "4:6 f:30000");
    CHECK_OK(open_recipe(&r, &n, &b, &e), &e);
    CHECK(m->digest != n->digest);
    model_close(n);
    bytes_free(&b);
    model_close(m);
    bytes_free(&a);
}

static void test_real_models(void)
{
    static const struct {
        const char *file;
        int64_t parameters;
        bool tied;
        double bits;
    } files[] = {
        {"data/models/stories260K.gguf", 292800, false, 32},
        {"data/models/TinyStories-656K-f32.gguf", 656000, true, 32},
        {"data/models/TinyStories-656K-F16.gguf", 656000, true, 16},
        {"data/models/TinyStories-656K-Q8_0.gguf", 656000, true, 8.5},
        {"data/models/TinyStories-656K-Q4_0.gguf", 656000, true, 4.5},
        {"../data/partita-stories.gguf", 0, false, 0},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *path =
            files[i].parameters ? test_shared(files[i].file) : "data/partita-stories.gguf";
        struct model *m;
        struct err e;
        FILE *f = path ? fopen(path, "rb") : NULL;
        if (!f) {
            test_skip("no %s", files[i].file);
            continue;
        }
        fclose(f);
        if (!CHECK_OK(model_open(path, &m, &e), &e))
            continue;
        test_note("%s: %lld parameters, %.2f bits, digest %016llx", path,
                  (long long)model_parameters(m), m->shape.weight_bits,
                  (unsigned long long)m->digest);
        if (files[i].parameters) {
            CHECK_INT(model_parameters(m), files[i].parameters);
            CHECK_NEAR(m->shape.weight_bits, files[i].bits, 0);
            CHECK_INT(m->shape.tied, files[i].tied);
        }
        check_ids(m);
        CHECK_INT(model_generate(m, &encoding_f32, 1, &e), ERR_USAGE);
        model_close(m);
    }
    const char *vocab = test_shared("data/vocab/ggml-vocab-llama-spm.gguf");
    if (vocab) {
        struct model *m;
        struct err e;
        CHECK_INT(model_open_gguf(vocab, &m, &e), ERR_UNSUPPORTED);
        CHECK_HAS(e.msg, "a vocabulary without weights");
        CHECK_STR(e.file, vocab);
    }
}

TESTS(engine_model, T(test_tiny_model), T(test_tied_output), T(test_qwen2_and_internlm2),
      T(test_rope), T(test_wrong_keys), T(test_foreign_keys), T(test_wrong_tensors), T(test_digest),
      T(test_real_models))
