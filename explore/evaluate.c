// SPDX-License-Identifier: GPL-3.0-or-later
#include "explore/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/profile.h"
#include "engine/session.h"

// Machines kept open. Searchers walk SoC keys slowest, so a few are enough; the longest unused one
// makes room.
enum { MAX_VARIANTS = 16, MAX_SCHEMES = 128 };

struct scheme {
    char spec[256];
    struct cost_overheads overheads;
    bool offered;
    char reason[240]; // why not
};

struct variant {
    char soc[1024];          // the overrides, joined
    struct machine *machine; // NULL: could not be opened
    struct cost_table *cost;
    char reason[240];
    int n_schemes;
    struct scheme *scheme;
    uint64_t used; // turn of its last use
};

struct evaluator {
    struct evaluate_context c;
    struct arena arena; // of one point
    struct variant variant[MAX_VARIANTS];
    int n_variants;
    uint64_t turn;
};

struct evaluator *evaluator_create(const struct evaluate_context *c)
{
    struct evaluator *v = calloc(1, sizeof *v);
    if (!v)
        abort();
    v->c = *c;
    arena_init(&v->arena);
    return v;
}

static void close_variant(struct variant *r)
{
    if (r->machine)
        r->machine->ops->close(r->machine);
    cost_destroy(r->cost);
    free(r->scheme);
    *r = (struct variant){0};
}

void evaluator_destroy(struct evaluator *v)
{
    for (int i = 0; i < v->n_variants; i++)
        close_variant(&v->variant[i]);
    arena_fini(&v->arena);
    free(v);
}

// A machine with its cost table; on failure the reason is kept, so that it is looked for once.
static void open_variant(struct evaluator *v, struct variant *r, const struct space_config *g)
{
    const struct space *s = v->c.space;
    struct err e = {0};
    *r = (struct variant){.cost = cost_create()};
    r->scheme = calloc(MAX_SCHEMES, sizeof *r->scheme);
    if (!r->scheme)
        abort();
    snprintf(r->soc, sizeof r->soc, "%s", g->soc);
    if (v->c.factory->open(v->c.factory, g->override, g->n_overrides, &r->machine, &e) < 0) {
        r->machine = NULL;
    } else if (session_profile(r->machine, v->c.model, s->n_prompt, s->n_gen, r->cost, &e) < 0) {
        r->machine->ops->close(r->machine);
        r->machine = NULL;
    }
    if (!r->machine)
        err_text(&e, r->reason, sizeof r->reason);
}

static struct variant *find_variant(struct evaluator *v, const struct space_config *g)
{
    struct variant *oldest = &v->variant[0];
    v->turn++;
    for (int i = 0; i < v->n_variants; i++) {
        struct variant *r = &v->variant[i];
        if (!strcmp(r->soc, g->soc)) {
            r->used = v->turn;
            return r;
        }
        oldest = r->used < oldest->used ? r : oldest;
    }
    if (v->n_variants < MAX_VARIANTS)
        oldest = &v->variant[v->n_variants++];
    else
        close_variant(oldest);
    open_variant(v, oldest, g);
    oldest->used = v->turn;
    return oldest;
}

// What hand-overs cost under a scheme on this machine, measured once.
static struct scheme *find_scheme(struct evaluator *v, struct variant *r, const char *spec,
                                  const struct sync_ops *sync, const void *options)
{
    struct err e = {0};
    struct machine_desc d;
    for (int i = 0; i < r->n_schemes; i++)
        if (!strcmp(r->scheme[i].spec, spec))
            return &r->scheme[i];
    if (r->n_schemes == MAX_SCHEMES)
        r->n_schemes = 0;
    struct scheme *s = &r->scheme[r->n_schemes++];
    *s = (struct scheme){0};
    snprintf(s->spec, sizeof s->spec, "%s", spec);
    machine_describe(r->machine, &d);
    s->offered =
        sync->offered(&d, options, &e) >= 0 &&
        profile_sync(r->machine, v->c.model, sync, options, v->c.space->n_prompt, r->cost, &e) >= 0;
    s->overheads = *cost_overheads(r->cost);
    if (!s->offered)
        err_text(&e, s->reason, sizeof s->reason);
    return s;
}

static void infeasible(struct metrics *out, const char *reason)
{
    metrics_init(out, METRICS_INFEASIBLE);
    snprintf(out->reason, sizeof out->reason, "%s", reason);
}

static void run(struct evaluator *v, const struct space_config *g, struct metrics *out)
{
    const struct space *s = v->c.space;
    struct session_request q = {.model = v->c.model,
                                .n_prompt = s->n_prompt,
                                .n_gen = s->n_gen,
                                .prompt = v->c.prompt,
                                .sampler = {.top_p = 1, .seed = v->c.seed}};
    struct session_result r;
    struct err e = {0};
    char text[240];
    if (policy_parse(g->policy, &v->arena, &q.policy, &q.policy_options, &e) < 0 ||
        sync_parse(g->sync, &v->arena, &q.sync, &q.sync_options, &e) < 0) {
        infeasible(out, err_text(&e, text, sizeof text));
        return;
    }
    struct variant *variant = find_variant(v, g);
    if (!variant->machine) {
        infeasible(out, variant->reason);
        return;
    }
    const struct scheme *scheme = find_scheme(v, variant, g->sync, q.sync, q.sync_options);
    if (!scheme->offered) {
        infeasible(out, scheme->reason);
        return;
    }
    *cost_overheads(variant->cost) = scheme->overheads;
    q.machine = variant->machine;
    q.cost = variant->cost;
    if (session_run(&q, &r, &e) < 0) {
        infeasible(out, err_text(&e, text, sizeof text));
        return;
    }
    metrics_from(out, &r);
    session_result_fini(&r);
}

void evaluator_run(struct evaluator *v, const struct search_point *p, struct metrics *out)
{
    struct space_config g;
    struct arena_mark mark = arena_mark(&v->arena);
    space_resolve(v->c.space, p, &v->arena, &g);
    run(v, &g, out);
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
