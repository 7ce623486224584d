// SPDX-License-Identifier: GPL-3.0-or-later
// A record is a line, whatever a text contains. Numbers are written so that they read back as they
// were, in every locale.
#include "explore/table.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include "base/digest.h"
#include "base/num.h"

static void field(FILE *f, const char *text)
{
    bool quote = strpbrk(text, ",\"\r\n");
    if (quote)
        fputc('"', f);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', f);
        fputc(*text == '\n' || *text == '\r' ? ' ' : *text, f);
    }
    if (quote)
        fputc('"', f);
}

static void machines(FILE *f, const struct space *s)
{
    char text[1024];
    int n = snprintf(text, sizeof text, "%s", s->machine);
    for (int i = 1; i < s->n_machines && n < (int)sizeof text; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, ", %s", s->machines[i]);
    field(f, text);
}

static void write_row(FILE *f, const struct space *s, int64_t index, const struct campaign_row *r)
{
    char hex[17], number[32];
    const char *const text[] = {r->policy, r->sync, r->soc, r->level};
    fprintf(f, "%lld,", (long long)index);
    machines(f, s);
    fputc(',', f);
    field(f, s->model);
    fprintf(f, ",%d,%d,", s->n_prompt, s->n_gen);
    for (int i = 0; i < 4; i++) {
        field(f, text[i]);
        fputc(',', f);
    }
    fprintf(f, "%s,", metrics_status_name(r->m.status));
    for (int m = 0; m < METRIC_COUNT; m++)
        fprintf(f, "%s,", isnan(r->m.value[m]) ? "" : num_print(r->m.value[m], number));
    fprintf(f, "%s,", num_print(r->m.violation, number));
    field(f, r->m.reason);
    fprintf(f, ",%s", digest_text(r->key, hex));
    fprintf(f, ",%s\n", r->m.status == METRICS_OK ? digest_text(r->m.digest, hex) : "");
}

int table_write(FILE *f, const struct space *s, const struct campaign_row *row, int64_t n,
                struct err *e)
{
    fprintf(f, "point,machine,model,prompt,gen,policy,sync,soc,level,status,");
    for (int m = 0; m < METRIC_COUNT; m++)
        fprintf(f, "%s,", metric_rows[m].name);
    fprintf(f, "violation,reason,point_digest,digest\n");
    for (int64_t i = 0; i < n && !ferror(f); i++)
        write_row(f, s, i, &row[i]);
    if (fflush(f) == 0 && !ferror(f))
        return 0;
    return err_set(e, ERR_IO, "cannot write the table: %s", strerror(errno));
}
