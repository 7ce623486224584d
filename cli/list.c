// SPDX-License-Identifier: GPL-3.0-or-later
// partita list: what there is to choose from; with --options, every option row.
#include "cli/cli.h"

#include <string.h>
#include "engine/encoding.h"
#include "engine/host/host.h"
#include "explore/search.h"
#include "models/npu/npu.h"

struct list_options {
    const char *what;
    bool json, options;
};

static const struct argp_option options[] = {
    {"options", 'o', 0, 0, "also each option: name, type, unit, default, limits, doc", 0},
    {"json", 'j', 0, 0, "as JSON", 0},
    {0},
};

static const char *const KINDS[] = {"policies", "syncs",     "socs",   "engines",
                                    "models",   "searchers", "npus",   "encodings",
                                    "spaces",   "repros",    "devices"};
enum { N_KINDS = sizeof KINDS / sizeof KINDS[0] };

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct list_options *o = state->input;
    switch (key) {
    case 'o':
        o->options = true;
        break;
    case 'j':
        o->json = true;
        break;
    case ARGP_KEY_ARG:
        if (o->what)
            argp_error(state, "one kind at a time: found \"%s\" and \"%s\"", o->what, arg);
        o->what = arg;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    option,
    "[policies|syncs|socs|engines|models|searchers|npus|encodings|spaces|repros|devices]",
    "Lists what can be named on the command line.",
    NULL,
    NULL,
    NULL};

// One item, in the style of the whole listing.
struct lister {
    const struct list_options *o;
    struct json j;
};

static void rows_json(struct json *j, const struct conf_row *rows, size_t n_rows)
{
    json_array_begin(j, "options");
    for (size_t i = 0; i < n_rows; i++) {
        json_object_begin(j, NULL);
        json_str(j, "name", rows[i].name);
        json_str(j, "default", rows[i].fallback);
        json_str(j, "choices", rows[i].choices);
        json_str(j, "doc", rows[i].doc);
        json_object_end(j);
    }
    json_array_end(j);
}

static void item(struct lister *l, const char *name, const char *doc, const struct conf_row *rows,
                 size_t n_rows)
{
    if (l->o->json) {
        json_object_begin(&l->j, NULL);
        json_str(&l->j, "name", name);
        json_str(&l->j, "doc", doc);
        if (l->o->options)
            rows_json(&l->j, rows, n_rows);
        json_object_end(&l->j);
        return;
    }
    printf("  %-20s %s\n", name, doc ? doc : "");
    if (l->o->options && n_rows)
        conf_help(stdout, rows, n_rows, 6);
}

// The first sentence of the comment on top of a configuration file says what it is.
static void config_doc(const char *folder, const char *name, char *doc, size_t size)
{
    char path[512], line[256];
    struct err e;
    *doc = 0;
    FILE *f = cli_find_config(folder, name, path, sizeof path, &e) < 0 ? NULL : fopen(path, "r");
    size_t n = 0;
    while (f && n < size && fgets(line, sizeof line, f)) {
        char *s = line + strspn(line, "#/ ");
        s[strcspn(s, "\r\n")] = 0;
        bool comment = (*line == '#' || *line == '/') && *s;
        if (n && !comment)
            break;
        if (!comment || !strncmp(s, "SPDX", 4))
            continue;
        n += (size_t)snprintf(doc + n, size - n, "%s%s", n ? " " : "", s);
        char *end = strstr(doc, ". ");
        if (end)
            end[1] = 0;
        if (end || doc[strlen(doc) - 1] == '.')
            break;
    }
    if (f)
        fclose(f);
}

static void configs(struct lister *l, const char *folder)
{
    static char names[128][64];
    int n = cli_list_configs(folder, names, 128);
    for (int i = 0; i < n; i++) {
        char doc[400];
        config_doc(folder, names[i], doc, sizeof doc);
        item(l, names[i], doc, NULL, 0);
    }
}

static void devices(struct lister *l)
{
    struct machine *m;
    struct err e;
    if (machine_host_open(NULL, &m, &e) < 0) {
        cli_fail(&e);
        return;
    }
    for (int i = 0; i < m->n_devices; i++)
        item(l, m->device[i]->caps.name, m->device[i]->caps.detail, NULL, 0);
    m->ops->close(m);
}

static void list(struct lister *l, const char *kind)
{
    if (l->o->json)
        json_array_begin(&l->j, kind);
    else
        printf("%s:\n", kind);
    if (!strcmp(kind, "policies"))
        for (size_t i = 0; i < policy_registry_count; i++)
            item(l, policy_registry[i]->name, policy_registry[i]->doc, policy_registry[i]->rows,
                 policy_registry[i]->n_rows);
    else if (!strcmp(kind, "syncs"))
        for (size_t i = 0; i < sync_registry_count; i++)
            item(l, sync_registry[i]->name, sync_registry[i]->doc, sync_registry[i]->rows,
                 sync_registry[i]->n_rows);
    else if (!strcmp(kind, "searchers"))
        for (size_t i = 0; i < search_registry_count; i++)
            item(l, search_registry[i]->name, search_registry[i]->doc, search_registry[i]->rows,
                 search_registry[i]->n_rows);
    else if (!strcmp(kind, "npus"))
        for (size_t i = 0; i < npu_registry_count; i++)
            item(l, npu_registry[i]->name, npu_registry[i]->doc, npu_registry[i]->rows,
                 npu_registry[i]->n_rows);
    else if (!strcmp(kind, "encodings"))
        for (size_t i = 0; i < encoding_registry_count; i++)
            item(l, encoding_registry[i]->name, encoding_registry[i]->doc, NULL, 0);
    else if (!strcmp(kind, "socs"))
        configs(l, "soc");
    else if (!strcmp(kind, "engines"))
        configs(l, "engine");
    else if (!strcmp(kind, "models"))
        configs(l, "model");
    else if (!strcmp(kind, "spaces"))
        configs(l, "space");
    else if (!strcmp(kind, "repros"))
        configs(l, "repro");
    else
        devices(l);
    if (l->o->json)
        json_array_end(&l->j);
}

int cmd_list(int argc, char **argv)
{
    struct list_options o = {0};
    cli_parse(&argp, argc, argv, &o);
    struct lister l = {.o = &o};
    bool known = !o.what;
    for (int i = 0; i < N_KINDS && o.what && *o.what;
         i++) // "policy", "polic", "soc" are understood too
        if (!strncmp(o.what, KINDS[i], strlen(o.what) > 3 ? strlen(o.what) - 1 : strlen(o.what))) {
            o.what = KINDS[i];
            known = true;
            break;
        }
    if (!known) {
        const char *near = err_nearest(o.what, KINDS, N_KINDS);
        return cli_error(EXIT_USAGE, "list: unknown kind \"%s\"%s%s%s; expected %s", o.what,
                         near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "",
                         argp.args_doc);
    }
    if (o.json) {
        json_begin(&l.j, stdout, true);
        json_object_begin(&l.j, NULL);
    }
    for (int i = 0; i < N_KINDS; i++)
        if (!o.what || !strcmp(o.what, KINDS[i]))
            list(&l, KINDS[i]);
    if (o.json) {
        json_object_end(&l.j);
        json_end(&l.j);
    }
    return EXIT_OK;
}
