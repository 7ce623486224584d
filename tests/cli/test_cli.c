// SPDX-License-Identifier: GPL-3.0-or-later
// The program as a user types it: help, misspelt names, impossible values, broken files. Every
// error goes to standard error, names the nearest valid name, leaves standard output empty, and
// exits with the documented code.
#include "tests/cli/cli_util.h"

#include <sys/stat.h>

static const char *const COMMANDS[] = {"run",   "sim",         "explore",  "validate",
                                       "merge", "profile",     "tokenize", "check",
                                       "list",  "show-config", "bench"};
enum { N_COMMANDS = sizeof COMMANDS / sizeof COMMANDS[0] };

static void test_help(void)
{
    static const char *const forms[] = {"help", "--help", "-h"};
    for (int f = 0; f < 3; f++) {
        struct ran r = works(forms[f], NULL);
        for (int i = 0; i < N_COMMANDS; i++)
            CHECK_HAS(r.out, COMMANDS[i]);
        CHECK_HAS(r.out, "exit codes");
        ran_free(&r);
    }
    struct ran r = run("--version");
    CHECK_INT(r.code, 0);
    CHECK_HAS(r.out, "partita ");
    ran_free(&r);
    r = run(" "); // nothing at all: help, but not a success
    CHECK_INT(r.code, 2);
    CHECK_STR(r.out, "");
    CHECK_HAS(r.err, "usage: partita COMMAND");
    ran_free(&r);
}

static void test_help_of_commands(void)
{
    for (int i = 0; i < N_COMMANDS; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s --help", COMMANDS[i]);
        struct ran a = works(line, NULL);
        snprintf(line, sizeof line, "help %s", COMMANDS[i]);
        struct ran b = works(line, NULL);
        CHECK_STR(a.out, b.out);
        CHECK_HAS(a.out, "Usage: partita ");
        CHECK_HAS(a.out, COMMANDS[i]);
        ran_free(&a);
        ran_free(&b);
    }
}

static void test_misspelt_commands(void)
{
    fails(2, "unknown command \"rn\", did you mean \"run\"?", "rn");
    fails(2, "did you mean \"sim\"?", "simm --soc sd8gen3");
    fails(2, "did you mean \"tokenize\"?", "tokenise");
    fails(2, "did you mean \"show-config\"?", "showconfig");
    fails(2, "did you mean \"run\"?", "help rnu");
    fails(2, "see `partita help`", "xyzzy");
    fails(2, "see `partita help`", "help xyzzy");
    fails(2, "unknown command \"\"", "''");
}

static void test_misspelt_options(void)
{
    fails(2, "did you mean --policy?", "sim --polcy gpu_only");
    fails(2, "did you mean --prompt?", "run x.gguf --promt=Once");
    fails(2, "did you mean --decode?", "tokenize --decod3 x.gguf");
    fails(2, "did you mean --json?", "list --josn");
    fails(2, "did you mean --model?", "check --modle llama3-8b");
    fails(2, "did you mean --output?", "profile --ouput x");
    fails(2, "do not go with --cost", "profile --cost --quick");
    fails(2, "do not go with --cost", "profile --cost --rounds 2");
    fails(2, "--rounds wants a whole number from 1", "profile --rounds 0");
    fails(2, "--model goes with --cost", "profile --model llama3-8b");
    fails(2, "--max-k wants a whole number from 32", "profile --max-k 31");
    fails(2, "did you mean --rows?", "show-config --row5");
    fails(2, "did you mean --search?", "explore --serch random tiny");
    fails(2, "did you mean --model?", "validate --modle x");
    fails(2, "unrecognized option", "sim --xyzzyxyzzy");
    fails(2, "Try `partita sim --help'", "sim -X");
}

static void test_misspelt_names(void)
{
    fails(2, "did you mean \"gpu_only\"?", "sim --policy gpuonly");
    fails(2, "did you mean \"hetero_tensor\"?", "sim --policy hetero");
    fails(2, "did you mean \"weight_centric\"?", "check --policy weight");
    fails(2, "see `partita list policies`", "sim --policy xyzzy");
    fails(2, "did you mean \"sleep_poll\"?", "sim --sync slep_poll");
    fails(2, "did you mean \"queue_order\"?", "check --sync queue");
    fails(2, "see `partita list syncs`", "sim --sync xyzzy");
    fails(2, "did you mean \"sd8gen3\"?", "sim --soc sd8gen");
    fails(2, "see `partita list socs`", "sim --soc xyzzy");
    fails(2, "did you mean \"llama3-8b\"?", "sim --model lama3-8b");
    fails(2, "see `partita list models`", "sim --model xyzzy");
    fails(2, "did you mean \"host\"?", "show-config hots");
    fails(2, "did you mean \"soc:sd8gen3\"?", "show-config sd8gen3");
    fails(2, "did you mean \"soc:sd8gen3\"?", "sim --machine sd8gen3");
    fails(2, "expected host or soc:NAME", "sim --machine xyzzy");
    fails(2, "did you mean \"policies\"?", "list polices");
    fails(2, "expected [policies|syncs|", "list xyzzy");
    fails(2, "did you mean \"quick\"?", "explore quikc");
    fails(2, "see `partita list spaces`", "explore xyzzy");
    fails(2, "did you mean \"random\"?", "explore tiny --search randm");
    fails(2, "no model named \"lama2-7b\", did you mean \"llama2-7b\"?",
          "validate --model lama2-7b");
    fails(2, "did you mean \"Q4_0\"?",
          "sim --machine host --model demo-60m --encoding Q4_2 --prompt 4 --gen 1");
}

