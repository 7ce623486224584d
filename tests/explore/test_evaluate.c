// SPDX-License-Identifier: GPL-3.0-or-later
// The evaluator against sessions that are run directly: at every level, on several machines, for
// several requests; and what evaluate_check refuses.
#include "explore/evaluate.h"
#include "base/digest.h"
#include "engine/host/host.h"
#include "engine/profile.h"
#include "engine/sync.h"
#include "tests/explore/util.h"

// configs/soc/NAME.cfg, with overrides.
struct soc_factory {
    struct machine_factory base; // first
    const char *soc, *more;      // more: an override of all, or NULL
    int opened;
    int64_t memory; // of the machine; 0: as configured
};

static int soc_open(const struct machine_factory *base, const char *const *overrides, int n,
                    struct machine **out, struct err *e)
{
    struct soc_factory *f = (struct soc_factory *)(uintptr_t)base;
    struct conf *c;
    char path[100], key[96];
    snprintf(path, sizeof path, "configs/soc/%s.cfg", f->soc);
    int rc = conf_open(path, &c, e);
    for (int i = -1; rc >= 0 && i < n; i++) {
        const char *text = i < 0 ? f->more : overrides[i];
        if (!text)
            continue;
        snprintf(key, sizeof key, "%.*s", (int)strcspn(text, "="), text);
        rc = conf_override(c, key, strchr(text, '=') + 1, e);
    }
    if (rc >= 0)
        rc = machine_soc_open(c, false, out, e);
    if (rc >= 0 && f->memory)
        (*out)->memory = f->memory;
    conf_close(c);
    f->opened++;
    return rc;
}

static struct soc_factory factory_of(const char *soc)
{
    return (struct soc_factory){.base = {.open = soc_open, .spec = soc}, .soc = soc};
}

static struct model *tiny_model(void) // the cycle level takes its time
{
    struct model *m = NULL;
    struct err e = {0};
    CHECK_OK(model_open("configs/model/demo-60m.cfg", &m, &e), &e);
    return m;
}

static bool same_metrics(const struct metrics *a, const struct metrics *b)
{
    return metrics_digest(DIGEST_INIT, a) == metrics_digest(DIGEST_INIT, b) &&
           a->plan_prefill == b->plan_prefill && a->plan_decode == b->plan_decode;
}

// One session, with nothing of the evaluator: profiled on `bench`, run on `m` (NULL: planned).
static void direct(struct soc_factory *f, const char *detail, const struct model *model,
                   const char *policy, const char *sync, int n_prompt, int n_gen,
                   struct metrics *out)
{
    static const char *const flow[] = {"detail=flow"};
    struct machine *bench, *m = NULL;
    struct session_request q = {
        .model = model, .n_prompt = n_prompt, .n_gen = n_gen, .sampler = {.top_p = 1}};
    struct session_result r;
    struct cost_table *cost = cost_create();
    struct arena a;
    struct err e = {0};
    arena_init(&a);
    CHECK_OK(policy_parse(policy, &a, &q.policy, &q.policy_options, &e), &e);
    CHECK_OK(sync_parse(sync, &a, &q.sync, &q.sync_options, &e), &e);
    CHECK_OK(f->base.open(&f->base, flow, 1, &bench, &e), &e);
    CHECK_OK(session_profile(bench, model, n_prompt, n_gen, cost, &e), &e);
    CHECK_OK(profile_sync(bench, model, q.sync, q.sync_options, n_prompt, cost, &e), &e);
    if (detail)
        CHECK_OK(f->base.open(&f->base, &detail, 1, &m, &e), &e);
    q.machine = m ? m : bench;
    q.cost = cost;
    CHECK_OK(m ? session_run(&q, &r, &e) : session_plan(&q, &r, &e), &e);
    metrics_from(out, &r);
    session_result_fini(&r);
    if (m)
        m->ops->close(m);
    bench->ops->close(bench);
    cost_destroy(cost);
    arena_fini(&a);
}

static void evaluate(const struct evaluate_context *c, struct search_point p, struct metrics *out)
{
    struct evaluator *v = evaluator_create(c);
    CHECK(space_canonical(c->space, &p));
    evaluator_run(v, &p, out);
    test_note("%s %s", metrics_status_name(out->status), out->reason);
    evaluator_destroy(v);
}

