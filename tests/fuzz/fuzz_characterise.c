// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as a profile. Beyond not crashing: a refusal points (code, file, message), and what was
// accepted is written to a text that reads back to the same points.
#include <stdlib.h>
#include <string.h>
#include "explore/characterise_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_text(char *text, size_t size, struct point **p, int *n, struct err *e)
{
    FILE *f = fmemopen(text, size, "r");
    if (!f)
        abort();
    int rc = characterise_read_stream(f, "fuzz.csv", p, n, e);
    fclose(f);
    return rc;
}

static bool same(const struct point *a, const struct point *b)
{
    return !strcmp(a->section, b->section) && !strcmp(a->what, b->what) &&
           !strcmp(a->order, b->order) && !strcmp(a->unit, b->unit) && a->m == b->m &&
           a->k == b->k && a->n == b->n && a->value == b->value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct point *p, *q;
    struct err e = {0};
    int n, m;
    char *text = malloc(size + 1), *out = NULL;
    size_t out_size;
    if (!text || !size) {
        free(text);
        return 0;
    }
    memcpy(text, data, size);
    int rc = read_text(text, size, &p, &n, &e);
    free(text);
    if (rc) {
        if (rc >= 0 || e.code != rc || !e.file[0] || !e.msg[0] || p || n)
            abort();
        return 0;
    }
    FILE *f = open_memstream(&out, &out_size);
    characterise_write(p, n, f);
    fclose(f);
    if (read_text(out, out_size, &q, &m, &e) || m != n)
        abort();
    for (int i = 0; i < n; i++)
        if (!same(&p[i], &q[i]))
            abort();
    free(out);
    free(p);
    free(q);
    return 0;
}
