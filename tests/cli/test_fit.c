// SPDX-License-Identifier: GPL-3.0-or-later
// partita fit as a user calls it: values that were put into a SoC are found again in what the SoC
// then measures; the new file differs in those values only; and rows that must not be used are not.
#include "models/soc/soc.h" // before cli_util.h, whose `run` it would shadow

#include "tests/cli/cli_util.h"

#include <math.h>
#include <signal.h>
#include <sys/stat.h>
#include "base/conf.h"
#include "base/conf_edit.h"
#include "explore/characterise.h"

// --- files

static const char *base_path(void)
{
    return here("configs/soc/sd8gen3.cfg");
}

struct change {
    const char *key, *value; // in the file's words
};

// A SoC with other values, in truth/sd8gen3.cfg of the folder the program runs in.
static void make_truth(const struct change *c, int n)
{
    struct conf_edit *x = NULL;
    struct err e = {0};
    char folder[300];
    snprintf(folder, sizeof folder, "%s", in_tmp("truth"));
    CHECK(mkdir(folder, 0777) == 0 || access(folder, W_OK) == 0);
    if (!CHECK_OK(conf_edit_open(base_path(), &x, &e), &e))
        return;
    for (int i = 0; i < n; i++)
        CHECK_OK(conf_edit_set(x, c[i].key, c[i].value, NULL, &e), &e);
    CHECK_OK(conf_edit_write(x, in_tmp("truth/sd8gen3.cfg"), &e), &e);
    conf_edit_close(x);
}

static const char *const ids[] = {
    "gpu.practical_fp16",     "npu.practical_fp16",     "t3.gpu.4096x4096.n1",
    "t3.npu.4096x4096.n1",    "t3.gpu.28672x4096.n1",   "t3.npu.28672x4096.n1",
    "t3.gpu.4096x14336.n1",   "t3.npu.4096x14336.n1",   "t3.gpu.4096x4096.n128",
    "t3.npu.4096x4096.n128",  "t3.gpu.4096x4096.n256",  "t3.npu.4096x4096.n256",
    "t3.gpu.4096x14336.n256", "t3.npu.4096x14336.n256",
};
enum { N_IDS = sizeof ids / sizeof ids[0] };

static void write_rows(const double *value)
{
    char text[2048] = "id,soc,unit,value,split\n";
    for (int i = 0; i < N_IDS; i++) {
        size_t at = strlen(text);
        bool rate = strstr(ids[i], "practical") != NULL;
        snprintf(text + at, sizeof text - at, "%s,sd8gen3,%s,%.9g,given\n", ids[i],
                 rate ? "TFLOP/s" : "us", value ? value[i] : 1);
    }
    spill(in_tmp("rows.csv"), text, strlen(text));
}

static json_t *by_name(const json_t *j, const char *list, const char *key, const char *name)
{
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(j, list), i, x)
    {
        const char *s = json_string_value(json_object_get(x, key));
        if (s && !strcmp(s, name))
            return x;
    }
    return NULL;
}

