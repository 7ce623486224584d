// SPDX-License-Identifier: GPL-3.0-or-later
// Models: shapes from the config.json of a Hugging Face repository.
//
// Unlike our own files, these carry many keys that do not matter here, so unknown keys pass. But a
// key that is known to change the arithmetic (another activation, biases that the decoder graph
// does not have) is an error. How weights are stored is not taken from the file: it says what was
// trained, we study W4A16, so weight_bits is 4.5.
//
// Errors point at a line: jansson does not keep one per value, so the key is looked up in the text.
#include "engine/model_build.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 16 << 20 };
static const double WEIGHT_BITS = 4.5;

struct hf {
    const char *path, *text;
    const json_t *root;
    const char *group; // of the object that is being read, for messages: "" or "rope_scaling."
    struct err *e;
};

static int line_of(const struct hf *h, const char *key)
{
    char quoted[80];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    const char *at = strstr(h->text, quoted);
    int line = 1;
    for (const char *p = h->text; at && p < at; p++)
        line += *p == '\n';
    return at ? line : 0;
}

static __attribute__((format(printf, 4, 5))) int fail(const struct hf *h, int code, const char *key,
                                                      const char *fmt, ...)
{
    char text[256], where[80];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    snprintf(where, sizeof where, "%s%s", h->group, key);
    return err_at(h->e, code, h->path, line_of(h, key), where, "%s", text);
}

static const json_t *member(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_null(v) ? NULL : v; // null means "not set" in these files
}

// fallback 0: required.
static int read_int(const struct hf *h, const json_t *o, const char *key, int fallback, int max,
                    int *out)
{
    const json_t *v = member(o, key);
    if (!v && !fallback)
        return fail(h, ERR_FORMAT, key, "is missing: expected an integer in 1..%d", max);
    if (v && !json_is_integer(v))
        return fail(h, ERR_FORMAT, key, "expected an integer in 1..%d", max);
    json_int_t i = v ? json_integer_value(v) : fallback;
    if (i < 1 || i > max)
        return fail(h, ERR_FORMAT, key, "%" JSON_INTEGER_FORMAT " is out of range 1..%d", i, max);
    *out = (int)i;
    return 0;
}

// fallback NAN: required.
static int read_real(const struct hf *h, const json_t *o, const char *key, double fallback,
                     double *out)
{
    const json_t *v = member(o, key);
    if (!v && isnan(fallback))
        return fail(h, ERR_FORMAT, key, "is missing: expected a number");
    if (v && !json_is_number(v))
        return fail(h, ERR_FORMAT, key, "expected a number");
    *out = v ? json_number_value(v) : fallback;
    return 0;
}

static int read_bool(const struct hf *h, const char *key, bool *out)
{
    const json_t *v = member(h->root, key);
    if (v && !json_is_boolean(v))
        return fail(h, ERR_FORMAT, key, "expected true or false");
    *out = json_is_true(v);
    return 0;
}

static const struct model_arch *find_arch(const struct hf *h)
{
    const json_t *list = member(h->root, "architectures");
    const char *name = json_string_value(json_array_get(list, 0));
    const char *names[8];
    char known[160] = "";
    size_t n = 0;
    for (size_t i = 0; i < model_archs_count; i++) {
        if (name && strcmp(name, model_archs[i].hf) == 0)
            return &model_archs[i];
        names[i] = model_archs[i].hf;
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", names[i]);
    }
    if (!name) {
        fail(h, ERR_FORMAT, "architectures", "expected a list with one of: %s", known);
        return NULL;
    }
    const char *near = err_nearest(name, names, model_archs_count);
    fail(h, ERR_UNSUPPORTED, "architectures", "\"%.50s\" is not known%s%s; known: %s", name,
         near ? ", did you mean " : "", near ? near : "", known);
    return NULL;
}

