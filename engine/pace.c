// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/pace.h"

#include <math.h>

static int64_t busy(const struct machine *m, int device)
{
    struct device_stats s = {0};
    m->device[device]->ops->stats(m->device[device], &s);
    return s.busy_ps;
}

static const double BELIEVED = 0.5; // of a table that was never seen to be right
static const double MOST = 2;       // of it: a process that was stopped for a while was not busy

void pace_init(struct pace *p, const struct machine *m)
{
    *p = (struct pace){.known = false};
    for (int d = 0; d < MACHINE_MAX_DEVICES; d++)
        p->factor[d] = m->repeatable ? 1 : BELIEVED;
}

void pace_begin(struct pace *p, const struct machine *m)
{
    for (int d = 0; d < m->n_devices; d++)
        p->busy[d] = p->expected[d] > 0 ? busy(m, d) : 0;
}

void pace_end(struct pace *p, const struct machine *m)
{
    for (int d = 0; d < m->n_devices; d++) {
        int64_t took = p->expected[d] > 0 ? busy(m, d) - p->busy[d] : 0;
        if (took <= 0) // unused, or the device cannot tell
            continue;
        double now = fmin((double)took / p->expected[d], MOST);
        p->factor[d] = p->known ? (p->factor[d] + now) / 2 : now;
    }
    p->known = true;
}
