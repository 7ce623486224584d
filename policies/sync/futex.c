// SPDX-License-Identifier: GPL-3.0-or-later
// futex: poll for a moment, then sleep in the kernel on the flag word until the device's own thread
// wakes the host.
//
// Idea: a short operator is over before a sleep would have begun, and a long one should not keep a
// core busy. Spinning for about as long as a sleep and a wake-up cost is never worse than twice the
// better of the two, without any prediction (Karlin, Li, Manasse, Owicki: Empirical studies of
// competitive spinning, SOSP 1991). The ticket that is expected last is waited for first, so that
// the others are mostly complete when it is, and one sleep does for all.
// Needs a device with a thread that can make the system call: one that is made of host threads. A
// GPU or DSP stores a word and can do no more; its driver's thread wakes the host, by its callback,
// which is waited for where it stands beside devices that can (WAIT_EVENT).
// Loses: to poll, by the wake-up; to sleep_poll with a good prediction, too.
#include "policies/sync/util_flag.h"

struct options {
    int64_t spin; // ps
    int core;     // enum core_class
};

static const struct conf_row rows[] = {
    {.name = "spin",
     .type = CONF_INT,
     .unit = UNIT_TIME,
     .fallback = "30 us",
     .max = 1e12,
     .doc = "how long to poll the flag words before sleeping",
     .offset = offsetof(struct options, spin)},
    SYNC_CORE_ROW(struct options, core),
};

static int offered(const struct machine_desc *d, const void *options, struct err *e)
{
    (void)options;
    bool any = false;
    for (int i = 0; i < d->n_devices; i++) {
        any |= d->device[i].wake;
        if (!d->device[i].wake && !d->device[i].event)
            return err_at(e, ERR_UNSUPPORTED, NULL, 0, d->device[i].name,
                          "sync scheme futex: neither a thread of the device nor a callback of its "
                          "driver can wake the host");
    }
    return any ? 0
               : err_at(
                     e, ERR_UNSUPPORTED, NULL, 0, d->device[0].name,
                     "sync scheme futex: no device has a thread of its own that wakes who sleeps "
                     "on its flag word; waiting for a driver's callback is the scheme event");
}

// Until all are complete, or it is time to sleep; not at all where there is nothing to see.
static void spin(struct machine *m, int64_t ps, const struct ticket *t, int n)
{
    int64_t begin = m->ops->now(m);
    for (int i = 0; i < n; i++) {
        if (!m->device[t[i].device]->caps.flag)
            return;
        while (m->ops->flag(m, t[i].device) < t[i].seq) {
            if (m->ops->now(m) - begin >= ps)
                return;
            m->ops->pause(m);
        }
    }
}

static int sleep_for(struct machine *m, const struct ticket *t, struct err *e)
{
    struct device *d = m->device[t->device];
    return d->ops->wait(d, t->seq, d->caps.wake ? WAIT_FUTEX : WAIT_EVENT, e);
}

static int join(struct machine *m, const void *options, const struct ticket *t, int n,
                struct err *e)
{
    const struct options *o = options;
    int last = 0;
    sync_place(m, o->core);
    spin(m, o->spin, t, n);
    for (int i = 1; i < n; i++)
        last = t[i].due > t[last].due ? i : last;
    // Complete or not, the device is asked: a failure is reported here.
    int rc = n ? sleep_for(m, &t[last], e) : 0;
    for (int i = 0; rc == 0 && i < n; i++)
        rc = i == last ? 0 : sleep_for(m, &t[i], e);
    return rc;
}

const struct sync_ops sync_futex = {
    .name = "futex",
    .doc =
        "poll for a moment, then sleep on the flag word until the device's thread wakes the host",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .offered = offered,
    .join = join,
};
