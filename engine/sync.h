// SPDX-License-Identifier: GPL-3.0-or-later
// The synchronisation seam. One scheme = one file in policies/sync/ exporting one
// `const struct sync_ops sync_NAME`, written only in machine and device primitives, so that its
// cost is real on hardware and modelled in simulation.
#ifndef ENGINE_SYNC_H
#define ENGINE_SYNC_H

#include "base/conf.h"
#include "engine/machine.h"

// A submitted task as a scheme sees it.
struct ticket {
    int device;
    uint64_t seq;
    int64_t due; // ps on the machine's clock when the cost table expects completion; 0: unknown
};

struct sync_ops {
    const char *name;
    const char *doc;
    const struct conf_row *rows;
    size_t n_rows;
    size_t options_size;
    // When does the executor call join? false: once before the first shard of an operator, for all
    // that any of its shards needs. true: before each shard, only for what that shard needs, so
    // that shards whose inputs come from their own queue are submitted without waiting.
    bool per_shard;
    // Can this machine do it? Says why not (a device without a flag word).
    int (*offered)(const struct machine_desc *d, const void *options, struct err *e);
    // Returns when all tickets are complete and their results visible to the host. Keeps nothing
    // from one join to the next: what it does follows from options, tickets and machine.
    int (*join)(struct machine *m, const void *options, const struct ticket *t, int n,
                struct err *e);
};

extern const struct sync_ops *const sync_registry[];
extern const size_t sync_registry_count;

const struct sync_ops *sync_find(const char *name, struct err *e);
int sync_parse(const char *spec, struct arena *a, const struct sync_ops **out, const void **options,
               struct err *e);

#endif
