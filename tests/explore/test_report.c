// SPDX-License-Identifier: GPL-3.0-or-later
// The data of a report and the page around them, for rows that are made up so that every number is
// known beforehand.
#include "explore/report.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "explore/report_plot.h"
#include "tests/harness.h"

#define EVIL "gpu_only:note=</script><script>alert(1)</script>"

static struct campaign_row row(const char *policy, const char *sync, const char *soc, double ttft,
                               double tpot)
{
    struct campaign_row r = {.policy = policy, .sync = sync, .soc = soc, .level = "", .label = ""};
    metrics_init(&r.m, METRICS_OK);
    r.m.value[METRIC_TTFT] = ttft;
    r.m.value[METRIC_TPOT] = tpot;
    r.m.value[METRIC_MEMORY] = 4e9;
    return r;
}

static const struct store_campaign campaign = {
    .id = 3,
    .name = "made-up",
    .text = "// </script> here too\n",
    .search = "random",
    .seed = 18446744073709551615u,
    .machine = "soc:sd8gen3",
    .model = "llama3-8b",
    .workload = "256+32",
    .n_objectives = 2,
    .objective = {METRIC_TTFT, METRIC_TPOT},
    .code = "c0de",
    .stopped = "the budget is spent",
};

enum { ROWS = 7 };
static void made_up(struct campaign_row *r)
{
    r[0] = row(EVIL, "poll", "dram.timing.channels=2", 400, 100);
    r[1] = row("hetero:parts=4,margin=5 %", "poll", "dram.timing.channels=2", 100, 90);
    r[2] = row("hetero:parts=16,margin=5 %", "sleep:margin=\"100 us\"", "dram.timing.channels=4",
               120, 80);
    r[3] = row("hetero:parts=8,margin=5 %", "sleep:margin=\"1 ms\"", "dram.timing.channels=4", 130,
               95);
    r[4] = row("hetero:parts=4,margin=5 %", "sleep:margin=\"20 us\"", "", 50, 40);
    r[4].m.violation = 0.5; // the best of all, but not allowed
    r[5] = row("npu:sizes=[128,256],x=(a,b)", "poll", "", NAN, NAN);
    r[5].m.status = METRICS_INFEASIBLE;
    snprintf(r[5].m.reason, sizeof r[5].m.reason, "a \"graph\" of 5 < 6 & more");
    r[6] = row("npu:sizes=[128]", "poll", "", NAN, NAN);
    r[6].m.status = METRICS_CRASHED;
}

static struct report report_of(const struct campaign_row *r, int n)
{
    return (struct report){
        .campaign = &campaign, .n = n, .row = r, .top = 10, .no_runs = "nothing was run </script>"};
}

static char *page_of(const struct report *r)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    report_page(r, f);
    fclose(f);
    return text;
}

static json_t *data_of(const char *page)
{
    static const char mark[] = "<script type=\"application/json\" id=\"data\">";
    json_error_t e;
    const char *begin = strstr(page, mark), *end = begin ? strstr(begin, "</script>") : NULL;
    if (!CHECK(begin && end))
        return NULL;
    begin += sizeof mark - 1;
    json_t *j = json_loadb(begin, (size_t)(end - begin), JSON_REJECT_DUPLICATES, &e);
    if (!CHECK(j != NULL))
        test_note("%s at %d", e.text, e.position);
    return j;
}

// "points.policy.list.0"
static json_t *at(json_t *j, const char *path)
{
    char part[64];
    for (const char *s = path; j && *s; s += strlen(part), s += *s == '.') {
        snprintf(part, sizeof part, "%.*s", (int)strcspn(s, "."), s);
        j = json_is_array(j) ? json_array_get(j, (size_t)atoi(part)) : json_object_get(j, part);
    }
    if (!j)
        test_note("no %s", path);
    CHECK(j != NULL);
    return j;
}
static double num(json_t *j, const char *path)
{
    json_t *x = at(j, path);
    return json_is_null(x) ? (double)NAN : json_number_value(x);
}
static const char *str(json_t *j, const char *path)
{
    return json_string_value(at(j, path));
}

