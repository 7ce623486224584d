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

#endif
