// SPDX-License-Identifier: GPL-3.0-or-later
// Models without a GGUF file: shapes given as values, from configs/model, from a config.json, and
// with generated weights.
#include "tests/harness.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "engine/model.h"

static void check_ids(const struct model *m)
{
    for (int i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = m->tensors[i];
        CHECK_INT(t->id, i);
        CHECK(t->enc != NULL && t->row_bytes == encoding_size(t->enc, t->cols));
        CHECK((t->data != NULL) == m->has_data);
    }
}

static const struct model_shape small = {
    .name = "small",
    .arch = "qwen2",
    .n_layer = 2,
    .d_model = 64,
    .n_head = 4,
    .n_head_kv = 2,
    .d_head = 16,
    .d_ff = 96,
    .n_vocab = 100,
    .n_ctx = 256,
    .norm_eps = 1e-6,
    .qkv_bias = true,
    .weight_bits = 4.5,
    .rope = {.pairs = ROPE_HALVES, .dim = 16, .theta = 1e6, .factor = 1},
};

static void test_shape_only(void)
{
    struct model *m, *tied;
    struct model_shape s = small;
    struct err e;
    if (!CHECK_OK(model_create(&s, &m, &e), &e))
        return;
    CHECK(!m->has_data && m->embed.data == NULL && m->embed.enc == &encoding_q4_0);
    CHECK_INT(m->embed.row_bytes, 36);
    CHECK_INT(model_weight_bytes(m),
              (2 * 6400 + 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96)) * 9 / 16 +
                  4 * (5 * 64 + 2 * 128));
    s.tied = true;
    s.weight_bits = 3.3; // no encoding has it: bytes are rounded up per row
    CHECK_OK(model_create(&s, &tied, &e), &e);
    CHECK(tied->embed.enc == NULL && tied->embed.row_bytes == 27 && tied->output.id == 0);
    CHECK_INT(tied->n_tensors, m->n_tensors - 1);
    CHECK(tied->digest != m->digest);
    CHECK_INT(model_parameters(m) - model_parameters(tied), 6400);
    model_close(tied);
    model_close(m);

    s = small;
    s.n_head_kv = 3;
    CHECK_INT(model_create(&s, &m, &e), ERR_CONFIG);
    CHECK_STR(e.key, "n_head_kv");
    s = small;
    s.arch = "gemma";
    CHECK_INT(model_create(&s, &m, &e), ERR_UNSUPPORTED);
    s = small;
    s.n_layer = 4097;
    CHECK_INT(model_create(&s, &m, &e), ERR_CONFIG);
    s = small;
    s.n_head = s.n_head_kv = 1 << 18;
    s.d_head = 1 << 18;
    CHECK_INT(model_create(&s, &m, &e), ERR_CONFIG);
    CHECK_STR(e.key, "n_head");
}

static void test_generate(void)
{
    for (size_t i = 0; i < encoding_registry_count; i++) {
        const struct encoding *enc = encoding_registry[i];
        struct model *m, *n;
        struct err e;
        struct model_shape shape = small;
        if (enc->block > 32) {
            CHECK_OK(model_create(&small, &m, &e), &e);
            CHECK_INT(model_generate(m, enc, 7, &e), ERR_UNSUPPORTED);
            CHECK_HAS(e.msg, "rows of 64 values are no whole");
            CHECK_STR(e.key, "token_embd.weight");
            model_close(m);
            shape.d_model = shape.d_ff = (int)enc->block;
            shape.d_head = (int)enc->block / shape.n_head;
        }
        CHECK_OK(model_create(&shape, &m, &e), &e);
        CHECK_OK(model_create(&shape, &n, &e), &e);
        uint64_t without = m->digest;
        CHECK_OK(model_generate(m, enc, 7, &e), &e);
        CHECK_OK(model_generate(n, enc, 7, &e), &e);
        CHECK(m->has_data && m->digest == n->digest && m->digest != without);
        check_ids(m);
        CHECK_NEAR(m->shape.weight_bits, 8.0 * enc->bytes / enc->block, 0);
        CHECK_OK(model_generate(n, enc, 8, &e), &e);
        CHECK(m->digest != n->digest);
        double sum = 0, square = 0, largest = 0;
        float row[256];
        const struct tensor *t = &m->layers[1].down;
        for (int64_t r = 0; r < t->rows; r++) {
            enc->decode((const char *)t->data + r * t->row_bytes, row, t->cols);
            for (int64_t c = 0; c < t->cols; c++) {
                sum += row[c];
                square += (double)row[c] * row[c];
                largest = fmax(largest, fabs(row[c]));
            }
        }
        double count = (double)(t->rows * t->cols);
        CHECK_NEAR(sum / count, 0, 0.005);
        CHECK_NEAR(square / count * shape.d_ff, 1, 0.06); // variance 1 / K
        CHECK(largest < 0.2);
        CHECK(memcmp(m->layers[0].q.data, m->layers[1].q.data, 64) != 0);
        const float *norm = m->out_norm.data, *bias = m->layers[0].q_bias.data;
        CHECK(norm[0] == 1 && norm[63] == 1 && bias[3] != bias[4] && fabsf(bias[3]) <= 0.1f);
        model_close(m);
        model_close(n);
    }
    struct model_shape s = small;
    struct model *m;
    struct err e;
    s.d_ff = 100;
    CHECK_OK(model_create(&s, &m, &e), &e);
    CHECK_INT(model_generate(m, &encoding_q8_0, 1, &e), ERR_UNSUPPORTED);
    CHECK_STR(e.key, "blk.0.ffn_down.weight");
    CHECK(!m->has_data && m->embed.data == NULL);
    CHECK_OK(model_generate(m, &encoding_f16, 1, &e), &e); // rows end inside a piece
    CHECK(half_to_float(((const uint16_t *)m->layers[1].down.data)[100 * 64 - 1]) != 0);
    model_close(m);
    s = small;
    s.n_vocab = 1 << 24;
    s.d_model = 1 << 18;
    CHECK_OK(model_create(&s, &m, &e), &e);
    CHECK_INT(model_generate(m, &encoding_q4_0, 1, &e), ERR_MEMORY);
    CHECK_HAS(e.msg, "the machine has");
    model_close(m);
}

