// SPDX-License-Identifier: GPL-3.0-or-later
// A ranking for people and for programs.
#include "cli/explore.h"

#include <math.h>
#include <string.h>
#include "base/digest.h"

enum { MAX_COLUMNS = 3 + SEARCH_MAX_OBJECTIVES, MAX_REASONS = 6 };

// The columns that a newcomer wants to see, then objectives that are not among them.
static int columns(const struct ranking *r, enum metric *column)
{
    static const enum metric usual[] = {METRIC_TTFT, METRIC_DECODE_RATE, METRIC_ENERGY};
    int n = 0;
    for (; n < 3; n++)
        column[n] = usual[n];
    for (int j = 0; j < r->n_objectives; j++) {
        enum metric m = r->objective[j];
        if (m != METRIC_TTFT && m != METRIC_DECODE_RATE && m != METRIC_ENERGY && m != METRIC_TPOT)
            column[n++] = m;
    }
    return n;
}

static const char *value_text(enum metric m, double v, char buf[32])
{
    if (isnan(v))
        return strcpy(buf, "-");
    bool bytes = m == METRIC_MEMORY || m == METRIC_BYTES_MOVED;
    snprintf(buf, 32, "%.2f", bytes ? v / 1e6 : v);
    return buf;
}

static const char *unit_text(enum metric m)
{
    return m == METRIC_MEMORY || m == METRIC_BYTES_MOVED ? "MB" : metric_rows[m].unit;
}

static const char *title_text(enum metric m, char buf[32])
{
    const char *title = m == METRIC_DECODE_RATE ? "decode" : metric_rows[m].title;
    snprintf(buf, 32, "%.20s %.8s", title, unit_text(m));
    return buf;
}

enum { MAX_PARTS = SPACE_MAX_SOC + 2, MAX_WIDTH = 56 };

// Policy, scheme and each SoC value are columns of their own, as wide as what is shown.
struct text_columns {
    int n;
    int width[MAX_PARTS];
};

// Text of such a column of a row, or its title; NULL past the last one. SoC keys are shown by their
// last part: "dram.fabric=80 ns; npu.arch.arrays=4" has columns "fabric" and "arrays".
static const char *part(const struct campaign_row *q, bool title, int column, char *buf,
                        size_t size)
{
    static const char *const titles[] = {"policy", "sync"};
    if (column < 2)
        return title ? titles[column] : column ? q->sync : q->policy;
    const char *p = q->soc;
    for (int i = 2; i < column && p; i++)
        p = (p = strstr(p, "; ")) ? p + 2 : NULL;
    if (!p || !*p)
        return NULL;
    const char *eq = strchr(p, '='), *end = strstr(p, "; ");
    if (!eq)
        return NULL;
    end = end ? end : p + strlen(p);
    if (title) {
        for (const char *c = p; c < eq; c++)
            p = *c == '.' ? c + 1 : p;
        snprintf(buf, size, "%.*s", (int)(eq - p), p);
    } else {
        snprintf(buf, size, "%.*s", (int)(end - eq - 1), eq + 1);
    }
    return buf;
}

static void measure(const struct campaign_row *row, const struct ranking *r, int top,
                    struct text_columns *t)
{
    char text[96];
    *t = (struct text_columns){0};
    while (t->n < MAX_PARTS && part(&row[r->order[0]], true, t->n, text, sizeof text)) {
        for (int i = -1; i < top; i++) {
            const struct campaign_row *q = &row[r->order[i < 0 ? 0 : i]];
            const char *s = part(q, i < 0, t->n, text, sizeof text);
            int n = s ? (int)strlen(s) : 0;
            t->width[t->n] = n > t->width[t->n] ? n : t->width[t->n];
        }
        if (t->width[t->n] > MAX_WIDTH)
            t->width[t->n] = MAX_WIDTH;
        t->n++;
    }
}

static void print_parts(FILE *f, const struct campaign_row *q, bool title,
                        const struct text_columns *t)
{
    char text[96];
    for (int c = 0; c < t->n; c++) {
        const char *s = part(q, title, c, text, sizeof text);
        fprintf(f, "  %-*s", t->width[c], s ? s : "");
    }
}

static void print_table(FILE *f, const struct campaign_row *row, const struct ranking *r, int top)
{
    enum metric column[MAX_COLUMNS];
    struct text_columns parts;
    char text[32];
    int n = columns(r, column), w[MAX_COLUMNS];
    measure(row, r, top, &parts);
    fprintf(f, "rank ");
    print_parts(f, &row[r->order[0]], true, &parts);
    for (int c = 0; c < n; c++) {
        w[c] = (int)strlen(title_text(column[c], text));
        w[c] = w[c] < 9 ? 9 : w[c];
        fprintf(f, "  %*s", w[c], text);
    }
    fprintf(f, "  score\n");
    for (int i = 0; i < top; i++) {
        const struct campaign_row *q = &row[r->order[i]];
        fprintf(f, "%4d%c", i + 1, r->front[r->order[i]] ? '*' : ' ');
        print_parts(f, q, false, &parts);
        for (int c = 0; c < n; c++)
            fprintf(f, "  %*s", w[c], value_text(column[c], q->m.value[column[c]], text));
        fprintf(f, "  %5.2f\n", r->score[r->order[i]]);
    }
}

