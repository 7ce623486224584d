// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/harness.h"

#include <float.h>
#include <locale.h>
#include <string.h>
#include "base/num.h"
#include "base/rng.h"
#include "base/units.h"

static double parsed(enum unit u, const char *text)
{
    struct err e;
    double v = NAN;
    CHECK_OK(unit_parse(u, text, &v, &e), &e);
    return v;
}

static void test_hand_values(void)
{
    static const struct {
        enum unit u;
        const char *text;
        double value;
    } t[] = {
        {UNIT_NONE, "42", 42},
        {UNIT_NONE, "-1.5e3", -1500},
        {UNIT_NONE, "-0", 0},
        {UNIT_TIME, "400 us", 400e6},
        {UNIT_TIME, "400us", 400e6},
        {UNIT_TIME, "1.88 ms", 1880000000.0},
        {UNIT_TIME, "1 s", 1e12},
        {UNIT_TIME, "1 ps", 1},
        {UNIT_TIME, "1e3 ns", 1e6},
        {UNIT_SIZE, "8 MiB", 8388608},
        {UNIT_SIZE, "8 MB", 8000000},
        {UNIT_SIZE, "1.5 GiB", 1610612736.0},
        {UNIT_SIZE, "1 KiB", 1024},
        {UNIT_SIZE, "1 kB", 1000},
        {UNIT_BANDWIDTH, "61.9 GB/s", 61.9e9},
        {UNIT_BANDWIDTH, "0.1 TB/s", 1e11},
        {UNIT_FREQUENCY, "903 MHz", 903e6},
        {UNIT_THROUGHPUT, "2.8 TFLOP/s", 2.8e12},
        {UNIT_THROUGHPUT, "2.8 TOP/s", 2.8e12},
        {UNIT_POWER, "350 mW", 0.35},
        {UNIT_ENERGY, "3 pJ", 3e-12},
        {UNIT_ENERGY_BYTE, "60 pJ/B", 60e-12},
        {UNIT_TEMPERATURE, "-5 degC", -5},
        {UNIT_PERCENT, "75 %", 0.75},
        {UNIT_PERCENT, "75%", 0.75},
        {UNIT_SIZE, "9007199254740992 B", 9007199254740992.0}, // 2^53
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
        CHECK_NEAR(parsed(t[i].u, t[i].text), t[i].value, 0);
}

static void test_refused(void)
{
    static const struct {
        enum unit u;
        const char *text, *says;
    } t[] = {
        {UNIT_TIME, "400", "has no unit; expected time in ps, ns, us, ms, s"},
        {UNIT_TIME, "400 GB/s", "is bandwidth; expected time in ps"},
        {UNIT_TIME, "400 usec", "'usec' is not a unit of time; expected ps"},
        {UNIT_TIME, "400 us ", "not a unit"},
        {UNIT_TIME, " 400 us", "not a number"},
        {UNIT_TIME, "us", "not a number"},
        {UNIT_TIME, "", "not a number"},
        {UNIT_TIME, "inf s", "not a number"},
        {UNIT_TIME, "nan s", "not a number"},
        {UNIT_TIME, "0x10 s", "'x10 s' is not a unit"},
        {UNIT_TIME, "1e308 s", "too large"},
        {UNIT_NONE, "1e400", "too large"},
        {UNIT_NONE, "1e-400", "too small"},
        {UNIT_NONE, "1e99999999999999999999", "too large"},
        {UNIT_NONE, "5 us", "plain number"},
        {UNIT_NONE, "5x", "plain number"},
        {UNIT_SIZE, "8 mb", "expected B, kB, MB, GB, KiB, MiB, GiB"},
        {UNIT_PERCENT, "0.75", "no unit; expected share in %"},
        {UNIT_NONE, "11111111111111111111111111111111111111111111111111111111111111111", "digits"},
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct err e = {0};
        double v = 7;
        CHECK_INT(unit_parse(t[i].u, t[i].text, &v, &e), ERR_CONFIG);
        CHECK_HAS(e.msg, t[i].says);
        CHECK_NEAR(v, 7, 0); // untouched
    }
}

static void test_readable_text(void)
{
    static const struct {
        enum unit u;
        double value;
        const char *text;
    } t[] = {
        {UNIT_TIME, 1880000000.0, "1.88 ms"},
        {UNIT_TIME, 1e11, "100 ms"},
        {UNIT_TIME, 999, "999 ps"},
        {UNIT_TIME, 1000, "1 ns"},
        {UNIT_TIME, 0, "0 ps"},
        {UNIT_TIME, -2.5e6, "-2.5 us"},
        {UNIT_TIME, 1234567890123.0, "1.234567890123 s"},
        {UNIT_SIZE, 8388608, "8 MiB"},
        {UNIT_SIZE, 8000000, "8 MB"},
        {UNIT_SIZE, 12345, "12345 B"},
        {UNIT_SIZE, 1536, "1536 B"},
        {UNIT_SIZE, 1610612736.0, "1.5 GiB"},
        {UNIT_SIZE, 1023, "1023 B"},
        {UNIT_SIZE, 1024, "1 KiB"},
        {UNIT_BANDWIDTH, 61.9e9, "61.9 GB/s"},
        {UNIT_BANDWIDTH, 0.5, "0.5 B/s"},
        {UNIT_THROUGHPUT, 2.8e12, "2.8 TOP/s"},
        {UNIT_POWER, 0.35, "350 mW"},
        {UNIT_ENERGY_BYTE, 60e-12, "60 pJ/B"},
        {UNIT_ENERGY_BYTE, 0, "0 pJ/B"},
        {UNIT_PERCENT, 0.75, "75 %"},
        {UNIT_PERCENT, 1, "100 %"},
        {UNIT_TEMPERATURE, 25, "25 degC"},
        {UNIT_NONE, 0.1, "0.1"},
    };
    char buf[96];
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
        CHECK_STR(unit_format(t[i].u, t[i].value, buf, sizeof buf), t[i].text);
}

// Every double, however odd, must come back as itself.
static void test_round_trip(void)
{
    struct rng *r = rng_create(1, "units");
    char buf[96];
    for (int i = 0; i < 20000; i++) {
        enum unit u = (enum unit)rng_below(r, UNIT_COUNT);
        double v = ldexp(rng_uniform(r) - 0.5, (int)rng_below(r, 160) - 60), back = NAN;
        if (i % 3 == 0)
            v = round(v);
        struct err e;
        int rc = unit_parse(u, unit_format(u, v, buf, sizeof buf), &back, &e);
        CHECK_OK(rc, &e);
        if (rc || back != v) {
            test_note("%s: %.17g printed as '%s'", unit_name(u), v, buf);
            CHECK(back == v);
            break;
        }
    }
    rng_destroy(r);
    static const double odd[] = {DBL_MAX, -DBL_MAX, DBL_MIN, 5e-324, 1e22, 1e-7, 123456789e10};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        unit_format(UNIT_BANDWIDTH, odd[i], buf, sizeof buf);
        CHECK_NEAR(parsed(UNIT_BANDWIDTH, buf), odd[i], 0);
    }
}

static void test_numbers_ignore_the_locale(void)
{
    char buf[32];
    // May be missing on the machine; then this checks nothing beyond the C locale.
    setlocale(LC_ALL, "de_DE.UTF-8");
    CHECK_STR(num_print(0.1, buf), "0.1");
    CHECK_NEAR(num_parse("1.5"), 1.5, 0);
    setlocale(LC_ALL, "C");
    CHECK_STR(num_print(1.0 / 3, buf), "0.3333333333333333");
    CHECK_STR(num_print(5, buf), "5");
    CHECK_INT(num_span("1.5e3x"), 5);
    CHECK_INT(num_span("1e"), 1);
    CHECK_INT(num_span("."), 0);
    CHECK_INT(num_span("-.5"), 3);
}

TESTS(base_units, T(test_hand_values), T(test_refused), T(test_readable_text), T(test_round_trip),
      T(test_numbers_ignore_the_locale))