#define PLUGS                                                                                      \
    "policies = ({name = \"gpu_only\";}, {name = \"hetero_tensor\"; parts = [4, 8];});\n"          \
    "syncs = ({name = \"poll\";});\n"

static void test_levels(void)
{
    static const char *const detail[] = {NULL, "detail=flow", "detail=cycle"};
    struct soc_factory f = factory_of("sd8gen3"), h = factory_of("sd8elite");
    struct model *m = tiny_model();
    struct space *s =
        space_of("machine = \"soc:sd8gen3\"; model = \"qwen2-1.5b\"; prompt = 8;\n"
                 "gen = 2; objectives = [\"ttft_ms\", \"tpot_ms\"];\n"
                 "levels = [\"estimate\", \"flow\", \"cycle\", \"hardware\"];\n" PLUGS);
    const struct evaluate_context c = {
        .space = s, .factory = &f.base, .hardware = &h.base, .model = m};
    struct metrics got[4], want;
    for (int level = 0; level < 4; level++) {
        const struct search_point p = {.choice = {1, 1, 0}, .level = level};
        evaluate(&c, p, &got[level]);
        if (level < 3)
            direct(&f, detail[level], m, "hetero_tensor:parts=8", "poll", 8, 2, &want);
        else // the other machine stands for the hardware
            direct(&h, "detail=flow", m, "hetero_tensor:parts=8", "poll", 8, 2, &want);
        if (level == 0)
            metrics_estimate(&want, 8, 2);
        CHECK_INT(got[level].status, METRICS_OK);
        CHECK(same_metrics(&got[level], &want));
    }
    // The same plan on all levels of the SoC; the estimate is what it predicts.
    CHECK(got[0].plan_prefill == got[1].plan_prefill && got[1].plan_prefill == got[2].plan_prefill);
    CHECK(got[0].plan_decode == got[1].plan_decode && got[1].plan_decode == got[2].plan_decode);
    CHECK(got[0].value[METRIC_TTFT] == got[1].value[METRIC_PREDICTED_PREFILL]);
    CHECK(got[0].value[METRIC_TPOT] == got[1].value[METRIC_PREDICTED_DECODE]);
    CHECK_NEAR(got[0].value[METRIC_TOTAL], got[0].value[METRIC_TTFT] + got[0].value[METRIC_TPOT],
               1e-9);
    CHECK(got[0].value[METRIC_ACTIVATION_BITS] == 16);
    CHECK(isnan(got[0].value[METRIC_ENERGY]) && isnan(got[0].value[METRIC_MEMORY]));
    CHECK(got[1].digest != got[2].digest); // of the event traces
    space_close(s);
    model_close(m);
}

// Without levels the machine runs as configured, and is profiled at flow level in any case.
static void test_own_level(void)
{
    struct soc_factory f = factory_of("sd8gen3");
    struct model *m = tiny_model();
    struct space *s = space_of("machine = \"soc:sd8gen3\"; model = \"qwen2-1.5b\"; prompt = 8;\n"
                               "gen = 1;\n" PLUGS);
    const struct evaluate_context c = {.space = s, .factory = &f.base, .model = m};
    const struct search_point p = {.choice = {0, 0, 0}};
    struct metrics got, want;
    evaluate(&c, p, &got);
    CHECK_INT(f.opened, 1); // one machine is enough
    direct(&f, "detail=flow", m, "gpu_only", "poll", 8, 1, &want);
    CHECK(same_metrics(&got, &want));
    f.more = "detail=cycle";
    evaluate(&c, p, &got);
    direct(&f, "detail=cycle", m, "gpu_only", "poll", 8, 1, &want);
    CHECK(same_metrics(&got, &want));
    space_close(s);
    model_close(m);
}

