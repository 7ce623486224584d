// SPDX-License-Identifier: GPL-3.0-or-later
// The device seam: a GPU, an NPU or a CPU, real or simulated. Nothing above knows which.
//
// A device executes tasks in the order of submission (an in-order queue). A ticket is the position
// in that queue: when ticket s is complete, so are all before it. Outputs become visible to other
// devices and to the host when the ticket is complete and, on a device that is not `coherent`,
// after map(..., MAP_TO_HOST).
//
// A device that fails says so with ERR_DEVICE, from then on in every call that would have to do
// with its queue (poll and wait of a ticket that it will not complete, submit). By the time it says
// so it has stopped: it neither reads nor writes shared buffers any more. What its uncompleted
// tasks were to write is undefined; everything else in shared buffers is as it was.
#ifndef ENGINE_DEVICE_H
#define ENGINE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "engine/op.h"

struct machine;
struct device;

enum { MACHINE_MAX_DEVICES = 4, DEVICE_MAX_SIZES = 16 };

enum device_kind { DEVICE_CPU, DEVICE_GPU, DEVICE_NPU };

// Memory that all devices of a machine can use. `host` is NULL on a machine that computes no
// values. Rows are tokens (or cache positions).
struct buffer {
    void *host;
    int64_t size;  // bytes
    int64_t pitch; // bytes per row
    uint32_t id;
    int fd; // of the memory behind host, for drivers that take memory by descriptor; 0: none
    void *priv[MACHINE_MAX_DEVICES]; // each device's own handle
};

// What a MATMUL multiplies, as far as it decides in how many bits activations are taken.
enum activation_case {
    ACTIVATION_PLAIN, // by weights of more than 8 bits
    ACTIVATION_MANY,  // several tokens by quantised weights (8 bits or fewer)
    ACTIVATION_ONE,   // one token by quantised weights
    ACTIVATION_CASES
};

struct device_caps {
    const char *name;   // "gpu", "npu", "cpu"; unique in the machine
    const char *detail; // what it is: "PoCL pthread-haswell", "sd8gen3 Adreno 750"
    enum device_kind kind;
    uint32_t ops;       // bit mask of 1 << op_kind
    bool values;        // computes numbers (false: timing only)
    bool static_graphs; // runs MATMUL only on prepared graphs of a standard size
    int n_sizes;        // standard sizes (tokens), ascending
    int size[DEVICE_MAX_SIZES];
    int tile;         // row slices must be multiples of this (1: any); the last may be the rest
    int max_graphs;   // resident static graphs; 0: no limit
    int64_t memory;   // bytes for weights, graphs and buffers; 0: no limit of its own
    double act_bytes; // bytes per activation value in its memory traffic (2: FP16)
    // Bits in which MATMUL takes its activations: 16 for FP16, 32 for F32, 8 where an integer path
    // quantises them first. 0: unknown.
    int activation_bits[ACTIVATION_CASES];
    uint32_t orders; // bit mask of 1 << operand_order that make a difference
    bool coherent;   // shared buffers need no map()
    bool flag;       // sets a flag word that the host can poll before the driver reports
    bool event;      // can wake the host by a callback
    bool wake;       // a thread of its own wakes who sleeps on its flag word (WAIT_FUTEX)
};

enum map_dir { MAP_TO_HOST, MAP_TO_DEVICE };
enum wait_mode {
    WAIT_FINISH, // the driver's explicit finish
    WAIT_EVENT,  // sleep until the completion callback
    WAIT_FUTEX,  // sleep in the kernel on the flag word; only with caps.wake
};

// Identity of a static graph: the same for all layers (weights are its inputs).
struct static_graph {
    const struct op *op;
    int m0, m1;
    int n; // standard size
    enum operand_order order;
};

struct device_stats {
    uint64_t tasks;
    int64_t busy_ps; // time with a task executing
    double flops;    // useful work done, as task_work counts it
    double bytes;    // moved to and from memory: weights, activations, reloads
    uint64_t graphs; // prepared static graphs
    int64_t prepare_ps;
    int64_t resident; // bytes of weights and graphs held
};

struct device_ops {
    const char *name;
    // Can it execute this task (operator, encoding, shape, alignment)? Says why not in e.
    int (*supports)(const struct device *d, const struct task *t, struct err *e);
    // Announces a shared buffer / forgets it.
    int (*alloc)(struct device *d, struct buffer *b, struct err *e);
    void (*free)(struct device *d, struct buffer *b);
    // Moves a rectangle of a shared buffer (rows [row0, row1), bytes [col0, col1) of each row)
    // between device and host memory. Does nothing on a coherent device. Completes before it
    // returns. The device must have completed its tasks on that rectangle.
    int (*map)(struct device *d, struct buffer *b, int64_t row0, int64_t row1, int64_t col0,
               int64_t col1, enum map_dir dir, struct err *e);
    // Makes rows [m0, m1) of a weight ready (upload, repacking). Outside the measured time.
    int (*load)(struct device *d, const struct tensor *w, int64_t m0, int64_t m1, struct err *e);
    // Builds a static graph; *handle >= 0. The same graph again returns the same handle at once.
    int (*prepare)(struct device *d, const struct static_graph *g, int *handle, struct err *e);
    // Puts a task at the end of the queue; *seq is its ticket (1, 2, ...). Never blocks for long.
    int (*submit)(struct device *d, const struct task *t, uint64_t *seq, struct err *e);
    // 1 complete, 0 not yet, negative: the device failed. Asks the driver.
    int (*poll)(struct device *d, uint64_t seq, struct err *e);
    // Blocks until complete.
    int (*wait)(struct device *d, uint64_t seq, enum wait_mode mode, struct err *e);
    void (*stats)(struct device *d, struct device_stats *out); // since the machine's reset
    // Forgets statistics and static graphs (so that equal runs cost the same); the queue is empty.
    void (*reset)(struct device *d);
    void (*close)(struct device *d);
};

// Implementations embed this as their first member.
struct device {
    const struct device_ops *ops;
    struct machine *machine;
    int index; // in machine->device
    struct device_caps caps;
};

// Loads the rows of every part of the weight that a task uses.
int device_load(struct device *d, const struct task *t, struct err *e);

bool device_can(const struct device_caps *c, enum op_kind k);
// The smallest standard size that holds n tokens, 0 when none does.
int device_size_for(const struct device_caps *c, int n);
const char *device_kind_name(enum device_kind k);

#endif
