// SPDX-License-Identifier: GPL-3.0-or-later
// The cost table: what a policy knows about time. Filled by the profiler (engine/profile.h) from
// measurements, on hardware or on a simulated machine alike; a policy may not ask a machine.
//
// Matmul times are kept per (device, operand order, K) over a grid of (rows m, tokens n); between
// grid points they are interpolated linearly, beyond them extended in proportion. A device with
// static graphs is only ever looked up at its standard sizes.
#ifndef ENGINE_COST_H
#define ENGINE_COST_H

#include <stdio.h>
#include "base/err.h"
#include "engine/device.h"

struct cost_table;
struct cost_table *cost_create(void);
void cost_destroy(struct cost_table *t);

void cost_add_matmul(struct cost_table *t, int device, enum operand_order o, int k, int m, int n,
                     double ps);
// n_kv, the rows in the cache, matters to attention only.
void cost_add_op(struct cost_table *t, int device, enum op_kind kind, int width, int n, int n_kv,
                 double ps);
// ps, or a negative value when the table knows nothing about this device and shape.
double cost_matmul(const struct cost_table *t, int device, enum operand_order o, int k, int m,
                   int n);
double cost_op(const struct cost_table *t, int device, enum op_kind kind, int width, int n,
               int n_kv);

// Everything that is not an operator.
struct cost_overheads {
    // Extra ps, over its streamed time, of an operator that is submitted to an empty queue and
    // joined by the sync scheme in force: what a hand-over between devices costs.
    double join[MACHINE_MAX_DEVICES];
    double submit[MACHINE_MAX_DEVICES]; // ps of host time per submission
    // Factor >= 1 on a matmul that runs beside the others': of one token (memory-bound), and of
    // many.
    double together[MACHINE_MAX_DEVICES];
    double together_many[MACHINE_MAX_DEVICES];
    // Extra ps, over its own part, of a one-token operator that this device and its partner share,
    // if this part is the longer one; in a chain of such operators under the scheme in force. What
    // queues that never run dry save over two hand-overs. Negative: not measured.
    double split[MACHINE_MAX_DEVICES];
    double copy_bandwidth[MACHINE_MAX_DEVICES]; // bytes/s of map(); 0: coherent, free
    // 1: the scheme in force joins per shard, so that a task whose inputs are on its own queue is
    // submitted without waiting (sync_ops.per_shard); 0: joins come before the whole operator.
    double ahead[MACHINE_MAX_DEVICES];
    // [a][b]: ps from the end of a task on a to the begin of one on b that had to wait for it, by
    // the scheme in force; what a hand-over costs by pair. Negative: not measured, it is what
    // `join` and `submit` of the two say.
    double pair[MACHINE_MAX_DEVICES][MACHINE_MAX_DEVICES];
};
struct cost_overheads *cost_overheads(struct cost_table *t);
const struct cost_overheads *cost_get_overheads(const struct cost_table *t);

uint64_t cost_digest(const struct cost_table *t);
// One grid point or overhead (then only kind and device mean something, and ps may be a rate or a
// factor).
struct cost_row {
    const char *kind;
    int device, order, k, n, x;
    double ps;
};
void cost_walk(const struct cost_table *t, void (*row)(void *ctx, const struct cost_row *r),
               void *ctx);
// CSV: kind,device,order,k,n,x,ps ; one row per grid point (k: the width of an operator that is no
// matmul; x: rows of a matmul, cached rows of attention) and per overhead (of a pair: from device
// to x); reads back exactly.
void cost_write(const struct cost_table *t, FILE *f);
// Adds to a table; a row that is malformed, unknown or there twice is an error with its line. On an
// error the table holds the rows before it.
int cost_read(struct cost_table *t, const char *path, struct err *e);

#endif
