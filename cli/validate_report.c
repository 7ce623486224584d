// SPDX-License-Identifier: GPL-3.0-or-later
// The report of partita validate. The table keeps to 120 columns: a configuration whose name is too
// long for its column has a line of its own.
#include "cli/validate.h"

#include <math.h>
#include <string.h>
#include "cli/report.h"
#include "explore/report_plot.h"

enum { POLICY_ROOM = 20, SYNC_ROOM = 12, ENOUGH_ROUNDS = 6 };

static void cell(double v, int width)
{
    char text[32] = "-";
    if (!isnan(v))
        snprintf(text, sizeof text, v < 99999 ? "%.2f" : "%.0f", v);
    printf(" %*s", width, text);
}

static void share(double v, int width)
{
    char text[32] = "-";
    if (fabs(v) < 0.005) // no "-0 %"
        v = 0;
    if (!isnan(v))
        snprintf(text, sizeof text, "%+.0f %%", v * 100);
    printf(" %*s", width, text);
}

// How far the interval reaches below and above the median, in per cent of it.
static void interval(const struct validate_value *v, int width)
{
    char text[48] = "-";
    double below = (1 - v->low / v->measured) * 100, above = (v->high / v->measured - 1) * 100;
    if (!isnan(below) && !isnan(above))
        snprintf(text, sizeof text, below < 9.95 && above < 9.95 ? "-%.1f/+%.1f" : "-%.0f/+%.0f",
                 below, above);
    printf(" %*s", width, text);
}

static void row_values(const struct validate_row *row)
{
    for (int m = VALIDATE_TTFT; m <= VALIDATE_TPOT; m++) {
        const struct validate_value *v = &row->v[m];
        printf(" ");
        cell(v->predicted, 9);
        cell(v->measured, 9);
        interval(v, 9);
        share(v->error, 7);
    }
    printf("\n");
}

static int widest(const char *const *text, int n, int least, int most)
{
    int w = least;
    for (int i = 0; i < n; i++) {
        int l = (int)strlen(text[i]);
        w = l > w && l <= most ? l : w;
    }
    return w;
}

static void print_rows(const struct cli_validation *x)
{
    const struct validate_request *q = x->q;
    const struct validate_result *r = x->r;
    int wp = widest(q->policy, r->n, 6, POLICY_ROOM), ws = widest(q->sync, r->n, 4, SYNC_ROOM);
    printf(" rank  %*s  %-38s  %s\n", wp + 2 + ws, "", "        TTFT ms", "        TPOT ms");
    printf("       %-*s  %-*s", wp, "policy", ws, "sync");
    for (int m = 0; m < 2; m++)
        printf("  %9s %9s %9s %7s", "predicted", "measured", "-/+ %", "error");
    printf("\n");
    for (int i = 0; i < r->n; i++) {
        const struct validate_row *row = &r->row[i];
        if (i == x->n_best)
            printf("       spread over the rest of the ranking:\n");
        printf("%5d  %-*s  %-*s", x->rank[i], wp, q->policy[i], ws, q->sync[i]);
        if ((int)strlen(q->policy[i]) > wp || (int)strlen(q->sync[i]) > ws)
            printf("\n%*s", 5 + 2 + wp + 2 + ws, "");
        if (row->ok)
            row_values(row);
        else
            printf("  cannot: %s\n", row->reason);
    }
}

static void print_coverage(const struct cli_validation *x)
{
    const struct validate_result *r = x->r;
    if (r->repeats < 2)
        printf("\nOne round has no interval; --repeat %d gives one of %.0f %%.\n", ENOUGH_ROUNDS,
               VALIDATE_LEVEL * 100);
    else
        printf("\n-/+ %%: an interval around the median that holds the true one with %.1f %%, if "
               "rounds are\nindependent%s.\n",
               r->coverage * 100,
               r->coverage < VALIDATE_LEVEL ? "; so few rounds give no more, 95 % takes 6" : "");
}

static void print_regret(const struct cli_validation *x, const struct validate_summary *s)
{
    if (s->choice < 0)
        printf("\n");
    else if (s->choice == s->best)
        printf("  rank %d is predicted and measured best\n", x->rank[s->choice]);
    else
        printf("  rank %d predicted, %d measured best%s\n", x->rank[s->choice], x->rank[s->best],
               x->r->repeats < 2 ? ""
               : s->apart        ? "; intervals apart"
                                 : "; intervals meet");
}

