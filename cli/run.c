// SPDX-License-Identifier: GPL-3.0-or-later
// partita run: a real model generates text through the engine, on this machine or on a simulated
// SoC that carries the reference operators.
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/trace_file.h"
#include "engine/gguf.h"
#include "engine/tokenizer.h"

struct run_options {
    struct common c;
    const char *model, *prompt, *trace;
    int n, n_ctx;
    struct sampler_options sampler;
    bool ignore_eos;
    enum session_on_loss on_loss;
};

enum { KEY_TEMP = 2000, KEY_TOP_K, KEY_TOP_P, KEY_MIN_P, KEY_CTX, KEY_IGNORE_EOS };

static const struct argp_option options[] = {
    {"prompt", 'p', "TEXT", 0, "the prompt (default: empty, so that the model starts a text)", 0},
    {"n", 'n', "N", 0, "tokens to generate at most (default 64)", 0},
    {"temp", KEY_TEMP, "T", 0, "sampling temperature; 0 is greedy (default 0)", 0},
    {"top-k", KEY_TOP_K, "K", 0, "sample from the K best only; 0: all (default 0)", 0},
    {"top-p", KEY_TOP_P, "P", 0, "sample from the best that add up to P (default 1)", 0},
    {"min-p", KEY_MIN_P, "P", 0, "drop tokens below P times the best one (default 0)", 0},
    {"ctx", KEY_CTX, "N", 0, "context to allocate (default: prompt + N)", 0},
    {"ignore-eos", KEY_IGNORE_EOS, 0, 0, "do not stop at an end-of-text token", 0},
    CLI_LOSS_OPTION("with an error", "go on with those that are left, with the same tokens"),
    CLI_TRACE_OPTION,
    {0},
};

static double number(struct argp_state *state, const char *name, const char *arg, double min,
                     double max)
{
    char *end;
    double v = strtod(arg, &end);
    if (*end || end == arg || !(v >= min && v <= max))
        argp_error(state, "%s wants a number from %g to %g, found \"%s\"", name, min, max, arg);
    return v;
}

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct run_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->c;
        break;
    case 'p':
        o->prompt = arg;
        break;
    case 'n':
        o->n = cli_whole(state, "-n", arg, 1, 1000000);
        break;
    case KEY_TEMP:
        o->sampler.temperature = number(state, "--temp", arg, 0, 100);
        break;
    case KEY_TOP_K:
        o->sampler.top_k = cli_whole(state, "--top-k", arg, 0, 1000000);
        break;
    case KEY_TOP_P:
        o->sampler.top_p = number(state, "--top-p", arg, 1e-9, 1);
        break;
    case KEY_MIN_P:
        o->sampler.min_p = number(state, "--min-p", arg, 0, 1);
        break;
    case KEY_CTX:
        o->n_ctx = cli_whole(state, "--ctx", arg, 2, 1000000);
        break;
    case KEY_IGNORE_EOS:
        o->ignore_eos = true;
        break;
    case CLI_LOSS:
        o->on_loss = cli_on_loss(state, arg);
        break;
    case CLI_TRACE:
        o->trace = arg;
        break;
    case ARGP_KEY_ARG:
        if (o->model)
            argp_error(state, "one model, please: found \"%s\" and \"%s\"", o->model, arg);
        o->model = arg;
        break;
    case ARGP_KEY_END:
        if (!o->model)
            argp_error(state, "which model? (a GGUF file, as in data/partita-stories.gguf)");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    option,
    "MODEL.gguf",
    "Generates text with a real model and reports TTFT, TPOT, bytes moved, energy (on a simulated "
    "SoC) and a digest.\vExample: partita run data/partita-stories.gguf -p \"Once upon a time\" "
    "--machine soc:sd8gen3 --policy hetero_tensor",
    common_children,
    NULL,
    NULL};

// Streams text as it comes, and remembers it.
struct text {
    const struct tokenizer *t;
    bool print, ignore_end;
    const char *prompt; // shown in front of the first token; then NULL
    bool start;         // nothing came yet, and nothing stands before it
    char *s;
    size_t n, room;
};

static void append(struct text *x, const char *s, size_t n)
{
    if (x->n + n > x->room) {
        x->room = (x->n + n) * 2 + 256;
        x->s = realloc(x->s, x->room);
        if (!x->s)
            abort();
    }
    memcpy(x->s + x->n, s, n);
    x->n += n;
    if (x->print) {
        fwrite(s, 1, n, stdout);
        fflush(stdout);
    }
}

