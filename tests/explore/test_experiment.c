// SPDX-License-Identifier: GPL-3.0-or-later
// Experiments as data: what each kind measures, inheritance of keys, that predictions do not depend
// on the order in which they are asked for, and errors that point.
//
// Sensible answers: an experiment that is changed a little changes its prediction a little, and in
// the direction that anybody would expect.
#include "explore/experiment.h"
#include <math.h>
#include "tests/explore/world.h"

#define DEFAULTS                                                                                   \
    "defaults = { soc = \"sd8gen3\"; model = \"llama3.2-1b\"; policy = \"hetero_tensor\"; "        \
    "sync = \"queue_order\"; prompt = [64]; gen = 4; };\n"

// --- what the kinds measure

static const char kinds[] = DEFAULTS
    "experiment = (\n"
    "{ id = \"peak\"; unit = \"TFLOP/s\"; kind = \"specification\"; what = \"gpu.fp16\"; },\n"
    "{ id = \"one\"; unit = \"us\"; kind = \"operator\"; device = \"gpu\"; m = [4096]; k = [4096]; "
    "n = [64]; },\n"
    "{ id = \"other\"; unit = \"us\"; kind = \"operator\"; device = \"gpu\"; m = [4096]; k = "
    "[8192]; n = [64]; },\n"
    "{ id = \"both\"; unit = \"ms\"; kind = \"operator\"; device = \"gpu\"; m = [4096]; k = [4096, "
    "8192]; n = [64]; },\n"
    "{ id = \"best\"; unit = \"GFLOP/s\"; kind = \"best\"; device = \"gpu\"; m = [4096]; k = "
    "[4096, 8192]; n = [64]; },\n"
    "{ id = \"order\"; unit = \"x\"; kind = \"order\"; device = \"npu\"; m = [14336]; k = [4096]; "
    "n = [32, 1024]; },\n"
    "{ id = \"alone\"; unit = \"GB/s\"; kind = \"bandwidth\"; device = \"gpu\"; m = [28672]; k = "
    "[4096]; },\n"
    "{ id = \"together\"; unit = \"GB/s\"; kind = \"bandwidth\"; device = \"gpu+npu\"; m = "
    "[28672]; k = [4096]; },\n"
    "{ id = \"finish\"; unit = \"us\"; kind = \"latency\"; what = \"finish\"; },\n"
    "{ id = \"sleep\"; unit = \"us\"; kind = \"latency\"; what = \"sleep\"; },\n"
    "{ id = \"submit\"; unit = \"us\"; kind = \"latency\"; what = \"submit\"; },\n"
    "{ id = \"rate\"; unit = \"token/s\"; kind = \"session\"; metric = \"prefill_tok_s\"; },\n"
    "{ id = \"ttft\"; unit = \"ms\"; kind = \"session\"; metric = \"ttft_ms\"; },\n"
    "{ id = \"gpu\"; unit = \"ms\"; kind = \"session\"; metric = \"ttft_ms\"; policy = "
    "\"gpu_only\"; sync = \"driver\"; },\n"
    "{ id = \"speedup\"; unit = \"x\"; kind = \"session\"; metric = \"ttft_ms\"; over = { engine = "
    "\"theirs\"; }; },\n"
    "{ id = \"same\"; unit = \"x\"; kind = \"session\"; metric = \"prefill_tok_s\"; over = { "
    "engine = \"theirs\"; }; },\n"
    "{ id = \"saving\"; unit = \"%\"; kind = \"session\"; metric = \"ttft_ms\"; form = \"saving\"; "
    "over = { engine = \"theirs\"; }; },\n"
    "{ id = \"slowdown\"; unit = \"%\"; kind = \"session\"; metric = \"ttft_ms\"; form = "
    "\"slowdown\"; over = { engine = \"theirs\"; }; },\n"
    "{ id = \"none\"; unit = \"x\"; kind = \"session\"; metric = \"ttft_ms\"; over = { gen = 4; }; "
    "},\n"
    "{ id = \"mean\"; unit = \"x\"; kind = \"session\"; metric = \"ttft_ms\"; over = ( { engine = "
    "\"theirs\"; }, { gen = 4; } ); },\n"
    "{ id = \"largest\"; unit = \"x\"; kind = \"session\"; metric = [\"ttft_ms\", "
    "\"decode_tok_s\"]; reduce = \"largest\"; prompt = [64, 256]; over = { engine = \"theirs\"; }; "
    "},\n"
    "{ id = \"game\"; unit = \"fps\"; kind = \"session\"; metric = \"fps_decode\"; scale = 60; set "
    "= [\"gpu.game.rate=60\"]; },\n"
    "{ id = \"no.game\"; unit = \"fps\"; kind = \"session\"; metric = \"fps_decode\"; },\n"
    "{ id = \"strategy\"; unit = \"-\"; kind = \"strategy\"; operator = \"down\"; n = [64, 64]; "
    "},\n"
    "{ id = \"gpu.strategy\"; unit = \"-\"; kind = \"strategy\"; operator = \"down\"; n = [64, "
    "65]; policy = \"gpu_only\"; },\n"
    "{ id = \"strategies\"; unit = \"-\"; kind = \"strategy\"; operator = \"down\"; n = [128, 100, "
    "128]; policy = \"layer\"; } );\n";

