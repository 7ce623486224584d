// SPDX-License-Identifier: GPL-3.0-or-later
// The optimum is the best of a few plans, each the optimum of a part of the space: with a flexible
// partner beside the NPU, and every device alone, which matters where there is no such pair or
// copies keep a chain of operators from staying on the NPU.
#include "explore/optimum.h"

#include <math.h>
#include <stdio.h>
#include "engine/predict.h"

static int one(const struct optimum_session *s, const struct policy_ops *policy,
               const void *options, int n, int n_past, double *ms, struct err *e)
{
    struct graph g;
    struct plan p;
    graph_build(s->model, n, n_past, &g);
    if (policy->plan(&g, s->machine, s->cost, options, &p, e) < 0)
        return e->code;
    int rc = plan_check(&p, &g, s->machine, NULL, e);
    double ps = rc < 0 ? -1 : predict_plan(&p, &g, s->machine, s->cost);
    *ms = ps < 0 ? (double)NAN : ps / PS_PER_MS;
    plan_fini(&p);
    return rc;
}

int optimum_predict(const struct optimum_session *s, const struct policy_ops *policy,
                    const void *options, struct optimum_times *out, struct err *e)
{
    if (one(s, policy, options, s->n_prompt, 0, &out->prefill_ms, e) < 0)
        return e->code;
    return one(s, policy, options, 1, s->n_prompt + s->n_gen / 2, &out->step_ms, e);
}

int optimum_find(const struct optimum_session *s, int parts, bool cpu_beside,
                 struct optimum_times *out, struct err *e)
{
    static const char *const partner[] = {"auto", "cpu"};
    static const char *const alone[] = {"gpu_only", "cpu_only", "npu_only"};
    enum { PARTNERS = 2, PLANS = PARTNERS + 3 };
    struct arena a;
    struct err why = {0};
    bool any = false;
    *out = (struct optimum_times){(double)NAN, (double)NAN};
    arena_init(&a);
    for (int i = 0; i < PLANS; i++) {
        const struct policy_ops *policy;
        const void *options;
        struct optimum_times t;
        char spec[96];
        if (i == 1 && !cpu_beside)
            continue;
        if (i < PARTNERS)
            snprintf(spec, sizeof spec, "hetero_tensor:solver=chain,rest=any,partner=%s,parts=%d",
                     partner[i], parts);
        else
            snprintf(spec, sizeof spec, "%s", alone[i - PARTNERS]);
        if (policy_parse(spec, &a, &policy, &options, &why) < 0 ||
            optimum_predict(s, policy, options, &t, &why) < 0)
            continue;
        any = true;
        out->prefill_ms = fmin(out->prefill_ms, t.prefill_ms); // a NaN loses
        out->step_ms = fmin(out->step_ms, t.step_ms);
    }
    arena_fini(&a);
    if (!any && e)
        *e = why;
    return any ? 0 : why.code;
}

double optimum_gap(double ms, double optimum_ms)
{
    return optimum_ms > 0 ? ms / optimum_ms - 1 : (double)NAN;
}
