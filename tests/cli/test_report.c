// SPDX-License-Identifier: GPL-3.0-or-later
// partita report and partita plot as a user calls them: what is in the page of a campaign that was
// really explored, that it is the same every time, and every way to ask for something impossible.
#include "tests/cli/cli_util.h"

#include <sys/stat.h>
#include "explore/plot.h"
#include "explore/store.h"

static const char *results(void)
{
    static bool made;
    if (!made) {
        struct ran r = works("explore tiny -q -o tiny.db", NULL);
        ran_free(&r);
        made = true;
    }
    return "tiny.db";
}

static json_t *data_of(const char *name)
{
    static const char mark[] = "<script type=\"application/json\" id=\"data\">";
    json_error_t e;
    char *page = slurp(in_tmp(name), NULL), *begin = page ? strstr(page, mark) : NULL;
    char *end = begin ? strstr(begin, "</script>") : NULL;
    json_t *j = end ? json_loadb(begin + sizeof mark - 1, (size_t)(end - begin) - sizeof mark + 1,
                                 JSON_REJECT_DUPLICATES, &e)
                    : NULL;
    free(page);
    CHECK(j != NULL);
    return j;
}

static double num(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}
static json_t *get(const json_t *j, const char *key)
{
    json_t *x = json_object_get(j, key);
    if (!x)
        test_note("no %s", key);
    CHECK(x != NULL);
    return x;
}

static bool there(const char *name)
{
    return access(in_tmp(name), F_OK) == 0;
}

// Every operator of every step is shared out whole.
static void check_plan(const json_t *plan)
{
    size_t s, o, h;
    json_t *step, *op, *shard;
    json_array_foreach(get(plan, "steps"), s, step)
    {
        json_array_foreach(get(step, "ops"), o, op)
        {
            double area = 0, m = num(op, "m"), n = num(op, "n");
            json_array_foreach(get(op, "shards"), h, shard)
            {
                area +=
                    (num(shard, "m1") - num(shard, "m0")) * (num(shard, "n1") - num(shard, "n0"));
                CHECK(num(shard, "m0") >= 0 && num(shard, "m1") <= m);
                CHECK(num(shard, "n0") >= 0 && num(shard, "n1") <= n);
            }
            CHECK_NEAR(area, m * n, 0);
        }
    }
}

// A device does one thing at a time; nothing lies outside the window; something is done in it.
static void check_window(const json_t *w)
{
    size_t t, i;
    json_t *track, *s;
    double busy = 0, us = num(w, "us");
    bool bandwidth = false;
    json_array_foreach(get(w, "tracks"), t, track)
    {
        bool device = !strcmp(json_string_value(get(track, "group")), "devices");
        double end = 0;
        json_array_foreach(json_object_get(track, "slices"), i, s)
        {
            double a = json_number_value(json_array_get(s, 0)),
                   b = json_number_value(json_array_get(s, 1));
            CHECK(a >= 0 && b >= a && b <= us * (1 + 1e-6));
            if (!device)
                continue;
            CHECK(a >= end * (1 - 1e-6));
            end = b;
            busy += b - a;
        }
        const json_t *counts = json_object_get(track, "counts");
        for (i = 0; counts && i + 1 < json_array_size(counts); i += 2)
            bandwidth |= json_number_value(json_array_get(counts, i + 1)) > 0;
    }
    CHECK(us > 0 && busy > 0.3 * us);
    CHECK(bandwidth);
}

