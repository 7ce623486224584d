// SPDX-License-Identifier: GPL-3.0-or-later
// One contract for every partition policy in the registry: whatever the model, the length, the cost
// table and the options, a policy returns a plan that computes each output element exactly once on
// devices that can do it and whose schedule has no race, or it says why it cannot. A new policy is
// tested the moment its file exists.
#include "tests/contract/rig.h"

#include "engine/policy.h"
#include "engine/session.h"

static const int lengths[] = {1, 31, 32, 33, 255, 256, 257, 300, 525, 1000};
enum { LENGTHS = sizeof lengths / sizeof lengths[0], N_MAX = 1000 };
static const char *const models[] = {"llama3-8b", "tinyllama-1.1b", "qwen2-1.5b", "internlm2-1.8b"};
enum { MODELS = sizeof models / sizeof models[0] };

static struct machine *soc;             // sd8gen3, timing only
static struct model *model[MODELS + 1]; // the last has rows that are no multiple of any tile
static struct cost_table *profiled[MODELS + 1], *empty;

static void tear_down(void)
{
    for (int i = 0; i <= MODELS; i++) {
        model_close(model[i]);
        cost_destroy(profiled[i]);
    }
    cost_destroy(empty);
    machines_close(soc);
}

static bool set_up(void)
{
    struct err e = {0};
    if (soc)
        return true;
    atexit(tear_down);
    soc = machines_soc("configs/soc/sd8gen3.cfg", false);
    if (!soc)
        return false;
    empty = cost_create();
    for (int i = 0; i <= MODELS; i++) {
        char path[96];
        snprintf(path, sizeof path, "configs/model/%s.cfg", models[i % MODELS]);
        if (i == MODELS)
            model[i] = rig_model(&encoding_q8_0);
        else if (!CHECK_OK(model_open(path, &model[i], &e), &e))
            return false;
        profiled[i] = cost_create();
        if (!CHECK_OK(session_profile(soc, model[i], N_MAX, 32, profiled[i], &e), &e))
            return false;
    }
    return true;
}

// Three layers show every hazard: the operators of a layer, and both of its borders.
static void check_schedules(const struct plan *p, const struct graph *g, int n_devices)
{
    struct err e = {0};
    struct model three = *g->model;
    struct arena a;
    arena_init(&a);
    three.shape.n_layer = three.shape.n_layer < 3 ? three.shape.n_layer : 3;
    for (int i = 0; i < p->n_steps; i++) {
        const struct plan_step *s = &p->step[i];
        struct graph step;
        struct schedule sch;
        struct arena_mark mark = arena_mark(&a);
        graph_build(&three, s->n1 - s->n0, g->n_past + s->n0, &step);
        schedule_build(p, i, &step, &a, &sch);
        CHECK_OK(schedule_check(&sch, n_devices, &e), &e);
        arena_rewind(&a, mark);
    }
    arena_fini(&a);
}

struct request {
    const struct policy_ops *policy;
    const void *options;
    const char *spec; // for messages
    const struct model *model;
    int n, n_past;
    const struct machine_desc *desc;
    const struct machine *live; // or NULL
    const struct cost_table *cost;
};

// Returns 1: planned, 0: refused; checks whatever came back.
static int check_plan(const struct request *q)
{
    struct graph g;
    struct plan p, again;
    struct err e = {0};
    char text[700];
    graph_build(q->model, q->n, q->n_past, &g);
    int rc = q->policy->plan(&g, q->desc, q->cost, q->options, &p, &e);
    if (rc < 0) {
        CHECK(rc == ERR_UNSUPPORTED && e.code == rc);
        CHECK_HAS(e.msg, q->policy->name);
        return 0;
    }
    rc = plan_check(&p, &g, q->desc, q->live, &e);
    if (rc < 0) {
        test_note("%s on %s, %s, %d tokens after %d: %s", q->spec, q->desc->name,
                  q->model->shape.name, q->n, q->n_past, err_text(&e, text, sizeof text));
        CHECK(rc == 0);
        plan_fini(&p);
        return 1;
    }
    CHECK_STR(p.policy, q->policy->name);
    CHECK(p.predicted_ps >= 0);
    check_schedules(&p, &g, q->desc->n_devices);
    if (CHECK_OK(q->policy->plan(&g, q->desc, q->cost, q->options, &again, &e), &e)) {
        CHECK(plan_digest(&p) == plan_digest(&again));
        CHECK(p.predicted_ps == again.predicted_ps);
        plan_fini(&again);
    }
    plan_fini(&p);
    return 1;
}

