// SPDX-License-Identifier: GPL-3.0-or-later
// partita explore --slurm against commands that stand in for Slurm's (tests/slurm/fake): they run
// tasks as processes here, kill some, refuse, hold. The real ones are for `make test-slurm`.
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include "tests/cli/cli_util.h"

static void fake(const char *mode, int lose)
{
    char path[8192], text[32];
    static bool there;
    if (!there) {
        const char *old = getenv("PATH");
        snprintf(path, sizeof path, "%s:%s", here("tests/slurm/fake"), old ? old : "/bin:/usr/bin");
        setenv("PATH", path, 1);
        mkdir(in_tmp("fake"), 0777);
        setenv("FAKE_SLURM", in_tmp("fake"), 1);
        there = true;
    }
    spill(in_tmp("fake/mode"), mode, strlen(mode));
    snprintf(text, sizeof text, "%d\n", lose);
    spill(in_tmp("fake/lose"), text, strlen(text));
    unlink(in_tmp("fake/calls"));
    unlink(in_tmp("fake/killed"));
}

static char *digest_line(const char *text)
{
    const char *at = text ? strstr(text, "Digest: ") : NULL;
    return at ? strndup(at, 24) : strdup("no digest");
}

static char *digest_of(const char *store)
{
    char line[400];
    snprintf(line, sizeof line, "merge copy.db %s", store);
    unlink(in_tmp("copy.db"));
    struct ran r = works(line, NULL); // "copy.db: N points of M campaigns, digest D"
    const char *at = r.out ? strstr(r.out, "digest ") : NULL;
    char *d = strdup(at ? at : "no digest");
    ran_free(&r);
    return d;
}

static int lines_of(const char *path, const char *part)
{
    char *text = slurp(path, NULL);
    int n = 0;
    for (const char *p = text; p && (p = strstr(p, part)); p += strlen(part))
        n++;
    free(text);
    return n;
}

// The same command here and in tasks: campaign and store have one digest.
static void compare(const char *explore, const char *slurm, int jobs)
{
    char line[600];
    unlink(in_tmp("local.db"));
    unlink(in_tmp("tasks.db"));
    snprintf(line, sizeof line, "explore %s -q -o local.db", explore);
    struct ran a = works(line, NULL);
    snprintf(line, sizeof line, "explore %s -q -o tasks.db --slurm --poll 1 %s", explore, slurm);
    struct ran b = run_line(line, NULL);
    CHECK_INT(b.code, 0);
    if (b.code)
        test_note("%s: %s", line, b.err);
    char *da = digest_line(a.out), *db = digest_line(b.out);
    CHECK_STR(db, da);
    free(da);
    free(db);
    da = digest_of("local.db");
    db = digest_of("tasks.db");
    CHECK_STR(db, da);
    free(da);
    free(db);
    CHECK_INT(lines_of(in_tmp("fake/calls"), "--array="), jobs);
    CHECK(access(in_tmp("tasks.db.slurm"), F_OK) < 0); // nothing is left
    ran_free(&a);
    ran_free(&b);
}

static void test_one_array(void)
{
    fake("", 0);
    compare("tiny", "--tasks 4 --partition short --sbatch=--time=5 -j 2", 1);
    CHECK_INT(lines_of(in_tmp("fake/calls"), "--array=0-3 "), 1);
    CHECK_INT(lines_of(in_tmp("fake/calls"), "--requeue"), 1);
    CHECK_INT(lines_of(in_tmp("fake/calls"), "--partition=short --time=5 "), 1);
    CHECK_INT(lines_of(in_tmp("fake/calls"), "--cpus-per-task=2"), 1);
    fake("", 0);
    compare("tiny --search random --seed 3 --budget 6 -M demo-60m -s npu.arch.arrays=4",
            "--tasks 9 --chunk 2", 1);
    CHECK_INT(lines_of(in_tmp("fake/calls"), "--array=0-5 "), 1);
}

// Tasks are killed with everything below them: another array does what they had not done.
static void test_lost(void)
{
    fake("lose", 2);
    compare("quick", "--tasks 3", 2);
    CHECK(lines_of(in_tmp("fake/killed"), "\n") >= 1);
}

// Nothing that a user can type or a cluster can answer leaves the program waiting or silent.
static void test_refusals(void)
{
    fake("refuse", 0);
    fails(4, "Invalid partition name", "explore tiny -q -o no.db --slurm");
    fake("held", 0);
    struct ran r = run_line("explore tiny -q -o no.db --slurm --tries 1 --poll 1", NULL);
    CHECK_INT(r.code, 4);
    CHECK_HAS(r.err, "held");
    CHECK_HAS(r.err, "no task of the last round has left a result");
    ran_free(&r);
    CHECK_INT(lines_of(in_tmp("fake/calls"), "scancel"), 1);
    char *old = strdup(getenv("PATH"));
    setenv("PATH", "/nowhere", 1);
    fails(4, "cannot run sbatch", "explore tiny -q -o no.db --slurm");
    setenv("PATH", old, 1);
    free(old);
    fails(2, "needs a store", "explore tiny --slurm");
    fails(2, "use --budget", "explore tiny --slurm -o x.db --seconds 5");
    fails(2, "one of --slurm, --ask and --points", "explore tiny --slurm -o x.db --ask x");
    fails(2, "--shard goes with --points", "explore tiny -o x.db --shard 0/2");
    fails(2, "I/N", "explore tiny -o x.db --points x --shard 2/2");
    fails(2, "I/N", "explore tiny -o x.db --points x --shard 1");
    fails(2, "option of sbatch", "explore tiny -o x.db --slurm --sbatch time");
    fails(5, "nowhere.txt", "explore tiny -o x.db --points nowhere.txt");
    struct ran ask = works("explore tiny -q --ask tiny.txt -o main.db", NULL);
    ran_free(&ask);
    fails(3, "another space", "explore quick -q -o x.db --points tiny.txt");
}

