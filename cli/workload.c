// SPDX-License-Identifier: GPL-3.0-or-later
// The options of every command that times a model: sim, profile, check.
#include "cli/cli.h"

enum {
    KEY_SOC = 3000,
    KEY_MODEL,
    KEY_PROMPT,
    KEY_GEN,
    KEY_ENCODING,
    KEY_DETAIL,
    MOST_TOKENS = 1000000
};

static const struct argp_option options[] = {
    {"soc", KEY_SOC, "NAME", 0, "simulated SoC; the same as --machine soc:NAME", 0},
    {"detail", KEY_DETAIL, "LEVEL", 0,
     "of a simulated SoC: flow (closed forms that share bandwidth, the default) or cycle (memory "
     "requests and tiles as events; slower); the same as --set detail=LEVEL",
     0},
    {"model", KEY_MODEL, "MODEL", 0,
     "a name from partita list models, a .cfg, a config.json or a GGUF file", 0},
    {"prompt", KEY_PROMPT, "N", 0, "prompt tokens", 0},
    {"gen", KEY_GEN, "N", 0, "tokens to generate", 0},
    {"encoding", KEY_ENCODING, "NAME", 0,
     "encoding of generated weights on a real machine (default Q4_0)", 0},
    {0},
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct workload *w = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &w->c;
        break;
    case KEY_SOC:
        snprintf(w->soc, sizeof w->soc, "soc:%s", arg);
        w->c.machine = w->soc;
        break;
    case KEY_DETAIL:
        if (w->c.n_set == (int)(sizeof w->c.set / sizeof w->c.set[0]))
            argp_error(state, "too many --set");
        snprintf(w->detail, sizeof w->detail, "detail=%s", arg);
        w->c.set[w->c.n_set++] = w->detail;
        break;
    case KEY_MODEL:
        w->c.model = arg;
        break;
    case KEY_PROMPT:
        w->prompt = cli_whole(state, "--prompt", arg, 1, MOST_TOKENS);
        break;
    case KEY_GEN:
        w->gen = cli_whole(state, "--gen", arg, 1, MOST_TOKENS);
        break;
    case KEY_ENCODING:
        w->encoding = arg;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

// The defaults differ by command, so the help filter adds those that are in force.
static char *with_defaults(int key, const char *text, void *input)
{
    const struct workload *w = input;
    char *out = NULL;
    int n = 0;
    if (!w || !text)
        return (char *)text;
    if (key == KEY_MODEL)
        n = asprintf(&out, "%s (default %s)", text, w->c.model);
    else if (key == KEY_PROMPT || key == KEY_GEN)
        n = asprintf(&out, "%s (default %d)", text, key == KEY_PROMPT ? w->prompt : w->gen);
    return n > 0 ? out : (char *)text;
}

const struct argp workload_argp = {.options = options,
                                   .parser = option,
                                   .children = common_children,
                                   .help_filter = with_defaults};
const struct argp_child workload_children[] = {{&workload_argp, 0, NULL, 0}, {0}};

void workload_init(struct workload *w, const char *machine, const char *model, int prompt, int gen)
{
    *w = (struct workload){.prompt = prompt, .gen = gen, .encoding = "Q4_0"};
    common_init(&w->c);
    w->c.machine = machine;
    w->c.model = model;
}
