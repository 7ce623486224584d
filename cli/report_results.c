// SPDX-License-Identifier: GPL-3.0-or-later
// Out of a store: the campaign that was asked for, and its chosen configurations run once more.
//
// A store keeps metrics, not plans and timelines: they are large, and a simulated machine gives
// them again. Whether it gives the same is checked by the digest of the run, and the report says so
// when it does not.
#include "cli/report.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "explore/space.h"

enum { TRACED_TOKENS = 4 }; // the prefill's and three of the decoding
enum { MOST_PARTS = 64 };   // as optimum_find takes them

// --- the campaign

static int unknown_campaign(const char *path, int64_t id, const struct store_campaign *c, int n,
                            struct err *e)
{
    int64_t near = c[0].id;
    for (int i = 1; i < n; i++)
        if (llabs(c[i].id - id) < llabs(near - id))
            near = c[i].id;
    return err_at(e, ERR_USAGE, path, 0, NULL,
                  "no campaign %lld; the nearest is %lld, and there are %d (%lld to %lld)",
                  (long long)id, (long long)near, n, (long long)c[0].id, (long long)c[n - 1].id);
}

static int choose(const char *path, int64_t id, struct store_campaign *c, int n,
                  struct store_campaign *out, struct err *e)
{
    if (n < 1)
        return err_at(e, ERR_USAGE, path, 0, NULL,
                      "the store holds no campaign yet; partita explore fills it");
    for (int i = n - 1; i >= 0; i--)
        if (id ? c[i].id == id : c[i].count > 0) {
            *out = c[i];
            if (!c[i].count)
                break;
            return 0;
        }
    if (id && out->id != id)
        return unknown_campaign(path, id, c, n, e);
    return err_at(e, ERR_USAGE, path, 0, NULL, "campaign %lld has no point yet",
                  (long long)(id ? id : c[n - 1].id));
}

static int read_all(struct store *s, const char *path, int64_t id, struct cli_results *x,
                    struct err *e)
{
    struct store_campaign *c;
    int n = store_campaigns(s, &x->arena, &c, e);
    if (n < 0 || choose(path, id, c, n, &x->campaign, e) < 0)
        return e->code;
    x->n = store_rows(s, x->campaign.id, &x->arena, &x->row, e);
    x->n_validations = store_validations(s, x->campaign.id, &x->arena, &x->validation, e);
    return x->n < 0 || x->n_validations < 0 ? e->code : 0;
}

int cli_results_open(const char *path, int64_t id, struct cli_results *out, struct err *e)
{
    struct store *s;
    struct err ignored;
    *out = (struct cli_results){.n = 0};
    if (store_open(path, STORE_READ, &s, e) < 0)
        return e->code;
    arena_init(&out->arena);
    int rc = read_all(s, path, id, out, e);
    store_close(s, rc < 0 ? &ignored : e);
    if (rc < 0)
        cli_results_close(out);
    return rc;
}

void cli_results_close(struct cli_results *r)
{
    arena_fini(&r->arena);
    *r = (struct cli_results){.n = 0};
}

// --- running again

struct again {
    char machine[96]; // the first of the campaign's
    const char *settings;
    int n_prompt, n_gen;
    bool whole; // one request on one machine: the store has the digest of just this run
    struct model *model;
};

// The length of the (longest) request, and whether the campaign is of one run per point.
static int read_workload(const struct cli_results *x, struct again *g, struct err *e)
{
    struct space *s;
    int n = 0;
    size_t first = strcspn(x->campaign.machine, ",");
    snprintf(g->machine, sizeof g->machine, "%.*s", (int)first, x->campaign.machine);
    g->whole = !x->campaign.machine[first];
    if (*x->campaign.text && space_open_text(x->campaign.name, x->campaign.text, &s, e) >= 0) {
        g->n_prompt = s->n_prompt;
        g->n_gen = s->n_gen;
        g->whole = g->whole && s->n_requests == 1;
        space_close(s);
        return 0;
    }
    // "256+32", or "8 requests of up to 2704+477" when their file is not at hand.
    const char *plus = strchr(x->campaign.workload, '+'), *from = plus;
    while (from && from > x->campaign.workload && isdigit((unsigned char)from[-1]))
        from--;
    if (plus && sscanf(from, "%d+%d%n", &g->n_prompt, &g->n_gen, &n) == 2 && !from[n] &&
        g->n_prompt > 0 && g->n_gen > 0) {
        g->whole = g->whole && from == x->campaign.workload;
        return 0;
    }
    return err_set(e, ERR_USAGE, "the store does not say how long prompt and generation are");
}

