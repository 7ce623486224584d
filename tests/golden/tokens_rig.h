// SPDX-License-Identifier: GPL-3.0-or-later
// Runs a model through one configuration (machine, policy, sync scheme) and holds the outcome
// against the reference, in two ways.
//
// Generated: a session as the user gets it. Its tokens equal the reference's up to the first
// near tie, a step whose best two logits are closer than twice the tolerance.
// Forced: the reference's own tokens are fed in, whatever the engine would have chosen: a prefix as
// one prefill, then single steps. At every step the reference's best two logits are met within the
// tolerance, and its token is the best one, or within twice the tolerance of it. So a near tie does
// not end the comparison, and prefills are long enough for every strategy to cut.
//
// Policies plan over a made table in which both partners are equally fast (a measured one would
// change from run to run, and may leave a device idle on a tiny model).
#ifndef TESTS_GOLDEN_TOKENS_RIG_H
#define TESTS_GOLDEN_TOKENS_RIG_H

#include "base/conf.h"
#include "engine/executor.h"
#include "engine/host/host.h"
#include "engine/session.h"
#include "models/soc/soc.h"
#include "tests/golden/tokens_reference.h"

// Tolerances of a logit.
//
// F32: a logit is a sum of some hundred products, after as many roundings as there are matmuls on
// the way (29 in the deepest model here). Rounding errors add up like a random walk: a logit of 25
// moves by 25 * 2^-24 * sqrt(29 * 200) = 1.1e-4 at one standard deviation per product, far less in
// practice (the products are smaller than their sum's scale): 1e-5 was seen on every back end.
// INT8: activations rounded to 8 bits in blocks of 32 (data/README.md: moves of up to 0.15 in the
// reference itself); twice that.
#define F32_TOLERANCE  1e-4
#define INT8_TOLERANCE 0.3

enum { BRIEF_MAX = 80 };

struct setting {
    const char *machine;   // "host" or a path of configs/soc
    const char *overrides; // "key=value;key=value" or NULL
    const char *policy, *sync;
    const char *busy;    // the devices that must have worked, and no other; NULL: whoever
    double tolerance[2]; // of a logit: F32 weights, Q8_0 weights
    int prefill;         // tokens of a forced line's prefill; 0: the prompt
    bool brief;          // only lines with logits and of at most BRIEF_MAX positions
    int models;          // only so many of the references; 0: all
    int positions;       // only the last of these lines, and so much of it; 0: all
};

// What was seen; printed with the test.
struct seen {
    int generated, forced, ties; // tokens compared; steps where a near tie excused another choice
    double worst;                // distance of a logit from the reference
};

struct rig {
    struct machine *machine;
    struct cost_table *cost;
    struct arena arena;
    const struct policy_ops *policy;
    const struct sync_ops *sync;
    const void *policy_options, *sync_options;
    const struct setting *setting;
    const struct model *model;
    double tolerance;
    double flops[MACHINE_MAX_DEVICES]; // handed to each device so far
};

static inline struct machine *rig_machine(const char *machine, const char *overrides)
{
    struct conf *c;
    struct machine *m = NULL;
    struct err e = {0};
    char text[1400], *save = NULL;
    bool host = !strcmp(machine, "host");
    int rc = host ? conf_open_text("test", "", &c, &e) : conf_open(machine, &c, &e);
    if (!CHECK_OK(rc, &e))
        return NULL;
    snprintf(text, sizeof text, "%s", overrides ? overrides : "");
    for (char *k = strtok_r(text, ";", &save); k; k = strtok_r(NULL, ";", &save)) {
        char *value = strchr(k, '=');
        *value++ = 0;
        CHECK_OK(conf_override(c, k, value, &e), &e);
    }
    rc = host ? machine_host_open(c, &m, &e) : machine_soc_open(c, true, &m, &e);
    CHECK_OK(rc, &e);
    conf_close(c);
    return rc < 0 ? NULL : m;
}

// Skips the running test on a machine without an OpenCL device.
static inline bool gpu_absent(void)
{
    struct machine *m = rig_machine("host", "npu.enabled=false");
    bool found = m && machine_find(m, "gpu");
    if (m)
        m->ops->close(m);
    if (!found)
        test_skip("no OpenCL device");
    return !found;
}

