// SPDX-License-Identifier: GPL-3.0-or-later
// partita explore, merge and validate as a user meets them: a store that goes on, kill -9 in the
// middle, errors that say what to do.
#include <signal.h>
#include <time.h>
#include "base/rng.h"
#include "explore/store.h"
#include "tests/cli/cli_util.h"

static double number(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

static const char *string(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s ? s : "";
}

// Digest of a store, by merging it into a new one.
static void digest_of(const char *store, char out[32])
{
    char line[256];
    unlink(in_tmp("copy.db"));
    snprintf(line, sizeof line, "merge copy.db %s --json", store);
    json_t *j = works_json(line);
    snprintf(out, 32, "%s", string(j, "digest"));
    CHECK_INT((int)strlen(out), 16);
    json_decref(j);
}

static void test_goes_on(void)
{
    char half[32], rest[32], whole[32];
    json_t *j = works_json("explore tiny -o a.db --budget 6 --json");
    CHECK_INT(number(j, "points"), 6);
    CHECK_INT(number(j, "cached"), 0);
    CHECK_STR(string(j, "stopped"), "the budget is spent");
    json_decref(j);
    digest_of("a.db", half);
    j = works_json("explore tiny -o a.db --json --csv a.csv -j 3");
    CHECK_INT(number(j, "cached"), 6);
    CHECK_INT(number(j, "points"), number(j, "space_points"));
    CHECK_INT(number(j, "campaign"), 1);
    char digest[32];
    snprintf(digest, sizeof digest, "%s", string(j, "digest"));
    json_decref(j);
    digest_of("a.db", rest);
    j = works_json("explore tiny -o b.db --json --csv b.csv -j 1");
    CHECK_STR(string(j, "digest"), digest);
    json_decref(j);
    digest_of("b.db", whole);
    CHECK_STR(rest, whole);
    CHECK(strcmp(half, whole) != 0);
    char *a = slurp(in_tmp("a.csv"), NULL), *b = slurp(in_tmp("b.csv"), NULL);
    if (CHECK(a && b))
        CHECK_STR(a, b);
    free(a);
    free(b);
    // Another searcher on the same store: another campaign, nothing new to evaluate.
    j = works_json("explore tiny --search random --seed 4 -o a.db --json");
    CHECK_INT(number(j, "cached"), number(j, "points"));
    CHECK_INT(number(j, "campaign"), 2);
    json_decref(j);
    struct ran r = works("explore tiny --search random --seed 4 -o a.db", NULL);
    CHECK_HAS(r.out, "15 of 15 points evaluated (15 before, see the store)");
    CHECK_HAS(r.out, "All points: a.db");
    ran_free(&r);
    // Both stores in one.
    j = works_json("merge m.db a.db b.db --json");
    CHECK_INT(number(j, "campaigns"), 2);
    CHECK_INT(number(j, "points"), 15);
    json_decref(j);
    // An overridden machine is another machine.
    j = works_json("explore tiny -o a.db --set npu.arch.arrays=4 --budget 3 --json");
    CHECK_INT(number(j, "cached"), 0);
    CHECK_INT(number(j, "campaign"), 3);
    json_decref(j);
}

static void test_target(void)
{
    json_t *j = works_json("explore tiny -o t.db --target 'ttft_ms<=100' --json");
    CHECK_STR(string(j, "stopped"), "the target is reached");
    json_decref(j);
    fails(2, "did you mean \"ttft_ms\"?", "explore tiny -o x.db --target 'ttft_m<=100'");
    fails(2, "--target wants METRIC<=VALUE", "explore tiny -o x.db --target ttft_ms");
    fails(2, "less is better", "explore tiny -o x.db --target 'ttft_ms>=100'");
    CHECK(access(in_tmp("x.db"), F_OK) < 0); // refused before anything was made
}

// Starts the program with a few words; its output goes nowhere.
static pid_t start(char **argv)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        redirect("/dev/null", O_WRONLY, 1);
        redirect("/dev/null", O_WRONLY, 2);
        if (chdir(test_tmpdir()) == 0)
            execv(program(), argv);
        _exit(99);
    }
    return pid;
}

// PARTITA_KILLS: how many, default 10.
static void test_kills(void)
{
    const char *text = getenv("PARTITA_KILLS");
    int kills = text ? atoi(text) : 10, late = 0;
    char want[32], got[32];
    char *argv[] = {(char *)"partita",
                    (char *)"explore",
                    (char *)"tiny",
                    (char *)"-o",
                    (char *)"killed.db",
                    (char *)"-j2",
                    NULL};
    struct rng *rng = rng_create((uint64_t)time(NULL), "kills"); // moments are to differ
    struct ran r = works("explore tiny -o undisturbed.db", NULL);
    ran_free(&r);
    for (int k = 0; k < kills; k++) {
        int status = 0;
        pid_t pid = start(argv);
        usleep((useconds_t)rng_below(rng, 60000));
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        late += !WIFSIGNALED(status);
    }
    test_note("%d kills, %d came too late", kills, late);
    r = works("explore tiny -o killed.db", NULL);
    ran_free(&r);
    digest_of("undisturbed.db", want);
    digest_of("killed.db", got);
    CHECK_STR(got, want);
    rng_destroy(rng);
}

