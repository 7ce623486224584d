// SPDX-License-Identifier: GPL-3.0-or-later
// One parameter at a time: the ends of the range first, because what moves nothing at an eighth and
// at eight times its value is done; then the factors between; then bisection, on a logarithmic
// scale, between the last harmless and the first harmful value on either side. A step of the
// bisection only asks "harmful?", so it predicts the rows that moved before first and ends with the
// first that does.
//
// A range is what is connected to the value: what lies behind a harmful value is not searched. A
// value at which there is no model (a size that is no power of two) is passed over outwards and
// ends a bisection.
//
// Parameters do not depend on each other, so worker processes take them one by one (workers.h). The
// pool's messages say which parameter is done; what came out is in memory that all share.
//
// Invariant: the result does not depend on the number of workers, nor on the order of rows.
#include "explore/sensitivity.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "explore/workers.h"

const double sensitivity_factors[SENSITIVITY_FACTORS] = {0.125, 0.5, 0.8, 1.25, 2, 8};

enum { STEPS = 6 };               // of a bisection, at most
static const double CLOSE = 1.05; // it ends when harmless and harmful are this near

struct shared {
    volatile sig_atomic_t stop;
    struct sensitivity result[];
};

struct search_state {
    const struct sensitivity_problem *p;
    const struct sensitivity_result *base;
    struct shared *shared;
    int *order; // [m] rows, those that did harm first
};

static bool stopped(const struct search_state *s)
{
    return s->shared->stop || (s->p->stop && *s->p->stop);
}

// --- one value

// A rounding error of the arithmetic is no move.
static double moved_percent(const struct sensitivity_problem *p, int row, double was, double now)
{
    double relative_to = fmax(fabs(was), p->scale ? p->scale[row] : 0), by = fabs(now - was);
    if (by <= 1e-9 * relative_to)
        return 0;
    return relative_to > 0 ? 100 * by / relative_to : (double)INFINITY;
}

static bool harmful(const struct search_state *s, const struct sensitivity_move *m)
{
    return m->strategies > 0 || m->percent > 100 * s->p->tolerance;
}

static void add_row(const struct search_state *s, int row, struct sensitivity_move *m)
{
    const struct prediction *was = &s->base->base[row];
    struct prediction now;
    struct err e = {0};
    double percent = INFINITY;
    if (s->p->predict(s->p->user, row, &now, &e) >= 0) {
        if (was->is_text) {
            m->strategies += strcmp(was->text, now.text) != 0;
            return;
        }
        percent = moved_percent(s->p, row, was->value, now.value);
    }
    bool first = percent == m->percent && m->row > row; // whatever the order of evaluation
    if (percent > m->percent || (percent > 0 && first)) {
        m->percent = percent;
        m->row = row;
    }
}

static void evaluate(const struct search_state *s, int i, double x, bool until_harm,
                     struct sensitivity_move *m)
{
    *m = (struct sensitivity_move){.state = SENSITIVITY_MOVED, .value = x, .row = -1};
    if (s->p->set(s->p->user, i, x) < 0) {
        m->state = SENSITIVITY_IMPOSSIBLE;
        return;
    }
    for (int k = 0; k < s->p->m && !stopped(s); k++) {
        int row = s->order[k];
        if (!s->base->known[row])
            continue;
        add_row(s, row, m);
        if (until_harm && harmful(s, m)) {
            memmove(s->order + 1, s->order, (size_t)k * sizeof *s->order);
            s->order[0] = row;
            return;
        }
    }
}

// --- one parameter

// The value that the parameter would have, within its limits.
static double candidate(const struct search_state *s, int i, double x)
{
    const struct fit_parameter *a = &s->p->parameter[i];
    x = fmax(a->min, fmin(a->max, x));
    if (s->p->round)
        x = s->p->round(s->p->user, i, x);
    return fmax(a->min, fmin(a->max, a->whole ? nearbyint(x) : x));
}

