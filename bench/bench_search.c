// SPDX-License-Identifier: GPL-3.0-or-later
// How quickly searchers find what an exhaustive search finds. The whole space is evaluated once,
// then every searcher runs on the table with 11 seeds, as in a campaign: up to 64 points asked
// ahead, one told, asked again. The table is kept in FILE when there is one, and read from it.
//
//     bench_search [-t FILE] [-o OBJECTIVES] [-m MODEL] [SPACE [SEARCHER ..]]
//
// Prints medians over the seeds at 1, 2, 5 and 10 % of the evaluations: the share of the exhaustive
// front's hypervolume (see explore/hypervolume.h for the reference point), and of each objective by
// how much the best point found is worse than the best there is.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/model.h"
#include "explore/evaluate.h"
#include "explore/hypervolume.h"
#include "explore/pareto.h"
#include "models/soc/soc.h"

enum { SEEDS = 11, MARKS = 4 };
static const double mark[MARKS] = {0.01, 0.02, 0.05, 0.10};

struct table {
    struct search_space view;
    struct search_point *point; // in lexicographic order
    struct search_outcome *outcome;
    int n, k;
    double *value; // [n * k] of feasible points, NaN else
    double ref[SEARCH_MAX_OBJECTIVES], best[SEARCH_MAX_OBJECTIVES], whole;
};

// --- evaluating the space

static int open_machine(const struct machine_factory *f, const char *const *overrides, int n,
                        struct machine **out, struct err *e)
{
    struct conf *c;
    char path[256], key[128];
    snprintf(path, sizeof path, "configs/soc/%s.cfg", strchr(f->spec, ':') + 1);
    int rc = conf_open(path, &c, e);
    for (int i = 0; rc >= 0 && i < n; i++) {
        snprintf(key, sizeof key, "%.*s", (int)strcspn(overrides[i], "="), overrides[i]);
        rc = conf_override(c, key, strchr(overrides[i], '=') + 1, e);
    }
    if (rc >= 0)
        rc = machine_soc_open(c, false, out, e);
    conf_close(c);
    return rc;
}

static int by_choice(const void *x, const void *y)
{
    const struct search_point *a = x, *b = y;
    for (int i = 0; i < SEARCH_MAX_PARAMS; i++)
        if (a->choice[i] != b->choice[i])
            return a->choice[i] - b->choice[i];
    return 0;
}

static void evaluate(struct table *t, const struct space *s, const struct model *model)
{
    const struct machine_factory f = {.open = open_machine, .spec = s->machine};
    const struct evaluate_context c = {.space = s, .factory = &f, .model = model};
    struct evaluator *v = evaluator_create(&c);
    for (int i = 0; i < t->n; i++) {
        struct metrics m;
        evaluator_run(v, &t->point[i], &m);
        t->outcome[i] = (struct search_outcome){m.status == METRICS_OK, m.violation, {0}};
        for (int j = 0; j < t->k; j++)
            t->outcome[i].objective[j] =
                metric_objective(s->objective[j], m.value[s->objective[j]]);
    }
    evaluator_destroy(v);
}

static void tabulate(struct table *t, const struct space *s, const struct model *model,
                     const char *file)
{
    struct search_point p;
    space_search(s, &t->view);
    t->k = s->n_objectives;
    int64_t room = space_count(s);
    t->point = calloc((size_t)room + 1, sizeof *t->point);
    t->outcome = calloc((size_t)room + 1, sizeof *t->outcome);
    t->value = calloc((size_t)room + 1, (size_t)t->k * sizeof *t->value);
    if (!t->point || !t->outcome || !t->value)
        abort();
    for (bool more = search_first(&t->view, &p); more; more = search_next(&t->view, &p))
        t->point[t->n++] = p;
    FILE *in = file ? fopen(file, "rb") : NULL;
    bool known = in && fread(t->outcome, sizeof *t->outcome, (size_t)t->n, in) == (size_t)t->n;
    if (in)
        fclose(in);
    if (!known) {
        evaluate(t, s, model);
        FILE *out = file ? fopen(file, "wb") : NULL;
        if (out && fwrite(t->outcome, sizeof *t->outcome, (size_t)t->n, out) != (size_t)t->n)
            fprintf(stderr, "cannot write %s\n", file);
        if (out)
            fclose(out);
    }
    for (int i = 0; i < t->n; i++)
        for (int j = 0; j < t->k; j++) {
            bool counts = t->outcome[i].ok && !(t->outcome[i].violation > 0);
            t->value[i * t->k + j] = counts ? t->outcome[i].objective[j] : (double)NAN;
        }
    hypervolume_reference(t->value, t->n, t->k, t->ref);
    t->whole = hypervolume(t->value, t->n, t->k, t->ref);
    for (int j = 0; j < t->k; j++)
        t->best[j] = t->value[pareto_best(t->value, t->n, t->k, j) * t->k + j];
}

// --- searching it

struct result {
    double share[MARKS], regret[MARKS][SEARCH_MAX_OBJECTIVES];
};

static void judge(const struct table *t, const double *v, int n, int m, struct result *out)
{
    out->share[m] = hypervolume(v, n, t->k, t->ref) / t->whole;
    for (int j = 0; j < t->k; j++) {
        int b = pareto_best(v, n, t->k, j);
        out->regret[m][j] = b < 0 ? (double)INFINITY : v[b * t->k + j] / t->best[j] - 1;
    }
}