// Time in proportion to rows and tokens, the same for all devices.
static inline void made_cost(struct cost_table *t, const struct machine *m,
                             const struct model *model)
{
    struct graph g;
    graph_build(model, 1, 0, &g);
    for (int d = 0; d < m->n_devices; d++)
        for (int o = 0; o < g.n_ops; o++)
            for (int i = 0; i < 2; i++) {
                int n = i ? 1024 : 1, rows = g.op[o].m;
                double ps = 1e3 * n;
                if (g.op[o].kind != OP_MATMUL) {
                    cost_add_op(t, d, g.op[o].kind, rows, n, 1, ps);
                    continue;
                }
                for (int order = 0; order < ORDER_COUNT; order++) {
                    cost_add_matmul(t, d, (enum operand_order)order, g.op[o].k, 1, n, ps);
                    cost_add_matmul(t, d, (enum operand_order)order, g.op[o].k, rows, n, ps * rows);
                }
            }
}

static inline bool rig_open(struct rig *r, const struct setting *s, const struct reference *ref)
{
    struct err e = {0};
    *r = (struct rig){.setting = s, .model = ref->model};
    bool f32 = ref->model->layers[0].q.enc == &encoding_f32;
    r->tolerance = s->tolerance[f32 ? 0 : 1];
    r->machine = rig_machine(s->machine, s->overrides);
    if (!r->machine)
        return false;
    arena_init(&r->arena);
    r->cost = cost_create();
    made_cost(r->cost, r->machine, r->model);
    return CHECK_OK(policy_parse(s->policy, &r->arena, &r->policy, &r->policy_options, &e), &e) &&
           CHECK_OK(sync_parse(s->sync, &r->arena, &r->sync, &r->sync_options, &e), &e);
}

static inline void rig_close(struct rig *r)
{
    if (!r->machine)
        return;
    r->machine->ops->close(r->machine);
    cost_destroy(r->cost);
    arena_fini(&r->arena);
}

static inline void rig_generate(struct rig *r, const struct line *l, struct seen *seen)
{
    struct session_request q = {.machine = r->machine,
                                .model = r->model,
                                .policy = r->policy,
                                .policy_options = r->policy_options,
                                .sync = r->sync,
                                .sync_options = r->sync_options,
                                .cost = r->cost,
                                .prompt = l->in,
                                .n_prompt = l->n_prompt,
                                .n_gen = l->n - l->n_prompt + 1,
                                .sampler = {.top_p = 1}};
    struct session_result out;
    struct err e = {0};
    if (!CHECK_OK(session_run(&q, &out, &e), &e))
        return;
    CHECK_OK(session_audit(&q, &out, &e), &e);
    CHECK_INT(out.n_gen, q.n_gen);
    for (int i = 0; i < out.n_gen; i++) {
        int pos = l->n_prompt - 1 + i;
        if (margin(l, pos) < 2 * r->tolerance)
            break;
        if (!CHECK_INT(out.tokens[i], l->next[pos]))
            break;
        seen->generated++;
    }
    for (int d = 0; d < out.n_devices; d++)
        r->flops[d] += out.device[d].work.flops;
    session_result_fini(&out);
}

static inline int rig_plan(const struct rig *r, const struct graph *g, struct plan *p,
                           struct err *e)
{
    struct machine_desc d;
    machine_describe(r->machine, &d);
    if (r->policy->plan(g, &d, r->cost, r->policy_options, p, e) < 0)
        return e->code;
    return plan_check(p, g, &d, r->machine, e);
}

static inline bool compare(const struct rig *r, const struct line *l, int pos, const float *logits,
                           struct seen *seen)
{
    int best = 0;
    for (int i = 1; i < r->model->shape.n_vocab; i++)
        best = logits[i] > logits[best] ? i : best;
    for (int b = 0; b < 2 && l->best; b++) {
        double off = fabs(logits[l->best[pos].top[b]] - l->best[pos].logit[b]);
        seen->worst = fmax(seen->worst, off);
        if (!CHECK_NEAR(logits[l->best[pos].top[b]], l->best[pos].logit[b], r->tolerance))
            return false;
    }
    seen->forced++;
    if (pos < l->n_prompt - 1 || best == l->next[pos])
        return true;
    seen->ties++;
    return CHECK_NEAR(logits[best], logits[l->next[pos]], 2 * r->tolerance);
}

