// SPDX-License-Identifier: GPL-3.0-or-later
// The calibration core against problems whose answers are known: reference problems with certified
// parameters and standard errors (NIST Statistical Reference Datasets, nonlinear regression), and
// models whose truth was put in.
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "explore/fit.h"

// --- a model as a function of parameters and one coordinate

enum { MAX_ROWS = 64 };

struct curve {
    double (*at)(const double *b, double t);
    double t[MAX_ROWS];
    struct fit_row row[MAX_ROWS];
    int m;
    int calls, fail_at;          // the call that finds no model; 0: none
    volatile sig_atomic_t *stop; // set at call stop_at
    int stop_at;
    bool (*possible)(const double *b); // NULL: everywhere
    double seen_min[8], seen_max[8];   // of the parameters that were asked for
    int n;
};

static int predict(void *user, const double *x, const bool *want, double *y, struct err *e)
{
    struct curve *c = user;
    c->calls++;
    if (c->stop && c->calls == c->stop_at)
        *c->stop = 1;
    for (int i = 0; i < c->n && i < 8; i++) {
        c->seen_min[i] = c->calls == 1 ? x[i] : fmin(c->seen_min[i], x[i]);
        c->seen_max[i] = c->calls == 1 ? x[i] : fmax(c->seen_max[i], x[i]);
    }
    if ((c->fail_at && c->calls == c->fail_at) || (c->possible && !c->possible(x)))
        return err_set(e, ERR_CONFIG, "no model here");
    for (int j = 0; j < c->m; j++)
        if (want[j])
            y[j] = c->at(x, c->t[j]);
    return 0;
}

static bool solve(struct curve *c, const struct fit_parameter *p, int n, struct fit_problem q,
                  struct fit_result *r)
{
    struct err e = {0};
    c->n = n;
    q.n = n;
    q.m = c->m;
    q.parameter = p;
    q.row = c->row;
    q.predict = predict;
    q.user = c;
    for (int j = 0; j < c->m; j++) {
        c->row[j].name = "row";
        if (c->row[j].tolerance == 0)
            c->row[j].tolerance = 1;
    }
    return CHECK_OK(fit_run(&q, r, &e), &e);
}

// --- NIST reference problems

static double misra1a(const double *b, double x)
{
    return b[0] * (1 - exp(-b[1] * x));
}

static const double misra1a_data[][2] = {
    {77.6, 10.07},  {114.9, 14.73}, {141.1, 17.94}, {190.8, 23.93}, {239.9, 29.61},
    {289.0, 35.18}, {332.8, 40.02}, {378.4, 44.82}, {434.8, 50.76}, {477.3, 55.05},
    {536.8, 61.01}, {593.1, 66.40}, {689.1, 75.47}, {760.0, 81.78},
};

static double thurber(const double *b, double x)
{
    return (b[0] + x * (b[1] + x * (b[2] + x * b[3]))) / (1 + x * (b[4] + x * (b[5] + x * b[6])));
}

static const double thurber_data[][2] = {
    {-3.067, 80.574},   {-2.981, 84.248},   {-2.921, 87.264},   {-2.912, 87.195},
    {-2.840, 89.076},   {-2.797, 89.608},   {-2.702, 89.868},   {-2.699, 90.101},
    {-2.633, 92.405},   {-2.481, 95.854},   {-2.363, 100.696},  {-2.322, 101.060},
    {-1.501, 401.672},  {-1.460, 390.724},  {-1.274, 567.534},  {-1.212, 635.316},
    {-1.100, 733.054},  {-1.046, 759.087},  {-0.915, 894.206},  {-0.714, 990.785},
    {-0.566, 1090.109}, {-0.545, 1080.914}, {-0.400, 1122.643}, {-0.309, 1178.351},
    {-0.109, 1260.531}, {-0.103, 1273.514}, {0.010, 1288.339},  {0.119, 1327.543},
    {0.377, 1353.863},  {0.790, 1414.509},  {0.963, 1425.208},  {1.006, 1421.384},
    {1.115, 1442.962},  {1.572, 1464.350},  {1.841, 1468.705},  {2.047, 1447.894},
    {2.200, 1457.628},
};

