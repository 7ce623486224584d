// SPDX-License-Identifier: GPL-3.0-or-later
// partita explore: search a space, keep every point in a store, rank what was found.
#include "cli/explore.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "base/num.h"
#include "cli/slurm.h"

struct explore_options {
    struct common c;
    struct cli_campaign_options x;
    struct slurm_options slurm;
    int top;
    char path[512];
};

enum {
    KEY_SEARCH = 2200,
    KEY_BUDGET,
    KEY_TOP,
    KEY_SEED,
    KEY_JSON,
    KEY_SECONDS,
    KEY_PATIENCE,
    KEY_TARGET,
    KEY_TIMEOUT,
    KEY_RETRY,
    KEY_CSV,
    KEY_WINDOW,
    KEY_SOC,
};

static const struct argp_option options[] = {
    {"search", KEY_SEARCH, "NAME[:OPTIONS]", 0,
     "searcher, see partita list searchers (default exhaustive)", 0},
    {"budget", KEY_BUDGET, "N", 0, "stop after so many points", 0},
    {"seconds", KEY_SECONDS, "S", 0,
     "stop after so much time (such a result depends on the machine)", 0},
    {"patience", KEY_PATIENCE, "N", 0, "stop when the Pareto front has not grown for N points", 0},
    {"target", KEY_TARGET, "METRIC<=VALUE", 0,
     "stop when a point reaches it; repeated: when one point reaches all", 0},
    {"jobs", 'j', "N", 0, "worker processes (default: one per core); the result is the same", 0},
    {"timeout", KEY_TIMEOUT, "S", 0, "a point that takes longer is recorded as hung", 0},
    {"output", 'o', "FILE.db", 0,
     "the store (default results/new/SPACE-TIME.db); one that exists goes on: what it knows is not "
     "evaluated again",
     0},
    {"window", KEY_WINDOW, "N", 0,
     "points that are evaluated at once, at most (default 64); the result depends on it where a "
     "searcher learns",
     0},
    {"retry", KEY_RETRY, 0, 0, "evaluate points of the store again that crashed or hung", 0},
    {"csv", KEY_CSV, "FILE", 0, "write this campaign's points as a table too", 0},
    {"top", KEY_TOP, "K", 0, "show the K best (default 10; 0: all)", 0},
    {"soc", KEY_SOC, "SOC", 0,
     "another SoC than the space's machine: a name, or a file such as partita fit writes", 0},
    {"model", 'M', "MODEL", 0, "another model than the space's", 0},
    {"set", 's', "KEY=VALUE", 0, "override a key of the machine's configuration", 0},
    {"seed", KEY_SEED, "SEED", 0, "seed of the searcher (default 0)", 0},
    {"json", KEY_JSON, 0, 0, "print the result as JSON", 0},
    {"quiet", 'q', 0, 0, "no progress", 0},
    {0},
};

static double positive(struct argp_state *state, const char *name, const char *arg)
{
    double v = num_span(arg) == strlen(arg) && *arg ? num_parse(arg) : 0;
    if (!(v > 0 && v < 1e9))
        argp_error(state, "%s wants a number of seconds above 0, found \"%s\"", name, arg);
    return v;
}