// known: nothing moves there, as seen elsewhere.
static void try_factor(const struct search_state *s, int i, int f, bool known,
                       struct sensitivity *out)
{
    double start = s->p->parameter[i].start;
    double x = candidate(s, i, start * sensitivity_factors[f]);
    if (x == start || x == candidate(s, i, start))
        out->move[f] = (struct sensitivity_move){.value = start, .row = -1};
    else if (known)
        out->move[f] = (struct sensitivity_move){.state = SENSITIVITY_MOVED, .value = x, .row = -1};
    else
        evaluate(s, i, x, false, &out->move[f]);
}

static bool moved(const struct sensitivity_move *m)
{
    return m->percent > 0 || m->strategies > 0;
}

// Does the parameter move nothing at the ends? Then it is taken to move nothing between.
static bool idle(const struct sensitivity *x)
{
    const struct sensitivity_move *a = &x->move[0], *b = &x->move[SENSITIVITY_FACTORS - 1];
    return a->state != SENSITIVITY_IMPOSSIBLE && b->state != SENSITIVITY_IMPOSSIBLE && !moved(a) &&
           !moved(b);
}

// The limit of the harmless range on one side; *end: nothing harmful there.
static double limit(const struct search_state *s, int i, int step, const struct sensitivity *x,
                    bool *end)
{
    double good = s->p->parameter[i].start, bad = NAN;
    int f = step < 0 ? SENSITIVITY_FACTORS / 2 - 1 : SENSITIVITY_FACTORS / 2;
    for (; f >= 0 && f < SENSITIVITY_FACTORS && isnan(bad); f += step) {
        const struct sensitivity_move *m = &x->move[f];
        if (m->state == SENSITIVITY_MOVED && harmful(s, m))
            bad = m->value;
        else if (m->state == SENSITIVITY_MOVED)
            good = m->value;
    }
    *end = isnan(bad);
    for (int k = 0; k < STEPS && !*end && !stopped(s); k++) {
        struct sensitivity_move m;
        double ratio = good / bad;
        double middle = candidate(s, i, copysign(sqrt(good * bad), good));
        if ((ratio < CLOSE && ratio > 1 / CLOSE) || middle == good || middle == bad)
            break;
        evaluate(s, i, middle, true, &m);
        if (m.state == SENSITIVITY_IMPOSSIBLE)
            break;
        *(harmful(s, &m) ? &bad : &good) = middle;
    }
    return good;
}

static void one_parameter(const struct search_state *s, int i, struct sensitivity *out)
{
    enum { LAST = SENSITIVITY_FACTORS - 1 };
    *out = (struct sensitivity){.row = -1};
    try_factor(s, i, 0, false, out);
    try_factor(s, i, LAST, false, out);
    bool done = idle(out);
    for (int f = 1; f < LAST; f++)
        try_factor(s, i, f, done, out);
    out->unmoved = true;
    for (int f = 0; f < SENSITIVITY_FACTORS; f++) {
        const struct sensitivity_move *m = &out->move[f];
        out->unmoved &= !moved(m);
        if (f < SENSITIVITY_NEAR || f >= SENSITIVITY_NEAR_END)
            continue;
        out->strategies = m->strategies > out->strategies ? m->strategies : out->strategies;
        if (m->percent > out->percent) {
            out->percent = m->percent;
            out->row = m->row;
        }
    }
    out->low = limit(s, i, -1, out, &out->low_end);
    out->high = limit(s, i, 1, out, &out->high_end);
}

// --- as a worker

static void *worker_open(const void *context)
{
    return (void *)(uintptr_t)context; // a forked process has its own
}

static void worker_run(void *state, const struct search_point *p, struct metrics *out)
{
    const struct search_state *s = state;
    metrics_init(out, METRICS_OK);
    one_parameter(s, p->choice[0], &s->shared->result[p->choice[0]]);
}

static void worker_close(void *state)
{
    (void)state;
}

static void crashed(struct sensitivity *x, const char *reason)
{
    *x = (struct sensitivity){.row = -1};
    snprintf(x->crashed, sizeof x->crashed, "%.150s", reason);
}