static void test_options_are_split(void)
{
    const char *list = " a=1, b=[1,2],c=\"x,y\",d={p=(1,2)} ,flag", *key, *value;
    const char *const expected[] = {"a",       "1", "b",          "[1,2]", "c",
                                    "\"x,y\"", "d", "{p=(1,2)} ", "flag",  ""};
    struct arena a;
    arena_init(&a);
    int n = 0;
    while (report_next_option(&list, ',', &a, &key, &value)) {
        if (!CHECK(n < 10))
            break;
        CHECK_STR(key, expected[n++]);
        CHECK_STR(value, expected[n++]);
    }
    CHECK_INT(n, 10);
    CHECK_STR(report_spec_name("pipe", &a, &key), "pipe");
    CHECK_STR(key, "");
    CHECK_STR(report_spec_name("pipe:sizes=[1]", &a, &key), "pipe");
    CHECK_STR(key, "sizes=[1]");
    arena_fini(&a);
}

static const struct report_param *param(const struct report_params *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->param[i].name, name))
            return &p->param[i];
    test_note("no parameter %s", name);
    CHECK(false);
    return &p->param[0];
}

static void test_parameters(void)
{
    struct campaign_row r[ROWS], back[ROWS];
    struct report_params p, q;
    struct arena a;
    made_up(r);
    for (int i = 0; i < ROWS; i++)
        back[ROWS - 1 - i] = r[i];
    arena_init(&a);
    report_params_make(r, ROWS, &a, &p);
    const struct report_param *x = param(&p, "hetero.parts");
    CHECK(x->ordered);
    CHECK_INT(x->n, 3);
    CHECK_STR(x->choice[0], "4"); // by size, not by letters
    CHECK_STR(x->choice[2], "16");
    CHECK_STR(x->owner, "hetero");
    CHECK_INT(x->value[0], -1);
    CHECK_INT(x->value[2], 2);
    x = param(&p, "sleep.margin");
    CHECK_STR(x->choice[0], "\"20 us\"");
    CHECK_STR(x->choice[2], "\"1 ms\"");
    CHECK(!param(&p, "policy")->ordered);
    CHECK_INT(param(&p, "policy")->n, 3);
    CHECK_INT(param(&p, "dram.timing.channels")->value[4], -1);
    // Whatever the order of the rows.
    report_params_make(back, ROWS, &a, &q);
    CHECK_INT(p.n, q.n);
    for (int i = 0; i < p.n && i < q.n; i++) {
        CHECK_STR(p.param[i].name, q.param[i].name);
        for (int k = 0; k < ROWS; k++)
            CHECK_INT(p.param[i].value[k], q.param[i].value[ROWS - 1 - k]);
    }
    arena_fini(&a);
}

static void test_data(void)
{
    struct campaign_row r[ROWS];
    made_up(r);
    struct report q = report_of(r, ROWS);
    char *page = page_of(&q);
    json_t *j = data_of(page);
    CHECK_INT((int)num(j, "counts.points"), ROWS);
    CHECK_INT((int)num(j, "counts.ok"), 4);
    CHECK_INT((int)num(j, "counts.violated"), 1);
    CHECK_INT((int)num(j, "counts.infeasible"), 1);
    CHECK_INT((int)num(j, "counts.crashed"), 1);
    CHECK_INT((int)num(j, "counts.front"), 2); // 1 and 2; 4 would beat them but is not allowed
    CHECK_STR(str(j, "campaign.seed"), "18446744073709551615");
    CHECK_STR(str(j, "objectives.0.metric"), "ttft_ms");
    CHECK_INT((int)num(j, "objectives.0.best"), 1);
    CHECK_INT((int)num(j, "objectives.1.best"), 2);
    CHECK_INT((int)num(j, "objectives.1.gpu_only"), 0);
    CHECK_STR(str(j, "points.policy.list.0"), EVIL);
    CHECK_STR(str(j, "points.status.list.1"), "violated");
    CHECK_STR(str(j, "points.reason.list.1"), r[5].m.reason);
    CHECK_INT((int)num(j, "points.policy.at.4"), 1); // the same text as row 1
    CHECK(isnan(num(j, "points.metrics.0.value.5")));
    CHECK_NEAR(num(j, "points.metrics.0.value.4"), 50, 0); // known although not allowed
    CHECK_STR(str(j, "no_runs"), q.no_runs);
    // Scores: row 1 is (100, 90), row 2 (120, 80); the best seen is (100, 80).
    CHECK_NEAR(num(j, "points.score.1"), sqrt(90.0 / 80), 1e-6);
    CHECK_NEAR(num(j, "points.score.2"), sqrt(1.2), 1e-6);
    CHECK_INT((int)num(j, "top.0"), 1);
    json_decref(j);
    free(page);
}

