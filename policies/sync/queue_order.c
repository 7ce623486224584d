// SPDX-License-Identifier: GPL-3.0-or-later
// queue_order: rely on the in-order queue of each device, join only what crosses devices, and only
// when the shard that needs it is about to be submitted.
//
// Idea: while one device dominates (the GPU in decode), its next operator can be queued behind the
// current one without waiting for it; the other device's shard is joined when it is needed, by
// sleeping for most of the predicted time and polling for the rest. The dominant queue never runs
// dry, so it never pays the restart of an empty queue. Source: HeteroInfer (arXiv 2501.14794)
// sec. 4.3, the fast synchronisation in full. Loses: nothing against sleep_poll in latency; with
// equal shards on both devices there is nothing to queue ahead.
#include "policies/sync/util_flag.h"

struct options {
    struct sync_sleep_options sleep;
    struct sync_flag_options flag;
};

static const struct conf_row rows[] = {
    SYNC_SLEEP_ROWS(struct options, sleep),
    SYNC_FLAG_ROWS(struct options, flag),
};

static int offered(const struct machine_desc *d, const void *options, struct err *e)
{
    (void)options;
    return sync_flags_offered(d, "queue_order", e);
}

static int join(struct machine *m, const void *options, const struct ticket *t, int n,
                struct err *e)
{
    const struct options *o = options;
    sync_place(m, o->flag.core);
    sync_flags_sleep(m, &o->sleep, t, n);
    return sync_flags_poll(m, &o->flag, t, n, e);
}

const struct sync_ops sync_queue_order = {
    .name = "queue_order",
    .doc = "submit ahead along in-order queues; sleep, then poll for what crosses devices",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .per_shard = true,
    .offered = offered,
    .join = join,
};
