// SPDX-License-Identifier: GPL-3.0-or-later
// Points as text. A point is its choice indices, "." where a parameter does not apply, and its
// level of detail:
//
//     partita points 1 SPACE-DIGEST CODE-VERSION PARAMETERS
//     0 3 . 1 . @0
//
// Indices mean something in one space only, and a program of another version would store points
// under other keys; so the first line names both.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/version.h"
#include "explore/remote.h"

void remote_points_add(struct remote_points *l, const struct search_point *p)
{
    if (l->n == l->room) {
        l->room = l->room ? l->room * 2 : 256;
        l->p = realloc(l->p, (size_t)l->room * sizeof *l->p);
        if (!l->p)
            abort();
    }
    l->p[l->n++] = *p;
}

void remote_points_fini(struct remote_points *l)
{
    free(l->p);
    *l = (struct remote_points){0};
}

void remote_points_part(struct remote_points *l, int i, int n)
{
    int64_t begin = l->n * i / n, end = l->n * (i + 1) / n;
    if (end > begin)
        memmove(l->p, l->p + begin, (size_t)(end - begin) * sizeof *l->p);
    l->n = end - begin;
}

// --- writing

int remote_points_write(const char *path, const struct space *s, const struct remote_points *l,
                        struct err *e)
{
    char part[512];
    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
        return err_at(e, ERR_IO, path, 0, NULL, "the name is too long");
    FILE *f = fopen(part, "w");
    if (!f)
        return err_at(e, ERR_IO, path, 0, NULL, "cannot write: %s", strerror(errno));
    fprintf(f, "partita points 1 %016" PRIx64 " %s %d\n", s->digest, code_version, s->n_params);
    for (int64_t i = 0; i < l->n; i++) {
        for (int k = 0; k < s->n_params; k++)
            if (l->p[i].choice[k] == SEARCH_UNUSED)
                fprintf(f, ". ");
            else
                fprintf(f, "%d ", l->p[i].choice[k]);
        fprintf(f, "@%d\n", l->p[i].level);
    }
    bool bad = ferror(f) != 0;
    if (fclose(f) != 0 || bad || rename(part, path) < 0) {
        err_at(e, ERR_IO, path, 0, NULL, "cannot write: %s", strerror(errno));
        unlink(part);
        return ERR_IO;
    }
    return 0;
}

// --- reading

static int check_header(const char *text, const char *path, const struct space *s, struct err *e)
{
    uint64_t digest;
    char code[33];
    int version, n_params;
    if (sscanf(text, "partita points %d %" SCNx64 " %32s %d", &version, &digest, code, &n_params) !=
        4)
        return err_at(e, ERR_FORMAT, path, 1, NULL,
                      "expected a file of points as partita explore --ask writes it");
    if (version != 1 || strcmp(code, code_version))
        return err_at(e, ERR_FORMAT, path, 1, NULL,
                      "points for another version of partita (code %s, this is %s)", code,
                      code_version);
    if (digest != s->digest || n_params != s->n_params)
        return err_at(e, ERR_FORMAT, path, 1, NULL,
                      "points of another space than %s, or it has changed since", s->path);
    return 0;
}

// A whole number from 0 to `end` - 1 that ends before a blank or the line's end; moves *text behind
// it.
static bool index_of(char **text, int end, int *out)
{
    char *stop;
    long v = strtol(*text, &stop, 10);
    if (stop == *text || **text == '-' || **text == '+' || **text == ' ' || v < 0 || v >= end)
        return false;
    *out = (int)v;
    *text = stop;
    return *stop == ' ' || *stop == '\n' || !*stop;
}

static bool parse(char *text, const struct space *s, struct search_point *p)
{
    *p = (struct search_point){0};
    for (int k = 0; k < s->n_params; k++) {
        if (*text == '.') {
            p->choice[k] = SEARCH_UNUSED;
            text++;
        } else if (!index_of(&text, s->param[k].n, &p->choice[k])) {
            return false;
        }
        if (*text++ != ' ')
            return false;
    }
    struct search_point whole = *p;
    return *text++ == '@' && index_of(&text, s->n_levels > 0 ? s->n_levels : 1, &p->level) &&
           (*text == '\n' || !*text) && space_canonical(s, &whole) &&
           !memcmp(whole.choice, p->choice, sizeof whole.choice);
}

int remote_points_read(const char *path, const struct space *s, struct remote_points *out,
                       struct err *e)
{
    struct search_point p;
    char *text = NULL;
    size_t room = 0;
    int line = 1, rc = 0;
    FILE *f = fopen(path, "r");
    *out = (struct remote_points){0};
    if (!f)
        return err_at(e, ERR_IO, path, 0, NULL, "%s", strerror(errno));
    rc = check_header(getline(&text, &room, f) < 0 ? "" : text, path, s, e);
    while (rc == 0 && getline(&text, &room, f) >= 0) {
        line++;
        if (!parse(text, s, &p))
            rc = err_at(e, ERR_FORMAT, path, line, NULL, "no point of %s: \"%.*s\"", s->path,
                        (int)strcspn(text, "\n") < 60 ? (int)strcspn(text, "\n") : 60, text);
        else
            remote_points_add(out, &p);
    }
    if (rc == 0 && ferror(f))
        rc = err_at(e, ERR_IO, path, line, NULL, "cannot read: %s", strerror(errno));
    free(text);
    fclose(f);
    if (rc < 0)
        remote_points_fini(out);
    return rc;
}

// --- the list as a searcher

struct search {
    const struct remote_points *list;
    int64_t next;
};

static struct search *list_open(const struct search_space *space, const void *options,
                                uint64_t seed, struct err *e)
{
    struct search *s = calloc(1, sizeof *s);
    (void)space, (void)seed, (void)e;
    if (!s)
        abort();
    s->list = options;
    return s;
}

static bool list_ask(struct search *s, struct search_point *out)
{
    if (s->next == s->list->n)
        return false;
    *out = s->list->p[s->next++];
    return true;
}

static void list_tell(struct search *s, const struct search_point *p,
                      const struct search_outcome *o)
{
    (void)s, (void)p, (void)o;
}

static bool list_done(const struct search *s)
{
    return s->next == s->list->n;
}

static void list_close(struct search *s)
{
    free(s);
}

const struct search_ops remote_list = {.name = "list",
                                       .doc = "the points of a list",
                                       .adaptive = false,
                                       .open = list_open,
                                       .ask = list_ask,
                                       .tell = list_tell,
                                       .done = list_done,
                                       .close = list_close};
