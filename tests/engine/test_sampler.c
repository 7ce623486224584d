// SPDX-License-Identifier: GPL-3.0-or-later
// The sampler against hand-solved cuts (both sides of each edge) and against the distribution it
// claims, by a chi-square test with fixed seeds.
#include "tests/harness.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>
#include "engine/sampler.h"

static const struct sampler_options plain = {.temperature = 1, .top_p = 1, .seed = 1};

static struct sampler *create(struct sampler_options o, int n)
{
    struct err e;
    struct sampler *s = NULL;
    CHECK_OK(sampler_create(&o, n, &s, &e), &e);
    return s;
}

// Which tokens occur in 4000 picks, as a string of digits.
static const char *support(struct sampler_options o, const float *logits, int n)
{
    static char out[16];
    bool seen[10] = {false};
    struct sampler *s = create(o, n);
    for (int i = 0; i < 4000; i++) {
        int32_t id = sampler_pick(s, logits);
        if (!CHECK(id >= 0 && id < n))
            break;
        seen[id] = true;
    }
    sampler_destroy(s);
    int to = 0;
    for (int i = 0; i < n; i++) {
        if (seen[i])
            out[to++] = (char)('0' + i);
    }
    out[to] = '\0';
    return out;
}

static void test_greedy(void)
{
    struct sampler_options o = plain;
    o.temperature = 0;
    struct sampler *s = create(o, 4);
    CHECK_INT(sampler_pick(s, (float[]){1, 3, 2, 3}), 1); // the lowest id wins a tie
    CHECK_INT(sampler_pick(s, (float[]){-5, -7, -6, -5.1f}), 0);
    CHECK_INT(sampler_pick(s, (float[]){NAN, 1, NAN, 2}), 3);
    CHECK_INT(sampler_pick(s, (float[]){NAN, -INFINITY, -FLT_MAX, NAN}), 2);
    CHECK_INT(sampler_pick(s, (float[]){NAN, NAN, NAN, NAN}), 0);
    CHECK_INT(sampler_pick(s, (float[]){-INFINITY, -INFINITY, -INFINITY, NAN}), 0);
    CHECK_INT(sampler_pick(s, (float[]){1, INFINITY, NAN, INFINITY}), 1);
    sampler_destroy(s);
}

static void test_top_k_one_is_greedy(void)
{
    struct sampler_options o = plain, g = plain;
    o.top_k = 1;
    g.temperature = 0;
    enum { N = 300 };
    float logits[N];
    struct sampler *s = create(o, N), *greedy = create(g, N);
    unsigned x = 1;
    for (int i = 0; i < 500; i++) {
        for (int j = 0; j < N; j++) {
            x = x * 1664525u + 1013904223u;
            logits[j] = (float)(x >> 26); // 64 values: ties
        }
        CHECK_INT(sampler_pick(s, logits), sampler_pick(greedy, logits));
    }
    sampler_destroy(s);
    sampler_destroy(greedy);
}

