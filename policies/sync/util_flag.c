// SPDX-License-Identifier: GPL-3.0-or-later
#include "policies/sync/util_flag.h"

int sync_flags_offered(const struct machine_desc *d, const char *scheme, struct err *e)
{
    for (int i = 0; i < d->n_devices; i++)
        if (!d->device[i].flag)
            return err_at(e, ERR_UNSUPPORTED, NULL, 0, d->device[i].name,
                          "sync scheme %s: the device sets no flag word that the host can see "
                          "before its driver reports",
                          scheme);
    return 0;
}

void sync_flags_place(struct machine *m, const struct sync_flag_options *o)
{
    if (o->core != CORE_ANY)
        m->ops->place(m, (enum core_class)o->core);
}

int sync_flags_poll(struct machine *m, const struct sync_flag_options *o, const struct ticket *t,
                    int n, struct err *e)
{
    int64_t begin = m->trace ? m->ops->now(m) : 0;
    for (int i = 0; i < n; i++) {
        struct device *d = m->device[t[i].device];
        for (int64_t turn = 1; m->ops->flag(m, t[i].device) < t[i].seq; turn++) {
            m->ops->pause(m);
            if (turn % o->ask)
                continue;
            int rc = d->ops->poll(d, t[i].seq, e);
            if (rc < 0)
                return rc;
        }
    }
    if (m->trace)
        machine_trace_control(m, "poll", begin);
    return 0;
}

void sync_flags_sleep(struct machine *m, const struct sync_sleep_options *o, const struct ticket *t,
                      int n)
{
    int64_t due = 0;
    for (int i = 0; i < n; i++)
        due = t[i].due > due ? t[i].due : due;
    int64_t begin = m->ops->now(m), left = due - o->margin - begin;
    if (left < o->granularity || left <= 0)
        return;
    m->ops->sleep(m, left);
    if (m->trace)
        machine_trace_control(m, "sleep", begin);
}