static int on_token(void *user, int32_t id)
{
    struct text *x = user;
    char piece[512];
    if (x->print && x->prompt)
        printf("%s", x->prompt);
    x->prompt = NULL;
    if (tokenizer_is_end(x->t, id) && !x->ignore_end)
        return 0;
    // The space that a vocabulary puts in front of a text's first word does not belong to the text.
    int n = x->start ? tokenizer_decode(x->t, &id, 1, true, piece, sizeof piece)
                     : tokenizer_piece(x->t, id, piece, sizeof piece);
    if (n > (int)sizeof piece)
        n = (int)sizeof piece;
    if (n > 0)
        append(x, piece, (size_t)n);
    x->start &= n <= 0;
    return 0;
}

static bool is_end(void *user, int32_t id)
{
    struct text *x = user;
    return !x->ignore_end && tokenizer_is_end(x->t, id);
}

static int encode(const struct tokenizer *t, const char *prompt, int32_t **ids, int *n,
                  struct err *e)
{
    size_t len = strlen(prompt);
    int room = (int)len + 8;
    *ids = malloc((size_t)room * sizeof **ids);
    if (!*ids)
        abort();
    *n = tokenizer_encode(t, prompt, len, tokenizer_adds_bos(t), true, *ids, room);
    if (*n == 0)
        return err_set(e, ERR_USAGE,
                       "the prompt is empty and the vocabulary has no "
                       "beginning-of-text token: give a prompt with -p");
    if (*n < 0 || *n > room)
        return err_set(e, ERR_USAGE, "the prompt does not encode");
    return 0;
}

static int generate(struct run_options *o, struct model *m, const struct tokenizer *t,
                    struct trace_file *trace, struct err *e)
{
    struct cli_factory f;
    struct cli_session s;
    struct session_result r;
    struct text x = {.t = t,
                     .print = !o->c.json,
                     .ignore_end = o->ignore_eos,
                     .prompt = o->prompt,
                     .start = !*o->prompt};
    int32_t *ids = NULL;
    int n_prompt = 0;
    if (encode(t, o->prompt, &ids, &n_prompt, e) < 0 ||
        cli_factory_open(o->c.machine, &o->c, true, &f, e) < 0 ||
        cli_session_open(&f, &o->c, m, n_prompt, o->n, &s, e) < 0) {
        free(ids);
        return cli_trace_close(trace, e->code, e);
    }
    s.q.trace = trace ? trace_file_sink(trace) : NULL;
    s.q.prompt = ids;
    s.q.n_ctx = o->n_ctx;
    s.q.sampler = o->sampler;
    s.q.sampler.seed = o->c.seed;
    s.q.on_token = on_token;
    s.q.is_end = is_end;
    s.q.on_loss = o->on_loss;
    s.q.user = &x;
    if (n_prompt + o->n > m->shape.n_ctx)
        log_warn("%d prompt tokens and up to %d more exceed the %d that %s was trained for",
                 n_prompt, o->n, m->shape.n_ctx, m->shape.name);
    int ran = session_run(&s.q, &r, e), rc = cli_trace_close(trace, ran, e);
    if (rc == 0 && o->c.json) {
        struct json j;
        json_begin(&j, stdout, true);
        json_object_begin(&j, NULL);
        cli_result_json(&j, &s, &o->c, &r, x.s ? x.s : "", x.n);
        json_object_end(&j);
        json_end(&j);
    } else if (rc == 0) {
        printf("\n\n");
        cli_result_print(stdout, &s, &o->c, &r);
    }
    if (ran == 0)
        session_result_fini(&r);
    else if (x.print && x.n) { // what there was stays, the error stands below it
        putchar('\n');
        fflush(stdout);
    }
    cli_session_close(&s);
    free(ids);
    free(x.s);
    return rc;
}

int cmd_run(int argc, char **argv)
{
    struct run_options o = {.prompt = "", .n = 64, .sampler = {.top_p = 1}};
    struct model *m = NULL;
    struct tokenizer *t = NULL;
    struct trace_file *trace;
    struct err e;
    common_init(&o.c);
    cli_parse(&argp, argc, argv, &o);
    int rc = model_open_gguf(o.model, &m, &e);
    struct err ignored;
    char path[512];
    if (rc == ERR_IO && cli_find_config("model", o.model, path, sizeof path, &ignored) == 0 &&
        strcmp(path, o.model))
        rc = err_set(&e, ERR_USAGE,
                     "%s is a shape without weights: run wants a GGUF file (partita sim --model %s "
                     "times the shape)",
                     o.model, o.model);
    if (rc >= 0)
        rc = tokenizer_create(m->gguf, &t, &e);
    if (rc >= 0)
        rc = cli_trace_open(o.trace, &o.c, o.model, &trace, &e);
    if (rc >= 0)
        rc = generate(&o, m, t, trace, &e);
    if (t)
        tokenizer_destroy(t);
    if (m)
        model_close(m);
    return rc < 0 ? cli_fail(&e) : EXIT_OK;
}