struct certified {
    double start, value, error;
};

// Certified values to `digits`, standard errors and the residual standard deviation to 1e-4.
static void reference(double (*at)(const double *, double), const double (*data)[2], int m,
                      const struct certified *want, int n, double deviation, double digits)
{
    struct curve c = {.at = at, .m = m};
    struct fit_parameter p[8] = {{0}};
    struct fit_result r;
    for (int j = 0; j < m; j++) {
        c.t[j] = data[j][0];
        c.row[j].observed = data[j][1];
    }
    for (int i = 0; i < n; i++)
        p[i] = (struct fit_parameter){"b", want[i].start, -INFINITY, INFINITY, false};
    struct fit_problem q = {
        .residual = FIT_ABSOLUTE, .step = 1e-5, .precision = 1e-9, .iterations = 500};
    if (!solve(&c, p, n, q, &r))
        return;
    CHECK(r.converged);
    CHECK_INT(r.freedom, m - n);
    CHECK_NEAR(r.scatter / deviation, 1, 1e-5);
    for (int i = 0; i < n; i++) {
        CHECK_NEAR(r.estimate[i].value / want[i].value, 1, digits);
        CHECK_NEAR(r.estimate[i].error * fabs(want[i].value) / want[i].error, 1, 1e-3);
    }
    test_note("%d iterations, %lld predictions", r.iterations, (long long)r.predictions);
    fit_fini(&r);
}

static void test_misra1a(void)
{
    static const struct certified far[] = {
        {500, 2.3894212918E+02, 2.7070075241E+00},
        {0.0001, 5.5015643181E-04, 7.2668688436E-06},
    };
    static const struct certified near[] = {
        {250, 2.3894212918E+02, 2.7070075241E+00},
        {0.0005, 5.5015643181E-04, 7.2668688436E-06},
    };
    reference(misra1a, misra1a_data, 14, far, 2, 1.0187876330E-01, 1e-7);
    reference(misra1a, misra1a_data, 14, near, 2, 1.0187876330E-01, 1e-7);
}

static void test_thurber(void)
{
    static const struct certified far[] = {
        {1000, 1.2881396800E+03, 4.6647963344E+00}, {1000, 1.4910792535E+03, 3.9571156086E+01},
        {400, 5.8323836877E+02, 2.8698696102E+01},  {40, 7.5416644291E+01, 5.5675370270E+00},
        {0.7, 9.6629502864E-01, 3.1333340687E-02},  {0.3, 3.9797285797E-01, 1.4984928198E-02},
        {0.03, 4.9727297349E-02, 6.5842344623E-03},
    };
    reference(thurber, thurber_data, 37, far, 7, 1.3714600784E+01, 1e-5);
}

// --- truths that were put in

// A latency: a constant, and work over a rate; the third parameter does nothing.
static double latency(const double *b, double t)
{
    return b[0] + t / b[1];
}

static struct curve latencies(const double *truth, int m, struct rng *noise, double deviation)
{
    struct curve c = {.at = latency, .m = m};
    for (int j = 0; j < m; j++) {
        c.t[j] = 10 * pow(1.6, j);
        c.row[j].observed = latency(truth, c.t[j]);
        c.row[j].tolerance = 0.05;
        if (noise)
            c.row[j].observed *= exp(deviation * rng_normal(noise));
    }
    return c;
}

static const double truth[] = {130, 2.5, 7};
static const struct fit_parameter three[] = {
    {"wake", 30, 0, 1e6, false}, {"rate", 9, 1e-3, 1e6, false}, {"other", 3, 0, 10, false}};