static void test_every_policy_model_and_length(void)
{
    struct machine_desc d;
    struct arena a;
    if (!set_up())
        return;
    arena_init(&a);
    machine_describe(soc, &d);
    CHECK(policy_registry_count >= 13);
    for (size_t i = 0; i < policy_registry_count; i++) {
        struct err e = {0};
        struct request q = {.desc = &d, .live = soc, .spec = policy_registry[i]->name};
        if (!CHECK_OK(policy_parse(q.spec, &a, &q.policy, &q.options, &e), &e))
            continue;
        for (int m = 0; m <= MODELS; m++)
            for (int l = 0; l < LENGTHS; l++)
                for (int t = 0; t < 2; t++) {
                    q.model = model[m];
                    q.n = lengths[l];
                    q.n_past = q.n == 1 ? 256 : 0;
                    q.cost = t ? profiled[m] : empty;
                    // This SoC has all devices, and standard sizes that hold these lengths.
                    CHECK_INT(check_plan(&q), 1);
                }
    }
    arena_fini(&a);
}

// ---- options at their limits ----

static void try_option(const struct conf_row *row, const char *value, struct request *q,
                       struct arena *a)
{
    const int some[] = {1, 33, 300};
    struct err e = {0};
    char spec[160];
    const void *options;
    snprintf(spec, sizeof spec, "%s:%s=%s", q->policy->name, row->name, value);
    const struct policy_ops *p;
    if (!CHECK_OK(policy_parse(spec, a, &p, &options, &e), &e))
        return;
    q->spec = spec;
    q->options = options;
    for (int m = 1; m <= MODELS; m += MODELS - 1)
        for (size_t l = 0; l < sizeof some / sizeof some[0]; l++)
            for (int t = 0; t < 2; t++) {
                q->model = model[m];
                q->n = some[l];
                q->n_past = 7;
                q->cost = t ? profiled[m] : empty;
                check_plan(q);
            }
}

static void try_row(const struct conf_row *row, struct request *q, struct arena *a)
{
    char value[64], unit[64];
    const double limit[] = {row->min, row->max, (row->min + row->max) / 2, row->max * 0.999,
                            row->max * 0.001};
    switch (row->type) {
    case CONF_BOOL:
        try_option(row, "true", q, a);
        try_option(row, "false", q, a);
        break;
    case CONF_INT:
        for (int i = 0; i < 2; i++) {
            snprintf(value, sizeof value, "%.0f", limit[i]);
            try_option(row, value, q, a);
        }
        break;
    case CONF_REAL:
        for (int i = 0; i < 5; i++)
            try_option(row, unit_format(row->unit, limit[i], unit, sizeof unit), q, a);
        break;
    case CONF_ENUM:
        for (const char *c = row->choices; *c;) {
            size_t n = strcspn(c, "|");
            snprintf(value, sizeof value, "%.*s", (int)n, c);
            try_option(row, value, q, a);
            c += n + (c[n] == '|');
        }
        break;
    case CONF_INT_LIST:
        try_option(row, "[]", q, a);
        try_option(row, "[1]", q, a);
        try_option(row, "[256]", q, a);
        try_option(row, "[7]", q, a); // no device has it
        try_option(row, "[65536,1,128,32]", q, a);
        break;
    case CONF_STRING:
    case CONF_STRING_LIST:
    case CONF_GROUP:
        CHECK(0); // no policy has one so far: say here what its limits are
    }
}

static void test_options_at_their_limits(void)
{
    struct machine_desc d;
    struct arena a;
    if (!set_up())
        return;
    arena_init(&a);
    machine_describe(soc, &d);
    for (size_t i = 0; i < policy_registry_count; i++) {
        struct request q = {.policy = policy_registry[i], .desc = &d, .live = soc};
        for (size_t r = 0; r < q.policy->n_rows; r++)
            try_row(&q.policy->rows[r], &q, &a);
    }
    arena_fini(&a);
}

// ---- machines that lack devices ----

static void without(const struct machine_desc *d, unsigned keep, struct machine_desc *out)
{
    *out = (struct machine_desc){.name = "part of it", .cpu = -1, .gpu = -1, .npu = -1};
    for (int i = 0; i < d->n_devices; i++) {
        int at = out->n_devices;
        if (!(keep >> i & 1))
            continue;
        out->device[at] = d->device[i];
        out->cpu = d->device[i].kind == DEVICE_CPU ? at : out->cpu;
        out->gpu = d->device[i].kind == DEVICE_GPU ? at : out->gpu;
        out->npu = d->device[i].kind == DEVICE_NPU ? at : out->npu;
        out->n_devices++;
    }
}

static bool needs(const char *policy, const struct machine_desc *d)
{
    if (!strcmp(policy, "gpu_only"))
        return d->gpu >= 0;
    if (!strcmp(policy, "cpu_only"))
        return d->cpu >= 0;
    if (!strcmp(policy, "null"))
        return d->cpu >= 0 || d->gpu >= 0;
    if (!strcmp(policy, "npu_only"))
        return d->npu >= 0;
    return d->npu >= 0 && (d->gpu >= 0 || d->cpu >= 0);
}