static void test_options_of_plugins(void)
{
    fails(2, "did you mean 'parts'?", "sim --policy hetero_tensor:prts=4");
    fails(2, "expected 2 to 64", "sim --policy hetero_tensor:parts=1");
    fails(2, "expected 2 to 64", "sim --policy hetero_tensor:parts=65");
    fails(2, "did you mean 'margin'?", "sim --sync 'sleep_poll:margn=1 us'");
    fails(2, "partner", "sim --policy weight_centric:partner=npu");
    struct ran r = works("sim --policy hetero_tensor:parts=2 --prompt 32 --gen 2", NULL);
    ran_free(&r);
    r = works("sim --policy hetero_tensor:parts=64 --prompt 32 --gen 2", NULL);
    ran_free(&r);
}

static void test_impossible_values(void)
{
    fails(2, "--prompt wants a whole number from 1", "sim --prompt 0");
    fails(2, "--prompt wants a whole number", "sim --prompt 1e3");
    fails(2, "--prompt wants a whole number", "sim --prompt 12x");
    fails(2, "--gen wants a whole number", "sim --gen -1");
    fails(2, "-n wants a whole number", "run x.gguf -n 0");
    fails(2, "--temp wants a number", "run x.gguf --temp -0.1");
    fails(2, "--temp wants a number", "run x.gguf --temp nan");
    fails(2, "--top-p wants a number", "run x.gguf --top-p 1.5");
    fails(2, "--min-p wants a number", "run x.gguf --min-p x");
    fails(2, "--seed wants a whole number", "sim --seed -1");
    fails(2, "--seed wants a whole number", "sim --seed 99999999999999999999999");
    fails(2, "unexpected \"foo\"", "sim foo");
    fails(2, "which model?", "run");
    fails(2, "one model, please", "run a.gguf b.gguf");
    fails(2, "which vocabulary?", "tokenize");
    fails(2, "which space?", "explore");
    fails(2, "which model?", "validate");
    fails(2, "--budget wants a whole number", "explore tiny --budget 0");
    fails(2, "one kind at a time", "list policies syncs");
    fails(2, "audits simulated machines", "check --machine host");
}

static void test_overrides(void)
{
    fails(2, "wants KEY=VALUE", "sim --set foo");
    fails(2, "command line: npu.arch.arays: unknown key 'arays'", "sim --set npu.arch.arays=4");
    fails(2, "did you mean 'channels'?", "sim --set dram.timing.chanels=4");
    fails(2, "unknown key 'xyzzy'", "sim --set xyzzy=1");
    fails(2, "did you mean 'cycle'?", "sim --detail cicle");
    fails(2, "unknown key 'detail'", "profile --machine host --detail cycle");
    fails(2, "dram: is a group", "sim --set dram=1");
    fails(2, "command line: dram.timing.width", "sim --set dram.timing.width=wide");
    fails(2, "command line: gpu.foo: unknown key 'foo'", "show-config host --set gpu.foo=1");
    fails(2, "command line: npu.arch.arays", "show-config --set npu.arch.arays=4");
    struct ran r = works("show-config --set npu.arch.arrays=4", NULL);
    CHECK_HAS(r.out, "arrays = 4;");
    CHECK_HAS(r.out, "command line");
    ran_free(&r);
}

static void test_missing_files(void)
{
    fails(5, "nofile.gguf: ", "run nofile.gguf");
    fails(5, "nofile.gguf: ", "tokenize nofile.gguf");
    fails(5, "./nofile.cfg: ", "sim --model ./nofile.cfg");
    fails(5, "nofile.cfg: ", "sim --soc ./nofile.cfg");
    fails(5, "nofile.cfg: ", "explore ./nofile.cfg");
    fails(5, "not a regular file", "run /tmp");
    fails(5, "/nonexistent/x: ", "profile --cost --soc sd8gen3 --model demo-60m -o /nonexistent/x");
    fails(5, "/nonexistent/x: ", "profile --soc sd8gen3 -o /nonexistent/x");
    fails(2, "shape without weights", "run llama3-8b");
}

