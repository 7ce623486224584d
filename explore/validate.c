// SPDX-License-Identifier: GPL-3.0-or-later
#include "explore/validate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/profile.h"
#include "engine/session.h"
#include "explore/pareto.h"

// One configuration, ready to run.
struct entry {
    const struct policy_ops *policy;
    const struct sync_ops *sync;
    const void *policy_options, *sync_options;
    struct cost_overheads overheads; // of its scheme
    double ttft[VALIDATE_MAX_REPEATS], tpot[VALIDATE_MAX_REPEATS];
};

struct bench {
    const struct validate_request *q;
    struct validate_result *out;
    struct machine *m;
    struct cost_table *cost;
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
        profile_sync(b->m, b->q->model, n->sync, n->sync_options, b->q->n_prompt, b->cost, e) < 0)
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
    r->predicted_ttft_ms = r->predicted_tpot_ms = r->ttft_ms = r->tpot_ms = NAN;
    r->ttft_error = r->tpot_error = r->ttft_spread = r->tpot_spread = NAN;
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
    row->predicted_ttft_ms = r.predicted_prefill_ms;
    row->predicted_tpot_ms = r.n_gen > 1 ? r.predicted_decode_ms : (double)NAN;
    if (round >= 0) {
        n->ttft[round] = r.ttft_ms;
        n->tpot[round] = r.tpot_ms;
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

static int by_value(const void *x, const void *y)
{
    const double *a = x, *b = y;
    return (*a > *b) - (*a < *b);
}

static double median(double *v, int n, double *spread)
{
    *spread = NAN;
    if (n < 1 || isnan(v[0]))
        return NAN;
    qsort(v, (size_t)n, sizeof *v, by_value);
    double m = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
    *spread = (v[n - 1] - v[0]) / m;
    return m;
}

static void summarise(struct bench *b)
{
    struct validate_result *out = b->out;
    double p[VALIDATE_MAX], m[VALIDATE_MAX], q[VALIDATE_MAX], t[VALIDATE_MAX];
    for (int i = 0; i < b->q->n; i++) {
        struct validate_row *r = &out->row[i];
        if (r->ok) {
            r->ttft_ms = median(b->entry[i].ttft, out->repeats, &r->ttft_spread);
            r->tpot_ms = median(b->entry[i].tpot, out->repeats, &r->tpot_spread);
            r->ttft_error = r->predicted_ttft_ms / r->ttft_ms - 1;
            r->tpot_error = r->predicted_tpot_ms / r->tpot_ms - 1;
        }
        p[i] = r->predicted_ttft_ms;
        m[i] = r->ttft_ms;
        q[i] = r->predicted_tpot_ms;
        t[i] = r->tpot_ms;
    }
    out->n = b->q->n;
    out->ttft_tau = pareto_kendall(p, m, b->q->n);
    out->tpot_tau = pareto_kendall(q, t, b->q->n);
}

int validate_run(const struct validate_request *q, struct validate_result *out, struct err *e)
{
    struct bench *b = calloc(1, sizeof *b);
    if (!b)
        abort();
    *b = (struct bench){.q = q, .out = out, .cost = cost_create()};
    *out = (struct validate_result){0};
    arena_init(&b->arena);
    int rc = q->factory->open(q->factory, NULL, 0, &b->m, e);
    if (rc >= 0) {
        snprintf(out->machine, sizeof out->machine, "%s", b->m->name);
        rc = session_profile(b->m, q->model, q->n_prompt, q->n_gen, b->cost, e);
    }
    if (rc >= 0) {
        for (int i = 0; i < q->n; i++)
            set_up(b, i);
        run_all(b);
        summarise(b);
    }
    if (b->m)
        b->m->ops->close(b->m);
    cost_destroy(b->cost);
    arena_fini(&b->arena);
    free(b);
    return rc < 0 ? rc : 0;
}

// Is it the same policy, whatever the options?
static bool same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, ":");
    return n == strcspn(b, ":") && !memcmp(a, b, n);
}

int validate_pick(const struct campaign_row *row, const int *order, int count, int n,
                  bool per_policy, const char **policy, const char **sync)
{
    int found = 0;
    for (int i = 0; i < count && found < n; i++) {
        const struct campaign_row *r = &row[order[i]];
        bool seen = !metrics_feasible(&r->m);
        for (int j = 0; j < found && !seen; j++)
            seen = per_policy ? same_name(policy[j], r->policy)
                              : !strcmp(policy[j], r->policy) && !strcmp(sync[j], r->sync);
        if (seen)
            continue;
        policy[found] = r->policy;
        sync[found++] = r->sync;
    }
    return found;
}
