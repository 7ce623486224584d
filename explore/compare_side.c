// SPDX-License-Identifier: GPL-3.0-or-later
// From a store to questions and their answers: campaigns of the same machine, model and requests
// are one side of a comparison, whatever searcher asked. A store keeps points of older programs
// beside newer ones; the newest campaign that evaluated the words speaks for them.
#include <stdlib.h>
#include <string.h>
#include "explore/compare.h"
#include "explore/space.h"

bool compare_same_question(const struct compare_side *a, const struct compare_side *b)
{
    return !strcmp(a->machine, b->machine) && !strcmp(a->settings, b->settings) &&
           !strcmp(a->model, b->model) && !strcmp(a->workload, b->workload);
}

static struct compare_side question(const struct store_campaign *c)
{
    return (struct compare_side){
        .machine = c->machine, .settings = c->settings, .model = c->model, .workload = c->workload};
}

static bool same_question(const struct compare_side *s, const struct store_campaign *c)
{
    const struct compare_side other = question(c);
    return compare_same_question(s, &other);
}

// The last level of the space; NULL where its text cannot be read by this program.
static const char *last_level(const struct store_campaign *c, struct arena *a)
{
    struct space *s;
    struct err e = {0};
    const char *level = NULL;
    if (space_open_text(c->name, c->text, &s, &e) < 0)
        return NULL;
    if (s->n_levels > 0 && s->level[s->n_levels - 1])
        level = arena_strdup(a, s->level[s->n_levels - 1]);
    space_close(s);
    return level;
}

// --- one row per words

struct pool {
    struct campaign_row *row;
    int64_t n, room;
};

static void pool_add(struct pool *p, const struct campaign_row *row, int64_t n)
{
    if (p->n + n > p->room) {
        p->room = (p->n + n) * 2;
        p->row = realloc(p->row, (size_t)p->room * sizeof *p->row);
        if (!p->row)
            abort();
    }
    if (n)
        memcpy(p->row + p->n, row, (size_t)n * sizeof *row);
    p->n += n;
}

struct entry {
    const struct campaign_row *row;
    int64_t at;
};

static int by_words(const void *x, const void *y)
{
    const struct entry *p = x, *q = y;
    int d = strcmp(p->row->policy, q->row->policy);
    d = d ? d : strcmp(p->row->sync, q->row->sync);
    d = d ? d : strcmp(p->row->soc, q->row->soc);
    d = d ? d : strcmp(p->row->level, q->row->level);
    return d ? d : (p->at > q->at) - (p->at < q->at);
}

// The pool holds the newest campaign first: of equal words the first stays.
static void settle(const struct pool *p, struct arena *a, struct compare_side *out)
{
    struct entry *list = calloc((size_t)p->n + 1, sizeof *list);
    if (!list)
        abort();
    for (int64_t i = 0; i < p->n; i++)
        list[i] = (struct entry){&p->row[i], i};
    qsort(list, (size_t)p->n, sizeof *list, by_words);
    struct campaign_row *row = ARENA_NEWS(a, (size_t)p->n + 1, struct campaign_row);
    for (int64_t i = 0; i < p->n; i++) {
        struct entry before = i ? list[i - 1] : list[i];
        before.at = list[i].at;
        if (!i || by_words(&before, &list[i]))
            row[out->n++] = *list[i].row;
    }
    out->row = row;
    free(list);
}

// --- campaigns

static int find_campaign(const struct store_campaign *c, int n, const char *which, struct err *e)
{
    const char *names[64];
    char *end;
    long long id = strtoll(which, &end, 10);
    for (int i = n - 1; i >= 0; i--)
        if (*end ? !strcmp(c[i].name, which) : c[i].id == id)
            return i;
    int n_names = n < 64 ? n : 64;
    for (int i = 0; i < n_names; i++)
        names[i] = c[n - 1 - i].name;
    const char *near = err_nearest(which, names, (size_t)n_names);
    return err_set(e, ERR_USAGE, "no campaign \"%.60s\" in it%s%.60s%s", which,
                   near ? "; did you mean \"" : ": it has ",
                   near ? near
                   : n  ? c[n - 1].name
                        : "none",
                   near    ? "\"?"
                   : n > 1 ? " and others"
                           : "");
}

// The side of campaign `last` and of all older ones that ask the same.
static int gather(struct store *s, const struct store_campaign *c, int last, bool alone,
                  struct arena *a, struct compare_side *out, struct err *e)
{
    struct pool pool = {0};
    const struct store_campaign *top = &c[last];
    *out = question(top);
    out->name = top->name;
    out->text = top->text;
    out->code = top->code;
    out->level = last_level(top, a);
    for (int j = 0; j < top->n_objectives && j < SEARCH_MAX_OBJECTIVES; j++)
        out->objective[out->n_objectives++] = top->objective[j];
    int rc = 0;
    for (int i = last; i >= 0 && rc >= 0; i--) {
        struct campaign_row *row;
        if (i < last && (alone || !same_question(out, &c[i])))
            continue;
        rc = store_rows(s, c[i].id, a, &row, e);
        if (rc >= 0)
            pool_add(&pool, row, rc);
    }
    if (rc >= 0)
        settle(&pool, a, out);
    free(pool.row);
    return rc < 0 ? rc : 0;
}

// Points without a campaign (of a shard): one side without a question.
static int bare_side(struct store *s, struct arena *a, struct compare_side *out, struct err *e)
{
    struct pool pool = {0};
    struct campaign_row *row;
    int n = store_rows(s, 0, a, &row, e);
    if (n < 0)
        return n;
    *out = (struct compare_side){.machine = "",
                                 .settings = "",
                                 .model = "",
                                 .workload = "",
                                 .name = "",
                                 .text = "",
                                 .code = ""};
    pool_add(&pool, row, n);
    settle(&pool, a, out);
    free(pool.row);
    return 1;
}

int compare_sides(struct store *s, const char *campaign, struct arena *a, struct compare_side **out,
                  struct err *e)
{
    struct store_campaign *c;
    int n = store_campaigns(s, a, &c, e), chosen = -1, count = 0;
    if (n < 0)
        return n;
    if (campaign && (chosen = find_campaign(c, n, campaign, e)) < 0)
        return chosen;
    struct compare_side *side = ARENA_NEWS(a, (size_t)n + 1, struct compare_side);
    for (int i = 0; i < n; i++) {
        bool newer = false; // another campaign with the same question?
        struct compare_side probe = question(&c[i]);
        for (int k = i + 1; k < n && !campaign; k++)
            newer |= same_question(&probe, &c[k]);
        if (newer || (campaign && i != chosen))
            continue;
        int rc = gather(s, c, i, campaign != NULL, a, &side[count], e);
        if (rc < 0)
            return rc;
        count++;
    }
    if (!n && (count = bare_side(s, a, &side[0], e)) < 0)
        return count;
    *out = side;
    return count;
}
