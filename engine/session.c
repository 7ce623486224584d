// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/session.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "engine/profile.h"

// Everything that a run owns, so that one clean-up serves every exit.
struct run {
    const struct session_request *q;
    struct executor *x;
    struct program *prefill, *decode;
    struct plan prefill_plan, decode_plan;
    struct graph prefill_graph, decode_graph;
    struct sampler *sampler;
    int n_ctx;
};

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

static int make_plan(const struct session_request *q, const struct graph *g, struct plan *out,
                     struct err *e)
{
    struct machine_desc d;
    machine_describe(q->machine, &d);
    if (q->policy->plan(g, &d, q->cost, q->policy_options, out, e) < 0)
        return e->code;
    if (plan_check(out, g, &d, q->machine, e) < 0) {
        plan_fini(out);
        return e->code;
    }
    return 0;
}

// The decode plan is made once, for a context in the middle of what will be generated.
static int make_plans(struct run *r, struct err *e)
{
    const struct session_request *q = r->q;
    graph_build(q->model, q->n_prompt, 0, &r->prefill_graph);
    graph_build(q->model, 1, q->n_prompt + q->n_gen / 2, &r->decode_graph);
    if (make_plan(q, &r->prefill_graph, &r->prefill_plan, e) < 0)
        return e->code;
    return make_plan(q, &r->decode_graph, &r->decode_plan, e);
}

static int largest_step(const struct plan *p)
{
    int n = 1;
    for (int i = 0; i < p->n_steps; i++)
        if (p->step[i].n1 - p->step[i].n0 > n)
            n = p->step[i].n1 - p->step[i].n0;
    return n;
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
    if (make_plans(r, e) < 0)
        return e->code;
    if (executor_create(q->machine, q->model, r->n_ctx, largest_step(&r->prefill_plan), &r->x, e) <
            0 ||
        executor_set_sync(r->x, q->sync, q->sync_options, e) < 0 ||
        executor_compile(r->x, &r->prefill_plan, &r->prefill_graph, q->cost, &r->prefill, e) < 0 ||
        executor_compile(r->x, &r->decode_plan, &r->decode_graph, q->cost, &r->decode, e) < 0 ||
        sampler_create(&q->sampler, q->model->shape.n_vocab, &r->sampler, e) < 0)
        return e->code;
    return 0;
}

static void tear_down(struct run *r)
{
    sampler_destroy(r->sampler);
    if (r->x) {
        executor_release(r->x, r->prefill);
        executor_release(r->x, r->decode);
    }
    executor_destroy(r->x);
    plan_fini(&r->prefill_plan);
    plan_fini(&r->decode_plan);
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
        out->prepare_ms += ms(s->stats.prepare_ps);
        out->memory_bytes += (double)s->stats.resident;
    }
    out->submissions = xs->submissions;
    out->joins = xs->joins;
    out->copied_bytes = (double)xs->map_bytes;
    out->energy_j = j.total;
    out->temperature_c = j.temperature;
    out->throttled = j.throttled;
    collect_plans(r, out);
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
    executor_clear(r->x);
    int64_t begin = m->ops->now(m), first = 0, end = 0;
    double bytes0 = bytes_so_far(q), energy0 = energy_so_far(q), bytes1 = 0;
    struct frames frames0 = frames_so_far(q), frames1 = frames0, frames2;
    for (int i = 0; i < q->n_gen; i++) {
        struct program *p = i ? r->decode : r->prefill;
        if (executor_run(r->x, p, i ? &id : q->prompt, i ? n_prompt + i - 1 : 0, e) < 0)
            return e->code;
        if (m->values)
            id = sampler_pick(r->sampler, executor_logits(r->x));
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
    struct run r = {.q = q};
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
    int rc = make_plans(&r, e);
    if (rc == 0)
        collect_plans(&r, out);
    plan_fini(&r.prefill_plan);
    plan_fini(&r.decode_plan);
    return rc;
}

int session_run(const struct session_request *q, struct session_result *out, struct err *e)
{
    struct run r = {.q = q};
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
    struct run r = {.q = q};
    int rc = make_plans(&r, e);
    if (rc < 0) {
        plan_fini(&r.prefill_plan);
        plan_fini(&r.decode_plan);
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

int session_audit(const struct session_request *q, const struct session_result *r, struct err *e)
{
    double flops = 0, expected = model_flops(q, r->n_gen);
    for (int d = 0; d < r->n_devices; d++) {
        const struct session_device *s = &r->device[d];
        double useful = s->work.weight_bytes + s->work.read_bytes + s->work.write_bytes;
        if (fabs(s->stats.flops - s->work.flops) > 1e-6 * (s->work.flops + 1))
            return err_at(e, ERR_CHECK, NULL, 0, s->name,
                          "the device did %.6g flop, it was given %.6g", s->stats.flops,
                          s->work.flops);
        if (s->stats.bytes < useful * (1 - 1e-6))
            return err_at(e, ERR_CHECK, NULL, 0, s->name,
                          "the device moved %.6g bytes, its work needs %.6g", s->stats.bytes,
                          useful);
        if (s->utilisation > 1 + 1e-9)
            return err_at(e, ERR_CHECK, NULL, 0, s->name, "busy for %.2f %% of the time",
                          s->utilisation * 100);
        flops += s->work.flops;
    }
    if (fabs(flops - expected) > 1e-6 * expected)
        return err_set(e, ERR_CHECK, "the devices were given %.6g flop, the model has %.6g", flops,
                       expected);
    return 0;
}
