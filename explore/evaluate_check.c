// SPDX-License-Identifier: GPL-3.0-or-later
// Refusing a space before anything runs. Only facts are used, so that no space with a feasible
// point is refused: what a machine takes, what the model is, what plan_check says, in how many bits
// a plan takes its activations. Whether a point is fast enough is for the campaign to find out.
#include <stdlib.h>
#include <string.h>
#include "explore/evaluate_internal.h"

// Points that are planned at most: beyond, a space counts as possible.
enum { MOST = 20000 };

enum failure { FAILED_MACHINE, FAILED_SYNC, FAILED_PLAN, FAILED_BITS, FAILURES };

struct check {
    const struct evaluate_context *c;
    struct variants variants;
    struct arena arena;
    int request;          // the longest prompt
    int failed[FAILURES]; // points
    char reason[240];     // of the first point
    char label[120];
};

static int longest(const struct space *s)
{
    int best = 0;
    for (int i = 1; i < s->n_requests; i++)
        if (s->request[i].n_prompt > s->request[best].n_prompt)
            best = i;
    return best;
}

// Do the constraints that plans decide hold?
static bool bits_hold(const struct space *s, int bits)
{
    for (int i = 0; bits && i < s->n_constraints; i++) {
        const struct space_constraint *c = &s->constraint[i];
        if (c->metric == METRIC_ACTIVATION_BITS &&
            (c->at_least ? bits < c->limit : bits > c->limit))
            return false;
    }
    return true;
}

static bool fail(struct check *k, enum failure f, const struct space_config *g, const char *reason)
{
    if (!*k->label) {
        snprintf(k->label, sizeof k->label, "%.100s", g->label);
        snprintf(k->reason, sizeof k->reason, "%s", reason);
    }
    k->failed[f]++;
    return false;
}

// Can this machine plan the point?
static bool plan_on(struct check *k, int machine, const struct space_config *g)
{
    const struct space_request *size = &k->c->space->request[k->request];
    struct session_request q = {.n_prompt = size->n_prompt, .n_gen = size->n_gen};
    struct variant *r = variant_find(&k->variants, machine, g);
    struct session_result plans;
    struct err e = {0};
    char text[240];
    const char *reason = "";
    if (policy_parse(g->policy, &k->arena, &q.policy, &q.policy_options, &e) < 0 ||
        sync_parse(g->sync, &k->arena, &q.sync, &q.sync_options, &e) < 0)
        return fail(k, FAILED_PLAN, g, err_text(&e, text, sizeof text));
    if (!variant_prepare(&k->variants, r, k->request, g->sync, &q, &reason))
        return fail(k, r->bench && !*r->size[k->request].reason ? FAILED_SYNC : FAILED_MACHINE, g,
                    reason);
    if (session_plan(&q, &plans, &e) < 0)
        return fail(k, FAILED_PLAN, g, err_text(&e, text, sizeof text));
    if (bits_hold(k->c->space, plans.activation_bits))
        return true;
    snprintf(text, sizeof text, "activations are taken in %d bits", plans.activation_bits);
    return fail(k, FAILED_BITS, g, text);
}

static bool plan_point(struct check *k, const struct search_point *p)
{
    const struct space *s = k->c->space;
    struct space_config g;
    struct arena_mark mark = arena_mark(&k->arena);
    bool ok = true;
    space_resolve(s, p, &k->arena, &g);
    for (int i = 0; i < s->n_machines && ok; i++)
        ok = plan_on(k, i, &g);
    arena_rewind(&k->arena, mark);
    return ok;
}

// Where to point: at what all points failed of, else at the policies.
static int refuse(const struct check *k, int points, struct err *e)
{
    static const char *const key[FAILURES] = {"machine", "syncs", "policies", "constraints"};
    const char *at = "policies";
    struct err local = {0};
    e = e ? e : &local;
    for (int f = 0; f < FAILURES; f++)
        at = k->failed[f] == points ? key[f] : at;
    err_set(e, ERR_CONFIG, "the space has no feasible point: of %d none can be planned; %s: %.160s",
            points, k->label, k->reason);
    space_locate(k->c->space, at, e);
    return e->code;
}

