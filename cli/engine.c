// SPDX-License-Identifier: GPL-3.0-or-later
// Engine profiles: other inference engines as data, not as code.
//
// What distinguishes MNN, MLC, llama.cpp or an NPU-only engine from ours on the same phone is who
// computes what (a policy), how the parts wait for each other (a sync scheme) and how good the
// kernels are. The first two are names that the registries know. The third is a factor on what the
// SoC's own configuration says our kernels reach, so that a profile fitted on one SoC says
// something about another one:
//
//     policy = "gpu_only";
//     sync = "driver";
//     scale = ( { key = "gpu.gemm"; factor = 0.5; } );          times what the SoC has
//     set = ( { key = "gpu.queue.finish"; value = "0 us"; } );  instead of what the SoC has
//
// Order: the profile's `set`, then --set of the user, then `scale`. So a user's value wins over the
// profile's, and a SoC that --set makes faster is faster for every engine.
//
// Invariant: a profile either applies as a whole or is an error that names its file and line.
#include "cli/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/policy.h"
#include "engine/sync.h"
#include "models/soc/soc.h"

struct profile {
    const char *name, *policy, *sync;
    double weight_bits;
};

const struct conf_row engine_rows[] = {
    {.name = "name",
     .type = CONF_STRING,
     .doc = "what reports call the engine",
     .offset = offsetof(struct profile, name)},
    {.name = "policy",
     .type = CONF_STRING,
     .doc = "partition policy, NAME or NAME:option=value,...",
     .offset = offsetof(struct profile, policy)},
    {.name = "sync",
     .type = CONF_STRING,
     .doc = "synchronisation scheme, NAME or NAME:option=value,...",
     .offset = offsetof(struct profile, sync)},
    {.name = "weight_bits",
     .type = CONF_REAL,
     .fallback = "0",
     .max = 32,
     .doc = "bits per weight in memory, where the engine stores others than the model says; 0: as "
            "the model says",
     .offset = offsetof(struct profile, weight_bits)},
    {.name = "scale",
     .type = CONF_GROUP,
     .choices = "list",
     .doc = "factors on the SoC's configuration: key, factor"},
    {.name = "set",
     .type = CONF_GROUP,
     .choices = "list",
     .doc = "values instead of the SoC's: key, value"},
};
const size_t engine_n_rows = sizeof engine_rows / sizeof engine_rows[0];

struct change {
    const char *key, *value;
    double factor;
};

#define KEY_ROW                                                                                    \
    {                                                                                              \
        .name = "key", .type = CONF_STRING, .doc = "dotted key of the SoC, as in --set",           \
        .offset = offsetof(struct change, key)                                                     \
    }

static const struct conf_row set_rows[] = {
    KEY_ROW,
    {.name = "value",
     .type = CONF_STRING,
     .doc = "value in quotes, as in --set",
     .offset = offsetof(struct change, value)},
};

static const struct conf_row scale_rows[] = {
    KEY_ROW,
    {.name = "factor",
     .type = CONF_REAL,
     .min = 1e-3,
     .max = 1e3,
     .doc = "times the SoC's value",
     .offset = offsetof(struct change, factor)},
};

// --- reading

static int line_of(const struct conf_node *n, const char *key)
{
    const char *file;
    int line;
    conf_where(n, key, &file, &line);
    return line;
}

static int fail_at(const struct engine *g, int line, const char *key, const struct err *why,
                   struct err *e)
{
    return err_at(e, ERR_CONFIG, g->file, line, key, "%s", why->msg);
}

static int copy(const struct engine *g, const struct conf_node *n, const char *key,
                const char *text, char *out, size_t size, struct err *e)
{
    size_t length = strlen(text);
    if (length == 0 || length >= size)
        return err_at(e, ERR_CONFIG, g->file, line_of(n, key), key,
                      "%zu characters; expected 1 to %zu", length, size - 1);
    memcpy(out, text, length + 1);
    return 0;
}

static bool has_key(const struct engine_item *item, int n, const char *key)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(item[i].key, key))
            return true;
    return false;
}

