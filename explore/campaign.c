// SPDX-License-Identifier: GPL-3.0-or-later
// The window: points between ask and tell, in a ring.
//
//     told <= given <= asked <= told + CAMPAIGN_WINDOW
//
// Points up to `given` have been handed to a worker, in order; answers arrive in any order and wait
// in the ring until all before them have been told. So what was reported is always a gapless prefix
// of what was asked, also after a stop.
#include "explore/campaign.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>
#include "base/digest.h"
#include "explore/stop.h"
#include "explore/table.h"
#include "explore/workers.h"

struct slot {
    struct search_point p;
    bool done;
    struct metrics m;
};

struct loop {
    const struct campaign_request *q;
    struct campaign *out;
    struct search *search;
    struct workers *workers;
    int64_t asked, given, told, room;
    struct slot ring[CAMPAIGN_WINDOW];
    int64_t best; // row with the least first objective, -1: none
    double begin;
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool stopping(const struct loop *l)
{
    return l->q->stop && *l->q->stop;
}

static bool budget_left(const struct loop *l)
{
    return !l->q->budget || l->asked < l->q->budget;
}

// Asks until the window is full or the searcher wants to hear more first.
static void fill(struct loop *l)
{
    while (!stopping(l) && l->asked - l->told < CAMPAIGN_WINDOW && budget_left(l)) {
        struct slot *s = &l->ring[l->asked % CAMPAIGN_WINDOW];
        if (!l->q->search->ask(l->search, &s->p))
            return;
        s->done = false;
        l->asked++;
    }
}

static int give(struct loop *l, struct err *e)
{
    while (!stopping(l) && l->given < l->asked && workers_idle(l->workers)) {
        const struct slot *s = &l->ring[l->given % CAMPAIGN_WINDOW];
        if (workers_give(l->workers, l->given, &s->p, e) < 0)
            return e->code;
        l->given++;
    }
    return 0;
}

static struct campaign_row *add_row(struct loop *l, const struct slot *s)
{
    struct campaign *c = l->out;
    struct space_config g;
    if (c->count == l->room) {
        l->room = l->room ? l->room * 2 : 256;
        c->row = realloc(c->row, (size_t)l->room * sizeof *c->row);
        if (!c->row)
            abort();
    }
    space_resolve(l->q->space, &s->p, &c->arena, &g);
    struct campaign_row *r = &c->row[c->count++];
    *r = (struct campaign_row){.key = g.digest,
                               .policy = g.policy,
                               .sync = g.sync,
                               .soc = g.soc,
                               .level = "",
                               .label = g.label,
                               .m = s->m};
    return r;
}

static double first_objective(const struct loop *l, int64_t row)
{
    enum metric m = l->q->space->objective[0];
    return metric_objective(m, l->out->row[row].m.value[m]);
}

static void report(struct loop *l)
{
    const struct campaign *c = l->out;
    int64_t total = space_count(l->q->space);
    if (!l->q->progress)
        return;
    double elapsed = seconds() - l->begin, rate = elapsed > 0 ? (double)c->count / elapsed : 0;
    total = l->q->budget && l->q->budget < total ? l->q->budget : total;
    struct campaign_progress p = {
        .done = c->count,
        .total = total,
        .rate = elapsed > 0.1 ? rate : (double)NAN,
        .eta_s = elapsed > 0.1 ? (double)(total - c->count) / rate : (double)NAN,
        .infeasible = c->infeasible,
        .crashed = c->crashed,
        .best = l->best < 0 ? NULL : &c->row[l->best],
    };
    l->q->progress(l->q->user, &p);
}

// The oldest point of the window is evaluated: searcher, table, digest and progress hear of it.
static int tell(struct loop *l, struct err *e)
{
    const struct space *space = l->q->space;
    struct campaign *c = l->out;
    struct slot *s = &l->ring[l->told % CAMPAIGN_WINDOW];
    struct search_outcome o = {.ok = s->m.status == METRICS_OK, .violation = s->m.violation};
    struct campaign_row *r = add_row(l, s);
    for (int i = 0; i < space->n_objectives; i++)
        o.objective[i] = metric_objective(space->objective[i], s->m.value[space->objective[i]]);
    l->q->search->tell(l->search, &s->p, &o);
    l->told++;
    c->infeasible += s->m.status == METRICS_INFEASIBLE;
    c->crashed += s->m.status == METRICS_CRASHED;
    c->digest = metrics_digest(digest_u64(c->digest, r->key), &r->m);
    if (s->m.status == METRICS_OK &&
        (l->best < 0 || first_objective(l, c->count - 1) < first_objective(l, l->best)))
        l->best = c->count - 1;
    if (l->q->csv && table_write_row(l->q->csv, space, c->count - 1, r, e) < 0)
        return e->code;
    report(l);
    return 0;
}

static int loop(struct loop *l, struct err *e)
{
    fill(l);
    while (l->told < l->asked) {
        if (give(l, e) < 0)
            return e->code;
        if (l->told == l->given)
            break; // stopped, and nothing is running
        if (l->ring[l->told % CAMPAIGN_WINDOW].done) {
            if (tell(l, e) < 0)
                return e->code;
            fill(l); // after every single tell, whoever was quicker: see the contract
            continue;
        }
        int64_t id;
        struct metrics m;
        int rc = workers_wait(l->workers, &id, &m, e);
        if (rc < 0)
            return rc;
        if (rc > 0) {
            l->ring[id % CAMPAIGN_WINDOW].m = m;
            l->ring[id % CAMPAIGN_WINDOW].done = true;
        }
    }
    return 0;
}

static const char *why_stopped(const struct loop *l)
{
    if (l->out->interrupted)
        return stop_text(STOP_INTERRUPTED);
    return stop_text(budget_left(l) ? STOP_DONE : STOP_BUDGET);
}

int campaign_run(const struct campaign_request *q, struct campaign *out, struct err *e)
{
    struct search_space view;
    struct loop *l = calloc(1, sizeof *l);
    if (!l)
        abort();
    *l = (struct loop){.q = q, .out = out, .best = -1, .begin = seconds()};
    *out = (struct campaign){.space = q->space, .digest = DIGEST_INIT};
    arena_init(&out->arena);
    int rc = q->csv ? table_write_header(q->csv, e) : 0;
    if (rc >= 0) // before the searcher opens its own state, which workers do not need
        rc = workers_open(q->jobs, q->worker, q->context, &l->workers, e);
    if (rc >= 0) {
        space_search(q->space, &view);
        l->search = q->search->open(&view, q->search_options, q->seed, e);
        rc = l->search ? loop(l, e) : e->code;
    }
    if (l->search) {
        bool left = budget_left(l) && !q->search->done(l->search);
        out->interrupted = stopping(l) && (l->told < l->asked || left);
        out->stopped = why_stopped(l);
        out->seconds = seconds() - l->begin;
        q->search->close(l->search);
    }
    workers_close(l->workers);
    free(l);
    if (rc < 0)
        campaign_fini(out);
    return rc < 0 ? rc : 0;
}

void campaign_fini(struct campaign *c)
{
    free(c->row);
    arena_fini(&c->arena);
    *c = (struct campaign){0};
}
