// SPDX-License-Identifier: GPL-3.0-or-later
// docs/adding.md promises that a policy, a sync scheme and a SoC are one file each. The examples
// are cut out of the page into a copy of the tree, which is built and used.
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char tree[128];

// Runs a command in the copy; its output (first part) goes to out. Returns the exit status.
static int in_tree(const char *command, char *out, size_t size)
{
    char line[2048];
    snprintf(line, sizeof line, "cd '%s' && { %s; } 2>&1", tree, command);
    FILE *p = popen(line, "r");
    size_t n = p ? fread(out, 1, size - 1, p) : 0;
    out[n] = 0;
    while (p && fgetc(p) != EOF) // drain, or the command may block
        ;
    int status = p ? pclose(p) : -1;
    return status < 0 ? status : WEXITSTATUS(status);
}

// Writes each block that follows "<!-- file: PATH -->" to its path; returns how many.
static int cut_out_examples(void)
{
    FILE *page = fopen("docs/adding.md", "r"), *out = NULL;
    char line[512], path[400];
    int n = 0;
    bool inside = false;
    if (!CHECK(page != NULL))
        return 0;
    path[0] = 0;
    while (fgets(line, sizeof line, page)) {
        char name[200];
        if (sscanf(line, "<!-- file: %199s -->", name) == 1) {
            snprintf(path, sizeof path, "%s/%s", tree, name);
        } else if (!strncmp(line, "```", 3)) {
            if (inside && out) {
                fclose(out);
                out = NULL;
                n++;
            } else if (!inside && path[0]) {
                out = fopen(path, "w");
                CHECK(out != NULL);
                path[0] = 0;
            }
            inside = !inside;
        } else if (inside && out) {
            fputs(line, out);
        }
    }
    fclose(page);
    return n;
}

static void test_examples_build_and_run(void)
{
    static char out[20000];
    char command[1000];
    // Objects come along with their times, so that only what is new is compiled.
    snprintf(tree, sizeof tree, "%s/tree", test_tmpdir());
    snprintf(
        command, sizeof command,
        "mkdir -p '%s/build' && cp -a Makefile tools base sim engine models policies explore cli "
        "configs data third_party '%s/' && { test ! -d build/release || cp -a build/release "
        "'%s/build/'; }",
        tree, tree, tree);
    CHECK_INT(system(command), 0);
    CHECK_INT(cut_out_examples(), 3);
    int rc = in_tree("env -u MAKEFLAGS -u MAKELEVEL make config=release tag= O=2", out, sizeof out);
    if (!CHECK_INT(rc, 0))
        test_note("%.3000s", out);
    CHECK_INT(in_tree("build/release/partita list policies", out, sizeof out), 0);
    CHECK_HAS(out, "ffn_npu");
    CHECK_INT(in_tree("build/release/partita list syncs", out, sizeof out), 0);
    CHECK_HAS(out, "nap");
    CHECK_INT(
        in_tree("build/release/partita sim --soc sd8gen3 --model llama3.2-1b --prompt 64 --gen 2 "
                "--policy ffn_npu --sync nap:nap='\"100 us\"'",
                out, sizeof out),
        0);
    CHECK_HAS(out, "policy ffn_npu, sync nap");
    CHECK_INT(
        in_tree("build/release/partita sim --soc board --model llama3.2-1b --prompt 32 --gen 2 "
                "--policy cpu_only",
                out, sizeof out),
        0);
    CHECK_HAS(out, "soc:board");
    CHECK_INT(
        in_tree("build/release/partita check --policy ffn_npu --sync nap --gen 2", out, sizeof out),
        0);
    CHECK_HAS(out, "10 plans proven");
}

TESTS(docs_adding, T(test_examples_build_and_run))
