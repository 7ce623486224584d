// SPDX-License-Identifier: GPL-3.0-or-later
// The in-order asynchronous queue of a device that is made of threads: a ring of task copies, one
// consumer thread, a flag word, two ways to wait. The CPU and the tile NPU are this queue with
// different workers behind it.
#ifndef ENGINE_HOST_QUEUE_H
#define ENGINE_HOST_QUEUE_H

#include "base/conf.h"
#include "engine/device.h"

enum { QUEUE_RING = 256 };

// Executes one task on the consumer thread. Negative: the device has failed for good.
typedef int queue_fn(void *ctx, const struct task *t, struct err *e);

struct queue;
// `spin` is the number of polling turns of the consumer before it sleeps.
int queue_create(queue_fn *fn, void *ctx, int spin, const struct conf_int_list *pin,
                 double act_bytes, struct queue **out, struct err *e);
void queue_destroy(struct queue *q); // completes what was submitted

// The device whose tasks these are: they are reported where its machine's trace goes.
void queue_owner(struct queue *q, const struct device *owner);

// As in struct device_ops. Blocks only while the ring is full.
int queue_submit(struct queue *q, const struct task *t, uint64_t *seq, struct err *e);
int queue_poll(struct queue *q, uint64_t seq, struct err *e);
int queue_wait(struct queue *q, uint64_t seq, enum wait_mode mode, struct err *e);
void queue_drain(struct queue *q); // waits for all that was submitted
_Atomic uint64_t *queue_flag(struct queue *q);
void queue_stats(struct queue *q, struct device_stats *out); // tasks, busy_ps, flops, bytes
void queue_reset(struct queue *q);                           // statistics

#endif
