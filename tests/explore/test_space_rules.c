// SPDX-License-Identifier: GPL-3.0-or-later
// The other keys of a space: machines, traces, constraints, levels, ranges; every mistake is
// pointed at.
#include <unistd.h>
#include "tests/explore/util.h"

#define PLUGS "policies = ({name = \"gpu_only\";}); syncs = ({name = \"poll\";});\n"
#define SOC   "machine = \"soc:x\"; model = \"m\";\n" PLUGS
#define TWO   "machines = [\"soc:x\", \"soc:y\"]; model = \"m\";\n" PLUGS

static void test_machines(void)
{
    struct space *s = space_of(TWO), *t = space_of(TWO "aggregate = \"worst\";"),
                 *u = space_of("machines = \"soc:x\"; model = \"m\";\n" PLUGS), *v = space_of(SOC);
    CHECK_INT(s->n_machines, 2);
    CHECK_STR(s->machine, "soc:x");
    CHECK_STR(s->machines[1], "soc:y");
    CHECK_INT(s->aggregate, AGGREGATE_GEOMEAN);
    CHECK_INT(t->aggregate, AGGREGATE_WORST);
    CHECK_INT(u->n_machines, 1);
    CHECK(u->digest == v->digest); // one machine, however it is written
    CHECK(s->digest != t->digest && s->digest != u->digest);
    struct err e = {0};
    err_set(&e, ERR_USAGE, "no soc named y");
    space_locate(s, "machine", &e); // is `machines` here
    CHECK_INT(e.line, 1);
    space_close(s);
    space_close(t);
    space_close(u);
    space_close(v);
}

static void test_levels(void)
{
    struct space *s = space_of(SOC "levels = [\"estimate\", \"cycle\"];\n"
                                   "objectives = [\"ttft_ms\", \"energy_j\"];");
    struct search_space view;
    struct search_point p;
    struct space_config g, h;
    struct arena a;
    arena_init(&a);
    space_search(s, &view);
    CHECK_INT(view.n_levels, 2);
    CHECK_INT(s->kind[0], LEVEL_ESTIMATE);
    CHECK_INT(s->kind[1], LEVEL_CYCLE);
    CHECK(search_first(&view, &p));
    CHECK_INT(p.level, 1); // the one that counts
    space_resolve(s, &p, &a, &g);
    CHECK_STR(g.level, "cycle");
    CHECK_STR(g.label, "gpu_only + poll, at cycle");
    p.level = 0;
    CHECK(space_canonical(s, &p));
    space_resolve(s, &p, &a, &h);
    CHECK_STR(h.level, "estimate");
    CHECK(g.digest != h.digest); // a point at another level is another point
    p.level = 2;
    CHECK(!space_canonical(s, &p));
    space_close(s);
    s = space_of(SOC "levels = \"estimate\";"); // the usual objectives that it knows
    CHECK_INT(s->n_objectives, 2);
    space_close(s);
    s = space_of(SOC);
    space_search(s, &view);
    CHECK_INT(view.n_levels, 1);
    CHECK_STR(s->level[0], "");
    space_close(s);
    arena_fini(&a);
}

static void check_constraint(const struct space *s, int i, enum metric m, bool at_least,
                             double limit)
{
    CHECK_INT(s->constraint[i].metric, m);
    CHECK_INT(s->constraint[i].at_least, at_least);
    CHECK_NEAR(s->constraint[i].limit, limit, fabs(limit) * 1e-12);
}

