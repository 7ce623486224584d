// SPDX-License-Identifier: GPL-3.0-or-later
// Which device holds which slice of each shared buffer, for machines with a device that keeps its
// own copy. Turns "device d is about to use buffer b" into the map() calls that it needs. Machines
// whose devices are all coherent never come here.
#ifndef ENGINE_COHERENCE_H
#define ENGINE_COHERENCE_H

#include "engine/plan.h"

struct coherence;
struct coherence *coherence_create(struct machine *m); // NULL when every device is coherent
void coherence_destroy(struct coherence *c);

// The host wrote rows [row0, row1) of b (whole width).
void coherence_host_wrote(struct coherence *c, struct buffer *b, int64_t row0, int64_t row1);
// Before the task: brings the rows that it reads to the device, and no others, so that nothing is
// copied that another shard of its operator is working on. All joins of the task have been made.
// Adds the bytes moved to *moved.
int coherence_before(struct coherence *c, const struct task *t, int device, int64_t *moved,
                     struct err *e);
void coherence_after(struct coherence *c, const struct task *t, int device);
// Before the host reads b.
int coherence_to_host(struct coherence *c, struct buffer *b, int64_t *moved, struct err *e);
// The device whose map() failed last, -1: none has.
int coherence_culprit(const struct coherence *c);
// The device is lost, and what only it had of b with it. Returns the first row of which something
// is gone, INT64_MAX when nothing is.
int64_t coherence_lose(struct coherence *c, struct buffer *b, int device);

#endif