static void test_machines_without_the_device_are_refused(void)
{
    struct machine_desc all, d;
    struct arena a;
    if (!set_up())
        return;
    arena_init(&a);
    machine_describe(soc, &all);
    for (size_t i = 0; i < policy_registry_count; i++)
        for (unsigned keep = 1; keep < 1u << all.n_devices; keep++) {
            struct request q = {.desc = &d, .spec = policy_registry[i]->name, .n = 300};
            struct err e = {0};
            without(&all, keep, &d);
            if (!CHECK_OK(policy_parse(q.spec, &a, &q.policy, &q.options, &e), &e))
                continue;
            q.model = model[1];
            q.cost = empty; // the table's device numbers are those of the whole machine
            int planned = check_plan(&q);
            if (planned != needs(q.spec, &d))
                test_note("%s with devices %x", q.spec, keep);
            CHECK_INT(planned, needs(q.spec, &d));
        }
    arena_fini(&a);
}

// A partner that was asked for by name is not silently replaced.
static void test_a_partner_by_name_is_not_replaced(void)
{
    struct machine_desc all, d;
    struct arena a;
    if (!set_up())
        return;
    arena_init(&a);
    machine_describe(soc, &all);
    for (size_t i = 0; i < policy_registry_count; i++) {
        const struct policy_ops *p = policy_registry[i];
        for (size_t r = 0; r < p->n_rows; r++) {
            if (strcmp(p->rows[r].name, "partner"))
                continue;
            const char *const choice[] = {"cpu", "gpu"};
            for (int c = 0; c < 2; c++) {
                char spec[64];
                struct err e = {0};
                struct request q = {.desc = &d, .model = model[1], .n = 64, .cost = empty};
                snprintf(spec, sizeof spec, "%s:partner=%s", p->name, choice[c]);
                q.spec = spec;
                CHECK_OK(policy_parse(spec, &a, &q.policy, &q.options, &e), &e);
                without(&all, ~(1u << (c ? all.gpu : all.cpu)), &d);
                CHECK_INT(check_plan(&q), 0);
                without(&all, ~0u, &d);
                CHECK_INT(check_plan(&q), 1);
            }
        }
    }
    arena_fini(&a);
}

// ---- a policy that loses work ----

static int damage; // what the lossy policy does to a good plan

static int lossy_plan(const struct graph *g, const struct machine_desc *d,
                      const struct cost_table *c, const void *options, struct plan *out,
                      struct err *e)
{
    if (policy_find("weight_centric", e)->plan(g, d, c, options, out, e) < 0)
        return e->code;
    struct plan_op *po = &out->step[0].op[graph_find(g, "gate_up")->index];
    struct shard *s = &po->shard[po->n_shards - 1];
    switch (damage) {
    case 1: // a slice of rows is forgotten
        s->m1 -= 32;
        break;
    case 2: // rows are computed twice
        s->m0 -= 32;
        break;
    case 3: // a shard is forgotten
        po->n_shards--;
        break;
    case 4: // the last token is forgotten
        s->n1--;
        break;
    case 5: // the head is forgotten
        out->step[0].op[graph_find(g, "logits")->index].n_shards = 0;
        break;
    case 6: // a gap and an overlap of the same size
        s->m0 -= 32, s->m1 -= 32;
        break;
    default:
        break;
    }
    out->policy = "lossy";
    return 0;
}

static const struct policy_ops lossy = {
    .name = "lossy", .doc = "loses what it is told to", .plan = lossy_plan};

static void test_a_lossy_policy_is_caught(void)
{
    static const char *const says[] = {NULL,
                                       "output elements",
                                       "two shards",
                                       "output elements",
                                       "output elements",
                                       "output elements",
                                       "two shards"};
    struct err e = {0};
    struct arena a;
    if (!set_up())
        return;
    arena_init(&a);
    const struct policy_ops *parent;
    struct session_request q = {.machine = soc,
                                .model = model[1],
                                .policy = &lossy,
                                .cost = profiled[1],
                                .sampler = {.top_p = 1},
                                .n_prompt = 256,
                                .n_gen = 2};
    CHECK_OK(policy_parse("weight_centric", &a, &parent, &q.policy_options, &e), &e);
    CHECK_OK(sync_parse("poll", &a, &q.sync, &q.sync_options, &e), &e);
    for (damage = 0; damage <= 6; damage++) {
        struct session_result r;
        int rc = session_run(&q, &r, &e);
        if (damage == 0) {
            CHECK_OK(rc, &e);
            session_result_fini(&r);
            continue;
        }
        CHECK_INT(rc, ERR_CHECK);
        CHECK_HAS(e.msg, "lossy");
        CHECK_HAS(e.msg, says[damage]);
        CHECK_STR(e.key, damage == 5 ? "logits" : "gate_up");
    }
    arena_fini(&a);
}

TESTS(contract_policies, T(test_every_policy_model_and_length), T(test_options_at_their_limits),
      T(test_machines_without_the_device_are_refused), T(test_a_partner_by_name_is_not_replaced),
      T(test_a_lossy_policy_is_caught))
