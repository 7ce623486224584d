// SPDX-License-Identifier: GPL-3.0-or-later
// partita validate: the best configurations of an exploration, run for real, beside what their
// plans predict.
#include "explore/validate.h"
#include "cli/explore.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "explore/store.h"

struct validate_options {
    struct common c;
    const char *what, *encoding;
    int top, repeat, prompt, gen, campaign;
    bool per_policy;
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
    KEY_CAMPAIGN
};

static const struct argp_option options[] = {
    {"model", 'M', "MODEL", 0, "a GGUF file, or a shape that gets generated weights (required)", 0},
    {"machine", 'm', "MACHINE", 0, "where to run: host (default), or soc:NAME", 0},
    {"top", KEY_TOP, "K", 0, "how many configurations (default 5)", 0},
    {"per-policy", KEY_PER_POLICY, 0, 0, "of each policy only its best configuration", 0},
    {"campaign", KEY_CAMPAIGN, "N", 0, "of a store: campaign N (default: the last)", 0},
    {"repeat", KEY_REPEAT, "R", 0, "rounds; medians are reported (default 3)", 0},
    {"prompt", KEY_PROMPT, "N", 0, "prompt tokens (default: the exploration's)", 0},
    {"gen", KEY_GEN, "N", 0, "tokens to generate (default: the exploration's)", 0},
    {"encoding", KEY_ENCODING, "NAME", 0, "encoding of generated weights (default Q4_0)", 0},
    {"set", 's', "KEY=VALUE", 0, "override a key of the machine's configuration", 0},
    {"seed", KEY_SEED, "SEED", 0, "seed of generated weights (default 0)", 0},
    {"json", KEY_JSON, 0, 0, "print the result as JSON", 0},
    {"quiet", 'q', 0, 0, "no progress", 0},
    {0},
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct validate_options *o = state->input;
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
        if (!strchr(arg, '='))
            argp_error(state, "--set wants KEY=VALUE, found \"%s\"", arg);
        if (o->c.n_set == (int)(sizeof o->c.set / sizeof o->c.set[0]))
            argp_error(state, "too many --set");
        o->c.set[o->c.n_set++] = arg;
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
    "Runs the best configurations of an exploration on a real machine and compares with what their "
    "plans predict from a profile of that machine. A space (default quick) is explored first; the "
    "store of an exploration is taken as it is, and keeps what was measured.\vExample: partita "
    "validate quick --model "
    "tinyllama-1.1b --prompt 128 --gen 16 --top 5",
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
};

// Fills the configurations of q from rows that are ranked; strings in the arena.
static int pick(const struct validate_options *o, const struct campaign_row *row, int n,
                const enum metric *objective, int n_objectives, struct arena *a,
                struct validate_request *q, struct source *from, struct err *e)
{
    struct ranking r;
    ranking_make(row, n, objective, n_objectives, &r);
    q->n = validate_pick(row, r.order, n, o->top, o->per_policy, q->policy, q->sync);
    for (int i = 0; i < q->n; i++)
        for (int k = n - 1; k >= 0; k--) // the best ranked of those with these names
            if (!strcmp(row[r.order[k]].policy, q->policy[i]) &&
                !strcmp(row[r.order[k]].sync, q->sync[i]))
                from->key[i] = row[r.order[k]].key;
    ranking_fini(&r);
    for (int i = 0; i < q->n; i++) {
        q->policy[i] = arena_strdup(a, q->policy[i]);
        q->sync[i] = arena_strdup(a, q->sync[i]);
    }
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
                                           .predicted_ttft_ms = row->predicted_ttft_ms,
                                           .ttft_ms = row->ttft_ms,
                                           .ttft_spread = row->ttft_spread,
                                           .predicted_tpot_ms = row->predicted_tpot_ms,
                                           .tpot_ms = row->tpot_ms,
                                           .tpot_spread = row->tpot_spread};
        if (row->ok)
            rc = store_add_validation(s, from->campaign, &v, e);
    }
    struct err late = {0};
    return store_close(s, rc < 0 ? &late : e) < 0 || rc < 0 ? e->code : 0;
}

// --- the report

static void cell(double v, const char *format, int width)
{
    char text[32] = "-";
    if (!isnan(v))
        snprintf(text, sizeof text, "%.2f", v);
    if (!isnan(v) && *format == '%')
        snprintf(text, sizeof text, "%+.0f %%", v * 100);
    printf("  %*s", width, text);
}

static void print_tau(const char *what, double tau)
{
    if (isnan(tau))
        printf("  %s: too few different values to compare the orders\n", what);
    else
        printf("  %s: Kendall's tau %.2f\n", what, tau);
}

