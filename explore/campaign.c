// SPDX-License-Identifier: GPL-3.0-or-later
// The window: points between ask and tell, in a ring.
//
//     told <= given <= asked <= told + window
//
// Points up to `given` need no worker any more: they have one, or the store knew them, or the same
// point is on its way already. Answers arrive in any order and wait in the ring until all before
// them have been told. So what was reported is always a gapless prefix of what was asked, also
// after a stop.
//
// The store gets a point when its answer arrives and the ask when it is told. Both are committed in
// groups: at most GROUP points or GROUP_S seconds wait, and nothing is reported before its group is
// committed. Evaluating a point in a worker takes half a millisecond at best, so all that is done
// per point here must stay far below that.
#include "explore/campaign.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/digest.h"
#include "base/version.h"
#include "explore/identity.h"
#include "explore/store.h"
#include "explore/workers.h"

enum { GROUP = 64 };
static const double GROUP_S = 0.05;

struct slot {
    struct search_point p;
    int64_t twin; // an earlier ask of the window with the same key; -1: none
    bool done, cached;
    bool twinned;          // is the twin of a later ask
    struct campaign_row r; // metrics once done
};

struct loop {
    const struct campaign_request *q;
    struct campaign *out;
    struct search *search;
    struct stop *stop;
    struct workers *workers;
    int64_t asked, given, told, room, missing_room, total;
    int window;
    struct slot *ring;
    uint64_t *key;   // of the slots, by themselves: they are searched
    int64_t best;    // row with the least first objective, -1: none
    int64_t waiting; // answers and tells, not committed
    double begin, committed;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool stopping(const struct loop *l)
{
    return l->q->stop && *l->q->stop;
}

static struct slot *slot(const struct loop *l, int64_t i)
{
    return &l->ring[i % l->window];
}

// --- a point by its key

// Fills the row of an asked point, without metrics.
static void identify(struct loop *l, struct slot *s)
{
    const struct space *space = l->q->space;
    struct space_config g;
    space_resolve(space, &s->p, &l->out->arena, &g);
    s->r = (struct campaign_row){.code = code_version,
                                 .policy = g.policy,
                                 .sync = g.sync,
                                 .soc = g.soc,
                                 .level = g.level,
                                 .label = g.label};
    if (l->q->identity) {
        s->r.key = identity_key(l->q->identity, &s->p, &g, &s->r.config);
    } else {
        s->r.config = space_config_digest(space, &g);
        s->r.key = s->r.config;
    }
}

// Does anybody know the point already?
static int recall(struct loop *l, struct slot *s, struct err *e)
{
    struct campaign_row old;
    struct arena_mark mark = arena_mark(&l->out->arena);
    for (int64_t i = l->told; i < l->asked && s->twin < 0; i++)
        if (l->key[i % l->window] == s->r.key)
            s->twin = i;
    if (s->twin >= 0) {
        struct slot *twin = slot(l, s->twin);
        twin->twinned = true;
        s->done = s->cached = twin->done;
        s->r.m = twin->r.m;
        return 0;
    }
    if (!l->q->store)
        return 0;
    int rc = store_find(l->q->store, s->r.key, &l->out->arena, &old, e);
    arena_rewind(&l->out->arena, mark); // its texts: ours are as good
    if (rc <= 0 || (l->q->retry && old.m.status >= METRICS_CRASHED))
        return rc < 0 ? rc : 0;
    s->done = s->cached = true;
    s->r.m = old.m;
    s->r.m.violation = space_violation(l->q->space, &old.m);
    return 0;
}

// --- asking

// Asks until the window is full, a rule ends it, or the searcher wants to hear more first.
static int fill(struct loop *l, struct err *e)
{
    struct campaign *c = l->out;
    while (!stopping(l) && !c->reason && l->asked - l->told < l->window) {
        c->reason = stop_check(l->stop, l->asked, now() - l->begin);
        struct slot *s = slot(l, l->asked);
        s->p = (struct search_point){.level = 0};
        if (c->reason || !l->q->search->ask(l->search, &s->p))
            break;
        s->done = s->cached = s->twinned = false;
        s->twin = -1;
        identify(l, s);
        if (recall(l, s, e) < 0)
            return e->code;
        l->key[l->asked++ % l->window] = s->r.key;
    }
    return 0;
}

static void add_missing(struct loop *l, const struct slot *s)
{
    struct campaign *c = l->out;
    if (c->n_missing == l->missing_room) {
        l->missing_room = l->missing_room ? l->missing_room * 2 : 256;
        c->missing = realloc(c->missing, (size_t)l->missing_room * sizeof *c->missing);
        if (!c->missing)
            abort();
    }
    c->missing[c->n_missing++] = (struct campaign_missing){s->p, s->r};
}

// With ask_only: what the window waits for, and beyond the window what will be asked whatever the
// answers are.
static int collect(struct loop *l, struct err *e)
{
    const struct campaign_request *q = l->q;
    const bool free = !q->search->adaptive && !q->rules.patience && !q->rules.n_targets;
    struct slot s = {.twin = -1};
    for (int64_t i = l->told; i < l->asked; i++)
        if (!slot(l, i)->done && slot(l, i)->twin < 0)
            add_missing(l, slot(l, i));
    if (!l->out->n_missing || !free)
        return 0;
    for (int64_t i = l->asked; !stopping(l) && !stop_check(l->stop, i, now() - l->begin); i++) {
        if (!q->search->ask(l->search, &s.p))
            break;
        s.twin = -1;
        s.done = false;
        identify(l, &s);
        if (recall(l, &s, e) < 0)
            return e->code;
        if (!s.done && s.twin < 0)
            add_missing(l, &s);
    }
    return 0;
}

static int give(struct loop *l, struct err *e)
{
    if (l->q->ask_only)
        return 0;
    for (; l->given < l->asked; l->given++) {
        const struct slot *s = slot(l, l->given);
        if (s->done || s->twin >= 0)
            continue;
        if (stopping(l) || !workers_ready(l->workers))
            break;
        if (workers_give(l->workers, l->given, &s->p, e) < 0)
            return e->code;
    }
    return 0;
}

// --- telling

static struct campaign_row *add_row(struct loop *l, const struct slot *s)
{
    struct campaign *c = l->out;
    if (c->count == l->room) {
        l->room = l->room ? l->room * 2 : 256;
        c->row = realloc(c->row, (size_t)l->room * sizeof *c->row);
        if (!c->row)
            abort();
    }
    c->row[c->count] = s->r;
    return &c->row[c->count++];
}

static double first_objective(const struct loop *l, int64_t row)
{
    enum metric m = l->q->space->objective[0];
    return metric_objective(m, l->out->row[row].m.value[m]);
}

// Everything told so far becomes durable, then is reported.
static int commit(struct loop *l, struct err *e)
{
    const struct campaign *c = l->out;
    l->waiting = 0;
    l->committed = now();
    if (l->q->store && store_commit(l->q->store, e) < 0)
        return e->code;
    if (!l->q->progress)
        return 0;
    double elapsed = l->committed - l->begin;
    double rate = (double)(c->count - c->cached) / elapsed;
    bool known = elapsed > 0.1 && rate > 0;
    struct campaign_progress p = {
        .done = c->count,
        .total = l->total,
        .seconds = elapsed,
        .rate = known ? rate : (double)NAN,
        .eta_s = known ? (double)(l->total - c->count) / rate : (double)NAN,
        .infeasible = c->infeasible,
        .crashed = c->crashed,
        .hung = c->hung,
        .cached = c->cached,
        .hypervolume = stop_hypervolume(l->stop),
        .best = l->best < 0 ? NULL : &c->row[l->best],
    };
    l->q->progress(l->q->user, &p);
    return 0;
}

// The oldest point of the window is evaluated: searcher, rules, store and digest hear of it.
static int tell(struct loop *l, struct err *e)
{
    const struct space *space = l->q->space;
    struct campaign *c = l->out;
    const struct slot *s = slot(l, l->told);
    struct search_outcome o = {.ok = s->r.m.status == METRICS_OK, .violation = s->r.m.violation};
    const struct campaign_row *r = add_row(l, s);
    bool last = s->p.level >= space->n_levels - 1;
    for (int i = 0; i < space->n_objectives; i++)
        o.objective[i] = metric_objective(space->objective[i], r->m.value[space->objective[i]]);
    l->q->search->tell(l->search, &s->p, &o);
    if (last)
        stop_told(l->stop, &o);
    l->told++;
    c->infeasible += r->m.status == METRICS_INFEASIBLE;
    c->crashed += r->m.status == METRICS_CRASHED;
    c->hung += r->m.status == METRICS_HUNG;
    c->cached += s->cached;
    c->digest = metrics_digest(digest_u64(c->digest, r->config), &r->m);
    if (o.ok && last && !(o.violation > 0) &&
        (l->best < 0 || first_objective(l, c->count - 1) < first_objective(l, l->best)))
        l->best = c->count - 1;
    if (l->q->store && !l->q->points_only && store_ask(l->q->store, c->id, c->count - 1, r, e) < 0)
        return e->code;
    l->waiting++;
    return 0;
}

// An answer arrived: for its point, and for the same point asked again meanwhile.
static int answer(struct loop *l, int64_t id, const struct metrics *m, struct err *e)
{
    struct slot *s = slot(l, id);
    s->r.m = *m;
    s->r.m.violation = space_violation(l->q->space, m);
    s->done = true;
    for (int64_t i = id + 1; s->twinned && i < l->asked; i++)
        if (slot(l, i)->twin == id) {
            slot(l, i)->r.m = s->r.m;
            slot(l, i)->done = slot(l, i)->cached = true;
        }
    if (!l->q->store)
        return 0;
    l->waiting++;
    return store_put(l->q->store, &s->r, e);
}

static bool due(const struct loop *l)
{
    return l->waiting && (!l->q->store || l->waiting >= GROUP || now() - l->committed >= GROUP_S);
}

static int loop(struct loop *l, struct err *e)
{
    if (fill(l, e) < 0)
        return e->code;
    while (l->told < l->asked) {
        if ((due(l) && commit(l, e) < 0) || give(l, e) < 0)
            return e->code;
        if (slot(l, l->told)->done) {
            // After every single tell, whoever was quicker: see the contract.
            if (tell(l, e) < 0 || fill(l, e) < 0)
                return e->code;
            continue;
        }
        if (l->told == l->given || l->q->ask_only)
            break; // stopped, and nothing is running
        int64_t id;
        struct metrics m;
        int rc = workers_wait(l->workers, l->waiting ? GROUP_S : -1, &id, &m, e);
        // Whoever stops us may end our workers too: then the point is not to blame.
        if (rc > 0 && m.status == METRICS_CRASHED && stopping(l))
            break;
        if (rc < 0 || (rc > 0 && answer(l, id, &m, e) < 0))
            return e->code;
    }
    if (l->q->ask_only && collect(l, e) < 0)
        return e->code;
    return commit(l, e);
}

// --- the campaign as the store knows it

// "NAME:option=value,..." with every option, so that two spellings of one searcher are one text.
static const char *search_text(const struct campaign_request *q, struct arena *a)
{
    const struct search_ops *s = q->search;
    const char *text = s->name;
    char value[256];
    for (size_t i = 0; i < s->n_rows; i++)
        text = arena_printf(a, "%s%s%s=%s", text, i ? "," : ":", s->rows[i].name,
                            conf_value_text(&s->rows[i], q->search_options, value, sizeof value));
    return text;
}

static const char *machines_text(const struct space *s, struct arena *a)
{
    const char *text = s->machine;
    for (int i = 1; i < s->n_machines; i++)
        text = arena_printf(a, "%s, %s", text, s->machines[i]);
    return text;
}

static int begin(struct loop *l, struct err *e)
{
    const struct campaign_request *q = l->q;
    const struct space *s = q->space;
    struct arena *a = &l->out->arena;
    if (!q->store || q->points_only)
        return 0;
    struct store_campaign c = {
        .name = s->name ? s->name : "",
        .text = q->text ? q->text : "",
        .search = search_text(q, a),
        .seed = q->seed,
        .machine = machines_text(s, a),
        .settings = q->settings ? q->settings : "",
        .model = q->model ? q->model : s->model,
        .workload = s->n_requests > 1 ? arena_printf(a, "%d requests of up to %d+%d", s->n_requests,
                                                     s->n_prompt, s->n_gen)
                                      : arena_printf(a, "%d+%d", s->n_prompt, s->n_gen),
        .n_objectives = s->n_objectives,
        .code = code_version,
    };
    for (int i = 0; i < s->n_objectives; i++)
        c.objective[i] = s->objective[i];
    c.digest = digest_str(digest_u64(DIGEST_INIT, s->digest), c.search);
    c.digest = digest_u64(digest_u64(c.digest, q->seed), (uint64_t)l->window);
    c.digest = digest_u64(c.digest, q->identity ? identity_base(q->identity) : 0);
    if (store_campaign_begin(q->store, &c, e) < 0)
        return e->code;
    l->out->id = c.id;
    return store_commit(q->store, e);
}

static int finish(struct loop *l, struct err *e)
{
    struct campaign *c = l->out;
    bool more = !c->reason && !l->q->search->done(l->search);
    c->interrupted = stopping(l) && (l->told < l->asked || more);
    if (c->interrupted)
        c->reason = STOP_INTERRUPTED;
    else if (!c->reason)
        c->reason = c->count == space_count(l->q->space) ? STOP_EXHAUSTED : STOP_DONE;
    c->stopped = stop_text(c->reason);
    c->seconds = now() - l->begin;
    if (c->n_missing && !c->interrupted)
        c->stopped = "";
    if (!l->q->store || l->q->points_only)
        return 0;
    int rc = store_campaign_end(l->q->store, c->id, c->stopped, e);
    return rc < 0 ? rc : store_commit(l->q->store, e);
}

static int run(struct loop *l, struct err *e)
{
    const struct campaign_request *q = l->q;
    struct search_space view;
    // Workers first, before anything that they do not need is there.
    if (workers_open(q->jobs, q->timeout_s, q->worker, q->context, &l->workers, e) < 0 ||
        begin(l, e) < 0)
        return e->code;
    space_search(q->space, &view);
    l->stop = stop_open(&q->rules, &view);
    l->search = q->search->open(&view, q->search_options, q->seed, e);
    if (!l->search || loop(l, e) < 0)
        return e->code;
    return finish(l, e);
}

int campaign_run(const struct campaign_request *q, struct campaign *out, struct err *e)
{
    struct err local = {0};
    struct loop l = {.q = q, .out = out, .best = -1, .begin = now(), .window = CAMPAIGN_WINDOW};
    e = e ? e : &local;
    l.committed = l.begin;
    if (q->window > 0)
        l.window = q->window < CAMPAIGN_MAX_WINDOW ? q->window : CAMPAIGN_MAX_WINDOW;
    l.ring = calloc((size_t)l.window, sizeof *l.ring);
    l.key = calloc((size_t)l.window, sizeof *l.key);
    if (!l.ring || !l.key)
        abort();
    *out = (struct campaign){.space = q->space, .digest = DIGEST_INIT};
    arena_init(&out->arena);
    l.total = space_count(q->space);
    if (q->rules.budget && q->rules.budget < l.total)
        l.total = q->rules.budget;
    int rc = run(&l, e);
    if (l.search)
        q->search->close(l.search);
    if (l.stop)
        stop_close(l.stop);
    workers_close(l.workers);
    free(l.ring);
    free(l.key);
    if (rc < 0)
        campaign_fini(out);
    return rc < 0 ? rc : 0;
}

void campaign_fini(struct campaign *c)
{
    free(c->row);
    free(c->missing);
    arena_fini(&c->arena);
    *c = (struct campaign){0};
}
