// SPDX-License-Identifier: GPL-3.0-or-later
// partita bench: how fast a model is here, per device, policy and scheme, in the form that users of
// llama.cpp know: pp (prompt) and tg (generation) in tokens per second.
#include "cli/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "cli/explore.h"

struct bench_options {
    struct common c;
    struct bench_request q;
    char soc[96], threads[48];
    const char *encoding;
    int prompt[BENCH_MAX_TESTS / 2], gen[BENCH_MAX_TESTS / 2];
    int n_prompts, n_gens;
    bool csv;
};

enum {
    KEY_SOC = 4100,
    KEY_MODEL,
    KEY_ENCODING,
    KEY_SEED,
    KEY_CSV,
    MOST_TOKENS = 1000000,
    MOST_THREADS = 4096
};

static const struct argp_option options[] = {
    {"model", KEY_MODEL, "MODEL", 0,
     "in place of MODEL.gguf: a name from partita list models, a .cfg or a config.json, which gets "
     "generated weights on a real machine",
     0},
    {"encoding", KEY_ENCODING, "NAME", 0, "encoding of generated weights (default Q4_0)", 0},
    {"machine", 'm', "MACHINE", 0, "host (default), or soc:NAME for a simulated SoC", 0},
    {"soc", KEY_SOC, "NAME", 0, "simulated SoC; the same as --machine soc:NAME", 0},
    {"prompt", 'p', "N[,N..]", 0, "test ppN: a prompt of N tokens; 0: none (default 512)", 0},
    {"gen", 'n', "N[,N..]", 0, "test tgN: N tokens generated; 0: none (default 128)", 0},
    {"repeat", 'r', "R", 0, "runs of each test (default 5, and 1 on a simulated SoC)", 0},
    {"threads", 't', "N", 0,
     "threads of the host's CPU device, as --set cpu.threads=N; 0: one per CPU (default 0)", 0},
    {"policy", 'P', "POLICY", 0,
     "partition policy; may be given several times (default: cpu_only, gpu_only, npu_only as far "
     "as the machine has the device, and hetero_tensor)",
     0},
    {"sync", 'S', "SYNC", 0,
     "synchronisation scheme; may be given several times (default: event on the host, sleep_poll "
     "on a simulated SoC; driver if the machine does not offer it)",
     0},
    {"set", 's', "KEY=VALUE", 0, "override a key of the machine's configuration", 0},
    {"seed", KEY_SEED, "SEED", 0, "seed of generated weights (default 0)", 0},
    {"json", 'j', 0, 0, "print JSON in place of a table", 0},
    CLI_LOSS_OPTION("with an error, after printing what was measured",
                    "leave out the configurations that use it"),
    {"csv", KEY_CSV, 0, 0, "print CSV in place of a table", 0},
    {"quiet", 'q', 0, 0, "no progress", 0},
    {0},
};

// "128,512" to the end of a list; 0 stands for no test at all.
static void whole_list(struct argp_state *state, const char *option, char *arg, int *list, int *n)
{
    char *rest = arg, *item;
    while ((item = strsep(&rest, ","))) {
        if (*n == BENCH_MAX_TESTS / 2)
            argp_error(state, "%s: at most %d lengths", option, BENCH_MAX_TESTS / 2);
        list[(*n)++] = cli_whole(state, option, item, 0, MOST_TOKENS);
    }
}

static void add(struct argp_state *state, const char *option, const char *text, const char **list,
                int *n)
{
    if (*n == BENCH_MAX_SPECS)
        argp_error(state, "too many %s", option);
    list[(*n)++] = text;
}

static void make_tests(struct argp_state *state, struct bench_options *o)
{
    struct bench_request *q = &o->q;
    if (!o->n_prompts)
        o->prompt[o->n_prompts++] = 512;
    if (!o->n_gens)
        o->gen[o->n_gens++] = 128;
    for (int i = 0; i < o->n_prompts; i++)
        if (o->prompt[i])
            q->test[q->n_tests++] = (struct bench_test){o->prompt[i], 0};
    for (int i = 0; i < o->n_gens; i++)
        if (o->gen[i])
            q->test[q->n_tests++] = (struct bench_test){0, o->gen[i]};
    if (!q->n_tests)
        argp_error(state, "nothing to measure: --prompt and --gen are both 0");
}

