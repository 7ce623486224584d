// SPDX-License-Identifier: GPL-3.0-or-later
// Policies and sync schemes of a space: a list of groups, each a name and options of that name.
#include <string.h>
#include "base/digest.h"
#include "engine/policy.h"
#include "engine/sync.h"
#include "explore/space_internal.h"

// Policies and schemes differ in their parsers only.
struct side {
    enum space_kind kind, option;
    const char *list, *what; // "policies", "policy"
};
static const struct side policies = {SPACE_POLICY, SPACE_POLICY_OPTION, "policies", "policy"};
static const struct side syncs = {SPACE_SYNC, SPACE_SYNC_OPTION, "syncs", "sync scheme"};

// The rows of a plug-in, and the digest of what a spec resolves to.
static int resolve(const struct side *side, const char *spec, const struct conf_row **rows,
                   size_t *n_rows, uint64_t *digest, struct err *e)
{
    struct arena a;
    const void *options;
    const struct policy_ops *p;
    const struct sync_ops *y;
    arena_init(&a);
    bool policy = side->kind == SPACE_POLICY;
    int rc =
        policy ? policy_parse(spec, &a, &p, &options, e) : sync_parse(spec, &a, &y, &options, e);
    if (rc >= 0) {
        *rows = policy ? p->rows : y->rows;
        *n_rows = policy ? p->n_rows : y->n_rows;
        *digest = conf_digest(DIGEST_INIT, *rows, *n_rows, options);
    }
    arena_fini(&a);
    return rc;
}

// Every choice by the owner's parser; two that mean the same would be one point with two names.
static int check_choices(const struct loader *l, const struct conf_node *n, const struct side *side,
                         const char *plug, const struct space_param *p)
{
    uint64_t *digest = ARENA_NEWS(&l->s->arena, (size_t)p->n, uint64_t);
    for (int i = 0; i < p->n; i++) {
        const struct conf_row *rows;
        size_t n_rows;
        struct err why = {0};
        const char *spec = arena_printf(&l->s->arena, "%s:%s=%s", plug, p->key, p->choice[i]);
        if (resolve(side, spec, &rows, &n_rows, &digest[i], &why) < 0)
            return load_fail_why(l, n, p->key, p->name, &why);
        for (int j = 0; j < i; j++)
            if (digest[j] == digest[i]) {
                snprintf(why.msg, sizeof why.msg, "\"%.80s\" and \"%.80s\" are the same choice",
                         p->choice[j], p->choice[i]);
                return load_fail_why(l, n, p->key, p->name, &why);
            }
    }
    return 0;
}

static int read_option(const struct loader *l, const struct conf_node *n, const struct side *side,
                       int owner, struct space_plug *plug, const struct conf_row *row)
{
    struct arena *a = &l->s->arena;
    struct space_param p = {.kind = side->option, .key = row->name, .owner = owner};
    bool scalar;
    p.name = arena_printf(a, "%s.%s", plug->name, row->name);
    if (load_choices(l, n, row->name, p.name, row->type == CONF_INT_LIST, &p, &scalar) < 0 ||
        check_choices(l, n, side, plug->name, &p) < 0)
        return -1;
    if (scalar) {
        plug->fixed =
            arena_printf(a, "%s%s%s=%s", plug->fixed, *plug->fixed ? "," : "", p.key, p.choice[0]);
        return 0;
    }
    return load_add_param(l, n, row->name, p);
}

static bool has_row(const struct conf_row *rows, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(rows[i].name, name))
            return true;
    return false;
}

// Name of plug-in i of a kind if it has an option of this name, else "" ; NULL past the last one.
static const char *option_owner(enum space_kind kind, size_t i, const char *option)
{
    if (i >= (kind == SPACE_POLICY ? policy_registry_count : sync_registry_count))
        return NULL;
    if (kind == SPACE_POLICY)
        return has_row(policy_registry[i]->rows, policy_registry[i]->n_rows, option)
                   ? policy_registry[i]->name
                   : "";
    return has_row(sync_registry[i]->rows, sync_registry[i]->n_rows, option)
               ? sync_registry[i]->name
               : "";
}

// Does the space list this policy or scheme?
static bool is_listed(const struct conf_node *root, const struct side *side, const char *name)
{
    char text[MAX_TEXT];
    for (int i = 0; i < conf_count(root, side->list); i++) {
        const struct conf_node *n = conf_element(root, side->list, i);
        if (n && conf_text(n, "name", -1, text, sizeof text) && !strcmp(text, name))
            return true;
    }
    return false;
}

