// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as a table. A refusal points (code, file, line, message); every record that was
// accepted is written and read back to the same fields.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static FILE *reader(void *text, size_t size)
{
    FILE *f = fmemopen(text, size, "r");
    if (!f)
        abort();
    return f;
}

static void again(char **field, int n)
{
    struct csv c;
    struct err e = {0};
    char *out = NULL, *back[CSV_MAX_FIELDS];
    size_t size;
    FILE *f = open_memstream(&out, &size);
    for (int i = 0; i < n; i++) {
        fputs(i ? "," : "", f);
        csv_put(f, field[i]);
    }
    fputc('\n', f);
    fclose(f);
    csv_use(&c, reader(out, size), "again.csv", &e);
    if (csv_record(&c, back) != n)
        abort();
    for (int i = 0; i < n; i++)
        if (strcmp(field[i], back[i]) != 0)
            abort();
    csv_close(&c);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csv c;
    struct err e = {0};
    char *field[CSV_MAX_FIELDS], *text = malloc(size + 1);
    int rc, line = 0;
    if (!text)
        abort();
    memcpy(text, data, size);
    if (!size) {
        free(text);
        return 0;
    }
    csv_use(&c, reader(text, size), "fuzz.csv", &e);
    while ((rc = csv_record(&c, field)) > 0) {
        if (c.line != ++line)
            abort();
        again(field, rc);
    }
    if (rc < 0 && (e.code != rc || e.line != line + 1 || !e.file[0] || !e.msg[0]))
        abort();
    csv_close(&c);
    free(text);
    return 0;
}
