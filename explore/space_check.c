// SPDX-License-Identifier: GPL-3.0-or-later
// Rules of a space against facts: the keys of a machine, the model, the metrics of a point.
#include <math.h>
#include <string.h>
#include "engine/model.h"
#include "explore/space.h"

// --- the machine's keys

static int check_override(const struct space_param *p, const char *value,
                          const struct machine_factory *f, struct err *e)
{
    struct machine *m;
    struct err why = {0};
    char text[256];
    const char *override = text;
    snprintf(text, sizeof text, "%s=%s", p->key, value);
    int rc = f->open(f, &override, 1, &m, &why);
    if (rc >= 0) {
        m->ops->close(m);
        return 0;
    }
    return err_at(e, why.code, p->file, p->line, p->key, "value \"%s\": %s", value, why.msg);
}

int space_check_machine(const struct space *s, const struct machine_factory *f, struct err *e)
{
    for (int i = 0; i < s->n_params && s->param[i].kind == SPACE_SOC; i++)
        for (int c = 0; c < s->param[i].n; c++)
            if (check_override(&s->param[i], s->param[i].choice[c], f, e) < 0)
                return e->code;
    return 0;
}

// --- the model

static int point_at(const struct space *s, const char *key, struct err *e, const char *text)
{
    err_set(e, ERR_CONFIG, "%s", text);
    if (e)
        space_locate(s, key, e);
    return ERR_CONFIG;
}

static int check_context(const struct space *s, const struct model *m, struct err *e)
{
    char text[320];
    for (int i = 0; i < s->n_requests; i++) {
        const struct space_request *r = &s->request[i];
        if (m->shape.n_ctx < 1 || r->n_prompt + r->n_gen <= m->shape.n_ctx)
            continue;
        snprintf(text, sizeof text,
                 "a request of %d + %d tokens is longer than the context of %s, %d tokens%s",
                 r->n_prompt, r->n_gen, m->shape.name, m->shape.n_ctx,
                 s->trace ? "; max_tokens cuts such requests" : "");
        return point_at(s, s->trace ? "trace" : "prompt", e, text);
    }
    return 0;
}

int space_check_model(const struct space *s, const struct model *m, struct err *e)
{
    char text[320];
    double weights = (double)model_weight_bytes(m);
    for (int i = 0; i < s->n_constraints; i++) {
        const struct space_constraint *c = &s->constraint[i];
        if (c->metric != METRIC_MEMORY || c->at_least || c->limit >= weights)
            continue;
        snprintf(text, sizeof text, "\"%.80s\": nothing can keep it: the weights of %s are %.2f GB",
                 c->text, m->shape.name, weights / 1e9);
        return point_at(s, "constraints", e, text);
    }
    return check_context(s, m, e);
}

// --- constraints

static double excess(const struct space_constraint *c, double v)
{
    double over = c->at_least ? c->limit - v : v - c->limit;
    if (!(over > 0)) // also when the value is unknown
        return 0;
    return c->limit > 0 ? over / c->limit : over;
}

double space_violation(const struct space *s, const struct metrics *m)
{
    double sum = 0;
    for (int i = 0; i < s->n_constraints; i++) {
        const struct space_constraint *c = &s->constraint[i];
        double worst = m->n_machines ? 0 : excess(c, m->value[c->metric]);
        for (int j = 0; j < m->n_machines; j++)
            worst = fmax(worst, excess(c, m->by_machine[j][c->metric]));
        sum += worst;
    }
    return sum;
}
