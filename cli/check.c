// SPDX-License-Identifier: GPL-3.0-or-later
// partita check: the audit. Every plan of every policy is proven correct for several lengths, and
// every policy x sync scheme is run twice: work and bytes are conserved, nobody is busier than
// 100 %, and both runs give one digest.
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"

struct check_options {
    struct workload w;
    bool all_policies, all_syncs;
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct check_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->w;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected \"%s\" (the model is given by --model)", arg);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    NULL,
    option,
    "",
    "Audits a simulated machine: every plan of every policy, conservation of work and bytes, "
    "utilisation, equal digests of equal runs. All policies with all sync schemes, unless --policy "
    "or --sync restrict it to one.",
    workload_children,
    NULL,
    NULL};

static const int LENGTHS[] = {1, 31, 32, 33, 255, 256, 257, 300, 525, 1000};

// Plans of one policy for all lengths; counts those proven.
static int check_plans(const struct session_request *q, int *proven, struct err *e)
{
    struct machine_desc d;
    machine_describe(q->machine, &d);
    for (size_t i = 0; i < sizeof LENGTHS / sizeof LENGTHS[0]; i++) {
        struct graph g;
        struct plan p;
        struct arena a;
        graph_build(q->model, LENGTHS[i], LENGTHS[i] == 1 ? 256 : 0, &g);
        if (q->policy->plan(&g, &d, q->cost, q->policy_options, &p, e) < 0)
            return e->code;
        int rc = plan_check(&p, &g, &d, q->machine, e);
        arena_init(&a);
        for (int s = 0; rc == 0 && s < p.n_steps; s++) {
            struct graph step;
            struct schedule sched;
            graph_build(q->model, p.step[s].n1 - p.step[s].n0, p.step[s].n0, &step);
            schedule_build(&p, s, &step, &a, &sched);
            rc = schedule_check(&sched, d.n_devices, e);
        }
        arena_fini(&a);
        plan_fini(&p);
        if (rc < 0)
            return rc;
        ++*proven;
    }
    return 0;
}

static int run_twice(struct cli_session *s, uint64_t *digest, double *busiest, struct err *e)
{
    for (int i = 0; i < 2; i++) {
        struct session_result r;
        if (session_run(&s->q, &r, e) < 0)
            return e->code;
        int rc = session_audit(&s->q, &r, e);
        for (int d = 0; d < r.n_devices; d++)
            *busiest = fmax(*busiest, r.device[d].utilisation);
        if (rc == 0 && i == 1 && r.digest != *digest)
            rc = err_set(e, ERR_CHECK, "two equal runs gave the digests %016llx and %016llx",
                         (unsigned long long)*digest, (unsigned long long)r.digest);
        *digest = r.digest;
        session_result_fini(&r);
        if (rc < 0)
            return rc;
    }
    return 0;
}

struct tally {
    int proven, runs, skipped, failed;
    uint64_t digest; // of all digests, in order
};

static void check_one(const struct cli_factory *f, struct check_options *o, const struct model *m,
                      const char *policy, const char *sync, bool plans, struct tally *t,
                      struct json *j)
{
    struct common c = o->w.c;
    struct cli_session s;
    struct err e = {0};
    uint64_t digest = 0;
    double busiest = 0;
    char text[700], hex[17];
    c.policy = policy;
    c.sync = sync;
    int rc = cli_session_open(f, &c, m, o->w.prompt, o->w.gen, &s, &e);
    if (rc == 0) {
        if (plans)
            rc = check_plans(&s.q, &t->proven, &e);
        if (rc == 0)
            rc = run_twice(&s, &digest, &busiest, &e);
        cli_session_close(&s);
    }
    bool skipped = rc == ERR_UNSUPPORTED; // this machine cannot do it: not a violation
    t->runs += rc == 0;
    t->skipped += skipped;
    t->failed += rc < 0 && !skipped;
    t->digest = digest_u64(t->digest, digest);
    if (rc < 0)
        err_text(&e, text, sizeof text);
    if (o->w.c.json) {
        json_object_begin(j, NULL);
        json_str(j, "policy", policy);
        json_str(j, "sync", sync);
        json_str(j, "status", rc == 0 ? "ok" : skipped ? "skipped" : "failed");
        json_f64(j, "busiest", busiest);
        json_str(j, "digest", digest_text(digest, hex));
        json_str(j, "error", rc < 0 ? text : NULL);
        json_object_end(j);
    } else if (rc == 0) {
        printf("  ok      %-20s %-12s busiest device %5.1f %%   digest %s\n", policy, sync,
               busiest * 100, digest_text(digest, hex));
    } else {
        printf("  %-7s %-20s %-12s %s\n", skipped ? "skipped" : "FAILED", policy, sync, text);
    }
}

