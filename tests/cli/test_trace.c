// SPDX-License-Identifier: GPL-3.0-or-later
// sim --trace and run --trace as a user meets them: files that viewers read, errors before anything
// runs, and the same results with a trace and without.
#include "tests/cli/cli_util.h"

#define SIM "sim --soc sd8gen3 --model tinyllama-1.1b --prompt 32 --gen 2 --json "

static char *digest_of(const char *line)
{
    json_t *j = works_json(line);
    const char *s = json_string_value(json_object_get(j, "digest"));
    char *out = strdup(s ? s : "(none)");
    json_decref(j);
    return out;
}

static void same_with(const char *options)
{
    char line[600];
    snprintf(line, sizeof line, SIM "%s", options);
    char *without = digest_of(line);
    snprintf(line, sizeof line, SIM "%s --trace t.pftrace", options);
    char *with = digest_of(line);
    CHECK_STR(with, without);
    CHECK(strlen(with) == 16);
    free(with);
    free(without);
    size_t n;
    char *data = slurp(in_tmp("t.pftrace"), &n);
    CHECK(n > 10000 && data && data[0] == '\n'); // field 1, bytes
    free(data);
    CHECK(access(in_tmp("t.pftrace.part"), F_OK) != 0);
    unlink(in_tmp("t.pftrace"));
}

static void test_results_are_the_same(void)
{
    same_with("");
    same_with("--policy gpu_only --sync queue_order");
    same_with("--set gpu.game.rate=60.0 --set thermal.enabled=true");
}

static void test_cycle_level(void)
{
    char *without = digest_of("sim --detail cycle --model demo-60m --prompt 8 --gen 1 --json");
    char *with =
        digest_of("sim --detail cycle --model demo-60m --prompt 8 --gen 1 --json --trace c.json");
    CHECK_STR(with, without);
    free(with);
    free(without);
    CHECK(access(in_tmp("c.json"), R_OK) == 0);
}

// Busy time in the result and slices in the file are the same thing, where no device has to be
// woken (which is busy time, and in a trace waiting); so are bytes and bandwidth.
static void test_the_trace_agrees_with_the_result(void)
{
    json_t *r = works_json(
               SIM "--set gpu.queue.wake=0s --set npu.queue.wake=0s --set cpu.queue.wake=0s "
                   "--set npu.wake_integer=0s --trace t.json"),
           *e;
    json_error_t why;
    char *data = slurp(in_tmp("t.json"), NULL);
    json_t *t = json_loads(data ? data : "", 0, &why);
    free(data);
    CHECK(t != NULL);
    double bandwidth = 0, since = 0, bytes = 0, busy[512] = {0};
    const char *thread[512] = {NULL};
    int arrows[2] = {0, 0}, tokens = 0;
    size_t i;
    json_array_foreach(json_object_get(t, "traceEvents"), i, e)
    {
        const char *ph = json_string_value(json_object_get(e, "ph"));
        const char *name = json_string_value(json_object_get(e, "name"));
        int tid = (int)json_integer_value(json_object_get(e, "tid"));
        double ts = json_number_value(json_object_get(e, "ts"));
        if (!CHECK(ph && name && tid > 0 && tid < 512))
            break;
        if (*ph == 'M' && !strcmp(name, "thread_name"))
            thread[tid] = json_string_value(json_object_get(json_object_get(e, "args"), "name"));
        arrows[0] += *ph == 's';
        arrows[1] += *ph == 'f';
        tokens += *ph == 'X' && strstr(name, "token") != NULL;
        if (*ph == 'X')
            busy[tid] += json_number_value(json_object_get(e, "dur"));
        if (*ph == 'C' && !strcmp(name, "DRAM bandwidth")) {
            bytes += bandwidth * (ts - since) * 1e3;
            bandwidth = json_number_value(json_object_get(json_object_get(e, "args"), "GB/s"));
            since = ts;
        }
    }
    CHECK_INT(tokens, 2);
    CHECK(arrows[0] > 0 && arrows[0] == arrows[1]);
    CHECK_NEAR(bandwidth, 0, 0); // it ends
    double moved = json_number_value(json_object_get(r, "bytes_moved"));
    CHECK(moved > 0);
    CHECK_NEAR(bytes, moved, 1e-6 * moved);
    double total = json_number_value(json_object_get(r, "total_ms"));
    json_array_foreach(json_object_get(r, "devices"), i, e)
    {
        const char *name = json_string_value(json_object_get(e, "name"));
        double share = json_number_value(json_object_get(e, "utilisation")), sum = 0;
        for (int k = 0; k < 512; k++)
            sum += thread[k] && name && !strcmp(thread[k], name) ? busy[k] : 0;
        CHECK_NEAR(sum / 1e3 / total, share, 1e-6);
        test_note("%s: %.1f %% busy", name ? name : "?", share * 100);
    }
    json_decref(t);
    json_decref(r);
}

static void test_errors(void)
{
    fails(2, "ends in .pftrace", "sim --trace x.txt");
    fails(2, "did you mean .json?", "sim --trace x.jsn");
    fails(5, "none/x.pftrace: cannot write: No such file", "sim --trace none/x.pftrace");
    fails(2, "did you mean --trace?", "sim --tarce x.json");
    char line[4600];
    snprintf(line, sizeof line, "run %s --trace none/x.json", here("data/partita-stories.gguf"));
    fails(5, "none/x.json: cannot write", line);
    // What fails later leaves no file.
    fails(2, "unknown machine", "sim --machine soc --trace x.json");
    CHECK(access(in_tmp("x.json"), F_OK) != 0 && access(in_tmp("x.json.part"), F_OK) != 0);
    if (access("/dev/full", W_OK) == 0 && CHECK_INT(symlink("/dev/full", in_tmp("f.pftrace")), 0))
        fails(5, "cannot write: No space left", SIM "--trace f.pftrace");
}

static void test_help(void)
{
    struct ran r = works("sim --help", NULL);
    CHECK_HAS(r.out, "--trace=FILE");
    CHECK_HAS(r.out, "ui.perfetto.dev");
    ran_free(&r);
}

// The machine at hand reports real times.
static void test_host(void)
{
    char line[4600];
    snprintf(line, sizeof line,
             "run %s --prompt Once --n 3 --json --policy hetero_tensor "
             "--trace host.json",
             here("data/partita-stories.gguf"));
    json_t *r = works_json(line), *e;
    json_error_t why;
    char *data = slurp(in_tmp("host.json"), NULL);
    json_t *t = json_loads(data ? data : "", 0, &why);
    free(data);
    CHECK(r != NULL && t != NULL);
    int tasks = 0, submissions = 0;
    size_t i;
    json_array_foreach(json_object_get(t, "traceEvents"), i, e)
    {
        const char *name = json_string_value(json_object_get(e, "name"));
        bool slice = !strcmp(json_string_value(json_object_get(e, "ph")), "X");
        if (slice)
            CHECK(json_number_value(json_object_get(e, "dur")) >= 0);
        submissions += slice && name && !strncmp(name, "submit ", 7);
        tasks += slice && name && strstr(name, " down ") != NULL;
    }
    CHECK_INT(submissions, json_integer_value(json_object_get(r, "submissions")));
    CHECK(tasks > 0);
    json_decref(r);
    json_decref(t);
}

TESTS(cli_trace, T(test_results_are_the_same), T(test_cycle_level),
      T(test_the_trace_agrees_with_the_result), T(test_errors), T(test_help), T(test_host))
