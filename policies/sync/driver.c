// SPDX-License-Identifier: GPL-3.0-or-later
// driver: the explicit finish of each device's driver (clFinish, a blocking graph execute).
//
// Idea: ask the driver to return when the queue is empty. Correct everywhere and what engines do by
// default. Source: HeteroInfer (arXiv 2501.14794) sec. 3.1 measures a fixed 400 us for it on a
// Snapdragon 8 Gen 3, whatever the amount of work.
// Loses: wherever operators are short, so in decode with several hundred joins per token; it also
// drains the queue, so the next submission starts cold.
#include "policies/sync/util_flag.h"

struct options {
    int core; // enum core_class
};

static const struct conf_row rows[] = {SYNC_CORE_ROW(struct options, core)};

static int offered(const struct machine_desc *d, const void *options, struct err *e)
{
    (void)d, (void)options, (void)e;
    return 0;
}

static int join(struct machine *m, const void *options, const struct ticket *t, int n,
                struct err *e)
{
    sync_place(m, ((const struct options *)options)->core);
    for (int i = 0; i < n; i++) {
        struct device *d = m->device[t[i].device];
        if (d->ops->wait(d, t[i].seq, WAIT_FINISH, e) < 0)
            return e->code;
    }
    return 0;
}

const struct sync_ops sync_driver = {
    .name = "driver",
    .doc = "explicit finish of the device's driver",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .options_size = sizeof(struct options),
    .offered = offered,
    .join = join,
};
