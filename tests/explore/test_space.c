// SPDX-License-Identifier: GPL-3.0-or-later
// Spaces: what they count, what a point stands for, and that every mistake is pointed at.
#include "explore/space.h"
#include "tests/explore/util.h"

static void test_small(void)
{
    struct space *s = space_of(SMALL_SPACE);
    if (!s)
        return;
    CHECK_STR(s->machine, "soc:sd8gen3");
    CHECK_STR(s->model, "qwen2-1.5b");
    CHECK_STR(s->name, "test");
    CHECK_INT(s->n_prompt, 32);
    CHECK_INT(s->n_gen, 3);
    CHECK_INT(s->n_objectives, 3); // the usual ones
    CHECK_INT(s->n_params, 4);     // policy, parts, sync, margin
    CHECK_STR(s->param[1].name, "hetero_tensor.parts");
    CHECK_INT(s->param[1].line, 3);
    CHECK_STR(s->policy[1].fixed, "margin=5 %");
    CHECK_INT(space_count(s), (1 + 3) * (1 + 2));
    space_close(s);
}

static void test_canonical(void)
{
    struct space *s = space_of(SMALL_SPACE);
    struct search_point p = {.choice = {0, 2, 1, 1}}; // gpu_only has no parts
    CHECK(space_canonical(s, &p));
    CHECK_INT(p.choice[1], SEARCH_UNUSED);
    CHECK_INT(p.choice[3], 1);
    p = (struct search_point){.choice = {1, 3, 0, 0}};
    CHECK(!space_canonical(s, &p));
    p = (struct search_point){.choice = {2, 0, 0, 0}};
    CHECK(!space_canonical(s, &p));
    p = (struct search_point){.choice = {1, -1, 0, 0}};
    CHECK(!space_canonical(s, &p));
    space_close(s);
}

static void test_resolve(void)
{
    struct space *s = space_of(SMALL_SPACE "soc = ({key = \"npu.arch.arrays\"; values = [4, 8];},\n"
                                           "{key = \"dram.fabric\"; values = \"80 ns\";});\n");
    struct search_point p = {.choice = {1, 0, 1, 2, 1, 0}};
    struct space_config g;
    struct arena a;
    arena_init(&a);
    CHECK(space_canonical(s, &p));
    space_resolve(s, &p, &a, &g);
    CHECK_STR(g.policy, "hetero_tensor:margin=5 %,parts=16");
    CHECK_STR(g.sync, "sleep_poll:margin=50 us");
    CHECK_STR(g.soc, "npu.arch.arrays=8; dram.fabric=80 ns");
    CHECK_INT(g.n_overrides, 2);
    CHECK_STR(g.override[1], "dram.fabric=80 ns");
    CHECK_STR(g.label, "hetero_tensor:margin=5 %,parts=16 + sleep_poll:margin=50 us, "
                       "npu.arch.arrays=8; dram.fabric=80 ns");
    CHECK_INT(space_count(s), 24);
    arena_fini(&a);
    space_close(s);
}

// No two points share a digest, and the digest is that of the resolved values, not their spelling.
static void test_digest(void)
{
    struct space *s = space_of(SMALL_SPACE);
    struct space *t = space_of(
        "machine = \"soc:sd8gen3\"; model = \"qwen2-1.5b\"; prompt = 32; gen = 3;\n"
        "policies = {name = \"hetero_tensor\"; margin = [\"5.0 %\", \"7 %\"]; parts = 4;};\n"
        "syncs = ({name = \"sleep_poll\"; margin = [\"0.05 ms\"]; granularity = \"90 us\";});");
    struct search_space view;
    struct search_point p, q = {.choice = {0}};
    struct space_config g, h;
    uint64_t seen[12];
    int n = 0;
    struct arena a;
    arena_init(&a);
    space_search(s, &view);
    for (bool more = search_first(&view, &p); more && n < 12; more = search_next(&view, &p)) {
        space_resolve(s, &p, &a, &g);
        for (int i = 0; i < n; i++)
            CHECK(seen[i] != space_config_digest(s, &g));
        seen[n++] = space_config_digest(s, &g);
    }
    CHECK_INT(n, 12);
    p = (struct search_point){.choice = {1, 0, 1, 0}};
    space_resolve(s, &p, &a, &g);
    CHECK(space_canonical(t, &q));
    space_resolve(t, &q, &a, &h);
    CHECK_STR(h.sync, "sleep_poll:granularity=90 us,margin=0.05 ms");
    CHECK(space_config_digest(s, &g) == space_config_digest(t, &h));
    CHECK(s->digest != t->digest);
    arena_fini(&a);
    space_close(s);
    space_close(t);
}

