// SPDX-License-Identifier: GPL-3.0-or-later
// Traces of requests: reading, cutting, choosing those that stand for the rest; and metrics of
// several requests or machines against sums done by hand.
#include "explore/requests.h"
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "tests/harness.h"

static int read_text(const char *text, const char *prompt, const char *gen, struct trace *t,
                     struct err *e)
{
    FILE *f = fmemopen((char *)(uintptr_t)text, strlen(text), "r");
    if (!f)
        abort();
    int rc = trace_read(f, "t.csv", prompt, gen, t, e);
    return rc;
}

static void test_good(void)
{
    static const struct {
        const char *text, *prompt, *gen;
    } good[] = {
        {"TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03,12,3\r\nx,40,5\r\n", NULL,
         NULL},
        {"arrival_ns,input_tokens,output_tokens\n1,12,3\n\n2,40,5", NULL, NULL},
        {"\xef\xbb\xbf"
         "Request tokens,Response tokens,Model\n12,3,\"a,b\"\n40,5,\n",
         NULL, NULL},
        {"prompt_tokens,completion-tokens\n12,3\n40,5\n", NULL, NULL},
        {"\"prompt\",\"gen\",\"a \"\"quoted\"\", name\"\n\"12\",3,\"x,y\"\n40,\"5\",\n", NULL,
         NULL},
        {"prompt,prompt_tokens,gen\nhello,12,3\nworld,40,5\n", "prompt_tokens", NULL},
        {"in,out\n12,3\n40,5\n", "in", "out"},
        {"OUTPUT_LEN,Input Len\n3.0,12.0\n5, 40 \n", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct trace t;
        struct err e = {0};
        test_note("trace %zu", i);
        if (!CHECK_OK(read_text(good[i].text, good[i].prompt, good[i].gen, &t, &e), &e) ||
            !CHECK_INT(t.n, 2))
            continue;
        CHECK_INT(t.request[0].n_prompt, 12);
        CHECK_INT(t.request[0].n_gen, 3);
        CHECK_INT(t.request[1].n_prompt, 40);
        CHECK_INT(t.request[1].n_gen, 5);
        trace_fini(&t);
    }
}

static void test_bad(void)
{
    static const struct {
        const char *text, *prompt, *says;
        int line;
    } bad[] = {
        {"\n", NULL, "empty file", 1},
        {"prompt,gen\n", NULL, "no request", 1},
        {"a,gen\n1,2\n", NULL,
         "which column has the prompt lengths? Say it with trace_prompt; "
         "there are: a, gen",
         1},
        {"prompt,b\n1,2\n", NULL, "output lengths? Say it with trace_gen", 1},
        {"prompt,input_tokens,gen\n1,2,3\n", NULL,
         "\"prompt\" and \"input_tokens\" could both be the prompt lengths; say which with "
         "trace_prompt",
         1},
        {"tokens_in,gen\n1,2\n", "token_in", "did you mean \"tokens_in\"?", 1},
        {"in,gen\n1,2\n", "context", "no column \"context\"; there are: in, gen", 1},
        {"in,gen\n1,2\n", "gen", "one column", 1},
        {"prompt,gen\n1,2\n3\n", NULL, "1 columns, the header has 2", 3},
        {"prompt,gen\n1,2\n3,4,5\n", NULL, "3 columns", 3},
        {"prompt,gen\n1,2\n\n30,x4\n", NULL, "found \"x4\"", 4},
        {"prompt,gen\n0,2\n", NULL, "from 1 to", 2},
        {"prompt,gen\n1,-2\n", NULL, "found \"-2\"", 2},
        {"prompt,gen\n1,2.5\n", NULL, "found \"2.5\"", 2},
        {"prompt,gen\n1,\n", NULL, "found \"\"", 2},
        {"prompt,gen\n1,99999999999999999999\n", NULL, "from 1 to", 2},
        {"prompt,gen\n1,2e400\n", NULL, "from 1 to", 2},
        {"prompt,gen\n1,\"2\n", NULL, "does not end", 2},
        {"prompt,gen\n1,\"2\"3\n", NULL, "behind a quoted field", 2},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct trace t;
        struct err e = {0};
        CHECK(read_text(bad[i].text, bad[i].prompt, NULL, &t, &e) < 0);
        test_note("trace %zu: %s", i, e.msg);
        CHECK_HAS(e.msg, bad[i].says);
        CHECK_INT(e.line, bad[i].line);
        CHECK_STR(e.file, "t.csv");
        CHECK(!t.request && !t.n);
    }
    struct trace t;
    struct err e = {0};
    FILE *f = fmemopen((char[]){"prompt,gen\n1,2\0 3\n"}, 18, "r");
    CHECK(trace_read(f, "t.csv", NULL, NULL, &t, &e) < 0);
    CHECK_HAS(e.msg, "zero byte");
}

static struct trace trace_of(const int (*r)[2], int n)
{
    struct trace t = {.n = n, .request = calloc((size_t)n, sizeof *t.request)};
    for (int i = 0; i < n; i++)
        t.request[i] = (struct trace_request){r[i][0], r[i][1]};
    return t;
}

static void test_clip(void)
{
    static const int r[][2] = {{90, 10}, {91, 10}, {500, 20}, {5, 300}, {1, 99}};
    struct trace t = trace_of(r, 5);
    CHECK_INT(trace_clip(&t, 100), 3);
    static const int cut[][2] = {{90, 10}, {90, 10}, {80, 20}, {1, 99}, {1, 99}};
    for (int i = 0; i < 5; i++) {
        CHECK_INT(t.request[i].n_prompt, cut[i][0]);
        CHECK_INT(t.request[i].n_gen, cut[i][1]);
    }
    trace_fini(&t);
}

static void check_request(const struct space_request *r, int prompt, int gen, double weight)
{
    CHECK_INT(r->n_prompt, prompt);
    CHECK_INT(r->n_gen, gen);
    CHECK_NEAR(r->weight, weight, 1e-12);
}

// Three heaps, of 3, 4 and 1 requests: the groups are the heaps, the medoids their middles.
static void test_choose_by_hand(void)
{
    static const int r[][2] = {{1000, 10}, {100, 50}, {110, 50},   {90, 50},
                               {1010, 12}, {990, 8},  {5000, 300}, {1001, 11}};
    struct space_request q[8];
    struct trace_summary s = {0};
    struct trace t = trace_of(r, 8);
    CHECK_INT(requests_choose(&t, 3, q, &s), 3);
    check_request(&q[0], 100, 50, 3.0 / 8);
    check_request(&q[1], 1000, 10, 4.0 / 8); // mean 1000.25, 10.25
    check_request(&q[2], 5000, 300, 1.0 / 8);
    CHECK_INT(s.n, 8);
    CHECK_NEAR(s.prompt, (300 + 4001 + 5000) / 8.0, 1e-9);
    CHECK_NEAR(s.gen, (150 + 41 + 300) / 8.0, 1e-9);
    CHECK_NEAR(s.chosen_prompt, (300 + 4000 + 5000) / 8.0, 1e-9);
    CHECK_NEAR(s.chosen_gen, (150 + 40 + 300) / 8.0, 1e-9);
    CHECK(s.unexplained > 0 && s.unexplained < 1e-3);
    // One representative: the request nearest to the mean of all.
    CHECK_INT(requests_choose(&t, 1, q, &s), 1);
    check_request(&q[0], 1010, 12, 1);
    CHECK_NEAR(s.unexplained, 1, 1e-12);
    trace_fini(&t);
}

static void test_choose_few(void)
{
    static const int r[][2] = {{10, 5}, {10, 5}, {20, 5}, {10, 6}};
    struct space_request q[8];
    struct trace_summary s = {0};
    struct trace t = trace_of(r, 4);
    CHECK_INT(requests_choose(&t, 8, q, &s), 3); // no more different ones
    check_request(&q[0], 10, 5, 0.5);
    check_request(&q[1], 10, 6, 0.25);
    check_request(&q[2], 20, 5, 0.25);
    CHECK_NEAR(s.unexplained, 0, 1e-12);
    trace_fini(&t);
}

// The order of the trace does not matter; more representatives never explain less; weights add up.
static void test_choose_properties(void)
{
    enum { N = 300 };
    struct rng *rng = rng_create(5, "requests");
    int r[N][2];
    double last = 2;
    for (int i = 0; i < N; i++) {
        r[i][0] = 1 + (int)rng_below(rng, 50) * (int)rng_below(rng, 50);
        r[i][1] = 1 + (int)rng_below(rng, 200);
    }
    for (int n = 1; n <= 64; n *= 2) {
        struct space_request a[64], b[64];
        struct trace_summary s = {0}, u = {0};
        struct trace t = trace_of((const int(*)[2])r, N), v = trace_of((const int(*)[2])r, N);
        for (int i = N - 1; i > 0; i--) {
            int j = (int)rng_below(rng, (uint64_t)i + 1);
            struct trace_request swap = v.request[i];
            v.request[i] = v.request[j];
            v.request[j] = swap;
        }
        double sum = 0;
        CHECK_INT(requests_choose(&t, n, a, &s), n);
        CHECK_INT(requests_choose(&v, n, b, &u), n);
        CHECK(!memcmp(a, b, (size_t)n * sizeof *a));
        CHECK(s.unexplained < last);
        last = s.unexplained;
        for (int i = 0; i < n; i++) {
            bool occurred = false;
            for (int j = 0; j < N; j++)
                occurred |= r[j][0] == a[i].n_prompt && r[j][1] == a[i].n_gen;
            CHECK(occurred);
            sum += a[i].weight;
        }
        CHECK_NEAR(sum, 1, 1e-12);
        trace_fini(&t);
        trace_fini(&v);
    }
    CHECK(last < 0.02);
    rng_destroy(rng);
}

static void test_published(void)
{
    static const struct {
        const char *file;
        int64_t n;
        double prompt, gen;
    } known[] = {
        // counted with awk
        {"data/traces/AzureLLMInferenceTrace_code.csv", 8819, 2047.85, 27.8825},
        {"data/traces/AzureLLMInferenceTrace_conv.csv", 19366, 1154.70, 211.126},
        {"data/traces/sharegpt300_lengths.csv", 300, 857.463, 652.51},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const char *path = test_shared(known[i].file);
        if (!path) {
            test_skip("no %s", known[i].file);
            return;
        }
        struct space_request q[16];
        struct trace_summary s = {0};
        struct trace t;
        struct err e = {0};
        FILE *f = fopen(path, "r");
        if (!CHECK(f) || !CHECK_OK(trace_read(f, path, NULL, NULL, &t, &e), &e))
            return;
        CHECK_INT(t.n, known[i].n);
        CHECK_INT(requests_choose(&t, 16, q, &s), 16);
        CHECK_NEAR(s.prompt, known[i].prompt, 0.005);
        CHECK_NEAR(s.gen, known[i].gen, 0.005);
        test_note("%s: %.1f + %.2f by 16 requests: %.1f + %.2f, unexplained %.3f", known[i].file,
                  s.prompt, s.gen, s.chosen_prompt, s.chosen_gen, s.unexplained);
        CHECK_NEAR(s.chosen_prompt / s.prompt, 1, 0.02);
        CHECK_NEAR(s.chosen_gen / s.gen, 1, 0.02);
        CHECK(s.unexplained < 0.1);
        trace_fini(&t);
    }
}

static struct metrics metrics_with(double ttft, double tpot, double total, double energy)
{
    struct metrics m;
    metrics_init(&m, METRICS_OK);
    m.value[METRIC_TTFT] = ttft;
    m.value[METRIC_TPOT] = tpot;
    m.value[METRIC_TOTAL] = total;
    m.value[METRIC_ENERGY] = energy;
    return m;
}

static void test_of_requests(void)
{
    // 100 + 11 tokens at 200 ms and 50 ms/token, 400 + 1 tokens at 900 ms; weights 3/4 and 1/4.
    const struct space_request r[] = {{100, 11, 0.75}, {400, 1, 0.25}};
    struct metrics m[] = {metrics_with(200, 50, 700, 4), metrics_with(900, NAN, 900, 8)}, out;
    m[0].value[METRIC_POWER_PREFILL] = 3;
    m[1].value[METRIC_POWER_PREFILL] = 5;
    m[0].value[METRIC_MEMORY] = 1e9;
    m[1].value[METRIC_MEMORY] = 2e9;
    m[0].value[METRIC_FRAMES_DROPPED] = 4;
    m[1].value[METRIC_FRAMES_DROPPED] = 0;
    m[0].value[METRIC_ACTIVATION_BITS] = 16;
    m[1].value[METRIC_ACTIVATION_BITS] = 8;
    m[0].value[METRIC_FPS_DECODE] = 50;
    m[1].value[METRIC_FPS_DECODE] = NAN;
    m[0].value[METRIC_PREPARE] = 10;
    m[1].value[METRIC_PREPARE] = 30;
    metrics_of_requests(m, r, 2, &out);
    const double *v = out.value;
    CHECK_NEAR(v[METRIC_TTFT], 0.75 * 200 + 0.25 * 900, 1e-9);
    CHECK_NEAR(v[METRIC_TPOT], 50, 1e-9); // only the first generates further tokens
    CHECK_NEAR(v[METRIC_TOTAL], 0.75 * 700 + 0.25 * 900, 1e-9);
    CHECK_NEAR(v[METRIC_ENERGY], 5, 1e-9);
    CHECK_NEAR(v[METRIC_PREFILL_RATE], (75 + 100) / 0.375, 1e-9); // tokens over seconds
    CHECK_NEAR(v[METRIC_DECODE_RATE], 20, 1e-9);
    CHECK_NEAR(v[METRIC_POWER_PREFILL], (150 * 3 + 225 * 5) / 375.0, 1e-9); // joules over seconds
    CHECK_NEAR(v[METRIC_MEMORY], 2e9, 0);
    CHECK_NEAR(v[METRIC_PREPARE], 30, 0);
    CHECK_NEAR(v[METRIC_FRAMES_DROPPED], 3, 1e-9);
    CHECK_NEAR(v[METRIC_ACTIVATION_BITS], 8, 0);
    CHECK_NEAR(v[METRIC_FPS_DECODE], 50, 1e-9);
    CHECK(isnan(v[METRIC_BYTES_MOVED]));
    // TPOT counts tokens: 10 at 50 ms and 40 at 20 ms, equally likely.
    const struct space_request s[] = {{1, 11, 0.5}, {1, 41, 0.5}};
    m[1] = metrics_with(900, 20, 1700, 8);
    metrics_of_requests(m, s, 2, &out);
    CHECK_NEAR(out.value[METRIC_TPOT], (10 * 50 + 40 * 20) / 50.0, 1e-9);
    // One request is left as it is, bit for bit.
    metrics_of_requests(m, s, 1, &out);
    CHECK(!memcmp(&out, m, sizeof out));
}

static void test_of_machines(void)
{
    struct metrics m[] = {metrics_with(100, 50, 1, NAN), metrics_with(400, 40, 1, 6)}, out;
    m[0].value[METRIC_DECODE_RATE] = 20;
    m[1].value[METRIC_DECODE_RATE] = 25;
    m[0].value[METRIC_MEMORY] = 1e9;
    m[1].value[METRIC_MEMORY] = 2e9;
    m[0].value[METRIC_FRAMES_DROPPED] = 0;
    m[1].value[METRIC_FRAMES_DROPPED] = 8;
    m[0].value[METRIC_ACTIVATION_BITS] = 16;
    m[1].value[METRIC_ACTIVATION_BITS] = 8;
    metrics_of_machines(m, 2, AGGREGATE_GEOMEAN, &out);
    const double *v = out.value;
    CHECK_INT(out.n_machines, 2);
    CHECK_NEAR(v[METRIC_TTFT], 200, 1e-9);
    CHECK_NEAR(v[METRIC_TPOT] * v[METRIC_DECODE_RATE], 1000, 1e-9); // rates and times agree
    CHECK_NEAR(v[METRIC_FRAMES_DROPPED], 4, 1e-9);                  // a geometric mean would be 0
    CHECK_NEAR(v[METRIC_MEMORY], 2e9, 0);
    CHECK_NEAR(v[METRIC_ACTIVATION_BITS], 8, 0);
    CHECK_NEAR(v[METRIC_ENERGY], 6, 1e-9); // of those that know it
    CHECK_NEAR(out.by_machine[0][METRIC_TTFT], 100, 0);
    CHECK_NEAR(out.by_machine[1][METRIC_TTFT], 400, 0);
    metrics_of_machines(m, 2, AGGREGATE_WORST, &out);
    CHECK_NEAR(v[METRIC_TTFT], 400, 0);
    CHECK_NEAR(v[METRIC_TPOT], 50, 0);
    CHECK_NEAR(v[METRIC_DECODE_RATE], 20, 0);
    CHECK_NEAR(v[METRIC_FRAMES_DROPPED], 8, 0);
    metrics_of_machines(m, 1, AGGREGATE_WORST, &out);
    CHECK(!memcmp(&out, m, sizeof out));
}

TESTS(explore_requests, T(test_good), T(test_bad), T(test_clip), T(test_choose_by_hand),
      T(test_choose_few), T(test_choose_properties), T(test_published), T(test_of_requests),
      T(test_of_machines))
