// SPDX-License-Identifier: GPL-3.0-or-later
// Operators that are no matmul, in the layer of a model that is as wide as the point says: heads of
// 64 values, four of them on one head of the cache. They take a small part of a step each, but
// there are more of them than matmuls, and on some devices they cost a launch like any other
// operator.
#include <string.h>
#include "engine/graph.h"
#include "engine/profile.h"
#include "explore/characterise_internal.h"

enum { HEAD = 64, GROUP = 4 };

const char *const characterise_kernels[] = {"attention", "swiglu", "add", NULL};
static const char *const op_names[] = {"attn", "swiglu", "add_attn"};

static int find(const char *kind, struct err *e)
{
    int n = 0;
    for (; characterise_kernels[n]; n++)
        if (kind && !strcmp(kind, characterise_kernels[n]))
            return n;
    const char *near = kind ? err_nearest(kind, characterise_kernels, (size_t)n) : NULL;
    return err_set(e, ERR_USAGE, "unknown kernel \"%s\"%s%s", kind ? kind : "",
                   near ? ", did you mean " : "", near ? near : "");
}

static struct model_shape shape_of(int width)
{
    return (struct model_shape){.name = "characterisation",
                                .n_layer = 1,
                                .d_model = width,
                                .n_head = width / HEAD,
                                .n_head_kv = width / HEAD / GROUP,
                                .d_head = HEAD,
                                .d_ff = width,
                                .n_vocab = 1,
                                .weight_bits = 16};
}

static int alloc(struct machine *m, const struct task *t, int cached, struct buffer *b,
                 struct err *e)
{
    const struct model_shape *s = &t->model->shape;
    int64_t kv = graph_buffer_width(s, BUF_KCACHE) * 4;
    if (m->ops->alloc(m, t->n1, (int64_t)t->op->k * 4, &b[0], e) < 0 ||
        m->ops->alloc(m, t->n1, (int64_t)t->op->m * 4, &b[1], e) < 0 ||
        m->ops->alloc(m, cached, kv, &b[2], e) < 0 || m->ops->alloc(m, cached, kv, &b[3], e) < 0)
        return e->code;
    return 0;
}

int characterise_kernel(struct machine *m, int device, const char *kind, const struct point *p,
                        double *ps, struct err *e)
{
    struct model model = {.has_data = m->values};
    struct buffer b[4] = {{0}};
    struct graph g;
    struct task t;
    bool able = false;
    int which = find(kind, e), cached = p->k > p->n ? p->k : p->n;
    if (which < 0)
        return which;
    if (p->m < HEAD * GROUP || p->m % (HEAD * GROUP) || p->n < 1)
        return err_set(e, ERR_USAGE, "%s of %d values for %d tokens; expected a multiple of %d",
                       kind, p->m, p->n, HEAD * GROUP);
    m->ops->reset(m);
    model.shape = shape_of(p->m);
    graph_build(&model, p->n, cached - p->n, &g);
    graph_task(&g, graph_find(&g, op_names[which])->index, -1, &t);
    t.layer = 0;
    int rc = alloc(m, &t, cached, b, e);
    t.in = &b[0];
    t.out = &b[1];
    t.kcache = &b[2];
    t.vcache = &b[3];
    if (rc >= 0)
        rc = profile_ready(m, device, &t, 1, &able, e);
    if (rc >= 0 && !able) // says why
        rc = m->device[device]->ops->supports(m->device[device], &t, e) < 0
                 ? e->code
                 : err_set(e, ERR_UNSUPPORTED, "%s does not run %s", m->device[device]->caps.name,
                           kind);
    if (rc >= 0)
        rc = characterise_streamed(m, device, &t, 1, ps, e);
    m->ops->reset(m); // nothing is left in a queue that uses the buffers
    for (int i = 0; i < 4; i++)
        if (b[i].size)
            m->ops->free(m, &b[i]);
    return rc < 0 ? rc : 0;
}
