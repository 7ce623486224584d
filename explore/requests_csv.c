// SPDX-License-Identifier: GPL-3.0-or-later
// Reading a trace of requests: a table of text with a header. Only two columns are looked at; what
// the others hold, and how they spell it, is their owner's business.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "base/csv.h"
#include "base/num.h"
#include "explore/requests.h"

// Names that published traces and benchmark tools give the two lengths; case, blanks, `_` and `-`
// do not matter.
static const char *const prompt_names[] = {
    "ContextTokens",  "input_tokens", "prompt_tokens",      "prompt",     "prompt_length",
    "prompt_len",     "input_length", "input_len",          "n_prompt",   "num_input_tokens",
    "Request tokens", "isl",          "num_prefill_tokens", "context_len"};
static const char *const gen_names[] = {
    "GeneratedTokens", "output_tokens", "completion_tokens", "gen",       "output_length",
    "output_len",      "n_gen",         "num_output_tokens", "osl",       "Response tokens",
    "generated",       "gen_len",       "num_decode_tokens", "gen_tokens"};
enum { KNOWN = sizeof prompt_names / sizeof prompt_names[0] };
_Static_assert(sizeof gen_names == sizeof prompt_names, "one loop looks at both");

struct reader {
    struct csv csv;
    char *field[CSV_MAX_FIELDS]; // of the last record
    int n;
};

// The next line that is not blank, as fields; 0 at the end of the file.
static int next(struct reader *r)
{
    do
        r->n = csv_record(&r->csv, r->field);
    while (r->n == 1 && !r->field[0][strspn(r->field[0], " \t")]);
    return r->n;
}

// Equal but for case, blanks, `_` and `-`.
static bool same(const char *a, const char *b)
{
    for (;; a++, b++) {
        a += strspn(a, " _-");
        b += strspn(b, " _-");
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (!*a)
            return true;
    }
}

static bool is_one_of(const char *name, const char *const *known)
{
    for (int i = 0; i < KNOWN; i++)
        if (same(name, known[i]))
            return true;
    return false;
}

// The columns of the header in words, for messages.
static const char *columns(const struct reader *r, char *buf, size_t size)
{
    buf[0] = 0;
    for (int i = 0; i < r->n; i++) {
        size_t used = strlen(buf);
        snprintf(buf + used, size - used, "%s%s", i ? ", " : "", r->field[i]);
    }
    return buf;
}

static int named_column(const struct reader *r, const char *name)
{
    char list[120];
    for (int i = 0; i < r->n; i++)
        if (!strcmp(name, r->field[i]))
            return i;
    const char *near = err_nearest(name, (const char *const *)r->field, (size_t)r->n);
    if (near)
        return csv_fail(&r->csv, NULL, "no column \"%.60s\"; did you mean \"%.60s\"?", name, near);
    return csv_fail(&r->csv, NULL, "no column \"%.60s\"; there are: %s", name,
                    columns(r, list, sizeof list));
}

// side: 0 prompt, 1 generation.
static int find_column(const struct reader *r, const char *name, int side)
{
    static const char *const key[] = {"trace_prompt", "trace_gen"};
    static const char *const what[] = {"prompt", "output"};
    char list[120];
    int found = -1;
    if (name)
        return named_column(r, name);
    for (int i = 0; i < r->n; i++) {
        if (!is_one_of(r->field[i], side ? gen_names : prompt_names))
            continue;
        if (found >= 0)
            return csv_fail(&r->csv, NULL,
                            "\"%.40s\" and \"%.40s\" could both be the %s lengths; say which with "
                            "%s",
                            r->field[found], r->field[i], what[side], key[side]);
        found = i;
    }
    if (found >= 0)
        return found;
    return csv_fail(&r->csv, NULL, "which column has the %s lengths? Say it with %s; there are: %s",
                    what[side], key[side], columns(r, list, sizeof list));
}

// A whole number from 1; "12.0", as some tools write one, is one.
static int read_length(const struct reader *r, int column, const char *name, int *out)
{
    const char *s = r->field[column] + strspn(r->field[column], " \t");
    size_t n = num_span(s);
    double v = n ? num_parse(s) : 0;
    if (n && !s[n + strspn(s + n, " \t")] && v >= 1 && v <= TRACE_MAX_TOKENS && v == (int)v) {
        *out = (int)v;
        return 0;
    }
    return csv_fail(&r->csv, name, "expected a whole number from 1 to %d, found \"%.40s\"",
                    TRACE_MAX_TOKENS, r->field[column]);
}

static int read_rows(struct reader *r, const int *column, char *const *name, struct trace *out)
{
    int64_t room = 0;
    int n_columns = r->n, rc;
    while ((rc = next(r)) > 0) {
        struct trace_request q;
        if (r->n != n_columns)
            return csv_fail(&r->csv, NULL, "%d columns, the header has %d", r->n, n_columns);
        if (read_length(r, column[0], name[0], &q.n_prompt) < 0 ||
            read_length(r, column[1], name[1], &q.n_gen) < 0)
            return ERR_FORMAT;
        if (out->n == room) {
            room = room ? room * 2 : 1024;
            out->request = realloc(out->request, (size_t)room * sizeof *out->request);
            if (!out->request)
                abort();
        }
        out->request[out->n++] = q;
    }
    return rc < 0 ? rc : out->n ? 0 : csv_fail(&r->csv, NULL, "a header, but no request");
}

int trace_read(FILE *f, const char *name, const char *prompt, const char *gen, struct trace *out,
               struct err *e)
{
    struct reader r = {.n = 0};
    struct err local = {0};
    char *title[2] = {NULL, NULL};
    int column[2] = {-1, -1};
    *out = (struct trace){0};
    csv_use(&r.csv, f, name, e ? e : &local);
    int rc = next(&r);
    if (rc == 0)
        rc = csv_fail(&r.csv, NULL, "empty file; expected a header and a request per line");
    if (rc > 0 && !strncmp(r.field[0], "\xef\xbb\xbf", 3))
        r.field[0] += 3; // byte order mark
    for (int s = 0; rc > 0 && s < 2; s++) {
        rc = column[s] = find_column(&r, s ? gen : prompt, s);
        if (rc >= 0 && !(title[s] = strdup(r.field[rc]))) // the next record overwrites it
            abort();
        rc = rc < 0 ? rc : 1;
    }
    if (rc > 0 && column[0] == column[1])
        rc = csv_fail(&r.csv, NULL, "prompt and output lengths are one column");
    if (rc > 0)
        rc = read_rows(&r, column, title, out);
    if (rc < 0)
        trace_fini(out);
    free(title[0]);
    free(title[1]);
    csv_close(&r.csv);
    return rc < 0 ? rc : 0;
}
