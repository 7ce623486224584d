// SPDX-License-Identifier: GPL-3.0-or-later
// A point's words are those of its policy (with options), its scheme (with options) and the values
// of SoC keys, and none of the three depends on the others. So it is enough to enumerate policies
// and schemes on their own, a few hundred in a space of millions of points, and to read SoC values
// off their text. The point found is resolved again: what comes back is the same words, or nothing.
#include "explore/space_find.h"

#include <stdlib.h>
#include <string.h>

struct wording {
    const char *text;
    struct search_point p; // only the policy's (scheme's) parameters mean something
};

struct wordings {
    int64_t n, room;
    struct wording *w; // in the order of their text
};

struct space_finder {
    const struct space *s;
    struct wordings policy, sync;
    struct arena arena, scratch;
};

static bool of_policy(enum space_kind k)
{
    return k == SPACE_POLICY || k == SPACE_POLICY_OPTION;
}

static bool of_sync(enum space_kind k)
{
    return k == SPACE_SYNC || k == SPACE_SYNC_OPTION;
}

static int by_text(const void *x, const void *y)
{
    return strcmp(((const struct wording *)x)->text, ((const struct wording *)y)->text);
}

// All points of a space in which everything but policies (schemes) has one choice.
static void enumerate(struct space_finder *f, bool (*ours)(enum space_kind), struct wordings *out)
{
    struct search_space view;
    struct search_point p;
    struct space_config g;
    space_search(f->s, &view);
    for (int i = 0; i < f->s->n_params; i++)
        if (!ours(f->s->param[i].kind))
            view.n_choices[i] = 1;
    for (bool more = search_first(&view, &p); more; more = search_next(&view, &p)) {
        if (out->n == out->room) {
            out->room = out->room ? out->room * 2 : 64;
            out->w = realloc(out->w, (size_t)out->room * sizeof *out->w);
            if (!out->w)
                abort();
        }
        space_resolve(f->s, &p, &f->arena, &g);
        out->w[out->n++] = (struct wording){ours == of_policy ? g.policy : g.sync, p};
    }
    qsort(out->w, (size_t)out->n, sizeof *out->w, by_text);
}

struct space_finder *space_finder_create(const struct space *s)
{
    struct space_finder *f = calloc(1, sizeof *f);
    if (!f)
        abort();
    f->s = s;
    arena_init(&f->arena);
    arena_init(&f->scratch);
    enumerate(f, of_policy, &f->policy);
    enumerate(f, of_sync, &f->sync);
    return f;
}

void space_finder_destroy(struct space_finder *f)
{
    if (!f)
        return;
    free(f->policy.w);
    free(f->sync.w);
    arena_fini(&f->arena);
    arena_fini(&f->scratch);
    free(f);
}

static const struct search_point *look_up(const struct wordings *l, const char *text)
{
    struct wording key = {.text = text};
    const struct wording *w =
        l->n ? bsearch(&key, l->w, (size_t)l->n, sizeof *l->w, by_text) : NULL;
    return w ? &w->p : NULL;
}

// The choice of a SoC parameter in "key=value; key=value", or -1. A value may be the beginning of
// another one, so it has to end where the text does or at "; ".
static int soc_choice(const struct space_param *p, const char *soc)
{
    size_t n = strlen(p->key);
    const char *at = soc;
    while (at && (strncmp(at, p->key, n) || at[n] != '='))
        at = (at = strstr(at, "; ")) ? at + 2 : NULL;
    for (int c = 0; at && c < p->n; c++) {
        size_t m = strlen(p->choice[c]);
        const char *end = at + n + 1 + m;
        if (!strncmp(at + n + 1, p->choice[c], m) && (!*end || !strncmp(end, "; ", 2)))
            return c;
    }
    return -1;
}

bool space_finder_find(struct space_finder *f, const char *policy, const char *sync,
                       const char *soc, const char *level, struct search_point *out)
{
    const struct space *s = f->s;
    const struct search_point *a = look_up(&f->policy, policy), *b = look_up(&f->sync, sync);
    struct search_point p = {0};
    struct space_config g;
    if (!a || !b)
        return false;
    for (int i = 0; i < s->n_params; i++)
        if (of_policy(s->param[i].kind))
            p.choice[i] = a->choice[i];
        else if (of_sync(s->param[i].kind))
            p.choice[i] = b->choice[i];
        else if ((p.choice[i] = soc_choice(&s->param[i], soc)) < 0)
            return false;
    while (p.level < s->n_levels && s->level[p.level] && strcmp(s->level[p.level], level))
        p.level++;
    if (s->n_levels > 0 && p.level >= s->n_levels)
        return false;
    if (!space_canonical(s, &p))
        return false;
    struct arena_mark mark = arena_mark(&f->scratch);
    space_resolve(s, &p, &f->scratch, &g);
    bool same = !strcmp(g.policy, policy) && !strcmp(g.sync, sync) && !strcmp(g.soc, soc);
    arena_rewind(&f->scratch, mark);
    *out = p;
    return same;
}
