// SPDX-License-Identifier: GPL-3.0-or-later
// Hypervolume: cases solved by hand, sampling, and values by PaGMO (recorded, and live where `make
// test-long` has built tests/explore/pagmo_hypervolume.cc).
#include "explore/hypervolume.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/rng.h"
#include "tests/harness.h"

enum { MOST = 400, MAX_K = 6 };

// n points of k objectives: on the unit sphere (all are on the front), or anywhere in the unit
// cube.
static void generate(int k, int n, bool sphere, double *v)
{
    struct rng *rng = rng_create((uint64_t)(k * 1000 + n), sphere ? "sphere" : "cube");
    for (int i = 0; i < n; i++) {
        double length = 0;
        for (int j = 0; j < k; j++) {
            v[i * k + j] = sphere ? fabs(rng_normal(rng)) : rng_uniform(rng);
            length += v[i * k + j] * v[i * k + j];
        }
        for (int j = 0; j < k && sphere; j++)
            v[i * k + j] /= sqrt(length);
    }
    rng_destroy(rng);
}

static const double ref[MAX_K] = {1.1, 1.1, 1.1, 1.1, 1.1, 1.1};

static void test_by_hand(void)
{
    static const double one[] = {3, 1, 2}, r1[] = {4};
    CHECK_NEAR(hypervolume(one, 3, 1, r1), 3, 0);
    CHECK_NEAR(hypervolume(one, 0, 1, r1), 0, 0);
    // A staircase in 4 x 4: columns of 1 x 3, 1 x 2 (from the middle point) and 1 x 1.
    static const double stairs[] = {1, 3, 2, 2, 3, 1}, r2[] = {4, 4};
    CHECK_NEAR(hypervolume(stairs, 3, 2, r2), 1 + 2 + 3, 1e-15);
    // Two boxes 2 x 2 x 1 and 1 x 1 x 3 that share 1 x 1 x 1.
    static const double boxes[] = {1, 1, 2, 2, 2, 0}, r3[] = {3, 3, 3};
    CHECK_NEAR(hypervolume(boxes, 2, 3, r3), 4 + 3 - 1, 1e-15);
    // What does not count: dominated, equal, on the edge, beyond, unknown.
    const double more[] = {1, 1, 2, 2, 2, 0, 1, 2, 2, 1, 1, 2, 0, 0, 3, 0, 0, 4, (double)NAN, 0, 0};
    CHECK_NEAR(hypervolume(more, 7, 3, r3), 6, 1e-15);
    CHECK_NEAR(hypervolume_added(boxes + 3, boxes, 1, 3, r3), 2, 1e-15);
    CHECK_NEAR(hypervolume_added(boxes, more, 7, 3, r3), 0, 1e-15);
}

// The share of sampled points of the box [0, 1.1]^k that some point dominates.
static double sampled(const double *v, int n, int k, int samples)
{
    struct rng *rng = rng_create(9, "samples");
    int hit = 0;
    for (int s = 0; s < samples; s++) {
        double at[MAX_K] = {0};
        bool covered = false;
        for (int j = 0; j < k; j++)
            at[j] = 1.1 * rng_uniform(rng);
        for (int i = 0; i < n && !covered; i++) {
            covered = true;
            for (int j = 0; j < k; j++)
                covered &= v[i * k + j] <= at[j];
        }
        hit += covered;
    }
    rng_destroy(rng);
    return (double)hit / samples;
}

static void test_by_sampling(void)
{
    enum { SAMPLES = 40000 };
    static double v[MOST * MAX_K];
    for (int k = 2; k <= MAX_K; k++)
        for (int sphere = 0; sphere < 2; sphere++) {
            int n = 40;
            generate(k, n, sphere, v);
            double share = hypervolume(v, n, k, ref) / pow(1.1, k);
            double sigma = sqrt(share * (1 - share) / SAMPLES);
            test_note("k %d, sphere %d", k, sphere);
            CHECK_NEAR(sampled(v, n, k, SAMPLES), share, 4 * sigma);
        }
}

// Invariants: the order does not matter, and what a point adds is the difference of two volumes.
static void test_added(void)
{
    static double v[MOST * MAX_K], turned[MOST * MAX_K];
    for (int k = 2; k <= 5; k++) {
        int n = 60;
        generate(k, n, false, v);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < k; j++)
                turned[i * k + j] = v[(n - 1 - i) * k + j];
        double whole = hypervolume(v, n, k, ref);
        CHECK_NEAR(hypervolume(turned, n, k, ref), whole, 1e-12);
        double sum = 0;
        for (int i = 0; i < n; i++) {
            double with = hypervolume(v, i + 1, k, ref), without = hypervolume(v, i, k, ref);
            CHECK_NEAR(hypervolume_added(v + i * k, v, i, k, ref), with - without, 1e-12);
            sum += with - without;
        }
        CHECK_NEAR(sum, whole, 1e-12);
    }
}

