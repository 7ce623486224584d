// SPDX-License-Identifier: GPL-3.0-or-later
// Quantities as text. The one idea: scaling by a power of ten is done on the text, by moving the
// decimal exponent, never by a multiplication. "61.9 GB/s" is read as the number 61.9e9, rounded
// once; printing moves the point of the shortest text the other way. So what is printed reads back
// as the same double, bit for bit. Binary prefixes (KiB) are exact multiplications anyway.
#include "base/units.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/num.h"

struct spelling {
    const char *text;
    int exp10, exp2; // one of this = 10^exp10 * 2^exp2 base units
    bool only_read;  // understood, never printed
};

enum { SPELLINGS = 12, BLANKS = 4 };

// Smallest first: printing takes the last that leaves at least one whole unit.
static const struct {
    const char *name, *list;
    struct spelling by[SPELLINGS];
} table[UNIT_COUNT] = {
    [UNIT_NONE] = {"number", "no unit", {{"", 0, 0, false}}},
    [UNIT_TIME] = {"time",
                   "ps, ns, us, ms, s",
                   {{"ps", 0, 0, false},
                    {"ns", 3, 0, false},
                    {"us", 6, 0, false},
                    {"ms", 9, 0, false},
                    {"s", 12, 0, false}}},
    [UNIT_SIZE] = {"size",
                   "B, kB, MB, GB, KiB, MiB, GiB",
                   {{"B", 0, 0, false},
                    {"kB", 3, 0, false},
                    {"KiB", 0, 10, false},
                    {"MB", 6, 0, false},
                    {"MiB", 0, 20, false},
                    {"GB", 9, 0, false},
                    {"GiB", 0, 30, false}}},
    [UNIT_BANDWIDTH] = {"bandwidth",
                        "B/s, kB/s, MB/s, GB/s, TB/s",
                        {{"B/s", 0, 0, false},
                         {"kB/s", 3, 0, false},
                         {"MB/s", 6, 0, false},
                         {"GB/s", 9, 0, false},
                         {"TB/s", 12, 0, false}}},
    [UNIT_FREQUENCY] =
        {"frequency",
         "Hz, kHz, MHz, GHz",
         {{"Hz", 0, 0, false}, {"kHz", 3, 0, false}, {"MHz", 6, 0, false}, {"GHz", 9, 0, false}}},
    // Printed as operations: the value does not say whether they are in floating point.
    [UNIT_THROUGHPUT] = {"throughput",
                         "FLOP/s, GFLOP/s, TFLOP/s, OP/s, GOP/s, TOP/s",
                         {{"FLOP/s", 0, 0, true},
                          {"OP/s", 0, 0, false},
                          {"MFLOP/s", 6, 0, true},
                          {"MOP/s", 6, 0, false},
                          {"GFLOP/s", 9, 0, true},
                          {"GOP/s", 9, 0, false},
                          {"TFLOP/s", 12, 0, true},
                          {"TOP/s", 12, 0, false}}},
    [UNIT_POWER] = {"power",
                    "uW, mW, W",
                    {{"uW", -6, 0, false}, {"mW", -3, 0, false}, {"W", 0, 0, false}}},
    [UNIT_ENERGY] = {"energy",
                     "pJ, nJ, uJ, mJ, J",
                     {{"pJ", -12, 0, false},
                      {"nJ", -9, 0, false},
                      {"uJ", -6, 0, false},
                      {"mJ", -3, 0, false},
                      {"J", 0, 0, false}}},
    [UNIT_ENERGY_BYTE] = {"energy per byte",
                          "pJ/B, nJ/B",
                          {{"pJ/B", -12, 0, false}, {"nJ/B", -9, 0, false}}},
    [UNIT_TEMPERATURE] = {"temperature", "degC", {{"degC", 0, 0, false}}},
    [UNIT_PERCENT] = {"share", "%", {{"%", -2, 0, false}}},
};

const char *unit_name(enum unit u)
{
    return table[u].name;
}

const char *unit_spellings(enum unit u)
{
    return table[u].list;
}

static const struct spelling *find_spelling(enum unit u, const char *text)
{
    for (int i = 0; i < SPELLINGS && table[u].by[i].text; i++)
        if (!strcmp(table[u].by[i].text, text))
            return &table[u].by[i];
    return NULL;
}

// Which other unit the text belongs to, for the message.
static const char *foreign_name(const char *text)
{
    for (int u = UNIT_NONE + 1; u < UNIT_COUNT; u++)
        if (find_spelling((enum unit)u, text))
            return table[u].name;
    return NULL;
}

static int wrong_unit(enum unit u, const char *text, const char *suffix, struct err *e)
{
    const char *other = foreign_name(suffix), *name = table[u].name, *list = table[u].list;
    if (u == UNIT_NONE)
        return err_set(e, ERR_CONFIG, "'%s': expected a plain number, without '%s'", text, suffix);
    if (!*suffix)
        return err_set(e, ERR_CONFIG, "'%s' has no unit; expected %s in %s", text, name, list);
    if (other)
        return err_set(e, ERR_CONFIG, "'%s' is %s; expected %s in %s", text, other, name, list);
    return err_set(e, ERR_CONFIG, "'%s' is not a unit of %s; expected %s", suffix, name, list);
}

// The number of `span` characters at `text`, times 10^exp10, rounded once.
static double scaled(const char *text, size_t span, int exp10)
{
    char buf[96];
    size_t mantissa = strcspn(text, "eE");
    if (mantissa > span)
        mantissa = span;
    long exponent = mantissa < span ? strtol(text + mantissa + 1, NULL, 10) : 0;
    if (exponent > 100000)
        exponent = 100000; // far beyond any double; keeps the sum from overflowing
    if (exponent < -100000)
        exponent = -100000;
    snprintf(buf, sizeof buf, "%.*se%ld", (int)mantissa, text, exponent + exp10);
    return num_parse(buf);
}

