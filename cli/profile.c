// SPDX-License-Identifier: GPL-3.0-or-later
// partita profile: the cost table of a machine for a model, as CSV; the same profiler in both
// worlds.
#include "cli/cli.h"

#include <errno.h>
#include <string.h>

struct profile_options {
    struct common c;
    char machine[96];
    const char *out, *encoding;
    int prompt, gen;
};

enum { KEY_SOC = 2300, KEY_MODEL, KEY_PROMPT, KEY_GEN, KEY_ENCODING };

static const struct argp_option options[] = {
    {"soc", KEY_SOC, "NAME", 0, "simulated SoC; the same as --machine soc:NAME", 0},
    {"model", KEY_MODEL, "MODEL", 0, "model shape or GGUF file (default tinyllama-1.1b)", 0},
    {"prompt", KEY_PROMPT, "N", 0, "longest prompt to measure for (default 256)", 0},
    {"gen", KEY_GEN, "N", 0, "tokens to generate, for the length of the context (default 32)", 0},
    {"encoding", KEY_ENCODING, "NAME", 0,
     "encoding of generated weights on a real machine (default "
     "Q4_0)",
     0},
    {"output", 'o', "FILE", 0, "CSV file (default: standard output)", 0},
    {0},
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct profile_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->c;
        break;
    case KEY_SOC:
        snprintf(o->machine, sizeof o->machine, "soc:%s", arg);
        o->c.machine = o->machine;
        break;
    case KEY_MODEL:
        o->c.model = arg;
        break;
    case KEY_PROMPT:
        o->prompt = cli_whole(state, "--prompt", arg, 1, 100000);
        break;
    case KEY_GEN:
        o->gen = cli_whole(state, "--gen", arg, 1, 100000);
        break;
    case KEY_ENCODING:
        o->encoding = arg;
        break;
    case 'o':
        o->out = arg;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected \"%s\"", arg);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    option,
    "",
    "Measures every operator of a model on every device of a machine, and "
    "the hand-overs of a sync scheme.",
    common_children,
    NULL,
    NULL};

static int profile(struct profile_options *o, struct model *m, struct err *e)
{
    struct cli_factory f;
    struct cli_session s;
    if (cli_factory_open(o->c.machine, &o->c, false, &f, e) < 0 ||
        (!f.soc && !m->has_data && cli_generate_weights(m, o->encoding, o->c.seed, e) < 0) ||
        cli_session_open(&f, &o->c, m, o->prompt, o->gen, &s, e) < 0)
        return e->code;
    FILE *out = o->out ? fopen(o->out, "w") : stdout;
    int rc = 0;
    if (!out) {
        rc = err_at(e, ERR_IO, o->out, 0, NULL, "%s", strerror(errno));
    } else {
        cost_write(s.cost, out);
        if ((o->out ? fclose(out) : fflush(out)) != 0)
            rc = err_at(e, ERR_IO, o->out ? o->out : "standard output", 0, NULL, "%s",
                        strerror(errno));
    }
    cli_session_close(&s);
    return rc;
}

int cmd_profile(int argc, char **argv)
{
    struct profile_options o = {.prompt = 256, .gen = 32, .encoding = "Q4_0"};
    struct model *m = NULL;
    struct err e;
    common_init(&o.c);
    o.c.model = "tinyllama-1.1b";
    cli_parse(&argp, argc, argv, &o);
    int rc = cli_model_open(o.c.model, &m, &e);
    if (rc >= 0)
        rc = profile(&o, m, &e);
    if (m)
        model_close(m);
    return rc < 0 ? cli_fail(&e) : EXIT_OK;
}