int load_misplaced(const struct loader *l, const struct conf_node *n, enum space_kind kind,
                   const char *key)
{
    bool policy = kind == SPACE_POLICY;
    const struct side *const sides[] = {policy ? &policies : &syncs, policy ? &syncs : &policies};
    const struct conf_node *root = conf_root(l->s->conf);
    for (int i = 0; i < 2; i++) {
        char text[300], owners[160] = "";
        const char *owner, *listed = NULL;
        for (size_t o = 0; (owner = option_owner(sides[i]->kind, o, key)); o++) {
            size_t used = strlen(owners);
            if (!*owner)
                continue;
            snprintf(owners + used, sizeof owners - used, "%s%s", used ? ", " : "", owner);
            listed = !listed && is_listed(root, sides[i], owner) ? owner : listed;
        }
        if (!*owners)
            continue;
        if (listed)
            snprintf(text, sizeof text,
                     "unknown option here; it is one of %s %.60s, in whose group "
                     "it belongs",
                     sides[i]->what, listed);
        else
            snprintf(text, sizeof text,
                     "unknown option here; it is one of %s %s, which the space "
                     "does not list",
                     sides[i]->what, owners);
        return load_fail(l, n, key, key, text);
    }
    return 0;
}

static int read_plug(const struct loader *l, const struct conf_node *n, const struct side *side,
                     int index, struct space_plug *all)
{
    char name[MAX_TEXT];
    const char *names[MAX_KEYS], *keys[MAX_KEYS];
    const struct conf_row *rows;
    size_t n_rows;
    uint64_t unused;
    struct err why = {0};
    if (!conf_text(n, "name", -1, name, sizeof name))
        return load_fail(l, n, NULL, side->list, "missing required key \"name\"");
    struct space_plug *plug = &all[index];
    *plug = (struct space_plug){.name = arena_strdup(&l->s->arena, name), .fixed = ""};
    if (strchr(name, ':'))
        return load_fail(l, n, "name", side->list,
                         "options are keys of their own, not part of the name");
    if (resolve(side, name, &rows, &n_rows, &unused, &why) < 0)
        return load_fail_why(l, n, "name", side->list, &why);
    for (int i = 0; i < index; i++)
        if (!strcmp(all[i].name, name))
            return load_fail(l, n, "name", side->list,
                             "is listed twice; an option that varies is an array");
    int n_names = 0;
    names[n_names++] = "name";
    for (size_t i = 0; i < n_rows && n_names < MAX_KEYS; i++)
        names[n_names++] = rows[i].name;
    char what[96];
    snprintf(what, sizeof what, "option of %s %.48s", side->what, name);
    int n_keys = conf_keys(n, keys, MAX_KEYS);
    for (int k = 0; k < n_keys && k < MAX_KEYS; k++)
        if (strcmp(keys[k], "name") && !has_row(rows, n_rows, keys[k]) &&
            load_misplaced(l, n, side->kind, keys[k]) < 0)
            return -1;
    if (load_check_keys(l, n, what, names, n_names) < 0)
        return -1;
    for (size_t r = 0; r < n_rows; r++) // in the order of the rows, whatever the file's
        for (int k = 0; k < n_keys && k < MAX_KEYS; k++)
            if (!strcmp(keys[k], rows[r].name) &&
                read_option(l, n, side, index, plug, &rows[r]) < 0)
                return -1;
    return 0;
}

// A list of groups: the parameter itself, then the options of each element.
int load_plugs(const struct loader *l, const struct conf_node *root, enum space_kind kind)
{
    struct space *s = l->s;
    const struct side *side = kind == SPACE_POLICY ? &policies : &syncs;
    struct space_plug *all = kind == SPACE_POLICY ? s->policy : s->sync;
    const char *file;
    int line, n = conf_count(root, side->list);
    char text[96];
    conf_where(root, side->list, &file, &line);
    if (n < 1) {
        snprintf(text, sizeof text, "%s: a list of at least one group ( {name = \"..\";} )",
                 line ? "expected" : "missing required key");
        return load_fail(l, root, line ? side->list : NULL, side->list, text);
    }
    if (n > SPACE_MAX_PLUGS)
        return load_fail(l, root, side->list, side->list, "more than 48 elements");
    struct space_param p = {.kind = side->kind, .n = n};
    p.name = p.key = side->kind == SPACE_POLICY ? "policy" : "sync";
    p.choice = ARENA_NEWS(&s->arena, (size_t)n, const char *);
    *(kind == SPACE_POLICY ? &s->policy_param : &s->sync_param) = s->n_params;
    *(kind == SPACE_POLICY ? &s->n_policies : &s->n_syncs) = n;
    if (load_add_param(l, root, side->list, p) < 0)
        return -1;
    for (int i = 0; i < n; i++) {
        const struct conf_node *element = conf_element(root, side->list, i);
        if (!element)
            return load_fail(l, root, side->list, side->list, "an element is not a group { }");
        if (read_plug(l, element, side, i, all) < 0)
            return -1;
        p.choice[i] = all[i].name;
    }
    return 0;
}
