// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include "base/num.h"

enum { LEVELS = sizeof((struct json *)0)->first / sizeof(bool) };

void json_begin(struct json *j, FILE *f, bool pretty)
{
    *j = (struct json){.f = f, .pretty = pretty};
    j->first[0] = true;
}

void json_end(struct json *j)
{
    assert(j->depth == 0);
    fputc('\n', j->f);
}

static void newline(struct json *j)
{
    if (!j->pretty)
        return;
    fprintf(j->f, "\n%*s", 2 * j->depth, "");
}

// Length of the well-formed UTF-8 sequence at s, 0 when it is malformed (overlong forms, surrogates
// and code points past U+10FFFF included).
static size_t utf8_length(const unsigned char *s, size_t n)
{
    unsigned lead = s[0], low = 0x80, high = 0xbf;
    size_t len = lead < 0x80                    ? 1
                 : lead >= 0xc2 && lead <= 0xdf ? 2
                 : (lead & 0xf0) == 0xe0        ? 3
                 : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                : 0;
    if (len == 0 || len > n)
        return 0;
    if (lead == 0xe0)
        low = 0xa0;
    else if (lead == 0xed)
        high = 0x9f;
    else if (lead == 0xf0)
        low = 0x90;
    else if (lead == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < len; i++) {
        if (s[i] < low || s[i] > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return len;
}

static void put_ascii(FILE *f, unsigned char c)
{
    static const char *const short_form[32] = {
        ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r"};
    if (c == '"' || c == '\\')
        fprintf(f, "\\%c", c);
    else if (c == 0x7f || (c < 32 && !short_form[c]))
        fprintf(f, "\\u%04x", c);
    else if (c < 32)
        fputs(short_form[c], f);
    else
        fputc(c, f);
}

static void put_string(FILE *f, const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    fputc('"', f);
    for (size_t i = 0; i < n;) {
        size_t len = utf8_length(s + i, n - i);
        if (len == 1)
            put_ascii(f, s[i]);
        else if (len)
            fwrite(s + i, 1, len, f);
        else
            fputs("\\ufffd", f); // one replacement character per bad byte
        i += len ? len : 1;
    }
    fputc('"', f);
}

// Everything that precedes a value: comma, indentation, key.
static void lead_in(struct json *j, const char *key)
{
    if (!j->first[j->depth])
        fputc(',', j->f);
    if (j->depth)
        newline(j);
    j->first[j->depth] = false;
    if (key) {
        put_string(j->f, key, strlen(key));
        fputs(j->pretty ? ": " : ":", j->f);
    }
}

static void descend(struct json *j, const char *key, char bracket)
{
    lead_in(j, key);
    fputc(bracket, j->f);
    j->depth++;
    assert(j->depth < (int)LEVELS);
    j->first[j->depth] = true;
}

static void ascend(struct json *j, char bracket)
{
    assert(j->depth > 0);
    bool empty = j->first[j->depth--];
    if (!empty)
        newline(j);
    fputc(bracket, j->f);
}

void json_object_begin(struct json *j, const char *key)
{
    descend(j, key, '{');
}

void json_object_end(struct json *j)
{
    ascend(j, '}');
}

void json_array_begin(struct json *j, const char *key)
{
    descend(j, key, '[');
}

void json_array_end(struct json *j)
{
    ascend(j, ']');
}

void json_str(struct json *j, const char *key, const char *s)
{
    if (s)
        json_str_n(j, key, s, strlen(s));
    else
        json_none(j, key);
}

void json_str_n(struct json *j, const char *key, const char *s, size_t n)
{
    lead_in(j, key);
    put_string(j->f, s, n);
}

void json_i64(struct json *j, const char *key, int64_t v)
{
    lead_in(j, key);
    fprintf(j->f, "%" PRId64, v);
}

void json_fixed(struct json *j, const char *key, int64_t v, int decimals)
{
    uint64_t one = 1, digits = v < 0 ? -(uint64_t)v : (uint64_t)v;
    for (int i = 0; i < decimals; i++)
        one *= 10;
    uint64_t rest = digits % one;
    for (; rest && rest % 10 == 0; decimals--)
        rest /= 10;
    lead_in(j, key);
    fprintf(j->f, "%s%" PRIu64, v < 0 ? "-" : "", digits / one);
    if (rest)
        fprintf(j->f, ".%0*" PRIu64, decimals, rest);
}

void json_f64(struct json *j, const char *key, double v)
{
    char buf[32];
    lead_in(j, key);
    fputs(isfinite(v) ? num_print(v, buf) : "null", j->f); // JSON knows no infinities either
}

void json_bool(struct json *j, const char *key, bool v)
{
    lead_in(j, key);
    fputs(v ? "true" : "false", j->f);
}

void json_none(struct json *j, const char *key)
{
    lead_in(j, key);
    fputs("null", j->f);
}
