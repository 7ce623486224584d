// SPDX-License-Identifier: GPL-3.0-or-later
// Hypervolumes by PaGMO, for comparison: reads sets of points "k n, the reference point, n points of
// k values" from standard input and prints one number for each. Built by `make test-long` (Debian:
// libpagmo-dev); tests/explore/test_hypervolume.c runs it where it is there.
#include <cstdio>
#include <pagmo/utils/hypervolume.hpp>
#include <vector>

static bool read(std::vector<double> &v)
{
    for (double &x : v)
        if (std::scanf("%lf", &x) != 1)
            return false;
    return true;
}

int main()
{
    int k, n;
    while (std::scanf("%d %d", &k, &n) == 2) {
        std::vector<double> ref(k);
        std::vector<std::vector<double>> points(n, std::vector<double>(k));
        bool complete = read(ref);
        for (auto &p : points)
            complete = complete && read(p);
        if (!complete)
            return 1;
        std::printf("%.17g\n", pagmo::hypervolume(points).compute(ref));
    }
}