static int check_points(struct check *k, struct err *e)
{
    struct search_space view;
    struct search_point p;
    int n = 0;
    space_search(k->c->space, &view);
    for (bool more = search_first(&view, &p); more && n < MOST; more = search_next(&view, &p)) {
        if (plan_point(k, &p))
            return 0;
        n++;
    }
    return n < MOST ? refuse(k, n, e) : 0;
}

// --- the host, which takes long to profile: only whether the model fits is asked

// The machine of a space that is measured, and the key that asks for it; 0: all are simulated.
static const char *measured(const struct space *s, int *machine)
{
    *machine = HARDWARE;
    if (!strcmp(s->machine, "host"))
        return "machine";
    return s->kind[s->n_levels - 1] == LEVEL_HARDWARE ? "levels" : NULL;
}

static double cache_bytes(const struct space *s, const struct model_shape *m)
{
    double rows = 0;
    for (int i = 0; i < s->n_requests; i++) {
        double n = s->request[i].n_prompt + s->request[i].n_gen;
        rows = n > rows ? n : rows;
    }
    return rows * 2 * m->n_head_kv * m->d_head * m->n_layer * 4;
}

int evaluate_check_memory(const struct evaluate_context *c, struct err *e)
{
    struct machine *host = NULL;
    struct err local = {0};
    int machine;
    const char *key = measured(c->space, &machine);
    e = e ? e : &local;
    *e = (struct err){0};
    if (!key)
        return 0;
    const struct machine_factory *f = evaluate_factory(c, machine);
    const struct model *m = evaluate_model(c, machine);
    if (!f)
        return err_set(e, ERR_UNSUPPORTED, "level hardware needs the host machine");
    if (f->open(f, NULL, 0, &host, e) >= 0) {
        double weights = (double)model_weight_bytes(m), cache = cache_bytes(c->space, &m->shape);
        double memory = (double)host->memory;
        host->ops->close(host);
        if (!(memory > 0) || weights + cache <= memory)
            return 0;
        err_set(e, ERR_UNSUPPORTED,
                "%s does not fit the host: weights of %.2f GB and a cache of %.2f GB, memory of "
                "%.2f GB",
                m->shape.name, weights / 1e9, cache / 1e9, memory / 1e9);
    }
    space_locate(c->space, key, e);
    return e->code;
}

static int check_values(const struct evaluate_context *c, struct err *e)
{
    int machine;
    const char *key = measured(c->space, &machine);
    const struct model *m = evaluate_model(c, machine);
    if (!key || (c->prompt && m->has_data))
        return 0;
    return err_set(e, ERR_USAGE, "the host computes: it needs %s",
                   m->has_data ? "prompt tokens" : "a model with weights");
}

static int check_machines(const struct evaluate_context *c, struct err *e)
{
    const struct space *s = c->space;
    for (int i = 0; i < s->n_machines; i++)
        if (space_check_machine(s, evaluate_factory(c, i), e) < 0)
            return e ? e->code : ERR_CONFIG;
    int rc = evaluate_check_memory(c, e);
    return rc < 0 ? rc : check_values(c, e);
}

int evaluate_check(const struct evaluate_context *c, struct err *e)
{
    int rc = space_check_model(c->space, c->model, e);
    if (rc >= 0)
        rc = check_machines(c, e);
    if (rc < 0 || !strcmp(c->space->machine, "host"))
        return rc < 0 ? rc : 0;
    struct check *k = calloc(1, sizeof *k);
    if (!k)
        abort();
    k->c = k->variants.c = c;
    k->request = longest(c->space);
    arena_init(&k->arena);
    rc = check_points(k, e);
    variants_close(&k->variants);
    arena_fini(&k->arena);
    free(k);
    return rc;
}