static int read_scaling(struct hf *h, const json_t *o, int n_ctx, struct rope *r)
{
    const json_t *type = member(o, "rope_type");
    const char *key = type ? "rope_type" : "type"; // the older spelling
    const char *name = json_string_value(type ? type : member(o, key));
    int rc;
    if (!name)
        return fail(h, ERR_FORMAT, key, "expected one of: default, dynamic, linear, llama3, yarn");
    // Dynamic scaling acts only beyond the trained context, where we do not go.
    if (strcmp(name, "default") == 0 || strcmp(name, "dynamic") == 0)
        return 0;
    if ((rc = read_real(h, o, "factor", NAN, &r->factor)) < 0)
        return rc;
    if (strcmp(name, "linear") == 0) {
        r->scaling = ROPE_LINEAR;
        return 0;
    }
    const char *original = "original_max_position_embeddings";
    if (strcmp(name, "llama3") == 0) {
        r->scaling = ROPE_LLAMA3;
        if ((rc = read_real(h, o, "low_freq_factor", NAN, &r->low_freq)) < 0 ||
            (rc = read_real(h, o, "high_freq_factor", NAN, &r->high_freq)) < 0)
            return rc;
        return read_int(h, o, original, 0, MODEL_MAX_CTX, &r->original_ctx);
    }
    if (strcmp(name, "yarn") != 0)
        return fail(h, ERR_UNSUPPORTED, key,
                    "\"%.40s\" is not known; known: default, dynamic, linear, llama3, yarn", name);
    r->scaling = ROPE_YARN;
    double usual = 1 + 0.1 * log(fmax(r->factor, 1)), whole;
    if (member(o, "mscale") || member(o, "mscale_all_dim"))
        return fail(h, ERR_UNSUPPORTED, "mscale", "is not supported");
    if ((rc = read_real(h, o, "beta_fast", 32, &r->beta_fast)) < 0 ||
        (rc = read_real(h, o, "beta_slow", 1, &r->beta_slow)) < 0 ||
        (rc = read_real(h, o, "attention_factor", usual, &whole)) < 0)
        return rc;
    r->attn_factor = whole / usual; // theirs replaces the usual factor, ours multiplies it
    return read_int(h, o, original, n_ctx, MODEL_MAX_CTX, &r->original_ctx);
}

static int read_rope(struct hf *h, struct model_shape *s)
{
    struct rope *r = &s->rope;
    const char *keys[] = {"rope_parameters.", "rope_scaling."};
    int rc = read_real(h, h->root, "rope_theta", 10000, &r->theta); // the default of all four
    r->dim = s->d_head;
    r->factor = r->attn_factor = 1;
    for (int i = 0; i < 2 && rc == 0; i++) {
        char key[24];
        snprintf(key, sizeof key, "%.*s", (int)strlen(keys[i]) - 1, keys[i]);
        const json_t *o = member(h->root, key);
        if (!o)
            continue;
        if (!json_is_object(o))
            return fail(h, ERR_FORMAT, key, "expected an object or null");
        h->group = keys[i];
        rc = read_real(h, o, "rope_theta", r->theta, &r->theta);
        if (rc == 0)
            rc = read_scaling(h, o, s->n_ctx, r);
        h->group = "";
        break; // rope_parameters replaced rope_scaling
    }
    return rc;
}

static int read_sizes(const struct hf *h, struct model_shape *s)
{
    const json_t *o = h->root;
    int rc;
    if ((rc = read_int(h, o, "num_hidden_layers", 0, MODEL_MAX_LAYER, &s->n_layer)) < 0 ||
        (rc = read_int(h, o, "hidden_size", 0, MODEL_MAX_WIDTH, &s->d_model)) < 0 ||
        (rc = read_int(h, o, "num_attention_heads", 0, MODEL_MAX_WIDTH, &s->n_head)) < 0 ||
        (rc = read_int(h, o, "num_key_value_heads", s->n_head, MODEL_MAX_WIDTH, &s->n_head_kv)) <
            0 ||
        (rc = read_int(h, o, "intermediate_size", 0, MODEL_MAX_FF, &s->d_ff)) < 0 ||
        (rc = read_int(h, o, "vocab_size", 0, MODEL_MAX_VOCAB, &s->n_vocab)) < 0 ||
        (rc = read_int(h, o, "max_position_embeddings", 0, MODEL_MAX_CTX, &s->n_ctx)) < 0 ||
        (rc = read_real(h, o, "rms_norm_eps", NAN, &s->norm_eps)) < 0 ||
        (rc = read_bool(h, "tie_word_embeddings", &s->tied)) < 0)
        return rc;
    int d_head = s->d_model % s->n_head ? 0 : s->d_model / s->n_head;
    return read_int(h, o, "head_dim", d_head, MODEL_MAX_WIDTH, &s->d_head);
}