static void test_list_options(void)
{
    struct space *s = space_of("machine = \"host\"; model = \"x\";\n"
                               "policies = ({name = \"padding\"; sizes = [128, 256];},\n"
                               "  {name = \"pipe\"; sizes = ([32], [64, 128], []);});\n"
                               "syncs = ({name = \"poll\";});\n"
                               "objectives = [\"decode_tok_s\", \"memory_bytes\"];");
    struct search_point p = {.choice = {1, 1, 0}};
    struct space_config g;
    struct arena a;
    arena_init(&a);
    if (s) {
        CHECK_STR(s->policy[0].fixed, "sizes=[128,256]");
        CHECK_INT(s->param[1].n, 3);
        space_resolve(s, &p, &a, &g);
        CHECK_STR(g.policy, "pipe:sizes=[64,128]");
        CHECK_INT(s->objective[0], METRIC_DECODE_RATE);
        CHECK_INT(s->n_prompt, 256);
        CHECK_INT(space_count(s), 4);
    }
    arena_fini(&a);
    space_close(s);
}

#define TOP    "machine = \"host\"; model = \"x\";\n"
#define POLICY "policies = ({name = \"gpu_only\";});\n"
#define SYNC   "syncs = ({name = \"poll\";});\n"

static const struct {
    const char *text;
    int line;
    const char *says;
} bad[] = {
    {"", 0, "missing required key 'machine'"},
    {"machine = \"host\";\n" POLICY SYNC, 0, "missing required key 'model'"},
    {TOP SYNC, 0, "missing required key"},
    {TOP POLICY, 0, "missing required key"},
    {TOP POLICY SYNC "polices = 3;\n", 4, "unknown key \"polices\"; did you mean \"policies\"?"},
    {TOP "model = \"y\";\n" POLICY SYNC, 2, "duplicate"},
    {"machine = \"hots\";\nmodel = \"x\";\n" POLICY SYNC, 1, "\"host\" or \"soc:NAME\""},
    {"machine = [1, 2];\nmodel = \"x\";\n" POLICY SYNC, 1, "found a list"},
    {"machine = {a = 1;};\nmodel = \"x\";\n" POLICY SYNC, 1, "found a group"},
    {TOP "prompt = 0;\n" POLICY SYNC, 2, "out of range"},
    {TOP "prompt = \"many\";\n" POLICY SYNC, 2, "expected an integer"},
    {TOP "gen = 2.5;\n" POLICY SYNC, 2, "expected an integer"},
    {TOP "gen = 99999999;\n" POLICY SYNC, 2, "out of range"},
    {TOP "gen = 1;\nobjectives = [\"tpot_ms\"];\n" POLICY SYNC, 2, "at least 2 generated"},
    {TOP POLICY SYNC "objectives = [\"speed\"];\n", 4, "expected one of: ttft_ms, tpot_ms"},
    {TOP POLICY SYNC "objectives = [\"beauty\"];\n", 4, "expected one of: ttft_ms, tpot_ms"},
    {TOP POLICY SYNC "objectives = [];\n", 4, "expected at least one: an objective"},
    {TOP POLICY SYNC "objectives = [\"ttft_ms\", \"ttft_ms\"];\n", 4, "listed twice"},
    {TOP POLICY SYNC "objectives = [\"ttft_ms\", \"tpot_ms\", \"total_ms\", \"bytes_moved\",\n"
                     "\"memory_bytes\", \"prepare_ms\", \"prefill_tok_s\"];\n",
     4, "more than 6"},
    {TOP POLICY SYNC "objectives = [\"predicted_prefill_ms\"];\n", 4, "unknown objective"},
    {TOP POLICY SYNC "objectives = [\"ttft_ms\", 3];\n", 4, "mismatched"},
    {TOP POLICY SYNC "objectives = [\"energy_j\"];\n", 4, "the host does not know energy_j"},
    {TOP "policies = ();\n" SYNC, 2, "at least one group"},
    {TOP "policies = 3;\n" SYNC, 2, "at least one group"},
    {TOP "policies = [\"gpu_only\"];\n" SYNC, 2, "at least one group"},
    {TOP "policies = (3);\n" SYNC, 2, "not a group"},
    {TOP "policies = (\n{name = \"gpu_olny\";});\n" SYNC, 3, "did you mean \"gpu_only\"?"},
    {TOP "policies = (\n{parts = 3;});\n" SYNC, 3, "missing required key \"name\""},
    {TOP "policies = ({name = \"gpu_only\";},\n{name = \"gpu_only\";});\n" SYNC, 3, "listed twice"},
    {TOP "policies = ({name = \"hetero_tensor:parts=4\";});\n" SYNC, 2, "keys of their own"},
    {TOP "policies = ({name = \"hetero_tensor\";\nprats = 4;});\n" SYNC, 3,
     "option of policy hetero_tensor \"prats\"; did you mean \"parts\"?"},
    {TOP "policies = ({name = \"gpu_only\";\nparts = 4;});\n" SYNC, 3,
     "it is one of policy hetero_tensor, hybrid, weight_centric, which the space does not list"},
    {TOP "policies = ({name = \"gpu_only\";\nparts = 4;}, {name = \"hetero_tensor\";});\n" SYNC, 3,
     "it is one of policy hetero_tensor, in whose group it belongs"},
    {TOP POLICY SYNC "parts = [4, 8];\n", 4, "which the space does not list"},
    {TOP POLICY SYNC "granularity = \"50 us\";\n", 4,
     "one of sync scheme queue_order, sleep_poll, which"},
    {TOP "policies = ({name = \"hetero_tensor\";\n\nparts = [4, 1];});\n" SYNC, 4,
     "out of range; expected 2 to 64"},
    {TOP "policies = ({name = \"hetero_tensor\"; parts = [];});\n" SYNC, 2, "empty array"},
    {TOP "policies = ({name = \"hetero_tensor\"; parts = {a = 1;};});\n" SYNC, 2,
     "unknown key of a range"},
    {TOP "policies = ({name = \"hetero_tensor\"; parts = [4, 8, 4];});\n" SYNC, 2, "same choice"},
    {TOP "policies = ({name = \"hetero_tensor\"; margin = 5;});\n" SYNC, 2, "unit"},
    {TOP "policies = ({name = \"hybrid\"; rest = [\"pad\", \"best\", \"worst\"];});\n" SYNC, 2,
     "not one of best, flexible, pad"},
    {TOP POLICY "syncs = ({name = \"polll\";});\n", 3, "did you mean \"poll\"?"},
    {TOP POLICY "syncs = ({name = \"sleep_poll\"; margin = [\"50 us\", 100];});\n", 3,
     "mismatched"},
    {TOP POLICY "syncs = ({name = \"sleep_poll\"; margin = [\"50 us\", \"0.05 ms\"];});\n", 3,
     "\"50 us\" and \"0.05 ms\" are the same choice"},
    {TOP POLICY "syncs = ({name = \"sleep_poll\"; margin = [\"50 us\", \"100 W\"];});\n", 3,
     "100 W"},
    {TOP POLICY "syncs = ({name = \"driver\"; margin = \"50 us\";});\n", 3,
     "it is one of sync scheme queue_order, sleep_poll, which the space does not list"},
    {TOP POLICY SYNC "soc = 3;\n", 4, "list of groups"},
    {TOP POLICY SYNC "soc = ({values = 3;});\n", 4, "missing required key \"key\""},
    {TOP POLICY SYNC "soc = ({key = \"a.b\";});\n", 4, "missing required key \"values\""},
    {TOP POLICY SYNC "soc = ({key = \"a.b\"; value = 3;});\n", 4, "did you mean \"values\"?"},
    {TOP POLICY SYNC "soc = ({key = \"a.b\"; values = [1, 2, 1];});\n", 4, "listed twice"},
    {TOP POLICY SYNC "soc = ({key = \"a\"; values = 1;},\n{key = \"a\"; values = 2;});\n", 5,
     "listed twice"},
    {TOP POLICY SYNC "soc = (\n", 4, "never closed"},
};

