// SPDX-License-Identifier: GPL-3.0-or-later
// partita sim: the timing of a model shape, without weights. With --machine host the shape gets
// generated weights and runs for real, so that the two worlds can be compared on one command line.
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include "base/trace_file.h"

struct sim_options {
    struct workload w;
    const char *trace; // file; NULL: none
    bool plan;
};

static const struct argp_option options[] = {
    {"plan", 'p', 0, 0, "print the plans of both phases too", 0},
    CLI_TRACE_OPTION,
    {0},
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct sim_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->w;
        break;
    case 'p':
        o->plan = true;
        break;
    case CLI_TRACE:
        o->trace = arg;
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
    workload_children,
    NULL,
    NULL};

static void report(const struct sim_options *o, const struct cli_session *s,
                   const struct session_result *r)
{
    if (!o->w.c.json) {
        cli_result_print(stdout, s, &o->w.c, r);
        return;
    }
    struct json j;
    json_begin(&j, stdout, true);
    json_object_begin(&j, NULL);
    cli_result_json(&j, s, &o->w.c, r, NULL, 0);
    json_object_end(&j);
    json_end(&j);
}

static int simulate(struct sim_options *o, struct model *m, struct trace_file *t, struct err *e)
{
    struct cli_factory f;
    struct cli_session s;
    struct session_result r;
    int32_t *prompt = NULL;
    if (cli_factory_open(o->w.c.machine, &o->w.c, false, &f, e) < 0 ||
        (!f.soc && !m->has_data && cli_generate_weights(m, o->w.encoding, o->w.c.seed, e) < 0) ||
        cli_session_open(&f, &o->w.c, m, o->w.prompt, o->w.gen, &s, e) < 0)
        return cli_trace_close(t, e->code, e);
    if (s.machine->values) { // a real machine computes: any tokens will do
        prompt = calloc((size_t)o->w.prompt, sizeof *prompt);
        for (int i = 0; prompt && i < o->w.prompt; i++)
            prompt[i] = i % m->shape.n_vocab;
        s.q.prompt = prompt;
    }
    s.q.trace = t ? trace_file_sink(t) : NULL;
    int rc = 0;
    if (o->plan && !o->w.c.json)
        rc = session_print_plans(&s.q, stdout, e);
    int ran = rc == 0 ? session_run(&s.q, &r, e) : rc;
    rc = cli_trace_close(t, ran, e);
    if (rc == 0)
        report(o, &s, &r);
    if (ran == 0)
        session_result_fini(&r);
    cli_session_close(&s);
    free(prompt);
    return rc;
}

int cmd_sim(int argc, char **argv)
{
    struct sim_options o = {.plan = false};
    struct model *m = NULL;
    struct trace_file *t;
    struct err e;
    workload_init(&o.w, "soc:sd8gen3", "llama3-8b", 256, 32);
    cli_parse(&argp, argc, argv, &o);
    int rc = cli_model_open(o.w.c.model, &m, &e);
    if (rc >= 0)
        rc = cli_trace_open(o.trace, &o.w.c, o.w.c.model, &t, &e);
    if (rc >= 0)
        rc = simulate(&o, m, t, &e);
    if (m)
        model_close(m);
    return rc < 0 ? cli_fail(&e) : EXIT_OK;
}
