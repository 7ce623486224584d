// SPDX-License-Identifier: GPL-3.0-or-later
// A session is a prefill and then single steps, each a pass of the executor over one of two
// programs. What makes it more than a loop is that a device may fail in any of them.
//
// The tokens so far are the whole state of a session: the KV cache follows from them, and the
// sampler is only asked after a pass that succeeded. So whatever was lost can be computed again
// from them, by whoever is left, and the next token is the same. Usually nothing but the failed
// pass was: the cache lies in memory that all devices share. A device that works on copies may take
// rows with it that nobody else had read; then the pass begins at the first of these
// (executor_salvage).
//
// Invariant: before each pass over tokens [n, ..), rows [0, n) of the KV cache are those of the
// tokens before, whatever failed on the way.
#include "engine/session.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "base/log.h"
#include "engine/profile.h"

// Everything that a run owns, so that one clean-up serves every exit.
struct run {
    const struct session_request *q;
    const struct policy_ops *policy; // the request's, until a device is lost that it cannot miss
    const void *policy_options;
    struct arena arena; // options of the policy that replaced it
    int32_t *ids;       // prompt and generated tokens; NULL without values
    struct executor *x;
    struct program *prefill, *decode;
    struct plan prefill_plan, decode_plan;
    struct graph prefill_graph, decode_graph;
    struct sampler *sampler;
    int n_ctx;
    int n_losses;
    struct session_loss loss[MACHINE_MAX_DEVICES];
};

static struct run begin_run(const struct session_request *q)
{
    struct run r = {.q = q, .policy = q->policy, .policy_options = q->policy_options};
    arena_init(&r.arena);
    return r;
}

static double ms(int64_t ps)
{
    return (double)ps / PS_PER_MS;
}

int session_profile(struct machine *m, const struct model *model, int n_prompt, int n_gen,
                    struct cost_table *t, struct err *e)
{
    struct profile_request r;
    profile_default(m, n_prompt, n_prompt + n_gen, &r);
    return profile_run(m, model, &r, t, e);
}

static int make_plan(const struct run *r, const struct graph *g, struct plan *out, struct err *e)
{
    const struct session_request *q = r->q;
    struct machine_desc d;
    machine_describe(q->machine, &d);
    int rc = r->policy->plan(g, &d, q->cost, r->policy_options, out, e);
    if (rc == 0 && (rc = plan_check(out, g, &d, q->machine, e)) < 0)
        plan_fini(out);
    if (rc < 0)
        *out = (struct plan){0};
    return rc;
}

// For a prefill of n tokens after n_past. The decode plan is made once, for a context in the middle
// of what will be generated.
static int make_plans(struct run *r, int n, int n_past, struct err *e)
{
    const struct session_request *q = r->q;
    graph_build(q->model, n, n_past, &r->prefill_graph);
    graph_build(q->model, 1, q->n_prompt + q->n_gen / 2, &r->decode_graph);
    if (make_plan(r, &r->prefill_graph, &r->prefill_plan, e) < 0)
        return e->code;
    return make_plan(r, &r->decode_graph, &r->decode_plan, e);
}

static void drop_plans(struct run *r)
{
    if (r->x) {
        executor_release(r->x, r->prefill);
        executor_release(r->x, r->decode);
    }
    plan_fini(&r->prefill_plan);
    plan_fini(&r->decode_plan);
    r->prefill = r->decode = NULL;
    r->prefill_plan = r->decode_plan = (struct plan){0};
}

static int largest_step(const struct plan *p)
{
    int n = 1;
    for (int i = 0; i < p->n_steps; i++)
        if (p->step[i].n1 - p->step[i].n0 > n)
            n = p->step[i].n1 - p->step[i].n0;
    return n;
}

// The plans as programs, on a machine whose scheme is set.
static int compile(struct run *r, struct err *e)
{
    const struct session_request *q = r->q;
    if (executor_reserve(r->x, largest_step(&r->prefill_plan), e) < 0 ||
        executor_set_sync(r->x, q->sync, q->sync_options, e) < 0 ||
        executor_compile(r->x, &r->prefill_plan, &r->prefill_graph, q->cost, &r->prefill, e) < 0 ||
        executor_compile(r->x, &r->decode_plan, &r->decode_graph, q->cost, &r->decode, e) < 0)
        return e->code;
    return 0;
}

// --- going on without a device