static void test_machines(void)
{
    struct soc_factory f = factory_of("sd8gen3"), g = factory_of("sd8elite");
    const struct machine_factory *const both[] = {&f.base, &g.base};
    struct model *m = small_model();
    struct space *s = space_of("machines = [\"soc:sd8gen3\", \"soc:sd8elite\"]; prompt = 32;\n"
                               "model = \"qwen2-1.5b\"; gen = 3; constraints = \"ttft_ms <= 1\";\n"
                               "soc = ({key = \"npu.arch.arrays\"; values = [4, 8];});\n" PLUGS);
    struct space *t = space_of("machine = \"soc:sd8gen3\"; prompt = 32;\n"
                               "model = \"qwen2-1.5b\"; gen = 3; constraints = \"ttft_ms <= 1\";\n"
                               "soc = ({key = \"npu.arch.arrays\"; values = [4, 8];});\n" PLUGS);
    struct evaluate_context c = {.space = s, .factories = both, .model = m};
    for (int i = 0; i < 6; i++) {
        const struct search_point p = {.choice = {i / 3, i % 3 > 0, i % 3 ? i % 3 - 1 : 0, 0}};
        struct metrics got, one[2], want;
        evaluate(&c, p, &got);
        for (int j = 0; j < 2; j++) {
            const struct evaluate_context d = {.space = t, .factory = both[j], .model = m};
            evaluate(&d, p, &one[j]);
            CHECK(!memcmp(got.by_machine[j], one[j].value, sizeof one[j].value) ||
                  isnan(one[j].value[METRIC_FRAMES_DROPPED]));
            for (int k = 0; k < METRIC_COUNT; k++)
                CHECK(got.by_machine[j][k] == one[j].value[k] || isnan(one[j].value[k]));
        }
        metrics_of_machines(one, 2, AGGREGATE_GEOMEAN, &want);
        CHECK(same_metrics(&got, &want));
        CHECK_INT(got.n_machines, 2);
        CHECK_NEAR(got.value[METRIC_TTFT],
                   sqrt(one[0].value[METRIC_TTFT] * one[1].value[METRIC_TTFT]), 1e-9);
        CHECK_NEAR(got.violation, fmax(one[0].violation, one[1].violation), 0);
        CHECK(got.violation > 1);
    }
    // A machine that cannot do it makes the point infeasible, and is named.
    g.more = "dram.size=64 MiB";
    struct metrics got;
    const struct search_point p = {.choice = {0, 0, 0, 0}};
    evaluate(&c, p, &got);
    CHECK_INT(got.status, METRICS_INFEASIBLE);
    CHECK_HAS(got.reason, "soc:sd8elite: ");
    space_close(s);
    space_close(t);
    model_close(m);
}

static void test_requests(void)
{
    char text[900], path[300];
    struct soc_factory f = factory_of("sd8gen3");
    struct model *m = small_model();
    snprintf(path, sizeof path, "%s/t.csv", test_tmpdir());
    FILE *csv = fopen(path, "w");
    fputs("prompt,gen\n20,3\n20,3\n100,1\n300,6\n", csv);
    fclose(csv);
    snprintf(text, sizeof text,
             "machine = \"soc:sd8gen3\"; model = \"qwen2-1.5b\"; trace = \"%s\";\n" PLUGS, path);
    struct space *s = space_of(text);
    const struct evaluate_context c = {.space = s, .factory = &f.base, .model = m};
    const struct search_point p = {.choice = {1, 0, 0}};
    struct metrics got, one[3], want;
    CHECK_INT(s->n_requests, 3);
    evaluate(&c, p, &got);
    for (int i = 0; i < 3; i++) {
        const struct space_request *r = &s->request[i];
        direct(&f, "detail=flow", m, "hetero_tensor:parts=4", "poll", r->n_prompt, r->n_gen,
               &one[i]);
    }
    metrics_of_requests(one, s->request, 3, &want);
    CHECK(same_metrics(&got, &want));
    const double *a = one[0].value, *b = one[1].value, *d = one[2].value;
    CHECK_NEAR(got.value[METRIC_TTFT], (2 * a[METRIC_TTFT] + b[METRIC_TTFT] + d[METRIC_TTFT]) / 4,
               1e-9);
    CHECK_NEAR(got.value[METRIC_TPOT], (2 * 2 * a[METRIC_TPOT] + 5 * d[METRIC_TPOT]) / 9, 1e-9);
    CHECK_NEAR(got.value[METRIC_MEMORY], d[METRIC_MEMORY], 0);
    // What was evaluated before does not matter.
    struct evaluator *v = evaluator_create(&c);
    struct search_point q = {.choice = {0, 0, 0}};
    CHECK(space_canonical(s, &q));
    for (int i = 0; i < 2; i++) {
        evaluator_run(v, &q, &want);
        evaluator_run(v, &p, &want);
        CHECK(same_metrics(&got, &want));
    }
    evaluator_destroy(v);
    CHECK_INT(f.opened, 8); // 3 x 2 directly, one for each evaluator
    space_close(s);
    model_close(m);
}