static void test_constraints(void)
{
    struct space *s = space_of(
        SOC "constraints = [\"frames_dropped <= 0\", \"memory_bytes<=4 GB\", \"quality unchanged\","
            "\"ttft_ms <= 1.5 s\", \"ttft_ms >= 2\", \"power_prefill_w <= 2500 mW\","
            "\"decode_tok_s >= 8.5\"];");
    CHECK_INT(s->n_constraints, 7);
    check_constraint(s, 0, METRIC_FRAMES_DROPPED, false, 0);
    check_constraint(s, 1, METRIC_MEMORY, false, 4e9);
    check_constraint(s, 2, METRIC_ACTIVATION_BITS, true, 16);
    check_constraint(s, 3, METRIC_TTFT, false, 1500);
    check_constraint(s, 4, METRIC_TTFT, true, 2);
    check_constraint(s, 5, METRIC_POWER_PREFILL, false, 2.5);
    check_constraint(s, 6, METRIC_DECODE_RATE, true, 8.5);
    CHECK_STR(s->constraint[1].text, "memory_bytes<=4 GB");

    struct metrics m;
    metrics_init(&m, METRICS_OK); // nothing is known: nothing is missed
    CHECK_NEAR(space_violation(s, &m), 0, 0);
    m.value[METRIC_TTFT] = 1800;           // 20 % over
    m.value[METRIC_MEMORY] = 4e9;          // just there
    m.value[METRIC_FRAMES_DROPPED] = 7;    // over a limit of 0: itself
    m.value[METRIC_ACTIVATION_BITS] = 8;   // half missing
    m.value[METRIC_DECODE_RATE] = 8.5 / 2; // half missing
    CHECK_NEAR(space_violation(s, &m), 0.2 + 7 + 0.5 + 0.5, 1e-12);
    m.violation = space_violation(s, &m);
    CHECK(!metrics_feasible(&m));
    // On several machines the worst one counts, whatever the mean is.
    struct metrics out, both[2];
    metrics_init(&both[0], METRICS_OK);
    both[1] = both[0];
    both[0].value[METRIC_TTFT] = 100;
    both[1].value[METRIC_TTFT] = 3000;
    metrics_of_machines(both, 2, AGGREGATE_GEOMEAN, &out);
    CHECK(out.value[METRIC_TTFT] < 600);
    CHECK_NEAR(space_violation(s, &out), 1, 1e-12);
    space_close(s);
}

static void test_ranges(void)
{
    struct space *s = space_of(
        "machine = \"soc:x\"; model = \"m\";\n"
        "policies = ({name = \"hetero_tensor\"; parts = {from = 4; to = 16; step = 4;};\n"
        "             margin = {from = \"0 %\"; to = \"10 %\"; steps = 3;};});\n"
        "syncs = ({name = \"sleep_poll\"; margin = {from = \"0.1 ms\"; to = \"0.3 ms\";\n"
        "          step = \"0.1 ms\";};});\n"
        "soc = ({key = \"a.b\"; values = {from = 2; to = 8; steps = 4;};},\n"
        "  {key = \"c\"; values = [\"80 ns\", \"0.1 us\"];}, {key = \"d\"; values = [2, 1];},\n"
        "  {key = \"e\"; values = [\"x\", \"y\"];}, {key = \"f\"; values = [\"1 us\", \"1 "
        "W\"];});\n");
    static const struct {
        const char *name, *choices;
        bool ordered;
    } expected[] = {{"a.b", "2 4 6 8 ", true},
                    {"c", "80 ns 0.1 us ", true},
                    {"d", "2 1 ", false},
                    {"e", "x y ", false},
                    {"f", "1 us 1 W ", false},
                    {"policy", "hetero_tensor ", false},
                    {"hetero_tensor.parts", "4 8 12 16 ", true},
                    {"hetero_tensor.margin", "0 % 5 % 10 % ", true},
                    {"sync", "sleep_poll ", false},
                    {"sleep_poll.margin", "0.1 ms 0.2 ms 0.3 ms ", true}};
    struct search_space view;
    if (!s || !CHECK_INT(s->n_params, 10))
        return;
    space_search(s, &view);
    for (int i = 0; i < 10; i++) {
        char text[100] = "";
        for (int c = 0; c < s->param[i].n; c++) {
            strcat(text, s->param[i].choice[c]);
            strcat(text, " ");
        }
        CHECK_INT(view.ordered[i], expected[i].ordered);
        CHECK_STR(s->param[i].name, expected[i].name);
        CHECK_STR(text, expected[i].choices);
    }
    space_close(s);
}

// --- traces

