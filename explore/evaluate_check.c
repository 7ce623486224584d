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
    struct err local;
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

// A machine that is measured takes long to profile: only whether the model fits is asked.
static int check_real(const struct evaluate_context *c, int machine, const char *key, struct err *e)
{
    const struct machine_factory *f = evaluate_factory(c, machine);
    const struct space *s = c->space;
    const struct model *m = evaluate_model(c, machine);
    struct err local;
    struct machine *host = NULL;
    e = e ? e : &local;
    *e = (struct err){0};
    if (!f)
        return err_set(e, ERR_UNSUPPORTED, "level hardware needs the host machine");
    if (f->open(f, NULL, 0, &host, e) < 0) {
        space_locate(s, key, e);
        return e->code;
    }
    double weights = (double)model_weight_bytes(m), rows = 0, memory = (double)host->memory;
    bool values = host->values;
    host->ops->close(host);
    for (int i = 0; i < s->n_requests; i++)
        rows = s->request[i].n_prompt + s->request[i].n_gen > rows
                   ? s->request[i].n_prompt + s->request[i].n_gen
                   : rows;
    double cache = rows * 2 * m->shape.n_head_kv * m->shape.d_head * m->shape.n_layer * 4;
    if (memory > 0 && weights + cache > memory)
        err_set(e, ERR_UNSUPPORTED,
                "%s does not fit the host: weights of %.2f GB and a cache of %.2f GB, %.2f GB of "
                "memory",
                m->shape.name, weights / 1e9, cache / 1e9, memory / 1e9);
    else if (values && !c->prompt)
        err_set(e, ERR_UNSUPPORTED, "the host computes, and there are no tokens to compute with");
    else if (values && !m->has_data)
        err_set(e, ERR_UNSUPPORTED, "the host computes, and %s has no weights", m->shape.name);
    else
        return 0;
    space_locate(s, key, e);
    return e->code;
}

static int check_machines(const struct evaluate_context *c, struct err *e)
{
    const struct space *s = c->space;
    for (int i = 0; i < s->n_machines; i++)
        if (space_check_machine(s, evaluate_factory(c, i), e) < 0)
            return e ? e->code : ERR_CONFIG;
    if (!strcmp(s->machine, "host"))
        return check_real(c, 0, "machine", e);
    if (s->kind[s->n_levels - 1] == LEVEL_HARDWARE)
        return check_real(c, HARDWARE, "levels", e);
    return 0;
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