// One list, `set` or `scale`, of a profile.
static int read_list(struct engine *g, const struct conf_node *root, bool scale, struct arena *a,
                     struct err *e)
{
    const char *list = scale ? "scale" : "set";
    struct engine_item *item = scale ? g->scale : g->set;
    const struct conf_row *rows = scale ? scale_rows : set_rows;
    int n = conf_count(root, list);
    if (n > ENGINE_MAX_ITEMS)
        return err_at(e, ERR_CONFIG, g->file, line_of(root, list), list,
                      "%d changes; expected at most %d", n, (int)ENGINE_MAX_ITEMS);
    for (int i = 0; i < n; i++) {
        const struct conf_node *node = conf_element(root, list, i);
        struct change c = {0};
        if (!node)
            return err_at(e, ERR_CONFIG, g->file, line_of(root, list), list,
                          "element %d is not a group { }", i);
        if (conf_read(node, list, rows, 2, &c, a, e) < 0 ||
            copy(g, node, "key", c.key, item[i].key, sizeof item[i].key, e) < 0 ||
            (!scale && copy(g, node, "value", c.value, item[i].value, sizeof item[i].value, e) < 0))
            return e->code;
        item[i].factor = c.factor;
        item[i].line = line_of(node, "key");
        if (has_key(item, i, c.key) || (scale && has_key(g->set, g->n_set, c.key)))
            return err_at(e, ERR_CONFIG, g->file, item[i].line, c.key, "is changed twice");
        *(scale ? &g->n_scale : &g->n_set) = i + 1;
    }
    return 0;
}

static int check_names(const struct engine *g, const struct conf_node *root, struct arena *a,
                       struct err *e)
{
    const struct policy_ops *policy;
    const struct sync_ops *sync;
    const void *options;
    struct err why;
    if (policy_parse(g->policy, a, &policy, &options, &why) < 0)
        return fail_at(g, line_of(root, "policy"), "policy", &why, e);
    if (sync_parse(g->sync, a, &sync, &options, &why) < 0)
        return fail_at(g, line_of(root, "sync"), "sync", &why, e);
    if (g->weight_bits > 0 && g->weight_bits < 1)
        return err_at(e, ERR_CONFIG, g->file, line_of(root, "weight_bits"), "weight_bits",
                      "%g is out of range; expected 1 to 32, or 0 for the model's own",
                      g->weight_bits);
    return 0;
}

int engine_open(const char *path, struct engine *out, struct err *e)
{
    struct err local = {0};
    struct conf *c;
    struct arena a;
    struct profile p;
    struct engine g = {0};
    e = e ? e : &local;
    if (conf_open(path, &c, e) < 0)
        return e->code;
    const struct conf_node *root = conf_root(c);
    arena_init(&a);
    snprintf(g.file, sizeof g.file, "%s", path);
    int rc = conf_read(root, "", engine_rows, engine_n_rows, &p, &a, e);
    if (rc == 0) {
        g.weight_bits = p.weight_bits;
        rc = copy(&g, root, "name", p.name, g.name, sizeof g.name, e) < 0 ||
                     copy(&g, root, "policy", p.policy, g.policy, sizeof g.policy, e) < 0 ||
                     copy(&g, root, "sync", p.sync, g.sync, sizeof g.sync, e) < 0 ||
                     check_names(&g, root, &a, e) < 0 || read_list(&g, root, false, &a, e) < 0 ||
                     read_list(&g, root, true, &a, e) < 0
                 ? e->code
                 : 0;
    }
    arena_fini(&a);
    conf_close(c);
    if (rc == 0)
        *out = g;
    return rc;
}

// --- applying

static const struct conf_node *owner(const struct conf *soc, const char *key, const char **last)
{
    char group[80];
    const char *dot = strrchr(key, '.');
    *last = dot ? dot + 1 : key;
    snprintf(group, sizeof group, "%.*s", dot ? (int)(dot - key) : 0, key);
    return dot ? conf_child(conf_root(soc), group) : conf_root(soc);
}

