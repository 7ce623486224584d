// SPDX-License-Identifier: GPL-3.0-or-later
// The page is a template with marks; this file copies it and puts the parts where the marks are.
//
// Three languages meet here, and each has its own way to end too early: in markup `<` and `&` are
// escaped; in the JSON every `<` is written \u003c, so that no label can close the script element
// that it stands in; the page's own scripts are checked for `</script` by the tests.
#include "explore/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/version.h"
#include "explore/report_internal.h"

extern const char report_page_html[], report_page_css[], report_page_js[], report_page_charts[];

void report_run_fini(struct report_run *r)
{
    if (r->plans_made)
        session_plans_fini(&r->plans);
    if (r->traced)
        trace_memory_fini(&r->trace);
    session_result_fini(&r->result);
    *r = (struct report_run){.row = -1};
}

// --- what all parts look at

// Levels of detail by what they are worth.
static int worth(const char *level)
{
    static const char *const levels[] = {"estimate", "flow", "cycle", "hardware"};
    for (int i = 0; level && i < 4; i++)
        if (!strcmp(level, levels[i]))
            return i;
    return -1;
}

void report_view_make(const struct report *r, struct report_view *out)
{
    struct report_view *v = out;
    int finest = -1;
    *v = (struct report_view){.r = r};
    arena_init(&v->arena);
    v->row = ARENA_NEWS(&v->arena, (size_t)r->n, struct campaign_row);
    v->coarse = ARENA_NEWS(&v->arena, (size_t)r->n, bool);
    for (int i = 0; i < r->n; i++)
        finest = worth(r->row[i].level) > finest ? worth(r->row[i].level) : finest;
    for (int i = 0; i < r->n; i++) {
        v->row[i] = r->row[i];
        struct metrics *m = &v->row[i].m;
        v->coarse[i] = m->status == METRICS_OK && worth(r->row[i].level) < finest;
        bool violated = m->status == METRICS_OK && !v->coarse[i] && m->violation > 0;
        v->n_coarse += v->coarse[i];
        v->n_violated += violated;
        v->n_ok += m->status == METRICS_OK && !violated && !v->coarse[i];
        v->n_infeasible += m->status == METRICS_INFEASIBLE;
        v->n_crashed += m->status == METRICS_CRASHED;
        v->n_hung += m->status == METRICS_HUNG;
        if (violated || v->coarse[i])
            m->status = METRICS_INFEASIBLE;
    }
    ranking_make(v->row, r->n, r->campaign->objective, r->campaign->n_objectives, &v->ranking);
    report_params_make(r->row, r->n, &v->arena, &v->params);
}

void report_view_fini(struct report_view *v)
{
    ranking_fini(&v->ranking);
    arena_fini(&v->arena);
}

int report_best_of_policy(const struct report_view *v, const char *policy, int objective)
{
    enum metric m = v->ranking.objective[objective];
    size_t length = strlen(policy);
    double least = INFINITY;
    int best = -1;
    for (int i = 0; i < v->r->n; i++) {
        const char *spec = v->row[i].policy;
        double y = metric_objective(m, v->row[i].m.value[m]);
        if (v->row[i].m.status != METRICS_OK || strncmp(spec, policy, length) ||
            (spec[length] && spec[length] != ':') || !(y < least))
            continue;
        least = y;
        best = i;
    }
    return best;
}

static int add(int *row, int n, int max, int candidate)
{
    for (int i = 0; i < n; i++)
        if (row[i] == candidate)
            return n;
    if (candidate < 0 || n == max)
        return n;
    row[n] = candidate;
    return n + 1;
}

int report_chosen(const struct report_view *v, int *row, int max)
{
    int n = 0;
    if (v->ranking.n_ok)
        n = add(row, n, max, v->ranking.order[0]);
    for (int j = 0; j < v->ranking.n_objectives; j++)
        n = add(row, n, max, v->ranking.best[j]);
    for (int j = 0; j < v->ranking.n_objectives && j < 1; j++)
        n = add(row, n, max, report_best_of_policy(v, "gpu_only", j));
    return n;
}

// --- the page

static void html_text(FILE *f, const char *s)
{
    for (; *s; s++)
        switch (*s) {
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '&':
            fputs("&amp;", f);
            break;
        case '"':
            fputs("&quot;", f);
            break;
        default:
            fputc(*s, f);
        }
}