static bool is_table(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && !strcmp(name + n - 4, ".csv");
}

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct explore_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->slurm;
        break;
    case KEY_WINDOW:
        o->x.window = cli_whole(state, "--window", arg, 1, CAMPAIGN_MAX_WINDOW);
        break;
    case KEY_SEARCH:
        o->x.search = arg;
        break;
    case KEY_BUDGET:
        o->x.rules.budget = cli_whole(state, "--budget", arg, 1, 1000000000);
        break;
    case KEY_SECONDS:
        o->x.rules.seconds = positive(state, "--seconds", arg);
        break;
    case KEY_PATIENCE:
        o->x.rules.patience = cli_whole(state, "--patience", arg, 1, 1000000000);
        break;
    case KEY_TARGET:
        if (o->x.n_targets == SEARCH_MAX_OBJECTIVES)
            argp_error(state, "too many --target");
        o->x.target[o->x.n_targets++] = arg;
        break;
    case 'j':
        o->x.jobs = cli_whole(state, "-j", arg, 1, CAMPAIGN_MAX_JOBS);
        break;
    case KEY_TIMEOUT:
        o->x.timeout_s = positive(state, "--timeout", arg);
        break;
    case KEY_RETRY:
        o->x.retry = true;
        break;
    case 'o':
        if (is_table(arg))
            argp_error(state, "-o is the store (FILE.db); for a table there is --csv %s", arg);
        o->x.out = arg;
        break;
    case KEY_CSV:
        o->x.csv = arg;
        break;
    case KEY_TOP:
        o->top = cli_whole(state, "--top", arg, 0, 1000000);
        break;
    case KEY_SOC:
        o->x.soc = arg;
        break;
    case 'M':
        o->x.model = arg;
        break;
    case 's':
        cli_set(state, &o->c, arg);
        break;
    case KEY_SEED:
        o->c.seed = (uint64_t)cli_whole(state, "--seed", arg, 0, INT_MAX);
        break;
    case KEY_JSON:
        o->c.json = true;
        break;
    case 'q':
        o->c.quiet = true;
        break;
    case ARGP_KEY_ARG:
        if (o->x.space)
            argp_error(state, "one space at a time: found \"%s\" and \"%s\"", o->x.space, arg);
        o->x.space = arg;
        break;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which space? See partita list spaces");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    option,
    "SPACE",
    "Explores partition policies, sync schemes and SoC parameters: evaluates the points of a space "
    "(a name from partita list spaces, or a file), keeps every one in a store, and ranks "
    "them.\vCtrl-C stops cleanly and shows what was found so far; the same command with the same "
    "-o "
    "goes on from there, also after a crash. Examples:\n  partita explore quick\n  partita explore "
    "hetero --search random --budget 500 -o hetero.db",
    slurm_children,
    NULL,
    NULL};

// results/new/SPACE-TIME.db, with its folders.
static int default_path(struct explore_options *o, struct err *e)
{
    char stamp[32];
    time_t now = time(NULL);
    struct tm t;
    const char *base = strrchr(o->x.space, '/');
    base = base ? base + 1 : o->x.space;
    int n = (int)strlen(base);
    n -= n > 4 && !strcmp(base + n - 4, ".cfg") ? 4 : 0;
    localtime_r(&now, &t);
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &t);
    snprintf(o->path, sizeof o->path, "results/new/%.*s-%s.db", n < 200 ? n : 200, base, stamp);
    if ((mkdir("results", 0777) < 0 && errno != EEXIST) ||
        (mkdir("results/new", 0777) < 0 && errno != EEXIST))
        return err_at(e, ERR_IO, "results/new", 0, NULL, "%s; give another place with -o",
                      strerror(errno));
    o->x.out = o->path;
    return 0;
}

int cmd_explore(int argc, char **argv)
{
    struct explore_options o = {.top = 10, .x.search = "exhaustive"};
    struct cli_campaign x;
    struct ranking r;
    struct err e = {0};
    common_init(&o.c);
    o.x.common = &o.c;
    slurm_init(&o.slurm);
    cli_parse(&argp, argc, argv, &o);
    if (slurm_prepare(&o.slurm, &o.x, &e) < 0 || (!o.x.out && default_path(&o, &e) < 0) ||
        cli_campaign_run(&o.x, &x, &e) < 0)
        return cli_fail(&e);
    if (slurm_is_part(&o.slurm, &x)) { // nothing to rank
        int part = slurm_part_report(&o.slurm, &x);
        cli_campaign_close(&x);
        return part;
    }
    ranking_make(x.row, x.n_rows, x.space->objective, x.space->n_objectives, &r);
    if (o.c.json)
        cli_ranking_json(stdout, &x, &r, o.top, &o.x);
    else
        cli_ranking_print(stdout, &x, &r, o.top, o.x.out);
    int rc = x.c.interrupted ? EXIT_INTERRUPT : EXIT_OK;
    if (rc == EXIT_OK && x.c.count && !r.n_ok && r.n_violating)
        rc = cli_error(EXIT_DEVICE, "no point of %s keeps its constraints", x.space->path);
    else if (rc == EXIT_OK && x.c.count && !r.n_ok)
        rc =
            cli_error(EXIT_DEVICE, "no point of %s can run on %s", x.space->path, x.space->machine);
    ranking_fini(&r);
    cli_campaign_close(&x);
    return rc;
}
