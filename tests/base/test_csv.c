// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/csv.h"

#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "tests/harness.h"

static struct err error;

static void open_text(struct csv *c, const char *text, size_t size)
{
    FILE *f = tmpfile();
    error = (struct err){0};
    CHECK(f && fwrite(text, 1, size, f) == size);
    rewind(f);
    csv_use(c, f, "x.csv", &error);
}

// The fields of the first record with | between them; its number, or the error's code.
static const char *fields(const char *text, int *n)
{
    static char joined[256];
    struct csv c;
    char *field[CSV_MAX_FIELDS];
    size_t at = 0;
    open_text(&c, text, strlen(text));
    *n = csv_record(&c, field);
    joined[0] = 0;
    for (int i = 0; i < *n; i++)
        at += (size_t)snprintf(joined + at, sizeof joined - at, "%s%s", i ? "|" : "", field[i]);
    csv_close(&c);
    return joined;
}

static void test_fields(void)
{
    static const struct {
        const char *text;
        int n;
        const char *fields;
    } c[] = {
        {"a,b,c\n", 3, "a|b|c"},
        {"a,b,c", 3, "a|b|c"},      // no end of line at the end of the file
        {"a,b,c\r\nd", 3, "a|b|c"}, // as other systems write it
        {"\n", 1, ""},
        {",\n", 2, "|"},
        {"a,,\n", 3, "a||"},
        {"\"a,b\",c\n", 2, "a,b|c"},
        {"\"say \"\"a\"\"\",c\n", 2, "say \"a\"|c"},
        {"\"\",\"\"\"\"\n", 2, "|\""},
        {"a \"b\",c\n", 2, "a \"b\"|c"}, // quotes inside a field are characters
        {" a , b\n", 2, " a | b"},
        {"", 0, ""},
    };
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        int n;
        const char *got = fields(c[i].text, &n);
        if (!CHECK_STR(got, c[i].fields) || !CHECK_INT(n, c[i].n))
            test_note("%s", c[i].text);
    }
}

static void test_records_and_lines(void)
{
    static const char text[] = "a,b\n\nc\n";
    struct csv c;
    char *field[CSV_MAX_FIELDS];
    open_text(&c, text, strlen(text));
    CHECK_INT(csv_record(&c, field), 2);
    CHECK_INT(c.line, 1);
    CHECK_INT(csv_record(&c, field), 1);
    CHECK_INT(c.line, 2);
    CHECK_INT(csv_line(&c), 1);
    CHECK_STR(c.text, "c");
    CHECK_INT(csv_line(&c), 0);
    CHECK_INT(csv_record(&c, field), 0);
    CHECK_INT(c.line, 3);
    csv_close(&c);
    csv_close(&c); // a second time does nothing
}

static void refuses(const char *text, size_t size, int line, const char *says)
{
    struct csv c;
    char *field[CSV_MAX_FIELDS];
    int rc;
    open_text(&c, text, size);
    while ((rc = csv_record(&c, field)) > 0)
        ;
    CHECK_INT(rc, ERR_FORMAT);
    CHECK_INT(error.line, line);
    CHECK_STR(error.file, "x.csv");
    CHECK_HAS(error.msg, says);
    csv_close(&c);
}

static void test_refusals(void)
{
    char wide[CSV_MAX_FIELDS + 2];
    memset(wide, ',', sizeof wide);
    wide[sizeof wide - 1] = 0;
    refuses("a\n\"b\n", 5, 2, "does not end on its line");
    refuses("\"b\"c,d\n", 7, 1, "behind a quoted field");
    refuses("a\nb\0c\n", 6, 2, "zero byte");
    refuses(wide, strlen(wide), 1, "too many columns");
    wide[CSV_MAX_FIELDS - 1] = 0; // 64 fields
    int n;
    fields(wide, &n);
    CHECK_INT(n, CSV_MAX_FIELDS);
}

static void test_files(void)
{
    struct csv c;
    struct err e = {0};
    CHECK_INT(csv_open(&c, "/no/such/file.csv", &e), ERR_IO);
    CHECK_HAS(e.msg, "cannot read");
    csv_close(&c);
    CHECK_INT(csv_open(&c, ".", &e), 0); // a folder opens, but cannot be read
    CHECK_INT(csv_line(&c), ERR_IO);
    csv_close(&c);
}

// Whatever is put comes back.
static void test_put_and_read_back(void)
{
    struct rng *r = rng_create(1, "csv");
    for (int i = 0; i < 500; i++) {
        static const char letters[] = "ab,\"\" 1";
        char text[8][12];
        char *field[CSV_MAX_FIELDS];
        int n = 1 + (int)rng_below(r, 8);
        struct csv c;
        FILE *f = tmpfile();
        for (int j = 0; f && j < n; j++) {
            int length = (int)rng_below(r, 11);
            for (int k = 0; k < length; k++)
                text[j][k] = letters[rng_below(r, sizeof letters - 1)];
            text[j][length] = 0;
            fputs(j ? "," : "", f);
            csv_put(f, text[j]);
        }
        if (!CHECK(f != NULL))
            break;
        rewind(f);
        csv_use(&c, f, "x.csv", &error);
        // One empty field is an empty file here, which has no record.
        int got = csv_record(&c, field);
        if (n > 1 || *text[0])
            CHECK_INT(got, n);
        for (int j = 0; j < got && j < n; j++)
            CHECK_STR(field[j], text[j]);
        csv_close(&c);
    }
    rng_destroy(r);
}

TESTS(base_csv, T(test_fields), T(test_records_and_lines), T(test_refusals), T(test_files),
      T(test_put_and_read_back))