static void data(const struct report_view *v, FILE *f)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (!memory)
        abort();
    report_json(v, memory);
    if (fclose(memory) != 0)
        abort();
    for (size_t i = 0; i < size; i++)
        if (text[i] == '<')
            fputs("\\u003c", f);
        else
            fputc(text[i], f);
    free(text);
}

static const char *title(const struct report *r, struct arena *a)
{
    const struct store_campaign *c = r->campaign;
    return r->title ? r->title : arena_printf(a, "%s: %s on %s", c->name, c->model, c->machine);
}

static void fill(const struct report_view *v, struct arena *a, const char *mark, size_t n, FILE *f)
{
    if (!strncmp(mark, "title", n))
        html_text(f, title(v->r, a));
    else if (!strncmp(mark, "style", n))
        fputs(report_page_css, f);
    else if (!strncmp(mark, "charts", n))
        fputs(report_page_charts, f);
    else if (!strncmp(mark, "script", n))
        fputs(report_page_js, f);
    else if (!strncmp(mark, "data", n))
        data(v, f);
}

// Marks are written {{NAME}}.
void report_page(const struct report *r, FILE *f)
{
    struct report_view v;
    report_view_make(r, &v);
    const char *s = report_page_html, *mark, *end;
    while ((mark = strstr(s, "{{")) && (end = strstr(mark, "}}"))) {
        fwrite(s, 1, (size_t)(mark - s), f);
        fill(&v, &v.arena, mark + 2, (size_t)(end - mark - 2), f);
        s = end + 2;
    }
    fputs(s, f);
    report_view_fini(&v);
}

// --- the data

void report_number(struct json *j, const char *key, double v)
{
    char text[32];
    if (!isfinite(v)) {
        json_none(j, key);
        return;
    }
    snprintf(text, sizeof text, "%.7g", v);
    json_f64(j, key, strtod(text, NULL));
}

static void campaign_json(struct json *j, const struct report_view *v, struct arena *a)
{
    const struct store_campaign *c = v->r->campaign;
    json_str(j, "title", title(v->r, a));
    json_str(j, "version", PARTITA_VERSION);
    json_object_begin(j, "campaign");
    json_i64(j, "id", c->id);
    json_str(j, "name", c->name);
    json_str(j, "search", c->search);
    json_str(j, "seed", arena_printf(a, "%llu", (unsigned long long)c->seed));
    json_str(j, "machine", c->machine);
    json_str(j, "model", c->model);
    json_str(j, "settings", c->settings ? c->settings : "");
    json_str(j, "workload", c->workload);
    json_str(j, "code", c->code);
    json_str(j, "stopped", c->stopped);
    json_str(j, "text", c->text);
    json_object_end(j);
}

static void counts_json(struct json *j, const struct report_view *v)
{
    json_object_begin(j, "counts");
    json_i64(j, "points", v->r->n);
    json_i64(j, "ok", v->n_ok);
    json_i64(j, "coarse", v->n_coarse);
    json_i64(j, "violated", v->n_violated);
    json_i64(j, "infeasible", v->n_infeasible);
    json_i64(j, "crashed", v->n_crashed);
    json_i64(j, "hung", v->n_hung);
    json_i64(j, "front", v->ranking.n_front);
    json_object_end(j);
}

// Per objective: whose value is best, and what gpu_only reaches at best.
static void objectives_json(struct json *j, const struct report_view *v)
{
    json_array_begin(j, "objectives");
    for (int o = 0; o < v->ranking.n_objectives; o++) {
        enum metric m = v->ranking.objective[o];
        json_object_begin(j, NULL);
        json_str(j, "metric", metric_rows[m].name);
        json_i64(j, "best", v->ranking.best[o]);
        json_i64(j, "gpu_only", report_best_of_policy(v, "gpu_only", o));
        json_object_end(j);
    }
    json_array_end(j);
    json_array_begin(j, "top");
    for (int i = 0; i < v->r->top && i < v->ranking.n_ok; i++)
        json_i64(j, NULL, v->ranking.order[i]);
    json_array_end(j);
}

void report_json(const struct report_view *v, FILE *f)
{
    struct arena a;
    struct json j;
    arena_init(&a);
    json_begin(&j, f, false);
    json_object_begin(&j, NULL);
    campaign_json(&j, v, &a);
    counts_json(&j, v);
    objectives_json(&j, v);
    report_points(&j, v);
    report_effects(&j, v);
    report_runs(&j, v);
    report_validation(&j, v);
    json_object_end(&j);
    json_end(&j);
    arena_fini(&a);
}