static void test_a_page(void)
{
    struct ran r = run("report %s -o tiny.html", results());
    CHECK_INT(r.code, 0);
    CHECK_STR(r.err, "");
    CHECK_HAS(r.out, "tiny.html: 15 points of campaign 1, plans of");
    ran_free(&r);
    json_t *j = data_of("tiny.html"), *run;
    CHECK_INT((int)num(get(j, "counts"), "points"), 15);
    CHECK_INT((int)num(get(j, "counts"), "ok"), 15);
    CHECK_STR(json_string_value(get(get(j, "campaign"), "machine")), "soc:sd8gen3");
    CHECK(json_is_null(get(j, "no_runs")));
    CHECK_INT((int)json_array_size(get(j, "objectives")), 3);
    // The best of an objective has the least of it: none of the three is a rate.
    size_t i, k, n;
    json_t *o, *m, *v;
    int compared = 0;
    json_array_foreach(get(j, "objectives"), i, o)
    {
        json_array_foreach(get(get(j, "points"), "metrics"), k, m)
        {
            if (strcmp(json_string_value(get(m, "name")), json_string_value(get(o, "metric"))))
                continue;
            double best =
                json_number_value(json_array_get(get(m, "value"), (size_t)num(o, "best")));
            json_array_foreach(get(m, "value"), n, v)
            {
                CHECK(json_number_value(v) >= best);
                compared++;
            }
        }
    }
    CHECK_INT(compared, 45);
    // The best of each objective and gpu_only were run again, and ran as before.
    CHECK(json_array_size(get(j, "runs")) >= 2);
    json_array_foreach(get(j, "runs"), i, run)
    {
        CHECK(json_is_null(get(run, "failed")));
        CHECK(json_is_false(get(run, "differs")));
        // All policies of tiny plan within the space that the optimum is the best of.
        double optimum = num(get(run, "optimum"), "prefill_ms");
        CHECK(optimum > 0 && num(get(run, "predicted"), "prefill_ms") >= optimum * (1 - 1e-6));
        CHECK_INT((int)json_array_size(get(run, "plans")), 2);
        json_array_foreach(get(run, "plans"), k, v) check_plan(v);
        CHECK_INT((int)json_array_size(get(get(run, "timeline"), "windows")), 2);
        json_array_foreach(get(get(run, "timeline"), "windows"), k, v) check_window(v);
    }
    json_decref(j);
}

static void test_the_same_bytes(void)
{
    struct ran r = run("report %s -o a.html -q", results());
    CHECK_STR(r.out, "");
    ran_free(&r);
    r = run("report %s -o b.html -q", results());
    ran_free(&r);
    r = run("report %s -o -", results());
    size_t n, k;
    char *a = slurp(in_tmp("a.html"), &n), *b = slurp(in_tmp("b.html"), &k);
    CHECK(a && b && n == k && !memcmp(a, b, n));
    CHECK(a && r.n_out == n && !memcmp(a, r.out, n));
    ran_free(&r);
    free(a);
    free(b);
    r = run("report %s", results()); // beside the store, with its name
    CHECK(there("tiny.html"));
    ran_free(&r);
}

static void test_options(void)
{
    struct ran r =
        run("report %s -o t.html -q --top 2 --title 'Mine & <yours>' --campaign 1", results());
    CHECK_INT(r.code, 0);
    ran_free(&r);
    json_t *j = data_of("t.html");
    CHECK_INT((int)json_array_size(get(j, "top")), 2);
    CHECK_STR(json_string_value(get(j, "title")), "Mine & <yours>");
    json_decref(j);
    r = run("report --help");
    CHECK_INT(r.code, 0);
    CHECK_HAS(r.out, "--campaign");
    ran_free(&r);
    r = run("plot --help");
    CHECK_HAS(r.out, "--keep");
    ran_free(&r);
}

// --- stores that are made up

static void put(struct store *s, struct store_campaign *c, int64_t index, struct campaign_row r)
{
    struct err e = {0};
    r.key = 1000u * (uint64_t)c->id + (uint64_t)index;
    r.code = "made-up";
    CHECK_OK(store_put(s, &r, &e), &e);
    CHECK_OK(store_ask(s, c->id, index, &r, &e), &e);
}