static void test_recovers(void)
{
    struct curve c = latencies(truth, 12, NULL, 0);
    struct fit_result r;
    if (!solve(&c, three, 3, (struct fit_problem){0}, &r))
        return;
    CHECK_NEAR(r.estimate[0].value / truth[0], 1, 1e-6);
    CHECK_NEAR(r.estimate[1].value / truth[1], 1, 1e-6);
    CHECK_INT(r.estimate[0].verdict, FIT_DETERMINED);
    CHECK_INT(r.estimate[1].verdict, FIT_DETERMINED);
    CHECK_INT(r.estimate[2].verdict, FIT_UNMOVED); // and left where it was
    CHECK_NEAR(r.estimate[2].value, 3, 0);
    CHECK_INT(r.freedom, 10);
    CHECK(r.rms < 1e-6 && r.rms_before > 0.5);
    CHECK_INT(r.estimate[0].top[0], 0); // the shortest row says most about the constant
    CHECK_NEAR(r.estimate[0].pull[0], 130 / (130 + 4.0), 0.01);
    CHECK_NEAR(r.row[0].before, 30 + 10 / 9.0, 1e-12);
    CHECK_NEAR(r.row[0].after, c.row[0].observed, 1e-6 * c.row[0].observed);
    fit_fini(&r);
}

// A standard error is one if the truth lies within it as often as Student's distribution with 10
// degrees of freedom says: of 400 estimates 264 +- 10 within one and 371 +- 5 within two.
static void test_coverage(void)
{
    struct rng *noise = rng_create(7, "test");
    int one = 0, two = 0, repeats = 200;
    double largest = 0;
    for (int k = 0; k < repeats; k++) {
        struct curve c = latencies(truth, 12, noise, 0.02);
        struct fit_result r;
        if (!solve(&c, three, 2, (struct fit_problem){0}, &r))
            break;
        for (int i = 0; i < 2; i++) {
            double off = fabs(r.estimate[i].value / truth[i] - 1) / r.estimate[i].error;
            one += off < 1;
            two += off < 2;
            largest = fmax(largest, r.estimate[i].error);
        }
        fit_fini(&r);
    }
    test_note("%d of %d within one standard error, %d within two; largest %.1f %%", one,
              2 * repeats, two, 100 * largest);
    CHECK(one > 234 && one < 294);
    CHECK(two > 355);
    CHECK(largest < 0.05);
    rng_destroy(noise);
}

// Only the product counts.
static double product(const double *b, double t)
{
    return b[2] + t / (b[0] * (1 - b[1]));
}

static void test_inseparable(void)
{
    struct curve c = {.at = product, .m = 8};
    static const double real[] = {4, 0.25, 50};
    static const struct fit_parameter p[] = {
        {"ramp", 1, 1e-3, 1e3, false}, {"clock", 0.5, 0.01, 1, false}, {"wake", 9, 0, 1e4, false}};
    struct fit_result r;
    for (int j = 0; j < c.m; j++) {
        c.t[j] = 30 * (j + 1);
        c.row[j].observed = product(real, c.t[j]);
        c.row[j].tolerance = 0.05;
    }
    if (!solve(&c, p, 3, (struct fit_problem){0}, &r))
        return;
    CHECK_NEAR(r.estimate[0].value * (1 - r.estimate[1].value), 3, 1e-4);
    CHECK_NEAR(r.estimate[2].value, 50, 1e-3);
    CHECK_INT(r.estimate[0].verdict, FIT_TOGETHER);
    CHECK_INT(r.estimate[1].verdict, FIT_TOGETHER);
    CHECK_INT(r.estimate[2].verdict, FIT_DETERMINED);
    CHECK_INT(r.n_directions, 1);
    CHECK_INT(r.direction[0].n, 2);
    CHECK(r.direction[0].seen < 1e-3);
    CHECK_INT(r.direction[0].parameter[0] + r.direction[0].parameter[1], 0 + 1);
    CHECK_INT(r.rank, 2);
    CHECK_INT(r.freedom, 6);
    fit_fini(&r);
}

