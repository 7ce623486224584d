// SPDX-License-Identifier: GPL-3.0-or-later
// Machines that stay open, with what was measured of each: a cost table per size of request, the
// overheads per scheme. Failures are kept as well, so that each is met once.
//
// A simulated machine has a bench, at flow level: it is profiled and planned for, and it runs the
// points of level flow. Level cycle has a machine of its own, opened when it is first needed. A
// space without levels runs on the machine as configured, which is its own bench unless it is
// simulated in more detail.
#include <stdlib.h>
#include <string.h>
#include "engine/profile.h"
#include "explore/evaluate_internal.h"

const struct machine_factory *evaluate_factory(const struct evaluate_context *c, int machine)
{
    if (machine == HARDWARE && strcmp(c->space->machine, "host"))
        return c->hardware;
    if (machine == HARDWARE)
        machine = 0;
    return c->factories ? c->factories[machine] : c->factory;
}

const struct model *evaluate_model(const struct evaluate_context *c, int machine)
{
    return machine == HARDWARE && c->hardware_model ? c->hardware_model : c->model;
}

const char *evaluate_machine_name(const struct evaluate_context *c, int machine)
{
    return machine == HARDWARE ? "host" : c->space->machines[machine];
}

static bool simulated(const struct evaluate_context *c, int machine)
{
    return machine != HARDWARE && !strncmp(c->space->machines[machine], "soc:", 4);
}

// Opens the machine with the overrides and, unless NULL, one more.
static struct machine *open_machine(const struct evaluate_context *c, const struct variant *r,
                                    const struct space_config *g, const char *more, struct err *e)
{
    const struct machine_factory *f = evaluate_factory(c, r->machine);
    const char *override[SPACE_MAX_SOC + 1];
    struct machine *m = NULL;
    int n = r->machine == HARDWARE ? 0 : g->n_overrides;
    if (!f) {
        err_set(e, ERR_UNSUPPORTED, "there is no machine %s here",
                evaluate_machine_name(c, r->machine));
        return NULL;
    }
    for (int i = 0; i < n; i++)
        override[i] = g->override[i];
    if (more)
        override[n++] = more;
    return f->open(f, override, n, &m, e) < 0 ? NULL : m;
}

static void open_variant(struct variants *v, struct variant *r, const struct space_config *g)
{
    const struct evaluate_context *c = v->c;
    struct err e = {0};
    if (c->space->kind[0] != LEVEL_OWN) {
        r->bench = open_machine(c, r, g, simulated(c, r->machine) ? "detail=flow" : NULL, &e);
    } else {
        r->run = r->bench = open_machine(c, r, g, NULL, &e);
        if (r->run && r->run->detailed)
            r->bench = open_machine(c, r, g, "detail=flow", &e);
    }
    if (!r->bench)
        err_text(&e, r->reason, sizeof r->reason);
}

static void close_sized(struct sized *z)
{
    cost_destroy(z->cost);
    free(z->scheme);
    *z = (struct sized){0};
}

static void close_variant(struct variant *r)
{
    if (r->run && r->run != r->bench)
        r->run->ops->close(r->run);
    if (r->bench)
        r->bench->ops->close(r->bench);
    for (int i = 0; i < SPACE_MAX_REQUESTS; i++)
        close_sized(&r->size[i]);
    *r = (struct variant){0};
}

struct variant *variant_find(struct variants *v, int machine, const struct space_config *g)
{
    const char *soc = machine == HARDWARE ? "" : g->soc;
    int oldest = 0;
    v->turn++;
    for (int i = 0; i < v->n; i++) {
        struct variant *r = v->variant[i];
        if (r->machine == machine && !strcmp(r->soc, soc)) {
            r->used = v->turn;
            return r;
        }
        oldest = r->used < v->variant[oldest]->used ? i : oldest;
    }
    if (v->n < MAX_VARIANTS) {
        oldest = v->n++;
        v->variant[oldest] = calloc(1, sizeof **v->variant);
        if (!v->variant[oldest])
            abort();
    } else {
        close_variant(v->variant[oldest]);
    }
    struct variant *r = v->variant[oldest];
    r->machine = machine;
    snprintf(r->soc, sizeof r->soc, "%s", soc);
    open_variant(v, r, g);
    r->used = v->turn;
    return r;
}

struct machine *variant_machine(struct variants *v, struct variant *r, enum space_level level,
                                const struct space_config *g, const char **reason)
{
    struct err e = {0};
    if (level != LEVEL_OWN && level != LEVEL_CYCLE)
        return r->bench;
    if (!r->run && !(r->run = open_machine(v->c, r, g, "detail=cycle", &e)))
        *reason = err_text(&e, r->reason, sizeof r->reason);
    return r->run;
}

// --- what was measured

static struct sized *find_size(struct variants *v, struct variant *r, int request)
{
    const struct space_request *q = &v->c->space->request[request];
    struct sized *z = &r->size[request];
    struct err e = {0};
    if (z->cost)
        return z;
    z->cost = cost_create();
    if (session_profile(r->bench, evaluate_model(v->c, r->machine), q->n_prompt, q->n_gen, z->cost,
                        &e) < 0)
        err_text(&e, z->reason, sizeof z->reason);
    return z;
}

static struct scheme *find_scheme(struct variants *v, struct variant *r, struct sized *z,
                                  int request, const char *spec, const struct session_request *q)
{
    const int n_prompt = v->c->space->request[request].n_prompt;
    struct machine_desc d;
    struct err e = {0};
    for (int i = 0; i < z->n_schemes; i++)
        if (!strcmp(z->scheme[i].spec, spec))
            return &z->scheme[i];
    if (z->n_schemes == z->room) {
        z->room = z->room ? z->room * 2 : 8;
        z->scheme = realloc(z->scheme, (size_t)z->room * sizeof *z->scheme);
        if (!z->scheme)
            abort();
    }
    struct scheme *s = &z->scheme[z->n_schemes++];
    *s = (struct scheme){0};
    snprintf(s->spec, sizeof s->spec, "%s", spec);
    machine_describe(r->bench, &d);
    s->offered = q->sync->offered(&d, q->sync_options, &e) >= 0 &&
                 profile_sync(r->bench, evaluate_model(v->c, r->machine), q->sync, q->sync_options,
                              n_prompt, z->cost, &e) >= 0;
    s->overheads = *cost_overheads(z->cost);
    if (!s->offered)
        err_text(&e, s->reason, sizeof s->reason);
    return s;
}

bool variant_prepare(struct variants *v, struct variant *r, int request, const char *sync_spec,
                     struct session_request *q, const char **reason)
{
    *reason = r->reason;
    if (!r->bench)
        return false;
    struct sized *z = find_size(v, r, request);
    *reason = z->reason;
    if (*z->reason)
        return false;
    const struct scheme *s = find_scheme(v, r, z, request, sync_spec, q);
    *reason = s->reason;
    if (!s->offered)
        return false;
    *cost_overheads(z->cost) = s->overheads;
    q->machine = r->bench;
    q->model = evaluate_model(v->c, r->machine);
    q->cost = z->cost;
    return true;
}

void variants_close(struct variants *v)
{
    for (int i = 0; i < v->n; i++) {
        close_variant(v->variant[i]);
        free(v->variant[i]);
    }
    v->n = 0;
}
