// SPDX-License-Identifier: GPL-3.0-or-later
// The report's page in a headless Chromium: it renders without an error and without a request,
// hovering and filtering do what they say, it is readable in light and dark at 400 and 1600 pixels,
// it can be used from the keyboard, and no label becomes markup. Skipped where there is no
// Chromium.
#include "explore/store.h"
#include "tests/cli/browser.h"

static struct browser browser;

static bool there(void)
{
    char path[1024];
    if (!browser_there(path, sizeof path)) {
        test_skip("no chromium");
        return false;
    }
    return browser.pid > 0 || browser_open(&browser);
}

static double number(const char *expression)
{
    return browser_number(&browser, expression);
}

static void text_has(const char *expression, const char *part)
{
    json_t *v = browser_eval(&browser, expression);
    CHECK_HAS(json_is_string(v) ? json_string_value(v) : "", part);
    json_decref(v);
}

static void no_errors(void)
{
    if (!CHECK_INT(browser.errors, 0))
        test_note("%s", browser.what);
    CHECK_INT(browser.requests, 0);
}

// A page of a campaign that was really explored.
static const char *explored(void)
{
    static bool made;
    if (!made) {
        struct ran r = works("explore tiny -q -o tiny.db", NULL);
        ran_free(&r);
        r = works("report tiny.db -o tiny.html", NULL);
        ran_free(&r);
        made = true;
    }
    return in_tmp("tiny.html");
}

#define EVIL "gpu_only:note=</script><img src=x onerror=window.hacked=1>"

// A page with everything that a real campaign seldom has at once: two machines, measurements, a
// missed constraint, a crash, and a label that wants to be markup.
static const char *made_up(void)
{
    struct store *s;
    struct err e = {0};
    struct store_campaign c = {.digest = 5,
                               .name = "<made-up>",
                               .text = "// a space",
                               .search = "random",
                               .machine = "host, soc:sd8gen3",
                               .model = "m",
                               .workload = "64+4",
                               .n_objectives = 2,
                               .objective = {METRIC_TTFT, METRIC_DECODE_RATE},
                               .code = "made-up",
                               .stopped = ""};
    static const char *const policies[] = {EVIL, "hetero:parts=4", "hetero:parts=8", "layer"};
    remove(in_tmp("made.db"));
    CHECK_OK(store_open(in_tmp("made.db"), STORE_WRITE, &s, &e), &e);
    CHECK_OK(store_campaign_begin(s, &c, &e), &e);
    for (int i = 0; i < 40; i++) {
        struct campaign_row r = {.key = 100u + (uint64_t)i,
                                 .policy = policies[i % 4],
                                 .sync = i % 3 ? "poll" : "event",
                                 .soc = "",
                                 .level = "",
                                 .label = "",
                                 .code = "made-up"};
        metrics_init(&r.m, i == 39 ? METRICS_CRASHED : METRICS_OK);
        if (i < 39) {
            r.m.value[METRIC_TTFT] = 100 + 10 * i;
            r.m.value[METRIC_DECODE_RATE] = 5 + i % 7;
            r.m.n_machines = 2;
            memset(r.m.by_machine, 0, sizeof r.m.by_machine);
            for (int k = 0; k < 2; k++) {
                r.m.by_machine[k][METRIC_TTFT] = 100 + (k ? 400 - 10 * i : 10 * i);
                r.m.by_machine[k][METRIC_DECODE_RATE] = 5 + i % 7;
            }
            r.m.violation = i == 2 ? 0.5 : 0;
        }
        CHECK_OK(store_put(s, &r, &e), &e);
        CHECK_OK(store_ask(s, c.id, i, &r, &e), &e);
    }
    for (int i = 0; i < 3; i++) {
        struct store_validation v = {.key = 100u + (uint64_t)i,
                                     .policy = policies[i],
                                     .sync = "poll",
                                     .machine = "host",
                                     .model = "m",
                                     .n_prompt = 64,
                                     .n_gen = 4,
                                     .repeats = 3,
                                     .predicted_ttft_ms = 100 + 10 * i,
                                     .ttft_ms = 104 + 11 * i,
                                     .predicted_tpot_ms = 20 + i,
                                     .tpot_ms = 22 - i};
        CHECK_OK(store_add_validation(s, c.id, &v, &e), &e);
    }
    CHECK_OK(store_close(s, &e), &e);
    struct ran r = works("report made.db -o made.html", NULL);
    ran_free(&r);
    return in_tmp("made.html");
}