static void name_row(FILE *f, const struct campaign_row *q)
{
    fprintf(f, "%s with %s%s%s", q->policy, q->sync, *q->soc ? " on " : "", q->soc);
}

// The best against what engines do by default: everything on the GPU, the driver's own finish.
static void print_gain(FILE *f, const struct campaign_row *row, const struct ranking *r)
{
    const struct campaign_row *best = &row[r->order[0]], *base = NULL;
    for (int i = 0; i < r->n; i++)
        if (row[i].m.status == METRICS_OK && !strcmp(row[i].policy, "gpu_only") &&
            !strcmp(row[i].sync, "driver") && !strcmp(row[i].soc, best->soc))
            base = &row[i];
    if (!base || base == best)
        return;
    fprintf(f, "  against gpu_only with driver: first token %.2f times as fast",
            base->m.value[METRIC_TTFT] / best->m.value[METRIC_TTFT]);
    double decode = best->m.value[METRIC_DECODE_RATE] / base->m.value[METRIC_DECODE_RATE];
    double energy = best->m.value[METRIC_ENERGY] / base->m.value[METRIC_ENERGY];
    if (!isnan(decode))
        fprintf(f, ", decoding %.2f times", decode);
    if (!isnan(energy))
        fprintf(f, ", %.0f %% of the energy", energy * 100);
    fprintf(f, "\n");
}

static void print_sentences(FILE *f, const struct campaign_row *row, const struct ranking *r)
{
    char text[32];
    fprintf(f, "Best overall: ");
    name_row(f, &row[r->order[0]]);
    fprintf(f, " (score %.2f).\n", r->score[r->order[0]]);
    print_gain(f, row, r);
    for (int j = 0; j < r->n_objectives; j++) {
        enum metric m = r->objective[j];
        if (r->best[j] < 0)
            continue;
        const struct campaign_row *q = &row[r->best[j]];
        fprintf(f, "Best %s: ", metric_rows[m].title);
        name_row(f, q);
        fprintf(f, ", %s %s.\n", value_text(m, q->m.value[m], text), unit_text(m));
    }
    fprintf(f, "Score: geometric mean over ");
    const char *comma = "";
    for (int j = 0; j < r->n_objectives; j++)
        if (r->best[j] >= 0) { // an objective that nobody knows is left out of the score
            fprintf(f, "%s%s", comma, metric_rows[r->objective[j]].title);
            comma = ", ";
        }
    fprintf(f,
            " of the ratio to the best value seen;\n  1.00 would be best in all of them. "
            "*: Pareto front (%d of %d): nothing else is better in one\n  without being worse in "
            "another.\n",
            r->n_front, r->n_ok);
}

// Why points could not run: each distinct reason once, with a count and an example.
static void print_reasons(FILE *f, const struct campaign_row *row, int n)
{
    int first[MAX_REASONS], count[MAX_REASONS], kinds = 0, more = 0;
    for (int i = 0; i < n; i++) {
        int k = 0;
        if (row[i].m.status == METRICS_OK)
            continue;
        while (k < kinds && strcmp(row[first[k]].m.reason, row[i].m.reason))
            k++;
        if (k == MAX_REASONS) {
            more++;
        } else if (k == kinds) {
            first[kinds] = i;
            count[kinds++] = 1;
        } else {
            count[k]++;
        }
    }
    for (int k = 0; k < kinds; k++)
        fprintf(f, "Could not run (%d, such as %s): %s\n", count[k], row[first[k]].label,
                row[first[k]].m.reason);
    if (more)
        fprintf(f, "Could not run (%d more): see the store\n", more);
}

static int shown(const struct ranking *r, int top)
{
    return top > 0 && top < r->n_ok ? top : r->n_ok;
}

// What the points were evaluated on: model, requests, machines.
static void print_work(FILE *f, const struct cli_campaign *x)
{
    const struct space *s = x->space;
    if (s->trace)
        fprintf(f, "%s, %lld requests of %s as %d, on ", x->model->shape.name,
                (long long)s->traced.n, s->trace, s->n_requests);
    else
        fprintf(f, "%s, %d prompt tokens + %d generated, on ", x->model->shape.name, s->n_prompt,
                s->n_gen);
    for (int i = 0; i < s->n_machines; i++)
        fprintf(f, "%s%s", i ? ", " : "", s->machines[i]);
    if (s->n_machines > 1)
        fprintf(f, " (%s)", s->aggregate == AGGREGATE_WORST ? "worst" : "geometric mean");
    fputc('\n', f);
}