static void test_cuts(void)
{
    // Probabilities 0.5, 0.25, 0.125, 0.125 at temperature 1, out of order.
    const float l[4] = {logf(0.125f), logf(0.5f), logf(0.125f), logf(0.25f)};
    struct sampler_options o = plain;
    CHECK_STR(support(o, l, 4), "0123");
    o.top_k = 2;
    CHECK_STR(support(o, l, 4), "13");
    o.top_k = 3; // of equals, the lowest id
    CHECK_STR(support(o, l, 4), "013");
    o.top_k = 4;
    CHECK_STR(support(o, l, 4), "0123");
    o.top_k = 1000;
    CHECK_STR(support(o, l, 4), "0123");

    o = plain;
    o.top_p = 0.49;
    CHECK_STR(support(o, l, 4), "1");
    o.top_p = 0.51;
    CHECK_STR(support(o, l, 4), "13");
    o.top_p = 0.74;
    CHECK_STR(support(o, l, 4), "13");
    o.top_p = 0.76;
    CHECK_STR(support(o, l, 4), "013");
    o.top_p = 0.88;
    CHECK_STR(support(o, l, 4), "0123");
    o.top_p = 1e-9; // at least one
    CHECK_STR(support(o, l, 4), "1");

    o = plain; // top-p is a share of what top-k left: 2/3 and 1/3
    o.top_k = 2;
    o.top_p = 0.66;
    CHECK_STR(support(o, l, 4), "1");
    o.top_p = 0.67;
    CHECK_STR(support(o, l, 4), "13");

    o = plain; // min-p is a share of the most likely
    o.min_p = 0.24;
    CHECK_STR(support(o, l, 4), "0123");
    o.min_p = 0.26;
    CHECK_STR(support(o, l, 4), "13");
    o.min_p = 0.51;
    CHECK_STR(support(o, l, 4), "1");
    o.min_p = 1;
    CHECK_STR(support(o, l, 4), "1");
    o.min_p = 0.24; // together
    o.top_k = 3;
    o.top_p = 0.8;
    CHECK_STR(support(o, l, 4), "13");

    o = plain; // the temperature scales before the cuts: at 2, min-p sees square roots
    o.temperature = 2;
    o.min_p = 0.26;
    CHECK_STR(support(o, l, 4), "0123");
    o.temperature = 1e-3; // nearly greedy
    o.min_p = 0;
    CHECK_STR(support(o, l, 4), "1");
}

static void test_strange_logits(void)
{
    struct sampler_options o = plain;
    CHECK_STR(support(o, (float[]){NAN, 1, 1, -INFINITY}, 4), "12");
    CHECK_STR(support(o, (float[]){INFINITY, 1, INFINITY, NAN}, 4), "02");
    CHECK_STR(support(o, (float[]){NAN, NAN, -INFINITY}, 3), "0");
    CHECK_STR(support(o, (float[]){7}, 1), "0");
    CHECK_STR(support(o, (float[]){-FLT_MAX, FLT_MAX}, 2), "1");
    o.top_k = 3;
    o.top_p = 0.9;
    CHECK_STR(support(o, (float[]){NAN, 1, INFINITY, 2, INFINITY}, 5), "24");
    CHECK_STR(support(o, (float[]){NAN, NAN, 0, NAN}, 4), "2");
    o.temperature = 1e300; // flat
    o.top_p = 1;
    CHECK_STR(support(o, (float[]){3, 2, 1, 0}, 4), "012");
    // A row without any candidate takes its number from the stream like any other.
    struct sampler *a = create(plain, 3), *b = create(plain, 3);
    const float dead[] = {NAN, NAN, NAN}, alive[] = {0, 0, 0};
    for (int i = 0; i < 100; i++) {
        int32_t x = sampler_pick(a, i == 3 ? dead : alive), y = sampler_pick(b, alive);
        CHECK_INT(x, i == 3 ? 0 : y);
    }
    sampler_destroy(a);
    sampler_destroy(b);
}

// Pearson's statistic of the picks against p; 0 for tokens that must not occur.
static double chi_square(struct sampler_options o, const float *logits, const double *p, int n,
                         int picks)
{
    int *count = calloc((size_t)n, sizeof *count);
    struct sampler *s = create(o, n);
    for (int i = 0; i < picks; i++)
        count[sampler_pick(s, logits)]++;
    double x = 0;
    for (int i = 0; i < n; i++) {
        if (p[i] == 0)
            CHECK_INT(count[i], 0);
        else
            x += (count[i] - picks * p[i]) * (count[i] - picks * p[i]) / (picks * p[i]);
    }
    sampler_destroy(s);
    free(count);
    return x;
}

