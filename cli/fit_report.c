// SPDX-License-Identifier: GPL-3.0-or-later
// What a calibration has to say: the parameters and how well they are known, the rows and how well
// they are met, and how much of that is evidence.
#include "cli/fit.h"

#include <math.h>
#include <string.h>

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

static int longest(const struct fit_report *r, bool rows)
{
    int most = rows ? 3 : 9;
    for (int i = 0; i < (rows ? r->data->m : r->target->n); i++) {
        const char *name = rows ? r->data->row[i].name : r->target->parameter[i].name;
        most = (int)strlen(name) > most ? (int)strlen(name) : most;
    }
    return most;
}

static double error_of(const struct fit_report *r, int j, bool after)
{
    const struct fit_fitted_row *row = &r->result->row[j];
    return (after ? row->after : row->before) / r->data->row[j].observed - 1;
}

// --- parameters

static void print_top(const struct fit_report *r, const struct fit_estimate *e, FILE *f)
{
    for (int k = 0; k < e->n_top; k++) {
        fprintf(f, "%s%s", k ? ", " : "", r->data->row[e->top[k]].name);
        if (!e->at)
            fprintf(f, " (%+.2f)", e->pull[k]);
    }
    if (e->n_rows > e->n_top)
        fprintf(f, " and %d more", e->n_rows - e->n_top);
}

static void print_parameters(const struct fit_report *r, FILE *f)
{
    int width = longest(r, false);
    fprintf(f, "%-*s  %14s  %14s  %9s  %-10s  %s\n", width, "parameter", "start", "fitted", "error",
            "", "moves most (d ln row / d ln parameter)");
    for (int i = 0; i < r->target->n; i++) {
        const struct fit_key *k = &r->target->key[i];
        const struct fit_estimate *e = &r->result->estimate[i];
        char value[FIT_TEXT], error[24] = "-";
        if (!isnan(e->error))
            snprintf(error, sizeof error, e->error < 10 ? "%.2g %%" : "> 1000 %%", 100 * e->error);
        fprintf(f, "%-*s  %14s  %14s  %9s  %-10s  ", width, k->name, k->written,
                e->value == r->target->parameter[i].start ? k->written
                                                          : fit_value_text(k, e->value, value),
                error, fit_verdict_name(e->verdict));
        print_top(r, e, f);
        fputc('\n', f);
    }
}

static void print_directions(const struct fit_report *r, FILE *f)
{
    for (int d = 0; d < r->result->n_directions; d++) {
        const struct fit_direction *at = &r->result->direction[d];
        fprintf(f, "\n");
        for (int k = 0; k < at->n; k++)
            fprintf(f, "%s%s",
                    k == 0          ? ""
                    : k + 1 < at->n ? ", "
                                    : " and ",
                    r->target->key[at->parameter[k]].name);
        fprintf(f, ": only a combination is determined; relative changes of");
        for (int k = 0; k < at->n; k++)
            fprintf(f, "%s %+.2f", k ? "," : "", at->weight[k]);
        fprintf(f, isnan(at->seen)   ? " leave the rows as well met\n"
                   : at->seen < 1e-3 ? " together move no row\n"
                                     : " together move hardly any row\n");
    }
}

// --- rows

static void print_rows(const struct fit_report *r, FILE *f)
{
    int width = longest(r, true);
    fprintf(f, "\n%-*s  %10s  %10s  %10s  %-8s  %8s  %8s\n", width, "row", "observed", "before",
            "after", "unit", "error", "was");
    for (int j = 0; j < r->data->m; j++) {
        const struct fit_fitted_row *row = &r->result->row[j];
        fprintf(f, "%-*s  %10.5g  %10.5g  %10.5g  %-8s  %+6.1f %%  %+6.1f %%%s\n", width,
                r->data->row[j].name, r->data->row[j].observed, row->before, row->after,
                r->data->unit[j], 100 * error_of(r, j, true), 100 * error_of(r, j, false),
                !row->moved            ? "  no free parameter moves it"
                : row->leverage > 0.99 ? "  met by construction"
                                       : "");
    }
    for (int j = 0; j < r->data->n_unused; j++)
        fprintf(f, "%-*s  not used: %s\n", width, r->data->unused[j], r->data->why[j]);
}

static void print_evidence(const struct fit_report *r, FILE *f)
{
    const struct fit_result *x = r->result;
    fprintf(f, "\n%d of %d rows moved by the parameters; rms error %.2f %%, before %.2f %%\n",
            x->n_moved, r->data->m, 100 * x->rms, 100 * x->rms_before);
    fprintf(f, "%d degrees of freedom (%d rows, %d independent parameters)", x->freedom, x->n_moved,
            x->rank);
    if (x->freedom > 0)
        fprintf(f, "; the residuals scatter by %.2g of their tolerances\n", x->scatter);
    else
        fprintf(f, ": this agreement is calibration and no evidence\n");
    fprintf(f,
            "determined: standard error at most %g %%; calibrated: the same, but only by rows that "
            "are met\nwhatever they say, which is no evidence; weak, together, unmoved: the rows "
            "do not determine it\n",
            100 * r->threshold);
    if (x->starts > 1)
        fprintf(f, "%d starts, %d of them ended at the same sum of squares\n", x->starts,
                x->agreed);
    fprintf(f, "%d iterations, %lld predictions of rows; ended: %s\n", x->iterations,
            (long long)x->predictions, x->reason);
    if (r->out)
        fprintf(f, "written: %s\n", r->out);
}