// A valley with steps: the block count goes in steps with the buffer and the time with the stall,
// so a smaller buffer with a shorter stall serves as well.
static double blocks(const double *b, double k)
{
    return ceil(4096 / floor(b[0] / k)) * k * b[1];
}

static void test_stepped_valley(void)
{
    struct curve c = {.at = blocks, .m = 6};
    static const double real[] = {1e6, 4};
    static const struct fit_parameter p[] = {{"buffer", 0.93e6, 1e4, 1e9, false},
                                             {"stall", 3.3, 1e-3, 1e3, false}};
    static const double off[] = {0.02, -0.03, 0.01, 0.03, -0.02, -0.01};
    struct fit_result r;
    for (int j = 0; j < c.m; j++) {
        c.t[j] = 4000 + 4321 * j;
        c.row[j].observed = blocks(real, c.t[j]) * exp(off[j]);
        c.row[j].tolerance = 0.05;
    }
    if (!solve(&c, p, 2, (struct fit_problem){0}, &r))
        return;
    CHECK_NEAR(r.estimate[0].value / r.estimate[1].value / (1e6 / 4), 1, 0.05);
    CHECK_INT(r.estimate[0].verdict, FIT_TOGETHER);
    CHECK_INT(r.estimate[1].verdict, FIT_TOGETHER);
    CHECK_INT(r.n_directions, 1);
    CHECK_INT(r.direction[0].n, 2);
    CHECK_NEAR(r.direction[0].weight[0] * r.direction[0].weight[1], 1, 0.4); // both up or both down
    fit_fini(&r);
}

// A valley with a dent: rows see the ratio, and one row sees b[0] as a ripple. Its slope at the
// best place seems to tell b[0] to a tenth, but a quarter further the ripple looks the same.
static double ripple(const double *b, double t)
{
    return t < 0 ? 1 + 0.015 * sin(2 * M_PI / 0.25 * log(b[0])) : t * b[0] / b[1];
}

static void test_dent(void)
{
    struct curve c = {.at = ripple, .m = 6};
    static const double real[] = {1, 4};
    static const struct fit_parameter p[] = {{"buffer", 1.01, 1e-3, 1e3, false},
                                             {"stall", 4.2, 1e-3, 1e3, false}};
    static const double off[] = {0.02, -0.03, 0.01, 0.03, -0.02, -0.01};
    struct fit_result r;
    for (int j = 0; j < c.m; j++) {
        c.t[j] = j == 0 ? -1 : 10 * j;
        c.row[j].observed = ripple(real, c.t[j]) * exp(j ? off[j] : 0);
        c.row[j].tolerance = 0.05;
    }
    if (!solve(&c, p, 2, (struct fit_problem){0}, &r))
        return;
    CHECK_NEAR(r.estimate[0].value, 1, 0.05);
    CHECK_INT(r.estimate[0].verdict, FIT_TOGETHER);
    CHECK_INT(r.estimate[1].verdict, FIT_TOGETHER);
    CHECK_NEAR(r.estimate[0].error, 0.25, 1e-9); // at least
    CHECK_INT(r.n_directions, 1);
    fit_fini(&r);
}

