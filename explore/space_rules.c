// SPDX-License-Identifier: GPL-3.0-or-later
// Levels of detail, and constraints: a metric, a direction, a limit.
//
// Bounds that contradict each other or that no point can keep (a negative time) are refused here;
// those that only the model or a plan can tell are left to space_check_model and evaluate_check.
#include <math.h>
#include <string.h>
#include "base/num.h"
#include "explore/space_internal.h"

// Activations of FP16, which is what the published engines and the GPUs compute with.
enum { REFERENCE_BITS = 16 };

// --- levels

static const char *const level_names[LEVEL_COUNT] = {"", "estimate", "flow", "cycle", "hardware"};

static int check_level(const struct loader *l, const struct conf_node *root, enum space_level k)
{
    const struct space *s = l->s;
    if (!strcmp(s->machine, "host") && (k == LEVEL_FLOW || k == LEVEL_CYCLE))
        return load_fail(l, root, "levels", "levels",
                         "the host is not simulated; it has the levels estimate and hardware");
    if (k != LEVEL_HARDWARE)
        return 0;
    if (s->n_machines > 1)
        return load_fail(l, root, "levels", "levels",
                         "hardware is one machine, the space has several");
    if (load_has(root, "soc"))
        return load_fail(l, root, "levels", "levels",
                         "hardware cannot take the values of `soc`, of which the space has some");
    return 0;
}

int load_levels(const struct loader *l, const struct conf_node *root)
{
    struct space *s = l->s;
    const char *names[SEARCH_MAX_LEVELS];
    int n = load_strings(l, root, "levels", "a level", names, SEARCH_MAX_LEVELS);
    if (n < 0)
        return n;
    s->n_levels = n ? n : 1;
    s->level[0] = "";
    for (int i = 0; i < n; i++) {
        int k = LEVEL_ESTIMATE;
        while (k < LEVEL_COUNT && strcmp(names[i], level_names[k]))
            k++;
        if (k == LEVEL_COUNT)
            return load_unknown(l, root, "levels", names[i], "level", level_names + LEVEL_ESTIMATE,
                                LEVEL_COUNT - LEVEL_ESTIMATE);
        if (i > 0 && k <= (int)s->kind[i - 1])
            return load_fail(l, root, "levels", "levels",
                             "levels rise: estimate, flow, cycle, hardware");
        if (check_level(l, root, (enum space_level)k) < 0)
            return -1;
        s->kind[i] = (enum space_level)k;
        s->level[i] = level_names[k];
    }
    return 0;
}

const char *load_unknown_to(const struct space *s, enum metric m)
{
    enum space_level last = s->kind[s->n_levels - 1];
    bool host = last == LEVEL_HARDWARE || !strcmp(s->machine, "host");
    bool measured = m != METRIC_ENERGY && m != METRIC_POWER_PREFILL && m != METRIC_FPS_PREFILL &&
                    m != METRIC_FPS_DECODE && m != METRIC_FRAMES_DROPPED;
    if (last == LEVEL_ESTIMATE && !metric_estimated(m))
        return "level estimate";
    return host && !measured ? "the host" : NULL;
}

int load_known(const struct loader *l, const struct conf_node *root, const char *key, enum metric m)
{
    char text[160];
    const char *who = load_unknown_to(l->s, m);
    if (!who)
        return 0;
    snprintf(text, sizeof text, "%s does not know %s", who, metric_rows[m].name);
    return load_fail(l, root, key, key, text);
}

// --- constraints

struct rule {
    const struct loader *l;
    const struct conf_node *root;
    struct space_constraint *c;
};

static int refuse(const struct rule *r, const char *why)
{
    char text[300];
    snprintf(text, sizeof text, "\"%.80s\": %.200s", r->c->text, why);
    return load_fail(r->l, r->root, "constraints", "constraints", text);
}

static int find_metric(const struct rule *r, const char *name)
{
    const char *names[METRIC_COUNT + 1];
    char why[200];
    int m = metric_find(name);
    if (m >= 0) {
        r->c->metric = (enum metric)m;
        return 0;
    }
    for (int i = 0; i < METRIC_COUNT; i++)
        names[i] = metric_rows[i].name;
    names[METRIC_COUNT] = "quality unchanged";
    const char *near = err_nearest(name, names, METRIC_COUNT + 1);
    if (near)
        snprintf(why, sizeof why, "unknown metric \"%.40s\"; did you mean \"%s\"?", name, near);
    else
        snprintf(why, sizeof why,
                 "unknown metric \"%.40s\"; expected METRIC <= VALUE, or \"quality unchanged\"",
                 name);
    return refuse(r, why);
}