static void test_it_renders(void)
{
    if (!there())
        return;
    browser_look(&browser, 1600, "light");
    if (!CHECK(browser_goto(&browser, explored())))
        return;
    CHECK_INT((int)number("charts.length"), 3); // fronts, parallel coordinates, timeline
    // Each has drawn something: marks, lines, slices.
    CHECK(number("charts.every((c) => c.e.getZr().storage.getDisplayList(true).length > 20)") == 1);
    CHECK(
        number(
            "charts.every((c) => { const k = c.dom.querySelector('canvas'), d = k.getContext('2d')"
            ".getImageData(0, 0, k.width, k.height).data; let n = 0; for (let i = 3; i < d.length;"
            " i += 4) n += d[i] > 0; return n > 1000; })") == 1);
    CHECK_INT((int)number("document.querySelectorAll('main > section').length"), 8); // one machine
    CHECK_INT((int)number("document.querySelectorAll('#cards .card').length"), 3);
    CHECK(number("document.querySelectorAll('#plans-body .shard').length") > 20);
    CHECK_INT((int)number("document.querySelectorAll('#points-body tr').length"), 15);
    text_has("document.title", "tiny: qwen2-1.5b on soc:sd8gen3");
    no_errors();
}

static void test_hovering(void)
{
    if (!there() || !CHECK(browser_goto(&browser, explored())))
        return;
    browser_do(
        &browser, "Runtime.evaluate",
        json_pack("{s:s}", "expression",
                  "document.getElementById('fronts-chart').scrollIntoView({block: 'center'})"));
    static const char place[] =
        "(() => { const r = view.chart.dom.getBoundingClientRect(), x = metrics.get(view.x), y = "
        "metrics.get(view.y), i = D.objectives[0].best, q = view.chart.e.convertToPixel('grid', "
        "[x.value[i] / x.scale.by, y.value[i] / y.scale.by]); return [r.left + q[0], r.top + "
        "q[1]]; "
        "})()";
    json_t *at = browser_eval(&browser, place);
    double x = json_number_value(json_array_get(at, 0)),
           y = json_number_value(json_array_get(at, 1));
    json_decref(at);
    CHECK(number("document.querySelector('#fronts-chart .tip') === null") == 1);
    browser_mouse(&browser, "mouseMoved", x + 3, y + 3, false);
    browser_mouse(&browser, "mouseMoved", x, y, false);
    for (int i = 0; i < 100 && !number("Boolean(document.querySelector('#fronts-chart .tip'))");
         i++)
        usleep(20000);
    text_has("document.querySelector('#fronts-chart .tip').textContent", "TTFT");
    CHECK(number(
              "(() => { const t = document.querySelector('#fronts-chart .tip').textContent; return "
              "policies.choices.some((c) => t.startsWith(c)); })()") == 1);
    // A click keeps the point, with the command that runs it again.
    browser_mouse(&browser, "mousePressed", x, y, true);
    browser_mouse(&browser, "mouseReleased", x, y, true);
    text_has("document.getElementById('detail').textContent", "partita sim --soc sd8gen3");
    no_errors();
}

// How many points the scatter chart shows.
#define DRAWN                                                                                      \
    "view.chart.e.getOption().series.filter((s) => s.type === 'scatter' && s.name !== "            \
    "'ring').reduce((n, s) => n + s.data.length, 0)"
#define ROWS_SHOWN                                                                                 \
    "Number(document.getElementById('points-count').textContent.match(/^[\\d,]+/)[0])"

static void click(const char *selector)
{
    char text[300];
    snprintf(text, sizeof text, "document.querySelector(\"%s\").click()", selector);
    json_decref(browser_eval(&browser, text));
}

static void test_filtering(void)
{
    if (!there())
        return;
    browser_look(&browser, 1600, "light");
    if (!CHECK(browser_goto(&browser, made_up())))
        return;
    // 40 points, of these one crashed and one misses a constraint.
    CHECK_INT((int)number(DRAWN), 38);
    CHECK_INT((int)number(ROWS_SHOWN), 38);
    click("#only-feasible");
    CHECK_INT((int)number(DRAWN), 39); // the one that crashed has no values
    CHECK_INT((int)number(ROWS_SHOWN), 40);
    click("#only-feasible");
    click("#filters .chip[aria-pressed=true]"); // the first policy: gpu_only, rows 0, 4, .. 36
    CHECK_INT((int)number(DRAWN), 28);
    CHECK_INT((int)number(ROWS_SHOWN), 28);
    CHECK_INT((int)number("lines.rows.length"), 28);
    click("#only-front");
    CHECK(number(DRAWN " === filter.rows((i) => P.front[i] && policies.value[i] !== 0).length") ==
          1);
    click("#only-front");
    // Words in the table.
    json_decref(browser_eval(
        &browser, "(() => { const s = document.getElementById('points-search'); s.value = "
                  "'parts=8 EVENT'; s.dispatchEvent(new Event('input')); })()"));
    CHECK(number(ROWS_SHOWN
                 " === filter.rows((i) => feasible(i) && policyOf(i) === 'hetero:parts=8' && "
                 "syncOf(i) === 'event').length") == 1);
    CHECK(number(ROWS_SHOWN) > 0);
    no_errors();
}