// Points that a store has so far; it may be about to be made.
static int64_t points_of(const char *path)
{
    struct store *s;
    int64_t points = 0, campaigns;
    if (store_open(path, STORE_READ, &s, NULL) < 0)
        return 0;
    if (store_count(s, &points, &campaigns, NULL) < 0)
        points = 0;
    store_close(s, NULL);
    return points;
}

static void test_interrupted(void)
{
    char *argv[] = {(char *)"partita",
                    (char *)"explore",
                    (char *)"hetero",
                    (char *)"-o",
                    (char *)"stop.db",
                    (char *)"-j1",
                    NULL};
    int status = 0;
    pid_t pid = start(argv);
    while (points_of(in_tmp("stop.db")) < 20 && waitpid(pid, &status, WNOHANG) == 0)
        usleep(20000);
    kill(pid, SIGINT);
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 130);
    json_t *j = works_json("explore hetero -o stop.db --budget 20 --json");
    CHECK_INT(number(j, "points"), 20);
    CHECK_INT(number(j, "cached"), 20);
    json_decref(j);
}

static void test_errors(void)
{
    spill(in_tmp("notes.txt"), "these are my notes, not a store\n", 32);
    fails(2, "for a table there is --csv x.csv", "explore tiny -o x.csv");
    fails(3, "notes.txt: this is no store", "explore tiny -o notes.txt");
    char *kept = slurp(in_tmp("notes.txt"), NULL);
    CHECK_STR(kept, "these are my notes, not a store\n");
    free(kept);
    fails(5, "make the folder first", "explore tiny -o no/such/folder.db");
    fails(2, "--timeout wants a number of seconds", "explore tiny --timeout soon");
    fails(2, "--seconds wants a number of seconds", "explore tiny --seconds 0");
    fails(5, "no/such/t.csv: cannot write", "explore tiny -o late.db --csv no/such/t.csv");
    CHECK(access(in_tmp("late.db"), F_OK) < 0); // said before anything ran
    fails(2, "which stores?", "merge one.db");
    fails(5, "nowhere.db", "merge new.db nowhere.db");
    CHECK(access(in_tmp("new.db"), F_OK) < 0); // nothing half-done
    fails(3, "notes.txt: this is no store", "merge new.db notes.txt");
    fails(2, "validate takes the store", "validate old.csv --model demo-60m");
    fails(5, "nowhere.db: No such file", "validate nowhere.db --model demo-60m");
}

static void test_validate(void)
{
    struct ran r = works("explore tiny -o v.db", NULL);
    ran_free(&r);
    fails(2, "no campaign 7; there are 1 (tiny)", "validate v.db --campaign 7 --model qwen2-1.5b");
    fails(2, "--campaign is about a store", "validate tiny --campaign 1 --model qwen2-1.5b");
    json_t *j = works_json("validate v.db --model qwen2-1.5b --machine soc:sd8gen3 --top 3 "
                           "--spread 0 --repeat 1 --json");
    CHECK_INT(json_array_size(json_object_get(j, "configurations")), 3);
    CHECK_INT(number(j, "n_prompt"), 64);
    json_decref(j);
    struct store *s;
    struct store_validation *v;
    struct arena a;
    struct err e = {0};
    arena_init(&a);
    if (CHECK_OK(store_open(in_tmp("v.db"), STORE_READ, &s, &e), &e)) {
        if (CHECK_INT(store_validations(s, 1, &a, &v, &e), 3)) {
            CHECK_STR(v->machine, "soc:sd8gen3");
            CHECK(v->key != 0 && v->ttft_ms > 0 && v->predicted_ttft_ms > 0);
        }
        store_close(s, NULL);
    }
    arena_fini(&a);
    // What was measured is in the store, beside the campaign; its digest is what it was.
    char plain[32], validated[32];
    r = works("explore tiny -o w.db", NULL);
    ran_free(&r);
    digest_of("w.db", plain);
    digest_of("v.db", validated);
    CHECK_STR(validated, plain);
}

TESTS(cli_explore, T(test_goes_on), T(test_target), T(test_kills), T(test_interrupted),
      T(test_errors), T(test_validate))
