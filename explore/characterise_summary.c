// SPDX-License-Identifier: GPL-3.0-or-later
// A profile in words. Each section is reduced to what a reader looks for in its picture: where a
// curve becomes flat, how wide a step is, how much the order of operands and the shape matter.
//
// The width of a step is the widest one at whose multiples nearly all of the rise happens. A
// straight line rises everywhere alike, 1 / width of it there, so it has none; and because rises
// are differences of neighbours, noise between them cancels in the sum.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "explore/characterise_internal.h"

static const double SATURATED = 0.9; // of the best
static const double STEPPED = 0.8;   // of the rise
static const double ALIKE = 1.01;

// Walks the points of one section that differ in `what` from all before; NULL at the end.
static const struct point *next_what(const struct point *p, int n, enum section s, int *at)
{
    for (; *at < n; ++*at) {
        bool seen = characterise_section_of(&p[*at]) != (int)s;
        for (int j = 0; !seen && j < *at; j++)
            seen = characterise_section_of(&p[j]) == (int)s && !strcmp(p[j].what, p[*at].what);
        if (!seen)
            return &p[(*at)++];
    }
    return NULL;
}

static bool is(const struct point *p, enum section s, const char *what)
{
    return characterise_section_of(p) == (int)s && !strcmp(p->what, what);
}

static bool throughput_of(const struct point *p, const char *what)
{
    return is(p, SECTION_OPERATOR, what) && !strcmp(p->unit, "GFLOP/s");
}

static void operators(const struct point *p, int n, FILE *f)
{
    const struct point *q;
    int max_n = 0;
    for (int i = 0; i < n; i++)
        if (characterise_section_of(&p[i]) == SECTION_OPERATOR && p[i].n > max_n)
            max_n = p[i].n;
    for (int at = 0; (q = next_what(p, n, SECTION_OPERATOR, &at));) {
        const struct point *best = q, *from = NULL;
        double most = 0; // of squares
        for (int i = 0; i < n; i++)
            if (throughput_of(&p[i], q->what)) {
                best = p[i].value > best->value ? &p[i] : best;
                if (characterise_is_square(&p[i], max_n))
                    most = fmax(most, p[i].value);
            }
        for (int i = 0; i < n; i++)
            if (throughput_of(&p[i], q->what) && characterise_is_square(&p[i], max_n) &&
                p[i].value >= SATURATED * most && (!from || p[i].m < from->m))
                from = &p[i];
        fprintf(f, "  %-14s at most %.4g %s (%d x %d, N = %d)", q->what, best->value, best->unit,
                best->m, best->k, best->n);
        if (from)
            fprintf(f, "; saturates at %d x %d, N = %d", from->m, from->k, from->n);
        fputc('\n', f);
    }
}

// The share of the rise over n that lies between a multiple of `width` and the next number. The
// first token is left out: a device may have a path of its own for it.
static double stepped(const struct point *p, int n, const char *what, int width)
{
    const struct point *before = NULL;
    double all = 0, at = 0;
    for (int i = 0; i < n; i++) {
        if (!is(&p[i], SECTION_STAGE, what) || p[i].n < 2 || p[i].n > 128)
            continue;
        if (before && before->n < p[i].n) {
            double rise = p[i].value - before->value;
            all += rise;
            at += before->n % width == 0 && p[i].n == before->n + 1 ? rise : 0;
        }
        before = &p[i];
    }
    return all > 0 ? at / all : 0;
}

static void stages(const struct point *p, int n, FILE *f)
{
    const struct point *q;
    for (int at = 0; (q = next_what(p, n, SECTION_STAGE, &at));) {
        int width = 128;
        while (width >= 4 && stepped(p, n, q->what, width) < STEPPED)
            width /= 2;
        if (width >= 4)
            fprintf(f, "  %-14s stages of %d tokens\n", q->what, width);
        else
            fprintf(f, "  %-14s no stages\n", q->what);
    }
}

static void orders(const struct point *p, int n, FILE *f)
{
    const struct point *q;
    for (int at = 0; (q = next_what(p, n, SECTION_ORDER, &at));) {
        double most = 0;
        const struct point *slow = NULL, *fast = NULL;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                if (is(&p[i], SECTION_ORDER, q->what) && is(&p[j], SECTION_ORDER, q->what) &&
                    strcmp(p[i].order, p[j].order) && p[i].m == p[j].m && p[i].k == p[j].k &&
                    p[i].n == p[j].n && p[j].value > 0 && p[i].value / p[j].value > most) {
                    most = p[i].value / p[j].value;
                    slow = &p[i];
                    fast = &p[j];
                }
        if (slow)
            fprintf(f, "  %-14s %s takes up to %.3g x the time of %s (%d x %d, N = %d)\n", q->what,
                    slow->order, most, fast->order, slow->m, slow->k, slow->n);
    }
}

static void shapes(const struct point *p, int n, FILE *f)
{
    const struct point *q;
    for (int at = 0; (q = next_what(p, n, SECTION_SHAPE, &at));) {
        const struct point *slow = q, *fast = q;
        for (int i = 0; i < n; i++)
            if (is(&p[i], SECTION_SHAPE, q->what) && !strcmp(p[i].order, q->order)) {
                slow = p[i].value > slow->value ? &p[i] : slow;
                fast = p[i].value < fast->value ? &p[i] : fast;
            }
        if (slow->value < ALIKE * fast->value)
            fprintf(f, "  %-14s all shapes alike (N = %d)\n", q->what, q->n);
        else
            fprintf(f, "  %-14s %d x %d takes %.3g x the time of %d x %d (N = %d)\n", q->what,
                    slow->m, slow->k, slow->value / fast->value, fast->m, fast->k, q->n);
    }
}

