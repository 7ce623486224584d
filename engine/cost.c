// SPDX-License-Identifier: GPL-3.0-or-later
// Curves in two sorted arrays. A matmul curve (device, order, K) is a list of columns, one per
// token count n, each a sorted list of (rows, ps). Lookups interpolate along rows inside a column,
// then between the two neighbouring columns. There are a few dozen columns at most, so linear
// search over sorted arrays is the fastest index.
#include "engine/cost.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "base/csv.h"
#include "base/digest.h"

struct point {
    int x; // rows (matmul) or cached rows (other operators)
    double ps;
};

struct column {
    int n; // tokens
    int count, room;
    struct point *point; // by x
};

struct curve {
    int device, order, k; // matmul: K; else the operator's width
    int kind;             // enum op_kind
    int count, room;
    struct column *column; // by n
};

struct cost_table {
    int count, room;
    struct curve *curve;
    struct cost_overheads over;
};

// All pairs of devices, [from * MACHINE_MAX_DEVICES + to].
enum { PAIRS = MACHINE_MAX_DEVICES * MACHINE_MAX_DEVICES };
static double *pairs(struct cost_table *t)
{
    return &t->over.pair[0][0];
}

struct cost_table *cost_create(void)
{
    struct cost_table *t = calloc(1, sizeof *t);
    if (!t)
        abort();
    for (int d = 0; d < MACHINE_MAX_DEVICES; d++)
        t->over.together[d] = t->over.together_many[d] = 1, t->over.split[d] = -1;
    for (int p = 0; p < PAIRS; p++)
        pairs(t)[p] = -1;
    return t;
}

void cost_destroy(struct cost_table *t)
{
    if (!t)
        return;
    for (int i = 0; i < t->count; i++) {
        for (int j = 0; j < t->curve[i].count; j++)
            free(t->curve[i].column[j].point);
        free(t->curve[i].column);
    }
    free(t->curve);
    free(t);
}

// Makes room for one more element at index `at` of a growing array.
static void *open_gap(void *array, int *count, int *room, int at, size_t size)
{
    if (*count == *room) {
        *room = *room ? *room * 2 : 8;
        array = realloc(array, (size_t)*room * size);
        if (!array)
            abort();
    }
    char *p = (char *)array + (size_t)at * size;
    memmove(p + size, p, (size_t)(*count - at) * size);
    memset(p, 0, size);
    ++*count;
    return array;
}

static struct curve *find_curve(const struct cost_table *t, int kind, int device, int order, int k)
{
    for (int i = 0; i < t->count; i++) {
        struct curve *c = &t->curve[i];
        if (c->k == k && c->device == device && c->kind == kind && c->order == order)
            return c;
    }
    return NULL;
}

static void add_point(struct cost_table *t, int kind, int device, int order, int k, int n, int x,
                      double ps)
{
    struct curve *c = find_curve(t, kind, device, order, k);
    if (!c) {
        t->curve = open_gap(t->curve, &t->count, &t->room, t->count, sizeof *c);
        c = &t->curve[t->count - 1];
        *c = (struct curve){.device = device, .order = order, .k = k, .kind = kind};
    }
    int i = 0, j = 0;
    while (i < c->count && c->column[i].n < n)
        i++;
    if (i == c->count || c->column[i].n != n) {
        c->column = open_gap(c->column, &c->count, &c->room, i, sizeof *c->column);
        c->column[i].n = n;
    }
    struct column *col = &c->column[i];
    while (j < col->count && col->point[j].x < x)
        j++;
    if (j == col->count || col->point[j].x != x)
        col->point = open_gap(col->point, &col->count, &col->room, j, sizeof *col->point);
    col->point[j] = (struct point){x, ps};
}

void cost_add_matmul(struct cost_table *t, int device, enum operand_order o, int k, int m, int n,
                     double ps)
{
    add_point(t, OP_MATMUL, device, (int)o, k, n, m, ps);
}

void cost_add_op(struct cost_table *t, int device, enum op_kind kind, int width, int n, int n_kv,
                 double ps)
{
    add_point(t, (int)kind, device, 0, width, n, kind == OP_ATTENTION ? n_kv : 0, ps);
}

static double between(double x0, double y0, double x1, double y1, double x)
{
    return x1 == x0 ? y0 : y0 + (y1 - y0) * (x - x0) / (x1 - x0);
}

