// SPDX-License-Identifier: GPL-3.0-or-later
#include "explore/validate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/profile.h"
#include "engine/session.h"

// One configuration, ready to run.
struct entry {
    const struct policy_ops *policy;
    const struct sync_ops *sync;
    const void *policy_options, *sync_options;
    struct cost_overheads overheads; // of its scheme
    double ms[VALIDATE_METRICS][VALIDATE_MAX_REPEATS];
};

struct bench {
    const struct validate_request *q;
    struct validate_result *out;
    struct machine *m, *planner; // the latter is the former, unless plans come from elsewhere
    struct cost_table *cost;     // of the planner
    struct arena arena;
    struct entry entry[VALIDATE_MAX];
    int done;
};

static void refuse(struct validate_row *r, const struct err *e)
{
    r->ok = false;
    err_text(e, r->reason, sizeof r->reason);
}

// Profiles the scheme of entry i, unless an earlier entry has the same one.
static int measure_scheme(struct bench *b, int i, struct err *e)
{
    struct entry *n = &b->entry[i];
    struct machine_desc d;
    for (int j = 0; j < i; j++)
        if (b->out->row[j].ok && !strcmp(b->q->sync[j], b->q->sync[i])) {
            n->overheads = b->entry[j].overheads;
            return 0;
        }
    machine_describe(b->m, &d);
    if (n->sync->offered(&d, n->sync_options, e) < 0 ||
        profile_sync(b->planner, b->q->model, n->sync, n->sync_options, b->q->n_prompt, b->cost,
                     e) < 0)
        return e->code;
    n->overheads = *cost_overheads(b->cost);
    return 0;
}

static void set_up(struct bench *b, int i)
{
    struct err e = {0};
    struct entry *n = &b->entry[i];
    struct validate_row *r = &b->out->row[i];
    *r = (struct validate_row){.ok = true};
    for (int m = 0; m < VALIDATE_METRICS; m++)
        r->v[m] = (struct validate_value){.predicted =
                                              b->q->predicted ? b->q->predicted[i][m] : (double)NAN,
                                          .measured = NAN,
                                          .low = NAN,
                                          .high = NAN,
                                          .error = NAN,
                                          .spread = NAN};
    if (policy_parse(b->q->policy[i], &b->arena, &n->policy, &n->policy_options, &e) < 0 ||
        sync_parse(b->q->sync[i], &b->arena, &n->sync, &n->sync_options, &e) < 0 ||
        measure_scheme(b, i, &e) < 0)
        refuse(r, &e);
}

// One run; round -1 warms up.
static void run(struct bench *b, int i, int round)
{
    const struct validate_request *q = b->q;
    struct entry *n = &b->entry[i];
    struct validate_row *row = &b->out->row[i];
    struct session_request s = {.machine = b->m,
                                .model = q->model,
                                .policy = n->policy,
                                .policy_options = n->policy_options,
                                .sync = n->sync,
                                .sync_options = n->sync_options,
                                .cost = b->cost,
                                .prompt = q->prompt,
                                .n_prompt = q->n_prompt,
                                .n_gen = q->n_gen,
                                .sampler = {.top_p = 1, .seed = q->seed}};
    struct session_result r;
    struct err e = {0};
    *cost_overheads(b->cost) = n->overheads;
    if (session_run(&s, &r, &e) < 0) {
        refuse(row, &e);
        return;
    }
    struct metrics plan;
    metrics_from(&plan, &r);
    metrics_estimate(&plan, r.n_prompt, r.n_gen);
    const double ms[VALIDATE_METRICS] = {r.ttft_ms, r.tpot_ms, r.total_ms};
    static const enum metric of[VALIDATE_METRICS] = {METRIC_TTFT, METRIC_TPOT, METRIC_TOTAL};
    for (int m = 0; m < VALIDATE_METRICS; m++) {
        if (!q->predicted)
            row->v[m].predicted = plan.value[of[m]];
        if (round >= 0)
            n->ms[m][round] = ms[m];
    }
    session_result_fini(&r);
}

static bool stopping(const struct bench *b)
{
    return b->q->stop && *b->q->stop;
}

static void run_all(struct bench *b)
{
    const struct validate_request *q = b->q;
    if (q->progress)
        q->progress(q->user, 0, q->n * (q->repeats + 1));
    for (int round = -1; round < q->repeats; round++) {
        for (int i = 0; i < q->n; i++) {
            if (stopping(b))
                return;
            if (b->out->row[i].ok)
                run(b, i, round);
            b->done++;
            if (q->progress)
                q->progress(q->user, b->done, q->n * (q->repeats + 1));
        }
        b->out->repeats = round + 1;
    }
}

static void summarise(struct bench *b)
{
    struct validate_result *out = b->out;
    out->n = b->q->n;
    for (int i = 0; i < out->n; i++) {
        struct validate_row *r = &out->row[i];
        for (int m = 0; r->ok && m < VALIDATE_METRICS; m++) {
            double c = validate_median(b->entry[i].ms[m], out->repeats, &r->v[m]);
            out->coverage = c > 0 ? c : out->coverage; // the same wherever there is one
        }
    }
    for (int m = 0; m < VALIDATE_METRICS; m++)
        validate_summarise(out->row, out->n, (enum validate_metric)m, b->q->alike,
                           &out->summary[m]);
}

// A plan names devices by their number.
static int same_devices(const struct machine *m, const struct machine *planner, struct err *e)
{
    bool same = m->n_devices == planner->n_devices;
    for (int i = 0; same && i < m->n_devices; i++)
        same = !strcmp(m->device[i]->caps.name, planner->device[i]->caps.name);
    return same ? 0
                : err_set(e, ERR_USAGE,
                          "plans for %s, with %d devices (%s first), are not for %s, with %d (%s "
                          "first)",
                          planner->name, planner->n_devices, planner->device[0]->caps.name, m->name,
                          m->n_devices, m->device[0]->caps.name);
}

static int open_machines(struct bench *b, struct err *e)
{
    const struct validate_request *q = b->q;
    if (q->factory->open(q->factory, NULL, 0, &b->m, e) < 0)
        return e->code;
    b->planner = b->m;
    if (q->planner && (q->planner->open(q->planner, NULL, 0, &b->planner, e) < 0 ||
                       same_devices(b->m, b->planner, e) < 0))
        return e->code;
    return session_profile(b->planner, q->model, q->n_prompt, q->n_gen, b->cost, e);
}

int validate_run(const struct validate_request *q, struct validate_result *out, struct err *e)
{
    struct bench *b = calloc(1, sizeof *b);
    if (!b)
        abort();
    *b = (struct bench){.q = q, .out = out, .cost = cost_create()};
    *out = (struct validate_result){0};
    arena_init(&b->arena);
    int rc = open_machines(b, e);
    if (rc >= 0) {
        snprintf(out->machine, sizeof out->machine, "%s", b->m->name);
        for (int i = 0; i < q->n; i++)
            set_up(b, i);
        run_all(b);
        summarise(b);
    }
    if (b->planner && b->planner != b->m)
        b->planner->ops->close(b->planner);
    if (b->m)
        b->m->ops->close(b->m);
    cost_destroy(b->cost);
    arena_fini(&b->arena);
    free(b);
    return rc < 0 ? rc : 0;
}