static void preparations(const struct point *p, int n, FILE *f)
{
    const struct point *q;
    for (int at = 0; (q = next_what(p, n, SECTION_PREPARE, &at));) {
        const struct point *slow = q, *fast = q;
        for (int i = 0; i < n; i++)
            if (is(&p[i], SECTION_PREPARE, q->what)) {
                slow = p[i].value > slow->value ? &p[i] : slow;
                fast = p[i].value < fast->value ? &p[i] : fast;
            }
        fprintf(f, "  %-14s %.4g %s (%d x %d, N = %d) to %.4g %s (%d x %d, N = %d)\n", q->what,
                fast->value, fast->unit, fast->m, fast->k, fast->n, slow->value, slow->unit,
                slow->m, slow->k, slow->n);
    }
}

static const struct point *bandwidth_of(const struct point *p, int n, const char *what)
{
    for (int i = 0; i < n; i++)
        if (is(&p[i], SECTION_BANDWIDTH, what))
            return &p[i];
    return NULL;
}

static void bandwidths(const struct point *p, int n, FILE *f)
{
    const struct point *q;
    for (int at = 0; (q = next_what(p, n, SECTION_BANDWIDTH, &at));) {
        if (strchr(q->what, '@'))
            continue;
        fprintf(f, "  %-14s %.3g %s", q->what, q->value, q->unit);
        const char *sep = "; slowed down: ";
        for (int i = 0; i < n; i++) {
            const char *in = strchr(p[i].what, '@');
            char name[POINT_WHAT];
            if (characterise_section_of(&p[i]) != SECTION_BANDWIDTH || !in ||
                strcmp(in + 1, q->what))
                continue;
            snprintf(name, sizeof name, "%.*s", (int)(in - p[i].what), p[i].what);
            const struct point *alone = bandwidth_of(p, n, name);
            if (alone && p[i].value > 0) {
                fprintf(f, "%s%s %.2f x", sep, name, alone->value / p[i].value);
                sep = ", ";
            }
        }
        fputc('\n', f);
    }
}

// One line per device, its joins on a second one.
static void latencies(const struct point *p, int n, FILE *f)
{
    char done[8][POINT_WHAT];
    int n_done = 0;
    for (int i = 0; i < n; i++) {
        size_t len = strcspn(p[i].what, ":");
        bool seen = characterise_section_of(&p[i]) != SECTION_LATENCY || n_done == 8;
        for (int d = 0; d < n_done; d++)
            seen |= strlen(done[d]) == len && !strncmp(done[d], p[i].what, len);
        if (seen)
            continue;
        snprintf(done[n_done++], POINT_WHAT, "%.*s", (int)len, p[i].what);
        for (int joins = 0; joins < 2; joins++) {
            int count = 0;
            for (int j = 0; j < n; j++) {
                if (characterise_section_of(&p[j]) != SECTION_LATENCY ||
                    strncmp(p[j].what, p[i].what, len + 1) != 0)
                    continue;
                const char *kind = p[j].what + len + (p[j].what[len] == ':');
                if (joins != !strncmp(kind, "join-", 5))
                    continue;
                if (!count)
                    fprintf(f, "  %-14s %s", joins ? "" : done[n_done - 1],
                            joins ? "hand-over: " : "");
                fprintf(f, "%s%s %.4g", count++ ? ", " : "", kind + (joins ? 5 : 0), p[j].value);
            }
            if (count)
                fprintf(f, " %s\n", p[i].unit);
        }
    }
}

// One line per pair, its schemes in order.
static void joins(const struct point *p, int n, FILE *f)
{
    for (int i = 0; i < n; i++) {
        size_t len = strcspn(p[i].what, ":");
        bool seen = characterise_section_of(&p[i]) != SECTION_JOIN;
        for (int j = 0; j < i && !seen; j++)
            seen = characterise_section_of(&p[j]) == SECTION_JOIN &&
                   !strncmp(p[j].what, p[i].what, len + 1);
        if (seen)
            continue;
        fprintf(f, "  %-14.*s ", (int)len, p[i].what);
        for (int j = i; j < n; j++)
            if (characterise_section_of(&p[j]) == SECTION_JOIN &&
                !strncmp(p[j].what, p[i].what, len + 1))
                fprintf(f, "%s%s %.4g", j > i ? ", " : "",
                        p[j].what + len + (p[j].what[len] == ':'), p[j].value);
        fprintf(f, " %s\n", p[i].unit);
    }
}

void characterise_summary(const struct point *p, int n, FILE *f)
{
    static void (*const part[CHARACTERISE_SECTIONS])(const struct point *, int, FILE *) = {
        operators, stages, orders, shapes, preparations, bandwidths, latencies, joins};
    for (int s = 0; s < CHARACTERISE_SECTIONS; s++) {
        bool any = false;
        for (int i = 0; i < n; i++)
            any |= characterise_section_of(&p[i]) == s;
        if (!any)
            continue;
        fprintf(f, "%s\n", characterise_section[s]);
        part[s](p, n, f);
    }
}
