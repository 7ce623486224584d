// SPDX-License-Identifier: GPL-3.0-or-later
// Planning: how long the solvers of hetero_tensor take for a prefill and a decode step of
// Llama-3-8B, over a cost table profiled on the simulated Snapdragon 8 Gen 3. Exploration makes two
// plans per point. Goal: a tenth of the 0.67 ms that 1,500 points/s leave.
#include "bench/util.h"
#include "engine/policy.h"
#include "engine/profile.h"
#include "engine/session.h"
#include "models/soc/soc.h"

static void bench(const struct machine_desc *d, const struct cost_table *c, const char *spec, int n)
{
    enum { REPEATS = 500 };
    struct err e = {0};
    struct arena a;
    struct graph g;
    const struct policy_ops *p;
    const void *options;
    double ms = 0;
    arena_init(&a);
    bench_must(policy_parse(spec, &a, &p, &options, &e), &e);
    graph_build(bench_llama3_8b(), n, n == 1 ? 256 : 0, &g);
    double begin = bench_cpu_time();
    for (int i = 0; i < REPEATS; i++) {
        struct plan plan;
        bench_must(p->plan(&g, d, c, options, &plan, &e), &e);
        ms = plan.predicted_ps / 1e9;
        plan_fini(&plan);
    }
    printf("%-34s n = %4d  %7.1f us/plan  predicts %8.2f ms\n", spec, n,
           (bench_cpu_time() - begin) / REPEATS * 1e6, ms);
    arena_fini(&a);
}

int main(int argc, char **argv)
{
    static const char *const policy[] = {
        "hetero_tensor",
        "hetero_tensor:solver=chain",
        "hetero_tensor:solver=chain,rest=any",
        "hetero_tensor:solver=chain,parts=32",
    };
    static const int tokens[] = {1, 256, 300};
    const char *path = argc > 1 ? argv[1] : "configs/soc/sd8gen3.cfg";
    struct err e = {0};
    struct conf *conf;
    struct machine *m;
    struct machine_desc d;
    struct cost_table *c = cost_create();
    struct arena a;
    const struct sync_ops *sync;
    const void *options;
    arena_init(&a);
    bench_must(conf_open(path, &conf, &e), &e);
    bench_must(machine_soc_open(conf, false, &m, &e), &e);
    conf_close(conf);
    bench_must(sync_parse("queue_order", &a, &sync, &options, &e), &e);
    bench_must(session_profile(m, bench_llama3_8b(), 300, 32, c, &e), &e);
    bench_must(profile_sync(m, bench_llama3_8b(), sync, options, 300, c, &e), &e);
    machine_describe(m, &d);
    for (size_t i = 0; i < sizeof policy / sizeof policy[0]; i++)
        for (size_t j = 0; j < sizeof tokens / sizeof tokens[0]; j++)
            bench(&d, c, policy[i], tokens[j]);
    cost_destroy(c);
    arena_fini(&a);
    m->ops->close(m);
    return 0;
}