static void text_is(struct experiments *x, const char *id, const struct world *w, const char *text)
{
    struct err e = {0};
    struct prediction p;
    CHECK_OK(experiments_predict(x, experiments_find(x, id, &e), &w->base, &p, &e), &e);
    CHECK(p.is_text);
    CHECK_STR(p.text, text);
}

static void test_kinds(void)
{
    struct world w;
    struct experiments *x = experiments_of(kinds);
    if (!x)
        return;
    world_init(&w);
#define P(id) predicted(x, id, &w)
    CHECK_NEAR(P("peak"), 2.8, 1e-3);
    double one = P("one"), other = P("other");
    CHECK_NEAR(P("both"), (one + other) / 2 / 1000, 1e-9);
    CHECK_NEAR(P("best"), 2.0 * 4096 * 64 * fmax(4096 / one, 8192 / other) / 1e3, 1e-6);
    CHECK(P("order") > 3 && P("order") < 12);
    CHECK(P("alone") > 38 && P("alone") < 47); // sec. 3.3: 40 to 45 for any single processor
    CHECK(P("together") > P("alone") + 10 && P("together") < 62.5);
    CHECK_NEAR(P("finish"), 400, 1);
    CHECK_NEAR(P("sleep"), 90, 1);
    CHECK_NEAR(P("submit"), 30, 1);
    CHECK_NEAR(P("rate"), 64 / P("ttft") * 1e3, 1e-6);
    double ratio = P("gpu") / P("ttft");
    CHECK(ratio > 1.5);
    CHECK_NEAR(P("speedup"), ratio, 1e-9); // over.engine: its policy and its scheme
    CHECK_NEAR(P("same"), ratio, 1e-9);
    CHECK_NEAR(P("saving"), 100 * (1 - 1 / ratio), 1e-9);
    CHECK_NEAR(P("slowdown"), 100 * (1 - ratio), 1e-9);
    CHECK_NEAR(P("none"), 1, 1e-12);
    CHECK_NEAR(P("mean"), (1 + ratio) / 2, 1e-9);
    CHECK(P("largest") >= ratio);
    CHECK(P("game") > 10 && P("game") < 61);
    text_is(x, "gpu.strategy", &w, "gpu-only");
    text_is(x, "strategies", &w, "npu-only | npu-only, padded"); // each once, in order
#undef P
    struct err e = {0};
    struct prediction p;
    CHECK_INT(experiments_predict(x, experiments_find(x, "no.game", &e), &w.base, &p, &e),
              ERR_UNSUPPORTED);
    CHECK_HAS(e.msg, "no fps_decode");
    CHECK_STR(e.key, "no.game");
    CHECK_NEAR(experiments_scale(x, experiments_find(x, "game", &e)), 60, 0);
    CHECK(experiments_find(x, "ttfd", &e) < 0);
    CHECK_HAS(e.msg, "did you mean \"ttft\"?");
    experiments_close(x);
    world_fini(&w);
}

