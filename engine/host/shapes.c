// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/host/shapes.h"

#include <string.h>
#include "engine/host/exec.h"

struct graph_key graph_key(const struct static_graph *g)
{
    struct graph_key k = {
        .m = g->op->m, .k = g->op->k, .m0 = g->m0, .m1 = g->m1, .n = g->n, .order = g->order};
    strncpy(k.name, g->op->name, sizeof k.name - 1);
    return k;
}

bool graph_key_is(const struct graph_key *k, const struct static_graph *g)
{
    return k->m == g->op->m && k->k == g->op->k && k->m0 == g->m0 && k->m1 == g->m1 &&
           k->n == g->n && k->order == g->order &&
           !strncmp(k->name, g->op->name, sizeof k->name - 1);
}

int shapes_check(const struct device *d, const struct op *op, int m0, int m1, int n, int most,
                 struct err *e)
{
    int tile = d->caps.tile;
    bool standard = n > 0 && n % tile == 0 && n <= most;
    for (int i = 0; i < d->caps.n_sizes; i++)
        standard |= d->caps.size[i] == n;
    if (!standard)
        return err_at(e, ERR_UNSUPPORTED, NULL, 0, op->name,
                      "%d tokens is neither a standard size of the NPU nor whole tiles of %d", n,
                      tile);
    if (m0 < 0 || m0 >= m1 || m1 > op->m || m0 % tile || (m1 % tile && m1 != op->m))
        return err_at(e, ERR_UNSUPPORTED, NULL, 0, op->name,
                      "rows [%d:%d] of %d are not whole tiles of %d", m0, m1, op->m, tile);
    return 0;
}

int shapes_admit(const struct device *d, const struct static_graph *g, int most, int graphs,
                 int limit, int64_t resident, int64_t bytes, struct err *e)
{
    const char *name = g->op->name;
    int rc = shapes_check(d, g->op, g->m0, g->m1, g->n, most, e);
    if (rc < 0)
        return rc;
    limit = d->caps.max_graphs ? d->caps.max_graphs : limit;
    if (graphs >= limit)
        return err_at(e, ERR_MEMORY, NULL, 0, name, "all %d static graphs are in use", limit);
    if (d->caps.memory && resident + bytes > d->caps.memory)
        return err_at(e, ERR_MEMORY, NULL, 0, name,
                      "the NPU's memory of %.1f MB has no room for a graph of %.1f MB",
                      (double)d->caps.memory / 1e6, (double)bytes / 1e6);
    return 0;
}

int shapes_supports(const struct device *d, const struct task *t, int most, struct err *e)
{
    int rc = exec_supports(t, e);
    if (rc < 0 || t->op->kind != OP_MATMUL)
        return rc;
    rc = shapes_check(d, t->op, t->m0, t->m1, t->n_pad, most, e);
    if (rc == 0 && t->n_pad < t->n1 - t->n0)
        return err_at(e, ERR_UNSUPPORTED, NULL, 0, t->op->name,
                      "%d tokens do not fit a static graph of %d", t->n1 - t->n0, t->n_pad);
    return rc;
}

int shapes_rows(const struct tensor *w, int64_t m0, int64_t m1, struct err *e)
{
    if (!w->data || m0 < 0 || m0 > m1 || m1 > w->rows)
        return err_at(e, ERR_USAGE, NULL, 0, w->name, "rows [%lld:%lld] of %lld cannot be loaded",
                      (long long)m0, (long long)m1, (long long)w->rows);
    return 0;
}

int shapes_sizes(const struct conf_int_list *sizes, const char *key, struct device_caps *c,
                 struct err *e)
{
    if (sizes->n < 1 || sizes->n > DEVICE_MAX_SIZES)
        return err_at(e, ERR_CONFIG, NULL, 0, key, "1 to %d sizes expected, %d given",
                      DEVICE_MAX_SIZES, sizes->n);
    c->n_sizes = sizes->n;
    for (int i = 0; i < sizes->n; i++) {
        if (i > 0 && sizes->v[i] <= sizes->v[i - 1])
            return err_at(e, ERR_CONFIG, NULL, 0, key, "sizes must ascend");
        c->size[i] = (int)sizes->v[i];
    }
    return 0;
}
