// SPDX-License-Identifier: GPL-3.0-or-later
// partita gate: does this program, with these configurations, still give what a baseline holds?
//
// A store carries the text of its spaces, so the baseline alone says what to evaluate. Each of its
// points (or a choice of them) is evaluated again and the two sets are compared as diff does it.
#include <stdlib.h>
#include <string.h>
#include "base/version.h"
#include "cli/diff.h"
#include "cli/explore.h"
#include "explore/remote.h"
#include "explore/space_find.h"
#include "explore/store.h"

struct gate_options {
    struct common c;
    struct diff d;
    const char *baseline, *campaign, *model, *out, *markdown, *junit;
    int jobs, best, sample;
};

enum {
    KEY_CAMPAIGN = 3200,
    KEY_TOLERANCE,
    KEY_TOP,
    KEY_SAMPLE,
    KEY_STRICT,
    KEY_JSON,
    KEY_MARKDOWN,
    KEY_JUNIT,
    KEY_SHOW,
    KEY_SEED
};

static const struct argp_option options[] = {
    {"campaign", KEY_CAMPAIGN, "NAME", 0, "only this campaign, by space or number", 0},
    {"top", KEY_TOP, "K", 0, "only the K best points", 0},
    {"sample", KEY_SAMPLE, "N", 0, "only N points, spread over all of them", 0},
    {"tolerance", KEY_TOLERANCE, "[METRIC=]SHARE", 0,
     "a relative change that is no movement (default 0.5%); with METRIC= of this one only", 0},
    {"strict", KEY_STRICT, 0, 0, "fail on every movement, also to the better, and other plans", 0},
    {"jobs", 'j', "N", 0, "worker processes (default: one per core)", 0},
    {"output", 'o', "FILE", 0, "keep the new results in this store", 0},
    {"model", 'M', "MODEL", 0, "the baseline's model, where it was not the space's", 0},
    {"set", 's', "KEY=VALUE", 0, "override a key of the machine's configuration", 0},
    {"seed", KEY_SEED, "SEED", 0, "seed of generated weights on a real machine (default 0)", 0},
    {"show", KEY_SHOW, "K", 0, "show the K points that moved most (default 20; 0: all)", 0},
    {"json", KEY_JSON, 0, 0, "print the result as JSON", 0},
    {"markdown", KEY_MARKDOWN, "FILE", 0, "also write a summary as Markdown", 0},
    {"junit", KEY_JUNIT, "FILE", 0, "also write JUnit XML, one test case per point", 0},
    {"quiet", 'q', 0, 0, "no progress", 0},
    {0},
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct gate_options *o = state->input;
    switch (key) {
    case KEY_CAMPAIGN:
        o->campaign = arg;
        break;
    case KEY_TOP:
        o->best = cli_whole(state, "--top", arg, 1, 1000000000);
        break;
    case KEY_SAMPLE:
        o->sample = cli_whole(state, "--sample", arg, 1, 1000000000);
        break;
    case KEY_TOLERANCE:
        diff_tolerance(&o->d, state, arg);
        break;
    case KEY_STRICT:
        o->d.strict = true;
        break;
    case 'j':
        o->jobs = cli_whole(state, "-j", arg, 1, CAMPAIGN_MAX_JOBS);
        break;
    case 'o':
        o->out = arg;
        break;
    case 'M':
        o->model = arg;
        break;
    case 's':
        cli_set(state, &o->c, arg);
        break;
    case KEY_SEED:
        o->c.seed = (uint64_t)cli_whole(state, "--seed", arg, 0, INT32_MAX);
        break;
    case KEY_SHOW:
        o->d.top = cli_whole(state, "--show", arg, 0, 1000000);
        break;
    case KEY_JSON:
        o->c.json = true;
        break;
    case KEY_MARKDOWN:
        o->markdown = arg;
        break;
    case KEY_JUNIT:
        o->junit = arg;
        break;
    case 'q':
        o->c.quiet = true;
        break;
    case ARGP_KEY_ARG:
        if (o->baseline)
            argp_error(state, "one baseline at a time: found \"%s\" and \"%s\"", o->baseline, arg);
        o->baseline = arg;
        break;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which baseline? A store that partita explore -o has written");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    option,
    "BASELINE.db",
    "Evaluates the points of a store again, with this program and the configurations that are here "
    "now, and fails when a metric got worse.\vExit code: 0 passed, 1 something is worse beyond the "
    "tolerance (with --strict: something moved). See docs/ci.md for CI systems.",
    NULL,
    NULL,
    NULL};

// --- which points

// The best by score of those that the front is made of.
static void mark_best(const struct compare_side *s, int k, bool *chosen)
{
    struct ranking r;
    struct campaign_row *row = calloc((size_t)s->n + 1, sizeof *row);
    int64_t *of = calloc((size_t)s->n + 1, sizeof *of);
    int n = 0;
    if (!row || !of)
        abort();
    for (int64_t i = 0; i < s->n; i++)
        if (s->row[i].m.status == METRICS_OK && !(s->row[i].m.violation > 0) &&
            (!s->level || !strcmp(s->level, s->row[i].level))) {
            row[n] = s->row[i];
            of[n++] = i;
        }
    ranking_make(row, n, s->objective, s->n_objectives, &r);
    for (int i = 0; i < k && i < n; i++)
        chosen[of[r.order[i]]] = true;
    ranking_fini(&r);
    free(row);
    free(of);
}

// The side with the chosen rows only.
static struct compare_side choose(const struct gate_options *o, const struct compare_side *s,
                                  struct arena *a)
{
    struct compare_side out = *s;
    if (!o->best && !o->sample)
        return out;
    bool *chosen = ARENA_NEWS(a, (size_t)s->n + 1, bool);
    struct campaign_row *row = ARENA_NEWS(a, (size_t)s->n + 1, struct campaign_row);
    if (o->best)
        mark_best(s, o->best, chosen);
    for (int64_t i = 0; i < o->sample && i < s->n; i++) // rows are in the order of their words
        chosen[o->sample < s->n ? i * s->n / o->sample : i] = true;
    out.n = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (chosen[i])
            row[out.n++] = s->row[i];
    out.row = row;
    return out;
}

// --- evaluating them

struct gate_run {
    struct gate_options *o;
    struct compare_side a, b; // baseline (chosen), now
    struct common common;     // the options, with the baseline's settings below --set
    struct cli_campaign x;
};

static int find_points(const struct space *s, const struct compare_side *a,
                       struct remote_points *out, struct err *e)
{
    struct space_finder *f = space_finder_create(s);
    struct search_point p;
    int rc = 0;
    for (int64_t i = 0; i < a->n && rc == 0; i++) {
        const struct campaign_row *r = &a->row[i];
        if (space_finder_find(f, r->policy, r->sync, r->soc, r->level, &p))
            remote_points_add(out, &p);
        else
            rc = err_set(e, ERR_FORMAT, "the baseline's space does not hold its point %.160s",
                         r->label);
    }
    space_finder_destroy(f);
    return rc;
}

// In place of the campaign's own run: its searcher becomes the list of the baseline's points.
static int run_points(void *user, struct campaign_request *q, struct campaign *out, struct err *e)
{
    struct gate_run *r = user;
    struct remote_points list = {0};
    int rc = 0;
    if (!r->o->model && strcmp(r->x.model->shape.name, r->a.model))
        rc = err_set(e, ERR_USAGE,
                     "the baseline was made with model %.60s, its space says %.60s; "
                     "give it with -M",
                     r->a.model, r->x.model->shape.name);
    if (rc == 0)
        rc = find_points(q->space, &r->a, &list, e);
    struct campaign_request points = *q;
    points.search = &remote_list;
    points.search_options = &list;
    if (rc == 0)
        rc = campaign_run(&points, out, e);
    remote_points_fini(&list);
    return rc;
}

static int evaluate(struct gate_run *r, struct err *e)
{
    struct gate_options *o = r->o;
    struct cli_campaign_options c = {.space = r->a.name,
                                     .text = r->a.text,
                                     .search = "exhaustive",
                                     .jobs = o->jobs,
                                     .out = o->out,
                                     .model = o->model,
                                     .common = &r->common,
                                     .run = run_points,
                                     .user = r};
    if (!*r->a.text)
        return err_at(e, ERR_USAGE, o->baseline, 0, NULL,
                      "the store has points but no campaign, so there is no space to evaluate them "
                      "in");
    r->common = o->c;
    r->common.n_set = 0;
    if (!cli_add_settings(&r->common, r->a.settings, &o->d.arena) ||
        !cli_add_settings(&r->common, cli_settings(&o->c, &o->d.arena), &o->d.arena))
        return err_set(e, ERR_USAGE, "too many --set");
    if (cli_campaign_run(&c, &r->x, e) < 0)
        return e->code;
    r->b = r->a;
    r->b.code = code_version;
    r->b.row = r->x.c.row;
    r->b.n = r->x.c.count;
    return 0;
}

static int gate(struct gate_options *o, struct gate_run *run, struct compare_side *side, int n,
                struct err *e)
{
    for (int i = 0; i < n; i++) {
        run[i].o = o;
        run[i].a = choose(o, &side[i], &o->d.arena);
        if (evaluate(&run[i], e) < 0)
            return cli_fail(e);
        if (run[i].x.c.interrupted)
            return cli_error(EXIT_INTERRUPT, "interrupted");
        diff_add(&o->d, &run[i].a, &run[i].b);
    }
    return diff_report(&o->d, o->c.json, o->markdown, o->junit);
}

int cmd_gate(int argc, char **argv)
{
    struct gate_options o = {0};
    struct compare_side *side = NULL;
    struct store *s;
    struct err e = {0};
    int rc;
    common_init(&o.c);
    diff_init(&o.d);
    o.d.gate = true;
    cli_parse(&argp, argc, argv, &o);
    o.d.name_a = o.baseline;
    o.d.name_b = "this program";
    if (store_open(o.baseline, STORE_READ, &s, &e) < 0)
        return cli_fail(&e);
    int n = compare_sides(s, o.campaign, &o.d.arena, &side, &e);
    err_locate(&e, o.baseline, 0);
    store_close(s, NULL);
    struct gate_run *run = calloc((size_t)(n > 0 ? n : 0) + 1, sizeof *run);
    if (!run)
        abort();
    rc = n < 0 ? cli_fail(&e) : gate(&o, run, side, n, &e);
    for (int i = 0; i < n; i++)
        if (run[i].x.space)
            cli_campaign_close(&run[i].x);
    free(run);
    diff_fini(&o.d);
    return rc;
}