static void test_broken_files(void)
{
    size_t n;
    char *model = slurp("data/partita-stories.gguf", &n);
    if (!CHECK(model != NULL) || !CHECK(n > 100000)) {
        free(model);
        return;
    }
    static const size_t cuts[] = {0, 3, 4, 20, 100, 5000, 50000, 0};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        size_t size = i + 1 < sizeof cuts / sizeof cuts[0] ? cuts[i] : n - 1;
        spill(in_tmp("cut.gguf"), model, size);
        fails(3, "cut.gguf: ", "run cut.gguf");
        if (size < 20000) // the vocabulary of a file whose weights are cut off is refused as well
            fails(3, "cut.gguf: ", "tokenize cut.gguf");
    }
    model[4] = 99; // version
    spill(in_tmp("bad.gguf"), model, n);
    fails(4, "version 99", "run bad.gguf");
    free(model);
    const char text[] = "name = \"x\";\nlayers = 4;\n";
    spill(in_tmp("bad.cfg"), text, sizeof text - 1);
    fails(2, "bad.cfg:", "sim --model bad.cfg");
    fails(2, "bad.cfg:2: ", "sim --soc ./bad.cfg");
    const char syntax[] = "name = \"x\";\ndram = {;\n";
    spill(in_tmp("syntax.cfg"), syntax, sizeof syntax - 1);
    fails(2, "syntax.cfg:2: ", "sim --soc ./syntax.cfg");
    fails(2, "syntax.cfg:2: ", "show-config soc:./syntax.cfg");
    const char json[] = "{\"architectures\": [}";
    spill(in_tmp("config.json"), json, sizeof json - 1);
    fails(3, "config.json", "sim --model ./config.json");
}

static void test_devices(void)
{
    struct ran r = run("run %s -n 1 --set gpu.enabled=false --policy gpu_only",
                       here("data/partita-stories.gguf"));
    CHECK_INT(r.code, 4);
    CHECK_STR(r.out, "");
    CHECK_HAS(r.err, "needs a GPU");
    ran_free(&r);
    fails(4, "needs an NPU", "sim --soc orin --policy npu_only");
    r = run("run %s --ctx 3 -p Once", here("data/partita-stories.gguf"));
    CHECK_INT(r.code, 2);
    CHECK_STR(r.out, "");
    CHECK_HAS(r.err, "do not fit a context of 3");
    ran_free(&r);
}

// A full disk must not look like success.
static void test_full_disk(void)
{
    char *list[] = {"partita", "list", "policies", NULL};
    char *sim[] = {"partita", "sim", "--prompt", "8", "--gen", "2", "--json", NULL};
    char **lines[] = {list, sim};
    if (access("/dev/full", W_OK) != 0) {
        test_skip("no /dev/full");
        return;
    }
    for (int i = 0; i < 2; i++) {
        struct ran r = run_to("/dev/full", NULL, 0, lines[i]);
        CHECK_INT(r.code, 5);
        CHECK_HAS(r.err, "cannot write");
        ran_free(&r);
    }
}

// A file is replaced when the new one is complete; a pipe or a device is written to and stays one.
static void test_output_replaces_files_only(void)
{
    char pipe[256], line[600];
    struct stat st;
    snprintf(pipe, sizeof pipe, "%s", in_tmp("pipe"));
    CHECK_INT(mkfifo(pipe, 0600), 0);
    int fd = open(pipe, O_RDWR | O_NONBLOCK); // so that the program's open does not block
    snprintf(line, sizeof line,
             "profile --soc sd8gen3 --max-m 64 --max-k 64 --max-n 1 --quick -o %s", pipe);
    struct ran r = works(line, NULL);
    CHECK_HAS(r.out, "bandwidth"); // the summary
    ran_free(&r);
    char text[64] = "";
    CHECK(read(fd, text, sizeof text - 1) > 0);
    CHECK_HAS(text, "section,what,order");
    close(fd);
    CHECK(stat(pipe, &st) == 0 && S_ISFIFO(st.st_mode));
    CHECK(access(in_tmp("pipe.part"), F_OK) != 0);
    // A file that is there stays as it was when nothing comes of it.
    CHECK(spill(in_tmp("kept.csv"), "old", 3));
    snprintf(line, sizeof line, "profile --soc sd8gen3 --quick -o %s --plots /nonexistent/x",
             in_tmp("kept.csv"));
    fails(5, "/nonexistent/x", line);
    char *kept = slurp(in_tmp("kept.csv"), NULL);
    CHECK_STR(kept ? kept : "", "old");
    free(kept);
    CHECK(access(in_tmp("kept.csv.part"), F_OK) != 0);
}

TESTS(cli, T(test_help), T(test_help_of_commands), T(test_misspelt_commands),
      T(test_misspelt_options), T(test_misspelt_names), T(test_options_of_plugins),
      T(test_impossible_values), T(test_overrides), T(test_missing_files), T(test_broken_files),
      T(test_devices), T(test_full_disk), T(test_output_replaces_files_only))