// The truth is outside: the estimate stays at the bound, and nobody looked beyond.
static void test_bounds(void)
{
    struct curve c = latencies(truth, 12, NULL, 0);
    struct fit_parameter p[] = {{"wake", 30, 0, 60, false}, {"rate", 9, 5, 20, false}};
    struct fit_result r;
    if (!solve(&c, p, 2, (struct fit_problem){0}, &r))
        return;
    CHECK_NEAR(r.estimate[0].value, 60, 0);
    CHECK_NEAR(r.estimate[1].value, 5, 0);
    CHECK_INT(r.estimate[0].verdict, FIT_AT_BOUND);
    CHECK_INT(r.estimate[0].at, 1);
    CHECK_INT(r.estimate[1].at, -1);
    CHECK(r.estimate[0].n_top > 0);
    CHECK(c.seen_max[0] <= 60 && c.seen_min[0] >= 0 && c.seen_min[1] >= 5 && c.seen_max[1] <= 20);
    fit_fini(&r);

    // No constant in the data: at its lower bound of 0; and from 0 it finds one that is there.
    static const double none[] = {0, 2.5}, some[] = {130, 2.5};
    c = latencies(none, 12, NULL, 0);
    p[0] = (struct fit_parameter){"wake", 30, 0, 1e12, false};
    p[1] = (struct fit_parameter){"rate", 9, 1e-3, 1e6, false};
    if (!solve(&c, p, 2, (struct fit_problem){0}, &r))
        return;
    CHECK_NEAR(r.estimate[0].value, 0, 0);
    CHECK_INT(r.estimate[0].verdict, FIT_AT_BOUND);
    CHECK_NEAR(r.estimate[1].value, 2.5, 1e-4);
    fit_fini(&r);
    c = latencies(some, 12, NULL, 0);
    p[0].start = 0;
    if (!solve(&c, p, 2, (struct fit_problem){0}, &r))
        return;
    CHECK_NEAR(r.estimate[0].value, 130, 0.01);
    CHECK_INT(r.estimate[0].at, 0);
    fit_fini(&r);
}

// As many rows as parameters: met, and said to be no evidence; also where another block has rows to
// spare.
static double two_blocks(const double *b, double t)
{
    return t < 0 ? b[2] : b[0] + t / b[1];
}

static void test_no_evidence(void)
{
    struct curve c = latencies(truth, 2, NULL, 0);
    struct fit_result r;
    if (!solve(&c, three, 2, (struct fit_problem){0}, &r))
        return;
    CHECK(r.rms < 1e-6);
    CHECK_INT(r.freedom, 0);
    CHECK(isnan(r.scatter));
    CHECK_INT(r.estimate[1].verdict == FIT_CALIBRATED || r.estimate[1].verdict == FIT_WEAK, 1);
    CHECK(r.estimate[1].error > 0.04); // the tolerance of the rows stands in
    fit_fini(&r);

    c = latencies(truth, 12, NULL, 0);
    c.at = two_blocks;
    c.t[11] = -1;
    c.row[11].observed = 8;
    if (!solve(&c, three, 3, (struct fit_problem){0}, &r))
        return;
    CHECK_NEAR(r.estimate[2].value, 8, 1e-4);
    CHECK_INT(r.estimate[2].verdict, FIT_CALIBRATED);
    CHECK_NEAR(r.estimate[2].spare, 0, 1e-9);
    CHECK_NEAR(r.row[11].leverage, 1, 1e-9);
    CHECK_INT(r.estimate[0].verdict, FIT_DETERMINED);
    CHECK(r.estimate[0].spare > 0.3);
    CHECK(r.row[5].leverage < 0.5);
    fit_fini(&r);
}

// Whole picoseconds, whole requests and blocks with a rest.
static double blocky(const double *b, double t)
{
    double blocks = ceil(t / floor(b[0]));
    return blocks * 100 + floor(b[1] * t);
}

static void test_integers(void)
{
    struct curve c = {.at = blocky, .m = 10};
    static const double real[] = {37, 8};
    static const struct fit_parameter p[] = {{"rows", 52, 1, 4096, true},
                                             {"rate", 5, 0.1, 1e6, false}};
    struct fit_result r;
    for (int j = 0; j < c.m; j++) {
        c.t[j] = j < 5 ? 30 + j : 400 + 777 * j; // within one block, and many
        c.row[j].observed = blocky(real, c.t[j]);
        c.row[j].tolerance = 0.05;
    }
    if (!solve(&c, p, 2, (struct fit_problem){.starts = 12, .seed = 3}, &r))
        return;
    CHECK_NEAR(r.estimate[0].value, nearbyint(r.estimate[0].value), 0);
    CHECK_NEAR(r.estimate[0].value, 37, 1);
    CHECK_NEAR(r.estimate[1].value, 8, 0.08);
    fit_fini(&r);
}

