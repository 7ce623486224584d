// SPDX-License-Identifier: GPL-3.0-or-later
// The four commands from an unknown device to a proven configuration (docs/loop.md), with a
// simulated SoC as the device: only the profile knows its values. What is fitted from another one
// must predict the device, and the same commands must give the same files.
#include "tests/cli/cli_util.h"

#include "base/conf_edit.h"

static double number(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

// A SoC as none is in configs/soc.
static void make_unknown(void)
{
    static const char *const change[][2] = {{"gpu.gemm", "\"0.6 TFLOP/s\""},
                                            {"gpu.gemv", "\"300 GFLOP/s\""},
                                            {"gpu.queue.link", "\"31 GB/s\""},
                                            {"npu.arch.efficiency", "\"35 %\""},
                                            {"control.granularity", "\"60 us\""}};
    struct conf_edit *x = NULL;
    struct err e = {0};
    if (!CHECK_OK(conf_edit_open("configs/soc/sd8gen3.cfg", &x, &e), &e))
        return;
    for (size_t i = 0; i < sizeof change / sizeof change[0]; i++)
        CHECK_OK(conf_edit_set(x, change[i][0], change[i][1], NULL, &e), &e);
    CHECK_OK(conf_edit_write(x, in_tmp("unknown.cfg"), &e), &e);
    conf_edit_close(x);
}

static void quiet(const char *line)
{
    struct ran r = works(line, NULL);
    ran_free(&r);
}

#define VALIDATE                                                                                   \
    "validate s.db --model qwen2-1.5b --machine soc:unknown.cfg --predicted exploration "          \
    "--top 3 --spread 3 --repeat 1 --json "

static void test_four_commands(void)
{
    char *profile[2], *fitted[2];
    make_unknown();
    for (int i = 0; i < 2; i++) {
        quiet("profile --machine soc:unknown.cfg --quick -q -o unknown.csv");
        quiet("fit --given unknown.csv -o my-device.cfg --free gpu.gemm,gpu.gemv,gpu.queue.link,"
              "npu.arch.efficiency,control.granularity");
        profile[i] = slurp(in_tmp("unknown.csv"), NULL);
        fitted[i] = slurp(in_tmp("my-device.cfg"), NULL);
    }
    CHECK_STR(profile[0], profile[1]);
    CHECK_STR(fitted[0], fitted[1]);
    CHECK_HAS(fitted[0], "fitted (unknown.csv)");
    CHECK_HAS(fitted[0], "Snapdragon 8 Gen 3"); // the nearest there is
    for (int i = 0; i < 2; i++) {
        free(profile[i]);
        free(fitted[i]);
    }
    quiet("explore tiny --soc my-device.cfg -q -o s.db");
    json_t *j = works_json(VALIDATE "--max-error 5 --min-tau 0.8 --max-regret 3");
    const json_t *s = json_object_get(j, "summary");
    CHECK(number(json_object_get(s, "ttft"), "median_error") < 0.05);
    CHECK(number(json_object_get(s, "ttft"), "configurations") >= 5);
    json_decref(j);
    // The file that the space names would not have done: the limits can be missed.
    quiet("explore tiny -q -o s.db");
    struct ran r = run_line(VALIDATE "--max-error 5", NULL);
    CHECK_INT(r.code, 1);
    ran_free(&r);
}

// The base that is calibrated is the SoC that is nearest as it stands.
static void test_nearest_base(void)
{
    static const char *const socs[] = {"a18", "host"};
    for (int i = 0; i < 2; i++) {
        char line[200];
        snprintf(line, sizeof line, "profile --soc %s --quick -q --max-m 256 --max-n 32 -o p.csv",
                 socs[i]);
        quiet(line);
        json_t *j = works_json("fit --json --given p.csv --free gpu.gemm --iterations 1");
        CHECK_HAS(json_string_value(json_object_get(j, "base")), socs[i]);
        json_decref(j);
    }
}

static void test_errors_point(void)
{
    fails(2, "did you mean", "explore tiny --soc sd8gen33");
    fails(2, "names none", "explore robust --soc sd8gen3");
    static const char bad[] = "section,what,order,m,k,n,value,unit\n"
                              "kernel,cpu:atention,,256,64,1,3.5,us\n";
    spill(in_tmp("bad.csv"), bad, strlen(bad));
    fails(2, "bad.csv:2", "fit --given bad.csv --soc host");
    fails(2, "did you mean attention", "fit --given bad.csv");
    static const char wrong[] = "section,what,order,m,k,n,value,unit\n"
                                "kernels,cpu:add,,256,0,1,3.5,us\n";
    spill(in_tmp("bad.csv"), wrong, strlen(wrong));
    fails(3, "bad.csv:2", "fit --given bad.csv");
}

TESTS(cli_loop, T(test_four_commands), T(test_nearest_base), T(test_errors_point))