// Plans for the machine as it is now, by the policy so far or by the first that can.
static int plan_anew(struct run *r, int n, int n_past, struct err *e)
{
    static const char *const fallback[] = {"hetero_tensor", "gpu_only", "cpu_only", "npu_only"};
    struct err why = {0};
    drop_plans(r);
    if (make_plans(r, n, n_past, e) == 0)
        return 0;
    for (size_t i = 0; i < sizeof fallback / sizeof fallback[0]; i++) {
        drop_plans(r);
        if (policy_parse(fallback[i], &r->arena, &r->policy, &r->policy_options, &why) == 0 &&
            make_plans(r, n, n_past, &why) == 0) {
            log_warn("%s: going on with policy %s", e->msg, fallback[i]);
            return 0;
        }
    }
    drop_plans(r);
    return e->code;
}

// May the run go on after this error?
static bool may_go_on(const struct run *r, const struct err *e)
{
    return r->q->on_loss == SESSION_CONTINUE && e->code == ERR_DEVICE && r->x &&
           executor_culprit(r->x) >= 0;
}

// A device failed in a pass that was to end at token n and began at token *from. Makes everything
// ready for a pass that does it without the device, from token *from on. Its loss is noted.
static int go_on(struct run *r, int n, int *from, struct err *e)
{
    struct machine *m = r->q->machine;
    struct session_loss *l = &r->loss[r->n_losses++];
    int d = executor_culprit(r->x);
    assert(!m->lost[d]);
    m->lost[d] = true;
    l->device = m->device[d]->caps.name;
    l->token = n > r->q->n_prompt ? n - r->q->n_prompt : 0;
    snprintf(l->why, sizeof l->why, "%s", e->msg);
    log_warn("%s", e->msg);
    if (executor_salvage(r->x, *from, from, e) < 0)
        return e->code;
    l->kept = *from;
    l->redone = n - *from;
    if (plan_anew(r, n - *from, *from, e) < 0)
        return err_set(e, ERR_DEVICE, "%.200s; and nothing is left to go on with", l->why);
    l->policy = r->policy->name;
    return compile(r, e);
}

// Tokens [from, n) were to be computed since `begin`, or only to be made ready for, and rc is how
// it ended. However often a device fails: goes on as long as one is left.
static int persist(struct run *r, int rc, int64_t begin, int from, int n, bool ready, struct err *e)
{
    struct machine *m = r->q->machine;
    int64_t noticed[MACHINE_MAX_DEVICES] = {0};
    const int first = r->n_losses;
    while (rc < 0 && may_go_on(r, e)) {
        struct session_loss *l = &r->loss[r->n_losses];
        int64_t now = noticed[r->n_losses] = m->ops->now(m);
        l->lost_ms = ms(now - begin);
        begin = now;
        rc = go_on(r, n, &from, e);
        if (rc == 0 && !ready)
            rc = executor_run(r->x, r->prefill, r->ids ? r->ids + from : NULL, from, e);
    }
    for (int i = r->n_losses - 1; i >= first; i--) {
        struct session_loss *l = &r->loss[i];
        if (!l->policy && rc == 0) // the next failed before there was a plan: they were one
            l->policy = l[1].policy, l->kept = l[1].kept, l->redone = l[1].redone;
        l->recovery_ms = ms(m->ops->now(m) - noticed[i]);
    }
    return rc;
}

// Programs for the beginning. A device that fails in loading or preparing counts like any other.
static int make_ready(struct run *r, struct err *e)
{
    int64_t begin = r->q->machine->ops->now(r->q->machine);
    return persist(r, compile(r, e), begin, 0, r->q->n_prompt, true, e);
}

// One pass, over the prompt (i = 0) or over generated token i - 1.
static int pass(struct run *r, int i, struct err *e)
{
    int n = r->q->n_prompt + i, from = i ? n - 1 : 0;
    int64_t begin = r->q->machine->ops->now(r->q->machine);
    int rc = executor_run(r->x, i ? r->decode : r->prefill, r->ids ? r->ids + from : NULL, from, e);
    return persist(r, rc, begin, from, n, false, e);
}

