// SPDX-License-Identifier: GPL-3.0-or-later
// partita validate as CI uses it: what is chosen, limits and exit codes, the figure, Ctrl-C. The
// machine is a simulated one, so that every number repeats.
#include <math.h>
#include <signal.h>
#include "explore/plot.h"
#include "explore/store.h"
#include "tests/cli/cli_util.h"

#define VALIDATE "validate s.db --model qwen2-1.5b --machine soc:sd8gen3 --repeat 2 "

static double number(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

static const char *string(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s ? s : "";
}

// The store of an exploration, made once.
static void store(void)
{
    if (access(in_tmp("s.db"), F_OK) == 0)
        return;
    struct ran r = works("explore tiny -o s.db", NULL);
    ran_free(&r);
}

static void test_best_and_spread(void)
{
    store();
    json_t *j = works_json(VALIDATE "--top 2 --spread 3 --json");
    const json_t *list = json_object_get(j, "configurations");
    CHECK_INT(json_array_size(list), 5);
    double last = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *c = json_array_get(list, i);
        CHECK_STR(string(c, "chosen"), i < 2 ? "best" : "spread");
        CHECK(number(c, "rank") > last); // in ranked order
        last = number(c, "rank");
        CHECK(number(c, "total_ms") > number(c, "ttft_ms"));
        CHECK_NEAR(number(c, "tpot_low_ms"), number(c, "tpot_ms"), 1e-9);
    }
    CHECK_NEAR(number(j, "coverage"), 0.5, 1e-12);
    const json_t *s = json_object_get(json_object_get(j, "summary"), "ttft");
    CHECK_INT(number(s, "configurations"), 5);
    CHECK(number(s, "regret") >= 0);
    json_decref(j);
    j = works_json(VALIDATE "--top 2 --json"); // as many of the rest
    CHECK_INT(json_array_size(json_object_get(j, "configurations")), 4);
    json_decref(j);
    struct ran r = works(VALIDATE "--top 40", NULL); // more than there are
    CHECK_HAS(r.out, "Kendall's tau");
    for (char *line = strtok(r.out, "\n"); line; line = strtok(NULL, "\n"))
        if (!CHECK(strlen(line) <= 120))
            test_note("%s", line);
    ran_free(&r);
}

// The machine that was explored keeps what the exploration said; other work is not compared.
static void test_the_exploration_is_met(void)
{
    store();
    struct ran r = works(VALIDATE "--predicted exploration --max-error 0 --min-tau 1 "
                                  "--max-regret '0 %'",
                         NULL);
    CHECK_HAS(r.out, "Predicted by the exploration against measured");
    CHECK_HAS(r.out, "kept    TTFT: Kendall's tau is 1.000");
    ran_free(&r);
    fails(2, "explored was qwen2-1.5b, 64+4, and to be run is qwen2-1.5b, 32+4",
          VALIDATE "--predicted exploration --prompt 32");
}

// Plans of the machine that was explored run on another one, whose own would be others.
static void test_plans_of_the_exploration(void)
{
    store();
    struct ran own = works(VALIDATE "--set 'npu.arch.clock=1 MHz' --json", NULL);
    struct ran r = works(VALIDATE "--set 'npu.arch.clock=1 MHz' --plan-soc sd8gen3 --json", NULL);
    json_error_t e;
    json_t *a = json_loads(own.out, 0, &e), *b = json_loads(r.out, 0, &e);
    const json_t *first = json_array_get(json_object_get(a, "configurations"), 0);
    const json_t *other = json_array_get(json_object_get(b, "configurations"), 0);
    CHECK_STR(string(first, "policy"), string(other, "policy"));
    CHECK(json_real_value(json_object_get(other, "ttft_ms")) >
          json_real_value(json_object_get(first, "ttft_ms")));
    json_decref(a);
    json_decref(b);
    ran_free(&own);
    ran_free(&r);
    fails(2, "did you mean \"sd8gen3\"?", VALIDATE "--plan-soc sd8gen4");
    fails(2, "plans for ", VALIDATE "--plan-soc orin");
    fails(2, "--alike wants a number", VALIDATE "--alike near");
}

