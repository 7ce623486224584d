// SPDX-License-Identifier: GPL-3.0-or-later
// Kinds of experiment that plan or run whole sessions: what a solver picks for an operator, and any
// number of a session, alone or relative to other sessions.
//
// A session is run once per world and kept under everything that it was asked to do. It is profiled
// and run exactly as `partita sim` does, so that a row can be repeated by hand.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/profile.h"
#include "explore/experiment_internal.h"

struct used_session {
    char *key;
    struct session_result result; // without tokens
    struct used_session *next;
};

void experiment_forget_sessions(struct experiments *x)
{
    while (x->sessions) {
        struct used_session *u = x->sessions;
        x->sessions = u->next;
        free(u->key);
        free(u);
    }
}

// --- a run: one prompt of one model under one setup

struct resolved {
    const struct setup *s;
    const char *model, *policy, *sync, *plan_sync;
    int prompt;
    bool isolated; // operators are profiled alone on an idle device
};

static int resolve(struct experiments *x, const struct setup *s, const char *model, int prompt,
                   struct resolved *out, struct err *e)
{
    const char *policy = s->policy, *sync = s->sync, *theirs[2];
    if (*s->engine && (!*policy || !*sync)) {
        if (x->world->engine(x->world, s->engine, &theirs[0], &theirs[1], e) < 0)
            return e->code;
        policy = *policy ? policy : theirs[0];
        sync = *sync ? sync : theirs[1];
    }
    if (!*policy || !*sync)
        return err_set(e, ERR_CONFIG, "no %s, neither here nor in defaults",
                       *policy ? "sync" : "policy");
    *out = (struct resolved){s,      model, policy, sync, *s->plan_sync ? s->plan_sync : sync,
                             prompt, false};
    return 0;
}

// Machine, cost table and request of a run; the arena holds the options.
struct stage {
    struct arena arena;
    struct cost_table *cost;
    struct session_request q;
};

static void clear(struct stage *g)
{
    cost_destroy(g->cost);
    arena_fini(&g->arena);
}

// The machine that is profiled: at flow level, which is what policies know of it.
static int profiled_machine(struct experiments *x, const struct setup *s, struct machine **out,
                            struct err *e)
{
    struct setup flow = *s;
    if (flow.set.n == (int)(sizeof flow.set.v / sizeof flow.set.v[0]))
        return err_set(e, ERR_CONFIG, "too many overrides");
    flow.set.v[flow.set.n++] = "detail=flow";
    return experiment_machine(x, &flow, out, e);
}

static int measure(struct machine *m, const struct resolved *r, const struct session_request *q,
                   struct cost_table *t, struct err *e)
{
    struct profile_request p;
    if (!r->isolated)
        return session_profile(m, q->model, q->n_prompt, q->n_gen, t, e);
    profile_default(m, q->n_prompt, q->n_prompt + q->n_gen, &p);
    p.isolated = true;
    return profile_run(m, q->model, &p, t, e);
}

static int set_up(struct experiments *x, const struct resolved *r, struct stage *g, struct err *e)
{
    struct machine_desc d;
    struct machine *bench;
    const struct sync_ops *costs;
    const void *costs_options;
    struct session_request *q = &g->q;
    *g = (struct stage){
        .cost = cost_create(),
        .q = {.n_prompt = r->prompt, .n_gen = (int)r->s->gen, .sampler = {.top_p = 1}}};
    arena_init(&g->arena);
    if (experiment_model(x, r->s, r->model, &q->model, e) < 0 ||
        policy_parse(r->policy, &g->arena, &q->policy, &q->policy_options, e) < 0 ||
        sync_parse(r->sync, &g->arena, &q->sync, &q->sync_options, e) < 0 ||
        sync_parse(r->plan_sync, &g->arena, &costs, &costs_options, e) < 0 ||
        experiment_machine(x, r->s, &q->machine, e) < 0 || profiled_machine(x, r->s, &bench, e) < 0)
        goto fail;
    machine_describe(q->machine, &d);
    if (q->sync->offered(&d, q->sync_options, e) < 0 || costs->offered(&d, costs_options, e) < 0 ||
        measure(bench, r, q, g->cost, e) < 0 ||
        profile_sync(bench, q->model, costs, costs_options, q->n_prompt, g->cost, e) < 0)
        goto fail;
    q->cost = g->cost;
    return 0;
fail:
    clear(g);
    return e->code;
}