// --- in how many bits activations are taken

static double bits_of(const char *policy, const char *more)
{
    struct soc_factory f = factory_of("sd8gen3");
    struct model *m = small_model();
    struct metrics out;
    f.more = more;
    direct(&f, NULL, m, policy, "poll", 32, 2, &out);
    model_close(m);
    return out.value[METRIC_ACTIVATION_BITS];
}

static void test_bits(void)
{
    CHECK_NEAR(bits_of("gpu_only", NULL), 16, 0);
    CHECK_NEAR(bits_of("npu_only", NULL), 16, 0);
    CHECK_NEAR(bits_of("npu_only", "npu.arithmetic=int8"), 8, 0);
    CHECK_NEAR(bits_of("gpu_only", "npu.arithmetic=int8"), 16, 0);
    CHECK_NEAR(bits_of("npu_only", "npu.integer_bits=8"), 8, 0);
    // The integer path is for one token: a policy that decodes on the GPU does not take it.
    CHECK_NEAR(bits_of("layer:decode=flexible", "npu.integer_bits=8"), 16, 0);
    CHECK_NEAR(bits_of("layer:decode=npu", "npu.integer_bits=8"), 8, 0);
}

static void check_caps(const char *conf, const char *name, int plain, int quantised)
{
    struct conf *c;
    struct machine *m;
    struct err e = {0};
    if (!CHECK_OK(conf_open_text("host", conf, &c, &e), &e) ||
        !CHECK_OK(machine_host_open(c, &m, &e), &e))
        return;
    const struct device *d = machine_find(m, name);
    if (CHECK(d)) {
        CHECK_INT(d->caps.activation_bits[ACTIVATION_PLAIN], plain);
        CHECK_INT(d->caps.activation_bits[ACTIVATION_MANY], quantised);
        CHECK_INT(d->caps.activation_bits[ACTIVATION_ONE], quantised);
    }
    m->ops->close(m);
    conf_close(c);
}

static void test_host_bits(void)
{
    check_caps("gpu = {enabled = false;};", "cpu", 32, 8); // Q4_0 x Q8 dot products
    check_caps("gpu = {enabled = false;}; cpu = {exact = true;};", "cpu", 32, 32);
    check_caps("gpu = {enabled = false;}; cpu = {isa = \"ref\";};", "cpu", 32, 32);
    check_caps("gpu = {enabled = false;};", "npu", 32, 8);
    check_caps("gpu = {enabled = false;}; npu = {exact = true;};", "npu", 32, 32);
}

// --- what is refused

#define TOP "machine = \"soc:sd8gen3\"; model = \"qwen2-1.5b\";\n"
#define ALL TOP PLUGS

