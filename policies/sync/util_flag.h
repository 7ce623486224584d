// SPDX-License-Identifier: GPL-3.0-or-later
// What the flag-polling schemes share.
#ifndef POLICIES_SYNC_UTIL_FLAG_H
#define POLICIES_SYNC_UTIL_FLAG_H

#include "engine/sync.h"

// Every device has a flag word that the host can poll.
int sync_flags_offered(const struct machine_desc *d, const char *scheme, struct err *e);
// Polls the flag words until all tickets are complete. Every `ask` turns the driver is asked too,
// so that a lost device ends in an error and not in an endless loop.
int sync_flags_poll(struct machine *m, const struct ticket *t, int n, int64_t ask, struct err *e);

// The row of the polling core, and what it does. Default: wherever the control plane is.
#define SYNC_CORE_ROW(owner)                                                                       \
    {                                                                                              \
        .name = "core", .type = CONF_ENUM, .fallback = "any", .choices = "any|big|middle|little",  \
        .doc = "class of cores on which the control plane waits and polls",                        \
        .offset = offsetof(owner, core)                                                            \
    }
static inline void sync_core(struct machine *m, int core)
{
    if (core != CORE_ANY)
        m->ops->place(m, (enum core_class)core);
}

#endif