static void test_bad_spaces(void)
{
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct space *s = NULL;
        struct err e = {0};
        char text[700];
        int rc = space_open_text("bad.cfg", bad[i].text, &s, &e);
        test_note("space %zu: %s", i, err_text(&e, text, sizeof text));
        CHECK(rc < 0);
        CHECK_STR(e.file, "bad.cfg");
        CHECK_HAS(e.msg, bad[i].says);
        if (bad[i].line)
            CHECK_INT(e.line, bad[i].line);
        if (rc >= 0)
            space_close(s);
    }
}

static void test_machine_keys(void)
{
    struct test_factory f = test_factory();
    static const struct {
        const char *soc, *says;
        int line;
    } wrong[] = {
        {"soc = ({key = \"npu.arch.arays\";\nvalues = [4];});", "did you mean 'arrays'?", 7},
        {"soc = ({key = \"npu.arch.arrays\"; values = [4, 8, 0];});", "value \"0\"", 6},
        {"soc = ({key = \"dram.fabric\"; values = [\"80 ns\", \"80 W\"];});", "80 W", 6},
    };
    struct err e = {0};
    struct space *s =
        space_of(SMALL_SPACE "soc = ({key = \"npu.arch.arrays\"; values = [4, 8];});");
    CHECK_OK(space_check_machine(s, &f.base, &e), &e);
    CHECK_INT(f.opened, 2); // once per value
    space_close(s);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text, "%s%s", SMALL_SPACE, wrong[i].soc);
        s = space_of(text);
        e = (struct err){0};
        CHECK(space_check_machine(s, &f.base, &e) < 0);
        CHECK_HAS(e.msg, wrong[i].says);
        CHECK_STR(e.file, "test.cfg");
        CHECK_INT(e.line, wrong[i].line);
        space_close(s);
    }
}

