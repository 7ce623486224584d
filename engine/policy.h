// SPDX-License-Identifier: GPL-3.0-or-later
// The partition-policy seam. One policy = one file in policies/partition/ exporting one
// `const struct policy_ops policy_NAME`. Pure: graph, machine description, cost table and options
// in, plan out; no clock, no I/O, no machine.
#ifndef ENGINE_POLICY_H
#define ENGINE_POLICY_H

#include "base/conf.h"
#include "engine/cost.h"
#include "engine/plan.h"

struct policy_ops {
    const char *name;
    const char *doc; // one sentence
    const struct conf_row *rows;
    size_t n_rows;
    size_t options_size;
    // Plans the step graph g. `out` is initialised by the callee with plan_init and is only valid
    // on success. A machine that lacks a device the policy cannot do without: ERR_UNSUPPORTED.
    int (*plan)(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e);
};

extern const struct policy_ops *const policy_registry[];
extern const size_t policy_registry_count;

const struct policy_ops *policy_find(const char *name, struct err *e); // NULL: e names the nearest
// Parses "NAME" or "NAME:key=value,..."; *options is filled in the arena.
int policy_parse(const char *spec, struct arena *a, const struct policy_ops **out,
                 const void **options, struct err *e);

#endif