static void test_effects(void)
{
    struct campaign_row r[ROWS];
    made_up(r);
    struct report q = report_of(r, ROWS);
    char *page = page_of(&q);
    json_t *j = data_of(page), *e = NULL, *x;
    size_t i;
    json_array_foreach(json_object_get(j, "effects"), i, x)
    {
        int p = (int)num(x, "param");
        char path[64];
        snprintf(path, sizeof path, "points.params.%d.name", p);
        if (!strcmp(str(j, path), "policy"))
            e = x;
    }
    // gpu_only 400; hetero 100, 120, 130: y = log, one against three.
    double h = (log(100) + log(120) + log(130)) / 3, g = log(400), mean = (3 * h + g) / 4;
    double between = 3 * (h - mean) * (h - mean) + (g - mean) * (g - mean);
    double within = (log(100) - h) * (log(100) - h) + (log(120) - h) * (log(120) - h) +
                    (log(130) - h) * (log(130) - h);
    CHECK(e != NULL);
    CHECK_NEAR(num(e, "on.0.share"), between / (between + within), 1e-6);
    CHECK_NEAR(num(e, "on.0.ratio"), exp(g - h), 1e-5);
    CHECK_INT((int)num(e, "on.0.n"), 4);
    CHECK_INT((int)num(e, "on.0.best"), 1);
    CHECK_NEAR(num(e, "on.0.choices.1.mean"), exp(h), 1e-4);
    CHECK_INT((int)num(e, "on.0.choices.1.best"), 1);
    CHECK_INT((int)num(e, "on.0.choices.2.n"), 0); // npu: no feasible point
    json_decref(j);
    free(page);
}

// What was only estimated is shown, but not ranked with what was simulated.
static void test_levels(void)
{
    struct campaign_row r[3] = {row("a", "s", "", 10, 10), row("a", "s", "", 100, 100),
                                row("b", "s", "", 90, 120)};
    r[0].level = "estimate";
    r[1].level = r[2].level = "cycle";
    struct report q = report_of(r, 3);
    char *page = page_of(&q);
    json_t *j = data_of(page);
    CHECK_INT((int)num(j, "counts.ok"), 2);
    CHECK_INT((int)num(j, "counts.coarse"), 1);
    CHECK_INT((int)num(j, "objectives.0.best"), 2);
    CHECK_INT((int)num(j, "objectives.1.best"), 1);
    CHECK_STR(str(j, "points.status.list.0"), "coarse");
    CHECK_NEAR(num(j, "points.metrics.0.value.0"), 10, 0);
    json_decref(j);
    free(page);
    r[1].level = r[2].level = "estimate"; // all of one level: all count
    q = report_of(r, 3);
    page = page_of(&q);
    j = data_of(page);
    CHECK_INT((int)num(j, "counts.ok"), 3);
    json_decref(j);
    free(page);
}

// An objective that can be 0 has no logarithm: its values count as they are.
static void test_effects_of_zeros(void)
{
    struct store_campaign c = campaign;
    struct campaign_row r[4];
    double dropped[] = {0, 2, 4, 6}; // mean 3, means 1 and 5: 16 of 20
    c.n_objectives = 1;
    c.objective[0] = METRIC_FRAMES_DROPPED;
    for (int i = 0; i < 4; i++) {
        r[i] = row(i < 2 ? "a" : "b", "s", "", 1, 1);
        r[i].m.value[METRIC_FRAMES_DROPPED] = dropped[i];
    }
    struct report q = report_of(r, 4);
    q.campaign = &c;
    char *page = page_of(&q);
    json_t *j = data_of(page);
    CHECK_INT((int)num(j, "effects.0.on.0.n"), 4);
    CHECK_NEAR(num(j, "effects.0.on.0.share"), 0.8, 1e-6);
    CHECK_NEAR(num(j, "effects.0.on.0.choices.1.mean"), 5, 0);
    CHECK(json_is_false(at(j, "effects.0.on.0.log")));
    CHECK(isnan(num(j, "effects.0.on.0.ratio")));
    json_decref(j);
    free(page);
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        n++;
    return n;
}

