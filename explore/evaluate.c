// SPDX-License-Identifier: GPL-3.0-or-later
// A point is evaluated machine by machine and request by request; the metrics of the requests are
// put together first (a workload), then those of the machines (metrics.c). A machine or request
// that cannot do the point makes it infeasible: a configuration is one for all of them.
#include "explore/evaluate.h"

#include <stdlib.h>
#include <string.h>
#include "explore/evaluate_internal.h"

struct evaluator {
    struct evaluate_context c;
    struct variants variants;
    struct arena arena; // of one point
    struct metrics request[SPACE_MAX_REQUESTS], machine[METRICS_MAX_MACHINES];
};

struct evaluator *evaluator_create(const struct evaluate_context *c)
{
    struct evaluator *v = calloc(1, sizeof *v);
    if (!v)
        abort();
    v->c = *c;
    v->variants.c = &v->c;
    arena_init(&v->arena);
    return v;
}

void evaluator_destroy(struct evaluator *v)
{
    variants_close(&v->variants);
    arena_fini(&v->arena);
    free(v);
}

static bool infeasible(struct metrics *out, const char *reason)
{
    metrics_init(out, METRICS_INFEASIBLE);
    snprintf(out->reason, sizeof out->reason, "%s", reason);
    return false;
}

// The session of a request that is ready to run: planned only, or run.
static bool run_session(const struct session_request *q, enum space_level level,
                        struct metrics *out)
{
    struct session_result r;
    struct err e = {0};
    char text[240];
    bool plan = level == LEVEL_ESTIMATE;
    if ((plan ? session_plan(q, &r, &e) : session_run(q, &r, &e)) < 0)
        return infeasible(out, err_text(&e, text, sizeof text));
    metrics_from(out, &r);
    if (plan)
        metrics_estimate(out, q->n_prompt, q->n_gen);
    session_result_fini(&r);
    return true;
}

static bool run_request(struct evaluator *v, struct variant *variant, enum space_level level,
                        const struct space_config *g, struct session_request q, int request,
                        struct metrics *out)
{
    const struct space_request *r = &v->c.space->request[request];
    const char *reason = "";
    q.n_prompt = r->n_prompt;
    q.n_gen = r->n_gen;
    if (!variant_prepare(&v->variants, variant, request, g->sync, &q, &reason))
        return infeasible(out, reason);
    q.machine = variant_machine(&v->variants, variant, level, g, &reason);
    if (!q.machine)
        return infeasible(out, reason);
    return run_session(&q, level, out);
}

static bool run_machine(struct evaluator *v, int machine, enum space_level level,
                        const struct space_config *g, const struct session_request *q,
                        struct metrics *out)
{
    const struct space *s = v->c.space;
    struct variant *variant =
        variant_find(&v->variants, level == LEVEL_HARDWARE ? HARDWARE : machine, g);
    for (int i = 0; i < s->n_requests; i++)
        if (!run_request(v, variant, level, g, *q, i, &v->request[i])) {
            *out = v->request[i];
            return false;
        }
    metrics_of_requests(v->request, s->request, s->n_requests, out);
    return true;
}

static void run(struct evaluator *v, enum space_level level, const struct space_config *g,
                struct metrics *out)
{
    const struct space *s = v->c.space;
    struct session_request q = {.prompt = v->c.prompt, .sampler = {.top_p = 1, .seed = v->c.seed}};
    struct err e = {0};
    char text[240];
    if (policy_parse(g->policy, &v->arena, &q.policy, &q.policy_options, &e) < 0 ||
        sync_parse(g->sync, &v->arena, &q.sync, &q.sync_options, &e) < 0) {
        infeasible(out, err_text(&e, text, sizeof text));
        return;
    }
    for (int i = 0; i < s->n_machines; i++)
        if (!run_machine(v, i, level, g, &q, &v->machine[i])) {
            snprintf(text, sizeof text, "%s%s%.180s", s->n_machines > 1 ? s->machines[i] : "",
                     s->n_machines > 1 ? ": " : "", v->machine[i].reason);
            infeasible(out, s->n_machines > 1 ? text : v->machine[i].reason);
            return;
        }
    metrics_of_machines(v->machine, s->n_machines, s->aggregate, out);
    out->violation = space_violation(s, out);
}

void evaluator_run(struct evaluator *v, const struct search_point *p, struct metrics *out)
{
    struct space_config g;
    struct arena_mark mark = arena_mark(&v->arena);
    space_resolve(v->c.space, p, &v->arena, &g);
    run(v, v->c.space->kind[p->level], &g, out);
    arena_rewind(&v->arena, mark);
}

// --- as a campaign's worker

static void *worker_open(const void *context)
{
    return evaluator_create(context);
}

static void worker_run(void *state, const struct search_point *p, struct metrics *out)
{
    evaluator_run(state, p, out);
}

static void worker_close(void *state)
{
    evaluator_destroy(state);
}

const struct campaign_worker evaluate_worker = {worker_open, worker_run, worker_close};