// Is the key of a device that this SoC does not have?
static bool absent(const struct conf *soc, const char *key)
{
    static const char *const devices[] = {"gpu", "npu", "cpu"};
    size_t n = strcspn(key, ".");
    for (int i = 0; i < 3; i++)
        if (n == 3 && !strncmp(key, devices[i], 3))
            return !conf_child(conf_root(soc), devices[i]);
    return false;
}

static int unknown(const struct engine *g, const struct engine_item *item, const struct conf *soc,
                   const struct conf_node *n, const char *last, struct err *e)
{
    const char *names[64];
    int count = conf_keys(n ? n : conf_root(soc), names, 64);
    const char *near = err_nearest(last, names, (size_t)(count < 64 ? count : 64));
    return err_at(e, ERR_CONFIG, g->file, item->line, item->key, "%s has no such key%s%s%s",
                  conf_path(soc), near ? "; did you mean '" : "", near ? near : "",
                  near ? "'?" : "");
}

// Overrides one key and lets the SoC check it.
static int override(const struct engine *g, const struct engine_item *item, struct conf *soc,
                    const char *value, struct err *e)
{
    struct err why = {0};
    uint64_t digest;
    if (conf_override(soc, item->key, value, &why) < 0)
        return fail_at(g, item->line, item->key, &why, e);
    if (machine_soc_config_digest(soc, &digest, &why) < 0 && !strcmp(why.key, item->key))
        return fail_at(g, item->line, item->key, &why, e);
    return 0; // errors elsewhere are found, and better described, when the machine is opened
}

int engine_set(const struct engine *g, struct conf *soc, struct err *e)
{
    for (int i = 0; i < g->n_set; i++) {
        const struct engine_item *item = &g->set[i];
        const char *last;
        char text[512];
        if (absent(soc, item->key))
            continue;
        const struct conf_node *n = owner(soc, item->key, &last);
        if (!n || !conf_text(n, last, -1, text, sizeof text))
            return unknown(g, item, soc, n, last, e);
        int rc = override(g, item, soc, item->value, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

// "1.029 TFLOP/s" times 0.5. Times and sizes are whole in their base unit, and what was written as
// a whole number stays one.
static bool times(const char *text, double factor, char *out, size_t size)
{
    char *unit;
    double v = strtod(text, &unit), base;
    if (unit == text || !isfinite(v))
        return false;
    if (unit_parse(UNIT_TIME, text, &base, NULL) == 0)
        snprintf(out, size, "%.0f ps", base * factor);
    else if (unit_parse(UNIT_SIZE, text, &base, NULL) == 0)
        snprintf(out, size, "%.0f B", base * factor);
    else if (!*unit && !text[strcspn(text, ".eE")])
        snprintf(out, size, "%.0f", v * factor);
    else
        snprintf(out, size, "%.15g%s", v * factor, unit);
    return true;
}

int engine_scale(const struct engine *g, struct conf *soc, struct err *e)
{
    for (int i = 0; i < g->n_scale; i++) {
        const struct engine_item *item = &g->scale[i];
        const char *last, *file;
        char text[512], value[128];
        int line;
        if (absent(soc, item->key))
            continue;
        const struct conf_node *n = owner(soc, item->key, &last);
        if (!n || !conf_text(n, last, -1, text, sizeof text))
            return unknown(g, item, soc, n, last, e);
        conf_where(n, last, &file, &line);
        if (!times(text, item->factor, value, sizeof value)) {
            if (!line) // an override of the user, whose error the machine's reader describes
                continue;
            return err_at(e, ERR_CONFIG, g->file, item->line, item->key,
                          "'%.60s' is not a number that a factor could apply to", text);
        }
        int rc = override(g, item, soc, value, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int engine_model(const struct engine *g, const struct model *m, struct model **out, struct err *e)
{
    *out = NULL;
    if (g->weight_bits <= 0 || fabs(g->weight_bits - m->shape.weight_bits) < 1e-9)
        return 0;
    if (m->has_data)
        return err_set(e, ERR_UNSUPPORTED,
                       "engine %s stores weights of %g bits, those of %s have %g", g->name,
                       g->weight_bits, m->shape.name, m->shape.weight_bits);
    struct model_shape shape = m->shape;
    shape.weight_bits = g->weight_bits;
    return model_create(&shape, out, e);
}