static void drag(double x0, double y0, double x1, double y1)
{
    browser_mouse(&browser, "mouseMoved", x0, y0, false);
    browser_mouse(&browser, "mousePressed", x0, y0, true);
    for (int i = 1; i <= 4; i++)
        browser_mouse(&browser, "mouseMoved", x0 + (x1 - x0) * i / 4, y0 + (y1 - y0) * i / 4, true);
    browser_mouse(&browser, "mouseReleased", x1, y1, true);
}

static void test_brushing(void)
{
    if (!there())
        return;
    browser_look(&browser, 1600, "light");
    if (!CHECK(browser_goto(&browser, made_up())))
        return;
    json_decref(browser_eval(
        &browser, "document.getElementById('fronts-chart').scrollIntoView({block: 'center'}); "
                  "[...document.querySelectorAll('#fronts-tools button')].find((b) => "
                  "b.textContent === 'Select an area').click()"));
    double left = number("view.chart.dom.getBoundingClientRect().left"),
           top = number("view.chart.dom.getBoundingClientRect().top");
    drag(left + 120, top + 60, left + 600, top + 400);
    for (int i = 0; i < 100 && !number("Boolean(filter.brush)"); i++)
        usleep(20000);
    CHECK(number("filter.brush !== null") == 1);
    CHECK(number(ROWS_SHOWN " === filter.rows((i) => feasible(i) && filter.inBrush(i)).length") ==
          1);
    CHECK(number(ROWS_SHOWN) > 0 && number(ROWS_SHOWN) < 38);
    text_has("document.getElementById('fronts-count').textContent", "in the selected area");
    click("#brush-clear");
    CHECK_INT((int)number(ROWS_SHOWN), 38);
    // The axes of the parallel coordinates select too.
    static const char action[] = "lines.chart.e.dispatchAction({type: 'axisAreaSelect', "
                                 "parallelAxisId: lines.chart.e.getModel()"
                                 ".getComponent('parallelAxis', 0).id, intervals: [[0, 0]]})";
    json_decref(browser_eval(&browser, action));
    for (int i = 0; i < 100 && !number("Boolean(filter.lines)"); i++)
        usleep(20000);
    CHECK(number("filter.lines && filter.lines.size > 0 && [...filter.lines].every((i) => "
                 "policies.value[i] "
                 "=== 0)") == 1);
    CHECK(number(ROWS_SHOWN " === filter.lines.size") == 1);
    no_errors();
}

// Text against what lies behind it, as WCAG 2 reckons contrast: the least of all visible texts.
// Elements whose background is a picture are left out: their texts have a background of their own.
static const char CONTRAST[] =
    "(() => {"
    " const c = document.createElement('canvas').getContext('2d', {willReadFrequently: true});"
    " const known = new Map();"
    " const rgb = (s) => { if (!known.has(s)) { c.clearRect(0, 0, 1, 1); c.fillStyle = s;"
    "   c.fillRect(0, 0, 1, 1); known.set(s, [...c.getImageData(0, 0, 1, 1).data]); }"
    "   return known.get(s); };"
    " const linear = (v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;"
    " const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);"
    " const behind = (e) => { for (; e; e = e.parentElement) {"
    "   const b = rgb(getComputedStyle(e).backgroundColor); if (b[3] > 250) return b; }"
    "   return [255, 255, 255]; };"
    " let least = 99;"
    " for (const e of document.querySelectorAll('body *')) {"
    "   if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.offsetParent ||"
    "       e.closest('.skip, button:disabled')) continue;"
    "   const a = light(rgb(getComputedStyle(e).color)), b = light(behind(e));"
    "   const k = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);"
    "   if (k < least) { least = k;"
    "     window.who = `${e.tagName} ${e.className} ${e.textContent.slice(0, 30)}`; }"
    " }"
    " return least; })()";

