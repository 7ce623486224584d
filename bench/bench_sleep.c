// SPDX-License-Identifier: GPL-3.0-or-later
// What a wrong profile does to a scheme that sleeps through the predicted time: decode steps of a
// model of four layers, matmuls on the tile NPU and all else on the CPU, one thread each, with all
// times of the cost table multiplied by a factor; with the executor's corrections (engine/pace.h)
// and without. One device works at a time, so that two cores hold it and the control plane.
//
//     bench_sleep [STEPS [SCHEME ...]]
//
// Per scheme and factor: the first step, and the median of all the others (ms). Schemes, factors
// and both modes take turns, step by step. The digest of the logits must be the same everywhere.
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "bench/util.h"
#include "engine/executor.h"
#include "engine/host/host.h"
#include "engine/profile.h"
#include "engine/session.h"

enum { MOST = 400, CASES = 64, LAYERS = 4 };
static const char *const usual[] = {"poll", "event", "futex", "sleep_poll", "queue_order"};
static const double factors[] = {0.5, 1, 2, 4};
enum { FACTORS = sizeof factors / sizeof factors[0] };

struct step_case {
    const char *scheme;
    const struct sync_ops *sync;
    const void *options;
    double factor;
    bool fixed; // without corrections
    struct executor *x;
    struct program *p;
    double ms[MOST];
    uint64_t digest;
};
static struct step_case all[CASES];
static struct err e;

struct scaled {
    struct cost_table *to;
    double factor;
};

static void scale_row(void *ctx, const struct cost_row *r)
{
    struct scaled *s = ctx;
    for (int k = 0; k < OP_KINDS; k++)
        if (!strcmp(op_kind_name((enum op_kind)k), r->kind) && k == OP_MATMUL)
            cost_add_matmul(s->to, r->device, (enum operand_order)r->order, r->k, r->x, r->n,
                            r->ps * s->factor);
        else if (!strcmp(op_kind_name((enum op_kind)k), r->kind))
            cost_add_op(s->to, r->device, (enum op_kind)k, r->k, r->n, r->x, r->ps * s->factor);
}

static void open_case(struct step_case *c, struct machine *m, const struct model *model,
                      const struct cost_table *t, struct arena *a)
{
    struct machine_desc d;
    struct graph g;
    struct plan plan;
    struct scaled s = {cost_create(), c->factor};
    machine_describe(m, &d);
    cost_walk(t, scale_row, &s);
    graph_build(model, 1, 1, &g);
    plan_init(&plan, "by hand", 1);
    struct plan_step *st = plan_add_step(&plan, 0, 1);
    for (int i = 0; i < g.n_ops; i++) {
        bool matmul = g.op[i].kind == OP_MATMUL;
        plan_whole(&plan, st, &g.op[i], 1, matmul ? d.npu : d.cpu);
        for (int k = 0; k < st->op[i].n_shards && matmul; k++)
            st->op[i].shard[k].n_pad = 1;
    }
    bench_must(plan_check(&plan, &g, &d, m, &e), &e);
    bench_must(sync_parse(c->scheme, a, &c->sync, &c->options, &e), &e);
    bench_must(executor_create(m, model, 8, 1, &c->x, &e), &e);
    bench_must(executor_set_sync(c->x, c->sync, c->options, &e), &e);
    m->repeatable = c->fixed; // the one thing that switches the corrections off
    bench_must(executor_compile(c->x, &plan, &g, s.to, &c->p, &e), &e);
    m->repeatable = false;
    plan_fini(&plan);
    cost_destroy(s.to);
}

static void step(struct step_case *c, struct machine *m, int vocab, int i)
{
    const int32_t token = 5;
    m->repeatable = c->fixed;
    int64_t begin = m->ops->now(m);
    bench_must(executor_run(c->x, c->p, &token, 0, &e), &e);
    c->ms[i] = (double)(m->ops->now(m) - begin) / PS_PER_MS;
    m->repeatable = false;
    c->digest = digest_bytes(DIGEST_INIT, executor_logits(c->x), (size_t)vocab * sizeof(float));
}

int main(int argc, char **argv)
{
    int steps = argc > 1 ? atoi(argv[1]) : 40, n = 0;
    struct arena arena;
    struct conf *conf;
    struct machine *m;
    struct model *model;
    struct cost_table *t = cost_create();
    const char *const *schemes = argc > 2 ? (const char *const *)argv + 2 : usual;
    int n_schemes = argc > 2 ? argc - 2 : (int)(sizeof usual / sizeof usual[0]);
    if (steps < 3 || steps > MOST) {
        fprintf(stderr, "bench_sleep: 3 to %d steps\n", MOST);
        return 2;
    }
    arena_init(&arena);
    bench_must(conf_open_text("bench_sleep", "gpu = { enabled = false; }; cpu = { threads = 1; };",
                              &conf, &e),
               &e);
    bench_must(machine_host_open(conf, &m, &e), &e);
    conf_close(conf);
    bench_must(model_open_shape("configs/model/tinyllama-1.1b.cfg", &model, &e), &e);
    model->shape.n_layer = LAYERS;
    bench_must(model_generate(model, &encoding_q4_0, 1, &e), &e);
    bench_must(session_profile(m, model, 1, 2, t, &e), &e);
    for (int s = 0; s < n_schemes && n + FACTORS * 2 <= CASES; s++) {
        bool sleeps = strstr(schemes[s], "sleep") || strstr(schemes[s], "queue");
        for (int f = 0; f < FACTORS; f++)
            for (int fixed = 0; fixed < 2; fixed++)
                if (sleeps || (factors[f] == 1 && !fixed)) {
                    all[n] = (struct step_case){
                        .scheme = schemes[s], .factor = factors[f], .fixed = fixed};
                    open_case(&all[n++], m, model, t, &arena);
                }
    }
    for (int i = 0; i < steps; i++)
        for (int c = 0; c < n; c++)
            step(&all[c], m, model->shape.n_vocab, i);
    printf("scheme                        profile   corrected     first    median   (ms per step, "
           "%d steps)\n",
           steps);
    for (int c = 0; c < n; c++) {
        double first = all[c].ms[0];
        printf("%-28s  x %-5g   %-9s  %8.2f  %8.2f   digest %016llx\n", all[c].scheme,
               all[c].factor, all[c].fixed ? "no" : "yes", first,
               profile_median(all[c].ms + 1, steps - 1), (unsigned long long)all[c].digest);
        executor_release(all[c].x, all[c].p);
        executor_destroy(all[c].x);
        if (all[c].digest != all[0].digest)
            return 1;
    }
    cost_destroy(t);
    model_close(model);
    m->ops->close(m);
    arena_fini(&arena);
    return 0;
}
