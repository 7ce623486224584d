// SPDX-License-Identifier: GPL-3.0-or-later
// Both sides are put into the order of their words and walked together, as one merges two sorted
// lists; so the result does not depend on the order in which either was evaluated.
//
// A movement is a relative change beyond the metric's tolerance. From zero every change is infinite
// (one dropped frame where there was none is news, whatever the tolerance), and a value that only
// one side knows is a movement without a size.
#include "explore/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "explore/ranking.h"

int compare_direction(enum metric m)
{
    if (metric_rows[m].rate || m == METRIC_ACTIVATION_BITS)
        return 1;
    return metric_rows[m].objective ? -1 : 0;
}

const char *compare_verdict_name(enum compare_verdict v)
{
    static const char *const name[] = {"same", "moved", "better", "worse"};
    return name[v];
}

// --- order and match by words

static int words_order(const struct campaign_row *x, const struct campaign_row *y)
{
    int d = strcmp(x->policy, y->policy);
    d = d ? d : strcmp(x->sync, y->sync);
    d = d ? d : strcmp(x->soc, y->soc);
    return d ? d : strcmp(x->level, y->level);
}

static int by_words(const void *x, const void *y)
{
    const struct campaign_row *a = *(const struct campaign_row *const *)x;
    const struct campaign_row *b = *(const struct campaign_row *const *)y;
    int d = words_order(a, b);
    return d ? d : (a > b) - (a < b); // as they were evaluated
}

static int64_t *sorted(const struct compare_side *s, struct arena *a)
{
    const struct campaign_row **row = ARENA_NEWS(a, (size_t)s->n + 1, const struct campaign_row *);
    int64_t *order = ARENA_NEWS(a, (size_t)s->n + 1, int64_t);
    for (int64_t i = 0; i < s->n; i++)
        row[i] = &s->row[i];
    qsort(row, (size_t)s->n, sizeof *row, by_words);
    for (int64_t i = 0; i < s->n; i++)
        order[i] = row[i] - s->row;
    return order;
}

// --- one point

static double relative(double a, double b)
{
    if (a == b)
        return 0;
    if (isnan(a) || isnan(b))
        return (double)NAN;
    return a == 0 ? copysign((double)INFINITY, b) : (b - a) / fabs(a);
}

static enum compare_verdict judge(enum metric m, double rise)
{
    int d = compare_direction(m);
    if (!d || isnan(rise))
        return COMPARE_MOVED;
    return (rise > 0) == (d > 0) ? COMPARE_BETTER : COMPARE_WORSE;
}

static int by_size(const void *x, const void *y)
{
    const struct compare_move *p = x, *q = y;
    double a = isnan(p->change) ? (double)INFINITY : fabs(p->change);
    double b = isnan(q->change) ? (double)INFINITY : fabs(q->change);
    return a != b ? (a < b) - (a > b) : (int)p->metric - (int)q->metric;
}

static void worst(struct compare_point *p, enum compare_verdict v)
{
    p->verdict = v > p->verdict ? v : p->verdict;
}

static void compare_values(struct compare *c, const double tolerance[METRIC_COUNT],
                           const struct metrics *a, const struct metrics *b,
                           struct compare_point *p)
{
    struct compare_move move[METRIC_COUNT];
    int n = 0;
    for (int m = 0; m < METRIC_COUNT; m++) {
        struct compare_metric *t = &c->metric[m];
        double x = a->value[m], y = b->value[m], change = relative(x, y);
        if (isnan(x) && isnan(y))
            continue;
        if (!isnan(change)) {
            t->n++;
            t->lowest = fmin(t->lowest, change); // fmin ignores the NaN of the beginning
            t->highest = fmax(t->highest, change);
            if (fabs(change) <= tolerance[m])
                continue;
        }
        enum compare_verdict v = judge(m, change);
        t->better += v == COMPARE_BETTER;
        t->worse += v == COMPARE_WORSE;
        t->moved += v == COMPARE_MOVED;
        move[n++] = (struct compare_move){(enum metric)m, x, y, change, v};
        worst(p, v);
    }
    qsort(move, (size_t)n, sizeof move[0], by_size);
    p->n_moves = n;
    p->move = memcpy(ARENA_NEWS(&c->arena, (size_t)n + 1, struct compare_move), move,
                     (size_t)n * sizeof move[0]);
    if (n)
        p->change = isnan(move[0].change) ? (double)INFINITY : fabs(move[0].change);
}

static void compare_rows(struct compare *c, const double tolerance[METRIC_COUNT],
                         const struct campaign_row *x, const struct campaign_row *y,
                         struct compare_point *p)
{
    const struct metrics *a = &x->m, *b = &y->m;
    c->both++;
    c->configs += x->config && y->config && x->config != y->config;
    if (a->status != b->status) {
        p->status = true;
        p->change = (double)INFINITY;
        worst(p, b->status < a->status ? COMPARE_BETTER : COMPARE_WORSE);
        return;
    }
    if (a->status != METRICS_OK)
        return;
    compare_values(c, tolerance, a, b, p);
    if ((a->violation > 0) != (b->violation > 0)) {
        p->constraints = true;
        p->change = (double)INFINITY;
        worst(p, a->violation > 0 ? COMPARE_BETTER : COMPARE_WORSE);
    }
    p->plan_prefill = a->plan_prefill != b->plan_prefill;
    p->plan_decode = a->plan_decode != b->plan_decode;
    p->digest = a->digest != b->digest;
    c->plans += p->plan_prefill || p->plan_decode;
    c->digests += p->digest;
}

