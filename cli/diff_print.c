// SPDX-License-Identifier: GPL-3.0-or-later
// A comparison for people at a terminal, and for programs.
#include <math.h>
#include <string.h>
#include "base/digest.h"
#include "cli/diff.h"

enum { MAX_MOVES = 3, MAX_FRONT = 8, MAX_PLANS = 3 };

// --- for people

static void print_points(FILE *f, const struct diff *d, const struct diff_pair *p)
{
    char text[400], change[32], a[48], b[48];
    int64_t shown = diff_shown(d, p), all = p->c.n;
    if (!shown)
        return;
    fprintf(f, "\n%12s  %-7s %-20s %14s %14s  point\n", "change", "verdict", "metric", "A", "B");
    for (int64_t i = 0; i < shown && i < all; i++) {
        const struct compare_point *q = &p->c.point[i];
        const char *label = diff_row(p, q)->label, *verdict = compare_verdict_name(q->verdict);
        if (*diff_event(p, q, text, sizeof text))
            fprintf(f, "%12s  %-7s %-50s  %s\n", "", q->a < 0 || q->b < 0 ? "" : verdict, text,
                    label);
        for (int k = 0; k < q->n_moves && k < MAX_MOVES; k++) {
            const struct compare_move *m = &q->move[k];
            fprintf(f, "%12s  %-7s %-20s %14s %14s  %s\n", diff_change(m->change, change),
                    compare_verdict_name(m->verdict), metric_rows[m->metric].name,
                    diff_value(m->metric, m->a, a), diff_value(m->metric, m->b, b), k ? "" : label);
        }
        if (q->n_moves > MAX_MOVES)
            fprintf(f, "%12s  and %d metrics more\n", "", q->n_moves - MAX_MOVES);
    }
    struct diff whole = *d;
    whole.top = 0;
    int64_t more = diff_shown(&whole, p) - shown;
    if (more)
        fprintf(f, "%12s  and %lld points more (--top 0 shows all)\n", "", (long long)more);
}

static void print_metrics(FILE *f, const struct compare *c)
{
    char low[32], high[32];
    fprintf(f, "\n%-22s %8s %8s %8s %8s %14s %14s\n", "metric", "points", "worse", "better",
            "moved", "from", "to");
    for (int m = 0; m < METRIC_COUNT; m++) {
        const struct compare_metric *t = &c->metric[m];
        if (t->n + t->better + t->worse + t->moved == 0)
            continue;
        fprintf(f, "%-22s %8lld %8lld %8lld %8lld %14s %14s\n", metric_rows[m].name,
                (long long)t->n, (long long)t->worse, (long long)t->better, (long long)t->moved,
                t->n ? diff_change(t->lowest, low) : "-",
                t->n ? diff_change(t->highest, high) : "-");
    }
}

static void print_best(FILE *f, const struct diff_pair *p)
{
    const struct compare *c = &p->c;
    char a[48], b[48], change[32];
    for (int j = 0; j < c->n_objectives; j++) {
        const struct compare_best *t = &c->best[j];
        if (t->a < 0 || t->b < 0)
            continue;
        const struct campaign_row *x = &p->a.row[t->a], *y = &p->b.row[t->b];
        fprintf(f, "%sbest %s: %s to %s (%s), %s", j ? "" : "\n", metric_rows[t->metric].title,
                diff_value(t->metric, x->m.value[t->metric], a),
                diff_value(t->metric, y->m.value[t->metric], b), diff_change(t->change, change),
                x->label);
        fprintf(f, strcmp(x->label, y->label) ? "; now %s\n" : "\n", y->label);
    }
    if (!c->n_objectives)
        return;
    fprintf(f, "front: %lld points, now %lld; %lld gained, %lld lost\n", (long long)c->front_a,
            (long long)c->front_b, (long long)c->gained, (long long)c->lost);
    for (int64_t i = 0; i < c->gained && i < MAX_FRONT; i++)
        fprintf(f, "  + %s\n", p->b.row[c->gained_row[i]].label);
    for (int64_t i = 0; i < c->lost && i < MAX_FRONT; i++)
        fprintf(f, "  - %s\n", p->a.row[c->lost_row[i]].label);
}