static void test_nothing_escapes(void)
{
    struct campaign_row r[ROWS];
    made_up(r);
    struct report q = report_of(r, ROWS);
    q.title = "a <b> & \"c\" </title><script>";
    char *page = page_of(&q);
    // Three scripts of the page, and nobody else's.
    CHECK_INT(count(page, "</script"), 3);
    CHECK_INT(count(page, "<script>alert"), 0);
    CHECK_HAS(page,
              "<title>a &lt;b&gt; &amp; &quot;c&quot; &lt;/title&gt;&lt;script&gt; - Partita");
    CHECK_HAS(page, "\\u003c/script>\\u003cscript>alert(1)");
    CHECK(!strstr(page, "{{title}}") && !strstr(page, "{{data}}"));
    // It loads nothing, and says that nothing may be loaded.
    CHECK_HAS(page, "default-src 'none'");
    CHECK(!strstr(page, " src=\"") && !strstr(page, "@import") && !strstr(page, "url("));
    CHECK(!strstr(page, "<link rel=\"stylesheet"));
    free(page);
}

static void test_equal_points_equal_pages(void)
{
    struct campaign_row r[ROWS];
    made_up(r);
    struct report q = report_of(r, ROWS);
    char *a = page_of(&q), *b = page_of(&q);
    CHECK(!strcmp(a, b));
    for (int i = 0; i < ROWS; i++)
        r[i].m.wall_s = 17 + i; // what the clock said is not in it
    char *c = page_of(&q);
    CHECK(!strcmp(a, c));
    free(a);
    free(b);
    free(c);
}

static void test_nothing_feasible(void)
{
    struct campaign_row r[2] = {row("a", "b", "", NAN, NAN), row("c", "b", "", NAN, NAN)};
    for (int i = 0; i < 2; i++)
        r[i].m.status = METRICS_INFEASIBLE;
    struct report q = report_of(r, 2);
    char *page = page_of(&q);
    json_t *j = data_of(page);
    CHECK_INT((int)num(j, "counts.ok"), 0);
    CHECK_INT((int)num(j, "objectives.0.best"), -1);
    CHECK_INT((int)json_array_size(at(j, "top")), 0);
    json_decref(j);
    free(page);
    struct report none = report_of(NULL, 0);
    page = page_of(&none);
    j = data_of(page);
    CHECK_INT((int)num(j, "points.n"), 0);
    json_decref(j);
    free(page);
}

static void test_validation(void)
{
    // Errors +10 %, -20 %, +5 %; the order of the last two is predicted the wrong way round.
    struct store_validation v[3] = {
        {.policy = "a", .sync = "s", .machine = "host", .model = "m", .repeats = 3},
        {.policy = "b", .sync = "s", .machine = "host", .model = "m", .repeats = 3},
        {.policy = "c", .sync = "s", .machine = "host", .model = "m", .repeats = 3}};
    double predicted[] = {110, 240, 220.5}, measured[] = {100, 300, 210};
    for (int i = 0; i < 3; i++) {
        v[i].predicted_ttft_ms = predicted[i];
        v[i].ttft_ms = measured[i];
        v[i].predicted_tpot_ms = v[i].tpot_ms = NAN;
    }
    measured[1] = v[1].ttft_ms = 200; // 240 of 200: +20 %
    struct campaign_row r[1] = {row("a", "s", "", 1, 1)};
    struct report q = report_of(r, 1);
    q.validation = v;
    q.n_validations = 3;
    char *page = page_of(&q);
    json_t *j = data_of(page);
    CHECK_INT((int)num(j, "validation.ttft.n"), 3);
    CHECK_NEAR(num(j, "validation.ttft.mean_error_percent"), 35.0 / 3, 1e-5);
    CHECK_NEAR(num(j, "validation.ttft.worst_error_percent"), 20, 1e-5);
    // Pairs: (a, b) and (a, c) agree, (b, c) does not: (2 - 1) / 3.
    CHECK_NEAR(num(j, "validation.ttft.tau"), 1.0 / 3, 1e-6);
    CHECK_INT((int)num(j, "validation.tpot.n"), 0);
    CHECK(isnan(num(j, "validation.tpot.tau")));
    json_decref(j);
    free(page);
}