// With plan_sync the plan is that of another scheme, and only the waiting differs.
static void test_plan_sync(void)
{
    struct world w;
    struct experiments *x = experiments_of(
        DEFAULTS
        "experiment = (\n"
        "{ id = \"fast\"; unit = \"-\"; kind = \"strategy\"; operator = \"q\"; n = [1, 70]; },\n"
        "{ id = \"driver\"; unit = \"-\"; kind = \"strategy\"; operator = \"q\"; n = [1, 70]; "
        "sync = \"driver\"; },\n"
        "{ id = \"same\"; unit = \"-\"; kind = \"strategy\"; operator = \"q\"; n = [1, 70]; "
        "sync = \"driver\"; plan_sync = \"queue_order\"; },\n"
        "{ id = \"t.fast\"; unit = \"ms\"; kind = \"session\"; metric = \"ttft_ms\"; },\n"
        "{ id = \"t.driver\"; unit = \"ms\"; kind = \"session\"; metric = \"ttft_ms\"; "
        "sync = \"driver\"; },\n"
        "{ id = \"t.same\"; unit = \"ms\"; kind = \"session\"; metric = \"ttft_ms\"; "
        "sync = \"driver\"; plan_sync = \"queue_order\"; },\n"
        "{ id = \"cycle\"; unit = \"x\"; kind = \"session\"; metric = \"ttft_ms\"; gen = 1; "
        "set = [\"detail=cycle\"]; over = { set = []; }; },\n"
        "{ id = \"alone\"; unit = \"-\"; kind = \"strategy\"; operator = \"q\"; n = [64]; profile "
        "= "
        "\"isolated\"; policy = \"npu_only\"; } );");
    if (!x)
        return;
    world_init(&w);
    struct err e = {0};
    struct prediction fast, driver;
    experiments_predict(x, experiments_find(x, "fast", &e), &w.base, &fast, &e);
    experiments_predict(x, experiments_find(x, "driver", &e), &w.base, &driver, &e);
    CHECK(strcmp(fast.text, driver.text) != 0);
    text_is(x, "same", &w, fast.text);
    text_is(x, "alone", &w, "npu-only");
    double same = predicted(x, "t.same", &w);
    CHECK(same > predicted(x, "t.fast", &w));
    CHECK(same != predicted(x, "t.driver", &w));
    CHECK_NEAR(predicted(x, "cycle", &w), 1, 0.1);
    experiments_close(x);
    world_fini(&w);
}

// A machine is opened once for all experiments that agree on it, and forgotten on demand.
static void test_sharing(void)
{
    struct world w;
    struct experiments *x = experiments_of(kinds);
    if (!x)
        return;
    world_init(&w);
    double first = predicted(x, "ttft", &w);
    predicted(x, "rate", &w);
    predicted(x, "one", &w);
    predicted(x, "gpu", &w);
    CHECK_INT(w.opened, 2); // and once more, to profile on
    w.set[w.n_set++] = "npu.arch.stall=900 ns";
    CHECK_NEAR(predicted(x, "ttft", &w), first, 0); // kept
    experiments_forget(x);
    CHECK(predicted(x, "ttft", &w) > 1.05 * first);
    experiments_close(x);
    world_fini(&w);
}

// Forwards, backwards, and each alone: the same bits.
static void test_independent(void)
{
    enum { MAX = 64 };
    struct prediction p[3][MAX];
    struct experiments *x = experiments_of(kinds);
    int n = x ? experiments_count(x) : 0;
    struct world w;
    struct err e;
    if (!CHECK(n > 20 && n <= MAX))
        return;
    world_init(&w);
    for (int pass = 0; pass < 3; pass++) {
        experiments_forget(x);
        for (int k = 0; k < n; k++) {
            int i = pass == 1 ? n - 1 - k : k;
            if (pass == 2)
                experiments_forget(x);
            experiments_predict(x, i, &w.base, &p[pass][i], &e);
        }
    }
    for (int i = 0; i < n; i++)
        for (int pass = 1; pass < 3; pass++)
            if (!CHECK(!memcmp(&p[0][i].value, &p[pass][i].value, sizeof p[0][i].value) &&
                       !strcmp(p[0][i].text, p[pass][i].text)))
                test_note("%s: %.17g, then %.17g (pass %d)", experiments_id(x, i), p[0][i].value,
                          p[pass][i].value, pass);
    experiments_close(x);
    world_fini(&w);
}

// --- sensible answers

static double session(struct world *w, const char *model, int prompt, const char *policy,
                      const char *metric, const char *unit)
{
    char text[600];
    snprintf(text, sizeof text,
             DEFAULTS "experiment = ( { id = \"x\"; unit = \"%s\"; kind = \"session\"; metric = "
                      "\"%s\"; model = \"%s\"; prompt = [%d]; policy = \"%s\"; } );",
             unit, metric, model, prompt, policy);
    struct experiments *x = experiments_of(text);
    double v = x ? predicted(x, "x", w) : (double)NAN;
    experiments_close(x);
    return v;
}

