// SPDX-License-Identifier: GPL-3.0-or-later
// The options of explore for clusters, and what they do with a campaign:
//
//     --slurm             runs it in job arrays
//     --ask FILE          evaluates nothing, writes the points that are asked next
//     --points FILE       evaluates the points of a file (or --shard I/N of them)
//
// The last two are what --slurm is made of, for every other way to run programs on many machines.
#include <limits.h>
#include <string.h>
#include "cli/slurm.h"

enum {
    KEY_SLURM = 3300,
    KEY_TASKS,
    KEY_CHUNK,
    KEY_PARTITION,
    KEY_SBATCH,
    KEY_TRIES,
    KEY_POLL,
    KEY_ASK,
    KEY_POINTS,
    KEY_SHARD
};

static const struct argp_option options[] = {
    {"slurm", KEY_SLURM, 0, 0, "evaluate in job arrays of Slurm (docs/cluster.md)", 0},
    {"tasks", KEY_TASKS, "N", 0, "tasks of an array, at most (default 16)", 0},
    {"chunk", KEY_CHUNK, "K", 0, "points of a task, at most (default: as the tasks need)", 0},
    {"partition", KEY_PARTITION, "NAME", 0, "where to submit", 0},
    {"sbatch", KEY_SBATCH, "OPTION", 0,
     "an option for sbatch, such as --sbatch=--time=30; may be repeated", 0},
    {"tries", KEY_TRIES, "N", 0,
     "a point that was lost with its task so often has crashed (default 3)", 0},
    {"poll", KEY_POLL, "SECONDS", 0, "ask Slurm so often at last (default 5)", 0},
    {"ask", KEY_ASK, "FILE", 0, "evaluate nothing; write the points to evaluate next into a file",
     0},
    {"points", KEY_POINTS, "FILE", 0, "evaluate the points of such a file into the store of -o", 0},
    {"shard", KEY_SHARD, "I/N", 0, "with --points: only part I, from 0, of N", 0},
    {0},
};

