// SPDX-License-Identifier: GPL-3.0-or-later
// Points of a space: counting, canonical form, and what a point stands for. Reading the file is
// space_load.c.
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "engine/policy.h"
#include "engine/sync.h"
#include "explore/space_internal.h"

void space_close(struct space *s)
{
    if (!s)
        return;
    conf_close(s->conf);
    arena_fini(&s->arena);
    free(s);
}

void space_locate(const struct space *s, const char *key, struct err *e)
{
    const char *file;
    int line;
    if (!strcmp(key, "machine") && load_has(conf_root(s->conf), "machines"))
        key = "machines";
    conf_where(conf_root(s->conf), key, &file, &line);
    const struct err why = *e;
    if (!why.file[0] && !why.key[0])
        err_at(e, why.code, file, line, key, "%s", why.msg);
    else
        err_locate(e, file, line);
}

// --- points

static bool applies(const struct space *s, const struct search_point *p, int i)
{
    switch (s->param[i].kind) {
    case SPACE_POLICY_OPTION:
        return p->choice[s->policy_param] == s->param[i].owner;
    case SPACE_SYNC_OPTION:
        return p->choice[s->sync_param] == s->param[i].owner;
    default:
        return true;
    }
}

bool space_canonical(const struct space *s, struct search_point *p)
{
    if (p->level < 0 || p->level >= s->n_levels)
        return false;
    for (int i = 0; i < s->n_params; i++) {
        if (!applies(s, p, i))
            p->choice[i] = SEARCH_UNUSED;
        else if (p->choice[i] < 0 || p->choice[i] >= s->param[i].n)
            return false;
    }
    return true;
}

static bool canonical(const void *user, struct search_point *p)
{
    return space_canonical(user, p);
}

void space_search(const struct space *s, struct search_space *out)
{
    *out = (struct search_space){.n_params = s->n_params,
                                 .n_objectives = s->n_objectives,
                                 .n_levels = s->n_levels,
                                 .canonical = canonical,
                                 .user = s};
    for (int i = 0; i < s->n_params; i++) {
        out->n_choices[i] = s->param[i].n;
        out->ordered[i] = s->param[i].ordered;
    }
}

static int64_t product(const struct space *s, enum space_kind kind, int owner)
{
    int64_t n = 1;
    for (int i = 0; i < s->n_params; i++)
        if (s->param[i].kind == kind && s->param[i].owner == owner)
            n *= s->param[i].n;
    return n;
}

int64_t space_count(const struct space *s)
{
    int64_t policies = 0, syncs = 0;
    for (int i = 0; i < s->n_policies; i++)
        policies += product(s, SPACE_POLICY_OPTION, i);
    for (int i = 0; i < s->n_syncs; i++)
        syncs += product(s, SPACE_SYNC_OPTION, i);
    return product(s, SPACE_SOC, 0) * policies * syncs;
}

// --- what a point stands for

// "NAME" or "NAME:fixed,key=value,..."
static const char *spec(const struct space *s, const struct search_point *p, enum space_kind kind,
                        const struct space_plug *plug, struct arena *a)
{
    const char *text = plug->fixed;
    for (int i = 0; i < s->n_params; i++)
        if (s->param[i].kind == kind && p->choice[i] != SEARCH_UNUSED)
            text = arena_printf(a, "%s%s%s=%s", text, *text ? "," : "", s->param[i].key,
                                s->param[i].choice[p->choice[i]]);
    return arena_printf(a, "%s%s%s", plug->name, *text ? ":" : "", text);
}

static uint64_t options_digest(uint64_t d, const char *policy, const char *sync)
{
    const struct policy_ops *po;
    const struct sync_ops *so;
    const void *options;
    struct arena a;
    struct err e;
    arena_init(&a);
    int rc = policy_parse(policy, &a, &po, &options, &e);
    assert(rc >= 0); // space_open has parsed every choice
    d = conf_digest(digest_str(d, po->name), po->rows, po->n_rows, options);
    rc = sync_parse(sync, &a, &so, &options, &e);
    assert(rc >= 0);
    d = conf_digest(digest_str(d, so->name), so->rows, so->n_rows, options);
    (void)rc;
    arena_fini(&a);
    return d;
}

uint64_t space_work_digest(uint64_t d, const struct space *s)
{
    for (int i = 0; i < s->n_machines; i++)
        d = digest_str(d, s->machines[i]);
    d = digest_str(d, s->n_machines > 1 ? s->aggregate == AGGREGATE_WORST ? "worst" : "mean" : "");
    d = digest_str(d, s->model);
    for (int i = 0; i < s->n_requests; i++) {
        const struct space_request *r = &s->request[i];
        d = digest_u64(digest_u64(d, (uint64_t)r->n_prompt), (uint64_t)r->n_gen);
        d = digest_f64(d, r->weight);
    }
    return d;
}

void space_resolve(const struct space *s, const struct search_point *p, struct arena *a,
                   struct space_config *out)
{
    *out = (struct space_config){.soc = "", .level = s->level[p->level]};
    out->policy = spec(s, p, SPACE_POLICY_OPTION, &s->policy[p->choice[s->policy_param]], a);
    out->sync = spec(s, p, SPACE_SYNC_OPTION, &s->sync[p->choice[s->sync_param]], a);
    for (int i = 0; i < s->n_params && s->param[i].kind == SPACE_SOC; i++) {
        const struct space_param *q = &s->param[i];
        const char *text = arena_printf(a, "%s=%s", q->key, q->choice[p->choice[i]]);
        out->override[out->n_overrides++] = text;
        out->soc = arena_printf(a, "%s%s%s", out->soc, *out->soc ? "; " : "", text);
    }
    bool several = s->n_levels > 1;
    out->label = arena_printf(a, "%s + %s%s%s%s%s", out->policy, out->sync, *out->soc ? ", " : "",
                              out->soc, several ? ", at " : "", several ? out->level : "");
}

uint64_t space_config_digest(const struct space *s, const struct space_config *g)
{
    uint64_t d = digest_str(space_work_digest(DIGEST_INIT, s), g->level);
    for (int i = 0; i < g->n_overrides; i++)
        d = digest_str(d, g->override[i]);
    return options_digest(d, g->policy, g->sync);
}
