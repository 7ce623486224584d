// SPDX-License-Identifier: GPL-3.0-or-later
// A benchmark as a table that users of llama.cpp's llama-bench can read (Markdown), as JSON, as
// CSV. The digest of a row: of the last logits where the machine computes values, so that rows that
// computed the same show the same; otherwise of the simulated run.
#include "cli/bench.h"

#include <math.h>
#include <string.h>
#include "base/csv.h"
#include "base/digest.h"
#include "base/num.h"

enum { MODEL, SIZE, PARAMS, POLICY, SYNC, THREADS, TEST, RATE, MEDIAN, DIGEST, COLUMNS };
enum { CELL = 160 };

static const struct {
    const char *title;
    bool right; // numbers
} column[COLUMNS] = {
    [MODEL] = {"model", false},   [SIZE] = {"size", true},  [PARAMS] = {"params", true},
    [POLICY] = {"policy", false}, [SYNC] = {"sync", false}, [THREADS] = {"threads", true},
    [TEST] = {"test", true},      [RATE] = {"t/s", true},   [MEDIAN] = {"median", true},
    [DIGEST] = {"digest", false},
};

static const char *encoding(const struct model *m)
{
    return m->layers[0].down.enc ? m->layers[0].down.enc->name : "";
}

static const char *digest(const struct bench_row *r, char hex[17])
{
    return digest_text(r->logits ? r->logits : r->digest, hex);
}

static void size_text(double bytes, char *s)
{
    const double mib = 1024 * 1024, gib = 1024 * mib;
    snprintf(s, CELL, "%.2f %s", bytes / (bytes < gib ? mib : gib), bytes < gib ? "MiB" : "GiB");
}

static void params_text(double n, char *s)
{
    snprintf(s, CELL, "%.2f %s", n / (n < 1e9 ? 1e6 : 1e9), n < 1e9 ? "M" : "B");
}

static void cells(const struct bench_request *q, const struct bench_result *r,
                  const struct bench_row *row, char cell[COLUMNS][CELL])
{
    char name[24], hex[17];
    const char *enc = encoding(q->model);
    memset(cell, 0, (size_t)COLUMNS * CELL);
    snprintf(cell[MODEL], CELL, "%.100s%s%s", q->model->shape.name, *enc ? " " : "", enc);
    size_text((double)model_weight_bytes(q->model), cell[SIZE]);
    params_text((double)model_parameters(q->model), cell[PARAMS]);
    snprintf(cell[POLICY], CELL, "%.150s", row->policy);
    snprintf(cell[SYNC], CELL, "%.150s", row->sync);
    if (r->threads)
        snprintf(cell[THREADS], CELL, "%d", r->threads);
    snprintf(cell[TEST], CELL, "%s", bench_test_name(row->test, name));
    snprintf(cell[RATE], CELL, row->n ? "%.2f" : "-", row->mean);
    if (!isnan(row->stddev))
        snprintf(cell[RATE], CELL, "%.2f ± %.2f", row->mean, row->stddev);
    snprintf(cell[MEDIAN], CELL, row->n ? "%.2f" : "-", row->median);
    snprintf(cell[DIGEST], CELL, "%s%s", row->n ? digest(row, hex) : "-",
             row->same ? "" : " (differs)");
}

