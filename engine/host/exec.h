// SPDX-License-Identifier: GPL-3.0-or-later
// Executes tasks with the CPU kernels on the calling thread and its team. The CPU device is this
// behind a queue; the tile NPU uses it for everything that is not a matmul (its "vector unit").
#ifndef ENGINE_HOST_EXEC_H
#define ENGINE_HOST_EXEC_H

#include "engine/device.h"
#include "engine/host/kernels.h"
#include "engine/host/team.h"

struct exec {
    struct cpu_kernels kernel;
    struct team *team; // NULL: the caller alone
    bool exact;        // no int8 activations: decode rows and multiply in F32

    // Scratch, grown on demand and kept. `shared` is one piece, `own` one piece per worker.
    void *shared, *own;
    int64_t shared_size, own_size; // own_size: per worker

    // cos, sin of every position so far: [positions][dim / 2][2].
    float *angle;
    int positions, capacity;
    struct rope rope; // whose angles they are
    uint64_t rope_model;
};

// `e->kernel`, `team` and `exact` are the caller's to set.
void exec_fini(struct exec *e);
// ERR_MEMORY when scratch could not grow.
int exec_run(struct exec *x, const struct task *t, struct err *e);
// Shape and encoding checks that every CPU-like device shares; names the operator in the error.
int exec_supports(const struct task *t, struct err *e);

// For exec_matmul.c and the tile NPU.
int exec_scratch(struct exec *x, int64_t shared, int64_t own, struct err *e);
int exec_matmul(struct exec *x, const struct task *t, struct err *e);
static inline float *exec_row(const struct buffer *b, int64_t r)
{
    return (float *)(void *)((char *)b->host + r * b->pitch);
}

// The rows of a task's slice that one part holds: stacked rows [m0, m1) are rows [r0, r0 + m1 - m0)
// of tensor `part`.
struct segment {
    int part;
    int m0, m1;
    int64_t r0;
};
// The segment that begins at stacked row m, which ends at m1 or at the end of its part.
struct segment exec_segment(const struct task *t, int m, int m1);
// out[t][m] += bias for one segment; nothing when the part has none.
void exec_add_bias(const struct task *t, const struct segment *s);

#endif