static int set_up(struct run *r, struct err *e)
{
    const struct session_request *q = r->q;
    if (q->n_prompt < 1 || q->n_gen < 1)
        return err_set(e, ERR_USAGE,
                       "a session needs at least one prompt token and one to generate");
    r->n_ctx = q->n_ctx ? q->n_ctx : q->n_prompt + q->n_gen;
    if (q->n_prompt + q->n_gen > r->n_ctx)
        return err_set(e, ERR_USAGE,
                       "%d prompt tokens and %d to generate do not fit a context of %d",
                       q->n_prompt, q->n_gen, r->n_ctx);
    if (q->machine->values && !q->prompt)
        return err_set(e, ERR_USAGE, "machine %s computes values and needs prompt tokens",
                       q->machine->name);
    for (int i = 0; q->prompt && i < q->n_prompt; i++)
        if (q->prompt[i] < 0 || q->prompt[i] >= q->model->shape.n_vocab)
            return err_set(e, ERR_USAGE, "prompt token %d is outside the vocabulary of %d",
                           (int)q->prompt[i], q->model->shape.n_vocab);
    q->machine->ops->reset(q->machine);
    if (q->trace)
        q->machine->ops->trace(q->machine, q->trace);
    if (q->machine->values) {
        r->ids = calloc((size_t)(q->n_prompt + q->n_gen), sizeof *r->ids);
        if (!r->ids)
            abort();
        memcpy(r->ids, q->prompt, (size_t)q->n_prompt * sizeof *r->ids);
    }
    if (make_plans(r, q->n_prompt, 0, e) < 0)
        return e->code;
    if (executor_create(q->machine, q->model, r->n_ctx, largest_step(&r->prefill_plan), &r->x, e) <
            0 ||
        make_ready(r, e) < 0 ||
        sampler_create(&q->sampler, q->model->shape.n_vocab, &r->sampler, e) < 0)
        return e->code;
    return 0;
}

static void tear_down(struct run *r)
{
    sampler_destroy(r->sampler);
    drop_plans(r);
    executor_destroy(r->x);
    arena_fini(&r->arena);
    free(r->ids);
}

static double bytes_so_far(const struct session_request *q)
{
    double sum = 0;
    for (int d = 0; d < q->machine->n_devices; d++) {
        struct device_stats s;
        q->machine->device[d]->ops->stats(q->machine->device[d], &s);
        sum += s.bytes;
    }
    return sum;
}

static double energy_so_far(const struct session_request *q)
{
    struct energy j;
    q->machine->ops->energy(q->machine, &j);
    return j.total;
}

static struct frames frames_so_far(const struct session_request *q)
{
    struct frames f;
    q->machine->ops->frames(q->machine, &f);
    return f;
}

static struct session_frames frames_between(const struct frames *a, const struct frames *b,
                                            int64_t ps)
{
    struct session_frames f = {
        .shown = b->shown - a->shown,
        .late = b->late - a->late,
        .dropped = b->dropped - a->dropped,
    };
    f.rate = b->rate > 0 && ps > 0 ? (double)f.shown * (double)PS_PER_S / (double)ps : (double)NAN;
    return f;
}

static uint64_t logits_digest(const struct run *r)
{
    const float *l = executor_logits(r->x);
    return l ? digest_bytes(DIGEST_INIT, l, (size_t)r->q->model->shape.n_vocab * sizeof *l) : 0;
}

// What is known of the plans themselves.
static void collect_plans(const struct run *r, struct session_result *out)
{
    const struct plan *p = &r->prefill_plan, *q = &r->decode_plan;
    struct machine_desc d;
    machine_describe(r->q->machine, &d);
    int a = plan_activation_bits(p, &r->prefill_graph, &d);
    int b = plan_activation_bits(q, &r->decode_graph, &d);
    out->activation_bits = a < b ? a : b;
    out->plan_prefill = plan_digest(p);
    out->plan_decode = plan_digest(q);
    out->predicted_prefill_ms = p->predicted_ps > 0 ? p->predicted_ps / PS_PER_MS : (double)NAN;
    out->predicted_decode_ms = q->predicted_ps > 0 ? q->predicted_ps / PS_PER_MS : (double)NAN;
}