// Changed ones first; the order of words decides between equals, so it is stable.
static int news(const struct compare_point *p)
{
    if (p->a < 0 || p->b < 0)
        return 1;
    if (p->verdict != COMPARE_SAME)
        return 0;
    return p->plan_prefill || p->plan_decode || p->digest ? 2 : 3;
}

struct ordered {
    struct compare_point p;
    int64_t at; // in the order of words
};

static int by_news(const void *x, const void *y)
{
    const struct ordered *p = x, *q = y;
    int d = news(&p->p) - news(&q->p);
    if (d || p->p.change != q->p.change)
        return d ? d : (p->p.change < q->p.change) - (p->p.change > q->p.change);
    return (p->at > q->at) - (p->at < q->at);
}

static void match(struct compare *c, const struct compare_side *a, const struct compare_side *b,
                  const double tolerance[METRIC_COUNT])
{
    int64_t *ia = sorted(a, &c->arena), *ib = sorted(b, &c->arena), i = 0, j = 0;
    struct ordered *list = calloc((size_t)(a->n + b->n) + 1, sizeof *list);
    if (!list)
        abort();
    while (i < a->n || j < b->n) {
        int d = i == a->n ? 1 : j == b->n ? -1 : words_order(&a->row[ia[i]], &b->row[ib[j]]);
        struct compare_point *p = &list[c->n].p;
        list[c->n].at = c->n;
        c->n++;
        p->a = d <= 0 ? ia[i++] : -1;
        p->b = d >= 0 ? ib[j++] : -1;
        if (d == 0)
            compare_rows(c, tolerance, &a->row[p->a], &b->row[p->b], p);
        c->only_a += d < 0;
        c->only_b += d > 0;
        c->better += p->verdict == COMPARE_BETTER;
        c->worse += p->verdict == COMPARE_WORSE;
        c->moved += p->verdict == COMPARE_MOVED;
    }
    qsort(list, (size_t)c->n, sizeof *list, by_news);
    c->point = ARENA_NEWS(&c->arena, (size_t)c->n + 1, struct compare_point);
    for (int64_t k = 0; k < c->n; k++)
        c->point[k] = list[k].p;
    free(list);
}

// --- best and front

// The rows that can be on the front: of the level that counts, within the constraints.
static int eligible(const struct compare_side *s, struct campaign_row *row, int64_t *of)
{
    int n = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (s->row[i].m.status == METRICS_OK && !(s->row[i].m.violation > 0) &&
            (!s->level || !strcmp(s->level, s->row[i].level))) {
            row[n] = s->row[i];
            of[n++] = i;
        }
    return n;
}

// Fills front[i] for every row of the side and best[j] for every objective.
static int64_t front(const struct compare_side *s, const enum metric *objective, int n_objectives,
                     bool *on, int64_t *best)
{
    struct ranking r;
    struct campaign_row *row = calloc((size_t)s->n + 1, sizeof *row);
    int64_t *of = calloc((size_t)s->n + 1, sizeof *of), members = 0;
    if (!row || !of)
        abort();
    ranking_make(row, eligible(s, row, of), objective, n_objectives, &r);
    for (int i = 0; i < r.n; i++)
        on[of[i]] = r.front[i];
    for (int j = 0; j < n_objectives; j++)
        best[j] = r.best[j] < 0 ? -1 : of[r.best[j]];
    members = r.n_front;
    ranking_fini(&r);
    free(row);
    free(of);
    return members;
}

static void compare_fronts(struct compare *c, const struct compare_side *a,
                           const struct compare_side *b)
{
    enum metric objective[SEARCH_MAX_OBJECTIVES];
    int64_t best_a[SEARCH_MAX_OBJECTIVES], best_b[SEARCH_MAX_OBJECTIVES];
    bool *on_a = ARENA_NEWS(&c->arena, (size_t)a->n + 1, bool);
    bool *on_b = ARENA_NEWS(&c->arena, (size_t)b->n + 1, bool);
    for (int j = 0; j < b->n_objectives; j++)
        for (int i = 0; i < a->n_objectives; i++)
            if (a->objective[i] == b->objective[j])
                objective[c->n_objectives++] = b->objective[j];
    if (!c->n_objectives)
        return;
    c->front_a = front(a, objective, c->n_objectives, on_a, best_a);
    c->front_b = front(b, objective, c->n_objectives, on_b, best_b);
    for (int j = 0; j < c->n_objectives; j++) {
        enum metric m = objective[j];
        struct compare_best *t = &c->best[j];
        *t = (struct compare_best){m, best_a[j], best_b[j], (double)NAN};
        if (t->a >= 0 && t->b >= 0)
            t->change = relative(a->row[t->a].m.value[m], b->row[t->b].m.value[m]);
    }
    c->gained_row = ARENA_NEWS(&c->arena, (size_t)c->front_b + 1, int64_t);
    c->lost_row = ARENA_NEWS(&c->arena, (size_t)c->front_a + 1, int64_t);
    for (int64_t i = 0; i < c->n; i++) {
        const struct compare_point *p = &c->point[i];
        bool was = p->a >= 0 && on_a[p->a], is = p->b >= 0 && on_b[p->b];
        if (is && !was)
            c->gained_row[c->gained++] = p->b;
        if (was && !is)
            c->lost_row[c->lost++] = p->a;
    }
}

void compare_make(const struct compare_side *a, const struct compare_side *b,
                  const double tolerance[METRIC_COUNT], struct compare *out)
{
    *out = (struct compare){0};
    arena_init(&out->arena);
    for (int m = 0; m < METRIC_COUNT; m++)
        out->metric[m].lowest = out->metric[m].highest = (double)NAN;
    match(out, a, b, tolerance);
    compare_fronts(out, a, b);
}

void compare_fini(struct compare *c)
{
    arena_fini(&c->arena);
    *c = (struct compare){0};
}