static double number(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

// Rows with what the truth measures: the "before" of a calibration of the truth itself.
static void measure_truth(void)
{
    double value[N_IDS];
    write_rows(NULL);
    json_t *j = works_json("fit --json --given rows.csv --soc truth/sd8gen3.cfg --free gpu.gemm "
                           "--iterations 1 --experiments heteroinfer");
    for (int i = 0; i < N_IDS; i++) {
        json_t *row = by_name(j, "rows", "id", ids[i]);
        value[i] = number(row, "before");
        CHECK(value[i] > 0);
    }
    json_decref(j);
    write_rows(value);
}

// --- what was put in is found

static void test_round_trip(void)
{
    static const struct {
        const char *key, *value;
        double base;
    } put[] = {
        {"gpu.gemm", "\"0.8 TFLOP/s\"", 0.8e12},         {"gpu.gemv", "\"211 GFLOP/s\"", 211e9},
        {"gpu.queue.wake", "\"160 us\"", 160e6},         {"npu.arch.stall", "\"600 ns\"", 600e3},
        {"npu.arch.efficiency", "\"50 %\"", 0.5},        {"npu.wake_integer", "\"90 us\"", 90e6},
        {"npu.arch.stall_integer", "\"760 ns\"", 760e3},
    };
    enum { N = sizeof put / sizeof put[0] };
    struct change c[N];
    char line[512] = "fit --json --given rows.csv --soc sd8gen3 -o new.cfg --free ";
    for (int i = 0; i < N; i++) {
        c[i] = (struct change){put[i].key, put[i].value};
        strcat(line, i ? "," : "");
        strcat(line, put[i].key);
    }
    make_truth(c, N);
    measure_truth();
    json_t *j = works_json(line);
    for (int i = 0; i < N; i++) {
        const json_t *p = by_name(j, "parameters", "key", put[i].key);
        // Completion is seen by polling, once per microsecond: of a wake-up of 90 us, 1 %, and more
        // of one that the rows see together with others.
        bool ok = CHECK_NEAR(number(p, "value") / put[i].base, 1, 0.02);
        // Only one row depends on npu.arch.efficiency.
        bool alone = !strcmp(put[i].key, "npu.arch.efficiency");
        ok &= CHECK_STR(json_string_value(json_object_get(p, "verdict")),
                        alone ? "calibrated" : "determined");
        if (!ok)
            test_note("%s", put[i].key);
    }
    CHECK(number(j, "rms_before") > 0.1);
    CHECK(number(j, "rms") < 0.002);
    CHECK_INT((long long)number(j, "freedom"), N_IDS - N);

    // The file: only these lines have changed, and it predicts what the report says.
    char *before = slurp(base_path(), NULL), *after = slurp(in_tmp("new.cfg"), NULL);
    int changed = 0;
    const char *a = before, *b = after;
    while (a && b && *a && *b) {
        size_t na = strcspn(a, "\n"), nb = strcspn(b, "\n");
        changed += na != nb || memcmp(a, b, na) != 0;
        a += na + (a[na] == '\n');
        b += nb + (b[nb] == '\n');
    }
    CHECK(a && b && !*a && !*b);
    CHECK_INT(changed, N);
    CHECK(strstr(after, "gemm = \"0.8 TFLOP/s\";") || strstr(after, "gemm = \"0.79") ||
          strstr(after, "gemm = \"79") || strstr(after, "gemm = \"0.80"));
    CHECK_HAS(after, "// fitted (");
    free(before);
    free(after);
    json_t *again = works_json("fit --json --given rows.csv --soc new.cfg --free gpu.gemm "
                               "--iterations 1");
    for (int i = 0; i < N_IDS; i++)
        CHECK_NEAR(number(by_name(again, "rows", "id", ids[i]), "before") /
                       number(by_name(j, "rows", "id", ids[i]), "after"),
                   1, 1e-9);
    json_decref(again);
    json_decref(j);
}

// Two keys of which only a combination is seen are guesses, and each names the other.
static void test_combination(void)
{
    make_truth(NULL, 0);
    measure_truth();
    json_t *j = works_json("fit --json --given rows.csv --soc sd8gen3 -o new.cfg --free "
                           "npu.arch.efficiency,npu.arch.clock,gpu.gemm");
    CHECK_INT((long long)json_array_size(json_object_get(j, "combinations")), 1);
    const json_t *p = by_name(j, "parameters", "key", "npu.arch.clock");
    CHECK_STR(json_string_value(json_object_get(p, "verdict")), "together");
    p = by_name(j, "parameters", "key", "gpu.gemm");
    CHECK_STR(json_string_value(json_object_get(p, "verdict")), "determined");
    json_decref(j);
    j = works_json("fit --json --given rows.csv --hold 'gpu.*,npu.[!a]*,dram.*,control.*,power.*'");
    CHECK_INT((long long)json_array_size(json_object_get(j, "parameters")), 5); // npu.arch
    json_decref(j);
    char *text = slurp(in_tmp("new.cfg"), NULL);
    CHECK_HAS(text, "guess: not determined by rows.csv, only together with npu.arch.clock");
    char *base = slurp(base_path(), NULL), *gemm = base ? strstr(base, "    gemm = ") : NULL;
    if (CHECK(gemm != NULL)) { // met already: not rewritten
        gemm[strcspn(gemm, ";")] = 0;
        CHECK_HAS(text, gemm);
    }
    free(base);
    free(text);

    // No row knows the CPU.
    struct ran r = works("fit --given rows.csv --free cpu.gemm,gpu.gemm", NULL);
    CHECK_HAS(r.out, "unmoved");
    ran_free(&r);
}

// --- a profile instead of rows

static void test_profile(void)
{
    static const struct change c[] = {{"gpu.gemm", "\"0.7 TFLOP/s\""},
                                      {"control.granularity", "\"65 us\""}};
    static const char other[] = "section,what,order,m,k,n\n";
    struct characterise_options o = {.quick = true};
    struct machine *m = NULL;
    struct conf *conf = NULL;
    struct point *all = NULL;
    struct err e = {0};
    int n = 0, kept = 0;
    make_truth(c, 2);
    if (!CHECK_OK(conf_open(in_tmp("truth/sd8gen3.cfg"), &conf, &e), &e) ||
        !CHECK_OK(machine_soc_open(conf, false, &m, &e), &e) ||
        !CHECK_OK(characterise_points(m, &o, &all, &n, &e), &e))
        return;
    for (int i = 0; i < n; i++) { // some of each kind
        bool latency = !strcmp(all[i].section, "latency");
        if (!(latency || (!strcmp(all[i].section, "operator") && i % 5 == 0)) || kept == 40)
            continue;
        CHECK_OK(characterise_measure(m, &all[i], &e), &e);
        all[kept++] = all[i];
    }
    FILE *f = fopen(in_tmp("profile.csv"), "w");
    characterise_write(all, kept, f);
    fclose(f);
    free(all);
    m->ops->close(m);
    conf_close(conf);
    json_t *j = works_json("fit --json --given profile.csv --soc sd8gen3 -o new.cfg --free "
                           "gpu.gemm,control.granularity");
    CHECK_NEAR(number(by_name(j, "parameters", "key", "gpu.gemm"), "value"), 0.7e12, 0.002e12);
    CHECK_NEAR(number(by_name(j, "parameters", "key", "control.granularity"), "value"), 65e6,
               0.1e6);
    json_decref(j);
    char *text = slurp(in_tmp("new.cfg"), NULL);
    CHECK_HAS(text, "fitted (profile.csv)");
    free(text);
    fails(2, "a profile measures kernels of ours", "fit --given profile.csv --engine mlc");
    spill(in_tmp("profile.csv"), other, strlen(other));
    fails(3, "profile.csv:1", "fit --given profile.csv");
}

// --- an engine's factors

static void test_engine(void)
{
    static const char rows[] = "id,soc,unit,value,split\n"
                               "prefill.layer_vs_mnn.256,sd8gen3,x,7,given\n"
                               "decode.vs_mnn,sd8gen3,x,2,given\n"
                               "decode.vs_mlc,sd8gen3,x,2,given\n"
                               "sync.usleep,sd8gen3,us,90,given\n";
    spill(in_tmp("rows.csv"), rows, strlen(rows));
    json_t *j = works_json("fit --json --given rows.csv --soc sd8gen3 --engine mnn-opencl "
                           "-o mnn-opencl.cfg");
    CHECK_INT((long long)json_array_size(json_object_get(j, "rows")), 2);
    CHECK_INT((long long)json_array_size(json_object_get(j, "not_used")), 2);
    CHECK_NEAR(number(by_name(j, "rows", "id", "decode.vs_mnn"), "after"), 2, 0.01);
    CHECK_NEAR(number(by_name(j, "rows", "id", "prefill.layer_vs_mnn.256"), "after"), 7, 0.01);
    CHECK_INT((long long)number(j, "freedom"), 0);
    const json_t *p = by_name(j, "parameters", "key", "gpu.gemv");
    CHECK_STR(json_string_value(json_object_get(p, "verdict")), "calibrated");
    json_decref(j);
    // The new profile is one, and starts where the old one ended.
    j = works_json("fit --json --given rows.csv --soc sd8gen3 --engine mnn-opencl.cfg");
    CHECK_NEAR(number(by_name(j, "rows", "id", "decode.vs_mnn"), "before"), 2, 0.01);
    json_decref(j);
    struct ran r = works("fit --given rows.csv --engine mnn-opencl", NULL);
    CHECK_HAS(r.out, "this agreement is calibration and no evidence");
    CHECK_HAS(r.out, "does not measure mnn-opencl");
    ran_free(&r);
}

// --- what must not be used

static void test_splits(void)
{
    static const char rows[] = "id,soc,unit,value,split\n"
                               "sync.usleep,sd8gen3,us,95,given\n"
                               "sync.clfinish,sd8gen3,us,nonsense,check\n"
                               "t3.gpu.4096x4096.n1,sd8gen3,us,511,given\n"
                               "t3.npu.4096x4096.n1,sd8gen3,us,,blind\n";
    spill(in_tmp("rows.csv"), rows, strlen(rows));
    unlink(in_tmp("new.cfg"));
    fails(2, "rows.csv:3: sync.clfinish: is of split \"check\"",
          "fit --given rows.csv -o new.cfg --free control.granularity");
    CHECK(access(in_tmp("new.cfg"), F_OK) != 0);
    json_t *j = works_json("fit --json --only-given --given rows.csv -o new.cfg --free "
                           "control.granularity");
    CHECK_INT((long long)json_array_size(json_object_get(j, "rows")), 2);
    CHECK_INT((long long)number(j, "other_splits"), 2);
    json_decref(j);
    char *text = slurp(in_tmp("new.cfg"), NULL);
    CHECK_HAS(text, "granularity = \"85 us\";");
    free(text);
}

static void bad_rows(const char *text, int code, const char *part, const char *line)
{
    spill(in_tmp("rows.csv"), text, strlen(text));
    unlink(in_tmp("new.cfg"));
    fails(code, part, line);
    CHECK(access(in_tmp("new.cfg"), F_OK) != 0);
    CHECK(access(in_tmp("new.cfg.part"), F_OK) != 0);
}

#define HEAD "id,soc,unit,value,split\n"
#define GOOD HEAD "sync.usleep,sd8gen3,us,95,given\n"

static void test_malformed(void)
{
    fails(2, "what was observed?", "fit");
    fails(5, "nowhere.csv", "fit --given nowhere.csv");
    bad_rows("a,b\n1,2\n", 3, "neither a table of rows", "fit --given rows.csv");
    bad_rows(HEAD "sync.uslep,sd8gen3,us,95,given\n", 2,
             "rows.csv:2: no experiment \"sync.uslep\", did you mean \"sync.usleep\"?",
             "fit --given rows.csv -o new.cfg");
    bad_rows(HEAD "sync.usleep,sd8gen3,ms,95,given\n", 2,
             "rows.csv:2: sync.usleep: is in ms, its experiment in us",
             "fit --given rows.csv -o new.cfg");
    bad_rows(GOOD, 2,
             "control.granularit: no number of this name in the file; did you mean "
             "'control.granularity'?",
             "fit --given rows.csv -o new.cfg --free control.granularit");
    bad_rows(GOOD, 2, "no number of this name", "fit --given rows.csv -o new.cfg --free gpu.name");
    bad_rows(GOOD, 2, "--free: expected", "fit --given rows.csv -o new.cfg --free ,");
    bad_rows(GOOD, 2, "gpu.gemmm: no number of this name in the file; did you mean 'gpu.gemm'?",
             "fit --given rows.csv -o new.cfg --hold gpu.gemmm");
    bad_rows(GOOD, 2, "no soc named \"sd8gen4\"", "fit --given rows.csv -o new.cfg --soc sd8gen4");
    bad_rows(GOOD, 2, "no engine named", "fit --given rows.csv -o new.cfg --engine mlx");
    bad_rows(GOOD, 2, "no repro named", "fit --given rows.csv -o new.cfg --experiments other");
    bad_rows(GOOD, 2, "--threshold wants", "fit --given rows.csv -o new.cfg --threshold 5");
    bad_rows(GOOD, 2, "no row serves here", "fit --given rows.csv -o new.cfg --engine mlc");
    bad_rows(GOOD, 5, "cannot write", "fit --given rows.csv -o /nowhere/new.cfg");
    bad_rows(HEAD "sync.usleep,a,us,95,given\nsync.clfinish,b,us,400,given\n", 2,
             "rows about a and b", "fit --given rows.csv -o new.cfg");
    // Specifications stay fixed under a pattern, and there is nothing else.
    bad_rows(GOOD, 2, "no value is marked `// fitted`",
             "fit --given rows.csv -o new.cfg --free npu.arch.side*");
}

// Ctrl-C: the exit code says so, and there is neither a file nor a part of one.
static void test_interrupt(void)
{
    write_rows(NULL);
    unlink(in_tmp("new.cfg"));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {(char *)"partita",  (char *)"fit",  (char *)"--given",
                        (char *)"rows.csv", (char *)"-o",   (char *)"new.cfg",
                        (char *)"--starts", (char *)"9999", NULL};
        redirect("/dev/null", O_WRONLY, 1);
        redirect("/dev/null", O_WRONLY, 2);
        if (chdir(test_tmpdir()) == 0)
            execv(program(), argv);
        _exit(99);
    }
    usleep(400000);
    kill(pid, SIGINT);
    int status = 0;
    waitpid(pid, &status, 0);
    CHECK_INT(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), 130);
    CHECK(access(in_tmp("new.cfg"), F_OK) != 0);
    CHECK(access(in_tmp("new.cfg.part"), F_OK) != 0);
}

TESTS(cli_fit, T(test_round_trip), T(test_combination), T(test_profile), T(test_engine),
      T(test_splits), T(test_malformed), T(test_interrupt))