// Characters, not bytes: "±" is two of these and one of those.
static int width(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void line(FILE *f, const struct bench_result *r, const int *wide, char cell[COLUMNS][CELL])
{
    for (int c = 0; c < COLUMNS; c++) {
        int pad = wide[c] - width(cell[c]);
        if (c == THREADS && !r->threads)
            continue;
        fprintf(f, "| %*s%s%*s ", column[c].right ? pad : 0, "", cell[c], column[c].right ? 0 : pad,
                "");
    }
    fprintf(f, "|\n");
}

static void notes(FILE *f, const struct bench_result *r)
{
    char name[24];
    fprintf(f, "\nmachine %s:", r->machine);
    for (int i = 0; i < r->n_devices; i++)
        fprintf(f, "%s %s (%s)", i ? "," : "", r->device[i], r->detail[i]);
    fprintf(f, "\n");
    for (int i = 0; i < r->n_skips; i++)
        fprintf(f, "scheme %s left out: %s\n", r->skip[i].sync, r->skip[i].reason);
    for (int i = 0; i < r->n_rows; i++)
        if (*r->row[i].reason)
            fprintf(f, "%s, %s, %s: %s\n", r->row[i].policy, r->row[i].sync,
                    bench_test_name(r->row[i].test, name), r->row[i].reason);
}

void bench_print(FILE *f, const struct bench_request *q, const struct bench_result *r)
{
    char cell[COLUMNS][CELL], head[COLUMNS][CELL];
    int wide[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) {
        snprintf(head[c], CELL, "%s", column[c].title);
        wide[c] = width(head[c]);
    }
    for (int i = 0; i < r->n_rows; i++) {
        cells(q, r, &r->row[i], cell);
        for (int c = 0; c < COLUMNS; c++)
            wide[c] = width(cell[c]) > wide[c] ? width(cell[c]) : wide[c];
    }
    line(f, r, wide, head);
    for (int c = 0; c < COLUMNS; c++) {
        if (c == THREADS && !r->threads)
            continue;
        fprintf(f, "| ");
        for (int i = column[c].right; i < wide[c]; i++)
            fputc('-', f);
        fprintf(f, column[c].right ? ": " : " ");
    }
    fprintf(f, "|\n");
    for (int i = 0; i < r->n_rows; i++) {
        cells(q, r, &r->row[i], cell);
        line(f, r, wide, cell);
    }
    notes(f, r);
}

// --- for programs

static void json_row(struct json *j, const struct bench_row *row)
{
    char name[24], hex[17];
    json_object_begin(j, NULL);
    json_str(j, "test", bench_test_name(row->test, name));
    json_i64(j, "n_prompt", row->test.n_prompt);
    json_i64(j, "n_gen", row->test.n_gen);
    json_str(j, "policy", row->policy);
    json_str(j, "sync", row->sync);
    json_str(j, "reason", *row->reason ? row->reason : NULL);
    json_f64(j, "mean_tok_s", row->mean);
    json_f64(j, "stddev_tok_s", row->stddev);
    json_f64(j, "median_tok_s", row->median);
    json_f64(j, "predicted_tok_s", row->predicted);
    json_array_begin(j, "tok_s");
    for (int i = 0; i < row->n; i++)
        json_f64(j, NULL, row->rate[i]);
    json_array_end(j);
    json_str(j, "digest", row->n ? digest_text(row->digest, hex) : NULL);
    json_str(j, "logits_digest", row->logits ? digest_text(row->logits, hex) : NULL);
    json_bool(j, "same", row->same);
    json_object_end(j);
}

void bench_json(FILE *f, const struct bench_request *q, const struct bench_result *r)
{
    struct json j;
    json_begin(&j, f, true);
    json_object_begin(&j, NULL);
    json_str(&j, "machine", r->machine);
    json_array_begin(&j, "devices");
    for (int i = 0; i < r->n_devices; i++) {
        json_object_begin(&j, NULL);
        json_str(&j, "name", r->device[i]);
        json_str(&j, "detail", r->detail[i]);
        json_object_end(&j);
    }
    json_array_end(&j);
    if (r->threads)
        json_i64(&j, "threads", r->threads);
    else
        json_none(&j, "threads");
    json_str(&j, "model", q->model->shape.name);
    json_str(&j, "encoding", *encoding(q->model) ? encoding(q->model) : NULL);
    json_i64(&j, "size_bytes", model_weight_bytes(q->model));
    json_i64(&j, "parameters", model_parameters(q->model));
    json_i64(&j, "repeats", r->repeats);
    json_array_begin(&j, "left_out");
    for (int i = 0; i < r->n_skips; i++) {
        json_object_begin(&j, NULL);
        json_str(&j, "sync", r->skip[i].sync);
        json_str(&j, "reason", r->skip[i].reason);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_array_begin(&j, "rows");
    for (int i = 0; i < r->n_rows; i++)
        json_row(&j, &r->row[i]);
    json_array_end(&j);
    json_object_end(&j);
    json_end(&j);
}

static void csv_number(FILE *f, double v)
{
    char s[32];
    fprintf(f, ",%s", isnan(v) ? "" : num_print(v, s));
}

static void csv_text(FILE *f, const char *s)
{
    fputc(',', f);
    csv_put(f, s);
}

void bench_csv(FILE *f, const struct bench_request *q, const struct bench_result *r)
{
    char hex[17], name[24];
    fprintf(f, "machine,model,encoding,size_bytes,parameters,threads,policy,sync,test,n_prompt,"
               "n_gen,runs,mean_tok_s,stddev_tok_s,median_tok_s,predicted_tok_s,digest,"
               "logits_digest,same,reason\n");
    for (int i = 0; i < r->n_rows; i++) {
        const struct bench_row *row = &r->row[i];
        csv_put(f, r->machine);
        csv_text(f, q->model->shape.name);
        csv_text(f, encoding(q->model));
        fprintf(f, ",%lld,%lld,", (long long)model_weight_bytes(q->model),
                (long long)model_parameters(q->model));
        if (r->threads)
            fprintf(f, "%d", r->threads);
        csv_text(f, row->policy);
        csv_text(f, row->sync);
        fprintf(f, ",%s,%d,%d,%d", bench_test_name(row->test, name), row->test.n_prompt,
                row->test.n_gen, row->n);
        csv_number(f, row->mean);
        csv_number(f, row->stddev);
        csv_number(f, row->median);
        csv_number(f, row->predicted);
        fprintf(f, ",%s", row->n ? digest_text(row->digest, hex) : "");
        fprintf(f, ",%s,%s", row->logits ? digest_text(row->logits, hex) : "",
                row->same ? "true" : "false");
        csv_text(f, row->reason);
        fputc('\n', f);
    }
}
