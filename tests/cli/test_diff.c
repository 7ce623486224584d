// SPDX-License-Identifier: GPL-3.0-or-later
// partita diff over stores that are written here: exit codes, the table, JSON, Markdown, and JUnit
// XML that a real parser reads back, whatever a label holds.
#include "explore/store.h"
#include "tests/cli/cli_util.h"

#define SPACE                                                                                      \
    "machine = \"soc:sd8gen3\"; model = \"qwen2-1.5b\"; prompt = 64; gen = 4;\n"                   \
    "objectives = [\"ttft_ms\", \"energy_j\"];\n"                                                  \
    "policies = ({name = \"gpu_only\";}); syncs = ({name = \"poll\";});\n"

static struct campaign_row row(uint64_t key, const char *policy, double ttft, double energy)
{
    struct campaign_row r = {.key = key, .policy = policy, .sync = "poll", .soc = "", .level = ""};
    r.code = "0123456789abcdef";
    r.label = policy;
    metrics_init(&r.m, METRICS_OK);
    r.m.value[METRIC_TTFT] = ttft;
    r.m.value[METRIC_ENERGY] = energy;
    r.m.plan_prefill = 1;
    r.m.plan_decode = 2;
    r.m.digest = key;
    return r;
}

// A store with one campaign.
static const char *store_of(const char *name, const char *model, const struct campaign_row *r,
                            int n)
{
    static char path[4][300];
    static unsigned next;
    char *p = path[next++ % 4];
    struct store *s;
    struct err e = {0};
    struct store_campaign c = {.digest = n ? r[0].key : 1,
                               .name = "small",
                               .text = SPACE,
                               .search = "exhaustive",
                               .machine = "soc:sd8gen3",
                               .model = model,
                               .workload = "64+4",
                               .n_objectives = 2,
                               .objective = {METRIC_TTFT, METRIC_ENERGY},
                               .code = "0123456789abcdef"};
    snprintf(p, sizeof path[0], "%s", in_tmp(name));
    if (!CHECK_OK(store_open(p, STORE_WRITE, &s, &e), &e))
        return p;
    CHECK_OK(store_campaign_begin(s, &c, &e), &e);
    for (int i = 0; i < n; i++) {
        CHECK_OK(store_put(s, &r[i], &e), &e);
        CHECK_OK(store_ask(s, c.id, i, &r[i], &e), &e);
    }
    CHECK_OK(store_close(s, &e), &e);
    return p;
}

static void test_same(void)
{
    struct campaign_row r[] = {row(1, "gpu_only", 10, 3), row(2, "npu_only", 12, 1)};
    const char *a = store_of("same-a.db", "m", r, 2), *b = store_of("same-b.db", "m", r, 2);
    char line[700];
    snprintf(line, sizeof line, "diff %s %s", a, b);
    struct ran x = works(line, NULL);
    CHECK_HAS(x.out, "2 points in both, 0 only in A, 0 only in B");
    CHECK_HAS(x.out, "nothing moved");
    ran_free(&x);
}

static void test_moved(void)
{
    struct campaign_row r[] = {row(1, "gpu_only", 10, 3), row(2, "npu_only", 12, 1),
                               row(3, "cpu_only", 50, 9)};
    struct campaign_row q[] = {row(4, "gpu_only", 11, 3), row(5, "npu_only", 12.03, 1),
                               row(6, "layer", 9, 2)};
    q[1].m.plan_decode = 77;
    const char *a = store_of("moved-a.db", "m", r, 3), *b = store_of("moved-b.db", "m", q, 3);
    struct ran x = run("diff %s %s", a, b);
    CHECK_INT(x.code, 1);
    CHECK_STR(x.err, "");
    CHECK_HAS(x.out, "2 points in both, 1 only in A, 1 only in B; worse 1");
    CHECK_HAS(x.out, "+10.00 %");
    CHECK_HAS(x.out, "best TTFT: 10 ms to 9 ms (-10.00 %), gpu_only; now layer");
    CHECK_HAS(x.out, "  + layer");
    CHECK_HAS(x.out, "1 points have another plan");
    CHECK_HAS(x.out, "cannot be told from digests"); // no program makes plan 77
    ran_free(&x);
    // A quarter of a percent is a movement when nothing is tolerated, ten percent none within 20 %.
    x = run("diff %s %s --tolerance 0%% --json", a, b);
    json_t *j = json_loads(x.out, 0, NULL), *pair = json_array_get(json_object_get(j, "pairs"), 0);
    CHECK_INT(json_integer_value(json_object_get(pair, "worse")), 2);
    CHECK(json_is_true(json_object_get(j, "fails")));
    CHECK_INT(json_array_size(json_object_get(pair, "points")), 4);
    json_decref(j);
    ran_free(&x);
    x = run("diff %s %s --tolerance ttft_ms=20%% --json", a, b);
    j = json_loads(x.out, 0, NULL);
    pair = json_array_get(json_object_get(j, "pairs"), 0);
    CHECK_INT(json_integer_value(json_object_get(pair, "worse")), 0);
    CHECK_INT(json_integer_value(json_object_get(pair, "plans_changed")), 1);
    CHECK_INT(x.code, 1); // points on one side only
    json_decref(j);
    ran_free(&x);
}

// Another plan and another session with the same metrics: news, but only --strict fails.
static void test_strict(void)
{
    struct campaign_row r = row(1, "gpu_only", 10, 3), q = row(2, "gpu_only", 10, 3);
    q.m.plan_prefill = 5;
    const char *a = store_of("strict-a.db", "m", &r, 1), *b = store_of("strict-b.db", "m", &q, 1);
    struct ran x = run("diff %s %s", a, b);
    CHECK_INT(x.code, 0);
    CHECK_HAS(x.out, "1 points have another plan");
    ran_free(&x);
    x = run("diff %s %s --strict", a, b);
    CHECK_INT(x.code, 1);
    ran_free(&x);
}

