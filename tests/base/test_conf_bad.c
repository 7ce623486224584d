// SPDX-License-Identifier: GPL-3.0-or-later
// Configurations that must be refused, each with an error that points: a corpus of hand-written
// mistakes with the line and the words expected, then seeded mutations of a good file.
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>
#include "base/conf.h"
#include "base/rng.h"
#include "tests/base/conf_rows.h"

struct bad {
    const char *text;
    int line;
    const char *says, *key;
};

static const struct bad corpus[] = {
    // unknown and duplicate keys
    {"channels = 1;\nchanels = 2;", 2, "unknown key 'chanels' in sample; did you mean 'channels'?",
     "chanels"},
    {"channels = 1;\n\nzzzzzzzz = 2;", 3, "expected one of: channels, bandwidth", "zzzzzzzz"},
    {"channels = 1;\nPoll = \"1 ms\";", 2, "did you mean 'poll'?", "Poll"},
    {"channels = 1;\nchannels = 2;", 2, "duplicate setting name", NULL},
    {"channels = 1;\nnpu = { a = 1;\n a = 2; };", 3, "duplicate setting name", NULL},
    {"channels = 1; extra = { };", 1, "unknown key 'extra'", "extra"},
    // missing
    {"", 0, "missing required key 'channels' in sample; expected an integer", "channels"},
    {"poll = \"1 ms\";", 0, "missing required key 'channels'", "channels"},
    {"# nothing but a comment", 0, "missing required key 'channels'", "channels"},
    // units
    {"channels = 1;\nbandwidth = 61.9;", 2, "61.9 has no unit; expected bandwidth", "bandwidth"},
    {"channels = 1;\nbandwidth = \"61.9\";", 2, "expected bandwidth in B/s, kB/s", "bandwidth"},
    {"channels = 1;\nbandwidth = \"61.9 GHz\";", 2, "is frequency; expected bandwidth",
     "bandwidth"},
    {"channels = 1;\nbandwidth = \"61.9 GBps\";", 2, "'GBps' is not a unit", "bandwidth"},
    {"channels = 1;\npoll = 400;", 2, "400 has no unit; expected time", "poll"},
    {"channels = 1;\npoll = \"400 MiB\";", 2, "is size; expected time", "poll"},
    {"channels = 1;\npoll = \"us\";", 2, "'us' is not a number", "poll"},
    {"channels = 1;\npoll = \"\";", 2, "is not a number", "poll"},
    {"channels = 1;\npoll = \"1 ms x\";", 2, "'ms x' is not a unit", "poll"},
    {"channels = 1;\nbuffer = 8388608;", 2, "has no unit; expected size", "buffer"},
    {"channels = 1;\nbuffer = \"8 mib\";", 2, "B, kB, MB, GB, KiB, MiB, GiB", "buffer"},
    {"channels = 1;\nshare = 0.75;", 2, "expected share with its unit", "share"},
    {"channels = 1;\nbuffer = \"0.5 B\";", 2, "not a whole number of bytes", "buffer"},
    {"channels = 1;\npoll = \"1000000.5 ps\";", 2, "whole number of picoseconds", "poll"},
    {"channels = 1;\nbuffer = \"1e30 B\";", 2, "not a whole number", "buffer"},
    {"channels = \"4 us\";", 1, "expected an integer, found the string", "channels"},
    // out of range, both sides
    {"channels = 0;", 1, "0 is out of range; expected 1 to 8", "channels"},
    {"channels = 9;", 1, "9 is out of range; expected 1 to 8", "channels"},
    {"channels = -1;", 1, "-1 is out of range", "channels"},
    {"channels = 1;\npoll = \"999999 ps\";", 2, "out of range; expected 1 us to 5 ms", "poll"},
    {"channels = 1;\npoll = \"5.000000001 ms\";", 2, "expected 1 us to 5 ms", "poll"},
    {"channels = 1;\nbandwidth = \"2 TB/s\";", 2, "expected 1 GB/s to 1 TB/s", "bandwidth"},
    {"channels = 1;\nshare = \"101 %\";", 2, "expected 0 % to 100 %", "share"},
    {"channels = 1;\nsizes = [1, 2,\n 0];", 2, "0 is out of range; expected 1 to 4096", "sizes"},
    {"channels = 1;\nsizes = [5000];", 2, "out of range", "sizes"},
    // wrong type
    {"channels = 1.0;", 1, "expected an integer, found 1", "channels"},
    {"channels = true;", 1, "expected an integer, found true", "channels"},
    {"channels = \"1\";", 1, "found the string \"1\"", "channels"},
    {"channels = [1];", 1, "expected an integer, found a list", "channels"},
    {"channels = { };", 1, "expected an integer, found a group", "channels"},
    {"channels = 1;\nsleep = 1;", 2, "expected true or false, found 1", "sleep"},
    {"channels = 1;\nsleep = \"true\";", 2, "expected true or false", "sleep"},
    {"channels = 1;\nname = 5;", 2, "expected a string in quotes, found 5", "name"},
    {"channels = 1;\nname = [\"a\"];", 2, "expected a string in quotes, found a list", "name"},
    {"channels = 1;\nweight = \"heavy\";", 2, "expected a number, found the string", "weight"},
    {"channels = 1;\nweight = true;", 2, "expected a number, found true", "weight"},
    {"channels = 1;\npolicy = \"pip\";", 2, "not one of padding, pipe, online; did you mean 'pipe'",
     "policy"},
    {"channels = 1;\npolicy = 1;", 2, "expected one of \"padding|pipe|online\", found 1", "policy"},
    {"channels = 1;\nsizes = 64;", 2, "expected a list such as [1, 2, 3], found 64", "sizes"},
    {"channels = 1;\nsizes = [1.5];", 2, "found 1.5", "sizes"},
    {"channels = 1;\nsizes = (1, [2]);", 2, "found a list", "sizes"},
    {"channels = 1;\ntiles = [1024];", 2, "expected a list of size", "tiles"},
    {"channels = 1;\nnpu = 3;", 2, "expected a group { }, found 3", "npu"},
    {"channels = 1;\nnpu = ( { } );", 2, "expected a group { }, found a list", "npu"},
    {"channels = 1;\nclients = [1];", 2, "expected a list of groups", "clients"},
    {"channels = 1;\nclients = ( { }, 2 );", 2, "element 1 of the list is not a group", "clients"},
    {"channels = 1;\nsizes = [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1];",
     2, "more than 32 elements", "sizes"},
    // numbers that libconfig would change silently
    {"channels = 1;\nseed = 5000000000;", 2, "does not fit into 32 bits; write 5000000000L",
     "seed"},
    {"channels = 1;\nseed = 0xFFFFFFFF;", 2, "write 0xFFFFFFFFL", "seed"},
    {"channels = 1;\nseed = 2147483648;", 2, "does not fit into 32 bits", "seed"},
    {"channels = 1;\nseed = -2147483649;", 2, "does not fit into 32 bits", "seed"},
    {"channels = 1;\nseed = 9223372036854775808L;", 2, "does not fit into 64 bits", "seed"},
    {"channels = 1;\nseed = 0xFFFFFFFFFFFFFFFFL;", 2, "does not fit into 64 bits", "seed"},
    {"channels = 1;\nsizes = [1,\n 5000000000];", 3, "does not fit into 32 bits", "sizes"},
    {"channels = 1;\nseed = 010;", 2, "leading zero", "seed"},
    {"channels = 1;\nseed = 5abc = 3;", 2, "'5abc' is not a number", "seed"},
    {"channels = 1;\nseed = 0x;", 2, "'0x' is not a number", "seed"},
    {"channels = 1;\nseed = 5l;", 2, "not a number", "seed"},
    {"channels = 1;\npoll = 400us;", 2, "a value with a unit is written in quotes", "poll"},
    {"channels = 1;\nweight = 1e400;", 2, "too large for a double", "weight"},
    {"channels = 1;\nweight = 1.0e-400;", 2, "too small for a double", "weight"},
    {"channels = 1;\nweight = 1.2.3;", 2, "'1.2.3' is not a number", "weight"},
    {"channels = 1;\nweight = -;", 2, "not a number", "weight"},
    {"channels = 1;\nweight = inf;", 2, "'inf' is not a value", "weight"},
    {"channels = 1;\nweight = nan;", 2, "'nan' is not a value", "weight"},
    {"channels = 1;\nweight = -inf;", 2, "not a number", "weight"},
    {"channels = 1;\nsizes = [one];", 2, "'one' is not a value", "sizes"},
    {"channels = 1;\npolicy = pipe;", 2, "text is written in quotes", "policy"},
    // syntax
    {"channels = 1;\nname = \"open;\nseed = 1;", 2, "string is not closed", "name"},
    {"channels = 1;\n/* open\n\n", 2, "comment is not closed", NULL},
    {"channels = 1;\nnpu = {\n a = 1;\n", 2, "this '{' is never closed", NULL},
    {"channels = 1;\nsizes = [1, 2;\n", 2, "this '[' is never closed", NULL},
    {"channels = 1;\nsizes = [1, 2);\n", 2, "')' cannot close the '['", NULL},
    {"channels = 1;\n};\n", 2, "'}' closes nothing", NULL},
    {"channels = 1;\nseed = ;", 2, "syntax error near 'seed = ;'", NULL},
    {"channels = 1;\nseed 5;", 2, "syntax error", NULL},
    {"channels = 1;\n= 5;", 2, "syntax error", NULL},
    {"channels = 1;;", 1, "syntax error", NULL},
    {"channels = 1;\nseed = 1 2;", 2, "syntax error", NULL},
    {"channels = 1;\nsizes = [1, 2,];", 2, "syntax error", NULL},
    {"channels = 1;\nsizes = [1, \"2\"];", 2, "mismatched element type", NULL},
    {"channels = 1;\nseed = %;", 2, "syntax error", NULL},
    {"channels = 1;\n_seed = 1;", 2, "syntax error", NULL},
    {"channels = 1;\n\x01", 2, "syntax error", NULL},
    {"\xef\xbb\xbf"
     "channels = 1;",
     1, "syntax error", NULL},
    {"channels = 1;\nseed =", 2, "syntax error", NULL},
    {"{ channels = 1; }", 1, "syntax error", NULL},
    // includes
    {"channels = 1; @include \"x\"", 1, "alone on its line", NULL},
    {"channels = 1;\n@include x", 2, "expected @include \"file\"", NULL},
    {"channels = 1;\n@include \"\"", 2, "expected @include \"file\"", NULL},
    {"channels = 1;\n@include \"x\" y = 1;", 2, "alone on its line", NULL},
    {"channels = 1;\n@include \"/nonexistent/x\"", 2, "cannot open /nonexistent/x", NULL},
    {"channels = 1;\n@included", 2, "expected @include", NULL},
};