static struct store *made_up(const char *name, struct store_campaign *c)
{
    struct store *s = NULL;
    struct err e = {0};
    remove(in_tmp(name));
    *c = (struct store_campaign){.digest = 5,
                                 .name = "made-up",
                                 .text = "",
                                 .search = "random",
                                 .machine = "soc:sd8gen3",
                                 .model = "qwen2-1.5b",
                                 .workload = "64+4",
                                 .n_objectives = 1,
                                 .objective = {METRIC_TTFT},
                                 .code = "made-up",
                                 .stopped = ""};
    CHECK_OK(store_open(in_tmp(name), STORE_WRITE, &s, &e), &e);
    return s;
}

static struct campaign_row infeasible(const char *policy)
{
    struct campaign_row r = {
        .policy = policy, .sync = "poll", .soc = "", .level = "", .label = policy};
    metrics_init(&r.m, METRICS_INFEASIBLE);
    snprintf(r.m.reason, sizeof r.m.reason, "does not fit");
    return r;
}

static void test_only_infeasible(void)
{
    struct store_campaign c;
    struct err e = {0};
    struct store *s = made_up("none.db", &c);
    CHECK_OK(store_campaign_begin(s, &c, &e), &e);
    put(s, &c, 0, infeasible("gpu_only"));
    put(s, &c, 1, infeasible("layer:decode=npu"));
    CHECK_OK(store_close(s, &e), &e);
    struct ran r = run("report none.db -o none.html");
    CHECK_INT(r.code, 0);
    CHECK_HAS(r.out, "2 points of campaign 1, plans of 0");
    ran_free(&r);
    json_t *j = data_of("none.html");
    CHECK_INT((int)num(get(j, "counts"), "ok"), 0);
    CHECK_INT((int)num(get(j, "counts"), "infeasible"), 2);
    json_decref(j);
    fails(2, "no feasible point", "plot none.db -o none.svg");
    CHECK(!there("none.svg") && !there("none.svg.part"));
}

// Numbers that the present program does not give: the page says so.
static void test_other_code(void)
{
    struct store_campaign c;
    struct err e = {0};
    struct store *s = made_up("other.db", &c);
    struct campaign_row row = infeasible("gpu_only");
    metrics_init(&row.m, METRICS_OK);
    row.m.value[METRIC_TTFT] = 1;
    row.m.digest = 42;
    CHECK_OK(store_campaign_begin(s, &c, &e), &e);
    put(s, &c, 0, row);
    row.policy = "gone:in=this version"; // plans of a policy that there is not
    row.m.value[METRIC_TTFT] = 0.5;
    put(s, &c, 1, row);
    CHECK_OK(store_close(s, &e), &e);
    struct ran r = run("report other.db -o other.html");
    CHECK_INT(r.code, 0);
    CHECK_HAS(r.out, "ran differently than the store says");
    CHECK_HAS(r.out, "plans of 1 configuration");
    ran_free(&r);
    json_t *j = data_of("other.html");
    const json_t *gone = json_array_get(get(j, "runs"), 0),
                 *gpu = json_array_get(get(j, "runs"), 1);
    CHECK_HAS(json_string_value(get(gone, "failed")), "unknown policy");
    CHECK(json_is_true(get(gpu, "differs")));
    json_decref(j);
}

// Hardware is not run again for a page.
static void test_hardware(void)
{
    struct store_campaign c;
    struct err e = {0};
    struct store *s = made_up("host.db", &c);
    struct campaign_row row = infeasible("gpu_only");
    metrics_init(&row.m, METRICS_OK);
    row.m.value[METRIC_TTFT] = 1;
    c.machine = "host";
    CHECK_OK(store_campaign_begin(s, &c, &e), &e);
    put(s, &c, 0, row);
    CHECK_OK(store_close(s, &e), &e);
    struct ran r = works("report host.db -o host.html", NULL);
    CHECK_HAS(r.out, "measured on hardware");
    ran_free(&r);
}

