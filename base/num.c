// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/num.h"

#include <assert.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static locale_t c_locale;

static void make_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", NULL);
    assert(c_locale);
}

static size_t digits(const char *s)
{
    size_t n = 0;
    while (s[n] >= '0' && s[n] <= '9')
        n++;
    return n;
}

size_t num_span(const char *s)
{
    size_t at = s[0] == '+' || s[0] == '-';
    size_t whole = digits(s + at), part = 0;
    at += whole;
    if (s[at] == '.') {
        part = digits(s + at + 1);
        at += 1 + part;
    }
    if (whole + part == 0)
        return 0;
    if (s[at] == 'e' || s[at] == 'E') {
        size_t sign = s[at + 1] == '+' || s[at + 1] == '-';
        size_t n = digits(s + at + 1 + sign);
        if (n) // otherwise the e belongs to whatever follows
            at += 1 + sign + n;
    }
    return at;
}

double num_parse(const char *s)
{
    pthread_once(&once, make_locale);
    return strtod_l(s, NULL, c_locale);
}

const char *num_print(double v, char buf[32])
{
    pthread_once(&once, make_locale);
    locale_t old = uselocale(c_locale);
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(buf, 32, "%.*g", precision, v);
        if (strtod_l(buf, NULL, c_locale) == v)
            break;
    }
    uselocale(old);
    return buf;
}
