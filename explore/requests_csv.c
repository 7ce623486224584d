// SPDX-License-Identifier: GPL-3.0-or-later
// Reading a trace of requests: a table of text with a header. Only two columns are looked at; what
// the others hold, and how they spell it, is their owner's business.
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/num.h"
#include "explore/requests.h"

enum { MAX_FIELDS = 128 };

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

struct field {
    char *text;
    int at; // character of the line, from 1
};

struct reader {
    FILE *f;
    const char *name;
    int line;
    char separator;
    char *text; // of the line, cut into fields in place
    size_t size;
    struct field field[MAX_FIELDS];
    int n;
    struct err *e;
};

static int fail(const struct reader *r, const char *key, const char *what)
{
    return err_at(r->e, ERR_FORMAT, r->name, r->line, key, "%s", what);
}

// Cuts the line at separators outside of quotes; "" within quotes is one quote.
static int cut(struct reader *r, char *p)
{
    const char *line = r->text;
    for (r->n = 0;; p++) {
        if (r->n == MAX_FIELDS)
            return fail(r, NULL, "more than 128 columns");
        struct field *f = &r->field[r->n++];
        *f = (struct field){p, (int)(p - line) + 1};
        if (*p == '"') {
            char *to = p++;
            for (; *p && (*p != '"' || p[1] == '"'); p++) {
                *to++ = *p;
                p += *p == '"';
            }
            if (!*p)
                return fail(r, NULL, "a quoted field does not end on its line");
            p++;
            if (*p && *p != r->separator)
                return fail(r, NULL, "text behind the closing quote of a field");
            char end = *p;
            *to = 0;
            if (!end)
                return 0;
        } else {
            while (*p && *p != r->separator)
                p++;
            if (!*p)
                return 0;
            *p = 0;
        }
    }
}

// The next line that is not blank, cut into fields; 0 at the end of the file.
static int next(struct reader *r)
{
    for (;;) {
        ssize_t n = getline(&r->text, &r->size, r->f);
        if (n < 0)
            return ferror(r->f) ? fail(r, NULL, strerror(errno)) : 0;
        r->line++;
        if ((size_t)n != strlen(r->text))
            return fail(r, NULL, "a zero byte; a trace is a text file");
        while (n > 0 && (r->text[n - 1] == '\n' || r->text[n - 1] == '\r'))
            r->text[--n] = 0;
        char *p = r->text;
        if (r->line == 1 && !strncmp(p, "\xef\xbb\xbf", 3)) // byte order mark
            p += 3;
        if (!p[strspn(p, " \t")])
            continue;
        if (!r->separator)
            r->separator = strchr(p, ',')    ? ','
                           : strchr(p, ';')  ? ';'
                           : strchr(p, '\t') ? '\t'
                                             : ',';
        int rc = cut(r, p);
        return rc < 0 ? rc : 1;
    }
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
        snprintf(buf + used, size - used, "%s%s", i ? ", " : "", r->field[i].text);
    }
    return buf;
}

static int named_column(const struct reader *r, const char *name)
{
    const char *names[MAX_FIELDS];
    char text[300], list[120];
    for (int i = 0; i < r->n; i++) {
        names[i] = r->field[i].text;
        if (!strcmp(name, names[i]))
            return i;
    }
    const char *near = err_nearest(name, names, (size_t)r->n);
    if (near)
        snprintf(text, sizeof text, "no column \"%.60s\"; did you mean \"%.60s\"?", name, near);
    else
        snprintf(text, sizeof text, "no column \"%.60s\"; there are: %s", name,
                 columns(r, list, sizeof list));
    return fail(r, NULL, text);
}

// side: 0 prompt, 1 generation.
static int find_column(const struct reader *r, const char *name, int side)
{
    static const char *const key[] = {"trace_prompt", "trace_gen"}, *const what[] = {"prompt",
                                                                                     "output"};
    char text[300], list[120];
    int found = -1;
    if (name)
        return named_column(r, name);
    for (int i = 0; i < r->n; i++) {
        if (!is_one_of(r->field[i].text, side ? gen_names : prompt_names))
            continue;
        if (found >= 0) {
            snprintf(text, sizeof text,
                     "\"%.40s\" and \"%.40s\" could both be the %s lengths; say which with %s",
                     r->field[found].text, r->field[i].text, what[side], key[side]);
            return fail(r, NULL, text);
        }
        found = i;
    }
    if (found >= 0)
        return found;
    snprintf(text, sizeof text, "which column has the %s lengths? Say it with %s; there are: %s",
             what[side], key[side], columns(r, list, sizeof list));
    return fail(r, NULL, text);
}

// A whole number from 1; "12.0", as some tools write one, is one.
static int read_length(const struct reader *r, int column, const char *name, int *out)
{
    const struct field *f = &r->field[column];
    char what[200];
    const char *s = f->text + strspn(f->text, " \t");
    size_t n = num_span(s);
    double v = n ? num_parse(s) : 0;
    if (n && !s[n + strspn(s + n, " \t")] && v >= 1 && v <= TRACE_MAX_TOKENS && v == (int)v) {
        *out = (int)v;
        return 0;
    }
    snprintf(what, sizeof what, "expected a whole number from 1 to %d, found \"%.40s\" (column %d)",
             TRACE_MAX_TOKENS, f->text, f->at);
    return fail(r, name, what);
}

static int read_rows(struct reader *r, const int *column, char *const *name, struct trace *out)
{
    int64_t room = 0;
    int n_columns = r->n, rc;
    char what[96];
    while ((rc = next(r)) > 0) {
        struct trace_request q;
        if (r->n != n_columns) {
            snprintf(what, sizeof what, "%d columns, the header has %d", r->n, n_columns);
            return fail(r, NULL, what);
        }
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
    return rc < 0 ? rc : out->n ? 0 : fail(r, NULL, "a header, but no request");
}

int trace_read(FILE *f, const char *name, const char *prompt, const char *gen, struct trace *out,
               struct err *e)
{
    struct reader *r = calloc(1, sizeof *r);
    char *title[2] = {NULL, NULL};
    int column[2] = {-1, -1};
    *out = (struct trace){0};
    if (!r)
        abort();
    *r = (struct reader){.f = f, .name = name, .e = e};
    int rc = next(r);
    if (rc == 0)
        rc = fail(r, NULL, "empty file; expected a header and a request per line");
    for (int s = 0; rc > 0 && s < 2; s++) {
        rc = column[s] = find_column(r, s ? gen : prompt, s);
        if (rc >= 0 && !(title[s] = strdup(r->field[rc].text))) // a line overwrites the last
            abort();
        rc = rc < 0 ? rc : 1;
    }
    if (rc > 0 && column[0] == column[1])
        rc = fail(r, NULL, "prompt and output lengths are one column");
    if (rc > 0)
        rc = read_rows(r, column, title, out);
    if (rc < 0)
        trace_fini(out);
    free(title[0]);
    free(title[1]);
    free(r->text);
    free(r);
    return rc < 0 ? ERR_FORMAT : 0;
}
