// SPDX-License-Identifier: GPL-3.0-or-later
// Engine profiles: configs/engine/NAME.cfg and --engine.
//
// What wins over what, on which SoC they work, and that a malformed profile gives an error that
// points. That profile and SoC belong together, the published comparisons of engines, is among the
// experiments of configs/repro (tests/cli/test_repro.c).
#include "tests/cli/cli_util.h"

static double number(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static json_t *simulated(const char *options)
{
    char line[512];
    snprintf(line, sizeof line, "sim --json --quiet %s", options);
    return works_json(line);
}

static double simulate(const char *options, const char *key)
{
    json_t *j = simulated(options);
    double v = number(j, key);
    json_decref(j);
    return v;
}

static const char *const engines[] = {"mnn-opencl", "mlc", "llamacpp-cpu", "npu-only-fp16"};

// --- any SoC, any length

static void test_other_soc(void)
{
    for (int i = 0; i < 4; i++) {
        char options[128];
        double ttft[2];
        for (int k = 0; k < 2; k++) {
            snprintf(options, sizeof options, "--soc %s --prompt 128 --gen 4 --engine %s",
                     k ? "sd8elite" : "sd8gen3", engines[i]);
            ttft[k] = simulate(options, "ttft_ms");
        }
        if (!CHECK(ttft[1] > 0 && ttft[1] < ttft[0]))
            test_note("%s: %g ms on sd8gen3, %g ms on sd8elite", engines[i], ttft[0], ttft[1]);
    }
}

static void test_list(void)
{
    struct ran r = works("list engines", NULL);
    for (int i = 0; i < 4; i++)
        CHECK_HAS(r.out, engines[i]);
    ran_free(&r);
}

// --- what wins over what

static void test_names_win(void)
{
    json_t *j = simulated("--prompt 32 --gen 2 --engine mlc");
    CHECK_STR(json_string_value(json_object_get(j, "engine")), "mlc");
    CHECK_STR(json_string_value(json_object_get(j, "policy")), "gpu_only");
    CHECK_STR(json_string_value(json_object_get(j, "sync")), "driver");
    json_decref(j);
    j = simulated("--policy layer --prompt 32 --gen 2 --engine mlc"); // in any order
    CHECK_STR(json_string_value(json_object_get(j, "policy")), "layer");
    CHECK_STR(json_string_value(json_object_get(j, "sync")), "driver");
    json_decref(j);
    // The default's name, said explicitly, is explicit.
    j = simulated("--engine mlc --sync sleep_poll --prompt 32 --gen 2");
    CHECK_STR(json_string_value(json_object_get(j, "sync")), "sleep_poll");
    CHECK_STR(json_string_value(json_object_get(j, "policy")), "gpu_only");
    json_decref(j);
}

static const char *profile(const char *rest)
{
    static char text[1024];
    snprintf(text, sizeof text, "name = \"x\";\npolicy = \"gpu_only\";\nsync = \"driver\";\n%s",
             rest);
    spill(in_tmp("x.cfg"), text, strlen(text));
    return in_tmp("x.cfg");
}

static void shows(const char *options, const char *part)
{
    struct ran r = run("show-config soc:sd8gen3 --engine x.cfg %s", options);
    bool ok = CHECK_INT(r.code, 0);
    ok &= CHECK_HAS(r.out, part);
    if (!ok)
        test_note("show-config %s: %s", options, r.err);
    ran_free(&r);
}

static void test_changes(void)
{
    profile("set = ( { key = \"gpu.queue.finish\"; value = \"7 us\"; },\n"
            "        { key = \"gpu.slots\"; value = \"40\"; } );\n"
            "scale = ( { key = \"gpu.gemm\"; factor = 0.5; },\n"
            "          { key = \"gpu.queue.restart\"; factor = 0.3333333333333; },\n"
            "          { key = \"gpu.queue.outstanding\"; factor = 0.33; },\n"
            "          { key = \"npu.arch.efficiency\"; factor = 0.5; } );\n");
    shows("", "    finish = \"7 us\";");
    shows("", "slots = 40;");
    shows("--set gpu.queue.outstanding=104", "outstanding = 34;"); // whole: 34.32
    shows("", "restart = \"10 us\";");                             // whole in ps
    shows("--set 'npu.arch.efficiency=64.4 %'", "efficiency = \"32.2 %\";");
    shows("--set gpu.slots=41", "slots = 41;");                 // the user's value wins
    shows("--set 'gpu.gemm=2 TFLOP/s'", "gemm = \"1 TOP/s\";"); // factors scale it
    shows("--set gpu.queue.outstanding=300", "outstanding = 99;");
}

// Twice the bits: about twice the decode time, and the profile is what says so.
static void test_weight_bits(void)
{
    profile("");
    double ours = simulate("--prompt 16 --gen 4 --engine x.cfg", "tpot_ms");
    profile("weight_bits = 9.0;\n");
    double theirs = simulate("--prompt 16 --gen 4 --engine x.cfg", "tpot_ms");
    CHECK_NEAR(theirs / ours, 2.0, 0.1);
}

// A device that the SoC lacks: its factors are passed over, and the policy names it.
static void test_missing_device(void)
{
    fails(2, "no engine named \"mnn-opncl\", did you mean \"mnn-opencl\"?",
          "sim --engine mnn-opncl");
    fails(2, "engine mlc describes kernels of a simulated SoC",
          "sim --engine mlc --machine host --model tinyllama-1.1b");
    char *text = slurp(here("configs/soc/sd8gen3.cfg"), NULL);
    char *npu = text ? strstr(text, "\nnpu = {") : NULL,
         *cpu = npu ? strstr(npu, "\ncpu = {") : NULL;
    if (!CHECK(cpu != NULL)) {
        free(text);
        return;
    }
    memmove(npu, cpu, strlen(cpu) + 1);
    spill(in_tmp("less.cfg"), text, strlen(text));
    free(text);
    fails(4, "policy npu_only needs an NPU",
          "sim --machine soc:less.cfg --engine npu-only-fp16 --prompt 16 --gen 2");
}

// --- malformed profiles

static void bad(const char *text, const char *part)
{
    spill(in_tmp("x.cfg"), text, strlen(text));
    fails(2, part, "sim --engine x.cfg --prompt 16 --gen 2");
}

#define HEAD "name = \"x\";\npolicy = \"gpu_only\";\nsync = \"driver\";\n"

static void test_bad_names(void)
{
    bad("", "missing required key 'name'");
    bad("name = \"x\";\nsync = \"driver\";\n", "missing required key 'policy'");
    bad(HEAD "polices = 1;\n", "x.cfg:4: polices: unknown key 'polices'; did you mean 'policy'?");
    bad("name = \"x\";\npolicy = \"gpu_onyl\";\nsync = \"driver\";\n", "x.cfg:2: policy: ");
    bad("name = \"x\";\npolicy = \"gpu_onyl\";\nsync = \"driver\";\n", "gpu_only");
    bad("name = \"x\";\npolicy = \"gpu_only:parts=3\";\nsync = \"driver\";\n", "x.cfg:2: policy: ");
    bad("name = \"x\";\npolicy = \"gpu_only\";\nsync = \"drive\";\n", "x.cfg:3: sync: ");
    bad("name = \"\";\npolicy = \"gpu_only\";\nsync = \"driver\";\n", "x.cfg:1: name: ");
    bad(HEAD "weight_bits = 33;\n", "x.cfg:4: weight_bits: 33 is out of range");
    bad(HEAD "weight_bits = 0.5;\n", "x.cfg:4: weight_bits: 0.5 is out of range");
    bad(HEAD "name = \"y\";\n", "x.cfg:4: ");
}

static void test_bad_changes(void)
{
    bad(HEAD "scale = 3;\n", "x.cfg:4: scale: ");
    bad(HEAD "scale = ( 3 );\n", "x.cfg:4: scale");
    bad(HEAD "scale = ( { factor = 2.0; } );\n", "missing required key 'key'");
    bad(HEAD "scale = ( { key = \"gpu.gemm\"; } );\n", "missing required key 'factor'");
    bad(HEAD "scale = ( { key = \"gpu.gemm\"; faktor = 2.0; } );\n", "did you mean 'factor'?");
    bad(HEAD "scale = ( { key = \"gpu.gemm\"; factor = -1.0; } );\n", "is out of range");
    bad(HEAD "scale = ( { key = \"gpu.gemm\"; factor = \"a\"; } );\n", "x.cfg:4: scale");
    bad(HEAD "scale = (\n{ key = \"gpu.gemmm\"; factor = 2.0; } );\n", "x.cfg:5: gpu.gemmm: ");
    bad(HEAD "scale = ( { key = \"gpu.gemmm\"; factor = 2.0; } );\n", "did you mean 'gemm'?");
    bad(HEAD "scale = ( { key = \"gpuu.gemm\"; factor = 2.0; } );\n", "x.cfg:4: gpuu.gemm: ");
    bad(HEAD "scale = ( { key = \"gpu\"; factor = 2.0; } );\n", "x.cfg:4: gpu: ");
    bad(HEAD "scale = ( { key = \"npu.model\"; factor = 2.0; } );\n",
        "x.cfg:4: npu.model: 'systolic' is not a number");
    bad(HEAD "scale = ( { key = \"npu.sizes\"; factor = 2.0; } );\n", "is not a number");
    bad(HEAD "scale = (\n{ key = \"npu.arch.efficiency\"; factor = 2.0; } );\n",
        "x.cfg:5: npu.arch.efficiency: ");
    bad(HEAD "scale = ( { key = \"gpu.gemm\"; factor = 2.0; },\n"
             "{ key = \"gpu.gemm\"; factor = 2.0; } );\n",
        "x.cfg:5: gpu.gemm: is changed twice");
    bad(HEAD "set = ( { key = \"gpu.wave\"; value = \"3\"; } );\n"
             "scale = ( { key = \"gpu.wave\"; factor = 2.0; } );\n",
        "x.cfg:5: gpu.wave: is changed twice");
    bad(HEAD "set = (\n{ key = \"gpu.gemm\"; value = \"3 GB/s\"; } );\n", "x.cfg:5: gpu.gemm: ");
    bad(HEAD "set = ( { key = \"gpu.gemm\"; value = \"3\"; } );\n", "has no unit");
    bad(HEAD "set = ( { key = \"gpu.wav\"; value = \"3\"; } );\n", "did you mean 'wave'?");
    bad(HEAD "set = ( { key = \"gpu.wave\"; value = \"\"; } );\n", "x.cfg:4: value: ");
    // The user's own mistake stays the user's.
    profile("scale = ( { key = \"gpu.gemm\"; factor = 0.5; } );\n");
    fails(2, "command line: gpu.gemm: ", "sim --engine x.cfg --set gpu.gemm=fast");
}

TESTS(cli_engines, T(test_other_soc), T(test_list), T(test_names_win), T(test_changes),
      T(test_weight_bits), T(test_missing_device), T(test_bad_names), T(test_bad_changes))