static void test_readable_everywhere(void)
{
    static const int widths[] = {400, 1600};
    static const char *const schemes[] = {"light", "dark"};
    if (!there())
        return;
    const char *made = made_up();
    char page[2][256];
    snprintf(page[0], sizeof page[0], "%s", explored());
    snprintf(page[1], sizeof page[1], "%s", made);
    for (int k = 0; k < 8; k++) {
        browser_look(&browser, widths[k >> 1 & 1], schemes[k & 1]);
        // The theme changes under an open page, the width under a new one.
        if (!(k & 1) && !CHECK(browser_goto(&browser, page[k >> 2])))
            return;
        bool ok = CHECK(number("document.documentElement.scrollWidth <= innerWidth") == 1);
        // Only boxes that scroll on their own are wider than the page.
        ok &= CHECK(
            number("[...document.querySelectorAll('main *')].every((e) => e.closest('.scroll, pre, "
                   ".chart, .shard') || e.getBoundingClientRect().right <= innerWidth + 1)") == 1);
        double contrast = number(CONTRAST);
        if (!CHECK(contrast >= 4.5)) {
            json_t *who = browser_eval(&browser, "window.who");
            test_note("contrast %.2f: %s", contrast, json_string_value(who));
            json_decref(who);
            ok = false;
        }
        // The theme is really another one, and charts follow it.
        ok &= CHECK(
            number("getComputedStyle(document.body).backgroundColor === (matchMedia('(prefers-color"
                   "-scheme: dark)').matches ? 'rgb(19, 23, 27)' : 'rgb(247, 248, 248)')") == 1);
        ok &= CHECK(
            number(
                "charts.length > 0 && charts.every((c) => c.e.getWidth() === c.dom.clientWidth)") ==
            1);
        if (!ok)
            test_note("page %d, %d pixels, %s", k >> 2, widths[k >> 1 & 1], schemes[k & 1]);
    }
    // The charts are drawn again in the other theme.
    static const char ink[] = "view.chart.e.getOption().xAxis[0].nameTextStyle.color";
    json_t *dark = browser_eval(&browser, ink);
    browser_look(&browser, 1600, "light");
    json_t *light = browser_eval(&browser, ink);
    for (int i = 0; i < 100 && json_equal(dark, light); i++) {
        usleep(20000);
        json_decref(light);
        light = browser_eval(&browser, ink);
    }
    CHECK(dark && light && !json_equal(dark, light));
    json_decref(dark);
    json_decref(light);
    no_errors();
}

static void test_keyboard(void)
{
    if (!there())
        return;
    browser_look(&browser, 1600, "light");
    if (!CHECK(browser_goto(&browser, explored())))
        return;
    browser_key(&browser, "Tab", 9);
    text_has("document.activeElement.textContent", "Skip to the content");
    json_decref(browser_eval(&browser, "document.querySelector('#filters .chip').focus()"));
    CHECK(number("getComputedStyle(document.activeElement).outlineStyle === 'solid'") == 1);
    double before = number(ROWS_SHOWN);
    browser_key(&browser, "Enter", 13);
    text_has("document.activeElement.getAttribute('aria-pressed')", "false");
    CHECK(number(ROWS_SHOWN) < before);
    // Everything that can be clicked can be reached: no click handlers on things without focus.
    CHECK(number("[...document.querySelectorAll('button, select, input, summary, a')].every((e) => "
                 "e.tabIndex >= 0)") == 1);
    // Sorting by the table's heads says so.
    json_decref(
        browser_eval(&browser, "document.querySelectorAll('#points-table th button')[1].click()"));
    CHECK(number("document.querySelectorAll('#points-table th')[1].getAttribute('aria-sort') === "
                 "'ascending'") == 1);
    no_errors();
}

static void test_labels_are_texts(void)
{
    if (!there())
        return;
    browser_look(&browser, 1600, "light");
    if (!CHECK(browser_goto(&browser, made_up())))
        return;
    CHECK(number("window.hacked === undefined") == 1);
    CHECK_INT((int)number("document.querySelectorAll('img').length"), 0);
    json_t *at = browser_eval(&browser, "policyOf(0)");
    CHECK_STR(json_string_value(at), EVIL);
    json_decref(at);
    text_has("tip(0)", "&lt;/script&gt;&lt;img");
    text_has("document.getElementById('points-body').textContent", EVIL);
    text_has("document.querySelector('h1').textContent", "<made-up>");
    // What the rest of this page shows.
    CHECK_INT((int)number("document.querySelectorAll('main > section').length"), 9);
    text_has("document.getElementById('validation-body').textContent", "Kendall's tau");
    text_has("document.getElementById('plans').textContent", "measured on hardware");
    text_has("document.getElementById('counts').textContent", "was killed");
    CHECK(number("document.querySelectorAll('#machines-table tbody tr').length > 2") == 1);
    // Row i is (100 + 10 i) / 100 and (500 - 10 i) / 120 times the best: the larger of both is
    // least for row 17, 2.75.
    CHECK_INT((int)number("machineRows().rows[0]"), 17);
    CHECK_NEAR(number("machineRows().worst(17)"), 2.75, 1e-9);
    no_errors();
    browser_close(&browser);
}

TESTS(cli_report_page, T(test_it_renders), T(test_hovering), T(test_filtering), T(test_brushing),
      T(test_readable_everywhere), T(test_keyboard), T(test_labels_are_texts))