static bool search(const struct table *t, const struct search_ops *ops, const void *options,
                   uint64_t seed, struct result *out)
{
    struct err e = {0};
    struct search *s = ops->open(&t->view, options, seed, &e);
    if (!s) {
        printf("  %s\n", e.msg);
        return false;
    }
    int most = (int)ceil(mark[MARKS - 1] * t->n), asked = 0, told = 0, m = 0;
    struct search_point ring[CAMPAIGN_WINDOW];
    double *v = calloc((size_t)most + 1, (size_t)t->k * sizeof *v);
    if (!v)
        abort();
    for (;;) {
        while (asked < most && asked - told < CAMPAIGN_WINDOW &&
               ops->ask(s, &ring[asked % CAMPAIGN_WINDOW]))
            asked++;
        if (told == asked)
            break;
        const struct search_point *p = &ring[told % CAMPAIGN_WINDOW];
        struct search_point key = *p;
        const struct search_point *at =
            bsearch(&key, t->point, (size_t)t->n, sizeof key, by_choice);
        ptrdiff_t i = at - t->point;
        memcpy(v + told * t->k, t->value + i * t->k, (size_t)t->k * sizeof *v);
        ops->tell(s, p, &t->outcome[i]);
        told++;
        while (m < MARKS && told == (int)ceil(mark[m] * t->n))
            judge(t, v, told, m++, out);
    }
    for (; m < MARKS; m++)
        judge(t, v, told, m, out);
    ops->close(s);
    free(v);
    return true;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *first, size_t stride)
{
    double v[SEEDS];
    for (int i = 0; i < SEEDS; i++)
        v[i] = *(const double *)((const char *)first + (size_t)i * stride);
    qsort(v, SEEDS, sizeof v[0], ascending);
    return v[SEEDS / 2];
}

static int bench(const struct table *t, const struct space *s, const char *spec)
{
    const struct search_ops *ops;
    const void *options;
    struct result r[SEEDS];
    struct arena a;
    struct err e = {0};
    arena_init(&a);
    if (search_parse(spec, &a, &ops, &options, &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        arena_fini(&a);
        return 1;
    }
    bool ran = true;
    memset(r, 0, sizeof r);
    for (int seed = 0; seed < SEEDS && ran; seed++)
        ran = search(t, ops, options, (uint64_t)seed, &r[seed]);
    if (ran) {
        printf("  %-34s", spec);
        for (int m = 0; m < MARKS; m++)
            printf(" %6.2f", 100 * median(&r[0].share[m], sizeof r[0]));
        for (int j = 0; j < s->n_objectives; j++) {
            printf("  |");
            for (int m = 0; m < MARKS; m++)
                printf(" %5.1f", 100 * median(&r[0].regret[m][j], sizeof r[0]));
        }
        printf("\n");
    }
    arena_fini(&a);
    return 0;
}

static const char *const standard[] = {"random", "lhs",   "sobol", "coordinate",           "hill",
                                       "anneal", "nsga2", "bayes", "bayes:objective=first"};

int main(int argc, char **argv)
{
    const char *file = NULL, *name = NULL;
    char path[256];
    struct space *s;
    struct model *model;
    struct table t = {0};
    struct err e = {0};
    int o, bad = 0;
    while ((o = getopt(argc, argv, "t:m:")) != -1) {
        if (o == '?') {
            fprintf(stderr, "usage: bench_search [-t FILE] [-m MODEL] [SPACE [SEARCHER ..]]\n");
            return 2;
        }
        *(o == 't' ? &file : &name) = optarg;
    }
    const char *config = optind < argc ? argv[optind++] : "configs/space/hetero.cfg";
    if (space_open(config, &s, &e) < 0) {
        fprintf(stderr, "%s: %s\n", config, e.msg);
        return 1;
    }
    snprintf(path, sizeof path, "configs/model/%s.cfg", name ? name : s->model);
    if (model_open(path, &model, &e) < 0) {
        fprintf(stderr, "%s: %s\n", path, e.msg);
        space_close(s);
        return 1;
    }
    tabulate(&t, s, model, file);
    int ran = 0;
    for (int i = 0; i < t.n; i++)
        ran += t.outcome[i].ok && !(t.outcome[i].violation > 0);
    bool *front = calloc((size_t)t.n + 1, sizeof *front);
    int on_front = 0;
    if (!front)
        abort();
    pareto_front(t.value, t.n, t.k, front);
    for (int i = 0; i < t.n; i++)
        on_front += front[i];
    free(front);
    printf("search: %s, %d points, %d feasible, %d on the front; medians of %d seeds at 1, 2, 5, "
           "10 %% of the evaluations\n"
           "  %-34s %27s",
           config, t.n, ran, on_front, SEEDS, "", "hypervolume, % of all");
    for (int j = 0; j < t.k; j++)
        printf("  | %-14s %% above", metric_rows[s->objective[j]].name);
    printf("\n");
    if (optind < argc)
        for (; optind < argc; optind++)
            bad |= bench(&t, s, argv[optind]);
    else
        for (size_t i = 0; i < sizeof standard / sizeof standard[0]; i++)
            bad |= bench(&t, s, standard[i]);
    free(t.point);
    free(t.outcome);
    free(t.value);
    model_close(model);
    space_close(s);
    return bad;
}
