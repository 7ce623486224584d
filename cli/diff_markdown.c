// SPDX-License-Identifier: GPL-3.0-or-later
// A comparison as Markdown for a pull request or a job summary: the verdict first, then a table of
// what moved most, and everything else folded away.
#include <string.h>
#include "cli/diff.h"

enum { MAX_FRONT = 20 };

// Text inside a table cell as code: a bar would end the cell (also inside code, so it is written as
// an entity outside of it), a backtick the code, a line break the row.
static void cell(FILE *f, const char *text)
{
    fputs("<code>", f);
    for (; *text; text++) {
        switch (*text) {
        case '|':
            fputs("&#124;", f);
            break;
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '&':
            fputs("&amp;", f);
            break;
        case '`':
            fputs("&#96;", f);
            break;
        case '*':
            fputs("&#42;", f);
            break;
        case '_':
            fputs("&#95;", f);
            break;
        default:
            fputc((unsigned char)*text < ' ' ? ' ' : *text, f);
        }
    }
    fputs("</code>", f);
}

static void points(FILE *f, const struct diff *d, const struct diff_pair *p)
{
    char text[400], change[32], a[48], b[48];
    int64_t shown = diff_shown(d, p);
    if (!shown)
        return;
    fprintf(f, "\n| point | verdict | metric | A | B | change |\n|---|---|---|--:|--:|--:|\n");
    for (int64_t i = 0; i < shown; i++) {
        const struct compare_point *q = &p->c.point[i];
        const struct campaign_row *r = diff_row(p, q);
        if (*diff_event(p, q, text, sizeof text)) {
            fprintf(f, "| ");
            cell(f, r->label);
            fprintf(f, " | %s | ", q->a < 0 || q->b < 0 ? "" : compare_verdict_name(q->verdict));
            cell(f, text);
            fprintf(f, " | | | |\n");
        }
        if (q->n_moves) { // the largest; the rest is in the JUnit file and in --json
            const struct compare_move *m = &q->move[0];
            fprintf(f, "| ");
            cell(f, r->label);
            fprintf(f, " | %s | %s%s | %s | %s | %s |\n", compare_verdict_name(m->verdict),
                    metric_rows[m->metric].title, q->n_moves > 1 ? " and others" : "",
                    diff_value(m->metric, m->a, a), diff_value(m->metric, m->b, b),
                    diff_change(m->change, change));
        }
    }
    struct diff whole = *d;
    whole.top = 0;
    int64_t more = diff_shown(&whole, p) - shown;
    if (more)
        fprintf(f, "\nand %lld points more.\n", (long long)more);
}

static void best(FILE *f, const struct diff_pair *p)
{
    const struct compare *c = &p->c;
    char a[48], b[48], change[32];
    if (!c->n_objectives)
        return;
    fprintf(f, "\n| best | A | B | change | by |\n|---|--:|--:|--:|---|\n");
    for (int j = 0; j < c->n_objectives; j++) {
        const struct compare_best *t = &c->best[j];
        if (t->a < 0 || t->b < 0)
            continue;
        const struct campaign_row *x = &p->a.row[t->a], *y = &p->b.row[t->b];
        fprintf(f, "| %s | %s | %s | %s | ", metric_rows[t->metric].title,
                diff_value(t->metric, x->m.value[t->metric], a),
                diff_value(t->metric, y->m.value[t->metric], b), diff_change(t->change, change));
        cell(f, x->label);
        if (strcmp(x->label, y->label)) {
            fprintf(f, ", now ");
            cell(f, y->label);
        }
        fprintf(f, " |\n");
    }
}

static void members(FILE *f, const char *what, const struct campaign_row *row, const int64_t *of,
                    int64_t n)
{
    for (int64_t i = 0; i < n && i < MAX_FRONT; i++) {
        fprintf(f, "- %s ", what);
        cell(f, row[of[i]].label);
        fprintf(f, "\n");
    }
    if (n > MAX_FRONT)
        fprintf(f, "- and %lld more %s\n", (long long)(n - MAX_FRONT), what);
}

static void details(FILE *f, const struct diff_pair *p)
{
    const struct compare *c = &p->c;
    char low[32], high[32];
    fprintf(f, "\n<details><summary>Metrics, front, plans</summary>\n\n"
               "| metric | points | worse | better | moved | from | to |\n"
               "|---|--:|--:|--:|--:|--:|--:|\n");
    for (int m = 0; m < METRIC_COUNT; m++) {
        const struct compare_metric *t = &c->metric[m];
        if (t->n)
            fprintf(f, "| %s | %lld | %lld | %lld | %lld | %s | %s |\n", metric_rows[m].title,
                    (long long)t->n, (long long)t->worse, (long long)t->better, (long long)t->moved,
                    diff_change(t->lowest, low), diff_change(t->highest, high));
    }
    fprintf(f, "\nPareto front: %lld points, now %lld.\n\n", (long long)c->front_a,
            (long long)c->front_b);
    members(f, "gained", p->b.row, c->gained_row, c->gained);
    members(f, "lost", p->a.row, c->lost_row, c->lost);
    fprintf(f, "\n%lld points have another plan, %lld sessions another digest.\n\n</details>\n",
            (long long)c->plans, (long long)c->digests);
}

void diff_markdown(FILE *f, const struct diff *d)
{
    char text[400];
    bool fails = diff_fails(d);
    fprintf(f, "## Partita: %s\n\n",
            d->gate ? (fails ? "gate failed" : "gate passed")
                    : (fails ? "results differ" : "results agree"));
    fprintf(f, "A is ");
    cell(f, d->name_a);
    fprintf(f, ", B is ");
    cell(f, d->name_b);
    fprintf(f, ".\n");
    for (int i = 0; i < d->n; i++) {
        const struct diff_pair *p = &d->pair[i];
        fprintf(f, "\n### %s\n\n", diff_question(&p->a, text, sizeof text));
        if (!p->same)
            fprintf(f, "Against %s.\n\n", diff_question(&p->b, text, sizeof text));
        fprintf(f,
                "%lld points in both, %lld only in A, %lld only in B. Beyond the tolerance: "
                "**%lld worse**, %lld better, %lld moved.\n",
                (long long)p->c.both, (long long)p->c.only_a, (long long)p->c.only_b,
                (long long)p->c.worse, (long long)p->c.better, (long long)p->c.moved);
        points(f, d, p);
        best(f, p);
        details(f, p);
    }
    for (int i = 0; i < d->n_only_a; i++)
        fprintf(f, "\nOnly in A: %s.\n", diff_question(d->only_a[i], text, sizeof text));
    for (int i = 0; i < d->n_only_b; i++)
        fprintf(f, "\nOnly in B: %s.\n", diff_question(d->only_b[i], text, sizeof text));
}
