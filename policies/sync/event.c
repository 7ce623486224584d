// SPDX-License-Identifier: GPL-3.0-or-later
// event: sleep until the device's completion callback wakes the host.
//
// Idea: the driver knows when a task ends; let it call back instead of draining the queue. Costs no
// power while waiting. Source: the usual asynchronous style of OpenCL engines
// (clSetEventCallback).
// Loses: a callback travels through the driver's thread and the scheduler, tens to hundreds of
// microseconds that a polled flag does not pay; short operators feel it.
#include "policies/sync/util_flag.h"

struct options {
    int core; // enum core_class
};

static const struct conf_row rows[] = {SYNC_CORE_ROW(struct options, core)};

static int offered(const struct machine_desc *d, const void *options, struct err *e)
{
    (void)options;
    for (int i = 0; i < d->n_devices; i++)
        if (!d->device[i].event)
            return err_at(e, ERR_UNSUPPORTED, NULL, 0, d->device[i].name,
                          "sync scheme event: the device has no completion callback");
    return 0;
}

static int join(struct machine *m, const void *options, const struct ticket *t, int n,
                struct err *e)
{
    sync_place(m, ((const struct options *)options)->core);
    for (int i = 0; i < n; i++) {
        struct device *d = m->device[t[i].device];
        if (d->ops->wait(d, t[i].seq, WAIT_EVENT, e) < 0)
            return e->code;
    }
    return 0;
}

const struct sync_ops sync_event = {
    .name = "event",
    .doc = "sleep until the device's completion callback",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .offered = offered,
    .join = join,
};
