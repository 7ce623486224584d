// SPDX-License-Identifier: GPL-3.0-or-later
// Rows are read once: each gives (parameter, choice) pairs, which grow the lists. Then choices and
// parameters are sorted, so that the result does not depend on the order of the rows.
#include "explore/report_params.h"

#include <stdlib.h>
#include <string.h>
#include "base/units.h"

enum { FIRST_ROOM = 8 };

// A parameter while it grows.
struct growing {
    struct report_param p;
    int room;
    double *number; // [p.n] as a quantity of `unit`
};
struct builder {
    struct arena *a;
    int rows, n, room;
    struct growing *param;
};

bool report_next_option(const char **list, char separator, struct arena *a, const char **key,
                        const char **value)
{
    const char *s = *list + strspn(*list, " "), *equals = NULL, *end;
    int depth = 0;
    bool quoted = false;
    if (!*s)
        return false;
    for (end = s; *end && (quoted || depth || *end != separator); end++) {
        if (*end == '"')
            quoted = !quoted;
        else if (!quoted && strchr("[({", *end))
            depth++;
        else if (!quoted && depth && strchr("])}", *end))
            depth--;
        else if (!quoted && !depth && *end == '=' && !equals)
            equals = end;
    }
    const char *stop = equals ? equals : end, *from = equals ? equals + 1 : end;
    *key = arena_printf(a, "%.*s", (int)(stop - s), s);
    *value = arena_printf(a, "%.*s", (int)(end - from), from);
    *list = *end ? end + 1 : end;
    return true;
}

const char *report_spec_name(const char *spec, struct arena *a, const char **options)
{
    size_t n = strcspn(spec, ":");
    *options = spec[n] ? spec + n + 1 : spec + n;
    return arena_printf(a, "%.*s", (int)n, spec);
}

// --- growing

static void *grown(struct arena *a, const void *old, int n, int *room, size_t size)
{
    *room = *room ? 2 * *room : FIRST_ROOM;
    void *p = arena_array(a, (size_t)*room, size);
    if (n)
        memcpy(p, old, (size_t)n * size);
    return p;
}

static struct growing *find_param(struct builder *b, enum report_param_kind kind, const char *owner,
                                  const char *name)
{
    for (int i = 0; i < b->n; i++)
        if (b->param[i].p.kind == kind && !strcmp(b->param[i].p.name, name))
            return &b->param[i];
    if (b->n == b->room)
        b->param = grown(b->a, b->param, b->n, &b->room, sizeof *b->param);
    struct growing *g = &b->param[b->n++];
    *g = (struct growing){.p = {.kind = kind,
                                .name = arena_strdup(b->a, name),
                                .owner = arena_strdup(b->a, owner),
                                .value = ARENA_NEWS(b->a, (size_t)b->rows, int)}};
    for (int i = 0; i < b->rows; i++)
        g->p.value[i] = -1;
    return g;
}

static void note(struct builder *b, int row, enum report_param_kind kind, const char *owner,
                 const char *name, const char *choice)
{
    struct growing *g = find_param(b, kind, owner, name);
    int c = 0;
    while (c < g->p.n && strcmp(g->p.choice[c], choice))
        c++;
    if (c == g->p.n) {
        if (g->p.n == g->room)
            g->p.choice = grown(b->a, g->p.choice, g->p.n, &g->room, sizeof *g->p.choice);
        g->p.choice[g->p.n++] = arena_strdup(b->a, choice);
    }
    g->p.value[row] = c;
}

static void note_spec(struct builder *b, int row, enum report_param_kind kind,
                      enum report_param_kind option, const char *name, const char *spec)
{
    const char *options, *key, *value;
    const char *owner = report_spec_name(spec, b->a, &options);
    note(b, row, kind, "", name, owner);
    while (report_next_option(&options, ',', b->a, &key, &value))
        note(b, row, option, owner, arena_printf(b->a, "%s.%s", owner, key), value);
}

static void note_row(struct builder *b, int i, const struct campaign_row *r)
{
    const char *soc = r->soc ? r->soc : "", *key, *value;
    note_spec(b, i, REPORT_POLICY, REPORT_POLICY_OPTION, "policy", r->policy);
    note_spec(b, i, REPORT_SYNC, REPORT_SYNC_OPTION, "sync", r->sync);
    while (report_next_option(&soc, ';', b->a, &key, &value))
        note(b, i, REPORT_SOC, "", key, value);
    if (r->level && *r->level)
        note(b, i, REPORT_LEVEL, "", "level", r->level);
}

// --- sorting

// "\"50 us\"" -> 50 us in ps.
static bool quantity(enum unit u, const char *text, double *out)
{
    char bare[64];
    size_t n = strlen(text);
    bool quotes = n > 1 && text[0] == '"' && text[n - 1] == '"';
    snprintf(bare, sizeof bare, "%.*s", (int)(quotes ? n - 2 : n), text + quotes);
    return unit_parse(u, bare, out, NULL) >= 0;
}

// All choices are quantities of one kind.
static bool quantities(struct growing *g, struct arena *a)
{
    g->number = ARENA_NEWS(a, (size_t)g->p.n, double);
    for (int u = 0; u < UNIT_COUNT; u++) {
        int c = 0;
        while (c < g->p.n && quantity((enum unit)u, g->p.choice[c], &g->number[c]))
            c++;
        if (c == g->p.n)
            return true;
    }
    return false;
}

// Insertion sort of choice indices: there are few.
static void sort_choices(struct growing *g, int rows, struct arena *a)
{
    struct report_param *p = &g->p;
    int *order = ARENA_NEWS(a, (size_t)p->n, int), *rank = ARENA_NEWS(a, (size_t)p->n, int);
    p->ordered = quantities(g, a);
    for (int i = 0; i < p->n; i++) {
        int j = i;
        for (; j > 0; j--) {
            int o = order[j - 1], by_text = strcmp(p->choice[i], p->choice[o]);
            double d = p->ordered ? g->number[i] - g->number[o] : 0;
            if (d > 0 || (d == 0 && by_text >= 0))
                break;
            order[j] = o;
        }
        order[j] = i;
    }
    const char **sorted = ARENA_NEWS(a, (size_t)p->n, const char *);
    for (int i = 0; i < p->n; i++) {
        sorted[i] = p->choice[order[i]];
        rank[order[i]] = i;
    }
    p->choice = sorted;
    for (int i = 0; i < rows; i++)
        p->value[i] = p->value[i] < 0 ? -1 : rank[p->value[i]];
}

static int by_name(const void *x, const void *y)
{
    const struct report_param *a = x, *b = y;
    return a->kind != b->kind ? (int)a->kind - (int)b->kind : strcmp(a->name, b->name);
}

void report_params_make(const struct campaign_row *row, int n, struct arena *a,
                        struct report_params *out)
{
    struct builder b = {.a = a, .rows = n};
    for (int i = 0; i < n; i++)
        note_row(&b, i, &row[i]);
    *out = (struct report_params){b.n, ARENA_NEWS(a, (size_t)b.n, struct report_param)};
    for (int i = 0; i < b.n; i++) {
        sort_choices(&b.param[i], n, a);
        out->param[i] = b.param[i].p;
    }
    if (b.n)
        qsort(out->param, (size_t)b.n, sizeof *out->param, by_name);
}