static const struct {
    const char *text, *more; // more: an override of the machine
    int line;                // 0: it is accepted
    const char *says;
} checks[] = {
    {ALL, NULL, 0, NULL},
    {ALL "constraints = [\"memory_bytes <= 4 GB\", \"quality unchanged\"];", NULL, 0, NULL},
    {ALL "soc = ({key = \"npu.arch.arays\"; values = 4;});", NULL, 4, "did you mean 'arrays'?"},
    {ALL "constraints = [\"memory_bytes <= 0.5 GB\"];", NULL, 4, "the weights of qwen2-1.5b are"},
    {"machine = \"soc:sd8gen3\"; model = \"qwen2-1.5b\";\ngen = 4; prompt = 131070;\n" PLUGS, NULL,
     2, "longer than the context of qwen2-1.5b, 131072 tokens"},
    {TOP "policies = ({name = \"npu_only\";}); syncs = ({name = \"poll\";});\n"
         "constraints = [\"quality unchanged\"];",
     "npu.arithmetic=int8", 3,
     "no feasible point: of 1 none can be planned; npu_only + poll: "
     "activations are taken in 8 bits"},
    {TOP "policies = ({name = \"npu_only\";}, {name = \"gpu_only\";});\n"
         "syncs = ({name = \"poll\";}); constraints = [\"quality unchanged\"];",
     "npu.arithmetic=int8", 0, NULL}, // the second policy keeps it
    {TOP "policies = ({name = \"gpu_only\";}); syncs = ({name = \"poll\";});\n"
         "soc = ({key = \"dram.size\"; values = [\"64 MiB\", \"128 MiB\"];});",
     NULL, 2, "of 2 none can be planned; gpu_only + poll, dram.size=64 MiB: "},
    {TOP "policies = ({name = \"gpu_only\";}); syncs = ({name = \"poll\";});\n"
         "soc = ({key = \"dram.size\"; values = [\"64 MiB\", \"16 GiB\"];});",
     NULL, 0, NULL},
    {TOP "objectives = \"ttft_ms\"; levels = [\"flow\", \"hardware\"];\n" PLUGS, NULL, 0,
     "needs the host machine"},
};

static void test_refused(void)
{
    struct model *m = small_model();
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        struct soc_factory f = factory_of("sd8gen3");
        struct space *s = space_of(checks[i].text);
        const struct evaluate_context c = {.space = s, .factory = &f.base, .model = m};
        struct err e = {0};
        char text[700];
        f.more = checks[i].more;
        int rc = evaluate_check(&c, &e);
        test_note("space %zu: %s", i, err_text(&e, text, sizeof text));
        CHECK_INT(rc < 0, checks[i].says != NULL);
        if (checks[i].says) {
            CHECK_HAS(e.msg, checks[i].says);
            CHECK_INT(e.line, checks[i].line);
        }
        if (checks[i].line)
            CHECK_STR(e.file, "test.cfg");
        space_close(s);
    }
    model_close(m);
}

// No scheme is offered: the error is at the schemes.
static void test_refused_syncs(void)
{
    struct test_factory f = test_factory();
    struct model *m = small_model();
    struct space *s = space_of(TOP "policies = ({name = \"gpu_only\";});\nsyncs = (\n"
                                   "{name = \"poll\";}, {name = \"sleep_poll\";});");
    const struct evaluate_context c = {.space = s, .factory = &f.base, .model = m};
    struct err e = {0};
    CHECK_OK(evaluate_check(&c, &e), &e);
    f.no_flag = true;
    CHECK(evaluate_check(&c, &e) < 0);
    CHECK_INT(e.line, 3);
    CHECK_HAS(e.msg, "of 2 none can be planned; gpu_only + poll: ");
    space_close(s);
    model_close(m);
}

static void test_refused_hardware(void)
{
    struct soc_factory f = factory_of("sd8gen3"), h = factory_of("sd8elite");
    struct model *m = small_model();
    struct space *s =
        space_of(TOP "objectives = \"ttft_ms\";\nlevels = [\"flow\", \"hardware\"];\n" PLUGS);
    const int32_t prompt[256] = {0};
    struct evaluate_context c = {
        .space = s, .factory = &f.base, .hardware = &h.base, .model = m, .prompt = prompt};
    struct err e = {0};
    CHECK_OK(evaluate_check_memory(&c, &e), &e);
    CHECK(evaluate_check(&c, &e) < 0);
    CHECK_HAS(e.msg, "a model with weights");
    h.memory = 500 << 20;
    CHECK(evaluate_check_memory(&c, &e) < 0);
    CHECK_HAS(e.msg, "does not fit the host: weights of");
    CHECK_INT(e.line, 3); // at `levels`
    space_close(s);
    model_close(m);
}

TESTS(explore_evaluate, T(test_levels), T(test_own_level), T(test_machines), T(test_requests),
      T(test_bits), T(test_host_bits), T(test_refused), T(test_refused_syncs),
      T(test_refused_hardware))
