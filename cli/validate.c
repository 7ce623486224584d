// SPDX-License-Identifier: GPL-3.0-or-later
// partita validate: the best configurations of an exploration, run for real, beside what their
// plans predict.
#include "cli/validate.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cli/explore.h"
#include "explore/plot.h"
#include "explore/store.h"

struct validate_options {
    struct common c;
    const char *what, *encoding, *plot, *plan_soc;
    int top, spread, repeat, prompt, gen, campaign; // spread -1: as many as top
    double alike;                                   // a share
    bool per_policy, by_exploration;
    struct validate_limits limits;
    bool limited[VALIDATE_METRICS]; // what the limits are about
};

enum {
    KEY_TOP = 2300,
    KEY_REPEAT,
    KEY_ENCODING,
    KEY_PROMPT,
    KEY_GEN,
    KEY_SEED,
    KEY_JSON,
    KEY_PER_POLICY,
    KEY_CAMPAIGN,
    KEY_SPREAD,
    KEY_PREDICTED,
    KEY_MAX_ERROR,
    KEY_MIN_TAU,
    KEY_MAX_REGRET,
    KEY_LIMIT,
    KEY_PLOT,
    KEY_ALIKE,
    KEY_PLAN_SOC
};

static const struct argp_option options[] = {
    {"model", 'M', "MODEL", 0, "a GGUF file, or a shape that gets generated weights (required)", 0},
    {"machine", 'm', "MACHINE", 0, "where to run: host (default), or soc:NAME", 0},
    {"top", KEY_TOP, "K", 0, "how many of the best configurations (default 5)", 0},
    {"spread", KEY_SPREAD, "K", 0,
     "how many more, spread over the rest of the ranking and over policies (default: as many as "
     "--top)",
     0},
    {"per-policy", KEY_PER_POLICY, 0, 0, "of each policy only its best configuration", 0},
    {"campaign", KEY_CAMPAIGN, "N", 0, "of a store: campaign N (default: the last)", 0},
    {"repeat", KEY_REPEAT, "R", 0,
     "rounds; medians are reported, with intervals (default 3; from 6 on they cover 95 %)", 0},
    {"prompt", KEY_PROMPT, "N", 0, "prompt tokens (default: the exploration's)", 0},
    {"gen", KEY_GEN, "N", 0, "tokens to generate (default: the exploration's)", 0},
    {"encoding", KEY_ENCODING, "NAME", 0, "encoding of generated weights (default Q4_0)", 0},
    {"set", 's', "KEY=VALUE", 0, "override a key of the machine's configuration", 0},
    {"seed", KEY_SEED, "SEED", 0, "seed of generated weights (default 0)", 0},
    {"predicted", KEY_PREDICTED, "BY", 0,
     "what is compared with the measurement: plan (default; from a profile of the machine) or "
     "exploration (its own values, of the same model and lengths)",
     0},
    {"plan-soc", KEY_PLAN_SOC, "SOC", 0,
     "run the plans that are made for this simulated SoC, as an exploration of it did (default: "
     "plans from a profile of the machine)",
     0},
    {"alike", KEY_ALIKE, "PCT", 0,
     "predictions that are nearer than this are the same: of such configurations the best ranked "
     "runs, and their order does not enter tau (default 1)",
     0},
    {"max-error", KEY_MAX_ERROR, "PCT", 0,
     "limit: exit 1 when the median error of the configurations is larger", 0},
    {"min-tau", KEY_MIN_TAU, "TAU", 0, "limit: exit 1 when Kendall's tau is less", 0},
    {"max-regret", KEY_MAX_REGRET, "PCT", 0,
     "limit: exit 1 when the one that is predicted best is that much slower than the best measured",
     0},
    {"limit", KEY_LIMIT, "METRIC", 0,
     "what limits are about: ttft, tpot or total; may be repeated (default: all)", 0},
    {"plot", KEY_PLOT, "FILE", 0,
     "draw predicted over measured, with intervals: .svg, .pdf or .png", 0},
    {"json", KEY_JSON, 0, 0, "print the result as JSON", 0},
    {"quiet", 'q', 0, 0, "no progress", 0},
    {0},
};

// "15", "15%", "15 %", "0.7"
static double number(struct argp_state *state, const char *option, const char *arg, double min,
                     double max, bool per_cent)
{
    char *end;
    errno = 0;
    double v = strtod(arg, &end);
    bool some = end != arg;
    end += per_cent && *end == ' ';
    end += per_cent && *end == '%';
    if (errno || !some || *end || !(v >= min && v <= max))
        argp_error(state, "%s wants a number from %g to %g, found \"%s\"", option, min, max, arg);
    return per_cent ? v / 100 : v;
}