static void collect(struct run *r, int64_t elapsed, struct session_result *out)
{
    const struct session_request *q = r->q;
    struct machine *m = q->machine;
    const struct executor_stats *xs = executor_get_stats(r->x);
    struct energy j;
    m->ops->energy(m, &j);
    out->n_devices = m->n_devices;
    out->memory_bytes = (double)executor_memory(r->x) + (double)model_weight_bytes(q->model);
    for (int d = 0; d < m->n_devices; d++) {
        struct session_device *s = &out->device[d];
        s->name = m->device[d]->caps.name;
        m->device[d]->ops->stats(m->device[d], &s->stats);
        s->work = xs->work[d];
        s->utilisation = elapsed > 0 ? (double)s->stats.busy_ps / (double)elapsed : 0;
        s->energy_j = j.device[d];
        s->lost = m->lost[d];
        out->prepare_ms += ms(s->stats.prepare_ps);
        out->memory_bytes += (double)s->stats.resident;
    }
    out->submissions = xs->submissions;
    out->joins = xs->joins;
    out->copied_bytes = (double)xs->map_bytes;
    out->energy_j = j.total;
    out->temperature_c = j.temperature;
    out->throttled = j.throttled;
    out->n_losses = r->n_losses;
    memcpy(out->loss, r->loss, sizeof out->loss);
    out->logits_digest = logits_digest(r);
    uint64_t d = digest_u64(digest_u64(DIGEST_INIT, out->plan_prefill), out->plan_decode);
    for (int i = 0; out->tokens && i < out->n_gen; i++)
        d = digest_u64(d, (uint64_t)out->tokens[i]);
    out->digest = digest_u64(d, m->ops->digest(m));
}

// Generates tokens; the clock runs from the first submission of the prefill.
static int generate(struct run *r, struct session_result *out, struct err *e)
{
    const struct session_request *q = r->q;
    struct machine *m = q->machine;
    const int n_prompt = q->n_prompt;
    int32_t id = 0;
    if (m->values && !(out->tokens = calloc((size_t)q->n_gen, sizeof *out->tokens)))
        abort();
    collect_plans(r, out); // as they are before anything is lost
    executor_clear(r->x);
    int64_t begin = m->ops->now(m), first = 0, end = 0;
    double bytes0 = bytes_so_far(q), energy0 = energy_so_far(q), bytes1 = 0;
    struct frames frames0 = frames_so_far(q), frames1 = frames0, frames2;
    for (int i = 0; i < q->n_gen; i++) {
        if (pass(r, i, e) < 0)
            return e->code;
        if (m->values)
            r->ids[n_prompt + i] = id = sampler_pick(r->sampler, executor_logits(r->x));
        end = m->ops->now(m);
        if (i == 0) {
            first = end;
            bytes1 = bytes_so_far(q);
            frames1 = frames_so_far(q);
            out->energy_prefill_j = energy_so_far(q) - energy0;
        }
        if (out->tokens)
            out->tokens[i] = id;
        out->n_gen = i + 1;
        bool stop = q->on_token && q->on_token(q->user, id);
        if (stop || (m->values && q->is_end && q->is_end(q->user, id)))
            break;
    }
    int more = out->n_gen - 1;
    frames2 = frames_so_far(q);
    out->frame_rate = frames2.rate;
    out->frames_prefill = frames_between(&frames0, &frames1, first - begin);
    out->frames_decode = frames_between(&frames1, &frames2, end - first);
    out->ttft_ms = ms(first - begin);
    out->total_ms = ms(end - begin);
    out->tpot_ms = more ? ms(end - first) / more : (double)NAN;
    out->prefill_tok_s = n_prompt / out->ttft_ms * 1e3;
    out->decode_tok_s = more ? 1e3 / out->tpot_ms : (double)NAN;
    out->power_prefill_w = out->energy_prefill_j / out->ttft_ms * 1e3;
    out->bytes_moved = bytes_so_far(q) - bytes0;
    out->bytes_decode = out->bytes_moved - (bytes1 - bytes0);
    out->decode_gb_s = more ? out->bytes_decode / (ms(end - first) * 1e6) : (double)NAN;
    collect(r, end - begin, out);
    return 0;
}

