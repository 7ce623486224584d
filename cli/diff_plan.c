// SPDX-License-Identifier: GPL-3.0-or-later
// What the operators of a point do differently.
//
// A store keeps a plan's digest and not the plan; so both sides are planned again, by this program
// with the configurations that are here now, and each plan is believed only when its digest is the
// one that the store recorded. Where the program or a configuration has changed since, one side
// (or both) can no longer be planned as it was, and that is said instead.
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "cli/diff.h"
#include "engine/plan.h"

struct replan {
    struct arena arena; // of the overrides
    struct cli_session s;
    struct model *model;
    bool open;
    struct graph graph[2]; // prefill, decode
    struct plan plan[2];
};

static bool plan_one(struct replan *r, int phase)
{
    struct err e = {0};
    const struct session_request *q = &r->s.q;
    struct machine_desc d;
    machine_describe(q->machine, &d);
    if (phase)
        graph_build(q->model, 1, q->n_prompt + q->n_gen / 2, &r->graph[1]);
    else
        graph_build(q->model, q->n_prompt, 0, &r->graph[0]);
    return q->policy->plan(&r->graph[phase], &d, q->cost, q->policy_options, &r->plan[phase], &e) >=
           0;
}

static void replan_close(struct replan *r)
{
    plan_fini(&r->plan[0]);
    plan_fini(&r->plan[1]);
    if (r->open)
        cli_session_close(&r->s);
    if (r->model)
        model_close(r->model);
    arena_fini(&r->arena);
}

// True when this program makes the plans that the row was evaluated with.
static bool replan_open(struct replan *r, const struct compare_side *s,
                        const struct campaign_row *row)
{
    struct cli_factory f;
    struct common c;
    struct err e = {0};
    int prompt, gen, end = 0;
    *r = (struct replan){0};
    arena_init(&r->arena);
    common_init(&c);
    c.machine = s->machine;
    c.policy = row->policy;
    c.sync = row->sync;
    if (sscanf(s->workload, "%d+%d%n", &prompt, &gen, &end) != 2 || s->workload[end] ||
        prompt < 1 || gen < 1 || strstr(s->machine, ", ") ||
        !cli_add_settings(&c, s->settings, &r->arena) || !cli_add_settings(&c, row->soc, &r->arena))
        return false; // several requests or machines have no single plan
    if (cli_factory_open(s->machine, &c, false, &f, &e) < 0 || !f.soc ||
        cli_model_open(s->model, &r->model, &e) < 0 ||
        cli_session_open(&f, &c, r->model, prompt, gen, &r->s, &e) < 0)
        return false;
    r->open = true;
    return plan_one(r, 0) && plan_one(r, 1) && plan_digest(&r->plan[0]) == row->m.plan_prefill &&
           plan_digest(&r->plan[1]) == row->m.plan_decode;
}

// "step 0 q: X against X": the same strategy with other slices, as in plans for other lengths.
static bool only_slices(const char *line)
{
    const char *left = strstr(line, ": "), *right = strstr(line, " against ");
    size_t n = left && right ? (size_t)(right - left) - 2 : 0;
    return n && strlen(right + 9) == n && !strncmp(left + 2, right + 9, n);
}

static void print_phase(FILE *f, int phase, struct replan *a, struct replan *b)
{
    static const char *const name[] = {"prefill", "decode"};
    struct machine_desc d;
    char *text = NULL, *save = NULL;
    size_t size = 0;
    int shown = 0;
    FILE *lines = open_memstream(&text, &size);
    if (!lines)
        abort();
    machine_describe(a->s.q.machine, &d);
    int n = plan_diff(&a->plan[phase], &b->plan[phase], &a->graph[phase], &d, lines);
    fclose(lines);
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
        if (!only_slices(l)) {
            fprintf(f, "    %s, %s\n", name[phase], l);
            shown++;
        }
    if (n && !shown)
        fprintf(f, "    %s: the same strategies, other slices\n", name[phase]);
    free(text);
}

void diff_plans(FILE *f, const struct diff_pair *p, const struct compare_point *q)
{
    struct replan a, b;
    bool can_a = replan_open(&a, &p->a, &p->a.row[q->a]);
    bool can_b = replan_open(&b, &p->b, &p->b.row[q->b]);
    for (int i = 0; can_a && can_b && i < 2; i++)
        print_phase(f, i, &a, &b);
    if (!can_a || !can_b)
        fprintf(f, "    (%s; this program and its configurations plan it as %s)\n",
                "which operators changed cannot be told from digests",
                can_a   ? "A did"
                : can_b ? "B did"
                        : "neither did");
    replan_close(&a);
    replan_close(&b);
}