static const struct {
    int k, n;
    bool sphere;
    double pagmo; // PaGMO 2.18.0 (Debian libpagmo-dev 2.18.0-2), through pagmo_hypervolume.cc
} known[] = {
    {2, 100, false, 1.1880710895590572}, {2, 400, true, 0.42171288428441561},
    {3, 100, false, 1.2501715910099165}, {3, 400, true, 0.7599229188103338},
    {4, 150, true, 0.91396493549129609}, {5, 80, true, 0.92730270764088307},
    {6, 50, true, 0.95930326595009041},  {6, 200, false, 0.95913914615313089},
};
enum { KNOWN = sizeof known / sizeof known[0] };

static void test_recorded(void)
{
    static double v[MOST * MAX_K];
    for (int i = 0; i < KNOWN; i++) {
        generate(known[i].k, known[i].n, known[i].sphere, v);
        test_note("k %d, n %d", known[i].k, known[i].n);
        CHECK_NEAR(hypervolume(v, known[i].n, known[i].k, ref), known[i].pagmo, 1e-10);
    }
}

static void test_live(void)
{
    static const char program[] = "build/pagmo_hypervolume";
    static double v[MOST * MAX_K];
    char path[300], command[700];
    if (access(program, X_OK) < 0) {
        test_skip("%s is not built (make test-long builds it); its recorded values are compared",
                  program);
        return;
    }
    snprintf(path, sizeof path, "%s/points", test_tmpdir());
    FILE *f = fopen(path, "w");
    if (!CHECK(f != NULL))
        return;
    for (int i = 0; i < KNOWN; i++) {
        int k = known[i].k;
        generate(k, known[i].n, known[i].sphere, v);
        fprintf(f, "%d %d\n", k, known[i].n);
        for (int j = 0; j < k; j++)
            fprintf(f, "%.17g ", ref[j]);
        for (int j = 0; j < known[i].n * k; j++)
            fprintf(f, "%.17g%s", v[j], j % k == k - 1 ? "\n" : " ");
    }
    fclose(f);
    snprintf(command, sizeof command, "%s <%s", program, path);
    f = popen(command, "r");
    if (!CHECK(f != NULL))
        return;
    for (int i = 0; i < KNOWN; i++) {
        double theirs = 0;
        CHECK_INT(fscanf(f, "%lf", &theirs), 1);
        test_note("%.17g", theirs);
        generate(known[i].k, known[i].n, known[i].sphere, v);
        CHECK_NEAR(hypervolume(v, known[i].n, known[i].k, ref), theirs, 1e-10);
    }
    CHECK_INT(pclose(f), 0);
}

static void test_reference(void)
{
    // The front is the first two; the third is dominated and does not move the reference point.
    const double v[] = {0, 10, 4, 0, 9, 90, (double)NAN, 0};
    double r[2] = {0};
    CHECK(hypervolume_reference(v, 4, 2, r));
    CHECK_NEAR(r[0], 4.4, 1e-15);
    CHECK_NEAR(r[1], 11, 1e-15);
    CHECK_NEAR(hypervolume_share(v, 4, v, 4, 2), 1, 1e-15);
    // (0, 10) alone: 4.4 x 1 of 4.4 x 11 less the corner 4 x 10.
    CHECK_NEAR(hypervolume_share(v, 1, v, 4, 2), 4.4 / (4.4 * 11 - 40), 1e-12);
    CHECK_NEAR(hypervolume_share(v, 0, v, 4, 2), 0, 0);
    const double flat[] = {5, 0};
    CHECK(hypervolume_reference(flat, 1, 2, r));
    CHECK_NEAR(r[0], 5.5, 1e-15);
    CHECK_NEAR(r[1], 1, 1e-15);
    const double unknown[] = {(double)NAN, 0, 1, (double)NAN};
    CHECK(!hypervolume_reference(unknown, 2, 2, r));
    CHECK(isnan(hypervolume_share(flat, 1, unknown, 2, 2)));
}

TESTS(explore_hypervolume, T(test_by_hand), T(test_by_sampling), T(test_added), T(test_recorded),
      T(test_live), T(test_reference))