// The campaign's settings, the row's, and its level.
static int overrides(const char *settings, const struct campaign_row *r, struct common *c,
                     struct arena *a, struct err *e)
{
    bool level = r->level && (!strcmp(r->level, "cycle") || !strcmp(r->level, "flow"));
    if (cli_add_settings(c, settings, a) && cli_add_settings(c, r->soc ? r->soc : "", a) &&
        (!level || cli_add_settings(c, arena_printf(a, "detail=%s", r->level), a)))
        return 0;
    return err_set(e, ERR_USAGE, "too many keys of the machine are set");
}

static int stop_after(void *user, int32_t id)
{
    int *tokens = user;
    (void)id;
    return ++*tokens >= TRACED_TOKENS;
}

static int traced(struct report_run *out, const struct session_request *request, struct err *e)
{
    struct session_request q = *request;
    struct session_result short_run;
    int tokens = 0;
    trace_memory_init(&out->trace);
    q.trace = &out->trace.sink;
    q.on_token = stop_after;
    q.user = &tokens;
    int rc = session_run(&q, &short_run, e);
    if (rc < 0) {
        trace_memory_fini(&out->trace);
        return rc;
    }
    session_result_fini(&short_run);
    trace_memory_sort(&out->trace);
    out->traced = true;
    return 0;
}

// A policy that cuts more finely than the optimum does by default is compared with one as fine.
static int parts_of(const char *policy, struct arena *a)
{
    const char *options, *key, *value;
    int parts = OPTIMUM_PARTS;
    report_spec_name(policy, a, &options);
    while (report_next_option(&options, ',', a, &key, &value))
        if (!strcmp(key, "parts") && atoi(value) > parts && atoi(value) <= MOST_PARTS)
            parts = atoi(value);
    return parts;
}

// Beside the run: how far the plan is from the best that its cost model knows. Not knowing it is no
// failure.
static void find_optimum(const struct cli_session *s, int parts, struct report_run *out)
{
    const struct optimum_session q = {s->q.model, &out->machine, s->cost, s->q.n_prompt,
                                      s->q.n_gen};
    struct err ignored;
    if (optimum_find(&q, parts, false, &out->optimum, &ignored) < 0 ||
        optimum_predict(&q, s->q.policy, s->q.policy_options, &out->predicted, &ignored) < 0)
        out->optimum = out->predicted = (struct optimum_times){0, 0};
}

static int run_one(const struct again *g, const struct campaign_row *r, struct report_run *out,
                   struct arena *a, struct err *e)
{
    struct common c;
    struct cli_factory f;
    struct cli_session s;
    common_init(&c);
    c.policy = r->policy;
    c.sync = r->sync;
    if (overrides(g->settings, r, &c, a, e) < 0 ||
        cli_factory_open(g->machine, &c, false, &f, e) < 0 ||
        cli_session_open(&f, &c, g->model, g->n_prompt, g->n_gen, &s, e) < 0)
        return e->code;
    int rc = session_plans_make(&s.q, &out->plans, e);
    if (rc == 0) {
        out->plans_made = true;
        machine_describe(s.machine, &out->machine);
        find_optimum(&s, parts_of(r->policy, a), out);
        rc = session_run(&s.q, &out->result, e);
    }
    if (rc == 0)
        out->differs = g->whole && out->result.digest != r->m.digest;
    if (rc == 0)
        rc = traced(out, &s.q, e);
    // The names in it are the machine's.
    for (int d = 0; out->plans_made && d < out->machine.n_devices; d++)
        out->machine.device[d].name = arena_strdup(a, out->machine.device[d].name);
    cli_session_close(&s);
    return rc;
}

int cli_report_runs(const struct cli_results *x, const int *row, int n, struct report_run *run,
                    struct arena *a, const char **why)
{
    struct err e = {0};
    struct again g = {.settings = x->campaign.settings};
    char text[400];
    *why = NULL;
    if (strncmp(x->campaign.machine, "soc:", 4))
        *why = "The points were measured on hardware: only simulated machines are run again for "
               "plans and timelines.";
    else if (read_workload(x, &g, &e) < 0 || cli_model_open(x->campaign.model, &g.model, &e) < 0)
        *why = arena_printf(a, "Nothing could be run again: %s", err_text(&e, text, sizeof text));
    for (int i = 0; !*why && i < n; i++) {
        run[i] = (struct report_run){.row = row[i],
                                     .n_prompt = g.n_prompt,
                                     .n_gen = g.n_gen,
                                     .n_layer = g.model->shape.n_layer};
        if (run_one(&g, &x->row[row[i]], &run[i], a, &e) < 0)
            err_text(&e, run[i].failed, sizeof run[i].failed);
    }
    if (*why)
        return 0;
    // The graphs in the plans know their model only by pointer; it is not looked at any more.
    model_close(g.model);
    return n;
}
