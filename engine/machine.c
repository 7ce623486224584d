// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/machine.h"

#include <stdio.h>
#include <string.h>

bool device_can(const struct device_caps *c, enum op_kind k)
{
    return c->ops >> k & 1;
}

int device_load(struct device *d, const struct task *t, struct err *e)
{
    bool matmul = t->op->kind == OP_MATMUL;
    int64_t at = 0; // first row of the part within the stacked weight
    for (int p = 0; p < t->n_parts; at += t->w[p++]->rows) {
        int64_t m0 = matmul && t->m0 > at ? t->m0 - at : 0;
        int64_t m1 = matmul && t->m1 - at < t->w[p]->rows ? t->m1 - at : t->w[p]->rows;
        if (m0 < m1 && d->ops->load(d, t->w[p], m0, m1, e) < 0)
            return e->code;
    }
    return 0;
}

int device_size_for(const struct device_caps *c, int n)
{
    for (int i = 0; i < c->n_sizes; i++)
        if (c->size[i] >= n)
            return c->size[i];
    return 0;
}

const char *device_kind_name(enum device_kind k)
{
    static const char *const name[] = {"cpu", "gpu", "npu"};
    return name[k];
}

void machine_describe(const struct machine *m, struct machine_desc *out)
{
    *out = (struct machine_desc){.name = m->name, .n_devices = m->n_devices, .memory = m->memory};
    out->cpu = out->gpu = out->npu = -1;
    for (int i = m->n_devices - 1; i >= 0; i--) {
        out->device[i] = m->device[i]->caps;
        if (m->lost[i]) {
            out->device[i].ops = 0;
            out->device[i].flag = out->device[i].event = true; // nobody will wait for it
            continue;
        }
        switch (m->device[i]->caps.kind) {
        case DEVICE_CPU:
            out->cpu = i;
            break;
        case DEVICE_GPU:
            out->gpu = i;
            break;
        case DEVICE_NPU:
            out->npu = i;
            break;
        }
    }
}

void machine_set_trace(struct machine *m, const struct trace_sink *sink)
{
    struct machine_tracks *t = &m->tracks;
    m->trace = sink;
    if (!sink)
        return;
    t->steps = trace_track(sink, "control plane", "steps", NULL);
    t->control = trace_track(sink, "control plane", "sync", NULL);
    for (int i = 0; i < m->n_devices; i++)
        t->device[i] = trace_track(sink, "devices", m->device[i]->caps.name, NULL);
}

void machine_trace_queues(struct machine *m)
{
    struct machine_tracks *t = &m->tracks;
    char name[64];
    for (int i = 0; m->trace && i < m->n_devices; i++) {
        snprintf(name, sizeof name, "%.32s depth", m->device[i]->caps.name);
        t->depth[i] = trace_track(m->trace, "queues", name, "tasks");
    }
    for (int i = 0; m->trace && i < m->n_devices; i++) {
        snprintf(name, sizeof name, "%.32s waiting", m->device[i]->caps.name);
        t->queue[i] = trace_track(m->trace, "queues", name, NULL);
    }
}

void machine_trace_control(struct machine *m, const char *name, int64_t begin)
{
    trace_slice(m->trace, m->tracks.control, name, begin, m->ops->now(m), 0);
}

struct device *machine_find(const struct machine *m, const char *name)
{
    for (int i = 0; i < m->n_devices; i++)
        if (!strcmp(m->device[i]->caps.name, name))
            return m->device[i];
    return NULL;
}