// An error of somebody else, about a value of the space, is pointed at its line.
static void test_locate(void)
{
    struct space *s = space_of("machine = \"soc:x\";\nmodel = \"y\";\n" POLICY SYNC);
    struct err e = {0};
    err_set(&e, ERR_USAGE, "no model named y");
    space_locate(s, "model", &e);
    CHECK_STR(e.msg, "no model named y");
    CHECK_STR(e.file, "test.cfg");
    CHECK_INT(e.line, 2);
    CHECK_INT(e.code, ERR_USAGE);
    err_at(&e, ERR_FORMAT, "y.gguf", 0, NULL, "bad magic");
    space_locate(s, "model", &e);
    CHECK_STR(e.file, "y.gguf");
    space_close(s);
}

static void test_shipped(void)
{
    static const struct {
        const char *path;
        int at_least;
    } shipped[] = {{"configs/space/quick.cfg", 60},   {"configs/space/tiny.cfg", 15},
                   {"configs/space/hetero.cfg", 700}, {"configs/space/soc.cfg", 60},
                   {"configs/space/robust.cfg", 60},  {"configs/space/trace.cfg", 24},
                   {"configs/space/levels.cfg", 18},  {"configs/space/game.cfg", 30},
                   {"configs/space/host.cfg", 115}};
    struct test_factory f = test_factory();
    for (size_t i = 0; i < sizeof shipped / sizeof shipped[0]; i++) {
        struct space *s;
        struct err e = {0};
        if (!CHECK_OK(space_open(shipped[i].path, &s, &e), &e))
            continue;
        CHECK(space_count(s) >= shipped[i].at_least);
        CHECK_OK(space_check_machine(s, &f.base, &e), &e);
        space_close(s);
    }
}

TESTS(explore_space, T(test_small), T(test_canonical), T(test_resolve), T(test_digest),
      T(test_list_options), T(test_bad_spaces), T(test_machine_keys), T(test_locate),
      T(test_shipped))