static void test_no_campaign(void)
{
    struct store_campaign c;
    struct err e = {0};
    struct store *s = made_up("empty.db", &c);
    CHECK_OK(store_close(s, &e), &e);
    fails(2, "the store holds no campaign yet", "report empty.db -o x.html");
    s = made_up("begun.db", &c);
    CHECK_OK(store_campaign_begin(s, &c, &e), &e);
    CHECK_OK(store_close(s, &e), &e);
    fails(2, "campaign 1 has no point yet", "report begun.db -o x.html");
    fails(2, "campaign 1 has no point yet", "report begun.db -o x.html --campaign 1");
    fails(2, "no campaign 9; the nearest is 1", "report begun.db -o x.html --campaign 9");
    CHECK(!there("x.html") && !there("x.html.part"));
}

static void test_refusals(void)
{
    spill(in_tmp("no.db"), "this is no store", 16);
    CHECK_STR(results(), "tiny.db");
    fails(3, "no.db", "report no.db -o x.html");
    fails(5, "missing.db", "report missing.db -o x.html");
    fails(2, "which results", "report");
    fails(2, "one store at a time", "report a.db b.db");
    fails(2, "--campaign wants a whole number", "report tiny.db --campaign one");
    fails(2, "--campaign", "report tiny.db --campain 1");
    fails(5, "no/folder", "report tiny.db -o no/folder/x.html");
    fails(2, "where to", "plot tiny.db");
    fails(2, "did you mean \"pareto\"", "plot tiny.db -o x.svg --kind paretto");
    fails(2, "did you mean \"ttft_ms\"", "plot tiny.db -o x.svg --x tft_ms");
    fails(2, "are for --kind pareto", "plot tiny.db -o x.svg --kind effects --y ttft_ms");
    fails(2, "ends in .svg, .png or .pdf", "plot tiny.db -o x.gif");
    fails(2, "no measurement on hardware", "plot tiny.db -o x.svg --kind validation");
    CHECK(!there("x.html") && !there("x.svg") && !there("x.svg.part") && !there("x.gif"));
}

static void test_figures(void)
{
    static const char *const kinds[] = {"pareto", "effects", "convergence"};
    if (!plot_available()) {
        test_skip("no gnuplot");
        return;
    }
    CHECK_STR(results(), "tiny.db");
    for (int k = 0; k < 3; k++) {
        struct ran r =
            run("plot tiny.db -q -o f.svg --keep --kind %s --title 'The title'", kinds[k]);
        CHECK_INT(r.code, 0);
        CHECK_STR(r.err, "");
        ran_free(&r);
        char *svg = slurp(in_tmp("f.svg"), NULL), *script = slurp(in_tmp("f.svg.gp"), NULL);
        CHECK_HAS(svg ? svg : "", "The title");
        CHECK_HAS(script ? script : "", "set terminal svg");
        free(svg);
        free(script);
    }
    struct ran r = works("plot tiny.db -o f.pdf --x ttft_ms --y energy_j --all", NULL);
    CHECK_STR(r.out, "f.pdf\n");
    ran_free(&r);
    CHECK(there("f.pdf") && !there("f.pdf.gp"));
}

// The script is left for a machine that has it.
static void test_without_gnuplot(void)
{
    char path[4096];
    const char *old = getenv("PATH");
    snprintf(path, sizeof path, "%s", old ? old : "");
    CHECK_STR(results(), "tiny.db");
    setenv("PATH", test_tmpdir(), 1);
    struct ran r = run("plot tiny.db -o without.svg");
    setenv("PATH", path, 1);
    CHECK_INT(r.code, 0);
    CHECK_HAS(r.err, "is not installed");
    CHECK_HAS(r.err, "its script is without.svg.gp");
    CHECK(!there("without.svg") && there("without.svg.gp"));
    ran_free(&r);
}

TESTS(cli_report, T(test_a_page), T(test_the_same_bytes), T(test_options), T(test_only_infeasible),
      T(test_other_code), T(test_hardware), T(test_no_campaign), T(test_refusals), T(test_figures),
      T(test_without_gnuplot))