static void print(const struct validate_request *q, const struct validate_result *r)
{
    int wp = 6, ws = 4;
    for (int i = 0; i < r->n; i++) {
        wp = (int)strlen(q->policy[i]) > wp ? (int)strlen(q->policy[i]) : wp;
        ws = (int)strlen(q->sync[i]) > ws ? (int)strlen(q->sync[i]) : ws;
    }
    printf("%s, %d prompt tokens + %d generated, on %s; medians of %d\n\n", q->model->shape.name,
           q->n_prompt, q->n_gen, r->machine, r->repeats);
    printf("rank  %-*s  %-*s  %-30s  %-30s\n", wp, "", ws, "", "       TTFT ms", "       TPOT ms");
    printf("      %-*s  %-*s  %9s  %9s  %8s  %9s  %9s  %8s\n", wp, "policy", ws, "sync",
           "predicted", "measured", "error", "predicted", "measured", "error");
    for (int i = 0; i < r->n; i++) {
        const struct validate_row *row = &r->row[i];
        printf("%4d  %-*s  %-*s", i + 1, wp, q->policy[i], ws, q->sync[i]);
        if (row->ok) {
            cell(row->predicted_ttft_ms, "", 9);
            cell(row->ttft_ms, "", 9);
            cell(row->ttft_error, "%", 8);
            cell(row->predicted_tpot_ms, "", 9);
            cell(row->tpot_ms, "", 9);
            cell(row->tpot_error, "%", 8);
            printf("\n");
        } else {
            printf("  cannot: %s\n", row->reason);
        }
    }
    printf(
        "\nDo predicted and measured times put the configurations in the same order? (1: the same, "
        "0: unrelated)\n");
    print_tau("first token", r->ttft_tau);
    print_tau("per further token", r->tpot_tau);
}

static void json(const struct validate_request *q, const struct validate_result *r)
{
    struct json j;
    json_begin(&j, stdout, true);
    json_object_begin(&j, NULL);
    json_str(&j, "machine", r->machine);
    json_str(&j, "model", q->model->shape.name);
    json_i64(&j, "n_prompt", q->n_prompt);
    json_i64(&j, "n_gen", q->n_gen);
    json_i64(&j, "repeats", r->repeats);
    json_f64(&j, "ttft_tau", r->ttft_tau);
    json_f64(&j, "tpot_tau", r->tpot_tau);
    json_array_begin(&j, "configurations");
    for (int i = 0; i < r->n; i++) {
        const struct validate_row *row = &r->row[i];
        json_object_begin(&j, NULL);
        json_i64(&j, "rank", i + 1);
        json_str(&j, "policy", q->policy[i]);
        json_str(&j, "sync", q->sync[i]);
        json_bool(&j, "ok", row->ok);
        json_str(&j, "reason", row->ok ? NULL : row->reason);
        json_f64(&j, "predicted_ttft_ms", row->predicted_ttft_ms);
        json_f64(&j, "ttft_ms", row->ttft_ms);
        json_f64(&j, "ttft_error", row->ttft_error);
        json_f64(&j, "ttft_spread", row->ttft_spread);
        json_f64(&j, "predicted_tpot_ms", row->predicted_tpot_ms);
        json_f64(&j, "tpot_ms", row->tpot_ms);
        json_f64(&j, "tpot_error", row->tpot_error);
        json_f64(&j, "tpot_spread", row->tpot_spread);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_object_end(&j);
    json_end(&j);
}

static void show(void *user, int done, int total)
{
    (void)user;
    fprintf(stderr, "\r\033[K%d of %d runs", done, total);
    if (done == total)
        fprintf(stderr, "\r\033[K");
    fflush(stderr);
}

// --- running

static int run(const struct validate_options *o, struct validate_request *q, struct model *m,
               struct validate_result *r, struct err *e)
{
    struct cli_factory f;
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
    int32_t *prompt = calloc((size_t)q->n_prompt, sizeof *prompt); // any tokens will do
    for (int i = 0; prompt && i < q->n_prompt; i++)
        prompt[i] = i % m->shape.n_vocab;
    q->factory = &f.base; // cppcheck-suppress autoVariables ; q is done with before f is
    q->model = m;
    q->prompt = f.soc ? NULL : prompt;
    q->repeats = o->repeat;
    q->seed = o->c.seed;
    q->stop = &cli_stop;
    q->progress = cli_show_progress(&o->c) ? show : NULL;
    cli_catch_stop();
    int rc = validate_run(q, r, e);
    free(prompt);
    return rc;
}

int cmd_validate(int argc, char **argv)
{
    struct validate_options o = {.what = NULL, .encoding = "Q4_0", .top = 5, .repeat = 3};
    struct validate_request q = {0};
    static struct validate_result r;
    struct source from = {0};
    struct model *m = NULL;
    struct arena a;
    struct err e = {0};
    common_init(&o.c);
    cli_parse(&argp, argc, argv, &o);
    o.what = o.what ? o.what : "quick";
    arena_init(&a);
    int rc = cli_model_open(o.c.model, &m, &e);
    if (rc >= 0)
        rc = choose_configurations(&o, &a, &q, &from, &e);
    if (rc >= 0 && !cli_stop)
        rc = run(&o, &q, m, &r, &e);
    if (rc >= 0 && from.store && r.repeats)
        rc = keep(&o, &from, &q, &r, &e);
    if (rc >= 0 && o.c.json)
        json(&q, &r);
    else if (rc >= 0)
        print(&q, &r);
    rc = rc < 0 ? cli_fail(&e) : cli_stop ? EXIT_INTERRUPT : EXIT_OK;
    if (m)
        model_close(m);
    arena_fini(&a);
    return rc;
}