static const char *file_of(const char *name, const char *text)
{
    static char path[4][300];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", test_tmpdir(), name);
    FILE *f = fopen(p, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
    return p;
}

static void test_trace(void)
{
    struct space *s = NULL;
    struct err e = {0};
    file_of("t.csv", "prompt,gen,x\n100,5,1\n100,5,2\n40,50,3\n300,1,4\n");
    const char *path = file_of("s.cfg", SOC "trace = \"t.csv\"; requests = 2; max_tokens = 200;\n");
    if (!CHECK_OK(space_open(path, &s, &e), &e))
        return;
    CHECK_INT(s->n_requests, 2);
    CHECK_INT(s->n_prompt, 100); // the longest prompt of those chosen, the longest generation
    CHECK_INT(s->n_gen, 50);
    CHECK_INT(s->request[0].n_prompt, 40);
    CHECK_NEAR(s->request[0].weight, 0.25, 0);
    CHECK_INT(s->request[1].n_prompt, 100);
    CHECK_INT(s->traced.n, 4);
    CHECK_INT(s->traced.clipped, 1);
    CHECK_NEAR(s->traced.prompt, (100 + 100 + 40 + 199) / 4.0, 1e-12);
    CHECK_HAS(s->trace, "/t.csv");
    uint64_t digest = s->digest;
    space_close(s);
    // What matters is the requests, not the file: another order is the same space.
    file_of("t.csv", "gen,prompt\n1,300\n5,100\n50,40\n5,100\n");
    CHECK_OK(space_open(path, &s, &e), &e);
    CHECK(s->digest == digest);
    space_close(s);
    // Columns by name; from the working directory.
    char text[600];
    snprintf(text, sizeof text,
             "machine = \"soc:x\"; model = \"m\"; trace = \"%s\"; trace_prompt = \"in\";\n"
             "trace_gen = \"out\";\n" PLUGS,
             file_of("u.csv", "prompt,in,out\nhello,7,9\n"));
    s = space_of(text);
    CHECK_INT(s->n_requests, 1);
    CHECK_INT(s->n_prompt, 7);
    CHECK_INT(s->n_gen, 9);
    space_close(s);
    // An error in the trace points into the trace.
    file_of("t.csv", "prompt,gen\n1,2\n3,four\n");
    CHECK(space_open(path, &s, &e) < 0);
    CHECK_HAS(e.file, "/t.csv");
    CHECK_INT(e.line, 3);
    CHECK_STR(e.key, "gen");
    unlink(path);
}

// A space may include another file, and a trace is looked for beside the file that names it.
static void test_include(void)
{
    struct space *s = NULL;
    struct err e = {0};
    file_of("t.csv", "prompt,gen\n11,5\n");
    file_of("part.cfg", "trace = \"t.csv\";\n");
    const char *path = file_of("whole.cfg", "@include \"part.cfg\"\n" SOC);
    if (CHECK_OK(space_open(path, &s, &e), &e)) {
        CHECK_INT(s->n_prompt, 11);
        space_close(s);
    }
    file_of("part.cfg", "\n\nlevel = 3;\n");
    CHECK(space_open(path, &s, &e) < 0);
    CHECK_HAS(e.file, "/part.cfg");
    CHECK_INT(e.line, 3);
    CHECK_HAS(e.msg, "did you mean \"levels\"?");
}

// --- mistakes

static const struct {
    const char *text;
    int line;
    const char *says;
} bad[] = {
    // machines
    {"model = \"m\";\n" PLUGS, 0, "missing required key 'machine'"},
    {"machine = \"soc:x\"; machines = \"soc:y\"; model = \"m\";\n" PLUGS, 1, "either"},
    {"machines = []; model = \"m\";\n" PLUGS, 1, "at least one"},
    {"machines = 3; model = \"m\";\n" PLUGS, 1, "\"host\" or \"soc:NAME\""},
    {"machines = ({a = 1;}); model = \"m\";\n" PLUGS, 1, "not a machine in quotes"},
    {"machines = [\"soc:x\", \"soc:x\"]; model = \"m\";\n" PLUGS, 1, "listed twice"},
    {"machines = [\"soc:x\", \"host\"]; model = \"m\";\n" PLUGS, 1, "not both"},
    {"machines = [\"soc:x\", \"sd8\"]; model = \"m\";\n" PLUGS, 1, "soc:NAME"},
    {"machines = [\"soc:\"]; model = \"m\";\n" PLUGS, 1, "soc:NAME"},
    {"machines = [\"soc:1\",\"soc:2\",\"soc:3\",\"soc:4\",\"soc:5\",\"soc:6\",\"soc:7\",\"soc:8\","
     "\"soc:9\"]; model = \"m\";\n" PLUGS,
     1, "more than 8"},
    {"machnies = [\"soc:x\"]; model = \"m\";\n" PLUGS, 1, "did you mean \"machines\"?"},
    {SOC "aggregate = \"worst\";", 3, "there is one machine"},
    {TWO "aggregate = \"wurst\";", 3, "geomean"},
    {TWO "aggregate = 3;", 3, "geomean"},
    // traces
    {SOC "requests = 4;", 3, "belongs to `trace`"},
    {SOC "max_tokens = 4;", 3, "belongs to `trace`"},
    {SOC "trace_gen = \"x\";", 3, "belongs to `trace`"},
    {SOC "trace = \"no.csv\";", 3, "cannot read \"no.csv\", neither beside the space nor here"},
    {SOC "trace = \"no.csv\";\nprompt = 3;", 4, "the lengths come from `trace`"},
    {SOC "trace = \"no.csv\";\nrequests = 65;", 4, "out of range"},
    {SOC "trace = \"no.csv\";\nrequests = 0;", 4, "out of range"},
    {SOC "trace = \"\";", 3, "name of a file"},
    {SOC "trace = [\"a\"];", 3, "found a list"},
    {SOC "traces = \"a\";", 3, "did you mean \"trace\"?"},
    // levels
    {SOC "levels = [];", 3, "at least one"},
    {SOC "levels = [\"flow\", \"estimate\"];", 3, "levels rise"},
    {SOC "levels = [\"flow\", \"flow\"];", 3, "levels rise"},
    {SOC "levels = [\"flow\", \"cycles\"];", 3,
     "unknown level \"cycles\"; did you mean \"cycle\"?"},
    {SOC "levels = [\"\"];", 3, "unknown level"},
    {SOC "levels = \"estimate\";\nobjectives = [\"energy_j\"];", 4,
     "level estimate does not know energy_j"},
    {SOC "levels = [\"flow\", \"hardware\"];\nobjectives = [\"energy_j\"];", 4,
     "the host does not know energy_j"},
    {SOC "levels = [\"flow\", \"hardware\"];\nsoc = ({key = \"a\"; values = 1;});", 3, "`soc`"},
    {SOC "levels = [\"flow\", \"cycle\"];\nsoc = ({key = \"detail\"; values = \"flow\";});", 4,
     "what `levels` chooses"},
    {TWO "levels = \"hardware\";", 3, "one machine"},
    {"machine = \"host\"; model = \"m\";\nlevels = \"flow\";\n" PLUGS, 2, "not simulated"},
    // constraints
    {SOC "constraints = [];", 3, "at least one"},
    {SOC "constraints = 3;", 3, "unknown metric \"3\""},
    {SOC "constraints = \"ttft_ms\";", 3, "expected METRIC <= VALUE"},
    {SOC "constraints = \"ttft_ms < 3\";", 3, "expected <= or >="},
    {SOC "constraints = \"ttft_ms = 3\";", 3, "expected <= or >="},
    {SOC "constraints = \"ttf_ms <= 3\";", 3, "did you mean \"ttft_ms\"?"},
    {SOC "constraints = \"quality unchangd\";", 3, "did you mean \"quality unchanged\"?"},
    {SOC "constraints = \"ttft_ms <=\";", 3, "a limit is missing"},
    {SOC "constraints = \"ttft_ms <= 3 W\";", 3, "power"},
    {SOC "constraints = \"ttft_ms <= 3 3\";", 3, "3 3"},
    {SOC "constraints = \"ttft_ms <= x\";", 3, "x"},
    {SOC "constraints = \"decode_tok_s >= 3 Hz\";", 3, "expected a plain number of tok/s"},
    {SOC "constraints = \"ttft_ms <= 1e999\";", 3, "not finite"},
    {SOC "constraints = \"ttft_ms <= -3\";", 3, "nothing can keep it"},
    {SOC "constraints = \"ttft_ms <= 0\";", 3, "nothing can keep it"},
    {SOC "constraints = \"ttft_ms >= 0\";", 3, "holds always"},
    {SOC "constraints = \"activation_bits >= 64\";", 3, "nothing can keep it"},
    {SOC "constraints = [\"ttft_ms >= 3 s\", \"ttft_ms <= 200\"];", 3,
     "contradicts \"ttft_ms >= 3 s\""},
    {SOC "constraints = [\"ttft_ms <= 3\", \"ttft_ms <= 2\"];", 3, "bounded on this side already"},
    {SOC "constraints = [\"activation_bits <= 8\", \"quality unchanged\"];", 3, "contradicts"},
    {SOC "constraints = [\"ttft_ms <= 1\",\"tpot_ms <= 1\",\"total_ms <= 1\",\"energy_j <= 1\","
         "\"bytes_moved <= 1\",\"memory_bytes <= 1\",\"prepare_ms <= 1\",\"fps_decode >= 1\","
         "\"fps_prefill >= 1\"];",
     3, "more than 8"},
    {SOC "levels = \"estimate\"; constraints = \"energy_j <= 3\";", 3, "level estimate"},
    {SOC "gen = 1; constraints = \"tpot_ms <= 3\";", 3, "at least 2 generated"},
    {SOC "constrants = \"energy_j <= 3\";", 3, "did you mean \"constraints\"?"},
};

static const struct {
    const char *range, *says;
} bad_range[] = {
    {"{from = 4; to = 8;}", "either step, a difference, or steps"},
    {"{from = 4; to = 8; step = 2; steps = 3;}", "either step"},
    {"{to = 8; step = 2;}", "missing required key \"from\""},
    {"{from = 8; step = 2;}", "missing required key \"to\""},
    {"{from = 8; to = 4; step = 2;}", "the bounds are reversed"},
    {"{from = 8; to = 8; steps = 2;}", "the bounds are reversed"},
    {"{from = 4; to = 8; step = 3;}", "not a whole number of steps"},
    {"{from = 4; to = 8; step = 0;}", "above 0"},
    {"{from = 4; to = 8; step = -2;}", "above 0"},
    {"{from = 4; to = 8; step = \"2 us\";}", "same unit"},
    {"{from = 4; to = \"8 us\"; step = 2;}", "same unit"},
    {"{from = \"x\"; to = 8; step = 2;}", "expected a number"},
    {"{from = [4]; to = 8; step = 2;}", "expected a number"},
    {"{from = 4; to = 8; steps = 1;}", "from 2 to 1000"},
    {"{from = 4; to = 8; steps = 2.5;}", "from 2 to 1000"},
    {"{from = 4; to = 8; steps = \"3 %\";}", "from 2 to 1000"},
    {"{from = 0; to = 5000; step = 1;}", "more than 1000"},
    {"{from = 4; to = 8; stpe = 2;}", "did you mean \"step\"?"},
    {"{from = 4; to = 80; step = 4;}", "out of range"},        // parts: 2 to 64
    {"{from = 4; to = 5; steps = 3;}", "expected an integer"}, // 4.5
    {"{from = 5000000000; to = 6000000000; steps = 2;}", "does not fit into 32 bits"},
};

static void check_bad(size_t i, const char *text, int line, const char *says)
{
    struct space *s = NULL;
    struct err e = {0};
    char buf[700];
    int rc = space_open_text("bad.cfg", text, &s, &e);
    test_note("space %zu: %s", i, err_text(&e, buf, sizeof buf));
    CHECK(rc < 0);
    CHECK_STR(e.file, "bad.cfg");
    CHECK_HAS(e.msg, says);
    if (line)
        CHECK_INT(e.line, line);
    if (rc >= 0)
        space_close(s);
}

static void test_bad(void)
{
    char text[600];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_bad(i, bad[i].text, bad[i].line, bad[i].says);
    for (size_t i = 0; i < sizeof bad_range / sizeof bad_range[0]; i++) {
        snprintf(text, sizeof text,
                 "machine = \"soc:x\"; model = \"m\"; syncs = ({name = \"poll\";});\n"
                 "policies = ({name = \"hetero_tensor\";\nparts = %s;});\n",
                 bad_range[i].range);
        check_bad(100 + i, text, 3, bad_range[i].says);
    }
}

// libconfig would read these as other numbers.
static void test_wrapping(void)
{
    check_bad(0, SOC "prompt = 5000000000;", 3, "");
    check_bad(1, SOC "soc = ({key = \"a\"; values = [1, 5000000000];});", 3, "");
    check_bad(2, SOC "prompt = 0xFFFFFFFF;", 3, "");
    check_bad(3, SOC "prompt = 4294967328L;", 3, "out of range"); // not 32
}

TESTS(explore_space_rules, T(test_machines), T(test_levels), T(test_constraints), T(test_ranges),
      T(test_trace), T(test_include), T(test_bad), T(test_wrapping))
