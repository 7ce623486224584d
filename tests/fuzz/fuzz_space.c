// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as a space. Beyond not crashing: a refusal points (code, file, message), and what was
// accepted has a first and a last point that resolve, and is the same space when read again.
#include <stdlib.h>
#include <string.h>
#include "explore/space.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_point(const struct space *s, bool last)
{
    struct search_point p = {.level = last ? s->n_levels - 1 : 0};
    struct space_config g;
    struct arena a;
    for (int i = 0; i < s->n_params; i++) {
        if (s->param[i].n < 1)
            abort();
        p.choice[i] = last ? s->param[i].n - 1 : 0;
    }
    arena_init(&a);
    if (!space_canonical(s, &p))
        abort();
    space_resolve(s, &p, &a, &g);
    if (!*g.policy || !*g.sync || !*g.label)
        abort();
    arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct space *s = NULL, *t = NULL;
    struct err e = {0};
    char *text = malloc(size + 1);
    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = 0;
    int rc = space_open_text("fuzz.cfg", text, &s, &e);
    if (rc < 0 && (e.code != rc || !e.msg[0] || !e.file[0]))
        abort();
    if (rc >= 0) {
        double weights = 0;
        for (int i = 0; i < s->n_requests; i++)
            weights += s->request[i].weight;
        if (space_count(s) < 1 || s->n_requests < 1 || weights < 1 - 1e-9 || weights > 1 + 1e-9)
            abort();
        check_point(s, false);
        check_point(s, true);
        if (space_open_text("fuzz.cfg", text, &t, &e) < 0 || s->digest != t->digest)
            abort();
        space_close(s);
        space_close(t);
    }
    free(text);
    return 0;
}