static void check(struct argp_state *state, struct bench_options *o)
{
    if (!o->c.model)
        argp_error(state, "which model? (a GGUF file, or --model NAME for generated weights)");
    if (o->c.json && o->csv)
        argp_error(state, "--json or --csv, not both");
    if (*o->threads && strcmp(o->c.machine, "host") != 0)
        argp_error(state, "--threads is about the host; the cores of %s are in its configuration",
                   o->c.machine);
    make_tests(state, o);
}

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct bench_options *o = state->input;
    switch (key) {
    case KEY_MODEL:
    case ARGP_KEY_ARG:
        if (o->c.model)
            argp_error(state, "one model, please: found \"%s\" and \"%s\"", o->c.model, arg);
        o->c.model = arg;
        break;
    case KEY_ENCODING:
        o->encoding = arg;
        break;
    case 'm':
        o->c.machine = arg;
        break;
    case KEY_SOC:
        snprintf(o->soc, sizeof o->soc, "soc:%s", arg);
        o->c.machine = o->soc;
        break;
    case 'p':
        whole_list(state, "--prompt", arg, o->prompt, &o->n_prompts);
        break;
    case 'n':
        whole_list(state, "--gen", arg, o->gen, &o->n_gens);
        break;
    case 'r':
        o->q.repeats = cli_whole(state, "--repeat", arg, 1, BENCH_MAX_REPEATS);
        break;
    case 't':
        snprintf(o->threads, sizeof o->threads, "cpu.threads=%d",
                 cli_whole(state, "--threads", arg, 0, MOST_THREADS));
        cli_set(state, &o->c, o->threads);
        break;
    case 'P':
        add(state, "--policy", arg, o->q.policy, &o->q.n_policies);
        break;
    case 'S':
        add(state, "--sync", arg, o->q.sync, &o->q.n_syncs);
        break;
    case 's':
        cli_set(state, &o->c, arg);
        break;
    case KEY_SEED:
        o->c.seed = (uint64_t)cli_whole(state, "--seed", arg, 0, 2147483647);
        break;
    case 'j':
        o->c.json = true;
        break;
    case KEY_CSV:
        o->csv = true;
        break;
    case 'q':
        o->c.quiet = true;
        break;
    case CLI_LOSS:
        o->q.on_loss = cli_on_loss(state, arg);
        break;
    case ARGP_KEY_END:
        check(state, o);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    option,
    "[MODEL.gguf]",
    "Prompt and generation speed of a model, per device, policy and synchronisation scheme, with a "
    "digest of what was computed. The table has the form of llama.cpp's llama-bench; the "
    "configurations take turns, and one round warms up.\vExample: partita bench "
    "data/partita-stories.gguf -p 64 -n 32\nExample: partita bench --model llama3-8b --soc sd8gen3",
    NULL,
    NULL,
    NULL};

static void show(const char *what, int done, int total)
{
    fprintf(stderr, "\r\033[K");
    if (total)
        fprintf(stderr, "%d of %d: ", done, total);
    fprintf(stderr, "%s", what);
    fflush(stderr);
}

// Nothing was measured: why the first row was not.
static int check_rows(const struct bench_result *r, struct err *e)
{
    bool any = false, same = true;
    for (int i = 0; i < r->n_rows; i++) {
        any |= !*r->row[i].reason;
        same &= r->row[i].same;
    }
    if (!any && !cli_stop && !r->lost.code)
        return err_set(e, ERR_UNSUPPORTED, "%s cannot do any of it; %s", r->machine,
                       r->row[0].reason);
    return same ? 0 : err_set(e, ERR_CHECK, "runs of one configuration have different digests");
}

// Misspelt names, before weights are generated and machines profiled.
static int check_specs(const struct bench_request *q, struct err *e)
{
    const struct policy_ops *policy;
    const struct sync_ops *sync;
    const void *values;
    struct arena a;
    int rc = 0;
    arena_init(&a);
    for (int i = 0; rc >= 0 && i < q->n_policies; i++)
        rc = policy_parse(q->policy[i], &a, &policy, &values, e);
    for (int i = 0; rc >= 0 && i < q->n_syncs; i++)
        rc = sync_parse(q->sync[i], &a, &sync, &values, e);
    arena_fini(&a);
    return rc;
}

static int bench(struct bench_options *o, struct model *m, struct err *e)
{
    struct bench_request *q = &o->q;
    struct bench_result r;
    struct cli_factory f;
    const bool visible = cli_show_progress(&o->c);
    if (cli_factory_open(o->c.machine, &o->c, false, &f, e) < 0 || check_specs(q, e) < 0 ||
        (!f.soc && !m->has_data && cli_generate_weights(m, o->encoding, o->c.seed, e) < 0))
        return e->code;
    q->factory = &f; // cppcheck-suppress autoVariables ; q is done with before f is
    q->model = m;
    q->seed = o->c.seed;
    q->progress = visible ? show : NULL;
    int rc = bench_run(q, &r, e);
    if (visible)
        fprintf(stderr, "\r\033[K");
    if (rc < 0)
        return rc;
    rc = check_rows(&r, e);
    if (rc != ERR_UNSUPPORTED)
        (o->c.json ? bench_json : o->csv ? bench_csv : bench_print)(stdout, q, &r);
    if (rc == 0 && r.lost.code) {
        *e = r.lost;
        rc = e->code;
    }
    bench_result_fini(&r);
    return rc;
}

int cmd_bench(int argc, char **argv)
{
    struct bench_options o = {.encoding = "Q4_0"};
    struct model *m = NULL;
    struct err e = {0};
    common_init(&o.c);
    cli_parse(&argp, argc, argv, &o);
    int rc = cli_model_open(o.c.model, &m, &e);
    if (rc >= 0)
        rc = bench(&o, m, &e);
    if (m)
        model_close(m);
    return rc < 0 ? cli_fail(&e) : cli_stop ? EXIT_INTERRUPT : EXIT_OK;
}
