// SPDX-License-Identifier: GPL-3.0-or-later
// The pictures of a profile. A picture of lines is a selection of points and which of their sizes
// is the x axis; a line is the points of one device, kind of time and operand order. Bandwidths and
// latencies are bars. A section without points has no picture.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "explore/characterise_internal.h"
#include "explore/plot.h"

enum { MAX_SERIES = 24, TITLE = 80, NEAR_ZERO = 128 };

enum axis { AXIS_M, AXIS_K, AXIS_N };

struct view {
    int m, k, max_n; // the shape most measured over tokens; the most tokens of a square
};

struct picture {
    const char *name, *title, *xlabel, *what; // y is "what (unit)"
    enum section section;
    enum axis x;
    bool log_x, log_y;
    bool (*wants)(const struct point *p, const struct view *v); // NULL: all
    bool by_shape;                                              // a line per shape as well
};

static bool is_square(const struct point *p, const struct view *v)
{
    return characterise_is_square(p, v->max_n);
}

static bool is_shape(const struct point *p, const struct view *v)
{
    return p->m == v->m && p->k == v->k;
}

static bool few_tokens(const struct point *p, const struct view *v)
{
    (void)v;
    return p->n <= NEAR_ZERO;
}

static bool many_tokens(const struct point *p, const struct view *v)
{
    return !few_tokens(p, v);
}

static const struct picture PICTURES[] = {
    {"operator-size", "Square matmuls: throughput over size", "size M = K (tokens alike, cut)",
     "throughput", SECTION_OPERATOR, AXIS_M, true, true, is_square, false},
    {"operator-tokens", "One weight matrix: throughput over tokens", "tokens N", "throughput",
     SECTION_OPERATOR, AXIS_N, true, true, is_shape, false},
    {"stage", "Stage performance: time over tokens in steps of one", "tokens N", "time",
     SECTION_STAGE, AXIS_N, false, true, few_tokens, false},
    {"stage-many", "Stage performance: time over tokens in steps of one", "tokens N", "time",
     SECTION_STAGE, AXIS_N, false, true, many_tokens, false},
    {"order", "Operand order: time over tokens", "tokens N", "time", SECTION_ORDER, AXIS_N, true,
     true, NULL, false},
    {"shape", "Shape: time over columns of the weight, M K constant", "columns K", "time",
     SECTION_SHAPE, AXIS_K, true, true, NULL, false},
    {"prepare", "Preparing a static graph", "tokens N of the graph", "time", SECTION_PREPARE,
     AXIS_N, true, true, NULL, true},
};

static int axis_of(const struct point *p, enum axis a)
{
    return a == AXIS_M ? p->m : a == AXIS_K ? p->k : p->n;
}

// The shape that was measured over most numbers of tokens, the first of equals.
static struct view view_of(const struct point *p, int n)
{
    struct view v = {0};
    int most = 0;
    for (int i = 0; i < n; i++) {
        int count = 0;
        if (characterise_section_of(&p[i]) != SECTION_OPERATOR)
            continue;
        v.max_n = p[i].n > v.max_n ? p[i].n : v.max_n;
        for (int j = 0; j < n; j++)
            count += characterise_section_of(&p[j]) == SECTION_OPERATOR &&
                     !strcmp(p[i].what, p[j].what) && p[i].m == p[j].m && p[i].k == p[j].k;
        if (count > most) {
            most = count;
            v.m = p[i].m;
            v.k = p[i].k;
        }
    }
    return v;
}

struct line {
    char title[TITLE];
    const struct point *of; // its first point
    double *x, *y;
    int n;
};

static bool same_line(const struct point *a, const struct point *b, bool by_shape)
{
    return !strcmp(a->what, b->what) && !strcmp(a->order, b->order) &&
           (!by_shape || (a->m == b->m && a->k == b->k));
}