// The index of a word, or a usage error that names the nearest.
static int word(struct argp_state *state, const char *option, const char *arg,
                const char *const *words, int n)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(arg, words[i]))
            return i;
    const char *near = err_nearest(arg, words, (size_t)n);
    argp_error(state, "%s: unknown \"%s\"; did you mean \"%s\"?", option, arg,
               near ? near : words[0]);
    return 0;
}

static error_t option(int key, char *arg, struct argp_state *state)
{
    static const char *const by[] = {"plan", "exploration"};
    struct validate_options *o = state->input;
    struct err e;
    switch (key) {
    case 'M':
        o->c.model = arg;
        break;
    case 'm':
        o->c.machine = arg;
        break;
    case KEY_TOP:
        o->top = cli_whole(state, "--top", arg, 1, VALIDATE_MAX);
        break;
    case KEY_SPREAD:
        o->spread = cli_whole(state, "--spread", arg, 0, VALIDATE_MAX - 1);
        break;
    case KEY_PREDICTED:
        o->by_exploration = word(state, "--predicted", arg, by, 2) == 1;
        break;
    case KEY_PLAN_SOC:
        o->plan_soc = arg;
        break;
    case KEY_ALIKE:
        o->alike = number(state, "--alike", arg, 0, 100, true);
        break;
    case KEY_MAX_ERROR:
        o->limits.max_error = number(state, "--max-error", arg, 0, 1e6, true);
        break;
    case KEY_MIN_TAU:
        o->limits.min_tau = number(state, "--min-tau", arg, -1, 1, false);
        break;
    case KEY_MAX_REGRET:
        o->limits.max_regret = number(state, "--max-regret", arg, 0, 1e6, true);
        break;
    case KEY_LIMIT:
        o->limited[word(state, "--limit", arg, validate_metric_names, VALIDATE_METRICS)] = true;
        break;
    case KEY_PLOT:
        if (plot_check_path(arg, &e) < 0)
            argp_error(state, "--plot %s: %s", arg, e.msg);
        o->plot = arg;
        break;
    case KEY_PER_POLICY:
        o->per_policy = true;
        break;
    case KEY_CAMPAIGN:
        o->campaign = cli_whole(state, "--campaign", arg, 1, 1000000000);
        break;
    case KEY_REPEAT:
        o->repeat = cli_whole(state, "--repeat", arg, 1, VALIDATE_MAX_REPEATS);
        break;
    case KEY_PROMPT:
        o->prompt = cli_whole(state, "--prompt", arg, 1, 1000000);
        break;
    case KEY_GEN:
        o->gen = cli_whole(state, "--gen", arg, 1, 1000000);
        break;
    case KEY_ENCODING:
        o->encoding = arg;
        break;
    case 's':
        cli_set(state, &o->c, arg);
        break;
    case KEY_SEED:
        o->c.seed = (uint64_t)cli_whole(state, "--seed", arg, 0, 2147483647);
        break;
    case KEY_JSON:
        o->c.json = true;
        break;
    case 'q':
        o->c.quiet = true;
        break;
    case ARGP_KEY_ARG:
        if (o->what)
            argp_error(state, "one exploration at a time: found \"%s\" and \"%s\"", o->what, arg);
        o->what = arg;
        break;
    case ARGP_KEY_END:
        if (!o->c.model)
            argp_error(state, "which model? --model takes a GGUF file or a name from partita list "
                              "models");
        if (o->spread > VALIDATE_MAX - o->top)
            argp_error(state, "--top and --spread are at most %d configurations together",
                       VALIDATE_MAX);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    option,
    "[SPACE|RESULTS.db]",
    "Runs the best configurations of an exploration, and some of the rest, on a real machine and "
    "compares with what their plans predict from a profile of that machine. A space (default "
    "quick) is explored first; the store of an exploration is taken as it is, and keeps what was "
    "measured. Configurations take turns; Ctrl-C ends after the last complete round.\vExamples:\n"
    "  partita validate quick --model tinyllama-1.1b --prompt 128 --gen 16 --top 5\n"
    "  partita validate results.db --model demo-60m --repeat 7 --min-tau 0.7 --max-regret 5",
    NULL,
    NULL,
    NULL};

// --- which configurations

static bool ends_in(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n > m && !strcmp(name + n - m, suffix);
}

// Where the configurations came from, so that what is measured can go there.
struct source {
    bool store;
    int64_t campaign;
    uint64_t key[VALIDATE_MAX];
    int n_best, rank[VALIDATE_MAX]; // see struct cli_validation
    const char *model, *workload;   // that were explored
    double ms[VALIDATE_MAX][VALIDATE_METRICS];
};

// Fills the configurations of q from rows that are ranked; strings in the arena.
static int pick(const struct validate_options *o, const struct campaign_row *row, int n,
                const enum metric *objective, int n_objectives, struct arena *a,
                struct validate_request *q, struct source *from, struct err *e)
{
    static const enum metric of[VALIDATE_METRICS] = {METRIC_TTFT, METRIC_TPOT, METRIC_TOTAL};
    int spread = o->spread >= 0 ? o->spread : o->top, place[VALIDATE_MAX] = {0};
    struct ranking r;
    ranking_make(row, n, objective, n_objectives, &r);
    spread = spread < VALIDATE_MAX - o->top ? spread : VALIDATE_MAX - o->top;
    from->n_best = validate_pick(row, r.order, n, o->top, o->per_policy, o->alike, place);
    q->n = validate_spread(row, r.order, n, spread, from->n_best, o->alike, place);
    for (int i = 0; i < q->n; i++) {
        const struct campaign_row *w = &row[r.order[place[i]]];
        q->policy[i] = arena_strdup(a, w->policy);
        q->sync[i] = arena_strdup(a, w->sync);
        from->key[i] = w->key;
        from->rank[i] = place[i] + 1;
        for (int m = 0; m < VALIDATE_METRICS; m++)
            from->ms[i][m] = w->m.value[of[m]];
    }
    ranking_fini(&r);
    return q->n ? 0 : err_set(e, ERR_UNSUPPORTED, "%s: no configuration could run", o->what);
}

// The campaign that was asked for, by its number; the last one when none was.
static const struct store_campaign *choose(const struct validate_options *o,
                                           const struct store_campaign *list, int n, struct err *e)
{
    char known[200] = "";
    for (int i = 0; i < n; i++) {
        size_t at = strlen(known);
        if (o->campaign == list[i].id)
            return &list[i];
        snprintf(known + at, sizeof known - at, "%s%lld (%s)", i ? ", " : "", (long long)list[i].id,
                 list[i].name);
    }
    if (n && !o->campaign)
        return &list[n - 1];
    if (n)
        err_at(e, ERR_USAGE, o->what, 0, NULL, "no campaign %d; there are %s", o->campaign, known);
    else
        err_at(e, ERR_FORMAT, o->what, 0, NULL, "the store has no campaign");
    return NULL;
}

// Rows of the campaign's last level: the count.
static int ranked_rows(struct campaign_row *row, int n)
{
    int to = 0;
    const char *last = n ? row[n - 1].level : "";
    for (int i = 0; i < n; i++)
        if (!strcmp(row[i].level, last))
            row[to++] = row[i];
    return to;
}

static int from_store(const struct validate_options *o, struct arena *a, struct validate_request *q,
                      struct source *from, struct err *e)
{
    struct store *s;
    struct store_campaign *list;
    struct campaign_row *row;
    if (store_open(o->what, STORE_READ, &s, e) < 0)
        return e->code;
    int n = store_campaigns(s, a, &list, e), rc = n;
    const struct store_campaign *c = n < 0 ? NULL : choose(o, list, n, e);
    if (!c || (n = store_rows(s, c->id, a, &row, e)) < 0) {
        rc = e->code;
    } else {
        const char *lengths = strrchr(c->workload, ' '); // "12 requests of up to 256+32"
        lengths = lengths ? lengths + 1 : c->workload;
        from->store = true;
        from->campaign = c->id;
        from->model = c->model;
        from->workload = c->workload;
        if (sscanf(lengths, "%d+%d", &q->n_prompt, &q->n_gen) != 2 || !c->n_objectives)
            rc = err_at(e, ERR_FORMAT, o->what, 0, NULL, "the store is damaged: campaign %lld",
                        (long long)c->id);
        else
            rc = pick(o, row, ranked_rows(row, n), c->objective,
                      c->n_objectives < SEARCH_MAX_OBJECTIVES ? c->n_objectives
                                                              : SEARCH_MAX_OBJECTIVES,
                      a, q, from, e);
    }
    store_close(s, NULL);
    return rc;
}

static int from_space(const struct validate_options *o, struct arena *a, struct validate_request *q,
                      struct source *from, struct err *e)
{
    struct common c = o->c;
    c.n_set = 0; // --set is about the machine that is validated
    struct cli_campaign_options x = {.space = o->what, .search = "exhaustive", .common = &c};
    struct cli_campaign done;
    if (cli_campaign_run(&x, &done, e) < 0)
        return e->code;
    q->n_prompt = done.space->n_prompt;
    q->n_gen = done.space->n_gen;
    from->model = arena_strdup(a, done.space->model);
    from->workload = done.space->n_requests > 1 ? "several requests"
                                                : arena_printf(a, "%d+%d", q->n_prompt, q->n_gen);
    int rc = pick(o, done.row, done.n_rows, done.space->objective, done.space->n_objectives, a, q,
                  from, e);
    cli_campaign_close(&done);
    return rc;
}

static int choose_configurations(const struct validate_options *o, struct arena *a,
                                 struct validate_request *q, struct source *from, struct err *e)
{
    if (ends_in(o->what, ".csv"))
        return err_at(e, ERR_USAGE, o->what, 0, NULL,
                      "a table; validate takes the store of an exploration (partita explore SPACE "
                      "-o FILE.db)");
    if (ends_in(o->what, ".db"))
        return from_store(o, a, q, from, e);
    if (o->campaign)
        return err_set(e, ERR_USAGE, "--campaign is about a store, %s is a space", o->what);
    return from_space(o, a, q, from, e);
}

// What was measured joins the points in the store.
static int keep(const struct validate_options *o, const struct source *from,
                const struct validate_request *q, const struct validate_result *r, struct err *e)
{
    struct store *s;
    if (store_open(o->what, STORE_WRITE, &s, e) < 0)
        return e->code;
    int rc = 0;
    for (int i = 0; rc >= 0 && i < r->n; i++) {
        const struct validate_row *row = &r->row[i];
        const struct store_validation v = {.key = from->key[i],
                                           .policy = q->policy[i],
                                           .sync = q->sync[i],
                                           .machine = r->machine,
                                           .model = q->model->shape.name,
                                           .n_prompt = q->n_prompt,
                                           .n_gen = q->n_gen,
                                           .repeats = r->repeats,
                                           .predicted_ttft_ms = row->v[VALIDATE_TTFT].predicted,
                                           .ttft_ms = row->v[VALIDATE_TTFT].measured,
                                           .ttft_spread = row->v[VALIDATE_TTFT].spread,
                                           .predicted_tpot_ms = row->v[VALIDATE_TPOT].predicted,
                                           .tpot_ms = row->v[VALIDATE_TPOT].measured,
                                           .tpot_spread = row->v[VALIDATE_TPOT].spread};
        if (row->ok)
            rc = store_add_validation(s, from->campaign, &v, e);
    }
    struct err late = {0};
    return store_close(s, rc < 0 ? &late : e) < 0 || rc < 0 ? e->code : 0;
}

// --- progress

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void show(void *user, int done, int total)
{
    double *begin = user;
    fprintf(stderr, "\r\033[K");
    if (!done)
        *begin = seconds();
    if (done < total)
        fprintf(stderr, "%d of %d runs", done, total);
    if (done && done < total) {
        double left = (seconds() - *begin) / done * (total - done);
        fprintf(stderr, left < 90 ? ", %.0f s left" : ", %.0f min left",
                left < 90 ? left : left / 60);
    }
    fflush(stderr);
}

// --- running

// The exploration's own values are comparable when it was about the same work.
static int predict_by_exploration(const struct validate_options *o, struct validate_request *q,
                                  const struct source *from, struct err *e)
{
    char workload[48];
    snprintf(workload, sizeof workload, "%d+%d", q->n_prompt, q->n_gen);
    if (strcmp(workload, from->workload) ||
        (strcmp(from->model, q->model->shape.name) && strcmp(from->model, o->c.model)))
        return err_at(e, ERR_USAGE, o->what, 0, NULL,
                      "--predicted exploration compares equal work: explored was %s, %s, and to be "
                      "run is %s, %s",
                      from->model, from->workload, q->model->shape.name, workload);
    q->predicted = (const double(*)[VALIDATE_METRICS])from->ms;
    return 0;
}

static int run(const struct validate_options *o, struct validate_request *q,
               const struct source *from, struct model *m, struct validate_result *r, struct err *e)
{
    double begin = 0;
    struct cli_factory f, planner;
    struct common plain = o->c; // --set is about the machine that is validated
    char soc[sizeof planner.path];
    plain.n_set = 0;
    snprintf(soc, sizeof soc, "soc:%s", o->plan_soc ? o->plan_soc : "");
    if (o->plan_soc && cli_factory_open(soc, &plain, false, &planner, e) < 0)
        return e->code;
    if (cli_factory_open(o->c.machine, &o->c, false, &f, e) < 0 ||
        (!f.soc && !m->has_data && cli_generate_weights(m, o->encoding, o->c.seed, e) < 0))
        return e->code;
    q->n_prompt = o->prompt ? o->prompt : q->n_prompt;
    q->n_gen = o->gen ? o->gen : q->n_gen;
    if (q->n_prompt + q->n_gen > m->shape.n_ctx && m->shape.n_ctx > q->n_gen && !o->prompt) {
        q->n_prompt = m->shape.n_ctx - q->n_gen;
        fprintf(stderr, "partita: %s was trained for %d tokens; the prompt is cut to %d\n",
                m->shape.name, m->shape.n_ctx, q->n_prompt);
    }
    q->model = m;
    if (o->by_exploration && predict_by_exploration(o, q, from, e) < 0)
        return e->code;
    int32_t *prompt = calloc((size_t)q->n_prompt, sizeof *prompt); // any tokens will do
    for (int i = 0; prompt && i < q->n_prompt; i++)
        prompt[i] = i % m->shape.n_vocab;
    q->factory = &f.base; // cppcheck-suppress autoVariables ; q is done with before f is
    q->planner = o->plan_soc ? &planner.base : NULL;
    q->alike = o->alike;
    q->prompt = f.soc ? NULL : prompt;
    q->repeats = o->repeat;
    q->seed = o->c.seed;
    q->stop = &cli_stop;
    q->progress = cli_show_progress(&o->c) ? show : NULL;
    q->user = &begin; // cppcheck-suppress autoVariables ; q is done with before
    if (q->progress)
        fprintf(stderr, "profiling %s", o->c.machine);
    int rc = validate_run(q, r, e);
    if (q->progress)
        fprintf(stderr, "\r\033[K");
    free(prompt);
    return rc;
}

// Prints, draws, judges; the exit code.
static int report(const struct validate_options *o, const struct validate_request *q,
                  const struct source *from, const struct validate_result *r)
{
    struct validate_verdict v[VALIDATE_METRICS * LIMIT_COUNT];
    struct cli_validation x = {.q = q,
                               .r = r,
                               .n_best = from->n_best,
                               .rank = from->rank,
                               .predicted_by = o->by_exploration ? "exploration" : "plan",
                               .asked = o->repeat,
                               .v = v};
    struct err e = {0};
    x.n_verdicts = validate_judge(r, &o->limits, o->limited, v);
    if (o->c.json)
        cli_validation_json(&x);
    else
        cli_validation_print(&x);
    fflush(stdout);
    int rc = o->plot ? cli_validation_plot(&x, o->plot, &e) : 0;
    int code = cli_validation_limits(&x);
    return rc < 0 ? cli_fail(&e) : cli_stop ? EXIT_INTERRUPT : code;
}

int cmd_validate(int argc, char **argv)
{
    struct validate_options o = {.encoding = "Q4_0",
                                 .top = 5,
                                 .spread = -1,
                                 .repeat = 3,
                                 .alike = VALIDATE_ALIKE,
                                 .limits = {.max_error = NAN, .min_tau = NAN, .max_regret = NAN}};
    struct validate_request q = {0};
    static struct validate_result r;
    struct source from = {0};
    struct model *m = NULL;
    struct arena a;
    struct err e = {0};
    common_init(&o.c);
    cli_parse(&argp, argc, argv, &o);
    o.what = o.what ? o.what : "quick";
    if (!o.limited[VALIDATE_TTFT] && !o.limited[VALIDATE_TPOT] && !o.limited[VALIDATE_TOTAL])
        o.limited[VALIDATE_TTFT] = o.limited[VALIDATE_TPOT] = o.limited[VALIDATE_TOTAL] = true;
    arena_init(&a);
    cli_catch_stop();
    int rc = cli_model_open(o.c.model, &m, &e);
    if (rc >= 0)
        rc = choose_configurations(&o, &a, &q, &from, &e);
    if (rc >= 0 && !cli_stop)
        rc = run(&o, &q, &from, m, &r, &e);
    if (rc >= 0 && from.store && r.repeats)
        rc = keep(&o, &from, &q, &r, &e);
    if (rc < 0)
        rc = cli_fail(&e);
    else if (!r.repeats)
        rc = cli_error(EXIT_INTERRUPT, "stopped before the first round was complete: nothing was "
                                       "measured");
    else
        rc = report(&o, &q, &from, &r);
    if (m)
        model_close(m);
    arena_fini(&a);
    return rc;
}