static double to_two_digits(void *user, int i, double x)
{
    (void)user, (void)i;
    double unit = pow(10, floor(log10(x)) - 1);
    return nearbyint(x / unit) * unit;
}

// What is reported as predicted afterwards comes from the digits that are written.
static void test_rounding(void)
{
    static const double real[] = {131.7, 2.5432};
    struct curve c = latencies(real, 12, NULL, 0);
    struct fit_result r;
    if (!solve(&c, three, 2, (struct fit_problem){.round = to_two_digits}, &r))
        return;
    CHECK_NEAR(r.estimate[0].value, 130, 1e-9);
    CHECK_NEAR(r.estimate[1].value, 2.5, 1e-9);
    static const double written[] = {130, 2.5};
    for (int j = 0; j < c.m; j++)
        CHECK_NEAR(r.row[j].after, latency(written, c.t[j]), 1e-9);
    CHECK(r.rms > 0.005);
    fit_fini(&r);
}

// Heavier rows win.
static void test_weights(void)
{
    struct curve c = {.at = latency, .m = 2};
    struct fit_parameter p = {"wake", 50, 1, 1000, false};
    struct fit_result r;
    c.row[0] = (struct fit_row){"a", 100, 0.01};
    c.row[1] = (struct fit_row){"b", 200, 0.10};
    c.t[0] = c.t[1] = 0;
    static double rate = 1;
    (void)rate;
    struct fit_parameter both[] = {p, {"rate", 1, 1, 2, false}}; // t = 0: the rate moves nothing
    if (!solve(&c, both, 2, (struct fit_problem){0}, &r))
        return;
    // Weighted mean of the logarithms.
    double mean = (log(100) / 1e-4 + log(200) / 1e-2) / (1 / 1e-4 + 1 / 1e-2);
    CHECK_NEAR(r.estimate[0].value, exp(mean), 1e-3);
    fit_fini(&r);
}

// Two valleys: from the file's value the fit ends in the wrong one, from several starts it does
// not.
static double valleys(const double *b, double t)
{
    return 2 + sin(b[0] * t);
}

static void test_starts(void)
{
    struct curve c = {.at = valleys, .m = 30};
    struct fit_parameter p = {"b", 3.6, 1, 10, false};
    struct fit_result r;
    double real = 5;
    for (int j = 0; j < c.m; j++) {
        c.t[j] = 0.3 * j;
        c.row[j].observed = valleys(&real, c.t[j]);
        c.row[j].tolerance = 0.05;
    }
    if (!solve(&c, &p, 1, (struct fit_problem){0}, &r))
        return;
    CHECK(fabs(r.estimate[0].value - 5) > 0.5);
    CHECK(r.rms > 0.1);
    fit_fini(&r);
    double value[2] = {0};
    for (int k = 0; k < 2; k++) { // the same seed, the same result
        if (!solve(&c, &p, 1, (struct fit_problem){.starts = 40, .seed = 11}, &r))
            return;
        value[k] = r.estimate[0].value;
        CHECK_INT(r.starts, 40);
        CHECK(r.agreed >= 1 && r.agreed < 40);
        fit_fini(&r);
    }
    CHECK_NEAR(value[0], 5, 1e-3);
    CHECK_NEAR(value[0], value[1], 0);
}

// The faster of two ways, as a library chooses: where the first is thought slow, it is never taken,
// and no row tells how fast it is.
static double faster(const double *b, double n)
{
    return fmin(n / b[0], n / b[1] + 1 / b[2]);
}