static bool is_zero(const char *text, size_t span)
{
    for (size_t i = 0; i < span && text[i] != 'e' && text[i] != 'E'; i++)
        if (text[i] >= '1' && text[i] <= '9')
            return false;
    return true;
}

int unit_parse(enum unit u, const char *text, double *out, struct err *e)
{
    size_t span = num_span(text);
    if (span == 0)
        return err_set(e, ERR_CONFIG, "'%.60s' is not a number; expected %s (%s)", text,
                       table[u].name, table[u].list);
    if (span > 64)
        return err_set(e, ERR_CONFIG, "'%.40s...' has too many digits", text);
    const char *suffix = text + span;
    for (int i = 0; i < BLANKS && *suffix == ' ' && u != UNIT_NONE; i++)
        suffix++;
    if (strlen(suffix) > 60)
        return err_set(e, ERR_CONFIG, "'%.40s...' is followed by too much text", text);
    const struct spelling *s = find_spelling(u, suffix);
    if (!s)
        return wrong_unit(u, text, suffix, e);
    double v = ldexp(scaled(text, span, s->exp10), s->exp2);
    if (!isfinite(v) || (v == 0 && !is_zero(text, span)))
        return err_set(e, ERR_CONFIG, "'%s' is too %s for a double", text, v ? "large" : "small");
    *out = v == 0 ? 0 : v; // no negative zero
    return 0;
}

// Moves the decimal point of `v`'s shortest text by -exp10. Returns false when plain notation would
// be unreadably long.
static bool shifted(double v, int exp10, char *buf, size_t size)
{
    char text[32], digit[24];
    int n = 0, point = 0; // value = 0.digit[0..n) * 10^point
    bool after = false;
    num_print(fabs(v), text);
    const char *p = text;
    for (; *p && *p != 'e'; p++) {
        if (*p == '.') {
            after = true;
            continue;
        }
        if (n || *p != '0')
            digit[n++] = *p;
        if (n ? !after : after) // zeros behind the point, before the first digit, count down
            point += after ? -1 : 1;
    }
    point += (*p == 'e' ? atoi(p + 1) : 0) - exp10;
    while (n > 1 && digit[n - 1] == '0')
        n--;
    if (n == 0 || point > 21 || point < -5)
        return false;
    int zeros = point < 0 ? -point : 0;
    int whole = point > 0 ? point : 0;
    size_t at = 0;
    char out[64];
    if (v < 0)
        out[at++] = '-';
    if (!whole)
        out[at++] = '0';
    for (int i = 0; i < whole; i++)
        out[at++] = i < n ? digit[i] : '0';
    if (n > whole) {
        out[at++] = '.';
        for (int i = 0; i < zeros; i++)
            out[at++] = '0';
        for (int i = whole; i < n; i++)
            out[at++] = digit[i];
    }
    out[at] = 0;
    snprintf(buf, size, "%s", out);
    return true;
}

// One candidate text; false when it does not read back as the same value.
static bool try_spelling(enum unit u, const struct spelling *s, double v, char *buf, size_t size)
{
    char number[64];
    double back;
    if (!shifted(ldexp(v, -s->exp2), s->exp10, number, sizeof number))
        return false;
    snprintf(buf, size, "%s%s%s", number, *s->text ? " " : "", s->text);
    return !unit_parse(u, buf, &back, NULL) && back == v;
}

// In the unit of exponent 0 (or the first one), in scientific notation: always reads back.
static void print_plain(enum unit u, double v, char *buf, size_t size)
{
    char number[32];
    const struct spelling *s = &table[u].by[0];
    for (int i = 0; i < SPELLINGS && table[u].by[i].text; i++)
        if (!table[u].by[i].only_read && !table[u].by[i].exp10 && !table[u].by[i].exp2)
            s = &table[u].by[i];
    num_print(v, number);
    // A unit without a base spelling (pJ/B) or a huge value: the exponent is written out.
    char *e = strchr(number, 'e');
    long exponent = e ? strtol(e + 1, NULL, 10) : 0;
    if (e)
        *e = 0;
    exponent -= v == 0 ? 0 : s->exp10;
    if (exponent)
        snprintf(buf, size, "%se%ld%s%s", number, exponent, *s->text ? " " : "", s->text);
    else
        snprintf(buf, size, "%s%s%s", number, *s->text ? " " : "", s->text);
}

const char *unit_format(enum unit u, double value, char *buf, size_t size)
{
    char best[96] = "", text[96];
    bool best_whole = false;
    if (u == UNIT_NONE || !isfinite(value)) {
        snprintf(buf, size, "%s", num_print(value, text));
        return buf;
    }
    for (int i = 0; i < SPELLINGS && table[u].by[i].text; i++) {
        const struct spelling *s = &table[u].by[i];
        if (s->only_read || !try_spelling(u, s, value, text, sizeof text))
            continue;
        // At least one whole unit is readable; below that the smallest unit has to do. Between the
        // decimal and the binary sizes the shorter text wins.
        bool whole = fabs(value) >= ldexp(pow(10, s->exp10), s->exp2) * (1 - 1e-12);
        bool shorter = u != UNIT_SIZE || strlen(text) <= strlen(best);
        if (!*best || (whole && (!best_whole || shorter))) {
            memcpy(best, text, sizeof best);
            best_whole = whole;
        }
    }
    if (!*best)
        print_plain(u, value, best, sizeof best);
    snprintf(buf, size, "%s", best);
    return buf;
}