static const struct session_result *run(struct experiments *x, const struct resolved *r,
                                        struct err *e)
{
    char key[2048];
    size_t at =
        (size_t)snprintf(key, sizeof key, "%s|%s|%s|%s|%s|%s|%d|%d", r->s->soc, r->s->engine,
                         r->model, r->policy, r->sync, r->plan_sync, r->prompt, (int)r->s->gen);
    for (int i = 0; i < r->s->set.n && at < sizeof key; i++)
        at += (size_t)snprintf(key + at, sizeof key - at, "|%s", r->s->set.v[i]);
    if (at >= sizeof key) {
        err_set(e, ERR_CONFIG, "the description of one run is too long");
        return NULL;
    }
    for (struct used_session *u = x->sessions; u; u = u->next)
        if (!strcmp(u->key, key))
            return &u->result;
    struct stage g;
    struct used_session *u = calloc(1, sizeof *u);
    if (!u || !(u->key = strdup(key)))
        abort();
    int rc = set_up(x, r, &g, e);
    if (rc == 0) {
        rc = session_run(&g.q, &u->result, e);
        clear(&g);
    }
    if (rc < 0) {
        free(u->key);
        free(u);
        return NULL;
    }
    free(u->result.tokens);
    u->result.tokens = NULL;
    u->next = x->sessions;
    x->sessions = u;
    return &u->result;
}

// --- numbers of a session

#define RESULT(field) offsetof(struct session_result, field)

const struct session_metric session_metrics[] = {
    {"prefill_tok_s", DIM_TOKENS, 1, true, RESULT(prefill_tok_s), 0},
    {"decode_tok_s", DIM_TOKENS, 1, true, RESULT(decode_tok_s), 0},
    {"ttft_ms", DIM_TIME, (double)PS_PER_MS, false, RESULT(ttft_ms), 0},
    {"tpot_ms", DIM_TIME, (double)PS_PER_MS, false, RESULT(tpot_ms), 0},
    {"total_ms", DIM_TIME, (double)PS_PER_MS, false, RESULT(total_ms), 0},
    {"prepare_ms", DIM_TIME, (double)PS_PER_MS, false, RESULT(prepare_ms), 0},
    {"prepare_share", DIM_RATIO, 1, false, RESULT(prepare_ms), RESULT(ttft_ms)},
    {"power_prefill_w", DIM_POWER, 1, false, RESULT(power_prefill_w), 0},
    {"energy_j", DIM_ENERGY, 1, false, RESULT(energy_j), 0},
    {"fps_prefill", DIM_FRAMES, 1, true, RESULT(frames_prefill.rate), 0},
    {"fps_decode", DIM_FRAMES, 1, true, RESULT(frames_decode.rate), 0},
    {"decode_gb_s", DIM_BANDWIDTH, 1e9, true, RESULT(decode_gb_s), 0},
};
enum { METRICS = sizeof session_metrics / sizeof session_metrics[0] };
const int session_n_metrics = METRICS;

