// SPDX-License-Identifier: GPL-3.0-or-later
// partita sim: the timing of a model shape, without weights. With --machine host the shape gets
// generated weights and runs for real, so that the two worlds can be compared on one command line.
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

struct sim_options {
    struct common c;
    char machine[96];
    int prompt, gen;
    bool plan;
    const char *encoding;
};

enum { KEY_SOC = 2100, KEY_PROMPT, KEY_GEN, KEY_MODEL, KEY_PLAN, KEY_ENCODING };

static const struct argp_option options[] = {
    {"soc", KEY_SOC, "NAME", 0, "simulated SoC; the same as --machine soc:NAME (default sd8gen3)",
     0},
    {"model", KEY_MODEL, "MODEL", 0,
     "a name from partita list models, a .cfg, a config.json or a GGUF "
     "file (default llama3-8b)",
     0},
    {"prompt", KEY_PROMPT, "N", 0, "prompt tokens (default 256)", 0},
    {"gen", KEY_GEN, "N", 0, "tokens to generate (default 32)", 0},
    {"plan", KEY_PLAN, 0, 0, "print the plans of both phases too", 0},
    {"encoding", KEY_ENCODING, "NAME", 0,
     "encoding of generated weights on a real machine (default "
     "Q4_0)",
     0},
    {0},
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct sim_options *o = state->input;
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
        o->prompt = cli_whole(state, "--prompt", arg, 1, 1000000);
        break;
    case KEY_GEN:
        o->gen = cli_whole(state, "--gen", arg, 1, 1000000);
        break;
    case KEY_PLAN:
        o->plan = true;
        break;
    case KEY_ENCODING:
        o->encoding = arg;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected \"%s\" (the model is given by --model)", arg);
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
    "Simulates one prompt and its generation, timing only.\vExample: partita sim --soc sd8gen3 "
    "--model llama3-8b --prompt 256 --gen 32 --policy hetero_tensor --sync sleep_poll",
    common_children,
    NULL,
    NULL};

static int simulate(struct sim_options *o, struct model *m, struct err *e)
{
    struct cli_factory f;
    struct cli_session s;
    struct session_result r;
    int32_t *prompt = NULL;
    if (cli_factory_open(o->c.machine, &o->c, false, &f, e) < 0)
        return e->code;
    if (!f.soc && !m->has_data && cli_generate_weights(m, o->encoding, o->c.seed, e) < 0)
        return e->code;
    if (cli_session_open(&f, &o->c, m, o->prompt, o->gen, &s, e) < 0)
        return e->code;
    if (s.machine->values) { // a real machine computes: any tokens will do
        prompt = calloc((size_t)o->prompt, sizeof *prompt);
        for (int i = 0; prompt && i < o->prompt; i++)
            prompt[i] = i % m->shape.n_vocab;
        s.q.prompt = prompt;
    }
    int rc = 0;
    if (o->plan && !o->c.json)
        rc = session_print_plans(&s.q, stdout, e);
    if (rc == 0)
        rc = session_run(&s.q, &r, e);
    if (rc == 0) {
        if (o->c.json) {
            struct json j;
            json_begin(&j, stdout, true);
            json_object_begin(&j, NULL);
            cli_result_json(&j, &s, &o->c, &r, NULL, 0);
            json_object_end(&j);
            json_end(&j);
        } else {
            cli_result_print(stdout, &s, &o->c, &r);
        }
        session_result_fini(&r);
    }
    cli_session_close(&s);
    free(prompt);
    return rc;
}

int cmd_sim(int argc, char **argv)
{
    struct sim_options o = {.prompt = 256, .gen = 32, .encoding = "Q4_0"};
    struct model *m = NULL;
    struct err e;
    common_init(&o.c);
    o.c.machine = "soc:sd8gen3";
    o.c.model = "llama3-8b";
    cli_parse(&argp, argc, argv, &o);
    int rc = cli_model_open(o.c.model, &m, &e);
    if (rc >= 0)
        rc = simulate(&o, m, &e);
    if (m)
        model_close(m);
    return rc < 0 ? cli_fail(&e) : EXIT_OK;
}
