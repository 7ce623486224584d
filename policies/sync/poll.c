// SPDX-License-Identifier: GPL-3.0-or-later
// poll: spin on the flag word that the device sets in shared memory.
//
// Idea: a word in unified memory is visible to the host nanoseconds after the device wrote it, long
// before the driver's own report. Source: the polling half of HeteroInfer's fast synchronisation
// (sec. 4.3).
// Loses: energy, since a core spins for the whole operator; and, on a machine with few cores, the
// time that a compute thread would have had.
#include "policies/sync/util_flag.h"

struct options {
    struct sync_flag_options flag;
};

static const struct conf_row rows[] = {
    SYNC_FLAG_ROWS(struct options, flag),
};

static int offered(const struct machine_desc *d, const void *options, struct err *e)
{
    (void)options;
    return sync_flags_offered(d, "poll", e);
}

static int join(struct machine *m, const void *options, const struct ticket *t, int n,
                struct err *e)
{
    const struct options *o = options;
    sync_place(m, o->flag.core);
    return sync_flags_poll(m, &o->flag, t, n, e);
}

const struct sync_ops sync_poll = {
    .name = "poll",
    .doc = "spin on the device's flag word in shared memory",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .offered = offered,
    .join = join,
};