static void line_title(struct line *l, bool by_order, bool by_shape)
{
    char kind[POINT_WHAT];
    snprintf(kind, sizeof kind, "%s", l->of->what);
    char *colon = strchr(kind, ':');
    if (colon)
        *colon = 0;
    int at = snprintf(l->title, sizeof l->title, "%s%s%s%s%s", kind, colon ? ", " : "",
                      colon ? colon + 1 : "", by_order && *l->of->order ? ", " : "",
                      by_order ? l->of->order : "");
    if (by_shape)
        snprintf(l->title + at, sizeof l->title - (size_t)at, ", %d x %d", l->of->m, l->of->k);
}

// Keeps the points in the order of x.
static void add_point(struct line *l, double x, double y)
{
    int i = l->n++;
    for (; i > 0 && l->x[i - 1] > x; i--) {
        l->x[i] = l->x[i - 1];
        l->y[i] = l->y[i - 1];
    }
    l->x[i] = x;
    l->y[i] = y;
}

static int lines_of(const struct picture *q, const struct view *v, const struct point *p, int n,
                    struct line *line)
{
    int count = 0;
    bool by_order = false;
    for (int i = 0; i < n; i++) {
        int l = 0;
        if (characterise_section_of(&p[i]) != (int)q->section || (q->wants && !q->wants(&p[i], v)))
            continue;
        while (l < count && !same_line(line[l].of, &p[i], q->by_shape))
            l++;
        if (l == MAX_SERIES)
            continue;
        if (l == count) {
            line[count++] = (struct line){.of = &p[i],
                                          .x = calloc((size_t)n, sizeof(double)),
                                          .y = calloc((size_t)n, sizeof(double))};
            for (int j = 0; j < l; j++)
                by_order |=
                    !strcmp(line[j].of->what, p[i].what) && strcmp(line[j].of->order, p[i].order);
        }
        if (!line[l].x || !line[l].y)
            abort();
        add_point(&line[l], axis_of(&p[i], q->x), p[i].value);
    }
    for (int l = 0; l < count; l++)
        line_title(&line[l], by_order, q->by_shape);
    return count;
}

static int draw_lines(const struct picture *q, const struct view *v, const struct point *p, int n,
                      const char *path, struct err *e)
{
    struct line line[MAX_SERIES];
    struct plot_series series[MAX_SERIES] = {{0}};
    char ylabel[TITLE], title[2 * TITLE];
    int count = lines_of(q, v, p, n, line);
    if (!count)
        return 0;
    for (int l = 0; l < count; l++)
        series[l] = (struct plot_series){line[l].title, line[l].x, line[l].y, line[l].n, false};
    const struct point *first = line[0].of;
    snprintf(ylabel, sizeof ylabel, "%s (%s)", q->what, first->unit);
    snprintf(title, sizeof title, "%s", q->title);
    size_t len = strlen(title);
    if (q->x == AXIS_N && !q->by_shape)
        snprintf(title + len, sizeof title - len, ", weight %d x %d", first->m, first->k);
    else if (q->x == AXIS_K)
        snprintf(title + len, sizeof title - len, ", %d tokens", first->n);
    struct plot plot = {.title = title,
                        .xlabel = q->xlabel,
                        .ylabel = ylabel,
                        .log_x = q->log_x,
                        .log_y = q->log_y,
                        .series = series,
                        .n_series = count};
    int rc = plot_write(&plot, path, e);
    for (int l = 0; l < count; l++) {
        free(line[l].x);
        free(line[l].y);
    }
    return rc;
}

// --- bars

struct bars {
    const struct point *p;
    int n;
    char (*label)[POINT_WHAT], (*group)[POINT_WHAT];
    int n_labels, n_groups;
    double *y; // [groups][labels]
};

static int name_at(char (*names)[POINT_WHAT], int *n, const char *name, size_t len)
{
    int i = 0;
    while (i < *n && (strncmp(names[i], name, len) != 0 || names[i][len]))
        i++;
    if (i == *n)
        snprintf(names[(*n)++], POINT_WHAT, "%.*s", (int)len, name);
    return i;
}

static void bar(struct bars *b, const char *group, size_t group_len, const char *label,
                double value)
{
    int l = name_at(b->label, &b->n_labels, label, strlen(label));
    int g = name_at(b->group, &b->n_groups, group, group_len);
    if (g < MAX_SERIES)
        b->y[g * b->n + l] = value;
}