void fit_report_print(const struct fit_report *r, FILE *f)
{
    fprintf(f, "%s, %d parameter%s, with %d row%s of %s", r->target->path, r->target->n,
            plural(r->target->n), r->data->m, plural(r->data->m), r->data->path);
    if (r->data->passed_over)
        fprintf(f, " (%d of other splits not looked at)", r->data->passed_over);
    if (*r->data->nearest)
        fprintf(
            f,
            "\nno --soc: %s is the nearest to it as it stands, off by a factor of %.2f on average",
            r->data->nearest, exp(r->data->apart));
    fprintf(f, "\n\n");
    print_parameters(r, f);
    print_directions(r, f);
    print_rows(r, f);
    print_evidence(r, f);
}

// --- JSON

static void json_parameter(const struct fit_report *r, int i, struct json *j)
{
    const struct fit_key *k = &r->target->key[i];
    const struct fit_estimate *e = &r->result->estimate[i];
    char text[FIT_TEXT];
    json_object_begin(j, NULL);
    json_str(j, "key", k->name);
    json_str(j, "start", k->written);
    json_str(j, "fitted",
             e->value == r->target->parameter[i].start ? k->written
                                                       : fit_value_text(k, e->value, text));
    json_f64(j, "value", e->value);
    json_f64(j, "relative_error", e->error);
    json_str(j, "verdict", fit_verdict_name(e->verdict));
    json_str(j, "bound", e->at < 0 ? "lower" : e->at > 0 ? "upper" : NULL);
    json_i64(j, "rows", e->n_rows);
    json_f64(j, "spare", e->spare);
    json_array_begin(j, "moves_most");
    for (int t = 0; t < e->n_top; t++)
        json_str(j, NULL, r->data->row[e->top[t]].name);
    json_array_end(j);
    json_object_end(j);
}

static void json_row(const struct fit_report *r, int i, struct json *j)
{
    const struct fit_fitted_row *row = &r->result->row[i];
    json_object_begin(j, NULL);
    json_str(j, "id", r->data->row[i].name);
    json_str(j, "unit", r->data->unit[i]);
    json_f64(j, "observed", r->data->row[i].observed);
    json_f64(j, "tolerance", r->data->row[i].tolerance);
    json_f64(j, "before", row->before);
    json_f64(j, "after", row->after);
    json_f64(j, "error", error_of(r, i, true));
    json_bool(j, "moved", row->moved);
    json_f64(j, "leverage", row->leverage);
    json_object_end(j);
}

void fit_report_json(const struct fit_report *r, FILE *f)
{
    const struct fit_result *x = r->result;
    struct json j;
    json_begin(&j, f, true);
    json_object_begin(&j, NULL);
    json_str(&j, "base", r->target->path);
    json_str(&j, "given", r->data->path);
    json_str(&j, "output", r->out);
    json_array_begin(&j, "parameters");
    for (int i = 0; i < r->target->n; i++)
        json_parameter(r, i, &j);
    json_array_end(&j);
    json_array_begin(&j, "combinations");
    for (int d = 0; d < x->n_directions; d++) {
        json_object_begin(&j, NULL);
        json_f64(&j, "singular_value", x->direction[d].seen);
        json_array_begin(&j, "keys");
        for (int k = 0; k < x->direction[d].n; k++)
            json_str(&j, NULL, r->target->key[x->direction[d].parameter[k]].name);
        json_array_end(&j);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_array_begin(&j, "rows");
    for (int i = 0; i < r->data->m; i++)
        json_row(r, i, &j);
    json_array_end(&j);
    json_array_begin(&j, "not_used");
    for (int i = 0; i < r->data->n_unused; i++) {
        json_object_begin(&j, NULL);
        json_str(&j, "id", r->data->unused[i]);
        json_str(&j, "why", r->data->why[i]);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_i64(&j, "other_splits", r->data->passed_over);
    json_f64(&j, "rms_before", x->rms_before);
    json_f64(&j, "rms", x->rms);
    json_f64(&j, "scatter", x->scatter);
    json_i64(&j, "rows_moved", x->n_moved);
    json_i64(&j, "rank", x->rank);
    json_i64(&j, "freedom", x->freedom);
    json_i64(&j, "iterations", x->iterations);
    json_i64(&j, "predictions", x->predictions);
    json_i64(&j, "starts", x->starts);
    json_i64(&j, "agreed", x->agreed);
    json_bool(&j, "converged", x->converged);
    json_str(&j, "reason", x->reason);
    json_object_end(&j);
    json_end(&j);
}
