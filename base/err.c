// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void copy(char *dst, size_t size, const char *src)
{
    snprintf(dst, size, "%s", src ? src : "");
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    if (e) {
        va_list ap;
        memset(e, 0, sizeof *e);
        e->code = code;
        va_start(ap, fmt);
        vsnprintf(e->msg, sizeof e->msg, fmt, ap);
        va_end(ap);
    }
    return code;
}

int err_at(struct err *e, int code, const char *file, int line, const char *key, const char *fmt,
           ...)
{
    if (e) {
        va_list ap;
        memset(e, 0, sizeof *e);
        e->code = code;
        e->line = line;
        copy(e->file, sizeof e->file, file);
        copy(e->key, sizeof e->key, key);
        va_start(ap, fmt);
        vsnprintf(e->msg, sizeof e->msg, fmt, ap);
        va_end(ap);
    }
    return code;
}

void err_locate(struct err *e, const char *file, int line)
{
    if (!e || e->file[0])
        return;
    copy(e->file, sizeof e->file, file);
    e->line = line;
}

const char *err_text(const struct err *e, char *buf, size_t size)
{
    char place[200] = "";
    if (e->file[0] && e->line)
        snprintf(place, sizeof place, "%s:%d: ", e->file, e->line);
    else if (e->file[0])
        snprintf(place, sizeof place, "%s: ", e->file);
    snprintf(buf, size, "%s%s%s%s", place, e->key, e->key[0] ? ": " : "", e->msg);
    return buf;
}

// Optimal string alignment distance (insert, delete, replace, swap neighbours), capped at 63
// characters, because a suggestion for longer words helps nobody.
static int distance(const char *a, const char *b)
{
    enum { MAX = 63 };
    size_t n = strlen(a), m = strlen(b);
    int d[3][MAX + 1];
    if (n > MAX || m > MAX)
        return MAX;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int *row = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int best = up[j - 1] + (a[i - 1] != b[j - 1]);
            if (up[j] + 1 < best)
                best = up[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                up2[j - 2] + 1 < best)
                best = up2[j - 2] + 1;
            row[j] = best;
        }
    }
    return d[n % 3][m];
}

const char *err_nearest(const char *word, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t len = strlen(word);
    int limit = (int)len / 3 + 2;  // a third of the letters may be wrong
    for (size_t i = 0; i < n; i++) // the beginning of a name: "hetero" for "hetero_tensor"
        if (len > 2 && !strncmp(names[i], word, len) && (!best || strlen(names[i]) < strlen(best)))
            best = names[i];
    if (best)
        return best;
    for (size_t i = 0; i < n; i++) {
        int d = distance(word, names[i]);
        if (d < limit) {
            limit = d;
            best = names[i];
        }
    }
    return best;
}