static void print_plans(FILE *f, const struct diff_pair *p)
{
    const struct compare *c = &p->c;
    int64_t shown = 0;
    if (!c->plans && c->digests)
        fprintf(f, "plans: the same; %lld sessions have another digest\n", (long long)c->digests);
    if (!c->plans)
        return;
    fprintf(f, "plans: %lld points have another plan\n", (long long)c->plans);
    for (int64_t i = 0; i < c->n && shown < MAX_PLANS; i++) {
        const struct compare_point *q = &c->point[i];
        if (!q->plan_prefill && !q->plan_decode)
            continue;
        fprintf(f, "  %s (%s)\n", diff_row(p, q)->label,
                !q->plan_decode    ? "prefill"
                : !q->plan_prefill ? "decode"
                                   : "prefill and decode");
        diff_plans(f, p, q);
        shown++;
    }
}

static void print_pair(FILE *f, const struct diff *d, const struct diff_pair *p)
{
    const struct compare *c = &p->c;
    char text[400];
    fprintf(f, "\n%s\n", diff_question(&p->a, text, sizeof text));
    if (!p->same)
        fprintf(f, "against %s\n", diff_question(&p->b, text, sizeof text));
    fprintf(f,
            "%lld points in both, %lld only in A, %lld only in B; worse %lld, better %lld, "
            "moved %lld\n",
            (long long)c->both, (long long)c->only_a, (long long)c->only_b, (long long)c->worse,
            (long long)c->better, (long long)c->moved);
    if (c->configs)
        fprintf(f, "the configuration (of the machine, or a default) differs for %lld of them\n",
                (long long)c->configs);
    print_points(f, d, p);
    if (c->both)
        print_metrics(f, c);
    print_best(f, p);
    print_plans(f, p);
}

void diff_print(FILE *f, const struct diff *d)
{
    char text[400];
    fprintf(f, "A: %s%s%s\nB: %s%s%s\n", d->name_a, d->n ? ", code " : "",
            d->n ? d->pair[0].a.code : "", d->name_b, d->n ? ", code " : "",
            d->n ? d->pair[0].b.code : "");
    for (int i = 0; i < d->n; i++)
        print_pair(f, d, &d->pair[i]);
    for (int i = 0; i < d->n_only_a; i++)
        fprintf(f, "\nonly in A: %s (%lld points)\n",
                diff_question(d->only_a[i], text, sizeof text), (long long)d->only_a[i]->n);
    for (int i = 0; i < d->n_only_b; i++)
        fprintf(f, "\nonly in B: %s (%lld points)\n",
                diff_question(d->only_b[i], text, sizeof text), (long long)d->only_b[i]->n);
    const char *good = d->gate ? "passed: nothing is worse beyond the tolerance"
                               : "nothing moved beyond the tolerance";
    const char *bad = d->gate ? "FAILED" : "something moved";
    fprintf(f, "\n%s\n", diff_fails(d) ? bad : good);
}

// --- for programs

static void json_point(struct json *j, const struct diff *d, const struct diff_pair *p,
                       const struct compare_point *q)
{
    const struct campaign_row *r = diff_row(p, q);
    char text[400];
    json_object_begin(j, NULL);
    json_str(j, "policy", r->policy);
    json_str(j, "sync", r->sync);
    json_str(j, "soc", r->soc);
    json_str(j, "level", r->level);
    json_str(j, "in", q->a < 0 ? "b" : q->b < 0 ? "a" : "both");
    json_str(j, "verdict", compare_verdict_name(q->verdict));
    json_bool(j, "fails", diff_point_fails(d, q));
    if (*diff_event(p, q, text, sizeof text))
        json_str(j, "event", text);
    json_bool(j, "plan_prefill_changed", q->plan_prefill);
    json_bool(j, "plan_decode_changed", q->plan_decode);
    json_bool(j, "digest_changed", q->digest);
    json_array_begin(j, "moves");
    for (int k = 0; k < q->n_moves; k++) {
        json_object_begin(j, NULL);
        json_str(j, "metric", metric_rows[q->move[k].metric].name);
        json_f64(j, "a", q->move[k].a);
        json_f64(j, "b", q->move[k].b);
        json_f64(j, "change", isfinite(q->move[k].change) ? q->move[k].change : (double)NAN);
        json_str(j, "verdict", compare_verdict_name(q->move[k].verdict));
        json_object_end(j);
    }
    json_array_end(j);
    json_object_end(j);
}