static int all_parameters(const struct search_state *s, struct err *e)
{
    static const struct campaign_worker worker = {worker_open, worker_run, worker_close};
    const struct sensitivity_problem *p = s->p;
    struct workers *w = NULL;
    int given = 0, out = 0, done = 0;
    int rc = workers_open(p->jobs < p->n ? p->jobs : p->n, 0, &worker, s, &w, e);
    while (rc >= 0) {
        if (stopped(s))
            s->shared->stop = 1; // workers do not hear the signal
        while (rc >= 0 && !s->shared->stop && given < p->n && workers_ready(w)) {
            struct search_point point = {.choice = {given}};
            rc = workers_give(w, given++, &point, e);
            out++;
        }
        int64_t i = 0;
        struct metrics m;
        if (rc < 0 || out == 0 || (rc = workers_wait(w, -1, &i, &m, e)) < 0)
            break;
        if (rc == 0)
            continue;
        out--;
        if (m.status == METRICS_CRASHED)
            crashed(&s->shared->result[i], m.reason);
        if (p->progress && !stopped(s))
            p->progress(p->user, ++done, p->n);
    }
    s->shared->stop |= rc < 0; // nobody waits for what is still being worked on
    workers_close(w);
    return rc < 0 ? rc : 0;
}

// --- all

// At the values as they are.
static int start(const struct sensitivity_problem *p, struct sensitivity_result *r, struct err *e)
{
    if (p->set(p->user, -1, 0) < 0)
        return err_set(e, ERR_CONFIG, "no model at the values as they are");
    for (int j = 0; j < p->m && !(p->stop && *p->stop); j++) {
        struct err why = {0};
        if (p->except && p->except[j])
            continue;
        r->known[j] = p->predict(p->user, j, &r->base[j], &why) >= 0;
        r->failed += !r->known[j];
    }
    return 0;
}

// Most first: by numbers, by texts, by how narrow the harmless range is.
static bool less(const struct sensitivity *a, const struct sensitivity *b)
{
    if (a->unmoved != b->unmoved)
        return a->unmoved;
    if (a->percent != b->percent)
        return a->percent < b->percent;
    if (a->strategies != b->strategies)
        return a->strategies < b->strategies;
    double far_a = fmax(a->move[0].percent, a->move[SENSITIVITY_FACTORS - 1].percent);
    double far_b = fmax(b->move[0].percent, b->move[SENSITIVITY_FACTORS - 1].percent);
    return far_a < far_b;
}

static void sort(struct sensitivity_result *r, int n)
{
    for (int i = 0; i < n; i++) {
        int at = i;
        for (; at > 0 && less(&r->parameter[r->order[at - 1]], &r->parameter[i]); at--)
            r->order[at] = r->order[at - 1];
        r->order[at] = i;
    }
}

int sensitivity_run(const struct sensitivity_problem *p, struct sensitivity_result *out,
                    struct err *e)
{
    struct sensitivity_result *r = out;
    size_t n = (size_t)p->n, m = (size_t)p->m + 1;
    *r = (struct sensitivity_result){.m = p->m};
    arena_init(&r->arena);
    r->parameter = ARENA_NEWS(&r->arena, n + 1, struct sensitivity);
    r->order = ARENA_NEWS(&r->arena, n + 1, int);
    r->base = ARENA_NEWS(&r->arena, m, struct prediction);
    r->known = ARENA_NEWS(&r->arena, m, bool);
    struct search_state s = {.p = p, .base = r, .order = ARENA_NEWS(&r->arena, m, int)};
    for (int j = 0; j < p->m; j++)
        s.order[j] = j;
    size_t size = sizeof *s.shared + n * sizeof *s.shared->result;
    s.shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s.shared == MAP_FAILED) {
        sensitivity_fini(r);
        return err_set(e, ERR_IO, "no memory to share with workers: %s", strerror(errno));
    }
    int rc = start(p, r, e);
    if (rc == 0)
        rc = all_parameters(&s, e);
    memcpy(r->parameter, s.shared->result, n * sizeof *r->parameter);
    r->interrupted = stopped(&s);
    munmap(s.shared, size);
    sort(r, p->n);
    if (rc < 0)
        sensitivity_fini(r);
    return rc;
}

void sensitivity_fini(struct sensitivity_result *r)
{
    arena_fini(&r->arena);
    *r = (struct sensitivity_result){0};
}