void cli_ranking_print(FILE *f, const struct cli_campaign *x, const struct ranking *r, int top,
                       const char *path)
{
    const struct campaign *c = &x->c;
    char hex[17];
    top = shown(r, top);
    print_work(f, x);
    fprintf(f, "%lld of %lld points evaluated", (long long)c->count,
            (long long)space_count(x->space));
    if (c->cached)
        fprintf(f, " (%lld before, see the store)", (long long)c->cached);
    fprintf(f, ", %d ran", r->n_ok + r->n_violating);
    if (r->n_violating)
        fprintf(f, " (%d outside the constraints, left out)", r->n_violating);
    if (c->infeasible)
        fprintf(f, ", %lld infeasible", (long long)c->infeasible);
    if (c->crashed)
        fprintf(f, ", %lld crashed", (long long)c->crashed);
    if (c->hung)
        fprintf(f, ", %lld hung", (long long)c->hung);
    fprintf(f, ", in %.1f s; %s\n\n", c->seconds, c->stopped ? c->stopped : "");
    if (top) {
        print_table(f, x->row, r, top);
        if (top < r->n_ok)
            fprintf(f, "       .. and %d more\n", r->n_ok - top);
        fprintf(f, "\n");
        print_sentences(f, x->row, r);
    }
    print_reasons(f, x->row, x->n_rows);
    if (path)
        fprintf(f, "All points: %s\n", path);
    fprintf(f, "Digest: %s\n", digest_text(c->digest, hex));
}

// --- JSON

static void row_json(struct json *j, const char *key, const struct cli_campaign *x,
                     const struct ranking *r, int index, int rank)
{
    const struct campaign_row *q = &x->row[index];
    char hex[17];
    json_object_begin(j, key);
    json_i64(j, "rank", rank);
    json_str(j, "machine", x->space->machine);
    json_str(j, "policy", q->policy);
    json_str(j, "sync", q->sync);
    json_str(j, "soc", q->soc);
    for (int m = 0; m < METRIC_COUNT; m++)
        json_f64(j, metric_rows[m].name, q->m.value[m]);
    json_none(j, "tokens");
    json_none(j, "text");
    json_f64(j, "score", r->score[index]);
    json_bool(j, "pareto", r->front[index]);
    json_str(j, "digest", digest_text(q->m.digest, hex));
    json_object_end(j);
}

static int rank_of(const struct ranking *r, int index)
{
    int rank = 0;
    while (r->order[rank] != index)
        rank++;
    return rank + 1;
}

void cli_ranking_json(FILE *f, const struct cli_campaign *x, const struct ranking *r, int top,
                      const struct cli_campaign_options *o)
{
    const struct campaign *c = &x->c;
    struct json j;
    char hex[17];
    json_begin(&j, f, true);
    json_object_begin(&j, NULL);
    json_str(&j, "space", x->space->path);
    json_str(&j, "machine", x->space->machine);
    json_str(&j, "model", x->model->shape.name);
    json_i64(&j, "n_prompt", x->space->n_prompt);
    json_i64(&j, "n_gen", x->space->n_gen);
    json_str(&j, "search", o->search);
    json_i64(&j, "points", c->count);
    json_i64(&j, "space_points", space_count(x->space));
    json_i64(&j, "feasible", r->n_ok);
    json_i64(&j, "violating", r->n_violating);
    json_i64(&j, "infeasible", c->infeasible);
    json_i64(&j, "crashed", c->crashed);
    json_i64(&j, "hung", c->hung);
    json_i64(&j, "cached", c->cached);
    json_i64(&j, "campaign", c->id);
    json_str(&j, "stopped", c->stopped);
    json_bool(&j, "interrupted", c->interrupted);
    json_f64(&j, "seconds", c->seconds);
    json_str(&j, "store", o->out);
    json_str(&j, "csv", o->csv);
    json_object_begin(&j, "best");
    if (r->n_ok)
        row_json(&j, "overall", x, r, r->order[0], 1);
    for (int k = 0; k < r->n_objectives; k++)
        if (r->best[k] >= 0)
            row_json(&j, metric_rows[r->objective[k]].name, x, r, r->best[k],
                     rank_of(r, r->best[k]));
    json_object_end(&j);
    json_array_begin(&j, "ranking");
    for (int i = 0; i < shown(r, top); i++)
        row_json(&j, NULL, x, r, r->order[i], i + 1);
    json_array_end(&j);
    json_array_begin(&j, "not_run");
    for (int i = 0; i < x->n_rows; i++) {
        const struct campaign_row *q = &x->row[i];
        if (q->m.status == METRICS_OK)
            continue;
        json_object_begin(&j, NULL);
        json_str(&j, "policy", q->policy);
        json_str(&j, "sync", q->sync);
        json_str(&j, "soc", q->soc);
        json_str(&j, "status", metrics_status_name(q->m.status));
        json_str(&j, "reason", q->m.reason);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_str(&j, "digest", digest_text(c->digest, hex));
    json_object_end(&j);
    json_end(&j);
}