static int load(const char *text, struct sample *s, struct arena *a, struct err *e)
{
    struct conf *c = NULL;
    int rc = conf_open_text("bad.cfg", text, &c, e);
    if (!rc)
        rc = conf_read(conf_root(c), "sample", sample_rows, SAMPLE_ROWS, s, a, e);
    conf_close(c);
    return rc;
}

static void test_corpus(void)
{
    struct arena a;
    arena_init(&a);
    size_t n = sizeof corpus / sizeof corpus[0];
    CHECK(n >= 60);
    for (size_t i = 0; i < n; i++) {
        const struct bad *b = &corpus[i];
        struct err e = {0};
        struct sample s;
        int rc = load(b->text, &s, &a, &e);
        bool ok = (rc == ERR_CONFIG || rc == ERR_IO) && e.code == rc && e.line == b->line &&
                  strstr(e.msg, b->says) && !strcmp(e.file, "bad.cfg") &&
                  (!b->key || !strncmp(e.key, b->key, strlen(b->key)));
        if (!ok) {
            char buf[600];
            test_note("case %zu <<%s>> gave %d, '%s'; expected line %d, '%s'", i, b->text, rc,
                      err_text(&e, buf, sizeof buf), b->line, b->says);
        }
        CHECK(ok);
    }
    arena_fini(&a);
}