// The coordinator is killed while tasks run; started again, it ends them and goes on.
static void test_coordinator_dies(void)
{
    char *argv[] = {
        (char *)"partita",  (char *)"explore", (char *)"quick",   (char *)"-q", (char *)"-o",
        (char *)"tasks.db", (char *)"--slurm", (char *)"--tasks", (char *)"6",  NULL};
    fake("", 0);
    unlink(in_tmp("tasks.db"));
    CHECK(program() != NULL); // found from here, not from where the child goes
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        redirect("/dev/null", O_WRONLY, 1);
        redirect("/dev/null", O_WRONLY, 2);
        if (chdir(test_tmpdir()) == 0)
            execv(program(), argv);
        _exit(99);
    }
    for (int i = 0; i < 500 && access(in_tmp("tasks.db.slurm/job"), F_OK) < 0; i++)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    struct ran a = works("explore quick -q -o local.db", NULL);
    struct ran b = run_line("explore quick -q -o tasks.db --slurm --tasks 2 --poll 1", NULL);
    CHECK_INT(b.code, 0);
    char *da = digest_line(a.out), *db = digest_line(b.out);
    CHECK_STR(db, da);
    CHECK(access(in_tmp("tasks.db.slurm"), F_OK) < 0);
    free(da);
    free(db);
    ran_free(&a);
    ran_free(&b);
}

// Ctrl-C ends the tasks, keeps what they had, says so, and can be resumed.
static void test_interrupt(void)
{
    char *argv[] = {
        (char *)"partita",  (char *)"explore", (char *)"tiny",   (char *)"-q", (char *)"-o",
        (char *)"tasks.db", (char *)"--slurm", (char *)"--poll", (char *)"60", NULL};
    int status = 0;
    fake("waiting", 0); // a queue that never moves
    unlink(in_tmp("tasks.db"));
    CHECK(program() != NULL); // found from here, not from where the child goes
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        redirect("/dev/null", O_WRONLY, 1);
        redirect("/dev/null", O_WRONLY, 2);
        if (chdir(test_tmpdir()) == 0)
            execv(program(), argv);
        _exit(99);
    }
    for (int i = 0; i < 500 && access(in_tmp("tasks.db.slurm/job"), F_OK) < 0; i++)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    nanosleep(&(struct timespec){0, 200000000}, NULL);
    kill(pid, SIGINT);
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 130);
    CHECK_INT(lines_of(in_tmp("fake/calls"), "scancel"), 1);
    CHECK(access(in_tmp("tasks.db.slurm/job"), F_OK) < 0);
    fake("", 0);
    struct ran a = works("explore tiny -q -o local.db", NULL);
    struct ran b = run_line("explore tiny -q -o tasks.db --slurm --tasks 2 --poll 1", NULL);
    CHECK_INT(b.code, 0);
    char *da = digest_line(a.out), *db = digest_line(b.out);
    CHECK_STR(db, da);
    free(da);
    free(db);
    ran_free(&a);
    ran_free(&b);
}

// By hand, as for other schedulers: ask, evaluate parts, merge, until nothing is asked.
static void test_by_hand(void)
{
    unlink(in_tmp("hand.db"));
    unlink(in_tmp("local.db"));
    struct ran r = works("explore tiny -q -o local.db", NULL);
    char *want = digest_line(r.out);
    ran_free(&r);
    r = works("explore tiny -q -o hand.db --ask hand.txt", NULL);
    CHECK_HAS(r.out, "15 points to evaluate");
    ran_free(&r);
    for (int i = 0; i < 3; i++) {
        char line[128];
        snprintf(line, sizeof line, "explore tiny -q --points hand.txt --shard %d/3 -o part-%d.db",
                 i, i);
        r = works(line, NULL);
        CHECK_HAS(r.out, "5 points in part-");
        ran_free(&r);
    }
    r = works("explore tiny -q --points hand.txt --shard 2/3 -o part-2.db", NULL); // again
    CHECK_HAS(r.out, "5 of them were there already");
    ran_free(&r);
    r = works("merge hand.db part-0.db part-2.db", NULL); // one part is late
    ran_free(&r);
    r = works("explore tiny -q -o hand.db --ask hand.txt", NULL);
    CHECK_HAS(r.out, "5 points to evaluate in hand.txt, 5 are known");
    ran_free(&r);
    r = works("merge hand.db part-1.db", NULL);
    ran_free(&r);
    r = works("explore tiny -q -o hand.db --ask hand.txt", NULL);
    char *got = digest_line(r.out);
    CHECK_STR(got, want);
    ran_free(&r);
    free(want);
    free(got);
    want = digest_of("local.db");
    got = digest_of("hand.db");
    CHECK_STR(got, want);
    free(want);
    free(got);
}

TESTS(cli_slurm, T(test_one_array), T(test_lost), T(test_refusals), T(test_coordinator_dies),
      T(test_interrupt), T(test_by_hand))