// A plain number is in the metric's own unit.
static int read_limit(const struct rule *r, const char *text)
{
    const struct metric_row *row = &metric_rows[r->c->metric];
    size_t n = num_span(text);
    struct err e = {0};
    char why[320];
    if (n && !text[n]) {
        r->c->limit = num_parse(text);
    } else if (n && row->unit_kind == UNIT_NONE) {
        snprintf(why, sizeof why, "expected a plain number%s%s, found \"%.40s\"",
                 *row->unit ? " of " : "", row->unit, text);
        return refuse(r, why);
    } else if (unit_parse(row->unit_kind, text, &r->c->limit, &e) < 0) {
        return refuse(r, *text ? e.msg : "a limit is missing");
    } else {
        r->c->limit /= row->base;
    }
    return isfinite(r->c->limit) ? 0 : refuse(r, "the limit is not finite");
}

// No metric is negative.
static int check_limit(const struct rule *r)
{
    const struct space_constraint *c = r->c;
    if (c->limit < 0)
        return refuse(r,
                      c->at_least ? "holds always" : "nothing can keep it: no metric is below 0");
    if (c->limit == 0 && c->at_least)
        return refuse(r, "holds always");
    bool zero = metric_rows[c->metric].mean == MEAN_COUNT || c->metric == METRIC_PREPARE;
    if (c->limit == 0 && !zero && !metric_rows[c->metric].rate)
        return refuse(r, "nothing can keep it: this is above 0 for every point");
    if (c->metric == METRIC_ACTIVATION_BITS && c->at_least && c->limit > 32)
        return refuse(r, "nothing can keep it: no machine takes activations in more than 32 bits");
    return 0;
}

// Two bounds in the same direction are one too many; in opposite ones they must leave room.
static int check_others(const struct rule *r)
{
    const struct space *s = r->l->s;
    for (int i = 0; i < s->n_constraints; i++) {
        const struct space_constraint *a = &s->constraint[i], *b = r->c;
        char why[200];
        if (a->metric != b->metric)
            continue;
        if (a->at_least == b->at_least) {
            snprintf(why, sizeof why, "is bounded on this side already, by \"%.80s\"", a->text);
            return refuse(r, why);
        }
        const struct space_constraint *low = a->at_least ? a : b, *high = a->at_least ? b : a;
        if (low->limit > high->limit) {
            snprintf(why, sizeof why, "contradicts \"%.80s\": no value is both", a->text);
            return refuse(r, why);
        }
    }
    return 0;
}

static int read_constraint(const struct rule *r)
{
    struct space_constraint *c = r->c;
    const char *at = strpbrk(c->text, "<>=");
    char name[64];
    if (!strcmp(c->text, "quality unchanged")) {
        c->metric = METRIC_ACTIVATION_BITS;
        c->at_least = true;
        c->limit = REFERENCE_BITS;
    } else if (!at) {
        return find_metric(r, c->text) < 0 ? -1 : refuse(r, "expected METRIC <= VALUE or >= VALUE");
    } else {
        size_t n = (size_t)(at - c->text);
        while (n > 0 && c->text[n - 1] == ' ')
            n--;
        snprintf(name, sizeof name, "%.*s", (int)(n < 63 ? n : 63), c->text);
        if (find_metric(r, name) < 0)
            return -1;
        if (strncmp(at, "<=", 2) && strncmp(at, ">=", 2))
            return refuse(r, "expected <= or >=");
        c->at_least = *at == '>';
        at += 2 + strspn(at + 2, " ");
        if (read_limit(r, at) < 0)
            return -1;
    }
    bool decode = c->metric == METRIC_TPOT || c->metric == METRIC_DECODE_RATE;
    if (decode && r->l->s->n_gen < 2)
        return refuse(r, "the decode rate needs at least 2 generated tokens");
    if (check_limit(r) < 0 || load_known(r->l, r->root, "constraints", c->metric) < 0)
        return -1;
    return check_others(r);
}

int load_constraints(const struct loader *l, const struct conf_node *root)
{
    struct space *s = l->s;
    const char *text[SPACE_MAX_CONSTRAINTS], *file;
    int line, n = load_strings(l, root, "constraints", "a constraint", text, SPACE_MAX_CONSTRAINTS);
    if (n < 0)
        return n;
    conf_where(root, "constraints", &file, &line);
    for (int i = 0; i < n; i++) {
        struct space_constraint *c = &s->constraint[i];
        *c = (struct space_constraint){.text = text[i], .line = line};
        struct rule r = {l, root, c};
        if (read_constraint(&r) < 0)
            return -1;
        s->n_constraints = i + 1;
    }
    return 0;
}
