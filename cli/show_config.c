// SPDX-License-Identifier: GPL-3.0-or-later
// partita show-config: the resolved configuration of a machine: each value with its unit, doc, and
// where it comes from (file and line with the comment there, default, command line).
#include "cli/cli.h"

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
    int rc = cli_conf_open(&f, NULL, 0, &c, &e);
    if (rc == 0)
        rc = f.soc ? machine_soc_dump(stdout, c, &e) : machine_host_dump(stdout, c, &e);
    conf_close(c);
    return rc < 0 ? cli_fail(&e) : EXIT_OK;
}
