// SPDX-License-Identifier: GPL-3.0-or-later
// The plan: who computes which slice of every operator of a decoder block and of the head. The one
// representation of every partition strategy; it can be printed, diffed, digested and stored.
//
// A plan covers n_tokens new tokens in one or more steps (chunks), each a forward pass of its own
// over tokens [n0, n1). Within a step every operator has shards; only the last step has a head
// (out_norm, logits). plan_check proves that each output
// element is computed exactly once, that every device supports its shards, and that memory fits.
#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H

#include <stdio.h>
#include "base/arena.h"
#include "engine/graph.h"
#include "engine/machine.h"

struct shard {
    int device;
    int m0, m1; // output rows of the weight (MATMUL); else [0, op->m)
    int n0, n1; // tokens, relative to the step
    int n_pad;  // static graph size; 0: dynamic
    enum operand_order order;
};

struct plan_op {
    int n_shards;
    struct shard *shard;
};

struct plan_step {
    int n0, n1;                       // tokens of the plan
    struct plan_op op[GRAPH_MAX_OPS]; // by op index
};

struct plan {
    const char *policy;
    int n_tokens;
    int n_steps;
    struct plan_step *step;
    bool prepare_online; // static graphs are generated inside the measured time
    double predicted_ps; // by the policy's own reckoning over all layers and steps; 0: none
    struct arena arena;
};

int plan_init(struct plan *p, const char *policy, int n_tokens); // empty, arena ready
void plan_fini(struct plan *p);
struct plan_step *plan_add_step(struct plan *p, int n0, int n1);
// Appends a shard to an operator of a step (in submission order).
void plan_add_shard(struct plan *p, struct plan_step *s, int op, struct shard shard);
// Whole operator on one device, dynamic shape.
void plan_whole(struct plan *p, struct plan_step *s, const struct op *op, int n_tokens, int device);

// Verifies a plan of graph g (n_tokens, n_past) for a machine. With live devices (may be NULL) it
// also asks their supports().
int plan_check(const struct plan *p, const struct graph *g, const struct machine_desc *d,
               const struct machine *live, struct err *e);

// The least number of bits in which any matmul of the plan takes its activations (caps of its
// device); 0 when one of its devices does not say.
int plan_activation_bits(const struct plan *p, const struct graph *g, const struct machine_desc *d);

uint64_t plan_digest(const struct plan *p);
// One line per operator: "gate_up  weight-centric  gpu[0:8192] npu[8192:28672] n=256".
void plan_print(const struct plan *p, const struct graph *g, const struct machine_desc *d, FILE *f);
// The strategy of one operator: "gpu-only", "npu-only, padded", "weight-centric 2:3",
// "activation-centric dynamic:256", "hybrid 2:3"; ratios GPU:NPU as the paper writes them, of whole
// numbers that add up to at most `parts` (PLAN_RATIO_PARTS as plans are printed).
enum { PLAN_RATIO_PARTS = 8 };
const char *plan_strategy(const struct plan_op *po, const struct op *op, int n_tokens,
                          const struct machine_desc *d, int parts, char *buf, size_t size);
// One line per difference between two plans of the same graph; returns their number.
int plan_diff(const struct plan *a, const struct plan *b, const struct graph *g,
              const struct machine_desc *d, FILE *f);

// The schedule of one step: every shard of every layer in submission order, with its joins.
// Entry i may start when, for every other device e, the task of entry join[e] (an index below i, or
// -1) is complete on e; its own device's queue order covers the rest. Write-after-read and
// write-after-write hazards of the shared buffers count as dependencies.
struct schedule_entry {
    struct task task; // buffers, n_past and graph handle are bound by the executor
    int device;
    double expect_ps; // by the cost table; 0: unknown. Set by the executor
    int join[MACHINE_MAX_DEVICES];
    bool first_of_op; // first shard of its operator instance
};
struct schedule {
    int n;
    struct schedule_entry *entry;
    int last[MACHINE_MAX_DEVICES]; // last entry on each device, -1
    // Layer l: entries [block + l * layer, block + (l + 1) * layer). From the second layer on all
    // wait alike: for entries of their own layer and of the one before, at equal distances, or for
    // one and the same entry in front of these.
    int block, layer, n_layers;
};
void schedule_build(const struct plan *p, int step, const struct graph *g, struct arena *a,
                    struct schedule *out);
// Brute force over all pairs: every hazard is covered by joins and queue order.
int schedule_check(const struct schedule *s, int n_devices, struct err *e);

#endif
