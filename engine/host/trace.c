// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/host/trace.h"

static int on_track(void *user, const char *group, const char *name, const char *unit)
{
    struct host_trace *t = user;
    pthread_mutex_lock(&t->lock);
    int track = trace_track(t->to, group, name, unit);
    pthread_mutex_unlock(&t->lock);
    return track;
}

static void on_slice(void *user, int track, const char *name, int64_t begin, int64_t end,
                     uint64_t id)
{
    struct host_trace *t = user;
    pthread_mutex_lock(&t->lock);
    trace_slice(t->to, track, name, begin, end, id);
    pthread_mutex_unlock(&t->lock);
}

static void on_counter(void *user, int track, int64_t time, double value)
{
    struct host_trace *t = user;
    pthread_mutex_lock(&t->lock);
    trace_counter(t->to, track, time, value);
    pthread_mutex_unlock(&t->lock);
}

static void on_flow(void *user, uint64_t from, uint64_t to)
{
    struct host_trace *t = user;
    pthread_mutex_lock(&t->lock);
    trace_flow(t->to, from, to);
    pthread_mutex_unlock(&t->lock);
}

void host_trace_init(struct host_trace *t)
{
    *t = (struct host_trace){.sink = {t, on_track, on_slice, on_counter, on_flow}};
    pthread_mutex_init(&t->lock, NULL);
}

void host_trace_fini(struct host_trace *t)
{
    pthread_mutex_destroy(&t->lock);
}