static void json_labels(struct json *j, const char *key, const struct campaign_row *row,
                        const int64_t *of, int64_t n)
{
    json_array_begin(j, key);
    for (int64_t i = 0; i < n; i++)
        json_str(j, NULL, row[of[i]].label);
    json_array_end(j);
}

static void json_side(struct json *j, const char *key, const struct compare_side *s)
{
    json_object_begin(j, key);
    json_str(j, "machine", s->machine);
    json_str(j, "settings", s->settings);
    json_str(j, "model", s->model);
    json_str(j, "workload", s->workload);
    json_str(j, "space", s->name);
    json_str(j, "code", s->code);
    json_i64(j, "points", s->n);
    json_object_end(j);
}

static void json_pair(struct json *j, const struct diff *d, const struct diff_pair *p)
{
    const struct compare *c = &p->c;
    json_object_begin(j, NULL);
    json_side(j, "a", &p->a);
    json_side(j, "b", &p->b);
    json_i64(j, "both", c->both);
    json_i64(j, "only_a", c->only_a);
    json_i64(j, "only_b", c->only_b);
    json_i64(j, "worse", c->worse);
    json_i64(j, "better", c->better);
    json_i64(j, "moved", c->moved);
    json_i64(j, "configurations_changed", c->configs);
    json_i64(j, "plans_changed", c->plans);
    json_i64(j, "digests_changed", c->digests);
    json_array_begin(j, "best");
    for (int i = 0; i < c->n_objectives; i++) {
        const struct compare_best *t = &c->best[i];
        json_object_begin(j, NULL);
        json_str(j, "metric", metric_rows[t->metric].name);
        json_str(j, "a", t->a < 0 ? NULL : p->a.row[t->a].label);
        json_str(j, "b", t->b < 0 ? NULL : p->b.row[t->b].label);
        json_f64(j, "value_a", t->a < 0 ? (double)NAN : p->a.row[t->a].m.value[t->metric]);
        json_f64(j, "value_b", t->b < 0 ? (double)NAN : p->b.row[t->b].m.value[t->metric]);
        json_object_end(j);
    }
    json_array_end(j);
    json_object_begin(j, "front");
    json_i64(j, "a", c->front_a);
    json_i64(j, "b", c->front_b);
    json_labels(j, "gained", p->b.row, c->gained_row, c->gained);
    json_labels(j, "lost", p->a.row, c->lost_row, c->lost);
    json_object_end(j);
    json_array_begin(j, "points"); // that are news of any kind
    for (int64_t i = 0; i < c->n; i++) {
        const struct compare_point *q = &c->point[i];
        if (q->a < 0 || q->b < 0 || q->verdict != COMPARE_SAME || q->digest)
            json_point(j, d, p, q);
    }
    json_array_end(j);
    json_object_end(j);
}

void diff_json(FILE *f, const struct diff *d)
{
    struct json j;
    json_begin(&j, f, true);
    json_object_begin(&j, NULL);
    json_str(&j, "a", d->name_a);
    json_str(&j, "b", d->name_b);
    json_bool(&j, "fails", diff_fails(d));
    json_object_begin(&j, "tolerance");
    for (int m = 0; m < METRIC_COUNT; m++)
        json_f64(&j, metric_rows[m].name, d->tolerance[m]);
    json_object_end(&j);
    json_array_begin(&j, "pairs");
    for (int i = 0; i < d->n; i++)
        json_pair(&j, d, &d->pair[i]);
    json_array_end(&j);
    json_array_begin(&j, "only_a");
    for (int i = 0; i < d->n_only_a; i++)
        json_side(&j, NULL, d->only_a[i]);
    json_array_end(&j);
    json_array_begin(&j, "only_b");
    for (int i = 0; i < d->n_only_b; i++)
        json_side(&j, NULL, d->only_b[i]);
    json_array_end(&j);
    json_object_end(&j);
    json_end(&j);
}