static int load_nested(int depth, struct arena *a, struct err *e)
{
    char open[80], close[80], text[200];
    struct sample s;
    memset(open, '(', sizeof open);
    memset(close, ')', sizeof close);
    snprintf(text, sizeof text, "channels = 1;\nname = %.*s%.*s;", depth, open, depth, close);
    return load(text, &s, a, e);
}

static void test_nesting_limit(void)
{
    struct arena a;
    struct err e;
    arena_init(&a);
    CHECK_INT(load_nested(64, &a, &e), ERR_CONFIG);
    CHECK_HAS(e.msg, "found a list");
    CHECK_INT(load_nested(65, &a, &e), ERR_CONFIG);
    CHECK_HAS(e.msg, "more than 64 brackets");
    CHECK_INT(e.line, 2);
    arena_fini(&a);
}

static const char good[] =
    "# a good file\n"
    "channels = 4; // four\n"
    "bandwidth = \"61.9 GB/s\"; poll = \"400 us\"; buffer = \"8 MiB\";\n"
    "seed = 5000000000L; weight = 1.5e-3; share = \"50 %\"; sleep = true; name = \"a\\\"b\\x41\";\n"
    "policy = \"padding\"; sizes = [32, 64, 0x80]; tiles = [\"1 KiB\", \"2 KiB\"];\n"
    "npu = { tops = 10.0; inner = { x = 1L; }; };\n"
    "/* two\n clients */ clients = ( { fps = 30; }, { fps = 60; } );\n";