static void test_limits(void)
{
    store();
    struct ran r = run(VALIDATE "--min-tau 1 --max-error 50 --limit tpot --json");
    json_error_t e;
    CHECK_INT(r.code, 1);
    CHECK_HAS(r.err, "partita: TPOT: Kendall's tau is ");
    CHECK_HAS(r.err, "below the limit of 1.000");
    CHECK(strstr(r.err, "median error") == NULL);
    json_t *j = json_loads(r.out, 0, &e);
    CHECK(json_is_false(json_object_get(j, "ok")));
    const json_t *limits = json_object_get(j, "limits");
    if (CHECK_INT(json_array_size(limits), 2)) {
        CHECK_STR(string(json_array_get(limits, 0), "name"), "max_error");
        CHECK(json_is_true(json_object_get(json_array_get(limits, 0), "ok")));
        CHECK_STR(string(json_array_get(limits, 1), "name"), "min_tau");
        CHECK_STR(string(json_array_get(limits, 1), "metric"), "tpot");
        CHECK(json_is_false(json_object_get(json_array_get(limits, 1), "ok")));
    }
    json_decref(j);
    ran_free(&r);
    fails(2, "--max-error wants a number", VALIDATE "--max-error much");
    fails(2, "--min-tau wants a number from -1 to 1", VALIDATE "--min-tau 70%");
    fails(2, "--max-regret wants a number", VALIDATE "--max-regret -1");
    fails(2, "did you mean \"ttft\"?", VALIDATE "--limit tft");
    fails(2, "did you mean \"exploration\"?", VALIDATE "--predicted explorations");
    fails(2, "at most 64 configurations together", VALIDATE "--top 60 --spread 5");
    fails(2, "ends in .svg, .png or .pdf", VALIDATE "--plot x.gif");
}

static void test_plot(void)
{
    store();
    bool there = plot_available();
    struct ran r = run(VALIDATE "--plot v.svg");
    CHECK_INT(r.code, 0);
    char *text = slurp(in_tmp(there ? "v.svg" : "v.svg.gp"), NULL);
    if (CHECK(text != NULL)) {
        CHECK_HAS(text, "interval of the median");
        CHECK_HAS(text, "measured (ms)");
        CHECK_HAS(text, "qwen2-1.5b, 64+4, on soc:sd8gen3");
    }
    free(text);
    ran_free(&r);
}

// What was complete when Ctrl-C came is reported and stored.
static void test_interrupted(void)
{
    struct ran r = works("explore tiny -o stop.db", NULL);
    ran_free(&r);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        redirect(in_tmp("stdout"), O_WRONLY | O_CREAT | O_TRUNC, 1);
        redirect(in_tmp("stderr"), O_WRONLY | O_CREAT | O_TRUNC, 2);
        if (chdir(test_tmpdir()) == 0)
            execl(program(), "partita", "validate", "stop.db", "--model", "qwen2-1.5b", "--machine",
                  "soc:sd8gen3", "--repeat", "101", "--gen", "1000", "--top", "8", (char *)NULL);
        _exit(99);
    }
    usleep(1500000);
    kill(pid, SIGINT);
    int status = 0, rounds = 0;
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 130);
    char *out = slurp(in_tmp("stdout"), NULL), *err = slurp(in_tmp("stderr"), NULL);
    char *stopped = out ? strstr(out, "Stopped: ") : NULL;
    if (stopped)
        CHECK_INT(sscanf(stopped, "Stopped: %d of 101 rounds were complete.", &rounds), 1);
    else // a slow machine
        CHECK_HAS(err ? err : "", "before the first round was complete");
    free(out);
    free(err);
    struct store *s;
    struct store_validation *v;
    struct arena a;
    struct err e = {0};
    arena_init(&a);
    if (CHECK_OK(store_open(in_tmp("stop.db"), STORE_READ, &s, &e), &e)) {
        int n = store_validations(s, 1, &a, &v, &e);
        CHECK((n > 0) == (rounds > 0));
        for (int i = 0; i < n; i++)
            CHECK_INT(v[i].repeats, rounds);
        store_close(s, NULL);
    }
    arena_fini(&a);
}

TESTS(cli_validate, T(test_best_and_spread), T(test_the_exploration_is_met),
      T(test_plans_of_the_exploration), T(test_limits), T(test_plot), T(test_interrupted))