// The digest of generated weights is part of what other machines must reproduce.
static void test_generated_digest_is_fixed(void)
{
    struct model *m;
    struct err e;
    char text[17];
    CHECK_OK(model_create(&small, &m, &e), &e);
    CHECK_OK(model_generate(m, &encoding_q4_0, 1, &e), &e);
    CHECK_STR(digest_text(m->digest, text), "24394ea2865542de");
    model_close(m);
}

// --- configs/model

static const struct {
    const char *name;
    int64_t parameters; // as Hugging Face counts them for the repository named in the file
    const char *arch;
} published[] = {
    {"llama2-7b", 6738415616, "llama"},          {"llama3-8b", 8030261248, "llama"},
    {"llama3.2-1b", 1235814400, "llama"},        {"llama3.2-3b", 3212749824, "llama"},
    {"internlm2-1.8b", 1889110016, "internlm2"}, {"qwen2-1.5b", 1543714304, "qwen2"},
    {"mistral-7b", 7248023552, "mistral"},       {"tinyllama-1.1b", 1100048384, "llama"},
};
enum { PUBLISHED = sizeof published / sizeof published[0] };

static void test_published_shapes(void)
{
    for (size_t i = 0; i < PUBLISHED; i++) {
        char path[100];
        struct model *m;
        struct err e;
        snprintf(path, sizeof path, "configs/model/%s.cfg", published[i].name);
        if (!CHECK_OK(model_open(path, &m, &e), &e))
            continue;
        CHECK_STR(m->shape.name, published[i].name);
        CHECK_STR(m->shape.arch, published[i].arch);
        CHECK_INT(model_parameters(m), published[i].parameters);
        CHECK_NEAR(m->shape.weight_bits, 4.5, 0);
        CHECK_INT(m->shape.rope.dim, m->shape.d_head);
        CHECK(m->shape.rope.pairs ==
              (strcmp(published[i].arch, "qwen2") ? ROPE_INTERLEAVED : ROPE_HALVES));
        check_ids(m); // every row is whole blocks of Q4_0
        model_close(m);
    }
}

// The four of ../shared/validation/README.md.
static void test_validation_shapes(void)
{
    static const struct {
        const char *name;
        int n[7];
    } want[] = {
        {"llama3-8b", {32, 4096, 14336, 32, 8, 128256}},
        {"llama2-7b", {32, 4096, 11008, 32, 32, 32000}},
        {"llama3.2-3b", {28, 3072, 8192, 24, 8, 128256}},
        {"internlm2-1.8b", {24, 2048, 8192, 16, 8, 92544}},
    };
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        char path[100];
        struct model *m;
        struct err e;
        snprintf(path, sizeof path, "configs/model/%s.cfg", want[i].name);
        if (!CHECK_OK(model_open_shape(path, &m, &e), &e))
            continue;
        const struct model_shape *s = &m->shape;
        const int got[] = {s->n_layer, s->d_model, s->d_ff, s->n_head, s->n_head_kv, s->n_vocab};
        for (int j = 0; j < 6; j++)
            CHECK_INT(got[j], want[i].n[j]);
        model_close(m);
    }
}