// Two questions that differ are compared when there is no choice; with more they must match.
static void test_questions(void)
{
    struct campaign_row r = row(1, "gpu_only", 10, 3), q = row(2, "gpu_only", 10, 3);
    const char *a = store_of("q-a.db", "m", &r, 1), *b = store_of("q-b.db", "other", &q, 1);
    struct ran x = run("diff %s %s", a, b);
    CHECK_INT(x.code, 0);
    CHECK_HAS(x.out, "against other, 64+4 on soc:sd8gen3");
    ran_free(&x);
    store_of("q-b.db", "m", &r, 1); // a second campaign in it
    x = run("diff %s %s", a, b);
    CHECK_INT(x.code, 1);
    CHECK_HAS(x.out, "only in B: other, 64+4");
    ran_free(&x);
    x = run("diff %s %s --campaign-b 2", a, b);
    CHECK_INT(x.code, 0);
    ran_free(&x);
    char line[700];
    snprintf(line, sizeof line, "diff %s %s --campaign-b smal", a, b);
    fails(2, "did you mean \"small\"", line);
}

static void test_usage(void)
{
    fails(2, "which two stores", "diff");
    fails(2, "which two stores", "diff one.db");
    fails(2, "two stores: what is", "diff a.db b.db c.db");
    fails(5, "nowhere.db", "diff nowhere.db nowhere.db");
    fails(2, "did you mean \"ttft_ms\"", "diff a.db b.db --tolerance ttft=1%");
    fails(2, "wants a share", "diff a.db b.db --tolerance 5");
    fails(2, "wants a share", "diff a.db b.db --tolerance -1%");
    fails(2, "wants a share", "diff a.db b.db --tolerance 1001%");
    spill(in_tmp("text.db"), "no store at all, but longer than nothing", 40);
    fails(3, "no store of partita", "diff text.db text.db");
}

// Runs Python over a file; its output.
static char *python(const char *script, const char *path)
{
    char command[2048];
    size_t n = 0;
    char *text = calloc(4096, 1);
    snprintf(command, sizeof command, "python3 -c '%s' %s 2>&1", script, path);
    FILE *f = popen(command, "r");
    if (f) {
        n = fread(text, 1, 4095, f);
        pclose(f);
    }
    text[n] = 0;
    return text;
}

static void test_junit(void)
{
    // Everything that breaks a naive writer: markup, quotes, control characters, broken UTF-8, a
    // three-byte letter, a surrogate.
    struct campaign_row r[] = {row(1, "gpu_only", 10, 3), row(2, "npu_only", 12, 1)};
    struct campaign_row q[] = {row(3, "gpu_only", 11, 3), row(4, "npu_only", 12, 1)};
    r[1].label = q[1].label =
        "a<b>&\"c\" 'd' | `e` ]]> \x01\x1b \xff\xc3 \xe2\x82\xac \xed\xa0\x80";
    metrics_init(&q[1].m, METRICS_CRASHED);
    snprintf(q[1].m.reason, sizeof q[1].m.reason, "killed <by> \"signal\" & more");
    const char *a = store_of("junit-a.db", "m", r, 2), *b = store_of("junit-b.db", "m", q, 2);
    struct ran x =
        run("diff %s %s --junit %s --markdown %s", a, b, in_tmp("out.xml"), in_tmp("out.md"));
    CHECK_INT(x.code, 1);
    CHECK_STR(x.err, "");
    ran_free(&x);
    char *md = slurp(in_tmp("out.md"), NULL);
    CHECK_HAS(md, "## Partita: results differ");
    CHECK_HAS(md, "| point | verdict | metric |");
    CHECK_HAS(md, "+10.00 %");
    CHECK_HAS(md, "a&lt;b&gt;&amp;\"c\" 'd' &#124; &#96;e&#96;");
    free(md);
    if (system("python3 -c 'import xml.etree.ElementTree' 2>/dev/null") != 0) {
        test_skip("python3 is not here to parse the XML");
        return;
    }
    char *text = python("import sys, xml.etree.ElementTree as t\n"
                        "r = t.parse(sys.argv[1]).getroot()\n"
                        "s = r.findall(\"testsuite\")[0]\n"
                        "c = s.findall(\"testcase\")\n"
                        "f = [x.find(\"failure\") for x in c]\n"
                        "print(r.tag, s.get(\"tests\"), s.get(\"failures\"), len(c))\n"
                        "print(sorted(s.attrib) == [\"errors\", \"failures\", \"name\", "
                        "\"skipped\", \"tests\", \"time\"])\n"
                        "print(all(x.get(\"classname\") and x.get(\"time\") for x in c))\n"
                        "print(f[0].get(\"message\"), f[0].get(\"type\"))\n"
                        "print(ascii(c[0].get(\"name\")))\n"
                        "print(f[1].get(\"message\"))\n",
                        in_tmp("out.xml"));
    CHECK_HAS(text, "testsuites 2 2 2\nTrue\nTrue\n");
    CHECK_HAS(text, "ok, now crashed: killed <by> \"signal\" & more worse");
    CHECK_HAS(text, "a<b>&\"c\" \\'d\\' | `e` ]]> ?? ?? \\u20ac ???");
    CHECK_HAS(text, "ttft_ms +10.00 % (10 ms to 11 ms)");
    free(text);
}

TESTS(cli_diff, T(test_same), T(test_moved), T(test_strict), T(test_questions), T(test_usage),
      T(test_junit))
