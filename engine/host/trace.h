// SPDX-License-Identifier: GPL-3.0-or-later
// Devices report from threads of their own: one at a time to whoever traces.
#ifndef ENGINE_HOST_TRACE_H
#define ENGINE_HOST_TRACE_H

#include <pthread.h>
#include "base/trace.h"

struct host_trace {
    struct trace_sink sink;      // to be handed out
    const struct trace_sink *to; // who gets what comes in
    pthread_mutex_t lock;
};
void host_trace_init(struct host_trace *t);
void host_trace_fini(struct host_trace *t);

#endif
