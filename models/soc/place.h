// SPDX-License-Identifier: GPL-3.0-or-later
// Synthetic addresses: where operands lie in a memory whose contents nobody simulates.
//
// Every weight matrix and every buffer is a region of consecutive addresses, page-aligned, placed
// behind the last one when it is touched first; so equal runs see equal addresses. A weight is
// known by its layer and operator, a buffer by its id; parts of a weight (rows of a shard) and
// tokens of a buffer are offsets in their region. A buffer that outgrows its region moves.
#ifndef MODELS_SOC_PLACE_H
#define MODELS_SOC_PLACE_H

#include <stddef.h>
#include "engine/op.h"

struct place_region {
    uint64_t key; // 0: free slot
    uint64_t address;
    int64_t bytes;
    double stamp; // of the system-level cache (models/soc/slc.h)
};

struct place {
    struct place_region *slot; // open addressing
    size_t n, capacity;        // capacity: a power of two
    uint64_t next;             // address of the next region
};

// The operands of a task. Bytes are those of the useful work, without reloads and padding.
struct operands {
    struct place_region *read_region, *write_region; // valid until the next place_task
    uint64_t weight, read, write;                    // addresses
};

void place_init(struct place *p);
void place_fini(struct place *p);
void place_reset(struct place *p);
// act_bytes: of an activation value. `weight`, `read` and `write` are what the device moves
// there (of a matmul's weight: once).
void place_task(struct place *p, const struct task *t, double act_bytes, int64_t weight,
                int64_t read, int64_t write, struct operands *out);

#endif
