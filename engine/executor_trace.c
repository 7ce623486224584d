// SPDX-License-Identifier: GPL-3.0-or-later
// Flows show dependencies, not waiting: an arrow goes from the producer on another device to its
// first consumer in each queue, whether or not the scheme had to wait for it. What comes later in
// that queue has the same dependency through the order of the queue and gets no arrow of its own.
#include "engine/executor_trace.h"

#include <stdio.h>

// Does an entry before i on the same device wait for entry `producer` or a later one of its device?
static bool covered(const struct schedule *s, int i, int producer)
{
    int from = s->entry[producer].device;
    for (int k = i - 1; k > producer; k--)
        if (s->entry[k].device == s->entry[i].device && s->entry[k].join[from] >= producer)
            return true;
    return false;
}

void executor_trace_submit(struct machine *m, const struct schedule *s, const uint64_t *seq, int i,
                           int64_t begin, int64_t end)
{
    const struct schedule_entry *n = &s->entry[i];
    char name[64];
    snprintf(name, sizeof name, "submit %.16s %.24s", m->device[n->device]->caps.name,
             n->task.op->name);
    trace_slice(m->trace, m->tracks.control, name, begin, end, 0);
    for (int d = 0; d < m->n_devices; d++)
        if (n->join[d] >= 0 && !covered(s, i, n->join[d]))
            trace_flow(m->trace, trace_id(d, seq[n->join[d]]), trace_id(n->device, seq[i]));
}

void executor_trace_join(struct machine *m, const char *scheme, const struct ticket *t, int n,
                         int64_t begin)
{
    char name[128];
    int at = snprintf(name, sizeof name, "join %.24s", scheme);
    for (int i = 0; i < n; i++)
        at += snprintf(name + at, sizeof name - (size_t)at, " %.16s",
                       m->device[t[i].device]->caps.name);
    machine_trace_control(m, name, begin);
}

void executor_trace_step(struct machine *m, int n, int n_past, int64_t begin)
{
    char name[64];
    snprintf(name, sizeof name, "%d token%s after %d", n, n == 1 ? "" : "s", n_past);
    trace_slice(m->trace, m->tracks.steps, name, begin, m->ops->now(m), 0);
}