int session_plan(const struct session_request *q, struct session_result *out, struct err *e)
{
    struct run r = begin_run(q);
    const double unknown = (double)NAN;
    *out = (struct session_result){.n_prompt = q->n_prompt,
                                   .n_gen = q->n_gen,
                                   .ttft_ms = unknown,
                                   .tpot_ms = unknown,
                                   .prefill_tok_s = unknown,
                                   .decode_tok_s = unknown,
                                   .total_ms = unknown,
                                   .prepare_ms = unknown,
                                   .energy_j = unknown,
                                   .energy_prefill_j = unknown,
                                   .power_prefill_w = unknown,
                                   .bytes_moved = unknown,
                                   .bytes_decode = unknown,
                                   .decode_gb_s = unknown,
                                   .memory_bytes = unknown,
                                   .frames_prefill = {.rate = unknown},
                                   .frames_decode = {.rate = unknown}};
    int rc = make_plans(&r, q->n_prompt, 0, e);
    if (rc == 0)
        collect_plans(&r, out);
    tear_down(&r);
    return rc;
}

int session_run(const struct session_request *q, struct session_result *out, struct err *e)
{
    struct run r = begin_run(q);
    *out = (struct session_result){.n_prompt = q->n_prompt};
    int rc = set_up(&r, e);
    if (rc == 0)
        rc = generate(&r, out, e);
    if (q->trace)
        q->machine->ops->trace(q->machine, NULL);
    tear_down(&r);
    if (rc < 0)
        session_result_fini(out);
    return rc;
}

void session_result_fini(struct session_result *r)
{
    free(r->tokens);
    *r = (struct session_result){0};
}

int session_plans_make(const struct session_request *q, struct session_plans *out, struct err *e)
{
    struct run r = begin_run(q);
    int rc = make_plans(&r, q->n_prompt, 0, e);
    if (rc < 0) {
        tear_down(&r);
        return rc;
    }
    *out = (struct session_plans){r.prefill_graph, r.decode_graph, r.prefill_plan, r.decode_plan};
    return 0;
}

void session_plans_fini(struct session_plans *p)
{
    plan_fini(&p->prefill);
    plan_fini(&p->decode);
}

int session_print_plans(const struct session_request *q, FILE *f, struct err *e)
{
    struct session_plans p;
    struct machine_desc d;
    machine_describe(q->machine, &d);
    if (session_plans_make(q, &p, e) < 0)
        return e->code;
    fprintf(f, "prefill: ");
    plan_print(&p.prefill, &p.prefill_graph, &d, f);
    fprintf(f, "decode: ");
    plan_print(&p.decode, &p.decode_graph, &d, f);
    session_plans_fini(&p);
    return 0;
}

// What the model's arithmetic is, whoever does it: whole tasks of every operator of every step.
static double model_flops(const struct session_request *q, int n_gen)
{
    double sum = 0;
    for (int i = 0; i < n_gen; i++) {
        struct graph g;
        graph_build(q->model, i ? 1 : q->n_prompt, i ? q->n_prompt + i - 1 : 0, &g);
        for (int o = 0; o < g.n_ops; o++) {
            struct task t;
            bool block = o >= g.block_begin && o < g.block_end;
            graph_task(&g, o, 0, &t);
            sum += task_work(&t, 4).flops * (block ? q->model->shape.n_layer : 1);
        }
    }
    return sum;
}

// What a lost device did of what it was given is nobody's business, and work that was done twice is
// counted twice.
int session_audit(const struct session_request *q, const struct session_result *r, struct err *e)
{
    double flops = 0, expected = model_flops(q, r->n_gen);
    for (int d = 0; d < r->n_devices; d++) {
        const struct session_device *s = &r->device[d];
        double useful = s->work.weight_bytes + s->work.read_bytes + s->work.write_bytes;
        if (!s->lost && fabs(s->stats.flops - s->work.flops) > 1e-6 * (s->work.flops + 1))
            return err_at(e, ERR_CHECK, NULL, 0, s->name,
                          "the device did %.6g flop, it was given %.6g", s->stats.flops,
                          s->work.flops);
        if (!s->lost && s->stats.bytes < useful * (1 - 1e-6))
            return err_at(e, ERR_CHECK, NULL, 0, s->name,
                          "the device moved %.6g bytes, its work needs %.6g", s->stats.bytes,
                          useful);
        if (s->utilisation > 1 + 1e-9)
            return err_at(e, ERR_CHECK, NULL, 0, s->name, "busy for %.2f %% of the time",
                          s->utilisation * 100);
        flops += s->work.flops;
    }
    if (r->n_losses ? flops < expected * (1 - 1e-6) : fabs(flops - expected) > 1e-6 * expected)
        return err_set(e, ERR_CHECK, "the devices were given %.6g flop, the model has %.6g", flops,
                       expected);
    return 0;
}