const struct session_metric *session_metric_find(const char *name, struct err *e)
{
    const char *names[METRICS];
    for (int i = 0; i < METRICS; i++) {
        names[i] = session_metrics[i].name;
        if (!strcmp(name, names[i]))
            return &session_metrics[i];
    }
    const char *near = err_nearest(name, names, METRICS);
    err_at(e, ERR_CONFIG, NULL, 0, "metric", "no such metric \"%.60s\"%s%s%s", name,
           near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return NULL;
}

static double number_at(const struct session_result *r, size_t offset)
{
    double v;
    memcpy(&v, (const char *)r + offset, sizeof v);
    return v;
}

static int value_of(struct experiments *x, const struct setup *s, const char *model, int prompt,
                    const struct session_metric *metric, double *out, struct err *e)
{
    struct resolved r;
    if (resolve(x, s, model, prompt, &r, e) < 0)
        return e->code;
    const struct session_result *result = run(x, &r, e);
    if (!result)
        return e->code;
    double v = number_at(result, metric->offset) * metric->base;
    *out = metric->divisor ? v / number_at(result, metric->divisor) : v;
    return isfinite(*out)
               ? 0
               : err_set(e, ERR_UNSUPPORTED, "a session of %d tokens on this machine has no %s",
                         (int)s->gen, metric->name);
}

// --- session

static double related(int form, bool rate, double value, double other)
{
    double faster = rate ? value / other : other / value;
    return form == FORM_SPEEDUP ? faster : form == FORM_SLOWDOWN ? 1 - faster : 1 - value / other;
}

static int session_dimension(const struct experiment *x, struct err *e)
{
    enum dimension d = DIM_RATIO;
    if (x->metric.n == 0 || x->at.model.n == 0 || x->at.prompt.n == 0)
        return err_at(e, ERR_CONFIG, NULL, 0,
                      x->metric.n == 0     ? "metric"
                      : x->at.model.n == 0 ? "model"
                                           : "prompt",
                      "a session needs a metric, a model and a prompt, here or in defaults");
    for (int i = 0; i < x->metric.n; i++) {
        const struct session_metric *m = session_metric_find(x->metric.v[i], e);
        if (!m)
            return e->code;
        if (i && !x->n_over && m->dimension != d)
            return err_at(e, ERR_CONFIG, NULL, 0, "metric", "metrics of different dimensions");
        d = m->dimension;
    }
    return x->n_over ? DIM_RATIO : d;
}

// Every combination of metric, model, prompt and run to compare with gives a number.
static int session_predict(struct experiments *x, const struct experiment *y,
                           struct prediction *out, struct err *e)
{
    double sum = 0, most = -INFINITY;
    int count = 0;
    for (int i = 0; i < y->metric.n; i++)
        for (int j = 0; j < y->at.model.n; j++)
            for (int l = 0; l < y->at.prompt.n; l++) {
                const struct session_metric *metric = session_metric_find(y->metric.v[i], e);
                const char *model = y->at.model.v[j];
                int prompt = (int)y->at.prompt.v[l];
                double value, other;
                if (!metric || value_of(x, &y->at, model, prompt, metric, &value, e) < 0)
                    return e->code;
                for (int o = 0; o < (y->n_over ? y->n_over : 1); o++) {
                    double v = value;
                    if (y->n_over) {
                        const struct setup *s = &y->over[o];
                        const char *its = s->model.n ? s->model.v[0] : model;
                        if (value_of(x, s, its, prompt, metric, &other, e) < 0)
                            return e->code;
                        v = related(y->form, metric->rate, value, other);
                    }
                    sum += v;
                    most = fmax(most, v);
                    count++;
                }
            }
    out->value = y->reduce == REDUCE_LARGEST ? most : sum / count;
    return 0;
}

static const struct conf_row session_rows[] = {
    {.name = "metric",
     .type = CONF_STRING_LIST,
     .doc = "numbers of a session",
     .offset = offsetof(struct experiment, metric)},
    {.name = "over",
     .type = CONF_GROUP,
     .choices = "list",
     .doc = "runs that this one is compared with; each key that is not written is this run's"},
    {.name = "form",
     .type = CONF_ENUM,
     .fallback = "speedup",
     .choices = "speedup|slowdown|saving",
     .doc = "with over: how many times faster; the fraction of the speed that is lost; the "
            "fraction that is saved",
     .offset = offsetof(struct experiment, form)},
    {.name = "reduce",
     .type = CONF_ENUM,
     .fallback = "mean",
     .choices = "mean|largest",
     .doc = "of several metrics, models, prompts or runs to compare with",
     .offset = offsetof(struct experiment, reduce)},
};

const struct experiment_kind kind_session = {
    .name = "session",
    .doc = "a number of a whole run, alone or relative to other runs",
    .rows = session_rows,
    .n_rows = sizeof session_rows / sizeof session_rows[0],
    .runs = true,
    .dimension = session_dimension,
    .predict = session_predict,
};

// --- strategy

static int strategy_dimension(const struct experiment *x, struct err *e)
{
    if (x->n.n == 0 || x->at.model.n != 1)
        return err_at(e, ERR_CONFIG, NULL, 0, x->n.n ? "model" : "n",
                      "a strategy is asked for one model and at least one n");
    return DIM_TEXT;
}

static int pick(struct experiments *x, const struct experiment *y, int n, char *text, size_t size,
                struct err *e)
{
    struct resolved r;
    struct stage g;
    struct machine_desc d;
    struct graph graph;
    struct plan plan;
    if (resolve(x, &y->at, y->at.model.v[0], n, &r, e) < 0)
        return e->code;
    r.isolated = y->profile == PROFILE_ISOLATED;
    if (set_up(x, &r, &g, e) < 0)
        return e->code;
    // Isolated profiles know of no company: no chains, no contention.
    struct cost_overheads *o = cost_overheads(g.cost);
    for (int i = 0; r.isolated && i < MACHINE_MAX_DEVICES; i++)
        o->split[i] = -1, o->together[i] = o->together_many[i] = 1;
    graph_build(g.q.model, n, 0, &graph);
    machine_describe(g.q.machine, &d);
    const struct op *op = graph_find(&graph, y->operator);
    int rc = 0;
    if (!op || op->kind != OP_MATMUL)
        rc = err_set(e, ERR_CONFIG, "no matmul \"%.40s\"; expected q, kv, o, gate_up or down",
                     y->operator);
    else
        rc = g.q.policy->plan(&graph, &d, g.cost, g.q.policy_options, &plan, e);
    if (rc == 0) {
        plan_strategy(&plan.step[0].op[op->index], op, plan.step[0].n1 - plan.step[0].n0, &d,
                      (int)y->ratio_parts, text, size);
        plan_fini(&plan);
    }
    clear(&g);
    return rc;
}

// Adds an answer that is not there yet; what does not fit ends in dots.
static void add_answer(char *list, size_t size, const char *text)
{
    static const char more[] = " ...";
    for (const char *at = list; (at = strstr(at, text)); at++) {
        char end = at[strlen(text)];
        if ((at == list || at[-1] == ' ') && (!end || end == ' '))
            return;
    }
    size_t used = strlen(list), room = size - sizeof more;
    if (used + strlen(text) + 3 <= room)
        strcat(strcat(list, used ? " | " : ""), text);
    else if (used < sizeof more || strcmp(list + used - (sizeof more - 1), more))
        strcat(list, more);
}

// One answer for all n, or all that came out.
static int strategy_predict(struct experiments *x, const struct experiment *y,
                            struct prediction *out, struct err *e)
{
    out->is_text = true;
    for (int i = 0; i < y->n.n; i++) {
        char text[EXPERIMENT_TEXT];
        if (pick(x, y, (int)y->n.v[i], text, sizeof text, e) < 0)
            return e->code;
        add_answer(out->text, sizeof out->text, text);
    }
    return 0;
}

static const struct conf_row strategy_rows[] = {
    {.name = "operator",
     .type = CONF_STRING,
     .doc = "matmul of the model's graph: q, kv, o, gate_up, down",
     .offset = offsetof(struct experiment, operator)},
    {.name = "n",
     .type = CONF_INT_LIST,
     .min = 1,
     .max = 65536,
     .doc = "tokens; the strategy must be the same for all",
     .offset = offsetof(struct experiment, n)},
    {.name = "ratio_parts",
     .type = CONF_INT,
     .fallback = "8",
     .min = 2,
     .max = 100,
     .doc = "ratios are given in whole numbers that add up to at most this",
     .offset = offsetof(struct experiment, ratio_parts)},
    {.name = "profile",
     .type = CONF_ENUM,
     .fallback = "streamed",
     .choices = "streamed|isolated",
     .doc = "what the cost table holds: operators in a queue that is never empty, or alone on a "
            "device that was idle",
     .offset = offsetof(struct experiment, profile)},
};

const struct experiment_kind kind_strategy = {
    .name = "strategy",
    .doc = "what the policy picks for one matmul, as plans are printed",
    .rows = strategy_rows,
    .n_rows = sizeof strategy_rows / sizeof strategy_rows[0],
    .runs = true,
    .dimension = strategy_dimension,
    .predict = strategy_predict,
};