// Below the first point the value stays (fixed costs dominate there); beyond the last it grows in
// proportion.
static double along_column(const struct column *c, int x)
{
    const struct point *p = c->point;
    int n = c->count;
    if (x <= p[0].x)
        return p[0].ps;
    if (x >= p[n - 1].x)
        return p[n - 1].x > 0 ? p[n - 1].ps * x / p[n - 1].x : p[n - 1].ps;
    int i = 1;
    while (p[i].x < x)
        i++;
    return between(p[i - 1].x, p[i - 1].ps, p[i].x, p[i].ps, x);
}

static double lookup(const struct curve *c, int n, int x)
{
    if (!c || !c->count)
        return -1;
    int i = 0;
    while (i < c->count && c->column[i].n < n)
        i++;
    if (i == c->count) {
        const struct column *last = &c->column[i - 1];
        return along_column(last, x) * n / last->n;
    }
    if (c->column[i].n == n || i == 0)
        return along_column(&c->column[i], x);
    const struct column *a = &c->column[i - 1], *b = &c->column[i];
    return between(a->n, along_column(a, x), b->n, along_column(b, x), n);
}

double cost_matmul(const struct cost_table *t, int device, enum operand_order o, int k, int m,
                   int n)
{
    return lookup(find_curve(t, OP_MATMUL, device, (int)o, k), n, m);
}

double cost_op(const struct cost_table *t, int device, enum op_kind kind, int width, int n,
               int n_kv)
{
    return lookup(find_curve(t, (int)kind, device, 0, width), n, kind == OP_ATTENTION ? n_kv : 0);
}

struct cost_overheads *cost_overheads(struct cost_table *t)
{
    return &t->over;
}

const struct cost_overheads *cost_get_overheads(const struct cost_table *t)
{
    return &t->over;
}

uint64_t cost_digest(const struct cost_table *t)
{
    uint64_t d = DIGEST_INIT;
    for (int i = 0; i < t->count; i++) {
        const struct curve *c = &t->curve[i];
        const int key[] = {c->kind, c->device, c->order, c->k};
        for (int j = 0; j < 4; j++)
            d = digest_u64(d, (uint64_t)key[j]);
        for (int j = 0; j < c->count; j++)
            for (int p = 0; p < c->column[j].count; p++) {
                d = digest_u64(d, (uint64_t)c->column[j].n);
                d = digest_u64(d, (uint64_t)c->column[j].point[p].x);
                d = digest_f64(d, c->column[j].point[p].ps);
            }
    }
    const double *o = (const double *)&t->over;
    for (size_t i = 0; i < offsetof(struct cost_overheads, pair) / sizeof *o; i++)
        d = digest_f64(d, o[i]);
    for (int i = 0; i < PAIRS; i++)
        if (t->over.pair[i / MACHINE_MAX_DEVICES][i % MACHINE_MAX_DEVICES] >= 0)
            d = digest_f64(digest_u64(d, (uint64_t)i),
                           o[offsetof(struct cost_overheads, pair) / sizeof *o + (size_t)i]);
    return d;
}

static const char HEADER[] = "kind,device,order,k,n,x,ps";
static const char *const OVER[] = {"join",  "submit",         "together", "together_many",
                                   "split", "copy_bandwidth", "ahead"};
static const char PAIR[] = "pair";
_Static_assert(offsetof(struct cost_overheads, pair) ==
                   sizeof OVER / sizeof OVER[0] * MACHINE_MAX_DEVICES * sizeof(double),
               "one name per row of overheads");

void cost_walk(const struct cost_table *t, void (*row)(void *ctx, const struct cost_row *r),
               void *ctx)
{
    for (int i = 0; i < t->count; i++) {
        const struct curve *c = &t->curve[i];
        for (int j = 0; j < c->count; j++)
            for (int p = 0; p < c->column[j].count; p++)
                row(ctx, &(struct cost_row){op_kind_name((enum op_kind)c->kind), c->device,
                                            c->order, c->k, c->column[j].n, c->column[j].point[p].x,
                                            c->column[j].point[p].ps});
    }
    const double *o = (const double *)&t->over;
    for (size_t i = 0; i < sizeof OVER / sizeof OVER[0]; i++)
        for (int d = 0; d < MACHINE_MAX_DEVICES; d++)
            if (o[i * MACHINE_MAX_DEVICES + d] >= 0) // else: not measured
                row(ctx, &(struct cost_row){.kind = OVER[i],
                                            .device = d,
                                            .ps = o[i * MACHINE_MAX_DEVICES + (size_t)d]});
    for (int a = 0; a < MACHINE_MAX_DEVICES; a++)
        for (int b = 0; b < MACHINE_MAX_DEVICES; b++)
            if (t->over.pair[a][b] >= 0)
                row(ctx, &(struct cost_row){
                             .kind = PAIR, .device = a, .x = b, .ps = t->over.pair[a][b]});
}