// Of pairs of configurations.
static void print_order(const struct validate_summary *s)
{
    char right[32] = "-";
    if (s->told)
        snprintf(right, sizeof right, "%d of %d", s->right, s->told);
    printf("  %10s", right);
}

static void print_summary(const struct cli_validation *x)
{
    printf("\nPredicted by the %s against measured:\n",
           strcmp(x->predicted_by, "plan") ? x->predicted_by : "plans");
    printf("         configs  median error  largest    tau       order    regret\n");
    for (int m = 0; m < VALIDATE_METRICS; m++) {
        const struct validate_summary *s = &x->r->summary[m];
        printf("  %-5s  %7d ", validate_metric_titles[m], s->n);
        char median[32] = "-", largest[32] = "-", regret[32] = "-";
        if (s->n) {
            snprintf(median, sizeof median, "%.1f %%", s->median_error * 100);
            snprintf(largest, sizeof largest, "%.0f %%", s->largest_error * 100);
            snprintf(regret, sizeof regret, "%.1f %%", s->regret * 100);
        }
        printf(" %12s  %7s", median, largest);
        printf(" ");
        cell(s->tau, 5);
        print_order(s);
        printf("  %8s", regret);
        print_regret(x, s);
    }
    printf("tau: Kendall's tau of both orders: 1 the same, 0 unrelated, -1 reversed, - too few "
           "different values.\norder: pairs in the predicted order, of those whose intervals do "
           "not meet.\nregret: how much longer what is predicted best takes than what is "
           "measured best.\n");
}

void cli_validation_print(const struct cli_validation *x)
{
    const struct validate_request *q = x->q;
    printf("%s, %d prompt tokens + %d generated, on %s; medians of %d rounds\n",
           q->model->shape.name, q->n_prompt, q->n_gen, x->r->machine, x->r->repeats);
    if (x->r->repeats < x->asked)
        printf("Stopped: %d of %d rounds were complete.\n", x->r->repeats, x->asked);
    printf("\n");
    print_rows(x);
    print_coverage(x);
    print_summary(x);
    if (x->n_verdicts)
        printf("\nLimits:\n");
    for (int i = 0; i < x->n_verdicts; i++)
        printf("  %-6s  %s\n", x->v[i].ok ? "kept" : "MISSED", x->v[i].text);
}

// --- JSON

// "FRONT_ttft_BACK"
static void member(struct json *j, const char *front, enum validate_metric m, const char *back,
                   double v)
{
    char key[48];
    snprintf(key, sizeof key, "%s%s%s", front, validate_metric_names[m], back);
    json_f64(j, key, v);
}

static void json_row(struct json *j, const struct cli_validation *x, int i)
{
    const struct validate_row *row = &x->r->row[i];
    json_object_begin(j, NULL);
    json_i64(j, "rank", x->rank[i]);
    json_str(j, "chosen", i < x->n_best ? "best" : "spread");
    json_str(j, "policy", x->q->policy[i]);
    json_str(j, "sync", x->q->sync[i]);
    json_bool(j, "ok", row->ok);
    json_str(j, "reason", row->ok ? NULL : row->reason);
    for (int k = 0; k < VALIDATE_METRICS; k++) {
        enum validate_metric m = (enum validate_metric)k;
        const struct validate_value *v = &row->v[m];
        member(j, "predicted_", m, "_ms", v->predicted);
        member(j, "", m, "_ms", v->measured);
        member(j, "", m, "_low_ms", v->low);
        member(j, "", m, "_high_ms", v->high);
        member(j, "", m, "_error", v->error);
        member(j, "", m, "_spread", v->spread);
    }
    json_object_end(j);
}

static void json_rank(struct json *j, const char *key, const struct cli_validation *x, int row)
{
    if (row < 0)
        json_f64(j, key, NAN); // null
    else
        json_i64(j, key, x->rank[row]);
}

