// SPDX-License-Identifier: GPL-3.0-or-later
// partita diff: what is different between two stores, or two campaigns.
#include "cli/diff.h"

#include <string.h>
#include "explore/store.h"

struct diff_options {
    struct diff d;
    const char *path[2], *campaign[2];
    const char *markdown, *junit;
    bool json;
    int n;
};

enum { KEY_A = 3100, KEY_B, KEY_TOLERANCE, KEY_TOP, KEY_STRICT, KEY_JSON, KEY_MARKDOWN, KEY_JUNIT };

static const struct argp_option options[] = {
    {"campaign-a", KEY_A, "NAME", 0, "only this campaign of A, by space or number", 0},
    {"campaign-b", KEY_B, "NAME", 0, "only this campaign of B", 0},
    {"tolerance", KEY_TOLERANCE, "[METRIC=]SHARE", 0,
     "a relative change that is no movement (default 0.5%); with METRIC= of this one only", 0},
    {"strict", KEY_STRICT, 0, 0, "other plans, sessions and front members are movements too", 0},
    {"top", KEY_TOP, "K", 0, "show the K points that moved most (default 20; 0: all)", 0},
    {"json", KEY_JSON, 0, 0, "print the result as JSON", 0},
    {"markdown", KEY_MARKDOWN, "FILE", 0, "also write a summary as Markdown", 0},
    {"junit", KEY_JUNIT, "FILE", 0, "also write JUnit XML, one test case per point", 0},
    {0},
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct diff_options *o = state->input;
    switch (key) {
    case KEY_A:
        o->campaign[0] = arg;
        break;
    case KEY_B:
        o->campaign[1] = arg;
        break;
    case KEY_TOLERANCE:
        diff_tolerance(&o->d, state, arg);
        break;
    case KEY_STRICT:
        o->d.strict = true;
        break;
    case KEY_TOP:
        o->d.top = cli_whole(state, "--top", arg, 0, 1000000);
        break;
    case KEY_JSON:
        o->json = true;
        break;
    case KEY_MARKDOWN:
        o->markdown = arg;
        break;
    case KEY_JUNIT:
        o->junit = arg;
        break;
    case ARGP_KEY_ARG:
        if (o->n == 2)
            argp_error(state, "two stores: what is \"%s\"?", arg);
        o->path[o->n++] = arg;
        break;
    case ARGP_KEY_END:
        if (o->n < 2)
            argp_error(state, "which two stores?");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    option,
    "A.db B.db",
    "Compares two stores of partita explore: points that only one of them has, metrics that moved "
    "and by how much, other plans, the best of each objective and the Pareto front.\vPoints are "
    "matched by policy, scheme, SoC overrides, requests, machine and model. When both stores hold "
    "one question, or --campaign-a and --campaign-b choose one, these two are compared even if "
    "machine, model or requests differ. Exit code: 0 nothing moved, 1 something did.",
    NULL,
    NULL,
    NULL};

static void pair_up(struct diff *d, struct compare_side *a, int na, struct compare_side *b, int nb)
{
    d->only_a = ARENA_NEWS(&d->arena, (size_t)na + 1, const struct compare_side *);
    d->only_b = ARENA_NEWS(&d->arena, (size_t)nb + 1, const struct compare_side *);
    if (na == 1 && nb == 1) {
        diff_add(d, a, b);
        return;
    }
    for (int i = 0; i < na; i++) {
        int j = 0;
        while (j < nb && !compare_same_question(&a[i], &b[j]))
            j++;
        if (j < nb)
            diff_add(d, &a[i], &b[j]);
        else
            d->only_a[d->n_only_a++] = &a[i];
    }
    for (int j = 0; j < nb; j++) {
        int i = 0;
        while (i < na && !compare_same_question(&a[i], &b[j]))
            i++;
        if (i == na)
            d->only_b[d->n_only_b++] = &b[j];
    }
}

static int sides(const char *path, const char *campaign, struct arena *a, struct compare_side **out,
                 struct err *e)
{
    struct store *s;
    if (store_open(path, STORE_READ, &s, e) < 0)
        return e->code;
    int n = compare_sides(s, campaign, a, out, e);
    err_locate(e, path, 0);
    store_close(s, NULL);
    return n;
}

int cmd_diff(int argc, char **argv)
{
    struct diff_options o = {0};
    struct compare_side *a, *b;
    struct err e = {0};
    int na, nb, rc;
    diff_init(&o.d);
    cli_parse(&argp, argc, argv, &o);
    o.d.name_a = o.path[0];
    o.d.name_b = o.path[1];
    if ((na = sides(o.path[0], o.campaign[0], &o.d.arena, &a, &e)) < 0 ||
        (nb = sides(o.path[1], o.campaign[1], &o.d.arena, &b, &e)) < 0) {
        rc = cli_fail(&e);
    } else {
        pair_up(&o.d, a, na, b, nb);
        rc = diff_report(&o.d, o.json, o.markdown, o.junit);
    }
    diff_fini(&o.d);
    return rc;
}