// Of a bandwidth: who works together is the label, a bar for each, and one for their sum. Of a
// latency: its kind is the label, a bar for each device. Of a join: the scheme, a bar for each
// pair.
static void collect(struct bars *b, enum section section)
{
    for (int i = 0; i < b->n; i++) {
        const char *what = b->p[i].what, *at = strchr(what, '@'), *colon = strchr(what, ':');
        if (characterise_section_of(&b->p[i]) != (int)section)
            continue;
        if (section >= SECTION_LATENCY && colon)
            bar(b, what, (size_t)(colon - what), colon + 1, b->p[i].value);
        else if (section == SECTION_BANDWIDTH && at)
            bar(b, what, (size_t)(at - what), at + 1, b->p[i].value);
        else if (section == SECTION_BANDWIDTH && !strchr(what, '+'))
            bar(b, what, strlen(what), what, b->p[i].value);
    }
    for (int i = 0; section == SECTION_BANDWIDTH && i < b->n; i++)
        if (characterise_section_of(&b->p[i]) == SECTION_BANDWIDTH && strchr(b->p[i].what, '+') &&
            !strchr(b->p[i].what, '@'))
            bar(b, "together", 8, b->p[i].what, b->p[i].value);
}

static int draw_bars(enum section section, const struct point *p, int n, const char *path,
                     struct err *e)
{
    size_t room = (size_t)n;
    struct bars b = {.p = p,
                     .n = n,
                     .label = calloc(room, POINT_WHAT),
                     .group = calloc(room, POINT_WHAT),
                     .y = malloc(MAX_SERIES * room * sizeof *b.y)};
    const char **label = calloc(room, sizeof *label);
    struct plot_series series[MAX_SERIES] = {{0}};
    if (!b.label || !b.group || !b.y || !label)
        abort();
    for (size_t i = 0; i < MAX_SERIES * room; i++)
        b.y[i] = NAN;
    collect(&b, section);
    b.n_groups = b.n_groups < MAX_SERIES ? b.n_groups : MAX_SERIES;
    for (int g = 0; g < b.n_groups; g++)
        series[g] = (struct plot_series){.title = b.group[g], .y = b.y + g * n, .n = b.n_labels};
    for (int l = 0; l < b.n_labels; l++)
        label[l] = b.label[l];
    bool bandwidth = section == SECTION_BANDWIDTH;
    struct plot plot = {.title = bandwidth                 ? "Bandwidth alone and together"
                                 : section == SECTION_JOIN ? "From one device to another"
                                                           : "Submission and synchronisation",
                        .xlabel = bandwidth ? "devices that work at the same time" : "",
                        .ylabel = bandwidth ? "bandwidth (GB/s)" : "time (us)",
                        .log_y = !bandwidth,
                        .series = series,
                        .n_series = b.n_groups,
                        .label = label,
                        .n_bars = b.n_labels};
    int rc = b.n_labels ? plot_write(&plot, path, e) : 0;
    free(label);
    free(b.label);
    free(b.group);
    free(b.y);
    return rc;
}

int characterise_plots(const struct point *p, int n, const char *dir, const char *ending,
                       struct err *e)
{
    struct view v = view_of(p, n);
    char path[1024];
    int rc = 0;
    if (mkdir(dir, 0777) < 0 && errno != EEXIST)
        return err_at(e, ERR_IO, dir, 0, NULL, "%s", strerror(errno));
    for (size_t i = 0; rc == 0 && i < sizeof PICTURES / sizeof PICTURES[0]; i++) {
        snprintf(path, sizeof path, "%s/%s.%s", dir, PICTURES[i].name, ending);
        rc = draw_lines(&PICTURES[i], &v, p, n, path, e);
    }
    for (int s = SECTION_BANDWIDTH; rc == 0 && s <= SECTION_JOIN; s++) {
        snprintf(path, sizeof path, "%s/%s.%s", dir, characterise_section[s], ending);
        rc = draw_bars((enum section)s, p, n, path, e);
    }
    return rc;
}