// One token more costs a little, except where it needs another graph or another strategy; and never
// is a longer prompt done much sooner: the solver could pad to it.
static void test_smooth_in_prompt(void)
{
    struct world w;
    world_init(&w);
    double last = 0;
    for (int n = 250; n <= 262; n++) {
        double ttft = session(&w, "llama3-8b", n, "hetero_tensor", "ttft_ms", "ms");
        if (!CHECK(ttft > 0.97 * last && (!last || ttft < 1.08 * last)))
            test_note("prompt %d: %g ms after %g ms", n, ttft, last);
        last = ttft;
    }
    double t[4];
    for (int i = 0; i < 4; i++)
        t[i] = session(&w, "llama3-8b", 128 << i, "hetero_tensor", "ttft_ms", "ms");
    for (int i = 1; i < 4; i++) // 128, 256, 512, 1024: about in proportion
        if (!CHECK(t[i] > 1.7 * t[i - 1] && t[i] < 2.6 * t[i - 1]))
            test_note("prompt %d: %g ms, half of it: %g ms", 128 << i, t[i], t[i - 1]);
    world_fini(&w);
}

// More parameters, more time, in both phases and under every policy of the publication.
static void test_sensible_in_model(void)
{
    static const char *const models[] = {"llama3.2-1b", "internlm2-1.8b", "llama3.2-3b",
                                         "llama3-8b"};
    static const char *const policies[] = {"gpu_only", "npu_only", "layer", "hetero_tensor"};
    struct world w;
    world_init(&w);
    for (int p = 0; p < 4; p++) {
        double ttft = 0, tpot = 0;
        for (int m = 0; m < 4; m++) {
            double a = session(&w, models[m], 128, policies[p], "ttft_ms", "ms");
            double b = session(&w, models[m], 128, policies[p], "tpot_ms", "ms");
            if (!CHECK(a > 1.05 * ttft && b > 1.05 * tpot))
                test_note("%s, %s: TTFT %g ms after %g, TPOT %g ms after %g", policies[p],
                          models[m], a, ttft, b, tpot);
            ttft = a;
            tpot = b;
        }
    }
    world_fini(&w);
}

// --- errors that point

static void bad(const char *text, int line, const char *part)
{
    struct experiments *x = NULL;
    struct err e = {0};
    bool ok = CHECK(experiments_open(experiment_file(text), &x, &e) < 0);
    ok &= CHECK_INT(e.line, line);
    ok &= CHECK_HAS(e.msg, part);
    ok &= CHECK_HAS(e.file, "x.cfg");
    if (!ok)
        test_note("%s -> line %d, %s: %s", text, e.line, e.key, e.msg);
    experiments_close(x);
}

#define ONE(rest) DEFAULTS "experiment = (\n{ id = \"a\"; " rest " } );"

static void test_bad_files(void)
{
    bad("", 0, "no experiments");
    bad("experiments = ();", 1, "did you mean 'experiment'?");
    bad(DEFAULTS "experiment = ();", 0, "no experiments");
    bad("defaults = { sok = \"a\"; };", 1, "did you mean 'soc'?");
    bad("defaults = { policy = \"hetero\"; };", 1, "hetero");
    bad("defaults = { sync = \"drive\"; };", 1, "driver");
    bad("defaults = { plan_sync = \"drive\"; };", 1, "driver");
    bad(ONE("unit = \"us\";"), 3, "needs a kind");
    bad(ONE("unit = \"us\"; kind = 3;"), 3, "unknown kind \"3\"");
    bad(ONE("unit = \"us\"; kind = \"operatr\";"), 3, "did you mean \"operator\"?");
    bad(ONE("kind = \"latency\"; what = \"sleep\";"), 3, "missing required key 'unit'");
    bad(ONE("unit = \"us\"; kind = \"latency\"; what = \"slep\";"), 3, "did you mean \"sleep\"?");
    bad(ONE("unit = \"usec\"; kind = \"latency\"; what = \"sleep\";"), 3, "did you mean \"us\"?");
    bad(ONE("unit = \"W\"; kind = \"latency\"; what = \"sleep\";"), 3, "does not yield");
    bad(ONE("unit = \"us\"; kind = \"latency\"; what = \"sleep\"; k = [1];"), 3, "unknown key 'k'");
    bad(ONE("unit = \"us\"; kind = \"operator\"; device = \"gpu\"; m = [1]; k = [1];"), 3,
        "missing required key 'n'");
    bad(ONE("unit = \"us\"; kind = \"operator\"; device = \"gpu\"; m = [1]; k = []; n = [1];"), 3,
        "at least one k");
    bad(ONE("unit = \"us\"; kind = \"operator\"; device = \"gpu\"; m = [0]; k = [1]; n = [1];"), 3,
        "out of range");
    bad(ONE("unit = \"ms\"; kind = \"session\"; metric = \"ttft\";"), 3, "did you mean");
    bad(ONE("unit = \"ms\"; kind = \"session\"; metric = [];"), 3, "needs a metric");
    bad(ONE("unit = \"ms\"; kind = \"session\"; metric = [\"ttft_ms\", \"energy_j\"];"), 3,
        "different dimensions");
    bad(ONE("unit = \"ms\"; kind = \"session\"; metric = \"ttft_ms\"; prompt = [];"), 3, "prompt");
    bad(ONE("unit = \"ms\"; kind = \"session\"; metric = \"ttft_ms\"; policy = \"layr\";"), 3,
        "layer");
    bad(ONE("unit = \"ms\"; kind = \"session\"; metric = \"ttft_ms\"; policy = \"layer:x=1\";"), 3,
        "unknown key 'x'");
    bad(ONE("unit = \"ms\"; kind = \"session\"; metric = \"ttft_ms\"; set = [\"gpu.gemm\"];"), 3,
        "key=value");
    bad(ONE("unit = \"ms\"; kind = \"session\"; metric = \"ttft_ms\"; set = [3];"), 3,
        "a list such as");
    bad(ONE("unit = \"ms\"; kind = \"session\"; metric = \"ttft_ms\"; over = { gen = 4; };"), 3,
        "does not yield");
    bad(ONE("unit = \"x\"; kind = \"session\"; metric = \"ttft_ms\";\nover = { prompt = [3]; };"),
        4, "the prompts are those");
    bad(ONE("unit = \"x\"; kind = \"session\"; metric = \"ttft_ms\";\nover = { sync = \"x\"; };"),
        4, "x");
    bad(ONE("unit = \"x\"; kind = \"session\"; metric = \"ttft_ms\"; form = \"ratio\"; over = {};"),
        3, "not one of");
    bad(ONE("unit = \"-\"; kind = \"strategy\"; operator = \"o\"; n = [];"), 3, "at least one n");
    bad(ONE("unit = \"us\"; kind = \"latency\"; what = \"sleep\"; },\n{ id = \"a\"; unit = \"us\"; "
            "kind = \"latency\"; what = \"sleep\";"),
        4, "another experiment of this id");
    bad("experiment = ( { id = \"a\"; unit = \"us\"; kind = \"latency\"; what = \"sleep\"; } );", 1,
        "no soc");
}

