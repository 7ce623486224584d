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

void sync_place(struct machine *m, int core)
{
    if (core != CORE_ANY)
        m->ops->place(m, (enum core_class)core);
}

static inline __attribute__((always_inline)) int poll(struct machine *m,
                                                      const struct sync_flag_options *o,
                                                      const struct ticket *t, int n, struct err *e)
{
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
    return 0;
}

static __attribute__((cold, noinline)) int poll_traced(struct machine *m,
                                                       const struct sync_flag_options *o,
                                                       const struct ticket *t, int n, struct err *e)
{
    int64_t begin = m->ops->now(m);
    int rc = poll(m, o, t, n, e);
    machine_trace_control(m, "poll", begin);
    return rc;
}

int sync_flags_poll(struct machine *m, const struct sync_flag_options *o, const struct ticket *t,
                    int n, struct err *e)
{
    return m->trace ? poll_traced(m, o, t, n, e) : poll(m, o, t, n, e);
}

static __attribute__((cold, noinline)) void sleep_traced(struct machine *m, int64_t ps)
{
    int64_t begin = m->ops->now(m);
    m->ops->sleep(m, ps);
    machine_trace_control(m, "sleep", begin);
}

void sync_flags_sleep(struct machine *m, const struct sync_sleep_options *o, const struct ticket *t,
                      int n)
{
    int64_t due = 0;
    for (int i = 0; i < n; i++)
        due = t[i].due > due ? t[i].due : due;
    int64_t left = due - o->margin - m->ops->now(m);
    if (left < o->granularity || left <= 0)
        return;
    if (m->trace)
        sleep_traced(m, left);
    else
        m->ops->sleep(m, left);
}