static void test_distribution(void)
{
    enum { N = 16, PICKS = 200000 };
    float logits[N];
    double p[N];
    // Chi-square, 99.9 % quantiles (tables): 37.70 at 15 degrees of freedom, 18.47 at 4.
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sampler_options o = {.temperature = 0.8, .top_p = 1, .seed = seed};
        double sum = 0;
        for (int i = 0; i < N; i++) {
            logits[i] = (float)((i * 7) % N) / 5.0f;
            sum += p[i] = exp(logits[i] / 0.8);
        }
        for (int i = 0; i < N; i++)
            p[i] /= sum;
        double x = chi_square(o, logits, p, N, PICKS);
        test_note("seed %d: chi-square %.1f of at most 37.7", (int)seed, x);
        CHECK(x < 37.70 && x > 2); // below 2 at 15 degrees would be too good to be random
        o.top_k = 5;
        sum = 0;
        for (int i = 0; i < N; i++) {
            p[i] = (i * 7) % N >= N - 5 ? exp(logits[i] / 0.8) : 0;
            sum += p[i];
        }
        for (int i = 0; i < N; i++)
            p[i] /= sum;
        CHECK(chi_square(o, logits, p, N, PICKS) < 18.47);
        for (int i = 0; i < N; i++) // a wrong distribution is noticed
            p[i] = 1.0 / N;
        o.top_k = 0;
        CHECK(chi_square(o, logits, p, N, PICKS) > 1000);
    }
}

static void test_seeds(void)
{
    enum { N = 50 };
    float logits[N] = {0};
    struct sampler_options o = plain;
    struct sampler *a = create(o, N), *b = create(o, N);
    o.seed = 2;
    struct sampler *c = create(o, N);
    int equal = 0;
    for (int i = 0; i < 1000; i++) {
        int32_t x = sampler_pick(a, logits);
        CHECK_INT(sampler_pick(b, logits), x);
        equal += sampler_pick(c, logits) == x;
    }
    CHECK(equal < 60); // 20 by chance
    sampler_destroy(a);
    sampler_destroy(b);
    sampler_destroy(c);
    sampler_destroy(NULL);
}

static void test_refused_options(void)
{
    static const struct {
        struct sampler_options o;
        int n;
        const char *key, *message;
    } k[] = {
        {{-0.1, 0, 1, 0, 0}, 9, "temperature", "got -0.1"},
        {{NAN, 0, 1, 0, 0}, 9, "temperature", "nan"},
        {{INFINITY, 0, 1, 0, 0}, 9, "temperature", "inf"},
        {{1, -1, 1, 0, 0}, 9, "top_k", "got -1"},
        {{1, 0, 0, 0, 0}, 9, "top_p", "(0, 1]"},
        {{1, 0, 1.0001, 0, 0}, 9, "top_p", "(0, 1]"},
        {{1, 0, NAN, 0, 0}, 9, "top_p", "(0, 1]"},
        {{1, 0, 1, -0.001, 0}, 9, "min_p", "[0, 1]"},
        {{1, 0, 1, 1.001, 0}, 9, "min_p", "[0, 1]"},
        {{1, 0, 1, NAN, 0}, 9, "min_p", "[0, 1]"},
        {{1, 0, 1, 0, 0}, 0, "n_vocab", "at least one"},
    };
    for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
        struct err e = {0};
        struct sampler *s = NULL;
        CHECK_INT(sampler_create(&k[i].o, k[i].n, &s, &e), ERR_USAGE);
        CHECK(s == NULL);
        CHECK_STR(e.key, k[i].key);
        CHECK_HAS(e.msg, k[i].message);
    }
    // The other side of each edge.
    sampler_destroy(create((struct sampler_options){.temperature = 0, .top_p = 1}, 1));
    sampler_destroy(create((struct sampler_options){.temperature = 9, .top_p = 1e-300}, 1));
    sampler_destroy(create((struct sampler_options){.temperature = 1, .top_p = 1, .min_p = 1}, 1));
}

TESTS(engine_sampler, T(test_greedy), T(test_top_k_one_is_greedy), T(test_cuts),
      T(test_strange_logits), T(test_distribution), T(test_seeds), T(test_refused_options))
