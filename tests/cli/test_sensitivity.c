// SPDX-License-Identifier: GPL-3.0-or-later
// partita repro --sensitivity as a user calls it: a few made-up experiments whose dependence on a
// parameter is plain, on the SoC that is calibrated.
#include "tests/cli/cli_util.h"

#include <math.h>
#include <signal.h>

// Blocking for the GPU takes gpu.queue.finish; on another SoC it takes that SoC's. A sleep depends
// on neither. What the NPU is chosen for depends on how fast it is.
#define EXPERIMENTS                                                                                \
    "defaults = { soc = \"sd8gen3\"; model = \"llama3-8b\"; prompt = [256]; gen = 4;\n"            \
    "             policy = \"hetero_tensor\"; sync = \"queue_order\"; };\nexperiment = (\n"        \
    "{ id = \"sleep\"; unit = \"us\"; kind = \"latency\"; what = \"sleep\"; },\n"                  \
    "{ id = \"finish\"; unit = \"us\"; kind = \"latency\"; what = \"finish\"; },\n"                \
    "{ id = \"other\"; unit = \"us\"; kind = \"latency\"; what = \"finish\"; soc = \"sd8elite\"; " \
    "},\n"                                                                                         \
    "{ id = \"rate\"; unit = \"TFLOP/s\"; kind = \"best\"; device = \"npu\"; m = [4096];\n"        \
    "  k = [4096]; n = [256]; },\n"                                                                \
    "{ id = \"choice\"; unit = \"-\"; kind = \"strategy\"; operator = \"o\"; n = [256]; } );\n"

#define PUBLISHED                                                                                  \
    "id,value,unit,split\nsleep,,us,blind\nfinish,,us,blind\nother,,us,blind\n"                    \
    "rate,,TFLOP/s,blind\nchoice,,-,blind\n"

static void files(void)
{
    spill(in_tmp("x.cfg"), EXPERIMENTS, strlen(EXPERIMENTS));
    spill(in_tmp("x.csv"), PUBLISHED, strlen(PUBLISHED));
}

static json_t *find(const json_t *j, const char *key)
{
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(j, "parameters"), i, x)
    {
        if (!strcmp(json_string_value(json_object_get(x, "key")), key))
            return x;
    }
    test_note("no parameter %s", key);
    CHECK(false);
    return NULL;
}

