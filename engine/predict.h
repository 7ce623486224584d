// SPDX-License-Identifier: GPL-3.0-or-later
// The time of a step by the cost table, with what neighbouring operators do to each other.
//
// The model is an executor without a machine. It knows the host, one queue per device, and four
// numbers of the table: how long a task takes when the queue never runs dry (streamed); how long
// the host needs to submit to an empty queue (submit); how long after completion a join returns
// (join - submit); and by what factor matmuls that run side by side slow each other down. Tasks are
// submitted in the order of the schedule and wait for the same hazards as there:
//
//     join      the host waits until the other device's task is complete, and a little more
//     submit    free if the queue still holds work; else the host spends `submit`, one device
//               after the other, and the task starts then
//     task      starts behind its queue; beside another device's matmul both take longer
//
// Where the table has the pair (cost_overheads.pair), join and submit together cost what was
// measured for it.
//
// So a run of operators on one device costs their sum; a hand-over costs what is measured for it;
// two operators that do not need each other's results (q and kv) overlap when they are on different
// devices; and a shared operator holds up only the queue that has to wait.
//
// All times are relative: adding a constant to a state adds it to everything that follows. This is
// what makes a dynamic programme over it exact (policies/partition/util_chain.h).
//
// Not in it: waking up and clocking up at the start of a session, host time of submissions to a
// queue that holds work, energy, and contention of anything but matmuls.
#ifndef ENGINE_PREDICT_H
#define ENGINE_PREDICT_H

#include "engine/cost.h"
#include "engine/plan.h"

// What is the same for every step of one graph on one machine. Larger than it needs to be kept:
// make it on the stack.
struct predict {
    const struct graph *graph;
    const struct cost_table *cost;
    int n_devices;
    bool ahead;                         // joins are made per shard (sync_ops.per_shard)
    double submit[MACHINE_MAX_DEVICES]; // host time to fill an empty queue (ps)
    double seen[MACHINE_MAX_DEVICES];   // completion to return of the join (ps)
    // [a][b]: how much later than these two say a task on b begins that had to wait for one on a
    // (ps; may be negative), by what was measured for the pair
    double late[MACHINE_MAX_DEVICES][MACHINE_MAX_DEVICES];
    const double *beside[2];       // contention of matmuls of one token, of many
    const double *copy;            // bytes/s of map(); 0: free
    uint32_t needs[GRAPH_MAX_OPS]; // operators (bits) that touch what this one touches
    bool cut[GRAPH_MAX_OPS]; // everything before it is needed for it, and it for everything after
};

// One shard of an operator, with its time.
struct predict_shard {
    int device;
    double ps;   // streamed
    double copy; // host time for copies of its input and output, if they lie on another device
};

struct predict_state {
    double now;                         // of the host
    double dry[MACHINE_MAX_DEVICES];    // when the queue runs empty
    double from[MACHINE_MAX_DEVICES];   // since when its matmuls follow one another; > dry: none
    bool known[MACHINE_MAX_DEVICES];    // the host has seen its last task complete
    uint32_t open[MACHINE_MAX_DEVICES]; // operators (bits) whose tasks it has not
    double end[GRAPH_MAX_OPS][MACHINE_MAX_DEVICES]; // of their latest tasks
};

void predict_init(struct predict *p, const struct graph *g, const struct machine_desc *d,
                  const struct cost_table *c);
// Nothing submitted, nothing unknown, time 0.
void predict_begin(const struct predict *p, struct predict_state *s);
// The same with one device's queue about to run dry at time 0: the state behind an operator with
// p->cut that one device computed alone, whatever came before it.
void predict_behind(const struct predict *p, int op, int device, struct predict_state *s);
// Submits one operator: at least one shard, in order of submission.
void predict_op(const struct predict *p, struct predict_state *s, int op,
                const struct predict_shard *shard, int n);
// When the last task that the host has not seen complete will be; nothing that follows a cut comes
// earlier.
double predict_latest(const struct predict *p, const struct predict_state *s);
// The host joins everything; returns the time.
double predict_end(const struct predict *p, struct predict_state *s);

// A shard of a plan with its time by the table. `n`: tokens of the step; `home`: the device on
// which the input lies and the output is wanted, -1: this one. False when the table does not know
// the matmul; other operators that it does not know count as nothing.
bool predict_time(const struct predict *p, const struct op *op, int n, int home,
                  const struct shard *sh, struct predict_shard *out);

// Who computes what in a step, by op index; no shards: the operator is not run.
struct predict_ops {
    int n[GRAPH_MAX_OPS];
    const struct predict_shard *shard[GRAPH_MAX_OPS];
};
// Predicted time (ps) of a step of all layers from idle queues until the host has joined them all.
double predict_step(const struct predict *p, const struct predict_ops *t);

// Predicted time (ps) of a plan of graph g, steps one after another; negative when the table does
// not know one of its matmuls.
double predict_plan(const struct plan *plan, const struct graph *g, const struct machine_desc *d,
                    const struct cost_table *c);

#endif