static void json_summary(struct json *j, const struct cli_validation *x, enum validate_metric m)
{
    const struct validate_summary *s = &x->r->summary[m];
    json_object_begin(j, validate_metric_names[m]);
    json_i64(j, "configurations", s->n);
    json_f64(j, "median_error", s->median_error);
    json_f64(j, "largest_error", s->largest_error);
    json_f64(j, "tau", s->tau);
    json_i64(j, "pairs_apart", s->told);
    json_i64(j, "pairs_right", s->right);
    json_f64(j, "regret", s->regret);
    json_rank(j, "predicted_best", x, s->choice);
    json_rank(j, "measured_best", x, s->best);
    json_bool(j, "intervals_apart", s->apart);
    json_object_end(j);
}

static bool kept(const struct cli_validation *x)
{
    for (int i = 0; i < x->n_verdicts; i++)
        if (!x->v[i].ok)
            return false;
    return true;
}

void cli_validation_json(const struct cli_validation *x)
{
    struct json j;
    const struct validate_result *r = x->r;
    json_begin(&j, stdout, true);
    json_object_begin(&j, NULL);
    json_str(&j, "machine", r->machine);
    json_str(&j, "model", x->q->model->shape.name);
    json_i64(&j, "n_prompt", x->q->n_prompt);
    json_i64(&j, "n_gen", x->q->n_gen);
    json_i64(&j, "repeats", r->repeats);
    json_bool(&j, "stopped", r->repeats < x->asked);
    json_f64(&j, "coverage", r->coverage);
    json_str(&j, "predicted_by", x->predicted_by);
    json_f64(&j, "ttft_tau", r->summary[VALIDATE_TTFT].tau);
    json_f64(&j, "tpot_tau", r->summary[VALIDATE_TPOT].tau);
    json_object_begin(&j, "summary");
    for (int m = 0; m < VALIDATE_METRICS; m++)
        json_summary(&j, x, (enum validate_metric)m);
    json_object_end(&j);
    json_bool(&j, "ok", kept(x));
    json_array_begin(&j, "limits");
    for (int i = 0; i < x->n_verdicts; i++) {
        json_object_begin(&j, NULL);
        json_str(&j, "name", x->v[i].name);
        json_str(&j, "metric", validate_metric_names[x->v[i].metric]);
        json_f64(&j, "limit", x->v[i].limit);
        json_f64(&j, "value", x->v[i].value);
        json_bool(&j, "ok", x->v[i].ok);
        json_str(&j, "text", x->v[i].text);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_array_begin(&j, "configurations");
    for (int i = 0; i < r->n; i++)
        json_row(&j, x, i);
    json_array_end(&j);
    json_object_end(&j);
    json_end(&j);
}

// --- figure, limits

int cli_validation_plot(const struct cli_validation *x, const char *path, struct err *e)
{
    static double value[2][4][VALIDATE_MAX];
    struct report_validation p[2];
    struct plot out = {0};
    struct arena a;
    arena_init(&a);
    for (int m = VALIDATE_TTFT; m <= VALIDATE_TPOT; m++) {
        for (int i = 0; i < x->r->n; i++) {
            const struct validate_value *v = &x->r->row[i].v[m];
            value[m][0][i] = v->measured;
            value[m][1][i] = v->predicted;
            value[m][2][i] = v->low;
            value[m][3][i] = v->high;
        }
        p[m] = (struct report_validation){.measured = value[m][0],
                                          .predicted = value[m][1],
                                          .low = value[m][2],
                                          .high = value[m][3],
                                          .n = x->r->n};
    }
    out.title = arena_printf(&a, "%s, %d+%d, on %s, medians of %d", x->q->model->shape.name,
                             x->q->n_prompt, x->q->n_gen, x->r->machine, x->r->repeats);
    int rc = report_validation_plot(p, &a, &out, e);
    if (rc == 0)
        rc = cli_plot_write(&out, path, false, e);
    arena_fini(&a);
    return rc;
}

int cli_validation_limits(const struct cli_validation *x)
{
    for (int i = 0; i < x->n_verdicts; i++)
        if (!x->v[i].ok)
            cli_error(EXIT_CHECK, "%s", x->v[i].text);
    return kept(x) ? EXIT_OK : EXIT_CHECK;
}