static void read_shard(struct slurm_options *o, struct argp_state *state, const char *arg)
{
    int end = 0;
    if (sscanf(arg, "%d/%d%n", &o->shard, &o->shards, &end) != 2 || arg[end] || o->shard < 0 ||
        o->shards < 1 || o->shard >= o->shards)
        argp_error(state, "--shard wants I/N with 0 <= I < N, found \"%s\"", arg);
}

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct slurm_options *o = state->input;
    switch (key) {
    case KEY_SLURM:
        o->on = true;
        break;
    case KEY_TASKS:
        o->tasks = cli_whole(state, "--tasks", arg, 1, 100000);
        break;
    case KEY_CHUNK:
        o->chunk = cli_whole(state, "--chunk", arg, 1, INT_MAX);
        break;
    case KEY_PARTITION:
        o->partition = arg;
        break;
    case KEY_SBATCH:
        if (arg[0] != '-')
            argp_error(state,
                       "--sbatch wants an option of sbatch, such as --sbatch=--time=30, found "
                       "\"%s\"",
                       arg);
        if (o->n_args == (int)(sizeof o->args / sizeof o->args[0]))
            argp_error(state, "too many --sbatch");
        o->args[o->n_args++] = arg;
        break;
    case KEY_TRIES:
        o->tries = cli_whole(state, "--tries", arg, 1, 100);
        break;
    case KEY_POLL:
        o->poll_s = cli_whole(state, "--poll", arg, 1, 3600);
        break;
    case KEY_ASK:
        o->ask = arg;
        break;
    case KEY_POINTS:
        o->points = arg;
        break;
    case KEY_SHARD:
        read_shard(o, state, arg);
        break;
    case ARGP_KEY_END:
        if (o->on + (o->ask != NULL) + (o->points != NULL) > 1)
            argp_error(state, "one of --slurm, --ask and --points at a time");
        if (o->shards && !o->points)
            argp_error(state, "--shard goes with --points");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp slurm_argp = {options, option, NULL, NULL, NULL, NULL, NULL};
const struct argp_child slurm_children[] = {{&slurm_argp, 0, "On a cluster:", 0}, {0}};

void slurm_init(struct slurm_options *o)
{
    *o = (struct slurm_options){.tasks = 16, .tries = 3, .poll_s = 5};
}

// --- in place of the campaign's own run

static int run_points(const struct slurm_options *o, struct campaign_request *q,
                      struct campaign *out, struct err *e)
{
    struct remote_points list;
    if (remote_points_read(o->points, q->space, &list, e) < 0)
        return e->code;
    if (o->shards)
        remote_points_part(&list, o->shard, o->shards);
    struct campaign_request points = *q;
    points.search = &remote_list;
    points.search_options = &list;
    points.rules = (struct stop_rules){0};
    points.points_only = true;
    int rc = campaign_run(&points, out, e);
    remote_points_fini(&list);
    return rc;
}

static int run_ask(const struct slurm_options *o, struct campaign_request *q, struct campaign *out,
                   struct err *e)
{
    struct remote_points list = {0};
    q->ask_only = true;
    q->jobs = 0;
    if (campaign_run(q, out, e) < 0)
        return e->code;
    for (int64_t i = 0; i < out->n_missing; i++)
        remote_points_add(&list, &out->missing[i].p);
    int rc = remote_points_write(o->ask, q->space, &list, e);
    remote_points_fini(&list);
    if (rc < 0)
        campaign_fini(out);
    return rc;
}

static int run_slurm(const struct slurm_options *o, struct campaign_request *q,
                     struct campaign *out, struct err *e)
{
    const struct cli_campaign_options *x = o->x;
    const char *word[32 + 2 * sizeof x->common->set / sizeof x->common->set[0]];
    char jobs[16], seed[32], timeout[40];
    int n = 0;
    snprintf(jobs, sizeof jobs, "%d", x->jobs ? x->jobs : 1);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)x->common->seed);
    snprintf(timeout, sizeof timeout, "%.9g", x->timeout_s);
    const char *const always[] = {"explore", q->space->path, "-q", "-j", jobs, "--seed", seed};
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        word[n++] = always[i];
    if (x->timeout_s > 0) {
        word[n++] = "--timeout";
        word[n++] = timeout;
    }
    if (x->model) {
        word[n++] = "-M";
        word[n++] = x->model;
    }
    if (x->soc) {
        word[n++] = "--soc";
        word[n++] = x->soc;
    }
    for (int i = 0; i < x->common->n_set; i++) {
        word[n++] = "-s";
        word[n++] = x->common->set[i];
    }
    struct slurm *s;
    if (slurm_open(o, x->out, q->space->name, x->jobs, word, n, x->common->quiet, &s, e) < 0)
        return e->code;
    q->progress = NULL; // of replays: they take no time
    struct remote_request r = {.campaign = *q,
                               .scheduler = slurm_scheduler(s),
                               .folder = slurm_folder(s),
                               .tasks = o->tasks,
                               .chunk = o->chunk,
                               .first = slurm_first_round(s),
                               .tries = o->tries};
    int rc = remote_run(&r, out, e);
    slurm_close(s, rc >= 0 && !out->interrupted);
    return rc;
}

static int run(void *user, struct campaign_request *q, struct campaign *out, struct err *e)
{
    const struct slurm_options *o = user;
    return o->on    ? run_slurm(o, q, out, e)
           : o->ask ? run_ask(o, q, out, e)
                    : run_points(o, q, out, e);
}

int slurm_prepare(struct slurm_options *o, struct cli_campaign_options *x, struct err *e)
{
    if (!o->on && !o->ask && !o->points)
        return 0;
    if (!x->out)
        return err_set(e, ERR_USAGE, "%s needs a store: give it with -o",
                       o->on    ? "--slurm"
                       : o->ask ? "--ask"
                                : "--points");
    if (x->rules.seconds > 0)
        return err_set(e, ERR_USAGE, "--seconds is for a campaign on this machine; use --budget");
    x->run = run;
    x->user = o;
    o->x = x;
    return 0;
}

bool slurm_is_part(const struct slurm_options *o, const struct cli_campaign *x)
{
    return o->points || (o->ask && x->c.n_missing);
}

int slurm_part_report(const struct slurm_options *o, const struct cli_campaign *x)
{
    const struct campaign *c = &x->c;
    if (o->ask) {
        printf("%lld points to evaluate in %s, %lld are known\n", (long long)c->n_missing, o->ask,
               (long long)c->count);
        return c->interrupted ? EXIT_INTERRUPT : EXIT_OK;
    }
    printf("%lld points in %s, %lld of them were there already", (long long)c->count, o->x->out,
           (long long)c->cached);
    if (c->crashed + c->hung)
        printf(", %lld crashed or hung", (long long)(c->crashed + c->hung));
    printf("\n");
    return c->interrupted ? EXIT_INTERRUPT : EXIT_OK;
}
