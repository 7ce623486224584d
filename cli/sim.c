// SPDX-License-Identifier: GPL-3.0-or-later
// partita sim: the timing of a model shape, without weights. With --machine host the shape gets
// generated weights and runs for real, so that the two worlds can be compared on one command line.
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include "explore/optimum.h"

struct sim_options {
    struct workload w;
    bool plan, optimum;
};

enum { KEY_OPTIMUM = 3200 };

static const struct argp_option options[] = {
    {"plan", 'p', 0, 0, "print the plans of both phases too", 0},
    {"optimum", KEY_OPTIMUM, 0, 0,
     "print the least time that the cost model knows for any split in one step, and how far this "
     "plan is from it",
     0},
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
    case KEY_OPTIMUM:
        o->optimum = true;
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

// What a cost model says of the plans, beside the best that it knows.
struct gap {
    struct optimum_times best, plan;
};

static int find_gap(const struct cli_session *s, struct gap *out, struct err *e)
{
    struct machine_desc d;
    machine_describe(s->machine, &d);
    const struct optimum_session q = {s->q.model, &d, s->cost, s->q.n_prompt, s->q.n_gen};
    if (optimum_find(&q, OPTIMUM_PARTS, false, &out->best, e) < 0)
        return e->code;
    return optimum_predict(&q, s->q.policy, s->q.policy_options, &out->plan, e);
}

static void print_gap(const struct gap *g)
{
    const struct optimum_times *best = &g->best, *plan = &g->plan;
    printf("  optimum  of the cost model: prefill %.2f ms, step %.2f ms; this plan: %.2f ms "
           "(%+.1f %%), %.2f ms (%+.1f %%)\n",
           best->prefill_ms, best->step_ms, plan->prefill_ms,
           optimum_gap(plan->prefill_ms, best->prefill_ms) * 100, plan->step_ms,
           optimum_gap(plan->step_ms, best->step_ms) * 100);
}

static void json_gap(struct json *j, const struct gap *g)
{
    json_object_begin(j, "optimum");
    json_f64(j, "prefill_ms", g->best.prefill_ms);
    json_f64(j, "step_ms", g->best.step_ms);
    json_f64(j, "plan_prefill_ms", g->plan.prefill_ms);
    json_f64(j, "plan_step_ms", g->plan.step_ms);
    json_object_end(j);
}

static int simulate(struct sim_options *o, struct model *m, struct err *e)
{
    struct cli_factory f;
    struct cli_session s;
    struct session_result r;
    struct gap gap = {{0, 0}, {0, 0}};
    int32_t *prompt = NULL;
    if (cli_factory_open(o->w.c.machine, &o->w.c, false, &f, e) < 0)
        return e->code;
    if (!f.soc && !m->has_data && cli_generate_weights(m, o->w.encoding, o->w.c.seed, e) < 0)
        return e->code;
    if (cli_session_open(&f, &o->w.c, m, o->w.prompt, o->w.gen, &s, e) < 0)
        return e->code;
    if (s.machine->values) { // a real machine computes: any tokens will do
        prompt = calloc((size_t)o->w.prompt, sizeof *prompt);
        for (int i = 0; prompt && i < o->w.prompt; i++)
            prompt[i] = i % m->shape.n_vocab;
        s.q.prompt = prompt;
    }
    int rc = 0;
    if (o->plan && !o->w.c.json)
        rc = session_print_plans(&s.q, stdout, e);
    if (rc == 0 && o->optimum)
        rc = find_gap(&s, &gap, e);
    if (rc == 0)
        rc = session_run(&s.q, &r, e);
    if (rc == 0) {
        if (o->w.c.json) {
            struct json j;
            json_begin(&j, stdout, true);
            json_object_begin(&j, NULL);
            cli_result_json(&j, &s, &o->w.c, &r, NULL, 0);
            if (o->optimum)
                json_gap(&j, &gap);
            json_object_end(&j);
            json_end(&j);
        } else {
            cli_result_print(stdout, &s, &o->w.c, &r);
            if (o->optimum)
                print_gap(&gap);
        }
        session_result_fini(&r);
    }
    cli_session_close(&s);
    free(prompt);
    return rc;
}

int cmd_sim(int argc, char **argv)
{
    struct sim_options o = {.plan = false};
    struct model *m = NULL;
    struct err e;
    workload_init(&o.w, "soc:sd8gen3", "llama3-8b", 256, 32);
    cli_parse(&argp, argc, argv, &o);
    int rc = cli_model_open(o.w.c.model, &m, &e);
    if (rc >= 0)
        rc = simulate(&o, m, &e);
    if (m)
        model_close(m);
    return rc < 0 ? cli_fail(&e) : EXIT_OK;
}
