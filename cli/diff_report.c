// SPDX-License-Identifier: GPL-3.0-or-later
// What all forms of a comparison have in common: what fails, and how values are worded.
#include "cli/diff.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/num.h"

void diff_init(struct diff *d)
{
    *d = (struct diff){.top = 20};
    for (int m = 0; m < METRIC_COUNT; m++)
        d->tolerance[m] = 0.005;
    arena_init(&d->arena);
}

void diff_fini(struct diff *d)
{
    for (int i = 0; i < d->n; i++)
        compare_fini(&d->pair[i].c);
    free(d->pair);
    arena_fini(&d->arena);
    *d = (struct diff){0};
}

void diff_tolerance(struct diff *d, struct argp_state *state, const char *arg)
{
    const char *eq = strchr(arg, '='), *number = eq ? eq + 1 : arg;
    char name[64];
    int first = 0, last = METRIC_COUNT - 1;
    if (eq) {
        const char *names[METRIC_COUNT];
        snprintf(name, sizeof name, "%.*s", (int)(eq - arg), arg);
        first = last = metric_find(name);
        for (int m = 0; m < METRIC_COUNT; m++)
            names[m] = metric_rows[m].name;
        const char *near = err_nearest(name, names, METRIC_COUNT);
        if (first < 0)
            argp_error(state, "--tolerance: no metric \"%s\"%s%s%s", name,
                       near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    size_t n = num_span(number);
    double v = n ? num_parse(number) : -1;
    const char *unit = number + n + strspn(number + n, " ");
    if (!n || strcmp(unit, "%") || !(v >= 0 && v <= 1000))
        argp_error(state,
                   "--tolerance wants a share such as \"0.5 %%\", 0 %% to 1000 %%, found "
                   "\"%s\"",
                   number);
    for (int m = first; m <= last; m++)
        d->tolerance[m] = v / 100;
}

void diff_add(struct diff *d, const struct compare_side *a, const struct compare_side *b)
{
    d->pair = realloc(d->pair, (size_t)(d->n + 1) * sizeof *d->pair);
    if (!d->pair)
        abort();
    struct diff_pair *p = &d->pair[d->n++];
    *p = (struct diff_pair){.a = *a, .b = *b};
    p->same = compare_same_question(a, b);
    compare_make(a, b, d->tolerance, &p->c);
}

// --- what fails

bool diff_point_fails(const struct diff *d, const struct compare_point *p)
{
    if (p->a < 0 || p->b < 0)
        return !d->gate || d->strict || p->b < 0;
    if (p->verdict == COMPARE_WORSE)
        return true;
    if (d->strict && (p->plan_prefill || p->plan_decode || p->digest))
        return true;
    return p->verdict != COMPARE_SAME && (!d->gate || d->strict);
}

bool diff_fails(const struct diff *d)
{
    if (d->n_only_a || d->n_only_b)
        return true;
    for (int i = 0; i < d->n; i++) {
        const struct compare *c = &d->pair[i].c;
        if (d->strict && c->gained + c->lost)
            return true;
        for (int64_t k = 0; k < c->n; k++)
            if (diff_point_fails(d, &c->point[k]))
                return true;
    }
    return false;
}

int64_t diff_shown(const struct diff *d, const struct diff_pair *p)
{
    int64_t n = p->c.better + p->c.worse + p->c.moved + p->c.only_a + p->c.only_b;
    return d->top && n > d->top ? d->top : n;
}

// --- words

const char *diff_value(enum metric m, double v, char buf[48])
{
    bool bytes = m == METRIC_MEMORY || m == METRIC_BYTES_MOVED;
    if (isnan(v))
        return strcpy(buf, "-");
    snprintf(buf, 48, "%.5g%s%s", bytes ? v / 1e6 : v, *metric_rows[m].unit ? " " : "",
             bytes ? "MB" : metric_rows[m].unit);
    return buf;
}

const char *diff_change(double change, char buf[32])
{
    if (isnan(change))
        return strcpy(buf, "one side only");
    if (change == 0)
        return strcpy(buf, "=");
    if (isinf(change))
        return strcpy(buf, change > 0 ? "up from 0" : "down from 0");
    snprintf(buf, 32, fabs(change) < 10 ? "%+.2f %%" : "%+.0f %%", change * 100);
    return buf;
}

const char *diff_question(const struct compare_side *s, char *buf, size_t size)
{
    if (!*s->machine && !*s->model)
        snprintf(buf, size, "points without a campaign");
    else
        snprintf(buf, size, "%s, %s on %s%s%s", s->model, s->workload, s->machine,
                 *s->settings ? " with " : "", s->settings);
    return buf;
}

const struct campaign_row *diff_row(const struct diff_pair *p, const struct compare_point *q)
{
    return q->b >= 0 ? &p->b.row[q->b] : &p->a.row[q->a];
}

const char *diff_event(const struct diff_pair *p, const struct compare_point *q, char *buf,
                       size_t size)
{
    buf[0] = 0;
    if (q->b < 0) {
        snprintf(buf, size, "only in A");
    } else if (q->a < 0) {
        snprintf(buf, size, "only in B");
    } else if (q->status) {
        const struct metrics *a = &p->a.row[q->a].m, *b = &p->b.row[q->b].m;
        const char *why = b->status != METRICS_OK ? b->reason : a->reason;
        snprintf(buf, size, "%s, now %s%s%s", metrics_status_name(a->status),
                 metrics_status_name(b->status), *why ? ": " : "", why);
    } else if (q->constraints) {
        snprintf(buf, size, "%s",
                 p->b.row[q->b].m.violation > 0 ? "now breaks a constraint"
                                                : "now keeps the constraints");
    }
    return buf;
}

const char *diff_move(const struct compare_move *m, char *buf, size_t size)
{
    char change[32], a[48], b[48];
    snprintf(buf, size, "%s %s (%s to %s)", metric_rows[m->metric].name,
             diff_change(m->change, change), diff_value(m->metric, m->a, a),
             diff_value(m->metric, m->b, b));
    return buf;
}

// --- output

int diff_write(const char *path, void (*write)(FILE *f, const struct diff *d), const struct diff *d,
               struct err *e)
{
    if (!path)
        return 0;
    FILE *f = fopen(path, "w");
    if (!f)
        return err_at(e, ERR_IO, path, 0, NULL, "cannot write: %s", strerror(errno));
    write(f, d);
    bool bad = ferror(f) != 0;
    if (fclose(f) != 0 || bad)
        return err_at(e, ERR_IO, path, 0, NULL, "cannot write: %s", strerror(errno));
    return 0;
}

int diff_report(const struct diff *d, bool json, const char *markdown, const char *junit)
{
    struct err e = {0};
    if (json)
        diff_json(stdout, d);
    else
        diff_print(stdout, d);
    if (diff_write(markdown, diff_markdown, d, &e) < 0 || diff_write(junit, diff_junit, d, &e) < 0)
        return cli_fail(&e);
    return diff_fails(d) ? EXIT_CHECK : EXIT_OK;
}
