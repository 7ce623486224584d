// SPDX-License-Identifier: GPL-3.0-or-later
// What a join costs, measured in two ways through the seam.
//
// A hand-over of one device: submit to an idle queue, join, and take off the time of the task
// itself; what an engine pays for every operator that it waits for. A hand-over between two
// devices: how long after the end of a task on one of them a task begins on the other, if the host
// submits it as soon as the join has returned. For this no clock of the host can be read at the
// right moments, but the devices themselves tell when they executed what: the measurement asks the
// machine for a trace (base/trace.h) and looks up the two tasks in it, on hardware and on models
// alike.
//
// Under a scheme that relies on the order of a queue (sync_ops.per_shard), the executor does not
// join a task of the same device, so neither does this: the pair of a device with itself is then
// the gap between two tasks of its queue.
#include "engine/profile.h"

#include <stdlib.h>
#include "base/trace_memory.h"

static const int64_t GAP = 200 * PS_PER_US; // between two hand-overs

// Between two hand-overs lies as much time as the other device's operators take in a layer: worker
// threads that poll for work have gone to sleep by then. The first two do not count.
int profile_hand_over(struct machine *m, int device, const struct task *task, double alone,
                      const struct sync_ops *sync, const void *options, double *join,
                      double *submit, struct err *e)
{
    enum { UNCOUNTED = 2, MOST = 15 };
    struct device *dev = m->device[device];
    double took[MOST] = {0}, queueing[MOST] = {0};
    int count = m->repeatable ? 1 : MOST;
    for (int i = -UNCOUNTED; i < count; i++) {
        struct ticket k = {.device = device};
        m->ops->sleep(m, GAP);
        int64_t begin = m->ops->now(m);
        if (dev->ops->submit(dev, task, &k.seq, e) < 0)
            return e->code;
        int64_t queued = m->ops->now(m);
        k.due = queued + (int64_t)alone;
        if (sync->join(m, options, &k, 1, e) < 0)
            return e->code;
        if (i < 0)
            continue;
        took[i] = (double)(m->ops->now(m) - begin) - alone;
        queueing[i] = (double)(queued - begin);
    }
    double median = profile_median(took, count);
    *join = median > 0 ? median : 0;
    *submit = profile_median(queueing, count);
    return 0;
}

struct round {
    uint64_t produced, consumed; // ids of the slices
    int64_t end, begin;          // ps; -1: not reported
};

static int hand(struct machine *m, const struct profile_leg *from, const struct profile_leg *to,
                const struct sync_ops *sync, const void *options, struct round *out, struct err *e)
{
    struct device *producer = m->device[from->device], *consumer = m->device[to->device];
    struct ticket k = {.device = from->device};
    uint64_t seq;
    m->ops->sleep(m, GAP);
    if (producer->ops->submit(producer, from->task, &k.seq, e) < 0)
        return e->code;
    k.due = m->ops->now(m) + (int64_t)from->alone;
    bool queued = sync->per_shard && from->device == to->device;
    if ((!queued && sync->join(m, options, &k, 1, e) < 0) ||
        consumer->ops->submit(consumer, to->task, &seq, e) < 0 ||
        consumer->ops->wait(consumer, seq, WAIT_FINISH, e) < 0)
        return e->code;
    *out = (struct round){trace_id(from->device, k.seq), trace_id(to->device, seq), -1, -1};
    return 0;
}

int profile_pair(struct machine *m, const struct profile_leg *from, const struct profile_leg *to,
                 const struct sync_ops *sync, const void *options, int rounds, double *ps, int *n,
                 struct err *e)
{
    enum { UNCOUNTED = 2 };
    struct round *r = calloc((size_t)rounds + UNCOUNTED, sizeof *r);
    struct trace_memory t;
    int rc = 0;
    *n = 0;
    if (!r)
        return err_set(e, ERR_MEMORY, "no memory for %d hand-overs", rounds);
    if (m->trace) { // somebody else listens
        free(r);
        return 0;
    }
    trace_memory_init(&t);
    m->ops->trace(m, &t.sink);
    for (int i = 0; i < rounds + UNCOUNTED && rc == 0; i++)
        rc = hand(m, from, to, sync, options, &r[i], e);
    m->ops->trace(m, NULL);
    for (size_t i = 0; i < t.n_slices; i++)
        for (int j = 0; t.slice[i].id && j < rounds + UNCOUNTED; j++) {
            if (t.slice[i].id == r[j].produced)
                r[j].end = t.slice[i].end;
            if (t.slice[i].id == r[j].consumed)
                r[j].begin = t.slice[i].begin;
        }
    for (int i = UNCOUNTED; i < rounds + UNCOUNTED && rc == 0; i++)
        if (r[i].end >= 0 && r[i].begin >= 0)
            ps[(*n)++] = (double)(r[i].begin - r[i].end);
    trace_memory_fini(&t);
    free(r);
    return rc < 0 ? e->code : 0;
}
