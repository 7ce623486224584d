// SPDX-License-Identifier: GPL-3.0-or-later
// A comparison as JUnit XML, which every CI system reads: one suite per question, one test case per
// point. Own writer, since a label may hold anything: markup is escaped, and bytes that XML 1.0 has
// no way to write (control characters, broken UTF-8) become question marks.
#include <string.h>
#include "cli/diff.h"

// Length of the valid UTF-8 sequence at s that XML may hold, or 0.
static int valid(const unsigned char *s)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    int n = *s < 0x80 ? 1 : *s >> 5 == 6 ? 2 : *s >> 4 == 14 ? 3 : *s >> 3 == 30 ? 4 : 0;
    if (n == 1)
        return *s >= ' ' || *s == '\t' || *s == '\n' || *s == '\r';
    unsigned c = n ? *s & (0xffu >> (n + 1)) : 0;
    for (int i = 1; i < n; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    bool bad = !n || c < least[n] || (c >= 0xd800 && c < 0xe000) || c == 0xfffe || c == 0xffff ||
               c > 0x10ffff;
    return bad ? 0 : n;
}

// Text for an attribute or an element. A line break in an attribute would be read as a blank.
static void escaped(FILE *f, const char *text)
{
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        int n = valid(s);
        if (!n || *s == '\r')
            fputc('?', f);
        else if (*s == '<')
            fputs("&lt;", f);
        else if (*s == '>')
            fputs("&gt;", f);
        else if (*s == '&')
            fputs("&amp;", f);
        else if (*s == '"')
            fputs("&quot;", f);
        else if (*s == '\n' || *s == '\t')
            fprintf(f, "&#%d;", *s);
        else
            fwrite(s, 1, (size_t)n, f);
        s += n ? n : 1;
    }
}

static void attribute(FILE *f, const char *name, const char *text)
{
    fprintf(f, " %s=\"", name);
    escaped(f, text);
    fputc('"', f);
}

static void failure(FILE *f, const struct diff *d, const struct diff_pair *p,
                    const struct compare_point *q)
{
    char event[400], text[200];
    diff_event(p, q, event, sizeof event);
    fprintf(f, ">\n      <failure");
    attribute(f, "type", q->verdict == COMPARE_SAME ? "changed" : compare_verdict_name(q->verdict));
    attribute(f, "message",
              *event       ? event
              : q->n_moves ? diff_move(&q->move[0], text, sizeof text)
                           : "another plan or session");
    fputc('>', f);
    for (int k = 0; k < q->n_moves; k++) {
        escaped(f, diff_move(&q->move[k], text, sizeof text));
        fprintf(f, ", %s\n", compare_verdict_name(q->move[k].verdict));
    }
    if (q->plan_prefill || q->plan_decode)
        fprintf(f, "another plan of %s\n",
                !q->plan_decode    ? "prefill"
                : !q->plan_prefill ? "decode"
                                   : "prefill and decode");
    else if (q->digest)
        fprintf(f, "another session digest\n");
    fprintf(f, "</failure>\n    </testcase>\n");
    (void)d;
}

static void suite(FILE *f, const struct diff *d, const struct diff_pair *p)
{
    char name[400];
    long long failed = 0, total = (long long)p->c.n;
    for (int64_t i = 0; i < p->c.n; i++)
        failed += diff_point_fails(d, &p->c.point[i]);
    bool front = d->strict; // a case of its own, since no single point is at fault
    failed += front && p->c.gained + p->c.lost;
    fprintf(f, "  <testsuite");
    attribute(f, "name", diff_question(&p->a, name, sizeof name));
    fprintf(f, " tests=\"%lld\" failures=\"%lld\" errors=\"0\" skipped=\"0\" time=\"0\">\n",
            total + front, failed);
    for (int64_t i = 0; i < p->c.n; i++) {
        const struct compare_point *q = &p->c.point[i];
        const struct campaign_row *r = diff_row(p, q);
        char label[1200];
        snprintf(label, sizeof label, "%s%s%s", r->label, *r->level ? " @ " : "", r->level);
        fprintf(f, "    <testcase");
        attribute(f, "classname", name);
        attribute(f, "name", label);
        fprintf(f, " time=\"0\"");
        if (diff_point_fails(d, q))
            failure(f, d, p, q);
        else
            fprintf(f, "/>\n");
    }
    if (front) {
        fprintf(f, "    <testcase");
        attribute(f, "classname", name);
        fprintf(f, " name=\"Pareto front\" time=\"0\"");
        if (p->c.gained + p->c.lost)
            fprintf(f,
                    "><failure type=\"changed\" message=\"%lld gained, %lld lost\"/></testcase>\n",
                    (long long)p->c.gained, (long long)p->c.lost);
        else
            fprintf(f, "/>\n");
    }
    fprintf(f, "  </testsuite>\n");
}

static void missing(FILE *f, const struct compare_side *s, const char *where)
{
    char name[400];
    fprintf(f, "  <testsuite");
    attribute(f, "name", diff_question(s, name, sizeof name));
    fprintf(f, " tests=\"1\" failures=\"1\" errors=\"0\" skipped=\"0\" time=\"0\">\n    <testcase");
    attribute(f, "classname", name);
    fprintf(f, " name=\"campaign\" time=\"0\"><failure type=\"missing\"");
    attribute(f, "message", where);
    fprintf(f, "/></testcase>\n  </testsuite>\n");
}

void diff_junit(FILE *f, const struct diff *d)
{
    fprintf(f, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites");
    attribute(f, "name", d->gate ? "partita gate" : "partita diff");
    fprintf(f, ">\n");
    for (int i = 0; i < d->n; i++)
        suite(f, d, &d->pair[i]);
    for (int i = 0; i < d->n_only_a; i++)
        missing(f, d->only_a[i], "only in A");
    for (int i = 0; i < d->n_only_b; i++)
        missing(f, d->only_b[i], "only in B");
    fprintf(f, "</testsuites>\n");
}
