// SPDX-License-Identifier: GPL-3.0-or-later
// partita show-config: the resolved configuration of a machine: each value with its unit, doc, and
// where it comes from (file and line with the comment there, default, command line).
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include "engine/host/host.h"
#include "models/soc/soc.h"

struct show_options {
    struct common c;
    bool help;
};

static const struct argp_option options[] = {
    {"rows", 'r', 0, 0, "the option rows instead: every key there is, with type, unit, limits", 0},
    {0},
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct show_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->c;
        break;
    case 'r':
        o->help = true;
        break;
    case ARGP_KEY_ARG:
        o->c.machine = arg;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {options,
                                 option,
                                 "[host|soc:NAME]",
                                 "Prints the resolved configuration of a machine.",
                                 common_children,
                                 NULL,
                                 NULL};

// A value as JSON: what reads as a number or a truth value is one, the rest ("16 GiB") is text.
static void value_json(struct json *j, const char *key, const char *text)
{
    char *end;
    double v = strtod(text, &end);
    if (end != text && !*end && !strchr("nNiI", text[*text == '-']))
        json_f64(j, key, v);
    else if (!strcmp(text, "true") || !strcmp(text, "false"))
        json_bool(j, key, text[0] == 't');
    else
        json_str(j, key, text);
}

static void group_json(struct json *j, const struct conf_node *n)
{
    const char *names[64];
    int count = conf_keys(n, names, 64);
    for (int i = 0; i < count; i++) {
        char text[512];
        const struct conf_node *child = conf_child(n, names[i]);
        if (child) {
            json_object_begin(j, names[i]);
            group_json(j, child);
            json_object_end(j);
        } else if (conf_text(n, names[i], -1, text, sizeof text) && *text != '[') {
            value_json(j, names[i], text);
        } else {
            json_array_begin(j, names[i]);
            for (int k = 0; k < conf_length(n, names[i]); k++)
                if (conf_text(n, names[i], k, text, sizeof text))
                    value_json(j, NULL, text);
            json_array_end(j);
        }
    }
}

// The resolved configuration is a configuration file again, so its own reader finds the values.
static int print_json(const char *machine, const char *text, struct err *e)
{
    struct conf *c;
    struct json j;
    if (conf_open_text("resolved configuration", text, &c, e) < 0)
        return e->code;
    json_begin(&j, stdout, true);
    json_object_begin(&j, NULL);
    json_str(&j, "machine", machine);
    json_object_begin(&j, "config");
    group_json(&j, conf_root(c));
    json_object_end(&j);
    json_object_end(&j);
    json_end(&j);
    conf_close(c);
    return 0;
}

int cmd_show_config(int argc, char **argv)
{
    struct show_options o = {0};
    struct cli_factory f;
    struct conf *c = NULL;
    struct err e;
    common_init(&o.c);
    o.c.machine = "soc:sd8gen3";
    cli_parse(&argp, argc, argv, &o);
    if (cli_factory_open(o.c.machine, &o.c, false, &f, &e) < 0)
        return cli_fail(&e);
    if (o.help) {
        if (f.soc)
            machine_soc_help(stdout);
        else
            machine_host_help(stdout);
        return EXIT_OK;
    }
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size); // nothing is shown of a configuration with an error
    if (!out)
        abort();
    int rc = cli_conf_open(&f, NULL, 0, &c, &e);
    if (rc == 0)
        rc = f.soc ? machine_soc_dump(out, c, &e) : machine_host_dump(out, c, &e);
    conf_close(c);
    fclose(out);
    if (rc == 0 && o.c.json)
        rc = print_json(o.c.machine, text, &e);
    else if (rc == 0)
        fwrite(text, 1, size, stdout);
    free(text);
    return rc < 0 ? cli_fail(&e) : EXIT_OK;
}