static void mutate(char *text, size_t n, struct rng *r)
{
    static const char spice[] = "{}[]()\"\\=;:,#/*@.-+0xLe9a \n\t%";
    int changes = 1 + (int)rng_below(r, 4);
    for (int i = 0; i < changes; i++) {
        size_t at = rng_below(r, n);
        switch (rng_below(r, 4)) {
        case 0:
            text[at] = (char)(1 + rng_below(r, 255));
            break;
        case 1:
            text[at] = spice[rng_below(r, sizeof spice - 1)];
            break;
        case 2:
            memmove(text + at, text + at + 1, strlen(text + at)); // drops a byte
            break;
        default:
            text[at] = text[rng_below(r, n)];
        }
        n = strlen(text);
    }
}

static void test_mutations(void)
{
    struct arena a;
    struct sample s;
    struct err e;
    struct rng *r = rng_create(1, "conf mutations");
    char text[sizeof good];
    int refused = 0;
    arena_init(&a);
    CHECK_OK(load(good, &s, &a, &e), &e);
    enum { ROUNDS = 2000 };
    for (int i = 0; i < ROUNDS; i++) {
        memcpy(text, good, sizeof good);
        mutate(text, strlen(text), r);
        e = (struct err){0};
        int rc = load(text, &s, &a, &e);
        bool ok = rc == 0 || (e.code == rc && e.file[0] && e.msg[0]);
        refused += rc != 0;
        if (!ok)
            test_note("round %d <<%s>>", i, text);
        CHECK(ok);
    }
    CHECK(refused > ROUNDS / 4); // the mutations do bite
    rng_destroy(r);
    arena_fini(&a);
}

static void test_every_prefix(void)
{
    struct arena a;
    struct sample s;
    char text[sizeof good];
    arena_init(&a);
    for (size_t n = 0; n < sizeof good; n++) {
        struct err e = {0};
        memcpy(text, good, n);
        text[n] = 0;
        int rc = load(text, &s, &a, &e);
        CHECK(rc == 0 || (e.code == rc && e.file[0] && e.msg[0]));
    }
    arena_fini(&a);
}

TESTS(base_conf_bad, T(test_corpus), T(test_nesting_limit), T(test_mutations), T(test_every_prefix))