// What only the world knows is an error of the prediction, at the row.
static void refused(const char *rest, const char *part)
{
    char text[800];
    struct world w;
    struct prediction p;
    struct err e = {0};
    snprintf(text, sizeof text, DEFAULTS "experiment = (\n{ id = \"a\"; %s } );", rest);
    struct experiments *x = experiments_of(text);
    if (!x)
        return;
    world_init(&w);
    CHECK(experiments_predict(x, 0, &w.base, &p, &e) < 0);
    CHECK_INT(e.line, 3);
    CHECK_STR(e.key, "a");
    CHECK_HAS(e.msg, part);
    experiments_close(x);
    world_fini(&w);
}

static void test_refused(void)
{
    refused("unit = \"us\"; kind = \"latency\"; what = \"sleep\"; soc = \"sd9\";", "sd9");
    refused("unit = \"us\"; kind = \"operator\"; device = \"gpus\"; m = [1]; k = [1]; n = [1];",
            "did you mean \"gpu\"?");
    refused(
        "unit = \"us\"; kind = \"operator\"; device = \"npu\"; m = [32]; k = [32]; n = [32]; soc = "
        "\"orin\";",
        "no device \"npu\"");
    refused("unit = \"GB/s\"; kind = \"bandwidth\"; device = \"gpu+\"; m = [32]; k = [32];",
            "no device \"\"");
    refused("unit = \"TFLOP/s\"; kind = \"specification\"; what = \"gpu.fp8\";", "gpu.fp8");
    refused("unit = \"ms\"; kind = \"session\"; metric = \"ttft_ms\"; model = \"gpt\";", "gpt");
    refused("unit = \"ms\"; kind = \"session\"; metric = \"ttft_ms\"; engine = \"x\";", "x");
    refused("unit = \"ms\"; kind = \"session\"; metric = \"ttft_ms\"; set = [\"gpu.x=1\"];",
            "gpu.x");
    refused("unit = \"ms\"; kind = \"session\"; metric = \"tpot_ms\"; gen = 1;", "no tpot_ms");
    refused("unit = \"-\"; kind = \"strategy\"; operator = \"attn\"; n = [1];", "no matmul");
}

TESTS(explore_experiment, T(test_kinds), T(test_plan_sync), T(test_sharing), T(test_independent),
      T(test_smooth_in_prompt), T(test_sensible_in_model), T(test_bad_files), T(test_refused))