// Also those that nobody listed above.
static void test_every_config_opens(void)
{
    int found = 0;
    DIR *d = opendir("configs/model");
    if (!CHECK(d != NULL))
        return;
    for (const struct dirent *f = readdir(d); f; f = readdir(d)) {
        size_t n = strlen(f->d_name);
        char path[300];
        struct model *m;
        struct err e;
        if (n < 4 || strcmp(f->d_name + n - 4, ".cfg") != 0)
            continue;
        snprintf(path, sizeof path, "configs/model/%s", f->d_name);
        found++;
        if (CHECK_OK(model_open(path, &m, &e), &e)) {
            CHECK(strlen(m->shape.name) == n - 4 && memcmp(m->shape.name, f->d_name, n - 4) == 0);
            model_close(m);
        }
    }
    closedir(d);
    CHECK(found >= PUBLISHED);
}

static const char *write_file(const char *name, const char *text)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", test_tmpdir(), name);
    FILE *f = fopen(path, "wb");
    fputs(text, f);
    fclose(f);
    return path;
}

// `text` with the first `from` replaced.
static const char *replaced(const char *text, const char *from, const char *to)
{
    static char out[4096];
    const char *at = strstr(text, from);
    if (!at)
        abort();
    snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

static const char good_cfg[] = "arch = \"llama\";\n" // line 1
                               "n_layer = 2;\n"
                               "d_model = 64;\n"
                               "n_head = 4;\n"
                               "n_head_kv = 2;\n" // line 5
                               "d_head = 16;\n"
                               "d_ff = 96;\n"
                               "n_vocab = 100;\n"
                               "n_ctx = 256;\n"
                               "norm_eps = 1.0e-6;\n" // line 10
                               "rope = {\n"
                               "  theta = 1.0e4;\n"
                               "};\n";

static void test_config_errors_point(void)
{
    static const struct {
        const char *from, *to;
        int code, line;
        const char *key, *message;
    } cases[] = {
        {"n_layer = 2;", "", ERR_CONFIG, -1, "n_layer", "missing"},
        {"n_layer", "n_layers", ERR_CONFIG, 2, "n_layers", "n_layer"},
        {"n_head_kv = 2", "n_head_kv = 3", ERR_CONFIG, 5, "n_head_kv", "cannot share"},
        {"\"llama\"", "\"gemma\"", ERR_UNSUPPORTED, 1, "arch",
         "known: llama, qwen2, internlm2, mistral"},
        {"theta = 1.0e4", "thta = 1.0e4", ERR_CONFIG, 12, "rope.thta", "theta"},
        {"theta = 1.0e4;", "theta = 1.0e4; dim = 18;", ERR_CONFIG, 12, "rope.dim",
         "18 rotated values of 16"},
        {"theta = 1.0e4;", "theta = 1.0e4; scaling = \"llama3\";", ERR_CONFIG, -1,
         "rope.original_ctx", "context of the original training"},
        {"norm_eps = 1.0e-6", "norm_eps = 7.0", ERR_CONFIG, 10, "norm_eps", "7"},
    };
    struct model *m = NULL;
    struct err e;
    if (CHECK_OK(model_open(write_file("good.cfg", good_cfg), &m, &e), &e)) {
        CHECK_STR(m->shape.name, "good");
        model_close(m);
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = replaced(good_cfg, cases[i].from, cases[i].to);
        const char *path = write_file("bad.cfg", text);
        char full[700];
        m = NULL;
        memset(&e, 0, sizeof e);
        CHECK_INT(model_open(path, &m, &e), cases[i].code);
        CHECK_STR(e.file, path);
        CHECK_HAS(e.key, cases[i].key);
        if (cases[i].line >= 0)
            CHECK_INT(e.line, cases[i].line);
        CHECK_HAS(err_text(&e, full, sizeof full), cases[i].message);
        CHECK(m == NULL);
    }
}

// --- config.json

static const char llama32[] = "{\n"
                              "  \"architectures\": [\"LlamaForCausalLM\"],\n"
                              "  \"attention_bias\": false,\n"
                              "  \"head_dim\": 64,\n"
                              "  \"hidden_act\": \"silu\",\n"
                              "  \"hidden_size\": 2048,\n"
                              "  \"intermediate_size\": 8192,\n"
                              "  \"max_position_embeddings\": 131072,\n"
                              "  \"num_attention_heads\": 32,\n"
                              "  \"num_hidden_layers\": 16,\n" // line 10
                              "  \"num_key_value_heads\": 8,\n"
                              "  \"rms_norm_eps\": 1e-05,\n"
                              "  \"rope_scaling\": {\n"
                              "    \"factor\": 32.0,\n"
                              "    \"high_freq_factor\": 4.0,\n"
                              "    \"low_freq_factor\": 1.0,\n"
                              "    \"original_max_position_embeddings\": 8192,\n"
                              "    \"rope_type\": \"llama3\"\n"
                              "  },\n"
                              "  \"rope_theta\": 500000.0,\n" // line 20
                              "  \"tie_word_embeddings\": true,\n"
                              "  \"vocab_size\": 128256\n"
                              "}\n";

static void test_hugging_face(void)
{
    struct model *hf, *cfg;
    struct err e;
    if (!CHECK_OK(model_open(write_file("Llama-3.2-1B.json", llama32), &hf, &e), &e))
        return;
    CHECK_STR(hf->shape.name, "Llama-3.2-1B");
    CHECK(hf->shape.rope.scaling == ROPE_LLAMA3 && hf->shape.rope.factor == 32);
    if (CHECK_OK(model_open("configs/model/llama3.2-1b.cfg", &cfg, &e), &e)) {
        const struct rope *a = &hf->shape.rope, *b = &cfg->shape.rope;
        CHECK_INT(model_parameters(hf), model_parameters(cfg));
        CHECK(a->theta == b->theta && a->low_freq == b->low_freq && a->high_freq == b->high_freq &&
              a->original_ctx == b->original_ctx && a->dim == b->dim && a->pairs == b->pairs);
        CHECK(hf->shape.n_ctx == cfg->shape.n_ctx && hf->shape.norm_eps == cfg->shape.norm_eps &&
              hf->shape.tied && hf->shape.weight_bits == 4.5);
        model_close(cfg);
    }
    model_close(hf);
}

static void test_hugging_face_variants(void)
{
    struct {
        const char *from, *to, *arch;
        enum rope_scaling scaling;
        enum rope_pairs pairs;
        double factor, attn_factor;
        bool bias;
    } cases[] = {
        {"LlamaForCausalLM", "MistralForCausalLM", "mistral", ROPE_LLAMA3, ROPE_INTERLEAVED, 32, 1,
         false},
        {"LlamaForCausalLM", "Qwen2ForCausalLM", "qwen2", ROPE_LLAMA3, ROPE_HALVES, 32, 1, true},
        {"LlamaForCausalLM", "InternLM2ForCausalLM", "internlm2", ROPE_LLAMA3, ROPE_INTERLEAVED, 32,
         1, false},
        {"\"rope_type\": \"llama3\"", "\"type\": \"dynamic\"", "llama", ROPE_NONE, ROPE_INTERLEAVED,
         1, 1, false},
        {"\"llama3\"", "\"linear\"", "llama", ROPE_LINEAR, ROPE_INTERLEAVED, 32, 1, false},
        {"\"llama3\"", "\"yarn\"", "llama", ROPE_YARN, ROPE_INTERLEAVED, 32, 1, false},
        {"\"llama3\"", "\"yarn\", \"attention_factor\": 1.0", "llama", ROPE_YARN, ROPE_INTERLEAVED,
         32, 1 / (1 + 0.1 * log(32)), false},
        {"\"rope_scaling\"", "\"rope_scaling\": null, \"x\"", "llama", ROPE_NONE, ROPE_INTERLEAVED,
         1, 1, false},
        {"\"rope_scaling\"", "\"rope_parameters\"", "llama", ROPE_LLAMA3, ROPE_INTERLEAVED, 32, 1,
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct model *m;
        struct err e;
        const char *path = write_file("config.json", replaced(llama32, cases[i].from, cases[i].to));
        if (!CHECK_OK(model_open_shape(path, &m, &e), &e))
            continue;
        CHECK_HAS(m->shape.name, "partita-test"); // the folder's name
        CHECK_STR(m->shape.arch, cases[i].arch);
        CHECK_INT(m->shape.rope.scaling, cases[i].scaling);
        CHECK_INT(m->shape.rope.pairs, cases[i].pairs);
        CHECK_NEAR(m->shape.rope.factor, cases[i].factor, 0);
        CHECK_NEAR(m->shape.rope.attn_factor, cases[i].attn_factor, 1e-12);
        CHECK_INT(m->shape.qkv_bias, cases[i].bias);
        model_close(m);
    }
}

static void test_hugging_face_errors_point(void)
{
    static const struct {
        const char *from, *to;
        int code, line;
        const char *key, *message;
    } cases[] = {
        {"LlamaForCausalLM", "LLamaForCausalLM", ERR_UNSUPPORTED, 2, "architectures",
         "did you mean LlamaForCausalLM; known: LlamaForCausalLM, Qwen2ForCausalLM, "
         "InternLM2ForCausalLM, MistralForCausalLM"},
        {"LlamaForCausalLM", "BloomForCausalLM", ERR_UNSUPPORTED, 2, "architectures", "known:"},
        {"[\"LlamaForCausalLM\"]", "7", ERR_FORMAT, 2, "architectures", "expected a list"},
        {"\"hidden_size\": 2048", "\"hidden_size\": \"2048\"", ERR_FORMAT, 6, "hidden_size",
         "expected an integer"},
        {"\"hidden_size\": 2048", "\"hidden_size\": 1e300", ERR_FORMAT, 6, "hidden_size",
         "expected an integer"},
        {"\"hidden_size\": 2048", "\"hidden_size\": -1", ERR_FORMAT, 6, "hidden_size",
         "-1 is out of range"},
        {"\"num_hidden_layers\": 16,", "", ERR_FORMAT, 0, "num_hidden_layers", "is missing"},
        {"\"num_hidden_layers\": 16", "\"num_hidden_layers\": 9223372036854775807", ERR_FORMAT, 10,
         "num_hidden_layers", "out of range"},
        {"\"silu\"", "\"gelu\"", ERR_UNSUPPORTED, 5, "hidden_act", "only \"silu\""},
        {"\"attention_bias\": false", "\"attention_bias\": true", ERR_UNSUPPORTED, 3,
         "attention_bias", "only biases of q, k and v"},
        {"\"llama3\"", "\"longrope\"", ERR_UNSUPPORTED, 18, "rope_scaling.rope_type", "known:"},
        {"\"factor\": 32.0,", "", ERR_FORMAT, 0, "rope_scaling.factor", "is missing"},
        {"\"factor\": 32.0", "\"factor\": 0.25", ERR_CONFIG, 0, "rope.factor", "below 1"},
        {"\"tie_word_embeddings\": true", "\"tie_word_embeddings\": 1", ERR_FORMAT, 21,
         "tie_word_embeddings", "true or false"},
        {"\"vocab_size\": 128256", "\"vocab_size\": 128256, \"vocab_size\": 1", ERR_FORMAT, 22, "",
         "duplicate"},
        {"\"rope_theta\": 500000.0,", "\"rope_theta\": 500000.0", ERR_FORMAT, 21, "", "column"},
        {"\"num_key_value_heads\": 8", "\"num_key_value_heads\": 5", ERR_CONFIG, 0, "n_head_kv",
         "cannot share"},
    };
    struct model *m = NULL;
    struct err e;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = write_file("config.json", replaced(llama32, cases[i].from, cases[i].to));
        char text[700];
        memset(&e, 0, sizeof e);
        CHECK_INT(model_open(path, &m, &e), cases[i].code);
        CHECK_STR(e.file, path);
        CHECK_STR(e.key, cases[i].key);
        CHECK_INT(e.line, cases[i].line);
        CHECK_HAS(err_text(&e, text, sizeof text), cases[i].message);
    }
    CHECK_INT(model_open(write_file("config.json", "[1]"), &m, &e), ERR_FORMAT);
    CHECK_HAS(e.msg, "expected an object");
    CHECK_INT(model_open(write_file("config.json", ""), &m, &e), ERR_FORMAT);
    CHECK_INT(model_open("/nonexistent/config.json", &m, &e), ERR_IO);
    CHECK_INT(model_open_shape("/nonexistent/config.json", &m, &e), ERR_IO);
    CHECK_INT(model_open(write_file("x.txt", "hello"), &m, &e), ERR_USAGE);
    CHECK_HAS(e.msg, "expected a GGUF file, a shape (.cfg) or a config.json");
    CHECK_INT(model_open(write_file("x.gguf", "hello"), &m, &e), ERR_FORMAT);
    CHECK_HAS(e.msg, "not a GGUF file");
    CHECK(m == NULL);
}

TESTS(engine_model_shape, T(test_shape_only), T(test_generate), T(test_generated_digest_is_fixed),
      T(test_published_shapes), T(test_validation_shapes), T(test_every_config_opens),
      T(test_config_errors_point), T(test_hugging_face), T(test_hugging_face_variants),
      T(test_hugging_face_errors_point))