static inline void rig_force(struct rig *r, const struct line *l, int prefill, struct seen *seen)
{
    struct graph g[2];
    struct plan plan[2] = {{0}, {0}};
    struct program *program[2] = {NULL, NULL};
    struct executor *x = NULL;
    struct err e = {0};
    r->machine->ops->reset(r->machine);
    graph_build(r->model, prefill, 0, &g[0]);
    graph_build(r->model, 1, prefill, &g[1]);
    if (!CHECK_OK(executor_create(r->machine, r->model, l->n, prefill, &x, &e), &e))
        return;
    bool ok = CHECK_OK(executor_set_sync(x, r->sync, r->sync_options, &e), &e);
    for (int i = 0; i < 2 && ok; i++)
        ok = CHECK_OK(rig_plan(r, &g[i], &plan[i], &e), &e) &&
             CHECK_OK(executor_compile(x, &plan[i], &g[i], r->cost, &program[i], &e), &e);
    if (ok)
        executor_clear(x);
    for (int pos = prefill - 1; pos < l->n && ok; pos++) {
        bool first = pos == prefill - 1;
        ok = CHECK_OK(
                 executor_run(x, program[!first], first ? l->in : l->in + pos, first ? 0 : pos, &e),
                 &e) &&
             compare(r, l, pos, executor_logits(x), seen);
    }
    for (int d = 0; d < r->machine->n_devices; d++)
        r->flops[d] += executor_get_stats(x)->work[d].flops;
    for (int i = 0; i < 2; i++) {
        executor_release(x, program[i]);
        if (plan[i].step)
            plan_fini(&plan[i]);
    }
    executor_destroy(x);
}

// A setting that leaves a device idle proves nothing about it.
static inline void check_busy(const struct rig *r)
{
    for (int d = 0; r->setting->busy && d < r->machine->n_devices; d++) {
        const char *name = r->machine->device[d]->caps.name;
        bool wanted = strstr(r->setting->busy, name) != NULL;
        if (!CHECK(wanted == (r->flops[d] > 0)))
            test_note("%s: %s was given %g flop", r->setting->policy, name, r->flops[d]);
    }
}

static inline void run_line(struct rig *r, const struct line *l, struct seen *seen)
{
    int prefill = r->setting->prefill;
    if (l->best)
        rig_generate(r, l, seen);
    rig_force(r, l, prefill && prefill < l->n ? prefill : l->n_prompt, seen);
}

static inline void run_reference(const struct setting *s, const struct reference *ref)
{
    struct rig r;
    struct seen seen = {0};
    if (rig_open(&r, s, ref)) {
        struct line last = {0};
        for (int i = 0; i < ref->n_lines; i++) {
            const struct line *l = &ref->line[i];
            if (s->brief && (!l->best || l->n > BRIEF_MAX))
                continue;
            if (s->positions)
                last = *l;
            else
                run_line(&r, l, &seen);
        }
        last.n = last.n < s->positions ? last.n : s->positions;
        if (last.n)
            run_line(&r, &last, &seen);
        check_busy(&r);
        test_note("%-21s %-19s %-12s %4d generated, %4d forced, %d ties; logits within %.2g of "
                  "%.2g",
                  ref->name, s->policy, s->sync, seen.generated, seen.forced, seen.ties, seen.worst,
                  r.tolerance);
        CHECK(seen.generated > 0);
    }
    rig_close(&r);
}

// All models with references through one setting.
static inline void run_setting(struct setting s)
{
    for (int i = 0; i < (s.models ? s.models : N_REFERENCES); i++) {
        struct reference *ref = reference_get(i);
        if (ref)
            run_reference(&s, ref);
        reference_close(ref);
    }
}

#endif