// --- figures

static int figure(const struct report *r, struct report_figure_options o, struct arena *a,
                  struct report_view *v, struct plot *p, struct err *e)
{
    report_view_make(r, v);
    return report_plot(v, &o, a, p, e);
}

static void test_figures(void)
{
    struct campaign_row r[ROWS];
    struct report_view v;
    struct arena a;
    struct plot p;
    struct err e = {0};
    made_up(r);
    struct report q = report_of(r, ROWS);
    struct report_figure_options o = {FIGURE_PARETO, METRIC_TTFT, METRIC_TPOT, false};
    arena_init(&a);
    CHECK_OK(figure(&q, o, &a, &v, &p, &e), &e);
    const struct plot_series *front = &p.series[p.n_series - 1];
    CHECK_STR(front->title, "Pareto front");
    CHECK_INT(front->n, 3); // (100, 90), level to (120, 90), down to (120, 80)
    CHECK_NEAR(front->x[1], 120, 0);
    CHECK_NEAR(front->y[1], 90, 0);
    CHECK_NEAR(front->y[2], 80, 0);
    CHECK_INT(p.n_series, 2); // hetero and the front: gpu_only is too far from it
    CHECK_INT(p.series[0].n, 3);
    report_view_fini(&v);
    o.all = true;
    CHECK_OK(figure(&q, o, &a, &v, &p, &e), &e);
    CHECK_INT(p.n_series, 3);
    report_view_fini(&v);
    o = (struct report_figure_options){.figure = FIGURE_CONVERGENCE};
    CHECK_OK(figure(&q, o, &a, &v, &p, &e), &e);
    CHECK_STR(p.series[0].title, "best TTFT");
    CHECK_NEAR(p.series[0].y[0], 25, 1e-12); // 400 of 100
    CHECK_NEAR(p.series[0].y[ROWS - 1], 100, 1e-12);
    CHECK_NEAR(p.series[1].y[1], 100 * 80.0 / 90, 1e-12);
    CHECK_NEAR(p.series[2].y[p.series[2].n - 1], 100, 1e-9);
    report_view_fini(&v);
    o.figure = FIGURE_EFFECTS;
    CHECK_OK(figure(&q, o, &a, &v, &p, &e), &e);
    CHECK(p.n_bars >= 3 && p.n_series == 2);
    report_view_fini(&v);
    o.figure = FIGURE_VALIDATION;
    CHECK_INT(figure(&q, o, &a, &v, &p, &e), ERR_USAGE);
    CHECK_HAS(e.msg, "no measurement");
    report_view_fini(&v);
    arena_fini(&a);
}

// Above a front of rates: what is reached between two points is what the one further right reaches.
static void test_front_of_rates(void)
{
    struct campaign_row r[2] = {row("a", "s", "", 1, 1), row("b", "s", "", 1, 1)};
    struct report_figure_options o = {FIGURE_PARETO, METRIC_PREFILL_RATE, METRIC_DECODE_RATE,
                                      false};
    struct report_view v;
    struct arena a;
    struct plot p;
    struct err e = {0};
    r[0].m.value[METRIC_PREFILL_RATE] = 100;
    r[0].m.value[METRIC_DECODE_RATE] = 20;
    r[1].m.value[METRIC_PREFILL_RATE] = 200;
    r[1].m.value[METRIC_DECODE_RATE] = 10;
    struct report q = report_of(r, 2);
    arena_init(&a);
    CHECK_OK(figure(&q, o, &a, &v, &p, &e), &e);
    const struct plot_series *front = &p.series[p.n_series - 1];
    CHECK_INT(front->n, 3);
    CHECK_NEAR(front->x[1], 100, 0);
    CHECK_NEAR(front->y[1], 10, 0);
    report_view_fini(&v);
    arena_fini(&a);
}

TESTS(explore_report, T(test_options_are_split), T(test_parameters), T(test_data), T(test_effects),
      T(test_effects_of_zeros), T(test_levels), T(test_nothing_escapes),
      T(test_equal_points_equal_pages), T(test_nothing_feasible), T(test_validation),
      T(test_figures), T(test_front_of_rates))