static int refuse_foreign(const struct hf *h)
{
    static const char *const biases[] = {"attention_bias", "mlp_bias", "bias"};
    const json_t *act = member(h->root, "hidden_act");
    if (act && (!json_is_string(act) || strcmp(json_string_value(act), "silu") != 0))
        return fail(h, ERR_UNSUPPORTED, "hidden_act", "only \"silu\" is supported");
    for (size_t i = 0; i < sizeof biases / sizeof biases[0]; i++) {
        bool on = false;
        int rc = read_bool(h, biases[i], &on);
        if (rc < 0)
            return rc;
        if (on)
            return fail(h, ERR_UNSUPPORTED, biases[i],
                        "is true: only biases of q, k and v (Qwen2ForCausalLM) are supported");
    }
    return 0;
}

// "some/where/Llama-3.2-1B/config.json" -> "Llama-3.2-1B"; "x/llama.json" -> "llama".
static void name_of(const char *path, char name[64])
{
    const char *end = path + strlen(path) - strlen(".json");
    const char *from = end;
    while (from > path && from[-1] != '/')
        from--;
    if (end - from == 6 && memcmp(from, "config", 6) == 0 && from - path > 1) {
        end = from - 1;
        for (from = end; from > path && from[-1] != '/';)
            from--;
    }
    snprintf(name, 64, "%.*s", (int)(end - from), from);
}

static int create_from_json(struct hf *h, struct model **out)
{
    char name[64];
    int rc;
    const struct model_arch *arch = find_arch(h);
    if (!arch)
        return h->e ? h->e->code : ERR_UNSUPPORTED;
    name_of(h->path, name);
    struct model_shape s = {
        .name = name,
        .arch = arch->name,
        .qkv_bias = arch->qkv_bias,
        .rope.pairs = arch->pairs,
        .weight_bits = WEIGHT_BITS,
    };
    if ((rc = read_sizes(h, &s)) < 0 || (rc = read_rope(h, &s)) < 0 || (rc = refuse_foreign(h)) < 0)
        return rc;
    if ((rc = model_create(&s, out, h->e)) < 0)
        err_locate(h->e, h->path, 0);
    return rc;
}

static int read_text(const char *path, char **text, size_t *n, struct err *e)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return err_at(e, ERR_IO, path, 0, NULL, "cannot open: %s", strerror(errno));
    int rc = 0;
    char *p = malloc(MAX_FILE + 1); // untouched pages cost nothing
    if (!p) {
        rc = err_at(e, ERR_MEMORY, path, 0, NULL, "no memory to read it");
        goto close_file;
    }
    *n = fread(p, 1, MAX_FILE + 1, f);
    if (ferror(f))
        rc = err_at(e, ERR_IO, path, 0, NULL, "cannot read: %s", strerror(errno));
    else if (*n > MAX_FILE)
        rc = err_at(e, ERR_FORMAT, path, 0, NULL, "is longer than %d MiB", MAX_FILE >> 20);
    if (rc < 0) {
        free(p);
        goto close_file;
    }
    p[*n] = 0;
    *text = p;
close_file:
    fclose(f);
    return rc;
}

int model_open_hf(const char *path, struct model **out, struct err *e)
{
    char *text = NULL;
    size_t n = 0;
    json_error_t why;
    int rc = read_text(path, &text, &n, e);
    if (rc < 0)
        return rc;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    if (!root) {
        rc = err_at(e, ERR_FORMAT, path, why.line, NULL, "column %d: %.160s", why.column, why.text);
        goto free_text;
    }
    struct hf h = {.path = path, .text = text, .root = root, .group = "", .e = e};
    if (json_is_object(root))
        rc = create_from_json(&h, out);
    else
        rc = err_at(e, ERR_FORMAT, path, 1, NULL, "expected an object");
    json_decref(root);
free_text:
    free(text);
    return rc;
}