static double number(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

static const json_t *move(const json_t *x, size_t f)
{
    return json_array_get(json_object_get(x, "moves"), f);
}

static void test_moves(void)
{
    files();
    json_t *j = works_json("repro x.cfg --json --sensitivity=gpu.queue.finish,thermal.limit");
    const json_t *x = find(j, "gpu.queue.finish");
    double value = number(x, "value");
    CHECK_INT(number(j, "predictions"), 5);
    CHECK_STR(json_string_value(json_object_get(x, "unit")), "us");
    CHECK_STR(json_string_value(json_object_get(x, "id")), "finish"); // and not `other`
    CHECK_NEAR(number(x, "largest_percent"), 100, 1);
    CHECK_NEAR(number(move(x, 1), "percent"), 50, 1); // x0.5
    CHECK_NEAR(number(move(x, 1), "value"), value / 2, 1e-6);
    CHECK_NEAR(number(move(x, 5), "percent"), 700, 10); // x8
    CHECK(number(x, "low") >= 0.945 * value && number(x, "low") < value);
    CHECK(number(x, "high") <= 1.055 * value && number(x, "high") > value);
    CHECK(json_is_false(json_object_get(x, "low_is_end")));
    x = find(j, "thermal.limit"); // the model of temperatures is off
    CHECK_NEAR(number(x, "largest_percent"), 0, 0);
    CHECK(json_is_null(json_object_get(x, "id")));
    CHECK_NEAR(number(x, "low"), number(x, "value") / 8, 0.01);
    CHECK(json_is_true(json_object_get(x, "low_is_end")));
    json_decref(j);
    j = works_json("repro x.cfg --json --sensitivity=gpu.queue.finish --only other");
    CHECK_INT(number(j, "predictions"), 1);
    CHECK_NEAR(number(find(j, "gpu.queue.finish"), "largest_percent"), 0, 0);
    json_decref(j);
}

// Limits of the option row, another tolerance, a strategy.
static void test_limits(void)
{
    files();
    json_t *j = works_json("repro x.cfg --json --sensitivity=npu.arch.efficiency,npu.arch.clock "
                           "--only rate --only choice --tolerance '20 %' --jobs 1");
    const json_t *x = find(j, "npu.arch.efficiency");
    CHECK_STR(json_string_value(json_object_get(x, "unit")), "%");
    CHECK_NEAR(number(move(x, 4), "value"), fmin(100, 2 * number(x, "value")), 1e-6);
    CHECK_NEAR(number(move(x, 5), "value"), 100, 1e-6);
    CHECK_NEAR(number(j, "tolerance_percent"), 20, 1e-6);
    x = find(j, "npu.arch.clock"); // an eighth of it leaves the operator to the GPU, or a part
    CHECK_INT(number(move(x, 0), "strategies"), 1);
    CHECK(json_is_false(json_object_get(x, "low_is_end")));
    CHECK(number(x, "low") > number(x, "value") / 8);
    json_decref(j);
}

// Values that are not numbers are skipped, aloud; so is 0, which no factor changes.
static void test_skipped(void)
{
    files();
    struct ran r = works("repro x.cfg --only sleep --sensitivity=thermal.*,gpu.clock.millivolts,"
                         "npu.queue.wake,cpu.queue.ramp -o out.csv --jobs 2",
                         NULL);
    CHECK_HAS(r.out, "1 predictions; parameters of ");
    CHECK_HAS(r.out, "move nothing: thermal.ambient, thermal.start,");
    CHECK_HAS(r.out, "not varied, not a number: thermal.enabled, gpu.clock.millivolts\n");
    CHECK_HAS(r.out, "not varied, 0 times a factor is 0:");
    ran_free(&r);
    char *text = slurp(in_tmp("out.csv"), NULL);
    CHECK(text && !strncmp(text, "key,value,unit,low,high,largest_percent,id\nthermal.", 50));
    CHECK_HAS(text, "\ncpu.queue.ramp,0,us,,,,\n");
    free(text);
    // Without a pattern: what the file marks `guess`, lists of numbers too.
    json_t *j = works_json("repro x.cfg --only sleep --json --sensitivity"), *name;
    size_t i;
    bool millivolts = false;
    json_array_foreach(json_object_get(j, "skipped"), i, name) millivolts |=
        !strcmp(json_string_value(name), "gpu.clock.millivolts");
    CHECK(millivolts);
    CHECK(json_array_size(json_object_get(j, "parameters")) > 50);
    const json_t *wake = find(j, "control.wake"); // a sleep ends with it: largest of all
    CHECK(wake == json_array_get(json_object_get(j, "parameters"), 0));
    json_decref(j);
}

static void test_malformed(void)
{
    files();
    unlink(in_tmp("out.csv"));
    fails(2, "gpu.queue.finsh: no number of this name in the file; did you mean 'gpu.queue.finish'",
          "repro x.cfg --sensitivity=gpu.queue.finsh -o out.csv");
    fails(2, "gpu.name: not a number", "repro x.cfg --sensitivity=gpu.name -o out.csv");
    fails(2, "--sensitivity: expected KEY,KEY...", "repro x.cfg --sensitivity=a,,b -o out.csv");
    fails(2, "--tolerance wants a share", "repro x.cfg --sensitivity --tolerance fast");
    fails(2, "--jobs wants a whole number", "repro x.cfg --sensitivity --jobs 0");
    fails(2, "go with --sensitivity", "repro x.cfg --jobs 2");
    fails(2, "goes without --check", "repro x.cfg --sensitivity --set gpu.queue.finish=1us");
    CHECK(access(in_tmp("out.csv"), F_OK) != 0);
}

// Ctrl-C: the exit code says so, and there is neither a file nor a part of one.
static void test_interrupt(void)
{
    unlink(in_tmp("out.csv"));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        char config[4096], *argv[] = {(char *)"partita",
                                      (char *)"repro",
                                      config,
                                      (char *)"--sensitivity",
                                      (char *)"-o",
                                      NULL,
                                      NULL};
        snprintf(config, sizeof config, "%s", here("configs/repro/heteroinfer.cfg"));
        argv[5] = (char *)"out.csv";
        redirect("/dev/null", O_WRONLY, 1);
        redirect("/dev/null", O_WRONLY, 2);
        if (chdir(test_tmpdir()) == 0)
            execv(program(), argv);
        _exit(99);
    }
    usleep(1500000);
    kill(pid, SIGINT);
    int status = 0;
    waitpid(pid, &status, 0);
    CHECK_INT(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), 130);
    CHECK(access(in_tmp("out.csv"), F_OK) != 0);
    CHECK(access(in_tmp("out.csv.new"), F_OK) != 0);
}

TESTS(cli_sensitivity, T(test_moves), T(test_limits), T(test_skipped), T(test_malformed),
      T(test_interrupt))
