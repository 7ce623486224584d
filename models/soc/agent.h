// SPDX-License-Identifier: GPL-3.0-or-later
// An agent is what the simulated devices have in common: an in-order queue in front of one executor
// of work on the shared memory, its driver's costs, its idle state. GPU, NPU and CPU embed it and
// add what a task costs on them.
#ifndef MODELS_SOC_AGENT_H
#define MODELS_SOC_AGENT_H

#include "engine/device.h"
#include "models/soc/clock.h"
#include "models/soc/control.h"
#include "models/soc/cores.h"
#include "models/soc/dram.h"
#include "models/soc/pipe.h"
#include "models/soc/turn.h"

// The group `queue` of each device.
struct queue_params {
    int64_t depth;       // tasks that fit into the queue; a submission to a full one blocks
    int64_t submit;      // ps of host time per submission
    int64_t restart;     // ps of host time instead, when the queue has run empty
    int64_t launch;      // ps on the device before each task
    int64_t finish;      // ps from completion to the return of WAIT_FINISH
    int64_t event;       // ps from completion to the return of WAIT_EVENT
    int64_t query;       // ps of host time per poll
    int64_t idle;        // ps without work after which the device falls asleep
    int64_t wake;        // ps before the first task after that
    int64_t ramp;        // ps after waking during which the clock is low
    double ramp_clock;   // the low clock, relative to the full one
    int64_t outstanding; // memory requests in flight
    double link;         // bytes/s of its way to the memory network
};
extern const struct conf_row queue_rows[];
extern const size_t queue_n_rows;

// What a task costs once it is at the head of the queue.
struct agent_cost {
    double compute; // s at full clock, if memory were free
    int64_t weight; // bytes of weights moved from DRAM
    int64_t read;   // bytes of activations and cache
    int64_t written;
    int chunks;   // that its data come in (models/soc/pipe.h); 0: `compute` has its own fill
    double flops; // useful, as task_work counts
    int64_t wake; // ps on top of the queue's, if the device was asleep
};

struct agent;
typedef void agent_cost_fn(const struct agent *a, const struct task *t, struct agent_cost *out);

// At cycle level: runs the task at the head of the queue, then calls agent_complete.
typedef void agent_run_fn(struct agent *a, const struct task *t);

struct agent_slot {
    struct agent_cost cost;
    uint64_t ticket; // order of submission among clients
};

// What a trace says of a task.
struct agent_label {
    int64_t submitted, awake; // ps: into the queue; the device begins with it, woken if it slept
    char text[TASK_LABEL];
};

struct agent {
    struct device base; // first
    struct queue_params q;
    struct control *host;
    struct dram *dram;
    agent_cost_fn *cost;
    agent_run_fn *run;     // cycle level; NULL: agent_pipe
    struct dram_port port; // its way to the memory
    int64_t latency;       // ps, of its first read
    // The queue: tickets (completed, submitted] are in it, the first of them is executing.
    struct agent_slot *slot;   // [depth]
    struct task *task;         // [depth], only when values are computed or at cycle level
    struct agent_label *label; // [depth], only when somebody traces
    uint64_t submitted, completed;
    struct sim_event timer;        // end of launch, or of a task without memory traffic
    struct dram_transfer transfer; // flow level: traffic of the executing task
    struct pipe pipe;              // cycle level: the executing task
    bool executing;                // the head has the device
    int64_t begin;                 // ps: start of the executing task
    int64_t ended;                 // ps: end of the last task
    int64_t warm;                  // ps: when the clock is up
    struct clock_params points;    // operating points
    struct clock clock;
    struct replay *replay; // hears of completions; NULL: nobody does
    struct turn *turn;     // somebody else uses the device too; NULL: nobody
    struct turn_client client;
    int64_t change;      // ps, when somebody else did
    struct cores *cores; // that it computes on, beside others; NULL: its own
    int64_t threads;     // there
    struct device_stats stats;
    float *scratch; // for ref_run
    size_t n_scratch;
};

// Fills everything but base.ops, caps and cost.
int agent_init(struct agent *a, struct machine *m, int index, const struct queue_params *q,
               struct control *host, struct dram *dram, struct err *e);
void agent_fini(struct agent *a);
// Opens a device with dynamic shapes that has nothing of its own but what a task costs (GPU, CPU).
// `a` is the first member of a zeroed allocation, which close() frees, and so does an error.
int agent_open(struct agent *a, enum device_kind kind, const char *detail, agent_cost_fn *cost,
               const struct queue_params *q, struct machine *m, int index, struct control *host,
               struct dram *dram, struct device **out, struct err *e);
void agent_reset(struct agent *a);                               // after sim_reset
void agent_clock(struct agent *a, const struct clock_params *p); // from now on, and after resets
// From now until the reset the device is shared with the clients of `t`; the agent joins them.
void agent_share(struct agent *a, struct turn *t, int rank, int64_t change);
// For whoever begins a kernel now: when computing can start after `launch`, waking the device if it
// sleeps (extra: beyond the queue's wake), and how long what takes `ps` at full clock takes then.
int64_t agent_rouse(struct agent *a, int64_t launch, int64_t extra);
int64_t agent_at_clock(const struct agent *a, int64_t ps);
// The traffic of a task that moves every operand once, in whole bytes.
void agent_traffic(const struct work *w, struct agent_cost *out);
// Follows machine.trace; the queue is empty.
void agent_trace(struct agent *a);
void agent_complete(struct agent *a); // the task at the head of the queue
// Cycle level, for tasks without a model of their own: computing spread over its traffic.
void agent_pipe(struct agent *a, const struct task *t);
// Complete up to now, the executing task included: ps busy.
int64_t agent_busy(const struct agent *a);

// Implementations of device_ops that all share.
int agent_alloc(struct device *d, struct buffer *b, struct err *e);
void agent_free(struct device *d, struct buffer *b);
int agent_map(struct device *d, struct buffer *b, int64_t row0, int64_t row1, int64_t col0,
              int64_t col1, enum map_dir dir, struct err *e);
int agent_load(struct device *d, const struct tensor *w, int64_t m0, int64_t m1, struct err *e);
int agent_submit(struct device *d, const struct task *t, uint64_t *seq, struct err *e);
int agent_poll(struct device *d, uint64_t seq, struct err *e);
int agent_wait(struct device *d, uint64_t seq, enum wait_mode mode, struct err *e);
void agent_stats(struct device *d, struct device_stats *out);
void agent_reset_device(struct device *d);

#endif