// A misspelt name is a usage error, not a failed audit.
static int check_names(const struct check_options *o, struct err *e)
{
    const struct policy_ops *policy;
    const struct sync_ops *sync;
    const void *options_of;
    struct arena a;
    int rc = 0;
    arena_init(&a);
    if (!o->all_policies)
        rc = policy_parse(o->w.c.policy, &a, &policy, &options_of, e);
    if (rc == 0 && !o->all_syncs)
        rc = sync_parse(o->w.c.sync, &a, &sync, &options_of, e);
    arena_fini(&a);
    return rc;
}

static int check(struct check_options *o, const struct model *m, struct err *e)
{
    struct cli_factory f;
    struct tally t = {.digest = DIGEST_INIT};
    struct json j;
    char hex[17];
    if (cli_factory_open(o->w.c.machine, &o->w.c, false, &f, e) < 0)
        return e->code;
    if (!f.soc)
        return err_set(e, ERR_USAGE, "check audits simulated machines: --machine soc:NAME");
    if (check_names(o, e) < 0)
        return e->code;
    if (o->w.c.json) {
        json_begin(&j, stdout, true);
        json_object_begin(&j, NULL);
        json_array_begin(&j, "runs");
    } else {
        printf("auditing %s with %s, prompt %d, %d tokens\n", o->w.c.machine, m->shape.name,
               o->w.prompt, o->w.gen);
    }
    for (size_t p = 0; p < policy_registry_count; p++)
        for (size_t s = 0, first = 1; s < sync_registry_count; s++) {
            const char *policy = policy_registry[p]->name, *sync = sync_registry[s]->name;
            if ((!o->all_policies && p) || (!o->all_syncs && s))
                continue;
            check_one(&f, o, m, o->all_policies ? policy : o->w.c.policy,
                      o->all_syncs ? sync : o->w.c.sync, first, &t, &j);
            first = 0;
        }
    if (o->w.c.json) {
        json_array_end(&j);
        json_i64(&j, "plans_proven", t.proven);
        json_i64(&j, "ok", t.runs);
        json_i64(&j, "skipped", t.skipped);
        json_i64(&j, "failed", t.failed);
        json_str(&j, "digest", digest_text(t.digest, hex));
        json_object_end(&j);
        json_end(&j);
    } else {
        printf("%d plans proven; %d configurations run twice and audited, %d skipped, %d failed; "
               "digest %s\n",
               t.proven, t.runs, t.skipped, t.failed, digest_text(t.digest, hex));
    }
    return t.failed ? err_set(e, ERR_CHECK, "%d configurations failed the audit", t.failed) : 0;
}

int cmd_check(int argc, char **argv)
{
    struct check_options o = {.all_policies = false};
    struct model *m = NULL;
    struct err e;
    workload_init(&o.w, "soc:sd8gen3", "llama3-8b", 300, 4);
    o.w.c.policy = o.w.c.sync = NULL;
    cli_parse(&argp, argc, argv, &o);
    o.all_policies = !o.w.c.policy;
    o.all_syncs = !o.w.c.sync;
    int rc = cli_model_open(o.w.c.model, &m, &e);
    if (rc >= 0)
        rc = check(&o, m, &e);
    if (m)
        model_close(m);
    return rc < 0 ? cli_fail(&e) : EXIT_OK;
}
