// SPDX-License-Identifier: GPL-3.0-or-later
// partita bench: a row for every combination, equal digests for equal work, what a simulated SoC
// reports is what `partita sim` reports, and errors that point. How fast anything is, no test asks.
#include "tests/cli/cli_util.h"

#include <signal.h>
#include <time.h>

// The OpenCL device compiles kernels and is not needed here.
#define STORIES "bench %s --set gpu.enabled=false "

static json_t *bench_json(const char *options)
{
    char line[1024];
    snprintf(line, sizeof line, STORIES "--json %s", here("data/partita-stories.gguf"), options);
    return works_json(line);
}

static const json_t *row(const json_t *j, size_t i)
{
    return json_array_get(json_object_get(j, "rows"), i);
}

static const char *text(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s ? s : "(none)";
}

static double number(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

static void test_rows(void)
{
    static const char *const policy[] = {"cpu_only", "cpu_only", "npu_only", "npu_only"};
    static const char *const test[] = {"pp24", "tg5", "pp24", "tg5"};
    json_t *j = bench_json("-p 24 -n 5 -r 3 -t 1 --policy cpu_only --policy npu_only");
    CHECK_INT(json_array_size(json_object_get(j, "rows")), 4);
    CHECK_INT((int)number(j, "threads"), 1);
    CHECK_STR(text(j, "encoding"), "Q8_0");
    CHECK_STR(text(j, "machine"), "host");
    for (size_t i = 0; i < 4; i++) {
        const json_t *r = row(j, i), *rates = json_object_get(r, "tok_s");
        double sum = 0, least = 1e300, most = 0;
        CHECK_STR(text(r, "policy"), policy[i]);
        CHECK_STR(text(r, "test"), test[i]);
        CHECK_STR(text(r, "sync"), "event"); // one that does not sleep by a prediction
        CHECK_INT(json_array_size(rates), 3);
        for (size_t k = 0; k < json_array_size(rates); k++) {
            double v = json_number_value(json_array_get(rates, k));
            CHECK(v > 0);
            sum += v;
            least = v < least ? v : least;
            most = v > most ? v : most;
        }
        CHECK_NEAR(number(r, "mean_tok_s"), sum / 3, 1e-6 * sum);
        CHECK_NEAR(number(r, "median_tok_s"), sum - least - most, 1e-6 * sum);
        CHECK(number(r, "stddev_tok_s") >= 0 && number(r, "stddev_tok_s") <= most);
        CHECK(json_is_true(json_object_get(r, "same")));
        CHECK(json_is_null(json_object_get(r, "reason")));
        CHECK_INT(strlen(text(r, "digest")), 16);
        CHECK_INT(strlen(text(r, "logits_digest")), 16);
    }
    json_decref(j);
}

// What is computed depends neither on the scheme nor on how many run it, and the other session of
// the same work (partita sim) has the same digest.
static void test_digests(void)
{
    char line[1024];
    json_t *j = bench_json("-p 24 -n 0 -r 2 --policy cpu_only --sync sleep_poll --sync driver");
    CHECK_INT(json_array_size(json_object_get(j, "rows")), 2);
    CHECK_STR(text(row(j, 0), "sync"), "sleep_poll");
    CHECK_STR(text(row(j, 1), "sync"), "driver");
    CHECK_STR(text(row(j, 0), "digest"), text(row(j, 1), "digest"));
    snprintf(line, sizeof line,
             "sim --machine host --set gpu.enabled=false --model %s --prompt 24 --gen 1 --policy "
             "cpu_only --json",
             here("data/partita-stories.gguf"));
    json_t *s = works_json(line);
    CHECK_STR(text(row(j, 0), "digest"), text(s, "digest"));
    CHECK_STR(text(row(j, 0), "logits_digest"), text(s, "logits_digest"));
    json_decref(s);
    json_decref(j);
}

static void test_simulated(void)
{
    json_t *j = works_json("bench --model demo-60m --soc sd8gen3 -p 64 -n 8 --json");
    CHECK_INT(json_array_size(json_object_get(j, "rows")), 8);
    CHECK_INT((int)number(j, "repeats"), 1);
    json_t *again = works_json("bench --model demo-60m --soc sd8gen3 -p 64 -n 8 -r 2 --json");
    for (size_t i = 0; i < 8; i++) {
        const json_t *a = row(j, i), *b = row(again, i);
        CHECK_STR(text(a, "digest"), text(b, "digest"));
        CHECK(json_is_true(json_object_get(b, "same")));
        CHECK(number(a, "mean_tok_s") == number(b, "mean_tok_s"));
        CHECK(number(b, "stddev_tok_s") == 0);
    }
    json_t *sim = works_json("sim --model demo-60m --soc sd8gen3 --prompt 64 --gen 9 --policy "
                             "gpu_only --json");
    CHECK_STR(text(row(j, 2), "policy"), "gpu_only");
    CHECK_NEAR(number(row(j, 2), "mean_tok_s"), number(sim, "prefill_tok_s"), 1e-9);
    json_decref(sim);
    sim = works_json("sim --model demo-60m --soc sd8gen3 --prompt 1 --gen 9 --policy gpu_only "
                     "--json");
    CHECK_STR(text(row(j, 3), "test"), "tg8");
    CHECK_NEAR(number(row(j, 3), "mean_tok_s"), number(sim, "decode_tok_s"), 1e-9);
    json_decref(sim);
    json_decref(again);
    json_decref(j);
}

// A scheme that the machine lacks is left out with the reason; the others are measured.
static void test_schemes_left_out(void)
{
    char line[1024];
    snprintf(line, sizeof line,
             "bench %s --set gpu.flag=false -p 8 -n 0 -r 1 --policy cpu_only --sync poll --sync "
             "driver --json",
             here("data/partita-stories.gguf"));
    json_t *j = works_json(line);
    if (json_array_size(json_object_get(j, "devices")) < 3) {
        test_skip("no OpenCL device, whose flag word could be taken away");
    } else {
        const json_t *left = json_array_get(json_object_get(j, "left_out"), 0);
        CHECK_INT(json_array_size(json_object_get(j, "rows")), 1);
        CHECK_STR(text(row(j, 0), "sync"), "driver");
        CHECK_STR(text(left, "sync"), "poll");
        CHECK_HAS(text(left, "reason"), "gpu");
        snprintf(line, sizeof line,
                 "bench %s --set gpu.flag=false -p 8 -n 0 -r 1 --sync poll -P cpu_only",
                 here("data/partita-stories.gguf"));
        fails(4, "offers none of these schemes", line);
    }
    json_decref(j);
}

static void test_policies_left_out(void)
{
    json_t *j = bench_json("-p 16 -n 0 -r 1 --policy cpu_only --policy gpu_only");
    CHECK_INT(json_array_size(json_object_get(j, "rows")), 2);
    CHECK_HAS(text(row(j, 1), "reason"), "needs a GPU");
    CHECK(json_is_null(json_object_get(row(j, 1), "mean_tok_s")));
    json_decref(j);
    char line[1024];
    snprintf(line, sizeof line, STORIES "-p 16 -n 0 -r 1 --policy gpu_only",
             here("data/partita-stories.gguf"));
    fails(4, "needs a GPU", line);
}

static int count(const char *s, const char *part)
{
    int n = 0;
    for (; s && (s = strstr(s, part)); s += strlen(part))
        n++;
    return n;
}

static void test_forms(void)
{
    struct ran r = works("bench --model demo-60m --soc sd8gen3 -p 16,32 -n 4 -p 64 -P cpu_only "
                         "-P gpu_only",
                         NULL);
    CHECK_HAS(r.out, "| model ");
    CHECK_HAS(r.out, "| pp16 |");
    CHECK_HAS(r.out, "| pp64 |");
    CHECK_HAS(r.out, "|  tg4 |");
    CHECK_HAS(r.out, " ± 0.00 |");
    CHECK_HAS(r.out, "machine soc:sd8gen3: cpu (");
    CHECK_INT(count(r.out, "| sleep_poll |"), 8);
    ran_free(&r);
    r = works("bench --model demo-60m --soc sd8gen3 -p 16 -n 4 -P cpu_only "
              "-P hetero_tensor:partner=cpu,margin=10% --csv",
              NULL);
    CHECK_INT(count(r.out, "\n"), 5);
    CHECK_INT(strncmp(r.out, "machine,model,", 14), 0);
    CHECK_HAS(r.out, "\"hetero_tensor:partner=cpu,margin=10%\",sleep_poll,tg4,0,4,1,");
    ran_free(&r);
}

static void test_errors(void)
{
    fails(2, "which model?", "bench");
    fails(2, "one model", "bench a.gguf b.gguf");
    fails(2, "one model", "bench a.gguf --model demo-60m");
    fails(5, "nowhere.gguf", "bench nowhere.gguf");
    fails(2, "did you mean \"cpu_only\"?", "bench --model demo-60m --policy cpu_onl");
    fails(2, "did you mean \"driver\"?", "bench --model demo-60m --sync drivr");
    fails(2, "did you mean \"Q4_0\"?", "bench --model demo-60m --encoding Q4_00");
    fails(2, "did you mean --repeat?", "bench --model demo-60m --repaet 3");
    fails(2, "--prompt wants a whole number", "bench --model demo-60m -p 16,x");
    fails(2, "--prompt wants a whole number", "bench --model demo-60m -p 16,");
    fails(2, "nothing to measure", "bench --model demo-60m -p 0 -n 0");
    fails(2, "not both", "bench --model demo-60m --json --csv");
    fails(2, "--threads is about the host", "bench --model demo-60m --soc sd8gen3 -t 2");
    fails(2, "cpu.threads", "bench --model demo-60m -t 4096");
    fails(2, "--repeat", "bench --model demo-60m -r 0");
}

// Does the process handle SIGINT by now? (Only then is there something to keep.)
static bool catches(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    char buffer[4096];
    size_t n = f ? fread(buffer, 1, sizeof buffer - 1, f) : 0;
    if (f)
        fclose(f);
    buffer[n] = 0;
    const char *field = strstr(buffer, "SigCgt:");
    return field && (strtoull(field + 7, NULL, 16) >> (SIGINT - 1) & 1);
}

static void test_stop(void)
{
    const struct timespec moment = {.tv_nsec = 2000000};
    char *argv[] = {(char *)"partita",
                    (char *)"bench",
                    (char *)here("data/partita-stories.gguf"),
                    (char *)"-p",
                    (char *)"16",
                    (char *)"-n",
                    (char *)"0",
                    (char *)"-r",
                    (char *)"1000",
                    (char *)"--set",
                    (char *)"gpu.enabled=false",
                    (char *)"-P",
                    (char *)"cpu_only",
                    NULL};
    if (!program())
        return;
    int status = 0, tries = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        redirect(in_tmp("stopped"), O_WRONLY | O_CREAT | O_TRUNC, 1);
        execv(program(), argv);
        _exit(99);
    }
    while (tries++ < 30000 && !catches(pid))
        nanosleep(&moment, NULL);
    kill(pid, SIGINT);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 130);
    char *out = slurp(in_tmp("stopped"), NULL);
    CHECK_HAS(out, "cpu_only");
    CHECK_HAS(out, "| pp16 |");
    free(out);
}

TESTS(cli_bench, T(test_rows), T(test_digests), T(test_simulated), T(test_schemes_left_out),
      T(test_policies_left_out), T(test_forms), T(test_errors), T(test_stop))
