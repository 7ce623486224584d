// SPDX-License-Identifier: GPL-3.0-or-later
// sleep_poll: sleep for the predicted time, then poll the flag word: the "fast synchronisation".
//
// Idea: in a layer-by-layer engine the duration of each operator is known from the profile. Sleep
// through most of it, wake a margin early, and poll only for the rest: the latency of polling at
// almost the power of sleeping. Source: HeteroInfer (arXiv 2501.14794) sec. 4.3; usleep there has a
// granularity of 80 to 100 us.
// Loses: when the prediction is too long (the wake-up comes late), and on operators shorter than
// the granularity, where it is just polling.
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
    return sync_flags_offered(d, "sleep_poll", e);
}

static int join(struct machine *m, const void *options, const struct ticket *t, int n,
                struct err *e)
{
    const struct options *o = options;
    sync_place(m, o->flag.core);
    sync_flags_sleep(m, &o->sleep, t, n);
    return sync_flags_poll(m, &o->flag, t, n, e);
}

const struct sync_ops sync_sleep_poll = {
    .name = "sleep_poll",
    .doc = "sleep for the predicted time, then poll the flag word (fast synchronisation)",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .offered = offered,
    .join = join,
};
