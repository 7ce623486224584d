// SPDX-License-Identifier: GPL-3.0-or-later
// What schemes share: where the control plane waits, polling of flag words, sleeping before it.
#ifndef POLICIES_SYNC_UTIL_FLAG_H
#define POLICIES_SYNC_UTIL_FLAG_H

#include "engine/sync.h"

// What every scheme can be told.
#define SYNC_CORE_ROW(owner, field)                                                                \
    {                                                                                              \
        .name = "core", .type = CONF_ENUM, .fallback = "any", .choices = "any|big|middle|little",  \
        .doc = "class of cores on which the control plane waits and polls; any: where it is",      \
        .offset = offsetof(owner, field)                                                           \
    }
// Moves the control plane to such a core (enum core_class). One core by its number is the host
// machine's control_pin, which goes before this.
void sync_place(struct machine *m, int core);

// What every polling scheme can be told.
struct sync_flag_options {
    int64_t ask; // turns of the polling loop
    int core;    // enum core_class
};
#define SYNC_FLAG_ROWS(owner, field)                                                               \
    {.name = "ask",                                                                                \
     .type = CONF_INT,                                                                             \
     .fallback = "100000",                                                                         \
     .min = 1,                                                                                     \
     .max = 1e12,                                                                                  \
     .doc = "turns of the polling loop after which the driver is asked whether the device lives",  \
     .offset = offsetof(owner, field.ask)},                                                        \
        SYNC_CORE_ROW(owner, field.core)

// Every device has a flag word that the host can poll.
int sync_flags_offered(const struct machine_desc *d, const char *scheme, struct err *e);
// Polls the flag words until all tickets are complete. Every `ask` turns the driver is asked too,
// so that a lost device ends in an error and not in an endless loop.
int sync_flags_poll(struct machine *m, const struct sync_flag_options *o, const struct ticket *t,
                    int n, struct err *e);

// Sleeping through the predicted time before polling.
struct sync_sleep_options {
    int64_t margin;      // ps
    int64_t granularity; // ps
};
#define SYNC_SLEEP_ROWS(owner, member)                                                             \
    {.name = "margin",                                                                             \
     .type = CONF_INT,                                                                             \
     .unit = UNIT_TIME,                                                                            \
     .fallback = "100 us",                                                                         \
     .max = 1e10,                                                                                  \
     .doc = "how long before the predicted completion to wake up and start polling",               \
     .offset = offsetof(owner, member.margin)},                                                    \
    {                                                                                              \
        .name = "granularity", .type = CONF_INT, .unit = UNIT_TIME, .fallback = "90 us",           \
        .max = 1e10, .doc = "shortest sleep worth asking for; anything shorter is polled through", \
        .offset = offsetof(owner, member.granularity)                                              \
    }
void sync_flags_sleep(struct machine *m, const struct sync_sleep_options *o, const struct ticket *t,
                      int n);

#endif