static void write_row(void *f, const struct cost_row *r)
{
    fprintf(f, "%s,%d,%d,%d,%d,%d,%.17g\n", r->kind, r->device, r->order, r->k, r->n, r->x, r->ps);
}

void cost_write(const struct cost_table *t, FILE *f)
{
    fprintf(f, "%s\n", HEADER);
    cost_walk(t, write_row, f);
}

static bool known(const struct cost_table *t, int kind, const int *v)
{
    const struct curve *c = find_curve(t, kind, v[0], v[1], v[2]);
    for (int i = 0; c && i < c->count; i++)
        for (int j = 0; c->column[i].n == v[3] && j < c->column[i].count; j++)
            if (c->column[i].point[j].x == v[4])
                return true;
    return false;
}

// The numbers behind the kind: device, order, k, n, x and the time.
static bool numbers(const char *text, int *v, double *ps)
{
    char *end;
    for (int i = 0; i < 5; i++) {
        errno = 0;
        long l = strtol(text, &end, 10);
        if (end == text || *end != ',' || errno || l < 0 || l > INT_MAX)
            return false;
        v[i] = (int)l;
        text = end + 1;
    }
    *ps = strtod(text, &end);
    return end != text && !*end && isfinite(*ps) && *ps >= 0;
}

// NULL, or what is wrong with the row. `seen`: overheads read so far.
static const char *read_row(struct cost_table *t, const char *row, bool *seen)
{
    const char *comma = strchr(row, ',');
    size_t length = comma ? (size_t)(comma - row) : 0;
    double *o = (double *)&t->over, ps;
    int v[5];
    if (!comma || !numbers(comma + 1, v, &ps) || v[0] >= MACHINE_MAX_DEVICES || v[1] >= ORDER_COUNT)
        return "malformed row";
    for (int i = 0; i < OP_KINDS; i++) {
        const char *name = op_kind_name((enum op_kind)i);
        if (strlen(name) != length || strncmp(row, name, length))
            continue;
        if (v[2] < 1 || v[3] < 1)
            return "k and n must be at least 1";
        if (known(t, i, v))
            return "the same row twice";
        add_point(t, i, v[0], v[1], v[2], v[3], v[4], ps);
        return NULL;
    }
    for (int i = 0; i < (int)(sizeof OVER / sizeof OVER[0]); i++) {
        int at = i * MACHINE_MAX_DEVICES + v[0];
        if (strlen(OVER[i]) != length || strncmp(row, OVER[i], length))
            continue;
        if (v[1] || v[2] || v[3] || v[4])
            return "order, k, n and x must be 0 here";
        if (seen[at])
            return "the same row twice";
        if (!strncmp(OVER[i], "together", 8) && ps < 1)
            return "a factor below 1";
        seen[at] = true;
        o[at] = ps;
        return NULL;
    }
    if (strlen(PAIR) == length && !strncmp(row, PAIR, length)) {
        int at = v[0] * MACHINE_MAX_DEVICES + v[4];
        if (v[1] || v[2] || v[3] || v[4] >= MACHINE_MAX_DEVICES)
            return "order, k and n must be 0 here, and x a device";
        bool *again = &seen[offsetof(struct cost_overheads, pair) / sizeof *o + (size_t)at];
        if (*again)
            return "the same row twice";
        *again = true;
        pairs(t)[at] = ps;
        return NULL;
    }
    return "unknown kind";
}

int cost_read(struct cost_table *t, const char *path, struct err *e)
{
    struct err own = {0}; // callers may not want to know
    struct csv c;
    bool seen[sizeof t->over / sizeof(double)] = {false};
    int rc = csv_open(&c, path, e ? e : &own);
    while (rc == 0 && (rc = csv_line(&c)) > 0) {
        const char *wrong = c.line > 1 ? read_row(t, c.text, seen) : NULL;
        rc = 0;
        if (c.line == 1 && strcmp(c.text, HEADER))
            rc = csv_fail(&c, NULL, "expected the header %s", HEADER);
        else if (wrong)
            rc = csv_fail(&c, NULL, "%s: expected %s, found \"%.80s\"", wrong, HEADER, c.text);
    }
    if (rc == 0 && c.line == 0)
        rc = csv_fail(&c, NULL, "empty file");
    csv_close(&c);
    return rc;
}