static void test_switch(void)
{
    struct curve c = {.at = faster, .m = 12};
    static const double real[] = {20, 100, 5};
    static const struct fit_parameter p[] = {{"vectors", 4, 1e-2, 1e4, false},
                                             {"matrix", 60, 1e-2, 1e4, false},
                                             {"decode", 8, 1e-2, 1e4, false}};
    struct fit_result r;
    for (int j = 0; j < c.m; j++) {
        c.t[j] = 1 + j;
        c.row[j].observed = faster(real, c.t[j]);
        c.row[j].tolerance = 0.05;
    }
    if (!solve(&c, p, 3, (struct fit_problem){0}, &r))
        return;
    for (int i = 0; i < 3; i++)
        CHECK_NEAR(r.estimate[i].value, real[i], 1e-3 * real[i]);
    CHECK(r.row[0].moved);
    fit_fini(&r);
}

// --- what can go wrong

static bool below_three(const double *b)
{
    return b[1] < 3;
}

static void test_no_model(void)
{
    struct curve c = latencies(truth, 12, NULL, 0);
    struct fit_parameter p[] = {{"wake", 30, 0, 1e6, false}, {"rate", 2.9, 1e-3, 1e6, false}};
    struct fit_result r;
    c.possible = below_three; // the start is next to where there is no model
    if (solve(&c, p, 2, (struct fit_problem){0}, &r)) {
        CHECK_NEAR(r.estimate[1].value, 2.5, 1e-4);
        fit_fini(&r);
    }
    struct err e = {0};
    p[1].start = 4; // and now in it
    struct fit_problem q = {.n = 2, .m = 12, .parameter = p, .row = c.row, .predict = predict};
    q.user = &c;
    CHECK(fit_run(&q, &r, &e) < 0);
    CHECK_STR(e.msg, "no model here");
}

static void test_interrupt(void)
{
    for (int at = 1; at < 60; at += 7) {
        volatile sig_atomic_t stop = 0;
        struct curve c = latencies(truth, 12, NULL, 0);
        struct fit_result r;
        c.stop = &stop;
        c.stop_at = at;
        if (!solve(&c, three, 2, (struct fit_problem){.stop = &stop, .starts = 50}, &r))
            return;
        CHECK(r.interrupted);
        CHECK_STR(r.reason, "interrupted");
        CHECK(c.calls <= at + 1); // at once
        fit_fini(&r);
    }
}

static void test_bad_problems(void)
{
    struct curve c = latencies(truth, 3, NULL, 0);
    struct fit_parameter p = {"wake", 30, 0, 60, false};
    struct fit_result r;
    struct err e = {0};
    struct fit_problem q = {.n = 1, .m = 3, .parameter = &p, .row = c.row, .predict = predict};
    q.user = &c;
    c.row[0].name = c.row[1].name = c.row[2].name = "row";
    c.row[1].observed = 0;
    CHECK_INT(fit_run(&q, &r, &e), ERR_USAGE);
    c.row[1].observed = NAN;
    CHECK_INT(fit_run(&q, &r, &e), ERR_USAGE);
    c.row[1].observed = 1;
    c.row[1].tolerance = 0;
    CHECK_INT(fit_run(&q, &r, &e), ERR_USAGE);
    c.row[1].tolerance = 1;
    p.start = 61;
    CHECK_INT(fit_run(&q, &r, &e), ERR_USAGE);
    CHECK_STR(e.key, "wake");
    q.n = 0;
    CHECK_INT(fit_run(&q, &r, &e), ERR_USAGE);
    q.n = FIT_MAX_PARAMETERS + 1;
    CHECK_INT(fit_run(&q, &r, &e), ERR_USAGE);
    q.n = 1;
    q.m = 0;
    CHECK_INT(fit_run(&q, &r, &e), ERR_USAGE);
}

TESTS(explore_fit, T(test_misra1a), T(test_thurber), T(test_recovers), T(test_coverage),
      T(test_inseparable), T(test_stepped_valley), T(test_dent), T(test_bounds),
      T(test_no_evidence), T(test_integers), T(test_rounding), T(test_weights), T(test_starts),
      T(test_switch), T(test_no_model), T(test_interrupt), T(test_bad_problems))
